"""Keep secrets and customers' comments out of what is published."""

from __future__ import annotations

import csv
import html
import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

FORBIDDEN_COLUMNS = {"comment"}
HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|CREDENTIAL|DSN|DATABASE(_URL)?$", re.IGNORECASE)
_TEXT_FILES = {".csv", ".html", ".ipynb", ".json"}
_SHORTEST = 8  # characters; a shorter value could occur in text by chance


def secrets(database: str | None = None) -> dict[str, str]:
    """Return the values that must not be published, by a name to report them with.

    They are the values of environment variables named like a secret, the address of the company's ``database``, and the
    password in any such address. Values shorter than 8 characters and paths of existing files are left out.
    """
    found = {name: value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    if database and not database.startswith("${"):
        found["database"] = database
    for name, value in list(found.items()):
        with suppress(ValueError):  # no address
            password = urlsplit(value).password
            if password and value.count(password) == 1:  # a password that is also the user name is not secret
                found[f"password in {name}"] = unquote(password)
    return {name: value for name, value in found.items() if len(value) >= _SHORTEST and not os.path.exists(value)}


def redact(text: str, hidden: Mapping[str, str]) -> str:
    """Return ``text`` with every secret replaced, however it is escaped (HTML, JSON, URL)."""
    for value in sorted(hidden.values(), key=len, reverse=True):
        for form in _forms(value):
            text = text.replace(form, HIDDEN)
    return text


def leaks(folder: Path, hidden: Mapping[str, str]) -> list[str]:
    """Return one phrase for each secret in a text file under ``folder`` and for each forbidden column of a table."""
    found = []
    for path, text in _texts(folder):
        name = path.relative_to(folder).as_posix()
        found += [f"{name} contains the value of {k}" for k, v in hidden.items() if any(f in text for f in _forms(v))]
        columns = []
        if path.suffix == ".csv":
            columns = next(csv.reader(text.splitlines()[:1]), [])
        elif path.suffix == ".html":
            columns = re.findall(r"<th[^>]*>([^<]*)</th>", text, re.IGNORECASE)
        found += [f"{name} has a column {c}" for c in sorted({c.strip().lower() for c in columns} & FORBIDDEN_COLUMNS)]
    return found


def scrub(folder: Path, hidden: Mapping[str, str]) -> None:
    """Redact every text file under ``folder`` that contains a secret."""
    for path, text in _texts(folder):
        if (clean := redact(text, hidden)) != text:
            path.write_text(clean, encoding="utf-8")


def _texts(folder: Path) -> Iterable[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _TEXT_FILES and path.is_file():
            yield path, path.read_text(encoding="utf-8", errors="replace")


def _forms(value: str) -> set[str]:
    return {value, html.escape(value), html.escape(value, quote=False), json.dumps(value)[1:-1], quote(value, safe="")}
