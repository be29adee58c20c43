"""Does what comes lie in the intervals of a customer base's value? Simulated customers are valued as on a page.

    python -m benchmarks.worth                      200 bases in each world, hours on one core
    python -m benchmarks.worth 20 contracts shops   fewer, as a trial; of one kind or more

Of contracts and of shops the question is what exactly these customers will bring in 12 and 24 months, and the truth is
what came. Of renewal models it is what the true parameters expect of them.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import numpy as np
import pandas as pd

from benchmarks import compiling
from benchmarks.simulation import margin_of_error, simulate
from cxlib.counts.people import DAYS_A_MONTH

CUSTOMERS = 5000
DRAWS = 1000  # as on a page
FOLDS = 256
TERMS = 12  # monthly payments ahead
HORIZONS = (12, 24)  # months
PROMISED = (0.92, 0.98)  # coverage required: 95 % within the margin of error of 200 bases
END = pd.Timestamp("2025-12-31")
MONEY = {"value_is": "revenue", "gross_margin": 1.0, "discount_rate": 0.0, "discount_convention": "effective"}
RENEWING = {"shifted beta-geometric, regular": (0.704, 1.182), "shifted beta-geometric, high end": (0.668, 3.806)}
CONTRACTS = {
    "contracts, every month alike": {},
    "contracts, good and bad months": {"wander": 0.25},
    "contracts, a season of 10 %": {"season": 0.1},
    "contracts, a season of 25 %": {"season": 0.25},
    "contracts, heavy-tailed fees": {"sigma": 1.3},
}
BUYING = {  # r, alpha (weeks) and those of leaving, as fitted to the shop of the demo
    "Pareto/NBD": (0.986, 15.35, 0.973, 38.4),
    "MBG/NBD": (0.787, 9.0, 0.75, 2.0),
    "BG/NBD": (0.45, 6.0, 0.8, 2.6),
}
SHOPS = {
    f"{kind} buyers, {f'a season of {season:.0%}'.replace('%', ' %') if season else 'every month alike'}": (
        kind,
        season,
    )
    for season in (0.0, 0.25, 0.1)
    for kind in BUYING
}
BUYERS, WEEKS = 1500, 104  # of a shop


# ---- worlds ----------------------------------------------------------------------------------------------------------


def _so_far(months: int, rng: np.random.Generator, season: float, wander: float = 0.0) -> np.ndarray:
    """Return how much time has passed by the start of each day, at the speed of its month and of the season.

    Months wander as an autoregression of .8 with a standard deviation ``wander`` of the log; the season is a wave that
    can begin on any day.
    """
    logs = np.empty(months + 2)
    logs[0] = rng.normal(0, wander)
    for t in range(1, len(logs)):
        logs[t] = 0.8 * logs[t - 1] + rng.normal(0, 0.6 * wander)
    days = np.arange(round(months * DAYS_A_MONTH) + 2)
    wave = 1 + season * np.sin(2 * np.pi * (days / 365.25 + rng.random()))
    return np.r_[0, np.cumsum(np.exp(logs[((days + 10) // DAYS_A_MONTH).astype(int)]) * wave)]


def contracts(
    rng: np.random.Generator, wander: float = 0.0, season: float = 0.0, sigma: float = 0.5
) -> tuple[dict[str, pd.DataFrame], dict[int, float]]:
    """Return tables of a company of five years, and what those here at its end pay in each of HORIZONS."""
    past, n = round(60 * DAYS_A_MONTH), CUSTOMERS
    so_far = _so_far(60 + max(HORIZONS), rng, season, wander)
    joined, plan, fee = rng.integers(0, past + 1, n), rng.integers(0, 2, n), np.exp(rng.normal(3, sigma, n)).round(2)
    until = so_far[joined] + rng.exponential(1, n) * DAYS_A_MONTH / np.array([0.015, 0.03])[plan]
    left = np.ceil(np.interp(until, so_far, np.arange(len(so_far)), right=2 * len(so_far))).astype(int)
    left = np.fmax(left, joined + 1)
    came = {h: sum(fee[left > past + round(k * DAYS_A_MONTH)].sum() for k in range(h)) for h in HORIZONS}
    on, off = (END + pd.to_timedelta(day - past, unit="D") for day in (joined, left))
    people = {"customer_id": [f"c{i:06d}" for i in range(n)], "joined_on": on, "left_on": off.where(left <= past)}
    frame = pd.DataFrame(people | {"plan": np.array(["A", "B"])[plan], "monthly_revenue": fee})
    return {"customers": frame}, came


def shop(rng: np.random.Generator, kind: str, season: float) -> tuple[dict[str, pd.DataFrame], dict[int, float]]:
    """Return tables of a shop of two years, and what its buyers so far spend in each of HORIZONS."""
    past, n, (r, alpha, *leaving) = WEEKS * 7, BUYERS, BUYING[kind]
    so_far = _so_far(24 + max(HORIZONS), rng, season)
    first, rate = rng.integers(0, past - 90, n), rng.gamma(r, 1 / alpha, n) / 7
    turns = (
        np.interp(first + rng.random(n), np.arange(len(so_far)), so_far)[:, None]
        + np.cumsum(rng.exponential(1, (n, 500)), axis=1) / rate[:, None]
    )
    day = np.interp(turns, so_far, np.arange(len(so_far)), right=np.inf)
    if kind == "Pareto/NBD":
        stays = 7 * rng.exponential(1, n) / np.fmax(rng.gamma(leaving[0], 1 / leaving[1], n), 1e-300)
        made = day < (first + stays)[:, None]
    else:
        last = rng.geometric(np.fmax(rng.beta(*leaving, n), 1e-15)) - (kind == "MBG/NBD")
        made = np.arange(1, day.shape[1] + 1) <= last[:, None]
    made &= np.isfinite(day)
    who, day = np.r_[np.arange(n), made.nonzero()[0]], np.floor(np.r_[first, day[made]]).astype(int)
    revenue = np.fmax(rng.gamma(6, 1, len(who)) / rng.gamma(4, 1 / 15, n)[who], 0.01).round(2)
    came = {h: revenue[(past < day) & (day <= past + round(h * DAYS_A_MONTH))].sum() for h in HORIZONS}
    orders = pd.DataFrame({"customer_id": who, "ordered_at": END + pd.to_timedelta(day - past, unit="D")})
    orders = orders.assign(customer_id="c" + orders["customer_id"].astype(str), revenue=revenue)[day <= past]
    orders["order_id"] = [f"o{i}" for i in range(len(orders))]
    return {"customers": pd.DataFrame({"customer_id": [f"c{i}" for i in range(n)]}), "orders": orders}, came


# ---- valued as on a page ---------------------------------------------------------------------------------------------


def one(seed: int, name: str) -> dict[str, float]:
    """Value one simulated base over HORIZONS; return by horizon what came, the value and both intervals."""
    from cxlib.intake.company import Company
    from cxlib.value import buyers, forecast

    compiling.once()
    contractual, rng, found = name in CONTRACTS, np.random.default_rng(seed), {}
    frames, came = contracts(rng, **CONTRACTS[name]) if contractual else shop(rng, *SHOPS[name])
    settings = {"name": "Made up", "as_of": str(END.date()), "currency": "EUR", "draws": DRAWS}
    if contractual:
        settings |= {"relationship": "contractual", "segments": ["plan"], "metrics": {"nps": {"scale": [0, 10]}}}
    else:
        settings |= {"relationship": "noncontractual", "inactive_after_days": 180}
    money = MONEY | {"horizon_months": max(HORIZONS), "first_flow": "now" if contractual else "end"}
    company = Company.from_frames(settings | {"money": money}, frames)
    for months in HORIZONS:
        terms = company.settings.money.model_copy(update={"horizon_months": months})
        company.settings = company.settings.model_copy(update={"money": terms})
        forecast._today.cache_clear()  # of the other horizon
        said = (forecast.base if contractual else buyers.base)(company)
        e, model = said.figures[0].estimate, said.facts["model"]
        found |= {
            f"came {months}": came[months], f"value {months}": e.value, f"half {months}": (e.high - e.low) / 2,
            f"held {months}": e.low <= came[months] <= e.high, f"below {months}": came[months] < e.low,
            f"by model {months}": model.low <= came[months] <= model.high,
        }  # fmt: skip
    return found


def renewing(seed: int, params: tuple[float, float]) -> dict[str, float]:
    """Value one base under contract by a renewal model; return what the true parameters expect, and the interval.

    All who joined are fitted, customers of today are valued; ages are 1 to 24 months.
    """
    from cxlib.stats import draws
    from cxlib.stats.renewal import ShiftedBetaGeometric
    from cxlib.stats.renewal_draws import RenewalFit, refits

    rng, most = np.random.default_rng(seed), 24
    resampling = draws.with_plain(draws.group_weights(DRAWS, 1, FOLDS))
    leaves = rng.geometric(np.fmax(rng.beta(*params, CUSTOMERS), 1e-15))
    age, fold = rng.integers(1, most + 1, CUSTOMERS), rng.integers(0, FOLDS, CUSTOMERS)
    fee = np.exp(rng.normal(3.3, 0.5, CUSTOMERS)).round(2)
    renewal_of = np.arange(1, most + 1)
    followed = (age[:, None] >= renewal_of) & (leaves[:, None] >= renewal_of)
    leavers = followed & (leaves[:, None] == renewal_of)
    at_risk, lost = (
        resampling @ np.stack([np.bincount(fold, column, FOLDS) for column in each.T], axis=1)
        for each in (followed, leavers)
    )
    survivors = np.full((most + 1, most + 1), np.nan)  # a row for each age
    for of in range(1, most + 1):
        survivors[of, : of + 1] = (leaves[age == of][:, None] > np.arange(of + 1)).sum(axis=0)
    model = ShiftedBetaGeometric().fit(survivors[1:])
    fitted, here = RenewalFit(model, refits(model, at_risk, lost)), leaves > age
    fees = np.bincount(age[here], fee[here], most + 1)
    drawn = fitted.ahead(most, np.ones(TERMS)) @ fees
    true = float(RenewalFit(model, np.array([params])).ahead(most, np.ones(TERMS))[0] @ fees)
    e = draws.estimate(drawn[0], drawn[1:], float(here.sum()), low=0)
    return {"truth": true, "value": e.value, "covered": e.low <= true <= e.high, "half": (e.high - e.low) / 2}


# ---- the report ------------------------------------------------------------------------------------------------------


def _line(name: str, found: pd.DataFrame, months: int) -> str:
    came, value, half, held, below, by_model = (
        found[f"{k} {months}"] for k in ("came", "value", "half", "held", "below", "by model")
    )
    off = value / came - 1
    return (
        f"| {name} | {len(found)} | {months} | {held.mean():.3f} | {below.mean():.3f} | {by_model.mean():.3f} | "
        f"{100 * (half / value).mean():.1f} | {100 * off.mean():+.1f} | {100 * off.std():.1f} |"
    )


def report(runs: int = 200, kinds: tuple[str, ...] = ("contracts", "shops", "renewing"), workers: int = 2) -> str:
    """Return the part of docs/validity.md about the value of a base, from so many bases per world."""
    worlds = [*(CONTRACTS if "contracts" in kinds else ()), *(SHOPS if "shops" in kinds else ())]
    lines, renewals = [], []
    for name in worlds:
        found = simulate(partial(one, name=name), runs, workers=workers)
        lines += [_line(name, found, months) for months in HORIZONS]
        print(*lines[-len(HORIZONS) :], sep="\n", file=sys.stderr, flush=True)
    for name, params in RENEWING.items() if "renewing" in kinds else ():
        found = simulate(partial(renewing, params=params), runs, workers=workers)
        off = found["value"] / found["truth"] - 1
        renewals.append(
            f"| {name} | {len(found)} | {found['covered'].mean():.3f} | "
            f"{100 * (found['half'] / found['value']).mean():.1f} | {100 * off.mean():+.1f} | {100 * off.std():.1f} |"
        )
    table, second = "\n".join(lines), "\n".join(renewals)
    return f"""## What today's customers will bring

Simulated bases: {CUSTOMERS:,} customers who joined a company over five years, or {BUYERS:,} buyers of a shop of
{WEEKS} weeks. The truth is what exactly the customers of today then brought. Held: the share of bases in which it lies
in the 95 % prediction interval of the page; bounds asked for are {PROMISED[0]:.2f} and {PROMISED[1]:.2f}. Below: the
share in which it lies below it. By model alone: the same share for an interval of model error alone. Good and bad
months: the log rate of leaving wanders with a standard deviation of .25 and an autocorrelation of .8 a month. With
{runs} bases the margin of error of a share of 95 % is about {margin_of_error(runs):.1f} points.

| customers | bases | months | held | below | by model alone | half-width, % | bias, % | error, % |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
{table}

### Renewal models, the check of the forecast

{CUSTOMERS:,} customers who follow the model fitted. The truth is what the true parameters expect of them in {TERMS}
monthly payments; the interval is of model error alone.

| customers | bases | covered | half-width, % | bias, % | error, % |
|---|---:|---:|---:|---:|---:|
{second}

The error is the standard deviation of the estimates around their truths.
"""


def main(given: list[str]) -> int:
    """Simulate the given number of bases per world and print the part."""
    begun, kinds = time.monotonic(), tuple(k for k in given[1:]) or ("contracts", "shops", "renewing")
    print(report(int(given[0]) if given else 200, kinds, workers=1), f"{time.monotonic() - begun:.0f} s", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
