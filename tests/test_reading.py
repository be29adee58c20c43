"""Exports as they come: encodings, delimiters, row numbers, and the error a person sees for a file that is wrong."""

from __future__ import annotations

import csv
import hashlib
import io
import warnings
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path

import ibis
import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxlib.errors import InputError
from cxlib.intake.reading import BY_LINE, FILE_BITS, decode_line, detect, fingerprint, load, matching, sheets
from cxlib.intake.sources import Export

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def engine():
    return ibis.duckdb.connect()


def write(folder: Path, content: str | bytes, name: str = "export.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table_of(engine, path: Path, *more: Path, name: str = "t", **options) -> ibis.Table:
    return load(engine, [path, *more], name=name, how=Export(file=path.name, **options))


def rows(engine, path: Path, *more: Path, **options) -> list[tuple]:
    found = table_of(engine, path, *more, name=path.suffix, **options).execute().sort_values("_row")
    return list(found.itertuples(index=False, name=None))


def refusal(engine, path: Path, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        table_of(engine, path, **options)
    assert Path(caught.value.file) == path
    assert caught.value.remedy.endswith(".")
    return caught.value


# --- what is read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"])
def test_every_delimiter_line_end_and_encoding_gives_the_same_table(engine, tmp_path, delimiter, end, encoding):
    lines = ['"id"@ name @note@', '1@Zoë@"a ""b"" é"@x', '2@@"one@two"@', '3@"first\nsecond"@NA@y']
    path = write(tmp_path, (end.join(lines) + end).replace("@", delimiter).encode(encoding))
    table = table_of(engine, path)
    assert table.columns == ("id", "name", "note", "column_4", "_row")
    assert table.schema()["_row"] == ibis.dtype("int64")
    assert list(table.execute().itertuples(index=False, name=None)) == [
        ("1", "Zoë", 'a "b" é', "x", 2),
        ("2", "", f"one{delimiter}two", "", 3),  # an empty cell is '', never NULL
        ("3", "first\nsecond", "NA", "y", 4),
    ]


@given(
    st.lists(st.lists(st.text("aé\"',;|\t\n\r £", max_size=5), min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_csv_writer_wrote_comes_back(engine, tmp_path, table, delimiter, encoding, end):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b", "c"], *table])
    path = write(tmp_path, text.getvalue().encode(encoding))
    expected = [(*row, i) for i, row in enumerate(table, 2) if any(cell.strip(" ") for cell in row)]
    if any(cell.strip() for row in table for cell in row):
        found = rows(engine, path)
        assert [r for r in found if any(c.strip() for c in r[:3])] == [
            r for r in expected if any(c.strip() for c in r[:3])
        ]


def test_rows_keep_their_order_and_number_in_a_large_file(engine, tmp_path):
    n = 200_000  # several of DuckDB's parallel chunks
    path = write(tmp_path, "i;text\n" + "".join(f'{i};"row {i}; of many"\n' for i in range(n)))
    table = table_of(engine, path)
    frame = table.execute()
    assert len(frame) == n
    assert (frame["_row"].to_numpy() == frame["i"].astype(int).to_numpy() + 2).all()
    assert (frame["i"].astype(int).diff().dropna() == 1).all()


def test_blank_lines_shift_no_row_number(engine, tmp_path):
    assert rows(engine, write(tmp_path, "a,b\n1,x\n\n  \n,\n2,y\n\n\n")) == [("1", "x", 2), ("2", "y", 6)]
    assert rows(engine, write(tmp_path, "\n\na,b\n1,x\n")) == [("1", "x", 4)]
    assert rows(engine, write(tmp_path, "a\n1\n\n2\n")) == [("1", 2), ("2", 4)]
    assert rows(engine, write(tmp_path, 'a,b\n1,"x\n\ny"\n2,z\n')) == [("1", "x\n\ny", 2), ("2", "z", 3)]


def test_mixed_line_ends_and_a_quote_inside_a_text_are_harmless(engine, tmp_path):
    assert rows(engine, write(tmp_path, 'a;b\r\n1;5" x\n2;y\r\n')) == [("1", '5" x', 2), ("2", "y", 3)]


def test_the_sep_line_of_excel_names_the_delimiter_and_is_no_row(engine, tmp_path):
    for encoding in ("utf-8", "cp1252"):
        path = write(tmp_path, "sep=;\nname;v\né;1,5\n".encode(encoding))
        assert rows(engine, path) == [("é", "1,5", 2)]


def test_delimiter_is_found_outside_quotes_and_by_the_header(tmp_path):
    assert detect(write(tmp_path, 'id;"a, b, c";v\n1;"x, y";2,5\n2;"z, w";3,5\n')).delimiter == ";"
    assert detect(write(tmp_path, "id,text\n1,a;b;c\n2,d;e;f\n")).delimiter == ","
    assert detect(write(tmp_path, "name\nx, y\nz\n")).columns == ("name",)
    assert detect(write(tmp_path, "a b;c\n1;2\n"), delimiter=",").columns == ("a b;c",)


def test_hostile_header_and_file_names_are_only_names(engine, tmp_path):
    header = ["a'b", "drop table t; --", "ü ñ", "{x}", "select", "%s"]
    text = ",".join(f'"{h}"' for h in header) + ',"say ""hi"""\n' + ",".join("1234567") + "\n"
    for name in ("it's.csv", "a [1]*?.csv", "x y=1.csv", '"ß".TXT', "{0}%s.tsv"):
        path = write(tmp_path, text, name)
        table = table_of(engine, path, name='odd "name"; --')
        assert table.columns == (*header, 'say "hi"', "_row")
        assert table.execute().iloc[0].tolist() == [*"1234567", 2]
    frame = pd.DataFrame({"a'b": [1], 'say "hi"': [2.5]})
    frame.to_parquet(tmp_path / "it's [1].parquet")
    assert rows(engine, tmp_path / "it's [1].parquet") == [(1, 2.5, 2)]


def test_lines_of_several_encodings_are_read_line_by_line(engine, tmp_path):
    parts = [b"id,text\n", "1,café €\n".encode(), "2,déjà “là” 5€\n".encode("cp1252")]
    path = write(tmp_path, b"".join([*parts, b"3,am\x82liorer \xe0 fra\x8ccheur\n"]))
    assert detect(path).encoding == BY_LINE
    assert [r[1] for r in rows(engine, path)] == ["café €", "déjà “là” 5€", "améliorer à fraîcheur"]


@pytest.mark.parametrize(
    "text",
    [
        "c’est l’été… œuvre, Œuvre, ŒUVRE",
        "15€ de réduction, 10 €par an",
        "“mot” ‘mot’ „Wort“ ‚Wort‘ ‹mot›",
        "Škoda š ž Ž Ÿ™ – — Paris – Lyon",
        "5‰ † • ˜ ƒ5",
    ],
)
def test_signs_of_windows_1252_are_not_taken_for_dos_letters(text):
    assert decode_line(text.encode("cp1252")) == text


@pytest.mark.parametrize(
    "text", ["élevé, qualité été", "reçu ça", "goûter sûr", "für Düsseldorf", "très où", "Noël maïs", "DÉÇU"]
)
def test_letters_of_dos_are_read_as_letters(text):
    wrong = {"où": "o—"}  # at the end of a word the byte of ù may be a dash, and stays one
    expected = " ".join(wrong.get(word, word) for word in text.split(" "))
    assert decode_line(text.encode("cp850")) == expected


def test_the_garden_centre_comments_are_read(engine):
    path = REAL / "nps_fr" / "nps.csv"
    if not path.exists():
        pytest.skip("the garden-centre survey is not beside the project")
    frame = table_of(engine, path).execute()
    assert len(frame) == 13_954
    assert frame.columns[0] == "column_1"
    assert frame["_row"].tolist() == list(range(2, 13_956))
    answers = frame.loc[frame["nps"] != "NA", "nps"].astype(int)
    assert (len(answers), (answers >= 9).sum(), (answers <= 6).sum()) == (13_612, 8_465, 1_194)
    comments = frame["explication"]
    assert comments.iloc[3].startswith("j'ai acheté une vigne vierge")
    assert "pour échange" in comments.iloc[3]
    assert comments.str.contains("é").sum() > 2000
    doubtful = comments.str.count("[\x80-\x9f‚ƒ„†‡ˆ‰‹“”—]").sum()
    assert doubtful <= 5  # of 2,471 bytes between 0x80 and 0x9f


@pytest.mark.parametrize(
    "name", ["nps_fr/perso", "olist/olist_order_reviews_dataset", "ravenstack/ravenstack_accounts"]
)
def test_real_exports_agree_with_pandas(engine, name):
    path = REAL / f"{name}.csv"
    if not path.exists():
        pytest.skip("the real exports are not beside the project")
    expected = pd.read_csv(path, dtype=str, keep_default_na=False).rename(columns=str.strip)
    found = table_of(engine, path).execute()
    assert found["_row"].tolist() == list(range(2, len(expected) + 2))
    pd.testing.assert_frame_equal(found.drop(columns="_row"), expected, check_dtype=False)


def test_nothing_warns(engine, tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "p.parquet")
    openpyxl_file = book(tmp_path, {"S": [["a"], [1]]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)  # ibis 12 with duckdb 1.5
        for path in (write(tmp_path, "a\n1\n"), write(tmp_path, "a\né\n".encode("cp1252"), "b.csv")):
            rows(engine, path)
        rows(engine, tmp_path / "p.parquet")
        rows(engine, openpyxl_file)


def test_a_backslash_before_a_quote_is_read_as_databases_write_it(engine, tmp_path):
    body = 'id,note,left\n1,"He said \\"hi\\", then\\nleft",\\N\n2,"C:\\\\dir",N\n'
    for encoding in ("utf-8", "cp1252"):
        path = write(tmp_path, (body + "3,é,\n").encode(encoding))
        assert rows(engine, path) == [
            ("1", 'He said "hi", thennleft', "\\N", 2),
            ("2", "C:\\dir", "N", 3),
            ("3", "é", "", 4),
        ]
    path = write(tmp_path, 'a,b\n"C:\\dir\\",x\n')  # a backslash at the end of a text is only a backslash
    assert rows(engine, path) == [("C:\\dir\\", "x", 2)]


# --- several files, titles, closing lines -------------------------------------------------------------------------


def test_a_pattern_is_all_files_of_one_header_in_order(engine, tmp_path):
    write(tmp_path, "b,a\n2,x\n", "orders [1]_02.csv")
    write(tmp_path, "a,b\ny,1\nz,3\n", "orders [1]_01.csv")
    write(tmp_path, "a,b\n9,9\n", "orders 1_03.csv")
    write(tmp_path, "the lock of Excel", "~$ders [1]_04.csv")
    paths = matching(tmp_path, ["*ders [1]_??.csv"])
    assert [p.name for p in paths] == ["orders [1]_01.csv", "orders [1]_02.csv"]
    assert rows(engine, *paths) == [("y", "1", 2), ("z", "3", 3), ("x", "2", (1 << FILE_BITS) + 2)]
    assert matching(tmp_path, [str(tmp_path / "*1_03.csv"), "a.csv"]) == [
        tmp_path / "orders 1_03.csv",
        tmp_path / "a.csv",
    ]
    with pytest.raises(InputError, match="No file has such a name") as caught:
        matching(tmp_path, ["order*.xlsx"])
    assert "orders 1_03.csv" in caught.value.remedy


@pytest.mark.parametrize(
    ("second", "row", "column", "problem"),
    [
        ("a,c\n1,2\n", None, "b", "does not have the columns of the first"),
        ("a,b,c\n1,2,3\n", None, "c", "does not have the columns of the first"),
        ("a,b\n1,2\n3\n", 3, "b", "1 fields"),
        ("", None, None, "empty"),
    ],
)
def test_a_fault_in_the_second_file_names_the_second_file(engine, tmp_path, second, row, column, problem):
    paths = [write(tmp_path, "a,b\n1,2\n", "m1.csv"), write(tmp_path, second, "m2.csv")]
    with pytest.raises(InputError, match=problem) as caught:
        table_of(engine, *paths)
    assert (Path(caught.value.file), caught.value.row, caught.value.column) == (paths[1], row, column)


def test_files_of_other_types_are_not_laid_under_one_another(engine, tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "1.parquet")
    pd.DataFrame({"a": ["x"]}).to_parquet(tmp_path / "2.parquet")
    with pytest.raises(InputError, match="other types"):
        table_of(engine, tmp_path / "1.parquet", tmp_path / "2.parquet")


TITLED = [
    ["Customer master"],
    ["Made;on Monday"],
    [],
    ["id", "name"],
    ["1", "x"],
    ["2", "y"],
    [],
    ["Total", "2"],
    ["The end"],
]


@pytest.mark.parametrize("kind", ["utf-8", "cp1252", "xlsx"])
def test_a_title_above_and_lines_below_are_left_off(engine, tmp_path, kind):
    if kind == "xlsx":
        path = book(tmp_path, {"S": TITLED})
    else:
        text = "".join(";".join(row) + "\n" for row in [*TITLED, ["é"]])
        path = write(tmp_path, (text + "\n\n").encode(kind))
    closing = 2 if kind == "xlsx" else 3
    assert rows(engine, path, header_row=4, footer_rows=closing) == [("1", "x", 5), ("2", "y", 6)]
    assert rows(engine, path, header_row=5, footer_rows=closing) == [("2", "y", 6)]
    assert "no rows" in refusal(engine, path, header_row=4, footer_rows=closing + 2).problem
    assert "empty" in refusal(engine, path, header_row=99).problem


# --- JSON ---------------------------------------------------------------------------------------------------------

RECORDS = """{"id": 1, "customer": {"id": "a", "plan": null}, "tags": ["x", "y"], "ok": true, "note": "é\u2028"}
{"id": 2.5, "customer": {"id": "b"}, "score": 9}"""


@pytest.mark.parametrize(
    ("name", "text", "first"),
    [
        ("a.jsonl", RECORDS, 1),
        ("a.ndjson", "\n" + RECORDS + "\n\n", 2),
        ("a.json", RECORDS, 1),
        ("a.json", "[" + RECORDS.replace("\n", ",\n") + "]", 1),
        ("a.json", '{"page": 1, "errors": ["none"], "responses": [' + RECORDS.replace("\n", ",") + "]}", 1),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_json_is_a_list_one_record_a_line_or_the_one_list_in_a_record(engine, tmp_path, name, text, first, encoding):
    path = write(tmp_path, text.encode(encoding), name)
    table = table_of(engine, path)
    assert table.columns == ("id", "customer.id", "customer.plan", "tags", "ok", "note", "score", "_row")
    assert rows(engine, path) == [
        ("1", "a", "", "x; y", "true", "é\u2028", "", first),
        ("2.5", "b", "", "", "", "", "9", first + 1),
    ]


def test_a_key_that_one_file_lacks_is_empty_there(engine, tmp_path):
    paths = [write(tmp_path, '[{"a": 1, "b": 2}]', "1.json"), write(tmp_path, '{"c": 3, "a": 4}', "2.jsonl")]
    table = table_of(engine, *paths)
    assert table.columns == ("a", "b", "_row", "c")
    assert rows(engine, *paths) == [("1", "2", 1, None), ("4", None, (1 << FILE_BITS) + 1, "3")]


@pytest.mark.parametrize(
    ("text", "row", "problem"),
    [
        ('{"a": 1}\n{"a": \n', 2, "not JSON"),
        ('{"a": 1}\n7\n', 2, "not a record"),
        ("[1, 2]", 1, "not a record"),
        ("7", 1, "not a record"),
        ('[{"a": 1}, null]', 2, "not a record"),
        ("[" * 100_000, 1, "not JSON"),
        ("[]", None, "no rows"),
        ('{"rows": []}', None, "no rows"),
        ('{"a": 1, "A": 2}', 1, "same header"),
    ],
)
def test_json_that_holds_no_records(engine, tmp_path, text, row, problem):
    error = refusal(engine, write(tmp_path, text, "a.json"))
    assert problem in error.problem
    assert error.row == row


# --- Excel and Parquet --------------------------------------------------------------------------------------------


def book(folder: Path, pages: dict[str, list[list]], name: str = "book.xlsx") -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for title, cells in pages.items():
        page = workbook.create_sheet(title)
        for row in cells:
            page.append(row)
    workbook.save(folder / name)
    return folder / name


def test_excel_cells_become_text_as_a_csv_would_hold_it(engine, tmp_path):
    cells = [
        [" id ", None, "when", "ok"],
        [1, 0.1, datetime(2026, 1, 31, 17, 5, 47), True],
        [],
        ["x", timedelta(hours=26, minutes=5, seconds=7), date(2026, 1, 31), None, None],
        [None, None, None, "  "],
    ]
    path = book(tmp_path, {"One": cells})
    table = table_of(engine, path)
    assert table.columns == ("id", "column_2", "when", "ok", "_row")
    assert rows(engine, path) == [
        ("1", "0.1", "2026-01-31 17:05:47", "TRUE", 2),
        ("x", "26:05:07", "2026-01-31", "", 4),
    ]


def formulas(folder: Path, stored: str, kind: str = "") -> Path:
    """Return a workbook whose second column is a formula with what a spreadsheet program would have stored."""
    path = book(folder, {"S": [["id", "left"], ["1", '=IF(A2="1","","x")']]})
    with zipfile.ZipFile(path) as old:
        parts = {n: old.read(n) for n in old.namelist()}
    sheet = next(n for n in parts if n.startswith("xl/worksheets/"))
    cell = parts[sheet].decode()
    assert '<c r="B2"><f>' in cell
    cell = cell.replace('<c r="B2"><f>', f'<c r="B2"{kind}><f>').replace("<v />", f"<v>{stored}</v>")
    cell = cell.replace("<v></v>", f"<v>{stored}</v>")
    with zipfile.ZipFile(path, "w") as new:
        for name, part in parts.items():
            new.writestr(name, cell.encode() if name == sheet else part)
    return path


def test_a_formula_has_the_value_that_is_stored_with_it(engine, tmp_path):
    assert rows(engine, formulas(tmp_path, "45000")) == [("1", "45000", 2)]
    assert rows(engine, formulas(tmp_path, "", ' t="str"')) == [("1", "", 2)]
    error = refusal(engine, formulas(tmp_path, ""))
    assert "no stored value" in error.problem
    assert (error.row, error.column, error.value) == (2, "left", '=IF(A2="1","","x")')


def test_a_sheet_is_named_when_there_are_several(engine, tmp_path):
    path = book(tmp_path, {"Notes": [["a"], ["x"]], "Tick ets": [["id"], ["7"]]})
    assert sheets(path) == ["Notes", "Tick ets"]
    assert rows(engine, path, sheet="Tick ets") == [("7", 2)]
    for sheet in (None, "Tickets"):
        assert "Notes, Tick ets" in refusal(engine, path, sheet=sheet).remedy
    assert "no rows" in refusal(engine, book(tmp_path, {"S": [["a"]]})).problem
    assert "empty" in refusal(engine, book(tmp_path, {"S": []})).problem


def test_parquet_keeps_its_own_types_and_is_read_once(engine, tmp_path):
    frame = pd.DataFrame({" id ": ["a", "b"], "n": [1, None], "at": pd.to_datetime(["2026-01-01", None])})
    frame.to_parquet(tmp_path / "p.parquet", coerce_timestamps="us")
    table = table_of(engine, tmp_path / "p.parquet")
    (tmp_path / "p.parquet").unlink()
    assert table.columns == ("id", "n", "at", "_row")
    assert table.schema()["at"].is_timestamp()
    assert table.schema()["n"].is_floating()
    assert table["_row"].execute().tolist() == [2, 3]


def test_the_fingerprint_is_of_the_bytes(tmp_path):
    path = write(tmp_path, b"a\r\n1")
    assert fingerprint(path) == (4, hashlib.sha256(b"a\r\n1").hexdigest())


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_missing_file_names_the_closest_ones(engine, tmp_path):
    write(tmp_path, "a\n1\n", "accounts.csv")
    assert "accounts.csv" in refusal(engine, tmp_path / "acounts.csv").remedy
    assert "accounts.csv" in refusal(engine, tmp_path / "zzz.csv").remedy
    assert "folder" in refusal(engine, tmp_path / "nowhere" / "a.csv").problem
    (tmp_path / "folder.csv").mkdir()
    assert "folder" in refusal(engine, tmp_path / "folder.csv").problem


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"\n\n \n", "empty"),
        ("a.csv", b"\xef\xbb\xbf", "empty"),
        ("a.csv", b"id,name\n", "no rows"),
        ("a.csv", b"id,name\n,\n\n", "no rows"),
        ("a.docx", b"x", "'.docx'"),
        ("a.xls", b"x", "'.xls'"),
        ("noending", b"x", "without ending"),
        ("a.csv", b"\xd0\xcf\x11\xe0aaaa", "password"),
        ("a.csv", b"PK\x03\x04aaaa", "zip archive"),
        ("a.txt", b"\x1f\x8baaaa", "gzip"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0aaaa", "password"),
        ("a.xlsx", b"id,name\n1,x\n", "not an Excel workbook"),
        ("a.parquet", b"PAR1 this is not one", "Parquet"),
    ],
)
def test_files_that_are_not_what_they_say(engine, tmp_path, name, content, problem):
    assert problem in refusal(engine, write(tmp_path, content, name)).problem


def test_a_name_that_no_file_can_have(engine, tmp_path):
    error = refusal(engine, tmp_path / ("a" * 5000 + ".csv"))
    assert "too long" in error.problem
    assert len(str(error)) < 500


def test_a_cell_of_five_megabytes(engine, tmp_path):
    error = refusal(engine, write(tmp_path, 'id,note\n1,x\n2,"' + "y" * 5_000_000 + '"\n'))
    assert (error.row, error.column) == (3, "note")
    assert "5.0 million characters" in error.problem


def test_a_zip_that_is_no_workbook(engine, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("x.txt", "x")
    assert "not an Excel workbook" in refusal(engine, tmp_path / "a.xlsx").problem


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize(
    ("body", "row", "column", "value", "problem"),
    [
        ("1,é\n2\n3,z\n", 3, "name", None, "1 fields"),
        ("1,é\n2,y\n3,z,more\n", 4, None, "more", "3 fields"),
        ('1,"é\nx"\n2,y\n3,"z\n4,w\n', 4, None, None, "never closed"),
        ('1,é\n2,"y" x\n3,z\n', 3, None, None, "follows a closing quote"),
        ("1,é\n2,x\0y\n", 3, "name", "x\0y", "null byte"),
        ("\n1,é\n2,y,z\n", 4, None, "z", "3 fields"),
    ],
)
def test_the_faulty_row_is_named(engine, tmp_path, encoding, body, row, column, value, problem):
    error = refusal(engine, write(tmp_path, f"id,name\n{body}".encode(encoding)))
    assert (error.row, error.column, error.value) == (row, column, value)
    assert problem in error.problem


def test_repeated_headers_and_the_reserved_name(engine, tmp_path):
    for header in ("id,name,id", "id,name, ID ", "column_2,,x"):
        error = refusal(engine, write(tmp_path, f"{header}\n1,2,3\n"))
        assert "same header" in error.problem
        assert error.row == 1
    assert refusal(engine, write(tmp_path, "_row,x\n1,2\n")).column == "_row"


def test_a_given_encoding_or_delimiter_is_held_to(engine, tmp_path):
    path = write(tmp_path, "id,name\n1,x\n2,é\n".encode("cp1252"))
    assert rows(engine, path, encoding="cp1252")[1] == ("2", "é", 3)
    error = refusal(engine, path, encoding="utf-8")
    assert error.row == 3
    for wrong in ("cp1253x", "idna", "punycode", "rot13", "zlib", "hex", "undefined", "a\0b"):
        assert "Unknown encoding" in refusal(engine, path, encoding=wrong).problem
    assert refusal(engine, path, delimiter=";;").value == ";;"
    assert rows(engine, write(tmp_path, "a\tb\n1\t2\n"), delimiter="tab") == [("1", "2", 2)]
