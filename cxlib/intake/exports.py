"""The exports of a company in the engine: files, frames or tables of a database, and the selects over them.

Every export is read once, before any select runs. Then the engine is closed to files, networks and settings, so that a
select sees the declared exports and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa

from cxlib.errors import InputError, faults
from cxlib.intake import database, engines, reading, values
from cxlib.intake.models import FILE, did_you_mean
from cxlib.intake.settings import Settings
from cxlib.intake.sources import Export, Source

fault = faults(__file__)
Fingerprint = tuple[str, int | None, str | None]  # name, bytes, SHA-256


class Exports:
    """All exports that company.yaml names, each read once, under the names of ``exports:`` and of the sources."""

    def __init__(self, engine: ibis.BaseBackend, settings: Settings, read: Files | Frames | database.Tables) -> None:
        self._engine, self._read, self._made = engine, read, {}
        found, self.read_as, errors = {}, {}, []
        for export in (*settings.exports.values(), *(s for _, s in settings.sources.each() if s.sql is None)):
            if (key := _how(export)) not in found:
                found[key] = f"_export_{len(found)}"
                try:
                    read(engine, export, found[key])
                except InputError as error:
                    errors.append(error)
            self.read_as[key] = found[key]
        read.close()
        InputError.raise_all(errors)
        self._exports = list(found.values())
        for name, export in settings.exports.items():
            engine.raw_sql(f"create view {reading.identifier(name)} as select * from {found[_how(export)]}")
        engines.close(engine)
        self._named = list(settings.exports)
        for table, source in settings.sources.each():
            try:
                if source.sql and source.sql not in self._made:
                    self._made[source.sql] = self._select(source.sql, f"sources.{table}")
            except InputError as error:
                errors.append(error)
        InputError.raise_all(errors)
        for name in self._named:
            engine.raw_sql(f"drop view {reading.identifier(name)}")

    def __call__(self, source: Source) -> ir.Table:
        """Return the rows of a source as read or selected, with the column _row."""
        return self._engine.table(self._made[source.sql] if source.sql else self.read_as[_how(source)])

    def _select(self, sql: str, key: str) -> str:
        """Store the rows of a select, in an order that depends on the rows alone."""
        name, known = f"_select_{len(self._made)}", ", ".join(self._named) or "none (exports:)"
        facts = {"file": FILE, "key": key, "exports": f"The exports are: {known}."}
        try:
            statements = duckdb.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise fault("not_one_select", **facts)
            inner = sql.strip().rstrip(";")
            self._engine.raw_sql(
                f"create table {name} as select *, row_number() over () as {reading.ROW} from "
                f"(select columns(c -> not starts_with(c, '{reading.ROW}')) from ({inner}\n) order by all)"
            )
            if not self._engine.raw_sql(f"select 1 from {name} limit 1").fetchall():
                raise fault("nothing_selected", **facts)
        except duckdb.Error as error:
            said = re.split(r"\n\s*\n|\nLINE|\nDid you mean", str(error).strip())[0].replace("\n", " ")
            raise fault("select_fails", said=said, **facts) from None
        return name

    def forget(self) -> None:
        """Free the memory of the exports: the rows used are in tables of their own."""
        for name in (*self._exports, *self._made.values()):
            self._engine.raw_sql(f"drop table {name}")

    def where(self, source: Source, row: object) -> tuple[str, int | None]:
        """Return the file of a row number and the row in it."""
        row = whole(row)
        if row is None or source.file is None:
            return source.label, row if source.sql else None
        files = self._read.files.get(self.read_as[_how(source)], [source.label])
        return files[row >> reading.FILE_BITS], row & ((1 << reading.FILE_BITS) - 1)


def _how(export: Export) -> tuple:
    names = ("table", "delimiter", "encoding", "sheet", "header_row", "footer_rows")
    return (tuple(export.file or ()), *(getattr(export, n) for n in names))


class Files:
    """Reads the files of a folder, and their fingerprints before and after."""

    def __init__(self, folder: Path, settings_file: Path) -> None:
        self._folder, text = folder, settings_file.read_bytes()
        self.inputs: list[Fingerprint] = [(FILE, len(text), hashlib.sha256(text).hexdigest())]
        self.files: dict[str, list[str]] = {}
        self._seen: dict[str, Fingerprint] = {}

    def __call__(self, engine: ibis.BaseBackend, export: Export, name: str) -> None:
        """Read one export into the table ``name``."""
        if export.file is None:
            raise fault("no_database", file=FILE, table=export.table)
        paths = reading.matching(self._folder, export.file)
        self.files[name] = [
            str(p.relative_to(self._folder)) if p.is_relative_to(self._folder) else str(p) for p in paths
        ]
        for path, label in zip(paths, self.files[name], strict=True):
            if label not in self._seen:
                self._seen[label] = (label, *reading.fingerprint(path))
        reading.load(engine, paths, name=name, how=export)

    def close(self) -> None:
        """Refuse files that changed while they were read."""
        for label, *was in self._seen.values():
            if [*reading.fingerprint(self._folder / label)] != was:
                raise fault("changed", file=label)
        self.inputs += self._seen.values()


class Frames:
    """Reads pandas frames as if they were files; row 2 is the first."""

    inputs: tuple[Fingerprint, ...] = ()

    def __init__(self, frames: Mapping[str, pd.DataFrame]) -> None:
        self._frames, self.files = frames, {}

    def __call__(self, engine: ibis.BaseBackend, export: Export, name: str) -> None:
        """Store one frame as the table ``name``."""
        if export.label not in self._frames:
            raise fault("no_frame", file=export.label, remedy=did_you_mean(export.label, [*self._frames]))
        engine.create_table(name, obj=_arrow(export.label, self._frames[export.label]))

    def close(self) -> None:
        """Do nothing: a frame does not change."""


def _arrow(name: str, frame: pd.DataFrame) -> pa.Table:
    if not len(frame):
        raise fault("empty_frame", file=name)
    columns = {}
    for column, cells in frame.items():
        if isinstance(cells, pd.DataFrame) or str(column) in columns:
            raise fault("same_name", file=name, column=str(column))
        if isinstance(cells.dtype, pd.DatetimeTZDtype):
            cells = cells.dt.tz_convert("UTC").dt.tz_localize(None)
        try:
            made = pa.Array.from_pandas(cells.astype(object) if cells.dtype == "category" else cells)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            made = pa.array([None if pd.isna(v) else str(v) for v in cells], pa.string())
        columns[str(column)] = made.cast(pa.string()) if pa.types.is_null(made.type) else made
    columns[reading.ROW] = pa.array(np.arange(2, len(frame) + 2))
    return pa.table(columns)


class Prepared:
    """A source as read (``raw``, its ``columns``) and its named columns cleaned of blanks, under the export's names.

    ``copies`` asks for the column _copy (the row repeats an earlier one, cell by cell), which is otherwise False.
    """

    def __init__(self, source: Source, exports: Exports, copies: bool) -> None:
        self.source, self.exports, self.raw, self._copies = source, exports, exports(source), copies
        self.columns = [c for c in self.raw.columns if c != reading.ROW]

    @cached_property
    def table(self) -> ir.Table:
        """The named columns, cleaned, with _row and _copy."""
        copy = rank(self.raw, self.columns, [reading.ROW]) > 0 if self._copies else ibis.literal(False)
        named = [c for c in self.columns if c in self.source.named]
        cleaned = {f":{c}": values.clean(self.raw[c], self.source.blank) for c in named}
        return self.raw.select(reading.ROW, _copy=copy, **cleaned)

    def find(self, written: str, where: str, table: ir.Table | None = None) -> ir.Value:
        """Return the cleaned column for a name in company.yaml (in a table derived from ``table``)."""
        self._known(written, where)
        return (self.table if table is None else table)[f":{written}"]

    def own(self, written: str, where: str) -> ir.Value:
        """Return a column, cleaned, as text, on ``raw``."""
        self._known(written, where)
        return values.text(values.clean(self.raw[written], self.source.blank))

    def _known(self, written: str, where: str) -> None:
        if written not in self.columns:
            titled = any(re.fullmatch(r"column_\d+", c) for c in self.columns)
            hint = " If a title stands above the header, name the header's row: header_row: 3." if titled else ""
            remedy = did_you_mean(written, self.columns, "export's") + hint
            raise fault("no_column", file=self.source.label, column=written, where=where, remedy=remedy)


def rank(rows: ir.Table, within: Iterable[str], order: Iterable[str | ir.Value]) -> ir.IntegerValue:
    """Return the position of a row, from 0, among rows with the same values in ``within``."""
    keys = [rows[o] if isinstance(o, str) else o for o in order]
    return ibis.row_number().over(ibis.window(group_by=[rows[c] for c in within], order_by=keys))


def whole(row: object) -> int | None:
    """Return a row number from the engine as int, None if there is none."""
    return None if row is None or row != row else int(row)
