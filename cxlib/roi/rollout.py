"""A staggered rollout: treated units against those not yet or never treated, months counted from each unit's start."""

from __future__ import annotations

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
from cxlib.roi.evidence import STAGGERED, Check, Evidence, check, reasons, refused
from cxlib.roi.outcomes import Measured, with_money
from cxlib.roi.placebos import Placebo, hidden_trend, not_by_choice, p_of, verdicts, without_one
from cxlib.stats import draws, effects, robustness
from cxlib.stats.estimate import Estimate, NotEstimable

COLUMNS = (*(c for c in panels.COLUMNS if c != "margin"), "earned")
EARLIER = 3  # months: how much earlier the placebo start is
FEW = 40  # units: with fewer, the starts are also reassigned at random
# A failure of one of these leaves no comparison; the others only describe how far it carries.
DECISIVE = ("months before the start", "placebo date", "placebo outcome", "few units")


def rolled_out(company: Company, p: Programme, reach: Reach, wanted: int, metric: str) -> Evidence:
    """Compare units with those not yet treated, month by month, over all customers present at the first step."""
    unit = p.assigned_by
    panel = _panel(company, p, reach, metric)
    if panel.empty:
        return refused(p, STAGGERED, "no-unit", unit=unit)
    last = int(panel["period"].max())
    roles = {"unit": "unit", "period": "period", "first_treated": "first", "weights": "customers", "cluster": "unit"}
    try:
        found = {c: effects.group_time_effects(panel, c, **roles) for c in (*COLUMNS, "net")}
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
    checks = _checks(company, measured, net, panel, roles, months)
    known = "comparison" if all(c.passed is not False for c in checks if c.name in DECISIVE) else "observed"
    reached = start["first"].notna()
    counts = {"treated_units": int(reached.sum()), "never": int((~reached).sum()), "customers": customers}
    return Evidence(
        p,
        STAGGERED,
        known,
        **reasons(STAGGERED, steps=len(starts), unit=unit, **counts),
        months=months,
        effect=measured.effect,
        paths=by_calendar.paths,
        outcomes=measured.outcomes(company, metric),
        events=net.by_event_time()[["event_time", "value", "low", "high", "n"]],
        checks=tuple(checks),
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
    company: Company, measured: Measured, net: effects.GroupTimeEffects, panel: pd.DataFrame, roles: dict, months: int
) -> list[Check]:
    """Return all checks: placebos, single steps, the number of units, a hidden trend."""
    groups, pre = measured.groups, net.by_event_time().query("event_time < 0")
    worst, p = None, None
    if len(pre):
        steps = [Estimate(*row) for row in pre[["value", "low", "high", "se", "n"]].to_numpy(float)]
        worst = min(steps, key=lambda e: p_of(e, groups) if np.isfinite(e.low) else 2.0)
        p = min(p_of(worst, groups) * len(steps), 1.0)  # the largest of so many (Bonferroni)
    tried = [
        Placebo("months before the start", worst, {"steps": len(pre)}, p),
        Placebo("placebo date", _placebo_date(panel, roles), {"earlier": EARLIER, "needed": 2 * EARLIER}),
        not_by_choice(company, measured),
    ]
    left_out = net.leave_one_out(months).dropna(subset="value")
    parts = pd.Series(left_out["value"].to_numpy(), index=[f"the {_month(g)} step" for g in left_out["group"]])
    return [
        *verdicts(company, tried, groups),
        without_one(company, measured, parts),
        _few_units(company, net, measured, panel, roles, months),
        hidden_trend(company, measured, _drift(net)),
    ]


def _drift(net: effects.GroupTimeEffects) -> Estimate | None:
    """Return the mean monthly step apart before the start (each placebo is one step)."""
    pre = net.by_event_time().query("event_time < 0 and se > 0")
    if not len(pre):
        return None
    value, se = pre["value"].mean(), float(np.sqrt((pre["se"] ** 2).sum()) / len(pre))
    return Estimate(float(value), value - 1.96 * se, value + 1.96 * se, se, float(pre["n"].max()))


def _placebo_date(panel: pd.DataFrame, roles: dict) -> Estimate | None:
    """Return the monthly effect of a made-up start, EARLIER months before the first one, on the months before that."""
    first = panel["first"].min()
    past = panel[(panel["period"] < first) & (panel["period"] >= first - 2 * EARLIER)].copy()
    if past["period"].nunique() < 2 * EARLIER:
        return None
    past["after"] = (past["period"] >= first - EARLIER).astype(int)
    past["first_step"] = (past["first"] == first).astype(int)
    try:
        return effects.difference_in_differences(
            past, "net", "first_step", "after", roles["unit"], weights=roles["weights"]
        )
    except ValueError:
        return None


def _few_units(
    company: Company, net: effects.GroupTimeEffects, measured: Measured, panel: pd.DataFrame, roles: dict, months: int
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
    plain = {k: v for k, v in roles.items() if k != "cluster"}
    p = robustness.randomisation_p(panel, "net", **plain, horizon=months)
    passed = not measured.effect.excludes(0) or p < 0.05
    return check(company, "few units", bool(passed), p=p, **facts)
