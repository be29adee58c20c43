"""06_roi: what it would take to know. The customers and the months a trial of a programme would need."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from cxlib.churn.retention import slug
from cxlib.counts import answers, planned_reach
from cxlib.counts.programmes import Programme
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.roi.scenarios import Among, cost_today, factors, fewer_leaving, past
from cxlib.stats import draws, power
from cxlib.stats.estimate import Estimate

TRIAL_MONTHS = (3, 6, 12, 18, 24)
YEAR = TRIAL_MONTHS.index(12)
FEWEST = 4  # customers of a trial, two in each arm

# What the table of the page shows, by the heading a reader sees.
TRIAL = {"months": "Months", "level": "Level", "value": "Smallest difference seen", "low": "Low", "high": "High",
         "needed": "Customers needed"}  # fmt: skip


def trial(company: Company, programme: Programme, window_months: int = 12, among: Among = None) -> Finding:
    """Answer: how many customers, and how long, would it take to see whether the programme works?

    Half of the customers are held back by lot; 80 % power, two-sided 5 %. For a programme meant to move a score: points of that
    score, by those who answer. Else leaving, over TRIAL_MONTHS: value is the smallest relative fall that the customers would
    show, low and high at the ends of the level's interval; ``needed``: customers for the smallest effect worth having.
    """
    name, title = slug("trial", programme.name), f"{programme.name}: what a trial would show"
    if programme.outcome in answers.metrics(company):
        return _trial_of_score(company, programme, window_months, among, name, title)
    if company.settings.relationship != "contractual":
        return unanswered(name, title, "without contracts nobody is seen to leave.")
    if not company.has("customers", "left_on"):
        return unanswered(name, title, "customers has no left_on, so nobody is seen to leave.")
    judged = programme.effect_months or window_months
    found = _leaving(company, sorted({*TRIAL_MONTHS, judged}), among)
    if isinstance(found, str):
        return unanswered(name, title, found)
    levels, seen = found
    customers, whom = _who_takes_part(company, programme, among)
    wanted, which = _smallest(company, programme, levels[judged].value, customers, judged, among)
    rows = []
    for months in TRIAL_MONTHS:
        level = levels[months]
        smallest = [_relative_fall(v, customers) for v in (level.value, level.high, level.low)]
        possible = 0 < wanted <= 1 and 0 < level.value < 1
        needed = power.customers_needed(level.value, -wanted * level.value) if possible else math.nan
        rows.append(
            {"months": months, "estimate": Estimate(*smallest, n=customers), "level": level.value, "needed": needed}
        )
    enough = [r["months"] for r in rows if r["needed"] <= customers]
    fewest = min((r["needed"] for r in rows if math.isfinite(r["needed"])), default=math.nan)
    shown, level = rows[YEAR]["estimate"].value, rows[YEAR]["level"]
    text = f"With {customers:,} customers, half of them held back by lot, a trial of 12 months would "
    if math.isnan(shown):
        text += f"show no fall in leaving, not even to nobody (from {percent(level)}; 80 % power). "
    else:
        text += f"show a fall in leaving of {percent(shown, 0)} or more (from {percent(level)}; 80 % power). "
    said = percent(wanted) if not wanted < 0.001 else f"less than {percent(0.001)}"
    text += _when(wanted, said, which, enough, fewest, TRIAL_MONTHS[-1])
    caveats = [
        "Level of leaving over so many months: of the customers here that long ago, for whatever reason they left.",
        f"Taking part: {whom}.",
        _POWER,
    ]
    if math.isfinite(fewest):
        caveats.append("Customers needed: leaving falls by the same part over any span.")
    if programme.outcome not in ("churn", ""):
        caveats.append(
            f"The programme is meant to move {programme.outcome}; asked here is whether leaving would show it."
        )
    if seen < TRIAL_MONTHS[-1]:
        caveats.append(f"{seen} months could be followed; the level of later ones is a projection at the same rate.")
    figures = [_needed_figure(name, programme, fewest)]
    return Finding(name, title, text, "D", table(rows, ["months"]), tuple(filter(None, figures)), tuple(caveats))


def _leaving(company: Company, spans: list[int], among: Among) -> tuple[dict[int, Estimate], int] | str:
    """Return the share leaving within so many months by span, and the months that could be followed; or why it is not known."""
    __, seen = planned_reach.followed_since(company, spans[-1])
    able = [m for m in spans if m <= seen] or [seen]
    if seen < 1:
        return "customers have not been followed for a whole month."
    first = [planned_reach.followed_since(company, m)[0] for m in able]
    until = planned_reach.followed_since(company, 0)[0]
    counted = planned_reach.left_within(company, first, until, among)
    __, sums = draws.resample(counted, "fold", ["here", "lost"], ["span"], resamples(company))
    n, least = sums[0, :, 0], company.settings.privacy.minimum_base
    if n.min() < least:
        return f"{n.min():,.0f} customers were here {able[int(n.argmin())]} months ago, fewer than {least}."
    gone = sums[:, :, 1] / sums[:, :, 0]
    levels = {}
    for months in spans:
        at = max((i for i, m in enumerate(able) if m <= months), default=0)
        drawn = gone[:, at] if able[at] == months else 1 - (1 - gone[:, at]) ** (months / able[at])
        levels[months] = draws.estimate(drawn[0], drawn[1:], float(n[at]), low=0, high=1)
    return levels, seen


_POWER = (
    "80 % power: four trials in five would find a difference of that size; two-sided test at 5 %, equal arms, by lot."
)


def _who_takes_part(company: Company, programme: Programme, among: Among) -> tuple[int, str]:
    """Return how many customers could take part in a trial, and who they are."""
    if programme.planned_customers:
        return programme.planned_customers, f"the {programme.planned_customers:,} customers planned for"
    here = planned_reach.here_today(company, among)
    return here, f"all {here:,} customers here today, as planned_customers is not given"


def _relative_fall(level: float, customers: float) -> float:
    """Return the smallest relative fall of a share that so many customers would show; NaN where not even a fall to 0 shows."""
    if not (0 < level <= 1 and customers >= FEWEST):
        return math.nan
    fall = power.smallest_change(level, customers) / level
    return fall if fall <= 1 else math.nan


def _smallest(
    company: Company, programme: Programme, level: float, customers: float, months: int, among: Among
) -> tuple[float, str]:
    """Return the smallest relative fall in leaving worth having, and what it is; NaN where nothing says."""
    if programme.outcome == "churn" and programme.smallest_effect > 0:
        points = programme.effect_is == "points"
        relative = programme.smallest_effect / (level if points else 1) if level > 0 else math.nan
        return relative, "the smallest effect worth having, declared beforehand"
    nothing = "no smallest effect worth having is declared"
    if company.settings.money is None or programme.cost(months) <= 0:
        return math.nan, nothing
    found = past(company, months, among)
    if isinstance(found, str):
        return math.nan, nothing
    side, best = found.side, fewer_leaving(found.side, 1.0)
    gain = ((best.earned - best.service) - (side.earned - side.service))[0] @ factors(company, months)
    worth = programme.attribution_share * customers * float(gain)
    return (cost_today(company, programme, months) / worth if worth > 0 else math.inf), "where it begins to pay"


def _when(wanted: float, said: str, which: str, enough: list[int], fewest: float, longest: int) -> str:
    """Say when the effect wanted could be seen, and with how many customers if not with these."""
    if math.isnan(wanted):
        return f"How small a difference matters is not known: {which}."
    if math.isnan(fewest):
        return f"It would pay only if leaving fell by more than all of it: {said}."
    if enough:
        return f"A difference of {said} ({which}) could be seen after {enough[0]} months."
    many = f"{math.ceil(fewest):,} would be needed"
    return f"A difference of {said} ({which}) cannot be seen within {longest} months with these customers: {many}."


def _needed_figure(name: str, programme: Programme, needed: float) -> Figure | None:
    if not math.isfinite(needed):
        return None
    label = f"{programme.name}: customers a trial needs, both arms"
    return Figure(
        f"{name}-customers", label, Estimate(needed, math.nan, math.nan), "customers", note="a planning number"
    )


def _trial_of_score(
    company: Company, programme: Programme, window_months: int, among: Among, name: str, title: str
) -> Finding:
    """Say what the customers who answer would show of a score: points of NPS, or of the share satisfied."""
    metric, least = programme.outcome, company.settings.privacy.minimum_base
    if not answers.dated(company):
        return unanswered(name, title, "the answers carry no dates.")
    since = (pd.Timestamp(company.as_of) - pd.DateOffset(months=window_months)).date()
    last = answers.score_counts(company, metric, latest_only=True, since=since)
    if last["n"].sum() < least:
        return unanswered(name, title, f"fewer than {least} customers answered in the last {window_months} months.")
    names = [b.name for b in answers.bands(company, metric)]
    points = {names[-1]: 100.0} | ({names[0]: -100.0} if metric == "nps" else {})
    of = pd.Series(0.0, index=last.index)
    for band in answers.bands(company, metric):
        of = of.mask(last["score"].between(band.low, band.high), points.get(band.name, 0.0))
    level = float(np.average(of, weights=last["n"]))
    sd = math.sqrt(float(np.average((of - level) ** 2, weights=last["n"])))
    customers, whom = _who_takes_part(company, programme, among)
    given = programme.smallest_effect > 0 and programme.effect_is == "points"
    wanted = programme.smallest_effect if given else math.nan
    answers_needed = power.customers_needed_mean(sd, wanted) if given and sd > 0 else math.nan
    rows, weights = [], resamples(company)
    for months in TRIAL_MONTHS:
        __, sums = draws.resample(
            planned_reach.answering(company, metric, months, among), "fold", ["answered", "customers"], [], weights
        )
        share, n = sums[:, 0, 0] / sums[:, 0, 1], float(sums[0, 0, 1])
        e = draws.estimate(share[0], share[1:], n, low=0, high=1)
        shown = [
            power.smallest_change_mean(sd, customers * v) if customers * v >= FEWEST else math.nan
            for v in (e.value, e.high, e.low)
        ]
        needed = answers_needed / e.value if e.value > 0 else math.nan
        rows.append({"months": months, "estimate": Estimate(*shown, n=customers), "level": e.value, "needed": needed})
    unit = f"points of {metric.upper()}" if metric == "nps" else f"points of the share {names[-1]} ({metric.upper()})"
    enough = [r["months"] for r in rows if r["needed"] <= customers]
    fewest, year = min((r["needed"] for r in rows if math.isfinite(r["needed"])), default=math.nan), rows[YEAR]
    text = (
        f"With {customers:,} customers, half of them held back by lot, the answers of 12 months ({percent(year['level'], 0)} of customers "
        f"give one) would show a difference of {number(year['estimate'].value)} {unit} (80 % power). "
    )
    if given:
        text += _when(wanted, f"{wanted:g} {unit}", "the smallest effect worth having, declared beforehand", enough, fewest,
                      TRIAL_MONTHS[-1])  # fmt: skip
    else:
        text += _when(math.nan, "", "no smallest effect worth having is declared in points", [], math.nan, 0)
    caveats = (
        f"Today {number(level)} {unit}, standard deviation {number(sd)}; each customer's last answer counts. Level: share of customers "
        "who answer within so many months.",
        "Both arms are asked alike; if the programme changes who answers, the answers are no longer those of the arms.",
        f"Taking part: {whom}.", _POWER,
    )  # fmt: skip
    figures = [_needed_figure(name, programme, fewest)]
    return Finding(name, title, text, "D", table(rows, ["months"]), tuple(filter(None, figures)), caveats)
