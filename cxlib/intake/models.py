"""Common rules of the models of company.yaml: no unknown key, texts as written, and errors with a remedy."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from cxlib.errors import words

FILE = "company.yaml"
BLANK = ("", "NA", "N/A", "NULL", "null", "None", "NaN", "nan", "\\N")


def did_you_mean(name: object, known: list[str] | tuple[str, ...], what: str = "known") -> str:
    """Return "Did you mean 'x'? " for the closest known name, followed by the list of names."""
    close = difflib.get_close_matches(str(name), list(known), 1, 0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}The {what} ones are: {', '.join(known) or 'none'}."


def refusals(module: str) -> Callable[..., NoReturn]:
    """Return the raiser of a module's errors about values; ``at`` is the path below the value being checked."""
    said = words(module)["errors"]

    def refuse(name: str, /, at: str = "", **facts: object) -> NoReturn:
        problem, remedy = (text.format(**facts) for text in said[name])
        # Passed as context, so that braces in a value are not read as a template.
        raise PydanticCustomError("rule", "{problem}", {"problem": problem, "remedy": remedy, "key": at})

    return refuse


refuse = refusals(__file__)


def _words(value: Any) -> Any:
    """Return one text or number, or a list of them, as a list of texts."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(v, (list, tuple, dict, set)) for v in values):
        refuse("no_text")
    return [_word(v) for v in values]


def _word(value: Any) -> Any:
    if value is None:
        return ""
    return str(value) if isinstance(value, (bool, int, float, date)) else value


TEXT = {"type": ["string", "number", "boolean"]}  # in a JSON schema: YAML reads 2024 and yes as other than text
Word = Annotated[str, BeforeValidator(_word), WithJsonSchema(TEXT)]
Words = Annotated[list[str], BeforeValidator(_words), WithJsonSchema({"anyOf": [TEXT, {"type": "array"}]})]


class Model(BaseModel):
    """A part of company.yaml. An unknown key is an error; a key without a value counts as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            refuse("no_mapping", known=", ".join(cls._keys()))
        known = cls._keys()
        for key in given:
            if key not in known and key not in cls.model_fields:
                refuse("unknown_key", key=str(key), remedy=did_you_mean(key, known))
        # The empty text is a valid value of the key value.
        absent = {k for k, v in given.items() if v is None or (v in ("", "null", "~") and k != "value")}
        return {k: v for k, v in given.items() if k not in absent}

    @classmethod
    def _keys(cls) -> list[str]:
        return [f.alias or name for name, f in cls.model_fields.items()]
