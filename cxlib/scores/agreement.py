"""Do the scores agree? Scores of the same customer together, the composite score, and the satisfied who left (01_scores)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd

from cxlib.counts import answers, people
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, interval, listing, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.scores.estimates import estimate, hidden, since
from cxlib.stats import association, draws


def together(company: Company, within_days: int = 180) -> Finding:
    """Answer: do the scores of one customer go together? Rank correlation of the latest answers, pair by pair.

    Turned so that high is good on every scale. Answers more than ``within_days`` apart are not put together.
    """
    name, title = "together", "Scores of the same customer together"
    found, least = answers.metrics(company), company.settings.privacy.minimum_base
    resampling = resamples(company)[1:]
    rows, use = [], "weight" if answers.weighted(company) else "n"
    for first, second in itertools.combinations(found, 2):
        counted = answers.pairs(company, first, second, within_days)
        if counted["n"].sum() < least:
            continue
        turned = [_up(company, m) * counted[c] for m, c in ((first, "first"), (second, "second"))]
        value, drawn = association.rank_correlation(*turned, counted["fold"], counted[use], resampling)
        if math.isnan(value):
            continue
        e = draws.estimate(value, drawn, float(counted["n"].sum()), low=-1, high=1)
        bands = [
            _share(company, counted, *p)
            for p in (((first, "first"), (second, "second")), ((second, "second"), (first, "first")))
        ]
        rows.append({"pair": f"{first.upper()} and {second.upper()}", "estimate": e, "first good, second bad": bands[0],
                     "second good, first bad": bands[1]})  # fmt: skip
    if not rows:
        return unanswered(name, title, f"no two scores were given by {least} customers or more.")
    said = [f"{r['pair']} {interval(r['estimate'], lambda v: number(v, 2))}" for r in rows]
    text = f"Rank correlation of the scores of one customer: {'; '.join(said)}."
    weak = [r for r in rows if r["estimate"].high < 0.5]
    if weak:
        text += " So weak a link means that no one of them can stand for the others." if len(weak) == len(rows) else ""
    figures = tuple(
        Figure(
            f"together-{r['pair'].replace(' and ', '-').lower()}",
            f"Rank correlation of {r['pair']}",
            r["estimate"],
            "-1 to 1",
        )
        for r in rows
    )
    dated = answers.dated(company)
    caveats = (
        (f"Each customer's latest answers, at most {within_days} days apart; only customers who gave both.",)
        if dated
        else ()
    )
    return Finding(name, title, text, "D", table(rows, ["pair"]), figures, caveats)


def _up(company: Company, metric: str) -> int:
    return 1 if company.settings.metrics[metric].good == "high" else -1


def _share(company: Company, counted: pd.DataFrame, good: tuple[str, str], bad: tuple[str, str]) -> float:
    """Return the share of customers at the good end of one metric and the bad end of another."""
    best, worst = answers.bands(company, good[0])[-1], answers.bands(company, bad[0])[0]
    both = counted[good[1]].between(best.low, best.high) & counted[bad[1]].between(worst.low, worst.high)
    use = "weight" if answers.weighted(company) else "n"
    return float(counted[use][both].sum() / counted[use].sum())


def satisfied_leavers(company: Company, within_days: int = 180) -> Finding:
    """Answer: how many leave although they were content? Those who chose to leave, by what they had said shortly before."""
    name, title = "satisfied-leavers", "What leavers had said before"
    if company.settings.relationship != "contractual" or not company.has("customers", "left_on"):
        return unanswered(name, title, "without contracts and their ends nobody is seen to leave.")
    found = answers.metrics(company)
    if not found or not answers.dated(company):
        return unanswered(name, title, "the answers carry no dates." if found else "no question was answered.")
    rows, said, figures = [], [], []
    for metric in found:
        counted = answers.said_before_leaving(company, metric, within_days)
        answered = counted[counted["score"].notna()]
        n = float(answered["n"].sum())
        if n < company.settings.privacy.minimum_base:
            continue
        for band in answers.bands(company, metric):
            e = estimate(company, metric, answered, band, one_each=True)
            rows.append({"metric": metric.upper(), "band": band.name, "estimate": e})
        best, order = rows[-1]["estimate"], [b.name for b in answers.bands(company, metric)]
        asked = float(counted["n"].sum())
        silent = f" ({asked - n:,.0f} more were asked and said nothing)" if asked > n else ""
        said.append(f"{metric.upper()}: {interval(best, percent)} of {n:,.0f}{silent} at the good end ({order[-1]})")
        figures.append(
            Figure(f"{metric}-content-leavers", f"Leavers whose last {metric.upper()} was at the good end",
                   best, "share", "leavers who had answered")
        )  # fmt: skip
    if not rows:
        least = company.settings.privacy.minimum_base
        return unanswered(name, title, f"fewer than {least} leavers had answered in the {within_days} days before.")
    text = f"Of customers who chose to leave, by their last answer in the {within_days} days before: {'; '.join(said)}."
    caveats = ("A score alone misses these; 03_churn compares who stays after a good and a bad answer.",)
    return Finding(name, title, text, "D", table(rows, ["metric", "band"]), tuple(figures), caveats)


def composite(company: Company, by: str = "", window_months: int = 12, draws_of_weights: int = 2000) -> Finding:
    """Answer: what does a composite score say and hide? By segment, with its rank under other weights.

    Each score is turned so that high is good and stretched to 0-100 (the mean of its answers, the scale's ends being 0
    and 100), and averaged with the weights of company.yaml (composite_weight, 1 unless told). Intervals from the fold
    draws, one weight set. Then the ranks of the segments: the range under 2,000 random weight sets (uniform over all, as in
    the OECD/JRC handbook 2008), and with each score left out.
    """
    name, title = "composite", "Composite score"
    declared = company.settings.metrics
    found = [m for m in answers.metrics(company) if declared[m].composite_weight > 0]
    if len(found) < 2 or not (by or people.segments(company)):
        return unanswered(name, title, "it needs two scores and a segment.")
    by = by or people.most_levels(company)
    resampling = resamples(company)
    start, scaled, sizes = since(company, window_months), {}, {}
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
    levels = [
        k for k, hide in zip(levels, hidden(company, least.to_numpy()) if levels else [], strict=True) if not hide
    ]
    if len(levels) < 2:
        return unanswered(name, title, f"fewer than two levels of {by} have enough answers to every score.")
    cube = np.stack([scaled[m][levels].to_numpy() for m in found])  # scores x draws x levels
    given = np.array([declared[m].composite_weight for m in found], dtype=float)
    given /= given.sum()
    whole = np.tensordot(given, cube, axes=1)
    others = np.random.default_rng(company.settings.seed).dirichlet(np.ones(len(found)), draws_of_weights)
    ranks = _ranks(others @ cube[:, 0])
    luck = np.quantile(_ranks(whole[1:]), [0.025, 0.975], axis=0, method="inverted_cdf")
    rows = []
    for i, level in enumerate(levels):
        n = float(sum(s.loc[level, "n"] for s in sizes.values()))
        row = {by: level, "estimate": draws.estimate(whole[0, i], whole[1:, i], n, low=0, high=100)}
        row |= {m.upper(): cube[j, 0, i] for j, m in enumerate(found)}
        row |= {"rank": _ranks(whole[:1])[0, i], "rank low": int(luck[0, i]), "rank high": int(luck[1, i])}
        row |= {"rank from": ranks[:, i].min(), "rank to": ranks[:, i].max()}
        for j, m in enumerate(found):
            rest = np.delete(given, j)
            left_out = (
                np.tensordot(rest, np.delete(cube[:, 0], j, axis=0), axes=1)
                if rest.sum()
                else np.full(len(levels), np.nan)
            )
            row[f"rank without {m.upper()}"] = _ranks(left_out[None])[0, i]
        rows.append(row)
    rows.sort(key=lambda r: r["rank"])
    moving = [r[by] for r in rows if r["rank from"] < r["rank to"]]
    weights = listing(f"{m.upper()} {percent(w, 0)}" for m, w in zip(found, given, strict=True))
    top = rows[0]
    text = f"With weights {weights} the composite (0-100) is highest for {by} {top[by]}: {interval(top['estimate'])}. "
    text += (
        f"Under other weights the rank of {listing(moving)} changes: these ranks are a choice of weights."
        if moving
        else "No choice of weights changes the order."
    )
    caveats = (
        "A composite hides which part moves; the columns beside it show each score on the same 0-100, high being good.",
        "Rank low and high: what sampling alone leaves open. Rank from and to: under other weights.",
    )
    return Finding(name, f"{title} by {by}", text, "D", table(rows, [by]), caveats=caveats)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks along the last axis, 1 for the highest."""
    return (-values).argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable") + 1
