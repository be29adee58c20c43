"""Did the score change: mix against rates, control, early warning, on companies in which we know what changed."""

from __future__ import annotations

import net
import numpy as np
import pandas as pd
import pytest
from simulated import no_programmes
from surveys import CSAT, NPS, figures, rows_of, survey, surveys

from cxlib import demo
from cxlib.errors import InputError, Unanswered
from cxlib.intake.company import Company
from cxlib.scores import trend

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


def test_the_fall_of_the_demos_score_is_a_change_of_mix(company):
    found = trend.mix(company, "nps")
    parts = found.table.set_index("part")
    assert parts.loc["whole change", "value"] < 0 < parts.loc["within each plan", "low"]
    assert parts.loc["change in the mix of plan", "high"] < 0
    assert found.facts["paradox"]
    assert found.facts["whole"].value == pytest.approx(found.facts["of_mix"].value + found.facts["of_rates"].value)
    assert found.facts["partial"]  # 2026 is over on 30 June


def test_levels_taken_together_are_named(company):
    assert trend.control(company, "nps").facts["pooled"] == ["Basic", "Pro"]
    assert trend.trend(company, "nps").facts["pooled"] == []


def test_waves_are_in_the_order_in_which_they_were_asked():
    rng = np.random.default_rng(4)
    asked = np.repeat(pd.to_datetime(["2024-02-01", "2024-06-01", "2024-10-01"]), 60)
    company = survey(rng.integers(1, 6, 180), asked_at=asked, wave=np.repeat(["spring", "summer", "autumn"], 60))
    found = trend.trend(company, period="wave")
    assert list(dict.fromkeys(found.table["period"])) == ["spring", "summer", "autumn"]
    assert (found.facts["last"], found.facts["period"]) == ("wave autumn", "wave")
    falling = survey(
        np.r_[rng.integers(3, 6, 120), [1, 2] * 30], asked_at=asked, wave=np.repeat(["spring", "summer", "autumn"], 60),
        channel=np.resize(["app", "email"], 180),
    )  # fmt: skip
    warned = trend.early_warning(falling, period="wave")
    assert warned.facts["last"] == "wave autumn"
    assert {f["segment"] for f in warned.facts["falling"]} == {"channel"}
    assert warned.table["falling"].all()


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


def test_the_demo_leaves_its_limits_after_its_region_fell(company):
    alarms = trend.control(company, "nps").table.query("alarm")
    assert pd.Timestamp("2025-07-01") <= alarms["period"].iloc[0] <= pd.Timestamp("2025-12-01")


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
    assert (harbour["level"], harbour["periods"]) == ("Harbour", ["Q3 2025", "Q4 2025"])
    assert harbour["now"] == found.table.set_index("level").loc["Harbour", "now"]
    assert (found.facts["watched"], found.facts["looks"], found.facts["falling"]) == (len(found.table), 4, [])


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
        found = trend.watch(company, "csat")
        assert found["period"].nunique() == 4
        false += bool(found["falling"].any())
    assert false <= 3  # more with probability .002


def test_nothing_to_compare_is_said():
    assert not trend.early_warning(survey([3] * 50, plan=["a"] * 50)).answered
    with pytest.raises(Unanswered, match="no-columns"):
        trend.require(survey([3] * 50), "csat", "wave")
    assert "no wave" in trend.trend(survey([3] * 50), period="wave").headline


@pytest.mark.parametrize("asked", [{"by": "plann"}, {"period": "quartr"}])
def test_a_segment_or_period_that_does_not_exist_is_named_with_those_that_do(company, asked):
    with pytest.raises(InputError, match=r"'(plann|quartr)'\. Did you mean '(plan|quarter)'\? The known ones are: "):
        trend.trend(company, "nps", **asked)
