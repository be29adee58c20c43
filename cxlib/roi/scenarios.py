"""06_roi: before a programme starts or matures, what it would be worth. What a trial would need is in ``trials``.

A scenario is no result. One that rests on an association reaches from nothing (the association may be no effect at all) to the
upper end of the association's interval; one that rests on what the team expects, from nothing to all of that. Money is
counted as elsewhere on the page: the set-up is paid at once, all else falls at the end of each month.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cxlib.churn.retention import slug
from cxlib.counts import answers, customer_base, people, planned_reach
from cxlib.counts.programmes import Programme
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, interval, money, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.roi import cash_flows
from cxlib.roi.cash_flows import Paths, Side
from cxlib.roi.evidence import Evidence
from cxlib.stats import draws, finance
from cxlib.stats.estimate import Estimate
from cxlib.page.valuation import period_rate, share_kept
from cxlib.value import by_score

NOTHING, HALF, ALL, UPPER = "nothing of it", "half of it", "all of it", "all of it, at the upper end"
SEEN, STOPS, LASTS = "seen so far", "the effect stops today", "the effect lasts"
PREFIX = "Scenario, not a result: "
Among = Mapping[str, str] | None  # customers with these values of their columns; None: all

# What the tables of the page show, by the heading a reader sees.
PLANNED = {"case": "If", "benefit": "Benefit", "cost": "Cost", "value": "Net present value", "low": "Low", "high": "High",
           "roi": "Return on cost"}  # fmt: skip
PART_YEAR = {"case": "If", "months": "Months", **{k: v for k, v in PLANNED.items() if k != "case"}}


# ---- the customers of the months behind us ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Past:
    """Customers as they went without anything new: ``side`` over the months asked for, of which ``seen`` were observed.

    ``customers``: followed; ``contacts``: cases a customer over the months seen, ``each``: money an order (both 1 + draws).
    """

    side: Side
    seen: int
    customers: float
    contacts: np.ndarray
    each: np.ndarray


def past(company: Company, months: int, among: Among = None) -> Past | str:
    """Follow the customers who were here so many months ago; beyond what is seen, as on average in the months seen.

    Returns why they cannot be followed where that is so.
    """
    for column in among or {}:
        customer_base.level_of(company, column)  # refuses a column that customers do not have
    if company.settings.relationship == "contractual" and not company.has("customers", "left_on"):
        return "customers has no left_on, so nobody is seen to leave."
    first, seen = planned_reach.followed_since(company, months)
    if seen < 1:
        return "customers have not been followed for a whole month."
    grid, least = planned_reach.past_months(company, first, seen, among), company.settings.privacy.minimum_base
    n = float(grid.loc[grid["month"] == 0, "customers"].sum())
    if n < least:
        return f"{n:,.0f} customers were here {seen} months ago, fewer than {least}."
    weights = resamples(company)
    columns = ["customers", "here", "revenue", "margin", "service", "contacts"]
    __, sums = draws.resample(grid, "fold", columns, ["month"], weights)
    sums = dict(zip(columns, np.moveaxis(sums, 2, 0), strict=True))
    here, revenue, margin, service, contacts = (sums[c] / sums["customers"] for c in columns[1:])
    own = company.has("orders", "margin") and company.settings.money and company.settings.money.value_is == "margin"
    earned = margin if own else revenue * (share_kept(company) if company.settings.money else 1.0)
    side, each = Side(here, earned, service), np.full(len(weights), math.nan)
    if months > seen:
        side = cash_flows.extended(_paths(side, side, n, n), months, 1.0).without
    if company.orders is not None:
        __, bought = draws.resample(
            planned_reach.orders_since(company, first, among), "fold", ["orders", "revenue"], [], weights
        )
        each = bought[:, 0, 1] / bought[:, 0, 0]
    return Past(side, seen, n, contacts.sum(1), each)


def _paths(with_it: Side, without: Side, customers: float, behind: float) -> Paths:
    return Paths(with_it, without, customers, behind, 256)


def fewer_leaving(side: Side, relative: float) -> Side:
    """Return the path on which a share ``relative`` of those who leave by each month stays, paying and costing as the others."""
    here = 1 - (1 - side.here) * (1 - relative)
    still = np.divide(here, side.here, out=np.zeros_like(here), where=side.here > 0)
    return Side(here, side.earned * still, side.service * still)


# ---- what a planned programme would be worth -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Case:
    case: str
    benefit: float
    net: Estimate


def _missing(programme: Programme) -> str | None:
    """Return the column of initiatives without which there is no scenario."""
    needed = {
        "outcome": programme.outcome,
        "expected_effect": programme.expected_effect > 0,
        "effect_is": programme.effect_is,
        "planned_customers": programme.planned_customers > 0,
    }
    return next((column for column, given in needed.items() if not given), None)


def planned(company: Company, programme: Programme, window_months: int = 12, among: Among = None) -> Finding:
    """Answer: what would a planned programme be worth, if none, half or all of what is hoped for is an effect of it?

    Outcome a score: the value that goes with a point of it (``value.by_score``) times the points expected (grade C). Churn,
    contacts, order_value: today's level over as many months, changed by what the team expects (grade D). ``window_months``
    where the programme has no effect_months; ``among``: the customers whose past stands for those to be reached.
    """
    name, title = slug("scenario", programme.name), f"{programme.name}: what it would be worth, if"
    if why := _why_not_planned(company, programme):
        return unanswered(name, title, why)
    months = programme.effect_months or window_months
    scored = programme.outcome in company.settings.metrics
    found = (
        _by_association(company, programme, months) if scored else _by_expectation(company, programme, months, among)
    )
    if isinstance(found, str):
        return unanswered(name, title, found)
    cases, rests_on, notes = found
    cost, n, write = programme.cost(months), programme.planned_customers, _writes(company)
    rows = [
        {"case": c.case, "estimate": replace(c.net, n=n), "benefit": c.benefit, "cost": cost,
         "roi": finance.return_on_investment(c.benefit, cost)} for c in cases
    ]  # fmt: skip
    net = {c.case: c.net.value for c in cases}
    ends = sorted(net.values())
    middle = net[ALL] if scored else net[HALF]
    from_nothing = net[ALL] - net[NOTHING]
    pays = -net[NOTHING] / from_nothing if from_nothing > 0 else math.inf
    is_, also = ("is an effect of it", "is") if scored else ("comes about", "does")
    text = (
        f"{PREFIX}{programme.name}, for {n:,} customers over {months} months at a cost of {write(cost)}, would bring {write(ends[0])} to "
        f"{write(ends[-1])} net of its cost, in today's money: {write(net[NOTHING])} if nothing of {rests_on} {is_}, "
        f"{write(net[HALF])} if half of it {also} and {write(net[ALL])} if all {also}. "
    )
    if pays <= 1:
        text += f"It pays from {percent(pays, 0)} of it on."
    else:
        text += "It would pay only towards the upper end." if ends[-1] > 0 else "It would not pay even then."
    scenario = Estimate(middle, min(ends[0], middle), max(ends[-1], middle), n=n)
    currency, grade = company.settings.currency or "", "C" if scored else "D"
    figures = (
        Figure(f"{name}-npv", f"{programme.name}: net present value, scenario ({'all' if scored else 'half'} of it)", scenario, currency),
    )  # fmt: skip
    if programme.attribution_share < 1:
        notes = [
            *notes,
            f"{percent(programme.attribution_share, 0)} of the benefit is credited to the programme, as stated.",
        ]
    return Finding(name, title, text, grade, table(rows, ["case"]), figures, tuple(notes))


def _why_not_planned(company: Company, programme: Programme) -> str | None:
    if not programme.planned:
        return f"{programme.name} has started; what it did is told from those it reached."
    if company.settings.money is None:
        return NO_MONEY
    if column := _missing(programme):
        return f"initiatives has no {column} for {programme.name}, and without it there is nothing to multiply."
    if programme.cost(1) <= 0:
        return f"initiatives gives no cost for {programme.name} (cost_upfront, cost_per_month)."
    return None


def _by_association(company: Company, programme: Programme, months: int) -> tuple[list[_Case], str, list[str]] | str:
    """Value what goes with the points expected of a score."""
    metric = programme.outcome
    if programme.effect_is != "points":
        return f"expected_effect of {programme.name} is relative, and a score has no natural zero: give points (effect_is)."
    if metric not in answers.metrics(company):
        return f"{metric.upper()} has no answers, so nothing is known of what goes with it."
    gaps = _gaps(company, metric, months)
    if isinstance(gaps, str):
        return gaps
    plain, discounted = gaps
    # A customer who turns from worst to best moves NPS by 200 / customers, a share by 100 / customers.
    whole = 200 if metric == "nps" else 100
    times = programme.expected_effect / whole * programme.planned_customers * programme.attribution_share
    cost = cost_today(company, programme, months)
    cases = []
    for case, share in ((NOTHING, 0.0), (HALF, 0.5), (ALL, 1.0)):
        ends = (share * times * v - cost for v in (discounted.value, discounted.low, discounted.high))
        cases.append(_Case(case, share * times * plain.value, Estimate(*ends)))
    top = times * max(discounted.high, 0.0) - cost
    cases.append(_Case(UPPER, times * max(plain.high, 0.0), Estimate(top, top, top)))
    unit = f"points of {metric.upper()}" if metric == "nps" else f"points of the share satisfied ({metric.upper()})"
    each = interval(plain, lambda v: money(v / whole, company.settings.currency, 2))
    notes = [
        f"A point goes with {each} per customer over {months} months: the gap in value between best and worst answers at equal mix, "
        f"divided by {whole}. {programme.expected_effect:g} {unit} are expected by those who plan it.",
        "The gap goes with the score and may be no effect of it at all: hence from nothing to the upper end of its interval (grade C).",
        "All customers reached are taken to move from the first month on, and the months after the last one are not counted.",
    ]
    return cases, f"what goes with {programme.expected_effect:g} {unit}", notes


def _gaps(company: Company, metric: str, months: int) -> tuple[Estimate, Estimate] | str:
    """Return the gap in value between best and worst answers over so many months: as it falls, and in today's money."""
    view, found = copy.copy(company), []  # the same customers, valued over the months of the programme
    contractual, m = company.settings.relationship == "contractual", company.settings.money
    for rate in (0.0, m.discount_rate)[: 1 + contractual]:
        update = {"horizon_months": months, "discount_rate": rate, "first_flow": "end"}
        view.settings = company.settings.model_copy(update={"money": m.model_copy(update=update)})
        told = by_score.by_score(view, metric, round(months * people.DAYS_A_MONTH))
        if not told.answered:
            return told.sentence.removeprefix("Not answered: ")
        found.append(told.figures[0].estimate)
    plain = found[0]
    if not contractual:  # what is bought in a window is not discounted there; here it is taken to fall evenly
        factor = float(factors(company, months).mean())
        found.append(Estimate(factor * plain.value, factor * plain.low, factor * plain.high, n=plain.n))
    return plain, found[1]


def factors(company: Company, months: int) -> np.ndarray:
    """Return what 1 at the end of each month is worth today."""
    return finance.discount_factors(period_rate(company), months, "end")


def cost_today(company: Company, programme: Programme, months: int) -> float:
    """Return the cost of so many months in today's money."""
    return programme.cost_upfront + programme.cost_per_month * float(factors(company, months).sum())


def _by_expectation(
    company: Company, programme: Programme, months: int, among: Among
) -> tuple[list[_Case], str, list[str]] | str:
    """Value what the team expects, against the path of the customers without it."""
    found = past(company, months, among)
    if isinstance(found, str):
        return found
    moved = _moved(company, programme, found)
    if isinstance(moved, str):
        return moved
    relative, level, of = moved
    cases = []
    for case, share in ((NOTHING, 0.0), (HALF, 0.5), (ALL, 1.0)):
        with_it = _changed(programme.outcome, found.side, share * relative)
        worth = _worth(company, programme, _paths(with_it, found.side, programme.planned_customers, found.customers))
        net = worth.net_present_value
        net = (
            net if math.isfinite(net.low) else Estimate(net.value, net.value, net.value)
        )  # without an effect all agree
        cases.append(_Case(case, worth.benefit.value, net))
    notes = [
        f"Without it: {level} over {months} months, as with the {found.customers:,.0f} customers here {found.seen} months ago. "
        f"Expected by those who plan it: {percent(relative)} {of}.",
        "The size rests on what the team expects and on no comparison: from nothing to all of it (grade D).",
    ]
    if found.seen < months:
        notes.append(f"{found.seen} months could be followed; the others are taken to go on as these did.")
    if programme.outcome == "contacts":
        notes.append("Support saved is counted in full; how much of it leaves the books is another matter.")
    return cases, f"the {percent(relative)} {of} expected", notes


def _moved(company: Company, programme: Programme, found: Past) -> tuple[float, str, str] | str:
    """Return the expected effect as a share of the level, that level in words, and what it is a share of; or why not."""
    kind, points = programme.outcome, programme.effect_is == "points"
    write = lambda v: money(v, company.settings.currency, 2)  # noqa: E731
    if kind == "churn":
        if company.settings.relationship != "contractual":
            return "without contracts nobody is seen to leave."
        level, said, of = 1 - float(found.side.here[0, -1]), percent, "fewer customers leaving"
        words = "of customers leave"
    elif kind == "contacts":
        if why := people.require(company, "contacts", "cost"):
            return f"{why}, so a contact has no price."
        level, said, of = float(found.contacts[0]), (lambda v: number(v, 2)), "fewer contacts"
        words = "contacts a customer"
    elif kind == "order_value":
        level, said, of = float(found.each[0]), write, "more per order"
        words = "an order"
    else:
        return f"there is no scenario for the outcome {kind}: what one more of it is worth is not known beforehand."
    if not level > 0:
        return f"the level of {kind} without the programme is not known or 0."
    relative = programme.expected_effect / level if points else programme.expected_effect
    if relative > 1 and kind != "order_value":
        return f"expected_effect of {programme.name} is more than all there is: the level without it is {said(level)}."
    return relative, f"{said(level)} {words}", of


def _changed(kind: str, side: Side, relative: float) -> Side:
    if kind == "churn":
        return fewer_leaving(side, relative)
    if kind == "contacts":
        return replace(side, service=side.service * (1 - relative))
    return replace(side, earned=side.earned * (1 + relative))


def _worth(company: Company, programme: Programme, paths: Paths) -> cash_flows.Money:
    """Return what paths are worth when the programme is paid as long as they last."""
    cost, share = (programme.cost_upfront, programme.cost_per_month, paths.months), programme.attribution_share
    return cash_flows.worth_of(paths, *cost, period_rate(company), share)


def _writes(company: Company) -> object:
    return lambda v: money(v, company.settings.currency or "")


# ---- a programme part of the way -------------------------------------------------------------------------------------


def part_year(company: Company, evidence: Evidence, window_months: int = 12) -> Finding:
    """Answer: what has a running programme brought so far, and what would the whole period bring?

    The whole period, effect_months of the programme (else ``window_months``), is a scenario: the effect stops today, fades as
    effect_kept_a_year of company.yaml declares, or lasts. The programme is paid to the end in every case.
    """
    programme = evidence.programme
    name, title = slug("part-year", programme.name), f"{programme.name}: so far, and over the whole period"
    if company.settings.money is None:
        return unanswered(name, title, NO_MONEY)
    if not evidence.known:
        return unanswered(name, title, evidence.why)
    whole, seen = programme.effect_months or window_months, evidence.months
    if whole <= seen:
        return unanswered(name, title, f"its {whole} months are over; what they brought is told above.")
    kept = company.settings.money.effect_kept_a_year
    fades = {f"{percent(k, 0)} of the effect is left a year on": k for k in sorted(set(kept or ())) if 0 < k < 1}
    longest = evidence.paths.months + whole - seen  # of a roll-out in steps the paths begin with the first one
    found = {SEEN: _worth(company, programme, evidence.paths)}
    for case, k in {STOPS: 0.0, **fades, LASTS: 1.0}.items():
        found[case] = _worth(company, programme, cash_flows.extended(evidence.paths, longest, k))
    rows = [
        {"case": case, "months": seen if case == SEEN else whole, "estimate": w.net_present_value, "benefit": w.benefit.value,
         "cost": w.cost, "roi": w.roi.value}
        for case, w in found.items()
    ]  # fmt: skip
    net, write = {case: w.net_present_value for case, w in found.items()}, _writes(company)
    text = (
        f"Seen so far, {seen} of {whole} months (grade {evidence.grade}): {interval(net[SEEN], write)} net of its cost, in today's money. "
        f"{PREFIX}over all {whole} months {interval(net[STOPS], write, short=True)} if the effect stops today and "
        f"{interval(net[LASTS], write, short=True)} if it lasts."
    )
    middle = [net[case].value for case in (fades or {STOPS: 0.0})]
    ahead = [net[case] for case in found if case != SEEN]
    span = Estimate(
        float(np.mean(middle)), min(e.low for e in ahead), max(e.high for e in ahead), n=evidence.paths.base
    )
    currency = company.settings.currency or ""
    figures = (Figure(f"{name}-npv", f"{programme.name}: net present value, {whole} months, scenario", span, currency),)
    caveats = (
        f"The {whole - seen} months beyond those seen are a projection: leaving, pay and service go on as in the months seen, and "
        "customers kept so far stay kept at that rate.",
        "The programme is paid to the end in every case, also where its effect stops.",
        *(
            ()
            if kept
            else ("How fast the effect fades is not declared (effect_kept_a_year), so only both ends are shown.",)
        ),
    )
    return Finding(name, title, text, _weaker(evidence.grade), table(rows, ["case"]), figures, caveats)


def _weaker(grade: str) -> str:
    """A projection of a comparison is no comparison: C at best."""
    return max(grade, "C")
