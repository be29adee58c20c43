"""Renewal models under resamples: refits to all resamples at once, expected payments, and a constant churn rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from cxlib.stats.renewal import RenewalModel

_STEP, _CLOSE = 1e-5, 1e-3  # of log parameters: to take slopes, and to stop
_ALIKE = math.log(1e4)  # largest log of alpha and beta, at which people hardly differ
_REACH = math.log(20)  # of any further parameter


class ConstantRate:
    """Everybody renews with the same probability at any tenure; used like a ``RenewalModel``.

    ``at_risk`` renewals were due and ``lost`` of them were not made. The lifetime is geometric, the limit of the other
    models if people do not differ.
    """

    names, converged, message = ("retention",), True, "Converged."

    def __init__(self, at_risk: float, lost: float) -> None:
        self.at_risk, stayed = at_risk, at_risk - lost
        self.params = pd.Series([stayed / at_risk], index=["retention"])
        self.log_likelihood = float(special.xlogy(stayed, stayed / at_risk) + special.xlogy(lost, lost / at_risk))

    def survival(self, t: np.ndarray, params: np.ndarray) -> np.ndarray:
        """Return the share retained after ``t`` renewals (array); the axes of ``params`` (..., 1) come first."""
        return np.asarray(params) ** np.asarray(t, dtype=float)

    def residual_lifetime(self, renewals: np.ndarray, discount_rate: float, params: np.ndarray) -> np.ndarray:
        """Return r / (1 - r / (1 + d)) for any ``renewals`` (array); the next payment is not discounted."""
        keep = np.asarray(params) * np.ones_like(np.asarray(renewals, dtype=float))
        with np.errstate(divide="ignore"):
            return keep * (1 + discount_rate) / (1 + discount_rate - keep)


@dataclass(frozen=True, eq=False)
class RenewalFit:
    """A model with its parameters as fitted (row 0) and under each resample, (1 + draws) x p."""

    model: RenewalModel | ConstantRate
    params: np.ndarray

    @property
    def aic(self) -> float:
        """Return Akaike's information criterion, comparable between models of the same survivors."""
        return 2 * len(self.model.names) - 2 * self.model.log_likelihood

    def survival(self, until: int) -> np.ndarray:
        """Return the share retained after 0 to ``until`` renewals: (1 + draws) x (1 + until)."""
        return self.model.survival(np.arange(until + 1), self.params)

    def ahead(self, most: int, factors: np.ndarray, passed: float = 0.0) -> np.ndarray:
        """Return the expected number of future renewals, each times its factor: (1 + draws) x (1 + most).

        Columns are customers who have renewed 0 to ``most`` times; ``factors`` belong to the next renewals. ``passed``
        is the share already gone among those who leave by the next renewal (0 just after a renewal, or if customers can
        leave only at renewals).
        """
        still = self.survival(most + max(len(factors), 1))
        here = still[:, : most + 1] - passed * (still[:, : most + 1] - still[:, 1 : most + 2])
        if not len(factors):
            return np.zeros_like(here)
        coming = np.lib.stride_tricks.sliding_window_view(still[:, 1:], len(factors), axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (coming @ factors) / here


def refits(model: RenewalModel, at_risk: np.ndarray, lost: np.ndarray, rounds: int = 20) -> np.ndarray:
    """Refit a model to all resamples at once, by Fisher scoring on the churn probability at each renewal.

    ``at_risk`` and ``lost`` are (1 + draws) x renewals, row 0 as observed; returns (1 + draws) x p, row 0 the fit
    itself. Where a resample hardly determines alpha and beta, its fit moves towards people who do not differ and is
    stopped at ``_ALIKE``; its curve is well determined nevertheless.

    Source: McCullagh & Nelder 1989, Generalized Linear Models, ch. 2.5 (scoring).
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
        slopes *= ~stopped[:, None, :]  # people hardly differ: only their mean rate still moves
        score = ((lost[active] - n * leave)[:, :, None] * slopes).sum(axis=1)
        information = np.swapaxes(slopes * (n * leave * (1 - leave))[:, :, None], 1, 2) @ slopes
        ridge = 1e-9 * np.trace(information, axis1=1, axis2=2)[:, None, None] + 1e-12
        move = np.linalg.solve(information + ridge * np.eye(len(moves)), score[:, :, None])[:, :, 0]
        move /= np.maximum(1, np.abs(move).max(axis=1, keepdims=True))
        there = here + move
        there[:, :2] -= np.maximum(there[:, :2].max(axis=1) - _ALIKE, 0)[:, None]  # both, so that the mean stays
        there[:, :2] = np.maximum(there[:, :2], -_ALIKE)
        there[:, 2:] = np.clip(there[:, 2:], -_REACH, _REACH)
        theta[active] = there
        active = active[np.abs(there - here).max(axis=1) > _CLOSE]
        if not active.size:
            break
    return np.exp(theta)
