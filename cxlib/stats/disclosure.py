"""Which cells and totals of published tables to hide, so that no small group of people can be identified.

A reader can subtract: a hidden cell is its total minus the other cells. So further cells are hidden besides the small
ones (primary and complementary suppression: Cox 1980, J. Am. Stat. Assoc. 75:377; Willenborg & de Waal 2001, Elements
of Statistical Disclosure Control). Answers add up as people do, so no sum over a small group may be deducible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Suppression:
    """What not to publish: ``cells`` (k) and ``totals`` (t), True where hidden, also for cells that are never shown."""

    cells: np.ndarray
    totals: np.ndarray


def hide_small(sizes: ArrayLike, totals: ArrayLike, least: int, never_shown: ArrayLike | None = None) -> Suppression:
    """Choose what to hide so that no total minus what is shown of it tells of fewer than ``least`` people.

    ``sizes`` (k whole numbers) counts the people of each cell; nobody is in two cells. ``totals`` (t x k masks; t may
    be 0) has a row for each set of cells whose sum is also published: table margins, the grand total. ``never_shown``
    (k) marks cells in no table, such as months outside a window whose longer period is published.

    Cells and totals with 1 to ``least`` - 1 people are hidden. Then, as long as a total minus its visible cells, or
    totals minus others, leave fewer than ``least`` people or a single hidden cell, the smallest visible cell of theirs
    is hidden too; without one, the smallest of these totals is. Empty cells count as known and stay visible.

    Returns a Suppression. Readers who already know a cell, or combine very many crossing totals, can deduce more.

    Example: ``hide_small([50, 3, 20, 20], [[1, 1, 1, 1]], 5).cells`` hides the 3 and the first 20.
    """
    sizes = np.asarray(sizes, dtype=float)
    sums = np.asarray(totals, dtype=float).reshape(len(totals), sizes.size)
    never = np.zeros(sizes.size, dtype=bool) if never_shown is None else np.asarray(never_shown, dtype=bool)
    people = sums @ sizes
    hidden, dropped = never | ((sizes > 0) & (sizes < least)), (people > 0) & (people < least)
    while True:
        unknown = hidden & (sizes > 0)
        for used in _subtractions(sums, unknown, ~dropped):
            parts = used @ sums
            left = unknown & (parts != 0)
            alone = left.sum() == 1 and not never[left].any()
            if left.any() and (sizes[left].sum() < least or alone):
                break
        else:
            return Suppression(hidden, dropped)
        helps = ~hidden & (sizes > 0) & (parts != 0)
        if helps.any():
            hidden[_smallest(sizes, helps)] = True
        else:
            dropped[_smallest(people, used != 0)] = True


def _subtractions(sums: np.ndarray, unknown: np.ndarray, shown: np.ndarray) -> Iterator[np.ndarray]:
    """Yield what tells of unknown cells, as 1 or -1 for each total (t): published totals, and these less others.

    A total is taken off others that have its unknown cells and none in common, such as a column off its rows; then
    further totals are that lie in the rest, or whose unknown cells do.
    """
    within, each = sums * unknown, np.eye(len(sums))
    share, meet = within @ within.T > 0, sums @ sums.T > 0
    order = [t for t in np.argsort(sums.sum(axis=1), kind="stable") if shown[t]]
    yield from each[order]
    for less in order:
        for first in (t for t in order if share[less, t] and t != less):
            used = each[first].copy()
            for other in order:
                if other != less and share[less, other] and not meet[other, used > 0].any():
                    used[other] = 1
            rest = used @ sums - sums[less]
            if (rest[within[less] > 0] == 0).all():
                used[less] = -1
                for fits in (sums, within):
                    taken, left = used.copy(), rest
                    for other in order:
                        if fits[other].any() and (left[fits[other] > 0] == 1).all():
                            taken[other], left = -1, left - sums[other]
                    yield taken


def _smallest(sizes: np.ndarray, among: np.ndarray) -> int:
    return int(np.argmin(np.where(among, sizes, np.inf)))
