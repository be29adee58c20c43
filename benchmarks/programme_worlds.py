"""Simulated companies with one programme each and a known true effect. They test the page on returns.

A customer has a lasting satisfaction and a mood that fades within months. Both drive leaving, contacts and the score.
So low scorers recover without help, and a programme given to them looks good in a before/after comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.stats import finance

CUSTOMERS, BRANCHES = 5400, 48  # customers who ever joined; about 3,000 are here at the start
FIRST = np.datetime64("2023-07", "M")
SPAN, START, STEPS = 30, 18, (12, 15, 18)  # months simulated; month in which the programme starts; the three steps
FOLLOWED = SPAN - START  # months after the (last) start
JOINING = 72  # months before FIRST over which customers joined
PLANS = np.array(["Basic", "Plus", "Pro"], dtype=object)
PLAN_SHARES = (0.45, 0.35, 0.20)
FEES = np.array([20.0, 35.0, 60.0])
LEAVING = np.array([0.026, 0.021, 0.016])  # a month, for a long-standing customer in a neutral mood
CONTACTS = 0.25  # a month
CONTACT_COST = (6.0, 14.0)  # uniform
SCORE_MEAN, LASTING, MOOD, MEMORY = 6.9, 1.2, 1.7, 0.7  # score points; correlation of the mood from month to month
BRANCH, BRANCH_MONTH, BRANCH_MEMORY = 0.15, 0.15, 0.8  # of log rates of churn and contacts, shared by a branch
ASKED_EVERY, ANSWERING = 3, 0.6
LOW = 6
MARGIN, DISCOUNT = 0.75, 0.10
UPFRONT, MONTHLY = 4000.0, 300.0


@dataclass(frozen=True)
class Kind:
    """How customers get a programme and what it does to leaving, contacts and fee (ratios).

    ``given``: randomised (half of the customers on Basic and Plus), staggered (by branch), chosen (low scorers, with a
    probability that depends on score, plan and tenure) or all low (every low scorer). The effect is complete ``grows``
    months after the start. ``smallest``: relative fall in churn declared beforehand as the target; None: any fall
    counts.

    Worlds made to fool a page. Given "picked up": low scorers are called, and the contented pick up (``odds`` per
    standard deviation of the log hazard of the coming year); "picked up, lasting": of the lasting satisfaction, which
    nobody records. Given "spared": called a trial, but staff skip customers in trouble at the same mix of plans.
    ``recorded``: whether payments and contacts are on record from before the start. ``drift``: by how much a month
    leaving falls anyway in branches of the third step, throughout; twice and three times as fast in the steps before.
    """

    given: str
    leaving: float = 1.0
    contacts: float = 1.0
    fee: float = 1.0
    grows: int = 1
    smallest: float | None = None
    odds: float = 1.0
    recorded: bool = True
    drift: float = 0.0


KINDS = {
    "randomised": Kind("randomised", 0.70, 0.85, 1.03, smallest=0.05),
    "randomised, no effect": Kind("randomised"),
    "staggered, growing": Kind("staggered", 0.55, 0.75, 1.05, grows=6, smallest=0.05),
    "staggered, no effect": Kind("staggered"),
    "low scorers, some, no effect": Kind("chosen"),
    "low scorers, all, no effect": Kind("all low"),
    "low scorers, some, with effect": Kind("chosen", 0.60, 0.85, 1.03, smallest=0.05),
    "low scorers, the contented pick up, no effect": Kind("picked up", odds=2.7),
    "low scorers, the satisfied pick up, no effect": Kind("picked up, lasting", odds=2.2),
    "low scorers, nothing recorded before, no effect": Kind("picked up", odds=2.7, recorded=False),
    "staggered, early branches improve, no effect": Kind("staggered", drift=0.01),
    "staggered, early branches improve half as fast, no effect": Kind("staggered", drift=0.005),
    "called randomised, those in trouble spared, no effect": Kind("spared", odds=2.7),
}
MADE_TO_FOOL = tuple(k for k, what in KINDS.items() if what.odds != 1 or what.drift)


# ---- customers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lives:
    """Customers as they would be without a programme, one row each; columns are the months from FIRST.

    ``joined`` is a month (negative: before FIRST), ``left`` the month of leaving (SPAN: not within the span).
    ``lasting``: the satisfaction that stays, in standard deviations; ``leaving``: monthly probability; ``luck``: the
    uniform draw that decides on it; ``contacts``: expected number a month; ``score``: NaN without an answer.
    """

    joined: np.ndarray
    plan: np.ndarray
    branch: np.ndarray
    fee: np.ndarray
    lasting: np.ndarray
    leaving: np.ndarray
    contacts: np.ndarray
    luck: np.ndarray
    left: np.ndarray
    leaving_day: np.ndarray  # 2 to 28
    asked: np.ndarray  # whether a survey is sent in the month, if they are a customer then
    asking_day: np.ndarray
    score: np.ndarray

    def here(self, month: int) -> np.ndarray:
        """Return who joined before a month and is a customer on its first day."""
        return (self.joined < month) & (self.left >= month)


def live(rng: np.random.Generator, customers: int = CUSTOMERS, branches: int = BRANCHES) -> Lives:
    """Simulate customers who join at an even rate from JOINING months before FIRST until the end."""
    shape, months = (customers, SPAN), np.arange(SPAN)
    joined = rng.integers(-JOINING, SPAN, customers)
    plan = np.searchsorted(np.cumsum(PLAN_SHARES)[:-1], rng.random(customers), side="right")
    branch = rng.integers(0, branches, customers)
    fee = np.round(FEES[plan] * np.exp(0.15 * rng.standard_normal(customers)), 2)
    lasting, mood = rng.standard_normal(customers), _fading(rng, customers, MEMORY)
    shared = BRANCH * rng.standard_normal((branches, 1)) + BRANCH_MONTH * _fading(rng, branches, BRANCH_MEMORY)
    shared = shared[branch]
    new = 0.8 * np.exp(-np.maximum(months - joined[:, None], 0) / 12)
    leaving = LEAVING[plan][:, None] * (1 + new) * np.exp(-0.30 * lasting[:, None] - 0.35 * mood + shared)
    leaving = np.where(months > joined[:, None], np.minimum(leaving, 0.5), 0.0)
    luck = rng.random(shape)
    asked = (months - rng.integers(0, ASKED_EVERY, customers)[:, None]) % ASKED_EVERY == 0
    feeling = SCORE_MEAN + 0.3 * (plan[:, None] - 1) + LASTING * lasting[:, None] + MOOD * mood - shared
    feeling = np.clip(np.rint(feeling + 0.5 * rng.standard_normal(shape)), 0, 10)
    return Lives(
        joined=joined,
        plan=plan,
        branch=branch,
        fee=fee,
        lasting=lasting,
        leaving=leaving,
        contacts=CONTACTS * np.exp(-0.15 * lasting[:, None] - 0.35 * mood + shared),
        luck=luck,
        left=_first(luck < leaving),
        leaving_day=rng.integers(2, 29, customers),
        asked=asked & (months > joined[:, None]),
        asking_day=rng.integers(1, 29, shape),
        score=np.where(asked & (rng.random(shape) < ANSWERING), feeling, np.nan),
    )


def _fading(rng: np.random.Generator, rows: int, memory: float) -> np.ndarray:
    """Draw a stationary series (AR 1) with mean 0 and standard deviation 1: rows x SPAN months."""
    found = rng.standard_normal((rows, SPAN))
    for k in range(1, SPAN):
        found[:, k] = memory * found[:, k - 1] + np.sqrt(1 - memory**2) * found[:, k]
    return found


def _first(happens: np.ndarray) -> np.ndarray:
    """Return the first month in which something happens, SPAN if never."""
    return np.where(happens.any(axis=1), happens.argmax(axis=1), SPAN)


def last_score(lives: Lives) -> np.ndarray:
    """Return each customer's last score before START, NaN without an answer."""
    known = lives.asked[:, :START] & ~np.isnan(lives.score[:, :START])
    at = START - 1 - known[:, ::-1].argmax(axis=1)
    return np.where(known.any(axis=1), lives.score[np.arange(len(at)), at], np.nan)


def starts(kind: Kind, lives: Lives, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the month from which each customer gets the programme (SPAN: never), and who could have got it.

    In a staggered rollout all customers of a branch get it from its step on; those present at the first step count.
    """
    chance = rng.random(len(lives.joined))
    if kind.given == "staggered":
        return np.array([*STEPS, SPAN])[lives.branch % (len(STEPS) + 1)], lives.here(STEPS[0])
    if kind.given == "randomised":
        open_to, reached = lives.here(START) & (lives.plan < 2), chance < 0.5
    elif kind.given == "spared":
        open_to, trouble = lives.here(START) & (lives.plan < 2), lives.contacts[:, START - 1]
        by_plan = sum(np.where(lives.plan == p, _scaled(trouble, open_to & (lives.plan == p)), 0) for p in (0, 1))
        reached = chance < 1 / (1 + kind.odds**by_plan)
    elif kind.given.startswith("picked up"):
        open_to = lives.here(START) & (last_score(lives) <= LOW)
        coming = -np.log(1 - lives.leaving[:, START : START + 12]).sum(axis=1)  # hazard of the year to come
        feeling = lives.lasting if kind.given.endswith("lasting") else -_scaled(coming, open_to)
        reached = chance < 1 / (1 + kind.odds**-feeling)
    else:
        score = last_score(lives)
        open_to = lives.here(START) & (score <= LOW)
        tenure = np.log1p(np.maximum(START - lives.joined, 0))
        odds = np.exp(0.30 * (4.5 - np.nan_to_num(score)) - 0.4 * (lives.plan - 0.75) - 0.3 * (tenure - 3.5))
        reached = (chance < odds / (1 + odds)) | (kind.given == "all low")
    return np.where(open_to & reached, START, SPAN), open_to


def _scaled(rate: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the log of a rate in standard deviations from its mean, both of those among whom it is compared."""
    logs = np.log(np.where(rate > 0, rate, 1.0))
    return (logs - logs[among].mean()) / logs[among].std()


def ratios(kind: Kind, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the effect of the programme on leaving, contacts and fee: factors, customers x months."""
    at_work = np.clip((np.arange(SPAN) - start[:, None] + 1) / kind.grows, 0, 1)
    return kind.leaving**at_work, kind.contacts**at_work, kind.fee**at_work


# ---- as exported -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _ids(letter: str, n: int) -> np.ndarray:
    return np.array([f"{letter}{i:06d}" for i in range(n)], dtype=object)


def _on(month: np.ndarray | int, day: np.ndarray | int) -> np.ndarray:
    return (FIRST + month).astype("datetime64[D]") + (day - 1)


def settings(kind: str) -> dict[str, object]:
    """Return the settings of a company for ``Company.from_frames``."""
    return {
        "name": kind, "as_of": str(_on(SPAN, 0)), "relationship": "contractual", "currency": "GBP",
        "metrics": {"nps": {"scale": [0, 10]}}, "segments": ["plan"], "privacy": {"minimum_base": 30}, "draws": 400,
        "money": {"value_is": "margin", "gross_margin": MARGIN, "discount_rate": DISCOUNT,
                  "discount_convention": "effective", "horizon_months": 24, "first_flow": "end"},
    }  # fmt: skip


def make(kind: str, seed: int, customers: int = CUSTOMERS) -> tuple[dict[str, pd.DataFrame], dict[str, bool]]:
    """Return the frames of one company, and what a before/after comparison would claim (``naive``)."""
    rng, what = np.random.default_rng(seed), KINDS[kind]
    lives = live(rng, customers)
    start, open_to = starts(what, lives, rng)
    leaving, contacts, fee = ratios(what, start)
    earlier = len(STEPS) - lives.branch % (len(STEPS) + 1)
    anyway = (1 - what.drift * earlier[:, None]) ** np.arange(SPAN)
    left = _first(lives.luck < lives.leaving * leaving * anyway)
    months, ids = np.arange(SPAN), _ids("C", customers)
    joined, day = lives.joined[:, None], lives.leaving_day[:, None]

    there = (months >= joined) & (months <= left[:, None])  # as a customer on at least one day
    who, month = np.nonzero(there)
    paid = lives.fee[who] * fee[who, month] * rng.uniform(0.9, 1.1, who.size)
    orders = pd.DataFrame(
        {
            "order_id": np.arange(who.size),
            "customer_id": ids[who],
            "ordered_at": _on(month, 1 + (month == lives.joined[who])),  # due on the first, and on joining
            "revenue": np.round(paid, 2),
        }
    )

    number = rng.poisson(lives.contacts * contacts * there)
    who, month = (np.repeat(each, number[there]) for each in np.nonzero(there))
    on = rng.integers(1, 29, who.size)
    seen = (month < left[who]) | (on < lives.leaving_day[who])
    who, month, on = who[seen], month[seen], on[seen]
    called = np.bincount(who * SPAN + month, minlength=customers * SPAN).reshape(customers, SPAN)
    cases = pd.DataFrame(
        {
            "contact_id": np.arange(who.size),
            "customer_id": ids[who],
            "opened_at": _on(month, np.maximum(on, 1 + (month == lives.joined[who]))),
            "cost": np.round(rng.uniform(*CONTACT_COST, who.size), 2),
        }
    )

    asked = lives.asked & there & ((months < left[:, None]) | (lives.asking_day < day))
    who, month = np.nonzero(asked)
    put, score = _on(month, lives.asking_day[who, month]), lives.score[who, month]
    responses = pd.DataFrame(
        {
            "response_id": np.arange(who.size),
            "customer_id": ids[who],
            "metric": "nps",
            "asked_at": put,
            "answered_at": np.where(np.isnan(score), np.datetime64("NaT"), put),
            "score": score,
        }
    )

    gone = left < SPAN
    people = pd.DataFrame(
        {
            "customer_id": ids,
            "joined_on": _on(lives.joined, 2),
            "left_on": np.where(gone, _on(np.minimum(left, SPAN - 1), lives.leaving_day), np.datetime64("NaT")),
            "monthly_revenue": np.round(lives.fee * fee[:, -1], 2),
            "plan": PLANS[lives.plan],
            "branch": _ids("B", BRANCHES)[lives.branch],
        }
    )
    if not what.recorded:
        since = _on(START, 1)
        orders, cases = orders[orders["ordered_at"] >= since], cases[cases["opened_at"] >= since]
    frames = {"customers": people, "responses": responses, "orders": orders, "contacts": cases}
    frames |= {"initiatives": _initiative(what), "exposures": _exposures(what, ids, start, left, open_to)}
    answers = np.where(asked, lives.score, np.nan)
    return frames, naive(answers[start == START], called[start == START]) if "low" in kind else {}


def _initiative(kind: Kind) -> pd.DataFrame:
    ways = {"randomised": ("randomised", None), "spared": ("randomised", None), "staggered": ("rollout", "branch")}
    how, by = ways.get(kind.given, ("chosen", "nps"))
    row = {
        "initiative_id": "I1", "name": "Calls", "changed": "how we keep in touch: a call every quarter",
        "started_on": _on(STEPS[0] if kind.given == "staggered" else START, 1), "cost_upfront": UPFRONT,
        "cost_per_month": MONTHLY, "status": "running", "assignment": how, "assigned_by": by, "outcome": "churn",
        "effect_months": FOLLOWED,
    }  # fmt: skip
    declared = {} if kind.smallest is None else {"smallest_effect": kind.smallest, "effect_is": "relative"}
    return pd.DataFrame([row | declared])


def _exposures(kind: Kind, ids: np.ndarray, start: np.ndarray, left: np.ndarray, open_to: np.ndarray) -> pd.DataFrame:
    """Return both arms if randomised, else those reached; in a staggered rollout they must still be customers then."""
    control = open_to & (start == SPAN) & (kind.given in ("randomised", "spared"))
    who = np.flatnonzero(control | (open_to & (start < SPAN) & (left >= start)))
    return pd.DataFrame(
        {
            "initiative_id": "I1",
            "customer_id": ids[who],
            "exposed_on": _on(np.where(control[who], START, start[who]), 1),
            "arm": np.where(control[who], "control", "treated").astype(object),
        }
    )


def naive(score: np.ndarray, called: np.ndarray) -> dict[str, bool]:
    """Return what a before/after comparison claims (z above 1.96) from the customers reached; customers x months.

    ``score``: the last answer before the start against the first within six months after it; ``called``: contacts in
    the quarter before against those in the quarter after.
    """
    known = ~np.isnan(score)
    before, after = known[:, :START], known[:, START : START + 6]
    both = np.flatnonzero(before.any(axis=1) & after.any(axis=1))
    last, first = START - 1 - before[both, ::-1].argmax(axis=1), START + after[both].argmax(axis=1)
    rise = score[both, first] - score[both, last]
    fall = called[:, START - 3 : START].sum(axis=1) - called[:, START : START + 3].sum(axis=1)
    return {f"naive {n}": bool(_z(d) > 1.96) for n, d in (("score", rise), ("contacts", fall))}


def _z(differences: np.ndarray) -> float:
    return float(differences.mean() / (differences.std(ddof=1) / np.sqrt(differences.size)))


# ---- the truth -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """The true effect per customer reached.

    By month since each customer's start: ``gain`` in money, ``left`` the change in the share who have left, ``level``
    that share without the programme. ``paid``: gain by month since the first start, as long as the programme runs.
    """

    gain: np.ndarray
    left: np.ndarray
    level: np.ndarray
    paid: np.ndarray

    def effect(self, months: int = FOLLOWED) -> float:
        """Return the gain of so many months, undiscounted."""
        return float(self.gain[:months].sum())

    def present_value(self, months: int = FOLLOWED) -> float:
        """Return the gain of so many months since the first start, discounted from each month's end, before cost."""
        return float(self.paid[:months] @ discounts(months))


def discounts(months: int) -> np.ndarray:
    """Return the value at the start of 1 paid at the end of each month."""
    return finance.discount_factors(finance.per_period_rate(DISCOUNT, 12, "effective"), months, "end")


@lru_cache(maxsize=16)
def truth(kind: str, customers: int = 400_000, seed: int = 1, chunk: int = 40_000) -> Truth:
    """Return the true effect, from very many customers with and without the programme.

    Randomised or chosen: over treated customers on the first day of START, for FOLLOWED months. Staggered: over all
    customers at the first step in branches that get it, including those who left before their turn; months count from
    the branch's own step. Who is a customer and who is chosen is random. From then on the expected values of the same
    customers with the same moods are compared, so that no chance variation remains.
    """
    sums, reached = np.zeros((3, FOLLOWED)), 0
    paid = np.zeros(SPAN - (STEPS[0] if KINDS[kind].given == "staggered" else START))
    for i, begun in enumerate(range(0, customers, chunk)):
        rng, n = np.random.default_rng([seed, i]), min(chunk, customers - begun)
        what, lives = KINDS[kind], live(rng, n, branches=max(BRANCHES * n // CUSTOMERS, 1))
        start, open_to = starts(what, lives, rng)
        from_month = STEPS[0] if what.given == "staggered" else START
        who = np.flatnonzero(open_to & (start < SPAN))
        some = [each[who][:, from_month:] for each in (lives.leaving, lives.contacts, np.ones((n, SPAN)))]
        without = _expected(*some, lives.fee[who])
        with_it = _expected(*(a * b[who][:, from_month:] for a, b in zip(some, ratios(what, start), strict=True)),
                            lives.fee[who])  # fmt: skip
        own = start[who][:, None] - from_month + np.arange(FOLLOWED)
        for row, each in enumerate((with_it[0] - without[0], with_it[1] - without[1], without[1])):
            sums[row] += np.take_along_axis(each, own, axis=1).sum(axis=0)
        paid += (with_it[0] - without[0]).sum(axis=0)
        reached += who.size
    return Truth(*(sums / reached), paid / reached)


def _expected(
    leaving: np.ndarray, contacts: np.ndarray, paid: np.ndarray, fee: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return money, and the probability of having left by the month's end: customers x months.

    A fee is paid on the first; a customer who leaves has half of that month's contacts on average.
    """
    here = np.cumprod(1 - leaving, axis=1)
    at_first = np.column_stack([np.ones(len(here)), here[:, :-1]])
    service = contacts * (at_first + here) / 2 * np.mean(CONTACT_COST)
    return MARGIN * fee[:, None] * paid * at_first - service, 1 - here
