"""From the six tables to small count tables, inside the engine.

Every function builds one Ibis expression and brings back counts as a pandas frame, each row with its ``fold``
(0-255, from a hash of customer_id): the estimates need no more, however many customers there are.

Clock: dates are days. Somebody is here from the start of the day of entry to the end of the day of leaving, so
a stay is (last day - first day + 1) days long and never zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import pandas as pd
from ibis import _

from cxlib.errors import InputError
from cxlib.intake.company import Company

NO_ANSWER = "no answer"
NONE = "(none)"
DAYS_A_MONTH = 365.25 / 12
PERIODS = {"week": "W", "month": "M", "quarter": "Q", "year": "Y"}


@dataclass(frozen=True)
class Band:
    """A named stretch of a scale, ends included: promoter 9-10."""

    name: str
    low: float
    high: float


def bands(company: Company, metric: str) -> list[Band]:
    """Return the bands of a metric from worst to best.

    NPS: detractor (to 6), passive (7-8), promoter (9-10). Others: the best two fifths of the scale (or what
    ``satisfied_from`` says) are the good end, the worst two fifths the bad one; a scale where low is good is turned.
    """
    rule = company.settings.metrics[metric]
    low, high = rule.scale
    if metric == "nps":
        return [Band("detractor", low, 6), Band("passive", 7, 8), Band("promoter", 9, high)]
    steps = high - low + 1
    names = ("hard", "neutral", "easy") if metric == "ces" else ("dissatisfied", "neutral", "satisfied")
    if rule.good == "high":
        good_from = rule.satisfied_from or low + steps * 3 // 5
        bad_to = min(low + steps * 2 // 5 - 1, good_from - 1)
        return [
            Band(names[0], low, bad_to),
            Band(names[1], bad_to + 1, good_from - 1),
            Band(names[2], good_from, high),
        ]
    good_to = rule.satisfied_from or low + steps * 2 // 5 - 1
    bad_from = max(low + steps * 3 // 5, good_to + 1)
    return [
        Band(names[0], bad_from, high),
        Band(names[1], good_to + 1, bad_from - 1),
        Band(names[2], low, good_to),
    ]


def direction(company: Company, metric: str) -> str:
    """Return the scale and which end is good, as printed beside every figure: "1-5, high is good"."""
    rule = company.settings.metrics[metric]
    version = f", version {rule.version}" if metric == "ces" else ""
    return f"{rule.scale[0]:g}-{rule.scale[1]:g}, {rule.good} is good{version}"


def metrics(company: Company) -> list[str]:
    """Return the metrics that have answers, in the order of company.yaml."""
    if company.responses is None:
        return []
    seen = company.responses.filter(_.score.notnull()).metric.value_counts().execute()
    return [m for m in company.settings.metrics if m in set(seen["metric"])]


def days(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
    """Return whole days from one date or moment to another."""
    return later.cast("date").delta(earlier.cast("date"), unit="day")


def people(company: Company) -> ibis.Table:
    """Return customers with ``started`` (joined, else first order), ``left_on``, ``last_day`` and ``chosen``.

    ``chosen`` tells whether somebody who left did so by choice (not one of the involuntary reasons).
    """
    customers, first = company.customers, None
    started = customers.joined_on
    if company.orders is not None and not company.has("customers", "joined_on"):
        first = company.orders.group_by("customer_id").agg(first_order=_.ordered_at.min().cast("date"))
        customers = customers.left_join(first, "customer_id").drop("customer_id_right")
        started = ibis.coalesce(customers.joined_on, customers.first_order)
    reasons = list(company.settings.involuntary_reasons or [])
    involuntary = customers.left_reason.isin(reasons) if reasons else ibis.literal(False)
    return customers.mutate(
        started=started,
        last_day=ibis.coalesce(customers.left_on, ibis.literal(company.as_of)),
        chosen=customers.left_on.notnull() & ~involuntary.fill_null(False),
    )


def require(company: Company, table: str, *columns: str) -> str | None:
    """Return why a question cannot be answered for want of a table or column, or None when all are there."""
    if not company.has(table):
        return f"there is no {table} table in company.yaml"
    missing = [c for c in columns if not company.has(table, c)]
    return f"{table} has no {', '.join(missing)}" if missing else None


def answers(company: Company, metric: str, by: Sequence[str] = ()) -> ibis.Table:
    """Return one row per question of a metric: score, band, when it was known, fold and the customer's ``by`` columns.

    ``when`` is the day of the answer, or of the question where no answer came; ``weight`` is 1 where none is given.
    """
    rows = company.responses.filter(_.metric == metric)
    cases = [((rows.score >= b.low) & (rows.score <= b.high), b.name) for b in bands(company, metric)]
    rows = rows.mutate(
        band=ibis.cases(*cases, else_=NO_ANSWER),
        answered=rows.score.notnull(),
        when=ibis.coalesce(rows.answered_at, rows.asked_at),
        weight=ibis.coalesce(rows.weight, 1.0),
    )
    if not by:
        return rows
    own = [c for c in by if c in rows.columns]  # a segment of the customer, whatever the export of answers calls so
    return rows.drop(*own).inner_join(company.customers.select("customer_id", *by), "customer_id")


def score_counts(
    company: Company,
    metric: str,
    by: Sequence[str] = (),
    period: str | None = None,
    latest_only: bool = False,
    since: date | None = None,
) -> pd.DataFrame:
    """Count answers by (``by``, period, score, fold): columns n (answers) and weight (their weights added).

    ``latest_only`` keeps a customer's latest answer within each period (or altogether): one customer, one voice.
    """
    rows = answers(company, metric, by).filter(_.answered)
    if since is not None:
        rows = rows.filter(_.when.cast("date") > ibis.literal(since))
    keys = list(by)
    if period:
        rows = rows.filter(_.when.notnull()).mutate(period=_.when.cast("date").truncate(PERIODS[period]))
        keys.append("period")
    if latest_only:
        within = ["customer_id", "period"] if period else ["customer_id"]
        order = [ibis.desc("when"), ibis.desc("response_id")]
        newest = ibis.row_number().over(ibis.window(group_by=within, order_by=order))
        rows = rows.mutate(rank=newest).filter(_.rank == 0)
    rows = rows.mutate(**{k: ibis.coalesce(rows[k].cast("string"), NONE) for k in by})
    counted = rows.group_by([*keys, "score", "fold"]).agg(n=_.count(), weight=_.weight.sum())
    return counted.order_by([*keys, "score", "fold"]).execute()


def response_counts(company: Company, metric: str, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count questions asked and answered by (``by``, fold)."""
    rows = answers(company, metric, by)
    rows = rows.mutate(**{k: ibis.coalesce(rows[k].cast("string"), NONE) for k in by})
    counted = rows.group_by([*by, "fold"]).agg(asked=_.count(), answered=_.answered.cast("int64").sum())
    return counted.order_by([*by, "fold"]).execute()


def _with_outcome(company: Company, rows: ibis.Table) -> ibis.Table:
    """Add the outcome to rows that have ``when``: leaving (contractual) or the next order (non-contractual).

    Adds ``last_day`` (of follow-up), ``event`` (the outcome was seen) and ``chosen`` (the exit was a choice).
    """
    if company.settings.relationship == "contractual":
        who = people(company).select("customer_id", "started", "left_on", "last_day", "chosen")
        joined = rows.inner_join(who, "customer_id")
        return joined.mutate(event=joined.left_on.notnull())
    orders = company.orders.select(buyer="customer_id", bought=_.ordered_at)
    later = rows.select("response_id", "customer_id", "when").inner_join(
        orders, [_.customer_id == orders.buyer, _.when.cast("date") < orders.bought.cast("date")]
    )
    following = later.group_by("response_id").agg(next_order=_.bought.min().cast("date"))
    joined = rows.left_join(following, "response_id").drop("response_id_right")
    joined = joined.inner_join(people(company).select("customer_id", "started"), "customer_id")
    joined = joined.filter(days(joined.when, joined.started) >= 0)  # before the first purchase nobody can buy again
    return joined.mutate(
        last_day=ibis.coalesce(joined.next_order, ibis.literal(company.as_of)),
        event=joined.next_order.notnull(),
        chosen=joined.next_order.notnull(),
    )


def follow_up(company: Company, metric: str, horizon_days: int, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count answers by (``by``, band, duration, event, fold): the clock starts when the score was known.

    duration in days, cut at ``horizon_days``; event 1 = left (contractual) or bought again (non-contractual).
    Questions asked after the customer left, or before a first purchase, are not followed.
    """
    rows = _with_outcome(company, answers(company, metric, by).filter(_.when.notnull()))
    rows = rows.filter(days(_.last_day, _.when) >= 0)
    length = days(rows.last_day, rows.when) + 1
    rows = rows.mutate(
        duration=ibis.least(length, horizon_days),
        event=(rows.event & (length <= horizon_days)).cast("int64"),
        **{k: ibis.coalesce(rows[k].cast("string"), NONE) for k in by},
    )
    keys = [*by, "band", "duration", "event", "fold"]
    return rows.group_by(keys).agg(n=_.count()).order_by(keys).execute()


def episodes(company: Company, metric: str, strata: Sequence[str] = ()) -> pd.DataFrame:
    """Count start-stop episodes by (stratum, band, start, stop, event, chosen, fold).

    An episode runs from the day a score was known to the next question of the metric, to the outcome or to the
    as-of date, on the clock of tenure in days (non-contractual: of days since the answer). The days between a
    question and its answer belong to no score. event: left, or bought again; chosen: left by choice.
    """
    rows = answers(company, metric, strata).filter(_.when.notnull())
    order = ibis.window(group_by="customer_id", order_by=["asked", "response_id"])
    rows = rows.mutate(asked=ibis.coalesce(rows.asked_at, rows.when).cast("date"))
    rows = rows.mutate(next_asked=rows.asked.lead().over(order))
    rows = _with_outcome(company, rows)
    tenure_clock = company.settings.relationship == "contractual"
    origin = rows.started if tenure_clock else rows.when
    ends = days(rows.last_day, origin) + 1
    cut = ibis.coalesce(days(rows.next_asked, origin), ends)
    rows = rows.mutate(
        start=days(rows.when, origin),
        stop=ibis.least(ends, cut),
        event=(rows.event & (ends <= cut)).cast("int64"),
        chosen=(rows.event & rows.chosen & (ends <= cut)).cast("int64"),
        stratum=_joined(rows, strata),
    )
    keys = ["stratum", "band", "start", "stop", "event", "chosen", "fold"]
    return rows.filter(_.stop > _.start).group_by(keys).agg(n=_.count()).order_by(keys).execute()


def _joined(rows: ibis.Table, columns: Sequence[str]) -> ibis.Value:
    """Return one text of several columns, "Basic | North"; "all" for none."""
    if not columns:
        return ibis.literal("all")
    texts = [ibis.coalesce(rows[c].cast("string"), NONE) for c in columns]
    return ibis.literal(" | ").join(texts)


def followed_by_event(company: Company, metric: str) -> int:
    """Count the customers who answered and later left (contractual) or bought again (non-contractual)."""
    rows = _with_outcome(company, answers(company, metric).filter(_.answered & _.when.notnull()))
    rows = rows.filter(rows.event & (days(rows.last_day, rows.when) >= 0))
    return int(rows.customer_id.nunique().execute() or 0)


def repeat_buyers(company: Company) -> tuple[int, int]:
    """Count customers with several orders, and those who ordered on several days."""
    orders = company.orders.group_by("customer_id").agg(orders=_.count(), days=_.ordered_at.cast("date").nunique())
    sums = orders.agg(several=(orders.orders > 1).cast("int64").sum(), on_days=(orders.days > 1).cast("int64").sum())
    found = sums.execute().iloc[0]
    return int(found["several"] or 0), int(found["on_days"] or 0)


def last_score(company: Company, metric: str) -> pd.DataFrame:
    """Count customers by (band of their last answer, duration from sign-up, event, fold).

    The layout behind the usual, wrong curve: it knows the score before it was given. Only ever drawn as a warning.
    """
    rows = answers(company, metric).filter(_.answered & _.when.notnull())
    newest = ibis.row_number().over(ibis.window(group_by="customer_id", order_by=[ibis.desc("when"), "response_id"]))
    rows = rows.mutate(rank=newest).filter(_.rank == 0).select("customer_id", "band", "fold")
    rows = rows.inner_join(people(company).select("customer_id", "started", "left_on", "last_day"), "customer_id")
    rows = rows.filter(_.started.notnull())
    rows = rows.mutate(duration=days(rows.last_day, rows.started) + 1, event=rows.left_on.notnull().cast("int64"))
    keys = ["band", "duration", "event", "fold"]
    return rows.group_by(keys).agg(n=_.count()).order_by(keys).execute()


def base_by_period(company: Company, starts: Sequence[date], by: Sequence[str] = ()) -> pd.DataFrame:
    """Count, for each period from one date to the next: here at the start, lost of these, joined in it.

    ``starts`` are the first days of the periods and, last, the end of the last one.
    """
    who = people(company)
    who = who.filter(_.started.notnull())
    who = who.mutate(**{k: ibis.coalesce(who[k].cast("string"), NONE) for k in by})
    sums = {}
    for i, (first, following) in enumerate(itertools.pairwise(starts)):
        begin, end = ibis.literal(first), ibis.literal(following)
        here = (who.started < begin) & (who.left_on.isnull() | (who.left_on >= begin))
        sums[f"here_{i}"] = here.cast("int64").sum()
        sums[f"lost_{i}"] = (here & (who.left_on < end)).fill_null(False).cast("int64").sum()
        sums[f"joined_{i}"] = ((who.started >= begin) & (who.started < end)).cast("int64").sum()
    wide = (who.group_by(list(by)) if by else who).agg(**sums).execute()
    parts = []
    for i, first in enumerate(starts[:-1]):
        part = wide[list(by)].copy() if by else pd.DataFrame(index=wide.index)
        part["period"] = pd.Timestamp(first)
        for what in ("here", "lost", "joined"):
            part[what] = wide[f"{what}_{i}"]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def paying_base(company: Company, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count customers here on the as-of date and add up their monthly_revenue, by (``by``, fold)."""
    who = people(company).filter(_.left_on.isnull())
    who = who.mutate(**{k: ibis.coalesce(who[k].cast("string"), NONE) for k in by})
    keys = [*by, "fold"]
    return who.group_by(keys).agg(n=_.count(), revenue=_.monthly_revenue.sum()).order_by(keys).execute()


def purchases(company: Company, until: date | None = None) -> pd.DataFrame:
    """Count buyers by (frequency, recency, age, fold): repeat-purchase days, weeks from first to last and to the end.

    Orders of one day are one purchase; ``spend`` adds up the mean revenue per repeat purchase of these buyers.
    Weeks are days / 7. ``until`` ends the window (default: the as-of date).
    """
    end = until or company.as_of
    orders = company.orders.mutate(day=_.ordered_at.cast("date")).filter(_.day <= ibis.literal(end))
    by_day = orders.group_by(["customer_id", "fold", "day"]).agg(revenue=_.revenue.sum())
    first = _.day.min().over(ibis.window(group_by="customer_id"))
    by_day = by_day.mutate(first_day=first)
    buyers = by_day.group_by(["customer_id", "fold"]).agg(
        frequency=_.count() - 1,
        recency=days(by_day.day.max(), by_day.day.min()) / 7,
        age=days(ibis.literal(end), by_day.day.min()) / 7,
        spend=_.revenue.mean(where=_.day > _.first_day),
    )
    keys = ["frequency", "recency", "age", "spend", "fold"]
    return buyers.group_by(keys).agg(n=_.count()).order_by(keys).execute()


def after_answer(company: Company, metric: str, window_days: int) -> pd.DataFrame:
    """Add up orders in the ``window_days`` after each answer, by (band, earlier purchase days, fold).

    Only answers whose whole window lies before the as-of date count, so that every band has the same time.
    ``earlier`` is none, one, two, three or more purchase days up to the answer: equals are compared with equals.
    """
    end = ibis.literal(company.as_of)
    rows = answers(company, metric).filter(_.when.notnull()).mutate(day=_.when.cast("date"))
    rows = rows.filter(days(end, rows.day) >= window_days).select("response_id", "customer_id", "band", "day", "fold")
    orders = company.orders.mutate(bought=_.ordered_at.cast("date"))
    orders = orders.group_by(["customer_id", "bought"]).agg(revenue=_.revenue.sum())
    both = rows.left_join(orders, "customer_id")
    gap = days(both.bought, both.day)
    counted = both.group_by(["response_id", "band", "fold"]).agg(
        earlier=(gap <= 0).fill_null(False).cast("int64").sum(),
        bought=((gap > 0) & (gap <= window_days)).fill_null(False).cast("int64").sum(),
        revenue=ibis.coalesce(both.revenue.sum(where=(gap > 0) & (gap <= window_days)), 0.0),
    )
    counted = counted.mutate(earlier=ibis.least(counted.earlier, 3))
    keys = ["band", "earlier", "fold"]
    sums = counted.group_by(keys).agg(
        n=_.count(),
        buyers=(_.bought > 0).cast("int64").sum(),
        purchases=_.bought.sum(),
        revenue=_.revenue.sum(),
    )
    return sums.order_by(keys).execute()


def margin_by_month(
    company: Company, assigned: ibis.Table, first_month: date, months: int, keys: Sequence[str]
) -> pd.DataFrame:
    """Add up money by (``keys``, month) for a fixed set of customers, who stay in it after they have left.

    ``assigned`` is an Ibis table of customer_id and ``keys``; months are calendar months counted from
    ``first_month`` (month 0; earlier ones are negative) up to ``months`` - 1. Columns: customers (of the set),
    here (not yet gone at the month's end), revenue, margin (where orders carry one), service (contact cost).
    """
    keys = list(keys)
    index = lambda d: (d.year() - first_month.year) * 12 + d.month() - first_month.month  # noqa: E731
    size = assigned.group_by(keys).agg(customers=_.count()).execute()
    who = assigned.inner_join(people(company).select("customer_id", "left_on", "started"), "customer_id")
    gone = who.filter(_.left_on.notnull())
    gone = gone.mutate(month=index(gone.left_on)).group_by([*keys, "month"]).agg(gone=_.count()).execute()
    parts = [gone]
    if company.orders is not None:
        rows = company.orders.select("customer_id", "ordered_at", "revenue", "margin").inner_join(
            assigned, "customer_id"
        )
        rows = rows.mutate(month=index(rows.ordered_at)).filter(_.month < months)
        parts.append(rows.group_by([*keys, "month"]).agg(revenue=_.revenue.sum(), margin=_.margin.sum()).execute())
    if company.contacts is not None:
        rows = company.contacts.select("customer_id", "opened_at", "cost").inner_join(assigned, "customer_id")
        rows = rows.mutate(month=index(rows.opened_at)).filter(_.month < months)
        parts.append(rows.group_by([*keys, "month"]).agg(service=_.cost.sum(), contacts=_.count()).execute())
    present = [int(p["month"].min()) for p in parts if len(p)]
    grid = size.merge(pd.DataFrame({"month": range(min([0, *present]), months)}), how="cross")
    for part in parts:
        grid = grid.merge(part, on=[*keys, "month"], how="left")
    for column in ("gone", "revenue", "margin", "service", "contacts"):
        grid[column] = grid[column].astype(float).fillna(0.0) if column in grid else 0.0
    grid = grid.sort_values([*keys, "month"], ignore_index=True)
    grid["here"] = grid["customers"] - grid.groupby(keys, observed=True)["gone"].cumsum()
    return grid


def dated(company: Company) -> bool:
    """Tell whether the answers carry dates; without them nobody can say what came first."""
    return company.has("responses", "asked_at") or company.has("responses", "answered_at")


def segments(company: Company) -> list[str]:
    """Return the columns of customers to cut by, the one that matters most first."""
    return list(company.settings.segments)


def choose(company: Company, metric: str) -> str:
    """Return the metric asked for, or the first declared one that has answers when none is named.

    Errors: InputError naming the metrics that have answers.
    """
    there = metrics(company)
    if metric and metric not in there:
        raise InputError(
            f"metric {metric!r} has no answers",
            remedy=f"Set the parameter metric to one of: {', '.join(there) or 'none'}.",
        )
    return metric or (there[0] if there else "")
