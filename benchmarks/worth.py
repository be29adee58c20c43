"""Do the intervals of a customer base's value hold the truth? Customers with known parameters, valued as a page does.

    python -m benchmarks.worth           200 bases in each setting, about five minutes on one core
    python -m benchmarks.worth 20        fewer, for a look

Two questions, two intervals. What will exactly these customers bring? They are given, so only the parameters are drawn. What
would as many customers of this kind bring? Then who is in the base is drawn too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from benchmarks.simulation import simulate

CUSTOMERS = 5000
DRAWS = 1000  # as of a page
FOLDS = 256
YEAR = 52.0  # weeks ahead, where time is in weeks
TERMS = 12  # monthly payments ahead, where it is in months
PROMISED = (0.92, 0.98)  # the coverage wanted; a share of 95 % in 200 bases is known to 3 points


@dataclass(frozen=True)
class Setting:
    """A kind of customer: the model they follow, its parameters (weeks or months), and how long they have been customers."""

    name: str
    model: str
    params: tuple[float, ...]
    ages: tuple[int, int]  # whole weeks or months since joining, all equally frequent
    spend: tuple[float, float, float] = (6.25, 3.74, 15.44)  # gamma-gamma; not where fees are paid


SETTINGS = (
    Setting("BG/NBD, rare purchases", "BetaGeoNBD", (0.243, 4.414, 0.793, 2.426), (27, 78)),
    Setting("BG/NBD, frequent purchases", "BetaGeoNBD", (1.1, 6.0, 0.6, 3.5), (13, 104), (3.0, 4.5, 40.0)),
    Setting("MBG/NBD", "ModifiedBetaGeoNBD", (0.525, 6.183, 0.891, 1.614), (27, 104)),
    Setting("Pareto/NBD", "ParetoNBD", (0.553, 10.578, 0.606, 11.669), (27, 104)),
    Setting("shifted beta-geometric, regular", "ShiftedBetaGeometric", (0.704, 1.182), (1, 24)),
    Setting("shifted beta-geometric, high end", "ShiftedBetaGeometric", (0.668, 3.806), (1, 24)),
)


# ---- customers -------------------------------------------------------------------------------------------------------


def buyers(setting: Setting, rng: np.random.Generator) -> pd.DataFrame:
    """Return one buyer a row: frequency, recency, age, mean spend (of repeats), and the purchases of the next year.

    The moments of given purchases are those of uniforms: no buyer is walked through time.
    """
    n = CUSTOMERS
    age = rng.integers(setting.ages[0], setting.ages[1] + 1, n).astype(float)
    shape, alpha, *leaving = setting.params
    rate = rng.gamma(shape, 1 / alpha, n)
    if setting.model == "ParetoNBD":
        stays = rng.exponential(1, n) / np.fmax(rng.gamma(leaving[0], 1 / leaving[1], n), 1e-300)
        seen = np.fmin(stays, age)
        frequency = rng.poisson(rate * seen)
        recency = seen * rng.random(n) ** (1 / np.fmax(frequency, 1))
        further = rng.poisson(rate * (np.clip(stays, age, age + YEAR) - age))
    else:
        leaves = rng.geometric(np.fmax(rng.beta(*leaving, n), 1e-15))  # after so many chances, the first ...
        last = leaves - (setting.model == "ModifiedBetaGeoNBD")  # ... with the first purchase here, else with a repeat
        wanted = rng.poisson(rate * age)
        frequency = np.minimum(wanted, last)
        recency = age * rng.beta(np.fmax(frequency, 1), np.fmax(wanted - frequency, 0) + 1)
        further = np.minimum(rng.poisson(rate * YEAR), last - frequency)
    p, q, v = setting.spend
    total = rng.gamma(p * np.fmax(frequency, 1)) / rng.gamma(q, 1 / v, n)
    again = frequency > 0
    return pd.DataFrame(
        {
            "frequency": frequency.astype(float),
            "recency": np.where(again, recency, 0.0),
            "age": age,
            "spend": np.where(again, total / np.fmax(frequency, 1), 0.0),
            "further": further,
            "fold": rng.integers(0, FOLDS, n),
            "n": 1.0,
        }
    )


def subscribers(setting: Setting, rng: np.random.Generator) -> pd.DataFrame:
    """Return one customer who ever joined a row: age in months, fee, and after how many renewals they leave."""
    n = CUSTOMERS
    leaves = rng.geometric(np.fmax(rng.beta(*setting.params, n), 1e-15))
    age = rng.integers(setting.ages[0], setting.ages[1] + 1, n)
    fee = np.round(np.exp(rng.normal(3.3, 0.5, n)), 2)
    return pd.DataFrame({"age": age, "leaves": leaves, "fee": fee, "fold": rng.integers(0, FOLDS, n)})


# ---- valued as a page does -------------------------------------------------------------------------------------------


def _of_buyers(setting: Setting, rng: np.random.Generator, resampling: np.ndarray) -> tuple:
    """Return of one base: truth, value and its draws (1 + draws), value by fold, what came, customers; as ``buying.base``."""
    from cxlib.stats import repeat_buying
    from cxlib.stats.likelihood import collapse
    from cxlib.value import purchase_models

    rows = buyers(setting, rng)
    model = getattr(repeat_buying, setting.model)().fit(*(rows[c] for c in purchase_models.PAST))
    spends, again = purchase_models.spending(rows)
    cells, cell = collapse(rows[purchase_models.PAST].to_numpy())  # buyers without a repeat are much alike

    def bought(params: object = None) -> np.ndarray:
        return model.predict(YEAR, *cells.T, params=params)

    each, ahead = purchase_models.expected_spend(spends, rows), bought()
    priced, moved = np.bincount(cell, each), purchase_models.moves(model, resampling, rows, purchase_models.PAST)
    drawn = purchase_models.spread(model, moved, lambda p: np.array([bought(p) @ priced]))[:, 0]
    moved = purchase_models.moves(spends, resampling, again, ["frequency", "spend"])
    by = purchase_models.spread(
        spends, moved, lambda p: np.array([ahead[cell] @ purchase_models.expected_spend(spends, rows, p)])
    )[:, 0]
    true = purchase_models.expected_spend(spends, rows, np.array(setting.spend))
    folds = purchase_models.by_fold(rows["fold"], ahead[cell] * each, resampling)
    came = float(rows["further"] @ true)
    return bought(np.array(setting.params))[cell] @ true, drawn * by / by[0], folds, came, len(rows)


def _of_subscribers(setting: Setting, rng: np.random.Generator, resampling: np.ndarray) -> tuple:
    """Return the same of one base under a contract, as ``contracts.base``: all who joined are fitted, who is here is valued."""
    from cxlib.stats import renewal
    from cxlib.stats.renewal_draws import RenewalFit, refits

    rows = subscribers(setting, rng)
    most = setting.ages[1]
    age, leaves, fold = (rows[c].to_numpy() for c in ("age", "leaves", "fold"))
    # Who came up for each renewal, and who did not make it, by fold; each for as long as they have been followed.
    renewal_of = np.arange(1, most + 1)
    followed = (age[:, None] >= renewal_of) & (leaves[:, None] >= renewal_of)
    leavers = followed & (leaves[:, None] == renewal_of)
    at_risk, lost = (resampling @ _sums(fold, each) for each in (followed, leavers))
    survivors = np.full((most + 1, most + 1), np.nan)  # a row for each age
    for of in range(setting.ages[0], most + 1):
        survivors[of, : of + 1] = (leaves[age == of][:, None] > np.arange(of + 1)).sum(axis=0)
    model = getattr(renewal, setting.model)().fit(survivors[setting.ages[0] :])
    fitted = RenewalFit(model, refits(model, at_risk, lost))

    base = rows[rows["leaves"] > rows["age"]]
    here, fees = base["age"].to_numpy(), base["fee"].to_numpy()
    fees_by = np.zeros((FOLDS, most + 1))
    np.add.at(fees_by, (base["fold"].to_numpy(), here), fees)
    ahead = fitted.ahead(most, np.ones(TERMS))
    true = RenewalFit(model, np.array([setting.params])).ahead(most, np.ones(TERMS))[0]
    came = float(np.minimum(base["leaves"] - here - 1, TERMS) @ fees)
    return fees @ true[here], ahead @ fees_by.sum(axis=0), fees_by @ ahead[0], came, len(base)


def _sums(fold: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Add up columns by fold."""
    return np.stack([np.bincount(fold, column, FOLDS) for column in columns.T], axis=1)


def one(seed: int, setting: Setting) -> dict[str, float]:
    """Value one simulated base and return truth, estimate, both intervals, and what the year then brought."""
    from cxlib.stats import draws

    resampling = draws.with_plain(draws.fold_weights(DRAWS, 1, FOLDS))
    value = _of_subscribers if setting.model == "ShiftedBetaGeometric" else _of_buyers
    true, drawn, folds, came, n = value(setting, np.random.default_rng(seed), resampling)
    these = draws.estimate(drawn[0], drawn[1:], n, low=0)
    both = (resampling @ folds) * drawn / drawn[0]
    such = draws.estimate(both[0], both[1:], n, low=0)
    return {
        "truth": true, "value": drawn[0], "came": came,
        "low": these.low, "high": these.high, "se": these.se, "such low": such.low, "such high": such.high,
    }  # fmt: skip


def coverage(found: pd.DataFrame) -> dict[str, float]:
    """Return what the simulations of one setting say: truth, bias, coverage and half-width of both intervals.

    Bases differ, so such customers' true value is the mean over all of them.
    """
    true = found["truth"].mean()
    return {
        "true value": true,
        "bias, %": 100 * (found["value"].mean() / true - 1),
        "what came, %": 100 * (found["came"].mean() / true - 1),
        "these covered": ((found["low"] <= found["truth"]) & (found["truth"] <= found["high"])).mean(),
        "half-width, %": 50 * (found["high"] - found["low"]).mean() / true,
        "error, %": 100 * (found["value"] - found["truth"]).std() / true,
        "standard error, %": 100 * found["se"].mean() / true,
        "unknown": found["low"].isna().mean(),
        "such covered": ((found["such low"] <= true) & (true <= found["such high"])).mean(),
        "such half-width, %": 50 * (found["such high"] - found["such low"]).mean() / true,
    }


def report(
    runs: int = 200, run: Callable[..., pd.DataFrame] = simulate, found: dict[str, pd.DataFrame] | None = None
) -> str:
    """Return the part of docs/validity.md about the value of a base; ``run`` is ``simulate`` or like it.

    ``found``: what ``run`` returned before, by the name of the setting; nothing is run then.
    """
    if found is None:
        found = {s.name: run(partial(one, setting=s), runs) for s in SETTINGS}
    rows = [{"setting": name, "bases": len(each), **coverage(each)} for name, each in found.items()]
    lines = [
        f"| {r['setting']} | {r['bases']} | {r['true value']:,.0f} | {r['bias, %']:+.1f} | {r['what came, %']:+.1f} | "
        f"{r['these covered']:.3f} | {r['half-width, %']:.1f} | {r['error, %']:.2f} | {r['standard error, %']:.2f} | "
        f"{r['such covered']:.3f} | {r['such half-width, %']:.1f} |"
        for r in rows
    ]
    unknown = sum(r["unknown"] for r in rows) / len(rows)
    outside = [r["setting"] for r in rows if not PROMISED[0] <= r["these covered"] <= PROMISED[1]]
    said = f"Outside {PROMISED[0]:.2f} to {PROMISED[1]:.2f}: {', '.join(outside)}." if outside else (
        f"All of them lie between {PROMISED[0]:.2f} and {PROMISED[1]:.2f}."
    )  # fmt: skip
    if unknown:
        said += f" In {100 * unknown:.1f} % of the bases there was no interval (counted as not covered)."
    fewest, table = min(r["bases"] for r in rows), "\n".join(lines)
    return f"""## The value of today's customers

Simulated bases of {CUSTOMERS:,} customers: {len(rows)} kinds of customer who follow the model fitted, with known parameters.
Valued is the next year in money, undiscounted: purchases times spend (gamma-gamma), or monthly payments of those still under
a contract. The truth is what the true parameters expect of exactly these customers given their histories; a page's interval
is for that: it draws the parameters and keeps the customers. What came is what these customers then did, against the truth.
The last two columns are for any {CUSTOMERS:,} customers of this kind, of whom these are a sample. With {fewest} bases a share
of 95 % is known to about {100 * 1.96 * (0.95 * 0.05 / fewest) ** 0.5:.1f} points.

| customers | bases | true value | bias, % | came, % | covered | half-width, % | error, % | st. error, % | such: covered | half-width, % |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
{table}

The error is how much estimates scatter about their truths, the standard error what the page makes of it on average. {said}
"""


def main(given: list[str]) -> int:
    """Simulate so many bases a setting and print the part."""
    begun = time.monotonic()
    print(report(int(given[0]) if given else 200), f"{time.monotonic() - begun:.0f} s", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
