"""From exports to six typed tables: three real companies, every mapping of company.yaml, and the record of all rows."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import ibis.backends.duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_company import SETTINGS, Small, adds_up, stops

import cxlib
from cxlib import open_company
from cxlib.errors import InputError
from cxlib.intake import checks, oddities
from cxlib.intake.company import Company

COMPANIES = Path(__file__).parent / "companies"
SHARED = COMPANIES.parents[2] / "shared" / "data"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared exports are not beside the project")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


@pytest.fixture(scope="module")
def as_it_is(tmp_path_factory) -> Small:
    """The small company for tests that do not change its files."""
    return Small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def whole(as_it_is) -> Company:
    return as_it_is.open()


# --- three real companies -------------------------------------------------------------------------------------------


@real
def test_garden_centres_nps_over_every_valid_answer():
    company = open_company(COMPANIES / "nps_fr")
    adds_up(company)
    assert company.record["used"].tolist() == [13_954] * 4
    assert company.set_aside.empty
    scores = company.frame("responses").query("metric == 'nps'")["score"].dropna()
    counts = [(scores >= 9).sum(), scores.between(7, 8).sum(), (scores <= 6).sum()]
    assert counts == [8_465, 3_953, 1_194]
    assert 100 * (counts[0] - counts[2]) / len(scores) == pytest.approx(53.42, abs=0.005)
    assert company.responses.asked_at.count().execute() == 0
    assert company.frame("responses")["comment"].str.contains("très", na=False).any()


@real
def test_marketplace_weighted_mean_of_all_reviews():
    company = open_company(COMPANIES / "olist")
    adds_up(company)
    record = company.record.set_index("table")
    assert record["used"].to_dict() == {"customers": 8_016, "orders": 8_135, "responses": 8_225}
    reviews = company.frame("responses")
    assert reviews["score"].mean() == pytest.approx(3.2716, abs=5e-5)
    assert np.average(reviews["score"], weights=reviews["weight"]) == pytest.approx(4.0671, abs=5e-5)
    assert (company.frame("orders").groupby("customer_id").size() > 1).sum() == 73
    payments = pd.read_csv(SHARED / "olist" / "olist_order_payments_dataset.csv")["payment_value"]
    assert company.orders.revenue.sum().execute() == pytest.approx(payments.sum())


@real
def test_software_company_impossible_tickets_and_two_kinds_of_churn():
    company = open_company(COMPANIES / "ravenstack")
    adds_up(company)
    aside = company.set_aside.query("table == 'contacts'").set_index("reason")["rows"]
    assert aside.to_dict() == {"opened before the customer joined": 1_077, "first response after resolution": 18}
    notes = company.notes.set_index("check")
    assert notes.loc["contacts: first response after resolution", "rows"] == 36
    two = notes.loc["two definitions of churn disagree"]
    assert two["rows"] == (352 - 75) + (110 - 75)
    for number in ("352 ", "110 ", "75 are both", "113 neither"):
        assert number in two["detail"]
    raw = pd.read_csv(SHARED / "ravenstack" / "ravenstack_subscriptions.csv")
    open_ones = raw[raw["end_date"].isna()].groupby("account_id")["mrr_amount"].sum()
    got = company.frame("customers").set_index("customer_id")["monthly_revenue"]
    assert got.dropna().to_dict() == open_ones.to_dict()


# --- the tables -----------------------------------------------------------------------------------------------------


def test_tables_have_the_columns_and_types_of_the_contract(whole):
    company = whole
    adds_up(company)
    kinds = {c: str(t) for c, t in company.customers.schema().items()}
    assert kinds == {
        "customer_id": "string",
        "joined_on": "date",
        "left_on": "date",
        "left_reason": "string",
        "monthly_revenue": "float64",
        "contract_ends_on": "date",
        "weight": "float64",
        "left": "boolean",
        "tenure": "float64",
        "currency": "string",
        "plan": "string",
        "fold": "int64",
    }
    assert str(company.responses.schema()["asked_at"]).startswith("timestamp")
    assert company.frame("exposures")["arm"].tolist() == ["treated", "treated"]
    assert company.frame("customers")["monthly_revenue"].tolist() == [10, 20.5, 10, 30, 0]
    assert company.frame("customers")["left_on"].dropna().tolist() == [
        pd.Timestamp("2025-01-15"),
        pd.Timestamp("2025-03-01"),
    ]
    assert company.frame("contacts")["cost"].isna().all()
    for table in ("responses", "orders", "contacts", "exposures"):
        assert "fold" in getattr(company, table).columns
    assert "fold" not in company.initiatives.columns


def test_frames_keep_the_order_of_the_export(small):
    small.files["customers.csv"] = "id,plan\n" + "".join(f"C{i * 7919 % 5000},x\n" for i in range(5000))
    small.only("customers")
    small.source("customers")["columns"] = {"customer_id": "id", "plan": "plan"}
    ids = small.open().frame("customers")["customer_id"]
    assert ids.tolist() == [f"C{i * 7919 % 5000}" for i in range(5000)]


def test_has_and_none_for_what_is_not_declared(small):
    small.only("customers", "responses")
    company = small.open()
    assert company.has("responses")
    assert company.has("responses", "asked_at")
    assert not company.has("responses", "agent")
    assert not company.has("orders")
    assert company.orders is None
    with pytest.raises(InputError, match="has no orders"):
        company.frame("orders")
    with pytest.raises(ValueError, match="No table"):
        company.has("order")


def test_fold_is_the_first_byte_of_the_md5_of_the_id_in_every_table(whole):
    for table in ("customers", "responses", "orders", "contacts", "exposures"):
        frame = whole.frame(table)
        expected = [hashlib.md5(i.encode()).digest()[0] for i in frame["customer_id"]]
        assert frame["fold"].tolist() == expected


def test_customers_of_an_account_share_a_fold_where_the_settings_say_so(small):
    """``fold_by`` names the unit; whoever belongs to none is one alone. All tables follow."""
    small.settings["fold_by"] = "account"
    small.columns("customers")["account"] = "account"
    rows = small.files["customers.csv"].splitlines()
    accounts = ["account", "Acme", "Acme", "", "Bolt", "Bolt"]
    small.files["customers.csv"] = "".join(f"{r},{a}\n" for r, a in zip(rows, accounts, strict=True))
    company = small.open()
    folds = company.frame("customers").set_index("customer_id")["fold"]
    for customer, unit in zip(("C1", "C2", "C3", "C4", "C5"), ("Acme", "Acme", "C3", "Bolt", "Bolt"), strict=True):
        assert folds[customer] == hashlib.md5(unit.encode()).digest()[0]
    for table in ("responses", "orders", "contacts"):
        frame = company.frame(table)
        assert (frame["fold"] == frame["customer_id"].map(folds)).all()
    small.settings["fold_by"] = "acount"
    error = stops(small.open)
    assert "fold_by: 'acount' is not a text column of customers" in error.problem
    assert "account" in error.remedy


def test_an_answer_is_dated_when_given_else_when_asked(small):
    small.only("responses")
    frame = small.open().frame("responses").set_index("response_id")
    assert frame.loc["R1", "answered_at"] == pd.Timestamp("2024-03-02 10:00")
    assert pd.isna(frame.loc["R3", "answered_at"])
    assert pd.isna(frame.loc["R3", "score"])
    del small.columns("responses")["answered_at"]
    company = small.open()
    frame = company.frame("responses").set_index("response_id")
    assert frame.loc["R1", "answered_at"] == pd.Timestamp("2024-03-01")
    assert pd.isna(frame.loc["R3", "answered_at"])
    assert not company.has("responses", "answered_at")


def test_undated_responses_are_used(small):
    small.only("responses")
    for column in ("asked_at", "answered_at"):
        del small.columns("responses")[column]
    company = small.open()
    assert company.responses.count().execute() == 5
    assert company.set_aside.empty


def test_an_earlier_as_of_takes_back_what_was_not_known(small):
    small.only("responses")
    company = small.open(as_of="2024-07-02")
    adds_up(company)
    assert company.as_of == date(2024, 7, 2)
    customers = company.frame("customers").set_index("customer_id")
    assert customers["left_on"].isna().all()
    assert customers["left_reason"].isna().all()
    answers = company.frame("responses").set_index("response_id")
    assert list(answers.index) == ["R1", "R2", "R3", "R4"]
    assert answers.loc["R4", ["score", "answered_at", "comment"]].isna().all()  # asked 1 July, answered 3 July
    notes = company.notes.set_index("check")["rows"]
    assert notes["left_on after the as-of date"] == 2
    assert notes["answered after the as-of date"] == 1
    assert small.open(as_of="2024-07-03").frame("responses")["score"].tolist()[-1] == 4


def test_contacts_still_open_on_an_earlier_day(small):
    small.only("contacts")
    contacts = small.open(as_of="2024-02-01").frame("contacts").set_index("contact_id")
    assert contacts.loc["T1", "first_response_at"] == pd.Timestamp("2024-02-01 09:30")
    assert pd.isna(contacts.loc["T1", "resolved_at"])


def test_a_planned_initiative_may_start_later(small):
    small.only("initiatives")
    small.files["initiatives.csv"] = (
        "iid,title,start,cost,state,plan\nI1,A,2024-06-01,1,running,\nI2,B,2030-01-01,1,planned,200\n"
    )
    small.columns("initiatives").update(status="state", planned_customers="plan")
    assert small.open().frame("initiatives")["initiative_id"].tolist() == ["I1", "I2"]


def test_a_day_without_a_time_is_that_whole_day(small):
    small.only("responses")
    small.add("responses.csv", "R9,C1,nps,2024-09-01 15:00:00,2024-09-01,8,", "RX,C1,nps,2024-01-05,2024-01-05,8,")
    assert small.open().set_aside.empty


def test_notes_on_rows_that_are_used(small):
    small.only("orders", "responses")
    small.add("orders.csv", "O8,C2,2025-02-01,5")
    small.add("responses.csv", "R8,C2,nps,2025-02-01,2025-02-01,1,", "R9,C2,nps,2025-02-01,2025-02-01,2,")
    small.settings["involuntary_reasons"] = ["payment failed", "bankrupt"]
    notes = small.open().notes.set_index("check")
    assert notes["rows"].drop("monthly_revenue and orders differ by more than a fifth").to_dict() == {
        "orders after the customer left": 1,
        "answers after the customer left": 2,
        "negative revenue": 1,
        "several rows of one question": 1,
        "involuntary reasons never seen": 1,
    }
    assert "'bankrupt'" in notes.loc["involuntary reasons never seen", "detail"]


def test_two_definitions_of_having_left(small):
    small.only("customers")
    small.change("customers.csv", "mrr\n", "mrr,gone\n")
    flags = iter(["yes", "no", "no", "yes", "no"])
    head, *rows = small.files["customers.csv"].splitlines()
    small.files["customers.csv"] = "\n".join([head, *(f"{r},{next(flags)}" for r in rows)]) + "\n"
    small.columns("customers")["left"] = "gone"
    company = small.open()
    assert company.frame("customers")["left"].tolist() == [True, False, False, True, False]
    note = company.notes.set_index("check").loc["two definitions of churn disagree"]
    assert note["rows"] == 2
    assert "2 customers have a left_on, 2 are flagged as left, 1 are both, 2 neither" in note["detail"]


def test_a_repeated_customer_row_repeats_no_orders(small):
    small.only("orders", "exposures")
    small.add("customers.csv", "C1,2024-01-05,,,Basic,10")
    small.add("initiatives.csv", "I1,Faster replies,2024-06-01,5000")
    company = small.open()
    adds_up(company)
    assert company.set_aside["reason"].tolist() == ["exact duplicate row"] * 2
    assert company.record.set_index("table")["used"].to_dict() == {
        "customers": 5,
        "initiatives": 1,
        "orders": 4,
        "exposures": 2,
    }


def test_a_snapshot_with_tenure_and_no_dates(small):
    small.only("customers")
    small.files["customers.csv"] = "id,months,gone\nA,12,0\nB,3.5,1\n"
    columns = {"customer_id": "id", "tenure": "months", "left": "gone"}
    small.settings["sources"]["customers"] = {"file": "customers.csv", "tenure_unit": "months", "columns": columns}
    small.settings["segments"] = []
    company = small.open()
    assert company.tenure_unit == "months"
    assert company.frame("customers")[["tenure", "left"]].values.tolist() == [[12, False], [3.5, True]]


# --- files and frames ---


@pytest.mark.parametrize("kind", ["parquet", "xlsx"])
def test_other_kinds_of_files_give_the_same_tables(small, kind):
    small.only("orders", "responses")
    company = small.open()
    expected = {t: company.frame(t) for t in ("customers", "orders", "responses")}
    for table in ("customers", "orders", "responses"):
        frame = pd.read_csv(
            small.folder / f"{table}.csv", parse_dates=["signup", "cancelled"] if table == "customers" else []
        )
        getattr(frame, "to_parquet" if kind == "parquet" else "to_excel")(small.folder / f"{table}.{kind}", index=False)
        small.source(table)["file"] = f"{table}.{kind}"
    company = small.open()
    adds_up(company)
    for table, frame in expected.items():
        pd.testing.assert_frame_equal(company.frame(table), frame)


def test_parquet_keeps_its_own_types(small):
    small.only("orders")
    days = pd.to_datetime(["2024-07-01 23:30", "2024-07-02 10:00"]).tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"oid": [1.0, 2.0], "cid": ["C1", "C2"], "day": days, "amount": [Decimal("1.50"), Decimal(2)]})
    frame.to_parquet(small.folder / "orders.parquet")
    small.source("orders")["file"] = "orders.parquet"
    orders = small.open().frame("orders")
    assert orders["order_id"].tolist() == ["1", "2"]
    assert orders["ordered_at"].tolist() == [pd.Timestamp("2024-07-01 21:30"), pd.Timestamp("2024-07-02 08:00")]
    assert orders["revenue"].tolist() == [1.5, 2]
    frame.assign(amount=[1, np.inf], day=[20240701, 20240702]).to_parquet(small.folder / "orders.parquet")
    small.source("orders")["dates"] = "%Y%m%d"
    error = stops(small.open)
    assert (error.row, error.column, error.value) == (3, "amount", "inf")


def test_inputs_name_every_file_with_its_sum(as_it_is, whole):
    inputs = whole.inputs.set_index("file")
    assert set(inputs.index) == {"company.yaml", *as_it_is.files}
    for name in inputs.index:
        data = (as_it_is.folder / name).read_bytes()
        assert inputs.loc[name, "sha256"] == hashlib.sha256(data).hexdigest()
        assert inputs.loc[name, "bytes"] == len(data)


def test_frames_give_the_same_company_as_files(whole):
    tables = ["customers", "responses", "orders", "contacts", "initiatives", "exposures"]
    frames = {t: whole.frame(t).drop(columns="fold", errors="ignore").dropna(axis=1, how="all") for t in tables}
    again = Company.from_frames({k: v for k, v in SETTINGS.items() if k != "sources"}, frames)
    adds_up(again)
    assert again.title == "Small & Sons"
    assert again.inputs.empty
    for table in tables:
        left, right = again.frame(table), whole.frame(table)
        pd.testing.assert_frame_equal(left[right.columns], right)


def test_frames_take_in_whole_numbers_categories_and_zones():
    customers = pd.DataFrame(
        {
            "customer_id": [1.0, 2.0],
            "joined_on": pd.to_datetime(["2024-01-01 23:30", "2024-01-02 10:00"]).tz_localize("UTC"),
            "plan": pd.Categorical(["a", None]),
            "left": [True, False],
            "note": [None, None],
        }
    )
    orders = pd.DataFrame(
        {"order_id": [7, 8], "customer_id": ["1", "2"], "ordered_at": [date(2024, 2, 1)] * 2, "revenue": [1, 2]}
    )
    given = {k: v for k, v in SETTINGS.items() if k != "sources"}
    company = Company.from_frames(given, {"customers": customers, "orders": orders})
    frame = company.frame("customers")
    assert frame["customer_id"].tolist() == ["1", "2"]
    assert frame["joined_on"].tolist() == [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")]
    assert frame["plan"].tolist() == ["a", None]
    assert company.frame("orders")["order_id"].tolist() == ["7", "8"]


# --- whatever the rows ----------------------------------------------------------------------------------------------

DAYS = st.dates(date(2024, 1, 1), date(2024, 12, 31))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(DAYS, st.none() | DAYS), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9), DAYS, st.none() | DAYS), min_size=1, max_size=25),
    DAYS,
)
def test_every_row_is_used_or_set_aside_for_one_reason(customers, contacts, as_of):
    people = pd.DataFrame(customers, columns=["joined_on", "left_on"])
    people["customer_id"] = [f"C{i}" for i in range(len(people))]
    cases = pd.DataFrame(contacts, columns=["who", "contact_id", "opened_at", "resolved_at"])
    cases["customer_id"] = "C" + cases.pop("who").astype(str)
    given = {k: v for k, v in SETTINGS.items() if k not in ("sources", "segments")} | {"as_of": as_of}
    try:
        company = Company.from_frames(given, {"customers": people, "contacts": cases})
    except InputError as error:
        valid = {i: j <= as_of and (d is None or d >= j) for i, (j, d) in enumerate(customers)}
        if "No row of customers" in error.problem:
            assert not any(valid.values())
        else:
            assert "No row of contacts" in error.problem
            for who, number, opened, resolved in contacts:
                fine = valid.get(who) and customers[who][0] <= opened <= as_of and not (resolved and resolved < opened)
                assert not fine or [n for _, n, _, _ in contacts].count(number) > 1
        return
    adds_up(company)
    used = company.frame("contacts").merge(company.frame("customers"), on="customer_id")
    assert len(used) == len(company.frame("contacts"))
    assert (used["opened_at"] >= used["joined_on"]).all()
    assert (used["opened_at"] <= pd.Timestamp(as_of)).all()
    assert not (used["resolved_at"] < used["opened_at"]).any()
    assert used["contact_id"].is_unique


def test_a_company_takes_few_queries_however_many_rows(small, monkeypatch):
    asked = []
    for name in ("execute", "create_table"):
        original = getattr(ibis.backends.duckdb.Backend, name)
        monkeypatch.setattr(
            ibis.backends.duckdb.Backend, name, lambda *a, f=original, **k: (asked.append(1), f(*a, **k))[1]
        )
    small.open()
    # six tables looked at, checked and tallied, one look at initiatives and one segment
    assert len(asked) <= 20


def test_no_words_of_the_checks_are_missing_or_left_over():
    listed = [check for part in (checks.REASONS, checks.NOTES) for table in part.values() for check in table]
    assert {check.rule for check in listed} == set(checks.RULES)
    said = {part: tomllib.loads(Path(part.__file__).with_suffix(".toml").read_text()) for part in (checks, oddities)}
    assert {c.said for table in checks.REASONS.values() for c in table} == set(said[checks]["remedies"])
    named = re.findall(r"_(?:note|some)\(\s*\"(\w+)\"", Path(oddities.__file__).read_text())
    assert set(named) == set(said[oddities]["notes"])


def test_opening_by_name_and_version(monkeypatch, small):
    monkeypatch.setenv("CXLIB_ROOT", str(small.folder.parent))
    small.only("customers")
    small.write()
    home = small.folder.parent / "data"
    home.mkdir()
    small.folder.rename(home / "acme")
    company = open_company("acme")
    assert (company.name, company.title) == ("acme", "Small & Sons")
    assert open_company(home / "acme" / "company.yaml").record.equals(company.record)
    with pytest.raises(InputError, match="Did you mean 'acme'"):
        open_company("acne")


def test_a_part_of_the_customers_keeps_its_rows_in_all_tables(whole):
    part = whole.where("plan = 'Pro' and monthly_revenue > 15")
    assert part.frame("customers")["customer_id"].tolist() == ["C2", "C4"]
    for table in ("responses", "orders", "contacts", "exposures"):
        expected = whole.frame(table).loc[lambda rows: rows["customer_id"].isin(["C2", "C4"])]
        pd.testing.assert_frame_equal(part.frame(table), expected.reset_index(drop=True), check_dtype=False)
    pd.testing.assert_frame_equal(part.frame("initiatives"), whole.frame("initiatives"))
    assert whole.customers.count().execute() == 5  # the whole is as before


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        ("plann = 'Pro'", "plann"),
        ("plan = 'pro'", "nobody|no customer"),
        ("true; drop table x", "more than one statement"),
        ("customer_id in (select column0 from '/etc/passwd')", "cannot be read"),
        ("plan = ", "cannot be read"),
    ],
)
def test_a_condition_that_cannot_be_read_or_fits_nobody_is_an_error(whole, condition, word):
    assert re.search(word, stops(lambda: whole.where(condition)).problem)


def test_a_segment_of_ones_own_is_a_segment_like_any_other(whole):
    company = whole.with_segment("size", "case when monthly_revenue > 15 then 'large' else 'small' end")
    assert company.settings.segments == ["plan", "size"]
    assert company.has("customers", "size")
    sizes = company.frame("customers").set_index("customer_id")["size"].to_dict()
    assert sizes == {"C1": "small", "C2": "large", "C3": "small", "C4": "large", "C5": "small"}
    assert len(company.where("size = 'large'").frame("orders")) == 2
    assert "cannot be read" in stops(lambda: company.with_segment("x", "no_such + 1")).problem


def test_importing_the_library_is_cheap():
    code = "import sys, cxlib; cxlib.__version__; sys.exit('ibis' in sys.modules or 'pandas' in sys.modules)"
    root = Path(cxlib.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_a_company_saved_and_opened_again_is_the_same(as_it_is, whole, tmp_path, monkeypatch):
    company = whole
    company.keep(tmp_path / "kept")
    monkeypatch.setenv("CXLIB_INTAKE", str(tmp_path / "kept"))
    monkeypatch.setattr("cxlib.intake.reading.load", None)  # no export may be read again
    again = as_it_is.open()
    for table in ("customers", "responses", "orders", "contacts", "initiatives", "exposures"):
        kept = again.frame(table)
        if table == "responses":  # that there was a comment is kept, not what it said
            said = company.frame(table)["comment"]
            assert kept["comment"].isna().equals(said.isna())
            assert not set(kept["comment"].dropna()) & set(said.dropna())
            kept["comment"] = said
        pd.testing.assert_frame_equal(kept, company.frame(table))
    for frame in ("record", "set_aside", "notes", "inputs"):
        pd.testing.assert_frame_equal(getattr(again, frame), getattr(company, frame))
    assert again.has("orders", "revenue")
    with pytest.raises(TypeError):  # another date is another company: it would have to be read
        as_it_is.open(as_of="2025-01-01")
