"""Orders and revenue as small count tables, for the models of repeat buying. The clock is that of ``people``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from cxlib.counts import answers, people
from cxlib.counts.people import as_text
from cxlib.intake.company import Company

PAST = ("frequency", "recency", "age", "spend")  # of a buyer: the inputs of the models of repeat buying


def bought(company: Company) -> ir.Table:
    """Return the purchases: orders with their ``day``, refunds (revenue below 0) excluded."""
    return company.orders.filter(_.revenue >= 0).mutate(day=_.ordered_at.cast("date"))


def repeat_buyers(company: Company) -> tuple[int, int]:
    """Count customers with several purchases, and those who bought on several days."""
    orders = bought(company).group_by("customer_id").agg(orders=_.count(), days=_.day.nunique())
    several, on_days = ((orders[c] > 1).cast("int64").sum().fill_null(0) for c in ("orders", "days"))
    found = orders.agg(several=several, on_days=on_days).execute().iloc[0]
    return int(found["several"]), int(found["on_days"])


def paying_base(company: Company, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count customers here on the as-of date and add up their monthly_revenue, by (``by``, fold)."""
    who = people.everyone(company).filter(_.left_on.isnull())
    who = who.mutate(**{k: ibis.coalesce(who[k].cast("string"), people.NONE) for k in by})
    keys = [*by, "fold"]
    return who.group_by(keys).agg(n=_.count(), revenue=_.monthly_revenue.sum()).order_by(keys).execute()


def purchases(company: Company, until: date | None = None, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count buyers by (``by`` as text, frequency, recency, age, spend, fold): n.

    frequency: days of buying after the first. recency: weeks (days / 7) from the first to the last. age: weeks from the
    first to ``until`` (default: the as-of date). spend: mean revenue of the days after the first.

    Example: ``purchases(company, by=["plan"])``.
    """
    buyers = _buyers(company, until or company.as_of)
    if by:
        buyers = buyers.inner_join(as_text(company.customers.select("customer_id", *by), by), "customer_id")
    keys = [*by, *PAST, "fold"]
    return buyers.group_by(keys).agg(n=_.count()).order_by(keys).execute()


def held_out(company: Company, cut: date, metric: str = "") -> pd.DataFrame:
    """Count the buyers known by ``cut`` as ``purchases`` does, with what they bought later, up to the as-of date.

    purchases: days of buying after the cut; revenue: the money of those days; both summed over the n buyers. With a
    ``metric`` also by band, the score group of the last answer up to the cut.
    """
    keys, rows = [*PAST, "fold"], _buyers(company, cut)
    if metric:
        keys = ["band", *keys]
        known = answers.questions(company, metric).filter(_.answered & (_.when.cast("date") <= ibis.literal(cut)))
        order = [ibis.desc("when"), ibis.desc("response_id")]
        known = known.mutate(rank=ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order)))
        rows = rows.left_join(known.filter(_.rank == 0).select("customer_id", "band"), "customer_id")
        rows = rows.mutate(band=ibis.coalesce(rows.band, answers.NO_ANSWER))
    sums = {"n": _.count(), "purchases": _.later.sum(), "revenue": _.later_revenue.sum()}
    return rows.group_by(keys).agg(**sums).order_by(keys).execute()


def by_day(company: Company, cut: date) -> pd.DataFrame:
    """Count the purchases of buyers known by ``cut``, day by day to the as-of date: day, first, repeats."""
    rows = _purchase_days(company).filter(_.first_day <= ibis.literal(cut))
    first = rows.day == rows.first_day
    found = rows.group_by("day").agg(first=first.cast("int64").sum(), repeats=(~first).cast("int64").sum())
    return found.order_by("day").execute().assign(day=lambda f: pd.to_datetime(f["day"]))


def _purchase_days(company: Company) -> ir.Table:
    """Return one row per buyer and day of buying: revenue, and first_day of the buyer."""
    rows = bought(company).group_by(["customer_id", "fold", "day"]).agg(revenue=_.revenue.sum())
    return rows.mutate(first_day=_.day.min().over(ibis.window(group_by="customer_id")))


def _buyers(company: Company, cut: date) -> ir.Table:
    """Return one row per buyer known by ``cut``: frequency, recency, age, spend up to it, and later purchases."""
    end = ibis.literal(cut)
    rows = _purchase_days(company).filter(_.first_day <= end)
    known = rows.day <= end
    return rows.group_by(["customer_id", "fold"]).agg(
        frequency=known.cast("int64").sum() - 1,
        recency=people.days(rows.day.max(where=known), rows.day.min()) / 7,
        age=people.days(end, rows.day.min()) / 7,
        spend=rows.revenue.mean(where=known & (rows.day > rows.first_day)),
        later=(~known).cast("int64").sum(),
        later_revenue=ibis.coalesce(rows.revenue.sum(where=~known), 0.0),
    )
