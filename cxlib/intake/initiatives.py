"""The checks that stop the intake in the table initiatives: rows with too little information, or with contradictions.

There are few initiatives, so their rows are checked one by one. The engine counts the customers they reached, and finds
the first day with data on customers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial, reduce
from typing import Any

import ibis
import pandas as pd
from ibis import _

from cxlib.errors import InputError, faults
from cxlib.intake.checks import AS_OF, Checked, bits, column_of, without_copies
from cxlib.intake.models import did_you_mean
from cxlib.intake.settings import Settings
from cxlib.intake.tables import COSTS, Rows

MEANT_FOR = ("churn", "contacts", "order_value", "upsell")  # outcomes of a programme, besides the metrics
_FIRST_DAYS = (("customers", "joined_on"), ("orders", "ordered_at"))
fault = faults(__file__)


def check(checked: Mapping[str, Checked], settings: Settings, as_of: date) -> None:
    """Raise the InputError of the first initiative that cannot be judged, with its row.

    ``checked``: all tables. An initiative that starts after ``as_of``, but within the data, is no error. It is set
    aside, since a report can be made for an earlier day.
    """
    sources, last = checked["initiatives"].sources, max(as_of, settings.as_of)
    for row in _rows(checked).to_dict("records"):
        given = {column: value for column, value in row.items() if not pd.isna(value)}
        if error := next(_faults(given, sources[given["_source"]], settings, last), None):
            raise error


def _faults(given: Mapping[str, Any], rows: Rows, settings: Settings, last: date) -> Iterator[InputError]:
    """Yield what is wrong with an initiative: its costs, effect, start, customers. ``given``: its cells not empty."""
    own, stop = (settings.currency or "").upper(), partial(_stop, given, rows)
    if not any(given.get(cost, 0) > 0 for cost in COSTS):
        yield stop("no_cost", "|".join(COSTS))
    if given.get("cost_currency", own).upper() != own:
        named = settings.currency or "the currency declared in company.yaml (currency:)"
        yield stop("other_currency", "cost_currency", own=named)
    outcome, unit, meant = given.get("outcome"), given.get("effect_is"), [*MEANT_FOR, *settings.metrics]
    if outcome is not None and outcome not in meant:
        yield stop("unmeasured", "outcome", known=did_you_mean(outcome, meant, "allowed"))
    falls = outcome in ("churn", "contacts") or getattr(settings.metrics.get(outcome), "good", None) == "low"
    for effect in (c for c in ("smallest_effect", "expected_effect") if c in given):
        if outcome is None:
            yield stop("without_outcome", effect, effect=effect, known=", ".join(meant))
        elif unit is None:
            yield stop("without_unit", effect, effect=effect)
        elif unit == "relative" and given[effect] > 1 and falls:
            yield stop("more_than_all", effect, outcome=outcome)
        elif unit == "points" and given[effect] > 1 and outcome == "churn":
            yield stop("more_than_one", effect, outcome=outcome)
    planned, starts = given.get("status") == "planned", pd.Timestamp(given["started_on"]).date()
    first = pd.Timestamp(given.get("_known", starts)).date()
    if starts > last and not planned:
        yield stop("late", "started_on", last=last)
    if starts < first:
        yield stop("early", "started_on", first=first)
    if planned and "planned_customers" not in given:
        yield stop("unplanned", "planned_customers|status")
    if given["_reached"] == 0 and given["_flags"] == 0 and not planned:
        yield stop("nobody", "initiative_id")


def _stop(given: Mapping[str, Any], rows: Rows, name: str, columns: str, **facts: object) -> InputError:
    """Return an error that shows the first column mapped of "a|b", else the id."""
    mapped = rows.source.columns
    column = column_of(f"{columns}|initiative_id", mapped)
    shown = given.get(column, "")
    if column == "started_on":
        shown = pd.Timestamp(shown).date()
    elif isinstance(shown, float):
        shown = f"{shown:g}"
    written = mapped[column].column or f"sources.initiatives.columns.{column}"
    return fault(name, **rows.place(given["_row"]), column=written, value=str(shown), **facts)


def _rows(checked: Mapping[str, Checked]) -> pd.DataFrame:
    """Return the initiatives without repeated rows, in one query.

    _known: the first day a customer joined or ordered (empty if there is no such date). _reached: rows of exposures
    that are used now or on a later day; -1 without that table.
    """
    rows = without_copies(checked["initiatives"].rows)
    if "exposures" in checked:
        late = bits("exposures", AS_OF)
        reached = checked["exposures"].rows.filter((_._flags == 0) | ((_._flags & late) > 0))
        reached = reached.group_by(_of=_.initiative_id).agg(_reached=_.count())
        rows = rows.left_join(reached, rows.initiative_id == reached._of).mutate(_reached=_._reached.fill_null(0))
    else:
        rows = rows.mutate(_reached=-1)
    used = [(checked[n].rows.filter(_._flags == 0), column) for n, column in _FIRST_DAYS if n in checked]
    first = reduce(ibis.union, [t.agg(_known=t[column].cast("date").min()) for t, column in used])
    return rows.cross_join(first.agg(_known=_._known.min())).order_by(["_source", "_row"]).to_pandas()
