"""Orders and revenue as small count tables, for the models of repeat buying. The clock is that of ``people``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from cxlib.counts import answers, people
from cxlib.counts.people import as_text
from cxlib.intake.company import Company

PAST = ("frequency", "recency", "age", "kept", "spend")  # of a buyer: the inputs of the models of repeat buying
NOTHING = 0.001  # of what was paid: a smaller rest after refunds counts as nothing
MANY = 50_000  # customers who came back: from there on, recency and age are whole weeks, so that fits stay quick


def _days(company: Company, until: date) -> ir.Table:
    """Return a row for each customer and day with orders up to ``until``: orders (paid), revenue, refunded, free.

    ``total`` is the sum of all that was paid and refunded by the end of the day.
    """
    rows = company.orders.mutate(day=_.ordered_at.cast("date")).filter(_.day <= ibis.literal(until))
    paid = rows.revenue > 0
    found = rows.group_by(["customer_id", "fold", "day"]).agg(
        orders=paid.cast("int64").sum(),
        revenue=people.added(rows.revenue, where=paid),
        refunded=people.added(-rows.revenue, where=rows.revenue < 0),
        free=(rows.revenue == 0).cast("int64").sum(),
        largest=rows.revenue.max(),
    )
    so_far = ibis.cumulative_window(group_by="customer_id", order_by="day")
    return found.mutate(total=(found.revenue - found.refunded).sum().over(so_far))


def bought(company: Company, until: date | None = None) -> ir.Table:
    """Return a row for each customer and day of buying: orders, revenue, and net, what refunds have left of it.

    An order of 0.00 is no purchase. A refund is taken off the customer's latest purchase before it, what exceeds that
    off the one before, and so on. ``until``: what was known on that day (default: the as-of date).
    """
    rows = _days(company, until or company.as_of)
    if not _refunds(company):
        return rows.filter(_.orders > 0).mutate(net=_.revenue)
    turn = {"group_by": "customer_id", "order_by": "day"}
    # Paid and not refunded by the end of a day. Below 0, refunds would be of purchases that are not on record.
    rows = rows.mutate(held=rows.total - ibis.least(rows.total.min().over(ibis.cumulative_window(**turn)), 0.0))
    before = ibis.coalesce(rows.held.lag().over(ibis.window(**turn)), 0.0)
    net = rows.held.min().over(ibis.window(preceding=0, following=None, **turn)) - before
    return rows.mutate(net=(net > NOTHING * rows.revenue).ifelse(net, 0.0)).filter(_.orders > 0)


@lru_cache(maxsize=4)
def _refunds(company: Company) -> bool:
    return bool((company.orders.revenue < 0).any().execute())


def money(company: Company) -> pd.DataFrame:
    """Sum by fold what was paid and what was not: money, orders and customers.

    Money: paid, refunded, unlinked (refunds beyond all that the customer had paid by then) and largest (one order).
    Orders: free (0.00). Customers: buyers, never (had free orders alone), returned (all they bought: nothing is left).
    """
    each = _days(company, company.as_of).group_by(["customer_id", "fold"])
    each = each.agg(
        **{k: _[k].sum() for k in ("revenue", "refunded", "free", "orders")},
        largest=_.largest.max(), lowest=ibis.least(_.total.min(), 0.0),
    )  # fmt: skip
    some, left = each.orders > 0, each.revenue - each.refunded - each.lowest
    loose = (each.lowest < -NOTHING * each.revenue).ifelse(-each.lowest, 0.0)
    flags = {"buyers": some, "never": ~some & (each.free > 0), "returned": some & (left <= NOTHING * each.revenue)}
    sums = {
        "paid": people.added(each.revenue),
        "refunded": people.added(each.refunded),
        "unlinked": people.added(loose),
    }
    sums |= {"free": each.free.sum()} | {k: v.cast("int64").sum() for k, v in flags.items()}
    return each.group_by("fold").agg(**sums, largest=each.largest.max()).order_by("fold").execute()


@lru_cache(maxsize=4)
def repeat_buyers(company: Company) -> tuple[int, int]:
    """Count customers with several purchases, and those who bought on several days."""
    orders = _purchase_days(company, company.as_of).group_by("customer_id")
    orders = orders.agg(orders=_.orders.sum(), days=_.count())
    several, on_days = ((orders[c] > 1).cast("int64").sum().fill_null(0) for c in ("orders", "days"))
    found = orders.agg(several=several, on_days=on_days).execute().iloc[0]
    return int(found["several"]), int(found["on_days"])


def paying_base(company: Company, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count customers here on the as-of date and add up their monthly_revenue, by (``by``, fold)."""
    who = people.here_today(company)
    who = who.mutate(**{k: ibis.coalesce(who[k].cast("string"), people.NONE) for k in by})
    keys = [*by, "fold"]
    return who.group_by(keys).agg(n=_.count(), revenue=people.added(_.monthly_revenue)).order_by(keys).execute()


def purchases(company: Company, until: date | None = None, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count buyers by (``by`` as text, frequency, recency, age, kept, spend, fold): n.

    A buyer has bought something that was not refunded in full. frequency: days of buying after the first. recency:
    weeks (days / 7) from the first to the last. age: weeks from the first to ``until`` (default: the as-of date). Both
    are rounded to whole weeks where ``MANY`` came back. kept: of the days after the first, those of which money is left
    after refunds. spend: mean of that money.

    Example: ``purchases(company, by=["plan"])``.
    """
    buyers = _buyers(company, until or company.as_of)
    if by:
        buyers = buyers.inner_join(as_text(company.customers.select("customer_id", *by), by), "customer_id")
    keys = [*by, *PAST, "fold"]
    return buyers.group_by(keys).agg(n=_.count()).order_by(keys).execute()


def held_out(company: Company, cut: date, metric: str = "") -> pd.DataFrame:
    """Count the buyers known by ``cut`` as ``purchases`` does, with what they bought later, up to the as-of date.

    purchases: days of buying after the cut; revenue: the money of those days, less refunds; both summed over the n
    buyers. With a ``metric`` also by band, the score group of the last answer up to the cut.
    """
    keys, rows = [*PAST, "fold"], _buyers(company, cut)
    if metric:
        keys = ["band", *keys]
        known = answers.questions(company, metric).filter(_.answered & (_.when.cast("date") <= ibis.literal(cut)))
        order = [ibis.desc("when"), ibis.desc("response_id")]
        known = known.mutate(rank=ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order)))
        rows = rows.left_join(known.filter(_.rank == 0).select("customer_id", "band"), "customer_id")
        rows = rows.mutate(band=ibis.coalesce(rows.band, answers.NO_ANSWER))
    sums = {"n": _.count(), "purchases": _.later.sum(), "revenue": people.added(_.later_revenue)}
    return rows.group_by(keys).agg(**sums).order_by(keys).execute()


def by_day(company: Company, cut: date) -> pd.DataFrame:
    """Count the purchases of buyers known by ``cut``, day by day to the as-of date: day, first, repeats."""
    rows = _purchase_days(company, cut)
    first = rows.day == rows.first_day
    found = rows.group_by("day").agg(first=first.cast("int64").sum(), repeats=(~first).cast("int64").sum())
    return found.order_by("day").execute().assign(day=lambda f: pd.to_datetime(f["day"]))


def first_and_later(company: Company) -> pd.DataFrame:
    """Sum the purchases of buyers by fold: first, first_revenue, later, later_revenue; money is less refunds."""
    rows = _purchase_days(company, company.as_of)
    rows = rows.mutate(first=rows.day == rows.first_day)
    sums = {
        "first": _["first"].cast("int64").sum(),
        "first_revenue": people.added(_.net, where=_["first"]),
        "later": (~_["first"]).cast("int64").sum(),
        "later_revenue": people.added(_.net, where=~_["first"]),
    }
    return rows.group_by("fold").agg(**sums).order_by("fold").execute()


def _purchase_days(company: Company, cut: date) -> ir.Table:
    """Return the days of buying of those who by ``cut`` had bought something that was not refunded in full by then.

    Adds first_day, and known: up to the cut. Refunds after the cut count for later purchases alone.
    """
    rows = bought(company, cut).mutate(known=True)
    if cut < company.as_of:
        rows = rows.union(bought(company).filter(_.day > ibis.literal(cut)).mutate(known=False))
    each = ibis.window(group_by="customer_id")
    rows = rows.mutate(first_day=_.day.min().over(each), buyer=(_.known & (_.net > 0)).any().over(each))
    return rows.filter(_.buyer)


def _buyers(company: Company, cut: date) -> ir.Table:
    """Return one row per buyer known by ``cut``: frequency, recency, age, kept, spend up to it, and later purchases."""
    rows, many = _purchase_days(company, cut), repeat_buyers(company)[1] > MANY

    def weeks(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
        exact = people.days(later, earlier) / 7
        return ibis.greatest(exact.round(), (exact > 0).cast("int64")).cast("float64") if many else exact

    kept = rows.known & (rows.day > rows.first_day) & (rows.net > 0)
    return rows.group_by(["customer_id", "fold"]).agg(
        frequency=rows.known.cast("int64").sum() - 1,
        recency=weeks(rows.day.max(where=rows.known), rows.day.min()),
        age=weeks(ibis.literal(cut), rows.day.min()),
        kept=kept.cast("int64").sum(),
        spend=people.added(rows.net, where=kept) / kept.cast("int64").sum().nullif(0),
        later=(~rows.known).cast("int64").sum(),
        later_revenue=people.added(rows.net, where=~rows.known),
    )
