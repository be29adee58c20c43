"""The contract of the six tables, and one export as rows of it.

Expressions alone turn an export into a table of the contract: join, filter, fold, rename, codes, dates. Possible faults
in values are a list of conditions that stop the intake (``Stop``).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import partial, reduce
from math import isfinite
from operator import or_

import ibis
import ibis.expr.types as ir

from cxlib.errors import InputError
from cxlib.intake import values
from cxlib.intake.exports import Load, Prepared
from cxlib.intake.models import did_you_mean
from cxlib.intake.settings import Settings
from cxlib.intake.sources import Column, Format, Source

YEARS = (date(1900, 1, 1), date(2200, 12, 31))
MAX_DAYS = 36_525  # a longer duration is a typing mistake


@dataclass(frozen=True)
class Field:
    """A column of the contract. ``filled``: if mapped, no row may be empty. ``above``: a limit that is excluded."""

    kind: str
    required: bool = False
    filled: bool = False
    one_of: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    whole: bool = False


def _must(kind: str, **more: object) -> Field:
    return Field(kind, required=True, filled=True, **more)


_ID, _TEXT, _NUMBER, _DATE, _MOMENT = (Field(k) for k in ("id", "text", "number", "date", "moment"))
_AMOUNT, _COUNTED = Field("number", least=0), Field("number", filled=True, least=0)
_POSITIVE = Field("number", above=0)
CONTRACT: dict[str, dict[str, Field]] = {
    "customers": {
        "customer_id": _must("id"),
        "joined_on": _DATE,
        "left_on": _DATE,
        "left_reason": _TEXT,
        "monthly_revenue": _NUMBER,
        "contract_ends_on": _DATE,
        "weight": _COUNTED,
        "left": Field("flag", filled=True),
        "tenure": _COUNTED,
    },
    "initiatives": {
        "initiative_id": _must("id"),
        "name": _must("text"),
        "changed": _TEXT,
        "started_on": _must("date"),
        "cost_upfront": _AMOUNT,
        "cost_per_month": _AMOUNT,
        "attribution_share": Field("number", least=0, most=1),
        "status": Field("text", one_of=("planned", "running")),
        "assigned_by": _TEXT,
        "assignment": Field("text", one_of=("randomised", "rollout", "everyone", "chosen")),
        "cost_currency": _TEXT,
        "outcome": _TEXT,
        "smallest_effect": _POSITIVE,
        "effect_is": Field("text", one_of=("relative", "points")),
        "expected_effect": _POSITIVE,
        "effect_months": Field("number", least=1, most=120, whole=True),
        "planned_customers": Field("number", above=0, whole=True),
    },
    "responses": {
        "response_id": _must("id"),
        "customer_id": _must("id"),
        "metric": _must("text"),
        "asked_at": _MOMENT,
        "answered_at": _MOMENT,
        "score": Field("number", required=True),
        "touchpoint": _TEXT,
        "channel": _TEXT,
        "agent": _TEXT,
        "wave": _TEXT,
        "comment": _TEXT,
        "contact_id": _ID,
        "weight": _COUNTED,
    },
    "orders": {
        "order_id": _must("id"),
        "customer_id": _must("id"),
        "ordered_at": _must("moment"),
        "revenue": _must("number"),
        "kind": Field("text", one_of=("new", "renewal", "upsell", "cross_sell")),
        "margin": _NUMBER,
    },
    "contacts": {
        "contact_id": _must("id"),
        "customer_id": _must("id"),
        "opened_at": _must("moment"),
        "first_response_at": _MOMENT,
        "resolved_at": _MOMENT,
        "topic": _TEXT,
        "agent": _TEXT,
        "cost": _NUMBER,
        "reopened_at": _MOMENT,
    },
    "exposures": {
        "initiative_id": _must("id"),
        "customer_id": _must("id"),
        "exposed_on": _must("date"),
        "arm": Field("text", one_of=("treated", "control")),
    },
}
ID = {  # the column that identifies a row; exposures have none
    "customers": "customer_id",
    "initiatives": "initiative_id",
    "responses": "response_id",
    "orders": "order_id",
    "contacts": "contact_id",
}
WITHOUT_EXTRAS = ("initiatives", "exposures")
_LOWER_CASE = (("responses", "metric"), ("initiatives", "outcome"))


@dataclass(frozen=True)
class Stop:
    """A condition on rows that stops the intake. ``shown`` is the content of ``column`` in the export."""

    when: ir.BooleanValue
    problem: str
    column: str
    shown: ir.Value
    remedy: Callable[[str], str]


@dataclass(frozen=True)
class Rows:
    """One export in the columns of the contract (``table``), with the conditions that stop the intake (``stops``)."""

    name: str
    source: Source
    index: int
    export: Prepared
    table: ir.Table
    stops: list[Stop]

    def typed(self, columns: Iterable[str]) -> ir.Table:
        """Return ``columns``, and _source, _row, _copy, _stop (0, or the number of the stop)."""
        t, contract = self.table, CONTRACT[self.name]
        kinds = {c: values.TYPES[contract.get(c, _TEXT).kind] for c in columns}
        chosen = {c: t[c] if c in self.source.columns else ibis.null(kind) for c, kind in kinds.items()}
        cases = [(s.when, i) for i, s in enumerate(self.stops, 1)]
        stop = ibis.cases(*cases, else_=0).cast("int64") if cases else ibis.literal(0, "int64")
        return t.select("_row", "_copy", **chosen, _source=ibis.literal(self.index, "int64"), _stop=stop)

    def counted(self) -> ir.Table:
        """Count in one row: rows read, rows kept by the filters, and distinct ids (0: ids can repeat).

        If ids are row numbers, or there are none, distinct whole rows are counted.
        """
        raw, given = self.export.raw, self.source.columns.get(ID.get(self.name, ""))
        if given is not None and given.row_number is None:
            cell = self.export.own(given.column) if not given.codes else None
            distinct = ibis.literal(0) if cell is None else cell.nunique()
            counts = raw.agg(read=raw.count(), ids=distinct)
        else:
            cells = raw.drop("_row").distinct()
            counts = raw.agg(read=raw.count()).cross_join(cells.agg(ids=cells.count()))
        kept = self.export.kept
        both = self.source.filter and self.source.one_row_per
        counts = counts.cross_join(kept.agg(kept=kept.count())) if both else counts.mutate(kept=counts.read)
        return counts.select(
            "read",
            "kept",
            "ids",
            table=ibis.literal(self.name),
            source=ibis.literal(self.index, "int64"),
        )


def check_mapping(settings: Settings) -> None:
    """Check the names in company.yaml against the contract. Errors: InputError with the closest known key."""
    for name, contract in CONTRACT.items():
        sources = getattr(settings.sources, name) or []
        for i, source in enumerate(sources):
            path = f"sources.{name}{f'[{i}]' if len(sources) > 1 else ''}"
            _check_columns(name, contract, source, path)
        numbered = [s.columns[ID[name]].row_number for s in sources if name in ID]
        numbered = [n for n in numbered if n is not None]
        if len(set(numbered)) < len(numbered):
            raise _wrong(f"sources.{name}: two sources have the same row_number", "Give each row_number its own text.")
    customers = settings.sources.customers
    texts = {c for s in customers for c in s.columns if c not in CONTRACT["customers"]} | {"left_reason"}
    texts &= {c for s in customers for c in s.columns}
    for segment in settings.segments:
        if segment not in texts:
            raise _wrong(
                f"segments: {segment!r} is not a text column of customers", did_you_mean(segment, sorted(texts))
            )
    if settings.involuntary_reasons and not any("left_reason" in s.columns for s in customers):
        raise _wrong("involuntary_reasons need customers.left_reason", "Map left_reason, or leave the key out.")


def _check_columns(name: str, contract: dict[str, Field], source: Source, path: str) -> None:
    mapped, lower = source.columns, [c.lower() for c in [*contract, *(c for c in source.columns if c not in contract)]]
    if twice := {c for c in lower if lower.count(c) > 1}:
        raise _wrong(
            f"{path}.columns: {min(twice)!r} appears in two spellings",
            "Names must differ in more than capital letters.",
        )
    for column, f in contract.items():
        if f.required and column not in mapped:
            extras = [c for c in mapped if c not in contract]
            close = difflib.get_close_matches(column, extras, 1, 0.6)
            hint = f"Is {close[0]!r} meant? " if close else ""
            raise _wrong(f"{path}.columns.{column} is missing", f"{hint}Write the export's column: {column}: ...")
    for column, given in mapped.items():
        key = f"{path}.columns.{column}"
        if column not in contract:
            free = [c for c in contract if c not in mapped]
            close = difflib.get_close_matches(column, free, 1, 0.85)
            if close or name in WITHOUT_EXTRAS:
                raise _wrong(f"{key} is an unknown key", did_you_mean(column, list(contract)))
            if column.startswith("_") or column in ("fold", ""):
                raise _wrong(f"{key} is a reserved name", "Choose another name.")
        kind = contract.get(column, _TEXT).kind
        if given.after is not None and (kind != "moment" or contract.get(given.after, _TEXT).kind != "moment"):
            raise _wrong(f"{key}: after counts from one moment to another", "Name one of opened_at, asked_at, ...")
        if given.after is not None and (given.after not in mapped or mapped[given.after].after is not None):
            raise _wrong(
                f"{key}: after names {given.after!r}, which has no date of its own", "Map it to a date column."
            )
        if given.no_answer and column != "score":
            raise _wrong(f"{key}: no_answer belongs to score", "For other columns list the text under blank:.")
        if given.later_than is not None and kind != "text":
            raise _wrong(f"{key}: later_than gives yes or no", "Use it for a column of text, such as late:.")
        if given.row_number is not None and kind not in ("id", "text"):
            raise _wrong(f"{key}: a row number can only be an id", "Name an export column.")
    if source.one_row_per and (mapped.get(source.one_row_per.column) or Column(value="")).column is None:
        raise _wrong(
            f"{path}.one_row_per names {source.one_row_per.column!r}, which is not mapped to an export column",
            did_you_mean(source.one_row_per.column, list(mapped), "mapped"),
        )
    if ("tenure" in mapped) != (source.tenure_unit is not None):
        raise _wrong(f"{path}: tenure and tenure_unit belong together", "Write tenure_unit: days, months or years.")
    if "tenure" in mapped and "left" not in mapped and "left_on" not in mapped:
        raise _wrong(f"{path}: tenure without left says nothing about leaving", "Map left: (yes or no) as well.")


def _wrong(problem: str, remedy: str) -> InputError:
    return InputError(problem, file="company.yaml", remedy=remedy)


def build(name: str, source: Source, index: int, settings: Settings, load: Load, copies: bool, duckdb: bool) -> Rows:
    """Return one export as rows of the table ``name``; ``copies``: mark rows that repeat an earlier one."""
    export = Prepared(source, load, copies, duckdb)
    return _Typing(name, source, settings, export, duckdb).rows(index)


class _Typing:
    """Turns an export into the columns of the contract and collects the conditions that stop the intake."""

    def __init__(self, name: str, source: Source, settings: Settings, export: Prepared, duckdb: bool) -> None:
        self.name, self.source, self.settings, self.export, self.duckdb = name, source, settings, export, duckdb
        self.rows_in, self.contract = export.table, CONTRACT[name]

    def rows(self, index: int) -> Rows:
        """Return the typed rows with their stops."""
        direct = {c: g for c, g in self.source.columns.items() if g.after is None}
        later = {c: g for c, g in self.source.columns.items() if g.after is not None}
        table = self.rows_in.mutate(**{k: v for c, g in direct.items() for k, v in self._typed(c, g).items()})
        table = table.mutate(**{c: self._moved(table, c, g) for c, g in later.items()}) if later else table
        stops = [s for c, g in self.source.columns.items() if g.row_number is None for s in self._stops(table, c, g)]
        stops += self._scale_stops(table) if self.name == "responses" else []
        return Rows(self.name, self.source, index, self.export, table, stops)

    def _key(self, column: str) -> str:
        return f"sources.{self.name}.columns.{column}"

    def _how(self, given: Column) -> Format:
        own = {k: getattr(given, k) for k in ("decimal", "thousands", "dates") if getattr(given, k) is not None}
        return self.source.model_copy(update=own)

    def _typed(self, column: str, given: Column) -> dict[str, ir.Value]:
        """Return the column and, if codes explain some of its values, ``column?``: this value is explained."""
        kind, key = self.contract.get(column, _TEXT).kind, self._key(column)
        if given.value is not None:
            return {column: _literal(given.value, kind, key)}
        if given.row_number is not None:
            if self.settings.database is not None:
                raise _wrong(f"{key}: a table of a database has no row numbers", "Name a column that holds an id.")
            return {column: ibis.literal(given.row_number) + self.rows_in._row.cast("string")}
        cell = self.export.find(given.column, key, self.rows_in)
        if given.later_than is not None:
            other = self.export.find(given.later_than, key, self.rows_in)
            first, second = (values.typed(c, "moment", self._how(given), self.duckdb) for c in (cell, other))
            return {column: ibis.cases((first > second, "yes"), (first <= second, "no"))}
        value = values.typed(cell, kind, self._how(given), self.duckdb)
        cases = self._cases(given, cell, value, kind, key)
        if cases:
            explained = reduce(or_, [c for c, _ in cases]).fill_null(False)
            otherwise = given.otherwise is not None
            value = ibis.cases(*cases, else_=_literal(given.otherwise, kind, key) if otherwise else value)
            return {column: value, f"{column}?": ibis.literal(True) if otherwise else explained}
        return {column: value.lower() if (self.name, column) in _LOWER_CASE else value}

    def _cases(
        self, given: Column, cell: ir.Value, value: ir.Value, kind: str, key: str
    ) -> list[tuple[ir.BooleanValue, ir.Scalar]]:
        """Return the cases of codes, no_answer and otherwise; a blank stays blank unless mapped."""
        written, empty, cases = values.text(cell), ibis.null(values.TYPES[kind]), []
        for code, meaning in given.codes.items():
            is_code = cell.isnull() if code.strip() in ("", *self.source.blank) else written == code.strip()
            cases.append((is_code, _literal(meaning, kind, f"{key}.codes")))
        if given.no_answer:
            texts = [c.strip() for c in given.no_answer]
            numbers = [float(t) for t in texts if _is_number(t)]
            cases.append((written.isin(texts), empty))
            cases += [(value.isin(numbers), empty)] if numbers else []
        return [*cases, (cell.isnull(), empty)] if given.otherwise is not None else cases

    def _days(self, table: ir.Table, column: str, given: Column) -> ir.FloatingValue:
        """Return a duration in days."""
        cell = self.export.find(given.column, self._key(column), table)
        per_day = {"minutes": 1440, "hours": 24, "days": 1}[given.unit]
        return values.typed(cell, "number", self._how(given), self.duckdb) / per_day

    def _moved(self, table: ir.Table, column: str, given: Column) -> ir.TimestampValue:
        days = self._days(table, column, given)
        seconds = (days.abs() <= MAX_DAYS).ifelse((days * 86_400).round(), ibis.null("float64")).cast("int64")
        return table[given.after] + seconds.as_interval("s")

    def _stops(self, table: ir.Table, column: str, given: Column) -> list[Stop]:
        f, how, value, key = self.contract.get(column, _TEXT), self._how(given), table[column], self._key(column)
        fixed = given.column is None
        cell = ibis.literal(given.value) if fixed else self.export.find(given.column, key, table)
        alias = "" if fixed else self.export.place(given.column, key)[0]
        place, made = key if fixed else given.column, []

        def stop(when: ir.BooleanValue, problem: str, remedy: str | Callable[[str], str]) -> None:
            made.append(Stop(when, problem, place, cell, remedy if callable(remedy) else lambda _: remedy))

        if given.later_than is not None:
            for name in (given.column, given.later_than):
                date = self.export.find(name, key, table)
                bad = date.notnull() & values.typed(date, "moment", how, self.duckdb).isnull()
                made.append(
                    Stop(bad, f"Not a {values.NOUNS['moment']}", name, date, partial(values.remedy, "moment", how=how))
                )
            return made
        if given.after is not None:
            days = self._days(table, column, given)
            stop(cell.notnull() & days.isnull(), "Not a number", lambda v: values.remedy("number", v, how))
            stop(days.abs() > MAX_DAYS, f"More than a century of {given.unit}", f"Check the unit of {key}.")
        elif f.kind in values.NOUNS and not fixed and not values.always_fits(cell, f.kind):
            bad = cell.notnull() & value.isnull()
            bad = bad & ~table[f"{column}?"] if f"{column}?" in table.columns else bad
            stop(bad, f"{column} is not a {values.NOUNS[f.kind]}", lambda v: values.remedy(f.kind, v, how))
        if f.filled:
            hint = f", or has no match in {self.export.labels[alias]}" if alias else ""
            leave = f"filter: {{column: {given.column}, is_not: ['']}}"
            stop(value.isnull(), f"{column} is empty{hint}", f"Fill it in, or leave such rows out with {leave}.")
        if f.kind in ("date", "moment"):
            years = f"{YEARS[0].year} to {YEARS[1].year}"
            cure = "Correct it, or list it under blank: if it means no date."
            stop(~value.between(*YEARS), f"{column} lies outside the years {years}", cure)
        if f.one_of:
            known = ", ".join(f.one_of)
            stop(
                value.notnull() & ~value.isin(f.one_of),
                f"{column} has an unknown word",
                lambda v: f"Map it with codes: {{{v}: {f.one_of[0]}}}; allowed: {known}.",
            )
        what = "whole number" if f.whole else "share"
        span = f"Write it as a {what} from {f.least:g} to {f.most:g}." if f.most is not None else ""
        if f.least is not None:
            stop(value < f.least, f"{column} is below {f.least:g}", span or "Correct it in the export.")
        if f.most is not None:
            stop(value > f.most, f"{column} is above {f.most:g}", span)
        if f.above is not None:
            more = f"Write a {'whole ' if f.whole else ''}number above {f.above:g}."
            stop(value <= f.above, f"{column} is not above {f.above:g}", more)
        if f.whole:
            stop(value != value.floor(), f"{column} is not a whole number", span or "Round it.")
        return made

    def _scale_stops(self, table: ir.Table) -> list[Stop]:
        """The metric must be declared; a score must be a whole number of its scale."""
        metric, score, declared = self.source.columns["metric"], self.source.columns["score"], self.settings.metrics
        known, stops = list(declared), []
        if metric.value is not None and metric.value not in declared:
            raise _wrong(
                f"{self._key('metric')}: {metric.value!r} is not declared under metrics",
                f"Declare its scale. {did_you_mean(metric.value, known, 'declared')}",
            )
        if metric.column is not None:
            cell = self.export.find(metric.column, self._key("metric"), table)
            declare = f"Declare it under metrics:, map it with codes: or filter it out. Declared: {', '.join(known)}."
            unknown = ~table.metric.isin(known) if known else ibis.literal(True)
            stops.append(Stop(unknown, "The metric is not declared", metric.column, cell, lambda _: declare))
        if score.column is None:
            raise _wrong(f"{self._key('score')} is not taken from the export", "Name the column with the answers.")
        cell = self.export.find(score.column, self._key("score"), table)
        for name, rule in declared.items():
            low, high = rule.scale
            outside = (table.metric == name) & ((table.score < low) | (table.score > high))
            problem = f"The {name} score is outside its declared scale of {low} to {high}"
            stops.append(Stop(outside, problem, score.column, cell, _scale_remedy(name)))
        single = "Give individual answers, not averages."
        broken = table.score != table.score.floor()
        return [*stops, Stop(broken, "The score is not a whole number", score.column, cell, lambda _: single)]


def _literal(given: str, kind: str, key: str) -> ir.Scalar:
    try:
        return values.literal(given, kind)
    except ValueError:
        noun = values.NOUNS[kind]
        raise _wrong(f"{key}: {given!r} is not a {noun}", "Write dates as 2026-01-31, numbers as 1234.5.") from None


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _scale_remedy(metric: str) -> Callable[[str], str]:
    def remedy(value: str) -> str:
        general = f"Correct metrics.{metric}.scale, or list a code that means no answer under score: no_answer:."
        if metric == "nps" and _is_number(value) and (float(value) < 0 or 10 < float(value) <= 100):
            return f"If these are results from -100 to 100, give the 0-10 answers per person instead. {general}"
        return general

    return remedy
