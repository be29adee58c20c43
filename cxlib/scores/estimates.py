"""A statistic of one score, or of the difference of two, from a table of counts: value and interval."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import answers, people
from cxlib.intake.company import Company
from cxlib.intake.sources import Source
from cxlib.stats import disclosure, intervals
from cxlib.stats.checks import z_value
from cxlib.stats.estimate import UNKNOWN, Estimate

STATISTICS = {"nps": "NPS", "mean": "mean", "satisfied": "share at the good end"}
UNITS = {"nps": "NPS points", "mean": "points on the scale", "satisfied": "share"}
Z_95 = z_value(0.95)


def drawn_from(company: Company, table: str) -> bool:
    """Tell whether the customers are read from the export of a table itself, so that nobody else is known."""
    sources = company.settings.sources
    own, rows = ({_export(company, s) for s in sources.of(t)} for t in ("customers", table))
    return own <= rows


def _export(company: Company, source: Source) -> str:
    """Return the label of an export; of a select, that of the export after its first "from"."""
    named = re.search(r"\bfrom\s+(\w+)", source.sql or "", re.IGNORECASE)
    return company.settings.exports.get(named[1], source).label if named else source.label


@lru_cache(maxsize=2)
def agents(company: Company) -> dict[str, str]:
    """Return how a page calls each agent: by name or, where company.yaml says agents: hide, by a number drawn anew."""
    tables = [getattr(company, t) for t in ("responses", "contacts") if company.has(t, "agent")]
    names = sorted({n for t in tables for n in t.select("agent").distinct().execute()["agent"].dropna()})
    if company.settings.privacy.agents == "hide":
        names = random.SystemRandom().sample(names, len(names))
        return {name: f"agent {i}" for i, name in enumerate(names, start=1)}
    return dict(zip(names, names, strict=True))


def contributions(company: Company, metric: str, kind: str | answers.Band, scores: pd.Series) -> np.ndarray:
    """Return what each score adds to a statistic: -100 to 100 (NPS), itself (mean), 1 at the good end or in a band."""
    y = scores.to_numpy(float)

    def inside(band: answers.Band) -> np.ndarray:
        return ((y >= band.low) & (y <= band.high)).astype(float)

    if kind == "mean":
        return y
    if isinstance(kind, answers.Band):
        return inside(kind)
    worst, *_, best = answers.bands(company, metric)
    return inside(best) if kind == "satisfied" else 100 * (inside(best) - inside(worst))


def _pulls(counted: pd.DataFrame, w: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return by how much each fold moves the weighted mean; the squares add up to its variance."""
    value = w @ y / w.sum()
    return np.bincount(counted["fold"], weights=w * (y - value) / w.sum(), minlength=256)


def _weights(company: Company, counted: pd.DataFrame, weighted: bool | None = None) -> np.ndarray:
    weighted = answers.weighted(company) if weighted is None else weighted
    return counted["weight" if weighted else "n"].to_numpy(float)


def estimate(
    company: Company,
    metric: str,
    counted: pd.DataFrame,
    kind: str | answers.Band,
    weighted: bool | None = None,
    one_each: bool = False,
) -> Estimate:
    """Estimate one statistic from a count table (score, fold, n, weight) of ``answers.score_counts``.

    kind: "nps" (points), "mean" (points of the scale), "satisfied" (share at the good end) or a band (share in it).
    ``weighted``: use the weights of the answers; None does so where the company has any. ``one_each``: one answer per
    customer, so that unweighted answers are independent. Otherwise the interval (adjusted Wald, t, Wilson) is that of
    the effective number of answers: n divided by the design effect between folds, at least 1 (Kish 1965; Korn &
    Graubard 1998). NaN where there are no answers.
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

    Customers behind both correlate the two, which narrows the interval. We use the correlation between folds less two
    standard errors, so that chance does not narrow it.
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


def alike(company: Company, metric: str, by: str) -> list[str]:
    """Return the columns within which answers are alike: ``by``, and the stage of tenure where it is known."""
    return [*([by] if by else []), *([answers.TENURE] if people.STAGE in answers.cuts(company, metric) else [])]


def at_one_mix(
    company: Company, metric: str, counted: pd.DataFrame, kind: str, by: Sequence[str]
) -> list[Estimate] | None:
    """Estimate a statistic in each period as if each had the mix of ``by`` of all periods together.

    ``counted``: a count table with the columns period and ``by``. Marginal means (Searle, Speed & Milliken 1980) of a
    least-squares fit on period and cell, so that a cell need not be there in each period; variance between folds.
    None where there is one cell, or where no cell links some periods with the others.

    Example: ``at_one_mix(company, "nps", score_counts(company, "nps", ["plan"], "quarter", True), "nps", ["plan"])``.
    """
    w, y = _weights(company, counted), contributions(company, metric, kind, counted["score"])
    period, cell = (counted.groupby(k, observed=True).ngroup().to_numpy() for k in (["period"], list(by)))
    periods = int(period.max(initial=-1)) + 1
    sums = np.zeros((2, 256, periods, int(cell.max(initial=-1)) + 1))
    np.add.at(sums[0], (counted["fold"].to_numpy(), period, cell), w)
    np.add.at(sums[1], (counted["fold"].to_numpy(), period, cell), w * y)
    n, total = sums.sum(axis=1)
    if min(n.shape) < 2:
        return None
    normal = np.block([[np.diag(n.sum(1)), n[:, 1:]], [n[:, 1:].T, np.diag(n.sum(0)[1:])]])
    if np.linalg.matrix_rank(normal) < len(normal):
        return None
    inverse = np.linalg.inv(normal)
    fitted = inverse @ np.r_[total.sum(1), total.sum(0)[1:]]
    marginal = np.hstack([np.eye(periods), np.tile(n.sum(0)[1:] / n.sum(), (periods, 1))])
    off = sums[1] - sums[0] * (fitted[:periods, None] + np.r_[0, fitted[periods:]])
    pulls = np.hstack([off.sum(2), off.sum(1)[:, 1:]]) @ inverse @ marginal.T
    answered, folds = counted.groupby("period", observed=True)["n"].sum(), np.unique(counted["fold"]).size
    lost = answered.sum() / max(answered.sum() - len(normal), 1)
    errors = np.sqrt((pulls**2).sum(0) * lost * folds / max(folds - 1, 1))
    low, high = (-100, 100) if kind == "nps" else company.settings.metrics[metric].scale
    ends = [np.clip(marginal @ fitted + z * errors, low, high) for z in (-Z_95, Z_95)]
    return [Estimate(*map(float, row)) for row in zip(marginal @ fitted, *ends, errors, answered, strict=True)]


def kind_of(metric: str) -> str:
    """Return the headline statistic of a metric: NPS for nps, the mean for the others."""
    return "nps" if metric == "nps" else "mean"


def since(company: Company, months: int) -> date | None:
    """Return the day before the last ``months`` months, or None where the answers carry no dates."""
    if not answers.dated(company):
        return None
    return (pd.Timestamp(company.as_of) - pd.DateOffset(months=months)).date()


def hidden(company: Company, sizes: Sequence[float], never_shown: Sequence[bool] | None = None) -> np.ndarray:
    """Tell which groups of one cut to hide, where its total is public: small ones, and those that would reveal one.

    ``sizes``: customers by group; ``never_shown`` marks groups that are hidden in any case. Cuts of different columns
    share only the total, so each can be judged on its own.
    """
    sizes = np.asarray(sizes, dtype=float)
    least = company.settings.privacy.minimum_base
    totals = np.ones((1, sizes.size), dtype=bool)
    return disclosure.hide_small(sizes, totals, least, never_shown).cells
