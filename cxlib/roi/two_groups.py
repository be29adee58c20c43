"""A treated and a control arm: randomised, held out, or weighted to match on what was known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import ibis
import numpy as np
import pandas as pd
from ibis import _

from cxlib.counts import answers, panels, people
from cxlib.counts.panels import Reach
from cxlib.counts.programmes import Programme
from cxlib.intake.company import Company
from cxlib.page.resamples import resamples
from cxlib.roi.evidence import (
    BEFORE_AND_AFTER,
    HOLDOUT,
    MATCHED,
    RANDOMISED,
    Check,
    Evidence,
    Outcome,
    check,
    earned,
    reasons,
    refused,
)
from cxlib.roi.outcomes import RATIOS, Measured, with_money
from cxlib.roi.placebos import UNDRAWN, cohort, hidden_trend, not_by_choice, p_of, placebo, without_one
from cxlib.stats import balancing, draws, robustness
from cxlib.stats.estimate import Estimate, NotEstimable

PRE_MONTHS = 3
FEW = 20  # randomised units
WEEKS = 4  # after the start, before any effect is looked at
SUMS = (*(c for c in panels.COLUMNS if c != "margin"), "earned", "net")
STILL = ("here", "unchosen")  # nobody has left before the start: nothing to subtract
CHUNK = 4e7  # numbers held at a time while resampling
NO_OVERLAP, CONTAMINATED = 0.1, 0.1  # share of the treated without a match; of customers in the other arm as well
ALIKE = 5  # control customers needed who share a trait of treated ones
NAMED = 3  # traits without a match that are named


@dataclass(frozen=True, eq=False)
class Panel:
    """Both arms: months (negative before the start) and, by arm, each column per customer, (1 + draws) x months."""

    months: np.ndarray
    treated: dict[str, np.ndarray]
    control: dict[str, np.ndarray]

    def gap(self, column: str, first: int, last: int) -> np.ndarray:
        """Return the mean monthly difference of the arms from month ``first`` to month ``last``, by draw."""
        inside = (self.months >= first) & (self.months <= last)
        return (self.treated[column] - self.control[column])[:, inside].mean(axis=1)


def window(company: Company, wanted: int, reach: Reach) -> tuple[int, date | None]:
    """Return over how many months an effect can be measured, and the last month whose customers are followed that long.

    As many months as half of the treated have been followed, at most ``wanted``; none in the first four weeks.
    """
    months = reach.months
    if (company.as_of - reach.first).days < WEEKS * 7:
        return 0, None
    half = months.index[int(np.searchsorted(months.cumsum(), months.sum() / 2))]
    length = min(wanted, panels.months_seen(company, half.date()))
    followed = [m.date() for m in months.index if panels.months_seen(company, m.date()) >= length]
    return length, (max(followed) if followed and length else None)


# ---- randomised -----------------------------------------------------------------------------------------------------


def randomised(company: Company, p: Programme, reach: Reach, wanted: int, metric: str) -> Evidence:
    """Compare the arms as assigned, at one mix of the first segment; resample whole units if those were assigned."""
    months, last = window(company, wanted, reach)
    if months < 1:
        return refused(p, RANDOMISED, "too-young")
    unit = p.assigned_by if p.assigned_by in company.customers.columns else ""
    segment = (people.segments(company) or [None])[0]
    own = {"stratum": _[segment].cast("string") if segment else ibis.literal("all")}
    who = company.customers.mutate(**own, group=_[unit].cast("string") if unit else _.fold)
    who = who.select("customer_id", "group", stratum=ibis.coalesce(who.stratum, people.NONE))
    both = panels.in_both(company, p.id, months)
    members = panels.assigned(company, p.id, months).filter(_.origin <= ibis.literal(last))
    members = members.inner_join(who, "customer_id")
    members = members.filter(_.group.notnull()).select("customer_id", "arm", "origin", "stratum", "group")
    members = company.put_by("programme", members)
    before = panels.months_before(company, reach.months.index[0].date())
    grid = panels.by_month(company, members, before, months, ["arm", "stratum", "group"], metric)
    grid = with_money(company, grid)
    sizes = grid[grid["month"] == 0].pivot_table("customers", "stratum", "arm", "sum", fill_value=0)
    if set(sizes) != {"control", "treated"}:
        return refused(p, RANDOMISED, "one-arm", both=both)
    small = sizes.index[sizes.min(axis=1) < company.settings.privacy.minimum_base]
    grid["stratum"] = grid["stratum"].mask(grid["stratum"].isin(small), "others") if len(small) < len(sizes) else "all"
    sizes = grid[grid["month"] == 0].pivot_table("customers", "stratum", "arm", "sum", fill_value=0)
    if sizes.min(axis=None) < company.settings.privacy.minimum_base:
        grid["stratum"], sizes = "all", sizes.sum().to_frame("all").T
    if sizes.min(axis=None) < (least := company.settings.privacy.minimum_base):
        small = list(sizes.columns[sizes.loc["all"] < least])
        return refused(p, RANDOMISED, "small-arm", needed=least, arms=small, both=both)
    codes, names = pd.factorize(grid["group"]) if unit else (grid["group"].to_numpy(int), np.arange(256))
    grid["group"] = codes
    weights = resamples(company)
    if unit:
        weights = draws.with_plain(draws.group_weights(company.settings.draws, company.settings.seed, len(names)))
    panel = _at_one_mix(grid, weights)
    kept = _kept(grid, ["arm", "stratum"]) if before else {}
    treated, control = float(sizes["treated"].sum()), float(sizes["control"].sum())
    measured = _measure(panel, kept, treated, float(sizes.to_numpy().sum()), len(names))
    checks = _as_drawn(company, p, members, panel, weights, names if unit else [], (treated, control))
    if len(sizes) > 1 and not unit:  # where units were randomised, the customers in them were not
        balance = robustness.balance(sizes["treated"], sizes["control"])
        checks.append(check(company, "randomisation", balance >= UNDRAWN, p=balance, segment=segment))
    checks += _earlier(company, measured, panel)
    first = reach.months.index[0].date()
    drawn = names[grid.loc[grid["arm"] == "treated", "group"].unique()] if unit else []
    starts = dict.fromkeys(drawn, first.year * 12.0 + first.month)
    checks.append(cohort(company, unit, starts, first, months, UNDRAWN))
    if unit and len(names) < FEW:
        checks.append(check(company, "few randomised units", None, units=len(names), unit=unit))
    checks += _one_arm_each(company, both, treated + control)
    parts = sizes.index if len(sizes) > 1 else []
    others = {s: _at_one_mix(grid[grid["stratum"] != s], weights[:1]) for s in parts}
    checks.append(_without_one(company, measured, others, kept))
    why = reasons(RANDOMISED, unit=unit, units=len(names), treated=treated, control=control)
    known = earned([c for c in checks if c.name != "leave one out"], "randomised", (), "randomised")
    return Evidence(p, RANDOMISED, known, **why, both=both, **_found(company, measured, panel, checks, metric, months))


# ---- weighted -------------------------------------------------------------------------------------------------------


def weighted(company: Company, p: Programme, reach: Reach, wanted: int, metric: str, held_out: bool) -> Evidence:
    """Compare the treated with others weighted to match them on all that was known before (entropy balancing).

    ``held_out``: the others are those recorded as arm control, and their whole difference before the start is
    subtracted (difference in differences); else all customers present and not reached by then.
    """
    design = HOLDOUT if held_out else MATCHED
    months, last = window(company, wanted, reach)
    if months < 1:
        return refused(p, design, "too-young")
    both = panels.in_both(company, p.id, months)
    origins = [m.date() for m in reach.months.index if m.date() <= last]
    cells, traits = _cells(company, p, origins, metric, months if held_out else 0)
    before = panels.months_before(company, reach.months.index[0].date())
    grid = with_money(company, panels.by_month(company, cells, before, months, [*traits, "arm", "fold"], metric))
    grid["cell"] = grid.groupby(traits, observed=True).ngroup()
    first = grid[grid["month"] == 0]
    least, sizes = company.settings.privacy.minimum_base, first.groupby("arm")["customers"].sum()
    sizes = sizes.reindex(["control", "treated"]).fillna(0)
    if sizes.min() < least:
        small = list(sizes.index[sizes < least])
        return refused(p, BEFORE_AND_AFTER, "small-arm", needed=least, arms=small, both=both)
    unlike = pd.Series(False, index=grid.index)  # controls with a trait that no treated customer has match nobody
    for column in traits:
        unlike |= ~grid[column].isin(first.loc[first["arm"] == "treated", column])
    grid = grid[~unlike]
    off, lonely = _unmatched(grid[grid["month"] == 0], traits)
    without = {"alike": ALIKE, "examples": lonely[:NAMED]}
    if off.mean() > NO_OVERLAP:
        return refused(p, BEFORE_AND_AFTER, "no-overlap", share=float(off.mean()), **without)
    grid = grid[~grid["cell"].isin(off.index[off > 0])]
    later = _later(cells)
    weights = resamples(company)
    try:
        panel, effective = _balanced(grid, traits, weights)
    except NotEstimable:
        return refused(p, BEFORE_AND_AFTER, "no-weights")
    first = grid[grid["month"] == 0]
    sizes = first.groupby("arm")["customers"].sum()
    treated, control = float(sizes["treated"]), float(sizes["control"])
    kept = {} if not before else dict.fromkeys(set(SUMS) - set(STILL), 1.0) if held_out else _kept(grid, ["arm"])
    measured = _measure(panel, kept, treated, float(sizes.sum()), 256)
    outcomes = measured.outcomes(company, metric)
    claimed = "score" if p.outcome == metric else p.outcome if p.outcome in outcomes else "churn"
    checks = _before(company, measured, panel, "net" if claimed == "churn" else RATIOS[claimed][0])
    enough = bool(effective >= max(least, 0.1 * treated))
    counted = {"control": control, "effective": effective, "left_out": float(off.sum())}
    checks.append(cohort(company, "", {}, origins[0], months))
    checks += [check(company, "overlap", enough, **counted, **without)]
    checks += _one_arm_each(company, both, treated + control)
    if not held_out:
        fine = bool(later <= CONTAMINATED)
        checks.append(check(company, "control reached later", fine, later=later, most=CONTAMINATED))
    segment = (people.segments(company) or [""])[0]
    if segment in traits:
        parts = {s: grid[grid[segment] != s] for s in grid[segment].unique()}
        others = {s: _tried(g, traits, weights[:1]) for s, g in parts.items()}
        checks.append(_without_one(company, measured, others, kept))
    placebo_of = "placebo outcome" if claimed == "churn" else "months before the start"
    known = earned([c for c in checks if c.name != "leave one out"], "comparison", (placebo_of,), "adjusted")
    before_known = any(c.passed and c.name == "months before the start" for c in checks)
    if not held_out:
        checks.append(_hidden_confounder(company, outcomes.get("churn"), grid, traits))
        before_known &= bool(checks[-1].passed)
    if known == "comparison" and not before_known:
        known = "adjusted"
    why = reasons(design, treated=treated, control=control, traits=traits)
    return Evidence(p, design, known, **why, both=both, **_found(company, measured, panel, checks, metric, months))


def _cells(
    company: Company, p: Programme, origins: Sequence[date], metric: str, months: int
) -> tuple[ibis.Table, list[str]]:
    """Return the members of both arms, one trial per month of start, and the names of what was known of them before.

    ``months``: only those assigned, to be followed for so long; 0: everybody.
    """
    tables = []
    for origin in origins:
        rows, traits = panels.candidates(company, p.id, origin, metric)
        if months:
            mine = panels.assigned(company, p.id, months).filter(_.origin == ibis.literal(origin)).select("customer_id")
            rows = rows.semi_join(mine, "customer_id")
        tables.append(rows)
    return company.put_by("programme", ibis.union(*tables) if len(tables) > 1 else tables[0]), traits


def _later(cells: ibis.Table) -> float:
    """Return the share of control customers who were treated later (0-1)."""
    found = cells.filter(_.arm == "control").agg(later=_.later.mean()).execute()["later"].iloc[0]
    return 0.0 if pd.isna(found) else float(found)


def _unmatched(first: pd.DataFrame, traits: list[str]) -> tuple[pd.Series, list[str]]:
    """Return those traits of the treated that fewer than ALIKE controls share; by cell, 1 for each treated with one."""
    treated = first[first["arm"] == "treated"]
    lonely, named = pd.Series(False, index=treated.index), []
    for column in traits:
        others = first[first["arm"] == "control"].groupby(column, observed=True)["customers"].sum()
        few = ~treated[column].map(others).fillna(0).ge(ALIKE)
        if few.any():
            named += [f"{column} {v}" for v in sorted(treated.loc[few, column].unique())]
        lonely |= few
    each = lonely.repeat(treated["customers"].astype(int))
    each.index = treated["cell"].repeat(treated["customers"].astype(int))
    return each.astype(float), named


def _tried(grid: pd.DataFrame, traits: list[str], weights: np.ndarray) -> Panel | None:
    try:
        return _balanced(grid, traits, weights)[0]
    except NotEstimable:
        return None


def _balanced(grid: pd.DataFrame, traits: list[str], weights: np.ndarray) -> tuple[Panel, float]:
    """Return the arms, controls weighted to the means of the treated in each draw, and their effective number.

    Raises NotEstimable where no weights do it.
    """
    months = np.array(sorted(grid["month"].unique()))
    keys = grid[grid["month"] == months[0]].reset_index(drop=True)
    values = grid[list(SUMS)].to_numpy(float).reshape(len(keys), len(months), len(SUMS))  # months follow one another
    x, __ = balancing.indicators(keys, traits)
    n, fold, is_treated = (
        keys["customers"].to_numpy(float),
        keys["fold"].to_numpy(int),
        (keys["arm"] == "treated").to_numpy(),
    )
    shared = x[~is_treated].std(axis=0) > 0
    x = x[:, shared]
    cells, place = np.unique(x[~is_treated], axis=0, return_inverse=True)
    place = place.reshape(-1)
    by_cell = draws.summed(weights, fold[~is_treated], n[~is_treated], (place,), (len(cells),))
    many, of = n[is_treated], fold[is_treated]
    row, trait = np.indices(x[is_treated].shape)
    sums = draws.summed(weights, of[row], many[row] * x[is_treated], (trait,), x.shape[1:])
    slopes = balancing.drawn_balance(cells, by_cell, sums / draws.summed(weights, of, many)[:, None])
    weight = balancing.weights_of(cells, slopes)
    sides = []
    for rows, own in ((is_treated, None), (~is_treated, weight)):
        flat = np.column_stack([values[rows].reshape(rows.sum(), -1), n[rows]])
        total = np.empty((len(weights), flat.shape[1]))
        step = max(int(CHUNK / max(len(flat), 1)), 1)
        for i in range(0, len(weights), step):
            part = weights[i : i + step][:, fold[rows]]
            part = part if own is None else part * own[i : i + step][:, place]
            total[i : i + step] = part @ flat
        each = (total[:, :-1] / total[:, -1:]).reshape(len(weights), len(months), len(SUMS))
        sides.append({c: each[:, :, j] for j, c in enumerate(SUMS)})
    w = weight[0][place]
    effective = float((w * n[~is_treated]).sum() ** 2 / (w**2 * n[~is_treated]).sum())
    return Panel(months, *sides), effective


# ---- common to both -------------------------------------------------------------------------------------------------


def _at_one_mix(grid: pd.DataFrame, weights: np.ndarray) -> Panel:
    """Return both arms at the mix of strata of all, so that a chance difference in mix does not look like an effect."""
    keys, sums = draws.resample(grid, "group", ["customers", *SUMS], ["arm", "stratum", "month"], weights)
    shape = (len(weights), 2, keys["stratum"].nunique(), keys["month"].nunique(), 1 + len(SUMS))
    cube = sums.reshape(shape)  # keys are sorted, and every arm and stratum has every month
    mix = cube[..., 0].sum(1, keepdims=True)
    mix = mix / mix.sum(2, keepdims=True)
    each = (cube[..., 1:] / cube[..., :1] * mix[..., None]).sum(2)
    control, treated = ({c: each[:, arm, :, j] for j, c in enumerate(SUMS)} for arm in (0, 1))
    return Panel(np.array(sorted(keys["month"].unique())), treated, control)


def _kept(grid: pd.DataFrame, cells: list[str]) -> dict[str, float]:
    """Return by column how much of a difference before the start is expected after it (0-1), within the arms.

    Subtracting that share makes the effect of a randomised trial more precise and leaves it unbiased, whatever the
    slope (Deng, Xu, Kohavi & Walker 2013). Units: groups within arms.
    """
    keys, columns = [*cells, "group" if "group" in grid else "fold"], [c for c in SUMS if c not in STILL]
    before, after = grid[(grid["month"] < 0) & (grid["month"] >= -PRE_MONTHS)], grid[grid["month"] >= 0]
    x, y = (part.groupby(keys, observed=True)[columns].sum() / part["month"].nunique() for part in (before, after))
    w = grid[grid["month"] == 0].groupby(keys, observed=True)["customers"].sum().astype(float)
    arms = [w.index.get_level_values(c) for c in cells]
    total = w.groupby(arms).transform("sum")
    x, y = (v.div(w, axis=0) - v.groupby(arms).transform("sum").div(total, axis=0) for v in (x, y))
    above, spread = (v.mul(w, axis=0).sum() for v in (x * y, x * x))
    slope = np.where(spread > 0, above / spread.where(spread > 0, 1.0), 0.0)
    return dict(zip(columns, np.clip(slope, 0, 1), strict=True))


def _measure(panel: Panel, kept: dict[str, float], customers: float, base: float, groups: int) -> Measured:
    """Return both sides; without: the control arm plus the share of the gap before the start that would have stayed."""
    post, sides = panel.months >= 0, []
    for column in SUMS:
        without = panel.control[column][:, post]
        if kept.get(column, 0.0):
            without = without + kept[column] * panel.gap(column, -PRE_MONTHS, -1)[:, None]
        sides.append(without)
    return Measured(
        {c: panel.treated[c][:, post] for c in SUMS}, dict(zip(SUMS, sides, strict=True)), customers, base, groups
    )


def _as_drawn(
    company: Company, p: Programme, members: ibis.Table, panel: Panel, weights: np.ndarray, units: Sequence[str],
    sizes: tuple[float, float],
) -> list[Check]:  # fmt: skip
    """Return whether the arms are as a draw makes them: their sizes, and all that was known of them before the start.

    One joint test of the shares of every trait with enough customers, and of money and contacts in the months before.
    """
    checks = []
    if np.isfinite(p.treated_share):
        ratio = robustness.sample_ratio_p(*sizes, p.treated_share)
        facts = {"treated": sizes[0], "control": sizes[1], "share": p.treated_share}
        checks.append(check(company, "sample ratio", ratio >= UNDRAWN, p=ratio, **facts))
    origins = sorted(pd.to_datetime(members.select("origin").distinct().execute()["origin"]).dt.date)
    tables, least = [], company.settings.privacy.minimum_base
    for origin in origins:
        rows, traits = panels.candidates(company, p.id, origin, (answers.metrics(company) or [""])[0])
        mine = members.filter(_.origin == ibis.literal(origin)).select("customer_id", "group", "arm")
        tables.append(rows.drop("arm", "fold").inner_join(mine, "customer_id"))
    rows = ibis.union(*tables) if len(tables) > 1 else tables[0]
    rows = rows.group_by(["arm", "group", *traits]).agg(n=_.count()).execute()
    rows["group"] = pd.Index(units).get_indexer(rows["group"]) if len(units) else rows["group"].astype(int)
    x, named = balancing.indicators(rows, traits)
    n = rows["n"].to_numpy(float)
    some = (n @ x >= least) & (n @ (1 - x) >= least)
    treated = (rows["arm"] == "treated").to_numpy()
    gaps = np.subtract(*(_shares(rows[side], x[side][:, some], weights) for side in (treated, ~treated)))
    past = panel.months < 0
    course = [(panel.treated[c] - panel.control[c])[:, past] for c in ("net", "contacts")]
    joint = robustness.joint_p(np.hstack([gaps, *course]), weights.shape[1])
    e, worst = None, ""
    if gaps.shape[1]:
        at = int(np.argmax(np.abs(gaps[0]) / np.fmax(gaps[1:].std(axis=0), 1e-12)))
        e, worst = (
            draws.estimate(gaps[0, at], gaps[1:, at], n.sum(), groups=weights.shape[1]),
            named[np.flatnonzero(some)[at]],
        )
    facts = {"traits": traits, "months": int(past.sum()), "worst": worst}
    return [*checks, placebo(company, "known before the start", e, joint, UNDRAWN, **facts)]


def _shares(rows: pd.DataFrame, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of customers with each trait in each draw: draws x traits."""
    own = np.zeros((weights.shape[1], x.shape[1] + 1))
    np.add.at(own, rows["group"].to_numpy(), rows["n"].to_numpy(float)[:, None] * np.column_stack([x, np.ones(len(x))]))
    total = weights @ own
    return total[:, :-1] / total[:, -1:]


def _earlier(company: Company, measured: Measured, panel: Panel) -> list[Check]:
    """Return the placebos of a draw: money in the months before the start, an earlier start, involuntary exits."""
    first, before, earlier = int(panel.months.min()), None, None
    if first <= -1:
        before = _with_p(measured, panel.gap("net", max(first, -PRE_MONTHS), -1))
    if first <= -2 * PRE_MONTHS:
        moved = panel.gap("net", -PRE_MONTHS, -1) - panel.gap("net", -2 * PRE_MONTHS, -PRE_MONTHS - 1)
        earlier = _with_p(measured, moved)
    return [
        placebo(company, "months before the start", before, level=UNDRAWN, steps=0),
        placebo(company, "placebo date", earlier, level=UNDRAWN, earlier=PRE_MONTHS, needed=2 * PRE_MONTHS),
        not_by_choice(company, measured, UNDRAWN),
    ]


def _before(company: Company, measured: Measured, panel: Panel, column: str) -> list[Check]:
    """Return the placebos of arms that were not drawn: their course before the start, its slope, involuntary exits.

    One joint test of money, contacts and the claimed ``column`` in each month before the start.
    """
    pre, drift, net, gap, joint = panel.months < 0, None, None, None, None
    if pre.any():
        each = [(panel.treated[c] - panel.control[c])[:, pre] for c in dict.fromkeys(("net", "contacts", column))]
        gap, joint = _with_p(measured, each[0].mean(axis=1)), robustness.joint_p(np.hstack(each), measured.groups)
    if pre.sum() >= PRE_MONTHS:
        at = panel.months[pre] - panel.months[pre].mean()
        slope = (panel.treated["net"] - panel.control["net"])[:, pre] @ at / (at @ at)
        months = measured.net.shape[1]
        drift = _with_p(measured, slope)
        net = measured.estimate(measured.net.sum(axis=1) - slope * months * (months + 1) / 2)
    return [
        placebo(company, "months before the start", gap, joint, steps=0),
        hidden_trend(company, measured, drift, net),
        not_by_choice(company, measured),
    ]


def _with_p(measured: Measured, drawn: np.ndarray) -> Estimate:
    e = measured.estimate(drawn)
    return replace(e, p=p_of(e, measured.groups))


def _hidden_confounder(company: Company, churn: Outcome | None, grid: pd.DataFrame, traits: list[str]) -> Check:
    """Compare what would explain the fall in leaving away with the strongest trait at hand: an E-value and a ratio.

    The strongest: the largest ratio of leaving, among control customers, between those with a trait and the others.
    """
    if churn is None or not np.isfinite(churn.relative.low):
        return check(company, "hidden confounder", None, point=math.nan, end=math.nan, strongest=math.nan, trait="")
    point, end = robustness.e_value(
        Estimate(*(1 + v for v in (churn.relative.value, churn.relative.low, churn.relative.high)))
    )
    last = grid[(grid["month"] == grid["month"].max()) & (grid["arm"] == "control")]
    strongest, named, least = 1.0, "", company.settings.privacy.minimum_base
    for trait in traits:
        each = last.groupby(trait, observed=True)[["customers", "here"]].sum()
        rest = each.sum() - each
        large = (each["customers"] >= least) & (rest["customers"] >= least)
        risk, other = (1 - f["here"] / f["customers"] for f in (each[large], rest[large]))
        ratio = np.maximum(risk / other, other / risk).replace(math.inf, math.nan).dropna()
        if len(ratio) and ratio.max() > strongest:
            strongest, named = float(ratio.max()), f"{trait} {ratio.idxmax()}"
    passed = bool(end > strongest) if end > 1 else None
    return check(company, "hidden confounder", passed, point=point, end=end, strongest=strongest, trait=named)


def _one_arm_each(company: Company, both: int, others: float) -> list[Check]:
    """Check that few customers are listed in both arms (and left out); many are no chance, and the rest is selected."""
    share = both / (both + others)
    return [check(company, "one arm each", share <= CONTAMINATED, both=both, share=share, most=CONTAMINATED)] * bool(
        both
    )


def _without_one(company: Company, measured: Measured, parts: dict[str, Panel | None], kept: dict[str, float]) -> Check:
    """Check the sign of the effect without one part of the customers at a time."""
    found = {k: float(_measure(v, kept, 1, 1, 2).net[0].sum()) for k, v in parts.items() if v is not None}
    return without_one(company, measured, pd.Series(found, dtype=float))


def _found(
    company: Company, measured: Measured, panel: Panel, checks: list[Check], metric: str, months: int
) -> dict[str, object]:
    """Return the numbers of an ``Evidence``."""
    gap = panel.treated["net"] - panel.control["net"]
    events = pd.DataFrame({"event_time": panel.months})
    events = draws.estimate_frame(events, gap[0], gap[1:], measured.base, groups=int(measured.groups))
    return {
        "months": months,
        "effect": measured.effect,
        "paths": measured.paths,
        "outcomes": measured.outcomes(company, metric),
        "events": events.drop(columns="se"),
        "checks": tuple(checks),
    }
