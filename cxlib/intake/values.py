"""One value of an export and its meaning: text, number, day, moment, yes or no.

The engine turns text into a value by expressions. If it cannot, the value is null where the text is not, and the checks
find it. Date patterns are those of DuckDB, which reads every file. In a database, dates stored as text are an error,
since no expression reads them on every engine.

A time is taken as written. An offset such as +02:00 is not added, so that a day stays the local day. A timestamp with a
time zone as its type, in Parquet or a database, is taken in UTC.
"""

from __future__ import annotations

import re
from datetime import date, datetime

import ibis
import ibis.expr.types as ir

from cxlib.errors import InputError
from cxlib.intake.sources import Format

TYPES = {
    "id": "string",
    "text": "string",
    "number": "float64",
    "date": "date",
    "moment": "timestamp",
    "flag": "boolean",
}
NOUNS = {"number": "number", "date": "date", "moment": "date", "flag": "yes or no"}
YES, NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_ISO = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
_SPACES = " \u00a0\u202f"  # plain, no-break and narrow no-break space: all occur between thousands
_PLAUSIBLE = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")
_TIMES = ("", " %H:%M", " %H:%M:%S")


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
            (column.re_search(rf"^\s*({texts})?\s*$"), ibis.null("string")),
            (column.re_search(r"^\s|\s$"), column.strip()),
            else_=column,
        )
    return column.isnan().ifelse(ibis.null(column.type()), column) if column.type().is_floating() else column


def text(column: ir.Value) -> ir.StringValue:
    """Return a column as text; whole numbers without decimals, so that 12 and 12.0 are one id."""
    kind = column.type()
    written = column if kind.is_string() else column.cast("string")
    return written.re_replace(r"\.0+$", "") if kind.is_floating() or kind.is_decimal() else written


def typed(column: ir.Value, kind: str, how: Format, duckdb: bool) -> ir.Value:
    """Return a clean column as the kind of value asked for; null where a value is not of that kind."""
    have = column.type()
    if kind in ("id", "text"):
        return text(column)
    if kind == "number":
        number = column.cast("float64") if have.is_numeric() else _number(text(column), how)
        return number if have.is_integer() else number.isinf().ifelse(ibis.null("float64"), number)
    if kind == "flag":
        lower = column if have.is_boolean() else text(column).lower()
        return lower if have.is_boolean() else ibis.cases((lower.isin(YES), True), (lower.isin(NO), False))
    moment = column.cast("timestamp") if have.is_date() or have.is_timestamp() else _moment(text(column), how, duckdb)
    return moment.cast("date") if kind == "date" else moment


def always_fits(column: ir.Value, kind: str) -> bool:
    """Tell whether the type of a column guarantees that every value is of the kind."""
    have = column.type()
    if kind == "flag":
        return have.is_boolean()
    return have.is_integer() if kind == "number" else have.is_date() or have.is_timestamp()


def _number(written: ir.StringValue, how: Format) -> ir.FloatingValue:
    point = re.escape(how.decimal)
    whole = r"\d+"
    if how.thousands:
        mark = f"[{_SPACES}]" if how.thousands == " " else re.escape(how.thousands)
        whole = rf"(\d{{1,3}}({mark}\d{{3}})+|\d+)"
    shape = rf"^[+-]?({whole}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?$"
    plain = written.re_search(shape).ifelse(written, ibis.null("string"))
    for mark in _SPACES if how.thousands == " " else how.thousands or "":
        plain = plain.replace(mark, "")
    return (plain.replace(",", ".") if how.decimal == "," else plain).cast("float64")


def _moment(written: ir.StringValue, how: Format, duckdb: bool) -> ir.TimestampValue:
    if not duckdb:
        raise InputError(
            "A date is stored as text",
            column=written.get_name(),
            remedy="Give a date or timestamp column, for instance through a view.",
        )
    if how.dates is None:
        return written.re_search(_ISO).ifelse(written, ibis.null("string")).try_cast("timestamp")
    found = [try_strptime(written, pattern) for pattern in how.dates]
    return ibis.coalesce(*found) if len(found) > 1 else found[0]


def literal(given: str, kind: str) -> ir.Scalar:
    """Return a value written in company.yaml (the meaning of a code, a fixed value). Errors: ValueError."""
    dtype = TYPES[kind]
    if given == "":
        return ibis.null(dtype)
    if kind == "number":
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
    fitting = ["ISO (leave `dates` out)"] if how.dates and re.fullmatch(_ISO, value) else []
    for pattern in [day + time for day in _PLAUSIBLE for time in _TIMES]:
        try:
            datetime.strptime(value, pattern)
        except ValueError:
            continue
        if pattern not in (how.dates or []):
            fitting.append(f'dates: "{pattern}"')
    if not fitting:
        return f"Expected: {expected}. Correct the value, or give the pattern of the export under dates:."
    ambiguous = " (only the owner of the export knows which)" if len(fitting) > 1 else ""
    return f"Expected: {expected}. It would be read with {' or '.join(fitting)}{ambiguous} in the source."
