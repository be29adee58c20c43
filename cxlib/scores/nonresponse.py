"""01_scores: who does not respond, and what would the score be if they had? Response rates, weights and bounds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from cxlib.counts import answers, invitations, people, purchases
from cxlib.counts.invitations import Asked
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.resamples import resamples
from cxlib.scores.estimates import UNITS, drawn_from, estimate, hidden, kind_of, since
from cxlib.stats import draws, weighting
from cxlib.stats.estimate import UNKNOWN, Estimate

FEWEST = 10  # answers of a level for it to be weighted by itself
SETTLED = 0.99  # share of answers that have come by the time a question counts as unanswered
RAW, WEIGHTED, RAKED = "as answered", "weighted for non-response", "weighted to today's customers"
BOUNDS = "worst and best case"
LOWER = {"nps": 10}  # by how many points non-responders might answer lower, else half a point
_CAUSES = {"left": "leaving soon after", "year": "year", "stage": "time as a customer"}


def _seen_to_leave(company: Company) -> bool:
    return company.settings.relationship == "contractual" and company.has("customers", "left_on")


@finding("funnel")
def funnel(company: Company, metric: str = "", window_months: int = 12) -> Answer:
    """Answer: how many of the customers here in the window were asked, and how many answered?"""
    metric = answers.choose(company, metric)
    answers.require_answers(company, metric)
    if drawn_from(company, "responses"):
        raise Unanswered("survey-is-base")
    start = since(company, window_months)
    found = invitations.heard(company, metric, start)
    if found["answered"] < company.settings.privacy.minimum_base:
        raise Unanswered("few-customers-answered", metrics=[metric.upper()])
    rows = [{"stage": k, "customers": v, "share": v / max(found["here"], 1)} for k, v in found.items()]
    return answer(
        "count", pd.DataFrame(rows), metric=metric.upper(), window=window_months if start else 0,
        only=found["asked"] == found["answered"], **found,
    )  # fmt: skip


@finding("silence")
def rates(company: Company, metric: str = "", leaving_days: int = 90) -> Answer:
    """Answer: who does not respond? Share of questions answered by segment, and before leaving.

    Leaves out questions too young to count as unanswered: younger than the time in which 99 % of answers came.
    """
    metric = answers.choose(company, metric)
    answers.require_answers(company, metric)
    until = _settled(company, metric)
    resampling = resamples(company)
    soon = f"left within {leaving_days} days"
    asks = {"all": Asked(metric, until=until)} | {
        c: Asked(metric, (c,), until=until) for c in answers.cuts(company, metric)
    }
    if until and _seen_to_leave(company):
        asks[soon] = Asked(metric, until=until, leaving_days=leaving_days)
    rows, drawn, unseen = [], {}, 0
    for cut, asked in asks.items():
        counted = invitations.response_counts(company, asked)
        counted["level"] = counted[asked.keys[0]] if asked.keys else "everyone asked"
        columns = ["asked_weight", "answered_weight", "asked", "customers"]
        keys, sums = draws.resample(counted, "fold", columns, ["level"], resampling)
        hide = hidden(company, sums[0, :, 3])
        unseen += int(hide.sum())
        with np.errstate(invalid="ignore", divide="ignore"):
            share = sums[..., 1] / sums[..., 0]
        for level in people.in_order(cut, keys["level"]):
            i = list(keys["level"]).index(level)
            drawn[cut, level] = share[:, i]
            e = draws.estimate(share[0, i], share[1:, i], sums[0, i, 2], low=0, high=1)
            rows.append({"segment": cut, "level": level, "estimate": UNKNOWN if hide[i] else e})
    everyone = rows[0]["estimate"]
    if not everyone.n > 0:
        raise Unanswered("few-asked")
    if everyone.value >= 1:
        raise Unanswered("only-answered")
    shown, gap = {(r["segment"], r["level"]): r["estimate"] for r in rows if r["estimate"].n > 0}, None
    if {(soon, "yes"), (soon, "no")} <= set(shown):
        apart = drawn[soon, "yes"] - drawn[soon, "no"]
        gap = draws.estimate(apart[0], apart[1:], everyone.n)
    leavers, others = (shown[soon, k].value if gap else None for k in ("yes", "no"))
    survey = drawn_from(company, "responses")
    label = words.say(__file__, "silence", "label", metric=metric.upper(), survey=survey)
    return answer(
        "observed" if gap else "count", table(rows, ["segment", "level"]),
        [Figure(f"{metric}-response-rate", label, everyone, "share", "rows" if survey else "questions")], survey=survey,
        metric=metric.upper(), rate=everyone, leaving_days=leaving_days, leavers=leavers, others=others, gap=gap,
        fewer=gap is not None and gap.high < 0, unseen=unseen, young=(company.as_of - until).days if until else 0,
    )  # fmt: skip


@finding("comments")
def comments(company: Company, metric: str = "") -> Answer:
    """Answer: who writes a comment? Share of answers with a comment, by band."""
    metric = answers.choose(company, metric)
    answers.require_answers(company, metric)
    people.require(company, "responses", "comment")
    resampling = resamples(company)
    counted = invitations.comment_counts(company, metric)
    keys, sums = draws.resample(counted, "fold", ["weight", "commented", "customers", "n"], ["band"], resampling)
    order = [b.name for b in answers.bands(company, metric) if b.name in set(keys["band"])]
    sums = sums[:, [list(keys["band"]).index(b) for b in order]]
    if not sums[0, :, 1].sum() or hidden(company, sums[0, :, 2]).any():
        raise Unanswered("few-comments")
    share = sums[..., 1] / sums[..., 0]
    rows = [
        {"band": b, "estimate": draws.estimate(share[0, i], share[1:, i], sums[0, i, 3], low=0, high=1)}
        for i, b in enumerate(order)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = share[:, 0] / share[:, -1]
    e = draws.estimate(ratio[0], ratio[1:], float(sums[0, :, 3].sum()), low=0)
    return answer(
        "observed", table(rows, ["band"]), metric=metric.upper(), worst=order[0], best=order[-1],
        worst_share=float(share[0, 0]), best_share=float(share[0, -1]), ratio=e, detected=e.excludes(1),
    )  # fmt: skip


def _settled(company: Company, metric: str) -> date | None:
    """Return the last day whose questions count as unanswered if no answer has come; None without dates."""
    if not company.has("responses", "asked_at"):
        return None
    lags = invitations.answer_lags(company, metric)
    if lags.empty:
        return company.as_of
    come = lags["n"].cumsum() / lags["n"].sum()
    lag = int(lags.loc[(come >= SETTLED).idxmax(), "lag"])
    return (pd.Timestamp(company.as_of) - pd.Timedelta(days=lag)).date()


@dataclass(frozen=True)
class Weighted:
    """A score in one window under each way of weighting.

    ``rows``: weights (the way), estimate, effective answers and largest weight; ``bounds``: the score if all
    non-responders had given the worst or the best answer; ``uncovered``: questions in groups without any answer;
    ``unreached``: customers of today in such groups; ``trimmed``: answers whose weight was cut.
    """

    rows: list[dict]
    asked: float
    bounds: tuple[float, float]
    uncovered: float
    unreached: float
    trimmed: float
    predictors: list[str]

    @property
    def raw(self) -> Estimate:
        """Return the score as answered."""
        return self.rows[0]["estimate"]


def reweighted(
    company: Company, metric: str, start: date | None = None, leaving_days: int = 90, rake: bool = True
) -> Weighted:
    """Weight the answers of a metric to all questions asked, and to the customers of today.

    The model of who responds uses what is known of everyone asked: declared segments, channel, touchpoint, time as a
    customer, year, and whether the customer left soon after. Every answer counts (the interval allows for several of
    one customer), so the raw score may differ from the headline, which uses each customer's latest. Raises Unanswered
    where there are no answers.
    """
    until = _settled(company, metric)
    leaves = _seen_to_leave(company) and until
    by = tuple(answers.cuts(company, metric))
    asked = Asked(metric, by, start, until, leaving_days if leaves else None, year=until is not None)
    cells = invitations.response_counts(company, asked, folds=False)
    n, answered = float(cells["asked"].sum()), float(cells["answered"].sum())
    if not answered:
        raise Unanswered("few-customers-answered", metrics=[metric.upper()])
    predictors = [k for k in asked.keys if cells[k].nunique() > 1]
    kind, ways = kind_of(metric), {RAW: np.ones(len(cells))}
    uncovered, trimmed, unreached = 0.0, 0.0, 0.0
    if answered < n and predictors:
        probability, uncovered = weighting.response_model(cells, "asked", "answered", predictors)
        ways[WEIGHTED], trimmed = weighting.inverse_probability_weights(probability, cells["answered"])
    if rake and (today := _today(company, cells)):
        merged, margins, unreached = today
        ways[RAKED] = weighting.rake(merged, "answered", margins)
    rows = []
    for way, counted in invitations.weighted_scores(company, asked, cells[asked.keys].assign(**ways)).items():
        e = estimate(company, metric, counted, kind, weighted=way != RAW or answers.weighted(company))
        size = float(counted["weight"].sum() ** 2 / counted["squares"].sum())
        largest = float(counted["largest"].max() * counted["n"].sum() / counted["weight"].sum())
        rows.append({"weights": way, "estimate": e, "effective_answers": size, "largest_weight": largest})
    ends = (-100.0, 100.0) if kind == "nps" else tuple(float(v) for v in company.settings.metrics[metric].scale)
    bounds = weighting.bounds(rows[0]["estimate"].value * answered, answered, n, *ends)
    return Weighted(rows, n, bounds, uncovered, unreached, trimmed, predictors)


def _today(company: Company, cells: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, pd.Series], float] | None:
    """Return cells and margins for raking to the customers of today, and how many are in levels without any answer.

    Levels with few answers are pooled. None where no segment can be raked to.
    """
    merged, margins, unreached = cells.copy(), {}, 0.0
    for segment in people.segments(company):
        base = purchases.paying_base(company, by=[segment]).groupby(segment, observed=True)["n"].sum()
        answered = cells.groupby(segment, observed=True)["answered"].sum().reindex(base.index, fill_value=0)
        alone = answered.index[(answered >= FEWEST) & (base > 0)]
        merged[segment] = cells[segment].where(cells[segment].isin(alone), "others")
        base = base.groupby(base.index.where(base.index.isin(alone), "others")).sum()
        heard = merged.groupby(segment, observed=True)["answered"].sum().reindex(base.index, fill_value=0)
        unreached = max(unreached, float(base[heard == 0].sum()))
        base = base[(heard > 0) & (base > 0)]
        if len(base) > 1 and set(merged.loc[merged["answered"] > 0, segment]) == set(base.index):
            margins[segment] = base / base.sum()
    return (merged, margins, unreached) if margins else None


@finding("weighted")
def weighted(company: Company, metric: str = "", window_months: int = 12, leaving_days: int = 90) -> Answer:
    """Answer: what would the score be, had non-responders answered like similar customers, or at the worst or best?"""
    metric = answers.choose(company, metric)
    answers.require_answers(company, metric)
    start, least = since(company, window_months), company.settings.privacy.minimum_base
    survey = drawn_from(company, "responses")
    windows = {"all questions": None} | ({f"last {window_months} months": start} if start else {})
    rows, found = [], {}
    for window, first in windows.items():
        with suppress(Unanswered):
            one = reweighted(company, metric, first, leaving_days, rake=not survey)
            if one.raw.n < least:
                continue
            found[window] = one
            rows += [{"window": window, **r} for r in one.rows]
            if one.asked > one.raw.n:
                ends = Estimate(np.nan, *one.bounds, n=one.asked)
                rows.append({"window": window, "weights": BOUNDS, "estimate": ends})
    if not found:
        raise Unanswered("few-customers-answered", metrics=[metric.upper()])
    window, now = list(found.items())[-1]
    raw, ways = now.raw, {r["weights"]: r for r in now.rows}
    if now.asked == raw.n:
        raise Unanswered("only-answered")
    lower, target = LOWER.get(metric, 0.5), company.settings.metrics[metric].target
    need = None if target is None else weighting.silent_would_need(raw.value * raw.n, raw.n, now.asked, target)
    mine, raked = ways.get(WEIGHTED), ways.get(RAKED)
    figures = []
    if mine:
        label = f"{metric.upper()} {WEIGHTED}, {window}"
        figures = [Figure(f"{metric}-weighted", label, mine["estimate"], UNITS[kind_of(metric)], "answers")]
    return answer(
        "count", table(rows, ["window", "weights"]), figures,
        metric=metric.upper(), window=window, survey=survey, raw=raw, weighted=mine and mine["estimate"],
        raked=raked and raked["estimate"], silent=now.asked - raw.n, lowest=now.bounds[0], highest=now.bounds[1],
        latest_elsewhere=metric == "nps", predictors=[_CAUSES.get(p, p) for p in now.predictors], lower=lower,
        too_high=lower * (1 - raw.n / now.asked), target=target, need=need,
        effective=mine and mine["effective_answers"], largest=mine and mine["largest_weight"], trimmed=now.trimmed,
        uncovered=now.uncovered, unreached=now.unreached,
    )  # fmt: skip
