"""Values that come up far more often than those beside them: a machine's doing, or heaping, in a smooth distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from cxlib.stats.checks import column, frequency_weights


def spikes(
    values: ArrayLike, counts: ArrayLike, neighbours: int = 5, ratio: float = 5.0, chance: float = 0.001
) -> pd.DataFrame:
    """Find the values whose count towers over those of their neighbours on both sides.

    ``values`` are distinct numbers in any order, ``counts`` how often each was seen. The neighbours of a value are the
    nearest values seen at all, ``neighbours`` of them on each side (fewer at the ends): whole days are compared with
    whole days and hours with hours, whatever the data were rounded to. What is expected is the median count of the
    higher side, so neither a steep slope nor a second spike close by deceives. A spike is at least ``ratio`` times that,
    and no play of chance: given the sum of its own count and of as many expected ones as it has neighbours on that
    side, so large a part of it has probability below ``chance`` / (number of values), Bonferroni's bound.

    Returns the spikes by value: value, n, expected. Nothing is a spike where fewer than ``neighbours`` values lie on
    its left. Errors: ValueError for values missing or given twice, and counts that are no counts.

    The conditional test of one Poisson count against others: Przyborowski & Wilenski 1940 (Biometrika 31:313).
    """
    values = column(values, "values")
    if np.unique(values).size != values.size:
        raise ValueError("values has a value twice: add up its counts first.")
    empty = pd.DataFrame({"value": values[:0], "n": values[:0], "expected": values[:0]})
    if not values.size:
        return empty
    counts = frequency_weights(counts, values.size)
    order = np.argsort(values)
    order = order[counts[order] > 0]
    values, counts = values[order], counts[order]
    if values.size <= neighbours:
        return empty
    beside = np.lib.stride_tricks.sliding_window_view(counts, neighbours)
    left = np.r_[np.full(neighbours, np.inf), np.median(beside, axis=1)[:-1]]
    right = np.zeros(values.size)
    right[:-neighbours] = np.median(beside, axis=1)[1:]
    for i in range(values.size - neighbours, values.size - 1):  # fewer are left: those there are
        right[i] = np.median(counts[i + 1 :])
    expected = np.maximum(left, right)
    high = np.isfinite(expected) & (counts >= ratio * expected)
    n, usual = counts[high], expected[high]
    p = stats.binom.sf(np.round(n) - 1, np.round(n + neighbours * usual), 1 / (neighbours + 1))
    found = p * values.size < chance
    return pd.DataFrame({"value": values[high], "n": n, "expected": usual})[found].reset_index(drop=True)
