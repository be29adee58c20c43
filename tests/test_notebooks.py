"""The committed notebooks: parameters the code knows, outputs of one clean run, nothing a reviewer trips over."""

from __future__ import annotations

import ast
import itertools
import re

import lint
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
    model = parameters.model_of(notebook.path.stem) or parameters.Parameters
    assert given == {k: f.default for k, f in model.model_fields.items()}
    assert parameters.check(notebook.path.stem, given).model_dump() == given


def test_it_was_run_once_from_the_top_without_error_or_warning(notebook):
    assert [c.execution_count for c in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [o for c in code(notebook) for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert len(outputs) >= 3


def test_a_cell_that_ends_with_page_show_shows_its_finding_once(notebook):
    for cell in (c for c in code(notebook) if re.search(r"^page\.show\(", c.source, re.MULTILINE)):
        assert not [o for o in cell.outputs if o.output_type == "execute_result"]


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


@pytest.mark.parametrize("name", ["01_scores", "03_churn", "04_value", "06_roi"])
def test_a_section_by_hand_rebuilds_a_number_of_the_page_with_libraries_of_the_field(name):
    cells = nbformat.read(paths.notebooks() / f"{name}.ipynb", as_version=4).cells
    start = next(i for i, c in enumerate(cells) if c.source.startswith("## By hand"))
    end = next(i for i, c in enumerate(cells) if i > start and c.source.startswith("## "))
    found = "\n".join(c.source for c in cells[start:end] if c.cell_type == "code")
    assert re.search(r"^import (lifelines|scipy|statsmodels)", found, re.MULTILINE)
    assert ".head()" in found or ".head(" in found
    assert "assert np." in found


def prose(notebook) -> list[str]:
    """Return headings, paragraphs and list items; code spans, targets of links and rows of tables apart."""
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    lines = [re.sub(r"^(#+|>|[-*]|\d+\.) ", "", line.strip()) for line in text.splitlines()]
    plain = [re.sub(r"`[^`]*`", "code", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line)) for line in lines]
    return [line for line in plain if line and not line.startswith("|")]


def test_its_prose_is_short_plain_sentences(notebook):
    for text in prose(notebook):
        assert not [s for s in lint.sentences(text) if lint.words(s) > lint.MOST_WORDS]
        assert not lint.DIALECT.search(text), text


def test_other_pages_are_named_by_links_that_lead_somewhere(notebook):
    names = {p.stem for p in NOTEBOOKS}
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert {t.removesuffix(".ipynb") for t in targets if not t.startswith("http")} <= names - {notebook.path.stem}
    assert not [n for n in names if n in re.sub(r"\]\([^)]*\)", "", text)]


def test_no_digit_of_a_result_is_typed_into_prose(notebook):
    """Words around the results may name methods and scales, never a result: no percent sign, currency or decimal."""
    of_a_method = r"( interval| confidence interval| prediction interval| power| level)"
    for text in prose(notebook):
        assert not re.search(rf"\d+\.\d+|\d ?%(?!{of_a_method})|[£$€]\s?\d", text), text


def test_it_imports_in_order_and_only_what_it_uses(notebook):
    cells = [ast.parse(c.source) for c in code(notebook)]
    imports = [[n for n in cell.body if isinstance(n, ast.ImportFrom)] for cell in cells]
    assert [bool(found) for found in imports].count(True) == 1  # one cell
    found = next(filter(None, imports))
    assert [n.module for n in found] == sorted({n.module for n in found})
    assert all([a.name for a in n.names] == sorted(a.name for a in n.names) for n in found)
    used = {n.id for cell in cells for n in ast.walk(cell) if isinstance(n, ast.Name)}
    assert {a.name for n in found for a in n.names} <= used


def test_every_picture_has_words_for_those_who_cannot_see_it(notebook):
    for cell in code(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 30
