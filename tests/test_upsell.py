"""Upsells whose truth is known, windows followed by hand, and what a new customer brings."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from simulated import no_programmes
from small_company import Small, stops
from surveys import figures, survey

from cxlib import demo
from cxlib.counts import snapshots, upsells
from cxlib.demo.paths import UPSELL, World, band_of, invoices, nps_answers, simulate
from cxlib.intake.company import Company
from cxlib.page.resamples import resamples
from cxlib.stats import finance, standardise
from cxlib.stats.estimate import Estimate
from cxlib.value import acquisition, upsell

pytestmark = pytest.mark.filterwarnings("error")
ALL = (upsell.by_score, upsell.orders, upsell.model, acquisition.simple, acquisition.acquisition, acquisition.referrals)
SEED, CUSTOMERS = 5, 3000
NOTHING = {"link": False, "silence": 1.0, "welcome_effect": 1.0, "managers_effect": 1.0, "app_effect": 1.0}


def opened(frames, company="demo", money=None, **changes):
    settings = demo.settings(company, draws=100, **changes)
    settings["money"] |= money or {}
    return Company.from_frames(settings, no_programmes(frames))


def by_luck(frames):
    """Draw anew which invoices are upsells, at one rate for everybody."""
    orders = frames["orders"]
    lucky = np.random.default_rng(0).random(len(orders)) < 0.01
    kind = orders["kind"].where(orders["kind"] == "new", np.where(lucky, "upsell", "renewal"))
    return frames | {"orders": orders.assign(kind=kind)}


@pytest.fixture(scope="module")
def frames():
    return demo.subscription(SEED, CUSTOMERS)


@pytest.fixture(scope="module")
def telecom(frames):
    return opened(frames, money={"acquisition_cost": 150.0, "referred_per_promoter": 0.1})


@pytest.fixture(scope="module")
def unlinked():
    """Neither upsells nor leaving have to do with the score: who leaves sooner has less time to buy."""
    return opened(by_luck(demo.subscription(100, 2500, **NOTHING)))


@pytest.fixture(scope="module")
def webshop():
    return opened(demo.shop(SEED, 2500), "demo-shop", money={"acquisition_cost": 18.0})


# ---- the made-up telecom -----------------------------------------------------------------------------------------


def expected_shares(window: int) -> dict[str, tuple[float, float]]:
    """Share of answers followed by an upsell, as the rates behind the invoices make it, and its standard deviation."""
    path = simulate(SEED, CUSTOMERS, World())
    on, _price, _raised = invoices(path, SEED)
    rate = np.array(UPSELL)[path.at(on, path.band)]
    given, seconds = nps_answers(path, SEED)
    when = path.asked + ((seconds + 9 * 3600) // 86_400).astype(int)
    score, chances = band_of(path.score[:, 1:]), {0: [], 1: [], 2: []}
    for who, wave in zip(*np.nonzero(given & (when + window < path.end)), strict=True):
        day = when[who, wave]
        inside = (on[who] > day) & (on[who] <= day + window) & (on[who] < min(path.left[who], path.end))
        chances[score[who, wave]].append(1 - np.prod(1 - rate[who, inside]))
    named = {"promoter": chances[0], "passive": chances[1], "detractor": chances[2]}
    return {k: (np.mean(p), math.sqrt(np.sum(np.multiply(p, np.subtract(1, p)))) / len(p)) for k, p in named.items()}


def test_upsells_after_an_answer_are_those_of_the_rates_behind_the_invoices(telecom):
    counted = upsells.after_answer(telecom, "nps", 182).groupby("band")[["n", "bought"]].sum()
    for band, (share, sd) in expected_shares(182).items():
        assert counted.loc[band, "bought"] / counted.loc[band, "n"] == pytest.approx(share, abs=3.3 * sd)


def test_detractors_take_fewer_upsells_at_equal_plan_and_stage(telecom):
    found = upsell.by_score(telecom, "nps")
    gap, true = figures(found)["nps-upsell-gap"], expected_shares(182)
    assert 0 < gap.low < true["promoter"][0] - true["detractor"][0] < gap.high
    assert found.table["band"].tolist() == ["detractor", "passive", "promoter", "no answer"]
    assert found.table["value"].iloc[:3].is_monotonic_increasing
    assert found.known == "adjusted"
    assert found.facts["alike"] == ["plan", "time as a customer"]
    shown = found.table.set_index("band")
    assert found.facts["gap"].value == pytest.approx(shown.loc["promoter", "value"] - shown.loc["detractor", "value"])
    assert found.facts["best_share"] == shown.loc["promoter", "value"]
    assert found.facts["more"].value == pytest.approx(
        shown.loc["promoter", "gained"] - shown.loc["detractor", "gained"]
    )
    assert found.facts["more"].low > 0
    assert found.facts["replace"]
    assert any("Later payments at the higher price are not included" in c for c in found.caveats)


def test_upsells_by_luck_are_not_linked(unlinked):
    found = upsell.by_score(unlinked, "nps")
    gap = figures(found)["nps-upsell-gap"]
    assert not found.facts["detected"]
    assert gap.low < 0 < gap.high


def test_what_an_upsell_brings_is_the_raise_over_the_payment_before(telecom, unlinked):
    k = upsells.kinds(telecom)
    assert k.replace
    assert k.after == k.upsells == k.not_smaller
    sales = upsells._sales(telecom).execute()
    orders = telecom.frame("orders").set_index("customer_id")
    price = orders[orders["kind"] == "upsell"].sort_values("ordered_at")["revenue"]
    # Prices rise by 15 %, so the gain is 0.15 / 1.15 of the new price.
    assert sales["gained"].sum() == pytest.approx(price.sum() * 0.15 / 1.15, rel=1e-3)
    assert upsells.kinds(unlinked).replace  # a renewal called an upsell is a payment as well, at no higher price


# ---- by hand -----------------------------------------------------------------------------------------------------


def handful(*orders, **settings):
    """NPS answers of a (9, 2024-03-02) and b (3, 2024-04-01; gone on 2025-01-15), a question to c, and these orders."""
    day = lambda *days: pd.to_datetime(pd.Series(days))  # noqa: E731
    people = {
        "customer_id": ["a", "b", "c"],
        "joined_on": day(*["2024-01-05"] * 3),
        "left_on": day(None, "2025-01-15", None),
    }
    asked = {"response_id": ["1", "2", "3"], "customer_id": ["a", "b", "c"], "metric": "nps", "score": [9.0, 3.0, None]}
    asked["asked_at"] = day("2024-03-01", "2024-04-01", "2024-04-01")
    asked["answered_at"] = day("2024-03-02", "2024-04-01", None)
    paid = pd.DataFrame(orders, columns=["customer_id", "ordered_at", "revenue", "kind"])
    paid = paid.assign(order_id=[f"o{i}" for i in range(len(paid))], ordered_at=pd.to_datetime(paid["ordered_at"]))
    known = {"name": "T", "as_of": "2025-06-30", "relationship": "contractual", "metrics": {"nps": {"scale": [0, 10]}}}
    tables = {"customers": pd.DataFrame(people), "responses": pd.DataFrame(asked), "orders": paid}
    return Company.from_frames(known | settings, tables)


def after(company, window=30, metric="nps"):
    counted = upsells.after_answer(company, metric, window).set_index("band")
    return {b: tuple(counted.loc[b, ["n", "bought", "upgrades", "gained"]]) for b in counted.index}


def test_an_order_counts_from_the_day_after_the_answer_to_the_end_of_the_window():
    company = handful(
        ("a", "2024-02-01", 10.0, "new"),
        ("a", "2024-03-02", 12.0, "upsell"),  # the day of the answer: not after it
        ("b", "2024-03-01", 20.0, "new"),
        ("b", "2024-05-01", 26.0, "upsell"),  # the 30th day
        ("b", "2024-05-02", 33.0, "upsell"),  # the 31st
        ("c", "2024-04-01", 1.0, "renewal"),
    )
    assert after(company, 30) == {"promoter": (1, 0, 0, 0), "detractor": (1, 1, 1, 6), "no answer": (1, 0, 0, 0)}
    assert after(company, 31)["detractor"] == (1, 1, 2, 13)
    assert after(company, 29)["detractor"] == (1, 0, 0, 0)


def test_a_cross_sell_counts_whole_and_an_upsell_without_a_payment_before_with_nothing():
    company = handful(
        ("a", "2024-03-10", 40.0, "cross_sell"),
        ("a", "2024-03-12", 50.0, "upsell"),  # a cross-sell is no payment to compare with
        ("b", "2024-03-01", 20.0, "new"),
        ("b", "2024-04-05", 25.0, "upsell"),
        ("b", "2024-05-05", 25.0, "renewal"),
    )
    found = after(company)
    assert found["promoter"] == (1, 1, 2, 40)
    assert found["detractor"] == (1, 1, 1, 5)
    assert upsells.after_answer(company, "nps", 30)["unpriced"].sum() == 1
    assert upsells.kinds(company) == upsells.Kinds(1, 2, 1, 1, 1)


def test_without_renewals_an_upsell_is_an_order_of_its_own():
    found = after(handful(("a", "2024-02-01", 10.0, "new"), ("a", "2024-03-10", 15.0, "upsell")))
    assert found["promoter"] == (1, 1, 1, 15)


def test_only_whole_windows_and_answers_whose_leavers_are_known_count():
    bought = (
        ("a", "2024-02-01", 10.0, "new"),
        ("a", "2024-03-10", 15.0, "upsell"),
        ("b", "2025-01-10", 15.0, "upsell"),
    )
    company = handful(*bought)
    assert set(after(company, 455)) == {"promoter", "detractor", "no answer"}  # 2025-06-30 is the 455th day after C2's
    assert after(company, 456) == {"promoter": (1, 1, 1, 15)}
    assert after(company, 455)["detractor"] == (1, 1, 1, 15)  # gone since, and in the denominator
    assert set(after(handful(*bought, leavers_since="2024-03-15"))) == {"detractor", "no answer"}


def test_orders_after_an_answer_of_a_shop_by_hand():
    day = lambda d: pd.Timestamp("2024-01-01") + pd.Timedelta(days=d)  # noqa: E731
    orders = pd.DataFrame(
        [("a", 0, 10.0), ("a", 0, 5.0), ("a", 20, 8.0), ("a", 25, -3.0), ("a", 40, 9.0),  # 2 orders on day 0 are one
         ("b", 0, 40.0), ("b", 5, 20.0), ("b", 11, 6.0), ("c", 0, 7.0)],
        columns=["customer_id", "day", "revenue"],
    )  # fmt: skip
    orders = orders.assign(order_id=[f"o{i}" for i in range(len(orders))], ordered_at=orders.pop("day").map(day))
    asked = pd.DataFrame(
        {"response_id": ["1", "2", "3"], "customer_id": ["a", "b", "c"], "metric": "nps", "score": [9, 2, 9]}
    )
    asked = asked.assign(asked_at=day(10), answered_at=day(10))
    settings = {"name": "T", "as_of": "2024-12-31", "relationship": "noncontractual", "inactive_after_days": 90,
                "currency": "EUR", "metrics": {"nps": {"scale": [0, 10]}}}  # fmt: skip
    company = Company.from_frames(
        settings, {"customers": orders[["customer_id"]].drop_duplicates(), "orders": orders, "responses": asked}
    )
    found = upsells.orders_after(company, "nps", 30).sort_values(["stratum", "orders"]).drop(columns="fold")
    # Mean values until then: a 15, b 30, c 7, so that 15 is the middle; a return is taken off, but is no order.
    assert found.to_dict("records") == [
        {"stratum": "1 | lower half | first 3 months", "band": "promoter", "n": 1, "orders": 0, "revenue": 0.0},
        {"stratum": "1 | lower half | first 3 months", "band": "promoter", "n": 1, "orders": 2, "revenue": 14.0},
        {"stratum": "2 | upper half | first 3 months", "band": "detractor", "n": 1, "orders": 1, "revenue": 6.0},
    ]


# ---- order value and frequency -----------------------------------------------------------------------------------


def test_leavers_of_the_shop_come_back_less_often_and_spend_no_less(webshop):
    """In the shop the score goes with staying away; what an order is worth has nothing to do with it."""
    found = upsell.orders(webshop, "nps", 91)
    known = figures(found)
    assert known["nps-orders-a-month-gap"].low > 0
    assert not known["nps-order-value-gap"].excludes(0)
    shown = found.table.set_index(["what", "band"])
    ends = [shown.loc[("order value", b), "value"] for b in ("promoter", "detractor")]
    assert found.facts["value"] == ends
    assert known["nps-order-value-gap"].value == pytest.approx(ends[0] - ends[1])
    assert set(shown.loc["order value", "unit"]) == {"EUR"}
    counted = upsells.orders_after(webshop, "nps", 91).groupby("band")[["n", "orders"]].sum()
    raw = counted["orders"] / counted["n"] * 30 / 91
    assert shown.loc[("orders a month", "promoter"), "value"] == pytest.approx(raw["promoter"], rel=0.3)


def test_at_one_level_the_ratios_are_those_of_the_sums(webshop):
    counted = upsells.orders_after(webshop, "nps", 91).assign(stratum="x")
    groups = upsell._groups(webshop, "nps", counted, finer=1)
    assert groups.levels == 1
    assert upsell._known(groups) == "observed"
    sums = counted.groupby("band")[["n", "orders", "revenue"]].sum()
    for band in groups.names:
        assert groups.ratio("orders", "n").each(band).value == pytest.approx(
            sums.loc[band, "orders"] / sums.loc[band, "n"]
        )
        value = groups.ratio("revenue", "orders").each(band).value
        assert value == pytest.approx(sums.loc[band, "revenue"] / sums.loc[band, "orders"])


def test_levels_too_small_are_left_out_if_they_are_few(webshop):
    rows = [("A | 1", 400), ("A | 2", 200), ("B | 1", 35), ("C | 1", 15)]
    cells = [
        {"stratum": s, "band": b, "fold": f, "n": n}
        for s, n in rows for f, b in enumerate(("detractor", "promoter"))
    ]  # fmt: skip
    names, weights = ["detractor", "promoter"], resamples(webshop)
    groups = standardise.add_up(pd.DataFrame(cells), names, finer=1, least=30, weights=weights)
    assert groups.levels == 3
    assert groups.left_out == pytest.approx(15 / 650)


# ---- who will ----------------------------------------------------------------------------------------------------


def test_the_snapshots_are_those_counted_by_hand(telecom):
    day = pd.Timestamp("2025-12-30")
    counted = upsells.patterns(telecom, (day.date(),), 182, ("nps",))
    people, orders = telecom.frame("customers"), telecom.frame("orders").query("kind == 'upsell'")
    here = people[(people["joined_on"] <= day) & ~(people["left_on"] <= day)]
    soon = orders[orders["ordered_at"].dt.normalize().between(day + pd.Timedelta(days=1), day + pd.Timedelta(days=182))]
    assert counted["n"].sum() == len(here)
    assert counted["bought"].sum() == here["customer_id"].isin(soon["customer_id"]).sum()
    assert snapshots.PRICE not in counted.columns


def test_the_model_is_tested_on_later_customers(telecom, unlinked):
    found = upsell.model(telecom)
    known, shown = figures(found), found.table
    assert known["upsell-concordance"].value > 0.5
    assert shown["events"].sum() == upsells.patterns(telecom, (pd.Timestamp("2025-12-30").date(),), 182)["bought"].sum()
    expected = known["expected-upsells"]
    assert expected.low < expected.value < expected.high
    assert expected.value / expected.n == pytest.approx(shown["events"].sum() / shown["n"].sum(), rel=0.35)
    assert {"predicted", "value", "low", "high", "n"} <= set(shown)
    facts = found.facts
    assert facts["took"] == shown["events"].sum()
    assert facts["predicted"] == pytest.approx((shown["predicted"] * shown["n"]).sum())
    assert facts["without"] + facts["gain"].value == pytest.approx(facts["order"].value)
    assert facts["today"] == telecom.frame("customers")["left_on"].isna().sum()
    assert found.known == "forecast"
    nothing = upsell.model(unlinked)
    assert not nothing.facts["found"]
    assert figures(nothing)["upsell-gain"].low <= 0


def test_too_few_upsells_are_said_to_be(telecom, monkeypatch):
    monkeypatch.setattr(upsell, "FEWEST", 10_000)
    monkeypatch.setattr(upsell, "LEAST_TESTED", 10_000)
    few = upsell.model(telecom)
    assert "too few customers bought an upsell" in few.headline
    assert "testing it 10000" in few.detail
    assert "answers were followed by an upsell; 10000 are needed" in upsell.by_score(telecom).headline


# ---- a new customer ----------------------------------------------------------------------------------------------


def steady(fee=20.0, **money):
    """Forty customers who all pay the same and stay: twenty joined long ago, twenty in the last year."""
    joined = pd.to_datetime(["2022-01-01"] * 20 + ["2024-06-01"] * 20)
    people = pd.DataFrame(
        {"customer_id": [f"c{i}" for i in range(40)], "joined_on": joined, "left_on": pd.NaT, "monthly_revenue": fee}
    ).astype({"left_on": "datetime64[ns]"})
    block = {"value_is": "margin", "gross_margin": 0.5, "discount_rate": 0.0, "discount_convention": "effective",
             "horizon_months": 6, "first_flow": "now"}  # fmt: skip
    settings = {"name": "T", "as_of": "2024-12-31", "relationship": "contractual", "currency": "EUR", "draws": 50,
                "metrics": {"nps": {"scale": [0, 10]}}, "money": block | money,
                "privacy": {"minimum_base": 5}}  # fmt: skip
    return Company.from_frames(settings, {"customers": people})


def months(company):
    return figures(acquisition.acquisition(company))["acquisition-payback"].value


def test_payback_by_hand():
    """Ten a month against a cost of 35: 25, 15 and 5 are missing after the first three payments, then 5 are over."""
    company = steady(acquisition_cost=35)
    assert acquisition.acquisition(company).table["value"].tolist() == [-25, -15, -5, 5, 15, 25]
    assert months(company) == 2.5
    assert months(steady(acquisition_cost=35, first_flow="end")) == 3.5
    assert acquisition.acquisition(steady(acquisition_cost=8)).facts["at_once"]
    never = acquisition.acquisition(steady(acquisition_cost=61, discount_rate=0.2))
    assert math.isinf(figures(never)["acquisition-payback"].value)
    assert not never.facts["reached"]
    paid = finance.npv(finance.per_period_rate(0.2, 12, "effective"), [10] * 6, "now")
    assert figures(never)["new-customer-margin"].value == pytest.approx(paid)


def test_the_interval_of_the_payback_is_where_the_band_of_the_path_crosses_zero():
    path = [Estimate(v, v - 4, v + 4, n=9) for v in (-10, -2, 6)]
    back = acquisition._earned_back(path)
    assert (back.low, back.value, back.high) == (0.75, 1.25, 1.75)
    assert math.isinf(acquisition._earned_back(path[:2]).value)


def test_a_new_customer_stays_as_those_before_and_pays_as_the_newest(telecom):
    """Kaplan-Meier by plan written out here, at the mix and the fees of those who joined in the last year."""
    people, as_of = telecom.frame("customers"), pd.Timestamp(telecom.as_of)
    new = people[(as_of - people["joined_on"]).dt.days < 365]
    length = (people["left_on"].fillna(as_of) - people["joined_on"]).dt.days + 1
    total = 0.0
    for plan, part in new.groupby("plan"):
        stay, gone = length[people["plan"] == plan].to_numpy(), people.loc[people["plan"] == plan, "left_on"].notna()
        days = np.arange(1, 732)
        hazard = np.array([(gone & (stay == d)).sum() / (stay >= d).sum() for d in days])
        still = np.r_[1, np.cumprod(1 - hazard)]
        paid = still[[round(k * 365.25 / 12) for k in range(24)]] @ 1.1 ** -(np.arange(24) / 12)
        total += len(part) / len(new) * part["monthly_revenue"].mean() * 0.75 * paid
    found = figures(acquisition.acquisition(telecom))
    assert found["new-customer-margin"].value == pytest.approx(total)
    assert found["new-customer-margin"].n == len(new)
    payback = found["acquisition-payback"]
    assert payback.low < payback.value < payback.high


def test_late_entry_keeps_those_who_stayed_from_looking_like_everybody(frames):
    """Leavers before a day are missing; with leavers_since, survival from joining is nearly that of all records."""
    people = frames["customers"]
    kept = people[~(people["left_on"] < "2024-07-01")]
    cut = {k: f if k == "customers" else f.head(0) for k, f in frames.items()} | {"customers": kept}
    cut = {k: cut[k] for k in ("customers",)}
    whole, late, blind = (
        figures(acquisition.acquisition(opened(f, money={"acquisition_cost": 150.0}, **more)))[
            "new-customer-margin"
        ].value
        for f, more in (({"customers": people}, {}), (cut, {"leavers_since": "2024-07-01"}), (cut, {}))
    )
    assert abs(late / whole - 1) < 0.03 < blind / whole - 1


def test_a_new_buyer_of_the_shop_brings_what_new_buyers_brought(webshop):
    """Two years of buyers are too short to see 24 months, so the first 26 weeks are compared."""
    new = acquisition._newcomer(webshop)
    orders = webshop.frame("orders").sort_values("ordered_at")
    first = orders.groupby("customer_id")["ordered_at"].transform("min").dt.normalize()
    ago = (orders["ordered_at"].dt.normalize() - first).dt.days
    followed = first <= pd.Timestamp(webshop.as_of) - pd.Timedelta(days=183)
    seen = orders.loc[followed & (ago <= 182), "revenue"].sum() / orders.loc[followed, "customer_id"].nunique()
    assert new.revenue[0, :6].sum() == pytest.approx(seen, rel=0.12)
    found = figures(acquisition.acquisition(webshop))
    assert 0 < found["acquisition-payback"].low < found["acquisition-payback"].high < 24


def test_the_simple_formula_is_its_three_factors_shown_with_the_model(telecom, webshop):
    found = acquisition.simple(telecom)
    value = found.table.set_index("what")["value"]
    fee, often, gone, here, by_gone, by_here, revenue, margin = value
    people = telecom.frame("customers")
    stay = (people["left_on"] - people["joined_on"]).dt.days.dropna() + 1
    assert fee == pytest.approx(people.loc[people["left_on"].isna(), "monthly_revenue"].mean())
    assert gone == pytest.approx(stay.mean() / 365.25)
    assert (by_gone, by_here) == (pytest.approx(fee * often * gone), pytest.approx(fee * often * here))
    assert margin == pytest.approx(figures(acquisition.acquisition(telecom))["new-customer-margin"].value)
    assert margin < 0.75 * revenue
    assert found.table["n"].min() > 0
    shop = acquisition.simple(webshop).table.set_index("what")["value"]
    year = webshop.frame("orders").query("ordered_at > '2025-06-30 23:59:59'")
    assert shop.iloc[1] == pytest.approx(
        len(year.assign(day=year["ordered_at"].dt.date)[["customer_id", "day"]].drop_duplicates())
        / year["customer_id"].nunique()
    )


def test_referrals_are_off_until_assumed_and_in_no_total(telecom, unlinked):
    off = acquisition.referrals(unlinked)
    assert not off.answered
    assert "switched off" in off.headline
    on = acquisition.referrals(telecom)
    worth, each = figures(on)["referrals"], figures(acquisition.acquisition(telecom))["new-customer-margin"]
    assert worth.value == pytest.approx(0.1 * worth.n * each.value)
    assert on.known == "forecast"
    assert on.facts["each"] == 0.1
    assert on.facts["promoters"] == worth.n
    assert "in no total" in on.detail


# ---- keys and other companies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["acquisition_cost", "referred_per_promoter"])
@pytest.mark.parametrize("value", [-1, 0, "many", ".inf"])
def test_the_optional_keys_are_checked(tmp_path, key, value):
    small = Small(tmp_path)
    block = {"value_is": "margin", "gross_margin": 0.5, "discount_rate": 0.1, "discount_convention": "effective",
             "horizon_months": 12, "first_flow": "now"}  # fmt: skip
    small.settings["money"] = block | {key: value}
    assert f"money.{key}" in stops(small.open).problem


def test_companies_without_what_is_needed_get_the_reason(webshop):
    assert "orders has no kind" in upsell.by_score(webshop).headline
    assert "orders has no kind" in upsell.model(webshop).headline
    bare = survey([1, 5] * 40)  # a survey and nothing else
    assert not any(question(bare).answered for question in ALL)
    assert "no orders table" in upsell.orders(bare).headline


def test_a_shop_with_hardly_any_repeat_buyers_gets_the_reason():
    few = opened(demo.shop(1, 150, r=0.05), "demo-shop", money={"acquisition_cost": 9, "referred_per_promoter": 1})
    found = upsell.orders(few)
    assert not found.answered
    assert any(why in found.headline for why in ("too few to compare", "fewer than two score groups"))
    assert "models of repeat buying need" in acquisition.acquisition(few).headline
    assert not acquisition.simple(few).facts["modelled"]
    assert "without contracts" in acquisition.referrals(few).headline
