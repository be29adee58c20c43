"""One export as its source describes it: read, cleaned, joined, filtered, one row per id; with its own column names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ibis
import ibis.expr.types as ir

from cxlib.errors import InputError
from cxlib.intake import values
from cxlib.intake.models import did_you_mean
from cxlib.intake.sources import Export, Filter, Format, Join, Source

Load = Callable[[Export], ir.Table]
_OWN = ("_row", "_copy")


class Prepared:
    """An export with its joins. Columns of ``table`` are called ``:column`` (its own) and ``as:column`` (of a join).

    ``raw``: the export as read. ``kept``: the rows that pass the filters. ``table``: of these one row per id, if the
    source says so. ``copies`` asks for the column _copy (the row repeats an earlier one, cell by cell), which is
    otherwise False.
    """

    def __init__(self, source: Source, load: Load, copies: bool, duckdb: bool) -> None:
        self.source, self.duckdb, self.raw = source, duckdb, load(source)
        self.labels = {"": source.label}
        self._have = {"": [c for c in self.raw.columns if c not in _OWN]}
        copy = rank(self.raw, self._have[""], ["_row"]) > 0 if copies else ibis.literal(False)
        self.table = self.raw.select("_row", _copy=copy, **_cleaned(self.raw, source, "", _named(source)))
        for join in source.join:
            self._join(join, load(join))
        if source.filter:
            self.table = self.table.filter(
                [_holds(f, self.find(f.column, "filter"), source.blank) for f in source.filter]
            )
        self.kept = self.table
        if source.one_row_per:
            self._one_each()

    def place(self, written: str, where: str) -> tuple[str, str]:
        """Return (join or "", column) for a name in company.yaml. Errors: InputError if there is no such column."""
        if written in self._have[""]:
            return "", written
        alias, dot, column = written.partition(".")
        if not dot or alias not in self._have:
            alias, column = "", written
        if column not in self._have[alias]:
            raise InputError(
                f"There is no column {column!r}, which {where} names",
                file=self.labels[alias],
                column=column,
                remedy=did_you_mean(column, self._have[alias], "export's"),
            )
        return alias, column

    def own(self, written: str | None) -> ir.Value | None:
        """Return a column of the export itself, cleaned, as text, on ``raw``; None for any other name."""
        if written not in self._have[""]:
            return None
        return values.text(values.clean(self.raw[written], self.source.blank))

    def find(self, written: str, where: str, table: ir.Table | None = None) -> ir.Value:
        """Return the cleaned column for a name in company.yaml (in a table derived from ``table``)."""
        return (self.table if table is None else table)[":".join(self.place(written, where))]

    def _join(self, join: Join, raw: ir.Table) -> None:
        alias, where = join.as_, f"the join {join.as_!r}"
        self.labels[alias], self._have[alias] = join.label, [c for c in raw.columns if c not in _OWN]
        used = {c.partition(".")[2] for c in _named(self.source) if c.startswith(f"{alias}.")}
        used |= {*join.on.values(), join.by, *(f.column for f in join.filter)}
        right = raw.select("_row", **_cleaned(raw, join, alias, used))

        def column(name: str) -> ir.Value:
            return self.find(f"{alias}.{name}", where, right)

        keys = [":".join(self.place(f"{alias}.{name}", where)) for name in join.on.values()]
        written = {k: values.text(right[k]) for k in keys if not right[k].type().is_string()}
        right = right.mutate(**written) if written else right
        conditions = [_holds(f, column(f.column), join.blank) for f in join.filter]
        right = right.filter([*conditions, *(right[k].notnull() for k in keys)])
        same = [(values.text(self.find(name, where)), k) for name, k in zip(join.on, keys, strict=True)]
        if join.pick == "one":
            self._refuse_several(right, same, join)
        elif join.pick == "sum":
            right = self._sums(right, keys, join)
        else:
            order = _order(right, column(join.by), join, join.pick, self.duckdb, join.label)
            right = right.mutate(_rank=rank(right, keys, order)).filter(lambda t: t._rank == 0)
        right = right.select(*(c for c in right.columns if ":" in c))
        self.table = self.table.left_join(right, [left == right[k] for left, k in same])

    def _refuse_several(self, right: ir.Table, same: list[tuple[ir.Value, str]], join: Join) -> None:
        """Raise InputError if a row has several matches in the join."""
        keys = [k for _, k in same]
        different = right.select(*keys).distinct()
        counts = right.agg(n=right.count()).cross_join(different.agg(keys=different.count())).to_pandas().iloc[0]
        if counts["n"] == counts["keys"]:
            return
        several = right.group_by(keys).agg(n=right.count(), row=right._row.max()).filter(lambda t: t.n > 1)
        found = several.semi_join(self.table, [several[k] == left for left, k in same])
        found = found.order_by(["row", *keys]).limit(1).to_pandas()
        if len(found):
            first = found.iloc[0]
            raise InputError(
                f"{first['n']} rows match one key of the join {join.as_!r}",
                file=join.label,
                row=whole(first["row"]),
                column=", ".join(join.on.values()),
                value=", ".join(first[k] for k in keys),
                remedy="Choose pick: first or pick: last (with by:), pick: sum, or a filter that leaves one.",
            )

    def _sums(self, right: ir.Table, keys: list[str], join: Join) -> ir.Table:
        """Sum the columns that the source uses within a key; they must be numbers."""
        sums, alias = {}, join.as_
        for written in _named(self.source):
            name = written.partition(".")[2]
            if written in self._have[""] or not written.startswith(f"{alias}.") or name in join.on.values():
                continue
            cell = self.find(written, f"the join {alias!r}", right)
            number = values.typed(cell, "number", join, self.duckdb)
            if not cell.type().is_numeric():
                _refuse_first(right, cell, cell.notnull() & number.isnull(), "number", join, join.label)
            sums[cell.get_name()] = number.sum()
        return right.group_by(keys).agg(**sums)

    def _one_each(self) -> None:
        rule, kept = self.source.one_row_per, self.kept
        unit = ":".join(self.place(self.source.columns[rule.column].column, "one_row_per"))
        order = [ibis.desc(kept._row) if rule.pick == "last" else kept._row]
        if rule.by:
            by = self.find(rule.by, "one_row_per")
            order = _order(kept, by, self.source, rule.pick, self.duckdb, self.source.label)
        self.table = kept.mutate(_rank=rank(kept, [unit], order)).filter(lambda t: t._rank == 0).drop("_rank")


def rank(rows: ir.Table, within: Iterable[str], order: Iterable[str | ir.Value]) -> ir.IntegerValue:
    """Return the position of a row, from 0, among rows with the same values in ``within``."""
    keys = [rows[o] if isinstance(o, str) else o for o in order]
    return ibis.row_number().over(ibis.window(group_by=[rows[c] for c in within], order_by=keys))


def _named(source: Source) -> set[str]:
    """Return every column that a source names, its own or those of its joins."""
    by = source.one_row_per.by if source.one_row_per else None
    lefts = {name for join in source.join for name in join.on}
    others = {c.later_than for c in source.columns.values()}
    return {*(c.column for c in source.columns.values()), *others, *(f.column for f in source.filter), *lefts, by} - {
        None
    }


def _cleaned(raw: ir.Table, how: Export, alias: str, names: set[str]) -> dict[str, ir.Value]:
    return {f"{alias}:{c}": values.clean(raw[c], how.blank) for c in raw.columns if c in names}


def _holds(condition: Filter, column: ir.Value, blank: list[str]) -> ir.BooleanValue:
    """Tell whether a filter keeps the row; every blank text equals the empty text."""
    wanted = condition.is_ if condition.is_ is not None else condition.is_not
    wanted = ["" if w.strip() in blank else w.strip() for w in wanted]
    written = values.text(column).fill_null("")
    if column.type().is_boolean():  # TRUE, True and true are one value
        written, wanted = written.lower(), [w.lower() for w in wanted]
    found = written.isin(wanted) if wanted else ibis.literal(False)
    return found if condition.is_ is not None else ~found


def _order(rows: ir.Table, by: ir.Value, how: Format, pick: str, duckdb: bool, label: str) -> list[ir.Value]:
    """Return the sort keys (dates or numbers) that put the row to pick first; empty values come last."""
    key = by
    if by.type().is_string():
        as_kind = {k: values.typed(by, k, how, duckdb) for k in ("moment", "number")}
        bad = {k: (by.notnull() & v.isnull()).fill_null(False) for k, v in as_kind.items()}
        counts = rows.agg(**{k: b.ifelse(1, 0).sum() for k, b in bad.items()}).to_pandas().iloc[0].fillna(0)
        if counts["moment"] and counts["number"]:
            _refuse_first(rows, by, bad["moment"], "moment", how, label)
        key = as_kind["number" if counts["moment"] else "moment"]
    return [(ibis.desc if pick == "last" else ibis.asc)(key, nulls_first=False), rows._row]


def _refuse_first(rows: ir.Table, cell: ir.Value, bad: ir.BooleanValue, kind: str, how: Format, label: str) -> None:
    found = rows.filter(bad).select(row="_row", value=cell).order_by("row").limit(1).to_pandas()
    if len(found):
        value = found["value"].iloc[0]
        raise InputError(
            f"Not a {values.NOUNS[kind]}",
            file=label,
            row=whole(found["row"].iloc[0]),
            column=cell.get_name().partition(":")[2],
            value=value,
            remedy=values.remedy(kind, value, how),
        )


def whole(row: object) -> int | None:
    """Return a row number from the engine as int, None if the engine has none."""
    return None if row is None or row != row else int(row)
