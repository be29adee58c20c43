"""Counts of whole contract terms: how many customers were still here after 1, 2, 3 ... terms.

A term is any number of days, also a fraction (a month is ``people.DAYS_A_MONTH``). Renewal k falls k terms after
joining. Whoever stays for more than GRACE days of the next term has renewed. So contracts that end on their
anniversary, or the day after, end with the term in leap years too. Every kind of exit ends the payments, so all exits
count. The clock is that of ``people``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from cxlib.counts.customer_base import known
from cxlib.counts.people import PERIODS, STAGE, as_text, days, everyone, here, stage
from cxlib.intake.company import Company

GRACE = 2


@dataclass(frozen=True, eq=False)
class Survivors:
    """Customers who joined, and those still here after 1, 2, 3 ... whole terms, by cohort and fold.

    ``rows``: the keys (``by``, cohort, fold). ``kept`` (rows x 1 + terms): customers still here after 0, 1, 2 ...
    terms, NaN beyond the follow-up of the last to join of the cohort. ``passed``: the mean share of a term that is left
    when somebody leaves within it (0: all leave at its end; 0.5: at any time). Not in ``rows`` are ``early`` (customers
    of cohorts that began before ``leavers_since``) and ``young`` (of cohorts followed for less than one term).
    """

    rows: pd.DataFrame
    kept: np.ndarray
    passed: float
    early: int
    young: int


def _in_terms(last_day: ir.Value, started: ir.Value, term_days: float) -> ir.Value:
    """Return the time a customer had been here at the end of a day, in terms, less GRACE days."""
    return ibis.greatest(days(last_day, started) + 1 - GRACE, 0) / ibis.literal(float(term_days))


def _renewals(stay: ir.Value) -> ir.Value:
    """Return how many renewals a stay (in terms) includes: the largest whole number below it."""
    return ibis.greatest(stay.ceil() - 1, 0).cast("int64")


def survivors(
    company: Company, term_days: float, by: Sequence[str] = (), every: str = "quarter", until: date | None = None
) -> Survivors:
    """Count customers who joined and those still here after 1, 2, 3 ... terms, with equal follow-up: see Survivors.

    ``term_days``: length of a term. ``every``: length of a cohort (week, month, quarter, year). ``until``: count as
    known on that day (default: the as-of date). Errors: InputError for any other ``every``.

    Example: ``survivors(company, 12 * DAYS_A_MONTH, ["plan"])``.
    """
    known(every)
    end, since = until or company.as_of, company.settings.leavers_since
    who = everyone(company).filter(_.started.notnull() & (_.started <= ibis.literal(end)))
    gone = (who.left_on <= ibis.literal(end)).fill_null(False)
    stay = _in_terms(who.left_on, who.started, term_days)
    who = who.mutate(made=ibis.cases((gone, _renewals(stay)), else_=-1), stay=stay)
    who = as_text(who.mutate(cohort=who.started.truncate(PERIODS[every])), by)
    keys = [*by, "cohort", "fold"]
    sums = {"n": _.count(), "left": (_.made + 1 - _.stay).sum(where=_.made >= 0)}
    cells = who.group_by([*keys, "made"]).agg(**sums).order_by([*keys, "made"]).execute()
    cells["cohort"] = pd.to_datetime(cells["cohort"])
    early = cells["cohort"] < pd.Timestamp(since or "1678-01-01")
    last = cells["cohort"].dt.to_period(PERIODS[every]).dt.end_time.dt.normalize()
    followed = (((pd.Timestamp(end) - last).dt.days + 1 - GRACE) // term_days).clip(lower=0).astype(int)
    young = ~early & (followed == 0)
    cells = cells.assign(followed=followed)
    left_out = [int(cells.loc[which, "n"].sum()) for which in (early, young)]
    cells = cells[~early & ~young]
    groups = cells.groupby(keys, sort=True, observed=True)
    rows = groups.agg(joined=("n", "sum"), followed=("followed", "first")).reset_index()
    terms = int(rows["followed"].max()) if len(rows) else 0
    lost = np.zeros((len(rows), terms + 1))
    leaving = ((cells["made"] >= 0) & (cells["made"] < cells["followed"])).to_numpy()
    np.add.at(
        lost,
        (groups.ngroup().to_numpy()[leaving], cells["made"].to_numpy()[leaving] + 1),
        cells["n"].to_numpy(float)[leaving],
    )
    kept = rows["joined"].to_numpy(float)[:, None] - lost.cumsum(axis=1)
    kept[np.arange(terms + 1) > rows["followed"].to_numpy()[:, None]] = np.nan
    gone = cells[cells["made"] >= 0]
    passed = float(gone["left"].sum() / gone["n"].sum()) if len(gone) else 0.0
    return Survivors(rows[keys], kept, passed, *left_out)


def base(
    company: Company, term_days: float, by: Sequence[str] = (), on: date | None = None, ahead: int = 0
) -> pd.DataFrame:
    """Count customers here at the end of a day (default: the as-of date) by (``by``, renewals, fold).

    renewals: those made so far. Columns: n, fee (monthly_revenue summed) and unpriced (customers without one). ``by``
    can include STAGE, as of that day.

    With ``ahead`` also the outcome of the next so many renewals: paid (renewals made), kept (customers who made all of
    them) and fee_paid (renewals made times the monthly fee). All of them must fall before the as-of date: ``on`` is at
    least ``ahead`` terms before it.
    """
    end = ibis.literal(on or company.as_of)
    who = everyone(company)
    who = who.filter(here(who, end))
    if STAGE in by:
        who = who.mutate(**{STAGE: stage(days(end, who.started))})
    who = as_text(who.mutate(renewals=_renewals(_in_terms(end, who.started, term_days))), by)
    fee = ibis.coalesce(who.monthly_revenue, 0.0)
    sums = {"n": who.count(), "fee": fee.sum(), "unpriced": who.monthly_revenue.isnull().cast("int64").sum()}
    if ahead:
        paid = ibis.least(_renewals(_in_terms(who.last_day, who.started, term_days)) - who.renewals, ahead)
        sums |= {"paid": paid.sum(), "kept": (paid == ahead).cast("int64").sum(), "fee_paid": (fee * paid).sum()}
    keys = [*by, "renewals", "fold"]
    return who.group_by(keys).agg(**sums).order_by(keys).execute()
