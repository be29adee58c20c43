"""A finding: one object that is the sentence, the table behind it, its figures and the grade of its evidence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

import pandas as pd

from cxlib.stats.estimate import Estimate

# How a thing is known; the wording of a sentence follows the grade.
GRADES = {
    "A": "randomised comparison",
    "B": "comparison group, its checks passed",
    "C": "association, adjusted for what is known",
    "D": "as observed, nothing adjusted or compared",
}


def leads_to(grade: str, past: bool = False) -> str:
    """Return the verb a grade permits: only a comparison that identifies an effect may say "resulted in".

    ``past``: of something that is over ("went with"). ValueError for a grade that does not exist.
    """
    if grade not in GRADES:
        raise ValueError(f"grade {grade!r} is none of {', '.join(GRADES)}")
    return "resulted in" if grade in ("A", "B") else "went with" if past else "goes with"


@dataclass(frozen=True)
class Figure:
    """One headline number: value with interval in ``unit``, over ``n`` of ``base``; ``note`` says why if it has none."""

    name: str
    label: str
    estimate: Estimate
    unit: str
    base: str = "customers"
    note: str = ""

    def row(self) -> dict[str, object]:
        """Return the figure as a flat record (NaN becomes None, so that it is valid JSON)."""
        e = self.estimate
        numbers = {"value": e.value, "low": e.low, "high": e.high, "n": e.n}
        known = {k: (None if not math.isfinite(v) else float(v)) for k, v in numbers.items()}
        if known["low"] is None and not self.note:
            raise ValueError(f"figure {self.name!r} has no interval and no note saying why")
        return {"name": self.name, "label": self.label} | known | {
            "unit": self.unit, "base": self.base, "note": self.note
        }  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What a section found. ``table`` is what its chart draws; ``caveats`` are sentences a reader must have seen."""

    name: str
    title: str
    sentence: str
    grade: str = "D"
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    figures: tuple[Figure, ...] = ()
    caveats: tuple[str, ...] = ()
    answered: bool = True

    def __post_init__(self) -> None:
        """Refuse a grade that does not exist."""
        if self.grade not in GRADES:
            raise ValueError(f"grade {self.grade!r} is none of {', '.join(GRADES)}")


def unanswered(name: str, title: str, why: str) -> Finding:
    """Return the finding of a section that cannot be answered from these data, and why."""
    return Finding(name, title, f"Not answered: {why}", answered=False)


def number(value: float, digits: int = 1) -> str:
    """Return a number for a reader: thousands separated, ``digits`` decimals, a dash if it is not known."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "not reached"
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not float(text.replace(",", "")) else text.replace("-", "−")


def percent(value: float, digits: int = 1) -> str:
    """Return a share (0-1) as a percentage for a reader."""
    return f"{number(100 * value, digits)}\N{NO-BREAK SPACE}%"


def money(value: float, currency: str, digits: int = 0) -> str:
    """Return an amount for a reader, rounded to the whole unit unless told otherwise."""
    text = number(value, digits)
    sign = "−" if text.startswith("−") else ""
    return f"{sign}{currency}\N{NO-BREAK SPACE}{text.removeprefix('−')}"


def p_value(p: float) -> str:
    """Return "p 0.03", or "p below 0.001" where it is smaller."""
    return "p below 0.001" if p < 0.001 else f"p {number(p, 3 if p < 0.1 else 2)}"


def interval(estimate: Estimate, show: object = number, short: bool = False) -> str:
    """Return "value (95 % interval low to high)", each written by ``show``; ``short`` leaves the words out."""
    if math.isnan(estimate.low):
        return f"{show(estimate.value)} (interval not known)"
    words = "" if short else "95\N{NO-BREAK SPACE}% interval "
    return f"{show(estimate.value)} ({words}{show(estimate.low)} to {show(estimate.high)})"


def those(band: str, many: bool = True) -> str:
    """Return the people of a score band: "promoters", "satisfied customers" (or one of them)."""
    noun = band if band in ("detractor", "passive", "promoter") else f"{band} customer"
    return f"{noun}s" if many else noun


def listing(items: Iterable[object]) -> str:
    """Return "a, b and c"."""
    words = [str(i) for i in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def table(rows: Iterable[Mapping[str, object]], keys: list[str]) -> pd.DataFrame:
    """Return records whose ``estimate`` is spread into value, low, high and n after the key columns."""
    flat = []
    for row in rows:
        rest = dict(row)
        e = rest.pop("estimate")
        front = {k: rest.pop(k) for k in keys}
        flat.append(front | {"value": e.value, "low": e.low, "high": e.high, "n": e.n} | rest)
    return pd.DataFrame(flat, columns=None if flat else [*keys, "value", "low", "high", "n"])


def day(value: date) -> str:
    """Return a date as a reader writes it: 30 June 2026."""
    return f"{value.day} {value:%B %Y}"
