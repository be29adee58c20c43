"""A finding: headline, detail, caveats, figures, table and how it is known, made from one answer of a question.

A question is a function with the decorator ``finding``. It calculates and returns ``answer(...)``: facts, table,
figures and how they are known; the words stand in the template beside it (``cxlib.page.words``). What cannot be
answered it raises as ``Unanswered``; here, and nowhere else, that becomes a finding which says so.
"""

from __future__ import annotations

import html
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import ParamSpec

import pandas as pd

from cxlib.errors import Unanswered
from cxlib.page import tables, words
from cxlib.page.known import EACH, EFFECTS, KNOWN
from cxlib.stats.estimate import Estimate, NotEstimable

P = ParamSpec("P")
NOT_ANSWERED = "Not answered: "
__all__ = ["EACH", "EFFECTS", "KNOWN", "Answer", "Figure", "Finding", "answer", "finding", "slug", "table"]


@dataclass(frozen=True)
class Figure:
    """One headline number: value with interval in ``unit``, over ``n`` of ``base``; ``note`` says why if it has none.

    ``known`` is how it is known, where that differs from its finding.
    """

    name: str
    label: str
    estimate: Estimate
    unit: str
    base: str = "customers"
    note: str = ""
    known: str = ""

    def row(self) -> dict[str, object]:
        """Return the figure as a flat record (NaN becomes None, so that it is valid JSON)."""
        e = self.estimate
        numbers = {"value": e.value, "low": e.low, "high": e.high, "n": e.n}
        finite = {k: (None if not math.isfinite(v) else float(v)) for k, v in numbers.items()}
        if finite["low"] is None and not self.note:
            raise ValueError(f"figure {self.name!r} has no interval and no note saying why")
        words_ = {"unit": self.unit, "base": self.base, "note": self.note, "known": self.known}
        return {"name": self.name, "label": self.label} | finite | words_


@dataclass(frozen=True, eq=False)
class Answer:
    """What a question worked out: how it is known, the table of its chart, headline numbers, facts for the words.

    ``counted``: the count table it was worked out from.
    """

    known: str
    table: pd.DataFrame
    figures: tuple[Figure, ...]
    facts: Mapping[str, object]
    counted: pd.DataFrame


def answer(
    known: str,
    table: pd.DataFrame | None = None,
    figures: Iterable[Figure] = (),
    counted: pd.DataFrame | None = None,
    /,
    **facts: object,
) -> Answer:
    """Return what a question worked out; ``facts`` are what its template asks for."""
    table, counted = (pd.DataFrame() if frame is None else frame for frame in (table, counted))
    return Answer(known, table, tuple(figures), facts, counted)


@dataclass(frozen=True, eq=False)
class Finding:
    """What a section found, in layers; ``facts`` are the numbers its words are made of.

    ``table`` is what its chart draws, ``columns`` are those a reader sees: heading and how cells are written, amounts
    in ``currency``. ``counted`` is the count table behind it, to be fitted anew (empty where there is none alone). As
    the value of a cell it shows itself as a page does.
    """

    name: str
    title: str
    headline: str
    known: str = "observed"
    detail: str = ""
    caveats: tuple[str, ...] = ()
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    figures: tuple[Figure, ...] = ()
    answered: bool = True
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    currency: str | None = None
    counted: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __post_init__(self) -> None:
        """Refuse a way of knowing that does not exist."""
        ways = {self.known, *(f.known for f in self.figures)} - {"", EACH}
        if unknown := ways - set(KNOWN):
            raise ValueError(f"known {listed(unknown)} is none of {', '.join(KNOWN)}")

    @property
    def texts(self) -> tuple[str, ...]:
        """Return all that the finding says, headline first."""
        return tuple(t for t in (self.headline, self.detail, *self.caveats) if t)

    def said(self, caveats: Iterable[str]) -> tuple[str, str]:
        """Return its words as HTML and as text, with these caveats; of what is not answered only its title and why."""
        if not self.answered:
            line = f"{self.title} ({self.headline.rstrip('.')})"
            return f'<p class="unanswered"><em>{html.escape(line)}</em></p>', line
        rest = [t for t in (self.detail, *caveats) if t]
        label = "" if self.known == EACH else f"How we know: {KNOWN[self.known]}."
        parts = [f'<p class="headline"><strong>{_markup(self.headline)}</strong></p>']
        parts += [f"<p>{_markup(t)}</p>" for t in rest]
        parts += [f'<p class="how"><em>{html.escape(label)}</em></p>'] * bool(label)
        return f'<div class="finding">{"".join(parts)}</div>', "\n".join([self.headline, *rest, *[label] * bool(label)])

    def __repr__(self) -> str:
        return f"Finding({self.name!r}: {self.headline})"

    def _repr_html_(self) -> str:
        """Return its words, all caveats and its table, as the value of a cell of a notebook."""
        shown = tables.written(self.table, self.columns, self.currency)
        return self.said(self.caveats)[0] + (shown.to_html(index=False, border=0) if len(shown) else "")


def _markup(text: str) -> str:
    """Return a text as HTML in which no line breaks between a minus sign and its currency."""
    return re.sub(r"−(?=[^\W\d]|[£€$¥])", "−\N{WORD JOINER}", html.escape(text))


def listed(names: Iterable[str]) -> str:
    """Return names for an error message."""
    return ", ".join(repr(n) for n in sorted(names))


def slug(*parts: object) -> str:
    """Return names as the name of a figure: "tenure-median-pro"."""
    return "-".join("-".join(str(w).lower().split()) for w in parts)


def finding(
    section: str, named: Callable[..., str] | None = None
) -> Callable[[Callable[P, Answer]], Callable[P, Finding]]:
    """Make a question's answer a finding in the words of a section of the template beside it.

    ``named``: the finding's name from the arguments of the question, where one section serves several (one a
    programme). Facts that the words do not ask for, and words that ask for facts not given, are errors of the program
    (KeyError).
    """

    def wrap(question: Callable[P, Answer]) -> Callable[P, Finding]:
        module = inspect.getfile(question)

        @wraps(question)
        def ask(*args: P.args, **kwargs: P.kwargs) -> Finding:
            name = named(*args, **kwargs) if named else section
            said = words.section_of(module, section)
            always = _always(*args, *kwargs.values())
            try:
                found = question(*args, **kwargs)
            except (Unanswered, NotEstimable) as error:
                why, remedy = words.reason(module, error, always)
                title = words.line(said.get("subject", said["title"]), always | error.facts)
                return Finding(name, title, f"{NOT_ANSWERED}{why.rstrip('.')}.", "count", remedy, answered=False)
            facts = {**always, **found.facts, "known": found.known}
            if unused := set(found.facts) - words.asked_for(said):
                raise KeyError(f"no words of [{section}] ask for {listed(unused)}")
            written = {k: words.line(said.get(k, ""), facts) for k in ("title", "headline", "detail")}
            caveats = [line for c in said.get("caveats", []) for line in words.render(c, facts).split("\n") if line]
            columns = {k: (words.render(h, facts), how) for k, (h, how) in words.columns_of(said).items()}
            return Finding(
                name, written["title"], written["headline"], found.known, written["detail"], tuple(caveats),
                found.table, found.figures, columns=columns, facts=found.facts, currency=always["currency"],
                counted=found.counted,
            )  # fmt: skip

        return ask

    return wrap


def _always(*args: object) -> dict[str, object]:
    """Return the facts that every template may use, of the company among the arguments of a question."""
    company = next((a for a in args if hasattr(a, "settings") and hasattr(a, "as_of")), None)
    if company is None:
        return dict.fromkeys(words.ALWAYS, "")
    s, about = company.settings, next((n for a in args if (n := _initiative(a))), "")
    always = {"currency": s.currency or "", "as_of": company.as_of, "least": s.privacy.minimum_base, "known": ""}
    return always | {"initiative": about, "flagged": company.has("customers", "left")}


def _initiative(what: object) -> str:
    """Return the name of the initiative that an argument is, or is about; "" if it is none."""
    programme = getattr(what, "programme", what)
    return programme.name if hasattr(programme, "attribution_share") else ""


def table(rows: Iterable[Mapping[str, object]], keys: list[str]) -> pd.DataFrame:
    """Return records whose ``estimate`` is spread into value, low, high and n after the key columns."""
    flat = []
    for row in rows:
        rest = dict(row)
        e = rest.pop("estimate")
        front = {k: rest.pop(k) for k in keys}
        flat.append(front | {"value": e.value, "low": e.low, "high": e.high, "n": e.n} | rest)
    return pd.DataFrame(flat, columns=None if flat else [*keys, "value", "low", "high", "n"])
