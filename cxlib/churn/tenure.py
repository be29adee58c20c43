"""03_churn: who stays how long, counted from joining, and for which reason they leave."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxlib.counts import customer_base, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.dates import about_dates
from cxlib.page.findings import Answer, Figure, answer, finding, slug, table
from cxlib.page.numbers import number
from cxlib.stats import intervals, survival
from cxlib.stats.estimate import Estimate

OTHER = "other reasons"
MOST = 8  # curves in one chart


@dataclass(frozen=True, eq=False)
class _Stays:
    """Stays of customers by level, on the clock of the exports: ``rows`` of level, duration, event, cause, entry, n.

    ``scale`` units of the clock are one of ``unit``. Everything is of those still here at ``start`` (on the clock; 0
    unless too few are seen younger), up to ``ends`` by level, where the minimum base is still at risk.
    ``said``: caveats.
    """

    rows: pd.DataFrame
    unit: str
    scale: float
    start: float
    ends: dict[str, float]
    said: tuple[str, ...]

    def of(self, level: str) -> pd.DataFrame:
        return self.rows[self.rows["level"] == level]

    def grid(self, level: str) -> np.ndarray:
        return np.append(np.arange(self.start, self.ends[level], self.scale), self.ends[level])

    def ages(self) -> list[float]:
        """Return the ages (on the clock) at which levels are compared: 3, 6 and 12 months."""
        steps = {"years": [1]}.get(self.unit, [3, 6, 12])
        end = min(self.ends.values())
        return [a * self.scale for a in steps if self.start < a * self.scale <= end]

    def age(self, time: float) -> str:
        """Return a time on the clock as a reader writes it: "12 months"."""
        return f"{number(time / self.scale, 0)} {self.unit}".removesuffix("s" * (time == self.scale))


def _stays(company: Company, by: str, reasons: bool = False) -> _Stays:
    """Return the stays of customers by level; Unanswered where no level has enough customers."""
    dated, least = customer_base.seen_to_leave(company), company.settings.privacy.minimum_base
    since = company.settings.leavers_since if dated else None
    rows = customer_base.tenures(company, [by] if by else [], reasons, since)
    rows = rows.assign(level=rows[by] if by else "all", event=(rows["cause"] != "").astype(int))
    in_days = dated or company.tenure_unit == "days"
    unit, scale = ("months", DAYS_A_MONTH) if in_days else (company.tenure_unit, 1.0)
    spans = {}
    for level, part in rows.groupby("level", observed=True):
        curve = survival.kaplan_meier(part["duration"], part["event"], part["n"], part["entry"] if since else None)
        enough = curve.loc[curve["at_risk"] >= least, "time"]
        if len(enough):
            spans[level] = (max(float(enough.iloc[0]) - 1, 0.0), float(enough.iloc[-1]))
    sizes = rows.groupby("level", observed=True)["n"].sum()[list(spans)].nlargest(MOST)
    start = _start({k: spans[k][0] for k in sizes.index}, sizes) if since and spans else 0.0
    ends = {k: spans[k][1] for k in sizes.index if spans[k][0] <= start < spans[k][1]}
    if not ends:
        raise Unanswered("few-stays")
    facts = {
        "hidden": rows["level"].nunique() - len(ends), "by": by, "least": least, "most": MOST,
        "start": start / scale, "unit": unit, "dated": dated,
    }  # fmt: skip
    said = [words.say(__file__, "stays", part, **facts) for part in ("levels", "young", "snapshot")]
    rows = rows[rows["level"].isin(list(ends)) & ((rows["duration"] > start) | (start == 0))]
    rows = rows.assign(entry=rows["entry"].clip(lower=start) if since else rows["entry"])
    return _Stays(rows, unit, scale, start, ends, tuple(said))


def _start(starts: dict[str, float], sizes: pd.Series) -> float:
    """Return the age from which the levels that hold four fifths of the customers are seen in sufficient number."""
    ordered = sorted(starts, key=starts.get)
    held = sizes[ordered].cumsum() / sizes.sum()
    return starts[ordered[int(np.searchsorted(held, 0.8))]]


def _curve(part: pd.DataFrame, event: str = "event") -> pd.DataFrame:
    return survival.kaplan_meier(
        part["duration"], part[event], part["n"], part["entry"] if part["entry"].any() else None
    )


def read(curve: pd.DataFrame, times: np.ndarray) -> list[tuple[Estimate, float]]:
    """Return the estimate of a curve and the number at risk at each time; where nobody left yet, Clopper-Pearson."""
    found = []
    for p in survival.survival_at(curve, times).to_dict("records"):
        e = Estimate(p["value"], p["low"], p["high"], p["se"], p["n"])
        if e.value == 1 and p["time"] > times[0]:
            exact = intervals.share(max(p["n"], 1), max(p["n"], 1), method="clopper-pearson")
            e = replace(e, low=exact.low, se=exact.se)
        found.append((e, p["n"]))
    return found


def tenure_label(company: Company) -> str:
    """Return what stands under curves from joining on: "months since joining"."""
    dated = customer_base.seen_to_leave(company) or company.tenure_unit == "days"
    return f"{'months' if dated else company.tenure_unit or 'months'} since joining"


@finding("tenure")
def by_tenure(company: Company, by: str = "") -> Answer:
    """Answer: who stays how long? Share still here by time since joining and level, Kaplan-Meier with late entry.

    Late entry (Klein & Moeschberger 2003, ch. 4) where ``leavers_since`` is set. A snapshot (tenure and left) will do.
    Medians, restricted means (both Greenwood), gap between the best and the worst level, log-rank over all levels.
    ``by``: a column of customers, by default the first segment; InputError where customers do not have it.
    """
    by = customer_base.level_of(company, by)
    customer_base.require_leavers(company, tenures_will_do=True)
    s = _stays(company, by)
    levels, rows, figures, mean, middle, curves = sorted(s.ends), [], [], {}, {}, {}
    end = min(s.ends.values())
    horizon = whole if (whole := s.scale * (end // s.scale)) > s.start else end
    for level in levels:
        part, n = s.of(level), float(s.of(level)["n"].sum())
        curves[level], times = _curve(part), s.grid(level)
        for t, (e, at_risk) in zip(times, read(curves[level], times), strict=True):
            rows.append({"level": level, "time": t / s.scale, "estimate": replace(e, n=n), "at_risk": at_risk})
        m = survival.restricted_mean(
            part["duration"], part["event"], horizon, part["n"], part["entry"] if part["entry"].any() else None
        )
        mean[level] = _scaled(m, lambda v: (v - s.start) / s.scale)
        half = middle[level] = _scaled(survival.median_survival(curves[level]), lambda v: v / s.scale)
        own = {"level": "" if level == "all" else level}
        if math.isfinite(half.high):  # else the follow-up is too short for one; the detail says so
            label = words.say(__file__, "tenure", "half", **own)
            figures.append(Figure(slug("tenure-median", level), label, replace(half, n=n), s.unit))
        label = words.say(__file__, "tenure", "mean", age=s.age(horizon), **own)
        figures.append(Figure(slug("tenure-mean", level), label, mean[level], s.unit))
    ages = s.ages() or [horizon]
    at = {
        k: dict(zip(ages, [e for e, __ in read(curves[k], np.array([s.start, *ages]))][1:], strict=True))
        for k in levels
    }
    last = ages[-1]
    best, worst = (of(levels, key=lambda k: (at[k][last].value, mean[k].value)) for of in (max, min))
    gap = p = None
    if len(levels) == 1:
        label = words.say(__file__, "tenure", "here", age=s.age(last))
        figures.append(Figure("tenure-here", label, at[best][last], "share"))
    else:
        gaps = {a: intervals.difference(at[best][a], at[worst][a]) for a in ages}
        gap = gaps[last]
        entry = s.rows["entry"] if s.rows["entry"].any() else None
        p = survival.log_rank(s.rows["duration"], s.rows["event"], s.rows["level"], s.rows["n"], entry).p
        for a, e in gaps.items():
            label = words.say(__file__, "tenure", "gap", best=best, worst=worst, age=s.age(a))
            figures.append(Figure(f"tenure-gap-{number(a / s.scale, 0)}", label, e, "share"))
    return answer(
        "observed" if gap else "count", table(rows, ["level", "time"]), figures,
        by=by, levels=len(levels), best=best, worst=worst, best_here=at[best][last], worst_here=at[worst][last],
        gap=gap, p=p, differ=p is not None and p < 0.05, age=s.age(last), start=s.start / s.scale, unit=s.unit,
        median=middle[worst], reached=math.isfinite(middle[worst].value),
        customers=float(s.rows["n"].sum()), left=float((s.rows["n"] * s.rows["event"]).sum()),
        stays=s.said, dates=about_dates(company),
    )  # fmt: skip


def _scaled(e: Estimate, to: Callable[[float], float]) -> Estimate:
    return Estimate(to(e.value), to(e.low), to(e.high), n=e.n)


@finding("causes", named=lambda *_, **__: "reasons")
def causes(company: Company, by: str = "") -> Answer:
    """Answer: why do they leave? Share gone by reason and time since joining; the reasons compete.

    Aalen-Johansen (Putter, Fiocco & Geskus 2007, Stat Med 26:2389), with late entry. ``naive`` is one minus
    Kaplan-Meier with the other reasons censored, which adds up to too much. Reasons with few leavers are put together.
    ``by``: within its levels.
    """
    customer_base.require_leavers(company, tenures_will_do=True)
    people.require(company, "customers", "left_reason")
    s = _stays(company, customer_base.level_of(company, by) if by else "", reasons=True)
    least, given = company.settings.privacy.minimum_base, s.rows[s.rows["event"] == 1].groupby("cause")["n"].sum()
    small = set(given.index[given < least])
    given = given.rename(lambda r: OTHER if r in small else r).groupby(level=0).sum().sort_values(ascending=False)
    total = float(given.sum())
    if total < least:
        raise Unanswered("few-seen-to-leave")
    rows_of = s.rows.assign(cause=s.rows["cause"].where(~s.rows["cause"].isin(small), OTHER))
    shares = {r: intervals.share(n, total) for r, n in given.items()}
    rows = []
    for level in sorted(s.ends):
        part, times = rows_of[rows_of["level"] == level], s.grid(level)
        at_risk = survival.survival_at(_curve(part), times)["n"]
        for reason in [r for r in given.index if (part["cause"] == r).any()]:
            alone = part.assign(event=(part["cause"] == reason).astype(int))
            naive = 1 - survival.survival_at(_curve(alone), times)["value"]
            group = reason if level == "all" else f"{level}: {reason}"
            for t, e, wrong, n in zip(times, _gone(part, reason, times), naive, at_risk, strict=True):
                rows.append({"group": group, "time": t / s.scale, "estimate": e, "at_risk": n, "naive": wrong})
    age = (s.ages() or [min(s.ends.values())])[-1]
    figures = [
        Figure(slug("reason-share", r), f"Left for: {r}", e, "share of leavers", "leavers") for r, e in shares.items()
    ]
    gone = {}
    if involuntary := set(company.settings.involuntary_reasons):
        whole = np.array([s.start, age])
        kind = rows_of.assign(
            cause=s.rows["cause"].map(lambda c: c and ("otherwise" if c in involuntary else "by choice"))
        )
        gone = {k: _gone(kind, k, whole)[1] for k in ("by choice", "otherwise") if (kind["cause"] == k).any()}
        for k, e in gone.items():
            label = words.say(__file__, "causes", "gone", kind=k, age=s.age(age))
            figures.append(Figure(slug("gone", k), label, e, "share of those who joined"))
    return answer(
        "count", table(rows, ["group", "time"]), figures,
        left=total, reasons=[{"reason": r, "share": e.value} for r, e in shares.items()], gone=gone, age=s.age(age),
        small=len(small), stays=s.said, dates=about_dates(company),
    )  # fmt: skip


def _gone(part: pd.DataFrame, reason: str, times: np.ndarray) -> list[Estimate]:
    """Return the share gone for a reason by each time; while nobody is, Clopper-Pearson's upper end on all."""
    found = survival.cumulative_incidence(
        part["duration"], part["cause"], part["n"], part["entry"] if part["entry"].any() else None
    )
    found, n = found[found["cause"] == reason], float(part["n"].sum())
    at = found.iloc[np.searchsorted(found["time"], times, side="right") - 1]
    none = intervals.share(0, n, method="clopper-pearson")
    return [
        Estimate(r.value, r.low, r.high, r.se, n)
        if r.value > 0
        else Estimate(0, 0, none.high if t > times[0] else 0.0, n=n)
        for t, r in zip(times, at.itertuples(), strict=True)
    ]
