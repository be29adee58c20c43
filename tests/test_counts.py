"""Count tables of a company small enough to count by hand."""

from __future__ import annotations

import hashlib
from datetime import date

import ibis
import net
import numpy as np
import pandas as pd
import pytest
from handful import SETTINGS, frames, stamps

from cxlib.counts import answers, panels, people, planned_reach, purchases, snapshots
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.intake.sources import TABLES
from cxlib.scores import current


@pytest.fixture(scope="module")
def company():
    orders = pd.DataFrame(
        {
            "order_id": ["o1", "o2", "o3", "o4"],
            "customer_id": ["a", "a", "a", "b"],
            "ordered_at": stamps("2024-01-05", "2024-01-05", "2024-03-15", "2024-02-20"),
            "revenue": [10.0, 5.0, 20.0, 8.0],
        }
    )
    made = frames()
    customers = made["customers"].drop(columns="monthly_revenue")
    return Company.from_frames(SETTINGS, {"customers": customers, "responses": made["responses"], "orders": orders})


def fold(customer):
    return int(hashlib.md5(customer.encode()).hexdigest()[:2], 16)


def test_the_fold_is_two_hex_digits_of_the_md5_of_the_id(company):
    frame = company.frame("customers").set_index("customer_id")["fold"]
    assert frame.to_dict() == {c: fold(c) for c in "abcd"}


def test_bands_follow_the_scale_and_its_direction():
    def names(metric, rule):
        frames = {"customers": pd.DataFrame({"customer_id": ["a"], "plan": ["x"]})}
        made = Company.from_frames(SETTINGS | {"metrics": {metric: rule}, "involuntary_reasons": []}, frames)
        return [(b.name, b.low, b.high) for b in answers.bands(made, metric)]

    assert names("nps", {"scale": [1, 10]}) == [("detractor", 1, 6), ("passive", 7, 8), ("promoter", 9, 10)]
    five = {"scale": [1, 5], "good": "high"}
    assert names("csat", five) == [("dissatisfied", 1, 2), ("neutral", 3, 3), ("satisfied", 4, 5)]
    assert names("ces", {"scale": [1, 7], "version": "2.0"}) == [("hard", 1, 2), ("neutral", 3, 4), ("easy", 5, 7)]
    assert names("ces", {"scale": [1, 5], "version": "1.0"}) == [("hard", 4, 5), ("neutral", 3, 3), ("easy", 1, 2)]


def test_one_customer_one_voice_keeps_the_latest_answer(company):
    every = answers.score_counts(company, "nps")
    latest = answers.score_counts(company, "nps", latest_only=True)
    assert every["n"].sum() == 4
    assert sorted(latest["score"]) == [3.0, 6.0, 7.0]
    by_quarter = answers.score_counts(company, "nps", period="quarter", latest_only=True)
    assert by_quarter.groupby("period")["n"].sum().to_dict() == {
        pd.Timestamp("2024-01-01"): 2,
        pd.Timestamp("2024-07-01"): 2,
    }


def test_purchases_of_one_day_are_one_and_weeks_run_to_the_as_of_date(company):
    rows = purchases.purchases(company).sort_values("frequency")
    assert rows["frequency"].tolist() == [0, 1]
    assert rows["age"].tolist() == pytest.approx([315 / 7, 361 / 7])
    assert rows["recency"].tolist() == pytest.approx([0, 70 / 7])
    assert rows["spend"].fillna(-1).tolist() == [-1, 20.0]


def test_money_by_month_keeps_leavers_in_the_base(company):
    members = company.customers.filter(lambda t: t.plan == "x")
    members = members.select("customer_id", "plan", origin=ibis.literal(date(2024, 2, 1)))
    rows = panels.by_month(company, members, 1, 8, ["plan"]).set_index("month")
    assert rows.index.tolist() == list(range(-1, 8))
    assert rows["customers"].eq(2).all()
    assert rows["revenue"].tolist() == [15, 8, 20, 0, 0, 0, 0, 0, 0]
    assert rows["here"].tolist() == [2, 2, 2, 2, 2, 2, 2, 1, 1]
    assert rows["paying"].tolist() == [2, 2, 2, 2, 2, 2, 2, 1.5, 1]  # no rhythm, no fee: orders are no invoices


def test_a_metric_nobody_answered_is_refused_by_name(company):
    with pytest.raises(InputError, match=r"csat.*nps"):
        answers.choose(company, "csat")


# ---- the day itself --------------------------------------------------------------------------------------------------


def test_whole_months_are_counted_to_the_as_of_date(company):
    seen = [panels.months_seen(company, d) for d in (date(2024, 11, 1), date(2024, 12, 1), date(2025, 1, 1))]
    assert seen == [2, 1, 0]
    # payments are on record from 5 January, so January is not whole
    before = [panels.months_before(company, d) for d in (date(2024, 2, 1), date(2024, 4, 1), date(2024, 12, 1))]
    assert before == [0, 2, 6]
    assert planned_reach.followed_since(company, 3) == (date(2024, 10, 1), 3)
    assert planned_reach.followed_since(company, 24) == (date(2024, 1, 1), 12)


def test_a_purchase_on_the_day_of_the_cut_is_known(company):
    def known_of_a(cut):
        rows = purchases.held_out(company, cut, "nps")
        return rows.loc[rows["band"] == "promoter", ["frequency", "purchases", "revenue"]].to_numpy().tolist()

    assert known_of_a(date(2024, 3, 14)) == [[0, 1, 20]]
    assert known_of_a(date(2024, 3, 15)) == [[1, 0, 0]]


def test_a_snapshot_knows_its_own_day_and_nothing_later(company):
    """a answers on 3 February; c leaves on 31 May, not by choice; b leaves on 31 August, by choice."""
    on = (date(2024, 2, 2), date(2024, 2, 3), date(2024, 5, 30), date(2024, 8, 30), date(2024, 8, 31))
    rows = snapshots.stacked(company, on, 1, ["nps"]).execute().set_index(["at", "customer_id"]).sort_index()
    assert rows.index.to_list() == [
        *[(0, "a"), (0, "b"), (1, "a"), (1, "b")],
        *[(2, "a"), (2, "b"), (2, "c"), (3, "a"), (3, "b"), (3, "d"), (4, "a"), (4, "d")],
    ]
    assert [rows.loc[(at, "a"), "NPS answer"] for at in (0, 1)] == ["no answer", "promoter"]
    assert rows.loc[rows["left"] == 1].index.to_list() == [(3, "b")]
    assert rows.loc[rows["other"] == 1].index.to_list() == [(2, "c")]


@pytest.mark.parametrize(
    ("name", "as_of", "segment"),
    [
        ("demo", "2025-12-31", "case when monthly_revenue > 40 then 'high' else 'low' end"),
        ("demo-shop", None, "case when country = 'France' then 'high' else 'low' end"),
    ],
)
def test_a_company_is_made_again_from_its_settings_and_frames(name, as_of, segment):
    demo = net.opened(name, as_of).with_segment("price", segment)
    frames = {t: demo.frame(t) for t in TABLES if demo.has(t)}
    again = Company.from_frames(demo.settings, frames)
    for table, frame in frames.items():
        pd.testing.assert_frame_equal(again.frame(table)[[*frame]], frame)
    assert current.headline(again).headline == current.headline(demo).headline
    counts = [answers.score_counts(c, "nps", ["price", *c.settings.segments[:1]], "quarter") for c in (demo, again)]
    pd.testing.assert_frame_equal(*counts)
    assert again.as_of == demo.as_of
    assert "<td>customers</td>" in again._repr_html_()


def test_of_frames_given_back_the_unit_of_tenure_and_the_currency_of_amounts_are_known():
    frame = pd.DataFrame({"customer_id": ["a", "b"], "tenure": [2, 5], "left": [False, True]})
    frame = frame.assign(monthly_revenue=10.0, currency=["USD", "GBP"], plan="A", left_reason=None)
    sources = {"sources": {"customers": {"tenure_unit": "years"}}}
    settings = {**SETTINGS, **sources, "currency": "GBP", "exchange_rates": {"USD": 0.8}}
    company = Company.from_frames(settings, {"customers": frame})
    again = Company.from_frames(company.settings, {"customers": company.frame("customers")})
    assert again.tenure_unit == "years"
    assert again.frame("customers")["monthly_revenue"].tolist() == [8.0, 10.0]


def test_money_is_added_up_to_the_same_digit_in_any_order():
    """Floats are not; so tables of the same rows in another order would give other last digits."""
    amounts = np.random.default_rng(1).lognormal(3, 2, 5000).round(2)
    sums = set()
    for seed in range(5):
        rows = ibis.memtable(pd.DataFrame({"paid": np.random.default_rng(seed).permutation(amounts)}))
        sums.add(float(rows.agg(paid=people.added(rows.paid)).execute().iloc[0, 0]))
    assert len(sums) == 1
    assert sums.pop() == pytest.approx(amounts.sum(), rel=1e-12)
    assert len({float(np.random.default_rng(seed).permutation(amounts).cumsum()[-1]) for seed in range(5)}) > 1
    none = ibis.memtable(pd.DataFrame({"paid": [1.5, None], "on": [False, True]}))
    assert none.agg(paid=people.added(none.paid, where=none.on)).execute().iloc[0, 0] == 0
