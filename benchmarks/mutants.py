"""Do the tests notice when an operator is wrong? Random one-operator changes in statistics, counts and questions.

    python bootstrap.py -m benchmarks.mutants [--seed 1] [--mutants 60] [--only cxlib/stats] [--list]

Each change is made in a copy of the project and must fail one of: the tests of ``make quick`` that import the
changed module, or the net (tests/net.py) on the pages that run the changed line. Lines that no page runs are left
to the tests. The survivors are printed; a change that cannot matter (an equal bound of a display) is one of them.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("stats", "counts", "scores", "churn", "value", "roi")
SECONDS = 900  # for one mutant and one page; a change that never ends is noticed too
SWAPS: dict[type, list[str]] = {
    ast.Add: ["-"],
    ast.Sub: ["+"],
    ast.Mult: ["/"],
    ast.Div: ["*"],
    ast.Mod: ["*"],
    ast.FloorDiv: ["/"],
    ast.Lt: [">=", "<="],
    ast.LtE: [">", "<"],
    ast.Gt: ["<=", ">="],
    ast.GtE: ["<", ">"],
    ast.Eq: ["!="],
    ast.NotEq: ["=="],
    ast.And: ["or"],
    ast.Or: ["and"],
    ast.BitAnd: ["|"],
    ast.BitOr: ["&"],
}
SIGNS = dict(
    zip(SWAPS, ("+", "-", "*", "/", "%", "//", "<", "<=", ">", ">=", "==", "!=", "and", "or", "&", "|"), strict=True)
)


@dataclass(frozen=True)
class Mutant:
    """One operator of one line, and what stands in its place."""

    path: str
    line: int
    start: int  # of the operator in the text, in characters
    was: str
    becomes: str

    def apply(self, text: str) -> str:
        return text[: self.start] + self.becomes + text[self.start + len(self.was) :]

    def __str__(self) -> str:
        code = (ROOT / self.path).read_text().splitlines()[self.line - 1].strip()
        return f"{self.path}:{self.line}: {self.was} -> {self.becomes}   {code[:110]}"


def _skipped(tree: ast.Module) -> set[int]:
    """Return the nodes in which a change is none of a number: annotations and texts of errors."""
    found: set[int] = set()
    for node in ast.walk(tree):
        parts = []
        if isinstance(node, ast.Raise):
            parts = [node]
        elif isinstance(node, (ast.FunctionDef, ast.AnnAssign, ast.arg)):
            parts = [p for p in (getattr(node, "returns", None), getattr(node, "annotation", None)) if p]
        for part in parts:
            found |= {id(n) for n in ast.walk(part)}
    return found


def sites(path: Path) -> list[Mutant]:
    """Return all one-operator changes of a module."""
    text = path.read_text()
    tree, lines = ast.parse(text), text.splitlines(keepends=True)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    skipped, found = _skipped(tree), []

    def between(left: ast.expr, right: ast.expr, operator: ast.AST) -> None:
        first = offsets[left.end_lineno - 1] + len(lines[left.end_lineno - 1].encode()[: left.end_col_offset].decode())
        last = offsets[right.lineno - 1] + len(lines[right.lineno - 1].encode()[: right.col_offset].decode())
        sign = SIGNS.get(type(operator))
        at = text.find(sign, first, last) if sign else -1
        if at >= 0:
            line = text.count("\n", 0, at) + 1
            name = str(path.relative_to(ROOT))
            found.extend(Mutant(name, line, at, sign, swap) for swap in SWAPS[type(operator)])

    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.BinOp):
            between(node.left, node.right, node.op)
        elif isinstance(node, ast.Compare):
            for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                between(left, right, operator)
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:], strict=False):
                between(left, right, node.op)
    return found


def chosen(seed: int, many: int, only: str) -> list[Mutant]:
    """Return a random sample of changes, one at most for an operator."""
    every = [m for room in ROOMS for p in sorted((ROOT / "cxlib" / room).glob("*.py")) for m in sites(p)]
    every = [m for m in every if m.path.startswith(only)]
    random.Random(seed).shuffle(every)
    seen, found = set(), []
    for mutant in every:
        if (place := (mutant.path, mutant.start)) not in seen:
            seen.add(place)
            found.append(mutant)
    return found[:many]


def _cases() -> list[tuple[str, str]]:
    sys.path.insert(0, str(ROOT / "tests"))
    import net

    return [(c, n) for c in net.COMPANIES for n in net.NOTEBOOKS if c.startswith("demo") or net.EXPORTS.exists()]


def covered(folder: Path) -> dict[str, list[tuple[str, str, float]]]:
    """Return by "module:line" the pages whose run takes part in it, and how long each took; kept in ``folder``."""
    kept = folder / "covered.json"
    if kept.exists():
        return json.loads(kept.read_text())
    found: dict[str, list] = {}

    def lines_of(case: tuple[str, str]) -> tuple[float, dict[str, list[int]]]:
        company, notebook = case
        out = folder / f"{company}-{notebook}.json"
        code = (
            "import sys, time, json, coverage; sys.path.insert(0, 'tests')\n"
            "c = coverage.Coverage(data_file=None, source=['cxlib']); c.start()\n"
            f"import net; t = time.time(); net.lines({notebook!r}, {company!r}); t = time.time() - t; c.stop()\n"
            "d = c.get_data(); lines = {f: sorted(d.lines(f)) for f in d.measured_files()}\n"
            f"json.dump([t, lines], open({str(out)!r}, 'w'))\n"
        )
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=_environment())
        return json.loads(out.read_text())

    cases = _cases()
    with ThreadPoolExecutor(multiprocessing.cpu_count()) as pool:
        for (company, notebook), (seconds, lines) in zip(cases, pool.map(lines_of, cases), strict=True):
            for path, numbers in lines.items():
                for n in numbers:
                    found.setdefault(f"{Path(path).relative_to(ROOT)}:{n}", []).append((company, notebook, seconds))
    kept.write_text(json.dumps(found))
    return found


def _environment() -> dict[str, str]:
    return dict(os.environ) | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _run(command: list[str], cwd: Path, seconds: float) -> bool:
    """Run a command and tell whether it passed within the time."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds) in (0, 5)  # 5: no test here needs no engine
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return False


def _tests_of(module: str) -> list[str]:
    """Return the test files without an engine that import a module."""
    package, name = module.removesuffix(".py").replace("/", ".").rsplit(".", 1)
    found = []
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        text = path.read_text()
        if f"{package}.{name}" in text or (f"from {package} import" in text and name in text):
            found.append(f"tests/{path.name}")
    return found


def noticed(mutant: Mutant, where: dict, folder: Path) -> str:
    """Return which test or page noticed a change, "" if none did."""
    copy = Path(tempfile.mkdtemp(dir=folder))
    try:
        project = copy / "main"
        shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(".git", ".venv", "reports", ".pytest*", ".ruff*"))
        if (ROOT.parent / "shared").exists():
            (copy / "shared").symlink_to(ROOT.parent / "shared")
        target = project / mutant.path
        target.write_text(mutant.apply(target.read_text()))
        run = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        if (tests := _tests_of(mutant.path)) and not _run([*run, "-m", "not engine", *tests], project, SECONDS):
            return "make quick"
        pages = sorted(where.get(f"{mutant.path}:{mutant.line}", []), key=lambda page: page[2])
        for company, notebook, _ in pages:
            case = f"tests/test_net.py::test_every_number_is_as_it_was[{company}-{notebook}]"
            if not _run([*run, case], project, SECONDS):
                return f"net: {company} {notebook}"
        return ""
    finally:
        shutil.rmtree(copy)


def main() -> None:
    """Try the changes, two at a time, and print what was noticed and what survived."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutants", type=int, default=60)
    parser.add_argument("--only", default="cxlib/", help="the beginning of the path of what is changed")
    parser.add_argument("--list", action="store_true", help="only list the changes")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "mutants")
    options = parser.parse_args()
    mutants = chosen(options.seed, options.mutants, options.only)
    if options.list:
        print("\n".join(map(str, mutants)))
        return
    options.folder.mkdir(exist_ok=True)
    where, started, survivors = covered(options.folder), time.monotonic(), []
    with ThreadPoolExecutor(multiprocessing.cpu_count()) as pool:
        for mutant, by in zip(mutants, pool.map(lambda m: noticed(m, where, options.folder), mutants), strict=True):
            print(f"{by or 'SURVIVED':32s} {mutant}", flush=True)
            survivors += [] if by else [mutant]
    minutes = (time.monotonic() - started) / 60
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} noticed in {minutes:.0f} minutes; survivors:")
    print("\n".join(map(str, survivors)))


if __name__ == "__main__":
    main()
