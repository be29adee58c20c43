"""04_value: upsell and cross-sell, order value and frequency by score, and who will buy an upgrade.

An upgrade is an order of kind upsell or cross_sell. Leaving competes with it: leavers buy nothing more, and count as
not having bought. What a new customer is worth is in ``acquisition``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial

import numpy as np
import pandas as pd
from scipy import special

from cxlib.counts import answers, people, snapshots, upsells
from cxlib.counts.answers import NO_ANSWER
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import prediction, words
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.prediction import Fitted
from cxlib.page.resamples import resamples
from cxlib.stats import intervals, logistic, scoring, standardise
from cxlib.stats.estimate import Estimate
from cxlib.stats.standardise import NOTHING, Sums

FEWEST = 20  # answers followed by an upgrade, for score groups to be compared
FEWEST_ORDERS = 10  # of every score group, where their value is compared
LEAST_FITTED, LEAST_TESTED = 50, 20  # customers who bought an upgrade, to fit a model to and to test it on
TENURE = "time as a customer"


def _what(company: Company) -> str:
    k = upsells.kinds(company)
    return "an upsell or cross-sell" if k.upsells and k.cross_sells else "an upsell" if k.upsells else "a cross-sell"


def contractual(company: Company) -> bool:
    """Tell whether customers have contracts, so that leaving is seen."""
    return company.settings.relationship == "contractual"


def _require_scored(company: Company, metric: str) -> None:
    """Raise Unanswered where orders cannot be linked to a score."""
    answers.require_dates(company, metric)
    people.require(company, "orders")
    if contractual(company):
        people.require(company, "customers", "joined_on", "left_on")


def _note(e: Estimate, why: str) -> str:
    return "" if math.isfinite(e.low) else why


# ---- by score --------------------------------------------------------------------------------------------------------


def _groups(
    company: Company, metric: str, counted: pd.DataFrame, finer: int, also: Mapping[str, int] = NOTHING
) -> Sums:
    """Add up counts by score group at one mix of levels (NotEstimable where groups cannot be compared)."""
    least = company.settings.privacy.minimum_base
    bands = [b.name for b in answers.bands(company, metric)]
    names = standardise.groups_of(counted, [*bands, NO_ANSWER], least, NO_ANSWER)
    return standardise.add_up(counted, names, finer, least, resamples(company), also)


def _known(groups: Sums) -> str:
    """Return how a difference is known: at one mix of customers, or as they are."""
    return "adjusted" if groups.levels > 1 else "observed"


def _ends(groups: Sums) -> tuple[str, str]:
    """Return the worst and the best score group."""
    worst, *_, best = (b for b in groups.names if b != NO_ANSWER)
    return worst, best


@finding("upsell-by-score")
def by_score(company: Company, metric: str = "", window_days: int = 182) -> Answer:
    """Answer: do customers buy more upgrades after a good answer? Share of answers followed by one, and money gained.

    All answers with a whole window before the as-of date, "no answer" being a group; at one mix of the first declared
    segment and the stage of the customer. Who left in the window had no upgrade. Intervals from the fold draws.
    """
    metric = answers.choose(company, metric)
    upsells.require_upsells(company)
    _require_scored(company, metric)
    counted, what = upsells.after_answer(company, metric, window_days), _what(company)
    if (seen := int(counted["bought"].sum())) < FEWEST:
        raise Unanswered("few-upgrades", seen=seen, what=what, needed=FEWEST)
    groups = _groups(company, metric, counted, finer=1)
    share, gained = groups.ratio("bought", "n"), groups.ratio("gained", "n", low=None)
    rows = []
    for i, band in enumerate(groups.names):
        e, g = share.each(band), gained.each(band)
        if math.isnan(e.low):  # nobody of the group bought in any resample
            exact = intervals.share(groups.sums["bought"][0, :, i].sum(), e.n)
            e = Estimate(e.value, exact.low, exact.high, n=e.n)
        rows.append({"band": band, "estimate": e, "gained": g.value, "gained_low": g.low, "gained_high": g.high})
    worst, best = _ends(groups)
    gap, more = share.gap(best, worst), gained.gap(best, worst)
    shares = {r["band"]: r["estimate"].value for r in rows}
    replace, currency = upsells.kinds(company).replace, company.settings.currency or ""
    said = partial(words.say, __file__, "upsell-by-score", best=best, worst=worst, what=what, window=window_days)
    figures = [
        Figure(f"{metric}-upsell-gap", said("gap_label"), gap, "share", "answers", _note(gap, "too few upgrades")),
        Figure(f"{metric}-upsell-gained", said("gained_label"), more, f"{currency} a payment" if replace else currency,
               "answers", _note(more, "too few upgrades")),
    ]  # fmt: skip
    return answer(
        _known(groups), table(rows, ["band"]), figures,
        what=what, window=window_days, best=best, worst=worst, best_share=shares[best], worst_share=shares[worst],
        gap=gap, more=more, detected=gap.excludes(0), replace=replace, alike=_alike(company),
        left_out=groups.left_out, unpriced=int(groups.sums["unpriced"][0].sum()),
    )  # fmt: skip


def _alike(company: Company) -> list[str]:
    return [*people.segments(company)[:1], TENURE]


@finding("orders-by-score")
def orders(company: Company, metric: str = "", window_days: int = 182) -> Answer:
    """Answer: do orders become larger or more frequent after a good answer? Equal windows, similar customers.

    Without contracts similar means purchase days and mean order value until the answer; with contracts the first
    declared segment and the stage. Order value: levels weighted by the orders of all groups; frequency: by answers.
    """
    metric = answers.choose(company, metric)
    _require_scored(company, metric)
    counted = upsells.orders_after(company, metric, window_days)
    contracts = contractual(company)
    groups = _groups(company, metric, counted, 1 if contracts else upsells.FINER, {"orders": FEWEST_ORDERS})
    seen = {b: groups.sums["orders"][0, :, i].sum() for i, b in enumerate(groups.names)}
    if few := [b for b, n in seen.items() if n < FEWEST_ORDERS]:
        raise Unanswered("few-orders", needed=FEWEST_ORDERS, band=few[0])
    worst, best = _ends(groups)
    rows, figures, gaps, ends = [], [], {}, {}
    for what, unit, ratio in (
        ("order value", company.settings.currency or "", groups.ratio("revenue", "orders", None)),
        ("orders a month", "orders in 30 days", groups.ratio("orders", "n").times(30 / window_days)),
    ):
        rows += [{"what": what, "band": b, "unit": unit, "estimate": ratio.each(b)} for b in groups.names]
        gaps[what] = gap = ratio.gap(best, worst)
        ends[what] = [ratio.each(b).value for b in (best, worst)]
        label = words.say(__file__, "orders-by-score", "gap_label", best=best, worst=worst, value=what == "order value")
        name = f"{metric}-{what.replace(' ', '-')}-gap"
        figures.append(Figure(name, label, gap, unit, "answers", _note(gap, "all resamples agree")))
    return answer(
        _known(groups), table(rows, ["what", "band", "unit"]), figures,
        window=window_days, best=best, worst=worst, value=ends["order value"], value_gap=gaps["order value"],
        rate=ends["orders a month"], rate_gap=gaps["orders a month"], contracts=contracts, left_out=groups.left_out,
        alike=_alike(company) if contracts else ["earlier purchases", "earlier order value", TENURE],
    )  # fmt: skip


# ---- who will --------------------------------------------------------------------------------------------------------


def _prepared(company: Company, cells: pd.DataFrame, answers: Sequence[str]) -> Fitted:
    """Return cells ready for a model: small levels of segments merged, fields that leak the outcome left out."""
    cells, least, leaks = cells.copy(), company.settings.privacy.minimum_base, {}
    for name in people.segments(company):
        size = cells.groupby(name)["n"].transform("sum")
        cells[name] = cells[name].mask(size < least, prediction.OTHERS)
    fields = [k for k in (*upsells.predictors(company), *answers) if cells[k].nunique() > 1]
    for name in fields:
        sums = cells.groupby(name)[["n", "bought"]].sum()
        of = np.concatenate([sums["bought"], sums["n"] - sums["bought"]])
        rate = np.tile(sums["bought"] / sums["n"], 2)
        if scoring.concordance(rate, np.repeat([1, 0], len(sums)), of) >= prediction.TOO_GOOD:
            leaks[name] = "leaks the outcome"
    return Fitted(cells, (), tuple(k for k in fields if k not in leaks), leaks, float(cells["bought"].sum()))


@finding("upsell-model")
def model(company: Company, horizon_days: int = 182) -> Answer:
    """Answer: who will buy an upgrade? Its probability within the horizon, from what is known on a day.

    A logistic regression fitted to earlier snapshots and tested on a later one (van Houwelingen 2007; Steyerberg 2019),
    with and without the last answers. Leaving competes: who left within the horizon has not bought.
    """
    upsells.require_upsells(company)
    if contractual(company):
        people.require(company, "customers", "joined_on")
    what, metrics, matrix = _what(company), prediction.metrics_of(company), resamples(company)
    test_day = company.as_of - timedelta(days=horizon_days)
    fit_days = snapshots.dates(company, test_day, horizon_days)
    latest = snapshots.dates(company, company.as_of, horizon_days)
    if not fit_days:
        raise Unanswered("no-snapshot", horizon=horizon_days, until=test_day)
    on = tuple(sorted({*fit_days, *latest, company.as_of}))
    counted = upsells.patterns(company, on, horizon_days, metrics)
    counted = counted.assign(day=[on[i] for i in counted["at"]])
    apart = fit_days[:: math.ceil(horizon_days / snapshots.STEP_DAYS)]  # their windows do not overlap
    seen, tested = (int(counted.loc[counted["day"].isin(d), "bought"].sum()) for d in (apart, [test_day]))
    if seen < LEAST_FITTED or tested < LEAST_TESTED:
        raise Unanswered("few-upgrades-to-fit", what=what, seen=seen, tested=tested, test_day=test_day,
                         to_fit=LEAST_FITTED, to_test=LEAST_TESTED)  # fmt: skip
    of_metrics = [snapshots.answer(m) for m in metrics]
    fitted = _prepared(company, counted[counted["day"].isin(fit_days)], of_metrics)
    test = fitted.known(counted[counted["day"] == test_day])
    base, scored = ([k for k in fitted.fields if (k in of_metrics) == of] for of in (False, True))
    found = {}
    for key, fields in (("without", base), ("with", [*base, *scored])):
        fit = logistic.fit(fitted.cells, "n", "bought", fields, "fold")
        p = fit.probability(test)
        two = pd.concat(
            [test.assign(p=p, y=1.0, size=test["bought"]), test.assign(p=p, y=0.0, size=test["n"] - test["bought"])]
        )
        found[key] = scoring.resampled(two["p"], two["y"], two["size"], two["fold"], matrix)
    n = float(test["n"].sum())
    groups = max(2, min(10, int(n // company.settings.privacy.minimum_base)))
    rows = scoring.calibration_table(two["p"], two["y"], two["size"], groups)
    line = scoring.calibration_line(two["p"], two["y"], two["size"], two["fold"])
    whole, plain = found["with"], found["without"]
    order, top = (scoring.estimate(whole[m].to_numpy(), n) for m in (scoring.CONCORDANCE, scoring.LIFT))
    gain, log = (scoring.estimate((whole - plain)[m].to_numpy(), n) for m in (scoring.CONCORDANCE, scoring.LOG_SCORE))
    tests = {k: fit.wald(k)[2] * len(scored) for k in scored}  # Bonferroni
    first = min(tests, key=tests.get, default="")
    today, expects = _expected_today(company, counted, latest, of_metrics, matrix)
    said = partial(words.say, __file__, "upsell-model", what=what, horizon=horizon_days)
    figures = [
        Figure("upsell-concordance", said("order_label"), order, "concordance"),
        Figure("upsell-lift", said("lift_label"), top, "times"),
        Figure("upsell-calibration-slope", said("slope_label"), line.slope, "log-odds per log-odds"),
        Figure("expected-upsells", said("expected_label"), expects, "customers"),
    ]
    if scored:
        note = _note(gain, "all resamples agree")
        figures.insert(1, Figure("upsell-gain", said("gain_label"), gain, "concordance", note=note))
    return answer(
        "forecast", rows, figures,
        what=what, horizon=horizon_days, today=today, expects=expects, customers=n, tested=test_day,
        predicted=float(p @ test["n"]), took=tested, lift=top, order=order, scored=scored, gain=gain,
        without=float(plain[scoring.CONCORDANCE].iloc[0]), found=log.low > 0, first=first, p=tests.get(first, math.nan),
        linked=bool(scored) and tests[first] < 0.05 and not log.high < 0, off=prediction.miscalibrated(line),
        slope=line.slope, intercept=line.intercept, first_day=fit_days[-1], last_day=fit_days[0],
        leaks=list(fitted.leaks),
    )  # fmt: skip


def _expected_today(
    company: Company, counted: pd.DataFrame, latest: Sequence[date], answers: Sequence[str], matrix: np.ndarray
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
