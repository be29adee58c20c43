"""The engine that processes rows, a DuckDB in this process; and the servers that tables are copied from."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import tempfile
from pathlib import Path

import duckdb
import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

from cxlib.errors import InputError, words

MEMORY = "CXLIB_MEMORY"  # environment variable: the memory limit of the engine, such as 2GB
CONNECT = 9  # seconds until a server must have let us in; localhost can be two of them, ::1 and 127.0.0.1
STATEMENT = 1800  # seconds that one statement may take
_BEGIN = {"mysql": "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", "sqlite": "BEGIN"}
_CLASSES = words(__file__)["classes"]


def own() -> ibis.BaseBackend:
    """Return a DuckDB in this process. Whatever exceeds its memory goes to a temporary folder.

    Errors: InputError if the environment variable CXLIB_MEMORY is not a size.
    """
    engine = ibis.duckdb.connect()
    with contextlib.suppress(duckdb.Error):  # without ipywidgets there is no progress bar to switch off
        engine.raw_sql("SET enable_progress_bar = false")
    engine.raw_sql(f"SET temp_directory = '{os.path.join(tempfile.gettempdir(), f'cxlib-{os.getpid()}')}'")
    if size := os.environ.get(MEMORY):
        if not re.fullmatch(r"\d+(\.\d+)?\s*[KMGT]i?B", size, re.IGNORECASE):
            raise InputError(f"{MEMORY} is not a size", value=size, remedy="Write for instance 2GB or 800MB.")
        engine.raw_sql(f"SET memory_limit = '{size}'")
    return engine


def known(engine: ibis.BaseBackend, name: str, schema: ibis.Schema) -> ir.Table:
    """Return a table whose columns are known, without asking the engine for them."""
    return ops.DatabaseTable(name, schema, engine, ops.Namespace()).to_expr()


def view(engine: ibis.BaseBackend, name: str, rows: ir.Table | str, schema: ibis.Schema | None = None) -> ir.Table:
    """Create a view of an expression, or of a select with its ``schema``, and return it."""
    sql = rows if isinstance(rows, str) else engine.compile(rows)
    engine.raw_sql(f"create view {name} as {sql}")
    return known(engine, name, schema or rows.schema())


def stored(engine: ibis.BaseBackend, name: str, rows: ir.Table) -> ir.Table:
    """Store the rows of an expression on tables of the engine as a table, and return it; quicker than Ibis does."""
    engine.raw_sql(f"create table {name} as {engine.compile(rows)}")
    return engine.table(name)


def close(engine: ibis.BaseBackend) -> None:
    """Close an engine to files, networks and its own settings: a select then sees its tables and nothing else."""
    for setting in ("python_enable_replacements = false", "enable_external_access = false"):
        engine.raw_sql(f"SET {setting}")
    engine.raw_sql("SET lock_configuration = true")


class _Snapshot(sqlite3.Connection):
    def commit(self) -> None:
        """Do nothing: Ibis commits whenever it has looked at a table, but one transaction has to last."""


def connect(address: str, folder: Path) -> ibis.BaseBackend:
    """Return a connection whose statements all see one moment, read-only, as far as the engine can.

    ``folder`` is where a relative path of a file begins. Errors: any; ``class_of`` says their class.
    """
    scheme, _, rest = address.partition("://")
    if scheme not in {"postgresql", *(e.name for e in ibis.util.backend_entry_points())}:
        raise LookupError("no known scheme")
    if scheme in ("duckdb", "sqlite") and not (folder / rest).is_file():
        raise FileNotFoundError("no such file")
    if scheme == "duckdb":
        return ibis.duckdb.connect(folder / rest, read_only=True)
    if scheme == "sqlite":
        file = f"{(folder / rest).resolve().as_uri()}?mode=ro"
        server = ibis.sqlite.from_connection(sqlite3.connect(file, uri=True, factory=_Snapshot))
    elif scheme in ("postgres", "postgresql"):
        import psycopg

        own = psycopg.connect(address, connect_timeout=CONNECT)
        own.isolation_level, own.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
        own.execute(f"set statement_timeout = {STATEMENT * 1000}")  # begins the transaction that Ibis then stays in
        server = ibis.postgres.from_connection(own)
    else:
        server = ibis.connect(address)
    if scheme in _BEGIN:
        server.raw_sql(_BEGIN[scheme])
    return server


def class_of(error: Exception) -> str:
    """Return the class of a fault, and nothing else of what an error says."""
    text = re.sub(r""""[^"]*"|(?<!\w)'[^']*'|\S+://\S+""", "", " ".join(map(str, error.args)))
    within = re.findall(r"^(?:\w+\.)*(\w+): ", text.partition("Python exception")[2], re.M)  # passed on by our engine
    said = [said for sign, said in _CLASSES.items() if re.search(sign, text, re.I)]
    return (said or within or [type(error).__name__])[0]
