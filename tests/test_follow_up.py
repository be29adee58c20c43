"""Episodes of companies small enough to follow each customer by hand, and what no episode may know."""

from __future__ import annotations

import ibis
import numpy as np
import pandas as pd
import pytest
from handful import SETTINGS, frames, stamps

from cxlib.counts import answers, follow_up, upsells
from cxlib.intake.company import Company


def opened(**more):
    made = frames()
    made["contacts"] = made["contacts"].iloc[:3]  # the last is from before the customer joined
    return Company.from_frames(SETTINGS | more, made)


@pytest.fixture(scope="module")
def company():
    return opened()


def rows_of(episodes):
    frame = episodes.execute()
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


def test_involuntary_exits_are_censored(company):
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


def test_time_at_risk_is_counted_by_month_and_a_month_in_part_by_its_days(company):
    """Months end after 30, 60, 91, 121, 152 ... days. Here b, at risk from after day 31 to day 244, when it leaves."""
    time = follow_up.person_time(follow_up.in_force(company, "nps", ["plan"]))
    assert list(time.columns) == ["stratum", "band", "month", "fold", "events", "exposure"]
    b = time[(time["band"] == "detractor") & (time["month"] <= 6)]
    assert b[["month", "exposure"]].to_numpy().tolist() == [[1, 29], [2, 31], [3, 30], [4, 31], [5, 30], [6, 31]]
    last = time[(time["band"] == "detractor") & (time["month"] == 8)].sort_values("events")  # a and b
    assert last[["events", "exposure"]].to_numpy().tolist() == [[0, 30], [1, 1]]


def test_person_time_is_every_day_at_risk_counted_one_by_one():
    rng = np.random.default_rng(4)
    rows = pd.DataFrame({"stratum": rng.choice(["x", "y | z"], 400), "band": rng.choice(list("abc"), 400)})
    rows["price"], rows["fold"] = rng.choice(["low", "high"], 400), rng.integers(0, 9, 400)
    rows["start"] = rng.choice([0, 1, 29, 30, 31, 487, 488, 700], 400)
    rows["stop"], rows["event"] = rows["start"] + rng.integers(1, 400, 400), rng.integers(0, 2, 400)
    days = rows.loc[rows.index.repeat(rows["stop"] - rows["start"])]
    day = days["start"] + 1 + days.groupby(level=0).cumcount()
    keys = ["stratum", "band", "price", "month", "fold"]
    days = days.assign(
        month=np.ceil(day / (365.25 / 12)).astype(int) - 1, exposure=1, events=days["event"] * (day == days["stop"])
    )
    expected = days.groupby(keys)[["events", "exposure"]].sum().reset_index()
    found = follow_up.person_time(ibis.memtable(rows[["stratum", "band", "price", "start", "stop", "event", "fold"]]))
    found = found.astype({"stratum": str, "band": str, "price": str}).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    many = ibis.memtable(pd.concat([rows] * 50))
    assert len(follow_up.person_time(many)) == len(found)
    assert follow_up.person_time(many)["exposure"].sum() == 50 * found["exposure"].sum()


def test_without_an_episode_there_is_no_time_at_risk(company):
    none = follow_up.in_force(company, "nps").filter(ibis.literal(False))
    assert follow_up.person_time(none).empty


def test_price_is_a_third_within_the_plan_and_cases_are_those_of_the_days_before(company):
    episodes = follow_up.in_force(company, "nps", covariates=["price", "cases"])
    frame = episodes.execute().set_index(["band", "start"])
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


# ---- first and last days, several things on one day ------------------------------------------------------------------


@pytest.fixture(scope="module")
def edges():
    """Customers who joined on 1 June 2024, as of 31 December.

    a answers on the as-of date. b leaves on it, 30 days after an answer. c answers on the day of leaving. d gives two
    answers on 1 July. e is asked after leaving.
    """
    customers = pd.DataFrame(
        {
            "customer_id": list("abcde"),
            "joined_on": stamps(*["2024-06-01"] * 5),
            "left_on": stamps(None, "2024-12-31", "2024-06-10", None, "2024-07-15"),
            "left_reason": [None, "price", "price", None, "price"],
        }
    )
    answered = stamps("2024-12-31", "2024-12-01", "2024-06-10", "2024-07-01", "2024-07-01", "2024-07-20")
    responses = pd.DataFrame(
        {
            "response_id": ["1", "2", "3", "4", "5", "6"],
            "customer_id": list("abcdde"),
            "metric": "nps",
            "asked_at": answered,
            "answered_at": answered,
            "score": [7.0, 9.0, 0.0, 10.0, 3.0, 5.0],
        }
    )
    settings = {k: v for k, v in SETTINGS.items() if k != "segments"} | {"involuntary_reasons": []}
    return Company.from_frames(settings, {"customers": customers, "responses": responses})


def test_an_episode_counts_its_first_and_its_last_day_once(edges):
    rows = follow_up.follow_up(edges, "nps", 1000)
    assert {(r.band, r.duration, r.events): r.n for r in rows.itertuples()} == {
        ("passive", 1, 0): 1,  # a: the as-of date alone
        ("promoter", 31, 1): 1,  # b: 1 to 31 December
        ("detractor", 1, 1): 1,  # c: gone on the day of the answer
        ("promoter", 184, 0): 1,  # d: both answers are followed
        ("detractor", 184, 0): 1,
    }
    assert rows_of(follow_up.in_force(edges, "nps")) == [
        ("all", "detractor", 9, 10, 1),
        ("all", "passive", 213, 214, 0),
        ("all", "promoter", 30, 214, 0),  # d: of two answers on one day only one is in force
        ("all", "promoter", 183, 214, 1),
    ]


def test_an_exit_on_the_last_day_of_the_horizon_is_in_it(edges):
    def exits(horizon):
        rows = follow_up.follow_up(edges, "nps", horizon)
        return int(rows.loc[rows["band"] == "promoter", "events"].sum())

    assert [exits(30), exits(31)] == [0, 1]


def test_of_two_answers_on_one_day_the_change_is_from_worse_to_better(edges):
    rows = follow_up.follow_changes(edges, "nps", 1000)
    assert rows[["stratum", "band", "duration", "n"]].to_numpy().tolist() == [["detractor", "better", 184, 1]]
    latest = answers.score_counts(edges, "nps", latest_only=True)
    assert latest["score"].tolist() == [0, 3, 5, 7, 9]  # d: the last of the day in the order of response_id


def test_an_answer_on_the_day_of_leaving_came_too_late_to_warn(edges):
    def scores(within_days):
        return answers.said_before_leaving(edges, "nps", within_days)["score"].tolist()

    assert [scores(29), scores(30)] == [[], [9]]


def test_an_order_on_the_day_of_an_answer_does_not_follow_it():
    """Both bought on 1 January and on 1 March, the day of the answer; a bought again on 31 March, 30 days later."""
    responses = pd.DataFrame(
        {
            "response_id": ["1", "2"],
            "customer_id": ["a", "b"],
            "metric": "nps",
            "asked_at": stamps("2024-03-01 09:00", "2024-03-01 09:00"),
            "answered_at": stamps("2024-03-01 09:00", "2024-03-01 09:00"),
            "score": [9.0, 9.0],
        }
    )
    orders = pd.DataFrame(
        {
            "order_id": ["1", "2", "3", "4", "5"],
            "customer_id": list("aaabb"),
            "ordered_at": stamps(
                "2024-01-01 12:00", "2024-03-01 18:00", "2024-03-31 12:00", "2024-01-01 12:00", "2024-03-01 18:00"
            ),
            "revenue": [10.0, 10.0, 7.0, 20.0, 20.0],
        }
    )
    settings = {k: v for k, v in SETTINGS.items() if k not in ("segments", "involuntary_reasons")}
    settings |= {"relationship": "noncontractual", "inactive_after_days": 90}
    customers = pd.DataFrame({"customer_id": ["a", "b"]})
    shop = Company.from_frames(settings, {"customers": customers, "responses": responses, "orders": orders})
    rows = follow_up.follow_up(shop, "nps", 1000)
    assert sorted(zip(rows["duration"], rows["events"], strict=True)) == [(31, 1), (306, 0)]

    def after(window):
        counted = upsells.orders_after(shop, "nps", window)
        return counted[["stratum", "orders", "revenue"]].to_numpy().tolist()

    low, high = "2 | lower half | first 3 months", "2 | upper half | first 3 months"
    assert after(30) == [[low, 1, 7.0], [high, 0, 0.0]]
    assert after(29) == [[low, 0, 0.0], [high, 0, 0.0]]
