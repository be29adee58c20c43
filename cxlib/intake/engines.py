"""The engine that processes rows: DuckDB in this process, or the database of company.yaml."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile

import duckdb
import ibis

from cxlib.errors import InputError
from cxlib.intake.models import FILE

MEMORY = "CXLIB_MEMORY"  # environment variable: the memory limit of our own engine, such as 2GB


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


def connect(address: str) -> tuple[ibis.BaseBackend, str]:
    """Return the engine of ``database`` and the scheme of its address; no error shows the address."""
    for name in re.findall(r"\$\{(\w+)\}", address):
        if name not in os.environ:
            raise InputError(
                f"database: the environment variable {name} is not set", file=FILE, remedy=f"Set it: export {name}=..."
            )
        address = address.replace(f"${{{name}}}", os.environ[name])
    scheme = address.partition("://")[0] if "://" in address else "no scheme"
    try:
        return ibis.connect(address), scheme
    except Exception:
        raise InputError(
            f"The database cannot be opened ({scheme})",
            file=FILE,
            remedy="Check the address, the server and that the driver is installed.",
        ) from None
