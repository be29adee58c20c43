"""06_roi: what did each initiative bring, for what it cost?

Return is the difference of two cash-flow paths of the same customers, with and without the initiative, over the
months observed: what they paid (as margin) less what serving them cost, somebody who has left paying nothing. Each
pound enters once. Whether the difference can be known depends on how customers were chosen, and is said first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date

import ibis
import numpy as np
import pandas as pd
from ibis import _
from pydantic import Field
from scipy import stats

from cxlib import parameters
from cxlib.findings import Figure, Finding, day, interval, leads_to, money, number, percent, table, unanswered
from cxlib.intake import counts, purchases
from cxlib.intake.company import Company
from cxlib.resamples import resamples
from cxlib.stats import draws, effects, finance, intervals
from cxlib.stats.estimate import Estimate
from cxlib.worth import NO_MONEY

PRE_MONTHS = 3


class Parameters(parameters.Parameters):
    """Parameters of 06_roi."""

    window_months: int = Field(12, ge=1, le=60)


@dataclass(frozen=True)
class Result:
    """What is known of one initiative. Without ``effect`` it is not identified, and ``why`` says so.

    ``effect``: money per customer over ``months``; ``staying``: change in the share still here at their end;
    ``customers``: reached or assigned; ``benefit``, ``roi``: money and ratio; ``path``: month, value, low, high of the
    cumulated net return; ``parts``: how the effect adds up; ``checks``: what would have spoken against it.
    """

    initiative: str
    changed: str
    grade: str
    why: str
    months: int = 0
    customers: float = math.nan
    effect: Estimate | None = None
    staying: Estimate | None = None
    cost: float = math.nan
    share: float = 1.0
    path: pd.DataFrame = field(default_factory=pd.DataFrame)
    parts: pd.DataFrame = field(default_factory=pd.DataFrame)
    events: pd.DataFrame = field(default_factory=pd.DataFrame)
    checks: tuple[str, ...] = ()

    @property
    def benefit(self) -> Estimate:
        """Money brought by all customers reached, over the months observed."""
        return _scaled(self.effect, self.customers)

    @property
    def roi(self) -> Estimate:
        """(Benefit - cost) / cost, all of the effect credited to the initiative."""
        b = self.benefit
        ends = (finance.return_on_investment(v, self.cost) for v in (b.value, b.low, b.high))
        return Estimate(*ends, se=b.se / self.cost, n=b.n)

    @property
    def loss_probability(self) -> float:
        """Probability that the cost is not earned back within the months observed, by the error of the effect."""
        return float(stats.norm.cdf((self.cost - self.benefit.value) / self.benefit.se))


def _scaled(e: Estimate, by: float) -> Estimate:
    return Estimate(e.value * by, e.low * by, e.high * by, e.se * by, e.n, e.p)


def _month(day_: date) -> date:
    """Return the first day of the first whole calendar month from a date on."""
    first = pd.Timestamp(day_)
    return (first if first.day == 1 else first + pd.offsets.MonthBegin()).date()


def _months_seen(company: Company, first_month: date) -> int:
    """Count whole calendar months from ``first_month`` to the as-of date."""
    end = pd.Timestamp(company.as_of) + pd.Timedelta(days=1)
    return max((end.year - first_month.year) * 12 + end.month - first_month.month, 0)


def _net(company: Company, grid: pd.DataFrame) -> pd.DataFrame:
    """Add ``earned`` (margin, or revenue where that is the value) and ``net`` (less the cost of serving)."""
    m = company.settings.money
    if m.value_is == "revenue":
        earned = grid["revenue"]
    else:
        earned = grid["margin"] if company.has("orders", "margin") else grid["revenue"] * m.gross_margin
    return grid.assign(earned=earned, net=earned - grid["service"])


def results(company: Company, window_months: int = 12) -> list[Result]:
    """Evaluate every initiative that has run: how it was given decides what can be known of it."""
    if why_not(company):
        return []
    planned = company.frame("initiatives")
    planned = planned[planned["status"].fillna("running") != "planned"]
    exposures = company.frame("exposures") if company.has("exposures") else pd.DataFrame(columns=["initiative_id"])
    found = []
    for row in planned.sort_values("started_on").to_dict("records"):
        mine = exposures[exposures["initiative_id"] == row["initiative_id"]]
        found.append(_evaluate(company, row, mine, window_months))
    return found


def _evaluate(company: Company, row: dict, exposures: pd.DataFrame, window: int) -> Result:
    changed = row["changed"].strip().rstrip(".") if isinstance(row["changed"], str) else f"something ({row['name']})"
    unknown = lambda why: Result(row["name"], changed, "D", why)  # noqa: E731
    costs = [row["cost_upfront"], row["cost_per_month"]]
    if all(pd.isna(c) for c in costs):
        return unknown("not evaluated: its cost is not given, and a return without its cost is none.")
    treated = exposures[exposures["arm"] != "control"] if len(exposures) else exposures
    if not len(treated):
        return unknown("not identified: no customer is recorded as reached by it.")
    if (exposures["arm"] == "control").any():
        return _arms(company, row, changed, exposures, window)
    unit = row["assigned_by"]
    if isinstance(unit, str) and unit in company.customers.columns:
        return _steps(company, row, changed, treated, unit, window)
    start = treated["exposed_on"].min()
    here = counts.people(company).filter((_.started <= start) & (_.left_on.isnull() | (_.left_on > start)))
    base = int(here.count().execute())
    if treated["exposed_on"].nunique() == 1:
        if len(treated) >= 0.95 * base:
            return unknown(
                f"not identified: everyone was reached at once ({len(treated):,} of {base:,} customers on {day(start)}), so its effect "
                "cannot be told from anything else that happened then."
            )
        return unknown(
            "not identified: nothing says how those reached were chosen, so they may have differed anyway. Give the customers held "
            "back as arm 'control', or the column it was rolled out by as assigned_by."
        )
    return unknown(
        "not identified: customers were reached at different times, but those who left before their turn are not recorded as "
        "waiting for it. Name the column it was rolled out by in assigned_by."
    )


def _cost(row: dict, months: int) -> float:
    upfront, monthly = (0.0 if pd.isna(row[k]) else float(row[k]) for k in ("cost_upfront", "cost_per_month"))
    return upfront + monthly * months


def _arms(company: Company, row: dict, changed: str, exposures: pd.DataFrame, window: int) -> Result:
    """Treated against control, in the arm assigned: money per customer, at the same mix of the first segment."""
    origin = _month(exposures["exposed_on"].min())
    months = min(window, _months_seen(company, origin))
    if months < 1:
        return Result(row["name"], changed, "D", "not identified yet: it is less than a whole month old.")
    stratum = (counts.segments(company) or [None])[0]
    who = company.customers.select(
        "customer_id", "fold", stratum=_[stratum].cast("string") if stratum else ibis.literal("all")
    )
    mine = company.exposures.filter(_.initiative_id == row["initiative_id"]).select("customer_id", "arm").distinct()
    assigned = mine.inner_join(who, "customer_id").mutate(stratum=_.stratum.fill_null(counts.NONE))
    grid = _net(company, purchases.margin_by_month(company, assigned, origin, months, ["arm", "stratum", "fold"]))
    grid = grid[grid["month"] >= -PRE_MONTHS]
    sizes = grid[grid["month"] == 0].pivot_table("customers", "stratum", "arm", "sum", fill_value=0)
    if set(sizes) != {"control", "treated"}:
        return Result(row["name"], changed, "D", "not identified: only one arm has customers who can be followed.")
    if sizes.min(axis=None) < company.settings.privacy.minimum_base:
        grid["stratum"] = "all"
    t, c = _per_customer(company, grid)
    span = np.array(sorted(grid["month"].unique()))
    pre, post = span < 0, span >= 0
    size = sizes.sum()
    n = float(size.sum())
    gap = t["net"] - c["net"]
    before = gap[:, pre].mean(1) if pre.any() else np.zeros(len(gap))
    randomised = row["assignment"] == "randomised"
    taken_off = _slope(grid, months) if randomised and pre.any() else 1.0
    monthly = gap[:, post] - taken_off * before[:, None]
    effect = draws.estimate(monthly[0].sum(), monthly[1:].sum(1), n)
    pays = {k: v["earned"][:, post] / v["here"][:, post] for k, v in (("t", t), ("c", c))}
    parts = {
        "stayed longer": ((t["here"] - c["here"])[:, post] * pays["c"]).sum(1),
        "paid more while here": ((pays["t"] - pays["c"]) * t["here"][:, post]).sum(1),
        "cost less to serve": (c["service"] - t["service"])[:, post].sum(1),
        "already there before the start": -months * taken_off * before,
    }
    rows = [{"part": k, "estimate": draws.estimate(v[0], v[1:], n)} for k, v in parts.items()]
    rows.append({"part": "effect per customer", "estimate": effect})
    staying = draws.estimate(*_split((t["here"] - c["here"])[:, -1]), n)
    checks, balanced = [], True
    if pre.any():
        drift = draws.estimate(*_split(before), n)
        balanced = not drift.excludes(0)
        checks.append(
            f"Before the start treated and control differed by {interval(drift, lambda v: money(v, company.settings.currency, 2))} a "
            f"month and customer: {'no more than chance' if balanced else 'more than chance'}; what of it would have lasted is taken off."
        )
    why = (
        f"{'randomised' if randomised else 'compared'}: {size['treated']:,.0f} customers treated, {size['control']:,.0f} held back, "
        "each counted in the arm assigned"
    )
    return Result(
        row["name"], changed, "A" if randomised else "B" if balanced else "D", why, months, float(size["treated"]), effect, staying,
        _cost(row, months), _share(row), _path(company, np.cumsum(monthly * size["treated"], 1), row, months),
        table(rows, ["part"]), pd.DataFrame(), tuple(checks),
    )  # fmt: skip


def _split(values: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the value as observed and its draws."""
    return float(values[0]), values[1:]


def _share(row: dict) -> float:
    return 1.0 if pd.isna(row["attribution_share"]) else float(row["attribution_share"])


def _per_customer(company: Company, grid: pd.DataFrame) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return for treated and control what a customer assigned earned, cost and whether here, at the strata of both.

    Arrays are (1 + draws) x months, row 0 as observed. Strata are weighted by all customers in them, so that a chance
    difference in the mix of the arms does not pass for an effect.
    """
    weights = resamples(company)
    keys, sums = draws.resample(
        grid, "fold", ["customers", "here", "earned", "service", "net"], ["arm", "stratum", "month"], weights
    )
    shape = (len(weights), 2, keys["stratum"].nunique(), keys["month"].nunique(), 5)
    cube = sums.reshape(shape)  # keys are sorted, and every arm and stratum has every month
    mix = cube[..., 0].sum(1, keepdims=True)
    mix = mix / mix.sum(2, keepdims=True)
    each = (cube[..., 1:] / cube[..., :1] * mix[..., None]).sum(2)
    control, treated = (
        dict(zip(("here", "earned", "service", "net"), np.moveaxis(each[:, arm], 2, 0), strict=True)) for arm in (0, 1)
    )
    return treated, control


def _slope(grid: pd.DataFrame, months: int) -> float:
    """Return how much of a difference before the start is expected after it, per month (0-1), within the arms.

    Taking that share off makes the effect of a randomised trial more precise and leaves it unbiased, whatever the
    slope (Deng, Xu, Kohavi & Walker 2013); without randomisation the whole difference comes off. Units: folds of arms.
    """
    each = (
        grid.assign(before=grid["net"].where(grid["month"] < 0, 0.0), after=grid["net"].where(grid["month"] >= 0, 0.0))
        .groupby(["arm", "stratum", "fold", "month"], observed=True)[["customers", "before", "after"]]
        .sum()
        .reset_index()
    )
    each = each.groupby(["arm", "stratum", "fold"], observed=True)
    sums = each.agg(before=("before", "sum"), after=("after", "sum"), customers=("customers", "first")).reset_index()
    w = sums["customers"].to_numpy(float)
    x = sums["before"] / w / max(int(-grid["month"].min()), 1)
    y = sums["after"] / w / months
    cells = [sums["arm"], sums["stratum"]]
    x, y = (
        v - (v * w).groupby(cells).transform("sum") / sums["customers"].groupby(cells).transform("sum") for v in (x, y)
    )
    return float(np.clip((w * x * y).sum() / (w * x * x).sum(), 0, 1)) if (w * x * x).sum() > 0 else 0.0


def _path(company: Company, benefit: np.ndarray, row: dict, months: int) -> pd.DataFrame:
    """Return the cumulated benefit less cost at the end of each month, row 0 of ``benefit`` being as observed."""
    cost = np.array([_cost(row, k + 1) for k in range(months)])
    net = benefit - cost
    rows = [{"month": 0, "estimate": Estimate(-_cost(row, 0), -_cost(row, 0), -_cost(row, 0))}]
    rows += [{"month": k + 1, "estimate": draws.estimate(net[0, k], net[1:, k], 1e9)} for k in range(months)]
    return table(rows, ["month"])


def _steps(company: Company, row: dict, changed: str, treated: pd.DataFrame, unit: str, window: int) -> Result:
    """Roll-out in steps: group-time effects against units not yet reached, for the customers here at the first step."""
    who = counts.people(company).select("customer_id", "started", "left_on", unit=_[unit].cast("string"))
    reached = ibis.memtable(treated[["customer_id", "exposed_on"]])
    waves = reached.inner_join(who, "customer_id").group_by("unit").agg(start=_.exposed_on.min()).execute()
    first_day = waves["start"].min()
    origin = _month(first_day)
    seen = _months_seen(company, origin)
    assigned = who.filter(_.unit.notnull() & (_.started <= first_day) & (_.left_on.isnull() | (_.left_on > first_day)))
    grid = _net(
        company, purchases.margin_by_month(company, assigned.select("customer_id", "unit"), origin, seen, ["unit"])
    )
    zero = origin.year * 12 + origin.month  # calendar months as whole numbers, so that "never" can be missing
    starts = {u: _month(d).year * 12 + _month(d).month for u, d in zip(waves["unit"], waves["start"], strict=True)}
    panel = grid[grid["month"] >= -2 * PRE_MONTHS].assign(
        period=lambda d: d["month"] + zero,
        first=lambda d: d["unit"].map(starts),
        value=lambda d: d["net"] / d["customers"],
        here_share=lambda d: d["here"] / d["customers"],
    )
    panel["customers"] = panel["customers"].astype(float)
    common = {"unit": "unit", "period": "period", "first_treated": "first", "weights": "customers", "cluster": "unit"}
    try:
        gained = effects.group_time_effects(panel, "value", **common)
        stayed = effects.group_time_effects(panel, "here_share", **common)
    except ValueError as error:
        return Result(row["name"], changed, "D", str(error))
    events = gained.by_event_time()
    groups = sorted(set(starts.values()))
    last = zero + seen - 1
    compared = gained.table.groupby("group", observed=True)["period"].max()
    months = int(min(window, min(min(last, compared.get(g, g - 1)) - g + 1 for g in groups)))
    if months < 1:
        return Result(row["name"], changed, "D", "not identified yet: the last step is less than a whole month old.")
    effect = gained.cumulative(months)
    staying_at = stayed.by_event_time().set_index("event_time").loc[months - 1]
    customers = float(panel.loc[panel["first"].notna() & (panel["month"] == 0), "customers"].sum())
    staying = Estimate(*(float(staying_at[k]) for k in ("value", "low", "high", "se", "n")))
    pre = events[events["event_time"] < 0]
    p = 2 * stats.t.sf((pre["value"] / pre["se"]).abs(), max(effect.clusters - 1, 1))
    moved = int(intervals.benjamini_hochberg(p).sum()) if len(pre) else 0
    checks = [
        f"In {len(pre)} months before the start {moved or 'none'} showed a difference beyond chance between those about to be "
        "reached and those not yet (a check that cannot prove the groups alike)."
    ]
    checks += [effect.caution] if effect.caution else []
    units = panel.loc[panel["month"] == 0, ["unit", "first"]]
    why = (
        f"rolled out in {len(groups)} steps by {unit}: {int(units['first'].notna().sum())} units reached are compared with "
        f"{int(units['first'].isna().sum())} never and those not yet reached, all {customers:,.0f} customers here at the first step "
        "counted, also those who left before their turn"
    )
    # The programme runs from its first step until the last step's months are over, and all of that is paid.
    running = months + (groups[-1] - groups[0])
    rows = []
    for k in range(1, months + 1):
        e = _scaled(gained.cumulative(k), customers)
        cost = _cost(row, round(running * k / months))
        rows.append({"month": k, "estimate": Estimate(e.value - cost, e.low - cost, e.high - cost, e.se, e.n)})
    rows.insert(0, {"month": 0, "estimate": Estimate(*[-_cost(row, 0)] * 3)})
    return Result(
        row["name"], changed, "D" if moved else "B", why, months, customers, effect, staying, _cost(row, running), _share(row),
        table(rows, ["month"]), pd.DataFrame(), events, tuple(checks),
    )  # fmt: skip


def statement(company: Company, r: Result) -> str:
    """Return the outcome statement: we changed X, giving Y change in Z, with its interval."""
    if r.effect is None:
        return f"{r.initiative}: {r.why}"
    write = lambda v: money(v, company.settings.currency, 2)  # noqa: E731
    points = interval(r.staying, lambda v: number(100 * v), short=True)
    if r.effect.excludes(0):
        joint = ", which" if r.grade in "AB" else "; this"
        return (
            f"We changed {r.changed}{joint} {leads_to(r.grade)} {interval(r.effect, write)} more margin per customer over {r.months} "
            f"months and {points} percentage points more customers still here after them."
        )
    return (
        f"We changed {r.changed}: no effect on money that could be told from chance, {interval(r.effect, write)} per customer over "
        f"{r.months} months; customers still here after them: {points} percentage points more."
    )


def finding(company: Company, r: Result) -> Finding:
    """Return one initiative's finding: the outcome statement and return, its figures, the path of the money as table."""
    name = _slug(r)
    if r.effect is None:
        return Finding(name, r.initiative, statement(company, r), "D", answered=False)
    currency, write = company.settings.currency, (lambda v: money(v, company.settings.currency))
    back = r.path.loc[(r.path["value"] >= 0) & (r.path["month"] > 0), "month"]
    text = (
        f"{statement(company, r)} That is a return of {interval(r.roi, lambda v: number(v, 2), short=True)} per {currency} spent, cost "
        "taken off."
    )
    total = f"All {r.customers:,.0f} customers together: {interval(r.benefit, write)} against a cost of {write(r.cost)}"
    if r.effect.excludes(0):
        total += f", back after {back.iloc[0]} months" if len(back) else f", not back within {r.months} months"
    total += (
        f"; the probability that it is not earned back within {r.months} months is {percent(r.loss_probability, 0)}."
    )
    figures = (
        Figure(
            f"{name}-effect",
            f"{r.initiative}: effect per customer, {r.months} months",
            r.effect,
            f"{currency} per customer",
        ),
        Figure(f"{name}-staying", f"{r.initiative}: change in the share still here", r.staying, "share"),
        Figure(f"{name}-roi", f"{r.initiative}: (benefit - cost) / cost", r.roi, "ratio"),
    )
    how = f"{r.why[0].upper()}{r.why[1:]}."
    caveats = (
        how,
        total,
        *r.checks,
        "Nothing is extrapolated: only months observed count, and all programme cost in them.",
    )
    return Finding(name, f"{r.initiative}: cumulated benefit less cost", text, r.grade, r.path, figures, caveats)


def adding_up(company: Company, r: Result) -> Finding:
    """Return how the effect of an initiative adds up: each part once, their sum the effect."""
    name, title = f"{_slug(r)}-parts", f"{r.initiative}: how the effect per customer adds up"
    if not len(r.parts):
        return unanswered(name, title, f"{r.initiative} is known as a whole only.")
    write = lambda v: money(v, company.settings.currency, 2)  # noqa: E731
    text = "; ".join(f"{part['part']} {write(part['value'])}" for part in r.parts.to_dict("records"))
    return Finding(name, title, f"Per customer and {r.months} months: {text}.", r.grade, r.parts)


def over_time(company: Company, r: Result) -> Finding:
    """Return the monthly effect of a stepped roll-out by months since its start, the months before as the check."""
    name, title = f"{_slug(r)}-months", f"{r.initiative}: effect per customer and month, by months since the start"
    if not len(r.events):
        return unanswered(name, title, f"{r.initiative} did not start in steps.")
    return Finding(name, title, " ".join(r.checks), r.grade, r.events)


def _slug(r: Result) -> str:
    return "initiative-" + "".join(ch if ch.isalnum() else "-" for ch in r.initiative.lower()).strip("-")


def summary(company: Company, found: list[Result]) -> Finding:
    """Answer: what did we get back for what we spent, initiative by initiative?"""
    name, title = "returns", "Return per unit of money spent, (benefit - cost) / cost"
    if why := why_not(company):
        return unanswered(name, title, why)
    known = [r for r in found if r.effect is not None]
    if not known:
        return unanswered(name, title, "; ".join(statement(company, r) for r in found) or "no initiative has run.")
    rows = []
    for r in known:
        for credited, share in (("none", 0.0), ("stated", r.share), ("all", 1.0)):
            if credited == "stated" and share == 1.0:
                continue
            b = _scaled(r.benefit, share)
            ends = [finance.return_on_investment(v, r.cost) for v in (b.value, b.low, b.high)]
            rows.append(
                {"initiative": r.initiative, "credited": f"{credited} ({percent(share, 0)})", "estimate": Estimate(*ends, n=r.customers),
                 "grade": r.grade, "benefit": b.value, "cost": r.cost}
            )  # fmt: skip
    write = lambda v: number(v, 2)  # noqa: E731
    text = f"Returned per {company.settings.currency} spent, cost taken off: " + "; ".join(
        f"{r.initiative} {interval(r.roi, write, short=i > 0)}" for i, r in enumerate(known)
    )
    rest = [r.initiative for r in found if r.effect is None]
    text += f"; {' and '.join(rest)} cannot be told" if rest else ""
    caveats = (
        "Credited is the share of the effect put down to the initiative: an input, shown at none, as stated and at all. The effects "
        "of several initiatives on the same customers are not added up.",
    )
    grade = max(r.grade for r in known)
    return Finding(name, title, text + ".", grade, table(rows, ["initiative", "credited"]), caveats=caveats)


def why_not(company: Company) -> str | None:
    """Return why no return can be computed at all, or None."""
    if company.settings.money is None:
        return NO_MONEY
    for needed in ("initiatives", "orders"):
        if missing := counts.require(company, needed):
            return f"{missing}."
    return None
