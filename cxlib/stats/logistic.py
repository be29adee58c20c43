"""Logistic regression on counts: main effects of categories on whether an event happened.

A row is a cell: people with the same levels of every predictor, their number and how many had the event. A fit to cells
equals the fit to individuals. Errors are clustered (Liang & Zeger 1986, Biometrika 73), so the same people may be
counted in several rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

from cxlib.stats.checks import refuse, sum_by


@dataclass(frozen=True, eq=False)
class Logistic:
    """A fitted regression: see ``fit``.

    ``levels`` are the levels of each predictor, the reference level first. ``coefficients`` (log-odds: the intercept,
    then the other levels in order) have a clustered ``covariance``; ``pulls`` (groups x coefficients) is how much each
    group moves them. ``table`` has predictor, level, odds_ratio, low, high, n, events; the ratio of the reference level
    is 1, that of a level where nobody or everybody had the event NaN. ``log_likelihood`` is that of individuals.
    """

    levels: Mapping[str, tuple[object, ...]]
    coefficients: np.ndarray
    covariance: np.ndarray
    pulls: np.ndarray
    table: pd.DataFrame
    log_likelihood: float

    def design(self, cells: pd.DataFrame) -> np.ndarray:
        """Return the design matrix of cells (rows x coefficients); ValueError for a level unknown to the fit."""
        return _design(self.levels, cells)

    def probability(self, cells: pd.DataFrame) -> np.ndarray:
        """Return the probability (0-1) of each cell."""
        return special.expit(self.design(cells) @ self.coefficients)

    def terms(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Return what each predictor adds to the log-odds of each cell, compared with its reference level."""
        design, first, found = self.design(cells), 1, {}
        for name, levels in self.levels.items():
            last = first + len(levels) - 1
            found[name] = design[:, first:last] @ self.coefficients[first:last]
            first = last
        return pd.DataFrame(found, index=cells.index)

    def draws(self, weights_matrix: np.ndarray) -> np.ndarray:
        """Return the coefficients under each resample of the groups (draws x coefficients), to first order."""
        return self.coefficients + (np.asarray(weights_matrix, dtype=float) - 1) @ self.pulls

    def wald(self, name: str) -> tuple[float, int, float]:
        """Test that a predictor has no effect: F, its degrees of freedom and p, with clustered errors."""
        names = list(self.levels)
        first = 1 + sum(len(self.levels[k]) - 1 for k in names[: names.index(name)])
        own = slice(first, first + len(self.levels[name]) - 1)
        size, groups = own.stop - own.start, int((np.abs(self.pulls).sum(axis=1) > 0).sum())
        if not 0 < size < groups:
            return math.nan, size, math.nan
        b = self.coefficients[own]
        f = float(b @ np.linalg.pinv(self.covariance[own, own]) @ b) / size
        return f, size, float(stats.f.sf(f, size, groups - 1))


def fit(cells: pd.DataFrame, n: str, events: str, predictors: Sequence[str], fold: str, folds: int = 256) -> Logistic:
    """Fit the probability of an event to counts with categorical predictors; odds ratios are finite for any counts.

    ``cells`` has counts ``n`` and ``events``, a column per predictor and one of group codes ``fold`` (0 to ``folds`` -
    1). Each coefficient except the intercept has a log-F(1, 1) prior (95 % of odds ratios between 1/648 and 648): half
    a person with and half a person without the event at that level. It hardly changes the fit and keeps a level without
    events from a probability of 0. The reference level is the one with most people. Intervals are Wald intervals with
    errors clustered by fold.

    Returns a Logistic. ValueError if nobody or everybody had the event.

    Example: ``fit(cells, "n", "left", ["plan", "tenure"], "fold").probability(cells)``.
    Source: Greenland & Mansournia 2015, Statistics in Medicine 34:3133.
    """
    cells = cells[cells[n] > 0]
    many, yes = cells[n].to_numpy(float), cells[events].to_numpy(float)
    if not 0 < yes.sum() < many.sum():
        raise ValueError(
            f"{yes.sum():g} of {many.sum():g} had the event, so there is nothing to compare; include more people."
        )
    levels, table = {}, []
    for name in predictors:
        sums = cells.groupby(name, observed=True)[[n, events]].sum()
        first = sums[n].idxmax()
        sums = sums.loc[[first, *sums.index.drop(first)]]
        levels[name] = tuple(sums.index)
        table += [(name, *row) for row in sums.itertuples()]
    rows, where = patterns(cells, predictors, [n, events])
    design = _design(levels, rows)
    prior = np.eye(design.shape[1])[1:]
    half = np.full(len(prior), 0.5)
    totals = np.r_[rows[n], 2 * half], np.r_[rows[events], half]
    coefficients, bread = maximum(np.vstack([design, prior]), *totals)
    linear = design @ coefficients
    likelihood = rows[events] @ special.log_expit(linear) + (rows[n] - rows[events]) @ special.log_expit(-linear)
    scores = design[where] * (yes - many * special.expit(linear)[where])[:, None]
    pulls = sum_by(cells[fold].to_numpy(), scores, folds) @ bread
    covariance, quantile = clustered(pulls, cells[fold].nunique())
    found = pd.DataFrame(table, columns=["predictor", "level", "n", "events"])
    effect, reach = np.zeros(len(found)), np.full(len(found), math.nan)
    other = found["predictor"].duplicated().to_numpy()
    effect[other], reach[other] = coefficients[1:], quantile * np.sqrt(np.diag(covariance))[1:]
    effect[other & ((found["events"] == 0) | (found["events"] == found["n"])).to_numpy()] = math.nan
    for at, (name, value) in enumerate({"odds_ratio": effect, "low": effect - reach, "high": effect + reach}.items()):
        found.insert(2 + at, name, np.exp(value))
    return Logistic(levels, coefficients, covariance, pulls, found, float(likelihood))


def _design(levels_of: Mapping[str, Sequence[object]], cells: pd.DataFrame) -> np.ndarray:
    parts = [np.ones((len(cells), 1))]
    for name, levels in levels_of.items():
        code = pd.Index(levels).get_indexer(cells[name])
        refuse(code < 0, f"{name} has a level the model was not fitted to", "Merge it with one that is known.")
        parts.append(np.eye(len(levels))[code][:, 1:])
    return np.hstack(parts)


def patterns(cells: pd.DataFrame, columns: Sequence[str], sums: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Add up cells that are alike in some columns: return the sums of each pattern, and the pattern of each cell."""
    alike = cells.groupby([np.zeros(len(cells)), *columns], observed=True)
    return alike[list(sums)].sum().reset_index(), alike.ngroup().to_numpy()


def maximum(
    design: np.ndarray, n: np.ndarray, yes: np.ndarray, offset: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of a logistic regression and their covariance.

    ``design`` is rows x coefficients; of ``n`` people of a row ``yes`` had the event. Where the likelihood has no
    maximum, the fit stops where it gains nothing more, next to 0 or 1: Newton's method with halved steps, because that
    of statsmodels' GLM can jump to the wrong end there.
    """

    def likelihood(at: np.ndarray) -> float:
        linear = design @ at + offset
        return float(yes @ special.log_expit(linear) + (n - yes) @ special.log_expit(-linear))

    coefficients = np.zeros(design.shape[1])
    reached = likelihood(coefficients)
    for _ in range(200):
        chance, other = (special.expit(side * (design @ coefficients + offset)) for side in (1, -1))
        root = np.sqrt(n * chance * other)
        inverse = np.linalg.pinv(root[:, None] * design)
        pull = yes * other - (n - yes) * chance
        step = inverse @ (pull / root)
        gain = float(step @ (design.T @ pull))
        step /= max(1.0, np.abs(design @ step).max(initial=0) / 4)  # in log-odds
        while (ahead := likelihood(coefficients + step)) < reached - 1e-12 * abs(reached):
            step = step / 2
        coefficients, reached = coefficients + step, ahead
        if gain < 1e-10:
            break
    return coefficients, inverse @ inverse.T


def clustered(pulls: np.ndarray, clusters: int) -> tuple[np.ndarray, float]:
    """Return the covariance from how much each cluster moves the coefficients, and the t quantile of 95 %."""
    if clusters < 2:
        return np.full((pulls.shape[1],) * 2, math.nan), math.nan
    return pulls.T @ pulls * clusters / (clusters - 1), float(stats.t.isf((1 - 0.95) / 2, clusters - 1))
