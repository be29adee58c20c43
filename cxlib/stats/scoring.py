"""How good predicted probabilities are: their order (concordance, lift) and their size (calibration).

A model can be good at one and bad at the other (Steyerberg 2019, Clinical Prediction Models, 2nd ed.). Rows are people
or counts of equal people: a probability (0-1), an event (0 or 1) and how many (``weights``). Assess a model on people
it was not fitted to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse, special

from cxlib.stats import draws, intervals, logistic
from cxlib.stats.checks import refuse, sum_by
from cxlib.stats.estimate import Estimate

CONCORDANCE, LIFT, BRIER, LOG_SCORE = "concordance", "lift", "brier", "log_score"
_AT_ONCE = 2_000_000  # numbers held at a time: draws x different probabilities


@dataclass(frozen=True)
class CalibrationLine:
    """How the predicted log-odds would have to be corrected: see ``calibration_line``."""

    intercept: Estimate
    slope: Estimate


def concordance(probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the probability that somebody with the event was ranked above somebody without it, ties counting half.

    The area under the ROC curve; 0.5 is no better than chance. NaN if all or none had the event. Hanley & McNeil 1982,
    Radiology 143:29.

    Example: ``concordance([0.1, 0.4, 0.4], [0, 1, 0])`` is 0.75.
    """
    plain = resampled(probability, event, weights, np.zeros(np.size(probability), dtype=int), np.ones((1, 1)))
    return float(plain[CONCORDANCE].iloc[0])


def resampled(
    probability: ArrayLike,
    event: ArrayLike,
    weights: ArrayLike | None,
    fold: ArrayLike,
    weights_matrix: np.ndarray,
    share: float = 0.1,
) -> pd.DataFrame:
    """Return four measures under each resample of the folds, a row per draw.

    ``concordance``; ``lift``, the frequency of the event among the ``share`` with the highest probabilities relative to
    all, with people tied at the border counted in proportion; ``brier``, the mean squared distance between probability
    and event, 0 at best (Brier 1950, Monthly Weather Review 78); ``log_score``, the mean log-likelihood of a person, 0
    at best, minus infinity if an event of probability 0 happened (Good 1952).

    ``fold`` has group codes, ``weights_matrix`` is draws x groups (a row of ones gives the observed values). The draws
    of two models for the same people and matrix can be subtracted.
    """
    p, y, n = _arrays(probability, event, weights)
    matrix = np.atleast_2d(np.asarray(weights_matrix, dtype=float))
    # The distinct probabilities, highest first.
    values, code = np.unique(-p, return_inverse=True)
    shape, group = (len(values), matrix.shape[1]), np.asarray(fold, dtype=int)
    with_it, others = (sparse.csr_array((n * side, (code, group)), shape=shape) for side in (y, 1 - y))
    with np.errstate(divide="ignore"):  # a probability of 0 or 1 has an infinite log, which counts if it was wrong
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
    """Return draws x measures from the people with and without the event (draws x probabilities, highest first)."""
    all_yes, all_no = yes.sum(axis=1), no.sum(axis=1)
    n = all_yes + all_no
    before = np.cumsum(yes, axis=1) - yes
    size = yes + no
    room = share * n[:, None] - (np.cumsum(size, axis=1) - size)  # left in the top share above this probability
    # Without anybody with an impossible outcome the term is 0, not 0 x infinity.
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
    """Compare predicted with observed shares in groups of about equal size, by predicted probability.

    Returns group (1 the lowest), predicted (mean probability), value (share with the event) with Wilson's low and high,
    n and events. People with equal probability stay together, so there may be fewer groups. Steyerberg 2019, ch. 15.
    """
    p, y, n = _arrays(probability, event, weights)
    code = np.unique(p, return_inverse=True)[1]
    size = np.bincount(code, n)
    middle = (np.cumsum(size) - size / 2) / size.sum()
    group = np.minimum((groups * middle).astype(int), groups - 1)[code]
    sums = sum_by(group, np.column_stack([n, n * y, n * p]), groups)
    rows = []
    for at in np.flatnonzero(sums[:, 0]):
        many, events, expected = sums[at]
        e = intervals.share(events, many)
        rows.append((len(rows) + 1, expected / many, e.value, e.low, e.high, many, events))
    return pd.DataFrame(rows, columns=["group", "predicted", "value", "low", "high", "n", "events"])


def calibration_line(
    probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None, fold: ArrayLike
) -> CalibrationLine:
    """Regress the event on the predicted log-odds: intercept and slope, with errors clustered by fold.

    A ``slope`` of 1 is ideal; below 1 the probabilities are too extreme, as those of an overfitted model. ``intercept``
    is what to add to all log-odds with the slope fixed at 1, above 0 if more happened than predicted ("calibration in
    the large"). ValueError for probabilities of 0 or 1, which have no log-odds, and if all or none had the event.

    Cox 1958, Biometrika 45:562; Steyerberg 2019.
    """
    p, y, n = _arrays(probability, event, weights)
    refuse((p <= 0) | (p >= 1), "the probability is 0 or 1", "It has no log-odds: exclude such people and count them.")
    if not 0 < n @ y < n.sum():
        raise ValueError("all or none had the event, so there is nothing to calibrate against; include more people.")
    there = n > 0
    p, y, n, group = p[there], y[there], n[there], pd.factorize(np.asarray(fold)[there])[0]
    log_odds, clusters = special.logit(p), group.max() + 1
    found = []
    for design, offset in ((np.ones((len(p), 1)), log_odds), (np.column_stack([np.ones(len(p)), log_odds]), 0 * p)):
        coefficients, bread = logistic.maximum(design, n, n * y, offset)
        residual = n * (y - special.expit(design @ coefficients + offset))
        covariance, t = logistic.clustered(sum_by(group, design * residual[:, None], clusters) @ bread, clusters)
        known = np.ptp(log_odds) > 0 or design.shape[1] == 1  # one probability has no slope
        value, se = (float(coefficients[-1]), math.sqrt(covariance[-1, -1])) if known else (math.nan, math.nan)
        found.append(Estimate(value, value - t * se, value + t * se, se, float(n.sum())))
    return CalibrationLine(*found)


def estimate(drawn: np.ndarray, n: float, low: float | None = None, high: float | None = None) -> Estimate:
    """Turn a measure, or a difference of two, under resamples (row 0 as observed) into an estimate."""
    return draws.estimate(float(drawn[0]), np.asarray(drawn[1:], dtype=float), n, low=low, high=high)


def _arrays(
    probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p, y = np.asarray(probability, dtype=float), np.asarray(event, dtype=float)
    return p, y, np.ones(p.size) if weights is None else np.asarray(weights, dtype=float)
