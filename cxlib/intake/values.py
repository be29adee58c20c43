"""One value of an export and its meaning: text, number, day, moment, yes or no.

The engine turns text into a value by expressions. If it cannot, the value is null where the text is not, and the checks
find it. Forms that few exports use (a minus behind, a currency sign, a zone, a label around a score) cost a search per
cell, so that they are only looked for in columns where ``odd`` has found one.

A time is taken as written, so that a day stays the local day; ``zone`` gives its minutes from UTC, with which
differences are taken. A timestamp with a time zone as its type, in Parquet or a database, is taken in UTC.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime
from math import inf

import ibis
import ibis.expr.types as ir

from cxlib.errors import words
from cxlib.intake.models import BLANK
from cxlib.intake.sources import CLOCKS, Format

_SAID = words(__file__)
TYPES, NOUNS, YES, NO, _ZONES = (_SAID[part] for part in ("types", "nouns", "yes", "no", "zones"))
_ISO_ZONE = r"Z|[+-]\d{2}(:?\d{2})?"
_ISO = rf"^\d{{4}}-\d{{2}}-\d{{2}}([ T]\d{{2}}:\d{{2}}(:\d{{2}}(\.\d{{1,9}})?)?({_ISO_ZONE})?)?$"
_SPACES = " \u00a0\u202f"  # plain, no-break and narrow no-break space: all occur between thousands
_EDGE = "[\\s\u00a0\u2007\u202f\u200b\u2060\ufeff]"  # around a cell; the last three are not seen at all
_ZONED = (  # a time of day, and the zone behind it
    r"(:\d{2}(?:[.,]\d+)?(?: ?[AaPp][Mm])?)"
    rf"( ?(?:{'|'.join(_ZONES)})? ?(?:[+-]\d{{1,2}}(?::?\d{{2}})?)?(?: ?\([^)]*\))?)$"
)
CURRENCY = re.compile(r"currency|(^|[^a-z])(w(ä|ae)hrung|devise|moneda|moeda|valuta)([^a-z]|$)")
_SIGN = r"(?:[A-Za-z]{0,3}\.?\p{Sc}|[A-Z]{3}|kr\.?|Fr\.?|Rs\.?|zł|Kč)"
_GAP = r"[ \x{00A0}\x{202F}]?"
_STARS = "★⭐"
_MEANT = {"number": float, "score": float, "date": date.fromisoformat, "moment": datetime.fromisoformat}
_MEANT |= {"flag": lambda given: given.lower() in YES}
_CLOCKED = (1e8, 1e10)  # seconds since the start of a clock that can be meant: from 1973, of a spreadsheet from 1903


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
        # Most cells need nothing, so that one search finds the others: searches cost the most here.
        return ibis.cases(
            (~column.re_search(rf"^{_EDGE}|{_EDGE}$|{_empty(blank)}"), column),
            (column.re_search(_empty(blank)), ibis.null("string")),
            else_=column.re_replace(rf"^{_EDGE}+|{_EDGE}+$", ""),
        )
    kind, listed = column.type(), [b for b in blank if b not in BLANK]
    column = column.isnan().ifelse(ibis.null(kind), column) if kind.is_floating() else column
    if not listed:
        return column
    return text(column).re_replace(" 00:00:00$", "").isin(listed).ifelse(ibis.null(kind), column)


def _empty(blank: list[str]) -> str:
    """Return the pattern of a blank cell. (A list of more than five texts would be a join in DuckDB.)"""
    return rf"^{_EDGE}*({'|'.join(re.escape(b.strip()) for b in blank)})?{_EDGE}*$"


def text(column: ir.Value) -> ir.StringValue:
    """Return a column as text; whole numbers without decimals, so that 12 and 12.0 are one id."""
    kind = column.type()
    written = column if kind.is_string() else column.cast("string")
    return written.re_replace(r"\.0+$", "") if kind.is_floating() or kind.is_decimal() else written


def rare(column: ir.StringValue, kind: str, how: Format, blank: list[str]) -> dict[str, ir.Scalar]:
    """Return what to ask once of a column of text, uncleaned, before its values are read.

    Numbers and scores: ``odd``, if a cell is no plain number; and the first and last currency ``sign`` of those.
    Moments: the first and last ``zone`` behind a time, the empty text where there is none; and ``odd``, if they differ
    or are not written as ISO writes them.
    """
    empty = column.re_search(_empty(blank))
    if kind in ("number", "score"):
        odd = ~(column.re_search(_shape(how)) | empty)
        if kind == "score":
            return {"odd": odd.max()}
        sign = odd.ifelse(_sign(column), ibis.null("string"))
        return {"odd": odd.max(), "sign": sign.min(), "last sign": sign.max()}
    if kind in ("date", "moment"):
        zone = empty.ifelse(ibis.null("string"), column.re_extract(_ZONED.removesuffix("$") + f"{_EDGE}*$", 2))
        first, last = zone.min(), zone.max()
        alike = (first == last) & first.re_search(f"^({_ISO_ZONE})?$")
        return {"odd": ~alike.fill_null(True), "zone": first, "last zone": last}
    return {}


def typed(column: ir.Value, kind: str, how: Format, odd: bool = False) -> ir.Value:
    """Return a clean column as the kind of value asked for; null where a value is not of that kind."""
    have = column.type()
    if kind in ("id", "text"):
        return text(column)
    if kind in ("number", "score"):
        number = column.cast("float64") if have.is_numeric() else _number(text(column), how)
        if odd and kind == "number":
            number = _number(_accounting(text(column)), how)
        elif odd:
            number = ibis.coalesce(number, _number(_label(text(column)), Format()))
        return number if have.is_integer() else number.nullif(inf).nullif(-inf)
    if kind == "flag":
        lower = column if have.is_boolean() else text(column).lower()
        return lower if have.is_boolean() else ibis.cases((lower.isin(YES), True), (lower.isin(NO), False))
    moment = column.cast("timestamp") if have.is_date() or have.is_timestamp() else _moment(text(column), how, odd)
    return moment.cast("date") if kind == "date" else moment


def zone(column: ir.StringValue) -> ir.IntegerValue:
    """Return the minutes from UTC that a stamp ends in, null if it has no zone."""
    behind = column.re_extract(_ZONED, 2)
    hours, minutes = (behind.re_extract(r"^ ?[A-Z]* ?([+-]\d{1,2}?)(?::?(\d{2}))?(?:\D|$)", i) for i in (1, 2))
    east = hours.startswith("-").ifelse(-1, 1)
    offset = hours.try_cast("int64") * 60 + east * minutes.try_cast("int64").fill_null(0)
    named = behind.re_extract(r"^ ?([A-Z]+)", 1).cases(*_ZONES.items(), else_=ibis.null("int64"))
    return ibis.coalesce(offset, named * 60)


def _sign(column: ir.StringValue) -> ir.StringValue:
    """Return the currency sign or code before or behind an amount, null without one."""
    before = column.re_extract(rf"^{_EDGE}*[-−+(]?{_GAP}({_SIGN}){_GAP}[-−+(]?[\d.,]", 1)
    behind = column.re_extract(rf"[\d.,)−-]{_GAP}({_SIGN})[)−-]?{_EDGE}*$", 1)
    return ibis.coalesce(before.nullif(""), behind.nullif(""))


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


def _number(written: ir.StringValue, how: Format) -> ir.FloatingValue:
    plain = written.re_extract(_shape(how), 0).nullif("")
    for mark in _SPACES if how.thousands == " " else how.thousands or "":
        plain = plain.replace(mark, "")
    return (plain.replace(",", ".") if how.decimal == "," else plain).cast("float64")


def _accounting(written: ir.StringValue) -> ir.StringValue:
    """Return an amount without its currency sign, and its minus in front: 12-, (12) and -EUR 12 are -12."""
    bare = written.re_replace(rf"^([-−+(]?){_GAP}{_SIGN}{_GAP}|{_GAP}{_SIGN}(\)?)$", r"\1\2")
    return bare.re_replace(r"^\((.*)\)$|^(.+?) ?[-−]$|^[-−] ?(.*)$", r"-\1\2\3")


def _label(written: ir.StringValue) -> ir.StringValue:
    """Return the one number in a label: 10 = Very likely, Good (4), 4/5, 4 out of 5, 4 stars; else the stars of a row.

    A number follows nothing, a word, or a sign that is neither point, comma nor minus.
    """
    front, number = r"^(?:\D*(?:[^\d.,−-]|\pL-))?", r"(\d{1,3}(?:[.,]5)?)"
    scale = written.re_extract(rf"{front}{number} ?(?:/|out of|of|von|sur|de|av|di|van) ?\d+\D*$", 1)
    alone = written.re_extract(rf"{front}{number}\D*$", 1)
    stars = written.re_extract(rf"^\PN*[{_STARS}]\PN*$", 0).re_replace(f"[^{_STARS}]", "").length()
    return ibis.coalesce(scale.nullif(""), alone.nullif(""), stars.cast("string").nullif("0")).replace(",", ".")


def _moment(written: ir.StringValue, how: Format, odd: bool) -> ir.TimestampValue:
    bare = written.re_replace(_ZONED, r"\1") if odd else written
    if how.dates is None:
        return bare.re_extract(_ISO, 0).nullif("").try_cast("timestamp")
    found = [_clock(written, p) if p in CLOCKS else try_strptime(bare, p) for p in how.dates]
    found += [try_strptime(written, p) for p in how.dates if odd and p not in CLOCKS]
    return ibis.coalesce(*found) if len(found) > 1 else found[0]


def _clock(written: ir.StringValue, clock: str) -> ir.TimestampValue:
    """Return the moment of a count of seconds or milliseconds since 1970, or of days since 1899-12-30."""
    number, start = written.try_cast("float64"), datetime(1899, 12, 30) if clock == "serial" else datetime(1970, 1, 1)
    seconds = number * 86_400 if clock == "serial" else number / (1000 if clock == "unix_ms" else 1)
    seconds = seconds.between(*_CLOCKED).ifelse(seconds.round(), ibis.null("float64"))  # others are another unit
    return ibis.literal(start) + seconds.cast("int64").as_interval("s")


def literal(given: str, kind: str) -> ir.Scalar:
    """Return a value written in company.yaml (the meaning of a code, a fixed value). Errors: ValueError."""
    if given == "":
        return ibis.null(TYPES[kind])
    if kind == "flag" and given.lower() not in YES + NO:
        raise ValueError(f"{given!r} is neither yes nor no")
    return ibis.literal(_MEANT.get(kind, str)(given), TYPES[kind])


def remedy(kind: str, value: str, how: Format) -> str:
    """Return what to write in company.yaml so that a rejected value can be read."""
    expected = " or ".join(how.dates) if how.dates else "ISO dates such as 2026-01-31"
    facts = {"value": value, "decimal": how.decimal, "thousands": how.thousands or "none", "expected": expected}
    looks = {"number": _like_number, "date": _like_date, "moment": _like_date}.get(kind)
    name, keys = looks(value, how) if looks else (kind, "")
    return _SAID["remedies"][name].format(keys=keys, **facts)


def _like_number(value: str, how: Format) -> tuple[str, str]:
    """Return the name of a remedy, and the keys with which a number would be read."""
    for thousands, decimal in _SAID["forms"]["numbers"]:
        mark = f"[{_SPACES}]" if thousands == " " else re.escape(thousands)
        whole = rf"\d{{1,3}}({mark}\d{{3}})+" if thousands else r"\d+"
        keys = [f'decimal: "{decimal}"'] * (decimal != how.decimal)
        keys += [f'thousands: "{thousands}"'] * (thousands not in ("", how.thousands))
        if keys and re.fullmatch(rf"[+-]?{whole}({re.escape(decimal)}\d*)?", value):
            return "other_number", " and ".join(keys)
    return "number", ""


def _like_date(value: str, how: Format) -> tuple[str, str]:
    """Return the name of a remedy, and the keys with which a date would be read."""
    declared, forms = how.dates or [], _SAID["forms"]
    for clock, (digits, counts) in forms["clocks"].items():
        if re.fullmatch(digits, value) and clock not in declared:
            return "clock", counts
    keys, bare = [], re.sub(_ZONED, r"\1", value)
    if declared and re.fullmatch(_ISO, value):
        keys.append("ISO (leave `dates` out)")
    for pattern in (day + time for day in forms["days"] for time in forms["times"]):
        with suppress(ValueError):
            datetime.strptime(bare, pattern)
            keys += [f'dates: "{pattern}"'] * (pattern not in declared)
    return "date" if not keys else "one_date" if len(keys) == 1 else "dates", " or ".join(keys)
