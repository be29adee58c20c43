"""Is a predicted probability any good? How well it puts people in order, and how well it says how many.

Order (concordance, lift) and size (calibration) are different things: a model can be good at one and bad at the other
(Steyerberg 2019, Clinical Prediction Models, 2nd ed.). Rows are people or counts of people alike: a probability (0-1), an
event (0 or 1) and how many (``weights``). Judge a model on people it was not fitted to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, sparse, special

from cxlib.stats import draws, intervals, logistic
from cxlib.stats.checks import column, frequency_weights, group_codes, refuse, sum_by
from cxlib.stats.estimate import Estimate

CONCORDANCE, LIFT, BRIER, LOG_SCORE = "concordance", "lift", "brier", "log_score"
_AT_ONCE = 2_000_000  # numbers held at a time: draws x different probabilities


@dataclass(frozen=True)
class CalibrationLine:
    """What would have to be done to the log-odds predicted: see ``calibration_line``."""

    intercept: Estimate
    slope: Estimate


def concordance(probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Give the chance that somebody with the event had a higher probability than somebody without, ties counting half.

    The area under the ROC curve; 0.5 is no better than luck. NaN where all or none had the event.
    Source: Hanley & McNeil 1982, Radiology 143:29.
    """
    return _plain(probability, event, weights)[CONCORDANCE]


def lift(probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None, share: float = 0.1) -> float:
    """Give how many times as frequent the event was among the ``share`` with the highest probabilities as among all.

    Of people with one probability at the border, as many count as are needed, with their share of events.
    """
    return _plain(probability, event, weights, share)[LIFT]


def brier(probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Give the mean squared distance between probability and event; 0 is best (Brier 1950, Monthly Weather Review 78)."""
    return _plain(probability, event, weights)[BRIER]


def log_score(probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Give the mean log-likelihood of a person, 0 at best; minus infinity where the impossible happened (Good 1952)."""
    return _plain(probability, event, weights)[LOG_SCORE]


def resampled(
    probability: ArrayLike,
    event: ArrayLike,
    weights: ArrayLike | None,
    fold: ArrayLike,
    weights_matrix: np.ndarray,
    share: float = 0.1,
) -> pd.DataFrame:
    """Give all four measures under each resample of the folds: a row per draw, columns concordance, lift, brier, log_score.

    ``fold`` has group codes, ``weights_matrix`` is draws x groups (a row of ones gives the values as observed). Two models
    judged on the same people with the same matrix can be subtracted draw by draw.
    """
    p, y, n = _checked(probability, event, weights)
    if not 0 < share < 1:
        raise ValueError(f"share is {share}: it must lie between 0 and 1, for example 0.1 for the top tenth.")
    matrix = np.atleast_2d(np.asarray(weights_matrix, dtype=float))
    group = group_codes(fold, matrix.shape[1])
    # The distinct probabilities, highest first.
    values, code = np.unique(-p, return_inverse=True)
    shape = (len(values), matrix.shape[1])
    with_it, others = (sparse.csr_array((n * side, (code, group)), shape=shape) for side in (y, 1 - y))
    with np.errstate(divide="ignore"):  # a probability of 0 or 1 has an infinite logarithm, used if it was wrong
        logs = np.log(-values), np.log1p(values)
    parts, step = [], max(1, _AT_ONCE // len(values))
    for start in range(0, len(matrix), step):
        some = matrix[start : start + step].T
        yes, no = (with_it @ some).T, (others @ some).T
        parts.append(_measures(-values, yes, no, logs, share))
    return pd.DataFrame(np.vstack(parts), columns=[CONCORDANCE, LIFT, BRIER, LOG_SCORE])


def _measures(
    p: np.ndarray, yes: np.ndarray, no: np.ndarray, logs: tuple[np.ndarray, np.ndarray], share: float
) -> np.ndarray:
    """Give draws x measures from the people with and without the event (draws x probabilities, the highest first)."""
    all_yes, all_no = yes.sum(axis=1), no.sum(axis=1)
    n = all_yes + all_no
    before = np.cumsum(yes, axis=1) - yes
    size = yes + no
    room = share * n[:, None] - (np.cumsum(size, axis=1) - size)  # left in the top share above this probability
    # Nobody with an impossible outcome counts for 0, not for 0 x infinity.
    fine = [np.where(np.isfinite(log), log, 0) for log in logs]
    wrong = yes[:, np.isinf(logs[0])].sum(axis=1) + no[:, np.isinf(logs[1])].sum(axis=1) > 0
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may hold nobody, or nobody with the event
        ordered = ((before + yes / 2) * no).sum(axis=1) / (all_yes * all_no)
        taken = np.where(size > 0, np.clip(room / size, 0, 1), 0)
        top = (yes * taken).sum(axis=1) / all_yes / share
        squares = (yes @ (1 - p) ** 2 + no @ p**2) / n
        likelihood = np.where(wrong, -math.inf, (yes @ fine[0] + no @ fine[1]) / n)
    return np.column_stack([ordered, top, squares, likelihood])


def calibration_table(
    probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None, groups: int = 10
) -> pd.DataFrame:
    """Hold what was predicted against what was seen, in groups of about equal size by predicted probability.

    Returns group (1 the lowest), predicted (its mean), value (share with the event) with Wilson's low and high, n, events.
    People with one probability stay together, so there may be fewer groups.
    Source: Steyerberg 2019, chapter 15.
    """
    p, y, n = _checked(probability, event, weights)
    if groups < 2:
        raise ValueError(f"{groups} groups cannot be held against one another; give 2 or more, usually 10.")
    code = np.unique(p, return_inverse=True)[1]
    size = np.bincount(code, n)
    middle = (np.cumsum(size) - size / 2) / size.sum()
    group = np.minimum((groups * middle).astype(int), groups - 1)[code]
    sums = sum_by(group, np.column_stack([n, n * y, n * p]), groups)
    rows = []
    for at in np.flatnonzero(sums[:, 0]):
        many, events, expected = sums[at]
        e = intervals.share(events, many)
        rows.append({"group": len(rows) + 1, "predicted": expected / many, "value": e.value, "low": e.low, "high": e.high,
                     "n": many, "events": events})  # fmt: skip
    return pd.DataFrame(rows)


def calibration_line(
    probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None, fold: ArrayLike, folds: int = 256
) -> CalibrationLine:
    """Regress the event on the log-odds predicted: intercept and slope, with errors clustered by fold.

    ``slope``: 1 is right, below 1 the probabilities are too extreme, as those of an overfitted model. ``intercept``: what
    to add to all log-odds with the slope held at 1, above 0 where more happened than was predicted ("calibration in the
    large"). ValueError for probabilities of 0 or 1, that have no log-odds, and where all or none had the event.
    Sources: Cox 1958, Biometrika 45:562; Steyerberg 2019.
    """
    p, y, n = _checked(probability, event, weights)
    refuse(
        (p <= 0) | (p >= 1), "the probability is 0 or 1", "It has no log-odds: leave such people out and count them."
    )
    if not 0 < n @ y < n.sum():
        raise ValueError("all or none had the event, so there is nothing to calibrate against; look at more people.")
    group = group_codes(fold, folds)
    there = n > 0
    p, y, n, group = p[there], y[there], n[there], pd.factorize(group[there])[0]
    log_odds = special.logit(p)
    reach = 30 + np.abs(log_odds).max()
    at = optimize.brentq(lambda a: n @ (y - special.expit(log_odds + a)), -reach, reach)
    designs = np.ones((len(p), 1)), np.column_stack([np.ones(len(p)), log_odds])
    chance = special.expit(log_odds + at)
    bread = np.array([[1 / (n @ (chance * (1 - chance)))]])
    both, bread_both, told = logistic.maximum(designs[1], n, n * y)
    found = []
    for value, inverse, design, fitted, known in (
        (at, bread, designs[0], chance, True),
        (both[1], bread_both, designs[1], special.expit(designs[1] @ both), told[1]),
    ):
        covariance, t = logistic.clustered(inverse, design * (n * (y - fitted))[:, None], group, 0.95)
        se = math.sqrt(covariance[-1, -1]) if known else math.nan
        value = float(value) if known else math.nan
        found.append(Estimate(value, value - t * se, value + t * se, se, float(n.sum())))
    return CalibrationLine(*found)


def estimate(drawn: np.ndarray, n: float, low: float | None = None, high: float | None = None) -> Estimate:
    """Turn a measure, or a difference of two, under resamples (row 0 as observed) into an estimate."""
    return draws.estimate(float(drawn[0]), np.asarray(drawn[1:], dtype=float), n, low=low, high=high)


def _plain(p: ArrayLike, event: ArrayLike, weights: ArrayLike | None, share: float = 0.1) -> dict[str, float]:
    rows = resampled(p, event, weights, np.zeros(np.size(p), dtype=int), np.ones((1, 1)), share)
    return {name: float(value) for name, value in rows.iloc[0].items()}


def _checked(
    probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p = column(probability, "probability")
    if not p.size:
        raise ValueError("there is nobody to judge the probabilities by: give at least one row.")
    y = column(event, "event", p.size)
    refuse((p < 0) | (p > 1), "the probability is not between 0 and 1", "Give probabilities, not percent or log-odds.")
    refuse((y != 0) & (y != 1), "the event is not 0 or 1", "Give 1 where it happened and 0 elsewhere.")
    return p, y, frequency_weights(weights, p.size)
