"""Do the intervals of a customer base's value contain the truth? Simulated customers are valued as on a page.

    python -m benchmarks.worth           200 bases in each setting, about five minutes on one core
    python -m benchmarks.worth 20        fewer, as a trial

There are two questions with an interval each. What will exactly these customers bring? Then only the parameters are
resampled. What would as many similar customers bring? Then the customers are resampled too.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from benchmarks.simulation import margin_of_error, simulate

CUSTOMERS = 5000
DRAWS = 1000  # as on a page
FOLDS = 256
YEAR = 52.0  # weeks ahead, where time is in weeks
TERMS = 12  # monthly payments ahead, where it is in months
PROMISED = (0.92, 0.98)  # coverage required: 95 % within the margin of error of 200 bases


@dataclass(frozen=True)
class Setting:
    """A kind of customer: the model they follow, its parameters (in weeks or months), and their ages."""

    name: str
    model: str
    params: tuple[float, ...]
    ages: tuple[int, int]  # lowest and highest, in whole weeks or months since joining, uniform between
    spend: tuple[float, float, float] = (6.25, 3.74, 15.44)  # gamma-gamma; not used under contract


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
    """Return one row per buyer: frequency, recency, age, mean spend (of repeats), and the purchases of the next year.

    Given their number, purchase times are uniform, so no buyer has to be simulated through time.
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
        leaves = rng.geometric(np.fmax(rng.beta(*leaving, n), 1e-15))  # the chance they take; the first ...
        last = leaves - (setting.model == "ModifiedBetaGeoNBD")  # ... comes with the first purchase, else with a repeat
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
    """Return one row per customer who ever joined: age in months, fee, and the renewal at which they leave."""
    n = CUSTOMERS
    leaves = rng.geometric(np.fmax(rng.beta(*setting.params, n), 1e-15))
    age = rng.integers(setting.ages[0], setting.ages[1] + 1, n)
    fee = np.round(np.exp(rng.normal(3.3, 0.5, n)), 2)
    return pd.DataFrame({"age": age, "leaves": leaves, "fee": fee, "fold": rng.integers(0, FOLDS, n)})


# ---- valued as on a page ---------------------------------------------------------------------------------------------


def _of_buyers(setting: Setting, rng: np.random.Generator, resampling: np.ndarray) -> tuple:
    """Value one base as ``buyers.base`` does.

    Returns the true value, the value and its draws (1 + draws), the value by fold, what the year brought, customers.
    """
    from cxlib.stats import repeat_buying
    from cxlib.stats.likelihood import collapse
    from cxlib.value import purchase_models

    rows = buyers(setting, rng)
    model = getattr(repeat_buying, setting.model)().fit(*(rows[c] for c in purchase_models.PAST))
    spends, again = purchase_models.spending(rows)
    cells, cell = collapse(rows[purchase_models.PAST].to_numpy())  # many buyers without a repeat share a history

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
    folds = np.bincount(rows["fold"], ahead[cell] * each, resampling.shape[1])
    came = float(rows["further"] @ true)
    return bought(np.array(setting.params))[cell] @ true, drawn * by / by[0], folds, came, len(rows)


def _of_subscribers(setting: Setting, rng: np.random.Generator, resampling: np.ndarray) -> tuple:
    """Return the same for one base under contract; all who joined are fitted, customers of today are valued."""
    from cxlib.stats import renewal
    from cxlib.stats.renewal_draws import RenewalFit, refits

    rows = subscribers(setting, rng)
    most = setting.ages[1]
    age, leaves, fold = (rows[c].to_numpy() for c in ("age", "leaves", "fold"))
    # By fold: customers due for each renewal, and those who left at it, as far as each has been followed.
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
    """Value one simulated base; return the truth, the estimate, both intervals and what the year brought."""
    from cxlib.stats import draws

    resampling = draws.with_plain(draws.group_weights(DRAWS, 1, FOLDS))
    value = _of_subscribers if setting.model == "ShiftedBetaGeometric" else _of_buyers
    true, drawn, folds, came, n = value(setting, np.random.default_rng(seed), resampling)
    these = draws.estimate(drawn[0], drawn[1:], n, low=0)
    both = (resampling @ folds) * drawn / drawn[0]
    similar = draws.estimate(both[0], both[1:], n, low=0)
    return {
        "truth": true, "value": drawn[0], "came": came,
        "low": these.low, "high": these.high, "se": these.se, "similar low": similar.low, "similar high": similar.high,
    }  # fmt: skip


def coverage(found: pd.DataFrame) -> dict[str, float]:
    """Return truth, bias, coverage and half-width of both intervals over the simulated bases of one setting.

    The true value of similar customers is the mean over all bases.
    """
    true = found["truth"].mean()
    return {
        "true value": true,
        "bias, %": 100 * (found["value"].mean() / true - 1),
        "actual, %": 100 * (found["came"].mean() / true - 1),
        "covered": ((found["low"] <= found["truth"]) & (found["truth"] <= found["high"])).mean(),
        "half-width, %": 50 * (found["high"] - found["low"]).mean() / true,
        "error, %": 100 * (found["value"] - found["truth"]).std() / true,
        "standard error, %": 100 * found["se"].mean() / true,
        "without interval": found["low"].isna().mean(),
        "similar covered": ((found["similar low"] <= true) & (true <= found["similar high"])).mean(),
        "similar half-width, %": 50 * (found["similar high"] - found["similar low"]).mean() / true,
    }


def report(runs: int = 200) -> str:
    """Return the part of docs/validity.md about the value of a base, from so many bases per setting."""
    found = {s.name: simulate(partial(one, setting=s), runs) for s in SETTINGS}
    rows = [{"setting": name, "bases": len(each), **coverage(each)} for name, each in found.items()]
    lines = [
        f"| {r['setting']} | {r['bases']} | {r['true value']:,.0f} | {r['bias, %']:+.1f} | {r['actual, %']:+.1f} | "
        f"{r['covered']:.3f} | {r['half-width, %']:.1f} | {r['error, %']:.2f} | {r['standard error, %']:.2f} | "
        f"{r['similar covered']:.3f} | {r['similar half-width, %']:.1f} |"
        for r in rows
    ]
    without = sum(r["without interval"] for r in rows) / len(rows)
    outside = [r["setting"] for r in rows if not PROMISED[0] <= r["covered"] <= PROMISED[1]]
    span = f"{PROMISED[0]:.2f} and {PROMISED[1]:.2f}"
    said = f"The coverage of these customers' value lies between {span} for every kind."
    if outside:
        said = f"The coverage of these customers' value does not lie between {span} for: {'; '.join(outside)}."
    if without:
        said += f" {100 * without:.1f} % of the bases had no interval (counted as not covered)."
    table = "\n".join(lines)
    return f"""## The value of today's customers

Simulated bases of {CUSTOMERS:,} customers, of {len(rows)} kinds. Each kind follows the model that is fitted, with known
parameters. The value is the money of the next year, undiscounted: purchases times spend (gamma-gamma), or monthly
payments while under contract. The truth is what the true parameters expect of exactly these customers, given their
histories. The interval on a page is for that: it resamples the parameters and keeps the customers. "Actual" is what
these customers then brought, relative to the truth. The last two columns are for any {CUSTOMERS:,} customers of this
kind, of whom these are a sample. With {runs} bases the margin of error of a share of 95 % is about
{margin_of_error(runs):.1f} points.

| customers | bases | true value | bias, % | actual, % | covered | half-width, % | error, % | standard error, % \
| any such base: covered | half-width, % |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
{table}

The error is the standard deviation of the estimates around their truths. The standard error is the page's own, on
average. {said}
"""


def main(given: list[str]) -> int:
    """Simulate the given number of bases per setting and print the part."""
    begun = time.monotonic()
    print(report(int(given[0]) if given else 200), f"{time.monotonic() - begun:.0f} s", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
