"""A proposed company.yaml: what is guessed from exports in several styles, what is left to a person, and why."""

from __future__ import annotations

import re
import warnings
from datetime import date, timedelta
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
import yaml

from cxlib.errors import InputError
from cxlib.intake import settings
from cxlib.intake.propose import new_company, propose

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
FILLED = {  # what a person writes for each TODO: the key, and the value
    "as_of": "2026-06-30",
    "currency": "EUR",
    "inactive_after_days": "180",
    "version": "'2.0'",
    "dates": "'%m/%d/%Y'",
    "customer_id": "who",
    "tenure_unit": "months",
    "revenue": "paid",
}


def days(n: int, pattern: str, start: date = date(2025, 1, 1)) -> list[str]:
    return [(start + timedelta(days=i % 300)).strftime(pattern) for i in range(n)]


def export(folder: Path, name: str, columns: dict[str, list], **how) -> None:
    pd.DataFrame(columns).to_csv(folder / name, index=False, **how)


def read(folder: Path) -> dict:
    """The proposal as YAML. Every remark is a guess or a TODO, and with these filled in the settings are valid."""
    text = propose(folder, "acme")
    remarks = [line.split("  # ")[1] for line in text.splitlines() if re.match(r" *[^ #].*  # ", line)]
    assert all(remark.startswith(("guess: ", "TODO: ")) for remark in remarks), remarks
    filled = re.sub(r"(\w+): TODO", lambda match: f"{match[1]}: {FILLED[match[1]]}", text)
    settings.check(yaml.load(filled, Loader=yaml.BaseLoader))
    return yaml.safe_load(text)


def why(text: str, key: str) -> str:
    """The evidence beside the first line of a key."""
    line = next(line for line in text.splitlines() if line.lstrip(" -").startswith(f"{key}:"))
    return line.split("  # ")[1]


# --- made-up exports in several styles ----------------------------------------------------------------------------


@pytest.fixture
def german(tmp_path):
    n = 60
    left = [d if i % 5 == 0 else "" for i, d in enumerate(days(n, "%d.%m.%Y", date(2025, 3, 20)))]
    customers = {
        "Kundennummer": range(1000, 1000 + n),
        "Firma": [f"Firma {i} GmbH" for i in range(n)],
        "Kunde seit": days(n, "%d.%m.%Y"),
        "Kündigungsdatum": left,
        "Gekündigt": ["ja" if d else "nein" for d in left],
        "Monatsbeitrag": [f"1.{i:03d},50" for i in range(n)],
        "Tarif": ["Basis", "Premium"] * (n // 2),
        "Vertragsende": days(n, "%d.%m.%Y", date(2030, 1, 1)),
    }
    export(tmp_path, "Kunden.csv", customers, sep=";", encoding="cp1252")
    orders = {
        "Rechnungsnummer": [f"R{i}" for i in range(200)],
        "Kundennummer": [1000 + i % n for i in range(200)],
        "Rechnungsdatum": days(200, "%d.%m.%Y"),
        "Betrag": [f"{i},99" for i in range(200)],
    }
    export(tmp_path, "Rechnungen.csv", orders, sep=";")
    answers = {
        "Kundennummer": [1000 + i % n for i in range(220)],
        "Befragt am": days(220, "%d.%m.%Y 10:00"),
        "Antwortdatum": days(220, "%d.%m.%Y 12:30:59"),
        "Weiterempfehlung": [i % 11 if i % 7 else -99 for i in range(220)],
        "Zufriedenheit": [i % 5 + 1 if i % 9 else 0 for i in range(220)],
        "Aufwand": [i % 7 + 1 for i in range(220)],
        "Kommentar": ["gut; schnell"] * 220,
    }
    export(tmp_path, "Umfrage.csv", answers, sep=";")
    return tmp_path


def test_german_exports_with_semicolons_decimal_commas_and_days_first(german):
    found = read(german)
    customers = found["sources"]["customers"]
    assert (customers["file"], customers["delimiter"]) == ("Kunden.csv", ";")
    assert customers["columns"] == {
        "customer_id": "Kundennummer",
        "joined_on": {"column": "Kunde seit", "dates": "%d.%m.%Y"},
        "left_on": {"column": "Kündigungsdatum", "dates": "%d.%m.%Y"},
        "left": {"column": "Gekündigt", "codes": {"ja": "yes", "nein": "no"}},
        "monthly_revenue": {"column": "Monatsbeitrag", "decimal": ",", "thousands": "."},
        "contract_ends_on": {"column": "Vertragsende", "dates": "%d.%m.%Y"},
        "tarif": "Tarif",
    }
    assert found["segments"] == ["tarif"]
    assert found["relationship"] == "contractual"
    assert found["sources"]["orders"]["columns"] == {
        "order_id": "Rechnungsnummer",
        "customer_id": "Kundennummer",
        "ordered_at": {"column": "Rechnungsdatum", "dates": "%d.%m.%Y"},
        "revenue": {"column": "Betrag", "decimal": ","},
    }
    assert found["as_of"] == date(2025, 8, 8)  # of what has happened: the contracts end in 2030
    assert found["currency"] == "TODO"


def test_three_scores_of_one_survey_become_three_sources_with_their_scales_and_codes(german):
    found = read(german)
    sources = {s["columns"]["metric"]["value"]: s["columns"] for s in found["sources"]["responses"]}
    assert sources["nps"]["score"] == {"column": "Weiterempfehlung", "no_answer": ["-99"]}
    assert sources["csat"]["score"] == {"column": "Zufriedenheit", "no_answer": ["0"]}  # 0 on a scale from 1 to 5
    assert sources["ces"]["score"] == "Aufwand"
    assert len({s["response_id"]["row_number"] for s in sources.values()}) == 3
    for columns in sources.values():
        assert columns["customer_id"] == "Kundennummer"
        assert columns["asked_at"] == {"column": "Befragt am", "dates": "%d.%m.%Y %H:%M"}
        assert columns["answered_at"] == {"column": "Antwortdatum", "dates": "%d.%m.%Y %H:%M:%S"}
        assert columns["comment"] == "Kommentar"
    assert found["metrics"] == {
        "nps": {"scale": [0, 10]},
        "csat": {"scale": [1, 5], "good": "high", "satisfied_from": 4},
        "ces": {"scale": [1, 7], "version": "TODO"},  # its direction is never guessed
    }


def test_every_guess_says_why(german):
    text = propose(german, "acme")
    assert why(text, "customer_id") == "guess: 100 % of values are unique"
    assert why(text, "joined_on").startswith("guess: all values are dates, 2025-01-01 to 2025-03-01")
    assert why(text, "score") == "guess: all values are from 0 to 10, apart from -99, taken as no answer"
    assert why(text, "revenue") == "guess: all values are numbers, 0.99 to 199.99"
    assert why(text, "as_of") == "guess: the latest date found"
    assert why(text, "ces").startswith('TODO: "1.0" asks how much effort')
    assert "100 % of its values are in Kunden.csv" in text
    assert "# not used: Firma\n" in text


def test_us_exports_with_months_first(tmp_path):
    n = 80
    customers = {
        "Account ID": [f"A{i}" for i in range(n)],
        "Customer Since": days(n, "%m/%d/%Y"),
        "MRR": [f"{i + 1},250.00" for i in range(n)],
    }
    export(tmp_path, "customers.csv", customers)
    columns = read(tmp_path)["sources"]["customers"]["columns"]
    assert columns["joined_on"] == {"column": "Customer Since", "dates": "%m/%d/%Y"}
    assert columns["monthly_revenue"] == {"column": "MRR", "thousands": ","}
    assert why(propose(tmp_path, "acme"), "joined_on").endswith("no other order reads them all")


def test_dates_that_fit_both_orders_are_left_to_a_person(tmp_path):
    both = [f"0{i % 9 + 1}/0{i % 7 + 1}/2025" for i in range(60)]
    export(tmp_path, "customers.csv", {"customer_id": range(60), "signup_date": both})
    found = read(tmp_path)
    assert found["sources"]["customers"]["columns"]["joined_on"] == {"column": "signup_date", "dates": "TODO"}
    assert why(propose(tmp_path, "acme"), "joined_on") == "TODO: %d/%m/%Y and %m/%d/%Y both read every value"
    assert found["as_of"] == "TODO"  # no date that is sure


def test_a_number_with_one_mark_before_three_digits_is_doubted(tmp_path):
    export(tmp_path, "customers.csv", {"customer_id": range(60), "mrr": [f"{i + 1}.500" for i in range(60)]})
    assert why(propose(tmp_path, "acme"), "monthly_revenue").endswith(
        "three digits after every mark: thousands or decimals?"
    )


def test_a_helpdesk_export_alone_gives_cases_answers_and_customers(tmp_path):
    tickets = {
        "Id": range(5000, 5120),
        "Requester id": [f"U{i % 40}" for i in range(120)],
        "Created at": days(120, "%Y-%m-%d 09:00:00"),
        "Solved at": days(120, "%Y-%m-%d 17:00:00"),
        "First reply time in minutes": range(120),
        "Subject": [f"Help {i}" for i in range(120)],
        "Satisfaction Score": ["Good", "Bad", "Offered"] * 40,
    }
    export(tmp_path, "zendesk_export.csv", tickets)
    found = read(tmp_path)
    assert found["sources"]["customers"]["columns"] == {"customer_id": "Requester id"}
    assert found["sources"]["customers"]["one_row_per"] == "customer_id"
    assert found["sources"]["contacts"]["columns"] == {
        "contact_id": "Id",
        "customer_id": "Requester id",
        "opened_at": "Created at",
        "first_response_at": {"column": "First reply time in minutes", "after": "opened_at", "unit": "minutes"},
        "resolved_at": "Solved at",
        "topic": "Subject",
    }
    answers = found["sources"]["responses"]["columns"]
    assert answers["score"] == {
        "column": "Satisfaction Score",
        "codes": {"Bad": 0, "Good": 1},
        "no_answer": ["Offered"],
    }
    assert answers["asked_at"] == "Solved at"
    assert found["metrics"]["csat"] == {"scale": [0, 1], "good": "high", "satisfied_from": 1}
    assert (found["relationship"], found["inactive_after_days"]) == ("noncontractual", "TODO")


def test_a_qualtrics_export_has_further_header_rows_and_labelled_ends(tmp_path):
    columns = {
        "StartDate": ["Start Date", '{"ImportId":"startDate"}', *days(50, "%Y-%m-%d 10:00:00")],
        "RecordedDate": ["Recorded Date", '{"ImportId":"recordedDate"}', *days(50, "%Y-%m-%d 10:05:00")],
        "ExternalReference": ["External Data Reference", '{"ImportId":"ref"}', *[f"C{i}" for i in range(50)]],
        "Q1_NPS": [
            "How likely?",
            '{"ImportId":"QID1"}',
            *["10 - Extremely likely", "0 - Not at all", "9", "Blank", "5"] * 10,
        ],
        "Q1_NPS_GROUP": ["Group", '{"ImportId":"G"}', *["Promoter"] * 50],
    }
    export(tmp_path, "survey.csv", columns)
    source = read(tmp_path)["sources"]["responses"]
    assert source["filter"] == {"column": "StartDate", "is_not": ["Start Date", '{"ImportId":"startDate"}']}
    assert source["columns"] == {
        "asked_at": "StartDate",
        "answered_at": "RecordedDate",
        "customer_id": "ExternalReference",
        "response_id": {"row_number": "nps-"},
        "metric": {"value": "nps"},
        "score": {
            "column": "Q1_NPS",
            "codes": {"10 - Extremely likely": 10, "0 - Not at all": 0},
            "no_answer": ["Blank"],
        },
    }


def test_ids_are_recognised_by_their_values_where_the_header_says_nothing(tmp_path):
    ids = [f"K-{i:04d}" for i in range(80)]
    export(tmp_path, "customers.csv", {"customer_id": ids, "signup_date": days(80, "%Y-%m-%d")})
    export(
        tmp_path,
        "orders.csv",
        {"order_id": range(160), "reference": ids * 2, "order_date": days(160, "%Y-%m-%d"), "total": range(160)},
    )
    assert read(tmp_path)["sources"]["orders"]["columns"]["customer_id"] == "reference"
    assert "100 % of its values are in customers.csv" in propose(tmp_path, "acme")


def test_a_column_that_looks_like_a_score_and_is_none_is_not_taken(tmp_path):
    columns = {
        "customer_id": range(200),
        "nps": [i % 201 - 100 for i in range(200)],  # a result, not an answer
        "satisfaction_group": ["Promoter", "Passive"] * 100,
        "rating": [7] * 200,
    }
    export(tmp_path, "customers.csv", columns)
    found = read(tmp_path)
    assert "metrics" not in found
    assert "responses" not in found["sources"]


def test_initiatives_exposures_and_a_workbook_with_sheets(tmp_path):
    book = openpyxl.Workbook()
    pages = {
        "Customers": [["customer_id", "joined_on"], *[[f"C{i}", date(2025, 1, 1 + i % 28)] for i in range(40)]],
        "Programmes": [
            ["initiative_id", "name", "started_on", "cost_upfront"],
            ["I1", "Welcome", date(2025, 5, 1), 1000],
        ],
        "Reached": [
            ["initiative_id", "customer_id", "exposed_on"],
            *[["I1", f"C{i}", date(2025, 5, 2)] for i in range(30)],
        ],
    }
    for title, rows in pages.items():
        page = book.create_sheet(title)
        for row in rows:
            page.append(row)
    book.remove(book.worksheets[0])
    book.save(tmp_path / "all.xlsx")
    sources = read(tmp_path)["sources"]
    assert {t: s["sheet"] for t, s in sources.items()} == {
        "customers": "Customers",
        "initiatives": "Programmes",
        "exposures": "Reached",
    }
    assert sources["initiatives"]["columns"]["started_on"] == "started_on"
    assert sources["exposures"]["columns"]["customer_id"] == "customer_id"


def test_hostile_headers_stay_on_their_lines(tmp_path):
    header = 'satisfaction: "x"\n# {drop}'
    columns = {"customer_id": range(60), header: [1, 2, 3, 4, 5] * 12, "a\nb: [": ["x", "y"] * 30, "#": ["p"] * 60}
    export(tmp_path, "it's: #1.csv", columns)
    found = read(tmp_path)
    assert found["sources"]["responses"]["file"] == "it's: #1.csv"
    assert found["sources"]["responses"]["columns"]["score"] == header
    assert found["sources"]["customers"]["columns"]["a_b"] == "a\nb: ["


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        propose(tmp_path / "nowhere", "acme")
    with pytest.raises(InputError, match="no readable export"):
        propose(tmp_path, "acme")
    (tmp_path / "bad.csv").write_text("a,b\n1\n")
    with pytest.raises(InputError, match=r"bad\.csv"):
        propose(tmp_path, "acme")
    export(tmp_path, "customers.csv", {"customer_id": range(30)})
    assert "# not read: The row has 1 fields" in propose(tmp_path, "acme")


def test_nothing_found_is_all_todo(tmp_path):
    export(tmp_path, "weather.csv", {"rain": [1.5, 2.5], "city": ["Bath", "York"]})
    found = yaml.safe_load(propose(tmp_path, "acme"))
    assert found["sources"] == {"customers": {"file": "weather.csv", "columns": {"customer_id": "TODO"}}}


# --- writing it ---------------------------------------------------------------------------------------------------


def test_a_new_company_points_at_the_exports_and_is_never_written_over(tmp_path):
    exports = tmp_path / "my exports"
    exports.mkdir()
    export(exports, "customers.csv", {"customer_id": range(30)})
    path = new_company("acme-uk", exports, tmp_path / "data")
    assert path == tmp_path / "data" / "acme-uk" / "company.yaml"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert found["folder"] == "../../my exports"
    assert (path.parent / found["folder"] / "customers.csv").exists()
    before = path.read_bytes()
    with pytest.raises(InputError, match="already exists"):
        new_company("acme-uk", exports, tmp_path / "data")
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "Acme", "a b", "../x", "a/b", ".", "-a", "a--b", "é", "a\n"])
def test_a_name_that_is_no_plain_slug_is_refused(tmp_path, name):
    export(tmp_path, "customers.csv", {"customer_id": range(30)})
    with pytest.raises(InputError, match="name of a company"):
        new_company(name, tmp_path, tmp_path / "data")
    assert not (tmp_path / "data").exists()


# --- real exports -------------------------------------------------------------------------------------------------


def real(name: str) -> dict:
    if not (REAL / name).is_dir():
        pytest.skip(f"the real exports of {name} are not beside the project")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)  # ibis 12 with duckdb 1.5
        return read(REAL / name)


def test_the_garden_centre_survey():
    found = real("nps_fr")
    assert found["metrics"]["nps"] == {"scale": [1, 10]}
    assert found["metrics"]["csat"]["scale"] == [1, 10]
    assert found["sources"]["customers"]["columns"] == {"customer_id": "id"}
    scores = {s["columns"]["metric"]["value"]: s for s in found["sources"]["responses"]}
    assert {s["file"] for s in scores.values()} == {"nps.csv"}  # the students' file names no customer
    assert scores["nps"]["columns"]["score"] == "nps"
    assert scores["csat"]["columns"]["score"] == "satisfaction"
    assert scores["nps"]["columns"]["comment"] == "explication"
    assert found["as_of"] == "TODO"  # there is no date in it


def test_the_brazilian_marketplace():
    found = real("olist")
    sources = found["sources"]
    assert sources["customers"]["file"] == "olist_customers_dataset.csv"
    assert found["metrics"] == {"csat": {"scale": [1, 5], "good": "high", "satisfied_from": 4}}
    reviews = sources["responses"]
    assert reviews["file"] == "olist_order_reviews_dataset.csv"
    assert reviews["columns"]["score"] == "review_score"
    assert reviews["columns"]["asked_at"] == "review_creation_date"
    assert reviews["columns"]["answered_at"] == "review_answer_timestamp"
    assert reviews["join"] == [
        {"file": "olist_orders_dataset.csv", "as": "olist_orders_dataset", "on": "order_id", "pick": "one"}
    ]
    assert reviews["columns"]["customer_id"] == "olist_orders_dataset.customer_id"
    orders = sources["orders"]
    assert orders["columns"]["ordered_at"] == "order_purchase_timestamp"
    assert orders["join"][0]["pick"] == "sum"
    assert orders["columns"]["revenue"] == "olist_order_payments_dataset.payment_value"
    assert found["relationship"] == "noncontractual"
    assert found["as_of"] == date(2018, 10, 22)


def test_the_software_company():
    found = real("ravenstack")
    sources = found["sources"]
    assert sources["customers"]["file"] == "ravenstack_accounts.csv"
    assert sources["customers"]["columns"]["customer_id"] == "account_id"
    assert sources["customers"]["columns"]["joined_on"] == "signup_date"
    assert sources["customers"]["columns"]["left"] == "churn_flag"
    assert {"industry", "plan_tier"} <= set(found["segments"])
    assert found["relationship"] == "contractual"
    assert sources["contacts"]["columns"]["first_response_at"]["unit"] == "minutes"
    assert sources["contacts"]["columns"]["resolved_at"] == "closed_at"
    assert sources["responses"]["columns"]["score"] == "satisfaction_score"
    assert found["metrics"]["csat"]["scale"] == [1, 5]  # 3 to 5 occur
    assert "orders" not in sources
