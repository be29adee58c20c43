"""The page on returns of the demo: every amount once, every number traceable, wording by evidence."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from net import opened

from cxlib import demo
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.overview import board
from cxlib.page import words
from cxlib.page.findings import Figure, Finding
from cxlib.roi import one_screen, returns
from cxlib.stats.estimate import Estimate

TRUTH = json.loads((Path(__file__).parent / "truth" / "demo.json").read_text())


@pytest.fixture(scope="module")
def company():
    return opened("demo")


@pytest.fixture(scope="module")
def found(company):
    return returns.results(company)


@pytest.fixture(scope="module")
def by_name(found):
    return {r.initiative: r for r in found}


def test_the_parts_add_up_to_the_benefit_of_the_page(company, found):
    for r in (r for r in found if r.identified):
        shown = returns.adding_up(company, r)
        rows = shown.table.set_index("channel")["value"]
        assert rows.drop("in all").sum() == pytest.approx(rows["in all"], rel=1e-12)
        assert rows["in all"] == pytest.approx(r.money.benefit.value, rel=1e-12)
        assert shown.facts["total"] == rows["in all"]
        assert shown.facts["top_value"] == rows.drop("in all").abs().max()
        assert rows[shown.facts["top"]] == shown.facts["top_value"]


def test_an_effect_of_a_roll_out_counts_as_long_as_it_is_paid(by_name):
    """Three steps a quarter apart, six months each: half a year of effect a customer, a year of money and of cost."""
    r = by_name["Local account managers"]
    assert (r.evidence.months, r.evidence.paths.months) == (6, 12)
    assert r.money.cost == 6000 + 12 * 1400
    truth, sizes = TRUTH["account_managers"], r.evidence.paths.customers
    assert r.evidence.effect.low <= truth["value"] <= r.evidence.effect.high
    assert r.money.benefit.value > sizes * r.evidence.effect.value  # the first step had them for all of the year


def test_the_money_of_the_trial_holds_the_truth(company, by_name):
    r, truth = by_name["Welcome calls"], TRUTH["welcome_calls"]
    n = r.evidence.paths.customers
    assert r.money.benefit.low <= n * truth["net_margin"]["value"] <= r.money.benefit.high
    change = r.evidence.outcomes["churn"].change
    assert change.low <= truth["left"]["value"] <= change.high
    assert r.statement.verdict == "supported"
    shown = returns.statement(company, r)
    assert shown.known == r.known == "randomised"
    assert "resulted in" in shown.headline
    facts = shown.facts
    assert facts["with_it"] - facts["level"] == pytest.approx(change.value)
    assert facts["worth"].value == pytest.approx(r.money.net_present_value.value + 2000 + 250 * annuity(0.1))


def annuity(rate):
    """Twelve payments of 1 at the end of each month, in today's money."""
    return sum((1 + rate) ** (-m / 12) for m in range(1, 13))


def test_one_screen_says_nothing_that_is_not_in_its_table(company, found):
    shown = one_screen.one_screen(company, found)
    assert list(shown.table["initiative"]) == [r.initiative for r in found]
    assert shown.table.loc[2, ["value", "low", "high", "loss", "npv"]].isna().all()
    assert shown.table["known"].tolist() == ["randomised", "comparison", ""]
    assert shown.table["target"].tolist() == ["met", "met", "cannot say"]
    loss = shown.table.set_index("initiative")["loss"]
    chances = re.findall(r"(\d+)% chance", shown.headline)
    assert chances == [f"{100 * (1 - loss['Welcome calls']):.0f}"]
    assert "Local account managers lost money" in shown.headline  # at the 80 % declared
    assert shown.table["cost"].tolist()[2] == pytest.approx(25000 + 1000 * 9, rel=0.01)  # spent, whatever it brought
    assert not re.search(r"\d", re.sub(r"\(\d+% chance\)", "", shown.headline))
    for r, row in zip(found[:2], shown.table.to_dict("records"), strict=False):
        value = r.money.net_present_value
        assert (row["npv"], row["npv_low"], row["npv_high"]) == (value.value, value.low, value.high)
        assert (row["value"], row["cost"], row["loss"]) == (r.money.roi.value, r.money.cost, r.money.loss_probability)


def test_what_cannot_be_measured_says_why_and_what_to_do_next_time(company, found):
    shown = one_screen.one_screen(company, found)
    assert "New app cannot be measured" in shown.headline
    app = found[2]
    assert "1 October 2025" in app.evidence.why
    assert shown.caveats[0] == f"New app: {app.evidence.why}. {app.evidence.remedy}"
    for ask in (returns.statement, returns.payback, returns.needed, returns.horizons):
        assert ask(company, app).headline == f"Not answered: {app.evidence.why}."
        assert "hold out a random group" in ask(company, app).detail


def judged(r, known, value, loss):
    """A result with other money: the interval of its net present value and the chance of a loss."""
    changed = returns.Result(replace(r.evidence, known=known), r.statements, r.terms)
    changed.__dict__["money"] = replace(r.money, net_present_value=Estimate(*value), loss_probability=loss)
    return changed


@pytest.mark.parametrize(
    ("known", "value", "loss", "expected", "text"),
    [
        ("randomised", (5, 1, 9), 0.01, "gain", "paid off"),
        ("comparison", (-5, -9, -1), 0.99, "loss", "lost money"),
        ("comparison", (-5, -12, 2), 0.92, "likely-loss", "probably lost money (92% chance)"),
        ("randomised", (5, -2, 12), 0.09, "likely-gain", "probably paid off (91% chance)"),
        ("randomised", (1, -9, 11), 0.45, "open", "may or may not have paid off (45% chance of a loss)"),
        ("randomised", (1, -9, 11), 2 / 3, "likely-loss", "probably lost money (67% chance)"),
        ("randomised", (1, -9, 11), 0.66, "open", "may or may not have paid off (66% chance of a loss)"),
        ("randomised", (1, -9, 11), 0.34, "open", "may or may not have paid off (34% chance of a loss)"),
        ("adjusted", (5, 1, 9), 0.01, "link", "cannot be judged: only a link is known"),
        ("observed", (-5, -9, -1), 0.99, "link", "cannot be judged: only a link is known"),
    ],
)
def test_whether_it_paid_is_said_by_chance_and_only_of_an_effect(by_name, known, value, loss, expected, text):
    r = judged(by_name["Welcome calls"], known, value, loss)
    assert returns.outlook(r) == expected
    assert returns.outlook_words(r) == text


def test_many_initiatives_are_counted_in_the_headline_and_named_below(company, by_name):
    r = by_name["Welcome calls"]
    four = [judged(r, *k) for k in [("randomised", (5, 1, 9), 0.01), ("randomised", (5, -2, 12), 0.09)]]
    four += [judged(r, "comparison", (-5, -9, -1), 0.99), by_name["New app"]]
    shown = one_screen.one_screen(company, four)
    assert shown.headline == "2 of 4 initiatives paid off, or probably did."
    assert shown.detail.count("Welcome calls") == 3


def test_attribution_is_shown_at_none_as_stated_and_at_all(company, found):
    shown = returns.summary(company, found)
    rows = shown.table.set_index(["initiative", "credited"])["value"]
    managers = rows["Local account managers"]
    assert list(managers.index) == ["0%", "80% (as stated)", "100%"]
    assert managers.iloc[0] == -1
    assert managers.iloc[1] + 1 == pytest.approx(0.8 * (managers.iloc[2] + 1))
    assert shown.facts["stated"] == [0.8]
    assert [r["initiative"] for r in shown.facts["unknown"]] == ["New app"]
    assert [r["roi"].value for r in shown.facts["shown"]] == [r.money.roi.value for r in found if r.identified]
    first = shown.table.iloc[0]
    assert (first["known"], first["loss"], first["benefit"]) == ("randomised", 1.0, 0.0)  # none of it: the cost is lost


def test_of_many_returns_the_best_and_the_worst_are_named(company, by_name):
    r = by_name["Welcome calls"]
    middle = replace(r.programme, name="Middle")
    three = [r, by_name["Local account managers"], returns.Result(replace(r.evidence, programme=middle), r.statements,
             replace(r.terms, cost_upfront=6000))]  # fmt: skip
    shown = returns.summary(company, three)
    assert [s["initiative"] for s in shown.facts["shown"]] == ["Welcome calls", "Local account managers"]
    assert shown.facts["measured"] == 3


def test_what_lies_beyond_the_months_seen_is_called_projected(company, by_name):
    shown = returns.horizons(company, by_name["Welcome calls"])
    assert list(shown.table["is"]) == ["observed", "projected", "projected"]
    assert shown.table["value"].is_monotonic_increasing  # kept customers go on paying, and more so if the effect lasts
    assert "A projection" in shown.caveats[0]
    assert shown.known == "forecast"
    assert [c["npv"].value for c in shown.facts["cases"]] == shown.table["value"].tolist()[1:]
    assert [c["kept"] for c in shown.facts["cases"]] == [0.0, 0.5]


def test_an_initiative_as_large_as_its_break_even_would_have_just_paid(company, by_name):
    r = by_name["Welcome calls"]
    shown = returns.needed(company, r)
    fall = shown.table.set_index(["lever", "unit"]).loc[("leaving falls by", "relative")]
    seen = -r.evidence.outcomes["churn"].relative.value
    assert (seen > fall["value"]) == (r.money.net_present_value.value > 0)
    assert (shown.facts["fall"].value, shown.facts["seen"].value) == (fall["value"], seen)
    assert fall["needed"] == "18.9% (16.5–21.5%)"


def test_the_months_of_the_page_are_those_of_the_evidence(company, by_name):
    r = by_name["Welcome calls"]
    shown, rows = returns.over_time(company, r), r.evidence.events.set_index("event_time")
    assert shown.facts["difference"].value == rows.loc[11, "value"]
    assert (shown.facts["lowest"], shown.facts["highest"]) == (
        rows.loc[:-1, "value"].min(),
        rows.loc[:-1, "value"].max(),
    )


def test_the_payback_says_what_its_money_holds(company, by_name):
    r = by_name["Welcome calls"]
    facts = returns.payback(company, r).facts
    cashed = r.credited(1.0, include_time_only=False).roi
    assert (facts["roi"], facts["benefit"], facts["cost"]) == (r.money.roi, r.money.benefit, r.money.cost)
    assert (facts["payback"], facts["discounted"]) == (r.money.payback, r.money.discounted_payback.value)
    assert facts["cashed"] == cashed
    assert cashed.value < r.money.roi.value
    assert "7.6 months (3.8 to more than 12), 7.8 with discounting" in returns.payback(company, r).detail
    managers = returns.payback(company, by_name["Local account managers"])
    assert "not recovered within 12 months, not even at best" in managers.detail
    assert managers.facts["share"] == 0.8
    assert any("with all of it the net return would be" in c for c in managers.caveats)


def test_a_link_is_worth_something_only_if_it_were_an_effect(company, by_name):
    r = judged(by_name["Welcome calls"], "adjusted", (5, 1, 9), 0.01)
    shown = returns.payback(company, r)
    assert "if the link were an effect" in shown.headline
    assert "paid off" not in " ".join(shown.texts)
    assert "No effect is proven" in shown.caveats[0]
    assert returns.summary(company, [r]).facts["links"] == ["Welcome calls"]


def test_the_input_that_matters_most_comes_first(company, by_name):
    shown = returns.sensitivity(company, by_name["Local account managers"])
    top = shown.table.iloc[0]
    assert {shown.facts["low"], shown.facts["high"]} == {top["low"], top["high"]}
    assert shown.facts["flipped"] == 1
    assert (shown.facts["share"], shown.facts["projected"], shown.known) == (0.8, True, "forecast")


def test_checks_are_counted_and_those_that_failed_are_named(company, by_name):
    r = by_name["Local account managers"]
    shown = returns.checks(company, r)
    assert (shown.facts["passed"], shown.facts["made"]) == (6, 6)
    assert len(shown.facts["not_made"]) + 6 == len(shown.table)
    broken = replace(r.evidence, checks=tuple(replace(c, passed=False) for c in r.evidence.checks[:2]))
    shown = returns.checks(company, returns.Result(broken, r.statements, r.terms))
    assert shown.facts["failed"] == [c.name for c in broken.checks]
    assert all(c.name in shown.headline for c in broken.checks)
    assert not returns.checks(company, by_name["New app"]).answered


def test_machine_readable_statements_hold_what_the_page_says(company, found):
    shown = returns.statements(company, found)
    rows = shown.table
    first = rows.iloc[0]
    assert first["sentence"] == returns.statement(company, found[0]).headline
    assert (first["initiative"], first["outcome"], first["verdict"], first["known"]) == (
        "I1",
        "churn",
        "supported",
        "randomised",
    )
    for column in (
        "change_value",
        "change_low",
        "relative_high",
        "level_value",
        "worth_low",
        "months",
        "customers",
        "currency",
    ):
        assert first[column] == first[column]
    assert first["change_low"] < first["change_value"] < first["change_high"] < 0
    assert rows.loc[rows["initiative"] == "I3", "verdict"].tolist() == ["cannot tell"]
    assert {k: shown.facts[k] for k in ("met", "missed", "open", "unknown")} == {
        "met": 2,
        "missed": 0,
        "open": 0,
        "unknown": 1,
    }


def test_the_board_writes_each_number_in_its_unit_once():
    figures = [
        Figure("a", "Share", Estimate(0.2, 0.1, 0.3, n=1200), "share"),
        Figure("f", "Change", Estimate(-0.083, -0.12, -0.046, n=1200), "share difference"),
        Figure("b", "Money", Estimate(-0.42, -1.05, 0.2, n=90), "GBP", known="comparison"),
        Figure("c", "A year", Estimate(200, 100, 300, n=90), "GBP a year", "buyers"),
        Figure("d", "Score", Estimate(0.6, -2.5, 3.8, n=90), "points"),
        Figure("e", "Counted", Estimate(3, math.nan, math.nan, n=90), "rows", note="all counted"),
    ]
    one = Finding("x", "X", "x", "count", figures=tuple(figures))
    rows = board.numbers([one, one], "GBP")
    assert list(rows.columns) == [h for h, _ in words.columns_of(words.section_of(board.__file__, "numbers")).values()]
    assert rows.iloc[:, 1].tolist() == [
        "20% (10–30%)", "−8.3 points (−12.0 to −4.6)", "−£0.42 (−1.05 to 0.20)", "£200 (100–300) a year",
        "0.6 (−2.5 to 3.8) points", "3 rows (all counted)",
    ]  # fmt: skip
    assert rows.iloc[:, 2].tolist() == ["1,200 customers"] * 2 + [
        "90 customers",
        "90 buyers",
        "90 customers",
        "90 customers",
    ]
    assert rows.iloc[2, 3] == "comparison group, no check failed"
    assert rows.iloc[0, 3] == "count of own records"


def test_before_the_declared_months_are_over_nothing_is_claimed():
    company = opened("demo", as_of="2024-12-31")
    (r,) = returns.results(company)
    assert r.evidence.months == 6
    shown = returns.statement(company, r)
    assert "too early to judge" in shown.headline
    assert "resulted in" not in " ".join(shown.texts)
    assert r.statement.verdict == "inconclusive"
    assert returns.unfinished([r]) == [r]


def test_without_exposures_an_initiative_is_not_identified():
    frames = {k: v for k, v in demo.subscription(1, 800).items() if k != "exposures"}
    company = Company.from_frames(demo.settings("demo", draws=100), frames)
    found = returns.results(company)
    assert not any(r.identified for r in found)
    (why,) = {r.evidence.why for r in found}
    shown = returns.summary(company, found)
    assert not shown.answered
    assert f"Welcome calls: {why}." in shown.detail
    screen = one_screen.one_screen(company, found)
    assert screen.answered
    assert not screen.figures


def test_without_money_or_initiatives_there_is_no_return():
    frames = {"customers": pd.DataFrame({"customer_id": ["a", "b"]})}
    settings = {"name": "T", "as_of": "2024-12-31", "relationship": "contractual", "currency": "EUR"}
    bare = Company.from_frames(settings, frames)
    with pytest.raises(Unanswered, match="no-table"):
        returns.require(bare)
    assert returns.results(bare) == returns.planned(bare) == []
    for shown in (returns.summary(bare, []), returns.statements(bare, []), one_screen.one_screen(bare, [])):
        assert not shown.answered
        assert "no initiatives table" in shown.headline
