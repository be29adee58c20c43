"""04_value: is a customer worth more after a good answer than after a bad one, and more where the score rises?

Contractual: survival after the answer times what a customer pays, at one mix of segment, tenure and price. Without
contracts: what is bought in the same time after the answer, at one mix of earlier purchases, order value and tenure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from cxlib.counts import answers, follow_up, people, purchases, snapshots, upsells
from cxlib.counts.answers import NO_ANSWER
from cxlib.counts.follow_up import BETTER, SAME, WORSE
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import prediction, words
from cxlib.page.findings import Answer, Figure, Finding, answer, finding, table
from cxlib.page.numbers import listing
from cxlib.page.resamples import resamples
from cxlib.page.valuation import horizon_of, money_of, share_kept
from cxlib.stats import disclosure, draws, scoring, survival
from cxlib.stats.estimate import Estimate, NotEstimable
from cxlib.stats.standardise import SPLIT, Drawn, add_up, groups_of, levels
from cxlib.value import purchase_models

CHANGE_MONTHS = 12  # over which the value after a changed answer is counted, at most
TENURE = "time as a customer"
MEASURES = {
    scoring.CONCORDANCE: "concordance",
    scoring.LIFT: "lift of the top tenth",
    scoring.LOG_SCORE: "mean log score",
}


def contractual(company: Company) -> bool:
    """Tell whether customers have contracts, so that leaving is seen."""
    return company.settings.relationship == "contractual"


def world(company: Company) -> str:
    """Say in which of the two worlds this company is, and which models do not apply."""
    facts = {"contracts": contractual(company), "inactive_after": company.settings.inactive_after_days}
    return words.say(__file__, "world", "text", **facts)


def require(company: Company, metric: str) -> None:
    """Raise Unanswered where the score cannot be linked to money."""
    answers.require_dates(company, metric)
    if contractual(company):
        people.require(company, "customers", "joined_on", "left_on", "monthly_revenue")
    else:
        people.require(company, "orders")
    money_of(company)


# ---- by score --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Compared:
    """Value by group at one mix of levels, how many levels there are, and the share of the mix in none of them.

    ``counted``: the counts behind it, with the level in which groups are compared.
    """

    drawn: Drawn
    levels: int
    left_out: float
    counted: pd.DataFrame

    @property
    def known(self) -> str:
        """How a difference is known: at one mix of customers, or as they are."""
        return "adjusted" if self.levels > 1 else "observed"


def _staying(
    company: Company, counted: pd.DataFrame, names: list[str], months: int, finer: int, base: pd.DataFrame
) -> Compared:
    """Add up what groups pay over ``months``: survival after the answer in each level, at the fees and mix of ``base``.

    ``base`` has stratum, fold, n and revenue (a month). Unanswered where not every group was followed for so long.
    """
    horizon, weights = math.ceil(months * DAYS_A_MONTH), resamples(company)
    counted = counted[counted["band"].isin(names)]
    level = levels(counted, names, company.settings.privacy.minimum_base, finer, horizon)
    longest = counted.groupby("band", observed=True)["duration"].max().reindex(names)
    if level.isna().all() or not (longest >= horizon).all():
        raise Unanswered("short-follow-up", horizon=horizon)
    kept = sorted(level.dropna().unique())
    mine, of_base = counted["stratum"].astype(str).map(level), base["stratum"].astype(str).map(level)
    inside = base.assign(level=of_base)[of_base.notna()]
    at = (inside["level"].map(kept.index),)
    pays = draws.summed(weights, inside["fold"], inside["revenue"], at, (len(kept),))
    customers = draws.summed(weights, inside["fold"], inside["n"])
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
    drawn = Drawn(names, sizes, np.array(worth).T)
    left_out = float(1 - inside["n"].sum() / base["n"].sum())
    return Compared(drawn, len(kept), left_out, counted.assign(level=mine)[mine.notna()])


def _buying(company: Company, counted: pd.DataFrame, names: list[str]) -> Compared:
    """Add up what groups bring in the window: the mean of each level, at the mix of all answers."""
    sums = add_up(counted, names, upsells.FINER, company.settings.privacy.minimum_base, resamples(company))
    return Compared(sums.ratio("revenue", "n").times(share_kept(company)), sums.levels, sums.left_out, counted)


def _size(e: Estimate) -> Estimate:
    """Return an estimate without its sign; how much more, or how much less."""
    return e if e.value >= 0 else Estimate(-e.value, -e.high, -e.low, e.se, e.n)


@finding("value-by-score")
def by_score(
    company: Company,
    metric: str = "",
    window_days: int = 182,
    minimum_repeat_buyers: int = 100,
    between: tuple[str, str] | None = None,
) -> Answer:
    """Answer: what is a customer worth after a good and after a bad answer, at equal tenure and equal prior value?

    Contractual: per level of the first declared segment, the stage of the customer and the third of the price paid
    then, survival after the answer by band, turned into discounted months of payment at what today's customers of the
    level pay, and at their mix. Small levels are merged (``cxlib.stats.standardise.levels``). Without contracts:
    revenue (or margin) of the ``window_days`` after the answer, at one mix of earlier purchases, order value and stage.
    ``between``: the worse and the better group of the gap (None: the worst and the best).
    """
    metric = answers.choose(company, metric)
    require(company, metric)
    own, contracts = people.segments(company)[:1], contractual(company)
    if contracts:
        by, months = [*own, people.STAGE, follow_up.PRICE], company.settings.money.horizon_months
        span, alike = months * DAYS_A_MONTH, [*own, TENURE, "price"]
        counted = follow_up.follow_up(company, metric, math.ceil(span), by=by)
        compare = partial(_staying, months=months, finer=2, base=follow_up.paying(company, by))
    else:
        purchase_models.require(company, minimum_repeat_buyers)
        span, alike = window_days, ["earlier purchases", "earlier order value", TENURE]
        counted, compare = upsells.orders_after(company, metric, window_days), _buying
    bands = [b.name for b in answers.bands(company, metric)]
    least = company.settings.privacy.minimum_base
    names = groups_of(counted, [*bands, NO_ANSWER], least, NO_ANSWER)
    worst, *_, best = between or (b for b in names if b != NO_ANSWER)
    if small := [b for b in (worst, best) if b not in names]:
        raise Unanswered("small-group", group=small[0])
    found = compare(company, counted, names)
    each = {b: found.drawn.each(b) for b in names}
    gap = found.drawn.gap(best, worst)
    label = words.say(__file__, "value-by-score", "gap_label", best=best, worst=worst, span=span)
    figures = [Figure("value-gap", label, gap, f"{company.settings.currency} per customer", "answers")]
    return answer(
        found.known, table([{"band": b, "estimate": e} for b, e in each.items()], ["band"]), figures, found.counted,
        span=span, contracts=contracts, best=best, worst=worst, best_value=each[best].value,
        worst_value=each[worst].value, gap=gap, size=_size(gap), detected=gap.excludes(0), alike=alike, split=SPLIT,
        priced_today=contracts and not follow_up.priced_by_payments(company), left_out=found.left_out,
    )  # fmt: skip


# ---- what is paid today ----------------------------------------------------------------------------------------------


@finding("paid-today")
def paid_today(company: Company) -> Answer:
    """Answer: what do today's contracts pay? A month in all, a year (12 times that) each, and by the first segment."""
    if not contractual(company):
        raise Unanswered("no-monthly-fees")
    people.require(company, "customers", "monthly_revenue")
    own, least = people.segments(company)[:1], company.settings.privacy.minimum_base
    base = follow_up.paying(company, own)
    n = float(base["n"].sum())
    if n < least:
        raise Unanswered("few-customers", customers=n)
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
    mean, unit = draws.estimate(of_all[0], of_all[1:], n, low=0), f"{company.settings.currency or ''} a month"
    said = partial(words.say, __file__, "paid-today")
    figures = [
        Figure("revenue-per-customer", said("each_label"), mean, unit,
               note="" if math.isfinite(mean.low) else "all pay the same"),
        Figure("monthly-revenue", said("total_label"), Estimate(total, math.nan, math.nan, n=n), unit,
               note=said("counted")),
    ]  # fmt: skip
    return answer(
        "count", table(rows if own else [], ["level"]), figures,
        customers=n, total=total, year=12 * total, each=mean, each_year=12 * mean.value, hidden=int(hide.sum()),
        gone=int(company.customers.count().execute()) - int(n),
    )  # fmt: skip


# ---- when the score changes ------------------------------------------------------------------------------------------


@finding("value-changes")
def changes(company: Company, metric: str = "", window_days: int = 182, minimum_repeat_buyers: int = 100) -> Answer:
    """Answer: what is a change of score linked to? The same customer's next answer against the answer before.

    Two comparisons, each within the same answer before (in bands), segment and, without contracts, earlier purchases:
    customers who answer better, and customers who answer worse, against those who answer the same. Value as in
    ``by_score``, over at most CHANGE_MONTHS.
    """
    metric = answers.choose(company, metric)
    require(company, metric)
    own, least = people.segments(company)[:1], company.settings.privacy.minimum_base
    months = min(company.settings.money.horizon_months, CHANGE_MONTHS)
    if contractual(company):
        span, alike = months * DAYS_A_MONTH, own
        counted = follow_up.follow_changes(company, metric, math.ceil(span), own)
    else:
        purchase_models.require(company, minimum_repeat_buyers)
        span, alike = window_days, ["earlier purchases", TENURE]
        counted = upsells.orders_after(company, metric, window_days, changed=True)
    bands = [b.name for b in answers.bands(company, metric)]
    was = counted["stratum"].astype(str).str.split(" | ", regex=False).str[0]
    rows, found = [], {}
    for change, end in ((BETTER, bands[-1]), (WORSE, bands[0])):
        able = counted[was != end]  # nobody answers better than the best
        size = able.groupby("band", observed=True)["n"].sum()
        if min(size.get(change, 0), size.get(SAME, 0)) < least:
            continue
        names, before = [SAME, change], listing(b for b in bands if b != end)
        with suppress(Unanswered, NotEstimable):  # the other change may still be answered
            if contractual(company):
                base = _fees(company, able[able["band"].isin(names)], own)
                found[change] = _staying(company, able, names, months, len(own), base)
            else:
                found[change] = _buying(company, able, names)
            rows += [{"before": before, "change": c, "estimate": found[change].drawn.each(c)} for c in names]
    if not found:
        raise Unanswered("few-changes", span=span)
    gaps = {change: f.drawn.gap(change, SAME) for change, f in found.items()}
    figures = [
        Figure(f"value-{c}", words.say(__file__, "value-changes", "gap_label", change=c, span=span), gap,
               f"{company.settings.currency} per customer", "answers")
        for c, gap in gaps.items()
    ]  # fmt: skip
    each = [{"change": c, "gap": gap, "size": _size(gap), "detected": gap.excludes(0)} for c, gap in gaps.items()]
    known = "adjusted" if all(f.levels > 1 for f in found.values()) else "observed"
    return answer(
        known, table(rows, ["before", "change"]), figures, span=span, alike=alike,
        detected=[e for e in each if e["detected"]], unclear=[e for e in each if not e["detected"]],
    )  # fmt: skip


def _fees(company: Company, counted: pd.DataFrame, own: Sequence[str]) -> pd.DataFrame:
    """Return the answers as a mix: n, and revenue at what today's customers of the segment pay on average."""
    base = follow_up.paying(company, own).groupby("stratum")[["n", "revenue"]].sum()
    fee, overall = base["revenue"] / base["n"], base["revenue"].sum() / base["n"].sum()
    mix = counted.groupby(["stratum", "fold"], observed=True)["n"].sum().reset_index()
    segment = mix["stratum"].astype(str).str.split(" | ", n=1, regex=False).str[-1]
    return mix.assign(revenue=mix["n"] * segment.map(fee).fillna(overall))


# ---- beyond what was known -------------------------------------------------------------------------------------------


def beyond(
    company: Company, metric: str = "", horizon_days: int = 182, until: str = "", minimum_repeat_buyers: int = 100
) -> Finding:
    """Answer: does the score add anything to the value model, on customers and months it has not seen?

    Contractual: the models of leaving of ``cxlib.page.prediction``, customers counting as much as they pay, so that the
    question is which money leaves. Without contracts: purchases after the cut against what a model of buying expected
    of the same buyers, by their last answer then; factors by score are fitted to half of the customers and tested on
    the other half.
    """
    metric = answers.choose(company, metric)
    if contractual(company):
        return _beyond_staying(company, metric, horizon_days)
    return _beyond_buying(company, metric, until, minimum_repeat_buyers)


def _value_beyond(section: str) -> Callable[..., object]:
    """Return the finding "value-beyond" in the words of a section: two models, one question."""
    return finding(section, named=lambda *_, **__: "value-beyond")


@_value_beyond("value-beyond-staying")
def _beyond_staying(company: Company, metric: str, horizon: int) -> Answer:
    require(company, metric)
    trial = prediction.trial_of(company, horizon)
    prediction.require_score(company, trial, metric)
    n, score = float(trial.test["n"].sum()), snapshots.answer(metric)
    without, with_it = (trial.judge(f, money=True)[1] for f in (trial.base, [*trial.base, score]))
    rows = []
    for measure, said in MEASURES.items():
        for model, found in (("without the score", without), ("with the score", with_it), ("gain", with_it - without)):
            rows.append({"measure": said, "model": model, "estimate": scoring.estimate(found[measure].to_numpy(), n)})
    before, after, gain = (r["estimate"] for r in rows[:3])
    label = words.say(__file__, "value-beyond-staying", "gain_label", metric=metric.upper())
    return answer(
        "adjusted", table(rows, ["measure", "model"]), [Figure(f"{metric}-value-gain", label, gain, "concordance")],
        metric=metric.upper(), found=rows[-1]["estimate"].low > 0, without=before.value, with_it=after.value, gain=gain,
        base=trial.base, tested=trial.test_day, horizon=horizon,
        paid=float(trial.test["a_month"].sum()), lost=float(trial.test["lost"].sum()),
    )  # fmt: skip


@_value_beyond("value-beyond-buying")
def _beyond_buying(company: Company, metric: str, until: str, minimum_repeat_buyers: int) -> Answer:
    require(company, metric)
    trial = purchase_models.trial(company, until, minimum_repeat_buyers)
    counted = purchases.held_out(company, trial.cut, metric)
    past = [counted[c].to_numpy(float) for c in purchase_models.PAST]
    n = counted["n"].to_numpy(float)
    counted = counted.assign(expected=n * trial.fits.models[trial.chosen].predict(trial.weeks, *past))
    size, least = counted.groupby("band")["n"].sum(), company.settings.privacy.minimum_base
    names = [b.name for b in answers.bands(company, metric)] + [NO_ANSWER]
    names = [b for b in names if size.get(b, 0) >= least]
    answered = [b for b in names if b != NO_ANSWER]
    if len(answered) < 2:
        raise Unanswered("few-buyers-by-score", cut=trial.cut)
    inside, weights = counted[counted["band"].isin(names)], resamples(company)
    at = (inside["band"].map(names.index),)
    sums = [draws.summed(np.eye(256), inside["fold"], inside[c], at, (len(names),)) for c in ("purchases", "expected")]
    made, expected = (weights @ s for s in sums)
    ratio = made / expected
    rows = [
        {"band": b, "estimate": draws.estimate(ratio[0, i], ratio[1:, i], float(size[b]), low=0),
         "made": made[0, i], "expected": expected[0, i]}
        for i, b in enumerate(names)
    ]  # fmt: skip
    # Factors by score from the customers of every other fold, tested on the rest.
    gain, half = np.zeros(len(weights)), np.arange(256) % 2 == 0
    for train in (half, ~half):
        own, all_of = sums[0][train].sum(0) / sums[1][train].sum(0), sums[0][train].sum() / sums[1][train].sum()
        logs = sums[0][~train] @ np.log(own / all_of) - sums[1][~train] @ (own - all_of)
        gain += weights[:, ~train] @ logs
    everybody = float(size[names].sum())
    gain = draws.estimate(gain[0] / everybody, gain[1:] / everybody, everybody)
    worst, best = answered[0], answered[-1]
    apart = ratio[:, names.index(best)] - ratio[:, names.index(worst)]
    spread = draws.estimate(apart[0], apart[1:], float(size[[best, worst]].sum()))
    label = words.say(__file__, "value-beyond-buying", "spread_label", best=best, worst=worst)
    return answer(
        "adjusted", table(rows, ["band"]), [Figure(f"{metric}-value-spread", label, spread, "times", "buyers")],
        metric=metric.upper(), found=gain.low > 0, linked=spread.excludes(0), best=best, worst=worst,
        best_times=ratio[0, names.index(best)], worst_times=ratio[0, names.index(worst)], spread=spread, gain=gain,
        cut=trial.cut, model=trial.chosen,
    )  # fmt: skip
