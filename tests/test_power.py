"""Sizes of trials against published tables and against simulated trials."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cxlib.stats.power import customers_needed, customers_needed_mean, smallest_change, smallest_change_mean


@pytest.mark.parametrize(("size", "per_arm"), [(0.2, 393), (0.5, 64), (0.8, 26), (1.0, 17)])
def test_means_of_cohen_1988_table_2_4_1(size, per_arm):
    """Two-sided 5 %, power 80 %: customers of each arm for effect size d."""
    assert customers_needed_mean(15.0, 15 * size) / 2 == pytest.approx(per_arm, abs=1)
    assert smallest_change_mean(15.0, 2 * per_arm) == pytest.approx(15 * size, rel=0.02)


def test_mean_of_half_a_spread_to_the_second_place():
    assert customers_needed_mean(1, 0.5) / 2 == pytest.approx(63.77, abs=0.005)


@pytest.mark.parametrize(("size", "per_arm"), [(0.2, 392), (0.5, 63), (0.8, 25)])
def test_shares_of_cohen_1988_table_6_4_1(size, per_arm):
    """Two-sided 5 %, power 80 %: customers of each arm for the effect size h, here from a share of one half."""
    moved = math.sin(math.asin(math.sqrt(0.5)) - size / 2) ** 2
    assert customers_needed(0.5, moved - 0.5) / 2 == pytest.approx(per_arm, abs=0.6)
    assert smallest_change(0.5, 2 * per_arm) == pytest.approx(0.5 - moved, rel=0.01)


@pytest.mark.parametrize(("level", "change"), [(0.30, 0.06), (0.08, -0.02)])
def test_simulated_trials_of_shares_find_the_change_as_often_as_planned(level, change):
    each = round(customers_needed(level, change) / 2)
    rng = np.random.default_rng(1)
    a, b = (rng.binomial(each, share, 20_000) / each for share in (level + change, level))
    se = np.sqrt(a * (1 - a) / each + b * (1 - b) / each)
    assert (np.abs(a - b) / se > 1.96).mean() == pytest.approx(0.8, abs=0.02)


def test_simulated_trials_of_means_find_the_change_as_often_as_planned():
    each = round(customers_needed_mean(2.0, 1.0) / 2)
    rng = np.random.default_rng(2)
    a, b = rng.normal(1, 2, (20_000, each)), rng.normal(0, 2, (20_000, each))
    assert (stats.ttest_ind(a, b, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.015)


@given(sd=st.floats(1e-3, 1e3), size=st.floats(1e-3, 1))
@settings(max_examples=40, deadline=None)
def test_the_smallest_change_of_a_mean_needs_the_customers_there_are(sd, size):
    customers = customers_needed_mean(sd, -size * sd)
    assert smallest_change_mean(sd, customers) == pytest.approx(size * sd, rel=1e-4)


@given(level=st.floats(1e-3, 0.95), part=st.floats(0.01, 0.9))
@settings(max_examples=40, deadline=None)
def test_the_smallest_fall_of_a_share_needs_the_customers_there_are(level, part):
    customers = customers_needed(level, -part * level)
    if customers > 4.01:
        assert smallest_change(level, customers) == pytest.approx(part * level, rel=1e-3)


def test_too_few_customers_would_not_even_show_a_fall_to_nothing():
    assert smallest_change(0.02, 200) == math.inf
    assert smallest_change(0.02, 2_000) < 0.02


def test_a_change_of_many_spreads_needs_a_handful():
    assert 4 <= customers_needed_mean(1, 1e6) < 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: customers_needed(0.1, 0), "other than 0"),
        (lambda: smallest_change(0.1, 3), "fewer than 2 in a group"),
        (lambda: smallest_change(0.1, math.nan), "fewer than 2 in a group"),
        (lambda: customers_needed_mean(1, 0), "other than 0"),
        (lambda: customers_needed_mean(1, math.inf), "other than 0"),
    ],
)
def test_plans_that_cannot_be_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
