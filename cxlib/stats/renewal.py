"""Renewal under a contract: how many of a cohort are retained after 1, 2, 3 ... renewals, and their residual lifetime.

Survivors are counts of people after 0, 1, 2 ... renewals: a sequence (one cohort), or a row per cohort (a list of
lists, or a frame of cohorts x renewals), shorter or NaN for renewals that are still ahead. ``t`` and ``renewals`` are
whole numbers; discount rates are shares per renewal period. ``params``, an array (..., p), replaces the fitted
parameters, for example with draws; its leading axes come first in the result.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Self

import numpy as np
import pandas as pd
from scipy import special

from cxlib.stats.checks import numbers, refuse
from cxlib.stats.hypergeometric import log_rising, log_rising_slope, purchases_until_gone
from cxlib.stats.likelihood import LikelihoodModel


class RenewalModel(LikelihoodModel):
    """What renewal models share; a model adds ``_rows``, ``_log_survival`` and ``_residual_lifetime``."""

    advice = (
        "Usual causes: too few people or renewals, or a churn rate that does not fall with tenure, for which one "
        "constant rate is the better model. Pool cohorts or wait for another renewal."
    )

    def fit(self, survivors: object) -> Self:
        """Fit by maximum likelihood and return self; each person counts once, at the renewal of leaving or last seen.

        ``LikelihoodModel`` lists the results. ValueError says which cohort is impossible, that nobody left, or that
        there are too few renewals.

        Example: ``ShiftedBetaGeometric().fit([1000, 631, 468, 382, 326]).survival(12)``.
        """
        rows, weights = _leavers(_cohorts(survivors))
        lost = rows[:, 1] > 0
        if not (rows[weights > 0, 0] >= len(self.names)).any():
            which, how_many = {2: ("second", "two"), 3: ("third", "three")}[len(self.names)]
            raise ValueError(
                f"nobody reached a {which} renewal, so {how_many} parameters cannot be estimated; wait for one."
            )
        if not weights[lost].sum() > 0:
            raise ValueError("nobody left, so there is no churn rate to estimate; pool cohorts or wait.")
        self._maximise(rows, weights)
        if (weights != np.round(weights)).any():
            self.message += (
                " Survivors are not whole numbers: if they are percentages, give people, or the errors are wrong."
            )
        return self

    def survival(self, t: object, params: np.ndarray | None = None) -> np.ndarray | float:
        """Return the share retained after ``t`` renewals, 1 at 0; scalars or arrays."""
        values, (t,) = self._aligned(params, _whole(t, "t", 0))
        return np.exp(self._log_survival(values, t))[()]

    def retention(self, t: object, params: np.ndarray | None = None) -> np.ndarray | float:
        """Return the share of those present before renewal ``t`` (1, 2 ...) who renew then; scalars or arrays."""
        values, (t,) = self._aligned(params, _whole(t, "t", 1))
        return np.exp(self._log_survival(values, t) - self._log_survival(values, t - 1))[()]

    def lifetime(self, discount_rate: object, params: np.ndarray | None = None) -> np.ndarray | float:
        """Return the discounted expected tenure of a new customer, in periods, with the first payment now.

        It is the sum over t from 0 of survival(t) / (1 + rate)^t, possibly infinite. Times the margin per period it is
        the customer's lifetime value.
        """
        rate = _checked_rate(discount_rate)
        return (1 + np.asarray(self.residual_lifetime(0, rate, params)) / (1 + rate))[()]

    def residual_lifetime(
        self, renewals: object, discount_rate: object, params: np.ndarray | None = None
    ) -> np.ndarray | float:
        """Return the discounted expected residual tenure of a customer who has renewed ``renewals`` times.

        It is taken just before the next renewal, whose payment is not discounted: the sum over t from 0 of
        survival(renewals + 1 + t) / survival(renewals) / (1 + rate)^t, possibly infinite.
        """
        rate = _checked_rate(discount_rate)
        values, (renewals, rate) = self._aligned(params, _whole(renewals, "renewals", 0), rate)
        return self._residual_lifetime(values, renewals, rate)[()]


class ShiftedBetaGeometric(RenewalModel):
    """Each customer leaves with an individual constant probability at each renewal; these are beta(alpha, beta).

    Retention rises with tenure because customers likely to leave have left.

    Sources: Fader & Hardie 2007, How to project customer retention, J. Interactive Marketing 21(1); lifetimes: Fader &
    Hardie 2010, Customer-base valuation in a contractual setting, Marketing Science 29(1).
    """

    names = ("alpha", "beta")
    starts = ((1, 1), (1, 10), (0.2, 0.2), (10, 100))

    def _rows(self, params: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        alpha, beta = params
        renewal, lost = rows.T
        stayed = renewal - lost
        value = special.betaln(alpha + lost, beta + stayed) - special.betaln(alpha, beta)
        both = special.digamma(alpha + beta) - special.digamma(alpha + beta + renewal)
        gradient = (
            both + special.digamma(alpha + lost) - special.digamma(alpha),
            both + special.digamma(beta + stayed) - special.digamma(beta),
        )
        return value, (np.stack(gradient) * params[:, None]).T

    def _log_survival(self, params: list[np.ndarray], t: np.ndarray) -> np.ndarray:
        alpha, beta = params
        return special.betaln(alpha, beta + t) - special.betaln(alpha, beta)

    def _residual_lifetime(self, params: list[np.ndarray], renewals: np.ndarray, rate: np.ndarray) -> np.ndarray:
        alpha, beta = params
        retention = (beta + renewals) / (alpha + beta + renewals)
        undiscounted = np.where(alpha > 1, (beta + renewals) / np.where(alpha > 1, alpha - 1, 1), np.inf)
        # Discounting equals renewing until an end that comes with probability rate / (1 + rate) each period.
        ends = 1 / np.where(rate > 0, rate, 1)
        ahead = (1 + rate) * purchases_until_gone(1, ends, alpha, beta + renewals + 1)
        return np.where(rate == 0, undiscounted, retention * ahead)


class BetaDiscreteWeibull(RenewalModel):
    """The shifted beta-geometric with duration dependence: survival(t) = B(alpha, beta + t^c) / B(alpha, beta).

    With c above 1 each customer becomes more likely to leave over time, with c below 1 less likely; c = 1 is the
    shifted beta-geometric. Retention may rise because likely leavers have left or because customers settle in. Only
    the shape of the curve separates the two, so several cohorts or many renewals are needed.

    Source: Fader, Hardie, Liu, Davin & Steenburgh 2018, "How to project customer retention" revisited: the role of
    duration dependence, J. Interactive Marketing 43.
    """

    names = ("alpha", "beta", "c")
    starts = ((1, 3, 1), (0.3, 2, 1.5), (3, 10, 0.7))
    try_all = True
    reach = (math.log(10_000), math.log(10_000), math.log(20))
    advice = (
        "Usual causes: too few people or renewals for three parameters, or people whose churn probabilities hardly "
        "differ. Pool cohorts, wait for another renewal, or fit the shifted beta-geometric, which has two."
    )

    def _rows(self, params: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        alpha, beta, c = params
        renewal, lost = rows.T
        before, before_slopes = self._survival_slopes(alpha, beta, c, renewal - lost)
        after, after_slopes = self._survival_slopes(alpha, beta, c, renewal)
        fall = np.where(lost > 0, np.maximum(before - after, 1e-300), 1)
        odds = np.where(lost > 0, 1 / np.expm1(np.minimum(fall, 700)), 0)
        value = before + np.where(lost > 0, np.log(-np.expm1(-fall)), 0)
        return value, before_slopes + odds[:, None] * (before_slopes - after_slopes)

    def _log_survival(self, params: list[np.ndarray], t: np.ndarray) -> np.ndarray:
        alpha, beta, c = params
        return log_rising(beta, alpha) - log_rising(beta + t**c, alpha)

    def _residual_lifetime(self, params: list[np.ndarray], renewals: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """Add up 64 terms, then blocks that double in length, each by a Gauss rule for sums, until the rest is known.

        With discounting the rest is below a geometric series. Without, survival falls as a power of tenure, alpha x c,
        so the rest is an integral; it is infinite if that power is 1 or less.
        """
        alpha, beta, c = params
        power, discount = alpha * c, np.log1p(rate)
        here = self._log_survival(params, renewals)

        def coming(t: np.ndarray | float) -> np.ndarray:
            return np.exp(self._log_survival(params, renewals + 1 + t) - here - discount * t)

        axes = (1,) * np.ndim(coming(0.0))
        total = coming(np.arange(64.0).reshape(-1, *axes)).sum(axis=0)
        endless = (rate == 0) & (power <= 1) & np.isfinite(total)
        going, length = np.isfinite(total) & ~endless, 64.0
        while going.any() and length < 2.0**1000:
            at, share = _gauss_sum(length)
            with np.errstate(over="ignore", invalid="ignore"):  # only where the sum is finished
                block = np.tensordot(share, coming(length + at.reshape(-1, *axes)), axes=1)
                total, length = np.where(going, total + block, total), 2 * length
                end, ahead = renewals + 1 + length, coming(length)
                tail = ahead * end / np.where(power > 1, power - 1, 1)
                rest = np.where(
                    rate > 0, ahead / np.where(rate > 0, -np.expm1(-discount), 1), np.fmax(tail, ahead * end)
                )
                known = (rate == 0) & (alpha * (alpha + beta) < 1e-12 * end**c)
            done = going & (known | (rest <= 1e-13 * total))
            total = np.where(done & (rate == 0), total + tail, total)
            going &= ~done
        return np.where(endless, np.inf, total)

    @staticmethod
    def _survival_slopes(alpha: float, beta: float, c: float, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log of survival and its gradient in the logs of the parameters."""
        age = t**c
        by_age = -log_rising_slope(beta + age, alpha)
        by_alpha = -log_rising_slope(alpha + beta, age)
        by_beta = by_age + log_rising_slope(beta, alpha)
        slopes = np.column_stack([alpha * by_alpha, beta * by_beta, c * age * np.log(np.fmax(t, 1)) * by_age])
        return log_rising(beta, alpha) - log_rising(beta + age, alpha), slopes


def _cohorts(survivors: object) -> np.ndarray:
    """Return survivors as cohorts x renewals, NaN after the last one seen; ValueError names an impossible cohort."""
    if isinstance(survivors, pd.DataFrame):
        table = survivors.to_numpy(dtype=float, na_value=np.nan)
    elif len(survivors) and all(np.ndim(part) == 1 for part in survivors):
        table = pd.DataFrame([list(part) for part in survivors]).to_numpy(dtype=float, na_value=np.nan)
    else:
        table = np.atleast_2d(numbers(survivors))
    if table.ndim != 2 or not table.size:
        raise ValueError(f"survivors have shape {table.shape}; give counts after 0, 1, 2 ... renewals.")
    seen = ~np.isnan(table)
    order = "Give the people retained after 0, 1, 2 ... renewals, a row per cohort."
    refuse(~seen[:, 0] | (np.diff(seen.astype(int), axis=1) > 0).any(axis=1), "a count is missing", order)
    refuse((np.isinf(table) | (table < 0)).any(axis=1), "a count is negative or infinite", order)
    refuse((np.diff(table, axis=1) > 0).any(axis=1), "survivors increase", order + " Count joiners as a new cohort.")
    return table


def _leavers(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn survivors into rows (renewal, 1 if lost then or 0 if last seen then) and counts."""
    cohort, column = np.nonzero(~np.isnan(table[:, 1:]))
    last = (~np.isnan(table)).sum(axis=1) - 1
    rows = np.concatenate(
        [np.column_stack([column + 1, np.ones(len(column))]), np.column_stack([last, np.zeros(len(last))])]
    )
    return rows, np.concatenate([-np.diff(table, axis=1)[cohort, column], table[np.arange(len(table)), last]])


@cache
def _gauss_sum(length: float, nodes: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return points and weights that sum polynomials below degree 2 x nodes over 0, 1 ... length - 1 exactly.

    Golub & Welsch 1969 for the discrete Chebyshev polynomials; long sums become Gauss-Legendre integrals.
    """
    k = np.arange(1, nodes)
    beside = np.sqrt(k**2 * (1 - (k / length) ** 2) / (4 * (4 * k**2 - 1)))
    values, vectors = np.linalg.eigh(np.diag(beside, 1) + np.diag(beside, -1))
    return (length - 1) / 2 + length * values, length * vectors[0] ** 2


def _whole(values: object, name: str, least: int) -> np.ndarray:
    values = numbers(values)
    bad = ~(np.isfinite(values) & (values >= least) & (values == np.round(values)))
    refuse(bad.ravel(), f"{name} is not a whole number from {least} up", "Renewals are counted, not measured in time.")
    return values


def _checked_rate(rate: object) -> np.ndarray:
    rate = numbers(rate)
    bad = ~((rate >= 0) & (rate <= 1))
    refuse(bad.ravel(), "discount_rate is not between 0 and 1", "Give a share per period: 0.1 for 10 % a period.")
    return rate
