"""One value of an export and its meaning: text, number, day, moment, yes or no.

The engine turns text into a value by expressions. If it cannot, the value is null where the text is not, and the checks
find it. Forms that few exports use (a minus behind, a currency sign, a zone, a label around a score) cost a search per
cell, so that they are only looked for in columns where ``odd`` has found one.

A time is taken as written, so that a day stays the local day; ``zone`` gives its minutes from UTC, with which
differences are taken. A timestamp with a time zone as its type, in Parquet or a database, is taken in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime

import ibis
import ibis.expr.types as ir

from cxlib.intake.sources import CLOCKS, Format

TYPES = {
    "id": "string",
    "text": "string",
    "number": "float64",
    "score": "float64",
    "date": "date",
    "moment": "timestamp",
    "flag": "boolean",
}
NOUNS = {"number": "number", "score": "score", "date": "date", "moment": "date", "flag": "yes or no"}
YES, NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_ISO = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
_SPACES = " \u00a0\u202f"  # plain, no-break and narrow no-break space: all occur between thousands
_EDGE = "[\\s\u00a0\u2007\u202f\u200b\u2060\ufeff]"  # around a cell; the last three are not seen at all
# Hours from UTC of the zone words that mean one zone everywhere.
_ZONES = {"Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "BST": 1, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3}
_ZONES |= {"JST": 9, "AEST": 10, "AEDT": 11, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6}
_ZONES |= {"PST": -8, "PDT": -7}
_ZONED = (
    rf"(:\d{{2}}(?:[.,]\d+)?(?: ?[AaPp][Mm])?) ?({'|'.join(_ZONES)})? ?([+-]\d{{1,2}}(?::?\d{{2}})?)?(?: ?\([^)]*\))?$"
)
_SIGN = r"(?:[A-Za-z]{0,3}\.?\p{Sc}|[A-Z]{3}|kr\.?|Fr\.?)"
_STARS = "★⭐"
_PLAUSIBLE = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M:%S %p")
_CLOCK_WORDS = {"unix": "seconds since 1970", "unix_ms": "milliseconds since 1970", "serial": "days of a spreadsheet"}


@ibis.udf.scalar.builtin
def md5(text: str) -> str:
    """The engine's own function: the MD5 of a text as 32 hex digits (DuckDB, PostgreSQL, Spark, Snowflake, MySQL)."""


@ibis.udf.scalar.builtin
def try_strptime(text: str, pattern: str) -> datetime:
    """DuckDB's own function: the moment a text means, or null."""


def clean(column: ir.Value, blank: list[str]) -> ir.Value:
    """Return a column with nulls for blanks: a listed text (surrounding spaces are ignored), or NaN.

    Without a list, only the empty text is blank.
    """
    if column.type().is_string():
        if not blank:
            return column.nullif("")
        texts = "|".join(re.escape(b) for b in blank if b)
        # Only cells that need it are trimmed: trimming all would cost more than everything else together.
        return ibis.cases(
            (column.re_search(rf"^{_EDGE}*({texts})?{_EDGE}*$"), ibis.null("string")),
            (column.re_search(rf"^{_EDGE}|{_EDGE}$"), column.re_replace(rf"^{_EDGE}+|{_EDGE}+$", "")),
            else_=column,
        )
    return column.isnan().ifelse(ibis.null(column.type()), column) if column.type().is_floating() else column


def text(column: ir.Value) -> ir.StringValue:
    """Return a column as text; whole numbers without decimals, so that 12 and 12.0 are one id."""
    kind = column.type()
    written = column if kind.is_string() else column.cast("string")
    return written.re_replace(r"\.0+$", "") if kind.is_floating() or kind.is_decimal() else written


def odd(column: ir.Value, kind: str, how: Format) -> ir.BooleanValue | None:
    """Return the condition that a cell has a rare form of its kind; None for columns that cannot have one."""
    if not column.type().is_string() or kind not in ("number", "score", "date", "moment"):
        return None
    if kind in ("number", "score"):
        return ~column.re_search(_shape(how))
    return column.re_search(_ZONED) & column.re_search(r"([A-Z)]|[+-]\d{1,2}(:?\d{2})?)$")


def typed(column: ir.Value, kind: str, how: Format, odd: bool = False) -> ir.Value:
    """Return a clean column as the kind of value asked for; null where a value is not of that kind."""
    have = column.type()
    if kind in ("id", "text"):
        return text(column)
    if kind in ("number", "score"):
        rare = (_label if kind == "score" else _accounting) if odd else None
        how = Format() if kind == "score" and odd else how
        number = column.cast("float64") if have.is_numeric() else _number(text(column), how, rare)
        return number if have.is_integer() else number.isinf().ifelse(ibis.null("float64"), number)
    if kind == "flag":
        lower = column if have.is_boolean() else text(column).lower()
        return lower if have.is_boolean() else ibis.cases((lower.isin(YES), True), (lower.isin(NO), False))
    moment = column.cast("timestamp") if have.is_date() or have.is_timestamp() else _moment(text(column), how, odd)
    return moment.cast("date") if kind == "date" else moment


def zone(column: ir.StringValue) -> ir.IntegerValue:
    """Return the minutes from UTC that a stamp ends in, null if it has no zone."""
    word, offset = column.re_extract(_ZONED, 2), column.re_extract(_ZONED, 3).replace(":", "")
    hours = word.cases(*((w, h) for w, h in _ZONES.items()), else_=ibis.null("int64"))
    digits = offset.substr(1)
    long = digits.length() > 2
    minutes = long.ifelse(digits.substr(0, digits.length() - 2), digits).try_cast("int64") * 60
    minutes += long.ifelse(digits.substr(digits.length() - 2), "0").try_cast("int64")
    signed = (offset.substr(0, 1) == "-").ifelse(-minutes, minutes)
    return ibis.coalesce((offset != "").ifelse(signed, ibis.null("int64")), hours * 60)


def sign(column: ir.StringValue) -> ir.StringValue:
    """Return the currency sign or code of an amount, null without one."""
    return column.re_extract(rf"({_SIGN})", 1).nullif("")


def always_fits(column: ir.Value, kind: str) -> bool:
    """Tell whether the type of a column guarantees that every value is of the kind."""
    have = column.type()
    if kind == "flag":
        return have.is_boolean()
    return have.is_integer() if kind == "number" else have.is_date() or have.is_timestamp()


def _shape(how: Format) -> str:
    point, whole = re.escape(how.decimal), r"\d+"
    if how.thousands:
        mark = f"[{_SPACES}]" if how.thousands == " " else re.escape(how.thousands)
        whole = rf"(\d{{1,3}}({mark}\d{{3}})+|\d+)"
    return rf"^[+-]?({whole}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?$"


def _number(written: ir.StringValue, how: Format, rare: Callable | None) -> ir.FloatingValue:
    written = rare(written) if rare else written
    plain = written.re_search(_shape(how)).ifelse(written, ibis.null("string"))
    for mark in _SPACES if how.thousands == " " else how.thousands or "":
        plain = plain.replace(mark, "")
    return (plain.replace(",", ".") if how.decimal == "," else plain).cast("float64")


def _accounting(written: ir.StringValue) -> ir.StringValue:
    """Return an amount without its currency sign, and its minus in front: 12-, (12) and -EUR 12 are -12."""
    bare = written.re_replace(rf"^([+-]?) ?{_SIGN}[ \x{{00A0}}]?|[ \x{{00A0}}]?{_SIGN}$", r"\1")
    inner = bare.re_replace(rf"^\((?:{_SIGN})? ?(.*)\)$|^(.*)[-−]$", r"\1\2")
    return (inner == bare).ifelse(bare.re_replace("^−", "-"), ibis.literal("-") + inner)


def _label(written: ir.StringValue) -> ir.StringValue:
    """Return the one number in a label: 10 = Very likely, Good (4), 4/5, 4 out of 5, 4 stars; the stars of a row."""
    stars = written.re_replace(f"[^{_STARS}]", "").length()
    out_of = written.re_extract(r"^(\d+([.,]\d)?) ?(?:/|out of|of|von|sur|de) ?\d+$", 1)
    alone = written.re_extract(r"^\D*?(?:^|[^\d.,-])?(\d{1,2}([.,]5)?)(?:[^\d.,]\D*|[.,]?(?:[^\d]\D*)?)?$", 1)
    return ibis.cases((stars > 0, stars.cast("string")), (out_of != "", out_of), else_=alone.nullif("")).replace(
        ",", "."
    )


def _moment(written: ir.StringValue, how: Format, odd: bool) -> ir.TimestampValue:
    bare = written.re_replace(_ZONED, r"\1") if odd else written
    if how.dates is None:
        return bare.re_search(_ISO).ifelse(bare, ibis.null("string")).try_cast("timestamp")
    found = [_clock(written, p) if p in CLOCKS else try_strptime(bare, p) for p in how.dates]
    found += [try_strptime(written, p) for p in how.dates if odd and p not in CLOCKS]
    return ibis.coalesce(*found) if len(found) > 1 else found[0]


def _clock(written: ir.StringValue, clock: str) -> ir.TimestampValue:
    """Return the moment of a count of seconds or milliseconds since 1970, or of days since 1899-12-30."""
    number, start = written.try_cast("float64"), datetime(1899, 12, 30) if clock == "serial" else datetime(1970, 1, 1)
    seconds = number * 86_400 if clock == "serial" else number / (1000 if clock == "unix_ms" else 1)
    return ibis.literal(start) + seconds.round().cast("int64").as_interval("s")


def literal(given: str, kind: str) -> ir.Scalar:
    """Return a value written in company.yaml (the meaning of a code, a fixed value). Errors: ValueError."""
    dtype = TYPES[kind]
    if given == "":
        return ibis.null(dtype)
    if kind in ("number", "score"):
        return ibis.literal(float(given), dtype)
    if kind == "flag":
        if given.lower() not in YES + NO:
            raise ValueError(f"{given!r} is neither yes nor no")
        return ibis.literal(given.lower() in YES, dtype)
    if kind == "date":
        return ibis.literal(date.fromisoformat(given), dtype)
    return ibis.literal(datetime.fromisoformat(given) if kind == "moment" else given, dtype)


def remedy(kind: str, value: str, how: Format) -> str:
    """Return what to write in company.yaml so that a rejected value can be read."""
    if kind == "flag":
        return "Say what it means: codes: {" + value + ": yes}."
    if kind == "score":
        return "Say what each label means under codes:, or list it under no_answer:."
    return _number_remedy(value, how) if kind == "number" else _date_remedy(value, how)


def _number_remedy(value: str, how: Format) -> str:
    for thousands, decimal in ((",", "."), (".", ","), (" ", ","), ("'", "."), (" ", "."), (None, ",")):
        mark = f"[{_SPACES}]" if thousands == " " else re.escape(thousands or "")
        whole = rf"\d{{1,3}}({mark}\d{{3}})+" if thousands else r"\d+"
        if re.fullmatch(rf"[+-]?{whole}({re.escape(decimal)}\d*)?", value):
            wanted = [f'decimal: "{decimal}"'] * (decimal != how.decimal)
            wanted += [f'thousands: "{thousands}"'] * (thousands not in (None, how.thousands))
            if wanted:
                return f"If the export writes numbers this way, declare {' and '.join(wanted)} in the source."
    return (
        f"The source declares decimal: {how.decimal!r} and thousands: {how.thousands or 'none'}. Correct the value, "
        "or list it under blank: (no value), or map it with codes:."
    )


def _date_remedy(value: str, how: Format) -> str:
    expected = " or ".join(how.dates) if how.dates else "ISO dates such as 2026-01-31"
    for clock, digits in (("unix", r"1\d{9}"), ("unix_ms", r"1\d{12}"), ("serial", r"[34]\d{4}(\.\d+)?")):
        if re.fullmatch(digits, value) and clock not in (how.dates or []):
            return f"Expected: {expected}. If these are {_CLOCK_WORDS[clock]}, write dates: {clock}."
    fitting = ["ISO (leave `dates` out)"] if how.dates and re.fullmatch(_ISO, value) else []
    bare = re.sub(_ZONED, r"\1", value)
    for pattern in [day + time for day in _PLAUSIBLE for time in _TIMES]:
        try:
            datetime.strptime(bare, pattern)
        except ValueError:
            continue
        if pattern not in (how.dates or []):
            fitting.append(f'dates: "{pattern}"')
    if not fitting:
        return f"Expected: {expected}. Correct the value, or give the pattern of the export under dates:."
    ambiguous = " (only the owner of the export knows which)" if len(fitting) > 1 else ""
    return f"Expected: {expected}. It would be read with {' or '.join(fitting)}{ambiguous} in the source."
