"""Cox regression on risk sets: for each time with an event, how many of each kind were at risk and had the event.

The cost of a fit depends on the number of kinds and event times, not on the number of people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import special, stats

from cxlib.stats.checks import column, complete, frequency_weights, sum_by, z_value

MAX_ITERATIONS = 100
MAX_HALVINGS = 60
MAX_SPREAD = 250  # of log hazards between rows; a fit that goes this far has no maximum


def _tie_sums(deaths: np.ndarray, share: np.ndarray, ties: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sums of log(1 - q), 1 / (1 - q) and 1 / (1 - q)^2 over q = share * l / deaths, l = 0 .. deaths - 1.

    These are Efron's correction: of d people who leave at one time with ``share`` of the risk, l / d have gone before
    the l-th. Gamma functions give them in closed form, so that a million ties cost as little as two; where the share is
    too small for their precision, a series does. Breslow's method is q = 0.
    """
    zero, one, two = np.zeros_like(deaths), deaths.copy(), deaths.copy()
    tied = (deaths > 1) & (ties == "efron")
    small = tied & (share < 1e-4)
    d, r = deaths[small], share[small]
    first, second, third = (d - 1) / 2 * r, (d - 1) * (2 * d - 1) / (6 * d) * r**2, (d - 1) ** 2 / (4 * d) * r**3
    zero[small] = -(first + second / 2 + third / 3)
    one[small] = d + first + second + third
    two[small] = d + 2 * first + 3 * second + 4 * third
    large = tied & ~small
    d = deaths[large]
    a = d / share[large]
    b = a - d + 1
    zero[large] = special.gammaln(a + 1) - special.gammaln(b) - d * np.log(a)
    one[large] = a * (special.digamma(a + 1) - special.digamma(b))
    two[large] = a**2 * (special.polygamma(1, b) - special.polygamma(1, a + 1))
    return zero, one, two


class _PartialLikelihood:
    """The Cox partial likelihood; ``at`` is the number of each row's risk set."""

    def __init__(self, x: np.ndarray, event: np.ndarray, weights: np.ndarray, at: np.ndarray, ties: str) -> None:
        self.x, self.weights, self.at, self.ties = x, weights, at, ties
        self.dead = np.flatnonzero(event)
        self.deaths = np.bincount(at[self.dead], weights[self.dead])

    def evaluate(self, beta: np.ndarray, scores: bool = False) -> tuple:
        """Return log-likelihood, gradient, information and, with ``scores``, the score residual of each row."""
        x, w, at, dead, deaths = self.x, self.weights, self.at, self.dead, self.deaths
        own = at[dead]
        eta = x @ beta
        eta = np.clip(eta - np.median(eta), -600, 600)  # beyond, hazards exceed the range of floating point
        risk = w * np.exp(eta)
        weighted = np.column_stack([risk, risk[:, None] * x])
        sums, gone_sums = sum_by(at, weighted, deaths.size), sum_by(own, weighted[dead], deaths.size)
        total, gone = sums[:, :1], gone_sums[:, :1]
        mean, mean_gone = sums[:, 1:] / total, gone_sums[:, 1:] / gone
        log_sum, one, two = _tie_sums(deaths, np.minimum(gone / total, 1)[:, 0], self.ties)
        value = w[dead] @ eta[dead] - deaths @ np.log(total[:, 0]) - log_sum.sum()

        one, two, tied = one[:, None], two[:, None], deaths[:, None]
        ahead, cross, square = one - tied, two - one, two - 2 * one + tied  # sums of q, q and q^2 so weighted
        expected = risk * (one / total)[at, 0]
        expected[dead] -= risk[dead] * (ahead / gone)[own, 0]
        excess = -expected
        excess[dead] += w[dead]
        mixed = (cross * mean).T @ mean_gone
        inner = (two * mean).T @ mean - mixed - mixed.T + (square * mean_gone).T @ mean_gone
        information = (x * expected[:, None]).T @ x - inner
        if not scores:
            return value, x.T @ excess, information

        jump = ((two * mean - cross * mean_gone) / total)[at]
        residual = x * excess[:, None] + risk[:, None] * jump
        own_mean = (one * mean - ahead * mean_gone) / tied
        own_jump = (cross * mean - square * mean_gone) / gone
        residual[dead] -= w[dead, None] * own_mean[own] + risk[dead, None] * own_jump[own]
        return value, x.T @ excess, information, residual


def _maximise(model: _PartialLikelihood) -> np.ndarray:
    """Maximise by Newton-Raphson with step halving from 0; ValueError where the likelihood has no maximum.

    Near a maximum the next step vanishes; without one (a covariate separates events from the rest) only the gain
    vanishes, and each step moves log hazards by about 1.
    """
    beta, width = np.zeros(model.x.shape[1]), np.ptp(model.x, axis=0)
    value, gradient, information = model.evaluate(beta)
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
        value, gradient, information = new
        if flat and (np.abs(np.linalg.lstsq(information, gradient, rcond=None)[0]) * width < 0.01).all():
            return beta
        # a few extreme rows are allowed
        if flat or np.subtract(*np.quantile(model.x @ beta, [0.999, 0.001])) > MAX_SPREAD:
            break
    raise ValueError(
        "No finite hazard ratio: the likelihood has no maximum, because all events fall on one side (a level without "
        "events, or one whose events always come first). Merge it with another or exclude the covariate."
    )


@dataclass(frozen=True, eq=False)
class CoxResult:
    """A fitted Cox regression.

    ``table`` is indexed by covariate: coef, se, hazard_ratio with its interval low and high, p (Wald) and n (sum of
    weights). A hazard ratio is for one more unit of the covariate. ``covariance`` is that of the coefficients, and
    ``dfbeta`` (rows x covariates) how much each row moves each coefficient.
    """

    table: pd.DataFrame
    log_likelihood: float
    n: float
    events: float
    covariance: np.ndarray = field(repr=False)
    dfbeta: np.ndarray = field(repr=False)


def cox(
    rows: pd.DataFrame,
    event: str,
    covariates: Sequence[str],
    risk_set: Sequence[str],
    weights: str,
    ties: str = "efron",
) -> CoxResult:
    """Fit a proportional-hazards regression to the people at risk at each time with an event.

    ``rows`` has a row per risk set, kind of people and ``event`` (1 for those who have the event then, 0 for the others
    at risk); ``weights`` names the column of their number, above 0. A risk set, such as a stratum and a time, is given
    by the columns ``risk_set`` and has at least one event; each stratum has its own baseline. ``covariates`` are
    numeric or bool, ``ties`` is "efron" or "breslow". Late entry and changing covariates only decide who is at risk.

    Returns a CoxResult. ValueError for columns that do not exist, missing values, a covariate that never varies or is a
    combination of others, no events, and a likelihood without a maximum.

    Example: ``cox(rows, "event", ["detractor", "passive"], ["stratum", "day"], weights="n").table``.
    Cox 1972 (JRSS B 34:187); ties: Efron 1977 (JASA 72:557), Breslow 1974 (Biometrics 30:89); likelihoods without a
    maximum: Heinze & Schemper 2001 (Biometrics 57:114).
    """
    names = list(covariates)
    complete(rows, [*names, event, *risk_set, weights])
    happened, count = column(rows[event], event), frequency_weights(rows[weights], len(rows))
    at = rows.groupby(list(risk_set), observed=True).ngroup().to_numpy()
    if np.unique(at[happened == 1]).size <= at.max(initial=0):
        raise ValueError("A risk set has no event, so nothing can be compared in it: exclude such risk sets.")
    x, scale = _standardise(rows, names, count)
    model = _PartialLikelihood(x, happened, count, at, ties)
    _check_information(model.evaluate(np.zeros(len(names)))[2], names, model.deaths.sum())
    beta = _maximise(model)
    value, _, information, residual = model.evaluate(beta, scores=True)
    covariance = np.linalg.pinv(information) / np.outer(scale, scale)
    return CoxResult(
        table=wald_table(names, beta / scale, covariance, count.sum()),
        log_likelihood=float(value),
        n=float(count.sum()),
        events=float(model.deaths.sum()),
        covariance=covariance,
        dfbeta=(residual * scale) @ covariance,
    )


def _standardise(rows: pd.DataFrame, names: list[str], count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = np.column_stack([column(rows[name], name) for name in names])
    constant = [name for name, width in zip(names, np.ptp(x, axis=0), strict=True) if width == 0]
    if constant:
        raise ValueError(f"{', '.join(constant)} has the same value in every row: exclude it.")
    x = x - np.average(x, axis=0, weights=count)
    scale = np.sqrt(np.average(x**2, axis=0, weights=count))
    return x / scale, scale


def _check_information(information: np.ndarray, names: list[str], events: float) -> None:
    own, least = np.diag(information), 1e-10 * events
    root = np.sqrt(np.fmax(own, least))
    if own.min() < least or np.linalg.eigvalsh(information / np.outer(root, root))[0] < 1e-9:
        raise ValueError(
            f"No separate coefficient for each of {', '.join(names)}: one is constant among those at risk whenever an "
            "event happens, or a combination of the others. Exclude one."
        )


def wald_table(names: list[str], coef: np.ndarray, covariance: np.ndarray, n: float) -> pd.DataFrame:
    """Return the table of a CoxResult; ``covariance`` is covariates x covariates."""
    z, se = z_value(0.95), np.sqrt(np.diag(covariance))
    with np.errstate(over="ignore"):  # an interval may exceed the largest number: infinity
        columns = {
            "coef": coef,
            "se": se,
            "hazard_ratio": np.exp(coef),
            "low": np.exp(coef - z * se),
            "high": np.exp(coef + z * se),
            "p": 2 * stats.norm.sf(np.abs(coef / se)),
            "n": n,
        }
    return pd.DataFrame(columns, index=pd.Index(names, name="covariate"))
