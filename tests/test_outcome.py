"""The outcome statement: what may be said follows the grade and the interval, and no sign is lost on the way."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib.counts.programmes import Programme
from cxlib.errors import InputError
from cxlib.page import findings
from cxlib.roi import outcome_statement
from cxlib.roi.cash_flows import Paths, Side
from cxlib.roi.evidence import NOT_IDENTIFIED, Check, Evidence, Outcome
from cxlib.roi.outcome_statement import claim, state, verdict
from cxlib.stats import finance
from cxlib.stats.estimate import Estimate

pytestmark = pytest.mark.filterwarnings("error")
GREETING = Programme("I1", "Welcome calls", "how we greet customers", date(2024, 7, 1), 2000.0, 250.0)
NOBODY = np.zeros((2, 12))
PATHS = Paths(Side(NOBODY, NOBODY, NOBODY), Side(NOBODY, NOBODY, NOBODY), 1234.0, 2468.0, 256.0)
MONEY = {"value_is": "margin", "currency": "GBP", "convention": "effective", "discount_rate": 0.08}
WORTH = Estimate(12_300, 1_000, 25_000)
DESIGN = {"A": "randomised", "B": "rolled out in steps", "C": "matched", "D": "before and after"}
RANK = {"not supported": 0, "inconclusive": 1, "supported": 2}

MONTHLY = "contacts per customer and month"

# What each kind says of an improvement: level, size of the improvement, unit, direction and noun, the size as it is written.
KINDS = {
    "churn": (0.342, 0.041, "share", "fewer customers leaving", "4.1 (1.0 to 7.2) percentage points", "34.2 %"),
    "contacts": (3.2, 0.4, MONTHLY, "fewer contacts", f"0.400 (0.100 to 0.700) {MONTHLY}", "3.200"),
    "order_value": (
        40.0,
        1.2,
        "GBP per order",
        "higher order value",
        "GBP 1.20 (GBP 0.30 to GBP 2.10) per order",
        "GBP 40.00",
    ),
    "upsell": (0.8, 0.2, "upsells per customer", "more upsells", "0.20 (0.05 to 0.35) upsells per customer", "0.80"),
    "nps": (40.0, 5.0, "points", "higher NPS", "5.0 (1.2 to 8.8) points", "40.0"),
    "csat": (0.7, 0.04, "share", "higher NPS", "4.0 (1.0 to 7.0) percentage points", "70.0 %"),
}
OPPOSITE = {"fewer": "more", "more": "fewer", "higher": "lower", "lower": "higher"}


def words(text):
    """The text with ordinary spaces and minus signs, as it is typed here."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("−", "-")


def moved(kind, better=1.0, reach=0.75, level=None):
    """An outcome whose improvement is ``better`` times that of KINDS, its interval ``reach`` of that to both sides."""
    base, size, unit, *_ = KINDS[kind]
    base = base if level is None else level
    sign = -1 if kind in ("churn", "contacts") else 1
    middle, half = sign * better * size, reach * size
    change = Estimate(middle, middle - half, middle + half, n=2468)
    relative = Estimate(*(v / base for v in (change.value, change.low, change.high)), n=2468)
    return Outcome(kind, "NPS", unit, Estimate(base, base * 0.95, base * 1.05, n=2468), change, relative)


def said(
    moved_, worth=WORTH, grade="A", smallest=math.nan, effect_is="relative", design="", paths=PATHS, months=12, **more
):
    """The statement of these numbers, with the smallest effect declared for the same outcome."""
    kind = moved_.kind if moved_ else "churn"
    programme = replace(GREETING, outcome=kind, smallest_effect=smallest, effect_is=effect_is)
    facts = {"why": "compared with nobody.", "months": months, "paths": paths} | more
    return state(Evidence(programme, design or DESIGN[grade], grade, **facts), moved_, worth, **MONEY)


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
    assert verdict(change, smallest, "A", sign) == verdict(change, smallest, "B", sign) == expected
    assert verdict(change, smallest, "C", sign) == verdict(change, smallest, "D", sign) == "cannot tell"


intervals = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@given(intervals, st.floats(0, 1), st.floats(0, 1), st.sampled_from([1, -1]))
@settings(max_examples=150, deadline=None)
def test_asking_for_more_never_helps_and_no_effect_is_never_supported(ends, one, other, sign):
    change = Estimate(sum(ends) / 2, *ends)
    little, much = sorted((one, other))
    assert RANK[verdict(change, much, "A", sign)] <= RANK[verdict(change, little, "A", sign)]
    if not change.excludes(0):
        assert verdict(change, little, "A", sign) != "supported"
    mirrored = Estimate(-change.value, -change.high, -change.low)
    assert verdict(mirrored, much, "B", -sign) == verdict(change, much, "B", sign)


@pytest.mark.parametrize(("smallest", "grade", "sign"), [(-0.1, "A", 1), (0.1, "E", 1), (0.1, "AB", 1), (0.1, "A", 0)])
def test_a_line_grade_or_sign_that_does_not_exist_is_refused(smallest, grade, sign):
    with pytest.raises(ValueError, match=r"smallest effect|grade|sign"):
        verdict(WORTH, smallest, grade, sign)


def test_the_verb_follows_the_grade():
    assert [findings.leads_to(g, past=True) for g in "ABCD"] == ["resulted in", "resulted in", "went with", "went with"]
    assert findings.leads_to("C") == "goes with"
    for none in ("", "AB"):
        with pytest.raises(ValueError, match="none of A, B, C, D"):
            findings.leads_to(none)


# ---- the sentence ----------------------------------------------------------------------------------------------------


def test_the_sentence_of_a_trial_in_full():
    found = said(moved("churn", reach=0.756), smallest=0.02)
    assert words(found.sentence) == (
        "We changed how we greet customers, which resulted in 12.0 % (95 % interval 2.9 % to 21.1 %) fewer customers leaving over 12 "
        "months: 4.1 (1.0 to 7.2) percentage points, against 34.2 % without it, among 1,234 customers reached (2,468 compared), worth "
        "GBP 12,300 (95 % interval GBP 1,000 to GBP 25,000) of margin (staying, spending and support together) before the cost of the "
        "programme, discounted at 8.0 % a year "
        "(effective). Supported: the whole interval is at or above the smallest effect worth having, declared beforehand: fewer "
        "customers leaving by 2.0 %. Grade A (randomised): randomised comparison."
    )


def test_the_sentence_of_an_association_in_full():
    found = said(moved("contacts"), grade="C", smallest=0.02)
    assert words(found.sentence) == (
        "We changed how we greet customers, which went with 12.5 % (95 % interval 3.1 % to 21.9 %) fewer contacts over 12 months: "
        "0.400 (0.100 to 0.700) contacts per customer and month, against 3.200 without it, among 1,234 customers reached (2,468 "
        "compared). Nothing shows that "
        "the one made the other. If all of it were an effect, it would come to GBP 12,300 (95 % interval GBP 1,000 to GBP 25,000) of "
        "margin (staying, spending and support together) before the cost of the programme, discounted at 8.0 % a year "
        "(effective). Grade C (matched): association, adjusted for "
        "what is known."
    )


def test_the_sentence_of_a_programme_given_to_everyone_in_full():
    why = "not identified: everyone was reached on one day."
    found = said(None, grade="D", design=NOT_IDENTIFIED, why=why, remedy="Hold some back.", paths=None)
    assert words(found.sentence) == (
        "We changed how we greet customers. What came of it cannot be told. Not identified: everyone was reached on one day. No price "
        "is put on it. Grade D (not identified): as observed, nothing adjusted or compared."
    )
    assert (found.verdict, found.remedy, found.sign) == ("cannot tell", "Hold some back.", -1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grade", "ABCD")
@pytest.mark.parametrize(
    ("better", "asked", "judged"),  # in improvements of KINDS; the interval reaches 0.75 of one to both sides
    [
        (1.0, math.nan, "supported"),  # an effect told from chance
        (1.0, 0.2, "supported"),
        (1.0, 1.0, "inconclusive"),
        (1.0, 1.8, "not supported"),
        (0.3, math.nan, "inconclusive"),  # not told from chance
        (0.3, 1.8, "not supported"),
        (-1.0, math.nan, "not supported"),  # it got worse
        (-1.0, 0.2, "not supported"),
    ],
)
def test_the_words_for_every_kind_grade_and_verdict(kind, grade, better, asked, judged):
    smallest = asked * KINDS[kind][1] / KINDS[kind][0]
    found = said(moved(kind, better), grade=grade, smallest=smallest)
    text, told = words(found.sentence), abs(better) == 1
    assert found.verdict == (judged if grade in "AB" else "cannot tell")
    way, _, noun = KINDS[kind][3].partition(" ")
    assert f"{way if better > 0 else OPPOSITE[way]} {noun} over 12 months" in text
    assert f"against {KINDS[kind][5]} without it" in text
    if told:
        assert KINDS[kind][4] in text
    assert ("resulted in" in text) == (told and grade in "AB")
    assert ("went with" in text) == (told and grade == "C")
    assert ("What came of it cannot be told" in text) == (grade == "D")
    assert ("No link with" in text) == (not told and grade == "C")
    assert ("cannot be told from chance" in text) == (not told and grade in "AB" and judged == "inconclusive")
    assert ("did not bring" in text) == (not told and grade in "AB" and judged == "not supported")
    assert (", worth GBP 12,300" in text) == (told and grade in "AB")
    assert ("so the line is 0" in text) == (math.isnan(smallest) and grade in "AB")
    assert ("declared beforehand: " in text) == (not math.isnan(smallest) and grade in "AB")
    assert ("No price is put on it" in text) == (grade == "D" or (grade == "C" and not told))
    assert text.endswith(f"Grade {grade} ({DESIGN[grade]}): {findings.GRADES[grade]}.")
    assert "nan" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_smallest_effect_in_points_is_held_against_points(kind):
    size = KINDS[kind][1]
    assert said(moved(kind), smallest=0.2 * size, effect_is="points").verdict == "supported"
    assert said(moved(kind), smallest=1.0 * size, effect_is="points").verdict == "inconclusive"
    assert said(moved(kind), smallest=1.8 * size, effect_is="points").verdict == "not supported"


def test_the_smallest_effect_of_another_outcome_is_no_line_for_this_one():
    programme = replace(GREETING, outcome="churn", smallest_effect=0.9, effect_is="relative")
    found = state(Evidence(programme, "randomised", "A", "", months=12, paths=PATHS), moved("contacts"), WORTH, **MONEY)
    assert found.verdict == "supported"
    assert "so the line is 0" in found.sentence


def test_smallest_effects_are_written_in_their_own_unit():
    least = {
        "churn": "fewer customers leaving by 2.0 percentage points",
        "contacts": "fewer contacts by 0.020 contacts per customer and month",
        "order_value": "higher order value by GBP 0.02 per order",
        "nps": "higher NPS by 0.02 points",
    }
    for kind, text in least.items():
        assert f"declared beforehand: {text}." in words(said(moved(kind), smallest=0.02, effect_is="points").sentence)


def test_a_change_that_may_be_0_is_not_supported_by_its_per_cent():
    """Both intervals are drawn apart, so at the edge one can hold 0 and the other not."""
    edge = replace(moved("churn"), change=Estimate(-0.041, -0.085, 0.003), relative=Estimate(-0.12, -0.23, -0.01))
    found = said(edge, smallest=0.005)
    assert found.verdict == "inconclusive"
    assert "resulted in" not in found.sentence
    assert "Inconclusive: the interval holds no effect at all; the smallest effect worth having" in found.sentence


def test_months_that_are_not_over_are_said():
    programme = replace(GREETING, outcome="churn", effect_months=12)
    found = state(Evidence(programme, "randomised", "A", "", months=7, paths=PATHS), moved("churn"), WORTH, **MONEY)
    assert "So far: " in found.sentence
    assert "over the first 7 months" in found.sentence
    assert "nothing is claimed yet" in found.sentence
    assert "resulted in" not in found.sentence
    assert (found.so_far, found.verdict) == (True, "inconclusive")
    assert "over 1 month:" in said(moved("churn"), months=1).sentence


def test_the_checks_that_failed_are_named():
    checks = (Check("periods before", False, "x"), Check("overlap", True, "x"), Check("placebo date", False, "x"))
    found = said(moved("churn"), grade="D", design="held back", checks=checks)
    assert "cannot be told. These checks failed: periods before and placebo date. Seen: " in found.sentence


def test_nps_at_a_level_that_may_be_0_gets_points_and_no_per_cent():
    """A fifth of a level of minus 20 has the wrong sign, and of a level of 1 no meaning."""
    for level in (-20.0, 0.0):
        found = said(replace(moved("nps", level=40.0), level=Estimate(level, level - 4, level + 4)))
        assert "resulted in 5.0 (95 % interval 1.2 to 8.8) points higher NPS over 12 months" in words(found.sentence)
        assert "no per cent can be told" in found.sentence
        assert found.record()["relative"]["value"] is None
        assert found.verdict == "supported"
    by_per_cent = said(replace(moved("nps"), level=Estimate(1, -3, 5)), smallest=0.1)
    assert by_per_cent.verdict == "inconclusive"
    assert "without a per cent it cannot be held against" in by_per_cent.sentence


# ---- money -----------------------------------------------------------------------------------------------------------


def test_a_clear_outcome_whose_money_may_be_0_claims_no_worth():
    text = words(said(moved("churn"), Estimate(12_300, -1_000, 25_000)).sentence)
    assert "resulted in 12.0 %" in text
    assert "In money: GBP 12,300 (95 % interval -GBP 1,000 to GBP 25,000) of margin" in text
    assert "no worth is claimed" in text
    assert ", worth GBP" not in text


def test_a_loss_keeps_its_sign():
    text = words(said(moved("churn", -1.0), Estimate(-5_000, -9_000, -1_000)).sentence)
    assert "more customers leaving" in text
    assert ", worth -GBP 5,000 (95 % interval -GBP 9,000 to -GBP 1,000) of margin" in text
    assert "a loss even before that" in text


def test_money_of_other_causes_is_not_put_down_to_an_effect_that_is_none():
    text = words(said(moved("churn", 0.3), WORTH).sentence)
    assert "which cannot be put down to customers leaving" in text
    assert ", worth GBP" not in text


def test_without_money_the_effect_has_no_price():
    found = said(moved("churn"), None)
    assert "It has no price: the money behind it is not known." in found.sentence
    assert found.record()["worth"] is None
    assert "its interval is not known, so no worth" in said(moved("churn"), Estimate(5, math.nan, math.nan)).sentence


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("value_is", "profit"),
        ("value_is", None),
        ("currency", ""),
        ("convention", "yearly"),
        ("discount_rate", math.nan),
    ],
)
def test_a_worth_without_its_meaning_is_refused(name, wrong):
    known = Evidence(GREETING, "randomised", "A", "", months=12, paths=PATHS)
    with pytest.raises(ValueError, match=f"give {name}"):
        state(known, moved("churn"), WORTH, **(MONEY | {name: wrong}))
    with pytest.raises(TypeError, match=name):
        state(known, moved("churn"), WORTH, **{k: v for k, v in MONEY.items() if k != name})


# ---- what contradicts itself -----------------------------------------------------------------------------------------


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="compares with nobody"):
        said(moved("churn"), grade="A", design="before and after")
    with pytest.raises(ValueError, match="grade 'E' is none of"):
        said(moved("churn"), grade="E", design="matched")
    with pytest.raises(ValueError, match="1 month or more"):
        said(moved("churn"), months=0)
    with pytest.raises(ValueError, match="signs must agree"):
        said(replace(moved("churn"), relative=moved("churn", -1.0).relative))
    with pytest.raises(ValueError, match="effect_is"):
        said(moved("churn"), smallest=0.1, effect_is="")


def test_an_outcome_that_could_not_be_counted_is_no_effect():
    nothing = replace(moved("churn"), change=Estimate(math.nan, math.nan, math.nan))
    found = said(nothing)
    assert found.verdict == "cannot tell"
    assert "Customers leaving could not be counted with and without it." in found.sentence
    assert "resulted in" not in found.sentence


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
    st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6)).map(lambda w: Estimate(w[0], w[0] - w[1], w[0] + w[1])),
)


@given(outcomes(), worths, st.sampled_from("ABCD"), st.floats(0.001, 0.9), st.sampled_from(["relative", "points"]))
@settings(max_examples=120, deadline=None)
def test_an_effect_is_claimed_only_where_one_is_known(moved_, worth, grade, smallest, effect_is):
    found = said(moved_, worth, grade, smallest, effect_is)
    told = moved_.change.excludes(0)
    assert ("resulted in" in found.sentence) == (grade in "AB" and told)
    assert ("went with" in found.sentence) == (grade == "C" and told)
    if found.verdict == "supported":
        assert told
        assert moved_.sign * moved_.change.value > 0
    if ", worth " in words(found.sentence):
        assert worth.excludes(0)
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert set(record) == {f.name for f in fields(found)}
    assert record["change"]["value"] == moved_.change.value
    assert record["sentence"] == found.sentence


@given(outcomes(), st.sampled_from("ABC"))
@settings(max_examples=120, deadline=None)
def test_no_sign_is_lost(moved_, grade):
    """Direction times the number written is the change, at each end of the interval."""
    noun = KINDS[moved_.kind][3].partition(" ")[2]
    text = words(said(moved_, grade=grade).sentence)
    up = 1 if re.search(rf"(more|higher) {noun} over", text) else -1
    assert re.search(rf"(more|higher|fewer|lower) {noun} over", text)
    if moved_.change.value:
        assert up == np.sign(moved_.change.value)
    first = re.search(r"(-?[\d.]+) % \((?:interval not known|95 % interval (-?[\d.]+) % to (-?[\d.]+) %)\)", text)
    ends = (moved_.relative.low, moved_.relative.high)[::up]
    written = [float(g) for g in first.groups() if g is not None]
    meant = [100 * up * v for v in (moved_.relative.value, *ends) if not math.isnan(v)]
    assert written == pytest.approx(meant, abs=0.051)
    seen = [np.sign(w) == np.sign(m) for w, m in zip(written, meant, strict=True) if abs(m) > 1e-4]
    assert all(seen)


def test_an_end_close_to_0_keeps_its_sign():
    """Rounded to whole money and one decimal, an interval that holds 0 would look as if it started there."""
    low = moved("churn")
    near = replace(low, change=Estimate(-0.041, -0.08, 0.0002), relative=Estimate(-0.12, -0.24, 0.0004))
    text = words(said(near, Estimate(900, -0.4, 1800)).sentence)
    assert "12.00 % (95 % interval -0.04 % to 24.00 %) fewer" in text
    assert "4.10 (-0.02 to 8.00) percentage points" in text
    assert "-GBP 0.4 to GBP 1,800.0" in text


# ---- a claim from bare numbers ---------------------------------------------------------------------------------------

CLAIM = {
    "change": 0.15, "change_is": "relative", "outcome": "churn", "months": 12, "customers": 1000, "level": 0.2,
    "compared_with": "last year", "value_per_customer": 5000.0, "value_is": "revenue", "convention": "none", "currency": "GBP",
}  # fmt: skip


def test_fifteen_per_cent_and_five_thousand_a_year_are_refused_with_what_is_missing():
    """Requirements N5 and C4: retained revenue was said to be calculable from those two numbers."""
    with pytest.raises(InputError) as error:
        claim(change=0.15, value_per_customer=5000)
    text = str(error.value)
    for asked in ("15 % of what", "relative", "points", "how many customers", "which level", "how many months", "compared with whom",
                  "revenue", "margin", "discounted how", "which currency"):  # fmt: skip
        assert asked in text
    assert "change -" not in text
    assert "value_per_customer -" not in text


@pytest.mark.parametrize("left_out", CLAIM)
def test_every_part_of_a_claim_is_needed(left_out):
    with pytest.raises(InputError, match=rf"missing: {left_out} - ") as error:
        claim(**(CLAIM | {left_out: None}))
    assert str(error.value).count(" - ") == 1


def test_a_complete_claim_is_worked_out_and_stays_a_claim():
    """By hand: 1,000 customers of whom a fifth leaves, 15 % of these 200 kept: 30 customers at 5,000."""
    found = claim(**CLAIM)
    assert found.worth.value == pytest.approx(150_000)
    assert math.isnan(found.worth.low)
    assert (found.grade, found.verdict, found.design) == ("D", "cannot tell", "claim")
    assert found.change.value == pytest.approx(-0.03)
    text = words(found.sentence)
    assert text.startswith(
        "A claim, not a finding: 15.0 % fewer customers leaving over 12 months: 3.0 percentage points"
    )
    assert "30.0 customers kept and GBP 150,000 of revenue" in text
    assert "compared with last year" in text
    assert "no interval is known" in text
    assert "resulted" not in text
    json.dumps(found.record(), allow_nan=False)


def test_relative_and_points_differ_and_so_do_periods_levels_and_discounting():
    """The same "15 %" and "5,000" give anything between these, which is why each part is asked for."""
    assert claim(**CLAIM | {"change_is": "points"}).worth.value == pytest.approx(750_000)
    assert claim(**CLAIM | {"months": 3}).worth.value == pytest.approx(37_500)
    assert claim(**CLAIM | {"level": 0.04}).worth.value == pytest.approx(30_000)
    yearly = claim(**CLAIM | {"convention": "nominal", "discount_rate": 0.12}).worth.value
    assert yearly == pytest.approx(finance.npv(0.01, [12_500] * 12, "end"))
    worse = claim(**CLAIM | {"change": -0.15})
    assert worse.worth.value == pytest.approx(-150_000)
    assert "15.0 % more customers leaving" in words(worse.sentence)
    assert "30.0 customers lost and -GBP 150,000" in words(worse.sentence)


def test_discounting_needs_a_rate():
    with pytest.raises(InputError, match="discount_rate - at which rate"):
        claim(**CLAIM | {"convention": "effective"})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("change", 15), ("change", "much"), ("change", -9.0), ("change_is", "percent"), ("outcome", "nps"), ("months", 0),
        ("months", 1.5), ("customers", 0), ("level", 20.0), ("level", 0.0), ("value_per_customer", -1), ("value_is", "profit"),
        ("convention", "yearly"), ("level", math.nan), ("change", True),
    ],
)  # fmt: skip
def test_an_impossible_claim_is_refused_by_name(name, wrong):
    with pytest.raises(InputError, match=rf"impossible: .*{name} "):
        claim(**CLAIM | {name: wrong})


def test_numbers_of_a_table_are_numbers():
    assert claim(**CLAIM | {"customers": np.int64(1000), "months": np.int64(12)}).record()["worth"]["value"] == 150_000
    assert outcome_statement.Statement.record(claim(**CLAIM | {"level": np.float64(0.2)}))["level"]["value"] == 0.2
