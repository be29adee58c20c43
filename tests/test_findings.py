"""From an answer to a finding: words of the template beside it, refusals at one place, numbers for readers."""

from __future__ import annotations

import math
import sys
import types
from datetime import date

import pandas as pd
import pytest

from cxlib.errors import Unanswered
from cxlib.page import numbers, words
from cxlib.page.findings import Answer, Figure, Finding, answer, finding, slug, table
from cxlib.stats.estimate import Estimate, NotEstimable

WORDS = """
[gap]
title = "Gap over {{ horizon | months }}"
subject = "Gap between groups"
headline = "The programme {{ known | verb }} {{ gap | points }} less churn."
detail = \"\"\"
{% if few %}
Few customers.
{% endif %}
As of {{ as_of | day }}.\"\"\"
caveats = ["{% if few %}Fewer than {{ least }}.{% endif %}", "{% for g in groups %}{{ g }}: no link.\\n{% endfor %}"]
columns = {value = ["Gap in {{ currency }}", "points"]}

[reasons]
none = "there are none."
too-few = {reason = "only {{ n | count }} left.", remedy = "Wait until {{ as_of | day }}."}
"""


class Company:
    as_of = date(2026, 6, 30)
    settings = types.SimpleNamespace(currency="GBP", privacy=types.SimpleNamespace(minimum_base=10))
    has = staticmethod(lambda table, column: False)


@pytest.fixture
def ask(tmp_path):
    """Return a way to make a question out of a function, its words beside it."""
    (tmp_path / "question.en.toml").write_text(WORDS)
    (tmp_path / "question.py").write_text("def asked(company, made):\n    return made()\n")
    module = types.ModuleType("question")
    sys.modules["question"] = module
    exec(compile((tmp_path / "question.py").read_text(), str(tmp_path / "question.py"), "exec"), module.__dict__)
    question = finding("gap")(module.asked)
    yield lambda made: question(Company(), made)
    del sys.modules["question"]


FACTS = {"horizon": 365, "gap": Estimate(0.083, 0.046, 0.12), "few": True, "groups": ["Basic", "Pro"]}


def test_facts_become_layers_and_conditions_leave_nothing_behind(ask):
    found = ask(lambda: answer("randomised", pd.DataFrame({"value": [1]}), **FACTS))
    assert found.title == "Gap over 12 months"
    assert found.headline == "The programme resulted in 8.3 points (4.6–12.0) less churn."
    assert found.detail == "Few customers. As of 30 June 2026."
    assert found.caveats == ("Fewer than 10.", "Basic: no link.", "Pro: no link.")
    assert found.columns == {"value": ("Gap in GBP", "points")}
    assert found.facts["gap"].value == 0.083
    assert ask(lambda: answer("adjusted", **FACTS | {"few": False})).texts == (
        "The programme was linked to 8.3 points (4.6–12.0) less churn.",
        "As of 30 June 2026.",
        "Basic: no link.",
        "Pro: no link.",
    )


def test_a_refusal_of_the_data_or_of_the_statistics_becomes_a_finding_with_its_remedy(ask):
    def too_few():
        raise Unanswered("too-few", n=1234)

    def none():
        raise NotEstimable("none")

    found = ask(too_few)
    assert (found.answered, found.title) == (False, "Gap between groups")
    assert found.texts == ("Not answered: only 1,234 left.", "Wait until 30 June 2026.")
    assert ask(none).texts == ("Not answered: there are none.",)
    with pytest.raises(KeyError, match="no reasons file says 'unheard-of'"):
        ask(lambda: (_ for _ in ()).throw(Unanswered("unheard-of")))


@pytest.mark.parametrize("wrong", [{"few": None, "more": 1}, {"horizon": None}])
def test_facts_that_nobody_asked_for_or_that_are_missing_are_errors(ask, wrong):
    facts = FACTS | {k: v for k, v in wrong.items() if v is not None}
    facts = {k: v for k, v in facts.items() if not (k in wrong and wrong[k] is None and k == "horizon")}
    with pytest.raises(KeyError, match=r"more|horizon"):
        ask(lambda: answer("observed", **facts))


def test_a_forecast_permits_no_verb_of_effect_or_link(ask):
    with pytest.raises(ValueError, match="'forecast' permits no verb"):
        ask(lambda: answer("forecast", **FACTS))


def test_a_way_of_knowing_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'proved' is none of"):
        Finding("x", "X", "x", "proved")
    with pytest.raises(ValueError, match="'sure' is none of"):
        Finding("x", "X", "x", figures=(Figure("f", "F", Estimate(1, 0, 2), "points", known="sure"),))


def test_a_figure_without_interval_needs_a_reason():
    with pytest.raises(ValueError, match="no interval and no note"):
        Figure("rows", "Rows", Estimate(1, math.nan, math.nan), "rows").row()
    row = Figure("rows", "Rows", Estimate(1, math.nan, math.nan, n=3), "rows", note="a count").row()
    assert (row["value"], row["low"], row["n"], row["note"]) == (1, None, 3, "a count")


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (Estimate(0.083, 0.046, 0.12), "8.3 points (4.6–12.0)"),
        (Estimate(0.003, -0.02, 0.026), "0.3 points (−2.0 to 2.6)"),
        (Estimate(0.3, 0.1, 0.5), "30 points (10–50)"),
        (0.0123, "1.2 points"),
        (math.nan, "–"),
    ],
)
def test_an_interval_decides_the_digits_of_points(estimate, said):
    assert numbers.points(estimate) == said


@pytest.mark.parametrize(
    ("x", "currency", "said"),
    [
        (Estimate(8391, 3119, 13662), "GBP", "£8,400 (3,100–13,700)"),
        (Estimate(-3540, -8812, 1731), "EUR", "−€3,500 (−8,800 to 1,700)"),
        (Estimate(12.94, 4.86, 21.03), "USD", "$13 (5–21)"),
        (Estimate(1.94, 0.86, 3.03), "USD", "$1.94 (0.86–3.03)"),
        (Estimate(-742, -742, -742), "GBP", "−£742"),
        (Estimate(2_727_681, 2_650_000, 2_800_000), "GBP", "£2.73m (2.65–2.80)"),
        (45.09, "BRL", "BRL\N{NO-BREAK SPACE}45"),
        (3.5, "GBP", "£3.50"),
        (math.nan, "GBP", "–"),
    ],
)
def test_money_is_rounded_to_what_its_interval_bears_and_signed_with_its_currency(x, currency, said):
    assert numbers.amount(x, currency) == said


def test_shares_counts_and_ratios_are_written_for_readers():
    assert numbers.percent(Estimate(0.119, 0.087, 0.152)) == "11.9% (8.7–15.2%)"
    assert (numbers.percent(0.456), numbers.percent(0.0456), numbers.percent(0)) == ("46%", "4.6%", "0%")
    assert numbers.count(12_345.0) == "12,345"
    assert numbers.number(Estimate(2.441, 1.859, 3.204)) == "2.44 (1.86–3.20)"
    assert numbers.number(Estimate(7.6, 3.8, math.inf)) == "7.60 (3.80 to not reached)"
    assert numbers.p_value(0.0004) == "p < 0.001"
    assert numbers.p_value(0.034) == "p = 0.034"
    assert numbers.months(365) == "12 months"
    assert numbers.months(31) == "1 month"


def test_records_are_spread_into_columns_and_names_into_slugs():
    found = table([{"band": "passive", "estimate": Estimate(1, 0, 2, n=9), "extra": 4}], ["band"])
    assert found.to_dict("records") == [{"band": "passive", "value": 1, "low": 0, "high": 2, "n": 9, "extra": 4}]
    assert list(table([], ["band"])) == ["band", "value", "low", "high", "n"]
    assert slug("Tenure median", "Pro") == "tenure-median-pro"
    assert isinstance(answer("count"), Answer)


def test_words_ask_for_facts_even_in_branches_not_taken():
    with pytest.raises(KeyError, match="missing"):
        words.render("{% if few %}{{ missing }}{% endif %}", {"few": False})
