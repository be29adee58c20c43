"""Values far more frequent than their neighbours in a smooth distribution: automatic entries, or heaping."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from cxlib.stats.checks import column, frequency_weights


def spikes(
    values: ArrayLike, counts: ArrayLike, neighbours: int = 5, ratio: float = 5.0, chance: float = 0.001
) -> pd.DataFrame:
    """Find the values whose counts are far above those of their neighbours on both sides.

    ``values`` are distinct numbers in any order, ``counts`` how often each was observed. The neighbours of a value are
    the ``neighbours`` nearest observed values on each side (fewer at the upper end), whatever the data were rounded to.
    The expected count is the median of the higher side, so neither a steep slope nor a second spike nearby misleads. A
    spike is at least ``ratio`` times as frequent and significant: the conditional test of its Poisson count against
    ``neighbours`` expected ones has p below ``chance`` / number of values (Przyborowski & Wilenski 1940, Biometrika
    31:313; Bonferroni).

    Returns the spikes by value: value, n, expected. The first ``neighbours`` values are never spikes. ValueError for
    missing or repeated values and invalid counts.
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
