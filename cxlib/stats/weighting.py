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

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from cxlib.stats import logistic

Totals = pd.Series | Mapping[object, float]

_NEVER = 1e-6  # a probability of answering that stands for 0


def response_model(
    cells: pd.DataFrame, asked: str, answered: str, predictors: Sequence[str]
) -> tuple[np.ndarray, float]:
    """Fit the probability of an answer to counts: a logistic regression with main effects of categories.

    ``cells`` has counts ``asked`` and ``answered`` (frequencies or sums of weights), a column per predictor, each value
    of which is a level, and any number of rows per combination. The fit equals that to individuals.

    Where everybody or nobody answered, in a level or in any combination that the model can isolate, the likelihood has
    no maximum (Albert & Anderson 1984, Biometrika 71): the fit stops where it gains nothing more, next to 0 or 1.

    Returns the probability (0-1) of each row of the cells, NaN where nobody was asked; and the people in cells where
    nobody can be expected to answer, because nobody similar did: no weighted answer represents them.

    Example: ``probability, uncovered = response_model(cells, "asked", "answered", ["plan", "tenure"])``.
    Sources: Little & Rubin 2019; Seaman & White 2013, Statistical Methods in Medical Research 22.
    """
    people = cells[asked].to_numpy() > 0
    cells = cells[people]
    rows, where = logistic.patterns(cells, predictors, [asked, answered])
    n, yes = rows[asked].to_numpy(float), rows[answered].to_numpy(float)
    yes = np.where(yes > n * (1 - 1e-12), n, yes)  # sums of weights differ by rounding
    blocks = [pd.get_dummies(rows[name], dtype=float) for name in predictors]
    design = np.column_stack([np.ones(len(rows)), *blocks])
    coefficients, _ = logistic.maximum(design, n, yes)
    fitted = special.expit(design @ coefficients)
    probability = np.full(len(people), math.nan)
    probability[people] = fitted[where]
    return probability, float(n[(yes == 0) & (fitted < _NEVER)].sum())


def inverse_probability_weights(
    probability: ArrayLike, answered: ArrayLike, most: float = 5.0
) -> tuple[np.ndarray, float]:
    """Weight each answer by the inverse of its probability.

    ``probability`` (0-1) and ``answered`` (a count) have one number per cell. A few very large weights add more
    variance than they remove bias, so weights are cut to at most ``most`` times the median weight of an answer (Potter
    1990, Proc. ASA Survey Research Methods). The cut is a convention; math.inf cuts none.
    Returns the weight of each cell, and the number of answers whose weight was cut.

    Sources: Horvitz & Thompson 1952, JASA 47; Seaman & White 2013, Statistical Methods in Medical Research 22.
    """
    answered, chance = np.asarray(answered, dtype=float), np.asarray(probability, dtype=float)
    used = answered > 0
    inverse = 1 / chance[used]
    limit = most * np.quantile(inverse, 0.5, method="inverted_cdf", weights=answered[used])
    weight = np.zeros(answered.size)
    weight[used] = np.minimum(inverse, limit)
    return _averaging_one(weight, answered), float(answered[used][inverse > limit].sum())


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
    yes = cells[answered].to_numpy(float)
    used = yes > 0
    rows, where = logistic.patterns(cells[used], list(margins), [answered])
    count = rows[answered].to_numpy(float) / yes.sum()
    codes, shares = zip(*(_targets(rows[name], totals) for name, totals in margins.items()), strict=True)

    weight = np.ones(len(rows))
    for _ in range(most_rounds):
        with np.errstate(all="ignore"):  # if the margins cannot be met, weights tend to 0 and infinity
            for code, share in zip(codes, shares, strict=True):
                weight *= (share / np.bincount(code, count * weight, len(share)))[code]
        pairs = zip(codes, shares, strict=True)
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
    missing = n_asked - n_answered
    return (total + missing * low) / n_asked, (total + missing * high) / n_asked


def silent_would_need(total: float, n_answered: float, n_asked: float, value: float) -> float:
    """Return the mean answer of non-respondents at which the mean among all asked would be ``value`` (tipping point).

    ``total`` is the sum of the answers. A result off the scale means that no answers could give that mean; NaN means
    that everybody answered. See Little & Rubin 2019 on answers not missing at random.
    """
    missing = n_asked - n_answered
    return (value * n_asked - total) / missing if missing else math.nan


def _averaging_one(weight: np.ndarray, answered: np.ndarray) -> np.ndarray:
    return weight * (answered.sum() / (answered @ weight))


def _targets(column: pd.Series, totals: Totals) -> tuple[np.ndarray, np.ndarray]:
    """Return the level of each row as a code, and the target share of each level."""
    codes, levels = pd.factorize(column, sort=True)
    target = pd.Series(totals, dtype=float)
    target = target[target != 0]
    if set(target.index) != set(levels) or not (target > 0).all():
        raise ValueError(f"{column.name}: give a total above 0 for each level with answers and for no other.")
    return codes, target[list(levels)].to_numpy() / target.sum()
