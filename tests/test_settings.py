"""Every mistake in company.yaml is one error that names the key, what is allowed and the closest known key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_company import SETTINGS, Small, stops

from cxlib import open_company
from cxlib.errors import InputError
from cxlib.intake import settings


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def put(path: str, value: object) -> Callable[[dict], None]:
    def change(settings: dict) -> None:
        *steps, last = path.split(".")
        for step in steps:
            settings = settings[step]
        if value is None:
            del settings[last]
        else:
            settings[last] = value

    return change


ORDERS = SETTINGS["sources"]["orders"]
MONEY = {
    "value_is": "margin",
    "gross_margin": 0.75,
    "discount_rate": 0.1,
    "discount_convention": "effective",
    "horizon_months": 24,
    "first_flow": "now",
}
# name: (change, the key as it stands in the error, a word of the remedy)
SETTINGS_STOPS = {
    "unknown key": (put("as_off", "2024-01-01"), "'as_off'", "Did you mean 'as_of'"),
    "unknown key in a source": (put("sources.orders.delimeter", ";"), "sources.orders", "Did you mean 'delimiter'"),
    "unknown key in a column": (
        put("sources.orders.columns.revenue", {"colum": "amount"}),
        "sources.orders.columns.revenue",
        "Did you mean 'column'",
    ),
    "unknown table": (put("sources.order", ORDERS), "sources", "Did you mean 'orders'"),
    "unknown metric": (put("metrics.nbs", {"scale": [0, 10]}), "metrics", "Did you mean 'nps'"),
    "own signal without its good end": (put("metrics.solved", {"scale": [0, 1]}), "metrics.solved.good", "good: high"),
    "own signal in capitals": (put("metrics.Solved", {"scale": [0, 1], "good": "high"}), "metrics", "lower-case"),
    "target off the scale": (put("metrics.csat.target", 80), "metrics.csat.target", "from 1 to 5"),
    "benchmark off the scale": (put("metrics.nps.benchmark", 101), "metrics.nps.benchmark", "from -100 to 100"),
    "negative weight in the composite": (put("metrics.nps.composite_weight", -1), "metrics.nps.composite_weight", ""),
    "later_than beside codes": (
        put("sources.orders.columns.late", {"column": "day", "later_than": "day", "codes": {"a": "b"}}),
        "sources.orders.columns.late",
        "Use it alone",
    ),
    "later_than for a number": (
        put("sources.orders.columns.revenue", {"column": "amount", "later_than": "day"}),
        "sources.orders.columns.revenue",
        "column of text",
    ),
    "misspelt contract column": (
        put("sources.customers.columns", {"customer_id": "id", "joined_onn": "signup", "plan": "plan"}),
        "sources.customers.columns.joined_onn",
        "Did you mean 'joined_on'",
    ),
    "a column in two spellings": (put("sources.orders.columns.Revenue", "oid"), "'revenue'", "capital letters"),
    "required column not mapped": (
        put("sources.orders.columns.revenue", None),
        "sources.orders.columns.revenue",
        "revenue: ...",
    ),
    "extra column where none may be": (
        put("sources.exposures.columns.mood", "day"),
        "sources.exposures.columns.mood",
        "known",
    ),
    "missing as_of": (put("as_of", None), "as_of", "Add it"),
    "missing customers": (put("sources.customers", None), "sources.customers", "Add it"),
    "as_of in words": (put("as_of", "end of June"), "as_of", ""),
    "unknown relationship": (put("relationship", "friendly"), "relationship", "'contractual' or 'noncontractual'"),
    "inactivity rule with a contract": (put("inactive_after_days", 90), "inactive_after_days", "Leave it out"),
    "no inactivity rule without one": (
        put("relationship", "noncontractual"),
        "inactive_after_days",
        "inactive_after_days: 180",
    ),
    "money without all keys": (put("money", {"value_is": "margin"}), "money.gross_margin", "Add it"),
    "margin as a percentage": (
        put("money", MONEY | {"gross_margin": 75}),
        "money.gross_margin",
        "",
    ),
    "no horizon": (put("money", MONEY | {"horizon_months": 0}), "money.horizon_months", "Correct"),
    "more cash than is saved": (put("money", MONEY | {"support_cashable": 1.1}), "money.support_cashable", "Correct"),
    "one share of the effect kept": (put("money", MONEY | {"effect_kept_a_year": [0.5]}), "effect_kept_a_year", ""),
    "more than the effect kept": (put("money", MONEY | {"effect_kept_a_year": [0, 2]}), "effect_kept_a_year", ""),
    "effect kept, high first": (
        put("money", MONEY | {"effect_kept_a_year": [0.5, 0]}),
        "effect_kept_a_year",
        "[0, 0.5]",
    ),
    "scale the wrong way round": (put("metrics.csat.scale", [5, 1]), "metrics.csat.scale", "[0, 10]"),
    "scale of words": (put("metrics.csat.scale", ["bad", "good"]), "metrics.csat.scale", ""),
    "NPS from -100 to 100": (put("metrics.nps.scale", [-100, 100]), "metrics.nps.scale", "0-10 answers per person"),
    "NPS from 1 to 5": (put("metrics.nps.scale", [1, 5]), "metrics.nps.scale", "0 to 10"),
    "NPS where low is good": (put("metrics.nps.good", "low"), "metrics.nps.good", "Leave it out"),
    "CSAT without its good end": (put("metrics.csat.good", None), "metrics.csat.good", "good: high"),
    "CES without version": (put("metrics.ces", {"scale": [1, 7]}), "metrics.ces.version", '"2.0"'),
    "CES against its version": (
        put("metrics.ces", {"scale": [1, 7], "version": "1.0", "good": "high"}),
        "metrics.ces.good",
        "version",
    ),
    "satisfied outside the scale": (put("metrics.csat.satisfied_from", 7), "metrics.csat", "1 to 5"),
    "undeclared metric": (
        put("sources.responses.columns.metric", {"value": "ces"}),
        "sources.responses.columns.metric",
        "Declare its scale",
    ),
    "segment that is no column": (put("segments", ["plam"]), "segments", "Did you mean 'plan'"),
    "segment that is no text": (put("segments", ["monthly_revenue"]), "segments", "plan"),
    "involuntary reasons without reasons": (
        lambda s: (put("sources.customers.columns.left_reason", None)(s), put("involuntary_reasons", ["x"])(s)),
        "involuntary_reasons",
        "left_reason",
    ),
    "pattern that is no date": (put("sources.orders.dates", "%H:%M"), "sources.orders.dates", "%d/%m/%Y"),
    "one sign for thousands and decimals": (put("sources.orders.thousands", "."), "sources.orders", 'decimal: ","'),
    "file and table": (put("sources.orders.table", "orders"), "sources.orders", "Write file:"),
    "table without a database": (
        put("sources.orders", {"table": "orders", "columns": ORDERS["columns"]}),
        "orders",
        "database:",
    ),
    "join without an order": (
        put("sources.orders.join", {"file": "x.csv", "as": "x", "on": "cid", "pick": "first"}),
        "sources.orders.join",
        "by:",
    ),
    "filter without a condition": (put("sources.orders.filter", {"column": "cid"}), "sources.orders.filter", "is:"),
    "duration after nothing": (
        put("sources.contacts.columns.resolved_at", {"column": "solved", "after": "closed_at", "unit": "hours"}),
        "sources.contacts.columns.resolved_at",
        "opened_at",
    ),
    "duration without a unit": (
        put("sources.contacts.columns.resolved_at", {"column": "solved", "after": "opened_at"}),
        "sources.contacts.columns.resolved_at",
        "unit: minutes",
    ),
    "no_answer for an amount": (
        put("sources.orders.columns.revenue", {"column": "amount", "no_answer": [0]}),
        "sources.orders.columns.revenue",
        "blank:",
    ),
    "code with no number behind it": (
        put("sources.orders.columns.revenue", {"column": "amount", "codes": {"free": "nothing"}}),
        "sources.orders.columns.revenue.codes",
        "1234.5",
    ),
    "tenure without its unit": (
        put("sources.customers.columns.tenure", "mrr"),
        "sources.customers",
        "tenure_unit",
    ),
    "row numbers for one id in two exports": (
        put(
            "sources.orders",
            [{**ORDERS, "columns": {**ORDERS["columns"], "order_id": {"row_number": "R"}}}] * 2,
        ),
        "sources.orders",
        "own text",
    ),
    "environment variable not set": (put("database", "${CXLIB_TEST_NOT_SET}"), "", ""),
}


@pytest.mark.parametrize("name", SETTINGS_STOPS)
def test_settings_stop(small, name):
    change, key, remedy = SETTINGS_STOPS[name]
    change(small.settings)
    error = stops(small.open)
    assert Path(str(error.file)).name == "company.yaml"
    assert key in error.problem
    assert remedy in error.remedy


def test_all_wrong_settings_are_counted(small):
    put("as_of", "never")(small.settings)
    put("draws", "many")(small.settings)
    assert "1 more key is wrong" in stops(small.open).remedy


KEYS = [*SETTINGS, "inactive_after_days", "involuntary_reasons", "money", "privacy", "draws", "seed", "folder"]
SOURCE_KEYS = ["file", "columns", "join", "filter", "one_row_per", "dates", "decimal", "thousands", "blank", "sheet"]


@pytest.mark.parametrize("value", [[[]], {"a": {"b": 1}}, -1], ids=repr)
@pytest.mark.parametrize("key", KEYS + [f"sources.orders.{k}" for k in SOURCE_KEYS])
def test_wrong_types_give_no_other_error(small, key, value):
    small.only("orders")
    put(key, value)(small.settings)
    try:
        small.open()
    except InputError as error:
        assert error.remedy
    else:
        assert value == -1  # which may be a name


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "mapping"),
        ("just a text", "mapping"),
        ("name: [a\nas_of: 2024", "YAML"),
        ("name: a\n  as_of: b\n", "YAML"),
        ("name: a\nname: b\n", "twice"),
        ("name: 100%\nx: @y\n", "YAML"),
        ("\tname: a\n", "YAML"),
        ("name: !!python/object:os.system a\n", ""),
        (b"\xff\xfe\x00name", "YAML"),
        (b"name: caf\xe9\n", "YAML"),
        ("[" * 1200, ""),
    ],
)
def test_a_file_that_is_no_settings(small, text, word):
    small.yaml = text
    error = stops(small.open)
    assert Path(str(error.file)).name == "company.yaml"
    assert word in error.problem


def test_yaml_errors_name_the_line(small):
    small.yaml = "name: a\nas_of: 2024-01-01\nrelationship: [contractual\n"
    assert stops(small.open).row in (3, 4)
    small.yaml = "name: a\nas_of: 2024-01-01\nname: b\n"
    assert stops(small.open).row == 3


def test_unknown_company_names_the_known_ones(tmp_path):
    error = stops(lambda: open_company("no-such-company"))
    assert "no-such-company" in error.problem
    assert "company.yaml" in stops(lambda: open_company(tmp_path)).problem


def test_as_of_that_is_no_date(small):
    assert stops(lambda: small.open(as_of="soon")).value == "soon"


def test_every_todo_of_a_proposal_is_named():
    given = {"name": "A", "currency": "TODO", "metrics": {"ces": {"version": "TODO", "scale": [1, "TODO"]}}}
    with pytest.raises(InputError, match=r"currency, metrics\.ces\.version, metrics\.ces\.scale\.1"):
        settings.check(given)
