"""A company: its settings, its six checked tables, and a record of how every row was used."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd
from pyarrow import parquet

from cxlib import paths
from cxlib.errors import InputError
from cxlib.intake import checks, engines, initiatives, oddities, tables, yaml_file
from cxlib.intake import settings as company_yaml
from cxlib.intake.database import Tables
from cxlib.intake.exports import Exports, Files, Frames
from cxlib.intake.models import FILE, did_you_mean
from cxlib.intake.settings import Settings
from cxlib.intake.sources import TABLES
from cxlib.intake.tables import CONTRACT, ID, Rows

_RECORD = ["table", "file", "rows_read", "merged", "reason", "set_aside", "used"]


class Company:
    """One company on one date. Open it with ``open_company``, or from frames with ``Company.from_frames``.

    ``customers``, ``responses``, ``orders``, ``contacts``, ``initiatives``, ``exposures`` are Ibis tables of the rows
    used, in the columns of the contract. A column that is not mapped is null; a table without a source is None.
    ``record``, ``set_aside``, ``notes`` and ``inputs`` are frames that account for every row and file read.
    """

    def __init__(
        self, name: str, settings: Settings, as_of: date, read: Files | Frames | Tables, file: Path | None = None
    ) -> None:
        self.name, self.title, self.settings, self.as_of = name, settings.name, settings, as_of
        self.engine, self._file = engines.own(), file
        self._found: dict[str, pd.DataFrame] = {}
        self._sources: dict[str, list[Rows]] = {}
        self._checked: dict[str, ir.Table] = {}
        tables.check_mapping(settings)
        try:
            self._exports = Exports(self.engine, settings, read)
            self._take_in()
        except InputError:
            raise
        except Exception as error:
            if type(error).__module__ == "builtins":  # a fault in cxlib: every engine has its own error classes
                raise
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"The engine could not process the exports: {said}", remedy="Check the mapping against the exports."
            ) from error
        self.inputs = pd.DataFrame(read.inputs, columns=["file", "bytes", "sha256"]).astype({"bytes": "Int64"})

    @classmethod
    def from_frames(cls, settings: Mapping[str, Any], frames: Mapping[str, pd.DataFrame]) -> Company:
        """Return a company made of pandas frames that already use the names of the contract; the same checks apply.

        ``settings``: as in company.yaml; sources are needed only for what a frame cannot show (tenure_unit). Errors:
        InputError.

        Example: ``Company.from_frames(settings, {"customers": customers, "responses": responses})``.
        """
        if unknown := set(frames) - set(TABLES):
            raise InputError(
                f"No table is called {min(map(str, unknown))!r}", remedy=did_you_mean(min(map(str, unknown)), TABLES)
            )
        given = dict(settings.get("sources") or {})
        sources = {
            t: {"file": t, "blank": [], "columns": {str(c): str(c) for c in f.columns}, **given.get(t, {})}
            for t, f in frames.items()
        }
        checked = company_yaml.check({"name": "Frames", **settings, "sources": sources})
        slug = re.sub(r"\W+", "-", checked.name.lower()).strip("-")
        return cls(slug, checked, checked.as_of, Frames(frames))

    def __repr__(self) -> str:
        return f"Company({self.name!r}, as_of={self.as_of.isoformat()})"

    @property
    def customers(self) -> ir.Table:
        """Customers used."""
        return self._used["customers"]

    @property
    def responses(self) -> ir.Table | None:
        """Questions asked; a row with a score is an answer."""
        return self._used.get("responses")

    @property
    def orders(self) -> ir.Table | None:
        """Payments and purchases."""
        return self._used.get("orders")

    @property
    def contacts(self) -> ir.Table | None:
        """Support cases."""
        return self._used.get("contacts")

    @property
    def initiatives(self) -> ir.Table | None:
        """CX programmes."""
        return self._used.get("initiatives")

    @property
    def exposures(self) -> ir.Table | None:
        """Customers that an initiative reached."""
        return self._used.get("exposures")

    @property
    def tenure_unit(self) -> str | None:
        """The unit of customers.tenure: days, months, years; None if tenure is not mapped."""
        return next((s.tenure_unit for s in self.settings.sources.customers if s.tenure_unit), None)

    def frame(self, table: str) -> pd.DataFrame:
        """Return the rows used of a table as a pandas frame; InputError if company.yaml does not declare it."""
        if not self.has(table):
            raise InputError(f"{self.title} has no {table}", file=FILE, remedy=f"Add a source: sources.{table}.")
        rows, keys = self._checked[table], [ID[table]] if table in ID else ["initiative_id", "customer_id"]
        rows = rows.filter(rows._flags == 0).order_by(["_source", "_row", *keys])
        return rows.select(*self._used[table].columns).to_pandas()

    def has(self, table: str, column: str | None = None) -> bool:
        """Tell whether company.yaml declares a table, or maps one of its columns."""
        if table not in TABLES:
            raise ValueError(f"No table is called {table!r}; the tables are {', '.join(TABLES)}")
        mapped = self._mapped(table)
        return bool(mapped) if column is None else column in mapped

    def _mapped(self, table: str) -> set[str]:
        return {c for s in getattr(self.settings.sources, table) or [] for c in s.columns}

    # --- stored tables --------------------------------------------------------------------------------------------

    def put_by(self, name: str, rows: ir.Table) -> ir.Table:
        """Store rows that several counts start from.

        Every call writes a new table in the engine, so that a table in use never changes.
        """
        return self.engine.create_table(ibis.util.gen_name(name), rows)

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
        state = {
            n: getattr(self, n)
            for n in ("name", "title", "settings", "as_of", "record", "set_aside", "notes", "ends", "inputs")
        }
        state["columns"] = {n: t.columns for n, t in self._used.items()}
        (folder / f"{_kept_name(self._file, self.as_of)}.pickle").write_bytes(pickle.dumps(state))

    @classmethod
    def _kept(cls, folder: Path, file: Path, day: date) -> Company | None:
        """Return the company saved in a folder by ``keep``, None if it is not there."""
        state_file = folder / f"{_kept_name(file, day)}.pickle"
        if not state_file.exists():
            return None
        state = pickle.loads(state_file.read_bytes())
        columns, company = state.pop("columns"), cls.__new__(cls)
        company.__dict__ |= state | {"engine": engines.own(), "_file": file}
        company._checked = {
            n: company.engine.read_parquet(folder / f"{n}.parquet", table_name=f"_{n}") for n in columns
        }
        company._used = {n: t.filter(t._flags == 0).select(*columns[n]) for n, t in company._checked.items()}
        return company

    # --- reading and checking -------------------------------------------------------------------------------------

    def _take_in(self) -> None:
        """Read, check and count all tables."""
        names = [n for n in CONTRACT if self.has(n)]
        read = self._count_rows(names)
        repeats = {n: self._repeats(n, read) for n in names}  # searching them is costly: only where there can be some
        errors: list[InputError] = []
        for name in names:
            self._sources[name] = []
            for i, source in enumerate(getattr(self.settings.sources, name)):
                given = (name, source, i, self.settings, self.as_of, self._exports)
                try:
                    self._sources[name].append(tables.build(*given, copies=repeats[name][i]))
                except InputError as error:
                    errors.append(error)
        InputError.raise_all(errors)
        first = [n for n in names if n in ("customers", "initiatives")]  # the others refer to them
        for some in filter(None, (first, [n for n in names if n not in first])):
            for name in some:
                self._checked[name] = self._check(name, any(repeats[name]) or self._mixes_ids(name))
            self._tally(some)
        InputError.raise_all(
            [e for n in names for e in checks.stops(self._found[n], self._sources[n], self._checked[n])]
        )
        self._hints = {n: self._hint(n) for n in names}
        empty = {n: [*checks.nothing_left(self._found[n], self._sources[n], self._hints[n])] for n in names}
        InputError.raise_all(empty.pop("customers"))
        if "initiatives" in names:
            initiatives.check(self._checked, self._sources["initiatives"], self.settings, self.as_of)
        InputError.raise_all([error for errors in empty.values() for error in errors])
        self._used = {n: self._finish(n) for n in names}
        self.record, self.set_aside = self._make_record(read), self._make_set_aside()
        self.ends = oddities.ends(self._used, self.settings, self._filled(), self.as_of)
        after = self.as_of > self.settings.as_of and self.ends["stale"].all()
        faults = [*oddities.stale(self.ends, self.as_of)] if after else []
        faults += oddities.segments(self.customers, self.settings, self._filled()["customers"])
        InputError.raise_all(faults)
        self._exports.forget()

    def _count_rows(self, names: list[str]) -> pd.DataFrame:
        each = ((n, s, i) for n in names for i, s in enumerate(getattr(self.settings.sources, n)))
        parts = [tables.counted(*one, self._exports) for one in each]
        counted = (ibis.union(*parts) if len(parts) > 1 else parts[0]).to_pandas()
        return counted.set_index(["table", "source"]).sort_index()

    def _repeats(self, name: str, read: pd.DataFrame) -> list[bool]:
        """Tell, source by source, whether an id or a row can occur twice."""
        sources, short = getattr(self.settings.sources, name), read["ids"] < read["read"]
        return [bool(short[name, i]) and s.repeats is None for i, s in enumerate(sources)]

    def _mixes_ids(self, name: str) -> bool:
        """Tell whether an id can come from two sources."""
        return name in ID and sum(ID[name] in s.source.columns for s in self._sources[name]) > 1

    def _check(self, name: str, repeated: bool) -> ir.Table:
        """Return the rows of a table, used or not, with the results of the checks; stored in our own engine."""
        sources = self._sources[name]
        mapped = self._mapped(name) | ({checks.REPEATED} if repeated else set())
        columns = [c for c in checks.columns_of(name, sources) if c in {*mapped, ID.get(name)}]
        parts = [s.typed(columns) for s in sources]
        context = checks.Context(
            name=name,
            as_of=self.as_of,
            mapped=frozenset(mapped | {f"_{c}" for c in self._mapped("customers")}),
            lengths=frozenset(c for s in sources for c, g in s.source.columns.items() if g.after),
            dated=tuple(s.index for s in sources if {"asked_at", "answered_at"} & set(s.source.columns)),
            customers=self._checked["customers"] if name not in ("customers", "initiatives") else None,
            initiatives=self._checked.get("initiatives") if name == "exposures" else None,
        )
        rows = checks.marked(ibis.union(*parts) if len(parts) > 1 else parts[0], context, sources)
        return self.engine.create_table(f"_checked_{name}", rows)

    def _tally(self, names: list[str]) -> None:
        parts = [checks.tally(self._checked[n], n) for n in names]
        found = (ibis.union(*parts) if len(parts) > 1 else parts[0]).to_pandas()
        for name in names:
            self._found[name] = found[found["table"] == name]

    def _hint(self, name: str) -> str:
        """Return how ids differ in form, if half of the rows of a table name an unknown customer."""
        if checks.unknown_customers(self._found[name], name) < 0.5:
            return ""
        rows = self._checked[name]
        return oddities.id_forms(rows.filter(rows._flags != 0), self._checked["customers"])

    def _finish(self, name: str) -> ir.Table:
        rows = self._checked[name]
        rows = rows.filter(rows._flags == 0).select(*checks.columns_of(name, self._sources[name]))
        return self.engine.create_view(name, rows)

    # --- the record -----------------------------------------------------------------------------------------------

    def _make_record(self, read: pd.DataFrame) -> pd.DataFrame:
        lines = []
        for name, sources in self._sources.items():
            found = self._found[name]
            for s in sources:
                mine, counted = found[found["_source"] == s.index], read.loc[(name, s.index)]
                here, used = int(mine["n"].sum()), int(mine.loc[mine["_flags"] == 0, "n"].sum())
                merged = int(counted["read"]) - here
                why = [f"{merged:,} rows joined with others of the same id (repeats: {s.source.repeats})"] * bool(
                    merged
                )
                file = s.source.label
                lines.append((name, file, int(counted["read"]), merged, "; ".join(why), here - used, used))
        return pd.DataFrame(lines, columns=_RECORD)

    def _make_set_aside(self) -> pd.DataFrame:
        lines = [line for n, sources in self._sources.items() for line in checks.set_aside(self._found[n], n, sources)]
        return pd.DataFrame(lines, columns=checks.ASIDE)

    def _filled(self) -> dict[str, set[str]]:
        return {n: {c for c in CONTRACT[n] if self.has(n, c)} for n in self._used}

    def refuse_stale(self) -> None:
        """Raise an InputError where an export is old: beside fresh ones, or for a day after that of company.yaml."""
        if self.as_of > self.settings.as_of or not self.ends["stale"].all():
            InputError.raise_all([*oddities.stale(self.ends, self.as_of)])

    @cached_property
    def notes(self) -> pd.DataFrame:
        """Notes on rows that are used, and the complete checks: check, rows, detail."""
        lines = [line for n in self._sources for line in checks.notes(self._found[n], n)]
        if self.has("customers", "left") and self.has("customers", "left_on"):
            lines += checks.two_definitions(self._found["customers"])
        lines += oddities.notes(self._used, self.settings, self._filled(), self.as_of)
        lines += oddities.old_exports(self.ends, self.as_of)
        lines += [(check, 0, said) for sources in self._sources.values() for s in sources for check, said in s.remarks]
        lines += [("half of the customers are unknown", 0, f"{n}:{hint}") for n, hint in self._hints.items() if hint]
        lines += self._same_questions() + self._unseen_reasons() + self._two_revenues()
        return pd.DataFrame(lines, columns=["check", "rows", "detail"])

    def _same_questions(self) -> list[tuple[str, int, str]]:
        if self.responses is None:
            return []
        what = ["customer_id", "metric", "asked_at", "touchpoint"]
        asked = self.responses.select(*what).distinct().count().execute()
        n = int(self.record.query("table == 'responses'")["used"].sum()) - asked
        said = f"{n:,} rows repeat the customer, metric, asked_at and touchpoint of another row; they are used."
        return [("several rows of one question", n, said)] if n else []

    def _unseen_reasons(self) -> list[tuple[str, int, str]]:
        declared = self.settings.involuntary_reasons
        if not declared:
            return []
        seen = self.customers.left_reason.value_counts(name="n").to_pandas()
        unseen = [r for r in declared if r not in set(seen["left_reason"])]
        said = f"No customer has the left_reason {' or '.join(map(repr, unseen))}, which involuntary_reasons names."
        return [("involuntary reasons never seen", len(unseen), said)] if unseen else []

    def _two_revenues(self) -> list[tuple[str, int, str]]:
        """Compare monthly_revenue of customers here with a twelfth of their orders of the last year."""
        if not (self.orders is not None and self.has("customers", "monthly_revenue")):
            return []
        here = self.customers.filter(lambda t: t.left_on.isnull() & (t.monthly_revenue > 0))
        start = date(self.as_of.year - 1, self.as_of.month, min(self.as_of.day, 28))
        last_year = self.orders.semi_join(here, "customer_id").filter(lambda t: t.ordered_at.cast("date") > start)
        sums = here.agg(stated=here.monthly_revenue.sum(), n=here.count())
        sums = sums.cross_join(last_year.agg(ordered=last_year.revenue.sum() / 12)).to_pandas().fillna(0.0).iloc[0]
        stated, ordered = sums["stated"], sums["ordered"]
        if abs(stated - ordered) <= 0.2 * max(stated, ordered):
            return []
        detail = (
            f"The monthly_revenue of {int(sums['n']):,} customers who are here adds up to {stated:,.0f}. "
            f"Their orders of the last twelve months add up to {ordered:,.0f} a month."
        )
        return [("monthly_revenue and orders differ by more than a fifth", int(sums["n"]), detail)]


def open_company(name_or_path: str | Path, as_of: date | str | None = None) -> Company:
    """Open a company: the name of a folder under ``data/``, or a path to a folder with company.yaml or to that file.

    ``as_of`` replaces the date in company.yaml: nothing dated later is used. Errors: InputError for any fault in the
    settings or the exports, with file, row, column, value and remedy.

    Example: ``company = open_company("demo-subscription", as_of="2025-12-31")``.
    """
    file, settings = _find(name_or_path), settings_of(name_or_path)
    day = _as_of(as_of) or settings.as_of
    kept = os.environ.get("CXLIB_INTAKE")
    if kept and (company := Company._kept(Path(kept), file, day)):
        return company
    read = Tables(settings, file) if settings.database else Files(file.parent / settings.folder, file)
    return Company(file.parent.name, settings, day, read, file)


def settings_of(name_or_path: str | Path) -> Settings:
    """Return the settings of a company, without reading its exports."""
    return company_yaml.check(yaml_file.read_yaml(_find(name_or_path)))


def _kept_name(file: Path, day: date) -> str:
    return hashlib.sha256(f"{file.resolve()} {day}".encode()).hexdigest()[:16]


def _as_of(given: date | str | None) -> date | None:
    if not isinstance(given, str):
        return given
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise InputError("as_of is not a date", value=given, remedy="Write it as 2026-06-30.") from None


def _find(name_or_path: str | Path) -> Path:
    named = paths.data() / name_or_path
    for path in (named / FILE, Path(name_or_path), Path(name_or_path) / FILE):
        if path.is_file():
            return path.resolve()
    if named.is_dir() or Path(name_or_path).is_dir():
        raise InputError(f"The folder has no {FILE}", file=name_or_path, remedy="Write one: python -m cxlib new.")
    known = sorted(p.parent.name for p in paths.data().glob(f"*/{FILE}"))
    raise InputError(
        f"There is no company {str(name_or_path)!r}",
        remedy=f"{did_you_mean(name_or_path, known)} Or give the path of a folder with {FILE}.",
    )
