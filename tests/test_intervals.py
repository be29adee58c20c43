"""Intervals against published tables, by exact enumeration, and in the corners where formulas break."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from cxlib.churn import retention
from cxlib.roi import priorities
from cxlib.stats.estimate import Estimate
from cxlib.stats.intervals import benjamini_hochberg, mean, nps, nps_difference, share, share_difference

NPS_METHODS = ("adjusted-wald", "score", "wald")
SHARE_METHODS = ("wilson", "agresti-coull", "clopper-pearson", "wald")
ANSWERS = st.tuples(*[st.integers(0, 400)] * 3).filter(any)


@pytest.mark.parametrize(
    ("x", "n", "method", "low", "high"),
    [
        (81, 263, "wilson", 0.2553, 0.3662),
        (15, 148, "wilson", 0.0624, 0.1605),
        (0, 20, "wilson", 0.0, 0.1611),
        (1, 29, "wilson", 0.0061, 0.1718),
        (81, 263, "clopper-pearson", 0.2527, 0.3676),
        (15, 148, "clopper-pearson", 0.0578, 0.1617),
        (0, 20, "clopper-pearson", 0.0, 0.1684),
        (1, 29, "clopper-pearson", 0.0009, 0.1776),
        (81, 263, "agresti-coull", 0.2552, 0.3663),
        (81, 263, "wald", 0.2522, 0.3638),
    ],
)
def test_shares_of_newcombe_1998_table_1(x, n, method, low, high):
    result = share(x, n, method)
    assert (result.low, result.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert result.value == x / n
    assert result.n == n


@pytest.mark.parametrize(
    ("x1", "n1", "x2", "n2", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (0, 10, 0, 10, -0.2775, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0),
        (10, 10, 0, 10, 0.6075, 1.0),
    ],
)
def test_share_differences_of_newcombe_1998_method_10(x1, n1, x2, n2, low, high):
    result = share_difference(x1, n1, x2, n2)
    assert (result.low, result.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    swapped = share_difference(x2, n2, x1, n1)
    assert (swapped.low, swapped.value, swapped.high) == pytest.approx((-result.high, -result.value, -result.low))


def test_share_difference_agrees_with_statsmodels():
    result = share_difference(40, 90, 70, 120, confidence=0.9)
    expected = confint_proportions_2indep(40, 90, 70, 120, method="newcomb", compare="diff", alpha=0.1)
    assert (result.low, result.high) == pytest.approx(expected)
    assert result.p == pytest.approx(proportions_ztest([40, 70], [90, 120])[1])
    assert share_difference(0, 10, 0, 20).p == 1


@pytest.mark.parametrize(("counts", "value", "se"), [((1, 2, 3), 100 / 3, 30.4), ((1, 0, 1), 0, 70.7)])
def test_nps_standard_errors_of_rocks_package(counts, value, se):
    for method in NPS_METHODS:
        result = nps(*counts, method)
        assert result.value == pytest.approx(value)
        assert result.se == pytest.approx(se, abs=0.05)


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [("wald", 3.7816, 25.8184), ("adjusted-wald", 3.6937, 25.5553), ("score", 3.6456, 25.5587)],
)
def test_nps_intervals_of_83_47_120(method, low, high):
    result = nps(83, 47, 120, method)
    assert (result.low, result.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert (result.value, result.se, result.n) == (pytest.approx(14.8), pytest.approx(5.6217, abs=5e-5), 250)
    assert nps(83, 47, 120) == nps(83, 47, 120, "adjusted-wald")


def test_two_net_scores_by_wald():
    result = nps_difference((83, 47, 120), (91, 49, 110), "wald")
    assert (result.value, result.se) == (pytest.approx(7.2), pytest.approx(7.9707, abs=5e-5))
    assert (result.low, result.high) == (pytest.approx(-8.4224, abs=5e-5), pytest.approx(22.8224, abs=5e-5))
    assert (result.p, result.n) == (pytest.approx(0.366365, abs=5e-7), 500)


def test_score_limits_solve_the_score_equation_at_the_constrained_maximum():
    """The maximum likelihood under the constraint is searched for, not taken from the closed form."""
    detractors, passives, promoters = 7, 5, 21
    n = detractors + passives + promoters

    def z_of(delta):
        lost = np.linspace(max(0, -delta), (1 - delta) / 2, 2_000_001)[1:-1]
        likelihood = (
            detractors * np.log(lost) + promoters * np.log(lost + delta) + passives * np.log(1 - delta - 2 * lost)
        )
        best = lost[likelihood.argmax()]
        return ((promoters - detractors) / n - delta) / math.sqrt((2 * best + delta - delta**2) / n)

    result = nps(detractors, passives, promoters, "score", confidence=0.9)
    assert z_of(result.low / 100) == pytest.approx(1.6449, abs=1e-4)
    assert z_of(result.high / 100) == pytest.approx(-1.6449, abs=1e-4)


def test_score_interval_of_unanimous_answers_has_its_closed_form():
    z2 = stats.norm.ppf(0.975) ** 2
    assert nps(0, 0, 12, "score").low == pytest.approx(100 * (12 - z2) / (12 + z2))
    assert nps(0, 12, 0, "score").high == pytest.approx(100 * z2 / (12 + z2))


@pytest.mark.parametrize("method", NPS_METHODS)
@pytest.mark.parametrize("n", [1, 2, 3, 50])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_unanimous_answers_are_never_certain(method, n, place):
    counts = [0, 0, 0]
    counts[place] = n
    result = nps(*counts, method)
    assert result.se > 0
    assert -100 <= result.low <= result.value <= result.high <= 100
    assert result.high - result.low > 5
    if method != "score":
        apart = nps_difference(counts, (n, n, n), method)
        assert np.isfinite([apart.low, apart.high, apart.se, apart.p]).all()


@given(first=ANSWERS, second=ANSWERS, method=st.sampled_from(NPS_METHODS), confidence=st.floats(0.5, 0.999))
@settings(max_examples=150, deadline=None)
def test_net_scores_stay_on_their_scale_and_keep_their_sign(first, second, method, confidence):
    result = nps(*first, method, confidence)
    assert -100 <= result.low <= result.value <= result.high <= 100
    mirrored = nps(*first[::-1], method, confidence)
    assert (mirrored.low, mirrored.high) == pytest.approx((-result.high, -result.low), abs=1e-6)
    if method == "score":
        return
    change = nps_difference(first, second, method, confidence)
    assert -200 <= change.low <= change.value <= change.high <= 200
    assert change.value == pytest.approx(result.value - nps(*second).value, abs=1e-9)
    back = nps_difference(second, first, method, confidence)
    assert (back.value, back.low, back.p) == pytest.approx((-change.value, -change.high, change.p), abs=1e-6)
    if change.excludes(0):
        assert change.p < 1 - confidence + 1e-6
    elif change.low > -200 and change.high < 200 and 0 not in (change.low - change.value, change.high - change.value):
        assert change.p > 1 - confidence - 1e-6


@pytest.mark.parametrize(("method", "least"), [("adjusted-wald", 0.93), ("score", 0.93)])
def test_nps_intervals_cover_by_exact_enumeration_of_20_answers(method, least):
    """Rocks 2016: both methods cover close to 95 % where the plain interval does not."""
    n = 20
    tables = [(d, n - d - p, p) for d in range(n + 1) for p in range(n + 1 - d)]
    ways = np.array([math.factorial(n) / math.prod(map(math.factorial, table)) for table in tables])
    limits = {name: np.array([(r.low, r.high) for r in (nps(*t, name) for t in tables)]) for name in (method, "wald")}
    coverage = {name: [] for name in limits}
    for d, p in itertools.product((0.05, 0.15, 0.3), (0.2, 0.4, 0.6)):
        chance = ways * np.prod(np.power((d, 1 - d - p, p), tables), axis=1)
        truth = 100 * (p - d)
        for name, interval in limits.items():
            coverage[name].append(chance[(interval[:, 0] <= truth) & (truth <= interval[:, 1])].sum())
    assert np.mean(coverage[method]) == pytest.approx(0.95, abs=0.012)
    assert min(coverage[method]) > least > min(coverage["wald"])


def test_difference_of_net_scores_covers_in_small_samples():
    rng = np.random.default_rng(7)
    first, second = rng.multinomial(15, (0.2, 0.3, 0.5), 600), rng.multinomial(25, (0.4, 0.3, 0.3), 600)
    results = [nps_difference(a, b) for a, b in zip(first, second, strict=True)]
    assert np.mean([r.low <= 40 <= r.high for r in results]) == pytest.approx(0.95, abs=0.025)


@given(n=st.integers(1, 300), data=st.data(), method=st.sampled_from(SHARE_METHODS))
@settings(max_examples=80, deadline=None)
def test_shares_stay_on_their_scale(n, data, method):
    x = data.draw(st.integers(0, n))
    result = share(x, n, method)
    assert 0 <= result.low <= result.value <= result.high <= 1
    assert result.se > 0
    assert share(n - x, n, method).high == pytest.approx(1 - result.low, abs=1e-9)


def test_mean_of_student_1908_sleep_differences():
    result = mean([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (result.value, result.low, result.high) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-7)


def test_mean_of_counts_is_the_mean_of_the_rows():
    counted = mean([1, 2, 3, 4, 5], weights=[3, 0, 8, 20, 31], low=1, high=5)
    rows = mean(np.repeat([1, 2, 3, 4, 5], [3, 0, 8, 20, 31]))
    for field in ("value", "low", "high", "se", "n"):
        assert getattr(counted, field) == pytest.approx(getattr(rows, field))


def test_mean_in_the_corners():
    assert mean([1, 5], low=1, high=5).high == 5  # clipped
    alone = mean([4], low=1, high=5)
    assert (alone.value, alone.low, alone.high) == (4, 1, 5)
    assert math.isnan(mean([4]).low)
    agreed = mean([5], weights=[8], low=1, high=5)
    assert agreed.low < agreed.value == agreed.high == 5
    assert agreed.se == pytest.approx(2 * nps(0, 0, 8).se / 100)  # the same rule on a scale half as wide
    assert math.isnan(mean([5, 5, 5]).se)


def test_a_number_of_events_has_the_exact_interval_of_garwood_1936():
    """Biometrika 28:437, 95 % limits: 0 to 3.69 for no event, 4.80 to 18.39 for 10, 81.36 to 121.63 for 100."""
    for events, low, high in ((0, 0, 3.69), (10, 4.80, 18.39), (100, 81.36, 121.63)):
        found = retention._poisson(events)
        assert (found.value, found.low, found.high) == pytest.approx((events, low, high), abs=0.005)


def test_a_gain_known_only_by_its_interval_is_drawn_with_the_error_behind_it():
    plan = priorities.Candidate("Plan", "P", 300, Estimate(10, 0, 12), 200, "forecast", True)
    drawn = priorities._drawn(plan, 20_001, 0)
    assert drawn[0] == 10
    assert drawn[1:].std() == pytest.approx(12 / (2 * 1.96), rel=0.02)  # an interval is 1.96 errors wide on each side


def test_benjamini_hochberg_1995_example_rejects_four():
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    p += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    order = np.random.default_rng(3).permutation(15)
    found = benjamini_hochberg(np.array(p)[order])
    assert found.dtype == bool
    assert sorted(order[found]) == [0, 1, 2, 3]
    assert benjamini_hochberg([]).shape == (0,)


@pytest.mark.parametrize(
    "call",
    [
        lambda: share(0, 0),
        lambda: share(5, 4),
        lambda: share(-1, 4),
        lambda: share(math.nan, 4),
        lambda: share(1, 4, "exact"),
        lambda: share(1, 4, confidence=95),
        lambda: share_difference(1, 4, 2, 0),
        lambda: nps(0, 0, 0),
        lambda: nps(-1, 2, 3),
        lambda: nps(1, 2, math.inf),
        lambda: nps(1, 2, 3, "t"),
        lambda: nps(1, 2, 3, confidence=1),
        lambda: nps_difference((1, 2, 3), (0, 0, 0)),
        lambda: nps_difference((1, 2), (1, 2, 3)),
        lambda: nps_difference((1, 2, 3), (1, 2, 3), "score"),
        lambda: benjamini_hochberg([0.1, math.nan]),
    ],
)
def test_impossible_input_is_refused(call):
    with pytest.raises(ValueError, match=r"\w+ .*\w+"):
        call()
