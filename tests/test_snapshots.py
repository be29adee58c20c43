"""Snapshots know what was known by the end of a day, and nothing of the day after."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from cxlib.counts import snapshots
from cxlib.counts.answers import NO_ANSWER
from cxlib.intake.company import Company

pytestmark = pytest.mark.filterwarnings("error")
DAY = date(2024, 6, 30)
SETTINGS = {
    "name": "T", "as_of": "2024-12-31", "relationship": "contractual", "currency": "EUR", "draws": 50,
    "metrics": {"nps": {"scale": [0, 10]}}, "segments": ["plan"], "involuntary_reasons": ["card expired"],
}  # fmt: skip


def after(days):
    """The moment so many days after the day of the snapshot, an hour before midnight."""
    return pd.Timestamp(DAY) + pd.Timedelta(days=days, hours=23)


def company(customers, answers=(), contacts=(), orders=(), **changes):
    """Customers: (joined, left, reason, fee) in days from DAY; answers (customer, day, score).

    Contacts (customer, day).
    """
    people = pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(len(customers))],
            "joined_on": [after(c[0]).normalize() for c in customers],
            "left_on": pd.to_datetime([None if c[1] is None else after(c[1]).normalize() for c in customers]),
            "left_reason": [c[2] for c in customers],
            "plan": ["a" if i % 2 else None for i in range(len(customers))],
        }
    )
    if len(customers[0]) > 3:
        people["monthly_revenue"] = [c[3] for c in customers]
    frames = {"customers": people}
    ids = range(len(answers))
    if answers:
        frames["responses"] = pd.DataFrame(
            {"response_id": [f"r{i}" for i in ids], "customer_id": [f"c{a[0]}" for a in answers], "metric": "nps",
             "asked_at": [after(a[1]) - pd.Timedelta(days=2) for a in answers],
             "answered_at": [after(a[1]) for a in answers], "score": [float(a[2]) for a in answers]}
        )  # fmt: skip
    if contacts:
        frames["contacts"] = pd.DataFrame(
            {"contact_id": [f"t{i}" for i in range(len(contacts))], "customer_id": [f"c{c[0]}" for c in contacts],
             "opened_at": [after(c[1]) for c in contacts]}
        )  # fmt: skip
    if orders:
        frames["orders"] = pd.DataFrame(
            {"order_id": [f"o{i}" for i in range(len(orders))], "customer_id": [f"c{o[0]}" for o in orders],
             "ordered_at": [after(o[1]) for o in orders], "revenue": [float(o[2]) for o in orders]}
        )  # fmt: skip
    return Company.from_frames(SETTINGS | changes, frames)


def snapshot(made, metrics=("nps",), horizon=100):
    return snapshots.rows(made, DAY, horizon, metrics).execute().set_index("customer_id").sort_index()


def test_who_is_here_and_who_left_by_choice_within_the_horizon():
    made = company(
        [
            (-400, None, None),
            (0, None, None),  # joined on the day
            (1, None, None),  # joined the day after
            (-400, 0, "price"),  # left on the day: known by its end
            (-400, 1, "price"),
            (-400, 100, "price"),
            (-400, 101, "price"),
            (-400, 50, "card expired"),
        ]
    )
    found = snapshot(made, ())
    assert list(found.index) == ["c0", "c1", "c4", "c5", "c6", "c7"]
    assert found["left"].to_dict() == {"c0": 0, "c1": 0, "c4": 1, "c5": 1, "c6": 0, "c7": 0}
    assert found["other"].sum() == found.loc["c7", "other"] == 1
    assert found.loc["c1", snapshots.TENURE] == "first 3 months"
    assert found.loc["c0", snapshots.TENURE] == "second year"
    assert set(found["plan"]) == {"(none)", "a"}


def test_the_last_answer_known_by_the_end_of_the_day_counts_and_no_later_one():
    """Three hundred histories of one to six answers, on days chosen at random and on those at the edges."""
    rng = np.random.default_rng(1)
    days = [*range(-400, 101), *[-367, -366, -365, -364, -1, 0, 1] * 70]
    given = [
        (i, int(rng.choice(days)), int(rng.integers(0, 11))) for i in range(300) for _ in range(rng.integers(1, 7))
    ]
    found = snapshot(company([(-800, None, None)] * 300, given))["NPS answer"]
    for customer in range(300):
        known = [(d, f"r{i}", s) for i, (who, d, s) in enumerate(given) if who == customer and -365 <= d <= 0]
        expected = NO_ANSWER
        if known:
            score = max(known)[2]
            expected = "promoter" if score >= 9 else "passive" if score >= 7 else "detractor"
        assert found[f"c{customer}"] == expected


def test_an_answer_of_the_day_after_changes_nothing():
    before = company([(-800, None, None), (-800, 20, "price")], [(0, -3, 9), (1, 0, 9)])
    later = company([(-800, None, None), (-800, 20, "price")], [(0, -3, 9), (1, 0, 9), (0, 1, 0), (1, 1, 0)])
    pd.testing.assert_frame_equal(snapshot(before), snapshot(later))
    assert set(snapshot(later)["NPS answer"]) == {"promoter"}


def test_contacts_of_ninety_days_up_to_the_day_count():
    made = company([(-800, None, None)] * 4, contacts=[(0, 0), (0, -89), (1, -89), (2, -90), (2, 1), (3, 5)])
    assert snapshot(made, ())[snapshots.CONTACTS].tolist() == [
        snapshots.CASES[2],
        snapshots.CASES[1],
        *[snapshots.CASES[0]] * 2,
    ]


def test_prices_are_in_quarters_and_orders_tell_of_use_only_without_them():
    people = [(-800, None, None, float(f)) for f in (10, 20, 30, 40)] + [(-800, None, None, None)]
    found = snapshot(company(people, orders=[(0, -3, 5)]), ())
    assert found[snapshots.PRICE].tolist() == [*snapshots.PRICES, snapshots.NOT_KNOWN]
    assert snapshots.LAST_ORDER not in found
    found = snapshot(
        company([p[:3] for p in people], orders=[(0, -30, 240), (1, -31, 1), (2, -364, 1), (3, -365, 9), (4, 1, 9)]), ()
    )
    assert found[snapshots.LAST_ORDER].tolist() == [
        "within 30 days",
        "31 to 91 days ago",
        "92 to 365 days ago",
        *["none in a year"] * 2,
    ]
    assert found["a_month"].to_numpy() == pytest.approx(
        [240 / 365 * 365.25 / 12, 1 / 365 * 365.25 / 12, 1 / 365 * 365.25 / 12, 0, 0]
    )


def test_patterns_are_the_rows_counted():
    rng = np.random.default_rng(4)
    people = [(-int(a), None if rng.random() < 0.7 else int(rng.integers(1, 180)), None, float(f))
              for a, f in zip(rng.integers(10, 900, 300), rng.integers(1, 60, 300), strict=True)]  # fmt: skip
    made = company(people, [(i, -int(rng.integers(0, 9)), int(rng.integers(0, 11))) for i in range(0, 300, 2)])
    rows = snapshot(made)
    keys = [*snapshots.predictors(made), "NPS answer", "fold"]
    found = snapshots.patterns(made, DAY, 100, ("nps",)).set_index(keys).sort_index()
    expected = rows.groupby(keys).agg(
        n=("left", "size"), left=("left", "sum"), other=("other", "sum"), a_month=("a_month", "sum")
    )
    pd.testing.assert_frame_equal(found[expected.columns], expected.sort_index(), check_dtype=False)
    assert 0 < found["left"].sum() < found["n"].sum() == len(rows)


def test_snapshots_lie_before_the_horizon_and_after_leavers_are_known():
    made = company([(-800, None, None)])
    end = made.as_of
    found = snapshots.dates(made, end, 182)
    assert found == tuple(end - timedelta(days=182 + 91 * i) for i in range(4))
    since = company([(-800, None, None)], leavers_since=(end - timedelta(days=280)).isoformat())
    assert snapshots.dates(since, end, 182) == found[:2]


def test_what_is_dated_on_or_after_leaving_is_counted():
    made = company([(-800, 10, "price"), (-800, None, None)], [(0, 9, 5), (0, 10, 1), (1, 20, 8)], [(0, 11), (1, 3)])
    found = snapshots.after_leaving(made).set_index("source")
    assert found["n"].to_dict() == {"NPS": 1, "contacts": 1}
    assert found["all"].to_dict() == {"NPS": 3, "contacts": 2}


def test_a_column_that_splits_leavers_is_seen_whether_by_value_or_by_being_filled():
    people = [(-800, 5 if i < 40 else None, None, 0.0 if i < 40 else float(i)) for i in range(100)]
    made = company(people)
    frame = made.frame("customers")[["customer_id", "joined_on", "left_on", "left_reason", "monthly_revenue", "plan"]]
    frame["why"] = [f"words {i}" if i < 40 else None for i in frame["customer_id"].str[1:].astype(int)]
    made = Company.from_frames(SETTINGS, {"customers": frame})
    assert snapshots.columns(made) == ["monthly_revenue", "plan", "why"]
    assert snapshots.split(made, "why", 30, True) == {"levels": 2, "n": 100, "left": 40, "pure": 2}
    assert snapshots.split(made, "monthly_revenue", 30, False)["pure"] == 2
    assert snapshots.split(made, "plan", 30, False)["pure"] == 0
