"""Do the intervals cover the truth, and do they find nothing where there is nothing?

Simulates companies with known truth, walks each through the same code as a report, and writes docs/validity.md.

    make calibrate                         200 companies of each world, about an hour on two cores
    python -m benchmarks.calibrate 20      fewer, for a look; nothing is written
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd

from benchmarks import surveys
from benchmarks.simulation import simulate

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
    from cxlib import hazards, roi, value

    company = _company(seed)
    figures = [f for k in (hazards.ratios(company, "nps"), value.by_score(company, "nps")) for f in k.figures]
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
    from cxlib import churn, hazards
    from cxlib.intake import stays
    from cxlib.stats import survival

    company = _company(seed, **NOTHING)
    rows = stays.last_score(company, "nps")
    rows = rows[rows["band"].isin(["detractor", "promoter"])]
    naive = survival.log_rank(rows["duration"], rows["event"], rows["band"], weights=rows["n"])
    ratio = hazards.ratios(company, "nps").figures[0].estimate
    gap = churn.by_score(company, "nps").figures[0].estimate
    return {"usual": naive.p < 0.05, "ratio": ratio.excludes(1), "gap": gap.excludes(0)}


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


def _of_scores(companies: int) -> str:
    """Return the part of the report that is about scores: intervals, silence and alarms."""
    nps = surveys.nps_coverage()
    silent, nearer = surveys.silence_table(companies)
    quiet = simulate(surveys.alarms, companies).mean()
    named = simulate(surveys.harbour, max(companies // 5, 4)).mean()
    alarms = pd.DataFrame(
        [
            {
                "alarm": "early warning, four quarterly reports of 13 segments",
                "stated at most": 0.05,
                "found": quiet["warning"],
            },
            {
                "alarm": "control chart, four quarters or twelve months",
                "stated at most": 0.05,
                "found": quiet["control"],
            },
        ]
    )
    return f"""## The interval of an NPS

{surveys.SURVEYS:,} simulated surveys in each of {len(nps)} settings: {len(surveys.SIZES)} sizes, {len(surveys.SCORES)}
true scores from {min(surveys.SCORES)} to {max(surveys.SCORES)}, answers from like-minded to split. The share of surveys
whose 95 % interval holds the true NPS:

{_markdown(surveys.nps_table(nps))}

Where no answer can be bad (five answers, three quarters promoters, one quarter passives) it is {surveys.hardest():.3f}.

## Five answers of each customer

Answers of one customer alike to .6. The interval of a page takes the folds into account; answers taken as independent claim
too much.

{_markdown(surveys.clustered_coverage())}

## Silence

{companies} companies like the demo (6,000 customers): who is about to leave, or has a small plan, answers less. The truth is the NPS of all
questions asked, had each been answered. Weighted NPS is nearer to it than the raw one in {100 * nearer:.1f} % of the companies.

{_markdown(silent)}

Where silence depends on the score itself no weights mend it; a test shows that the page says so and that its bounds hold the truth.

## Alarms in quiet years

{companies} companies in which nothing changes, three years of answers, the last of them watched. The share of years with any false alarm:

{_markdown(alarms)}

In {100 * named["harbour"]:.0f} % of {max(companies // 5, 4)} companies like the demo the region whose experience falls in
July 2025 is named in the report of September 2025, one quarter before its exits rise.
"""


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

Made by `make calibrate`. A 95 % interval should hold the truth in about 95 of 100 simulations.

{_of_scores(companies)}
## The chain from score to money

{companies} simulated companies of {CUSTOMERS:,} customers for each of the two tables below, walked through the same code as a report;
with {companies} of them a share of 95 % is known to about {100 * 1.96 * (0.95 * 0.05 / companies) ** 0.5:.1f} points.

{_markdown(covered)}

### No link at all

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
