"""Snapshots: all customers here at a date, what was known at the end of that day, and who left by choice soon after.

A snapshot contains nothing later than its date: no answer of the next day. Exception: what an export gives as one value
per customer (segments, monthly_revenue) is as exported, not as of the date.

Landmarks on calendar dates: van Houwelingen 2007, Scandinavian Journal of Statistics 34:70.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from cxlib.counts import answers, people
from cxlib.counts.answers import NO_ANSWER
from cxlib.counts.people import DAYS_A_MONTH, NONE, added, days
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.intake.tables import CONTRACT

TENURE, PRICE, CONTACTS, LAST_ORDER = "time as a customer", "monthly price", "support contacts", "last order"
PRICES = ("lowest quarter", "second quarter", "third quarter", "highest quarter")
NOT_KNOWN = "not known"
CASES = ("none in 90 days", "1 in 90 days", "2 or more in 90 days")
ORDERS = ((30, "within 30 days"), (91, "31 to 91 days ago"), (365, "92 to 365 days ago"))
NO_ORDER = "none in a year"
CONTACT_DAYS, ANSWER_DAYS, YEAR = 90, 365, 365
STEP_DAYS, MOST = 91, 4  # between snapshots, and how many at most


def answer(metric: str) -> str:
    """Return the name of the column with the score group of the last answer to a metric."""
    return f"{metric.upper()} answer"


def predictors(company: Company) -> list[str]:
    """Return what is known of a customer at a date, besides answers: columns of ``rows``.

    If a company states monthly_revenue, its orders count as invoices, which say nothing about use.
    """
    price, orders = company.has("customers", "monthly_revenue"), company.has("orders")
    return [
        TENURE,
        *people.segments(company),
        *([PRICE] if price else []),
        *([CONTACTS] if company.has("contacts") else []),
        *([LAST_ORDER] if orders and not price else []),
    ]


def dates(company: Company, until: date, horizon_days: int) -> tuple[date, ...]:
    """Return the days of the snapshots whose outcome is known by ``until``, the latest first.

    At most MOST days, STEP_DAYS apart. Days before ``leavers_since`` are excluded: customers who had left are missing
    then.
    """
    since = company.settings.leavers_since or date.min
    found = [until - timedelta(days=horizon_days + STEP_DAYS * i) for i in range(MOST)]
    return tuple(d for d in found if d >= since)


def rows(company: Company, on: date, horizon_days: int, metrics: Sequence[str] = ()) -> ir.Table:
    """Return a row for each customer here at the end of the day ``on``: identity, what was known, and the outcome.

    Columns: customer_id, fold, the ``predictors``, and an ``answer`` column per metric (score group of the last answer
    in the ANSWER_DAYS up to and including that day, else NO_ANSWER). Outcome: left (by choice within ``horizon_days``:
    0 or 1), other (left within them, not by choice). a_month: monthly_revenue, else a twelfth of the orders of the year
    before, else null.
    """
    return stacked(company, (on,), horizon_days, metrics).drop("at")


def patterns(company: Company, on: date, horizon_days: int, metrics: tuple[str, ...] = ()) -> pd.DataFrame:
    """Count the customers of a snapshot by (predictors, answers, fold): n, left, other, a_month and lost, all summed.

    ``lost`` is the a_month of those who left by choice. For the other columns see ``rows``.

    Example: ``patterns(company, date(2025, 6, 30), 182, ("nps",))``.
    """
    latest = company.as_of - timedelta(days=horizon_days)
    usual = {company.as_of, *(d for end in (company.as_of, latest) for d in (end, *dates(company, end, horizon_days)))}
    together = tuple(sorted(usual)) if on in usual else (on,)  # one query for all days that a page asks for
    counted = _patterns(company, together, horizon_days, metrics)
    return counted[counted["at"] == together.index(on)].drop(columns="at").reset_index(drop=True)


@lru_cache(maxsize=16)
def _patterns(company: Company, on: tuple[date, ...], horizon_days: int, metrics: tuple[str, ...]) -> pd.DataFrame:
    """Count the customers of several snapshots as ``patterns`` does."""
    keys = ["at", *predictors(company), *(answer(m) for m in metrics), "fold"]
    rows = stacked(company, on, horizon_days, metrics)
    sums = {k: rows[k].sum() for k in ("left", "other")}
    sums |= {"a_month": added(rows.a_month), "lost": added(rows.a_month, where=rows.left == 1)}
    counted = rows.group_by(keys).agg(n=_.count(), **sums)
    return counted.order_by(keys).execute()


def stacked(company: Company, on: tuple[date, ...], horizon_days: int, metrics: Sequence[str]) -> ir.Table:
    """Return the ``rows`` of several snapshots at once; ``at`` is the position of the day in ``on``."""
    moments = ibis.memtable(pd.DataFrame({"at": range(len(on)), "day": pd.to_datetime(list(on))}))
    moments = moments.mutate(day=_.day.cast("date"))
    who = people.everyone(company).cross_join(moments)
    who = who.filter(people.here(who, who.day))
    gone = (days(who.left_on, who.day) <= horizon_days).fill_null(False)
    age = days(who.day, who.started)
    columns = {
        TENURE: people.stage(age),
        "left": (gone & who.chosen).cast("int64"),
        "other": (gone & ~who.chosen).cast("int64"),
        "a_month": who.monthly_revenue.cast("float64"),
    }
    columns |= {k: ibis.coalesce(who[k].cast("string"), NONE) for k in people.segments(company)}
    known = predictors(company)
    if PRICE in known:
        columns[PRICE] = _price(company, who.monthly_revenue)
    found = who.select("customer_id", "fold", "at", **columns)
    if CONTACTS in known:
        found = _joined(found, _contacts(company, moments), "cases")
        cases = ((found.cases >= 2, CASES[2]), (found.cases == 1, CASES[1]))
        found = found.mutate(**{CONTACTS: ibis.cases(*cases, else_=CASES[0])}).drop("cases")
    if company.has("orders") and PRICE not in known:
        found = _joined(found, _orders(company, moments), "since", "spent")
        ages = ((found.since <= most, name) for most, name in ORDERS)
        found = found.mutate(
            **{LAST_ORDER: ibis.cases(*ages, else_=NO_ORDER), "a_month": ibis.coalesce(found.spent, 0.0)}
        )
        found = found.drop("since", "spent")
    for metric in metrics:
        found = _joined(found, _last_answer(company, metric, moments), "band")
        found = found.mutate(**{answer(metric): ibis.coalesce(found.band, NO_ANSWER)}).drop("band")
    return found


def _joined(found: ir.Table, other: ir.Table, *columns: str) -> ir.Table:
    """Add columns of a table with a row for some customers (``who``) of some snapshots (``of``)."""
    both = found.left_join(other, [found.customer_id == other.who, found.at == other.of])
    return both.select(*found.columns, *columns)


def _price(company: Company, fees: ir.Value) -> ir.Value:
    """Return the quarter in which a fee lies, or NOT_KNOWN."""
    cuts = _price_cuts(company)
    if not cuts:
        return ibis.literal(NOT_KNOWN)
    cases = [(fees <= cut, name) for cut, name in zip(cuts, PRICES, strict=False)]
    return ibis.cases((fees.isnull(), NOT_KNOWN), *cases, else_=PRICES[3])


@lru_cache(maxsize=4)
def _price_cuts(company: Company) -> tuple[float, ...]:
    """Return the quartiles of monthly_revenue over all customers; none if no value is known."""
    fees = company.customers.monthly_revenue
    cuts = company.customers.agg(**{f"q{i}": fees.quantile(i / 4) for i in (1, 2, 3)}).execute().iloc[0]
    return () if cuts.isna().any() else tuple(float(c) for c in cuts)


def _contacts(company: Company, moments: ir.Table) -> ir.Table:
    """Count the cases opened in the CONTACT_DAYS up to and including the day."""
    opened = company.contacts.select("customer_id", when="opened_at").cross_join(moments)
    recent = _recent(opened, CONTACT_DAYS)
    return recent.group_by(who="customer_id", of="at").agg(cases=_.count())


def _orders(company: Company, moments: ir.Table) -> ir.Table:
    """Return, for customers with orders in the past year, days since the last and a twelfth of the revenue."""
    recent = _recent(company.orders.select("customer_id", "revenue", when="ordered_at").cross_join(moments), YEAR)
    spent = added(recent.revenue) / (YEAR / DAYS_A_MONTH)
    return recent.group_by(who="customer_id", of="at").agg(since=recent.ago.min(where=recent.revenue > 0), spent=spent)


def _last_answer(company: Company, metric: str, moments: ir.Table) -> ir.Table:
    """Return the score group of the last answer in the ANSWER_DAYS up to and including the day."""
    given = answers.questions(company, metric).filter(_.answered & _.when.notnull())
    given = given.select("customer_id", "response_id", "when", "band").cross_join(moments)
    given = _recent(given, ANSWER_DAYS + 1)
    order = [ibis.desc("when"), ibis.desc("response_id")]
    rank = ibis.row_number().over(ibis.window(group_by=["customer_id", "at"], order_by=order))
    return given.mutate(rank=rank).filter(_.rank == 0).select("band", who="customer_id", of="at")


def _recent(moved: ir.Table, length: int) -> ir.Table:
    """Keep events (``when``) of the ``length`` days that end with the snapshot, with their age in days, ``ago``."""
    moved = moved.mutate(ago=days(moved.day, moved.when))
    return moved.filter((_.ago >= 0) & (_.ago < length))


# ---- a list of customers ---------------------------------------------------------------------------------------------


def check_list(company: Company) -> None:
    """Raise InputError if the settings do not allow a list of customers."""
    if not company.settings.privacy.at_risk_list:
        raise InputError(
            "the privacy settings do not allow a list of customers at risk",
            remedy="Set privacy: {at_risk_list: true} in company.yaml if its readers may see who the customers are.",
        )


def listed(
    company: Company, kinds: pd.DataFrame, horizon_days: int, metrics: tuple[str, ...], worth: float, most: int
) -> pd.DataFrame:
    """List customers of today, highest value at risk first, with probability, value_at_risk, reasons and answers.

    ``kinds`` has a row per pattern (predictors and answers) with its probability and reasons. value_at_risk is
    probability x a_month x ``worth``, NaN if unknown. ``most``: length of the list. These are the only rows of
    customers that leave the engine. Errors: InputError, see ``check_list``.
    """
    check_list(company)
    of_metrics = [answer(m) for m in metrics]
    found = rows(company, company.as_of, horizon_days, metrics)
    found = found.inner_join(ibis.memtable(kinds), [*predictors(company), *of_metrics])
    value = found.probability * found.a_month * worth if math.isfinite(worth) else ibis.null("float64")
    found = found.mutate(value_at_risk=value)
    # Engines differ in where they sort missing values: here they come last.
    order = [_.value_at_risk.isnull(), ibis.desc("value_at_risk"), ibis.desc("probability"), "customer_id"]
    found = found.order_by(order).limit(most)
    columns = ["customer_id", "probability", "value_at_risk", "reasons", *of_metrics]
    return found.select(*columns).execute().astype({"value_at_risk": float})


# ---- signs of leakage ------------------------------------------------------------------------------------------------


def after_leaving(company: Company) -> pd.DataFrame:
    """Count records dated on or after the day the customer left: source (a metric, or contacts), n and all."""
    gone = people.everyone(company).filter(_.left_on.notnull()).select("left_on", who=_.customer_id)
    sources = []
    if company.has("responses") and answers.dated(company):
        given = company.responses.filter(_.score.notnull())
        when = ibis.coalesce(given.answered_at, given.asked_at)
        sources.append(given.select("customer_id", source=given.metric.upper(), when=when))
    if company.has("contacts"):
        opened = company.contacts
        sources.append(opened.select("customer_id", source=ibis.literal("contacts"), when=opened.opened_at))
    parts = []
    for source in sources:
        dated = source.filter(_.when.notnull())
        both = dated.left_join(gone, dated.customer_id == gone.who)
        late = (days(both.when, both.left_on) >= 0).fill_null(False).cast("int64").sum()
        parts.append(both.group_by("source").agg(n=late, all=both.count()).execute())
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["source", "n", "all"])
    return whole.sort_values("source", ignore_index=True)


def columns(company: Company) -> list[str]:
    """Return the columns of customers that may leak who has left: all but ids, dates of the stay and the outcome."""
    outcome = {"customer_id", "joined_on", "left_on", "left_reason", "left", "tenure", "weight", "fold"}
    mapped = [c for c in company.customers.columns if c not in CONTRACT["customers"] or company.has("customers", c)]
    return [c for c in mapped if c not in outcome]


def split(company: Company, column: str, least: int, filled: bool) -> dict[str, float]:
    """Count how the levels of a column of customers separate those who left from those who stayed.

    ``filled``: by whether there is a value, else by value. Levels of fewer than ``least`` customers are merged. Returns
    n, left, levels, and pure (levels in which all customers left, or none).
    """
    who = people.everyone(company)
    level = who[column].isnull().cast("string") if filled else ibis.coalesce(who[column].cast("string"), NONE)
    counted = who.group_by(level=level).agg(n=_.count(), left=_.left_on.count())
    large = counted.n >= least
    counted = counted.group_by(level=large.ifelse(counted.level, ""), large=large).agg(n=_.n.sum(), left=_.left.sum())
    pure = ((_.left == 0) | (_.left == _.n)).cast("int64").sum()
    found = counted.agg(levels=_.count(), customers=_.n.sum(), gone=_.left.sum(), pure=pure).execute().iloc[0]
    return {
        "levels": int(found["levels"]),
        "n": float(found["customers"]),
        "left": float(found["gone"]),
        "pure": int(found["pure"]),
    }
