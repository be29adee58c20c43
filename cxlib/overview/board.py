"""07_board: what the other pages found that a board should see. It reads their findings and estimates nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from cxlib.page import words
from cxlib.page.findings import KNOWN, Figure, Finding
from cxlib.page.numbers import amount, count, number, percent, points

# The findings to show, by page and in order. Of several joined by "|" the first one that is answered.
SHOWN = {
    "01_scores": ("headline", "early-warning"),
    "03_churn": ("left|rates", "hazard-ratios"),
    "04_value": ("value-by-score", "forecast|value-of-the-base"),
    "06_roi": ("on-one-screen",),
}
OUTCOME, PAYBACK = "-outcome", "-payback"  # ends of the names of the findings on one initiative


def findings(report: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """Return the findings of a report (by notebook) that a board should see.

    In the order of ``SHOWN``; then, of each initiative, whether it changed what it should and whether it paid.
    """
    shown = []
    for notebook, names in SHOWN.items():
        by_name = {f.name: f for f in report.get(notebook, ())}
        for name in names:
            found = [by_name[n] for n in name.split("|") if n in by_name]
            shown += sorted(found, key=lambda f: not f.answered)[:1]
    of_programmes = {f.name: f for f in report.get("06_roi", ())}
    for name in (n for n in of_programmes if n.endswith(OUTCOME)):
        payback = of_programmes.get(name.removesuffix(OUTCOME) + PAYBACK)
        shown += [of_programmes[name], *([payback] if payback and payback.answered else [])]
    return shown


def missing(report: Mapping[str, Sequence[Finding]]) -> list[str]:
    """Return the notebooks whose findings the report lacks."""
    return [notebook for notebook in SHOWN if notebook not in report]


def numbers(found: Sequence[Finding], currency: str | None) -> pd.DataFrame:
    """Return the figures of findings as the board page shows them, each once."""
    rows = {}
    for finding in found:
        for figure in finding.figures:
            known, base = KNOWN[figure.known or finding.known], f"{count(figure.estimate.n)} {figure.base}"
            rows[figure.name] = (figure.label, _value(figure, currency), base, known)
    headings = [heading for heading, _ in words.columns_of(words.section_of(__file__, "numbers")).values()]
    return pd.DataFrame(list(rows.values()), columns=headings)


def _value(figure: Figure, currency: str | None) -> str:
    """Return a number with its interval in its own unit, or with the reason why it has none."""
    e, unit = figure.estimate, figure.unit
    if unit == "share difference":
        text = points(e)
    elif unit.startswith("share"):
        text = percent(e)
    elif currency and unit.startswith(currency):
        text = amount(e, currency) + unit.removeprefix(currency)
    else:
        text = f"{number(e)} {unit}"
    return f"{text} ({figure.note})" if math.isnan(e.low) else text
