"""company.yaml as pydantic models, and every mistake in it as one InputError that names the key.

What has been read is texts only (``yaml_file``); the models turn what must be a number or a date into one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from cxlib.errors import InputError

FILE = "company.yaml"
BLANK = ("", "NA", "N/A", "NULL", "null", "None", "NaN", "nan")
GOOD_END = {"1.0": "low", "2.0": "high"}  # effort asked for (less is better), ease asked for (more is better)
METRICS = ("nps", "csat", "psat", "ces")  # any other name is a signal of the company's own
TABLES = ("customers", "responses", "orders", "contacts", "initiatives", "exposures")


def did_you_mean(name: object, known: list[str] | tuple[str, ...], what: str = "known") -> str:
    """Return "Did you mean 'x'? " for the closest known name, followed by the list of them."""
    close = difflib.get_close_matches(str(name), list(known), 1, 0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}The {what} ones are: {', '.join(known) or 'none'}."


def _close(name: str, known: tuple[str, ...]) -> list[str]:
    return difflib.get_close_matches(name, known, 1, 0.6)


def _refuse(problem: str, remedy: str, key: str = "") -> NoReturn:
    """Refuse a value; ``key`` is the part of its path below the value that is being checked."""
    # Passed on as context, so that braces in a value are not taken for a template.
    raise PydanticCustomError("rule", "{problem}", {"problem": problem, "remedy": remedy, "key": key})


def _words(value: Any) -> Any:
    """Take one text or number, or a list of them, as a list of texts."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(v, (list, tuple, dict, set)) for v in values):
        _refuse("should be a text or a list of texts", "Write for instance [yes, no].")
    return [_word(v) for v in values]


def _word(value: Any) -> Any:
    if value is None:
        return ""
    return str(value) if isinstance(value, (bool, int, float, date)) else value


Word = Annotated[str, BeforeValidator(_word)]
Words = Annotated[list[str], BeforeValidator(_words)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            _refuse("should be a mapping of keys to values", f"It may hold: {', '.join(cls._keys())}.")
        known = cls._keys()
        for key in given:
            if key not in known and key not in cls.model_fields:
                _refuse(f"has the unknown key {str(key)!r}", did_you_mean(key, known))
        # A key with nothing behind it counts as absent; a value may be the empty text.
        absent = {
            k for k, v in given.items() if v is None or (v in ("", "null", "~") and k not in ("value", "otherwise"))
        }
        return {k: v for k, v in given.items() if k not in absent}

    @classmethod
    def _keys(cls) -> list[str]:
        return [f.alias or name for name, f in cls.model_fields.items()]


class Metric(_Model):
    """A declared scale: its two ends, which of them is good, and from where a customer counts as satisfied.

    ``target`` and ``benchmark`` are values of its headline statistic: points of NPS, the mean of any other scale.
    """

    scale: tuple[int, int]
    good: Literal["high", "low"] | None = None
    satisfied_from: int | None = None
    version: str | None = None
    target: float | None = None
    benchmark: float | None = None
    composite_weight: Annotated[float, Field(ge=0)] = 1

    @field_validator("scale")
    @classmethod
    def _low_first(cls, scale: tuple[int, int]) -> tuple[int, int]:
        if scale[0] >= scale[1]:
            _refuse("should name the low end first", "Write for instance [0, 10].")
        return scale

    @field_validator("version", mode="before")
    @classmethod
    def _as_text(cls, version: Any) -> Any:
        return {"1": "1.0", "2": "2.0"}.get(str(version), str(version))

    @model_validator(mode="after")
    def _inside(self) -> Metric:
        low, high = self.scale
        if self.satisfied_from is not None and not low <= self.satisfied_from <= high:
            _refuse("has satisfied_from outside its scale", f"Choose a score from {low} to {high}.")
        return self


class Money(_Model):
    """What turns months of staying into money; every key is required but the last two.

    ``acquisition_cost``: of winning one customer. ``referred_per_promoter``: customers a promoter brings in a year who would
    not have come otherwise, an assumption.
    """

    value_is: Literal["margin", "revenue"]
    gross_margin: Annotated[float, Field(gt=0, le=1)]
    discount_rate: Share
    discount_convention: Literal["effective", "nominal"]
    horizon_months: Annotated[int, Field(gt=0, le=1200)]
    first_flow: Literal["now", "end"]
    acquisition_cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    referred_per_promoter: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class Privacy(_Model):
    """What is kept from a reader: groups smaller than ``minimum_base`` customers, and the ids of those at risk."""

    minimum_base: Annotated[int, Field(ge=1)] = 30
    at_risk_list: bool = False


class Filter(_Model):
    """A condition on the text of one export column; blank values compare as the empty text."""

    column: str
    is_: Words | None = Field(None, alias="is")
    is_not: Words | None = None

    @model_validator(mode="after")
    def _one_condition(self) -> Filter:
        if (self.is_ is None) == (self.is_not is None):
            _refuse("needs either is or is_not", 'Write for instance {column: is_trial, is: ["FALSE"]}.')
        return self


class Format(_Model):
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
                _refuse(
                    f"has {pattern!r}, which is no pattern for a date",
                    "Write day, month and year as strftime does, for instance %d/%m/%Y or %d.%m.%Y %H:%M:%S; "
                    "leave `dates` out for ISO dates (2026-01-31).",
                )
        return patterns

    @model_validator(mode="after")
    def _marks_differ(self) -> Format:
        if self.thousands == self.decimal:
            _refuse("has one sign for thousands and decimals", 'Write for instance decimal: ",", thousands: ".".')
        return self


class Export(Format):
    """One file, or one table of a database, and how to read it."""

    file: str | None = None
    table: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    sheet: Word | None = None
    blank: Words = list(BLANK)
    filter: list[Filter] = []

    @field_validator("filter", mode="before")
    @classmethod
    def _one_or_many(cls, given: Any) -> Any:
        return [given] if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _one_origin(self) -> Export:
        if (self.file is None) == (self.table is None):
            _refuse("needs either file or table", "Write file: name.csv, or table: schema.name with a database.")
        return self

    @property
    def label(self) -> str:
        """The file or table as it is called in company.yaml."""
        return self.file or self.table


class Join(Export):
    """A further export whose columns become available as ``as.column``."""

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
            _refuse(f"picks the {self.pick} row without an order", "Name the column to order by: by: churn_date.")
        if self.by is not None and self.pick in ("one", "sum"):
            _refuse(f"has both pick: {self.pick} and by", "by belongs to pick: first or pick: last.")
        return self


class OneRow(_Model):
    """Keep one row per value of a contract column."""

    column: str
    pick: Literal["first", "last"] = "first"
    by: str | None = None


class Column(_Model):
    """Where a contract column comes from: an export column, a fixed value, or the row number."""

    column: str | None = None
    value: Word | None = None
    row_number: str | None = None
    codes: dict[Word, Word] = {}
    otherwise: Word | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", "'", " ", "_"] | None = None
    dates: Words | None = None
    no_answer: Words = []
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
            _refuse(
                "needs exactly one of column, value and row_number",
                "Write the name of an export column, {value: nps} or {row_number: R}.",
            )
        rules = self.codes or self.otherwise is not None or self.no_answer or self.after or self.later_than
        if self.column is None and rules:
            _refuse("has codes, otherwise, no_answer, after or later_than without a column", "Name the export column.")
        if self.later_than and (self.codes or self.otherwise is not None or self.no_answer or self.after):
            _refuse("has later_than beside another rule", "Leave it alone: it makes yes or no.")
        if (self.after is None) != (self.unit is None):
            _refuse(
                "needs after and unit together", "Write {column: minutes_to_reply, after: opened_at, unit: minutes}."
            )
        return self


class Source(Export):
    """One export of a table: its joins, its rows to keep, its columns under the contract's names."""

    join: list[Join] = []
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
            _refuse("has two joins of one name", "Give each its own name with as:.")
        return self


def _one_or_many_sources(given: Any) -> Any:
    if given in ([], ""):
        _refuse("is empty", "Name a file and its columns, or leave the table out.")
    return [given] if isinstance(given, Mapping) else given


Many = Annotated[list[Source], BeforeValidator(_one_or_many_sources)]


class Sources(_Model):
    """The exports behind each of the six tables."""

    customers: Many
    responses: Many | None = None
    orders: Many | None = None
    contacts: Many | None = None
    initiatives: Many | None = None
    exposures: Many | None = None


class Settings(_Model):
    """company.yaml."""

    name: Annotated[str, Field(min_length=1)]
    as_of: date
    relationship: Literal["contractual", "noncontractual"]
    inactive_after_days: Annotated[int, Field(gt=0)] | None = None
    involuntary_reasons: Words = []
    leavers_since: date | None = None  # who left before is missing from the exports
    currency: str | None = None
    money: Money | None = None
    metrics: dict[str, Metric] = {}
    segments: Words = []
    privacy: Privacy = Privacy()
    draws: Annotated[int, Field(ge=1)] = 1000
    seed: Annotated[int, Field(ge=0)] = 1
    database: str | None = Field(None, repr=False)
    folder: str = "."
    sources: Sources

    @field_validator("metrics", mode="before")
    @classmethod
    def _each_by_its_rule(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        for key in given:
            if key not in METRICS and (not re.fullmatch("[a-z][a-z0-9_]*", key) or _close(key, METRICS)):
                remedy = "A signal of your own has a name in small letters that is not close to one of these."
                _refuse(f"has the unknown metric {key!r}", did_you_mean(key, METRICS) + " " + remedy)
        return {k: _with_direction(k, v) for k, v in given.items()}

    @model_validator(mode="after")
    def _aims_on_their_scales(self) -> Settings:
        for name, metric in self.metrics.items():
            low, high = (-100, 100) if name == "nps" else metric.scale
            for key in ("target", "benchmark"):
                if (aim := getattr(metric, key)) is not None and not low <= aim <= high:
                    _refuse("is off the scale", f"Write a number from {low} to {high}.", f"metrics.{name}.{key}")
        return self

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        needs_rule = self.relationship == "noncontractual"
        if needs_rule and self.inactive_after_days is None:
            _refuse(
                "needs inactive_after_days, because the relationship is noncontractual",
                "Say after how many days without an order a customer counts as gone: inactive_after_days: 180.",
            )
        if not needs_rule and self.inactive_after_days is not None:
            _refuse(
                "has inactive_after_days beside relationship: contractual",
                "Leave it out: with a contract a customer is gone on left_on.",
            )
        if self.leavers_since is not None and self.leavers_since > self.as_of:
            _refuse(
                "has leavers_since after as_of", "Give the first day whose leavers are in the exports, or leave it out."
            )
        if self.money is not None and not self.currency:
            _refuse("has money without a currency", "Write for instance currency: GBP.")
        self._origins()
        return self

    def _origins(self) -> None:
        for table in TABLES:
            for source in getattr(self.sources, table) or []:
                for export in (source, *source.join):
                    if export.table is not None and self.database is None:
                        _refuse(f"names the table {export.table} and no database", "Add database: ${CX_DATABASE}.")
                    if export.file is not None and self.database is not None:
                        _refuse(
                            f"names the file {export.file} beside a database",
                            "Take every source from the database (table:) or every one from files (file:).",
                        )


def _with_direction(name: str, given: Any) -> Any:
    """Add what follows from the metric itself: NPS and CES know their good end."""
    if not isinstance(given, Mapping):
        return given
    given, good = dict(given), given.get("good")
    try:
        scale = [int(v) for v in given.get("scale", [])]
    except (TypeError, ValueError):
        return given  # refused by the model, with the key's own path
    if name == "nps":
        if scale == [-100, 100]:
            _refuse("is -100..100, the scale of the result", "Give the 0-10 answers per person: [0, 10].", "nps.scale")
        if len(scale) == 2 and scale not in ([0, 10], [1, 10]):
            _refuse(
                f"is {scale[0]} to {scale[1]}", "NPS is asked from 0 to 10: write [0, 10] (or [1, 10]).", "nps.scale"
            )
        if good not in (None, "high"):
            _refuse(f"is {good!r}", "Leave it out: of the answers to nps, 10 is good.", "nps.good")
        given["good"] = "high"
    if name == "ces":
        version = {"1": "1.0", "2": "2.0"}.get(str(given.get("version")), str(given.get("version")))
        if version not in GOOD_END:
            _refuse(
                "must be declared, for its good end depends on it",
                'Write version: "1.0" (how much effort: low is good) or version: "2.0" (how easy: high is good).',
                "ces.version",
            )
        if good not in (None, GOOD_END[version]):
            _refuse(f"is {good!r} with version {version}", "Leave it out: it follows from the version.", "ces.good")
        given["good"] = GOOD_END[version]
    elif given.get("version") not in (None, ""):
        _refuse("is declared", "Only ces has versions: leave it out.", f"{name}.version")
    if name not in ("nps", "ces") and good in (None, ""):
        _refuse("is missing: which end of the scale is good?", "Write good: high or good: low.", f"{name}.good")
    return given


def check(given: Mapping[str, Any]) -> Settings:
    """Return the settings; InputError names the key path, what is wrong, what is allowed and the closest known key."""
    if todo := _unsettled(given):
        raise InputError(
            f"Still to settle: {', '.join(todo)}", file=FILE, remedy="Replace each TODO; its comment says by what."
        )
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False)
    first, others = found[0], len(found) - 1
    context = first.get("ctx", {})
    key = ".".join(k for k in (_key_path(first["loc"], given), context.get("key", "")) if k) or "the file"
    secret = key.startswith("database")
    value = first["input"] if isinstance(first["input"], (str, int, float)) and not secret else None
    if first["type"] == "missing":
        problem, remedy, value = f"{key} is missing", f"Add it: {key.rpartition('.')[2]}: ...", None
    elif first["type"] == "rule":
        problem, remedy, value = f"{key} {context['problem']}", context["remedy"], None
    elif first["type"] == "literal_error":
        problem, remedy = f"{key} is not one of the allowed values", f"Allowed: {context['expected']}."
    else:
        said = re.sub(r"^(Input|Value error,|Tuple) ?", "", first["msg"])
        problem, remedy = f"{key} {said[:1].lower()}{said[1:]}", "Correct the value."
    more = f" {others} more {'key is' if others == 1 else 'keys are'} wrong as well." if others else ""
    raise InputError(problem, remedy=remedy + more, file=FILE, value=value)


def _unsettled(given: Any, path: str = "") -> list[str]:
    """Return the paths of all values that are still TODO."""
    below = given.items() if isinstance(given, Mapping) else enumerate(given) if isinstance(given, list) else ()
    found = [t for k, v in below for t in _unsettled(v, f"{path}.{k}".lstrip("."))]
    return [path] if given == "TODO" else found


def _key_path(location: tuple[str | int, ...], given: Any) -> str:
    """Return a path as it stands in the file: without the list that a lone source was wrapped into."""
    path, here = "", given
    for step in location:
        if isinstance(step, int) and isinstance(here, Mapping):
            continue
        if step == "[key]":
            continue
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
    return path.lstrip(".")
