"""The contract of the six tables, and one export as rows of it.

Expressions alone turn an export into a table of the contract: names, codes, dates, amounts, lines of one order.
Possible faults in values are a list of conditions that stop the intake (``Stop``). The columns of the contract and the
words of the faults stand in tables.toml.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from math import isfinite
from operator import gt, le, lt
from typing import Any

import ibis
import ibis.expr.types as ir
from ibis import _

from cxlib.errors import InputError, faults, words
from cxlib.intake import values
from cxlib.intake.exports import Exports, Prepared, whole
from cxlib.intake.models import FILE, did_you_mean
from cxlib.intake.settings import Settings
from cxlib.intake.sources import Column, Source

YEARS = (date(1900, 1, 1), date(2200, 12, 31))
MAX_DAYS = 36_525  # a longer duration is a typing mistake
fault = faults(__file__)
_refuse = partial(fault, file=FILE)
_SAID = words(__file__)


@dataclass(frozen=True)
class Field:
    """A column of the contract. ``filled``: if mapped, no row may be empty. ``above``: a limit that is excluded.

    ``lower``: words are read in lower case. ``cure``: what to do about a number outside its limits.
    """

    kind: str
    required: bool = False
    filled: bool = False
    one_of: Sequence[str] = ()
    lower: bool = False
    least: float | None = None
    most: float | None = None
    above: float | None = None
    whole: bool = False
    cure: str = "Correct it in the export."


CONTRACT = {table: {c: Field(**rule) for c, rule in rules.items()} for table, rules in _SAID["contract"].items()}
ID = _SAID["ids"]  # the column that identifies a row; exposures have none
WITHOUT_EXTRAS = ("initiatives", "exposures")
MONEY = ("revenue", "margin", "monthly_revenue", "cost")
SIGNS = {"€": "EUR", "£": "GBP", "₹": "INR"}  # of one currency; $, ¥ and kr are of several
COSTS = ("cost_upfront", "cost_per_month")  # of initiatives: always in the company's currency
MAX_MONEY = 1e12  # a larger amount is a typing mistake


def field(table: str, column: str) -> Field:
    """Return the rule of a column; one that the contract does not know is a text."""
    return CONTRACT[table].get(column, Field("text"))


def by_content(name: str, mapped: Collection[str]) -> list[str]:
    """Return the columns that order rows with one id, dates first: a database has no order of rows."""
    known = [*(c for c in CONTRACT[name] if c in mapped), *sorted(set(mapped) - set(CONTRACT[name]))]
    return sorted((c for c in known if c != ID.get(name)), key=lambda c: field(name, c).kind not in ("date", "moment"))


def content(rows: ir.Table, column: ir.Value, row: object) -> str | None:
    """Return what a column holds in the row of a number, as text."""
    return rows.filter(rows._row == whole(row)).select(shown=column.cast("string")).to_pandas()["shown"].iloc[0]


@dataclass(frozen=True)
class Stop:
    """A condition on rows that stops the intake. ``shown`` is the content of ``place`` in the export.

    ``name`` and ``facts`` are those of its words; a fact that depends on what is shown is a function of it.
    """

    name: str
    when: ir.BooleanValue
    place: str
    shown: ir.Value
    facts: Mapping[str, object]


def check_mapping(settings: Settings) -> None:
    """Check the names in company.yaml against the contract. Errors: InputError with the closest known key."""
    for name in CONTRACT:
        sources = settings.sources.of(name)
        for i, source in enumerate(sources):
            _check_source(name, source, f"sources.{name}{f'[{i}]' if len(sources) > 1 else ''}")
    mapped = {c for s in settings.sources.customers for c in s.columns}
    texts = sorted(mapped - {c for c in CONTRACT["customers"] if c != "left_reason"})
    for segment in settings.segments:
        _refuse_if({"no_segment": segment not in texts}, segment=segment, known=did_you_mean(segment, texts))
    unit = settings.fold_by
    _refuse_if({"no_unit": unit and unit not in texts}, unit=unit, known=did_you_mean(unit or "", texts))
    _refuse_if({"no_reasons": settings.involuntary_reasons and "left_reason" not in mapped})


def _check_source(name: str, source: Source, path: str) -> None:
    contract, mapped = CONTRACT[name], source.columns
    lower, free = [c.lower() for c in {**contract, **mapped}], [c for c in contract if c not in mapped]
    twice = min((c for c in lower if lower.count(c) > 1), default=None)
    _refuse_if({"two_spellings": twice}, path=path, twice=twice)
    for column in (c for c in free if contract[c].required):
        close = difflib.get_close_matches(column, [c for c in mapped if c not in contract], 1, 0.6)
        raise _refuse("missing", path=path, field=column, hint=f"Is {close[0]!r} meant? " if close else "")
    for column, given in mapped.items():
        kind, extra, after = field(name, column).kind, column not in contract, given.after
        wrong = {
            "unknown_key": extra and (name in WITHOUT_EXTRAS or difflib.get_close_matches(column, free, 1, 0.85)),
            "reserved": extra and (column.startswith("_") or column in ("fold", "")),
            "after_other": after and {kind, field(name, after).kind} != {"moment"},
            "after_dateless": after and (after not in mapped or mapped[after].after),
            "of_scores": (given.no_answer or given.not_asked) and column != "score",
            "of_numbers": (given.times or given.minus or given.unit == "cents") and kind != "number",
        }
        _refuse_if(wrong, key=f"{path}.columns.{column}", known=did_you_mean(column, [*contract]), after=after)
    wrong = {
        "repeats": source.repeats and ID[name] not in mapped,
        "tenure_unit": ("tenure" in mapped) != (source.tenure_unit is not None),
        "tenure": "tenure" in mapped and not {"left", "left_on"} & set(mapped),
    }
    _refuse_if(wrong, path=path, id=ID.get(name))


def _refuse_if(wrong: Mapping[str, object], **facts: object) -> None:
    """Raise the first error of company.yaml whose condition holds."""
    for name in (n for n, holds in wrong.items() if holds):
        raise _refuse(name, **facts)


class _Mapped:
    """A column of a source: its ``rule`` in the contract, and how company.yaml describes it under ``key``.

    ``written`` are the columns of the export that it is made from, ``how`` the form of their values.
    """

    def __init__(self, table: str, source: Source, name: str, given: Column) -> None:
        own = {k: getattr(given, k) for k in ("decimal", "thousands", "dates") if getattr(given, k) is not None}
        self.name, self.given, self.how = name, given, source.model_copy(update=own)
        self.rule, self.key = field(table, name), f"sources.{table}.columns.{name}"
        self.written = [w for w in (given.column, given.times, given.minus) if w]


class Rows:
    """One export in the columns of the contract (``table``), with the conditions that stop the intake (``stops``).

    ``read`` are the rows of the export; ``repeated``: an id, or a whole row without one, can occur twice. ``remarks``
    are notes on its times. Errors: InputError for a column that is not there and amounts in several currencies.
    """

    def __init__(
        self, name: str, source: Source, index: int, settings: Settings, as_of: date, exports: Exports
    ) -> None:
        self.name, self.source, self.index, self.settings, self.as_of = name, source, index, settings, as_of
        self.columns = {c: _Mapped(name, source, c, given) for c, given in source.columns.items()}
        self.export, self.stops = Prepared(source, exports, copies=False), []
        self.explained: dict[str, ir.BooleanValue] = {}  # a value of the column is explained by codes
        self.unasked: ir.BooleanValue = ibis.literal(False)
        self._look()
        if self.repeated:
            self.export = Prepared(source, exports, copies=True)
        self.table, self.remarks = self.export.table, [*self._remarks()]
        self._type()
        for m in self.columns.values():
            self._refuse_unread(m)
        if source.repeats:
            self._refuse_mixed()
            self._refuse_first()
            self.table, self.stops = self._together(), []
        for m in self.columns.values():
            self._refuse_broken(m)
        if name == "responses":
            self._refuse_scores()

    def typed(self, columns: Iterable[str]) -> ir.Table:
        """Return ``columns``, and _source, _row, _copy, _unasked, _dated, _stop (0, or the number of the stop)."""
        t, given = self.table, {*self.source.columns, ID.get(self.name)}
        chosen = {c: t[c] if c in given else ibis.null(values.TYPES[field(self.name, c).kind]) for c in columns}
        added = {"_source": ibis.literal(self.index, "int64"), "_stop": self._stopped()}
        added["_dated"] = ibis.literal(bool(given & {"asked_at", "answered_at"}))
        return t.select("_row", "_copy", "_unasked", **chosen, **added)

    def _stopped(self) -> ir.IntegerValue:
        cases = [(stop.when, i) for i, stop in enumerate(self.stops, 1)]
        return (ibis.cases(*cases, else_=0) if cases else ibis.literal(0)).cast("int64")

    def error(self, stop: Stop, row: object, shown: str | None, more: str = "") -> InputError:
        """Return the error of a row that a stop holds for; ``more``: in how many further ones."""
        facts = {name: fact(shown) if callable(fact) else fact for name, fact in stop.facts.items()}
        facts |= self.place(row) | {"table": self.name, "more": more}
        return fault(stop.name, column=stop.place, value=shown, **facts)

    def place(self, row: object) -> dict[str, object]:
        """Return the file of a row, and its number there."""
        return dict(zip(("file", "row"), self.export.exports.where(self.source, row), strict=True))

    def _cell(self, m: _Mapped, written: str | None = None) -> ir.Value:
        """Return a column (the first one) of the export behind a mapped one; or the value for all rows."""
        written = written or m.given.column
        return ibis.literal(m.given.value) if written is None else self.export.find(written, m.key, self.table)

    def _stop(self, name: str, when: ir.BooleanValue, m: _Mapped, written: str | None = None, **facts: object) -> None:
        written = written or m.given.column
        facts |= {"field": m.name, "key": m.key, "written": written}
        self.stops.append(Stop(name, when, written or m.key, self._cell(m, written), facts))

    # --- a look at the forms of values ----------------------------------------------------------------------------

    def _look(self) -> None:
        """Count rows and ids and find rare forms, in one query; refuse amounts in other currencies."""
        asked, raw = {}, self.export.raw
        for m in self.columns.values():
            for written in m.written:
                self.export.find(written, m.key)
                text = raw[written].type().is_string()
                forms = values.rare(raw[written], m.rule.kind, m.how, self.source.blank) if text else {}
                asked = {f"{m.rule.kind}:{written}:{what}": form for what, form in forms.items()} | asked
        self.found = raw.agg(_read=raw.count(), _ids=self._ids(raw), **asked).to_pandas().iloc[0].to_dict()
        self.read = int(self.found["_read"])
        self.repeated = self.source.repeats is None and bool(self.found["_ids"] < self.read)
        amounts = [m for m in self.columns.values() if m.name in MONEY and "currency" not in self.columns]
        for m, written in ((one, written) for one in amounts for written in one.written):
            if sign := self._seen(m, "sign", written):
                self._one_sign(written, sign, self._seen(m, "last sign", written))
        if amounts:
            self._one_currency()

    def _seen(self, m: _Mapped, what: str, written: str | None = None) -> Any:
        """Return what ``_look`` has found of a column of the export: odd, zone, sign; None if it did not ask."""
        return self.found.get(f"{m.rule.kind}:{written or m.given.column}:{what}")

    def _ids(self, raw: ir.Table) -> ir.IntegerValue:
        """Return the count of distinct ids (0: they can repeat); without ids, of distinct whole rows."""
        m = self.columns.get(ID.get(self.name))
        if m is not None:
            can_repeat = m.given.codes or m.given.column is None
            return ibis.literal(0) if can_repeat else self.export.own(m.given.column, m.key).nunique()
        return raw.count() if self.name in ID else raw.drop("_row").distinct().count().as_scalar()

    def _one_sign(self, written: str, first: str, last: str) -> None:
        """Refuse amounts with two signs of a currency, or with the sign of another than the company's."""
        own, signs = self.settings.currency, "several signs" if first != last else f"the sign {first}"
        meant = SIGNS.get(first, first if re.fullmatch("[A-Z]{3}", first) else own)
        if first != last or (own is not None and meant != own.upper()):
            place = {"file": self.source.label, "column": written, "value": ", ".join(dict.fromkeys((first, last)))}
            raise fault("signs", **place, signs=signs, own=own or "one currency (currency:)")

    def _one_currency(self) -> None:
        """Refuse amounts beside a column of currencies that is not mapped, unless all are in the company's own."""
        own = self.settings.currency
        for column in (c for c in self.export.columns if values.CURRENCY.search(c.lower())):
            codes = self.export.raw.select(c=self.export.own(column, "currency").upper())
            seen = sorted(codes.distinct().to_pandas()["c"].dropna())
            if seen and seen != [(own or seen[0]).upper()]:
                place = {"file": self.source.label, "column": column, "value": ", ".join(seen[:5])}
                raise fault("currencies", **place, own=own or "currency:", code=seen[0])

    @cached_property
    def zones(self) -> dict[str, tuple[str, str]]:
        """The first and last zone of each column of moments with stamps in text, the empty text where there is none."""
        moments = [m for c in CONTRACT[self.name] if (m := self.columns.get(c)) and m.rule.kind == "moment"]
        ends = {m.name: (self._seen(m, "zone"), self._seen(m, "last zone")) for m in moments if not m.given.after}
        return {c: both for c, both in ends.items() if all(isinstance(zone, str) for zone in both)}

    def _remarks(self) -> Iterator[tuple[str, str]]:
        """Yield what readers must know of times: whose clock they are on, and which count business hours."""
        known = [c for c, both in self.zones.items() if any(both)]
        lacks = sorted(set(self.zones) - set(known))
        if known:
            check, said = _SAID["notes"]["some_zones" if lacks else "zones"]
            yield check, said.format(export=self.source.label, first=known[0], others=", ".join(lacks))
        for m in self.columns.values():
            if m.rule.kind == "moment" and "business" in (m.given.column or "").lower():
                check, said = _SAID["notes"]["business"]
                yield check, said.format(field=m.name, written=m.given.column)

    # --- from cells to values -------------------------------------------------------------------------------------

    def _type(self) -> None:
        """Add the columns of the contract."""
        typed = {m.name: self._typed(m) for m in self.columns.values() if m.given.after is None}
        if self.name in ID and ID[self.name] not in self.columns:
            typed[ID[self.name]] = ibis.literal(f"{self.index}-") + self.table._row.cast("string")
        self.table = self.table.mutate(**typed, _unasked=self.unasked)
        if shifted := self._one_clock():
            self.table = self.table.mutate(**shifted)
        if moved := {m.name: self._moved(m) for m in self.columns.values() if m.given.after}:
            self.table = self.table.mutate(**moved)
        self._convert()

    def _typed(self, m: _Mapped) -> ir.Value:
        """Return the values of a column; remember which ones codes explain."""
        given = m.given
        if given.value is not None:
            return _literal(given.value, m)
        cell, value = self._cell(m), self._read(given.column, m)
        if given.times:
            value = value * self._read(given.times, m)
        if given.minus:
            value = value - self._read(given.minus, m).fill_null(0)
        value = value / 100 if given.unit == "cents" else value
        if given.not_asked:
            self.unasked = self._among(given.not_asked, cell, value)
        if cases := self._cases(m, cell, value):
            self.explained[m.name] = ibis.or_(*(case for case, meaning in cases)).fill_null(False)
            return ibis.cases(*cases, else_=value)
        return value.lower() if m.rule.lower else value

    def _read(self, written: str, m: _Mapped) -> ir.Value:
        return values.typed(self._cell(m, written), m.rule.kind, m.how, bool(self._seen(m, "odd", written)))

    def _cases(self, m: _Mapped, cell: ir.Value, value: ir.Value) -> list[tuple[ir.BooleanValue, ir.Scalar]]:
        """Return the cases of codes, no_answer and not_asked; a blank stays blank unless mapped."""
        written, cases = values.text(cell), []
        for code, meaning in m.given.codes.items():
            is_code = cell.isnull() if code.strip() in ("", *self.source.blank) else written == code.strip()
            cases.append((is_code, _literal(meaning, m, ".codes")))
        if texts := [*m.given.no_answer, *m.given.not_asked]:
            cases.append((self._among(texts, cell, value), ibis.null(values.TYPES[m.rule.kind])))
        return cases

    def _among(self, texts: list[str], cell: ir.Value, value: ir.Value) -> ir.BooleanValue:
        """Tell whether a cell of scores holds one of these texts or numbers."""
        texts = [t.strip() for t in texts]
        found = values.text(cell).isin(texts) | value.isin([float(t) for t in texts if _is_number(t)])
        blank = cell.isnull() if {"", *self.source.blank} & set(texts) else ibis.literal(False)
        return found.fill_null(False) | blank

    def _one_clock(self) -> dict[str, ir.Value]:
        """Return the later moments of a row on the clock of its first: days stay local, differences are right."""
        if len({zone for both in self.zones.values() for zone in both}) < 2:
            return {}  # no zones, or one and the same
        zones = {c: values.zone(self._cell(self.columns[c])) for c in self.zones}
        first, *others = zones
        shifts = {c: (zones[first] - zones[c]).fill_null(0).cast("int64").as_interval("m") for c in others}
        return {c: self.table[c] + shift for c, shift in shifts.items()}

    def _days(self, m: _Mapped) -> ir.FloatingValue:
        """Return a duration in days."""
        cell, unit = self._cell(m), m.given.unit
        days = values.typed(cell, "number", m.how) / {"minutes": 1440, "hours": 24, "days": 1, "hh:mm:ss": 86_400}[unit]
        if not cell.type().is_string():
            return days
        hours, minutes, seconds = (cell.re_extract(r"^(\d+):(\d{2}):(\d{2})$", i).try_cast("int64") for i in (1, 2, 3))
        clock = (hours * 3600 + minutes * 60 + seconds) / 86_400
        return clock if unit == "hh:mm:ss" else ibis.coalesce(clock, days)

    def _moved(self, m: _Mapped) -> ir.TimestampValue:
        """Return the moment that lies a duration after another."""
        days = self._days(m)
        seconds = (days.abs() <= MAX_DAYS).ifelse((days * 86_400).round(), ibis.null("float64")).cast("int64")
        return self.table[m.given.after] + seconds.as_interval("s")

    def _convert(self) -> None:
        """Turn amounts into the company's currency; refuse codes without a rate."""
        m, own = self.columns.get("currency"), self.settings.currency
        if m is None:
            return
        _refuse_if({"no_currency": own is None}, key=m.key)
        rates = {code.upper(): rate for code, rate in self.settings.exchange_rates.items()} | {own.upper(): 1.0}
        rate = self.table.currency.upper().cases(*rates.items(), else_=ibis.null("float64"))
        self.table = self.table.mutate(_rate=rate, **{c: self.table[c] * rate for c in MONEY if c in self.columns})
        self._stop("no_rate", self.table._rate.isnull(), m, own=own)

    # --- several rows of one id -----------------------------------------------------------------------------------

    def _refuse_mixed(self) -> None:
        """Refuse lines of one order that name different customers."""
        m, of = self.columns["customer_id"], self.table.customer_id
        if self.source.repeats == "sum" and m.given.column is not None:
            self._stop("several_customers", of != of.min().over(ibis.window(group_by="order_id")), m)

    def _refuse_first(self) -> None:
        """Raise the error of the first row that a stop holds for."""
        found = self.table.mutate(_stop=self._stopped()).filter(_._stop > 0)
        first = found.order_by("_row").limit(1).select("_stop", "_row").to_pandas()
        if len(first):
            stop, row = self.stops[int(first["_stop"].iloc[0]) - 1], first["_row"].iloc[0]
            raise self.error(stop, row, content(self.table, stop.shown, row))

    def _together(self) -> ir.Table:
        """Return one row per id: the lines of an order added up, or the contracts of a customer as one span."""
        key, spans = ID[self.name], self.source.repeats == "span"
        table = self.table
        if spans and "joined_on" in self.columns:  # of contracts that start later nothing is known
            table = table.mutate(_later=(table.joined_on > ibis.literal(self.as_of)).fill_null(False))
            table = table.filter(~_._later | _._later.min().over(ibis.window(group_by=key))).drop("_later")
        order = [(ibis.desc if spans else ibis.asc)(table[c]) for c in by_content(self.name, self.columns)]
        table = table.mutate(_rank=ibis.row_number().over(ibis.window(group_by=key, order_by=order)))
        # the first value there is, of the first line or of the latest contract
        rules = {c: table[c].argmin(table[c].isnull().ifelse(ibis.null("int64"), table._rank)) for c in table.columns}
        if spans:
            table, more = self._span(table, key)
        else:
            more = {c: table[c].sum() for c in ("revenue", "margin") if c in self.columns}
        grouped = {c: r for c, r in (rules | more).items() if c not in (key, "_rank", "_row", "_copy")}
        return table.group_by(key).agg(_row=table._row.min(), _copy=ibis.literal(False), **grouped)

    def _span(self, table: ir.Table, key: str) -> tuple[ir.Table, dict[str, ir.Value]]:
        """Return the contracts with marks of those that run (or of the last to end), and the rules of a span.

        It begins with the first contract and ends with the last, unless one is open; fees are those that run.
        """
        rules, runs = {c: table[c].min() for c in ("joined_on", "left") if c in self.columns}, None
        if "left_on" in self.columns:
            each = ibis.window(group_by=key)
            table = table.mutate(_open=_.left_on.isnull() | (_.left_on > ibis.literal(self.as_of)))
            table = table.mutate(_any=_._open.max().over(each), _last=_.left_on.max().over(each) == _.left_on)
            runs = table._any.ifelse(table._open, table._last)
            rules["left_on"] = table._any.max().ifelse(ibis.null("date"), table.left_on.max())
            if "left_reason" in self.columns:
                rules["left_reason"] = table.left_reason.max(where=table._last & ~table._any)
        if "monthly_revenue" in self.columns:
            rules["monthly_revenue"] = table.monthly_revenue.sum(where=runs)
        return table, rules

    # --- what stops the intake ------------------------------------------------------------------------------------

    def _refuse_unread(self, m: _Mapped) -> None:
        """Refuse cells that are not of the kind of the column."""
        kind, advice = m.rule.kind, partial(values.remedy, "number" if m.given.after else m.rule.kind, how=m.how)
        if m.given.after is not None:
            days = self._days(m)
            self._stop("no_duration", self._cell(m).notnull() & days.isnull(), m, advice=advice)
            self._stop("too_long", days.abs() > MAX_DAYS, m, unit=m.given.unit)
            return
        for written in m.written:
            cell = self._cell(m, written)
            if kind in values.NOUNS and not values.always_fits(cell, kind):
                read = self._read(written, m) if m.given.times or m.given.minus else self.table[m.name]
                bad = cell.notnull() & read.isnull()
                if m.name in self.explained:
                    bad &= ~self.explained[m.name]
                if kind == "score":
                    advice = partial(_labels, self.table.filter(bad).select(label=cell))
                self._stop("unread", bad, m, written, noun=values.NOUNS[kind], advice=advice)
            if written == m.given.times:
                self._stop("no_factor", self._cell(m).notnull() & cell.isnull(), m, written)

    def _refuse_broken(self, m: _Mapped) -> None:
        """Refuse values that break a rule of the contract."""
        rule, value = m.rule, self.table[m.name]
        if rule.filled:
            self._stop("empty", value.isnull(), m)
        if m.name in MONEY + COSTS:
            self._stop("too_much", value.abs() > MAX_MONEY, m)
        if rule.kind in ("date", "moment"):
            self._stop("years", ~value.between(*YEARS), m, first=YEARS[0].year, last=YEARS[1].year)
        if rule.one_of:
            known, example = ", ".join(rule.one_of), rule.one_of[0]
            self._stop("unknown_word", value.notnull() & ~value.isin(rule.one_of), m, known=known, example=example)
        for limit, side, breaks in ((rule.least, "below", lt), (rule.most, "above", gt), (rule.above, "not above", le)):
            if limit is not None:
                self._stop("limit", breaks(value, limit), m, side=side, limit=limit, cure=rule.cure)
        if rule.whole:
            self._stop("not_whole", value != value.floor(), m, cure=rule.cure if rule.most else "Round it.")

    def _refuse_scores(self) -> None:
        """Refuse metrics that are not declared, and scores that are no whole number of their scale."""
        table, metric, score = self.table, self.columns["metric"], self.columns["score"]
        declared = self.settings.metrics
        fixed = metric.given.value
        if fixed is None:
            unknown = ~table.metric.isin([*declared]) if declared else ibis.literal(True)
            self._stop("undeclared", unknown, metric, known=", ".join(declared))
        elif fixed not in declared:
            known = did_you_mean(fixed, [*declared], "declared")
            raise _refuse("fixed_metric", key=metric.key, metric=fixed, known=known)
        _refuse_if({"fixed_score": score.given.column is None}, key=score.key)
        for name, rule in declared.items():
            low, high = rule.scale
            outside = (table.metric == name) & ~table.score.between(low, high)
            self._stop("off_scale", outside, score, metric=name, low=low, high=high, hint=partial(_results, name))
        steps = (table.metric == "nps").ifelse(1, 2)  # half stars are answers; of 0 to 10 there are no halves
        self._stop("no_step", table.score * steps != (table.score * steps).floor(), score)


def _literal(given: str, m: _Mapped, below: str = "") -> ir.Scalar:
    """Return a value that stands in company.yaml, ``below`` the key of its column."""
    try:
        return values.literal(given, m.rule.kind)
    except ValueError:
        raise _refuse("fixed_value", key=m.key + below, given=given, noun=values.NOUNS[m.rule.kind]) from None


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _labels(unread: ir.Table, shown: str) -> str:
    """Return what to do about scores in words, with the most frequent ones."""
    most = unread.label.value_counts(name="n").order_by(ibis.desc("n")).limit(12).to_pandas()
    return _SAID["hints"]["labels"].format(labels=", ".join(f"{label}: ..." for label in most["label"]))


def _results(metric: str, shown: str) -> str:
    """Return the hint that a score looks like a result of NPS, not like an answer."""
    looks = metric == "nps" and _is_number(shown) and (float(shown) < 0 or 10 < float(shown) <= 100)
    return _SAID["hints"]["results"] if looks else ""
