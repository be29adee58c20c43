"""Ratios of rates: the fit is that of other libraries, its assumptions are checked, known truth is recovered."""

from __future__ import annotations

from dataclasses import replace

import lifelines
import net
import numpy as np
import pandas as pd
import pytest

from benchmarks import leaving
from cxlib.churn import hazard_ratios
from cxlib.counts import follow_up, people
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.stats import rates


@pytest.fixture(scope="module")
def company():
    return net.opened("demo")


def world(which, seed=5, customers=2500):
    return Company.from_frames(*leaving.make(seed, customers, which))


@pytest.fixture(scope="module")
def known():
    return world(leaving.KNOWN, customers=6000)


@pytest.fixture(scope="module")
def ways(known):
    return hazard_ratios.routes(known, "nps")


@pytest.fixture(scope="module")
def decided():
    return world(leaving.DECIDED_BEFORE)


@pytest.mark.parametrize("make", [
    lambda c, s: follow_up.in_force(c, "nps", s),
    lambda c, s: follow_up.since_answer(c, "nps", 365, s),
    lambda c, s: follow_up.landmarks(c, "nps", [183, 365], 365, s),
])  # fmt: skip
def test_a_ratio_by_month_is_that_of_cox_regression_by_day_within_one_percent(company, make):
    """lifelines on the episodes of the demo, one by one, with Efron's ties."""
    episodes = make(company, people.segments(company))
    ours = hazard_ratios._ratios(company, "nps", follow_up.person_time(episodes))
    rows = episodes.execute().drop(columns="landmark", errors="ignore")
    for band in ours.others:
        rows[band] = (rows["band"] == band).astype(float)
    theirs = lifelines.CoxPHFitter().fit(
        rows.drop(columns=["band", "fold"]), "stop", "event", entry_col="start", strata=["stratum"]
    )
    plain = rates.rate_ratios(ours.time, "band", ours.best, ["stratum", "month"], cluster=None).loc[[*ours.others]]
    assert [ours.estimate(b).value for b in ours.others] == pytest.approx(plain["value"].tolist(), rel=1e-9)
    np.testing.assert_allclose(plain["value"], theirs.hazard_ratios_[[*ours.others]], rtol=0.01)
    np.testing.assert_allclose(plain["se"], theirs.standard_errors_[[*ours.others]], rtol=0.01)


def test_ratios_of_two_and_of_1_3_are_recovered(known):
    found = {f.name: f.estimate for f in hazard_ratios.ratios(known, "nps").figures}
    for band, true in (("detractor", 2.0), ("passive", 1.3)):
        e = found[f"nps-hazard-ratio-{band}"]
        assert e.low < true < e.high


def test_three_ways_of_dating_agree_where_there_is_a_link_and_where_there_is_none(ways):
    assert ways.facts["linked"] == 3
    found = hazard_ratios.routes(world(leaving.NULL, 12), "nps")
    assert (found.facts["linked"], found.facts["ways"], found.facts["missing"]) == (0, 3, [])
    assert not found.facts["opposed"]
    assert "No clear link by any of 3" in found.headline
    assert "score at 12 months" in set(found.table["route"])


def test_ways_that_differ_by_more_than_chance_are_named(company, known):
    found = hazard_ratios.routes(company, "nps").facts
    assert found["apart"] == [hazard_ratios.AT_ANSWER, hazard_ratios.AT_LANDMARK]
    assert [r["route"] for r in found["ratios"]] == [hazard_ratios.IN_FORCE, *found["apart"]]
    assert [r["ratio"].value for r in found["ratios"]] == pytest.approx([2.45, 1.87, 1.66], abs=0.005)


def test_the_landmarks_together_are_each_of_them_and_no_later_score(known, ways):
    found = ways.table.set_index("route")
    alone = follow_up.person_time(follow_up.landmarks(known, "nps", [365], 365, ["plan"]))
    alone = hazard_ratios._ratios(known, "nps", alone)
    assert found.loc["score at 12 months", "value"] == pytest.approx(alone.estimate("detractor").value, rel=1e-6)


def test_where_leaving_was_decided_before_the_delay_shrinks_the_ratio_and_the_page_says_so(decided):
    found = hazard_ratios.delayed(decided, "nps")
    value = found.table.set_index("delay")["value"]
    assert value["0 days"] > 1.6
    assert abs(np.log(value["90 days"])) < np.log(value["0 days"]) / 2
    assert found.facts["shrinks"]
    near, far = (np.log(value[d]) for d in ("0 days", "90 days"))
    assert found.facts["removed"] == pytest.approx(min(1 - far / near, 1))
    assert "may have decided before they answered" in found.detail


def test_where_the_score_comes_first_the_delay_does_not_shrink_it(known):
    found = hazard_ratios.delayed(known, "nps")
    assert not found.facts["shrinks"]
    assert not found.facts["grows"]
    assert found.facts["linked"]
    assert found.table["low"].iloc[0] > 1
    assert found.facts["events"] == found.table["events"].iloc[0] > found.facts["events_later"] > 0


def crossing(seed=3, n=4000):
    """Detractors leave four times as fast in the first year and half as fast after it."""
    rng = np.random.default_rng(seed)
    bad = rng.random(n) < 0.5
    joined = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 700, n), unit="D")
    early, late = np.where(bad, 4.0, 1.0) * 0.0006, np.where(bad, 0.5, 1.0) * 0.0012
    luck = rng.standard_exponential(n)
    days = np.where(luck < early * 335, luck / early, 335 + (luck - early * 335) / late) + 30
    left = joined + pd.to_timedelta(np.floor(days), unit="D")
    gone = left <= pd.Timestamp("2024-12-31")
    ids = [f"C{i:05d}" for i in range(n)]
    asked = joined + pd.Timedelta(days=30)
    customers = pd.DataFrame({"customer_id": ids, "joined_on": joined, "left_on": left.where(gone)})
    responses = pd.DataFrame(
        {"response_id": ids, "customer_id": ids, "metric": "nps", "asked_at": asked, "answered_at": asked,
         "score": np.where(bad, 2, 10)}
    )  # fmt: skip
    settings = {
        "as_of": "2024-12-31",
        "relationship": "contractual",
        "metrics": {"nps": {"scale": [0, 10]}},
        "draws": 100,
    }
    return Company.from_frames(settings, {"customers": customers, "responses": responses})


def test_a_ratio_that_crosses_one_is_given_by_period_and_not_by_its_average():
    company = crossing()
    found = hazard_ratios.periods(company, "nps")
    assert found.facts["changes"]
    assert found.facts["p"] < 0.001
    assert found.table["value"].iloc[0] > 3
    assert found.table["value"].iloc[-1] < 0.7
    ratio = hazard_ratios.ratios(company, "nps")
    assert [c["ratio"].value for c in ratio.facts["changing"]] == found.table["value"].tolist()
    assert "changes with tenure" in ratio.headline
    ways = hazard_ratios.routes(company, "nps")
    assert ways.facts["opposed"]  # at the answer above 1, at fixed tenures below
    assert "contradict each other" in ways.headline
    assert "in the first" in ratio.detail


def test_a_constant_ratio_is_not_called_changing(known):
    found = hazard_ratios.periods(known, "nps")
    assert not found.facts["changes"]
    assert found.facts["p"] > 0.05
    assert hazard_ratios.ratios(known, "nps").facts["changing"] == []
    assert found.table["low"].max() < 2.0 * 1.3


def test_price_and_support_cases_are_adjusted_for_and_the_gain_is_given(company):
    found = hazard_ratios.adjusted(company, "nps")
    what = found.table["what"].tolist()
    assert "price: high against price: low" in what
    assert "1 case against no case" in what
    assert found.facts["gain"] == pytest.approx(58.6, abs=0.05)
    assert found.facts["p"] < 0.001
    again = found.table[found.table["what"] == "detractor against promoter"]
    assert (again["low"] > 1).all()


def test_a_group_without_leavers_gets_no_ratio():
    settings, frames = leaving.make(5, 2500, leaving.KNOWN)
    gone = set(frames["customers"].loc[frames["customers"]["left_on"].notna(), "customer_id"])
    low = frames["responses"]["customer_id"].isin(gone) & frames["responses"]["score"].notna()
    frames["responses"].loc[low, "score"] = 3.0  # whoever left had said 3, nobody else less than 9
    frames["responses"].loc[~low & frames["responses"]["score"].notna(), "score"] = 10.0
    company = Company.from_frames(settings, frames)
    found = hazard_ratios.ratios(company, "nps")
    assert not found.answered
    assert "fewer than two score groups have 5 leavers" in found.headline
    with pytest.raises(Unanswered, match="few-events-by-group"):
        hazard_ratios._in_force(company, "nps")
    assert not hazard_ratios.delayed(company, "nps").answered


def test_without_price_and_support_cases_nothing_is_adjusted_for(known):
    found = hazard_ratios.adjusted(known, "nps")
    assert not found.answered
    assert "neither monthly_revenue nor contacts" in found.headline


def test_the_smallest_ratio_that_would_be_detected_comes_from_the_events_of_both_groups(company):
    found = hazard_ratios.ratios(company, "nps")
    events = found.table.set_index("band")["events"]
    best = found.facts["events"] - events.sum()
    spread = np.sqrt(1 / events["detractor against promoter"] + 1 / best)
    assert found.facts["detectable"] == pytest.approx(np.exp(2.8 * spread))
    assert found.known == "adjusted"


def test_a_delay_after_which_the_worst_group_has_too_few_leavers_is_left_out(company, monkeypatch):
    whole = hazard_ratios._in_force

    def without_detractors(company, metric, delay_days=0):
        r = whole(company, metric, delay_days)
        return replace(r, others=r.others[1:]) if delay_days == 90 else r

    monkeypatch.setattr(hazard_ratios, "_in_force", without_detractors)
    found = hazard_ratios.delayed(company, "nps")
    assert found.facts["longest"] == 60
    assert list(found.table["delay"]) == ["0 days", "30 days", "60 days"]
