"""Means and shares of many groups shrunk towards their common one, as far as chance explains their spread.

The highest and lowest of many group means are partly chance. Each true mean is modelled as a draw from one normal
distribution; the larger the spread between groups, the more a group keeps of its own mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize

from cxlib.stats.checks import z_value

_Z = z_value(0.95)
_GRID = 300  # points of the integral over the variance between groups
_NEGLIGIBLE = 18.0  # log density below its peak, a part in 10^8


@dataclass(frozen=True)
class Shrunken:
    """Shrunken group means and the spread between the groups, in the unit of the values.

    ``table`` has a row for each group, in the order given: ``value`` as observed, ``shrunken``, its interval ``low`` to
    ``high``, ``weight`` (the share of its own mean that the group keeps, 0-1) and ``se`` of the
    shrunken mean. ``mean`` is the common mean, ``between_sd`` the standard deviation of the true means.
    """

    table: pd.DataFrame
    mean: float
    between_sd: float


def shrink(values: ArrayLike, standard_errors: ArrayLike) -> Shrunken:
    """Shrink the means of k >= 3 groups towards their common mean.

    ``values`` and ``standard_errors`` (k numbers each, in one unit; errors above 0 and taken as known) belong to
    independent groups. A Series keeps its index in the result. ``shrunken`` and ``se`` are the posterior mean and
    standard deviation of a normally distributed true mean under flat priors for the common mean and the variance
    between groups, integrated numerically: the approximations of Morris 1983 (J. Am. Stat. Assoc. 78:47) and Kass &
    Steffey 1989 (same journal 84:717) fail where the estimated variance is 0. Three groups are not shrunk.

    The intervals contain on average 95 % of the true means; with five or more groups this also holds for the highest
    one. ``between_sd`` is that of Paule & Mandel 1982 (J. Res. Natl. Bur. Stand. 87:377), and ``mean`` is pooled with
    it. Returns a Shrunken. ValueError for fewer than three groups.

    Example: ``shrink([28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]).table`` (Rubin 1981).
    """
    names = values.index if isinstance(values, pd.Series) else None
    values, errors = np.asarray(values, dtype=float), np.asarray(standard_errors, dtype=float)
    if values.size < 3:
        raise ValueError(f"Shrinking needs at least 3 groups, not {values.size}: show these means as they are.")
    # In units of a typical error around the middle, so that no step depends on the unit of the values.
    centre, unit = float(np.median(values)), float(np.exp(np.log(errors).mean()))
    scaled, known = (values - centre) / unit, (errors / unit) ** 2

    between = _variance_at(values.size - 1, scaled, known)
    mean, _ = _pooled(between, scaled, known)
    shrunken, se, weight = _given_all_values(scaled, known)
    table = pd.DataFrame(
        {
            "value": values,
            "shrunken": centre + unit * shrunken,
            "low": centre + unit * (shrunken - _Z * se),
            "high": centre + unit * (shrunken + _Z * se),
            "weight": weight,
            "se": unit * se,
        },
        index=names,
    )
    return Shrunken(table, centre + unit * float(mean), unit * math.sqrt(between))


def ranks(shrunken: Shrunken, draws: int, seed: int) -> pd.DataFrame:
    """Return the rank of each group with its interval: 1 for the highest true mean, k for the lowest.

    The true means are drawn ``draws`` times (usually 4,000) from normal distributions around the shrunken means and
    ranked each time (Goldstein & Spiegelhalter 1996, J. R. Stat. Soc. A 159:385). Returns the groups in the order given
    with whole ranks: ``value`` (the median), ``low``, ``high``.
    """
    table = shrunken.table
    drawn = np.random.default_rng(seed).normal(table["shrunken"], table["se"], (draws, len(table)))
    ranked = 1 + np.argsort(np.argsort(-drawn, axis=1), axis=1)
    chances = [0.5, 0.025, 0.975]
    value, low, high = np.quantile(ranked, chances, axis=0, method="inverted_cdf")
    return pd.DataFrame({"value": value, "low": low, "high": high}, index=table.index)


def shrunken_shares(successes: ArrayLike, trials: ArrayLike, counts: ArrayLike) -> np.ndarray:
    """Return the share of successes expected of groups of each kind, shrunk towards the share of all.

    A kind is ``successes`` out of ``trials`` (0 or more); ``counts``: how many groups of each, draws x kinds, which is
    the shape of the result. The shares of groups vary as a beta distribution does whose intraclass correlation is that
    of an analysis of variance (Ridout, Demétrio & Firth 1999, Biometrics 55:137), cut at 0 and 1; without trials, the
    share of all is expected. NaN without any trial.

    Example: ``shrunken_shares([0, 10, 7], [10, 10, 10], [[5, 5, 5]])``.
    """
    hits, n, groups = np.asarray(successes, float), np.asarray(trials, float), np.atleast_2d(np.asarray(counts, float))
    with np.errstate(invalid="ignore", divide="ignore"):
        share, total, several = np.where(n > 0, hits / n, 0.0), groups @ n, groups @ (n > 0)
        p = (groups @ hits / total)[:, None]
        within = groups @ (hits * (1 - share)) / (total - several)
        between = (groups * n * (share - p) ** 2).sum(axis=1) / (several - 1)
        size = (total - groups @ n**2 / total) / (several - 1)
        alike = np.nan_to_num((between - within) / (between + (size - 1) * within)).clip(0, 1)[:, None]
        own = alike * n + 1 - alike  # 0 only where groups differ altogether and this one has no trial
        return np.where(own > 0, (alike * hits + (1 - alike) * p) / own, p)


def _pooled(between: ArrayLike, values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the common mean and its variance for one or more values of the variance ``between`` groups."""
    precision = 1 / np.add.outer(between, known)
    total = precision.sum(axis=-1)
    return precision @ values / total, 1 / total


def _spread(between: ArrayLike, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return Cochran's Q with the variance ``between`` groups added to the known variances."""
    mean, _ = _pooled(between, values, known)
    return (np.subtract.outer(mean, values) ** 2 / np.add.outer(between, known)).sum(axis=-1)


def _variance_at(target: float, values: np.ndarray, known: np.ndarray) -> float:
    """Return the variance between groups at which Q, which falls as it grows, reaches ``target``; 0 if Q is below.

    Bracketed, because the iteration of statsmodels' ``combine_effects`` gives 0 where it overshoots: if errors differ
    much, or one group stands apart.
    """
    if _spread(0, values, known) <= target:
        return 0.0
    highest = 2 * float(((values - values.mean()) ** 2).sum()) / target  # where Q is at most half the target
    return float(optimize.brentq(lambda between: _spread(between, values, known) - target, 0, highest))


def _given_all_values(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the posterior mean and standard deviation of each true mean, and the share of its own value it keeps."""
    if values.size == 3:  # the posterior of the spread is improper: the limit of the integral
        return values, np.sqrt(known), np.ones(3)
    between, chance = _between_given_all_values(values, known)
    mean, mean_variance = _pooled(between, values, known)
    moved = known / np.add.outer(between, known)
    centre = values + moved * np.subtract.outer(mean, values)
    variance = (1 - moved) * known + moved**2 * mean_variance[:, None]
    shrunken = chance @ centre
    return shrunken, np.sqrt(chance @ (variance + (centre - shrunken) ** 2)), 1 - chance @ moved


def _between_given_all_values(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return variances between groups (evenly spaced logs) and their posterior probabilities under a flat prior."""
    tail = 2 * _NEGLIGIBLE + 4  # with four groups the density falls with the root of the variance only
    low, high = math.log(known.min()) - _NEGLIGIBLE - 2, math.log(known.max() + np.var(values)) + tail
    for _ in range(3):  # the first grid finds the range that matters, the last one measures it
        logarithm = np.linspace(low, high, _GRID)
        between = np.exp(logarithm)
        _, mean_variance = _pooled(between, values, known)
        density = logarithm + 0.5 * (
            np.log(mean_variance) - np.log(np.add.outer(between, known)).sum(axis=1) - _spread(between, values, known)
        )
        density -= density.max()
        matter = np.flatnonzero(density > -_NEGLIGIBLE)
        low, high = logarithm[max(matter[0] - 1, 0)], logarithm[min(matter[-1] + 1, _GRID - 1)]
    chance = np.exp(density)
    return between, chance / chance.sum()
