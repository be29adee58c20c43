"""The tables of a demo web shop with known truth: customers come back, or stop buying without notice.

Purchases follow BG/NBD (Fader, Hardie & Lee 2005, doi:10.1287/mksc.1040.0098) and amounts Gamma-Gamma (Fader, Hardie &
Lee 2005, doi:10.1509/jmkr.2005.42.4.415). An active customer buys at rate lambda ~ Gamma(r, rate alpha) per week, stops
for good with probability ~ Beta(a, b) after every repeat purchase, and spends Gamma(p, rate nu) per order with
nu ~ Gamma(q, rate v).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.demo.paths import SEED, pick, stream
from cxlib.demo.subscription import DAY, HOUR, NEVER, in_order, later, named, numbered, questions

COUNTRIES, COUNTRY_SHARES = ("Germany", "France", "Netherlands", "Austria"), (0.42, 0.28, 0.18, 0.12)
CHANNELS, CHANNEL_SHARES = ("search", "friend", "advert", "marketplace"), (0.38, 0.22, 0.25, 0.15)
TOPICS = ("where is my order", "return", "damaged", "payment")
WEEK = 7 * DAY  # in seconds, like every time in this file


@dataclass(frozen=True)
class Shop:
    """Parameters of the simulation; times in weeks."""

    r: float = 0.45
    alpha: float = 6.0
    a: float = 0.8
    b: float = 2.6
    p: float = 6.0
    q: float = 4.0
    v: float = 15.0
    link: bool = True  # False: scores do not depend on the probability of stopping
    weeks: int = 104  # up to as_of; first purchases are in the first nine tenths
    asking: float = 0.35  # share of purchases followed by an NPS question
    answering: float = 0.40
    as_of: str = "2026-06-30"
    until: str | None = None  # follow customers beyond as_of, continuing the same draws


@dataclass(frozen=True)
class Purchases:
    """Every purchase until ``end``: customer, number (0 is the first), time, amount and further random numbers."""

    customer: np.ndarray
    number: np.ndarray
    at: np.ndarray  # timestamps
    revenue: np.ndarray
    uniform: np.ndarray  # purchases x 16
    leaving: np.ndarray  # by customer: probability of stopping after a repeat purchase
    end: np.datetime64


def purchases(seed: int, customers: int, shop: Shop) -> Purchases:
    """Simulate all purchases, one round for everybody's next purchase; return them sorted by time."""
    end = np.datetime64(shop.until or shop.as_of, "s") + np.timedelta64(DAY, "s")
    begin = np.datetime64(shop.as_of, "s") + np.timedelta64(DAY - shop.weeks * WEEK, "s")
    traits = stream(seed, "shop customers")
    rate = traits.gamma(shop.r, 1 / shop.alpha, customers)
    leaving = traits.beta(shop.a, shop.b, customers)
    spend_rate = traits.gamma(shop.q, 1 / shop.v, customers)
    at = np.sort(np.floor(traits.random(customers) * 0.9 * shop.weeks * WEEK), kind="stable")

    gaps, drops, amounts, other = (stream(seed, f"shop {name}") for name in ("gaps", "drops", "amounts", "questions"))
    horizon, alive, rounds = (end - begin).astype(float), np.ones(customers, dtype=bool), []
    while (alive := alive & (at < horizon)).any():
        amount, uniform = amounts.standard_gamma(shop.p, customers) / spend_rate, other.random((customers, 16))
        who = np.flatnonzero(alive)
        rounds.append((who, np.full(len(who), len(rounds)), at[who], amount[who], uniform[who]))
        if len(rounds) > 1:
            alive = alive & (drops.random(customers) >= leaving)
        at = at + np.maximum(gaps.standard_exponential(customers) / np.maximum(rate, 1e-12) * WEEK, 1)
    customer, number, at, amount, uniform = (np.concatenate(parts) for parts in zip(*rounds, strict=True))
    order = np.lexsort((number, customer, np.floor(at)))
    moment = begin.astype("datetime64[us]") + np.floor(at[order]).astype("timedelta64[s]")
    revenue = np.maximum(np.rint(amount[order] * 100), 1) / 100
    return Purchases(customer[order], number[order], moment, revenue, uniform[order], leaving, end)


def shop(seed: int = SEED, customers: int = 3000, **world: object) -> dict[str, pd.DataFrame]:
    """Return customers, orders, responses and contacts of the demo web shop, with the column names of data/README.md.

    ``world`` takes any field of :class:`Shop`. Customers have no joining date: their first order counts.
    """
    made = Shop(**world)
    bought = purchases(seed, customers, made)
    ids, u = numbered("S", customers, 5), bought.uniform
    traits = stream(seed, "shop segments").random((2, customers))
    table = pd.DataFrame(
        {
            "customer_id": ids,
            "country": named(COUNTRIES, pick(traits[0], COUNTRY_SHARES)),
            "found_us": named(CHANNELS, pick(traits[1], CHANNEL_SHARES)),
        }
    )
    who, at, end = ids[bought.customer], bought.at, bought.end
    orders = pd.DataFrame(
        {
            "order_id": numbered("W", len(at), 6),
            "customer_id": who,
            "ordered_at": at,
            "revenue": bought.revenue,
        }
    )

    # Customers likely to stop give lower scores; without the link, another customer's probability counts.
    strangers = stream(seed, "shop strangers").beta(made.a, made.b, customers)
    mood = (bought.leaving if made.link else strangers)[bought.customer]
    noise = stream(seed, "shop noise").standard_normal((len(at), 3))
    delay = 2 + 3 * u[:, 0] + np.where(u[:, 1] < 0.08, 6, 0)  # days of delivery
    nps = np.clip(np.rint(9.3 - 6 * mood + 1.4 * noise[:, 0]), 0, 10)
    csat = np.clip(np.rint(4.9 - 1.5 * mood - 0.25 * (delay - 3) + 0.6 * noise[:, 1]), 1, 5)
    responses = []
    for metric, touchpoint, score, wait, asking, answering, luck in (
        ("nps", "purchase", nps, delay + 7, made.asking, made.answering, u[:, 2:5]),
        ("csat", "delivery", csat, delay + 0.5, 0.5, 0.3, u[:, 5:8]),
    ):
        asked = later(at, wait * DAY)
        answered = later(asked, luck[:, 0] ** 2 * 6 * DAY)
        given = (luck[:, 1] < answering) & (answered < end)
        rows = questions(metric, touchpoint, "email", who, asked, answered, given, score)
        responses.append(rows[(luck[:, 2] < asking) & (asked < end)])

    late = delay > 6
    opened = later(at, delay * u[:, 8] * DAY)
    replied = later(opened, 3 * np.exp(noise[:, 2]) * HOUR)
    solved = later(replied, -20 * np.log1p(-u[:, 9]) * HOUR)
    topic = np.where(late, 0, 1 + pick(u[:, 10], (0.5, 0.3, 0.2)))
    contacts = pd.DataFrame(
        {
            "customer_id": who,
            "opened_at": opened,
            "first_response_at": np.where(replied < end, replied, NEVER),
            "resolved_at": np.where(solved < end, solved, NEVER),
            "topic": named(TOPICS, topic),
            "cost": np.rint((4 + 4 * u[:, 11]) * 100) / 100,
        }
    )
    contacts = contacts[(u[:, 12] < np.where(late, 0.25, 0.02)) & (opened < end)]
    contacts = contacts.sort_values(["opened_at", "customer_id"], kind="stable", ignore_index=True)
    contacts.insert(0, "contact_id", numbered("T", len(contacts), 5))
    return {"customers": table, "responses": in_order(responses, "Q"), "orders": orders, "contacts": contacts}
