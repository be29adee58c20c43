"""Which comparison is made of what was recorded, what is refused, and in which words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import programme_worlds as worlds
from benchmarks.simulation import refilled
from cxlib import demo
from cxlib.counts import panels
from cxlib.intake.company import Company
from cxlib.roi import returns

CUSTOMERS = 3600
SEED = 8


@pytest.fixture(scope="module")
def kinds():
    return {
        k: worlds.make(k, SEED, CUSTOMERS)[0]
        for k in ("randomised", "in steps, growing", "low scorers, some, with effect")
    }


@pytest.fixture(scope="module")
def opened(kinds):
    frames = {k: v.copy() for k, v in kinds["randomised"].items()}
    frames["initiatives"] = frames["initiatives"].assign(smallest_effect=0.05, effect_is="relative")
    return Company.from_frames(worlds.settings("randomised") | {"draws": 200}, frames)


def judged(opened, frames, months=12, **initiative):
    frames = dict(frames) | {"initiatives": frames["initiatives"].assign(**initiative)}
    return returns.results(refilled(opened, frames), months)[0]


def checks(result):
    return {c.name: c for c in result.evidence.checks}


def test_a_lot_of_whole_branches_is_known_less_well_than_one_of_customers(kinds, opened):
    frames = dict(kinds["randomised"])
    branch = frames["customers"].set_index("customer_id")["branch"]
    arm = frames["exposures"]["customer_id"].map(branch).str[1:].astype(int) % 2
    frames["exposures"] = frames["exposures"].assign(arm=np.where(arm == 0, "treated", "control"))
    by_branch, by_customer = judged(opened, frames, assigned_by="branch"), judged(opened, frames)
    assert by_branch.grade == by_customer.grade == "A"
    assert "drawn by branch (48 of them)" in by_branch.why
    assert by_branch.effect.value == pytest.approx(by_customer.effect.value, abs=2)  # only what is taken off differs
    assert by_branch.evidence.paths.groups == 48
    assert by_branch.effect.se > by_customer.effect.se


def test_arms_that_no_lot_can_have_made_lose_their_grade(kinds, opened):
    frames = dict(kinds["randomised"])
    basic = frames["customers"].set_index("customer_id")["plan"].eq("Basic")
    moved = frames["exposures"]["customer_id"].map(basic) & (np.arange(len(frames["exposures"])) % 3 == 0)
    frames["exposures"] = frames["exposures"].assign(arm=frames["exposures"]["arm"].mask(moved, "treated"))
    found = judged(opened, frames)
    assert checks(found)["drawn by lot"].passed is False
    assert found.grade == "D"
    assert "resulted in" not in found.statement.sentence
    assert found.statement.verdict == "cannot tell"


def test_held_back_by_nobody_knows_what_rule_is_a_comparison_and_no_lot(kinds, opened):
    found = judged(opened, kinds["randomised"], assignment=None)
    assert (found.evidence.design, found.grade) == ("held back", "B")
    lot = judged(opened, kinds["randomised"])
    assert abs(found.effect.value - lot.effect.value) < 2 * lot.effect.se
    assert {"overlap", "months before the start"} <= set(checks(found))


def test_without_a_rule_of_choice_a_matched_comparison_is_an_association(kinds, opened):
    frames = kinds["low scorers, some, with effect"]
    chosen, nobody_knows = judged(opened, frames), judged(opened, frames, assignment=None, assigned_by=None)
    assert (chosen.evidence.design, chosen.grade) == ("matched", "B")
    assert nobody_knows.grade == "C"
    assert nobody_knows.effect.value == chosen.effect.value
    assert "resulted in" in chosen.statement.sentence
    assert "went with" in nobody_knows.statement.sentence
    assert "assigned_by" in nobody_knows.evidence.remedy
    assert checks(chosen)["overlap"].passed


def test_others_reached_soon_after_are_no_comparison(kinds, opened):
    frames = dict(kinds["low scorers, some, with effect"])
    mine = frames["exposures"]
    here = frames["customers"].query("left_on.isna()")["customer_id"]
    rest = here[~here.isin(mine["customer_id"])].iloc[::2]
    later = pd.DataFrame(
        {"initiative_id": "I1", "customer_id": rest, "exposed_on": np.datetime64("2025-11-05"), "arm": "treated"}
    )
    frames["exposures"] = pd.concat([mine, later], ignore_index=True)
    found = judged(opened, frames)
    assert checks(found)["reached later"].passed is False
    assert found.grade == "D"


def test_where_every_low_scorer_was_reached_only_before_and_after_is_left(opened):
    frames, naive = worlds.make("low scorers, all, no effect", SEED, CUSTOMERS)
    found = judged(opened, frames)
    assert naive["naive score"]  # what a comparison of before and after claims
    assert (found.evidence.design, found.grade, found.known) == ("before and after", "D", False)
    score = found.evidence.before.iloc[0]
    assert score["low"] > 0.5  # up by more than chance
    assert score["anyway"] == pytest.approx(score["value"], abs=0.2)  # as such scores do by themselves
    assert score["beyond_low"] < 0 < score["beyond_high"]
    text = returns.statement(opened, found).sentence
    assert "regression to the mean" in text
    assert "resulted in" not in text


def test_a_rule_of_tenure_is_not_identified(kinds, opened):
    frames = dict(kinds["randomised"])
    who = frames["customers"]
    on = pd.to_datetime(who["joined_on"]) + pd.Timedelta(days=90)
    reached = (on > "2024-01-01") & (on < "2025-06-01") & ~(pd.to_datetime(who["left_on"]) < on)
    frames["exposures"] = pd.DataFrame(
        {"initiative_id": "I1", "customer_id": who["customer_id"][reached], "exposed_on": on[reached], "arm": "treated"}
    )
    found = judged(opened, frames, assignment=None, assigned_by=None, started_on=np.datetime64("2024-01-01"))
    assert not found.known
    assert "not identified: customers were reached by a rule of tenure, 90 to 90 days after they came" in found.why
    assert "drawn by lot" in found.evidence.remedy


def test_a_programme_of_last_week_is_not_known_yet(kinds, opened):
    frames = dict(kinds["randomised"])
    frames["exposures"] = frames["exposures"].assign(exposed_on=np.datetime64("2025-12-20"))
    found = judged(opened, frames)
    assert not found.known
    assert "not identified yet" in found.why


def test_months_declared_beforehand_count_and_unfinished_ones_are_said(kinds, opened):
    short, long = (judged(opened, kinds["randomised"], effect_months=m) for m in (3, 24))
    assert (short.evidence.months, long.evidence.months) == (3, 12)
    assert "over the first 12 months" in long.statement.sentence
    assert returns.unfinished([short, long]) == [long]


def test_few_branches_are_judged_by_handing_the_starts_out_again(kinds, opened):
    frames = dict(kinds["in steps, growing"])
    pooled = frames["customers"]["branch"].str[1:].astype(int) % 8
    frames["customers"] = frames["customers"].assign(branch="B" + pooled.astype(str))
    found = judged(opened, frames)
    assert "8 units are few" in checks(found)["few units"].said


def test_customers_stay_in_the_panel_after_they_have_left(kinds, opened):
    company = refilled(opened, kinds["randomised"])
    members = panels.assigned(company, "I1")
    grid = panels.by_month(company, members, 3, 12, ["arm"])
    frames = kinds["randomised"]
    who = frames["exposures"].merge(frames["customers"], on="customer_id")
    month = (pd.to_datetime(who["left_on"]).dt.to_period("M") - pd.Period("2025-01")).map(
        lambda m: m.n if pd.notna(m) else 99
    )
    for arm, rows in grid.groupby("arm"):
        mine = who["arm"] == arm
        assert set(rows["customers"]) == {mine.sum()}
        assert rows.set_index("month")["here"].loc[4] == (month[mine] > 4).sum()
        bills = frames["orders"][frames["orders"]["customer_id"].isin(who.loc[mine, "customer_id"])]
        bills = bills[pd.to_datetime(bills["ordered_at"]).dt.to_period("M") == "2025-05"]
        assert rows.set_index("month")["revenue"].loc[4] == pytest.approx(bills["revenue"].sum())


def test_a_shop_is_judged_by_what_is_bought_as_nobody_is_seen_to_leave():
    frames, settings = demo.shop(3, 1500), demo.settings("demo-shop", draws=200)
    first = frames["orders"].groupby("customer_id")["ordered_at"].min()
    known = first.index[first < "2025-06-01"]
    arm = np.where(np.arange(len(known)) % 2 == 0, "treated", "control")
    frames["initiatives"] = pd.DataFrame(
        {"initiative_id": ["V"], "name": ["Vouchers"], "changed": ["what we send"], "started_on": [pd.Timestamp("2025-07-01")],
         "cost_upfront": [500.0], "assignment": ["randomised"], "outcome": ["order_value"]}
    )  # fmt: skip
    frames["exposures"] = pd.DataFrame(
        {"initiative_id": "V", "customer_id": known, "exposed_on": pd.Timestamp("2025-07-01"), "arm": arm}
    )
    (found,) = returns.results(Company.from_frames(settings, frames))
    assert found.grade == "A"
    assert "churn" not in found.evidence.outcomes
    assert found.statement.outcome == "order_value"
    assert found.effect.low < 0 < found.effect.high
    company = Company.from_frames(settings, frames)
    parts = returns.adding_up(company, found).table.set_index("channel")["value"]
    assert parts["stayed longer"] == 0
    assert parts.drop("in all").sum() == pytest.approx(parts["in all"])
    assert "even if nobody left" in returns.needed(company, found).sentence
