"""04_value: how long do customers under a contract go on paying, and what is today's base worth? Renewal models.

Time is counted in whole terms since joining (``counts.contract_terms``); an exit of any kind ends the payments. Three
models of who renews: one constant rate, shifted-beta-geometric (sBG: each customer has a rate of their own) and
beta-discrete-Weibull (BdW: that rate may also change with tenure). Where one is used, it has the lowest AIC.

Sources: Fader & Hardie (2007), How to project customer retention, J. Interactive Marketing 21(1); (2010), Customer-base
valuation in a contractual setting, Marketing Science 29(1); Fader, Hardie, Liu, Davin & Steenburgh (2018), J.
Interactive Marketing 43.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from cxlib.counts import contract_terms, customer_base, people
from cxlib.counts.people import DAYS_A_MONTH, STAGE
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.resamples import resamples
from cxlib.page.valuation import money_of, period_rate, share_kept
from cxlib.stats import draws, finance, intervals
from cxlib.stats.estimate import Estimate
from cxlib.value import forecast
from cxlib.value.forecast import abs_of
from cxlib.value.renewal_models import ALL, CONSTANT, SHORT, Fitted, Level, fitted

OTHER = "other stages"
KINDS = tuple(SHORT.values())


def _say(section: str, part: str, **facts: object) -> str:
    return words.say(__file__, section, part, **facts)


# ---- the models ------------------------------------------------------------------------------------------------------


@finding("renewal-models")
def fits(company: Company, term_months: int = 1) -> Answer:
    """Answer: does churn fall with tenure, and how does it go on? Shares still here as observed, beside the models.

    Observed: the product of the shares that renewed each time, over all cohorts followed for so long (Kaplan-Meier with
    equal follow-up). Up to twelve months beyond that are projected. Intervals from refits under the fold draws.
    ``term_months``: from one renewal to the next.
    """
    customer_base.require_leavers(company)
    found = fitted(company, term_months)
    least, rows = company.settings.privacy.minimum_base, []
    for label, level in found.levels.items():
        seen = level.seen(least)
        with np.errstate(invalid="ignore", divide="ignore"):
            kept = np.cumprod(1 - level.lost / level.at_risk, axis=1)
        until = seen + min(seen, max(12 // term_months, 1))
        curves = {k: level.fits[k].survival(until) for k in KINDS if k in level.fits}
        projected = level.fits[level.best].survival(until)[0]
        for k in range(until + 1):
            at_risk = level.n if k == 0 else level.at_risk[0, k - 1] if k <= seen else 0.0
            nothing = Estimate(*[1.0 if k == 0 else math.nan] * 3, n=at_risk)  # everybody at the start, nobody beyond
            e = _kept(kept[:, k - 1], at_risk) if 0 < k <= seen else nothing
            row = {"segment": label, "months": k * term_months, "estimate": e, "at_risk": at_risk}
            row["projected"] = float(projected[k])
            for model, curve in curves.items():
                p = draws.estimate(curve[0, k], curve[1:, k], level.n, low=0, high=1) if k else Estimate(1, 1, 1)
                row |= {model: p.value, f"{model}_low": p.low, f"{model}_high": p.high}
            rows.append(row)
    everybody = found.levels[ALL]
    last = max(min(everybody.seen(least), 12 // term_months), 2)
    by_tenure, figures = _churn_by_tenure(everybody, last)
    models = [
        {"level": "all customers" if label == ALL else label, "best": level.best,
         "fits": [{"name": k, "params": f.model.params.to_dict(), "aic": f.aic} for k, f in level.fits.items()]}
        for label, level in found.levels.items()
    ]  # fmt: skip
    facts = by_tenure | found.facts(company)
    after = (last - 1) * term_months * DAYS_A_MONTH
    return answer("forecast", table(rows, ["segment", "months"]), figures, models=models, after=after, **facts)


def _kept(drawn: np.ndarray, n: float) -> Estimate:
    if drawn[0] == 1:  # nobody has left yet, so the draws do not differ
        return intervals.share(n, n, method="clopper-pearson")
    return draws.estimate(drawn[0], drawn[1:], n, low=0, high=1)


def _churn_by_tenure(level: Level, last: int) -> tuple[dict[str, object], list[Figure]]:
    """Return facts and figures on churn in the first and the ``last`` term, and on each one's own rate (c of BdW)."""
    best, share = level.best, "share of customers"
    fit, facts = level.fits[best], {"own": None, "gain": 0.0, "falls": False, "rises": False, "later": None}
    if best == CONSTANT:
        e = draws.estimate(1 - fit.params[0, 0], 1 - fit.params[1:, 0], level.n, low=0, high=1)
        figures = [Figure("churn-term", _say("renewal-models", "every"), e, share)]
        return facts | {"constant": True, "first": e}, figures
    still = fit.survival(last)
    leave = 1 - still[:, 1:] / still[:, :-1]
    first, later = (draws.estimate(leave[0, k], leave[1:, k], level.n, low=0, high=1) for k in (0, last - 1))
    gap = draws.estimate(leave[0, 0] - leave[0, -1], leave[1:, 0] - leave[1:, -1], level.n)
    facts |= {"constant": False, "first": first, "later": later, "falls": gap.low > 0, "rises": gap.high < 0}
    figures = [
        Figure(f"churn-term-{k}", _say("renewal-models", "one", term=k, model=best), e, share)
        for k, e in ((1, first), (last, later))
    ]
    if (bdw := level.fits.get("BdW")) and "sBG" in level.fits:
        c = draws.estimate(bdw.params[0, -1], bdw.params[1:, -1], level.n, low=0)
        figures.append(Figure("duration-dependence", _say("renewal-models", "power"), c, "exponent"))
        better = level.fits["sBG"].aic - bdw.aic
        facts |= {"own": c, "gain": better if better > 0 and c.excludes(1) else 0.0}
    return facts, figures


# ---- money -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Money:
    """How payments become money: ``rate`` and ``factors`` per term, ``per_fee`` for a payment of a monthly fee of 1."""

    rate: float
    factors: np.ndarray
    per_fee: float


def _ready(company: Company, term_months: int, priced: bool) -> tuple[Fitted, _Money]:
    customer_base.require_leavers(company)
    m = money_of(company)
    if priced:
        people.require(company, "customers", "monthly_revenue")
    rate = period_rate(company, term_months)
    factors = finance.discount_factors(rate, math.ceil(m.horizon_months / term_months), m.first_flow)
    return fitted(company, term_months), _Money(rate, factors, share_kept(company) * term_months)


@finding("lifetimes")
def lifetimes(company: Company, term_months: int = 1) -> Answer:
    """Answer: for how long will a customer pay, new or after 12 or 24 months, and what is that worth?

    Discounted months paid for, from a payment just made (included): over the horizon, and without end, by each model.
    Money: times the mean fee of today's customers of the level.
    """
    found, terms = _ready(company, term_months, priced=False)
    m, least = money_of(company), company.settings.privacy.minimum_base
    fees = _mean_fees(company, found) if company.has("customers", "monthly_revenue") else {}
    rows, late = [], 1.0 if m.first_flow == "now" else 1 / (1 + terms.rate)
    for label, level in found.levels.items():
        done = [k // term_months for k in (0, 12, 24) if k % term_months == 0 and k // term_months <= level.seen(least)]
        shown = [kind for kind in level.fits if kind != CONSTANT or kind == level.best]
        # The mean fee of today's customers does not suit joiners of all levels together: their mix is another.
        priced = label in fees and (label != ALL or len(found.levels) == 1)
        for k, model in [(k, model) for k in done for model in shown]:
            fit = level.fits[model]
            now = terms.factors[0] + fit.ahead(k, terms.factors[1:])[:, k]
            beyond = np.asarray(fit.model.residual_lifetime(k, terms.rate, fit.params[:1]))[0] / (1 + terms.rate)
            months, paid = now * term_months, Estimate(*[math.nan] * 3)
            if priced:
                worth = now * fees[label] * terms.per_fee
                paid = draws.estimate(worth[0], worth[1:], level.n, low=0)
            rows.append({
                "level": label, "after": k * term_months, "model": model,
                "estimate": draws.estimate(months[0], months[1:], level.n, low=0), "aic": fit.aic,
                "money": paid.value, "money_low": paid.low, "money_high": paid.high,
                "without_end": float(np.ravel(late * (1 + beyond))[0]) * term_months,
            })  # fmt: skip
    everybody, horizon = found.levels[ALL], m.horizon_months
    new, *later = (r for r in rows if r["level"] == ALL and r["model"] == everybody.best)
    ends = [r["without_end"] for r in rows if r["level"] == ALL and r["after"] == 0]
    figures = [
        Figure("lifetime-months", _say("lifetimes", "new", horizon=horizon), new["estimate"], "discounted months")
    ]
    worth = Estimate(new["money"], new["money_low"], new["money_high"], n=new["estimate"].n)
    if math.isfinite(worth.value):
        label = _say("lifetimes", "value", horizon=horizon)
        figures.append(Figure("lifetime-value", label, worth, company.settings.currency or ""))
    figures += [
        Figure(f"lifetime-months-{k}", _say("lifetimes", "later", after=k), r["estimate"], "discounted months")
        for k, r in ((r["after"], r) for r in later)
    ]
    return answer(
        "forecast", table(rows, ["level", "after", "model"]), figures,
        horizon=horizon, new=new["estimate"], worth=worth if math.isfinite(worth.value) else None, model=everybody.best,
        later=[{"after": r["after"], "months": r["estimate"].value} for r in later], endless=math.isinf(max(ends)),
        shortest=min(ends), longest=max(ends), seen=everybody.seen(least) * term_months, fees=bool(fees),
    )  # fmt: skip


def _mean_fees(company: Company, found: Fitted) -> dict[str, np.ndarray]:
    """Return the mean monthly fee of today's customers by level (and of all), under each resample."""
    by = [found.segment] if found.segment != ALL else []
    rows, fees = contract_terms.base(company, found.term_months * DAYS_A_MONTH, by), {}
    rows = rows.assign(priced=rows["n"] - rows["unpriced"])
    for level in found.levels:
        part = rows if level == ALL else rows[rows[found.segment] == level]
        if part["priced"].sum():
            __, drawn = draws.resample(part, "fold", ["fee", "priced"], [], resamples(company))
            with np.errstate(invalid="ignore", divide="ignore"):
                fees[level] = drawn[:, 0, 0] / drawn[:, 0, 1]
    return fees


def _today(company: Company, found: Fitted) -> pd.DataFrame:
    """Return today's customers by level, stage and renewals made; stages that are too small are put together."""
    by = [found.segment] if found.segment != ALL else []
    rows = contract_terms.base(company, found.term_months * DAYS_A_MONTH, [*by, STAGE])
    rows = rows.assign(level=rows[found.segment] if by else ALL)
    sizes, least = rows.groupby(STAGE)["n"].sum().sort_values(), company.settings.privacy.minimum_base
    small = int((sizes < least).sum())
    small += bool(small and sizes.iloc[:small].sum() < least)
    rows[STAGE] = rows[STAGE].where(~rows[STAGE].isin(sizes.index[:small]), OTHER)
    cells = rows.groupby(["level", STAGE, "renewals"], as_index=False, observed=True)[["n", "fee", "unpriced"]].sum()
    if (n := int(cells["n"].sum())) < least:
        raise Unanswered("few-customers", customers=n)
    return cells


def _ahead(found: Fitted, cells: pd.DataFrame, factors: np.ndarray, model: str = "") -> np.ndarray:
    """Return the payments ahead of a customer in each cell (level, renewals): (1 + draws) x cells.

    Without ``model``: by the best of each level.
    """
    each = np.zeros((len(found.levels[ALL].at_risk), len(cells)))
    for name, where in cells.groupby("level").indices.items():
        level, renewals = found.of(name), cells["renewals"].to_numpy()[where]
        each[:, where] = level.fit(model or level.best).ahead(int(renewals.max()), factors, found.passed)[:, renewals]
    return each


def _endless(found: Fitted, today: pd.DataFrame, rate: float) -> np.ndarray:
    """Return the same without a horizon, discounted at ``rate`` per term, by the best model of each level."""
    total = np.zeros((len(found.levels[ALL].at_risk), len(today)))
    for level, where in today.groupby("level").indices.items():
        fit = found.of(level).fits[found.of(level).best]
        made, each = np.unique(today["renewals"].to_numpy()[where], return_inverse=True)
        total[:, where] = fit.model.residual_lifetime(made, rate, fit.params)[:, each]
    return total


def _by_stage(today: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    present = people.in_order(STAGE, set(today[STAGE]))
    return [*((s, (today[STAGE] == s).to_numpy()) for s in present), (ALL, np.ones(len(today), dtype=bool))]


def _used(found: Fitted) -> list[str]:
    """Return which model is used for which level."""
    return [f"{each.best} for {k}" for k, each in found.levels.items() if k != ALL or len(found.levels) == 1]


@finding("shortcut")
def shortcut(company: Company, term_months: int = 1) -> Answer:
    """Answer: how far off is the formula of one average rate, margin x r / (1 - r / (1 + d)), against the models?

    r is the share of all renewals seen that were made, d the discount rate of a term; the coming payment is not
    discounted and is made by those who renew. Value: the best model of each level by tenure (Fader & Hardie 2010).
    """
    found, terms = _ready(company, term_months, priced=True)
    today, horizon_months = _today(company, found), money_of(company).horizon_months
    flat = found.levels[ALL].fits[CONSTANT]
    fee, n = today["fee"].to_numpy(float), today["n"].to_numpy(float)
    delay = terms.factors[0]
    near, far = f"{horizon_months} months", "without end"
    endless = flat.model.residual_lifetime(0, terms.rate, flat.params)
    ways = {
        near: (_ahead(found, today, terms.factors) * fee, flat.ahead(0, terms.factors) * fee),
        far: (_endless(found, today, terms.rate) * delay * fee, endless * delay * fee),
    }
    rows, off = [], {}
    for horizon, (model, formula) in ways.items():
        for stage, mask in _by_stage(today):
            size = n[mask].sum()
            full, short = (each[:, mask].sum(axis=1) * terms.per_fee / size for each in (model, formula))
            with np.errstate(invalid="ignore", divide="ignore"):
                error = draws.estimate(short[0] / full[0] - 1, (short / full)[1:] - 1, size)
            e, off[horizon, stage] = draws.estimate(full[0], full[1:], size, low=0), error
            ends = {"off": error.value, "off_low": error.low, "off_high": error.high}
            rows.append({"horizon": horizon, STAGE: stage, "estimate": e, "shortcut": short[0]} | ends)
    all_near, all_far, stages = (
        off[near, ALL],
        off[far, ALL],
        [s for s, __ in _by_stage(today) if s not in (OTHER, ALL)],
    )
    unfair = len(stages) > 1 and off[near, stages[-1]].high < 0
    figures = [Figure("shortcut-off", _say("shortcut", "near", horizon=horizon_months), all_near, "share of the value")]
    if math.isfinite(all_far.low):
        figures.append(Figure("shortcut-off-endless", _say("shortcut", "far"), all_far, "share of the value"))
    return answer(
        "forecast", table(rows, ["horizon", STAGE]), figures,
        horizon=horizon_months, off=abs_of(all_near), low=all_near.value < 0, detected=all_near.excludes(0),
        endless=all_far if math.isfinite(all_far.value) else None,
        ends=[{"stage": s, "off": off[near, s].value} for s in (stages[0], stages[-1])] if unfair else [],
        renewed=float(flat.params[0, 0]), renewals=flat.model.at_risk, rate=terms.rate, used=_used(found),
    )  # fmt: skip


@finding("contract-base")
def base(company: Company, term_months: int = 1, metric: str = "") -> Answer:
    """Answer: is the forecast of today's base confirmed by another method? How far off it renewal models are.

    They know the terms each customer has completed and nothing else: expected discounted payments, times fee and share
    kept, by tenure. Both methods are under the same fold draws. The models are also tried on earlier months.
    ``metric``: that of the forecast.
    """
    found, terms = _ready(company, term_months, priced=True)
    today, horizon = _today(company, found), money_of(company).horizon_months
    if not today["fee"].sum():
        raise Unanswered("no-fees")
    total = float(today["n"].sum())
    kinds = list(dict.fromkeys(k for level in found.levels.values() for k in level.fits if k != CONSTANT))
    pays = today["fee"].to_numpy(float) * terms.per_fee
    ways = {k: _ahead(found, today, terms.factors, k) * pays for k in ("", *kinds)}
    rows = []
    for stage, mask in _by_stage(today):
        n = float(today["n"].to_numpy()[mask].sum())
        worths = {k: v[:, mask].sum(axis=1) for k, v in ways.items()}
        e = draws.estimate(worths[""][0], worths[""][1:], n, low=0)
        row = {STAGE: stage, "estimate": e, "each": e.value / n, "share": e.value / ways[""][0].sum()}
        rows.append(row | {k: worths[k][0] for k in kinds})
    e = rows[-1]["estimate"]
    top = max(rows[:-1], key=lambda r: r["share"])
    named = len(rows) > 2 and top[STAGE] != OTHER
    expected = forecast.total(company, metric)
    error = ways[""].sum(axis=1)[: len(expected)] / expected - 1
    off = draws.estimate(error[0], error[1:], total)
    figures = [Figure("contract-base-off", _say("contract-base", "off"), off, "share of the value")]
    beyond = today["renewals"].to_numpy() >= [found.of(v).at_risk.shape[1] for v in today["level"]]
    trial = None
    with suppress(Unanswered):
        trial, error = _held_back(company, found)
        label = _say("contract-base", "held_back", span=trial["span"])
        figures.append(Figure("held-back-off", label, error, "share of payments", known="count"))
    return answer(
        "forecast", table(rows, [STAGE]), figures,
        customers=total, value=e, off=abs_of(off), low=off.value < 0, detected=off.excludes(0), horizon=horizon,
        top=top[STAGE] if named else "", top_share=top["share"],
        used=_used(found), by_model={k: rows[-1][k] for k in kinds}, trial=trial,
        extrapolated=int(today["n"].to_numpy()[beyond].sum()), unpriced=int(today["unpriced"].sum()),
    )  # fmt: skip


def _held_back(company: Company, found: Fitted) -> tuple[dict[str, object], Estimate]:
    """Fit to what was known some terms ago, and compare the payments then expected with those made since.

    Returns facts and the relative error of the payments. Both sides are under the same resamples of customers, so that
    the interval of the error covers the luck of who left. Unanswered if the history is too short or too small.
    """
    held = min(max(12 // found.term_months, 1), found.levels[ALL].at_risk.shape[1] // 3)
    if not held:
        raise Unanswered("few-joiners", term=found.term_months * DAYS_A_MONTH)
    span = held * found.term_months * DAYS_A_MONTH
    then = company.as_of - timedelta(days=math.ceil(span))
    earlier = fitted(company, found.term_months, then)
    by = [earlier.segment] if earlier.segment != ALL else []
    rows = contract_terms.base(company, found.term_months * DAYS_A_MONTH, by, then, held)
    rows = rows.assign(level=rows[earlier.segment] if by else ALL)
    if rows["n"].sum() < company.settings.privacy.minimum_base or not rows["paid"].sum():
        raise Unanswered("few-customers", customers=int(rows["n"].sum()))
    sums = ["n", "fee", "paid", "kept", "fee_paid"]
    cells, drawn = draws.resample(rows, "fold", sums, ["level", "renewals"], resamples(company))
    drawn = dict(zip(sums, np.moveaxis(drawn, 2, 0), strict=True))
    n, every = float(drawn["n"][0].sum()), np.ones(held)

    def off(who: str, seen: str, factors: np.ndarray, kind: str = "") -> tuple[float, float, Estimate]:
        due, came = (_ahead(earlier, cells, factors, kind) * drawn[who]).sum(axis=1), drawn[seen].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = due / came - 1
        return due[0], came[0], draws.estimate(error[0], error[1:], n)

    expected, made, e = off("n", "paid", every)
    still, kept, still_off = off("n", "kept", np.eye(held)[-1])
    others = [k for k in (*KINDS, CONSTANT) if any(k in level.fits for level in earlier.levels.values())]
    facts = {
        "span": span, "then": then, "customers": n, "expected": expected, "made": made, "off": abs_of(e),
        "low": e.value < 0, "detected": e.excludes(0), "still": still, "kept": kept, "still_off": still_off.value,
        "money_off": off("fee", "fee_paid", every)[2].value,
        "by_model": {k: off("n", "paid", every, k)[2].value for k in others},
    }  # fmt: skip
    return facts, e
