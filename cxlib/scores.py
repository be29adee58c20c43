"""01_scores: where do the scores stand, and who differs?

The other sections of the page are questions of their own: ``movement`` (did it move), ``silence`` (who does not answer),
``agreement`` (do the scores agree) and ``support`` (how long customers wait).
"""

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
from cxlib.findings import Figure, Finding, interval, listing, number, p_value, percent, table, unanswered
from cxlib.intake import counts
from cxlib.intake.company import Company
from cxlib.stats import disclosure, intervals, shrinkage
from cxlib.stats.estimate import Estimate

STATISTICS = {"nps": "NPS", "mean": "mean", "satisfied": "share at the good end"}
UNITS = {"nps": "NPS points", "mean": "points on the scale", "satisfied": "share"}
UNKNOWN = Estimate(math.nan, math.nan, math.nan, n=math.nan)
Period = Literal["week", "month", "quarter", "year", "wave"]


class Parameters(parameters.Parameters):
    """Parameters of 01_scores."""

    metric: str = ""
    period: Period = "quarter"
    window_months: int = Field(12, ge=1, le=120)
    false_alarms: float = Field(0.05, gt=0, lt=0.5)
    leaving_days: int = Field(90, ge=7, le=730)
    reopen_days: int = Field(7, ge=1, le=90)


def contributions(company: Company, metric: str, kind: str | counts.Band, scores: pd.Series) -> np.ndarray:
    """Return what each score contributes: NPS -100/0/100, the score itself, 1 for the good end, or 1 inside a band."""
    if kind == "mean":
        return scores.to_numpy(float)
    if isinstance(kind, counts.Band):
        return scores.between(kind.low, kind.high).to_numpy(float)
    worst, *_, best = counts.bands(company, metric)
    good = scores.between(best.low, best.high).to_numpy(float)
    return good if kind == "satisfied" else 100 * (good - scores.between(worst.low, worst.high).to_numpy(float))


def _pulls(counted: pd.DataFrame, w: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how much each fold pulls the weighted mean up or down; the squares add up to its variance."""
    value = w @ y / w.sum()
    return np.bincount(counted["fold"], weights=w * (y - value) / w.sum(), minlength=256)


def _weights(company: Company, counted: pd.DataFrame, weighted: bool | None = None) -> np.ndarray:
    weighted = counts.weighted(company) if weighted is None else weighted
    return counted["weight" if weighted else "n"].to_numpy(float)


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
    folds show (Kish 1965; Korn & Graubard 1998), so that several answers of one customer, or unequal weights, widen it
    and never narrow it.
    """
    n = float(counted["n"].sum())
    if not n:
        return replace(UNKNOWN, n=0)
    w, y = _weights(company, counted, weighted), contributions(company, metric, kind, counted["score"])
    value = float(w @ y / w.sum())
    spread = float(w @ (y - value) ** 2 / w.sum())
    pulls = _pulls(counted, w, y)
    folds = np.unique(counted["fold"]).size
    variance = float(pulls @ pulls) * folds / max(folds - 1, 1)
    independent = one_each and np.array_equal(w, counted["n"])
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


def change(
    company: Company, metric: str, first: pd.DataFrame, second: pd.DataFrame, kind: str, one_each: bool = False
) -> Estimate:
    """Estimate a statistic of ``first`` minus that of ``second``, two count tables; ``p`` is against no difference.

    Customers behind both make the two go together, which narrows the difference: of the correlation that the folds show
    so much is used as stands after twice its own error is taken off, so that luck does not narrow it.
    """
    found = [estimate(company, metric, part, kind, one_each=one_each) for part in (first, second)]
    pulls = [
        _pulls(part, _weights(company, part), contributions(company, metric, kind, part["score"]))
        for part in (first, second)
        if len(part)
    ]
    together = 0.0
    if len(pulls) == 2 and all(p.any() for p in pulls):
        seen = float(pulls[0] @ pulls[1] / math.sqrt((pulls[0] @ pulls[0]) * (pulls[1] @ pulls[1])))
        folds = np.union1d(first["fold"], second["fold"]).size
        together = max(seen - 2 / math.sqrt(folds), 0.0)
    return intervals.difference(*found, correlation=together)


def kind_of(metric: str) -> str:
    """Return the headline statistic of a metric: NPS for nps, the mean for the others."""
    return "nps" if metric == "nps" else "mean"


def since(company: Company, months: int) -> date | None:
    """Return the day before the last ``months`` months, or None where the answers carry no dates."""
    if not counts.dated(company):
        return None
    return (pd.Timestamp(company.as_of) - pd.DateOffset(months=months)).date()


def write(metric: str, e: Estimate) -> str:
    """Return a score with its interval in the digits of its metric."""
    digits = 1 if metric == "nps" and not e.high - e.low < 4 else 2
    return interval(e, lambda v: number(v, digits))


def hidden(company: Company, sizes: Sequence[float], never_shown: Sequence[bool] | None = None) -> np.ndarray:
    """Tell which groups of one cut must not be shown, its total being public: small ones, and those that give one away.

    ``sizes`` are customers; ``never_shown`` marks groups that are not shown anyway. Cuts of different columns share
    nothing but the total, so that each can be judged by itself.
    """
    sizes = np.asarray(sizes, dtype=float)
    least = company.settings.privacy.minimum_base
    totals = np.ones((1, sizes.size), dtype=bool)
    return disclosure.hide_small(sizes, totals, least, never_shown).cells


def _aims(company: Company, metric: str, e: Estimate) -> list[tuple[str, float, float]]:
    """Return the target and the benchmark of a metric: name, value, p value of the one-sample test."""
    declared = company.settings.metrics[metric]
    aims = [(name, getattr(declared, name)) for name in ("target", "benchmark")]
    return [(name, aim, intervals.p_against(e, aim)) for name, aim in aims if aim is not None]


def headline(company: Company, window_months: int = 12) -> Finding:
    """Answer: where does each score stand, in the last months and over all answers, raw and weighted?

    NPS, a question about the relationship, counts the latest answer of each customer; CSAT, PSAT and CES, questions
    about one experience, count every answer, and the interval allows for several answers of one customer.
    """
    name, title = "headline", "Scores with their 95 % intervals"
    found = counts.metrics(company)
    if not found:
        return unanswered(name, title, counts.require(company, "responses") or "no question was answered.")
    start, weighted = since(company, window_months), counts.weighted(company)
    least = company.settings.privacy.minimum_base
    recently = f"last {window_months} months"
    rows, sentences, figures = [], [], []
    for metric in found:
        label, kinds = metric.upper(), ["nps", "mean"] if metric == "nps" else ["mean", "satisfied"]
        windows = {"all answers": counts.score_counts(company, metric, latest_only=metric == "nps")}
        if windows["all answers"]["customers"].sum() < least:
            sentences.append(f"{label}: fewer than {least} customers have answered.")
            continue
        if start:
            recent = counts.score_counts(company, metric, latest_only=metric == "nps", since=start)
            people = [part["customers"].sum() for part in (recent, windows["all answers"])]
            if not hidden(company, [people[0], people[1] - people[0]], [False, True])[0]:
                windows[recently] = recent
        for window, counted in windows.items():
            for kind in kinds:
                for use in [False, True] if weighted else [False]:
                    e = estimate(company, metric, counted, kind, weighted=use, one_each=metric == "nps")
                    aims = _aims(company, metric, e) if kind == kinds[0] else []
                    rows.append(
                        {
                            "metric": label,
                            "statistic": STATISTICS[kind],
                            "window": window,
                            "weights": "weighted" if use else "unweighted",
                            "estimate": e,
                            "standard error": e.se,
                        }
                        | {key: next((v for k, v, _ in aims if k == key), math.nan) for key in ("target", "benchmark")}
                    )
        mine = [r for r in rows if r["metric"] == label and r["statistic"] == STATISTICS[kinds[0]]]
        now = [r for r in mine if r["window"] == (recently if recently in windows else "all answers")][-1]
        text = f"{label} ({counts.direction(company, metric)}) is {write(metric, now['estimate'])}"
        text += f" over {now['estimate'].n:,.0f} {'customers' if metric == 'nps' and start else 'answers'}"
        text += f" in the {recently}" if recently in windows else ""
        everything = [r["estimate"] for r in mine if r["window"] == "all answers"]
        if weighted:
            text += (
                f", weighted; over all {everything[0].n:,.0f} answers {number(everything[0].value, 2)} as answered and "
            )
            text += f"{number(everything[1].value, 2)} with the weights given"
        for aim, value, p in _aims(company, metric, now["estimate"]):
            side = "above" if now["estimate"].value > value else "below"
            told = (
                f"{side} the {aim} of {number(value)}"
                if p < 0.05
                else f"not told apart from the {aim} of {number(value)}"
            )
            text += f"; {told} ({p_value(p)})"
        sentences.append(text + ".")
        figures.append(Figure(metric, f"{label}, {now['window']}", now["estimate"], UNITS[kinds[0]], "answers"))
    caveats = ("A score is a sample and an input, not an outcome: see who did not answer, below.",)
    if not figures:
        return unanswered(name, title, " ".join(sentences))
    shown = table(rows, ["metric", "statistic", "window", "weights"]).dropna(axis=1, how="all")
    shown = shown if weighted else shown.drop(columns="weights")
    return Finding(name, title, " ".join(sentences), "D", shown, tuple(figures), caveats)


def distribution(company: Company, window_months: int = 12) -> Finding:
    """Answer: how are the answers spread over each scale, score by score, and over its bands?"""
    name, title = "distribution", "How the answers are spread"
    rows, worst = [], []
    for metric in counts.metrics(company):
        start, least = since(company, window_months), company.settings.privacy.minimum_base
        counted = counts.score_counts(company, metric, latest_only=metric == "nps", since=start)
        if counted["customers"].sum() < least:
            start = None
            counted = counts.score_counts(company, metric, latest_only=metric == "nps")
        if counted["customers"].sum() < least:
            continue
        bands = counts.bands(company, metric)
        for band in bands:
            e = estimate(company, metric, counted, band, one_each=metric == "nps")
            worst += [f"{metric.upper()}: {percent(e.value, 0)} {band.name}"] if band is bands[0] else []
            points = np.unique(counted["score"][counted["score"].between(band.low, band.high)])
            for score in points if company.settings.metrics[metric].good == "high" else points[::-1]:
                one = counts.Band(f"{score:g}", score, score)
                each = estimate(company, metric, counted, one, one_each=metric == "nps")
                rows.append({"metric": metric.upper(), "band": band.name, "score": score, "estimate": each})
    if not rows:
        return unanswered(name, title, "no question was answered by enough customers.")
    text = f"At the bad end of each scale stand {'; '.join(worst)}."
    return Finding(name, f"{title}, score by score", text, "D", table(rows, ["metric", "band", "score"]))


def differences(
    company: Company, metric: str = "", window_months: int = 12, cuts: Sequence[str] = (), rate: float = 0.05
) -> Finding:
    """Answer: who differs? Each level of each cut against the rest; Benjamini-Hochberg over all of them.

    ``cuts`` are columns of customers, touchpoint, channel or stage; none takes all there are. Levels of few customers
    are not shown, nor those from which one could be worked out.
    """
    name, title = "segments", "Score by segment"
    metric = counts.choose(company, metric)
    cuts = list(cuts) or (counts.cuts(company, metric) if metric else [])
    if not metric or not cuts:
        return unanswered(name, title, "no segment is declared." if metric else "no question was answered.")
    start, kind, rows, unseen = since(company, window_months), kind_of(metric), [], 0
    one_each = metric == "nps"
    for cut in cuts:
        counted = counts.score_counts(company, metric, by=[cut], latest_only=one_each, since=start)
        sizes = counted.groupby(cut, observed=True)["customers"].sum()
        hide = dict(zip(sizes.index, hidden(company, sizes.to_numpy()), strict=True))
        unseen += sum(hide.values())
        if len(sizes) - sum(hide.values()) < 2:
            continue
        for level in counts.in_order(cut, [k for k in sizes.index if not hide[k]]):
            part = counted[counted[cut] == level]
            row = {"segment": cut, "level": level, "estimate": estimate(company, metric, part, kind, one_each=one_each)}
            apart = change(company, metric, part, counted[counted[cut] != level], kind, one_each=one_each)
            row |= {"customers": sizes[level], "difference": apart.value}
            row |= {"difference_low": apart.low, "difference_high": apart.high, "p": apart.p}
            rows.append(row)
    if not rows:
        least = company.settings.privacy.minimum_base
        return unanswered(name, title, f"fewer than two segments have {least} customers or more.")
    shown = table(rows, ["segment", "level"])
    shown["differs"] = intervals.benjamini_hochberg(shown["p"], rate)
    found = shown[shown["differs"]].sort_values("p")
    label, known = metric.upper(), len(shown)
    if len(found):
        said = [
            f"{r['segment']} {r['level']} ({write(metric, Estimate(r['difference'], r['difference_low'], r['difference_high']))})"
            for r in found.head(3).to_dict("records")
        ]
        text = f"{len(found)} of {known} segments differ in {label} from the rest of the customers by more than chance; most "
        text += f"clearly {listing(said)}."
    else:
        text = f"None of {known} segments differs in {label} from the rest of the customers by more than chance."
    share = percent(rate, 0)
    caveats = [
        f"Over all {known} comparisons at most about {share} of those named are expected to be false (Benjamini-Hochberg)."
    ]
    caveats += [f"{unseen} small segments are not shown, or would give a small one away."] if unseen else []
    window = f", last {window_months} months" if start else ""
    return Finding(name, f"{label} by segment{window}", text, "D", shown, caveats=tuple(caveats))


def agents(company: Company, metric: str = "", window_months: int = 12, draws: int = 4000) -> Finding:
    """Answer: how much do agents differ, luck taken off? Means shrunk toward that of all; ranks with their intervals."""
    name, title = "agents", "Score by agent, luck taken off"
    metrics = [m for m in counts.metrics(company) if not metric or m == metric]
    if not metrics or not company.has("responses", "agent"):
        return unanswered(name, title, "the answers name no agent.")
    start, counted = since(company, window_months), pd.DataFrame()
    for metric in metrics:
        counted = counts.score_counts(company, metric, by=["agent"], since=start)
        counted = counted[counted["agent"] != counts.NONE]
        if counted["agent"].nunique() >= 3:
            break
    sizes = counted.groupby("agent", observed=True)["customers"].sum() if len(counted) else pd.Series(dtype=float)
    shown = sizes.index[~hidden(company, sizes.to_numpy())] if len(sizes) else []
    if len(shown) < 3:
        return unanswered(name, title, "fewer than three agents have enough answers.")
    raw = {a: estimate(company, metric, counted[counted["agent"] == a], kind_of(metric)) for a in shown}
    found = shrinkage.shrink([e.value for e in raw.values()], [e.se for e in raw.values()])
    ranks = shrinkage.ranks(found, draws, company.settings.seed)
    rows = found.table.assign(
        agent=list(raw), n=[e.n for e in raw.values()], rank_low=ranks["low"], rank_high=ranks["high"]
    )
    rows = rows.rename(columns={"value": "raw", "shrunken": "value"}).sort_values("agent", ignore_index=True)
    apart = rows[(rows["low"] > found.mean) | (rows["high"] < found.mean)]
    text = f"Of {len(rows)} agents {len(apart) or 'none'} can be told from the mean of {number(found.mean, 2)} "
    text += f"({metric.upper()}, {counts.direction(company, metric)}) once luck is taken off"
    text += f": {listing(apart['agent'])}." if len(apart) else "."
    text += f" True means differ by a standard deviation of {number(found.between_sd, 2)} points."
    caveats = [
        "Each mean is drawn toward that of all agents, the more the fewer answers stand behind it (empirical Bayes); a rank "
        "is shown with its interval, as a table of ranks would mostly show luck. Which cases an agent gets is not adjusted for."
    ]
    caveats += [f"{len(sizes) - len(rows)} agents with few customers are not shown."] if len(rows) < len(sizes) else []
    columns = ["agent", "value", "low", "high", "n", "raw", "rank_low", "rank_high"]
    return Finding(name, f"{title} ({metric.upper()})", text, "D", rows[columns], caveats=tuple(caveats))
