"""Which cells and totals of published tables to hide, so that no small group of people can be identified.

A reader can subtract: a hidden cell is its total minus the other cells. So further cells are hidden besides the small
ones (complementary suppression: Cox 1980, J. Am. Stat. Assoc. 75:377; Willenborg & de Waal 2001, Elements of
Statistical Disclosure Control). Answers add up as people do, so no sum over a small group may be deducible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg, optimize

from cxlib.stats.checks import column, refuse

_ROUNDING = 1e-7  # coefficients of totals are ratios of small whole numbers
_FURTHEST = 3  # people moved per cell in the search for other tables; a cell that needs larger moves counts as known
_PATIENCE = 60.0  # seconds for one search; those for cross tables take less than one


@dataclass(frozen=True)
class Suppression:
    """What not to publish: ``cells`` (k) and ``totals`` (t), True where hidden, also for cells that are never shown."""

    cells: np.ndarray
    totals: np.ndarray


def hide_small(sizes: ArrayLike, totals: ArrayLike, least: int, never_shown: ArrayLike | None = None) -> Suppression:
    """Choose what to hide so that nothing can be deduced about fewer than ``least`` people.

    ``sizes`` (k whole numbers) counts the people of each cell; nobody is in two cells. ``totals`` (t x k masks; t may
    be 0) has a row for each set of cells whose sum is also published: table margins, the grand total. ``never_shown``
    (k) marks cells in no table, such as months outside a window whose longer period is published.

    Cells with 1 to ``least`` - 1 people are hidden, then the smallest cells from which a small group could be deduced;
    cells that turn out not to be needed are shown again. A total that is itself small, or leaves too few people, is
    hidden too. Empty cells count as known and stay visible.

    Returns a Suppression. No group of unpublished cells with fewer than ``least`` people is then a linear combination
    of what is published (exactly, by mixed-integer programming), and each hidden cell has at least two possible sizes.
    Readers who already know a cell, or why it was hidden, can deduce more. ValueError if sizes are not whole numbers,
    shapes do not match, a total has no cells, or so many totals overlap that the search does not end.

    Example: ``hide_small([50, 3, 20, 20], [[1, 1, 1, 1]], 5).cells`` hides the 3 and the first 20.
    """
    sizes, sums, never = _checked(sizes, totals, least, never_shown)
    small = (sizes > 0) & (sizes < least)
    people = sums @ sizes
    hidden, dropped = small | never, (people > 0) & (people < least)
    while (combination := _leak(sizes, sums, hidden, dropped, least)) is not None:
        helps = ~hidden & (sizes > 0) & (np.abs(combination @ sums) > _ROUNDING)
        if helps.any():
            hidden[_smallest(sizes, helps)] = True
        else:
            dropped[_smallest(people, np.abs(combination) > _ROUNDING)] = True
    # An early choice may turn out not to be needed: show again what is safe to show, the largest first.
    for mask, weights, fixed in ((dropped, people, people < least), (hidden, sizes, small | never)):
        for position in np.argsort(-weights, kind="stable"):
            if mask[position] and not fixed[position]:
                mask[position] = False
                mask[position] = _leak(sizes, sums, hidden, dropped, least) is not None
    return Suppression(hidden, dropped)


def _checked(
    sizes: ArrayLike, totals: ArrayLike, least: int, never_shown: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sizes (float), the totals as 0 and 1 (t x k) and the mask of cells that are never shown."""
    sizes = column(sizes, "size")
    refuse((sizes < 0) | (sizes != np.round(sizes)), "the size is not a whole number from 0", "Sizes count people.")
    if not (least >= 1 and least % 1 == 0):
        raise ValueError(f"least is {least}: give the smallest number of people to publish, 1 or more.")
    sums = np.asarray(totals)
    if sums.size == 0:
        sums = np.zeros((0, sizes.size))
    never = np.zeros(sizes.size) if never_shown is None else np.asarray(never_shown)
    if sums.ndim != 2 or sums.shape[1] != sizes.size or never.shape != sizes.shape:
        raise ValueError(
            f"totals have shape {sums.shape} and never_shown {never.shape}: there are {sizes.size} cells, "
            "so give a row of that length for each total, and never_shown of that length."
        )
    if not (np.isin(sums, (0, 1)).all() and np.isin(never, (0, 1)).all()):
        raise ValueError("totals and never_shown are masks: give True or False for each cell.")
    refuse(~sums.any(axis=1), "the total holds no cell", "Exclude such totals.")
    return sizes, sums.astype(float), never.astype(bool)


def _smallest(sizes: np.ndarray, among: np.ndarray) -> int:
    return int(np.argmin(np.where(among, sizes, np.inf)))


def _leak(
    sizes: np.ndarray, sums: np.ndarray, hidden: np.ndarray, dropped: np.ndarray, least: int
) -> np.ndarray | None:
    """Return weights of the totals (t) that reveal something together with the shown cells; None if nothing does."""
    unknown = np.flatnonzero(hidden & (sizes > 0))
    known = np.flatnonzero(~dropped & sums[:, unknown].any(axis=1))
    if not known.size:
        return None
    rows, counts = sums[np.ix_(known, unknown)], sizes[unknown]
    combination = np.zeros(len(sums))
    if (group := _small_group(rows, counts, least)) is not None:
        combination[known] = _shortest_combination(rows, group)
    elif (cell := _only_size(rows, counts)) is not None:
        combination[known] = rows[:, cell]
    else:
        return None
    return combination


def _small_group(rows: np.ndarray, counts: np.ndarray, least: int) -> np.ndarray | None:
    """Return the smallest group (0 or 1 per cell) of fewer than ``least`` people whose sum the rows reveal, or None.

    Such a group is a 0-1 vector in the row space, ``group`` = ``weights`` @ ``rows``: a mixed-integer program.
    """
    totals, cells = rows.shape
    small = counts < least
    if not small.any():
        return None
    group_weights = np.where(small, counts, 0)
    solution = _solve(
        np.r_[group_weights, np.zeros(totals)],
        integrality=np.r_[np.ones(cells), np.zeros(totals)],
        bounds=optimize.Bounds(np.r_[np.zeros(cells), np.full(totals, -np.inf)], np.r_[small, np.full(totals, np.inf)]),
        constraints=[
            optimize.LinearConstraint(np.hstack([np.eye(cells), -rows.T]), 0, 0),
            optimize.LinearConstraint(np.r_[group_weights, np.zeros(totals)], 1, least - 1),
        ],
    )
    return None if solution is None else np.round(solution[:cells])


def _shortest_combination(rows: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return weights of the rows that give the group, with the smallest sum of absolute values."""
    both_signs = np.hstack([rows.T, -rows.T])
    weights = _solve(np.ones(both_signs.shape[1]), constraints=optimize.LinearConstraint(both_signs, group, group))
    return np.subtract(*np.split(weights, 2))


def _only_size(rows: np.ndarray, counts: np.ndarray) -> int | None:
    """Return the first cell whose size is the only whole number above 0 that fits the rows; None if there is none.

    Cells that the rows reveal directly are excluded: they are small groups already found, or large enough to be known.
    """
    moves = np.abs(linalg.null_space(rows)).max(axis=1, initial=0) > _ROUNDING
    fits = optimize.LinearConstraint(rows, 0, 0)
    bounds = optimize.Bounds(np.maximum(1 - counts, -_FURTHEST), np.full(counts.size, _FURTHEST))
    for cell in np.flatnonzero(moves):
        for sign in (1, -1):
            if moves[cell]:
                aim = np.zeros(counts.size)
                aim[cell] = -sign
                change = np.round(_solve(aim, integrality=np.ones(counts.size), bounds=bounds, constraints=fits))
                moves &= change == 0
        if moves[cell]:
            return int(cell)
    return None


def _solve(objective: np.ndarray, **problem: object) -> np.ndarray | None:
    """Return the minimum of a linear objective, or None if nothing satisfies the constraints."""
    result = optimize.milp(objective, **problem, options={"time_limit": _PATIENCE})
    if result.status not in (0, 2):
        raise ValueError(
            f"The totals overlap in too many ways to check what they reveal in time ({result.message}). "
            "Publish fewer totals, or only margins of cross tables."
        )
    return result.x
