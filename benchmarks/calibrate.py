"""Do the intervals cover the truth, and do they find nothing where there is nothing?

Simulates companies with known truth, walks each through the same code as a report, and writes docs/validity.md.

    make calibrate                         200 companies of each world, about a quarter of an hour on two cores
    python -m benchmarks.calibrate 20      fewer, for a look; nothing is written
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
TRUTH = ROOT / "tests" / "truth" / "demo.json"
NOTHING = {"link": False, "welcome_effect": 1.0, "managers_effect": 1.0, "app_effect": 1.0}
CUSTOMERS = 6000


def truths() -> dict[str, float]:
    """Return the true values of the demo world, by the names ``estimates`` uses."""
    truth = json.loads(TRUTH.read_text())
    return {
        "hazard_ratio_detractor": truth["hazard_ratio"]["detractor"],
        "hazard_ratio_passive": truth["hazard_ratio"]["passive"],
        "value_gap": truth["value_gap"]["value"],
        "welcome_calls_effect": truth["welcome_calls"]["net_margin"]["value"],
        "local_managers_effect": truth["account_managers"]["value"],
    }


NAMES = {
    "hazard_ratio_detractor": "hazard ratio, detractor against promoter",
    "hazard_ratio_passive": "hazard ratio, passive against promoter",
    "value_gap": "value gap, promoter minus detractor (GBP, 24 months)",
    "welcome_calls_effect": "Welcome calls: margin per customer (GBP, 12 months)",
    "local_managers_effect": "Local account managers: margin per customer (GBP, 6 months)",
}


def _company(seed: int, **world: object):
    from cxlib import demo
    from cxlib.intake.company import Company

    return Company.from_frames(demo.settings("demo", draws=400), demo.subscription(seed, CUSTOMERS, **world))


def estimates(seed: int) -> dict[str, tuple[float, float, float]]:
    """Return value, low and high of each quantity for one simulated company."""
    from cxlib import churn, roi, value

    company = _company(seed)
    figures = [f for k in (churn.hazard_ratios(company, "nps"), value.by_score(company, "nps")) for f in k.figures]
    found = {f.name: f.estimate for f in figures}
    by_window = {w: {r.initiative: r.effect for r in roi.results(company, w)} for w in (6, 12)}
    wanted = {
        "hazard_ratio_detractor": found["nps-hazard-ratio-detractor"],
        "hazard_ratio_passive": found["nps-hazard-ratio-passive"],
        "value_gap": found["value-gap"],
        "welcome_calls_effect": by_window[12]["Welcome calls"],
        "local_managers_effect": by_window[6]["Local account managers"],
    }
    return {k: (e.value, e.low, e.high) for k, e in wanted.items()}


def rejections(seed: int) -> dict[str, bool]:
    """Tell which routes claim a link in a world where score and leaving are independent."""
    from cxlib import churn
    from cxlib.intake import counts
    from cxlib.stats import survival

    company = _company(seed, **NOTHING)
    rows = counts.last_score(company, "nps")
    rows = rows[rows["band"].isin(["detractor", "promoter"])]
    naive = survival.log_rank(rows["duration"], rows["event"], rows["band"], weights=rows["n"])
    ratio = churn.hazard_ratios(company, "nps").figures[0].estimate
    gap = churn.by_score(company, "nps").figures[0].estimate
    return {"usual": naive.p < 0.05, "ratio": ratio.excludes(1), "gap": gap.excludes(0)}


def simulate(one: Callable[[int], dict], companies: int, first_seed: int = 1000, workers: int = 2) -> pd.DataFrame:
    """Run ``one(seed)`` for that many seeds, a row each."""
    seeds = range(first_seed, first_seed + companies)
    if workers == 1:
        return pd.DataFrame([one(s) for s in seeds], index=list(seeds))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return pd.DataFrame(pool.map(one, seeds, chunksize=5), index=list(seeds))


def coverage(found: pd.DataFrame) -> pd.DataFrame:
    """Return, by quantity: truth, mean estimate, share of companies whose interval holds the truth."""
    true, rows = truths(), []
    for name, words in NAMES.items():
        value, low, high = (found[name].map(lambda t, i=i: t[i]) for i in range(3))
        rows.append(
            {
                "quantity": words,
                "truth": true[name],
                "mean estimate": value.mean(),
                "mean half-width": ((high - low) / 2).mean(),
                "covered": ((low <= true[name]) & (true[name] <= high)).mean(),
            }
        )
    return pd.DataFrame(rows)


def _markdown(frame: pd.DataFrame) -> str:
    cells = [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in frame.to_numpy()]
    lines = [list(frame.columns), ["---"] * frame.shape[1], *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    """Simulate, print, and (for the full number) write docs/validity.md."""
    companies = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    started = time.monotonic()
    covered = coverage(simulate(estimates, companies))
    claims = simulate(rejections, companies).mean()
    nothing = pd.DataFrame(
        [
            {"route": "usual curve: last score, clock from sign-up (log-rank)", "claims a link": claims["usual"]},
            {"route": "ratio of rates: start-stop, tenure clock, folds", "claims a link": claims["ratio"]},
            {"route": "gap of the curves: clock at the answer, folds", "claims a link": claims["gap"]},
        ]
    )
    text = f"""# Do the intervals hold what they promise?

Made by `make calibrate`: {companies} simulated companies of {CUSTOMERS:,} customers for each table, walked through the same code
as a report. A 95 % interval should hold the truth in about 95 of 100 companies; with {companies} of them the share itself is known
to about {100 * 1.96 * (0.95 * 0.05 / companies) ** 0.5:.1f} points.

## Known truth

{_markdown(covered)}

## No link at all

Scores drift up with tenure, leaving has nothing to do with them: a sound route claims a link in about 5 of 100 companies.

{_markdown(nothing)}
"""
    print(text)
    print(f"{time.monotonic() - started:.0f} s")
    if companies >= 200:
        (ROOT / "docs" / "validity.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
