"""Resampling by groups: the same resamples for everyone, resampled sums, intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib.stats.draws import estimate, estimate_frame, group_weights, leave_out, mean, resample, with_plain
from cxlib.stats.likelihood import LikelihoodModel


def test_every_draw_has_as_many_folds_as_there_are_and_the_seed_fixes_them():
    first, again, other = group_weights(400, 7), group_weights(400, 7), group_weights(400, 8)
    assert first.shape == (400, 256)
    assert first.dtype == np.int16
    assert (first.sum(axis=1) == 256).all()
    assert (first == again).all()
    assert (first != other).any()
    assert first.mean(axis=0).std() < 0.1  # every fold as likely as any other


def test_any_number_of_groups():
    weights = group_weights(50, 1, 48)
    assert weights.shape == (50, 48)
    assert (weights.sum(axis=1) == 48).all()


counts_rows = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["a", "b", None]), st.integers(0, 2), st.integers(0, 9)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(rows=counts_rows, seed=st.integers(0, 99))
def test_resampled_sums_are_those_of_the_table_with_its_rows_repeated(rows, seed):
    counts = pd.DataFrame(rows, columns=["fold", "segment", "score", "n"])
    counts["points"] = counts["n"] * counts["score"]
    weights = group_weights(3, seed, 5)
    keys, sums = resample(counts, "fold", ["n", "points"], ["segment", "score"], weights)
    assert sums.shape == (3, len(keys), 2)
    for draw in range(3):
        repeated = counts.loc[counts.index.repeat(weights[draw][counts["fold"]])]
        for row, (segment, score) in enumerate(keys.itertuples(index=False)):
            same = repeated["segment"].isna() if segment is None or pd.isna(segment) else repeated["segment"] == segment
            cell = repeated[same & (repeated["score"] == score)]
            assert sums[draw, row].tolist() == [cell["n"].sum(), cell["points"].sum()]


def test_plain_sums_no_keys_and_an_empty_table():
    counts = pd.DataFrame({"fold": [0, 1, 1], "n": [1.0, 2.0, 4.0]})
    keys, sums = resample(counts, "fold", ["n"], [], np.ones((1, 2)))
    assert len(keys) == 1
    assert sums.tolist() == [[[7.0]]]
    keys, sums = resample(counts.iloc[:0], "fold", ["n"], ["n"], np.ones((4, 2)))
    assert keys.columns.tolist() == ["n"]
    assert sums.shape == (4, 0, 1)


def test_a_code_outside_the_weights_or_a_missing_count_is_an_error():
    counts = pd.DataFrame({"fold": [0, 300], "branch": ["north", "south"], "n": [1.0, np.nan]})
    with pytest.raises(ValueError, match="code from 0 to 255"):
        resample(counts, "fold", ["n"], [], group_weights(2, 1))
    with pytest.raises(ValueError, match="factorize"):
        resample(counts, "branch", ["n"], [], group_weights(2, 1))
    with pytest.raises(ValueError, match="n is missing or infinite in row 1"):
        resample(counts.assign(fold=[0, 1]), "fold", ["n"], [], group_weights(2, 1))


def test_standard_error_of_a_mean_is_the_textbook_one():
    rng = np.random.default_rng(5)
    scores = rng.normal(7, 2, 20_000)
    counts = pd.DataFrame({"fold": rng.integers(0, 256, scores.size), "n": 1.0, "sum": scores})
    _, sums = resample(counts, "fold", ["sum", "n"], [], group_weights(4000, 1))
    found = estimate(scores.mean(), sums[:, 0, 0] / sums[:, 0, 1], scores.size)
    assert found.se == pytest.approx(scores.std() / math.sqrt(scores.size), rel=0.12)  # 256 folds: sd of 4.4 %
    assert found.high - found.value == pytest.approx(1.969 * math.sqrt(256 / 255) * found.se, rel=1e-3)


def test_the_interval_stays_on_the_scale_and_has_the_degrees_of_freedom_of_the_groups():
    draws = np.random.default_rng(1).normal(0.9, 0.1, 5000)
    wide = estimate(0.9, draws, n=10, low=0, high=1)
    assert wide.high == 1
    assert 0.9 - wide.low == pytest.approx(2.2622 * math.sqrt(10 / 9) * wide.se, rel=1e-3)  # 10 observations: 9 df
    few = estimate(0.9, draws, n=5000, groups=48)
    assert few.high - 0.9 == pytest.approx(2.0117 * math.sqrt(48 / 47) * few.se, rel=1e-3)  # 47 df
    assert np.isnan(estimate(0.9, draws, n=1).low)
    many = estimate(0.9, draws, n=5000)
    assert many.high - 0.9 == pytest.approx(1.9693 * math.sqrt(256 / 255) * many.se, rel=1e-3)  # 255 df


def test_what_cannot_be_known_is_nan_and_never_a_width_of_zero():
    draws = np.random.default_rng(1).normal(size=1000)
    some, many = draws.copy(), draws.copy()
    some[:50], many[:51] = np.inf, np.nan
    assert np.isfinite(estimate(0, some, 1000).low)
    assert estimate(0, some, 1000).se == pytest.approx(draws[50:].std(ddof=1))
    for unknown in (
        estimate(0, many, 1000),
        estimate(math.nan, draws, 1000),
        estimate(9.0, np.full(1000, 9.0), 1000, low=0, high=10),  # everyone answered 9
    ):
        assert np.isnan([unknown.low, unknown.high, unknown.se]).all()


def test_a_frame_of_estimates_is_the_estimates_one_by_one():
    draws = np.random.default_rng(2).normal(size=(300, 3))
    draws[:40, 1] = np.nan
    keys = pd.DataFrame({"segment": ["x", "y", "z"]}, index=[5, 6, 7])
    frame = estimate_frame(keys, np.arange(3), draws, np.array([9, 99, 999]), low=-1)
    assert frame.columns.tolist() == ["segment", "value", "low", "high", "se", "n"]
    for row, n in enumerate((9, 99, 999)):
        one = estimate(row, draws[:, row], n, low=-1)
        expected = [one.value, one.low, one.high, one.se, one.n]
        assert frame.iloc[row, 1:].astype(float).tolist() == pytest.approx(expected, nan_ok=True)


def coverage(kind: str, groups: int, trials: int = 1500) -> float:
    """Share of trials whose interval holds the truth: branches or folds differ, and so do people in them."""
    rng = np.random.default_rng(11)
    level = 2 + rng.normal(0, 0.3, (groups, trials))
    base = rng.poisson(20, (groups, trials)).astype(float) + 1
    amount = rng.gamma(base / 2, 2 * level)  # the sum of ``base`` skewed amounts
    if kind == "mean":
        top, bottom = amount / base, np.ones_like(base)
    else:
        top, bottom = amount, base
    weights = group_weights(400, 3, groups).astype(float)
    value = top.sum(axis=0) / bottom.sum(axis=0)
    draws = (weights @ top) / (weights @ bottom)
    keys = pd.DataFrame(index=range(trials))
    frame = estimate_frame(keys, value, draws, groups * 21, groups=groups)
    return float(((frame["low"] <= 2) & (frame["high"] >= 2)).mean())


@pytest.mark.parametrize("kind", ["mean", "ratio"])
@pytest.mark.parametrize("groups", [256, 48, 12])
def test_intervals_cover_with_many_and_with_few_groups(kind, groups):
    assert 0.93 < coverage(kind, groups) < 0.965  # the sampling error of a coverage over 1,500 trials is 0.0056


def test_resampling_branches_covers_where_resampling_customers_does_not():
    rng = np.random.default_rng(4)
    branches, people, trials = 48, 100, 400
    effect = rng.normal(0, 0.5, (branches, trials))
    totals = people * effect + rng.normal(0, math.sqrt(people), (branches, trials))
    value = totals.sum(axis=0) / (branches * people)
    draws = group_weights(400, 3, branches).astype(float) @ totals / (branches * people)
    frame = estimate_frame(pd.DataFrame(index=range(trials)), value, draws, branches * people, groups=branches)
    by_branch = ((frame["low"] <= 0) & (frame["high"] >= 0)).mean()
    by_customer = (np.abs(value) < 1.96 * math.sqrt((1 + 0.25) / (branches * people))).mean()
    assert by_branch > 0.925
    assert by_customer < 0.5


class Exponential(LikelihoodModel):
    """Waiting times with one rate: its maximum is the number of times over their sum."""

    names = ("rate",)
    starts = ((1,),)
    advice = "Wait longer."

    def _rows(self, params, rows):
        return np.log(params) - params * rows[:, 0], 1 - params * rows


def test_a_new_model_is_its_names_its_starts_and_its_likelihood():
    times = np.random.default_rng(6).exponential(4, 2000)
    fold, weights = np.arange(2000) % 64, group_weights(200, 2, 64)
    model = Exponential()._maximise(times[:, None], np.ones(2000))
    assert model.params["rate"] == pytest.approx(1 / times.mean(), rel=1e-9)
    assert model.standard_errors["rate"] == pytest.approx(1 / times.mean() / math.sqrt(2000), rel=1e-6)
    assert model.converged
    refitted = np.log((weights @ np.bincount(fold)) / (weights @ np.bincount(fold, times)) / model.params["rate"])
    moved = (weights - 1) @ model.moves(64, times[:, None], np.ones(2000), fold)[:, 0]
    assert np.abs(moved - refitted).max() < 0.1 * refitted.std()
    assert "rate=" in repr(model)
    with pytest.raises(ValueError, match="call fit first"):
        Exponential()._aligned(None, 1)


class TwoStarts(LikelihoodModel):
    """A likelihood of one parameter, given as a function of its log, with all starts tried."""

    names, advice, try_all, reach = ("x",), "Try other starts.", True, 6.0

    def __init__(self, height, slope, starts):
        super().__init__()
        self.height, self.slope, self.starts = height, slope, tuple((np.exp(start),) for start in starts)

    def _rows(self, params, rows):
        theta = float(np.log(params)[0])
        return np.full(len(rows), self.height(theta)), np.full((len(rows), 1), self.slope(theta))


def test_a_maximum_below_a_point_at_the_edge_is_not_taken():
    """cos(t) + t / 2 has a maximum at pi / 6, but is higher at the edge, where it still rises."""
    model = TwoStarts(lambda t: np.cos(t) + t / 2, lambda t: 0.5 - np.sin(t), starts=[5.0, 0.5])
    model._maximise(np.zeros((1, 1)), np.ones(1))
    assert not model.converged
    assert model.params["x"] == pytest.approx(np.exp(6))
    assert "ran to the edge" in model.message


def test_a_maximum_as_high_as_a_flat_stretch_is_taken():
    """0 up to t = 1, and again at t = 4 only: the flat stretch, found first, has no curvature and so no errors."""
    model = TwoStarts(
        lambda t: -(((t - 1) * (t - 4)) ** 2) / 50 * (t > 1),
        lambda t: -(t - 1) * (t - 4) * (2 * t - 5) / 25 * (t > 1),
        starts=[0.0, 4.2],
    )
    model._maximise(np.zeros((1, 1)), np.ones(1))
    assert model.converged
    assert np.log(model.params["x"]) == pytest.approx(4, abs=1e-6)
    assert model.standard_errors["x"] == pytest.approx(np.exp(4) / np.sqrt(18 / 50), rel=1e-4)


def test_draws_by_leaving_folds_out_are_joint_with_resampled_sums():
    chance = np.random.default_rng(5)
    counts = pd.DataFrame({"fold": np.repeat(np.arange(256), 8), "plan": np.tile(["a", "b"], 1024)})
    counts["n"] = chance.integers(1, 9, len(counts))
    counts["left"] = chance.binomial(counts["n"], np.where(counts["plan"] == "a", 0.3, 0.1))
    weights = with_plain(group_weights(2000, 3))
    _, sums = resample(counts, "fold", ["left", "n"], ["plan"], weights)
    rates = sums[:, :, 0] / sums[:, :, 1]
    drawn = leave_out(counts, lambda whole: whole["left"] / whole["n"], ["plan"], weights)
    np.testing.assert_allclose(drawn[0], rates[0])
    np.testing.assert_allclose(drawn[1:].std(axis=0), rates[1:].std(axis=0), rtol=0.02)
    for of_plan in (0, 1):
        assert np.corrcoef(drawn[1:, of_plan], rates[1:, of_plan])[0, 1] > 0.995


def test_the_spread_of_draws_of_a_mean_is_its_jackknife_error():
    counts = pd.DataFrame({"fold": np.arange(256), "n": 1.0, "y": np.random.default_rng(1).normal(size=256)})
    weights = with_plain(group_weights(20_000, 9))
    drawn = leave_out(counts, lambda whole: [whole["y"].sum() / whole["n"].sum()], [], weights)
    among = estimate(drawn[0, 0], drawn[1:, 0], 256)
    assert drawn[0, 0] == pytest.approx(counts["y"].mean())
    assert among.high - among.value == pytest.approx(1.969 * counts["y"].std() / 16, rel=0.02)


# ---- means of money ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma", "n", "least"), [(1, 300, 0.92), (1, 3000, 0.92), (2, 300, 0.85)])
def test_the_mean_of_a_heavy_tail_is_missed_on_both_sides_and_less_often_than_by_t(sigma, n, least):
    rng, weights, true, found = np.random.default_rng(5), with_plain(group_weights(500, 1)), np.exp(sigma**2 / 2), []
    for _ in range(200):
        values, fold = np.exp(rng.normal(0, sigma, n)), rng.integers(0, 256, n)
        sums = [weights @ np.bincount(fold, v, 256) for v in (values, np.ones(n))]
        drawn = sums[0] / sums[1]
        e, t = mean(values, np.ones(n), fold, weights), estimate(drawn[0], drawn[1:], n)
        found.append([true < e.low, true > e.high, not t.low <= true <= t.high])
    below, above, by_t = np.mean(found, axis=0)
    assert 1 - below - above >= least
    assert below > 0
    assert above > 0
    assert sigma == 1 or below + above < by_t


def test_the_interval_of_a_mean_is_the_bootstrap_t_by_hand():
    rng, weights = np.random.default_rng(6), with_plain(group_weights(300, 2, 8))
    fold, n, total = np.arange(24) % 8, rng.integers(1, 5, 24).astype(float), rng.gamma(2, 10, 24)
    e = mean(total, n, fold, weights)
    sums = np.array([[total[fold == k].sum(), n[fold == k].sum()] for k in range(8)])

    def of(w):
        value = (w @ sums)[0] / (w @ sums)[1]
        apart = sums[:, 0] - value * sums[:, 1]
        return value, np.sqrt(w @ apart**2 * 8 / 7) / (w @ sums)[1]

    plain, se = of(np.ones(8))
    t = [(value - plain) / own for value, own in map(of, weights[1:])]
    assert [e.value, e.se, e.n] == pytest.approx([plain, se, n.sum()])
    assert [e.low, e.high] == pytest.approx((plain - np.quantile(t, [0.975, 0.025]) * se).tolist())
    assert math.isnan(mean(5 * n, n, fold, weights).low)  # everybody pays the same
