"""Do the intervals cover the truth, and do they find nothing where there is nothing?

Simulates companies with known truth, walks each through the same code as a report, and writes docs/validity.md.

    make calibrate                              everything, about three hours on two cores
    python -m benchmarks.calibrate leaving      one part (scores, leaving, worth, money, programmes); the others stay as they are
    python -m benchmarks.calibrate leaving 20   fewer companies, for a look; nothing is written
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pandas as pd

from benchmarks import leavers, leaving, programmes, surveys, worth
from benchmarks.simulation import simulate

ROOT = Path(__file__).resolve().parent.parent
TRUTH = ROOT / "tests" / "truth" / "demo.json"
CUSTOMERS = 6000


def truths() -> dict[str, float]:
    """Return the true values of the demo world, by the names ``estimates`` uses."""
    truth = json.loads(TRUTH.read_text())
    return {
        "hazard_ratio_detractor": truth["hazard_ratio"]["detractor"],
        "hazard_ratio_passive": truth["hazard_ratio"]["passive"],
        "value_gap": truth["value_gap"]["at_equal_tenure"]["value"],
        "welcome_calls_effect": truth["welcome_calls"]["net_margin"]["value"],
        "local_managers_effect": truth["account_managers"]["value"],
    }


NAMES = {
    "hazard_ratio_detractor": "hazard ratio, detractor against promoter",
    "hazard_ratio_passive": "hazard ratio, passive against promoter",
    "value_gap": "value gap, promoter minus detractor, at equal tenure (GBP, 24 months)",
    "welcome_calls_effect": "Welcome calls: margin per customer (GBP, 12 months)",
    "local_managers_effect": "Local account managers: margin per customer (GBP, 6 months)",
}


def _company(seed: int, **world: object):
    from cxlib import demo
    from cxlib.intake.company import Company

    return Company.from_frames(demo.settings("demo", draws=400), demo.subscription(seed, CUSTOMERS, **world))


def estimates(seed: int) -> dict[str, tuple[float, float, float]]:
    """Return value, low and high of each quantity for one simulated company."""
    from cxlib.churn import hazard_ratios
    from cxlib.roi import returns
    from cxlib.value import by_score

    company = _company(seed)
    figures = [f for k in (hazard_ratios.ratios(company, "nps"), by_score.by_score(company, "nps")) for f in k.figures]
    found = {f.name: f.estimate for f in figures}
    effects = {r.initiative: r.effect for r in returns.results(company)}
    wanted = {
        "hazard_ratio_detractor": found["nps-hazard-ratio-detractor"],
        "hazard_ratio_passive": found["nps-hazard-ratio-passive"],
        "value_gap": found["value-gap"],
        "welcome_calls_effect": effects["Welcome calls"],
        "local_managers_effect": effects["Local account managers"],
    }
    return {k: (e.value, e.low, e.high) for k, e in wanted.items()}


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


def _of_leaving(companies: int) -> str:
    """Return the part of the report that is about who leaves."""
    claims = simulate(leavers.claims, companies).mean()
    nothing = pd.DataFrame({"route": claims.index, "claims a link": claims.to_numpy()})
    known = leavers.coverage(simulate(leavers.known, companies), leaving.truths(leaving.KNOWN))
    late = leavers.coverage(simulate(leavers.late, companies), leaving.truths(leaving.World(leavers_since=True)))
    decided = simulate(leavers.decided, companies // 5).mean()
    return f"""## Who leaves

{companies} companies of {leavers.CUSTOMERS:,} customers for each of the first three tables: they join over six years, are
asked every half-year (up to 12 times), 35 % answer, scores drift up with tenure and differ by plan, as leaving does; some exits are failed
payments. With so many a share of 95 % is known to about {100 * 1.96 * (0.95 * 0.05 / companies) ** 0.5:.1f} points.

### No link at all

Scores have nothing to do with leaving: a sound route claims a link in about 5 of 100 companies.

{_markdown(nothing)}

### Ratios of 2.0 and 1.3

{_markdown(known)}

### The same, where who left more than three years ago is missing

{_markdown(late)}

### Leaving decided before the score falls

{companies // 5} companies in which the score has no say, but falls once leaving is decided, 20 to 80 days before: the ratio
of detractors is {decided["at once"]:.2f} on average when a score counts at once and {decided["after 90 days"]:.2f} when it
counts from 90 days later on; the page says that it shrinks toward 1 in {100 * decided["said"]:.0f} % of them.
"""


def _of_money(companies: int) -> str:
    """Return the part of the report that is about the chain from score to money."""
    covered = coverage(simulate(estimates, companies))
    return f"""## The chain from score to money

{companies} simulated companies of {CUSTOMERS:,} customers, walked through the same code as a report;
with {companies} of them a share of 95 % is known to about {100 * 1.96 * (0.95 * 0.05 / companies) ** 0.5:.1f} points.

{_markdown(covered)}
"""


PARTS = {
    "scores": (_of_scores, 200),
    "leaving": (_of_leaving, 500),
    "worth": (worth.report, 200),
    "money": (_of_money, 200),
    "programmes": (programmes.report, 500),
}
HEAD = """# Do the intervals hold what they promise?

Made by `make calibrate`. A 95 % interval should hold the truth in about 95 of 100 simulations.
"""


def main() -> int:
    """Simulate the parts asked for (or all), print, and at their full number put them into docs/validity.md."""
    wanted = [a for a in sys.argv[1:] if a in PARTS] or list(PARTS)
    fewer = next((int(a) for a in sys.argv[1:] if a.isdigit()), None)
    path = ROOT / "docs" / "validity.md"
    each = re.split(r"^<!-- (\w+) -->\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = dict(zip(each[1::2], each[2::2], strict=True))
    for part in wanted:
        started, (make, companies) = time.monotonic(), PARTS[part]
        text[part] = make(fewer or companies)
        print(text[part], f"{time.monotonic() - started:.0f} s", sep="\n", flush=True)
    if fewer is None:
        body = "\n".join(f"<!-- {part} -->\n{text[part].strip()}\n" for part in PARTS if part in text)
        path.write_text(f"{HEAD}\n{body}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
