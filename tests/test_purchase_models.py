"""Models of purchase timing compared with plain integration over buyers whose rates are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import betaln, expit, gammaln, log_expit

from cxlib.stats.repeat_buying import BetaGeoNBD, GammaGamma, ModifiedBetaGeoNBD, ParetoNBD, TimingModel


def by_integration(model: TimingModel, params: list[float], x: int, last: float, age: float, t: float) -> np.ndarray:
    """Average log-likelihood, probability of being active and forecast of one buyer of known rates over all rates."""
    first, alpha, third, fourth = params
    y, z = np.arange(-80, 12, 0.12)[:, None], np.arange(-60, 60, 0.12)
    rate, log_weight = np.exp(y), first * np.log(alpha * np.exp(y)) - alpha * np.exp(y) - gammaln(first)
    if isinstance(model, ParetoNBD):
        leave = np.exp(z)
        log_weight = log_weight + third * np.log(fourth * leave) - fourth * leave - gammaln(third)
        both = rate + leave
        there = np.exp(-both * age)
        gone = leave / both * (np.exp(-both * last) - there)
        ahead = rate * -np.expm1(-leave * t) / leave
    else:
        leave, stay, left = expit(z), log_expit(-z), x + model.first - 1
        log_weight = log_weight + third * log_expit(z) + fourth * stay - betaln(third, fourth)
        there = np.exp((left + 1) * stay - rate * age)
        gone = leave * np.exp(left * stay - rate * last) * (left >= 0)
        ahead = -np.expm1(-rate * leave * t) / leave
    weight = np.exp(log_weight + x * y) * 0.12**2
    total = (weight * (there + gone)).sum()
    return np.array([np.log(total), (weight * there).sum() / total, (weight * there * ahead).sum() / total])


@pytest.mark.parametrize("past", [(0, 0.0, 12.0), (1, 3.0, 20.0), (6, 11.0, 12.5), (9, 8.0, 30.0), (4, 10.0, 10.0)])
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (BetaGeoNBD, [0.6, 5.0, 0.8, 2.5]),
        (ModifiedBetaGeoNBD, [0.6, 5.0, 0.8, 2.5]),
        (ParetoNBD, [0.6, 10.0, 0.7, 4.0]),
        (ParetoNBD, [1.3, 2.0, 1.0, 9.0]),
        (ParetoNBD, [0.8, 5.0, 0.9, 5.0]),
    ],
)
def test_likelihood_chance_and_forecast_are_means_over_buyers_of_known_rates(kind, params, past):
    model = kind()
    log_likelihood, alive, ahead = by_integration(model, params, *past, t=15.0)
    assert model._rows(np.array(params), np.array([past]))[0][0] == pytest.approx(log_likelihood, abs=1e-9)
    assert model.probability_alive(*past, params) == pytest.approx(alive, rel=1e-8)
    assert model.predict(15.0, *past, params) == pytest.approx(ahead, rel=1e-8)


def test_pareto_nbd_at_the_ends_of_its_parameters():
    model = ParetoNBD()
    near = model.expected_purchases(50, [[0.6, 10, s, 8] for s in (1 - 1e-6, 1, 1 + 1e-6)])
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-10)
    assert model.expected_purchases(50, [0.6, 10, 1e-9, 8]) == pytest.approx(0.6 / 10 * 50, rel=1e-7)  # nobody leaves
    assert model.probability_alive(3, 5, 60, [0.6, 10, 1e-9, 8]) == pytest.approx(1, abs=1e-6)
    assert model.predict(50, 3, 20, 20, [0.6, 10, 1.5, 8]) == pytest.approx(
        3.6 * 28 / (30 * 0.5) * (1 - (28 / 78) ** 0.5)
    )


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (BetaGeoNBD, [0.6, 5.0, 0.8, 2.5]),
        (ModifiedBetaGeoNBD, [0.6, 5.0, 0.8, 2.5]),
        (ParetoNBD, [0.6, 10.0, 0.7, 4.0]),
    ],
)
def test_simulated_futures_have_the_mean_that_is_forecast(kind, params):
    model = kind()
    model.params = pd.Series(params, index=list(kind.names))
    x, recency, age = np.array([0.0, 1, 6, 4]), np.array([0.0, 3, 11, 10]), np.array([12.0, 20, 12.5, 10])
    made = model.simulate(np.random.default_rng(1), 40_000, 15.0, x, recency, age)
    error = made.std(axis=0) / np.sqrt(len(made))
    assert (np.abs(made.mean(axis=0) - model.predict(15.0, x, recency, age)) < 4 * error).all()
    gone = (made == 0).mean(axis=0)
    assert (gone >= 1 - model.probability_alive(x, recency, age) - 0.01).all()


def test_squares_of_spend_are_those_of_simulated_buyers():
    model, rng = GammaGamma(), np.random.default_rng(2)
    model.params = pd.Series({"p": 6.0, "q": 8.0, "v": 15.0})
    rate = rng.gamma(8 + 6 * 3, 1 / (15 + 3 * 20), 400_000)  # given three purchases of 20 on average
    spend = rng.gamma(6, 1 / rate)
    found = model.square(np.array([3.0]), np.array([20.0]))
    assert [f[0] for f in found] == pytest.approx([np.mean(spend**2), np.mean((6 / rate) ** 2)], rel=0.01)
