"""What models of positive parameters share: a maximum-likelihood fit on weighted rows, its verdict and its draws."""

from __future__ import annotations

import math
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from scipy import optimize, sparse

from cxlib.stats.checks import group_codes, numbers
from cxlib.stats.draws import one_step


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
        fold, (rows, code) = group_codes(fold, groups), collapse(rows)
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


def collapse(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal rows: the unique rows (sorted), and which of them each row became."""
    frame = pd.DataFrame(rows)
    code = frame.groupby(list(frame.columns), sort=True).ngroup().to_numpy()
    return rows[np.unique(code, return_index=True)[1]], code
