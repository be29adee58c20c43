"""Read one export (text, Excel, Parquet or JSON; one file, or several with the same columns) into a table of DuckDB.

DuckDB reads a text file that is valid UTF-8 directly. Any other text file passes through Python's csv module once:
other or mixed encodings, blank lines that would shift the row numbers, a file DuckDB rejects. That names the row of the
first fault, or writes a clean copy for DuckDB.

``_row`` is the row that a spreadsheet shows (a line of JSON), with the position of the file above FILE_BITS.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import glob
import hashlib
import json
import os
import re
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from itertools import chain, count, islice
from pathlib import Path

import duckdb
import ibis
import openpyxl
import pyarrow as pa

from cxlib.errors import faults
from cxlib.intake.sources import Export

TEXT = (".csv", ".tsv", ".txt")
JSON = (".json", ".jsonl", ".ndjson")
READABLE = (*TEXT, ".xlsx", ".parquet", *JSON)
BY_LINE = "by line"  # encoding of a file with lines that are not UTF-8: see decode_line
ROW = "_row"
FILE_BITS = 40

_CHUNK = 1 << 24
_UNSEEN = " \t\r\n\v\f\u00a0\u2007\u202f\u200b\u2060\ufeff"  # around a header name
_CELL = 1 << 20  # a longer cell is no answer of a person
_SIGNATURES = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old or password-protected Office file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7-zip archive",
    b"Rar!": "a rar archive",
    b"%PDF": "a PDF",
}
_ENCODING = re.compile("utf|cp|iso8859|ascii|mac|shift|euc|gb|big5|koi8|tis")
_BACKSLASH = re.compile(rb'\\"[^,;\t|\r\n"]')  # a quote inside a quoted text, as databases write it
csv.field_size_limit(1 << 28)
_BATCH = 50_000
Row = tuple[int, list[str]]  # its number, as a spreadsheet shows it, and its cells
fault = faults(__file__)


@dataclass(frozen=True)
class Detected:
    """The format of a text file. ``direct``: DuckDB can read it as it is; ``escape``: \\" is a quote within quotes."""

    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    header_row: int = 1
    sep_line: bool = False
    direct: bool = True
    escape: bool = False


def matching(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return the files of names and of patterns such as ``orders_*.csv``, in order. Errors: InputError for none."""
    found: list[Path] = []
    for name in names:
        fits = [name]
        if re.search(r"[*?]", name):  # a bracket is only a sign; the files that Excel keeps beside an open one are none
            fits = sorted(f for f in glob.glob(name.replace("[", "[[]"), root_dir=folder) if f[:2] != "~$")
        if not fits:
            raise fault("no_match", file=name, there=_there(folder, name))
        found += [folder / f for f in fits]
    return found


def load(engine: ibis.BaseBackend, paths: Iterable[str | Path], *, name: str, how: Export) -> ibis.Table:
    """Read the files of one export into the table ``name`` of the DuckDB backend ``engine``.

    Text, Excel and JSON become tables of text: values as found, an empty cell is ''. Parquet keeps its own types.
    Header names are trimmed; a column without one is called column_N; nested keys of JSON are joined by a dot. Rows of
    empty cells only are left out. A missing delimiter (comma, semicolon, tab, bar) or encoding is detected.

    Errors: InputError for a missing, empty, header-only or unreadable file, repeated headers, tables with different
    columns, a row with too many or too few fields, an unclosed quote, or an unknown sheet.

    Example: ``load(engine, ["orders.csv"], name="orders", how=Export(file="orders.csv", delimiter=";"))``.
    """
    table: ibis.Table | None = None
    for i, path in enumerate(paths):
        part = f"{name}_part" if i else name
        path = _existing(path)
        try:
            _READERS[path.suffix.lower()](engine, path, part, how)
        except OSError as error:
            raise fault("unreadable", file=path, said=error.strerror) from None
        made = engine.table(part)
        if table is None:
            table = made
            continue
        if path.suffix.lower() in JSON:  # a record has the keys that it needs
            for column in sorted(set(made.columns) - set(table.columns)):
                engine.raw_sql(f"alter table {identifier(name)} add column {identifier(column)} varchar")
            table = engine.table(name)
        elif odd := sorted(set(table.columns) ^ set(made.columns)):
            raise fault("other_columns", file=path, column=odd[0])
        try:
            engine.raw_sql(
                f"insert into {identifier(name)} by name select * replace ({ROW} + {i << FILE_BITS} as {ROW}) "
                f"from {identifier(part)}; drop table {identifier(part)}"
            )
        except duckdb.ConversionException as error:
            raise fault("other_types", file=path, said=str(error).splitlines()[0]) from None
    if not engine.raw_sql(f"select 1 from {identifier(name)} limit 1").fetchall():
        raise fault("no_rows", file=path)
    return table


def fingerprint(path: str | Path) -> tuple[int, str]:
    """Return the number of bytes of a file and their SHA-256, in hex. Errors: InputError if it cannot be read."""
    path = _existing(path)
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise fault("unreadable", file=path, said=error.strerror) from None


def sheets(path: str | Path) -> list[str]:
    """Return the names of the sheets of a workbook, in order."""
    workbook = _workbook(_existing(path))
    try:
        return list(workbook.sheetnames)
    finally:
        workbook.close()


def detect(
    path: str | Path, *, delimiter: str | None = None, encoding: str | None = None, header_row: int | None = None
) -> Detected:
    """Return encoding, delimiter and header names of a text file; what is given is not detected."""
    path = _existing(path)
    found, direct, escape = _scan(path, encoding)
    sample: list[str] = []
    try:
        for line in _lines(path, found):
            sample.append(line)
            if len(sample) == 200 or (len(sample) > 20 and sum(map(len, sample)) > 1 << 16):
                break
    except UnicodeDecodeError:
        pass  # reading the records names the row
    sep = re.fullmatch(r'"?sep=(.)"?\s*', sample[0]) if sample else None
    below = sample[(header_row or 1) - 1 :]  # a title above the header says nothing of the delimiter
    delimiter = _delimiter(delimiter, path) or (sep[1] if sep else _guess_delimiter(below))
    records = _records(_lines(path, found, skip=bool(sep)), delimiter, path, escape)
    header_row, header = next(_filled((r for r in records if r[0] >= (header_row or 1)), 0), (0, []))
    if not header:
        raise fault("empty", file=path)
    return Detected(found, delimiter, names(header, path), header_row, bool(sep), direct and header_row == 1, escape)


def names(header: Iterable[object], path: Path) -> tuple[str, ...]:
    """Return header cells as column names: trimmed, column_N if empty.

    Errors: InputError if two names are the same to DuckDB.
    """
    found: dict[str, str] = {}  # by the name in small letters
    for place, cell in enumerate(header, 1):
        name = ("" if cell is None else str(cell)).strip(_UNSEEN) or f"column_{place}"
        twin = found.get(name.casefold())
        if twin is not None:
            raise fault("same_header", file=path, row=1, column=name, twin=twin)
        if name.casefold() == ROW:
            raise fault("own_header", file=path, row=1, column=name)
        found[name.casefold()] = name
    return tuple(found.values())


# --- text ---------------------------------------------------------------------------------------------------------


def _load_text(engine: ibis.BaseBackend, path: Path, name: str, how: Export) -> None:
    found = detect(path, delimiter=how.delimiter, encoding=how.encoding, header_row=how.header_row)
    if found.direct and not how.footer_rows:
        try:
            return _read_csv(engine, path, name, found)
        except duckdb.Error:
            pass  # read again below, to name the faulty row; odd line ends are harmless
    records = _records(_lines(path, found.encoding, skip=found.sep_line), found.delimiter, path, found.escape)
    filled = _filled((r for r in records if r[0] > found.header_row), how.footer_rows)
    _store(engine, name, found.columns, ((row, _sound(row, record, found, path)) for row, record in filled))


def _read_csv(engine: ibis.BaseBackend, path: Path, name: str, found: Detected) -> None:
    """Create one table of text. Header names from the file appear only as aliases, never in the reader's options."""
    cells = [f"c{i}" for i in range(len(found.columns))]
    columns = ", ".join(f"'{c}': 'VARCHAR'" for c in cells)
    as_text = ", ".join(f"'{c}'" for c in cells)  # an empty cell stays '' instead of NULL
    aliases = ", ".join(f"{c} as {identifier(n)}" for c, n in zip(cells, found.columns, strict=True))
    filled = " or ".join(f"trim({c}) <> ''" for c in cells)
    engine.raw_sql(
        f"""
        create or replace table {identifier(name)} as
        select {aliases}, {ROW} from (
            select *, row_number() over () + {found.header_row} as {ROW} from read_csv(
                {literal(glob.escape(str(path)))}, auto_detect=false, strict_mode=true, all_varchar=true,
                header=true, skip={int(found.sep_line)}, delim={literal(found.delimiter)}, quote='"', escape='"',
                columns={{{columns}}}, force_not_null=[{as_text}], hive_partitioning=false, compression='none')
        ) where {filled}
        """
    )


def _filled(rows: Iterable[Row], footer_rows: int) -> Iterator[Row]:
    """Yield the rows that hold anything, without the last ``footer_rows`` of them."""
    waiting: deque[Row] = deque()
    for row in rows:
        if any(cell.strip() for cell in row[1]):
            waiting.append(row)
            if len(waiting) > footer_rows:
                yield waiting.popleft()


def _store(engine: ibis.BaseBackend, name: str, columns: Iterable[str], rows: Iterable[Row]) -> None:
    """Create one table of text from rows, a part of them at a time."""
    schema, rows = pa.schema([*((c, pa.string()) for c in columns), (ROW, pa.int64())]), iter(rows)

    def batches() -> Iterator[pa.RecordBatch]:
        while part := list(islice(rows, _BATCH)):
            cells = [*zip(*(record for _, record in part), strict=True), [row for row, _ in part]]
            yield pa.record_batch([pa.array(c, kind) for c, kind in zip(cells, schema.types, strict=True)], schema)

    # Made before it is registered: what reads the rows raises our own errors, which DuckDB would wrap.
    engine.con.register("_rows", pa.Table.from_batches(batches(), schema))
    engine.raw_sql(f"create or replace table {identifier(name)} as select * from _rows")
    engine.con.unregister("_rows")


def _sound(row: int, record: list[str], found: Detected, path: Path) -> list[str]:
    """Return a record that is as wide as the header and holds nothing impossible. Errors: InputError."""
    width, n = len(found.columns), len(record)
    if n != width:
        place = {"column": found.columns[n]} if n < width else {"value": record[width]}
        raise fault("fields", file=path, row=row, n=n, width=width, delimiter=found.delimiter, **place)
    for column, cell in zip(found.columns, record, strict=True):
        if "\0" in cell:
            raise fault("null_byte", file=path, row=row, column=column, value=cell[:40])
        if len(cell) > _CELL:
            raise fault("huge_cell", file=path, row=row, column=column, value=cell[:40], millions=len(cell) / 1e6)
    return record


def _records(lines: Iterable[str], delimiter: str, path: Path, escape: bool) -> Iterator[Row]:
    """Yield the records with the row a spreadsheet would show; a line break in quotes starts no new row."""
    if escape:  # such files write \N for nothing: it stays what it is
        null = re.compile(rf"(?:^|(?<={re.escape(delimiter)}))\\N(?={re.escape(delimiter)}|\s*$)")
        lines = (null.sub(r"\\\\N", line) for line in lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, escapechar="\\" if escape else None)
    for row in count(1):
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            unclosed = "unexpected end" in str(error) or "field limit" in str(error)
            raise fault("open_quote" if unclosed else "after_quote", file=path, row=row) from None
        except UnicodeDecodeError as error:
            odd = error.object[error.start : error.start + 4]
            raise fault("bytes", file=path, row=row, value=odd, encoding=error.encoding) from None
        yield row, record


def _scan(path: Path, encoding: str | None) -> tuple[str, bool, bool]:
    """Read all bytes once: return the encoding, whether DuckDB can read the file as it is, and if \\" is a quote."""
    with open(path, "rb") as file:
        start = file.read(4096)
    for signature, what in _SIGNATURES.items():
        if start.startswith(signature):
            raise fault("not_text", file=path, what=what)
    try:
        found = codecs.lookup(encoding or _utf16(start) or "utf-8").name
        if not _ENCODING.match(found):
            raise LookupError
    except (LookupError, ValueError):
        raise fault("unknown_encoding", file=path, encoding=encoding) from None
    decoder, valid, blank, escape, tail = codecs.getincrementaldecoder("utf-8")(), True, False, False, b""
    for chunk in chain(_chunks(path), [b""]):
        body = tail + chunk
        text = body.rstrip(b"\r\n")  # blank lines at the end shift no row; elsewhere they do
        tail = body[len(text) :]
        blank = blank or any(sign in text for sign in (b"\n\n", b"\n\r\n", b"\r\r", b"\0"))
        escape = escape or bool(_BACKSLASH.search(chunk))
        try:
            valid and decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError:
            valid = False
    if found == "utf-8" and not valid and encoding is None:
        found = BY_LINE
    return found, found == "utf-8" and valid and not blank and not escape, escape


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
_CP1252 = {b: bytes([b]).decode("cp850" if b in b"\x81\x8d\x8f\x90\x9d" else "cp1252") for b in range(0x80, 0xA0)}
_DOS = re.compile(
    r"(?<=L)[\x82\x83\x84\x87\x88\x89\x8b]|[\x82\x83\x87\x88\x89](?=L)(?![^\x91]*\x91)"  # é â ä ç ê ë ï by a letter
    r"|(?<=[a-zß-ÿ])[\x8a\x8c]|(?<=L)[\x86\x93-\x97](?=L)"  # è î: Š and Œ are capitals; å ô ö ò û ù: inside a word
    r"|(?<!\d)(?<!\d\s)\x80(?=L)".replace("L", r"[^\W\d_]")  # Ç: before a letter and after no number
)


def decode_line(line: bytes) -> str:
    """Decode UTF-8 if valid, else Windows-1252; bytes that can only be code page 850 are read as such."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        text = _DOS.sub(lambda sign: sign[0].encode("latin-1").decode("cp850"), line.decode("latin-1"))
    return text.translate(_CP1252)


def _delimiter(given: str | None, path: Path) -> str | None:
    given = "\t" if given in ("tab", "\\t") else given
    if given is not None and (len(given) != 1 or given in '"\r\n'):
        raise fault("delimiter", file=path, value=given)
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


def _load_excel(engine: ibis.BaseBackend, path: Path, name: str, how: Export) -> None:
    workbook, sheet = _workbook(path), how.sheet
    try:
        known = ", ".join(workbook.sheetnames)
        if sheet is None and len(workbook.sheetnames) > 1:
            raise fault("several_sheets", file=path, known=known)
        if sheet is not None and sheet not in workbook.sheetnames:
            raise fault("no_sheet", file=path, sheet=sheet, known=known)
        page = workbook[sheet or workbook.sheetnames[0]]
        page.reset_dimensions()  # some tools write a wrong size
        cells = ([_cell(v) for v in row] for row in page.iter_rows(values_only=True, min_row=how.header_row))
        rows = [*_filled(enumerate(cells, how.header_row or 1), how.footer_rows)]
    except (KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise fault("bad_sheet", file=path, said=error) from error
    finally:
        workbook.close()
    _refuse_formulas(path, page.title, how.header_row or 1)
    if not rows:
        raise fault("empty_sheet", file=path)
    width = max(place + 1 for _, row in rows for place, c in enumerate(row) if c.strip())
    (_, header), *below = ((i, [*row[:width], *[""] * (width - len(row))]) for i, row in rows)
    _store(engine, name, names(header, path), below)


def _refuse_formulas(path: Path, sheet: str, header_row: int) -> None:
    """Refuse a workbook written by a program that left its formulas without values."""
    with zipfile.ZipFile(path) as parts:
        if not any(re.search(rb"<f[ >]", parts.read(n)) for n in parts.namelist() if n.startswith("xl/worksheets/")):
            return
    books = _workbook(path), _workbook(path, values=False)
    for book in books:
        book[sheet].reset_dimensions()
    header: tuple = ()
    for row, (values, formulas) in enumerate(zip(*(book[sheet].rows for book in books), strict=True), 1):
        header = header or (formulas if row >= header_row and any(c.value for c in formulas) else ())
        for place, (value, formula) in enumerate(zip(values, formulas, strict=True)):
            # "str" is the type of a formula whose stored value is the empty text
            if formula.data_type == "f" and value.value is None and value.data_type != "str":
                column = str(header[place].value) if place < len(header) else None
                raise fault("formula", file=path, row=row, column=column, value=formula.value)
    for book in books:
        book.close()


def _cell(value: object) -> str:
    """Return a cell as text: days as 2026-01-31, moments as 2026-01-31 17:05:47, durations as 26:05:47."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(value)


def _workbook(path: Path, values: bool = True) -> openpyxl.Workbook:
    with open(path, "rb") as file:
        locked = file.read(4) == b"\xd0\xcf\x11\xe0"
    if locked:
        raise fault("locked", file=path)
    try:
        return openpyxl.load_workbook(path, read_only=True, data_only=values)
    except Exception as error:  # openpyxl lets through all errors of its zip and XML readers
        raise fault("no_workbook", file=path) from error


def _load_parquet(engine: ibis.BaseBackend, path: Path, name: str, how: Export) -> None:
    source = f"read_parquet({literal(glob.escape(str(path)))}, hive_partitioning=false, file_row_number=true)"
    try:
        found = [c[0] for c in engine.raw_sql(f"select * from {source} limit 0").description]
        found.remove("file_row_number")
        aliases = ", ".join(
            f"{identifier(old)} as {identifier(new)}" for old, new in zip(found, names(found, path), strict=True)
        )
        engine.raw_sql(
            f"create or replace table {identifier(name)} as "
            f"select {aliases}, file_row_number + 2 as {ROW} from {source}"
        )
    except duckdb.Error as error:
        raise fault("parquet", file=path, said=str(error).splitlines()[0]) from None


def _load_json(engine: ibis.BaseBackend, path: Path, name: str, how: Export) -> None:
    """Read a list of records, or one record a line; ``_row`` is the line, or the position in the list."""
    encoding, whole = _scan(path, how.encoding)[0], None
    try:
        text = "".join(_lines(path, encoding))
    except UnicodeDecodeError as error:
        raise fault("bytes", file=path, encoding=error.encoding) from None
    if path.suffix.lower() == ".json":
        with contextlib.suppress(ValueError, RecursionError):  # else one record a line, under the name .json
            whole = json.loads(text)
    if isinstance(whole, dict):  # {"responses": [...], "page": 1}: the one list of records in it
        lists = [v for v in whole.values() if isinstance(v, list) and all(isinstance(r, dict) for r in v)]
        whole = lists[0] if len(lists) == 1 else [whole]
    records: list[tuple[int, dict[str, str]]] = []
    by_line = not isinstance(whole, list)
    for row, given in enumerate(text.split("\n") if by_line else whole, 1):
        if by_line and not given.strip():
            continue
        try:
            record = json.loads(given) if by_line else given
        except (ValueError, RecursionError) as error:
            raise fault("json_line", file=path, row=row, said=error) from None
        if not isinstance(record, dict):
            raise fault("no_record", file=path, row=row)
        records.append((row, dict(_flat(record, ""))))
    found = dict.fromkeys(k for _, r in records for k in r)
    _store(engine, name, names(found, path), ((row, [r.get(k, "") for k in found]) for row, r in records))


def _flat(record: dict, above: str) -> Iterator[tuple[str, str]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        elif isinstance(value, list):
            yield above + key, "; ".join(v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in value)
        else:
            yield above + key, "" if value is None else value if isinstance(value, str) else json.dumps(value)


# --- helpers ------------------------------------------------------------------------------------------------------


def _existing(path: str | Path) -> Path:
    path = Path(path)
    try:
        there = path.is_file()
    except OSError as error:
        raise fault("unreadable", file=path, said=error.strerror) from None
    if path.is_dir():
        raise fault("a_folder", file=path)
    if not there and not path.parent.is_dir():
        raise fault("no_folder", file=path, folder=path.parent)
    if not there:
        raise fault("no_file", file=path, there=_there(path.parent, path.name))
    if path.suffix.lower() not in READABLE:
        raise fault("ending", file=path, ending=path.suffix or "without ending", known=", ".join(READABLE))
    if path.stat().st_size == 0:
        raise fault("empty", file=path)
    return path


def identifier(name: str) -> str:
    """Return a name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def _there(folder: Path, name: str) -> str:
    there = sorted(f.name for f in folder.iterdir() if f.is_file()) if folder.is_dir() else []
    close = get_close_matches(name, there, 3, 0.5) or [f for f in there if f.lower().endswith(READABLE)][:5]
    return f"The folder has: {', '.join(close)}." if close else "The folder has no data files."


_READERS = dict.fromkeys(TEXT, _load_text) | dict.fromkeys(JSON, _load_json)
_READERS |= {".xlsx": _load_excel, ".parquet": _load_parquet}
