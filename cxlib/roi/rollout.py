"""A staggered rollout: treated units against those not yet or never treated, months counted from each unit's start."""

from __future__ import annotations

import math
from calendar import month_name
from datetime import date

import ibis
import numpy as np
import pandas as pd
from ibis import _

from cxlib.counts import panels, people
from cxlib.counts.panels import Reach
from cxlib.counts.programmes import Programme
from cxlib.intake.company import Company
from cxlib.roi.evidence import STAGGERED, Check, Evidence, check, earned, reasons, refused
from cxlib.roi.outcomes import RATIOS, Measured, with_money
from cxlib.roi.placebos import LEVEL, cohort, hidden_trend, not_by_choice, placebo, stands, without_one
from cxlib.stats import draws, effects, robustness
from cxlib.stats.estimate import NotEstimable

COLUMNS = (*(c for c in panels.COLUMNS if c != "margin"), "earned")
FEW = 40  # units: with fewer, the starts are also reassigned at random
ROLES = {"unit": "unit", "period": "period", "first_treated": "first", "weights": "customers", "cluster": "unit"}
OUTCOME_BEFORE, DRIFT = "outcome before the start", "drift in leaving"
# What is claimed rests on the past of the claimed outcome, and money on the past of money; first those of which one has
# to be made. The other checks only describe how far it carries.
DECISIVE = {
    "claim": ("placebo cohort", OUTCOME_BEFORE, DRIFT),
    "money": ("months before the start", "hidden trend"),
}
ALWAYS = ("placebo outcome", "few units")


def rolled_out(company: Company, p: Programme, reach: Reach, wanted: int, metric: str) -> Evidence:
    """Compare units with those not yet treated, month by month, over all customers present at the first step."""
    unit = p.assigned_by
    panel = _panel(company, p, reach, metric)
    if panel.empty:
        return refused(p, STAGGERED, "no-unit", unit=unit)
    last = int(panel["period"].max())
    try:
        found = {c: effects.group_time_effects(panel, c, **ROLES) for c in (*COLUMNS, "net")}
    except NotEstimable as error:
        return refused(p, STAGGERED, "all-treated" if error.reason == "all-treated" else "no-month-before")
    net = found["net"]
    compared = net.table.groupby("group", observed=True)["period"].max()
    starts = sorted(panel["first"].dropna().unique())
    months = int(min(wanted, min(min(last, compared.get(g, g - 1)) - g + 1 for g in starts)))
    if months < 1:
        return refused(p, STAGGERED, _too_short(starts, panel["period"].min(), last))
    names = net.panel.names
    weights = draws.with_plain(draws.group_weights(company.settings.draws, company.settings.seed, len(names)))
    start = panel[panel["month"] == 0]
    customers = float(start.loc[start["first"].isin(starts), "customers"].sum())
    end = int(starts[-1]) + months - 1

    def measured_by(paths: str, until: int) -> Measured:
        drawn = {c: getattr(f, paths)(until, weights) for c, f in found.items()}
        seen, without = {c: d[0] for c, d in drawn.items()}, {c: d[0] - d[1] for c, d in drawn.items()}
        return Measured(seen, without, customers, float(start["customers"].sum()), len(names))

    measured = measured_by("paths", months)  # by months since each unit's own start
    by_calendar = measured_by("calendar_paths", end)  # what it brought while it was paid
    outcomes = measured.outcomes(company, metric)
    claimed = "score" if p.outcome == metric else p.outcome if p.outcome in outcomes else "churn"
    checks = _checks(company, measured, found, panel, reach, unit, months, claimed)
    by = {what: [c for c in checks if c.name in (*names, *ALWAYS)] for what, names in DECISIVE.items()}
    reached = start["first"].notna()
    counts = {"treated_units": int(reached.sum()), "never": int((~reached).sum()), "customers": customers}
    return Evidence(
        p,
        STAGGERED,
        earned(by["claim"], "comparison", DECISIVE["claim"][:2], "adjusted"),
        **reasons(STAGGERED, steps=len(starts), unit=unit, **counts),
        months=months,
        effect=measured.effect,
        paths=by_calendar.paths,
        outcomes=outcomes,
        events=net.by_event_time()[["event_time", "value", "low", "high", "n"]],
        checks=tuple(checks),
        money_known=earned(by["money"], "comparison", DECISIVE["money"][:1], "adjusted"),
    )


def _too_short(starts: list[float], first: int, last: int) -> str:
    """Return why there is no month of comparison after each start; periods are months as whole numbers."""
    if starts[-1] > last:
        return "last-step-too-young"
    return "no-month-before" if starts[0] <= first else "all-treated"


def _panel(company: Company, p: Programme, reach: Reach, metric: str) -> pd.DataFrame:
    """Return averages per customer by unit and month, with ``first``, the month of the unit's start (NaN: never)."""
    unit = p.assigned_by
    own = company.customers.select("customer_id", unit=_[unit].cast("string")).filter(_.unit.notnull())
    customers = people.everyone(company)
    here = customers.filter(people.here(customers, ibis.literal(reach.first)))
    members = own.semi_join(here, "customer_id").mutate(origin=ibis.literal(reach.first.replace(day=1)))
    members = company.put_by("programme", members)
    waves = panels.assigned(company, p.id).filter(_.arm == "treated").inner_join(own, "customer_id")
    waves = waves.group_by("unit").agg(start=_.exposed_on.min()).execute()
    origin = reach.first.replace(day=1)
    before, after = panels.months_before(company, origin), panels.months_seen(company, origin)
    grid = with_money(company, panels.by_month(company, members, before, max(after, 1), ["unit"], metric))
    zero = _index(origin)
    starts = {u: _index(pd.Timestamp(d).date()) for u, d in zip(waves["unit"], waves["start"], strict=True)}
    n = grid["customers"].astype(float)
    each = {c: grid[c] / n for c in (*COLUMNS, "net")}
    return grid.assign(**each, customers=n, period=grid["month"] + zero, first=grid["unit"].map(starts))


def _index(day: date) -> int:
    """Return a month as a whole number, so that "never" can be missing."""
    return day.year * 12 + day.month


def _month(period: float) -> str:
    """Return a month, as ``_index`` counts it, by name."""
    return f"{month_name[int(period - 1) % 12 + 1]} {int(period - 1) // 12}"


def _checks(
    company: Company, measured: Measured, found: dict[str, effects.GroupTimeEffects], panel: pd.DataFrame,
    reach: Reach, unit: str, months: int, claimed: str,
) -> list[Check]:  # fmt: skip
    """Return all checks: of money and of the claimed outcome before the start, single steps, the number of units."""
    net = found["net"]
    drift, p = net.before()
    starts = dict(panel[["unit", "first"]].dropna().drop_duplicates().itertuples(index=False, name=None))
    left_out = net.leave_one_out(months).dropna(subset="value")
    parts = pd.Series(left_out["value"].to_numpy(), index=[f"the {_month(g)} step" for g in left_out["group"]])
    if claimed in RATIOS:
        outcome = found[RATIOS[claimed][0]]
        course, joint = outcome.before()
        worst = None if course is None else float(np.fmin(joint, course.p))
        level = LEVEL if stands(outcome.cumulative(months), outcome.net_of_trend(months)) else math.inf
        own = [placebo(company, OUTCOME_BEFORE, course, worst, level, outcome=claimed)]
    else:
        first = reach.first.replace(day=1)
        own = [cohort(company, unit, starts, first, months), _drift_in_leaving(company, measured, unit, starts)]
    return [
        *own,
        placebo(company, "months before the start", drift, p, steps=int((net.by_event_time()["event_time"] < 0).sum())),
        hidden_trend(company, measured, drift, net.net_of_trend(months)),
        not_by_choice(company, measured),
        without_one(company, measured, parts),
        _few_units(company, net, measured, panel, months),
    ]


def _drift_in_leaving(company: Company, measured: Measured, unit: str, starts: dict[str, float]) -> Check:
    """Check that the change in leaving stands net of a drift of its own in each step, by the month of all customers.

    It is asked only of a change that is clear, and fails where the net one is not clear at LEVEL.
    """
    gone = measured.estimate(measured.without["here"][:, -1] - measured.with_it["here"][:, -1])
    known, facts = panels.leaving_since(company), {"clear": gone.excludes(0), "drift": math.nan}
    if known is None or not facts["clear"]:
        return check(company, DRIFT, None, **facts)
    counted = panels.leaving(company, unit, known.replace(day=1))
    counted["first"] = counted["unit"].map(starts)
    try:
        e, facts["drift"] = effects.rate_net_of_drift(counted, "unit", "period", "first", "left", "at_risk")
    except ValueError:
        return check(company, DRIFT, None, **facts)
    stands = e.p < LEVEL and (e.value < 0) == (gone.value < 0)
    return check(company, DRIFT, bool(stands), e, e.p, **facts)


def _few_units(
    company: Company, net: effects.GroupTimeEffects, measured: Measured, panel: pd.DataFrame, months: int
) -> Check:
    """Check whether there are enough units for the interval; with few of them, reassign the starts at random."""
    units, periods = int(measured.groups), np.sort(panel["period"].unique())
    later = periods[(periods >= net.table["group"].min()) & ~np.isin(periods, net.table["period"])]
    facts = {
        "units": units,
        "enough": units >= FEW and not net.caution,
        "cautious": bool(net.caution),
        "until": _month(later[0]) if later.size else "",
        "lone": bool(net.table["se"].isna().any()),
    }
    if facts["enough"]:
        return check(company, "few units", True, **facts)
    plain = {k: v for k, v in ROLES.items() if k != "cluster"}
    p = robustness.randomisation_p(panel, "net", **plain, horizon=months)
    passed = not measured.effect.excludes(0) or p < 0.05
    return check(company, "few units", bool(passed), p=p, **facts)
