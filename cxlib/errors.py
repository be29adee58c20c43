"""The one error a person sees when input is wrong: what, where and the remedy, never a traceback."""

from __future__ import annotations


class InputError(Exception):
    """Wrong data, settings or parameters. The shell prints its text and exits with 2.

    Give what is wrong (``problem``), where (``file``, ``row``, ``column``, ``value``: those that apply; a
    ``row`` is the row a spreadsheet shows, the header being row 1) and what to do about it (``remedy``).
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

    ``reason`` is a key of the reasons (``reasons.en.toml`` of the question, else of ``cxlib.page``), ``facts`` are what
    its words need. The question's ``finding`` turns it into words; nothing else catches it, but to go on without a part.
    """

    def __init__(self, reason: str, **facts: object) -> None:
        self.reason, self.facts = reason, facts
        super().__init__(reason)
