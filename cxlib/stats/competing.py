"""Time to an exit when competing exits are possible, with bands from resampled groups (Aalen & Johansen 1978).

``survival.cumulative_incidence`` has textbook standard errors for independent people. Here several rows may belong to
one person, and quantiles are available.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cxlib.stats import draws, intervals, survival
from cxlib.stats.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Course:
    """What happened to n rows by each of ``times``: see ``follow``.

    ``done`` is the share that reached the exit of interest and ``waiting`` the share still at risk, (1 + draws) x
    times, row 0 as observed. ``at_risk`` counts the rows followed up to each time.
    """

    times: np.ndarray
    done: np.ndarray
    waiting: np.ndarray
    at_risk: np.ndarray
    n: float

    def bounds(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper band of ``done`` or ``waiting``; the value itself where no draw differs."""
        nothing = pd.DataFrame(index=range(self.times.size))
        found = draws.estimate_frame(nothing, shares[0], shares[1:], self.n, low=0, high=1)
        return tuple(found[side].fillna(found["value"]).to_numpy() for side in ("low", "high"))

    def quantile(self, share: float) -> Estimate:
        """Estimate the time by which ``share`` (0-1) of all reached the exit of interest; infinite if they did not.

        The interval ends where the bands of the curve reach the share (Brookmeyer & Crowley 1982, Biometrics 38:29).
        """

        def reached(heights: np.ndarray) -> float:
            at = np.flatnonzero(heights >= share - 1e-9)
            return float(self.times[at[0]]) if at.size else math.inf

        low, high = self.bounds(self.done)
        return Estimate(reached(self.done[0]), reached(high), reached(low), n=self.n)

    def within(self, time: float) -> Estimate:
        """Estimate the share that reached the exit of interest within ``time``; NaN beyond the follow-up."""
        if time > self.times[-1] and self.waiting[0, -1] > 0:
            return Estimate(math.nan, math.nan, math.nan, n=self.n)
        at = np.searchsorted(self.times, time, side="right") - 1
        return share(self.done[:, at] if at >= 0 else np.zeros(len(self.done)), self.n)


def follow(times: ArrayLike, ended: ArrayLike, fold: ArrayLike, n: ArrayLike, weights_matrix: np.ndarray) -> Course:
    """Return the cumulative incidence of the exit of interest, with competing exits, under each resample.

    ``times`` are numbers in any unit. ``ended`` is 1 for the exit of interest, 2 for a competing exit and 0 for
    censored. ``fold`` is the group code and ``n`` the number of equal rows. ``weights_matrix`` is (1 + draws) x folds,
    its first row ones (``draws.with_plain``).

    Example: ``follow(hours, ended, fold, n, weights).quantile(0.5)`` is the median time to the exit of interest.
    """
    ended, size = np.asarray(ended), np.asarray(n, dtype=float)
    distinct, at = np.unique(times, return_inverse=True)
    parts = size * (ended == 1), size * (ended > 0), size
    own, ends, exits = (draws.summed(weights_matrix, fold, part, (at,), distinct.shape) for part in parts)
    waiting = survival.survival_matrix(ends, exits)
    falls = -np.diff(waiting, axis=1, prepend=1)
    done = np.cumsum(falls * np.divide(own, ends, out=np.zeros_like(own), where=ends > 0), axis=1)
    at_risk = np.flip(np.cumsum(np.flip(np.bincount(at, size))))
    return Course(distinct, done, waiting, at_risk, float(size.sum()))


def share(drawn: np.ndarray, n: float) -> Estimate:
    """Turn a share (first) and its draws into an estimate, with Wilson's interval where all draws agree."""
    e = draws.estimate(drawn[0], drawn[1:], n, low=0, high=1)
    return intervals.share(np.clip(drawn[0] * n, 0, n), n) if math.isnan(e.low) else e
