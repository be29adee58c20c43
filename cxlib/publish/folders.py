"""Publish a report under its name only when it is complete.

A run writes to ``.<as_of>.partial``. A complete report is renamed to ``<as_of>``. The report that it replaces is kept
as ``.<as_of>.old`` between two renames, so that a crash at any moment leaves the old report or the new one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = "private"


class Busy(Exception):
    """Another run of the same company holds the lock."""


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a company's report folder; Busy if another process holds it. A crash releases it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            _grab(file.fileno())
        except OSError as error:
            raise Busy(folder.name) from error
        yield


def _grab(handle: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def recover(folder: Path) -> None:
    """Clean up after a killed run: delete its files, and give an old report its name back if no new one has it."""
    for aside in folder.glob(".*.old"):
        good = folder / aside.name[1:].removesuffix(".old")
        if good.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(good)
    for scratch in folder.glob(".*.partial"):
        shutil.rmtree(scratch)


def install(scratch: Path, good: Path) -> None:
    """Rename the complete report in ``scratch`` to ``good``, in place of the report that has this name."""
    aside = good.with_name(f".{good.name}.old")
    replaces = good.exists()
    if replaces:
        good.rename(aside)
    try:
        scratch.rename(good)
    except OSError:
        if replaces:
            aside.rename(good)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(failed(good), ignore_errors=True)  # out of date: the report of this date is now complete


def keep_private(scratch: Path, good: Path) -> None:
    """Move what must not be shared from the report to ``private/<as_of>/`` next to it, in place of what was there."""
    kept = good.parent / PRIVATE / good.name
    shutil.rmtree(kept, ignore_errors=True)
    if not (scratch / PRIVATE).exists():
        return
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    (scratch / PRIVATE).rename(kept)


def failed(good: Path) -> Path:
    """Return the folder that keeps a failed run of this report."""
    return good.with_name(f"{good.name}.failed")


def keep_failed(scratch: Path, good: Path) -> Path:
    """Keep the folder of a failed run next to ``good``, which does not change; return its new path."""
    kept = failed(good)
    shutil.rmtree(kept, ignore_errors=True)
    scratch.rename(kept)
    return kept
