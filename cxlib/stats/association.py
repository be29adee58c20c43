"""Rank correlation from counts, resampled by group so that rows of one customer do not count as independent."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cxlib.stats.draws import resample, with_plain

_CELLS = 4_000_000  # draws x pairs of values held at a time: 32 MB an array


def rank_correlation(
    x_codes: ArrayLike, y_codes: ArrayLike, fold: ArrayLike, n: ArrayLike | None, weights_matrix: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return Spearman's rank correlation of a count table, and its value under each resample of the folds.

    ``x_codes`` and ``y_codes`` are numbers of which only the order matters. ``fold`` is the group code of each row (0,
    1, 2 ...) and ``n`` the number of observations it represents (None: one each). ``weights_matrix`` is draws x folds,
    as from ``draws.group_weights``. Tied values share their mean rank and are ranked again in each resample.

    Returns the observed value and an array with one value per draw, all from -1 to 1, NaN where one of the two does not
    vary.

    Example: ``draws.estimate(*rank_correlation(x, y, fold, n, weights), n.sum(), -1, 1)``.
    Spearman 1904 (Am J Psychol 15:72); ties: Kendall & Gibbons 1990 (Rank Correlation Methods, ch. 3); resampling of
    whole groups: Field & Welsh 2007 (J R Stat Soc B 69:369).
    """
    columns = {"x": x_codes, "y": y_codes, "fold": fold, "n": 1.0 if n is None else n}
    table = pd.DataFrame({name: np.asarray(column) for name, column in columns.items()})
    matrix = with_plain(weights_matrix)
    pairs = table.groupby(["x", "y"]).ngroups
    blocks = np.array_split(matrix, max(1, -(-len(matrix) * pairs // _CELLS)))
    values = np.concatenate([_of_cells(*resample(table, "fold", ["n"], ["x", "y"], block)) for block in blocks])
    return float(values[0]), values[1:]


def _of_cells(pairs: pd.DataFrame, sums: np.ndarray) -> np.ndarray:
    """Return the rank correlation of the given pairs of values in each draw (draws x pairs x 1 counts)."""
    cells = sums[:, :, 0]
    x, y = (_ranks(pairs[name].to_numpy(), cells) for name in ("x", "y"))
    product, x_square, y_square = ((cells * part).sum(axis=1) for part in (x * y, x**2, y**2))
    scale = np.sqrt(x_square * y_square)
    varies = scale > 1e-12 * cells.sum(axis=1)
    return np.clip(np.divide(product, scale, out=np.full(len(cells), np.nan), where=varies), -1, 1)


def _ranks(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the mean rank of each pair's value in each draw, as a share of all, minus one half (its mean)."""
    order = np.argsort(values, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(values[order]) > 0])
    tied = np.add.reduceat(cells[:, order], first, axis=1)
    total = tied.sum(axis=1, keepdims=True)
    middle = np.cumsum(tied, axis=1) - tied / 2
    shares = np.divide(middle, total, out=np.zeros_like(middle), where=total > 0) - 0.5
    return shares[:, np.searchsorted(values[order][first], values)]
