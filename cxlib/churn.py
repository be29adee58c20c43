"""03_churn: how many leave, and does the score tell who? The clock starts when the score was known.

For a company without contracts leaving is not seen; the question is then who buys again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from cxlib import parameters
from cxlib.findings import Figure, Finding, interval, listing, number, percent, table, those, unanswered
from cxlib.intake import counts, invitations, purchases
from cxlib.intake.company import Company
from cxlib.intake.counts import DAYS_A_MONTH
from cxlib.stats import draws, intervals, survival
from cxlib.stats.estimate import Estimate


class Parameters(parameters.Parameters):
    """Parameters of 03_churn."""

    metric: str = ""
    horizon_days: int = Field(365, ge=30, le=3650)
    minimum_events: int = Field(100, ge=1)


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


def _why_not(company: Company, metric: str) -> str | None:
    """Return why the score cannot be linked to an outcome here, None if it can."""
    if not metric:
        return counts.require(company, "responses") or "no question was answered."
    if not counts.dated(company):
        return "the answers carry no dates, so nobody can say what came first, the score or the leaving."
    if company.settings.relationship == "contractual":
        return counts.require(company, "customers", "joined_on", "left_on")
    return counts.require(company, "orders")


def rates(company: Company, periods: int = 12) -> Finding:
    """Answer: how many leave? Churn per quarter: lost of those here at its start, newly joined not counted."""
    name, title = "rates", "Customers lost per quarter, of those here at its start"
    if company.settings.relationship != "contractual":
        rule = company.settings.inactive_after_days
        return unanswered(
            name,
            title,
            f"without contracts leaving is not seen; the rule of {rule} days without an order stands for it.",
        )
    missing = counts.require(company, "customers", "joined_on", "left_on")
    if missing:
        return unanswered(name, title, f"{missing}.")
    ends = pd.date_range(end=pd.Timestamp(company.as_of) + pd.Timedelta(days=1), periods=periods + 1, freq="QS")
    counted = counts.base_by_period(company, [d.date() for d in ends])
    counted = counted[counted["here"] >= company.settings.privacy.minimum_base]
    if counted.empty:
        return unanswered(name, title, "no quarter began with enough customers.")
    rows = [
        {
            "period": r["period"],
            "estimate": intervals.share(r["lost"], r["here"]),
            "lost": r["lost"],
            "joined": r["joined"],
        }
        for r in counted.to_dict("records")
    ]
    last = rows[-1]
    e = last["estimate"]
    text = f"In the quarter from {last['period']:%d %B %Y}, {last['lost']:,} of {e.n:,.0f} customers left: {interval(e, percent)}"
    text += f" a quarter, which kept up for a year would be {percent(1 - (1 - e.value) ** 4)}."
    figures = (Figure("churn-quarter", "Customers lost in the last whole quarter", e, "share of those at its start"),)
    return Finding(name, title, text, "D", table(rows, ["period"]), figures)


def _strata(counted: pd.DataFrame, stratum: str, bands: list[str], least: int, horizon: int) -> pd.Series:
    """Return the level of the segment each row is compared within; levels too small for a curve of each band are one.

    A level needs ``least`` answers in every band, some of them followed to the horizon.
    """
    found = counted[stratum]
    for merged in ("others", "all"):
        cells = counted.groupby([found.rename("level"), "band"], observed=True).agg(
            n=("n", "sum"), to=("duration", "max")
        )
        sound = (cells["n"] >= least) & (cells["to"] >= horizon)
        whole = sound.groupby("level").sum() == len(bands)
        if whole.all():
            return found
        small = found.map(~whole).astype(bool)
        found = found.mask(small | (merged == "all"), merged)
    return found


def _at_risk(part: pd.DataFrame, day: float) -> float:
    return float(part.loc[part["duration"] >= day, "n"].sum())


def by_score(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Finding:
    """Answer: who leaves (or buys again) after a good and after a bad answer? Clock at the answer.

    Kaplan-Meier by band over all answers, "no answer" being a band of its own, within each level of the first declared
    segment; the levels are put together in the mix of all answers, so that bands do not differ by who is on which plan.
    Intervals from the fold draws, as several answers of one customer overlap. Any exit counts. Weekly points.
    """
    w = words(company)
    name, title = (
        "curves",
        f"Share of customers {'still here' if w.event == 'left' else 'not back yet'} after their answer",
    )
    metric = counts.choose(company, metric)
    if why := _why_not(company, metric):
        return unanswered(name, title, why)
    segment = counts.segments(company)[:1]
    counted = counts.follow_up(company, metric, horizon_days, by=segment)
    stratum = segment[0] if segment else "stratum"
    counted = counted if segment else counted.assign(stratum="all")
    least = company.settings.privacy.minimum_base
    not_followed = int(
        invitations.response_counts(company, invitations.Asked(metric))["asked"].sum() - counted["n"].sum()
    )
    order = [b.name for b in counts.bands(company, metric)]
    sizes = counted.groupby("band", observed=True)["n"].sum()
    names = [b for b in [*order, counts.NO_ANSWER] if sizes.get(b, 0) >= least]
    answered = [b for b in names if b != counts.NO_ANSWER]
    if len(answered) < 2:
        return unanswered(name, title, f"fewer than two score groups have {least} answers that can be followed.")
    counted = counted[counted["band"].isin(names)]
    if why := _too_few(company, metric, w, minimum_events):
        return unanswered(name, title, why)
    horizon = int(min(horizon_days, counted.groupby("band", observed=True)["duration"].max().min()))
    level = _strata(counted, stratum, names, least, horizon)
    levels = sorted(level.unique())
    resampling = draws.fold_weights(company.settings.draws, company.settings.seed)
    weights = draws.with_plain(resampling)
    mix = counted.groupby(level, observed=True)["n"].sum()[levels].to_numpy(float)
    curve = {
        band: np.tensordot(
            mix / mix.sum(),
            [
                survival.survival_draws(counted[(counted["band"] == band) & (level == v)], horizon_days, weights)
                for v in levels
            ],
            axes=1,
        )
        for band in names
    }
    rows = []
    for band in names:
        part = counted[counted["band"] == band]
        rows.append(
            {"band": band, "months": 0.0, "estimate": Estimate(1, 1, 1, 0, sizes[band]), "at_risk": sizes[band]}
        )
        for day in [*range(7, horizon, 7), horizon]:
            drawn = curve[band][:, day - 1]
            e = draws.estimate(drawn[0], drawn[1:], sizes[band], low=0, high=1)
            if math.isnan(e.low):  # nobody has left yet in any resample
                e = Estimate(e.value, *_exact(part, day), n=e.n)
            rows.append({"band": band, "months": day / DAYS_A_MONTH, "estimate": e, "at_risk": _at_risk(part, day)})
    worst, best = answered[0], answered[-1]
    ends = {b: curve[b][:, horizon - 1] for b in (worst, best)}
    gap = draws.estimate(ends[best][0] - ends[worst][0], (ends[best] - ends[worst])[1:], sizes[best] + sizes[worst])
    mean = {b: curve[b][:, :horizon].sum(1) / DAYS_A_MONTH for b in (worst, best)}
    longer = draws.estimate(mean[best][0] - mean[worst][0], (mean[best] - mean[worst])[1:], gap.n)
    span = f"{number(horizon / DAYS_A_MONTH, 0)} months"
    if w.event == "left":
        text = (
            f"{span} after the answer {percent(ends[best][0])} of {those(best)} and {percent(ends[worst][0])} of {those(worst)} were still "
            f"customers: a gap of {interval(gap, lambda v: number(100 * v))} percentage points, or "
            f"{interval(longer, lambda v: number(v, 2))} months of the next {span}."
        )
    else:
        text = (
            f"{span} after the answer {percent(1 - ends[best][0])} of {those(best)} and {percent(1 - ends[worst][0])} of "
            f"{those(worst)} had bought again: a gap of {interval(_turned(gap), lambda v: number(100 * v))} percentage points."
        )
        gap = _turned(gap)
    if not gap.excludes(0):
        text = "No detectable link as it stands: " + text[0].lower() + text[1:]
    figures = (
        Figure(f"{metric}-gap", f"{best} minus {worst}: share {w.event if w.event != 'left' else 'still here'} after {span}",
               gap, "share", "answers"),
    )  # fmt: skip
    caveats = (
        f"Clock at the answer, follow-up to {company.as_of}; questions not answered are a curve of their own. "
        + (f"All curves are at the same mix of {stratum}. " if len(levels) > 1 else "")
        + "The groups may differ in more than their score: see the adjusted ratio below."
        + (
            f" Not followed: {not_followed:,} questions put after the customer had left, or before a first purchase."
            if not_followed
            else ""
        ),
    )
    grade = "C" if len(levels) > 1 else "D"
    return Finding(name, title, text, grade, table(rows, ["band", "months"]), figures, caveats)


def _turned(e: Estimate) -> Estimate:
    return Estimate(-e.value, -e.high, -e.low, e.se, e.n)


def _exact(part: pd.DataFrame, day: int) -> tuple[float, float]:
    """Return the interval of a survival of 1: Clopper-Pearson on those still followed at that day."""
    n = max(_at_risk(part, day), 1.0)
    e = intervals.share(n, n, method="clopper-pearson")
    return e.low, e.high


def _too_few(company: Company, metric: str, w: Words, least: int) -> str | None:
    """Return why the outcome was seen too rarely after an answer to tell score groups apart, None if it was not."""
    seen = counts.followed_by_event(company, metric)
    if seen >= least:
        return None
    text = f"only {seen:,} customers {w.event} after an answer, and fewer than {least} are too few to tell score groups apart"
    if company.settings.relationship != "contractual":
        several, on_days = purchases.repeat_buyers(company)
        text += f"; in all, there are {several:,} repeat buyers ({on_days:,} of them on different days)"
    return text + "."


def hazard_ratios(company: Company, metric: str = "", minimum_events: int = 100) -> Finding:
    """Answer: does the score tell who leaves beyond what tenure and segment tell?

    Cox model on start-stop rows, a score in force from its answer to the next question, on the clock of tenure
    (non-contractual: time since the answer), stratified by the declared segments, errors clustered on folds of customers.
    Exits that were not the customer's choice end the follow-up (cause-specific ratio).
    """
    w = words(company)
    name, title = "hazard-ratios", f"How much faster they {w.rate}, against the best score group"
    metric = counts.choose(company, metric)
    if why := _why_not(company, metric):
        return unanswered(name, title, why)
    strata = counts.segments(company)
    rows = counts.episodes(company, metric, strata)
    rows = rows[rows["band"] != counts.NO_ANSWER]
    if why := _too_few(company, metric, w, minimum_events):
        return unanswered(name, title, why)
    seen = float((rows["n"] * rows["chosen"]).sum())
    by_band = rows.assign(events=rows["n"] * rows["chosen"]).groupby("band", observed=True)[["n", "events"]].sum()
    order = [b.name for b in counts.bands(company, metric) if by_band["events"].get(b.name, 0) >= 5]
    if len(order) < 2:
        return unanswered(name, title, f"fewer than two score groups have 5 or more {w.events}.")
    *others, best = order
    rows = rows[rows["band"].isin(order)].assign(**{b: lambda d, b=b: (d["band"] == b).astype(float) for b in others})
    try:
        fit = survival.cox(
            rows,
            event="chosen",
            covariates=others,
            start="start",
            stop="stop",
            weights="n",
            cluster="fold",
            strata="stratum",
        )
    except ValueError as error:
        return unanswered(name, title, str(error))
    if not fit.converged:
        return unanswered(name, title, fit.message)
    shown, figures = [], []
    for band in others:
        r = fit.table.loc[band]
        e = Estimate(r["hazard_ratio"], r["low"], r["high"], r["se"], float(by_band["n"][[band, best]].sum()), r["p"])
        shown.append({"band": f"{band} against {best}", "estimate": e, "events": by_band["events"][band], "p": r["p"]})
        figures.append(Figure(f"{metric}-hazard-ratio-{band}", f"{band} against {best}: ratio of the rates at which they "
                              f"{w.rate}", e, "ratio", "episodes"))  # fmt: skip
    e = shown[0]["estimate"]
    equal = f"At equal {'tenure' if w.event == 'left' else 'time since the answer'}"
    equal += f" and the same {listing(strata)}, " if strata else ", "
    if e.excludes(1):
        text = f"{equal}{those(others[0])} {w.rate} at {interval(e, lambda v: number(v, 2))} times the rate of {those(best)}."
    else:
        text = (
            f"No detectable link: {equal[0].lower()}{equal[1:]}{those(others[0])} {w.rate} at {interval(e, lambda v: number(v, 2))} times "
            f"the rate of {those(best)}, which leaves no difference among what is plausible."
        )
    d = by_band["events"][[others[0], best]].astype(float)
    seeable = math.exp(2.8 * math.sqrt((1 / d).sum()))
    caveats = (
        "An association at equal tenure and segment, not the effect of raising a score. It rests on "
        f"{seen:,.0f} {w.events}; with so many, a ratio of {number(seeable, 2)} or more would be found four times in five.",
    )
    return Finding(name, title, text, "C", table(shown, ["band"]), tuple(figures), caveats)


def naive(company: Company, metric: str = "", horizon_days: int = 365) -> Finding:
    """Show once what the usual curve does: last known score, clock from sign-up, so the future decides the group."""
    name, title = "naive", "The usual curve, and why it is wrong"
    metric = counts.choose(company, metric)
    if company.settings.relationship != "contractual":
        return unanswered(name, title, "the mistake needs a sign-up date and a date of leaving.")
    if why := _why_not(company, metric):
        return unanswered(name, title, why)
    counted = counts.last_score(company, metric)
    order = [b.name for b in counts.bands(company, metric)]
    sizes = counted.groupby("band", observed=True)["n"].sum()
    names = [b for b in order if sizes.get(b, 0) >= company.settings.privacy.minimum_base]
    if len(names) < 2:
        return unanswered(name, title, "fewer than two score groups are large enough.")
    rows, rest = [], {}
    for band in names:
        part = counted[counted["band"] == band]
        km = survival.kaplan_meier(part["duration"], part["event"], part["n"])
        grid = np.array([0, *range(7, horizon_days, 7), horizon_days])
        at = np.searchsorted(km["time"], grid, side="right") - 1
        points = km.iloc[at].reset_index(drop=True)
        rows += [
            {"band": band, "months": d / DAYS_A_MONTH, "at_risk": _at_risk(part, d),
             "estimate": Estimate(p["survival"], p["low"], p["high"], p["se"], sizes[band])}
            for d, p in zip(grid, points.to_dict("records"), strict=True)
        ]  # fmt: skip
        rest[band] = points["survival"].iloc[-1]
    two = counted[counted["band"].isin([names[0], names[-1]])]
    test = survival.log_rank(two["duration"], two["event"], two["band"], two["n"])
    claim = "would claim a link" if test.p < 0.05 else "would claim no link"
    text = (
        f"Drawn from sign-up by the last known score, {percent(rest[names[-1]])} of {those(names[-1])} and {percent(rest[names[0]])} of "
        f"{those(names[0])} stay {number(horizon_days / DAYS_A_MONTH, 0)} months, and its test {claim} (p {_p(test.p)}). To have given a "
        "late score one must have stayed until then: the curve sits too high and its gaps are not to be read."
    )
    return Finding(name, title, text, "D", table(rows, ["band", "months"]))


def _p(p: float) -> str:
    return "under 0.001" if p < 0.001 else number(p, 3)
