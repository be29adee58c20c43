"""Strict notebook parameters: one model per notebook, the same check in JupyterLab, papermill and the batch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import date

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from cxlib.errors import faults, words
from cxlib.intake.models import did_you_mean

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
fault = faults(__file__)


class Parameters(BaseModel):
    """What every notebook takes; a question module adds its own fields by inheriting."""

    model_config = STRICT | ConfigDict(extra="forbid", frozen=True)

    company: str = "demo"
    as_of: str = ""

    @field_validator("as_of")
    @classmethod
    def _is_a_date(cls, value: str) -> str:
        try:
            return value and date.fromisoformat(value).isoformat()
        except ValueError:
            raise ValueError(words(__file__)["dates"]) from None


def model_of(notebook: str) -> type[Parameters] | None:
    """Return the parameter model of a notebook: ``cxlib.churn.Parameters`` for "03_churn"; None if it has no module.

    That of 00_data_check is in ``cxlib.overview``.
    """
    name = notebook.partition("_")[2]
    for module in (f"cxlib.{name}", f"cxlib.overview.{name}"):
        try:
            return getattr(importlib.import_module(module), "Parameters", Parameters)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    return None


def check(notebook: str, values: Mapping[str, object]) -> Parameters:
    """Return the checked parameters of a notebook.

    Errors: InputError for the first unknown name, wrong type or impossible value, naming what is allowed.
    """
    model = model_of(notebook) or Parameters
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = did_you_mean(name, [*model.model_fields])
            raise fault("unknown", notebook=notebook, name=name, known=known) from None
        said, default = first["msg"].removeprefix("Value error, "), model.model_fields[name].default
        said = said[:1].lower() + said[1:]
        raise fault("refused", notebook=notebook, name=name, said=said, value=first["input"], default=default) from None
