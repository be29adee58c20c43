"""Money over time: present value, internal rate of return, payback and the conversions between rates.

All rates are fractions per period (0.05 is 5 %). What books differ on - when the first flow falls, how an annual
rate is split - has no default.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

_FIRST_FLOW = {"now": 0, "end": 1}


def npv(rate: float, cash_flows: ArrayLike, first_flow: str) -> float:
    """Present value of a row of cash flows, one a period, at ``rate`` per period.

    ``first_flow`` is "now" (the first is not discounted) or "end" (it comes at the end of the first period, as
    in spreadsheets). Brealey, Myers & Allen ch. 2. Raises ValueError for a rate of -1 or less.
    """
    flows = _flows(cash_flows)
    return float(flows @ discount_factors(rate, len(flows), first_flow))


def discount_factors(rate: float, periods: int, first_flow: str) -> np.ndarray:
    """What 1 paid in each of ``periods`` periods is worth today (array), at ``rate`` per period."""
    _check_rate(rate)
    if periods != int(periods) or periods < 0:
        raise ValueError(f"periods must be a whole number, 0 or more, not {periods}.")
    return (1.0 + rate) ** -(np.arange(int(periods)) + _delay(first_flow))


def irr(cash_flows: ArrayLike) -> float:
    """Rate per period at which the cash flows, one a period, have present value 0.

    It exists and is the only one when the flows change sign exactly once; otherwise ValueError, because a row
    with several sign changes can have several such rates (Brealey, Myers & Allen ch. 5).
    """
    flows = np.trim_zeros(_flows(cash_flows))
    signs = np.sign(flows[flows != 0])
    changes = int((np.diff(signs) != 0).sum())
    if changes != 1:
        raise ValueError(
            f"The cash flows change sign {changes} times; the internal rate of return needs exactly one change. "
            "Use the net present value at your own rate instead."
        )
    times = np.arange(len(flows))

    def value(log_growth: float) -> float:
        exponents = -log_growth * times
        return float(flows @ np.exp(exponents - exponents.max()))  # scaled: the sign and the root stay the same

    width = 1.0
    while np.sign(value(-width)) == np.sign(value(width)):
        width *= 2
    return math.expm1(optimize.brentq(value, -width, width, xtol=1e-14))


def payback(cash_flows: ArrayLike) -> float:
    """Periods until the sum of the cash flows, the first now, turns from negative to 0 or more.

    Counted within a period in proportion; 0 if the sum is never negative, ``math.inf`` if it never turns. A later
    relapse does not count: see the net present value for the whole path.
    """
    return _time_to_break_even(_flows(cash_flows), delay=0)


def discounted_payback(rate: float, cash_flows: ArrayLike, first_flow: str) -> float:
    """Periods from now until the discounted cash flows have paid back; otherwise as ``payback``."""
    flows = _flows(cash_flows)
    return _time_to_break_even(flows * discount_factors(rate, len(flows), first_flow), _delay(first_flow))


def per_period_rate(annual_rate: float, periods: float, convention: str) -> float:
    """Rate for one of ``periods`` equal parts of a year, such as 12 for months.

    ``convention`` is "effective" (compounds to the annual rate) or "nominal" (the annual rate is divided).
    """
    _check_rate(annual_rate)
    if not (math.isfinite(periods) and periods > 0):
        raise ValueError(f"periods must be above 0, such as 12 for months, not {periods}.")
    if convention == "effective":
        return math.expm1(math.log1p(annual_rate) / periods)
    if convention == "nominal":
        return annual_rate / periods
    raise ValueError(f"convention must be 'effective' or 'nominal', not {convention!r}.")


def annual_from_monthly(monthly_rate: float) -> float:
    """Share lost in twelve months when ``monthly_rate`` (0-1) of those left is lost each month."""
    if not 0 <= monthly_rate <= 1:
        raise ValueError(f"monthly_rate must lie between 0 and 1 (0.02 is 2 %), not {monthly_rate}.")
    return 1 - (1 - monthly_rate) ** 12


def annuity_value(margin: float, retention: float, rate: float, first_flow: str, periods: int | None = None) -> float:
    """Present value of ``margin`` per period from one customer who stays each period with chance ``retention``.

    ``first_flow`` names the convention, on which textbooks differ by a third for the same inputs (Fader & Hardie
    note 024; Gupta & Lehmann 2003): "now" - paid at the start of each period, the first at once; "end" - each
    period's margin is booked at its end, the first for certain; "renewal" - the first is paid at the first
    renewal, by those who renew. ``periods`` is the number of payments, None for no end. Raises ValueError where
    an endless row of payments has no finite value.
    """
    _check_rate(rate)
    if not 0 <= retention <= 1:
        raise ValueError(f"retention must lie between 0 and 1 (0.8 is 80 %), not {retention}.")
    first_payment = {"now": margin, "end": margin / (1 + rate), "renewal": margin * retention / (1 + rate)}
    if first_flow not in first_payment:
        raise ValueError(f"first_flow must be 'now', 'end' or 'renewal', not {first_flow!r}.")
    ratio = retention / (1 + rate)
    if periods is not None:
        if periods != int(periods) or periods < 0:
            raise ValueError(f"periods must be a whole number, 0 or more, not {periods}.")
        return float(first_payment[first_flow] * (ratio ** np.arange(int(periods))).sum())
    if ratio >= 1:
        raise ValueError("Payments that never shrink have no finite value: give the number of periods.")
    return first_payment[first_flow] / (1 - ratio)


def return_on_investment(benefit: float, cost: float) -> float:
    """Net gain per unit spent, (benefit - cost) / cost: 0.25 is a return of 25 %. ``cost`` must be above 0."""
    if not (math.isfinite(cost) and cost > 0):
        raise ValueError(f"Return on investment needs a cost above 0, not {cost}: enter what the programme costs.")
    return (benefit - cost) / cost


def _flows(cash_flows: ArrayLike) -> np.ndarray:
    """Cash flows as one array, none missing."""
    flows = np.asarray(cash_flows, dtype=float)
    if flows.ndim != 1 or not flows.size or not np.isfinite(flows).all():
        raise ValueError("cash_flows must be one list of finite numbers, one a period; enter 0 where none flows.")
    return flows


def _check_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > -1):
        raise ValueError(f"A rate must be a fraction above -1 (0.05 is 5 %), not {rate}.")


def _delay(first_flow: str) -> int:
    """Periods from now to the first flow."""
    if first_flow not in _FIRST_FLOW:
        raise ValueError(f"first_flow must be 'now' or 'end', not {first_flow!r}.")
    return _FIRST_FLOW[first_flow]


def _time_to_break_even(flows: np.ndarray, delay: int) -> float:
    """Time at which the running sum turns from negative to 0 or more; the first flow falls at ``delay``."""
    total = np.cumsum(flows)
    total[np.abs(total) < 1e-12 * np.abs(flows).sum()] = 0  # rounding is not a debt
    if (total >= 0).all():
        return 0.0
    turns = np.flatnonzero((total[:-1] < 0) & (total[1:] >= 0))
    if not turns.size:
        return math.inf
    before = int(turns[0])
    return float(delay + before - total[before] / flows[before + 1])
