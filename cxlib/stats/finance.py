"""Money over time: present value, payback, return and conversions between rates.

All rates are fractions per period (0.05 is 5 %). Textbooks differ on when the first flow falls and how an annual rate
is split, so neither has a default.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

_FIRST_FLOW = {"now": 0, "end": 1}  # periods from now to the first flow


def npv(rate: float, cash_flows: ArrayLike, first_flow: str) -> float:
    """Return the present value of cash flows, one per period, at ``rate`` per period.

    ``first_flow`` is "now" (the first flow is not discounted) or "end" (it falls at the end of the first period, as in
    spreadsheets). ValueError for a rate of -1 or less. Brealey, Myers & Allen, Principles of Corporate Finance, ch. 2.

    Example: ``npv(0.1, [-10_000, 3_000, 4_200, 6_800], "end")`` is 1,188.44.
    """
    flows = _flows(cash_flows)
    return float(flows @ discount_factors(rate, len(flows), first_flow))


def discount_factors(rate: float, periods: int, first_flow: str) -> np.ndarray:
    """Return what 1 paid in each of ``periods`` periods is worth today (array), at ``rate`` per period."""
    _check_rate(rate)
    if periods != int(periods) or periods < 0:
        raise ValueError(f"periods must be a whole number, 0 or more, not {periods}.")
    if first_flow not in _FIRST_FLOW:
        raise ValueError(f"first_flow must be 'now' or 'end', not {first_flow!r}.")
    return (1.0 + rate) ** -(np.arange(int(periods)) + _FIRST_FLOW[first_flow])


def payback(cash_flows: ArrayLike) -> float:
    """Return the number of periods until the sum of the cash flows, the first now, turns from negative to 0 or more.

    Within a period the sum is interpolated. It is 0 if the sum is never negative and ``math.inf`` if it never turns.
    Later losses do not count; the net present value covers the whole path.

    Example: ``payback([-100, 40, 80])`` is 1.75.
    """
    flows = _flows(cash_flows)
    total = np.cumsum(flows)
    total[np.abs(total) < 1e-12 * np.abs(flows).sum()] = 0  # rounding is not a debt
    if (total >= 0).all():
        return 0.0
    turns = np.flatnonzero((total[:-1] < 0) & (total[1:] >= 0))
    if not turns.size:
        return math.inf
    before = int(turns[0])
    return float(before - total[before] / flows[before + 1])


def per_period_rate(annual_rate: float, periods: float, convention: str) -> float:
    """Return the rate for one of ``periods`` equal parts of a year, such as 12 for months.

    ``convention`` is "effective" (compounds to the annual rate) or "nominal" (the annual rate is divided).

    Example: ``per_period_rate(0.12, 12, "nominal")`` is 0.01.
    """
    _check_rate(annual_rate)
    if not (math.isfinite(periods) and periods > 0):
        raise ValueError(f"periods must be above 0, such as 12 for months, not {periods}.")
    if convention == "effective":
        return math.expm1(math.log1p(annual_rate) / periods)
    if convention == "nominal":
        return annual_rate / periods
    raise ValueError(f"convention must be 'effective' or 'nominal', not {convention!r}.")


def return_on_investment(benefit: float, cost: float) -> float:
    """Return the net gain per unit spent, (benefit - cost) / cost: 0.25 is a return of 25 %. ``cost`` is above 0."""
    if not (math.isfinite(cost) and cost > 0):
        raise ValueError(f"Return on investment needs a cost above 0, not {cost}: enter the cost of the programme.")
    return (benefit - cost) / cost


def _flows(cash_flows: ArrayLike) -> np.ndarray:
    """Return the cash flows as one array, none missing."""
    flows = np.asarray(cash_flows, dtype=float)
    if flows.ndim != 1 or not flows.size or not np.isfinite(flows).all():
        raise ValueError("cash_flows must be one list of finite numbers, one per period; enter 0 where nothing flows.")
    return flows


def _check_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > -1):
        raise ValueError(f"A rate must be a fraction above -1 (0.05 is 5 %), not {rate}.")
