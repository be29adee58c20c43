"""The notebooks as a person or a scheduler runs them.

Plain papermill from the project's folder, JupyterLab from theirs.
"""

from __future__ import annotations

import json
import subprocess
import sys

import nbformat
import pytest

from cxlib import paths

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

    done = run_report("demo-shop", reports=tmp_path / "reports", notebooks=[paths.notebooks() / "04_value.ipynb"])
    assert done.ok, done.error
    figures = json.loads((done.folder / "figures.json").read_text())
    assert {"name", "value", "low", "high", "unit", "n", "known"} <= set(figures[0])
    assert [f["known"] for f in figures if f["name"] == "value-gap"] == ["adjusted"]
    assert (done.folder / "tables" / "04_value--value-by-score.csv").exists()
