"""pyproject.toml, environment.yml and requirements.lock say the same; conda-forge's names are mapped."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"duckdb": "python-duckdb", "ibis-framework": "ibis-duckdb", "matplotlib": "matplotlib-base"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WANTED = {r.name: r for r in map(Requirement, PROJECT["project"]["dependencies"])}
DEVELOPMENT = [Requirement(r) for r in PROJECT["dependency-groups"]["dev"]]
FOR_TESTS = {"hypothesis", "nbval", "pytest", "pytest-timeout", "pytest-xdist"}  # conda users can run the tests
LOCKED = dict(
    re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
)


def test_conda_asks_for_the_same_packages_and_versions():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {d.split()[0]: SpecifierSet(" ".join(d.split()[1:])) for d in listed if isinstance(d, str)}
    python = {k.split("=")[0] for k in conda} & {"python", "pip"}
    conda = {k: v for k, v in conda.items() if k.split("=")[0] not in python}
    wanted = WANTED | {r.name: r for r in DEVELOPMENT if r.name in FOR_TESTS}
    assert conda == {CONDA_NAMES.get(name, name): r.specifier for name, r in wanted.items()}


@pytest.mark.parametrize("requirement", [*WANTED.values(), *DEVELOPMENT], ids=lambda r: r.name)
def test_the_lock_meets_each_requirement(requirement):
    assert requirement.specifier.contains(LOCKED[requirement.name.lower()])


def test_the_lock_pins_by_hash_and_names_no_host():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert [b.splitlines()[0] for b in blocks if "--hash=sha256:" not in b] == []


def test_this_environment_is_the_locked_one():
    for name in WANTED:
        assert WANTED[name].specifier.contains(importlib.metadata.version(name)), name


def test_why_sqlglot_and_duckdb_are_capped():
    """ibis 12 breaks with sqlglot 30.18 (nameless DROP) and duckdb 2 (removed fetch calls): these calls show it."""
    import ibis
    import pandas as pd

    engine = ibis.duckdb.connect()
    engine.create_table("t", pd.DataFrame({"a": [1, 2]}))
    engine.create_table("t", pd.DataFrame({"a": [3]}), overwrite=True)
    assert engine.sql("SELECT sum(a) AS s FROM t").execute()["s"].iloc[0] == 3
    assert sum(len(b) for b in engine.table("t").to_pyarrow_batches()) == 1
    engine.drop_table("t")
    assert Version(importlib.metadata.version("sqlglot")) < Version("30.18")
