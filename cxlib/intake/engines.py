"""The engine that processes rows: a DuckDB in this process."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile

import duckdb
import ibis

from cxlib.errors import InputError

MEMORY = "CXLIB_MEMORY"  # environment variable: the memory limit of the engine, such as 2GB


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


def close(engine: ibis.BaseBackend) -> None:
    """Close an engine to files, networks and its own settings: a select then sees its tables and nothing else."""
    for setting in ("python_enable_replacements = false", "enable_external_access = false"):
        engine.raw_sql(f"SET {setting}")
    engine.raw_sql("SET lock_configuration = true")
