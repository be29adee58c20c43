"""The checks of the six tables: what stops the intake, which rows are set aside, and what is only noted.

Every check is an expression on the rows, so that a table costs one pass. A row carries the number of the condition that
stops the intake (``_stop``). It has one bit per reason to set it aside (``_flags``; the first one counts) and one bit
per note (``_notes``). A row without flags is used. The remedies and the sentences of notes stand in checks.toml.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxlib.errors import InputError, faults, words
from cxlib.intake import engines, values
from cxlib.intake.exports import rank
from cxlib.intake.tables import CONTRACT, ID, Rows, by_content, content, field

MONEY_OF = {"orders": "revenue", "customers": "monthly_revenue"}
RECORD = ["table", "file", "rows_read", "merged", "reason", "set_aside", "used"]
ASIDE = ["table", "reason", "rows", "money", "file", "row", "column", "value", "remedy"]
SECOND_ROW = -1  # the _stop of a second row with the id of a customer or initiative
AS_OF = "after the as-of date"
NOT_YET = (AS_OF, "customer is set aside", "initiative is set aside")  # all that a report for an earlier day sets aside
UNKNOWN = "unknown customer"
fault = faults(__file__)
_SAID = words(__file__)


@dataclass(frozen=True)
class Context:
    """What the checks of one table need besides its rows.

    ``mapped``: the columns that come from exports, those of the row's customer as _joined_on and _left_on, and the
    marks of rows, _again only if an id can occur twice. ``lengths``: columns given as a duration after another one.
    """

    as_of: date
    mapped: set[str]
    lengths: set[str]

    def knows(self, *columns: str) -> bool:
        """Tell whether all of these columns are mapped; "a|b" means either of them."""
        return all(column_of(c, self.mapped) in self.mapped for c in columns)


def column_of(either: str, mapped: Collection[str]) -> str:
    """Return the first mapped column of "a|b", or the last if none is."""
    *names, last = either.split("|")
    return next((n for n in names if n in mapped), last)


def _of(t: ir.Table, either: str) -> ir.Value:
    """Return the first of "a|b" that is there and not empty."""
    return ibis.coalesce(*(t[c] for c in either.split("|") if c in t.columns))


def _day(moment: ir.Value) -> ir.DateValue:
    return moment if moment.type().is_date() else moment.cast("date")


def _later(t: ir.Table, c: Context, column: str) -> ir.BooleanValue:
    return _day(_of(t, column)) > ibis.literal(c.as_of)


def _before(t: ir.Table, c: Context, first: str, second: str) -> ir.BooleanValue:
    """Tell whether ``first`` is before ``second``; a day without a time is that whole day."""
    a, b = _of(t, first), t[second]
    if a.type().is_date() or b.type().is_date():
        return _day(a) < _day(b)
    if first in c.lengths:
        return a < b
    midnight = a == _day(a).cast("timestamp")
    return (a < b) & ~(midnight & (_day(a) == _day(b)))


RULES: dict[str, Callable[..., ir.BooleanValue]] = {  # of the rows t, their context c, and the columns to look at
    "marked": lambda t, c, shown, mark: t[mark],
    "unknown": lambda t, c, key: t[f"_of_{key}"].isnull(),
    "aside": lambda t, c, key: t[f"_of_{key}"] != 0,
    "undated": lambda t, c, column: _of(t, column).isnull() & t._dated,
    "later": _later,
    "not begun": lambda t, c, column: _later(t, c, column) & (t.status.fill_null("") != "planned"),
    "before": _before,
    "left before": lambda t, c, at, left, *also: ibis.and_(_day(_of(t, at)) > t[left], *(t[a].notnull() for a in also)),
    "empty": lambda t, c, column: t[column].isnull(),
    "without": lambda t, c, column, other, *mapped: t[column].notnull() & t[other].isnull(),
    "negative": lambda t, c, column: t[column] < 0,
    "above": lambda t, c, column, limit: (t[column] > t[limit]) & (t[limit] >= 0),
}


@dataclass(frozen=True)
class Check:
    """A rule on rows, for the columns ``of``. It applies where all are mapped; the first one is shown.

    ``name`` is the reason or note as readers see it, ``said`` the name of its remedy or a sentence about {n} rows.
    """

    name: str
    rule: str
    of: Sequence[str]
    said: str


REASONS = {table: [Check(**reason) for reason in reasons] for table, reasons in _SAID["reasons"].items()}
NOTES = {table: [Check(**note) for note in notes] for table, notes in _SAID["notes"].items()}


@dataclass(frozen=True)
class Checked:
    """A table with the results of the checks: its exports, its ``rows``, used or not, and their counts by result.

    ``rows`` have the finished columns and _source, _row, _stop, _flags, _notes, _value. _value is the content of the
    column of the first reason to set the row aside. A finished column that differs from the export has a second one,
    with a line before its name: true where the export fills it, else null. ``found`` has a row for each combination of
    results.
    """

    name: str
    sources: list[Rows]
    rows: ir.Table
    found: pd.DataFrame

    def stops(self) -> Iterator[InputError]:
        """Yield one InputError for each condition that stops the intake, with its first row."""
        found = self.found[self.found["_stop"] != 0].sort_values(["_source", "row"])
        for (source, number), same in found.groupby(["_source", "_stop"], sort=False):
            rows, row, others = self.sources[int(source)], same.iloc[0]["row"], int(same["n"].sum()) - 1
            more = f" (and in {others:,} further row{'s' if others > 1 else ''})" if others else ""
            if number != SECOND_ROW:
                stop = rows.stops[int(number) - 1]
                yield rows.error(stop, row, content(rows.table, stop.shown, row) or "", more)
                continue
            key, again = ID[self.name], self.rows.filter(self.rows._source == int(source))
            place = rows.place(row) | {"column": rows.source.columns[key].column}
            facts = {"table": self.name, "id": key, "more": more, "several": _SAID["several"].get(self.name, "")}
            yield fault("second_row", **place, value=content(again, again[key], row), **facts)

    def nothing_left(self, hint: str) -> Iterator[InputError]:
        """Yield an InputError if no row is used, with the most frequent reason and a ``hint``."""
        flags, early = self.found["_flags"], bits(self.name, *NOT_YET)
        if (flags == 0).any() or (((flags & early) > 0).all() and self.name != "customers"):
            return
        most = max(self.set_aside(), key=lambda line: line["rows"])
        facts = {k: most[k] for k in ("table", "reason", "rows", "file", "row", "column", "value")}
        yield fault("nothing_left", **facts, total=int(self.found["n"].sum()), cure=most["remedy"], hint=hint)

    def share(self, reason: str) -> float:
        """Return the share of rows that a reason applies to."""
        return self._count(self._has("_flags", bits(self.name, reason))) / int(self.found["n"].sum())

    def record(self) -> Iterator[tuple[object, ...]]:
        """Yield how the rows of each source were used, in the columns of ``RECORD``."""
        for s in self.sources:
            mine = self.found["_source"] == s.index
            here, used = self._count(mine), self._count(mine & (self.found["_flags"] == 0))
            merged = s.read - here
            why = f"{merged:,} rows joined with others of the same id (repeats: {s.source.repeats})" if merged else ""
            yield self.name, s.source.label, s.read, merged, why, here - used, used

    def set_aside(self) -> list[dict[str, object]]:
        """Return one line per reason and source, in the columns of ``ASIDE``."""
        lines, mapped = [], _mapped(self.sources)
        for i, reason in enumerate(REASONS[self.name]):
            column = None if reason.of[0] == "_row" else column_of(reason.of[0], mapped)
            for source, group in self.found[self._first(i)].groupby("_source"):
                example, said = group.sort_values("row").iloc[0], _SAID["remedies"][reason.said]
                line = {"table": self.name, "reason": reason.name, "rows": int(group["n"].sum()), "remedy": said}
                line |= {"column": column, "value": example["value"] if column else None}
                line["money"] = round(float(group["money"].sum()), 2) if self.name in MONEY_OF else None
                lines.append(line | self.sources[int(source)].place(example["row"]))
        return lines

    def notes(self) -> Iterator[tuple[str, int, str]]:
        """Yield (check, rows, sentence) for rows used, reasons hidden by earlier ones, empty columns and times."""
        for i, note in enumerate(NOTES.get(self.name, ())):
            if n := self._count((self.found["_flags"] == 0) & self._has("_notes", 1 << i)):
                yield note.name, n, note.said.format(n=n)
        for i, reason in enumerate(REASONS[self.name]):
            n = self._count(self._has("_flags", 1 << i))
            if hidden := n - self._count(self._first(i)):
                said = _SAID["hidden"].format(n=n, table=self.name, hidden=hidden)
                yield f"{self.name}: {reason.name}", n, said
        for column in self._empty():
            said = _SAID["empty"].format(table=self.name, a="an" if column[0] in "aeiou" else "a", column=column)
            yield f"{column} is empty", int(self.found["n"].sum()), said
        yield from ((check, 0, said) for s in self.sources for check, said in s.remarks)

    def _empty(self) -> list[str]:
        """Return the mapped columns that no row fills in the export; those that must be filled have stopped already."""
        columns = [c for c in sorted(_mapped(self.sources)) if not field(self.name, c).filled]
        given = {c: self.rows[f"_{c}" if f"_{c}" in self.rows.columns else c] for c in columns}
        counts = self.rows.agg(**{c: cells.count() for c, cells in given.items()}).execute() if given else {}
        return [c for c in counts if not counts[c].iloc[0]]

    def _has(self, column: str, some: int) -> pd.Series:
        return (self.found[column] & some) > 0

    def _first(self, i: int) -> pd.Series:
        """Tell of which results reason ``i`` is the first: their lowest bit."""
        return (self.found["_flags"] & ((2 << i) - 1)) == (1 << i)

    def _count(self, results: pd.Series) -> int:
        return int(self.found.loc[results, "n"].sum())


def bits(name: str, *reasons: str) -> int:
    """Return the bits of reasons in the _flags of a table."""
    return sum(1 << i for i, reason in enumerate(REASONS[name]) if reason.name in reasons)


def without_copies(rows: ir.Table) -> ir.Table:
    """Return checked rows without exact copies (the first bit of _flags), so that each id occurs once."""
    return rows.filter(rows._flags % 2 == 0)


def check(engine: ibis.BaseBackend, sources: list[Rows], others: Mapping[str, Checked]) -> Checked:
    """Return a table with the results of the checks, stored in the engine; ``others`` are those checked before."""
    name, as_of = sources[0].name, sources[0].as_of
    columns = [*dict.fromkeys([*CONTRACT[name], *(c for s in sources for c in s.source.columns)])]
    mapped, others = _mapped(sources), {n: t for n, t in others.items() if ID[n] in CONTRACT[name]}
    rows, marks = reduce(ibis.union, [s.typed(columns) for s in sources]), {"_row", "_copy", "_unasked"}
    # Repeated ids are costly to search: only where one can occur twice, in one export or in two.
    if name in ID and (any(s.repeated for s in sources) or sum(ID[name] in s.source.columns for s in sources) > 1):
        rows, marks = _numbered(rows, name, mapped), marks | {"_again"}
    rows = engines.view(engine, f"_typed_{name}", rows)  # shorter expressions above it compile faster
    for table, other in others.items():
        key, marks = ID[table], marks | {f"_{c}" for c in _mapped(other.sources)}
        own = {f"_{key}": key, f"_of_{key}": "_flags"}
        own |= {"_joined_on": "joined_on", "_left_on": "left_on", "fold": "fold"} if table == "customers" else {}
        known = ", ".join(f"{c} as {n}" for n, c in own.items())
        known = f"select {known} from {other.rows.op().name} where _flags % 2 = 0"
        both = f"select t.*, k.* from {rows.op().name} t left join ({known}) k on t.{key} = k._{key}"
        schema = ibis.schema(dict(rows.schema()) | {n: other.rows[c].type() for n, c in own.items()})
        rows = engines.view(engine, f"_{name}_and_{table}", both, schema)
    lengths = {c for s in sources for c, given in s.source.columns.items() if given.after}
    c = Context(as_of, mapped | marks, lengths)
    reasons, notes = _conditions(rows, c, REASONS[name]), _conditions(rows, c, NOTES.get(name, ()))
    value = [(when, rows[column_of(REASONS[name][i].of[0], c.mapped)].cast("string")) for i, when in reasons.items()]
    known = _as_known(rows, name, c)
    finished = {n: rows[n] for n in columns} | known | {f"_{n}": rows[n].notnull().nullif(False) for n in known}
    if "customer_id" in columns:
        finished["fold"] = rows.fold if name != "customers" else _fold(rows, sources[0].settings.fold_by)
    results = {"_flags": _bits(reasons), "_notes": _bits(notes), "_value": ibis.cases(*value)}
    rows = engines.stored(engine, f"_checked_{name}", rows.select("_source", "_row", "_stop", **finished, **results))
    money = rows[MONEY_OF[name]].sum().fill_null(0.0) if name in MONEY_OF else ibis.literal(0.0)
    counts = {"n": rows.count(), "row": rows._row.min(), "value": rows._value.argmin(rows._row), "money": money}
    found = rows.group_by("_source", "_stop", "_flags", "_notes").agg(**counts).to_pandas()
    return Checked(name, sources, rows, found)


def _mapped(sources: list[Rows]) -> set[str]:
    return {c for s in sources for c in s.source.columns}


def _numbered(rows: ir.Table, name: str, mapped: set[str]) -> ir.Table:
    """Mark rows with the id of another as _again: all but the latest, by their content, since a database has no order.

    For customers and initiatives it is the second row, and an error. The questions of one response share its id.
    """
    same, once = [ID[name], *(["metric"] if name == "responses" else [])], name in ("customers", "initiatives")
    order = [] if once else [ibis.desc(rows[n], nulls_first=False) for n in by_content(name, mapped)]
    rows = rows.mutate(_again=(rank(rows, [*same, "_copy"], [*order, "_source", "_row"]) > 0) & ~rows._copy)
    return rows.mutate(_stop=(once & (rows._stop == 0) & rows._again).ifelse(SECOND_ROW, rows._stop))


def _conditions(rows: ir.Table, c: Context, checks: Sequence[Check]) -> dict[int, ir.BooleanValue]:
    return {i: RULES[check.rule](rows, c, *check.of) for i, check in enumerate(checks) if c.knows(*check.of)}


def _bits(conditions: dict[int, ir.BooleanValue]) -> ir.IntegerValue:
    # A condition that is null (a date is missing) is not met: ifelse takes its second branch.
    bits = [condition.ifelse(1 << i, 0) for i, condition in conditions.items()]
    return sum(bits, ibis.literal(0, "int64")).cast("int64")


def _as_known(rows: ir.Table, name: str, c: Context) -> dict[str, ir.Value]:
    """Return the columns to replace: values not known on the as-of date, and values that follow from others."""
    known = {
        column: _later(rows, c, day).ifelse(ibis.null(rows[column].type()), rows[column])
        for column, day in _SAID["known_on"].get(name, {}).items()
        if c.knows(column, day)
    }
    answered_at = "answered_at|asked_at"
    if name == "responses" and c.knows(answered_at):
        answered = known.get("score", rows.score).notnull()
        known["answered_at"] = answered.ifelse(_of(rows, answered_at), ibis.null("timestamp"))
    if name == "exposures":
        known["arm"] = rows.arm.fill_null("treated")
    return known


def _fold(customers: ir.Table, unit: str | None) -> ir.IntegerValue:
    """Return 0-255 from the first two hex digits of the MD5 of an id, equal on every engine.

    ``unit``: the column whose value is hashed in its place, so that the customers of an account share a fold. A
    customer without a value is a unit of its own.
    """
    ids = customers.customer_id
    ids = ibis.coalesce(customers[unit].cast("string"), ids) if unit else ids
    digest, digits = values.md5(ids).lower(), ibis.literal("0123456789abcdef")
    return (digits.find(digest.substr(0, 1)) * 16 + digits.find(digest.substr(1, 1))).cast("int64")
