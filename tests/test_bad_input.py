"""Every kind of bad input stops with one error that says where and what to do, or is set aside and counted."""

from __future__ import annotations

import random
import sys
import time
from itertools import pairwise
from pathlib import Path
from unittest.mock import ANY

import pandas as pd
import pytest
from small_company import SETTINGS, Small, adds_up, stops

from cxlib import cli
from cxlib.errors import InputError
from cxlib.intake import reading
from cxlib.intake.company import Company


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


# --- the exports: what stops ------------------------------------------------------------------------------------------

# name: (file, the row added at its end, column, value, a word of the remedy)
ADDED = {
    "row with too many fields": ("orders", "O9,C1,2024-02-01,100,extra,more", None, None, ""),
    "row with too few fields": ("orders", "O9,C1", "day", None, ""),
    "no date": ("orders", "O9,C1,yesterday,100", "day", "yesterday", "dates:"),
    "day first, not declared": ("orders", "O9,C1,25/12/2024,1", "day", "25/12/2024", 'dates: "%d/%m/%Y"'),
    "day or month first": ("orders", "O9,C1,03/04/2024,1", "day", "03/04/2024", "only the owner of the export knows"),
    "a day that does not exist": ("orders", "O9,C1,2024-02-30,100", "day", "2024-02-30", "ISO dates"),
    "a year 0024": ("orders", "O9,C1,0024-02-01,100", "day", "0024-02-01", "blank:"),
    "a year 9999": ("customers", "C6,2024-01-01,9999-12-31,,Pro,1", "cancelled", "9999-12-31", "blank:"),
    "empty required date": ("orders", "O9,C1,,100", "day", "", "sql: select * from ... where \"day\" <> ''"),
    "no number": ("orders", "O9,C1,2024-07-01,free", "amount", "free", "codes:"),
    "thousands not declared": ("orders", 'O9,C1,2024-07-01,"1,234.50"', "amount", "1,234.50", 'thousands: ","'),
    "decimal comma not declared": (
        "orders",
        'O9,C1,2024-07-01,"1.234,50"',
        "amount",
        "1.234,50",
        'decimal: "," and thousands: "."',
    ),
    "a number with its unit": ("orders", "O9,C1,2024-07-01,12 pcs.", "amount", "12 pcs.", "Correct the value"),
    "an infinite number": ("orders", "O9,C1,2024-07-01,1e999", "amount", "1e999", "Correct the value"),
    "empty required number": ("orders", "O9,C1,2024-07-01,NA", "amount", "", "sql:"),
    "empty customer id": ("customers", ",2024-01-01,,,Pro,1", "id", "", "sql:"),
    "anonymous answer": ("responses", "R9,  ,nps,2024-09-01,2024-09-01,9,", "cid", "", "sql:"),
    "two rows of one customer": ("customers", "C1,2024-01-06,,,Pro,1", "id", "C1", "repeats: span"),
    "the same but for a space": ("customers", "C1 ,2024-01-06,,,Pro,1", "id", "C1", "select distinct on"),
    "two rows of one initiative": ("initiatives", "I1,Again,2024-07-01,1", "iid", "I1", "select distinct on"),
    "negative cost": ("initiatives", "I2,Again,2024-07-01,-1", "cost", "-1", "Correct it"),
    "score above its scale": ("responses", "R9,C1,csat,2024-09-01,,6,", "rating", "6", "metrics.csat.scale"),
    "score below its scale": ("responses", "R9,C1,csat,2024-09-01,,0,", "rating", "0", "no_answer:"),
    "an NPS as answer": ("responses", "R9,C1,nps,2024-09-01,,-100,", "rating", "-100", "0-10 answers per person"),
    "score between two steps": ("responses", "R9,C1,csat,2024-09-01,,4.7,", "rating", "4.7", "individual answers"),
    "half a point of NPS": ("responses", "R9,C1,nps,2024-09-01,,4.5,", "rating", "4.5", "individual answers"),
    "score in words": ("responses", "R9,C1,csat,2024-09-01,,very good,", "rating", "very good", "codes:"),
    "undeclared metric": ("responses", "R9,C1,ces,2024-09-01,,5,", "kind", "ces", "Declared: nps, csat"),
}


@pytest.mark.parametrize("name", ADDED)
def test_a_bad_row_stops_with_its_place_and_the_remedy(small, name):
    table, row, column, value, remedy = ADDED[name]
    small.only(table)
    small.add(f"{table}.csv", row)
    error = stops(small.open)
    assert Path(str(error.file)).name == f"{table}.csv"
    assert (error.row, error.column) == (small.files[f"{table}.csv"].count("\n"), column)
    assert error.value == (value if value is not None else error.value)
    assert remedy in error.remedy


def called(s: Small, name: str, content: str | bytes) -> None:
    """Give the orders another file."""
    s.files[name] = content
    s.source("orders")["file"] = name


def two_exports(s: Small) -> None:
    s.files["more.csv"] = "id,signup,cancelled,reason,plan,mrr\nC3,2024-01-06,,,Pro,1\n"
    s.settings["sources"]["customers"] = [s.source("customers"), {**s.source("customers"), "file": "more.csv"}]


def long_wait(s: Small) -> None:
    s.change("contacts.csv", "2024-02-02 12:00:00", "9999999")
    s.columns("contacts")["resolved_at"] = {"column": "solved", "after": "opened_at", "unit": "days"}


PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
# name: (how to spoil the company, file, row, column, value, a word of the remedy)
SPOILT = {
    "missing file": (lambda s: s.files.pop("orders.csv"), "orders.csv", None, None, None, "folder has"),
    "empty file": (lambda s: called(s, "a.csv", ""), "a.csv", None, None, None, "Export it again"),
    "header only": (lambda s: called(s, "a.csv", "oid,cid,day,amount\n"), "a.csv", None, None, None, "with its rows"),
    "header twice": (lambda s: s.change("orders.csv", "day,amount", "day,day"), "orders.csv", 1, "day", None, ""),
    "unreadable kind of file": (lambda s: called(s, "a.pdf", "%PDF"), "a.pdf", None, None, None, ".csv"),
    "a picture called .csv": (lambda s: called(s, "a.csv", PICTURE), "a.csv", ANY, ANY, None, ""),
    "a text called .xlsx": (lambda s: called(s, "a.xlsx", "oid,cid\n"), "a.xlsx", None, None, None, "Save it again"),
    "a text called .parquet": (lambda s: called(s, "a.parquet", "oid"), "a.parquet", None, None, None, "Export it"),
    "column not in the export": (
        lambda s: s.columns("orders").update(revenue="amout"),
        "orders.csv",
        None,
        "amout",
        None,
        "Did you mean 'amount'",
    ),
    "wrong delimiter": (lambda s: s.source("orders").update(delimiter=";"), "orders.csv", None, "oid", None, "oid,cid"),
    "not in the declared pattern": (
        lambda s: s.source("orders").update(dates="%d.%m.%Y"),
        "orders.csv",
        2,
        "day",
        "2024-02-01",
        "ISO (leave `dates` out)",
    ),
    "one customer in two exports": (two_exports, "more.csv", 2, "id", "C3", "select distinct on"),
    "a pattern that fits no file": (
        lambda s: s.source("orders").update(file="order?_*.csv"),
        "order?_*.csv",
        None,
        None,
        None,
        "orders.csv",
    ),
    "negative weight": (
        lambda s: (
            (s.columns("orders").pop("revenue"), s.columns("customers").update(weight="mrr"))
            and s.change("customers.csv", "Basic,10", "Basic,-1")
        ),
        "customers.csv",
        2,
        "mrr",
        "-1",
        "Correct it",
    ),
    "neither yes nor no": (
        lambda s: s.columns("customers").update(left={"column": "cancelled", "codes": {"": "no"}}),
        "customers.csv",
        3,
        "cancelled",
        "2025-01-15",
        "codes:",
    ),
    "share as a percentage": (
        lambda s: s.columns("initiatives").update(attribution_share="cost"),
        "initiatives.csv",
        2,
        "cost",
        "5000",
        "share from 0 to 1",
    ),
    "unknown kind of order": (
        lambda s: s.columns("orders").update(kind="oid"),
        "orders.csv",
        2,
        "oid",
        "O1",
        "cross_sell",
    ),
    "a wait of a thousand years": (long_wait, "contacts.csv", 2, "solved", "9999999", "unit"),
    "no customer is known": (
        lambda s: s.files.update({"orders.csv": "oid,cid,day,amount\nO1,c-1,2024-07-01,1\nO2,c-2,2024-07-01,1\n"}),
        "orders.csv",
        2,
        "customer_id",
        "c-1",
        "Add the customer",
    ),
    "as_of before everything": (
        lambda s: s.settings.update(as_of="2000-01-01"),
        "customers.csv",
        2,
        "joined_on",
        "2024-01-05",
        "as_of",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_bad_export_stops_with_its_place_and_the_remedy(small, name):
    spoil, file, row, column, value, remedy = SPOILT[name]
    spoil(small)
    table = Path(file).stem
    small.only(table if table in SETTINGS["sources"] else "orders")
    error = stops(small.open)
    assert Path(str(error.file)).name == file
    assert (error.row, error.column) == (row, column)
    assert error.value == (value if value is not None else error.value)
    assert remedy in error.remedy


def test_how_many_rows_are_wrong_is_said(small):
    small.only("orders")
    small.add("orders.csv", *(f"P{i},C1,2024-07-0{i},free" for i in range(1, 6)))
    error = stops(small.open)
    assert "4 further rows" in error.problem
    assert error.row == 6


def test_every_wrong_export_is_told_at_once(small):
    small.only("orders", "contacts", "responses")
    small.add("orders.csv", "O8,C1,2024-07-01,free", "O9,C1,soon,1")
    small.add("responses.csv", "R9,C1,csat,2024-09-01,,6,")
    error = stops(small.open)
    assert [(e.file, e.row, e.column) for e in [error, *error.others]] == [
        ("responses.csv", 7, "rating"),
        ("orders.csv", 6, "amount"),
        ("orders.csv", 7, "day"),
    ]
    small.columns("contacts")["topic"] = "subject"
    small.columns("orders")["margin"] = "profit"
    error = stops(small.open)
    assert [(e.file, e.column) for e in [error, *error.others]] == [
        ("orders.csv", "profit"),
        ("contacts.csv", "subject"),
    ]
    small.files |= {"orders.csv": "", "contacts.csv": "a,a\n1,2\n"}
    error = stops(small.open)
    assert [Path(str(e.file)).name for e in [error, *error.others]] == ["orders.csv", "contacts.csv"]


def test_a_file_that_changes_while_it_is_read(small, monkeypatch):
    small.only("orders")
    loaded = reading.load

    def grows(engine, paths, **how):
        made = loaded(engine, paths, **how)
        with open(small.folder / "orders.csv", "a") as file:
            file.write("O9,C1,2024-07-01,1\n")
        return made

    monkeypatch.setattr(reading, "load", grows)
    error = stops(small.open)
    assert (error.file, "changed while it was read" in error.problem) == ("orders.csv", True)


def test_a_file_that_may_not_be_read_ends_the_shell_with_2(small, monkeypatch, capsys):
    def denied(path, *mode):
        if str(path).endswith("orders.csv"):
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, *mode)

    monkeypatch.setattr(reading, "open", denied, raising=False)
    monkeypatch.setattr(sys, "argv", ["cxlib", "check", str(small.write())])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (end.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "cannot be read: Permission denied" in said.err
    assert "orders.csv" in said.err


def test_aliases_that_grow_without_end_are_refused_at_once(small):
    small.yaml = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi")
    )
    start = time.process_time()
    assert "*a is an alias" in stops(small.open).problem
    assert time.process_time() - start < 1


# --- the exports: what is set aside ---------------------------------------------------------------------------------

# reason: (table, the row added, column, value)
ASIDE = {
    "left before joined": ("customers", "C6,2024-05-01,2024-04-30,,Pro,1", "left_on", "2024-04-30"),
    "duplicate response_id": ("responses", "R1,C1,nps,2024-02-01,2024-02-02,1,", "response_id", "R1"),
    "answered before asked": ("responses", "R7,C1,nps,2024-05-02,2024-05-01,1,", "answered_at", "2024-05-01 00:00:00"),
    "asked before the customer joined": ("responses", "R8,C1,nps,2024-01-04,,,", "asked_at", "2024-01-04 00:00:00"),
    "no date": ("responses", "R9,C1,nps,,,7,", "asked_at", None),
    "duplicate order_id": ("orders", "O1,C1,2024-01-20,1", "order_id", "O1"),
    "unknown customer": ("orders", "O6,C99,2024-05-01,1", "customer_id", "C99"),
    "ordered before the customer joined": ("orders", "O7,C1,2024-01-04,1", "ordered_at", "2024-01-04 00:00:00"),
    "after the as-of date": ("orders", "O8,C1,2025-07-01,1", "ordered_at", "2025-07-01 00:00:00"),
    "exact duplicate row": ("orders", "O1,C1,2024-02-01,100", None, None),
    "duplicate contact_id": ("contacts", "T1,C1,2024-01-20,,", "contact_id", "T1"),
    "opened before the customer joined": ("contacts", "T6,C1,2024-01-04,,", "opened_at", "2024-01-04 00:00:00"),
    "resolved before opened": ("contacts", "T7,C1,2024-02-04,,2024-02-03", "resolved_at", "2024-02-03 00:00:00"),
    "first response before opened": (
        "contacts",
        "T8,C1,2024-02-04,2024-02-03,",
        "first_response_at",
        "2024-02-03 00:00:00",
    ),
    "first response after resolution": (
        "contacts",
        "T9,C1,2024-02-04,2024-02-06,2024-02-05",
        "resolved_at",
        "2024-02-05 00:00:00",
    ),
    "exposed before the customer joined": ("exposures", "I1,C5,2024-06-05", "exposed_on", "2024-06-05"),
    "unknown initiative": ("exposures", "I9,C5,2024-07-05", "initiative_id", "I9"),
}


def test_what_cannot_be_true_is_set_aside_and_counted(small):
    used = small.open().record.set_index("table")["used"]
    places = {}
    for reason, (table, row, column, value) in ASIDE.items():
        small.add(f"{table}.csv", row)
        places[table, reason] = [1, f"{table}.csv", small.files[f"{table}.csv"].count("\n"), column, value]
    company = small.open()
    adds_up(company)
    found = company.set_aside.set_index(["table", "reason"])
    shown = found[["rows", "file", "row", "column", "value"]].astype(object).where(lambda f: f.notna(), None)
    assert {key: [*line] for key, line in zip(shown.index, shown.values, strict=True)} == places
    assert found["remedy"].str.len().min() > 5
    assert found["money"].dropna().to_dict() == {  # what the rows would have been worth
        ("customers", "left before joined"): 1,
        ("orders", "exact duplicate row"): 100,
        **{("orders", r): 1 for r, line in ASIDE.items() if line[0] == "orders" and "exact" not in r},
    }
    assert company.record.set_index("table")["used"].equals(used)


def test_nothing_after_the_as_of_date_is_used(small):
    small.only("responses", "contacts", "exposures")
    small.add("customers.csv", "C9,2025-07-01,,,Pro,1")
    small.add("responses.csv", "R9,C1,nps,2025-07-01,2025-07-02,9,")
    small.add("contacts.csv", "T9,C1,2025-07-01,,")
    small.add("exposures.csv", "I1,C1,2025-07-01")
    found = small.open().set_aside
    assert sorted(found["table"]) == ["contacts", "customers", "exposures", "responses"]
    assert (found["rows"].tolist(), set(found["reason"])) == ([1] * 4, {"after the as-of date"})
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


# --- anything at all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes_give_no_other_error(small, seed):
    rng = random.Random(seed)
    which = rng.choice(list(small.files))
    small.only(Path(which).stem)
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
