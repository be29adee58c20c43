"""Repeat buying against the published CDNOW figures, simulations with known truth, and independent formulas."""

from __future__ import annotations

import hashlib
import importlib.metadata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.special import betaln, gammaln

from cxlib.stats.draws import group_weights
from cxlib.stats.repeat_buying import (
    BetaGeoNBD,
    GammaGamma,
    ModifiedBetaGeoNBD,
    ParetoNBD,
    TimingModel,
    spend_frequency_correlation,
)

TIMING = [BetaGeoNBD, ModifiedBetaGeoNBD, ParetoNBD]


def cdnow_log() -> pd.DataFrame:
    """Read the CDNOW 1/10 sample up to 30 September 1997, purchases of one day merged."""
    (path,) = [f.locate() for f in importlib.metadata.files("lifetimes") if f.name == "CDNOW_sample.txt"]
    log = pd.read_csv(path, sep=r"\s+", header=None, names=["master", "id", "day", "cds", "spend"])
    log["day"] = pd.to_datetime(log["day"].astype(str))
    return log[log["day"] <= "1997-09-30"].groupby(["id", "day"], as_index=False)["spend"].sum()


@pytest.fixture(scope="module")
def buyers() -> pd.DataFrame:
    """One row per CDNOW customer, in weeks, with a fold made from the id."""
    day = cdnow_log().groupby("id")["day"]
    end = pd.Timestamp("1997-09-30")
    frame = pd.DataFrame({"x": day.count() - 1, "last": (day.max() - day.min()).dt.days / 7})
    frame["age"] = (end - day.min()).dt.days / 7
    frame["fold"] = [int(hashlib.md5(str(i).encode()).hexdigest(), 16) % 256 for i in frame.index]
    return frame


@pytest.fixture(scope="module")
def spenders() -> pd.DataFrame:
    """Repeat buyers with the mean spend of their repeat purchases."""
    log = cdnow_log()
    again = log[log["day"] > log.groupby("id")["day"].transform("min")]
    frame = again.groupby("id")["spend"].agg(x="count", spend="mean")
    frame["fold"] = [int(hashlib.md5(str(i).encode()).hexdigest(), 16) % 256 for i in frame.index]
    return frame


@pytest.fixture(scope="module")
def fitted(buyers) -> dict[type[TimingModel], TimingModel]:
    return {kind: kind().fit(buyers["x"], buyers["last"], buyers["age"]) for kind in TIMING}


@pytest.fixture(scope="module")
def model(fitted) -> BetaGeoNBD:
    return fitted[BetaGeoNBD]


# Published figures ------------------------------------------------------------------------------------------------


def test_cdnow_bg_nbd_fader_hardie_lee_2005_table_2(buyers, model):
    assert len(buyers) == 2357
    assert buyers["x"].sum() == 2457
    assert model.params.index.tolist() == ["r", "alpha", "a", "b"]
    assert model.params.tolist() == pytest.approx([0.243, 4.414, 0.793, 2.426], rel=0.002)
    assert model.log_likelihood == pytest.approx(-9582.43, abs=0.01)
    assert model.converged
    assert model.message == "Converged."
    assert model.n == 2357


def test_cdnow_bg_nbd_expected_purchases_of_the_authors_spreadsheet(model):
    found = model.expected_purchases([0.1429, 1, 3, 31.8571, 32, 78])
    assert found.round(4).tolist() == [0.0078, 0.0532, 0.1506, 1.0405, 1.0437, 1.858]
    assert isinstance(model.expected_purchases(1), float)


def test_cdnow_bg_nbd_one_customer_fader_hardie_lee_2005_spreadsheet(model):
    assert model.predict(39, 2, 30.43, 38.86) == pytest.approx(1.226, abs=0.0005)
    assert model.predict(0, 2, 30.43, 38.86) == 0


def test_cdnow_pareto_nbd_fader_hardie_lee_2005_table_2(fitted):
    model = fitted[ParetoNBD]
    assert model.params.index.tolist() == ["r", "alpha", "s", "beta"]
    assert model.params[:3].tolist() == pytest.approx([0.553, 10.578, 0.606], rel=0.005)
    assert model.params["beta"] == pytest.approx(11.669, rel=0.01)
    assert model.log_likelihood == pytest.approx(-9594.98, abs=0.01)
    assert model.message == "Converged."


def test_cdnow_pareto_nbd_forecasts_of_the_btyd_walkthrough(fitted):
    model, heavy = fitted[ParetoNBD], (26, 30.86, 31)  # its customer 1516
    assert model.expected_purchases(52) == pytest.approx(1.473, abs=0.0005)
    assert model.predict(52, *heavy) == pytest.approx(25.46, abs=0.005)
    assert model.probability_alive(*heavy) == pytest.approx(0.9979, abs=0.00005)


def test_cdnow_mbg_nbd_parameters_of_btydplus(fitted):
    assert fitted[ModifiedBetaGeoNBD].params.tolist() == pytest.approx([0.525, 6.183, 0.891, 1.614], abs=0.0005)
    assert fitted[ModifiedBetaGeoNBD].message == "Converged."


def test_cdnow_gamma_gamma_fader_hardie_note_025(spenders):
    model = GammaGamma().fit(spenders["x"], spenders["spend"])
    assert len(spenders) == 946
    assert model.params.index.tolist() == ["p", "q", "v"]
    assert model.params.tolist() == pytest.approx([6.25, 3.74, 15.44], rel=0.002)
    assert model.log_likelihood == pytest.approx(-4055.92, abs=0.01)
    p, q, v = model.params
    assert model.mean_spend() == pytest.approx(p * v / (q - 1))
    weight = (q - 1) / (p * 4 + q - 1)  # the paper's weighted average of everyone's mean and one's own
    assert model.predict(4, 50) == pytest.approx(weight * model.mean_spend() + (1 - weight) * 50)
    assert model.predict([0, 4], [np.nan, 50]).tolist() == [model.mean_spend(), model.predict(4, 50)]


def test_cdnow_spend_and_frequency_hardly_correlate_fader_hardie_lee_2005_rfm(spenders):
    found = spend_frequency_correlation(spenders["x"], spenders["spend"])
    assert found.value == pytest.approx(np.corrcoef(spenders["x"], spenders["spend"])[0, 1])
    assert found.value == pytest.approx(0.11, abs=0.005)
    assert found.low < 0 < found.value < found.high


# Counts, units, derivatives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TIMING)
def test_collapsed_rows_with_counts_are_the_rows(buyers, fitted, kind):
    collapsed = buyers.groupby(["x", "last", "age"]).size().reset_index(name="n")
    assert len(collapsed) == 1016
    columns = (collapsed["x"], collapsed["last"], collapsed["age"])
    same, model = kind().fit(*columns, weights=collapsed["n"]), fitted[kind]
    assert same.params.tolist() == pytest.approx(model.params.tolist(), rel=1e-9)
    assert same.standard_errors.tolist() == pytest.approx(model.standard_errors.tolist(), rel=1e-6)
    assert same.log_likelihood == pytest.approx(model.log_likelihood, abs=1e-7)


def test_rows_without_their_counts_are_another_model(buyers):
    wrong = BetaGeoNBD().fit(*buyers[["x", "last", "age"]].drop_duplicates().to_numpy().T)
    assert wrong.params.tolist() == pytest.approx([1.710, 13.198, 0.671, 1.361], rel=0.002)


@pytest.mark.parametrize("kind", TIMING)
def test_days_or_weeks_give_the_same_fit(buyers, fitted, kind):
    weeks, days = fitted[kind], kind().fit(buyers["x"], buyers["last"] * 7, buyers["age"] * 7)
    unit = np.where(np.isin(kind.names, ["alpha", "beta"]), 7, 1)
    assert days.params.tolist() == pytest.approx((weeks.params * unit).tolist(), rel=1e-7)
    assert days.log_likelihood == pytest.approx(weeks.log_likelihood - buyers["x"].sum() * np.log(7), abs=1e-6)
    assert days.predict(273, 2, 213, 272) == pytest.approx(weeks.predict(39, 2, 213 / 7, 272 / 7), rel=1e-7)
    assert days.expected_purchases(364) == pytest.approx(weeks.expected_purchases(52), rel=1e-7)
    alive = weeks.probability_alive(2, 213 / 7, 272 / 7)
    assert days.probability_alive(2, 213, 272) == pytest.approx(alive, rel=1e-7)


buyer = st.tuples(st.integers(0, 6), st.floats(0.1, 1), st.integers(1, 60), st.integers(1, 4))


def is_one_fit(weighted, repeated):
    assert (weighted.converged, weighted.n) == (repeated.converged, repeated.n)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-8)
    if weighted.converged:
        assert weighted.params.tolist() == pytest.approx(repeated.params.tolist(), rel=1e-6)
    else:  # on a ridge the likelihood is flat: many parameters are as good, and both fits must say so
        assert weighted.message.startswith("No maximum was found")
        assert weighted.message == repeated.message


def as_columns(rows: list[tuple]) -> tuple[np.ndarray, ...]:
    """Return x, last, age, the share of age that last is, and n; somebody bought again."""
    x, share, age, n = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    x[0], last = 1, np.where(x > 0, np.round(share * age, 2), 0)
    last[0] = age[0] / 2
    return x, last, age, share, n


def weighted_and_repeated(kind, columns, n):
    return kind().fit(*columns, weights=n), kind().fit(*(np.repeat(column, n.astype(int)) for column in columns))


@settings(max_examples=15, deadline=None)
@given(st.lists(buyer, min_size=3, max_size=20))
def test_weighted_rows_equal_repeated_rows(rows):
    x, last, age, share, n = as_columns(rows)
    is_one_fit(*weighted_and_repeated(BetaGeoNBD, (x, last, age), n))
    spend, bought = 10 + 50 * share, x + 1
    is_one_fit(*weighted_and_repeated(GammaGamma, (bought, spend), n))
    times = n.astype(int)
    first = spend_frequency_correlation(bought, spend, weights=n)
    second = spend_frequency_correlation(np.repeat(bought, times), np.repeat(spend, times))
    assert first.value == pytest.approx(second.value, nan_ok=True, abs=1e-7)
    assert first.se == pytest.approx(second.se, nan_ok=True, abs=1e-7)


@settings(max_examples=5, deadline=None)
@given(st.lists(buyer, min_size=3, max_size=20))
def test_weighted_rows_equal_repeated_rows_where_the_first_purchase_may_be_the_last(rows):
    *columns, _, n = as_columns(rows)
    is_one_fit(*weighted_and_repeated(ModifiedBetaGeoNBD, columns, n))


@settings(max_examples=40, deadline=None)
@given(
    logs=st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    x=st.sampled_from([0, 1, 2, 40, 1000]),
    share=st.floats(0.01, 1),
    age=st.floats(0.5, 3000),
)
def test_gradients_are_those_of_the_likelihood(logs, x, share, age):
    def check(model: TimingModel | GammaGamma, theta: np.ndarray, row: np.ndarray) -> None:
        gradient = model._rows(np.exp(theta), row)[1][0]
        for k, move in enumerate(np.eye(len(theta)) * 1e-5):
            up, down = (model._rows(np.exp(theta + side * move), row)[0][0] for side in (1, -1))
            assert gradient[k] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-3)

    for kind in TIMING:
        check(kind(), np.array(logs), np.array([[x, share * age if x else 0, age]]))
    check(GammaGamma(), np.array(logs[:3]), np.array([[x + 1, age]]))


def test_the_bg_nbd_likelihood_is_the_formula_of_the_paper():
    r, alpha, a, b = 0.3, 5.0, 0.8, 2.5
    for x, last, age in ((0, 0, 10), (1, 4, 10), (7, 9.5, 12)):
        stayed = np.exp(betaln(a, b + x) - betaln(a, b)) * (alpha + age) ** -(r + x)
        left = np.exp(betaln(a + 1, b + x - 1) - betaln(a, b)) * (alpha + last) ** -(r + x) if x else 0
        rising = np.prod(r + np.arange(x)) * alpha**r
        value = BetaGeoNBD()._rows(np.array([r, alpha, a, b]), np.array([[x, last, age]]))[0][0]
        assert value == pytest.approx(np.log(rising * (stayed + left)))


# Known truth ------------------------------------------------------------------------------------------------------


def simulate(n: int, model: TimingModel, truth: list[float], ends: list[float]) -> dict[str, np.ndarray]:
    """Live the story of a model: counts up to each end, last purchase and being there at the first end."""
    rng = np.random.default_rng(17)
    r, alpha, third, fourth = truth
    rate, life, leave = rng.gamma(r, 1 / alpha, n), np.full(n, np.inf), np.zeros(n)
    if isinstance(model, ParetoNBD):
        life = rng.exponential(1, n) / rng.gamma(third, 1 / fourth, n)
        there = life > ends[0]
        going = np.ones(n, dtype=bool)
    else:
        leave = rng.beta(third, fourth, n)
        going = rng.random(n) >= leave * model.first
        there = going.copy()
    clock, counts, last = np.zeros(n), {end: np.zeros(n) for end in ends}, np.zeros(n)
    while going.any():
        clock = np.where(going, clock + rng.exponential(1, n) / rate, np.inf)
        going &= clock < np.fmin(life, max(ends))
        for end in ends:
            counts[end] += going & (clock < end)
        early = going & (clock < ends[0])
        last = np.where(early, clock, last)
        leaves = going & (rng.random(n) < leave)
        there &= ~(early & leaves)
        going &= ~leaves
    return {"x": counts[ends[0]], "later": counts[ends[1]], "last": last, "there": there}


@pytest.mark.parametrize(
    ("kind", "truth", "n", "error"),  # error: how well so many buyers tell each parameter, beta of Pareto/NBD worst
    [
        (BetaGeoNBD, [0.6, 6.0, 0.9, 3.0], 100_000, 0.10),
        (ModifiedBetaGeoNBD, [0.6, 6.0, 0.9, 3.0], 60_000, 0.15),
        (ParetoNBD, [0.8, 6.0, 0.7, 20.0], 20_000, 0.20),
    ],
)
def test_forecasts_and_chances_of_being_alive_are_those_of_the_simulated_world(kind, truth, n, error):
    model, age, ahead = kind(), 40.0, 60.0
    world, ages = simulate(n, model, truth, ends=[age, age + ahead]), np.full(n, age)
    bought = world["later"] - world["x"]
    for t, count in ((age, world["x"]), (age + ahead, world["later"])):
        expected = model.expected_purchases(t, params=truth)
        assert abs(count.mean() - expected) < 3.3 * count.std() / np.sqrt(n)
    alive = model.probability_alive(world["x"], world["last"], ages, params=truth)
    forecast = model.predict(ahead, world["x"], world["last"], ages, params=truth)
    groups = np.where(world["x"] > 0, pd.Series(alive).where(world["x"] > 0).rank(pct=True) * 8 // 1.0001, -1)
    known = (alive < 1) | (world["x"] > 0)  # where a buyer without a repeat is there for certain, there is no spread
    for seen, expected in ((world["there"].astype(float), alive), (bought, forecast)):
        table = pd.DataFrame({"seen": seen, "expected": expected})[known].groupby(groups[known])
        gap = (table["seen"].mean() - table["expected"].mean()) / table["seen"].sem()
        assert len(gap) == 8 + (kind is not BetaGeoNBD)
        assert gap.abs().max() < 3.5
    fit = model.fit(world["x"], world["last"], ages)
    assert (np.abs(fit.params - truth) < 3 * fit.standard_errors).all()
    assert (fit.standard_errors < error * fit.params).all()


def test_everyone_without_a_repeat_is_alive(model):
    assert model.probability_alive([0, 0, 2], [0, 0, 3.0], [1, 3000, 3000])[:2].tolist() == [1, 1]
    assert model.probability_alive(0, 0, 38) == 1


@pytest.mark.parametrize("kind", TIMING)
def test_long_histories_stay_finite(fitted, kind):
    model = fitted[kind]
    x, last, age = np.array([1000, 1000, 1, 0, 0]), np.array([2999.0, 30, 1, 0, 0]), np.array([3000.0] * 4 + [0])
    for params in (model.params.to_numpy(), [5, 0.01, 3, 500], [0.01, 900, 0.01, 0.02], [1, 1, 1, 1]):
        value, gradient = model._rows(np.array(params), np.column_stack([x, last, age]))
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()
        alive, ahead = (f(x, last, age, params) for f in (model.probability_alive, lambda *p: model.predict(3000, *p)))
        assert ((alive >= 0) & (alive <= 1)).all()
        assert (np.isfinite(ahead) & (ahead >= 0)).all()
        assert (np.diff(model.expected_purchases([1, 10, 100, 3000, 1e5], params)) > 0).all()
    alive, ahead = model.probability_alive(x, last, age), model.predict(3000, x, last, age)
    assert alive[0] > 0.99
    assert alive[1] < 1e-100
    assert 100 < ahead[0] < 1000


@pytest.mark.parametrize(
    ("kind", "just_bought"), [(BetaGeoNBD, 2.4 / 3.2), (ModifiedBetaGeoNBD, 3.4 / 4.2), (ParetoNBD, 1)]
)
def test_who_has_just_bought_may_have_left_only_by_chance(kind, just_bought):
    params = [0.6, 6.0, 0.8, 2.4]  # one repeat, at the end of the window
    assert kind().probability_alive(1, 30.0, 30.0, params) == pytest.approx(just_bought)


@pytest.mark.parametrize("depends", [False, True])
def test_the_correlation_interval_covers_with_skewed_spend(depends):
    rng = np.random.default_rng(8)

    def sample(n: int) -> tuple[np.ndarray, np.ndarray]:
        taste = rng.gamma(2, 1, n)
        return 1.0 + rng.poisson(taste), np.exp(0.2 * depends * taste + rng.normal(3, 0.7, n))

    truth = np.corrcoef(*sample(1_000_000))[0, 1]
    found = [spend_frequency_correlation(*sample(500)) for _ in range(600)]
    assert 0.93 < np.mean([e.low < truth < e.high for e in found]) < 0.98


# Moves by fold ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TIMING)
def test_whether_anybody_leaves_is_judged_against_buying_at_gamma_rates_alone(buyers, fitted, kind):
    x, age = (buyers[c].to_numpy(float) for c in ("x", "age"))

    def stays(theta):
        r, alpha = np.exp(theta)
        return -(gammaln(r + x) - gammaln(r) + r * np.log(alpha) - (r + x) * np.log(alpha + age)).sum()

    lowest = optimize.minimize(stays, [0.0, 2.0]).fun
    some = stats.chi2.sf(2 * (fitted[kind].log_likelihood + lowest), 2)
    assert fitted[kind].p_all_stay(x, buyers["last"], age) == pytest.approx(some, rel=1e-3)
    assert some < 1e-20
    rng = np.random.default_rng(3)
    rates, rows = rng.gamma(2, 1 / 20, 400), []
    for rate in rates:
        when = rng.exponential(1 / rate, 60).cumsum()
        when = when[when < 50]
        rows.append((len(when), when[-1] if len(when) else 0.0, 50.0))
    rows = np.array(rows).T
    assert kind().fit(*rows).p_all_stay(*rows) > 0.05


def refitted(model, columns, fold, weights):
    """Return by how much the logs of the parameters move when the folds count as often as in each row of weights."""
    found = [type(model)().fit(*columns, weights=row[fold]).params for row in weights]
    return np.log(np.array(found) / model.params.to_numpy())


@pytest.mark.parametrize("kind", TIMING)
def test_moves_are_those_of_refits_to_a_little_more_of_a_fold(buyers, fitted, kind):
    columns, fold, model = (buyers["x"], buyers["last"], buyers["age"]), buyers["fold"] % 8, fitted[kind]
    moves = model.moves(8, np.column_stack(columns), np.ones(len(fold)), fold)
    assert moves.shape == (8, 4)
    honest = refitted(model, columns, fold, 1 + 0.01 * np.eye(8)[:3]) / 0.01
    assert moves[:3] == pytest.approx(honest, abs=0.03 * np.abs(honest).max())
    assert moves.sum(axis=0) == pytest.approx(np.zeros(4), abs=1e-4 * np.abs(moves).max())


def test_moves_of_gamma_gamma_are_those_of_refits_to_resampled_folds(spenders):
    columns, fold = (spenders["x"], spenders["spend"]), spenders["fold"]
    model, weights = GammaGamma().fit(*columns), group_weights(1000, 3)
    moved = (weights - 1) @ model.moves(256, np.column_stack(columns), np.ones(len(fold)), fold)
    assert moved.std(axis=0) == pytest.approx((model.standard_errors / model.params).to_numpy(), rel=0.25)
    honest = refitted(model, columns, fold, weights[:20])
    assert np.sqrt(((moved[:20] - honest) ** 2).mean(axis=0)).max() < 0.5 * moved.std(axis=0).min()
    mean = model.mean_spend(params=model.params.to_numpy() * np.exp(moved))
    assert mean.shape == (1000,)


def test_moves_from_counts_are_those_from_rows(buyers, model):
    past = ["x", "last", "age"]
    rows = model.moves(256, buyers[past].to_numpy(float), np.ones(len(buyers)), buyers["fold"])
    counts = buyers.groupby([*past, "fold"]).size().reset_index(name="n")
    counted = model.moves(256, counts[past].to_numpy(float), counts["n"], counts["fold"])
    assert counted == pytest.approx(rows, rel=1e-6, abs=1e-12)


def test_draws_of_parameters_lead_the_axes_of_forecasts(model):
    params = np.vstack([model.params, model.params * 1.1])
    past = ([2, 0, 5], [30.43, 0, 20], [38.86, 10, 38.86])
    both = model.predict(39, *past, params=params)
    assert both.shape == (2, 3)
    assert both[0] == pytest.approx(model.predict(39, *past))
    assert model.expected_purchases([1, 2, 3, 4], params).shape == (2, 4)
    assert model.probability_alive(*past, params).shape == (2, 3)
    assert model.expected_purchases(5, params).shape == (2,)
    lost = model.predict(39, *past, params=np.vstack([params, [np.nan] * 4, [0.3, 4, 1, 2]]))
    assert np.isnan(lost).sum(axis=1).tolist() == [0, 0, 3, 0]  # a draw that failed stays unknown, alone
    with pytest.raises(ValueError, match="r, alpha, a, b"):
        model.predict(39, *past, params=params[:, :3])


# What is refused, and what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("recency", 11, "recency is above age in row 2"),
        ("recency", 0, "Merge purchases of one day"),
        ("recency", -1, "recency is negative in row 2"),
        ("frequency", 1.5, "frequency is not a whole number in row 2"),
        ("frequency", 0, "recency is above 0 without a repeat in row 2"),
        ("age", np.nan, "age is missing or infinite in row 2"),
        ("weights", -1, "weight is missing or negative in row 2"),
    ],
)
def test_impossible_rows_are_named(column, value, words):
    data = {"frequency": [0.0, 1, 2, 3], "recency": [0.0, 2, 5, 9], "age": [10.0] * 4, "weights": [1.0] * 4}
    data[column][2] = value
    with pytest.raises(ValueError, match=words):
        BetaGeoNBD().fit(**data)
    if column != "weights":
        with pytest.raises(ValueError, match=words):
            BetaGeoNBD().predict(5, data["frequency"], data["recency"], data["age"], params=[1, 1, 1, 1])


def test_nobody_bought_again_is_said_clearly():
    with pytest.raises(ValueError, match=r"none of 30 buyers bought again.*Lengthen the window"):
        BetaGeoNBD().fit([0, 0, 0], [0, 0, 0], [9, 8, 7], weights=[10, 10, 10])
    with pytest.raises(ValueError, match="all weights are 0"):
        BetaGeoNBD().fit([1], [1], [2], weights=[0])
    with pytest.raises(ValueError, match="one equal length"):
        BetaGeoNBD().fit([1, 2], [1], [2])
    with pytest.raises(ValueError, match="t is missing or negative"):
        BetaGeoNBD().expected_purchases(-1, params=[1, 1, 1, 1])
    with pytest.raises(ValueError, match="call fit first"):
        BetaGeoNBD().expected_purchases(1)


def test_a_fit_that_fails_says_so_and_gives_no_errors():
    x, last, age = [1] * 50 + [0] * 50, [20.0] * 50 + [0.0] * 50, [40.0] * 100
    model = BetaGeoNBD().fit(x, last, age)
    assert not model.converged
    assert "do not use these parameters" in model.message
    assert "50 of 100 buyers bought again" in model.message
    assert "in one unit" in model.message
    assert model.standard_errors.isna().all()
    assert np.isnan(model.moves(100, np.column_stack([x, last, age]), np.ones(100), np.arange(100))).all()


def test_a_fit_on_few_repeats_says_how_little_is_known(buyers):
    few = buyers.iloc[:60]
    model = BetaGeoNBD().fit(few["x"], few["last"], few["age"])
    assert "hardly determine" in model.message or not model.converged
    assert "of 60 buyers bought again" in model.message


def test_spend_without_purchases_is_refused():
    with pytest.raises(ValueError, match=r"frequency is below 1 in row 1 .*2 such rows.*fit those with frequency"):
        GammaGamma().fit([1, 0, 0], [10, 0, 0])
    with pytest.raises(ValueError, match="mean_spend is missing or not above 0 in row 0"):
        GammaGamma().fit([1, 2], [-4, 10])
    with pytest.raises(ValueError, match="mean_spend is missing"):
        GammaGamma().predict([1], [np.nan], params=[6, 4, 15])
    same = GammaGamma().fit([1, 2, 3] * 10, [20.0] * 30)
    assert not same.converged
    assert "nearly equal spends" in same.message


def test_an_infinite_mean_spend_is_infinite_and_said():
    assert GammaGamma().mean_spend(params=[6, 0.9, 15]) == np.inf
    rng = np.random.default_rng(2)
    model = GammaGamma().fit(np.full(3000, 3), rng.gamma(6, 1 / rng.gamma(0.8, 1, 3000)) / 3)
    assert model.params["q"] < 1
    assert "mean spend is infinite" in model.message
