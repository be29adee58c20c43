"""company.yaml as pydantic models, and every fault in it as one InputError that names the key.

``yaml_file`` reads texts only; the models turn them into numbers and dates.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from cxlib.errors import InputError
from cxlib.intake.models import FILE, Model, Words, did_you_mean, refusals
from cxlib.intake.sources import Named, Sources

GOOD_END = {"1.0": "low", "2.0": "high"}  # 1.0 asks about effort (less is better), 2.0 about ease (more is better)
METRICS = ("nps", "csat", "psat", "ces")  # any other name is the company's own signal
refuse = refusals(__file__)
Share = Annotated[float, Field(ge=0, le=1)]


def _close(name: str, known: tuple[str, ...]) -> list[str]:
    return difflib.get_close_matches(name, known, 1, 0.6)


class Metric(Model):
    """A declared scale: its two ends, its good end, and the score from which a customer counts as satisfied.

    ``target`` and ``benchmark`` are values of its headline statistic: points of NPS, the mean of any other scale.
    """

    scale: tuple[int, int]
    good: Literal["high", "low"] | None = None
    satisfied_from: int | None = None
    version: str | None = None
    target: float | None = None
    benchmark: float | None = None
    composite_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1

    @field_validator("scale")
    @classmethod
    def _low_first(cls, scale: tuple[int, int]) -> tuple[int, int]:
        if scale[0] >= scale[1]:
            refuse("ends_swapped")
        return scale

    @field_validator("version", mode="before")
    @classmethod
    def _as_text(cls, version: Any) -> Any:
        return {"1": "1.0", "2": "2.0"}.get(str(version), str(version))

    @model_validator(mode="after")
    def _inside(self) -> Metric:
        low, high = self.scale
        if self.satisfied_from is not None and not low <= self.satisfied_from <= high:
            refuse("satisfied_from", low=low, high=high)
        return self


class Money(Model):
    """What turns time as a customer into money; every key is required except the last four.

    ``acquisition_cost``: of winning one customer. ``referred_per_promoter``: customers a promoter brings in a year who
    would not have come otherwise (an assumption). ``support_cashable``: the share of a support saving that becomes
    cash; without it no saving counts as cash. ``effect_kept_a_year``: the share of a programme's effect that remains a
    year after the observed months, lowest and highest; without it nothing beyond those months counts.
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
            refuse("shares_swapped")
        return kept


class Privacy(Model):
    """What readers may not see: groups smaller than ``minimum_base`` customers, customers at risk, agents' names."""

    minimum_base: Annotated[int, Field(ge=1)] = 30
    at_risk_list: bool = False
    agents: Literal["show", "hide"] = "show"


class Settings(Model):
    """The whole of company.yaml."""

    name: Annotated[str, Field(min_length=1, pattern=r"\S")]
    as_of: date
    relationship: Literal["contractual", "noncontractual"]
    inactive_after_days: Annotated[int, Field(gt=0)] | None = None
    involuntary_reasons: Words = Field([])
    leavers_since: date | None = None  # customers who left earlier are missing from the exports
    currency: str | None = None
    money: Money | None = None
    metrics: dict[str, Metric] = Field({})
    segments: Words = Field([])
    fold_by: str | None = None  # a text column of customers: whose customers are not independent, such as account
    privacy: Privacy = Privacy()
    draws: Annotated[int, Field(ge=20, le=100_000)] = 1000
    seed: Annotated[int, Field(ge=0)] = 1
    database: str | None = Field(None, repr=False)
    folder: str = "."
    exchange_rates: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field({})
    exports: dict[Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]*$")], Named] = Field({})
    sources: Sources

    @field_validator("metrics", mode="before")
    @classmethod
    def _each_by_its_rule(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        for key in given:
            if key not in METRICS and (not re.fullmatch("[a-z][a-z0-9_]*", key) or _close(key, METRICS)):
                refuse("unknown_metric", name=key, remedy=did_you_mean(key, METRICS))
        return {k: _with_direction(k, v) for k, v in given.items()}

    @model_validator(mode="after")
    def _aims_on_their_scales(self) -> Settings:
        for name, metric in self.metrics.items():
            low, high = (-100, 100) if name == "nps" else metric.scale
            for key in ("target", "benchmark"):
                if (aim := getattr(metric, key)) is not None and not low <= aim <= high:
                    refuse("off_scale", at=f"metrics.{name}.{key}", low=low, high=high)
        return self

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        needs_rule = self.relationship == "noncontractual"
        if needs_rule and self.sources.orders and self.inactive_after_days is None:
            refuse("inactive_missing")
        if not needs_rule and self.inactive_after_days is not None:
            refuse("inactive_given")
        if (self.as_of - date.today()).days > 366:
            refuse("future", at="as_of")
        if self.leavers_since is not None and self.leavers_since > self.as_of:
            refuse("leavers_since")
        if self.money is not None and not self.currency:
            refuse("currency")
        for export in (*(s for _, s in self.sources.each()), *self.exports.values()):
            if export.table is not None and self.database is None:
                refuse("no_database", table=export.table)
            if export.file is not None and self.database is not None:
                refuse("file_and_database", label=export.label)
        return self


def _with_direction(name: str, given: Any) -> Any:
    """Add what follows from the metric itself: the good end of NPS and CES."""
    if not isinstance(given, Mapping):
        return given
    given, good = dict(given), given.get("good")
    try:
        scale = [int(v) for v in given.get("scale", [])]
    except (TypeError, ValueError):
        return given  # the model reports it, with the path of the key
    if name == "nps":
        if scale == [-100, 100]:
            refuse("nps_result", at="nps.scale")
        if len(scale) == 2 and scale not in ([0, 10], [1, 10]):
            refuse("nps_scale", at="nps.scale", low=scale[0], high=scale[1])
        if good not in (None, "high"):
            refuse("nps_good", at="nps.good", good=good)
        given["good"] = "high"
    if name == "ces":
        version = {"1": "1.0", "2": "2.0"}.get(str(given.get("version")), str(given.get("version")))
        if version not in GOOD_END:
            refuse("ces_version", at="ces.version")
        if good not in (None, GOOD_END[version]):
            refuse("ces_good", at="ces.good", good=good, version=version)
        given["good"] = GOOD_END[version]
    elif given.get("version") not in (None, ""):
        refuse("no_version", at=f"{name}.version")
    if name not in ("nps", "ces") and good in (None, ""):
        refuse("good_missing", at=f"{name}.good")
    return given


def check(given: Mapping[str, Any]) -> Settings:
    """Return the settings. Errors: InputError with the key path, the fault, and what is allowed."""
    if todo := _unsettled(given):
        raise InputError(
            f"Still to fill in: {', '.join(todo)}",
            file=FILE,
            remedy="Replace each TODO; its comment says what to write.",
        )
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False)
    InputError.raise_all([_fault(one, given) for one in found])


def _fault(found: Mapping[str, Any], given: Any) -> InputError:
    """Return one fault of the settings with its key, value and remedy."""
    context = found.get("ctx", {})
    key = ".".join(k for k in (_key_path(found["loc"], given), context.get("key", "")) if k) or "the file"
    secret = key.startswith("database")
    value = found["input"] if isinstance(found["input"], (str, int, float)) and not secret else None
    if found["type"] == "missing":
        problem, remedy, value = f"{key} is missing", f"Add it: {key.rpartition('.')[2]}: ...", None
    elif found["type"] == "rule":
        problem, remedy, value = f"{key} {context['problem']}", context["remedy"], None
    elif found["type"] == "literal_error":
        problem, remedy = f"{key} is not one of the allowed values", f"Allowed: {context['expected']}."
    else:
        said = re.sub(r"^(Input|Value error,|Tuple) ?", "", found["msg"])
        problem, remedy = f"{key} {said[:1].lower()}{said[1:]}", "Correct the value."
    return InputError(problem, remedy=remedy, file=FILE, value=value)


def _unsettled(given: Any, path: str = "") -> list[str]:
    """Return the paths of all values that are still TODO."""
    below = given.items() if isinstance(given, Mapping) else enumerate(given) if isinstance(given, list) else ()
    found = [t for k, v in below for t in _unsettled(v, f"{path}.{k}".lstrip("."))]
    return [path] if given == "TODO" else found


def _key_path(location: tuple[str | int, ...], given: Any) -> str:
    """Return a path as written in the file, without the list around a single source."""
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
