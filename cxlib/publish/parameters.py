"""Read the parameters cells of the notebooks and check given values against them, before anything runs."""

from __future__ import annotations

import ast
import difflib
import io
import json
import keyword
import math
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

from cxlib.errors import InputError

TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "None": type(None)}
RESERVED = {"company": "give the company as the argument of the run", "as_of": "give the date with --as-of"}


class ShellText(str):
    """A value typed in a shell; it is converted to the declared type by the rules of YAML."""


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell; ``types`` are the names of accepted types, empty if any type is accepted."""

    name: str
    default: object
    types: tuple[str, ...]
    comment: str = ""

    def check(self, value: object, file: str) -> object:
        """Return ``value`` as a notebook receives it; InputError if it has another type."""
        given = value
        if isinstance(value, ShellText):
            value = self._from_shell(value)
        if isinstance(value, tuple):
            value = list(value)
        if "float" in self.types and type(value) is int:
            value = float(value)
        fits = not self.types or type(value) in {TYPES[t] for t in self.types}
        if not fits or not _is_json(value):
            infinite = isinstance(value, float) and not math.isfinite(value)
            raise InputError(
                f"Parameter {self.name} takes {' or '.join(self.types) or 'a plain value'}, "
                f"not {'a number that is not finite' if infinite else type(value).__name__}",
                remedy=f"Its default is {self.default!r}{f': {self.comment}' if self.comment else ''}.",
                file=file,
                value=str(given) if isinstance(given, ShellText) else given,
            )
        return value

    def _from_shell(self, text: str) -> object:
        if "str" in self.types and not (text == "null" and "None" in self.types):
            return str(text)  # "007", "yes" and "2026-01-31" stay text, whatever YAML makes of them
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            return str(text)
        if "float" in self.types and isinstance(value, str):
            try:
                return float(value)  # YAML 1.1 reads 1e3 as text
            except ValueError:
                pass
        return str(text) if isinstance(value, date) else value


@dataclass(frozen=True)
class Cell:
    """One cell of a notebook file: ``kind`` is code, markdown or raw."""

    kind: str
    source: str
    tags: tuple[str, ...] = ()


def read_cells(notebook: Path) -> list[Cell]:
    """Return the cells of a notebook file; InputError if it is not one. (nbformat would take seconds to import.)"""
    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        return [
            Cell(c["cell_type"], "".join(c["source"]), tuple(c.get("metadata", {}).get("tags", ())))
            for c in content["cells"]
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError("This is not a notebook", remedy="Restore it from version control.", file=notebook) from error


def declared(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name, from its one cell tagged ``parameters``, without running it.

    The cell contains only lines such as ``draws: int = 1000  # resamples behind every interval``: a plain literal, with
    or without a simple type and a comment. Anything else raises InputError.
    """
    tagged = [c.source for c in read_cells(notebook) if c.kind == "code" and "parameters" in c.tags]
    if not tagged:
        return {}
    if len(tagged) > 1:
        raise InputError(
            "The notebook has more than one cell tagged parameters",
            remedy="Keep one: only the first would be used.",
            file=notebook.name,
        )
    source = tagged[0]
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        raise _unclear(notebook, error.lineno or 1) from error
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for line in lines:
        if isinstance(line, ast.Assign) and len(line.targets) == 1:
            target, annotation = line.targets[0], None
        elif isinstance(line, ast.AnnAssign) and line.value is not None:
            target, annotation = line.target, line.annotation
        elif isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue  # a string that explains the cell
        else:
            raise _unclear(notebook, line.lineno)
        try:
            default = ast.literal_eval(line.value)
            types = _types(annotation) if annotation else _types_of(default)
        except ValueError as error:
            raise _unclear(notebook, line.lineno) from error
        if not isinstance(target, ast.Name) or target.id in found:
            raise _unclear(notebook, line.lineno)
        found[target.id] = Parameter(target.id, default, types, comments.get(line.end_lineno, ""))
    return found


def resolve(
    notebooks: Mapping[str, Mapping[str, Parameter]], given: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """Return the checked values for each notebook: notebook name -> parameter name -> value.

    ``notebooks``: declared parameters by notebook; ``given``: values by parameter. InputError if no notebook has a
    parameter of this name, if the name is not an identifier, or if the value has another type than declared.
    """
    known = sorted({name for parameters in notebooks.values() for name in parameters} - RESERVED.keys())
    for name in given:
        if name in RESERVED:
            raise InputError(f"{name} cannot be set as a parameter", remedy=f"Instead, {RESERVED[name]}.")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise InputError("A parameter name must be a Python identifier", remedy=_names(known), value=name)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise InputError(f"No notebook has a parameter {name}", remedy=hint + _names(known))
    return {
        notebook: {name: parameters[name].check(value, notebook) for name, value in given.items() if name in parameters}
        for notebook, parameters in notebooks.items()
    }


def _names(known: Iterable[str]) -> str:
    return f"Known parameters: {', '.join(known) or 'none'}."


def _types_of(default: object) -> tuple[str, ...]:
    return () if default is None else (type(default).__name__,) if type(default) in TYPES.values() else _refuse()


def _types(annotation: ast.expr) -> tuple[str, ...]:
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _types(annotation.left) + _types(annotation.right)
    if isinstance(annotation, ast.Subscript):  # list[str]: the type of the members is not checked
        return _types(annotation.value)
    name = "None" if isinstance(annotation, ast.Constant) and annotation.value is None else ast.unparse(annotation)
    return (name,) if name in TYPES else _refuse()


def _refuse() -> tuple[str, ...]:
    raise ValueError("not a simple type")


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_json(v) for k, v in value.items())
    return type(value) in {str, int, bool, type(None)} or (type(value) is float and math.isfinite(value))


def _unclear(notebook: Path, line: int) -> InputError:
    return InputError(
        f"Line {line} of the parameters cell is not a plain assignment",
        remedy=f"Write name = value or name: type = value, once per name. The types are {', '.join(TYPES)}.",
        file=notebook.name,
    )
