"""Forecast of a contract base: closed forms, the future of a made-up world, and what was known when."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulated import no_programmes
from surveys import figures

from cxlib import demo
from cxlib.counts import contract_base
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.demo.paths import World, day, simulate
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.stats import periods
from cxlib.value import forecast

pytestmark = pytest.mark.filterwarnings("error")
MONEY = {"value_is": "margin", "gross_margin": 0.6, "discount_rate": 0.1, "discount_convention": "effective",
         "horizon_months": 24, "first_flow": "now"}  # fmt: skip
SEED, PEOPLE, LATER = 5, 2500, "2028-06-30"
STEADY = {"welcome_effect": 1.0, "managers_effect": 1.0, "app_effect": 1.0, "harbour_drop": 0.0}


def contracts(hazards, fees=20.0, customers=5000, joined=("2017-01-01", "2019-12-31"), seed=1, shares=None, **settings):
    """Make a company of plans with constant monthly hazards: exits to the day, seen until the end of 2025."""
    rng = np.random.default_rng(seed)
    first, last, end = (pd.Timestamp(d) for d in (*joined, "2025-12-31"))
    on = first + pd.to_timedelta(rng.integers(0, (last - first).days + 1, customers), unit="D")
    plan = rng.choice(len(hazards), customers, p=shares)
    left = on + pd.to_timedelta(np.ceil(rng.exponential(DAYS_A_MONTH / np.array(hazards)[plan])), unit="D")
    frame = pd.DataFrame({
        "customer_id": [f"c{i:06d}" for i in range(customers)], "joined_on": on, "left_on": left.where(left <= end),
        "plan": np.array(["A", "B", "C"])[plan], "monthly_revenue": np.broadcast_to(fees, len(hazards))[plan],
    })  # fmt: skip
    settings = {"name": "T", "as_of": "2025-12-31", "relationship": "contractual", "currency": "EUR", "draws": 200,
                "segments": ["plan"], "metrics": {"nps": {"scale": [0, 10]}}, "money": MONEY} | settings  # fmt: skip
    return Company.from_frames(settings, {"customers": frame})


def annuity(stay, months=24, first=0, rate=0.1):
    """Payments of 1 a month, each made by those still here, in today's money."""
    at = np.arange(months) + first
    return float((stay**at * (1 + rate) ** (-at / 12)).sum())


@pytest.fixture(scope="module")
def frames():
    return no_programmes(demo.subscription(SEED, PEOPLE, **STEADY))


@pytest.fixture(scope="module")
def world(frames):
    return Company.from_frames(demo.settings("demo", draws=200), frames)


# ---- closed forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first_flow", "first"), [("now", 0), ("end", 1)])
def test_customers_all_alike_are_worth_the_closed_form(first_flow, first):
    company = contracts([0.02], customers=1500, money=MONEY | {"first_flow": first_flow})
    people = company.frame("customers")
    months, left = 0, 0
    for q in range(8):  # by hand: the customer-months of eight quarters, and who left in them
        begin, end = (pd.Timestamp(contract_base.back(company.as_of, 3 * k)) for k in (q + 1, q))
        here = people[~(people["left_on"] <= begin)]
        gone = here["left_on"] <= end
        month = np.ceil((here["left_on"] - begin).dt.days / DAYS_A_MONTH).clip(1, 3)
        months, left = months + month.where(gone, 3).sum(), left + gone.sum()
    here = people["left_on"].isna().sum()
    found = figures(forecast.base(company))
    expected = here * 20 * 0.6 * annuity(1 - left / months, first=first)
    assert found["forecast"].value == pytest.approx(expected, rel=1e-6)
    assert found["forecast-stay"].value == pytest.approx((1 - left / months) ** 24, rel=1e-6)
    facts = forecast.base(company).facts
    assert facts["whole"] == pytest.approx(here * 20 * 0.6 * annuity(1.0, first=first))
    assert facts["each"] == pytest.approx(expected / here, rel=1e-6)
    assert facts["customers"] == here
    truth = here * 20 * 0.6 * annuity(np.exp(-0.02), first=first)
    assert found["forecast"].low < truth < found["forecast"].high
    assert found["forecast"].value == pytest.approx(truth, rel=0.05)


def test_each_plan_is_forecast_by_its_own_hazard_with_late_entry():
    company = contracts([0.01, 0.04], fees=[50.0, 10.0], joined=("2021-01-01", "2025-12-30"))
    found = forecast.base(company).table.set_index(["cut", "level"])
    for plan, hazard, fee in (("A", 0.01, 50), ("B", 0.04, 10)):
        row = found.loc[("plan", plan)]
        truth = fee * 0.6 * annuity(np.exp(-hazard))
        assert row["low"] / row["n"] < truth < row["high"] / row["n"]
        assert row["per_customer"] == pytest.approx(truth, rel=0.04)
        assert row["stay"] == pytest.approx(np.exp(-24 * hazard), abs=0.03)
    for cut in ("plan", "stage"):  # the levels add up
        assert found.loc[cut][["value", "n"]].sum().to_list() == pytest.approx(
            found.loc[("all", "all"), ["value", "n"]].to_list()
        )


def test_what_each_is_worth_adds_up_to_the_base(world):
    rows = forecast.each(world)
    total = figures(forecast.base(world))["forecast"]
    assert (rows["n"] * rows["value"]).sum() == pytest.approx(total.value)
    people = world.frame("customers")
    here = people[people["left_on"].isna()]
    assert rows["n"].sum() == len(here)
    assert rows["fee"].sum() == pytest.approx(here["monthly_revenue"].sum())
    assert rows["risk"].between(0, 1).all()
    assert set(rows["fold"]) <= set(range(256))


def test_the_prediction_interval_adds_the_luck_of_who_leaves_and_how_far_months_differ():
    """Ten customers of 20 and one of 300 with a chance of 3 % a month: payments and their variance one by one."""
    chance, due = 0.03, np.r_[1.01 ** -np.arange(12.0), 0.0]
    alive = (1 - chance) ** np.arange(13.0)[:, None]
    state = periods.Periods(24, np.zeros(12), np.ones(1), np.array([0.2]), np.array([0.8]), np.zeros((1, 12, 12)))
    cells = pd.DataFrame({"n": [11]})
    ahead = forecast.Outlook((), cells, due, state, due @ alive, alive[-1:], alive)
    each, squares = np.array([[10 * 20 + 300.0]]), np.array([[10 * 20**2 + 300.0**2]])
    drawn = (due @ alive) * each * np.array([[1.0], [0.99], [1.01]])
    (found,) = ahead.come(due, each, squares, drawn, 24)
    left = np.r_[chance * (1 - chance) ** np.arange(12), (1 - chance) ** 12]  # in month 1, 2 ... or not at all
    paid = np.cumsum(due)[np.r_[np.arange(12), 12]]
    luck = (left @ paid**2 - (left @ paid) ** 2) * squares[0, 0]

    def brought(logs):
        return 500 * due @ np.r_[1, np.cumprod((1 - chance) ** np.exp(logs))]

    reach = np.array([(brought(1e-5 * one) - brought(-1e-5 * one)) / 2e-5 for one in np.eye(12)])
    weights = np.r_[np.full(24, -reach.sum() / 24), reach]
    apart = 0.8 ** np.abs(np.subtract.outer(np.arange(36), np.arange(36)))
    variance = drawn[1:].var(ddof=1) + luck + 0.04 * weights @ apart @ weights
    assert found.value == pytest.approx(500 * due @ alive[:, 0])
    assert found.se == pytest.approx(np.sqrt(variance), rel=1e-6)
    assert found.high - found.value == pytest.approx(1.96 * np.sqrt(variance), rel=1e-4)


def test_what_comes_is_said_with_more_doubt_than_what_is_expected(world):
    found = forecast.base(world)
    e, model = figures(found)["forecast"], found.facts["model"]
    assert e.value == model.value
    assert e.low < model.low < model.high < e.high
    assert "prediction interval" in found.figures[0].label
    assert forecast.holdout(world).facts["inside"]


# ---- a world whose future is known -------------------------------------------------------------------------------


def test_the_future_of_the_made_up_world_is_forecast(world):
    path = simulate(SEED, PEOPLE, World(until=LATER, **STEADY))
    today = day("2026-06-30")
    here = path.active(today)
    still = [path.left[here] > today + round(k * DAYS_A_MONTH) for k in range(25)]
    people = world.frame("customers").sort_values("customer_id")
    fee = people.loc[people["left_on"].isna(), "monthly_revenue"].to_numpy()
    assert len(fee) == here.sum()
    came = 0.75 * sum(fee @ alive * 1.1 ** (-k / 12) for k, alive in enumerate(still[:24]))
    found = figures(forecast.base(world))
    assert found["forecast"].value == pytest.approx(came, rel=0.03)
    assert found["forecast-stay"].value == pytest.approx(still[24].mean(), abs=0.03)
    soon = path.left[here] <= today + 182
    rows, luck = forecast.each(world), np.sqrt(soon.mean() * (1 - soon.mean()) / here.sum())
    assert (rows["n"] * rows["risk"]).sum() / rows["n"].sum() == pytest.approx(soon.mean(), abs=3 * luck)


def test_the_forecast_of_a_year_ago_is_compared_with_what_came(world):
    found = forecast.holdout(world)
    known = figures(found)
    assert abs(known["holdout-payments"].value) < 0.03
    assert abs(known["holdout-stay"].value) < 0.05
    people, then = world.frame("customers"), pd.Timestamp(contract_base.back(world.as_of, 12))
    here = people[(people["joined_on"] <= then) & ~(people["left_on"] <= then)]
    assert found.table["n"].sum() == len(here)
    assert found.table["events"].sum() == here["left_on"].isna().sum()
    assert found.table["value"].iloc[-3:].mean() > found.table["value"].iloc[:3].mean() + 0.05
    outside = ~found.table["predicted"].between(found.table["low"], found.table["high"])
    assert outside.sum() <= 3
    assert found.facts["outside"] == found.table["group"][outside].to_list()
    ends = [then + pd.Timedelta(days=round(k * DAYS_A_MONTH)) for k in range(12)]
    paid = 0.75 * sum(here.loc[~(here["left_on"] <= end), "monthly_revenue"].sum() for end in ends)
    facts = found.facts
    assert found.known == "count"
    assert (facts["then"], facts["months"], facts["customers"]) == (then.date(), 12, len(here))
    assert facts["came"] == pytest.approx(paid)
    assert facts["expected"] / facts["came"] - 1 == pytest.approx(known["holdout-payments"].value)
    assert facts["stayed"] == here["left_on"].isna().sum()
    assert facts["still"] / facts["stayed"] - 1 == pytest.approx(known["holdout-stay"].value)
    assert facts["off"].value == abs(known["holdout-payments"].value)


def test_a_forecast_knows_nothing_of_later_days(world, frames):
    then = contract_base.back(world.as_of, 12)
    late = pd.Timestamp(then) + pd.Timedelta(days=1)
    people, given, cases = (frames[k] for k in ("customers", "responses", "contacts"))
    left = people["left_on"].where(people["left_on"] < late)
    given = given[given["asked_at"] < late].copy()
    given.loc[given["answered_at"] >= late, ["answered_at", "score"]] = [pd.NaT, np.nan]
    then_known = {
        "customers": people.assign(left_on=left, left_reason=people["left_reason"].where(left.notna())),
        "responses": given,
        "contacts": cases.loc[cases["opened_at"] < late, ["contact_id", "customer_id", "opened_at"]],
    }
    cut = Company.from_frames(demo.settings("demo", draws=200), then_known)
    one, other = (contract_base.at_risk(c, then, 24, ("nps",)) for c in (world, cut))
    pd.testing.assert_frame_equal(one, other, check_categorical=False)


def test_every_exit_of_the_window_is_counted_once(world):
    counted = contract_base.at_risk(world, world.as_of, 24, ())
    first = counted[counted["lag"] == 0]
    people = world.frame("customers")
    since = pd.Timestamp(contract_base.back(world.as_of, 24))
    starts = [pd.Timestamp(contract_base.back(world.as_of, 3 * q)) for q in range(8, 0, -1)]
    left = people["left_on"] > since
    begun = people["left_on"].map(lambda d: max((s for s in starts if s < d), default=pd.NaT), na_action="ignore")
    assert first["left"].sum() == (left & (people["joined_on"] <= begun)).sum()
    assert (counted["left"] <= counted["n"]).all()


# ---- what cannot be answered -------------------------------------------------------------------------------------


def test_what_cannot_be_forecast_is_refused():
    shop = contracts([0.02], customers=100, relationship="noncontractual", inactive_after_days=90)
    for question in (forecast.base, forecast.holdout):
        found = question(shop)
        assert not found.answered
        assert "without contracts" in found.headline
    with pytest.raises(Unanswered, match="no-contracts"):
        forecast.each(shop)
    assert "no money block" in forecast.base(contracts([0.02], customers=100, money=None)).headline
    assert "a model needs 50" in forecast.base(contracts([0.005], customers=100)).headline
    assert "fewer than the minimum base of 30" in forecast.base(contracts([0.02], customers=20)).headline


def test_small_levels_are_not_shown():
    company = contracts([0.02, 0.02], customers=1500, shares=[0.96, 0.04], privacy={"minimum_base": 30})
    found = forecast.base(company)
    assert set(found.table["cut"]) == {"all", "stage"}  # two levels and their total: neither can be shown
    assert found.facts["hidden"] == 2
    assert any("Not shown: 2 levels" in c for c in found.caveats)
