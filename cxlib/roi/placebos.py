"""What would speak against an effect, in words: placebos that should show nothing, and a trend nobody saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from cxlib.intake.company import Company
from cxlib.page.findings import interval, listing, money, number, p_value
from cxlib.roi.evidence import Check
from cxlib.roi.outcomes import Measured
from cxlib.stats import intervals, robustness
from cxlib.stats.estimate import Estimate


def p_of(e: Estimate, groups: float) -> float:
    """Return the two-sided p value of an estimate made from draws of so many groups."""
    reach = (e.high - e.low) / 2
    if not reach > 0:
        return 1.0
    degrees = max(min(groups, e.n) - 1, 1)
    return float(2 * stats.t.sf(abs(e.value) / (reach / stats.t.isf(0.025, degrees)), degrees))


@dataclass(frozen=True)
class Placebo:
    """Something that should show nothing: its name, its estimate, what was seen in words, and p where several were looked at."""

    name: str
    estimate: Estimate
    said: str
    p: float | None = None


def verdicts(tried: Sequence[Placebo], groups: float) -> list[Check]:
    """Return checks that fail where a placebo shows something, several being looked at together (Benjamini & Hochberg 1995)."""
    known = [t for t in tried if np.isfinite(t.estimate.low)]
    ps = np.array([p_of(t.estimate, groups) if t.p is None else t.p for t in known])
    failed = intervals.benjamini_hochberg(ps) if len(ps) else []
    found = []
    for t, p, bad in zip(known, ps, failed, strict=True):
        end = (
            "more than chance. Look for what else differed, and draw the next ones by lot."
            if bad
            else "no more than chance."
        )
        found.append(Check(t.name, not bad, f"{t.said[0].upper()}{t.said[1:]} ({p_value(p)}): {end}"))
    return found


def not_by_choice(company: Company, measured: Measured) -> list[Placebo]:
    """Return the placebo outcome: leaving that no programme can keep anybody from, where the company marks it."""
    reasons = company.settings.involuntary_reasons
    if not reasons or not company.has("customers", "left_reason"):
        return []
    e = measured.estimate(measured.with_it["unchosen"][:, -1] - measured.without["unchosen"][:, -1])
    said = f"leaving that is no choice ({listing(reasons)}) differs by {interval(e, lambda v: number(100 * v, 2))} percentage points"
    return [Placebo("placebo outcome", e, said)]


def hidden_trend(company: Company, measured: Measured, drift: Estimate | None = None) -> Check:
    """Say how strong a trend apart would have to be to explain an effect away, beside what was seen before the start."""
    effect = measured.effect
    months = measured.net.shape[1]
    needed = robustness.hidden_trend(effect, months)
    write = lambda v: money(v, company.settings.currency, 2)  # noqa: E731
    if not needed > 0:
        return Check(
            "a hidden trend",
            None,
            "The effect on money cannot be told from chance, so there is nothing to explain away.",
        )
    said = f"If the groups had drifted apart by {write(needed)} more every month anyway, the effect could be none"
    if drift is None or not np.isfinite(drift.value):
        return Check("a hidden trend", None, f"{said}; how they drifted before the start is not known.")
    passed = abs(drift.value) < needed
    return Check(
        "a hidden trend", bool(passed), f"{said}; before the start they drifted by {interval(drift, write)} a month."
    )


def without_one(measured: Measured, found: pd.Series) -> Check:
    """Say whether the effect on money keeps its sign without one part of those reached; ``found``: per customer, by part left out."""
    if len(found) < 2:
        return Check("leave one out", None, "Those reached are one part only, or two, so none can be left out.")
    effect = measured.effect
    low, high = found.idxmin(), found.idxmax()
    same = bool((np.sign(found) == np.sign(effect.value)).all())
    said = (
        f"Without one part at a time the effect lies between {number(found[low], 2)} (without {low}) and {number(found[high], 2)} "
        f"(without {high}) per customer, against {number(effect.value, 2)} with all"
    )
    if not effect.excludes(0):
        return Check("leave one out", None, f"{said}; with all of them it cannot be told from chance either.")
    return Check("leave one out", same, said + ("." if same else ": it hangs on one part; look at that one by itself."))
