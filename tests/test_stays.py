"""Episodes of a company small enough to follow each customer by hand, and what they may never know."""

from __future__ import annotations

import pandas as pd
import pytest

from cxlib.counts import follow_up
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


def frames():
    customers = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d"],
            "joined_on": stamps("2024-01-01", "2024-01-01", "2024-03-01", "2024-06-01"),
            "left_on": stamps(None, "2024-08-31", "2024-05-31", None),
            "left_reason": [None, "price", "payment failed", None],
            "monthly_revenue": [10.0, 20.0, 30.0, None],
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
    contacts = pd.DataFrame(
        {
            "contact_id": ["t1", "t2", "t3", "t4"],
            "customer_id": ["a", "a", "a", "b"],
            "opened_at": stamps("2024-07-01", "2024-07-31", "2024-08-01", "2023-10-01"),
        }
    )
    return {"customers": customers, "responses": responses, "contacts": contacts}


def opened(**more):
    made = frames()
    made["contacts"] = made["contacts"].iloc[:3]  # the last is from before the customer joined
    return Company.from_frames(SETTINGS | more, made)


@pytest.fixture(scope="module")
def company():
    return opened()


def rows_of(episodes):
    frame = episodes.rows.execute()
    return sorted(frame.drop(columns="fold").itertuples(index=False, name=None))


def test_follow_up_starts_at_the_answer_and_counts_both_its_days(company):
    rows = follow_up.follow_up(company, "nps", 1000)
    assert {(r.band, r.duration, r.events): r.n for r in rows.itertuples()} == {
        ("promoter", 333, 0): 1,  # a, answered 3 February, still here on 31 December
        ("detractor", 153, 0): 1,  # a again, from 1 August
        ("detractor", 213, 1): 1,  # b, 1 February to 31 August
        ("no answer", 61, 1): 1,  # c, asked 1 April, left 31 May
        ("passive", 180, 0): 1,  # d, from 5 July
    }


def test_follow_up_is_cut_at_the_horizon(company):
    rows = follow_up.follow_up(company, "nps", 100)
    assert (rows["duration"] <= 100).all()
    assert rows.loc[rows["events"] == 1, "band"].tolist() == ["no answer"]


def test_an_episode_never_begins_before_its_answer_and_ends_at_the_next_question(company):
    assert rows_of(follow_up.in_force(company, "nps", ["plan"])) == [
        ("(none)", "passive", 34, 214, 0),
        ("x", "detractor", 31, 244, 1),
        ("x", "detractor", 213, 366, 0),
        ("x", "promoter", 33, 213, 0),  # 3 February to 1 August, days since 1 January
    ]


def test_a_delay_leaves_out_the_first_days_of_every_episode_alike(company):
    plain, late = (
        rows_of(follow_up.in_force(company, "nps")),
        rows_of(follow_up.in_force(company, "nps", delay_days=60)),
    )
    assert [(b, start + 60, stop, e) for _, b, start, stop, e in plain] == [r[1:] for r in late]


def test_exits_nobody_chose_end_an_episode_without_the_event(company):
    answered = frames()
    answered["responses"].loc[3, ["answered_at", "score"]] = [pd.Timestamp("2024-04-02"), 2.0]
    del answered["contacts"]
    episodes = follow_up.in_force(Company.from_frames(SETTINGS, answered), "nps", ["plan"])
    assert ("y", "detractor", 32, 92, 0) in rows_of(episodes)


def test_with_leavers_missing_nobody_is_at_risk_before(company):
    late = opened(leavers_since="2024-04-01")
    assert rows_of(follow_up.in_force(late, "nps", ["plan"])) == [
        ("(none)", "passive", 34, 214, 0),
        ("x", "detractor", 91, 244, 1),  # from 1 April on
        ("x", "detractor", 213, 366, 0),
        ("x", "promoter", 91, 213, 0),
    ]
    assert follow_up.follow_up(late, "nps", 1000)["n"].sum() == 3  # the two answers of February are not followed


def test_clock_at_the_answer_holds_on_to_the_score(company):
    assert rows_of(follow_up.since_answer(company, "nps", 100)) == [
        ("0 | all", "detractor", 0, 100, 0),
        ("0 | all", "passive", 0, 100, 0),
        ("0 | all", "promoter", 0, 100, 0),
        ("1 | all", "detractor", 0, 100, 0),
    ]


def test_a_landmark_knows_the_last_score_before_it_and_only_who_is_still_there(company):
    found = rows_of(follow_up.landmarks(company, "nps", [92, 213, 300], 100))
    assert found == [
        ("213 | all", "detractor", 0, 31, 1, "213"),  # b: 1 August to 31 August
        ("213 | all", "detractor", 0, 100, 0, "213"),  # a, asked again that very day
        ("213 | all", "passive", 0, 1, 0, "213"),  # d, for one day
        ("300 | all", "detractor", 0, 66, 0, "300"),
        ("92 | all", "detractor", 0, 100, 0, "92"),
        ("92 | all", "passive", 0, 100, 0, "92"),
        ("92 | all", "promoter", 0, 100, 0, "92"),
    ]


def test_price_is_a_third_within_the_plan_and_cases_are_those_of_the_days_before(company):
    episodes = follow_up.in_force(company, "nps", covariates=["price", "cases"])
    frame = episodes.rows.execute().set_index(["band", "start"])
    assert frame.loc[("promoter", 33), "cases"] == "no case"
    assert (
        frame.loc[("detractor", 213), "cases"] == "2 or more cases"
    )  # 1 and 31 July; that of the day itself is not before it
    assert frame.loc[("detractor", 31), "price"] == "price: high"
    assert frame.loc[("passive", 34), "price"] == "price: not known"


def test_the_usual_layout_takes_the_last_score_back_to_sign_up(company):
    rows = follow_up.last_score(company, "nps")
    assert {(r.band, r.duration, r.event) for r in rows.itertuples()} == {
        ("detractor", 366, 0),
        ("detractor", 244, 1),
        ("passive", 214, 0),
    }


def test_customers_of_today_are_those_who_have_not_left(company):
    rows = follow_up.today(company, "nps").groupby("band")["n"].sum()
    assert rows.to_dict() == {"detractor": 1, "passive": 1}
    assert follow_up.today(company, "nps", within_days=160).groupby("band")["n"].sum().to_dict() == {
        "detractor": 1,
        "no answer": 1,
    }
