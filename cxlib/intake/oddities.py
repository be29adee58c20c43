"""What is odd in the rows that are used: whole tables, data that end too early, segments that tell the outcome.

Each is one small query on the checked tables. None changes a number; ``company.notes`` shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from cxlib.errors import InputError
from cxlib.intake.models import FILE
from cxlib.intake.settings import Settings
from cxlib.intake.tables import MONEY

Line = tuple[str, int, str]
_FORMS = {  # what can differ between the ids of two exports: in words, in SQL, in pandas
    "in capitals": ("upper({})", lambda ids: ids.str.upper()),
    "in leading zeros": ("ltrim({}, '0')", lambda ids: ids.str.lstrip("0")),
    "in length (15 and 18 characters)": ("left({}, 15)", lambda ids: ids.str[:15]),
    "in signs between the letters": (
        "regexp_replace({}, '[^A-Za-z0-9]', '', 'g')",
        lambda ids: ids.str.replace("[^A-Za-z0-9]", "", regex=True),
    ),
    "in a prefix": ("regexp_extract({}, '[0-9]+$')", lambda ids: ids.str.extract("([0-9]+)$")[0]),
}
Tables = dict[str, ir.Table]
DATED = {  # the columns that say how far a table reaches
    "customers": ("joined_on", "left_on"),
    "responses": ("asked_at", "answered_at"),
    "orders": ("ordered_at",),
    "contacts": ("opened_at",),
}
MANY_LEVELS = 200
_DEFAULTS = (date(1900, 1, 1), date(1970, 1, 1), date(2000, 1, 1))


def notes(tables: Tables, settings: Settings, mapped: dict[str, set[str]], as_of: date) -> Iterator[Line]:
    """Yield (check, rows, sentence) for what is odd in the tables; ``mapped``: the columns that exports fill."""
    for name, rows in tables.items():
        yield from _amounts(name, rows, mapped[name])
        for column in DATED.get(name, ()):
            if column in mapped[name]:
                yield from _last_month(name, column, _days(rows, column), as_of)
    yield from _customers(tables["customers"], settings, mapped["customers"])
    if "responses" in tables:
        yield from _scales(tables["responses"], settings)
        labels = [c for c in ("touchpoint", "channel", "agent", "wave") if c in mapped["responses"]]
        many = (
            tables["responses"].agg(**{c: tables["responses"][c].nunique() for c in labels}).execute() if labels else {}
        )
        for column in labels:
            said = f"{column} has {many[column].item():,} different values: is it the right column?"
            yield from _line(f"{column} has many values", int(many[column].item() > MANY_LEVELS), said)
    if settings.privacy.minimum_base < 5:
        said = f"privacy.minimum_base is {settings.privacy.minimum_base}: single customers could be recognised."
        yield "few customers in a group are shown", settings.privacy.minimum_base, said
    if "contacts" in tables and {"reopened_at", "opened_at"} <= mapped["contacts"]:
        n = tables["contacts"].filter(lambda t: t.reopened_at < t.opened_at).count().execute()
        yield from _line("reopened before opened", n, f"{n:,} cases were reopened before they were opened.")
    if "exposures" in tables and "arm" in mapped["exposures"]:
        each = tables["exposures"].group_by("initiative_id", "customer_id").agg(arms=lambda t: t.arm.nunique())
        n = each.filter(each.arms > 1).count().execute()
        said = f"{n:,} customers stand in both groups of one programme; comparisons leave them out."
        yield from _line("customers in both groups", n, said)


def id_forms(unknown: ir.Table, customers: ir.Table) -> str:
    """Return how the ids of a table differ in form from those of customers, with the SQL that cures it; else ""."""
    theirs = unknown.select("customer_id").distinct().limit(2_000).execute()["customer_id"].astype(str)
    known = customers.select("customer_id").distinct().execute()["customer_id"].astype(str)
    for what, (sql, change) in _FORMS.items():
        here, there = change(theirs), change(known)
        if there.nunique() == len(known) and (fits := here.isin(set(there.dropna()) - {""})).mean() > 0.5:
            one = theirs[fits].iloc[0]
            twin = known[there == change(pd.Series([one]))[0]].iloc[0]
            changed = sql.format('"..."')
            return f" The ids differ {what}: {one} here, {twin} in customers. sql: select * replace ({changed} as ...)."
    return ""


def _line(check: str, n: int, said: str) -> Iterator[Line]:
    if n:
        yield check, int(n), said


def _amounts(name: str, rows: ir.Table, mapped: set[str]) -> Iterator[Line]:
    for column in (c for c in MONEY if c in mapped and c in rows.columns):
        x = rows[column]
        counts = {
            "n": x.count(),
            "below": (x < 0).sum(),
            "above": (x > 0).sum(),
            "top": x.max(),
            "p99": x.quantile(0.99),
        }
        found = rows.agg(**counts).execute().astype("float64").fillna(0).iloc[0]
        if column not in ("revenue", "margin"):
            yield from _line(f"{column} below 0", found.below, f"{int(found.below):,} {name} have a {column} below 0.")
        if found.n and not found.above:
            yield f"{column} is never above 0", int(found.n), f"No {column} of {int(found.n):,} {name} is above 0."
        if found.n >= 100 and found.top > 100 * max(found.p99, 1):
            said = f"The largest {column} is {found.top:,.0f}; 99 of 100 are at most {found.p99:,.0f}."
            yield f"one {column} is very large", 1, said


def _customers(rows: ir.Table, settings: Settings, mapped: set[str]) -> Iterator[Line]:
    same = rows.agg(n=rows.count(), ids=rows.customer_id.lower().nunique()).execute().iloc[0]
    n = int(same.n - same.ids)
    yield from _line("ids that differ in capitals only", n, f"{n:,} customer ids differ from another in capitals only.")
    if "joined_on" in mapped:
        days = rows.joined_on.value_counts(name="n").order_by(ibis.desc("n")).limit(50).execute().dropna()
        for day, many in zip(days["joined_on"], days["n"], strict=True):
            default = pd.Timestamp(day).date() in _DEFAULTS and many >= 3
            if default or many > max(50, 0.05 * same.n, 20 * days["n"].median()):
                said = f"{many:,} customers joined on {pd.Timestamp(day).date()}: is it a system's default?"
                yield "many customers joined on one day", int(many), said
    for segment in settings.segments:
        levels = rows[segment].value_counts(name="n").execute().dropna()
        plain = levels[segment].str.strip().str.lower()
        twins = sorted(levels.loc[plain.duplicated(keep=False), segment])
        said = f"The segment {segment} writes one value in several ways: {', '.join(twins[:6])}."
        yield from _line("one value in several spellings", len(twins), said)


def _scales(rows: ir.Table, settings: Settings) -> Iterator[Line]:
    answered = rows.filter(rows.score.notnull())
    counts = answered.group_by("metric", "score").agg(n=answered.count()).execute()
    for name, metric in settings.metrics.items():
        mine = counts[counts["metric"] == name]
        total = int(mine["n"].sum())
        span = metric.scale[1] - metric.scale[0]
        near = 1.0 if span < 8 else span / 3  # of a long scale, the outer third
        for end in metric.scale:
            if total >= 100 and mine.loc[(mine["score"] - end).abs() < near, "n"].sum() <= total / 1000:
                said = f"Of {total:,} answers on {name}, next to none is near {end}: is its scale right?"
                yield f"{name}: an end of the scale is not used", total, said


def _days(rows: ir.Table, column: str) -> pd.Series:
    """Return the rows of each day, by day."""
    days = rows.filter(rows[column].notnull()).select(day=rows[column].cast("date"))
    counted = days.group_by("day").agg(n=days.count()).execute()
    return counted.set_index(pd.to_datetime(counted["day"]))["n"].sort_index()


def _last_month(name: str, column: str, days: pd.Series, as_of: date) -> Iterator[Line]:
    whole = (pd.Timestamp(as_of) + pd.Timedelta(days=1)).to_period("M") - 1  # the last month that has ended
    months = days.groupby(days.index.to_period("M")).sum()
    if len(months) < 7 or months.index[0] > whole:
        return
    months = months.reindex(pd.period_range(months.index[0], whole, freq="M"), fill_value=0)
    last, before = int(months.iloc[-1]), float(months.iloc[-13:-1].median())
    if before >= 10 and last < before / 4:
        said = f"{name}.{column}: {last:,} in {whole}, {before:,.0f} in a usual month of the year before."
        yield f"few {column} in the last month", last, said


def ends(tables: Tables, settings: Settings, mapped: dict[str, set[str]], as_of: date) -> pd.DataFrame:
    """Return how far each dated table reaches: table, last (day), days_without (to ``as_of``), stale.

    ``stale``: more than one and a half of the longest gap of the two years before, and more than 20 days.
    """
    lines = []
    for name, columns in DATED.items():
        columns = () if name == "customers" and "left_on" not in mapped[name] else columns  # nobody may have joined
        each = [_days(tables[name], c) for c in columns if name in tables and c in mapped[name]]
        days = pd.DatetimeIndex(sorted({d for some in each for d in some.index if d <= pd.Timestamp(as_of)}))
        if len(days):
            recent = days[days > days[-1] - pd.Timedelta(days=730)]
            gap = float(np.diff(recent.to_numpy()).max() / np.timedelta64(1, "D")) if len(recent) >= 10 else 400.0
            closed = {s.ends_on for s in getattr(settings.sources, name)} - {None}
            silent = (pd.Timestamp(as_of) - days[-1]).days
            stale = silent > max(1.5 * gap + 3, 20) and not (closed and max(closed) >= days[-1].date())
            lines.append((name, days[-1].date(), silent, stale))
    return pd.DataFrame(lines, columns=["table", "last", "days_without", "stale"])


def stale(found: pd.DataFrame, as_of: date) -> Iterator[InputError]:
    """Yield the errors of the tables that end too early."""
    for line in found[found["stale"]].itertuples():
        yield InputError(
            f"The data end before {as_of}: {line.table} reach {line.last}, {line.days_without} days earlier",
            file=FILE,
            remedy=f"Export {line.table} again, choose an earlier as_of, or write ends_on: {line.last} in its source.",
        )


def old_exports(found: pd.DataFrame, as_of: date) -> Iterator[Line]:
    """Yield a note on each table that ends too early."""
    for line in found[found["stale"]].itertuples():
        said = f"{line.table} end on {line.last}, {line.days_without} days before {as_of}: were they exported again?"
        yield "an export ends early", 0, said


def segments(rows: ir.Table, settings: Settings, mapped: set[str]) -> Iterator[InputError]:
    """Yield the errors of segments that cannot be broken down by: ids, and fields that tell who left."""
    told = "left_on" if "left_on" in mapped else "left" if "left" in mapped else None
    for segment in settings.segments:
        gone = (
            rows.left_on.notnull() if told == "left_on" else rows.left if told else rows.customer_id.isnull()
        ).ifelse(1, 0)
        each = rows.group_by(level=rows[segment]).agg(n=rows.count(), gone=gone.sum()).execute().dropna()
        if len(each) > MANY_LEVELS:
            yield InputError(
                f"segments: {segment} has {len(each):,} values",
                file=FILE,
                remedy=f"Choose columns of at most {MANY_LEVELS} values: an id is no segment.",
            )
        left, stayed = int(each["gone"].sum()), int((each["n"] - each["gone"]).sum())
        odd = int(np.minimum(each["gone"], each["n"] - each["gone"]).sum())
        if min(left, stayed) >= 20 and odd <= 0.02 * min(left, stayed):
            yield InputError(
                f"segments: {segment} says who left: all but {odd:,} of {left + stayed:,} customers follow from it",
                file=FILE,
                remedy="A field that is set when customers leave explains nothing: leave it out.",
            )
