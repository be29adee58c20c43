"""Checks of effects: exact p values by enumeration, drifts put into data, draws by lot that went wrong."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_effects import fit, panel

from cxlib.stats.estimate import Estimate
from cxlib.stats.robustness import balance, e_value, hidden_trend, joint_p, randomisation_p, sample_ratio_p


def by_lot(frame, horizon=2, **options):
    return randomisation_p(frame, "y", "unit", "period", "start", horizon, **options)


# starts handed out again


@pytest.mark.parametrize("weights", [None, "count"])
def test_p_is_the_share_of_all_ways_to_hand_out_the_starts(weights):
    """All 6! / (2! 2! 2!) = 90 panels estimated one by one, in the t of the effect clustered by unit."""
    starts = [0, 0, 3, 3, 4, 4]
    frame = panel(starts, 5, effect=lambda since, start: 0.5 * since, noise=1, seed=8)
    frame["count"] = frame["unit"] % 3 + 1

    def size(order):
        e = fit(frame.assign(start=np.repeat(order, 5)), weights=weights, cluster="unit").cumulative(2)
        return abs(e.value) / e.se

    sizes = [size(order) for order in sorted(set(itertools.permutations(starts)))]
    exact = np.mean(np.array(sizes) >= size(starts) - 1e-9)
    assert 0.02 < exact < 0.5
    assert by_lot(frame, weights=weights, permutations=9_999) == pytest.approx(exact, abs=4 * math.sqrt(exact / 9_999))


def test_a_single_unit_reached_is_ranked_by_its_plain_effect():
    frame = panel([0] * 19 + [3], 6, effect=lambda since, start: 100.0 + 0 * since, noise=1)
    assert by_lot(frame, permutations=1_999) == pytest.approx(1 / 20, abs=0.02)  # the largest of 20, whoever it is


def test_without_an_effect_one_in_twenty_is_below_5_per_cent_even_with_few_units():
    starts = [0] * 5 + [3] * 3 + [4] * 3  # cluster-robust t intervals fail with so few
    none = {"effect": lambda since, start: 0.0 * since, "noise": 1}
    p = np.array([by_lot(panel(starts, 5, seed=s, **none), permutations=99) for s in range(250)])
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.025)
    assert p.mean() == pytest.approx(0.5, abs=0.055)


def test_an_effect_is_found_and_the_same_seed_gives_the_same_p():
    frame = panel([0] * 12 + [14] * 12 + [18] * 12 + [22] * 12, 40, noise=1)
    assert by_lot(frame, horizon=12) == 1 / 500
    nothing = panel([0] * 12 + [14] * 36, 40, effect=lambda since, start: 0.0 * since, noise=1)
    assert by_lot(nothing, seed=4) == by_lot(nothing, seed=4) > 0.02


def test_nothing_moving_anywhere_is_no_evidence():
    assert by_lot(panel([0, 0, 0, 3, 3, 3], 5).assign(y=1.0)) == 1


@pytest.mark.parametrize(
    ("starts", "options", "message"),
    [
        ([3] * 8, {}, r"all-treated \(since 3\)"),
        ([0, 3] * 4, {"horizon": 9}, "longest is 4"),
    ],
)
def test_what_cannot_be_handed_out_again_is_refused(starts, options, message):
    with pytest.raises(ValueError, match=message):
        by_lot(panel(starts, 6), **options)


# a trend apart


def test_a_drift_of_that_size_just_explains_the_effect_away():
    frame = panel([0] * 30 + [4] * 30, 9, noise=1)
    drift = hidden_trend(fit(frame).cumulative(5), 5)
    since = (frame["period"] - frame["start"]).where(frame["start"] > 0, -1)
    without = frame.assign(y=frame["y"] - drift * (since + 1).clip(lower=0))
    assert drift > 0
    assert fit(without).cumulative(5).low == pytest.approx(0, abs=1e-9)


@given(
    value=st.floats(-100, 100),
    reach=st.floats(0.001, 200),
    months=st.integers(1, 60),
    scale=st.sampled_from([-3.0, 0.5]),
)
@settings(max_examples=60, deadline=None)
def test_hidden_trend_is_that_of_the_nearer_end(value, reach, months, scale):
    e = Estimate(value, value - reach, value + reach)
    total = hidden_trend(e, months) * months * (months + 1) / 2
    assert total == pytest.approx(max(0.0, abs(value) - reach))
    turned = Estimate(scale * value, *sorted((scale * e.low, scale * e.high)))
    assert hidden_trend(turned, months) == pytest.approx(abs(scale) * hidden_trend(e, months))


def test_an_unknown_interval_has_no_hidden_trend():
    assert math.isnan(hidden_trend(Estimate(1, math.nan, math.nan), 3))


# draws by lot


def test_balance_is_the_chi_square_test():
    """Agresti 2013, Categorical Data Analysis, table 3.2: education and religious beliefs of 2,726, X2 = 69.2, df 4."""
    rows = np.array([[178, 138, 108], [570, 648, 442], [138, 252, 252]])
    assert stats.chi2_contingency(rows).statistic == pytest.approx(69.2, abs=0.05)  # the table as printed
    first, second = rows[0], rows[2]
    expected = np.outer([first.sum(), second.sum()], first + second) / (first.sum() + second.sum())
    x2 = ((np.array([first, second]) - expected) ** 2 / expected).sum()
    assert balance(first, second) == pytest.approx(math.exp(-x2 / 2))  # two degrees of freedom
    assert balance([*first, 0], [*second, 0]) == balance(first, second)  # a level nobody has says nothing


def test_small_counts_are_tested_by_simulation():
    """Fisher 1935, the lady tasting tea: 3 of 4 and 1 of 4 right, two-sided p 34 / 70."""
    assert balance([3, 1], [1, 3]) == pytest.approx(34 / 70, abs=0.02)
    assert balance([3, 1], [1, 3]) == balance([3, 1], [1, 3])
    assert balance([7], [4]) == 1  # one level only


def test_sample_ratio_of_a_trial_that_lost_users():
    """Kohavi, Tang & Xu 2020, Trustworthy Online Controlled Experiments, ch. 21: 821,588 and 815,482, p 1.8e-6."""
    assert sample_ratio_p(815_482, 821_588, 0.5) == pytest.approx(1.8e-6, rel=0.05)
    assert sample_ratio_p(10, 10, 0.5) == 1
    assert sample_ratio_p(200, 100, 2 / 3) > 0.9


def test_many_differences_are_tested_together():
    """At most as often below a level as it says, also with few draws; one clear difference among them is found."""
    rng = np.random.default_rng(5)
    ps, found = [], []
    for _ in range(400):
        groups = rng.normal(size=(60, 8))
        weights = rng.multinomial(60, np.full(60, 1 / 60), size=200) / 60
        drawn = np.vstack([groups.mean(axis=0), weights @ groups])
        ps.append(joint_p(drawn, 60))
        found.append(joint_p(drawn + np.r_[0.7, np.zeros(7)], 60))
    assert (np.array(ps) < 0.1).mean() == pytest.approx(0.1, abs=0.04)
    assert (np.array(found) < 0.1).mean() > 0.9
    assert math.isnan(joint_p(drawn, 9))
    assert math.isnan(joint_p(np.zeros((50, 3)), 60))


# what nobody recorded


def test_e_value_of_a_published_ratio():
    """VanderWeele & Ding 2017, Annals 167: formula feeding and deaths by infection, 3.9 (1.8 to 8.7): 7.26 and 3.0."""
    point, end = e_value(Estimate(3.9, 1.8, 8.7))
    assert (point, end) == (pytest.approx(7.26, abs=0.005), pytest.approx(3.0, abs=0.005))
    assert e_value(Estimate(1 / 3.9, 1 / 8.7, 1 / 1.8)) == pytest.approx((point, end))
    assert e_value(Estimate(0.9, 0.7, 1.1))[1] == 1
