"""The project's folders, wherever a kernel or a scheduler was started."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """Return the project root: the environment variable CXLIB_ROOT if set, else the folder that holds ``cxlib``."""
    given = os.environ.get("CXLIB_ROOT")
    return Path(given).resolve() if given else Path(__file__).resolve().parent.parent


def data() -> Path:
    """Return the folder that holds one folder per company."""
    return root() / "data"


def notebooks() -> Path:
    """Return the folder with the notebooks of the report."""
    return root() / "notebooks"


def reports() -> Path:
    """Return the folder that reports are written to (it may not exist yet)."""
    return root() / "reports"
