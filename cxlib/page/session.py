"""The session of one notebook: checked parameters, the company, and what the page shows and leaves behind.

Where the environment variable CXLIB_OUT names a folder (a batch run sets it), everything shown is also written
there: the table behind each figure as CSV, the findings and their headline numbers as JSON.
"""

from __future__ import annotations

import gc
import html
import json
import math
import os
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython import get_ipython
from IPython.display import display

from cxlib import open_company, paths
from cxlib.counts import answers
from cxlib.page import gaps, parameters, report, tables, words
from cxlib.page.findings import Finding
from cxlib.page.numbers import day, percent

_IPYTHON = {"In", "Out", "get_ipython", "exit", "quit", "open"}
_MARK = "_cxlib_page_opened"
MEASURES = ("n", "customers", "here", "joined", "events", "chosen", "exposure", "gone", "lost", "bought", "revenue")
_SHOWN: dict[str, object] = {}  # the finding that a page showed last, and the cell it did so in


def open_page(notebook: str, namespace: MutableMapping[str, object]) -> Page:
    """Check the notebook's parameters and open its company.

    ``namespace`` is the notebook's ``globals()``: the names defined above this cell are its parameters. In a fresh
    kernel every other plain value is a parameter nobody knows, and an error; once the page has been opened there,
    an analyst's own variables are left alone. Errors: InputError for the first parameter that is wrong, in one line.

    Example: ``page = open_page("01_scores", globals())``.
    """
    gc.set_threshold(20_000, 20, 50)  # compiling queries makes many short-lived objects, none of them in cycles
    known = (parameters.model_of(notebook) or parameters.Parameters).model_fields
    plain = (str, int, float, bool, list, dict, tuple, type(None))
    mine = {k: v for k, v in namespace.items() if k in known}
    if _MARK not in namespace:
        mine |= {
            k: v for k, v in namespace.items() if not k.startswith("_") and k not in _IPYTHON and isinstance(v, plain)
        }
    page = Page(notebook, parameters.check(notebook, mine))
    answers.choose(page.company, getattr(page.settings, "metric", ""))
    namespace[_MARK] = True
    if shell := get_ipython():
        shell.display_formatter.ipython_display_formatter.for_type(Finding, _silent)
    return page


class Page:
    """What a notebook talks to: ``page.company``, ``page.settings`` (its parameters) and the ``show`` family."""

    def __init__(self, notebook: str, settings: parameters.Parameters) -> None:
        self.notebook, self.settings = notebook, settings
        self.company = open_company(settings.company, as_of=settings.as_of or None)
        out = os.environ.get("CXLIB_OUT")
        self._out = Path(out) if out else None
        self._findings: list[Finding] = []
        self._said: dict[str, str] = {}  # caveats, by the finding that showed them first

    def made_with(self) -> None:
        """Show whose page this is, as of when, and the parameters it was made with."""
        company = self.company
        facts = {
            "Company": company.title,
            "As of": day(company.as_of),
            "Relationship": company.settings.relationship,
        }
        if company.settings.money is not None:
            m = company.settings.money
            rate = f"{percent(m.discount_rate)} a year ({m.discount_convention})"
            facts["Money"] = (
                f"{company.settings.currency}; value is {m.value_is}, gross margin {percent(m.gross_margin)}; "
                f"discounted at {rate}, first payment {m.first_flow}, horizon {m.horizon_months} months"
            )
        for metric in answers.metrics(company):
            facts[metric.upper()] = f"scale {answers.direction(company, metric)}"
        own = {k: v for k, v in self.settings.model_dump().items() if k not in ("company", "as_of")}
        facts |= {k: v if v != "" else "(default)" for k, v in own.items()}
        self.frame(pd.DataFrame({"Setting": list(facts), "Value": [str(v) for v in facts.values()]}))

    def show(
        self, finding: Finding, chart: Callable[..., plt.Figure] | None = None, table: bool = False, **options: object
    ) -> Finding:
        """Show a finding, and return it: headline, detail, caveats, chart and, if asked, its table.

        ``chart``: a function of ``cxlib.page.charts``, called as ``chart(finding.table, title=..., **options)``. The
        table has the columns that the finding's words name. All of it is saved as CSV beside the figure. A caveat
        that another finding has shown is not repeated. What is not answered is only named here: ``close`` says why.

        Example: ``t = page.show(trend.trend(page.company), charts.over_time, group="line").table``.
        """
        self._keep(finding)
        new = tuple(c for c in finding.caveats if self._said.setdefault(c, finding.name) == finding.name)
        _display(*finding.said(new))
        _SHOWN.update(finding=finding, cell=getattr(get_ipython(), "execution_count", None))
        if not finding.answered:
            return finding
        if chart is not None and len(finding.table):
            figure, stop = chart(finding.table, title=finding.title, **options), "" if finding.title[-1] == "?" else "."
            note = figure.axes[0].get_title(loc="left")
            self.figure(figure, alt=f"{finding.title}{stop} {finding.headline} {note}".strip())
        if table and len(finding.table):
            self.frame(finding.table, finding.columns)
        return finding

    def report(self) -> dict[str, list[Finding]]:
        """Return by notebook what the other pages found: in this run or, opened alone, in the last report of the day.

        Without a report the page says how to make one.
        """
        name, as_of = self.company.name, self.company.as_of
        found = report.read(self._out or paths.reports() / name / as_of.isoformat())
        if not found:
            self.say(words.say(__file__, "report", "missing", company=name, title=self.company.title, as_of=as_of))
        return found

    def say(self, sentence: str) -> None:
        """Show a sentence that is made from settings or data, as text; nothing if it is empty."""
        if sentence:
            _display(f"<p>{html.escape(sentence)}</p>", sentence)

    def figure(self, figure: plt.Figure, alt: str) -> None:
        """Show a chart with the text that stands for it where it cannot be seen."""
        if not alt.strip():
            raise ValueError("a figure needs an alternative text: pass alt=")
        display(figure, metadata={"image/png": {"alt": alt}})
        plt.close(figure)

    def frame(self, frame: pd.DataFrame, columns: Mapping[str, tuple[str, str]] | None = None) -> None:
        """Show a table: numbers rounded for a reader, an interval in the cell of its value, text escaped, no index.

        ``columns``: heading and way of writing (a filter of the templates: percent, points, money, count ...) by
        column.
        """
        shown = tables.written(frame, columns or {}, self.company.settings.currency)
        _display(shown.to_html(index=False, border=0), shown.to_string(index=False))

    def look(self, counted: pd.DataFrame, *keys: str, rows: int = 5) -> None:
        """Show the head of a count table, its MEASURES added up by ``keys``; never a cell below minimum_base.

        Example: ``page.look(drawn.counted, "band", "stratum")``.
        """
        if counted.empty:
            return
        measures = [c for c in MEASURES if c in counted]
        sums = counted.groupby([*keys], observed=True)[measures].sum().reset_index()
        sums = sums[sums[measures[0]] >= self.company.settings.privacy.minimum_base]
        shown = tables.written(sums.head(rows), {}, None)
        others = [c for c in counted if c not in (*keys, *measures)]
        head = words.say(__file__, "look", "summary", rows=len(counted), keys=[*keys], others=others)
        markup = f"<summary>{html.escape(head)}</summary>{shown.to_html(index=False, border=0)}"
        _display(f'<details class="counts" open>{markup}</details>', f"{head}\n{shown.to_string(index=False)}")

    def private(self, frame: pd.DataFrame, name: str) -> None:
        """Write a table that is not for the shared page into the report's private folder.

        The page says only how long it is.
        """
        if self._out is None:
            print(f"{len(frame):,} rows; a report writes them to its private folder and never onto a page.")
            return
        (self._out / "private").mkdir(parents=True, exist_ok=True)
        frame.to_csv(self._out / "private" / f"{name}.csv", index=False)
        print(f"{len(frame):,} rows were written to private/{self.company.as_of}/{name}.csv, beside this report.")

    def close(self) -> None:
        """Check that every interval holds its value, and say in one line what the page does not answer, and why."""
        figures = [f for k in self._findings for f in k.figures]
        for f in figures:
            e = f.estimate
            assert math.isnan(e.low) or e.low <= e.value <= e.high, f"the interval of {f.name} does not hold its value"
        answered = sum(k.answered for k in self._findings)
        within = f"; each of {len(figures)} figures lies within its interval" if figures else ""
        self.say(f"{answered} of {len(self._findings)} questions answered{within}.")
        if found := gaps.gaps(self._summary(k) for k in self._findings):
            _display(gaps.markup(found), gaps.line(found))

    def _keep(self, finding: Finding) -> None:
        if any(f.name == finding.name for f in self._findings):
            self._findings = [f for f in self._findings if f.name != finding.name]
        self._findings.append(finding)
        if self._out is None:
            return
        if finding.answered and len(finding.table):
            (self._out / "tables").mkdir(parents=True, exist_ok=True)
            finding.table.to_csv(self._out / "tables" / f"{self.notebook}--{finding.name}.csv", index=False)
        self._write("findings", [self._summary(f) for f in self._findings])
        by_finding = ((k, f) for k in self._findings for f in k.figures)
        self._write("figures", [f.row() | {"finding": k.name, "known": f.known or k.known} for k, f in by_finding])

    @staticmethod
    def _summary(finding: Finding) -> dict[str, object]:
        names = ("name", "title", "headline", "detail", "known", "answered")
        return {k: getattr(finding, k) for k in names} | {"caveats": [*finding.caveats], "columns": finding.columns}

    def _write(self, kind: str, content: object) -> None:
        (self._out / kind).mkdir(parents=True, exist_ok=True)
        path = self._out / kind / f"{self.notebook}.json"
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def _silent(finding: Finding) -> None:
    """Show nothing where a cell ends with ``page.show``: its value has just been shown.

    Elsewhere raises NotImplementedError, with which IPython goes on to the other representations.
    """
    if _SHOWN.get("finding") is not finding or _SHOWN["cell"] != get_ipython().execution_count:
        raise NotImplementedError


def _display(markup: str, text: str) -> None:
    display({"text/html": markup, "text/plain": text}, raw=True)
