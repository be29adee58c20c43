"""Hidden cells are attacked the way a reader would: by subtracting from published totals."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib.stats.disclosure import hide_small


def margins(rows: int, columns: int) -> np.ndarray:
    """Row totals, column totals and the grand total of a table written row after row."""
    place = np.arange(rows * columns)
    parts = [place // columns == row for row in range(rows)] + [place % columns == column for column in range(columns)]
    return np.array([*parts, place >= 0])


def known_groups(totals, found):
    """What a reader can take from each other: published totals, and differences of two of them, as parts of cells."""
    shown = totals[~found.totals].astype(int)
    return [*shown, *(one - other for one, other in itertools.permutations(shown, 2))]


def attack(sizes, totals, least, found, never):
    """Groups of hidden cells that come out by subtraction and are too small; an empty list if there are none."""
    unknown, problems = found.cells & (sizes > 0), []
    for parts in known_groups(totals, found):
        left = parts * unknown
        if left.any() and (left >= 0).all():
            alone = left.sum() == 1 and not never[left > 0].any()
            if alone or left @ sizes < least:
                problems.append(np.flatnonzero(left).tolist())
    return problems


SHAPES = [(1, 1), (1, 2), (1, 5), (1, 9), (2, 2), (2, 3), (3, 3), (2, 5), (5, 3)]


@st.composite
def tables(draw, largest: int = 14):
    """One or two ways to split people, with margins, other totals, or both; some cells are in no table."""
    rows, columns = draw(st.sampled_from(SHAPES))
    cells = rows * columns
    sizes = np.array(draw(st.lists(st.integers(0, largest), min_size=cells, max_size=cells)))
    totals = np.zeros((0, cells), dtype=bool)
    if draw(st.booleans()):
        totals = margins(rows, columns)
    other = draw(st.lists(st.lists(st.booleans(), min_size=cells, max_size=cells).filter(any), max_size=3))
    if other:
        totals = np.vstack([totals, other])
    never = np.zeros(cells, dtype=bool)
    if draw(st.booleans()):
        never = np.array(draw(st.lists(st.booleans(), min_size=cells, max_size=cells)))
    return sizes, totals, draw(st.integers(1, 9)), never


@given(tables())
@settings(max_examples=300)
def test_no_small_group_comes_out_by_subtraction(table):
    sizes, totals, least, never = table
    found = hide_small(sizes, totals, least, never)
    assert attack(sizes, totals, least, found, never) == []
    shown = ~found.cells & (sizes > 0)
    assert (sizes[shown] >= least).all()
    people = totals @ sizes
    assert ((people[~found.totals] == 0) | (people[~found.totals] >= least)).all()
    assert (found.cells >= never).all()
    assert not (found.cells & (sizes == 0) & ~never).any(), "empty cells are not hidden"


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9), st.integers(1, 15))
@settings(max_examples=200)
def test_no_more_of_one_cut_is_hidden_than_needed(sizes, least):
    """Small cells, and then the smallest others, up to ``least`` people in two cells; a smaller cut has no total."""
    sizes = np.array(sizes)
    found = hide_small(sizes, [[1] * len(sizes)], least)
    further = np.sort(sizes[found.cells & (sizes >= least)])
    small = sizes[(sizes > 0) & (sizes < least)]
    if further.size:
        fewer = [*small, *further[:-1]]
        assert len(fewer) == 1 or sum(fewer) < least
        assert further.tolist() == np.sort(sizes[sizes >= least])[: further.size].tolist()


@given(st.sampled_from([(2, 2), (4, 2), (3, 3), (4, 3)]), st.integers(0, 10**6), st.sampled_from([0.02, 0.3, 1]))
@settings(max_examples=150)
def test_no_small_group_of_a_grid_comes_out_by_linear_algebra(shape, seed, third):
    """Bands by prices with all margins, as pages show them: one column may be small, rows are of any size."""
    rows, columns = shape
    mean = np.resize([40, 40, 40 * third][:columns], rows * columns)
    sizes, totals = np.random.default_rng(seed).negative_binomial(1.5, 1.5 / (1.5 + mean)), margins(rows, columns)
    found = hide_small(sizes, totals, 10)
    unknown = np.flatnonzero(found.cells & (sizes > 0))
    known = totals[~found.totals][:, unknown].astype(float)
    groups = np.array(list(itertools.product((0, 1), repeat=len(unknown))))[1:]
    if len(known) and len(groups):
        out = np.abs(known.T @ np.linalg.lstsq(known.T, groups.T, rcond=None)[0] - groups.T).max(axis=0) < 1e-8
        assert not (out & ((groups @ sizes[unknown] < 10) | (groups.sum(axis=1) == 1))).any()


@given(st.lists(st.integers(5, 50), min_size=1, max_size=12), st.integers(1, 5))
@settings(max_examples=30)
def test_nothing_is_hidden_where_all_cells_are_large(sizes, least):
    found = hide_small(sizes, np.vstack([np.ones(len(sizes)), np.eye(len(sizes))]), least)
    assert not found.cells.any()
    assert not found.totals.any()


def test_without_totals_only_the_small_cells_are_hidden():
    found = hide_small([3, 0, 10, 9, 1], [], 10)
    assert found.cells.tolist() == [True, False, False, True, True]
    assert found.totals.shape == (0,)


def test_with_a_total_the_smallest_other_cell_is_hidden_too():
    """The total less the cells shown would give the 3; ties go to the cell that stands first."""
    found = hide_small([50, 3, 20, 20], [[1, 1, 1, 1]], 5)
    assert found.cells.tolist() == [False, True, True, False]
    assert not found.totals.any()


def test_two_small_cells_hide_each_other_only_if_they_are_enough_together():
    assert hide_small([3, 4, 20, 30], [[1, 1, 1, 1]], 7).cells.tolist() == [True, True, False, False]
    assert hide_small([3, 4, 20, 30], [[1, 1, 1, 1]], 8).cells.tolist() == [True, True, True, False]


def test_a_single_small_cell_of_a_cross_table_takes_a_rectangle_with_it():
    """Row and column totals: hiding one more cell in the row and one in the column needs their corner too."""
    sizes = np.array([[2, 30, 40], [50, 60, 70], [80, 90, 10]])
    found = hide_small(sizes.ravel(), margins(3, 3), 5).cells.reshape(3, 3)
    assert found.sum() == 4
    assert sorted(found.sum(axis=0)) == sorted(found.sum(axis=1)) == [0, 2, 2]


def test_the_difference_of_two_published_totals_gives_no_small_group_away():
    """Each total leaves enough people and each cell is safe, but the one total less the other leaves 2 + 2."""
    sizes, totals = [2, 2, 2, 20, 9], [[1, 1, 1, 1, 1], [0, 0, 1, 1, 0]]
    found = hide_small(sizes, totals, 5)
    assert found.cells.tolist() == [True, True, True, True, True]
    assert not found.totals.any()


def test_a_window_inside_a_longer_period_does_not_give_away_the_rest():
    """The months outside the window are never shown, but the whole period less the window is just them."""
    period = [[1, 1]]
    never = [False, True]
    assert hide_small([50, 20], period, 5, never).cells.tolist() == [False, True]
    assert hide_small([50, 2], period, 5, never).cells.tolist() == [True, True]
    assert hide_small([50, 0], period, 5, never).cells.tolist() == [False, True]
    assert hide_small([3, 50], period, 5, never).cells.tolist() == [True, True]
    assert not hide_small([50, 2], period, 5, never).totals.any()


def test_a_total_that_leaves_too_few_people_is_hidden_itself():
    found = hide_small([2, 1, 30, 40], [[1, 1, 0, 0], [0, 0, 1, 1]], 5)
    assert found.totals.tolist() == [True, False]
    assert found.cells.tolist() == [True, True, False, False]
    # 10 people in all, 8 of them published as another total: no cell is left to hide, so a total is.
    found = hide_small([4, 4, 2], [[1, 1, 1], [1, 1, 0]], 5)
    assert found.totals.tolist() == [False, True]


def test_a_large_cross_table_keeps_its_secrets():
    sizes = np.random.default_rng(7).negative_binomial(1.5, 0.04, 400)
    totals = margins(20, 20)
    found = hide_small(sizes, totals, 10)
    assert attack(sizes, totals, 10, found, np.zeros(400, dtype=bool)) == []
    assert not found.totals.any()
    assert (found.cells & (sizes >= 10)).sum() < 40, "few further cells are needed"


def test_people_of_no_cell_make_no_table():
    found = hide_small([], [], 5)
    assert found.cells.size == found.totals.size == 0
    assert not hide_small([0, 0], [[1, 1]], 5).cells.any()
