"""A proposed company.yaml: what is guessed from exports in many styles, what is left to a person, and why."""

from __future__ import annotations

import re
import shutil
import warnings
from datetime import date, timedelta
from itertools import cycle, islice
from pathlib import Path

import net
import openpyxl
import pandas as pd
import pytest
import yaml

from cxlib import open_company
from cxlib.errors import InputError
from cxlib.intake import settings
from cxlib.intake.columns import FIELDS, Column, plain
from cxlib.intake.propose import RECIPES, new_company, propose
from cxlib.intake.tables import CONTRACT

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "data"
CASES = ROOT.parent / "shared" / "review" / "cases"
FILLED = {  # what a person writes for each TODO: the key, and the value
    "as_of": "2026-06-30",
    "currency": "GBP",
    "inactive_after_days": "180",
    "version": "'2.0'",
    "dates": "'%m/%d/%Y'",
    "customer_id": "who",
    "tenure_unit": "months",
    "file": "customers.csv",
}


def days(n: int, pattern: str = "%Y-%m-%d", start: date = date(2025, 1, 1)) -> list[str]:
    return [(start + timedelta(days=i % 300)).strftime(pattern) for i in range(n)]


def of(n: int, *values: object) -> list:
    return list(islice(cycle(values), n))


def export(folder: Path, name: str, columns: dict[str, list], **how) -> None:
    pd.DataFrame(columns).to_csv(folder / name, index=False, **how)


def fill(text: str) -> str:
    """The proposal with every TODO answered; every other remark is a guess or an answer."""
    remarks = [line.split("  # ")[1] for line in text.splitlines() if re.match(r" *[^ #].*  # ", line)]
    assert all(remark.startswith(("guess: ", "TODO: ", "your answer")) for remark in remarks), remarks
    return re.sub(r"(\w+): TODO", lambda match: f"{match[1]}: {FILLED.get(match[1], '0.5')}", text)


def read(folder: Path) -> dict:
    """The proposal as YAML; with its TODO filled in the settings are valid."""
    text = propose(folder, "acme")
    settings.check(yaml.load(fill(text), Loader=yaml.BaseLoader))
    return yaml.safe_load(text)


def columns(folder: Path, table: str) -> dict:
    return read(folder)["sources"][table]["columns"]


def opened(folder: Path, data: Path, name: str = "acme"):
    """The company that the proposal makes, opened by the reader; and how many answers it left open."""
    path = new_company(name, folder, data)
    text = path.read_text(encoding="utf-8")
    path.write_text(fill(text), encoding="utf-8")
    return open_company(str(path.parent)), len(re.findall(": TODO", text))


def why(text: str, key: str) -> str:
    """The evidence beside the first line of a key."""
    line = next(line for line in text.splitlines() if line.lstrip(" -#").startswith(f"{key}:"))
    return line.split("  # ")[1] if "  # " in line else line.partition(": ")[2]


def exports_of(company: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    shutil.copytree(company, folder, ignore=shutil.ignore_patterns("company.yaml", "expect.md"))
    return folder


# --- the demo companies, and the cases of the review ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "open_questions"), [("demo", 2), ("demo-shop", 1)])
def test_the_demo_exports_give_the_company_that_is_committed(tmp_path, name, open_questions):
    made, todo = opened(exports_of(ROOT / "data" / name, tmp_path), tmp_path / "data")
    known = net.opened(name)
    assert todo == open_questions
    for table in CONTRACT:
        if not known.has(table):
            assert not made.has(table)
            continue
        one, other = made.frame(table), known.frame(table)
        keys = [c for c in ("response_id", "order_id", "contact_id", "initiative_id", "customer_id") if c in other]
        if table == "contacts" and "contact_id" not in one:
            keys.remove("contact_id")
        assert set(one.columns) == set(other.columns), table
        ordered = [f.sort_values([*keys, *other.columns], ignore_index=True) for f in (one[other.columns], other)]
        pd.testing.assert_frame_equal(*ordered)
    for key in ("as_of", "relationship", "involuntary_reasons", "inactive_after_days", "currency", "privacy"):
        assert getattr(made.settings, key) == getattr(known.settings, key), key
    assert set(made.settings.segments) == set(known.settings.segments)
    scales = {n: m.model_dump(exclude={"target"}) for n, m in known.settings.metrics.items()}
    assert {n: m.model_dump(exclude={"target"}) for n, m in made.settings.metrics.items()} == scales


def case(number: str, tmp_path: Path) -> Path:
    found = sorted(CASES.glob(f"{number}-*"))
    if not found:
        pytest.skip("the cases of the review are not beside the project")
    return exports_of(found[0], tmp_path)


REPLY = {"column": "First reply time in minutes", "after": "opened_at", "unit": "minutes"}
MAPPED = [  # case, table, and columns of ours
    ("01", "responses", {"answered_at": {"column": "Timestamp", "dates": "%Y/%m/%d %I:%M:%S %p"}}),
    ("03", "responses", {"score": "How likely are you to recommend us?", "metric": {"value": "nps"}}),
    ("05", "customers", {"left_on": "Cancel date", "plan": "Plan"}),
    ("16", "customers", {"left_on": "Ended At (UTC)", "joined_on": "Start (UTC)", "plan": "Plan"}),
    ("21", "responses", {"score": "Q1", "answered_at": "RecordedDate", "customer_id": "ExternalReference"}),
    ("23", "contacts", {"first_response_at": REPLY, "resolved_at": "Solved at"}),
    ("25", "customers", {"left_on": {"column": "ended_at", "dates": "unix"}, "customer_id": "customer"}),
    ("33", "orders", {"order_id": "Name", "revenue": {"column": "Total", "minus": "Refunded Amount"}}),
]


@pytest.mark.parametrize(("number", "table", "expected"), MAPPED, ids=[m[0] for m in MAPPED])
def test_a_case_of_the_review_is_mapped_as_it_should_be(tmp_path, number, table, expected):
    found = read(case(number, tmp_path))["sources"][table]
    assert expected.items() <= (found[0] if isinstance(found, list) else found)["columns"].items()


def test_labelled_ends_of_a_scale_are_answers(tmp_path):
    company, _ = opened(case("03", tmp_path), tmp_path / "data")
    scores = company.frame("responses")["score"]
    assert ((scores >= 9).sum(), (scores <= 6).sum(), scores.isna().sum()) == (50, 30, 0)


def test_an_end_that_a_system_writes_for_none_is_no_end_and_no_day_of_the_report(tmp_path):
    folder = case("05", tmp_path)
    assert read(folder)["sources"]["customers"]["blank"] == ["", "2099-12-31"]
    company, _ = opened(folder, tmp_path / "data")
    assert company.frame("customers")["left_on"].notna().sum() == 50
    assert company.as_of == date(2024, 5, 15)


def test_a_field_that_tells_who_left_is_no_segment_whatever_it_is_called(tmp_path):
    text = propose(case("07", tmp_path), "acme")
    assert yaml.safe_load(text)["segments"] == ["region"]
    assert "#   extra: it tells who left or what was answered, so it is no segment" in text


def test_a_subscription_ends_when_it_ended_and_not_when_it_was_cancelled(tmp_path):
    text = propose(case("16", tmp_path), "acme")
    assert yaml.safe_load(text)["segments"] == ["plan"]
    assert "#   Canceled At (UTC): dates, 2024-03-02 to 2024-05-20; Ended At (UTC) is used for this" in text


def test_previews_of_a_survey_are_left_out_and_its_answers_name_the_customers(tmp_path):
    found = read(case("21", tmp_path))
    assert found["sources"]["customers"]["columns"] == {"customer_id": "ExternalReference"}
    assert 'select distinct "ExternalReference" from qualtrics' in found["sources"]["customers"]["sql"]
    assert "not in ('Survey Preview'" in found["sources"]["customers"]["sql"]
    assert found["metrics"]["nps"] == {"scale": [0, 10]}
    assert "not in ('Survey Preview'" in found["sources"]["responses"]["sql"]


def test_tickets_without_a_survey_were_not_asked(tmp_path):
    company, _ = opened(case("23", tmp_path), tmp_path / "data")
    answers = company.frame("responses")
    assert (len(answers), answers["score"].notna().sum()) == (90, 55)


def test_lines_of_an_order_and_refunds_are_added_up(tmp_path):
    company, _ = opened(case("33", tmp_path), tmp_path / "data")
    orders = company.frame("orders")
    assert (len(orders), round(orders["revenue"].sum()), orders["customer_id"].nunique()) == (139, 7237, 70)


def test_ids_of_another_form_are_left_to_a_person_with_both_forms(tmp_path):
    said = why(propose(case("34", tmp_path), "acme").partition("responses:")[2], "customer_id")
    assert said.startswith("TODO: 0 % of AccountId are in accounts.csv")
    assert re.search(r" (\w{15})\w{3} here, \1 in customers", said)


def test_a_second_currency_needs_a_rate(tmp_path):
    found = read(case("36", tmp_path))
    assert found["sources"]["orders"]["columns"]["currency"] == "currency"
    assert {found["currency"], *found["exchange_rates"]} == {"EUR", "JPY"}


# --- recipes -------------------------------------------------------------------------------------------------------

# vendor, table: the headers of an export, what is in ten rows of it (a cycle of values; id, n, day, later, unix), and
# > the column of ours that it is.
VENDORS = """
qualtrics responses: StartDate=day; EndDate=day; Status=IP Address; Finished=n; RecordedDate=day>answered_at;
  ResponseId=n>response_id; ExternalReference=id>customer_id; Q1_NPS_GROUP=Promoter/Passive; NPS=9/3/10/0>score
surveymonkey responses: Respondent ID=n>response_id; Collector ID=n; Start Date=day; End Date=day>answered_at;
  Email Address=n; Custom Data 1=id>customer_id; How satisfied are you?=Very satisfied/Neutral/Dissatisfied>score
typeform responses: #=n; How easy was it?=1/7/4>score; account_id=id>customer_id; Response Type=completed;
  Start Date (UTC)=day; Stage Date (UTC)=; Submit Date (UTC)=later>answered_at; Network ID=n; Tags=; Ending=
delighted responses: Response ID=id>response_id; Email=n; Customer ID=id>customer_id; Survey Type=NPS;
  Score=9/3/0>score; Comment=id>comment; Responded At=day>answered_at
google_forms responses: Timestamp=day>answered_at; Email Address=id>customer_id; Would you recommend us?=9/3/0>score
medallia responses: Survey ID=id>response_id; Customer ID=id>customer_id; Invitation Date=day>asked_at;
  Response Date=later>answered_at; Likelihood to Recommend=9/3/0>score
medallia responses: request_id=id>response_id; request_sent_at=day>asked_at; request_sent_to=id>customer_id;
  response_received_at=later>answered_at; star_rating=5/1/4>score; comments=n>comment
zendesk contacts: id=n>contact_id; requester_id=id>customer_id; created_at=day>opened_at; via.channel=web>channel;
  satisfaction_rating.score=good/bad/unoffered; metric_set.solved_at=later>resolved_at
freshdesk contacts: Ticket ID=n>contact_id; Subject=n; Created time=day>opened_at; Resolved time=later>resolved_at;
  Initial response time=day>first_response_at; First response time (in hrs)=00:01:00; Email=id>customer_id;
  Survey results=Extremely Happy/Unhappy
intercom contacts: Conversation ID=n>contact_id; User ID=id>customer_id; Started at=day>opened_at; Channel=chat>channel;
  Last closed at=later>resolved_at; Conversation rating=5/1/3
intercom contacts: id=n>contact_id; created_at=unix>opened_at; source.author.id=id>customer_id;
  statistics.last_close_at=unix>resolved_at; conversation_rating.rating=5/2
hubspot contacts: Ticket ID=n>contact_id; Ticket name=n>topic; Create date=day>opened_at; Close date=later>resolved_at;
  Time to first agent email reply (HH:mm:ss)=01:00:00/26:10:00>first_response_at; Associated Company IDs=id>customer_id
hubspot orders: Record ID=n>order_id; Deal Name=n; Deal Stage=Closed Won/Closed Lost; Close Date=day>ordered_at;
  Amount=10.50/7>revenue; Associated Company IDs=id>customer_id
hubspot customers: Record ID=id>customer_id; Company name=n; Create Date=day>joined_on; Industry=A/B
hubspot responses: Record ID=n>response_id; Survey name=n; Survey type=NPS; Response=9/3/0>score;
  Contact ID=id>customer_id; Survey submission date=day>answered_at
salesforce contacts: Id=n; CaseNumber=id>contact_id; AccountId=id>customer_id; CreatedDate=day>opened_at;
  ClosedDate=later>resolved_at; Reason=n>topic; Origin=Web>channel
salesforce contacts: Case Number=n>contact_id; Account ID=id>customer_id; Date/Time Opened=day>opened_at;
  Date/Time Closed=later>resolved_at
salesforce orders: Id=n>order_id; AccountId=id>customer_id; Amount=100.0/20.5>revenue; CloseDate=day>ordered_at;
  IsWon=true/false
salesforce orders: Opportunity ID=n>order_id; Account ID=id>customer_id; Amount=100.0/20.5>revenue;
  Close Date=day>ordered_at; Stage=Closed Won/Closed Lost
salesforce customers: Account ID=id>customer_id; Account Name=n; Created Date=day>joined_on
stripe customers: id=n; Customer ID=id>customer_id; Plan=A/B; Quantity=1; Amount=2900/9900>monthly_revenue;
  Interval=month; Start (UTC)=day>joined_on; Canceled At (UTC)=/2025-03-01; Ended At (UTC)=/2025-04-01>left_on
stripe orders: id=n>order_id; Created date (UTC)=day>ordered_at; Amount=29.00>revenue; Amount Refunded=0.00/29.00;
  Currency=usd; Customer ID=id>customer_id; Status=Paid/Refunded/Failed
stripe customers: id=id>customer_id; Description=n; Email=n; Created (UTC)=day>joined_on; Delinquent=false
chargebee customers: Subscription Id=n; Customer Id=id>customer_id; Status=Active/Cancelled; Started At=day>joined_on;
  Cancelled At=/2025-04-01>left_on; MRR=10.00/20.00>monthly_revenue; Plan Id=a/b
chargebee orders: Invoice Number=n>order_id; Customer Id=id>customer_id; Invoice Date=day>ordered_at;
  Status=Paid/Voided; Total=12.00/3>revenue
shopify customers: Customer ID=n; First Name=n; Email=id>customer_id; Total Spent=n; Total Orders=n
"""
ROWS = {
    "id": [f"id_{i}" for i in range(10)],
    "n": [f"R_{i}" for i in range(10)],
    "day": days(10, "%Y-%m-%d %H:%M:%S"),
    "later": days(10, "%Y-%m-%d %H:%M:%S", date(2025, 2, 1)),
    "unix": [str(1735689600 + 86400 * i) for i in range(10)],
}


@pytest.mark.parametrize(
    "line", re.sub(r"\n +", " ", VENDORS.strip()).splitlines(), ids=lambda line: line.split(":")[0]
)
def test_an_export_of_a_vendor_is_known_by_its_headers(tmp_path, line):
    vendor, table, fields = re.fullmatch(r"(\w+) (\w+): (.*)", line).groups()
    fields = [re.fullmatch(r"(.+?)=([^>]*)>?(\w*)", f).groups() for f in fields.split("; ")]
    frame = pd.DataFrame({header: ROWS.get(what) or of(10, *what.split("/")) for header, what, _ in fields})
    if vendor == "qualtrics":  # two further rows of headers
        labels = {c: [c, f'{{"ImportId":"{c}"}}'] for c in frame}
        frame = pd.concat([pd.DataFrame(labels), frame])
    if vendor == "surveymonkey":
        frame = pd.concat([pd.DataFrame({c: ["Response" if "?" in c else ""] for c in frame}), frame])
    frame.to_csv(tmp_path / "export.csv", index=False)
    if table != "customers":
        export(tmp_path, "accounts.csv", {"account_id": ROWS["id"], "signup_date": of(10, "2024-01-01")})
    found = columns(tmp_path, table)
    assert f"# recipe: {vendor}\n" in propose(tmp_path, "acme")
    origins = {name: given.get("column") if isinstance(given, dict) else given for name, given in found.items()}
    assert {o: origins.get(o) for _, _, o in fields if o} == {o: h for h, _, o in fields if o}


def test_recipes_name_tables_columns_and_headers_that_can_be():
    assert {r["vendor"] for r in RECIPES} == {"zendesk", *re.findall(r"(?m)^\w+", VENDORS)}
    for recipe in RECIPES:
        tables = recipe.keys() - {"headers", "where", "question_row", "vendor"}
        assert tables, recipe
        for table in tables:
            extra = () if table in ("customers", "responses") else ("channel", "agent")
            known = {*CONTRACT[table], "region", "plan", "industry", *extra}
            assert recipe[table].keys() <= known, (recipe["vendor"], table)


# --- words ---------------------------------------------------------------------------------------------------------


WORDS = """
en: Customer ID=customers.customer_id, InvoiceNo=orders.order_id, InvoiceDate=orders.ordered_at
en: Ended At=customers.left_on, First reply time=contacts.first_response_at, Verbatim=responses.comment
en: Tenure Months=customers.tenure, Subscription  Length=customers.tenure, months_active=customers.tenure
en: Start=customers.joined_on, End=customers.left_on, oid=orders.order_id, day=orders.ordered_at
de: Kundennummer=customers.customer_id, Kündigungsdatum=customers.left_on, Rechnungsdatum=orders.ordered_at
fr: Numéro client=customers.customer_id, Date résiliation=customers.left_on, Montant=orders.revenue
es: ID cliente=customers.customer_id, Fecha de baja=customers.left_on, Importe=orders.revenue
pt: ID cliente=customers.customer_id, Data saída=customers.left_on, Valor=orders.revenue
it: Codice cliente=customers.customer_id, Disdetta=customers.left_on, Importo=orders.revenue
nl: Klantnummer=customers.customer_id, Opzegdatum=customers.left_on, Bedrag=orders.revenue
"""


@pytest.mark.parametrize("line", WORDS.strip().splitlines(), ids=lambda line: line[:2])
def test_headers_are_known_in_seven_languages(line):
    for header, table, column in re.findall(r"([^=,]+)=(\w+)\.(\w+)", line[3:]):
        ranks = {name: words.rank(plain(header)) for name, (_, words) in FIELDS[table].items()}
        assert max(ranks, key=ranks.get) == column, header
        assert ranks[column] > 0


@pytest.mark.parametrize(
    ("texts", "dates", "more"),
    [
        ("2024-01-02 10:05:00 -0500|2024-03-01T10:00:00.000+0000", None, ""),
        ("31/01/24|05/06/2024", ["%d/%m/%y", "%d/%m/%Y"], "(1 %d/%m/%y, 1 %d/%m/%Y)"),
        ("12/1/2010 8:26|12/13/2010 10:00", "%m/%d/%Y %H:%M", "no other order reads them all"),
        ("03/04/2025|05/06/2025", "TODO", "TODO: %d/%m/%Y or %m/%d/%Y? Both read every value"),
        ("Jan 5, 2024|Mar 6, 2024", "%b %d, %Y", ""),
        ("5-Jan-24", "%d-%b-%y", ""),
        ("20240131", "%Y%m%d", ""),
        ("1672733700", "unix", "2023-01-03"),
        ("1672733700123", "unix_ms", "2023-01-03"),
        ("45000|45001.5", "serial", "2023-03-15"),
    ],
)
def test_the_form_of_a_date_is_told_from_its_values(texts, dates, more):
    column = columns_of(texts.split("|"))
    found, said = column.written("date")
    assert found.get("dates") == dates
    assert more in said


@pytest.mark.parametrize(
    ("texts", "style", "numbers"),
    [
        ("1.234,56-|200,00", (",", "."), [-1234.56, 200]),
        ("(12.50)|3", (".", None), [-12.5, 3]),
        ("$1,200.00|-$5.00", (".", ","), [1200, -5]),
        ("12,50 EUR", (",", None), [12.5]),
        ("1 234,5", (",", " "), [1234.5]),
        ("A12", None, []),
    ],
)
def test_the_form_of_a_number_is_told_from_its_values(texts, style, numbers):
    column = columns_of(texts.split("|"))
    assert (column.style, column.numbers) == (style, numbers)


def columns_of(texts: list[str]) -> Column:
    import pyarrow as pa

    return Column("x", pa.chunked_array([texts]))


def test_a_text_for_no_date_becomes_blank(tmp_path):
    ends = [*of(50, "0000-00-00", "2025-01-05", "2025-02-06", "2025-03-01"), *of(3, "unknown", "NULL")]
    ends = [e if e != "0000-00-00" or i < 4 else "2025-04-01" for i, e in enumerate(ends)]
    export(tmp_path, "customers.csv", {"customer_id": range(1000, 1053), "end_date": ends})
    assert read(tmp_path)["sources"]["customers"]["blank"] == ["", "NULL", "0000-00-00", "unknown"]


# --- made-up exports in several styles ------------------------------------------------------------------------------


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
        "Tarif": of(n, "Basis", "Premium"),
        "Vertragsende": days(n, "%d.%m.%Y", date(2030, 1, 1)),
    }
    export(tmp_path, "Kunden.csv", customers, sep=";", encoding="cp1252")
    orders = {
        "Rechnungsnummer": [f"R{i}" for i in range(200)],
        "Kundennummer": [1000 + i % n for i in range(200)],
        "Rechnungsdatum": days(200, "%d.%m.%Y"),
        "Betrag": [f"{i},99 €" for i in range(200)],
    }
    export(tmp_path, "Rechnungen.csv", orders, sep=";")
    answers = {
        "Kundennummer": [1000 + i % n for i in range(220)],
        "Befragt am": days(220, "%d.%m.%Y 10:00"),
        "Antwortdatum": days(220, "%d.%m.%Y 12:30:59"),
        "Weiterempfehlung": [i % 11 if i % 7 else -99 for i in range(220)],
        "Zufriedenheit": [i % 5 + 1 if i % 9 else 0 for i in range(220)],
        "Aufwand": [i % 7 + 1 for i in range(220)],
        "Kommentar": of(220, "gut; schnell"),
    }
    export(tmp_path, "Umfrage.csv", answers, sep=";")
    return tmp_path


def test_german_exports_with_semicolons_decimal_commas_and_days_first(german):
    found = read(german)
    assert found["sources"]["customers"]["columns"] == {
        "customer_id": "Kundennummer",
        "joined_on": {"column": "Kunde seit", "dates": "%d.%m.%Y"},
        "left_on": {"column": "Kündigungsdatum", "dates": "%d.%m.%Y"},
        "left": {"column": "Gekündigt", "codes": {"ja": "yes", "nein": "no"}},
        "monthly_revenue": {"column": "Monatsbeitrag", "decimal": ",", "thousands": "."},
        "contract_ends_on": {"column": "Vertragsende", "dates": "%d.%m.%Y"},
        "plan": "Tarif",
    }
    assert (found["segments"], found["relationship"], found["currency"]) == (["plan"], "contractual", "EUR")
    assert found["sources"]["orders"]["columns"]["revenue"] == {"column": "Betrag", "decimal": ","}
    assert found["as_of"] == date(2025, 8, 8)  # of what has happened: the contracts end in 2030


def test_three_scores_of_one_survey_become_three_sources_with_their_scales_and_codes(german):
    found = read(german)
    sources = {s["columns"]["metric"]["value"]: s["columns"] for s in found["sources"]["responses"]}
    assert sources["nps"]["score"] == {"column": "Weiterempfehlung", "no_answer": ["-99"]}
    assert sources["csat"]["score"] == {"column": "Zufriedenheit", "no_answer": ["0"]}  # 0 on a scale from 1 to 5
    assert sources["ces"]["score"] == "Aufwand"
    for found_columns in sources.values():
        assert found_columns["asked_at"] == {"column": "Befragt am", "dates": "%d.%m.%Y %H:%M"}
        assert found_columns["answered_at"] == {"column": "Antwortdatum", "dates": "%d.%m.%Y %H:%M:%S"}
    assert found["metrics"] == {
        "nps": {"scale": [0, 10]},
        "csat": {"scale": [1, 5], "good": "high", "satisfied_from": 4},
        "ces": {"scale": [1, 7], "version": "TODO"},  # its direction is never guessed
    }


def test_every_guess_says_why_and_every_unused_column_too(german):
    text = propose(german, "acme")
    assert why(text, "customer_id") == "guess: 100 % of values are unique"
    assert why(text, "joined_on").startswith("guess: all values are dates, 2025-01-01 to 2025-03-01")
    assert why(text, "score") == "guess: answers from 0 to 10"
    assert why(text, "revenue") == "guess: all values are numbers, 0.99 to 199.99"
    assert why(text, "as_of") == "guess: the last day that most tables reach"
    assert why(text, "ces").startswith('TODO: "1.0" asks how much effort')
    assert "100 % of its values are in Kunden.csv" in text
    assert "# Not used: Kunden.csv (Firma)\n" in text


def test_what_looks_needed_and_is_not_used_is_named_with_the_reason(tmp_path):
    customers = {
        "customer_id": range(1000, 1100),
        "signup_date": days(100),
        "last_seen": days(100),
        "created_at": days(100),
        "deposit": [f"{i}.50" for i in range(100)],
        "mood": of(100, *range(1, 6)),
        "notes": [f"n{i}" for i in range(100)],
    }
    export(tmp_path, "customers.csv", customers)
    export(tmp_path, "weather.csv", {"rain": [1.5, 2.5], "city": ["Bath", "York"]})
    lines = propose(tmp_path, "acme").partition("# Not used")[2].splitlines()
    assert lines == [
        ": customers.csv (notes)",
        "#   last_seen: dates, 2025-01-01 to 2025-04-10; its header names no column of ours",
        "#   created_at: dates, 2025-01-01 to 2025-04-10; signup_date is used for this",
        "#   deposit: amounts; its header names no column of ours",
        "#   mood: answers from 1 to 5?; its header names no column of ours",
        "# Not used: weather.csv: its headers tell no table (rain, city)",
    ]


def test_dates_that_fit_both_orders_are_left_to_a_person_unless_another_column_tells(tmp_path):
    both = [f"0{i % 9 + 1}/0{i % 7 + 1}/2025" for i in range(60)]
    export(tmp_path, "customers.csv", {"customer_id": range(60), "signup_date": both})
    assert columns(tmp_path, "customers")["joined_on"] == {"column": "signup_date", "dates": "TODO"}
    assert read(tmp_path)["as_of"] == "TODO"  # no date that is sure
    told = propose(tmp_path, "acme", ask=lambda question, shape, default: "month" if "month" in shape else default)
    assert yaml.safe_load(told)["sources"]["customers"]["columns"]["joined_on"]["dates"] == "%m/%d/%Y"
    ends = of(60, "31/12/2025", "", "")
    export(tmp_path, "customers.csv", {"customer_id": range(60), "signup_date": both, "end_date": ends})
    assert columns(tmp_path, "customers")["joined_on"]["dates"] == "%d/%m/%Y"


def test_a_flag_that_is_yes_or_blank_is_no_where_it_is_blank(tmp_path):
    flags = {"customer_id": range(1000, 1060), "churned": of(60, "yes", "", "", ""), "tenure_months": range(60)}
    export(tmp_path, "customers.csv", flags)
    assert columns(tmp_path, "customers")["left"] == {"column": "churned", "codes": {"": "no"}}
    assert opened(tmp_path, tmp_path / "data")[0].frame("customers")["left"].sum() == 15


def test_a_number_with_one_mark_before_three_digits_is_doubted(tmp_path):
    export(tmp_path, "customers.csv", {"customer_id": range(60), "mrr": [f"{i + 1}.500" for i in range(60)]})
    said = why(propose(tmp_path, "acme"), "monthly_revenue")
    assert said.endswith("three digits after every mark: thousands or decimals?")


def test_what_a_person_answers_is_written_and_said(tmp_path):
    export(tmp_path, "customers.csv", {"customer_id": range(60), "signup_date": days(60)})
    orders = {"order_id": range(120), "customer_id": of(120, *range(60)), "order_date": days(120), "total": range(120)}
    export(tmp_path, "orders.csv", orders)
    asked: dict[str, tuple] = {}
    answers = {"days without": "90", "three letters": "SEK", "share of revenue": "0.4"}

    def ask(question: str, shape: str, default: str) -> str:
        asked[question] = (shape, default)
        return next((a for start, a in answers.items() if question.startswith(start)), default)

    text = propose(tmp_path, "acme", ask=ask)
    found = settings.check(yaml.load(text, Loader=yaml.BaseLoader))
    assert (found.inactive_after_days, found.currency, found.money.gross_margin) == (90, "SEK", 0.4)
    assert why(text, "currency") == "your answer"
    assert ("contractual|noncontractual", "noncontractual") in asked.values()
    assert len(asked) == 4


def test_a_helpdesk_export_alone_gives_cases_answers_and_customers(tmp_path):
    tickets = {
        "Id": range(5000, 5120),
        "Requester id": [f"U{i % 40}" for i in range(120)],
        "Created at": days(120, "%Y-%m-%d 09:00:00"),
        "Solved at": days(120, "%Y-%m-%d 17:00:00"),
        "First reply time in minutes": range(120),
        "First reply time in minutes within business hours": range(120),
        "Subject": [f"Help {i}" for i in range(120)],
        "Satisfaction Score": of(120, "Good", "Bad", "Offered"),
    }
    export(tmp_path, "helpdesk_export.csv", tickets)
    found = read(tmp_path)
    assert found["sources"]["customers"]["sql"].startswith('select distinct "Requester id" from helpdesk_export')
    answers = found["sources"]["responses"]["columns"]
    assert answers["score"] == {
        "column": "Satisfaction Score",
        "codes": {"Good": 1, "Bad": 0},
        "no_answer": ["Offered"],
    }
    assert (answers["asked_at"], answers["contact_id"]) == ("Solved at", "Id")
    assert found["sources"]["contacts"]["columns"]["first_response_at"]["column"] == "First reply time in minutes"
    assert found["metrics"]["csat"] == {"scale": [0, 1], "good": "high", "satisfied_from": 1}
    assert found["relationship"] == "contractual"  # without orders nobody can be asked for days without one


@pytest.mark.parametrize(
    ("labels", "points"),
    [
        ("Very satisfied|Satisfied|Neutral|Dissatisfied|Very dissatisfied", [5, 4, 3, 2, 1]),
        ("Sehr zufrieden|Eher zufrieden|Teils, teils|Unzufrieden|Sehr unzufrieden", [5, 4, 3, 2, 1]),
        ("Terrible|Bad|OK|Great|Amazing", [1, 2, 3, 4, 5]),
    ],
)
def test_answers_in_words_are_coded_by_their_scale(tmp_path, labels, points):
    texts = labels.split("|")
    export(tmp_path, "customers.csv", {"customer_id": range(1000, 1060)})
    export(tmp_path, "survey.csv", {"customer_id": range(1000, 1060), "satisfaction": of(60, *texts)})
    score = columns(tmp_path, "responses")["score"]
    assert score["codes"] == dict(zip(texts, points, strict=True))


def test_labels_that_are_not_understood_are_a_question_and_never_no_answer(tmp_path):
    export(tmp_path, "customers.csv", {"customer_id": range(1000, 1060)})
    answers = of(60, "1", "2", "3", "4", "5", "so so", "prefer not to say")
    export(tmp_path, "survey.csv", {"customer_id": range(1000, 1060), "satisfaction": answers})
    score = columns(tmp_path, "responses")["score"]
    assert (score["codes"], score["no_answer"]) == ({"so so": "TODO"}, ["prefer not to say"])


def test_half_stars_are_answers_and_averages_are_none(tmp_path):
    export(tmp_path, "customers.csv", {"customer_id": range(1000, 1060)})
    ratings = {"customer_id": range(1000, 1060), "stars": of(60, "4.5", "5", "0.5", "3"), "rating": of(60, 4.1, 3.7)}
    export(tmp_path, "reviews.csv", ratings)
    assert read(tmp_path)["metrics"] == {"csat": {"scale": [0, 5], "good": "high", "satisfied_from": 4}}
    assert columns(tmp_path, "responses")["score"] == "stars"


def test_a_file_with_several_questions_is_split_and_what_has_no_answers_on_a_scale_is_left_out(tmp_path):
    export(tmp_path, "customers.csv", {"customer_id": range(1000, 1090), "joined": days(90)})
    asked = of(270, "Relationship NPS", "Onboarding CES", "How did you hear of us?")
    answers = [{"R": i % 11, "O": i % 7 + 1}.get(q[0], f"friend {i}") for i, q in enumerate(asked)]
    survey = {"customer_id": of(270, *range(1000, 1090)), "question": asked, "answered": days(270), "answer": answers}
    export(tmp_path, "survey.csv", survey)
    source = read(tmp_path)["sources"]["responses"]
    assert source["columns"]["metric"]["codes"] == {"Onboarding CES": "ces", "Relationship NPS": "nps"}
    assert source["columns"]["touchpoint"]["codes"] == {
        "Onboarding CES": "onboarding",
        "Relationship NPS": "relationship",
    }
    assert source["sql"].splitlines()[-1] == "where \"question\" in ('Onboarding CES', 'Relationship NPS')"
    company, _ = opened(tmp_path, tmp_path / "data")
    assert company.frame("responses")["metric"].value_counts().to_dict() == {"nps": 90, "ces": 90}


@pytest.mark.parametrize(("second", "kept"), [(range(1, 8), []), (range(11), ["nps"])])
def test_questions_without_a_name_are_one_only_if_their_scales_are(tmp_path, second, kept):
    export(tmp_path, "customers.csv", {"customer_id": range(1000, 1090), "joined": days(90)})
    asked, scales = of(180, "Q1", "Q2"), {"Q1": cycle(range(11)), "Q2": cycle(second)}
    answers = {
        "customer_id": of(180, *range(1000, 1090)),
        "question": asked,
        "answer": [next(scales[q]) for q in asked],
    }
    export(tmp_path, "feedback.csv", answers)
    text = propose(tmp_path, "acme")
    assert [*yaml.safe_load(text).get("metrics", {})] == kept
    assert ("names no metric: give it a metric of its own" in text) == (not kept)


def test_unlike_scales_are_not_laid_under_one_metric(tmp_path):
    ids = range(1000, 1060)
    export(tmp_path, "customers.csv", {"customer_id": ids})
    export(tmp_path, "a_survey.csv", {"customer_id": ids, "satisfaction": of(60, *range(1, 6))})
    export(tmp_path, "b_survey.csv", {"customer_id": ids, "satisfaction": of(60, *range(0, 11)), "note": ids})
    export(tmp_path, "c_nps.csv", {"customer_id": ids, "rating": of(60, *range(0, 11))})  # the name of the file tells
    text = propose(tmp_path, "acme")
    found = yaml.safe_load(text)
    assert {s["file"]: s["columns"]["metric"]["value"] for s in found["sources"]["responses"]} == {
        "a_survey.csv": "csat",
        "c_nps.csv": "nps",
    }
    assert "answers from 0 to 10, not 1 to 5 as elsewhere: give it a metric of its own" in text


def test_ids_are_recognised_by_their_values_where_the_header_says_nothing(tmp_path):
    ids = [f"K-{i:04d}" for i in range(80)]
    export(tmp_path, "customers.csv", {"customer_id": ids, "signup_date": days(80)})
    orders = {"order_id": range(160), "reference": ids * 2, "order_date": days(160), "total": range(160)}
    export(tmp_path, "orders.csv", orders)
    assert columns(tmp_path, "orders")["customer_id"] == "reference"
    assert "100 % of its values are in customers.csv" in propose(tmp_path, "acme")


@pytest.mark.parametrize("known", [29, 30])
def test_no_id_is_proposed_under_half_a_match(tmp_path, known):
    export(tmp_path, "customers.csv", {"customer_id": [f"A{i:04d}" for i in range(100)], "signup_date": days(100)})
    ids = [f"{'A' if i < known else 'B'}{i:04d}" for i in range(60)]
    orders = {"order_id": range(60), "customer_id": ids, "order_date": days(60), "total": range(60)}
    export(tmp_path, "orders.csv", orders)
    assert columns(tmp_path, "orders")["customer_id"] == ("customer_id" if known == 30 else "TODO")


def test_a_customer_is_found_over_a_third_table(tmp_path):
    export(tmp_path, "customers.csv", {"customer_id": [f"A{i:04d}" for i in range(60)], "signup_date": days(60)})
    orders = {"order_id": [f"o{i}" for i in range(60)], "customer_id": [f"A{i:04d}" for i in range(60)]}
    export(tmp_path, "orders.csv", orders | {"order_date": days(60), "total": of(60, "1.50")})
    reviews = {"review_id": range(50), "order_id": [f"o{i}" for i in range(50)], "stars": of(50, *range(1, 6))}
    export(tmp_path, "reviews.csv", reviews)
    source = read(tmp_path)["sources"]["responses"]
    assert source["sql"] == (
        'select a.*, b."customer_id" from reviews a\nleft join orders b on b."order_id" = a."order_id"\n'
    )
    company, _ = opened(tmp_path, tmp_path / "data")
    assert sorted(company.frame("responses")["customer_id"]) == [f"A{i:04d}" for i in range(50)]


def test_lines_of_an_order_are_price_times_quantity_and_rows_without_a_customer_are_left_out(tmp_path):
    n = 90
    lines = {
        "InvoiceNo": [f"5{i // 3:05d}" for i in range(n)],
        "InvoiceDate": [f"12/{i % 28 + 1}/2010 8:26" for i in range(n)],
        "Quantity": of(n, 2, 3, -1),
        "UnitPrice": of(n, "1.50", "2.00"),
        "CustomerID": [f"{17000 + i // 9}" if i >= 9 else "" for i in range(n)],
    }
    export(tmp_path, "online_retail.csv", lines)
    source = read(tmp_path)["sources"]["orders"]
    assert source["columns"]["revenue"] == {"column": "UnitPrice", "times": "Quantity"}
    company, _ = opened(tmp_path, tmp_path / "data")
    expected = sum(
        q * float(p) for q, p, c in zip(lines["Quantity"], lines["UnitPrice"], lines["CustomerID"], strict=True) if c
    )
    assert (len(company.frame("orders")), company.frame("orders")["revenue"].sum()) == (27, pytest.approx(expected))


def test_a_total_that_stands_on_every_line_is_not_added_up(tmp_path):
    export(tmp_path, "customers.csv", {"customer_id": range(1000, 1030), "signup_date": days(30)})
    orders = {
        "order_id": [i // 3 for i in range(90)],
        "customer_id": [1000 + i // 3 for i in range(90)],
        "order_date": [days(30)[i // 3] for i in range(90)],
        "order_total": [10 + i // 3 for i in range(90)],
        "sku": range(90),
    }
    export(tmp_path, "orders.csv", orders)
    company, _ = opened(tmp_path, tmp_path / "data")
    assert company.frame("orders")["revenue"].sum() == sum(range(10, 40))


def test_several_subscriptions_are_one_span_and_start_and_end_are_known(tmp_path):
    n = 80
    subscriptions = {
        "id": range(n),
        "customer": [f"C{i % 50:03d}" for i in range(n)],
        "Start": days(n),
        "End": ["" if i % 2 else "2026-02-01" for i in range(n)],
        "monthly_fee": of(n, 10),
    }
    export(tmp_path, "subscriptions.csv", subscriptions)
    source = read(tmp_path)["sources"]["customers"]
    assert (source["repeats"], source["columns"]["joined_on"], source["columns"]["left_on"]) == ("span", "Start", "End")
    company, _ = opened(tmp_path, tmp_path / "data")
    assert len(company.frame("customers")) == 50


def test_files_with_the_same_columns_are_one_table(tmp_path):
    export(tmp_path, "customers.csv", {"customer_id": range(1000, 1040), "signup_date": of(40, "2024-12-01")})
    for month in range(1, 13):
        day = of(40, f"2025-{month:02d}-15")
        orders = {"order_id": [f"{month}-{i}" for i in range(40)], "customer_id": range(1000, 1040), "order_date": day}
        export(tmp_path, f"orders_2025-{month:02d}.csv", orders | {"total": range(40)})
    heard = []
    text = propose(tmp_path, "acme", tell=lambda *progress: heard.append(progress))
    found = yaml.safe_load(text)
    assert found["sources"]["orders"]["file"] == "orders_*.csv"
    assert found["as_of"] == date(2025, 12, 15)  # of the last file
    assert heard[-1] == (13, 13, "orders_2025-12.csv")
    company, _ = opened(tmp_path, tmp_path / "data")
    assert len(company.frame("orders")) == 480


def test_monthly_snapshots_of_customers_are_not_contracts(tmp_path):
    for month in (1, 2, 3):
        ends = ["2025-02-15" if i % 4 == 0 and month == 3 else "" for i in range(40)]
        snapshot = {"customer_id": range(1000, 1040), "signup_date": days(40, start=date(2024, 1, 1)), "end_date": ends}
        export(tmp_path, f"customers_{month}.csv", snapshot)
    text = propose(tmp_path, "acme")
    assert yaml.safe_load(text)["sources"]["customers"]["file"] == "customers_3.csv"
    assert "# Not read: the files before customers_3.csv, which hold the same customers" in text


def test_title_rows_above_a_header_are_skipped(tmp_path):
    rows = "\n".join(f"{i + 1000};2025-01-{i % 28 + 1:02d};{i},50" for i in range(40))
    (tmp_path / "customers.csv").write_text(f"Customers, all regions\nCustomer ID;Joined;Monthly fee\n{rows}\n")
    assert read(tmp_path)["sources"]["customers"]["header_row"] == 2
    assert len(opened(tmp_path, tmp_path / "data")[0].frame("customers")) == 40


def test_a_snapshot_without_ids_counts_each_row_as_a_customer(tmp_path):
    rows = {"Complains": of(60, 0, 1), "Subscription  Length": range(60), "Charge": range(60), "Churn": of(60, 1, 0, 0)}
    export(tmp_path, "churn.csv", rows)
    company, _ = opened(tmp_path, tmp_path / "data")
    customers = company.frame("customers")
    assert (len(customers), customers["left"].sum(), customers["tenure"].max()) == (60, 20, 59)


def test_the_day_of_the_report_is_one_that_most_tables_reach(tmp_path):
    ids = range(1000, 1060)
    export(
        tmp_path, "customers.csv", {"customer_id": ids, "signup_date": days(60), "end_date": of(60, "2025-09-20", "")}
    )
    slips = ["2026-05-01", *days(59, start=date(2025, 8, 1))]
    export(tmp_path, "orders.csv", {"order_id": ids, "customer_id": ids, "order_date": slips, "total": ids})
    export(
        tmp_path, "survey.csv", {"customer_id": ids, "sent_at": days(60, start=date(2025, 8, 2)), "nps": of(60, 10, 0)}
    )
    assert read(tmp_path)["as_of"] == date(2025, 9, 30)  # neither the mistyped year nor the last to leave


def test_a_column_that_looks_like_a_score_and_is_none_is_not_taken(tmp_path):
    rows = {
        "customer_id": range(200),
        "nps": [i % 201 - 100 for i in range(200)],  # a result, not an answer
        "satisfaction_group": of(200, "Promoter", "Passive"),
        "rating": [7] * 200,
    }
    export(tmp_path, "customers.csv", rows)
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
    found = read(tmp_path)["sources"]
    assert {t: s["sheet"] for t, s in found.items()} == {
        "customers": "Customers",
        "initiatives": "Programmes",
        "exposures": "Reached",
    }
    assert found["exposures"]["columns"]["customer_id"] == "customer_id"


def test_hostile_headers_stay_on_their_lines(tmp_path):
    header = 'satisfaction: "x"\n# {drop}'
    rows = {"customer_id": range(60), header: of(60, 1, 2, 3, 4, 5), "a\nb: [": of(60, "x", "y"), "#": ["p"] * 60}
    export(tmp_path, "it's: #1.csv", rows)
    found = read(tmp_path)
    assert found["sources"]["responses"]["file"] == "it's: #1.csv"
    assert found["sources"]["responses"]["columns"]["score"] == header
    assert found["sources"]["customers"]["columns"]["a_b"] == "a\nb: ["


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(InputError, match="no such folder or file"):
        propose(tmp_path / "nowhere", "acme")
    with pytest.raises(InputError, match="no readable export"):
        propose(tmp_path, "acme")
    (tmp_path / "bad.csv").write_text("a,b\n1\n")
    with pytest.raises(InputError, match=r"bad\.csv"):
        propose(tmp_path, "acme")
    export(tmp_path, "customers.csv", {"customer_id": range(30)})
    assert "# Not read: The row has 1 fields" in propose(tmp_path, "acme")


def test_nothing_found_is_all_todo(tmp_path):
    export(tmp_path, "weather.csv", {"rain": [1.5, 2.5], "city": ["Bath", "York"]})
    found = yaml.safe_load(propose(tmp_path, "acme"))
    assert found["sources"] == {"customers": {"file": "TODO", "columns": {"customer_id": "TODO"}}}


# --- writing it ---------------------------------------------------------------------------------------------------


def test_a_new_company_points_at_the_exports_and_is_never_written_over(tmp_path):
    exports = tmp_path / "my exports"
    exports.mkdir()
    export(exports, "customers.csv", {"customer_id": range(30)})
    export(exports, "other.csv", {"customer_id": range(30)})
    path = new_company("acme-uk", exports / "customers.csv", tmp_path / "data")  # a file is taken as well as a folder
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert found["folder"] == "../../my exports"
    assert (path.parent / found["folder"] / "customers.csv").exists()
    assert "other.csv" not in path.read_text(encoding="utf-8")
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
    assert (scores["nps"]["columns"]["score"], scores["csat"]["columns"]["score"]) == ("nps", "satisfaction")
    assert scores["nps"]["columns"]["comment"] == "explication"
    assert found["as_of"] == "TODO"  # there is no date in it


def test_the_brazilian_marketplace():
    found = real("olist")
    sources = found["sources"]
    assert sources["customers"]["file"] == "olist_customers_dataset.csv"
    assert found["metrics"] == {"csat": {"scale": [1, 5], "good": "high", "satisfied_from": 4}}
    reviews = sources["responses"]
    assert reviews["columns"]["score"] == "review_score"
    assert reviews["columns"]["asked_at"] == "review_creation_date"
    assert reviews["columns"]["answered_at"] == "review_answer_timestamp"
    assert 'left join olist_orders_dataset b on b."order_id" = a."order_id"' in reviews["sql"]
    orders = sources["orders"]
    assert orders["columns"]["ordered_at"] == "order_purchase_timestamp"
    assert 'sum("payment_value"::double) as "payment_value" from olist_order_payments_dataset' in orders["sql"]
    assert orders["columns"]["revenue"] == "payment_value"
    assert (found["relationship"], found["as_of"]) == ("noncontractual", date(2018, 10, 22))


def test_the_software_company():
    sources = (found := real("ravenstack"))["sources"]
    assert sources["customers"]["file"] == "ravenstack_accounts.csv"
    assert sources["customers"]["columns"]["joined_on"] == "signup_date"
    assert sources["customers"]["columns"]["left"] == "churn_flag"
    assert {"industry", "plan"} <= set(found["segments"])
    assert found["relationship"] == "contractual"
    assert sources["contacts"]["columns"]["first_response_at"]["unit"] == "minutes"
    assert sources["contacts"]["columns"]["resolved_at"] == "closed_at"
    assert sources["responses"]["columns"]["score"] == "satisfaction_score"
    assert found["metrics"]["csat"]["scale"] == [1, 5]  # 3 to 5 occur
    assert "orders" not in sources
