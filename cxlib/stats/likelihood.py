"""What models of positive parameters share.

A maximum-likelihood fit to weighted rows, and how it moves with each fold.
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy import optimize, sparse

from cxlib.stats.checks import numbers


class LikelihoodModel:
    """A model of positive parameters, fitted by maximum likelihood to weighted rows.

    A model is one small class: its ``names``, its ``starts``, its ``advice`` for a fit that fails, and ``_rows``, the
    log-likelihood of each row with its gradient. Fits run in the logs of the parameters, which stay positive; a change
    of unit (weeks, days) only moves the starting point.

    After ``fit``: ``params`` and ``standard_errors`` (Series by name), ``log_likelihood`` (sum over observations),
    ``n`` (sum of weights), ``converged`` and ``message``. A fit that did not converge says so in ``message``, has no
    standard errors, and its moves are NaN.
    """

    names: ClassVar[tuple[str, ...]]
    starts: ClassVar[tuple[tuple[float, ...], ...]]  # tried in turn, for data whose unit is 1
    advice: ClassVar[str]
    unit_of: ClassVar[tuple[str, ...]] = ()  # the parameters that carry the unit of the data
    reach: ClassVar[float | tuple[float, ...]] = math.log(1e4)  # how far from 1, or the unit, to search, in logs
    try_all: ClassVar[bool] = False  # whether there may be several maxima, so that all starts are tried

    def __init__(self) -> None:
        self.params: pd.Series | None = None
        self.standard_errors: pd.Series | None = None
        self.log_likelihood = math.nan
        self.n = 0.0
        self.converged = False
        self.message = "Not fitted yet."
        self._information: np.ndarray | None = None  # of the logs of the parameters

    def __repr__(self) -> str:
        fitted = "" if self.params is None else ", ".join(f"{k}={v:.4g}" for k, v in self.params.items())
        return f"<{type(self).__name__}({fitted}), log-likelihood {self.log_likelihood:.2f}: {self.message}>"

    def _rows(self, params: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log-likelihood (rows) and its gradient (rows x p) in the logs of the parameters."""
        raise NotImplementedError

    def _slopes(self, theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the gradient of each row (rows x p) in the logs of the parameters."""
        return self._rows(np.exp(theta), rows)[1]

    def _row_hessians(self, theta: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return second derivatives in the logs of the parameters (rows x p x p), by central differences."""
        step = 1e-4
        moves = np.eye(len(theta)) * step
        sides = [self._slopes(theta + move, rows) - self._slopes(theta - move, rows) for move in moves]
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

        theta, information, lowest = shift, None, math.inf
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
            settled = top is not None and not self.try_all
            point, curvature = top or (found.x, None)
            height = loss(point)[0]
            first_top = top is not None and information is None and height < lowest + 1e-10
            if settled or first_top or height < lowest - 1e-10:
                theta, information, lowest = point, curvature, height
            if settled:
                break
        self.converged, self._information = information is not None, information
        error = np.sqrt(np.diag(np.linalg.inv(information))) if self.converged else np.full(len(theta), math.nan)
        self.params = pd.Series(np.exp(theta), index=list(self.names))
        self.standard_errors = self.params * error
        self.log_likelihood = -lowest * self.n
        self.message = self._verdict(error, np.abs(theta - shift) > np.asarray(self.reach) - 0.5)
        return self

    def _polish(
        self, theta: np.ndarray, rows: np.ndarray, weights: np.ndarray, bounds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Finish with Newton steps: return the maximum and the information there, or None on a ridge or at an edge."""
        for _ in range(30):
            score = weights @ self._slopes(theta, rows)
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
        """Return a sentence on whether the fit can be used."""
        if not self.converged:
            at = [f"{name} = {value:.3g}" for name, value in self.params[edge].items()]
            where = f" ({', '.join(at)} ran to the edge)" if at else ""
            return f"No maximum was found{where}: do not use these parameters. {self.advice}"
        if loose := [name for name, size in zip(self.names, error, strict=True) if size > 1]:
            return f"Converged, but the data hardly determine {', '.join(loose)}. {self.advice}"
        return "Converged."

    def moves(self, folds: int, rows: np.ndarray, weights: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """Return how far the logs of the parameters move (folds x p) for each further copy of a fold, to first order.

        ``rows`` (with ``weights``, and the ``fold`` of each) are those of the fit, split by fold. A resample moves the
        logs by (its fold weights - 1) @ these. A parameter that the data hardly determine could diverge if each
        resample were fitted; forecasts hardly depend on it, and first-order moves are enough for them.

        Source: Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans, ch. 6 (infinitesimal jackknife).
        """
        theta = np.log(self._fitted().to_numpy())
        if not self.converged:
            return np.full((folds, len(theta)), math.nan)
        rows, code = collapse(rows)
        cells = sparse.csr_array((weights, (fold, code)), shape=(folds, len(rows)))
        information = -np.tensordot(cells.sum(axis=0), self._row_hessians(theta, rows), axes=1)
        return np.linalg.solve(information, (cells @ self._slopes(theta, rows)).T).T

    def _fitted(self) -> pd.Series:
        if self.params is None:
            raise ValueError(f"{type(self).__name__} has no parameters yet; call fit first.")
        return self.params

    def _aligned(self, params: np.ndarray | None, *data: object) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Align parameters with data, so that results have the axes of the draws first, then those of the data."""
        arrays = np.broadcast_arrays(*(numbers(column) for column in data))
        values = np.asarray(self._fitted() if params is None else params, dtype=float)
        if values.shape[-1:] != (len(self.names),):
            raise ValueError(f"params must end in an axis of {len(self.names)}: {', '.join(self.names)}.")
        shape = values.shape[:-1] + (1,) * arrays[0].ndim
        return [values[..., i].reshape(shape) for i in range(len(self.names))], list(arrays)


def collapse(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal rows: return the unique rows (sorted) and the position of each row among them."""
    frame = pd.DataFrame(rows)
    code = frame.groupby(list(frame.columns), sort=True).ngroup().to_numpy()
    return rows[np.unique(code, return_index=True)[1]], code
