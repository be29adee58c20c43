"""Scores with intervals, targets, segments and agents: each number by hand or on a company whose truth is known."""

from __future__ import annotations

import math

import net
import numpy as np
import pandas as pd
import pytest
from hypothesis import given as examples
from hypothesis import settings as budget
from hypothesis import strategies as st
from surveys import CSAT, NPS, figures, rows_of, survey, surveys

from benchmarks.simulation import refilled
from cxlib.counts import answers
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.scores import current, estimates, segments
from cxlib.stats import intervals
from cxlib.stats.estimate import Estimate


@pytest.fixture(scope="module")
def company():
    return net.opened("demo")


def estimate(company, kind="mean", weighted=False, metric="csat"):
    return estimates.estimate(company, metric, answers.score_counts(company, metric), kind, weighted)


# ---- one score -------------------------------------------------------------------------------------------


def test_single_answers_have_the_textbook_interval_or_a_little_more():
    given = np.random.default_rng(1).choice([1, 2, 3, 4, 5], 800, p=[0.1, 0.1, 0.2, 0.3, 0.3])
    found, book = estimate(survey(given)), intervals.mean(given, low=1, high=5)
    assert found.value == pytest.approx(book.value)
    assert 1 <= (found.high - found.low) / (book.high - book.low) < 1.12


def test_repeated_answers_of_a_customer_widen_the_interval():
    given = np.random.default_rng(2).choice([1, 5], 300)
    each = [f"c{i}" for i in range(300)]
    single, repeated = survey(given), survey(np.tile(given, 5), each * 5)
    width = [e.high - e.low for e in (estimate(single), estimate(repeated))]
    # five copies of each answer say no more than one; treated as independent they would claim 1 / sqrt(5)
    assert width[1] == pytest.approx(width[0], rel=0.12)


def test_weights_of_answers_move_the_score_and_widen_the_interval():
    given = [5] * 200 + [1] * 200
    plain = survey(given, weight=[3.0] * 200 + [1.0] * 200)
    raw, weighted = estimate(plain), estimate(plain, weighted=True)
    assert raw.value == 3
    assert weighted.value == 4
    assert weighted.n == 400


def test_weights_of_customers_count_where_the_answer_has_none_of_its_own():
    weight = [3.0] * 40 + [1.0] * 40
    found = survey([5] * 40 + [1] * 40, of_customers={"weight": weight})
    assert answers.weighted(found)
    assert estimate(found, weighted=None).value == 4
    said = current.headline(found).facts["scores"][0]
    assert (said["unweighted"], said["weighted"], said["score"].value) == (3, 4, 4)


def test_when_all_agree_the_interval_still_has_width_and_stays_on_the_scale():
    for kind, top in (("mean", 5), ("satisfied", 1)):
        found = estimate(survey([5] * 40), kind)
        assert found.value == found.high == top
        assert found.low < top


def test_shares_of_single_scores_add_up_and_keep_the_order_of_the_scale(company):
    shown = current.distribution(company, 12).table
    assert shown.groupby("metric")["value"].sum().to_numpy() == pytest.approx(1)
    assert list(shown.loc[shown["metric"] == "NPS", "score"]) == list(range(11))
    effort = survey([1, 2, 3, 4, 5] * 12, metrics={"ces": {"scale": [1, 5], "version": "1.0"}}, metric="ces")
    shown = current.distribution(effort).table
    assert list(shown["score"]) == [5, 4, 3, 2, 1]  # little effort is good, and stands at the right
    assert list(dict.fromkeys(shown["band"])) == ["hard", "neutral", "easy"]


def test_a_yes_or_no_signal_and_a_scale_without_a_middle():
    signal = {"solved": {"scale": [0, 1], "good": "high"}}
    found = survey([1] * 60 + [0] * 40, metrics=signal)
    assert [b.name for b in answers.bands(found, "solved")] == ["no", "yes"]
    assert estimate(found, "satisfied", metric="solved").value == pytest.approx(0.6)
    trouble = survey([1] * 60 + [0] * 40, metrics={"trouble": {"scale": [0, 1], "good": "low"}})
    assert [(b.name, b.low) for b in answers.bands(trouble, "trouble")] == [("yes", 1), ("no", 0)]
    assert estimate(trouble, "satisfied", metric="trouble").value == pytest.approx(0.4)
    four = survey([1, 2, 3, 4] * 10, metrics={"csat": {"scale": [1, 4], "good": "high"}})
    assert [(b.name, b.low, b.high) for b in answers.bands(four, "csat")] == [
        ("dissatisfied", 1, 2),
        ("satisfied", 3, 4),
    ]
    faces = survey([1, 2, 3] * 10, metrics={"psat": {"scale": [1, 3], "good": "high"}})
    assert [(b.low, b.high) for b in answers.bands(faces, "psat")] == [(1, 1), (2, 2), (3, 3)]


# ---- against a target ------------------------------------------------------------------------------------


def test_a_target_is_tested_by_the_interval_that_is_shown():
    given = [9] * 50 + [8] * 30 + [3] * 20  # NPS 30
    for target, words in ((30, "not clearly different from"), (60, "below"), (-10, "above")):
        company = survey(given, metrics={"nps": {"scale": [0, 10], "target": target}})
        found = current.headline(company)
        assert f"{words} the target of {target}" in found.headline
        aim = found.facts["scores"][0]["aims"][0]
        e = figures(found)["nps"]
        assert e.excludes(target) == (aim["p"] < 0.05) == ("not" not in words)
        assert aim["p"] == pytest.approx(intervals.p_against(e, target))
        assert aim["higher"] == (target < 30)


def test_a_benchmark_off_the_scale_is_refused():
    with pytest.raises(InputError, match=r"metrics\.csat\.benchmark"):
        survey([1, 5], metrics={"csat": {"scale": [1, 5], "good": "high", "benchmark": 80}})


def test_the_p_value_against_a_target_belongs_to_the_interval():
    e = intervals.nps(20, 30, 50)
    assert intervals.p_against(e, e.value) == 1
    for end in (e.low, e.high):
        assert intervals.p_against(e, end) == pytest.approx(0.05)
    assert intervals.p_against(e, e.high + 1) < 0.05 < intervals.p_against(e, e.high - 1)
    assert math.isnan(intervals.p_against(Estimate(1, math.nan, math.nan)))


# ---- differences -----------------------------------------------------------------------------------------


def test_a_difference_of_single_answers_is_newcombes():
    first, second = intervals.share(56, 70), intervals.share(48, 80)
    found = intervals.difference(first, second)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)  # Newcombe 1998, Table II, method 10
    assert found.p < 0.05


def test_a_correlation_narrows_a_difference_as_zou_2007_says():
    first, second = Estimate(10, 8, 12, 1, 50), Estimate(7, 5, 9, 1, 50)
    found = intervals.difference(first, second, correlation=0.5)
    assert found.high - found.value == pytest.approx(math.sqrt(4 + 4 - 2 * 0.5 * 2 * 2))
    assert found.se == pytest.approx(1)
    assert intervals.difference(first, second, correlation=0.999).se < 0.05


def test_a_weighted_sum_of_strata_adds_the_distances_as_squares():
    parts = [Estimate(10, 6, 12, 2, 30), Estimate(20, 17, 24, 1, 70)]
    found = intervals.weighted_sum(parts, [0.25, 0.75])
    assert (found.value, found.n) == (17.5, 100)
    assert found.value - found.low == pytest.approx(math.hypot(0.25 * 4, 0.75 * 3))
    assert found.high - found.value == pytest.approx(math.hypot(0.25 * 2, 0.75 * 4))


def test_the_same_customers_twice_make_a_change_more_certain():
    rng, n = np.random.default_rng(3), 1200
    feeling = rng.choice([1, 5], n)
    again = np.where(rng.random(n) < 0.9, feeling, rng.choice([1, 5], n))
    ids = [f"c{i}" for i in range(n)]
    company = survey(np.r_[feeling, again], ids * 2, channel=["first"] * n + ["second"] * n)
    parts = answers.score_counts(company, "csat", by=["channel"])
    first, second = (parts[parts["channel"] == c] for c in ("first", "second"))
    found = estimates.change(company, "csat", second, first, "mean")
    alone = intervals.difference(*(estimate_of(company, p) for p in (second, first)))
    truth = float(np.std(again - feeling, ddof=1) / math.sqrt(n))  # of the paired differences
    assert truth < found.se < 0.75 * alone.se


def estimate_of(company, part):
    return estimates.estimate(company, "csat", part, "mean")


def test_segments_are_compared_with_all_others():
    plan = ["a"] * 100 + ["b"] * 100 + ["c"] * 100
    found = segments.differences(survey([5] * 80 + [1] * 20 + ([5] * 40 + [1] * 60) * 2, of_customers={"plan": plan}))
    row = found.table.set_index("level").loc["a"]
    assert row["value"] == pytest.approx(4.2)
    assert row["difference"] == pytest.approx(4.2 - 2.6)
    assert row["differs"]
    named = found.facts["top"][0]
    assert (named["segment"], named["level"]) == ("plan", "a")
    assert (named["gap"].value, named["gap"].low) == (row["difference"], row["difference_low"])
    assert (found.facts["differing"], found.facts["compared"]) == (found.table["differs"].sum(), 3)
    assert found.known == "observed"


def test_no_segment_is_named_where_none_differs():
    rng = np.random.default_rng(5)
    chance = [
        rows_of(rng.integers(1, 6, 600), of_customers={"plan": rng.choice(list("abcdefgh"), 600)}) for _ in range(20)
    ]
    named = sum(segments.differences(company).table["differs"].any() for company in surveys(chance))
    assert named <= 4  # .05 of 20 expected; more than 4 with probability .003


@pytest.fixture(scope="module")
def crowd():
    settings, frames = rows_of(np.resize([1, 3, 5], 360), of_customers={"plan": ["s0"] * 360})
    return Company.from_frames(settings, frames), frames


@examples(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    least=st.sampled_from([5, 30]),
)
@budget(max_examples=15, deadline=None)
def test_no_small_segment_is_shown_nor_left_over(crowd, sizes, least):
    whole, frames = crowd
    level = np.repeat([f"s{i}" for i in range(len(sizes))], sizes)  # of those who were asked
    plan = [*level, *["s0"] * (360 - len(level))]
    asked = frames["responses"].head(len(level))
    company = refilled(whole, {"customers": frames["customers"].assign(plan=plan), "responses": asked})
    privacy = whole.settings.privacy.model_copy(update={"minimum_base": least})
    company.settings = whole.settings.model_copy(update={"privacy": privacy})
    found = segments.differences(company, cuts=["plan"])
    if not found.answered:
        return
    shown = found.table
    left_over = sum(sizes) - shown["customers"].sum()
    assert (shown["customers"] >= least).all()
    assert left_over == 0 or (left_over >= least and len(sizes) - len(shown) >= 2)


def test_a_window_that_would_give_away_a_few_older_answers_is_not_shown():
    asked = pd.to_datetime(["2022-01-01"] * 5 + ["2024-06-01"] * 100)
    shown = current.headline(survey([5] * 5 + [3] * 100, asked_at=asked)).table
    assert set(shown["window"]) == {"all answers"}
    asked = pd.to_datetime(["2022-01-01"] * 50 + ["2024-06-01"] * 100)
    assert len(set(current.headline(survey([5] * 50 + [3] * 100, asked_at=asked)).table["window"])) == 2


def test_too_few_customers_have_no_score():
    found = current.headline(survey([1, 2, 3] * 20, ["a", "b", "c"] * 20))  # sixty answers of three customers
    assert not found.answered
    assert "fewer than 30 customers" in found.headline


def test_a_score_of_too_few_customers_is_named_beside_those_of_enough():
    both = {"nps": {"scale": [0, 10]}, "csat": {"scale": [1, 5], "good": "high"}}
    found = current.headline(survey([8] * 40 + [4] * 5, metrics=both, metric=["nps"] * 40 + ["csat"] * 5))
    assert found.facts["few"] == ["CSAT"]
    assert [s["label"] for s in found.facts["scores"]] == ["NPS"]
    assert found.known == "count"


def test_the_share_at_the_bad_end_is_that_of_the_table(company):
    found = current.distribution(company)
    for worst in found.facts["worst"]:
        rows = found.table[(found.table["metric"] == worst["label"]) & (found.table["band"] == worst["band"])]
        assert worst["share"] == pytest.approx(rows["value"].sum())


def test_answers_by_touchpoint_channel_and_any_further_column_can_be_cut():
    n = 200
    found = survey(
        np.resize([1, 5], n), channel=np.resize(["app", "phone"], n), touchpoint=["support"] * n,
        late=np.resize(["yes", "no"], n),
    )  # fmt: skip
    assert answers.cuts(found, "csat") == ["channel", "late"]  # one touchpoint is no cut
    shown = segments.differences(found).table.set_index(["segment", "level"])
    assert shown.loc[("channel", "app"), "value"] == 1
    assert shown.loc[("late", "no"), "difference"] == 4


# ---- agents ----------------------------------------------------------------------------------------------


def agents_answers(spread, seed=7, agents=12, answers=40):
    rng = np.random.default_rng(seed)
    effect = np.repeat(rng.normal(0, spread, agents), answers)
    given = np.clip(np.rint(3.5 + effect + rng.normal(0, 1, agents * answers)), 1, 5)
    return rows_of(given, agent=np.repeat([f"agent {i:02d}" for i in range(agents)], answers))


def test_agents_who_differ_by_chance_only_are_not_named():
    named = 0
    for company in surveys([agents_answers(0.0, seed) for seed in range(8)]):
        found = segments.agents(company).table
        centre = found["value"].mean()
        named += int(((found["low"] > centre) | (found["high"] < centre)).sum())
    assert named <= 2  # of 96


def test_agents_are_drawn_toward_their_mean_and_ranks_have_intervals():
    settings, frames = agents_answers(0.4)
    found = segments.agents(Company.from_frames(settings, frames))
    raw = frames["responses"]["score"].to_numpy().reshape(12, 40).mean(axis=1)
    assert found.table["raw"].to_numpy() == pytest.approx(raw)
    centre = raw.mean()
    assert (np.abs(found.table["value"] - centre) < np.abs(found.table["raw"] - centre) + 0.02).all()
    assert (found.table["rank_low"] <= found.table["rank_high"]).all()
    assert list(found.table["agent"]) == sorted(found.table["agent"])  # not a league table


def test_agents_of_the_demo(company):
    found = segments.agents(company)
    assert found.facts["differing"] == ["Lena"]  # the slowest of the demo
    assert found.facts["agents"] == len(found.table) == 12
    assert found.facts["mean"] == pytest.approx(3.52, abs=0.01)
    assert found.facts["spread"] == pytest.approx(0.11, abs=0.005)
    assert found.table["value"].std() < found.table["raw"].std()
    assert not segments.agents(survey([5] * 60)).answered


def test_nps_metrics_keep_one_voice_per_customer():
    found = survey([0] * 3 + [10] * 60, ["a"] * 3 + [f"c{i}" for i in range(60)], metrics=NPS)
    e = figures(current.headline(found))["nps"]
    assert e.n == 61
    assert estimates.kind_of("csat") == "mean"
    assert CSAT["csat"]["good"] == "high"
