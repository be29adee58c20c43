"""The two exceptions of the library: input that is wrong, and questions that the data cannot answer."""

from __future__ import annotations


class InputError(Exception):
    """Wrong data, settings or parameters. The shell prints its text, without a traceback, and exits with 2.

    ``problem`` says what is wrong and ``remedy`` what to do about it. ``file``, ``row``, ``column`` and ``value`` say
    where, as far as they apply; ``row`` is the number that a spreadsheet shows, with the header as row 1.
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
        self.problem, self.remedy = problem, remedy
        self.file, self.row, self.column, self.value = file, row, column, value
        places = {"file": file, "row": row, "column": column, "value": value}
        where = ", ".join(f"{k} {v!r}" if k == "value" else f"{k} {v}" for k, v in places.items() if v is not None)
        super().__init__(f"{problem}{f' ({where})' if where else ''}. {remedy}")


class Unanswered(Exception):
    """A question that these data cannot answer.

    ``reason`` is a key under ``[reasons]`` of the module's template, or of ``reasons.en.toml`` of its folder or of
    ``cxlib.page``. ``facts`` are what its words ask for. ``cxlib.page.findings`` turns it into words; elsewhere it is
    only caught to continue without an optional part.
    """

    def __init__(self, reason: str, **facts: object) -> None:
        self.reason, self.facts = reason, facts
        super().__init__(reason)
