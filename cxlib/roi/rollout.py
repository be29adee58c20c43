"""A roll-out in steps: units reached against those not yet, or never, reached; months count from each unit's own start."""

from __future__ import annotations

from calendar import month_name
from datetime import date

import ibis
import numpy as np
import pandas as pd
from ibis import _

from cxlib.counts import panels
from cxlib.counts.panels import Reach
from cxlib.counts.programmes import Programme
from cxlib.intake.company import Company
from cxlib.page.findings import interval, money, number, p_value
from cxlib.roi.evidence import Check, Evidence
from cxlib.roi.outcomes import Measured, with_money
from cxlib.roi.placebos import Placebo, hidden_trend, not_by_choice, p_of, verdicts, without_one
from cxlib.stats import draws, effects, robustness
from cxlib.stats.estimate import Estimate

COLUMNS = (*(c for c in panels.COLUMNS if c != "margin"), "earned")
EARLIER = 3  # months: how much earlier the placebo start is
FEW = 40  # units: below it the starts are also handed out again by lot


def rolled_out(company: Company, p: Programme, reach: Reach, wanted: int, metric: str) -> Evidence:
    """Compare units with those not yet reached, month by month, over all customers here at the first step."""
    design, unit = "staggered rollout", p.assigned_by
    refused = lambda why, remedy: Evidence(p, design, "observed", why, remedy)  # noqa: E731
    panel = _panel(company, p, reach, metric)
    last = int(panel["period"].max())
    roles = {"unit": "unit", "period": "period", "first_treated": "first", "weights": "customers", "cluster": "unit"}
    try:
        found = {c: effects.group_time_effects(panel, c, **roles) for c in (*COLUMNS, "net")}
    except ValueError as error:
        return refused(
            str(error), "Leave some of them without it for as long as the effect is to be seen, drawn by lot."
        )
    net = found["net"]
    compared = net.table.groupby("group", observed=True)["period"].max()
    starts = sorted(panel["first"].dropna().unique())
    months = int(min(wanted, min(min(last, compared.get(g, g - 1)) - g + 1 for g in starts)))
    if months < 1:
        return refused("not identified yet: the last step is less than a whole month old.", "Wait a month.")
    names = net.clusters
    weights = draws.with_plain(draws.group_weights(company.settings.draws, company.settings.seed, len(names)))
    start = panel[panel["month"] == 0]
    customers = float(start.loc[start["first"].isin(starts), "customers"].sum())
    end = int(starts[-1]) + months - 1

    def measured_by(drawn: str, observed: str, until: int) -> Measured:
        moved = {c: getattr(f, drawn)(until, weights) for c, f in found.items()}
        seen = {c: getattr(f, observed)(until, weights) for c, f in found.items()}
        without = {c: seen[c] - moved[c] for c in seen}
        return Measured(seen, without, customers, float(start["customers"].sum()), len(names))

    measured = measured_by("drawn", "reached_path", months)  # by months since each unit's own start
    by_calendar = measured_by("drawn_by_period", "reached_by_period", end)  # what it brought while it was paid
    events = net.by_event_time()
    checks = _checks(company, measured, net, panel, roles, months)
    spoken = [
        c for c in checks if c.name in ("months before the start", "placebo date", "placebo outcome", "few units")
    ]
    known = "comparison" if all(c.passed is not False for c in spoken) else "observed"
    reached = start["first"].notna()
    why = (
        f"rolled out in {len(starts)} steps by {unit}: {int(reached.sum())} units reached are compared with {int((~reached).sum())} "
        f"never and those not yet reached, all {number(customers, 0)} customers here at the first step counted, also those who left "
        "before their turn"
    )
    return Evidence(
        p, design, known, why, "", months, measured.effect, by_calendar.paths, measured.outcomes(company, metric),
        events[["event_time", "value", "low", "high", "n"]], tuple(checks),
    )  # fmt: skip


def _panel(company: Company, p: Programme, reach: Reach, metric: str) -> pd.DataFrame:
    """Return what a customer did on average by unit and month: columns per customer, ``first`` the month of its start."""
    unit = p.assigned_by
    own = company.customers.select("customer_id", unit=_[unit].cast("string")).filter(_.unit.notnull())
    here = panels.on_day(company, reach.first)
    here = here.filter(_.left_on.isnull() | (_.left_on > ibis.literal(reach.first))).select("customer_id")
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


def _checks(
    company: Company, measured: Measured, net: effects.GroupTimeEffects, panel: pd.DataFrame, roles: dict, months: int
) -> list[Check]:
    write = lambda v: money(v, company.settings.currency, 2)  # noqa: E731
    groups, tried, pre = measured.groups, [], net.by_event_time().query("event_time < 0")
    drift = None
    if len(pre):
        steps = [Estimate(*row) for row in pre[["value", "low", "high", "se", "n"]].to_numpy(float)]
        worst = min(steps, key=lambda e: p_of(e, groups) if np.isfinite(e.low) else 2.0)
        drift = _drift(net)
        p = min(p_of(worst, groups) * len(steps), 1.0)  # the largest of so many (Bonferroni)
        said = f"of {len(steps)} months before the start the largest step apart was {interval(worst, write)} a customer"
        tried.append(Placebo("months before the start", worst, said, p))
        known = []
    else:
        known = [Check("months before the start", None, "Nothing is on record before the first step.")]
    earlier = _placebo_date(panel, roles)
    if earlier is not None and np.isfinite(earlier.low):
        said = f"had the first step come {EARLIER} months earlier, it would seem to bring {interval(earlier, write)} a month and customer"
        tried.append(Placebo("placebo date", earlier, said))
    tried += not_by_choice(company, measured)
    found = [*known, *verdicts(tried, groups)]
    left_out = net.leave_one_out(months).dropna(subset="value")
    waves = [f"{month_name[int(g - 1) % 12 + 1]} {int(g - 1) // 12}" for g in left_out["group"]]
    found.append(
        without_one(measured, pd.Series(left_out["value"].to_numpy(), index=[f"the step of {w}" for w in waves]))
    )
    found.append(_few_units(net, measured, panel, roles, months))
    return [*found, hidden_trend(company, measured, drift)]


def _drift(net: effects.GroupTimeEffects) -> Estimate | None:
    """Return the mean step apart per month before the start (each placebo is one step)."""
    pre = net.by_event_time().query("event_time < 0 and se > 0")
    if not len(pre):
        return None
    value, se = pre["value"].mean(), float(np.sqrt((pre["se"] ** 2).sum()) / len(pre))
    return Estimate(float(value), value - 1.96 * se, value + 1.96 * se, se, float(pre["n"].max()))


def _placebo_date(panel: pd.DataFrame, roles: dict) -> Estimate | None:
    """Return the effect a month of a start that nobody made, so much earlier than the first one, in the months before it."""
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
    net: effects.GroupTimeEffects, measured: Measured, panel: pd.DataFrame, roles: dict, months: int
) -> Check:
    """Say whether there are units enough for the interval; with few of them, hand the starts out again by lot."""
    units = int(measured.groups)
    if units >= FEW and not net.caution:
        return Check("few units", True, f"{units} units are enough for an interval from their differences.")
    plain = {k: v for k, v in roles.items() if k != "cluster"}
    p = robustness.randomisation_p(panel, "net", **plain, horizon=months)
    told = measured.effect.excludes(0)
    passed = not told or p < 0.05
    said = (
        f"{units} units are few; with the starts handed to other units by lot, an effect at least as large comes up by chance with "
        f"{p_value(p)}"
    )
    if not passed:
        return Check("few units", False, f"{said}: the interval is too narrow, do not rely on it.")
    return Check("few units", True, f"{said}. {net.caution}".strip())
