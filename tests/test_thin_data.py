"""Thin data: the report says little, says why in one line, and claims nothing that the exports do not carry."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from lint import faults
from test_html import found, output, page_of, record

from cxlib.churn import curves, hazard_ratios, renewals, retention, risk, tenure
from cxlib.intake.company import Company
from cxlib.overview import data_check
from cxlib.page import charts, gaps, masking, session
from cxlib.page.findings import Finding
from cxlib.publish import html, run
from cxlib.roi import priorities, returns
from cxlib.scores import agreement, current, nonresponse, segments, support
from cxlib.value import acquisition, by_score, forecast

DETRACTORS, PROMOTERS = 200, 100


def company(frames, **settings):
    given = {"name": "Thin", "as_of": "2024-06-30", "relationship": "contractual", "currency": "EUR"}
    return Company.from_frames(given | {"metrics": {"nps": {"scale": [0, 10]}}} | settings, frames)


@pytest.fixture(scope="module")
def snapshot():
    """400 customers with a flag and no date: of 200 detractors 80 left, of 100 promoters 10, of 100 others 30."""
    left = [i < 80 for i in range(200)] + [i < 10 for i in range(100)] + [i < 30 for i in range(100)]
    customers = pd.DataFrame({"customer_id": [f"C{i:03}" for i in range(400)], "left": left})
    scores = [3.0] * DETRACTORS + [10.0] * PROMOTERS
    answers = {"response_id": [f"R{i}" for i in range(300)], "customer_id": customers["customer_id"][:300]}
    return company({"customers": customers, "responses": pd.DataFrame(answers | {"metric": "nps", "score": scores})})


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """A survey that nobody signed: its rows are all the customers there are; 120 of 300 gave a score."""
    folder = tmp_path_factory.mktemp("survey")
    rows = [f"p{i},{'2024-03-01' if i % 2 else '2024-05-01'},{i % 11 if i < 120 else ''}" for i in range(300)]
    (folder / "survey.csv").write_text("\n".join(["id,sent,score", *rows]))
    (folder / "company.yaml").write_text(
        "{name: S, as_of: 2024-06-30, relationship: noncontractual, inactive_after_days: 365, "
        "metrics: {nps: {scale: [0, 10]}}, exports: {answers: survey.csv}, "
        "sources: {customers: {sql: select distinct id from answers, columns: {customer_id: id}}, "
        "responses: {file: survey.csv, columns: "
        "{response_id: id, customer_id: id, metric: {value: nps}, asked_at: sent, score: score}}}}"
    )
    from cxlib import open_company

    return open_company(folder)


def reason(finding) -> str:
    assert not finding.answered
    return finding.headline.removeprefix("Not answered: ")


# ---- one line ------------------------------------------------------------------------------------------------


def unanswered(name: str, why: str, remedy: str = "") -> dict:
    return {"name": name, "title": f"What of {name}", "headline": f"Not answered: {why}.", "detail": remedy} | {
        "answered": False
    }


def test_all_that_is_not_answered_is_one_line_of_reasons_the_most_frequent_first():
    each = [unanswered(f"v{i}", "no money block", "Declare it.") for i in range(3)] + [unanswered("w", "no orders")] * 2
    each += [unanswered(k, f"reason {k}") for k in "abc"] + [{"name": "x", "answered": True}]
    line = gaps.line(gaps.gaps(each))
    assert line == (
        "Not answered here: 7 questions. Why: no money block (3); no orders (1); reason a (1); other reasons (2)."
    )
    text = gaps.markup(gaps.gaps([*each, unanswered("y", "<b>")]))
    assert text.count("Not answered") == 1
    assert "No money block. Declare it. Concerns: What of v0; What of v1; What of v2" in text
    assert "<b>" not in text
    assert not gaps.gaps([{"name": "x", "answered": True}])


def test_a_page_names_what_it_does_not_answer_and_says_why_in_one_line_at_its_end(monkeypatch, snapshot):
    shown = []
    monkeypatch.setattr(session, "open_company", lambda *_, **__: snapshot)
    monkeypatch.setattr(session, "display", lambda data, raw: shown.append(data))
    page = session.open_page("00_data_check", {"company": "demo-shop", "as_of": ""})
    page.show(Finding("a", "Who left?", "Not answered: no dates.", "count", "Map them.", answered=False))
    page.show(Finding("b", "B", "It is so.", caveats=("Few answers.",)))
    page.show(Finding("c", "C", "It is too.", caveats=("Few answers.", "Old.")))
    page.show(Finding("b", "B", "It is so.", caveats=("Few answers.",)))  # the cell is run again
    page.close()
    assert 'class="unanswered"' in shown[0]["text/html"]
    assert ["Few answers." in s["text/html"] for s in shown[1:4]] == [True, False, True]
    assert shown[-2]["text/plain"] == "2 of 3 questions answered."
    assert shown[-1]["text/plain"] == "Not answered here: 1 question. Why: no dates (1)."


def test_a_heading_under_which_nothing_stands_goes_with_its_entry_in_the_contents():
    gone = output("text/html", '<p class="unanswered">Who left?</p>')
    text = page_of(
        "# T", "## Empty\n\nWords.", gone, "### Part", [],
        "## Half", gone, "### Silent", gone, "### Said", output("text/plain", "said"), "## Method\n\nOnly text.",
    )  # fmt: skip
    for kept in ("Half", "Said", "Method"):
        assert re.search(rf"<h[23][^>]*>{kept}</h", text)
    assert not re.search("Empty|Words|Silent|Who left|Part", text)
    assert len(re.findall(r'<a href="#(half|method)"', text)) == 2


def test_a_notebook_that_answers_nothing_is_left_out_and_the_first_page_says_why(tmp_path):
    link = '<nav><ul><li><a href="06_roi.html">ROI</a></li></ul></nav><p>See <a href="06_roi.html#x">returns</a>.</p>'
    for name in ("01_scores.html", "06_roi.html", "06_roi.ipynb"):
        (tmp_path / name).write_text(link)
    about = [record()["notebooks"][0], record()["notebooks"][1] | {"name": "06_roi", "title": "Return"}]
    findings = [
        found("01_scores", "NPS is 12.", "count"),
        found("06_roi", "Not answered: no initiatives table.", "count", answered=False),
    ]
    run._leave_out(about, findings, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["01_scores.html"]
    assert (tmp_path / "01_scores.html").read_text() == "<nav><ul></ul></nav><p>See returns.</p>"
    text = html.index_page(record(notebooks=about), findings, [])
    assert "1 pages" in text
    assert "ROI (no initiatives table)." in text
    assert text.count("Not answered") == 1
    assert "06_roi.html" not in text


# ---- the true first reason -----------------------------------------------------------------------------------


def test_a_flag_without_dates_is_the_reason_not_a_missing_contract(snapshot):
    asked = [retention.rates, retention.cohorts, tenure.by_tenure, risk.calibration, forecast.base, acquisition.simple]
    assert {reason(ask(snapshot)) for ask in asked} == {"the exports show who left, but not when."}
    assert {reason(ask(snapshot)) for ask in (curves.by_score, by_score.by_score, risk.beyond)} <= {
        "the answers carry no dates, so no one knows what came first.",
        "the exports show who left, but not when.",
    }


def test_missing_initiatives_come_before_a_missing_money_block(snapshot):
    none = returns.results(snapshot)
    asked = [returns.summary(snapshot, none), returns.statements(snapshot, none), priorities.ranked(snapshot, [])]
    assert {reason(f) for f in asked} == {"no initiatives table."}


def test_where_there_is_no_survey_that_is_the_one_reason_for_all_that_needs_one():
    bare = company({"customers": pd.DataFrame({"customer_id": ["a", "b"]})}, relationship="noncontractual",
                   inactive_after_days=90)  # fmt: skip
    asked = [current.headline, nonresponse.funnel, agreement.together, agreement.composite, curves.by_score]
    assert {reason(ask(bare)) for ask in [*asked, agreement.satisfied_leavers, by_score.by_score]} == {
        "no responses table."
    }
    asked = [curves.naive, curves.exits, hazard_ratios.routes, renewals.renewals, retention.rates, forecast.base]
    assert {reason(ask(bare)) for ask in asked} == {"without contracts, nobody is seen to leave."}


# ---- a snapshot ----------------------------------------------------------------------------------------------


def test_of_a_snapshot_the_share_who_left_is_told_with_its_base_and_by_score_as_observed(snapshot):
    told, by = retention.left(snapshot), retention.left_by_score(snapshot)
    (figure,) = told.figures
    assert (figure.estimate.value, figure.estimate.n, told.known) == (120 / 400, 400, "count")
    assert told.headline == "30.0% (25.7–34.7%) of 400 customers in the export have left."
    assert by.known == "observed"
    assert dict(zip(by.table["band"], by.table["value"], strict=True)) == {"detractor": 0.4, "promoter": 0.1}
    assert "known only together with leaving" in by.caveats[0]
    assert not [w for f in (told, by) for w in faults(f)]


# ---- claims --------------------------------------------------------------------------------------------------


def test_an_anonymous_survey_claims_no_base(survey):
    assert "who was not asked is not known" in reason(nonresponse.funnel(survey))
    rate = nonresponse.rates(survey)
    assert rate.headline.endswith("of the rows of the survey hold a score for NPS.")
    said = " ".join(t for f in (current.headline(survey), rate, nonresponse.weighted(survey)) for t in f.texts)
    assert not re.search(r"customers (were )?here|[0-9] customers|everyone asked|today's customers", said)


def shop(first: str):
    days = pd.date_range(first, "2024-06-30", freq="2D")
    orders = {"order_id": [f"O{i}" for i in range(len(days))], "customer_id": [f"C{i}" for i in range(len(days))]}
    orders = pd.DataFrame(orders | {"ordered_at": days, "revenue": 10.0})
    return company({"customers": orders[["customer_id"]], "orders": orders}, relationship="noncontractual",
                   inactive_after_days=90)  # fmt: skip


@pytest.mark.parametrize(("first", "said"), [("2023-08-15", "3 quarters from 1 October 2023"), ("2022-05-15", ", ")])
def test_no_quarter_before_the_export_begins_is_compared(first, said):
    told = retention.growth(shop(first))
    assert said in told.headline
    assert ("in the year before" in told.headline) == (first < "2023")
    assert " 0 " not in told.headline
    assert told.table["period"].min() >= pd.Timestamp(first)


def contacts(customers: list[str], **more):
    opened = pd.Series(pd.date_range("2024-01-01", periods=len(customers), freq="D"))
    cases = {"contact_id": [f"T{i}" for i in range(len(customers))], "customer_id": customers, "opened_at": opened}
    cases = pd.DataFrame(cases | {"resolved_at": opened + pd.Timedelta(hours=5)} | more)
    return company({"customers": pd.DataFrame({"customer_id": sorted(set(customers))}), "contacts": cases})


def test_solved_at_first_contact_is_said_only_where_a_return_can_be_seen():
    once = contacts([f"C{i}" for i in range(60)])
    assert "a return cannot be seen" in reason(support.first_contact(once))
    again = support.first_contact(contacts([f"C{i % 40}" for i in range(80)]))
    assert "not followed by another of the same customer within 7 days" in again.headline
    assert "solved" not in again.headline + again.title
    known = support.first_contact(contacts([f"C{i % 40}" for i in range(80)], reopened_at=pd.NaT))
    assert known.headline.endswith("were solved at first contact.")


# ---- charts, the badge, ids ----------------------------------------------------------------------------------


def test_a_chart_draws_the_largest_levels_and_says_how_many_it_leaves_out():
    rows = [{"band": f"reason {i}", "months": m, "value": 0.1, "low": 0, "high": 0.2, "at_risk": 9, "n": 100 - i}
            for i in range(18) for m in (0, 6)]  # fmt: skip
    for chart, options, most in (
        (charts.curves, {}, 8), (charts.over_time, {"group": "band", "x": "months"}, 8),
        (charts.intervals, {"label": "band"}, 30),
    ):  # fmt: skip
        axes = chart(pd.DataFrame(rows), "T", **options).axes[0]
        several = len(rows) if chart is charts.intervals else 18
        assert axes.get_title(loc="left").startswith(f"{several - most} of {several} levels are not drawn")
        charts.plt.close("all")


@pytest.mark.parametrize(
    ("aside", "money", "state", "words"),
    [(0, 0, "state", "Complete; no row set aside"), (40, 0, "state", "Complete; 4.0% of rows set aside"),
     (60, 0, "state state-warning", "Check the data: 6.0% of orders set aside"),
     (10, 25, "state state-warning", "Check the data: 20% of the money of orders set aside")],
)  # fmt: skip
def test_the_badge_is_green_only_where_little_was_set_aside_and_names_the_share(aside, money, state, words):
    used = {"table": "orders", "rows_read": 1000, "merged": 0, "set_aside": aside, "used": 1000 - aside}
    lost = {"table": "orders", "reason": "unknown customer", "rows": aside, "money": money}
    text = html.index_page(record(record=[used], set_aside=[lost], money={"orders": 100.0}), [], [])
    assert f'<span class="{state}">{words}</span>' in text


def test_ids_and_addresses_of_examples_are_masked_outside_check(tmp_path):
    assert [masking.masked(v) for v in ("C004712", "C12")] == ["C0…12", "C…"]
    frames = {
        "customers": pd.DataFrame({"customer_id": [f"kim.{i}@shop.test" for i in range(40)]}),
        "orders": pd.DataFrame({"order_id": ["O1", "O2"], "customer_id": ["lee.7@shop.test", "kim.1@shop.test"],
                                "ordered_at": pd.to_datetime(["2024-01-01"] * 2), "revenue": 1.0}),
    }  # fmt: skip
    opened = company(frames, relationship="noncontractual", inactive_after_days=90)
    assert opened.set_aside["value"].tolist() == ["lee.7@shop.test"]
    shown = data_check.set_aside(opened)
    assert shown.table["value"].tolist() == ["le…st"]
    from cxlib.publish import record as records

    assert "lee.7" not in str(records.of_company(opened, {})) + str(shown.texts)


@pytest.mark.parametrize("rule", ["show", "hide"])
def test_agents_have_numbers_for_names_where_the_company_says_so_the_same_in_both_tables(rule):
    who = ["Ann", "Bea", "Cem"]
    n, day = 180, pd.Timestamp("2024-05-01")
    ids, served = [f"C{i}" for i in range(n)], [who[i % 3] for i in range(n)]
    waits = pd.Series(pd.to_timedelta([4 + 30 * (i % 3) for i in range(n)], unit="h"))
    frames = {
        "customers": pd.DataFrame({"customer_id": ids}),
        "responses": pd.DataFrame({"response_id": ids, "customer_id": ids, "metric": "nps", "answered_at": day,
                                   "score": [9.0 if i // 3 % 4 <= i % 3 else 3.0 for i in range(n)], "agent": served}),
        "contacts": pd.DataFrame({"contact_id": ids, "customer_id": ids, "opened_at": day, "resolved_at": day + waits,
                                  "agent": served}),
    }  # fmt: skip
    opened = company(frames, privacy={"minimum_base": 30, "agents": rule})
    scores, times = segments.agents(opened, "nps"), support.by_team(opened, "agent")
    named = dict(zip(scores.table["raw"].round(), scores.table["agent"], strict=True))
    waited = dict(zip(times.table["value"].round(), times.table["level"], strict=True))
    assert [named[k] for k in sorted(named)] == [waited[k] for k in sorted(waited)]
    assert sorted(named.values()) == (who if rule == "show" else ["agent 1", "agent 2", "agent 3"])
    said = str(scores.texts) + str(times.texts)
    assert rule == "show" or not any(name in said for name in who)


def test_where_nobody_comes_or_goes_the_growth_is_0_and_says_why_it_has_no_interval():
    days = {"joined_on": pd.Timestamp("2020-01-01"), "left_on": pd.NaT}
    told = retention.growth(company({"customers": pd.DataFrame({"customer_id": [f"C{i}" for i in range(60)]} | days)}))
    assert told.headline.startswith("The customer base changed by 0%")
    assert {f.name: f.row()["note"] for f in told.figures}["net-growth"] == "nobody joined or left"
