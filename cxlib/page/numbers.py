"""Numbers as a reader sees them: filters of the templates, also used for the cells of tables.

A filter takes a number or an Estimate. An estimate is written with its 95 % interval in brackets, both rounded to what
the interval can bear: two digits of its half-width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime

import jinja2

from cxlib.stats.estimate import Estimate

DAYS_A_MONTH = 365.25 / 12
NOT_KNOWN = "–"
WHOLE = 2  # half-width of an interval of money from which on pence are left out
SIGNS = {"GBP": "£", "EUR": "€", "USD": "$", "JPY": "¥"}
# The verb that each way of knowing permits, now and in the past: only a comparison that identifies an effect may name
# one.
VERBS = {
    "randomised": ("results in", "resulted in"),
    "comparison": ("results in", "resulted in"),
    "adjusted": ("is linked to", "was linked to"),
    "observed": ("is linked to", "was linked to"),
}


def _quantum(e: Estimate, scale: float = 1.0, finest: float = 0.001) -> float:
    """Return the unit to which an estimate is rounded: what its interval can bear, and no finer than ``finest``."""
    half, value = scale * (e.high - e.low) / 2, scale * e.value
    if math.isfinite(half) and half > 1e-12 * max(abs(value), 1e-300):
        return max(10.0 ** (math.floor(math.log10(half)) - 1), finest)
    return _own_quantum(value)


def _plain(value: float, quantum: float) -> str:
    """Return a number rounded to a power of ten, thousands separated."""
    if value is None or math.isnan(value):
        return NOT_KNOWN
    if math.isinf(value):
        return "not reached"
    digits = max(0, -round(math.log10(quantum)))
    text = f"{round(value / quantum) * quantum:,.{digits}f}"
    return text.replace("-", "") if not float(text.replace(",", "")) else text.replace("-", "−")


def _own_quantum(value: float) -> float:
    """Return the unit that suits a number without an interval: three digits, at most three decimals."""
    size = abs(value)
    whole = not math.isfinite(size) or size >= 100 or size == round(size)
    return 1.0 if whole else 0.1 if size >= 10 else 0.01 if size >= 1 else 0.001


def _estimate(x: float | Estimate | None) -> Estimate:
    """Return a number as an estimate without an interval; an estimate as it is."""
    return x if hasattr(x, "low") else Estimate(math.nan if x is None else float(x), math.nan, math.nan)


def written(
    x: float | Estimate,
    digits: int | None = None,
    scale: float = 1.0,
    before: str = "",
    after: str = "",
    unit: str = "",
    finest: float = 0.001,
) -> str:
    """Return a number, or an estimate with its interval: "8.3 points (4.6-12.0)".

    ``digits``: decimals, else what the interval can bear, no finer than ``finest``; ``before`` and ``after`` belong to
    each number, ``unit`` is written once.
    """
    e = _estimate(x)
    value, low, high = (scale * v for v in (e.value, e.low, e.high))
    quantum = 10.0**-digits if digits is not None else _quantum(e, scale, finest)

    def one(v: float) -> str:
        text = _plain(v, quantum)
        if not math.isfinite(v):
            return text
        return f"−{before}{text[1:]}{after}" if text.startswith("−") else f"{before}{text}{after}"

    shown = one(value) + (unit if math.isfinite(value) else "")
    if math.isnan(low) or math.isnan(high) or low == high:
        return shown
    # The sign of a currency stands at the value alone; a dash after a minus sign would be hard to read.
    ends = [_plain(v, quantum) if before else one(v) for v in (low, high)]
    between = " to " if any(k.startswith("−") or not k[:1].isdigit() for k in ends) else "–"
    return f"{shown} ({ends[0]}{between}{ends[1]})"


def number(x: float | Estimate, digits: int | None = None) -> str:
    """Return a number, or an estimate with its interval."""
    return written(x, digits, finest=0.001 if abs(_estimate(x).value) < 1 else 0.01)


def count(x: float | Estimate) -> str:
    """Return a whole number, thousands separated."""
    return written(x, None if hasattr(x, "low") else 0)


def percent(x: float | Estimate, digits: int | None = None) -> str:
    """Return a share (0-1) as a percentage: "12%", "11.9% (8.7-15.2%)"."""
    if digits is None and not hasattr(x, "low"):
        digits = 1 if x is not None and 0 < abs(x) < 0.1 else 0
    text = written(x, digits, scale=100, after="%", finest=0.1 if abs(_estimate(x).value) >= 0.01 else 0.01)
    return text.replace("%–", "–")


def points(x: float | Estimate, digits: int | None = None) -> str:
    """Return a difference of shares (0-1) in percentage points: "8.3 points (4.6-12.0)"."""
    if digits is None and not hasattr(x, "low"):
        digits = 1
    return written(x, digits, scale=100, unit=" points", finest=0.1)


@jinja2.pass_context
def money(context: Mapping[str, object], x: float | Estimate, digits: int | None = None) -> str:
    """Return an amount in the company's currency: "£8,391 (3,119-13,662)"."""
    return amount(x, context["currency"], digits)


def amount(x: float | Estimate, currency: str, digits: int | None = None) -> str:
    """Return an amount: from a million on in millions, with pence only where the interval bears them."""
    sign, e = SIGNS.get(currency, f"{currency}\N{NO-BREAK SPACE}"), _estimate(x)
    known = math.isfinite(e.high - e.low) and e.high > e.low
    if math.isfinite(e.value) and abs(e.value) >= 1e6:
        return written(
            e, 2 if digits is None and not known else digits, scale=1e-6, before=sign, after="m", finest=0.01
        )
    if digits is None and not known:
        digits = 0 if abs(e.value) >= 20 or e.value % 1 == 0 else 2
    elif digits is None and (e.high - e.low) / 2 < WHOLE:
        digits = 2
    return written(e, digits, before=sign, finest=1)


def months(days: float) -> str:
    """Return days as months: "12 months"."""
    n = round(days / DAYS_A_MONTH)
    return f"{n} month{'' if n == 1 else 's'}"


def p_value(p: float) -> str:
    """Return "p = 0.03", or "p < 0.001" where it is smaller."""
    return "p < 0.001" if p < 0.001 else f"p = {_plain(p, 0.001 if p < 0.1 else 0.01)}"


def day(value: date | datetime | str) -> str:
    """Return a date as a reader writes it: 30 June 2026."""
    value = date.fromisoformat(value[:10]) if isinstance(value, str) else value
    return f"{value.day} {value:%B %Y}"


def listing(items: Iterable[object]) -> str:
    """Return "a, b and c"."""
    words = [str(i) for i in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def plural(n: float, one: str, many: str = "") -> str:
    """Return the noun that goes with a number: 1 customer, 2 customers."""
    return one if n == 1 else many or f"{one}s"


def those(band: str, many: bool = True) -> str:
    """Return the people of a score group: "promoters", "satisfied customers" (or one of them)."""
    noun = band if band in ("detractor", "passive", "promoter") else f"{band} customer"
    return f"{noun}s" if many else noun


def verb(known: str, past: bool = True) -> str:
    """Return the verb that a way of knowing permits; ValueError for one that permits none (a count, a forecast)."""
    if known not in VERBS:
        raise ValueError(f"{known!r} permits no verb of effect or link; {', '.join(VERBS)} do")
    return VERBS[known][past]


def upper_first(text: str) -> str:
    """Return a text with its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def lower_first(text: str) -> str:
    """Return a text with its first letter small, the others as they are."""
    return text[:1].lower() + text[1:]


FILTERS: dict[str, Callable[..., str]] = {
    "number": number,
    "range": number,
    "count": count,
    "percent": percent,
    "points": points,
    "money": money,
    "months": months,
    "p_value": p_value,
    "day": day,
    "listing": listing,
    "plural": plural,
    "those": those,
    "verb": verb,
    "upper_first": upper_first,
    "lower_first": lower_first,
}
