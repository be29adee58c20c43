"""What company.yaml can say of an export: formats, labels, codes, durations, currencies, repeated ids, selects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_company import Small, adds_up, stops


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def orders_of(small: Small, *parts: tuple[dict, list[str]]) -> None:
    """Make orders of several exports: each with its keys, and the cells of the column that it is about."""
    small.only("orders")
    sources = []
    for i, (how, cells) in enumerate(parts):
        keys = {k: v for k, v in how.items() if k != "columns"}
        about = "day" if "dates" in how else "amount"
        columns = {"order_id": "oid", "customer_id": "cid", "ordered_at": "day", "revenue": "amount"}
        rest = {"day": "2024-07-01", "amount": "1"}
        lines = [["oid", "cid", "day", "amount"]]
        for j, cell in enumerate(cells):
            lines.append([f"{i}-{j}", "C1", *(cell if c == about else rest[c] for c in ("day", "amount"))])
        small.files[f"o{i}.csv"] = "".join(",".join(f'"{c}"' for c in line) + "\n" for line in lines)
        sources.append({"file": f"o{i}.csv", **keys, "columns": columns | how.get("columns", {})})
    small.settings["sources"]["orders"] = sources


def test_several_questions_of_one_row_are_as_many_answers(small):
    small.only("responses")
    small.files["survey.csv"] = "who,day,q1,q2,why\nC1,2024-07-01,9,4,fine\nC2,2024-07-02,,2,\n"
    columns = {"customer_id": "who", "asked_at": "day", "comment": "why"}
    scores = {"nps": "q1", "csat": {"column": "q2", "no_answer": ["2"]}}
    small.settings["sources"]["responses"] = {"file": "survey.csv", "scores": scores, "columns": columns}
    company = small.open()
    adds_up(company)
    found = company.frame("responses")
    assert found[["customer_id", "metric", "score", "comment"]].astype(object).replace(
        np.nan, None
    ).values.tolist() == [
        ["C1", "nps", 9, "fine"],
        ["C2", "nps", None, None],
        ["C1", "csat", 4, None],
        ["C2", "csat", None, None],
    ]
    columns["score"] = "q1"
    assert "Name each question once" in stops(small.open).remedy
    del columns["score"], small.settings["sources"]["responses"]
    small.source("customers")["scores"] = scores
    assert "Answers stand under responses" in stops(small.open).remedy


def test_the_questions_of_one_response_share_its_id(small):
    small.only("responses")
    small.add("responses.csv", "R1,C1,csat,2024-03-01,2024-03-02,4,", "R1,C1,nps,2024-03-01,2024-03-03,8,")
    company = small.open()
    adds_up(company)
    assert company.set_aside[["reason", "rows"]].values.tolist() == [["duplicate response_id", 1]]
    of = company.frame("responses").set_index(["response_id", "metric"])["score"]
    assert (of["R1", "nps"], of["R1", "csat"]) == (8, 4)  # the latest of each question
    small.files["survey.csv"] = "id,who,day,q1,q2\nS1,C1,2024-07-01,9,4\nS2,C2,2024-07-02,7,2\n"
    columns = {"response_id": "id", "customer_id": "who", "asked_at": "day"}
    one = {"file": "survey.csv", "columns": columns, "scores": {"nps": "q1", "csat": "q2"}}
    two = [
        {"file": "survey.csv", "columns": columns | {"metric": {"value": m}, "score": q}}
        for m, q in {"nps": "q1", "csat": "q2"}.items()
    ]
    for sources in (one, two):
        small.settings["sources"]["responses"] = sources
        company = small.open()
        assert company.set_aside.empty
        assert sorted(company.frame("responses")["response_id"]) == ["S1", "S1", "S2", "S2"]


def test_columns_that_have_our_names_are_a_list(small):
    small.only("orders")
    sql = "select oid as order_id, cid as customer_id, day as ordered_at, amount as revenue from o"
    small.settings["exports"] = {"o": "orders.csv"}
    before = small.open().frame("orders")
    names = ["order_id", "customer_id", "ordered_at", "revenue"]
    small.settings["sources"]["orders"] = {"sql": sql, "columns": names}
    pd.testing.assert_frame_equal(small.open().frame("orders")[names], before[names])
    small.source("orders")["columns"] = [*names[:3], ["revenue"]]
    assert "sources.orders.columns" in stops(small.open).problem


# --- numbers and money ----------------------------------------------------------------------------------------------


def test_numbers_as_the_export_writes_them(small):
    cases = [
        ({}, ["1234.5", "-.5", "+1e3", "7."], [1234.5, -0.5, 1000, 7]),
        ({"thousands": ","}, ["1,234,567.25", "12"], [1234567.25, 12]),
        ({"decimal": ",", "thousands": "."}, ["1.234,50", "12,5", "1.234,5-", "(1,5)"], [1234.5, 12.5, -1234.5, -1.5]),
        ({"decimal": ",", "thousands": " "}, ["1\u202f234,5", "1 234", "1\u00a0234,5 €"], [1234.5, 1234, 1234.5]),
        ({"thousands": "'"}, ["12'345", "EUR 12'345.60-", "(EUR 1)"], [12345, -12345.6, -1]),
        ({}, ["12-", "(12)", "(12.50)", "- 12", "\u221212", "12\u2212"], [-12, -12, -12.5, -12, -12, -12]),
        ({}, ["€12", "€ 12", "12€", "12 €", "-€12", "€-12", "(€12)", "(12 €)", "€ (12)"], [12] * 4 + [-12] * 5),
        ({"columns": {"revenue": {"column": "amount", "unit": "cents"}}}, ["2900", "-5", "12-"], [29, -0.05, -0.12]),
    ]  # fmt: skip
    orders_of(small, *((how, cells) for how, cells, _ in cases))
    company = small.open()
    adds_up(company)
    assert company.frame("orders")["revenue"].tolist() == [n for _, _, numbers in cases for n in numbers]


@pytest.mark.parametrize(
    ("cells", "value", "remedy"),
    [
        (["€1", "5", "$2"], "$, €", "exchange_rates:"),
        (["1", "(USD 2)"], "USD", "Give amounts in EUR"),
        (["1", "-£ 2"], "£", "Give amounts in EUR"),
    ],
)
def test_amounts_with_signs_of_other_currencies_are_refused(small, cells, value, remedy):
    orders_of(small, ({}, cells))
    error = stops(small.open)
    assert (error.file, error.column, error.value) == ("o0.csv", "amount", value)
    assert remedy in error.remedy


def test_a_word_is_no_currency(small):
    orders_of(small, ({}, ["1", "FREE"]))
    error = stops(small.open)
    assert (error.row, error.value, "not a number" in error.problem) == (3, "FREE", True)


LINES = (
    "oid,cid,day,price,items,refund\nO1,C1,2024-07-01,2.50,4,\nO2,C1,2024-07-02,10,1,2.50-\nO3,C2,2024-07-03,8,3,(4)\n"
)


def test_an_amount_times_a_second_column_less_a_third(small):
    small.only("orders")
    small.files["orders.csv"] = LINES
    small.columns("orders")["revenue"] = {"column": "price", "times": "items", "minus": "refund"}
    assert small.open().frame("orders")["revenue"].tolist() == [10, 12.5, 28]


@pytest.mark.parametrize(
    ("old", "new", "row", "column", "value"),
    [
        ("2.50,4", "2.50,four", 2, "items", "four"),
        ("2.50,4", "2.50,", 2, "items", ""),
        ("8,3", ",3", 4, "price", ""),
        ("2.50-", "some", 3, "refund", "some"),
    ],
)
def test_a_fault_in_one_of_the_columns_of_an_amount_names_that_column(small, old, new, row, column, value):
    small.only("orders")
    small.files["orders.csv"] = LINES
    small.columns("orders")["revenue"] = {"column": "price", "times": "items", "minus": "refund"}
    small.change("orders.csv", old, new)
    error = stops(small.open)
    assert (error.row, error.column, error.value or "") == (row, column, value)


MIXED = """oid,cid,day,amount,CurrencyIsoCode
O1,C1,2024-07-01,10,EUR
O2,C1,2024-07-02,1500,jpy
O3,C2,2024-07-03,(200),JPY
"""


def test_amounts_in_several_currencies_are_converted_or_refused(small):
    small.only("orders")
    small.files["orders.csv"] = MIXED
    error = stops(small.open)
    assert (error.column, error.value) == ("CurrencyIsoCode", "EUR, JPY")
    assert "currency: CurrencyIsoCode" in error.remedy
    small.columns("orders")["currency"] = "CurrencyIsoCode"
    error = stops(small.open)
    assert (error.row, error.column, error.value) == (3, "CurrencyIsoCode", "jpy")
    assert "exchange_rates" in error.remedy
    small.settings["exchange_rates"] = {"JPY": 0.006}
    assert small.open().frame("orders")["revenue"].tolist() == pytest.approx([10, 9, -1.2])


def test_a_column_of_the_companys_own_currency_needs_no_word(small):
    small.only("orders")
    small.files["orders.csv"] = MIXED.replace("jpy", "EUR").replace("JPY", " eur ")
    assert small.open().frame("orders")["revenue"].tolist() == [10, 1500, -200]
    small.settings["currency"] = "GBP"
    assert stops(small.open).value == "EUR"


# --- scores ---------------------------------------------------------------------------------------------------------

LABELS = {
    "10 = Extremely likely": 10,
    "0 = Not at all likely": 0,
    "10 - sehr wahrscheinlich": 10,
    "7 – likely": 7,
    "5: Excellent": 5,
    "5. Excellent": 5,
    "(5) Excellent": 5,
    "5) Excellent": 5,
    "Extremely likely (10)": 10,
    "Very satisfied - 5": 5,
    "Satisfied-4": 4,
    "Good [4]": 4,
    "Rating: 4": 4,
    "NPS 9": 9,
    "4/5": 4,
    "9 / 10": 9,
    "4 out of 5": 4,
    "Rated 4 of 5 stars": 4,
    "8 von 10 Punkten": 8,
    "4 stars": 4,
    "4 ★": 4,
    "★★★★☆": 4,
    "⭐⭐⭐": 3,
    "★★★★★ (5)": 5,
    "9+": 9,
    "6.0": 6,
    " 8 ": 8,
    "8": 8,
}


def test_the_one_number_in_a_label_is_the_score(small):
    small.only("responses")
    rows = "".join(f'L{i},C1,nps,2024-09-01,,"{label}",\n' for i, label in enumerate(LABELS))
    small.files["responses.csv"] = "rid,cid,kind,sent,answered,rating,text\n" + rows
    found = small.open().frame("responses")["score"].tolist()
    assert dict(zip(LABELS, found, strict=True)) == LABELS


def test_a_label_that_holds_no_number_or_two_is_an_error_that_lists_them_all(small):
    small.only("responses")
    unread = ["Promoter (9-10)", "very good", "3, 4 or 5", "refused -1", "4,7 stars", "★★★½"]
    rows = "".join(f'L{i},C1,nps,2024-09-01,,"{label}",\n' for i, label in enumerate(["10 = top", *unread]))
    small.files["responses.csv"] = "rid,cid,kind,sent,answered,rating,text\n" + rows
    error = stops(small.open)
    assert (error.row, error.column, error.value) == (3, "rating", unread[0])
    assert "5 further rows" in error.problem
    assert all(f"{label}: ..." in error.remedy for label in unread)


def test_a_number_below_zero_beside_labels_is_no_score(small):
    small.only("responses")
    small.columns("responses")["score"] = {"column": "rating", "decimal": ","}
    small.add(
        "responses.csv",
        'R8,C5,csat,2024-09-01,,"4,5",',
        "R9,C5,csat,2024-09-01,,-1,",
        "RX,C5,csat,2024-09-01,,5 = top,",
    )
    error = stops(small.open)
    assert (error.row, error.value, "outside its declared scale" in error.problem) == (8, "-1", True)
    small.columns("responses")["score"]["no_answer"] = [-1]
    assert small.open().frame("responses")["score"].tolist()[-3:] == pytest.approx([4.5, np.nan, 5], nan_ok=True)


def test_a_declared_code_for_no_answer_is_no_answer_and_is_not_averaged(small):
    small.only("responses")
    codes = ["0", "6", "11", "-99", "Blank", "n/a"]
    small.columns("responses")["score"] = {"column": "rating", "no_answer": codes}
    small.add("responses.csv", *(f"N{i},C5,csat,2024-09-01,,{code}," for i, code in enumerate([*codes, "-99.0"])))
    given = small.open().frame("responses").set_index("response_id")["score"]
    assert given[[f"N{i}" for i in range(7)]].isna().all()
    assert given[["R4", "R5"]].tolist() == [4, 5]


def test_a_question_that_was_never_put_is_counted_and_is_no_question(small):
    small.only("responses")
    small.columns("responses")["score"] = {
        "column": "rating",
        "not_asked": ["Not offered", -7],
        "no_answer": ["Offered"],
    }
    small.add(
        "responses.csv",
        "N1,C5,csat,2024-09-01,,Not offered,",
        "N2,C5,csat,2024-09-01,,-7.0,",
        "N3,C5,csat,2024-09-01,,Offered,",
        "N4,C5,csat,2024-09-01,,,",
    )
    company = small.open()
    adds_up(company)
    assert company.set_aside[["reason", "rows", "column", "value"]].values.tolist() == [
        ["never asked", 2, "score", None]
    ]
    scores = company.frame("responses")["score"]
    assert (len(scores), scores.notna().sum()) == (7, 4)  # of 7 questions 4 were answered, and not of 9
    small.columns("responses")["score"]["not_asked"].append("")
    assert small.open().frame("responses")["score"].notna().tolist() == [True, True, True, True, False]


def test_codes_blanks_and_values(small):
    small.only("responses")
    small.source("responses")["blank"] = ["", "-", "missing"]
    small.columns("responses").update(
        {
            "score": {"column": "rating", "codes": {"top": 10}, "no_answer": ["-99", "refused"]},
            "channel": {"value": "e-mail"},
            "touchpoint": {"column": "text", "codes": {"good": "shop"}},
            "weight": {"column": "text", "codes": {"good": 2.5, "bad": 1, "": "0"}},
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
    assert frame["touchpoint"].tolist() == ["shop", "bad", None, "bad"]
    assert frame["weight"].tolist() == [2.5, 1, 0, 1]
    assert frame["metric"].unique().tolist() == ["nps"]
    assert set(frame["channel"]) == {"e-mail"}


def test_yes_and_no_as_exports_write_them(small):
    small.only("customers")
    written = ["1", "1.0", "Y", "true", "yes", "0", "0.0", "n", "FALSE", "No"]
    rows = "".join(f"C{i},2024-01-05,{w}\n" for i, w in enumerate(written))
    small.files["customers.csv"] = f"id,signup,gone\n{rows}"
    small.source("customers")["columns"] = {"customer_id": "id", "joined_on": "signup", "left": "gone"}
    small.settings["segments"] = []
    assert small.open().frame("customers")["left"].tolist() == [True] * 5 + [False] * 5


def test_words_of_yaml_stay_what_they_are(small):
    # on, yes, no and TRUE are truth values in YAML 1.1; in an export they are texts.
    small.yaml = (
        "name: A\nas_of: 2025-06-30\nrelationship: contractual\nsources:\n  customers:\n    file: more.csv\n"
        "    columns:\n      customer_id: id\n      trial: {column: trial, codes: {TRUE: on, FALSE: 0123}}\n"
        "      left: {column: state, codes: {off: yes, on: no}}\n"
    )
    small.files["more.csv"] = "id,trial,state\nC1,TRUE,on\nC2,FALSE,on\nC3,TRUE,off\n"
    frame = small.open().frame("customers")
    assert frame["trial"].tolist() == ["on", "0123", "on"]
    assert frame["left"].tolist() == [False, False, True]


def test_spaces_that_nobody_sees_around_ids_and_blanks_are_no_part_of_them(small):
    small.only("responses")
    small.files["customers.csv"] = (
        small.files["customers.csv"].replace("\nC2,", "\n\u00a0C2\u200b,").replace("\nid", "\nid")
    )
    small.change("responses.csv", "R1,C1,", "R1,\u2060C1\ufeff,")
    small.change("responses.csv", "R2,C2,", "R2,C2\u00a0 ,")
    small.change("responses.csv", "R3,C3,nps,2024-04-01,,,", "R3,C3,nps,2024-04-01,\u00a0,\u200bN/A ,")
    company = small.open()
    assert company.set_aside.empty
    assert company.frame("responses")["customer_id"].tolist() == ["C1", "C2", "C3", "C4", "C5"]
    assert company.frame("responses")["score"].isna().tolist() == [False, False, True, False, False]


# --- dates and times ------------------------------------------------------------------------------------------------


def test_dates_as_the_export_writes_them(small):
    iso = {
        "2024-07-31": "2024-07-31",
        "2024-07-31 17:05": "2024-07-31 17:05",
        "2024-07-31T17:05:47Z": "2024-07-31 17:05:47",
        "2024-07-31T17:05:47.250+02:00": "2024-07-31 17:05:47.250",  # the time as written, there
        "2024-07-31 17:05:47 -0500": "2024-07-31 17:05:47",
        "2024-07-31 17:05:47 UTC": "2024-07-31 17:05:47",
    }
    cases = [
        ("%d/%m/%Y", {"31/07/2024": "2024-07-31", "3/7/2024": "2024-07-03"}),
        ("%d.%m.%y %H:%M", {"31.07.24 17:05": "2024-07-31 17:05", "31.07.24 17:05 CEST": "2024-07-31 17:05"}),
        ("%b %d, %Y", {"Jul 31, 2024": "2024-07-31"}),
        ("%m/%d/%Y %I:%M %p", {"07/31/2024 05:05 PM": "2024-07-31 17:05"}),
        ("%Y/%m/%d %I:%M:%S %p", {"2024/07/31 5:05:47 PM GMT+1": "2024-07-31 17:05:47"}),
        (["%Y-%m-%d", "%d/%m/%Y"], {"31/07/2024": "2024-07-31"}),
        ("%Y-%m-%d %H:%M:%S -0500", {"2024-07-31 17:05:47 -0500": "2024-07-31 17:05:47"}),
        ("unix", {"1722445547": "2024-07-31 17:05:47"}),
        ("unix_ms", {"1722445547000": "2024-07-31 17:05:47", "1722445546999.6": "2024-07-31 17:05:47"}),
        ("serial", {"45504": "2024-07-31", "45504.7123": "2024-07-31 17:05:43"}),
        (["unix", "%d.%m.%Y"], {"1722445547": "2024-07-31 17:05:47", "31.07.2024": "2024-07-31"}),
    ]
    orders_of(small, ({"dates": ["%Y-%m-%d"]}, ["2024-07-31"]), *(({"dates": d}, [*c]) for d, c in cases))
    small.settings["sources"]["orders"][0].pop("dates")
    small.files["o0.csv"] = "oid,cid,day,amount\n" + "".join(f"0-{i},C1,{stamp},1\n" for i, stamp in enumerate(iso))
    expected = [*iso.values(), *(m for _, c in cases for m in c.values())]
    assert small.open().frame("orders")["ordered_at"].tolist() == [pd.Timestamp(m) for m in expected]


@pytest.mark.parametrize(
    ("dates", "value", "remedy"),
    [
        (None, "1722445547", "write dates: unix."),
        (None, "1722445547000", "write dates: unix_ms."),
        (None, "45504", "write dates: serial."),
        ("unix_ms", "1722445547", "write dates: unix."),
        ("unix", "1722445547000", "write dates: unix_ms."),
        ("unix", "1e300", "Correct the value"),
    ],
)
def test_the_clock_of_a_number_is_named(small, dates, value, remedy):
    orders_of(small, ({"dates": dates or "%Y"}, [value]))
    if dates is None:
        small.settings["sources"]["orders"][0].pop("dates")
    error = stops(small.open)
    assert (error.row, error.column, error.value) == (2, "day", value)
    assert remedy in error.remedy


def test_a_column_may_have_its_own_format(small):
    small.only("orders")
    small.columns("orders")["ordered_at"] = {"column": "day", "dates": "%d/%m/%Y"}
    small.columns("orders")["revenue"] = {"column": "amount", "decimal": ","}
    small.files["orders.csv"] = 'oid,cid,day,amount\nO1,C1,31/07/2024,"1,5"\n'
    assert small.open().frame("orders")[["ordered_at", "revenue"]].values.tolist() == [
        [pd.Timestamp("2024-07-31"), 1.5]
    ]


def test_durations_after_a_moment(small):
    small.only("contacts")
    small.files["contacts.csv"] = (
        "tid,cid,opened,wait,hours,again\n"
        "T1,C1,2024-02-01 09:00:00,30,1.5,0:30:15\nT2,C1,2024-02-02,,48,49:00:00\nT3,C1,2024-02-03,00:45:00,1:00:00,\n"
    )
    small.columns("contacts").update(
        {
            "first_response_at": {"column": "wait", "after": "opened_at", "unit": "minutes"},
            "resolved_at": {"column": "hours", "after": "opened_at", "unit": "hours"},
            "reopened_at": {"column": "again", "after": "opened_at", "unit": "hh:mm:ss"},
        }
    )
    frame = small.open().frame("contacts")
    at = pd.Timestamp
    assert frame["first_response_at"].tolist() == [at("2024-02-01 09:30"), pd.NaT, at("2024-02-03 00:45")]
    assert frame["resolved_at"].tolist() == [at("2024-02-01 10:30"), at("2024-02-04"), at("2024-02-03 01:00")]
    assert frame["reopened_at"].tolist() == [at("2024-02-01 09:30:15"), at("2024-02-04 01:00"), pd.NaT]
    small.change("contacts.csv", "0:30:15", "0:30")
    error = stops(small.open)
    assert (error.row, error.column, error.value) == (2, "again", "0:30")


def test_stamps_of_different_zones_are_put_on_one_clock(small):
    small.only("contacts")
    small.files["contacts.csv"] = (
        "tid,cid,opened,replied,solved\n"
        "T1,C1,2024-02-01T10:00:00-05:00,2024-02-01T15:30:00Z,2024-02-01 18:00:00 CET\n"
        "T2,C1,2024-02-01T23:30:00-05:00,2024-02-02T05:00:00Z,2024-02-02T12:00:00+0530\n"
        "T3,C1,2024-02-01T10:00:00Z,,2024-02-01T09:30:00-00:45\n"
        "T4,C1,2024-02-01T10:00:00Z,2024-02-01T10:30:00Z,2024-02-01 11:00:00 GMT-1 (Azores)\n"
    )
    frame = small.open().frame("contacts")
    hours = [(frame[c] - frame["opened_at"]).dt.total_seconds() / 3600 for c in ("first_response_at", "resolved_at")]
    assert hours[0].tolist() == pytest.approx([0.5, 0.5, np.nan, 0.5], nan_ok=True)
    assert hours[1].tolist() == [2, 2, 0.25, 2]
    assert frame["opened_at"].dt.day.tolist() == [1, 1, 1, 1]  # the day as written, there


# --- ids, and several rows of one id --------------------------------------------------------------------------------


def test_without_ids_file_and_row_are_the_id_and_repeated_rows_are_set_aside(small):
    small.only("responses")
    del small.columns("responses")["response_id"]
    small.add("responses.csv", "R5,C5,csat,2024-08-01,2024-08-01,5,fine", "R6,C5,csat,2024-08-01,2024-08-01,5,fine")
    company = small.open()
    adds_up(company)
    assert company.frame("responses")["response_id"].tolist() == [f"0-{i}" for i in (2, 3, 4, 5, 6, 7, 8)]
    small.columns("responses")["response_id"] = "rid"
    assert small.open().set_aside[["reason", "rows", "row"]].values.tolist() == [["exact duplicate row", 1, 7]]


def test_an_empty_id_is_no_second_order(small):
    small.only("orders")
    small.add("orders.csv", ",C1,2024-07-01,1", ",C2,2024-07-02,2")
    error = stops(small.open)
    assert (error.row, error.column) == (6, "oid")
    assert "1 further row" in error.problem


SHOPIFY = """Name,Email,Total,Refunded Amount,Created at,Lineitem price
#1,C1,21.00,1.00,2024-07-01,10.50
#1,C1,,,2024-07-01,10.50
#2,C2,5.00,0.00,2024-07-02,5.00
#1,C1,,,2024-07-03,0
"""


@pytest.fixture
def lines(small) -> Small:
    small.only("orders")
    small.files["orders.csv"] = SHOPIFY
    small.source("orders").update(
        repeats="sum",
        columns={
            "order_id": "Name",
            "customer_id": "Email",
            "ordered_at": "Created at",
            "revenue": {"column": "Total", "minus": "Refunded Amount"},
        },
    )
    return small


def test_the_lines_of_an_order_are_added_up(lines):
    company = lines.open()
    adds_up(company)
    assert company.frame("orders")[["order_id", "revenue"]].values.tolist() == [["#1", 20], ["#2", 5]]
    assert company.frame("orders")["ordered_at"].dt.day.tolist() == [1, 2]  # of the first line
    record = company.record.set_index("table").loc["orders"]
    assert (record["rows_read"], record["merged"], record["used"]) == (4, 2, 2)
    lines.columns("orders").update(revenue="Lineitem price", margin="Lineitem price")
    assert lines.open().frame("orders")[["revenue", "margin"]].values.tolist() == [[21, 21], [5, 5]]


@pytest.mark.parametrize(
    ("old", "new", "row", "column", "problem"),
    [
        ("#1,C1,,,2024-07-03,0", "#1,C2,,,2024-07-03,0", 5, "Email", "name several customers"),
        ("#1,C1,,,2024-07-03,0", "#1,C1,free,,2024-07-03,0", 5, "Total", "not a number"),
        ("#2,C2,5.00", "#2,C2,", 4, "Total", "revenue is empty"),
    ],
)
def test_lines_that_cannot_be_added_up(lines, old, new, row, column, problem):
    lines.change("orders.csv", old, new)
    error = stops(lines.open)
    assert (error.row, error.column) == (row, column)
    assert problem in error.problem


def test_each_line_of_an_order_is_converted(lines):
    lines.settings["exchange_rates"] = {"USD": 0.5}
    lines.files["orders.csv"] = SHOPIFY.replace("price\n", "price,Currency\n").replace("0\n", "0,USD\n")
    lines.columns("orders")["currency"] = "Currency"
    assert lines.open().frame("orders")["revenue"].tolist() == [10, 2.5]
    lines.change("orders.csv", "#1,C1,,,2024-07-03,0,USD", "#1,C1,3,,2024-07-03,0,EUR")
    assert lines.open().frame("orders")["revenue"].tolist() == [13, 2.5]
    lines.change("orders.csv", "0,EUR", "0,CHF")
    error = stops(lines.open)
    assert (error.row, error.column, error.value) == (5, "Currency", "CHF")


CONTRACTS = """account,start,end,why,fee,plan
A,2024-03-01,2024-09-30,price,10,Basic
A,2024-10-01,,,15,Pro
A,2024-05-01,,,5,Extra
B,2024-02-01,2024-05-31,price,10,Basic
B,2023-02-01,2024-01-31,service,8,Mini
C,2024-01-01,2024-03-31,price,7,Basic
C,2025-01-01,,,9,Pro
D,2025-02-01,2025-12-31,late,4,Pro
"""


@pytest.fixture
def contracts(small) -> Small:
    small.only("customers")
    small.files["customers.csv"] = CONTRACTS
    columns = {"customer_id": "account", "joined_on": "start", "left_on": "end", "left_reason": "why"}
    columns |= {"monthly_revenue": "fee", "plan": "plan"}
    small.source("customers").update(repeats="span", columns=columns)
    return small


def spans(company) -> dict[str, list]:
    frame = company.frame("customers").astype({"joined_on": str, "left_on": str}).set_index("customer_id")
    columns = ["joined_on", "left_on", "left_reason", "monthly_revenue", "plan"]
    return {
        i: [None if v in ("NaT", None) else v for v in row]
        for i, row in zip(frame.index, frame[columns].values, strict=True)
    }


def test_several_contracts_of_a_customer_are_one_span(contracts):
    company = contracts.open()
    adds_up(company)
    assert spans(company) == {
        "A": ["2024-03-01", None, None, 20, "Pro"],  # two run, 15 and 5; the latest is Pro
        "B": ["2023-02-01", "2024-05-31", "price", 10, "Basic"],
        "C": ["2024-01-01", None, None, 9, "Pro"],
        "D": ["2025-02-01", None, None, 4, "Pro"],  # ends after the as-of date
    }
    assert company.record["merged"].item() == 4


def test_of_contracts_that_start_later_nothing_is_known(contracts):
    company = contracts.open(as_of="2024-07-31")
    adds_up(company)
    assert spans(company) == {
        "A": ["2024-03-01", None, None, 15, "Extra"],  # Basic has not ended, Pro has not begun
        "B": ["2023-02-01", "2024-05-31", "price", 10, "Basic"],
        "C": ["2024-01-01", "2024-03-31", "price", 7, "Basic"],
    }
    assert company.set_aside[["reason", "rows"]].values.tolist() == [["after the as-of date", 1]]


def test_without_repeats_a_second_contract_stops_and_says_so(contracts):
    contracts.source("customers").pop("repeats")
    error = stops(contracts.open)
    assert "repeats: span" in error.remedy


# --- several exports, and selects over them -------------------------------------------------------------------------


def test_several_exports_of_one_table_are_laid_under_one_another(small):
    small.files["wave2.csv"] = "customer;day;points;shop\nC1;01.09.2024;9;north\nC9;02.09.2024;1;south\nC3;;8;south\n"
    small.only("responses")
    second = {
        "file": "wave2.csv",
        "delimiter": ";",
        "columns": {"customer_id": "customer", "metric": {"value": "nps"}, "score": "points", "shop": "shop"},
    }
    small.settings["sources"]["responses"] = [small.source("responses"), second]
    company = small.open()
    adds_up(company)
    frame = company.frame("responses")
    assert frame["response_id"].tolist() == ["R1", "R2", "R3", "R4", "R5", "1-2", "1-4"]
    assert frame["shop"].tolist() == [None] * 5 + ["north", "south"]
    assert frame["asked_at"].isna().sum() == 2  # the second wave has no dates at all, which is no fault of its rows
    assert company.set_aside[["file", "row", "reason"]].values.tolist() == [["wave2.csv", 3, "unknown customer"]]


def test_files_of_a_pattern_are_one_export_and_keep_their_rows_apart(small):
    small.only("orders")
    head, *rows = small.files.pop("orders.csv").splitlines(keepends=True)
    small.files["orders_2.csv"] = head + rows[2] + rows[3]
    small.files["orders_1.csv"] = head + rows[0] + rows[1]
    small.source("orders")["file"] = "orders_*.csv"
    small.add("orders_2.csv", "O9,C99,2024-07-01,1")
    company = small.open()
    adds_up(company)
    assert company.frame("orders")["order_id"].tolist() == ["O1", "O2", "O3", "O4"]
    assert company.set_aside[["file", "row", "value"]].values.tolist() == [["orders_2.csv", 4, "C99"]]
    assert company.inputs["file"].tolist() == ["company.yaml", "customers.csv", "orders_1.csv", "orders_2.csv"]
    small.change("orders_2.csv", "O4,C5,2024-07-01", "O4,C5,soon")
    error = stops(small.open)
    assert (error.file, error.row, error.column, error.value) == ("orders_2.csv", 3, "day", "soon")


def test_a_select_joins_picks_and_adds_up(small):
    small.files["events.csv"] = (
        "event,account,day,fee\nE1,C1,2025-03-01,5\nE2,C1,2024-12-01,7\nE3,C2,2025-01-01,\nE4,C9,2025-01-01,1\n"
    )
    small.files["plans_1.csv"] = "tier;label\nBasic;small\n"
    small.files["plans_2.csv"] = "tier;label\nPro;large\n"
    small.only("customers")
    small.settings["exports"] = {
        "people": "customers.csv",
        "events": {"file": "events.csv"},
        "plans": {"file": "plans_*.csv", "delimiter": ";"},
    }
    source = small.source("customers")
    del source["file"]
    source["sql"] = """
        select p.*, label, sum(nullif(fee, '')::double) as paid, arg_max(event, day) as latest -- a remark; and no end
        from people p left join events on account = id left join PLANS on tier = plan
        where plan <> 'Gold' group by all;
    """
    source["columns"].update({"monthly_revenue": "paid", "size": "label", "what": "latest"})
    company = small.open()
    adds_up(company)
    frame = company.frame("customers").set_index("customer_id")
    assert frame["monthly_revenue"].tolist()[:3] == pytest.approx([12, np.nan, np.nan], nan_ok=True)
    assert frame["what"].tolist() == ["E1", "E3", None, None, None]
    assert frame["size"].tolist() == ["small", "large", "small", "large", "small"]
    assert company.record[["file", "rows_read", "used"]].values.tolist() == [["sql", 5, 5]]
    assert len(company.inputs) == 5


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("select * from '/etc/passwd'", "does not exist"),
        ("select * from read_csv('customers.csv')", "cannot be run: Permission"),
        ("select * from read_text('/etc/passwd')", "cannot be run: Permission"),
        ("select * from glob('/*')", "cannot be run: Permission"),
        ("select * from 'https://example.org/a.parquet'", "cannot be run: Permission"),
        ("select * from customers", "Table with name customers does not exist"),
        ("select * from people; select 1", "is not one select"),
        ("insert into people values (1)", "is not one select"),
        ("attach 'other.db'", "is not one select"),
        ("set enable_external_access = true", "is not one select"),
        ("copy people to 'out.csv'", "is not one select"),
        ("install httpfs", "is not one select"),
        ("", "needs exactly one of"),
        ("select nothing from people", "nothing"),
        ("select from", "cannot be run: Parser"),
        ("select * from people where false", "gives no rows"),
        ("select * from (delete from people returning *)", "cannot be run"),
        ("select id::int as id, signup from people", "Could not convert string 'C1'"),
    ],
)
def test_a_select_sees_the_declared_exports_and_nothing_else(small, sql, problem):
    small.only("customers")
    small.settings["exports"] = {"people": "customers.csv"}
    small.settings["segments"] = []
    small.settings["sources"]["customers"] = {"sql": sql, "columns": {"customer_id": "id", "joined_on": "signup"}}
    error = stops(small.open)
    assert error.file == "company.yaml"
    assert problem in error.problem
    assert "people" in error.remedy or sql == ""
    assert "\n" not in str(error)
