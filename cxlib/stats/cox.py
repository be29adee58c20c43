"""Cox regression on counts.

Everything is a sum over distinct event times, so the cost of a fit depends on the number of rows, not on the number of
people they represent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse, special, stats

from cxlib.stats.checks import column, complete, follow_up, sum_by, z_value

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


class _Stays:
    """When each row is at risk: row i at positions first[i] .. last[i] of ``size``.

    Differences of running sums would lose digits where hazards differ much. So each stay is cut into a few blocks of 1,
    2, 4 ... positions, nodes of a binary tree in which node k has the children 2k and 2k + 1, and sums only ever add.
    """

    def __init__(self, first: np.ndarray, last: np.ndarray, size: int) -> None:
        self.size, self.leaves = size, 1 << max(size - 1, 0).bit_length()
        low, high, rows = first + self.leaves, last + 1 + self.leaves, np.arange(first.size)
        cut = []
        while rows.size:
            odd = low % 2 == 1
            cut.append((low[odd], rows[odd]))
            low = low + odd
            odd = high % 2 == 1
            high = high - odd
            cut.append((high[odd], rows[odd]))
            low, high = low // 2, high // 2
            open_ = low < high
            low, high, rows = low[open_], high[open_], rows[open_]
        nodes, rows = (np.concatenate(part) for part in zip(*cut, strict=True))
        shape = (2 * self.leaves, first.size)
        self.blocks = sparse.csr_array((np.ones(nodes.size), (nodes, rows)), shape=shape)

    def over_rows(self, values: np.ndarray) -> np.ndarray:
        """Return for each position the sum of the values (rows x columns) of the rows at risk."""
        tree = self.blocks @ values
        width = 1
        while width < self.leaves:
            tree[2 * width : 4 * width] += np.repeat(tree[width : 2 * width], 2, axis=0)
            width *= 2
        return tree[self.leaves : self.leaves + self.size]

    def over_positions(self, values: np.ndarray) -> np.ndarray:
        """Return for each row the sum of the values (positions x columns) of the positions at which it is at risk."""
        tree = np.zeros((2 * self.leaves, values.shape[1]))
        tree[self.leaves : self.leaves + self.size] = values
        width = self.leaves
        while width > 1:
            tree[width // 2 : width] = tree[width : 2 * width : 2] + tree[width + 1 : 2 * width : 2]
            width //= 2
        return self.blocks.T @ tree


class _PartialLikelihood:
    """The Cox partial likelihood of checked rows; positions are the event times of each stratum in turn."""

    def __init__(
        self,
        x: np.ndarray,
        stop: np.ndarray,
        start: np.ndarray | None,
        event: np.ndarray,
        weights: np.ndarray,
        strata: np.ndarray,
        ties: str,
    ) -> None:
        times, rank = np.unique(stop, return_inverse=True)
        base = strata * (times.size + 1)
        grid = np.unique((base + rank)[event])
        last = np.searchsorted(grid, base + rank, side="right") - 1
        entered = 0 if start is None else np.searchsorted(times, start, side="right")
        first = np.searchsorted(grid, base + entered)
        self.rows = np.flatnonzero(last >= first)  # the others are at risk only when nothing happens
        self.x, self.weights, self.ties = x[self.rows], weights[self.rows], ties
        self.stays = _Stays(first[self.rows], last[self.rows], grid.size)
        self.dead = np.flatnonzero(event[self.rows])
        self.at = last[self.rows][self.dead]
        self.deaths = np.bincount(self.at, self.weights[self.dead])

    def evaluate(self, beta: np.ndarray, scores: bool = False) -> tuple:
        """Return log-likelihood, gradient, information and, with ``scores``, the score residual of each row."""
        x, w, dead, at, deaths = self.x, self.weights, self.dead, self.at, self.deaths
        eta = x @ beta
        eta = np.clip(eta - np.median(eta), -600, 600)  # beyond, hazards exceed the range of floating point
        risk = w * np.exp(eta)
        weighted = np.column_stack([risk, risk[:, None] * x])
        sums, gone_sums = self.stays.over_rows(weighted), sum_by(at, weighted[dead], deaths.size)
        total, gone = sums[:, :1], gone_sums[:, :1]
        mean, mean_gone = sums[:, 1:] / total, gone_sums[:, 1:] / gone
        log_sum, one, two = _tie_sums(deaths, np.minimum(gone / total, 1)[:, 0], self.ties)
        value = w[dead] @ eta[dead] - deaths @ np.log(total[:, 0]) - log_sum.sum()

        one, two, tied = one[:, None], two[:, None], deaths[:, None]
        ahead, cross, square = one - tied, two - one, two - 2 * one + tied  # sums of q, q and q^2 so weighted
        expected = risk * self.stays.over_positions(one / total)[:, 0]
        expected[dead] -= risk[dead] * (ahead / gone)[at, 0]
        excess = -expected
        excess[dead] += w[dead]
        mixed = (cross * mean).T @ mean_gone
        inner = (two * mean).T @ mean - mixed - mixed.T + (square * mean_gone).T @ mean_gone
        information = (x * expected[:, None]).T @ x - inner
        if not scores:
            return value, x.T @ excess, information

        jump = self.stays.over_positions((two * mean - cross * mean_gone) / total)
        residual = x * excess[:, None] + risk[:, None] * jump
        own_mean = (one * mean - ahead * mean_gone) / tied
        own_jump = (cross * mean - square * mean_gone) / gone
        residual[dead] -= w[dead, None] * own_mean[at] + risk[dead, None] * own_jump[at]
        return value, x.T @ excess, information, residual


def _maximise(model: _PartialLikelihood, null: tuple) -> tuple[np.ndarray, np.ndarray, str]:
    """Maximise by Newton-Raphson with step halving from 0, where the likelihood and its derivatives are ``null``.

    Returns beta, which coefficients diverge, and what else went wrong. Near a maximum the next step vanishes; without
    one (a covariate separates events from the rest) the gain vanishes while each step still moves log hazards by about
    1.
    """

    def spread(values: np.ndarray) -> np.ndarray:
        return np.subtract(*np.quantile(values, [0.999, 0.001], axis=0))  # a few extreme rows are allowed

    beta = np.zeros(model.x.shape[1])
    width = np.ptp(model.x, axis=0)
    nobody = np.zeros(beta.size, bool)
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
            return beta, nobody, "No step raises the likelihood any further"
        beta = beta + step
        value, gradient, information = new
        if flat:
            step = np.linalg.lstsq(information, gradient, rcond=None)[0]
            return beta, np.abs(step) * width > 0.01, ""
        if spread(model.x @ beta) > MAX_SPREAD:
            reason = f"Hazards differ by a factor of more than e^{MAX_SPREAD} between rows"
            return beta, np.abs(beta) * spread(model.x) > MAX_SPREAD / 10, reason
    return beta, nobody, f"The likelihood still rises after {MAX_ITERATIONS} iterations"


@dataclass(frozen=True, eq=False)
class CoxResult:
    """A fitted Cox regression.

    ``table`` is indexed by covariate: coef, se, hazard_ratio with its interval low and high, p (Wald) and n (sum of
    weights). A hazard ratio is for one more unit of the covariate. If ``converged`` is false, ``message`` says what
    went wrong and what to do; a coefficient without a finite value is plus or minus infinity, and its other figures are
    NaN. ``score`` is the score test statistic (as many degrees of freedom as covariates), ``covariance`` that of the
    coefficients, and ``dfbeta`` (rows x covariates) how much each row of the frame moves each coefficient.
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
    frame: pd.DataFrame,
    event: str,
    covariates: str | Sequence[str],
    stop: str,
    start: str | None = None,
    weights: str | None = None,
    strata: str | Sequence[str] | None = None,
    ties: str = "efron",
    confidence: float = 0.95,
) -> CoxResult:
    """Fit a proportional-hazards regression.

    ``frame`` has a row per subject or, with ``start``, several (late entry, covariates that change): a row is at risk
    after start up to and including ``stop``. ``event`` is 1 where the row ends with the event. The other arguments also
    name columns: numeric or bool ``covariates``, ``weights`` (counts of equal rows: a weighted fit equals the fit to
    the repeated rows, ties included), and ``strata`` with a baseline each. ``ties`` is "efron" or "breslow".

    Returns a CoxResult; a likelihood without a maximum is not an error. ValueError for columns that do not exist,
    missing values, a covariate that never varies or is a combination of others, and no events.

    Example: ``cox(rossi, "arrest", ["fin", "age", "prio"], stop="week").table``.

    Cox 1972 (JRSS B 34:187); ties: Efron 1977 (JASA 72:557), Breslow 1974 (Biometrics 30:89); start and stop: Andersen
    & Gill 1982 (Ann Stat 10:1100); likelihoods without a maximum: Heinze & Schemper 2001 (Biometrics 57:114).
    """
    names = [covariates] if isinstance(covariates, str) else list(covariates)
    layers = [strata] if isinstance(strata, str) else list(strata or [])
    z = z_value(confidence)
    if ties not in ("efron", "breslow"):
        raise ValueError(f"ties is {ties!r}: it must be 'efron' or 'breslow'.")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"covariates is {names}: name at least one column, each once.")
    if {event, stop} & set(names):
        raise ValueError("The event or its time is among the covariates and would explain itself: exclude it.")
    complete(frame, [*names, *layers, event, stop, *(name for name in (start, weights) if name is not None)])
    count, entered = (None if name is None else frame[name] for name in (weights, start))
    time, happened, count, entered = follow_up(frame[stop], frame[event], count, entered, (stop, event, start or ""))
    used = np.flatnonzero(count)
    if not happened[used].any():
        raise ValueError(f"{event} is 0 in every row: with no event there is nothing to compare. Check the codes.")
    x, scale = _standardise(frame, names, used, count[used])
    layer = frame.groupby(layers, observed=True).ngroup().to_numpy() if layers else np.zeros(len(frame), int)

    model = _PartialLikelihood(
        x, time[used], None if start is None else entered[used], happened[used], count[used], layer[used], ties
    )
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
    dfbeta = np.zeros((len(frame), len(names)))
    dfbeta[:, lost] = np.nan
    dfbeta[np.ix_(used[model.rows], ~lost)] = (residual * scale)[:, ~lost] @ covariance[known]
    return CoxResult(
        table=wald_table(names, coef, covariance, z, count.sum()),
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


def _standardise(
    frame: pd.DataFrame, names: list[str], used: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    x = np.column_stack([column(frame[name], name) for name in names])[used]
    constant = [name for name, width in zip(names, np.ptp(x, axis=0), strict=True) if width == 0]
    if constant:
        raise ValueError(f"{', '.join(constant)} has the same value in every row: exclude it.")
    x = x - np.average(x, axis=0, weights=count)
    scale = np.sqrt(np.average(x**2, axis=0, weights=count))
    return x / scale, scale


def _check_information(information: np.ndarray, names: list[str], events: float) -> None:
    own = np.diag(information)
    silent = own < 1e-10 * events
    if not silent.any():
        root = np.sqrt(own)
        values, vectors = np.linalg.eigh(information / np.outer(root, root))
        silent = (np.abs(vectors[:, values < 1e-9]) > 0.01).any(axis=1)
    if silent.any():
        raise ValueError(
            f"No separate coefficient for {', '.join(np.array(names)[silent])}: constant among those at risk whenever "
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


def wald_table(names: list[str], coef: np.ndarray, covariance: np.ndarray, z: float, n: float) -> pd.DataFrame:
    """Return the table of a CoxResult; ``covariance`` is covariates x covariates, ``z`` the normal quantile."""
    se = np.sqrt(np.diag(covariance))
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
