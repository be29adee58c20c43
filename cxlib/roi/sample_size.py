"""06_roi: the customers and months that a randomised trial of a programme would need."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pandas as pd

from cxlib.counts import answers, people, planned_reach
from cxlib.counts.programmes import Programme
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import Answer, Figure, Finding, answer, finding, slug, table
from cxlib.page.resamples import resamples
from cxlib.roi.scenarios import Among, cost_today, factors, fewer_leaving, in_full, past
from cxlib.stats import draws, power
from cxlib.stats.estimate import Estimate

TRIAL_MONTHS = (3, 6, 12, 18, 24)
YEAR = TRIAL_MONTHS.index(12)
FEWEST = 4  # customers of a trial, two in each arm
TINY = 0.001  # a relative fall too small to write


def _name(company: Company, programme: Programme, *_: object, **__: object) -> str:
    return slug("trial", programme.name)


def trial(company: Company, programme: Programme, window_months: int = 12, among: Among = None) -> Finding:
    """Answer: how many customers and months would a trial need to show whether the programme works?

    Half of the customers are held back at random; 80 % power, two-sided test at 5 %. For a programme meant to move a
    score: points of that score, from the customers who answer. Otherwise churn. The table has a row for each of
    TRIAL_MONTHS: value is the smallest effect the customers would show (a relative fall in churn, or points), low and
    high at the ends of the interval of ``level``; ``needed``: customers for the smallest effect worth detecting.
    """
    question = _score if programme.outcome in answers.metrics(company) else _churn
    return question(company, programme, window_months, among)


@finding("trial-of-churn", named=_name)
def _churn(company: Company, programme: Programme, window_months: int, among: Among) -> Answer:
    """Work out which fall in churn the customers would show, and how many would show the one wanted."""
    if company.settings.relationship != "contractual":
        raise Unanswered("no-contracts")
    people.require(company, "customers", "left_on")
    judged = programme.effect_months or window_months
    levels, seen = _leaving(company, sorted({*TRIAL_MONTHS, judged}), among)
    customers, planned = _who_takes_part(company, programme, among)
    wanted, declared = _smallest(company, programme, levels[judged].value, customers, judged, among)
    rows = []
    for months in TRIAL_MONTHS:
        level = levels[months]
        smallest = [_relative_fall(v, customers) for v in (level.value, level.high, level.low)]
        possible = 0 < wanted <= 1 and 0 < level.value < 1
        needed = power.customers_needed(level.value, -wanted * level.value) if possible else math.nan
        e = Estimate(*smallest, n=customers)
        rows.append({"months": months, "estimate": e, "level": level.value, "needed": needed})
    year, (needed, after) = rows[YEAR], _enough(rows, customers)
    return answer(
        "forecast", table(rows, ["months"]), _figures(programme, needed),
        programme=programme.name, customers=customers, planned=planned, level=year["level"],
        smallest=year["estimate"].value, detectable=not math.isnan(year["estimate"].value), wanted=wanted,
        declared=declared, beyond=wanted > 1, tiny=wanted < TINY, known_size=math.isfinite(needed), needed=_up(needed),
        after=after, longest=TRIAL_MONTHS[-1], seen=seen, outcome=programme.outcome or "churn",
    )  # fmt: skip


def _leaving(company: Company, spans: list[int], among: Among) -> tuple[dict[int, Estimate], int]:
    """Return the share leaving within so many months by span, and the months that could be followed."""
    __, seen = planned_reach.followed_since(company, spans[-1])
    if seen < 1:
        raise Unanswered("not-followed-a-month")
    able = [m for m in spans if m <= seen] or [seen]
    first = [planned_reach.followed_since(company, m)[0] for m in able]
    until = planned_reach.followed_since(company, 0)[0]
    counted = planned_reach.left_within(company, first, until, among)
    __, sums = draws.resample(counted, "fold", ["here", "lost"], ["span"], resamples(company))
    n, least = sums[0, :, 0], company.settings.privacy.minimum_base
    if n.min() < least:
        raise Unanswered("few-followed", here=float(n.min()), months=able[int(n.argmin())])
    gone = sums[:, :, 1] / sums[:, :, 0]
    levels = {}
    for months in spans:
        at = max((i for i, m in enumerate(able) if m <= months), default=0)
        drawn = gone[:, at] if able[at] == months else 1 - (1 - gone[:, at]) ** (months / able[at])
        levels[months] = draws.estimate(drawn[0], drawn[1:], float(n[at]), low=0, high=1)
    return levels, seen


def _who_takes_part(company: Company, programme: Programme, among: Among) -> tuple[int, bool]:
    """Return how many customers could take part in a trial, and whether they are those planned (else all here
    today)."""
    planned = programme.planned_customers
    return planned or planned_reach.here_today(company, among), planned > 0


def _relative_fall(level: float, customers: float) -> float:
    """Return the smallest relative fall of a share that so many customers would show; NaN where not even 0 would
    show."""
    if not (0 < level <= 1 and customers >= FEWEST):
        return math.nan
    fall = power.smallest_change(level, customers) / level
    return fall if fall <= 1 else math.nan


def _smallest(
    company: Company, programme: Programme, level: float, customers: float, months: int, among: Among
) -> tuple[float, bool]:
    """Return the smallest relative fall in churn worth detecting, and whether it is declared (else break-even).

    NaN where nothing is declared and no break-even is known.
    """
    if programme.outcome == "churn" and programme.smallest_effect > 0:
        points = programme.effect_is == "points"
        return (programme.smallest_effect / (level if points else 1) if level > 0 else math.nan), True
    if company.settings.money is None or programme.cost(months) <= 0:
        return math.nan, False
    with suppress(Unanswered):
        side = past(company, months, among).side
        best = fewer_leaving(side, 1.0)
        gain = ((best.earned - best.service) - (side.earned - side.service))[0] @ factors(company, months)
        worth = programme.attribution_share * customers * float(gain)
        return (cost_today(company, programme, months) / worth if worth > 0 else math.inf), False
    return math.nan, False


def _enough(rows: list[dict], customers: float) -> tuple[float, int]:
    """Return the fewest customers needed over all spans (NaN: not known), and the first span these customers suffice
    for.

    That span is 0 where they suffice for none.
    """
    fewest = min((r["needed"] for r in rows if math.isfinite(r["needed"])), default=math.nan)
    return fewest, next((r["months"] for r in rows if r["needed"] <= customers), 0)


def _up(customers: float) -> float:
    return math.ceil(customers) if math.isfinite(customers) else math.nan


def _figures(programme: Programme, needed: float) -> list[Figure]:
    if not math.isfinite(needed):
        return []
    label, note = (words.say(__file__, "figure", k, programme=programme.name) for k in ("label", "note"))
    size = Estimate(needed, math.nan, math.nan)
    return [Figure(f"{slug('trial', programme.name)}-customers", label, size, "customers", note=note)]


@finding("trial-of-score", named=_name)
def _score(company: Company, programme: Programme, window_months: int, among: Among) -> Answer:
    """Work out which change of a score its answers would show: points of NPS, or of the share satisfied."""
    metric, least = programme.outcome, company.settings.privacy.minimum_base
    answers.require_dates(company, metric)
    since = (pd.Timestamp(company.as_of) - pd.DateOffset(months=window_months)).date()
    last = answers.score_counts(company, metric, latest_only=True, since=since)
    if last["n"].sum() < least:
        raise Unanswered("few-recent-answers", months=window_months)
    names = [b.name for b in answers.bands(company, metric)]
    points = {names[-1]: 100.0} | ({names[0]: -100.0} if metric == "nps" else {})
    of = pd.Series(0.0, index=last.index)
    for band in answers.bands(company, metric):
        of = of.mask(last["score"].between(band.low, band.high), points.get(band.name, 0.0))
    level = float(np.average(of, weights=last["n"]))
    sd = math.sqrt(float(np.average((of - level) ** 2, weights=last["n"])))
    if not sd > 0:
        raise Unanswered("answers-alike", metric=metric.upper())
    customers, planned = _who_takes_part(company, programme, among)
    declared = programme.smallest_effect > 0 and programme.effect_is == "points"
    wanted = programme.smallest_effect if declared else math.nan
    answers_needed = power.customers_needed_mean(sd, wanted) if declared else math.nan
    rows, weights = [], resamples(company)
    for months in TRIAL_MONTHS:
        counted = planned_reach.answering(company, metric, months, among)
        __, sums = draws.resample(counted, "fold", ["answered", "customers"], [], weights)
        share, n = sums[:, 0, 0] / sums[:, 0, 1], float(sums[0, 0, 1])
        e = draws.estimate(share[0], share[1:], n, low=0, high=1)
        shown = [
            power.smallest_change_mean(sd, customers * v) if customers * v >= FEWEST else math.nan
            for v in (e.value, e.high, e.low)
        ]
        needed = answers_needed / e.value if e.value > 0 else math.nan
        shown = Estimate(*shown, n=customers)
        rows.append({"months": months, "estimate": shown, "level": e.value, "needed": needed})
    year, (needed, after) = rows[YEAR], _enough(rows, customers)
    unit = words.say(__file__, "trial-of-score", "unit", nps=metric == "nps", good=names[-1], metric=metric.upper())
    return answer(
        "forecast", table(rows, ["months"]), _figures(programme, needed),
        programme=programme.name, metric=metric.upper(), customers=customers, planned=planned, share=year["level"],
        smallest=year["estimate"].value, detectable=not math.isnan(year["estimate"].value), unit=unit, today=level,
        sd=sd, wanted=in_full(wanted) if declared else math.nan, declared=declared, known_size=math.isfinite(needed),
        needed=_up(needed), after=after, longest=TRIAL_MONTHS[-1],
    )  # fmt: skip
