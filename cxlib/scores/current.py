"""01_scores: what is the level of each score, and how are its answers distributed?"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from cxlib.counts import answers
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.numbers import number, percent
from cxlib.scores.estimates import STATISTICS, UNITS, drawn_from, estimate, hidden, since
from cxlib.stats import intervals
from cxlib.stats.estimate import Estimate

ALL, WEIGHTED, UNWEIGHTED = "all answers", "weighted", "unweighted"


def _aims(company: Company, metric: str, e: Estimate) -> list[dict[str, object]]:
    """Compare a score with its target and benchmark, where declared: name, value, p value (one sample), higher."""
    declared = company.settings.metrics[metric]
    aims = [(name, getattr(declared, name)) for name in ("target", "benchmark")]
    return [
        {"name": name, "value": aim, "p": intervals.p_against(e, aim), "higher": e.value > aim}
        for name, aim in aims
        if aim is not None
    ]


def _windows(company: Company, metric: str, window_months: int) -> dict[str, pd.DataFrame]:
    """Return count tables of all answers and of the last months, where neither reveals a small group; none if few."""
    latest = metric == "nps"
    windows = {ALL: answers.score_counts(company, metric, latest_only=latest)}
    total = windows[ALL]["customers"].sum()
    if total < company.settings.privacy.minimum_base:
        return {}
    if start := since(company, window_months):
        recent = answers.score_counts(company, metric, latest_only=latest, since=start)
        size = recent["customers"].sum()
        if not hidden(company, [size, total - size], [False, True])[0]:
            windows[f"last {window_months} months"] = recent
    return windows


@finding("headline")
def headline(company: Company, window_months: int = 12) -> Answer:
    """Answer: what is the level of each score, over the last months and over all answers, raw and weighted?

    NPS, a question about the relationship, counts the latest answer of each customer. CSAT, PSAT and CES, questions
    about one experience, count every answer; their intervals allow for several answers of one customer.
    """
    found = answers.metrics(company)
    answers.require_answers(company, found[0] if found else "")
    anonymous = drawn_from(company, "responses")
    weighted, few = answers.weighted(company), []
    rows, scores, figures, behind = [], [], [], []
    for metric in found:
        label, kinds = metric.upper(), ["nps", "mean"] if metric == "nps" else ["mean", "satisfied"]
        windows = _windows(company, metric, window_months)
        if not windows:
            few.append(label)
            continue
        ways = {UNWEIGHTED: False} | ({WEIGHTED: True} if weighted else {})
        each = {
            (window, kind, way): estimate(company, metric, counted, kind, weighted=use, one_each=metric == "nps")
            for window, counted in windows.items()
            for kind in kinds
            for way, use in ways.items()
        }
        for (window, kind, way), e in each.items():
            aims = {a["name"]: a["value"] for a in _aims(company, metric, e)} if kind == kinds[0] else {}
            name = STATISTICS[kind] + (f", {way}" if weighted else "")
            row = {"metric": label, "statistic": name, "window": window, "estimate": e, "standard_error": e.se}
            row["shown"] = percent(e) if kind == "satisfied" else number(e)
            rows.append(row | {a: aims.get(a, math.nan) for a in ("target", "benchmark")})
        newest, best = list(windows)[-1], list(ways)[-1]
        behind.append(windows[newest].assign(metric=label))
        now = each[newest, kinds[0], best]
        plain, given = (each[ALL, kinds[0], way].value for way in (UNWEIGHTED, best))
        scores.append(
            {"label": label, "direction": answers.direction(company, metric), "score": now, "recent": newest != ALL,
             "customers": metric == "nps" and answers.dated(company) and not anonymous,
             "aims": _aims(company, metric, now), "unweighted": plain, "weighted": given}
        )  # fmt: skip
        figures.append(Figure(metric, f"{label}, {newest}", now, UNITS[kinds[0]], "answers"))
    if not figures:
        raise Unanswered("few-customers-answered", metrics=few)
    shown = table(rows, ["metric", "statistic", "window"]).dropna(axis=1, how="all")
    return answer(
        "count", shown, figures, pd.concat(behind, ignore_index=True),
        scores=scores, few=few, window_months=window_months, weights=weighted,
    )  # fmt: skip


@finding("distribution")
def distribution(company: Company, window_months: int = 12) -> Answer:
    """Answer: how are the answers distributed over each scale, score by score, and over its bands?"""
    found = answers.metrics(company)
    answers.require_answers(company, found[0] if found else "")
    rows, worst, least = [], [], company.settings.privacy.minimum_base
    for metric in found:
        latest, start = metric == "nps", since(company, window_months)
        counted = answers.score_counts(company, metric, latest_only=latest, since=start)
        if counted["customers"].sum() < least:
            counted = answers.score_counts(company, metric, latest_only=latest)
        if counted["customers"].sum() < least:
            continue
        for i, band in enumerate(answers.bands(company, metric)):
            if not i:
                e = estimate(company, metric, counted, band, one_each=latest)
                worst.append({"label": metric.upper(), "band": band.name, "share": e.value})
            points = np.unique(counted["score"][counted["score"].between(band.low, band.high)])
            for score in points if company.settings.metrics[metric].good == "high" else points[::-1]:
                one = answers.Band(f"{score:g}", score, score)
                each = estimate(company, metric, counted, one, one_each=latest)
                rows.append({"metric": metric.upper(), "band": band.name, "score": score, "estimate": each})
    if not rows:
        raise Unanswered("few-customers-answered", metrics=[m.upper() for m in found])
    return answer("count", table(rows, ["metric", "band", "score"]), worst=worst)
