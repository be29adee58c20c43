"""Initiatives that cannot be judged: each gives one error with file, row, column, value and remedy."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pandas as pd
import pytest
from small_company import SETTINGS, Small, stops

from cxlib import cli
from cxlib.counts.programmes import programmes
from cxlib.intake.company import Company

# contract column -> (the export's column, what stands in it in a good row)
GOOD = {
    "initiative_id": ("iid", "I1"),
    "name": ("title", "Faster replies"),
    "started_on": ("start", "2024-06-01"),
    "cost_upfront": ("setup", "5000"),
    "cost_per_month": ("monthly", "100"),
    "cost_currency": ("money", "EUR"),
    "attribution_share": ("share", "1"),
    "status": ("state", "running"),
    "assignment": ("how", "chosen"),
    "assigned_by": ("rule", "csat"),
    "outcome": ("moves", "churn"),
    "smallest_effect": ("least", "0.1"),
    "effect_is": ("unit", "relative"),
    "expected_effect": ("hoped", ""),
    "effect_months": ("months", "12"),
    "planned_customers": ("reach", ""),
}
PLANNED = {"status": "planned", "initiative_id": "I2"}
# name: (cells that differ from the good row, the column to look at, words of the problem, words of the remedy)
WRONG = {
    "costs left blank": ({"cost_upfront": "", "cost_per_month": ""}, "cost_upfront", "no cost", "cost_per_month"),
    "costs of nothing": ({"cost_upfront": "0", "cost_per_month": "0"}, "cost_upfront", "no cost", "cost_per_month"),
    "negative cost": ({"cost_per_month": "-1"}, "cost_per_month", "below 0", "Correct it"),
    "cost in another currency": ({"cost_currency": "USD"}, "cost_currency", "not in EUR", "rate of the day"),
    "nobody reached": ({"initiative_id": "I2"}, "initiative_id", "reached no customer", "exposures"),
    "planned for nobody": (PLANNED | {"planned_customers": "0"}, "planned_customers", "not above 0", "whole number"),
    "planned for how many": (PLANNED, "planned_customers", "how many customers", "planned_customers"),
    "planned for half a customer": (PLANNED | {"planned_customers": "2.5"}, "planned_customers", "whole", "Round"),
    "starts after the data": ({"started_on": "2025-07-01"}, "started_on", "starts after 2025-06-30", "status: planned"),
    "started before the data": ({"started_on": "2023-12-31"}, "started_on", "before 2024-01-05", "reach back"),
    "share above 1": ({"attribution_share": "1.5"}, "attribution_share", "above 1", "from 0 to 1"),
    "judged after no months": ({"effect_months": "0"}, "effect_months", "below 1", "whole number from 1 to 120"),
    "judged after decades": ({"effect_months": "121"}, "effect_months", "above 120", "whole number from 1 to 120"),
    "judged after half months": ({"effect_months": "6.5"}, "effect_months", "whole", "whole number from 1 to 120"),
    "smallest effect of zero": ({"smallest_effect": "0"}, "smallest_effect", "not above 0", "above 0"),
    "a fall written as negative": ({"smallest_effect": "-0.1"}, "smallest_effect", "not above 0", "above 0"),
    "expected effect of zero": ({"expected_effect": "0"}, "expected_effect", "not above 0", "above 0"),
    "relative or points?": ({"effect_is": ""}, "smallest_effect", "without effect_is", "relative (0.1"),
    "an effect on what?": ({"outcome": ""}, "smallest_effect", "without outcome", "order_value, upsell"),
    "expected effect on what?": (
        {"outcome": "", "smallest_effect": "", "expected_effect": "0.1"},
        "expected_effect",
        "without outcome",
        "nps, csat",
    ),
    "an outcome that is not measured": ({"outcome": "chrun"}, "outcome", "cannot be measured", "Did you mean 'churn'"),
    "a metric that is not declared": ({"outcome": "ces"}, "outcome", "cannot be measured", "declared under metrics"),
    "a unit of its own": ({"effect_is": "percent"}, "effect_is", "unknown word", "relative, points"),
    "more than all churn": ({"smallest_effect": "15"}, "smallest_effect", "more than 100", "0.1"),
    "more contacts than there are": (
        {"outcome": "contacts", "smallest_effect": "", "expected_effect": "1.5"},
        "expected_effect",
        "more than 100",
        "0.1",
    ),
    "points of churn as percent": ({"effect_is": "points", "smallest_effect": "2"}, "smallest_effect", "share", "0.02"),
}  # fmt: skip


def write(small: Small, row: dict[str, str]) -> None:
    """Write the table initiatives with one valid row except for these cells; exposures are of I1."""
    small.only("initiatives", "exposures")
    small.source("customers")["columns"] = {"customer_id": "id", "joined_on": "signup"}
    small.settings["segments"] = []
    head, cells = zip(*((export, row.get(column, good)) for column, (export, good) in GOOD.items()), strict=True)
    small.files["initiatives.csv"] = f"{','.join(head)}\n{','.join(cells)}\n"
    small.source("initiatives")["columns"] = {column: export for column, (export, _) in GOOD.items()}


def frames(small: Small) -> dict[str, pd.DataFrame]:
    """Return the same tables as frames in the contract's names."""
    made = {}
    for table, source in small.settings["sources"].items():
        frame = pd.read_csv(io.StringIO(small.files[source["file"]]))
        made[table] = frame.rename(columns={export: column for column, export in source["columns"].items()})
        made[table] = made[table][list(source["columns"])]
    return made


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def test_the_good_row_is_taken_as_it_stands(small):
    write(small, {"outcome": "CSAT", "effect_is": "points", "cost_currency": "eur"})
    (found,) = programmes(small.open())
    assert (found.outcome, found.smallest_effect, found.effect_is, found.effect_months) == ("csat", 0.1, "points", 12)
    assert (found.assignment, found.assigned_by, found.planned_customers) == ("chosen", "csat", 0)
    assert found.cost(3) == 5300


@pytest.mark.parametrize("name", WRONG)
def test_an_initiative_that_cannot_be_judged_stops_with_its_place_and_the_remedy(small, name):
    cells, column, problem, remedy = WRONG[name]
    write(small, cells)
    if name != "nobody reached":  # the only one that looks at them
        del small.settings["sources"]["exposures"]
    error = stops(small.open)
    export, good = GOOD[column]
    assert (Path(str(error.file)).name, error.row) == ("initiatives.csv", 2)
    assert (error.column, error.value) == (export, cells.get(column, good))
    assert problem in error.problem
    assert remedy in error.remedy


@pytest.mark.parametrize("name", ["costs left blank", "nobody reached", "share above 1", "starts after the data"])
def test_frames_are_checked_in_the_same_way(small, name):
    cells, column, problem, remedy = WRONG[name]
    write(small, cells)
    framed = {k: v for k, v in SETTINGS.items() if k not in ("sources", "segments")}
    error = stops(lambda: Company.from_frames(framed, frames(small)))
    assert (error.file, error.row, error.column) == ("initiatives", 2, column)
    assert problem in error.problem
    assert remedy in error.remedy


@pytest.mark.parametrize("command", ["check", "run"])
def test_the_shell_says_it_in_one_line_and_ends_with_2(small, monkeypatch, capsys, command):
    write(small, {"cost_currency": "USD"})
    monkeypatch.setattr(sys, "argv", ["cxlib", command, str(small.write())])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "initiatives.csv, row 2, column money, value 'USD'" in said.err


def test_the_first_of_several_wrong_ones_is_named(small):
    write(small, {})
    small.add(
        "initiatives.csv", small.files["initiatives.csv"].splitlines()[1].replace("I1", "I0").replace("EUR", "USD")
    )
    assert stops(small.open).row == 3


@pytest.mark.parametrize(("column", "value"), [("attribution_share", "1.5"), ("cost_per_month", "-1")])
def test_what_is_given_in_company_yaml_for_every_row_is_checked_as_well(small, column, value):
    write(small, {})
    small.columns("initiatives")[column] = {"value": value}
    error = stops(small.open)
    assert (error.column, error.value) == (f"sources.initiatives.columns.{column}", value)


def test_costs_that_are_not_mapped_are_no_cost(small):
    write(small, {})
    for column in ("cost_upfront", "cost_per_month"):
        small.columns("initiatives").pop(column)
    error = stops(small.open)
    assert "no cost" in error.problem
    assert (error.column, error.value) == ("iid", "I1")


def test_without_exposures_nobody_knows_who_was_reached_and_that_is_no_error(small):
    write(small, {"initiative_id": "I2"})
    del small.settings["sources"]["exposures"]
    assert [p.id for p in programmes(small.open())] == ["I2"]


def test_exposures_that_are_all_set_aside_reached_nobody(small):
    write(small, {})
    small.files["exposures.csv"] = "iid,cid,day\nI1,C99,2024-06-05\n"
    assert "reached no customer" in stops(small.open).problem


def test_a_report_for_an_earlier_day_sets_aside_what_had_not_started(small):
    write(small, {})
    company = small.open(as_of="2024-05-31")
    aside = company.set_aside.set_index(["table", "reason"])["rows"]
    assert aside["initiatives", "after the as-of date"] == 1
    assert programmes(company) == []
    assert len(programmes(small.open(as_of="2024-06-02"))) == 1  # started, with the first customer reached days later


def test_a_planned_initiative_starts_when_it_will(small):
    write(small, PLANNED | {"started_on": "2025-10-01", "planned_customers": "200", "expected_effect": "0.2"})
    del small.settings["sources"]["exposures"]
    (found,) = programmes(small.open())
    assert (found.planned, found.planned_customers, found.expected_effect) == (True, 200, 0.2)
