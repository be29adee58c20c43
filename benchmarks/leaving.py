"""Simulated companies with known truth about churn: who leaves, when and why. They test the churn page.

Customers join over six years, get half-yearly questions, answer a third of them, and leave by choice or through a
failed payment. The latest score asked for (answered or not) multiplies the rate of chosen exits until the next
question: a start-stop model is true. Response does not depend on leaving, except that nobody answers after leaving.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts.people import STAGES
from cxlib.demo.paths import MONTH, NEVER, band_of, pick, stream

AS_OF = np.datetime64("2025-12-31", "D")
SINCE = np.datetime64("2022-12-31", "D")  # with World.leavers_since, customers who left before are missing
PLANS = np.array(["Basic", "Plus", "Pro"], dtype=object)
PLAN_SHARES = (0.4, 0.35, 0.25)
BANDS = ("promoter", "passive", "detractor")  # in the order of the codes of paths.band_of
JOINING = 6 * 365 + 1  # days before AS_OF over which customers join
YEAR = 365
FAILED = "payment failed"
SCORE_MEAN, SCORE_SD, SCORE_MEMORY = np.array([6.2, 7.4, 8.4]), 2.1, 0.65
DRIFT = 0.18  # points from one question to the next
ANSWERING, LONGEST_LAG = 0.35, 9  # response rate, days until the last answer
DECIDED = (20, 80)  # days between deciding and leaving
LOWEST = 5  # scores after the decision are lower than this


@dataclass(frozen=True)
class World:
    """Parameters of the simulation. Hazards are per month of 30.4375 days, by plan (Basic, Plus, Pro)."""

    ratios: tuple[float, float] = (2.0, 1.3)  # chosen exits, detractors and passives relative to promoters
    chosen: tuple[float, float, float] = (0.0130, 0.0090, 0.0060)  # chosen exits of promoters
    failed: tuple[float, float, float] = (0.0040, 0.0025, 0.0015)  # failed payments
    leavers_since: bool = False  # customers who left before SINCE are missing altogether
    decided: bool = False  # chosen exits are decided some weeks before, and scores given after that are low


KNOWN = World()
NULL = World(ratios=(1.0, 1.0), chosen=(0.0195, 0.0120, 0.0075))
DECIDED_BEFORE = World(ratios=(1.0, 1.0), chosen=(0.0195, 0.0120, 0.0075), decided=True)


@dataclass(frozen=True)
class Lives:
    """One row per customer, in days since joining; codes index PLANS and BANDS.

    ``left`` is the last day as a customer. Question k is asked at the start of day ``asked[:, k]`` and, where
    ``answers``, answered at the start of day ``heard[:, k]`` with ``given[:, k]``. ``in_force[:, k]`` is the score
    group from question k - 1 to question k (k = 0: from joining, a score never asked for). ``decided`` is the day from
    which answers are low, NEVER without a decision.
    """

    joined: np.ndarray  # days before AS_OF, negative
    plan: np.ndarray
    asked: np.ndarray
    heard: np.ndarray
    answers: np.ndarray
    score: np.ndarray  # customers x (1 + questions), without the effect of a decision
    given: np.ndarray  # customers x questions
    in_force: np.ndarray
    left: np.ndarray
    chosen: np.ndarray
    decided: np.ndarray


def live(seed: int, customers: int, world: World, length: int = JOINING) -> Lives:
    """Simulate customers for ``length`` days from joining; a greater length continues the same lives.

    Exits are exact draws: each customer leaves where the cumulative hazard, constant between two questions, reaches an
    exponential draw.
    """
    months = 3 + 6 * np.arange(int((length / MONTH - 3) // 6) + 2)
    uniform = stream(seed, "customers").random((2, customers))
    joined = np.floor(uniform[0] * JOINING).astype(np.int64) - JOINING + 1
    plan = pick(uniform[1], PLAN_SHARES)
    jitter = stream(seed, "asked").integers(-4, 5, (months.size, customers)).T
    asked = np.rint(months * MONTH).astype(np.int64) + jitter

    feeling = stream(seed, "experience").standard_normal((months.size + 1, customers))
    for k in range(1, months.size + 1):
        feeling[k] = SCORE_MEMORY * feeling[k - 1] + np.sqrt(1 - SCORE_MEMORY**2) * feeling[k]
    feeling = SCORE_MEAN[plan][:, None] + DRIFT * np.arange(months.size + 1) + SCORE_SD * feeling.T
    score = np.clip(np.rint(feeling), 0, 10).astype(np.int8)
    in_force = band_of(score)

    hazard = np.array(world.chosen)[plan][:, None] * np.array([1.0, *world.ratios[::-1]])[in_force] / MONTH
    edge = np.concatenate([np.zeros((customers, 1)), asked], axis=1)
    until = np.cumsum(hazard[:, :-1] * np.diff(edge, axis=1), axis=1)
    luck = stream(seed, "exits").standard_exponential((2, customers))
    piece = (until <= luck[0][:, None]).sum(axis=1)  # the last piece has no end
    row = np.arange(customers)
    before = np.where(piece > 0, until[row, piece - 1], 0.0)
    by_choice = edge[row, piece] + (luck[0] - before) / hazard[row, piece]
    by_failure = luck[1] / np.array(world.failed)[plan] * MONTH
    left = np.minimum(np.floor(np.minimum(by_choice, by_failure)), NEVER).astype(np.int64)
    chosen = by_choice < by_failure

    notice = stream(seed, "decided").integers(DECIDED[0], DECIDED[1] + 1, customers)
    decided = np.where(chosen & world.decided, left - notice, NEVER)
    uniform = stream(seed, "answers").random((months.size, 3, customers)).transpose(1, 2, 0)
    heard = asked + np.floor(uniform[1] * (LONGEST_LAG + 1)).astype(np.int64)
    answers = (uniform[0] < ANSWERING) & (heard <= left[:, None])
    low = np.floor(uniform[2] * LOWEST).astype(np.int8)
    given = np.where(heard >= decided[:, None], low, score[:, 1:])
    return Lives(joined, plan, asked, heard, answers, score, given, in_force, left, chosen, decided)


@lru_cache(maxsize=4)
def _ids(letter: str, n: int) -> np.ndarray:
    return np.array([f"{letter}{i:06d}" for i in range(n)], dtype=object)


def make(seed: int, customers: int, world: World) -> tuple[dict[str, object], dict[str, pd.DataFrame]]:
    """Return settings and frames of one company for ``Company.from_frames``, as exported on AS_OF."""
    lives = live(seed, customers, world)
    left = lives.joined + lives.left
    gone = left <= 0
    there = ~gone | (left >= (SINCE - AS_OF).astype(int)) if world.leavers_since else np.ones(customers, dtype=bool)
    ids = _ids("C", customers)
    people = pd.DataFrame(
        {
            "customer_id": ids,
            "joined_on": AS_OF + lives.joined,
            "left_on": np.where(gone, AS_OF + np.minimum(left, 0), np.datetime64("NaT")),
            "left_reason": np.where(gone, np.where(lives.chosen, "cancelled", FAILED), None),
            "plan": PLANS[lives.plan],
        }
    )
    since_joining = np.minimum(lives.left, -lives.joined)[:, None]  # the last day seen
    who, wave = np.nonzero((lives.asked <= since_joining) & there[:, None])
    answered = lives.answers[who, wave] & (lives.heard[who, wave] <= since_joining[who, 0])
    day = AS_OF + lives.joined[who]
    responses = pd.DataFrame(
        {
            "response_id": _ids("R", customers * lives.asked.shape[1])[: who.size],
            "customer_id": ids[who],
            "metric": "nps",
            "asked_at": day + lives.asked[who, wave],
            "answered_at": np.where(answered, day + lives.heard[who, wave], np.datetime64("NaT")),
            "score": np.where(answered, lives.given[who, wave], np.nan),
        }
    )
    settings = {
        "name": "Leaving", "as_of": str(AS_OF), "relationship": "contractual", "metrics": {"nps": {"scale": [0, 10]}},
        "segments": ["plan"], "involuntary_reasons": [FAILED], "privacy": {"minimum_base": 30}, "draws": 200,
    }  # fmt: skip
    if world.leavers_since:
        settings["leavers_since"] = str(SINCE)
    return settings, {"customers": people[there].reset_index(drop=True), "responses": responses}


# ---- the truth -------------------------------------------------------------------------------------------------------


def _after(lives: Lives, world: World) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the counts behind the true values, from customers followed to their end: name, score groups x cells x 3.

    The last axis is: customers, of them still here at the end, of them left by choice. Cells are the strata that the
    curves average over: plans, or plans by stage of the customer at the time.
    """
    cells = len(PLANS) * (len(STAGES) + 1)

    def count(who: np.ndarray, band: np.ndarray, stage: np.ndarray, day: np.ndarray, length: int) -> np.ndarray:
        days = lives.left[who] - day
        cell = (band.astype(np.int64) * (len(STAGES) + 1) + stage) * len(PLANS) + lives.plan[who]
        outcomes = (np.ones(who.size), days >= length, (days < length) & lives.chosen[who])
        found = [np.bincount(cell, o, len(BANDS) * cells) for o in outcomes]
        return np.stack(found, axis=1).reshape(len(BANDS), cells, 3)

    since = (SINCE - AS_OF).astype(int) if world.leavers_since else -NEVER
    everybody, one = np.arange(lives.left.size), np.zeros(lives.left.size, dtype=np.int64)
    for years in (1, 2):
        yield f"signup_{12 * years}", count(everybody, one, one, one, YEAR * years)

    answers = lives.answers & (lives.joined[:, None] + lives.heard <= 0)
    when = np.where(answers, lives.heard, lives.asked)
    on = lives.joined[:, None] + when
    followed = (lives.asked <= lives.left[:, None]) & (on <= 0) & (on >= since)
    for name, some in (("asked", followed), ("answer", followed & answers)):
        who, wave = np.nonzero(some)
        stage = np.searchsorted([until for until, _ in STAGES], when[who, wave], side="right")
        yield name, count(who, band_of(lives.given[who, wave]), stage, when[who, wave], YEAR)

    known = lives.answers & (lives.heard <= YEAR)
    on = lives.joined + YEAR
    who = np.flatnonzero(known.any(axis=1) & (lives.left >= YEAR) & (on <= 0) & (on >= since))
    last = known.shape[1] - 1 - np.argmax(known[who, ::-1], axis=1)
    yield "landmark", count(who, band_of(lives.given[who, last]), one[who], YEAR + one[who], YEAR)


def truths(world: World, customers: int = 1_000_000, seed: int = 1, chunk: int = 50_000) -> dict[str, float]:
    """Return the true values of a world, from very many simulated customers, each followed to the end.

    - ``hazard_ratio_BAND``: of chosen exits, relative to promoters, from one question to the next.
    - ``still_here_BAND``: share still here 365 days after an answer given up to AS_OF (with ``leavers_since``: from
      SINCE on), at the mix of plans and stages of all questions asked; ``gap`` is promoters minus detractors.
    - ``gone_chosen_12``, ``gone_failed_12`` (and ``_24``): cumulative incidence 365 (730) days after sign-up.
    - ``landmark_still_here_BAND``, ``landmark_gone_chosen_BAND``: of customers 365 days after joining, by the last
      score known then, 365 days later; at the mix of plans of all of them.

    With ``decided`` the ratios are the effect of the score, which is none. The shares are what is seen after an answer;
    they differ a lot.
    """
    sums: dict[str, np.ndarray] = {}
    for i, first in enumerate(range(0, customers, chunk)):
        some = live(seed * 1_000_003 + i, min(chunk, customers - first), world, JOINING + YEAR + LONGEST_LAG)
        for name, counted in _after(some, world):
            sums[name] = sums.get(name, 0.0) + counted
    true = {"hazard_ratio_detractor": world.ratios[0], "hazard_ratio_passive": world.ratios[1]}
    for months in (12, 24):
        n, here, chosen = sums[f"signup_{months}"].sum(axis=(0, 1))
        true |= {f"gone_chosen_{months}": chosen / n, f"gone_failed_{months}": (n - here - chosen) / n}
    for name, mixed_as, prefix in (("answer", "asked", ""), ("landmark", "landmark", "landmark_")):
        mix = sums[mixed_as][..., 0].sum(axis=0)
        counted, mix = sums[name][:, mix > 0], mix[mix > 0]
        here, chosen = np.tensordot(counted[..., 1:] / counted[..., :1], mix / mix.sum(), axes=(1, 0)).T
        true |= {f"{prefix}still_here_{b}": v for b, v in zip(BANDS, here, strict=True)}
        if prefix:
            true |= {f"{prefix}gone_chosen_{b}": v for b, v in zip(BANDS, chosen, strict=True)}
    true["gap"] = true["still_here_promoter"] - true["still_here_detractor"]
    return {name: float(value) for name, value in true.items()}
