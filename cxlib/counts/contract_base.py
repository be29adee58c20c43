"""Counts of a contract base for a forecast: who was here, what was known of each customer, and who left when.

Time runs in quarters of a year back from a day. What is known at the start of a quarter comes from ``snapshots``: no
count uses an answer, a case or an exit before its day.
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

from cxlib.counts import answers, people, snapshots
from cxlib.counts.people import DAYS_A_MONTH, STAGE, days
from cxlib.intake.company import Company

QUARTER = 3 * DAYS_A_MONTH  # days
LAGS = (0, 6, 12)  # months from the snapshot to the quarter it predicts
AGE = "age"  # whole quarters since joining; OLDEST and above together
OLDEST = 8  # by then the last stage has begun
FEE_BANDS = 200


def known(company: Company, metrics: Sequence[str]) -> list[str]:
    """Return the columns known of a customer at a date, besides tenure; every table here has them."""
    of_customer = [k for k in snapshots.predictors(company) if k != snapshots.TENURE]
    return [*of_customer, *(snapshots.answer(m) for m in metrics)]


def back(until: date, months: float) -> date:
    """Return the day so many months before another."""
    return until - timedelta(days=round(months * DAYS_A_MONTH))


def at_risk(company: Company, until: date, months: int, metrics: tuple[str, ...]) -> pd.DataFrame:
    """Count customer-months at risk and exits over the ``months`` before ``until``.

    Rows by (lag, STAGE in the middle of the quarter, ``known`` at ``lag`` months before the quarter, fold). Columns: n
    (customer-months, the month of leaving included) and left (exits of any kind). Quarters that begin before
    ``leavers_since`` are left out, and so is a customer who joins and leaves within one quarter.
    """
    quarters = months // 3
    starts = [back(until, 3 * q) for q in range(quarters + 1 + max(LAGS) // 3)]  # of quarters, the latest first
    since = company.settings.leavers_since or date.min
    plan = [
        {"at": q + lag // 3, "lag": lag, "begins": starts[q], "ends": starts[q - 1]}
        for lag in LAGS
        for q in range(1, quarters + 1)
        if starts[q] >= since
    ]
    keys = ["lag", STAGE, *known(company, metrics), "fold"]
    if not plan:
        return pd.DataFrame(columns=[*keys, "n", "left"])
    clock = ibis.memtable(pd.DataFrame(plan).astype({"begins": "datetime64[s]", "ends": "datetime64[s]"}))
    clock = clock.mutate(begins=_.begins.cast("date"), ends=_.ends.cast("date"))
    rows = _with_dates(company, snapshots.stacked(company, tuple(starts), 1, metrics)).inner_join(clock, "at")
    rows = rows.filter(people.stayed(rows, rows.begins))
    gone = (rows.left_on <= rows.ends).fill_null(False)
    month = (days(rows.left_on, rows.begins) / DAYS_A_MONTH).ceil().clip(1, 3)
    rows = rows.mutate(
        **{STAGE: people.stage(days(rows.begins, rows.started) + round(QUARTER / 2))},
        months=gone.ifelse(month, 3),
        gone=gone.cast("int64"),
    )
    return _counted(rows, keys, n=_.months.sum().cast("int64"), left=_.gone.sum())


def by_month(company: Company, until: date, months: int, by: Sequence[str]) -> pd.DataFrame:
    """Count the customers here when each of the ``months`` before ``until`` began, and those who left in it.

    Rows by (month, 0 the earliest, STAGE in its middle, ``by``): n, left (exits of any kind).
    """
    ends = [back(until, months - k) for k in range(months + 1)]
    plan = pd.DataFrame({"month": range(months), "begins": ends[:-1], "ends": ends[1:]})
    clock = ibis.memtable(plan.astype({"begins": "datetime64[s]", "ends": "datetime64[s]"}))
    clock = clock.mutate(begins=_.begins.cast("date"), ends=_.ends.cast("date"))
    who = people.as_text(people.everyone(company), by).select("started", "left_on", *by)
    rows = who.join(clock, who.started <= clock.begins)
    rows = rows.filter(people.stayed(rows, rows.begins))
    rows = rows.mutate(
        **{STAGE: people.stage(days(rows.begins, rows.started) + round(DAYS_A_MONTH / 2))},
        gone=(rows.left_on <= rows.ends).fill_null(False).cast("int64"),
    )
    return _counted(rows, ["month", STAGE, *by], n=_.count(), left=_.gone.sum())


def here(company: Company, on: date, metrics: tuple[str, ...], ahead: int = 0) -> pd.DataFrame:
    """Count the customers here at the end of a day by (AGE, ``known``, fold): n, fee (summed), fee_squared, unpriced.

    The fee is monthly_revenue; fee_squared is the sum of its squares. With ``ahead`` (months) also stayed (still here
    after these months), and the fees of those still here, summed over the starts (paid_now) or the ends (paid_end) of
    the months.
    """
    rows = _here(company, on, metrics)
    keys = [AGE, *known(company, metrics), "fold"]
    sums = _sums() | {"fee_squared": people.added(_.fee * _.fee)}
    if ahead:
        ends = [ibis.literal(back(on, -k)) for k in range(ahead + 1)]
        here_after = [people.stayed(rows, end).cast("int64") for end in ends]
        rows = rows.mutate(
            still=here_after[-1], by_end=rows.fee * sum(here_after[1:]), by_start=rows.fee * sum(here_after[:-1])
        )
        sums |= {"stayed": _.still.sum(), "paid_end": people.added(_.by_end), "paid_now": people.added(_.by_start)}
    return _counted(rows, keys, **sums)


def by_fee(company: Company, metrics: tuple[str, ...]) -> pd.DataFrame:
    """Count today's customers by (AGE, ``known``, band): n, fee, unpriced. A band holds fees that lie close together.

    The FEE_BANDS bands have equal width in the logarithm of the fee. Band -1: no fee, or none known.
    """
    rows = _here(company, company.as_of, metrics)
    ends = rows.filter(_.fee > 0).agg(low=_.fee.min(), high=_.fee.max()).execute().iloc[0]
    paying = rows.fee > 0
    band: ir.Value = paying.ifelse(0, -1)
    if ends.notna().all() and ends["high"] > ends["low"]:
        width = math.log(ends["high"] / ends["low"]) / FEE_BANDS
        at = ((paying.ifelse(rows.fee, 1.0) / float(ends["low"])).ln() / width).floor().clip(0, FEE_BANDS - 1)
        band = paying.ifelse(at.cast("int64"), -1)
    rows = rows.mutate(band=band.cast("int16"))
    return _counted(rows, [AGE, *known(company, metrics), "band"], **_sums())


def at_touchpoints(company: Company, metrics: tuple[str, ...], metric: str, worst: str) -> pd.DataFrame:
    """Count today's customers whose last answer at a touchpoint in the past year was in the score group ``worst``.

    Rows by (touchpoint, AGE, ``known``): n, fee, unpriced. A customer can count at several touchpoints.
    """
    given = answers.questions(company, metric).filter(_.answered & _.when.notnull() & _.touchpoint.notnull())
    ago = days(ibis.literal(company.as_of), given.when)
    given = given.filter((ago >= 0) & (ago <= snapshots.ANSWER_DAYS))
    order = [ibis.desc("when"), ibis.desc("response_id")]
    rank = ibis.row_number().over(ibis.window(group_by=["customer_id", "touchpoint"], order_by=order))
    last = given.mutate(rank=rank).filter((_.rank == 0) & (_.band == worst)).select("customer_id", "touchpoint")
    rows = _here(company, company.as_of, metrics).inner_join(last, "customer_id")
    return _counted(rows, ["touchpoint", AGE, *known(company, metrics)], **_sums())


@lru_cache(maxsize=4)
def _here(company: Company, on: date, metrics: tuple[str, ...]) -> ir.Table:
    """Return the customers here at the end of a day with what was known of them, AGE, started, left_on and fee.

    Several counts start from this table, so the engine stores it once.
    """
    found = _with_dates(company, snapshots.rows(company, on, 1, metrics))
    age = (days(ibis.literal(on), found.started) / QUARTER).floor().clip(0, OLDEST)
    return company.put_by("_here", found.mutate(**{AGE: age.cast("int16")}))


def _with_dates(company: Company, rows: ir.Table) -> ir.Table:
    """Add the dates started and left_on; the money of a month is called fee."""
    who = people.everyone(company).select("customer_id", "started", "left_on")
    return rows.drop("left", "other").rename(fee="a_month").inner_join(who, "customer_id")


def _sums() -> dict[str, ir.Deferred]:
    """Return the sums that all counts of customers here share."""
    return {"n": _.count(), "fee": people.added(_.fee), "unpriced": _.fee.isnull().cast("int64").sum()}


def _counted(rows: ir.Table, keys: list[str], **sums: ir.Deferred) -> pd.DataFrame:
    """Count in the engine; texts return as categories, since there can be millions of rows."""
    found = rows.group_by(keys).agg(**sums).order_by(keys).to_pyarrow()
    return found.to_pandas(strings_to_categorical=True)
