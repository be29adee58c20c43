"""The made-up worlds of benchmarks/leaving.py are what they say.

Rates, scores, silence, who is missing, and the truths.
"""

from __future__ import annotations

import dataclasses

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import leaving
from benchmarks.leaving import BANDS, DECIDED_BEFORE, KNOWN, MONTH, NULL, PLANS, World, live, make, truths
from cxlib.counts import follow_up
from cxlib.intake.company import Company
from cxlib.stats import rates, survival

AS_OF = pd.Timestamp(leaving.AS_OF)
LARGE = 40_000
MANY = 4.5  # standard errors; about one in 150,000 lies further off by chance


def agrees(found, true, se):
    off = np.abs(np.asarray(found) - true) / se
    assert np.all(off < MANY), f"{found} is not {true}: {np.max(off):.1f} standard errors off"


def frames_of(world, seed=7, customers=LARGE):
    settings, frames = make(seed, customers, world)
    rows = frames["responses"].merge(frames["customers"], on="customer_id")
    return settings, frames["customers"], rows


@pytest.fixture(scope="module")
def known():
    return frames_of(KNOWN)


@pytest.fixture(scope="module")
def decided():
    return frames_of(DECIDED_BEFORE)


def band(score):
    return np.select([score >= 9, score >= 7], BANDS[:2], BANDS[2])


def start_stop(rows):
    """Days since joining from each answer to the next question, to leaving or to the end.

    The last day counts in full.
    """
    rows = rows.sort_values(["customer_id", "asked_at"])
    day = {c: (rows[c] - rows["joined_on"]).dt.days for c in ("asked_at", "answered_at", "left_on")}
    following = day["asked_at"].groupby(rows["customer_id"]).shift(-1)
    end = day["left_on"].fillna((AS_OF - rows["joined_on"]).dt.days) + 1
    stop = np.fmin(end, following)
    event = rows["left_on"].notna() & (following.isna() | (end <= following))
    rows = rows.assign(
        start=day["answered_at"],
        stop=stop,
        chosen=(event & (rows["left_reason"] == "cancelled")).astype(int),
        failed=(event & (rows["left_reason"] == leaving.FAILED)).astype(int),
        band=band(rows["score"]),
    )
    return rows[rows["score"].notna() & (rows["stop"] > rows["start"])]


def test_a_seed_makes_the_same_company_again_and_another_seed_another():
    (settings, first), (_, again), (_, other) = (make(s, 300, KNOWN) for s in (5, 5, 6))
    assert settings["as_of"] == "2025-12-31"
    for table in first:
        pd.testing.assert_frame_equal(first[table], again[table])
        assert not first[table].equals(other[table])


def test_a_longer_look_shows_the_same_lives():
    short, long = live(3, 500, KNOWN), live(3, 500, KNOWN, 4000)
    n = short.asked.shape[1]
    seen = short.left < short.asked[:, -1]  # after the last question nothing is known of the next
    for name in ("joined", "plan", "left", "chosen"):
        np.testing.assert_array_equal(getattr(short, name)[seen], getattr(long, name)[seen])
    for name in ("asked", "heard", "answers", "given"):
        np.testing.assert_array_equal(getattr(short, name)[seen], getattr(long, name)[seen, :n])


@pytest.mark.parametrize("world", [KNOWN, NULL], ids=["known", "null"])
def test_rates_of_leaving_are_the_stated_ones_in_every_plan_and_band(world):
    """Exits per month between two questions, answered or not: occurrence over exposure, Poisson error."""
    lives = live(11, LARGE, world)
    edge = np.column_stack([np.zeros(LARGE, dtype=int), lives.asked])
    edge[:, -1] = leaving.NEVER
    stayed = lives.left[:, None] + 0.5  # the hour of the day is not kept: half a day on average
    months = np.clip(stayed - edge[:, :-1], 0, np.diff(edge, axis=1)) / MONTH
    gone = (edge[:, :-1] <= lives.left[:, None]) & (lives.left[:, None] < edge[:, 1:])
    ratios = dict(zip(BANDS[::-1], (*world.ratios, 1.0), strict=True))
    for plan in range(len(PLANS)):
        for code, name in enumerate(BANDS):
            cell = (lives.plan[:, None] == plan) & (lives.in_force[:, :-1] == code)
            exposed = months[cell].sum()
            for by_choice, true in ((True, world.chosen[plan] * ratios[name]), (False, world.failed[plan])):
                events = (gone & cell & (lives.chosen[:, None] == by_choice)).sum()
                agrees(events / exposed, true, np.sqrt(true / exposed))


def test_rates_seen_after_an_answer_are_the_stated_ones(known):
    rows = start_stop(known[2])
    cells = rows.assign(months=(rows["stop"] - rows["start"] - 0.5 * rows["chosen"]) / MONTH)
    cells = cells.groupby(["plan", "band"])[["months", "chosen", "failed"]].sum()
    ratios = dict(zip(BANDS[::-1], (*KNOWN.ratios, 1.0), strict=True))
    for (plan, name), cell in cells.iterrows():
        at = list(PLANS).index(plan)
        for cause, true in (("chosen", KNOWN.chosen[at] * ratios[name]), ("failed", KNOWN.failed[at])):
            agrees(cell[cause] / cell["months"], true, np.sqrt(true / cell["months"]))


def test_a_start_stop_model_finds_the_ratios(known):
    rows = start_stop(known[2])
    rows = rows.assign(fold=0).rename(columns={"plan": "stratum", "chosen": "event"})
    rows = rows[["stratum", "band", "start", "stop", "event", "fold"]].astype({"start": int, "stop": int})
    time = follow_up.person_time(ibis.memtable(rows))
    found = rates.rate_ratios(time, "band", "promoter", ["stratum", "month"], cluster=None)
    found = found.loc[["detractor", "passive"]]
    agrees(np.log(found["value"]), np.log(KNOWN.ratios), found["se"])


def test_between_a_third_and_a_half_have_left(known, decided):
    for world in (known[1], decided[1], make(1, 20_000, NULL)[1]["customers"]):
        assert 0.35 < world["left_on"].notna().mean() < 0.45


def test_scores_rise_with_every_question_and_remember_the_last():
    """Scores are a rounded normal feeling, so their mean and the share of two low ones in a row are known exactly."""
    lives = live(2, LARGE, KNOWN)
    for plan in range(len(PLANS)):
        score = lives.score[lives.plan == plan]
        for wave in range(score.shape[1]):
            mean = leaving.SCORE_MEAN[plan] + 0.18 * wave
            above = stats.norm.sf((np.arange(10) + 0.5 - mean) / leaving.SCORE_SD)  # P(score > 0), P(score > 1) ...
            true, square = above.sum(), ((2 * np.arange(10) + 1) * above).sum()
            agrees(score[:, wave].mean(), true, np.sqrt((square - true**2) / len(score)))
        low = (6.5 - leaving.SCORE_MEAN[plan] - 0.18 * np.array([4, 5])) / leaving.SCORE_SD
        both = stats.multivariate_normal.cdf(low, cov=[[1, 0.65], [0.65, 1]])
        found = ((score[:, 4] <= 6) & (score[:, 5] <= 6)).mean()
        agrees(found, both, np.sqrt(both * (1 - both) / len(score)))


def test_questions_come_half_yearly_from_the_third_month_to_those_still_there(known):
    _, people, rows = known
    assert rows.groupby("customer_id").size().max() == 12
    tenure = (rows["asked_at"] - rows["joined_on"]).dt.days
    wave = np.rint((tenure / MONTH - 3) / 6)
    assert (tenure - (3 + 6 * wave) * MONTH).abs().max() <= 4.5
    here = people["left_on"].fillna(AS_OF)
    due = (here - people["joined_on"]).dt.days >= np.rint(9 * MONTH) + 4
    twice = rows.groupby("customer_id").size().reindex(people["customer_id"], fill_value=0).to_numpy() >= 2
    assert twice[due].all()  # nobody there is left out


def test_a_third_answers_within_nine_days_and_nobody_after_leaving(known):
    _, _, rows = known
    assert (rows["asked_at"] <= rows["left_on"].fillna(AS_OF)).all()
    answered = rows[rows["score"].notna()]
    assert (answered["answered_at"] <= answered["left_on"].fillna(AS_OF)).all()
    lag = (answered["answered_at"] - answered["asked_at"]).dt.days
    assert set(lag) == set(range(10))
    pd.testing.assert_series_equal(rows["score"].notna(), rows["answered_at"].notna(), check_names=False)
    stayed = rows[rows["left_on"].fillna(AS_OF) - rows["asked_at"] >= pd.Timedelta(days=9)]
    for _, some in stayed.groupby("plan"):
        agrees(some["score"].notna().mean(), 0.35, np.sqrt(0.35 * 0.65 / len(some)))


def test_answering_has_nothing_to_do_with_leaving_soon(known):
    rows = known[2]
    remaining = (rows["left_on"] - rows["asked_at"]).dt.days
    soon = rows.loc[remaining.between(9, 60), "score"].notna()
    agrees(soon.mean(), 0.35, np.sqrt(0.35 * 0.65 / len(soon)))


def test_customers_who_left_before_leavers_since_are_absent_and_all_others_are_there():
    (_, whole), (settings, part) = make(4, 3000, KNOWN), make(4, 3000, World(leavers_since=True))
    since = pd.Timestamp(settings["leavers_since"])
    assert since == AS_OF - pd.DateOffset(years=3)
    early = whole["customers"]["left_on"] < since
    assert early.sum() > 100
    pd.testing.assert_frame_equal(part["customers"], whole["customers"][~early].reset_index(drop=True))
    rest = whole["responses"].drop(columns="response_id")
    rest = rest[rest["customer_id"].isin(part["customers"]["customer_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(part["responses"].drop(columns="response_id"), rest)


def test_where_leaving_is_decided_scores_fall_only_after_the_decision(decided):
    _, people, rows = decided
    plain = make(7, LARGE, NULL)[1]
    pd.testing.assert_frame_equal(people, plain["customers"])  # leaving does not depend on scores, nor on deciding
    before = plain["responses"]["score"]
    own = rows.set_index("response_id").loc[plain["responses"]["response_id"]].reset_index()
    remaining = (own["left_on"] - own["answered_at"]).dt.days.where(own["left_reason"] == "cancelled")
    late, undecided = remaining < 20, remaining.isna() | (remaining > 80)
    hidden = own["left_on"].isna() & ((AS_OF - own["answered_at"]).dt.days < 80)  # will leave after AS_OF
    early = undecided & ~hidden & own["score"].notna()
    np.testing.assert_array_equal(own["score"][early], before[early])
    assert late.sum() > 500
    assert (own["score"][late] <= 4).all()
    assert sorted(own["score"][late].unique()) == [0, 1, 2, 3, 4]
    between = remaining.between(20, 80) & (before >= 5)
    changed = (own["score"] < before)[between]
    decided_by_then = ((81 - remaining) / 61)[between]  # notice is uniform on 20 .. 80 days
    agrees(
        changed.mean(), decided_by_then.mean(), np.sqrt((decided_by_then * (1 - decided_by_then)).sum()) / len(changed)
    )


def test_truths_of_the_null_world_are_those_of_constant_hazards():
    customers = 100_000
    true = truths(NULL, customers)
    assert (true["hazard_ratio_detractor"], true["hazard_ratio_passive"]) == (1, 1)
    chosen, failed, share = (np.array(v) for v in (NULL.chosen, NULL.failed, leaving.PLAN_SHARES))
    rate = chosen + failed
    for months in (12, 24):
        gone = 1 - np.exp(-rate * 365 * (months // 12) / MONTH)
        for cause, own in (("chosen", chosen), ("failed", failed)):
            p = (share * own / rate * gone).sum()
            agrees(true[f"gone_{cause}_{months}"], p, np.sqrt(p * (1 - p) / customers))
    # Of the answers: each plan's mean stay under constant exits, seen up to AS_OF, gives its share of them.
    bands = [true[f"still_here_{b}"] for b in BANDS]
    here = np.exp(-rate * 365 / MONTH)
    assert here.min() < min(bands) < here.max()
    np.testing.assert_allclose(bands, np.mean(bands), atol=MANY * 0.5 / np.sqrt(0.35 * customers / 2))
    assert true["gap"] == pytest.approx(bands[0] - bands[2])


def test_truths_of_the_known_world_are_what_a_large_company_shows(known):
    """Kaplan-Meier at a year, by band, plan and stage in the mix of all questions.

    Of a company watched until AS_OF only.
    """
    true, rows = truths(KNOWN, 300_000), known[2]
    when = rows["answered_at"].fillna(rows["asked_at"])
    stage = pd.cut((when - rows["joined_on"]).dt.days, [0, 91, 365, 730, 9999], right=False).astype(str)
    length = (rows["left_on"].fillna(AS_OF) - when).dt.days + 1
    rows = rows.assign(
        duration=length, event=rows["left_on"].notna(), level=stage + rows["plan"], band=band(rows["score"])
    )
    mix = rows["level"].value_counts(normalize=True)
    for name in BANDS:
        found, variance = 0.0, 0.0
        for level, some in rows[(rows["band"] == name) & rows["score"].notna()].groupby("level"):
            curve = survival.survival_at(survival.kaplan_meier(some["duration"], some["event"]), 365).iloc[0]
            found += mix[level] * curve["value"]
            variance += (mix[level] * curve["se"]) ** 2
        agrees(
            found, true[f"still_here_{name}"], np.sqrt(2 * variance)
        )  # answers of one customer overlap: at most double


def test_truths_tell_the_worlds_apart():
    decided, known = truths(DECIDED_BEFORE, 50_000), truths(KNOWN, 50_000)
    assert decided["hazard_ratio_detractor"] == 1
    assert decided["gap"] > 0.04  # seen after the answer, though the score does nothing
    assert known["still_here_promoter"] > known["still_here_passive"] > known["still_here_detractor"]
    assert known["landmark_gone_chosen_detractor"] > known["landmark_gone_chosen_promoter"]
    whole, part = truths(KNOWN, 20_000), truths(dataclasses.replace(KNOWN, leavers_since=True), 20_000)
    assert whole["gone_chosen_24"] == part["gone_chosen_24"]
    assert whole["still_here_promoter"] != part["still_here_promoter"]


@pytest.mark.parametrize("world", [KNOWN, World(leavers_since=True)], ids=["all leavers", "late leavers only"])
def test_a_company_is_taken_in_whole(world):
    settings, frames = make(1, 400, world)
    company = Company.from_frames(settings, frames)
    assert company.set_aside.empty
    assert company.record.set_index("table")["used"].to_dict() == {k: len(v) for k, v in frames.items()}
    assert not company.notes["check"].str.contains("left_on|never seen").any()
    assert company.settings.leavers_since == (pd.Timestamp(leaving.SINCE).date() if world.leavers_since else None)
