"""The outcome statement: what may be said follows the evidence and the interval, and no sign is lost on the way."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from datetime import date
from types import SimpleNamespace

import lint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib.counts.programmes import Programme
from cxlib.page.findings import EFFECTS
from cxlib.page.numbers import VERBS, percent
from cxlib.roi import returns
from cxlib.roi.cash_flows import Paths, Side, Terms
from cxlib.roi.evidence import (
    BEFORE_AND_AFTER,
    HOLDOUT,
    MATCHED,
    NOT_IDENTIFIED,
    RANDOMISED,
    STAGGERED,
    Check,
    Evidence,
    Outcome,
)
from cxlib.roi.outcome_statement import state, verdict
from cxlib.stats.estimate import Estimate

pytestmark = pytest.mark.filterwarnings("error")
COMPANY = SimpleNamespace(
    settings=SimpleNamespace(currency="GBP", privacy=SimpleNamespace(minimum_base=10)),
    as_of=date(2025, 6, 30),
    has=lambda table, column: False,
)
GREETING = Programme("I1", "Welcome calls", "how we greet customers", date(2024, 7, 1), 2000.0, 250.0)
NOBODY = np.zeros((2, 12))
PATHS = Paths(Side(NOBODY, NOBODY, NOBODY), Side(NOBODY, NOBODY, NOBODY), 1234.0, 2468.0, 256.0)
MONEY = {"value_is": "margin", "currency": "GBP", "convention": "effective", "discount_rate": 0.08}
WORTH = Estimate(12_300, 1_000, 25_000)
DESIGN = {"randomised": RANDOMISED, "comparison": STAGGERED, "adjusted": MATCHED, "observed": HOLDOUT}
RANK = {"not supported": 0, "inconclusive": 1, "supported": 2}

MONTHLY = "contacts per customer and month"

# Of an improvement of each kind: level, size, unit, direction and noun.
KINDS = {
    "churn": (0.342, 0.041, "share", "fewer customers leaving"),
    "contacts": (3.2, 0.4, MONTHLY, "fewer support contacts"),
    "order_value": (40.0, 1.2, "GBP per order", "higher order value"),
    "upsell": (0.8, 0.2, "upsells per customer", "more upsells"),
    "orders": (1.5, 0.2, "orders per customer and month", "more orders"),
    "nps": (40.0, 5.0, "points", "higher NPS"),
    "csat": (0.7, 0.04, "share", "higher NPS"),
}
OPPOSITE = {"fewer": "more", "more": "fewer", "higher": "lower", "lower": "higher"}


def moved(kind, better=1.0, reach=0.75, level=None):
    """An outcome whose improvement is ``better`` times that of KINDS, its interval ``reach`` of that to both sides."""
    base, size, unit, _ = KINDS[kind]
    base = base if level is None else level
    sign = -1 if kind in ("churn", "contacts") else 1
    middle, half = sign * better * size, reach * size
    change = Estimate(middle, middle - half, middle + half, n=2468)
    relative = Estimate(*(v / base for v in (change.value, change.low, change.high)), n=2468)
    return Outcome(kind, "NPS", unit, Estimate(base, base * 0.95, base * 1.05, n=2468), change, relative)


def evidence(known="randomised", programme=GREETING, design="", **more):
    facts = {"why": "randomised: half of them", "months": 12, "paths": PATHS} | more
    return Evidence(programme, design or DESIGN[known], known, **facts)


def said(moved_, worth=WORTH, known="randomised", smallest=math.nan, effect_is="relative", design="", **more):
    """The statement of these numbers, with the smallest effect declared for the same outcome."""
    kind = moved_.kind if moved_ else "churn"
    programme = replace(GREETING, outcome=kind, smallest_effect=smallest, effect_is=effect_is)
    return state(evidence(known, programme, design, **more), moved_, worth, **MONEY)


def shown(moved_, *args, programme=GREETING, **kwargs):
    """The finding that a reader sees of the same."""
    s = said(moved_, *args, **kwargs)
    more = {k: v for k, v in kwargs.items() if k not in ("worth", "known", "smallest", "effect_is", "design")}
    e = evidence(s.known, programme, s.design, **more)
    return returns.statement(COMPANY, returns.Result(e, (s,), Terms(2000, 250, 12, 0.006)))


# ---- the verdict -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "smallest", "expected"),
    [
        (0.03, 0.21, math.nan, "supported"),
        (0.03, 0.21, 0.03, "supported"),
        (0.03, 0.21, 0.05, "inconclusive"),
        (0.03, 0.21, 0.21, "inconclusive"),
        (0.03, 0.21, 0.22, "not supported"),
        (-0.03, 0.21, 0.0, "inconclusive"),
        (0.0, 0.21, 0.0, "inconclusive"),
        (-0.03, 0.04, 0.05, "not supported"),
        (-0.21, -0.03, math.nan, "not supported"),
        (-0.21, 0.0, math.nan, "inconclusive"),
        (math.nan, math.nan, 0.05, "inconclusive"),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_verdict_is_where_the_interval_lies(low, high, smallest, expected, sign):
    better = Estimate((low + high) / 2, low, high)
    change = better if sign == 1 else Estimate(-better.value, -high, -low)
    for known in VERBS:
        assert verdict(change, smallest, known, sign) == (expected if known in EFFECTS else "cannot tell")


intervals = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@given(intervals, st.floats(0, 1), st.floats(0, 1), st.sampled_from([1, -1]))
@settings(max_examples=150, deadline=None)
def test_asking_for_more_never_helps_and_no_effect_is_never_supported(ends, one, other, sign):
    change = Estimate(sum(ends) / 2, *ends)
    little, much = sorted((one, other))
    judge = lambda e, least, way: verdict(e, least, "comparison", way)  # noqa: E731
    assert RANK[judge(change, much, sign)] <= RANK[judge(change, little, sign)]
    if not change.excludes(0):
        assert judge(change, little, sign) != "supported"
    mirrored = Estimate(-change.value, -change.high, -change.low)
    assert judge(mirrored, much, -sign) == judge(change, much, sign)


@pytest.mark.parametrize(
    ("smallest", "known", "sign"),
    [(-0.1, "randomised", 1), (0.1, "forecast", 1), (0.1, "A", 1), (0.1, "randomised", 0)],
)
def test_a_target_evidence_or_sign_that_does_not_exist_is_refused(smallest, known, sign):
    with pytest.raises(ValueError, match=r"smallest effect|known|sign"):
        verdict(WORTH, smallest, known, sign)


# ---- what a reader sees ----------------------------------------------------------------------------------------------


def test_the_statement_of_a_trial_in_full():
    found = shown(moved("churn", reach=0.756), smallest=0.02)
    assert found.headline == (
        "Introducing Welcome calls resulted in 12.0% (2.9–21.1%) fewer customers leaving over 12 months."
    )
    assert found.known == "randomised"
    for part in (
        "We changed how we greet customers.",
        "With it, churn came to 30.1%, without it to 34.2%.",
        "The difference is 4.1 points (1.0–7.2) over 12 months.",
        "The target was at least 2.0% fewer customers leaving: met.",
        "worth £12,000 (1,000–25,000) of margin over 12 months, before the cost.",
    ):
        assert part in found.detail
    (figure,) = found.figures
    assert (figure.name, figure.unit) == ("initiative-welcome-calls-churn", "share difference")
    assert figure.estimate.value == pytest.approx(-0.041)
    assert found.table["value"].tolist() == pytest.approx([100 * -0.041 / 0.342])


def test_the_statement_of_an_association_in_full():
    found = shown(moved("contacts"), known="adjusted", smallest=0.02)
    assert found.headline == (
        "Introducing Welcome calls was linked to 12.5% (3.1–21.9%) fewer support contacts over 12 months."
    )
    assert "If all of it were cause and effect, it would be worth £12,000 (1,000–25,000) of margin" in found.detail
    assert "target" not in found.detail
    assert any("not proof of an effect" in c for c in found.caveats)


def test_a_programme_given_to_everyone_is_not_measured_and_gets_a_remedy():
    more = {"why": "everyone was reached on one day", "remedy": "Hold out a random group.", "paths": None}
    found = shown(None, known="observed", design=NOT_IDENTIFIED, **more)
    assert not found.answered
    assert found.headline == "Not answered: everyone was reached on one day."
    assert found.detail == "Hold out a random group."
    statement = said(None, known="observed", design=NOT_IDENTIFIED, **more)
    assert (statement.verdict, statement.remedy, statement.sign) == ("cannot tell", "Hold out a random group.", -1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("known", VERBS)
@pytest.mark.parametrize(
    ("better", "asked", "judged"),  # in improvements of KINDS; the interval reaches 0.75 of one to both sides
    [
        (1.0, math.nan, "supported"),  # a clear effect
        (1.0, 0.2, "supported"),
        (1.0, 1.0, "inconclusive"),
        (1.0, 1.8, "not supported"),
        (0.3, math.nan, "inconclusive"),  # no clear effect
        (0.3, 1.8, "not supported"),
        (-1.0, math.nan, "not supported"),  # it got worse
        (-1.0, 0.2, "not supported"),
    ],
)
def test_the_words_for_every_kind_evidence_and_verdict(kind, known, better, asked, judged):
    smallest = asked * KINDS[kind][1] / KINDS[kind][0]
    found = shown(moved(kind, better), known=known, smallest=smallest)
    text, clear, effect = " ".join(found.texts), abs(better) == 1, known in EFFECTS
    assert found.facts["verdict"] == (judged if effect else "cannot tell")
    way, _, noun = KINDS[kind][3].partition(" ")
    assert found.facts["direction"] == f"{way if better > 0 else OPPOSITE[way]} {noun}"
    assert found.facts["wanted"] == KINDS[kind][3]
    assert (found.facts["direction"] in found.headline) == (known != "observed")
    assert ("resulted in" in text) == (clear and effect)
    assert ("was linked to" in text) == (clear and known == "adjusted")
    assert ("We cannot say" in text) == (known == "observed")
    assert ("No clear link" in text) == (not clear and known == "adjusted")
    assert ("No clear effect" in text) == (not clear and effect and judged == "inconclusive")
    assert ("missed its target" in found.headline) == (not clear and effect and judged == "not supported")
    assert ("were worth £12,000" in text) == (clear and effect)
    assert ("If all of it were cause and effect" in text) == (clear and known == "adjusted")
    assert ("£12,000" in text) == (effect or (clear and known == "adjusted"))
    assert ("No target was set" in text) == (math.isnan(smallest) and effect)
    assert ("The target was at least" in text) == (not math.isnan(smallest) and effect)
    assert ("may have happened anyway" in text) == (known == "observed")
    assert "nan" not in text
    assert "–)" not in text
    assert lint.faults(found) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_in_points_is_compared_with_points(kind):
    size = KINDS[kind][1]
    assert said(moved(kind), smallest=0.2 * size, effect_is="points").verdict == "supported"
    assert said(moved(kind), smallest=1.0 * size, effect_is="points").verdict == "inconclusive"
    assert said(moved(kind), smallest=1.8 * size, effect_is="points").verdict == "not supported"


def test_the_target_of_another_outcome_is_none_of_this_one():
    programme = replace(GREETING, outcome="churn", smallest_effect=0.9, effect_is="relative")
    found = state(evidence(programme=programme), moved("contacts"), WORTH, **MONEY)
    assert found.verdict == "supported"
    assert math.isnan(found.smallest)


def test_targets_are_written_in_their_own_unit():
    least = {
        "churn": "2.0 points fewer customers leaving",
        "contacts": "0.020 contacts per customer and month fewer support contacts",
        "order_value": "£0.02 higher order value",
        "nps": "0.020 points higher NPS",
    }
    for kind, text in least.items():
        assert f"The target was at least {text}: " in shown(moved(kind), smallest=0.02, effect_is="points").detail


def test_a_change_that_may_be_0_is_not_supported_by_its_percentage():
    """Both intervals are drawn apart, so at the edge one can hold 0 and the other not."""
    edge = replace(moved("churn"), change=Estimate(-0.041, -0.085, 0.003), relative=Estimate(-0.12, -0.23, -0.01))
    assert said(edge, smallest=0.005).verdict == "inconclusive"
    found = shown(edge, smallest=0.005)
    assert found.headline.startswith("No clear effect of Welcome calls on churn")
    assert "unclear" in found.detail


def test_months_that_are_not_over_are_said():
    programme = replace(GREETING, outcome="churn", effect_months=12)
    s = state(evidence(programme=programme, months=7), moved("churn"), WORTH, **MONEY)
    assert (s.so_far, s.verdict) == (True, "inconclusive")
    found = returns.statement(
        COMPANY, returns.Result(evidence(programme=programme, months=7), (s,), Terms(0, 1, 7, 0.01))
    )
    assert found.headline.startswith("Welcome calls after 7 of 12 months, too early to judge: 12.0% (3.0–21.0%) fewer")
    assert "resulted in" not in " ".join(found.texts)
    assert any("claim nothing yet" in c for c in found.caveats)
    assert "over 1 month." in shown(moved("churn"), months=1).headline


def test_the_checks_that_failed_are_named():
    checks = (Check("months before", False, "x"), Check("overlap", True, "x"), Check("placebo date", False, "x"))
    found = shown(moved("churn"), known="observed", checks=checks)
    assert found.headline == (
        "We cannot say what Welcome calls changed: these checks failed: months before and placebo date."
    )
    assert "£" not in " ".join(found.texts)


def test_nps_at_a_level_that_may_be_0_gets_points_and_no_percentage():
    """A fifth of a level of minus 20 has the wrong sign, and of a level of 1 no meaning."""
    for level in (-20.0, 0.0):
        outcome = replace(moved("nps", level=40.0), level=Estimate(level, level - 4, level + 4))
        found = shown(outcome)
        assert "resulted in 5.0 (1.2–8.8) points higher NPS over 12 months" in found.headline
        assert not found.facts["has_relative"]
        assert said(outcome).record()["relative"]["value"] is None
        assert said(outcome).verdict == "supported"
    unsure = replace(moved("nps"), level=Estimate(1, -3, 5))
    assert said(unsure, smallest=0.1).verdict == "inconclusive"
    assert "not judged, as the level without it may be zero" in shown(unsure, smallest=0.1).detail


# ---- money -----------------------------------------------------------------------------------------------------------


def test_a_clear_outcome_whose_money_may_be_0_claims_no_worth():
    found = shown(moved("churn"), Estimate(12_300, -1_000, 25_000))
    assert "resulted in 12.0%" in found.headline
    assert "In money, the difference is £12,000 (−1,000 to 25,000) of margin. It could be zero" in found.detail
    assert "were worth" not in found.detail
    assert not found.facts["worth_clear"]


def test_a_loss_keeps_its_sign():
    found = shown(moved("churn", -1.0), Estimate(-5_000, -9_000, -1_000))
    assert "more customers leaving" in found.headline
    assert "were worth −£5,000 (−9,000 to −1,000) of margin" in found.detail


def test_money_of_other_causes_is_not_attributed_to_an_effect_that_is_not_clear():
    found = shown(moved("churn", 0.3), WORTH)
    assert "which we do not attribute to churn" in found.detail
    assert "were worth" not in found.detail


def test_without_money_the_effect_has_no_price():
    assert "£" not in " ".join(shown(moved("churn"), None).texts)
    assert said(moved("churn"), None).record()["worth"] is None
    assert "so we claim none" in shown(moved("churn"), Estimate(5, math.nan, math.nan)).detail


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="has no comparison"):
        said(moved("churn"), design=BEFORE_AND_AFTER)
    with pytest.raises(ValueError, match="known 'E' is none of"):
        said(moved("churn"), known="E", design=MATCHED)
    with pytest.raises(ValueError, match="1 month or more"):
        said(moved("churn"), months=0)
    with pytest.raises(ValueError, match="signs must agree"):
        said(replace(moved("churn"), relative=moved("churn", -1.0).relative))
    with pytest.raises(ValueError, match="effect_is"):
        said(moved("churn"), smallest=0.1, effect_is="")


def test_an_outcome_that_could_not_be_counted_is_no_effect():
    nothing = replace(moved("churn"), change=Estimate(math.nan, math.nan, math.nan))
    assert said(nothing).verdict == "cannot tell"
    found = shown(nothing)
    assert not found.answered
    assert "no outcome of Welcome calls could be counted" in found.headline


# ---- properties ------------------------------------------------------------------------------------------------------


@st.composite
def outcomes(draw):
    kind = draw(st.sampled_from(sorted(KINDS)))
    level, size = KINDS[kind][:2]
    value, reach = draw(st.floats(-2, 2)), draw(st.one_of(st.just(math.nan), st.floats(0.001, 2)))
    change = Estimate(value * size, (value - reach) * size, (value + reach) * size, n=500)
    part = Estimate(*(v / level for v in (change.value, change.low, change.high)))
    return Outcome(kind, "NPS", KINDS[kind][2], Estimate(level, level * 0.9, level * 1.1), change, part)


worths = st.one_of(
    st.none(),
    st.tuples(st.floats(-1e6, 1e6), st.floats(0.01, 1e6)).map(lambda w: Estimate(w[0], w[0] - w[1], w[0] + w[1])),
)


@given(outcomes(), worths, st.sampled_from(list(VERBS)), st.floats(0.001, 0.9), st.sampled_from(["relative", "points"]))
@settings(max_examples=120, deadline=None)
def test_an_effect_is_claimed_only_where_one_is_known(moved_, worth, known, smallest, effect_is):
    found, statement = (f(moved_, worth, known, smallest, effect_is) for f in (shown, said))
    clear, text = moved_.change.excludes(0), " ".join(found.texts)
    assert ("resulted in" in text) == (known in EFFECTS and clear)
    assert ("was linked to" in text) == (known == "adjusted" and clear)
    if statement.verdict == "supported":
        assert clear
        assert moved_.sign * moved_.change.value > 0
    if "were worth" in text:
        assert worth.excludes(0)
    record = json.loads(json.dumps(statement.record(), allow_nan=False))
    assert set(record) == {f.name for f in fields(statement)}
    assert record["change"]["value"] == moved_.change.value


@given(outcomes(), st.sampled_from(["randomised", "comparison", "adjusted"]))
@settings(max_examples=120, deadline=None)
def test_no_sign_is_lost(moved_, known):
    """Direction times the number written is the change, at each end of the interval."""
    found = shown(moved_, known=known)
    direction, relative = found.facts["direction"], found.facts["relative"]
    up = 1 if direction.startswith(("more ", "higher ")) else -1
    assert direction.startswith(("more ", "higher ", "fewer ", "lower "))
    if moved_.change.value:
        assert up == np.sign(moved_.change.value)
    assert up * relative.value == moved_.relative.value
    ends = (moved_.relative.low, moved_.relative.high)[::up]
    assert [relative.low, relative.high] == pytest.approx([up * v for v in ends], nan_ok=True)
    assert f"{percent(relative)} {direction}" in found.headline
    assert found.facts["with_it"] == found.facts["level"] + moved_.change.value
