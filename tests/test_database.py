"""Companies in a database: PostgreSQL for real, DuckDB and SQLite as files.

``.ci/run`` starts a PostgreSQL server for these tests; with one of your own: CXLIB_TEST_DATABASE=postgresql://...
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import traceback
import uuid
from pathlib import Path

import duckdb
import pandas as pd
import psycopg
import pytest
import yaml
from psycopg import sql
from small_company import Small, adds_up, stops

from cxlib import open_company, paths
from cxlib.errors import InputError
from cxlib.intake import database, engines
from cxlib.intake.company import settings_of
from cxlib.intake.exports import Exports
from cxlib.intake.tables import CONTRACT, ID
from cxlib.publish import privacy, record

TYPES = {"number": "numeric", "score": "numeric(6, 2)", "date": "date", "moment": "timestamp", "flag": "boolean"}


@pytest.fixture
def small(tmp_path):
    return Small(tmp_path)


@pytest.fixture(scope="module")
def server():
    """The address of an empty database on the server of CXLIB_TEST_DATABASE."""
    address = os.environ.get("CXLIB_TEST_DATABASE")
    if not address:
        if os.environ.get("CXLIB_REQUIRE_DATABASE"):
            pytest.fail("A PostgreSQL server is required here (CXLIB_REQUIRE_DATABASE): set CXLIB_TEST_DATABASE")
        pytest.skip("needs a PostgreSQL server: CXLIB_TEST_DATABASE=postgresql://...")
    name = f"cxlib_{uuid.uuid4().hex}"
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(f"create database {name}")
        yield address.rpartition("/")[0] + f"/{name}"
        admin.execute(f"drop database {name} with (force)")


def run(server: str, *statements: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def put(server: str, tables: dict[str, tuple[pd.DataFrame, dict[str, str]]]) -> None:
    """Store frames of texts in the types given; their rows come in another order, as a server may return them."""
    with psycopg.connect(server, autocommit=True) as connection:
        for table, (frame, types) in tables.items():
            schema, name = (sql.Identifier(*table.split(".")[:n]) for n in (1, 2))
            columns = [sql.SQL("{} {}").format(sql.Identifier(c), sql.SQL(types.get(c, "text"))) for c in frame.columns]
            for statement in ("create schema if not exists {0}", "drop table if exists {1} cascade"):
                connection.execute(sql.SQL(statement).format(schema, name))
            connection.execute(sql.SQL("create table {} ({})").format(name, sql.SQL(", ").join(columns)))
            with connection.cursor().copy(sql.SQL("copy {} from stdin (format csv)").format(name)) as copy:
                copy.write(frame.sample(frac=1, random_state=1).to_csv(index=False, header=False))


def moved(server: str, folder: Path, schema: str) -> dict:
    """Store the exports of a company on the server, in the types of their columns; return its new settings.

    Exports that state patterns of dates stay text.
    """
    given, tables = yaml.safe_load((folder / "company.yaml").read_text()), {}
    for name, sources in given["sources"].items():
        for source in sources if isinstance(sources, list) else [sources]:
            file = folder / source.pop("file")
            text = {"sep": source.pop("delimiter", ","), "dtype": str, "keep_default_na": False}
            frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, **text)
            from_column = {g if isinstance(g, str) else g.get("column"): c for c, g in source["columns"].items()}
            kinds = {c: CONTRACT[name][f].kind for c, f in from_column.items() if f in CONTRACT[name]}
            types = {} if "dates" in source else {c: TYPES[kind] for c, kind in kinds.items() if kind in TYPES}
            source["table"] = f"{schema}.{file.stem}"
            tables[source["table"]] = (frame, types)
    put(server, tables)
    return given | {"database": "${CX_TEST_ADDRESS}"}


def same(first, second) -> None:
    """Both companies have the same rows, used and set aside."""
    for name in first.settings.sources.model_fields_set:
        ids = [c for c in (*ID.values(), "customer_id") if first.has(name, c)]
        frames = (c.frame(name).sort_values(ids, ignore_index=True) for c in (first, second))
        pd.testing.assert_frame_equal(*frames)
    for kept in ("record", "set_aside"):
        columns = ["table", "reason", "rows", "money"] if kept == "set_aside" else ["table", "rows_read", "used"]
        pd.testing.assert_frame_equal(getattr(first, kept)[columns], getattr(second, kept)[columns])


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The small company in files, of customers and orders."""
    there = Small(tmp_path_factory.mktemp("files"))
    there.only("orders")
    return there.open()


@pytest.fixture
def on_server(small, expected, server, monkeypatch):
    """The small company and its tables on the server, whose address stands in the environment only."""
    monkeypatch.setenv("CX_TEST_ADDRESS", server)
    small.only("orders")
    small.settings = moved(server, small.write(), "crm")
    return small


@pytest.mark.parametrize("company", ["demo", "demo-shop"])
def test_a_demo_on_a_server_is_the_demo_in_files(company, server, tmp_path, monkeypatch):
    monkeypatch.setenv("CX_TEST_ADDRESS", server)
    given = moved(server, paths.data() / company, company)
    (tmp_path / "company.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    same(open_company(company), open_company(tmp_path))


def test_rows_that_change_while_tables_are_read_are_all_of_one_moment(on_server, expected, server, monkeypatch):
    small = on_server
    read = database.Tables.__call__

    def meanwhile(self, *args):
        read(self, *args)
        run(server, "delete from crm.customers", "insert into crm.orders values ('O9', 'C1', '2024-08-01', 9)")

    monkeypatch.setattr(database.Tables, "__call__", meanwhile)
    company = small.open()
    adds_up(company)
    same(expected, company)


def test_only_mapped_columns_are_asked_for(on_server, expected, server, monkeypatch):
    small = on_server
    columns = "id, signup, cancelled, reason, plan, mrr"
    run(
        server,
        "alter table crm.customers add column diagnosis text default 'secret'",
        "drop role if exists reader",
        "create role reader login password 'only-reading'",
        "grant usage on schema crm to reader",
        "grant select on all tables in schema crm to reader",
        "revoke select on crm.customers from reader",
        f"grant select ({columns}) on crm.customers to reader",
    )
    monkeypatch.setenv("CX_TEST_ADDRESS", "postgresql://reader:only-reading@" + server.rpartition("@")[2])
    same(expected, small.open())
    small.columns("customers")["illness"] = "diagnosis"
    error = stops(small.open)
    assert error.file == "crm.customers"
    assert "no right" in error.problem
    assert not error.others
    run(server, "drop owned by reader", "drop role reader")


def test_the_recorded_hash_is_of_the_content_alone(on_server, server, monkeypatch):
    small = on_server

    def hashes() -> dict[str, str]:
        file = small.write() / "company.yaml"
        read = database.Tables(settings_of(file), file)
        Exports(engines.own(), settings_of(file), read)
        return {name: found for name, _, found in read.inputs}

    first = hashes()
    assert list(first) == ["company.yaml", "crm.customers", "crm.orders"]
    monkeypatch.setattr(database, "_BATCH", 2)
    run(server, "create table crm.o as table crm.orders order by oid desc", "alter table crm.orders rename to old")
    run(server, "alter table crm.o rename to orders")
    assert hashes() == first
    run(server, "update crm.orders set amount = amount + 0.01 where oid = 'O2'")
    assert [name for name, found in hashes().items() if found != first[name]] == ["crm.orders"]


def test_types_that_a_file_has_not_are_read(on_server, server):
    small = on_server
    run(
        server,
        "create type crm.tier as enum ('Basic', 'Pro')",
        """create table crm.odd as select '0e6bb3fc-a57a-4e91-8a45-e93b9c9ae7be'::uuid id, 'infinity'::date until,
           '2024-01-05 23:30+00'::timestamptz since, 'Pro'::crm.tier plan, 5.5::money fee, '{"a": 1}'::jsonb doc,
           1.0000000000000000000001::numeric n, array['x', 'y'] tags, 'ab'::char(5) code, true here, 7::numeric no""",
    )
    small.settings["sources"] = {
        "customers": {
            "table": "crm.odd",
            "blank": "9999-12-31",
            "columns": {"customer_id": "id", "joined_on": "since", "left_on": "until", "monthly_revenue": "fee"}
            | {"left": "here", **{c: c for c in ("plan", "doc", "n", "tags", "code", "no")}},
        }
    }
    row = small.open().frame("customers").iloc[0]
    assert row["customer_id"] == "0e6bb3fc-a57a-4e91-8a45-e93b9c9ae7be"
    assert (row["joined_on"], row["monthly_revenue"]) == (pd.Timestamp("2024-01-05"), 5.5)
    assert pd.isna(row["left_on"])
    assert row["left"]
    assert list(row[["plan", "doc", "tags", "code", "no"]]) == ["Pro", '{"a": 1}', "{x,y}", "ab", "7"]
    del small.source("customers")["blank"]
    error = stops(small.open)
    assert (error.column, error.value, error.row) == ("until", "9999-12-31", None)


def test_a_select_reads_whole_tables_of_a_server(on_server, expected):
    small = on_server
    small.settings["exports"] = {"o": {"table": "crm.orders"}}
    del small.source("orders")["table"]
    small.source("orders")["sql"] = "select * from o where amount > -1e9"
    same(expected, small.open())


def test_what_is_not_on_the_server_is_named(on_server):
    small = on_server
    small.source("orders")["table"] = "crm.oders"
    small.columns("customers")["plan"] = "plann"
    error = stops(small.open)
    assert "Did you mean 'plan'" in error.remedy
    assert "Did you mean 'orders'" in error.others[0].remedy


def test_a_statement_has_a_time_limit(on_server, server, monkeypatch):
    small = on_server
    run(server, "create view crm.slow as select oid, cid, day, amount, pg_sleep(9)::text as x from crm.orders")
    small.source("orders")["table"] = "crm.slow"
    small.columns("orders")["x"] = "x"
    monkeypatch.setattr(engines, "STATEMENT", 1)
    error = stops(small.open)
    assert "took too long" in error.problem
    assert not error.others


# --- faults -------------------------------------------------------------------------------------------------------


def refused(small, monkeypatch, address: str) -> InputError:
    """Return the one error of a database that cannot be opened; nothing that is shown tells its address."""
    small.settings["database"] = address
    for source in small.settings["sources"].values():
        source["table"] = source.pop("file", "t")
    with pytest.raises(InputError) as caught:
        small.open()
    shown = "".join(traceback.format_exception(caught.value)) + repr(database.Settings.model_validate(small.settings))
    for secret in ("hunter2", "ada", "127.0.0.1", "localhost", "shop"):
        assert secret not in shown.replace(str(small.folder), "")
    assert not caught.value.others
    return caught.value


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("mysqll://ada:hunter2@127.0.0.1/shop", "known scheme"),
        ("host=127.0.0.1 user=ada password=hunter2", "known scheme"),
        ("postgresql://ada:hunter2@127.0.0.1:1/shop", "refuses the connection"),
        ("postgresql://ada:hunter2@shop.invalid/shop", "no such server"),
        ("postgresql://ada:hunter2@127.0.0.1:port/shop", "OperationalError"),
        ("mysql://ada:hunter2@127.0.0.1/shop", "driver"),
        ("duckdb:///hunter2/shop.ddb", "no such file"),
        ("sqlite://hunter2.sqlite", "no such file"),
        ("${CX_TEST_UNSET}", "CX_TEST_UNSET is not set"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_error_without_its_address(small, monkeypatch, address, fault):
    assert fault in str(refused(small, monkeypatch, address))
    assert not [*small.folder.glob("*.sqlite")]


def test_a_missing_driver_is_named(small, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    error = refused(small, monkeypatch, "postgresql://ada:hunter2@127.0.0.1:1/shop")
    assert "driver is not installed" in error.problem
    assert "ibis-framework[postgres]" in error.remedy


def test_a_server_that_never_answers_is_given_up(small, monkeypatch):
    monkeypatch.setattr(engines, "CONNECT", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refused(small, monkeypatch, f"postgresql://ada:hunter2@127.0.0.1:{silent.getsockname()[1]}/shop")
    assert "does not answer" in error.problem


def test_a_wrong_password_or_name_is_named(small, server, monkeypatch):
    place = server.rpartition("@")[2].rpartition("/")[0]
    error = refused(small, monkeypatch, f"postgresql://ada:hunter2@{place}/postgres")
    assert "password" in error.problem
    error = refused(small, monkeypatch, server.rpartition("/")[0] + "/shop")
    assert "no such database" in error.problem


def test_a_run_record_shows_no_address(on_server, server):
    small = on_server
    small.settings["database"] = server
    company = small.open()
    shown = json.dumps(record.of_company(company, privacy.secrets(company.settings.database)))
    assert "crm.orders" in shown
    password = server.split(":")[2].split("@")[0]
    for secret in (server, password):
        assert secret not in shown + repr(company.settings) + str(company.__dict__)


# --- files of databases -------------------------------------------------------------------------------------------


@pytest.fixture(params=["duckdb", "sqlite"])
def in_file(request, small):
    """The small company as tables in a file next to company.yaml."""
    small.only("orders")
    path = small.write() / "shop.db"
    frames = {t: pd.read_csv(small.folder / f"{t}.csv") for t in small.settings["sources"]}
    if request.param == "sqlite":
        with sqlite3.connect(path) as base:
            base.execute("pragma journal_mode = wal")
            for table, frame in frames.items():
                frame.to_sql(table, base, index=False)
        base.close()
    else:
        with duckdb.connect(str(path)) as base:
            for table in frames:
                base.sql(f"create table {table} as select * from read_csv('{small.folder / table}.csv', nullstr='')")
    small.settings["database"] = f"{request.param}://shop.db"
    for table, source in small.settings["sources"].items():
        del source["file"]
        source["table"] = table
    return small, request.param


def test_a_file_of_a_database_gives_the_same_tables_and_is_never_written_to(in_file, expected):
    small, _ = in_file
    company = small.open()
    adds_up(company)
    same(expected, company)
    read = database.Tables(company.settings, small.folder / "company.yaml")
    with pytest.raises(Exception, match=r"read-only|readonly"):
        read._server.raw_sql("create table x (y integer)")
    read.close()


def test_a_file_of_sqlite_is_read_as_of_one_moment(in_file, expected, monkeypatch):
    small, kind = in_file
    if kind != "sqlite":
        pytest.skip("DuckDB itself lets nobody write to a file that is read")
    read = database.Tables.__call__

    def meanwhile(self, *args):
        read(self, *args)
        with sqlite3.connect(small.folder / "shop.db") as other:
            other.execute("delete from customers")
            other.execute("delete from orders where oid = 'O1'")

    monkeypatch.setattr(database.Tables, "__call__", meanwhile)
    same(expected, small.open())


@pytest.mark.parametrize(("table", "repeats"), [("responses", None), ("orders", "sum"), ("customers", "span")])
def test_which_of_several_rows_with_one_id_is_used_depends_on_their_content(small, table, repeats):
    small.only(table)
    small.columns(table)["shop"] = "shop"
    head, *rows = small.files[f"{table}.csv"].splitlines()
    rows = [f"{r},{i}" for i, r in enumerate(rows)] + [f"{rows[0]},{n}" for n in (9, 7)]
    if repeats:
        small.source(table)["repeats"] = repeats
    used = []
    for order in (rows, rows[::-1]):
        small.files[f"{table}.csv"] = "\n".join([f"{head},shop", *order])
        used.append(small.open().frame(table).sort_values(ID[table], ignore_index=True))
    pd.testing.assert_frame_equal(*used)
    assert used[0]["shop"][0] == ("0" if repeats == "sum" else "9")
