"""Resampling shared by every estimate: groups are drawn again with replacement, and always the same groups.

Every observation belongs to one group (a fold of customers, or a branch). One matrix of group weights, made once
from a seed, reweights every count table, so draws of different estimates belong together and can be combined.
Sums are linear in the weights and fitted models are moved by a Newton step, so nothing is fitted again.

Sources: Efron & Tibshirani (1993), An Introduction to the Bootstrap; Field & Welsh (2007), Bootstrapping
clustered data, J. R. Stat. Soc. B 69; Cameron & Miller (2015), A practitioner's guide to cluster-robust inference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from cxlib.stats.checks import group_codes, numbers, refuse
from cxlib.stats.estimate import Estimate


def fold_weights(draws: int, seed: int, folds: int = 256) -> np.ndarray:
    """Draw folds of customers again with replacement.

    Returns whole numbers (int16), draws x folds: how often each fold counts in each draw. Each row adds up to
    ``folds``; the same arguments give the same matrix.
    """
    return group_weights(draws, seed, folds)


def group_weights(draws: int, seed: int, groups: int) -> np.ndarray:
    """Draw any number of groups again with replacement, for example the 48 branches that share a decision.

    Returns whole numbers (int16), draws x groups; each row adds up to ``groups`` and column j belongs to the group
    coded j. ValueError with fewer than 2 groups: one group has no spread to learn from.
    """
    most = np.iinfo(np.int16).max
    if not 2 <= groups <= most:
        raise ValueError(f"{groups} groups cannot be resampled; give between 2 and {most}.")
    if draws < 2:
        raise ValueError(f"{draws} draws have no spread; ask for at least 2, usually 1,000.")
    chances = np.full(groups, 1 / groups)
    return np.random.default_rng(seed).multinomial(groups, chances, size=draws).astype(np.int16)


def with_plain(weights_matrix: np.ndarray) -> np.ndarray:
    """Put a row of ones before the resamples, so that one sum gives the value as observed (row 0) and its draws."""
    return np.vstack([np.ones(weights_matrix.shape[1]), weights_matrix])


def resample(
    counts: pd.DataFrame, fold: str, values: Sequence[str], by: Sequence[str], weights_matrix: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray]:
    """Add up columns of a count table by key under each resample.

    ``counts`` has any number of rows per key and fold; ``fold`` names its column of group codes 0, 1, 2 ...,
    ``values`` the columns to add up, ``by`` the key columns (none: one total). ``weights_matrix`` is
    draws x groups; a matrix of one row of ones gives the plain sums.

    Returns the keys (a sorted frame, its row number the position on the second axis; a missing key is a key too)
    and an array draws x keys x values. ValueError if a code lies outside the matrix or a value is missing.
    """
    matrix = np.atleast_2d(np.asarray(weights_matrix, dtype=float))
    groups, by, values = matrix.shape[1], list(by), list(values)
    codes = group_codes(counts[fold], groups)
    if by:
        key = counts.groupby(by, sort=True, dropna=False, observed=True).ngroup().to_numpy()
        keys = counts.iloc[np.unique(key, return_index=True)[1]][by].reset_index(drop=True)
    else:
        key, keys = np.zeros(len(counts), dtype=np.int64), pd.DataFrame(index=pd.RangeIndex(1))
    sums = np.empty((groups, len(keys), len(values)))
    for position, name in enumerate(values):
        column = numbers(counts[name])
        refuse(~np.isfinite(column), f"{name} is missing or infinite", "Leave such rows out before adding up.")
        cells = np.bincount(codes * len(keys) + key, weights=column, minlength=groups * len(keys))
        sums[:, :, position] = cells.reshape(groups, len(keys))
    return keys, (matrix @ sums.reshape(groups, -1)).reshape(len(matrix), len(keys), len(values))


def estimate(
    value: float,
    draws: np.ndarray,
    n: float,
    low: float | None = None,
    high: float | None = None,
    confidence: float = 0.95,
    interval: Literal["t", "percentile"] = "t",
    groups: int = 256,
) -> Estimate:
    """Turn a value and its resamples into an estimate; a difference is the same on the difference of draws.

    ``draws`` is one-dimensional, ``n`` the number of observations behind ``value``, ``low`` and ``high`` the ends
    of the scale, to which the interval is cut. ``se`` is the standard deviation of the finite draws.

    ``interval="t"`` gives value -+ t x se x sqrt(g / (g - 1)) with g - 1 degrees of freedom, g = min(groups, n): the
    root makes up for the spread that resampling g groups misses. ``"percentile"`` gives quantiles of the finite
    draws: they follow a skewed estimate but carry its bias twice and are too short with few groups.

    Interval and standard error are NaN when they cannot be known: more than 5 % of the draws are not finite, or
    all draws agree (everyone answered alike; take an interval made for counts, such as Wilson's).
    """
    if np.ndim(draws) != 1:
        raise ValueError(f"draws must have one dimension, not {np.ndim(draws)}; estimate_frame takes several keys.")
    columns = np.reshape(np.asarray(draws, dtype=float), (-1, 1))
    lower, upper, se = _spread(np.array([value], dtype=float), columns, n, low, high, confidence, interval, groups)
    return Estimate(float(value), float(lower[0]), float(upper[0]), float(se[0]), n)


def estimate_frame(
    keys: pd.DataFrame,
    value: np.ndarray,
    draws: np.ndarray,
    n: np.ndarray | float,
    low: float | None = None,
    high: float | None = None,
    confidence: float = 0.95,
    interval: Literal["t", "percentile"] = "t",
    groups: int = 256,
) -> pd.DataFrame:
    """Do for many keys at once what ``estimate`` does for one.

    ``keys`` is a frame of k rows, ``value`` and ``n`` have k numbers (or one n for all), ``draws`` is draws x k.
    Returns the keys with columns value, low, high, se, n.
    """
    value, draws, n = (np.asarray(part, dtype=float) for part in (value, draws, n))
    if draws.ndim != 2 or value.shape != draws.shape[1:] or len(keys) != len(value):
        raise ValueError(
            f"{len(keys)} keys need as many values, not {value.shape}, and draws x keys, not {draws.shape}."
        )
    lower, upper, se = _spread(value, draws, n, low, high, confidence, interval, groups)
    return keys.reset_index(drop=True).assign(value=value, low=lower, high=upper, se=se, n=n)


def _spread(
    value: np.ndarray,
    draws: np.ndarray,
    n: np.ndarray | float,
    low: float | None,
    high: float | None,
    confidence: float,
    interval: str,
    groups: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give low, high and standard error of k values from draws x k."""
    if interval not in ("t", "percentile"):
        raise ValueError(f"interval {interval!r} is not known; use 't' or 'percentile'.")
    finite = np.isfinite(draws)
    known = np.isfinite(value) & (finite.mean(axis=0) >= 0.95)
    draws = np.where(finite, draws, math.nan)
    draws[:, ~known] = 0  # blanked out below; a column of NaN would warn
    known &= np.nanmax(draws, axis=0) - np.nanmin(draws, axis=0) > 1e-12 * np.abs(value)
    se = np.nanstd(draws, axis=0, ddof=1)
    tail = (1 - confidence) / 2
    if interval == "t":
        independent = np.fmin(groups, n)
        with np.errstate(divide="ignore", invalid="ignore"):  # one group alone has no interval
            reach = stats.t.isf(tail, independent - 1) * se * np.sqrt(independent / (independent - 1))
        lower, upper = value - reach, value + reach
    else:
        lower, upper = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    lower, upper, se = (np.where(known, part, math.nan) for part in (lower, upper, se))
    return np.clip(lower, low, high), np.clip(upper, low, high), se


def one_step(
    theta: np.ndarray,
    scores: np.ndarray,
    hessians: np.ndarray,
    fold_weights: np.ndarray,
    thirds: np.ndarray | None = None,
) -> np.ndarray:
    """Move a maximum-likelihood fit to each resample by one Newton step, instead of fitting again.

    ``theta`` (p) maximises the log-likelihood summed over groups; ``scores`` (groups x p), ``hessians``
    (groups x p x p) and ``thirds`` (groups x p x p x p) are its derivatives at ``theta``, summed within each group;
    ``fold_weights`` is draws x groups. With ``thirds`` the curvature is taken half-way along the step (Halley's method),
    which brings a skewed likelihood three times closer to a fit of its own. Returns draws x p; a draw whose curvature
    has no maximum is NaN.

    Sources: Davidson & MacKinnon (1999), Bootstrap testing in nonlinear models, Int. Econ. Rev. 40; Ortega & Rheinboldt
    (1970), Iterative solution of nonlinear equations.
    """
    matrix, p = np.asarray(fold_weights, dtype=float), len(theta)
    if matrix.shape[1] != len(scores):
        raise ValueError(f"the weights have {matrix.shape[1]} groups, the scores {len(scores)}; use the same folds.")
    score = matrix @ scores
    information = -(matrix @ hessians.reshape(len(hessians), -1)).reshape(-1, p, p)
    step = _newton_step(information, score)
    if thirds is not None:
        bend = (matrix @ thirds.reshape(len(thirds), -1)).reshape(-1, p, p, p)
        halfway = _newton_step(information - np.einsum("dijk,dk->dij", bend, step) / 2, score)
        # Where the bend takes over, the expansion no longer holds and the plain step is the safer one.
        trusted = np.abs(halfway).max(axis=1) < 3 * np.abs(step).max(axis=1)
        step[trusted] = halfway[trusted]
    return theta + step


def _newton_step(information: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Solve many small systems (draws x p x p by draws x p); NaN where there is no maximum."""
    step = np.full(score.shape, math.nan)
    sound = np.isfinite(information).all(axis=(1, 2))
    sound[sound] = np.linalg.eigvalsh(information[sound])[:, 0] > 0
    step[sound] = np.linalg.solve(information[sound], score[sound][:, :, None])[:, :, 0]
    return step
