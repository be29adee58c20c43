"""03_churn: who stays how long, counted from joining on, and for which reason they leave."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxlib.churn.retention import about_dates, points, slug, why_not
from cxlib.counts import customer_base, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, interval, listing, number, p_value, percent, table, unanswered
from cxlib.stats import intervals, survival
from cxlib.stats.estimate import Estimate

OTHER = "other reasons"
MOST = 8  # curves in one chart


@dataclass(frozen=True, eq=False)
class _Stays:
    """Stays of customers by level, on the clock of the exports: ``rows`` of level, duration, event, cause, entry, n.

    ``scale`` units of the clock are one of ``unit``. Everything is of those still here at ``start`` (on the clock; 0 unless
    too few are seen younger), up to ``ends`` by level, where the minimum base is still at risk.
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
        return [a * self.scale for a in steps if self.start < a * self.scale <= min(self.ends.values())]

    def age(self, time: float) -> str:
        return f"{number(time / self.scale, 0)} {self.unit}".removesuffix("s" * (time == self.scale))


def _stays(company: Company, by: str, reasons: bool = False) -> _Stays:
    dated, least = customer_base.seen_to_leave(company), company.settings.privacy.minimum_base
    since = company.settings.leavers_since if dated else None
    rows = customer_base.tenures(company, [by] if by else [], reasons, since)
    rows = rows.assign(level=rows[by] if by else "all", event=(rows["cause"] != "").astype(int))
    in_days = dated or company.tenure_unit == "days"
    unit, scale = ("months", DAYS_A_MONTH) if in_days else (company.tenure_unit, 1.0)
    said, spans = [], {}
    for level, part in rows.groupby("level", observed=True):
        curve = survival.kaplan_meier(part["duration"], part["event"], part["n"], part["entry"] if since else None)
        enough = curve.loc[curve["at_risk"] >= least, "time"]
        if len(enough):
            spans[level] = (max(float(enough.iloc[0]) - 1, 0.0), float(enough.iloc[-1]))
    sizes = rows.groupby("level", observed=True)["n"].sum()[list(spans)].nlargest(MOST)
    start = _start({k: spans[k][0] for k in sizes.index}, sizes) if since and spans else 0.0
    ends = {k: spans[k][1] for k in sizes.index if spans[k][0] <= start < spans[k][1]}
    if hidden := rows["level"].nunique() - len(ends):
        said.append(
            f"Not shown: {hidden} levels of {by} (fewer than {least} customers at risk, or not among the {MOST} largest)."
        )
    if start:
        said.append(
            f"Fewer than {least} customers are seen from joining on; everything is of those still here "
            f"{number(start / scale)} {unit} after it."
        )
    rows = rows[rows["level"].isin(list(ends)) & ((rows["duration"] > start) | (start == 0))]
    rows = rows.assign(entry=rows["entry"].clip(lower=start) if since else rows["entry"])
    if not dated:
        said.append(
            "A snapshot: tenure and who had left, without dates. Not to be known from it: churn by period, cohorts, who left before "
            "the extract was made, and whether a score or the leaving came first."
        )
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


def by_tenure(company: Company, by: str = "") -> Finding:
    """Answer: who stays how long? Share still here by time since joining and level, Kaplan-Meier with late entry.

    Late entry (Klein & Moeschberger 2003, ch. 4) where ``leavers_since`` is set. A snapshot (tenure and left) will do. Medians,
    restricted means (both Greenwood), gaps of the best and the worst level, log-rank over all levels.
    """
    name, title, by = (
        "tenure",
        "Share of customers still here, by time since joining",
        customer_base.level_of(company, by),
    )
    if why := why_not(company, snapshot=True):
        return unanswered(name, title, why)
    s = _stays(company, by)
    if not s.ends:
        return unanswered(name, title, "there are too few customers for a curve.")
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
        own = "" if level == "all" else f" of {level}"
        if math.isfinite(half.high):  # else the follow-up does not tell; the sentence says so
            label = f"Time until half{own} had left"
            figures.append(Figure(slug("tenure-median", level), label, replace(half, n=n), s.unit))
        figures.append(
            Figure(slug("tenure-mean", level), f"Mean time here within {s.age(horizon)}{own}", mean[level], s.unit)
        )
    best, worst = max(levels, key=lambda k: mean[k].value), min(levels, key=lambda k: mean[k].value)
    ages = s.ages() or [horizon]
    at = {
        k: dict(zip(ages, [e for e, __ in read(curves[k], np.array([s.start, *ages]))][1:], strict=True))
        for k in levels
    }
    last, caveats = ages[-1], []
    if len(levels) == 1:
        text = f"{s.age(last)} after joining {interval(at[best][last], percent)} of customers were still here; "
        text += f"{_half(middle[best], s.unit)}."
        figures.append(Figure("tenure-here", f"Still here after {s.age(last)}", at[best][last], "share"))
    else:
        gaps = {a: intervals.difference(at[best][a], at[worst][a]) for a in ages}
        entry = s.rows["entry"] if s.rows["entry"].any() else None
        test = survival.log_rank(s.rows["duration"], s.rows["event"], s.rows["level"], s.rows["n"], entry)
        differ = f"The levels of {by} {'differ' if test.p < 0.05 else 'do not detectably differ'} (log-rank {p_value(test.p)})."
        text = (
            f"{differ} {s.age(last)} after joining {interval(at[best][last], percent)} of {best} and {interval(at[worst][last], percent)} "
            f"of {worst} were still here, a gap of {points(gaps[last])}; of {worst} {_half(middle[worst], s.unit)}."
        )
        figures += [Figure(f"tenure-gap-{number(a / s.scale, 0)}", f"{best} minus {worst}: still here after {s.age(a)}", g, "share")
                    for a, g in gaps.items()]  # fmt: skip
        caveats.append(
            "Best and worst were picked by looking, which widens their gap a little; the test looks at all levels. Levels may "
            "differ in more than their name."
        )
    if s.start:
        text = f"Of those still here {number(s.start / s.scale)} {s.unit} after joining: {text}"
    caveats += [
        f"Of {s.rows['n'].sum():,.0f} customers {(s.rows['n'] * s.rows['event']).sum():,.0f} were seen to leave.",
        *s.said,
    ]
    return Finding(
        name, title, text, "D", table(rows, ["level", "time"]), tuple(figures), (*caveats, *about_dates(company))
    )


def _scaled(e: Estimate, to: Callable[[float], float]) -> Estimate:
    return Estimate(to(e.value), to(e.low), to(e.high), n=e.n)


def _half(e: Estimate, unit: str) -> str:
    known = math.isfinite(e.value)
    return f"half had left after {interval(e)} {unit}" if known else "half have not left within the follow-up"


def causes(company: Company, by: str = "") -> Finding:
    """Answer: why do they leave? Share gone by reason and time since joining, one reason forestalling the others.

    Aalen-Johansen (Putter, Fiocco & Geskus 2007, Stat Med 26:2389), with late entry. ``naive``: one minus Kaplan-Meier with
    the other reasons as lost from sight, which adds up to too much. Small reasons are one. ``by``: within its levels.
    """
    name, title = "reasons", "Share gone, by reason and time since joining"
    if why := why_not(company, snapshot=True) or people.require(company, "customers", "left_reason"):
        return unanswered(name, title, why.rstrip(".") + ".")
    s = _stays(company, customer_base.level_of(company, by) if by else "", reasons=True)
    least, listed = company.settings.privacy.minimum_base, s.rows[s.rows["event"] == 1].groupby("cause")["n"].sum()
    small = set(listed.index[listed < least])
    listed = listed.rename(lambda r: OTHER if r in small else r).groupby(level=0).sum().sort_values(ascending=False)
    total = float(listed.sum())
    if not s.ends or total < least:
        return unanswered(name, title, f"fewer than {least} customers were seen to leave.")
    rows_of = s.rows.assign(cause=s.rows["cause"].where(~s.rows["cause"].isin(small), OTHER))
    shares = {r: intervals.share(n, total) for r, n in listed.items()}
    rows = []
    for level in sorted(s.ends):
        part, times = rows_of[rows_of["level"] == level], s.grid(level)
        at_risk = survival.survival_at(_curve(part), times)["n"]
        for reason in [r for r in listed.index if (part["cause"] == r).any()]:
            naive = (
                1
                - survival.survival_at(_curve(part.assign(event=(part["cause"] == reason).astype(int))), times)["value"]
            )
            group = reason if level == "all" else f"{level}: {reason}"
            for t, e, wrong, n in zip(times, _gone(part, reason, times), naive, at_risk, strict=True):
                rows.append({"group": group, "time": t / s.scale, "estimate": e, "at_risk": n, "naive": wrong})
    age = (s.ages() or [min(s.ends.values())])[-1]
    said = listing(f"{r} {n:,.0f} ({percent(shares[r].value)})" for r, n in listed.items())
    text = f"{total:,.0f} customers left: {said}."
    figures = [
        Figure(slug("reason-share", r), f"Left for: {r}", e, "share of leavers", "leavers") for r, e in shares.items()
    ]
    whole = np.array([s.start, age])
    if involuntary := set(company.settings.involuntary_reasons):
        kind = rows_of.assign(
            cause=s.rows["cause"].map(lambda c: c and ("otherwise" if c in involuntary else "by choice"))
        )
        gone = {k: _gone(kind, k, whole)[1] for k in ("by choice", "otherwise") if (kind["cause"] == k).any()}
        text += f" Within {s.age(age)} of joining {' and '.join(f'{interval(e, percent)} leave {k}' for k, e in gone.items())}."
        figures += [
            Figure(slug("gone", k), f"Left {k} within {s.age(age)}", e, "share of those who joined")
            for k, e in gone.items()
        ]
    right = 1 - survival.survival_at(_curve(rows_of), [age])["value"].iloc[0]
    wrong = sum(1 - survival.survival_at(_curve(rows_of.assign(event=(rows_of["cause"] == r).astype(int))), [age])["value"].iloc[0]
                for r in listed.index)  # fmt: skip
    caveats = [
        f"Each reason forestalls the others. Curves that count the other leavers as lost from sight (column naive) add up to "
        f"{percent(wrong)} gone within {s.age(age)}, where {percent(right)} were."
    ]
    if small:
        caveats.append(f"{OTHER[0].upper()}{OTHER[1:]}: {len(small)} that fewer than {least} customers gave.")
    return Finding(
        name,
        title,
        text,
        "D",
        table(rows, ["group", "time"]),
        tuple(figures),
        (*caveats, *s.said, *about_dates(company)),
    )


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
