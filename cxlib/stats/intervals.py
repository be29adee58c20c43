"""Textbook intervals for shares, net scores (NPS), means and their differences, and the false-discovery rule.

Every interval stays on its scale and contains its value. Where all answers agree the plain standard error is 0, which
would claim certainty; it then comes from the adjusted counts and is never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

from cxlib.stats.checks import z_value
from cxlib.stats.estimate import Estimate

_SHARE_METHODS = {"wilson": "wilson", "agresti-coull": "agresti_coull", "clopper-pearson": "beta"}
_EXTRA_ANSWERS = (0.75, 1.5, 0.75)  # Rocks 2016: three more answers, spread over the scale


def share(successes: float, n: float, method: str = "wilson", confidence: float = 0.95) -> Estimate:
    """Estimate a share from ``successes`` out of ``n``; value and interval on 0-1.

    ``method`` is "wilson" (Wilson 1927), "agresti-coull" (1998), "clopper-pearson" (1934) or "wald"; see Brown, Cai &
    DasGupta 2001, Interval estimation for a binomial proportion. ValueError for an impossible count, an unknown method
    or ``confidence``.

    Example: ``share(81, 263)`` is 0.308 (0.255 to 0.366).
    """
    z = z_value(confidence)
    successes, n = (float(count) for count in _counts("successes and n", (successes, n)))
    if n == 0 or successes > n:
        raise ValueError(f"A share needs 0 <= successes <= n and n > 0, not {successes:g} of {n:g}.")
    value = successes / n
    se = math.sqrt(value * (1 - value) / n)
    if se == 0:
        adjusted = (successes + 2) / (n + 4)  # two more of each kind: Agresti & Coull 1998
        se = math.sqrt(adjusted * (1 - adjusted) / (n + 4))
    if method == "wald":
        low, high = value - z * se, value + z * se
    elif method in _SHARE_METHODS:
        low, high = proportion_confint(successes, n, 1 - confidence, _SHARE_METHODS[method])
    else:
        raise ValueError(f"Unknown method {method!r}: choose one of {[*_SHARE_METHODS, 'wald']}.")
    return _on_scale(value, low, high, 0, 1, se, n)


def share_difference(x1: float, n1: float, x2: float, n2: float, confidence: float = 0.95) -> Estimate:
    """Estimate the share ``x1 / n1`` minus the share ``x2 / n2`` (-1..1) of two independent samples.

    The interval is Newcombe's hybrid score interval (1998, method 10); ``p`` is that of the pooled z test.

    Example: ``share_difference(56, 70, 48, 80)`` is 0.20 (0.05 to 0.33).
    """
    first, second = share(x1, n1, confidence=confidence), share(x2, n2, confidence=confidence)
    gap, pooled = difference(first, second), (x1 + x2) / (n1 + n2)
    p = _p_value(gap.value, math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2)))
    return _on_scale(gap.value, gap.low, gap.high, -1, 1, gap.se, gap.n, p)


def nps(
    detractors: float, passives: float, promoters: float, method: str = "adjusted-wald", confidence: float = 0.95
) -> Estimate:
    """Estimate a net score, promoters minus detractors in points (-100..100), from the three counts.

    ``method`` is "adjusted-wald" (.75, 1.5, .75 answers added: Rocks 2016), "score" (Tango 1998: both ends solve the
    score equation, with its variance at the constrained maximum likelihood) or "wald". ``value`` and ``se`` are those
    of the plain counts for every method. ValueError without answers or for an impossible count.

    Example: ``nps(83, 47, 120)`` is 14.8 points (3.7 to 25.6).
    """
    z = z_value(confidence)
    counts = _net_counts((detractors, passives, promoters))
    value, se = _net_score(counts)
    if method == "wald":
        low, high = value - z * se, value + z * se
    elif method == "adjusted-wald":
        centre, adjusted_se = _adjusted_net_score(counts)
        low, high = centre - z * adjusted_se, centre + z * adjusted_se
    elif method == "score":
        low, high = _score_limits(counts, z)
    else:
        raise ValueError(f"Unknown method {method!r}: choose 'adjusted-wald', 'score' or 'wald'.")
    return _on_scale(value, low, high, -100, 100, se, counts.sum())


def nps_difference(
    first: Sequence[float], second: Sequence[float], method: str = "adjusted-wald", confidence: float = 0.95
) -> Estimate:
    """Estimate the net score of ``first`` minus that of ``second`` in points (-200..200), sign kept.

    Each is a triple of counts (detractors, passives, promoters) of independent samples. ``method`` is "adjusted-wald",
    which adjusts each sample (Lewis & Sauro 2021), or "wald". ``p`` is two-sided and agrees with the interval.

    Example: ``nps_difference((83, 47, 120), (91, 49, 110))``.
    """
    z = z_value(confidence)
    pair = [_net_counts(first), _net_counts(second)]
    (value_1, se_1), (value_2, se_2) = (_net_score(counts) for counts in pair)
    value, se = value_1 - value_2, math.hypot(se_1, se_2)
    centre, spread = value, se
    if method == "adjusted-wald":
        (centre_1, spread_1), (centre_2, spread_2) = (_adjusted_net_score(counts) for counts in pair)
        centre, spread = centre_1 - centre_2, math.hypot(spread_1, spread_2)
    elif method != "wald":
        raise ValueError(f"Unknown method {method!r}: choose 'adjusted-wald' or 'wald'.")
    low, high, p = centre - z * spread, centre + z * spread, _p_value(centre, spread)
    return _on_scale(value, low, high, -200, 200, se, sum(counts.sum() for counts in pair), p)


def mean(
    values: ArrayLike,
    weights: ArrayLike | None = None,
    confidence: float = 0.95,
    low: float | None = None,
    high: float | None = None,
) -> Estimate:
    """Estimate a mean with its t interval, in the unit of ``values`` (one-dimensional).

    ``weights`` counts how often each value occurs; ``low`` and ``high`` are the ends of the scale, if it has any, and
    clip the interval. The interval of a single answer is the whole scale. Where all answers agree the spread is that
    with three more answers (.75, 1.5, .75 at the low end, middle and high end), NaN without a scale.
    """
    values = np.asarray(values, dtype=float)
    weights = np.ones(values.shape) if weights is None else np.asarray(weights, dtype=float)
    values, weights = values[weights > 0], weights[weights > 0]
    floor, ceiling = (-math.inf if low is None else low), (math.inf if high is None else high)
    n = float(weights.sum())
    has_scale = math.isfinite(floor) and math.isfinite(ceiling)
    value = float(values @ weights / n)
    if n <= 1:
        return Estimate(value, *((floor, ceiling) if has_scale else (math.nan, math.nan)), n=n)
    se = math.sqrt(float(weights @ (values - value) ** 2) / (n - 1) / n)
    if np.ptp(values) == 0:
        se = math.nan
        if has_scale:
            spread = np.array([floor, (floor + ceiling) / 2, ceiling, value])
            counts = np.array([*_EXTRA_ANSWERS, n])
            centre = spread @ counts / counts.sum()
            se = math.sqrt(counts @ (spread - centre) ** 2) / counts.sum()
    margin = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * se
    if math.isnan(margin):
        return Estimate(value, math.nan, math.nan, n=n)
    return _on_scale(value, value - margin, value + margin, floor, ceiling, se, n)


def difference(first: Estimate, second: Estimate, correlation: float = 0.0) -> Estimate:
    """Estimate ``first`` minus ``second`` from their own intervals, keeping their asymmetry.

    Method of variance estimates recovery: Newcombe 1998, Zou & Donner 2008; with the ``correlation`` of the two (the
    same people behind both), Zou 2007. ``n`` adds up; ``p`` is that of the interval against 0.
    """
    value = first.value - second.value
    below, above = (
        math.sqrt(max(a * a + b * b - 2 * correlation * a * b, 0))
        for a, b in (
            (first.value - first.low, second.high - second.value),
            (first.high - first.value, second.value - second.low),
        )
    )
    variance = first.se**2 + second.se**2 - 2 * correlation * first.se * second.se
    whole = Estimate(value, value - below, value + above, math.sqrt(max(variance, 0)), first.n + second.n)
    return replace(whole, p=p_against(whole))


def weighted_sum(parts: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """Estimate the sum of independent estimates times positive ``weights``, such as shares of strata.

    As in ``difference``, the squared distances to the limits add up (Zou & Donner 2008). ``n`` adds up.
    """
    value = sum(w * e.value for w, e in zip(weights, parts, strict=True))
    down, up, se = (
        math.sqrt(sum((w * reach) ** 2 for w, reach in zip(weights, reaches, strict=True)))
        for reaches in ([e.value - e.low for e in parts], [e.high - e.value for e in parts], [e.se for e in parts])
    )
    return Estimate(value, value - down, value + up, se, sum(e.n for e in parts))


def p_against(estimate: Estimate, value: float = 0, confidence: float = 0.95) -> float:
    """Return the two-sided p value of an estimate against a fixed ``value``, such as a target (a one-sample test).

    It agrees with the interval: it is below 1 - ``confidence`` where the interval excludes ``value``, and otherwise
    follows the normal curve. NaN without an interval.
    """
    away = estimate.value - value
    reach = estimate.value - estimate.low if away > 0 else estimate.high - estimate.value
    if math.isnan(away) or math.isnan(reach):
        return math.nan
    if away == 0:
        return 1.0
    return float(2 * stats.norm.sf(z_value(confidence) * abs(away) / reach)) if reach > 0 else 0.0


def benjamini_hochberg(p_values: ArrayLike, rate: float = 0.05) -> np.ndarray:
    """Return which of a family of p values are discoveries at the false-discovery ``rate`` (boolean array).

    Benjamini & Hochberg 1995. ValueError for a p value that is missing or outside 0-1.
    """
    return stats.false_discovery_control(np.asarray(p_values, dtype=float), method="bh") <= rate


def _counts(name: str, values: ArrayLike) -> np.ndarray:
    """Return counts as an array, each finite and not negative."""
    counts = np.asarray(values, dtype=float)
    bad = counts[~(np.isfinite(counts) & (counts >= 0))]
    if bad.size:
        raise ValueError(f"{name} must be counts, finite and not negative, not {bad[0]:g}.")
    return counts


def _on_scale(
    value: float, low: float, high: float, floor: float, ceiling: float, se: float, n: float, p: float = math.nan
) -> Estimate:
    """Return an Estimate whose interval is clipped to the scale and contains the value.

    With one or two answers an interval around adjusted counts can miss the plain value; it is extended to it.
    """
    low, high = max(floor, min(low, value)), min(ceiling, max(high, value))
    return Estimate(*(float(number) for number in (value, low, high, se, n, p)))


def _p_value(difference: float, se: float) -> float:
    """Return the two-sided p value of a z test; 1 where nothing differs and nothing varies."""
    return float(2 * stats.norm.sf(abs(difference) / se)) if se > 0 else 1.0


def _net_counts(triple: Sequence[float]) -> np.ndarray:
    """Return the three counts of a net score, checked."""
    counts = _counts("detractors, passives and promoters", triple)
    if counts.size != 3:
        raise ValueError(f"A net score needs three counts (detractors, passives, promoters), not {counts.size}.")
    if counts.sum() == 0:
        raise ValueError("A net score needs at least one answer; check for an empty selection.")
    return counts


def _net_score(counts: np.ndarray) -> tuple[float, float]:
    """Return net score and standard error in points; the adjusted standard error where all answers agree."""
    n = counts.sum()
    if counts.max() == n:
        return 100 * (counts[2] - counts[0]) / n, _adjusted_net_score(counts)[1]
    value = (counts[2] - counts[0]) / n
    return 100 * value, 100 * math.sqrt(((counts[2] + counts[0]) / n - value**2) / n)


def _adjusted_net_score(counts: np.ndarray) -> tuple[float, float]:
    """Return net score and standard error in points after the extra answers."""
    return _net_score(counts + _EXTRA_ANSWERS)


def _score_limits(counts: np.ndarray, z: float) -> tuple[float, float]:
    """Return both ends of the score interval in points; the low end is the high end of the mirror image."""
    detractors, _, promoters = counts
    n = counts.sum()
    low, high = -_upper_score_limit(detractors, promoters, n, z), _upper_score_limit(promoters, detractors, n, z)
    return 100 * low, 100 * high


def _upper_score_limit(gains: float, losses: float, n: float, z: float) -> float:
    """Return the largest net score (-1..1) that the score test at ``z`` does not reject (Tango 1998)."""
    estimate = (gains - losses) / n

    def excess(delta: float) -> float:
        # the most likely share of losses if the net score is delta: root of a x^2 + b x + c
        a, b, c = 2 * n, (2 * n - gains + losses) * delta - gains - losses, -losses * delta * (1 - delta)
        root = math.sqrt(max(b * b - 4 * a * c, 0))
        lost = -2 * c / (b + root) if b > 0 else (root - b) / (2 * a)  # the form that does not cancel
        return (delta - estimate) * math.sqrt(n) - z * math.sqrt(max(2 * lost + delta * (1 - delta), 0))

    start = estimate + 1e-12  # at the estimate itself the variance can be 0
    return float(optimize.brentq(excess, start, 1)) if start < 1 and excess(start) < 0 else min(start, 1.0)
