"""The control chart against published run lengths, integrals, and stable and shifted runs with known truth."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cxlib.stats.control import ewma_chart, standardised_ewma

# The series of Montgomery's EWMA example (Introduction to Statistical Quality Control): known mean 10, known spread 1.
MONTGOMERY = [
    *(9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34, 9.03, 11.47, 10.51, 9.40, 10.08),
    *(9.37, 10.62, 10.31, 8.52, 10.84, 10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52),
]


@functools.cache
def quiet(runs, periods):
    return np.random.default_rng(7).standard_normal((runs, periods))


def run_lengths(smoothing, limit, shift, runs, periods, limits="exact"):
    """Periods until the first alarm, and whether there was one; parameters known."""
    paths = standardised_ewma(quiet(runs, periods) + shift, smoothing)
    if limits == "fixed":  # the variance a long run tends to, from the first period on
        paths *= np.sqrt(1 - (1 - smoothing) ** (2 * np.arange(1, periods + 1)))
    crossed = np.abs(paths) > limit
    alarmed = crossed.any(axis=1)
    return np.where(alarmed, crossed.argmax(axis=1) + 1, periods), alarmed


def first_alarm(chart):
    """Return the row of the first alarm, or None."""
    rows = np.flatnonzero(chart.table["alarm"])
    return rows[0] if rows.size else None


def share_of_alarms(values, errors, baseline, **settings):
    return np.mean([first_alarm(ewma_chart(v, errors, baseline, **settings)) is not None for v in values])


def within(share, runs):
    """Four standard errors of a share in ``runs`` simulated runs, the 20,000 behind the limit counted in."""
    return 4 * math.sqrt(share * (1 - share) * (1 / runs + 1 / 20_000))


def test_the_series_of_montgomery_by_hand():
    # Four baseline periods at the known mean make centre and spread the known ones.
    chart = ewma_chart([10] * 4 + MONTGOMERY, [1] * 34, baseline=4, smoothing=0.1)
    later = chart.table[4:]
    assert (chart.centre, chart.overdispersion) == (10, 1)
    assert later["ewma"].iloc[0] == pytest.approx(0.1 * 9.45 + 0.9 * 10)
    assert later["ewma"].iloc[1] == pytest.approx(0.1 * 7.99 + 0.9 * 9.945)
    at_2_7 = 2.7 / chart.limit * (later["high"] - 10)
    assert at_2_7.iloc[:2].tolist() == pytest.approx([2.7 * 0.1, 2.7 * math.sqrt(0.1**2 + 0.09**2)])
    assert at_2_7.iloc[-1] == pytest.approx(2.7 * math.sqrt(0.1 / 1.9 * (1 - 0.9**60)))
    assert ((later["ewma"] - 10).abs() > at_2_7).tolist() == [False] * 28 + [True] * 2
    assert (10 - later["low"]).tolist() == pytest.approx((later["high"] - 10).tolist())


@pytest.mark.parametrize(
    ("smoothing", "limit", "shift", "published", "limits"),
    [
        (0.5, 3.071, 1, 17.5, "fixed"),  # Lucas & Saccucci 1990, table 3
        (0.5, 3.071, 2, 3.63, "fixed"),
        (0.5, 3.071, 3, 1.93, "fixed"),
        (0.03, 2.437, 0.5, 29.3, "fixed"),
        (0.03, 2.437, 1, 12.6, "fixed"),
        (0.03, 2.437, 3, 4.03, "fixed"),
        (0.05, 3, 0.5, 32.5, "exact"),  # Steiner 1999, table 2
        (0.05, 3, 1, 9.0, "exact"),
        (0.05, 3, 2, 2.8, "exact"),
        (0.05, 3, 3, 1.6, "exact"),
    ],
)
def test_average_run_lengths_of_lucas_saccucci_1990_and_steiner_1999(smoothing, limit, shift, published, limits):
    lengths, alarmed = run_lengths(smoothing, limit, shift, 10_000, 300, limits)
    assert alarmed.all()
    digit = 10.0 ** -(2 - math.floor(math.log10(published))) if limits == "fixed" else 0.1
    assert lengths.mean() == pytest.approx(published, abs=digit / 2 + 4 * lengths.std() / 100)


def test_without_a_shift_an_alarm_takes_500_periods_lucas_saccucci_1990():
    lengths, alarmed = run_lengths(0.2, 2.962, 0, 3_000, 2_500, "fixed")
    # the chance of an alarm per period is all but constant, so runs cut short are handled by time over alarms
    assert lengths.sum() / alarmed.sum() == pytest.approx(500, rel=4 / math.sqrt(alarmed.sum()))


@pytest.mark.parametrize("baseline", [4, 8, 30])
@pytest.mark.parametrize("wider", [1, 3])
def test_the_limit_for_one_period_is_students_t(baseline, wider):
    errors = [wider] * baseline + [1]
    limit = ewma_chart([0] * (baseline + 1), errors, baseline).limit
    away = math.sqrt(1 + wider**2 / baseline)  # the estimated centre adds its own error

    chance = 2 * stats.t.sf(limit / away, baseline - 1)  # the overdispersion of few periods: Student's t
    assert chance == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 20_000))


def test_a_long_baseline_and_no_smoothing_give_the_limit_of_independent_periods():
    limit = ewma_chart([0] * 100_006, [1] * 100_006, 100_000, smoothing=1, false_alarms=0.1).limit
    chance = 1 - (1 - 2 * stats.norm.sf(limit)) ** 6
    assert chance == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / 20_000) + 0.002)  # 0.002: overdispersion, centre


@pytest.mark.parametrize("baseline", [8, 12])
@pytest.mark.parametrize("monitored", [4, 12])
@pytest.mark.parametrize("times", [1, 3])
def test_quiet_runs_alarm_no_more_often_than_stated_with_unequal_errors(baseline, monitored, times):
    """With shocks of three times the sampling error as often as stated; without any, more rarely."""
    rng = np.random.default_rng(100 * baseline + monitored)
    errors = 20 / np.sqrt(rng.integers(50, 1_500, baseline + monitored))
    values = rng.normal(40, times * errors, (1_000, errors.size))
    share = share_of_alarms(values, errors, baseline)
    assert share <= 0.05 + within(0.05, 1_000)
    assert times == 1 or share == pytest.approx(0.05, abs=within(0.05, 1_000))


@pytest.mark.parametrize("n_before", [100, 1_600])
@pytest.mark.parametrize("times", [1, 3])
def test_quiet_runs_alarm_no_more_often_than_stated_when_the_base_grows_or_shrinks_fourfold(n_before, times):
    errors = 20 / np.sqrt([n_before] * 8 + [400] * 12)
    values = np.random.default_rng(n_before).normal(0, times * errors, (800, 20))
    share = share_of_alarms(values, errors, 8, false_alarms=0.1)
    assert share <= 0.1 + within(0.1, 800)
    assert times == 1 or share == pytest.approx(0.1, abs=within(0.1, 800))


def test_shares_of_counted_answers_keep_the_rate():
    rng = np.random.default_rng(11)
    n = rng.integers(150, 800, 20)
    share = rng.binomial(n, 0.3, (1_000, 20)) / n
    assert share_of_alarms(share, np.sqrt(0.3 * 0.7 / n), 8, false_alarms=0.1) <= 0.1 + within(0.1, 1_000)


@pytest.mark.parametrize("times", [1, 3])
def test_a_season_that_comes_each_year_is_no_alarm(times):
    """Two and a half years of quarters before one more year, each autumn four standard errors lower."""
    season = np.arange(1, 15) % 4
    values = np.random.default_rng(6).normal(-4 * times * (season == 3), times, (800, 14))
    share = share_of_alarms(values, np.ones(14), 10, season=season)
    assert share <= 0.05 + within(0.05, 800)
    assert times == 1 or share == pytest.approx(0.05, abs=within(0.05, 800))
    fallen = values - 8 * (np.arange(14) >= 10)
    assert share_of_alarms(fallen[:200], np.ones(14), 10, season=season) > (0.9 if times == 1 else 0.05)


def test_each_season_has_a_centre_of_its_own_by_hand():
    chart = ewma_chart([1, 5, 3, 9, 2, 7], [1, 1, 1, 2, 1, 1], baseline=4, season=[1, 2, 1, 2, 1, 2])
    summer = (5 + 9 / 4) / 1.25
    assert chart.table["centre"].tolist() == pytest.approx([2, summer] * 3)
    chi_square = 1 + 1 + (5 - summer) ** 2 + (9 - summer) ** 2 / 4
    assert chart.overdispersion == pytest.approx(math.sqrt(chi_square / 2))
    assert chart.centre == pytest.approx((1 + 5 + 3 + 9 / 4) / 3.25)
    assert chart.table["ewma"].iloc[-1] == pytest.approx(summer + 0.2 * (7 - summer))
    with pytest.raises(ValueError, match="season"):
        ewma_chart([1, 5, 3, 9, 2, 7], [1] * 6, baseline=4, season=[1, 2, 1, 2, 3, 2])


def test_a_shift_of_two_standard_errors_is_found_within_few_periods_after_two_years_of_months():
    values = np.random.default_rng(5).normal(0, 1, (300, 36)) + 2 * (np.arange(36) >= 24)
    first = [first_alarm(ewma_chart(v, np.ones(36), 24)) for v in values]
    found = np.array([36 if row is None else row for row in first])
    assert np.median(found) <= 24 + 2  # the third shifted period at the latest
    assert (found < 24 + 6).mean() > 0.85


@pytest.mark.parametrize("times", [1.5, 3])
def test_a_quiet_process_that_varies_more_than_its_errors_is_spared_most_false_alarms(times):
    errors = np.ones(20)
    values = np.random.default_rng(8).normal(0, times, (300, 20))
    charts = [ewma_chart(v, errors, 8) for v in values]
    with_it = np.mean([first_alarm(c) is not None for c in charts])
    # the same charts, had the overdispersion been taken to be 1
    later = slice(8, None)
    without = np.mean(
        [
            ((c.table["ewma"] - c.centre).abs() > (c.table["high"] - c.centre) / c.overdispersion)[later].any()
            for c in charts
        ]
    )
    assert with_it < 0.05 + within(0.05, 300)
    assert without > 2 * with_it
    assert np.median([c.overdispersion for c in charts]) == pytest.approx(times, rel=0.1)


def test_centre_and_overdispersion_by_hand():
    values, errors = [1, 4, 1, 4, 2, 2], np.array([1, 2, 1, 2, 1, 1])
    chart = ewma_chart(values, errors, baseline=4)
    assert chart.centre == pytest.approx((1 + 4 / 4 + 1 + 4 / 4) / 2.5)
    chi_square = 2 * (0.6 / 1) ** 2 + 2 * (2.4 / 2) ** 2
    assert chart.overdispersion == pytest.approx(math.sqrt(chi_square / 3))
    assert ewma_chart(values, errors / 2, baseline=4).overdispersion == pytest.approx(2 * chart.overdispersion)
    assert ewma_chart(values, errors * 2, baseline=4).overdispersion == 1


def test_equal_errors_give_the_average_of_the_values_and_unequal_ones_a_mean_weighted_by_precision():
    values = np.random.default_rng(2).normal(5, 2, 15)
    plain, expected = 0.0, []
    chart = ewma_chart(values, np.full(15, 1.3), 6, smoothing=0.3)
    for deviation in values[6:] - chart.centre:
        plain = 0.3 * deviation + 0.7 * plain
        expected.append(chart.centre + plain)
    assert chart.table["ewma"][6:].tolist() == pytest.approx(expected)

    errors = np.r_[np.ones(6), 1, 4, 0.5]
    chart = ewma_chart(values[:9], errors, 6, smoothing=0.3)
    weights = np.array([0.3 * 0.7**2, 0.3 * 0.7, 0.3]) / errors[6:]
    mean = 0.7**3 * chart.centre + (1 - 0.7**3) * np.average(values[6:9], weights=weights)
    assert chart.table["ewma"].iloc[-1] == pytest.approx(mean)


def test_baseline_periods_have_no_limits_and_never_alarm():
    chart = ewma_chart([0, 100, -100, 0, 0, 0], [1] * 6, 4)
    table = chart.table
    assert list(table) == ["value", "centre", "ewma", "low", "high", "in_baseline", "alarm"]
    assert table["in_baseline"].tolist() == [True] * 4 + [False] * 2
    assert table[["ewma", "low", "high"]].isna().all(axis=1).tolist() == table["in_baseline"].tolist()
    assert not table["alarm"].any()
    assert (table["alarm"].dtype, table["in_baseline"].dtype) == (bool, bool)
    assert chart.false_alarms == 0.05


def test_fewer_false_alarms_longer_runs_and_shorter_baselines_widen_the_limit():
    def limit(baseline, monitored, **settings):
        return ewma_chart([0] * (baseline + monitored), [1] * (baseline + monitored), baseline, **settings).limit

    assert limit(8, 12) > limit(8, 12, false_alarms=0.1)
    assert limit(8, 12) > limit(8, 4)
    assert limit(8, 12) > limit(20, 12)
    assert limit(8, 12) == limit(8, 12)
    assert limit(8, 12, seed=2) == pytest.approx(limit(8, 12), rel=0.02)


@settings(max_examples=25)
@given(
    deviations=st.lists(st.integers(-40, 40), min_size=6, max_size=12),
    errors=st.lists(st.integers(1, 4), min_size=12, max_size=12),
    shift=st.floats(-1e4, 1e4),
    factor=st.floats(0.01, 100),
    mirrored=st.booleans(),
)
def test_another_unit_or_origin_changes_no_alarm(deviations, errors, shift, factor, mirrored):
    values, errors = np.array(deviations) / 4, np.array(errors[: len(deviations)])
    sign = -1 if mirrored else 1
    here = ewma_chart(values, errors, 5)
    there = ewma_chart(shift + sign * factor * values, factor * errors, 5)
    assert there.table["alarm"].tolist() == here.table["alarm"].tolist()
    assert there.overdispersion == pytest.approx(here.overdispersion)
    assert there.centre == pytest.approx(shift + sign * factor * here.centre, abs=1e-6)
    table = here.table
    outside = (table["ewma"] < table["low"]) | (table["ewma"] > table["high"])
    assert table["alarm"].tolist() == outside.tolist()
