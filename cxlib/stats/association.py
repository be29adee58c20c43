"""Do two ordered things go together? Rank correlation from counts, with draws that respect repeated rows of one group."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cxlib.stats.checks import column, frequency_weights
from cxlib.stats.draws import resample, with_plain

_CELLS = 4_000_000  # draws x pairs of values held at a time: 32 MB an array


def rank_correlation(
    x_codes: ArrayLike, y_codes: ArrayLike, fold: ArrayLike, n: ArrayLike | None, weights_matrix: np.ndarray
) -> tuple[float, np.ndarray]:
    """Give Spearman's rank correlation of a count table, and its value under each resample of the folds.

    ``x_codes`` and ``y_codes`` are numbers of which only the order counts, ``fold`` the group code of each row (0, 1,
    2 ...), ``n`` how many observations it stands for (None: one each); ``weights_matrix`` is draws x folds, as of
    ``draws.fold_weights``. Tied values share the middle of their ranks, and are ranked anew in each resample.

    Returns the value as observed and an array of one value per draw, both -1 to 1; NaN where one of the two does not
    vary. ``draws.estimate(value, draws, n, -1, 1)`` makes an estimate of them. Errors: ValueError for columns of
    different length, missing codes or counts, and folds outside the matrix.

    Spearman 1904 (Am J Psychol 15:72), ties as in Kendall & Gibbons 1990 (Rank Correlation Methods, chapter 3);
    resampling of whole groups: Field & Welsh 2007 (J R Stat Soc B 69:369).
    """
    x = column(x_codes, "x_codes")
    y, counted = column(y_codes, "y_codes", x.size), frequency_weights(n, x.size)
    if np.size(fold) != x.size:
        raise ValueError(f"fold has {np.size(fold)} rows where {x.size} are expected: give one for each.")
    table = pd.DataFrame({"x": x, "y": y, "fold": np.asarray(fold), "n": counted})
    matrix = with_plain(weights_matrix)
    pairs = table.groupby(["x", "y"]).ngroups
    blocks = np.array_split(matrix, max(1, -(-len(matrix) * pairs // _CELLS)))
    values = np.concatenate([_of_cells(*resample(table, "fold", ["n"], ["x", "y"], block)) for block in blocks])
    return float(values[0]), values[1:]


def _of_cells(pairs: pd.DataFrame, sums: np.ndarray) -> np.ndarray:
    """Correlate the ranks of each row of counts (draws x pairs x 1) of the given pairs of values."""
    cells = sums[:, :, 0]
    x, y = (_ranks(pairs[name].to_numpy(), cells) for name in ("x", "y"))
    product, x_square, y_square = ((cells * part).sum(axis=1) for part in (x * y, x**2, y**2))
    scale = np.sqrt(x_square * y_square)
    varies = scale > 1e-12 * cells.sum(axis=1)
    return np.clip(np.divide(product, scale, out=np.full(len(cells), np.nan), where=varies), -1, 1)


def _ranks(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Give the mid-rank of each pair's value in each row of counts, as a share of all, less one half (the mean)."""
    order = np.argsort(values, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(values[order]) > 0])
    tied = np.add.reduceat(cells[:, order], first, axis=1)
    total = tied.sum(axis=1, keepdims=True)
    middle = np.cumsum(tied, axis=1) - tied / 2
    shares = np.divide(middle, total, out=np.zeros_like(middle), where=total > 0) - 0.5
    return shares[:, np.searchsorted(values[order][first], values)]
