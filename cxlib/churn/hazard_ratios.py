"""03_churn: how much faster do they leave? Ratios of rates by score, the assumptions behind them, and what they survive.

Each ratio is a Cox regression on counts at risk, stratified by the declared segments, errors by folds of customers. Exits
that were not the customer's choice end the follow-up (cause-specific ratios).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from cxlib.churn.curves import why_not, words
from cxlib.counts import answers, follow_up, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, interval, listing, number, p_value, percent, table, those, unanswered
from cxlib.page.resamples import resamples
from cxlib.stats import draws, person_time
from cxlib.stats.estimate import Estimate

FEWEST = 5  # events of a score group, below which it is left out of a ratio
DELAYS = (0, 30, 60, 90)  # days
LANDMARKS = (183, 365, 548, 730, 1095)  # days after joining
ADJUSTED = {"what": "Against", "at_equal": "At equal", "value": "Ratio", "low": "Low", "high": "High"}
IN_FORCE, AT_ANSWER, AT_LANDMARK = "score in force (start-stop)", "clock at the answer", "landmarks"


@dataclass(frozen=True, eq=False)
class Ratios:
    """A fit by score group: ``others`` against ``best``, events by band, and the counts at risk behind it."""

    fit: person_time.Fit
    others: tuple[str, ...]
    best: str
    events: dict[str, float]
    risk: person_time.AtRisk
    episodes: follow_up.Episodes

    @property
    def total(self) -> float:
        """The number of events."""
        return sum(self.events.values())

    def estimate(self, name: str) -> Estimate:
        """Return the hazard ratio of a covariate."""
        r = self.fit.result.table.loc[name]
        return Estimate(r["hazard_ratio"], r["low"], r["high"], r["se"], r["n"], r["p"])


def _ratios(company: Company, metric: str, episodes: follow_up.Episodes) -> Ratios | str:
    """Fit the score groups, worst first, against the best one; or say why that cannot be done."""
    entered, left = episodes.counts()
    return _of_counts(company, metric, episodes, entered, left)


def _of_counts(
    company: Company, metric: str, episodes: follow_up.Episodes, entered: pd.DataFrame, left: pd.DataFrame
) -> Ratios | str:
    seen = left.groupby("band", observed=True)["events"].sum()
    order = [b.name for b in answers.bands(company, metric) if seen.get(b.name, 0) >= FEWEST]
    if len(order) < 2:
        return f"fewer than two score groups have {FEWEST} or more {words(company).events}."
    entered, left = (part[part["band"].isin(order)] for part in (entered, left))
    risk = person_time.at_risk(entered, left, episodes.keys)
    *others, best = order
    rows = risk.rows.assign(**{b: (risk.rows["band"] == b).astype(float) for b in others})
    risk = replace(risk, rows=rows)
    fit = _fit(risk, others, episodes)
    if isinstance(fit, str):
        return fit
    return Ratios(fit, tuple(others), best, {b: float(seen[b]) for b in order}, risk, episodes)


def _fit(risk: person_time.AtRisk, covariates: Sequence[str], episodes: follow_up.Episodes) -> person_time.Fit | str:
    try:
        fit = person_time.fit(risk, covariates, episodes.add_up)
    except ValueError as error:
        return str(error)
    return fit if fit.result.converged else fit.result.message


@lru_cache(maxsize=8)  # several sections of a page start from the same fit
def _in_force(company: Company, metric: str, delay_days: int = 0) -> Ratios | str:
    return _ratios(company, metric, follow_up.in_force(company, metric, people.segments(company), delay_days))


def _equal(company: Company) -> str:
    """Return what is held equal: "At equal tenure and the same plan and region, "."""
    clock = "tenure" if company.settings.relationship == "contractual" else "time since the answer"
    segments = people.segments(company)
    return f"At equal {clock} and the same {listing(segments)}, " if segments else f"At equal {clock}, "


def _times(e: Estimate, short: bool = False) -> str:
    return interval(e, lambda v: number(v, 2), short)


def ratios(company: Company, metric: str = "", minimum_events: int = 100) -> Finding:
    """Answer: how much faster do those with a bad score leave, at equal tenure and segment?

    Start-stop rows, a score in force from its answer to the next question, on the clock of tenure (non-contractual: time
    since the answer). Where the ratio changes with tenure the sentence gives it by period.
    """
    w = words(company)
    name, title = "hazard-ratios", f"How much faster they {w.rate}, against the best score group"
    metric = answers.choose(company, metric)
    r = why_not(company, metric, minimum_events) or _in_force(company, metric)
    if isinstance(r, str):
        return unanswered(name, title, r)
    rows, figures = [], []
    for band in r.others:
        e = r.estimate(band)
        rows.append({"band": f"{band} against {r.best}", "estimate": e, "events": r.events[band], "p": e.p})
        label = f"{band} against {r.best}: ratio of the rates at which they {w.rate}, averaged over the follow-up"
        figures.append(Figure(f"{metric}-hazard-ratio-{band}", label, e, "ratio", "episodes"))
    worst, e, equal = r.others[0], rows[0]["estimate"], _equal(company)
    by_period = _periods(company, metric, r)
    if e.excludes(1):
        text = f"{equal}{those(worst)} {w.rate} at {_times(e)} times the rate of {those(r.best)}."
    else:
        text = (
            f"No detectable link: {equal[0].lower()}{equal[1:]}{those(worst)} {w.rate} at {_times(e)} times "
            f"the rate of {those(r.best)}, which leaves no difference among what is plausible."
        )
    if by_period is not None and by_period.p < 0.05:
        each = listing(f"{_times(x, short=True)} {when}" for when, x in by_period.of(worst))
        text = (
            f"{equal}{those(worst)} {w.rate} faster or slower than {those(r.best)} by a ratio that changes ({p_value(by_period.p)}): "
            f"{each} (95 % intervals). One number for all, {_times(e, short=True)}, is only its average."
        )
    d = np.array([r.events[worst], r.events[r.best]])
    caveats = (
        "An association at equal tenure and segment, not the effect of raising a score. It rests on "
        f"{r.total:,.0f} {w.events}; with so many, a ratio of {number(math.exp(2.8 * math.sqrt((1 / d).sum())), 2)} or more "
        "would be found four times in five.",
    )
    return Finding(name, title, text, "C", table(rows, ["band"]), tuple(figures), caveats)


# ---- is one ratio enough? --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Periods:
    """Ratios by period of the clock: ``rows`` (band, period, estimate), and the Wald test that they are equal."""

    rows: list[dict]
    statistic: float
    df: int
    p: float

    def of(self, band: str) -> list[tuple[str, Estimate]]:
        """Return the periods and ratios of one band."""
        return [(r["period"], r["estimate"]) for r in self.rows if r["band"] == band]


@lru_cache(maxsize=2)
def _periods(company: Company, metric: str, r: Ratios, pieces: int = 3) -> Periods | None:
    """Fit a ratio of its own in each period of about equally many events; None where the events do not suffice."""
    by_day = r.risk.rows.groupby("day")["events"].sum()
    reached = by_day.cumsum() / by_day.sum()
    cuts = [int(reached.index[np.searchsorted(reached, k / pieces)]) for k in range(1, pieces)]
    if len(set(cuts)) < pieces - 1 or r.total < 30 * pieces:
        return None
    month = [round(c / DAYS_A_MONTH, 1) for c in cuts]
    words_ = [f"in the first {month[0]:g} months"]
    words_ += [f"from {a:g} to {b:g} months" for a, b in itertools.pairwise(month)]
    words_ += [f"after {month[-1]:g} months"]
    period = np.searchsorted(cuts, r.risk.rows["day"], side="left")
    columns = {f"{b}:{k}": r.risk.rows[b] * (period == k) for b in r.others for k in range(pieces)}
    fit = _fit(replace(r.risk, rows=r.risk.rows.assign(**columns)), list(columns), r.episodes)
    if isinstance(fit, str):
        return None
    whole = replace(r, fit=fit)
    rows = [
        {"band": b, "period": words_[k], "estimate": whole.estimate(f"{b}:{k}")}
        for b in r.others
        for k in range(pieces)
    ]
    contrast = np.kron(np.eye(len(r.others)), np.diff(np.eye(pieces), axis=0))
    gap = contrast @ fit.result.table["coef"].to_numpy()
    statistic = float(gap @ np.linalg.solve(contrast @ fit.result.covariance @ contrast.T, gap))
    df = len(contrast)
    return Periods(rows, statistic, df, float(stats.chi2.sf(statistic, df)))


def periods(company: Company, metric: str = "", minimum_events: int = 100) -> Finding:
    """Answer: is one ratio enough? The ratio in each third of the events along the clock, and a test that they are equal.

    Step functions of time: Therneau & Grambsch 2000, Modeling Survival Data, section 6.5; the Wald test has errors by fold.
    """
    name, title = "periods", "The ratio by time: is one number enough?"
    metric = answers.choose(company, metric)
    r = why_not(company, metric, minimum_events) or _in_force(company, metric)
    if isinstance(r, str):
        return unanswered(name, title, r)
    found = _periods(company, metric, r)
    if found is None:
        return unanswered(name, title, "there are too few events for a ratio in each of three periods.")
    rows = [{**x, "band": f"{x['band']} against {r.best}"} for x in found.rows]
    clock = "tenure" if company.settings.relationship == "contractual" else "time since the answer"
    worst = listing(f"{_times(e, short=True)} {when}" for when, e in found.of(r.others[0]))
    if found.p < 0.05:
        text = f"The ratio changes with {clock} ({p_value(found.p)}): {those(r.others[0])} {worst}. Read the periods, not their average."
    else:
        text = f"No detectable change of the ratio with {clock} ({p_value(found.p)}): {those(r.others[0])} {worst}."
    caveats = (
        "A test that finds nothing does not prove the ratio constant, and with very many events it finds changes that do not "
        "matter: the figure decides.",
    )
    return Finding(name, title, text, "C", table(rows, ["band", "period"]), caveats=caveats)


# ---- three routes, and the delay -------------------------------------------------------------------------------------


def routes(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Finding:
    """Answer: do three sound ways of dating the score agree? Worst against best group by each.

    Score in force (start-stop, tenure clock); clock at the answer (every answer followed to the horizon, at equal half-year
    of tenure); landmarks (last score known at several tenures, followed to the horizon). None uses a score before it was
    given: Anderson, Cain & Gelber 1983 (J Clin Oncol 1:710); Levesque et al. 2010 (BMJ 340:b5087).
    """
    w = words(company)
    name, title = "routes", "Three ways of dating the score, one ratio each"
    if w.event != "left":
        return unanswered(name, title, "landmarks and tenure need a date of joining and of leaving.")
    metric = answers.choose(company, metric)
    if why := why_not(company, metric, minimum_events):
        return unanswered(name, title, why)
    strata = people.segments(company)
    landmarks = follow_up.landmarks(company, metric, LANDMARKS, horizon_days, strata)
    entered, left = landmarks.counts()
    found = {
        IN_FORCE: _in_force(company, metric),
        AT_ANSWER: _ratios(company, metric, follow_up.since_answer(company, metric, horizon_days, strata)),
        AT_LANDMARK: _of_counts(company, metric, landmarks, entered, left),
    }
    failed = {k: r for k, r in found.items() if isinstance(r, str)}
    found = {k: r for k, r in found.items() if not isinstance(r, str)}
    if len(found) < 2:
        return unanswered(name, title, "; ".join(f"{k}: {why}" for k, why in failed.items()))
    first = next(iter(found.values()))
    pair = (first.others[0], first.best)
    found = {k: r for k, r in found.items() if (r.others[0], r.best) == pair}
    rows = [{"route": k, "estimate": r.estimate(pair[0]), "events": r.total} for k, r in found.items()]
    for tenure in LANDMARKS if AT_LANDMARK in found else ():
        one = (part[part["landmark"] == str(tenure)] for part in (entered, left))
        r = _of_counts(company, metric, landmarks, *one)
        if not isinstance(r, str) and (r.others[0], r.best) == pair and r.total >= 20:
            route = f"landmark at {number(tenure / DAYS_A_MONTH, 0)} months"
            rows.append({"route": route, "estimate": r.estimate(pair[0]), "events": r.total})
    drawn = {k: r.fit.draws(resamples(company))[:, 0] for k, r in found.items()}
    against = next(iter(drawn))
    apart = []
    for k in list(drawn)[1:]:
        gap = drawn[k] - drawn[against]
        if draws.estimate(gap[0], gap[1:], found[k].total).excludes(0):
            apart.append(k)
    linked = [k for k, r in found.items() if r.estimate(pair[0]).excludes(1)]
    each = "; ".join(f"{k} {_times(r.estimate(pair[0]), short=True)}" for k, r in found.items())
    if not linked:
        verdict = f"No detectable link by any of {len(found)} routes"
    elif len(linked) == len(found):
        verdict = f"All {len(found)} routes find a link"
    else:
        verb = "finds" if len(linked) == 1 else "find"
        verdict = f"{listing(linked).capitalize()} {verb} a link and the other routes do not: it is not a safe one"
    text = f"{verdict}: {those(pair[0])} against {those(pair[1])}, {each} (95 % intervals)."
    if apart:
        text += f" {listing(apart).capitalize()} differ{'s' if len(apart) == 1 else ''} from the score in force by more than luck."
    caveats = (
        "A score in force is replaced by the next one; the two other routes hold on to one score for the whole follow-up, "
        "during which it grows old. Where scores change they should lie nearer to 1.",
        *(f"Not told by {k}: {why}" for k, why in failed.items()),
    )
    return Finding(name, title, text, "C", table(rows, ["route"]), caveats=caveats)


def delayed(company: Company, metric: str = "", minimum_events: int = 100) -> Finding:
    """Answer: had they already decided? The ratio when a score counts only from 0, 30, 60, 90 days after its answer on.

    The days in between belong to no score, so that an answer given on the way out explains nothing. Leaving out the late
    answers of leavers alone would look into the future; here everybody's first days after an answer are left out.
    """
    w = words(company)
    name, title = "delayed", "The ratio when a score counts only some days after its answer"
    if w.event != "left":
        return unanswered(name, title, "without contracts nobody decides to leave on a day.")
    metric = answers.choose(company, metric)
    if why := why_not(company, metric, minimum_events):
        return unanswered(name, title, why)
    each = {d: _in_force(company, metric, d) for d in DELAYS}
    sound = {d: r for d, r in each.items() if not isinstance(r, str)}
    if 0 not in sound or len(sound) < 2:
        return unanswered(name, title, next(r for r in each.values() if isinstance(r, str)))
    worst, last = sound[0].others[0], max(sound)
    rows = [
        {"delay": f"{d} days", "estimate": r.estimate(worst), "events": r.total}
        for d, r in sound.items()
        if worst in r.others
    ]
    weights = resamples(company)
    near, far = (sound[d].fit.draws(weights)[:, 0] for d in (0, last))
    change = draws.estimate((far - near)[0], (far - near)[1:], sound[0].total)
    e0, e1 = (sound[d].estimate(worst) for d in (0, last))
    how = (
        f"{_times(e0, short=True)} when a score counts from its answer on, {_times(e1, short=True)} when only from "
        f"{last} days later (95 % intervals)"
    )
    if change.excludes(0) and far[0] < near[0] and near[0] > 0:
        share = 1 - far[0] / near[0]
        part = "All of it" if share >= 1 else f"{percent(share, 0)} of it, on the log scale,"
        text = (
            f"The ratio of {those(worst)} shrinks toward 1: {how}. {part} goes with answers given shortly before leaving: by then "
            "they may have decided already, and the score follows the decision."
        )
    elif change.excludes(0):
        text = f"The ratio of {those(worst)} grows with the delay: {how}. It does not come from answers given on the way out."
    else:
        left = (
            "It does not come from answers given on the way out alone."
            if e1.excludes(1)
            else "The last says little by itself."
        )
        text = f"No detectable change with the delay: {those(worst)} {how}. {left}"
        if not e0.excludes(1):
            text = f"No detectable link, with or without delay: {those(worst)} {how}."
    caveats = (
        f"Each row leaves out so many days after every answer, of those who stay and of those who leave alike ({sound[0].total:,.0f} "
        f"{w.events} without delay, {sound[last].total:,.0f} with the longest).",
    )
    return Finding(name, title, text, "C", table(rows, ["delay"]), caveats=caveats)


# ---- what is known beside the score ----------------------------------------------------------------------------------


def adjusted(company: Company, metric: str = "", minimum_events: int = 100) -> Finding:
    """Answer: is the ratio still there at equal price and equal use of support?

    The start-stop fit with price (thirds within the first segment) and support cases of the 90 days before added, both as
    known when the score came into force.
    """
    w = words(company)
    name, title = "adjusted", f"How much faster they {w.rate}, at equal price and use of support too"
    metric = answers.choose(company, metric)
    plain = why_not(company, metric, minimum_events) or _in_force(company, metric)
    if isinstance(plain, str):
        return unanswered(name, title, plain)
    known = follow_up.covariates(company)
    if not known:
        return unanswered(
            name, title, "nothing is known of customers beside tenure and segments (monthly_revenue, contacts)."
        )
    episodes = follow_up.in_force(company, metric, people.segments(company), covariates=known)
    entered, left = episodes.counts()
    bands = [*plain.others, plain.best]
    entered, left = (part[part["band"].isin(bands)] for part in (entered, left))
    risk = person_time.at_risk(entered, left, episodes.keys)
    columns, levels, aside = {b: risk.rows["band"] == b for b in plain.others}, {}, []
    for key in known:
        events = left.groupby(key, observed=True)["events"].sum()
        base, *rest = [v for v in (follow_up.PRICES if key == "price" else follow_up.CASES) if v in events.index]
        for level in rest:
            if min(events[level], events[base]) < FEWEST:
                aside.append(f"{level} ({events[level]:,.0f} {w.events})")
                continue
            columns[level] = risk.rows[key] == level
            levels[level] = base
    risk = replace(risk, rows=risk.rows.assign(**{k: v.astype(float) for k, v in columns.items()}))
    fit = _fit(risk, list(columns), episodes)
    if isinstance(fit, str):
        return unanswered(name, title, fit)
    full = replace(plain, fit=fit)
    rows = [
        {"what": f"{b} against {plain.best}", "at_equal": at, "estimate": x.estimate(b), "p": x.estimate(b).p}
        for at, x in (
            (f"tenure, {listing(people.segments(company))}".rstrip(", "), plain),
            ("these and the rows below", full),
        )
        for b in plain.others
    ]
    rows += [
        {
            "what": f"{level} against {base}",
            "at_equal": "all other rows",
            "estimate": full.estimate(level),
            "p": full.estimate(level).p,
        }
        for level, base in levels.items()
    ]
    worst = plain.others[0]
    before, after = plain.estimate(worst), full.estimate(worst)
    equal = " and ".join({"price": "price", "cases": "recent use of support"}[k] for k in known)
    text = (
        f"At equal {equal} too, {those(worst)} {w.rate} at {_times(after)} times the rate of {those(plain.best)} "
        f"(without: {_times(before, short=True)})."
    )
    if not after.excludes(1):
        text = "No detectable link: " + text[0].lower() + text[1:]
    gain = 2 * (fit.result.log_likelihood - _without(risk, levels, episodes))
    columns_of = [list(columns).index(b) for b in plain.others]
    coef, cov = fit.result.table["coef"].to_numpy()[columns_of], fit.result.covariance[np.ix_(columns_of, columns_of)]
    p = float(stats.chi2.sf(coef @ np.linalg.solve(cov, coef), len(columns_of)))
    text += f" Adding the score to the rest raises twice the log-likelihood by {number(gain, 1)} ({p_value(p)}, errors by customer)."
    fee = "the fee last paid by then" if follow_up.priced_by_payments(company) else "the fee as exported"
    caveats = [
        f"Price is {fee}, in thirds of what today's customers of the first segment pay; support cases are those opened in the 90 days "
        "before the score. A case may be a step on the way from a bad experience to leaving: what it takes off is then no confounding."
    ]
    if aside:
        caveats.append(f"Too few to be adjusted for: {listing(aside)}.")
    return Finding(name, title, text, "C", table(rows, ["what", "at_equal"]), caveats=tuple(caveats))


def _without(risk: person_time.AtRisk, levels: dict[str, str], episodes: follow_up.Episodes) -> float:
    """Return the log-likelihood of the fit without the score."""
    if not levels:
        return math.nan
    fit = _fit(risk, list(levels), episodes)
    return math.nan if isinstance(fit, str) else fit.result.log_likelihood
