"""The committed notebooks: parameters the code knows, stored outputs of one clean run, nothing a reviewer trips over."""

from __future__ import annotations

import ast
import itertools
import re

import nbformat
import pytest

from cxlib import paths
from cxlib.page import parameters
from cxlib.publish.refresh import normal

NOTEBOOKS = sorted(paths.notebooks().glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: p.stem)
def notebook(request):
    read = nbformat.read(request.param, as_version=4)
    read.path = request.param
    return read


def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def test_all_the_notebooks_are_here():
    assert {p.stem for p in NOTEBOOKS} >= {"00_data_check", "01_scores", "03_churn", "04_value", "06_roi", "07_board"}


def test_the_parameters_cell_is_the_model_with_a_comment_each(notebook):
    cells = [c for c in code(notebook) if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    source = cells[0].source
    given = {t.target.id: ast.literal_eval(t.value) for t in ast.parse(source).body}
    assert {t.annotation.id for t in ast.parse(source).body} <= {"str", "int", "float", "bool"}
    assert all(re.search(r"  # \S", line) for line in source.splitlines())
    model = parameters.model_of(notebook.path.stem)
    assert given == {k: f.default for k, f in model.model_fields.items()}
    assert parameters.check(notebook.path.stem, given).model_dump() == given


def test_it_was_run_once_from_the_top_without_error_or_warning(notebook):
    assert [c.execution_count for c in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [o for c in code(notebook) for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert len(outputs) >= 3


def test_storing_it_again_would_change_nothing(notebook):
    before = nbformat.writes(nbformat.read(notebook.path, as_version=4))
    assert nbformat.writes(normal(nbformat.read(notebook.path, as_version=4))) == before
    assert notebook.path.stat().st_size < 1_000_000


def test_one_first_heading_no_skipped_level_and_short_cells(notebook):
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    levels = [len(h) for h in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert max(len(c.source.splitlines()) for c in code(notebook)) <= 12


def test_no_digit_of_a_result_is_typed_into_prose(notebook):
    """Words around the results may name methods and scales, never a result: no percent sign, currency or decimal."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\d+\.\d+|\d %(?! interval)|[£$€]\s?\d", cell.source), cell.source


def test_every_picture_has_words_for_those_who_cannot_see_it(notebook):
    for cell in code(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 30
