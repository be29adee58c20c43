"""Repeat buying without a contract: how often people buy, how long they stay, and what they spend.

One row is a buyer. ``frequency`` counts repeat purchases (without the first; purchases on one day are one). ``recency``
is the time from the first purchase to the last (0 without a repeat) and ``age`` the time from the first purchase to the
end of the window. Recency, age and every ``t`` share one unit, any unit. ``weights`` count equal buyers. ``params``, an
array (..., p), replaces the fitted parameters, for example with draws; its leading axes come first in the result.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from scipy import optimize, special, stats

from cxlib.stats.checks import frequency_weights, numbers, refuse
from cxlib.stats.estimate import Estimate
from cxlib.stats.hypergeometric import purchases_until_gone, time_of_leaving
from cxlib.stats.likelihood import LikelihoodModel, collapse

ALL_STAY = 1e-9  # stands for no leaving at all, where a parameter of it cannot be 0


class TimingModel(LikelihoodModel):
    """What models of purchase timing share: checks, the fit and forecasts.

    A model adds ``_rows`` and the three things in which such models differ: ``_log_odds_gone``, the log odds that a
    buyer has left, ``_purchases_if_alive``, the purchases expected from an active buyer, and ``_further``, a draw of
    them.
    """

    unit_of = ("alpha", "beta")
    advice = (
        "Usual causes: too few buyers came back, the window is short compared with the time between purchases, or "
        "recency and age are not in one unit, counted from the first purchase. Lengthen the window or pool segments."
    )

    def fit(self, frequency: object, recency: object, age: object, weights: object = None) -> Self:
        """Fit by maximum likelihood to one-dimensional arrays of equal length; return self.

        ``LikelihoodModel`` lists the results. The time taken grows with the number of different rows, which rounding to
        whole weeks keeps small. ValueError names the first impossible row, or says that nobody bought again.

        Example: ``BetaGeoNBD().fit(x, recency, age).predict(52, x, recency, age)`` forecasts a year of purchases.
        """
        rows, weights = _weighted_buyers(frequency, recency, age, weights)
        again = weights @ (rows[:, 0] > 0)
        if again == 0:
            raise ValueError(
                f"none of {weights.sum():,.0f} buyers bought again, so neither buying nor leaving can be estimated. "
                "Lengthen the window, pool segments, or check that frequency counts repeat purchases."
            )
        self._maximise(rows, weights, unit=weights @ rows[:, 2] / weights.sum())
        if self.message != "Converged.":
            self.message += f" Here {again:,.0f} of {self.n:,.0f} buyers bought again."
        return self

    def expected_purchases(self, t: object, params: np.ndarray | None = None) -> np.ndarray | float:
        """Return E[X(t)], the repeat purchases expected of a new customer by ``t`` after the first purchase."""
        return self.predict(t, 0, 0, 0, params)

    def predict(
        self, t: object, frequency: object, recency: object, age: object, params: np.ndarray | None = None
    ) -> np.ndarray | float:
        """Return the purchases expected in the next ``t`` from buyers with this history; scalars or arrays."""
        refuse(~(numbers(t).ravel() >= 0), "t is missing or negative", "Give a time ahead, in the unit of age.")
        values, (t, *past) = self._aligned(params, t, *_checked_buyers(frequency, recency, age))
        bought = self._purchases_if_alive(values, t, *past)
        return (bought * special.expit(-self._log_odds_gone(values, *past)))[()]

    def probability_alive(
        self, frequency: object, recency: object, age: object, params: np.ndarray | None = None
    ) -> np.ndarray | float:
        """Return the probability that a buyer has not left for good, as the model defines it; scalars or arrays."""
        values, past = self._aligned(params, *_checked_buyers(frequency, recency, age))
        return special.expit(-self._log_odds_gone(values, *past))[()]

    def log_density(self, frequency: object, recency: object, age: object) -> np.ndarray:
        """Return the log-likelihood of each history (one-dimensional arrays), at the fitted parameters."""
        return self._rows(self._fitted().to_numpy(), _weighted_buyers(frequency, recency, age, None)[0])[0]

    def simulate(
        self, rng: np.random.Generator, times: int, t: float, frequency: object, recency: object, age: object
    ) -> np.ndarray:
        """Draw the purchases of the next ``t`` from buyers with this history, so many times: times x buyers.

        Their mean is ``predict``. Rates and leaving are drawn given the history, then the purchases.
        """
        values, past = self._aligned(None, *_checked_buyers(frequency, recency, age))
        active = rng.random((times, len(past[0]))) < self.probability_alive(*past)
        return np.where(active, self._further(rng, active.shape, values, t, *past), 0)

    def p_all_stay(self, frequency: object, recency: object, age: object, weights: object = None) -> float:
        """Return the p value of the hypothesis that no buyer ever leaves, given the rows of the fit.

        That is a boundary of the parameters, where one of them is not defined: the likelihood ratio is compared with
        the chi-squared distribution of 2 degrees, which is too careful (Self & Liang 1987, J. Am. Stat. Assoc. 82:605).
        """
        rows, weights = _weighted_buyers(frequency, recency, age, weights)
        rows[:, 1] = np.where(rows[:, 0] > 0, rows[:, 2], 0)  # without leaving, the last purchase says nothing
        rows, code = collapse(rows)
        weights = np.bincount(code, weights=weights)
        n, start = weights.sum(), np.log([1.0, weights @ rows[:, 2] / weights.sum()])

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            values, gradient = self._rows(np.array([*np.exp(theta), ALL_STAY, 1.0]), rows)
            return -(weights @ values) / n, -(weights @ gradient[:, :2]) / n

        found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(m - 9, m + 9) for m in start])
        return float(stats.chi2.sf(2 * max(self.log_likelihood + found.fun * n, 0), 2))


class BetaGeoNBD(TimingModel):
    """BG/NBD: buying at a constant rate (gamma r, alpha), leaving after a purchase with some probability (beta a, b).

    A buyer without a repeat has had no opportunity to leave, so ``probability_alive`` is 1 however long ago they
    bought. It is not a retention rate; compare models on forecasts of purchases.

    Source: Fader, Hardie & Lee 2005, "Counting your customers" the easy way, Marketing Science 24(2). The forecasts are
    its equations 9 and 10 after Euler's transformation of the hypergeometric function, which does not overflow.
    """

    names = ("r", "alpha", "a", "b")
    starts = ((1, 1, 1, 1), (0.3, 0.3, 0.3, 3), (3, 3, 0.1, 0.1), (0.1, 0.1, 3, 10))
    first = 0  # 1 if buyers may also leave after the first purchase

    def _rows(self, params: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, alpha, a, b = params
        x, recency, age = rows.T
        log_early, log_late = np.log(alpha + recency), np.log(alpha + age)
        gone = self._log_odds_gone(list(params), x, recency, age)
        bought, times = _runs(x)
        stayed = bought + self.first
        both = special.digamma(a + b) - special.digamma(a + b + stayed)
        of_frequency = (
            special.gammaln(r + bought) - special.gammaln(r) + special.betaln(a, b + stayed) - special.betaln(a, b),
            special.digamma(r + bought) - special.digamma(r),
            both,
            both + special.digamma(b + stayed) - special.digamma(b),
        )
        level, of_r, of_a, of_b = np.repeat(of_frequency, times, axis=1)
        value = level + r * np.log(alpha) - (r + x) * log_late + np.logaddexp(0, gone)
        share = special.expit(gone)
        gradient = (
            of_r + np.log(alpha) - log_late + share * (log_late - log_early),
            r / alpha - (r + x) * ((1 - share) / (alpha + age) + share / (alpha + recency)),
            of_a + share / a,
            of_b - share / (b + np.fmax(x + self.first, 1) - 1),
        )
        return value, (np.stack(gradient) * params[:, None]).T

    def _log_odds_gone(
        self, params: list[np.ndarray], frequency: np.ndarray, recency: np.ndarray, age: np.ndarray
    ) -> np.ndarray:
        r, alpha, a, b = params
        chances = frequency + self.first
        odds = np.log(a / (b + np.fmax(chances, 1) - 1))
        return np.where(chances > 0, odds + (r + frequency) * np.log1p((age - recency) / (alpha + recency)), -np.inf)

    def _purchases_if_alive(
        self, params: list[np.ndarray], t: np.ndarray, frequency: np.ndarray, recency: np.ndarray, age: np.ndarray
    ) -> np.ndarray:
        r, alpha, a, b = params
        return purchases_until_gone(r + frequency, t / (alpha + age), a, b + frequency + self.first)

    def _further(
        self, rng: np.random.Generator, shape: tuple[int, int], params: list[np.ndarray], t: float,
        frequency: np.ndarray, recency: np.ndarray, age: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        r, alpha, a, b = params
        wanted = rng.poisson(t * rng.gamma(r + frequency, 1 / (alpha + age), shape))
        leaves = rng.beta(a, b + frequency + self.first, shape)
        return np.minimum(wanted, rng.geometric(np.fmax(leaves, 1e-15)))


class ModifiedBetaGeoNBD(BetaGeoNBD):
    """MBG/NBD: BG/NBD in which buyers may also leave right after the first purchase.

    So ``probability_alive`` is below 1 for buyers without a repeat as well.

    Sources: Batislam, Denizel & Filiztekin 2007, Empirical validation and comparison of models for customer base
    analysis, Int. J. Research in Marketing 24(3); Wagner & Hoppe 2008, Erratum on the MBG/NBD model, ibid. 25(3).
    """

    first = 1


class ParetoNBD(TimingModel):
    """Pareto/NBD: buying at a constant rate (gamma r, alpha), leaving at any time at another rate (gamma s, beta).

    A buyer is certainly active at the last purchase; ``probability_alive`` falls with the time since then.

    Sources: Schmittlein, Morrison & Colombo 1987, Counting your customers, Management Science 33(1); Fader & Hardie
    2005, A note on deriving the Pareto/NBD model. Their hypergeometric terms are computed as one integral over the time
    of leaving (``time_of_leaving``), the same for alpha above or below beta.
    """

    names = ("r", "alpha", "s", "beta")
    starts = ((0.5, 0.5, 0.5, 0.5), (1, 1, 1, 3), (0.3, 0.1, 0.1, 0.3), (3, 3, 0.1, 1))

    def _rows(self, params: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, alpha, s, beta = params
        x, recency, age = rows.T
        gone, means = self._leaving(list(params), x, recency, age)
        bought, times = _runs(x)
        of_frequency = (
            special.gammaln(r + bought) - special.gammaln(r),
            special.digamma(r + bought) - special.digamma(r),
        )
        level, of_r = np.repeat(of_frequency, times, axis=1)
        share = special.expit(gone)
        # An active buyer leaves after the end of the window: all that is known is that they stayed until age.
        still = (np.log(alpha + age), np.log(beta + age), 1 / (alpha + age), 1 / (beta + age))
        bought_until, stayed_until, per_alpha, per_beta = (
            end + share * (mean - end) for end, mean in zip(still, means, strict=True)
        )
        value = level + r * np.log(alpha) - (r + x) * still[0] + s * np.log(beta) - s * still[1] + np.logaddexp(0, gone)
        gradient = (
            of_r + np.log(alpha) - bought_until,
            r / alpha - (r + x) * per_alpha,
            np.log(beta) - stayed_until + share / s,
            s / beta - s * per_beta - share * means[3],
        )
        return value, (np.stack(gradient) * params[:, None]).T

    def _log_odds_gone(
        self, params: list[np.ndarray], frequency: np.ndarray, recency: np.ndarray, age: np.ndarray
    ) -> np.ndarray:
        return self._leaving(params, frequency, recency, age)[0]

    def _purchases_if_alive(
        self, params: list[np.ndarray], t: np.ndarray, frequency: np.ndarray, recency: np.ndarray, age: np.ndarray
    ) -> np.ndarray:
        r, alpha, s, beta = params
        longer = np.log1p(t / (beta + age))
        return (r + frequency) * (beta + age) / (alpha + age) * longer * special.exprel((1 - s) * longer)

    def _further(
        self, rng: np.random.Generator, shape: tuple[int, int], params: list[np.ndarray], t: float,
        frequency: np.ndarray, recency: np.ndarray, age: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        r, alpha, s, beta = params
        stays = rng.exponential(1, shape) / np.fmax(rng.gamma(s, 1 / (beta + age), shape), 1e-300)
        return rng.poisson(np.fmin(stays, t) * rng.gamma(r + frequency, 1 / (alpha + age), shape))

    @staticmethod
    def _leaving(
        params: list[np.ndarray], frequency: np.ndarray, recency: np.ndarray, age: np.ndarray
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Return the log odds of having left between ``recency`` and ``age``, and the means of ``time_of_leaving``."""
        r, alpha, s, beta = params
        left, means = time_of_leaving(r + frequency, s + 1, alpha, beta, recency, age)
        return np.log(s) + left + (r + frequency) * np.log(alpha + age) + s * np.log(beta + age), means


class GammaGamma(LikelihoodModel):
    """Spend per purchase, which varies around each buyer's own mean; that mean does not depend on purchase frequency.

    ``spend_frequency_correlation`` checks this assumption. Money has any unit, which is also that of v. ``frequency``
    counts the purchases behind ``mean_spend``.

    Source: Fader & Hardie 2013, The gamma-gamma model of monetary value (note 025); Fader, Hardie & Lee 2005, RFM and
    CLV, J. Marketing Research 42.
    """

    names = ("p", "q", "v")
    starts = ((3, 3, 1), (1, 1, 1), (10, 10, 1))
    unit_of = ("v",)
    advice = (
        "Usual causes: too few buyers with several purchases, nearly equal spends, or refunds and very large orders "
        "that were not excluded. Pool segments or check the largest mean spends."
    )

    def fit(self, frequency: object, mean_spend: object, weights: object = None) -> Self:
        """Fit by maximum likelihood to one-dimensional arrays of equal length; return self.

        ``LikelihoodModel`` lists the results. ValueError names the first row without a purchase or a positive spend.
        """
        rows = _checked_spend(frequency, mean_spend)
        weights = frequency_weights(weights, len(rows))
        self._maximise(rows, weights, unit=weights @ rows[:, 1] / weights.sum())
        if self.converged and self.params["q"] <= 1:
            self.message += (
                " With q of 1 or less the mean spend is infinite: a few huge spends decide it. " + self.advice
            )
        return self

    def mean_spend(self, params: np.ndarray | None = None) -> np.ndarray | float:
        """Return the mean spend per purchase over all buyers; infinite if q is 1 or less."""
        return self.predict(0, 0, params)

    def predict(self, frequency: object, mean_spend: object, params: np.ndarray | None = None) -> np.ndarray | float:
        """Return the expected spend per purchase of buyers with this history; scalars or arrays.

        With frequency 0 it is the mean of all buyers, whatever ``mean_spend`` is.
        """
        (p, q, v), (x, z) = self._aligned(params, frequency, mean_spend)
        refuse(~(x.ravel() >= 0), "frequency is missing or negative", "Give 0 for someone without a known spend.")
        refuse(
            ((x > 0) & ~(z > 0)).ravel(),
            "mean_spend is missing or not above 0 where frequency is above 0",
            "Exclude refunds, or give frequency 0.",
        )
        left = p * x + q - 1
        known = np.where(x > 0, x * z, 0)
        return np.where(left > 0, p * (v + known) / np.where(left > 0, left, 1), np.inf)[()]

    def square(self, frequency: object, mean_spend: object) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected squares of the spend per purchase, and of each buyer's own mean spend; arrays.

        They are infinite where p x frequency + q is 2 or less; there a value just above 2 stands for it.
        """
        (p, q, v), (x, z) = self._aligned(None, frequency, mean_spend)
        left = np.fmax(p * x + q, 2.1)
        of_mean = (p * (v + np.where(x > 0, x * z, 0))) ** 2 / ((left - 1) * (left - 2))
        return of_mean * (1 + 1 / p), of_mean

    def _rows(self, params: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, q, v = params
        x, z = rows.T
        shape, log_total = p * x, np.log(v + x * z)
        value = (
            special.gammaln(shape + q)
            - special.gammaln(shape)
            - special.gammaln(q)
            + q * np.log(v)
            + shape * np.log(x * z)
            - np.log(z)
            - (shape + q) * log_total
        )
        both = special.digamma(shape + q) - log_total
        gradient = (
            x * (both - special.digamma(shape) + np.log(x * z)),
            both - special.digamma(q) + np.log(v),
            q / v - (shape + q) / (v + x * z),
        )
        return value, (np.stack(gradient) * params[:, None]).T


def spend_frequency_correlation(frequency: object, mean_spend: object, weights: object = None) -> Estimate:
    """Estimate Pearson's correlation of frequency and mean spend, which the gamma-gamma model assumes to be about 0.

    Arrays as in ``GammaGamma.fit``. The interval is on Fisher's z scale with the larger of two standard errors: the
    usual one, correct under independence, and that of Steiger & Hakstian 1982 (Brit. J. Math. Stat. Psych. 35), correct
    if they depend and spend is skewed. NaN if either never varies.
    """
    rows = _checked_spend(frequency, mean_spend)
    weights = frequency_weights(weights, len(rows))
    n = float(weights.sum())
    centred = rows - weights @ rows / n
    spread = np.sqrt(weights @ centred**2 / n)
    if n <= 3 or not (spread > 1e-12 * rows.max(axis=0)).all():
        return Estimate(math.nan, math.nan, math.nan, math.nan, n)
    x, z = (centred / spread).T
    r = float(np.clip(weights @ (x * z) / n, -1 + 1e-12, 1 - 1e-12))
    free = np.sqrt(weights @ (x * z - r * (x**2 + z**2) / 2) ** 2) / n
    se = float(max(free, (1 - r**2) / np.sqrt(n - 3)))
    reach = stats.norm.isf((1 - 0.95) / 2) * se / (1 - r**2)
    low, high = np.tanh(np.arctanh(r) + np.array([-reach, reach]))
    return Estimate(r, float(low), float(high), se, n)


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each run of equal values and its length.

    So that costly functions are called once per run of sorted rows.
    """
    starts = np.flatnonzero(np.diff(values, prepend=np.nan))
    return values[starts], np.diff(starts, append=values.size)


def _table(*columns: object) -> np.ndarray:
    """Return columns of equal length as one array."""
    columns = [numbers(column) for column in columns]
    if not columns[0].size or any(c.ndim != 1 or c.shape != columns[0].shape for c in columns):
        raise ValueError(f"the columns have shapes {[c.shape for c in columns]}; give columns of one equal length.")
    return np.column_stack(columns)


def _weighted_buyers(frequency: object, recency: object, age: object, weights: object) -> tuple[np.ndarray, np.ndarray]:
    """Return checked rows (frequency, recency, age) and their weights."""
    rows = _table(frequency, recency, age)
    _checked_buyers(*rows.T)
    return rows, frequency_weights(weights, len(rows))


def _checked_buyers(frequency: object, recency: object, age: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frequency, recency and age as floats; ValueError names the first impossible row."""
    columns = tuple(numbers(column) for column in (frequency, recency, age))
    x, last, age = (column.ravel() for column in np.broadcast_arrays(*columns))
    for name, column in (("frequency", x), ("recency", last), ("age", age)):
        refuse(~np.isfinite(column), f"{name} is missing or infinite", "Exclude buyers without a dated purchase.")
        refuse(column < 0, f"{name} is negative", "Count from the first purchase.")
    refuse(x != np.round(x), "frequency is not a whole number", "It counts repeat purchases and is not a rate.")
    refuse(last > age, "recency is above age", "Both start at the first purchase; recency is not time since the last.")
    refuse((x > 0) & (last == 0), "recency is 0 with repeats", "Merge purchases of one day; the first is not a repeat.")
    refuse((x == 0) & (last > 0), "recency is above 0 without a repeat", "Recency is 0 until the second purchase.")
    return columns


def _checked_spend(frequency: object, mean_spend: object) -> np.ndarray:
    """Return frequency and mean spend as one array; ValueError names the first impossible row."""
    rows = _table(frequency, mean_spend)
    x, z = rows.T
    refuse(~(np.isfinite(x) & (x == np.round(x))), "frequency is not a whole number", "It counts purchases.")
    refuse(x < 1, "frequency is below 1", "Buyers without a repeat have no spend: fit those with frequency above 0.")
    refuse(~(np.isfinite(z) & (z > 0)), "mean_spend is missing or not above 0", "Exclude refunds and free orders.")
    return rows
