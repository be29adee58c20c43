"""Measures of predicted probabilities: pair by pair, row by row, against published numbers and known truth."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from cxlib.stats import draws, logistic, scoring

pytestmark = pytest.mark.filterwarnings("error")

people = st.lists(
    st.tuples(st.sampled_from([0.05, 0.2, 0.2001, 0.5, 0.9]), st.booleans(), st.integers(1, 4), st.integers(0, 3)),
    min_size=2,
    max_size=12,
).filter(lambda rows: len({r[1] for r in rows}) == 2)


def measures(p, y, n=None, share=0.1):
    """Return the measures of all people as observed."""
    return scoring.resampled(p, y, n, np.zeros(len(p), dtype=int), np.ones((1, 1)), share).iloc[0]


def measure(name, *args, **kwargs):
    return measures(*args, **kwargs)[name]


def pair_by_pair(p, y):
    """Count the pairs in the right order, one by one."""
    pairs = [(a, b) for a, one in zip(p, y, strict=True) for b, other in zip(p, y, strict=True) if one and not other]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


@given(people)
@settings(max_examples=60)
def test_measures_are_those_of_the_rows_one_by_one(rows):
    p, y, n, _ = (np.array(c, dtype=float) for c in zip(*rows, strict=True))
    long_p, long_y = np.repeat(p, n.astype(int)), np.repeat(y, n.astype(int))
    assert scoring.concordance(p, y, n) == pytest.approx(pair_by_pair(long_p, long_y))
    for share in (0.1, 0.37):
        found = measures(p, y, n, share)
        assert found[scoring.BRIER] == pytest.approx(np.mean((long_p - long_y) ** 2))
        expected = np.mean(np.log(np.where(long_y == 1, long_p, 1 - long_p)))
        assert found[scoring.LOG_SCORE] == pytest.approx(expected)
        assert found[scoring.LIFT] == pytest.approx(measure(scoring.LIFT, long_p, long_y, None, share))


@given(people)
@settings(max_examples=40)
def test_a_resample_is_the_rows_counted_as_often_as_their_fold(rows):
    p, y, n, fold = (np.array(c, dtype=float) for c in zip(*rows, strict=True))
    matrix = draws.with_plain(draws.group_weights(5, 3, 4))
    drawn = scoring.resampled(p, y, n, fold, matrix)
    for i, weights in enumerate(matrix):
        own = n * weights[fold.astype(int)]
        if own.sum() and 0 < own @ y < own.sum():
            assert drawn.iloc[i].to_dict() == pytest.approx(measures(p, y, own).to_dict())


def test_concordance_of_hanley_and_mcneil():
    """Table I of Hanley & McNeil 1982: 109 CT images read on five points, area 0.893."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    p = np.tile([0.1, 0.3, 0.5, 0.7, 0.9], 2)
    y = np.repeat([0, 1], 5)
    assert scoring.concordance(p, y, [*normal, *abnormal]) == pytest.approx(0.893, abs=0.0005)


def test_lift_shares_ties_at_the_border_out():
    # 100 people: the top five have p 0.9 (all with the event), 20 more p 0.5 (8 with it), of whom five are needed.
    p, y, n = [0.9, 0.5, 0.5, 0.1, 0.1], [1, 1, 0, 1, 0], [5, 8, 12, 7, 68]
    assert measure(scoring.LIFT, p, y, n) == pytest.approx(((5 + 5 * 8 / 20) / 10) / 0.20)
    assert measure(scoring.LIFT, [0.5] * 4, [1, 0, 0, 0]) == pytest.approx(1)


def test_the_impossible_scores_minus_infinity_only_if_it_happened():
    assert measure(scoring.LOG_SCORE, [0.0, 1.0, 0.5], [0, 1, 1]) == pytest.approx(math.log(0.5) / 3)
    assert measure(scoring.LOG_SCORE, [0.0, 0.5], [1, 1]) == -math.inf
    assert math.isnan(scoring.concordance([0.2, 0.3], [1, 1]))


def test_calibration_groups_add_up_and_keep_ties_together():
    rng = np.random.default_rng(5)
    p = rng.choice(np.linspace(0.02, 0.6, 30), 3000)
    y = (rng.random(3000) < p).astype(float)
    found = scoring.calibration_table(p, y)
    assert found["group"].tolist() == list(range(1, 11))
    assert found["n"].sum() == 3000
    assert found["events"].sum() == y.sum()
    assert (found["predicted"] * found["n"]).sum() == pytest.approx(p.sum())
    assert found["predicted"].is_monotonic_increasing
    assert len(scoring.calibration_table([0.1, 0.4, 0.4], [0, 1, 0])) == 2
    low, high = stats.binomtest(int(found["events"][3]), int(found["n"][3])).proportion_ci(method="wilson")
    assert (found["low"][3], found["high"][3]) == pytest.approx((low, high))


def test_the_calibration_line_is_the_glm_with_clustered_errors():
    rng = np.random.default_rng(8)
    n, fold = 4000, np.arange(4000) % 50
    log_odds = rng.normal(-2, 1, n)
    y = (rng.random(n) < special.expit(0.3 + 0.7 * log_odds)).astype(float)
    found = scoring.calibration_line(special.expit(log_odds), y, None, fold)
    kind = {"cov_type": "cluster", "cov_kwds": {"groups": fold}}
    slope = sm.GLM(y, sm.add_constant(log_odds), family=sm.families.Binomial()).fit(**kind)
    large = sm.GLM(y, np.ones((n, 1)), family=sm.families.Binomial(), offset=log_odds).fit(**kind)
    assert found.slope.value == pytest.approx(slope.params[1], abs=1e-6)
    assert found.intercept.value == pytest.approx(large.params[0], abs=1e-6)
    # statsmodels adds the factor (rows - 1) / (rows - coefficients), which is meant for linear regression
    assert found.slope.se == pytest.approx(slope.bse[1] * math.sqrt((n - 2) / (n - 1)), rel=1e-4)
    assert found.intercept.se == pytest.approx(large.bse[0], rel=1e-4)
    assert found.slope.low < 0.7 < found.slope.high < 1


def test_rows_that_count_nobody_and_their_folds_change_no_calibration_line():
    """A fold without people would be one cluster more, and so a narrower interval."""
    p, y, n, fold = [0.1, 0.1, 0.4, 0.4, 0.7, 0.7], [1, 0] * 3, [3, 20, 9, 8, 20, 5], [0, 1, 2, 3, 0, 1]
    one = scoring.calibration_line(p, y, n, fold)
    assert scoring.calibration_line([*p, 0.3, 0.8], [*y, 1, 0], [*n, 0, 0], [*fold, 4, 5]) == one


def test_weights_count_people_in_the_calibration_line():
    p, y, n, fold = [0.1, 0.1, 0.4, 0.4, 0.7, 0.7], [1, 0] * 3, [3, 20, 9, 8, 20, 5], [0, 1, 2, 3, 0, 1]
    one = scoring.calibration_line(p, y, n, fold)
    other = scoring.calibration_line(np.repeat(p, n), np.repeat(y, n), None, np.repeat(fold, n))
    assert one.slope.value == pytest.approx(other.slope.value)
    assert one.slope.se == pytest.approx(other.slope.se)
    assert one.intercept.low == pytest.approx(other.intercept.low)


def test_intervals_of_a_concordance_hold_the_truth():
    """The truth is that of 200,000 people; 150 samples of 1,500, and 95 % of the intervals should hold it."""
    rng = np.random.default_rng(11)
    odds = rng.normal(-1.5, 1, 200_000).round(1)
    truth = scoring.concordance(special.expit(odds), rng.random(odds.size) < special.expit(odds))
    matrix, held = draws.with_plain(draws.group_weights(200, 1)), 0
    for _ in range(150):
        some = rng.normal(-1.5, 1, 1500).round(1)
        y = (rng.random(1500) < special.expit(some)).astype(float)
        drawn = scoring.resampled(special.expit(some), y, None, rng.integers(0, 256, 1500), matrix)
        e = scoring.estimate(drawn[scoring.CONCORDANCE].to_numpy(), 1500)
        held += e.low <= truth <= e.high
    assert 135 <= held <= 149  # 142.5 give or take 2.7 standard errors


def test_bad_questions_are_refused():
    with pytest.raises(ValueError, match="no log-odds"):
        scoring.calibration_line([0.0, 0.5], [0, 1], None, [0, 1])
    with pytest.raises(ValueError, match="nothing to calibrate"):
        scoring.calibration_line([0.2, 0.5], [1, 1], None, [0, 1])


# ---- the regression behind the probabilities ---------------------------------------------------------------------


def cells(seed=2, n=5000, effect=1.0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.choice(["x", "y", "z"], n, p=[0.5, 0.3, 0.2]), "b": rng.choice(["p", "q"], n)})
    frame["fold"], frame["n"] = rng.integers(0, 256, n), 1
    odds = -1.5 + frame["a"].map({"x": 0, "y": 0.5, "z": effect}) - 0.4 * (frame["b"] == "q")
    frame["events"] = (rng.random(n) < special.expit(odds)).astype(int)
    return frame


def test_a_fit_to_counts_is_the_fit_to_people_and_near_the_glm():
    frame = cells()
    counted = frame.groupby(["a", "b", "fold"], as_index=False)[["n", "events"]].sum()
    one, other = (logistic.fit(f, "n", "events", ["a", "b"], "fold") for f in (frame, counted))
    assert np.allclose(one.coefficients, other.coefficients)
    assert np.allclose(one.covariance, other.covariance)
    assert one.log_likelihood == pytest.approx(other.log_likelihood)
    design = np.column_stack([np.ones(len(frame)), frame["a"] == "y", frame["a"] == "z"]).astype(float)
    b = (frame["b"] != one.levels["b"][0]).to_numpy(float)
    glm = sm.GLM(frame["events"], np.column_stack([design, b]), family=sm.families.Binomial()).fit()
    assert np.allclose(one.coefficients, glm.params, atol=0.005)  # the prior is worth one person a level
    assert one.log_likelihood == pytest.approx(glm.llf, abs=0.01)
    assert one.terms(frame).sum(axis=1).to_numpy() + one.coefficients[0] == pytest.approx(
        special.logit(one.probability(frame))
    )


def test_the_prior_is_log_f():
    """Mode of the log-F(1, 1) penalised likelihood of one ratio, found by a search of its own."""
    frame = pd.DataFrame({"a": ["x", "y"], "n": [50, 6], "events": [10, 0], "fold": [0, 1]})
    found = logistic.fit(frame, "n", "events", ["a"], "fold")

    def penalised(at):
        linear = np.array([at[0], at[0] + at[1]])
        fit = frame["events"] @ special.log_expit(linear) + (frame["n"] - frame["events"]) @ special.log_expit(-linear)
        return -(fit + 0.5 * at[1] - np.logaddexp(0, at[1]))

    best = sm.tools.numdiff.approx_fprime(found.coefficients, penalised, centered=True)
    assert np.abs(best).max() < 1e-4
    assert found.table.set_index("level")["odds_ratio"].isna()["y"]  # nobody of y: no ratio, but a probability
    assert 0 < found.probability(frame)[1] < 0.2


def test_the_wald_test_finds_what_is_there_and_keeps_its_level():
    assert logistic.fit(cells(), "n", "events", ["a", "b"], "fold").wald("a")[2] < 0.001
    p = []
    for seed in range(150):
        frame = cells(seed + 100, 800).assign(
            c=lambda d, s=seed: np.random.default_rng(s).choice(["u", "v", "w"], len(d))
        )
        p.append(logistic.fit(frame, "n", "events", ["a", "c"], "fold").wald("c")[2])
    assert 1 <= sum(v < 0.05 for v in p) <= 15  # 7.5 expected


def test_draws_move_the_fit_as_a_fit_of_their_own_would():
    frame, matrix = cells(), draws.group_weights(40, 7)
    found = logistic.fit(frame, "n", "events", ["a"], "fold")
    moved = found.draws(matrix)
    for weights, at in list(zip(matrix, moved, strict=True))[:5]:
        own = frame.assign(n=weights[frame["fold"]], events=frame["events"] * weights[frame["fold"]])
        assert np.allclose(logistic.fit(own, "n", "events", ["a"], "fold").coefficients, at, atol=0.02)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(moved.std(axis=0), rel=0.35)


def test_levels_nobody_knows_and_events_of_nobody_are_refused():
    found = logistic.fit(cells(), "n", "events", ["a"], "fold")
    with pytest.raises(ValueError, match="not fitted to"):
        found.probability(pd.DataFrame({"a": ["new"]}))
    with pytest.raises(ValueError, match="nothing to compare"):
        logistic.fit(cells().assign(events=0), "n", "events", ["a"], "fold")
