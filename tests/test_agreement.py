"""Do the scores agree: correlations, composites and satisfied leavers, by hand or on companies made for it."""

from __future__ import annotations

import net
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from surveys import figures, survey

from cxlib.intake.company import Company
from cxlib.scores import agreement

BOTH = {"nps": {"scale": [0, 10]}, "ces": {"scale": [1, 5], "version": "1.0"}}


@pytest.fixture(scope="module")
def company():
    return net.opened("demo")


def two_scores(link, n=400, seed=1, apart=10):
    """NPS and effort of the same customers; ``link`` is the share of the feeling that both share."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(n)
    feel = [np.sqrt(link) * shared + np.sqrt(1 - link) * rng.standard_normal(n) for _ in range(2)]
    nps = np.clip(np.rint(7 + 2 * feel[0]), 0, 10)
    effort = np.clip(np.rint(3 - feel[1]), 1, 5)  # content customers report little effort
    ids = [f"c{i:04d}" for i in range(n)]
    asked = np.r_[
        np.repeat(np.datetime64("2024-03-01"), n), np.repeat(np.datetime64("2024-03-01") + np.timedelta64(apart), n)
    ]
    plan = np.resize(np.array(["a", "b", "c"], dtype=object), n)
    made = survey(np.r_[nps, effort], ids * 2, BOTH, {"plan": plan}, asked_at=asked, metric=["nps"] * n + ["ces"] * n)
    return made, nps, effort


def test_scores_are_turned_so_that_high_is_good_before_they_are_correlated():
    made, nps, effort = two_scores(0.6)
    e = figures(agreement.together(made))["together-nps-ces"]
    assert e.value == pytest.approx(stats.spearmanr(nps, -effort).statistic)
    assert 0 < e.low < e.value < e.high < 1


def test_answers_too_far_apart_are_not_paired():
    assert "no two scores" in agreement.together(two_scores(0.6, apart=200)[0]).headline
    assert agreement.together(two_scores(0.6, apart=179)[0]).answered


def test_unlinked_scores_are_not_said_to_agree():
    found = agreement.together(two_scores(0.0)[0])
    assert figures(found)["together-nps-ces"].low < 0 < figures(found)["together-nps-ces"].high
    assert found.facts["weak"]
    strong = agreement.together(two_scores(0.9)[0])
    assert not strong.facts["weak"]
    assert strong.facts["lowest"] == strong.facts["highest"] == figures(strong)["together-nps-ces"].value
    assert strong.known == "observed"


def test_good_here_and_bad_there_is_counted():
    made, nps, effort = two_scores(0.2)
    row = agreement.together(made).table.iloc[0]
    assert row["first_good_second_bad"] == pytest.approx(((nps >= 9) & (effort >= 4)).mean())
    assert row["second_good_first_bad"] == pytest.approx(((nps <= 6) & (effort <= 2)).mean())


def test_weights_given_count_in_a_correlation():
    rng = np.random.default_rng(8)
    nps, effort, weight = rng.integers(0, 11, 300), rng.integers(1, 6, 300), rng.choice([1.0, 3.0], 300)
    ids = [f"c{i:04d}" for i in range(300)]
    made = survey(np.r_[nps, effort], ids * 2, BOTH, metric=["nps"] * 300 + ["ces"] * 300, weight=np.r_[weight, weight])
    repeated = weight.astype(int)
    e = figures(agreement.together(made))["together-nps-ces"]
    assert e.value == pytest.approx(stats.spearmanr(np.repeat(nps, repeated), -np.repeat(effort, repeated)).statistic)


def test_the_composite_is_the_mean_of_the_stretched_scores():
    made, nps, effort = two_scores(0.4)
    found = agreement.composite(made)
    shown = found.table.set_index("level")
    plan = np.resize(np.array(["a", "b", "c"]), len(nps))
    for level, row in shown.iterrows():
        mine = plan == level
        parts = nps[mine].mean() * 10, 100 - (effort[mine].mean() - 1) / 4 * 100
        assert (row["NPS"], row["CES"]) == pytest.approx(parts)
        assert row["value"] == pytest.approx(np.mean(parts))
        assert row["weights_from"] <= row["rank"] <= row["weights_to"]
        assert row["by_weights"] == f"{row['weights_from']}–{row['weights_to']}"
        assert row["by_chance"] == f"{row['chance_from']}–{row['chance_to']}"
        assert row["scores"] == f"NPS {parts[0]:.0f}, CES {parts[1]:.0f}"
    assert sorted(shown["rank"]) == [1, 2, 3]
    assert shown.loc[found.facts["top"], "rank"] == 1
    assert found.facts["score"].value == shown["value"].max()
    assert [w["share"] for w in found.facts["weights"]] == [0.5, 0.5]


def test_the_composite_names_what_other_weights_would_change():
    n = 90
    plan = np.repeat(np.array(["a", "b", "c"], dtype=object), n)
    nps, effort = np.repeat([10, 8, 1], n), np.repeat([3, 1, 5], n)  # a leads in NPS, b in ease, c in nothing
    ids = [f"c{i:04d}" for i in range(3 * n)]
    made = survey(np.r_[nps, effort], ids * 2, BOTH, {"plan": plan}, metric=["nps"] * 3 * n + ["ces"] * 3 * n)
    found = agreement.composite(made)
    shown = found.table.set_index("level")
    assert (shown.loc["a", "rank without CES"], shown.loc["a", "rank without NPS"]) == (1, 2)
    assert (shown.loc["c", "weights_from"], shown.loc["c", "weights_to"]) == (3, 3)
    assert shown.loc["a", "left_out"] == "without NPS: 2, without CES: 1"
    assert sorted(found.facts["moving"]) == ["a", "b"]


def test_weights_of_the_composite_come_from_company_yaml():
    heavy = {"nps": {"scale": [0, 10], "composite_weight": 3}, "ces": BOTH["ces"]}
    ids = [f"c{i}" for i in range(60)]
    plan = np.resize(np.array(["a", "b"], dtype=object), 60)
    made = survey([10] * 60 + [3] * 60, ids * 2, heavy, {"plan": plan}, metric=["nps"] * 60 + ["ces"] * 60)
    assert agreement.composite(made).table["value"].to_numpy() == pytest.approx(0.75 * 100 + 0.25 * 50)


def test_what_leavers_said_before_is_counted_and_exits_not_chosen_are_left_out(company):
    found = agreement.satisfied_leavers(company, 180)
    shown = found.table.set_index(["metric", "band"])
    people = company.frame("customers")
    left = people[people["left_on"].notna() & (people["left_reason"] != "payment failed")]
    said = company.frame("responses").query("metric == 'csat' and score == score").merge(left, on="customer_id")
    before = (said["left_on"] - said["answered_at"].dt.normalize()).dt.days
    last = (
        said[(before > 0) & (before <= 180)].sort_values(["answered_at", "response_id"]).groupby("customer_id").tail(1)
    )
    assert shown.loc[("CSAT", "satisfied"), "n"] == len(last)
    assert shown.loc[("CSAT", "satisfied"), "value"] == pytest.approx((last["score"] >= 4).mean())
    nps, csat, _ = found.facts["scores"]
    assert (csat["band"], csat["answered"]) == ("satisfied", len(last))
    assert csat["share"].value == shown.loc[("CSAT", "satisfied"), "value"]
    assert (nps["answered"], nps["silent"]) == (405, 710)


def test_without_dates_or_contracts_no_satisfied_leaver_is_seen():
    assert "without contracts" in agreement.satisfied_leavers(survey([5] * 60)).headline
    frames = {
        "customers": pd.DataFrame({"customer_id": ["a"], "left_on": [pd.Timestamp("2024-05-01")]}),
        "responses": pd.DataFrame({"response_id": ["r"], "customer_id": ["a"], "metric": ["csat"], "score": [5.0]}),
    }
    settings = {"name": "T", "as_of": "2024-12-31", "relationship": "contractual", "currency": "EUR"}
    settings["metrics"] = {"csat": {"scale": [1, 5], "good": "high"}}
    assert "no dates" in agreement.satisfied_leavers(Company.from_frames(settings, frames)).headline
