"""03_churn: who leaves, and when, after a good and after a bad answer? Curves counted from the day of the answer.

For a company without contracts leaving is not seen; the question is then who buys again. Ratios of rates are in
``hazard_ratios``, how many leave in ``retention``, who is at risk in ``risk``.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import answers, follow_up, people, purchases
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.numbers import months, those
from cxlib.page.resamples import resamples
from cxlib.stats import competing, draws, intervals, survival
from cxlib.stats.estimate import UNKNOWN, Estimate
from cxlib.stats.standardise import AT_RISK, levels

STEPS = (91, 183, 365)  # days after the answer at which curves are compared


def leaving(company: Company) -> bool:
    """Tell whether leaving is seen; without contracts the outcome is buying again."""
    return company.settings.relationship == "contractual"


def axis(company: Company) -> str:
    """Return the label of the axis of the curves."""
    return words.say(__file__, "curves", "axis", leaving=leaving(company))


def require(company: Company, metric: str, minimum_events: int) -> None:
    """Raise Unanswered where the score cannot be linked to an outcome here."""
    answers.require_dates(company, metric)
    if leaving(company):
        people.require(company, "customers", "joined_on", "left_on")
    else:
        people.require(company, "orders")
    seen = follow_up.followed_by_event(company, metric)
    if seen >= minimum_events:
        return
    if leaving(company):
        raise Unanswered("few-leavers", seen=seen, needed=minimum_events)
    several, on_days = purchases.repeat_buyers(company)
    raise Unanswered("few-repeat-buyers", seen=seen, needed=minimum_events, several=several, on_days=on_days)


# ---- the curves ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Curves:
    """Survival after the answer by band, all bands at one mix of the first segment and of the customers' stage.

    ``drawn``: by band, (1 + draws) x days; the first row is as observed. ``followed``: by band, the answers still
    followed on day 0, 1 ... ``counted``: the counts behind both (``follow_up.follow_up``), with the level within which
    bands are compared; ``level``: that of each stratum. ``cells``: by band and level, (1 + draws) x ``days``.
    """

    drawn: dict[str, np.ndarray]
    followed: dict[str, np.ndarray]
    sizes: dict[str, float]
    answered: list[str]  # the bands, worst first, without "no answer"
    horizon: int
    mixed_by: list[str]
    counted: pd.DataFrame
    level: pd.Series
    days: list[int]
    cells: dict[tuple[str, str], np.ndarray]
    not_followed: int
    left_out: int  # answers of segments too small for curves of their own

    def at(self, band: str, day: int) -> Estimate:
        """Estimate the share still here ``day`` days after the answer (0: all)."""
        if day == 0:
            return Estimate(1, 1, 1, 0, self.sizes[band])
        drawn = self.drawn[band][:, day - 1]
        e = draws.estimate(drawn[0], drawn[1:], self.sizes[band], low=0, high=1)
        if math.isnan(e.low):  # nobody has left yet in any resample: Clopper-Pearson on those still followed
            n = max(self.followed[band][day], 1.0)
            exact = intervals.share(n, n, method="clopper-pearson")
            e = Estimate(e.value, exact.low, exact.high, n=e.n)
        return e

    def gap(self, best: str, worst: str, day: int) -> Estimate:
        """Estimate by how much the share still here differs on a day."""
        first, second = (self.drawn[b][:, day - 1] for b in (best, worst))
        if not (np.ptp(first) and np.ptp(second)):  # a group in which nobody has left yet has a margin of error too
            return intervals.difference(self.at(best, day), self.at(worst, day))
        drawn = first - second
        return draws.estimate(drawn[0], drawn[1:], self.sizes[best] + self.sizes[worst])

    def customers(self, here: dict[str, np.ndarray], best: str, worst: str, day: int) -> Estimate:
        """Estimate the gap of a day in customers: those who are ``here`` by level (1 + draws), at their own mix."""
        at = self.days.index(day)
        drawn = sum(n * (self.cells[best, k][:, at] - self.cells[worst, k][:, at]) for k, n in here.items())
        return draws.estimate(drawn[0], drawn[1:], sum(n[0] for n in here.values()))

    def months(self, band: str, against: str = "") -> Estimate:
        """Estimate the mean months as a customer within the horizon (restricted mean), or by how much two differ."""
        drawn = self.drawn[band][:, : self.horizon].sum(1)
        n = self.sizes[band]
        if against:
            drawn, n = drawn - self.drawn[against][:, : self.horizon].sum(1), n + self.sizes[against]
        return draws.estimate(drawn[0] / DAYS_A_MONTH, drawn[1:] / DAYS_A_MONTH, n)

    def median(self, band: str) -> Estimate:
        """Estimate the months by which half had left; infinite where more than half are here at the horizon.

        The interval is where the band of the curve crosses one half (Brookmeyer & Crowley 1982).
        """
        days = np.arange(1, self.horizon + 1)
        ends = [self.at(band, int(d)) for d in days]

        def reached(heights: np.ndarray) -> float:
            below = np.flatnonzero(heights <= 0.5)
            return float(days[below[0]] / DAYS_A_MONTH) if below.size else math.inf

        value, low, high = (reached(np.array([getattr(e, k) for e in ends])) for k in ("value", "low", "high"))
        return Estimate(value, low, high, n=self.sizes[band])


def _at_risk(counted: pd.DataFrame, days: int) -> np.ndarray:
    """Return how many are still followed on day 0, 1 ... ``days``."""
    return np.bincount(counted["duration"], counted["n"], days + 1)[::-1].cumsum()[::-1]


def _followed(counted: pd.DataFrame) -> int:
    """Return the last day on which AT_RISK are still followed."""
    return int(
        np.flatnonzero(_at_risk(counted, int(counted["duration"].max())) >= min(AT_RISK, counted["n"].sum()))[-1]
    )


@lru_cache(maxsize=2)  # several sections of a page read the same curves
def curves(company: Company, metric: str, horizon_days: int, minimum_events: int) -> Curves:
    """Return the curves by score; Unanswered where there are none."""
    require(company, metric, minimum_events)
    by = [*people.segments(company)[:1], people.STAGE]
    counted = follow_up.follow_up(company, metric, horizon_days, by=by)
    least = company.settings.privacy.minimum_base
    sizes = counted.groupby("band", observed=True)["n"].sum()
    order = [b.name for b in answers.bands(company, metric)]
    names = [b for b in [*order, answers.NO_ANSWER] if sizes.get(b, 0) >= least]
    answered = [b for b in names if b != answers.NO_ANSWER]
    not_followed = follow_up.asked(company, metric) - int(counted["n"].sum())
    counted = counted[counted["band"].isin(names)]
    if len(answered) < 2:
        raise Unanswered("too-few-groups")
    horizon = min(horizon_days, *(_followed(part) for _, part in counted.groupby("band", observed=True)))
    level_of = levels(counted, names, least, finer=1, horizon=horizon)
    level = counted["stratum"].map(level_of).astype("category")
    left_out = int(counted.loc[level.isna(), "n"].sum())
    counted = counted.assign(level=level)[level.notna()]
    sizes, mix = (counted.groupby(key, observed=True)["n"].sum() for key in ("band", "level"))
    days = sorted({min(d, horizon) for d in STEPS if d <= horizon_days} | {horizon})
    weights, drawn, followed, cells = resamples(company), dict.fromkeys(names, 0.0), {}, {}
    for (band, level), part in counted.groupby(["band", "level"], observed=True):
        course = survival.survival_draws(part, horizon_days, weights)
        drawn[band] += mix[level] / mix.sum() * course
        cells[band, level] = course[:, [d - 1 for d in days]]
    for band, part in counted.groupby("band", observed=True):
        followed[band] = _at_risk(part, horizon_days)
    mixed_by = by if len(mix) > 1 else []
    return Curves(
        drawn, followed, sizes.to_dict(), answered, horizon, mixed_by, counted, level_of, days, cells, not_followed,
        left_out,
    )  # fmt: skip


def _here(company: Company, metric: str, c: Curves) -> dict[str, np.ndarray]:
    """Return by level how many of today's customers answered as the worst group does, within a year; (1 + draws)."""
    by, weights = [*people.segments(company)[:1], people.STAGE], resamples(company)
    now = follow_up.today(company, metric, by)
    now = now[now["band"] == c.answered[0]]
    if now["n"].sum() < company.settings.privacy.minimum_base:
        raise Unanswered("few-of-today", worst=c.answered[0])
    level = now["stratum"].map(c.level.dropna())
    return {name: draws.summed(weights, part["fold"], part["n"]) for name, part in now.groupby(level, observed=True)}


def _turned(e: Estimate) -> Estimate:
    return Estimate(-e.value, -e.high, -e.low, e.se, e.n)


def _link(c: Curves) -> str:
    """Return how a difference between the curves is known: at one mix of customers, or as they are."""
    return "adjusted" if c.mixed_by else "observed"


@finding("curves")
def by_score(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Answer:
    """Answer: who leaves (or buys again) after a good and after a bad answer? Time runs from the answer.

    Kaplan-Meier by score group over all answers, "no answer" being a group of its own, within each level of the first
    declared segment and stage of the customer; the levels are averaged in the mix of all answers, so that groups do not
    differ by plan or tenure. Intervals from the fold draws, as several answers of one customer overlap. Any exit
    counts, chosen or not. One point a week. ``metric``: "" takes the first declared; ``minimum_events``: fewer exits
    (or repeat purchases) after an answer are too few.
    """
    metric = answers.choose(company, metric)
    c = curves(company, metric, horizon_days, minimum_events)
    rows = [
        {"band": b, "months": d / DAYS_A_MONTH, "estimate": c.at(b, d), "at_risk": c.followed[b][d]}
        for b in c.drawn
        for d in [0, *range(7, c.horizon, 7), c.horizon]
    ]
    seen, worst, best = leaving(company), c.answered[0], c.answered[-1]
    ends = {b: c.at(b, c.horizon).value for b in (worst, best)}
    if not seen:
        ends = {b: 1 - e for b, e in ends.items()}
    gap, longer = c.gap(best, worst, c.horizon), c.months(best, worst)
    gap = gap if seen else _turned(gap)
    label = words.say(__file__, "curves", "gap", best=best, worst=worst, leaving=seen, horizon=c.horizon)
    figures = [Figure(f"{metric}-gap", label, gap, "share", "answers")]
    return answer(
        _link(c), table(rows, ["band", "months"]), figures, c.counted,
        leaving=seen, best=best, worst=worst, best_share=ends[best], worst_share=ends[worst], gap=gap,
        detected=gap.excludes(0), longer=longer, horizon=c.horizon, mixed_by=c.mixed_by,
        pooled=bool((c.level.dropna() != c.level.dropna().index).any()), not_followed=c.not_followed,
        watched_from=follow_up.watched_from(company), left_out=c.left_out,
    )  # fmt: skip


@finding("staying")
def summaries(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Answer:
    """Answer: how long do they stay? Restricted mean and median months by score group, within the horizon."""
    if not leaving(company):
        raise Unanswered("no-contracts")
    c = curves(company, answers.choose(company, metric), horizon_days, minimum_events)
    middle = {b: c.median(b) for b in c.drawn}
    rows = [
        {"band": b, "estimate": c.months(b), "still_here": c.at(b, c.horizon).value,
         "median": words.say(__file__, "staying", "median", median=m, reached=m.value < math.inf, horizon=c.horizon)}
        for b, m in middle.items()
    ]  # fmt: skip
    return answer(
        _link(c), table(rows, ["band"]),
        worst=c.answered[0], best=c.answered[-1], shortest=c.months(c.answered[0]), longest=c.months(c.answered[-1]),
        horizon=c.horizon, reached=any(m.value < math.inf for m in middle.values()),
    )  # fmt: skip


@finding("followed")
def followed(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Answer:
    """Answer: how does the follow-up of answers end? Left by choice, left otherwise, the horizon, or the as-of date.

    Censoring at the horizon or the as-of date says nothing of the customer; where other exits are frequent in one
    group, the curve of exits by choice alone would be biased (informative censoring).
    """
    c = curves(company, answers.choose(company, metric), horizon_days, minimum_events)
    whole = c.counted["duration"] == horizon_days
    ends = pd.DataFrame({
        "band": c.counted["band"], "n": c.counted["n"], "chosen": c.counted["chosen"],
        "otherwise": c.counted["events"] - c.counted["chosen"],
        "horizon": (c.counted["n"] - c.counted["events"]).where(whole, 0),
        "as_of": (c.counted["n"] - c.counted["events"]).where(~whole, 0),
    })  # fmt: skip
    ends = ends.groupby("band", observed=True).sum().loc[list(c.drawn)]
    shares = ends.drop(columns="n").div(ends["n"], axis=0).assign(n=ends["n"]).reset_index()
    return answer(
        "count", shares, (), c.counted,
        leaving=leaving(company), involuntary=bool(company.settings.involuntary_reasons), horizon=horizon_days,
        cut=float(ends["as_of"].sum() / ends["n"].sum()), answers=int(ends["n"].sum()),
    )  # fmt: skip


@finding("differences")
def differences(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Answer:
    """Answer: how far apart are the groups after 3, 6 and 12 months, in percentage points and in customers of today?"""
    metric = answers.choose(company, metric)
    c = curves(company, metric, horizon_days, minimum_events)
    seen, worst, here = leaving(company), c.answered[0], {}
    with suppress(Unanswered):
        here = _here(company, metric, c) if seen else here  # without contracts nobody knows who is here
    rows = []
    for better in c.answered[:0:-1]:
        for day in c.days:
            e = c.gap(better, worst, day)
            of = c.customers(here, better, worst, day) if here else UNKNOWN
            of = {"customers": of.value, "customers_low": of.low, "customers_high": of.high}
            rows.append(
                {"groups": f"{better} minus {worst}", "after": months(day), "estimate": e if seen else _turned(e)} | of
            )
    first = rows[len(c.days) - 1]
    return answer(
        _link(c), table(rows, ["groups", "after"]),
        best=c.answered[-1], worst=worst, after=first["after"], gap=first["estimate"],
        here=sum(n[0] for n in here.values()),
        customers=Estimate(first["customers"], first["customers_low"], first["customers_high"]),
        detected=int(intervals.benjamini_hochberg([intervals.p_against(r["estimate"]) for r in rows]).sum()),
        gaps=len(rows), mixed_by=c.mixed_by,
    )  # fmt: skip


@finding("kept")
def kept(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Answer:
    """Answer: how many more customers would be here at the horizon if the worst group left like the next better one?

    The gap of the curves at the horizon within each level of segment and stage, times today's customers of the worst
    group in that level, under the same fold draws. A link expressed in customers: it does not say that raising a score
    would keep them.
    """
    if not leaving(company):
        raise Unanswered("no-contracts")
    metric = answers.choose(company, metric)
    c = curves(company, metric, horizon_days, minimum_events)
    worst, here = c.answered[0], _here(company, metric, c)
    rows = [{"left_like": those(b), "estimate": c.customers(here, b, worst, c.horizon)} for b in c.answered[1:]]
    e, facts = rows[0]["estimate"], {"worst": worst, "better": c.answered[1], "horizon": c.horizon}
    figures = [Figure("kept", words.say(__file__, "kept", "more", **facts), e, "customers")]
    return answer(
        _link(c), table(rows, ["left_like"]), figures,
        here=e.n, more=e, detected=e.excludes(0), mixed_by=c.mixed_by, **facts,
    )  # fmt: skip


@finding("exits")
def exits(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Answer:
    """Answer: do score groups differ in leaving by choice, or in exits nobody chose? Aalen-Johansen from the answer.

    The kinds of exit compete; ``naive`` is one minus Kaplan-Meier with the other kind censored. As observed, not at
    a common mix. Intervals from the fold draws.
    """
    if not leaving(company):
        raise Unanswered("no-contracts")
    c = curves(company, answers.choose(company, metric), horizon_days, minimum_events)
    if not company.settings.involuntary_reasons:
        raise Unanswered("no-involuntary-reasons")
    weights = resamples(company)
    rows = []
    for kind, (own, other) in {"by choice": (1, 2), "otherwise": (2, 1)}.items():
        for band in c.drawn:
            part = c.counted[c.counted["band"] == band]
            each = {1: part["chosen"], 2: part["events"] - part["chosen"], 0: part["n"] - part["events"]}
            ends = pd.concat([part[["duration", "fold"]].assign(ended=e, n=n) for e, n in each.items()])
            ends = ends[ends["n"] > 0].replace({"ended": {own: 1, other: 2}})
            course = competing.follow(ends["duration"], ends["ended"], ends["fold"], ends["n"], weights)
            alone = survival.kaplan_meier(ends["duration"], ends["ended"] == 1, ends["n"])
            naive_share = 1 - survival.survival_at(alone, [c.horizon])["value"].iloc[0]
            rows.append({"kind": kind, "band": band, "estimate": course.within(c.horizon), "naive": naive_share})
    worst, best = c.answered[0], c.answered[-1]
    gone = {(r["kind"], r["band"]): r["estimate"].value for r in rows}
    return answer(
        "observed", table(rows, ["kind", "band"]),
        worst=worst, best=best, horizon=c.horizon,
        worst_chose=gone["by choice", worst], best_chose=gone["by choice", best],
        worst_otherwise=gone["otherwise", worst], best_otherwise=gone["otherwise", best],
        overstated=max(r["naive"] - r["estimate"].value for r in rows),
    )  # fmt: skip


# ---- the usual mistake -----------------------------------------------------------------------------------------------


@finding("naive")
def naive(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Answer:
    """Show what the common curve does: last known score, time from sign-up, so that the future decides the group."""
    metric = answers.choose(company, metric)
    if not leaving(company):
        raise Unanswered("no-contracts")
    require(company, metric, 1)
    counted = follow_up.last_score(company, metric)
    order = [b.name for b in answers.bands(company, metric)]
    sizes = counted.groupby("band", observed=True)["n"].sum()
    names = [b for b in order if sizes.get(b, 0) >= company.settings.privacy.minimum_base]
    if len(names) < 2:
        raise Unanswered("too-few-groups")
    rows, ends = [], {}
    grid = np.array([0, *range(7, horizon_days, 7), horizon_days])
    for band in names:
        part = counted[counted["band"] == band]
        points = survival.survival_at(survival.kaplan_meier(part["duration"], part["event"], part["n"]), grid)
        points = points[points["value"].notna()]
        rows += [
            {"band": band, "months": p["time"] / DAYS_A_MONTH, "at_risk": p["n"],
             "estimate": Estimate(p["value"], p["low"], p["high"], p["se"], sizes[band])}
            for p in points.to_dict("records")
        ]  # fmt: skip
        ends[band] = points["value"].iloc[-1]
    worst, best = names[0], names[-1]
    two = counted[counted["band"].isin([worst, best])]
    test = survival.log_rank(two["duration"], two["event"], two["band"], two["n"])
    too_high = {}
    with suppress(Unanswered):
        c = curves(company, metric, horizon_days, minimum_events)
        if {worst, best} <= set(c.drawn):
            too_high = {b: ends[b] - c.at(b, c.horizon).value for b in (best, worst)}
    return answer(
        "observed", table(rows, ["band", "months"]),
        best=best, worst=worst, best_share=ends[best], worst_share=ends[worst], horizon=horizon_days,
        claims=test.p < 0.05, p=test.p, too_high=too_high,
    )  # fmt: skip
