"""No number on any page of five companies changes unless somebody means it to: freeze anew with ``tests/net.py``."""

from __future__ import annotations

import math
import tomllib
from fnmatch import fnmatch

import lint
import net
import pytest

from benchmarks import calibrate
from cxlib import paths
from cxlib.overview import board
from cxlib.page.findings import KNOWN, Finding

PAGES = [pytest.param(c, n, id=f"{c}-{n}") for c in net.COMPANIES for n in net.NOTEBOOKS]


def same(a: float, b: float, scale: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= 1e-5 * max(abs(a), abs(b), 1e-5 * scale)


def here(company):
    if not company.startswith("demo") and not net.EXPORTS.exists():
        pytest.skip("the exports of the three companies are not beside the project")
    return company


def findings(company, notebook):
    return [f for _, f in net.run(notebook, here(company)) if isinstance(f, Finding)]


@pytest.mark.parametrize(("company", "notebook"), PAGES)
def test_every_number_is_as_it_was(company, notebook):
    here(company)
    kept, now = net.frozen(company, notebook), net.lines(notebook, company)
    changed = [f"gone: {k}" for k in kept if k not in now] + [f"new: {k}" for k in now if k not in kept]
    for name in (k for k in kept if k in now):
        scale = max((abs(v) for v in kept[name] if math.isfinite(v)), default=0.0)
        if len(kept[name]) != len(now[name]) or not all(map(same, kept[name], now[name], [scale] * len(now[name]))):
            changed.append(f"{name}: was {net.written(kept[name])}, is {net.written(now[name])}")
    assert not changed, "\n".join(changed)


@pytest.mark.parametrize(("company", "notebook"), PAGES)
def test_headlines_and_sentences_are_short_and_plain(company, notebook):
    assert [fault for f in findings(company, notebook) for fault in lint.faults(f)] == []


@pytest.mark.parametrize("company", net.COMPANIES)
def test_a_figure_has_one_value_and_one_label_of_evidence_in_the_whole_report(company):
    seen: dict[str, tuple] = {}
    for notebook in net.NOTEBOOKS:
        for found in findings(company, notebook):
            for figure in found.figures:
                row = figure.row()
                said = (*(row[k] for k in ("value", "low", "high", "unit")), figure.known or found.known)
                assert seen.setdefault(figure.name, said) == said, (notebook, found.name, figure.name)


@pytest.mark.parametrize("company", net.COMPANIES)
def test_the_board_shows_each_number_with_its_interval_or_why_it_has_none_and_how_it_is_known(company):
    report = {notebook: findings(company, notebook) for notebook in net.NOTEBOOKS}
    shown = board.findings(report)
    assert board.missing(report) == []
    assert shown[0].name == "headline"
    assert len({f.name for f in shown}) == len(shown)
    numbers = board.numbers(shown, "GBP")
    assert numbers["Value (95% interval)"].str.contains(r"\d.*\(.*\w").all()
    assert set(numbers["How we know"]) <= set(KNOWN.values())
    if company == "demo":
        assert len(numbers) >= 10
        programmes = ["welcome-calls", "local-account-managers"]
        ends = ("outcome", "payback")
        assert [f.name for f in shown][-5:-1] == [f"initiative-{p}-{end}" for p in programmes for end in ends]


def test_docs_validity_says_what_each_margin_of_error_rests_on():
    """Every finding of five companies that shows an interval is of a kind in the table, and its part is there."""
    kinds = tomllib.loads((paths.root() / "benchmarks" / "kinds.toml").read_text(encoding="utf-8"))["kind"]
    patterns = {p for kind in kinds for p in kind["findings"]}
    for company in net.COMPANIES if net.EXPORTS.exists() else ("demo", "demo-shop"):
        for notebook in net.NOTEBOOKS:
            for found in findings(company, notebook):
                if "low" in found.table or any(math.isfinite(f.estimate.low) for f in found.figures):
                    assert any(fnmatch(found.name, p) for p in patterns), (notebook, found.name)
    text = (paths.root() / "docs" / "validity.md").read_text(encoding="utf-8")
    assert calibrate.kinds() in text
    for kind in (k for k in kinds if k["rests"] == "simulated"):
        for part in kind["by"].split("; "):
            assert f"# {part}\n" in text, part
