"""Do intervals of what programmes bring hold the truth, and is nothing claimed where there is nothing?

    python -m benchmarks.programmes           500 companies of each kind
    python -m benchmarks.programmes 20        fewer, for a look

The companies and their truth are those of ``programme_worlds``; each is walked through the same code as a report.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import pandas as pd

from benchmarks import programme_worlds as worlds
from benchmarks.programme_worlds import BRANCHES, CUSTOMERS, FOLLOWED, KINDS, LOW, MONTHLY, SPAN, UPFRONT, Truth
from benchmarks.simulation import refilled, simulate
from cxlib.intake.company import Company
from cxlib.stats.estimate import Estimate

# The kinds that every company number is run for; of the others two fifths are enough.
IN_FULL = ("randomised", "randomised, no effect", "in steps, growing", "low scorers, some, no effect")
_OPENED: dict[str, Company] = {}  # by kind, once in a process


def one(seed: int, kind: str) -> dict[str, object]:
    """Evaluate the programme of one company as a page does.

    Effects and net present values are per customer reached; the latter before cost, which is known, so that one truth
    holds for companies of any size. ``claims`` of an outcome: better beyond chance and graded A or B. What the page does
    not know is left out.
    """
    from cxlib.roi import returns

    frames, before_and_after = worlds.make(kind, seed)
    if kind not in _OPENED:
        _OPENED[kind] = Company.from_frames(worlds.settings(kind), frames)
    (r,) = returns.results(refilled(_OPENED[kind], frames), FOLLOWED)
    e = r.evidence
    row = {"design": e.design, "grade": e.grade, "verdict": r.statement.verdict, **before_and_after}
    if not e.known:
        return row
    cost = UPFRONT + MONTHLY * worlds.discounts(e.paths.months).sum()
    worth = {k: (v + cost) / e.paths.customers for k, v in _ends("npv", r.money.net_present_value).items()}
    row |= {"months": e.months, "paid": e.paths.months, **_ends("effect", r.effect), **worth}
    for name, o in e.outcomes.items():
        better = o.change.excludes(0) and o.change.value * o.sign > 0
        row |= {f"claims {name}": better and e.grade in "AB", **_ends(name, o.change)}
    return row


def _ends(name: str, e: Estimate) -> dict[str, float]:
    return {name: e.value, f"{name} low": e.low, f"{name} high": e.high}


def coverage(found: pd.DataFrame, true: Truth) -> dict[str, object]:
    """Return what many companies of one kind say; intervals are counted where the page knows an effect."""
    known = found[found["effect"].notna()] if "effect" in found else found[:0]
    row: dict[str, object] = {
        "design": found["design"].mode()[0],
        "companies": len(found),
        "known": len(known),
        "truth": true.effect(),
        "supported": (found["verdict"] == "supported").mean(),
        **{c: found[c].eq(True).mean() for c in found if c.startswith(("naive", "claims"))},
    }
    if not len(known):
        return row
    months = known["months"].astype(int)
    truths = {
        "effect": months.map(true.effect),
        "npv": known["paid"].astype(int).map(true.present_value),
        "churn": months.map(lambda m: float(true.left[m - 1])),
    }
    for name, value in truths.items():
        row[f"{name} covered"] = ((known[f"{name} low"] <= value) & (value <= known[f"{name} high"])).mean()
    each = known["effect"]
    return row | {
        "mean": each.mean(),
        "scatter": each.std(),
        "half-width": ((known["effect high"] - known["effect low"]) / 2).mean(),
    }


def _table(rows: list[dict[str, object]], columns: dict[str, tuple[str, str]]) -> str:
    """Write rows as a table: heading, and what stands below it in which format; what is missing as a dash."""
    write = lambda row, c, how: format(row[c], how).replace("%", " %") if c in row else "-"  # noqa: E731
    lines = [columns, ["---" if how == "" else "---:" for _, how in columns.values()]]
    lines += [[write(row, c, how) for c, how in columns.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _points(companies: int) -> float:
    """Return how far off a share of 95 % of so many companies may be, in points."""
    return 100 * 1.96 * (0.95 * 0.05 / companies) ** 0.5


def report(companies: int = 500, found: dict[str, pd.DataFrame] | None = None) -> str:
    """Return the part of docs/validity.md about programmes; ``found``: what was simulated before, by kind."""
    if found is None:
        found = {k: simulate(partial(one, kind=k), companies if k in IN_FULL else companies * 2 // 5) for k in KINDS}
    rows = [{"kind": k, **coverage(found[k], worlds.truth(k))} for k in KINDS if k in found]
    fewest, unknown = min(map(len, found.values())), [r["kind"] for r in rows if r["known"] < r["companies"]]
    covered = {
        "programme": ("kind", ""),
        "design": ("design", ""),
        "companies": ("companies", "d"),
        "true effect": ("truth", ".2f"),
        "mean estimate": ("mean", ".2f"),
        "scatter": ("scatter", ".2f"),
        "mean half-width": ("half-width", ".2f"),
        "effect covered": ("effect covered", ".3f"),
        "NPV covered": ("npv covered", ".3f"),
        "leaving covered": ("churn covered", ".3f"),
        "supported": ("supported", ".1%"),
    }
    claimed = {
        "programme": ("kind", ""),
        "before and after: a better score": ("naive score", ".1%"),
        "fewer contacts": ("naive contacts", ".1%"),
        "page: supported": ("supported", ".1%"),
        "fewer leave": ("claims churn", ".1%"),
        "a better score": ("claims nps", ".1%"),
        "fewer contacts told from chance": ("claims contacts", ".1%"),
    }
    return f"""## What programmes bring

Companies of {CUSTOMERS:,} customers ever, {SPAN} months of data, one programme each, followed for {FOLLOWED} months after its
(last) start. Drawn by lot among customers on Basic and Plus; in three steps over {BRANCHES} branches with shocks of their own, a
quarter of them never; or given to customers whose last score was {LOW} or below, to some of them by a chance that depends on score,
plan and tenure, or to all. Moods fade, so that low scorers recover without any programme. Effects are in GBP per customer reached.
Programmes with an effect declare that leaving must fall by at least a twentieth to be worth having; those without declare
nothing, so that any fall told from chance would count. With 500 companies a share of 95 % is known to about
{_points(500):.1f} points, with {fewest} to about {_points(fewest):.1f}.

{_table(rows, covered)}

No effect is told (in all companies, or some) of: {", ".join(unknown) or "none"}.

Before and after compares those reached with themselves: the last score before the start with the first after it, the
contacts of the quarter before with those of the quarter after, claimed where beyond chance. The page claims an outcome where it is
better beyond chance, by a comparison that carries it.

{_table([r for r in rows if "naive score" in r], claimed)}
"""


def main(given: list[str]) -> int:
    """Simulate so many companies of each kind and print the part."""
    begun = time.monotonic()
    print(report(int(given[0]) if given else 500), f"{time.monotonic() - begun:.0f} s", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
