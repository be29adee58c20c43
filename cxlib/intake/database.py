"""Copy the tables of a database into the engine: once, read-only, as they stood at one moment.

All pages then agree, whatever happens on the server meanwhile. Only the columns that company.yaml maps are copied, or a
whole table for a select (``exports:``). The rows are put in the order of their content, which no server decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from cxlib.errors import InputError, faults
from cxlib.intake import engines, reading, values
from cxlib.intake.models import FILE, did_you_mean
from cxlib.intake.settings import Settings
from cxlib.intake.sources import Export

_BATCH = 20_000
fault = faults(__file__)


class Tables:
    """The tables of a database, read in one transaction. No error and no record shows the address."""

    def __init__(self, settings: Settings, settings_file: Path) -> None:
        text = settings_file.read_bytes()
        self.inputs = [(FILE, len(text), hashlib.sha256(text).hexdigest())]
        self.files: dict[str, list[str]] = {}
        self._columns: dict[str | None, set[str] | None] = {}
        for _, source in settings.sources.each():
            self._columns.setdefault(source.table, set()).update(source.named)
        self._columns |= {e.table: None for e in settings.exports.values()}
        address = settings.database
        for name in re.findall(r"\$\{(\w+)\}", address):
            if name not in os.environ:
                raise fault("no_variable", file=FILE, name=name)
            address = address.replace(f"${{{name}}}", os.environ[name])
        try:
            self._server = engines.connect(address, settings_file.parent)
        except Exception as error:
            raise fault("no_connection", file=FILE, said=engines.class_of(error)) from None

    def __call__(self, engine: ibis.BaseBackend, export: Export, name: str) -> None:
        """Copy one table into the table ``name``; ``inputs`` gets a hash of its rows."""
        try:
            engine.con.register("_rows", self._rows(export).to_pyarrow_batches(chunk_size=_BATCH))
            rows = f"select *, row_number() over () as {reading.ROW} from (select * from _rows order by all)"
            engine.raw_sql(f"create table {name} as {rows}")
            engine.con.unregister("_rows")
            copied = engine.table(name).drop(reading.ROW).to_pyarrow_batches(chunk_size=_BATCH)
            self.inputs.append((export.label, None, _digest(copied)))
        except InputError:
            raise
        except Exception as error:
            raise fault("unreadable", file=export.label, said=engines.class_of(error)) from None
        if not engine.raw_sql(f"select 1 from {name} limit 1").fetchall():
            raise fault("no_rows", file=export.label)

    def _rows(self, export: Export) -> ir.Table:
        """Return what is copied of a table. Errors: InputError if the table or one of its columns is not there."""
        *where, name = export.table.split(".")
        place = {"database": tuple(where) if len(where) > 1 else where[0]} if where else {}
        try:
            table = self._server.table(name, **place)
        except Exception:
            if name in (known := self._server.list_tables(**place)):
                raise
            raise fault("no_table", file=export.label, remedy=did_you_mean(name, known)) from None
        named = self._columns[export.table]
        for column in sorted((named or set()) - set(table.columns)):
            remedy = did_you_mean(column, table.columns, "table's")
            raise fault("no_column", file=export.label, column=column, remedy=remedy)
        kept = [c for c in table.columns if named is None or c in named or values.CURRENCY.search(c.lower())]
        return table.select(**{c: self._readable(table[c]) for c in kept})

    def _readable(self, cell: ir.Value) -> ir.Value:
        """Return a column as a number, a day, a moment, yes or no; anything else as text."""
        kind, first, last = cell.type(), ibis.literal(date.min), ibis.literal(date.max)
        if self._server.name == "sqlite" and not kind.is_floating():  # any value may stand in any column
            return cell.cast("string")
        if kind.is_decimal() and (kind.scale is None or (kind.precision, kind.scale) == (19, 4)):  # 19, 4: also money
            return cell.cast("decimal(38, 9)")
        if self._server.name == "postgres" and (kind.is_date() or kind.is_timestamp()):  # infinity is no date elsewhere
            return ibis.cases((cell > last, last.cast(kind)), (cell < first, first.cast(kind)), else_=cell)
        plain = kind.is_numeric() or kind.is_boolean() or kind.is_date() or kind.is_timestamp()
        return cell if plain else cell.cast("string")

    def close(self) -> None:
        """End the transaction and leave the server."""
        with contextlib.suppress(Exception):
            self._server.disconnect()


def _digest(batches: Iterable[pa.RecordBatch]) -> str:
    """Return a SHA-256 of columns and rows that does not depend on the size of a batch."""
    sums: dict[str, object] = {}
    for batch in batches:
        for name, cells in zip(batch.schema.names, batch.columns, strict=True):
            texts = pc.fill_null(cells.cast(pa.string()), "\0").to_pylist()
            sums.setdefault(name, hashlib.sha256()).update("".join(f"{t}\x1f" for t in texts).encode())
    return hashlib.sha256("".join(f"{n}\x1f{s.hexdigest()}\x1f" for n, s in sums.items()).encode()).hexdigest()
