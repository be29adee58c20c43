"""Checks that could speak against an effect: placebos that should show nothing, hidden trends, single parts."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pandas as pd
from scipy import stats

from cxlib.counts import panels
from cxlib.intake.company import Company
from cxlib.roi.evidence import Check, check
from cxlib.roi.outcomes import Measured
from cxlib.stats import effects, robustness
from cxlib.stats.estimate import Estimate, NotEstimable

# A placebo speaks against an effect below LEVEL, uncorrected: to look at several must not help the claim. A draw that
# was made needs more to be called none (UNDRAWN).
LEVEL, UNDRAWN = 0.10, 0.001
YEAR, LEAST = 12, 6  # months before the start at which a placebo cohort is taken; at least so many


def p_of(e: Estimate, groups: float) -> float:
    """Return the two-sided p value of an estimate made from draws of so many groups."""
    reach = (e.high - e.low) / 2
    if not reach > 0:
        return 1.0
    degrees = max(min(groups, e.n) - 1, 1)
    return float(2 * stats.t.sf(abs(e.value) / (reach / stats.t.isf(0.025, degrees)), degrees))


def placebo(
    company: Company, name: str, e: Estimate | None, p: float | None = None, level: float = LEVEL, **facts: object
) -> Check:
    """Return a check that fails where what should show nothing has a p value below ``level``.

    ``e`` is None, or without an interval, where it could not be made. ``p``: of a joint test, else that of ``e``.
    """
    if e is None or not np.isfinite(e.low) or (p is not None and not np.isfinite(p)):
        return check(company, name, None, **facts)
    p = e.p if p is None else p
    return check(company, name, bool(p >= level), e, p, **facts)


def not_by_choice(company: Company, measured: Measured, level: float = LEVEL) -> Check:
    """Return the placebo outcome: involuntary exits, which no programme prevents, where the company marks them."""
    reasons, e, p = list(company.settings.involuntary_reasons or ()), None, None
    if reasons and company.has("customers", "left_reason"):
        e = measured.estimate(measured.with_it["unchosen"][:, -1] - measured.without["unchosen"][:, -1])
        p = p_of(e, measured.groups)
    return placebo(company, "placebo outcome", e, p, level, reasons=reasons)


def cohort(
    company: Company, unit: str, starts: dict[str, float], first: date, months: int, level: float = LEVEL
) -> Check:
    """Return the placebo cohort: who was here a year before the first start, and who of them left, by the later starts.

    Their leaving over as many months as are judged is compared by the estimator of the effect, all starts moved back by
    the same span. The span is a year, else the longest for which leaving is on record; below LEAST months no check is
    made. ``starts``: of each unit, as a count of months (never: absent). ``unit``: their column, "" where customers
    were assigned one by one.

    It needs *units* such as branches, which were there a year before. Customers assigned one by one have no such
    cohort: who is in an arm had to stay until it was assigned, so nobody in it can have left before. Other customers of
    that year were never assigned, and to guess their arm from traits compares the traits. What was known of the arms
    before the start is compared instead.
    """
    known = panels.leaving_since(company)
    span = 0 if known is None or not unit else min(panels.months_between(known, first), YEAR)
    long = min(span, months)
    facts = {"span": span, "unit": unit, "months": long, "customers": math.nan}
    if span < LEAST:
        return check(company, "placebo cohort", None, **facts)
    since = (pd.Timestamp(first) - pd.DateOffset(months=span)).date()
    counted = panels.leaving(company, unit, since, closed=True)
    here = counted.groupby("unit")["at_risk"].transform("first")
    counted = counted.assign(gone=counted.groupby("unit")["left"].cumsum() / here, n=here)
    before = counted.groupby("unit").first().reset_index().assign(period=lambda f: f["period"] - 1, gone=0.0)
    frame = pd.concat([before, counted], ignore_index=True)
    frame["start"] = frame["unit"].map(starts) - span
    facts["customers"] = float(before["n"].sum())
    try:
        found = effects.group_time_effects(frame, "gone", "unit", "period", "start", weights="n", cluster="unit")
        e = found.at(long - 1)
    except NotEstimable:
        e = None
    return placebo(company, "placebo cohort", e, level=level, **facts)


def stands(effect: Estimate, net: Estimate | None) -> bool:
    """Tell whether an effect stands net of a drift: a clear one is still clear, in the same direction."""
    return not effect.excludes(0) or (net is not None and net.excludes(0) and (net.value < 0) == (effect.value < 0))


def hidden_trend(company: Company, measured: Measured, drift: Estimate | None, net: Estimate | None) -> Check:
    """Check that money did not drift apart before the start, that the effect stands net, and what drift it would bear.

    ``drift``: money a month, with p; ``net``: the effect less that drift carried on. The bound is that of Rambachan &
    Roth 2023 for a drift that goes on as a straight line, whatever its size before the start.
    """
    needed = robustness.hidden_trend(measured.effect, measured.net.shape[1])
    level = LEVEL if stands(measured.effect, net) else math.inf
    return placebo(company, "hidden trend", drift, level=level, needed=needed if needed > 0 else 0.0, net=net)


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
