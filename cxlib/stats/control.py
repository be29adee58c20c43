"""A control chart for a statistic estimated in each period, with a stated chance of a false alarm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.signal import lfilter

_RUNS = 20_000  # simulated runs behind a limit: a stated 5 % is met within 0.15 points (one standard error)


@dataclass(frozen=True, eq=False)
class ControlChart:
    """A control chart; see ``ewma_chart``.

    ``table`` has a row per period in the order given: value, centre, ewma, low, high (all on the scale of the values),
    in_baseline and alarm, which is true where ewma lies outside low to high. Baseline periods have no ewma or limits
    (NaN). ``centre`` is the mean of the baseline over all seasons. ``overdispersion`` (1 or more) is the scatter of the
    baseline periods relative to their standard errors. ``limit`` is the distance of the limits from the centre in
    standard errors of the ewma. ``false_alarms`` is the stated chance of any alarm in a stable run.
    """

    table: pd.DataFrame
    centre: float
    overdispersion: float
    limit: float
    false_alarms: float


def ewma_chart(
    values: ArrayLike,
    standard_errors: ArrayLike,
    baseline: int,
    smoothing: float = 0.2,
    false_alarms: float = 0.05,
    seed: int = 1,
    season: Sequence[int] = (),
) -> ControlChart:
    """Monitor a series of estimates for a lasting shift with an exponentially weighted moving average (EWMA).

    ``values`` and ``standard_errors`` hold one independent estimate per period, in order, and its sampling error in the
    same unit. The first ``baseline`` periods (4 or more) give the centre, their inverse-variance weighted mean, and the
    overdispersion, the root of their chi-square over its degrees of freedom, at least 1 (Spiegelhalter 2005).
    ``season``: the season of each period; each season of the baseline then has a centre of its own.

    Each later deviation from the centre is divided by overdispersion times standard error. In their moving average the
    newest has the weight ``smoothing`` (above 0, at most 1); it starts at 0 and has its exact variance in each period
    (Roberts 1959; Lucas & Saccucci 1990). A period with few observations moves it less and has wider limits.

    ``false_alarms`` (0.001 to 0.5) is the highest chance of any alarm in the monitored run while the process stays as
    in the baseline, with the shocks that all its observations share. The limit comes from 20,000 simulated normal runs
    with these standard errors, in which centres and overdispersion are estimated each time. Overdispersion may be any:
    without any, which the chart never takes it to be below, alarms are rarer than stated.

    Example: ``ewma_chart(nps, errors, baseline=8).table.query("alarm")``.
    """
    value, error = np.asarray(values, dtype=float), np.asarray(standard_errors, dtype=float)
    of = pd.factorize(np.asarray(season if len(season) else np.zeros(value.size)))[0]
    precision, first = error[:baseline] ** -2.0, of[:baseline]
    held = np.bincount(first, precision, of.max() + 1)
    centre = (np.bincount(first, precision * value[:baseline], of.max() + 1) / held)[of]
    freedom = baseline - np.unique(first).size
    if freedom < 1 or not held.all():
        raise ValueError("each season needs periods in the baseline, and one of them several")
    chi_square = float(precision @ (value - centre)[:baseline] ** 2)
    overdispersion = max(1.0, math.sqrt(chi_square / freedom))

    later, now = error[baseline:], of[baseline:]
    relative = tuple(1 / (later * np.sqrt(held[now])))
    limit = _limit(freedom, relative, tuple(now), smoothing, false_alarms, seed)
    scale = overdispersion * _average(np.ones_like(later), smoothing) / _average(1 / later, smoothing)
    off = (value - centre)[baseline:] / (overdispersion * later)
    middle = centre[baseline:]
    ewma = middle + scale * _average(off, smoothing)
    reach = limit * scale * _standard_deviations(later.size, smoothing)
    table = pd.DataFrame({"value": value, "centre": centre})
    for name, column in {"ewma": ewma, "low": middle - reach, "high": middle + reach}.items():
        table[name] = np.r_[np.full(baseline, math.nan), column]
    table["in_baseline"] = table.index < baseline
    table["alarm"] = (table["ewma"] < table["low"]) | (table["ewma"] > table["high"])
    whole = float(np.average(value[:baseline], weights=precision))
    return ControlChart(table, whole, overdispersion, limit, false_alarms)


def standardised_ewma(deviations: np.ndarray, smoothing: float) -> np.ndarray:
    """Return the moving average of standardised deviations divided by its own standard deviation, period by period.

    ``deviations`` (..., periods) have mean 0 and variance 1 in a stable process with known parameters. The average
    starts at 0; after t periods its variance is s / (2 - s) * (1 - (1 - s)^(2 t)), with s the ``smoothing`` (Lucas &
    Saccucci 1990). The result has the shape of ``deviations``.
    """
    return _average(deviations, smoothing) / _standard_deviations(deviations.shape[-1], smoothing)


def _average(deviations: np.ndarray, smoothing: float) -> np.ndarray:
    return lfilter([smoothing], [1, smoothing - 1], deviations, axis=-1)


def _standard_deviations(periods: int, smoothing: float) -> np.ndarray:
    return np.sqrt(smoothing / (2 - smoothing) * (1 - (1 - smoothing) ** (2 * np.arange(1, periods + 1))))


@lru_cache(maxsize=512)
def _limit(
    freedom: int,
    relative: tuple[float, ...],
    season: tuple[int, ...],
    smoothing: float,
    false_alarms: float,
    seed: int,
) -> float:
    """Return the limit that a share ``false_alarms`` of stable runs cross.

    ``relative`` is the standard error of the centre over that of each period, ``season`` says which periods share a
    centre. Centres and chi-square of a normal baseline are independent for any standard errors (Cochran 1934), so they
    are drawn directly. The overdispersion is not held at 1 or more: then the limit holds whatever its true value.
    """
    rng = np.random.default_rng(seed)
    off_centre = rng.standard_normal((_RUNS, max(season) + 1))[:, list(season)] * np.asarray(relative)
    overdispersion = np.sqrt(rng.chisquare(freedom, (_RUNS, 1)) / freedom)
    deviations = (rng.standard_normal((_RUNS, len(relative))) - off_centre) / overdispersion
    paths = np.abs(standardised_ewma(deviations, smoothing))
    return float(np.quantile(paths.max(axis=1), 1 - false_alarms))
