"""What is not answered: one line for a page or a report, and below it each reason with its questions and remedy."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

from cxlib.page import words
from cxlib.page.findings import NOT_ANSWERED

NAMED = 3  # reasons that the line names


def gaps(findings: Iterable[Mapping[str, object]]) -> dict[str, list[Mapping[str, object]]]:
    """Return those of findings (as in findings.json) that are not answered, by reason, the most frequent first.

    A question of two pages counts once.
    """
    found: dict[str, list[Mapping[str, object]]] = {}
    for f in {f["name"]: f for f in findings if not f.get("answered", True)}.values():
        found.setdefault(str(f["headline"]).removeprefix(NOT_ANSWERED).rstrip("."), []).append(f)
    return dict(sorted(found.items(), key=lambda gap: -len(gap[1])))


def line(found: Mapping[str, list]) -> str:
    """Return in one line how many questions are not answered, and the main reasons."""
    sizes = {reason: len(each) for reason, each in found.items()}
    named = dict(list(sizes.items())[:NAMED])
    count = sum(sizes.values())
    return words.say(__file__, "line", "text", count=count, named=named, others=count - sum(named.values()))


def markup(found: Mapping[str, list]) -> str:
    """Return the line as HTML, with what to add in a part that opens."""
    items = (words.say(__file__, "line", "item", reason=reason, each=each) for reason, each in found.items())
    more = f"<summary>{words.say(__file__, 'line', 'more')}</summary>"
    more += f"<ul>{''.join(f'<li>{html.escape(i)}</li>' for i in items)}</ul>"
    return f'<div class="gaps"><p>{html.escape(line(found))}</p><details>{more}</details></div>'
