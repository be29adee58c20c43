"""What a notebook talks to: strict parameters, and pages that leave their numbers behind."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from types import SimpleNamespace

import matplotlib.pyplot as plt
import net
import pandas as pd
import pytest

from cxlib.errors import InputError
from cxlib.page import parameters, session
from cxlib.page.findings import Figure, Finding
from cxlib.publish import folders
from cxlib.stats.estimate import Estimate


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    monkeypatch.setattr(session, "open_company", net.opened)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"horizon": 30}, "Did you mean 'horizon_days'"),
        ({"horizon_days": "365"}, "horizon_days"),
        ({"horizon_days": True}, "horizon_days"),
        ({"horizon_days": 5}, "horizon_days"),
        ({"company": 3}, "company"),
        ({"as_of": "30/06/2026"}, "should be a date such as 2026-06-30 .value '30/06/2026'"),
    ],
)
def test_unknown_ill_typed_and_impossible_parameters_are_refused(given, says):
    with pytest.raises(InputError, match=says):
        parameters.check("03_churn", given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"company": "demo", "horizn_days": 30}, "no parameter 'horizn_days'. Did you mean 'horizon_days'"),
        ({"company": "demo", "horizon_days": "365"}, "parameter 'horizon_days' of 03_churn is not allowed"),
        ({"company": "nobody"}, "nobody"),
        (
            {"company": "demo-shop", "metric": "npss"},
            "metric .npss. has no answers. Set the parameter metric to",
        ),
    ],
)
def test_a_fresh_kernel_refuses_names_values_and_companies_nobody_knows(given, says):
    with pytest.raises(InputError, match=says):
        session.open_page("03_churn", given)


def test_later_an_analysts_own_variables_are_left_alone():
    namespace = {"company": "demo-shop", "as_of": "", "In": [], "_": 1, "pd": pd}
    session.open_page("00_data_check", namespace)
    namespace["threshold"] = 3
    assert session.open_page("00_data_check", namespace).company.name == "demo-shop"


def test_wrong_input_is_one_line_in_a_notebook():
    with pytest.raises(InputError) as stopped:
        session.open_page("01_scores", {"company": "demo-shop", "period": "quartr"})
    (line,) = stopped.value._render_traceback_()
    assert line.startswith(
        "InputError: parameter 'period' of 01_scores is not allowed: input should be 'week', 'month'"
    )
    assert "\n" not in line


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.setenv("CXLIB_OUT", str(tmp_path))
    return session.open_page("00_data_check", {"company": "demo-shop", "as_of": ""})


def test_what_is_shown_is_left_behind_as_tables_and_numbers(opened, tmp_path, capsys):
    table = pd.DataFrame({"level": ["<script>alert(1)</script>"], "value": [1.0]})
    figure = Figure("one", "One", Estimate(1, 0, 2, n=3), "points")
    opened.show(Finding("first", "First", "It is <b>one</b>.", "adjusted", table=table, figures=(figure,)), table=True)
    assert pd.read_csv(tmp_path / "tables" / "00_data_check--first.csv").equals(table)
    (number,) = json.loads((tmp_path / "figures" / "00_data_check.json").read_text())
    assert number["value"] == 1
    assert number["known"] == "adjusted"
    assert json.loads((tmp_path / "findings" / "00_data_check.json").read_text())[0]["headline"] == "It is <b>one</b>."
    opened.close()
    assert "each of 1 figures lies within its interval" in capsys.readouterr().out


def test_shown_text_is_escaped(opened, monkeypatch):
    shown = []
    monkeypatch.setattr(session, "display", lambda data, raw: shown.append(data["text/html"]))
    opened.show(Finding("x", "X", "<script>alert(1)</script>", table=pd.DataFrame({"a": ["<img src=x>"]})), table=True)
    opened.say("<i>")
    assert not [s for s in shown if "<script>" in s or "<img" in s or "<i>" in s]


def test_a_finding_shows_itself_as_its_page_does_escaped(opened, monkeypatch):
    shown = []
    monkeypatch.setattr(session, "display", lambda data, raw: shown.append(data["text/html"]))
    table, columns = pd.DataFrame({"a": ["<img>"], "paid": [5.0]}), {"a": ("A", ""), "paid": ("Paid", "money")}
    caveats, more = ("Only <b>here</b>.",), {"table": table, "columns": columns, "currency": "EUR"}
    found = Finding("x", "X", "<script>", "adjusted", "More.", caveats, **more)
    assert opened.show(found, table=True) is found
    assert found._repr_html_() == "".join(shown)
    assert "€5" in shown[1]
    assert "<script>" not in found._repr_html_()
    assert repr(found) == "Finding('x': <script>)"


def test_the_value_of_a_cell_is_silent_only_where_show_has_just_shown_it(opened, monkeypatch):
    found, cell = Finding("x", "X", "It is one."), SimpleNamespace(execution_count=7)
    monkeypatch.setattr(session, "get_ipython", lambda: cell)
    opened.show(found)
    session._silent(found)
    with pytest.raises(NotImplementedError):
        session._silent(Finding("y", "Y", "Another."))
    cell.execution_count = 8
    with pytest.raises(NotImplementedError):
        session._silent(found)


def test_an_interval_stands_in_the_cell_of_its_value(opened, monkeypatch):
    shown = []
    keep = lambda data, raw: shown.append(re.findall(r"<t[hd]>(.*?)<", data["text/html"]))  # noqa: E731
    monkeypatch.setattr(session, "display", keep)
    row = {"level": "a", "value": 0.119, "low": 0.087, "high": 0.152, "n": 2593.0, "paid": 5.0}
    shares, counts = ("Share", "percent"), ("Answers", "count")
    opened.frame(pd.DataFrame([row]), {"level": ("Level", ""), "value": shares, "n": counts, "paid": ("Paid", "money")})
    assert shown[0] == ["Level", "Share", "Answers", "Paid", "a", "11.9% (8.7–15.2%)", "2,593", "€5"]
    opened.frame(pd.DataFrame([row]))
    assert shown[1][:4] == ["level", "value", "n", "paid"]


def test_a_chart_needs_words(opened):
    with pytest.raises(ValueError, match="alternative text"):
        opened.figure(plt.figure(), alt=" ")
    plt.close("all")


def test_an_interval_that_misses_its_value_stops_the_page(opened):
    wrong = Figure("bad", "Bad", Estimate(5, 0, 2, n=3), "points")
    opened.show(Finding("x", "X", "x", figures=(wrong,)))
    with pytest.raises(AssertionError, match="bad"):
        opened.close()


def test_what_is_private_leaves_the_report_and_is_never_shown(opened, tmp_path, capsys):
    opened.private(pd.DataFrame({"customer_id": ["C-4711", "C-4712"]}), "at_risk")
    assert "C-4711" not in capsys.readouterr().out
    scratch, good = tmp_path, tmp_path.parent / "2026-06-30"
    folders.keep_private(scratch, good)
    kept = good.parent / "private" / good.name / "at_risk.csv"
    assert list(pd.read_csv(kept)["customer_id"]) == ["C-4711", "C-4712"]
    assert not list(scratch.rglob("at_risk.csv"))
    folders.keep_private(scratch, good)  # a later report of that date without a list
    assert not kept.exists()


def test_the_last_page_reads_what_the_others_left(tmp_path, monkeypatch):
    monkeypatch.setenv("CXLIB_OUT", str(tmp_path))
    e = Estimate(0.2, 0.1, math.nan, n=12)
    known = {"known": "count", "columns": {"level": ("Level", ""), "value": ("Share", "percent")}}
    table = pd.DataFrame({"level": ["a", "b"], "value": [0.25, math.nan]})
    left = Finding("x", "Title", "20% left.", detail="More.", caveats=("But.",), table=table, figures=(), **known)
    figure = Figure("share", "Share", e, "share", note="few")
    page = session.open_page("00_data_check", {"company": "demo"})
    page.show(dataclasses.replace(left, figures=(figure,)))
    (read,) = session.open_page("07_board", {"company": "demo"}).report()["00_data_check"]
    assert (read.texts, read.known, read.columns, read.answered) == (left.texts, "count", left.columns, True)
    pd.testing.assert_frame_equal(read.table, table)
    assert read.figures[0].row() == figure.row() | {"known": "count"}


def test_without_a_report_the_last_page_says_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CXLIB_OUT", raising=False)
    monkeypatch.setattr(session.paths, "reports", lambda: tmp_path)
    assert session.open_page("07_board", {"company": "demo"}).report() == {}
    assert "python -m cxlib run demo" in capsys.readouterr().out


def test_a_look_adds_up_counts_and_shows_no_small_cell(capsys):
    """Five answers of one person in two folds are a small cell; keys that are not asked for are named."""
    page = session.open_page("03_churn", {"company": "demo"})
    rows = [("promoter", 0, 40, 3), ("promoter", 1, 20, 1), ("passive", 0, 3, 0), ("passive", 1, 2, 0)]
    page.look(pd.DataFrame(rows, columns=["band", "fold", "n", "events"]), "band")
    shown = capsys.readouterr().out
    assert "4 rows, also by fold. Here by band" in shown
    assert re.search(r"promoter +60 +4", shown)
    assert "passive" not in shown
    page.look(pd.DataFrame(), "band")  # of a question that is not answered
    assert capsys.readouterr().out == ""
