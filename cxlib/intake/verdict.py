"""The end of ``check``: which pages can be answered and what the others lack; and whom to ask for it (``ask``)."""

from __future__ import annotations

from datetime import date

import pandas as pd

from cxlib.errors import words
from cxlib.intake.settings import Settings
from cxlib.intake.tables import CONTRACT

WORDS = words(__file__)


def _given(settings: Settings, key: str) -> bool:
    where, _, column = key.partition(".")
    if where == "settings":
        return bool(getattr(settings, column))
    sources = settings.sources.of(where)
    return any(column in s.columns for s in sources) if column else bool(sources)


def pages(settings: Settings) -> pd.DataFrame:
    """Return one row per page: page, says (its subject), answer (yes, partly, no), lacks (the one thing to add)."""
    rows = []
    for page in WORDS["page"]:
        needs = page.get("needs") or page[settings.relationship]
        lacks = page.get(f"lacks_{settings.relationship}", page["lacks"])
        there = [any(_given(settings, k) for k in need) for need in needs]
        missing = [w for w, given in zip(lacks, there, strict=True) if not given]
        answer = "yes" if not missing else "partly" if there[0] else "no"
        rows.append((page["name"], page["says"], answer, missing[0] if missing else ""))
    return pd.DataFrame(rows, columns=["page", "says", "answer", "lacks"])


def request(settings: Settings) -> str:
    """Return the data request to send, by owner: what is still missing, with columns, period, format and an example.

    Example: ``print(request(open_company("demo").settings))``.
    """
    since = date(settings.as_of.year - 3, settings.as_of.month, 1)
    lines = [WORDS["asks"].format(name=settings.name, since=since, until=settings.as_of)]
    for owner in WORDS["owner"]:
        spared = WORDS["contractual_only"] if settings.relationship == "noncontractual" else []
        asked = {t: {n: e for n, e in WORDS["columns"][t].items() if n not in spared} for t in owner["tables"]}
        wanted = {t: c for t, c in asked.items() if not all(_given(settings, f"{t}.{n}") for n in c)}
        if not wanted:
            continue
        lines += ["", f"## {owner['name']}"]
        for table, columns in wanted.items():
            have = {n for n in columns if _given(settings, f"{table}.{n}")}
            names = [n + " *" * CONTRACT[table][n].required + " (here already)" * (n in have) for n in columns]
            lines += ["", f"### {table}", "", WORDS["tables"][table], ""]
            lines += [f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(columns), columns.values())]
    return "\n".join(lines) + "\n"
