"""The simulated customers of the demo subscription company: how they join, feel, pay and leave.

All results are arrays with one row per customer and days counted from ``EPOCH``; ``subscription`` turns them into
tables. Two worlds with the same seed share all random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike

from cxlib.demo.words import BRANCHES, REGIONS

MONTH = 30.4375  # days
EPOCH = np.datetime64("2022-07-01", "D")
NEVER = 10**6  # a day that never comes
SILENCE_DAYS = 45  # days before leaving with a lower response rate
SEED = 10  # of the companies in data/

HARBOUR = REGIONS.index("Harbour")
REGION_SHARES = (0.16, 0.15, 0.13, 0.12, 0.13, 0.15, 0.09, 0.07)
GROWTH = 1.6  # joiners per day at the end relative to the start, minus one
BASIC = (0.10, 0.85)  # share of Basic among the first joiners, and its increase until the last
PLUS = 0.62  # share of Plus among the others
PRICE = np.array([20.0, 45.0, 120.0])
SCORE_MEAN = np.array([6.2, 7.45, 8.45])
SCORE_SD, SCORE_MEMORY = 2.1, 0.65
ANSWERING = np.array([0.93, 1.0, 1.15])  # by plan, times World.answering
CONTACT_RATE = np.array([0.06, 0.10, 0.18])  # a month, by score group
UPSELL = np.array([0.012, 0.008, 0.003])  # probability at an invoice, by score group
RAISE = 1.15


def day(date: object) -> int:
    """Return the days from EPOCH to a date."""
    return int((np.datetime64(str(date)[:10], "D") - EPOCH).astype(int))


LAST_JOINED = day("2026-06-15")
WELCOME, WELCOME_END = day("2024-07-01"), day("2025-07-01")
MANAGERS = (day("2025-01-01"), day("2025-04-01"), day("2025-07-01"))  # 12 branches each; the last 12 never
NEW_APP = day("2025-10-01")
MESSAGES = day("2026-10-01")  # only planned, so without effect
HARBOUR_DROP, HARBOUR_EXITS = day("2025-07-01"), day("2026-01-01")
RATES_CHANGE = sorted({WELCOME, WELCOME_END, *MANAGERS, NEW_APP, HARBOUR_EXITS})


@dataclass(frozen=True)
class World:
    """Parameters of the simulation. Hazards and rates are per month of 30.4375 days.

    For a world in which the score groups of a plan differ only by chance, set ``link=False`` and all three effects to
    1: an effect that starts on a date affects early and late answers unequally.
    """

    hazard_ratios: tuple[float, float] = (1.5, 2.5)  # chosen exits, passives and detractors relative to promoters
    link: bool = True  # False: exits do not depend on the score
    plan_hazards: tuple[float, float, float] = (0.014, 0.009, 0.006)  # chosen exits of promoters: Basic, Plus, Pro
    failed_payment: float = 0.003  # involuntary exits
    drift: float = 0.18  # points by which the expected score rises with each half-yearly survey
    harbour_drop: float = 2.5  # points
    answering: float = 0.45  # response rate
    silence: float = 0.4  # factor on the response rate of customers who leave within 45 days
    treated_share: float = 0.5  # of the randomised programme; 1 and 0 give the two potential outcomes
    welcome_effect: float = 0.6  # factor on the hazard of a chosen exit, like the two other effects
    welcome_contacts: float = 0.8  # factor on the rate of contacts
    managers_effect: float = 0.55
    app_effect: float = 0.85
    as_of: str = "2026-06-30"
    until: str | None = None  # follow customers beyond as_of (nobody new joins), continuing the same draws


@dataclass(frozen=True)
class Paths:
    """The path of every customer, one row each; codes index the tuples of ``words``. Paths go slightly past ``end``."""

    world: World
    end: int  # first day after the follow-up
    joined: np.ndarray
    plan: np.ndarray
    region: np.ndarray
    branch: np.ndarray
    treated: np.ndarray  # arm of the randomised programme, also for those not eligible
    asked: np.ndarray  # customers x waves: day of the NPS invitation
    score: np.ndarray  # customers x (1 + waves); the first applies from the day of joining and is never surveyed
    edge: np.ndarray  # customers x (pieces + 1): between two edges score group and rates are constant
    band: np.ndarray  # customers x pieces: score group
    contact_rate: np.ndarray  # customers x pieces, per month
    left: np.ndarray  # first day on which the customer is gone, or NEVER
    failed: np.ndarray  # the exit, if any, was a failed payment

    def active(self, on: int) -> np.ndarray:
        """Return which customers are active at the start of a day."""
        return (self.joined <= on) & (self.left > on)

    def seen(self, on: np.ndarray) -> np.ndarray:
        """Return whether these days (customers x any) come before leaving and within the follow-up."""
        return (on < self.left[:, None]) & (on < self.end)

    def at(self, on: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return ``band`` or ``contact_rate`` as of these days (customers x any)."""
        piece = np.zeros(on.shape, dtype=np.intp)
        for edge in self.edge[:, 1:-1].T:
            piece += on >= edge[:, None]
        return np.take_along_axis(values, piece, axis=1)


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Return the random numbers for one purpose; more draws for one purpose never change those for another."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, crc32(purpose.encode())])))


def pick(uniform: np.ndarray, shares: ArrayLike) -> np.ndarray:
    """Return codes 0, 1, ... drawn with these probabilities: one set for all draws, or a row for each."""
    return (uniform[:, None] >= np.cumsum(shares, axis=-1)[..., :-1]).sum(axis=1)


def band_of(score: np.ndarray) -> np.ndarray:
    """Return 0 for promoters (9-10), 1 for passives (7-8), 2 for detractors (0-6)."""
    return (score < 9).astype(np.int8) + (score < 7)


def roll_out(branch: np.ndarray) -> np.ndarray:
    """Return the day on which local account managers start in a branch, or NEVER."""
    return np.array([*MANAGERS, NEVER])[branch % 4]


def simulate(seed: int, customers: int, world: World) -> Paths:
    """Simulate who joins, what they experience and when they leave.

    Exits are exact draws from piecewise constant hazards: a customer leaves where the cumulative hazard reaches an
    exponential draw. So the same customer can be followed in two worlds.
    """
    end = day(world.until or world.as_of) + 1
    horizon = end + SILENCE_DAYS + 1  # whether someone is about to leave depends on a few days beyond the end
    uniform = stream(seed, "customers").random((6, customers))
    position = (np.sqrt(1 + uniform[0] * GROWTH * (2 + GROWTH)) - 1) / GROWTH  # density 1 + GROWTH * position
    joined = np.sort(np.floor(position * (LAST_JOINED + 1)).astype(np.int64), kind="stable")
    basic = BASIC[0] + BASIC[1] * joined / LAST_JOINED
    plan = np.where(uniform[1] < basic, 0, np.where(uniform[2] < PLUS, 1, 2))
    region = pick(uniform[3], REGION_SHARES)
    branch = (uniform[4] * len(BRANCHES)).astype(np.int64)
    treated = uniform[5] < world.treated_share

    # Surveys at 3, 9, 15 ... months; the experience behind the score is autoregressive.
    waves = int((horizon / MONTH - 3) // 6) + 2
    jitter = stream(seed, "asked").integers(-4, 5, (waves, customers)).T
    asked = joined[:, None] + np.rint((3 + 6 * np.arange(waves)) * MONTH).astype(np.int64) + jitter
    normal = stream(seed, "experience").standard_normal((waves + 1, customers)).T
    for wave in range(1, waves + 1):
        normal[:, wave] = SCORE_MEMORY * normal[:, wave - 1] + np.sqrt(1 - SCORE_MEMORY**2) * normal[:, wave]
    feeling = SCORE_MEAN[plan][:, None] + world.drift * np.arange(waves + 1) + SCORE_SD * normal
    since = np.column_stack([joined, asked])
    harbour = (region == HARBOUR)[:, None]
    dropped = feeling - world.harbour_drop * (harbour & (since >= HARBOUR_DROP))
    score, undropped = (np.clip(np.rint(value), 0, 10).astype(np.int8) for value in (dropped, feeling))

    # Pieces with constant rates: all dates in order, and the latest survey wave at each.
    calendar = np.broadcast_to([*RATES_CHANGE, horizon], (customers, len(RATES_CHANGE) + 1))
    dates = np.clip(np.concatenate([since, calendar], axis=1), joined[:, None], np.maximum(joined, horizon)[:, None])
    order = np.argsort(dates, axis=1, kind="stable")
    edge = np.take_along_axis(dates, order, axis=1)
    wave = np.cumsum((order >= 1) & (order <= waves), axis=1)[:, :-1]
    start, months = edge[:, :-1], np.diff(edge, axis=1) / MONTH
    band = np.take_along_axis(band_of(score), wave, axis=1)
    felt = np.where(harbour & (start < HARBOUR_EXITS), np.take_along_axis(band_of(undropped), wave, axis=1), band)

    welcomed = ((joined <= WELCOME) & (plan < 2) & treated)[:, None] & (start >= WELCOME) & (start < WELCOME_END)
    managed = (joined <= MANAGERS[0])[:, None] & (start >= roll_out(branch)[:, None])
    app = (joined <= NEW_APP)[:, None] & (start >= NEW_APP)
    ratios = np.array([1.0, *world.hazard_ratios]) if world.link else np.ones(3)
    hazard = np.array(world.plan_hazards)[plan][:, None] * ratios[felt]
    hazard = hazard * np.where(welcomed, world.welcome_effect, 1.0)
    hazard = hazard * np.where(managed, world.managers_effect, 1.0) * np.where(app, world.app_effect, 1.0)
    contact_rate = CONTACT_RATE[band] * np.where(welcomed, world.welcome_contacts, 1.0)

    luck = stream(seed, "exits").standard_exponential((2, customers))
    used = np.cumsum(hazard * months, axis=1)
    piece = (used <= luck[0][:, None]).sum(axis=1)
    row, inside = np.arange(customers), np.minimum(piece, hazard.shape[1] - 1)
    chosen = edge[row, inside + 1] - (used[row, inside] - luck[0]) / hazard[row, inside] * MONTH
    chosen = np.where(piece < hazard.shape[1], chosen, NEVER)
    failed = joined + luck[1] / max(world.failed_payment, 1e-9) * MONTH
    exit_at = np.minimum(chosen, failed)
    left = np.where(exit_at < horizon, np.floor(exit_at) + 1, NEVER).astype(np.int64)
    return Paths(
        world, end, joined, plan, region, branch, treated, asked, score,
        edge, band, contact_rate, left, failed < chosen,
    )  # fmt: skip


def answers(path: Paths, asked: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return who answers an invitation, and how many seconds later.

    ``asked``: days of the invitations, which are sent at nine o'clock (customers x any). ``uniform``: two draws for
    each. Nobody answers after leaving; customers about to leave respond less often.
    """
    about_to_leave = path.left[:, None] - asked <= SILENCE_DAYS
    likely = path.world.answering * ANSWERING[path.plan][:, None]
    seconds = np.floor(-2 * np.log1p(-uniform[1] * (1 - np.exp(-5))) * 86_400)  # 0-10 days, two on average
    wanted = uniform[0] < np.where(about_to_leave, likely * path.world.silence, likely)
    return wanted & path.seen(asked + ((seconds + 9 * 3600) // 86_400).astype(np.int64)), seconds


def nps_answers(path: Paths, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, customers x waves, who answers and the seconds from invitation to answer."""
    uniform = stream(seed, "answers").random((path.asked.shape[1], 2, len(path.joined)))
    return answers(path, path.asked, uniform.transpose(1, 2, 0))


def invoices(path: Paths, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, customers x months of tenure, the day of the invoice, the price, and whether the price has just risen.

    First prices are multiples of 50 pence. An invoice is sent where ``path.seen(day)``.
    """
    months = int(np.ceil(path.end / MONTH)) + 1
    on = path.joined[:, None] + np.rint(np.arange(months) * MONTH).astype(np.int64)
    spread = np.exp(0.15 * stream(seed, "price").standard_normal(len(path.joined)))
    first = np.rint(PRICE[path.plan] * spread * 2) / 2
    raised = UPSELL[path.at(on, path.band)] > stream(seed, "upsell").random((months, len(path.joined))).T
    raised[:, 0] = False
    factor = np.cumprod(np.r_[1.0, np.full(months, RAISE)])  # products, not powers: the same on every machine
    return on, np.rint(first[:, None] * factor[np.cumsum(raised, axis=1)] * 100) / 100, raised
