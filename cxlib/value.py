"""04_value: what is a customer worth, and is more worth where the score is better?

Contractual: survival after the answer times what a customer pays, at equal mix. Without contracts: what is bought in
equal time after the answer, at equal earlier purchases, and the value of the whole base by a repeat-buying model.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from pydantic import Field

from cxlib import parameters
from cxlib.findings import Figure, Finding, interval, money, number, percent, table, those, unanswered
from cxlib.intake import counts, purchases, stays
from cxlib.intake.company import Company
from cxlib.intake.counts import DAYS_A_MONTH
from cxlib.resamples import resamples
from cxlib.stats import draws, finance, survival
from cxlib.stats.estimate import Estimate
from cxlib.stats.repeat_buying import BetaGeoNBD, GammaGamma


class Parameters(parameters.Parameters):
    """Parameters of 04_value."""

    metric: str = ""
    window_days: int = Field(182, ge=28, le=1825)
    minimum_repeat_buyers: int = Field(100, ge=1)


def meaning(company: Company) -> str:
    """Say in one sentence what "value" means on this page."""
    m = company.settings.money
    if m is None:
        return "company.yaml has no money block (margin, discount rate, horizon), so nothing is valued here."
    what = "revenue" if m.value_is == "revenue" else f"revenue times the gross margin of {percent(m.gross_margin, 0)}"
    return (
        f"Value here is {what} over {m.horizon_months} months in {company.settings.currency}, discounted at "
        f"{percent(m.discount_rate)} a year ({m.discount_convention}), the first payment "
        f"{'at once' if m.first_flow == 'now' else 'after a month'}; acquisition cost is not in it."
    )


def _share_kept(company: Company) -> float:
    m = company.settings.money
    return 1.0 if m.value_is == "revenue" else m.gross_margin


def _why_not(company: Company, metric: str) -> str | None:
    if company.settings.money is None:
        return "company.yaml has no money block (margin, discount rate, horizon)."
    if not metric:
        return counts.require(company, "responses") or "no question was answered."
    if not counts.dated(company):
        return "the answers carry no dates."
    if company.settings.relationship == "contractual":
        return counts.require(company, "customers", "joined_on", "left_on", "monthly_revenue")
    return counts.require(company, "orders")


def by_score(company: Company, metric: str = "", window_days: int = 182, minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: what is a customer worth after a good and after a bad answer?"""
    metric = counts.choose(company, metric)
    if why := _why_not(company, metric):
        return unanswered("value-by-score", "Value by score", why)
    if company.settings.relationship == "contractual":
        return _contractual(company, metric)
    return _noncontractual(company, metric, window_days, minimum_repeat_buyers)


def _contractual(company: Company, metric: str) -> Finding:
    """Value over the horizon by band, at the plan mix and prices of today's base.

    Per stratum (the first declared segment) the survival after the answer, by band, is turned into discounted months
    of payment; strata are weighted by what today's customers in them pay. So bands differ in staying, not in plan.
    """
    name, m = "value-by-score", company.settings.money
    title = f"Value of the next {m.horizon_months} months after an answer, at today's mix and prices"
    segment = counts.segments(company)[:1]
    horizon = math.ceil(m.horizon_months * DAYS_A_MONTH)
    counted = stays.follow_up(company, metric, horizon, by=segment)
    base = purchases.paying_base(company, by=segment)
    stratum = segment[0] if segment else "stratum"
    base = base.rename(columns={stratum: "stratum"}) if segment else base.assign(stratum="all")
    least = company.settings.privacy.minimum_base
    order = [b.name for b in counts.bands(company, metric)] + [counts.NO_ANSWER]
    followed = (
        counted.groupby(["stratum", "band"], observed=True)
        .agg(n=("n", "sum"), longest=("duration", "max"))
        .reset_index()
    )
    sound = followed[(followed["n"] >= least) & (followed["longest"] >= horizon)]
    names = [b for b in order if (sound["band"] == b).any()]
    answered = [b for b in names if b != counts.NO_ANSWER]
    if len(answered) < 2:
        return unanswered(
            name, title, f"fewer than two score groups have {least} answers followed for {m.horizon_months} months."
        )
    strata = [s for s in base["stratum"].unique() if set(names) <= set(sound.loc[sound["stratum"] == s, "band"])]
    if not strata:
        return unanswered(
            name, title, f"in no {stratum} can all score groups be followed for {m.horizon_months} months."
        )
    with_plain = resamples(company)
    pays, customers = _base_sums(base[base["stratum"].isin(strata)], "stratum", strata, with_plain)
    rate = finance.per_period_rate(m.discount_rate, 12, m.discount_convention)
    factors = finance.discount_factors(rate, m.horizon_months, m.first_flow)
    first = 0 if m.first_flow == "now" else 1
    paid_on = [max(round((k + first) * DAYS_A_MONTH), 0) for k in range(m.horizon_months)]
    worth = {}
    for band in names:
        months = []
        for s in strata:
            part = counted[(counted["stratum"] == s) & (counted["band"] == band)]
            still = survival.survival_draws(part, horizon, with_plain)
            still = np.hstack([np.ones((len(still), 1)), still])
            months.append(still[:, paid_on] @ factors)
        worth[band] = _share_kept(company) * (pays * np.array(months).T).sum(1) / customers
    size = counted.groupby("band", observed=True)["n"].sum()
    rows = [{"band": b, "estimate": draws.estimate(worth[b][0], worth[b][1:], float(size[b]), low=0)} for b in names]
    worst, best = answered[0], answered[-1]
    gap = draws.estimate(
        worth[best][0] - worth[worst][0], (worth[best] - worth[worst])[1:], float(size[best] + size[worst])
    )
    write = lambda v: money(v, company.settings.currency)  # noqa: E731
    means = {r["band"]: r["estimate"] for r in rows}
    text = (
        f"A {those(best, False)} is worth {write(means[best].value)} over {m.horizon_months} months and a {those(worst, False)} "
        f"{write(means[worst].value)}: "
        f"a gap of {interval(gap, write)} per customer, at the same {stratum} and price."
    )
    if not gap.excludes(0):
        text = "No detectable gap in value: " + text[0].lower() + text[1:]
    figures = (
        Figure("value-gap", f"{best} minus {worst}: value over {m.horizon_months} months", gap,
               f"{company.settings.currency} per customer", "answers"),
    )  # fmt: skip
    left_out = set(base["stratum"]) - set(strata)
    caveats = [
        "The gap is in how long they stay, at the price paid today; upselling is not in it. It goes with the score and is "
        "not what raising a score would bring."
    ]
    if left_out:
        caveats.append(f"Too few answers, left out: {stratum} {', '.join(sorted(map(str, left_out)))}.")
    return Finding(name, title, text, "C", table(rows, ["band"]), figures, tuple(caveats))


def _base_sums(
    base: pd.DataFrame, stratum: str, strata: list[str], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return monthly revenue by stratum (draws x strata) and customers (draws), under each resample."""
    cells = np.zeros((2, weights.shape[1], len(strata)))
    where = (base["fold"].to_numpy(), base[stratum].map(strata.index).to_numpy())
    np.add.at(cells[0], where, base["revenue"].fillna(0).to_numpy(float))
    np.add.at(cells[1], where, base["n"].to_numpy(float))
    return weights @ cells[0], (weights @ cells[1]).sum(1)


def _too_few(company: Company, least: int) -> str | None:
    several, on_days = purchases.repeat_buyers(company)
    if on_days >= least:
        return None
    everybody = company.orders.customer_id.nunique().execute()
    return (
        f"{several:,} repeat buyers ({on_days:,} of them on different days) among {everybody:,} customers are too few to tell "
        f"what repeat purchases are worth; {least} are asked for."
    )


def _noncontractual(company: Company, metric: str, window_days: int, least_buyers: int) -> Finding:
    """Revenue (or margin) in equal time after the answer, at equal earlier purchases."""
    name, title = (
        "value-by-score",
        f"Value bought in the {window_days} days after an answer, at equal earlier purchases",
    )
    if why := _too_few(company, least_buyers):
        return unanswered(name, title, why)
    counted = purchases.after_answer(company, metric, window_days)
    order = [b.name for b in counts.bands(company, metric)] + [counts.NO_ANSWER]
    size = counted.groupby("band", observed=True)["n"].sum()
    least = company.settings.privacy.minimum_base
    names = [b for b in order if size.get(b, 0) >= least]
    answered = [b for b in names if b != counts.NO_ANSWER]
    if len(answered) < 2:
        return unanswered(
            name, title, f"fewer than two score groups have {least} answers with {window_days} days after them."
        )
    cells = counted.groupby(["earlier", "band"], observed=True)["n"].sum().unstack(fill_value=0)
    levels = [e for e in cells.index if (cells.loc[e, names] >= 5).all()]
    kept = counted[counted["earlier"].isin(levels)]
    weights = resamples(company)
    sums = np.zeros((2, weights.shape[1], len(levels), len(names)))
    inside = kept[kept["band"].isin(names)]
    where = (
        inside["fold"].to_numpy(),
        inside["earlier"].map(levels.index).to_numpy(),
        inside["band"].map(names.index).to_numpy(),
    )
    np.add.at(sums[0], where, inside["n"].to_numpy(float))
    np.add.at(sums[1], where, inside["revenue"].to_numpy(float))
    n, revenue = (np.tensordot(weights, s, axes=1) for s in sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = revenue / n
        worth = _share_kept(company) * (mean * (n.sum(2) / n.sum((1, 2))[:, None])[:, :, None]).sum(1)
    rows = [
        {"band": b, "estimate": draws.estimate(worth[0, i], worth[1:, i], float(size[b]), low=0)}
        for i, b in enumerate(names)
    ]
    worst, best = names.index(answered[0]), names.index(answered[-1])
    both = float(size[answered[0]] + size[answered[-1]])
    gap = draws.estimate(worth[0, best] - worth[0, worst], worth[1:, best] - worth[1:, worst], both)
    write = lambda v: money(v, company.settings.currency, 2)  # noqa: E731
    text = (
        f"In the {window_days} days after the answer a {those(answered[-1], False)} brought {write(worth[0, best])} and a "
        f"{those(answered[0], False)} {write(worth[0, worst])}: a gap of {interval(gap, write)} per customer, at equal earlier purchases."
    )
    if not gap.excludes(0):
        text = "No detectable gap in value: " + text[0].lower() + text[1:]
    figures = (
        Figure("value-gap", f"{answered[-1]} minus {answered[0]}: value in {window_days} days after the answer", gap,
               f"{company.settings.currency} per customer", "answers"),
    )  # fmt: skip
    caveats = ("The gap goes with the score at equal earlier purchases; it is not what raising a score would bring.",)
    return Finding(name, title, text, "C", table(rows, ["band"]), figures, caveats)


def of_the_base(company: Company, minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: what will today's customers bring? BG/NBD and Gamma-Gamma for a shop; a contract base by its revenue."""
    name = "value-of-the-base"
    if company.settings.money is None:
        return unanswered(name, "Value of today's customers", "company.yaml has no money block.")
    if company.settings.relationship == "contractual":
        return _base_contractual(company)
    months = company.settings.money.horizon_months
    title = f"What today's customers will bring in the next {months} months"
    missing = counts.require(company, "orders")
    if why := missing or _too_few(company, minimum_repeat_buyers):
        return unanswered(name, title, why)
    rows = purchases.purchases(company)
    x, recency, age = (rows[c].to_numpy(float) for c in ("frequency", "recency", "age"))
    buying = BetaGeoNBD().fit(x, recency, age, weights=rows["n"])
    if not buying.converged:
        return unanswered(name, title, buying.message)
    again = rows[(rows["frequency"] > 0) & (rows["spend"] > 0)]
    spending = GammaGamma().fit(again["frequency"], again["spend"], weights=again["n"])
    if not spending.converged:
        return unanswered(name, title, spending.message)
    weeks = months * DAYS_A_MONTH / 7
    resampling = draws.fold_weights(min(company.settings.draws, 400), company.settings.seed)
    n, fold = rows["n"].to_numpy(float), rows["fold"].to_numpy()
    spend = np.where(x > 0, rows["spend"].fillna(0).to_numpy(float), 0.0)
    buys = buying.draws(resampling, x, recency, age, fold, weights=n)
    spends = spending.draws(resampling, again["frequency"], again["spend"], again["fold"], weights=again["n"])

    def totals(buy: object, spent: object, weight: np.ndarray) -> tuple[float, float]:
        expected = buying.predict(weeks, x, recency, age, params=buy)
        amount = spending.predict(x, spend, params=spent)
        return float(weight @ expected), float(weight @ (expected * amount)) * _share_kept(company)

    here = totals(None, None, n)
    with np.errstate(invalid="ignore"):  # a resample without a fit has no forecast, and is counted as such
        drawn = np.array([totals(b, s, n * w[fold]) for b, s, w in zip(buys, spends, resampling, strict=True)])
    base = float(n.sum())
    found = [draws.estimate(here[i], drawn[:, i], base, low=0) for i in (0, 1)]
    each = draws.estimate(here[1] / base, drawn[:, 1] / base, base, low=0)
    if math.isnan(found[1].low):
        return unanswered(name, title, f"the model cannot be fitted to all resamples of these buyers. {buying.message}")
    write = lambda v: money(v, company.settings.currency)  # noqa: E731
    text = (
        f"Today's {base:,.0f} customers will make {interval(found[0], lambda v: number(v, 0))} purchases in the next {months} months, "
        f"worth {interval(found[1], write)} undiscounted; that is {money(each.value, company.settings.currency, 2)} each."
    )
    shown = table(
        [
            {"what": "purchases expected", "unit": "purchases", "estimate": found[0]},
            {"what": "value expected", "unit": company.settings.currency, "estimate": found[1]},
            {"what": "value expected per customer", "unit": company.settings.currency, "estimate": each},
        ],
        ["what", "unit"],
    )
    figures = (
        Figure("base-value", f"Value of today's customers, next {months} months", found[1], company.settings.currency),
        Figure("base-purchases", f"Purchases of today's customers, next {months} months", found[0], "purchases"),
    )
    caveats = (
        "A forecast by BG/NBD and Gamma-Gamma; the interval holds the uncertainty of the model's parameters and of who is in the "
        "base, not that the future differs from the past. Value is not discounted here.",
    )
    return Finding(name, title, text, "D", shown, figures, caveats)


def _base_contractual(company: Company) -> Finding:
    """Monthly revenue of today's base and the share paid by each segment."""
    name, title = "value-of-the-base", "What today's customers pay a month"
    missing = counts.require(company, "customers", "monthly_revenue")
    if missing:
        return unanswered(name, title, f"{missing}.")
    segment = counts.segments(company)[:1] or ["all"]
    base = purchases.paying_base(company, by=[] if segment == ["all"] else segment)
    base = base.assign(all="all", revenue=base["revenue"].fillna(0.0))
    keys, drawn = draws.resample(base, "fold", ["revenue", "n"], segment, resamples(company)[1:])
    sums = base.groupby(segment[0], observed=True)[["revenue", "n"]].sum()
    rows = []
    for i, level in enumerate(keys[segment[0]]):
        revenue, n = sums.loc[level]
        with np.errstate(invalid="ignore"):  # a resample may hold nobody of a small level
            e = draws.estimate(revenue / n, drawn[:, i, 0] / drawn[:, i, 1], n, low=0)
        rows.append(
            {segment[0]: level, "estimate": e, "monthly_revenue": revenue, "share": revenue / sums["revenue"].sum()}
        )
    total, n = float(sums["revenue"].sum()), float(sums["n"].sum())
    if n < company.settings.privacy.minimum_base:
        return unanswered(name, title, f"{n:,.0f} customers are fewer than the minimum base.")
    each = draws.estimate(total / n, drawn[:, :, 0].sum(1) / drawn[:, :, 1].sum(1), n, low=0)
    text = (
        f"On {company.as_of} {n:,.0f} customers pay {money(total, company.settings.currency)} a month, "
        f"{interval(each, lambda v: money(v, company.settings.currency, 2))} each."
    )
    figures = (
        Figure("revenue-per-customer", "Monthly revenue per customer", each, f"{company.settings.currency} a month"),
        Figure("monthly-revenue", "Monthly revenue of today's customers", Estimate(total, math.nan, math.nan, n=n),
               f"{company.settings.currency} a month", note="a count of the whole base, not a sample"),
    )  # fmt: skip
    return Finding(name, title, text, "D", table(rows, segment), figures)
