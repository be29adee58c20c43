"""Checks that could speak against an effect: placebos that should show nothing, hidden trends, single parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from cxlib.intake.company import Company
from cxlib.roi.evidence import Check, check
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
    """Something that should show nothing. ``estimate`` is None where it could not be estimated.

    ``p``: where the largest of several was taken, its corrected p value. ``facts``: those of the check's words.
    """

    name: str
    estimate: Estimate | None
    facts: Mapping[str, object] = field(default_factory=dict)
    p: float | None = None

    @property
    def made(self) -> bool:
        """Tell whether there is an estimate with an interval."""
        return self.estimate is not None and bool(np.isfinite(self.estimate.low))


def verdicts(company: Company, tried: Sequence[Placebo], groups: float) -> list[Check]:
    """Return checks that fail where a placebo shows something, corrected for several (Benjamini & Hochberg 1995)."""
    ps = {t.name: p_of(t.estimate, groups) if t.p is None else t.p for t in tried if t.made}
    failed = dict(zip(ps, intervals.benjamini_hochberg(np.array(list(ps.values()))), strict=True)) if ps else {}
    return [
        check(company, t.name, not failed[t.name], t.estimate, ps[t.name], **t.facts)
        if t.made
        else check(company, t.name, None, **t.facts)
        for t in tried
    ]


def not_by_choice(company: Company, measured: Measured) -> Placebo:
    """Return the placebo outcome: involuntary exits, which no programme prevents, where the company marks them."""
    reasons = company.settings.involuntary_reasons
    e = None
    if reasons and company.has("customers", "left_reason"):
        e = measured.estimate(measured.with_it["unchosen"][:, -1] - measured.without["unchosen"][:, -1])
    return Placebo("placebo outcome", e, {"reasons": list(reasons or ())})


def hidden_trend(company: Company, measured: Measured, drift: Estimate | None = None) -> Check:
    """Compare the drift apart that would explain the effect with the one seen before the start (money a month)."""
    needed = robustness.hidden_trend(measured.effect, measured.net.shape[1])
    needed = needed if needed > 0 else 0.0
    passed = None
    if needed and drift is not None and np.isfinite(drift.value):
        passed = bool(abs(drift.value) < needed)
    return check(company, "hidden trend", passed, needed=needed, drift=drift)


def without_one(company: Company, measured: Measured, found: pd.Series) -> Check:
    """Tell whether the effect on money keeps its sign without one part of the customers.

    ``found``: effect per customer, by the part left out.
    """
    effect, facts = measured.effect, dict.fromkeys(("lowest", "lowest_without", "highest", "highest_without"))
    if len(found) < 2:
        return check(company, "leave one out", None, effect=effect.value, **facts)
    low, high = found.idxmin(), found.idxmax()
    facts = {"lowest": float(found[low]), "lowest_without": low, "highest": float(found[high]), "highest_without": high}
    same = bool((np.sign(found) == np.sign(effect.value)).all())
    return check(company, "leave one out", same if effect.excludes(0) else None, effect=effect.value, **facts)
