"""The page on returns of the demo: every pound once, every number traceable, wording by grade."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cxlib import demo, open_company
from cxlib.intake.company import Company
from cxlib.overview import finance
from cxlib.roi import returns

TRUTH = json.loads((Path(__file__).parent / "truth" / "demo.json").read_text())


@pytest.fixture(scope="module")
def company():
    return open_company("demo")


@pytest.fixture(scope="module")
def found(company):
    return returns.results(company)


@pytest.fixture(scope="module")
def by_name(found):
    return {r.initiative: r for r in found}


def test_the_parts_add_up_to_the_benefit_of_the_page(company, found):
    for r in (r for r in found if r.known):
        rows = returns.adding_up(company, r).table.set_index("channel")["value"]
        assert rows.drop("in all").sum() == pytest.approx(rows["in all"], rel=1e-12)
        assert rows["in all"] == pytest.approx(r.money.benefit.value, rel=1e-12)


def test_an_effect_of_a_roll_out_counts_as_long_as_it_is_paid(by_name):
    """Three steps a quarter apart, six months each: half a year of effect a customer, a year of money and of cost."""
    r = by_name["Local account managers"]
    assert (r.evidence.months, r.evidence.paths.months) == (6, 12)
    assert r.money.cost == 6000 + 12 * 1400
    truth, sizes = TRUTH["account_managers"], r.evidence.paths.customers
    assert r.effect.low <= truth["value"] <= r.effect.high
    assert r.money.benefit.value > sizes * r.effect.value  # the first step had its managers for all of the year


def test_the_money_of_the_trial_holds_the_truth(by_name):
    r, truth = by_name["Welcome calls"], TRUTH["welcome_calls"]
    n = r.evidence.paths.customers
    assert r.money.benefit.low <= n * truth["net_margin"]["value"] <= r.money.benefit.high
    change = r.evidence.outcomes["churn"].change
    assert change.low <= truth["left"]["value"] <= change.high
    assert r.statement.verdict == "supported"
    assert "which resulted in" in r.statement.sentence


def test_one_screen_says_nothing_that_is_not_in_its_table(company, found):
    shown = finance.one_screen(company, found)
    table = shown.table.to_csv(index=False)
    for text in (shown.sentence, *shown.caveats):
        for token in re.findall(r"\d[\d,.]*\d|\d", text):
            assert token in table, (token, text)
    assert list(shown.table["initiative"]) == [r.initiative for r in found]
    assert shown.table.loc[2, ["value", "low", "high"]].isna().all()
    assert "cannot be judged at all" in shown.sentence


def test_attribution_is_shown_at_none_as_stated_and_at_all(company, found):
    rows = returns.summary(company, found).table.set_index(["initiative", "credited"])["value"]
    managers = rows["Local account managers"]
    assert list(managers.index) == [
        "none (0\N{NO-BREAK SPACE}%)",
        "stated (80\N{NO-BREAK SPACE}%)",
        "all (100\N{NO-BREAK SPACE}%)",
    ]
    assert managers.iloc[0] == -1
    assert managers.iloc[1] + 1 == pytest.approx(0.8 * (managers.iloc[2] + 1))


def test_what_lies_beyond_the_months_seen_is_called_projected(company, by_name):
    shown = returns.horizons(company, by_name["Welcome calls"])
    assert list(shown.table["is"]) == ["observed", "projected", "projected"]
    assert shown.table["value"].is_monotonic_increasing  # kept customers go on paying, and more so if the effect lasts
    assert "Projected, not observed" in shown.caveats[0]


def test_an_initiative_as_large_as_its_break_even_would_have_just_paid(company, by_name):
    r = by_name["Welcome calls"]
    fall = returns.needed(company, r).table.set_index(["lever", "unit"]).loc[("leaving falls by", "relative")]
    seen = -r.evidence.outcomes["churn"].relative.value
    assert (seen > fall["value"]) == (r.money.net_present_value.value > 0)


def test_machine_readable_statements_hold_what_the_sentences_say(company, found):
    rows = returns.statements(company, found).table
    first = rows.iloc[0]
    assert (first["initiative"], first["outcome"], first["verdict"], first["grade"]) == (
        "I1",
        "churn",
        "supported",
        "A",
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


def test_before_the_declared_months_are_over_nothing_is_claimed():
    company = open_company("demo", as_of="2024-12-31")
    (r,) = returns.results(company)
    assert r.evidence.months == 6
    assert "nothing is claimed yet" in r.statement.sentence
    assert r.statement.verdict == "inconclusive"
    assert returns.unfinished([r]) == [r]


def test_without_exposures_an_initiative_is_not_identified():
    frames = {k: v for k, v in demo.subscription(1, 800).items() if k != "exposures"}
    found = returns.results(Company.from_frames(demo.settings("demo", draws=100), frames))
    assert not any(r.known for r in found)
    assert {r.why for r in found} == {"not identified: nobody recorded whom it reached."}
