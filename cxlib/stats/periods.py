"""How far periods differ: good and bad months, with their memory and season, for intervals of what will come.

The logs of events against what a constant rate expects are a mean, a season of twelve periods, an autoregression of the
first order and the luck of counts. Spread, memory and season are not chosen but averaged over a grid, by restricted
likelihood (Harville 1977, J. Am. Stat. Assoc. 72:320), so that a short past gives a wide interval.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from cxlib.stats.estimate import Estimate

YEAR, FEWEST = 12, 6  # periods of a season; periods in which a difference can be seen
SPREADS = (0.0, 0.02, 0.04, 0.08, 0.16, 0.24, 0.36, 0.54)  # standard deviations of the log of a period
MEMORIES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
SEASONS = (0.05, 0.1, 0.2, 0.4)
SURE = 0.75  # weight of all states with a season from which on there is one


@dataclass(frozen=True, eq=False)
class Periods:
    """What ``fit`` found. ``season`` (YEAR logs, mean 0): of the periods to come, the next one first; 0 if none.

    ``weights`` of the states on the grid, with their ``spreads``, ``memories`` and ``doubts`` (YEAR x YEAR, the
    covariance of the season). ``seen``: number of periods.
    """

    seen: int
    season: np.ndarray
    weights: np.ndarray
    spreads: np.ndarray
    memories: np.ndarray
    doubts: np.ndarray

    @property
    def spread(self) -> float:
        """Return the standard deviation of the log of a period, apart from season and luck."""
        return float(np.sqrt(self.weights @ self.spreads**2))

    def variances(self, past: int, ahead: np.ndarray) -> np.ndarray:
        """Return, by state and column, the variance of coming periods times ``ahead`` (periods x columns).

        They are compared with the mean of the last ``past`` periods, which is the level that a forecast knows.
        """
        ahead = np.asarray(ahead, dtype=float)
        whole = np.vstack([np.tile(-ahead.sum(axis=0) / past, (past, 1)), ahead])
        apart = np.abs(np.subtract.outer(np.arange(len(whole)), np.arange(len(whole))))
        turn = np.arange(len(ahead)) % YEAR
        by_turn = np.array([ahead[turn == k].sum(axis=0) for k in range(YEAR)])
        noise = [s**2 * np.einsum("ic,ij,jc->c", whole, m**apart, whole) if s else np.zeros(whole.shape[1])
                 for s, m in zip(self.spreads, self.memories, strict=True)]  # fmt: skip
        return np.array(noise) + np.einsum("kc,skl,lc->sc", by_turn, self.doubts, by_turn)


def fit(events: np.ndarray, expected: np.ndarray) -> Periods:
    """Estimate how far the rates of periods differ; ``events`` and ``expected`` (above 0), the earliest period first.

    A season is told where two years were seen and the data favour one. With fewer than FEWEST periods no difference can
    be seen, and all states count alike.

    Example: ``periods.fit(left, expected).variances(24, reach)``.
    """
    events, expected = (np.asarray(v, dtype=float) for v in (events, expected))
    size = len(events)
    logs, luck = np.log((events + 0.5) / (expected + 0.5)), np.diag(1 / (expected + 0.5))
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    place = (np.arange(size)[:, None] - size) % YEAR == np.arange(YEAR)  # of each period among those to come
    apart_in_year = np.subtract.outer(np.arange(YEAR), np.arange(YEAR))
    shape = (np.eye(YEAR) + np.cos(2 * np.pi * apart_in_year / YEAR)) / 2  # half a wave over the year, half any month
    seen = place @ shape
    same = seen @ place.T
    grid = [(s, m, 0.0) for s, m in itertools.product(SPREADS, MEMORIES)]
    if size >= 2 * YEAR:
        grid += [(s, m, t) for s, m in itertools.product(SPREADS, MEMORIES) for t in SEASONS]
    heights, means, doubts = np.zeros(len(grid)), np.zeros((len(grid), YEAR)), np.zeros((len(grid), YEAR, YEAR))
    for at, (s, m, t) in enumerate(grid if size >= FEWEST else ()):
        inverse = np.linalg.inv(luck + s**2 * m**apart + t**2 * same)
        one = inverse.sum(axis=0)
        inverse_free = inverse - np.outer(one, one) / one.sum()  # the mean is not known
        heights[at] = (np.linalg.slogdet(inverse)[1] - np.log(one.sum()) - logs @ inverse_free @ logs) / 2
        means[at] = t**2 * seen.T @ inverse_free @ logs
        doubts[at] = t**2 * shape - t**4 * seen.T @ inverse_free @ seen
    level = np.eye(YEAR) - 1 / YEAR
    spreads, memories, seasons = np.array(grid).T
    weights = np.exp(heights - heights.max()) / np.where(seasons > 0, len(SEASONS), 1)
    part = (seasons > 0) == (weights[seasons > 0].sum() > SURE * weights.sum())
    weights = weights[part] / weights[part].sum()
    return Periods(size, level @ (weights @ means[part]), weights, spreads[part], memories[part],
                   level @ doubts[part] @ level)  # fmt: skip


def interval(
    value: float, variance: float, weights: np.ndarray, variances: np.ndarray, n: float, low: float | None = None,
    high: float | None = None,
) -> Estimate:  # fmt: skip
    """Return a value with its 95 % prediction interval: a mixture of normal errors over the states of ``Periods``.

    ``variance``: of what does not depend on the state (parameters, luck); ``variances``: of the periods, by state.
    """
    sds = np.sqrt(variance + variances)
    if not sds.max() > 0:
        return Estimate(value, np.nan, np.nan, np.nan, n)
    sds = np.fmax(sds, 1e-9 * sds.max())
    reach = optimize.brentq(lambda r: weights @ stats.norm.sf(r / sds) - 0.025, 0, 10 * sds.max())
    ends = np.clip([value - reach, value + reach], low, high)
    return Estimate(float(value), *ends.tolist(), float(np.sqrt(weights @ sds**2)), n)
