"""A company: its settings, its six checked tables, and a record of how every row was used."""

from __future__ import annotations

import copy
import hashlib
import html
import os
import pickle
import re
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _
from pyarrow import parquet

from cxlib import paths
from cxlib.errors import InputError, faults
from cxlib.intake import checks, engines, initiatives, reading, yaml_file
from cxlib.intake import settings as company_yaml
from cxlib.intake.checks import Checked
from cxlib.intake.database import Tables
from cxlib.intake.exports import Exports, Files, Frames
from cxlib.intake.models import FILE, did_you_mean
from cxlib.intake.oddities import Oddities, id_forms, stale
from cxlib.intake.settings import Settings
from cxlib.intake.sources import TABLES, Column
from cxlib.intake.tables import CONTRACT, Rows, check_mapping

CODES = ("currency", "cost_currency")  # of amounts that are converted once they are read
_KEPT = ("name", "title", "settings", "as_of", "_declared", "record", "set_aside", "notes", "ends", "inputs")
fault = faults(__file__)


class Company:
    """One company on one date. Open it with ``open_company``, or from frames with ``Company.from_frames``.

    The tables are Ibis tables of the rows used, in the columns of the contract. A column that is not mapped is null; a
    table without a source is None. ``record``, ``set_aside``, ``notes`` and ``inputs`` are frames that account for
    every row and file read; ``ends`` tells how far each table reaches.
    """

    customers: ir.Table
    responses: ir.Table | None  # questions asked; a row with a score is an answer
    orders: ir.Table | None  # payments and purchases
    contacts: ir.Table | None  # support cases
    initiatives: ir.Table | None  # CX programmes
    exposures: ir.Table | None  # customers that an initiative reached

    def __init__(
        self, name: str, settings: Settings, as_of: date, read: Files | Frames | Tables, file: Path | None = None
    ) -> None:
        self.name, self.title, self.settings, self.as_of = name, settings.name, settings, as_of
        self.engine, self._file, self._declared = engines.own(), file, settings.as_of
        check_mapping(settings)
        try:
            exports = Exports(self.engine, settings, read)
            self._take_in(exports)
            exports.forget()
        except Exception as error:
            own = type(error).__module__ == "builtins"  # a fault in cxlib: every engine has its own error classes
            if own or isinstance(error, InputError):
                raise
            raise fault("engine", said=(str(error).strip().splitlines() or [type(error).__name__])[0]) from error
        self.settings = settings.model_copy(update={"as_of": as_of})
        self.inputs = pd.DataFrame(read.inputs, columns=["file", "bytes", "sha256"]).astype({"bytes": "Int64"})

    @classmethod
    def from_frames(cls, settings: Settings | Mapping[str, Any], frames: Mapping[str, pd.DataFrame]) -> Company:
        """Return a company made of pandas frames that already use the names of the contract; the same checks apply.

        ``settings``: as in company.yaml; sources are needed only for what a frame cannot show (tenure_unit). Or the
        ``settings`` of a company, with frames that its ``frame`` returned, changed as you like. Errors: InputError.

        Example: ``Company.from_frames(company.settings, {"customers": company.frame("customers").head(500)})``.
        """
        if unknown := set(map(str, frames)) - set(TABLES):
            raise fault("no_table", table=min(unknown), known=did_you_mean(min(unknown), TABLES))
        if isinstance(settings, Settings):
            settings, frames = _given_back(settings, frames)
        given = settings.get("sources") or {}
        sources = {
            t: {"file": t, "blank": [], "columns": {str(c): str(c) for c in f.columns}, **given.get(t, {})}
            for t, f in frames.items()
        }
        checked = company_yaml.check({"name": "Frames", **settings, "sources": sources})
        slug = re.sub(r"\W+", "-", checked.name.lower()).strip("-")
        return cls(slug, checked, checked.as_of, Frames(frames))

    def __repr__(self) -> str:
        return f"Company({self.name!r}, as_of={self.as_of.isoformat()})"

    def _repr_html_(self) -> str:
        """Return its title, its date and the rows used of each table, as the value of a cell of a notebook."""
        used = {t: f"{getattr(self, t).count().execute():,}" for t in TABLES if self.has(t)}
        rows = pd.DataFrame({"Table": list(used), "Rows used": list(used.values())})
        said = f"<p><strong>{html.escape(self.title)}</strong>, as of {self.as_of.isoformat()}</p>"
        return said + rows.to_html(index=False, border=0)

    @property
    def tenure_unit(self) -> str | None:
        """The unit of customers.tenure: days, months, years; None if tenure is not mapped."""
        return _tenure_unit(self.settings)

    def frame(self, table: str) -> pd.DataFrame:
        """Return the rows used of a table as a pandas frame; InputError if company.yaml does not declare it."""
        if not self.has(table):
            raise fault("undeclared", file=FILE, title=self.title, table=table)
        rows = self._checked[table].filter(_._flags == 0).order_by("_source", "_row")
        return rows.select(*getattr(self, table).columns).to_pandas()

    def has(self, table: str, column: str | None = None) -> bool:
        """Tell whether company.yaml declares a table, or maps one of its columns."""
        if table not in TABLES:
            raise ValueError(f"No table is called {table!r}; the tables are {', '.join(TABLES)}")
        sources = self.settings.sources.of(table)
        return bool(sources) if column is None else any(column in s.columns for s in sources)

    def where(self, condition: str) -> Company:
        """Return the company with only those customers whom a condition holds for, and their rows in all tables.

        ``condition``: SQL of DuckDB on the columns of customers. The record and the notes remain those of the whole.
        Errors: InputError for a condition that cannot be read or holds for nobody.

        Example: ``open_company("demo").where("plan = 'Pro'")``.
        """
        kept = self._selected("customer_id", condition)
        theirs = {n: t for n, t in self._checked.items() if "customer_id" in t.columns}
        return self._with({n: t.semi_join(kept, "customer_id") for n, t in theirs.items()})

    def with_segment(self, name: str, expression: str) -> Company:
        """Return the company with a further segment: an SQL expression on the columns of customers.

        Errors: InputError for an expression that cannot be read.

        Example: ``open_company("demo").with_segment("size", "case when monthly_revenue > 40 then 'large' end")``.
        """
        level = self._selected(f"customer_id, ({expression})::varchar as {reading.identifier(name)}")
        first, *others = self.settings.sources.customers
        first = first.model_copy(update={"columns": first.columns | {name: Column(column=name)}})
        sources = self.settings.sources.model_copy(update={"customers": [first, *others]})
        segments = [*self.settings.segments, name]
        rows = self._checked["customers"].left_join(level, "customer_id").drop("customer_id_right")
        settings = self.settings.model_copy(update={"segments": segments, "sources": sources})
        return self._with({"customers": rows}, settings=settings)

    def _selected(self, columns: str, condition: str = "true") -> ir.Table:
        name, view = ibis.util.gen_name("selected"), self.customers.op().name
        sql = f"create table {name} as select {columns} from {view} as customers where {condition}"
        try:
            if len(duckdb.extract_statements(sql)) > 1:
                raise duckdb.Error("it is more than one statement")
            self.engine.raw_sql(sql)
        except duckdb.Error as error:
            raise fault("no_sql", said=str(error).splitlines()[0]) from None
        if not (found := self.engine.table(name)).count().execute():
            raise fault("nobody", value=condition)
        return found

    def _with(self, tables: Mapping[str, ir.Table], **changes: object) -> Company:
        """Return a copy that holds other rows in some of its tables."""
        changed = copy.copy(self)
        changed.__dict__ |= changes
        changed._hold(self._checked | {n: self.put_by(n, rows) for n, rows in tables.items()})
        return changed

    def put_by(self, name: str, rows: ir.Table) -> ir.Table:
        """Store rows that several counts start from.

        Every call writes a new table in the engine, so that a table in use never changes.
        """
        return self.engine.create_table(ibis.util.gen_name(name), rows)

    def refuse_stale(self) -> None:
        """Raise an InputError where an export is old: beside fresh ones, or for a day after that of company.yaml."""
        if self.as_of > self._declared or not self.ends["stale"].all():
            InputError.raise_all([*stale(self.ends, self.as_of)])

    def keep(self, folder: Path) -> None:
        """Save the checked tables in ``folder``, so that other processes of a run need not read the exports again.

        ``open_company`` finds them if the environment variable CXLIB_INTAKE names the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self._checked.items():
            if name == "responses":  # whether there is a comment, not what it says
                rows = rows.mutate(comment=rows.comment.isnull().ifelse(ibis.null("string"), "(not kept)"))
            batches = rows.to_pyarrow_batches()
            with parquet.ParquetWriter(folder / f"{name}.parquet", batches.schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
        state = {name: getattr(self, name) for name in _KEPT}
        _kept_file(folder, self._file, self.as_of).write_bytes(pickle.dumps(state))

    @classmethod
    def _kept(cls, folder: Path, file: Path, day: date) -> Company:
        """Return the company that ``keep`` saved in a folder."""
        company, engine = cls.__new__(cls), engines.own()
        company.__dict__ |= pickle.loads(_kept_file(folder, file, day).read_bytes()) | {"engine": engine, "_file": file}
        tables_kept = [n for n in TABLES if company.has(n)]
        company._hold({n: engine.read_parquet(folder / f"{n}.parquet", table_name=f"_{n}") for n in tables_kept})
        return company

    def _hold(self, checked: Mapping[str, ir.Table]) -> None:
        """Take the checked tables, and the rows used of them as views."""
        self._checked = checked
        for table in TABLES:
            setattr(self, table, self._used(checked[table]) if table in checked else None)

    def _used(self, rows: ir.Table) -> ir.Table:
        """Return the rows used of a checked table, in the finished columns, as a view."""
        name = ibis.util.gen_name("used")  # several companies can stand in one engine
        schema = ibis.schema({c: kind for c, kind in rows.schema().items() if not c.startswith("_")})
        columns = ", ".join(map(reading.identifier, schema))
        sql = f"select {columns} from {rows.op().name} where _flags = 0"
        return engines.view(self.engine, name, sql, schema)

    def _take_in(self, exports: Exports) -> None:
        """Read, check and count all tables."""
        names = [n for n in CONTRACT if self.has(n)]
        typed, errors = {n: [] for n in names}, []
        for name, index, source in ((n, i, s) for n in names for i, s in enumerate(self.settings.sources.of(n))):
            try:
                typed[name].append(Rows(name, source, index, self.settings, self.as_of, exports))
            except InputError as error:
                errors.append(error)
        InputError.raise_all(errors)
        checked: dict[str, Checked] = {}
        for name, sources in typed.items():
            checked[name] = checks.check(self.engine, sources, checked)
        InputError.raise_all([error for table in checked.values() for error in table.stops()])
        strange = {n: t.rows.filter(_._flags != 0) for n, t in checked.items() if t.share(checks.UNKNOWN) >= 0.5}
        self._hints = {n: id_forms(rows, checked["customers"].rows) for n, rows in strange.items()}
        empty = {n: [*t.nothing_left(self._hints.get(n, ""))] for n, t in checked.items()}
        InputError.raise_all(empty.pop("customers"))
        self._hold({n: t.rows for n, t in checked.items()})
        self._odd = Oddities({n: getattr(self, n) for n in names}, self.settings, self.as_of)
        if "initiatives" in names:
            initiatives.check(checked, self.settings, self.as_of, self._odd.first)
        InputError.raise_all([error for errors in empty.values() for error in errors])
        self._found, self.ends = checked, self._odd.ends
        self.record = pd.DataFrame([line for t in checked.values() for line in t.record()], columns=checks.RECORD)
        self.set_aside = pd.DataFrame([line for t in checked.values() for line in t.set_aside()], columns=checks.ASIDE)
        after = self.as_of > self._declared and self.ends["stale"].all()
        InputError.raise_all([*(stale(self.ends, self.as_of) if after else ()), *self._odd.segments()])

    @cached_property
    def notes(self) -> pd.DataFrame:
        """Notes on rows that are used, and the complete checks: check, rows, detail."""
        lines = [line for table in self._found.values() for line in table.notes()]
        lines += [("half of the customers are unknown", 0, f"{n}:{hint}") for n, hint in self._hints.items() if hint]
        lines += self._odd.notes()
        return pd.DataFrame(lines, columns=["check", "rows", "detail"])


def _tenure_unit(settings: Settings) -> str | None:
    return next((s.tenure_unit for s in settings.sources.customers if s.tenure_unit), None)


def _given_back(settings: Settings, frames: Mapping[str, pd.DataFrame]) -> tuple[dict[str, Any], dict]:
    """Return the settings of a company without its exports, and its frames without the columns that ``frame`` adds."""
    exports = {"sources", "exports", "exchange_rates", "database", "folder"}
    kept = settings.model_dump(mode="json", exclude_none=True, exclude=exports)
    mapped = {t: {c for s in settings.sources.of(t) for c in s.columns} for t in frames}
    added = {t: {"fold", *CODES, *(set(CONTRACT[t]) - mapped[t])} for t in frames}
    rows = {t: f.drop(columns=added[t], errors="ignore") for t, f in frames.items()}
    return kept | {"sources": {"customers": {"tenure_unit": _tenure_unit(settings)}}}, rows


def open_company(name_or_path: str | Path, as_of: date | str | None = None) -> Company:
    """Open a company: the name of a folder under ``data/``, or a path to a folder with company.yaml or to that file.

    ``as_of`` replaces the date in company.yaml: nothing dated later is used. Errors: InputError for any fault in the
    settings or the exports, with file, row, column, value and remedy.

    Example: ``company = open_company("demo-subscription", as_of="2025-12-31")``.
    """
    file, settings = _find(name_or_path), settings_of(name_or_path)
    try:
        day = date.fromisoformat(as_of) if isinstance(as_of, str) else as_of or settings.as_of
    except ValueError:
        raise fault("no_date", value=as_of) from None
    kept = os.environ.get("CXLIB_INTAKE")
    if kept and _kept_file(Path(kept), file, day).exists():
        return Company._kept(Path(kept), file, day)
    read = Tables(settings, file) if settings.database else Files(file.parent / settings.folder, file)
    return Company(file.parent.name, settings, day, read, file)


def settings_of(name_or_path: str | Path) -> Settings:
    """Return the settings of a company, without reading its exports."""
    return company_yaml.check(yaml_file.read_yaml(_find(name_or_path)))


def _kept_file(folder: Path, file: Path, day: date) -> Path:
    return folder / f"{hashlib.sha256(f'{file.resolve()} {day}'.encode()).hexdigest()[:16]}.pickle"


def _find(name_or_path: str | Path) -> Path:
    named = paths.data() / name_or_path
    for path in (named / FILE, Path(name_or_path), Path(name_or_path) / FILE):
        if path.is_file():
            return path.resolve()
    if named.is_dir() or Path(name_or_path).is_dir():
        raise fault("no_settings", file=name_or_path)
    known = sorted(p.parent.name for p in paths.data().glob(f"*/{FILE}"))
    raise fault("no_company", given=str(name_or_path), known=did_you_mean(name_or_path, known))
