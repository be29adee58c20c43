"""Answers to survey questions as small count tables: score groups, periods, pairs of metrics, answers before leaving.

Every function builds one Ibis expression and returns counts as a pandas frame, each row with its ``fold``. The clock is
that of ``people``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

import ibis
import pandas as pd
from ibis import _

from cxlib.counts import people
from cxlib.counts.people import PERIODS, STAGE, added, as_text, days, everyone, segments, stage
from cxlib.errors import InputError, Unanswered
from cxlib.intake.company import Company
from cxlib.intake.models import did_you_mean
from cxlib.intake.tables import CONTRACT

NO_ANSWER = "no answer"
TENURE = "stage of tenure"  # finer than STAGE: the first 3 months, then half-years, so that each of them ends
MOST_LEVELS = 50  # columns of answers with more values are not offered as cuts


@dataclass(frozen=True)
class Band:
    """A score group: a named part of a scale, both ends included (promoter: 9 to 10)."""

    name: str
    low: float
    high: float


def bands(company: Company, metric: str) -> list[Band]:
    """Return the score groups of a metric, from worst to best.

    NPS: detractor (up to 6), passive (7-8), promoter (9-10). Other metrics: the best two fifths of the scale are the
    good end (or the scores from ``satisfied_from``), the worst two fifths the bad end. A scale of two or four points
    has no middle.
    """
    rule = company.settings.metrics[metric]
    low, high = rule.scale
    if metric == "nps":
        return [Band("detractor", low, 6), Band("passive", 7, 8), Band("promoter", 9, high)]
    if metric == "ces":
        names = ("hard", "neutral", "easy")
    else:
        names = ("no", "", "yes") if (low, high) == (0, 1) else ("dissatisfied", "neutral", "satisfied")
    steps, up = high - low + 1, rule.good == "high"
    # Points are counted from the worst score, so that a scale where low is good needs no rules of its own.
    good_from = {2: 1, 3: 2, 4: 2}.get(steps, steps * 3 // 5)
    if rule.satisfied_from is not None:
        good_from = rule.satisfied_from - low if up else high - rule.satisfied_from
    bad_to = min({2: 0, 3: 0, 4: 1}.get(steps, steps * 2 // 5 - 1), good_from - 1)
    ends = ((0, bad_to), (bad_to + 1, good_from - 1), (good_from, steps - 1))
    found = []
    for name, (first, last) in zip(names, ends, strict=True):
        if first <= last:
            found.append(Band(name, low + first, low + last) if up else Band(name, high - last, high - first))
    return found if up or names[0] != "no" else [replace(b, name=n) for b, n in zip(found, ("yes", "no"), strict=True)]


def direction(company: Company, metric: str) -> str:
    """Return the scale of a metric and its good end, for every figure: "1-5, high is good"."""
    rule = company.settings.metrics[metric]
    version = f", version {rule.version}" if metric == "ces" else ""
    return f"{rule.scale[0]:g}-{rule.scale[1]:g}, {rule.good} is good{version}"


def metrics(company: Company) -> list[str]:
    """Return the metrics that have answers, in the order of company.yaml."""
    return list(_metrics(company))


@lru_cache(maxsize=2)  # every question of a page asks for it
def _metrics(company: Company) -> tuple[str, ...]:
    if company.responses is None:
        return ()
    seen = company.responses.filter(_.score.notnull()).metric.value_counts().execute()
    return tuple(m for m in company.settings.metrics if m in set(seen["metric"]))


def questions(company: Company, metric: str, by: Sequence[str] = ()) -> ibis.Table:
    """Return one row per question of a metric, answered or not, in the engine.

    Columns, besides those of responses: band (the score group, else NO_ANSWER), answered, when (the day of the answer,
    else of the question), weight (of the answer, else of its customer, else 1), fold, and ``by`` as text. ``by`` names
    columns of customers, else of responses, or STAGE or TENURE (of the customer when asked). Errors: InputError for
    any other name.
    """
    if unknown := [c for c in by if c not in (*company.customers.columns, *company.responses.columns, STAGE, TENURE)]:
        known = did_you_mean(unknown[0], cuts(company, metric))
        raise InputError(f"no segment is called {unknown[0]!r}", remedy=known)
    rows = company.responses.filter(_.metric == metric)
    cases = [((rows.score >= b.low) & (rows.score <= b.high), b.name) for b in bands(company, metric)]
    rows = rows.mutate(
        band=ibis.cases(*cases, else_=NO_ANSWER),
        answered=rows.score.notnull(),
        when=ibis.coalesce(rows.answered_at, rows.asked_at),
    )
    of_customers = [c for c in by if c in company.customers.columns]
    staged = STAGE in by or TENURE in by
    who = everyone(company) if staged else company.customers
    extra = {"_customer_weight": who.weight} if company.has("customers", "weight") else {}
    if extra or of_customers or staged:
        extra |= {"_started": who.started} if staged else {}
        who = who.select("customer_id", *of_customers, **extra)
        rows = rows.drop(*[c for c in of_customers if c in rows.columns]).inner_join(who, "customer_id")
    weights = [rows.weight, *([rows._customer_weight] if "_customer_weight" in extra else []), 1.0]
    rows = rows.mutate(weight=ibis.coalesce(*weights))
    if staged:
        age = days(ibis.coalesce(rows.asked_at, rows.when), rows._started)
        half_years = (age * 2 / 365).floor().cast("int64").cast("string")
        rows = rows.mutate(**{STAGE: stage(age), TENURE: ibis.ifelse(age < people.STAGES[0][0], "new", half_years)})
    rows = as_text(rows, by)
    return rows.drop(*[c for c in ("_customer_weight", "_started") if c in rows.columns])


def weighted(company: Company) -> bool:
    """Tell whether answers carry a weight, their own or that of their customer."""
    return company.has("responses", "weight") or company.has("customers", "weight")


def cuts(company: Company, metric: str) -> list[str]:
    """Return the columns by which the answers of a metric can be cut: segments, columns of the answers, the stage.

    Columns of the answers are touchpoint, channel and further ones, with 2 to MOST_LEVELS values. Agents are people,
    not segments: ``scores.support`` deals with them.
    """
    return list(_cuts(company, metric))


@lru_cache(maxsize=8)
def _cuts(company: Company, metric: str) -> tuple[str, ...]:
    rows = company.responses.filter((_.metric == metric) & _.score.notnull())
    further = [c for c in rows.columns if c not in CONTRACT["responses"] and c not in ("fold", STAGE)]
    own = [c for c in ("touchpoint", "channel", *further) if c not in company.customers.columns]
    own = [c for c in own if company.has("responses", c)]
    several = rows.agg(**{c: rows[c].nunique() for c in own}).execute().iloc[0] if own else {}
    has_stage = company.has("customers", "joined_on") or company.orders is not None
    return (
        *segments(company),
        *[c for c in own if 2 <= several[c] <= MOST_LEVELS],
        *([STAGE] if has_stage and dated(company) else []),
    )


def score_counts(
    company: Company,
    metric: str,
    by: Sequence[str] = (),
    period: str | None = None,
    latest_only: bool = False,
    since: date | None = None,
    until: date | None = None,
) -> pd.DataFrame:
    """Count answers by (``by``, period, score, fold): n (answers), weight (summed) and customers.

    ``period``: week, month, quarter, year, or "wave" (the column of that name). ``latest_only`` keeps the latest answer
    of each customer in a period (or altogether): one customer, one vote. ``since`` keeps answers after that day,
    ``until`` those up to it. ``customers`` sums, over scores and folds, to the number of different customers in each
    (``by``, period).

    Example: ``score_counts(company, "nps", ["plan"], period="quarter")``.
    """
    if period not in (None, "", "wave", *PERIODS):
        raise InputError(f"no period is called {period!r}", remedy=did_you_mean(period, ["wave", *PERIODS]))
    rows = questions(company, metric, by).filter(_.answered)
    if since is not None:
        rows = rows.filter(_.when.cast("date") > ibis.literal(since))
    if until is not None:
        rows = rows.filter(_.when.cast("date") <= ibis.literal(until))
    keys = list(by)
    if period == "wave":
        rows = rows.filter(_.wave.notnull()).mutate(period=_.wave)
    elif period:
        rows = rows.filter(_.when.notnull()).mutate(period=_.when.cast("date").truncate(PERIODS[period]))
    keys += ["period"] if period else []
    order = [ibis.desc("when"), ibis.desc("response_id")]
    if latest_only:
        within = ["customer_id", "period"] if period else ["customer_id"]
        newest = ibis.row_number().over(ibis.window(group_by=within, order_by=order))
        rows = rows.mutate(rank=newest).filter(_.rank == 0)
    mine = ibis.row_number().over(ibis.window(group_by=["customer_id", *keys], order_by=order))
    rows = rows.mutate(new=(mine == 0).cast("int64"))
    counted = rows.group_by([*keys, "score", "fold"]).agg(n=_.count(), weight=added(_.weight), customers=_.new.sum())
    return counted.order_by([*keys, "score", "fold"]).execute()


def waves(company: Company, metric: str) -> list[str]:
    """Return the waves of a metric in order of time, or of their names if nothing is dated."""
    rows = questions(company, metric).filter(_.wave.notnull())
    found = rows.group_by("wave").agg(first=ibis.coalesce(rows.asked_at, rows.when).min()).execute()
    return list(found.sort_values(["first", "wave"], na_position="last")["wave"])


def pairs(company: Company, first: str, second: str, within_days: int) -> pd.DataFrame:
    """Count customers by (first, second, fold): their latest scores of two metrics. Columns n and weight.

    Pairs of answers more than ``within_days`` apart are left out; answers without dates always count. The weight is the
    mean of those of the two answers.
    """
    sides = []
    for name, metric in (("first", first), ("second", second)):
        rows = questions(company, metric).filter(_.answered)
        order = [ibis.desc("when"), ibis.desc("response_id")]
        rows = rows.mutate(rank=ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order)))
        sides.append(
            rows.filter(_.rank == 0).select(
                "customer_id", "fold", **{name: _.score, f"{name}_when": _.when, f"{name}_weight": _.weight}
            )
        )
    both = sides[0].inner_join(sides[1].drop("fold"), "customer_id")
    apart = days(both.first_when, both.second_when).abs()
    both = both.filter((apart <= within_days).fill_null(True))
    keys = ["first", "second", "fold"]
    weight = (both.first_weight + both.second_weight) / 2
    return both.group_by(keys).agg(n=both.count(), weight=added(weight)).order_by(keys).execute()


def said_before_leaving(company: Company, metric: str, within_days: int) -> pd.DataFrame:
    """Count customers who left by choice by (score, fold): n and weight. Score: their last answer before, NaN for none.

    Counted are customers asked in the ``within_days`` before the day of leaving. Answers on that day or later do not
    count.
    """
    who = everyone(company).filter(_.chosen).select("customer_id", "left_on")
    rows = questions(company, metric).filter(_.when.notnull()).inner_join(who, "customer_id")
    before = days(rows.left_on, rows.when)
    rows = rows.filter((before > 0) & (before <= within_days))
    order = [ibis.desc("answered"), ibis.desc("when"), "response_id"]
    rows = rows.mutate(rank=ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order)))
    counted = rows.filter(_.rank == 0).group_by(["score", "fold"]).agg(n=_.count(), weight=added(_.weight))
    return counted.order_by(["score", "fold"]).execute()


def dated(company: Company) -> bool:
    """Tell whether the answers carry dates; without dates nobody can say what came first."""
    return company.has("responses", "asked_at") or company.has("responses", "answered_at")


def choose(company: Company, metric: str) -> str:
    """Return the metric asked for; if none is named, the first declared metric that has answers ("" if none has).

    Errors: InputError, naming the metrics that have answers.
    """
    there = metrics(company)
    if metric and metric not in there:
        raise InputError(
            f"metric {metric!r} has no answers",
            remedy=f"Set the parameter metric to one of: {', '.join(there) or 'none'}.",
        )
    return metric or (there[0] if there else "")


def require_answers(company: Company, metric: str) -> None:
    """Raise Unanswered if a metric (as ``choose`` returns it) has no answers."""
    if not metric:
        people.require(company, "responses")
        raise Unanswered("no-answers")


def require_dates(company: Company, metric: str) -> None:
    """Raise Unanswered if a metric has no answers, or answers without dates."""
    require_answers(company, metric)
    if not dated(company):
        raise Unanswered("no-dates")
