"""The words of the pages: a template file beside each module of a question, one section a finding.

``churn/curves.en.toml`` stands beside ``churn/curves.py``. Its section ``[exits]`` holds the words of the finding
"exits":

    title = "Customers gone within a year"          # may use facts; then ``subject`` is the title without them
    headline = "{{ gone | percent }} of {{ worst | those }} had left after {{ horizon | months }}."
    detail = "..."
    caveats = ["...", "{% if left_out %}Excluded: {{ left_out | count }} answers.{% endif %}"]
    columns = { band = "Group", value = ["Share", "percent"] }      # the table: headings, and how cells are written

Facts are numbers, estimates and names; a template chooses among words and rounds, and never calculates. Another
language is another file (``curves.de.toml``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jinja2
from jinja2 import meta

from cxlib.errors import Unanswered
from cxlib.page.numbers import FILTERS
from cxlib.stats.estimate import NotEstimable

LANGUAGE = "en"
PARTS = ("title", "subject", "headline", "detail", "caveats")
ALWAYS = ("currency", "as_of", "least", "known", "initiative", "flagged")  # facts that every template may use
SHARED = Path(__file__).parent / "reasons.py"

ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)
ENVIRONMENT.filters |= FILTERS


def path_of(module: Path | str, language: str = LANGUAGE) -> Path:
    """Return the file with the words of a module."""
    return Path(module).with_suffix(f".{language}.toml")


@cache
def sections(path: Path) -> dict[str, dict[str, object]]:
    """Return the sections of a file of words; none where there is no file."""
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@cache
def _compiled(source: str) -> tuple[jinja2.Template, frozenset[str]]:
    names = meta.find_undeclared_variables(ENVIRONMENT.parse(source))
    return ENVIRONMENT.from_string(source), frozenset(names)


def _joined(text: str) -> str:
    """Return a text on one line a paragraph of the template, without the spaces that conditions leave."""
    return "\n".join(line for part in text.split("\n") if (line := " ".join(part.split())))


def render(source: str, facts: Mapping[str, object]) -> str:
    """Return a template in words. KeyError names the facts it asks for that were not given, in whatever branch."""
    template, names = _compiled(source)
    if missing := names - set(facts):
        raise KeyError(f"the words {source[:60]!r} ask for {', '.join(sorted(missing))}")
    return _joined(template.render(facts))


def line(source: str, facts: Mapping[str, object]) -> str:
    """Return a template in words, as one paragraph."""
    return " ".join(render(source, facts).split("\n"))


def asked_for(section: Mapping[str, object]) -> set[str]:
    """Return the facts that the words of a finding ask for."""
    found: set[str] = set()
    for part in PARTS:
        written = section.get(part, [])
        for source in [written] if isinstance(written, str) else written:
            found |= _compiled(source)[1]
    for heading, *_ in columns_of(section).values():
        found |= _compiled(heading)[1]
    return found


def columns_of(section: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Return the columns of a finding's table that a reader sees: heading and how their cells are written."""
    declared = section.get("columns", {})
    return {k: (v, "") if isinstance(v, str) else (v[0], v[1]) for k, v in declared.items()}


def section_of(module: Path | str, name: str) -> dict[str, object]:
    """Return a section of the words of a module; KeyError where it is not there."""
    path = path_of(module)
    if name not in sections(path):
        raise KeyError(f"{path.name} has no section [{name}]")
    return sections(path)[name]


def say(module: Path | str, name: str, part: str, **facts: object) -> str:
    """Return a text of a module's words, such as a label: ``say(__file__, "exits", "axis", horizon=365)``."""
    return line(section_of(module, name)[part], facts)


def reason(module: Path | str, error: Unanswered | NotEstimable, facts: Mapping[str, object]) -> tuple[str, str]:
    """Return why a question is not answered, and the remedy: words of the module, of its folder, or of all pages."""
    here = Path(module)
    for path in (path_of(here), path_of(here.parent / "reasons.py"), path_of(SHARED)):
        reasons = sections(path).get("reasons", {})
        if error.reason in reasons:
            said = reasons[error.reason]
            said = {"reason": said} if isinstance(said, str) else said
            known = {**facts, **error.facts}
            return line(said["reason"], known), line(said.get("remedy", ""), known)
    raise KeyError(f"no reasons file says {error.reason!r}")
