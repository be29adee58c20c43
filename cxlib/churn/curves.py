"""03_churn: does the score tell who leaves, and when? Curves whose clock starts when the score was known.

For a company without contracts leaving is not seen; the question is then who buys again. Ratios of rates are in
``hazards``, how many leave in ``retention``, who is at risk in ``risk``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import answers, follow_up, people, purchases
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, interval, number, p_value, percent, table, those, unanswered
from cxlib.page.resamples import resamples
from cxlib.stats import competing, draws, intervals, survival
from cxlib.stats.estimate import Estimate
from cxlib.stats.standardise import levels

STEPS = (91, 183, 365)  # days after the answer at which curves are compared

# What the tables of the page show, by the heading a reader sees.
DIFFERENCES = {
    "groups": "Groups",
    "after": "After",
    "customers": "More of today's customers",
    "customers_low": "Low",
    "customers_high": "High",
}
STAYING = {
    "band": "Group",
    "value": "Months on average",
    "low": "Low",
    "high": "High",
    "median": "Median months",
    "n": "Answers",
}
EXITS = {
    "kind": "Gone",
    "band": "Group",
    "value": "Share",
    "low": "Low",
    "high": "High",
    "naive": "Naive",
    "n": "Answers",
}
KEPT = {"left_like": "Left like", "value": "More customers", "low": "Low", "high": "High", "n": "Customers of today"}


@dataclass(frozen=True)
class Words:
    """How the outcome is named: leaving, or (without contracts) buying again."""

    event: str  # "left"
    rate: str  # "leave by choice"
    curve: str  # axis of the curve
    events: str  # "leavers"


def words(company: Company) -> Words:
    """Return the words for this company's outcome."""
    if company.settings.relationship != "contractual":
        return Words("bought again", "buy again", "not yet bought again (%)", "repeat purchases")
    chosen = "leave by choice" if company.settings.involuntary_reasons else "leave"
    return Words("left", chosen, "still customers (%)", "leavers")


def why_not(company: Company, metric: str, minimum_events: int) -> str | None:
    """Return why the score cannot be linked to an outcome here, None if it can."""
    if not metric:
        return people.require(company, "responses") or "no question was answered."
    if not answers.dated(company):
        return "the answers carry no dates, so nobody can say what came first, the score or the leaving."
    missing = (
        people.require(company, "customers", "joined_on", "left_on")
        if company.settings.relationship == "contractual"
        else people.require(company, "orders")
    )
    if missing:
        return f"{missing}, so nobody can say what came first, the score or the leaving."
    seen = follow_up.followed_by_event(company, metric)
    if seen >= minimum_events:
        return None
    text = f"only {seen:,} customers {words(company).event} after an answer, and fewer than {minimum_events} are too few to "
    text += "tell score groups apart"
    if company.settings.relationship != "contractual":
        several, on_days = purchases.repeat_buyers(company)
        text += f"; in all, there are {several:,} repeat buyers ({on_days:,} of them on different days)"
    return text + "."


# ---- the curves ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Curves:
    """Survival after the answer by band, all bands at one mix of the first segment and of the customers' stage.

    ``drawn``: by band, (1 + draws) x days; the first row is as observed. ``counted``: the counts behind them.
    """

    drawn: dict[str, np.ndarray]
    sizes: dict[str, float]
    answered: list[str]  # the bands, worst first, without "no answer"
    horizon: int
    mixed_by: list[str]
    counted: pd.DataFrame
    not_followed: int
    left_out: int  # answers of segments too small for curves of their own

    def at(self, band: str, day: int) -> Estimate:
        """Estimate the share still here ``day`` days after the answer (0: all)."""
        if day == 0:
            return Estimate(1, 1, 1, 0, self.sizes[band])
        drawn = self.drawn[band][:, day - 1]
        e = draws.estimate(drawn[0], drawn[1:], self.sizes[band], low=0, high=1)
        if math.isnan(e.low):  # nobody has left yet in any resample: Clopper-Pearson on those still followed
            n = max(self.at_risk(band, day), 1.0)
            exact = intervals.share(n, n, method="clopper-pearson")
            e = Estimate(e.value, exact.low, exact.high, n=e.n)
        return e

    def at_risk(self, band: str, day: float) -> float:
        """Count the answers of a band still followed at a day."""
        part = self.counted[self.counted["band"] == band]
        return float(part.loc[part["duration"] >= day, "n"].sum())

    def gap(self, best: str, worst: str, day: int) -> Estimate:
        """Estimate by how much the share still here differs on a day."""
        drawn = self.drawn[best][:, day - 1] - self.drawn[worst][:, day - 1]
        return draws.estimate(drawn[0], drawn[1:], self.sizes[best] + self.sizes[worst])

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


@lru_cache(maxsize=2)  # several sections of a page read the same curves
def curves(company: Company, metric: str, horizon_days: int, minimum_events: int) -> Curves | str:
    """Return the curves by score, or why there are none."""
    if why := why_not(company, metric, minimum_events):
        return why
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
        return f"fewer than two score groups have {least} answers that can be followed."
    horizon = int(min(horizon_days, counted.groupby("band", observed=True)["duration"].max().min()))
    level = counted["stratum"].astype(str).map(levels(counted, names, least, finer=1, horizon=horizon))
    left_out = int(counted.loc[level.isna(), "n"].sum())
    counted, level = counted[level.notna()], level[level.notna()]
    sizes, mixed = counted.groupby("band", observed=True)["n"].sum(), sorted(level.unique())
    weights = resamples(company)
    mix = counted.groupby(level, observed=True)["n"].sum()[mixed].to_numpy(float)
    drawn = {}
    for band in names:
        parts = (counted[(counted["band"] == band) & (level == v)] for v in mixed)
        each = (survival.survival_draws(part, horizon_days, weights) for part in parts)
        drawn[band] = sum(share * one for share, one in zip(mix / mix.sum(), each, strict=True))
    mixed_by = by if len(mixed) > 1 else []
    return Curves(drawn, sizes.to_dict(), answered, horizon, mixed_by, counted, not_followed, left_out)


def _span(days: int) -> str:
    return f"{number(days / DAYS_A_MONTH, 0)} months"


def _turned(e: Estimate) -> Estimate:
    return Estimate(-e.value, -e.high, -e.low, e.se, e.n)


def _points(e: Estimate) -> str:
    return interval(e, lambda v: number(100 * v))


def by_score(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Finding:
    """Answer: who leaves (or buys again) after a good and after a bad answer? Clock at the answer.

    Kaplan-Meier by band over all answers, "no answer" being a band of its own, within each level of the first declared
    segment and stage of the customer; the levels are put together in the mix of all answers, so that bands do not differ by
    who is on which plan or how long a customer. Intervals from the fold draws, as several answers of one customer overlap.
    Any exit counts. Weekly points.
    """
    w = words(company)
    leaving = w.event == "left"
    name, title = "curves", f"Share of customers {'still here' if leaving else 'not back yet'} after their answer"
    metric = answers.choose(company, metric)
    c = curves(company, metric, horizon_days, minimum_events)
    if isinstance(c, str):
        return unanswered(name, title, c)
    rows = [
        {"band": b, "months": d / DAYS_A_MONTH, "estimate": c.at(b, d), "at_risk": c.at_risk(b, d)}
        for b in c.drawn
        for d in [0, *range(7, c.horizon, 7), c.horizon]
    ]
    worst, best = c.answered[0], c.answered[-1]
    ends = {b: c.at(b, c.horizon).value for b in (worst, best)}
    gap, longer, span = c.gap(best, worst, c.horizon), c.months(best, worst), _span(c.horizon)
    if leaving:
        text = (
            f"{span} after the answer {percent(ends[best])} of {those(best)} and {percent(ends[worst])} of {those(worst)} were "
            f"still customers: a gap of {_points(gap)} percentage points, or "
            f"{interval(longer, lambda v: number(v, 2))} months of the next {span}."
        )
    else:
        text = (
            f"{span} after the answer {percent(1 - ends[best])} of {those(best)} and {percent(1 - ends[worst])} of "
            f"{those(worst)} had bought again: a gap of {_points(_turned(gap))} percentage points."
        )
        gap = _turned(gap)
    if not gap.excludes(0):
        text = "No detectable link as it stands: " + text[0].lower() + text[1:]
    figures = (
        Figure(f"{metric}-gap", f"{best} minus {worst}: share {'still here' if leaving else w.event} after {span}",
               gap, "share", "answers"),
    )  # fmt: skip
    caveats = [f"Clock at the answer, follow-up to {company.as_of}; questions not answered are a curve of their own."]
    if c.mixed_by:
        caveats.append(f"All curves are at the same mix of {' and '.join(c.mixed_by)}.")
    caveats.append("The groups may differ in more than their score: see the adjusted ratio below.")
    if c.not_followed:
        since = (
            f", before {follow_up.watched_from(company)}, when leavers are missing,"
            if follow_up.watched_from(company)
            else ""
        )
        after = "after the customer had left" if leaving else "before a first purchase"
        caveats.append(f"Not followed: {c.not_followed:,} questions put{since} {'or ' if since else ''}{after}.")
    if c.left_out:
        caveats.append(f"Left out: {c.left_out:,} answers of segments too small for curves of their own.")
    grade = "C" if c.mixed_by else "D"
    return Finding(name, title, text, grade, table(rows, ["band", "months"]), figures, tuple(caveats))


def summaries(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Finding:
    """Answer: how long do they stay? Restricted mean and median months by band, within the horizon."""
    name, title = "staying", "Months as a customer within the horizon"
    if words(company).event != "left":
        return unanswered(name, title, "without contracts leaving is not seen.")
    c = curves(company, answers.choose(company, metric), horizon_days, minimum_events)
    if isinstance(c, str):
        return unanswered(name, title, c)
    middle = {b: c.median(b) for b in c.drawn}
    rows = [
        {"band": b, "estimate": c.months(b), "still_here": c.at(b, c.horizon).value,
         "median": interval(m, lambda v: number(v, 1), short=True) if m.value < math.inf else f"over {_span(c.horizon)}"}
        for b, m in middle.items()
    ]  # fmt: skip
    each = "; ".join(
        f"{those(r['band'])} {interval(r['estimate'], lambda v: number(v, 2), short=True)}" for r in rows[:-1]
    )
    text = f"Of the {_span(c.horizon)} after an answer they stay on average, in months (95 % interval): {each}."
    reached = [b for b, m in middle.items() if m.value < math.inf]
    text += "" if reached else f" Half of no group has left within {_span(c.horizon)}, so no median is reached."
    return Finding(name, title, text, "C" if c.mixed_by else "D", table(rows, ["band"]))


def differences(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Finding:
    """Answer: how far apart are the groups after 3, 6 and 12 months, in percentage points and in customers of today?"""
    name, title = "differences", "Gap to the worst score group, 3, 6 and 12 months after the answer"
    metric = answers.choose(company, metric)
    c = curves(company, metric, horizon_days, minimum_events)
    if isinstance(c, str):
        return unanswered(name, title, c)
    leaving, worst = words(company).event == "left", c.answered[0]
    steps = sorted({min(d, c.horizon) for d in STEPS if d <= horizon_days})
    now = follow_up.today(company, metric) if leaving else None
    here = float(now.loc[now["band"] == worst, "n"].sum()) if leaving else math.nan  # nobody knows who is here
    rows = []
    for better in c.answered[:0:-1]:
        for day in steps:
            e = c.gap(better, worst, day)
            e = e if leaving else _turned(e)
            customers = {"customers": here * e.value, "customers_low": here * e.low, "customers_high": here * e.high}
            rows.append({"groups": f"{better} minus {worst}", "after": _span(day), "estimate": e} | customers)
    apart = [r["after"] for r in rows if r["estimate"].excludes(0)]
    first = rows[len(steps) - 1]
    text = f"{first['groups'].capitalize()} after {first['after']}: {_points(first['estimate'])} percentage points"
    if leaving and here:
        text += (
            f"; on the {here:,.0f} customers of today whose last answer within a year was that of a {those(worst, False)}, this is "
            f"{interval(Estimate(first['customers'], first['customers_low'], first['customers_high']), lambda v: number(v, 0))} customers"
        )
    text += f". {len(apart)} of {len(rows)} gaps are told apart from none, each taken by itself."
    caveats = ("A gap between groups as they are: it is not what would come of changing their scores.",)
    return Finding(name, title, text, "C" if c.mixed_by else "D", table(rows, ["groups", "after"]), caveats=caveats)


def kept(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Finding:
    """Answer: how many customers more would be here at the horizon if the worst group left like the next better one?

    The gap of the curves at the horizon times the customers of today in the worst group, under the same fold draws. An
    association counted in customers: nobody says that raising a score would keep them.
    """
    name, title = "kept", "What the gap amounts to: customers, if the worst group left like the next better one"
    if words(company).event != "left":
        return unanswered(name, title, "without contracts leaving is not seen.")
    metric = answers.choose(company, metric)
    c = curves(company, metric, horizon_days, minimum_events)
    if isinstance(c, str):
        return unanswered(name, title, c)
    worst, now = c.answered[0], follow_up.today(company, metric)
    weights = resamples(company)
    mine = now[now["band"] == worst].groupby("fold")["n"].sum().reindex(range(weights.shape[1]), fill_value=0)
    here = weights @ mine.to_numpy(float)
    if here[0] < company.settings.privacy.minimum_base:
        return unanswered(name, title, f"too few customers of today answered as {those(worst)} within a year.")
    rows = []
    for better in c.answered[1:]:
        drawn = here * (c.drawn[better][:, c.horizon - 1] - c.drawn[worst][:, c.horizon - 1])
        rows.append({"left_like": those(better), "estimate": draws.estimate(drawn[0], drawn[1:], here[0])})
    e, whole = rows[0]["estimate"], lambda v: number(v, 0)
    text = (
        f"If the {here[0]:,.0f} customers of today who last answered as {those(worst)} left like {those(c.answered[1])}, "
        f"{interval(e, whole)} more of them would be here after {_span(c.horizon)}."
    )
    if not e.excludes(0):
        text = f"No detectable number: {text[0].lower()}{text[1:]}"
    figures = (
        Figure(
            "kept",
            f"More customers after {_span(c.horizon)}, if {those(worst)} left like {those(c.answered[1])}",
            e,
            "customers",
        ),
    )
    caveats = (
        "An association counted in customers, not a promise: it holds if nothing but the score set the groups apart, and if "
        "who changes group then leaves like that group. What an initiative brings is asked in 06_roi.",
    )
    return Finding(name, title, text, "C" if c.mixed_by else "D", table(rows, ["left_like"]), figures, caveats)


def exits(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Finding:
    """Answer: do score groups differ in leaving by choice, or in exits nobody chose? Aalen-Johansen from the answer.

    One kind of exit forestalls the other; ``naive`` is one minus Kaplan-Meier with the other kind as lost from sight. As
    observed, at no common mix. Intervals from the fold draws.
    """
    name, title = "exits", "Share gone within the horizon of the answer, by choice and otherwise"
    if not company.settings.involuntary_reasons:
        return unanswered(name, title, "company.yaml names no involuntary_reasons, so every exit counts as chosen.")
    c = curves(company, answers.choose(company, metric), horizon_days, minimum_events)
    if isinstance(c, str):
        return unanswered(name, title, c)
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
    gone = {(r["kind"], r["band"]): r["estimate"] for r in rows}
    each = [
        f"{percent(gone[k, worst].value)} of {those(worst)} and {percent(gone[k, best].value)} of {those(best)} {words_}"
        for k, words_ in (("by choice", "had left by choice"), ("otherwise", "for another reason"))
    ]
    text = f"{_span(c.horizon)} after the answer {each[0]}, {each[1]}."
    over = max(r["naive"] - r["estimate"].value for r in rows)
    caveats = (
        f"Each kind of exit forestalls the other; one minus Kaplan-Meier would say up to {number(100 * over)} points more.",
        "As observed: the groups differ in plan and tenure too.",
    )
    return Finding(name, title, text, "D", table(rows, ["kind", "band"]), caveats=caveats)


# ---- the usual mistake -----------------------------------------------------------------------------------------------


def naive(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Finding:
    """Show once what the usual curve does: last known score, clock from sign-up, so the future decides the group."""
    name, title = "naive", "The usual curve, and why it is wrong"
    metric = answers.choose(company, metric)
    if company.settings.relationship != "contractual":
        return unanswered(name, title, "the mistake needs a sign-up date and a date of leaving.")
    if why := why_not(company, metric, 1):
        return unanswered(name, title, why)
    counted = follow_up.last_score(company, metric)
    order = [b.name for b in answers.bands(company, metric)]
    sizes = counted.groupby("band", observed=True)["n"].sum()
    names = [b for b in order if sizes.get(b, 0) >= company.settings.privacy.minimum_base]
    if len(names) < 2:
        return unanswered(name, title, "fewer than two score groups are large enough.")
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
    two = counted[counted["band"].isin([names[0], names[-1]])]
    test = survival.log_rank(two["duration"], two["event"], two["band"], two["n"])
    claim = "would claim a link" if test.p < 0.05 else "would claim no link"
    text = (
        f"Drawn from sign-up by the last known score, {percent(ends[names[-1]])} of {those(names[-1])} and "
        f"{percent(ends[names[0]])} of {those(names[0])} stay {_span(horizon_days)}, and its test {claim} ({p_value(test.p)}). "
    )
    c = curves(company, metric, horizon_days, minimum_events)
    if not isinstance(c, str) and {names[0], names[-1]} <= set(c.drawn):
        right = {b: c.at(b, c.horizon).value for b in (names[0], names[-1])}
        shift = " and ".join(
            f"{number(100 * (ends[b] - right[b]))} points for {those(b)}" for b in (names[-1], names[0])
        )
        text += f"Against the curves with the clock at the answer it is off by {shift}. "
    text += "To have given a late score one must have stayed until then: the curve sits too high and its gaps are not to be read."
    return Finding(name, title, text, "D", table(rows, ["band", "months"]))
