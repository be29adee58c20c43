"""Propose a first company.yaml for a folder of exports: guesses with evidence, and TODO where a person must decide.

A column is guessed from its header (words.yaml, or the recipe of its vendor), and only if its content agrees: dates are
dates, ids are unique or found elsewhere. What is not used is named, with the reason.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from cxlib.errors import InputError
from cxlib.intake import reading
from cxlib.intake.columns import FIELDS, FILES, KINDS, METRICS, SAID, TODO, WORDS, Column, Score, Words, plain
from cxlib.intake.models import FILE
from cxlib.intake.sources import Export as How
from cxlib.intake.tables import CONTRACT

CELLS, FILES_READ, HEADERS = 8_000_000, 40, 12  # looked at of one export; rows in which a header is looked for
CONTRACTUAL = ("left_on", "left", "contract_ends_on", "monthly_revenue", "tenure")
ALIKE = {"first 15 characters": lambda t: t[:15], "digits": lambda t: re.sub(r"\D|^0+", "", t), "letters": str.lower}
RECIPES = [r for p in Path(__file__).parent.glob("recipes/*.yaml") for r in yaml.safe_load(p.read_text("utf-8"))]
Ask = Callable[[str, tuple[str, ...]], str]  # a question and its possible answers: the answer, or TODO
Tell = Callable[[int, int, str], None]  # files read, files in all, name of the file
_quoted = reading.identifier


class Export:
    """Files with the same columns, or a sheet of a workbook. ``how``: as in company.yaml; ``where``: rows to keep.

    ``found``: for each table the origin of its columns; ``table``: the events it looks like; ``question``: the column
    that says what was asked; ``scores``: columns of answers, with a score for each question ("" if there is one).
    """

    def __init__(self, how: dict[str, Any], cells: pa.Table, recipe: dict, labels: dict, where: list[str]) -> None:
        self.how, self.cells, self.recipe, self.where = how, cells, recipe, where
        self.label = ", ".join(str(how[k]) for k in ("file", "sheet") if k in how)
        self.words = plain(re.sub(r"\.\w+(?=,|$)", "", self.label))
        self.alias = re.sub(r"^(?=\d|$)", "t_", self.words)
        self.columns = [Column(n, cells[n], labels.get(n, "")) for n in cells.column_names]
        sure = {way for c in self.columns for way in c.dates if len(c.dates) == 1 and way}
        self.settle(next(iter(sure)) if len(sure) == 1 else "")
        self.found = {table: self._find(table) for table in FIELDS}
        few = [c for c in self.columns if 1 < len(c.count) <= 40 and not c.kinds & {"date", "number"}]
        asked = [c for c in few if any(metric(plain(v)) for v in c.count)]
        self.question = max(asked, key=lambda c: SAID["question"].rank(c.words), default=None)
        self.scores = self._scores()
        self.table = self._table()

    def settle(self, way: str) -> None:
        """Read the dates that leave it open with the day first (d) or the month first (m)."""
        for column in self.columns:
            column.way = way if len(column.dates) == 2 else ""

    def texts(self, column: Column) -> pd.Series:
        """Return the cells of a column, "" where they mean nothing."""
        cells = self.cells[column.name].to_pandas().fillna("").str.strip()
        return cells.where(cells.isin(column.count.keys() - {*(column.read.never if column.read else ())}), "")

    def _find(self, table: str) -> dict[str, Column]:
        found, given = {}, self.recipe.get(table, {})
        for name, (kind, words) in (
            FIELDS[table].items() if not self.recipe else [(n, (kind_of(table, n), named(g))) for n, g in given.items()]
        ):
            free = [(i, c) for i, c in enumerate(self.columns) if kind in c.kinds and c not in found.values()]
            fits = [(kind == "when" and bool(c.dates), rank, -i) for i, c in free if (rank := words.rank(c.words))]
            found |= {name: self.columns[-max(fits)[2]]} if fits else {}
        return found

    def _table(self) -> str:
        if self.recipe:
            return next(
                (t for t in (*WORDS["needed"], "responses") if t in self.recipe and "customers" not in self.recipe), ""
            )
        named = {t: words.rank(self.words) > 0 for t, words in FILES.items()}
        customers = named["customers"] or {"joined_on", "left_on"} <= self.found["customers"].keys()
        for table, needed in WORDS["needed"].items():
            found = {"revenue" if n == "unit_price" else n for n in self.found[table]}
            telling = len(found & {*needed}) + named[table] >= len(needed)
            if needed[0] in found and telling and (named[table] or not customers):
                return table
        asked = {"asked_at", "answered_at"} & self.found["responses"].keys()
        return "responses" if asked and self.scores and (named["responses"] or not customers) else ""

    def _scores(self) -> dict[Column, dict[str, Score]]:
        found, scores = self.found["responses"], {}
        likely = [c for c in self.columns if metric(c.words) or SAID["any_score"].rank(c.words)]
        likely = [c for c in likely if c is not self.question and not (self.recipe and c in found.values())]
        likely = likely if "responses" in (self.recipe or FIELDS) else []
        for column in [found["score"]] if "score" in found else likely:
            counts = {"": column.count}
            if self.question:
                frame = self.cells.select([self.question.name, column.name]).to_pandas()
                counts = {q: g.value_counts().to_dict() for q, g in frame.groupby(self.question.name)[column.name]}
            each = {q: s for q, count in counts.items() if (s := Score(count)).holds}
            scores |= {column: each} if each else {}
        return scores


class Draft:
    """One source of company.yaml in progress. ``columns``: what to write, and why; ``top``: lines above them."""

    def __init__(self, table: str, export: Export) -> None:
        self.table, self.export, self.select, self.join, self.top = table, export, "*", [], []
        self.where, self.columns, self.used = [*export.where], {}, {}

    def put(self, name: str, column: Column, why: str = "", **keys: Any) -> None:
        """Map a column: its origin, the format of its values, and the evidence."""
        more, said = column.written("id" if name == "customer_id" else kind_of(self.table, name))
        given = self.export.recipe.get(self.table, {}).get(name)
        more |= (given if isinstance(given, dict) else {}) | keys | {"column": ""}
        if more.get("unit") == "cents" and any(n % 1 for n in column.numbers):
            del more["unit"]
        more = {key: value for key, value in more.items() if value}
        self.columns[name] = (
            {"column": column.name, **more} if more else column.name,
            f"{said}; {why}" if why else said,
        )
        self.used[name] = column

    def lines(self) -> list[str]:
        """Return the lines of the source in company.yaml."""
        lines = [f"{key}: {_flow(value)}" for key, value in self.export.how.items()]
        if self.where or self.select != "*":
            where = [f"  {'and' if i else 'where'} {rule}" for i, rule in enumerate(self.where)]
            lines = [
                "sql: |",
                f"  select {self.select} from {self.export.alias}{' a' * len(self.join)}",
                *self.join,
                *where,
            ]
        dated = [c for n, c in self.used.items() if c.read and kind_of(self.table, n) in ("date", "when")]
        if never := sorted({t for c in dated for t in (*c.read.never, *c.read.unread)}):
            kept = sorted({b for c in self.used.values() for b in c.blanks})
            lines.append(f"blank: {_guess(['', *kept, *never], f'{never[-1]} means no date')}")
        return [*lines, *self.top, "columns:", *(f"  {_flow(n)}: {_guess(v, w)}" for n, (v, w) in self.columns.items())]
