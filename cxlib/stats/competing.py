"""Time to an end that another end may forestall, with bands from resamples of the groups (Aalen & Johansen 1978).

``survival.cumulative_incidence`` has the textbook's standard errors for independent people; here several rows may belong
to one person, and quantiles are asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cxlib.stats import draws, intervals, survival
from cxlib.stats.checks import column, frequency_weights, group_codes
from cxlib.stats.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Course:
    """What had become of n rows by each of ``times``: see ``follow``.

    ``done`` and ``waiting`` are shares (1 + draws x times) of those at the goal and of those not ended in any way; row 0
    is as observed, the others are the draws. ``at_risk`` counts those followed up to each time.
    """

    times: np.ndarray
    done: np.ndarray
    waiting: np.ndarray
    at_risk: np.ndarray
    n: float

    def bounds(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the lower and upper band of ``done`` or ``waiting``; where no draw differs, the value itself."""
        nothing = pd.DataFrame(index=range(self.times.size))
        found = draws.estimate_frame(nothing, shares[0], shares[1:], self.n, low=0, high=1)
        return tuple(found[side].fillna(found["value"]).to_numpy() for side in ("low", "high"))

    def quantile(self, share: float) -> Estimate:
        """Estimate the time by which ``share`` (0-1) of all were at the goal; infinite if not reached.

        The interval is where the band of the curve reaches the share (Brookmeyer & Crowley 1982, Biometrics 38:29).
        """

        def reached(heights: np.ndarray) -> float:
            at = np.flatnonzero(heights >= share - 1e-9)
            return float(self.times[at[0]]) if at.size else math.inf

        low, high = self.bounds(self.done)
        return Estimate(reached(self.done[0]), reached(high), reached(low), n=self.n)

    def within(self, time: float) -> Estimate:
        """Estimate the share at the goal within ``time``, NaN where nobody was followed for so long."""
        if time > self.times[-1] and self.waiting[0, -1] > 0:
            return Estimate(math.nan, math.nan, math.nan, n=self.n)
        at = np.searchsorted(self.times, time, side="right") - 1
        return share(self.done[:, at] if at >= 0 else np.zeros(len(self.done)), self.n)


def follow(times: ArrayLike, ended: ArrayLike, fold: ArrayLike, n: ArrayLike, weights_matrix: np.ndarray) -> Course:
    """Follow counts to an end of interest, others forestalling it: the cumulative incidence under each resample.

    ``times`` are numbers in any unit, ``ended`` 1 for the end of interest, 2 for any other, 0 for not ended when last
    seen; ``fold`` is the group code, ``n`` how many rows are alike. ``weights_matrix`` is (1 + draws) x folds, its first
    row ones (``draws.with_plain``). Raises ValueError for missing times, ends other than 0, 1, 2, or bad counts.
    """
    at_times = column(times, "times")
    codes, size = group_codes(fold, weights_matrix.shape[1]), frequency_weights(n, at_times.size)
    ended = column(ended, "ended", at_times.size)
    if not np.isin(ended, (0, 1, 2)).all():
        raise ValueError("ended must be 1 (the end of interest), 2 (another end) or 0 (not ended).")
    distinct, at = np.unique(at_times, return_inverse=True)
    cells = np.zeros((3, weights_matrix.shape[1], distinct.size))
    for cell, part in zip(cells, (size * (ended == 1), size * (ended > 0), size), strict=True):
        np.add.at(cell, (codes, at), part)
    own, ends, exits = (weights_matrix @ cell for cell in cells)
    waiting = survival.survival_matrix(ends, exits)
    falls = -np.diff(waiting, axis=1, prepend=1)
    done = np.cumsum(falls * np.divide(own, ends, out=np.zeros_like(own), where=ends > 0), axis=1)
    at_risk = np.flip(np.cumsum(np.flip(cells[2].sum(axis=0))))
    return Course(distinct, done, waiting, at_risk, float(size.sum()))


def share(drawn: np.ndarray, n: float) -> Estimate:
    """Turn a share (first) and its draws into an estimate; where all draws agree, with Wilson's interval."""
    e = draws.estimate(drawn[0], drawn[1:], n, low=0, high=1)
    return intervals.share(np.clip(drawn[0] * n, 0, n), n) if math.isnan(e.low) else e
