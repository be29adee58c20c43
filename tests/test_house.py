"""The house keeps its rules beside those of import-linter (pyproject): size, names, what its files may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "cxlib").rglob("*.py"))
MOST_LINES = 26_660  # of cxlib in all; lowered as the library shrinks
TOP = {"__init__.py", "__main__.py", "cli.py", "errors.py", "paths.py"}
PUZZLING = {
    "shared",
    "utils",
    "helpers",
    "common",
    "misc",
    "mix",
    "worth",
    "landmark",
    "timing",
    "renewing",
    "arms",
    "doubts",
}


def test_statistics_hold_no_word_of_customer_experience():
    words = re.compile(r"\b(csat|psat|survey|touchpoint|churn|churned)\b", re.IGNORECASE)
    for path in (ROOT / "cxlib" / "stats").glob("*.py"):
        names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
        assert not [n for n in names if words.search(n)], path.name


def test_the_library_stays_small():
    assert sum(len(p.read_text().splitlines()) for p in MODULES) <= MOST_LINES


def test_a_reader_finds_things_by_their_names():
    assert {p.name for p in (ROOT / "cxlib").glob("*.py")} == TOP
    assert not {p.stem for p in MODULES} & PUZZLING


def test_every_error_is_raised_and_has_its_words():
    """The words of a module's errors stand in the TOML beside it: none is missing, and none is left over."""
    for path in (ROOT / "cxlib").rglob("*.toml"):
        errors = tomllib.loads(path.read_text()).get("errors")
        if errors is not None:
            source = path.with_suffix(".py").read_text()
            assert not set(re.findall(r"\b(?:fault|refuse|stop)\(\s*\"(\w+)\"", source)) - set(errors), path.name
            assert not [name for name in errors if f'"{name}"' not in source], path.name
            assert all(len(pair) == 2 and all(text.strip() for text in pair) for pair in errors.values()), path.name


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so which files belong to it is not known")
    return [ROOT / f for f in listed.stdout.splitlines() if (ROOT / f).is_file()]


def test_no_file_names_a_registry_a_machine_or_a_secret():
    registries = "|".join(["pypi" + r"\.org", "python" + "hosted", "npm" + "js", "conda" + r"\.anaconda"])
    machine = r"(^|[\s\"'=(])/(" + "|".join(["work", "root", "home/[a-z]", "Users/[a-z]"]) + ")/"
    secret = r"(?i)(password|secret|token)\s*[:=]\s*['\"][^'\"$<{ ]{6,}"
    for path in tracked():
        if path.suffix in {".parquet", ".png", ".xlsx"} or path == Path(__file__):
            continue
        text = path.read_text(errors="ignore")
        for what in (registries, machine, secret):
            hit = re.search(what, text, re.MULTILINE)
            assert not hit, f"{path.relative_to(ROOT)}: {hit.group(0)!r}"
