"""The checks that stop the intake in the table initiatives: rows with too little information, or with contradictions.

There are few initiatives, so their rows are checked one by one. The engine counts the customers they reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd
from ibis import _

from cxlib.errors import InputError, faults
from cxlib.intake.checks import AS_OF, Checked, bits, column_of, without_copies
from cxlib.intake.models import did_you_mean
from cxlib.intake.settings import Settings
from cxlib.intake.tables import COSTS, Rows

MEANT_FOR = ("churn", "contacts", "order_value", "upsell")  # outcomes of a programme, besides the metrics
fault = faults(__file__)


def check(checked: Mapping[str, Checked], settings: Settings, as_of: date, first: date) -> None:
    """Raise the InputError of the first initiative that cannot be judged, with its row.

    ``checked``: all tables. ``first``: the first day a customer joined or ordered. An initiative that starts after
    ``as_of``, but within the data, is no error. It is set aside, since a report can be made for an earlier day.
    """
    sources, last = checked["initiatives"].sources, max(as_of, settings.as_of)
    for row in _rows(checked).to_dict("records"):
        given = {column: value for column, value in row.items() if not pd.isna(value)}
        facts, wrong = _wrong(given, settings, first, last)
        for name, columns in (line for line, holds in wrong.items() if holds):
            raise _stop(given, sources[given["_source"]], name, columns, **facts)


def _wrong(
    given: Mapping[str, Any], settings: Settings, first: date, last: date
) -> tuple[dict, dict[tuple[str, str], bool]]:
    """Return facts, and what can be wrong with an initiative: (name of the error, columns), and whether it is.

    ``given``: its cells that are not empty.
    """
    outcome, unit, meant = given.get("outcome"), given.get("effect_is"), [*MEANT_FOR, *settings.metrics]
    falls = outcome in ("churn", "contacts") or getattr(settings.metrics.get(outcome), "good", None) == "low"
    planned, starts = given.get("status") == "planned", pd.Timestamp(given["started_on"]).date()
    own = (settings.currency or "").upper()
    facts = {"own": settings.currency or "the currency declared in company.yaml (currency:)", "outcome": outcome}
    facts |= {"known": did_you_mean(outcome, meant, "allowed") if outcome else ", ".join(meant)}
    wrong = {
        ("no_cost", "|".join(COSTS)): not any(given.get(cost, 0) > 0 for cost in COSTS),
        ("other_currency", "cost_currency"): given.get("cost_currency", own).upper() != own,
        ("unmeasured", "outcome"): outcome is not None and outcome not in meant,
    }
    for effect in (c for c in ("smallest_effect", "expected_effect") if c in given):
        above = given[effect] > 1
        wrong[("without_outcome", effect)] = outcome is None
        wrong[("without_unit", effect)] = unit is None
        wrong[("more_than_all", effect)] = unit == "relative" and above and falls
        wrong[("more_than_one", effect)] = unit == "points" and above and outcome == "churn"
    wrong[("late", "started_on")] = starts > last and not planned
    wrong[("early", "started_on")] = starts < first
    wrong[("unplanned", "planned_customers|status")] = planned and "planned_customers" not in given
    wrong[("nobody", "initiative_id")] = given["_reached"] == 0 and given["_flags"] == 0 and not planned
    return facts | {"first": first, "last": last}, wrong


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
    return fault(name, **rows.place(given["_row"]), column=written, value=str(shown), effect=column, **facts)


def _rows(checked: Mapping[str, Checked]) -> pd.DataFrame:
    """Return the initiatives without repeated rows, in one query.

    _reached: rows of exposures that are used now or on a later day; -1 without that table.
    """
    rows = without_copies(checked["initiatives"].rows)
    if "exposures" not in checked:
        return rows.mutate(_reached=-1).order_by("_source", "_row").to_pandas()
    exposures = checked["exposures"].rows
    reached = exposures.filter((_._flags == 0) | ((_._flags & bits("exposures", AS_OF)) > 0))
    reached = reached.group_by(_of=_.initiative_id).agg(_reached=_.count())
    rows = rows.left_join(reached, rows.initiative_id == reached._of).order_by("_source", "_row")
    return rows.mutate(_reached=rows._reached.fill_null(0)).to_pandas()
