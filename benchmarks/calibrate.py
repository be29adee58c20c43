"""Do the intervals cover the truth, and claim nothing where there is nothing?

Simulates companies with known truth, evaluates each with the code of a report, and writes docs/validity.md.

    make calibrate                              everything, about three hours on two cores
    python -m benchmarks.calibrate leaving      one part: scores, leaving, accounts, worth, money or programmes
    python -m benchmarks.calibrate leaving 20   fewer companies, as a trial; nothing is written unless "write" follows
"""

from __future__ import annotations

import json
import re
import sys
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from benchmarks import leavers, leaving, programmes, surveys, worth
from benchmarks.simulation import claims, margin_of_error, simulate

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


def estimates(seed: int) -> dict[str, tuple[float, float, float]]:
    """Return value, low and high of each quantity for one simulated company."""
    from cxlib import demo
    from cxlib.churn import hazard_ratios
    from cxlib.intake.company import Company
    from cxlib.roi import returns
    from cxlib.value import by_score

    company = Company.from_frames(demo.settings("demo", draws=400), demo.subscription(seed, CUSTOMERS))
    findings = hazard_ratios.ratios(company, "nps"), by_score.by_score(company, "nps")
    found = {f.name: f.estimate for finding in findings for f in finding.figures}
    effects = {r.initiative: r.evidence.effect for r in returns.results(company)}
    wanted = {
        "hazard_ratio_detractor": found["nps-hazard-ratio-detractor"],
        "hazard_ratio_passive": found["nps-hazard-ratio-passive"],
        "value_gap": found["value-gap"],
        "welcome_calls_effect": effects["Welcome calls"],
        "local_managers_effect": effects["Local account managers"],
    }
    return {k: (e.value, e.low, e.high) for k, e in wanted.items()}


def coverage(found: pd.DataFrame) -> pd.DataFrame:
    """Return by quantity the truth, the mean estimate and the share of companies whose interval contains the truth."""
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
    """Return the part of the report about scores: intervals, non-response and alarms."""
    nps = surveys.nps_coverage()
    nonresponse, closer = surveys.nonresponse_table(companies)
    years = simulate(surveys.alarms, companies).mean()
    named = simulate(surveys.harbour, max(companies // 5, 4)).mean()
    split = simulate(surveys.decomposition, companies).mean()
    alarms = pd.DataFrame(
        [
            {"last year": kind, "promised at most": 0.05}
            | {f"false {alarm}": years[f"{kind}, {alarm}"] for alarm in ("warning", "control")}
            for kind in surveys.YEARS
        ]
    )
    return f"""## The interval of an NPS

{surveys.SURVEYS:,} simulated surveys in each of {len(nps)} settings: {len(surveys.SIZES)} sizes, {len(surveys.SCORES)}
true scores from {min(surveys.SCORES)} to {max(surveys.SCORES)}, opinions from similar to divided. The table shows the
share of surveys whose 95 % interval contains the true NPS.

{_markdown(surveys.nps_table(nps))}

With five answers from a population without detractors (three quarters promoters, one quarter passives) the share is
{surveys.hardest():.3f}.

## Five answers from each customer

The opinions behind one customer's answers correlate at 0.6. The interval on a page allows for that through the folds.
Intervals that treat the answers as independent are too narrow.

{_markdown(surveys.clustered_coverage())}

## Non-response

{companies} companies like the demo (6,000 customers). Customers who are about to leave, or have a small plan, respond
less often. The truth is the NPS of all questions asked, as if each had been answered. The weighted NPS is closer to it
than the raw one in {100 * closer:.1f} % of the companies.

{_markdown(nonresponse)}

Where non-response depends on the score itself, weighting cannot correct it. A test shows that the page says so, and
that its worst and best cases contain the truth.

## A change within, or of the mix

{companies} companies whose customers stay longer each year while more of them join the cheap plan. Scores rise with
tenure and differ by plan. Where nobody's view changes, the page claims a change within plan and stage of tenure in
{100 * split["claimed"]:.1f} %. Where everybody's score falls by 0.3 points, the 95 % interval contains it in
{100 * split["covered"]:.1f} %.

## Alarms in stable years

{companies} companies with three years of answers in which no segment changes, of each kind: quiet, every autumn lower,
and quarters moved by common shocks of 0.2 points. The last year is watched. The table shows the share of years with
any false alarm.

{_markdown(alarms)}

In one region of the demo, experience worsens in July 2025. In {100 * named["harbour"]:.0f} % of
{max(companies // 5, 4)} such companies the report of September 2025 names that region, one quarter before its exits
rise.

{claims("01: a change within", {"tenure grows and a cheap plan": split["claimed"]}, companies)}
{claims("01: a warning in a year", {k: years[f"{k}, warning"] for k in surveys.YEARS}, companies)}
{claims("01: a control alarm in a year", {k: years[f"{k}, control"] for k in surveys.YEARS}, companies)}
"""


def _of_leaving(companies: int) -> str:
    """Return the part of the report about churn."""
    claimed = simulate(leavers.claims, companies).mean()
    nothing = pd.DataFrame({"method": claimed.index, "claims a link": claimed.to_numpy()})
    known = leavers.coverage(simulate(leavers.known, companies), leaving.truths(leaving.KNOWN))
    late = leavers.coverage(simulate(leavers.late, companies), leaving.truths(leaving.World(leavers_since=True)))
    decided = simulate(leavers.decided, companies // 5).mean()
    return f"""## Who leaves

{companies} companies of {leavers.CUSTOMERS:,} customers for each of the first three tables. Customers join over six
years and are asked every half-year, up to 12 times; 35 % answer. Scores rise with tenure. Scores and churn differ by
plan. Some exits are failed payments. The margin of error of a share of 95 % is about
{margin_of_error(companies):.1f} points.

### No link at all

Scores have nothing to do with leaving. A sound method claims a link in about 5 of 100 companies.

{_markdown(nothing)}

### Hazard ratios of 2.0 and 1.3

{_markdown(known)}

### The same, without customers who left more than three years ago

{_markdown(late)}

### Leaving decided before the score falls

{companies // 5} companies in which the score does not affect churn. It falls once customers have decided to leave, 20
to 80 days before they do. The hazard ratio of detractors is {decided["at once"]:.2f} on average when a score counts at
once, and {decided["after 90 days"]:.2f} when it counts from 90 days after its answer. The page says that the delay
removes some of the link in {100 * decided["shrinks"]:.0f} % of the companies.

{claims("03: a link of score and leaving", {f"no link; {k}": v for k, v in claimed.iloc[1:].items()}, companies)}
"""


def _of_accounts(worlds: int) -> str:
    """Return the part of the report about customers who are not independent."""
    covered = leavers.accounts(worlds).mean()
    return f"""## Customers of one account

{worlds} worlds of two groups of 40 accounts with ten customers each, who leave together (gamma frailty of variance 1).
The interval of the gap between their curves after a year contains the truth in {covered["accounts"]:.3f} where accounts
are the unit (`fold_by`), and in {covered["customers"]:.3f} where customers are taken as independent.
"""


def kinds() -> str:
    """Return the table of all kinds of margins of error, and what each rests on."""
    listed = tomllib.loads(Path(__file__).with_name("kinds.toml").read_text(encoding="utf-8"))["kind"]
    rows = [
        {"kind": k["name"], "rests on": k["rests"], "see": k["by"], "findings": ", ".join(k["findings"])}
        for k in listed
    ]
    return f"""## What each margin of error rests on

Simulated: a part below, with the number of companies. Tested: a test of the project simulates it. Textbook: its source.
Derived: a sum, product or function of others under the same resamples. A forecast has a prediction interval only where
the table says simulated; elsewhere its margin of error is that of the model, and its finding says so.

{_markdown(pd.DataFrame(rows))}
"""


def fooled(parts: Iterable[str]) -> str:
    """Return the table of how often each page claims an effect where there is none, from the comments of the parts."""
    rows = [line.split(" | ") for part in parts for line in re.findall(r"<!-- claimed \| (.*) -->", part)]
    lines = [["page: claim", "world without it", "claimed", "companies"], ["---", "---", "---:", "---:"], *rows]
    return f"""## How often a page claims an effect in worlds made to fool it

{chr(10).join("| " + " | ".join(line) + " |" for line in lines)}
"""


def _of_money(companies: int) -> str:
    """Return the part of the report about the chain from score to money."""
    covered = coverage(simulate(estimates, companies))
    return f"""## The chain from score to money

{companies} simulated companies of {CUSTOMERS:,} customers, each evaluated by the code of a report.
The margin of error of a share of 95 % is about {margin_of_error(companies):.1f} points.

{_markdown(covered)}
"""


PARTS = {
    "scores": (_of_scores, 200),
    "leaving": (_of_leaving, 500),
    "accounts": (_of_accounts, 500),
    "worth": (worth.report, 200),
    "money": (_of_money, 200),
    "programmes": (programmes.report, 500),
}
HEAD = """# Do the intervals keep their promise?

Made by `make calibrate`. A 95 % interval should contain the truth in about 95 of 100 simulations.
"""


def main() -> int:
    """Simulate the parts asked for (default: all) and print them; with all companies, write docs/validity.md too."""
    wanted = [a for a in sys.argv[1:] if a in PARTS] or list(PARTS)
    fewer = next((int(a) for a in sys.argv[1:] if a.isdigit()), None)
    path = ROOT / "docs" / "validity.md"
    each = re.split(r"^<!-- (\w+) -->\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = dict(zip(each[1::2], each[2::2], strict=True))
    for part in wanted:
        started, (make, companies) = time.monotonic(), PARTS[part]
        text[part] = make(fewer or companies)
        print(text[part], f"{time.monotonic() - started:.0f} s", sep="\n", flush=True)
    if fewer is None or "write" in sys.argv:
        body = "\n".join(f"<!-- {part} -->\n{text[part].strip()}\n" for part in PARTS if part in text)
        tables = f"{kinds()}\n{fooled(text.values())}"
        path.write_text(f"{HEAD}\n{tables}\n{body}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
