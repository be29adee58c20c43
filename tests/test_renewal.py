"""Renewal against published cohorts, sums made by brute force, and simulations with known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib.stats.draws import group_weights, with_plain
from cxlib.stats.renewal import BetaDiscreteWeibull, ShiftedBetaGeometric
from cxlib.stats.renewal_draws import refits

REGULAR = [1000, 631, 468, 382, 326, 289, 262, 241]
HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491]
LATER = {"regular": [223, 207, 194, 183, 173], "high end": [468, 445, 427, 409, 394]}  # years 8 to 12, 2018 paper


@pytest.mark.parametrize(
    ("survivors", "params", "log_likelihood"),
    [(REGULAR, (0.7041, 1.1820), -1680.265), (HIGH_END, (0.6681, 3.8061), -1611.158)],
)
def test_both_cohorts_of_fader_hardie_2007(survivors, params, log_likelihood):
    model = ShiftedBetaGeometric().fit(survivors)
    assert tuple(model.params.round(4)) == params
    assert model.params.index.tolist() == ["alpha", "beta"]
    assert model.log_likelihood == pytest.approx(log_likelihood, abs=0.001)
    assert model.converged
    assert model.message == "Converged."
    assert model.n == 1000
    assert (1000 * model.survival(np.arange(8)))[1:] == pytest.approx(survivors[1:], abs=20)
    alpha, beta = model.params
    assert model.survival(1) == pytest.approx(beta / (alpha + beta))
    assert model.retention(5) == pytest.approx((beta + 4) / (alpha + beta + 4))
    assert model.retention(5) == pytest.approx(model.survival(5) / model.survival(4))


@settings(max_examples=25, deadline=None)
@given(alpha=st.floats(0.05, 20), beta=st.floats(0.05, 60), renewals=st.integers(0, 200), rate=st.floats(0.005, 1))
def test_lifetimes_are_the_sums_that_define_them(alpha, beta, renewals, rate):
    model, params = ShiftedBetaGeometric(), [alpha, beta]
    t = np.arange(int(45 / rate))
    discount = (1 + rate) ** -t.astype(float)
    assert model.lifetime(rate, params) == pytest.approx(model.survival(t, params) @ discount, rel=1e-9)
    here = model.survival(renewals, params)
    coming = model.survival(renewals + 1 + t, params) / here @ discount
    assert model.residual_lifetime(renewals, rate, params) == pytest.approx(coming, rel=1e-9)


def test_the_ends_of_a_discount_rate_are_rates():
    model, params = ShiftedBetaGeometric(), [1.0, 3.0]
    assert model.lifetime(1.0, params) == pytest.approx(model.survival(np.arange(60), params) @ 2.0 ** -np.arange(60.0))
    assert model.lifetime(0.0, [2.0, 3.0]) == pytest.approx(1 + 3.0 / (2.0 - 1))  # the mean of the mixture


def test_lifetime_without_discount_is_the_mean_tenure_or_infinite():
    model = ShiftedBetaGeometric()
    assert model.lifetime(0, [3, 4]) == pytest.approx(3.0)  # (alpha + beta - 1) / (alpha - 1)
    assert model.lifetime([0, 1e-9], [3, 4]) == pytest.approx([3, 3])
    assert model.residual_lifetime(2, 0, [3, 4]) == pytest.approx(3.0)  # (beta + 2) / (alpha - 1)
    assert model.lifetime(0, [1, 4]) == np.inf
    assert model.lifetime(0, [0.5, 4]) == np.inf


def test_equal_people_have_the_constant_retention_value_of_the_textbook():
    model, equal = ShiftedBetaGeometric(), [2e6, 8e6]  # everyone renews with chance 0.8
    assert 100 * model.lifetime(0.1, equal) == pytest.approx(366.67, abs=0.01)
    assert 100 * model.residual_lifetime(7, 0.1, equal) / 1.1 == pytest.approx(266.67, abs=0.01)
    assert 100 * model.lifetime(0, equal) == pytest.approx(500, abs=0.01)


@pytest.mark.parametrize(
    ("survivors", "later", "params"),
    [
        (REGULAR, LATER["regular"], (0.523, 0.894, 1.196)),
        (HIGH_END, LATER["high end"], (0.259, 1.722, 1.584)),
    ],
)
def test_the_beta_discrete_weibull_projects_both_cohorts_of_fader_and_others_2018(survivors, later, params):
    """Fitted to the first five numbers, as there; the shifted beta-geometric loses the High End cohort."""
    model, plain = BetaDiscreteWeibull().fit(survivors[:5]), ShiftedBetaGeometric().fit(survivors[:5])
    assert model.params.index.tolist() == ["alpha", "beta", "c"]
    assert tuple(model.params) == pytest.approx(params, abs=0.0015)
    assert model.converged
    assert model.log_likelihood > plain.log_likelihood
    actual = np.array([*survivors, *later])[5:]
    missed, missed_plain = (np.abs(1000 * m.survival(np.arange(5, 13)) - actual).max() for m in (model, plain))
    assert missed < 12
    assert missed < missed_plain / 1.3


def test_duration_dependence_of_the_high_end_cohort():
    model, plain = BetaDiscreteWeibull().fit(HIGH_END), ShiftedBetaGeometric().fit(HIGH_END)
    assert 2 * (model.log_likelihood - plain.log_likelihood) > 10.8  # chi-squared, 1 degree of freedom, p .001
    assert model.params["c"] - 1 > 2 * model.standard_errors["c"]
    regular = BetaDiscreteWeibull().fit(REGULAR)
    assert abs(regular.params["c"] - 1) < 2 * regular.standard_errors["c"]


@settings(max_examples=8, deadline=None)
@given(alpha=st.floats(0.05, 20), beta=st.floats(0.05, 900), renewals=st.integers(0, 200), rate=st.floats(1e-4, 1))
def test_with_c_at_1_it_is_the_shifted_beta_geometric(alpha, beta, renewals, rate):
    weibull, plain = BetaDiscreteWeibull(), ShiftedBetaGeometric()
    rows = np.array([[t, lost] for t in (1, 2, 7, 60) for lost in (0.0, 1.0)])
    value, gradient = weibull._rows(np.array([alpha, beta, 1]), rows)
    plain_value, plain_gradient = plain._rows(np.array([alpha, beta]), rows)
    # The plain model takes differences of log-gammas up to about 5,000, which keeps 12 decimals.
    assert value == pytest.approx(plain_value, rel=1e-8, abs=1e-11)
    assert gradient[:, :2] == pytest.approx(plain_gradient, rel=1e-7, abs=1e-9)
    for r in (rate, 0):
        expected = plain.residual_lifetime(renewals, r, [alpha, beta])
        assert weibull.residual_lifetime(renewals, r, [alpha, beta, 1]) == pytest.approx(expected, rel=1e-9)
        assert weibull.lifetime(r, [alpha, beta, 1]) == pytest.approx(plain.lifetime(r, [alpha, beta]), rel=1e-9)


@settings(max_examples=8, deadline=None)
@given(
    params=st.tuples(st.floats(0.05, 30), st.floats(0.05, 900), st.floats(0.2, 5)),
    renewals=st.integers(0, 50),
    rate=st.floats(0.002, 1),
)
def test_weibull_lifetimes_are_the_sums_that_define_them(params, renewals, rate):
    model, t = BetaDiscreteWeibull(), np.arange(int(45 / rate))
    discount = (1 + rate) ** -t.astype(float)
    assert model.lifetime(rate, params) == pytest.approx(model.survival(t, params) @ discount, rel=1e-9)
    survival = model.survival(np.arange(renewals, renewals + t.size + 1), params)
    if survival[0] > 1e-250:
        coming = survival[1:] / survival[0] @ discount
        assert model.residual_lifetime(renewals, rate, params) == pytest.approx(coming, rel=1e-9)


def test_weibull_lifetime_without_discount_has_an_end_only_if_survival_falls_fast():
    model = BetaDiscreteWeibull()
    assert model.lifetime(0, [0.5, 4, 2]) == np.inf  # alpha x c = 1
    assert model.lifetime(0, [2, 4, 0.4]) == np.inf
    t = np.arange(2_000_000)
    seen, rest = model.survival(t, [1.2, 4, 2]).sum(), model.survival(t.size, [1.2, 4, 2]) * t.size / (1.2 * 2 - 1)
    assert model.lifetime(0, [1.2, 4, 2]) == pytest.approx(seen + rest, rel=1e-9)
    near = model.lifetime([0, 1e-13], [3, 4, 0.9])
    assert near[0] == pytest.approx(near[1], rel=1e-9)
    assert np.isfinite(model.lifetime(0, [20, 0.2, 0.0501]))
    both = model.residual_lifetime([0, 3], 0.1, [[0.5, 4, 2], [np.nan] * 3, [0.5, 4, 1.1]])
    assert both.shape == (3, 2)
    assert np.isnan(both).sum(axis=1).tolist() == [0, 2, 0]


@pytest.mark.parametrize("c", [0.6, 1.0, 1.8])
def test_the_weibull_finds_the_world_that_made_the_cohort(c):
    rng = np.random.default_rng(6)
    leave, luck = rng.beta(0.9, 4, 60_000), rng.random(60_000)
    life = np.ceil((np.log(luck) / np.log1p(-leave)) ** (1 / c))
    model = BetaDiscreteWeibull().fit([(life > t).sum() for t in range(11)])
    assert model.message == "Converged."
    assert (np.abs(model.params - [0.9, 4, c]) < 3 * model.standard_errors).all()
    assert model.survival(20) == pytest.approx((life > 20).mean(), abs=0.01)
    rate, here = 0.1, life > 3
    seen = ((1 + rate) * (1 - (1 + rate) ** -(np.fmin(life[here], 400) - 4)) / rate).mean()  # payments 4, 5 ... made
    assert model.residual_lifetime(3, rate) == pytest.approx(seen, rel=0.02)


@settings(max_examples=5, deadline=None)
@given(lost=st.lists(st.integers(1, 400), min_size=4, max_size=9), kept=st.integers(1, 500))
def test_the_weibull_fit_is_the_highest_of_many_starts(lost, kept):
    survivors = kept + np.cumsum(lost[::-1])[::-1]
    survivors = [*survivors.tolist(), kept]
    model = BetaDiscreteWeibull().fit(survivors)
    rows = np.array([[t + 1, 1.0] for t in range(len(lost))] + [[len(lost), 0.0]])
    rng = np.random.default_rng(3)
    for theta in rng.uniform([-4, -4, -2], [4, 5, 2], (60, 3)):
        value = model._rows(np.exp(theta), rows)[0] @ np.array([*lost, kept])
        assert value <= model.log_likelihood + 1e-6
    assert model.log_likelihood >= ShiftedBetaGeometric().fit(survivors).log_likelihood - 1e-6


def test_cohorts_of_different_length_give_one_fit_however_they_come():
    rows = [REGULAR, REGULAR[:5], REGULAR[:2]]
    model = ShiftedBetaGeometric().fit(rows)
    frame = pd.DataFrame(rows, index=["2021", "2022", "2023"])
    assert frame.isna().any(axis=None)
    assert ShiftedBetaGeometric().fit(frame).params.tolist() == model.params.tolist()
    assert ShiftedBetaGeometric().fit(frame.to_numpy()).params.tolist() == model.params.tolist()
    assert model.n == 3000
    parts = [model._rows(model.params.to_numpy(), np.array([[t, 1.0]]))[0][0] for t in range(1, 8)]
    by_hand = sum(
        -np.diff(row) @ parts[: len(row) - 1] + row[-1] * np.log(model.survival(len(row) - 1)) for row in rows
    )
    assert model.log_likelihood == pytest.approx(by_hand)
    same = ShiftedBetaGeometric().fit(pd.Series(REGULAR))
    assert same.params.tolist() == pytest.approx(ShiftedBetaGeometric().fit([REGULAR] * 3).params.tolist())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=4, max_size=40))
def test_a_cohort_equals_its_people_one_by_one(people):
    people = [(1, True), (2, True), (3, True), (4, False), *people]
    one_by_one = [[1] * t + ([0] if left else [1]) for t, left in people]
    pooled = pd.DataFrame(one_by_one).groupby([len(row) for row in one_by_one]).sum(min_count=1)
    rows, cohorts = ShiftedBetaGeometric().fit(one_by_one), ShiftedBetaGeometric().fit(pooled)
    assert rows.n == cohorts.n == len(people)
    assert rows.params.tolist() == pytest.approx(cohorts.params.tolist(), rel=1e-6)
    assert rows.log_likelihood == pytest.approx(cohorts.log_likelihood, abs=1e-8)


@pytest.mark.parametrize(
    ("model", "params"),
    [
        (ShiftedBetaGeometric(), [0.7, 3.8]),
        (BetaDiscreteWeibull(), [0.7, 3.8, 1.4]),
        (BetaDiscreteWeibull(), [9.0, 0.3, 0.3]),
        (BetaDiscreteWeibull(), [0.05, 400.0, 4.0]),
    ],
)
def test_the_gradient_is_that_of_the_likelihood(model, params):
    rows = np.array([[t, lost] for t in (1, 2, 40) for lost in (0.0, 1.0)])
    theta = np.log(params)
    for k, move in enumerate(np.eye(len(params)) * 1e-6):
        up, down = (model._rows(np.exp(theta + side * move), rows)[0] for side in (1, -1))
        assert model._rows(np.exp(theta), rows)[1][:, k] == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-8)


def simulated(people: int, seed: int, renewals: int = 6) -> np.ndarray:
    """Return renewals survived, up to the last one seen, of people with chances beta(0.8, 3)."""
    rng = np.random.default_rng(seed)
    return np.minimum(rng.geometric(rng.beta(0.8, 3, people)) - 1, renewals)


def test_standard_errors_are_the_spread_over_simulated_cohorts():
    fits = []
    for seed in range(150):
        kept = simulated(3000, seed)
        fits.append(ShiftedBetaGeometric().fit([(kept >= t).sum() for t in range(7)]))
    gaps = np.array([(fit.params - [0.8, 3]) / fit.standard_errors for fit in fits])
    assert np.abs(gaps.mean(axis=0)).max() < 0.3  # 1 / sqrt(150) = 0.08, plus the small-sample bias
    assert ((gaps.std(axis=0) > 0.85) & (gaps.std(axis=0) < 1.15)).all()


@pytest.mark.parametrize(
    ("kind", "people", "typical"), [(ShiftedBetaGeometric, 4000, 0.05), (BetaDiscreteWeibull, 100_000, 0.3)]
)
def test_refits_to_all_resamples_at_once_are_the_fits_of_each(kind, people, typical):
    kept = simulated(people, 1)
    fold = np.random.default_rng(2).integers(0, 256, kept.size)
    table = np.stack([np.bincount(fold, kept >= t, minlength=256) for t in range(7)], axis=1)
    model, resamples = kind().fit(table.sum(axis=0)), with_plain(group_weights(1000, 3)) @ table
    params = refits(model, resamples[:, :-1], resamples[:, :-1] - resamples[:, 1:])
    assert params.shape == (1001, len(kind.names))
    assert params[0].tolist() == pytest.approx(model.params.tolist())
    honest = np.array([kind().fit(row).params for row in resamples[1:11]])
    gap = (np.log(params[1:11]) - np.log(honest)) / np.log(params[1:]).std(axis=0)
    assert np.abs(gap).max() < typical
    assert params[1:].std(axis=0) == pytest.approx(model.standard_errors.to_numpy(), rel=0.35)
    assert model.lifetime(0.1, params).shape == (1001,)
    assert model.survival([0, 1, 2], params).shape == (1001, 3)


@pytest.mark.parametrize(
    ("survivors", "words"),
    [
        ([[100, 80, 60], [100, 50, 55]], "survivors increase in row 1"),
        ([100, np.nan, 50], "a count is missing"),
        ([[100, 90, 80], [np.nan, 90, 80]], "a count is missing in row 1"),
        ([100, 50, -1], "negative or infinite"),
        ([100, 100, 100], "nobody left"),
        ([[100, 60], [90, 50]], "nobody reached a second renewal"),
        ([100, 0, 0], "nobody reached a second renewal"),
        ([], "give counts"),
    ],
)
def test_impossible_cohorts_are_refused(survivors, words):
    with pytest.raises(ValueError, match=words):
        ShiftedBetaGeometric().fit(survivors)


def test_wrong_questions_are_refused():
    model = ShiftedBetaGeometric().fit(REGULAR)
    for call, words in (
        (lambda: model.survival(1.5), "t is not a whole number from 0 up"),
        (lambda: model.retention(0), "t is not a whole number from 1 up"),
        (lambda: model.residual_lifetime(-1, 0.1), "renewals is not a whole number"),
        (lambda: model.lifetime(10), "0.1 for 10 %"),
        (lambda: model.lifetime(-0.1), "between 0 and 1"),
        (lambda: ShiftedBetaGeometric().survival(1), "call fit first"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_a_fit_that_fails_or_rests_on_little_says_so():
    ridge = ShiftedBetaGeometric().fit([100, 99, 97, 94, 90])  # churn that rises
    assert not ridge.converged
    assert "does not fall with tenure" in ridge.message
    assert ridge.standard_errors.isna().all()
    assert "hardly determine" in ShiftedBetaGeometric().fit([10, 7, 6, 5]).message
    assert "hardly determine" in BetaDiscreteWeibull().fit([40, 28, 22, 19, 17]).message
    alike = BetaDiscreteWeibull().fit([1000, 800, 640, 512, 410, 328])  # one rate for everyone: no spread to find
    assert "hardly determine" in alike.message
    assert "fit the shifted beta-geometric" in alike.message
    with pytest.raises(ValueError, match="nobody reached a third renewal, so three parameters"):
        BetaDiscreteWeibull().fit([100, 80, 70])
    percent = ShiftedBetaGeometric().fit([100, 63.1, 46.8, 38.2, 32.6, 28.9, 26.2, 24.1])
    assert "percentages" in percent.message
    assert percent.params["alpha"] == pytest.approx(0.7041, abs=0.0001)
