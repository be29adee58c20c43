"""Counts of upsells and cross-sells, of orders after an answer, and of new customers.

An upgrade is an order of kind upsell or cross_sell. All tables come from the engine, each row with its ``fold``. The
clock is that of ``people``. An order on the day of an answer does not follow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from cxlib.counts import follow_up, people, snapshots
from cxlib.counts.people import STAGE, as_text, days, everyone, segments
from cxlib.counts.snapshots import PRICE, answer
from cxlib.errors import Unanswered
from cxlib.intake.company import Company

UPSELL, CROSS_SELL = "upsell", "cross_sell"
FINER = 2  # parts of the stratum of ``orders_after`` that can be dropped, the last one first
NONE_EARLIER, MANY = "no earlier purchase", 3  # purchase days before an answer; the last level is MANY or more
HALVES = ("lower half", "upper half")
YEAR = 365


@dataclass(frozen=True)
class Kinds:
    """The numbers of renewals, upsells and cross-sells among orders.

    ``after``: upsells that follow another payment; ``not_smaller``: those of them that are at least as large.
    """

    renewals: int
    upsells: int
    cross_sells: int
    after: int
    not_smaller: int

    @property
    def replace(self) -> bool:
        """Tell whether an upsell is a payment at a new price that replaces a renewal, not an extra order."""
        return self.renewals > 0 and self.after > 0 and 2 * self.not_smaller >= self.after


def require_upsells(company: Company) -> None:
    """Raise Unanswered if no order is marked as an upsell or a cross-sell."""
    people.require(company, "orders", "kind")
    found = kinds(company)
    if not found.upsells + found.cross_sells:
        raise Unanswered("no-upsells")


@lru_cache(maxsize=4)
def kinds(company: Company) -> Kinds:
    """Count orders by kind, and compare upsells with the previous payment: see Kinds."""
    rows = _with_payment_before(company)
    upsell = rows.kind == UPSELL
    sums = {
        "renewals": rows.kind == "renewal",
        "upsells": upsell,
        "cross_sells": rows.kind == CROSS_SELL,
        "after": upsell & rows.before.notnull(),
        "not_smaller": upsell & (rows.revenue >= rows.before),
    }
    found = rows.agg(**{k: v.fill_null(False).cast("int64").sum() for k, v in sums.items()}).execute().iloc[0]
    return Kinds(**{k: int(v) for k, v in found.fillna(0).items()})


def _with_payment_before(company: Company) -> ir.Table:
    """Return orders with ``before``, the revenue of the previous payment (payments only)."""
    rows = company.orders.mutate(payment=_.kind.isin(follow_up.PAYMENTS))
    in_turn = ibis.window(group_by=["customer_id", "payment"], order_by=["ordered_at", "order_id"])
    return rows.mutate(before=rows.revenue.lag().over(in_turn))


def _sales(company: Company) -> ir.Table:
    """Return upgrades: buyer, bought (day) and gained.

    gained: the revenue. If upsells replace payments (``Kinds.replace``), an upsell gains what it exceeds the previous
    payment by, null if there is none.
    """
    rows = _with_payment_before(company).filter(_.kind.isin([UPSELL, CROSS_SELL]))
    extra = rows.revenue - rows.before if kinds(company).replace else rows.revenue
    gained = (rows.kind == UPSELL).ifelse(extra, rows.revenue).cast("float64")
    return rows.select(buyer=rows.customer_id, bought=rows.ordered_at.cast("date"), gained=gained)


# ---- after an answer -------------------------------------------------------------------------------------------------


def _windows(company: Company, metric: str, window_days: int, changed: bool = False) -> ir.Table:
    """Return the ``follow_up.spells`` whose whole window lies before the as-of date."""
    rows = follow_up.changed(company, metric) if changed else follow_up.spells(company, metric)
    if since := follow_up.watched_from(company):
        rows = rows.filter(_.when >= ibis.literal(since))
    return rows.filter(days(ibis.literal(company.as_of), rows.when) >= window_days)


def _mix(company: Company, rows: ir.Table) -> ir.Value:
    """Return the first declared segment and the stage of a customer as one text, "Basic | second year"."""
    return ibis.literal(" | ").join([rows[c] for c in (*segments(company)[:1], STAGE)])


def after_answer(company: Company, metric: str, window_days: int) -> pd.DataFrame:
    """Count answers and the upgrades that followed by (stratum, band, fold).

    Columns: n, bought (an upgrade followed within the window), upgrades, gained (money, see ``_sales``) and unpriced
    (upgrades without a known gain). The stratum is the first declared segment and the stage of the customer. Customers
    who left in the window count in n.
    """
    rows = _windows(company, metric, window_days)
    moments, sales = rows.select("customer_id", "when").distinct(), _sales(company)
    later = moments.inner_join(sales, [moments.customer_id == sales.buyer, moments.when < sales.bought])
    later = later.filter(days(later.bought, later.when) <= window_days)
    unpriced = later.gained.isnull().cast("int64").sum()
    found = later.group_by(who="customer_id", at="when").agg(
        upgrades=_.count(), gained=people.added(later.gained), unpriced=unpriced
    )
    rows = rows.mutate(stratum=_mix(company, rows))
    rows = rows.left_join(found, [rows.customer_id == found.who, rows.when == found.at])
    keys = ["stratum", "band", "fold"]
    sums = {k: ibis.coalesce(rows[k].sum(), 0) for k in ("upgrades", "gained", "unpriced")}
    counted = rows.group_by(keys).agg(n=_.count(), bought=rows.who.notnull().cast("int64").sum(), **sums)
    return counted.order_by(keys).execute()


def _by_day(company: Company) -> ir.Table:
    """Return days with orders: buyer, bought, revenue (less refunds), made (1; 0 for a day without a paid order)."""
    orders = company.orders.mutate(bought=_.ordered_at.cast("date"))
    return orders.group_by(["customer_id", "fold", "bought"]).agg(
        revenue=people.added(orders.revenue), made=(orders.revenue > 0).any().cast("int64")
    )


def orders_after(company: Company, metric: str, window_days: int, changed: bool = False) -> pd.DataFrame:
    """Count answers and the orders of the window after them by (stratum, band, fold): n, orders, revenue.

    Stratum with contracts: the first declared segment and the stage. Without: the purchase days up to the answer, the
    half in which their mean value lies, and the stage ("2 | upper half | second year"). ``changed``: count second and
    later answers, with the change from the previous one as band; its score group then starts the stratum.
    """
    rows = _windows(company, metric, window_days, changed)
    moments, bought = rows.select("customer_id", "when").distinct(), _by_day(company)
    both = moments.inner_join(bought.drop("fold"), "customer_id")
    gap = days(both.bought, both.when)
    inside, earlier = (gap > 0) & (gap <= window_days), gap <= 0
    sums = {"orders": (both.made, inside), "revenue": (both.revenue, inside)}
    sums |= {"past": (both.made, earlier), "past_revenue": (both.revenue, earlier)}
    found = both.group_by(who="customer_id", at="when").agg(
        **{k: ibis.coalesce(v.sum(where=where), 0) for k, (v, where) in sums.items()}
    )
    rows = rows.left_join(found, [rows.customer_id == found.who, rows.when == found.at])
    if company.settings.relationship == "contractual":
        rows = rows.mutate(stratum=_mix(company, rows))
    else:
        rows = company.put_by("_orders", rows.mutate(mean=rows.past_revenue / rows.past.nullif(0)))
        middle = rows.agg(middle=rows["mean"].quantile(0.5)).execute().iloc[0, 0]
        half = (rows["mean"] <= float(middle)).ifelse(*HALVES)
        past = (rows.past >= MANY).ifelse(f"{MANY} or more", rows.past.cast("string"))
        known = rows["mean"].notnull()
        past, half = known.ifelse(past, NONE_EARLIER), known.ifelse(half, "-")
        rows = rows.mutate(stratum=ibis.literal(" | ").join([past, half, rows[STAGE]]))
    if changed:
        rows = rows.mutate(stratum=rows.was + " | " + rows.stratum)
    keys = ["stratum", "band", "fold"]
    counted = rows.group_by(keys).agg(
        n=_.count(), orders=ibis.coalesce(rows.orders.sum(), 0), revenue=people.added(rows.revenue)
    )
    return counted.order_by(keys).execute()


# ---- snapshots -------------------------------------------------------------------------------------------------------


def predictors(company: Company) -> list[str]:
    """Return what is known of a customer on a day, except the price: as exported it includes later upsells."""
    return [k for k in snapshots.predictors(company) if k != PRICE]


@lru_cache(maxsize=4)
def patterns(company: Company, on: tuple[date, ...], horizon_days: int, metrics: tuple[str, ...] = ()) -> pd.DataFrame:
    """Count the customers of several snapshots by (at, predictors, answers, fold): n, and bought.

    bought: with an upgrade within the horizon. ``at``: the position of the day in ``on``. For customers and predictors
    see ``snapshots.rows``.
    """
    rows, sales = snapshots.stacked(company, on, horizon_days, metrics), _sales(company)
    moments = ibis.memtable(pd.DataFrame({"of": range(len(on)), "day": pd.to_datetime(list(on))}))
    soon = sales.cross_join(moments)
    ahead = days(soon.bought, soon.day)
    soon = soon.filter((ahead > 0) & (ahead <= horizon_days)).select("of", who="buyer").distinct()
    rows = rows.left_join(soon, [rows.customer_id == soon.who, rows["at"] == soon["of"]])
    keys = ["at", *predictors(company), *(answer(m) for m in metrics), "fold"]
    counted = rows.group_by(keys).agg(n=_.count(), bought=rows.who.notnull().cast("int64").sum())
    return counted.order_by(keys).execute()


# ---- customer lifetimes ----------------------------------------------------------------------------------------------


def lifetimes(company: Company) -> pd.DataFrame:
    """Count customers by (here, fold): n and years (summed), over the whole stay or, for those still here, so far.

    With contracts: from joining to the last day. Without: from the first to the last purchase for customers who have
    not bought for ``inactive_after_days``; they count as gone. For the others: from the first purchase to the as-of
    date.
    """
    if company.settings.relationship == "contractual":
        who = everyone(company).filter(_.started.notnull() & (_.started <= ibis.literal(company.as_of)))
        who = who.select("fold", here=who.left_on.isnull(), length=days(who.last_day, who.started) + 1)
    else:
        bought = _by_day(company).filter(_.made == 1)
        ends = bought.group_by(["customer_id", "fold"]).agg(first=_.bought.min(), last=_.bought.max())
        end = ibis.literal(company.as_of)
        here = days(end, ends["last"]) <= company.settings.inactive_after_days
        length = here.ifelse(days(end, ends["first"]), days(ends["last"], ends["first"]))
        who = ends.select("fold", here=here, length=length)
    keys = ["here", "fold"]
    found = who.group_by(keys).agg(n=_.count(), years=who.length.sum().cast("float64") / 365.25)
    return found.order_by(keys).execute()


def year_of_orders(company: Company) -> pd.DataFrame:
    """Sum the orders of the YEAR up to the as-of date by fold: buyers, orders (days of buying), revenue."""
    rows = _by_day(company)
    rows = rows.filter(days(ibis.literal(company.as_of), rows.bought) < YEAR)
    sums = {"buyers": _.customer_id.nunique(), "orders": _.made.sum(), "revenue": people.added(_.revenue)}
    return rows.group_by("fold").agg(**sums).order_by("fold").execute()


@dataclass(frozen=True, eq=False)
class Newcomers:
    """Stays from joining on, and customers who joined recently, by (stratum, fold).

    ``entered``: day (age from which they are observed; 0 unless ``leavers_since`` is set), n. ``ended``: day (age when
    last seen, cut at the horizon), n, events (left). ``joined``, in the last year: n, priced (with a fee), fee
    (summed).
    """

    entered: pd.DataFrame
    ended: pd.DataFrame
    joined: pd.DataFrame


def newcomers(company: Company, horizon_days: int) -> Newcomers:
    """Count stays from joining on and the joiners of the last year; the stratum is the first declared segment."""
    own, since, end = segments(company)[:1], follow_up.watched_from(company), ibis.literal(company.as_of)
    who = as_text(everyone(company).filter(_.started.notnull() & (_.started <= end)), own)
    who = who.mutate(stratum=who[own[0]] if own else ibis.literal("all"))
    joined = who.filter(days(end, who.started) < YEAR).group_by(["stratum", "fold"])
    joined = joined.agg(n=_.count(), priced=_.monthly_revenue.count(), fee=people.added(_.monthly_revenue))
    length = days(who.last_day, who.started) + 1
    entry = ibis.greatest(days(ibis.literal(since), who.started), 0) if since else ibis.literal(0)
    who = who.mutate(entry=entry.cast("int64"), length=length, day=ibis.least(length, horizon_days))
    who = who.filter((who.length > who.entry) & (who.entry < horizon_days))
    left = (who.left_on.notnull() & (who.length <= horizon_days)).cast("int64").sum()
    entered = who.group_by(["stratum", "fold", who.entry.name("day")]).agg(n=_.count())
    ended = who.group_by(["stratum", "fold", "day"]).agg(n=_.count(), events=left)
    return Newcomers(*(t.execute() for t in (entered, ended, joined)))
