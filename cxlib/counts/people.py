"""From the six tables to small count tables, inside the engine.

Every function builds one Ibis expression and brings back counts as a pandas frame, each row with its ``fold``
(0-255, from a hash of customer_id): the estimates need no more, however many customers there are.

Clock: dates are days. Somebody is here from the start of the day of entry to the end of the day of leaving, so
a stay is (last day - first day + 1) days long and never zero.
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
    """Return how long somebody has been a customer, as text, from days since the start."""
    cases = [(age < until, name) for until, name in STAGES]
    return ibis.cases((age.isnull(), NONE), *cases, else_=LAST_STAGE)


def as_text(rows: ibis.Table, by: Sequence[str]) -> ibis.Table:
    """Return rows whose columns ``by`` are text, the empty ones a level of their own."""
    return rows.mutate(**{k: ibis.coalesce(rows[k].cast("string"), NONE) for k in by}) if by else rows


def everyone(company: Company) -> ibis.Table:
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


def require(company: Company, table: str, *columns: str) -> None:
    """Raise Unanswered where a table, or a column of it, is missing."""
    if not company.has(table):
        raise Unanswered("no-table", table=table)
    if missing := [c for c in columns if not company.has(table, c)]:
        raise Unanswered("no-columns", table=table, columns=missing)


def in_order(cut: str, levels: Iterable[str]) -> list[str]:
    """Return the levels of a cut as they are read: the stages by time, others by name."""
    stages = [name for __, name in STAGES] + [LAST_STAGE]
    return sorted(levels, key=lambda k: (stages.index(k), k) if cut == STAGE and k in stages else (len(stages), k))


def segments(company: Company) -> list[str]:
    """Return the columns of customers to cut by, the one that matters most first."""
    return list(company.settings.segments)


def most_levels(company: Company) -> str:
    """Return the declared segment with the most levels."""
    own = segments(company)
    several = company.customers.agg(**{c: company.customers[c].nunique() for c in own}).execute().iloc[0]
    return max(own, key=lambda c: several[c])
