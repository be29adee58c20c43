"""Counts of the customer base, against counts made by hand and row by row."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_company import Small

from cxlib.counts import customer_base
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.stats.survival import kaplan_meier

AS_OF = pd.Timestamp("2025-12-31")
SETTINGS = {"name": "T", "as_of": "2025-12-31", "relationship": "contractual", "currency": "EUR"}
SHOP = SETTINGS | {"relationship": "noncontractual", "inactive_after_days": 90}


def made(orders=None, settings=SETTINGS, **columns):
    """Make a company of customers c0, c1 ... with these columns."""
    n = len(next(iter(columns.values())))
    frames = {"customers": pd.DataFrame({"customer_id": [f"c{i}" for i in range(n)]} | columns)}
    if orders is not None:
        frames["orders"] = pd.DataFrame(
            orders, columns=["customer_id", "ordered_at", "revenue", *(["kind"] * (len(orders[0]) > 3))]
        )
        frames["orders"]["ordered_at"] = pd.to_datetime(frames["orders"]["ordered_at"], format="ISO8601")
        frames["orders"].insert(0, "order_id", [f"o{i}" for i in range(len(orders))])
    return Company.from_frames(settings, frames)


def days(*given):
    return pd.to_datetime(pd.Series(given))


@pytest.fixture(scope="module")
def many():
    luck = np.random.default_rng(3)
    joined = pd.Timestamp("2022-01-03") + pd.to_timedelta(luck.integers(0, 1450, 600), unit="D")
    left = joined + pd.to_timedelta(luck.exponential(700, 600).astype(int), unit="D")
    left = pd.Series(left).where(left <= AS_OF)
    plan = luck.choice(["a", "b"], 600)
    return made(joined_on=joined, left_on=left, plan=plan), pd.DataFrame({"joined": joined, "left": left, "plan": plan})


def test_periods_of_five_customers_by_hand(tmp_path):
    small = Small(tmp_path)
    small.settings["involuntary_reasons"] = ["payment failed"]
    small.only()
    found = customer_base.by_period(small.open(), [date(2024, 4, 1), date(2025, 1, 1), date(2025, 4, 1)])
    sums = found.groupby("period").sum(numeric_only=True).drop(columns="fold")
    # C1, C2, C3 were here on 1 April 2024, C4 and C5 joined; C2 (20.50) and C4 (30, payment failed) left in early 2025
    first = {"here": 3, "lost": 0, "chosen": 0, "joined": 2, "gone": 0, "unpriced": 0}
    second = {"here": 5, "lost": 2, "chosen": 1, "joined": 0, "gone": 2, "unpriced": 0}
    assert sums.iloc[0].to_dict() == first | {"fee_here": 40.5, "fee_lost": 0, "fee_gained": 30}
    assert sums.iloc[1].to_dict() == second | {"fee_here": 70.5, "fee_lost": 50.5, "fee_gained": 0}


def test_who_leaves_on_the_first_day_was_here_and_who_joins_on_it_was_not():
    company = made(
        joined_on=days("2025-01-01", "2025-04-01", "2025-01-01", "2025-05-01"),
        left_on=days("2025-04-01", None, "2025-07-01", "2025-05-20"),
    )
    found = customer_base.by_period(company, [date(2025, 4, 1), date(2025, 7, 1)]).sum(numeric_only=True)
    assert found[["here", "lost", "joined", "gone"]].tolist() == [2, 1, 2, 2]


def test_periods_add_up_to_the_base_of_the_next(many):
    company, __ = many
    starts = customer_base.whole_periods(company, "quarter", 12)
    found = (
        customer_base.by_period(company, starts, ["plan"]).groupby(["plan", "period"])[["here", "joined", "gone"]].sum()
    )
    for __, part in found.groupby("plan"):
        after = part["here"] + part["joined"] - part["gone"]
        assert after.iloc[:-1].tolist() == part["here"].iloc[1:].tolist()


def test_whole_periods_end_with_the_last_whole_one():
    company = Company.from_frames(
        SETTINGS | {"as_of": "2025-12-30"}, {"customers": pd.DataFrame({"customer_id": ["a"]})}
    )
    assert customer_base.whole_periods(company, "quarter", 2) == [date(2025, 4, 1), date(2025, 7, 1), date(2025, 10, 1)]
    assert customer_base.whole_periods(made(plan=["x"]), "month", 1) == [date(2025, 12, 1), date(2026, 1, 1)]
    with pytest.raises(InputError, match="fortnight"):
        customer_base.whole_periods(company, "fortnight", 2)


def test_cohorts_are_those_counted_row_by_row_and_followed_equally_long(many):
    company, rows = many
    found = customer_base.cohorts(company, "quarter", [91, 365])
    assert (found.groupby(["cohort", "days"])["fold"].nunique() > 1).any()
    found = found.groupby(["cohort", "days"], as_index=False)[["joined", "stayed"]].sum()
    rows = rows.assign(
        cohort=rows["joined"].dt.to_period("Q"), length=(rows["left"].fillna(AS_OF) - rows["joined"]).dt.days + 1
    )
    for r in found.itertuples():
        own = rows[rows["cohort"] == r.cohort.to_period("Q")]
        assert r.joined == len(own)
        assert r.stayed == (own["left"].isna() | (own["length"] > r.days)).sum()
        assert own.loc[own["left"].isna(), "length"].min() >= r.days  # nobody seen for less
    newest = found.groupby("days")["cohort"].max()
    assert newest[91] == pd.Timestamp("2025-07-01")  # joined to 30 September: 93 days, ends counted
    assert newest[365] == pd.Timestamp("2024-10-01")


# ---- tenures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("since", [None, date(2024, 1, 1)])
def test_tenures_give_the_curve_of_the_rows(many, since):
    company, rows = many
    start = pd.Timestamp(since or "2000-01-01")
    seen = rows[rows["left"].isna() | (rows["left"] >= start)]
    length = (seen["left"].fillna(AS_OF) - seen["joined"]).dt.days + 1
    entry = (start - seen["joined"]).dt.days.clip(lower=0)
    counted = customer_base.tenures(company, ["plan"], since=since)
    assert counted["n"].sum() == len(seen)
    for plan, part in counted.groupby("plan"):
        own = seen["plan"] == plan
        mine = kaplan_meier(part["duration"], part["cause"] != "", part["n"], part["entry"])
        pd.testing.assert_frame_equal(mine, kaplan_meier(length[own], seen.loc[own, "left"].notna(), None, entry[own]))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.booleans(), st.integers(1, 5)), min_size=1, max_size=12)
)
def test_entries_put_to_ends_in_order_leave_the_curve_as_it_is(given_rows):
    rows = pd.DataFrame(given_rows, columns=["entry", "stay", "event", "n"])
    rows["duration"], rows["cause"] = rows["entry"] + rows["stay"], rows["event"].map({True: "x", False: ""})
    entries = rows.groupby("entry", as_index=False)["n"].sum()
    ends = rows.groupby(["duration", "cause"], as_index=False)["n"].sum()
    put = customer_base._in_order(entries, ends)
    assert (put["entry"] < put["duration"]).all()
    assert len(put) < len(entries) + len(ends)
    pd.testing.assert_frame_equal(
        kaplan_meier(put["duration"], put["cause"] != "", put["n"], put["entry"]),
        kaplan_meier(rows["duration"], rows["event"], rows["n"], rows["entry"]),
    )


def test_a_snapshot_is_counted_in_its_own_unit():
    frame = pd.DataFrame({"customer_id": ["a", "b", "c"], "tenure": [0, 5, 5], "left": [False, True, True]})
    company = Company.from_frames(SETTINGS | {"sources": {"customers": {"tenure_unit": "years"}}}, {"customers": frame})
    assert customer_base.snapshot(company)
    assert customer_base.tenures(company)[["duration", "cause", "n"]].to_numpy().tolist() == [
        [0, "", 1],
        [5, "left", 2],
    ]


# ---- renewals and buying again ---------------------------------------------------------------------------------------


def test_contract_ends_by_hand():
    ends = days(*["2025-06-30"] * 5, "2025-12-15", "2026-06-30")
    left = days("2025-06-29", "2025-06-30", "2025-07-30", "2025-07-31", None, None, None)
    company = made(joined_on=days(*["2024-01-01"] * 7), left_on=left, contract_ends_on=ends)
    found = customer_base.contract_ends(company, date(2025, 1, 1), date(2025, 12, 1), 30).iloc[0]
    # gone the day before: not due; on the day, and 30 days later: not kept; 31 days later, and not at all: kept
    assert found[["due", "kept", "before"]].tolist() == [4, 2, 1]
    assert customer_base.contract_dates(company).to_dict() == {"past": 2, "ahead": 1}


def test_payments_due_by_hand():
    orders = [
        ("c0", "2025-01-01", 9, "new"),
        ("c0", "2025-01-31", 9, "renewal"),
        ("c0", "2025-01-31", 2, "upsell"),
        ("c0", "2025-04-10", 9, "renewal"),
        ("c1", "2025-01-01", 9, "new"),
        ("c1", "2025-02-05", 9, "new"),
    ]
    company = made(orders, joined_on=days("2025-01-01", "2025-01-01"))
    assert customer_base.payment_gaps(company).to_numpy().tolist() == [[30, 1], [69, 1]]
    found = customer_base.payments_due(company, date(2025, 1, 31), date(2025, 3, 31), 30, 10).sum()
    # terms ended on 31 January (twice), 2 March and 7 March; one renewed in time, one late; a new sale is no renewal
    assert found[["due", "kept"]].tolist() == [4, 1]


def test_purchases_of_one_day_are_one_and_refunds_none():
    orders = [
        ("c0", "2025-01-01 09:00", 5),
        ("c0", "2025-01-01 18:00", 5),
        ("c0", "2025-01-11", 5),
        ("c0", "2025-01-05", -5),
        ("c1", "2025-12-01", 5),
    ]
    company = made(orders, settings=SHOP, plan=["x", "y"])
    gaps = customer_base.gaps(company).groupby(["duration", "event"])["n"].sum()
    assert gaps.to_dict() == {(10, 1): 1, (30, 0): 1, (354, 0): 1}
    second = customer_base.second_purchases(company, "quarter")
    assert second[["duration", "event", "n", "followed"]].to_numpy().tolist() == [[10, 1, 1, 275], [30, 0, 1, 0]]
    assert customer_base.first_orders(company) == (date(2025, 1, 1), 1)


# ---- first and last days ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edges():
    """As of 31 December 2024: joined today; left today; one day in all; a leap year and a day; left on 1 December."""
    return made(
        settings=SETTINGS | {"as_of": "2024-12-31"},
        joined_on=days("2024-12-31", "2024-12-01", "2024-01-01", "2023-12-31", "2024-11-30"),
        left_on=days(None, "2024-12-31", "2024-01-01", None, "2024-12-01"),
    )


def test_a_stay_counts_its_first_and_its_last_day_once(edges):
    rows = customer_base.tenures(edges)[["duration", "cause", "n"]].to_numpy().tolist()
    assert rows == [[1, "", 1], [1, "left", 1], [2, "left", 1], [31, "left", 1], [367, "", 1]]


def test_late_entry_is_the_age_on_the_first_day_observed(edges):
    """Those who joined on 30 November 2024 and 31 December 2023 enter on 1 December, aged 1 and 336 days."""
    rows = customer_base.tenures(edges, since=date(2024, 12, 1))
    assert rows.groupby("entry")["n"].sum().to_dict() == {0: 2, 1: 1, 336: 1}
    assert rows.groupby("duration")["n"].sum().to_dict() == {1: 1, 2: 1, 31: 1, 367: 1}  # gone in January: not seen


def test_who_leaves_on_the_as_of_date_has_left(edges):
    found = customer_base.by_period(edges, [date(2024, 12, 1), date(2025, 1, 1)]).sum(numeric_only=True)
    assert found[["here", "lost", "joined", "gone"]].tolist() == [2, 1, 2, 2]
    assert customer_base.first_leaving(edges) == date(2024, 1, 1)


def test_whole_periods_run_forwards_and_the_as_of_date_can_end_one(edges):
    assert customer_base.whole_periods(edges, "month", 3) == [
        date(2024, 10, 1),
        date(2024, 11, 1),
        date(2024, 12, 1),
        date(2025, 1, 1),
    ]
    assert customer_base.whole_periods(edges, "year", 1) == [date(2024, 1, 1), date(2025, 1, 1)]
    # 31 December 2024 is a Tuesday: the last whole week ended on Sunday the 29th
    assert customer_base.whole_periods(edges, "week", 1) == [date(2024, 12, 23), date(2024, 12, 30)]
    months = customer_base.by_period(edges, customer_base.whole_periods(edges, "month", 3))
    assert months.groupby("period", sort=False)["joined"].sum().tolist() == [0, 1, 2]


def test_who_is_gone_by_another_rule_is_counted_row_by_row():
    """Bought within so many days up to either day; the first of these days counts, and with contracts leaving does."""
    since, rng = AS_OF - pd.Timedelta(days=365), np.random.default_rng(4)
    ids = [f"c{i}" for i in range(60)]
    bought = pd.DataFrame({"customer_id": rng.choice(ids, 300), "order_id": [f"o{i}" for i in range(300)]})
    bought["ordered_at"] = AS_OF - pd.to_timedelta(rng.integers(0, 600, 300), unit="D")
    bought.loc[0, ["customer_id", "ordered_at"]] = ["c0", since - pd.Timedelta(days=89)]
    bought["revenue"] = 5.0
    joined = AS_OF - pd.Timedelta(days=700)
    left = pd.Series([since, since + pd.Timedelta(days=1), AS_OF, *[pd.NaT] * 57])
    customers = pd.DataFrame({"customer_id": ids, "joined_on": joined, "left_on": left})
    settings = {"as_of": str(AS_OF.date()), "relationship": "contractual"}
    company = Company.from_frames(settings, {"customers": customers, "orders": bought})
    found = customer_base.gone_by_rule(company, [90, 180], since.date()).groupby("rule")[["n", "gone"]].sum()
    for rule in (90, 180):
        was, is_ = (
            set(bought[bought["ordered_at"].between(day - pd.Timedelta(days=rule - 1), day)]["customer_id"])
            for day in (since, AS_OF)
        )
        assert tuple(found.loc[rule]) == (len(was), len(was - is_))
    assert tuple(found.loc[0]) == (59, 2)
