"""Models of purchase timing compared with plain integration over buyers whose rates are known, and condensed fits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaln, expit, gammaln, log_expit

from cxlib.stats import repeat_buying
from cxlib.stats.condensed import UNIT, condense
from cxlib.stats.likelihood import collapse
from cxlib.stats.repeat_buying import BetaGeoNBD, ModifiedBetaGeoNBD, ParetoNBD, TimingModel


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


# Very many histories ------------------------------------------------------------------------------------------------


def histories(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate buyers by whole days, in weeks: distinct histories, how many share each, and a fold for each."""
    rng = np.random.default_rng(7)
    age = rng.integers(7, 730, n)
    stays = np.fmin(rng.exponential(1, n) / rng.gamma(0.6, 1 / 80, n), age)
    x = rng.poisson(rng.gamma(0.5, 1 / 60, n) * stays)
    last = np.where(x > 0, np.ceil(stays * rng.random(n) ** (1 / np.fmax(x, 1))), 0)
    rows, code = collapse(np.column_stack([x, last / 7, age / 7]))
    return rows, np.bincount(code).astype(float), rng.integers(0, 32, len(rows))


@pytest.mark.parametrize(("kind", "n"), [(BetaGeoNBD, 30_000), (ModifiedBetaGeoNBD, 60_000), (ParetoNBD, 12_000)])
def test_a_fit_to_condensed_histories_is_the_fit_to_all_of_them(monkeypatch, kind, n):
    rows, weights, fold = histories(n)
    exact = kind().fit(*rows.T, weights=weights)
    monkeypatch.setattr(repeat_buying, "MANY", 2000)
    passed = []
    rows_of = kind._rows
    monkeypatch.setattr(kind, "_rows", lambda self, p, r: passed.append(len(r)) or rows_of(self, p, r))
    model = kind().fit(*rows.T, weights=weights)
    assert np.median(passed) < len(rows) / 2  # it was condensed
    assert model.message == exact.message == "Converged."
    assert model.n == weights.sum()
    assert model.params.tolist() == pytest.approx(exact.params.tolist(), rel=1e-5)
    assert model.standard_errors.tolist() == pytest.approx(exact.standard_errors.tolist(), rel=1e-2)
    assert model.log_likelihood == pytest.approx(exact.log_likelihood, rel=1e-9)
    totals = [m.predict(52, *rows.T) @ weights for m in (model, exact)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-6)
    moved = [m.moves(32, *rows.T, fold, weights=weights) for m in (model, exact)]
    assert moved[0] == pytest.approx(moved[1], rel=1e-3, abs=1e-6)
    whole = kind().fit(*(np.repeat(column, weights.astype(int)) for column in rows.T))  # one by one: counted first
    assert whole.params.tolist() == pytest.approx(model.params.tolist(), rel=1e-12)


def test_nodes_that_do_not_stand_for_the_histories_are_not_used(monkeypatch):
    rows, weights, _ = histories(20_000)
    exact = BetaGeoNBD().fit(*rows.T, weights=weights)
    monkeypatch.setattr(repeat_buying, "MANY", 2000)
    monkeypatch.setattr(repeat_buying, "condense", lambda rows, weights: (rows * [1, 1, 1.2], weights))
    model = BetaGeoNBD().fit(*rows.T, weights=weights)
    assert model.params.tolist() == exact.params.tolist()
    assert model.log_likelihood == exact.log_likelihood


def test_condensing_keeps_sums_of_polynomials_and_all_who_bought_so_often():
    rows, weights, _ = histories(60_000)
    nodes, spread = condense(rows, weights)
    assert len(nodes) < len(rows) / 3
    unit = rows[:, 2].max() * UNIT
    for x in range(4):
        sums = []
        for part, n in ((rows, weights), (nodes, spread)):
            of, n = part[part[:, 0] == x], n[part[:, 0] == x]
            start, end = np.log1p(of[:, 1:] / unit).T
            wait = np.log1p((x + 1) * (end - start))
            powers = [start**i * wait**j for i, j in ((0, 0), (1, 0), (5, 0), (0, 5), (3, 4), (5, 5))] if x else []
            sums.append([n @ p for p in (powers or [end**i for i in range(6)])])
        assert sums[1] == pytest.approx(sums[0], rel=1e-9)
