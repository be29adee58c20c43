"""The part of company.yaml that names the source of each table: exports, the select over them, columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from cxlib.errors import words
from cxlib.intake.models import BLANK, Model, Word, Words, refusals

TABLES = ("customers", "responses", "orders", "contacts", "initiatives", "exposures")
CLOCKS = ("unix", "unix_ms", "serial")  # words under dates: seconds, milliseconds, days of a spreadsheet
REPEATS = {"orders": "sum", "customers": "span"}
refuse = refusals(__file__)
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
                refuse("date_pattern", pattern=pattern)
        return patterns

    @model_validator(mode="after")
    def _marks_differ(self) -> Format:
        if self.thousands == self.decimal:
            refuse("same_sign")
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
            refuse("one_origin")
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
            refuse("column_or_value")
        rules = self.codes or self.no_answer or self.not_asked or self.after or self.times or self.minus or self.unit
        if self.column is None and rules:
            refuse("no_column")
        if (self.after is None) != (self.unit in (None, "cents")):
            refuse("after_and_unit")
        return self


def _by_name(given: Any) -> Any:
    return (
        {name: name for name in given} if isinstance(given, list) and all(isinstance(n, str) for n in given) else given
    )


class Source(Export):
    """One export, or a select over the exports, with its columns under the names of the contract.

    ``columns`` can be a list, of columns that already have the names of the contract. ``scores``: the columns of
    several questions, by metric; a comment goes with the first. ``repeats``: what several rows with one id are, the
    lines of an order (sum) or the contracts of a customer (span). ``ends_on``: the last day of an export that is known
    to have ended.
    """

    sql: str | None = None
    repeats: Literal["sum", "span"] | None = None
    ends_on: date | None = None
    tenure_unit: Literal["days", "months", "years"] | None = None
    scores: dict[str, Column] = Field({})
    columns: Annotated[dict[str, Column], BeforeValidator(_by_name)]

    @model_validator(mode="before")
    @classmethod
    def _of_this_form(cls, given: Any) -> Any:
        _refuse_old(given)
        return given

    @model_validator(mode="after")
    def _one_way(self) -> Source:
        if self.scores and {"metric", "score"} & set(self.columns):
            refuse("scores_and_score")
        return self

    @property
    def named(self) -> set[str]:
        """The columns of the export that the mapping names."""
        return {n for c in self.columns.values() for n in (c.column, c.times, c.minus)} - {None}


_OLD = words(__file__)["old"]


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
    refuse("old_key", old=key, remedy=_OLD[key].format(**facts))


def _one_or_many_sources(given: Any) -> Any:
    if given in ([], ""):
        refuse("no_sources")
    return [given] if isinstance(given, Mapping) else given


def _one_question_each(sources: list[Source]) -> list[Source]:
    """Return the sources with one of its ``scores`` each."""
    made = []
    for source in sources:
        for metric, score in source.scores.items():
            columns = source.columns | {"metric": Column(value=metric), "score": score}
            again = made and made[-1].scores is source.scores
            columns = {n: c for n, c in columns.items() if n != "comment" or not again}
            made.append(source.model_copy(update={"columns": columns}))
        made += [] if source.scores else [source]
    return made


Many = Annotated[list[Source], BeforeValidator(_one_or_many_sources)]
Answers = Annotated[Many, AfterValidator(_one_question_each)]
Named = Annotated[Export, BeforeValidator(lambda given: given if isinstance(given, Mapping) else {"file": given})]


class Sources(Model):
    """The exports behind each of the six tables."""

    customers: Many
    responses: Answers | None = None
    orders: Many | None = None
    contacts: Many | None = None
    initiatives: Many | None = None
    exposures: Many | None = None

    @model_validator(mode="after")
    def _together(self) -> Sources:
        if self.exposures and not self.initiatives:
            refuse("no_initiatives")
        for table, source in self.each():
            if source.repeats not in (None, REPEATS.get(table)):
                refuse("repeats", rule=source.repeats)
            if source.scores and table != "responses":
                refuse("scores_elsewhere", table=table)
        return self

    def of(self, table: str) -> list[Source]:
        """Return the sources of a table, in order."""
        return getattr(self, table) or []

    def each(self) -> Iterator[tuple[str, Source]]:
        """Yield every source with the name of its table."""
        yield from ((t, s) for t in TABLES for s in self.of(t))
