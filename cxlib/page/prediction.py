"""Models of leaving, fitted to snapshots of customers; several pages use them.

A model is fitted to early snapshots, stacked, and tested on a later one whose outcome it has not seen (van Houwelingen
2007; Steyerberg 2019). Fields that leak the outcome are kept out of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import answers, customer_base, people, snapshots
from cxlib.counts.answers import NO_ANSWER
from cxlib.counts.snapshots import PRICE, answer
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.resamples import resamples
from cxlib.stats import logistic, scoring

LEAST_LEFT, LEAST_TESTED = 50, 20  # leavers to fit to, and to judge by
FEWEST = 5  # leavers of a level of a segment for it to be a level of its own
TOO_GOOD = 0.95  # concordance of a single field above which it must leak the outcome
OTHERS = "others"


@dataclass(frozen=True, eq=False)
class Fitted:
    """Counts of the snapshots a model is fitted to (stacked), and the fields that it may use.

    ``cells``: the counts of ``snapshots.patterns``, small levels of a segment being OTHERS; ``leaks``: fields left out,
    and why; ``leavers``: at least so many different customers left by choice.
    """

    cells: pd.DataFrame
    days: tuple[date, ...]
    fields: tuple[str, ...]
    leaks: dict[str, str]
    leavers: float

    def known(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Return cells in the levels of the model; a level not seen counts as OTHERS, else as the most common."""
        cells = cells.copy()
        for name in self.fields:
            sizes = self.cells.groupby(name, observed=True)["n"].sum()
            stand_in = OTHERS if OTHERS in sizes.index else sizes.idxmax()
            cells[name] = cells[name].where(cells[name].isin(sizes.index), stand_in)
        return cells

    def fit(self, fields: Sequence[str], cells: pd.DataFrame | None = None) -> logistic.Logistic:
        """Fit leaving by choice to fields."""
        return logistic.fit(self.cells if cells is None else cells, "n", "left", list(fields), "fold")


def metrics_of(company: Company) -> tuple[str, ...]:
    """Return the metrics whose answers have a date, so that a snapshot can know them."""
    return tuple(answers.metrics(company)) if answers.dated(company) else ()


@lru_cache(maxsize=8)
def fitted_by(company: Company, until: date, horizon: int) -> Fitted:
    """Return the snapshots whose outcome is known by a day, made ready for a model; Unanswered if there are too few."""
    metrics, least = metrics_of(company), company.settings.privacy.minimum_base
    found = {d: snapshots.patterns(company, d, horizon, metrics) for d in snapshots.dates(company, until, horizon)}
    found = {d: f for d, f in found.items() if f["n"].sum() >= least}
    if not found:
        raise Unanswered("no-snapshot", horizon=horizon, until=until)
    apart = list(found)[:: math.ceil(horizon / snapshots.STEP_DAYS)]  # no windows overlap, so nobody leaves twice
    leavers = float(sum(found[d]["left"].sum() for d in apart))
    if leavers < LEAST_LEFT:
        raise Unanswered("few-leavers-to-fit", leavers=leavers, until=until, needed=LEAST_LEFT)
    cells = pd.concat(found.values(), ignore_index=True)
    leaks = _leaks(company, cells)
    fields = [k for k in (*snapshots.predictors(company), *(answer(m) for m in metrics)) if k not in leaks]
    for name in set(fields) & set(people.segments(company)):
        sums = cells.groupby(name, observed=True)[["n", "left"]].sum()
        small = sums.index[(sums["n"] < least) | (sums["left"] < FEWEST)]
        cells[name] = cells[name].where(~cells[name].isin(small), OTHERS)
    fields = [k for k in fields if cells[k].nunique() > 1]
    return Fitted(cells, tuple(found), tuple(fields), leaks, leavers)


@dataclass(frozen=True, eq=False)
class Trial:
    """Snapshots to fit to, and a later one to test on; ``base``: the fields that are not answers."""

    fitted: Fitted
    test: pd.DataFrame
    test_day: date
    base: list[str]
    answers: list[str]
    matrix: np.ndarray

    def judge(
        self, fields: Sequence[str], among: Sequence[str] = (), money: bool = False
    ) -> tuple[logistic.Logistic, pd.DataFrame]:
        """Fit to fields, and measure the test snapshot under each resample: columns of ``scoring.resampled``.

        ``among``: only customers with these answers. ``money``: customers count as much as they pay a month, and not at
        all where the fee is not known.
        """
        train, test = (having(c, among) for c in (self.fitted.cells, self.test))
        model = self.fitted.fit(fields, train)
        p, fold = model.probability(test), test["fold"].to_numpy()
        gone, everybody = ("lost", "a_month") if money else ("left", "n")
        left = test[gone].fillna(0).to_numpy(float)
        stayed = test[everybody].fillna(0).to_numpy(float) - left
        y = np.repeat([1.0, 0.0], len(test))
        two = (np.tile(p, 2), y, np.concatenate([left, stayed]), np.tile(fold, 2))
        return model, scoring.resampled(*two, self.matrix)


def having(cells: pd.DataFrame, among: Sequence[str]) -> pd.DataFrame:
    """Return the cells of customers who have all these answers."""
    return cells[(cells[list(among)] != NO_ANSWER).all(axis=1)]


def trial_of(company: Company, horizon: int) -> Trial:
    """Return the trial of models on the snapshot whose horizon ends on the as-of date; Unanswered if there is none."""
    customer_base.require_leavers(company)
    test_day = company.as_of - timedelta(days=horizon)
    fitted = fitted_by(company, test_day, horizon)
    test = fitted.known(snapshots.patterns(company, test_day, horizon, metrics_of(company)))
    left = test["left"].sum()
    if left < LEAST_TESTED:
        raise Unanswered("few-leavers-to-judge", leavers=left, since=test_day, needed=LEAST_TESTED)
    of_metrics = [answer(m) for m in metrics_of(company)]
    base, scored = ([k for k in fitted.fields if (k in of_metrics) == of] for of in (False, True))
    return Trial(fitted, test, test_day, base, scored, resamples(company))


def miscalibrated(line: scoring.CalibrationLine) -> list[str]:
    """Return what is detectably wrong with predicted probabilities; nothing where they agree with what was seen."""
    off = [("too low" if line.intercept.value > 0 else "too high")] if line.intercept.excludes(0) else []
    return off + ([("too extreme" if line.slope.value < 1 else "too cautious")] if line.slope.excludes(1) else [])


def require_score(company: Company, trial: Trial, metric: str) -> None:
    """Raise Unanswered where a score cannot be judged in a trial."""
    answers.require_dates(company, metric)
    if answer(metric) in trial.fitted.leaks:
        raise Unanswered("score-leaks", metric=metric.upper(), leak=trial.fitted.leaks[answer(metric)])
    heard = min(having(c, [answer(metric)])["n"].sum() for c in (trial.fitted.cells, trial.test))
    if answer(metric) not in trial.answers or heard < company.settings.privacy.minimum_base:
        raise Unanswered("few-answers-in-snapshot", metric=metric.upper())


def _leaks(company: Company, cells: pd.DataFrame) -> dict[str, str]:
    """Return the fields of a model that leak the outcome, and how."""
    least, found = company.settings.privacy.minimum_base, {}
    columns = leaking_columns(company)
    for name in [c for c in cells.columns if c not in ("fold", "n", "left", "other", "a_month", "lost")]:
        column = "monthly_revenue" if name == PRICE else name
        sums = cells.groupby(name, observed=True)[["n", "left"]].sum()
        large = sums["n"] >= least
        sums = sums.groupby(np.where(large, sums.index, "")).sum()
        stayed = sums["n"] - sums["left"]
        both = np.concatenate([sums["left"], stayed])
        rate = np.tile(sums["left"] / sums["n"], 2)
        ordered = scoring.concordance(rate, np.repeat([1, 0], len(sums)), both) if sums["left"].sum() else math.nan
        if column in columns:
            found[name] = columns[column]
        elif ordered >= TOO_GOOD and sums["left"].sum() >= FEWEST:
            found[name] = words.say(__file__, "leaks", "alone", concordance=ordered)
    return found


@lru_cache(maxsize=4)
def leaking_columns(company: Company) -> dict[str, str]:
    """Return the columns of customers that split those who have left from the others perfectly, and how."""
    found: dict[str, str] = {}
    least = company.settings.privacy.minimum_base
    for column in snapshots.columns(company):
        for filled, how in ((True, "one-sided"), (False, "pure")):
            s = snapshots.split(company, column, least, filled)
            if s["pure"] == s["levels"] >= 2 and FEWEST <= s["left"] <= s["n"] - FEWEST:
                found.setdefault(column, words.say(__file__, "leaks", how))
    return found
