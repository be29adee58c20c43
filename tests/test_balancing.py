"""Entropy balancing: exact balance, the propensity odds it implies, refusal where nobody is alike, draws."""

import numpy as np
import pandas as pd
import pytest

from cxlib.stats import balancing, draws
from cxlib.stats.estimate import NotEstimable


def balance(x, counts, target):
    """Return the slopes for the data as observed alone."""
    return balancing.drawn_balance(x, np.asarray(counts, dtype=float)[None], np.asarray(target)[None])[0]


def test_weighted_means_agree_exactly():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (200, 4)).astype(float)
    target = np.array([0.3, 0.6, 0.5, 0.45])
    weights = balancing.weights_of(x, balance(x, np.ones(200), target)[None])[0]
    assert weights @ x / weights.sum() == pytest.approx(target, abs=1e-7)


def test_one_yes_or_no_is_weighted_by_the_ratio_of_shares():
    """By hand: 2 of 10 have it, 6 of 10 should: odds 1.5 against .25, so a weight six times as large."""
    x = np.array([[1.0], [0.0]])
    slopes = balance(x, np.array([2, 8]), np.array([0.6]))
    assert np.exp(slopes[0]) == pytest.approx(6)


def test_a_row_counted_thrice_is_three_rows():
    rng = np.random.default_rng(2)
    x, n = rng.integers(0, 2, (40, 3)).astype(float), rng.integers(1, 5, 40)
    target = np.array([0.5, 0.4, 0.6])
    once, thrice = (
        balance(x, n, target),
        balance(x.repeat(n, 0), np.ones(n.sum()), target),
    )
    assert once == pytest.approx(thrice, abs=1e-6)


def test_with_nobody_alike_it_is_refused():
    with pytest.raises(NotEstimable, match="no-balancing-weights"):
        balance(np.array([[0.0], [0.0]]), np.ones(2), np.array([0.5]))


def test_levels_that_always_go_together_do_no_harm():
    x = np.array([[1.0, 1.0], [0.0, 0.0]])
    weights = balancing.weights_of(x, balance(x, np.ones(2), np.array([0.7, 0.7]))[None])[0]
    assert weights[0] / weights.sum() == pytest.approx(0.7, abs=1e-6)


def test_each_draw_is_a_fit_of_its_own():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"plan": rng.choice(["a", "b", "c"], 300), "score": rng.choice(["1", "2"], 300)})
    x, names = balancing.indicators(frame, ["plan", "score"])
    assert len(names) == 3
    fold = rng.integers(0, 50, 300)
    counts = draws.with_plain(draws.group_weights(20, 1, 50))[:, fold]
    target = np.tile([0.3, 0.35, 0.5], (21, 1)) + rng.normal(0, 0.01, (21, 3))
    slopes = balancing.drawn_balance(x, counts, target)
    assert slopes[7] == pytest.approx(balance(x, counts[7], target[7]), abs=1e-5)


def test_confounded_choice_is_undone_and_the_known_effect_found():
    """Treatment and outcome both depend on what is known. Without weights the effect is off by 1."""
    rng = np.random.default_rng(4)
    x = rng.integers(0, 2, (40_000, 2)).astype(float)
    reached = rng.random(40_000) < 1 / (1 + np.exp(-(x @ [1.0, -1.5] - 0.5)))
    y = 2 * x[:, 0] - 2 * x[:, 1] + 0.5 * reached + rng.standard_normal(40_000)
    others = ~reached
    slopes = balance(x[others], np.ones(others.sum()), x[reached].mean(0))
    weights = balancing.weights_of(x[others], slopes[None])[0]
    gap = y[reached].mean() - weights @ y[others] / weights.sum()
    assert gap == pytest.approx(0.5, abs=4 * (1 / reached.sum() + 2 / others.sum()) ** 0.5)
    assert y[reached].mean() - y[others].mean() > 1.2


def test_a_draw_without_a_rare_level_still_has_weights():
    """Nobody of the second level is drawn, yet 1 % of those reached are of it: all else is balanced nearly exactly."""
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    counts, target = np.array([[50.0, 30, 5], [50, 30, 0]]), np.array([[0.5, 0.01], [0.5, 0.01]])
    slopes = balancing.drawn_balance(x, counts, target)
    weights = balancing.weights_of(x, slopes) * counts
    means = weights @ x / weights.sum(axis=1, keepdims=True)
    assert means[0] == pytest.approx([0.5, 0.01], abs=1e-7)
    assert means[1] == pytest.approx([0.5, 0.0], abs=0.002)
