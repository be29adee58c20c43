"""The part of company.yaml that names the source of each table: exports, the select over them, columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from cxlib.intake.models import BLANK, Model, Word, Words, refuse

TABLES = ("customers", "responses", "orders", "contacts", "initiatives", "exposures")
CLOCKS = ("unix", "unix_ms", "serial")  # words under dates: seconds, milliseconds, days of a spreadsheet
REPEATS = {"orders": "sum", "customers": "span"}
Thousands = Literal[",", ".", "'", " ", "_"]


class Format(Model):
    """How an export writes its values."""

    decimal: Literal[".", ","] = "."
    thousands: Thousands | None = None
    dates: Words | None = None

    @field_validator("dates")
    @classmethod
    def _whole_dates(cls, patterns: list[str] | None) -> list[str] | None:
        for pattern in patterns or []:
            codes = set(re.findall(r"%[-]?(.)", pattern))
            whole = codes & set("yY") and ((codes & set("mbB") and "d" in codes) or "j" in codes)
            if pattern not in CLOCKS and (not whole or codes - set("yYmbBdjHIMSfpaA%")):
                refuse(
                    f"has {pattern!r}, which is not a date pattern",
                    "Write day, month and year as strftime does, for instance %d/%m/%Y or %d.%m.%Y %H:%M:%S; or "
                    "unix (seconds), unix_ms, serial (days of a spreadsheet); leave `dates` out for ISO dates.",
                )
        return patterns

    @model_validator(mode="after")
    def _marks_differ(self) -> Format:
        if self.thousands == self.decimal:
            refuse("has the same sign for thousands and decimals", 'Write for instance decimal: ",", thousands: ".".')
        return self


class Export(Format):
    """One export: a file, several files with the same columns, or a table of a database; and how to read it.

    ``header_row``: the row with the column names, if rows stand above it. ``footer_rows``: closing lines to leave off.
    """

    file: Words | None = None
    table: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    sheet: Word | None = None
    header_row: Annotated[int, Field(ge=1)] | None = None
    footer_rows: Annotated[int, Field(ge=0)] = 0
    blank: Words = Field(list(BLANK))

    @model_validator(mode="after")
    def _one_origin(self) -> Export:
        if (self.file is not None) + (self.table is not None) + (getattr(self, "sql", None) is not None) != 1:
            refuse(
                "needs exactly one of file, table and sql",
                "Write file: name.csv; or table: schema.name with a database; or sql: select ... from exports.",
            )
        return self

    @property
    def label(self) -> str:
        """The file or table as named in company.yaml."""
        return ", ".join(self.file or []) or self.table or "sql"


class Column(Model):
    """Where a contract column comes from: an export column or a fixed value; and what its values mean.

    ``times`` and ``minus`` name a second column: quantity x price, total less refund. ``no_answer``: asked and not
    answered; ``not_asked``: the question was never put, so the row is no question.
    """

    column: str | None = None
    value: Word | None = None
    codes: dict[Word, Word] = Field({})
    decimal: Literal[".", ","] | None = None
    thousands: Thousands | None = None
    dates: Words | None = None
    no_answer: Words = Field([])
    not_asked: Words = Field([])
    after: str | None = None
    unit: Literal["minutes", "hours", "days", "hh:mm:ss", "cents"] | None = None
    times: str | None = None
    minus: str | None = None

    _dates = field_validator("dates")(Format._whole_dates.__func__)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        _refuse_old(given)
        return {"column": given} if isinstance(given, str) and given else given

    @model_validator(mode="after")
    def _one_origin(self) -> Column:
        if (self.column is None) == (self.value is None):
            refuse("needs either column or value", "Write the name of an export column, or {value: nps}.")
        rules = self.codes or self.no_answer or self.not_asked or self.after or self.times or self.minus or self.unit
        if self.column is None and rules:
            refuse("has rules for values without a column", "Name the export column: {column: ...}.")
        if (self.after is None) != (self.unit in (None, "cents")):
            refuse(
                "needs after and unit together", "Write {column: minutes_to_reply, after: opened_at, unit: minutes}."
            )
        return self


class Source(Export):
    """One export, or a select over the exports, with its columns under the names of the contract.

    ``repeats``: what several rows with one id are: the lines of an order (sum), the contracts of a customer (span).
    ``ends_on``: the last day of an export that is known to have ended.
    """

    sql: str | None = None
    repeats: Literal["sum", "span"] | None = None
    ends_on: date | None = None
    tenure_unit: Literal["days", "months", "years"] | None = None
    columns: dict[str, Column]

    @model_validator(mode="before")
    @classmethod
    def _of_this_form(cls, given: Any) -> Any:
        _refuse_old(given)
        return given

    @property
    def named(self) -> set[str]:
        """The columns of the export that the mapping names."""
        return {n for c in self.columns.values() for n in (c.column, c.times, c.minus)} - {None}


_OLD = {  # the keys that sql has replaced, and the select to write
    "join": "Write exports: {{a: {file}, b: {other}}} and sql: select a.*, b.* exclude ({right}) from a left join b on "
    "a.{left} = b.{right}; columns then names the columns of the select.",
    "filter": "Write exports: {{a: {file}}} and sql: select * from a where {column} {sign} ({wanted}).",
    "one_row_per": "Write exports: {{a: {file}}} and sql: select distinct on ({column}) * from a{order}; lines of an "
    "order are added up with repeats: sum, contracts of a customer with repeats: span.",
    "row_number": "Leave the id out: without one, file and row are the id.",
    "otherwise": "Write it in sql: select *, if({column} = '...', '...', '{value}') as x from a.",
    "later_than": "Write it in sql: select *, if({column} > \"{value}\", 'yes', 'no') as late from a.",
}


def _refuse_old(given: Any) -> None:
    """Refuse a key that ``sql`` has replaced, with the select to write."""
    key = next((k for k in _OLD if k in given), None) if isinstance(given, Mapping) else None
    if key is None:
        return
    rule = given[key][0] if isinstance(given[key], list) and given[key] else given[key]
    rule = rule if isinstance(rule, Mapping) else {"column": rule}
    on, columns = rule.get("on", "id"), given.get("columns")
    left, right = next(iter(on.items()), ("id", "id")) if isinstance(on, Mapping) else (on, on)
    name = given.get("column", rule.get("column", "..."))
    if key == "one_row_per" and isinstance(columns, Mapping) and isinstance(name, str):
        name = columns.get(name, name)
        name = name.get("column") if isinstance(name, Mapping) else name
    wanted = rule.get("is", rule.get("is_not", "..."))
    facts = {
        "file": given.get("file", "a.csv"),
        "other": rule.get("file", "b.csv"),
        "left": f'"{left}"',
        "right": f'"{right}"',
        "column": f'"{name}"',
        "sign": "in" if "is" in rule else "not in",
        "wanted": ", ".join(f"'{w}'" for w in (wanted if isinstance(wanted, list) else [wanted])),
        "order": f' order by "{rule["by"]}"' if rule.get("by") else " order by _row",
        "value": given[key],
    }
    refuse(f"has the key {key!r}, which is no longer read", _OLD[key].format(**facts))


def _one_or_many_sources(given: Any) -> Any:
    if given in ([], ""):
        refuse("is empty", "Name a file and its columns, or leave the table out.")
    return [given] if isinstance(given, Mapping) else given


Many = Annotated[list[Source], BeforeValidator(_one_or_many_sources)]
Named = Annotated[Export, BeforeValidator(lambda given: given if isinstance(given, Mapping) else {"file": given})]


class Sources(Model):
    """The exports behind each of the six tables."""

    customers: Many
    responses: Many | None = None
    orders: Many | None = None
    contacts: Many | None = None
    initiatives: Many | None = None
    exposures: Many | None = None

    @model_validator(mode="after")
    def _together(self) -> Sources:
        if self.exposures and not self.initiatives:
            refuse("has exposures without initiatives", "Add the programmes with their costs: initiatives.")
        for table in TABLES:
            for source in getattr(self, table) or []:
                if source.repeats not in (None, REPEATS.get(table)):
                    refuse(
                        f"has repeats: {source.repeats}", "Write repeats: sum for orders, repeats: span for customers."
                    )
        return self
