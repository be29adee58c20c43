"""What the pages of a report have left in its folder, read back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cxlib.page.findings import Figure, Finding
from cxlib.stats.estimate import Estimate


def collect(folder: Path, kind: str, needed: Iterable[str] = ()) -> list[dict[str, object]]:
    """Return the items of ``folder/<kind>.json``, or of ``folder/<kind>/<notebook>.json``, each with its notebook.

    ``kind``: findings or figures. Errors: ValueError if a file is not JSON, or an item is not an object with the
    ``needed`` keys.
    """
    whole, found = folder / f"{kind}.json", []
    for path in [whole] if whole.exists() else sorted((folder / kind).glob("*.json")):
        items = json.loads(path.read_text(encoding="utf-8"))
        for item in items if isinstance(items, list) else [items]:
            if not isinstance(item, dict) or (missing := [k for k in needed if k not in item]):
                raise ValueError(f"{kind}/{path.name}: each item needs {', '.join(missing or needed)}")
            found.append({"notebook": path.stem, **item})
    return found


def read(folder: Path) -> dict[str, list[Finding]]:
    """Return the findings of a report by notebook, with their figures and tables; empty if the folder holds none.

    Example: ``read(paths.reports() / "demo" / "2026-06-30")["01_scores"][0].headline``.
    """
    figures: dict[tuple[object, object], list[Figure]] = {}
    for item in collect(folder, "figures"):
        numbers = (math.nan if item[k] is None else item[k] for k in ("value", "low", "high"))
        e = Estimate(*numbers, n=math.nan if item["n"] is None else item["n"])
        rest = (item[k] for k in ("unit", "base", "note", "known"))
        figures.setdefault((item["notebook"], item["finding"]), []).append(
            Figure(item["name"], item["label"], e, *rest)
        )
    found: dict[str, list[Finding]] = {}
    for item in collect(folder, "findings"):
        notebook, name = item["notebook"], item["name"]
        table = folder / "tables" / f"{notebook}--{name}.csv"
        finding = Finding(
            **{k: item[k] for k in ("name", "title", "headline", "known", "detail", "answered")},
            caveats=tuple(item["caveats"]),
            table=pd.read_csv(table) if table.exists() else pd.DataFrame(),
            figures=tuple(figures.get((notebook, name), ())),
            columns={k: tuple(how) for k, how in item["columns"].items()},
        )
        found.setdefault(notebook, []).append(finding)
    return found
