"""06_roi: what did each initiative bring, for what it cost?

The return compares two cash-flow paths of the same customers, with and without the initiative: what they paid (as
margin) minus what serving them cost. A customer who has left pays nothing, and each amount is counted once. Whether
there is a fair comparison depends on how customers were chosen; where there is none, no number is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, lru_cache

import pandas as pd

from cxlib.counts import people
from cxlib.counts.programmes import Programme, programmes
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import EACH, EFFECTS, Answer, Figure, Finding, answer, finding, table
from cxlib.page.valuation import money_of, period_rate
from cxlib.roi import cash_flows, designs, outcome_statement, scenarios
from cxlib.roi.cash_flows import Money, Terms
from cxlib.roi.evidence import STAGGERED, Evidence
from cxlib.roi.outcome_statement import CANNOT_TELL, INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Statement, towards
from cxlib.roi.priorities import Candidate
from cxlib.roi.scenarios import ValueByScore
from cxlib.stats import draws
from cxlib.stats.estimate import Estimate

DAYS = 365.25 / 12  # of a month
PROBABLY = 2 / 3  # the chance from which "probably" is said (IPCC 2010, likelihood scale: likely is 66-100 %)


@dataclass(frozen=True, eq=False)
class Result:
    """One initiative that has run: how its effect is known, what it is worth, and what may be said of it.

    ``statements``: one an outcome, the one it was meant to move first. ``terms``: its cost and how money is counted.
    """

    evidence: Evidence
    statements: tuple[Statement, ...]
    terms: Terms

    @property
    def programme(self) -> Programme:
        """Return what is recorded of it."""
        return self.evidence.programme

    @property
    def initiative(self) -> str:
        """Return its name."""
        return self.programme.name

    @property
    def known(self) -> str:
        """Return how its effect is known: randomised, comparison, adjusted or observed."""
        return self.evidence.known

    @property
    def money_known(self) -> str:
        """Return how its effect on money is known, which the past of money decides."""
        return self.evidence.money_known or self.evidence.known

    @property
    def identified(self) -> bool:
        """Tell whether customers reached were compared with others, so that there is a difference to report."""
        return self.evidence.measured

    @property
    def statement(self) -> Statement:
        """Return the outcome statement of what it was meant to move (else of churn)."""
        return self.statements[0]

    def spent(self, as_of: date) -> float:
        """Return what it cost: over the months of its money, else from its start to ``as_of``."""
        months = max((as_of - self.programme.started_on).days / DAYS, 0.0)
        return self.money.cost if self.identified else self.programme.cost(months)

    @cached_property
    def money(self) -> Money | None:
        """Return benefit and cost over all customers reached, at the share declared; None without a comparison."""
        return cash_flows.worth_of(self.evidence.paths, self.terms) if self.identified else None

    def credited(self, share: float, **changed: object) -> Money:
        """Return the money with a share of the effect credited, and other terms changed."""
        return cash_flows.worth_of(self.evidence.paths, replace(self.terms, share=share, **changed))


def slug(r: Result) -> str:
    """Return the name of an initiative as used in names of findings and figures."""
    return "initiative-" + "".join(ch if ch.isalnum() else "-" for ch in r.initiative.lower()).strip("-")


def require(company: Company) -> None:
    """Raise Unanswered where no return can be calculated at all."""
    for needed in ("initiatives", "orders"):
        people.require(company, needed)
    money_of(company)


def results(company: Company, window_months: int = 12) -> list[Result]:
    """Evaluate every initiative that has run; none where no return can be calculated."""
    with suppress(Unanswered):
        require(company)
        return list(_results(company, window_months))
    return []


@lru_cache(maxsize=2)  # used by several sections of a page
def _results(company: Company, window_months: int) -> tuple[Result, ...]:
    return tuple(_result(company, e) for e in designs.evaluate_all(company, programmes(company), window_months))


def _result(company: Company, e: Evidence) -> Result:
    m, p = company.settings.money, e.programme
    running = e.paths.months if e.measured else 0
    costs = (p.cost_upfront, p.cost_per_month, running)
    terms = Terms(*costs, period_rate(company), p.attribution_share, cashable=m.support_cashable)
    worth = None
    if e.measured and terms.share:
        value = terms.share * e.paths.customers * cash_flows.present_value(e.paths, terms.monthly_rate)
        worth = draws.estimate(value[0], value[1:], e.paths.base, groups=int(e.paths.groups))
    means = {
        "value_is": m.value_is, "currency": company.settings.currency, "convention": m.discount_convention,
        "discount_rate": m.discount_rate,
    }  # fmt: skip
    first = p.outcome if p.outcome in e.outcomes else "churn"
    kinds = [k for k in e.outcomes if k == first] + [k for k in e.outcomes if k != first]
    said = [outcome_statement.state(e, e.outcomes[k], worth, **means) for k in kinds]
    return Result(e, tuple(said or [outcome_statement.state(e, None, None, **means)]), terms)


def planned(company: Company) -> list[Programme]:
    """Return the initiatives that have not started."""
    with suppress(Unanswered):
        require(company)
        return [p for p in programmes(company) if p.planned]
    return []


def unfinished(found: Sequence[Result]) -> list[Result]:
    """Return those whose declared months are not over."""
    return [r for r in found if r.identified and r.evidence.months < r.programme.effect_months]


def candidates(company: Company, found: Sequence[Result], by_score: ValueByScore) -> list[Candidate]:
    """Return where money could go next: initiatives compared, and planned ones as scenarios (valued ``by_score``)."""
    there = []
    for r in (r for r in found if r.identified):
        e = r.evidence.paths
        gain = r.terms.share * cash_flows.present_value(e, r.terms.monthly_rate)
        cost = e.customers * float(gain[0]) - r.money.net_present_value.value  # in today's money
        there.append(Candidate(r.initiative, r.programme.id, cost, gain, e.customers, r.money_known, groups=e.groups))
    for p in planned(company):
        scenario = scenarios.planned(company, p, by_score=by_score)
        if not scenario.answered:
            continue
        cost, nets = scenarios.cost_today(company, p, p.effect_months or 12), [f.estimate for f in scenario.figures]
        # Who would move is not known, so the path of the lowest value decides.
        ends = min(e.value for e in nets), min(e.low for e in nets), max(e.high for e in nets)
        gain = Estimate(*((v + cost) / p.planned_customers for v in ends))
        there.append(Candidate(p.name, p.id, cost, gain, p.planned_customers, scenario.known, scenario=True))
    return there


def _compared(r: Result) -> None:
    """Raise Unanswered where nobody could be compared."""
    if not r.identified:
        raise Unanswered("not-identified", initiative=r.initiative, why=r.evidence.why, remedy=r.evidence.remedy)


def _say(section: str, key: str, **facts: object) -> str:
    return words.say(__file__, section, key, **facts)


# ---- in short --------------------------------------------------------------------------------------------------------


def outlook(r: Result) -> str:
    """Return whether it paid, by the chance of a loss: gain, likely-gain, open, likely-loss, loss, link or unmeasured.

    Gain and loss: the interval of the net present value excludes 0. Link: there is money, but no effect is identified.
    """
    if not r.identified:
        return "unmeasured"
    if r.money_known not in EFFECTS:
        return "link"
    value, loss = r.money.net_present_value, r.money.loss_probability
    if value.excludes(0):
        return "gain" if value.low > 0 else "loss"
    return "likely-loss" if loss >= PROBABLY else "likely-gain" if 1 - loss >= PROBABLY else "open"


def outlook_words(r: Result) -> str:
    """Return whether it paid in words, to follow its name: "probably paid off (91% chance)"."""
    loss = r.money.loss_probability if r.identified else math.nan
    return _say("outlook", outlook(r), loss=loss, gain=1 - loss)


def target_words(r: Result) -> str:
    """Return in words whether it met the target set before its start."""
    return _say("targets", "verdict", verdict=r.statement.verdict)


def roi_figure(company: Company, r: Result) -> Figure:
    """Return the net return on an initiative as a figure, the same on every page."""
    currency = company.settings.currency
    label = _say("outlook", "roi", initiative=r.initiative, currency=currency)
    return Figure(f"{slug(r)}-roi", label, r.money.roi, currency, known=r.money_known)


@finding("returns")
def summary(company: Company, found: Sequence[Result]) -> Answer:
    """Answer: what did we get back for what we spent, initiative by initiative?"""
    require(company)
    if not found:
        raise Unanswered("no-initiative-run")
    measured = [r for r in found if r.identified]
    unknown = [{"initiative": r.initiative, "cost": r.spent(company.as_of)} for r in found if not r.identified]
    if not measured:
        raise Unanswered("none-measured", reasons=[{"initiative": r.initiative, "why": r.evidence.why} for r in found])
    rows = []
    for r in measured:
        stated = r.programme.attribution_share
        for share in sorted({0.0, stated, 1.0}):
            w = r.credited(share)
            credited = _say("returns", "credited", share=share, stated=share == stated < 1)
            rows.append(
                {"initiative": r.initiative, "credited": credited, "estimate": w.roi, "known": r.money_known,
                 "benefit": w.benefit.value, "cost": w.cost, "npv": w.net_present_value.value,
                 "loss": w.loss_probability}
            )  # fmt: skip
    best = max(measured, key=lambda r: r.money.roi.value)
    worst = min(measured, key=lambda r: r.money.roi.value)
    shown = measured if len(measured) <= 2 else [best, worst]
    return answer(
        EACH, table(rows, ["initiative", "credited"]), (),
        shown=[{"initiative": r.initiative, "roi": r.money.roi} for r in shown], measured=len(measured),
        unknown=unknown,
        stated=sorted({r.programme.attribution_share for r in measured} - {1.0}),
        links=[r.initiative for r in measured if r.money_known not in EFFECTS],
    )  # fmt: skip


# ---- did it work? ---------------------------------------------------------------------------------------------------


def statement(company: Company, r: Result) -> Finding:
    """Return the outcome statement of one initiative; where nobody could be compared, before and after."""
    return outcome(company, r) if r.identified or not len(r.evidence.before) else before_and_after(company, r)


def _outcome_words(s: Statement, key: str = "") -> str:
    """Return the outcome in words ("churn"), or less or more of it ("fewer customers leaving")."""
    kind = s.outcome if s.outcome in words.section_of(__file__, "outcomes") else "score"
    return _say("outcomes", f"{kind}-{key}" if key else kind, label=s.label)


def _facts(r: Result, s: Statement) -> dict[str, object]:
    """Return the facts of an outcome statement: numbers in the direction of the change."""
    less_or_more = {-1: "less", 1: "more"}
    return {
        "initiative": r.initiative, "changed": s.changed, "kind": s.outcome, "noun": _outcome_words(s), "unit": s.unit,
        "direction": _outcome_words(s, less_or_more[s.way]), "wanted": _outcome_words(s, less_or_more[s.sign]),
        "change": towards(s.change, s.way), "relative": towards(s.relative, s.way),
        "has_relative": math.isfinite(s.relative.value), "level": s.level.value,
        "with_it": s.level.value + s.change.value,
        "months": s.months, "declared": r.programme.effect_months, "so_far": s.so_far, "clear": s.clear,
        "effect": s.known in EFFECTS, "verdict": s.verdict, "failed": s.failed.split(", ") if s.failed else [],
        "target": None if math.isnan(s.smallest) else s.smallest, "target_is": s.smallest_is, "worth": s.worth,
        "worth_clear": bool(s.worth and s.worth.excludes(0)), "value_is": s.value_is, "paid": s.paid,
        "discount_rate": s.discount_rate, "convention": s.convention, "why": s.why, "remedy": s.remedy,
    }  # fmt: skip


@finding("outcome", named=lambda company, r, *_, **__: f"{slug(r)}-outcome")
def outcome(company: Company, r: Result) -> Answer:
    """Answer: did an initiative change what it was meant to change? All its outcomes are in the table."""
    _compared(r)
    first, rows = r.statement, []
    if not first.counted:
        raise Unanswered("outcome-not-counted", initiative=r.initiative)
    for s in r.statements:
        relative = not math.isnan(s.relative.value)
        change = _times(s.relative, 100) if relative else s.change
        label = _say("outcome", "axis", noun=_outcome_words(s), relative=relative, unit=s.unit)
        rows.append(
            {"outcome": label, "estimate": change, "level": s.level.value, "change": s.change.value, "unit": s.unit,
             "verdict": s.verdict}
        )  # fmt: skip
    label = _say("outcome", "figure", initiative=r.initiative, noun=_outcome_words(first))
    unit = "share difference" if first.unit == "share" else first.unit
    figures = [Figure(f"{slug(r)}-{first.outcome}", label, first.change, unit)]
    return answer(r.known, table(rows, ["outcome"]), figures, **_facts(r, first), both=r.evidence.both)


def _times(e: Estimate, by: float) -> Estimate:
    return Estimate(e.value * by, e.low * by, e.high * by, e.se * by, e.n, e.p)


@finding("before-and-after", named=lambda company, r, *_, **__: f"{slug(r)}-outcome")
def before_and_after(company: Company, r: Result) -> Answer:
    """Return before and after of those reached, beside what was to be expected anyway; no effect is claimed."""
    rows = r.evidence.before
    moved = [
        {"what": row["what"], "unit": row["unit"], "change": Estimate(row["value"], row["low"], row["high"]),
         "anyway": Estimate(*(row[k] for k in ("anyway", "anyway_low", "anyway_high")))}
        for row in rows.to_dict("records")
    ]  # fmt: skip
    for row in moved:
        row["expected"] = not math.isnan(row["anyway"].value)
    return answer(
        "observed", rows, (), initiative=r.initiative, moved=moved, why=r.evidence.why, remedy=r.evidence.remedy
    )


@finding("statements")
def statements(company: Company, found: Sequence[Result]) -> Answer:
    """Return every outcome statement as fields, for machines: what, by how much, over how long, of whom, worth what."""
    require(company)
    if not found:
        raise Unanswered("no-initiative-run")
    rows = []
    for r in found:
        for s in r.statements:
            always = {"known": s.known, "currency": company.settings.currency}
            said = (
                _say("outcome", "headline", **_facts(r, s), **always)
                if s.counted
                else _say("statements", "unmeasured", initiative=r.initiative, why=r.evidence.why)
            )
            rows.append({"sentence": said} | _flat(s.record()))
    by = [r.statement.verdict for r in found]
    return answer(
        EACH, pd.DataFrame(rows), (), initiatives=len(found), met=by.count(SUPPORTED), missed=by.count(NOT_SUPPORTED),
        open=by.count(INCONCLUSIVE), unknown=by.count(CANNOT_TELL),
    )  # fmt: skip


def _flat(record: dict[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{key}_{k}": v for k, v in value.items() if k in ("value", "low", "high", "n")}
        elif key != "worth":  # not known: the columns of the others stay empty
            flat[key] = value
    return flat


@finding("checks", named=lambda company, r, *_, **__: f"{slug(r)}-checks")
def checks(company: Company, r: Result) -> Answer:
    """Return the checks that could have spoken against the effect of one initiative, and what they showed."""
    if not r.evidence.checks:
        raise Unanswered("no-checks", initiative=r.initiative, design=r.evidence.design)
    nothing = Estimate(math.nan, math.nan, math.nan)
    rows = [
        {"check": c.name, "result": c.verdict, "should": c.should, "said": c.said, "estimate": c.estimate or nothing,
         "p": c.p}
        for c in r.evidence.checks
    ]  # fmt: skip
    by = {passed: [c.name for c in r.evidence.checks if c.passed is passed] for passed in (True, False, None)}
    return answer(
        r.known, table(rows, ["check", "result", "should", "said"]), (), initiative=r.initiative, passed=len(by[True]),
        made=len(by[True]) + len(by[False]), failed=by[False], not_made=by[None],
    )  # fmt: skip


@finding("months", named=lambda company, r, *_, **__: f"{slug(r)}-months")
def over_time(company: Company, r: Result) -> Answer:
    """Return the difference per customer by month since the start, the months before as a check."""
    rows = r.evidence.events
    if not len(rows):
        raise Unanswered("no-months", initiative=r.initiative)
    before, after = rows[rows["event_time"] < 0], rows[rows["event_time"] >= 0]
    last = after[after["event_time"] == r.evidence.months - 1].iloc[0]
    return answer(
        r.known, rows, (), initiative=r.initiative, months=r.evidence.months,
        difference=Estimate(last["value"], last["low"], last["high"]), before=len(before),
        lowest=float(before["value"].min()) if len(before) else 0.0,
        highest=float(before["value"].max()) if len(before) else 0.0, staggered=r.evidence.design == STAGGERED,
    )  # fmt: skip


# ---- what is it worth? ----------------------------------------------------------------------------------------------


@finding("payback", named=lambda company, r, *_, **__: f"{slug(r)}-payback")
def payback(company: Company, r: Result) -> Answer:
    """Return what one initiative is worth: return, present value, payback, chance of a loss; its money by month."""
    _compared(r)
    w, name, currency = r.money, slug(r), company.settings.currency
    cashed, whole = r.credited(r.terms.share, include_time_only=False), r.credited(1.0)
    label = lambda key: _say("payback", key, initiative=r.initiative, months=r.evidence.months)  # noqa: E731
    figures = (
        Figure(f"{name}-effect", label("effect"), r.evidence.effect, currency, "customers"),
        Figure(f"{name}-npv", label("npv_figure"), w.net_present_value, currency),
        roi_figure(company, r),
    )
    return answer(
        r.money_known, w.cumulated, figures, initiative=r.initiative, outlook=outlook_words(r), roi=w.roi,
        benefit=w.benefit, effect=r.money_known in EFFECTS, share=r.terms.share, whole=whole.roi,
        cost=w.cost, customers=r.evidence.paths.customers, months=r.evidence.paths.months, npv=w.net_present_value,
        loss=w.loss_probability, payback=w.payback, discounted=w.discounted_payback.value,
        contacts=company.has("contacts"), cashable=company.settings.money.support_cashable, cashed=cashed.roi,
    )  # fmt: skip


@finding("parts", named=lambda company, r, *_, **__: f"{slug(r)}-parts")
def adding_up(company: Company, r: Result) -> Answer:
    """Return how the benefit of an initiative adds up: each amount once, the parts equal to the total exactly."""
    _compared(r)
    rows = cash_flows.parts(r.evidence.paths, company.settings.money.support_cashable, r.terms.share)
    parts, total = rows[rows["channel"] != "in all"], rows[rows["channel"] == "in all"].iloc[0]
    top = parts.loc[parts["value"].abs().idxmax()]
    return answer(
        r.money_known, rows, (), initiative=r.initiative, total=total["value"], top=top["channel"],
        top_value=top["value"], months=r.evidence.paths.months, effect=r.money_known in EFFECTS, share=r.terms.share,
    )  # fmt: skip


@finding("horizon", named=lambda company, r, *_, **__: f"{slug(r)}-horizon")
def horizons(company: Company, r: Result) -> Answer:
    """Return the net present value over the months observed and, projected, over the horizon by declared fading."""
    _compared(r)
    m, seen, about = company.settings.money, r.evidence.paths.months, {"initiative": r.initiative}
    if m.effect_kept_a_year is None:
        raise Unanswered("no-fading", **about)
    if m.horizon_months <= seen:
        raise Unanswered("horizon-too-short", horizon=m.horizon_months, seen=seen, **about)
    observed = r.money.net_present_value
    rows = [{"case": _say("horizon", "observed", seen=seen), "estimate": observed, "is": "observed"}]
    cases = []
    for kept in dict.fromkeys(m.effect_kept_a_year):
        longer = cash_flows.worth_of(cash_flows.extended(r.evidence.paths, m.horizon_months, kept), r.terms)
        cases.append({"kept": kept, "npv": longer.net_present_value})
        case = _say("horizon", "projected", horizon=m.horizon_months, kept=kept)
        rows.append({"case": case, "estimate": longer.net_present_value, "is": "projected"})
    return answer(
        "forecast", table(rows, ["case"]), (), seen=seen, horizon=m.horizon_months, observed=observed, cases=cases,
        **about,
    )  # fmt: skip


@finding("break-even", named=lambda company, r, *_, **__: f"{slug(r)}-break-even")
def needed(company: Company, r: Result) -> Answer:
    """Return how large each effect alone would have to be for the cost to come back."""
    _compared(r)
    rows = cash_flows.break_even(r.evidence.paths, r.terms)
    currency = company.settings.currency
    e = {
        (row["lever"], row["unit"]): Estimate(row["value"], row["low"], row["high"]) for row in rows.to_dict("records")
    }
    rows["needed"] = [_say("break-even", "needed", unit=unit, e=v, currency=currency) for (_, unit), v in e.items()]
    fall, more = e["leaving falls by", "relative"], e["leaving falls by", "share here at the end"]
    rise = e["earned per customer here rises by", "relative"]
    churn = r.evidence.outcomes.get("churn")
    seen = towards(churn.relative, -1) if churn else Estimate(math.nan, math.nan, math.nan)
    return answer(
        r.money_known, rows, (), initiative=r.initiative, months=r.evidence.paths.months,
        enough=math.isfinite(fall.value), fall=fall, more=more, spend_enough=math.isfinite(rise.value), rise=rise,
        seen=seen, was_seen=math.isfinite(seen.value), seen_months=r.evidence.months,
    )  # fmt: skip


@finding("tornado", named=lambda company, r, *_, **__: f"{slug(r)}-tornado")
def sensitivity(company: Company, r: Result) -> Answer:
    """Return which input moves the net present value most."""
    _compared(r)
    m = company.settings.money
    rows = cash_flows.tornado(r.evidence.paths, r.terms, horizon=m.horizon_months, kept_a_year=m.effect_kept_a_year)
    top = rows.iloc[0]
    low, high = sorted((top["low"], top["high"]))
    flipped = int(((rows["low"] < 0) != (rows["high"] < 0)).sum())
    rows = rows.assign(input=[f"{i} ({w})" for i, w in zip(rows["input"], rows["range_is"], strict=True)])
    projected = bool(m.effect_kept_a_year and m.horizon_months > r.evidence.paths.months)
    return answer(
        "forecast" if projected else r.money_known, rows, (), initiative=r.initiative, top=top["input"], low=low,
        high=high,
        share=r.terms.share, horizon=m.horizon_months, projected=projected, flipped=flipped, inputs=len(rows),
    )  # fmt: skip
