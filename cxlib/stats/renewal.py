"""Renewal under a contract: how many of a cohort are still here after 1, 2, 3 ... renewals, and what remains.

Survivors are counts of people after 0, 1, 2 ... renewals: a sequence (one cohort), or a row per cohort (a list of
lists, or a frame with cohorts down and renewals across), shorter or NaN where a cohort has not got that far.
``t`` and ``renewals`` are whole numbers, discount rates shares per renewal period. Where ``params`` can be given, an
array (..., p) such as ``draws`` returns takes the place of the fitted parameters and its leading axes lead.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from scipy import special

from cxlib.stats.checks import numbers, refuse
from cxlib.stats.likelihood import LikelihoodModel
from cxlib.stats.repeat_buying import purchases_until_gone


class RenewalModel(LikelihoodModel):
    """What renewal models share; a model adds ``_rows``, ``_log_survival`` and ``_residual_lifetime``."""

    advice = (
        "Usual causes: too few people or renewals, or a churn rate that does not fall with tenure, for which one constant "
        "rate is the better model. Pool cohorts or wait for another renewal."
    )

    def fit(self, survivors: object) -> Self:
        """Fit by maximum likelihood; each person counts once, for the renewal they left at or the last one seen.

        ``LikelihoodModel`` lists what the fit leaves behind. ValueError says which cohort is impossible, that nobody
        left, or that fewer than two renewals were seen.
        """
        rows, weights, _ = _leavers(_cohorts(survivors))
        lost = rows[:, 1] > 0
        if not (rows[weights > 0, 0] > 1).any():
            raise ValueError("nobody reached a second renewal, so two parameters cannot be estimated; wait for one.")
        if not weights[lost].sum() > 0:
            raise ValueError("nobody left, so there is no rate of leaving to estimate; pool cohorts or wait.")
        self._maximise(rows, weights)
        if (weights != np.round(weights)).any():
            self.message += (
                " Survivors are no whole numbers: if they are percentages, give people, or the errors are wrong."
            )
        return self

    def survival(self, t: object, params: np.ndarray | None = None) -> np.ndarray | float:
        """Give the share still here after ``t`` renewals, 1 at 0; scalars or arrays."""
        values, (t,) = self._aligned(params, _whole(t, "t", 0))
        return np.exp(self._log_survival(values, t))[()]

    def retention(self, t: object, params: np.ndarray | None = None) -> np.ndarray | float:
        """Give the share of those here before renewal ``t`` (1, 2 ...) who renew then; scalars or arrays."""
        values, (t,) = self._aligned(params, _whole(t, "t", 1))
        return np.exp(self._log_survival(values, t) - self._log_survival(values, t - 1))[()]

    def lifetime(self, discount_rate: object, params: np.ndarray | None = None) -> np.ndarray | float:
        """Give the discounted expected tenure of a new customer, in periods, the first payment now.

        It is the sum over t from 0 of survival(t) / (1 + rate)^t; infinite if it has no end. Times the margin per
        period it is the customer's value.
        """
        rate = _checked_rate(discount_rate)
        return (1 + np.asarray(self.residual_lifetime(0, rate, params)) / (1 + rate))[()]

    def residual_lifetime(
        self, renewals: object, discount_rate: object, params: np.ndarray | None = None
    ) -> np.ndarray | float:
        """Give the discounted expected residual tenure of someone who has renewed ``renewals`` times.

        The moment is just before they decide on the next renewal; that payment is not discounted. It is the sum over
        t from 0 of survival(renewals + 1 + t) / survival(renewals) / (1 + rate)^t; infinite if it has no end.
        """
        rate = _checked_rate(discount_rate)
        values, (renewals, rate) = self._aligned(params, _whole(renewals, "renewals", 0), rate)
        return self._residual_lifetime(values, renewals, rate)[()]

    def draws(self, fold_weights: np.ndarray, survivors: object, fold: object) -> np.ndarray:
        """Give the parameters under each resample, draws x p in the order of ``params``, without fitting again.

        ``fold_weights`` is draws x folds; ``survivors`` has a row per cohort and fold, which add up to what was
        fitted, ``fold`` is the fold of each row.
        """
        rows, weights, cohort = _leavers(_cohorts(survivors))
        return self._fold_draws(fold_weights, rows, weights, np.asarray(fold)[cohort])

    def _log_survival(self, params: list[np.ndarray], t: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _residual_lifetime(self, params: list[np.ndarray], renewals: np.ndarray, rate: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class ShiftedBetaGeometric(RenewalModel):
    """Everyone leaves with a constant chance of their own at each renewal; chances are spread as beta(alpha, beta).

    Retention rises with tenure because those likely to leave have left.

    Sources: Fader & Hardie (2007), How to project customer retention, J. Interactive Marketing 21(1); lifetimes:
    Fader & Hardie (2010), Customer-base valuation in a contractual setting, Marketing Science 29(1).
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
        return value, np.stack(gradient, axis=1) * params

    def _log_survival(self, params: list[np.ndarray], t: np.ndarray) -> np.ndarray:
        alpha, beta = params
        return special.betaln(alpha, beta + t) - special.betaln(alpha, beta)

    def _residual_lifetime(self, params: list[np.ndarray], renewals: np.ndarray, rate: np.ndarray) -> np.ndarray:
        alpha, beta = params
        retention = (beta + renewals) / (alpha + beta + renewals)
        undiscounted = np.where(alpha > 1, (beta + renewals) / np.where(alpha > 1, alpha - 1, 1), np.inf)
        # Discounting is the same as renewing until an end that comes with chance rate / (1 + rate) each period.
        ends = 1 / np.where(rate > 0, rate, 1)
        ahead = (1 + rate) * purchases_until_gone(1, ends, alpha, beta + renewals + 1)
        return np.where(rate == 0, undiscounted, retention * ahead)


def _cohorts(survivors: object) -> np.ndarray:
    """Give survivors as cohorts x renewals, NaN after the last seen; ValueError names an impossible cohort."""
    if isinstance(survivors, pd.DataFrame):
        table = survivors.to_numpy(dtype=float, na_value=np.nan)
    elif len(survivors) and all(np.ndim(part) == 1 for part in survivors):
        table = pd.DataFrame([list(part) for part in survivors]).to_numpy(dtype=float, na_value=np.nan)
    else:
        table = np.atleast_2d(numbers(survivors))
    if table.ndim != 2 or not table.size:
        raise ValueError(f"survivors have shape {table.shape}; give counts after 0, 1, 2 ... renewals.")
    seen = ~np.isnan(table)
    order = "Give people still here after 0, 1, 2 ... renewals, a row per cohort."
    refuse(~seen[:, 0] | (np.diff(seen.astype(int), axis=1) > 0).any(axis=1), "a count is missing", order)
    refuse((np.isinf(table) | (table < 0)).any(axis=1), "a count is negative or infinite", order)
    refuse((np.diff(table, axis=1) > 0).any(axis=1), "survivors increase", order + " Count joiners as a new cohort.")
    return table


def _leavers(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn survivors into rows (renewal, 1 if lost then or 0 if last seen then), counts, and the cohort of each."""
    cohort, column = np.nonzero(~np.isnan(table[:, 1:]))
    last = (~np.isnan(table)).sum(axis=1) - 1
    everyone = np.arange(len(table))
    rows = np.concatenate(
        [np.column_stack([column + 1, np.ones(len(column))]), np.column_stack([last, np.zeros(len(last))])]
    )
    counts = np.concatenate([-np.diff(table, axis=1)[cohort, column], table[everyone, last]])
    return rows, counts, np.concatenate([cohort, everyone])


def _whole(values: object, name: str, least: int) -> np.ndarray:
    values = numbers(values)
    bad = ~(np.isfinite(values) & (values >= least) & (values == np.round(values)))
    refuse(bad.ravel(), f"{name} is no whole number from {least} up", "Renewals are counted, not measured in time.")
    return values


def _checked_rate(rate: object) -> np.ndarray:
    rate = numbers(rate)
    bad = ~((rate >= 0) & (rate <= 1))
    refuse(bad.ravel(), "discount_rate is not between 0 and 1", "Give a share per period: 0.1 for 10 % a period.")
    return rate
