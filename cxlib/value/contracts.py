"""04_value: how long do customers under a contract go on paying, and what is today's base worth? Models of renewal.

Counted in whole terms since joining (``intake.terms``); leaving of any kind ends the payments. Three models of who renews:
one constant rate, shifted-beta-geometric (sBG: everybody has a rate of their own) and beta-discrete-Weibull (BdW: that rate
may change with tenure as well). Where one is used, it is the one with the lowest AIC.

Sources: Fader & Hardie (2007), How to project customer retention, J. Interactive Marketing 21(1); (2010), Customer-base
valuation in a contractual setting, Marketing Science 29(1); Fader, Hardie, Liu, Davin & Steenburgh (2018), J. Interactive
Marketing 43.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from cxlib.counts import contract_terms, people
from cxlib.counts.people import DAYS_A_MONTH, STAGE
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, day, interval, listing, money, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.stats import draws, finance, intervals
from cxlib.stats.estimate import Estimate
from cxlib.stats.renewal_draws import RenewalFit
from cxlib.page.valuation import period_rate, share_kept
from cxlib.value import renewal_models
from cxlib.value.renewal_models import ALL, CONSTANT, SHORT, Fitted, Level, fitted, term, why_not

OTHER = "other stages"
KINDS = tuple(SHORT.values())

# What the tables of the page show, by the heading a reader sees.
LIFETIMES = {"level": "Who", "after": "Months here", "model": "Model", "value": "Months paid for", "low": "Low", "high": "High",
             "money": "Worth", "without_end": "Months without end (extrapolated)"}  # fmt: skip
SHORTCUT = {"horizon": "Over", STAGE: "Time as a customer", "shortcut": "One average rate", "value": "Model", "low": "Low",
            "high": "High", "off": "Off (share)", "n": "Customers"}  # fmt: skip
BASE = {
    STAGE: "Time as a customer",
    "n": "Customers",
    "value": "Worth",
    "low": "Low",
    "high": "High",
    "each": "Each",
    "share": "Share",
}


# ---- the models ------------------------------------------------------------------------------------------------------


def fits(company: Company, term_months: int = 1) -> Finding:
    """Answer: does churn fall with tenure, and how long does it go on? Shares kept as seen, beside the models.

    As seen: the product of the shares that made each renewal, over all cohorts followed for so long (Kaplan-Meier with
    equal follow-up). Up to twelve months beyond what was seen are projected. Intervals from refits under the fold draws.
    """
    name, title = "renewal-models", "Share still here by time since joining, as seen and by the models of renewal"
    found = why_not(company) or fitted(company, term_months)
    if isinstance(found, str):
        return unanswered(name, title, found)
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
    level = found.levels[ALL]
    best, last = level.best, max(min(level.seen(least), 12 // term_months), 2)
    text, figures = _falls(level, best, last, term_months)
    caveats = [
        f"{label}: " + "; ".join(_parameters(k, f) for k, f in each.fits.items()) + f". Lowest AIC: {each.best}."
        for label, each in found.levels.items()
    ]
    caveats.append(
        "Sorting and loyalty that grows give the same falling churn of a group; only the form of the models tells them apart. "
        "Beyond the last month with customers followed, curves are projections."
    )
    return Finding(
        name,
        title,
        text,
        "D",
        table(rows, ["segment", "months"]),
        tuple(figures),
        (*caveats, *renewal_models.caveats(company, found)),
    )


def _kept(drawn: np.ndarray, n: float) -> Estimate:
    if drawn[0] == 1:  # nobody left yet: no draw differs
        return intervals.share(n, n, method="clopper-pearson")
    return draws.estimate(drawn[0], drawn[1:], n, low=0, high=1)


def _parameters(name: str, fit: RenewalFit) -> str:
    said = ", ".join(f"{k} {v:.4g}" for k, v in fit.model.params.items())
    return f"{name} {said}, AIC {number(fit.aic)}"


def _falls(level: Level, best: str, last: int, term_months: int) -> tuple[str, list[Figure]]:
    """Say whether churn falls with tenure, what that means, and whether each one's own rate changes as well."""
    fit, figures = level.fits[best], []
    if best == CONSTANT:
        e = draws.estimate(1 - fit.params[0, 0], 1 - fit.params[1:, 0], level.n, low=0, high=1)
        text = f"Churn does not detectably fall with tenure: {interval(e, percent)} leave in each term of {term(term_months)}, and one "
        text += "constant rate describes it as well as any model."
        return text, [Figure("churn-term", "Leave in each term", e, "share of those here at its start")]
    still = fit.survival(last)
    leave = 1 - still[:, 1:] / still[:, :-1]
    ends = [draws.estimate(leave[0, k], leave[1:, k], level.n, low=0, high=1) for k in (0, last - 1)]
    gap = draws.estimate(leave[0, 0] - leave[0, -1], leave[1:, 0] - leave[1:, -1], level.n)
    falls = "falls" if gap.low > 0 else "rises" if gap.high < 0 else "does not detectably change"
    text = f"Churn {falls} with tenure: from {interval(ends[0], percent)} in the first term of {term(term_months)} to "
    text += f"{interval(ends[1], percent)} in term {last} ({best}). "
    figures = [
        Figure(f"churn-term-{k}", f"Leave in term {k} ({best})", e, "share of those here at its start")
        for k, e in zip((1, last), ends, strict=True)
    ]
    if gap.low > 0:
        text += "By the model that is sorting: those likely to leave have left; it is no proof that anybody grew more loyal. "
    if (bdw := level.fits.get("BdW")) and "sBG" in level.fits:
        c = draws.estimate(bdw.params[0, -1], bdw.params[1:, -1], level.n, low=0)
        figures.append(Figure("duration-dependence", "Power c of BdW: 1 is sorting alone", c, "exponent"))
        better = level.fits["sBG"].aic - bdw.aic
        if better > 0 and c.excludes(1):
            way = "falls" if c.value < 1 else "rises"
            text += f"BdW fits better (AIC lower by {number(better)}): beyond sorting, each one's own chance of leaving {way} with tenure, "
            text += f"c {interval(c, lambda v: number(v, 2))}."
        else:
            text += f"Sorting alone will do: BdW shows no certain change of anybody's own chance, c {interval(c, lambda v: number(v, 2))}."
    return text.strip(), figures


# ---- money -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Worth:
    """How payments become money: ``rate`` and ``factors`` per term, ``per_fee`` for a payment of a monthly fee of 1."""

    rate: float
    factors: np.ndarray
    per_fee: float
    currency: str

    def write(self, amount: float) -> str:
        return money(amount, self.currency)


def _worth(company: Company, term_months: int) -> _Worth:
    m = company.settings.money
    rate = period_rate(company, term_months)
    factors = finance.discount_factors(rate, math.ceil(m.horizon_months / term_months), m.first_flow)
    return _Worth(rate, factors, share_kept(company) * term_months, company.settings.currency)


def _ready(company: Company, term_months: int, priced: bool) -> tuple[Fitted, _Worth] | str:
    if why := why_not(company):
        return why
    if company.settings.money is None:
        return NO_MONEY
    if priced and (missing := people.require(company, "customers", "monthly_revenue")):
        return f"{missing}."
    found = fitted(company, term_months)
    return found if isinstance(found, str) else (found, _worth(company, term_months))


def lifetimes(company: Company, term_months: int = 1) -> Finding:
    """Answer: for how long will a customer pay, now and after 12 or 24 months, and what is that worth?

    Discounted months paid for, from a payment just made (counted); over the horizon, and without end by each model. Money: times
    the mean fee of today's customers of the level.
    """
    name, title = "lifetimes", "Discounted months a customer will pay for, by model"
    ready = _ready(company, term_months, priced=False)
    if isinstance(ready, str):
        return unanswered(name, title, ready)
    found, worth = ready
    m, least = company.settings.money, company.settings.privacy.minimum_base
    fees = _mean_fees(company, found) if company.has("customers", "monthly_revenue") else {}
    rows, late = [], 1.0 if m.first_flow == "now" else 1 / (1 + worth.rate)
    for label, level in found.levels.items():
        done = [k // term_months for k in (0, 12, 24) if k % term_months == 0 and k // term_months <= level.seen(least)]
        shown = [kind for kind in level.fits if kind != CONSTANT or kind == level.best]
        for k, model in [(k, model) for k in done for model in shown]:
            fit = level.fits[model]
            now = worth.factors[0] + fit.ahead(k, worth.factors[1:])[:, k]
            whole = late * (
                1 + np.asarray(fit.model.residual_lifetime(k, worth.rate, fit.params[:1]))[0] / (1 + worth.rate)
            )
            months = now * term_months
            row = {"level": label, "after": k * term_months, "model": model}
            row |= {"estimate": draws.estimate(months[0], months[1:], level.n, low=0), "aic": fit.aic}
            if label in fees and (
                label != ALL or len(found.levels) == 1
            ):  # newcomers are another mix than today's base
                paid = now * fees[label] * worth.per_fee
                e = draws.estimate(paid[0], paid[1:], level.n, low=0)
                row |= {"money": e.value, "money_low": e.low, "money_high": e.high}
            rows.append(row | {"without_end": float(np.ravel(whole)[0]) * term_months})
    shown = table(rows, ["level", "after", "model"])
    best = found.levels[ALL].best
    of_all = {r["after"]: r["estimate"] for r in rows if r["level"] == ALL and r["model"] == best}
    ends = shown.loc[(shown["level"] == ALL) & (shown["after"] == 0), "without_end"]
    seen = found.levels[ALL].seen(least) * term_months
    text = f"Of the next {m.horizon_months} months a new customer is expected to pay for {interval(of_all[0], number)}, discounted"
    figures = [
        Figure(
            "lifetime-months", f"Months a new customer pays for in {m.horizon_months}", of_all[0], "discounted months"
        )
    ]
    new = next(r for r in rows if r["level"] == ALL and r["model"] == best and r["after"] == 0)
    if "money" in new:
        e = Estimate(new["money"], new["money_low"], new["money_high"], n=new["estimate"].n)
        text += f": {interval(e, worth.write)}"
        figures.append(
            Figure("lifetime-value", f"Value of a new customer over {m.horizon_months} months", e, worth.currency)
        )
    text += f" ({best})."
    if later := [k for k in of_all if k]:
        text += f" After {listing(later)} months here it is {listing(number(of_all[k].value) for k in later)} months."
        figures += [
            Figure(f"lifetime-months-{k}", f"The same after {k} months here", of_all[k], "discounted months")
            for k in later
        ]
    whole = number(ends.min()) + (f" to {number(ends.max())}" if len(ends) > 1 else "")
    text += (
        f" Without end it is {whole} months by the model{'s' * (len(ends) > 1)}, extrapolated from {seen} months seen."
    )
    caveats = [
        "Counted from a payment just made, which is counted. Without end: no more than what each model's form makes of the months "
        "seen; the spread between the models is the better measure of what is not known.",
        *(["Money is at the mean fee of today's customers of the level; what they come to pay later is not in it."] if fees else []),
    ]  # fmt: skip
    return Finding(name, title, text, "D", shown, tuple(figures), tuple(caveats))


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
    """Return the customers of today by level, stage and renewals made; stages too small to be told apart are one."""
    by = [found.segment] if found.segment != ALL else []
    rows = contract_terms.base(company, found.term_months * DAYS_A_MONTH, [*by, STAGE])
    rows = rows.assign(level=rows[found.segment] if by else ALL)
    sizes, least = rows.groupby(STAGE)["n"].sum().sort_values(), company.settings.privacy.minimum_base
    small = int((sizes < least).sum())
    small += bool(small and sizes.iloc[:small].sum() < least)
    rows[STAGE] = rows[STAGE].where(~rows[STAGE].isin(sizes.index[:small]), OTHER)
    return rows.groupby(["level", STAGE, "renewals"], as_index=False, observed=True)[["n", "fee", "unpriced"]].sum()


def _ahead(found: Fitted, cells: pd.DataFrame, factors: np.ndarray, model: str = "") -> np.ndarray:
    """Return the payments ahead of a customer in each cell (level, renewals): (1 + draws) x cells.

    Without ``model``: by the best of each level.
    """
    each = np.zeros((len(found.levels[ALL].at_risk), len(cells)))
    for name, where in cells.groupby("level").indices.items():
        level, renewals = found.of(name), cells["renewals"].to_numpy()[where]
        each[:, where] = level.fit(model or level.best).ahead(int(renewals.max()), factors, found.passed)[:, renewals]
    return each


def _by_stage(today: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    present = people.in_order(STAGE, set(today[STAGE]))
    return [*((s, (today[STAGE] == s).to_numpy()) for s in present), (ALL, np.ones(len(today), dtype=bool))]


def shortcut(company: Company, term_months: int = 1) -> Finding:
    """Answer: how far off is the formula of one average rate? Margin x r / (1 - r / (1 + d)), beside the models.

    r is the share of all renewals seen that were made, d the discount rate of a term; the coming payment is not discounted
    and is made by those who renew. Value: the best model of each level by tenure (Fader & Hardie 2010).
    """
    name, title = "shortcut", "Value of today's customers by one average rate, and by tenure"
    ready = _ready(company, term_months, priced=True)
    if isinstance(ready, str):
        return unanswered(name, title, ready)
    found, worth = ready
    today, m = _today(company, found), company.settings.money
    if today["n"].sum() < company.settings.privacy.minimum_base:
        return unanswered(name, title, "there are too few customers today.")
    flat = found.levels[ALL].fits[CONSTANT]
    fee, n = today["fee"].to_numpy(float), today["n"].to_numpy(float)
    delay = worth.factors[0]
    ways = {
        f"{m.horizon_months} months": (
            _ahead(found, today, worth.factors) * fee, flat.ahead(0, worth.factors) * fee
        ),
        "without end": (_endless(found, today, worth.rate) * delay * fee,
                        flat.model.residual_lifetime(0, worth.rate, flat.params) * delay * fee),
    }  # fmt: skip
    rows = []
    for horizon, (model, formula) in ways.items():
        for stage, mask in _by_stage(today):
            size = n[mask].sum()
            full, short = (each[:, mask].sum(axis=1) * worth.per_fee / size for each in (model, formula))
            with np.errstate(invalid="ignore", divide="ignore"):
                error = draws.estimate(short[0] / full[0] - 1, (short / full)[1:] - 1, size)
            e = draws.estimate(full[0], full[1:], size, low=0)
            rows.append({"horizon": horizon, STAGE: stage, "estimate": e, "shortcut": short[0], "off": error})
    off = {(r["horizon"], r[STAGE]): r["off"] for r in rows}
    near, far = ways
    text = f"Over {near} the formula of one average rate is off by {interval(off[near, ALL], _signed)} for today's base"
    text = text if off[near, ALL].excludes(0) else text.replace("is off by", "shows no certain error:")
    if math.isfinite(off[far, ALL].value):
        text += f", and without end, which is extrapolated, by {interval(off[far, ALL], _signed)}"
    stages = [s for s, __ in _by_stage(today)][:-1]
    text += "."
    if len(stages) > 1 and off[near, stages[-1]].high < 0:
        first = off[near, stages[0]]
        text += f" It undervalues the long-standing ({stages[-1]}: {_signed(off[near, stages[-1]].value)}), whom it takes to leave like "
        text += f"anybody else; {stages[0]}: {_signed(first.value)}."
    rate = 1 - flat.params[0, 0]
    caveats = [
        f"The formula: fee times share kept times r / (1 − r / (1 + d)); r {percent(1 - rate)}, of all {flat.model.at_risk:,.0f} renewals "
        f"seen; d {percent(worth.rate, 2)} a term; the coming payment is not discounted.",
        f"The model: {_used(found)}, each customer by the terms behind them. Off: the formula's value against it.",
    ]
    shown = table([{k: v for k, v in r.items() if k != "off"} | {"off": r["off"].value, "off_low": r["off"].low,
                    "off_high": r["off"].high} for r in rows], ["horizon", STAGE])  # fmt: skip
    figures = [Figure("shortcut-off", f"Average rate against the model, {near}", off[near, ALL], "share of the value")]
    if math.isfinite(off[far, ALL].low):
        figures.append(
            Figure("shortcut-off-endless", "The same without end, extrapolated", off[far, ALL], "share of the value")
        )
    return Finding(name, title, text, "D", shown, tuple(figures), tuple(caveats))


def _endless(found: Fitted, today: pd.DataFrame, rate: float) -> np.ndarray:
    total = np.zeros((len(found.levels[ALL].at_risk), len(today)))
    for level, where in today.groupby("level").indices.items():
        fit = found.of(level).fits[found.of(level).best]
        made, each = np.unique(today["renewals"].to_numpy()[where], return_inverse=True)
        total[:, where] = fit.model.residual_lifetime(made, rate, fit.params)[:, each]
    return total


def _signed(v: float) -> str:
    return f"{'+' if v > 0 else ''}{percent(v)}"


def _used(found: Fitted) -> str:
    return listing(
        f"{each.best} for {label}" for label, each in found.levels.items() if label != ALL or len(found.levels) == 1
    )


def base(company: Company, term_months: int = 1) -> Finding:
    """Answer: what is today's base worth over the horizon, and who holds that value? By tenure, with a test on held back months.

    Expected discounted payments given the terms behind each customer, times fee and share kept. The customers are exactly
    today's; the intervals are those of the parameters (fold draws).
    """
    name, m = "contract-base", company.settings.money
    title = (
        f"Value of today's customers over {m.horizon_months} months, by tenure" if m else "Value of today's customers"
    )
    ready = _ready(company, term_months, priced=True)
    if isinstance(ready, str):
        return unanswered(name, title, ready)
    found, worth = ready
    today = _today(company, found)
    total, fee = float(today["n"].sum()), float(today["fee"].sum())
    if total < company.settings.privacy.minimum_base or not fee:
        return unanswered(name, title, "there are too few customers with a fee today.")
    kinds = list(dict.fromkeys(k for level in found.levels.values() for k in level.fits if k != CONSTANT))
    pays = today["fee"].to_numpy(float) * worth.per_fee
    ways = {k: _ahead(found, today, worth.factors, k) * pays for k in ("", *kinds)}
    rows = []
    for stage, mask in _by_stage(today):
        n = float(today["n"].to_numpy()[mask].sum())
        worths = {k: v[:, mask].sum(axis=1) for k, v in ways.items()}
        e = draws.estimate(worths[""][0], worths[""][1:], n, low=0)
        row = {STAGE: stage, "estimate": e, "each": e.value / n, "share": e.value / ways[""][0].sum()}
        rows.append(row | {k: worths[k][0] for k in kinds})
    e = rows[-1]["estimate"]
    each = Estimate(e.value / total, e.low / total, e.high / total, n=total)
    top = max(rows[:-1], key=lambda r: r["share"]) if len(rows) > 2 else None
    text = (
        f"Today's {total:,.0f} customers are worth {interval(e, worth.write)} over the next {m.horizon_months} months, "
    )
    text += f"{interval(each, worth.write)} each"
    text += f"; {percent(top['share'], 0)} of it is with those in their {_stage(top[STAGE])}." if top else "."
    figures = [Figure("contract-base-value", f"Value of today's customers, {m.horizon_months} months", e, worth.currency),
               Figure("contract-base-each", "The same per customer", each, worth.currency)]  # fmt: skip
    caveats = [
        f"Model: {_used(found)}"
        + (
            f"; by one model throughout: {listing(f'{k} {worth.write(rows[-1][k])}' for k in kinds)}." if kinds else "."
        ),
        "Exactly the customers of today, at today's fees: intervals say how well the models are known, not what the future changes.",
    ]
    beyond = today["renewals"].to_numpy() >= [found.of(v).at_risk.shape[1] for v in today["level"]]
    if old := int(today["n"].to_numpy()[beyond].sum()):
        caveats.append(
            f"{old:,} of them have been here longer than any cohort was followed; what they will do is extrapolated."
        )
    if unpriced := int(today["unpriced"].sum()):
        caveats.append(f"{unpriced:,} customers without a fee count as 0.")
    checked = _held_back(company, found)
    if isinstance(checked, str):
        caveats.append(f"Not tested on months held back: {checked}")
    else:
        figure, words = checked
        text += f" {words[0]}"
        figures.append(figure)
        caveats += words[1:]
    return Finding(name, title, text, "D", table(rows, [STAGE]), tuple(figures), tuple(caveats))


def _stage(stage: str) -> str:
    return {people.LAST_STAGE: "third year or later"}.get(stage, stage)


def _held_back(company: Company, found: Fitted) -> tuple[Figure, list[str]] | str:
    """Fit to what was known some terms ago, and compare the payments forecast for the customers of then with those made.

    Both under the same resamples of customers, so that the error's interval holds the luck of who left.
    """
    held = min(max(12 // found.term_months, 1), found.levels[ALL].at_risk.shape[1] // 3)
    if not held:
        return "the history is too short."
    then = company.as_of - timedelta(days=math.ceil(held * found.term_months * DAYS_A_MONTH))
    earlier = fitted(company, found.term_months, then)
    if isinstance(earlier, str):
        return f"of what was known on {day(then)}, {earlier}"
    by = [earlier.segment] if earlier.segment != ALL else []
    rows = contract_terms.base(company, found.term_months * DAYS_A_MONTH, by, then, held)
    rows = rows.assign(level=rows[earlier.segment] if by else ALL)
    if rows["n"].sum() < company.settings.privacy.minimum_base or not rows["paid"].sum():
        return f"too few customers were here on {day(then)}."
    sums = ["n", "fee", "paid", "kept", "fee_paid"]
    cells, drawn = draws.resample(rows, "fold", sums, ["level", "renewals"], resamples(company))
    drawn = dict(zip(sums, np.moveaxis(drawn, 2, 0), strict=True))
    n, every = float(drawn["n"][0].sum()), np.ones(held)

    def off(who: str, seen: str, factors: np.ndarray, kind: str = "") -> tuple[float, float, Estimate]:
        forecast, came = (_ahead(earlier, cells, factors, kind) * drawn[who]).sum(axis=1), drawn[seen].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = forecast / came - 1
        return forecast[0], came[0], draws.estimate(error[0], error[1:], n)

    forecast, made, e = off("n", "paid", every)
    still, kept, gone_wrong = off("n", "kept", np.eye(held)[-1])
    worth, span = off("fee", "fee_paid", every)[2], term(held * found.term_months)
    others = [k for k in (*KINDS, CONSTANT) if any(k in level.fits for level in earlier.levels.values())]
    each = listing(f"{k} {_signed(off('n', 'paid', every, k)[2].value)}" for k in others)
    words = [
        f"Fitted {span} ago, the same models forecast {forecast:,.0f} payments of the customers of then, and {made:,.0f} were made: off "
        f"by {interval(e, _signed)}.",
        f"Held back: {span} from {day(then)}, {n:,.0f} customers. Still here at the end: {still:,.0f} forecast, {kept:,.0f} seen "
        f"({_signed(gone_wrong.value)}); payments in money {_signed(worth.value)}, at the fees exported; payments by one model "
        f"throughout: {each}.",
    ]
    return Figure(
        "held-back-off", f"Payments forecast against those made, {span} held back", e, "share of those made"
    ), words
