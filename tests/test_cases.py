"""Exports of other programs, read in place with the company.yaml that a person would write; each says what is right."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from small_company import adds_up, stops

from cxlib import open_company
from cxlib.intake.company import Company
from cxlib.scores import support

CASES = Path(__file__).resolve().parents[2] / "shared" / "review" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the project")
SHOP = {"relationship": "noncontractual", "inactive_after_days": 180}


@pytest.fixture
def case(tmp_path):
    """Opens the files of a case with these settings and sources."""

    def opened(number: int, sources: dict, **settings: object) -> Company:
        (folder,) = CASES.glob(f"{number}-*")
        given = {"name": "A case", "as_of": "2024-06-30", "relationship": "contractual", "folder": str(folder)}
        (tmp_path / "company.yaml").write_text(yaml.safe_dump(given | settings | {"sources": sources}))
        company = open_company(tmp_path)
        adds_up(company)
        return company

    return opened


WORKBOOK = {
    "file": "customers.xlsx",
    "columns": {"customer_id": "Customer ID", "joined_on": "Joined", "left_on": "Cancelled", "plan": "Plan"},
}


def test_12_formulas_that_were_never_calculated_stop(case):
    error = stops(lambda: case(12, {"customers": WORKBOOK}))
    assert "no stored value" in error.problem
    assert (error.row, error.column) == (2, "Cancelled")
    assert error.value.startswith("=IF(")
    assert "save it" in error.remedy


def test_14_a_first_reply_after_half_an_hour_is_half_an_hour_in_two_zones(case):
    contacts = {"contact_id": "tid", "customer_id": "cid", "opened_at": "opened"}
    contacts |= {"first_response_at": "first", "resolved_at": "solved"}
    company = case(
        14,
        {
            "customers": {"file": "customers.csv", "columns": {"customer_id": "id", "joined_on": "joined"}},
            "contacts": {"file": "tickets.csv", "columns": contacts},
        },
    )
    waits = company.frame("contacts")
    assert ((waits["first_response_at"] - waits["opened_at"]) == pd.Timedelta(hours=0.5)).all()
    assert ((waits["resolved_at"] - waits["opened_at"]) == pd.Timedelta(hours=2)).all()
    assert waits["opened_at"].iloc[0] == pd.Timestamp("2024-01-10 10:00")  # the day as written, there
    headline = support.times(company).headline
    assert "first reply: 0.500 hours" in headline
    assert "closing: 2 hours" in headline
    assert "time zones" in company.notes.set_index("check").loc["times with zones", "detail"]


def test_25_unix_seconds_and_cents(case):
    columns = {"customer_id": "customer", "joined_on": "created", "left_on": "ended_at"}
    columns |= {"monthly_revenue": {"column": "plan_amount", "unit": "cents"}}
    source = {"file": "stripe_subscriptions.csv", "columns": columns}
    error = stops(lambda: case(25, {"customers": source}, currency="USD"))
    assert (error.column, error.value) == ("created", "1672733700")
    assert "write dates: unix." in error.remedy
    customers = case(25, {"customers": source | {"dates": "unix"}}, currency="USD").frame("customers")
    assert (len(customers), customers["left_on"].notna().sum()) == (80, 20)
    assert customers.loc[0, "joined_on"] == pd.Timestamp("2023-01-03")
    assert customers.loc[0, "left_on"] == pd.Timestamp("2024-04-01")
    assert set(customers["monthly_revenue"]) == {29}


def test_27_the_header_stands_below_a_title(case):
    error = stops(lambda: case(27, {"customers": WORKBOOK}))
    assert "header_row:" in error.remedy
    customers = case(27, {"customers": WORKBOOK | {"header_row": 4}}).frame("customers")
    assert len(customers) == 40
    assert customers["customer_id"].tolist()[:2] == ["C000", "C001"]


PEOPLE = {"file": "customers.csv", "columns": {"customer_id": "id", "joined_on": "joined"}}
PAID = {"order_id": "oid", "customer_id": "cid", "ordered_at": "day", "revenue": "amount"}


def test_29_a_minus_behind_the_number_is_a_minus(case):
    orders = {"file": "orders.csv", "decimal": ",", "thousands": ".", "columns": PAID}
    revenue = case(29, {"customers": PEOPLE, "orders": orders}, **SHOP, currency="EUR").frame("orders")["revenue"]
    assert revenue.tolist() == [1234.56, 200, -1234.56, -50]
    assert revenue.sum() == 150


def test_31_quotes_behind_a_backslash(case):
    source = {"file": "customers.csv", "columns": {**PEOPLE["columns"], "plan": "plan", "note": "note"}}
    customers = case(31, {"customers": source}).frame("customers")
    assert len(customers) == 40
    assert set(customers["note"]) == {'He said "hi", then left'}


def test_33_the_lines_of_an_order_less_its_refund(case):
    columns = {"order_id": "Name", "customer_id": "Email", "ordered_at": "Created at"}
    orders = {
        "file": "orders_export_1.csv",
        "repeats": "sum",
        "columns": columns | {"revenue": {"column": "Total", "minus": "Refunded Amount"}},
    }
    customers = {"sql": "select distinct Email from orders", "columns": {"customer_id": "Email"}}
    given = SHOP | {"currency": "USD", "exports": {"orders": "orders_export_1.csv"}}
    company = case(33, {"customers": customers, "orders": orders}, **given | {"as_of": "2024-07-31"})
    found = company.frame("orders")
    assert (len(found), found["revenue"].sum(), found["customer_id"].nunique()) == (139, 7237, 70)
    assert company.set_aside.empty
    assert company.record.set_index("table").loc["orders", "merged"] == 278 - 139
    assert len(case(33, {"customers": customers, "orders": orders}, **given).frame("orders")) == 136


def test_36_amounts_in_two_currencies_are_not_added_up(case):
    columns = {"order_id": "order_id", "customer_id": "customer_id", "ordered_at": "order_date", "revenue": "total"}
    sources = {
        "customers": {"file": "customers.csv", "columns": {"customer_id": "customer_id", "joined_on": "joined"}},
        "orders": {"file": "orders.csv", "columns": columns},
    }
    error = stops(lambda: case(36, sources, **SHOP, currency="EUR"))
    assert (error.column, error.value) == ("currency", "EUR, JPY")
    sources["orders"]["columns"] = columns | {"currency": "currency"}
    assert "exchange rate" in stops(lambda: case(36, sources, **SHOP, currency="EUR")).problem
    company = case(36, sources, **SHOP, currency="EUR", exchange_rates={"JPY": 0.006})
    assert company.frame("orders")["revenue"].sum() == pytest.approx(60 * 100 + 60 * 90)
