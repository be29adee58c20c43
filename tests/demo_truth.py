"""The truth of the two demo companies: in closed form where there is one, otherwise from a very large simulation.

    python bootstrap.py tests/demo_truth.py     write tests/truth (several minutes)

The same customers are simulated in several worlds (an initiative for all or for none, complete or censored follow-up)
with the same random numbers, so that differences have little Monte Carlo error.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy.special import hyp2f1

from cxlib.demo.exports import settings
from cxlib.demo.paths import (
    MANAGERS,
    MONTH,
    SEED,
    WELCOME,
    WELCOME_END,
    Paths,
    World,
    band_of,
    day,
    invoices,
    nps_answers,
    roll_out,
    simulate,
)
from cxlib.demo.shop import DAY, WEEK, Shop, purchases
from cxlib.demo.subscription import CONTACT_COST
from cxlib.demo.words import BANDS, PLANS

CUT = day(World.as_of)
MONEY = settings("demo")["money"]
HORIZON = MONEY["horizon_months"]
CHUNK = 40_000  # customers simulated at a time
STAGES = (91, 365, 730)  # days as a customer, between the stages of a customer
FULLY = "2028-07-31"  # every answer given by as_of has then been followed for 24 months
FIRSTS = np.array([day(np.datetime64("2025-01", "M") + month) for month in range(13)])  # first days of months


def _margin(path: Paths, bills: tuple[np.ndarray, ...], who: np.ndarray, start: object, stop: object) -> np.ndarray:
    """Return the net margin of some customers between two days (one for each, or one for all).

    Payments times gross margin, less the expected cost of contacts given the customer's path.
    """
    start, stop = (np.broadcast_to(bound, len(path.joined))[who][:, None] for bound in (start, stop))
    on, price, _ = (part[who] for part in bills)
    left, edge = path.left[who][:, None], path.edge[who]
    paid = np.where((on >= start) & (on < stop) & (on < left), price, 0.0).sum(axis=1)
    days = np.minimum(np.minimum(edge[:, 1:], left), stop) - np.maximum(edge[:, :-1], start)
    contacts = (path.contact_rate[who] * np.maximum(days, 0)).sum(axis=1) / MONTH
    return paid * MONEY["gross_margin"] - contacts * np.mean(CONTACT_COST)


def _followed(seed: int, customers: int) -> dict[str, np.ndarray]:
    """Count answers by plan, stage at the time, band and days until leaving, with complete and censored follow-up."""
    path = simulate(seed, customers, World(until=FULLY))
    answered, seconds = nps_answers(path, seed)
    on = path.asked + ((seconds + 9 * 3600) // DAY).astype(np.int64)
    who, wave = np.nonzero(answered & (on <= CUT))
    on, left = on[who, wave], path.left[who]
    shape = len(PLANS), len(STAGES) + 1, len(BANDS), day(FULLY) + 1
    stage = np.searchsorted(STAGES, on - path.joined[who], side="right")
    cell = (path.plan[who] * shape[1] + stage) * shape[2] + band_of(path.score[who, wave + 1])

    def tally(duration: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return plans x stages x bands x days: how many answers have each duration."""
        place = cell[rows] * shape[-1] + np.minimum(duration, shape[-1] - 1)[rows]
        return np.bincount(place, minlength=np.prod(shape)).reshape(shape)

    return {
        "left": tally(left - on),
        "cut_all": tally(np.minimum(left, CUT) - on),
        "cut_left": tally(left - on, left <= CUT),
    }


def _base(seed: int, customers: int) -> dict[str, np.ndarray]:
    """Return number and monthly revenue of the customers active on the as-of date, plans x stages."""
    path = simulate(seed, customers, World())
    on, price, _ = invoices(path, seed)
    active = path.active(CUT)
    current = price[np.arange(customers), np.maximum(path.seen(on).sum(axis=1) - 1, 0)][active]
    stages = len(STAGES) + 1
    cell = path.plan[active] * stages + np.searchsorted(STAGES, CUT - path.joined[active], side="right")
    shape = len(PLANS), stages
    number, revenue = (np.bincount(cell, weights=w, minlength=np.prod(shape)).reshape(shape) for w in (None, current))
    return {"active": number, "revenue": revenue}


def _welcome(seed: int, customers: int) -> dict[str, np.ndarray]:
    """Add up those eligible for I1 in both worlds, treated first: number, margin, left by choice, left at all."""
    sums = []
    for share in (1.0, 0.0):
        path = simulate(seed, customers, World(treated_share=share, until="2025-06-30"))
        who = path.active(WELCOME) & (path.plan < 2)
        left = path.left[who] <= WELCOME_END
        margin = _margin(path, invoices(path, seed), who, WELCOME, WELCOME_END)
        sums.append([who.sum(), margin.sum(), (left & ~path.failed[who]).sum(), left.sum()])
    return {"welcome": np.array(sums, dtype=float)}


def _managers(seed: int, customers: int) -> dict[str, np.ndarray]:
    """Return panel sizes by wave, and the margin with I2 less that without by wave and event month."""
    worlds = [
        simulate(seed, customers, World(managers_effect=e, until="2025-12-31")) for e in (World.managers_effect, 1)
    ]
    bills = [invoices(path, seed) for path in worlds]
    size, gain = np.zeros(len(MANAGERS)), np.zeros((len(MANAGERS), 6))
    for wave, start in enumerate(MANAGERS):
        who = worlds[0].active(MANAGERS[0]) & (roll_out(worlds[0].branch) == start)
        first, size[wave] = int(np.searchsorted(FIRSTS, start)), who.sum()
        for month in range(6):
            window = FIRSTS[first + month], FIRSTS[first + month + 1]
            with_it, without = (
                _margin(path, bill, who, *window).sum() for path, bill in zip(worlds, bills, strict=True)
            )
            gain[wave, month] = with_it - without
    return {"panel": size, "gain": gain}


def _kaplan_meier(ended: np.ndarray, left: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return survival beyond the days ``at`` from counts by day, along the last axis."""
    at_risk = np.cumsum(ended[..., ::-1], axis=-1)[..., ::-1]
    return np.cumprod(1 - left / np.maximum(at_risk, 1), axis=-1)[..., at]


def _survival(sums: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return cells x bands x months 0..horizon: share still there, complete and by Kaplan-Meier if censored."""
    at = np.floor(np.arange(HORIZON + 1) * MONTH).astype(int)  # still there after m months: left later than day at
    fully = 1 - np.cumsum(sums["left"], axis=-1)[..., at] / sums["left"].sum(axis=-1, keepdims=True)
    return fully, _kaplan_meier(sums["cut_all"], sums["cut_left"], at)


def _initiatives(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return effects per customer from sums."""
    treated, control = sums["welcome"]
    return {
        "treated": treated[1:] / treated[0],
        "control": control[1:] / control[0],
        "welcome": treated[1:] / treated[0] - control[1:] / control[0],
        "by_wave": sums["gain"].sum(axis=1) / sums["panel"],
        "by_month": sums["gain"].sum(axis=0) / sums["panel"].sum(),
        "managers": sums["gain"].sum() / sums["panel"].sum(),
    }


def _chunks(parts: tuple, seed: int, customers: int) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Return sums over all customers, and over each chunk of them."""
    chunks = []
    for number in range(customers // CHUNK):
        sums: dict[str, np.ndarray] = {}
        for part in parts:
            sums |= part(seed + number, CHUNK)
        chunks.append(sums)
    return {name: np.sum([sums[name] for sums in chunks], axis=0) for name in chunks[0]}, chunks


def _known(value: float, chunks: list[float]) -> dict[str, float]:
    error = np.std(chunks, ddof=1) / len(chunks) ** 0.5
    return {"value": round(float(value), 6), "se": round(float(error), 6)}


def _rounded(values: np.ndarray, keys: tuple[str, ...]) -> dict:
    return dict(zip(keys, np.round(values, 6).tolist(), strict=True))


def truth(customers: int = 6_000_000, seed: int = 1_000_000) -> dict:
    """Return the truth of the subscription company; takes a few minutes.

    ``customers`` are followed for the value gap and a tenth of them for the initiatives, where both worlds are known
    for everybody. The ``se`` of a value is its Monte Carlo error, from the spread between chunks.
    """
    sums, chunks = _chunks((_base, _welcome, _managers), seed, customers // 10)
    base = {name: sums[name] for name in ("active", "revenue")}
    effect, effects = _initiatives(sums), [_initiatives(chunk) for chunk in chunks]
    sums, chunks = _chunks((_followed,), seed, customers)
    discount = (1 + MONEY["discount_rate"]) ** (-np.arange(HORIZON) / 12)

    def gap(survival: np.ndarray, active: np.ndarray, revenue: np.ndarray) -> float:
        """Return the gap per customer from survival (cells x bands x months), customers and revenue of the cells."""
        stays = (survival[..., 0, :] - survival[..., 2, :])[..., :HORIZON] @ discount
        return float((MONEY["gross_margin"] * revenue * stays).sum() / active.sum())

    def by_plan(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: counted.sum(axis=1) for name, counted in sums.items()}

    def equal_tenure(sums: dict[str, np.ndarray]) -> float:
        seen = (sums["left"].sum(axis=-1) > 0).all(axis=-1)  # in the first weeks nobody has been asked yet
        cells = {name: counted[seen] for name, counted in sums.items()}
        return gap(_survival(cells)[0], base["active"][seen], base["revenue"][seen])

    plans = {name: counted.sum(axis=1) for name, counted in base.items()}
    share, revenue = plans["active"] / plans["active"].sum(), plans["revenue"] / plans["active"]
    at_once = lambda survival: gap(survival, plans["active"], plans["revenue"])  # noqa: E731
    survival, cut = _survival(by_plan(sums))
    answers = sums["left"].sum(axis=(0, 1, 3))
    outcomes = ("net_margin", "left_by_choice", "left")
    return {
        "simulated_customers": customers,
        "world": asdict(World()),
        "hazard_ratio": dict(zip(BANDS[1:], World.hazard_ratios, strict=True)),
        "answers": _rounded(answers / answers.sum(), BANDS),
        "value_gap": _known(at_once(survival), [at_once(_survival(by_plan(chunk))[0]) for chunk in chunks])
        | {
            "at_equal_tenure": _known(equal_tenure(sums), [equal_tenure(chunk) for chunk in chunks]),
            "kaplan_meier_cut_at_as_of": round(at_once(cut), 6),  # what estimates from the data converge to
            "active_share": _rounded(share, PLANS),
            "monthly_revenue": _rounded(revenue, PLANS),
            "survival": {plan: _rounded(s, BANDS) for plan, s in zip(PLANS, survival, strict=True)},
        },
        "welcome_calls": {
            name: _known(effect["welcome"][n], [each["welcome"][n] for each in effects])
            | {arm: round(float(effect[arm][n]), 6) for arm in ("treated", "control")}
            for n, name in enumerate(outcomes)
        },
        "account_managers": _known(effect["managers"], [each["managers"] for each in effects])
        | {
            "by_wave": _rounded(effect["by_wave"], ("2025-01-01", "2025-04-01", "2025-07-01")),
            "by_event_month": np.round(effect["by_month"], 6).tolist(),
        },
    }


def expected_purchases(shop: Shop, weeks: float) -> float:
    """Return the repeat purchases expected of a new customer (Fader, Hardie & Lee 2005, equation 9)."""
    r, alpha, a, b = shop.r, shop.alpha, shop.a, shop.b
    z = weeks / (alpha + weeks)
    return (a + b - 1) / (a - 1) * (1 - (alpha / (alpha + weeks)) ** r * hyp2f1(r, b, a + b - 1, z))


def expected_further(shop: Shop, weeks: float, x: np.ndarray, recency: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Return the purchases expected of customers with a history (Fader, Hardie & Lee 2005, equation 10)."""
    r, alpha, a, b = shop.r, shop.alpha, shop.a, shop.b
    grown = ((alpha + age) / (alpha + age + weeks)) ** (r + x)
    h = hyp2f1(r + x, b + x, a + b + x - 1, weeks / (alpha + age + weeks))
    gone = np.where(x > 0, a / (b + np.maximum(x, 1) - 1) * ((alpha + age) / (alpha + recency)) ** (r + x), 0)
    return (a + b + x - 1) / (a - 1) * (1 - grown * h) / (1 + gone)


def shop_truth(seed: int = SEED, customers: int = 3000) -> dict:
    """Return the truth of the web shop: parameters, what they imply, and what the committed customers did next."""
    shop = Shop()
    longer = purchases(seed, customers, replace(shop, until="2026-12-29"))  # 26 weeks after as_of
    cut = np.datetime64(shop.as_of, "us") + np.timedelta64(1, "D")
    past = longer.at < cut
    who, week = longer.customer[past], np.timedelta64(WEEK, "s")
    first = np.full(customers, cut)
    np.minimum.at(first, who, longer.at[past])
    last = first.copy()
    np.maximum.at(last, who, longer.at[past])
    x = np.bincount(who, minlength=customers) - 1
    expected = expected_further(shop, 26, x, (last - first) / week, (cut - first) / week)
    return {
        "world": asdict(shop),
        "expected_purchases": {str(t): round(float(expected_purchases(shop, t)), 6) for t in (13, 26, 52, 104)},
        "mean_spend": round(shop.p * shop.v / (shop.q - 1), 6),
        "next_26_weeks": {"expected": round(float(expected.sum()), 2), "realised": int((~past).sum())},
    }


def main() -> None:
    """Write the truth of both demo companies."""
    parser = argparse.ArgumentParser(description="Write the truth of the demo companies (several minutes).")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "truth")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, known in (("demo-shop", shop_truth()), ("demo", truth())):
        (folder / f"{name}.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
