"""Read the parameters cells of the notebooks and check given values against them, before anything runs."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import JsonValue, Strict, TypeAdapter, ValidationError

from cxlib.errors import faults
from cxlib.intake.models import did_you_mean
from cxlib.page.parameters import STRICT

TYPES = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "list": Annotated[list[JsonValue], Strict(False)],  # a tuple becomes a list
    "dict": dict[str, JsonValue],
    "None": None,
}
RESERVED = {"company": "give the company as the argument of the run", "as_of": "give the date with --as-of"}
fault = faults(__file__)


class ShellText(str):
    """A value typed in a shell; it is converted to the declared type by the rules of YAML."""


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell; ``types`` are the names of accepted types, empty if any type is accepted."""

    default: object
    types: tuple[str, ...]
    comment: str = ""

    def check(self, name: str, value: object, file: str) -> object:
        """Return ``value`` as a notebook receives it; InputError if it has another type."""
        accepted = reduce(or_, (TYPES[t] for t in self.types)) if self.types else JsonValue
        read = self._from_shell(value) if isinstance(value, ShellText) else value
        try:
            return TypeAdapter(accepted, config=STRICT).validate_python(read)
        except ValidationError as error:
            types, said = " or ".join(self.types) or "a plain value", error.errors()[0]["msg"]
            default = f"{self.default!r}{f': {self.comment}' if self.comment else ''}"
            raise fault("type", file=file, value=value, name=name, types=types, said=said, default=default) from None

    def _from_shell(self, text: str) -> object:
        if "str" in self.types and not (text == "null" and "None" in self.types):
            return str(text)  # "007", "yes" and "2026-01-31" stay text, whatever YAML makes of them
        for read in (json.loads, yaml.safe_load):  # YAML 1.1 reads 1e3 as text
            try:
                value = read(text)
            except (ValueError, yaml.YAMLError):
                continue
            return str(text) if isinstance(value, date) else value
        return str(text)


def cells(notebook: Path) -> list[dict]:
    """Return the cells of a notebook file; InputError if it is not one. (nbformat would take seconds to import.)"""
    try:
        found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return [{"metadata": {}} | c | {"source": "".join(c["source"])} for c in found]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise fault("no_notebook", file=notebook) from error


def declared(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name, from its one cell tagged ``parameters``, without running it.

    The cell contains only lines such as ``draws: int = 1000  # resamples behind every interval``: a plain literal, with
    or without a simple type and a comment. Anything else raises InputError.
    """
    tagged = [c["source"] for c in cells(notebook) if "parameters" in c["metadata"].get("tags", ())]
    if len(tagged) > 1:
        raise fault("two_cells", file=notebook.name)
    source, number, found = "".join(tagged), 1, {}
    try:
        for line in ast.parse(source).body:
            number = line.lineno
            match line:
                case ast.Expr(ast.Constant()):
                    continue  # a string that explains the cell
                case ast.Assign([ast.Name(name)], value):
                    default = ast.literal_eval(value)
                    types = () if default is None else (type(default).__name__,)
                case ast.AnnAssign(ast.Name(name), annotation, ast.expr() as value):
                    default, types = ast.literal_eval(value), _types(annotation)
                case _:
                    raise ValueError("not a plain assignment")
            if name in found or not TYPES.keys() >= set(types):
                raise ValueError("a second default, or not a simple type")
            rest = source.splitlines()[line.end_lineno - 1].encode()[line.end_col_offset :].decode()
            found[name] = Parameter(default, types, rest.partition("#")[2].strip("# "))
    except (SyntaxError, ValueError) as error:
        number = getattr(error, "lineno", None) or number
        raise fault("line", file=notebook.name, number=number, types=", ".join(TYPES)) from error
    return found


def resolve(
    notebooks: Mapping[str, Mapping[str, Parameter]], given: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """Return the checked values for each notebook: notebook name -> parameter name -> value.

    ``notebooks``: declared parameters by notebook; ``given``: values by parameter. InputError if no notebook has a
    parameter of this name, or if the value has another type than declared.
    """
    known = sorted({name for parameters in notebooks.values() for name in parameters} - RESERVED.keys())
    for name in given:
        if name in RESERVED:
            raise fault("reserved", name=name, instead=RESERVED[name])
        if name not in known:
            raise fault("unknown", name=name, known=did_you_mean(name, known))
    return {
        notebook: {n: parameters[n].check(n, value, notebook) for n, value in given.items() if n in parameters}
        for notebook, parameters in notebooks.items()
    }


def _types(annotation: ast.expr) -> tuple[str, ...]:
    match annotation:
        case ast.BinOp(left, ast.BitOr(), right):
            return _types(left) + _types(right)
        case ast.Subscript(value):  # list[str]: the type of the members is not checked
            return _types(value)
    return (ast.unparse(annotation),)
