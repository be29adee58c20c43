"""Renewal models by level of the first declared segment, fitted once for all questions of ``contracts``.

Customers are counted in whole terms since joining (``counts.contract_terms``). A cohort counts for as long as the last
of its customers has been followed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import contract_terms, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page.dates import about_dates
from cxlib.page.resamples import resamples
from cxlib.stats import draws
from cxlib.stats.renewal import BetaDiscreteWeibull, ShiftedBetaGeometric
from cxlib.stats.renewal_draws import ConstantRate, RenewalFit, refits

SHORT = {ShiftedBetaGeometric: "sBG", BetaDiscreteWeibull: "BdW"}
CONSTANT = "constant rate"
ALL = "all"
MOST = 8  # levels in one chart
FEWEST_TERMS = 3  # renewals somebody must have come up to: the models have up to three parameters


@dataclass(frozen=True, eq=False)
class Level:
    """What was seen of one level, by term (from the first renewal on), and the models fitted to it.

    ``at_risk`` and ``lost`` are (1 + draws) x terms; ``fits`` holds the usable models by name. ``loose``: models whose
    parameters the data hardly determine.
    """

    n: float
    at_risk: np.ndarray
    lost: np.ndarray
    fits: dict[str, RenewalFit]
    loose: tuple[str, ...]

    @property
    def best(self) -> str:
        """Return the model with the lowest AIC."""
        return min(self.fits, key=lambda k: self.fits[k].aic)

    @property
    def failed(self) -> list[str]:
        """Return the models without a maximum of the likelihood."""
        return [k for k in SHORT.values() if k not in self.fits]

    def fit(self, name: str) -> RenewalFit:
        """Return a model; for one that failed the constant rate, which is its limit where churn does not fall."""
        return self.fits.get(name, self.fits[CONSTANT])

    def seen(self, least: float) -> int:
        """Return how many terms at least ``least`` customers have been followed for."""
        return int((self.at_risk[0] >= least).sum())


@dataclass(frozen=True, eq=False)
class Fitted:
    """The levels by name, ALL of them last; ``segment`` is their column (ALL: none).

    ``unfitted``: levels without models of their own; ``hidden``: number of levels too small or not among the largest.
    ``passed``, ``early`` and ``young`` as in ``contract_terms.Survivors``.
    """

    levels: dict[str, Level]
    segment: str
    term_months: int
    passed: float
    unfitted: tuple[str, ...]
    hidden: int
    early: int
    young: int

    def of(self, level: str) -> Level:
        """Return a level; one without models of its own is taken to be like all customers."""
        return self.levels.get(level, self.levels[ALL])

    def facts(self, company: Company) -> dict[str, object]:
        """Return what the words need of terms, of who is not included, and of models that are not safe."""
        pairs = {
            k: [{"level": name, "model": m} for name, each in self.levels.items() for m in getattr(each, k)]
            for k in ("failed", "loose")
        }
        return pairs | {
            "term": self.term_months * DAYS_A_MONTH, "segment": self.segment, "most": MOST, "hidden": self.hidden,
            "unfitted": list(self.unfitted), "early": self.early, "young": self.young, "dates": about_dates(company),
        }  # fmt: skip


def _level(kept: np.ndarray, fold: np.ndarray, matrix: np.ndarray) -> Level:
    followed = ~np.isnan(kept[:, 1:])
    before, after = (np.where(followed, np.nan_to_num(kept[:, s]), 0.0) for s in (slice(None, -1), slice(1, None)))
    row, term = np.indices(followed.shape)
    both = before, before - after
    at_risk, lost = (draws.summed(matrix, fold[row], cells, (term,), followed.shape[1:]) for cells in both)
    seen = at_risk[0] > 0
    at_risk, lost = at_risk[:, seen], lost[:, seen]
    if not lost[0].any():
        raise Unanswered("nobody-left")
    if at_risk.shape[1] < FEWEST_TERMS:
        raise Unanswered("few-renewals", terms=at_risk.shape[1], needed=FEWEST_TERMS)
    fits, loose, ends = {}, [], followed.sum(axis=1)
    pooled = np.array([kept[ends == end].sum(axis=0) for end in np.unique(ends)])  # the same fit from fewer rows
    for kind, name in SHORT.items():
        model = kind().fit(pooled)
        if model.converged:
            fits[name] = RenewalFit(model, refits(model, at_risk, lost))
            loose += [name] * (model.message != "Converged.")
    total, gone = at_risk.sum(axis=1), lost.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        fits[CONSTANT] = RenewalFit(ConstantRate(total[0], gone[0]), (1 - gone / total)[:, None])
    return Level(float(np.nansum(kept[:, 0])), at_risk, lost, fits, tuple(loose))


@lru_cache(maxsize=4)  # the questions of a page share the fits
def fitted(company: Company, term_months: int, until: date | None = None) -> Fitted:
    """Return the models by level of the first declared segment, and of all; Unanswered if there are none.

    ``until``: as known on that day (default: the as-of date).
    """
    segment, least = people.segments(company)[:1], company.settings.privacy.minimum_base
    counted = contract_terms.survivors(company, term_months * DAYS_A_MONTH, segment, until=until)
    if np.nansum(counted.kept[:, 0]) < least:
        raise Unanswered("few-joiners", term=term_months * DAYS_A_MONTH)
    matrix, fold, levels = resamples(company), counted.rows["fold"].to_numpy(), {}
    everybody = _level(counted.kept, fold, matrix)
    of = counted.rows[segment[0]].to_numpy() if segment else np.full(len(fold), ALL)
    sizes = pd.Series(counted.kept[:, 0]).groupby(of).sum().nlargest(MOST)
    large = sorted(sizes.index[sizes >= least]) if segment else []
    for name in large:
        with suppress(Unanswered):
            levels[name] = _level(counted.kept[of == name], fold[of == name], matrix)
    unfitted = tuple(name for name in large if name not in levels)
    hidden = len(set(of)) - len(large) if segment else 0
    return Fitted(
        levels | {ALL: everybody}, segment[0] if segment else ALL, term_months, counted.passed,
        unfitted, hidden, counted.early, counted.young,
    )  # fmt: skip
