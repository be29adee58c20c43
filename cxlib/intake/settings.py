"""company.yaml as pydantic models, and every mistake in it as one InputError that names the key.

What has been read is texts only (``yaml_file``); the models turn what must be a number or a date into one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from cxlib.errors import InputError
from cxlib.intake.models import FILE, Model, Words, did_you_mean, refuse
from cxlib.intake.sources import TABLES, Sources

GOOD_END = {"1.0": "low", "2.0": "high"}  # effort asked for (less is better), ease asked for (more is better)
METRICS = ("nps", "csat", "psat", "ces")  # any other name is a signal of the company's own
Share = Annotated[float, Field(ge=0, le=1)]


def _close(name: str, known: tuple[str, ...]) -> list[str]:
    return difflib.get_close_matches(name, known, 1, 0.6)


class Metric(Model):
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
            refuse("should name the low end first", "Write for instance [0, 10].")
        return scale

    @field_validator("version", mode="before")
    @classmethod
    def _as_text(cls, version: Any) -> Any:
        return {"1": "1.0", "2": "2.0"}.get(str(version), str(version))

    @model_validator(mode="after")
    def _inside(self) -> Metric:
        low, high = self.scale
        if self.satisfied_from is not None and not low <= self.satisfied_from <= high:
            refuse("has satisfied_from outside its scale", f"Choose a score from {low} to {high}.")
        return self


class Money(Model):
    """What turns months of staying into money; every key is required but the last four.

    ``acquisition_cost``: of winning one customer. ``referred_per_promoter``: customers a promoter brings in a year who would
    not have come otherwise, an assumption. ``support_cashable``: the share of a support saving that really leaves the books;
    without it none is called cash. ``effect_kept_a_year``: how much of the effect of a programme is still there a year after
    the months observed, from the lowest to the highest share thought possible; without it nothing beyond those months is counted.
    """

    value_is: Literal["margin", "revenue"]
    gross_margin: Annotated[float, Field(gt=0, le=1)]
    discount_rate: Share
    discount_convention: Literal["effective", "nominal"]
    horizon_months: Annotated[int, Field(gt=0, le=1200)]
    first_flow: Literal["now", "end"]
    acquisition_cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    referred_per_promoter: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    support_cashable: Share | None = None
    effect_kept_a_year: tuple[Share, Share] | None = None

    @field_validator("effect_kept_a_year")
    @classmethod
    def _lowest_first(cls, kept: tuple[float, float] | None) -> tuple[float, float] | None:
        if kept is not None and kept[0] > kept[1]:
            refuse("should name the lower share first", "Write for instance [0, 0.5].")
        return kept


class Privacy(Model):
    """What is kept from a reader: groups smaller than ``minimum_base`` customers, and the ids of those at risk."""

    minimum_base: Annotated[int, Field(ge=1)] = 30
    at_risk_list: bool = False


class Settings(Model):
    """company.yaml."""

    name: Annotated[str, Field(min_length=1)]
    as_of: date
    relationship: Literal["contractual", "noncontractual"]
    inactive_after_days: Annotated[int, Field(gt=0)] | None = None
    involuntary_reasons: Words = Field([])
    leavers_since: date | None = None  # who left before is missing from the exports
    currency: str | None = None
    money: Money | None = None
    metrics: dict[str, Metric] = Field({})
    segments: Words = Field([])
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
                refuse(f"has the unknown metric {key!r}", did_you_mean(key, METRICS) + " " + remedy)
        return {k: _with_direction(k, v) for k, v in given.items()}

    @model_validator(mode="after")
    def _aims_on_their_scales(self) -> Settings:
        for name, metric in self.metrics.items():
            low, high = (-100, 100) if name == "nps" else metric.scale
            for key in ("target", "benchmark"):
                if (aim := getattr(metric, key)) is not None and not low <= aim <= high:
                    refuse("is off the scale", f"Write a number from {low} to {high}.", f"metrics.{name}.{key}")
        return self

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        needs_rule = self.relationship == "noncontractual"
        if needs_rule and self.inactive_after_days is None:
            refuse(
                "needs inactive_after_days, because the relationship is noncontractual",
                "Say after how many days without an order a customer counts as gone: inactive_after_days: 180.",
            )
        if not needs_rule and self.inactive_after_days is not None:
            refuse(
                "has inactive_after_days beside relationship: contractual",
                "Leave it out: with a contract a customer is gone on left_on.",
            )
        if self.leavers_since is not None and self.leavers_since > self.as_of:
            refuse(
                "has leavers_since after as_of", "Give the first day whose leavers are in the exports, or leave it out."
            )
        if self.money is not None and not self.currency:
            refuse("has money without a currency", "Write for instance currency: GBP.")
        self._origins()
        return self

    def _origins(self) -> None:
        for table in TABLES:
            for source in getattr(self.sources, table) or []:
                for export in (source, *source.join):
                    if export.table is not None and self.database is None:
                        refuse(f"names the table {export.table} and no database", "Add database: ${CX_DATABASE}.")
                    if export.file is not None and self.database is not None:
                        refuse(
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
            refuse("is -100..100, the scale of the result", "Give the 0-10 answers per person: [0, 10].", "nps.scale")
        if len(scale) == 2 and scale not in ([0, 10], [1, 10]):
            refuse(
                f"is {scale[0]} to {scale[1]}", "NPS is asked from 0 to 10: write [0, 10] (or [1, 10]).", "nps.scale"
            )
        if good not in (None, "high"):
            refuse(f"is {good!r}", "Leave it out: of the answers to nps, 10 is good.", "nps.good")
        given["good"] = "high"
    if name == "ces":
        version = {"1": "1.0", "2": "2.0"}.get(str(given.get("version")), str(given.get("version")))
        if version not in GOOD_END:
            refuse(
                "must be declared, for its good end depends on it",
                'Write version: "1.0" (how much effort: low is good) or version: "2.0" (how easy: high is good).',
                "ces.version",
            )
        if good not in (None, GOOD_END[version]):
            refuse(f"is {good!r} with version {version}", "Leave it out: it follows from the version.", "ces.good")
        given["good"] = GOOD_END[version]
    elif given.get("version") not in (None, ""):
        refuse("is declared", "Only ces has versions: leave it out.", f"{name}.version")
    if name not in ("nps", "ces") and good in (None, ""):
        refuse("is missing: which end of the scale is good?", "Write good: high or good: low.", f"{name}.good")
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
