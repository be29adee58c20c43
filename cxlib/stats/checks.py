"""Checks of input shared by all estimates.

Numbers, counts and follow-up times, with a ValueError that says what to fix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special


def numbers(column: object) -> np.ndarray:
    """Return a column or scalar of any kind as floats; missing is NaN."""
    if isinstance(column, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return column.to_numpy(dtype=float, na_value=math.nan)
    return np.asarray(column, dtype=float)


def frequency_weights(weights: object, rows: int) -> np.ndarray:
    """Return frequency weights as numbers, 1 each if None; ValueError if they are not counts."""
    if weights is None:
        return np.ones(rows)
    weights = numbers(weights)
    if weights.shape != (rows,):
        raise ValueError(f"weights have shape {weights.shape}; give one for each of the {rows} rows.")
    refuse(
        ~(np.isfinite(weights) & (weights >= 0)),
        "the weight is missing or negative",
        "Weights are counts of equal rows.",
    )
    if not weights.sum() > 0:
        raise ValueError("all weights are 0, so there is no data; check the filter that made the counts.")
    return weights


def refuse(bad: np.ndarray, problem: str, remedy: str) -> None:
    """Raise a ValueError that names the first bad row, if there is one."""
    if (rows := np.flatnonzero(bad)).size:
        raise ValueError(f"{problem} in row {rows[0]} (the first row is 0; {rows.size} such rows). {remedy}")


def complete(frame: pd.DataFrame, needed: Sequence[str], present: Sequence[str] = ()) -> None:
    """Raise a ValueError that names absent columns, or missing values in those that are ``needed``."""
    absent = [str(name) for name in (*needed, *present) if name not in frame]
    if absent:
        raise ValueError(f"There is no column {', '.join(absent)}; the frame has {', '.join(map(str, frame.columns))}.")
    missing = {name: int(frame[name].isna().sum()) for name in needed}
    if any(missing.values()):
        counts = ", ".join(f"{name} ({count})" for name, count in missing.items() if count)
        remedy = "fill them, exclude those rows, or give missing values a level of their own"
        raise ValueError(f"Missing values in {counts} of {len(frame)} rows: {remedy}.")


def group_codes(codes: object, groups: int) -> np.ndarray:
    """Return group codes as whole numbers, checked."""
    codes = pd.Series(codes)
    if not pd.api.types.is_numeric_dtype(codes) or not codes.isin(range(groups)).all():
        raise ValueError(
            f"the fold must be a code from 0 to {groups - 1}, because the weights have {groups} columns. "
            "Code names with pandas.factorize, or make weights for more groups."
        )
    return codes.to_numpy(dtype=np.int64)


def z_value(confidence: float) -> float:
    """Return the normal quantile of a two-sided interval, for example 1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}: it must lie between 0 and 1, for example 0.95.")
    return float(special.ndtri(0.5 + confidence / 2))


def column(values: ArrayLike, name: str, rows: int | None = None) -> np.ndarray:
    """Return a column as finite floats; ValueError names the column and what is wrong with it."""
    kind = values.dtype.kind if hasattr(values, "dtype") else "O"
    if (pd.Series(values).dtype.kind if kind == "O" else kind) in "mM":  # objects may be dates
        raise ValueError(f"{name} holds dates or time spans: give numbers in a unit of your choice, such as days.")
    try:
        array = numbers(values)
    except (TypeError, ValueError) as error:
        remedy = "give numbers; for groups, one column of 0 and 1 each (pandas.get_dummies)"
        raise ValueError(f"{name} is not numeric: {remedy}.") from error
    if array.ndim != 1 or rows not in (None, array.size):
        needed = "one number for each row" if rows is None else f"one number for each of the {rows} rows"
        raise ValueError(f"{name} has shape {array.shape}: give {needed}.")
    refuse(np.isnan(array), f"{name} is missing", "Fill it in or exclude such rows.")
    refuse(np.isinf(array), f"{name} is infinite", "Give finite numbers.")
    return array


def follow_up(
    duration: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None, entry: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Return duration, event (bool), weights and entry (or None) as checked arrays of one length.

    Times that differ only by rounding (relative 1e-9) are made equal, because ties are decided by equality.
    """
    duration = column(duration, "duration")
    if not duration.size:
        raise ValueError("There are no rows: an estimate needs at least one.")
    event = column(event, "event", duration.size)
    refuse((event != 0) & (event != 1), "event is not 0 or 1", "Give 1 where it happened and 0 elsewhere.")
    weights = frequency_weights(weights, duration.size)
    if entry is None:
        refuse(duration < 0, "duration is negative", "Time starts at 0: look for dates in the wrong order.")
        duration = _same_times(duration)
    else:
        entry = column(entry, "entry", duration.size)
        duration, entry = np.split(_same_times(np.concatenate([duration, entry])), 2)
        remedy = "A row is at risk after it enters until it ends: exclude rows of no length."
        refuse(entry >= duration, "entry is not before duration", remedy)
    return duration, event == 1, weights, entry


def sum_by(groups: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Return ``values`` (rows x columns) summed by the group number of each row: size x columns."""
    return np.column_stack([np.bincount(groups, part, size) for part in values.T])


def _same_times(times: np.ndarray) -> np.ndarray:
    values, inverse = np.unique(times, return_inverse=True)
    new = np.r_[True, np.diff(values) > 1e-9 * np.abs(values).mean()]
    return values[new][np.cumsum(new) - 1][inverse]
