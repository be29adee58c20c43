"""Ratios of rates: events per exposure, compared only within risk sets, such as the customers of one month and stratum.

A conditional Poisson regression: each risk set has a rate of its own, which cancels, so any number of them costs
nothing. Where a risk set is a time with an event, and exposure the number at risk, it is Cox regression with Breslow's
ties. It takes counts, so its cost does not depend on the number of people.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse, stats

from cxlib.stats.checks import column, complete, group_codes, refuse, sum_by

MAX_ITERATIONS = 100
MAX_HALVINGS = 60
MAX_SPREAD = 250  # of log rates between cells; a fit that goes this far has no maximum


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted regression of rates: see ``fit``.

    ``table`` is indexed by covariate: value (the ratio of rates for one more unit), low, high, se (of its log) and p.
    ``coefficients`` are the log ratios and ``covariance`` is theirs, with ``df`` degrees of freedom (infinite for the
    model-based one). ``pulls`` (clusters x covariates) is how much each cluster moves them; empty without clusters.
    """

    table: pd.DataFrame
    coefficients: np.ndarray
    covariance: np.ndarray
    df: float
    pulls: pd.DataFrame
    log_likelihood: float

    def draws(self, weights_matrix: np.ndarray) -> np.ndarray:
        """Return the log ratios under each resample of the folds (draws x covariates), to first order.

        ``weights_matrix`` is draws x folds, as in ``draws.group_weights``; the clusters of the fit are its folds.
        """
        pulls = np.zeros((weights_matrix.shape[1], len(self.coefficients)))
        pulls[group_codes(self.pulls.index, len(pulls))] = self.pulls
        return self.coefficients + (weights_matrix - 1.0) @ pulls

    def wald(self, contrast: np.ndarray) -> float:
        """Return the p value that all contrasts (contrasts x covariates) of the log ratios are 0; NaN if too many."""
        gap, size = contrast @ self.coefficients, len(contrast)
        if size > self.df:
            return math.nan
        statistic = gap @ np.linalg.solve(contrast @ self.covariance @ contrast.T, gap)
        chance = stats.chi2.sf(statistic, size) if self.df == math.inf else stats.f.sf(statistic / size, size, self.df)
        return float(chance)


def rate_ratios(
    counts: pd.DataFrame,
    group: Hashable,
    reference: Hashable,
    risk_set: Sequence[Hashable],
    events: Hashable = "events",
    exposure: Hashable = "exposure",
    cluster: Hashable | None = "fold",
) -> pd.DataFrame:
    """Return the ratio of the rate of each level of ``group`` to that of the level ``reference``, within risk sets.

    ``counts`` has any number of rows per cell, in any order. ``events`` and ``exposure`` (time or people at risk, any
    unit) name columns of numbers, 0 or more; ``risk_set`` names the columns that define who is compared. Errors are
    clustered as in ``fit`` by the column ``cluster``, or model-based if it is None.

    Returns a frame indexed by the other levels, in their order: value (ratio), low, high (95 %), se (of its log), p and
    events. A level that never has an event where a comparable one is at risk has ratio 0 (without events in the
    reference: infinity), and one that is never compared with the reference NaN; the rest of their row is NaN but for
    the end that is known. So are the errors of a level seen in one cluster only. ValueError for columns that do not
    exist, missing or negative numbers, events without exposure, and a reference that is absent or alone.

    Example: ``rate_ratios(counts, "band", "promoter", ["stratum", "month"])``.
    When a ratio is finite: Ford 1957 (American Mathematical Monthly 64:28).
    """
    happened, time, at = _columns(counts, risk_set, events, exposure, cluster, [group])
    code, levels = _levels(counts[group])
    if reference not in levels or len(levels) < 2:
        raise ValueError(f"Nothing to compare with {reference!r}: the levels of {group} are {levels}.")
    first, shape = levels.index(reference), (len(levels), at.max() + 1)
    some = [sparse.csr_array((v > 0, (code, at)), shape=shape).astype(int) for v in (happened, time)]
    beats = sparse.csr_array(some[0] @ some[1].T)  # of two levels at risk together, the first had an event
    below, above = (sparse.csgraph.breadth_first_order(m, first, return_predecessors=False) for m in (beats, beats.T))
    linked = np.intersect1d(below, above)
    kept, others = np.isin(code, linked), linked[linked != first]
    value = np.full(len(levels), math.nan)
    value[np.setdiff1d(below, above)], value[np.setdiff1d(above, below)] = 0, math.inf
    table = pd.DataFrame({"value": value, "low": value, "high": value, "se": math.nan, "p": math.nan})
    table.loc[value == math.inf, "low"] = table.loc[value == 0, "high"] = math.nan
    if others.size:
        design = pd.DataFrame({k: code[kept] == k for k in others})
        found = fit(counts[kept], design, risk_set, events, exposure, cluster).table
        if cluster is not None:  # one cluster alone cannot show how clusters differ
            seen = counts[cluster].to_frame().groupby(np.where(time > 0, code, -1)).nunique().iloc[:, 0]
            found.loc[(seen[others] < 2) | (seen[first] < 2), ["low", "high", "se", "p"]] = math.nan
        table.loc[others] = found
    table["events"] = np.bincount(code, happened, len(levels))
    table.index = pd.Index(levels, name=group, tupleize_cols=False)
    return table.drop(index=[reference])


def fit(
    counts: pd.DataFrame,
    design: pd.DataFrame,
    risk_set: Sequence[Hashable],
    events: Hashable = "events",
    exposure: Hashable = "exposure",
    cluster: Hashable | None = "fold",
) -> Fit:
    """Fit log ratios of rates to several covariates at once, within risk sets.

    ``counts`` and the names of its columns are as in ``rate_ratios``; ``design`` has a row for each of its rows, in the
    same order, and a numeric or bool column per covariate.

    Errors with clusters are a sandwich over the g clusters at risk in a set with an event: times g / (g - 1), and t
    with g - 1 degrees of freedom, so that few clusters give wide intervals. The sandwich needs one pass. Leaving out
    each cluster (``draws.leave_out``) needs a fit for each, which may have no maximum without its events.

    Returns a Fit. ValueError as in ``rate_ratios``, for no events, for a covariate that never varies within risk sets
    or is a combination of others, and for a likelihood without a maximum.

    Example: ``fit(counts, pd.DataFrame({"detractor": counts["band"] == "detractor"}), ["stratum", "month"]).table``.
    Cox 1972 (JRSS B 34:187); counts: Holford 1980 (Biometrics 36:299); ties: Breslow 1974 (Biometrics 30:89); errors:
    Lin & Wei 1989 (JASA 84:1074), Cameron & Miller 2015 (J. Human Resources 50:317).
    """
    names = list(design)
    complete(design, names)
    happened, time, at = _columns(counts, risk_set, events, exposure, cluster)
    used = (np.bincount(at, happened)[at] > 0) & (time > 0)
    if not used.any():
        raise ValueError("There is no event, so there is nothing to compare: check the filter that made the counts.")
    happened, time, at = happened[used], time[used], pd.factorize(at[used])[0]
    design = design.reset_index(drop=True)[used]
    cell = design.groupby([at, *names], sort=False, observed=True).ngroup().to_numpy()
    first = np.unique(cell, return_index=True)[1]
    x = np.column_stack([column(design[n].iloc[first], str(n)) for n in names])
    x = x - x.mean(axis=0)
    scale = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)
    model = _Likelihood(x / scale, np.bincount(cell, happened), np.bincount(cell, time), at[first])
    _check_information(model.evaluate(np.zeros(len(names)))[2], names, happened.sum())
    beta = _maximise(model)
    value, _, information, apart, expected = model.evaluate(beta)
    coefficients, inverse = beta / scale, np.linalg.pinv(information) / scale
    covariance, df, pulls = inverse / scale[:, None], math.inf, pd.DataFrame(columns=names, dtype=float)
    if cluster is not None:
        group, clusters = pd.factorize(counts[cluster][used])
        residual = happened - time * (expected / model.exposure)[cell]
        scores = np.column_stack([np.bincount(group, residual * part[cell], len(clusters)) for part in apart.T])
        pulls = pd.DataFrame(scores @ inverse, pd.Index(clusters, tupleize_cols=False), names)
        df = len(clusters) - 1
        covariance = pulls.T.to_numpy() @ pulls.to_numpy() * (len(clusters) / df if df else math.nan)
    return Fit(_table(names, coefficients, covariance, df), coefficients, covariance, df, pulls, float(value))


def _columns(
    counts: pd.DataFrame,
    risk_set: Sequence[Hashable],
    events: Hashable,
    exposure: Hashable,
    cluster: Hashable | None,
    more: Sequence[Hashable] = (),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the events and exposure of each row, checked, and the number of its risk set."""
    risk_set = [risk_set] if isinstance(risk_set, str) else list(risk_set)
    complete(counts, [*more, *risk_set, events, exposure, *([] if cluster is None else [cluster])])
    happened, time = (column(counts[name], str(name)) for name in (events, exposure))
    for name, values in ((events, happened), (exposure, time)):
        refuse(values < 0, f"{name} is negative", "Events and exposure are 0 or more.")
    remedy = "Whoever had the event was at risk just before it: count that time too."
    refuse((happened > 0) & (time == 0), f"{events} without {exposure}", remedy)
    if not risk_set:
        return happened, time, np.zeros(len(counts), dtype=np.int64)
    return happened, time, counts.groupby(risk_set, sort=False, observed=True).ngroup().to_numpy()


def _levels(values: pd.Series) -> tuple[np.ndarray, list[Hashable]]:
    """Return the code of each row's level and the levels, in order where they have one."""
    try:
        code, levels = pd.factorize(values, sort=True)
    except TypeError:  # numbers and names, for example
        code, levels = pd.factorize(values)
    return code, list(levels)


class _Likelihood:
    """The conditional likelihood of cells: ``x`` (cells x covariates), events, exposure, number of the risk set."""

    def __init__(self, x: np.ndarray, events: np.ndarray, exposure: np.ndarray, at: np.ndarray) -> None:
        self.x, self.events, self.exposure, self.at = x, events, exposure, at
        self.total = np.bincount(at, events)

    def evaluate(self, beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return log-likelihood, gradient, information, covariates less their mean at risk, and expected events."""
        eta = self.x @ beta
        eta = np.clip(eta - np.median(eta), -600, 600)  # beyond, rates exceed the range of floating point
        risk = self.exposure * np.exp(eta)
        sums = np.bincount(self.at, risk)
        share = risk / sums[self.at]
        apart = self.x - sum_by(self.at, share[:, None] * self.x, sums.size)[self.at]
        expected = share * self.total[self.at]
        value = self.events @ eta - self.total @ np.log(sums)
        return value, apart.T @ (self.events - expected), (apart * expected[:, None]).T @ apart, apart, expected


def _maximise(model: _Likelihood) -> np.ndarray:
    """Maximise by Newton-Raphson with step halving from 0; ValueError where the likelihood has no maximum.

    Near a maximum the next step vanishes; without one (a covariate separates events from the rest) only the gain
    vanishes, and each step moves log rates by about 1. Heinze & Schemper 2001 (Biometrics 57:114).
    """
    beta, width = np.zeros(model.x.shape[1]), np.ptp(model.x, axis=0)
    value, gradient, information, *_ = model.evaluate(beta)
    for _ in range(MAX_ITERATIONS):
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        gain = gradient @ step
        flat = gain <= 1e-8 + 1e-14 * abs(value)
        for _ in range(MAX_HALVINGS):
            new = model.evaluate(beta + step)
            if new[0] >= value + 0.1 * gain - 1e-12 * (1 + abs(value)):
                break
            step, gain = step / 2, gain / 2
        else:
            break
        beta = beta + step
        value, gradient, information, *_ = new
        if flat and (np.abs(np.linalg.lstsq(information, gradient, rcond=None)[0]) * width < 0.01).all():
            return beta
        # a few extreme cells are allowed
        if flat or np.subtract(*np.quantile(model.x @ beta, [0.999, 0.001])) > MAX_SPREAD:
            break
    raise ValueError(
        "No finite ratio of rates: the likelihood has no maximum, because all events fall on one side (a level without "
        "events, or one whose events always come first). Merge it with another or exclude the covariate."
    )


def _check_information(information: np.ndarray, names: list[Hashable], events: float) -> None:
    own, least = np.diag(information), 1e-10 * events
    root = np.sqrt(np.fmax(own, least))
    if own.min() < least or np.linalg.eigvalsh(information / np.outer(root, root))[0] < 1e-9:
        raise ValueError(
            f"No separate coefficient for each of {', '.join(map(str, names))}: one is constant among those at risk "
            "whenever an event happens, or a combination of the others. Exclude one."
        )


def _table(names: list[Hashable], log_ratio: np.ndarray, covariance: np.ndarray, df: float) -> pd.DataFrame:
    """Return the table of a Fit; errors are NaN where all clusters agree exactly, as that is no measure of chance."""
    se = np.sqrt(np.diag(covariance))
    se = np.where(se > 1e-12, se, math.nan)
    reach = stats.t.isf((1 - 0.95) / 2, df) * se
    with np.errstate(over="ignore"):  # an interval may exceed the largest number: infinity
        ends = {"value": np.exp(log_ratio), "low": np.exp(log_ratio - reach), "high": np.exp(log_ratio + reach)}
    p = 2 * stats.t.sf(np.abs(log_ratio / se), df)
    return pd.DataFrame({**ends, "se": se, "p": p}, index=pd.Index(names, name="covariate", tupleize_cols=False))
