"""Which programmes reach whom, and the recent past of customers without a new one: small count tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from cxlib.counts import people
from cxlib.counts.panels import by_month
from cxlib.counts.people import LAST_STAGE, NONE, STAGE, STAGES, as_text, days, everyone, segments
from cxlib.counts.purchases import bought
from cxlib.intake.company import Company

REACHED, CUSTOMERS = "reached", "customers"
EVERYTHING = 100_000  # days: more than any tenure
_ENDS = (0, *(until for until, __ in STAGES), EVERYTHING)  # limits of the stages, in days
_STAGE_NAMES = (*(name for __, name in STAGES), LAST_STAGE)


# ---- whom programmes reached -----------------------------------------------------------------------------------------


def patterns(company: Company) -> pd.DataFrame:
    """Count customers by the set of initiatives that reached them: ``reached`` (sorted tuple of ids), ``customers``.

    Customers held back (arm control) were not reached. One row per set, the largest first.
    """
    empty = pd.DataFrame({REACHED: pd.Series(dtype=object), CUSTOMERS: pd.Series(dtype="int64")})
    if not (company.has("exposures") and company.has("initiatives")):
        return empty
    ids = sorted(company.initiatives.select("initiative_id").distinct().execute()["initiative_id"])
    rows = company.exposures.filter(ibis.coalesce(_.arm, "treated") != "control")
    columns = [f"set_{i}" for i in range(len(ids))]  # an id may not be a valid column name in the engine
    inside = {c: (rows.initiative_id == k).cast("int64").max() for c, k in zip(columns, ids, strict=True)}
    found = rows.group_by("customer_id").agg(**inside).group_by(columns).agg(customers=_.count()).execute()
    if found.empty:
        return empty
    sets = [tuple(k for k, on in zip(ids, row, strict=True) if on) for row in found[columns].to_numpy()]
    counted = pd.DataFrame({REACHED: sets, CUSTOMERS: found["customers"].astype("int64")})
    return counted.sort_values([CUSTOMERS, REACHED], ascending=[False, True], kind="stable", ignore_index=True)


# ---- past months, without a new programme ----------------------------------------------------------------------------


def _among(rows: ir.Table, among: Mapping[str, str] | None) -> ir.Table:
    """Keep the customers that have these values in their columns."""
    for column, value in (among or {}).items():
        rows = rows.filter(rows[column].cast("string") == value)
    return rows


def followed_since(company: Company, months: int) -> tuple[date, int]:
    """Return the first day of the last ``months`` whole calendar months, and the number of those months.

    There are fewer months if customers are not followed so far back (0: none).
    """
    end = (pd.Timestamp(company.as_of) + pd.Timedelta(days=1)).replace(day=1)
    begun = everyone(company).started.min().execute()
    known = [pd.Timestamp(d) for d in (begun, company.settings.leavers_since) if d is not None and not pd.isna(d)]
    back = months
    if known:
        first = max(known)
        whole = (end.year - first.year) * 12 + end.month - first.month - (first.day > 1)
        back = int(np.clip(whole, 0, months))
    return (end - pd.DateOffset(months=back)).date(), back


def past_months(company: Company, first: date, months: int, among: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Follow the customers here on ``first`` over the whole calendar months from it: rows of (fold, month).

    Columns as in ``panels.by_month``. Without an orders table, revenue is the monthly_revenue of those still here.
    ``among``: only customers with these values.
    """
    rows = _among(everyone(company), among)
    day = ibis.literal(first)
    rows = rows.filter(people.here(rows, ibis.literal(first - timedelta(days=1)), undated=True))
    grid = by_month(company, rows.select("customer_id", "fold", origin=day), 0, months, ["fold"])
    if company.orders is None and company.has("customers", "monthly_revenue"):
        fees = rows.group_by("fold").agg(fee=people.added(rows.monthly_revenue)).execute()
        each = grid["fold"].map(fees.set_index("fold")["fee"]) / grid["customers"]
        grid["revenue"] = grid["here"] * each.astype(float)
    return grid


def left_within(
    company: Company, first_days: Sequence[date], until: date, among: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Count by (span, fold) the customers here on a day (here) and those of them who left before ``until`` (lost).

    ``span`` is the position of the day in ``first_days``.
    """
    rows, sums = _among(everyone(company), among), {}
    for i, first in enumerate(first_days):
        here = people.here(rows, ibis.literal(first - timedelta(days=1)), undated=True)
        lost = (here & (rows.left_on < ibis.literal(until))).fill_null(False)
        sums |= {f"here_{i}": here.cast("int64").sum(), f"lost_{i}": lost.cast("int64").sum()}
    wide = rows.group_by("fold").agg(**sums).order_by("fold").execute()
    parts = [
        wide[["fold"]].assign(span=i, here=wide[f"here_{i}"], lost=wide[f"lost_{i}"]) for i in range(len(first_days))
    ]
    return pd.concat(parts, ignore_index=True)


def here_today(company: Company, among: Mapping[str, str] | None = None) -> int:
    """Count the customers here today."""
    return int(_among(people.here_today(company), among).count().execute())


def orders_since(company: Company, first: date, among: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Count the orders paid for from a day on by fold: orders, and their revenue less refunds."""
    rows = bought(company).filter(_.day >= ibis.literal(first))
    if among:
        rows = rows.inner_join(_among(company.customers, among).select("customer_id"), "customer_id")
    return rows.group_by("fold").agg(orders=_.orders.sum(), revenue=people.added(rows.net)).order_by("fold").execute()


def answering(company: Company, metric: str, months: int, among: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Count by fold the customers here today (customers), and those with a recent answer to a metric (answered).

    Recent: in the ``months`` up to the as-of date.
    """
    since = (pd.Timestamp(company.as_of) - pd.DateOffset(months=months)).date()
    rows = company.responses.filter((_.metric == metric) & _.score.notnull())
    rows = rows.filter(ibis.coalesce(rows.answered_at, rows.asked_at).cast("date") > ibis.literal(since))
    answered = rows.group_by(by="customer_id").agg(answers=_.count())
    here = _among(people.here_today(company), among).select("customer_id", "fold")
    joined = here.left_join(answered, here.customer_id == answered.by)
    sums = {"customers": _.count(), "answered": joined.answers.notnull().cast("int64").sum()}
    return joined.group_by("fold").agg(**sums).order_by("fold").execute()


# ---- churn after a contact -------------------------------------------------------------------------------------------


def _yearly(company: Company, who: ir.Table) -> ir.Table:
    """Add ``a_year``: 12 monthly fees, else the orders of the 365 days before leaving."""
    if company.has("customers", "monthly_revenue"):
        return who.mutate(a_year=12 * ibis.coalesce(who.monthly_revenue, 0.0))
    amount = "margin" if company.has("orders", "margin") and company.settings.money.value_is == "margin" else "revenue"
    ends = who.filter(_.left_on.notnull()).select(buyer="customer_id", end="left_on")
    paid = company.orders.inner_join(ends, company.orders.customer_id == ends.buyer)
    ago = days(paid.end, paid.ordered_at)
    paid = paid.filter((ago >= 0) & (ago < 365))
    sums = paid.group_by("buyer").agg(paid=people.added(paid[amount]))
    joined = who.left_join(sums, who.customer_id == sums.buyer)
    return joined.mutate(a_year=ibis.coalesce(joined.paid, 0.0)).drop("buyer", "paid")


def _leavers(company: Company, since: date) -> tuple[ir.Table, ir.Value]:
    """Return customers with ``stratum`` (first segment) and ``a_year``, and the condition that marks churn by choice.

    The condition: left by choice after ``since``, and by the as-of date.
    """
    first = segments(company)[:1]
    who = _yearly(company, as_text(everyone(company), first).filter(_.started.notnull()))
    who = who.mutate(stratum=who[first[0]] if first else ibis.literal("all"))
    return who, (who.chosen & (who.left_on > ibis.literal(since)) & (who.left_on <= ibis.literal(company.as_of)))


def _by_stage(rows: ir.Table, keys: list[str]) -> pd.DataFrame:
    """Sum the days after ``begins`` up to ``ends`` by stage at the time, and the exits on the last day."""
    rows = rows.mutate(low=days(rows.begins, rows.started), high=days(rows.ends, rows.started))
    sums = {}
    for i, (least, until) in enumerate(pairwise(_ENDS)):
        inside = ibis.least(rows.high, until - 1) - ibis.greatest(rows.low, least - 1)
        here = rows.gone & (rows.age >= least) & (rows.age < until)
        sums |= {f"days_{i}": ibis.greatest(inside, 0).sum(), f"lost_{i}": here.cast("int64").sum()}
        sums |= {f"paid_{i}": people.added(rows.a_year, where=here)}
    wide = rows.group_by(keys).agg(**sums).order_by(keys).execute()
    parts = [
        wide[keys].assign(**{STAGE: name}, **{c: wide[f"{c}_{i}"].astype(float) for c in ("days", "lost", "paid")})
        for i, name in enumerate(_STAGE_NAMES)
    ]
    return pd.concat(parts, ignore_index=True)


def at_risk(company: Company, since: date) -> pd.DataFrame:
    """Sum the days at risk of all customers after ``since``, and churn by choice, by (stratum, stage, fold).

    stratum: the first declared segment. Columns: days, lost (left by choice), paid (what the lost paid in a year).
    """
    who, gone = _leavers(company, since)
    who = who.mutate(gone=gone, age=days(who.left_on, who.started))
    # The day of entry counts, as somebody can leave on it.
    before = who.started - ibis.interval(days=1)
    rows = who.mutate(begins=ibis.greatest(before, ibis.literal(since)), ends=who.last_day)
    return _by_stage(rows.filter(_.ends > _.begins), ["stratum", "fold"])


def after_contact(company: Company, since: date, within_days: int) -> pd.DataFrame:
    """Sum as ``at_risk`` does the days 1 to ``within_days`` after a contact, by (topic, stratum, stage, fold).

    A day counts once per topic, however many contacts preceded it. The day of a contact is excluded: a customer who
    leaves on it may have called to say so.
    """
    who, gone = _leavers(company, since)
    who = who.mutate(gone=gone, age=days(who.left_on, who.started))
    opened = _opened(company, since, within_days)
    in_turn = ibis.window(group_by=["customer_id", "topic"], order_by="opened")
    opened = opened.mutate(next_opened=_.opened.lead().over(in_turn))
    rows = opened.inner_join(who.drop("topic") if "topic" in who.columns else who, "customer_id")
    # As far as the window, the next contact on the topic, the as-of date and the day of leaving allow.
    last = ibis.least(rows.opened + ibis.interval(days=within_days), rows.last_day)
    last = ibis.least(last, ibis.coalesce(rows.next_opened, rows.last_day))
    rows = rows.mutate(begins=ibis.greatest(rows.opened, ibis.literal(since)), ends=last)
    rows = rows.filter(_.ends > _.begins)
    rows = rows.mutate(gone=rows.gone & (rows.left_on == rows.ends))
    return _by_stage(rows, ["topic", "stratum", "fold"])


def _opened(company: Company, since: date, within_days: int) -> ir.Table:
    """Return one row per customer, topic and day of contact whose following days reach beyond ``since``."""
    rows = company.contacts.mutate(opened=_.opened_at.cast("date"), topic=ibis.coalesce(_.topic, NONE))
    rows = rows.filter(rows.opened > ibis.literal(since - timedelta(days=within_days)))
    return rows.select("customer_id", "topic", "opened").distinct()


def reasons(company: Company, since: date) -> pd.DataFrame:
    """Count churn by choice after ``since`` by (reason, fold): lost, and paid (in a year)."""
    who, gone = _leavers(company, since)
    rows = who.filter(gone).mutate(reason=ibis.coalesce(_.left_reason, NONE))
    keys = ["reason", "fold"]
    return rows.group_by(keys).agg(lost=_.count(), paid=people.added(rows.a_year)).order_by(keys).execute()
