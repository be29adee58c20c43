"""03_churn: how much faster do they leave? Ratios of rates by score, what they assume, and whether they hold up.

Each ratio is a conditional Poisson regression of monthly rates, compared within a month of the clock and the declared
segments, with errors clustered on folds of customers. Exits that nobody chose end the follow-up (cause-specific
ratios). Without contracts the event is buying again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.churn.curves import leaving, require
from cxlib.counts import answers, follow_up, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.numbers import months
from cxlib.page.resamples import resamples
from cxlib.stats import draws, rates
from cxlib.stats.estimate import Estimate

FEWEST = 5  # events of a score group, below which it has no ratio
DELAYS = (0, 30, 60, 90)  # days
LANDMARKS = (183, 365, 548, 730, 1095)  # days after joining
FEWEST_AT_LANDMARK = 20  # events
IN_FORCE, AT_ANSWER, AT_LANDMARK = "latest score at each moment", "each answer on its own", "score at fixed tenures"


@dataclass(frozen=True, eq=False)
class Ratios:
    """A fit by score group: ``others``, worst first, against ``best``; events by band, and the person-time behind."""

    fit: rates.Fit
    others: tuple[str, ...]
    best: str
    events: Mapping[str, float]
    time: pd.DataFrame

    @property
    def total(self) -> float:
        """The number of events."""
        return sum(self.events.values())

    @property
    def pair(self) -> tuple[str, str]:
        """The worst group and the best."""
        return self.others[0], self.best

    def estimate(self, name: str) -> Estimate:
        """Return the ratio of rates of a covariate; n is in months at risk."""
        return Estimate(**self.fit.table.loc[name], n=self.time["exposure"].sum() / DAYS_A_MONTH)


def _ratios(company: Company, metric: str, time: pd.DataFrame) -> Ratios:
    """Fit the score groups, worst first, against the best one; Unanswered where that cannot be done."""
    seen = time.groupby("band", observed=True)["events"].sum()
    order = [b.name for b in answers.bands(company, metric) if seen.get(b.name, 0) >= FEWEST]
    if len(order) < 2:
        raise Unanswered("few-events-by-group", fewest=FEWEST, leaving=leaving(company))
    time, (*others, best) = time[time["band"].isin(order)], order
    fit = _fit(time, {b: time["band"] == b for b in others})
    return Ratios(fit, tuple(others), best, {b: float(seen[b]) for b in order}, time)


def _fit(time: pd.DataFrame, columns: Mapping[str, pd.Series]) -> rates.Fit:
    """Fit the ratios; Unanswered where the counts do not determine them."""
    try:
        return rates.fit(time, pd.DataFrame(columns), ["stratum", "month"])
    except ValueError as error:
        raise Unanswered("not-fitted") from error


@lru_cache(maxsize=8)  # several sections of a page start from the same fit
def _in_force(company: Company, metric: str, delay_days: int = 0) -> Ratios:
    episodes = follow_up.in_force(company, metric, people.segments(company), delay_days)
    return _ratios(company, metric, follow_up.person_time(episodes))


def _leave(company: Company) -> str:
    """Return what customers do: "leave by choice", "leave", or (without contracts) "buy again"."""
    chosen = bool(company.settings.involuntary_reasons)
    return words.say(__file__, "outcome", "leave", leaving=leaving(company), chosen=chosen)


def _gap(drawn: np.ndarray, n: float) -> Estimate:
    """Estimate a difference of log ratios from its draws, the first being as observed."""
    return draws.estimate(drawn[0], drawn[1:], n)


@finding("hazard-ratios")
def ratios(company: Company, metric: str = "", minimum_events: int = 100) -> Answer:
    """Answer: how much faster do those with a bad score leave, at equal tenure and segment?

    Start-stop rows: a score counts from its answer to the next question, on the clock of tenure (without contracts:
    time since the answer). Where the ratio changes with time the headline says so, and the detail gives it by period.
    """
    metric = answers.choose(company, metric)
    require(company, metric, minimum_events)
    r = _in_force(company, metric)
    leave, (worst, best) = _leave(company), r.pair
    each = {b: r.estimate(b) for b in r.others}
    rows = [{"band": f"{b} against {best}", "estimate": e, "events": r.events[b], "p": e.p} for b, e in each.items()]
    label = {b: words.say(__file__, "hazard-ratios", "label", band=b, best=best, leave=leave) for b in r.others}
    figures = [Figure(f"{metric}-hazard-ratio-{b}", label[b], e, "ratio", "months at risk") for b, e in each.items()]
    changing: list[dict] = []
    with suppress(Unanswered):
        found = _periods(company, metric, r)
        changing = found.of(worst) if found.p < 0.05 else []
    spread = math.sqrt(1 / r.events[worst] + 1 / r.events[best])
    return answer(
        "adjusted", table(rows, ["band"]), figures, r.time,
        worst=worst, best=best, leave=leave, leaving=leaving(company), segments=people.segments(company),
        ratio=each[worst], detected=each[worst].excludes(1), changing=changing, events=r.total,
        detectable=math.exp(2.8 * spread),  # found at 5 % with a chance of 80 %
    )  # fmt: skip


# ---- is one ratio enough? --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Periods:
    """Ratios by period of the clock: ``rows`` (band, period, estimate), and p of the Wald test that they are equal."""

    rows: list[dict]
    p: float

    def of(self, band: str) -> list[dict]:
        """Return the periods and ratios of one band."""
        return [{"when": r["period"], "ratio": r["estimate"]} for r in self.rows if r["band"] == band]


@lru_cache(maxsize=2)
def _periods(company: Company, metric: str, r: Ratios, pieces: int = 3) -> Periods:
    """Fit a ratio of its own in each period of about equally many events; Unanswered for too few events."""
    events = r.time.groupby("month")["events"].sum()
    reached = events.cumsum() / events.sum()
    cuts = [int(reached.index[np.searchsorted(reached, k / pieces)]) + 1 for k in range(1, pieces)]
    period = np.searchsorted(cuts, r.time["month"], side="right")
    if np.count_nonzero(np.bincount(period, r.time["events"])) < pieces or r.total < 30 * pieces:
        raise Unanswered("few-events-by-period", pieces=pieces)
    spans = [words.say(__file__, "periods", "span", start=a, end=b) for a, b in itertools.pairwise([None, *cuts, None])]
    band, each = r.time["band"], list(itertools.product(r.others, range(pieces)))
    whole = replace(r, fit=_fit(r.time, {f"{b}:{k}": (band == b) & (period == k) for b, k in each}))
    rows = [{"band": b, "period": spans[k], "estimate": whole.estimate(f"{b}:{k}")} for b, k in each]
    return Periods(rows, whole.fit.wald(np.kron(np.eye(len(r.others)), np.diff(np.eye(pieces), axis=0))))


@finding("periods")
def periods(company: Company, metric: str = "", minimum_events: int = 100) -> Answer:
    """Answer: is one ratio enough? The ratio in each third of the events, and a test that the three are equal.

    Step functions of time: Therneau & Grambsch 2000, Modeling Survival Data, section 6.5; Wald test, errors by fold.
    """
    metric = answers.choose(company, metric)
    require(company, metric, minimum_events)
    r = _in_force(company, metric)
    found = _periods(company, metric, r)
    rows = [{**x, "band": f"{x['band']} against {r.best}"} for x in found.rows]
    worst, best = r.pair
    return answer(
        "adjusted", table(rows, ["band", "period"]),
        worst=worst, best=best, leaving=leaving(company), changes=found.p < 0.05, p=found.p, ratios=found.of(worst),
    )  # fmt: skip


# ---- three ways of dating a score, and the delay ---------------------------------------------------------------------


@finding("routes")
def routes(company: Company, metric: str = "", horizon_days: int = 365, minimum_events: int = 100) -> Answer:
    """Answer: do three sound ways of dating the score agree? Worst against best group by each.

    Latest score at each moment (start-stop, clock of tenure); each answer on its own (followed to the horizon, at equal
    half-year of tenure); score at fixed tenures (landmarks, followed to the horizon). None uses a score before it was
    given: Anderson, Cain & Gelber 1983 (J Clin Oncol 1:710); Levesque et al. 2010 (BMJ 340:b5087).
    """
    if not leaving(company):
        raise Unanswered("no-contracts")
    metric = answers.choose(company, metric)
    require(company, metric, minimum_events)
    strata = people.segments(company)
    answered = follow_up.person_time(follow_up.since_answer(company, metric, horizon_days, strata))
    landmarks = follow_up.person_time(follow_up.landmarks(company, metric, LANDMARKS, horizon_days, strata))
    ways = {
        IN_FORCE: lambda: _in_force(company, metric),
        AT_ANSWER: lambda: _ratios(company, metric, answered),
        AT_LANDMARK: lambda: _ratios(company, metric, landmarks),
    }
    found: dict[str, Ratios] = {}
    for way, fitted in ways.items():
        with suppress(Unanswered):
            found[way] = fitted()
    missing = [way for way in ways if way not in found]
    if len(found) < 2:
        raise Unanswered("few-routes")
    pair = next(iter(found.values())).pair
    found = {k: r for k, r in found.items() if r.pair == pair}
    each = {k: r.estimate(pair[0]) for k, r in found.items()}
    rows = [{"route": k, "estimate": each[k], "events": r.total} for k, r in found.items()]
    for tenure in LANDMARKS if AT_LANDMARK in found else ():
        with suppress(Unanswered):
            r = _ratios(company, metric, landmarks[landmarks["landmark"] == str(tenure)])
            if r.pair == pair and r.total >= FEWEST_AT_LANDMARK:
                rows.append({"route": f"score at {months(tenure)}", "estimate": r.estimate(pair[0]), "events": r.total})
    drawn = {k: r.fit.draws(resamples(company))[:, 0] for k, r in found.items()}
    first, *others = drawn
    linked = [e for e in each.values() if e.excludes(1)]
    gaps = {k: _gap(drawn[k] - drawn[first], found[k].total) for k in others}
    return answer(
        "adjusted", table(rows, ["route"]),
        worst=pair[0], best=pair[1], leave=_leave(company), ratios=[{"route": k, "ratio": e} for k, e in each.items()],
        ways=len(each), linked=len(linked), opposed=len({e.value > 1 for e in linked}) > 1, first=first,
        apart=[k for k, gap in gaps.items() if gap.excludes(0)], missing=missing,
    )  # fmt: skip


@finding("delayed")
def delayed(company: Company, metric: str = "", minimum_events: int = 100) -> Answer:
    """Answer: had they already decided? The ratio when a score counts only from 0, 30, 60 or 90 days after its answer.

    The days in between belong to no score, so that an answer given just before leaving explains nothing. To leave out
    the late answers of leavers alone would look into the future; here the first days after every answer are left out.
    """
    if not leaving(company):
        raise Unanswered("no-contracts")
    metric = answers.choose(company, metric)
    require(company, metric, minimum_events)
    none = _in_force(company, metric)
    worst, best = none.pair
    sound = {0: none}
    for d in DELAYS[1:]:
        with suppress(Unanswered):
            if (r := _in_force(company, metric, d)).pair == none.pair:
                sound[d] = r
    if len(sound) < 2:
        raise Unanswered("few-delayed")
    longest = max(sound)
    rows = [{"delay": f"{d} days", "estimate": r.estimate(worst), "events": r.total} for d, r in sound.items()]
    near, far = (sound[d].fit.draws(resamples(company))[:, 0] for d in (0, longest))
    change = _gap(far - near, none.total)
    at_once, later = (sound[d].estimate(worst) for d in (0, longest))
    shrinks = change.excludes(0) and far[0] < near[0] and near[0] > 0
    return answer(
        "adjusted", table(rows, ["delay"]),
        worst=worst, best=best, leave=_leave(company), longest=longest, at_once=at_once, later=later,
        shrinks=bool(shrinks), grows=bool(change.excludes(0) and not shrinks),
        removed=float(min(1 - far[0] / near[0], 1.0)) if shrinks else 0.0,
        linked=at_once.excludes(1), linked_later=later.excludes(1),
        events=none.total, events_later=sound[longest].total,
    )  # fmt: skip


# ---- what is known beside the score ----------------------------------------------------------------------------------


@finding("adjusted")
def adjusted(company: Company, metric: str = "", minimum_events: int = 100) -> Answer:
    """Answer: is the ratio still there at equal price and equal use of support?

    The start-stop fit with price (thirds within the first segment) and support cases of the 90 days before added, both
    as known when the score was given.
    """
    metric = answers.choose(company, metric)
    require(company, metric, minimum_events)
    plain = _in_force(company, metric)
    known = follow_up.covariates(company)
    if not known:
        raise Unanswered("nothing-to-adjust-for" if leaving(company) else "adjusted-under-contract")
    segments = people.segments(company)
    time = follow_up.person_time(follow_up.in_force(company, metric, segments, covariates=known))
    time = time[time["band"].isin([*plain.others, plain.best])]
    columns, levels, aside = {b: time["band"] == b for b in plain.others}, {}, []
    for key in known:
        events = time.groupby(key, observed=True)["events"].sum()
        base, *rest = [v for v in (follow_up.PRICES if key == "price" else follow_up.CASES) if v in events.index]
        for level in rest:
            if min(events[level], events[base]) < FEWEST:
                aside.append(level)
                continue
            columns[level] = time[key] == level
            levels[level] = base
    full = replace(plain, fit=_fit(time, columns), time=time)
    said = {k: words.say(__file__, "adjusted", k, segments=segments) for k in ("before", "after", "others")}
    pairs = [(b, plain.best, at, r) for at, r in (("before", plain), ("after", full)) for b in plain.others]
    pairs += [(level, base, "others", full) for level, base in levels.items()]
    rows = [
        {"what": f"{a} against {b}", "at_equal": said[at], "estimate": (e := r.estimate(a)), "p": e.p}
        for a, b, at, r in pairs
    ]
    (worst, best), gain = plain.pair, math.nan
    with suppress(Unanswered):
        gain = 2 * (full.fit.log_likelihood - _fit(time, {v: columns[v] for v in levels}).log_likelihood)
    return answer(
        "adjusted", table(rows, ["what", "at_equal"]),
        worst=worst, best=best, leave=_leave(company), by_price="price" in known, by_cases="cases" in known,
        before=plain.estimate(worst), after=(after := full.estimate(worst)), detected=after.excludes(1),
        gain=gain, p=full.fit.wald(np.eye(len(columns))[: len(plain.others)]),
        paid=follow_up.priced_by_payments(company), segment=next(iter(segments), ""), recent=follow_up.RECENT_DAYS,
        aside=aside,
    )  # fmt: skip
