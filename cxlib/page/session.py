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
import re
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display

from cxlib import open_company, paths
from cxlib.counts import answers
from cxlib.page import gaps, parameters, report, words
from cxlib.page.findings import EACH, KNOWN, Finding
from cxlib.page.numbers import FILTERS, amount, day, number, percent
from cxlib.stats.estimate import Estimate

_IPYTHON = {"In", "Out", "get_ipython", "exit", "quit", "open"}
_MARK = "_cxlib_page_opened"


def open_page(notebook: str, namespace: MutableMapping[str, object]) -> Page:
    """Check the notebook's parameters and open its company.

    ``namespace`` is the notebook's ``globals()``: the names defined above this cell are its parameters. In a fresh
    kernel every other plain value is a parameter nobody knows, and an error; once the page has been opened there,
    an analyst's own variables are left alone.
    """
    gc.set_threshold(20_000, 20, 50)  # compiling queries makes many short-lived objects, none of them in cycles
    known = (parameters.model_of(notebook) or parameters.Parameters).model_fields
    plain = (str, int, float, bool, list, dict, tuple, type(None))
    mine = {k: v for k, v in namespace.items() if k in known}
    if _MARK not in namespace:
        mine |= {
            k: v for k, v in namespace.items() if not k.startswith("_") and k not in _IPYTHON and isinstance(v, plain)
        }
    checked = parameters.check(notebook, mine)
    namespace[_MARK] = True
    return Page(notebook, checked)


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
    ) -> None:
        """Show a finding: headline, detail, caveats, chart (``chart(finding.table, ...)``) and, if asked, its table.

        The table has the columns that the finding's words name. All of it is saved as CSV beside the figure. A caveat
        that another finding has shown is not repeated. What is not answered is only named here: ``close`` says why.
        """
        self._keep(finding)
        if not finding.answered:
            said = f"{finding.title} ({finding.headline.rstrip('.')})"
            _display(f'<p class="unanswered"><em>{html.escape(said)}</em></p>', said)
            return
        labels = () if finding.known == EACH else (f"How we know: {KNOWN[finding.known]}.",)
        new = (c for c in finding.caveats if self._said.setdefault(c, finding.name) == finding.name)
        rest = [t for t in (finding.detail, *new) if t]
        parts = [f'<p class="headline"><strong>{_markup(finding.headline)}</strong></p>']
        parts += [f"<p>{_markup(t)}</p>" for t in rest]
        parts += [f'<p class="how"><em>{html.escape(t)}</em></p>' for t in labels]
        _display(f'<div class="finding">{"".join(parts)}</div>', "\n".join([finding.headline, *rest, *labels]))
        if chart is not None and len(finding.table):
            figure, stop = chart(finding.table, title=finding.title, **options), "" if finding.title[-1] == "?" else "."
            note = figure.axes[0].get_title(loc="left")
            self.figure(figure, alt=f"{finding.title}{stop} {finding.headline} {note}".strip())
        if table and len(finding.table):
            self.frame(finding.table, finding.columns)

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
        named = {c: said for c, said in (columns or {}).items() if c in frame}  # a table leaves out empty columns
        wanted = named or {c: (c, "") for c in frame if not _is_end(c, frame)}
        shown = pd.DataFrame(
            {heading: self._cells(frame, c, how) for c, (heading, how) in wanted.items()}, index=frame.index
        )
        _display(shown.to_html(index=False, border=0, escape=True, na_rep="–"), shown.to_string(index=False))

    def _cells(self, frame: pd.DataFrame, column: str, how: str) -> list[str]:
        """Return the cells of one column as text; an interval beside it (low, high) is written with it."""
        values, ends = frame[column], _ends(column, frame)
        if not how and not (ends and pd.api.types.is_float_dtype(values)):
            return _column(values)
        if ends:
            values = [Estimate(*row) for row in zip(values, *(frame[e] for e in ends), strict=True)]
        currency = self.company.settings.currency
        write = partial(amount, currency=currency) if how == "money" else FILTERS[how or "number"]
        return [v if isinstance(v, str) else write(v) for v in values]  # text such as "not reached" stays as it is

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


def _digits(size: float) -> int:
    """Return the decimals that suit numbers up to this size."""
    return 0 if math.isnan(size) or size >= 1000 else 1 if size >= 20 else 2 if size > 1 else 3


def _ends(column: str, frame: pd.DataFrame) -> tuple[str, str] | None:
    """Return the columns with the ends of a column's interval: low and high of value, x_low and x_high of x."""
    low, high = ("low", "high") if column == "value" else (f"{column}_low", f"{column}_high")
    return (low, high) if low in frame and high in frame else None


def _is_end(column: str, frame: pd.DataFrame) -> bool:
    """Tell whether a column is an end of the interval of another."""
    return any(column in (_ends(c, frame) or ()) for c in frame)


def _column(values: pd.Series) -> list[str]:
    """Return the cells of one column as text for a reader."""
    if pd.api.types.is_bool_dtype(values):
        return ["yes" if v else "no" for v in values]
    if pd.api.types.is_datetime64_any_dtype(values):
        return list(values.dt.strftime("%Y-%m-%d"))
    if pd.api.types.is_float_dtype(values):
        whole = (values.dropna() % 1 == 0).all()
        return [number(v, 0 if whole else _digits(values.abs().max())) for v in values]
    if pd.api.types.is_integer_dtype(values):
        return [number(v, 0) for v in values]
    return ["–" if v is None or v != v else str(v) for v in values]


def _markup(text: str) -> str:
    """Return a text as HTML in which no line breaks between a minus sign and its currency."""
    return re.sub(r"−(?=[^\W\d]|[£€$¥])", "−\N{WORD JOINER}", html.escape(text))


def _display(markup: str, text: str) -> None:
    display({"text/html": markup, "text/plain": text}, raw=True)
