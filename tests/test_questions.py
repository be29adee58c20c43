"""The answers of each page on companies whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import lint
import pandas as pd
import pytest
from net import opened
from simulated import in_turn

from cxlib import demo
from cxlib.churn import curves, hazard_ratios, retention
from cxlib.counts import follow_up
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.overview import data_check
from cxlib.roi import returns
from cxlib.scores import agreement, current, nonresponse, segments, support, trend
from cxlib.stats import survival
from cxlib.value import acquisition, buyers, by_score, concentration, contracts, forecast, upsell

TRUTH = json.loads((Path(__file__).parent / "truth" / "demo.json").read_text())


@pytest.fixture(scope="module")
def company():
    return opened("demo")


@pytest.fixture(scope="module")
def shop():
    return opened("demo-shop")


@pytest.fixture(scope="module")
def initiatives(company):
    return {r.initiative: r for r in returns.results(company)}


def figures(finding):
    return {f.name: f.estimate for f in finding.figures}


def holds(estimate, truth):
    return estimate.low <= truth <= estimate.high


# ---- demo: the truth lies inside the intervals -----------------------------------------------------------


def test_hazard_ratios_of_the_demo(company):
    found = hazard_ratios.ratios(company, "nps")
    assert found.known == "adjusted"
    for band in ("detractor", "passive"):
        assert holds(figures(found)[f"nps-hazard-ratio-{band}"], TRUTH["hazard_ratio"][band])
    assert figures(found)["nps-hazard-ratio-detractor"].excludes(1)


def test_value_gap_of_the_demo(company):
    gap = figures(by_score.by_score(company, "nps"))["value-gap"]
    assert holds(gap, TRUTH["value_gap"]["at_equal_tenure"]["value"])
    assert gap.excludes(0)


def test_the_initiative_given_to_everybody_at_once_gets_no_number(company, initiatives):
    found = initiatives["New app"]
    assert found.evidence.effect is None
    assert not found.identified
    assert "were reached on 1 October 2025, so no comparison is possible" in found.evidence.why
    assert found.evidence.why in " ".join(returns.statement(company, found).texts)
    assert not returns.payback(company, found).figures


def test_wording_follows_how_a_thing_is_known(company, initiatives):
    assert initiatives["Local account managers"].known == "comparison"
    for found in (hazard_ratios.ratios(company), curves.by_score(company), by_score.by_score(company)):
        assert found.known == "adjusted"
        assert not any(word in " ".join(found.texts) for word in ("result", "led to", "because"))


# ---- no link: the usual curve claims one, ours does not --------------------------------------------------


def four_companies(first_seed, **world):
    return in_turn(
        demo.settings("demo", draws=300), (demo.subscription(first_seed + i, 3000, **world) for i in range(4))
    )


def test_without_any_link_the_usual_curve_claims_one_and_ours_does_not():
    claims = {"usual": 0, "ratio": 0, "gap": 0}
    unlinked = {"link": False, "welcome_effect": 1.0, "managers_effect": 1.0, "app_effect": 1.0}
    for company in four_companies(500, **unlinked):
        rows = follow_up.last_score(company, "nps")
        rows = rows[rows["band"].isin(["detractor", "promoter"])]
        claims["usual"] += survival.log_rank(rows["duration"], rows["event"], rows["band"], weights=rows["n"]).p < 0.05
        claims["ratio"] += hazard_ratios.ratios(company, "nps").figures[0].estimate.excludes(1)
        claims["gap"] += curves.by_score(company, "nps").figures[0].estimate.excludes(0)
    # by chance alone: one claim or none in four, with probability .99; the usual curve claims in nearly all
    assert claims["usual"] >= 3
    assert claims["ratio"] <= 1
    assert claims["gap"] <= 1


def test_intervals_of_several_companies_hold_the_truth():
    """The small version of make calibrate: four companies; three or more of them, for each quantity."""
    held = pd.DataFrame(index=range(4), columns=["ratio", "value", "calls", "managers"], dtype=bool)
    for i, company in enumerate(four_companies(700)):
        ratio = figures(hazard_ratios.ratios(company, "nps"))["nps-hazard-ratio-detractor"]
        gap = figures(by_score.by_score(company, "nps"))["value-gap"]
        effects = {r.initiative: r.evidence.effect for r in returns.results(company)}
        held.loc[i] = [
            holds(ratio, TRUTH["hazard_ratio"]["detractor"]),
            holds(gap, TRUTH["value_gap"]["at_equal_tenure"]["value"]),
            holds(effects["Welcome calls"], TRUTH["welcome_calls"]["net_margin"]["value"]),
            holds(effects["Local account managers"], TRUTH["account_managers"]["value"]),
        ]
    assert (held.sum() >= 3).all(), held.sum()


# ---- what cannot be answered says so ---------------------------------------------------------------------


def test_a_company_of_customers_only_gets_reasons_and_no_error():
    frames = {"customers": pd.DataFrame({"customer_id": ["a", "b"]})}
    settings = {"name": "T", "as_of": "2024-12-31", "relationship": "contractual", "currency": "EUR"}
    bare = Company.from_frames(settings, frames)
    found = [
        current.headline(bare), current.distribution(bare), trend.trend(bare), trend.mix(bare), trend.control(bare),
        trend.early_warning(bare), segments.differences(bare), segments.agents(bare), nonresponse.funnel(bare),
        nonresponse.rates(bare), nonresponse.weighted(bare), nonresponse.comments(bare), agreement.together(bare),
        agreement.satisfied_leavers(bare), agreement.composite(bare), support.times(bare), retention.rates(bare),
        curves.by_score(bare), hazard_ratios.ratios(bare), curves.naive(bare),
        by_score.by_score(bare), by_score.changes(bare), by_score.beyond(bare), by_score.paid_today(bare),
        forecast.base(bare), contracts.base(bare), concentration.grid(bare), upsell.by_score(bare),
        acquisition.simple(bare), returns.summary(bare, returns.results(bare)),
    ]  # fmt: skip
    assert not any(f.answered for f in found)
    assert all(f.headline.startswith("Not answered: ") for f in found)
    assert [x for f in found for x in lint.faults(f)] == []
    assert data_check.questions(bare).facts["can"] == 0


def test_too_few_events_are_too_few_for_an_answer(company):
    found = hazard_ratios.ratios(company, "nps", minimum_events=100_000)
    assert not found.answered
    assert "telling score groups apart needs 100000" in found.headline


def test_a_return_without_its_cost_is_none():
    frames = demo.subscription(1, 800)
    frames["initiatives"] = frames["initiatives"].assign(cost_upfront=None, cost_per_month=None)
    with pytest.raises(InputError, match="The initiative has no cost"):
        Company.from_frames(demo.settings("demo", draws=100), frames)


def test_a_roll_out_whose_waiting_customers_are_unknown_gets_no_number():
    frames = demo.subscription(1, 1500)
    frames["initiatives"] = frames["initiatives"].assign(assigned_by=None)
    found = {r.initiative: r for r in returns.results(Company.from_frames(demo.settings("demo", draws=100), frames))}
    assert not found["Local account managers"].identified


# ---- the shop --------------------------------------------------------------------------------------------


def test_the_shop_answers_with_repeat_purchases(shop):
    found = curves.by_score(shop)
    assert not found.facts["leaving"]
    assert not retention.rates(shop).answered
    base = buyers.base(shop)
    assert base.answered
    purchases = figures(base)["base-purchases"]
    assert purchases.low < purchases.value < purchases.high


# ---- findings and figures --------------------------------------------------------------------------------


def test_all_rows_of_the_demo_are_accounted_for(company):
    record = company.record
    assert (record["rows_read"] == record["merged"] + record["set_aside"] + record["used"]).all()
    assert company.set_aside["rows"].sum() == record["set_aside"].sum() > 0
    assert data_check.rows(company).facts["aside"] == record["set_aside"].sum()
