"""A number with its interval, and data from which no number can be estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval, standard error and base.

    ``value``, ``low``, ``high`` and ``se`` share one unit; ``n`` is the number of observations behind them
    (the sum of frequency weights); ``p`` is the two-sided p value against no difference, where one is meant.
    A number that cannot be known is NaN, never 0.
    """

    value: float
    low: float
    high: float
    se: float = math.nan
    n: float = math.nan
    p: float = math.nan

    def excludes(self, value: float) -> bool:
        """Return whether the interval lies entirely on one side of ``value``."""
        return self.low > value or self.high < value


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


class NotEstimable(ValueError):
    """Data from which a number cannot be estimated.

    ``reason`` is a short key such as "too-few-groups" and ``facts`` are the numbers behind it; the caller words it.
    """

    def __init__(self, reason: str, **facts: object) -> None:
        self.reason, self.facts = reason, facts
        super().__init__(f"{reason} ({', '.join(f'{k} {v}' for k, v in facts.items())})" if facts else reason)
