"""Settings of all tests: repeatable examples, one thread for each process, slow files first.

Tests that open a company are marked, so that ``make quick`` can leave them out.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from functools import cache
from pathlib import Path

# Before numpy is imported: on small matrices a second thread costs more than it gives.
for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

# As in cxlib.publish.execute: parsers of a URI checker that no field of a notebook needs, seconds for each process.
sys.modules.setdefault("rfc3987_syntax", None)

import duckdb  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from benchmarks import compiling  # noqa: E402

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# Two test processes share two cores: threads of the engine would only wait for each other. Compiling queries makes many
# short-lived objects, among which the collector would look for cycles far too often.
_connect = duckdb.connect
duckdb.connect = lambda *args, config=None, **how: _connect(*args, config={"threads": 1, **(config or {})}, **how)
gc.set_threshold(20_000, 20, 50)

# To open a company of the same columns again is to compile the same queries again: a third of the work.
compiling.once()

# With two processes the slow files go first, so that none is left alone at the end (make test keeps this order).
SLOW_FIRST = (
    "test_run",
    "test_net",
    "test_by_hand",
    "test_questions",
    "test_young_companies",
    "test_html",
    "test_risk",
    "test_retention",
)
ENGINE = re.compile(r"\b(open_company|Company|small_company|run_report|cli|net|make_company|bootstrap|nbformat)\b")


@cache
def _needs_engine(path: Path) -> bool:
    return bool(ENGINE.search(path.read_text(encoding="utf-8")))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what ``make quick`` leaves out."""
    without = "not engine" in config.option.markexpr and collection_path.suffix == ".py"
    return True if without and _needs_engine(collection_path) else None


def pytest_collection_modifyitems(items: list) -> None:
    """Put the slow files first and mark what opens a company, which ``make quick`` leaves out."""
    place = {name: i for i, name in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
    for item in items:
        if item.path.suffix == ".py" and _needs_engine(item.path):
            item.add_marker("engine")
