"""06_roi: what a programme might bring, before it starts or before its months are over.

A scenario is not a result. One based on a link between a score and value is shown by path, since a point has no one
price: it matters who moves. One based on the team's expectation runs from nothing to all of it. Money is counted as
elsewhere on the page: set-up cost is paid at once, everything else falls at the end of each month.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from cxlib.counts import answers, customer_base, people, planned_reach
from cxlib.counts.programmes import Programme
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import EFFECTS, KNOWN, Answer, Figure, Finding, answer, finding, slug, table
from cxlib.page.numbers import percent
from cxlib.page.resamples import resamples
from cxlib.page.valuation import money_of, period_rate, share_kept
from cxlib.roi import cash_flows
from cxlib.roi.cash_flows import Paths, Side, Terms
from cxlib.roi.evidence import Evidence
from cxlib.stats import draws, finance
from cxlib.stats.estimate import Estimate

NOTHING, HALF, ALL = "none of it", "half of it", "all of it"
SEEN, STOPS, LASTS = "observed so far", "the effect ends today", "the effect lasts"
Among = Mapping[str, str] | None  # customers with these values of their columns; None: all
# Asked for a company, a metric, a number of days and, as ``between``, a worse and a better group; the first figure is
# the gap in value per customer between the two.
ValueByScore = Callable[..., Finding]


# ---- the customers of past months ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Past:
    """Customers without a new programme: ``side`` over the months asked for, of which ``seen`` were observed.

    ``customers``: followed; ``contacts``: cases per customer over the months seen; ``each``: money per order (both
    1 + draws).
    """

    side: Side
    seen: int
    customers: float
    contacts: np.ndarray
    each: np.ndarray


def past(company: Company, months: int, among: Among = None) -> Past:
    """Follow the customers who were here so many months ago; months not yet observed continue at the average seen.

    Unanswered where they cannot be followed; InputError for a column in ``among`` that customers do not have.
    """
    for column in among or {}:
        customer_base.level_of(company, column)  # refuses a column that customers do not have
    if company.settings.relationship == "contractual":
        people.require(company, "customers", "left_on")
    first, seen = planned_reach.followed_since(company, months)
    if seen < 1:
        raise Unanswered("not-followed-a-month")
    grid, least = planned_reach.past_months(company, first, seen, among), company.settings.privacy.minimum_base
    n = float(grid.loc[grid["month"] == 0, "customers"].sum())
    if n < least:
        raise Unanswered("few-followed", here=n, months=seen)
    weights, m = resamples(company), company.settings.money
    columns = ["customers", "here", "revenue", "margin", "service", "contacts"]
    __, sums = draws.resample(grid, "fold", columns, ["month"], weights)
    sums = dict(zip(columns, np.moveaxis(sums, 2, 0), strict=True))
    here, revenue, margin, service, contacts = (sums[c] / sums["customers"] for c in columns[1:])
    own = company.has("orders", "margin") and m and m.value_is == "margin"
    earned = margin if own else revenue * (share_kept(company) if m else 1.0)
    side, each = Side(here, earned, service), np.full(len(weights), math.nan)
    if months > seen:
        side = cash_flows.extended(_paths(side, side, n, n), months, 1.0).without
    if company.orders is not None:
        orders = planned_reach.orders_since(company, first, among)
        __, bought = draws.resample(orders, "fold", ["orders", "revenue"], [], weights)
        each = bought[:, 0, 1] / bought[:, 0, 0]
    return Past(side, seen, n, contacts.sum(1), each)


def _paths(with_it: Side, without: Side, customers: float, behind: float) -> Paths:
    return Paths(with_it, without, customers, behind, 256)


def fewer_leaving(side: Side, relative: float) -> Side:
    """Return the path on which a share ``relative`` of the leavers of each month stays, earning and costing as
    others."""
    here = 1 - (1 - side.here) * (1 - relative)
    still = np.divide(here, side.here, out=np.zeros_like(here), where=side.here > 0)
    return Side(here, side.earned * still, side.service * still)


# ---- what a planned programme might bring ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Case:
    case: str
    benefit: float
    net: Estimate


# The facts of the two kinds of scenario; each kind leaves those of the other empty.
_FACTS = ("metric", "points", "movers", "by_path", "outcome", "level", "relative", "followed", "seen")


@finding("scenario", named=lambda company, programme, *_, **__: slug("scenario", programme.name))
def planned(
    company: Company, programme: Programme, window_months: int = 12, among: Among = None, *, by_score: ValueByScore
) -> Answer:
    """Answer: what would a planned programme bring if none, half or all of the hoped-for effect were real?

    Outcome a score: the value linked to a better answer (``by_score``) times the customers who must move, by path; a
    figure for each path. Churn, contacts, order_value: today's level over as many months, changed by what the team
    expects. ``window_months`` where the programme has no effect_months; ``among``: the customers whose past represents
    those to be reached.
    """
    _require(company, programme)
    months = programme.effect_months or window_months
    scored = programme.outcome in company.settings.metrics
    if scored:
        cases, own = _by_association(company, programme, months, by_score)
    else:
        cases, own = _by_expectation(company, programme, months, among)
    cost, n = programme.cost(months), programme.planned_customers
    rows = [
        {"case": c.case, "estimate": replace(c.net, n=n), "benefit": c.benefit, "cost": cost,
         "roi": finance.return_on_investment(c.benefit, cost), "pays": c.net.value > 0} for c in cases
    ]  # fmt: skip
    nothing, *hoped = (c.net.value for c in cases)
    lowest, highest = (min(hoped), max(hoped)) if scored else (min(nothing, *hoped), max(nothing, *hoped))
    gained = (lowest if scored else hoped[-1]) - nothing
    to_pay = -nothing / gained if gained > 0 else math.inf
    by_path = own.get("by_path") or [{"path": "", "net": Estimate(hoped[0], lowest, highest)}]
    figures = [
        Figure(slug("scenario", programme.name, f"{p['path']} npv"),
               words.say(__file__, "scenario", "npv", programme=programme.name, path=p["path"]),
               replace(p["net"], n=n), company.settings.currency or "")
        for p in by_path
    ]  # fmt: skip
    return answer(
        "forecast", table(rows, ["case"]), figures,
        programme=programme.name, scored=scored, months=months, customers=n, cost=cost, lowest=lowest, highest=highest,
        pays=to_pay <= 1, to_pay=to_pay, credited=programme.attribution_share,
        **(dict.fromkeys(_FACTS) | own),
    )  # fmt: skip


def _require(company: Company, programme: Programme) -> None:
    """Raise Unanswered where a programme is not planned, or lacks what a scenario needs."""
    if not programme.planned:
        raise Unanswered("has-started", programme=programme.name)
    money_of(company)
    needed = {
        "outcome": programme.outcome,
        "expected_effect": programme.expected_effect > 0,
        "effect_is": programme.effect_is,
        "planned_customers": programme.planned_customers > 0,
    }
    for column, given in needed.items():
        if not given:
            raise Unanswered("no-plan", column=column, programme=programme.name)
    if programme.cost(1) <= 0:
        raise Unanswered("no-cost", programme=programme.name)


def _by_association(
    company: Company, programme: Programme, months: int, by_score: ValueByScore
) -> tuple[list[_Case], dict[str, object]]:
    """Value the points of a score that are expected by who moves, as far as value is linked to it; cases and facts.

    A customer who takes a path moves the score by 100 / customers.
    """
    metric = programme.outcome
    if programme.effect_is != "points":
        raise Unanswered("relative-effect", programme=programme.name)
    if metric not in answers.metrics(company):
        raise Unanswered("score-without-answers", metric=metric.upper())
    movers = programme.expected_effect / 100 * programme.planned_customers
    times, cost = movers * programme.attribution_share, cost_today(company, programme, months)
    cases, by_path = [_Case(NOTHING, 0.0, Estimate(-cost, -cost, -cost))], []
    for worse, better in _steps(company, metric):
        plain, today = _gaps(company, metric, months, (worse, better), by_score)
        net, path = Estimate(*(times * v - cost for v in (today.value, today.low, today.high))), f"{worse} to {better}"
        cases.append(_Case(f"{ALL}, {path}", times * plain.value, net))
        by_path.append({"path": path, "worse": worse, "better": better, "gap": plain, "net": net})
    points = in_full(programme.expected_effect)
    return cases, {"metric": metric.upper(), "points": points, "movers": movers, "by_path": by_path}


def _steps(company: Company, metric: str) -> list[tuple[str, str]]:
    """Return the paths that move a score by one customer: to the next group (NPS), or to the best (a share)."""
    names = [b.name for b in answers.bands(company, metric)]
    return list(pairwise(names)) if metric == "nps" else [(worse, names[-1]) for worse in names[:-1]]


def in_full(x: float) -> float:
    """Return a declared number as it is written: 5, not 5.0."""
    return int(x) if x == round(x) else x


def _gaps(
    company: Company, metric: str, months: int, between: tuple[str, str], by_score: ValueByScore
) -> tuple[Estimate, Estimate]:
    """Return the gap in value between two groups over so many months: not discounted, and discounted."""
    view, found = copy.copy(company), []  # the same customers, valued over the months of the programme
    contractual, m = company.settings.relationship == "contractual", company.settings.money
    for rate in (0.0, m.discount_rate)[: 1 + contractual]:
        update = {"horizon_months": months, "discount_rate": rate, "first_flow": "end"}
        view.settings = company.settings.model_copy(update={"money": m.model_copy(update=update)})
        valued = by_score(view, metric, round(months * people.DAYS_A_MONTH), between=between)
        if not valued.answered:
            why = valued.headline.removeprefix("Not answered: ")
            raise Unanswered("score-not-valued", why=why, remedy=valued.detail)
        found.append(valued.figures[0].estimate)
    plain = found[0]
    if not contractual:  # purchases in a window are not discounted there; here they are taken to fall evenly
        factor = float(factors(company, months).mean())
        found.append(Estimate(factor * plain.value, factor * plain.low, factor * plain.high, n=plain.n))
    return plain, found[1]


def factors(company: Company, months: int) -> np.ndarray:
    """Return the present value of 1 paid at the end of each month."""
    return finance.discount_factors(period_rate(company), months, "end")


def cost_today(company: Company, programme: Programme, months: int) -> float:
    """Return the present value of the cost of so many months."""
    return programme.cost_upfront + programme.cost_per_month * float(factors(company, months).sum())


def _by_expectation(
    company: Company, programme: Programme, months: int, among: Among
) -> tuple[list[_Case], dict[str, object]]:
    """Value what the team expects, against the path of customers without the programme; cases and facts."""
    found = past(company, months, among)
    level = _level(company, programme.outcome, found)
    relative = programme.expected_effect / (level if programme.effect_is == "points" else 1)
    if relative > 1 and programme.outcome != "order_value":
        raise Unanswered("effect-too-large", programme=programme.name, outcome=programme.outcome, level=level)
    cases = []
    for case, share in ((NOTHING, 0.0), (HALF, 0.5), (ALL, 1.0)):
        with_it = _changed(programme.outcome, found.side, share * relative)
        worth = _worth(company, programme, _paths(with_it, found.side, programme.planned_customers, found.customers))
        net = worth.net_present_value
        if not math.isfinite(net.low):  # without an effect all draws agree
            net = Estimate(net.value, net.value, net.value)
        cases.append(_Case(case, worth.benefit.value, net))
    facts = {"outcome": programme.outcome, "level": level, "relative": relative}
    return cases, facts | {"followed": found.customers, "seen": found.seen}


def _level(company: Company, outcome: str, found: Past) -> float:
    """Return the level of an outcome without the programme."""
    if outcome == "churn":
        if company.settings.relationship != "contractual":
            raise Unanswered("no-contracts")
        level = 1 - float(found.side.here[0, -1])
    elif outcome == "contacts":
        people.require(company, "contacts", "cost")
        level = float(found.contacts[0])
    elif outcome == "order_value":
        level = float(found.each[0])
    else:
        raise Unanswered("no-scenario", outcome=outcome)
    if not level > 0:
        raise Unanswered("no-level", outcome=outcome)
    return level


def _changed(kind: str, side: Side, relative: float) -> Side:
    if kind == "churn":
        return fewer_leaving(side, relative)
    if kind == "contacts":
        return replace(side, service=side.service * (1 - relative))
    return replace(side, earned=side.earned * (1 + relative))


def _worth(company: Company, programme: Programme, paths: Paths) -> cash_flows.Money:
    """Return the money of paths when the programme is paid as long as they last."""
    cost, share = (programme.cost_upfront, programme.cost_per_month, paths.months), programme.attribution_share
    return cash_flows.worth_of(paths, Terms(*cost, period_rate(company), share))


# ---- a programme part of the way -------------------------------------------------------------------------------------


@finding("part-year", named=lambda company, evidence, *_, **__: slug("part-year", evidence.programme.name))
def part_year(company: Company, evidence: Evidence, window_months: int = 12) -> Answer:
    """Answer: what has a running programme brought so far, and what might the whole period bring?

    The whole period, effect_months of the programme (else ``window_months``), is a scenario: the effect ends today,
    fades as effect_kept_a_year of company.yaml declares, or lasts. The programme is paid to the end in every case.
    """
    programme, kept = evidence.programme, money_of(company).effect_kept_a_year
    if not evidence.measured:
        raise Unanswered("not-measured", why=evidence.why, remedy=evidence.remedy)
    whole, seen = programme.effect_months or window_months, evidence.months
    if whole <= seen:
        raise Unanswered("months-over", whole=whole)
    shares = [k for k in sorted(set(kept or ())) if 0 < k < 1]
    fades = {words.say(__file__, "part-year", "fades", kept=percent(k, 0)): k for k in shares}
    longest = evidence.paths.months + whole - seen  # the paths of a staggered rollout begin with its first step
    found = {SEEN: _worth(company, programme, evidence.paths)}
    for case, k in {STOPS: 0.0, **fades, LASTS: 1.0}.items():
        found[case] = _worth(company, programme, cash_flows.extended(evidence.paths, longest, k))
    rows = [
        {"case": case, "months": seen if case == SEEN else whole, "estimate": w.net_present_value,
         "benefit": w.benefit.value, "cost": w.cost, "roi": w.roi.value}
        for case, w in found.items()
    ]  # fmt: skip
    net = {case: w.net_present_value for case, w in found.items()}
    middle = float(np.mean([net[case].value for case in (fades or {STOPS: 0.0})]))
    ahead = [net[case] for case in found if case != SEEN]
    span = Estimate(middle, min(e.low for e in ahead), max(e.high for e in ahead), n=evidence.paths.base)
    label = words.say(__file__, "part-year", "npv", programme=programme.name, whole=whole)
    figures = [Figure(f"{slug('part-year', programme.name)}-npv", label, span, company.settings.currency or "")]
    return answer(
        "forecast", table(rows, ["case"]), figures,
        programme=programme.name, whole=whole, seen=seen, ahead=whole - seen, so_far=net[SEEN], stops=net[STOPS],
        lasts=net[LASTS], evidence=KNOWN[evidence.known], effect=evidence.known in EFFECTS, fading=kept is not None,
        loss=span.low < 0,
    )  # fmt: skip
