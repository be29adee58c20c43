"""The notebooks as a person or a scheduler runs them, and the sections that rebuild their numbers by hand.

Plain papermill from the project's folder, JupyterLab from theirs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache

import nbformat
import net
import numpy as np
import pytest

from cxlib import paths
from cxlib.page import session
from cxlib.stats.estimate import Estimate

pytestmark = pytest.mark.notebooks


def papermill(*arguments):
    command = [sys.executable, "-m", "papermill", *map(str, arguments)]
    return subprocess.run(command, cwd=paths.root(), capture_output=True, text=True, timeout=300)


def test_papermill_names_types_and_explains_each_parameter():
    shown = papermill("--help-notebook", "notebooks/03_churn.ipynb")
    assert "horizon_days: int (default 365)" in shown.stdout
    assert "how long customers are followed after an answer, in days" in shown.stdout


def test_plain_papermill_gives_the_numbers_of_the_committed_notebook(tmp_path):
    out = tmp_path / "out.ipynb"
    run = papermill("notebooks/00_data_check.ipynb", out, "-p", "company", "demo", "-k", "python3")
    assert run.returncode == 0, run.stderr

    def texts(path):
        cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        return [o["data"]["text/plain"] for c in cells for o in c.outputs if "text/html" in o.get("data", {})]

    assert texts(out) == texts(paths.notebooks() / "00_data_check.ipynb")
    assert len(texts(out)) >= 3


def test_plain_papermill_stops_at_a_parameter_it_must_not_take(tmp_path):
    """What else a notebook refuses stands in test_page."""
    given = ("-p", "horizn_days", 30)
    run = papermill("notebooks/03_churn.ipynb", tmp_path / "out.ipynb", *given, "-k", "python3")
    assert run.returncode == 1
    assert "no parameter 'horizn_days'. Did you mean 'horizon_days'" in run.stderr


def test_the_figures_of_a_report_are_those_of_its_notebooks(tmp_path):
    """The batch leaves the numbers that the page shows: one run of one notebook through the runner."""
    from cxlib.publish.run import run_report

    done = run_report("demo-shop", reports=tmp_path / "reports", notebooks=[paths.notebooks() / "01_scores.ipynb"])
    assert done.ok, done.error
    figures = json.loads((done.folder / "figures.json").read_text())
    assert {"name", "value", "low", "high", "unit", "n", "known"} <= set(figures[0])
    assert [(f["finding"], f["known"]) for f in figures if f["name"] == "nps"] == [("headline", "count")]
    assert (done.folder / "tables" / "01_scores--headline.csv").exists()


@cache
def executed(name: str, company: str) -> tuple[dict, str]:
    """Run the cells of a notebook that open it or keep a finding; return its names, and the code of By hand."""
    cells = nbformat.read(paths.notebooks() / f"{name}.ipynb", as_version=4).cells
    start = next(i for i, c in enumerate(cells) if c.source.startswith("## By hand"))
    end = next(i for i, c in enumerate(cells) if i > start and c.source.startswith("## "))
    first, last = ([c.source for c in part if c.cell_type == "code"] for part in (cells[:start], cells[start:end]))
    names: dict[str, object] = {}
    for source in [*first[:2], *(s for s in first[2:] if "= page.show(" in s)]:
        exec(source, names)
        names["company"] = company
    return names, "\n".join(last)


def changed(shown):
    """Return a finding, or findings by name, with numbers one per cent larger in tables, two per cent in figures."""
    if isinstance(shown, dict):
        return {name: changed(finding) for name, finding in shown.items()}
    numbers = [c for c in ("value", "low", "high", "log_likelihood") if c in shown.table]
    table = shown.table.assign(**{c: 1.01 * shown.table[c] for c in numbers})
    each = [1.02 * np.array([getattr(f.estimate, k) for k in ("value", "low", "high", "se")]) for f in shown.figures]
    moved = (replace(f, estimate=Estimate(*e, n=f.estimate.n)) for f, e in zip(shown.figures, each, strict=True))
    return replace(shown, table=table, figures=tuple(moved))


@pytest.mark.parametrize(
    ("name", "company", "kept"),
    [
        ("01_scores", "demo-shop", "level"),
        ("01_scores", "demo-shop", "spread"),
        ("03_churn", "demo", "drawn"),
        ("03_churn", "demo", "ratios"),
        ("04_value", "demo", "value"),
        ("04_value", "demo-shop", "fitted"),
        ("06_roi", "demo", "effects"),
        ("06_roi", "demo", "sums"),
        ("06_roi", "demo", "money"),
    ],
)
def test_a_number_changed_on_the_page_fails_its_section_by_hand(name, company, kept, monkeypatch):
    monkeypatch.setattr(session, "open_company", net.opened)
    monkeypatch.setattr(session.Page, "show", lambda self, finding, *_, **__: finding)
    names, by_hand = executed(name, company)
    exec(by_hand, dict(names))
    with pytest.raises(AssertionError, match="the page shows"):
        exec(by_hand, names | {kept: changed(names[kept])})
