"""Do the intervals of programme effects contain the truth, and is nothing claimed where there is no effect?

    python -m benchmarks.programmes           500 companies of each kind
    python -m benchmarks.programmes 20        fewer, as a trial

The companies and their truth come from ``programme_worlds``; each is evaluated by the code of a report.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import numpy as np
import pandas as pd

from benchmarks import programme_worlds as worlds
from benchmarks.programme_worlds import (
    BRANCHES,
    CUSTOMERS,
    FOLLOWED,
    KINDS,
    LOW,
    MADE_TO_FOOL,
    MONTHLY,
    SPAN,
    UPFRONT,
    Truth,
)
from benchmarks.simulation import claims, margin_of_error, refilled, simulate
from cxlib.intake.company import Company
from cxlib.page.findings import EFFECTS
from cxlib.roi.placebos import LEVEL, stands
from cxlib.stats import effects
from cxlib.stats.estimate import Estimate

# Kinds simulated in full number; for the others two fifths are enough.
IN_FULL = ("randomised", "randomised, no effect", "staggered, growing", "low scorers, some, no effect")
_OPENED: dict[str, Company] = {}  # by kind, opened once per process


def one(seed: int, kind: str) -> dict[str, object]:
    """Evaluate the programme of one company as a page does.

    Effects and net present values are per customer reached. Net present values are before cost, which is known, so that
    one truth holds for companies of any size. ``claims`` of an outcome: it is significantly better, and known from a
    comparison. What is not measured is left out.
    """
    from cxlib.roi import returns

    frames, before_and_after = worlds.make(kind, seed)
    if kind not in _OPENED:
        _OPENED[kind] = Company.from_frames(worlds.settings(kind), frames)
    (r,) = returns.results(refilled(_OPENED[kind], frames), FOLLOWED)
    e = r.evidence
    row = {"design": e.design, "known": e.known, "verdict": r.statement.verdict, **before_and_after}
    row |= {"resulted": r.statement.known in EFFECTS and r.statement.clear, "outlook": returns.outlook(r)}
    row["failed"] = [c.name for c in e.checks if c.passed is False]
    if not e.measured:
        return row
    cost = UPFRONT + MONTHLY * worlds.discounts(e.paths.months).sum()
    worth = {k: (v + cost) / e.paths.customers for k, v in _ends("npv", r.money.net_present_value).items()}
    row |= {"months": e.months, "paid": e.paths.months, **_ends("effect", r.evidence.effect), **worth}
    for name, o in e.outcomes.items():
        better = o.change.excludes(0) and o.change.value * o.sign > 0
        row |= {f"claims {name}": better and e.known in EFFECTS, **_ends(name, o.change)}
    return row


def drifting(drift: float, panels: int = 500, months: int = 12, units: int = 40) -> dict[str, float]:
    """Return how often a roll-out without effect is claimed where its units drift apart, and how often net covers 0.

    ``drift``: a month, in standard errors of the difference of a month. Claimed as on a page: the effect is clear,
    neither the months before together nor their trend speak against it, and it stands net of that trend.
    """
    months_ = np.arange(1, 2 * months + 1)
    start, unit = np.repeat([0, months + 1], units // 2), np.arange(units)
    rows = {"unit": np.repeat(unit, 2 * months), "month": np.tile(months_, units)}
    claimed, covered = [], []
    for seed in range(panels):
        noise = np.random.default_rng(seed).normal(0, np.sqrt(units / 4), (units, 2 * months))
        y = noise + drift * months_ * (start > 0)[:, None]
        frame = pd.DataFrame(rows | {"start": np.repeat(start, 2 * months), "y": y.ravel()})
        found = effects.group_time_effects(frame, "y", "unit", "month", "start")
        trend, joint = found.before()
        net = found.net_of_trend(months)
        effect = found.cumulative(months)
        claimed.append(effect.excludes(0) and min(trend.p, joint) >= LEVEL and stands(effect, net))
        covered.append(not net.excludes(0))
    return {"claimed": float(np.mean(claimed)), "net covered": float(np.mean(covered))}


def _ends(name: str, e: Estimate) -> dict[str, float]:
    return {name: e.value, f"{name} low": e.low, f"{name} high": e.high}


def coverage(found: pd.DataFrame, true: Truth) -> dict[str, object]:
    """Return coverage and claims over the companies of one kind; coverage is of those where an effect is measured."""
    measured = found[found["effect"].notna()] if "effect" in found else found[:0]
    row: dict[str, object] = {
        "design": found["design"].mode()[0],
        "companies": len(found),
        "measured": len(measured),
        "truth": true.effect(),
        "supported": (found["verdict"] == "supported").mean(),
        "resulted": found["resulted"].mean(),
        **{c: found[c].eq(True).mean() for c in found if c.startswith(("naive", "claims"))},
    }
    if not len(measured):
        return row
    months = measured["months"].astype(int)
    truths = {
        "effect": months.map(true.effect),
        "npv": measured["paid"].astype(int).map(true.present_value),
        "churn": months.map(lambda m: float(true.left[m - 1])),
    }
    for name, value in truths.items():
        row[f"{name} covered"] = ((measured[f"{name} low"] <= value) & (value <= measured[f"{name} high"])).mean()
    each = measured["effect"]
    return row | {
        "mean": each.mean(),
        "scatter": each.std(),
        "half-width": ((measured["effect high"] - measured["effect low"]) / 2).mean(),
    }


def _table(rows: list[dict[str, object]], columns: dict[str, tuple[str, str]]) -> str:
    """Write rows as a table (columns: heading, and key with format); a missing value is a dash."""

    def cell(row: dict[str, object], key: str, how: str) -> str:
        return format(row[key], how).replace("%", " %") if key in row else "-"

    lines = [columns, ["---" if how == "" else "---:" for _, how in columns.values()]]
    lines += [[cell(row, *column) for column in columns.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report(companies: int = 500, found: dict[str, pd.DataFrame] | None = None) -> str:
    """Return the part of docs/validity.md about programmes; ``found``: results of earlier runs by kind."""
    if found is None:
        found = {k: simulate(partial(one, kind=k), companies if k in IN_FULL else companies * 2 // 5) for k in KINDS}
    rows = [{"kind": k, **coverage(found[k], worlds.truth(k))} for k in KINDS if k in found]
    fewest, unknown = min(map(len, found.values())), [r["kind"] for r in rows if r["measured"] < r["companies"]]
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
        "churn covered": ("churn covered", ".3f"),
        "target met": ("supported", ".1%"),
    }
    claimed = {
        "programme": ("kind", ""),
        "before/after: a better score": ("naive score", ".1%"),
        "fewer contacts": ("naive contacts", ".1%"),
        "page: resulted in": ("resulted", ".1%"),
        "target met": ("supported", ".1%"),
        "less churn (page)": ("claims churn", ".1%"),
        "a better score (page)": ("claims nps", ".1%"),
        "fewer contacts (page)": ("claims contacts", ".1%"),
    }
    false = "\n".join(
        claims("06: resulted in", {r["kind"]: r["resulted"]}, r["companies"]) for r in rows if not r["truth"]
    )
    return f"""## What programmes bring

Simulated companies with {CUSTOMERS:,} customers in all, {SPAN} months of data and one programme each, followed for
{FOLLOWED} months after its (last) start. There are three ways to reach customers. The programme is randomised among
customers on Basic and Plus. Or it is rolled out in three steps over {BRANCHES} branches with shocks of their own; a
quarter of them never get it. Or it is given to customers whose last score was {LOW} or below: to all of them, or to
some, with a probability that depends on score, plan and tenure. Moods fade, so low scorers recover without any
programme.

Effects are in GBP per customer reached. Programmes with an effect have a target: churn must fall by at least 5 %. Those
without an effect have no target, so any significant fall would count. With 500 companies the margin of error of a share
of 95 % is about {margin_of_error(500):.1f} points; with {fewest} it is about {margin_of_error(fewest):.1f}.

{_table(rows, covered)}

In some or all companies of these kinds no effect is measured: {"; ".join(unknown) or "none"}.

A before/after comparison follows the same customers. It compares the last score before the start with the first after
it, and contacts in the quarter before with those in the quarter after, and claims any significant improvement. The page
claims an outcome only where it is significantly better and a comparison group supports it. Some companies are made to
fool it: the contented pick up the phone, early branches improve anyway, or staff spare those in trouble.

{_table([r for r in rows if "naive score" in r or r["kind"] in MADE_TO_FOOL], claimed)}

{false}
"""


def main(given: list[str]) -> int:
    """Simulate the given number of companies of each kind and print the part."""
    begun = time.monotonic()
    print(report(int(given[0]) if given else 500), f"{time.monotonic() - begun:.0f} s", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
