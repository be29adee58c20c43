"""Did the score change: mix against rates, control, early warning, on companies in which we know what changed."""

from __future__ import annotations

import math

import net
import numpy as np
import pandas as pd
import patsy
import pytest
import statsmodels.api as sm
from simulated import in_turn, no_programmes
from surveys import CSAT, NPS, figures, rows_of, survey, surveys

from benchmarks.surveys import GROWING, QUIET, growing_company, quiet_company
from cxlib import demo
from cxlib.counts import answers
from cxlib.errors import InputError, Unanswered
from cxlib.intake.company import Company
from cxlib.page import charts
from cxlib.scores import estimates, trend
from cxlib.stats import intervals

QUARTERS = pd.date_range("2023-01-01", "2024-12-31", freq="QS")


@pytest.fixture(scope="module")
def company():
    return net.opened("demo")


def by_quarter(*args, **how):
    return Company.from_frames(*quarters(*args, **how))


def quarters(score, per_quarter=400, seed=1, metrics=CSAT, scale=(1, 5), spread=1.0):
    """Answers of new customers each quarter: a mean per quarter and plan, and the share of plan b."""
    rng, parts = np.random.default_rng(seed), []
    for q, start in enumerate(QUARTERS):
        means, share = score(q)
        b = rng.random(per_quarter) < share
        given = np.clip(np.rint(np.where(b, means[1], means[0]) + rng.normal(0, spread, per_quarter)), *scale)
        asked = start + pd.to_timedelta(rng.integers(0, 89, per_quarter), unit="D")
        parts.append(pd.DataFrame({"score": given, "plan": np.where(b, "b", "a"), "asked_at": asked}))
    frame = pd.concat(parts, ignore_index=True)
    ids = [f"c{i:05d}" for i in range(len(frame))]
    return rows_of(
        frame["score"], ids, metrics, {"plan": frame["plan"].to_numpy(object)}, asked_at=frame["asked_at"].to_numpy()
    )


def test_a_trend_made_by_the_mix_alone_is_flat_at_a_fixed_mix():
    found = trend.trend(by_quarter(lambda q: ((4.5, 2.5), 0.1 + 0.1 * q)))
    lines = found.table.pivot(index="period", columns="line", values="value")
    assert lines["as answered"].iloc[0] - lines["as answered"].iloc[-1] > 0.8
    assert abs(lines["at a fixed mix of plan"].iloc[0] - lines["at a fixed mix of plan"].iloc[-1]) < 0.2


def test_the_change_has_the_interval_of_the_change():
    found = trend.trend(by_quarter(lambda q: ((3.5, 3.5), 0.5)))
    change = figures(found)["csat-change"]
    last = found.table[found.table["line"] == "as answered"].iloc[-1]
    assert change.high - change.low == pytest.approx(2**0.5 * (last["high"] - last["low"]), rel=0.1)
    assert found.facts["change"] == change
    assert not found.facts["detected"]
    assert found.facts["score"].value == last["value"]
    assert (found.facts["last"], found.known) == ("Q4 2024", "count")


def test_the_parts_of_a_change_add_up_and_simpsons_paradox_is_named():
    found = trend.mix(by_quarter(lambda q: ((4.0 + 0.05 * q, 2.0 + 0.05 * q), 0.1 + 0.1 * q)))
    parts = found.table.set_index("part")
    assert parts["value"].iloc[1:].sum() == pytest.approx(parts["value"].iloc[0])
    assert parts.loc["whole change", "high"] < 0 < parts.loc["within each plan", "low"]
    assert found.facts["opposed"]
    assert found.facts["paradox"]
    assert (found.facts["first"], found.facts["last"], found.facts["partial"]) == (2023, 2024, False)


def test_the_fall_of_the_demos_score_is_mostly_a_change_of_mix_and_the_rest_its_falling_region(company):
    found = trend.mix(company, "nps")
    parts = found.table.set_index("part")
    assert parts.loc["change in the mix of plan and stage of tenure", "high"] < 0
    assert found.facts["whole"].value == pytest.approx(found.facts["of_mix"].value + found.facts["of_rates"].value)
    assert (found.facts["first"], found.facts["last"]) == (2025, 2026)
    assert (found.facts["partial"], found.facts["until"]) == (True, "30 June")
    assert 0 < found.facts["outside"] < 0.15  # stages that nobody had reached in 2025
    # Without the one region whose experience fell, nothing changed within plan and stage.
    rest = trend.mix(company.where("region != 'Harbour'"), "nps").facts["of_rates"]
    assert rest.low < 0 < rest.high


def test_only_the_same_part_of_two_years_is_compared():
    """2024 is known to 30 June: its first half, when scores were 4, against the first half of 2023, not all of it."""
    asked = pd.date_range("2023-01-01", "2024-06-30", freq="D").repeat(2)
    score = np.where(asked < "2023-07-01", 2, 4)
    settings, frames = rows_of(score, asked_at=asked, of_customers={"plan": np.resize(["a", "b"], len(asked))})
    found = trend.mix(Company.from_frames(settings | {"as_of": "2024-06-30"}, frames)).facts
    assert found["of_rates"].value == pytest.approx(2)
    early = trend.mix(Company.from_frames(settings | {"as_of": "2024-02-15"}, frames))  # too little of 2024: 2023 whole
    assert "fewer than 30 customers" in early.headline


@pytest.mark.parametrize("within", [0.0, -0.3])
def test_growing_tenure_and_a_cheap_plan_are_not_taken_for_a_change_of_view(within):
    """The small version of make calibrate: three companies whose scores rise with tenure, and fall with the mix."""
    worlds = [growing_company(seed, within, 3000) for seed in range(3)]
    for found in (trend.mix(Company.from_frames(GROWING, frames)).facts for frames in worlds):
        assert found["of_rates"].low <= within <= found["of_rates"].high
        assert found["within"] == (within != 0)
        assert found["held"] == ["plan", "stage of tenure"]


def test_a_level_is_never_pooled_with_one_that_differs():
    """Plan b has hardly an answer in two quarters: the line at one mix is still flat, and no level is taken with it."""
    found = trend.trend(by_quarter(lambda q: ((4.5, 2.5), (0.5, 0.3, 0.01, 0.4, 0.6, 0.01, 0.7, 0.2)[q])))
    line = found.table[found.table["line"] == "at a fixed mix of plan"]
    assert np.ptp(found.table.loc[found.table["line"] == "as answered", "value"]) > 1
    assert np.ptp(line["value"]) < 0.25
    assert (line["low"] < line["value"].mean()).mean() > 0.8


def test_the_score_at_one_mix_is_the_marginal_mean_of_least_squares():
    """Against statsmodels: period and plan as factors, each period at the plans of all answers together."""
    company = by_quarter(lambda q: ((4.2, 2.6), 0.1 + 0.1 * q), 60)
    counted = answers.score_counts(company, "csat", ["plan"], "quarter", latest_only=True)
    found = estimates.at_one_mix(company, "csat", counted, "mean", ["plan"])
    rows = counted.loc[counted.index.repeat(counted["n"])].assign(q=lambda f: f["period"].dt.strftime("%Yq%m"))
    score, x = patsy.dmatrices("score ~ C(q) + C(plan)", rows)
    fit = sm.OLS(score, x).fit(cov_type="cluster", cov_kwds={"groups": rows["fold"]})
    share = rows["plan"].value_counts(normalize=True)[["a", "b"]].to_numpy()
    for q, estimate in zip(sorted(rows["q"].unique()), found, strict=True):
        of_both = pd.DataFrame({"q": q, "plan": ["a", "b"]})
        row = share @ np.asarray(patsy.build_design_matrices([x.design_info], of_both)[0])
        assert estimate.value == pytest.approx(row @ fit.params)
        assert estimate.se == pytest.approx(math.sqrt(row @ fit.cov_params() @ row), rel=0.01)
    apart = counted.assign(plan=counted["period"].astype(str))
    assert estimates.at_one_mix(company, "csat", apart, "mean", ["plan"]) is None  # nothing links the quarters


def test_waves_are_in_the_order_in_which_they_were_asked():
    rng = np.random.default_rng(4)
    asked = np.repeat(pd.to_datetime(["2024-02-01", "2024-06-01", "2024-10-01"]), 60)
    company = survey(rng.integers(1, 6, 180), asked_at=asked, wave=np.repeat(["spring", "summer", "autumn"], 60))
    found = trend.trend(company, period="wave")
    assert list(dict.fromkeys(found.table["period"])) == ["spring", "summer", "autumn"]
    assert (found.facts["last"], found.facts["period"]) == ("wave autumn", "wave")
    about = {"asked_at": asked, "wave": np.repeat(["spring", "summer", "autumn"], 60)}
    about["channel"] = np.resize(["app", "email"], 180)
    score = np.r_[rng.integers(3, 6, 120), rng.integers(1, 3, 60)]
    falling = survey(score, **about)
    warned = trend.early_warning(falling, period="wave")
    assert warned.facts["last"] == "wave autumn"
    assert not warned.table["falling"].any()  # all fell alike, which is no matter of a segment
    one = survey(np.where(about["channel"] == "app", score, 4), **about)
    alone = trend.early_warning(one, period="wave").table.set_index("level")["falling"]
    assert alone.to_dict() == {"app": True, "email": False}


def test_a_period_of_few_answers_is_not_shown_nor_one_that_gives_it_away():
    sizes = (40, 3, 35, 60)
    asked = np.repeat(pd.to_datetime(["2024-01-15", "2024-04-15", "2024-07-15", "2024-10-15"]), sizes)
    shown = trend.trend(survey([3] * sum(sizes), asked_at=asked)).table
    assert sorted(shown["n"]) == [40, 60]


# ---- control ---------------------------------------------------------------------------------------------


def months(after, seed=2, per_month=120):
    rng, parts = np.random.default_rng(seed), []
    for m, start in enumerate(pd.date_range("2023-01-01", "2024-12-31", freq="MS")):
        given = np.clip(np.rint(rng.normal(7.5 - (after if m >= 15 else 0), 2, per_month)), 0, 10)
        parts.append(
            pd.DataFrame({"score": given, "asked_at": start + pd.to_timedelta(rng.integers(0, 28, per_month), "D")})
        )
    frame = pd.concat(parts, ignore_index=True)
    return survey(frame["score"], metrics=NPS, asked_at=frame["asked_at"].to_numpy())


def test_a_lasting_fall_leaves_the_control_limits_and_is_dated():
    found = trend.control(months(1.0))
    assert found.facts["below"]
    assert found.facts["alarm"] == f"{found.table.loc[found.table['alarm'], 'period'].iloc[0]:%B %Y}"
    alarm = found.table.loc[found.table["alarm"], "period"].iloc[0]
    assert pd.Timestamp("2024-04-01") <= alarm <= pd.Timestamp("2024-07-01")
    assert not found.table.loc[found.table["in_baseline"], "alarm"].any()


def test_a_quiet_score_stays_within_and_the_rate_of_false_alarms_is_said():
    found = trend.control(months(0.0))
    assert (found.facts["alarm"], found.facts["watched"], found.facts["before"]) == ("", 12, 12)
    assert found.facts["false_alarms"] == 0.05
    assert found.facts["centre"] == found.table["centre"].iloc[0]
    assert found.facts["overdispersion"] >= 1


def test_the_control_chart_shows_the_quarterly_series_of_the_page(company):
    series, chart = trend.trend(company), trend.control(company)
    line = series.table[series.table["line"].str.startswith("at a fixed mix of")].set_index("period")["value"]
    drawn = chart.table.set_index("period")["value"]
    pd.testing.assert_series_equal(drawn, line[drawn.index])
    assert chart.facts["held"] == series.facts["held"]
    assert chart.facts["alarm"] == ""


# ---- breaks ----------------------------------------------------------------------------------------------


def changed(moved, column="channel"):
    """Answers of two years, a column of which changes its mix from May 2024 on."""
    rng, asked = np.random.default_rng(8), pd.date_range("2023-01-01", "2024-12-31", periods=2400)
    new = rng.random(2400) < np.where(asked >= "2024-04-01", moved, 0.1)
    plan = {"plan": np.resize(np.array(["a", "b"], dtype=object), 2400)}
    return survey(
        rng.integers(1, 6, 2400), of_customers=plan, asked_at=asked, **{column: np.where(new, "app", "email")}
    )


@pytest.mark.parametrize("column", ["channel", "version", "source"])
def test_a_new_way_of_asking_is_marked_on_the_trend_and_said_where_it_is_compared_across(column):
    found = trend.trend(changed(0.9, column))
    assert found.table.loc[found.table["break"], "period"].unique().tolist() == [pd.Timestamp("2024-04-01")]
    assert found.facts["breaks"] == [f"{column} in Q2 2024"]
    assert f"{column} in Q2 2024. Scores before and after are not comparable" in " ".join(found.caveats)
    assert len(charts.over_time(found.table, "", group="line").axes[0].lines) == 3  # two scores and the break
    warned = trend.early_warning(changed(0.9, column))
    assert warned.facts["breaks"] == [f"{column} in Q2 2024"]


def test_small_changes_of_the_mix_and_the_names_of_waves_are_no_break():
    assert trend.trend(changed(0.25)).facts["breaks"] == []
    asked = pd.date_range("2023-01-01", "2024-12-31", periods=800)
    assert trend.trend(survey([3, 4] * 400, asked_at=asked, wave=asked.strftime("%Y-%m"))).facts["breaks"] == []


# ---- early warning ---------------------------------------------------------------------------------------


def test_the_demos_falling_region_is_named_a_quarter_before_its_exits_rise():
    """Harbour's experience falls on 1 July 2025, its exits rise from 1 January 2026."""
    early = Company.from_frames(
        demo.settings("demo", draws=50, as_of="2025-09-30"),
        no_programmes(demo.subscription(10, 6000, as_of="2025-09-30")),
    )
    found = trend.early_warning(early, "nps")
    row = found.table.iloc[0]
    assert (row["segment"], row["level"], row["falling"]) == ("region", "Harbour", True)
    assert found.table["falling"].sum() == 1
    here = early.frame("customers").query("region == 'Harbour' and left_on.isna()")
    assert row["customers"] == len(here)
    assert row["monthly_revenue"] == pytest.approx(here["monthly_revenue"].sum())
    (falling,) = found.facts["falling"]
    assert (falling["level"], falling["customers"]) == ("Harbour", len(here))
    assert falling["revenue"] == row["monthly_revenue"]
    assert falling["change"].high < 0
    assert "Harbour" in found.headline


def test_a_later_report_still_names_the_earlier_warning(company):
    found = trend.early_warning(company, "nps")
    (harbour,) = found.facts["earlier"]
    assert (harbour["level"], harbour["periods"]) == ("Harbour", ["Q3 2025", "Q1 2026"])
    assert harbour["now"] == found.table.set_index("level").loc["Harbour", "now"]
    assert (found.facts["watched"], found.facts["looks"]) == (len(found.table), 4)
    assert [f["level"] for f in found.facts["falling"]] == ["Harbour"]  # below the same quarter of the year before


def test_what_became_of_earlier_warnings_is_said_and_at_the_edge_not_known_yet(company):
    found = trend.followed_up(company, "nps")
    rows = found.table.set_index("period")
    assert rows["stayed"].to_dict() == {"Q3 2025": "yes", "Q1 2026": "not known yet", "Q2 2026": "not known yet"}
    assert (found.facts["alarms"], found.facts["periods"]) == (3, 8)
    who = company.frame("customers").query("region == 'Harbour'")
    left = []
    for first, last in (("2025-10-01", "2026-04-01"), ("2024-10-01", "2025-04-01")):
        here = who[(who["joined_on"] < first) & ~(who["left_on"] < first)]
        gone = here["left_on"].between(first, last, inclusive="left") & (here["left_reason"] != "payment failed")
        left += [gone.sum(), len(here)]
    by_hand = intervals.share_difference(*left)
    assert rows.loc["Q3 2025", ["left", "left_low", "left_high"]].tolist() == pytest.approx(
        [by_hand.value, by_hand.low, by_hand.high]
    )
    assert rows["rose"].tolist() == ["no", "not known yet", "not known yet"]
    calm = trend.followed_up(by_quarter(lambda q: ((3.0, 3.0), 0.5)))
    assert calm.facts["alarms"] == 0
    assert "no early warning" in calm.headline


def test_only_a_worse_score_is_a_warning():
    better = trend.early_warning(by_quarter(lambda q: ((3.0, 3.0 + (q == 7)), 0.5)))
    worse = trend.early_warning(by_quarter(lambda q: ((3.0, 3.0 - (q == 7)), 0.5)))
    assert not better.table["falling"].any()
    assert list(worse.table.loc[worse.table["falling"], "level"]) == ["b"]
    effort = {"ces": {"scale": [1, 5], "version": "1.0"}}  # a rise is a fall of ease
    harder = trend.early_warning(by_quarter(lambda q: ((3.0, 3.0 + (q == 7)), 0.5), metrics=effort))
    assert list(harder.table.loc[harder.table["falling"], "level"]) == ["b"]


def test_quiet_years_bring_few_false_warnings():
    """The small version of make calibrate: 12 quiet companies, four looks each, stated rate .05."""
    false = 0
    quiet = [quarters(lambda q: ((3.4, 3.0), 0.4), 200, seed) for seed in range(12)]
    for company in surveys(quiet):
        found = trend.watch(company, "csat").query("period >= '2024-01-01'")
        assert found["period"].nunique() == 4
        false += bool(found["falling"].any())
    assert false <= 3  # more with probability .002


@pytest.mark.parametrize("world", [{"autumn": 0.5}, {"shocks": 0.2}])
def test_a_season_and_common_shocks_are_no_warning(world):
    """The small version of make calibrate: four companies in a world made to fool us."""
    false = 0
    for company in in_turn(QUIET, (quiet_company(seed, **world) for seed in range(4))):
        false += bool(trend.watch(company, "nps").query("period >= '2025-01-01'")["falling"].any())
    assert false <= 1  # more with probability .014


def test_nothing_to_compare_is_said():
    assert not trend.early_warning(survey([3] * 50, plan=["a"] * 50)).answered
    with pytest.raises(Unanswered, match="no-columns"):
        trend.require(survey([3] * 50), "csat", "wave")
    assert "no wave" in trend.trend(survey([3] * 50), period="wave").headline


@pytest.mark.parametrize("asked", [{"by": "plann"}, {"period": "quartr"}])
def test_a_segment_or_period_that_does_not_exist_is_named_with_those_that_do(company, asked):
    with pytest.raises(InputError, match=r"'(plann|quartr)'\. Did you mean '(plan|quarter)'\? The known ones are: "):
        trend.trend(company, "nps", **asked)
