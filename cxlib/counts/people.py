"""Customers: who is here, since when, and how they left; and the rules that all count tables share.

Every function of this folder builds one Ibis expression and returns counts as a pandas frame. Each row carries its
``fold`` (0-255, from a hash of customer_id). The estimates need no more, however many customers there are.

Clock: dates are days. A customer is here from the start of the day of entry to the end of the day of leaving. A stay is
(last day - first day + 1) days long and never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import ibis
from ibis import _

from cxlib.errors import Unanswered
from cxlib.intake.company import Company

NONE = "(none)"
DAYS_A_MONTH = 365.25 / 12
PERIODS = {"week": "W", "month": "M", "quarter": "Q", "year": "Y"}  # or "wave", where responses has that column
STAGE = "stage"  # how long somebody had been a customer when asked
STAGES = ((91, "first 3 months"), (365, "3 to 12 months"), (730, "second year"))
LAST_STAGE = "third year on"


def days(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
    """Return whole days from one date or moment to another."""
    return later.cast("date").delta(earlier.cast("date"), unit="day")


def stage(age: ibis.Value) -> ibis.Value:
    """Return the stage of a customer (STAGES, LAST_STAGE; NONE if unknown) from the days since they started."""
    cases = [(age < until, name) for until, name in STAGES]
    return ibis.cases((age.isnull(), NONE), *cases, else_=LAST_STAGE)


def added(amounts: ibis.NumericColumn, where: ibis.BooleanValue | None = None) -> ibis.FloatingScalar:
    """Add up money or weights to twelve decimals; 0 for none.

    Floats would add up to another last digit in each run, with the order in which threads finish.
    """
    return ibis.coalesce(amounts.cast("decimal(38, 12)").sum(where=where).cast("float64"), 0.0)


def as_text(rows: ibis.Table, by: Sequence[str]) -> ibis.Table:
    """Return rows with the columns ``by`` as text; an empty value becomes the level NONE."""
    return rows.mutate(**{k: ibis.coalesce(rows[k].cast("string"), NONE) for k in by}) if by else rows


def everyone(company: Company) -> ibis.Table:
    """Return the customers with four more columns: ``started``, ``left_on``, ``last_day`` and ``chosen``.

    started: the day of joining, else of the first order. last_day: the day of leaving, else the as-of date. chosen:
    left, and not for one of the involuntary reasons.
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


def stayed(who: ibis.Table, day: ibis.Value) -> ibis.BooleanValue:
    """Tell who had not left by the end of a day."""
    return who.left_on.isnull() | (who.left_on > day)


def here(who: ibis.Table, day: ibis.Value, undated: bool = False) -> ibis.BooleanValue:
    """Tell which customers (rows of ``everyone``) are here at the end of a day: begun by then, and not left.

    ``undated``: count those without a first day as begun. Who is here when a day begins was here at the end of the day
    before.
    """
    begun = who.started <= day
    return (ibis.coalesce(begun, True) if undated else begun) & stayed(who, day)


def here_today(company: Company) -> ibis.Table:
    """Return ``everyone`` who is still here: without left_on, or where no dates of leaving are mapped, not ``left``."""
    who = everyone(company)
    flagged = company.has("customers", "left") and not company.has("customers", "left_on")
    return who.filter(~who.left if flagged else who.left_on.isnull())


def require(company: Company, table: str, *columns: str) -> None:
    """Raise Unanswered if a table, or one of these columns of it, is missing."""
    if not company.has(table):
        raise Unanswered("no-table", table=table)
    if missing := [c for c in columns if not company.has(table, c)]:
        raise Unanswered("no-columns", table=table, columns=missing)


def in_order(cut: str, levels: Iterable[str]) -> list[str]:
    """Return the levels of a cut in reading order: stages by time, other levels by name."""
    stages = [name for __, name in STAGES] + [LAST_STAGE]
    return sorted(levels, key=lambda k: (stages.index(k), k) if cut == STAGE and k in stages else (len(stages), k))


def segments(company: Company) -> list[str]:
    """Return the declared segments (columns of customers), the most important first."""
    return list(company.settings.segments)


def most_levels(company: Company) -> str:
    """Return the declared segment with the most levels."""
    own = segments(company)
    several = company.customers.agg(**{c: company.customers[c].nunique() for c in own}).execute().iloc[0]
    return max(own, key=lambda c: several[c])
