"""Where the project's folders are, from whatever folder a kernel or a scheduler was started in."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """Return the project root: environment variable CXLIB_ROOT if set, else the folder that holds ``cxlib``."""
    given = os.environ.get("CXLIB_ROOT")
    return Path(given).resolve() if given else Path(__file__).resolve().parent.parent


def data() -> Path:
    """Return the folder with one folder per company."""
    return root() / "data"


def notebooks() -> Path:
    """Return the folder with the notebooks of the report."""
    return root() / "notebooks"


def reports() -> Path:
    """Return the folder where reports are written (it need not exist yet)."""
    return root() / "reports"
