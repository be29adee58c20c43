"""What is odd in the rows that are used: whole tables, data that end too early, segments that tell the outcome.

Each is one small query on the checked tables, and none changes a number. Their words stand in oddities.toml.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import chain, product

import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from cxlib.errors import InputError, faults, words
from cxlib.intake.models import FILE
from cxlib.intake.settings import Settings
from cxlib.intake.tables import MONEY

Line = tuple[str, int, str]
_FORMS = {  # what can differ between the ids of two exports; oddities.toml says it in words and in SQL
    "capitals": lambda ids: ids.str.upper(),
    "zeros": lambda ids: ids.str.lstrip("0"),
    "length": lambda ids: ids.str[:15],
    "signs": lambda ids: ids.str.replace("[^A-Za-z0-9]", "", regex=True),
    "prefix": lambda ids: ids.str.extract("([0-9]+)$")[0],
}
MANY_LEVELS = 200
_NO_DAYS = pd.DataFrame({"table": [], "column": [], "day": [], "n": []})
_DEFAULTS = (date(1900, 1, 1), date(1970, 1, 1), date(2000, 1, 1))
fault = faults(__file__)
_SAID = words(__file__)
DATED = _SAID["dated"]  # the columns that say how far a table reaches


def id_forms(unknown: ir.Table, customers: ir.Table) -> str:
    """Return how the ids of a table differ in form from those of customers, with the SQL that cures it; else ""."""
    theirs, known = (
        rows.select("customer_id").distinct().order_by("customer_id").limit(most).execute()["customer_id"].astype(str)
        for rows, most in ((unknown, 2_000), (customers, None))
    )
    for form, change in _FORMS.items():
        here, there = change(theirs), change(known)
        if there.nunique() == len(known) and (fits := here.isin(set(there.dropna()) - {""})).mean() > 0.5:
            one = theirs[fits].iloc[0]
            twin = known[there == change(pd.Series([one]))[0]].iloc[0]
            what, sql = _SAID["ids"][form]
            return _SAID["ids"]["said"].format(what=what, one=one, twin=twin, sql=sql)
    return ""


def stale(ends: pd.DataFrame, as_of: date) -> Iterator[InputError]:
    """Yield the errors of the tables that end too early; ``ends``: see ``Oddities``."""
    for line in ends[ends["stale"]].itertuples():
        yield fault("ends_early", file=FILE, as_of=as_of, table=line.table, last=line.last, days=line.days_without)


@dataclass(frozen=True)
class Oddities:
    """Looks at the rows used of a company."""

    tables: Mapping[str, ir.Table]
    settings: Settings
    as_of: date

    def _has(self, table: str, *columns: str) -> bool:
        mapped = {c for source in self.settings.sources.of(table) for c in source.columns}
        return mapped.issuperset(columns)

    @cached_property
    def days(self) -> pd.DataFrame:
        """The rows of each day, by day, for the columns in ``DATED``: table, column, day, n."""
        one = "select '{t}' as \"table\", '{c}' as \"column\", {c}::date as day, count(*) as n from {rows} "
        one += "where {c} is not null group by all"
        dated = [(t, c) for t, columns in DATED.items() for c in columns if self._has(t, c)]
        counts = [one.format(t=t, c=c, rows=self.tables[t].op().name) for t, c in dated]
        engine = self.tables["customers"].get_backend()
        found = engine.con.sql(" union all ".join(counts)).df() if counts else _NO_DAYS
        return found.assign(day=pd.to_datetime(found["day"])).sort_values("day")

    @property
    def first(self) -> date:
        """The first day a customer joined or ordered; the first of all if there is no such date."""
        known = self.days.loc[self.days["column"].isin(["joined_on", "ordered_at"]), "day"]
        return known.min().date() if len(known) else date.min

    @cached_property
    def levels(self) -> dict[str, pd.DataFrame]:
        """The customers of each level of a segment, one for blanks: level, n, gone (have left)."""
        rows, told = self.tables["customers"], [c for c in ("left_on", "left") if self._has("customers", c)]
        gone = rows.customer_id.isnull() if not told else rows.left if told == ["left"] else rows.left_on.notnull()
        counts = {"n": rows.count(), "gone": gone.ifelse(1, 0).sum()}
        return {s: rows.group_by(level=rows[s]).agg(**counts).execute() for s in self.settings.segments}

    @cached_property
    def ends(self) -> pd.DataFrame:
        """How far each dated table reaches: table, last (day), days_without (to ``as_of``), stale.

        ``stale``: more than one and a half of the longest gap of the two years before, and more than 20 days.
        """
        lines, as_of = [], pd.Timestamp(self.as_of)
        for table in DATED:
            days = self.days.loc[(self.days["table"] == table) & (self.days["day"] <= as_of), "day"]
            days = pd.DatetimeIndex(days.unique())
            if not len(days) or (table == "customers" and not self._has(table, "left_on")):  # nobody may have joined
                continue
            recent = days[days > days[-1] - pd.Timedelta(days=730)]
            gap = float(np.diff(recent.to_numpy()).max() / np.timedelta64(1, "D")) if len(recent) >= 10 else 400.0
            closed = {s.ends_on for s in self.settings.sources.of(table)} - {None}
            silent = (as_of - days[-1]).days
            stale = silent > max(1.5 * gap + 3, 20) and not (closed and max(closed) >= days[-1].date())
            lines.append((table, days[-1].date(), silent, stale))
        return pd.DataFrame(lines, columns=["table", "last", "days_without", "stale"])

    def segments(self) -> Iterator[InputError]:
        """Yield the errors of segments that cannot be broken down by: ids, and fields that tell who left."""
        for segment, each in self.levels.items():
            if (n := each["level"].nunique()) > MANY_LEVELS:
                yield fault("many_values", file=FILE, segment=segment, n=n, most=MANY_LEVELS)
            stayed = each["n"] - each["gone"]
            fewer, odd = min(each["gone"].sum(), stayed.sum()), int(np.minimum(each["gone"], stayed).sum())
            if fewer >= 20 and odd <= 0.02 * fewer:
                yield fault("tells_who_left", file=FILE, segment=segment, odd=odd, n=int(each["n"].sum()))

    def notes(self) -> Iterator[Line]:
        """Yield (check, rows, sentence) for what is odd in a table."""
        if self._has("customers", "left_on", "left"):
            yield from self._two_definitions()
        for table in self.tables:
            yield from self._amounts(table)
            for column in DATED.get(table, ()):
                yield from self._last_month(table, column)
        yield from self._customers()
        if "responses" in self.tables:
            yield from chain(self._scales(), self._responses())
        if self.settings.privacy.minimum_base < 5:
            yield _note("few_shown", self.settings.privacy.minimum_base)
        if self._has("exposures", "arm"):
            each = self.tables["exposures"].group_by("initiative_id", "customer_id").agg(arms=_.arm.nunique())
            yield from _some("both_groups", each.filter(_.arms > 1).count().execute())
        for line in self.ends[self.ends["stale"]].itertuples():
            yield _note("old_export", 0, table=line.table, last=line.last, days=line.days_without, as_of=self.as_of)
        if "orders" in self.tables and self._has("customers", "monthly_revenue"):
            yield from self._two_revenues()

    def _two_definitions(self) -> Iterator[Line]:
        dated, flagged = _.left_on.notnull(), _.left
        kinds = {"dated": dated, "flagged": flagged, "both": dated & flagged, "neither": ~dated & ~flagged}
        sums = {kind: holds.sum().fill_null(0) for kind, holds in kinds.items()}
        n = self.tables["customers"].agg(**sums).execute().iloc[0]
        yield from _some("two_definitions", n["dated"] + n["flagged"] - 2 * n["both"], **n)

    def _amounts(self, table: str) -> Iterator[Line]:
        for column in (c for c in MONEY if self._has(table, c)):
            x = self.tables[table][column]
            counts = {"n": x.count(), "above": (x > 0).sum(), "top": x.max(), "p99": x.quantile(0.99)}
            found = self.tables[table].agg(**counts).execute().astype("float64").fillna(0).iloc[0]
            if found.n and not found.above:
                yield _note("never_above", int(found.n), column=column, table=table)
            if found.n >= 100 and found.top > 100 * max(found.p99, 1):
                yield _note("very_large", 1, column=column, top=found.top, usual=found.p99)

    def _last_month(self, table: str, column: str) -> Iterator[Line]:
        whole = (pd.Timestamp(self.as_of) + pd.Timedelta(days=1)).to_period("M") - 1  # the last month that has ended
        days = self.days[(self.days["table"] == table) & (self.days["column"] == column)]
        months = days.groupby(days["day"].dt.to_period("M"))["n"].sum()
        if len(months) < 7 or months.index[0] > whole:
            return
        months = months.reindex(pd.period_range(months.index[0], whole, freq="M"), fill_value=0)
        last, usual = int(months.iloc[-1]), float(months.iloc[-13:-1].median())
        if usual >= 10 and last < usual / 4:
            yield _note("last_month", last, column=column, table=table, month=whole, usual=usual)

    def _customers(self) -> Iterator[Line]:
        rows = self.tables["customers"]
        n, ids = rows.agg(n=rows.count(), ids=rows.customer_id.lower().nunique()).execute().iloc[0]
        yield from _some("capitals", n - ids)
        top = self.days[self.days["column"] == "joined_on"].nlargest(50, "n").set_index("day")["n"]
        for day, many in top.items():
            if (day.date() in _DEFAULTS and many >= 3) or many > max(50, 0.05 * n, 20 * top.median()):
                yield _note("one_day", many, day=day.date())
        if declared := self.settings.involuntary_reasons:
            seen = {*rows.left_reason.value_counts(name="n").execute()["left_reason"]}
            unseen = [reason for reason in declared if reason not in seen]
            yield from _some("unseen", len(unseen), reasons=" or ".join(map(repr, unseen)))
        for segment, levels in self.levels.items():
            twins = _spellings(levels.dropna(subset="level").set_index("level")["n"])
            yield from _some("spellings", len(twins), segment=segment, twins=", ".join(twins[:6]))

    def _scales(self) -> Iterator[Line]:
        answered = self.tables["responses"].filter(_.score.notnull())
        counts = answered.group_by("metric", "score").agg(n=_.count()).execute()
        for name, metric in self.settings.metrics.items():
            mine = counts[counts["metric"] == name]
            total, span = int(mine["n"].sum()), metric.scale[1] - metric.scale[0]
            near = 1.0 if span < 8 else span / 5  # of a long scale, the outer fifth
            for end in metric.scale:
                if total >= 100 and mine.loc[(mine["score"] - end).abs() < near, "n"].sum() <= total / 1000:
                    yield _note("scale", total, metric=name, end=end)

    def _responses(self) -> Iterator[Line]:
        rows = self.tables["responses"]
        each = rows.group_by("customer_id", "metric", "asked_at", "touchpoint").agg(n=_.count() - 1)
        yield from _some("same_question", each.n.sum().fill_null(0).execute())
        for column in (c for c in ("touchpoint", "channel", "agent", "wave") if self._has("responses", c)):
            levels, filled = rows.agg(levels=rows[column].nunique(), filled=rows[column].count()).execute().iloc[0]
            if levels > MANY_LEVELS or (filled >= 40 and levels > filled / 2):
                yield _note("many_labels", 1, column=column, levels=levels)

    def _two_revenues(self) -> Iterator[Line]:
        """Compare monthly_revenue of customers here with a twelfth of their orders of the last year."""
        here = self.tables["customers"].filter(_.left_on.isnull() & (_.monthly_revenue > 0))
        start = date(self.as_of.year - 1, self.as_of.month, min(self.as_of.day, 28))
        orders = self.tables["orders"].semi_join(here, "customer_id").filter(_.ordered_at.cast("date") > start)
        sums = here.agg(stated=here.monthly_revenue.sum(), n=here.count())
        sums = sums.cross_join(orders.agg(ordered=orders.revenue.sum() / 12)).execute().fillna(0.0).iloc[0]
        stated, ordered = sums["stated"], sums["ordered"]
        if abs(stated - ordered) > 0.2 * max(stated, ordered):
            yield _note("two_revenues", int(sums["n"]), stated=stated, ordered=ordered)


def _spellings(levels: pd.Series) -> list[str]:
    """Return the levels, of so many customers each, that write another one in another way.

    They differ in capitals and spaces, or few customers have a text close to that of twenty times as many. Texts with
    other digits are no spellings: plan 1 and plan 2.
    """
    plain = levels.index.str.strip().str.lower()
    found = {*levels.index[plain.duplicated(keep=False)]}
    for rare, many in product(levels.index[levels <= 3], levels.index[levels >= 20]):
        if levels[many] >= 20 * levels[rare] and re.findall(r"\d", rare) == re.findall(r"\d", many):
            alike = difflib.SequenceMatcher(None, rare.lower(), many.lower()).ratio() >= 0.8
            found |= {rare, many} if alike else set()
    return sorted(found)


def _note(name: str, n: int, **facts: object) -> Line:
    check, said = (text.format(n=int(n), **facts) for text in _SAID["notes"][name])
    return check, int(n), said


def _some(name: str, n: int, **facts: object) -> Iterator[Line]:
    """Yield a note on ``n`` rows if there are any."""
    if n:
        yield _note(name, n, **facts)
