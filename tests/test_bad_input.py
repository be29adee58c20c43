"""Every kind of bad input stops with one error that says where and what to do, or is set aside and counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pandas as pd
import pytest
from small_company import SETTINGS, Small

from cxlib import open_company
from cxlib.errors import InputError
from cxlib.intake.company import Company


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def stops(company: Callable[[], object]) -> InputError:
    with pytest.raises(InputError) as caught:
        company()
    error = caught.value
    assert error.problem
    assert error.remedy
    return error


# --- the exports: what stops ------------------------------------------------------------------------------------------

# name: (how to spoil the company, file, row, column, value, a word of the remedy)
STOPS: dict[str, tuple[Callable[[Small], object], str, int | None, str | None, str | None, str]] = {}


def stop(name: str, file: str, row: int | None, column: str | None, value: str | None, remedy: str) -> Callable:
    def register(spoil: Callable[[Small], object]) -> Callable:
        assert name not in STOPS
        STOPS[name] = (spoil, file, row, column, value, remedy)
        return spoil

    return register


@stop("missing file", "orders.csv", None, None, None, "folder has")
def _(s):
    del s.files["orders.csv"]


@stop("empty file", "orders.csv", None, None, None, "Export it again")
def _(s):
    s.files["orders.csv"] = ""


@stop("header only", "orders.csv", None, None, None, "with its rows")
def _(s):
    s.files["orders.csv"] = "oid,cid,day,amount\n"


@stop("row with too many fields", "orders.csv", 6, None, None, "")
def _(s):
    s.add("orders.csv", "O9,C1,2024-02-01,100,extra,more")


@stop("row with too few fields", "orders.csv", 6, "day", None, "")
def _(s):
    s.add("orders.csv", "O9,C1")


@stop("header twice", "orders.csv", 1, "day", None, "")
def _(s):
    s.change("orders.csv", "oid,cid,day,amount", "oid,cid,day,day")


@stop("unreadable kind of file", "orders.pdf", None, None, None, ".csv")
def _(s):
    s.files["orders.pdf"] = "%PDF"
    s.source("orders")["file"] = "orders.pdf"


@stop("a picture called .csv", "orders.csv", ANY, ANY, None, "")
def _(s):
    s.files["orders.csv"] = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20


@stop("a text called .xlsx", "orders.xlsx", None, None, None, "Save it again")
def _(s):
    s.files["orders.xlsx"] = "oid,cid\n"
    s.source("orders")["file"] = "orders.xlsx"


@stop("a text called .parquet", "orders.parquet", None, None, None, "Export it again")
def _(s):
    s.files["orders.parquet"] = "oid,cid\n"
    s.source("orders")["file"] = "orders.parquet"


@stop("column not in the export", "orders.csv", None, "amout", None, "Did you mean 'amount'")
def _(s):
    s.columns("orders")["revenue"] = "amout"


@stop("wrong delimiter declared", "orders.csv", None, "oid", None, "oid,cid,day,amount")
def _(s):
    s.source("orders")["delimiter"] = ";"


@stop("no date", "orders.csv", 6, "day", "yesterday", "dates:")
def _(s):
    s.add("orders.csv", "O9,C1,yesterday,100")


@stop("day first, not declared", "orders.csv", 6, "day", "25/12/2024", 'dates: "%d/%m/%Y"')
def _(s):
    s.add("orders.csv", "O9,C1,25/12/2024,100")


@stop("day or month first", "orders.csv", 6, "day", "03/04/2024", "only the export's owner knows")
def _(s):
    s.add("orders.csv", "O9,C1,03/04/2024,100")


@stop("a day that does not exist", "orders.csv", 6, "day", "2024-02-30", "ISO dates")
def _(s):
    s.add("orders.csv", "O9,C1,2024-02-30,100")


@stop("a date not in the declared pattern", "orders.csv", 2, "day", "2024-02-01", "ISO (leave `dates` out)")
def _(s):
    s.source("orders")["dates"] = "%d.%m.%Y"


@stop("a year 0024", "orders.csv", 6, "day", "0024-02-01", "blank:")
def _(s):
    s.add("orders.csv", "O9,C1,0024-02-01,100")


@stop("a year 9999", "customers.csv", 7, "cancelled", "9999-12-31", "blank:")
def _(s):
    s.add("customers.csv", "C6,2024-01-01,9999-12-31,,Pro,1")


@stop("empty required date", "orders.csv", 6, "day", "", "filter:")
def _(s):
    s.add("orders.csv", "O9,C1,,100")


@stop("no number", "orders.csv", 6, "amount", "free", "codes:")
def _(s):
    s.add("orders.csv", "O9,C1,2024-07-01,free")


@stop("thousands not declared", "orders.csv", 6, "amount", "1,234.50", 'thousands: ","')
def _(s):
    s.add("orders.csv", 'O9,C1,2024-07-01,"1,234.50"')


@stop("decimal comma not declared", "orders.csv", 6, "amount", "1.234,50", 'decimal: "," and thousands: "."')
def _(s):
    s.add("orders.csv", 'O9,C1,2024-07-01,"1.234,50"')


@stop("a number with its currency", "orders.csv", 6, "amount", "£12", "Correct the value")
def _(s):
    s.add("orders.csv", "O9,C1,2024-07-01,£12")


@stop("an infinite number", "orders.csv", 6, "amount", "1e999", "Correct the value")
def _(s):
    s.add("orders.csv", "O9,C1,2024-07-01,1e999")


@stop("empty required number", "orders.csv", 6, "amount", "", "filter:")
def _(s):
    s.add("orders.csv", "O9,C1,2024-07-01,NA")


@stop("empty customer id", "customers.csv", 7, "id", "", "filter:")
def _(s):
    s.add("customers.csv", ",2024-01-01,,,Pro,1")


@stop("anonymous answer", "responses.csv", 7, "cid", "", "filter:")
def _(s):
    s.add("responses.csv", "R9,  ,nps,2024-09-01,2024-09-01,9,")


@stop("two rows of one customer", "customers.csv", 7, "id", "C1", "one_row_per: customer_id")
def _(s):
    s.add("customers.csv", "C1,2024-01-06,,,Pro,1")


@stop("two rows of one customer but for a space", "customers.csv", 7, "id", "C1", "one_row_per: customer_id")
def _(s):
    s.add("customers.csv", "C1 ,2024-01-06,,,Pro,1")


@stop("one customer in two exports", "more.csv", 2, "id", "C3", "one_row_per: customer_id")
def _(s):
    s.files["more.csv"] = "id,signup,cancelled,reason,plan,mrr\nC3,2024-01-06,,,Pro,1\n"
    s.settings["sources"]["customers"] = [s.source("customers"), {**s.source("customers"), "file": "more.csv"}]


@stop("two rows of one initiative", "initiatives.csv", 3, "iid", "I1", "one_row_per: initiative_id")
def _(s):
    s.add("initiatives.csv", "I1,Again,2024-07-01,1")


@stop("score above its scale", "responses.csv", 7, "rating", "6", "metrics.csat.scale")
def _(s):
    s.add("responses.csv", "R9,C1,csat,2024-09-01,2024-09-01,6,")


@stop("score below its scale", "responses.csv", 7, "rating", "0", "no_answer:")
def _(s):
    s.add("responses.csv", "R9,C1,csat,2024-09-01,2024-09-01,0,")


@stop("an NPS as answer", "responses.csv", 7, "rating", "-100", "0-10 answers per person")
def _(s):
    s.add("responses.csv", "R9,C1,nps,2024-09-01,2024-09-01,-100,")


@stop("score between two steps", "responses.csv", 7, "rating", "4.5", "single persons")
def _(s):
    s.add("responses.csv", "R9,C1,csat,2024-09-01,2024-09-01,4.5,")


@stop("score in words", "responses.csv", 7, "rating", "very good", "codes:")
def _(s):
    s.add("responses.csv", "R9,C1,csat,2024-09-01,2024-09-01,very good,")


@stop("undeclared metric in the export", "responses.csv", 7, "kind", "ces", "Declared: nps, csat")
def _(s):
    s.add("responses.csv", "R9,C1,ces,2024-09-01,2024-09-01,5,")


@stop("negative weight", "customers.csv", 2, "w", "-1", "Correct it")
def _(s):
    s.change("customers.csv", "mrr\nC1,2024-01-05,,,Basic,10", "mrr,w\nC1,2024-01-05,,,Basic,10,-1")
    s.files["customers.csv"] = "".join(
        line + "\n" if line.count(",") == 6 else line + ",1\n" for line in s.files["customers.csv"].splitlines()
    )
    s.columns("customers")["weight"] = "w"


@stop("neither yes nor no", "customers.csv", 3, "cancelled", "2025-01-15", "codes:")
def _(s):
    del s.columns("customers")["left_on"]
    s.columns("customers")["left"] = {"column": "cancelled", "codes": {"": "no"}}


@stop("attribution share as a percentage", "initiatives.csv", 2, "cost", "5000", "share from 0 to 1")
def _(s):
    s.columns("initiatives")["attribution_share"] = s.columns("initiatives").pop("cost_upfront")


@stop("unknown kind of order", "orders.csv", 2, "oid", "O1", "cross_sell")
def _(s):
    s.columns("orders")["kind"] = "oid"


@stop("join with several matches", "plans.csv", 4, "cust", "C1", "pick: first")
def _(s):
    s.files["plans.csv"] = "cust,tier\nC1,a\nC2,b\nC1,c\n"
    s.source("customers")["join"] = {"file": "plans.csv", "as": "plans", "on": {"id": "cust"}}
    s.columns("customers")["tier"] = "plans.tier"


@stop("join on a column that is not there", "plans.csv", None, "customer", None, "Did you mean 'cust'")
def _(s):
    s.files["plans.csv"] = "cust,tier\nC1,a\n"
    s.source("customers")["join"] = {"file": "plans.csv", "as": "plans", "on": {"id": "customer"}}
    s.columns("customers")["tier"] = "plans.tier"


@stop("join that adds up words", "plans.csv", 3, "tier", "b", "codes:")
def _(s):
    s.files["plans.csv"] = "cust,tier\nC1,1\nC2,b\n"
    s.source("customers")["join"] = {"file": "plans.csv", "as": "plans", "on": {"id": "cust"}, "pick": "sum"}
    s.columns("customers")["monthly_revenue"] = "plans.tier"


@stop("join ordered by words", "plans.csv", 2, "tier", "a", "dates:")
def _(s):
    s.files["plans.csv"] = "cust,tier\nC1,a\nC1,b\n"
    join = {"file": "plans.csv", "as": "plans", "on": {"id": "cust"}, "pick": "first", "by": "tier"}
    s.source("customers")["join"] = join
    s.columns("customers")["tier"] = "plans.tier"


@stop("no match where an id is needed", "orders.csv", 5, "people.code", "", "is_not")
def _(s):
    s.files["people.csv"] = "cid,code\nC1,C1\nC2,C2\n"
    s.source("orders")["join"] = {"file": "people.csv", "as": "people", "on": "cid"}
    s.columns("orders")["customer_id"] = "people.code"


@stop("a wait of a thousand years", "contacts.csv", 2, "opened", None, "unit")
def _(s):
    s.change("contacts.csv", "09:30:00,2024-02-02 12:00:00", "09:30:00,9999999")
    s.columns("contacts")["resolved_at"] = {"column": "solved", "after": "opened_at", "unit": "days"}


STOPS["a wait of a thousand years"] = (*STOPS["a wait of a thousand years"][:3], "solved", "9999999", "unit")


@stop("filter that leaves nobody", "customers.csv", None, None, None, "filters")
def _(s):
    s.source("customers")["filter"] = {"column": "plan", "is": ["Gold"]}


@stop("as_of before everything", "customers.csv", 2, "joined_on", "2024-01-05", "as_of")
def _(s):
    s.settings["as_of"] = "2000-01-01"


@pytest.mark.parametrize("name", STOPS)
def test_stops(small, name):
    spoil, file, row, column, value, remedy = STOPS[name]
    spoil(small)
    table = Path(file).stem if Path(file).stem in SETTINGS["sources"] else "orders"
    small.only(table)
    error = stops(small.open)
    assert Path(str(error.file)).name == file
    assert (error.row, error.column) == (row, column)
    if value is not None:
        assert error.value == value
    assert remedy in error.remedy


def test_how_many_rows_are_wrong_is_said(small):
    small.only("orders")
    small.add("orders.csv", *(f"P{i},C1,2024-07-0{i},free" for i in range(1, 6)))
    error = stops(small.open)
    assert "4 further rows" in error.problem
    assert error.row == 6


# --- the exports: what is set aside ---------------------------------------------------------------------------------

ASIDE = {
    # file, row added, table, reason, column
    "left before joined": ("customers.csv", "C6,2024-05-01,2024-04-30,,Pro,1", "customers", "joined_on"),
    "duplicate response_id": ("responses.csv", "R1,C2,nps,2024-05-01,2024-05-02,1,", "responses", "response_id"),
    "duplicate order_id": ("orders.csv", "O1,C2,2024-05-01,1", "orders", "order_id"),
    "duplicate contact_id": ("contacts.csv", "T1,C1,2024-05-01,,", "contacts", "contact_id"),
    "unknown customer": ("orders.csv", "O9,C99,2024-05-01,1", "orders", "customer_id"),
    "answered before asked": ("responses.csv", "R9,C1,nps,2024-05-02,2024-05-01,1,", "responses", "answered_at"),
    "asked before the customer joined": ("responses.csv", "R9,C1,nps,2024-01-04,,,", "responses", "asked_at"),
    "no date": ("responses.csv", "R9,C1,nps,,,7,", "responses", "asked_at"),
    "ordered before the customer joined": ("orders.csv", "O9,C1,2024-01-04,1", "orders", "ordered_at"),
    "opened before the customer joined": ("contacts.csv", "T9,C1,2024-01-04,,", "contacts", "opened_at"),
    "resolved before opened": ("contacts.csv", "T9,C1,2024-02-04,,2024-02-03", "contacts", "resolved_at"),
    "first response before opened": (
        "contacts.csv",
        "T9,C1,2024-02-04,2024-02-03,",
        "contacts",
        "first_response_at",
    ),
    "first response after resolution": (
        "contacts.csv",
        "T9,C1,2024-02-04,2024-02-06,2024-02-05",
        "contacts",
        "resolved_at",
    ),
    "exposed before the customer joined": ("exposures.csv", "I1,C5,2024-06-05", "exposures", "exposed_on"),
    "unknown initiative": ("exposures.csv", "I9,C5,2024-07-05", "exposures", "initiative_id"),
    "after the as-of date": ("orders.csv", "O9,C1,2025-07-01,1", "orders", "ordered_at"),
    "exact duplicate row": ("orders.csv", "O1,C1,2024-02-01,100", "orders", None),
}


@pytest.mark.parametrize("reason", ASIDE)
def test_is_set_aside_and_counted(small, reason):
    file, row, table, column = ASIDE[reason]
    small.only(table)
    before = small.open().record.set_index("table")
    small.add(file, row)
    company = small.open()
    found = company.set_aside
    assert found[["table", "reason", "rows", "file"]].values.tolist() == [[table, reason, 1, file]]
    assert found["row"].item() == small.files[file].count("\n")
    assert found["remedy"].item()
    if reason != "left before joined":
        assert found["column"].item() == column
    after = company.record.set_index("table")
    assert after.loc[table, "set_aside"] == 1
    assert after.loc[table, "used"] == before.loc[table, "used"]
    assert after.drop(table).equals(before.drop(table))


@pytest.mark.parametrize(
    ("file", "row", "table"),
    [
        ("customers.csv", "C9,2025-07-01,,,Pro,1", "customers"),
        ("responses.csv", "R9,C1,nps,2025-07-01,2025-07-02,9,", "responses"),
        ("contacts.csv", "T9,C1,2025-07-01,,", "contacts"),
        ("initiatives.csv", "I9,Later,2025-07-01,1", "initiatives"),
        ("exposures.csv", "I1,C1,2025-07-01", "exposures"),
    ],
)
def test_nothing_after_the_as_of_date_is_used(small, file, row, table):
    small.only(table)
    small.add(file, row)
    company = small.open()
    assert company.set_aside[["table", "reason", "rows"]].values.tolist() == [[table, "after the as-of date", 1]]
    assert small.open(as_of="2025-12-31").set_aside.empty


def test_rows_of_a_customer_who_is_set_aside(small):
    small.only("responses", "orders")
    small.change("customers.csv", "C2,2024-02-10,2025-01-15", "C2,2024-02-10,2023-01-15")
    aside = small.open().set_aside.set_index(["table", "reason"])["rows"]
    assert aside.to_dict() == {
        ("customers", "left before joined"): 1,
        ("responses", "customer is set aside"): 1,
        ("orders", "customer is set aside"): 2,
    }


def test_a_row_is_set_aside_for_its_first_reason_only_and_the_whole_count_is_noted(small):
    small.only("contacts")
    small.add("contacts.csv", "T8,C5,2024-02-04,2024-02-06,2024-02-05", "T9,C5,2024-07-04,2024-07-06,2024-07-05")
    company = small.open()
    aside = company.set_aside.set_index("reason")["rows"]
    assert aside.to_dict() == {"opened before the customer joined": 1, "first response after resolution": 1}
    noted = company.notes.set_index("check")["rows"]
    assert noted["contacts: first response after resolution"] == 2


# --- company.yaml ---------------------------------------------------------------------------------------------------


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
    "misspelt contract column": (
        put("sources.customers.columns", {"customer_id": "id", "joined_onn": "signup", "plan": "plan"}),
        "sources.customers.columns.joined_onn",
        "Did you mean 'joined_on'",
    ),
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
        put(
            "money",
            {
                "value_is": "margin",
                "gross_margin": 75,
                "discount_rate": 0.1,
                "discount_convention": "effective",
                "horizon_months": 24,
                "first_flow": "now",
            },
        ),
        "money.gross_margin",
        "",
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
    harmless = {("name", -1), ("seed", "\x00")}
    try:
        small.open()
    except InputError as error:
        assert error.remedy
    else:
        # What is left is text where any text may stand.
        assert not isinstance(value, (list, dict)) or (key, value) in harmless


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
        ("[" * 2000, ""),
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


# --- anything at all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes_give_no_other_error(small, seed):
    rng = random.Random(seed)
    which = rng.choice(list(small.files))
    noise = bytes(rng.choice(b'abc,;"\n\r\t\x00\xff0129-') for _ in range(400)) if seed % 2 else rng.randbytes(400)
    small.files[which] = noise
    try:
        small.open()
    except InputError as error:
        assert error.remedy
    else:
        pytest.fail("noise was taken for an export")


@pytest.mark.parametrize("seed", range(6))
def test_random_damage_is_an_error_or_accounted_for(small, seed):
    rng = random.Random(seed)
    for name, text in small.files.items():
        cells = [line.split(",") for line in text.splitlines()]
        for _ in range(2):
            row, column = rng.randrange(1, len(cells)), rng.randrange(len(cells[0]))
            cells[row][column] = rng.choice(["", "0", "-1", "C1", "2024-13-01", "2031-01-01", "1,5", "é", "NULL"])
        small.files[name] = "\n".join(",".join(f'"{c}"' for c in line) for line in cells) + "\n"
    try:
        record = small.open().record
    except InputError as error:
        assert error.remedy
        assert error.file is not None
    else:
        assert (record["rows_read"] == record["used"] + record["merged"] + record["set_aside"]).all()


# --- frames ---------------------------------------------------------------------------------------------------------

FRAME_SETTINGS = {k: v for k, v in SETTINGS.items() if k not in ("sources", "segments")}


def test_frames_are_checked_like_files():
    customers = pd.DataFrame({"customer_id": ["a", "b"], "joined_on": ["2024-01-01", "2024-13-01"]})
    error = stops(lambda: Company.from_frames(FRAME_SETTINGS, {"customers": customers}))
    assert (error.file, error.row, error.column, error.value) == ("customers", 3, "joined_on", "2024-13-01")


@pytest.mark.parametrize(
    "frames",
    [
        {"customer": pd.DataFrame({"customer_id": ["a"]})},
        {},
        {"customers": pd.DataFrame({"customer_id": []})},
        {"customers": pd.DataFrame([["a", "b"]], columns=["customer_id", "customer_id"])},
        {"customers": pd.DataFrame({"id": ["a"]})},
        {"customers": pd.DataFrame({"customer_id": ["a", None]})},
    ],
    ids=["no such table", "none", "empty", "two columns of one name", "no id", "empty id"],
)
def test_frames_that_are_no_company(frames):
    stops(lambda: Company.from_frames(FRAME_SETTINGS, frames))
