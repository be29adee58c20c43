"""04_value: more than staying: upsell and cross-sell, order value and frequency by score, and who will buy on top.

What is bought on top is an order of kind upsell or cross_sell. Leaving competes with it: who has left buys nothing more, and
counts as not having done so. What a new customer is worth is in ``newcomers``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pandas as pd
from scipy import special

from cxlib.churn.retention import points
from cxlib.counts import answers, people, snapshots, upsells
from cxlib.counts.answers import NO_ANSWER
from cxlib.counts.snapshots import answer
from cxlib.intake.company import Company
from cxlib.page import prediction
from cxlib.page.findings import (
    Figure,
    Finding,
    day,
    interval,
    listing,
    money,
    number,
    p_value,
    percent,
    table,
    those,
    unanswered,
)
from cxlib.page.prediction import Fitted
from cxlib.page.resamples import resamples
from cxlib.stats import intervals, logistic, scoring, standardise
from cxlib.stats.estimate import Estimate

FEWEST = 20  # answers followed by an upgrade, for score groups to be compared
FEWEST_ORDERS = 10  # of every score group, where their value is compared
LEAST_FITTED, LEAST_TESTED = 50, 20  # customers who bought, to fit a model to and to judge it by

# What the tables of the page show, by the heading a reader sees.
BY_SCORE = {
    "band": "Group",
    "value": "Share with an upgrade",
    "low": "Low",
    "high": "High",
    "gained": "Gained per answer",
    "gained_low": "Low",
    "gained_high": "High",
    "n": "Answers",
}


def _what(company: Company) -> str:
    k = upsells.kinds(company)
    return "an upsell or cross-sell" if k.upsells and k.cross_sells else "an upsell" if k.upsells else "a cross-sell"


def _why_not_scored(company: Company, metric: str) -> str | None:
    """Return why nothing can be said by score, None if something can."""
    if not metric:
        return people.require(company, "responses") or "no question was answered."
    if not answers.dated(company):
        return "the answers carry no dates."
    contractual = company.settings.relationship == "contractual"
    missing = people.require(company, "orders")
    missing = missing or (people.require(company, "customers", "joined_on", "left_on") if contractual else None)
    return f"{missing}." if missing else None


# ---- by score ---------------------------------------------------------------------------------------------------------


def _mixed_by(company: Company) -> str:
    return listing([*people.segments(company)[:1], "time as a customer"])


def by_score(company: Company, metric: str = "", window_days: int = 182) -> Finding:
    """Answer: do customers buy more on top after a good answer? Share of answers followed by an upgrade, and the money gained.

    All answers with a whole window before the as-of date, "no answer" being a group; at one mix of the first declared segment
    and the stage of the customer. Who left in the window had no upgrade. Intervals from the fold draws.
    """
    name, title = "upsell-by-score", f"Answers followed by an upsell or cross-sell within {window_days} days"
    metric = answers.choose(company, metric)
    if why := upsells.why_not(company) or _why_not_scored(company, metric):
        return unanswered(name, title, why)
    counted, what = upsells.after_answer(company, metric, window_days), _what(company)
    if (seen := int(counted["bought"].sum())) < FEWEST:
        return unanswered(name, title, f"only {seen:,} answers were followed by {what}; {FEWEST} are needed.")
    names = standardise.groups_of(company, metric, counted)
    groups = names if isinstance(names, str) else standardise.add_up(company, counted, names, finer=1)
    if isinstance(groups, str):
        return unanswered(name, title, groups)
    share, gained, rows = groups.ratio("bought", "n"), groups.ratio("gained", "n", low=None), []
    for i, band in enumerate(groups.names):
        e, g = share.each(band), gained.each(band)
        if math.isnan(e.low):  # nobody of the group bought in any resample
            exact = intervals.share(groups.sums["bought"][0, :, i].sum(), e.n)
            e = Estimate(e.value, exact.low, exact.high, n=e.n)
        rows.append({"band": band, "estimate": e, "gained": g.value, "gained_low": g.low, "gained_high": g.high})
    worst, best, currency = share.answered[0], share.answered[-1], company.settings.currency or ""
    gap, more = share.gap(best, worst), gained.gap(best, worst)
    shares, write = {r["band"]: r["estimate"].value for r in rows}, lambda v: money(v, currency, 2)
    alike = f", at equal {_mixed_by(company)}" if groups.levels > 1 else ""
    text = (
        f"{percent(shares[best])} of {those(best)} and {percent(shares[worst])} of {those(worst)} took {what} within {window_days} "
        f"days of the answer: a gap of {points(gap)}{alike}. The money it brought per answer differs by "
        f"{interval(more, write)}"
    )
    replace = upsells.kinds(company).replace
    text += " a payment." if replace else "."
    if not gap.excludes(0):
        text = f"No detectable link: {text}"
    figures = (
        Figure(f"{metric}-upsell-gap", f"{best} minus {worst}: share with {what} within {window_days} days", gap, "share", "answers",
               "" if math.isfinite(gap.low) else "too few upgrades"),
        Figure(f"{metric}-upsell-gained", f"{best} minus {worst}: gained per answer by it", more,
               f"{currency} a payment" if replace else currency, "answers", "" if math.isfinite(more.low) else "too few upgrades"),
    )  # fmt: skip
    how = (
        "The money is what an upsell is above the customer's payment before it, for one payment, as upsells here take the place "
        "of renewals; of a cross-sell it is the revenue. Later payments at the higher price are not in it."
        if replace
        else "The money is the whole revenue of these orders."
    )
    caveats = [how, "Who left in the time counts as having taken none.", *groups.caveats(_mixed_by(company))]
    if unknown := int(groups.sums["unpriced"][0].sum()):
        caveats.append(f"{unknown:,} upsells have no payment before them and count with no money.")
    caveats.append(
        "Segments are as exported today: where an upsell changes the plan, who took it is compared in the new one. It goes with "
        "the score, and is not what raising a score would bring."
    )
    return Finding(name, title, text, "C" if groups.levels > 1 else "D", table(rows, ["band"]), figures, tuple(caveats))


def orders(company: Company, metric: str = "", window_days: int = 182) -> Finding:
    """Answer: do orders become larger or more frequent after a good answer? Equal windows, equals with equals.

    Without contracts equals are alike in purchase days and mean order value until the answer; with contracts in the first
    declared segment and the stage. Order value: levels weighted by the orders of all groups; frequency: by answers.
    """
    name, title = "orders-by-score", f"Order value and orders a month in the {window_days} days after an answer"
    metric = answers.choose(company, metric)
    if why := _why_not_scored(company, metric):
        return unanswered(name, title, why)
    counted = upsells.orders_after(company, metric, window_days)
    contractual = company.settings.relationship == "contractual"
    names, finer = standardise.groups_of(company, metric, counted), 1 if contractual else upsells.FINER
    need = {"orders": FEWEST_ORDERS}
    groups = names if isinstance(names, str) else standardise.add_up(company, counted, names, finer, also=need)
    if isinstance(groups, str):
        return unanswered(name, title, groups)
    seen = {b: groups.sums["orders"][0, :, i].sum() for i, b in enumerate(groups.names)}
    if few := [b for b, n in seen.items() if n < FEWEST_ORDERS]:
        return unanswered(
            name,
            title,
            f"fewer than {FEWEST_ORDERS} orders followed the answers of {those(few[0])}, too few to compare.",
        )
    answered, currency = [b for b in groups.names if b != NO_ANSWER], company.settings.currency or ""
    worst, best, rows, said, figures = answered[0], answered[-1], [], [], []
    for what, unit, label, ratio, show, scale in (
        ("order value", currency, "Order value", groups.ratio("revenue", "orders", None), lambda v: money(v, currency, 2), 1.0),
        ("orders a month", "orders in 30 days", "Orders in 30 days", groups.ratio("orders", "n"), lambda v: number(v, 3),
         30 / window_days),
    ):  # fmt: skip
        ratio = ratio.times(scale)
        rows += [{"what": what, "band": b, "unit": unit, "estimate": ratio.each(b)} for b in groups.names]
        gap, ends = ratio.gap(best, worst), [show(ratio.each(b).value) for b in (best, worst)]
        link = "" if gap.excludes(0) else "no detectable difference, "
        said.append(f"{what} {ends[0]} against {ends[1]} ({link}{interval(gap, show)})")
        figures.append(
            Figure(f"{metric}-{what.replace(' ', '-')}-gap", f"{best} minus {worst}: {label[0].lower()}{label[1:]}", gap, unit,
                   "answers", "" if math.isfinite(gap.low) else "all resamples agree")
        )  # fmt: skip
    alike = _mixed_by(company) if contractual else "earlier purchases, earlier order value and time as a customer"
    at = f", at equal {alike}" if groups.levels > 1 else ""
    text = f"In the {window_days} days after the answer, {those(best)} against {those(worst)}{at}: {'; '.join(said)}."
    caveats = ["Orders of one day are one; returns are taken off the revenue.", *groups.caveats(alike)]
    if contractual:
        caveats.append(
            "Who left in the time counts, with the orders made until then: fewer orders may be an earlier leaving."
        )
    caveats.append("It goes with the score, and is not what raising a score would bring.")
    grade = "C" if groups.levels > 1 else "D"
    return Finding(name, title, text, grade, table(rows, ["what", "band", "unit"]), tuple(figures), tuple(caveats))


# ---- who will ----------------------------------------------------------------------------------------------------------


def _prepared(company: Company, cells: pd.DataFrame, answers: Sequence[str]) -> Fitted:
    """Make cells ready for a model: small levels of segments put together, fields that know the outcome left out."""
    cells, least, leaks = cells.copy(), company.settings.privacy.minimum_base, {}
    for name in people.segments(company):
        size = cells.groupby(name)["n"].transform("sum")
        cells[name] = cells[name].mask(size < least, prediction.OTHERS)
    fields = [k for k in (*upsells.predictors(company), *answers) if cells[k].nunique() > 1]
    for name in fields:
        sums = cells.groupby(name)[["n", "bought"]].sum()
        of = np.concatenate([sums["bought"], sums["n"] - sums["bought"]])
        if (
            scoring.concordance(np.tile(sums["bought"] / sums["n"], 2), np.repeat([1, 0], len(sums)), of)
            >= prediction.TOO_GOOD
        ):
            leaks[name] = "knows the outcome"
    return Fitted(cells, (), tuple(k for k in fields if k not in leaks), leaks, float(cells["bought"].sum()))


def model(company: Company, horizon_days: int = 182) -> Finding:
    """Answer: who will buy on top? Probability of an upgrade within the horizon, from what is known on a day.

    A logistic regression fitted to earlier snapshots and judged on a later one (van Houwelingen 2007; Steyerberg 2019), with
    and without the last answers. Leaving competes: who left within the horizon has not bought.
    """
    name, title = "upsell-model", f"Upsells and cross-sells predicted and seen within {horizon_days} days"
    contractual = company.settings.relationship == "contractual"
    if why := upsells.why_not(company) or (people.require(company, "customers", "joined_on") if contractual else None):
        return unanswered(name, title, why)
    what, metrics, matrix = _what(company), prediction.metrics_of(company), resamples(company)
    test_day = company.as_of - timedelta(days=horizon_days)
    fit_days = snapshots.dates(company, test_day, horizon_days)
    latest = snapshots.dates(company, company.as_of, horizon_days)
    if not fit_days:
        return unanswered(
            name, title, f"who left by then is not known on any day {horizon_days} days before {day(test_day)}."
        )
    on = tuple(sorted({*fit_days, *latest, company.as_of}))
    counted = upsells.patterns(company, on, horizon_days, metrics)
    counted = counted.assign(day=[on[i] for i in counted["at"]])
    apart = fit_days[:: math.ceil(horizon_days / snapshots.STEP_DAYS)]  # their windows do not overlap
    seen, tested = (int(counted.loc[counted["day"].isin(d), "bought"].sum()) for d in (apart, [test_day]))
    if seen < LEAST_FITTED or tested < LEAST_TESTED:
        why = (
            f"too few took {what}: {seen:,} until {day(test_day)} and {tested:,} in the {horizon_days} days after; {LEAST_FITTED} are "
            f"needed to fit a model and {LEAST_TESTED} to judge it."
        )
        return unanswered(name, title, why)
    answers = [answer(m) for m in metrics]
    fitted = _prepared(company, counted[counted["day"].isin(fit_days)], answers)
    test = fitted.known(counted[counted["day"] == test_day])
    base = [k for k in fitted.fields if k not in answers]
    with_answers = [k for k in fitted.fields if k in answers]
    found = {}
    for key, fields in (("without", base), ("with", [*base, *with_answers])):
        fit = logistic.fit(fitted.cells, "n", "bought", fields, "fold")
        p = fit.probability(test)
        two = pd.concat(
            [test.assign(p=p, y=1.0, size=test["bought"]), test.assign(p=p, y=0.0, size=test["n"] - test["bought"])]
        )
        found[key] = scoring.resampled(two["p"], two["y"], two["size"], two["fold"], matrix)
    n, expected = float(test["n"].sum()), float(p @ test["n"])
    groups = max(2, min(10, int(n // company.settings.privacy.minimum_base)))
    rows = scoring.calibration_table(two["p"], two["y"], two["size"], groups)
    line = scoring.calibration_line(two["p"], two["y"], two["size"], two["fold"])
    whole, plain = found["with"], found["without"]
    order, top = (scoring.estimate(whole[m].to_numpy(), n) for m in (scoring.CONCORDANCE, scoring.LIFT))
    gain = scoring.estimate((whole - plain)[scoring.CONCORDANCE].to_numpy(), n)
    log = scoring.estimate((whole - plain)[scoring.LOG_SCORE].to_numpy(), n)
    share, two_digits = lambda v: number(v, 3), lambda v: number(v, 2)
    text = (
        f"Of {n:,.0f} customers here on {day(test_day)}, {expected:,.0f} were predicted to take {what} within {horizon_days} days and "
        f"{tested:,} did; among the tenth most likely it was {interval(top, two_digits)} times as frequent as among all. "
    )
    if with_answers:
        before = share(plain[scoring.CONCORDANCE].iloc[0])
        moved = f"the concordance goes from {before} to {share(order.value)}, a gain of {interval(gain, share)}"
        over, tests = listing(base) or "the average", {k: fit.wald(k)[2] * len(with_answers) for k in with_answers}
        first = min(tests, key=tests.get)
        if log.low > 0:
            text += f"The answers tell who does beyond {over}: {moved}. "
        elif tests[first] < 0.05 and not log.high < 0:
            text += f"In the snapshots fitted {first} goes with it beyond {over} ({p_value(tests[first])}), but on later customers no "
            text += f"gain is certain: {moved}. "
        else:
            text += f"The answers add nothing detectable over {over}: {moved}. "
    text += _readable(line, order)
    today, expects = _expected_today(company, counted, latest, answers, matrix)
    text += f"Of {today:,.0f} customers of today {interval(expects, lambda v: number(v, 0))} are expected to take one."
    figures = [
        Figure("upsell-concordance", "Concordance on later customers", order, "concordance"),
        Figure("upsell-lift", "Lift of the tenth most likely", top, "times"),
        Figure("upsell-calibration-slope", "Slope of upgrades seen on predicted", line.slope, "log-odds per log-odds"),
        Figure(
            "expected-upsells",
            f"Customers of today expected to take {what} within {horizon_days} days",
            expects,
            "customers",
        ),
    ]
    if with_answers:
        figures.insert(1, Figure("upsell-gain", "Gain in concordance by the answers", gain, "concordance",
                                 note="" if math.isfinite(gain.low) else "all resamples agree"))  # fmt: skip
    caveats = [
        f"Fitted to customers here between {day(fit_days[-1])} and {day(fit_days[0])} and judged on those of {day(test_day)}; only "
        "answers given by then, and not older than a year, are known. Who left in the time counts as having taken none.",
        f"Slope {interval(line.slope, two_digits)}, 1 being right; intercept {interval(line.intercept, two_digits)}, 0 being right.",
        "The monthly price is left out, as the one exported has the later upsells in it; segments are as exported too. An "
        "association: it does not say who would buy because they are asked.",
        "The interval of those expected says how well the model is known; by luck their number will vary about it as well.",
    ]
    if fitted.leaks:
        caveats.append(f"Left out, as they tell the outcome itself: {listing(fitted.leaks)}.")
    return Finding(name, title, text, "C", rows, tuple(figures), tuple(caveats))


def _readable(line: scoring.CalibrationLine, order: Estimate) -> str:
    """Say whether the probabilities can be read as they stand."""
    off = ["too low" if line.intercept.value > 0 else "too high"] if line.intercept.excludes(0) else []
    off += ["too extreme" if line.slope.value < 1 else "too timid"] if line.slope.excludes(1) else []
    if not off:
        return ""
    use = "use them to put customers in order" if order.low > 0.5 else "their order is not detectably better than luck"
    return f"The probabilities are {listing(off)}, so they cannot be read as they stand; {use}. "


def _expected_today(
    company: Company, counted: pd.DataFrame, latest: Sequence[object], answers: Sequence[str], matrix: np.ndarray
) -> tuple[float, Estimate]:
    """Count the customers of today, and how many are expected to buy by a model with the latest outcomes."""
    fitted = _prepared(company, counted[counted["day"].isin(latest)], answers)
    fields = list(fitted.fields)
    now = logistic.fit(fitted.cells, "n", "bought", fields, "fold")
    cells = fitted.known(counted[counted["day"] == company.as_of])
    cells = cells.groupby(fields, as_index=False)["n"].sum() if fields else cells
    design, n = now.design(cells), cells["n"].to_numpy(float)
    drawn = np.array([n @ special.expit(design @ moved) for moved in now.draws(matrix)])
    return float(n.sum()), scoring.estimate(drawn, float(n.sum()), low=0)
