"""The net: every number that the pages of five companies show, kept in ``tests/frozen``, without a word of them.

    python bootstrap.py tests/net.py [COMPANY ...]     freeze the numbers anew

A line is a figure (value, low, high, n), a fact handed to a sentence, or a column of a table as count, sum, sum
weighted by row, and sum of squares: enough to notice any change, small enough to read in a diff.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pandas as pd

from cxlib import paths
from cxlib.intake.company import Company, open_company
from cxlib.page import session
from cxlib.publish.run import READS, discover

FROZEN = Path(__file__).parent / "frozen"
EXPORTS = FROZEN.parents[2] / "shared" / "data"
COMPANIES = {"demo": "demo", "demo-shop": "demo-shop"} | {
    name: str(FROZEN.parent / "companies" / name) for name in ("nps_fr", "olist", "ravenstack")
}
NOTEBOOKS = sorted(p.stem for p in discover() if READS not in p.read_text(encoding="utf-8"))


def opened(name: str, as_of: object = None) -> Company:
    """Return a company, read once for all the tests of a process."""
    return _opened(name, as_of)


@cache  # tells opened("demo") from opened("demo", as_of=None)
def _opened(name: str, as_of: object) -> Company:
    return open_company(name, as_of=as_of)


@cache
def run(notebook: str, company: str) -> list[tuple[str, object]]:
    """Execute the code cells of a notebook and return what it showed: findings, and private tables by name."""
    shown: list[tuple[str, object]] = []
    page = session.Page
    record = {
        "show": lambda self, finding, *_, **__: shown.append((finding.name, finding)) or finding,
        "private": lambda self, frame, name: shown.append((name, frame)),
        "frame": lambda self, frame, *_: None,
        "look": lambda self, *_, **__: None,
        "say": lambda self, sentence: None,
        "close": lambda self: None,
        "made_with": lambda self: None,
    }
    cells = nbformat.read(paths.notebooks() / f"{notebook}.ipynb", as_version=4).cells
    namespace: dict[str, object] = {}
    with mock.patch.multiple(page, **record), mock.patch.object(session, "open_company", opened):
        for cell in (c for c in cells if c.cell_type == "code"):
            exec(compile(cell.source, notebook, "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace["company"] = COMPANIES[company]
    return shown


def numbers(value: object) -> Iterator[float]:
    """Yield the numbers of a fact: of a number, an estimate, or a list of them."""
    if isinstance(value, (bool, int, float, np.number)):
        yield float(value)
    elif hasattr(value, "low") and hasattr(value, "value"):
        yield from (float(getattr(value, k)) for k in ("value", "low", "high", "n"))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)


def columns(frame: pd.DataFrame) -> Iterator[list[float]]:
    """Yield for each numeric column: count, sum, sum weighted by row, sum of squares."""
    for column in frame:
        values = frame[column]
        if pd.api.types.is_datetime64_any_dtype(values):
            continue
        if values.dtype == object and not all(isinstance(v, (int, float, np.number)) for v in values.dropna()):
            continue
        if not (values.dtype == object or pd.api.types.is_numeric_dtype(values)):
            continue
        x = pd.to_numeric(values).to_numpy(float, na_value=math.nan)
        finite = np.isfinite(x)
        at, x = np.flatnonzero(finite) + 1, x[finite]
        yield [float(finite.sum()), float(x.sum()), float((at * x).sum()), float((x * x).sum())]


def lines(notebook: str, company: str) -> dict[str, list[float]]:
    """Return the numbers of a notebook under their names."""
    found: dict[str, list[float]] = {}

    def keep(name: str, values: list[float]) -> None:
        key, again = name, 2
        while key in found:
            key, again = f"{name} ({again})", again + 1
        found[key] = values

    for name, what in run(notebook, company):
        key = f"{notebook}/{name}"
        if isinstance(what, pd.DataFrame):
            keep(f"{key} rows", [float(len(what))])
            frame, figures = what, ()
        else:
            keep(f"{key} answered", [float(what.answered)])
            frame, figures = what.table, what.figures
        for figure in figures:
            keep(f"{key} figure {figure.name}", list(numbers(figure.estimate)))
        for i, values in enumerate(columns(frame), 1):
            keep(f"{key} column {i}", values)
        for fact, value in getattr(what, "facts", {}).items():
            if several := list(numbers(value)):
                keep(f"{key} fact {fact}", several)
    return found


def written(values: list[float]) -> str:
    """Return numbers as a line of a file."""
    return " ".join(f"{v:.9g}" for v in values)


def frozen(company: str, notebook: str) -> dict[str, list[float]]:
    """Return the kept numbers of a notebook."""
    kept = {}
    for line in (FROZEN / f"{company}.txt").read_text().splitlines():
        name, _, values = line.partition(": ")
        if name.startswith(f"{notebook}/"):
            kept[name] = [float(v) for v in values.split()]
    return kept


def freeze(company: str) -> None:
    """Write the numbers of a company."""
    text = []
    for notebook in NOTEBOOKS:
        text += [f"{name}: {written(values)}\n" for name, values in lines(notebook, company).items()]
    (FROZEN / f"{company}.txt").write_text("".join(text))


if __name__ == "__main__":
    for name in sys.argv[1:] or COMPANIES:
        freeze(name)
