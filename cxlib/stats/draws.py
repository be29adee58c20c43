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
from typing import ClassVar, Literal, Self

import numpy as np
import pandas as pd
from scipy import optimize, sparse, stats

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
    codes = _group_codes(counts[fold], groups)
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


class LikelihoodModel:
    """A model of positive parameters, fitted by maximum likelihood to weighted rows, with draws.

    A model is one small class: its ``names``, its ``starts``, its ``advice`` for a fit that fails, and ``_rows``,
    the log-likelihood of each row with its gradient. All work is done in the logs of the parameters: they stay
    positive, and a change of unit (weeks, days) only moves the starting point.

    After ``fit``: ``params`` and ``standard_errors`` (Series by name), ``log_likelihood`` (sum over observations),
    ``n`` (sum of weights), ``converged`` and ``message``. A fit that did not converge says so in ``message``, has
    no standard errors, and its draws are NaN.
    """

    names: ClassVar[tuple[str, ...]]
    starts: ClassVar[tuple[tuple[float, ...], ...]]  # tried in turn, for data whose unit is 1
    advice: ClassVar[str]
    unit_of: ClassVar[tuple[str, ...]] = ()  # the parameters that carry the unit of the data
    reach: ClassVar[float] = math.log(10_000)  # how far from 1, or from the unit, a parameter is looked for

    def __init__(self) -> None:
        self.params: pd.Series | None = None
        self.standard_errors: pd.Series | None = None
        self.log_likelihood = math.nan
        self.n = 0.0
        self.converged = False
        self.message = "Not fitted yet."

    def __repr__(self) -> str:
        fitted = "" if self.params is None else ", ".join(f"{k}={v:.4g}" for k, v in self.params.items())
        return f"<{type(self).__name__}({fitted}), log-likelihood {self.log_likelihood:.2f}: {self.message}>"

    def _rows(self, params: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the log-likelihood (rows) and its gradient (rows x p) in the logs of the parameters."""
        raise NotImplementedError

    def _row_hessians(self, theta: np.ndarray, rows: np.ndarray, step: float = 1e-4) -> np.ndarray:
        """Give second derivatives in the logs of the parameters (rows x p x p), by central differences."""
        sides = [
            self._rows(np.exp(theta + move), rows)[1] - self._rows(np.exp(theta - move), rows)[1]
            for move in np.eye(len(theta)) * step
        ]
        hessians = np.stack(sides, axis=1) / (2 * step)
        return (hessians + hessians.transpose(0, 2, 1)) / 2

    def _maximise(self, rows: np.ndarray, weights: np.ndarray, unit: float = 1.0) -> Self:
        """Fit to rows with frequency weights; ``unit`` is the size of the data, such as the mean age."""
        rows, code = collapse(rows)
        weights = np.bincount(code, weights=weights)
        self.n = float(weights.sum())
        shift = np.log([unit if name in self.unit_of else 1.0 for name in self.names])
        bounds = np.column_stack([shift - self.reach, shift + self.reach])

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            values, gradient = self._rows(np.exp(theta), rows)
            return -(weights @ values) / self.n, -(weights @ gradient) / self.n

        lowest = math.inf
        for start in self.starts:
            found = optimize.minimize(
                loss,
                np.log(start) + shift,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-8},
            )
            top = self._polish(found.x, rows, weights, bounds)
            if top is not None or found.fun < lowest:
                theta, information = top or (found.x, None)
                lowest = loss(theta)[0]
            if top is not None:
                break
        self.converged = information is not None
        error = np.sqrt(np.diag(np.linalg.inv(information))) if self.converged else np.full(len(theta), math.nan)
        self.params = pd.Series(np.exp(theta), index=list(self.names))
        self.standard_errors = self.params * error
        self.log_likelihood = -lowest * self.n
        self.message = self._verdict(error, np.abs(theta - shift) > self.reach - 0.5)
        return self

    def _polish(
        self, theta: np.ndarray, rows: np.ndarray, weights: np.ndarray, bounds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Finish with Newton steps: the top and the information there, or None on a ridge or at an edge."""
        for _ in range(30):
            score = weights @ self._rows(np.exp(theta), rows)[1]
            information = -np.tensordot(weights, self._row_hessians(theta, rows), axes=1)
            if np.linalg.eigvalsh(information)[0] <= 0:
                return None
            step = np.linalg.solve(information, score)
            theta = theta + step / max(1.0, np.abs(step).max())
            if not ((bounds[:, 0] < theta) & (theta < bounds[:, 1])).all():
                return None
            if np.abs(step).max() < 1e-6:
                return theta, information
        return None

    def _verdict(self, error: np.ndarray, edge: np.ndarray) -> str:
        """Say in words whether the fit can be used."""
        if not self.converged:
            at = [f"{name} = {value:.3g}" for name, value in self.params[edge].items()]
            where = f" ({', '.join(at)} ran to the edge)" if at else ""
            return f"No maximum was found{where}: do not use these parameters. {self.advice}"
        if loose := [name for name, size in zip(self.names, error, strict=True) if size > 1]:
            return f"Converged, but the data hardly determine {', '.join(loose)}. {self.advice}"
        return "Converged."

    def _fold_draws(self, fold_weights: np.ndarray, rows: np.ndarray, weights: np.ndarray, fold: object) -> np.ndarray:
        """Give draws of the parameters (draws x p) by ``one_step``, from the rows the model was fitted to."""
        theta = np.log(self._fitted().to_numpy())
        draws, groups = np.shape(fold_weights)
        fold, (rows, code) = _group_codes(fold, groups), collapse(rows)
        if len(fold) != len(code):
            raise ValueError(f"there are {len(fold)} folds for {len(code)} rows; give the fold of each row.")
        values, gradient = self._rows(np.exp(theta), rows)
        if not math.isclose(total := weights @ values[code], self.log_likelihood, rel_tol=1e-6, abs_tol=1e-6):
            raise ValueError(
                f"draws need the rows the model was fitted to: the log-likelihood of these is {total:.2f}, "
                f"of the fit {self.log_likelihood:.2f}."
            )
        if not self.converged:
            return np.full((draws, len(theta)), math.nan)
        cells = sparse.csr_array((weights, (fold, code)), shape=(groups, len(rows)))

        def hessians(at: np.ndarray) -> np.ndarray:
            return (cells @ self._row_hessians(at, rows).reshape(len(rows), -1)).reshape(groups, len(theta), -1)

        moves = np.eye(len(theta)) * 1e-3
        thirds = np.stack([(hessians(theta + move) - hessians(theta - move)) / 2e-3 for move in moves], axis=3)
        return np.exp(one_step(theta, cells @ gradient, hessians(theta), fold_weights, thirds))

    def _fitted(self) -> pd.Series:
        if self.params is None:
            raise ValueError(f"{type(self).__name__} has no parameters yet; call fit first.")
        return self.params

    def _aligned(self, params: np.ndarray | None, *data: object) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Line parameters up with data, so that results have the axes of the draws, then those of the data."""
        arrays = np.broadcast_arrays(*(numbers(column) for column in data))
        values = np.asarray(self._fitted() if params is None else params, dtype=float)
        if values.shape[-1:] != (len(self.names),):
            raise ValueError(f"params must end in an axis of {len(self.names)}: {', '.join(self.names)}.")
        shape = values.shape[:-1] + (1,) * arrays[0].ndim
        return [values[..., i].reshape(shape) for i in range(len(self.names))], list(arrays)


def numbers(column: object) -> np.ndarray:
    """Give a column or a scalar as floats, whatever it came as; missing is NaN."""
    if isinstance(column, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return column.to_numpy(dtype=float, na_value=math.nan)
    return np.asarray(column, dtype=float)


def collapse(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal rows: the unique rows (sorted), and which of them each row became."""
    frame = pd.DataFrame(rows)
    code = frame.groupby(list(frame.columns), sort=True).ngroup().to_numpy()
    return rows[np.unique(code, return_index=True)[1]], code


def frequency_weights(weights: object, rows: int) -> np.ndarray:
    """Give frequency weights as numbers, 1 each if None; ValueError if they are no counts."""
    if weights is None:
        return np.ones(rows)
    weights = numbers(weights)
    if weights.shape != (rows,):
        raise ValueError(f"weights have shape {weights.shape}; give one for each of the {rows} rows.")
    refuse(~(np.isfinite(weights) & (weights >= 0)), "the weight is missing or negative", "Weights count customers.")
    if not weights.sum() > 0:
        raise ValueError("all weights are 0, so there is nobody to learn from; check the filter that made the counts.")
    return weights


def refuse(bad: np.ndarray, problem: str, remedy: str) -> None:
    """Raise ValueError that names the first bad row, if there is one."""
    if (rows := np.flatnonzero(bad)).size:
        raise ValueError(f"{problem} in row {rows[0]} (the first row is 0; {rows.size} such rows). {remedy}")


def _group_codes(codes: object, groups: int) -> np.ndarray:
    """Check group codes and give them as whole numbers."""
    codes = pd.Series(codes)
    if not pd.api.types.is_numeric_dtype(codes) or not codes.isin(range(groups)).all():
        raise ValueError(
            f"the fold must be a code from 0 to {groups - 1}, as the weights have {groups} columns. "
            "Code names with pandas.factorize, or make weights for more groups."
        )
    return codes.to_numpy(dtype=np.int64)
