"""Curves by score counted from the answer, what they amount to in customers, and the usual mistake."""

from __future__ import annotations

import dataclasses
import math

import net
import numpy as np
import pandas as pd
import pytest

from benchmarks import leaving
from cxlib.churn import curves
from cxlib.counts import follow_up, people
from cxlib.intake.company import Company
from cxlib.stats import standardise, survival


@pytest.fixture(scope="module")
def company():
    return net.opened("demo")


@pytest.fixture(scope="module")
def shop():
    return net.opened("demo-shop")


@pytest.fixture(scope="module")
def without_link():
    return Company.from_frames(*leaving.make(6, 2500, leaving.NULL))


def fitted(company):
    return curves.curves(company, "nps", 365, 100)


# ---- the curves ------------------------------------------------------------------------------------------------------


def test_a_company_without_segments_gets_the_plain_kaplan_meier_curve_of_each_stage_in_one_mix(company):
    frames = {n: company.frame(n) for n in ("customers", "responses")}
    frames["customers"] = frames["customers"][["customer_id", "joined_on", "left_on"]]
    frames["responses"] = frames["responses"].query("metric == 'nps'").drop(columns=["fold"])
    frames["responses"] = frames["responses"][
        ["response_id", "customer_id", "metric", "asked_at", "answered_at", "score"]
    ]
    settings = {
        "as_of": "2026-06-30",
        "relationship": "contractual",
        "metrics": {"nps": {"scale": [0, 10]}},
        "draws": 50,
    }
    plain = Company.from_frames(settings, frames)
    found = curves.curves(plain, "nps", 365, 100)
    counted = follow_up.follow_up(plain, "nps", 365, by=[people.STAGE])
    level = (
        counted["stratum"]
        .astype(str)
        .map(standardise.levels(counted, list(found.drawn), 30, finer=1, horizon=found.horizon))
    )
    share = counted.groupby(level)["n"].sum() / counted["n"].sum()
    for band in found.drawn:
        heights = []
        for name in share.index:
            part = counted[(level == name) & (counted["band"] == band)]
            rows = part.loc[part.index.repeat(part["n"])]
            event = np.concatenate([[1] * e + [0] * (n - e) for e, n in zip(part["events"], part["n"], strict=True)])
            curve = survival.kaplan_meier(rows["duration"], event)
            heights.append(curve.loc[curve["time"] <= 183, "survival"].iloc[-1])
        assert found.at(band, 183).value == pytest.approx(float(share.to_numpy() @ heights), abs=1e-12)


def test_small_stages_are_put_together_before_segments_are():
    rows = [
        {"stratum": f"{plan} | {stage}", "band": band, "duration": 365, "fold": 1, "n": n, "events": 0}
        for plan, each in {"Basic": (150, 150, 20), "Pro": (120, 60, 60), "Rare": (4, 4, 4)}.items()
        for stage, n in zip(("first", "second", "third"), each, strict=True)
        for band in ("promoter", "detractor")
    ]
    counted = pd.DataFrame(rows)
    found = standardise.levels(counted, ["promoter", "detractor"], 30, finer=1, horizon=365)
    assert found["Basic | first"] == "Basic"  # its third stage is too small for a curve of its own, and alone in that
    assert found["Pro | first"] == "Pro | first"
    assert found["Pro | second"] == found["Pro | third"] == "Pro | others"
    assert found[found.index.str.startswith("Rare")].isna().all()
    rare = counted.assign(n=counted["n"].where(~counted["stratum"].str.startswith("Rare"), 39))
    rare = rare[rare["stratum"] != "Rare | third"]
    assert set(standardise.levels(rare, ["promoter", "detractor"], 80, finer=1, horizon=365)) == {"all"}


def test_a_tenth_of_the_answers_may_have_no_level():
    """The largest share that may be left out is left out; one answer more, and everything is one level."""
    rows = [
        ("Basic", "promoter", 450),
        ("Basic", "detractor", 450),
        ("Rare", "promoter", 90),
        ("Rare", "detractor", 10),
    ]
    counted = pd.DataFrame(rows, columns=["stratum", "band", "n"]).assign(duration=365)
    found = standardise.levels(counted, ["promoter", "detractor"], 30, finer=0, horizon=365)
    assert found["Basic"] == "Basic"
    assert pd.isna(found["Rare"])
    counted.loc[2, "n"] = 91
    assert set(standardise.levels(counted, ["promoter", "detractor"], 30, finer=0, horizon=365)) == {"all"}


def test_the_finest_cut_is_given_up_first():
    rows = [
        {"stratum": f"Basic | {stage} | {price}", "band": band, "duration": 365, "fold": 1, "n": n, "events": 0}
        for stage, each in {"first": (150, 150), "second": (150, 60), "third": (60, 50)}.items()
        for price, n in zip(("low", "high"), each, strict=True)
        for band in ("promoter", "detractor")
    ]
    found = standardise.levels(pd.DataFrame(rows), ["promoter", "detractor"], 30, finer=2, horizon=365)
    assert found["Basic | first | low"] == "Basic | first | low"
    assert found["Basic | second | low"] == found["Basic | second | high"] == "Basic | second"
    assert found["Basic | third | low"] == found["Basic | third | high"] == "Basic | third | others"


def test_the_curve_says_gap_months_and_that_groups_may_differ(company):
    found = curves.by_score(company, "nps")
    gap = found.figures[0].estimate
    assert gap.low < gap.value < gap.high
    assert found.known == "adjusted"
    best, worst = (found.facts[k] for k in ("best", "worst"))
    assert (best, worst) == ("promoter", "detractor")
    assert found.facts["best_share"] - found.facts["worst_share"] == pytest.approx(gap.value)
    assert found.facts["longer"].value == pytest.approx(0.54, abs=0.005)
    assert any("differ in more than their score" in c for c in found.caveats)
    assert (found.table.groupby("band")["at_risk"].diff().dropna() <= 0).all()


def test_restricted_means_are_the_area_and_a_median_beyond_the_horizon_is_not_reached(company):
    c = fitted(company)
    for band in c.drawn:
        area = sum(c.at(band, d).value for d in range(1, c.horizon + 1)) / people.DAYS_A_MONTH
        assert c.months(band).value == pytest.approx(area, rel=1e-9)
        assert math.isinf(c.median(band).value)
    found = curves.summaries(company, "nps")
    assert not found.facts["reached"]
    assert set(found.table["median"]) == {"over 12 months"}


def test_how_the_follow_up_ends_adds_up(company):
    found, c = curves.followed(company, "nps"), fitted(company)
    shares = found.table.set_index("band")
    assert shares[["chosen", "otherwise", "horizon", "as_of"]].sum(axis=1).to_numpy() == pytest.approx(1)
    part = c.counted[(c.counted["band"] == "promoter") & (c.counted["duration"] == 365)]
    assert shares.loc["promoter", "horizon"] == pytest.approx((part["n"] - part["events"]).sum() / c.sizes["promoter"])
    assert found.facts["cut"] == pytest.approx(shares["as_of"] @ shares["n"] / shares["n"].sum())
    assert list(shares["n"]) == [c.sizes[b] for b in c.drawn]


def test_gaps_are_given_in_points_and_in_customers_of_today_at_their_own_mix(company):
    """The gap of each plan and stage times today's detractors in it: 67, where the gap at the mix of all gives 59."""
    found, c = curves.differences(company, "nps"), fitted(company)
    now = follow_up.today(company, "nps", ["plan", people.STAGE]).query("band == 'detractor'")
    by_level = now.groupby(now["stratum"].map(c.level))["n"].sum()
    for better in ("promoter", "passive"):
        row = found.table.set_index(["groups", "after"]).loc[f"{better} minus detractor", "12 months"]
        gaps = [c.cells[better, k][0, -1] - c.cells["detractor", k][0, -1] for k in by_level.index]
        assert row["customers"] == pytest.approx(by_level.to_numpy() @ gaps)
        assert row["value"] == pytest.approx(c.gap(better, "detractor", 365).value)
    assert list(found.table["after"][:3]) == ["3 months", "6 months", "12 months"]
    assert found.facts["gap"].value == found.table["value"][2]
    assert found.facts["customers"].value == found.table["customers"][2]
    assert found.facts["here"] == by_level.sum() == now["n"].sum()
    assert found.facts["detected"] == 6  # all of them, corrected for six tests


def test_customers_kept_are_those_of_the_gaps_and_no_promise(company):
    found = curves.kept(company, "nps")
    row = curves.differences(company, "nps").table.set_index(["groups", "after"])
    row = row.loc["passive minus detractor", "12 months"]
    kept = found.table.set_index("left_like").loc["passives"]
    assert tuple(kept[["value", "low", "high"]]) == tuple(row[["customers", "customers_low", "customers_high"]])
    assert kept["value"] == pytest.approx(67, abs=0.5)
    assert "not a promise" in found.caveats[0]
    assert found.figures[0].unit == "customers"


def test_a_group_that_nobody_has_left_yet_has_a_margin_of_error_in_the_gap(company):
    """Resamples of a group without leavers do not differ; the exact interval of its share enters the gap (MOVER)."""
    c = fitted(company)
    day, here = 30, np.ones_like(c.drawn["promoter"])
    none_left = dataclasses.replace(c, drawn=c.drawn | {"promoter": here})
    gap, first, second = none_left.gap("promoter", "detractor", day), *(none_left.at(b, day) for b in c.answered[::-2])
    assert gap.value == pytest.approx(1 - second.value)
    assert gap.low == pytest.approx(gap.value - math.hypot(1 - first.low, second.high - second.value))
    assert gap.value < gap.high < 1


def test_a_level_needs_several_answers_followed_to_the_horizon():
    rows = [
        {"stratum": stage, "band": band, "duration": duration, "n": n}
        for stage, late in (("first", 10), ("second", 9))
        for band in ("promoter", "detractor")
        for duration, n in ((300, 200), (365, late))
    ]
    found = standardise.levels(pd.DataFrame(rows), ["promoter", "detractor"], 30, finer=0, horizon=365)
    assert set(found) == {"all"}
    found = standardise.levels(pd.DataFrame(rows).replace(9, 10), ["promoter", "detractor"], 30, finer=0, horizon=365)
    assert list(found) == ["first", "second"]


def test_the_usual_curve_says_by_how_much_it_is_off(company):
    found = curves.naive(company, "nps")
    assert found.facts["claims"]
    c = fitted(company)
    for band, share in (("promoter", found.facts["best_share"]), ("detractor", found.facts["worst_share"])):
        assert found.facts["too_high"][band] == pytest.approx(share - c.at(band, 365).value)
        assert found.facts["too_high"][band] > 0.04


# ---- worlds with known truth -----------------------------------------------------------------------------------------


def test_where_the_score_says_nothing_the_curves_say_so_and_the_usual_one_claims_a_link(without_link):
    found = curves.by_score(without_link, "nps")
    assert not found.facts["detected"]
    assert found.headline.startswith("No clear difference")
    assert curves.naive(without_link, "nps").facts["claims"]


def test_curves_come_near_the_truth_where_early_leavers_are_missing():
    world = leaving.World(leavers_since=True)
    true = leaving.truths(world, 200_000)
    held = []
    for seed in range(3):
        c = fitted(Company.from_frames(*leaving.make(40 + seed, 2500, world)))
        held += [c.at(b, 365).low <= true[f"still_here_{b}"] <= c.at(b, 365).high for b in leaving.BANDS]
    assert sum(held) >= 7  # of 9


# ---- what cannot be said ---------------------------------------------------------------------------------------------


def test_a_shop_says_who_bought_again_and_nothing_of_leaving(shop):
    found = curves.by_score(shop)
    assert "bought again" in found.headline
    assert found.known == "adjusted"
    assert any("taken together" in c for c in found.caveats)  # most countries are too small for a level of their own
    assert curves.differences(shop).answered
    for found in (curves.kept(shop), curves.summaries(shop), curves.naive(shop)):
        assert not found.answered
        assert "without contracts" in found.headline or "sign-up and leaving dates" in found.headline


def test_a_snapshot_has_scores_but_no_dates_and_says_what_that_means():
    n = 400
    rng = np.random.default_rng(1)
    ids = [f"C{i}" for i in range(n)]
    customers = pd.DataFrame(
        {"customer_id": ids, "tenure": rng.integers(1, 60, n), "left": rng.choice(["yes", "no"], n)}
    )
    responses = pd.DataFrame({"response_id": ids, "customer_id": ids, "metric": "nps", "score": rng.integers(0, 11, n)})
    settings = {
        "as_of": "2025-12-31", "relationship": "contractual", "metrics": {"nps": {"scale": [0, 10]}},
        "sources": {"customers": {"tenure_unit": "months"}},
    }  # fmt: skip
    company = Company.from_frames(settings, {"customers": customers, "responses": responses})
    for found in (curves.by_score(company), curves.naive(company), curves.kept(company)):
        assert not found.answered
        assert "what came first" in found.headline


def test_exits_of_both_kinds_add_up_to_all_that_left(company):
    found = curves.exits(company, "nps").table
    c = fitted(company)
    for band in c.drawn:
        part = c.counted[c.counted["band"] == band]
        both = found[found["band"] == band]["value"].sum()
        rows = part.loc[part.index.repeat(part["n"])]
        event = np.concatenate([[1] * e + [0] * (n - e) for e, n in zip(part["events"], part["n"], strict=True)])
        gone = 1 - survival.survival_at(survival.kaplan_meier(rows["duration"], event), [c.horizon])["value"].iloc[0]
        assert both == pytest.approx(gone, abs=1e-9)
    assert (found["naive"] > found["value"]).all()
    said = curves.exits(company, "nps").facts
    assert said["overstated"] == pytest.approx((found["naive"] - found["value"]).max())
    shown = found.set_index(["kind", "band"])["value"]
    assert said["worst_chose"] == shown["by choice", "detractor"]
    assert said["best_otherwise"] == shown["otherwise", "promoter"]
