"""Read one export (CSV, TSV, TXT, Excel or Parquet) into a table of the DuckDB backend.

DuckDB reads a text file that is valid UTF-8 directly. Any other text file passes through Python's csv module once:
other or mixed encodings, blank lines that would shift the row numbers, a file DuckDB rejects. That names the row of the
first fault, or writes a clean copy for DuckDB.
"""

from __future__ import annotations

import codecs
import csv
import glob
import hashlib
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from pathlib import Path

import duckdb
import ibis
import openpyxl
import pyarrow as pa

from cxlib.errors import InputError

TEXT = (".csv", ".tsv", ".txt")
READABLE = (*TEXT, ".xlsx", ".parquet")
BY_LINE = "by line"  # encoding of a file with lines that are not UTF-8: see decode_line
ROW = "_row"

_CHUNK = 1 << 24
_SIGNATURES = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old or password-protected Office file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7-zip archive",
    b"Rar!": "a rar archive",
    b"%PDF": "a PDF",
}
csv.field_size_limit(1 << 28)  # comments can exceed the default limit of 128 KB


@dataclass(frozen=True)
class Detected:
    """The format of a text file. ``direct``: DuckDB can read it as it is; ``header_row`` is usually 1."""

    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    header_row: int = 1
    sep_line: bool = False
    direct: bool = True


def load(
    engine: ibis.BaseBackend,
    path: str | Path,
    *,
    name: str,
    delimiter: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> ibis.Table:
    """Read one export into the DuckDB backend ``engine`` under ``name``.

    Text files and Excel sheets become tables of text: values as found, an empty cell is ''. Parquet becomes a lazy view
    with its own types. Header names are trimmed; a column without one is called column_N. Rows of empty cells only are
    left out. The column ``_row`` (int64) is the row a spreadsheet shows: the header is row 1. A missing delimiter
    (comma, semicolon, tab, bar) or encoding is detected.

    Errors: InputError for a missing, empty, header-only or unreadable file, repeated headers, a row with too many or
    too few fields, an unclosed quote, or an unknown sheet.

    Example: ``load(engine, "orders.csv", name="orders", delimiter=";")``.
    """
    path = _existing(path)
    kind = path.suffix.lower()
    if kind in TEXT:
        _load_text(engine, path, name, detect(path, delimiter=delimiter, encoding=encoding))
    elif kind == ".xlsx":
        _load_excel(engine, path, name, sheet)
    else:
        _load_parquet(engine, path, name)
    if not engine.raw_sql(f"select 1 from {_identifier(name)} limit 1").fetchall():
        raise InputError("The file has a header but no rows", remedy="Export it again with its rows.", file=path)
    return engine.table(name)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of the bytes of a file, in hex."""
    with open(_existing(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sheets(path: str | Path) -> list[str]:
    """Return the names of the sheets of a workbook, in order."""
    workbook = _workbook(_existing(path))
    try:
        return list(workbook.sheetnames)
    finally:
        workbook.close()


def detect(path: str | Path, *, delimiter: str | None = None, encoding: str | None = None) -> Detected:
    """Return encoding, delimiter and header names of a text file; what is given is not detected."""
    path = _existing(path)
    found, direct = _scan(path, encoding)
    sample: list[str] = []
    try:
        for line in _lines(path, found):
            sample.append(line)
            if len(sample) == 200 or (len(sample) > 20 and sum(map(len, sample)) > 1 << 16):
                break
    except UnicodeDecodeError:
        pass  # reading the records names the row
    sep = re.fullmatch(r'"?sep=(.)"?\s*', sample[0]) if sample else None
    delimiter = _delimiter(delimiter, path) or (sep[1] if sep else _guess_delimiter(sample))
    records = _records(_lines(path, found, skip=bool(sep)), delimiter, path)
    header_row, header = next(((row, r) for row, r in records if any(f.strip() for f in r)), (0, []))
    if not header:
        raise InputError("The file is empty", remedy="Export it again.", file=path)
    return Detected(found, delimiter, names(header, path), header_row, bool(sep), direct and header_row == 1)


def names(header: Iterable[object], path: Path) -> tuple[str, ...]:
    """Return header cells as column names: trimmed, column_N if empty.

    Errors: InputError if two names are the same to DuckDB.
    """
    found = []
    for place, cell in enumerate(header, 1):
        name = ("" if cell is None else str(cell)).strip().strip("\ufeff").strip() or f"column_{place}"
        twin = next((n for n in found if n.casefold() == name.casefold()), None)
        if twin is not None or name.casefold() == ROW:
            raise InputError(
                f"Two columns have the same header: {twin!r} and {name!r}"
                if twin
                else f"No column may be called {ROW}",
                remedy="Rename one of them in the file (capitals make no difference)." if twin else "Rename it.",
                file=path,
                row=1,
                column=name,
            )
        found.append(name)
    return tuple(found)


# --- text ---------------------------------------------------------------------------------------------------------


def _load_text(engine: ibis.BaseBackend, path: Path, name: str, found: Detected) -> None:
    if found.direct:
        try:
            return _read_csv(engine, path, name, found, found.delimiter, skip=int(found.sep_line))
        except duckdb.Error:
            pass  # read again below, to name the faulty row; odd line ends are harmless
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "clean.csv"
        _write_clean(path, clean, found)
        try:
            _read_csv(engine, clean, name, found, ",")
        except duckdb.Error as error:
            raise InputError(
                f"The file cannot be read: {str(error).splitlines()[0]}", remedy="Export it again.", file=path
            ) from error


def _read_csv(engine: ibis.BaseBackend, path: Path, name: str, found: Detected, delimiter: str, skip: int = 0) -> None:
    """Create one table of text. Header names from the file appear only as aliases, never in the reader's options."""
    cells = [f"c{i}" for i in range(len(found.columns))]
    columns = ", ".join(f"'{c}': 'VARCHAR'" for c in cells)
    as_text = ", ".join(f"'{c}'" for c in cells)  # an empty cell stays '' instead of NULL
    aliases = ", ".join(f"{c} as {_identifier(n)}" for c, n in zip(cells, found.columns, strict=True))
    filled = " or ".join(f"trim({c}) <> ''" for c in cells)
    engine.raw_sql(
        f"""
        create or replace table {_identifier(name)} as
        select {aliases}, {ROW} from (
            select *, row_number() over () + {found.header_row} as {ROW} from read_csv(
                {_literal(glob.escape(str(path)))}, auto_detect=false, strict_mode=true, all_varchar=true,
                header=true, skip={skip}, delim={_literal(delimiter)}, quote='"', escape='"',
                columns={{{columns}}}, force_not_null=[{as_text}], hive_partitioning=false, compression='none')
        ) where {filled}
        """
    )


def _write_clean(path: Path, target: Path, found: Detected) -> None:
    """Write the records as comma-separated UTF-8; a blank line becomes a row of empty cells."""
    width = len(found.columns)
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        for row, record in _records(_lines(path, found.encoding, skip=found.sep_line), found.delimiter, path):
            if row < found.header_row:
                continue
            text = "".join(record)
            if not text.strip():
                record = [""] * width
            elif len(record) != width:
                raise InputError(
                    f"The row has {len(record)} fields, the header has {width}",
                    remedy=f"Quote the texts that contain {found.delimiter!r}, or correct the row"
                    " (or name another `delimiter:` in company.yaml).",
                    file=path,
                    row=row,
                    column=found.columns[len(record)] if len(record) < width else None,
                    value=record[width] if len(record) > width else None,
                )
            if "\0" in text:
                place = next(i for i, cell in enumerate(record) if "\0" in cell)
                raise InputError(
                    "The cell contains a null byte",
                    remedy="The file is damaged or not text: export it again.",
                    file=path,
                    row=row,
                    column=found.columns[place],
                    value=record[place][:40],
                )
            writer.writerow(record)


def _records(lines: Iterable[str], delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the records with the row a spreadsheet would show; a line break in quotes starts no new row."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    row = 0
    while True:
        row += 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            unclosed = "unexpected end" in str(error) or "field limit" in str(error)
            raise InputError(
                "A quote is opened and never closed" if unclosed else "Text follows a closing quote",
                remedy='Close the quote; a quote inside a quoted text is written twice ("").',
                file=path,
                row=row,
            ) from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"The bytes are not valid {error.encoding}",
                remedy="Leave `encoding:` out, so that it is detected, or name the right one.",
                file=path,
                row=row,
                value=error.object[error.start : error.start + 4],
            ) from error
        yield row, record


def _scan(path: Path, encoding: str | None) -> tuple[str, bool]:
    """Read all bytes once: return the encoding, and whether DuckDB can read the file as it is."""
    with open(path, "rb") as file:
        start = file.read(4096)
    for signature, what in _SIGNATURES.items():
        if start.startswith(signature):
            raise InputError(f"The file is {what}, not text", remedy="Unpack it or export it again as CSV.", file=path)
    if encoding is None:
        encoding = _utf16(start) or "utf-8"
        asked = False
    else:
        asked = True
        try:
            encoding = codecs.lookup(encoding).name
        except LookupError:
            raise InputError(
                f"Unknown encoding {encoding!r}", remedy="Use utf-8, cp1252, latin-1, cp850 or utf-16.", file=path
            ) from None
    if encoding != "utf-8":
        return encoding, False
    decoder, carry, direct = codecs.getincrementaldecoder("utf-8")(), b"", True
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
            body = carry + chunk
            text = body.rstrip(b"\r\n")  # blank lines at the end shift no row; elsewhere they do
            carry = body[len(text) :]
            if b"\n\n" in text or b"\n\r\n" in text or b"\r\r" in text or b"\0" in text:
                direct = False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return ("utf-8", False) if asked else (BY_LINE, False)
    return "utf-8", direct


def _utf16(start: bytes) -> str | None:
    """Return UTF-16 if there is a byte-order mark, or if every other byte is null."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    half = len(start) // 2
    if half and start[1::2].count(0) > 0.4 * half:
        return "utf-16-le"
    return "utf-16-be" if half and start[::2].count(0) > 0.4 * half else None


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _lines(path: Path, encoding: str, skip: bool = False) -> Iterator[str]:
    """Yield the lines with their ends, without byte-order mark; ``skip`` leaves out the first."""
    decoded = _wide_lines(path, encoding) if encoding.startswith(("utf-16", "utf-32")) else _byte_lines(path, encoding)
    for place, line in enumerate(decoded):
        if place or not skip:
            yield line.removeprefix("\ufeff") if place == 0 else line


def _wide_lines(path: Path, encoding: str) -> Iterator[str]:
    with open(path, encoding=encoding, newline="") as file:
        yield from file


def _byte_lines(path: Path, encoding: str) -> Iterator[str]:
    carry = b""
    for chunk in _chunks(path):
        *whole, carry = (carry + chunk).splitlines(keepends=True)
        for line in whole:
            yield decode_line(line) if encoding == BY_LINE else line.decode(encoding)
    if carry:
        yield decode_line(carry) if encoding == BY_LINE else carry.decode(encoding)


# Bytes 0x80-0x9f are signs in Windows-1252 and accented letters in DOS code page 850: where a sign is impossible, the
# letter is meant. The ellipsis, the apostrophe and the letters of 1252 (0x85, 0x92, 0x9a, 0x9c, 0x9e) are left alone.
_CP1252 = "".join(  # the five bytes that Windows-1252 does not define are code page 850
    bytes([b]).decode("cp850" if b in b"\x81\x8d\x8f\x90\x9d" else "cp1252") for b in range(256)
)
_SIGNS = re.compile(rb"[\x80-\x9f]")
_LETTER = r"[^\W\d_]"
_DOS = [
    re.compile(place.replace("X", f"[{signs.decode('cp1252')}]").replace("L", _LETTER))
    for place, signs in (
        # é â ç ê ë: beside a letter, unless it opens a ‚quotation‘
        (r"(?<=L)X|X(?=L)(?![^‘]*‘)", b"\x82\x83\x87\x88\x89"),
        (r"(?<=L)X", b"\x84\x8b"),  # ä ï: the signs „ and ‹ follow no letter
        (r"(?<=[a-zß-ÿ])X", b"\x8a\x8c"),  # è î: Š and Œ are capitals
        (r"(?<=L)X(?=L)", b"\x86\x93\x94\x95\x96\x97"),  # å ô ö ò û ù: inside a word
        (r"(?<!\d)(?<!\d\s)X(?=L)", b"\x80"),  # Ç: before a letter and after no number
    )
]


def decode_line(line: bytes) -> str:
    """Decode UTF-8 if valid, else Windows-1252; bytes that can only be code page 850 are read as such."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        text = codecs.charmap_decode(line, "strict", _CP1252)[0]
    for pattern in _DOS if _SIGNS.search(line) else ():
        text = pattern.sub(lambda sign: sign[0].encode("cp1252").decode("cp850"), text)
    return text


def _delimiter(given: str | None, path: Path) -> str | None:
    given = "\t" if given in ("tab", "\\t") else given
    if given is not None and (len(given) != 1 or given in '"\r\n'):
        raise InputError(
            "A delimiter is one character", remedy='Write for instance delimiter: ";".', file=path, value=given
        )
    return given


def _guess_delimiter(sample: list[str]) -> str:
    """Return the candidate that cuts most of the first lines into as many fields as the header."""
    text = re.sub(r'(?m)(^|[,;\t|])"(?:[^"]|"")*"', r"\1quoted", "".join(sample))
    lines = [line for line in text.splitlines() if line.strip()]
    best, score = None, (0.0, 0)
    for candidate in ",;\t|":
        counts = [line.count(candidate) for line in lines]
        same = sum(count == counts[0] for count in counts) / len(counts) if counts and counts[0] else 0.0
        if same and (same, counts[0]) > score:
            best, score = candidate, (same, counts[0])
    # one column: any candidate that does not occur cuts nothing
    return best or next((c for c in ",;\t|" if c not in text), ",")


# --- Excel and Parquet --------------------------------------------------------------------------------------------


def _load_excel(engine: ibis.BaseBackend, path: Path, name: str, sheet: str | None) -> None:
    workbook = _workbook(path)
    try:
        known = ", ".join(workbook.sheetnames)
        if sheet is None and len(workbook.sheetnames) > 1:
            raise InputError(
                "The workbook has several sheets",
                remedy=f"Name one of them with `sheet:`. They are: {known}.",
                file=path,
            )
        if sheet is not None and sheet not in workbook.sheetnames:
            raise InputError(f"No sheet {sheet!r}", remedy=f"The sheets are: {known}.", file=path)
        page = workbook[sheet] if sheet is not None else workbook[workbook.sheetnames[0]]
        page.reset_dimensions()  # some tools write a wrong size
        rows = [[_cell(v) for v in row] for row in page.iter_rows(values_only=True)]
    except (KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"The sheet cannot be read: {error}", remedy="Save it again or as CSV.", file=path) from error
    finally:
        workbook.close()
    filled = [place for place, row in enumerate(rows) if any(c.strip() for c in row)]
    if not filled:
        raise InputError("The sheet is empty", remedy="Export it again.", file=path)
    width = max(place + 1 for i in filled for place, c in enumerate(rows[i]) if c.strip())
    cells = [[*rows[i][:width], *[""] * (width - len(rows[i]))] for i in filled]
    columns = names(cells[0], path)
    data = {n: pa.array([row[i] for row in cells[1:]], pa.string()) for i, n in enumerate(columns)}
    data[ROW] = pa.array([i + 1 for i in filled[1:]], pa.int64())
    engine.create_table(name, obj=pa.table(data), overwrite=True)


def _cell(value: object) -> str:
    """Return a cell as text: days as 2026-01-31, moments as 2026-01-31 17:05:47, numbers as Python writes them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value)


def _workbook(path: Path) -> openpyxl.Workbook:
    with open(path, "rb") as file:
        locked = file.read(4) == b"\xd0\xcf\x11\xe0"
    if locked:
        raise InputError(
            "The workbook is password-protected or an old .xls", remedy="Save it as plain .xlsx.", file=path
        )
    try:
        return openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl lets through all errors of its zip and XML readers
        raise InputError("This is not an Excel workbook", remedy="Save it again as .xlsx or CSV.", file=path) from error


def _load_parquet(engine: ibis.BaseBackend, path: Path, name: str) -> None:
    source = f"read_parquet({_literal(glob.escape(str(path)))}, hive_partitioning=false, file_row_number=true)"
    try:
        found = [c[0] for c in engine.raw_sql(f"select * from {source} limit 0").description]
    except duckdb.Error as error:
        raise InputError(
            f"The Parquet file cannot be read: {str(error).splitlines()[0]}", remedy="Export it again.", file=path
        ) from error
    found.remove("file_row_number")
    aliases = ", ".join(
        f"{_identifier(old)} as {_identifier(new)}" for old, new in zip(found, names(found, path), strict=True)
    )
    engine.raw_sql(
        f"create or replace view {_identifier(name)} as select {aliases}, file_row_number + 2 as {ROW} from {source}"
    )


# --- helpers ------------------------------------------------------------------------------------------------------


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        folder = path.parent
        there = sorted(f.name for f in folder.iterdir() if f.is_file()) if folder.is_dir() else []
        close = get_close_matches(path.name, there, 3, 0.5) or [f for f in there if f.lower().endswith(READABLE)][:5]
        if path.is_dir():
            problem, remedy = "This is a folder, not a file", "Name a file in it."
        elif not folder.is_dir():
            problem, remedy = f"There is no folder {folder}", "Correct `folder:` or `file:` in company.yaml."
        else:
            problem = "There is no such file"
            remedy = f"The folder has: {', '.join(close)}." if close else "The folder has no data files."
        raise InputError(problem, remedy=remedy, file=path)
    if path.suffix.lower() not in READABLE:
        raise InputError(
            f"Files of type {path.suffix or 'without ending'!r} are not supported",
            remedy=f"Save it as one of {', '.join(READABLE)}.",
            file=path,
        )
    if path.stat().st_size == 0:
        raise InputError("The file is empty", remedy="Export it again.", file=path)
    return path


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
