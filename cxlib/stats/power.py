"""How many customers a trial needs to detect a change, and the smallest change detectable with a given number.

Two groups, customers randomised one by one, a two-sided test. ``power`` is the probability of detecting the change if
it is real and ``share_treated`` the share of all customers in the treated group. Where whole branches are randomised,
customers of a branch are similar and more are needed. Cohen 1988, Statistical Power Analysis for the Behavioral
Sciences, ch. 2 and 6, as solved by ``statsmodels.stats.power``.
"""

from __future__ import annotations

import math

import numpy as np
from statsmodels.stats.power import NormalIndPower, TTestIndPower
from statsmodels.stats.proportion import proportion_effectsize

# A two-sided test at alpha is treated as one side at alpha / 2: detecting the change in the wrong direction is next to
# impossible, and the far tail of the noncentral t is numerically unstable.
_SIDE = "larger"
_LARGEST_SIZE = 5.0  # standard deviations between the groups: above it a handful is enough, and the noncentral t fails


def customers_needed(
    level: float, change: float, power: float = 0.8, alpha: float = 0.05, share_treated: float = 0.5
) -> float:
    """Return the customers of both groups needed to detect a ``change`` of a share from ``level`` (0-1).

    Uses the arcsine effect size h. The number is not rounded. ValueError for shares outside 0 to 1.

    Example: ``customers_needed(0.08, -0.02)`` for a churn rate to fall from 8 % to 6 %.
    """
    if not (0 <= level <= 1 and 0 <= level + change <= 1):
        raise ValueError(f"level {level} and level + change {level + change} must be shares between 0 and 1.")
    return _total(NormalIndPower(), proportion_effectsize(level, level + change), power, alpha, share_treated)


def smallest_change(
    level: float, customers: float, power: float = 0.8, alpha: float = 0.05, share_treated: float = 0.5
) -> float:
    """Return the smallest fall of a share from ``level`` (0-1) detectable with ``customers`` in both groups, above 0.

    ``math.inf`` if even a fall to 0 is not detectable.
    """
    if not 0 < level <= 1:
        raise ValueError(f"level must be a share above 0 and at most 1, not {level}.")
    angle = math.asin(math.sqrt(level)) - _effect_size(NormalIndPower(), customers, power, alpha, share_treated) / 2
    return level - math.sin(angle) ** 2 if angle >= 0 else math.inf


def customers_needed_mean(
    sd: float, change: float, power: float = 0.8, alpha: float = 0.05, share_treated: float = 0.5
) -> float:
    """Return the customers of both groups needed to detect a ``change`` of a mean; ``sd`` is among customers."""
    _check_sd(sd)
    return _total(TTestIndPower(), change / sd, power, alpha, share_treated)


def smallest_change_mean(
    sd: float, customers: float, power: float = 0.8, alpha: float = 0.05, share_treated: float = 0.5
) -> float:
    """Return the smallest change of a mean detectable with ``customers`` in both groups, in the unit of ``sd``."""
    _check_sd(sd)
    return sd * _effect_size(TTestIndPower(), customers, power, alpha, share_treated)


def _total(
    model: NormalIndPower | TTestIndPower, size: float, power: float, alpha: float, share_treated: float
) -> float:
    """Return the size of both groups for an effect size; at least two in each, the fewest with a spread."""
    _check_plan(power, alpha, share_treated)
    if not (math.isfinite(size) and size):
        raise ValueError("The change must be a number other than 0: no trial is large enough to detect no change.")
    size = min(abs(size), _LARGEST_SIZE)
    least = 2 / min(share_treated, 1 - share_treated)
    ratio = (1 - share_treated) / share_treated
    if model.power(size, least * share_treated, alpha / 2, ratio, alternative=_SIDE) >= power:
        return least
    found = model.solve_power(size, nobs1=None, alpha=alpha / 2, power=power, ratio=ratio, alternative=_SIDE)
    return float(np.squeeze(found)) / share_treated


def _effect_size(
    model: NormalIndPower | TTestIndPower, customers: float, power: float, alpha: float, share_treated: float
) -> float:
    """Return the smallest effect size detectable with both groups."""
    _check_plan(power, alpha, share_treated)
    if not (math.isfinite(customers) and customers * min(share_treated, 1 - share_treated) >= 2):
        raise ValueError(f"{customers:g} customers, {share_treated:g} of them treated, leave fewer than 2 in a group.")
    ratio = (1 - share_treated) / share_treated
    model.start_bqexp["effect_size"]["xtol"] = 1e-12  # the default of 1e-5 is coarse for many customers
    found = model.solve_power(
        None, nobs1=customers * share_treated, alpha=alpha / 2, power=power, ratio=ratio, alternative=_SIDE
    )
    return float(np.squeeze(found))


def _check_plan(power: float, alpha: float, share_treated: float) -> None:
    for name, value in (("power", power), ("alpha", alpha), ("share_treated", share_treated)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, not {value}.")
    if power <= alpha:
        raise ValueError(f"power {power} must be above alpha {alpha}, the rate at which chance alone finds a change.")


def _check_sd(sd: float) -> None:
    if not (math.isfinite(sd) and sd > 0):
        raise ValueError(f"sd must be above 0, not {sd}.")
