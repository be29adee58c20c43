"""What company.yaml can say of an export: formats, codes, durations, joins, filters, one row per id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_company import Small, adds_up, stops


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


@pytest.mark.parametrize(
    ("how", "written", "number"),
    [
        ({}, "1234.5", 1234.5),
        ({}, "-.5", -0.5),
        ({}, "+1e3", 1000),
        ({"thousands": ","}, "1,234,567.25", 1234567.25),
        ({"decimal": ",", "thousands": "."}, "1.234,50", 1234.5),
        ({"decimal": ","}, "12,5", 12.5),
        ({"decimal": ",", "thousands": " "}, "1\u202f234,5", 1234.5),
        ({"thousands": "'"}, "12'345", 12345),
    ],
)
def test_numbers_as_the_export_writes_them(small, how, written, number):
    small.only("orders")
    small.source("orders").update(how)
    small.files["orders.csv"] = f'oid,cid,day,amount\nO1,C1,2024-07-01,"{written}"\n'
    assert small.open().frame("orders")["revenue"].tolist() == [number]


@pytest.mark.parametrize("code", ["0", "6", "11", "-99", "Blank", "n/a"])
def test_a_declared_code_for_no_answer_is_no_answer_and_is_not_averaged(small, code):
    small.only("responses")
    small.columns("responses")["score"] = {"column": "rating", "no_answer": [code]}
    small.add("responses.csv", f"R9,C5,csat,2024-09-01,,{code},")
    given = small.open().frame("responses").set_index("response_id")["score"]
    assert np.isnan(given["R9"])
    assert given[["R4", "R5"]].tolist() == [4, 5]


def test_one_date_later_than_another_becomes_yes_or_no(small):
    small.only("orders")
    small.files["orders.csv"] = (
        "oid,cid,day,amount,due,came\n"
        "O1,C1,2024-07-01,1,2024-07-05,2024-07-05\n"
        "O2,C1,2024-07-01,1,2024-07-05,2024-07-05 08:00\n"
        "O3,C1,2024-07-01,1,2024-07-05,\n"
    )
    small.columns("orders")["late"] = {"column": "came", "later_than": "due"}
    late = small.open().frame("orders").set_index("order_id")["late"]
    assert (late["O1"], late["O2"]) == ("no", "yes")
    assert pd.isna(late["O3"])
    small.change("orders.csv", "2024-07-05,2024-07-05\n", "soon,2024-07-05\n")
    error = stops(small.open)
    assert (error.row, error.column, error.value) == (2, "due", "soon")


@pytest.mark.parametrize(
    ("dates", "written", "moment"),
    [
        (None, "2024-07-31", "2024-07-31"),
        (None, "2024-07-31 17:05", "2024-07-31 17:05"),
        (None, "2024-07-31T17:05:47Z", "2024-07-31 17:05:47"),
        (None, "2024-07-31T17:05:47.250+02:00", "2024-07-31 17:05:47.250"),  # the time as written, there
        ("%d/%m/%Y", "31/07/2024", "2024-07-31"),
        ("%d/%m/%Y", "3/7/2024", "2024-07-03"),
        ("%d.%m.%y %H:%M", "31.07.24 17:05", "2024-07-31 17:05"),
        ("%b %d, %Y", "Jul 31, 2024", "2024-07-31"),
        ("%m/%d/%Y %I:%M %p", "07/31/2024 05:05 PM", "2024-07-31 17:05"),
        (["%Y-%m-%d", "%d/%m/%Y"], "31/07/2024", "2024-07-31"),
    ],
)
def test_dates_as_the_export_writes_them(small, dates, written, moment):
    small.only("orders")
    if dates:
        small.source("orders")["dates"] = dates
    small.files["orders.csv"] = f'oid,cid,day,amount\nO1,C1,"{written}",1\n'
    assert small.open().frame("orders")["ordered_at"].tolist() == [pd.Timestamp(moment)]


def test_a_column_may_have_its_own_format(small):
    small.only("orders")
    small.columns("orders")["ordered_at"] = {"column": "day", "dates": "%d/%m/%Y"}
    small.columns("orders")["revenue"] = {"column": "amount", "decimal": ","}
    small.files["orders.csv"] = 'oid,cid,day,amount\nO1,C1,31/07/2024,"1,5"\n'
    assert small.open().frame("orders")[["ordered_at", "revenue"]].values.tolist() == [
        [pd.Timestamp("2024-07-31"), 1.5]
    ]


def test_codes_blanks_values_and_otherwise(small):
    small.only("responses")
    small.source("responses")["blank"] = ["", "-", "missing"]
    small.columns("responses").update(
        {
            "score": {"column": "rating", "codes": {"top": 10}, "no_answer": ["-99", "refused"]},
            "channel": {"value": "e-mail"},
            "touchpoint": {"column": "text", "codes": {"good": "shop"}, "otherwise": "elsewhere"},
            "weight": {"column": "text", "codes": {"good": 2.5, "": "0"}, "otherwise": 1},
        }
    )
    small.files["responses.csv"] = (
        "rid,cid,kind,sent,answered,rating,text\n"
        "R1,C1,NPS,2024-09-01,2024-09-02,top,good\n"
        "R2,C1,nps,2024-09-02,,-99.0,bad\n"
        "R3,C1,nps,2024-09-03,missing,refused, - \n"
        "R4,C1,nps,2024-09-04,2024-09-05, 7 ,bad\n"
    )
    frame = small.open().frame("responses")
    assert frame["score"].tolist() == pytest.approx([10, np.nan, np.nan, 7], nan_ok=True)
    assert frame["touchpoint"].tolist() == ["shop", "elsewhere", None, "elsewhere"]
    assert frame["weight"].tolist() == [2.5, 1, 0, 1]
    assert frame["metric"].unique().tolist() == ["nps"]
    assert set(frame["channel"]) == {"e-mail"}


def test_words_of_yaml_stay_what_they_are(small):
    # on, yes, no and TRUE are truth values in YAML 1.1; in an export they are texts.
    small.yaml = (
        "name: A\nas_of: 2025-06-30\nrelationship: contractual\nsources:\n  customers:\n    file: customers.csv\n"
        "    join: {file: more.csv, as: more, on: id}\n    filter: {column: more.trial, is: [TRUE]}\n"
        "    columns:\n      customer_id: id\n      left: {column: more.state, codes: {off: yes, on: no}}\n"
    )
    small.files["more.csv"] = "id,trial,state\nC1,TRUE,on\nC2,FALSE,on\nC3,TRUE,off\n"
    frame = small.open().frame("customers")
    assert frame["customer_id"].tolist() == ["C1", "C3"]
    assert frame["left"].tolist() == [False, True]


def test_durations_after_a_moment(small):
    small.only("contacts")
    small.files["contacts.csv"] = "tid,cid,opened,wait,hours\nT1,C1,2024-02-01 09:00:00,30,1.5\nT2,C1,2024-02-02,,48\n"
    small.columns("contacts").update(
        {
            "first_response_at": {"column": "wait", "after": "opened_at", "unit": "minutes"},
            "resolved_at": {"column": "hours", "after": "opened_at", "unit": "hours"},
        }
    )
    frame = small.open().frame("contacts")
    assert frame["first_response_at"].tolist() == [pd.Timestamp("2024-02-01 09:30"), pd.NaT]
    assert frame["resolved_at"].tolist() == [pd.Timestamp("2024-02-01 10:30"), pd.Timestamp("2024-02-04")]


EVENTS = "event,account,day,fee\nE1,C1,2025-03-01,5\nE2,C1,2024-12-01,7\nE3,C2,2025-01-01,\nE4,C9,2025-01-01,1\n"


@pytest.mark.parametrize(
    ("join", "column", "expected"),
    [
        ({"pick": "first", "by": "day"}, "event", ["E2", "E3", None]),
        ({"pick": "last", "by": "day"}, "event", ["E1", "E3", None]),
        ({"pick": "last", "by": "fee"}, "event", ["E2", "E3", None]),
        ({"pick": "one", "filter": {"column": "fee", "is_not": ["7", ""]}}, "event", ["E1", None, None]),
    ],
)
def test_joins_pick_one_row(small, join, column, expected):
    small.files["events.csv"] = EVENTS
    small.only("customers")
    small.source("customers")["join"] = {"file": "events.csv", "as": "ev", "on": {"id": "account"}, **join}
    small.columns("customers")["what"] = f"ev.{column}"
    company = small.open()
    assert company.frame("customers")["what"].tolist()[:3] == expected
    assert company.record[["rows_read", "used"]].values.tolist() == [[5, 5]]


def test_joins_add_up_and_chain(small):
    small.files["events.csv"] = EVENTS
    small.files["plans.csv"] = "tier,label\nBasic,small\nPro,large\n"
    small.only("customers")
    small.source("customers")["join"] = [
        {"file": "events.csv", "as": "ev", "on": {"id": "account"}, "pick": "sum"},
        {"file": "plans.csv", "as": "plans", "on": {"plan": "tier"}},
        {"file": "plans.csv", "as": "again", "on": {"plans.label": "label"}},
    ]
    small.columns("customers").update({"monthly_revenue": "ev.fee", "size": "plans.label", "tier": "again.tier"})
    frame = small.open().frame("customers")
    assert frame["monthly_revenue"].tolist()[:3] == pytest.approx([12, np.nan, np.nan], nan_ok=True)
    assert frame["size"].tolist() == ["small", "large", "small", "large", "small"]
    assert frame["tier"].tolist() == ["Basic", "Pro", "Basic", "Pro", "Basic"]


@pytest.mark.parametrize(
    ("rule", "plan"),
    [
        ("customer_id", "old"),
        ({"column": "customer_id", "pick": "last"}, "new"),
        ({"column": "customer_id", "pick": "first", "by": "since"}, "new"),
        ({"column": "customer_id", "pick": "last", "by": "since"}, "old"),
    ],
)
def test_one_row_per_customer(small, rule, plan):
    small.only("customers")
    small.files["customers.csv"] = (
        "id,since,plan,trial\nA,2024-02-01,old,no\nB,2024-01-01,x,no\nA,2024-01-01,new,no\nT,,,yes\n"
    )
    small.settings["sources"]["customers"] = {
        "file": "customers.csv",
        "filter": [{"column": "trial", "is_not": "yes"}],
        "one_row_per": rule,
        "columns": {"customer_id": "id", "plan": "plan"},
    }
    company = small.open()
    adds_up(company)
    assert company.frame("customers").set_index("customer_id")["plan"].to_dict() == {"A": plan, "B": "x"}
    assert company.record["merged"].item() == 2
    assert company.record["reason"].item() == "1 left out by filter; 1 merged by one_row_per: customer_id"


def test_several_exports_of_one_table_are_laid_under_one_another(small):
    small.only("responses")
    small.files["wave2.csv"] = "who,points,shop\nC1,8,north\nC2,2,south\n"
    second = {
        "file": "wave2.csv",
        "columns": {
            "response_id": {"row_number": "W2-"},
            "customer_id": "who",
            "metric": {"value": "nps"},
            "score": "points",
            "shop": "shop",
        },
    }
    small.settings["sources"]["responses"] = [small.source("responses"), second]
    company = small.open()
    adds_up(company)
    frame = company.frame("responses")
    assert frame["response_id"].tolist() == ["R1", "R2", "R3", "R4", "R5", "W2-2", "W2-3"]
    assert frame["shop"].tolist() == [None] * 5 + ["north", "south"]
    assert frame["asked_at"].isna().sum() == 2  # the second wave has no dates at all, which is no fault of its rows


def test_ids_from_row_numbers_and_repeated_rows(small):
    small.only("responses")
    small.columns("responses")["response_id"] = {"row_number": "R"}
    small.add("responses.csv", "R5,C5,csat,2024-08-01,2024-08-01,5,fine")
    company = small.open()
    assert company.set_aside[["reason", "rows", "row"]].values.tolist() == [["exact duplicate row", 1, 7]]
    assert company.frame("responses")["response_id"].tolist() == ["R2", "R3", "R4", "R5", "R6"]
