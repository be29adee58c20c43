"""Weights that let those who answered stand for all who were asked, and bounds for what no weight can mend.

Weighting assumes that the silent would have answered like those who did answer and are alike in the columns used
(missing at random: Little & Rubin 2019, Statistical Analysis with Missing Data). A response rate alone says little
of the bias: what matters is whether answering goes with the answer (Groves & Peytcheva 2008, Public Opin. Q. 72).
``bounds`` and ``silent_would_need`` show how far a result rests on that assumption.

Everywhere a row is a cell: people alike in every column used, with the number asked and the number who answered.
A weight belongs to each answer of its cell. Weights average 1 over the answers, so that the weighted number of
answers is their number; a cell without answers has weight 0, as there is nothing to weigh.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, special

from cxlib.stats import logistic
from cxlib.stats.checks import column, frequency_weights, numbers, refuse, sum_by, z_value
from cxlib.stats.likelihood import collapse

Totals = pd.Series | Mapping[object, float]

_ROUNDING = 0.005  # totals of one population, each rounded for print, agree to this relative difference


@dataclass(frozen=True)
class ResponseModel:
    """Who answers: see ``response_model``.

    ``table`` has a row per predictor and level: odds_ratio against one of the levels (whose own is 1, without an
    interval), low, high, asked, answered, rate (0-1). ``probability`` (0-1) has one number per row of the cells, NaN
    where nobody was asked. ``log_likelihood`` is that of people, one by one. ``uncovered`` counts those asked in
    cells where nobody can be expected to answer, because nobody alike did: no answer can be weighted to stand for
    them. The levels with answered = 0 in ``table`` name them.
    """

    table: pd.DataFrame
    probability: np.ndarray
    log_likelihood: float
    uncovered: float


@dataclass(frozen=True)
class TrimmedWeights:
    """``weight`` per cell (see the module), and the number of answers whose weight was ``trimmed``."""

    weight: np.ndarray
    trimmed: float


def response_model(
    cells: pd.DataFrame,
    asked: str,
    answered: str,
    predictors: Sequence[str],
    cluster: str | None = None,
    confidence: float = 0.95,
) -> ResponseModel:
    """Fit the probability of an answer to counts: a logistic regression with main effects of categories.

    ``cells`` has counts ``asked`` and ``answered`` (frequencies or sums of weights), a column per predictor, each
    value of which is a level, and any number of rows per combination. The fit is that to people one by one.
    Intervals are Wald's; with a column ``cluster`` (the same people asked again, or folds of people) they allow for
    likeness within a cluster (Liang & Zeger 1986) and take t quantiles for clusters - 1.

    Where only one of the two happened, in a level or in any combination that the model can single out, the
    likelihood rises without end (Albert & Anderson 1984, Biometrika 71). Such cells are found by linear programming
    (Konis 2007, thesis, Oxford) and get its limit, a probability of 0 or 1; the rest is fitted without them, which
    is the same limit. Odds ratios that the rest cannot tell are NaN, as they are for predictors that repeat one
    another. Levels are compared with the one most asked among the rest.

    Raises ValueError for impossible counts, a missing level or column, and when nobody answered.
    Sources: Little & Rubin 2019; Seaman & White 2013, Statistical Methods in Medical Research 22.
    """
    z = z_value(confidence)
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
    ones = np.ones((len(rows), 1))
    everything = np.hstack([ones, *blocks])
    decided = _decided(everything, asked_of, answered_of)
    # each level is compared with the one most asked among cells that are not decided
    others = [np.arange(block.shape[1]) != ((asked_of * ~decided) @ block).argmax() for block in blocks]
    design = np.hstack([ones, *(block[:, other] for block, other in zip(blocks, others, strict=True))])
    coefficients, covariance, told = logistic.maximum(design[~decided], asked_of[~decided], answered_of[~decided])
    fitted = np.where(decided, answered_of > 0, special.expit(design @ coefficients))
    likelihood = special.xlogy(answered_of, fitted) + special.xlog1py(asked_of - answered_of, -fitted)
    probability = np.full(len(people), math.nan)
    probability[people] = fitted[where]
    if cluster is not None:
        pulls = design[where] * (yes - n * fitted[where])[:, None]
        covariance, z = logistic.clustered(covariance, pulls, logistic.codes(cells, cluster)[0], confidence)

    # the level compared with has 1 by definition and no interval
    other = np.concatenate([[True], *others])
    effect, reach = np.zeros(len(other)), np.full(len(other), math.nan)
    effect[other] = np.where(told, coefficients, math.nan)
    reach[other] = np.where(told, z * np.sqrt(np.diag(covariance)), math.nan)
    keys = [(name, level) for name, (_, levels) in zip(predictors, coded, strict=True) for level in levels]
    table = pd.DataFrame(keys, columns=["predictor", "level"])
    for name, at in (("odds_ratio", effect), ("low", effect - reach), ("high", effect + reach)):
        table[name] = np.exp(at[1:])
    for name, count in (("asked", asked_of), ("answered", answered_of)):
        table[name] = count @ everything[:, 1:]
    table["rate"] = table["answered"] / table["asked"]
    uncovered = float(asked_of[decided & (answered_of == 0)].sum())
    return ResponseModel(table, probability, float(likelihood.sum()), uncovered)


def inverse_probability_weights(probability: ArrayLike, answered: ArrayLike, most: float = 5.0) -> TrimmedWeights:
    """Weight each answer by one over its probability of having been given.

    ``probability`` (0-1) and ``answered`` (a count) have one number per cell. A few very large weights cost more in
    variance than they save in bias, so weights above ``most`` times the median weight of an answer are cut to that
    (Potter 1990, Proc. ASA Survey Research Methods); where to cut is a convention, so compare with math.inf, which
    cuts none. Raises ValueError for an answer that had no chance.
    Sources: Horvitz & Thompson 1952, JASA 47; Seaman & White 2013, Statistical Methods in Medical Research 22.
    """
    if not most >= 1:
        raise ValueError(f"most is {most}: it is a multiple of the median weight, 1 or more, usually 3 to 6.")
    answered, chance = column(answered, "answered"), numbers(probability)
    refuse(answered < 0, "answered is negative", "It counts people.")
    _somebody(answered)
    used = answered > 0
    if chance.shape != answered.shape:
        raise ValueError(f"probability has shape {chance.shape}: give one for each of the {answered.size} cells.")
    remedy = "An answer that was given had a chance: fit the probabilities to the same cells."
    refuse(used & ~((chance > 0) & (chance <= 1)), "the probability of an answer is not above 0 and up to 1", remedy)
    inverse = 1 / chance[used]
    limit = most * np.quantile(inverse, 0.5, method="inverted_cdf", weights=answered[used])
    weight = np.zeros(answered.size)
    weight[used] = np.minimum(inverse, limit)
    return TrimmedWeights(_averaging_one(weight, answered), float(answered[used][inverse > limit].sum()))


def effective_size(weights: ArrayLike, n: ArrayLike | None = None) -> float:
    """Give the number of equally weighted answers that would tell as much (Kish 1965, Survey Sampling).

    ``weights`` has one number per cell, ``n`` how many answers each has (None: one). At most their number, and that
    only if all weights are equal.
    """
    weights = column(weights, "weights")
    n = frequency_weights(n, weights.size)
    refuse(weights < 0, "the weight is negative", "A weight says for how many an answer stands.")
    if not (total := float(n @ weights)) > 0:
        raise ValueError("all weights are 0, so no answer counts; check the cells they were made for.")
    return total**2 / float(n @ weights**2)


def design_effect(weights: ArrayLike, n: ArrayLike | None = None) -> float:
    """Give the factor, 1 or more, by which unequal weights raise the variance of a mean (Kish 1965)."""
    return float(frequency_weights(n, np.size(weights)).sum()) / effective_size(weights, n)


def post_stratify(cells: pd.DataFrame, answered: str, by: str, totals: Totals) -> np.ndarray:
    """Weight the answers to fall on the levels of one classification as all people do.

    ``cells`` has the count ``answered`` and the column ``by``; ``totals`` gives for each level the number of people,
    or their share (0-1). Returns one weight per cell. Raises ValueError for a level with people but no answers, one
    with answers but no people, and shares that do not add up to 1.
    Source: Holt & Smith 1979, J. R. Stat. Soc. A 142.
    """
    return rake(cells, answered, {by: totals})


def rake(
    cells: pd.DataFrame,
    answered: str,
    margins: Mapping[str, Totals],
    tolerance: float = 1e-10,
    most_rounds: int = 10_000,
) -> np.ndarray:
    """Weight the answers to meet several classifications at once, where only the totals of each are known.

    Iterative proportional fitting: the weights are scaled to one classification after the other until the share of
    every level is met within ``tolerance``. Of all weights that meet the margins these change the answers least,
    and they keep every odds ratio between the classifications. ``margins`` gives for a column of ``cells`` what
    ``post_stratify`` takes as totals. Returns one weight per cell.

    Raises ValueError as ``post_stratify`` does, for totals of different populations, and when ``most_rounds`` are
    not enough: combinations without answers can make margins impossible to meet.
    Sources: Deming & Stephan 1940, Annals of Mathematical Statistics 11; Fienberg 1970, same 41.
    """
    if not margins:
        raise ValueError("no margin is given; name at least one column and its totals.")
    yes = logistic.counts(cells, answered)
    _somebody(yes)
    used = yes > 0
    known = {name: _known(name, totals) for name, totals in margins.items()}
    sizes = {name: float(totals.sum()) for name, totals in known.items() if totals.sum() >= 2}
    if sizes and max(sizes.values()) > min(sizes.values()) * (1 + _ROUNDING):
        listed = ", ".join(f"{name} {size:,.10g}" for name, size in sizes.items())
        raise ValueError(f"the totals are not of one population: {listed}. Count the same people in each margin.")
    codes, shares = zip(*(_targets(cells[used], name, totals) for name, totals in known.items()), strict=True)
    rows, where = collapse(np.column_stack(codes))
    count = np.bincount(where, yes[used]) / yes.sum()

    weight = np.ones(len(rows))
    for _ in range(most_rounds):
        with np.errstate(all="ignore"):  # where the margins cannot be met, weights run to 0 and infinity
            for code, share in zip(rows.T, shares, strict=True):
                weight *= (share / np.bincount(code, count * weight, len(share)))[code]
        pairs = zip(rows.T, shares, strict=True)
        if max(np.abs(np.bincount(code, count * weight) - share).max() for code, share in pairs) <= tolerance:
            break
    else:
        raise ValueError(
            f"the margins {', '.join(margins)} are not met after {most_rounds:,} rounds: some combinations of levels have "
            "no answers, or hardly any. Merge small levels or leave a margin out."
        )
    weights = np.zeros(len(yes))
    weights[used] = weight[where]
    return _averaging_one(weights, yes)


def bounds(total: float, n_answered: float, n_asked: float, low: float, high: float) -> tuple[float, float]:
    """Give the least and greatest mean among all asked, whatever the silent would have answered.

    ``total`` is the sum of the answers, each between ``low`` and ``high``, the ends of the scale. No assumption is
    made (Manski 1989, J. Human Resources 24; Horowitz & Manski 1998, J. Econometrics 84).
    """
    silent = _silent(n_answered, n_asked)
    slack = 1e-9 * n_answered * max(abs(low), abs(high))
    if not (low < high and n_answered * low - slack <= total <= n_answered * high + slack):
        raise ValueError(f"{n_answered:g} answers from {low:g} to {high:g} cannot add up to {total:g}: give their sum.")
    return (total + silent * low) / n_asked, (total + silent * high) / n_asked


def silent_would_need(total: float, n_answered: float, n_asked: float, value: float) -> float:
    """Give the mean answer of the silent at which the mean among all asked would be ``value`` (a tipping point).

    ``total`` is the sum of the answers. A result off the scale means that the silent cannot bring it about; NaN that
    nobody was silent. See Little & Rubin 2019 on answers not missing at random.
    """
    silent = _silent(n_answered, n_asked)
    return (value * n_asked - total) / silent if silent else math.nan


def _somebody(answered: np.ndarray) -> None:
    if not answered.sum() > 0:
        raise ValueError("nobody answered, so there is no answer to weight; check the filter that made the cells.")


def _averaging_one(weight: np.ndarray, answered: np.ndarray) -> np.ndarray:
    return weight * (answered.sum() / (answered @ weight))


def _decided(design: np.ndarray, n: np.ndarray, yes: np.ndarray) -> np.ndarray:
    """Tell which rows some direction of the coefficients drives to 0 or 1 without harm to any other row."""
    side = np.where(yes == 0, -1.0, np.where(yes == n, 1.0, 0.0))  # 0: both happened, so it must stay where it is
    open_ = np.ones(len(design), dtype=bool)
    while (one_sided := open_ & (side != 0)).any():
        gain, mixed = side[one_sided, None] * design[one_sided], design[side == 0]
        found = optimize.linprog(
            -gain.sum(axis=0), -gain, np.zeros(len(gain)), mixed, np.zeros(len(mixed)), bounds=(-1, 1), method="highs"
        )
        driven = gain @ found.x > 1e-6
        if not driven.any():
            break
        open_[np.flatnonzero(one_sided)[driven]] = False
    return ~open_


def _known(name: str, totals: Totals) -> pd.Series:
    """Give known totals as checked numbers by level."""
    totals = pd.Series(totals)
    values = column(totals, f"the total of {name}")
    refuse(values < 0, f"the total of {name} is negative", "Give numbers of people, or shares.")
    if twice := _named(totals.index[totals.index.duplicated()]):
        raise ValueError(f"the totals of {name} give {twice} twice; add them up.")
    if values.sum() < 2 and abs(values.sum() - 1) > _ROUNDING:
        raise ValueError(f"the shares of {name} add up to {values.sum():.4g}, not 1; give the share of every level.")
    return pd.Series(values, totals.index)


def _targets(cells: pd.DataFrame, name: str, totals: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Give the level of each cell as a code, and the share that each level shall have."""
    codes, levels = logistic.codes(cells, name)
    target = totals.reindex(levels)
    if extra := _named(target.index[~(target > 0)]):
        raise ValueError(f"{name}: {extra} has answers but no total above 0; give one, or leave these answers out.")
    if empty := _named(totals.index[(totals > 0) & ~totals.index.isin(levels)]):
        raise ValueError(f"{name}: {empty} has people but no answers to stand for them; merge it with a level like it.")
    return codes, target.to_numpy() / target.sum()


def _named(levels: Iterable[object]) -> str:
    return ", ".join(f"{level!s}" for level in levels)


def _silent(n_answered: float, n_asked: float) -> float:
    """Count those who did not answer."""
    if not 0 <= n_answered <= n_asked or not 0 < n_asked < math.inf:
        raise ValueError(f"{n_answered:g} answers of {n_asked:g} asked: give 0 <= answered <= asked, and some asked.")
    return n_asked - n_answered
