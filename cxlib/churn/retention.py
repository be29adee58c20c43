"""03_churn: how many leave and join, period by period and cohort by cohort.

Who stays how long and why they leave is in ``tenure``, renewals and buying again are in ``renewals``.
"""

from __future__ import annotations

import math
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from cxlib.counts import customer_base, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, day, interval, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.stats import draws, intervals, survival
from cxlib.stats.estimate import Estimate

A_YEAR = {"week": 365.25 / 7, "month": 12, "quarter": 4, "year": 1}
LEFT, CHOSEN, FEES = "all leavers", "by choice", "fees of leavers"


def _ratio(above: np.ndarray, below: np.ndarray, n: float, low: float | None = None) -> Estimate:
    """Estimate a ratio of sums from their draws, the first being as observed."""
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = above / below
    return draws.estimate(drawn[0], drawn[1:], n, low=low, high=1 if low == 0 else None)


# ---- periods ---------------------------------------------------------------------------------------------------------


def rates(company: Company, period: str = "quarter", periods: int = 12) -> Finding:
    """Answer: how many leave? Churn by period: lost of those here at its start, newly joined not counted.

    Retention is one minus it, on the same base. Wilson intervals (a customer counts once a period); fees and net of new
    customers from the fold draws. Errors: InputError for a period that is none.
    """
    customer_base.known(period)
    name, title = "rates", f"Customers lost per {period}, of those here at its start"
    if why := why_not(company):
        return unanswered(name, title, why)
    counted, hidden = _periods(company, period, periods)
    if counted.empty:
        return unanswered(name, title, f"no {period} began with enough customers.")
    priced, involuntary = "fee_here" in counted, company.settings.involuntary_reasons
    columns = [c for c in counted if c not in ("period", "fold")]
    keys, drawn = draws.resample(counted, "fold", columns, ["period"], resamples(company))
    rows = []
    for i, first in enumerate(keys["period"]):
        d = {c: drawn[:, i, j] for j, c in enumerate(columns)}
        one = {c: round(v[0]) for c, v in d.items()}
        n = one["here"]
        flows = {"lost": one["lost"], "joined": one["joined"]}
        gained = d["joined"] - (d["gone"] - d["lost"])
        measures = [(LEFT, intervals.share(one["lost"], n), _ratio(d["lost"] - gained, d["here"], n))]
        if involuntary:
            measures.append((CHOSEN, intervals.share(one["chosen"], n), None))
        if priced and d["fee_here"][0] > 0:
            net = _ratio(d["fee_lost"] - d["fee_gained"], d["fee_here"], n)
            measures.append((FEES, _ratio(d["fee_lost"], d["fee_here"], n, low=0), net))
        for measure, e, net in measures:
            row = {"period": first, "measure": measure, "estimate": e, "retention": 1 - e.value, **flows}
            row |= {"net": net.value, "net_low": net.low, "net_high": net.high} if net else {}
            rows.append(row)
    shown = table(rows, ["period", "measure"])
    last = {r["measure"]: r for r in rows if r["period"] == rows[-1]["period"]}
    e, here = last[LEFT]["estimate"], last[LEFT]
    yearly = Estimate(*(1 - (1 - v) ** A_YEAR[period] for v in (e.value, e.low, e.high)), n=e.n)
    text = (
        f"In the {period} from {day(here['period'])}, {here['lost']:,} of {e.n:,.0f} customers left: {interval(e, percent)}, so "
        f"{percent(1 - e.value)} stayed."
    )
    figures = [
        Figure(f"churn-{period}", f"Customers lost in the last whole {period}", e, "share of those at its start")
    ]
    if period != "year":
        text += f" Kept up for a year that would be {interval(yearly, percent)}."
        figures.append(Figure("churn-year", "The same kept up for a year", yearly, "share of those at its start"))
    if CHOSEN in last:
        chosen = last[CHOSEN]["estimate"]
        text += f" {interval(chosen, percent)} left by choice."
        figures.append(Figure(f"churn-{period}-by-choice", f"Lost by choice in the last whole {period}", chosen,
                              "share of those at its start"))  # fmt: skip
    net = Estimate(here["net"], here["net_low"], here["net_high"], n=e.n)
    text += f" With the {here['joined']:,} who joined, the base {_grew(net)}."
    if FEES in last:
        fees = last[FEES]["estimate"]
        text += f" Leavers took {interval(fees, percent)} of the monthly fees with them."
        figures.append(
            Figure(f"churn-{period}-fees", f"Monthly fees of those lost in the last whole {period}", fees, "share of the fees of "
                   "those at its start", note="" if math.isfinite(fees.low) else "nobody with a fee left")
        )  # fmt: skip
    caveats = [
        f"Base: customers here at the start of the {period}. Who joined in it is not counted, even if gone again by its end "
        f"({int(counted.loc[counted['period'] == here['period'], ['gone', 'lost']].sum() @ [1, -1]):,} in the last one).",
        "A year is 1 − (1 − r) to the power of the periods in it, never r times their number. The rate usually falls with age, so it "
        "holds for the present mix of old and new customers only.",
    ]  # fmt: skip
    if FEES in last:
        unpriced = int(counted.loc[counted["period"] == here["period"], "unpriced"].sum())
        caveats.append(
            "Fees are those exported, not as of then: what customers who stayed came to pay more or less is not in them."
            + (f" {unpriced:,} customers without a fee count as 0." if unpriced else "")
        )
    return Finding(name, title, text, "D", shown, tuple(figures), (*caveats, *hidden, *about_dates(company)))


def _periods(company: Company, period: str, periods: int, by: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Return the counts of the periods that can be shown, and what is said of the others."""
    starts, since = customer_base.whole_periods(company, period, periods), company.settings.leavers_since
    counted = customer_base.by_period(company, starts, [by] if by else [])
    here = counted.groupby("period")["here"].transform("sum")
    early = counted["period"] < pd.Timestamp(since or starts[0])
    small = ~early & (here < company.settings.privacy.minimum_base)
    said = []
    for which, why in ((early, "began before the exports know who left"), (small, "began with too few customers")):
        if hidden := counted.loc[which, "period"].nunique():
            said.append(f"Not shown: {hidden} {period}{'s' * (hidden > 1)} that {why}.")
    return counted[~early & ~small], said


def _grew(loss: Estimate) -> str:
    """Say a net loss (share of the base) as growth or shrinking."""
    growth = Estimate(-loss.value, -loss.high, -loss.low, n=loss.n)
    word = "grew by" if growth.value >= 0 else "changed by"
    return f"{word} {interval(growth, percent)}"


def growth(company: Company, by: str = "", quarters: int = 8) -> Finding:
    """Answer: how many customers are won and lost, and which segments grow? New, lost and net by quarter and level.

    value: net (joined less all who left) of those here at the start, from the fold draws. Without contracts: new customers
    only, against the year before.
    """
    name, title = "growth", "New customers, and what is left of them net of those lost"
    by = customer_base.level_of(company, by)
    if company.settings.relationship != "contractual":
        return _new_customers(company, name, by, quarters)
    if why := why_not(company):
        return unanswered(name, title, why)
    counted, hidden = _periods(company, "quarter", quarters, by)
    if counted.empty:
        return unanswered(name, title, "no quarter began with enough customers.")
    least, starts = company.settings.privacy.minimum_base, sorted(counted["period"].unique())[-4:]
    weights, rows, year, hidden_cells = resamples(company), [], {}, 0
    for level, part in [("all", counted), *(counted.groupby(by, observed=True) if by else [])]:
        keys, drawn = draws.resample(part, "fold", ["here", "joined", "gone"], ["period"], weights)
        for i, first in enumerate(keys["period"]):
            here, joined, gone = drawn[:, i].T
            if here[0] < least:
                hidden_cells += 1
                continue
            row = {"level": level, "period": first, "estimate": _ratio(joined - gone, here, here[0])}
            rows.append(row | {"new": int(joined[0]), "lost": int(gone[0]), "net": int(joined[0] - gone[0])})
        drawn = drawn[:, keys["period"].isin(starts)]
        here, joined, gone = drawn[:, 0, 0], drawn[..., 1].sum(axis=1), drawn[..., 2].sum(axis=1)
        if here[0] >= least:
            year[level] = (_ratio(joined - gone, here, here[0]), int(joined[0]), int(gone[0]))
    e, new, lost = year.pop("all")
    span = f"the {len(starts)} quarter{'s' * (len(starts) > 1)} from {day(starts[0])}"
    text = f"In {span}, {new:,} customers joined and {lost:,} left: {number(new - lost, 0)} net, or {interval(e, percent)} of {e.n:,.0f}."
    figures = [
        Figure("new-customers", f"New customers in {span}", _poisson(new), "customers"),
        Figure("net-growth", f"Net growth in {span}", e, "share of those at the start"),
    ]
    if len(year) > 1:
        fast, slow = max(year, key=lambda k: year[k][0].value), min(year, key=lambda k: year[k][0].value)
        most, least_of_all = (interval(year[k][0], percent) for k in (fast, slow))
        text += f" By {by}, {fast} grew most, {most}, and {slow} least, {least_of_all}."
    figures += [
        Figure(slug("net-growth", k), f"Net growth of {k}", v[0], "share of those at the start")
        for k, v in year.items()
    ]
    caveats = [
        "All who left count, those who joined in the same quarter too. Counts are complete; an interval says what chance "
        "alone makes of as many customers."
    ]
    if hidden_cells:
        caveats.append(
            f"Not shown: {hidden_cells} quarters of levels of {by} that began with fewer than {least} customers."
        )
    shown = table(rows, ["level", "period"])
    return Finding(name, title, text, "D", shown, tuple(figures), (*caveats, *hidden, *about_dates(company)))


def growth_axis(company: Company) -> dict[str, object]:
    """Return how the chart of ``growth`` is scaled and named: a share, or without contracts a number."""
    if company.settings.relationship != "contractual":
        return {"scale": 1, "y_label": "new customers in the quarter"}
    return {"scale": 100, "y_label": "net growth in the quarter (%)"}


def _new_customers(company: Company, name: str, by: str, quarters: int) -> Finding:
    """Count new customers of a company without contracts: first orders, the last year against the year before."""
    title = "New customers by quarter"
    missing = None if company.has("customers", "joined_on") else people.require(company, "orders")
    if missing:
        return unanswered(name, title, f"{missing}, and no joining date.")
    counted = customer_base.by_period(
        company, customer_base.whole_periods(company, "quarter", max(quarters, 8)), [by] if by else []
    )
    least, rows, changes, hidden = company.settings.privacy.minimum_base, [], {}, 0
    starts = sorted(counted["period"].unique())
    for level, part in [("all", counted), *(counted.groupby(by, observed=True) if by else [])]:
        new = part.groupby("period")["joined"].sum()
        before, last = int(new.loc[starts[-8:-4]].sum()), int(new.loc[starts[-4:]].sum())
        shown = new.iloc[-quarters:]
        hidden += int((shown < least).sum())
        rows += [
            {"level": level, "period": p, "estimate": _poisson(n), "new": int(n)}
            for p, n in shown[shown >= least].items()
        ]
        if level == "all" and last < least:
            return unanswered(name, title, f"fewer than {least} customers joined in the last four quarters.")
        if level == "all":
            text = f"{last:,} new customers in the four quarters from {day(starts[-4])}, {before:,} in the four before"
            figures = [Figure("new-customers", "New customers in the last four quarters", _poisson(last), "customers")]
        if min(before, last) >= least:
            changes[level] = _change(before, last)
    text += f": a change of {interval(changes['all'], percent)}." if "all" in changes else "."
    figures += [
        Figure(
            slug("new-customers-change", k),
            f"New customers against the year before: {k}",
            e,
            "share of the year before",
        )
        for k, e in changes.items()
    ]
    caveats = [
        "New is the first order in the exports; who had bought before they begin looks new. Whom the company lost is not "
        "seen without contracts. Intervals are what chance alone makes of such numbers (Poisson)."
    ]
    if hidden:
        caveats.append(
            f"Not shown: {hidden} quarters{f' of levels of {by}' if by else ''} with fewer than {least} new customers."
        )
    return Finding(name, title, text, "D", table(rows, ["level", "period"]), tuple(figures), tuple(caveats))


def _change(before: float, last: float) -> Estimate:
    """Estimate the relative change of two numbers of events: given their sum, one is binomial (Przyborowski & Wilenski 1940)."""
    e = intervals.share(last, before + last)
    return Estimate(*(p / (1 - p) - 1 for p in (e.value, e.low, e.high)), n=e.n)


def _poisson(n: float) -> Estimate:
    """Estimate a number of customers, exact interval (Garwood 1936)."""
    low = stats.chi2.ppf(0.025, 2 * n) / 2 if n else 0.0
    return Estimate(float(n), float(low), float(stats.chi2.ppf(0.975, 2 * n + 2) / 2), math.sqrt(n), float(n))


# ---- cohorts ---------------------------------------------------------------------------------------------------------


def _cohorts(company: Company, every: str, ages: list[int]) -> tuple[pd.DataFrame, list[str]]:
    """Return the counts of the cohorts that can be shown (small ones marked), and what is said of the others."""
    counted = customer_base.cohorts(company, every, ages)
    since, least = company.settings.leavers_since, company.settings.privacy.minimum_base
    early = counted["cohort"] < pd.Timestamp(since or "1900-01-01")
    said = []
    if hidden := counted.loc[early, "cohort"].nunique():
        said.append(f"Not shown: {hidden} cohorts that joined before {day(since)}, as their early leavers are missing.")
    counted = counted[~early].assign(small=counted["joined"] < least)
    if blank := counted.loc[counted["small"], "cohort"].nunique():
        said.append(f"Left blank: {blank} cohorts of fewer than {least} customers.")
    return counted, said


def _cell(stayed: float, joined: float, small: bool) -> Estimate:
    return Estimate(math.nan, math.nan, math.nan) if small else intervals.share(stayed, joined)


def cohorts(company: Company, every: str = "quarter", most: int = 20) -> Finding:
    """Answer: do newer customers stay longer? Share still here by joining cohort and age, each followed equally long.

    A cell is there only where the whole cohort was followed to that age (Pocock, Clayton & Altman 2002, Lancet 359:1686).
    ``most``: so many of the newest cohorts.
    """
    customer_base.known(every)
    name, title = "cohorts", f"Share still customers, by {every} of joining"
    if why := why_not(company):
        return unanswered(name, title, why)
    months = [3, *range(6, 121, 6)]
    days = {int(m * DAYS_A_MONTH): m for m in months}
    counted, said = _cohorts(company, every, list(days))
    counted = counted[counted["cohort"].isin(sorted(counted["cohort"].unique())[-most:])]
    sound = counted[~counted["small"]]
    if sound.empty:
        return unanswered(name, title, "no cohort is large enough and has been followed for three months.")
    rows = [
        {"cohort": r.cohort, "months": days[r.days], "estimate": _cell(r.stayed, r.joined, r.small)}
        for r in counted.itertuples()
    ]
    text, figures = "", []
    for age in sorted({3, 12} & {days[d] for d in sound["days"]}, reverse=True):
        here = sound[sound["days"] == int(age * DAYS_A_MONTH)]
        old, new = here.iloc[0], here.iloc[-1]
        e = intervals.share(new["stayed"], new["joined"])
        first, last = (f"{every} from {d['cohort']:%B %Y}" for d in (old, new))
        text += f"Of those who joined in the {last}, {interval(e, percent)} were still here after {age} months"
        figures.append(
            Figure(
                f"cohort-{age}-months",
                f"Still here after {age} months, joined in the {last}",
                e,
                "share of those who joined",
            )
        )
        if len(here) > 1:
            gap = intervals.share_difference(new["stayed"], new["joined"], old["stayed"], old["joined"])
            before = percent(old["stayed"] / old["joined"])
            word = "" if gap.excludes(0) else "; no detectable difference"
            text += f", against {before} in the {first}: {points(gap)}{word}"
            figures.append(
                Figure(
                    f"cohort-gap-{age}-months", f"The newest against the oldest cohort after {age} months", gap, "share"
                )
            )
        text += ". "
    caveats = (
        "Each cell is a share of the whole cohort, and only there if even its last customer was followed for so long.",
    )
    return Finding(
        name,
        title,
        text.strip(),
        "D",
        table(rows, ["cohort", "months"]),
        tuple(figures),
        (*caveats, *said, *about_dates(company)),
    )


def early(company: Company, days: int = 90, quarters: int = 12) -> Finding:
    """Answer: how many new customers are still here after ``days``? By quarter of joining, all followed that long."""
    name, title = "early-retention", f"Share of new customers still here {days} days after joining"
    if why := why_not(company):
        return unanswered(name, title, why)
    counted, said = _cohorts(company, "quarter", [days])
    counted = counted.iloc[-quarters:]
    recent, before = counted.iloc[-4:], counted.iloc[-8:-4]
    least = company.settings.privacy.minimum_base
    if recent["joined"].sum() < least:
        return unanswered(name, title, f"fewer than {least} new customers have been followed for {days} days.")
    rows = [{"period": r.cohort, "estimate": _cell(r.stayed, r.joined, r.small)} for r in counted.itertuples()]
    e = intervals.share(recent["stayed"].sum(), recent["joined"].sum())
    text = (
        f"Of {e.n:,.0f} customers who joined from {day(recent['cohort'].iloc[0])} and have been followed for {days} days, "
        f"{interval(e, percent)} were still here after them."
    )
    figures = [Figure("early-retention", f"New customers still here after {days} days", e, "share of those who joined")]
    if len(before) == 4 and before["joined"].sum() >= least:
        gap = intervals.share_difference(recent["stayed"].sum(), e.n, before["stayed"].sum(), before["joined"].sum())
        text += (
            " Against the year before: " + ("" if gap.excludes(0) else "no detectable difference, ") + points(gap) + "."
        )
        figures.append(Figure("early-retention-change", "Change of it against the year before", gap, "share"))
    caveats = ("Only quarters of which even the last to join was followed for so long.", *said, *about_dates(company))
    return Finding(name, title, text, "D", table(rows, ["period"]), tuple(figures), caveats)
