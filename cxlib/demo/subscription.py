"""The tables of a demo subscription company with known truth.

It has the traps of real data. Newer customers buy smaller plans and are less satisfied, so the overall NPS falls while
that of every plan rises. Scores rise with tenure, so a high last score is partly a result of having stayed. Customers
about to leave respond less often. In one region experience worsens half a year before exits rise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxlib.demo.paths import (
    EPOCH,
    MANAGERS,
    MESSAGES,
    MONTH,
    NEW_APP,
    SEED,
    WELCOME,
    Paths,
    World,
    answers,
    band_of,
    invoices,
    nps_answers,
    pick,
    roll_out,
    simulate,
    stream,
)
from cxlib.demo.words import (
    AGENTS,
    BRANCHES,
    COMMENTS,
    FAILED_PAYMENT,
    PLANS,
    REASON_SHARES,
    REASONS,
    REGIONS,
    THEME_SHARES,
    THEMES,
    TOPICS,
)

AGENT_PACE = np.array([0.7, 0.8, 0.9, 1.0, 1.0, 1.1, 0.8, 0.9, 1.0, 1.2, 1.5, 1.9])  # factors on waiting times
CONTACT_COST = (6.0, 14.0)  # uniform
HOUR, DAY = 3600, 86_400  # seconds
NEVER = np.datetime64("NaT", "us")


def when(days: np.ndarray | int, seconds: np.ndarray | float = 0) -> np.ndarray:
    """Return timestamps in whole seconds from days since EPOCH."""
    return (EPOCH + days).astype("datetime64[us]") + np.rint(seconds).astype("timedelta64[s]")


def later(moments: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return the timestamps a number of seconds later."""
    return moments + np.rint(seconds).astype("timedelta64[s]")


def named(names: Sequence[str], codes: np.ndarray) -> np.ndarray:
    """Return the names for codes 0, 1, ..."""
    return np.array(names, dtype=object)[codes]


def numbered(prefix: str, count: int, digits: int) -> np.ndarray:
    """Return ids such as A000001."""
    return np.array([f"{prefix}{number:0{digits}d}" for number in range(1, count + 1)], dtype=object)


def _customers(path: Paths, seed: int, ids: np.ndarray, price: np.ndarray) -> pd.DataFrame:
    gone = path.left < path.end
    left = np.where(gone, path.left, path.end)
    band = path.at(left[:, None] - 1, path.band)[:, 0]
    reason = pick(stream(seed, "reasons").random(len(ids)), np.array(REASON_SHARES)[band])
    reason = np.where(path.failed, FAILED_PAYMENT, named(REASONS, reason))
    frame = pd.DataFrame(
        {
            "customer_id": ids,
            "joined_on": when(path.joined),
            "left_on": np.where(gone, when(left), NEVER),
            "left_reason": np.where(gone, reason, None),
            "monthly_revenue": price,
            "plan": named(PLANS, path.plan),
            "region": named(REGIONS, path.region),
            "branch": named(BRANCHES, path.branch),
        }
    )
    return frame[path.joined < path.end]


def _contacts(path: Paths, seed: int, ids: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return support cases, and the CSAT question after each resolved one."""
    slots = int(np.ceil(path.end / MONTH * 2)) + 1  # half-months of tenure, with at most one contact each
    starts = np.rint(np.arange(slots + 1) * MONTH / 2).astype(np.int64)
    uniform = stream(seed, "contacts").random((slots, 2, len(ids)))
    on = path.joined[:, None] + (starts[:-1] + np.floor(uniform[:, 1].T * np.diff(starts))).astype(np.int64)
    hit = path.at(on, path.contact_rate) * np.diff(starts) / MONTH > uniform[:, 0].T
    who, slot = np.nonzero(hit & path.seen(on))
    first = np.argsort(on[who, slot], kind="stable")  # by date, so that a longer follow-up only adds rows at the end
    who, days = who[first], on[who, slot][first]
    band = path.at(on, path.band)[who, slot[first]]
    u = stream(seed, "contact details").random((len(who), 10))
    z = stream(seed, "contact times").standard_normal((len(who), 3))

    agent = (u[:, 0] * len(AGENTS)).astype(int)
    opened = when(days, (8 + 10 * u[:, 1]) * HOUR)
    wait = 4 * np.exp(z[:, 0]) * AGENT_PACE[agent]  # hours
    unseen = u[:, 2] < 0.02  # never answered; closed by the system after 30 days
    replied = later(opened, wait * HOUR)
    solved = later(opened, np.where(unseen, 30 * 24, wait + 24 * np.exp(1.1 * z[:, 1])) * HOUR)
    again = later(solved, u[:, 3] * 10 * DAY)
    gone = when(np.minimum(path.left[who], path.end))
    contacts = pd.DataFrame(
        {
            "contact_id": numbered("C", len(who), 6),
            "customer_id": ids[who],
            "opened_at": opened,
            "first_response_at": np.where(unseen | (replied >= when(path.end)), NEVER, replied),
            "resolved_at": np.where(solved >= when(path.end), NEVER, solved),
            "reopened_at": np.where((u[:, 4] < 0.07) & ~unseen & (again < gone), again, NEVER),
            "topic": named(TOPICS, pick(u[:, 5], (0.27, 0.24, 0.12, 0.12, 0.15, 0.10))),
            "channel": named(("phone", "chat", "email"), pick(u[:, 6], (0.45, 0.30, 0.25))),
            "agent": named(AGENTS, agent),
            "cost": np.rint((CONTACT_COST[0] + u[:, 7] * (CONTACT_COST[1] - CONTACT_COST[0])) * 100) / 100,
        }
    )
    waiting = np.where(unseen, 3.0, np.log(wait / 4))
    score = np.clip(np.rint(4.4 - np.array([0, 0.5, 1.3])[band] - 0.4 * waiting + 0.8 * z[:, 2]), 1, 5)
    asked = later(solved, np.full(len(who), HOUR))
    answered = later(asked, u[:, 8] * 3 * DAY)
    given = (u[:, 9] < 0.30) & (answered < gone)
    asking = questions("csat", "support", contacts["channel"], ids[who], asked, answered, given, score)
    return contacts, asking.assign(agent=contacts["agent"])[asked < gone]


def questions(
    metric: str,
    touchpoint: str,
    channel: object,
    customer: np.ndarray,
    asked: np.ndarray,
    answered: np.ndarray,
    given: np.ndarray,
    score: np.ndarray,
) -> pd.DataFrame:
    """Return the questions of one kind; time and score are missing where no answer was given."""
    return pd.DataFrame(
        {
            "customer_id": customer,
            "metric": metric,
            "asked_at": asked,
            "answered_at": np.where(given, answered, NEVER),
            "score": np.where(given, score, np.nan),
            "touchpoint": touchpoint,
            "channel": channel,
            "agent": None,
            "comment": None,
        }
    )


def in_order(parts: list[pd.DataFrame], prefix: str) -> pd.DataFrame:
    """Return questions of several kinds in order of date, numbered."""
    frame = pd.DataFrame({c: np.concatenate([part[c].to_numpy() for part in parts]) for c in parts[0]})
    frame = frame.sort_values(["asked_at", "metric", "customer_id"], kind="stable", ignore_index=True)
    frame.insert(0, "response_id", numbered(prefix, len(frame), 6))
    return frame


def _comments(seed: int, band: np.ndarray) -> np.ndarray:
    """Return comments of one or two sentences for about 40 % of the answers."""
    u = stream(seed, "comments").random((len(band), 6))
    shares = np.array(THEME_SHARES)[band]
    first, second = pick(u[:, 1], shares), pick(u[:, 2], shares)
    both = (u[:, 3] < 0.25) & (first != second)
    words = np.full(len(band), None, dtype=object)
    for row in np.flatnonzero(u[:, 0] < 0.4):
        themes = (first[row], second[row]) if both[row] else (first[row],)
        said = [COMMENTS[THEMES[theme]][band[row]][int(u[row, 4 + n] * 2)] for n, theme in enumerate(themes)]
        words[row] = " ".join(said)
    return words


def _responses(path: Paths, seed: int, ids: np.ndarray, csat: pd.DataFrame) -> pd.DataFrame:
    """Return all questions: NPS every half-year, CES once after a month, CSAT after resolved cases."""
    answered, seconds = nps_answers(path, seed)
    who, wave = np.nonzero(path.seen(path.asked))
    first = np.argsort(path.asked[who, wave], kind="stable")
    who, wave = who[first], wave[first]
    given, score = answered[who, wave], path.score[who, wave + 1]
    asked = when(path.asked[who, wave], 9 * HOUR)
    email = stream(seed, "channel").random(len(who)) < 0.7
    channel = named(("app", "email"), email.astype(int))
    nps = questions("nps", "relationship", channel, ids[who], asked, later(asked, seconds[who, wave]), given, score)
    nps.loc[given, "comment"] = _comments(seed, band_of(score[given]))

    on = path.joined[:, None] + round(MONTH)
    given, seconds = answers(path, on, stream(seed, "ces").random((2, len(ids), 1)))
    ease = 5.8 - np.array([0, 0.6, 1.5])[band_of(path.score[:, 0])] + stream(seed, "ease").standard_normal(len(ids))
    ease, asked = np.clip(np.rint(ease), 1, 7), when(on[:, 0], 9 * HOUR)
    ces = questions("ces", "onboarding", "app", ids, asked, later(asked, seconds[:, 0]), given[:, 0], ease)
    return in_order([nps, ces[path.seen(on)[:, 0]], csat], "R")


def _orders(path: Paths, ids: np.ndarray, on: np.ndarray, price: np.ndarray, raised: np.ndarray) -> pd.DataFrame:
    who, month = np.nonzero(path.seen(on))
    first = np.argsort(on[who, month], kind="stable")
    who, month = who[first], month[first]
    kind = np.where(month == 0, 0, np.where(raised[who, month], 2, 1))
    return pd.DataFrame(
        {
            "order_id": numbered("INV", len(who), 7),
            "customer_id": ids[who],
            "ordered_at": when(on[who, month], 6 * HOUR),
            "revenue": price[who, month],
            "kind": named(("new", "renewal", "upsell"), kind),
        }
    )


def _initiatives(path: Paths) -> pd.DataFrame:
    """Return the initiatives that have started, and the planned one (I4), which is the same in every world."""
    columns = ["initiative_id", "name", "changed", "started_on", "cost_upfront", "cost_per_month"]
    columns += ["attribution_share", "status", "assignment", "assigned_by"]
    columns += ["outcome", "smallest_effect", "effect_is", "effect_months", "planned_customers", "expected_effect"]
    nan = np.nan
    rows = [
        ("I1", "Welcome calls", "how we greet customers: a personal call to go through plan and bill",
         WELCOME, 2000.0, 250.0, 1.0, "running", "randomised", None, "churn", 0.05, "relative", 12.0, nan, nan),
        ("I2", "Local account managers", "who looks after an account: one named person in its own branch",
         MANAGERS[0], 6000.0, 1400.0, 0.8, "running", "rollout", "branch", "churn", 0.05, "relative", 6.0, nan, nan),
        ("I3", "New app", "the app: bills, faults and changes of plan in one place",
         NEW_APP, 25000.0, 1000.0, 0.1, "running", "everyone", None, "churn", 0.05, "relative", 12.0, nan, nan),
        ("I4", "Proactive fault messages", "what customers hear of a fault: a message before they have to ask",
         MESSAGES, 400.0, 30.0, nan, "planned", None, None, "nps", 2.0, "points", 12.0, 3000.0, 5.0),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame[(frame["started_on"] < path.end) | (frame["status"] == "planned")]
    return frame.assign(started_on=when(frame["started_on"].to_numpy()))


def _exposures(path: Paths, ids: np.ndarray) -> pd.DataFrame:
    """Return both arms of I1, customers still active when their branch started I2, and all customers for I3."""
    start = roll_out(path.branch)
    reached = [("I1", WELCOME, path.active(WELCOME) & (path.plan < 2))]
    reached += [("I2", on, path.active(MANAGERS[0]) & path.active(on) & (start == on)) for on in MANAGERS]
    reached += [("I3", NEW_APP, path.active(NEW_APP))]
    parts = [
        pd.DataFrame(
            {
                "initiative_id": name,
                "customer_id": ids[who],
                "exposed_on": when(np.full(who.sum(), on)),
                "arm": named(("control", "treated"), (path.treated[who] | (name != "I1")).astype(int)),
            }
        )
        for name, on, who in reached
        if on < path.end
    ]
    columns = ["initiative_id", "customer_id", "exposed_on", "arm"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def subscription(seed: int = SEED, customers: int = 6000, **world: object) -> dict[str, pd.DataFrame]:
    """Return the six tables of the demo subscription company, with the column names of data/README.md.

    ``world`` takes any field of :class:`World`. The tables show what happened by ``as_of`` (or ``until``); a later
    date with the same seed only adds rows. A seed gives the same rows on every machine.

    Example: ``subscription(seed=1, customers=500)["responses"]``.
    """
    path = simulate(seed, customers, World(**world))
    ids = numbered("A", customers, 6)
    on, price, raised = invoices(path, seed)
    current = price[np.arange(customers), np.maximum(path.seen(on).sum(axis=1) - 1, 0)]
    contacts, csat = _contacts(path, seed, ids)
    return {
        "customers": _customers(path, seed, ids, current),
        "responses": _responses(path, seed, ids, csat),
        "orders": _orders(path, ids, on, price, raised),
        "contacts": contacts,
        "initiatives": _initiatives(path),
        "exposures": _exposures(path, ids),
    }
