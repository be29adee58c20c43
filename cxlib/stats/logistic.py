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

from cxlib.stats.checks import column, complete, group_codes, refuse, sum_by
from cxlib.stats.likelihood import collapse


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
        parts = [np.ones((len(cells), 1))]
        for name, levels in self.levels.items():
            code = pd.Index(levels).get_indexer(_present(cells, name))
            refuse(code < 0, f"{name} has a level the model was not fitted to", "Merge it with one that is known.")
            parts.append(np.eye(len(levels))[code][:, 1:])
        return np.hstack(parts)

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

    Returns a Logistic. ValueError for impossible counts, missing levels, and if nobody or everybody had the event.

    Example: ``fit(cells, "n", "left", ["plan", "tenure"], "fold").probability(cells)``.
    Source: Greenland & Mansournia 2015, Statistics in Medicine 34:3133.
    """
    many, yes = counts(cells, n), counts(cells, events)
    refuse(yes > many * (1 + 1e-9), f"{events} is more than {n}", "Count an event only where there is somebody.")
    if not 0 < yes.sum() < many.sum():
        raise ValueError(
            f"{yes.sum():g} of {many.sum():g} had the event, so there is nothing to compare; include more people."
        )
    cells, many, yes = cells[many > 0], many[many > 0], yes[many > 0]
    group = group_codes(cells[fold], folds)
    coded = {name: codes(cells, name) for name in predictors}
    rows, where = collapse(np.column_stack([np.zeros(len(many), dtype=int), *(c for c, _ in coded.values())]))
    many_of, yes_of = sum_by(where, np.column_stack([many, yes]), len(rows)).T
    blocks, levels, table = [], {}, []
    for (name, (_, names)), code in zip(coded.items(), rows.T[1:], strict=True):
        size, with_it = np.bincount(code, many_of, len(names)), np.bincount(code, yes_of, len(names))
        order = np.r_[size.argmax(), np.delete(np.arange(len(names)), size.argmax())]
        levels[name] = tuple(names[i] for i in order)
        blocks.append(np.eye(len(names))[:, order[1:]][code])
        table += [(name, names[i], size[i], with_it[i]) for i in order]
    design = np.hstack([np.ones((len(rows), 1)), *blocks])
    prior = np.eye(design.shape[1])[1:]
    half = np.full(len(prior), 0.5)
    coefficients, bread, _ = maximum(np.vstack([design, prior]), np.r_[many_of, 2 * half], np.r_[yes_of, half])
    linear = design @ coefficients
    likelihood = yes_of @ special.log_expit(linear) + (many_of - yes_of) @ special.log_expit(-linear)
    scores = design[where] * (yes - many * special.expit(linear)[where])[:, None]
    covariance, quantile = clustered(bread, scores, pd.factorize(group)[0])
    found = pd.DataFrame(table, columns=["predictor", "level", "n", "events"])
    first = ~found["predictor"].duplicated().to_numpy()
    effect, reach = np.zeros(len(found)), np.full(len(found), math.nan)
    effect[~first], reach[~first] = coefficients[1:], quantile * np.sqrt(np.diag(covariance))[1:]
    effect[~first & ((found["events"] == 0) | (found["events"] == found["n"])).to_numpy()] = math.nan
    for at, (name, value) in enumerate({"odds_ratio": effect, "low": effect - reach, "high": effect + reach}.items()):
        found.insert(2 + at, name, np.exp(value))
    pulls = sum_by(group, scores, folds) @ bread
    return Logistic(levels, coefficients, covariance, pulls, found, float(likelihood))


def maximum(design: np.ndarray, n: np.ndarray, yes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coefficients of a logistic regression, their covariance, and which of them are identified."""

    def likelihood(at: np.ndarray) -> float:
        return float(yes @ special.log_expit(design @ at) + (n - yes) @ special.log_expit(-design @ at))

    coefficients, reached = np.zeros(design.shape[1]), likelihood(np.zeros(design.shape[1]))
    for _ in range(200):  # Newton's method, with no step longer than 4 in log-odds or too long to gain
        chance, other = special.expit(design @ coefficients), special.expit(-design @ coefficients)
        root = np.sqrt(n * chance * other)
        inverse = np.linalg.pinv(root[:, None] * design)
        pull = yes * other - (n - yes) * chance
        step = inverse @ (pull / root)
        gain = float(step @ (design.T @ pull))
        step /= max(1.0, np.abs(design @ step).max(initial=0) / 4)
        while (ahead := likelihood(coefficients + step)) < reached - 1e-12 * abs(reached):
            step = step / 2
        coefficients, reached = coefficients + step, ahead
        if gain < 1e-10:
            break
    identified = np.isclose(np.diag(np.linalg.pinv(design) @ design), 1)
    return coefficients, inverse @ inverse.T, identified


def clustered(inverse: np.ndarray, pulls: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the sandwich covariance from the score of each row (clusters coded 0, 1 ...), and its t quantile."""
    clusters = cluster.max() + 1
    if clusters < 2:
        return np.full_like(inverse, math.nan), math.nan
    sums = sum_by(cluster, pulls, clusters) @ inverse
    return sums.T @ sums * clusters / (clusters - 1), float(stats.t.isf((1 - 0.95) / 2, clusters - 1))


def counts(cells: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column of counts, checked."""
    found = column(_present(cells, name), name)
    refuse(found < 0, f"{name} is negative", "Counts are 0 or more.")
    return found


def codes(cells: pd.DataFrame, name: str) -> tuple[np.ndarray, list[object]]:
    """Return the code of each row's level in a column, and the levels in order."""
    found, levels = pd.factorize(_present(cells, name), sort=True)
    return found, list(levels)


def _present(cells: pd.DataFrame, name: str) -> pd.Series:
    complete(cells, [name])
    return cells[name]
