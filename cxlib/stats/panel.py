"""A balanced panel - every unit in every period - read from a frame and checked, for comparisons over time."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Panel:
    """A balanced panel, a row per unit.

    ``outcome`` is units by periods; ``first`` the period of first treatment, infinite for never; ``weights`` how
    many units each stands for; ``codes`` the cluster of each unit (None: the units are the clusters); ``names``
    those of the clusters, in the order of the codes.
    """

    outcome: np.ndarray
    periods: np.ndarray
    first: np.ndarray
    weights: np.ndarray
    codes: np.ndarray | None
    names: list[Hashable]

    def clusters(self, units: np.ndarray | slice = slice(None)) -> float:
        """Count the clusters among the chosen units (default all); without clusters, the units by weight."""
        return float(self.weights[units].sum()) if self.codes is None else len(np.unique(self.codes[units]))

    def sum_of_squares(self, influence: np.ndarray) -> float:
        """Squared influence summed over clusters; a unit of weight 3 is three alike, each its own cluster."""
        if self.codes is None:
            return float(self.weights @ influence**2)
        return float((np.bincount(self.codes, self.weights * influence) ** 2).sum())

    def drawn(self, values: np.ndarray, influence: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Values (k) under each row of ``weights`` (draws x clusters), linearised: draws x k.

        ``influence`` (units x k) is that of one unit on each value. Raises ValueError for another shape of weights
        and for units of weight without clusters, as a row of units cannot be drawn one by one.
        """
        codes = self.codes
        if codes is None:
            if (self.weights != 1).any():
                raise ValueError("A row that stands for several units cannot be drawn: name the column of its cluster.")
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

    def part(self, units: np.ndarray) -> Panel:
        """Keep the chosen units (True) with their clusters, coded anew."""
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
    """Read a panel from a frame with a row per unit and period, without the units treated from its start on.

    Columns are as in ``cxlib.stats.effects.group_time_effects``. Returns the panel and a sentence about the units
    set aside ("" if none). Raises ValueError for gaps, repeated rows, missing values, or a start, weight or
    cluster that changes within a unit.
    """
    if first_treated not in frame:
        raise ValueError(f"The frame has no column {first_treated}; it has {', '.join(map(str, frame.columns))}.")
    frame, w = complete_rows(frame, [outcome, unit, period], cluster, weights)
    if frame.empty:
        raise ValueError("The panel has no rows: check the selection.")
    y, time, first = (
        finite_numbers(frame, outcome),
        finite_numbers(frame, period, whole=True),
        np.full(len(frame), math.inf),
    )
    periods = np.unique(time)
    dated = frame[first_treated].notna().to_numpy() & ~frame[first_treated].isin([0, math.inf]).to_numpy()
    first[dated] = finite_numbers(frame[dated], first_treated, whole=True)
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
            "Every unit is needed in every period: fill the gaps or leave those units out."
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
        f"{(~kept).sum()} of {len(units)} units were treated from period {periods[0]:g} on or before and are set "
        "aside: nothing is known of them untreated."
    )


def complete_rows(
    frame: pd.DataFrame, columns: Sequence[str], cluster: str | None, weights: str | None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with weight, and the weights; ValueError for a column that is not there or has missing values."""
    needed = [*columns, *(name for name in (cluster, weights) if name is not None)]
    absent = [name for name in needed if name not in frame]
    if absent:
        raise ValueError(f"The frame has no column {', '.join(absent)}; it has {', '.join(map(str, frame.columns))}.")
    missing = {name: int(frame[name].isna().sum()) for name in needed}
    if any(missing.values()):
        counts = ", ".join(f"{name} ({count})" for name, count in missing.items() if count)
        raise ValueError(f"Missing values in {counts} of {len(frame)} rows: fill them or leave those rows out first.")
    if weights is None:
        return frame, np.ones(len(frame))
    w = finite_numbers(frame, weights)
    if (w < 0).any():
        raise ValueError(f"Column {weights} must hold counts, 0 or more.")
    return frame[w > 0], w[w > 0]


def finite_numbers(frame: pd.DataFrame, column: str, whole: bool = False) -> np.ndarray:
    """A column as finite floating-point numbers; ``whole`` refuses fractions."""
    try:
        if frame[column].dtype.kind in "mM":  # numpy would turn dates into nanoseconds
            raise TypeError
        numbers = frame[column].to_numpy(dtype=float)
    except (TypeError, ValueError):
        kind = "whole numbers, such as months counted from the first" if whole else "numbers"
        raise ValueError(f"Column {column} must hold {kind}: recode it.") from None
    if not np.isfinite(numbers).all():
        raise ValueError(f"Column {column} holds an infinite number: correct it.")
    if whole and (numbers % 1 != 0).any():
        raise ValueError(f"Column {column} must hold whole numbers, not {numbers[numbers % 1 != 0][0]:g}.")
    return numbers
