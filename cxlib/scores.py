"""01_scores: where do the scores stand, did they move, who differs, who is silent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from cxlib import parameters
from cxlib.findings import Figure, Finding, interval, number, percent, table, unanswered
from cxlib.intake import counts
from cxlib.intake.company import Company
from cxlib.stats import draws, intervals
from cxlib.stats.estimate import Estimate

STATISTICS = {"nps": "NPS", "mean": "mean", "satisfied": "share at the good end"}
UNITS = {"nps": "NPS points", "mean": "points on the scale", "satisfied": "share"}


class Parameters(parameters.Parameters):
    """Parameters of 01_scores."""

    metric: str = ""
    period: Literal["week", "month", "quarter", "year"] = "quarter"
    window_months: int = Field(12, ge=1, le=120)


def _statistic(company: Company, metric: str, kind: str | counts.Band, scores: pd.Series) -> np.ndarray:
    """Return what each score contributes: NPS -100/0/100, the score itself, 1 for the good end, or 1 inside a band."""
    if kind == "mean":
        return scores.to_numpy(float)
    if isinstance(kind, counts.Band):
        return scores.between(kind.low, kind.high).to_numpy(float)
    worst, *_, best = counts.bands(company, metric)
    good = scores.between(best.low, best.high).to_numpy(float)
    return good if kind == "satisfied" else 100 * (good - scores.between(worst.low, worst.high).to_numpy(float))


def estimate(
    company: Company,
    metric: str,
    counted: pd.DataFrame,
    kind: str | counts.Band,
    weighted: bool | None = None,
    one_each: bool = False,
) -> Estimate:
    """Estimate one statistic from a count table (score, fold, n, weight) of ``counts.score_counts``.

    kind: "nps" (points), "mean" (points of the scale), "satisfied" (share at the good end) or a band (share in it).
    ``weighted``: use the weights of the answers; None does where the company has given any. ``one_each``: the table
    holds one answer of each customer, so that unweighted answers are independent. Otherwise the textbook interval
    (adjusted Wald, t, Wilson) is taken at the effective number of answers: n divided by the design effect that the
    folds show, so that several answers of one customer, or unequal weights, widen it and never narrow it.
    """
    n = float(counted["n"].sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, n=0)
    weighted = company.has("responses", "weight") if weighted is None else weighted
    w = counted["weight" if weighted else "n"].to_numpy(float)
    y = _statistic(company, metric, kind, counted["score"])
    value = float(w @ y / w.sum())
    spread = float(w @ (y - value) ** 2 / w.sum())
    # Linearised: each fold's pull on the weighted mean; their squares add up to its variance.
    pulls = np.bincount(counted["fold"], weights=w * (y - value) / w.sum(), minlength=256)
    folds = np.unique(counted["fold"]).size
    variance = float(pulls @ pulls) * folds / max(folds - 1, 1)
    independent = one_each and not weighted
    effect = max(1.0, variance / (spread / n)) if spread > 0 and folds > 1 and not independent else 1.0
    share = w / w.sum() * n / effect
    if kind == "nps":
        detractors, passives, promoters = (float(share[y == v].sum()) for v in (-100, 0, 100))
        found = intervals.nps(detractors, passives, promoters)
    elif kind != "mean":
        found = intervals.share(float(share[y == 1].sum()), n / effect)
    else:
        low, high = company.settings.metrics[metric].scale
        found = intervals.mean(y, weights=share, low=low, high=high)
    return replace(found, value=value, n=n)


def kind_of(metric: str) -> str:
    """Return the headline statistic of a metric: NPS for nps, the mean for the others."""
    return "nps" if metric == "nps" else "mean"


def _since(company: Company, months: int) -> date | None:
    if not counts.dated(company):
        return None
    return (pd.Timestamp(company.as_of) - pd.DateOffset(months=months)).date()


def _write(metric: str, e: Estimate) -> str:
    digits = 1 if metric == "nps" and not e.high - e.low < 4 else 2
    return interval(e, lambda v: number(v, digits))


def headline(company: Company, window_months: int = 12) -> Finding:
    """Answer: where does each score stand, in the last months and over all answers, raw and weighted?

    NPS, a question about the relationship, counts the latest answer of each customer; CSAT, PSAT and CES, questions
    about one experience, count every answer, and the interval allows for several answers of one customer.
    """
    name, title = "headline", "Scores with their 95 % intervals"
    found = counts.metrics(company)
    if not found:
        return unanswered(name, title, counts.require(company, "responses") or "no question was answered.")
    since, weighted = _since(company, window_months), company.has("responses", "weight")
    rows, sentences, figures = [], [], []
    for metric in found:
        windows = [("all answers", None)] + ([(f"last {window_months} months", since)] if since else [])
        kinds = ["nps", "mean"] if metric == "nps" else ["mean", "satisfied"]
        for window, start in windows:
            counted = counts.score_counts(company, metric, latest_only=metric == "nps", since=start)
            for kind in kinds:
                for use in [False, True] if weighted else [False]:
                    e = estimate(company, metric, counted, kind, weighted=use, one_each=metric == "nps")
                    weights = "weighted" if use else "unweighted"
                    rows.append(
                        {
                            "metric": metric.upper(),
                            "statistic": STATISTICS[kind],
                            "window": window,
                            "weights": weights,
                            "estimate": e,
                            "standard error": e.se,
                        }
                    )
        mine = [r for r in rows if r["metric"] == metric.upper() and r["statistic"] == STATISTICS[kinds[0]]]
        dated = [r for r in mine if r["window"] != "all answers" and r["estimate"].n]
        now = (dated or mine)[-1]
        text = f"{metric.upper()} ({counts.direction(company, metric)}) is {_write(metric, now['estimate'])}"
        text += f" over {now['estimate'].n:,.0f} {'customers' if metric == 'nps' and since else 'answers'}"
        text += f" in the {now['window']}" if since and now in dated else ""
        everything = [r["estimate"] for r in mine if r["window"] == "all answers"]
        if weighted:
            text += (
                f", weighted; over all {everything[0].n:,.0f} answers {number(everything[0].value, 2)} as answered and "
            )
            text += f"{number(everything[1].value, 2)} with the weights given"
        sentences.append(text + ".")
        figures.append(
            Figure(metric, f"{metric.upper()}, {now['window']}", now["estimate"], UNITS[kinds[0]], "answers")
        )
    caveats = ("A score is a sample and an input, not an outcome: see who did not answer, below.",)
    return Finding(name, title, " ".join(sentences), "D", table(rows, ["metric", "statistic", "window", "weights"]),
                   tuple(figures), caveats)  # fmt: skip


def distribution(company: Company) -> Finding:
    """Answer: how are the answers spread over the bands of each scale?"""
    rows = []
    for metric in counts.metrics(company):
        counted = counts.score_counts(company, metric, latest_only=metric == "nps")
        for band in counts.bands(company, metric):
            e = estimate(company, metric, counted, band, one_each=metric == "nps")
            rows.append({"metric": metric.upper(), "band": band.name, "estimate": e})
    if not rows:
        return unanswered("distribution", "Distribution of answers", "no question was answered.")
    shares = table(rows, ["metric", "band"])
    worst = shares.groupby("metric", observed=True, sort=False).first()
    text = "; ".join(f"{m}: {percent(r['value'], 0)} {r['band']}" for m, r in worst.iterrows())
    return Finding(
        "distribution", "How the answers are spread", f"At the bad end of each scale stand {text}.", "D", shares
    )


def trend(company: Company, metric: str = "", period: str = "quarter", by: str | None = None) -> Finding:
    """Answer: did the score move? Each customer's latest answer per period; the change with its own interval."""
    name, title = "trend", f"Score by {period}"
    metric = counts.choose(company, metric)
    if not metric or _since(company, 1) is None:
        return unanswered(name, title, "the answers carry no dates." if metric else "no question was answered.")
    kind, keys = kind_of(metric), [by] if by else []
    counted = counts.score_counts(company, metric, by=keys, period=period, latest_only=True)
    rows = [
        {
            "period": key[-1],
            **dict(zip(keys, key, strict=False)),
            "estimate": estimate(company, metric, part, kind, one_each=True),
        }
        for key, part in counted.groupby([*keys, "period"], observed=True)
    ]
    rows = [r for r in rows if r["estimate"].n >= company.settings.privacy.minimum_base]
    moved = table(rows, ["period", *keys])
    if len(rows) < 2:
        return unanswered(name, title, f"fewer than two {period}s have enough answers.")
    if by:
        return Finding(f"{name}-by-{by}", f"{metric.upper()} by {period} and {by}", f"By {by}.", "D", moved)
    # The as-of date may fall inside a period; the last whole one is compared with the one before it.
    ends = pd.Timestamp(company.as_of) + pd.Timedelta(days=1)
    whole = [r for r in rows if r["period"] + pd.tseries.frequencies.to_offset(_STEP[period]) <= ends] or rows
    if len(whole) < 2:
        return unanswered(name, title, f"fewer than two whole {period}s have enough answers.")
    last, before = whole[-1], whole[-2]
    change = _difference(last["estimate"], before["estimate"])
    verdict = "more than sampling noise" if change.excludes(0) else "no more than sampling noise would give"
    text = (
        f"{metric.upper()} in the {period} from {last['period']:%d %B %Y} was {_write(metric, last['estimate'])}, a change of "
        f"{_write(metric, change)} on the {period} before: {verdict}."
    )
    figures = (
        Figure(f"{metric}-change", f"{metric.upper()}: change on the {period} before", change, UNITS[kind], "answers"),
    )
    return Finding(name, f"{metric.upper()} by {period}, with 95 % intervals", text, "D", moved, figures)


_STEP = {"week": "7D", "month": "MS", "quarter": "QS", "year": "YS"}


def _difference(first: Estimate, second: Estimate) -> Estimate:
    """Return first minus second, its interval put together from the two intervals (Newcombe's square-and-add)."""
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, low, high, math.hypot(first.se, second.se), first.n + second.n)


def mix(company: Company, metric: str = "", by: str = "") -> Finding:
    """Answer: did the score change, or who was answering? First year against last, split into mix and rates.

    Kitagawa's decomposition with average weights: mix = change of shares x average score, rates = change of scores x
    average share; the two add up to the whole change. Intervals from the fold draws.
    """
    name, title = "mix", "Change of the score: of the customers or of the mix?"
    metric = counts.choose(company, metric)
    by = by or (counts.segments(company) or [""])[0]
    if not metric or not by or _since(company, 1) is None:
        return unanswered(name, title, "it needs dated answers and a segment.")
    kind = kind_of(metric)
    counted = counts.score_counts(company, metric, by=[by], period="year", latest_only=True)
    years = sorted(counted["period"].unique())
    sizes = counted.groupby("period", observed=True)["n"].sum()
    years = [y for y in years if sizes[y] >= company.settings.privacy.minimum_base]
    if len(years) < 2:
        return unanswered(name, title, "the answers span less than two years.")
    first, last = years[0], years[-1]
    counted["use"] = counted["weight" if company.has("responses", "weight") else "n"].astype(float)
    counted["total"] = _statistic(company, metric, kind, counted["score"]) * counted["use"]
    resampling = draws.fold_weights(company.settings.draws, company.settings.seed)
    levels = sorted(counted[by].unique())
    cube = {}
    for year in (first, last):
        part = counted[counted["period"] == year]
        sums = np.zeros((2, 256, len(levels)))
        where = (part["fold"].to_numpy(), part[by].map(levels.index).to_numpy())
        np.add.at(sums[0], where, part["use"].to_numpy())
        np.add.at(sums[1], where, part["total"].to_numpy(float))
        # The plain sums come first, then one row per resample.
        cube[year] = np.concatenate([sums.sum(1)[:, None], resampling @ sums], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = {y: c[0] / c[0].sum(-1, keepdims=True) for y, c in cube.items()}
        score = {y: np.where(c[0] > 0, c[1] / c[0], 0.0) for y, c in cube.items()}
    mixed = ((share[last] - share[first]) * (score[last] + score[first]) / 2).sum(-1)
    rates = ((score[last] - score[first]) * (share[last] + share[first]) / 2).sum(-1)
    n = float(sizes[first] + sizes[last])
    parts = {"whole change": mixed + rates, f"because the mix of {by} changed": mixed, f"within each {by}": rates}
    rows = [{"part": k, "estimate": draws.estimate(v[0], v[1:], n)} for k, v in parts.items()]
    whole, of_mix, of_rates = (r["estimate"] for r in rows)
    text = (
        f"From {first:%Y} to {last:%Y} {metric.upper()} changed by {_write(metric, whole)}: {_write(metric, of_mix)} because "
        f"the mix of {by} among those answering changed, {_write(metric, of_rates)} within each {by}."
    )
    figures = tuple(
        Figure(f"{metric}-{key}", f"{metric.upper()}, {first:%Y} to {last:%Y}: {r['part']}", r["estimate"], UNITS[kind],
               "answers")
        for key, r in zip(("change", "mix", "rates"), rows, strict=True)
    )  # fmt: skip
    figures = tuple(replace(f, name=f"{metric}-yearly-{f.name.rpartition('-')[2]}") for f in figures)
    return Finding(name, title, text, "D", table(rows, ["part"]), figures)


def by_segment(company: Company, metric: str = "", window_months: int = 12, segments: Sequence[str] = ()) -> Finding:
    """Answer: who differs? The score of each segment, those under the minimum base not shown."""
    name, title = "segments", "Score by segment"
    metric = counts.choose(company, metric)
    segments = list(segments) or counts.segments(company)
    if not metric or not segments:
        return unanswered(name, title, "no segment is declared." if metric else "no question was answered.")
    least, rows, hidden = company.settings.privacy.minimum_base, [], 0
    for segment in segments:
        counted = counts.score_counts(
            company, metric, by=[segment], latest_only=metric == "nps", since=_since(company, window_months)
        )
        for level, part in counted.groupby(segment, observed=True):
            e = estimate(company, metric, part, kind_of(metric), one_each=metric == "nps")
            hidden += e.n < least
            shown = e if e.n >= least else Estimate(math.nan, math.nan, math.nan, n=math.nan)
            rows.append({"segment": segment, "level": level, "estimate": shown})
    shown = table(rows, ["segment", "level"])
    if shown["value"].notna().sum() < 2:
        return unanswered(name, title, f"fewer than two segments have {least} answers or more.")
    worst, best = shown.loc[shown["value"].idxmin()], shown.loc[shown["value"].idxmax()]
    text = f"{metric.upper()} is lowest for {worst['segment']} {worst['level']} ({number(worst['value'])}, "
    text += f"{number(worst['low'])} to {number(worst['high'])}) and highest for {best['segment']} {best['level']} "
    text += f"({number(best['value'])}, {number(best['low'])} to {number(best['high'])})."
    caveats = ["Lowest and highest of several are partly chance: look at the intervals, not at the ranks."]
    caveats += [f"{hidden} segments with fewer than {least} answers are not shown."] if hidden else []
    window = f", last {window_months} months" if _since(company, 1) else ""
    return Finding(name, f"{metric.upper()} by segment{window}", text, "D", shown, caveats=tuple(caveats))


def silence(company: Company, metric: str = "") -> Finding:
    """Answer: who is silent? Response rate by segment, and of those who left soon after being asked."""
    name, title = "silence", "Share of questions answered"
    metric = counts.choose(company, metric)
    if not metric:
        return unanswered(name, title, "no question was answered.")
    resampling = draws.fold_weights(company.settings.draws, company.settings.seed)
    rows = []
    for segment in [None, *counts.segments(company)]:
        counted = counts.response_counts(company, metric, by=[segment] if segment else [])
        counted["level"] = counted[segment] if segment else "everybody asked"
        keys, drawn = draws.resample(counted, "fold", ["asked", "answered"], ["level"], resampling)
        sums = counted.groupby("level", observed=True)[["asked", "answered"]].sum()
        for i, level in enumerate(keys["level"]):
            asked, answered = sums.loc[level]
            e = draws.estimate(answered / asked, _ratio(drawn[:, i, 1], drawn[:, i, 0]), asked, low=0, high=1)
            rows.append({"segment": segment or "all", "level": level, "estimate": e})
    least = company.settings.privacy.minimum_base
    rows = [r for r in rows if r["estimate"].n >= least]
    if not rows:
        return unanswered(name, title, f"fewer than {least} questions were asked.")
    everybody = rows[0]["estimate"]
    if everybody.value >= 1:
        return unanswered(name, title, "the export holds only answered questions, so the silent cannot be counted.")
    text = f"{interval(everybody, percent)} of {everybody.n:,.0f} {metric.upper()} questions were answered; "
    text += "what the silent would have said is not known."
    figures = (
        Figure(f"{metric}-response-rate", f"{metric.upper()} questions answered", everybody, "share", "questions"),
    )
    return Finding(name, f"Share of {metric.upper()} questions answered", text, "D", table(rows, ["segment", "level"]),
                   figures)  # fmt: skip


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return over / under
