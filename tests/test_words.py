"""The words of the pages: every branch of every template can be written, says no more than it may, and stays short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jinja2
import lint
import pytest
from jinja2 import nodes

import cxlib
from cxlib.page import words
from cxlib.page.known import KNOWN
from cxlib.page.numbers import FILTERS

ROOM = Path(cxlib.__file__).parent
FILES = sorted(ROOM.rglob("*.en.toml"))
QUESTIONS = ("scores", "drivers", "churn", "value", "leading", "roi", "overview")
# Words that name an effect: a template leaves them to the filter ``verb``, which asks how the thing is known.
EFFECT = re.compile(
    r"\b(result(s|ed)? in|led to|leads to|caused|because of (it|the)|thanks to|brought about|made customers)\b",
    re.I,
)
ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)


def templates(section: dict, name: str = "") -> list[tuple[str, str]]:
    """Return the templates of a section, each with its place."""
    found = []
    for key, value in section.items():
        if isinstance(value, str):
            found.append((f"{name}.{key}", value))
        elif isinstance(value, dict):
            found += templates(value, f"{name}.{key}")
        elif key == "caveats":
            found += [(f"{name}.{key}", v) for v in value]
        else:  # a column: heading and filter
            assert len(value) == 2, (name, key)
            assert value[1] in FILTERS, (name, key, value)
            found.append((f"{name}.{key}", value[0]))
    return found


SECTIONS = [
    pytest.param(templates(section, name), id=f"{path.relative_to(ROOM).parent}/{path.stem.removesuffix('.en')}.{name}")
    for path in FILES
    for name, section in words.sections(path).items()
]


class Anything(float):
    """Stands for whatever a fact may be: a number, an estimate, a name, a list of two, a mapping of two."""

    def __new__(cls, value: float = 2.0) -> Anything:
        return super().__new__(cls, value)

    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__") or name in ("strftime",):
            raise AttributeError(name)
        return Anything({"low": 1.0, "high": 3.0}.get(name, 2.0))

    def __getitem__(self, key: object) -> Anything:
        return Anything()

    def __iter__(self):
        return iter((Anything(), Anything()))

    def __len__(self) -> int:
        return 2

    def __call__(self, *args: object, **kwargs: object) -> Anything:
        return Anything()

    def items(self):
        return [(Anything(), Anything())]

    def __str__(self) -> str:
        return "word"

    __format__ = lambda self, spec: "word"  # noqa: E731


def stand_in(filters: dict) -> dict:
    """Return filters that take Anything: names and dates are a word, numbers a number."""
    kept = {k: f for k, f in filters.items()}
    for k in ("day", "those", "listing", "verb", "lower_first", "plural", "months", "p_value"):
        kept[k] = lambda *_, k=k, **__: {"months": "12 months", "p_value": "p = 0.03", "day": "30 June 2026"}.get(
            k, "word"
        )
    return kept


def named(node: nodes.Expr) -> set[str]:
    return {node.name} if isinstance(node, nodes.Name) else set()


PERMISSIVE = words.ENVIRONMENT.overlay(undefined=jinja2.Undefined)
PERMISSIVE.filters = stand_in(words.ENVIRONMENT.filters) | {
    "length": lambda x: 2, "join": lambda x, *_: "word", "first": lambda x: Anything(), "last": lambda x: Anything()
}  # fmt: skip


def each_way(source: str) -> set[str]:
    """Return a template written with all its conditions true, all false, and each turned alone."""
    tree = PERMISSIVE.parse(source)
    facts = {name: Anything() for name in jinja2.meta.find_undeclared_variables(tree)} | {"currency": "GBP"}
    # Conditions on facts; whether a loop is at its first or last turn it knows itself.
    conditions = [
        node
        for node in tree.find_all((nodes.If, nodes.CondExpr))
        if "loop" not in {x.name for x in node.test.find_all(nodes.Name)} | named(node.test)
    ]
    several = len(conditions)
    for i, node in enumerate(conditions):
        node.test = nodes.Name(f"condition_{i}", "load")
    template = jinja2.Template.from_code(PERMISSIVE, PERMISSIVE.compile(tree), PERMISSIVE.globals)
    ways = [[True] * several, [False] * several]
    ways += [[i == k for i in range(several)] for k in range(several)]
    ways += [[i != k for i in range(several)] for k in range(several)]
    return {
        words._joined(template.render(facts | {f"condition_{i}": value for i, value in enumerate(way)})) for way in ways
    }


@pytest.mark.parametrize("written", SECTIONS)
def test_every_branch_can_be_written_and_no_sentence_is_too_long(written):
    for place, source in written:
        for text in each_way(source):
            for line in text.split("\n"):
                for sentence in lint.sentences(line):
                    assert lint.words(sentence) <= lint.MOST_WORDS, (place, sentence)
                assert not lint.DIALECT.search(line), (place, line)
                assert not EFFECT.search(line), (place, line)
            if place.endswith((".headline", ".title", ".subject")):
                assert lint.words(text) <= lint.MOST_HEADLINE_WORDS, (place, text)
            if place.endswith(".headline"):
                assert len(lint.numbers(text)) <= lint.MOST_NUMBERS, (place, text)


@pytest.mark.parametrize("written", SECTIONS)
def test_templates_choose_words_and_never_calculate(written):
    for place, source in written:
        tree = words.ENVIRONMENT.parse(source)
        assert not list(tree.find_all(ARITHMETIC)), place
        assert not {n.name for n in tree.find_all(nodes.Filter)} & {"sum", "round", "abs", "int", "float"}, place


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOM)))
def test_sections_hold_known_parts_and_a_title_without_facts(path):
    for name, section in words.sections(path).items():
        if name == "reasons" or "headline" not in section:
            continue
        assert isinstance(section.get("caveats", []), list), name
        headings = [h for h, _ in words.columns_of(section).values()]
        assert len(headings) == len(set(headings)), f"[{name}] has two columns of one heading"
        plain = section.get("subject", section["title"])
        names = jinja2.meta.find_undeclared_variables(words.ENVIRONMENT.parse(plain))
        assert names <= set(words.ALWAYS), (
            f"[{name}] needs a subject: a title without facts, for when it is not answered"
        )


def literals(path: Path) -> list[str]:
    """Return the string literals of a module that readers may see: not docstrings, nor texts of errors."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            hidden |= {id(n) for n in ast.walk(node)}
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            hidden.add(id(node.body[0].value))
    found = []
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else " x " for v in node.values]
            found.append("".join(map(str, parts)))
            hidden |= {id(v) for v in node.values}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


MODULES = [p for q in QUESTIONS for p in sorted((ROOM / q).glob("*.py"))]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_no_sentence_stands_in_the_code_of_a_question(path):
    long = [s for s in literals(path) if len(re.findall(r"[A-Za-z]{2,}", s)) > 6]
    assert not long, long


def test_every_way_of_knowing_has_a_meaning_and_only_two_name_an_effect():
    from cxlib.page.known import EFFECTS, MEANING
    from cxlib.page.numbers import VERBS, verb

    assert set(MEANING) == set(KNOWN)
    assert {k for k in VERBS if verb(k) == "resulted in"} == set(EFFECTS)
    for known in set(KNOWN) - set(VERBS):
        with pytest.raises(ValueError, match="permits no verb"):
            verb(known)
