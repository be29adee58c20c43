"""The part of company.yaml that names the source of each table: exports, joins, filters, columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from cxlib.intake.models import BLANK, Model, Word, Words, refuse

TABLES = ("customers", "responses", "orders", "contacts", "initiatives", "exposures")


class Filter(Model):
    """A condition on the text of one export column; blank values compare as the empty text."""

    column: str
    is_: Words | None = Field(None, alias="is")
    is_not: Words | None = None

    @model_validator(mode="after")
    def _one_condition(self) -> Filter:
        if (self.is_ is None) == (self.is_not is None):
            refuse("needs either is or is_not", 'Write for instance {column: is_trial, is: ["FALSE"]}.')
        return self


class Format(Model):
    """How an export writes its values."""

    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", "'", " ", "_"] | None = None
    dates: Words | None = None

    @field_validator("dates")
    @classmethod
    def _whole_dates(cls, patterns: list[str] | None) -> list[str] | None:
        for pattern in patterns or []:
            codes = set(re.findall(r"%[-]?(.)", pattern))
            whole = codes & set("yY") and ((codes & set("mbB") and "d" in codes) or "j" in codes)
            if not whole or codes - set("yYmbBdjHIMSfpaA%"):
                refuse(
                    f"has {pattern!r}, which is not a date pattern",
                    "Write day, month and year as strftime does, for instance %d/%m/%Y or %d.%m.%Y %H:%M:%S; "
                    "leave `dates` out for ISO dates (2026-01-31).",
                )
        return patterns

    @model_validator(mode="after")
    def _marks_differ(self) -> Format:
        if self.thousands == self.decimal:
            refuse("has the same sign for thousands and decimals", 'Write for instance decimal: ",", thousands: ".".')
        return self


class Export(Format):
    """One file, or one table of a database, and how to read it."""

    file: str | None = None
    table: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    sheet: Word | None = None
    blank: Words = Field(list(BLANK))
    filter: list[Filter] = Field([])

    @field_validator("filter", mode="before")
    @classmethod
    def _one_or_many(cls, given: Any) -> Any:
        return [given] if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _one_origin(self) -> Export:
        if (self.file is None) == (self.table is None):
            refuse("needs either file or table", "Write file: name.csv, or table: schema.name with a database.")
        return self

    @property
    def label(self) -> str:
        """The file or table as named in company.yaml."""
        return self.file or self.table


class Join(Export):
    """A further export; its columns are available as ``as.column``."""

    as_: str = Field(alias="as")
    on: dict[str, str]
    pick: Literal["one", "first", "last", "sum"] = "one"
    by: str | None = None

    @field_validator("on", mode="before")
    @classmethod
    def _same_name_on_both_sides(cls, on: Any) -> Any:
        names = [on] if isinstance(on, str) else on
        return {n: n for n in names} if isinstance(names, list) and all(isinstance(n, str) for n in names) else names

    @model_validator(mode="after")
    def _order_where_needed(self) -> Join:
        if self.by is None and self.pick in ("first", "last"):
            refuse(f"picks the {self.pick} row without an order", "Name the column to order by: by: churn_date.")
        if self.by is not None and self.pick in ("one", "sum"):
            refuse(f"has both pick: {self.pick} and by", "Use by only with pick: first or pick: last.")
        return self


class OneRow(Model):
    """Keep one row per value of a contract column."""

    column: str
    pick: Literal["first", "last"] = "first"
    by: str | None = None


class Column(Model):
    """Where a contract column comes from: an export column, a fixed value, or the row number."""

    column: str | None = None
    value: Word | None = None
    row_number: str | None = None
    codes: dict[Word, Word] = Field({})
    otherwise: Word | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", "'", " ", "_"] | None = None
    dates: Words | None = None
    no_answer: Words = Field([])
    after: str | None = None
    later_than: str | None = None
    unit: Literal["minutes", "hours", "days"] | None = None

    _dates = field_validator("dates")(Format._whole_dates.__func__)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) and given else given

    @model_validator(mode="after")
    def _one_origin(self) -> Column:
        if sum(v is not None for v in (self.column, self.value, self.row_number)) != 1:
            refuse(
                "needs exactly one of column, value and row_number",
                "Write the name of an export column, {value: nps} or {row_number: R}.",
            )
        rules = self.codes or self.otherwise is not None or self.no_answer or self.after or self.later_than
        if self.column is None and rules:
            refuse("has codes, otherwise, no_answer, after or later_than without a column", "Name the export column.")
        if self.later_than and (self.codes or self.otherwise is not None or self.no_answer or self.after):
            refuse("has later_than together with another rule", "Use it alone: it gives yes or no.")
        if (self.after is None) != (self.unit is None):
            refuse(
                "needs after and unit together", "Write {column: minutes_to_reply, after: opened_at, unit: minutes}."
            )
        return self


class Source(Export):
    """One export of a table: its joins, filters and columns under the names of the contract."""

    join: list[Join] = Field([])
    one_row_per: OneRow | None = None
    tenure_unit: Literal["days", "months", "years"] | None = None
    columns: dict[str, Column]

    @field_validator("join", mode="before")
    @classmethod
    def _one_or_many_joins(cls, given: Any) -> Any:
        return [given] if isinstance(given, Mapping) else given

    @field_validator("one_row_per", mode="before")
    @classmethod
    def _column_alone(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _names_differ(self) -> Source:
        names = [j.as_ for j in self.join]
        if len(set(names)) < len(names):
            refuse("has two joins with the same name", "Give each its own name with as:.")
        return self


def _one_or_many_sources(given: Any) -> Any:
    if given in ([], ""):
        refuse("is empty", "Name a file and its columns, or leave the table out.")
    return [given] if isinstance(given, Mapping) else given


Many = Annotated[list[Source], BeforeValidator(_one_or_many_sources)]


class Sources(Model):
    """The exports behind each of the six tables."""

    customers: Many
    responses: Many | None = None
    orders: Many | None = None
    contacts: Many | None = None
    initiatives: Many | None = None
    exposures: Many | None = None
