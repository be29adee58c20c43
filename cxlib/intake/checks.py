"""The checks of the six tables: what stops the intake, which rows are set aside, and what is only noted.

Every check is an expression on the rows, so that a table costs one pass. A row carries the number of the condition that
stops the intake (``_stop``). It has one bit per reason to set it aside (``_flags``; the first one counts) and one bit
per note (``_notes``). A row without flags is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxlib.errors import InputError
from cxlib.intake import values
from cxlib.intake.exports import rank, whole
from cxlib.intake.tables import CONTRACT, ID, Rows, by_content

MONEY_OF = {"orders": "revenue", "customers": "monthly_revenue"}
ASIDE = ["table", "reason", "rows", "money", "file", "row", "column", "value", "remedy"]
SECOND_ROW = -1  # the _stop of a second row with the id of a customer or initiative
AS_OF = "after the as-of date"
NOT_YET = (AS_OF, "customer is set aside", "initiative is set aside")  # all that a report for an earlier day sets aside
UNKNOWN = "unknown customer"


When = Callable[[ir.Table, "Context"], ir.BooleanValue]


@dataclass(frozen=True)
class Context:
    """What the checks of one table need besides its rows.

    ``mapped``: the contract columns that come from exports. It includes those of the row's customer, as _joined_on and
    _left_on, and REPEATED if an id or row can occur twice. ``lengths``: columns given as a duration after another
    column. ``dated``: the sources with a date. ``customers`` and ``initiatives``: the tables that rows refer to.
    """

    name: str
    as_of: date
    mapped: frozenset[str]
    lengths: frozenset[str]
    dated: tuple[int, ...]
    customers: ir.Table | None = None
    initiatives: ir.Table | None = None

    def knows(self, *columns: str) -> bool:
        """Tell whether all of these columns are mapped; "a|b" means either of them."""
        return all(column_of(c, self.mapped) in self.mapped for c in columns)


def column_of(either: str, mapped: Collection[str]) -> str:
    """Return the first mapped column of "a|b", or the last if none is."""
    *names, last = either.split("|")
    return next((n for n in names if n in mapped), last)


@dataclass(frozen=True)
class Reason:
    """Why rows are set aside: condition (on mapped columns, ``needs``), the column to show, and the remedy."""

    text: str
    column: str
    when: When
    remedy: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Note:
    """A remark on rows that are used. ``detail`` is a sentence about {n} rows."""

    check: str
    when: When
    detail: str
    needs: tuple[str, ...] = ()


REPEATED = "_again"
_EITHER = "asked_at|answered_at"
_JOINED = "Correct the date, or the customer's joined_on."


def _day(moment: ir.Value) -> ir.DateValue:
    return moment if moment.type().is_date() else moment.cast("date")


def _later(column: str) -> When:
    return lambda t, c: _day(t[column]) > ibis.literal(c.as_of)


def _disorder(text: str, column: str, first: str, second: str) -> Reason:
    """Return the reason that ``first`` is before ``second``; a day without a time is that whole day."""

    def when(t: ir.Table, c: Context) -> ir.BooleanValue:
        a, b = t[first], t[second]
        if a.type().is_date() or b.type().is_date():
            return _day(a) < _day(b)
        if first in c.lengths:
            return a < b
        midnight = a == _day(a).cast("timestamp")
        return (a < b) & ~(midnight & (_day(a) == _day(b)))

    swapped = "Check that the two columns are not swapped and have one time zone."
    return Reason(text, column, when, _JOINED if second == "_joined_on" else swapped, (first, second))


def _asked(t: ir.Table) -> ir.Value:
    """Return the time of the question, else of the answer; null if neither is mapped."""
    return _first_of(t, "asked_at", "answered_at")


def _answered(t: ir.Table) -> ir.Value:
    """Return the time of the answer, else of the question; null if neither is mapped."""
    return _first_of(t, "answered_at", "asked_at")


def _first_of(t: ir.Table, *columns: str) -> ir.Value:
    there = [t[c] for c in columns if c in t.columns]
    return ibis.coalesce(*there) if there else ibis.null("timestamp")


def _too_late(
    column: str, when: When | None = None, remedy: str = "None needed: a later as_of will include them."
) -> Reason:
    return Reason(AS_OF, column, when or _later(column), remedy, (column,))


def _twice(column: str) -> Reason:
    remedy = "Give each row its own id; the latest is used."
    return Reason(f"duplicate {column}", column, lambda t, c: t._again, remedy, (REPEATED,))


_COPY = Reason(
    "exact duplicate row",
    "_row",
    lambda t, c: t._copy,
    "None needed if the export repeats rows: the first one is used.",
    (REPEATED,),
)
_STRANGERS = (
    Reason(UNKNOWN, "customer_id", lambda t, c: t._state.isnull(), "Add the customer, or correct the id."),
    Reason(NOT_YET[1], "customer_id", lambda t, c: t._state != 0, "See the set-aside customers."),
)
REASONS: dict[str, tuple[Reason, ...]] = {
    "customers": (
        _COPY,
        _too_late("joined_on"),
        _disorder("left before joined", "left_on", "left_on", "joined_on"),
    ),
    "initiatives": (
        _COPY,
        _too_late(
            "started_on",
            lambda t, c: (
                _later("started_on")(t, c) & ((t.status.fill_null("") != "planned") if c.knows("status") else True)
            ),
            "Write status: planned if it has not started yet.",
        ),
    ),
    "responses": (
        _COPY,
        Reason("never asked", "score", lambda t, c: t._unasked, "None needed: not_asked names it.", ("score",)),
        _twice("response_id"),
        *_STRANGERS,
        Reason(
            "no date",
            _EITHER,
            lambda t, c: _asked(t).isnull() & t._source.isin(c.dated),
            "Fill in asked_at or answered_at.",
            (_EITHER,),
        ),
        _too_late(_EITHER, lambda t, c: _day(_asked(t)) > ibis.literal(c.as_of)),
        _disorder("answered before asked", "answered_at", "answered_at", "asked_at"),
        Reason(
            "asked before the customer joined",
            _EITHER,
            lambda t, c: _day(_asked(t)) < t._joined_on,
            _JOINED,
            (_EITHER, "_joined_on"),
        ),
    ),
    "orders": (
        _COPY,
        _twice("order_id"),
        *_STRANGERS,
        _too_late("ordered_at"),
        _disorder("ordered before the customer joined", "ordered_at", "ordered_at", "_joined_on"),
    ),
    "contacts": (
        _COPY,
        _twice("contact_id"),
        *_STRANGERS,
        _too_late("opened_at"),
        _disorder("opened before the customer joined", "opened_at", "opened_at", "_joined_on"),
        _disorder("first response before opened", "first_response_at", "first_response_at", "opened_at"),
        _disorder("resolved before opened", "resolved_at", "resolved_at", "opened_at"),
        _disorder("first response after resolution", "resolved_at", "resolved_at", "first_response_at"),
    ),
    "exposures": (
        _COPY,
        Reason(
            "unknown initiative",
            "initiative_id",
            lambda t, c: t._initiative.isnull(),
            "Add the initiative, or correct the id.",
        ),
        Reason(NOT_YET[2], "initiative_id", lambda t, c: t._initiative != 0, "See the set-aside initiatives."),
        *_STRANGERS,
        _too_late("exposed_on"),
        _disorder("exposed before the customer joined", "exposed_on", "exposed_on", "_joined_on"),
    ),
}


def _after_leaving(column: str, what: str) -> Note:
    return Note(
        f"{what} after the customer left",
        lambda t, c: _day(t[column]) > t._left_on,
        f"{{n}} {what} are dated after the customer's left_on; they are used.",
        (column, "_left_on"),
    )


def _after_as_of(column: str, what: str) -> Note:
    detail = f"{{n}} {what} only after the as-of date: on that date {column} was not known, so it is empty."
    return Note(f"{column} after the as-of date", _later(column), detail, (column,))


# These two notes are not shown: they serve to compare the two definitions of churn.
_LEFT_ON, _FLAGGED = "(left_on)", "(left)"
NOTES: dict[str, tuple[Note, ...]] = {
    "customers": (
        Note(
            "left_on after the as-of date",
            _later("left_on"),
            "{n} customers leave after the as-of date: they count as still here.",
            ("left_on",),
        ),
        Note(
            "no joining date",
            lambda t, c: t.joined_on.isnull(),
            "{n} customers have an empty joined_on: curves that start at joining leave them out.",
            ("joined_on",),
        ),
        Note(_LEFT_ON, lambda t, c: t.left_on <= ibis.literal(c.as_of), "", ("left_on", "left")),
        Note(_FLAGGED, lambda t, c: t.left, "", ("left_on", "left")),
    ),
    "responses": (
        Note(
            "answered after the as-of date",
            _later("answered_at"),
            "{n} questions were answered only after the as-of date: they count as not answered.",
            ("answered_at",),
        ),
        Note(
            "answered_at without a score",
            lambda t, c: t.answered_at.notnull() & t.score.isnull(),
            "{n} responses have answered_at and no score: they count as not answered.",
            ("answered_at",),
        ),
        Note(
            "a score without answered_at",
            lambda t, c: t.answered_at.isnull() & t.score.notnull(),
            "{n} scores have no answered_at: they are dated asked_at.",
            ("answered_at", "asked_at"),
        ),
        Note(
            "answers after the customer left",
            lambda t, c: (_day(_answered(t)) > t._left_on) & t.score.notnull(),
            "{n} answers are dated after the customer's left_on; they are used.",
            (_EITHER, "_left_on"),
        ),
    ),
    "orders": (
        _after_leaving("ordered_at", "orders"),
        Note(
            "negative revenue", lambda t, c: t.revenue < 0, "{n} orders have a negative revenue and count as refunds."
        ),
        Note(
            "margin above revenue",
            lambda t, c: (t.margin > t.revenue) & (t.revenue >= 0),
            "{n} orders have a margin above their revenue, which is inconsistent; they are used.",
            ("margin",),
        ),
    ),
    "contacts": (
        _after_leaving("opened_at", "contacts"),
        _after_as_of("first_response_at", "contacts were first answered"),
        _after_as_of("resolved_at", "contacts were resolved"),
        _after_as_of("reopened_at", "contacts were reopened"),
    ),
    "initiatives": (),
    "exposures": (),
}


def marked(rows: ir.Table, c: Context, sources: list[Rows]) -> ir.Table:
    """Return the finished columns of a table and _source, _row, _stop, _flags, _notes, _value.

    _value is the content of the column of the first reason to set the row aside.
    """
    own, column = ["_source", "_row", "_stop"], ID.get(c.name)
    if column and c.knows(REPEATED):
        # The latest of rows with one id is used, by their content: a database has no order of rows. For customers and
        # initiatives the second row is an error.
        once = c.name in ("customers", "initiatives")
        there = [] if once else [n for n in columns_of(c.name, sources) if n in rows.columns]
        order = [ibis.desc(rows[n], nulls_first=False) for n in by_content(c.name, there)]
        again = (rank(rows, [column, "_copy"], [*order, "_source", "_row"]) > 0) & ~rows._copy
        rows = rows.mutate(_again=again)
        if once:
            rows = rows.mutate(_stop=((rows._stop == 0) & rows._again).ifelse(SECOND_ROW, rows._stop))
    finished = dict.fromkeys(columns_of(c.name, sources))
    if c.customers is not None:
        taken = {"_customer": "customer_id", "_state": "_flags", "_joined_on": "joined_on", "_left_on": "left_on"}
        known = _once(c.customers).select(fold="fold", **taken)
        rows = rows.left_join(known, rows.customer_id == known._customer)
    if c.initiatives is not None:
        known = _once(c.initiatives).select(_known="initiative_id", _initiative="_flags")
        rows = rows.left_join(known, rows.initiative_id == known._known)
    reasons, notes = _conditions(rows, c, REASONS[c.name]), _conditions(rows, c, NOTES[c.name])
    looked_at = {i: column_of(REASONS[c.name][i].column, c.mapped) for i in reasons}
    shown = [(is_so, rows[looked_at[i]].cast("string")) for i, is_so in reasons.items()]
    for name in [n for n in finished if n != "fold"]:
        kind = values.TYPES[CONTRACT[c.name][name].kind] if name in CONTRACT[c.name] else "string"
        finished[name] = rows[name] if name in rows.columns else ibis.null(kind)
    finished |= _as_known(rows, c)
    if "fold" in finished:
        finished["fold"] = rows.fold if c.customers is not None else _fold(rows.customer_id)
    value = ibis.cases(*shown) if shown else ibis.null("string")
    found = {"_flags": _bits(reasons), "_notes": _bits(notes), "_value": value}
    return rows.select(*own, **finished, **found)


def _once(marked_rows: ir.Table) -> ir.Table:
    """Return rows without repeats (the first bit of _flags), so that each id occurs once."""
    return marked_rows.filter(marked_rows._flags % 2 == 0)


def _conditions(rows: ir.Table, c: Context, checks: tuple[Reason | Note, ...]) -> dict[int, ir.BooleanValue]:
    return {i: check.when(rows, c) for i, check in enumerate(checks) if c.knows(*check.needs)}


def _bits(conditions: dict[int, ir.BooleanValue]) -> ir.IntegerValue:
    # A condition that is null (a date is missing) is not met: ifelse takes its second branch.
    bits = [condition.ifelse(1 << i, 0) for i, condition in conditions.items()]
    return sum(bits, ibis.literal(0, "int64")).cast("int64")


def _as_known(rows: ir.Table, c: Context) -> dict[str, ir.Value]:
    """Return the columns to replace: values not known on the as-of date, and values that follow from others."""

    def known(of: str, column: str | None = None) -> ir.Value:
        """Return ``of``, null where ``column`` lies after the as-of date."""
        return _later(column or of)(rows, c).ifelse(ibis.null(rows[of].type()), rows[of])

    if c.name == "customers" and c.knows("left_on"):
        reason = {"left_reason": known("left_reason", "left_on")} if c.knows("left_reason") else {}
        return {"left_on": known("left_on"), **reason}
    if c.name == "responses" and c.knows("answered_at"):
        known_answer = {k: known(k, "answered_at") for k in ("score", "comment") if c.knows(k)}
        return known_answer | {
            "answered_at": known_answer["score"].notnull().ifelse(_answered(rows), ibis.null("timestamp"))
        }
    if c.name == "responses" and c.knows("asked_at"):
        return {"answered_at": rows.score.notnull().ifelse(rows.asked_at, ibis.null("timestamp"))}
    if c.name == "contacts":
        return {k: known(k) for k in ("first_response_at", "resolved_at", "reopened_at") if c.knows(k)}
    if c.name == "exposures":
        return {"arm": rows.arm.fill_null("treated") if c.knows("arm") else ibis.literal("treated")}
    return {}


def _fold(customer_id: ir.StringValue) -> ir.IntegerValue:
    """Return 0-255 from the first two hex digits of the MD5 of an id, equal on every engine."""
    digest, digits = values.md5(customer_id).lower(), ibis.literal("0123456789abcdef")
    return (digits.find(digest.substr(0, 1)) * 16 + digits.find(digest.substr(1, 1))).cast("int64")


def tally(rows: ir.Table, name: str) -> ir.Table:
    """Count marked rows by the results of the checks, with their money and the first row of each kind as an example."""
    money = rows[MONEY_OF[name]].sum().fill_null(0.0) if name in MONEY_OF else ibis.literal(0.0)
    kinds = rows.group_by("_source", "_stop", "_flags", "_notes")
    counted = kinds.agg(n=rows.count(), row=rows._row.min(), value=rows._value.argmin(rows._row), money=money)
    return counted.mutate(table=ibis.literal(name))


def stops(found: pd.DataFrame, sources: list[Rows], marked_rows: ir.Table) -> Iterator[InputError]:
    """Yield one InputError for each condition of a table that stops the intake, with its first row."""
    found = found[found["_stop"] != 0].sort_values(["_source", "row"])
    for (source, number), same in found.groupby(["_source", "_stop"], sort=False):
        rows, row, others = sources[int(source)], same.iloc[0]["row"], int(same["n"].sum()) - 1
        more = f" (and in {others:,} further row{'s' if others > 1 else ''})" if others else ""
        if number == SECOND_ROW:
            column = ID[rows.name]
            twice = marked_rows.filter((marked_rows._stop == SECOND_ROW) & (marked_rows._source == int(source)))
            value = _first(twice, marked_rows[column], row)
            several = "Several contracts of a customer: repeats: span. " if rows.name == "customers" else ""
            remedy = f"{several}Else keep one row of each: sql: select distinct on (...) * from ..."
            problem = f"A second row of {rows.name} has the same {column}{more}"
            yield rows.error(problem, row, rows.source.columns[column].column, value, remedy)
            continue
        wrong = rows.stops[int(number) - 1]
        value = _first(rows.table.filter(wrong.when.fill_null(False)), wrong.shown, row) or ""
        yield rows.error(f"{rows.name}: {wrong.problem}{more}", row, wrong.column, value, wrong.remedy(value))


def _first(rows: ir.Table, column: ir.Value, row: object) -> str | None:
    found = rows.filter(rows._row == whole(row)).select(value=column.cast("string")).limit(1).to_pandas()
    return found["value"].iloc[0] if len(found) else None


def nothing_left(found: pd.DataFrame, sources: list[Rows], hint: str) -> Iterator[InputError]:
    """Yield an InputError if no row of a table is used, with the most frequent reason and a ``hint``."""
    if (found["_flags"] == 0).any():
        return
    name, aside = sources[0].name, set_aside(found, sources[0].name, sources)
    early = sum(1 << i for i, reason in enumerate(REASONS[name]) if reason.text in NOT_YET)
    if ((found["_flags"] & early) > 0).all() and name != "customers":
        return
    most = max(aside, key=lambda line: line["rows"])
    place = {k: most[k] for k in ("file", "row", "column", "value")}
    said = f"No row of {name} can be used: {most['reason']}, in {most['rows']:,} of {int(found['n'].sum()):,} rows"
    yield InputError(said, remedy=most["remedy"] + hint, **place)


def unknown_customers(found: pd.DataFrame, name: str) -> float:
    """Return the share of rows whose customer is unknown."""
    bits = [1 << i for i, reason in enumerate(REASONS[name]) if reason.text == UNKNOWN]
    return float(found.loc[(found["_flags"] & sum(bits)) > 0, "n"].sum() / found["n"].sum()) if bits else 0.0


def set_aside(found: pd.DataFrame, name: str, sources: list[Rows]) -> list[dict[str, object]]:
    """Return one line per reason and source, in the columns of ``ASIDE``."""
    lines, mapped = [], {c for s in sources for c in s.source.columns}
    for i, reason in enumerate(REASONS[name]):
        # The lowest bit set is the first reason that applies.
        first = found[(found["_flags"] & ((2 << i) - 1)) == (1 << i)]
        for source, group in first.groupby("_source"):
            example = group.sort_values("row").iloc[0]
            given = sources[int(source)].source
            file, row = sources[int(source)].export.exports.where(given, example["row"])
            column = None if reason.column == "_row" else column_of(reason.column, mapped)
            lines.append(
                {
                    "table": name,
                    "reason": reason.text,
                    "rows": int(group["n"].sum()),
                    "money": round(float(group["money"].sum()), 2) if name in MONEY_OF else None,
                    "file": file,
                    "row": row,
                    "column": column,
                    "value": example["value"] if column else None,
                    "remedy": reason.remedy,
                }
            )
    return lines


def notes(found: pd.DataFrame, name: str) -> list[tuple[str, int, str]]:
    """Return (check, rows, sentence) for the notes on a table."""
    used, lines = found[found["_flags"] == 0], []

    def count(rows: pd.DataFrame, column: str, bits: int) -> int:
        return int(rows.loc[(rows[column] & bits) == bits, "n"].sum())

    for i, note in enumerate(NOTES[name]):
        n = count(used, "_notes", 1 << i)
        if n and note.detail:
            lines.append((note.check, n, note.detail.format(n=f"{n:,}")))
    for i, reason in enumerate(REASONS[name]):
        n = count(found, "_flags", 1 << i)
        first = int(found.loc[(found["_flags"] & ((2 << i) - 1)) == (1 << i), "n"].sum())
        if n > first:
            text = f"{n:,} rows of {name} in all; {n - first:,} of them are set aside for an earlier reason."
            lines.append((f"{name}: {reason.text}", n, text))
    return lines


def two_definitions(found: pd.DataFrame) -> list[tuple[str, int, str]]:
    """Return the note on customers whose left_on and left disagree, with all four counts."""
    used = found[found["_flags"] == 0]
    hidden = [i for i, note in enumerate(NOTES["customers"]) if note.check in (_LEFT_ON, _FLAGGED)]
    has = {(d, f): 0 for d in (0, 1) for f in (0, 1)}
    for bits, n in zip(used["_notes"], used["n"], strict=True):
        has[(bits >> hidden[0]) & 1, (bits >> hidden[1]) & 1] += int(n)
    differ = has[1, 0] + has[0, 1]
    if not differ:
        return []
    detail = (
        f"{has[1, 1] + has[1, 0]:,} customers have a left_on, {has[1, 1] + has[0, 1]:,} are flagged as left, "
        f"{has[1, 1]:,} are both, {has[0, 0]:,} neither: {differ:,} disagree. left_on counts."
    )
    return [("two definitions of churn disagree", differ, detail)]


def columns_of(name: str, sources: list[Rows]) -> list[str]:
    """Return the columns of a finished table: those of the contract, further mapped ones, and fold."""
    extras = dict.fromkeys(c for s in sources for c in s.source.columns if c not in CONTRACT[name])
    return [*CONTRACT[name], *extras, *(["fold"] if "customer_id" in CONTRACT[name] else [])]
