"""The integrals behind buying and leaving, against sums of positive terms, printed formulas and other quadrature."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from cxlib.stats.hypergeometric import _by_quadrature, log_rising, purchases_until_gone, time_of_leaving


def by_counting(r: float, horizon: float, a: float, b: float) -> float:
    """Add up P(more than j purchases were due) x P(still there after j): all terms positive, no 2F1."""
    z = horizon / (1 + horizon)
    j = np.arange(int(stats.nbinom.isf(1e-17, r, 1 - z)) + 20)
    stay = np.cumsum(np.log((b + j[:-1]) / (a + b + j[:-1])))
    return float(stats.nbinom.sf(j, r, 1 - z) @ np.exp(np.concatenate([[0], stay])))


@pytest.mark.parametrize(
    ("r", "horizon", "a", "b"),
    [
        (0.243, 8.8, 0.793, 2.426),
        (0.243, 700, 0.793, 2.426),  # 3,000 days with alpha in days
        (1000.2, 0.4, 0.8, 1002),  # 1,000 purchases: gamma functions overflow here
        (1000.2, 3.0, 0.05, 1000.1),
        (3.0, 2.0, 1.0, 2.5),  # the closed form is 0 / 0
        (3.0, 2.0, 1 + 1e-9, 2.5),
        (0.5, 5.0, 0.3, 0.7),  # a + b = 1, another
        (0.5, 5.0, 0.02, 0.05),
        (2.0, 1e-6, 0.5, 2.0),
        (300.0, 1.0, 40.0, 330.0),
        (43.3, 2.1, 41.9, 93.4),  # the paper's form after Pfaff's transformation is wrong by 1e46 here
    ],
)
def test_expected_purchases_agree_with_a_sum_of_positive_terms(r, horizon, a, b):
    args = [np.array([value]) for value in (r, horizon, a, b)]
    expected = by_counting(r, horizon, a, b)
    assert purchases_until_gone(*args)[0] == pytest.approx(expected, rel=1e-8)
    assert _by_quadrature(*args)[0] == pytest.approx(expected, rel=1e-8)


logs = st.floats(-6, 6).map(np.exp)


@settings(max_examples=40, deadline=None)
@given(r=logs, s=logs, alpha=logs, beta=logs, x=st.sampled_from([0, 1, 12, 1000]), share=st.floats(0, 0.999), age=logs)
def test_the_time_of_leaving_agrees_with_adaptive_quadrature(r, s, alpha, beta, x, share, age):
    q, p, start = r + x, s + 1, share * age
    found, means = time_of_leaving(q, p, alpha, beta, start, age)

    def density(v: np.ndarray, of: Callable) -> np.ndarray:  # in v = log of the time since start
        u = start + np.exp(v)
        return np.exp(v - q * np.log(alpha + u) - p * np.log(beta + u) - found) * of(u)

    edges = np.log(age - start) - np.linspace(45, 0, 61)
    ofs = (lambda u: 1, lambda u: np.log(alpha + u), lambda u: np.log(beta + u))
    ofs += (lambda u: 1 / (alpha + u), lambda u: 1 / (beta + u))
    for of, expected in zip(ofs, (1, *means), strict=True):
        parts = [integrate.fixed_quad(density, *pair, args=(of,), n=12)[0] for pair in pairwise(edges)]
        assert sum(parts) == pytest.approx(expected, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(("alpha", "beta"), [(10.0, 4.0), (4.0, 10.0), (6.0, 6.0)])
@pytest.mark.parametrize("x", [0, 1, 8])
def test_the_time_of_leaving_is_the_printed_difference_of_gauss_functions(alpha, beta, x):
    """Fader & Hardie (2005), A note on deriving the Pareto/NBD model: its A0, for either order of alpha and beta."""
    r, s, start, end = 0.6, 0.7, 3.0 * (x > 0), 20.0
    c, upper, other = r + s + x, max(alpha, beta), s + 1 if alpha >= beta else r + x

    def term(u: float) -> float:
        return special.hyp2f1(c, other, c + 1, abs(alpha - beta) / (upper + u)) / (upper + u) ** c

    found = time_of_leaving(r + x, s + 1, alpha, beta, start, end)[0]
    assert np.exp(found) == pytest.approx((term(start) - term(end)) / c, rel=1e-11)


def test_nobody_leaves_in_no_time_and_means_are_those_of_that_moment():
    found, means = time_of_leaving(1000.5, 1.5, 2.0, 3.0, np.array([7.0, 0.0]), np.array([7.0, 0.0]))
    assert found.tolist() == [-np.inf, -np.inf]
    assert means[0] == pytest.approx(np.log([9, 2]))
    assert means[3] == pytest.approx([1 / 10, 1 / 3])


@settings(max_examples=40, deadline=None)
@given(z=logs, whole=st.integers(1, 30), far=st.floats(0, 300))
def test_log_rising_is_the_product_it_stands_for(z, whole, far):
    assert log_rising(z, whole) == pytest.approx(np.log(z + np.arange(whole)).sum(), rel=1e-12, abs=1e-11)
    large, a = 1e3 * np.exp(far), 0.37  # far out it is a power, with corrections that fall away
    beyond = a * (a - 1) / (2 * large) * (1 - (2 * a - 1) / (6 * large))
    assert log_rising(large, a) - a * np.log(large) == pytest.approx(beyond, abs=1e-2 * large**-3 + 3e-16 * (9 + far))
