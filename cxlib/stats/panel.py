"""A balanced panel (every unit in every period), read from a frame and checked, for comparisons over time."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.stats.checks import column, complete, frequency_weights, refuse


@dataclass(frozen=True)
class Panel:
    """A balanced panel, a row per unit.

    ``outcome`` is units x periods, ``first`` the period of first treatment (infinite: never) and ``weights`` the number
    of units each row represents. ``codes`` is the cluster of each unit (None: the units are the clusters) and ``names``
    are the names of the clusters in the order of the codes.
    """

    outcome: np.ndarray
    periods: np.ndarray
    first: np.ndarray
    weights: np.ndarray
    codes: np.ndarray | None
    names: list[Hashable]

    def clusters(self, units: np.ndarray | slice = slice(None)) -> float:
        """Return the number of clusters among the chosen units (default all), or without clusters their weight."""
        return float(self.weights[units].sum()) if self.codes is None else len(np.unique(self.codes[units]))

    def sum_of_squares(self, influence: np.ndarray) -> float:
        """Return the sum over clusters of squared influence; a unit of weight 3 is three clusters."""
        if self.codes is None:
            return float(self.weights @ influence**2)
        return float((np.bincount(self.codes, self.weights * influence) ** 2).sum())

    def drawn(self, values: np.ndarray, influence: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return values (k) under each row of ``weights`` (draws x clusters), linearised: draws x k.

        ``influence`` (units x k) is that of one unit on each value. ValueError for weights of another shape, and for
        rows of several units without clusters, whose units cannot be drawn separately.
        """
        codes = self.codes
        if codes is None:
            if (self.weights != 1).any():
                raise ValueError("A row of several units cannot be drawn: name the column of its cluster.")
            codes = np.arange(len(self.first))
        matrix = np.asarray(weights, dtype=float)
        if matrix.ndim != 2 or matrix.shape[1] != len(self.names):
            raise ValueError(
                f"weights have shape {matrix.shape}; give draws x clusters, here {len(self.names)} in the order of "
                "`clusters`."
            )
        by_cluster = np.zeros((len(self.names), len(values)))
        np.add.at(by_cluster, codes, self.weights[:, None] * influence)
        return values + (matrix - 1) @ by_cluster

    def drawn_mean(self, units: np.ndarray, seen: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the mean of ``seen`` (units x k) over the chosen units under each row of ``weights``: draws x k."""
        w = self.weights[units]
        means, influence = w @ seen / w.sum(), np.zeros((len(self.first), seen.shape[1]))
        influence[units] = (seen - means) / w.sum()
        return self.drawn(means, influence, weights)

    def part(self, units: np.ndarray) -> Panel:
        """Return the panel of the chosen units (True), with their clusters coded again."""
        codes, kept = None, np.flatnonzero(units)
        if self.codes is not None:
            codes, kept = pd.factorize(self.codes[units])
        names = [self.names[i] for i in kept]
        return Panel(self.outcome[units], self.periods, self.first[units], self.weights[units], codes, names)


def balanced_panel(
    frame: pd.DataFrame,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    weights: str | None,
    cluster: str | None,
) -> tuple[Panel, str]:
    """Read a panel from a frame with a row per unit and period, without the units treated from the first period on.

    Columns are as in ``effects.group_time_effects``. Returns the panel and a sentence about excluded units ("" if
    none). ValueError for gaps, repeated rows, missing values, or a start, weight or cluster that changes within a unit.
    """
    complete(frame, [], present=[first_treated])
    if frame.empty:
        raise ValueError("The panel has no rows: check the selection.")
    frame, w = weighted_rows(frame, [outcome, unit, period], cluster, weights)
    y, time = column(frame[outcome], outcome), _whole(frame, period)
    first = np.full(len(frame), math.inf)
    periods = np.unique(time)
    dated = frame[first_treated].notna().to_numpy() & ~frame[first_treated].isin([0, math.inf]).to_numpy()
    first[dated] = _whole(frame[dated], first_treated)
    if periods[0] < 0 and frame[first_treated].isin([0]).any():
        raise ValueError(f"In {first_treated} 0 means never, but 0 is also a period: count the periods from 1.")
    first[first > periods[-1]] = math.inf
    codes, units = pd.factorize(frame[unit])
    order = np.lexsort((time, codes))
    codes, time = codes[order], time[order]
    repeated = np.flatnonzero((np.diff(codes) == 0) & (np.diff(time) == 0))
    if repeated.size:
        row = repeated[0]
        raise ValueError(f"Unit {units[codes[row]]} has period {time[row]:g} more than once: keep one row of each.")
    short = np.flatnonzero(np.bincount(codes) < len(periods))
    if short.size:
        gap = np.setdiff1d(periods, time[codes == short[0]])[0]
        raise ValueError(
            f"Unit {units[short[0]]} has no row for period {gap:g} ({short.size} of {len(units)} units have gaps). "
            "Every unit is needed in every period: fill the gaps or exclude those units."
        )

    def per_unit(name: str, values: np.ndarray) -> np.ndarray:
        by_unit = values[order].reshape(len(units), len(periods))
        changing = np.flatnonzero((by_unit != by_unit[:, :1]).any(axis=1))
        if changing.size:
            raise ValueError(f"Unit {units[changing[0]]} has more than one {name}: it must be the same in each period.")
        return by_unit[:, 0]

    first, w = per_unit(first_treated, first), per_unit(weights or "weight", w)
    clusters, names = None, units
    if cluster is not None:
        clusters, names = pd.factorize(frame[cluster])
        clusters = per_unit(cluster, clusters)
    kept = first > periods[0]
    panel = Panel(y[order].reshape(len(units), -1), periods, first, w, clusters, list(names)).part(kept)
    if kept.all():
        return panel, ""
    return panel, (
        f"{(~kept).sum()} of {len(units)} units were treated in or before period {periods[0]:g} and are excluded, "
        "because they were never observed untreated."
    )


def weighted_rows(
    frame: pd.DataFrame, columns: Sequence[str], cluster: str | None, weights: str | None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows with weight, and the weights; ValueError for a column that is absent or has missing values."""
    complete(frame, [*columns, *(name for name in (cluster, weights) if name is not None)])
    w = frequency_weights(None if weights is None else frame[weights], len(frame))
    return frame[w > 0], w[w > 0]


def _whole(frame: pd.DataFrame, name: str) -> np.ndarray:
    numbers = column(frame[name], name)
    refuse(numbers % 1 != 0, f"{name} is not a whole number", "Count periods, such as months from the first one.")
    return numbers
