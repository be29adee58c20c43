"""Scenarios and sample sizes: against sums by hand, the closed form of a constant hazard, and each other."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from surveys import figures
from test_forecast import MONEY, contracts

from cxlib import demo
from cxlib.counts import planned_reach
from cxlib.counts.programmes import Programme
from cxlib.errors import InputError, Unanswered
from cxlib.intake.company import Company
from cxlib.page.findings import KNOWN, Figure, Finding
from cxlib.roi import cash_flows, returns, sample_size, scenarios
from cxlib.roi.cash_flows import Paths, Side, Terms
from cxlib.roi.evidence import NOT_IDENTIFIED, Evidence
from cxlib.roi.scenarios import ALL, HALF, LASTS, NOTHING, SEEN, STOPS
from cxlib.stats import finance, power
from cxlib.stats.estimate import Estimate
from cxlib.value import by_score

pytestmark = pytest.mark.filterwarnings("error")
PLAN = Programme(
    "P1", "Fault messages", "what customers hear", date(2026, 2, 1), 8000.0, 500.0, planned=True, outcome="churn",
    smallest_effect=0.05, effect_is="relative", expected_effect=0.1, effect_months=12, planned_customers=1500,
)  # fmt: skip
MONTHLY = finance.per_period_rate(MONEY["discount_rate"], 12, "effective")
DISCOUNT = (1 + MONTHLY) ** -np.arange(1.0, 13)
COST_TODAY = 8000 + 500 * DISCOUNT.sum()
planned = partial(scenarios.planned, by_score=by_score.by_score)


@pytest.fixture(scope="module")
def steady():
    """Customers of one plan and fee who leave at 2 % a month; no orders, no contacts."""
    return contracts([0.02], customers=4000)


@pytest.fixture(scope="module")
def frames():
    return demo.subscription(5, 2000)


@pytest.fixture(scope="module")
def world(frames):
    return Company.from_frames(demo.settings("demo", draws=100), frames)


def rows(finding):
    return finding.table.set_index(finding.table.columns[0])


def still_here(company, months):
    """Return, by hand, the share of those here so many months before the end of 2025 who remain at each month's end."""
    people = company.frame("customers")
    first = pd.Timestamp("2026-01-01") - pd.DateOffset(months=months)
    base = people[(people["joined_on"] < first) & ~(people["left_on"] < first)]
    ends = [first + pd.DateOffset(months=k) for k in range(1, months + 1)]
    return np.array([(~(base["left_on"] < end)).mean() for end in ends]), len(base)


# ---- planned: what the team expects ------------------------------------------------------------------------------


def test_fewer_leaving_is_worth_what_the_kept_would_pay(steady):
    found = planned(steady, PLAN)
    here, __ = still_here(steady, 12)
    extra = 1500 * 20 * 0.6 * 0.1 * (1 - here)  # a tenth of those gone by each month pay 20 at a margin of 60 %
    shown = rows(found)
    assert shown.loc[ALL, "benefit"] == pytest.approx(extra.sum())
    assert shown.loc[ALL, "value"] == pytest.approx(extra @ DISCOUNT - COST_TODAY)
    assert shown.loc[ALL, "roi"] == pytest.approx((extra.sum() - 14000) / 14000)
    assert shown.loc[NOTHING, ["value", "low", "high"]].to_list() == pytest.approx([-COST_TODAY] * 3)
    assert shown.loc[HALF, "value"] == pytest.approx((shown.loc[ALL, "value"] + shown.loc[NOTHING, "value"]) / 2)
    assert (shown["cost"] == 14000).all()
    truth = 1500 * 20 * 0.6 * 0.1 * (1 - np.exp(-0.02 * np.arange(1, 13))) @ DISCOUNT - COST_TODAY
    assert shown.loc[ALL, "low"] < truth < shown.loc[ALL, "high"]


def test_points_are_a_share_of_the_customers(steady):
    here, __ = still_here(steady, 12)
    points = planned(steady, replace(PLAN, effect_is="points", expected_effect=0.02))
    same = planned(steady, replace(PLAN, expected_effect=0.02 / (1 - here[-1])))
    assert points.table["value"].to_numpy() == pytest.approx(same.table["value"].to_numpy())


def test_an_expectation_reaches_from_nothing_to_all_of_it(steady):
    found = planned(steady, PLAN)
    net, shown = figures(found)["scenario-fault-messages-npv"], rows(found)["value"]
    assert found.known == "forecast"
    assert found.headline.startswith("Scenario, not a result: ")
    assert (net.low, net.value, net.high) == (shown[NOTHING], shown[HALF], shown[ALL])
    facts, (here, n) = found.facts, still_here(steady, 12)
    assert (facts["lowest"], facts["highest"]) == (shown[NOTHING], shown[ALL])
    assert (facts["relative"], facts["followed"], facts["seen"], facts["credited"]) == (0.1, n, 12, 1)
    assert facts["level"] == pytest.approx(1 - here[-1])
    assert facts["to_pay"] == pytest.approx(-shown[NOTHING] / (shown[ALL] - shown[NOTHING]))
    assert facts["pays"] == (facts["to_pay"] <= 1)
    assert any("rests on no comparison" in c for c in found.caveats)


def test_at_the_share_from_which_it_pays_the_net_present_value_is_0(steady):
    share = planned(steady, PLAN).facts["to_pay"]
    even = planned(steady, replace(PLAN, expected_effect=0.1 * share))
    assert rows(even).loc[ALL, "value"] == pytest.approx(0, abs=1e-6)
    assert even.facts["to_pay"] == pytest.approx(1)


@settings(max_examples=4, deadline=None)
@given(st.floats(0.01, 1), st.floats(0, 1), st.integers(1, 5000))
def test_more_effect_share_or_customers_is_never_worth_less(steady, effect, share, customers):
    plan = replace(PLAN, expected_effect=effect, attribution_share=share, planned_customers=customers)
    net = rows(planned(steady, plan))["value"]
    assert net[NOTHING] <= net[HALF] + 1e-9 <= net[ALL] + 2e-9
    full = rows(planned(steady, replace(plan, attribution_share=1.0)))["value"]
    assert net[ALL] - net[NOTHING] == pytest.approx(share * (full[ALL] - full[NOTHING]), abs=1e-6)


def test_fewer_contacts_save_their_cost_and_larger_orders_bring_their_margin(world, frames):
    end = pd.Timestamp("2026-07-01")
    first = end - pd.DateOffset(months=12)
    people, contacts, orders = (frames[k] for k in ("customers", "contacts", "orders"))
    base = people.loc[(people["joined_on"] < first) & ~(people["left_on"] < first), "customer_id"]
    mine = [
        f[f["customer_id"].isin(base) & (f[c] >= first)] for f, c in ((contacts, "opened_at"), (orders, "ordered_at"))
    ]
    fewer = rows(planned(world, replace(PLAN, outcome="contacts")))
    assert fewer.loc[ALL, "benefit"] == pytest.approx(1500 * 0.1 * mine[0]["cost"].sum() / len(base))
    larger = rows(planned(world, replace(PLAN, outcome="order_value", expected_effect=0.05)))
    assert larger.loc[ALL, "benefit"] == pytest.approx(1500 * 0.05 * 0.75 * mine[1]["revenue"].sum() / len(base))
    an_order = orders.loc[orders["ordered_at"] >= first, "revenue"].mean()
    points = replace(PLAN, outcome="order_value", effect_is="points", expected_effect=0.05 * an_order)
    assert rows(planned(world, points)).loc[ALL, "benefit"] == pytest.approx(larger.loc[ALL, "benefit"])


def test_only_the_customers_meant_stand_for_those_reached():
    company = contracts([0.01, 0.04], customers=4000)
    people = company.frame("customers")
    base = people[~(people["left_on"] < pd.Timestamp("2025-01-01"))]
    for plan in "AB":
        gone = base.loc[base["plan"] == plan, "left_on"].notna().mean()
        assert 1 - scenarios.past(company, 12, {"plan": plan}).side.here[0, -1] == pytest.approx(gone)
    net = [rows(planned(company, PLAN, among={"plan": p})).loc[ALL, "value"] for p in "AB"]
    assert net[0] < net[1]
    with pytest.raises(InputError, match="no column 'tariff'"):
        planned(company, PLAN, among={"tariff": "A"})


def test_beyond_what_is_seen_customers_go_on_as_before():
    company = contracts([0.02], customers=2500, joined=("2025-01-01", "2025-05-31"), leavers_since="2025-07-01")
    found = scenarios.past(company, 12)
    here, n = still_here(company, 6)
    assert (found.seen, found.customers) == (6, n)
    assert found.side.here[0, :6] == pytest.approx(here)
    assert found.side.here[0, -1] == pytest.approx(np.exp(-0.24), abs=0.02)
    scenario = planned(company, PLAN)
    assert scenario.facts["seen"] == 6
    assert any("6 months could be followed" in c for c in scenario.caveats)


# ---- planned: what is linked to a score --------------------------------------------------------------------------


def plainly_valued(frames, rate=0.0):
    """The demo, its money counted over 12 months at the end of each."""
    own = demo.settings("demo", draws=100)
    money = own["money"] | {"horizon_months": 12, "first_flow": "end", "discount_rate": rate}
    return Company.from_frames(own | {"money": money}, {t: frames[t] for t in ("customers", "responses", "orders")})


@pytest.fixture(scope="module")
def undiscounted(frames):
    return plainly_valued(frames)


def test_points_of_nps_are_worth_what_lies_between_the_groups_left_and_joined(world, frames, undiscounted):
    plan = replace(PLAN, outcome="nps", effect_is="points", expected_effect=5.0)
    found = planned(world, plan)
    rate = world.settings.money.discount_rate
    plain, today = (
        by_score.by_score(c, "nps").table.set_index("band") for c in (undiscounted, plainly_valued(frames, rate))
    )
    monthly = finance.per_period_rate(rate, 12, "effective")
    cost = 8000 + 500 * finance.discount_factors(monthly, 12, "end").sum()
    shown, net = rows(found), figures(found)
    assert shown.loc[NOTHING, ["value", "low", "high"]].to_list() == pytest.approx([-cost] * 3)
    worth = []
    for worse, better in (("detractor", "passive"), ("passive", "promoter")):
        case = shown.loc[f"{ALL}, {worse} to {better}"]
        assert case["benefit"] == pytest.approx(75 * (plain.loc[better, "value"] - plain.loc[worse, "value"]))
        worth.append(75 * (today.loc[better, "value"] - today.loc[worse, "value"]) - cost)
        assert case["value"] == pytest.approx(worth[-1])
        assert case["low"] < case["value"] < case["high"]
        assert case["pays"] == (worth[-1] > 0)
        figure = net[f"scenario-fault-messages-{worse}-to-{better}-npv"]
        assert (figure.value, figure.low, figure.high) == tuple(case[["value", "low", "high"]])
    assert (found.facts["lowest"], found.facts["highest"]) == pytest.approx((min(worth), max(worth)))
    assert (found.known, found.facts["points"], found.facts["movers"]) == ("forecast", 5, 75)
    # Both paths one after the other are the way from worst to best, in value as in its interval.
    ends = by_score.by_score(undiscounted, "nps").figures[0].estimate
    assert sum(p["gap"].value for p in found.facts["by_path"]) == pytest.approx(ends.value)
    assert any("may have no effect" in c for c in found.caveats)
    assert world.settings.money.horizon_months == 24  # the company itself is as it was


def valued(**worth):
    """A value by score that is known: detractors, passives and promoters are worth this, give or take 1 a gap."""

    def by(company, metric, days, between):
        gap = worth[between[1]] - worth[between[0]]
        return Finding("value", "Value", "", figures=(Figure("gap", "Gap", Estimate(gap, gap - 1, gap + 1), "GBP"),))

    return by


def test_what_pays_on_one_path_only_is_never_said_to_pay(world):
    """In the middle of both, a price per point would show a gain; passives who become promoters bring none."""
    plan = replace(PLAN, outcome="nps", effect_is="points", expected_effect=10.0)
    one = scenarios.planned(world, plan, by_score=valued(detractor=100, passive=400, promoter=402))
    cost = -rows(one).loc[NOTHING, "value"]
    assert one.facts["lowest"] < 0 < one.facts["highest"]
    assert one.facts["lowest"] + one.facts["highest"] > 0
    assert not one.facts["pays"]
    assert "If detractors become passives, the linked value would pay for it" in one.detail
    assert "If passives become promoters, the linked value would not pay for it" in one.detail
    assert "On every path" not in one.detail
    both = scenarios.planned(world, plan, by_score=valued(detractor=100, passive=400, promoter=600))
    assert both.facts["to_pay"] == pytest.approx(cost / (both.facts["lowest"] + cost))
    assert "On every path it pays only if at least" in both.detail


def test_the_budget_counts_a_score_by_the_path_that_brings_least(world, monkeypatch):
    plan = replace(PLAN, outcome="nps", effect_is="points", expected_effect=10.0)
    monkeypatch.setattr(returns, "planned", lambda company: [plan])
    by = valued(detractor=100, passive=400, promoter=402)
    (candidate,) = returns.candidates(world, [], by)
    cost, shown = candidate.cost, scenarios.planned(world, plan, by_score=by).table[1:]
    ends = [1500 * v - cost for v in (candidate.gain.value, candidate.gain.low, candidate.gain.high)]
    assert ends == pytest.approx([shown["value"].min(), shown["low"].min(), shown["high"].max()])


def test_a_share_satisfied_moves_only_with_those_who_become_satisfied(world, undiscounted):
    found = planned(world, replace(PLAN, outcome="csat", effect_is="points", expected_effect=5.0))
    each = by_score.by_score(undiscounted, "csat").table.set_index("band")["value"]
    assert rows(found).index.to_list()[1:] == [f"{ALL}, {b} to satisfied" for b in ("dissatisfied", "neutral")]
    for worse in ("dissatisfied", "neutral"):
        benefit = rows(found).loc[f"{ALL}, {worse} to satisfied", "benefit"]
        assert benefit == pytest.approx(75 * (each["satisfied"] - each[worse]))
    assert found.facts["metric"] == "CSAT"
    assert "share satisfied (CSAT)" in found.caveats[0]


def test_the_value_of_a_score_is_asked_of_a_function_given(world):
    asked = []

    def refuses(company, metric, days, between):
        asked.append((company.settings.money.horizon_months, metric, days, between))
        return Finding("value", "Value", "Not answered: no reason.", detail="A remedy.", answered=False)

    found = scenarios.planned(world, replace(PLAN, outcome="nps", effect_is="points"), by_score=refuses)
    assert asked == [(12, "nps", 365, ("detractor", "passive"))]
    assert (found.answered, found.headline, found.detail) == (False, "Not answered: no reason.", "A remedy.")


# ---- planned: what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outcome": ""}, "no outcome"),
        ({"expected_effect": math.nan}, "no expected_effect"),
        ({"effect_is": ""}, "no effect_is"),
        ({"planned_customers": 0}, "no planned_customers"),
        ({"cost_upfront": 0.0, "cost_per_month": 0.0}, "no cost"),
        ({"planned": False}, "has started"),
        ({"effect_is": "points", "expected_effect": 0.9}, "exceeds the level without it"),
        ({"outcome": "contacts"}, "no contacts table"),
        ({"outcome": "order_value"}, "the level of order_value without the programme is unknown"),
        ({"outcome": "upsell"}, "no scenario for the outcome upsell"),
        ({"outcome": "nps"}, "relative, and a score has no natural zero"),
        ({"outcome": "nps", "effect_is": "points"}, "NPS has no answers"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(steady, change, said):
    found = planned(steady, replace(PLAN, **change))
    assert not found.answered
    assert said in found.headline


def test_customers_who_cannot_be_followed_have_no_past(steady):
    with pytest.raises(Unanswered, match="few-followed"):
        scenarios.past(contracts([0.02], customers=20), 12)
    late = contracts([0.02], customers=200, leavers_since="2025-12-15")
    with pytest.raises(Unanswered, match="not-followed-a-month"):
        scenarios.past(late, 12)


def test_without_money_there_is_no_scenario():
    company = contracts([0.02], customers=200, money=None)
    for found in (planned(company, PLAN), scenarios.part_year(company, halfway())):
        assert not found.answered
        assert "money block" in found.headline
    assert sample_size.trial(company, PLAN).answered  # level and power need no money


# ---- part of the way ---------------------------------------------------------------------------------------------


def halfway(months=6, pays_more=0.0, keeps=0.0, known="randomised", whole=12):
    """Evidence of a programme seen for some months: pay rises by ``pays_more``, a share ``keeps`` of leavers stays."""
    rng = np.random.default_rng(1)
    noise = np.r_[0, 0.1 * rng.standard_normal(100)][:, None]
    here = np.broadcast_to(0.98 ** np.arange(1, months + 1), (101, months))
    without = Side(here, 10 * here, np.zeros_like(here))
    with_it = scenarios.fewer_leaving(without, keeps)
    with_it = replace(with_it, earned=with_it.earned + (pays_more + noise) * with_it.here)
    programme = replace(PLAN, planned=False, effect_months=whole)
    paths = Paths(with_it, without, 1000, 2000, 256)
    return Evidence(programme, "randomised", known, "randomised", months=months, paths=paths)


def test_the_whole_period_is_shown_beside_the_months_seen(steady):
    found = scenarios.part_year(steady, halfway(pays_more=2.0))
    shown = rows(found)
    here = 0.98 ** np.arange(1, 13)
    assert shown.loc[SEEN, "benefit"] == pytest.approx(1000 * 2 * here[:6].sum())
    assert shown.loc[STOPS, "benefit"] == pytest.approx(shown.loc[SEEN, "benefit"])  # nobody pays more from today on
    assert shown.loc[STOPS, "value"] == pytest.approx(
        shown.loc[SEEN, "value"] - 500 * DISCOUNT[6:].sum()
    )  # but it costs
    assert shown.loc[LASTS, "benefit"] == pytest.approx(1000 * 2 * here.sum(), rel=0.01)
    assert shown["cost"].to_list() == [11000, 14000, 14000]
    assert shown["months"].to_list() == [6, 12, 12]
    ends = [found.facts[k].value for k in ("so_far", "stops", "lasts")]
    assert ends == shown["value"].to_list()
    assert [found.facts[k] for k in ("whole", "seen", "ahead", "fading")] == [12, 6, 6, False]
    assert found.facts["loss"] == (shown.loc[[STOPS, LASTS], "low"].min() < 0)
    assert not scenarios.part_year(steady, halfway(pays_more=20.0)).facts["loss"]


def test_of_a_roll_out_in_steps_the_programme_is_paid_from_the_first_one(steady):
    """Paths of 9 months, in which each branch has been seen for 6."""
    stepped = replace(halfway(months=9, pays_more=2.0), months=6)
    shown = rows(scenarios.part_year(steady, stepped))
    assert shown["cost"].to_list() == [8000 + 9 * 500, 8000 + 15 * 500, 8000 + 15 * 500]
    assert shown["months"].to_list() == [6, 12, 12]


def test_customers_kept_stay_kept_where_the_effect_stops(steady):
    shown = rows(scenarios.part_year(steady, halfway(keeps=0.3)))["benefit"]
    assert shown[SEEN] < shown[STOPS] < shown[LASTS]


def test_a_declared_fading_lies_between():
    company = contracts([0.02], customers=200, money=MONEY | {"effect_kept_a_year": [0.0, 0.5]})
    found = scenarios.part_year(company, halfway(pays_more=2.0, keeps=0.2))
    shown = rows(found)["value"]
    assert len(shown) == 4
    assert shown[STOPS] < shown.iloc[2] < shown[LASTS]
    assert figures(found)["part-year-fault-messages-npv"].value == shown.iloc[2]


@pytest.mark.parametrize("known", ["randomised", "adjusted", "observed"])
def test_a_projection_is_no_comparison(steady, known):
    found = scenarios.part_year(steady, halfway(known=known))
    assert found.known == "forecast"
    assert KNOWN[known] in found.detail
    assert found.headline.startswith("Scenario, not a result: ")
    assert any("not a proven effect" in c for c in found.caveats) == (known != "randomised")


def test_what_is_over_or_not_known_has_no_part_year(steady):
    assert "are over" in scenarios.part_year(steady, halfway(months=12)).headline
    unknown = Evidence(PLAN, NOT_IDENTIFIED, "observed", "everyone was reached at once", "Start with half.")
    found = scenarios.part_year(steady, unknown)
    assert (found.headline, found.detail) == ("Not answered: everyone was reached at once.", "Start with half.")


# ---- sample sizes ------------------------------------------------------------------------------------------------


def test_the_level_of_churn_is_counted(steady):
    trial = sample_size.trial(steady, PLAN)
    found = rows(trial)
    for months in sample_size.TRIAL_MONTHS:
        level = 1 - still_here(steady, months)[0][-1]
        assert found.loc[months, "level"] == pytest.approx(level)
        assert found.loc[months, "value"] == pytest.approx(power.smallest_change(level, 1500) / level)
        assert found.loc[months, "needed"] == pytest.approx(power.customers_needed(level, -0.05 * level))
        assert found.loc[months, "low"] < found.loc[months, "value"] < found.loc[months, "high"]
    assert trial.known == "forecast"
    assert (trial.facts["level"], trial.facts["smallest"]) == (found.loc[12, "level"], found.loc[12, "value"])


def test_a_trial_of_the_size_named_finds_the_difference_in_four_of_five(steady):
    row = rows(sample_size.trial(steady, PLAN)).loc[12]
    arm = round(row["needed"] / 2)
    rng = np.random.default_rng(2)
    gone = [rng.binomial(arm, p, 4000) / arm for p in (row["level"], 0.95 * row["level"])]
    pooled = (gone[0] + gone[1]) / 2
    z = (gone[0] - gone[1]) / np.sqrt(2 * pooled * (1 - pooled) / arm)
    assert (np.abs(z) > stats.norm.isf(0.025)).mean() == pytest.approx(0.8, abs=0.025)


def test_it_says_when_it_could_be_seen_or_how_many_are_needed(steady):
    few = sample_size.trial(steady, PLAN)
    assert (few.facts["after"], few.facts["wanted"], few.facts["declared"]) == (0, 0.05, True)
    needed = rows(few).loc[24, "needed"]
    assert few.facts["needed"] == math.ceil(needed)
    assert f"{math.ceil(needed):,} would be needed" in few.detail
    many = replace(PLAN, planned_customers=math.ceil(rows(few).loc[12, "needed"]))
    assert sample_size.trial(steady, many).facts["after"] == 12
    assert "after 12 months" in sample_size.trial(steady, many).detail


def test_without_a_plan_all_of_today_would_take_part(steady):
    facts = sample_size.trial(steady, replace(PLAN, planned_customers=0)).facts
    assert (facts["customers"], facts["planned"]) == (planned_reach.here_today(steady), False)


def test_undeclared_the_break_even_is_wanted(steady):
    plan = replace(PLAN, smallest_effect=math.nan, cost_upfront=200.0, cost_per_month=20.0)
    found = sample_size.trial(steady, plan)
    assert not found.facts["declared"]
    here, __ = still_here(steady, 12)
    pays = (200 + 20 * DISCOUNT.sum()) / (1500 * 12 * (1 - here) @ DISCOUNT)  # 12: the margin of a fee of 20
    needed = power.customers_needed(1 - here[-1], -pays * (1 - here[-1]))
    assert rows(found).loc[12, "needed"] == pytest.approx(needed)
    assert found.facts["wanted"] == pytest.approx(pays)
    even = planned(steady, replace(plan, expected_effect=pays))
    assert rows(even).loc[ALL, "value"] == pytest.approx(0, abs=1e-6)


def test_a_cost_that_an_end_to_churn_cannot_cover_is_said(steady):
    found = sample_size.trial(steady, replace(PLAN, smallest_effect=math.nan, cost_upfront=1e6))
    assert found.facts["beyond"]
    assert "would not cover the cost" in found.detail
    assert not sample_size.trial(steady, replace(PLAN, planned_customers=20)).facts["detectable"]


def test_nothing_declared_and_no_money_leaves_the_size_wanted_open():
    facts = sample_size.trial(
        contracts([0.02], customers=200, money=None), replace(PLAN, smallest_effect=math.nan)
    ).facts
    assert (facts["known_size"], facts["beyond"]) == (False, False)


def test_a_score_is_tried_on_those_who_answer(world, frames):
    plan = replace(PLAN, outcome="nps", effect_is="points", smallest_effect=2.0)
    found = sample_size.trial(world, plan)
    answers = frames["responses"].query("metric == 'nps' and score.notna()")
    when = answers["answered_at"].fillna(answers["asked_at"]).dt.normalize()
    recent = answers[when > pd.Timestamp("2025-06-30")].assign(when=when).sort_values(["when", "response_id"])
    last = recent.groupby("customer_id")["score"].last()
    points = np.select([last >= 9, last <= 6], [100, -100], 0)
    people = frames["customers"]
    here = people.loc[people["left_on"].isna(), "customer_id"]
    share = here.isin(recent["customer_id"]).mean()
    row = rows(found).loc[12]
    assert row["level"] == pytest.approx(share)
    assert row["value"] == pytest.approx(power.smallest_change_mean(points.std(), 1500 * share))
    assert row["needed"] == pytest.approx(power.customers_needed_mean(points.std(), 2.0) / share)
    facts = found.facts
    assert (facts["share"], facts["smallest"]) == (row["level"], row["value"])
    assert (facts["wanted"], facts["unit"]) == (2, "NPS points")
    assert (facts["today"], facts["sd"]) == pytest.approx((points.mean(), points.std()))
    assert facts["needed"] == math.ceil(found.table["needed"].min())


# ---- a shop --------------------------------------------------------------------------------------------------------


def test_without_contracts_nobody_is_seen_to_leave():
    shop = Company.from_frames(demo.settings("demo-shop", draws=60), demo.shop(6, 700))
    for found in (planned(shop, PLAN), sample_size.trial(shop, PLAN)):
        assert "nobody is seen to leave" in found.headline
    fewer = planned(shop, replace(PLAN, outcome="contacts"))
    assert fewer.answered
    assert rows(fewer).loc[ALL, "value"] > rows(fewer).loc[NOTHING, "value"]


def test_the_path_without_is_the_same_money_as_the_paths_of_cash(steady):
    found = scenarios.past(steady, 12)
    paths = Paths(scenarios.fewer_leaving(found.side, 0.1), found.side, 1500, found.customers, 256)
    worth = cash_flows.worth_of(paths, Terms(8000, 500, 12, MONTHLY))
    assert rows(planned(steady, PLAN)).loc[ALL, "value"] == pytest.approx(worth.net_present_value.value)
    assert planned_reach.here_today(steady) == steady.frame("customers")["left_on"].isna().sum()
