"""Hidden cells are attacked the way a reader would: by adding and subtracting, and by trying every table that fits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib.stats import disclosure
from cxlib.stats.disclosure import hide_small


def margins(rows: int, columns: int) -> np.ndarray:
    """Row totals, column totals and the grand total of a table written row after row."""
    place = np.arange(rows * columns)
    parts = [place // columns == row for row in range(rows)] + [place % columns == column for column in range(columns)]
    return np.array([*parts, place >= 0])


def published(sizes, totals, found):
    """The cells a reader does not know, and the published totals of these alone."""
    unknown = np.flatnonzero(found.cells & (sizes > 0))
    return unknown, totals[~found.totals][:, unknown].astype(float)


def spanned(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Which groups (rows of 0 and 1) are sums of multiples of the known rows."""
    if not len(rows):
        return ~groups.any(axis=1)
    weights = np.linalg.lstsq(rows.T, groups.T.astype(float), rcond=None)[0]
    return np.abs(rows.T @ weights - groups.T).max(axis=0) < 1e-8


def every_group(cells: int) -> np.ndarray:
    return np.array(list(itertools.product((0, 1), repeat=cells)))[1:]


def sizes_that_fit(rows: np.ndarray, truth: np.ndarray) -> list[set]:
    """The sizes from 1 that each cell takes in some table with the same totals; found by trying all of them."""
    sums, found = rows @ truth, [set() for _ in truth]
    # A cell in no total can be anything: one size more stands for all others.
    most = [np.inf if rows[:, place].any() else size + 1 for place, size in enumerate(truth)]

    def fill(cells: list[int]):
        place = len(cells)
        left = sums - rows[:, :place] @ cells
        if place == len(truth):
            if not left.any():
                for seen, size in zip(found, cells, strict=True):
                    seen.add(size)
            return
        room = left - rows[:, place + 1 :].sum(axis=1)  # the cells after this one hold somebody too
        for size in range(1, int(room[rows[:, place] > 0].min(initial=most[place])) + 1):
            fill([*cells, size])

    fill([])
    return found


def attack(sizes, totals, least, found, never):
    """What goes wrong if this is published; an empty list if nothing does."""
    unknown, rows = published(sizes, totals, found)
    problems = []
    if len(unknown):
        groups = every_group(len(unknown))
        people = groups @ sizes[unknown]
        out = spanned(rows, groups)
        problems += [f"group {unknown[group > 0]}" for group in groups[out & (people < least)]]
        alone = out & (groups.sum(axis=1) == 1) & ~never[unknown][groups.argmax(axis=1)]
        problems += [f"hidden cell {unknown[group > 0]}" for group in groups[alone]]
    return problems


SMALL = [(1, 1), (1, 2), (1, 4), (1, 5), (2, 2), (2, 3)]
SHAPES = [*SMALL, (1, 9), (3, 3), (2, 5)]


@st.composite
def tables(draw, largest: int = 14, shapes: list = SHAPES):
    """One or two ways to split people, with margins, other totals, or both; some cells are in no table."""
    rows, columns = draw(st.sampled_from(shapes))
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
@settings(max_examples=120)
def test_no_small_group_comes_out_of_any_table_by_linear_algebra(table):
    sizes, totals, least, never = table
    found = hide_small(sizes, totals, least, never)
    assert attack(sizes, totals, least, found, never) == []
    shown = ~found.cells & (sizes > 0)
    assert (sizes[shown] >= least).all()
    people = totals @ sizes
    assert ((people[~found.totals] == 0) | (people[~found.totals] >= least)).all()
    assert (found.cells >= never).all()
    assert not (found.cells & (sizes == 0) & ~never).any(), "empty cells are not hidden"


@given(tables(largest=4, shapes=SMALL))
@settings(max_examples=150)
def test_each_hidden_cell_could_have_two_sizes_or_more(table):
    sizes, totals, least, never = table
    found = hide_small(sizes, totals, least, never)
    unknown, rows = published(sizes, totals, found)
    for cell, fitting in zip(unknown, sizes_that_fit(rows, sizes[unknown]), strict=True):
        assert len(fitting) >= 2 or (never[cell] and sizes[cell] >= least)


@given(tables(largest=8, shapes=SMALL))
@settings(max_examples=60)
def test_nothing_is_hidden_that_could_be_shown(table):
    """Each further hidden cell is needed: with it shown, a small group or a single size would come out."""
    sizes, totals, least, never = table
    found = hide_small(sizes, totals, least, never)
    for cell in np.flatnonzero(found.cells & (sizes >= least) & ~never):
        shown = found.cells.copy()
        shown[cell] = False
        other = type(found)(shown, found.totals)
        if not attack(sizes, totals, least, other, never):
            unknown, rows = published(sizes, totals, other)
            assert min(len(fitting) for fitting in sizes_that_fit(rows, sizes[unknown])) == 1


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


def test_cells_of_one_person_each_are_not_given_away_by_their_number():
    """Two cells with somebody in each and two people in all have one each, though neither can be subtracted."""
    assert hide_small([1, 1, 9, 8], [[1, 1, 1, 1]], 2).cells.tolist() == [True, True, False, True]
    # 5 + 1 and 5 + 1 could as well be 4 + 2 and 4 + 2, so both totals may be published.
    found = hide_small([5, 1, 1], [[1, 1, 0], [1, 0, 1]], 2)
    assert found.cells.all()
    assert not found.totals.any()


def test_a_large_cross_table_takes_seconds_and_keeps_its_secrets():
    rng = np.random.default_rng(7)
    sizes = rng.negative_binomial(1.5, 0.04, 400)
    totals = margins(20, 20)
    found = hide_small(sizes, totals, 10)
    unknown, rows = published(sizes, totals, found)
    small = sizes[unknown] < 10
    alone = np.eye(len(unknown))
    pairs = np.array([alone[a] + alone[b] for a, b in itertools.combinations(np.flatnonzero(small), 2)])
    assert not spanned(rows, alone).any()
    assert not spanned(rows, pairs[pairs @ sizes[unknown] < 10]).any()
    assert (sizes[~found.cells & (sizes > 0)] >= 10).all()
    assert not found.totals.any()
    assert 0 < (found.cells & (sizes >= 10)).sum() < 20, "few further cells are needed"


def test_people_of_no_cell_make_no_table():
    found = hide_small([], [], 5)
    assert found.cells.size == found.totals.size == 0
    assert not hide_small([0, 0], [[1, 1]], 5).cells.any()


@pytest.mark.parametrize(
    ("sizes", "totals", "least", "never", "message"),
    [
        ([3, -1], [[1, 1]], 5, None, "size is not a whole number from 0 in row 1"),
        ([3, 2.5], [[1, 1]], 5, None, "size is not a whole number from 0 in row 1"),
        ([3, np.nan], [[1, 1]], 5, None, "size is missing in row 1"),
        ([3, 4], [[1, 1]], 0, None, "least is 0"),
        ([3, 4], [[1, 1]], 2.5, None, "least is 2.5"),
        ([3, 4], [[1, 1, 1]], 5, None, "there are 2 cells"),
        ([3, 4], [1, 1], 5, None, "there are 2 cells"),
        ([3, 4], [[1, 1]], 5, [True], "there are 2 cells"),
        ([3, 4], [[1, 2]], 5, None, "give True or False"),
        ([3, 4], [[1, 1]], 5, [0, 0.5], "give True or False"),
        ([3, 4], [[1, 1], [0, 0]], 5, None, "the total holds no cell in row 1"),
    ],
)
def test_impossible_input_is_refused_with_a_remedy(sizes, totals, least, never, message):
    with pytest.raises(ValueError, match=message):
        hide_small(sizes, totals, least, never)


def test_a_search_without_end_is_refused_with_a_remedy(monkeypatch):
    monkeypatch.setattr(disclosure, "_PATIENCE", 0.0)
    with pytest.raises(ValueError, match="Publish fewer totals"):
        hide_small([3, 4, 20], [[1, 1, 1], [1, 1, 0]], 10)
