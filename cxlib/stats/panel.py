"""A balanced panel (every unit in every period), read from a frame and checked, for comparisons over time."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.stats.checks import column, complete, frequency_weights, numbers, refuse
from cxlib.stats.draws import summed


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

        ``influence`` (units x k) is that of one unit on each value.
        """
        codes = np.arange(len(self.first)) if self.codes is None else self.codes
        unit, place = np.indices(influence.shape)
        moved = self.weights[unit] * influence
        return values + summed(np.asarray(weights, dtype=float) - 1, codes[unit], moved, (place,), influence.shape[1:])

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
    frame, _ = weighted_rows(frame, [outcome, unit, period], cluster, weights)
    if frame.empty:
        raise ValueError("The panel has no rows: check the selection.")
    if frame.duplicated([unit, period]).any():
        raise ValueError("A unit has a period more than once: keep one row of each.")
    fixed = list(dict.fromkeys(name for name in (first_treated, weights, cluster) if name not in (None, unit)))
    if len(frame[[unit, *fixed]].drop_duplicates()) > frame[unit].nunique():
        raise ValueError(f"A unit has more than one value of {', '.join(fixed)}: each is the same in all periods.")
    each = frame.drop_duplicates(unit)  # units in the order in which they come
    wide = frame.pivot(index=unit, columns=period, values=outcome).loc[each[unit]]
    if wide.isna().to_numpy().any():
        raise ValueError("A unit has no row for a period that others have: fill the gaps or exclude such units.")
    periods, first = _whole(wide.columns, period), _whole(each[first_treated], first_treated)
    if periods[0] < 0 and (first == 0).any():
        raise ValueError(f"In {first_treated} 0 means never, but 0 is also a period: count the periods from 1.")
    first[~((first != 0) & (first <= periods[-1]))] = math.inf
    names = each[cluster or unit]
    codes, names = (None, names) if cluster is None else pd.factorize(names)
    w = np.ones(len(each)) if weights is None else column(each[weights], weights)
    kept = first > periods[0]
    panel = Panel(wide.to_numpy(float), periods, first, w, codes, list(names)).part(kept)
    if kept.all():
        return panel, ""
    return panel, (
        f"{(~kept).sum()} of {len(each)} units were treated in or before period {periods[0]:g} and are excluded, "
        "because they were never observed untreated."
    )


def weighted_rows(
    frame: pd.DataFrame, columns: Sequence[str], cluster: str | None, weights: str | None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows with weight, and the weights; ValueError for a column that is absent or has missing values."""
    complete(frame, [*columns, *(name for name in (cluster, weights) if name is not None)])
    w = frequency_weights(None if weights is None else frame[weights], len(frame))
    return frame[w > 0], w[w > 0]


def _whole(values: pd.Series | pd.Index, name: str) -> np.ndarray:
    found = numbers(values)
    refuse(np.isfinite(found) & (found != np.round(found)), f"{name} is not a whole number", "Count periods.")
    return found
