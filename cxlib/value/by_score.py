"""04_value: is a customer worth more after a good answer than after a bad one, and more where the score rises?

Contractual: survival after the answer times what a customer pays, at equal mix of segment, tenure and price. Without
contracts: what is bought in equal time after the answer, at equal earlier purchases, earlier order value and tenure.
What a customer is worth in all is in ``contracts``, ``forecast`` and ``buying``, where the money is in ``concentration``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from cxlib.counts import answers, follow_up, people, purchases, upsells
from cxlib.counts.answers import NO_ANSWER
from cxlib.counts.follow_up import BETTER, SAME, WORSE
from cxlib.counts.people import DAYS_A_MONTH
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
    percent,
    table,
    those,
    unanswered,
)
from cxlib.page.resamples import resamples
from cxlib.stats import disclosure, draws, scoring, survival
from cxlib.stats.estimate import Estimate
from cxlib.stats.standardise import SPLIT, Drawn, add_up, groups_of, levels
from cxlib.page.valuation import horizon_of, share_kept
from cxlib.value import purchase_models

CHANGE_MONTHS = 12  # over which the value after a changed answer is counted, at most

# What the tables of the page show, by the heading a reader sees.
CHANGES = {
    "before": "Answer before",
    "change": "This answer",
    "value": "Worth",
    "low": "Low",
    "high": "High",
    "n": "Answers",
}
PAID = {
    "level": "Level",
    "n": "Customers",
    "value": "A month each",
    "low": "Low",
    "high": "High",
    "in_all": "In all",
    "share": "Share",
}
BEYOND = {"measure": "Measure", "model": "Model", "value": "Value", "low": "Low", "high": "High"}


def world(company: Company) -> str:
    """Say in one sentence in which of the two worlds this company is, and which models are refused here."""
    if company.settings.relationship == "contractual":
        return (
            "Contractual: customers tell when they leave (left_on). What they are worth follows from how long they stay and what "
            "they pay; models of repeat buying are refused, as orders here are payments and not decisions to buy."
        )
    return (
        "Without contracts: nobody tells a shop that they leave, so leaving is never seen. What customers are worth follows from "
        "how often they buy and what they spend; models of renewal and survival from joining are refused. After "
        f"{company.settings.inactive_after_days} days without an order somebody counts as gone where a date is needed: a rule, "
        "not a fact."
    )


def why_not(company: Company, metric: str) -> str | None:
    """Return why the score cannot be held against money here, None if it can."""
    if company.settings.money is None:
        return NO_MONEY
    if not metric:
        return f"{people.require(company, 'responses') or 'no question was answered'}."
    if not answers.dated(company):
        return "the answers carry no dates."
    if company.settings.relationship == "contractual":
        missing = people.require(company, "customers", "joined_on", "left_on", "monthly_revenue")
    else:
        missing = people.require(company, "orders")
    return f"{missing}." if missing else None


# ---- by score --------------------------------------------------------------------------------------------------------


def _staying(
    company: Company, counted: pd.DataFrame, names: list[str], months: int, finer: int, base: pd.DataFrame
) -> tuple[Drawn, float] | str:
    """Put together what groups pay over ``months``: survival after the answer in each level, at the fees and mix of ``base``.

    ``base`` has stratum, fold, n and revenue (a month). Also returns the share of it that is in no level.
    """
    horizon, weights, least = (
        math.ceil(months * DAYS_A_MONTH),
        resamples(company),
        company.settings.privacy.minimum_base,
    )
    counted = counted[counted["band"].isin(names)]
    level = levels(counted, names, least, finer, horizon)
    longest = counted.groupby("band", observed=True)["duration"].max().reindex(names)
    if level.isna().all() or not (longest >= horizon).all():
        return f"not all score groups have {least} answers followed for {months} months."
    kept = sorted(level.dropna().unique())
    mine, of_base = counted["stratum"].astype(str).map(level), base["stratum"].astype(str).map(level)
    inside = base.assign(level=of_base)[of_base.notna()]
    cells = np.zeros((2, weights.shape[1], len(kept)))
    where = (inside["fold"].to_numpy(int), inside["level"].map(kept.index).to_numpy(int))
    for i, column in enumerate(("revenue", "n")):
        np.add.at(cells[i], where, inside[column].to_numpy(float))
    pays, customers = weights @ cells[0], (weights @ cells[1]).sum(1)
    days, factors = horizon_of(company, months)
    worth = []
    for band in names:
        stayed = []
        for v in kept:
            still = survival.survival_draws(counted[(mine == v) & (counted["band"] == band)], horizon, weights)
            still = np.hstack([np.ones((len(still), 1)), still])
            stayed.append(still[:, days] @ factors)
        worth.append(share_kept(company) * (pays * np.array(stayed).T).sum(1) / customers)
    sizes = counted[mine.notna()].groupby("band", observed=True)["n"].sum().astype(float).to_dict()
    return Drawn(names, sizes, np.array(worth).T), float(1 - inside["n"].sum() / base["n"].sum())


def _buying(company: Company, counted: pd.DataFrame, names: list[str]) -> tuple[Drawn, float] | str:
    """Put together what groups bring in the window: the mean of each level, at the mix of all answers."""
    sums = add_up(company, counted, names, upsells.FINER)
    return sums if isinstance(sums, str) else (sums.ratio("revenue", "n").times(share_kept(company)), sums.left_out)


def by_score(company: Company, metric: str = "", window_days: int = 182, minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: what is a customer worth after a good and after a bad answer, at equal tenure and equal prior value?

    Contractual: per level of the first declared segment, the stage of the customer and the third of the price paid then,
    survival after the answer by band, turned into discounted months of payment at what today's customers of the level pay,
    and at their mix. Small levels are put together (``mix.levels``). Without contracts: revenue (or margin) of the
    ``window_days`` after the answer, at equal earlier purchases, earlier order value and stage.
    """
    metric, name = answers.choose(company, metric), "value-by-score"
    if why := why_not(company, metric):
        return unanswered(name, "Value by score", why)
    m, contractual = company.settings.money, company.settings.relationship == "contractual"
    own = people.segments(company)[:1]
    if contractual:
        by = [*own, people.STAGE, follow_up.PRICE]
        months, span = m.horizon_months, f"{m.horizon_months} months"
        title = f"Value of the {span} after an answer, at equal tenure and price, today's mix"
        counted = follow_up.follow_up(company, metric, math.ceil(months * DAYS_A_MONTH), by=by)
        said = f"the same {listing([*own, 'time as a customer', 'price'])}"
    else:
        span = f"{window_days} days"
        title = f"Value bought in the {span} after an answer, at equal earlier purchases and tenure"
        if why := purchase_models.why_not(company, minimum_repeat_buyers):
            return unanswered(name, title, why)
        counted = upsells.orders_after(company, metric, window_days)
        said = "equal earlier purchases, earlier order value and time as a customer"
    names = groups_of(company, metric, counted)
    if isinstance(names, str):
        return unanswered(name, title, names)
    compared = partial(_staying, months=months, finer=2, base=follow_up.paying(company, by)) if contractual else _buying
    found = compared(company, counted, names)
    if isinstance(found, str):
        return unanswered(name, title, found)
    g, left_out = found
    rows = [{"band": b, "estimate": g.each(b)} for b in names]
    worst, best = g.answered[0], g.answered[-1]
    gap, write = g.gap(best, worst), _writes(company, 0 if contractual else 2)
    text = (
        f"In the {span} after the answer a {those(best, False)} brings {write(g.each(best).value)} and a "
        f"{those(worst, False)} {write(g.each(worst).value)}: a gap of {interval(gap, write)} per customer, at {said}."
    )
    if not gap.excludes(0):
        text = "No detectable gap in value: " + text[0].lower() + text[1:]
    figures = (
        Figure("value-gap", f"{best} minus {worst}: value over {span}", gap, f"{company.settings.currency} per customer",
               "answers"),
    )  # fmt: skip
    caveats = ["The gap goes with the score; it is not what raising a score would bring."]
    if contractual:
        caveats[:0] = ["The gap is in how long they stay, at the price paid today; what is sold on top is below."]
    caveats += _levels_said(company, contractual, left_out)
    return Finding(name, title, text, "C", table(rows, ["band"]), figures, tuple(caveats))


def _levels_said(company: Company, contractual: bool, left_out: float) -> list[str]:
    text = f"Levels with fewer than {SPLIT} answers of a group are put together, the finest cut first."
    if contractual and not follow_up.priced_by_payments(company):
        text += " The price is the one exported; at the answer it may have been another."
    whom = "today's customers" if contractual else "the answers"
    return [text] + ([f"Left out: {percent(left_out)} of {whom}, in levels too small to compare."] if left_out else [])


def _writes(company: Company, digits: int = 0) -> Callable[[float], str]:
    return lambda v: money(v, company.settings.currency, digits)


# ---- what is paid today ----------------------------------------------------------------------------------------------


def paid_today(company: Company) -> Finding:
    """Answer: what do today's contracts pay? A month in all, a year (12 times that) each, and by the first segment."""
    name, title, currency = "paid-today", "What today's customers pay a month", company.settings.currency or ""
    if company.settings.relationship != "contractual":
        return unanswered(
            name, title, "without contracts nobody pays by the month; see what buyers are expected to buy."
        )
    if missing := people.require(company, "customers", "monthly_revenue"):
        return unanswered(name, title, f"{missing}.")
    base, least = follow_up.paying(company, own := people.segments(company)[:1]), company.settings.privacy.minimum_base
    n = float(base["n"].sum())
    if n < least:
        return unanswered(name, title, f"{n:,.0f} customers are fewer than the minimum base.")
    keys, drawn = draws.resample(base, "fold", ["revenue", "n"], ["stratum"], resamples(company))
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold nobody of a small level
        each = drawn[:, :, 0] / drawn[:, :, 1]
    of_all, total = drawn[:, :, 0].sum(1) / drawn[:, :, 1].sum(1), float(drawn[0, :, 0].sum())
    hide = disclosure.hide_small(drawn[0, :, 1], np.ones((1, len(keys)), dtype=bool), least).cells
    rows = [
        {"level": level, "estimate": draws.estimate(each[0, i], each[1:, i], float(drawn[0, i, 1]), low=0),
         "in_all": float(drawn[0, i, 0]), "share": float(drawn[0, i, 0]) / total}
        for i, level in enumerate(keys["stratum"]) if not hide[i]
    ]  # fmt: skip
    mean = draws.estimate(of_all[0], of_all[1:], n, low=0)
    write = _writes(company, 2)
    text = (
        f"On {day(company.as_of)} {n:,.0f} customers pay {money(total, currency)} a month ({money(12 * total, currency)} a year), "
        f"{interval(mean, write)} each, or {money(12 * mean.value, currency)} a year."
    )
    figures = (
        Figure("revenue-per-customer", "Monthly revenue per customer", mean, f"{currency} a month",
               note="" if math.isfinite(mean.low) else "all pay the same"),
        Figure("monthly-revenue", "Monthly revenue of today's customers", Estimate(total, math.nan, math.nan, n=n),
               f"{currency} a month", note="a count of the whole base, not a sample"),
    )  # fmt: skip
    caveats = ["Revenue, before any cost; the fees exported."] + (["Small levels are not shown."] if hide.any() else [])
    return Finding(name, title, text, "D", table(rows if own else [], ["level"]), figures, tuple(caveats))


# ---- when the score changes ------------------------------------------------------------------------------------------


def changes(company: Company, metric: str = "", window_days: int = 182, minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: what does a change of score go with? The same customer's next answer against the answer before.

    Two comparisons, each within the same answer before (in bands), segment and, without contracts, earlier purchases: who
    answers better against who answers the same, and who answers worse against who answers the same. Value as in
    ``by_score``, over at most CHANGE_MONTHS.
    """
    metric, name = answers.choose(company, metric), "value-changes"
    title = "Value after an answer better or worse than the customer's answer before"
    if why := why_not(company, metric):
        return unanswered(name, title, why)
    contractual, own = company.settings.relationship == "contractual", people.segments(company)[:1]
    months = min(company.settings.money.horizon_months, CHANGE_MONTHS)
    if contractual:
        counted, span = (
            follow_up.follow_changes(company, metric, math.ceil(months * DAYS_A_MONTH), own),
            f"{months} months",
        )
        said = f"the same answer before and {own[0]}" if own else "the same answer before"
    else:
        if why := purchase_models.why_not(company, minimum_repeat_buyers):
            return unanswered(name, title, why)
        counted, span = upsells.orders_after(company, metric, window_days, changed=True), f"{window_days} days"
        said = "the same answer before, earlier purchases and time as a customer"
    bands = [b.name for b in answers.bands(company, metric)]
    was = counted["stratum"].astype(str).str.split(" | ", regex=False).str[0]
    rows, gaps, least = [], {}, company.settings.privacy.minimum_base
    for change, end in ((BETTER, bands[-1]), (WORSE, bands[0])):
        able = counted[was != end]  # nobody answers better than the best
        size = able.groupby("band", observed=True)["n"].sum()
        if min(size.get(change, 0), size.get(SAME, 0)) < least:
            continue
        names = [SAME, change]
        if contractual:
            base = _fees(company, able[able["band"].isin(names)], own)
            found = _staying(company, able, names, months, len(own), base)
        else:
            found = _buying(company, able, names)
        if isinstance(found, str):
            continue
        before = listing(b for b in bands if b != end)
        rows += [{"before": before, "change": c, "estimate": found[0].each(c)} for c in names]
        gaps[change] = found[0].gap(change, SAME)
    if not gaps:
        return unanswered(
            name,
            title,
            f"too few customers answered twice: {least} who changed and {least} who did not, followed for {span}.",
        )
    write, parts = _writes(company, 0 if contractual else 2), []
    for change, gap in gaps.items():
        parts.append(f"a {change} answer goes with {interval(gap, lambda v: _signed(v, write))}")
    text = f"In the {span} after it, {' and '.join(parts)} per customer, against the same answer again, at {said}."
    if not any(gap.excludes(0) for gap in gaps.values()):
        text = "No detectable difference: " + text[0].lower() + text[1:]
    figures = tuple(
        Figure(
            f"value-{c}",
            f"A {c} answer than before: value over {span}",
            gap,
            f"{company.settings.currency} per customer",
            "answers",
        )
        for c, gap in gaps.items()
    )
    caveats = (
        "Part of every change is chance: of two answers of somebody who feels the same, one is the better. So this understates "
        "what goes with a lasting change, and it is no effect of one.",
        "Each customer is only held against customers with the same answer before; who answered once is not here.",
    )
    return Finding(name, title, text, "C", table(rows, ["before", "change"]), figures, caveats)


def _fees(company: Company, counted: pd.DataFrame, own: Sequence[str]) -> pd.DataFrame:
    """Return the answers as a mix: n, and revenue at what today's customers of the segment pay on average."""
    base = follow_up.paying(company, own).groupby("stratum")[["n", "revenue"]].sum()
    fee, overall = base["revenue"] / base["n"], base["revenue"].sum() / base["n"].sum()
    mix = counted.groupby(["stratum", "fold"], observed=True)["n"].sum().reset_index()
    segment = mix["stratum"].astype(str).str.split(" | ", n=1, regex=False).str[-1]
    return mix.assign(revenue=mix["n"] * segment.map(fee).fillna(overall))


def _signed(v: float, write: Callable[[float], str]) -> str:
    return f"{write(abs(v))} {'more' if v > 0 else 'less'}" if v else write(0.0)


# ---- beyond what was known -------------------------------------------------------------------------------------------


def beyond(
    company: Company, metric: str = "", horizon_days: int = 182, until: str = "", minimum_repeat_buyers: int = 100
) -> Finding:
    """Answer: does the score add anything to the value model, on customers and months it has not seen?

    Contractual: the models of leaving of ``risk.beyond``, customers counting as much as they pay, so that the question is
    which money leaves. Without contracts: purchases after the cut held against what a model of buying expected of the same
    buyers, by their last answer then; factors by score are fitted to one half of the customers and judged on the other.
    """
    metric, name, title = answers.choose(company, metric), "value-beyond", "What the score adds to the value model"
    if why := why_not(company, metric):
        return unanswered(name, title, why)
    if company.settings.relationship == "contractual":
        return _beyond_staying(company, metric, horizon_days, name, title)
    return _beyond_buying(company, metric, until, minimum_repeat_buyers, name, title)


_MEASURES = {
    scoring.CONCORDANCE: "concordance",
    scoring.LIFT: "lift of the top tenth",
    scoring.LOG_SCORE: "mean log score",
}


def _beyond_staying(company: Company, metric: str, horizon: int, name: str, title: str) -> Finding:
    trial = prediction.trial_of(company, horizon)
    if isinstance(trial, str):
        return unanswered(name, title, trial)
    if why := prediction.no_score(company, trial, metric):
        return unanswered(name, title, why)
    n = float(trial.test["n"].sum())
    without, with_it = (trial.judge(f, money=True)[1] for f in (trial.base, [*trial.base, answer(metric)]))
    rows = []
    for measure, words in _MEASURES.items():
        for model, found in (("without the score", without), ("with the score", with_it), ("gain", with_it - without)):
            rows.append({"measure": words, "model": model, "estimate": scoring.estimate(found[measure].to_numpy(), n)})
    order, log = rows[2]["estimate"], rows[-1]["estimate"]
    lost, paid = (float(trial.test[c].sum()) for c in ("lost", "a_month"))
    digits = lambda v: number(v, 3)  # noqa: E731
    ends = [r["estimate"].value for r in rows[:2]]
    moved = f"its concordance goes from {digits(ends[0])} to {digits(ends[1])}, a gain of {interval(order, digits)}"
    label = metric.upper()
    if log.low > 0:
        text = f"{label} adds to the value model: on customers it had not seen, {moved}."
    else:
        text = f"{label} adds nothing detectable to the value model: on customers it had not seen, {moved}."
    write = _writes(company)
    caveats = (
        f"Judged on the customers of {day(trial.test_day)}, who paid {write(paid)} a month, {write(lost)} of which left by choice in the "
        f"{horizon} days after; each counts as much as they pay. Concordance: the chance that of two units of money, one that left and "
        "one that stayed, the first was thought likelier to leave.",
        f"Known without the score: {listing(trial.base)}. The mean log score changes by {interval(log, lambda v: number(v, 5))}; "
        "above 0 is better.",
    )
    figures = (Figure(f"{metric}-value-gain", f"Gain by {label} in telling which money leaves", order, "concordance"),)
    return Finding(name, title, text, "C", table(rows, ["measure", "model"]), figures, caveats)


def _beyond_buying(company: Company, metric: str, until: str, least_buyers: int, name: str, title: str) -> Finding:
    trial = purchase_models.trial(company, until, least_buyers)
    if isinstance(trial, str):
        return unanswered(name, title, trial)
    counted = purchases.held_out(company, trial.cut, metric)
    past = [counted[c].to_numpy(float) for c in purchase_models.PAST]
    n = counted["n"].to_numpy(float)
    counted = counted.assign(expected=n * trial.fits.models[trial.chosen].predict(trial.weeks, *past))
    size, least = counted.groupby("band")["n"].sum(), company.settings.privacy.minimum_base
    names = [b.name for b in answers.bands(company, metric)] + [NO_ANSWER]
    names = [b for b in names if size.get(b, 0) >= least]
    answered = [b for b in names if b != NO_ANSWER]
    if len(answered) < 2:
        return unanswered(name, title, f"fewer than two score groups have {least} buyers by {day(trial.cut)}.")
    sums = np.zeros((2, 256, len(names)))
    inside = counted[counted["band"].isin(names)]
    where = inside["fold"].to_numpy(int), inside["band"].map(names.index).to_numpy(int)
    for i, column in enumerate(("purchases", "expected")):
        np.add.at(sums[i], where, inside[column].to_numpy(float))
    weights = resamples(company)
    made, expected = (weights @ s for s in sums)
    ratio = made / expected
    rows = [
        {"band": b, "estimate": draws.estimate(ratio[0, i], ratio[1:, i], float(size[b]), low=0),
         "made": made[0, i], "expected": expected[0, i]}
        for i, b in enumerate(names)
    ]  # fmt: skip
    # Factors by score from the customers of every other fold, judged on the rest.
    gain, half = np.zeros(len(weights)), np.arange(256) % 2 == 0
    for train in (half, ~half):
        own, all_of = sums[0][train].sum(0) / sums[1][train].sum(0), sums[0][train].sum() / sums[1][train].sum()
        logs = sums[0][~train] @ np.log(own / all_of) - sums[1][~train] @ (own - all_of)
        gain += weights[:, ~train] @ logs
    each = draws.estimate(gain[0] / size[names].sum(), gain[1:] / size[names].sum(), float(size[names].sum()))
    worst, best = names.index(answered[0]), names.index(answered[-1])
    spread = draws.estimate(
        ratio[0, best] - ratio[0, worst],
        ratio[1:, best] - ratio[1:, worst],
        float(size[[names[best], names[worst]]].sum()),
    )
    times, label = (lambda v: number(v, 2)), metric.upper()
    said = (
        f"after {day(trial.cut)} {those(names[best])} bought {times(ratio[0, best])} times what the model expected from their "
        f"purchases alone, {those(names[worst])} {times(ratio[0, worst])} times, a difference of {interval(spread, times)}"
    )
    if each.low > 0:
        text = f"{label} adds to the value model: {said}, and that holds on customers it was not fitted to."
    elif spread.excludes(0):
        text = f"{label} goes with buying beyond what the model expects, but on customers it was not fitted to no gain is certain: {said}."
    else:
        text = f"{label} adds nothing detectable to the value model on customers it was not fitted to; {said}."
    change = interval(each, lambda v: number(v, 4))
    caveats = (
        f"{trial.chosen} fitted to purchases up to {day(trial.cut)}; the last answer of the year before it. Factors by score from half "
        f"of the customers change the log-likelihood of the other half by {change} per customer; above 0 is better.",
    )
    figures = (
        Figure(
            f"{metric}-value-spread",
            f"{names[best]} minus {names[worst]}: purchases made over expected",
            spread,
            "times",
            "buyers",
        ),
    )
    return Finding(name, title, text, "C", table(rows, ["band"]), figures, caveats)
