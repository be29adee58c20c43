"""Checks that could refute an effect: chance alone, a separate trend, a randomisation that did not work as planned."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from cxlib.stats.effects import group_time_effects, hotelling_p
from cxlib.stats.estimate import Estimate
from cxlib.stats.panel import Panel

_SMALL_EXPECTED = 5  # below it the chi-square curve is a poor guide: Cochran 1954


def randomisation_p(
    frame: pd.DataFrame,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    horizon: int,
    weights: str | None = None,
    permutations: int = 499,
    seed: int = 1,
) -> float:
    """Return the p value of the effect summed over ``horizon`` periods, from reassigning the starts at random.

    Columns are as in ``effects.group_time_effects``, with units not yet treated as the comparison. Under no effect the
    starts could have gone to other units. The p value is the share of such assignments, the real one included, whose
    effect is at least as large in either direction. It holds for any number of units if starts were (as if) randomised.

    Effects are compared in standard errors (clustered by unit), because units of unequal size or spread make the plain
    effect reject too often (MacKinnon & Webb 2020, Randomization inference for difference-in-differences with few
    treated clusters, J. Econometrics 218). Where a group or its comparison is a single unit, its standard error is
    unknown and plain effects are compared. ValueError as in ``group_time_effects`` and its ``cumulative``.

    Example: ``randomisation_p(panel, "revenue", "branch", "month", "start", horizon=6)``.
    """
    effects = group_time_effects(frame, outcome, unit, period, first_treated, weights, cluster=unit)
    effects.cumulative(horizon)  # its errors say what is wrong with the panel
    panel = effects.panel
    groups = _through(panel, int(horizon))
    fewest = min(min((panel.first == g).sum(), (panel.first >= g + horizon).sum()) for g in groups)
    starts = np.random.default_rng(seed).permuted(np.tile(panel.first, (permutations, 1)), axis=1)
    drawn = _statistic(panel, np.vstack([panel.first, starts]), groups, int(horizon), fewest > 1)
    return float((drawn >= drawn[0] * (1 - 1e-9)).mean())  # ties that differ only by rounding count


def hidden_trend(estimate: Estimate, months: int) -> float:
    """Return the smallest drift per month that would make the interval of a cumulative effect reach 0.

    ``estimate`` is an effect summed over ``months``. The drift is a separate trend of the treated that begins with the
    treatment: in month k it amounts to k times the drift, in total drift x months (months + 1) / 2. It has the unit of
    the outcome per month, is 0 if the interval already contains 0 and NaN if there is no interval. Compare it with the
    drift before the start, as in Rambachan & Roth 2023, A more credible approach to parallel trends (RES 90).
    """
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return math.nan
    nearest = min(abs(estimate.low), abs(estimate.high)) if estimate.excludes(0) else 0.0
    return nearest / (months * (months + 1) / 2)


def balance(treated_counts: ArrayLike, control_counts: ArrayLike) -> float:
    """Return the p value that both groups have the same mix of levels, to check a randomisation.

    Two rows of counts, a number per level. Pearson's chi-square test, simulated (fixed seed) where a count below 5 is
    expected. Count the units that were randomised: branches, if branches were.
    """
    rows = np.array([treated_counts, control_counts], dtype=float)
    rows = rows[:, rows.sum(axis=0) > 0]
    few = stats.contingency.expected_freq(rows).min() < _SMALL_EXPECTED and rows.shape[1] > 1
    method = stats.MonteCarloMethod(rng=np.random.default_rng(1)) if few else None
    return float(stats.chi2_contingency(rows, correction=False, method=method).pvalue)


def sample_ratio_p(treated: float, control: float, share: float) -> float:
    """Return the p value that units were drawn into the treated arm with the declared chance ``share`` (0-1), exact.

    Fabijan et al. 2019, Diagnosing sample ratio mismatch in online controlled experiments (KDD 2019).

    Example: ``sample_ratio_p(815_482, 821_588, 0.5)``.
    """
    return float(stats.binomtest(round(treated), round(treated + control), share).pvalue)


def joint_p(differences: np.ndarray, groups: float) -> float:
    """Return the p value that all differences are 0, from their draws over so many groups; NaN with too few of either.

    ``differences`` is (1 + draws) x k, row 0 as observed. Hotelling's test; the inverse of a covariance from few draws
    is too large, so the statistic is shrunk (Hartlap, Simon & Schneider 2007, Astronomy & Astrophysics 464).

    Example: ``joint_p(gaps_before, groups=256)``.
    """
    varying = differences.std(axis=0) > 0
    draws, k = len(differences) - 1, int(varying.sum())
    if not k or draws <= k + 2:
        return math.nan
    covariance = np.atleast_2d(np.cov(differences[1:, varying], rowvar=False))
    return hotelling_p(differences[0, varying], covariance * (draws - 1) / (draws - k - 2), groups)


def e_value(ratio: Estimate) -> tuple[float, float]:
    """Return the E-values of a risk ratio and of the end of its interval nearest 1 (1: the interval holds 1).

    What is not known must be linked with being treated and with the outcome, each by at least that risk ratio, to
    explain the ratio away. VanderWeele & Ding 2017, Sensitivity analysis in observational research, Annals of Internal
    Medicine 167.

    Example: ``e_value(Estimate(3.9, 1.8, 8.7))``.
    """

    def of(rr: float) -> float:
        rr = 1 / rr if rr < 1 else rr
        return rr + math.sqrt(rr * (rr - 1))

    nearest = (ratio.low if ratio.low > 1 else ratio.high) if ratio.excludes(1) else 1.0
    return of(ratio.value), of(nearest)


def _through(panel: Panel, horizon: int) -> list[float]:
    """Return the groups compared through the whole horizon: all its periods exist, and some unit starts after it."""
    groups = np.unique(panel.first[np.isfinite(panel.first)])
    latest = panel.first.max()
    return [g for g in groups if np.isin(g + np.arange(horizon), panel.periods).all() and latest >= g + horizon]


def _statistic(panel: Panel, starts: np.ndarray, groups: list[float], horizon: int, studentised: bool) -> np.ndarray:
    """Return the absolute cumulative effect, or its studentised form, under each row of ``starts`` (rows x units).

    The numbers are those of ``group_time_effects(..., cluster=unit).cumulative(horizon)``, for all rows at once.
    """
    w, units = panel.weights, len(panel.first)
    reached = [(starts == g) * w for g in groups]
    sizes = np.column_stack([own.sum(axis=1) for own in reached])
    share = sizes / sizes.sum(axis=1, keepdims=True)
    effects, influence = np.zeros_like(sizes), np.zeros(starts.shape)
    for j, group in enumerate(groups):
        at = int(np.searchsorted(panel.periods, group))
        for now in range(at, at + horizon):
            change = panel.outcome[:, now] - panel.outcome[:, at - 1]
            for sign, side in ((1, reached[j]), (-1, (starts > panel.periods[now]) * w)):
                part = side / side.sum(axis=1, keepdims=True)
                level = part @ change
                effects[:, j] += sign * level
                if studentised:
                    influence += sign * share[:, j, None] * part * (change - level[:, None])
    value = (share * effects).sum(axis=1)
    if not studentised:
        return np.abs(value)
    for j, own in enumerate(reached):  # influence through the sizes of the groups
        influence += own * ((effects[:, j] - value) / sizes.sum(axis=1))[:, None]
    se = np.sqrt((influence**2).sum(axis=1) * units / (units - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.abs(value) / se, nan=0.0, posinf=math.inf)  # 0 / 0: nothing changed anywhere
