"""Those reached against those not: drawn by lot, held back, or made alike by weights on what was known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pandas as pd
from ibis import _

from cxlib.counts import panels, people
from cxlib.counts.panels import Reach
from cxlib.counts.programmes import Programme
from cxlib.intake.company import Company
from cxlib.page.findings import interval, listing, money, number, p_value, percent
from cxlib.page.resamples import resamples
from cxlib.roi.evidence import BEFORE_AND_AFTER, Check, Evidence
from cxlib.roi.outcomes import Measured, with_money
from cxlib.roi.placebos import Placebo, hidden_trend, not_by_choice, verdicts, without_one
from cxlib.stats import balancing, draws, robustness
from cxlib.stats.estimate import Estimate

PRE_MONTHS = 3
FEW = 20  # units drawn by lot
WEEKS = 4  # after the start, before anything can be told
SUMS = (*(c for c in panels.COLUMNS if c != "margin"), "earned", "net")
STILL = ("here", "unchosen")  # nobody has left before the start: nothing to take off
CHUNK = 4e7  # numbers held at a time while resampling
OFF_SUPPORT, CONTAMINATED = 0.1, 0.1  # share of those reached nobody is like; of the others who are reached soon after
LEAST_LIKE = 5  # customers not reached that a level of those reached needs


@dataclass(frozen=True, eq=False)
class Panel:
    """Both arms: months (negative before the start) and, by arm, columns per customer, (1 + draws) x months."""

    months: np.ndarray
    treated: dict[str, np.ndarray]
    control: dict[str, np.ndarray]

    def gap(self, column: str, first: int, last: int) -> np.ndarray:
        """Return the mean difference of the arms a month, in the months from ``first`` to ``last``, by draw."""
        inside = (self.months >= first) & (self.months <= last)
        return (self.treated[column] - self.control[column])[:, inside].mean(axis=1)


def window(company: Company, wanted: int, reach: Reach) -> tuple[int, date | None]:
    """Return over how many months an effect can be seen, and the last month whose customers are followed that long.

    As many months as half of those reached have been followed, at most ``wanted``; none in the first four weeks.
    """
    months = reach.months
    if (company.as_of - reach.first).days < WEEKS * 7:
        return 0, None
    half = months.index[int(np.searchsorted(months.cumsum(), months.sum() / 2))]
    length = min(wanted, panels.months_seen(company, half.date()))
    followed = [m.date() for m in months.index if panels.months_seen(company, m.date()) >= length]
    return length, (max(followed) if followed and length else None)


# ---- drawn by lot ---------------------------------------------------------------------------------------------------


def drawn_by_lot(company: Company, p: Programme, reach: Reach, wanted: int, metric: str) -> Evidence:
    """Compare the arms as assigned, at the mix of the first segment; whole units are drawn again where they were drawn."""
    months, last = window(company, wanted, reach)
    if months < 1:
        return Evidence(p, "randomised", "observed", "not identified yet: it is less than a whole month old.", "Wait a month.")
    unit = p.assigned_by if p.assigned_by in company.customers.columns else ""
    stratum = (people.segments(company) or [None])[0]
    own = {"stratum": _[stratum].cast("string") if stratum else ibis.literal("all")}
    who = company.customers.mutate(**own, group=_[unit].cast("string") if unit else _.fold)
    who = who.select("customer_id", "group", stratum=ibis.coalesce(who.stratum, people.NONE))
    members = panels.assigned(company, p.id).filter(_.origin <= ibis.literal(last)).inner_join(who, "customer_id")
    members = members.filter(_.group.notnull()).select("customer_id", "arm", "origin", "stratum", "group")
    members = company.put_by("programme", members)
    before = panels.months_before(company, reach.months.index[0].date())
    grid = panels.by_month(company, members, before, months, ["arm", "stratum", "group"], metric)
    grid = with_money(company, grid)
    sizes = grid[grid["month"] == 0].pivot_table("customers", "stratum", "arm", "sum", fill_value=0)
    if set(sizes) != {"control", "treated"}:
        return Evidence(
            p, "randomised", "observed", "not identified: only one arm has customers who can be followed.",
            "Name the customers held back, as arm 'control'.",
        )  # fmt: skip
    small = sizes.index[sizes.min(axis=1) < company.settings.privacy.minimum_base]
    grid["stratum"] = grid["stratum"].mask(grid["stratum"].isin(small), "others") if len(small) < len(sizes) else "all"
    sizes = grid[grid["month"] == 0].pivot_table("customers", "stratum", "arm", "sum", fill_value=0)
    if sizes.min(axis=None) < company.settings.privacy.minimum_base:
        grid["stratum"], sizes = "all", sizes.sum().to_frame("all").T
    codes, names = pd.factorize(grid["group"]) if unit else (grid["group"].to_numpy(int), np.arange(256))
    grid["group"] = codes
    weights = resamples(company)
    if unit:
        weights = draws.with_plain(draws.group_weights(company.settings.draws, company.settings.seed, len(names)))
    panel = _at_one_mix(grid, weights)
    kept = _kept(grid, ["arm", "stratum"]) if before else {}
    measured = _measure(panel, kept, float(sizes["treated"].sum()), float(sizes.to_numpy().sum()), len(names))
    checks = _checks(company, measured, panel)
    if len(sizes) > 1 and not unit:  # where units were drawn, the customers in them are no lot of their own
        lot = robustness.balance(sizes["treated"], sizes["control"])
        fair = lot >= 0.001  # large trials find small faults: the usual line for this check
        words = ("what", "") if fair else ("not what", ": find out who changed the arms, and when")
        said = f"The mix of {stratum} in both arms is {{}} a lot gives ({p_value(lot)}){{}}."
        checks.insert(0, Check("drawn by lot", fair, said.format(*words)))
    if unit and len(names) < FEW:
        said = f"Only {len(names)} of {unit} were drawn: the interval rests on so few and may be too narrow."
        checks.append(Check("few units", None, said))
    parts = sizes.index if len(sizes) > 1 else []
    checks.append(
        _without_one(measured, {s: _at_one_mix(grid[grid["stratum"] != s], weights[:1]) for s in parts}, kept)
    )
    cluster = f", drawn by {unit} ({len(names)} of them)" if unit else ""
    why = (
        f"randomised{cluster}: {number(sizes['treated'].sum(), 0)} customers treated, {number(sizes['control'].sum(), 0)} held back, "
        "each counted in the arm assigned"
    )
    known = "randomised" if all(c.passed is not False for c in checks if c.name == "drawn by lot") else "observed"
    return _evidence(company, p, "randomised", known, why, "", measured, panel, checks, metric, months)


# ---- made alike by weights ------------------------------------------------------------------------------------------


def made_alike(company: Company, p: Programme, reach: Reach, wanted: int, metric: str, held_back: bool) -> Evidence:
    """Compare those reached with others weighted to be like them in all that was known before (entropy balancing).

    ``held_back``: the others are those recorded as arm control, and what they differed by before is taken off in full
    (difference in differences); else everybody here and not reached by then.
    """
    design = "holdout" if held_back else "matched"
    months, last = window(company, wanted, reach)
    if months < 1:
        return Evidence(p, design, "observed", "not identified yet: it is less than a whole month old.", "Wait a month.")
    cells, known = _cells(company, p, [m.date() for m in reach.months.index if m.date() <= last], metric, held_back)
    before = panels.months_before(company, reach.months.index[0].date())
    grid = with_money(company, panels.by_month(company, cells, before, months, [*known, "arm", "fold"], metric))
    grid["cell"] = grid.groupby(known, observed=True).ngroup()
    first = grid[grid["month"] == 0]
    least, sizes = company.settings.privacy.minimum_base, first.groupby("arm")["customers"].sum()
    if sizes.reindex(["control", "treated"]).fillna(0).min() < least:
        return Evidence(
            p, BEFORE_AND_AFTER, "observed", f"not identified: of those not reached, fewer than {least} customers could be compared with.",
            "Hold back a part of those who could be reached, drawn by lot.",
        )  # fmt: skip
    unlike = pd.Series(False, index=grid.index)  # others in a level in which nobody was reached can stand for nobody
    for column in known:
        unlike |= ~grid[column].isin(first.loc[first["arm"] == "treated", column])
    grid = grid[~unlike]
    first = grid[grid["month"] == 0]
    off, said = _off_support(first, known)
    if off.mean() > OFF_SUPPORT:
        return Evidence(
            p, BEFORE_AND_AFTER, "observed",
            f"not identified: {percent(float(off.mean()), 0)} of those reached have nobody like them who was not reached ({said}).",
            "Hold back a part of those who could be reached, drawn by lot; then the difference is the effect.",
        )  # fmt: skip
    grid = grid[~grid["cell"].isin(off.index[off > 0])]
    later = _later(cells)
    weights = resamples(company)
    try:
        panel, effective = _balanced(grid, known, weights)
    except ValueError as error:
        return Evidence(p, BEFORE_AND_AFTER, "observed", f"not identified: {error}", "Hold back a part, drawn by lot.")
    first = grid[grid["month"] == 0]
    sizes = first.groupby("arm")["customers"].sum()
    kept = {} if not before else dict.fromkeys(set(SUMS) - set(STILL), 1.0) if held_back else _kept(grid, ["arm"])
    measured = _measure(panel, kept, float(sizes["treated"]), float(sizes.sum()), 256)
    checks = [*_checks(company, measured, panel), hidden_trend(company, measured, _drift(measured, panel))]
    checks.append(
        Check(
            "overlap",
            bool(effective >= max(least, 0.1 * sizes["treated"])),
            f"After weighting, {number(sizes['control'], 0)} customers not reached count like {number(effective, 0)}; "
            + (f"{number(float(off.sum()), 0)} of those reached have nobody like them and are left out ({said})." if off.any() else
               "everybody reached has others like them."),
        )
    )  # fmt: skip
    if not held_back:
        checks.append(
            Check(
                "reached later",
                bool(later <= CONTAMINATED),
                f"{percent(later, 0)} of those compared with were reached themselves later on"
                + (", which makes the effect look smaller." if later else "."),
            )
        )
    segment = (people.segments(company) or [""])[0]
    if segment in known:
        parts = {s: grid[grid[segment] != s] for s in grid[segment].unique()}
        checks.append(_without_one(measured, {s: _tried(g, known, weights[:1]) for s, g in parts.items()}, kept))
    passed = all(c.passed is not False for c in checks if c.name != "a hidden trend")
    rule = held_back or (p.assignment == "chosen" and bool(p.assigned_by))
    why = (
        f"{'compared with those held back' if held_back else 'compared with customers not reached'}, weighted to be like those reached in "
        f"{listing(known)}: {number(sizes['treated'], 0)} reached, {number(sizes['control'], 0)} others"
    )
    remedy = "" if rule else "Record how customers were chosen (assignment chosen, assigned_by), or draw them by lot."
    known = ("comparison" if rule else "adjusted") if passed else "observed"
    return _evidence(company, p, design, known, why, remedy, measured, panel, checks, metric, months)


def _cells(
    company: Company, p: Programme, origins: Sequence[date], metric: str, held_back: bool
) -> tuple[ibis.Table, list[str]]:
    """Return the members of both arms with what was known of them, one trial per month of start."""
    tables = []
    for origin in origins:
        rows, known = panels.candidates(company, p.id, origin, metric)
        if held_back:
            mine = panels.assigned(company, p.id).filter(_.origin == ibis.literal(origin)).select("customer_id")
            rows = rows.semi_join(mine, "customer_id")
        tables.append(rows)
    return company.put_by("programme", ibis.union(*tables) if len(tables) > 1 else tables[0]), known


def _later(cells: ibis.Table) -> float:
    """Return the share of those compared with who were reached later."""
    found = cells.filter(_.arm == "control").agg(later=_.later.mean()).execute()["later"].iloc[0]
    return 0.0 if pd.isna(found) else float(found)


def _off_support(first: pd.DataFrame, known: list[str]) -> tuple[pd.Series, str]:
    """Return by cell the share (0 or 1) of those reached in a level too few others have, weighted as customers, and which.

    The mean of the series weights every customer reached alike.
    """
    treated = first[first["arm"] == "treated"]
    lonely, named = pd.Series(False, index=treated.index), []
    for column in known:
        others = first[first["arm"] == "control"].groupby(column, observed=True)["customers"].sum()
        few = ~treated[column].map(others).fillna(0).ge(LEAST_LIKE)
        if few.any():
            named += [f"{column} {v}" for v in sorted(treated.loc[few, column].unique())]
        lonely |= few
    each = lonely.repeat(treated["customers"].astype(int))
    each.index = treated["cell"].repeat(treated["customers"].astype(int))
    return each.astype(float), listing(named[:4]) + (" ..." if len(named) > 4 else "")


def _tried(grid: pd.DataFrame, known: list[str], weights: np.ndarray) -> Panel | None:
    try:
        return _balanced(grid, known, weights)[0]
    except ValueError:
        return None


def _balanced(grid: pd.DataFrame, known: list[str], weights: np.ndarray) -> tuple[Panel, float]:
    """Return the arms, the others weighted to the means of those reached in each draw, and how many they count like."""
    months = np.array(sorted(grid["month"].unique()))
    keys = grid[grid["month"] == months[0]].reset_index(drop=True)
    values = grid[list(SUMS)].to_numpy(float).reshape(len(keys), len(months), len(SUMS))  # months follow one another
    x, __ = balancing.indicators(keys, known)
    n, fold, is_treated = (
        keys["customers"].to_numpy(float),
        keys["fold"].to_numpy(int),
        (keys["arm"] == "treated").to_numpy(),
    )
    shared = x[~is_treated].std(axis=0) > 0
    x = x[:, shared]
    cells, place = np.unique(x[~is_treated], axis=0, return_inverse=True)
    place = place.reshape(-1)
    # customers by fold and cell, then by draw and cell
    by_cell = np.zeros((weights.shape[1], len(cells)))
    np.add.at(by_cell, (fold[~is_treated], place), n[~is_treated])
    mean = np.zeros((weights.shape[1], x.shape[1] + 1))
    np.add.at(mean, fold[is_treated], n[is_treated, None] * np.column_stack([x[is_treated], np.ones(is_treated.sum())]))
    mean = weights @ mean
    slopes = balancing.drawn_balance(cells, weights @ by_cell, mean[:, :-1] / mean[:, -1:])
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
    """Return both arms at the strata of all, so that a chance difference in their mix does not pass for an effect."""
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

    Taking that share off makes the effect of a randomised trial more precise and leaves it unbiased, whatever the
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
    """Return what was done with and without: the others, with what they differed by before and would have kept."""
    post, sides = panel.months >= 0, []
    for column in SUMS:
        without = panel.control[column][:, post]
        if kept.get(column, 0.0):
            without = without + kept[column] * panel.gap(column, -PRE_MONTHS, -1)[:, None]
        sides.append(without)
    return Measured(
        {c: panel.treated[c][:, post] for c in SUMS}, dict(zip(SUMS, sides, strict=True)), customers, base, groups
    )


def _checks(company: Company, measured: Measured, panel: Panel) -> list[Check]:
    """Return what should show nothing: the months before, a date before, leaving not by choice; and the hidden trend."""
    write = lambda v: money(v, company.settings.currency, 2)  # noqa: E731
    tried: list[Placebo] = []
    first = int(panel.months.min())
    if first <= -1:
        e = measured.estimate(panel.gap("net", max(first, -PRE_MONTHS), -1))
        said = f"the groups differed by {interval(e, write)} a month and customer"
        tried.append(Placebo("months before the start", e, said))
    if first <= -2 * PRE_MONTHS:
        e = measured.estimate(panel.gap("net", -PRE_MONTHS, -1) - panel.gap("net", -2 * PRE_MONTHS, -PRE_MONTHS - 1))
        said = f"had it begun {PRE_MONTHS} months earlier, it would seem to bring {interval(e, write)} a month and customer"
        tried.append(Placebo("placebo date", e, said))
    tried += not_by_choice(company, measured)
    found = verdicts(tried, measured.groups)
    names = [c.name for c in found]
    if "months before the start" not in names:
        found.append(
            Check("months before the start", None, "Nothing is on record before the start: keep it next time.")
        )
    if "placebo outcome" not in names:
        found.append(
            Check(
                "placebo outcome",
                None,
                "No leaving is marked as not the customer's choice (involuntary_reasons in company.yaml).",
            )
        )
    return found


def _drift(measured: Measured, panel: Panel) -> Estimate | None:
    """Return by how much a month the arms drifted apart before the start: the slope of their difference."""
    pre = panel.months < 0
    if pre.sum() < PRE_MONTHS:
        return None
    at = panel.months[pre] - panel.months[pre].mean()
    return measured.estimate((panel.treated["net"] - panel.control["net"])[:, pre] @ at / (at @ at))


def _without_one(measured: Measured, parts: dict[str, Panel | None], kept: dict[str, float]) -> Check:
    """Leave one part of the customers out at a time: does the effect keep its sign?"""
    found = {
        name: float(_measure(panel, kept, 1, 1, 2).net[0].sum()) for name, panel in parts.items() if panel is not None
    }
    return without_one(measured, pd.Series(found))


def _evidence(
    company: Company, p: Programme, design: str, known: str, why: str, remedy: str, measured: Measured, panel: Panel,
    checks: list[Check], metric: str, months: int,
) -> Evidence:  # fmt: skip
    rows = draws.estimate_frame(
        pd.DataFrame({"event_time": panel.months}), (panel.treated["net"] - panel.control["net"])[0],
        (panel.treated["net"] - panel.control["net"])[1:], measured.base, groups=int(measured.groups),
    )  # fmt: skip
    return Evidence(
        p, design, known, why, remedy, months, measured.effect, measured.paths, measured.outcomes(company, metric),
        rows.drop(columns="se"), tuple(checks),
    )  # fmt: skip
