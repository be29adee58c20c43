"""How many customers a trial needs to detect a change, and the smallest change detectable with a given number.

Two groups of one size, customers randomised one by one, a two-sided test at ``ALPHA`` that finds a real change with the
probability ``POWER``. Where whole branches are randomised, customers of a branch are similar and more are needed. Cohen
1988, Statistical Power Analysis for the Behavioral Sciences, ch. 2 and 6, as solved by ``statsmodels.stats.power``.
"""

from __future__ import annotations

import math

import numpy as np
from statsmodels.stats.power import NormalIndPower, TTestIndPower

ALPHA, POWER = 0.05, 0.8
FEWEST = 4.0  # customers of both groups, two in each
_LARGEST_SIZE = 5.0  # standard deviations between the groups: above it a handful is enough, and the noncentral t fails
# A two-sided test is treated as one side at alpha / 2: detecting the change in the wrong direction is next to
# impossible, and the far tail of the noncentral t is numerically unstable.
_TEST = {"alpha": ALPHA / 2, "ratio": 1.0, "alternative": "larger"}


def customers_needed(level: float, change: float) -> float:
    """Return the customers of both groups needed to detect a ``change`` of a share from ``level`` (0-1).

    Uses the arcsine effect size h. The number is not rounded. ValueError for shares outside 0 to 1.

    Example: ``customers_needed(0.08, -0.02)`` for a churn rate to fall from 8 % to 6 %.
    """
    return _total(NormalIndPower(), 2 * math.asin(math.sqrt(level + change)) - 2 * math.asin(math.sqrt(level)))


def smallest_change(level: float, customers: float) -> float:
    """Return the smallest fall of a share from ``level`` (0-1) detectable with ``customers`` in both groups, above 0.

    ``math.inf`` if even a fall to 0 is not detectable.
    """
    angle = math.asin(math.sqrt(level)) - _effect_size(NormalIndPower(), customers) / 2
    return level - math.sin(angle) ** 2 if angle >= 0 else math.inf


def customers_needed_mean(sd: float, change: float) -> float:
    """Return the customers of both groups needed to detect a ``change`` of a mean; ``sd`` is among customers."""
    return _total(TTestIndPower(), change / sd)


def smallest_change_mean(sd: float, customers: float) -> float:
    """Return the smallest change of a mean detectable with ``customers`` in both groups, in the unit of ``sd``."""
    return sd * _effect_size(TTestIndPower(), customers)


def _total(model: NormalIndPower | TTestIndPower, size: float) -> float:
    """Return the size of both groups for an effect size."""
    if not (math.isfinite(size) and size):
        raise ValueError("The change must be a number other than 0: no trial is large enough to detect no change.")
    size = min(abs(size), _LARGEST_SIZE)
    if model.power(size, FEWEST / 2, **_TEST) >= POWER:
        return FEWEST
    return 2 * float(np.squeeze(model.solve_power(size, nobs1=None, power=POWER, **_TEST)))


def _effect_size(model: NormalIndPower | TTestIndPower, customers: float) -> float:
    """Return the smallest effect size detectable with both groups."""
    if not FEWEST <= customers < math.inf:
        raise ValueError(f"{customers:g} customers leave fewer than 2 in a group.")
    model.start_bqexp["effect_size"]["xtol"] = 1e-12  # the default of 1e-5 is coarse for many customers
    return float(np.squeeze(model.solve_power(None, nobs1=customers / 2, power=POWER, **_TEST)))
