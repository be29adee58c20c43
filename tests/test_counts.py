"""Count tables of a company small enough to count by hand."""

from __future__ import annotations

import hashlib
from datetime import date

import pandas as pd
import pytest

from cxlib.errors import InputError
from cxlib.intake import counts, purchases
from cxlib.intake.company import Company

SETTINGS = {
    "name": "Handful",
    "as_of": "2024-12-31",
    "relationship": "contractual",
    "involuntary_reasons": ["payment failed"],
    "currency": "GBP",
    "metrics": {"nps": {"scale": [0, 10]}},
    "segments": ["plan"],
}


def stamps(*days):
    return pd.to_datetime(pd.Series(days))


@pytest.fixture(scope="module")
def company():
    customers = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d"],
            "joined_on": stamps("2024-01-01", "2024-01-01", "2024-03-01", "2024-06-01"),
            "left_on": stamps(None, "2024-08-31", "2024-05-31", None),
            "left_reason": [None, "price", "payment failed", None],
            "plan": ["x", "x", "y", None],
        }
    )
    responses = pd.DataFrame(
        {
            "response_id": ["1", "2", "3", "4", "5"],
            "customer_id": ["a", "a", "b", "c", "d"],
            "metric": "nps",
            "asked_at": stamps("2024-02-01", "2024-08-01", "2024-02-01", "2024-04-01", "2024-07-01"),
            "answered_at": stamps("2024-02-03", "2024-08-01", "2024-02-01", None, "2024-07-05"),
            "score": [9.0, 3.0, 6.0, None, 7.0],
        }
    )
    orders = pd.DataFrame(
        {
            "order_id": ["o1", "o2", "o3", "o4"],
            "customer_id": ["a", "a", "a", "b"],
            "ordered_at": stamps("2024-01-05", "2024-01-05", "2024-03-15", "2024-02-20"),
            "revenue": [10.0, 5.0, 20.0, 8.0],
        }
    )
    return Company.from_frames(SETTINGS, {"customers": customers, "responses": responses, "orders": orders})


def fold(customer):
    return int(hashlib.md5(customer.encode()).hexdigest()[:2], 16)


def test_the_fold_is_two_hex_digits_of_the_md5_of_the_id(company):
    frame = company.frame("customers").set_index("customer_id")["fold"]
    assert frame.to_dict() == {c: fold(c) for c in "abcd"}


def test_bands_follow_the_scale_and_its_direction():
    def names(metric, rule):
        frames = {"customers": pd.DataFrame({"customer_id": ["a"], "plan": ["x"]})}
        made = Company.from_frames(SETTINGS | {"metrics": {metric: rule}, "involuntary_reasons": []}, frames)
        return [(b.name, b.low, b.high) for b in counts.bands(made, metric)]

    assert names("nps", {"scale": [1, 10]}) == [("detractor", 1, 6), ("passive", 7, 8), ("promoter", 9, 10)]
    five = {"scale": [1, 5], "good": "high"}
    assert names("csat", five) == [("dissatisfied", 1, 2), ("neutral", 3, 3), ("satisfied", 4, 5)]
    assert names("ces", {"scale": [1, 7], "version": "2.0"}) == [("hard", 1, 2), ("neutral", 3, 4), ("easy", 5, 7)]
    assert names("ces", {"scale": [1, 5], "version": "1.0"}) == [("hard", 4, 5), ("neutral", 3, 3), ("easy", 1, 2)]


def test_follow_up_starts_at_the_answer_and_counts_both_its_days(company):
    rows = counts.follow_up(company, "nps", 1000)
    found = {(r.band, r.duration, r.event): r.n for r in rows.itertuples()}
    assert found == {
        ("promoter", 333, 0): 1,  # a, answered 3 February, still here on 31 December
        ("detractor", 153, 0): 1,  # a again, from 1 August
        ("detractor", 213, 1): 1,  # b, 1 February to 31 August
        ("no answer", 61, 1): 1,  # c, asked 1 April, left 31 May
        ("passive", 180, 0): 1,  # d, from 5 July
    }


def test_follow_up_is_cut_at_the_horizon(company):
    rows = counts.follow_up(company, "nps", 100)
    assert (rows["duration"] <= 100).all()
    assert rows.loc[rows["event"] == 1, "band"].tolist() == ["no answer"]


def test_an_episode_never_begins_before_its_answer_and_ends_at_the_next_question(company):
    rows = counts.episodes(company, "nps", ["plan"])
    found = {(r.stratum, r.band): (r.start, r.stop, r.event, r.chosen) for r in rows.itertuples()}
    assert found == {
        ("x", "promoter"): (33, 213, 0, 0),  # 3 February to 1 August, days since 1 January
        ("x", "detractor"): found["x", "detractor"],
        ("y", "no answer"): (31, 92, 1, 0),  # left, but not by choice
        ("(none)", "passive"): (34, 214, 0, 0),
    }
    both = rows[rows["band"] == "detractor"][["start", "stop", "event", "chosen"]].to_numpy().tolist()
    assert sorted(both) == [[31, 244, 1, 1], [213, 366, 0, 0]]


def test_the_usual_layout_takes_the_last_score_back_to_sign_up(company):
    rows = counts.last_score(company, "nps")
    assert {(r.band, r.duration, r.event) for r in rows.itertuples()} == {
        ("detractor", 366, 0),
        ("detractor", 244, 1),
        ("passive", 214, 0),
    }


def test_one_customer_one_voice_keeps_the_latest_answer(company):
    every = counts.score_counts(company, "nps")
    latest = counts.score_counts(company, "nps", latest_only=True)
    assert every["n"].sum() == 4
    assert sorted(latest["score"]) == [3.0, 6.0, 7.0]
    by_quarter = counts.score_counts(company, "nps", period="quarter", latest_only=True)
    assert by_quarter.groupby("period")["n"].sum().to_dict() == {
        pd.Timestamp("2024-01-01"): 2,
        pd.Timestamp("2024-07-01"): 2,
    }


def test_churn_counts_those_here_at_the_start_and_not_the_new_ones(company):
    rows = counts.base_by_period(company, [date(2024, 2, 1), date(2024, 6, 1), date(2024, 12, 31)])
    assert rows[["here", "lost", "joined"]].to_numpy().tolist() == [[2, 0, 1], [2, 1, 1]]


def test_purchases_of_one_day_are_one_and_weeks_run_to_the_as_of_date(company):
    rows = purchases.purchases(company).sort_values("frequency")
    assert rows["frequency"].tolist() == [0, 1]
    assert rows["age"].tolist() == pytest.approx([315 / 7, 361 / 7])
    assert rows["recency"].tolist() == pytest.approx([0, 70 / 7])
    assert rows["spend"].fillna(-1).tolist() == [-1, 20.0]


def test_money_by_month_keeps_leavers_in_the_base(company):
    assigned = company.customers.select("customer_id", "plan").filter(lambda t: t.plan == "x")
    rows = purchases.margin_by_month(company, assigned, date(2024, 2, 1), 8, ["plan"]).set_index("month")
    assert rows.index.tolist() == list(range(-1, 8))
    assert rows["customers"].eq(2).all()
    assert rows["revenue"].tolist() == [15, 8, 20, 0, 0, 0, 0, 0, 0]
    assert rows["here"].tolist() == [2, 2, 2, 2, 2, 2, 2, 1, 1]


def test_a_metric_nobody_answered_is_refused_by_name(company):
    with pytest.raises(InputError, match=r"csat.*nps"):
        counts.choose(company, "csat")
