"""Resampling shared by all estimates: the same groups are drawn with replacement for every count table.

Every observation belongs to one group (a fold of customers, or a branch). One matrix of group weights, made once from a
seed, reweights every count table, so draws of different estimates are joint and can be combined.

Sources: Efron & Tibshirani 1993, An Introduction to the Bootstrap; Field & Welsh 2007, Bootstrapping clustered data,
J. R. Stat. Soc. B 69; Cameron & Miller 2015, A practitioner's guide to cluster-robust inference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from cxlib.stats.checks import group_codes, numbers, refuse
from cxlib.stats.estimate import Estimate


def group_weights(draws: int, seed: int, groups: int = 256) -> np.ndarray:
    """Draw groups with replacement: the usual 256 folds of customers, or any other number, for example 48 branches.

    Returns whole numbers (int16), draws x groups: how often the group coded j counts in each draw. Each row adds up to
    ``groups``, and the same arguments give the same matrix.
    """
    chances = np.full(groups, 1 / groups)
    return np.random.default_rng(seed).multinomial(groups, chances, size=draws).astype(np.int16)


def with_plain(weights_matrix: np.ndarray) -> np.ndarray:
    """Put a row of ones before the resamples, so that one sum gives the observed value (row 0) and its draws."""
    return np.vstack([np.ones(weights_matrix.shape[1]), weights_matrix])


def resample(
    counts: pd.DataFrame, fold: str, values: Sequence[str], by: Sequence[str], weights_matrix: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray]:
    """Add up columns of a count table by key under each resample.

    ``counts`` has any number of rows per key and fold. ``fold`` names its column of group codes 0, 1, 2 ..., ``values``
    the columns to add up and ``by`` the key columns (none: one total). ``weights_matrix`` is draws x groups.

    Returns the keys (a sorted frame, in the order of the second axis; a missing key is also a key) and an array draws x
    keys x values. ValueError if a code lies outside the matrix or a value is missing.

    Example: ``keys, sums = resample(counts, "fold", ["lost", "n"], ["plan"], with_plain(group_weights(1000, 1)))``.
    """
    matrix = np.atleast_2d(np.asarray(weights_matrix, dtype=float))
    groups, by, values = matrix.shape[1], list(by), list(values)
    codes = group_codes(counts[fold], groups)
    if by:
        key = counts.groupby(by, sort=True, dropna=False, observed=True).ngroup().to_numpy()
        keys = counts.iloc[np.unique(key, return_index=True)[1]][by].reset_index(drop=True)
    else:
        key, keys = np.zeros(len(counts), dtype=np.int64), pd.DataFrame(index=pd.RangeIndex(1))
    for name in values:
        refuse(~np.isfinite(numbers(counts[name])), f"{name} is missing or infinite", "Exclude such rows.")
    sums = [summed(matrix, codes, numbers(counts[name]), (key,), (len(keys),)) for name in values]
    return keys, np.stack(sums, axis=-1)


def summed(
    weights_matrix: np.ndarray,
    fold: ArrayLike,
    values: ArrayLike,
    at: Sequence[ArrayLike] = (),
    shape: Sequence[int] = (),
) -> np.ndarray:
    """Add up a number of each row under each resample, in the cells of a grid of ``shape``: draws x shape.

    ``fold`` is the group code of each row, ``at`` its position on each axis of the grid (none: one total).

    Example: ``summed(weights, counts["fold"], counts["n"], (counts["month"],), (12,))``.
    """
    cells = np.zeros((weights_matrix.shape[1], *shape))
    np.add.at(cells, tuple(np.asarray(place, dtype=int) for place in (fold, *at)), np.asarray(values, dtype=float))
    return np.tensordot(np.asarray(weights_matrix, dtype=float), cells, axes=1)


def leave_out(
    counts: pd.DataFrame,
    fit: Callable[[pd.DataFrame], ArrayLike],
    by: Sequence[str],
    weights_matrix: np.ndarray,
    fold: str = "fold",
) -> np.ndarray:
    """Return the results of any ``fit`` under each resample, from refits without one fold at a time.

    ``fit`` takes a count table with the keys ``by`` and the sums of all other columns of ``counts``, and returns k
    numbers. The draws are linear in the fold weights, so they are joint with those of ``resample``. Returns draws x k;
    a row of ones in ``weights_matrix`` gives the result of all folds together.

    Example: ``leave_out(counts, lambda whole: [ratio(whole)], ["band", "month"], with_plain(group_weights(1000, 1)))``.
    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 11 (jackknife) and 20 (linear draws).
    """
    matrix, values = np.asarray(weights_matrix, dtype=float), [c for c in counts if c not in (*by, fold)]
    keys, sums = resample(counts, fold, values, by, np.eye(matrix.shape[1]))
    whole, present = sums.sum(axis=0), np.flatnonzero(sums.any(axis=(1, 2)))

    def without(own: np.ndarray | float) -> np.ndarray:
        rest = whole - own
        some = rest.any(axis=1)
        return np.asarray(fit(keys.assign(**dict(zip(values, rest.T, strict=True)))[some]), dtype=float)

    value = without(0.0)
    others = np.array([without(sums[j]) for j in present])
    pulls = (others.mean(axis=0) - others) * (len(present) - 1) / len(present)
    return value + (matrix[:, present] - 1) @ pulls


def estimate(
    value: float, draws: np.ndarray, n: float, low: float | None = None, high: float | None = None, groups: int = 256
) -> Estimate:
    """Turn a value and its draws into an estimate; for a difference, pass the difference of two values and their draws.

    ``draws`` is one-dimensional, ``n`` the number of observations behind ``value``; ``low`` and ``high`` are the ends
    of the scale, to which the interval is cut. ``se`` is the standard deviation of the finite draws. The interval is
    value -+ t x se x sqrt(g / (g - 1)) with g - 1 degrees of freedom and g = min(groups, n); the root restores the
    spread that resampling g groups misses.

    Interval and standard error are NaN if more than 5 % of the draws are not finite, or if all draws agree because
    everyone answered alike; then use an interval made for counts, such as Wilson's.

    Example: ``estimate(share[0], share[1:], n, low=0, high=1)`` with row 0 the observed share.
    """
    columns = np.reshape(np.asarray(draws, dtype=float), (-1, 1))
    lower, upper, se = _spread(np.array([value], dtype=float), columns, n, low, high, groups)
    return Estimate(float(value), float(lower[0]), float(upper[0]), float(se[0]), n)


def mean(total: ArrayLike, n: ArrayLike, fold: ArrayLike, weights_matrix: np.ndarray) -> Estimate:
    """Estimate the mean of money or other heavy-tailed numbers, ``total`` over ``n`` by row: a bootstrap-t interval.

    Each draw is measured in its own standard error, from the differences between its groups, so the interval leans to
    the side of the long tail. Of a lognormal with a sigma of 2 it holds the mean in about nine of ten cases, where a
    symmetric interval holds it in eight. ``weights_matrix`` has a row of ones first. Interval and standard error are
    NaN if more than 5 % of the draws have none.

    Example: ``mean(orders["revenue"], orders["n"], orders["fold"], with_plain(group_weights(1000, 1)))``.
    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 12.5; Hall 1988, Ann. Statist. 16:927.
    """
    groups = np.shape(weights_matrix)[1]
    s, c = (np.bincount(group_codes(fold, groups), np.asarray(v, dtype=float), groups) for v in (total, n))
    of_total, of_n, squares, both, of_squares = (weights_matrix @ v for v in (s, c, s * s, s * c, c * c))
    some = (c > 0).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        value = of_total / of_n
        apart = np.fmax(squares - 2 * value * both + value**2 * of_squares, 0)
        se = np.sqrt(apart * some / (some - 1)) / of_n
        t = ((value - value[0]) / se)[1:]
    known = np.isfinite(t)
    if not known.mean() >= 0.95 or not se[0] > 1e-12 * abs(value[0]):
        return Estimate(float(value[0]), math.nan, math.nan, math.nan, float(c.sum()))
    low, high = value[0] - np.quantile(t[known], [0.975, 0.025]) * se[0]
    return Estimate(float(value[0]), float(low), float(high), float(se[0]), float(c.sum()))


def estimate_frame(
    keys: pd.DataFrame,
    value: np.ndarray,
    draws: np.ndarray,
    n: np.ndarray | float,
    low: float | None = None,
    high: float | None = None,
    groups: int = 256,
) -> pd.DataFrame:
    """Apply ``estimate`` to many keys at once.

    ``keys`` is a frame of k rows, ``value`` and ``n`` have k numbers (or one n for all), ``draws`` is draws x k.
    Returns the keys with columns value, low, high, se, n.
    """
    value, draws, n = (np.asarray(part, dtype=float) for part in (value, draws, n))
    lower, upper, se = _spread(value, draws, n, low, high, groups)
    return keys.reset_index(drop=True).assign(value=value, low=lower, high=upper, se=se, n=n)


def _spread(
    value: np.ndarray, draws: np.ndarray, n: np.ndarray | float, low: float | None, high: float | None, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return low, high and standard error of k values from draws x k."""
    finite = np.isfinite(draws)
    known = np.isfinite(value) & (finite.mean(axis=0) >= 0.95)
    draws = np.where(finite, draws, math.nan)
    draws[:, ~known] = 0  # blanked out below; a column of NaN would warn
    known &= np.nanmax(draws, axis=0) - np.nanmin(draws, axis=0) > 1e-12 * np.abs(value)
    se = np.nanstd(draws, axis=0, ddof=1)
    independent = np.fmin(groups, n)
    with np.errstate(divide="ignore", invalid="ignore"):  # one group alone has no interval
        reach = stats.t.isf((1 - 0.95) / 2, independent - 1) * se * np.sqrt(independent / (independent - 1))
    lower, upper, se = (np.where(known, part, math.nan) for part in (value - reach, value + reach, se))
    return np.clip(lower, low, high), np.clip(upper, low, high), se
