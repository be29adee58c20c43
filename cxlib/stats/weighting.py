"""Weights that make respondents representative of everyone surveyed, and bounds for what weights cannot correct.

Weighting assumes that non-respondents would have answered like respondents who are similar in the columns used (missing
at random: Little & Rubin 2019, Statistical Analysis with Missing Data). The response rate alone says little about bias;
what matters is whether responding is related to the answer (Groves & Peytcheva 2008, Public Opin. Q. 72). ``bounds``
and ``silent_would_need`` show how much a result depends on that assumption.

A row is a cell: people with equal values in every column used, the number asked and the number answered. Every
answer of a cell has the weight of the cell. Weights average 1 over the answers; a cell without answers has weight 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from cxlib.stats import logistic
from cxlib.stats.checks import column, numbers, refuse, sum_by
from cxlib.stats.likelihood import collapse

Totals = pd.Series | Mapping[object, float]

_NEVER = 1e-6  # a probability of answering that stands for 0


@dataclass(frozen=True)
class ResponseModel:
    """The probability of answering: see ``response_model``.

    ``probability`` (0-1) has one number per row of the cells, NaN where nobody was asked. ``uncovered`` counts people
    in cells where nobody can be expected to answer, because nobody similar did: no weighted answer represents them.
    """

    probability: np.ndarray
    uncovered: float


@dataclass(frozen=True)
class TrimmedWeights:
    """The ``weight`` per cell (see the module), and the number of answers whose weight was ``trimmed``."""

    weight: np.ndarray
    trimmed: float


def response_model(cells: pd.DataFrame, asked: str, answered: str, predictors: Sequence[str]) -> ResponseModel:
    """Fit the probability of an answer to counts: a logistic regression with main effects of categories.

    ``cells`` has counts ``asked`` and ``answered`` (frequencies or sums of weights), a column per predictor, each value
    of which is a level, and any number of rows per combination. The fit equals that to individuals.

    Where everybody or nobody answered, in a level or in any combination that the model can isolate, the likelihood has
    no maximum (Albert & Anderson 1984, Biometrika 71): the fit stops where it gains nothing more, next to 0 or 1.

    ValueError for impossible counts, a missing level or column, and if nobody answered.

    Example: ``response_model(cells, "asked", "answered", ["plan", "tenure"]).probability``.
    Sources: Little & Rubin 2019; Seaman & White 2013, Statistical Methods in Medical Research 22.
    """
    n, yes = (logistic.counts(cells, name) for name in (asked, answered))
    refuse(yes > n * (1 + 1e-9), f"{answered} is more than {asked}", "Count an answer only where somebody was asked.")
    _somebody(yes)
    people = n > 0
    yes = np.where(yes > n * (1 - 1e-12), n, yes)  # sums of weights differ by rounding
    cells, n, yes = cells[people], n[people], yes[people]

    coded = [logistic.codes(cells, name) for name in predictors]
    rows, where = collapse(np.column_stack([np.zeros(len(n), dtype=int), *(codes for codes, _ in coded)]))
    asked_of, answered_of = sum_by(where, np.column_stack([n, yes]), len(rows)).T
    blocks = [np.eye(len(levels))[codes] for codes, (_, levels) in zip(rows.T[1:], coded, strict=True)]
    design = np.hstack([np.ones((len(rows), 1)), *blocks])
    coefficients, *_ = logistic.maximum(design, asked_of, answered_of)
    fitted = special.expit(design @ coefficients)
    probability = np.full(len(people), math.nan)
    probability[people] = fitted[where]
    return ResponseModel(probability, float(asked_of[(answered_of == 0) & (fitted < _NEVER)].sum()))


def inverse_probability_weights(probability: ArrayLike, answered: ArrayLike, most: float = 5.0) -> TrimmedWeights:
    """Weight each answer by the inverse of its probability.

    ``probability`` (0-1) and ``answered`` (a count) have one number per cell. A few very large weights add more
    variance than they remove bias, so weights are cut to at most ``most`` times the median weight of an answer (Potter
    1990, Proc. ASA Survey Research Methods). The cut is a convention; math.inf cuts none. ValueError for an answer with
    probability 0.

    Sources: Horvitz & Thompson 1952, JASA 47; Seaman & White 2013, Statistical Methods in Medical Research 22.
    """
    answered, chance = column(answered, "answered"), numbers(probability)
    refuse(answered < 0, "answered is negative", "It counts people.")
    _somebody(answered)
    used = answered > 0
    remedy = "Every answer given has a probability above 0: fit the probabilities to the same cells."
    refuse(used & ~((chance > 0) & (chance <= 1)), "the probability of an answer is not above 0 and up to 1", remedy)
    inverse = 1 / chance[used]
    limit = most * np.quantile(inverse, 0.5, method="inverted_cdf", weights=answered[used])
    weight = np.zeros(answered.size)
    weight[used] = np.minimum(inverse, limit)
    return TrimmedWeights(_averaging_one(weight, answered), float(answered[used][inverse > limit].sum()))


def rake(
    cells: pd.DataFrame,
    answered: str,
    margins: Mapping[str, Totals],
    tolerance: float = 1e-10,
    most_rounds: int = 10_000,
) -> np.ndarray:
    """Weight the answers to match the known totals of one or more classifications at once.

    ``margins`` gives, for a column of ``cells``, the number of people of each level, or their share (0-1). Iterative
    proportional fitting: weights are scaled to one classification after the other until the share of every level is met
    within ``tolerance``. Of all weights that meet the margins these change the answers least, and they keep every odds
    ratio between the classifications. With one margin this is post-stratification.

    Returns one weight per cell. ValueError for a level with people but no answers or the reverse, and for margins not
    met after ``most_rounds``.

    Example: ``rake(cells, "answered", {"plan": {"basic": 0.6, "pro": 0.4}})``.
    Sources: Deming & Stephan 1940, Annals of Mathematical Statistics 11; Fienberg 1970, same journal 41.
    """
    if not margins:
        raise ValueError("no margin is given; give at least one column and its totals.")
    yes = logistic.counts(cells, answered)
    _somebody(yes)
    used = yes > 0
    codes, shares = zip(*(_targets(cells[used], name, totals) for name, totals in margins.items()), strict=True)
    rows, where = collapse(np.column_stack(codes))
    count = np.bincount(where, yes[used]) / yes.sum()

    weight = np.ones(len(rows))
    for _ in range(most_rounds):
        with np.errstate(all="ignore"):  # if the margins cannot be met, weights tend to 0 and infinity
            for code, share in zip(rows.T, shares, strict=True):
                weight *= (share / np.bincount(code, count * weight, len(share)))[code]
        pairs = zip(rows.T, shares, strict=True)
        if max(np.abs(np.bincount(code, count * weight) - share).max() for code, share in pairs) <= tolerance:
            break
    else:
        raise ValueError(
            f"the margins {', '.join(margins)} are not met after {most_rounds:,} rounds: some combinations of levels "
            "have few or no answers. Merge small levels or exclude a margin."
        )
    weights = np.zeros(len(yes))
    weights[used] = weight[where]
    return _averaging_one(weights, yes)


def bounds(total: float, n_answered: float, n_asked: float, low: float, high: float) -> tuple[float, float]:
    """Return the smallest and largest possible mean among all asked, whatever non-respondents would have answered.

    ``total`` is the sum of the answers, each between ``low`` and ``high``, the ends of the scale. No assumption is made
    (Manski 1989, J. Human Resources 24; Horowitz & Manski 1998, J. Econometrics 84).

    Example: ``bounds(30 * 40, 30, 100, -100, 100)`` is (-58, 82).
    """
    missing = _non_respondents(n_answered, n_asked)
    return (total + missing * low) / n_asked, (total + missing * high) / n_asked


def silent_would_need(total: float, n_answered: float, n_asked: float, value: float) -> float:
    """Return the mean answer of non-respondents at which the mean among all asked would be ``value`` (tipping point).

    ``total`` is the sum of the answers. A result off the scale means that no answers could give that mean; NaN means
    that everybody answered. See Little & Rubin 2019 on answers not missing at random.
    """
    missing = _non_respondents(n_answered, n_asked)
    return (value * n_asked - total) / missing if missing else math.nan


def _somebody(answered: np.ndarray) -> None:
    if not answered.sum() > 0:
        raise ValueError("nobody answered, so there is no answer to weight; check the filter that made the cells.")


def _averaging_one(weight: np.ndarray, answered: np.ndarray) -> np.ndarray:
    return weight * (answered.sum() / (answered @ weight))


def _targets(cells: pd.DataFrame, name: str, totals: Totals) -> tuple[np.ndarray, np.ndarray]:
    """Return the level of each cell as a code, and the target share of each level."""
    codes, levels = logistic.codes(cells, name)
    target = pd.Series(totals, dtype=float)
    target = target[target != 0]
    if set(target.index) != set(levels) or not (target > 0).all():
        raise ValueError(f"{name}: give a total above 0 for each level with answers ({levels}) and for no other.")
    return codes, target[levels].to_numpy() / target.sum()


def _non_respondents(n_answered: float, n_asked: float) -> float:
    """Return the number of people who did not answer."""
    if not 0 <= n_answered <= n_asked or not 0 < n_asked < math.inf:
        raise ValueError(f"{n_answered:g} answers of {n_asked:g} asked: give 0 <= answered <= asked, and some asked.")
    return n_asked - n_answered
