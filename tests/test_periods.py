"""How far periods differ: closed forms, and worlds whose spread, memory and season are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cxlib.stats import periods

AHEAD = np.arange(12, 0, -1.0)[:, None] / 1000  # leaving early costs more than leaving late


def logs(rng, size, spread=0.0, season=0.0, memory=0.8):
    found = [rng.normal(0, spread)]
    for _ in range(size - 1):
        found.append(memory * found[-1] + rng.normal(0, spread * np.sqrt(1 - memory**2)))
    return np.array(found) + season * np.sin(2 * np.pi * (np.arange(size) / 12 + rng.random()))


def state(spread=0.0, memory=0.0, doubts=None):
    doubts = np.zeros((1, 12, 12)) if doubts is None else doubts
    return periods.Periods(24, np.zeros(12), np.ones(1), np.array([spread]), np.array([memory]), doubts)


def test_without_memory_the_mean_of_the_past_and_each_coming_period_err_for_themselves():
    found = state(0.3).variances(24, AHEAD)[0, 0]
    assert found == pytest.approx(0.09 * ((AHEAD**2).sum() + AHEAD.sum() ** 2 / 24))


def test_a_season_in_doubt_returns_every_twelfth_period():
    ahead = np.ones((24, 1))
    assert state(doubts=np.eye(12)[None]).variances(24, ahead)[0, 0] == pytest.approx(12 * 2**2)


def test_one_state_gives_the_normal_interval_and_two_a_mixture():
    e = periods.interval(10.0, 3.0, np.ones(1), np.ones(1), 5.0)
    assert [e.low, e.high, e.se] == pytest.approx([10 - 1.959964 * 2, 10 + 1.959964 * 2, 2])
    e = periods.interval(0.0, 0.0, np.array([0.5, 0.5]), np.array([1.0, 9.0]), 5.0, low=-1)
    assert (stats.norm.sf(e.high) + stats.norm.sf(e.high / 3)) / 2 == pytest.approx(0.025, abs=1e-6)
    assert e.low == -1
    assert np.isnan(periods.interval(1.0, 0.0, np.ones(1), np.zeros(1), 5.0).low)


def test_too_few_periods_tell_nothing():
    found = periods.fit(np.full(5, 50), np.full(5, 50.0))
    assert found.weights == pytest.approx(np.full(len(found.weights), 1 / len(found.weights)))
    assert not found.season.any()


def test_periods_alike_have_no_season_and_little_spread():
    rng = np.random.default_rng(1)
    found = [periods.fit(rng.poisson(60, 36), np.full(36, 60.0)) for _ in range(8)]
    assert not any(f.season.any() for f in found)
    assert np.mean([f.spread for f in found]) < 0.07


@pytest.mark.parametrize("size", [24, 36])
def test_a_season_is_found_in_two_years_and_told_of_the_periods_to_come(size):
    rng = np.random.default_rng(2)
    for _ in range(3):
        true = logs(rng, size + 12, season=0.25)
        found = periods.fit(rng.poisson(200 * np.exp(true[:size])), np.full(size, 200.0))
        assert np.abs(found.season - true[size:]).max() < 0.15
        assert found.season.sum() == pytest.approx(0)


def test_what_comes_after_wandering_periods_is_held():
    rng, held = np.random.default_rng(3), []
    for _ in range(60):
        true = logs(rng, 48, spread=0.25)
        made = rng.poisson(60 * np.exp(true[:36]))
        found = periods.fit(made, np.full(36, made.mean()))
        level = np.log(made[-24:].mean() / 60)
        noise = AHEAD.sum() ** 2 / (24 * 60)
        e = periods.interval(0.0, noise, found.weights, found.variances(24, AHEAD)[:, 0], 1)
        held.append(e.low <= AHEAD[:, 0] @ (true[36:] - level) <= e.high)
    assert 0.88 <= np.mean(held) <= 1
