"""The contract of the six tables, and one export as rows of it.

Expressions alone turn an export into a table of the contract: names, codes, dates, amounts, lines of one order.
Possible faults in values are a list of conditions that stop the intake (``Stop``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import reduce
from math import isfinite
from operator import or_

import ibis
import ibis.expr.types as ir

from cxlib.errors import InputError
from cxlib.intake import values
from cxlib.intake.exports import Exports, Prepared, whole
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
_OWN_ID = Field("id", filled=True)
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
        "currency": _TEXT,
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
        "response_id": _OWN_ID,
        "customer_id": _must("id"),
        "metric": _must("text"),
        "asked_at": _MOMENT,
        "answered_at": _MOMENT,
        "score": Field("score", required=True),
        "touchpoint": _TEXT,
        "channel": _TEXT,
        "agent": _TEXT,
        "wave": _TEXT,
        "comment": _TEXT,
        "contact_id": _ID,
        "weight": _COUNTED,
    },
    "orders": {
        "order_id": _OWN_ID,
        "customer_id": _must("id"),
        "ordered_at": _must("moment"),
        "revenue": _must("number"),
        "kind": Field("text", one_of=("new", "renewal", "upsell", "cross_sell")),
        "margin": _NUMBER,
        "currency": _TEXT,
    },
    "contacts": {
        "contact_id": _OWN_ID,
        "customer_id": _must("id"),
        "opened_at": _must("moment"),
        "first_response_at": _MOMENT,
        "resolved_at": _MOMENT,
        "topic": _TEXT,
        "agent": _TEXT,
        "cost": _NUMBER,
        "reopened_at": _MOMENT,
        "currency": _TEXT,
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
MONEY = ("revenue", "margin", "monthly_revenue", "cost")
SIGNS = {"€": "EUR", "£": "GBP", "₹": "INR"}  # of one currency; $, ¥ and kr are of several
MAX_MONEY = 1e12  # a larger amount is a typing mistake
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
    remarks: tuple[tuple[str, str], ...] = ()

    def typed(self, columns: Iterable[str]) -> ir.Table:
        """Return ``columns``, and _source, _row, _copy, _stop (0, or the number of the stop)."""
        t, contract = self.table, CONTRACT[self.name]
        kinds = {c: values.TYPES[contract.get(c, _TEXT).kind] for c in columns}
        given = {*self.source.columns, ID.get(self.name)}
        chosen = {c: t[c] if c in given else ibis.null(kind) for c, kind in kinds.items()}
        cases = [(s.when, i) for i, s in enumerate(self.stops, 1)]
        stop = ibis.cases(*cases, else_=0).cast("int64") if cases else ibis.literal(0, "int64")
        unasked = {"_unasked": t._unasked if "_unasked" in t.columns else ibis.literal(False)}
        unasked = unasked if self.name == "responses" else {}
        return t.select("_row", "_copy", **chosen, **unasked, _source=ibis.literal(self.index, "int64"), _stop=stop)

    def refuse_first(self) -> None:
        """Raise the error of the first row that a stop holds for; used where rows are added up afterwards."""
        cases = [(s.when.fill_null(False), i) for i, s in enumerate(self.stops, 1)]
        found = self.table.mutate(_stop=ibis.cases(*cases, else_=0)) if cases else self.table.mutate(_stop=0)
        first = found.filter(found._stop > 0).order_by("_row").limit(1).to_pandas()
        if len(first):
            wrong, row = self.stops[int(first["_stop"].iloc[0]) - 1], whole(first["_row"].iloc[0])
            value = (
                self.table.filter(self.table._row == row).select(v=wrong.shown.cast("string")).to_pandas()["v"].iloc[0]
            )
            raise self.error(f"{self.name}: {wrong.problem}", row, wrong.column, value, wrong.remedy(value))

    def error(self, problem: str, row: object, column: str | None, value: object, remedy: str) -> InputError:
        """Return the error of a cell, with the file of its row."""
        file, row = self.export.exports.where(self.source, row)
        return InputError(problem, file=file, row=row, column=column, value=value, remedy=remedy)


def by_content(name: str, mapped: Collection[str]) -> list[str]:
    """Return the columns that order rows with one id, dates first: a database has no order of rows."""
    known = [*CONTRACT[name], *sorted(set(mapped) - set(CONTRACT[name]))]
    known = [c for c in known if c in mapped and c != ID.get(name)]
    return sorted(known, key=lambda c: CONTRACT[name].get(c, _TEXT).kind not in ("date", "moment"))


def check_mapping(settings: Settings) -> None:
    """Check the names in company.yaml against the contract. Errors: InputError with the closest known key."""
    for name, contract in CONTRACT.items():
        sources = getattr(settings.sources, name) or []
        for i, source in enumerate(sources):
            path = f"sources.{name}{f'[{i}]' if len(sources) > 1 else ''}"
            _check_columns(name, contract, source, path)
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
        if (given.no_answer or given.not_asked) and column != "score":
            raise _wrong(f"{key}: no_answer and not_asked belong to score", "For others list the text under blank:.")
        if (given.times or given.minus or given.unit == "cents") and kind != "number":
            raise _wrong(f"{key}: times, minus and unit: cents belong to numbers", "Leave them out.")
    if source.repeats and ID[name] not in mapped:
        raise _wrong(f"{path}: repeats needs the id that repeats", f"Map {ID[name]}.")
    if ("tenure" in mapped) != (source.tenure_unit is not None):
        raise _wrong(f"{path}: tenure and tenure_unit belong together", "Write tenure_unit: days, months or years.")
    if "tenure" in mapped and "left" not in mapped and "left_on" not in mapped:
        raise _wrong(f"{path}: tenure without left says nothing about leaving", "Map left: (yes or no) as well.")


def _wrong(problem: str, remedy: str) -> InputError:
    return InputError(problem, file="company.yaml", remedy=remedy)


def counted(name: str, source: Source, index: int, exports: Exports) -> ir.Table:
    """Count in one row: rows read and distinct ids (0: ids can repeat); without ids, distinct whole rows."""
    export, given = Prepared(source, exports, copies=False), source.columns.get(ID.get(name, ""))
    raw = export.raw
    if given is not None:
        distinct = ibis.literal(0)
        if not given.codes and given.column is not None:
            distinct = export.own(given.column, f"sources.{name}.columns.{ID[name]}").nunique()
        counts = raw.agg(read=raw.count(), ids=distinct)
    elif name in ID:
        counts = raw.agg(read=raw.count(), ids=raw.count())
    else:
        cells = raw.drop("_row").distinct()
        counts = raw.agg(read=raw.count()).cross_join(cells.agg(ids=cells.count()))
    return counts.mutate(table=ibis.literal(name), source=ibis.literal(index, "int64"))


def build(
    name: str, source: Source, index: int, settings: Settings, as_of: date, exports: Exports, copies: bool
) -> Rows:
    """Return one export as rows of the table ``name``; ``copies``: mark rows that repeat an earlier one."""
    export = Prepared(source, exports, copies and source.repeats is None)
    return _Typing(name, source, settings, as_of, export).rows(index)


class _Typing:
    """Turns an export into the columns of the contract and collects the conditions that stop the intake."""

    def __init__(self, name: str, source: Source, settings: Settings, as_of: date, export: Prepared) -> None:
        self.name, self.source, self.settings, self.as_of, self.export = name, source, settings, as_of, export
        self.rows_in, self.contract = export.table, CONTRACT[name]
        self.odd: dict[tuple[str, str], bool] = {}  # (kind, column): a cell has a rare form
        self.zones: dict[str, tuple[str, str]] = {}  # the first and last zone of a column of moments
        self._look()

    def rows(self, index: int) -> Rows:
        """Return the typed rows with their stops."""
        direct = {c: g for c, g in self.source.columns.items() if g.after is None}
        later = {c: g for c, g in self.source.columns.items() if g.after is not None}
        table = self.rows_in.mutate(**{k: v for c, g in direct.items() for k, v in self._typed(c, g).items()})
        table = table.mutate(**self._one_clock(table))
        table = table.mutate(**{c: self._moved(table, c, g) for c, g in later.items()}) if later else table
        if self.name in ID and ID[self.name] not in self.source.columns:
            table = table.mutate(**{ID[self.name]: ibis.literal(f"{index}-") + table._row.cast("string")})
        table, stops = self._converted(table)
        stops += [s for c, g in self.source.columns.items() for s in self._unread(table, c, g)]
        if self.source.repeats:
            Rows(self.name, self.source, index, self.export, table, [*stops, *self._mixed(table)]).refuse_first()
            table, stops = self._together(table), []
        stops += [s for c, g in self.source.columns.items() for s in self._broken(table, c, g)]
        stops += self._scale_stops(table) if self.name == "responses" else []
        return Rows(self.name, self.source, index, self.export, table, stops, tuple(self._remarks()))

    def _remarks(self) -> Iterator[tuple[str, str]]:
        """Yield what readers must know of times: whose clock they are on, and which count business hours."""
        moments = self._zoned()
        known = [c for c, written in moments.items() if any(self.zones[written])]
        if known:
            lacks = sorted(set(moments) - set(known))
            said = f"{self.source.label}: days are those of {known[0]}'s own clock; differences use the time zones."
            said += f" {', '.join(lacks)} has no zone: differences can be hours off." * bool(lacks)
            yield "times with zones", said
        for column, given in self.source.columns.items():
            if self.contract.get(column, _TEXT).kind == "moment" and "business" in (given.column or "").lower():
                yield "business hours", f"{column} counts business hours: it is not elapsed time ({given.column})."

    def _zoned(self) -> dict[str, str]:
        """Return the moments that are columns of text, with their columns in the export."""
        moments = {c: self.source.columns.get(c) for c, f in self.contract.items() if f.kind == "moment"}
        return {c: g.column for c, g in moments.items() if g and g.column in self.zones and g.after is None}

    def _look(self) -> None:
        """Find, in one query, the columns that hold rare forms; refuse amounts in several currencies."""
        asked, money, raw = {}, set(), self.export.raw
        for column, given in self.source.columns.items():
            kind = self.contract.get(column, _TEXT).kind
            for written in filter(None, (given.column, given.times, given.minus)):
                self.export.find(written, self._key(column))
                if raw[written].type().is_string() and (kind, written) not in asked:
                    asked[kind, written] = values.rare(raw[written], kind, self._how(given), self.source.blank)
                money |= {written} if column in MONEY else set()
        flat = {f"{k}:{w}:{what}": v for (k, w), each in asked.items() for what, v in each.items()}
        found = raw.agg(**flat).to_pandas().iloc[0].to_dict() if flat else {}
        for (kind, written), each in asked.items():
            seen = {what: found[f"{kind}:{written}:{what}"] for what in each}
            if "zone" in seen:
                self.zones[written] = (seen["zone"] or "", seen["last zone"] or "")
                self.odd[kind, written] = not values.bare_zone(self.zones[written])
            else:
                self.odd[kind, written] = bool(seen.get("odd"))
            if written in money and seen.get("sign") and "currency" not in self.source.columns:
                self._one_sign(written, seen["sign"], seen["last sign"])
        self._one_currency()

    def _one_sign(self, written: str, first: str, last: str) -> None:
        """Refuse amounts with two signs of a currency, or with the sign of another than the company's."""
        own = self.settings.currency
        meant = SIGNS.get(first, first if re.fullmatch("[A-Z]{3}", first) else own)
        if first == last and (own is None or meant == own.upper()):
            return
        raise InputError(
            f"Amounts with {'several signs' if first != last else 'the sign ' + first} of a currency",
            file=self.source.label,
            column=written,
            value=f"{first}, {last}" if first != last else first,
            remedy=f"Give amounts in {own or 'one currency (currency:)'}, or use sql: to bring the sign into a column "
            "of its own, map it as currency, and declare exchange_rates:.",
        )

    def _one_currency(self) -> None:
        """Refuse amounts beside a column of currencies that is not mapped, unless all are in the company's own."""
        if "currency" in self.source.columns or not set(MONEY) & set(self.source.columns):
            return
        for column in (c for c in self.export.columns if values.CURRENCY.search(c.lower())):
            codes = self.export.raw.select(c=self.export.own(column, "currency").upper())
            seen = codes.c.value_counts(name="n").to_pandas()
            seen = sorted(seen.dropna()["c"])
            if seen and seen != [(self.settings.currency or seen[0]).upper()]:
                raise InputError(
                    "The amounts are not all in the company's currency",
                    file=self.source.label,
                    column=column,
                    value=", ".join(seen[:5]),
                    remedy=f"Map the column: currency: {column}; and say what one unit is worth in "
                    f"{self.settings.currency or 'currency:'}: exchange_rates: {{{seen[0]}: ...}}.",
                )

    def _converted(self, table: ir.Table) -> tuple[ir.Table, list[Stop]]:
        """Return the table with its amounts in the company's currency, and the stop for codes without a rate."""
        if "currency" not in self.source.columns:
            return table, []
        if self.settings.currency is None:
            raise _wrong(f"{self._key('currency')} needs a currency to convert to", "Write for instance currency: GBP.")
        rates = {k.upper(): v for k, v in self.settings.exchange_rates.items()}
        rates[self.settings.currency.upper()] = 1.0
        given, key = self.source.columns["currency"], self._key("currency")
        rate = table.currency.upper().cases(*rates.items(), else_=ibis.null("float64"))
        table = table.mutate(_rate=rate, **{c: table[c] * rate for c in MONEY if c in self.source.columns})
        cell = ibis.literal(given.value) if given.column is None else self.export.find(given.column, key, table)
        remedy = f"Add it to exchange_rates: the value of one unit in {self.settings.currency}."
        unknown = Stop(
            table._rate.isnull(), "The currency has no exchange rate", given.column or key, cell, lambda _: remedy
        )
        return table, [unknown]

    def _one_clock(self, table: ir.Table) -> dict[str, ir.Value]:
        """Return the later moments of a row on the clock of its first: days stay local, differences are right."""
        written = self._zoned()
        if len({zone for w in written.values() for zone in self.zones[w]}) < 2:
            return {}  # no zones, or one and the same
        zones = {c: values.zone(self.export.find(w, self._key(c), table)) for c, w in written.items()}
        first, *others = zones
        shifts = {c: (zones[first] - zones[c]).fill_null(0).cast("int64").as_interval("m") for c in others}
        return {c: table[c] + shift for c, shift in shifts.items()}

    def _mixed(self, table: ir.Table) -> list[Stop]:
        """Return the stop for lines of one order that name different customers."""
        written = self.source.columns["customer_id"].column
        if self.source.repeats != "sum" or written is None:
            return []
        differ = table.customer_id != table.customer_id.min().over(ibis.window(group_by="order_id"))
        remedy = "Correct it, or make the id unique: sql: select ... || '-' || ... as order_id."
        cell = self.export.find(written, self._key("customer_id"), table)
        return [Stop(differ, "The lines of one order_id name several customers", written, cell, lambda _: remedy)]

    def _together(self, table: ir.Table) -> ir.Table:
        """Return one row per id: the lines of an order added up, or the contracts of a customer as one span."""
        key, spans, mapped = ID[self.name], self.source.repeats == "span", set(self.source.columns)
        each, as_of = ibis.window(group_by=key), ibis.literal(self.as_of)
        if spans and "joined_on" in mapped:  # of contracts that start later nothing is known
            later = (table.joined_on > as_of).fill_null(False)
            table = table.mutate(_later=later).mutate(_none=lambda t: t._later.min().over(each))
            table = table.filter(~table._later | table._none).drop("_later", "_none")
        order = [(ibis.desc if spans else ibis.asc)(table[c]) for c in by_content(self.name, mapped)]
        table = table.mutate(_rank=ibis.row_number().over(ibis.window(group_by=key, order_by=order)))
        # the first value there is, of the first line or of the latest contract
        rules = {c: table[c].argmin(table[c].isnull().ifelse(ibis.null("int64"), table._rank)) for c in table.columns}
        if not spans:
            rules |= {c: table[c].sum() for c in ("revenue", "margin") if c in mapped}
        if spans and "left_on" in mapped:
            table = table.mutate(_open=table.left_on.isnull() | (table.left_on > as_of))
            table = table.mutate(_any=table._open.max().over(each), _last=table.left_on.max().over(each))
            table = table.mutate(_last=table._last == table.left_on)
            runs = table._any.ifelse(table._open, table._last)
            rules["left_on"] = table._any.max().ifelse(ibis.null("date"), table.left_on.max())
            if "left_reason" in mapped:
                rules["left_reason"] = table.left_reason.max(where=table._last & ~table._any)
        else:
            runs = None
        if spans:
            rules |= {c: table[c].min() for c in ("joined_on", "left") if c in mapped}
            rules |= {c: table[c].sum(where=runs) for c in ("monthly_revenue",) if c in mapped}
        grouped = {c: r for c, r in rules.items() if c not in (key, "_rank", "_row", "_copy")}
        return table.group_by(key).agg(_row=table._row.min(), _copy=ibis.literal(False), **grouped)

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
        cell = self.export.find(given.column, key, self.rows_in)
        value = self._read(given.column, key, given, kind, self.rows_in)
        if given.times:
            value = value * self._read(given.times, key, given, kind, self.rows_in)
        if given.minus:
            value = value - self._read(given.minus, key, given, kind, self.rows_in).fill_null(0)
        value = value / 100 if given.unit == "cents" else value
        more = {"_unasked": self._among(given.not_asked, cell, value)} if given.not_asked else {}
        if cases := self._cases(given, cell, value, kind, key):
            explained = reduce(or_, [c for c, _ in cases]).fill_null(False)
            return {column: ibis.cases(*cases, else_=value), f"{column}?": explained, **more}
        return {column: value.lower() if (self.name, column) in _LOWER_CASE else value}

    def _read(self, written: str, key: str, given: Column, kind: str, table: ir.Table) -> ir.Value:
        cell = self.export.find(written, key, table)
        return values.typed(cell, kind, self._how(given), self.odd.get((kind, written), False))

    def _cases(
        self, given: Column, cell: ir.Value, value: ir.Value, kind: str, key: str
    ) -> list[tuple[ir.BooleanValue, ir.Scalar]]:
        """Return the cases of codes, no_answer and not_asked; a blank stays blank unless mapped."""
        written, cases = values.text(cell), []
        for code, meaning in given.codes.items():
            is_code = cell.isnull() if code.strip() in ("", *self.source.blank) else written == code.strip()
            cases.append((is_code, _literal(meaning, kind, f"{key}.codes")))
        if texts := [*given.no_answer, *given.not_asked]:
            cases.append((self._among(texts, cell, value), ibis.null(values.TYPES[kind])))
        return cases

    def _among(self, texts: list[str], cell: ir.Value, value: ir.Value) -> ir.BooleanValue:
        """Tell whether a cell of scores holds one of these texts or numbers."""
        texts = [t.strip() for t in texts]
        found = values.text(cell).isin(texts) | value.isin([float(t) for t in texts if _is_number(t)])
        blank = cell.isnull() if {"", *self.source.blank} & set(texts) else ibis.literal(False)
        return found.fill_null(False) | blank

    def _days(self, table: ir.Table, column: str, given: Column) -> ir.FloatingValue:
        """Return a duration in days."""
        cell = self.export.find(given.column, self._key(column), table)
        per_day = {"minutes": 1440, "hours": 24, "days": 1, "hh:mm:ss": 86_400}[given.unit]
        days = values.typed(cell, "number", self._how(given)) / per_day
        if not cell.type().is_string():
            return days
        parts = [cell.re_extract(r"^(\d+):(\d{2}):(\d{2})$", i).try_cast("int64") for i in (1, 2, 3)]
        clock = (parts[0] * 3600 + parts[1] * 60 + parts[2]) / 86_400
        return clock if given.unit == "hh:mm:ss" else ibis.coalesce(clock, days)

    def _moved(self, table: ir.Table, column: str, given: Column) -> ir.TimestampValue:
        days = self._days(table, column, given)
        seconds = (days.abs() <= MAX_DAYS).ifelse((days * 86_400).round(), ibis.null("float64")).cast("int64")
        return table[given.after] + seconds.as_interval("s")

    def _unread(self, table: ir.Table, column: str, given: Column) -> list[Stop]:
        """Return the stops for cells that are not of the kind of the column."""
        kind, how, key, made = self.contract.get(column, _TEXT).kind, self._how(given), self._key(column), []
        if given.column is None:
            return []
        if given.after is not None:
            cell, days = self.export.find(given.column, key, table), self._days(table, column, given)
            long, unit = f"More than a century of {given.unit}", f"Check the unit of {key}."
            return [
                Stop(
                    cell.notnull() & days.isnull(),
                    "Not a number",
                    given.column,
                    cell,
                    lambda v: values.remedy("number", v, how),
                ),
                Stop(days.abs() > MAX_DAYS, long, given.column, cell, lambda _: unit),
            ]
        for written in filter(None, (given.column, given.times, given.minus)):
            cell = self.export.find(written, key, table)
            if kind in values.NOUNS and not values.always_fits(cell, kind):
                read = self._read(written, key, given, kind, table) if given.times or given.minus else table[column]
                bad = cell.notnull() & read.isnull()
                bad = bad & ~table[f"{column}?"] if f"{column}?" in table.columns else bad
                problem = f"{column} is not a {values.NOUNS[kind]}"
                made.append(Stop(bad, problem, written, cell, self._remedy(kind, bad, cell, table, how)))
            if written == given.times:
                lacks = self.export.find(given.column, key, table).notnull() & cell.isnull()
                made.append(Stop(lacks, f"{column} has nothing to multiply", written, cell, lambda _: "Fill it in."))
        return made

    def _broken(self, table: ir.Table, column: str, given: Column) -> list[Stop]:
        """Return the stops for values that break a rule of the contract."""
        f, value, key = self.contract.get(column, _TEXT), table[column], self._key(column)
        cell = ibis.literal(given.value) if given.column is None else self.export.find(given.column, key, table)
        place, made = given.column or key, []

        def stop(when: ir.BooleanValue, problem: str, remedy: str | Callable[[str], str]) -> None:
            made.append(Stop(when, problem, place, cell, remedy if callable(remedy) else lambda _: remedy))

        if f.filled:
            leave = f"sql: select * from ... where \"{given.column}\" <> ''"
            stop(value.isnull(), f"{column} is empty", f"Fill it in, or leave such rows out with {leave}.")
        if column in MONEY:
            stop(value.abs() > MAX_MONEY, f"{column} is beyond any amount", "Correct it in the export.")
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

    def _remedy(
        self, kind: str, bad: ir.BooleanValue, cell: ir.Value, table: ir.Table, how: Format
    ) -> Callable[[str], str]:
        if kind != "score":
            return lambda value: values.remedy(kind, value, how)

        def labels(value: str) -> str:
            unread = table.filter(bad).select(v=cell).v.value_counts(name="n").order_by(ibis.desc("n")).limit(12)
            words = ", ".join(f"{v}: ..." for v in unread.to_pandas()["v"])
            return f"Say what each label means: codes: {{{words}}}; or list it under no_answer:."

        return labels

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
            declare = f"Declare it under metrics:, map it with codes:, or leave it out. Declared: {', '.join(known)}."
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
        steps = (table.metric == "nps").ifelse(1, 2)  # half stars are answers; of 0 to 10 there are no halves
        broken = table.score * steps != (table.score * steps).floor()
        return [*stops, Stop(broken, "The score is no step of its scale", score.column, cell, lambda _: single)]


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
