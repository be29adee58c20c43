"""The machine-readable part of a report: the run record, headline numbers and findings, as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from importlib import metadata
from pathlib import Path

import cxlib
from cxlib import paths
from cxlib.page import masking
from cxlib.publish import privacy

PACKAGES = (
    "pandas", "numpy", "scipy", "statsmodels", "lifelines", "duckdb", "ibis-framework", "pyarrow",
    "matplotlib", "seaborn", "papermill", "nbconvert", "ipykernel",
)  # fmt: skip


def write_json(path: Path, content: object) -> None:
    """Write strict JSON; a reader sees the old file or the new one, never a part of it."""
    text = json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False)
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_text(text + "\n", encoding="utf-8")
    os.replace(scratch, path)


def plain(value: object) -> object:
    """Return ``value`` in JSON types only: dates as text, NaN and infinity as None, numpy scalars as Python's."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    if hasattr(value, "item"):  # numpy scalars
        value = value.item()
    if type(value).__name__ in {"NAType", "NaTType"} or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def rows(frame: object) -> list[dict[str, object]]:
    """Return a data frame as a list of JSON-ready records."""
    return plain(frame.to_dict("records"))


def columns(found: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Return key, title and whether it is numeric for each column of these records that is not empty."""
    return [
        {
            "key": key,
            "title": "SHA-256 (start)" if key == "sha256" else key.replace("_", " ").capitalize(),
            "numeric": all(isinstance(r[key], int | float | None) for r in found),
        }
        for key in found[0]
        if any(r[key] not in (None, "") for r in found)
    ]


def cells(row: Mapping[str, object]) -> dict[str, str]:
    """Return the values of a record as text for readers."""

    def text(value: object) -> str:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    return {key: text(value)[: 12 if key == "sha256" else None] for key, value in row.items()}


def of_company(company: object, hidden: Mapping[str, str]) -> dict[str, object]:
    """Return the part of a run record about the company: settings, files, rows used and excluded, oddities."""
    settings = company.settings.model_dump(mode="json")
    if settings.get("database"):
        settings["database"] = privacy.HIDDEN
    content = {
        "company": company.name,
        "title": company.title,
        "as_of": company.as_of.isoformat(),
        "settings": plain(settings),
        "inputs": rows(company.inputs),
        "record": rows(company.record),
        "money": plain({"orders": company.orders.revenue.sum().execute()} if company.orders is not None else {}),
        "set_aside": rows(masking.examples(company.set_aside)),
        "notes": rows(company.notes),
    }
    return json.loads(privacy.redact(json.dumps(content), hidden))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the numbers depend on."""
    system = f"{platform.system()} {platform.machine()}"
    own = {"python": platform.python_version(), "system": system, "cxlib": cxlib.__version__}
    return own | {package: metadata.version(package) for package in PACKAGES}


def commit() -> str | None:
    """Return the git commit of the project, with a note if files have local changes; None without git."""
    described = ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty= with local changes"]
    try:
        done = subprocess.run(
            ["git", "-C", str(paths.root()), *described], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def last(company_folder: Path) -> dict[str, object] | None:
    """Return the record of the company's complete report with the latest as-of date; None if there is none."""
    for folder in sorted(company_folder.glob("[0-9]*-[0-9]*-[0-9]*"), reverse=True):
        try:
            date.fromisoformat(folder.name)
            content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return content | {"folder": str(folder)}
    return None
