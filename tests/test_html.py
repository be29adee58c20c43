"""The pages: self-contained, safe against what customers wrote, readable by everyone, on a phone and on paper."""

from __future__ import annotations

import os
import re
import shutil
from html.parser import HTMLParser

import nbformat
import pytest
from bs4 import BeautifulSoup
from test_run import fake_company, notebooks

from cxlib import paths
from cxlib.page import parameters
from cxlib.publish import html, run

CSP = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'"
)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PAGE = html.Page("Acme & Sons", "30 June 2026", "A <page>", "01_a.html", html.links(["01_a", "06_roi"]))


def page_of(*cells, page=PAGE) -> str:
    """The page of a notebook: a text is a markdown cell, an output is shown by a cell of code."""
    made = []
    for cell in cells:
        if isinstance(cell, str):
            made.append(nbformat.v4.new_markdown_cell(cell))
        else:
            outputs = cell if isinstance(cell, list) else [cell]
            made.append(nbformat.v4.new_code_cell("show()", outputs=outputs, execution_count=1))
    return html.notebook_page(nbformat.v4.new_notebook(cells=made), page)


def output(mime: str, content: object, **metadata: object):
    return nbformat.v4.new_output("display_data", data={mime: content}, metadata=metadata)


class Outline(HTMLParser):
    """Elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict]:
        return [a for t, a in self.elements if t == tag]


def test_a_page_has_language_title_policy_header_and_navigation():
    text = page_of("# Where we *stand*\n\nWords.")
    outline = Outline(text)
    assert text.startswith("<!DOCTYPE html>")
    assert outline.all("html") == [{"lang": "en"}]
    assert [m["content"] for m in outline.all("meta") if m.get("http-equiv") == "Content-Security-Policy"] == [CSP]
    assert "<title>A &lt;page&gt; – Acme &amp; Sons</title>" in text
    assert "Acme &amp; Sons" in text
    assert "Data up to 30 June 2026" in text
    links = [(a["href"], a.get("aria-current")) for a in outline.all("a") if a["href"].endswith(".html")]
    assert links[:3] == [("index.html", None), ("01_a.html", "page"), ("06_roi.html", None)]
    assert [t for t, _ in outline.elements].count("main") == 1


@pytest.mark.parametrize(
    ("cells", "first"),
    [(["# One\n\n# Two"], "One"), (["## Only a section"], "A &lt;page&gt;"), (["# One", "# Two", "## Three"], "One")],
)
def test_every_page_has_exactly_one_first_heading(cells, first):
    text = page_of(*cells)
    assert re.findall(r"<h1[^>]*>(.*?)</h1>", text) == [first]


def test_a_list_of_contents_leads_to_every_section_even_if_two_have_one_name():
    outline = Outline(page_of("# T\n\n## Result\n\nx\n\n## Method\n\n## Result"))
    ids = [a["id"] for t, a in outline.elements if t == "h2"]
    assert len(set(ids)) == 3
    assert [a["href"] for a in outline.all("a") if a["href"].startswith("#") and a["href"] != "#content"] == [
        f"#{i}" for i in ids
    ]


def test_a_link_to_another_notebook_leads_to_its_page_and_is_plain_text_where_the_report_has_none():
    text = page_of("# T\n\n[Return](06_roi.ipynb), [part](06_roi.ipynb#Method), [none](03_churn.ipynb), [x](x/y.ipynb)")
    body = text.split("<h1", 1)[1]
    assert [a["href"] for a in Outline(body).all("a")][:3] == ["06_roi.html", "06_roi.html#Method", "x/y.ipynb"]
    assert ">Return</a>" in body
    assert ", none, " in body


def test_code_is_folded_away_and_messages_too():
    text = page_of("# T", nbformat.v4.new_output("stream", name="stderr", text="beware <b>"))
    assert '<details class="code"><summary>Code</summary>' in text
    assert '<details class="messages"><summary>Messages</summary><pre>beware &lt;b&gt;' in text
    assert " open" not in re.sub(r"<style>.*</style>", "", text, flags=re.DOTALL)


def test_parameters_are_a_small_table_in_place_of_their_cells():
    cells = [
        nbformat.v4.new_code_cell("draws = 1000", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("draws = 7", metadata={"tags": ["injected-parameters"]}),
    ]
    page = html.Page("Acme", "30 June 2026", "T", "t.html", {}, ({"name": "draws", "value": "7", "comment": "<fast>"},))
    text = html.notebook_page(nbformat.v4.new_notebook(cells=cells), page)
    assert "draws = " not in text
    assert "<summary>Code" not in text
    assert re.search(r"<code>draws</code></th><td[^>]*>7</td><td[^>]*>&lt;fast&gt;</td>", text)


def test_a_table_scrolls_by_itself_its_numbers_align_and_its_empty_corner_is_no_heading():
    table = "<table border='1' class='dataframe'><thead><tr><th></th><th>name</th><th>n</th></tr></thead><tbody>"
    table += "<tr><th>0</th><td>a</td><td>1,234.5</td></tr><tr><th>1</th><td>b</td><td>–</td></tr></tbody></table>"
    text = page_of("# T", output("text/html", table))
    region = next(a for a in Outline(text).all("div") if a.get("role") == "region")
    assert (region["class"], region["tabindex"], region["aria-label"]) == ("table", "0", "Table 1")
    assert '<th class="number">n</th>' in text
    assert '<td class="number">1,234.5</td>' in text
    assert "<td>a</td>" in text
    assert "<th></th>" not in text
    assert "border=" not in text


def test_a_picture_keeps_its_description():
    text = page_of("# T", output("image/png", PNG, **{"image/png": {"alt": 'Detractors "leave" & go'}}))
    assert [i["alt"] for i in Outline(text).all("img")] == ['Detractors "leave" & go']


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (output("image/png", PNG), "alternative text"),
        (output("image/png", PNG, **{"image/png": {"alt": " "}}), "alternative text"),
        (output("image/svg+xml", "<svg></svg>"), "neither PNG nor JPEG"),
        (output("text/html", f'<img src="data:image/png;base64,{PNG}">'), "alternative text"),
        (output("text/html", "<b>x</b><script>alert(1)</script>"), "<script>"),
        (output("text/html", '<img src="data:," alt="x" onerror="alert(1)">'), "script in a <img>"),
        (output("text/html", '<a href="java\nscript:alert(1)">x</a>'), "script in a <a>"),
        (output("text/html", "<iframe></iframe>"), "<iframe>"),
        (output("text/html", '<meta http-equiv="refresh" content="0">'), "<meta>"),
        (output("text/html", "<style>@import 'x.css';</style>"), "style sheet"),
        (output("text/html", '<p style="background: url(x.png)">x</p>'), "loads"),
        (output("text/html", '<img src="https://example.com/x.png" alt="x">'), "loads"),
        ("![a picture](picture.png)", "loads"),
        ("Said: <script>alert(1)</script>", "<script>"),
    ],
)
def test_a_page_that_would_run_load_or_hide_something_is_refused(cell, words):
    with pytest.raises(html.PageError, match=re.escape(words)):
        page_of("# T", cell)


def test_scripts_and_widgets_are_not_shown():
    data = {"application/javascript": "alert(1)", "application/vnd.jupyter.widget-view+json": {}, "text/plain": "plain"}
    text = page_of("# T", nbformat.v4.new_output("display_data", data=data))
    assert "alert" not in text
    assert "plain" in text


def test_what_a_customer_wrote_shows_as_text():
    said = "<script>alert(1)</script>"
    text = page_of("# T", nbformat.v4.new_output("stream", name="stdout", text=said), output("text/plain", said))
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2


def test_a_page_is_the_same_bytes_each_time():
    cells = ["# T\n\n## A\n\n## B", output("text/plain", "x")]
    assert page_of(*cells) == page_of(*cells)


def test_a_failed_page_says_so_first():
    page = html.Page("Acme", "30 June 2026", "T", "t.html", failure="T failed in cell 2: <b>")
    text = page_of("# T", page=page)
    assert text.index('role="alert"') < text.index("<h1")
    assert "T failed in cell 2: &lt;b&gt;" in text


# The first page


def notebook(name: str, title: str, **more: object) -> dict:
    return {
        "name": name,
        "title": title,
        "outcome": "done",
        "seconds": 4.2,
        "cells": 5,
        "failed_cell": None,
        "error": None,
        "parameters": {"draws": 7},
    } | more


def record(**more: object) -> dict:
    row = {"table": "customers", "file": "a.csv", "rows_read": 1000, "merged": 0, "set_aside": 3, "used": 997}
    reason = {"table": "customers", "reason": "left <before> joined", "rows": 3, "row": 7, "remedy": "Correct it."}
    return {
        "company": "acme",
        "title": "Acme & Sons",
        "as_of": "2026-06-30",
        "outcome": "done",
        "error": None,
        "started": "2026-07-01T06:00:00+01:00",
        "seconds": 12.0,
        "given": {"draws": 7},
        "commit": None,
        "versions": {"python": "3.11"},
        "notebooks": [notebook("01_scores", "Scores"), notebook("07_board", "Board")],
        "record": [row],
        "set_aside": [reason],
        "notes": [],
        "inputs": [{"file": "a.csv", "bytes": 10, "sha256": "ab" * 32}],
    } | more


def found(notebook: str, headline: str, known: str, **more: object) -> dict:
    shown = {"notebook": notebook, "name": "x", "title": "T", "headline": headline, "detail": "", "known": known}
    return shown | {"caveats": []} | more


def figure(**more: object) -> dict:
    known = {"notebook": "01_scores", "name": "nps", "label": "NPS", "value": 12.345, "low": 10.0, "high": 14.5}
    return known | {"unit": "points", "n": 1234.0, "base": "answers", "known": "count", "note": ""} | more


def test_the_board_comes_first_then_each_page_with_its_findings_and_how_they_are_known():
    findings = [
        found("01_scores", "NPS is 12 & <rising>.", "adjusted", caveats=["Few answers."]),
        found("07_board", "It pays.", "randomised"),
        found("01_scores", "Not answered: no dates.", "count", answered=False),
    ]
    text = html.index_page(record(), findings, [figure()], ["01_scores--nps_by_month.csv"])
    for words in (
        "Acme &amp; Sons",
        "30 June 2026",
        "Complete; 0.3% of rows set aside",
        "12 seconds",
        "left &lt;before&gt; joined",
        "Few answers.",
    ):
        assert words in text
    assert text.index("It pays.") < text.index("NPS is 12 &amp; &lt;rising&gt;.")
    assert re.search(r"known-randomised.*randomised trial.*known-adjusted.*link, adjusted", text, re.DOTALL)
    assert '<a href="tables/01_scores--nps_by_month.csv">nps by month</a>' in text
    assert text.count("<h1>") == 1
    assert "draws = 7" in text


def test_headline_numbers_show_interval_unit_base_and_how_they_are_known():
    figures = [
        figure(),
        figure(label="Leaving", value=0.0812, low=0.077, high=0.0855, unit="share of all"),
        figure(label="Payback", value=7.0, low=None, high=None, unit="months", n=None, note="One programme."),
        figure(label="Unknown", value=None, low=None, high=None),
    ]
    text = re.sub(r"<[^>]+>", " ", html.index_page(record(), [], figures).split('id="numbers"')[1])
    text = " ".join(text.split())
    assert "NPS 12.3 (10.0–14.5) points 1,234 answers count of own records" in text
    assert "Leaving 8.1% (7.7–8.6%) of all 1,234 answers" in text
    assert "Payback One programme. 7 months –" in text
    assert "Unknown – points" in text


def test_a_number_or_finding_that_two_pages_share_stands_once():
    findings = [
        found("01_scores", "It pays.", "randomised"),
        found("01_scores", "NPS is 12.", "D"),
        found("07_board", "It pays.", "randomised"),
    ]
    text = html.index_page(record(), findings, [figure(), figure(notebook="07_board"), figure(label="Other")])
    assert text.count("It pays.") == 1
    assert text.count("12.3") == 2


def test_a_failed_run_shows_what_failed_and_none_of_its_numbers():
    failed = notebook("01_scores", "Scores", outcome="failed", failed_cell=3, error="ValueError: <b>")
    text = html.index_page(
        record(outcome="failed", notebooks=[failed, notebook("07_board", "Board")], error="Disk full"),
        [found("07_board", "It pays.", "randomised")],
        [figure()],
    )
    assert '<a href="01_scores.html">01_scores</a>, cell 3: <code>ValueError: &lt;b&gt;</code>' in text
    assert "Disk full" in text
    assert 'role="alert"' in text
    assert "It pays." not in text
    assert "12.3" not in text


# In a real browser

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "model_of", lambda notebook: None)
        return run.run_report(
            fake_company(), reports=tmp_path_factory.mktemp("reports"), notebooks=notebooks("01", "06", "07")
        ).folder


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium:
        if os.environ.get("CXLIB_REQUIRE_BROWSER"):
            pytest.fail("Chromium is required here (CXLIB_REQUIRE_BROWSER) and was not found")
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=chromium, args=FLAGS)


def is_silent_loads_nothing_and_fits(browser, path, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    for summary in page.locator("summary").all():
        summary.click()
    assert messages == []
    assert [r for r in requests if not r.startswith("data:")] == [path.as_uri()]
    assert page.locator("h1").count() == 1
    assert all(image.get_attribute("alt").strip() for image in page.locator("img").all())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("name", ["00_data_check", "01_scores", "03_churn", "04_value", "06_roi", "07_board"])
def test_what_an_analyst_can_do_in_a_notebook_is_not_said_on_its_page(name):
    notebook = nbformat.read(paths.notebooks() / f"{name}.ipynb", as_version=4)
    assert "\n> Analysts: " in notebook.cells[0].source
    assert "Analysts:" not in html.notebook_page(notebook, html.Page("Demo", "30 June 2026", name, f"{name}.html"))


@pytest.mark.parametrize("name", ["01_scores", "03_churn", "04_value", "06_roi"])
def test_the_numbers_by_hand_are_folded_and_nothing_else_is(name):
    notebook = nbformat.read(paths.notebooks() / f"{name}.ipynb", as_version=4)
    page = BeautifulSoup(
        html.notebook_page(notebook, html.Page("Demo", "30 June 2026", name, f"{name}.html")), "html.parser"
    )
    (walk,) = page.select("details.walk")
    assert walk.find_previous("h2").get_text() == "By hand"
    assert walk.find("table")
    assert not walk.find("h2")
    assert page.find("h2", string="Method").find_parent("details") is None
    assert len(page.select("#content img")) >= 5


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["index.html", "01_ok.html", "06_hostile.html"])
def test_in_a_browser_a_page_is_silent_loads_nothing_and_fits(report, browser, name, width):
    is_silent_loads_nothing_and_fits(browser, report / name, width)


@pytest.mark.browser
@pytest.mark.parametrize("notebook", sorted(paths.notebooks().glob("[0-9][0-9]_*.ipynb")), ids=lambda p: p.stem)
def test_in_a_browser_each_committed_notebook_makes_such_a_page(browser, tmp_path, notebook):
    page = html.Page("Demo", "30 June 2026", notebook.stem, f"{notebook.stem}.html", html.links([notebook.stem]))
    written = tmp_path / f"{notebook.stem}.html"
    written.write_text(html.notebook_page(nbformat.read(notebook, as_version=4), page), encoding="utf-8")
    is_silent_loads_nothing_and_fits(browser, written, 390)


@pytest.mark.browser
def test_in_a_browser_the_navigation_leads_from_the_overview_to_a_page_and_back(report, browser):
    page = browser.new_page()
    page.goto((report / "index.html").as_uri())
    page.get_by_role("navigation", name="Pages of this report").get_by_role("link", name="OK").click()
    assert page.locator("h1").inner_text() == "A good page"
    page.get_by_role("link", name="Back to the overview").click()
    assert page.locator("h1").inner_text() == html.TITLE
    assert page.get_by_text("NPS is 12 & <rising>.").is_visible()
    page.close()
