"""01_scores: do the scores agree? Correlations, a composite score, and leavers who were satisfied."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd

from cxlib.counts import answers, people
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import Answer, Figure, answer, finding, slug, table
from cxlib.page.numbers import number
from cxlib.page.resamples import resamples
from cxlib.scores.estimates import estimate, hidden, since
from cxlib.stats import association, draws

WEAK = 0.5  # scores whose correlation is surely below this measure different things


@finding("together")
def together(company: Company, within_days: int = 180) -> Answer:
    """Answer: do the scores of one customer agree? Rank correlation of the latest answers, pair by pair.

    Scores are turned so that high is good. Answers more than ``within_days`` apart are not paired.
    """
    found, least = answers.metrics(company), company.settings.privacy.minimum_base
    answers.require_answers(company, found[0] if found else "")
    if len(found) < 2:
        raise Unanswered("one-score")
    resampling = resamples(company)[1:]
    rows, use = [], "weight" if answers.weighted(company) else "n"
    for pair in itertools.combinations(found, 2):
        counted = answers.pairs(company, *pair, within_days)
        if counted["n"].sum() < least:
            continue
        first, second = zip(pair, ("first", "second"), strict=True)
        turned = [_up(company, metric) * counted[column] for metric, column in (first, second)]
        value, drawn = association.rank_correlation(*turned, counted["fold"], counted[use], resampling)
        if math.isnan(value):
            continue
        e = draws.estimate(value, drawn, float(counted["n"].sum()), low=-1, high=1)
        rows.append(
            {"pair": " and ".join(m.upper() for m in pair), "estimate": e,
             "first_good_second_bad": _share(company, counted, first, second),
             "second_good_first_bad": _share(company, counted, second, first)}
        )  # fmt: skip
    if not rows:
        raise Unanswered("few-pairs")
    figures = []
    for r in rows:
        name = slug("together", r["pair"].replace(" and ", " "))
        figures.append(Figure(name, f"Rank correlation of {r['pair']}", r["estimate"], "-1 to 1"))
    values = [r["estimate"].value for r in rows]
    return answer(
        "observed", table(rows, ["pair"]), figures,
        pairs=[{"pair": r["pair"], "correlation": r["estimate"]} for r in rows],
        lowest=min(values), highest=max(values), weak=all(r["estimate"].high < WEAK for r in rows), limit=WEAK,
        within_days=within_days if answers.dated(company) else 0,
    )  # fmt: skip


def _up(company: Company, metric: str) -> int:
    return 1 if company.settings.metrics[metric].good == "high" else -1


def _share(company: Company, counted: pd.DataFrame, good: tuple[str, str], bad: tuple[str, str]) -> float:
    """Return the share of customers at the good end of one metric and the bad end of another."""
    best, worst = answers.bands(company, good[0])[-1], answers.bands(company, bad[0])[0]
    both = counted[good[1]].between(best.low, best.high) & counted[bad[1]].between(worst.low, worst.high)
    use = "weight" if answers.weighted(company) else "n"
    return float(counted[use][both].sum() / counted[use].sum())


@finding("satisfied-leavers")
def satisfied_leavers(company: Company, within_days: int = 180) -> Answer:
    """Answer: how many leavers were satisfied? Those who left by choice, by their last answer in the days before."""
    answers.require_answers(company, answers.choose(company, ""))
    if company.settings.relationship != "contractual":
        raise Unanswered("no-contracts")
    people.require(company, "customers", "left_on")
    answers.require_dates(company, answers.choose(company, ""))
    rows, scores, figures = [], [], []
    for metric in answers.metrics(company):
        counted = answers.said_before_leaving(company, metric, within_days)
        answered = counted[counted["score"].notna()]
        n, label = float(answered["n"].sum()), metric.upper()
        silent = float(counted["n"].sum()) - n
        if n < company.settings.privacy.minimum_base:
            continue
        for band in answers.bands(company, metric):
            e = estimate(company, metric, answered, band, one_each=True)
            rows.append({"metric": label, "band": band.name, "estimate": e})
        scores.append({"label": label, "band": band.name, "share": e, "answered": n, "silent": silent})
        name = words.say(__file__, "satisfied-leavers", "figure", label=label)
        figures.append(Figure(f"{metric}-content-leavers", name, e, "share", "leavers with an answer"))
    if not rows:
        raise Unanswered("few-leavers-answered", within_days=within_days)
    return answer("count", table(rows, ["metric", "band"]), figures, scores=scores, within_days=within_days)


@finding("composite")
def composite(company: Company, by: str = "", window_months: int = 12, draws_of_weights: int = 2000) -> Answer:
    """Answer: what does a composite score show and hide? By segment, with its rank under other weights.

    Each score is turned so that high is good, stretched to 0-100 (the mean of its answers; the ends of the scale are 0
    and 100) and averaged with the weights of company.yaml (composite_weight, else 1). Intervals from the fold draws, at
    these weights. Ranks: their range under ``draws_of_weights`` random sets of weights (uniform over all, as in the
    OECD/JRC handbook 2008), and with each score left out.
    """
    declared = company.settings.metrics
    found = [m for m in answers.metrics(company) if declared[m].composite_weight > 0]
    answers.require_answers(company, answers.choose(company, ""))
    if len(found) < 2:
        raise Unanswered("one-score")
    if not (by or people.segments(company)):
        raise Unanswered("no-segment")
    by = by or people.most_levels(company)
    start, resampling = since(company, window_months), resamples(company)
    scaled, sizes = {}, {}
    for metric in found:
        counted = answers.score_counts(company, metric, by=[by], since=start)
        low, high = declared[metric].scale
        use = counted["weight" if answers.weighted(company) else "n"].astype(float)
        up = (counted["score"] - low) / (high - low) * 100
        counted["use"], counted["total"] = use, use * (up if declared[metric].good == "high" else 100 - up)
        sizes[metric] = counted.groupby(by, observed=True)[["customers", "n"]].sum()
        keys, sums = draws.resample(counted, "fold", ["use", "total"], [by], resampling)
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled[metric] = pd.DataFrame((sums[..., 1] / sums[..., 0]), columns=keys[by])
    levels = sorted(set.intersection(*(set(s.columns) for s in scaled.values())))
    least = pd.DataFrame({m: s["customers"].reindex(levels) for m, s in sizes.items()}).min(axis=1)
    hide = hidden(company, least.to_numpy()) if levels else []
    levels = [level for level, small in zip(levels, hide, strict=True) if not small]
    if len(levels) < 2:
        raise Unanswered("few-levels-of-all", by=by)
    cube = np.stack([scaled[m][levels].to_numpy() for m in found])  # scores x draws x levels
    given = np.array([declared[m].composite_weight for m in found], dtype=float)
    given /= given.sum()
    whole = np.tensordot(given, cube, axes=1)
    others = np.random.default_rng(company.settings.seed).dirichlet(np.ones(len(found)), draws_of_weights)
    ranks, rank = _ranks(others @ cube[:, 0]), _ranks(whole[:1])[0]
    chance = np.quantile(_ranks(whole[1:]), [0.025, 0.975], axis=0, method="inverted_cdf")
    without = [_ranks(_without(given, cube[:, 0], j)[None])[0] for j in range(len(found))]
    rows = []
    for i, level in enumerate(levels):
        n = float(sum(s.loc[level, "n"] for s in sizes.values()))
        row = {"level": level, "estimate": draws.estimate(whole[0, i], whole[1:, i], n, low=0, high=100)}
        row |= {m.upper(): cube[j, 0, i] for j, m in enumerate(found)}
        row |= {"rank": rank[i], "chance_from": int(chance[0, i]), "chance_to": int(chance[1, i])}
        row |= {"weights_from": ranks[:, i].min(), "weights_to": ranks[:, i].max()}
        row |= {f"rank without {m.upper()}": without[j][i] for j, m in enumerate(found)}
        row["scores"] = ", ".join(f"{m.upper()} {number(row[m.upper()], 0)}" for m in found)
        row["by_chance"] = f"{row['chance_from']}–{row['chance_to']}"
        row["by_weights"] = f"{row['weights_from']}–{row['weights_to']}"
        row["left_out"] = ", ".join(f"without {m.upper()}: {without[j][i]}" for j, m in enumerate(found))
        rows.append(row)
    rows.sort(key=lambda r: r["rank"])
    moving = [r["level"] for r in rows if r["weights_from"] < r["weights_to"]]
    return answer(
        "count", table(rows, ["level"]), by=by, top=rows[0]["level"], score=rows[0]["estimate"], levels=len(levels),
        weights=[{"label": m.upper(), "share": w} for m, w in zip(found, given.tolist(), strict=True)], moving=moving,
    )  # fmt: skip


def _without(given: np.ndarray, scores: np.ndarray, j: int) -> np.ndarray:
    """Return the composite of each level (scores x levels) without the score at ``j``; NaN if no weight is left."""
    rest = np.delete(given, j)
    return np.tensordot(rest, np.delete(scores, j, axis=0), axes=1) if rest.sum() else np.full(scores.shape[1], np.nan)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks along the last axis, 1 for the highest."""
    return (-values).argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable") + 1
