"""What is not answered: one line for a page or a report, and below it each reason with its questions and remedy."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cxlib.page import words
from cxlib.page.findings import NOT_ANSWERED

NAMED = 3  # reasons that the line names


@dataclass(frozen=True)
class Gap:
    """A reason, the questions that it leaves without an answer, and what to add."""

    reason: str
    questions: tuple[str, ...]
    remedies: tuple[str, ...]


def gaps(findings: Iterable[Mapping[str, object]]) -> list[Gap]:
    """Return the reasons of those of findings (as in findings.json) that are not answered, the most frequent first.

    A question of two pages counts once.
    """
    found: dict[str, tuple[dict, dict]] = {}
    for f in {f["name"]: f for f in findings if not f.get("answered", True)}.values():
        reason = str(f["headline"]).removeprefix(NOT_ANSWERED).rstrip(".")
        questions, remedies = found.setdefault(reason, ({}, {}))
        questions[f["title"]] = remedies[f["detail"]] = None
    each = [Gap(reason, tuple(q), tuple(filter(None, r))) for reason, (q, r) in found.items()]
    return sorted(each, key=lambda g: -len(g.questions))


def line(found: list[Gap]) -> str:
    """Return in one line how many questions are not answered, and the main reasons; "" if all are."""
    count = sum(len(g.questions) for g in found)
    others = sum(len(g.questions) for g in found[NAMED:])
    return words.say(__file__, "line", "text", count=count, reasons=found[:NAMED], others=others) if found else ""


def markup(found: list[Gap]) -> str:
    """Return the line as HTML, with what to add in a part that opens."""
    items = "".join(f"<li>{html.escape(words.say(__file__, 'line', 'item', gap=g))}</li>" for g in found)
    more = f"<details><summary>{words.say(__file__, 'line', 'more')}</summary><ul>{items}</ul></details>"
    return f'<div class="gaps"><p>{html.escape(line(found))}</p>{more}</div>'
