"""The checks that stop the intake in the table initiatives: rows with too little information, or with contradictions.

There are few initiatives, so their rows are checked one by one. The engine counts the customers they reached, and finds
the first day with data on customers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from itertools import chain
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from cxlib.errors import InputError
from cxlib.intake.checks import AS_OF, REASONS
from cxlib.intake.models import did_you_mean
from cxlib.intake.settings import Settings
from cxlib.intake.tables import Rows

MEANT_FOR = ("churn", "contacts", "order_value", "upsell")  # outcomes of a programme, besides the metrics
COSTS = ("cost_upfront", "cost_per_month")
_FIRST_DAYS = (("customers", "joined_on"), ("orders", "ordered_at"))

Fault = tuple[str, str, str]  # the columns to show ("a|b": the first one mapped), the problem, the remedy


def check(checked: Mapping[str, ir.Table], sources: list[Rows], settings: Settings, as_of: date) -> None:
    """Raise the InputError of the first initiative that cannot be judged, with its row.

    ``checked``: all tables with the results of ``checks.marked``. ``sources``: those of initiatives. An initiative that
    starts after ``as_of``, but within the data, is no error. It is set aside, since a report can be made for an earlier
    day.
    """
    last = max(as_of, settings.as_of)
    for row in _rows(checked).to_dict("records"):
        faults = chain(_of_itself(row, settings), _of_its_time(row, last), _of_its_customers(row))
        if fault := next(faults, None):
            raise _error(fault, row, sources[int(row["_source"])])


def _given(row: dict[str, Any], column: str) -> bool:
    return not pd.isna(row[column])


def _planned(row: dict[str, Any]) -> bool:
    return row["status"] == "planned"


def _of_itself(row: dict[str, Any], settings: Settings) -> Iterator[Fault]:
    """Yield the faults in the costs and in the declared effect."""
    meant, outcome = [*MEANT_FOR, *settings.metrics], row["outcome"]
    if not any(row[c] > 0 for c in COSTS if _given(row, c)):
        remedy = "Fill in cost_upfront or cost_per_month, including the time of your own staff: a return needs a cost."
        yield "|".join(COSTS), "The initiative has no cost", remedy
    if _given(row, "cost_currency") and row["cost_currency"].upper() != (settings.currency or "").upper():
        own = settings.currency or "the currency declared in company.yaml (currency:)"
        remedy = f"Convert the costs to {own}, at the exchange rate of the day they were paid."
        yield "cost_currency", f"The costs are not in {own}", remedy
    if _given(row, "outcome") and outcome not in meant:
        remedy = f"{did_you_mean(outcome, meant, 'allowed')} A metric must be declared under metrics:."
        yield "outcome", "This outcome cannot be measured", remedy
    for column in ("smallest_effect", "expected_effect"):
        if not _given(row, column):
            continue
        if not _given(row, "outcome"):
            yield (
                column,
                f"{column} is given without outcome",
                f"Fill in the outcome it should improve: {', '.join(meant)}.",
            )
        elif not _given(row, "effect_is"):
            yield column, f"{column} is given without effect_is", _SAY_HOW
        elif row["effect_is"] == "relative" and row[column] > 1 and _less_is_better(outcome, settings):
            yield column, f"{outcome} cannot fall by more than 100 %", f"Write a tenth as 0.1. {_SAY_HOW}"
        elif row["effect_is"] == "points" and row[column] > 1 and outcome == "churn":
            yield column, f"{outcome} is a share and cannot fall by more than 1", "Write two points of 100 as 0.02."


_SAY_HOW = "effect_is is relative (0.1: a tenth of the level without the programme) or points."


def _less_is_better(outcome: str, settings: Settings) -> bool:
    return outcome in ("churn", "contacts") or (outcome in settings.metrics and settings.metrics[outcome].good == "low")


def _of_its_time(row: dict[str, Any], last: date) -> Iterator[Fault]:
    """Yield the faults in the start date."""
    started = pd.Timestamp(row["started_on"]).date()
    known = pd.Timestamp(row["_known"]).date() if _given(row, "_known") else started
    if started > last and not _planned(row):
        remedy = "Write status: planned if it has not started yet, or correct the date."
        yield "started_on", f"The initiative starts after {last}, the last day of the data, but is not planned", remedy
    if started < known:
        remedy = "Correct the date, or add exports that reach back to before it started."
        yield "started_on", f"The initiative started before {known}, the first day of any customer or order", remedy


def _of_its_customers(row: dict[str, Any]) -> Iterator[Fault]:
    """Yield the faults in the customers reached or planned."""
    if _planned(row) and not _given(row, "planned_customers"):
        remedy = "Fill in planned_customers: how many customers it will reach."
        yield "planned_customers|status", "The planned initiative does not say how many customers it will reach", remedy
    if row["_reached"] == 0 and row["_flags"] == 0 and not _planned(row):
        remedy = "Add the customers it reached to exposures, or write status: planned if it has not started yet."
        yield "initiative_id", "The initiative reached no customer: exposures has no usable row for it", remedy


def _rows(checked: Mapping[str, ir.Table]) -> pd.DataFrame:
    """Return the initiatives without repeated rows, in one query.

    _known: the first day a customer joined or ordered (empty if there is no such date). _reached: rows of exposures
    that are used now or on a later day; -1 without that table.
    """
    rows = checked["initiatives"]
    rows = rows.filter(rows._flags % 2 == 0)
    if "exposures" in checked:
        late = next(1 << i for i, reason in enumerate(REASONS["exposures"]) if reason.text == AS_OF)
        reached = checked["exposures"].filter((_._flags == 0) | ((_._flags & late) > 0))
        reached = reached.group_by(_of=_.initiative_id).agg(_reached=_.count())
        rows = rows.left_join(reached, rows.initiative_id == reached._of).mutate(_reached=_._reached.fill_null(0))
    else:
        rows = rows.mutate(_reached=-1)
    used = [(t.filter(t._flags == 0), c) for n, c in _FIRST_DAYS if (t := checked.get(n)) is not None]
    firsts = [t.agg(_known=t[c].cast("date").min()) for t, c in used]
    first = ibis.union(*firsts) if len(firsts) > 1 else firsts[0]
    rows = rows.cross_join(first.agg(_known=_._known.min()))
    return rows.order_by(["_source", "_row"]).to_pandas()


def _error(fault: Fault, row: dict[str, Any], rows: Rows) -> InputError:
    columns, problem, remedy = fault
    mapped = rows.source.columns
    column = next((c for c in columns.split("|") if c in mapped), "initiative_id")
    value = row[column]
    shown = "" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)
    shown = str(pd.Timestamp(value).date()) if column == "started_on" else shown
    place = mapped[column].column or f"sources.initiatives.columns.{column}"
    return rows.error(f"initiatives: {problem}", row["_row"], place, shown, remedy)
