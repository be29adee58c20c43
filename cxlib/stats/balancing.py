"""Weights that make a comparison group match another group on everything known beforehand.

Entropy balancing: of all weights that make the weighted means agree exactly, those closest to equal. Hainmueller 2012,
Entropy balancing for causal effects, Political Analysis 20; Zhao & Percival 2017, Entropy balancing is doubly robust,
Journal of Causal Inference 5.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxlib.stats.estimate import NotEstimable

_STEPS = 60
_SAME = 1e-6  # of a mean, in shares of the group
_SOFT = 1e-3  # how far a mean may be off per unit of a slope, in draws that have no exact solution


def indicators(frame: pd.DataFrame, columns: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return a column of 0 and 1 for each level of each text column but its most frequent one, with their names."""
    made, names = [], []
    for column in columns:
        levels = frame[column].value_counts().index
        for level in levels[1:]:
            made.append((frame[column] == level).to_numpy(float))
            names.append(f"{column}: {level}")
    return (np.column_stack(made) if made else np.zeros((len(frame), 0))), names


def drawn_balance(x: np.ndarray, counts: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return ``slopes`` such that rows weighted by counts x exp(x @ slopes) have the means ``target``, in each draw.

    ``x`` is rows x k, ``counts`` the customers behind each row (draws x rows), ``target`` the means (draws x k).
    Returns draws x k; only ratios of the weights (``weights_of``) matter. Row 0 is the observed data.

    NotEstimable where no weights balance the observed data, because ``target`` lies outside the range of the rows. A
    draw without a solution, because it holds nobody of a rare level, is balanced as closely as a small penalty allows.
    """
    counts, target = np.asarray(counts, dtype=float), np.asarray(target, dtype=float)
    if not x.shape[1]:
        return np.zeros((len(counts), 0))
    slopes = np.zeros((len(counts), x.shape[1]))
    products = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    slopes[:1] = _newton(x, products, counts[:1], target[:1], slopes[:1])
    if np.isnan(slopes[0]).any():
        raise NotEstimable("no-balancing-weights")  # nobody in the other group resembles some of this one
    slopes[1:] = _newton(x, products, counts[1:], target[1:], np.repeat(slopes[:1], len(counts) - 1, axis=0))
    lost = np.isnan(slopes).any(axis=1)
    if lost.any():
        start = np.repeat(slopes[:1], lost.sum(), axis=0)
        slopes[lost] = _newton(x, products, counts[lost], target[lost], start, _SOFT)
    return slopes


def weights_of(x: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Return the weight of each row in each draw, draws x rows, scaled so that the largest of a draw is 1."""
    power = slopes @ x.T
    return np.exp(power - power.max(axis=1, keepdims=True)) if x.shape[1] else np.ones((len(slopes), len(x)))


def _newton(
    x: np.ndarray, products: np.ndarray, counts: np.ndarray, target: np.ndarray, slopes: np.ndarray, soft: float = 0.0
) -> np.ndarray:
    """Minimise the convex dual in each draw by Newton steps, halved where they do not lower it; NaN if unbalanced."""
    slopes, k = slopes.copy(), x.shape[1]
    with np.errstate(divide="ignore"):
        logs = np.log(counts)

    def dual(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log of the sum of weights minus the target (plus the penalty), and the shares of the rows."""
        power = at @ x.T + logs
        most = power.max(axis=1, keepdims=True)
        weights = np.exp(power - most)
        total = weights.sum(axis=1, keepdims=True)
        penalty = soft / 2 * (at * at).sum(axis=1)
        return (most + np.log(total))[:, 0] - (at * target).sum(axis=1) + penalty, weights / total

    value, share = dual(slopes)
    for _ in range(_STEPS):
        mean = share @ x
        slope = mean - target + soft * slopes
        open_ = np.abs(slope).max(axis=1) > _SAME / 100
        if not open_.any():
            break
        curve = (share[open_] @ products).reshape(-1, k, k) - mean[open_][:, :, None] * mean[open_][:, None, :]
        curve += max(soft, 1e-10) * np.eye(k)  # levels that always go together have no curvature of their own
        step = np.zeros_like(slopes)
        step[open_] = np.linalg.solve(curve, slope[open_][:, :, None])[:, :, 0]
        step *= np.minimum(1, 5 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
        size = np.ones(len(slopes))
        for _ in range(20):
            tried, shares = dual(slopes - size[:, None] * step)
            worse = tried > value + 1e-12 * np.abs(value)
            if not worse.any():
                break
            size[worse] /= 2
        slopes, value, share = slopes - size[:, None] * step, tried, shares
    slopes[np.abs(share @ x - target + soft * slopes).max(axis=1) > _SAME] = np.nan
    return slopes
