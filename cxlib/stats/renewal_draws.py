"""Renewal models under resamples: fits again to all resamples at once, payments ahead, and the model of one constant rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from cxlib.stats.renewal import RenewalModel

_STEP, _CLOSE = 1e-5, 1e-3  # of log parameters: to take slopes, and to stop
_ALIKE = math.log(1e4)  # where alpha and beta are so large that people are as good as alike
_REACH = math.log(20)  # of any further parameter


class ConstantRate:
    """Everybody renews with the same chance, however long they have been here; asked like a ``RenewalModel``.

    ``at_risk`` renewals came up and ``lost`` of them were not made. A geometric lifetime, the limit of the others where
    people are alike.
    """

    names, converged, message = ("retention",), True, "Converged."

    def __init__(self, at_risk: float, lost: float) -> None:
        self.at_risk, stayed = at_risk, at_risk - lost
        self.params = pd.Series([stayed / at_risk], index=["retention"])
        self.log_likelihood = float(special.xlogy(stayed, stayed / at_risk) + special.xlogy(lost, lost / at_risk))

    def survival(self, t: np.ndarray, params: np.ndarray) -> np.ndarray:
        """Give the share still here after ``t`` renewals (array); the axes of ``params`` (..., 1) lead."""
        return np.asarray(params) ** np.asarray(t, dtype=float)

    def residual_lifetime(self, renewals: np.ndarray, discount_rate: float, params: np.ndarray) -> np.ndarray:
        """Give r / (1 - r / (1 + d)), whatever the ``renewals`` (array) made; the coming payment is not discounted."""
        keep = np.asarray(params) * np.ones_like(np.asarray(renewals, dtype=float))
        with np.errstate(divide="ignore"):
            return keep * (1 + discount_rate) / (1 + discount_rate - keep)


@dataclass(frozen=True, eq=False)
class RenewalFit:
    """A model with its parameters as fitted (row 0) and under each resample: (1 + draws) x p."""

    model: RenewalModel | ConstantRate
    params: np.ndarray

    @property
    def aic(self) -> float:
        """Akaike's information criterion; the rows are the same for all models of the same survivors."""
        return 2 * len(self.model.names) - 2 * self.model.log_likelihood

    def survival(self, until: int) -> np.ndarray:
        """Give the share still here after 0 to ``until`` renewals: (1 + draws) x (1 + until)."""
        return self.model.survival(np.arange(until + 1), self.params)

    def ahead(self, most: int, factors: np.ndarray, passed: float = 0.0) -> np.ndarray:
        """Give the expected number of coming renewals made, each times its factor: (1 + draws) x (1 + most).

        Columns are people who have renewed 0 to ``most`` times; ``factors`` are of the next renewals. ``passed``: of those
        who will have left by the next renewal, the share that has gone already (0 just after the last renewal, or where
        leaving is only possible at one).
        """
        still = self.survival(most + max(len(factors), 1))
        here = still[:, : most + 1] - passed * (still[:, : most + 1] - still[:, 1 : most + 2])
        if not len(factors):
            return np.zeros_like(here)
        coming = np.lib.stride_tricks.sliding_window_view(still[:, 1:], len(factors), axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (coming @ factors) / here


def refits(model: RenewalModel, at_risk: np.ndarray, lost: np.ndarray, rounds: int = 20) -> np.ndarray:
    """Fit a model again under all resamples at once, by Fisher scoring on the chance of leaving at each renewal.

    ``at_risk`` and ``lost`` are (1 + draws) x renewals, row 0 as observed; returns (1 + draws) x p, row 0 the fit itself.
    Where a resample hardly tells alpha and beta apart, its fit runs off to people who are alike, and is stopped there: the
    curve it gives is well known all the same, while one Newton step (``RenewalModel.draws``) may land anywhere.

    Source: McCullagh & Nelder (1989), Generalized Linear Models, ch. 2.5 (scoring).
    """
    theta = np.tile(np.log(model.params.to_numpy()), (len(at_risk), 1))
    ages, moves = np.arange(at_risk.shape[1] + 1), np.eye(theta.shape[1]) * _STEP
    active = np.arange(1, len(at_risk))

    def logit(at: np.ndarray) -> np.ndarray:
        still = np.maximum(model.survival(ages, np.exp(at)), 1e-300)
        keep = np.clip(still[:, 1:] / still[:, :-1], 1e-12, 1 - 1e-12)
        return np.log1p(-keep) - np.log(keep)

    for _ in range(rounds):
        here, n, now = theta[active], at_risk[active], logit(theta[active])
        leave = special.expit(now)
        slopes = np.stack([(logit(here + m) - now) / _STEP for m in moves], axis=2)
        larger = np.arange(len(moves)) == here[:, :2].argmax(axis=1)[:, None]
        stopped = larger & (here[:, :2].max(axis=1) >= _ALIKE - 1e-9)[:, None]
        slopes *= ~stopped[:, None, :]  # people are as good as alike: only their rate still moves
        score = ((lost[active] - n * leave)[:, :, None] * slopes).sum(axis=1)
        information = np.swapaxes(slopes * (n * leave * (1 - leave))[:, :, None], 1, 2) @ slopes
        ridge = 1e-9 * np.trace(information, axis1=1, axis2=2)[:, None, None] + 1e-12
        move = np.linalg.solve(information + ridge * np.eye(len(moves)), score[:, :, None])[:, :, 0]
        move /= np.maximum(1, np.abs(move).max(axis=1, keepdims=True))
        there = here + move
        there[:, :2] -= np.maximum(there[:, :2].max(axis=1) - _ALIKE, 0)[:, None]  # both: the mean stays
        there[:, :2] = np.maximum(there[:, :2], -_ALIKE)
        there[:, 2:] = np.clip(there[:, 2:], -_REACH, _REACH)
        theta[active] = there
        active = active[np.abs(there - here).max(axis=1) > _CLOSE]
        if not active.size:
            break
    return np.exp(theta)
