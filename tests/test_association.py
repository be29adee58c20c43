"""Rank correlation from counts against scipy on expanded rows, and against a truth of no link."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cxlib.stats import draws
from cxlib.stats.association import rank_correlation

rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3), st.integers(1, 4)), min_size=2, max_size=25
)


def spearman(x, y):
    return stats.spearmanr(x, y).statistic if len(set(x)) > 1 and len(set(y)) > 1 else math.nan


@settings(max_examples=40, deadline=None)
@given(rows)
def test_rank_correlation_of_counts_is_scipys_on_expanded_rows_in_each_resample(table):
    x, y, fold, n = np.array(table).T
    weights = draws.group_weights(12, 1, 4)
    value, drawn = rank_correlation(x, y, fold, n, weights)
    assert value == pytest.approx(spearman(np.repeat(x, n), np.repeat(y, n)), abs=1e-12, nan_ok=True)
    for row, found in zip(weights, drawn, strict=True):
        often = n * row[fold]
        assert found == pytest.approx(spearman(np.repeat(x, often), np.repeat(y, often)), abs=1e-12, nan_ok=True)


def test_rank_correlation_sees_only_the_order_and_does_not_depend_on_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    x, y, fold = rng.integers(0, 30, 400), rng.integers(0, 5, 400), rng.integers(0, 256, 400)
    weights = draws.group_weights(60, 1)
    value, drawn = rank_correlation(x, y, fold, None, weights)
    monkeypatch.setattr("cxlib.stats.association._CELLS", 2_000)
    again, redrawn = rank_correlation(np.exp(x), -(np.asarray(y) ** 3), fold, None, weights)
    assert again == pytest.approx(-value)
    assert redrawn == pytest.approx(-drawn)


def test_repeated_rows_of_one_customer_do_not_make_a_link():
    """Both values belong to the customer, who is there five times: the textbook p value claims a link far too often."""
    weights, ours, textbook = draws.group_weights(300, 1), 0, 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        each = rng.integers(0, 6, (2, 100))
        x, y = np.repeat(each, 5, axis=1)
        value, drawn = rank_correlation(x, y, np.repeat(rng.integers(0, 256, 100), 5), None, weights)
        ours += draws.estimate(value, drawn, 500, -1, 1).excludes(0)
        textbook += stats.spearmanr(x, y).pvalue < 0.05
    assert ours <= 15  # 5 % of 150 is 7.5; more than 15 has probability .003
    assert textbook >= 40
