"""Survey questions as small count tables, answered or not: response rates, weights, delays, comments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import ibis
import pandas as pd
from ibis import _

from cxlib.counts import answers, people
from cxlib.intake.company import Company


@dataclass(frozen=True)
class Asked:
    """The questions to count: those of a metric asked after ``since`` and up to ``until``, and the columns to count by.

    ``leaving_days`` adds the column "left": whether the customer left within so many days of the question (yes, no, or
    not yet known). ``year`` adds the year of the question.
    """

    metric: str
    by: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    leaving_days: int | None = None
    year: bool = False

    @property
    def keys(self) -> list[str]:
        """Return the columns counted by."""
        return [*self.by, *(["left"] if self.leaving_days else []), *(["year"] if self.year else [])]


def _questions(company: Company, asked: Asked) -> ibis.Table:
    """Return the questions of ``asked``, with its columns as text."""
    rows = answers.questions(company, asked.metric, asked.by)
    rows = rows.mutate(asked_on=ibis.coalesce(rows.asked_at, rows.when).cast("date"))
    if asked.since is not None:
        rows = rows.filter(_.asked_on > ibis.literal(asked.since))
    if asked.until is not None:
        rows = rows.filter(_.asked_on <= ibis.literal(asked.until))
    if asked.year:
        rows = rows.mutate(year=ibis.coalesce(rows.asked_on.year().cast("string"), people.NONE))
    if asked.leaving_days is None:
        return rows
    rows = rows.inner_join(company.customers.select("customer_id", "left_on"), "customer_id")
    soon = (people.days(rows.left_on, rows.asked_on) <= asked.leaving_days).fill_null(False)
    unknown = people.days(ibis.literal(company.as_of), rows.asked_on) < asked.leaving_days
    return rows.mutate(left=ibis.cases((soon, "yes"), (unknown, "not yet known"), else_="no"))


def response_counts(company: Company, asked: Asked, folds: bool = True) -> pd.DataFrame:
    """Count questions by (keys of ``asked``, fold): asked, answered, customers, asked_weight and answered_weight.

    ``customers`` counts as in ``answers.score_counts``. Without ``folds`` one row per key.

    Example: ``response_counts(company, Asked("nps", by=("plan",)))``.
    """
    rows, keys = _questions(company, asked), asked.keys
    mine = ibis.row_number().over(ibis.window(group_by=["customer_id", *keys], order_by="response_id"))
    rows = rows.mutate(new=(mine == 0).cast("int64"))
    keys = [*keys, *(["fold"] if folds else [])]
    sums = {"asked": _.count(), "answered": _.answered.cast("int64").sum(), "customers": _.new.sum()}
    sums |= {"asked_weight": people.added(_.weight), "answered_weight": people.added(_.weight, where=_.answered)}
    counted = (rows.group_by(keys) if keys else rows).agg(**sums)
    return (counted.order_by(keys) if keys else counted).execute()


def weighted_scores(company: Company, asked: Asked, factors: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Count answers by (score, fold) under several weightings, each a factor for the cell of the answer.

    ``factors``: the keys of ``asked`` and one column per weighting. Returns a frame per weighting: score, fold, n,
    weight, squares (of the weights) and largest (the largest weight of one answer).
    """
    ways = [c for c in factors if c not in asked.keys]
    mapped = factors[[*asked.keys, *ways]].set_axis([*asked.keys, *(f"_{i}" for i in range(len(ways)))], axis=1)
    rows = _questions(company, asked).filter(_.answered)
    rows = rows.inner_join(ibis.memtable(mapped), asked.keys)
    rows = rows.mutate(**{f"_{i}": rows.weight * rows[f"_{i}"] for i in range(len(ways))})
    sums = {"n": rows.count()}
    for i in range(len(ways)):
        w = rows[f"_{i}"]
        sums |= {f"weight_{i}": people.added(w), f"squares_{i}": (w * w).sum(), f"largest_{i}": w.max()}
    counted = rows.group_by(["score", "fold"]).agg(**sums).order_by(["score", "fold"]).execute()
    columns = ("weight", "squares", "largest")
    return {
        way: counted[["score", "fold", "n"]].assign(**{c: counted[f"{c}_{i}"] for c in columns})
        for i, way in enumerate(ways)
    }


def answer_lags(company: Company, metric: str) -> pd.DataFrame:
    """Count answers by whole days from question to answer: columns lag, n."""
    rows = answers.questions(company, metric).filter(_.answered & _.asked_at.notnull() & _.answered_at.notnull())
    rows = rows.mutate(lag=ibis.greatest(people.days(rows.answered_at, rows.asked_at), 0))
    return rows.group_by("lag").agg(n=_.count()).order_by("lag").execute()


def heard(company: Company, metric: str, since: date | None = None) -> dict[str, int]:
    """Count the customers here since a day, those of them asked since, and those with an answer."""
    who = people.everyone(company)
    if since is not None:
        who = who.filter(people.stayed(who, ibis.literal(since)))
    rows = _questions(company, Asked(metric, since=since)).select("customer_id", "answered")
    rows = rows.inner_join(who.select("customer_id"), "customer_id")
    sums = rows.agg(asked=rows.customer_id.nunique(), answered=rows.customer_id.nunique(where=rows.answered))
    found = sums.execute().iloc[0]
    return {"here": int(who.count().execute()), "asked": int(found["asked"]), "answered": int(found["answered"])}


def comment_counts(company: Company, metric: str) -> pd.DataFrame:
    """Count answers by (band, fold): n, weight, commented (weight of those with a comment) and customers.

    ``customers`` counts as in ``answers.score_counts``.
    """
    rows = answers.questions(company, metric).filter(_.answered)
    mine = ibis.row_number().over(ibis.window(group_by=["customer_id", "band"], order_by="response_id"))
    rows = rows.mutate(new=(mine == 0).cast("int64"), said=(rows.comment.strip().length() > 0).fill_null(False))
    sums = {"n": _.count(), "weight": people.added(_.weight), "customers": _.new.sum()}
    sums |= {"commented": people.added(_.weight, where=_.said)}
    return rows.group_by(["band", "fold"]).agg(**sums).order_by(["band", "fold"]).execute()
