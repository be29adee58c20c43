"""01_scores: where do the scores stand, and who differs?

The other sections of the page are questions of their own: ``movement`` (did it move), ``silence`` (who does not answer),
``agreement`` (do the scores agree) and ``support`` (how long customers wait).
"""

from __future__ import annotations

import math

import numpy as np

from cxlib.counts import answers, people
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, number, p_value, percent, table, unanswered
from cxlib.scores.estimates import STATISTICS, UNITS, estimate, hidden, since, write
from cxlib.stats import intervals
from cxlib.stats.estimate import Estimate


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
    found = answers.metrics(company)
    if not found:
        return unanswered(name, title, people.require(company, "responses") or "no question was answered.")
    start, weighted = since(company, window_months), answers.weighted(company)
    least = company.settings.privacy.minimum_base
    recently = f"last {window_months} months"
    rows, sentences, figures = [], [], []
    for metric in found:
        label, kinds = metric.upper(), ["nps", "mean"] if metric == "nps" else ["mean", "satisfied"]
        windows = {"all answers": answers.score_counts(company, metric, latest_only=metric == "nps")}
        if windows["all answers"]["customers"].sum() < least:
            sentences.append(f"{label}: fewer than {least} customers have answered.")
            continue
        if start:
            recent = answers.score_counts(company, metric, latest_only=metric == "nps", since=start)
            sizes = [part["customers"].sum() for part in (recent, windows["all answers"])]
            if not hidden(company, [sizes[0], sizes[1] - sizes[0]], [False, True])[0]:
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
        text = f"{label} ({answers.direction(company, metric)}) is {write(metric, now['estimate'])}"
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
    for metric in answers.metrics(company):
        start, least = since(company, window_months), company.settings.privacy.minimum_base
        counted = answers.score_counts(company, metric, latest_only=metric == "nps", since=start)
        if counted["customers"].sum() < least:
            start = None
            counted = answers.score_counts(company, metric, latest_only=metric == "nps")
        if counted["customers"].sum() < least:
            continue
        bands = answers.bands(company, metric)
        for band in bands:
            e = estimate(company, metric, counted, band, one_each=metric == "nps")
            worst += [f"{metric.upper()}: {percent(e.value, 0)} {band.name}"] if band is bands[0] else []
            points = np.unique(counted["score"][counted["score"].between(band.low, band.high)])
            for score in points if company.settings.metrics[metric].good == "high" else points[::-1]:
                one = answers.Band(f"{score:g}", score, score)
                each = estimate(company, metric, counted, one, one_each=metric == "nps")
                rows.append({"metric": metric.upper(), "band": band.name, "score": score, "estimate": each})
    if not rows:
        return unanswered(name, title, "no question was answered by enough customers.")
    text = f"At the bad end of each scale stand {'; '.join(worst)}."
    return Finding(name, f"{title}, score by score", text, "D", table(rows, ["metric", "band", "score"]))
