"""The two exceptions of the library: input that is wrong, and questions that the data cannot answer."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

PLACES = ("file", "row", "column", "value")


class InputError(Exception):
    """Wrong data, settings or parameters. The shell prints its text, without a traceback, and exits with 2.

    ``problem`` says what is wrong and ``remedy`` what to do about it. ``file``, ``row``, ``column`` and ``value`` say
    where, as far as they apply; ``row`` is the number that a spreadsheet shows, with the header as row 1. ``others``
    are further errors found at the same time.
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        file: object = None,
        row: int | None = None,
        column: str | None = None,
        value: object = None,
    ) -> None:
        self.problem, self.remedy, self.others = problem, remedy, []
        self.file, self.row, self.column, self.value = file, row, column, value
        places = {"file": _short(file, 250), "row": row, "column": column, "value": _short(value)}
        where = ", ".join(f"{k} {v!r}" if k == "value" else f"{k} {v}" for k, v in places.items() if v is not None)
        super().__init__(f"{problem}{f' ({where})' if where else ''}. {remedy}")

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *map(str, self.others)])

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]

    @staticmethod
    def raise_all(errors: Sequence[InputError]) -> None:
        """Raise the first error with the others attached, if there are any."""
        if errors:
            errors[0].others += errors[1:]
            raise errors[0]


@cache
def words(module: str) -> dict[str, Any]:
    """Return the words and data of a module: the TOML file of its name beside it."""
    return tomllib.loads(Path(module).with_suffix(".toml").read_text(encoding="utf-8"))


def faults(module: str) -> Callable[..., InputError]:
    """Return the maker of a module's errors by name: [errors] of its ``words`` has problem and remedy of each.

    Example: ``fault = faults(__file__)``, then ``raise fault("no_sheet", file=path, sheet="May", known="June")``.
    """
    said = words(module)["errors"]

    def fault(name: str, /, **facts: object) -> InputError:
        problem, remedy = (text.format(**facts) for text in said[name])
        return InputError(problem, remedy=remedy, **{k: facts[k] for k in PLACES if k in facts})

    return fault


def _short(value: object, most: int = 80) -> object:
    return f"{str(value)[:most]}..." if value is not None and len(str(value)) > most else value


class Unanswered(Exception):
    """A question that these data cannot answer.

    ``reason`` is a key under ``[reasons]`` of the module's template, or of ``reasons.en.toml`` of its folder or of
    ``cxlib.page``. ``facts`` are what its words ask for. ``cxlib.page.findings`` turns it into words; elsewhere it is
    only caught to continue without an optional part.
    """

    def __init__(self, reason: str, **facts: object) -> None:
        self.reason, self.facts = reason, facts
        super().__init__(reason)
