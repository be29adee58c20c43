"""Cox regression on risk sets: for each time with an event, how many of each kind were at risk and had the event.

The cost of a fit depends on the number of kinds and event times, not on the number of people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import special, stats

from cxlib.stats.checks import column, complete, frequency_weights, refuse, sum_by, z_value

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


def _maximise(model: _PartialLikelihood, null: tuple) -> tuple[np.ndarray, np.ndarray, str]:
    """Maximise by Newton-Raphson with step halving from 0, where the likelihood and its derivatives are ``null``.

    Returns beta, which coefficients diverge, and what else went wrong. Near a maximum the next step vanishes; without
    one (a covariate separates events from the rest) only the gain vanishes, and each step moves log hazards by about 1.
    """

    def spread(values: np.ndarray) -> np.ndarray:
        return np.subtract(*np.quantile(values, [0.999, 0.001], axis=0))  # a few extreme rows are allowed

    beta = np.zeros(model.x.shape[1])
    width = np.ptp(model.x, axis=0)
    none = np.zeros(beta.size, bool)
    value, gradient, information = null
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
            return beta, none, "No step raises the likelihood any further"
        beta = beta + step
        value, gradient, information = new
        if flat:
            step = np.linalg.lstsq(information, gradient, rcond=None)[0]
            return beta, np.abs(step) * width > 0.01, ""
        if spread(model.x @ beta) > MAX_SPREAD:
            reason = f"Hazards differ by a factor of more than e^{MAX_SPREAD} between rows"
            return beta, np.abs(beta) * spread(model.x) > MAX_SPREAD / 10, reason
    return beta, none, f"The likelihood still rises after {MAX_ITERATIONS} iterations"


@dataclass(frozen=True, eq=False)
class CoxResult:
    """A fitted Cox regression.

    ``table`` is indexed by covariate: coef, se, hazard_ratio with its interval low and high, p (Wald) and n (sum of
    weights). A hazard ratio is for one more unit of the covariate. If ``converged`` is false, ``message`` says what
    went wrong and what to do; a coefficient without a finite value is plus or minus infinity, and its other figures are
    NaN. ``score`` is the score test statistic (as many degrees of freedom as covariates), ``covariance`` that of the
    coefficients, and ``dfbeta`` (rows x covariates) how much each row moves each coefficient.
    """

    table: pd.DataFrame
    log_likelihood: float
    log_likelihood_null: float
    score: float
    converged: bool
    message: str
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

    Returns a CoxResult; a likelihood without a maximum is not an error. ValueError for columns that do not exist,
    missing values, a covariate that never varies or is a combination of others, and no events.

    Example: ``cox(rows, "event", ["detractor", "passive"], ["stratum", "day"], weights="n").table``.
    Cox 1972 (JRSS B 34:187); ties: Efron 1977 (JASA 72:557), Breslow 1974 (Biometrics 30:89); likelihoods without a
    maximum: Heinze & Schemper 2001 (Biometrics 57:114).
    """
    names = list(covariates)
    if ties not in ("efron", "breslow"):
        raise ValueError(f"ties is {ties!r}: it must be 'efron' or 'breslow'.")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"covariates is {names}: name at least one column, each once.")
    complete(rows, [*names, event, *risk_set, weights])
    happened, count = column(rows[event], event), frequency_weights(rows[weights], len(rows))
    refuse((happened != 0) & (happened != 1), f"{event} is not 0 or 1", "Give 1 where it happened and 0 elsewhere.")
    refuse(count == 0, f"{weights} is 0", "Exclude rows without people.")
    at = rows.groupby(list(risk_set), observed=True).ngroup().to_numpy()
    if np.unique(at[happened == 1]).size <= at.max(initial=0):
        raise ValueError("A risk set has no event, so nothing can be compared in it: exclude such risk sets.")
    x, scale = _standardise(rows, names, count)
    model = _PartialLikelihood(x, happened, count, at, ties)
    null = model.evaluate(np.zeros(len(names)))
    _check_information(null[2], names, model.deaths.sum())
    beta, runaway, failure = _maximise(model, null)
    value, _, information, residual = model.evaluate(beta, scores=True)
    lost = runaway | bool(failure)
    if lost.any():  # in the limit, nothing may be left to estimate the others from
        lost |= np.diag(information) < 1e-3 * model.deaths.sum()
    coef = np.where(lost, np.nan, beta / scale)
    coef[runaway] = np.sign(beta[runaway]) * np.inf
    message = _message(np.array(names)[runaway | (lost & (not failure))], failure)

    known = np.ix_(~lost, ~lost)
    covariance = np.full((len(names), len(names)), np.nan)
    covariance[known] = np.linalg.pinv(information[known]) / np.outer(scale, scale)[known]
    dfbeta = np.full(x.shape, np.nan)
    dfbeta[:, ~lost] = (residual * scale)[:, ~lost] @ covariance[known]
    return CoxResult(
        table=wald_table(names, coef, covariance, count.sum()),
        log_likelihood=float(value),
        log_likelihood_null=float(null[0]),
        score=float(null[1] @ np.linalg.solve(null[2], null[1])),
        converged=not message,
        message=message,
        n=float(count.sum()),
        events=float(model.deaths.sum()),
        covariance=covariance,
        dfbeta=dfbeta,
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
    own = np.diag(information)
    unknown = own < 1e-10 * events
    if not unknown.any():
        root = np.sqrt(own)
        values, vectors = np.linalg.eigh(information / np.outer(root, root))
        unknown = (np.abs(vectors[:, values < 1e-9]) > 0.01).any(axis=1)
    if unknown.any():
        raise ValueError(
            f"No separate coefficient for {', '.join(np.array(names)[unknown])}: constant among those at risk whenever "
            "an event happens, or a combination of the other covariates. Exclude one."
        )


def _message(runaway: Sequence[str], failure: str) -> str:
    if len(runaway):
        return (
            f"No finite hazard ratio for {', '.join(runaway)}: the likelihood has no maximum, because all events fall "
            "on one side (a level without events, or one whose events always come first). Merge it with another, "
            "exclude the covariate, or report the counts of events instead."
        )
    return failure and f"{failure}. Look for near-duplicate covariates and extreme values, or exclude a covariate."


def wald_table(names: list[str], coef: np.ndarray, covariance: np.ndarray, n: float) -> pd.DataFrame:
    """Return the table of a CoxResult; ``covariance`` is covariates x covariates."""
    z, se = z_value(0.95), np.sqrt(np.diag(covariance))
    known = np.isfinite(coef)
    with np.errstate(over="ignore"):  # an interval may exceed the largest number: infinity
        columns = {
            "coef": coef,
            "se": se,
            "hazard_ratio": np.where(known, np.exp(coef), np.nan),
            "low": np.exp(coef - z * se),
            "high": np.exp(coef + z * se),
            "p": 2 * stats.norm.sf(np.abs(coef / se)),
            "n": n,
        }
    return pd.DataFrame(columns, index=pd.Index(names, name="covariate"))
