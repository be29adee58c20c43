"""Time to an end that another may forestall: against the Aalen-Johansen of stats.survival, by hand, and in coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cxlib.stats import draws, survival
from cxlib.stats.competing import follow, share

MATRIX = draws.with_plain(draws.group_weights(200, 1))


def test_without_repeats_it_is_the_cumulative_incidence():
    rng = np.random.default_rng(1)
    times, ended = rng.integers(1, 30, 500), rng.choice([0, 1, 2], 500)
    found = follow(times, ended, rng.integers(0, 256, 500), np.ones(500), MATRIX)
    book = survival.cumulative_incidence(times, ended).query("cause == 1 and time > 0").set_index("time")["value"]
    at = dict(zip(found.times, found.done[0], strict=True))
    assert [at[t] for t in book.index] == pytest.approx(list(book))
    assert (found.done + 1e-12 >= 0).all()
    assert (found.done[0] + found.waiting[0] <= 1 + 1e-9).all()


def test_quantiles_and_shares_by_hand():
    # ten cases: four replied at 1, 2, 3, 4 hours, three closed unanswered at 2.5, three still waiting at 10
    times, ended = [1, 2, 3, 4, 2.5, 2.5, 2.5, 10, 10, 10], [1, 1, 1, 1, 2, 2, 2, 0, 0, 0]
    found = follow(times, ended, np.arange(10), np.ones(10), MATRIX)
    assert found.within(2).value == pytest.approx(0.2)
    assert found.within(4).value == pytest.approx(0.4)
    assert found.quantile(0.3).value == 3
    assert found.quantile(0.5).value == math.inf  # closed ones never get a reply
    assert math.isnan(found.within(11).value)
    assert list(found.at_risk) == [10, 9, 8, 5, 4, 3]


def test_counts_are_rows():
    times, ended, fold = [1, 2, 3], [1, 2, 0], [5, 6, 7]
    rows = follow(np.repeat(times, 3), np.repeat(ended, 3), np.repeat(fold, 3), np.ones(9), MATRIX)
    counts = follow(times, ended, fold, [3, 3, 3], MATRIX)
    assert counts.done == pytest.approx(rows.done)
    assert counts.n == rows.n == 9


def test_repeated_rows_of_one_group_widen_the_interval_of_the_median():
    rng = np.random.default_rng(2)
    pace = np.repeat(rng.exponential(1, 60), 10)
    times = pace * rng.exponential(1, 600)
    together = follow(times, np.ones(600), np.repeat(np.arange(60), 10), np.ones(600), MATRIX).quantile(0.5)
    apart = follow(times, np.ones(600), rng.integers(0, 256, 600), np.ones(600), MATRIX).quantile(0.5)
    assert together.high - together.low > 1.3 * (apart.high - apart.low)


def test_when_all_draws_agree_a_share_has_wilsons_interval():
    e = share(np.ones(201), 40)
    assert e.value == 1
    assert 0.9 < e.low < 1
