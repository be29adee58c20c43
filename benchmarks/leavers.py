"""Does the churn page find the link that exists, and none where there is none? It runs on the worlds of ``leaving``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks import leaving

CUSTOMERS = 2500
NAMES = {
    "hazard_ratio_detractor": "hazard ratio, detractor against promoter",
    "hazard_ratio_passive": "hazard ratio, passive against promoter",
    "gap": "gap of the curves 12 months after the answer, promoter minus detractor",
    "gone_chosen_12": "left by choice within 12 months of sign-up",
    "gone_chosen_24": "left by choice within 24 months of sign-up",
    "gone_failed_12": "left by failed payment within 12 months of sign-up",
    "gone_failed_24": "left by failed payment within 24 months of sign-up",
}


def accounts(worlds: int = 500) -> pd.DataFrame:
    """Return how often the gap of two curves is held by unit: two groups of 40 accounts of ten customers.

    The accounts share a gamma frailty of variance 1, so that their customers leave together.
    """
    from cxlib.stats import draws, survival

    rng, weights = np.random.default_rng(30), draws.with_plain(draws.group_weights(400, 1))
    group, units = np.repeat([0, 1], 400), {"accounts": np.repeat(np.arange(80), 10), "customers": np.arange(800)}
    truth, rows = 1 / 1.6 - 1 / 1.9, []
    for _ in range(worlds):
        rate = np.repeat(rng.gamma(1.0, 1.0, 80), 10) * np.where(group, 0.9, 0.6)
        days = np.ceil(rng.exponential(365, 800) / rate)
        one = {}
        for unit, of in units.items():
            counted = pd.DataFrame({"duration": np.minimum(days, 365).astype(int), "events": (days <= 365).astype(int)})
            counted = counted.assign(n=1, fold=rng.integers(0, 256, of.max() + 1)[of])
            first, second = (survival.survival_draws(counted[group == g], 365, weights)[:, -1] for g in (0, 1))
            gap = draws.estimate(first[0] - second[0], (first - second)[1:], 800)
            one[unit] = gap.low <= truth <= gap.high
        rows.append(one)
    return pd.DataFrame(rows)


def _company(seed: int, world: leaving.World):
    from cxlib.intake.company import Company

    return Company.from_frames(*leaving.make(seed, CUSTOMERS, world))


def claims(seed: int) -> dict[str, bool]:
    """Tell which methods claim a link in a world without any."""
    from cxlib.churn import curves, hazard_ratios
    from cxlib.counts import follow_up
    from cxlib.stats import survival

    company = _company(seed, leaving.NULL)
    rows = follow_up.last_score(company, "nps")
    rows = rows[rows["band"].isin(["detractor", "promoter"])]
    usual = survival.log_rank(rows["duration"], rows["event"], rows["band"], weights=rows["n"])
    found = {"usual curve: last score, time from sign-up (log-rank)": usual.p < 0.05}
    table = hazard_ratios.routes(company, "nps").table.set_index("route")
    for way in (hazard_ratios.IN_FORCE, hazard_ratios.AT_ANSWER, hazard_ratios.AT_LANDMARK):
        found[way] = bool((table.loc[way, "low"] > 1) | (table.loc[way, "high"] < 1))
    gap = curves.by_score(company, "nps").figures[0].estimate
    return found | {"gap of the curves after 12 months": gap.excludes(0)}


def _estimates(seed: int, world: leaving.World) -> dict[str, tuple[float, float, float]]:
    from cxlib.churn import curves, hazard_ratios

    company = _company(seed, world)
    found = {f.name: f.estimate for f in hazard_ratios.ratios(company, "nps").figures}
    wanted = {
        "hazard_ratio_detractor": found["nps-hazard-ratio-detractor"],
        "hazard_ratio_passive": found["nps-hazard-ratio-passive"],
        "gap": curves.by_score(company, "nps").figures[0].estimate,
    }
    return {k: (e.value, e.low, e.high) for k, e in wanted.items()} | _incidence(company)


def _incidence(company) -> dict[str, tuple[float, float, float]]:
    """Return the share who left by choice and by failed payment within 12 and 24 months of sign-up."""
    from cxlib.churn import tenure

    table, found = tenure.causes(company).table, {}
    for name, reason in (("gone_chosen", "cancelled"), ("gone_failed", leaving.FAILED)):
        mine = table[table["group"] == reason].set_index("time")
        for months in (12, 24):
            found[f"{name}_{months}"] = tuple(float(v) for v in mine.loc[months, ["value", "low", "high"]])
    return found


def known(seed: int) -> dict[str, tuple[float, float, float]]:
    """Estimate in the world with hazard ratios 2.0 and 1.3."""
    return _estimates(seed, leaving.KNOWN)


def late(seed: int) -> dict[str, tuple[float, float, float]]:
    """Estimate in the same world, without the customers who left more than three years ago."""
    return _estimates(seed, leaving.World(leavers_since=True))


def decided(seed: int) -> dict[str, float]:
    """Return the ratio with and without a delay of 90 days where the score falls only after the decision to leave."""
    from cxlib.churn import hazard_ratios

    found = hazard_ratios.delayed(_company(seed, leaving.DECIDED_BEFORE), "nps")
    value = found.table.set_index("delay")["value"]
    return {"at once": value["0 days"], "after 90 days": value["90 days"], "shrinks": found.facts["shrinks"]}


def coverage(found: pd.DataFrame, true: dict[str, float]) -> pd.DataFrame:
    """Return by quantity the truth, the mean estimate and the share of companies whose interval contains the truth."""
    rows = []
    for name in found:
        value, low, high = (found[name].map(lambda t, i=i: t[i]) for i in range(3))
        covered = ((low <= true[name]) & (true[name] <= high)).mean()
        row = {"quantity": NAMES[name], "truth": true[name], "mean estimate": value.mean(), "covered": covered}
        rows.append(row)
    return pd.DataFrame(rows)
