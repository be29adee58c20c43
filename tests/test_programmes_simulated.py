"""Simulated programmes: their truth is what their exports show, and the page finds it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import programme_worlds as worlds
from benchmarks import programmes
from cxlib.roi.evidence import BEFORE_AND_AFTER, MATCHED, NOT_IDENTIFIED, RANDOMISED, STAGGERED

PAIRS = (  # with an effect, and the same customers, reached alike, without one
    ("randomised", "randomised, no effect"),
    ("staggered, growing", "staggered, no effect"),
    ("low scorers, some, with effect", "low scorers, some, no effect"),
)
EACH = 16_000  # customers of a company large enough to show its truth


def _reached(frames: dict[str, pd.DataFrame], staggered: bool) -> pd.Series:
    """Return who was reached and from which day; if staggered, all customers of its branches at the first step."""
    treated = frames["exposures"].query("arm == 'treated'").set_index("customer_id")["exposed_on"]
    if not staggered:
        return treated
    people = frames["customers"].set_index("customer_id")
    first = treated.min()
    here = people[(people["joined_on"] <= first) & ~(people["left_on"] <= first)]
    return here["branch"].map(treated.groupby(people["branch"].reindex(treated.index)).min()).dropna()


def _followed(frames: dict[str, pd.DataFrame], start: pd.Series) -> pd.DataFrame:
    """Return money of the twelve months from each customer's start, whether they have left by their end, and all money.

    All: from the first start of anybody to the end of what is recorded.
    """
    end = start + pd.DateOffset(months=worlds.FOLLOWED)
    first, last = start.min(), pd.Timestamp(worlds.FIRST + worlds.SPAN)

    def total(table: str, day: str, amount: str, since: object, until: object) -> pd.Series:
        rows = frames[table]
        since, until = (b if isinstance(b, pd.Timestamp) else rows["customer_id"].map(b) for b in (since, until))
        inside = (rows[day] >= since) & (rows[day] < until)
        return rows[inside].groupby("customer_id")[amount].sum().reindex(start.index, fill_value=0.0)

    def net(*between: object) -> pd.Series:
        paid, served = (
            total("orders", "ordered_at", "revenue", *between),
            total("contacts", "opened_at", "cost", *between),
        )
        return worlds.MARGIN * paid - served

    left = frames["customers"].set_index("customer_id")["left_on"].reindex(start.index) < end
    return pd.DataFrame({"money": net(start, end), "left": left.astype(float), "all": net(first, last)})


@pytest.mark.parametrize(("kind", "without"), PAIRS)
def test_the_truth_is_what_the_exports_show(kind, without):
    """The expectation in closed form against realised exits, payments and contacts; errors by branch."""
    frames, same = (worlds.make(k, 7, EACH)[0] for k in (kind, without))
    start = _reached(frames, "staggered" in kind)
    found = _followed(frames, start) - _followed(same, start)
    true = worlds.truth(kind, 80_000)
    branch = frames["customers"].set_index("customer_id")["branch"].reindex(start.index)
    for column, value in (("money", true.effect()), ("left", true.left[-1]), ("all", true.paid.sum())):
        off = (found[column] - found[column].mean()).groupby(branch).sum()
        error = np.sqrt((off**2).sum()) / len(found)
        assert error < 0.12 * abs(value)  # precise enough to show a mistake
        assert found[column].mean() == pytest.approx(value, abs=3.5 * error)


@pytest.mark.parametrize("kind", [k for k, what in worlds.KINDS.items() if what.leaving == 1])
def test_no_effect_is_exactly_none(kind):
    true = worlds.truth(kind, 8000)
    assert not true.gain.any()
    assert not true.left.any()
    assert 0.2 < true.level[-1] < 0.4


def test_a_staggered_effect_grows_from_nothing_until_it_is_fully_at_work():
    hazard, _, _ = worlds.ratios(worlds.KINDS["staggered, growing"], np.array([12, worlds.SPAN]))
    assert (hazard[0, :12] == 1).all()
    assert (np.diff(hazard[0, 11:18]) < 0).all()
    assert hazard[0, 17:] == pytest.approx(0.55)
    assert (hazard[1] == 1).all()
    gain = worlds.truth("staggered, growing", 40_000).gain
    assert (np.diff(gain) > 0).all()
    assert gain[5] > 5 * gain[0] > 0


def test_before_and_after_calls_a_programme_without_effect_a_success():
    claims = pd.DataFrame([worlds.make("low scorers, all, no effect", seed)[1] for seed in range(8)])
    assert claims["naive score"].all()
    assert claims["naive contacts"].mean() > 0.5


def test_money_is_discounted_from_the_end_of_each_month():
    true = worlds.Truth(np.array([1.0, 2.0]), np.zeros(2), np.zeros(2), np.array([10.0, 20.0, 30.0]))
    assert true.effect(2) == 3
    month = 1.1 ** (1 / 12)  # the settings' tenth a year, compounding
    assert true.present_value(3) == pytest.approx(10 / month + 20 / month**2 + 30 / month**3)


def test_low_scorers_recover_and_others_do_not():
    """What before and after shows comes from who was chosen: randomised customers keep their score."""
    rises = {}
    for kind in ("low scorers, all, no effect", "randomised, no effect"):
        frames, _ = worlds.make(kind, 7, EACH)
        start = _reached(frames, staggered=False)
        answers = frames["responses"].dropna(subset=["score"]).sort_values("asked_at")
        answers = answers[answers["customer_id"].isin(start.index)]
        after = answers["asked_at"] >= start.iloc[0]
        last = answers[~after].groupby("customer_id")["score"].last()
        rises[kind] = (answers[after].groupby("customer_id")["score"].first() - last).mean()
    low, drawn = rises.values()
    assert low > 1
    assert abs(drawn) < 0.1


def test_who_is_reached_among_low_scorers():
    """Unreached ones exist at every score and plan; given score, plan and tenure the chance is the same for all."""
    rng = np.random.default_rng(3)
    lives = worlds.live(rng, EACH)
    start, open_to = worlds.starts(worlds.KINDS["low scorers, some, no effect"], lives, rng)
    score = worlds.last_score(lives)
    assert (score[open_to] <= worlds.LOW).all()
    assert not (start[~open_to] < worlds.SPAN).any()
    rows = pd.DataFrame({"score": score, "plan": lives.plan, "reached": start < worlds.SPAN})[open_to]
    share = rows.groupby(["score", "plan"])["reached"].agg(["mean", "size"]).query("size > 30")["mean"]
    assert share.between(0.1, 0.95).all()
    by_score = rows.groupby("score")["reached"].mean()
    assert by_score.loc[0] > by_score.loc[6] + 0.2
    everyone, _ = worlds.starts(worlds.KINDS["low scorers, all, no effect"], lives, rng)
    assert (everyone[open_to] == worlds.START).all()


# ---- what the page makes of them -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "design"),
    [
        ("randomised", RANDOMISED),
        ("staggered, growing", STAGGERED),
        ("low scorers, some, with effect", MATCHED),
    ],
)
def test_the_page_finds_an_effect(kind, design):
    """One company each of the hundreds of ``make calibrate``: the truth lies within 3 of its own standard errors."""
    row = programmes.one(1003, kind)
    assert row["design"] == design
    assert row["months"] == worlds.FOLLOWED
    true = worlds.truth(kind, 80_000)
    for name, value in (("effect", true.effect()), ("npv", true.present_value(row["paid"])), ("churn", true.left[-1])):
        error = (row[f"{name} high"] - row[f"{name} low"]) / 2 / 1.96
        assert abs(row[name] - value) < 3 * error
        assert error < 0.35 * abs(value)  # a wide interval would hold anything


@pytest.mark.parametrize("kind", worlds.MADE_TO_FOOL)
def test_the_page_claims_nothing_in_a_world_made_to_fool_it(kind):
    """One company of each; the shares of many are in docs/validity.md."""
    row = programmes.one(5001, kind)
    assert not row["resulted"]
    if not worlds.KINDS[kind].drift:  # a slow drift may leave a comparison in which nothing is clear
        assert row["known"] in ("adjusted", "observed")


def test_a_roll_out_that_drifts_is_seldom_claimed_and_shown_net():
    """Drifts in errors of a month; 150 panels each, so the bounds are two errors wide."""
    for drift in (0.15, 0.3):
        found = programmes.drifting(drift, 150)
        assert found["claimed"] < 0.08
        assert found["net covered"] > 0.90


def test_the_page_claims_nothing_of_low_scorers_who_were_all_reached():
    row = programmes.one(1003, "low scorers, all, no effect")
    assert row["naive score"]
    assert row["design"] == BEFORE_AND_AFTER
    assert row["verdict"] == "cannot tell"
    assert row["known"] == "observed"
    assert "effect" not in row


def test_coverage_counts_what_holds_the_truth(monkeypatch):
    """Four companies by hand: one interval holds the truth of 10, one lies below, one above, one is not measured."""
    true = worlds.Truth(np.array([10.0]), np.array([-0.1]), np.array([0.3]), np.array([10.0]))
    worth = true.present_value(1)
    rows = []
    for shift in (0, -5, 5):
        ends = {f"{n}{end}": v * (1 + shift) + by for n, v in (("effect", 10), ("npv", worth), ("churn", -0.1))
                for end, by in (("", 0), (" low", -0.05), (" high", 0.05))}  # fmt: skip
        rows.append(
            {
                "design": RANDOMISED,
                "verdict": "supported",
                "resulted": True,
                "months": 1,
                "paid": 1,
                "claims churn": shift == 5,
                **ends,
            }
        )
    found = pd.DataFrame(
        [*rows, {"design": NOT_IDENTIFIED, "verdict": "cannot tell", "resulted": False, "naive score": True}]
    )
    row = programmes.coverage(found, true)
    assert (row["companies"], row["measured"]) == (4, 3)
    assert row["effect covered"] == row["npv covered"] == row["churn covered"] == pytest.approx(1 / 3)
    assert (row["supported"], row["claims churn"], row["naive score"]) == (0.75, 0.25, 0.25)
    assert row["mean"] == pytest.approx(10)
    monkeypatch.setattr(worlds, "truth", lambda kind: true)
    text = programmes.report(found={"randomised": found[:3]})
    assert "| randomised | randomised | 3 |" in text
    assert "0.333 | 0.333 | 0.333 | 100.0 % |" in text
