"""The house keeps its rules: who may import whom, no circles, sizes, and nothing that does not belong in the files."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
    for p in (ROOT / "cxlib").rglob("*.py")
}
QUESTIONS = {
    "agreement",
    "board",
    "buying",
    "cash",
    "churn",
    "comparison",
    "concentration",
    "contracts",
    "data_check",
    "finance",
    "forecast",
    "hazards",
    "landmark",
    "mix",
    "movement",
    "newcomers",
    "outcome",
    "priorities",
    "renewals",
    "renewing",
    "resamples",
    "retention",
    "risk",
    "roi",
    "scenarios",
    "scores",
    "silence",
    "support",
    "tenure",
    "timing",
    "trials",
    "upsell",
    "value",
    "worth",
}


def room(module: str) -> str:
    name = ([*module.split("."), ""])[1]
    return "question" if name in QUESTIONS else name


# Each room and the rooms of cxlib it may know.
MAY_KNOW = {
    "": {"intake"},  # cxlib itself offers open_company
    "errors": set(),
    "paths": {""},
    "stats": {"stats"},
    "intake": {"intake", "errors", "paths"},
    "findings": {"stats"},
    "parameters": {"errors"},
    "question": {"errors", "intake", "stats", "findings", "parameters", "question"},
    "charts": set(),
    "page": {"", "charts", "errors", "findings", "intake", "parameters"},
    "publish": {"", "errors", "intake", "page", "parameters", "paths", "publish"},
    "demo": {"demo", "paths", "stats"},
    "cli": {"", "errors", "intake", "paths", "publish"},
    "__main__": {"cli"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] == "cxlib"}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cxlib":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_knows_only_the_rooms_it_may(module):
    known = MAY_KNOW[room(module)]
    strangers = {i for i in imports(MODULES[module]) if room(i) not in known and i != module}
    assert not strangers, f"{module} must not import {strangers}"


def test_no_module_imports_in_a_circle():
    graph = {m: imports(p) & set(MODULES) - {m} for m, p in MODULES.items()}
    done, path = set(), []

    def visit(module):
        assert module not in path, f"circle: {' -> '.join([*path, module])}"
        if module not in done:
            path.append(module)
            for other in graph[module]:
                visit(other)
            path.pop()
            done.add(module)

    for module in graph:
        visit(module)


def test_stats_holds_no_word_of_customer_experience():
    words = re.compile(r"\b(csat|psat|survey|touchpoint|churn|churned)\b", re.IGNORECASE)
    for module, path in MODULES.items():
        if room(module) == "stats":
            names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
            assert not [n for n in names if words.search(n)], module


def test_rooms_stay_small():
    sizes = {m: len(p.read_text().splitlines()) for m, p in MODULES.items()}
    assert {m: n for m, n in sizes.items() if n > 500} == {}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so which files belong to it is not known")
    return [ROOT / f for f in listed.stdout.splitlines() if (ROOT / f).is_file()]


def test_no_file_names_a_registry_a_machine_or_a_secret():
    registries = "|".join(["pypi" + r"\.org", "python" + "hosted", "npm" + "js", "conda" + r"\.anaconda"])
    machine = r"(^|[\s\"'=(])/(" + "|".join(["work", "root", "home/[a-z]", "Users/[a-z]"]) + ")/"
    secret = r"(?i)(password|secret|token)\s*[:=]\s*['\"][^'\"$<{ ]{6,}"
    for path in tracked():
        if path.suffix in {".parquet", ".png", ".xlsx"} or path == Path(__file__):
            continue
        text = path.read_text(errors="ignore")
        for what in (registries, machine, secret):
            hit = re.search(what, text, re.MULTILINE)
            assert not hit, f"{path.relative_to(ROOT)}: {hit.group(0)!r}"
