"""06_roi: what did each initiative bring, for what it cost?

Return is the difference of two cash-flow paths of the same customers, with and without the initiative: what they paid (as
margin) less what serving them cost, somebody who has left paying nothing. Each pound enters once. Whether the difference
can be known depends on how customers were chosen, and is said first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import pandas as pd

from cxlib.counts import people
from cxlib.counts.programmes import Programme, programmes
from cxlib.intake.company import Company
from cxlib.page.findings import (  # fmt: skip
    Figure,
    Finding,
    interval,
    listing,
    money,
    number,
    percent,
    table,
    unanswered,
)
from cxlib.roi import cash_flows, designs, outcome_statement, scenarios
from cxlib.roi.cash_flows import Money
from cxlib.roi.evidence import Evidence
from cxlib.roi.outcome_statement import Statement
from cxlib.roi.priorities import Candidate
from cxlib.stats import draws
from cxlib.stats.estimate import Estimate
from cxlib.page.valuation import period_rate

# What the tables of the page show, by the heading a reader sees.
RETURNS = {"initiative": "Initiative", "credited": "Credited", "value": "Return", "low": "from", "high": "to", "benefit": "Benefit",
           "cost": "Cost", "npv": "Net present value", "loss": "Chance of a loss"}  # fmt: skip
CHECKS = {"check": "Check", "result": "Result", "said": "What was seen"}
NEEDED = {"lever": "Alone", "unit": "Counted as", "value": "Needed", "low": "from", "high": "to"}


@dataclass(frozen=True, eq=False)
class Result:
    """One initiative that has run: how its effect is known, what it is worth, and what may be said of it.

    ``terms``: cost, rate and what is cash, as the functions of ``cash`` want them. Without ``known`` there is no effect, and
    ``why`` says why.
    """

    evidence: Evidence
    statements: tuple[Statement, ...]
    terms: dict[str, float]

    @property
    def programme(self) -> Programme:
        """Return what is recorded of it."""
        return self.evidence.programme

    @property
    def initiative(self) -> str:
        """Return its name."""
        return self.programme.name

    @property
    def grade(self) -> str:
        """Return how well its effect is known."""
        return self.evidence.grade

    @property
    def why(self) -> str:
        """Return the comparison in words, or why there is none."""
        return self.evidence.why

    @property
    def known(self) -> bool:
        """Tell whether there is an effect to speak of."""
        return self.evidence.known

    @property
    def statement(self) -> Statement:
        """Return the outcome statement of what it was meant to move (else of leaving)."""
        return self.statements[0]

    @property
    def effect(self) -> Estimate | None:
        """Return money per customer reached, over the months of the evidence; None where it is not known."""
        return self.evidence.effect

    @cached_property
    def money(self) -> Money | None:
        """Return what all customers reached brought against the whole cost, all of the effect credited."""
        return cash_flows.worth_of(self.evidence.paths, **self.terms) if self.known else None

    def credited(self, share: float, **changed: float) -> Money:
        """Return the money with a share of the effect credited, and other terms changed."""
        return cash_flows.worth_of(self.evidence.paths, **(self.terms | changed), share=share)


def results(company: Company, window_months: int = 12) -> list[Result]:
    """Evaluate every initiative that has run: how it was given decides what can be known of it."""
    return list(_results(company, window_months)) if why_not(company) is None else []


@lru_cache(maxsize=2)  # asked for by several sections of a page
def _results(company: Company, window_months: int) -> tuple[Result, ...]:
    return tuple(_result(company, e) for e in designs.evaluate_all(company, programmes(company), window_months))


def _result(company: Company, e: Evidence) -> Result:
    m, p = company.settings.money, e.programme
    terms = {
        "cost_upfront": p.cost_upfront, "cost_per_month": p.cost_per_month, "running": e.paths.months if e.known else 0,
        "monthly_rate": period_rate(company), "cashable": m.support_cashable,
    }  # fmt: skip
    worth = None
    if e.known:
        value = e.paths.customers * cash_flows.present_value(e.paths, terms["monthly_rate"])
        worth = draws.estimate(value[0], value[1:], e.paths.base, groups=int(e.paths.groups))
    means = {
        "value_is": m.value_is, "currency": company.settings.currency, "convention": m.discount_convention,
        "discount_rate": m.discount_rate,
    }  # fmt: skip
    first = p.outcome if p.outcome in e.outcomes else "churn"
    kinds = [k for k in e.outcomes if k == first] + [k for k in e.outcomes if k != first]
    said = [outcome_statement.state(e, e.outcomes[k], worth, **means) for k in kinds] or [
        outcome_statement.state(e, None, None, **means)
    ]
    return Result(e, tuple(said), terms)


def why_not(company: Company) -> str | None:
    """Return why no return can be computed at all, or None."""
    if company.settings.money is None:
        return NO_MONEY
    for needed in ("initiatives", "orders"):
        if missing := people.require(company, needed):
            return f"{missing}."
    return None


# ---- the answer -----------------------------------------------------------------------------------------------------


def summary(company: Company, found: Sequence[Result]) -> Finding:
    """Answer: what did we get back for what we spent, initiative by initiative?"""
    name, title = "returns", "Return per unit of money spent, (benefit - cost) / cost"
    if why := why_not(company):
        return unanswered(name, title, why)
    known = [r for r in found if r.known]
    if not known:
        return unanswered(name, title, "; ".join(f"{r.initiative}: {r.why}" for r in found) or "no initiative has run.")
    rows = []
    for r in known:
        stated = r.programme.attribution_share
        shares = [("none", 0.0), *([("stated", stated)] if stated < 1 else []), ("all", 1.0)]
        for credited, share in shares:
            worth = r.credited(share)
            rows.append(
                {"initiative": r.initiative, "credited": f"{credited} ({percent(share, 0)})", "estimate": worth.roi, "grade": r.grade,
                 "benefit": worth.benefit.value, "cost": worth.cost, "npv": worth.net_present_value.value,
                 "loss": percent(worth.loss_probability, 0)}
            )  # fmt: skip
    write = lambda v: number(v, 2)  # noqa: E731
    text = f"Returned per {company.settings.currency} spent, cost taken off: " + "; ".join(
        f"{r.initiative} {interval(r.money.roi, write, short=i > 0)}" for i, r in enumerate(known)
    )
    rest = [r.initiative for r in found if not r.known]
    text += f"; {listing(rest)} cannot be told" if rest else ""
    caveats = (
        "Over the months observed, all programme cost of those months in it; nothing after them is counted.",
        "Credited is the share of the effect put down to the initiative: an input, shown at none, as stated and at all. The effects "
        "of several initiatives on the same customers are not added up here.",
    )
    grade = max(r.grade for r in known)
    return Finding(name, title, text + ".", grade, table(rows, ["initiative", "credited"]), caveats=caveats)


# ---- did it work? ---------------------------------------------------------------------------------------------------


def statement(company: Company, r: Result) -> Finding:
    """Return the outcome statement of one initiative, and everything it may have moved as table."""
    name, title = f"{slug(r)}-outcome", f"{r.initiative}: change against the same customers without it"
    if not r.known and not len(r.evidence.before):
        return Finding(name, title, r.statement.sentence, "D", caveats=_remedy(r), answered=False)
    if not r.known:
        return _before_and_after(company, r, name)
    rows = []
    for said in r.statements:
        change, unit = (said.change, said.unit) if math.isnan(said.relative.value) else (said.relative, "relative")
        rows.append(
            {"outcome": f"{said.label} ({'% of the level without' if unit == 'relative' else unit})",
             "estimate": _times(change, 100) if unit == "relative" else change, "level": said.level.value, "change": said.change.value,
             "unit": said.unit, "verdict": said.verdict}
        )  # fmt: skip
    figures = tuple(
        Figure(f"{slug(r)}-{said.outcome}", f"{r.initiative}: change in {said.label}", said.change, said.unit)
        for said in r.statements[:1]
    )
    caveats = (f"{r.why[0].upper()}{r.why[1:]}.", *_remedy(r))
    return Finding(name, title, r.statement.sentence, r.grade, table(rows, ["outcome"]), figures, caveats)


def _times(e: Estimate, by: float) -> Estimate:
    return Estimate(e.value * by, e.low * by, e.high * by, e.se * by, e.n, e.p)


def _remedy(r: Result) -> tuple[str, ...]:
    return (f"What would make it known: {r.evidence.remedy}",) if r.evidence.remedy else ()


def _before_and_after(company: Company, r: Result, name: str) -> Finding:
    """Return before and after of those reached, beside what would have come anyway; no effect is claimed."""
    rows, parts = r.evidence.before, []
    for row in rows.to_dict("records"):
        e, a = (Estimate(row[k], row[f"{p}low"], row[f"{p}high"]) for k, p in (("value", ""), ("anyway", "anyway_")))
        write = lambda v: number(v, 2)  # noqa: E731
        part = f"{row['what']} moved by {interval(e, write)} {row['unit']}"
        if not math.isnan(a.value):
            part += f", of which {interval(a, write, short=True)} comes by itself after such scores (regression to the mean)"
        parts.append(part)
    text = f"Before and after only, which is no effect: {'; '.join(parts)}. {r.statement.sentence}"
    return Finding(name, f"{r.initiative}: before and after", text, "D", rows, caveats=_remedy(r))


def statements(company: Company, found: Sequence[Result]) -> Finding:
    """Return every outcome statement as fields, for machines: what, by how much, over how long, of whom, worth what."""
    name, title = "statements", "Outcome statements"
    if not found:
        return unanswered(name, title, why_not(company) or "no initiative has run.")
    rows = [_flat(s.record()) for r in found for s in r.statements]
    by = pd.Series([r.statement.verdict for r in found]).value_counts()
    text = f"Of {len(found)} initiatives: " + ", ".join(f"{n} {v}" for v, n in by.items()) + "."
    grade = max([r.grade for r in found if r.known] or ["D"])
    return Finding(name, title, text, grade, pd.DataFrame(rows))


def _flat(record: dict[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{key}_{k}": v for k, v in value.items() if k in ("value", "low", "high", "n")}
        else:
            flat[key] = value
    return flat


def checks(company: Company, r: Result) -> Finding:
    """Return what would have spoken against the effect of one initiative, and whether it did."""
    name, title = f"{slug(r)}-checks", f"{r.initiative}: what would have spoken against it"
    if not r.evidence.checks:
        return unanswered(name, title, f"{r.initiative} is {r.evidence.design}, so there is nothing to check.")
    rows = pd.DataFrame([{"check": c.name, "result": c.verdict, "said": c.said} for c in r.evidence.checks])
    by = rows["result"].value_counts()
    failed = [c.name for c in r.evidence.checks if c.passed is False]
    text = f"{by.get('passed', 0)} of {len(rows)} checks passed, {by.get('failed', 0)} failed" + (
        f" ({listing(failed)})" if failed else ""
    )
    text += f", {by['not possible']} could not be made." if "not possible" in by else "."
    return Finding(name, title, text, r.grade, rows, caveats=("A check that passes does not prove the groups alike.",))


def over_time(company: Company, r: Result) -> Finding:
    """Return the difference a month by months since the start, the months before as the check."""
    name, title = f"{slug(r)}-months", f"{r.initiative}: money per customer and month, reached less others"
    if not len(r.evidence.events):
        return unanswered(name, title, f"{r.initiative} has no months to compare.")
    rows = r.evidence.events
    pre, after = rows[rows["event_time"] < 0], rows[rows["event_time"] >= 0]
    write = lambda v: money(v, company.settings.currency, 2)  # noqa: E731
    last = after[after["event_time"] == r.evidence.months - 1].iloc[0]
    e = Estimate(last["value"], last["low"], last["high"])
    text = f"In the last of {r.evidence.months} months counted: {interval(e, write)} per customer"
    if len(pre):
        text += f"; in {len(pre)} months before the start between {write(pre['value'].min())} and {write(pre['value'].max())}"
    text += "."
    step = (
        "Each month before the start is the step from the month before; after it, the change since the last month before."
        if r.evidence.design == "rolled out in steps"
        else "Month 0 is the first; what the groups differed by before is taken off the effect, not off this figure."
    )
    return Finding(name, title, text, r.grade, rows, caveats=(step,))


def planned(company: Company) -> list[Programme]:
    """Return the initiatives that have not begun."""
    return [p for p in programmes(company) if p.planned] if why_not(company) is None else []


def unfinished(found: Sequence[Result]) -> list[Result]:
    """Return those whose declared months are not over."""
    return [r for r in found if r.known and r.evidence.months < r.programme.effect_months]


def candidates(company: Company, found: Sequence[Result]) -> list[Candidate]:
    """Return what money could go to next: initiatives with a known effect, and planned ones as scenarios."""
    there = []
    for r in (r for r in found if r.known):
        e, gain = r.evidence.paths, cash_flows.present_value(r.evidence.paths, r.terms["monthly_rate"])
        cost = e.customers * float(gain[0]) - r.money.net_present_value.value  # in today's money
        there.append(Candidate(r.initiative, r.programme.id, cost, gain, e.customers, r.grade, groups=e.groups))
    for p in planned(company):
        scenario = scenarios.planned(company, p)
        if not scenario.answered:
            continue
        cost, net = scenarios.cost_today(company, p, p.effect_months or 12), scenario.figures[0].estimate
        gain = Estimate(*((v + cost) / p.planned_customers for v in (net.value, net.low, net.high)))
        there.append(Candidate(p.name, p.id, cost, gain, p.planned_customers, scenario.grade, scenario=True))
    return there


# ---- what is it worth? ----------------------------------------------------------------------------------------------


def finding(company: Company, r: Result) -> Finding:
    """Return what one initiative is worth: return, present value, payback, probability of a loss; its money month by month."""
    name, title = slug(r), f"{r.initiative}: cumulated benefit less cost"
    if not r.known:
        return Finding(name, title, r.statement.sentence, "D", caveats=_remedy(r), answered=False)
    worth, currency, months = r.money, company.settings.currency, r.evidence.paths.months
    write = lambda v: money(v, currency)  # noqa: E731
    ratio = lambda v: number(v, 2)  # noqa: E731
    text = (
        f"Benefit of {r.initiative}: {interval(worth.benefit, write)} from {number(r.evidence.paths.customers, 0)} customers within "
        f"{months} months, for a cost of {write(worth.cost)}: a return of {interval(worth.roi, ratio, short=True)} per {currency} spent, "
        "cost taken off."
    )
    total = (
        f"Net present value {interval(worth.net_present_value, write)}; the probability that the money is not back within {months} "
        f"months is {percent(worth.loss_probability, 0)}. Payback {_after(worth.payback)}; discounted {_after(worth.discounted_payback)}."
    )
    if r.grade not in "AB":
        total += f" This is no proven effect (grade {r.grade}): it is what the difference would be worth if all of it were one."
    cashed = r.credited(1.0, include_time_only=False)
    caveats = [total]
    if company.has("contacts"):
        share = company.settings.money.support_cashable
        declared = (
            "none of it is declared to leave the books"
            if share is None
            else f"{percent(share, 0)} of it is declared to leave the books"
        )
        caveats.append(
            f"Counting of the support saved only what is cash ({declared}), the return is {interval(cashed.roi, ratio)}."
        )
    caveats.append("Nothing is extrapolated: only months observed count, and all programme cost in them.")
    figures = (
        Figure(
            f"{name}-effect",
            f"{r.initiative}: effect per customer, {r.evidence.months} months",
            r.effect,
            f"{currency} per customer",
        ),
        Figure(f"{name}-npv", f"{r.initiative}: net present value", worth.net_present_value, currency),
        Figure(f"{name}-roi", f"{r.initiative}: (benefit - cost) / cost", worth.roi, "ratio"),
    )
    return Finding(name, title, text, r.grade, worth.cumulated, figures, tuple(caveats))


def _after(e: Estimate) -> str:
    """Return a payback with its range in words: months, or not within them."""
    word = lambda v: "not in that time" if not math.isfinite(v) else f"{number(v)} months"  # noqa: E731
    return (
        f"after {word(e.value)} ({word(e.low)} to {word(e.high)})"
        if math.isfinite(e.value)
        else f"{word(e.value)} ({word(e.low)} at best)"
    )


def adding_up(company: Company, r: Result) -> Finding:
    """Return how the benefit of an initiative adds up: each pound once, the parts their total exactly."""
    name, title = f"{slug(r)}-parts", f"{r.initiative}: how the benefit adds up"
    if not r.known:
        return unanswered(name, title, f"of {r.initiative} nothing is known to add up.")
    rows = cash_flows.parts(r.evidence.paths, company.settings.money.support_cashable)
    write = lambda v: money(v, company.settings.currency)  # noqa: E731
    shown = rows[rows["channel"] != "in all"]
    text = "; ".join(f"{row['channel']} {write(row['value'])}" for row in shown.to_dict("records") if row["value"])
    total = rows.loc[rows["channel"] == "in all", "value"].iloc[0]
    return Finding(
        name,
        title,
        f"Of all customers reached, {r.evidence.paths.months} months: {text}; in all {write(total)}.",
        r.grade,
        rows,
    )


def horizons(company: Company, r: Result) -> Finding:
    """Return the net present value over the months observed and, as a projection, over the horizon for each declared fading."""
    name, title = f"{slug(r)}-horizon", f"{r.initiative}: net present value, observed and projected"
    m = company.settings.money
    if not r.known:
        return unanswered(name, title, f"of {r.initiative} nothing is known to project.")
    if m.effect_kept_a_year is None:
        return unanswered(
            name,
            title,
            "company.yaml declares no effect_kept_a_year in its money block: how much of an effect is left a year on.",
        )
    seen, months = r.evidence.paths.months, m.horizon_months
    if months <= seen:
        return unanswered(name, title, f"the horizon of {m.horizon_months} months is not beyond the {seen} observed.")
    rows = [{"case": f"observed, {seen} months", "estimate": r.money.net_present_value, "is": "observed"}]
    for kept in dict.fromkeys(m.effect_kept_a_year):
        longer = cash_flows.worth_of(cash_flows.extended(r.evidence.paths, months, kept), **r.terms)
        rows.append(
            {
                "case": f"{months} months, {percent(kept, 0)} of the effect left a year on",
                "estimate": longer.net_present_value,
                "is": "projected",
            }
        )
    write = lambda v: money(v, company.settings.currency)  # noqa: E731
    first, *rest = rows
    text = (
        f"Net present value {interval(first['estimate'], write)} over the {seen} months observed; projected: "
        + ", ".join(f"{interval(row['estimate'], write, short=True)} over {row['case']}" for row in rest)
    )
    caveats = (
        f"Projected, not observed: after month {seen} the programme is neither paid nor run, customers leave and pay as those without it "
        "did, and the effect on behaviour fades as declared; customers kept stay customers.",
    )
    return Finding(name, title, f"{text}.", r.grade, table(rows, ["case"]), caveats=caveats)


def needed(company: Company, r: Result) -> Finding:
    """Return how large each effect alone would have to be for the cost to come back."""
    name, title = f"{slug(r)}-break-even", f"{r.initiative}: smallest effect that pays"
    if not r.known:
        return unanswered(name, title, f"of {r.initiative} no path of customers is known.")
    rows = cash_flows.break_even(r.evidence.paths, **r.terms)
    e = {
        (row["lever"], row["unit"]): Estimate(row["value"], row["low"], row["high"]) for row in rows.to_dict("records")
    }
    fall, more = e["leaving falls by", "relative"], e["leaving falls by", "share here at the end"]
    months = r.evidence.paths.months
    if math.isfinite(fall.value):
        points = lambda v: number(100 * v)  # noqa: E731
        text = (
            f"The cost comes back within {months} months if leaving alone falls by at least {interval(fall, percent)}, that is "
            f"{interval(more, points, short=True)} percentage points more customers still here at their end."
        )
    else:
        text = f"Within {months} months the cost would not come back even if nobody left."
    rise = e["earned per customer here rises by", "relative"]
    text += f" By spend alone it would take {interval(rise, percent, short=True)} more per customer."
    rows["unit"] = rows["unit"].replace({"money a month": f"{company.settings.currency} a month"})
    return Finding(
        name,
        title,
        text,
        r.grade,
        rows,
        caveats=("Each lever alone, all else as without the initiative; the interval is that of the path without it.",),
    )


def sensitivity(company: Company, r: Result) -> Finding:
    """Return which input moves the net present value most."""
    name, title = f"{slug(r)}-tornado", f"{r.initiative}: net present value at both ends of each input"
    if not r.known:
        return unanswered(name, title, f"of {r.initiative} nothing is known to vary.")
    m = company.settings.money
    terms = r.terms | {"share": r.programme.attribution_share}
    rows = cash_flows.tornado(r.evidence.paths, **terms, horizon=m.horizon_months, kept_a_year=m.effect_kept_a_year)
    rows = rows.assign(input=[f"{i} ({w})" for i, w in zip(rows["input"], rows["range_is"], strict=True)])
    write = lambda v: money(v, company.settings.currency)  # noqa: E731
    top = rows.iloc[0]
    ends = sorted((top["low"], top["high"]))
    text = f"What matters most is {top['input']}: it moves the net present value from {write(ends[0])} to {write(ends[1])}."
    credited = f"With {percent(terms['share'], 0)} of the effect credited, as stated" + (
        f", over {m.horizon_months} months (projected)."
        if m.effect_kept_a_year and m.horizon_months > r.evidence.months
        else "."
    )
    flipped = rows[(rows["low"] < 0) != (rows["high"] < 0)]
    caveats = (
        credited,
        f"{len(flipped)} of {len(rows)} inputs can turn a gain into a loss, or back, within their range.",
    )
    return Finding(name, title, text, r.grade, rows, caveats=caveats)


def slug(r: Result) -> str:
    """Return the name of an initiative as used in names of tables."""
    return "initiative-" + "".join(ch if ch.isalnum() else "-" for ch in r.initiative.lower()).strip("-")
