"""Copy the tables of a database into the engine: once, read-only, as they stood at one moment.

All pages then agree, whatever happens on the server meanwhile; the rows have an order that depends on them alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import ibis
import pyarrow as pa

from cxlib.errors import InputError
from cxlib.intake import reading
from cxlib.intake.models import FILE, did_you_mean
from cxlib.intake.sources import Export

CONNECT = 15  # seconds until a server must have answered
STATEMENT = 1800  # seconds that one table may take
_BATCH = 100_000


class Tables:
    """The tables of a database, read in one transaction. No error and no record shows the address."""

    def __init__(self, address: str, settings_file: Path) -> None:
        for name in re.findall(r"\$\{(\w+)\}", address):
            if name not in os.environ:
                raise InputError(
                    f"database: the environment variable {name} is not set",
                    file=FILE,
                    remedy=f"Set it: export {name}=...",
                )
            address = address.replace(f"${{{name}}}", os.environ[name])
        self._scheme = address.partition("://")[0] if "://" in address else "no scheme"
        text = settings_file.read_bytes()
        self.inputs = [(FILE, len(text), hashlib.sha256(text).hexdigest())]
        self.files: dict[str, list[str]] = {}
        try:
            self._server = _connect(address, self._scheme)
        except InputError:
            raise
        except Exception as error:  # error classes differ by engine; their texts may show the address
            raise InputError(
                f"The database cannot be opened ({self._scheme}, {type(error).__name__})",
                file=FILE,
                remedy="Check the address, the server, the password and that the driver is installed.",
            ) from None

    def __call__(self, engine: ibis.BaseBackend, export: Export, name: str) -> None:
        """Copy one table; ``inputs`` gets its rows and a hash of their content."""
        *where, short = (export.table or "").split(".")
        place = {"database": tuple(where) if len(where) > 1 else where[0]} if where else {}
        try:
            if export.table is None or short not in self._server.list_tables(**place):
                known = self._server.list_tables(**place)
                raise InputError(
                    "There is no such table in the database",
                    file=export.label,
                    remedy=did_you_mean(short, known, "database's"),
                )
            table = self._server.table(short, **place)
            rows = table.order_by(list(table.columns)).to_pyarrow_batches(chunk_size=_BATCH)
            self._store(engine, rows, name, export.label)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"The table cannot be read ({type(error).__name__})",
                file=export.label,
                remedy="Check rights and types.",
            ) from None

    def _store(self, engine: ibis.BaseBackend, rows: Iterator[pa.RecordBatch], name: str, label: str) -> None:
        made, digest, n = False, hashlib.sha256(), 0
        for batch in rows:
            part = pa.table(batch).append_column(
                reading.ROW, pa.array(range(n + 1, n + batch.num_rows + 1), pa.int64())
            )
            for column in batch.columns:
                for buffer in filter(None, column.buffers()):
                    digest.update(buffer)
            n += batch.num_rows
            if made:
                engine.insert(name, part)
            else:
                engine.create_table(name, obj=part)
                made = True
        if not n:
            raise InputError("The table has no rows", file=label, remedy="Leave it out, or fill it.")
        self.inputs.append((label, n, digest.hexdigest()))

    def close(self) -> None:
        """End the transaction and leave the server."""
        self._server.disconnect()


def _connect(address: str, scheme: str) -> ibis.BaseBackend:
    """Return a read-only connection whose statements all see one moment."""
    if scheme in ("duckdb", "sqlite"):
        path = Path(address.partition("://")[2])
        if not path.is_file():
            raise InputError("There is no such database file", file=path.name, remedy="Correct the address.")
        if scheme == "duckdb":
            return ibis.duckdb.connect(path, read_only=True)
        server = ibis.sqlite.connect(path)
        server.raw_sql("PRAGMA query_only = ON")
        return server
    if scheme not in ("postgres", "postgresql"):
        return ibis.connect(address)
    import psycopg

    options = f"-c statement_timeout={STATEMENT * 1000} -c default_transaction_read_only=on"
    server = psycopg.connect(address, connect_timeout=CONNECT, options=options)
    server.isolation_level, server.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
    return ibis.postgres.from_connection(server)
