"""Value by score on companies whose link between score and value is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from net import opened
from simulated import in_turn

from cxlib import demo
from cxlib.counts import follow_up, planned_reach, purchases
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.intake.company import Company
from cxlib.page import valuation
from cxlib.value import by_score

MONEY = {
    "value_is": "revenue",
    "gross_margin": 0.5,
    "discount_rate": 0.0,
    "discount_convention": "effective",
    "horizon_months": 12,
    "first_flow": "now",
}
SETTINGS = {
    "as_of": "2025-12-31",
    "relationship": "contractual",
    "currency": "EUR",
    "money": MONEY,
    "metrics": {"nps": {"scale": [0, 10]}},
    "draws": 300,
}
AS_OF = np.datetime64("2025-12-31")


def figures(finding):
    return {f.name: f.estimate for f in finding.figures}


def contracts(seed: int, customers: int, rates: tuple, score: tuple, fee: float = 10.0, **settings: object) -> Company:
    """A company that asks everybody once, on 2024-12-31, and is followed for a year.

    Half of the customers are new then (seven months), half old (three years). ``rates`` of leaving a month and mean
    ``score`` of the new and of the old.
    """
    luck = np.random.default_rng(seed)
    old = np.arange(customers) % 2
    ids = np.array([f"C{i:06d}" for i in range(customers)])
    asked = np.datetime64("2024-12-31")
    joined = asked - np.where(old == 1, 1100, 200)
    stay = luck.exponential(DAYS_A_MONTH / np.array(rates)[old])
    left = asked + 1 + np.floor(np.minimum(stay, 9999)).astype(int)
    frames = {
        "customers": pd.DataFrame(
            {
                "customer_id": ids,
                "joined_on": joined,
                "left_on": np.where(left <= AS_OF, left, np.datetime64("NaT")),
                "monthly_revenue": fee,
            }
        ),
        "responses": pd.DataFrame(
            {
                "response_id": [f"R{i}" for i in ids],
                "customer_id": ids,
                "metric": "nps",
                "asked_at": asked,
                "answered_at": asked,
                "score": np.clip(np.rint(np.array(score)[old] + 2 * luck.standard_normal(customers)), 0, 10),
            }
        ),
    }
    return Company.from_frames(SETTINGS | settings, frames)


def test_two_segments_of_equal_value_that_differ_only_in_tenure_show_no_gap_at_equal_tenure():
    company = contracts(1, 8000, rates=(0.06, 0.01), score=(6.5, 9.0))
    found = by_score.by_score(company)
    gap = figures(found)["value-gap"]
    assert not gap.excludes(0)
    assert gap.high - gap.low < 6  # of a value of up to 120: narrow enough to find a gap
    # ... and would, had tenure been left out.
    counted = follow_up.follow_up(company, "nps", 366)
    names = ["detractor", "passive", "promoter"]
    crude = by_score._staying(company, counted, names, 12, 0, follow_up.paying(company))
    assert crude.drawn.gap("promoter", "detractor").low > 5
    assert (crude.levels, crude.known) == (1, "observed")
    assert found.known == "adjusted"
    assert found.facts["gap"] == gap
    shown = found.table.set_index("band")["value"]
    assert [found.facts[k] for k in ("best_value", "worst_value")] == [shown["promoter"], shown["detractor"]]


def test_with_nobody_leaving_and_no_discount_value_is_what_customers_pay():
    company = contracts(2, 400, rates=(1e-9, 1e-9), score=(7.5, 7.5), fee=12.5)
    table = by_score.by_score(company).table
    assert table["value"].to_numpy() == pytest.approx(12 * 12.5)


@pytest.mark.parametrize(("first", "payments"), [("now", 0), ("end", 1)])
def test_payments_fall_due_now_or_after_a_month(first, payments):
    money = MONEY | {"discount_rate": 0.12, "discount_convention": "nominal", "first_flow": first, "value_is": "margin"}
    company = contracts(2, 40, rates=(1e-9, 1e-9), score=(7.5, 7.5), money=money)
    days, factors = valuation.horizon_of(company, 3)
    assert list(days) == [round((k + payments) * DAYS_A_MONTH) for k in range(3)]
    assert factors == pytest.approx(1.01 ** -(np.arange(3.0) + payments))
    assert valuation.share_kept(company) == 0.5
    assert "gross margin of 50" in valuation.meaning(company)


def test_no_money_block_no_value():
    company = contracts(2, 40, rates=(1e-9, 1e-9), score=(7.5, 7.5), money=None)
    for found in (by_score.by_score(company), by_score.changes(company), by_score.beyond(company)):
        assert not found.answered
        assert "no money block" in found.headline
    assert valuation.meaning(company) == ""


# ---- changes ---------------------------------------------------------------------------------------------------------


def twice(seed: int, customers: int, ratio: float) -> Company:
    """A company that asks twice, a year apart; who is a detractor the second time leaves ``ratio`` times as fast."""
    luck = np.random.default_rng(seed)
    ids = np.array([f"C{i:06d}" for i in range(customers)])
    feeling = luck.normal(7.3, 1.5, customers)
    scores = [np.clip(np.rint(feeling + 1.5 * luck.standard_normal(customers)), 0, 10) for _ in range(2)]
    asked = [np.datetime64("2023-12-30"), np.datetime64("2024-12-30")]
    stay = luck.exponential(DAYS_A_MONTH / (0.02 * np.where(scores[1] <= 6, ratio, 1.0)))
    left = asked[1] + 1 + np.floor(np.minimum(stay, 9999)).astype(int)
    frames = {
        "customers": pd.DataFrame(
            {
                "customer_id": ids,
                "joined_on": np.datetime64("2023-06-30"),
                "left_on": np.where(left <= AS_OF, left, np.datetime64("NaT")),
                "monthly_revenue": 10.0,
            }
        ),
        "responses": pd.concat(
            pd.DataFrame(
                {
                    "response_id": [f"R{wave}{i}" for i in ids],
                    "customer_id": ids,
                    "metric": "nps",
                    "asked_at": asked[wave],
                    "answered_at": asked[wave],
                    "score": scores[wave],
                }
            )
            for wave in range(2)
        ),
    }
    return Company.from_frames(SETTINGS, frames)


def test_a_worse_answer_is_linked_to_less_only_where_detractors_leave_faster():
    found = [by_score.changes(twice(3, 6000, ratio)) for ratio in (3.0, 1.0)]
    linked, null = map(figures, found)
    assert [[c["change"] for c in f.facts["unclear"]] for f in found][1] == ["better", "worse"]
    worse = found[0].facts["detected"][-1]
    assert (worse["change"], worse["gap"]) == ("worse", linked["value-worse"])
    assert worse["size"].value == -linked["value-worse"].value
    assert linked["value-worse"].high < 0
    assert not null["value-worse"].excludes(0)
    assert not null["value-better"].excludes(0)


def test_a_change_counts_second_answers_against_the_one_before():
    frames = {
        "customers": pd.DataFrame(
            {
                "customer_id": ["A", "B"],
                "joined_on": "2024-01-01",
                "left_on": [None, "2025-06-30"],
                "monthly_revenue": 1.0,
            }
        ),
        "responses": pd.DataFrame(
            [
                ("1", "A", "2024-03-01", "2024-03-01", 6),
                ("2", "A", "2024-06-01", None, None),  # no answer is no change
                ("3", "A", "2024-09-01", "2024-09-01", 9),
                ("4", "A", "2025-01-01", "2025-01-01", 10),
                ("5", "B", "2024-03-01", "2024-03-01", 8),
                ("6", "B", "2025-05-31", "2025-06-01", 2),
            ],
            columns=["response_id", "customer_id", "asked_at", "answered_at", "score"],
        ).assign(metric="nps"),
    }
    counted = follow_up.follow_changes(Company.from_frames(SETTINGS, frames), "nps", 1000)
    found = counted[["stratum", "band", "duration", "n", "events"]].astype(str).to_numpy().tolist()
    assert sorted(found) == [
        ["detractor", "better", "487", "1", "0"],
        ["passive", "worse", "30", "1", "1"],
        ["promoter", "the same", "365", "1", "0"],
    ]


# ---- shops -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop():
    return opened("demo-shop")


def test_the_shops_gap_is_at_equal_purchases_and_is_none_without_a_link(shop):
    found = by_score.by_score(shop)
    assert figures(found)["value-gap"].value > 0
    assert found.known == "adjusted"
    null = Company.from_frames(demo.settings("demo-shop", draws=300), demo.shop(5, 4000, link=False))
    assert not figures(by_score.by_score(null))["value-gap"].excludes(0)


def test_the_score_adds_to_a_model_of_buying_only_where_it_is_linked():
    worlds = (demo.shop(6, 12000, link=link) for link in (True, False))
    linked, null = map(by_score.beyond, in_turn(demo.settings("demo-shop", draws=300), worlds))
    assert figures(linked)["nps-value-spread"].low > 0
    facts = linked.facts
    assert facts["linked"]
    assert facts["best_times"] - facts["worst_times"] == pytest.approx(facts["spread"].value)
    assert not figures(null)["nps-value-spread"].excludes(0)
    assert not null.facts["linked"]
    assert not null.facts["found"]


def test_which_money_leaves_is_forecast_with_customers_weighted_by_what_they_pay():
    found = by_score.beyond(opened("demo"))
    assert found.answered
    gain = found.table[found.table["model"] == "gain"].set_index("measure")["value"]
    parts = found.table.pivot(index="measure", columns="model", values="value")
    assert gain["concordance"] == pytest.approx(
        parts.loc["concordance", "with the score"] - parts.loc["concordance", "without the score"]
    )
    assert parts.loc["concordance", "without the score"] > 0.5
    company, day = opened("demo"), pd.Timestamp(found.facts["tested"])
    people = company.frame("customers")
    here = people[(people["joined_on"] <= day) & ~(people["left_on"] <= day)]
    soon = (here["left_on"] <= day + pd.Timedelta(days=182)) & (here["left_reason"] != "payment failed")
    assert found.facts["paid"] == pytest.approx(here["monthly_revenue"].sum())
    assert found.facts["lost"] == pytest.approx(here.loc[soon, "monthly_revenue"].sum())


def test_what_todays_customers_pay_is_that_of_the_export():
    found = by_score.paid_today(opened("demo"))
    people = opened("demo").frame("customers")
    fees = people.loc[people["left_on"].isna(), "monthly_revenue"]
    assert found.facts["total"] == pytest.approx(fees.sum())
    assert found.facts["year"] == pytest.approx(12 * fees.sum())
    assert found.facts["each"].value == pytest.approx(fees.mean())
    assert found.facts["each_year"] == pytest.approx(12 * fees.mean())
    assert found.table["in_all"].sum() == pytest.approx(fees.sum())


def test_each_world_is_named_with_the_models_that_do_not_apply(shop):
    assert "repeat-purchase models do not apply" in by_score.world(opened("demo"))
    assert "renewal models do not apply" in by_score.world(shop)
    assert f"{shop.settings.inactive_after_days} days" in by_score.world(shop)


# ---- who pays today --------------------------------------------------------------------------------------------------


def test_without_dates_of_leaving_those_marked_as_left_pay_nothing_today():
    n = 120
    frames = {
        "customers": pd.DataFrame(
            {"customer_id": [f"C{i}" for i in range(n)], "plan": ["x", "y"] * (n // 2),
             "left": [i % 3 == 0 for i in range(n)], "monthly_revenue": [10.0 + i % 3 for i in range(n)]}
        )
    }  # fmt: skip
    company = Company.from_frames(SETTINGS | {"segments": ["plan"]}, frames)
    found = by_score.paid_today(company)
    assert (found.facts["customers"], found.facts["total"], found.facts["gone"]) == (80, 40 * 11 + 40 * 12, 40)
    assert any("Not counted: 40 customers who have left" in c for c in found.caveats)
    assert purchases.paying_base(company)[["n", "revenue"]].sum().tolist() == [80, 920]
    assert planned_reach.here_today(company, {"plan": "x"}) == 40
    frames["customers"]["left_on"] = [AS_OF if i % 4 == 0 else np.datetime64("NaT") for i in range(n)]
    dated = Company.from_frames(SETTINGS | {"segments": ["plan"]}, frames)
    assert by_score.paid_today(dated).facts["customers"] == 90  # of two definitions, that with dates counts
