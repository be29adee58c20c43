"""03_churn: how many leave and join, period by period and cohort by cohort.

Who stays how long and why they leave is in ``tenure``, renewals and buying again are in ``renewals``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
from scipy import stats

from cxlib.counts import answers, customer_base, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.dates import about_dates
from cxlib.page.findings import Answer, Figure, Finding, answer, finding, slug, table
from cxlib.page.resamples import resamples
from cxlib.stats import draws, intervals
from cxlib.stats.estimate import UNKNOWN, Estimate

A_YEAR = {"week": 365.25 / 7, "month": 12, "quarter": 4, "year": 1}
AS_GOOD_AS_WHOLE = pd.Timedelta(days=7)  # of a quarter that may be missing at its start
GRACE = (15, 30, 60)  # days after the usual term without a payment, from which somebody counts as gone
LEFT, CHOSEN, FEES = "all leavers", "by choice", "fees of leavers"


def _ratio(above: np.ndarray, below: np.ndarray, n: float, low: float | None = None) -> Estimate:
    """Estimate a ratio of sums from their draws, the first being as observed."""
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = above / below
    return draws.estimate(drawn[0], drawn[1:], n, low=low, high=1 if low == 0 else None)


def _share(company: Company, counted: pd.DataFrame, part: str, whole: str) -> Estimate:
    """Estimate a share of customers from counts by fold: Wilson's interval.

    Where customers of one unit are not independent (``fold_by``), with the effective number of customers: theirs over
    the design effect between folds, at least 1 (Kish 1965).
    """
    k, n = float(counted[part].sum()), float(counted[whole].sum())
    e = intervals.share(k, n)
    if company.settings.fold_by is None or not 0 < k < n:
        return e
    drawn = [draws.summed(resamples(company), counted["fold"], counted[c]) for c in (part, whole)]
    effect = max(1.0, _ratio(*drawn, n).se ** 2 / (e.value * (1 - e.value) / n))
    return replace(intervals.share(k / effect, n / effect), n=n)


def _turned(e: Estimate) -> Estimate:
    """Return a loss as growth."""
    return Estimate(-e.value, -e.high, -e.low, n=e.n)


# ---- a snapshot ------------------------------------------------------------------------------------------------------


def snapshot(company: Company) -> bool:
    """Tell whether customers are only marked as having left, or not, without dates."""
    return company.has("customers", "left") and not company.has("customers", "left_on")


@finding("left")
def left(company: Company) -> Answer:
    """Answer: how many of all customers in the export have left? For a snapshot; Wilson interval."""
    counted = company.customers.left.value_counts(name="n").execute().set_index("left")["n"]
    n = int(counted.sum())
    if n < company.settings.privacy.minimum_base:
        raise Unanswered("small-export")
    e = intervals.share(int(counted.get(True, 0)), n)
    figure = Figure("left", words.say(__file__, "left", "label"), e, "share of customers")
    return answer("count", None, [figure], share=e, left=int(counted.get(True, 0)), customers=n)


@finding("left-by-score")
def left_by_score(company: Company, metric: str = "") -> Answer:
    """Answer: have more left of those with a bad score? Share left by score group of the last answer, as observed."""
    metric = answers.choose(company, metric)
    answers.require_answers(company, metric)
    counted, rows = answers.score_counts(company, metric, by=["left"], latest_only=True), []
    gone = counted["left"].str.lower().isin(["true", "1"])
    for band in answers.bands(company, metric):
        own = counted["score"].between(band.low, band.high)
        n = counted.loc[own, "n"].sum()
        if n >= company.settings.privacy.minimum_base:
            rows.append({"band": band.name, "estimate": intervals.share(counted.loc[own & gone, "n"].sum(), n)})
    if len(rows) < 2:
        raise Unanswered("few-with-a-score")
    worst, best = rows[0], rows[-1]
    gap = intervals.difference(worst["estimate"], best["estimate"])
    label = words.say(__file__, "left-by-score", "label", worst=worst["band"], best=best["band"])
    return answer(
        "observed", table(rows, ["band"]), [Figure(f"{metric}-left-gap", label, gap, "share difference", "answers")],
        worst=worst["band"], best=best["band"], of_worst=worst["estimate"], of_best=best["estimate"], gap=gap,
        metric=metric.upper(), detected=gap.excludes(0), answers=sum(r["estimate"].n for r in rows),
    )  # fmt: skip


# ---- periods ---------------------------------------------------------------------------------------------------------


@finding("rates")
def rates(company: Company, period: str = "quarter", periods: int = 12) -> Answer:
    """Answer: how many leave? Churn by period: lost of those here at its start, newly joined not counted.

    Retention is one minus it, on the same base. Wilson intervals (a customer counts once a period); fees, and losses
    net of new customers, from the fold draws. A year is 1 - (1 - r) to the power of the periods in it. Errors:
    InputError for an unknown period.
    """
    customer_base.known(period)
    customer_base.require_leavers(company)
    counted, hidden = _periods(company, period, periods)
    priced, involuntary = "fee_here" in counted, company.settings.involuntary_reasons
    columns = [c for c in counted if c not in ("period", "fold")]
    keys, drawn = draws.resample(counted, "fold", columns, ["period"], resamples(company))
    rows = []
    for i, first in enumerate(keys["period"]):
        d = {c: drawn[:, i, j] for j, c in enumerate(columns)}
        one = {c: round(v[0]) for c, v in d.items()}
        n, gained = one["here"], d["joined"] - (d["gone"] - d["lost"])
        mine = counted[counted["period"] == first]
        measures = [(LEFT, _share(company, mine, "lost", "here"), _ratio(d["lost"] - gained, d["here"], n))]
        if involuntary:
            measures.append((CHOSEN, _share(company, mine, "chosen", "here"), None))
        if priced and d["fee_here"][0] > 0:
            net = _ratio(d["fee_lost"] - d["fee_gained"], d["fee_here"], n)
            measures.append((FEES, _ratio(d["fee_lost"], d["fee_here"], n, low=0), net))
        for measure, e, net in measures:
            row = {"period": first, "measure": measure, "estimate": e, "retention": 1 - e.value}
            row |= {"lost": one["lost"], "joined": one["joined"]}
            row |= {"net": net.value, "net_low": net.low, "net_high": net.high} if net else {}
            rows.append(row)
    last = {r["measure"]: r for r in rows if r["period"] == rows[-1]["period"]}
    now, churn = last[LEFT], last[LEFT]["estimate"]
    yearly = Estimate(*(1 - (1 - v) ** A_YEAR[period] for v in (churn.value, churn.low, churn.high)), n=churn.n)
    chosen, fees = (last[m]["estimate"] if m in last else None for m in (CHOSEN, FEES))
    base, label = "share of those at its start", {"period": period}
    figures = [Figure(f"churn-{period}", words.say(__file__, "rates", "lost", **label), churn, base)]
    if period != "year":
        figures.append(Figure("churn-year", words.say(__file__, "rates", "yearly"), yearly, base))
    if chosen:
        figures.append(
            Figure(f"churn-{period}-by-choice", words.say(__file__, "rates", "chosen", **label), chosen, base)
        )
    if fees:
        note = "" if math.isfinite(fees.low) else "nobody with a fee left"
        said = words.say(__file__, "rates", "fees", **label)
        figures.append(Figure(f"churn-{period}-fees", said, fees, "share of fees at its start", note=note))
    of_last = counted[counted["period"] == now["period"]]
    return answer(
        "count", table(rows, ["period", "measure"]), figures,
        period=period, start=now["period"], churn=churn, customers=churn.n, lost=now["lost"], joined=now["joined"],
        stayed=1 - churn.value, yearly=yearly if period != "year" else None, chosen=chosen,
        growth=_turned(Estimate(now["net"], now["net_low"], now["net_high"], n=churn.n)),
        fee_share=fees, unpriced=int(of_last["unpriced"].sum()) if fees else 0,
        passing=int(of_last["gone"].sum() - of_last["lost"].sum()), dates=about_dates(company), **hidden,
    )  # fmt: skip


@finding("definitions")
def definitions(company: Company) -> Answer:
    """Answer: how many left in a year by other definitions of churn?

    The day of leaving (with contracts), and no purchase or payment for so many days: GRACE more than the usual term, or
    half, once and twice ``inactive_after_days``. Each is counted at both ends of the year.
    """
    people.require(company, "orders")
    if company.settings.relationship == "contractual":
        customer_base.require_leavers(company)
        people.require(company, "orders", "kind")
        paid = customer_base.payment_gaps(company)
        if paid["n"].sum() < company.settings.privacy.minimum_base:
            raise Unanswered("no-second-definition")
        term, own = customer_base.usual(paid.set_index("gap")["n"]), 0
        rules = [term + days for days in GRACE]
    else:
        own = company.settings.inactive_after_days
        rules = [own // 2, own, 2 * own]
    since, weights = company.as_of - timedelta(days=365), resamples(company)
    first = customer_base.first_orders(company)[0]
    rules = [r for r in rules if since - timedelta(days=r) >= first]
    counted = customer_base.gone_by_rule(company, rules, since)
    found = {}
    for rule, part in counted.groupby("rule"):
        if part["n"].sum() >= company.settings.privacy.minimum_base:
            gone, n = (draws.summed(weights, part["fold"], part[c]) for c in ("gone", "n"))
            found[rule] = _ratio(gone, n, float(part["n"].sum()), low=0)
    if len(found) < 2 or own not in found:
        raise Unanswered("no-second-definition")
    said = {r: words.say(__file__, "definitions", "rule", days=r, leaving=not own) for r in found}
    rows = [{"rule": said[r], "estimate": e} for r, e in found.items()]
    ends = sorted(found.values(), key=lambda e: e.value)
    figures = [Figure(slug("churn", r), said[r], e, "share of those here a year before") for r, e in found.items()]
    return answer(
        "count", table(rows, ["rule"]), figures, counted,
        own=said[own], share=found[own], lowest=ends[0].value, highest=ends[-1].value, since=since,
    )  # fmt: skip


def _periods(company: Company, period: str, periods: int, by: str = "") -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the counts of the periods that can be shown, and how many others there are, by why they are not.

    early_periods: begun before the exports record who left; small_periods: begun with too few customers.
    """
    starts, since = customer_base.whole_periods(company, period, periods), company.settings.leavers_since
    counted = customer_base.by_period(company, starts, [by] if by else [])
    here = counted.groupby("period")["here"].transform("sum")
    early = counted["period"] < pd.Timestamp(since or starts[0])
    small = ~early & (here < company.settings.privacy.minimum_base)
    shown = counted[~early & ~small]
    if shown.empty:
        raise Unanswered("small-periods", period=period)
    hidden = {"early_periods": early, "small_periods": small}
    return shown, {k: int(counted.loc[which, "period"].nunique()) for k, which in hidden.items()}


def growth(company: Company, by: str = "", quarters: int = 8) -> Finding:
    """Answer: how many customers are won and lost, and which segments grow? New, lost and net by quarter and level.

    Without contracts: new customers only, against the year before. ``by``: a column of customers, by default the first
    segment. Errors: InputError for a column that customers do not have.
    """
    by = customer_base.level_of(company, by)
    contractual = company.settings.relationship == "contractual"
    return (_net_growth if contractual else _new_customers)(company, by, quarters)


@finding("growth")
def _net_growth(company: Company, by: str, quarters: int) -> Answer:
    """Answer ``growth`` under contracts; value: joined less all who left, of those here at the start (fold draws)."""
    customer_base.require_leavers(company)
    counted, hidden = _periods(company, "quarter", quarters, by)
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
    net, new, lost = year.pop("all")
    levels = {k: v[0] for k, v in year.items()}
    span = {"quarters": len(starts), "start": starts[0]}
    figures = [Figure("new-customers", words.say(__file__, "growth", "joined", **span), _poisson(new), "customers")]
    named = {"net-growth": (words.say(__file__, "growth", "grown", **span), net)}
    named |= {slug("net-growth", k): (f"Net growth of {k}", e) for k, e in levels.items()}
    for name, (label, e) in named.items():
        note = "" if math.isfinite(e.low) else words.say(__file__, "growth", "still")
        figures.append(Figure(name, label, e, "share of those at the start", note=note))
    order = sorted(levels, key=lambda k: levels[k].value, reverse=True)
    ends = [{"level": k, "net": levels[k]} for k in (order[0], order[-1])] if len(order) > 1 else []
    return answer(
        "count", table(rows, ["level", "period"]), figures,
        **span, by=by, net=net, customers=net.n, new=new, lost=lost, more=new - lost, ends=ends,
        hidden_cells=hidden_cells, dates=about_dates(company), **hidden,
    )  # fmt: skip


@finding("new-customers", named=lambda *_, **__: "growth")
def _new_customers(company: Company, by: str, quarters: int) -> Answer:
    """Answer ``growth`` without contracts: first orders, the last year against the year before."""
    if not company.has("customers", "joined_on"):
        people.require(company, "orders")
    counted = customer_base.by_period(
        company, customer_base.whole_periods(company, "quarter", max(quarters, 8)), [by] if by else []
    )
    begins = pd.Timestamp(people.everyone(company).started.min().execute())
    counted = counted[counted["period"] >= begins - AS_GOOD_AS_WHOLE]  # only quarters that the exports hold
    least, rows, changes, year, hidden = company.settings.privacy.minimum_base, [], {}, {}, 0
    starts = sorted(counted["period"].unique())
    earlier = starts[-8:-4] if len(starts) >= 8 else []
    for level, part in [("all", counted), *(counted.groupby(by, observed=True) if by else [])]:
        new = part.groupby("period")["joined"].sum()
        year[level] = before, last = int(new.reindex(earlier).sum()), int(new.loc[starts[-4:]].sum())
        shown = new.iloc[-quarters:]
        hidden += int((shown < least).sum())
        rows += [
            {"level": level, "period": p, "estimate": _poisson(n), "new": int(n)}
            for p, n in shown[shown >= least].items()
        ]
        if min(before, last) >= least:
            changes[level] = _change(before, last)
    before, last = year["all"]
    if last < least:
        raise Unanswered("few-new-customers")
    span = {"quarters": len(starts[-4:]), "start": starts[-len(starts[-4:])]}
    label = words.say(__file__, "new-customers", "label", **span)
    figures = [Figure("new-customers", label, _poisson(last), "customers")]
    for level, e in changes.items():
        label = words.say(__file__, "new-customers", "changed", level=level)
        figures.append(Figure(slug("new-customers-change", level), label, e, "share of the year before"))
    return answer(
        "count", table(rows, ["level", "period"]), figures,
        **span, new=last, before=before if earlier else None, begins=begins, change=changes.get("all"), by=by,
        hidden=hidden,
    )  # fmt: skip


def growth_axis(company: Company) -> dict[str, object]:
    """Return how the chart of ``growth`` is scaled and named: a share, or without contracts a number."""
    if company.settings.relationship != "contractual":
        return {"scale": 1, "y_label": "new customers in the quarter"}
    return {"scale": 100, "y_label": "net growth in the quarter (%)"}


def _change(before: float, last: float) -> Estimate:
    """Estimate the relative change between two numbers of events.

    Given their sum, one of them is binomial (Przyborowski & Wilenski 1940).
    """
    e = intervals.share(last, before + last)
    return Estimate(*(p / (1 - p) - 1 for p in (e.value, e.low, e.high)), n=e.n)


def _poisson(n: float) -> Estimate:
    """Estimate a number of customers, exact interval (Garwood 1936)."""
    low = stats.chi2.ppf(0.025, 2 * n) / 2 if n else 0.0
    return Estimate(float(n), float(low), float(stats.chi2.ppf(0.975, 2 * n + 2) / 2), math.sqrt(n), float(n))


# ---- cohorts ---------------------------------------------------------------------------------------------------------


def _cohorts(company: Company, every: str, ages: list[int]) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, object]]:
    """Return the cohorts that can be shown (small ones marked), their counts by level and fold, and facts on others.

    early_cohorts: joined before the exports record who left (``since``); small_cohorts: below the minimum base.
    """
    counted = customer_base.cohorts(company, every, ages, by=customer_base.level_of(company, ""))
    since, least = company.settings.leavers_since, company.settings.privacy.minimum_base
    early = counted["cohort"] < pd.Timestamp(since or "1900-01-01")
    hidden = int(counted.loc[early, "cohort"].nunique())
    counted = counted[~early]
    whole = counted.groupby(["cohort", "days"], as_index=False)[["joined", "stayed"]].sum()
    whole["small"] = whole["joined"] < least
    blank = int(whole.loc[whole["small"], "cohort"].nunique())
    return whole, counted, {"early_cohorts": hidden, "since": since, "small_cohorts": blank}


def _cells(company: Company, whole: pd.DataFrame, counted: pd.DataFrame) -> Iterator[tuple[tuple, Estimate]]:
    """Yield the rows of cohorts with the share that stayed, unknown for small ones."""
    parts = dict(list(counted.groupby(["cohort", "days"])))
    for row in whole.itertuples():
        yield row, UNKNOWN if row.small else _share(company, parts[row.cohort, row.days], "stayed", "joined")


def _at_one_mix(company: Company, old: pd.DataFrame, new: pd.DataFrame) -> tuple[Estimate, float] | None:
    """Estimate by how much the share who stayed rose from old to new joiners, at the mix of levels of both together.

    Columns of both: level, fold, joined, stayed. Also returns the share of customers left out, those of levels that are
    too small in either; None where all are.
    """
    both = pd.concat([old.assign(cohort="old"), new.assign(cohort="new")])
    sizes = both.pivot_table("joined", "level", "cohort", "sum", fill_value=0)
    common = sizes.index[sizes.min(axis=1) >= company.settings.privacy.minimum_base]
    if not len(common):
        return None
    sizes, inside = sizes.loc[common], both[both["level"].isin(common)]
    weights, where = resamples(company), (inside["cohort"].eq("new").astype(int), inside["level"].map(common.get_loc))
    joined, stayed = (
        draws.summed(weights, inside["fold"], inside[c], where, (2, len(common))) for c in ("joined", "stayed")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        share = stayed / joined
    mix = joined.sum(axis=1)
    drawn = ((share[:, 1] - share[:, 0]) * mix).sum(axis=1) / mix.sum(axis=1)
    n = float(sizes.to_numpy().sum())
    e = draws.estimate(drawn[0], drawn[1:], n, low=-1, high=1)
    if math.isnan(e.low):  # all stayed, or nobody did: no resample differs
        (k_old, k_new), (n_old, n_new) = stayed[0].sum(axis=1), joined[0].sum(axis=1)
        e = intervals.share_difference(k_new, n_new, k_old, n_old)
    return e, 1 - n / float(both["joined"].sum())


@finding("cohorts")
def cohorts(company: Company, every: str = "quarter", most: int = 20) -> Answer:
    """Answer: do newer customers stay longer? Share still here by joining cohort and age, each followed equally long.

    A cell is there only where the whole cohort was followed to that age (Pocock, Clayton & Altman 2002, Lancet
    359:1686). The newest cohort is compared with the oldest at one mix of the first segment. ``most``: how many of the
    newest cohorts. Errors: InputError for an unknown period.
    """
    customer_base.known(every)
    customer_base.require_leavers(company)
    days = {int(m * DAYS_A_MONTH): m for m in (3, *range(6, 121, 6))}
    whole, counted, hidden = _cohorts(company, every, list(days))
    whole = whole[whole["cohort"].isin(sorted(whole["cohort"].unique())[-most:])]
    sound = whole[~whole["small"]]
    if sound.empty:
        raise Unanswered("small-cohorts")
    rows = [{"cohort": r.cohort, "months": days[r.days], "estimate": e} for r, e in _cells(company, whole, counted)]
    compared, figures = [], []
    for age in sorted({3, 12} & {days[d] for d in sound["days"]}, reverse=True):
        here = sound[sound["days"] == int(age * DAYS_A_MONTH)]
        old, new = here.iloc[0], here.iloc[-1]
        cells = counted[counted["days"] == old["days"]]
        each = [cells[cells["cohort"] == c["cohort"]] for c in (old, new)]
        stayed, gap = _share(company, each[1], "stayed", "joined"), None
        said = {"age": age, "every": every, "newest": new["cohort"]}
        label = words.say(__file__, "cohorts", "stayed", **said)
        figures.append(Figure(f"cohort-{age}-months", label, stayed, "share of those who joined"))
        left_out = 0.0
        if len(here) > 1 and (found := _at_one_mix(company, *each)):
            gap, left_out = found
            label = words.say(__file__, "cohorts", "gap", age=age)
            figures.append(Figure(f"cohort-gap-{age}-months", label, gap, "share"))
        compared.append(
            said | {"stayed": stayed, "oldest": old["cohort"], "before": old["stayed"] / old["joined"], "gap": gap}
            | {"changed": gap is not None and gap.excludes(0), "left_out": left_out}
        )  # fmt: skip
    return answer(
        "count", table(rows, ["cohort", "months"]), figures,
        every=every, compared=compared, mixed_by=customer_base.level_of(company, ""), dates=about_dates(company),
        **hidden,
    )  # fmt: skip


@finding("early-retention")
def early(company: Company, days: int = 90, quarters: int = 12) -> Answer:
    """Answer: how many new customers are still here after ``days``? By quarter of joining, all followed that long."""
    customer_base.require_leavers(company)
    whole, counted, hidden = _cohorts(company, "quarter", [days])
    whole = whole.iloc[-quarters:]
    recent, before = whole.iloc[-4:], whole.iloc[-8:-4]
    least = company.settings.privacy.minimum_base
    if recent["joined"].sum() < least:
        raise Unanswered("few-newcomers", days=days)
    rows = [{"period": r.cohort, "estimate": e} for r, e in _cells(company, whole, counted)]
    newest = counted[counted["cohort"].isin(recent["cohort"])]
    e, gap, left_out = _share(company, newest, "stayed", "joined"), None, 0.0
    label = words.say(__file__, "early-retention", "stayed", days=days)
    figures = [Figure("early-retention", label, e, "share of those who joined")]
    if len(before) == 4 and before["joined"].sum() >= least:
        older = counted[counted["cohort"].isin(before["cohort"])]
        gap, left_out = _at_one_mix(company, older, newest) or (None, 0.0)
    if gap is not None:
        label = words.say(__file__, "early-retention", "change")
        figures.append(Figure("early-retention-change", label, gap, "share"))
    return answer(
        "count", table(rows, ["period"]), figures,
        days=days, stayed=e, customers=e.n, start=recent["cohort"].iloc[0], quarters=len(recent), gap=gap,
        changed=gap is not None and gap.excludes(0), mixed_by=customer_base.level_of(company, ""), left_out=left_out,
        dates=about_dates(company), **hidden,
    )  # fmt: skip
