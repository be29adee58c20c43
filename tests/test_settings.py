"""Every mistake in company.yaml is one error that names the key, what is allowed and the closest known key."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
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
    "file and sql": (put("sources.orders.sql", "from orders"), "sources.orders", "sql: select"),
    "an export of nothing": (put("exports", {"lines": {"delimiter": ";"}}), "exports.lines", "Write file:"),
    "an export with a blank in its name": (put("exports", {"order lines": "orders.csv"}), "exports.order lines", ""),
    "header above the first row": (put("sources.orders.header_row", 0), "sources.orders.header_row", ""),
    "less than no footer": (put("sources.orders.footer_rows", -1), "sources.orders.footer_rows", ""),
    "contracts of an order": (put("sources.orders.repeats", "span"), "sources", "sum for orders"),
    "lines of an answer": (put("sources.responses.repeats", "sum"), "sources", "span for customers"),
    "lines without the id of their order": (
        lambda s: (put("sources.orders.columns.order_id", None)(s), put("sources.orders.repeats", "sum")(s)),
        "sources.orders: repeats",
        "Map order_id",
    ),
    "a currency worth nothing": (put("exchange_rates", {"JPY": 0}), "exchange_rates.JPY", ""),
    "currencies to convert to nothing": (
        lambda s: (put("currency", None)(s), put("sources.orders.columns.currency", "oid")(s)),
        "sources.orders.columns.currency",
        "currency: GBP",
    ),
    "a text times a text": (
        put("sources.customers.columns.plan", {"column": "plan", "times": "reason"}),
        "sources.customers.columns.plan",
        "Leave them out",
    ),
    "cents of a date": (
        put("sources.orders.columns.ordered_at", {"column": "day", "unit": "cents"}),
        "sources.orders.columns.ordered_at",
        "Leave them out",
    ),
    "hours after nothing": (
        put("sources.contacts.columns.resolved_at", {"column": "solved", "unit": "hours"}),
        "sources.contacts.columns.resolved_at",
        "after: opened_at",
    ),
    "an amount never asked": (
        put("sources.orders.columns.revenue", {"column": "amount", "not_asked": [0]}),
        "sources.orders.columns.revenue",
        "blank:",
    ),
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


def test_a_survey_without_orders_needs_no_rule_of_inactivity(small):
    small.settings["relationship"] = "noncontractual"
    small.only("responses")
    assert small.open().settings.inactive_after_days is None


def test_all_wrong_settings_are_said(small):
    put("as_of", "never")(small.settings)
    put("draws", "many")(small.settings)
    error = stops(small.open)
    assert [error.value, *(e.value for e in error.others)] == ["never", "many"]
    assert str(error).count("\n") == 1


REVENUE = "sources.orders.columns.revenue"
# the key of the form before: (where it stands, what it says, the select to write)
OLD = {
    "join": (
        "sources.orders",
        [{"file": "plans.csv", "as": "p", "on": {"cid": "cust"}, "pick": "first", "by": "day"}],
        'exports: {a: orders.csv, b: plans.csv} and sql: select a.*, b.* exclude ("cust") from a left join b on '
        'a."cid" = b."cust"',
    ),
    "filter": (
        "sources.orders",
        {"column": "kind", "is_not": ["test", ""]},
        """exports: {a: orders.csv} and sql: select * from a where "kind" not in ('test', '')""",
    ),
    "one_row_per": (
        "sources.orders",
        {"column": "order_id", "pick": "first", "by": "day"},
        'select distinct on ("oid") * from a order by "day"; lines of an order are added up with repeats: sum',
    ),
    "row_number": ("sources.orders.columns.order_id", "R", "Leave the id out"),
    "otherwise": (REVENUE, "x", "select *, if(\"amount\" = '...', '...', 'x') as x from a"),
    "later_than": (REVENUE, "due", """select *, if("amount" > "due", 'yes', 'no') as late from a"""),
}


@pytest.mark.parametrize("key", OLD)
def test_a_key_of_the_form_before_is_refused_with_the_select_to_write(small, key):
    where, given, select = OLD[key]
    column = {} if key == "row_number" else {"column": "amount"}
    put(
        f"{where}.{key}" if where == "sources.orders" else where,
        given if where == "sources.orders" else column | {key: given},
    )(small.settings)
    error = stops(small.open)
    assert f"{where} has the key {key!r}, which is no longer read" in error.problem
    assert select in error.remedy


KEYS = [*SETTINGS, "inactive_after_days", "involuntary_reasons", "money", "privacy", "draws", "seed", "folder"]
KEYS += ["exports", "exchange_rates", "database"]
SOURCE_KEYS = ["file", "sql", "columns", "repeats", "ends_on", "header_row", "footer_rows", "encoding", "delimiter"]
SOURCE_KEYS += ["dates", "decimal", "thousands", "blank", "sheet", *OLD]


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
        (
            "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghi")),
            "*a is an alias",
        ),
        ("name: A\nsources: {customers: {file: *.csv}}\n", "YAML"),
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
