"""Models of renewal by level of the first declared segment, fitted once for all questions of ``contracts``.

Customers are counted in whole terms since joining (``intake.terms``). A cohort is followed as long as even the last of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.churn import retention
from cxlib.churn.tenure import MOST
from cxlib.counts import contract_terms, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.intake.company import Company
from cxlib.page.findings import number
from cxlib.page.resamples import resamples
from cxlib.stats.renewal import BetaDiscreteWeibull, ShiftedBetaGeometric
from cxlib.stats.renewal_draws import ConstantRate, RenewalFit, refits

MODELS = (ShiftedBetaGeometric, BetaDiscreteWeibull)
SHORT = {ShiftedBetaGeometric: "sBG", BetaDiscreteWeibull: "BdW"}
CONSTANT = "constant rate"
ALL = "all"


@dataclass(frozen=True, eq=False)
class Level:
    """What was seen of one level, by term (from the first renewal on), and the models fitted to it.

    ``at_risk`` and ``lost`` are (1 + draws) x terms; ``fits`` by name holds the models that can be used, ``said`` what the
    others say of themselves.
    """

    n: float
    at_risk: np.ndarray
    lost: np.ndarray
    fits: dict[str, RenewalFit]
    said: dict[str, str]

    @property
    def best(self) -> str:
        """Return the model with the lowest AIC."""
        return min(self.fits, key=lambda k: self.fits[k].aic)

    def fit(self, name: str) -> RenewalFit:
        """Return a model, or for one that has no maximum here the constant rate, its limit where churn does not fall."""
        return self.fits.get(name, self.fits[CONSTANT])

    def seen(self, least: float) -> int:
        """Return the terms that ``least`` customers have been followed for."""
        return int((self.at_risk[0] >= least).sum())


@dataclass(frozen=True, eq=False)
class Fitted:
    """The levels by name, ALL of them last; ``segment`` is the column (ALL: none), ``passed`` see ``intake.terms``."""

    levels: dict[str, Level]
    segment: str
    term_months: int
    passed: float
    said: tuple[str, ...]

    def of(self, level: str) -> Level:
        """Return a level; one without models of its own is as all are."""
        return self.levels.get(level, self.levels[ALL])


def why_not(company: Company) -> str | None:
    """Return why renewals are not seen here, None if they are."""
    if company.settings.relationship != "contractual":
        return "without contracts nobody is seen to leave; the buying models below tell who is expected to buy again."
    return retention.why_not(company)


def _level(kept: np.ndarray, fold: np.ndarray, matrix: np.ndarray) -> Level | str:
    followed = ~np.isnan(kept[:, 1:])
    before, after = (np.where(followed, np.nan_to_num(kept[:, s]), 0.0) for s in (slice(None, -1), slice(1, None)))
    sums = np.zeros((2, matrix.shape[1], followed.shape[1]))
    for total, cells in zip(sums, (before, before - after), strict=True):
        np.add.at(total, fold, cells)
    at_risk, lost = (matrix @ s for s in sums)
    seen = at_risk[0] > 0
    at_risk, lost = at_risk[:, seen], lost[:, seen]
    fits, said, ends = {}, {}, followed.sum(axis=1)
    pooled = np.array([kept[ends == end].sum(axis=0) for end in np.unique(ends)])  # the same fit from fewer rows
    for kind in MODELS:
        try:
            model = kind().fit(pooled)
        except ValueError as error:
            return str(error)
        name = SHORT[kind]
        if model.message != "Converged.":
            said[name] = model.message
        if model.converged:
            fits[name] = RenewalFit(model, refits(model, at_risk, lost))
    total, gone = at_risk.sum(axis=1), lost.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        fits[CONSTANT] = RenewalFit(ConstantRate(total[0], gone[0]), (1 - gone / total)[:, None])
    return Level(float(np.nansum(kept[:, 0])), at_risk, lost, fits, said)


@lru_cache(maxsize=4)  # the questions of a page share the fits
def fitted(company: Company, term_months: int, until: date | None = None) -> Fitted | str:
    """Return the models by level of the first declared segment, and of all; or why there are none."""
    segment, least = people.segments(company)[:1], company.settings.privacy.minimum_base
    counted = contract_terms.survivors(company, term_months * DAYS_A_MONTH, segment, until=until)
    n = np.nansum(counted.kept[:, 0])
    if n < least:
        return f"fewer than {least} customers joined in quarters that have been followed for a whole term of {term(term_months)}."
    matrix, fold, said, levels = resamples(company), counted.rows["fold"].to_numpy(), [], {}
    everybody = _level(counted.kept, fold, matrix)
    if isinstance(everybody, str):
        return everybody
    of = counted.rows[segment[0]].to_numpy() if segment else np.full(len(fold), ALL)
    sizes = pd.Series(counted.kept[:, 0]).groupby(of).sum().nlargest(MOST)
    large = sorted(sizes.index[sizes >= least]) if segment else []
    for name in large:
        found = _level(counted.kept[of == name], fold[of == name], matrix)
        if isinstance(found, str):
            said.append(f"{name} has no model of its own: {found}")
        else:
            levels[name] = found
    if segment and (hidden := len(set(of)) - len(large)):
        said.append(
            f"Not shown: {hidden} levels of {segment[0]} with fewer than {least} joiners, or not among the {MOST} largest."
        )
    levels[ALL] = everybody
    said += [f"{name}, {kind}: {words}" for name, each in levels.items() for kind, words in each.said.items()]
    if counted.early:
        said.append(
            f"{counted.early:,} customers joined in quarters that began before the exports know who left, and are not fitted."
        )
    if counted.young:
        said.append(f"{counted.young:,} joined too lately to have been followed for a term, and are not fitted.")
    return Fitted(levels, segment[0] if segment else ALL, term_months, counted.passed, tuple(said))


def term(term_months: int) -> str:
    """Return a term as a reader writes it: 1 month, 12 months."""
    return f"{term_months} month{'s' * (term_months > 1)}"


def caveats(company: Company, found: Fitted) -> list[str]:
    """Return what a reader must know of the counts and of models that could not be fitted."""
    return [
        f"A term is {term(found.term_months)} ({number(found.term_months * DAYS_A_MONTH)} days), counted from joining; leaving within "
        "it, of any kind, counts at its end. A quarter's joiners count for as long as even the last of them has been followed.",
        *found.said,
        *retention.about_dates(company),
    ]
