"""Models of repeat buying fitted to a company's purchases: as of today, and up to a cut and judged after it.

Everybody who bought counts, also those who bought once. Times are weeks. ``buying`` asks the questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import customer_base, people, purchases
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.page.findings import day, number, percent
from cxlib.page.resamples import resamples
from cxlib.page import valuation
from cxlib.stats import draws
from cxlib.stats.estimate import Estimate
from cxlib.stats.likelihood import LikelihoodModel
from cxlib.stats.repeat_buying import BetaGeoNBD, GammaGamma, ModifiedBetaGeoNBD, ParetoNBD, TimingModel

MODELS = {"BG/NBD": BetaGeoNBD, "MBG/NBD": ModifiedBetaGeoNBD, "Pareto/NBD": ParetoNBD}
PAST = ["frequency", "recency", "age"]
HISTORY_SHARE = 2 / 3  # of the history that models are fitted to, unless told otherwise
AT_LEAST_GAPS = 2  # median times between purchases that this must be long


def why_not(company: Company, minimum_repeat_buyers: int = 100, priced: bool = False) -> str | None:
    """Return why repeat buying cannot be told, None if it can; ``priced``: money is asked for."""
    if company.settings.relationship == "contractual":
        return (
            "orders under a contract are payments, and leaving is seen: the value of contracts tells what they bring."
        )
    if missing := people.require(company, "orders"):
        return f"{missing}."
    if priced and company.settings.money is None:
        return valuation.NO_MONEY
    several, on_days = purchases.repeat_buyers(company)
    if on_days >= (asked := _asked(company, minimum_repeat_buyers)):
        return None
    everybody = company.orders.customer_id.nunique().execute()
    return (
        f"{several:,} repeat buyers ({on_days:,} of them on different days) among {everybody:,} customers are too few to tell "
        f"how they buy again; {asked} are asked for."
    )


def _asked(company: Company, minimum_repeat_buyers: int) -> int:
    return max(minimum_repeat_buyers, company.settings.privacy.minimum_base)


# ---- fits and what they expect ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fits:
    """Models fitted to the purchases of one window, and how far the logs of their parameters move in each draw."""

    rows: pd.DataFrame  # as counted: PAST, spend, fold, n and what else was counted
    cells: pd.DataFrame  # buyers by PAST: n
    cell: np.ndarray  # of each row
    models: dict[str, TimingModel]
    moves: dict[str, np.ndarray]  # draws x parameters
    failed: dict[str, str]

    @property
    def past(self) -> list[np.ndarray]:
        """Frequency, recency and age of each cell."""
        return [self.cells[c].to_numpy(float) for c in PAST]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Add up a number of each row by cell."""
        return np.bincount(self.cell, weights=values, minlength=len(self.cells))

    def spread(self, name: str, what: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return what ``spread`` does for a model."""
        return spread(self.models[name], self.moves[name], what)


def fit(rows: pd.DataFrame, resampling: np.ndarray) -> Fits:
    """Fit every model; one that finds no maximum is told in ``failed``."""
    code = rows.groupby(PAST, sort=True).ngroup().to_numpy()
    cells = rows.groupby(PAST, sort=True, as_index=False)["n"].sum()
    models, moved, failed = {}, {}, {}
    for name, kind in MODELS.items():
        model = kind().fit(*(cells[c] for c in PAST), weights=cells["n"])
        if model.converged:
            models[name], moved[name] = model, moves(model, resampling, rows, PAST)
        else:
            failed[name] = model.message
    return Fits(rows, cells, code, models, moved, failed)


def moves(
    model: TimingModel | GammaGamma, resampling: np.ndarray, rows: pd.DataFrame, columns: list[str]
) -> np.ndarray:
    """Return how far the logs of a model's parameters move in each draw (draws x parameters), to first order.

    ``rows`` are those of the fit. A parameter that the data hardly determine moves far, and in draws of its own may run away
    altogether; what it is needed for - forecasts - hardly moves, and that is found from first-order moves alone.
    """
    per_fold = model.moves(resampling.shape[1], *(rows[c] for c in columns), rows["fold"], weights=rows["n"])
    return (resampling[1:] - 1) @ per_fold


def spread(model: LikelihoodModel, moved: np.ndarray, what: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return ``what(params)`` (k numbers, none negative) as fitted and in each draw, (1 + draws) x k.

    Its log is followed along its slopes in the logs of the parameters, so that it is worked out a few times only.
    """
    params, step = model.params.to_numpy(), 1e-4
    here, theta = np.asarray(what(params), dtype=float), np.log(params)
    sides = [what(np.exp(theta + one)) - what(np.exp(theta - one)) for one in np.eye(len(theta)) * step]
    with np.errstate(invalid="ignore", divide="ignore"):
        slopes = np.where(here > 0, np.array(sides) / (2 * step * here), 0.0)
    return np.vstack([here, here * np.exp(moved @ slopes)])


@lru_cache(maxsize=2)  # asked for by several questions of a page
def today(company: Company) -> Fits:
    """Return the models fitted to all purchases up to the as-of date."""
    return fit(purchases.purchases(company), resamples(company))


def active(fits: Fits, name: str) -> Estimate:
    """Estimate the share of the buyers whom a model takes for active at the end of the window."""
    n, model = fits.cells["n"].to_numpy(float), fits.models[name]
    share = fits.spread(name, lambda p: np.array([model.probability_alive(*fits.past, p) @ n / n.sum()]))[:, 0]
    return draws.estimate(share[0], share[1:], float(n.sum()), low=0, high=1)


# ---- the trial: fitted up to a cut, judged after it ------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """Models fitted up to ``cut`` and what they expected in the ``weeks`` after it, by row and in all."""

    cut: date
    weeks: float
    fits: Fits
    expected: dict[str, np.ndarray]  # purchases of one buyer of each row
    totals: dict[str, np.ndarray]  # of all, (1 + draws): parameters drawn, buyers as they are
    off: dict[str, np.ndarray]  # forecast / purchases made - 1, (1 + draws): both drawn

    @property
    def buyers(self) -> float:
        """Buyers known by the cut."""
        return float(self.fits.cells["n"].sum())

    @property
    def actual(self) -> int:
        """Purchases after the cut."""
        return int(self.fits.rows["purchases"].sum())

    def error(self, name: str) -> Estimate:
        """Return how far off a forecast was, as a share of the purchases made."""
        return draws.estimate(self.off[name][0], self.off[name][1:], self.buyers, low=-1)

    @property
    def closest(self) -> str:
        """The model with the smallest error."""
        return min(self.off, key=lambda k: abs(self.off[k][0]))

    @property
    def chosen(self) -> str:
        """The model that stands for all: BG/NBD, the simplest, unless the closest one was detectably closer."""
        first, gap = next(iter(self.off)), np.abs(self.off[next(iter(self.off))]) - np.abs(self.off[self.closest])
        return self.closest if draws.estimate(gap[0], gap[1:], self.buyers).low > 0 else first

    def words(self) -> str:
        """Say how the chosen model did."""
        e, total = self.error(self.chosen).value, self.totals[self.chosen][0]
        return (
            f"{self.chosen} expected {number(total, 0)} purchases in the {number(self.weeks, 0)} weeks after {day(self.cut)}, "
            f"{percent(abs(e))} {'above' if e > 0 else 'below'} the {self.actual:,} made"
        )


def _cut(company: Company, until: str) -> date:
    """Return the last day of the window that models are fitted to (InputError for one outside the history)."""
    first, end = customer_base.first_orders(company)[0], company.as_of
    if not until:
        return first + timedelta(days=math.ceil(HISTORY_SHARE * (end - first).days))
    try:
        cut = date.fromisoformat(until)
    except ValueError:
        cut = first
    if not first < cut < end:
        raise InputError(
            "is no day between the first order and the as-of date",
            value=until,
            remedy=f"Write until as a date between {first} and {end}, such as {_cut(company, '')}, or leave it empty.",
        )
    return cut


@lru_cache(maxsize=2)
def trial(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Trial | str:
    """Fit up to ``until`` and compare with what was bought later; a sentence where that cannot be done.

    Errors: InputError for a day outside the history.
    """
    if why := why_not(company, minimum_repeat_buyers):
        return why
    cut, first = _cut(company, until), customer_base.first_orders(company)[0]
    rows = purchases.held_out(company, cut)
    again = int(rows.loc[rows["frequency"] > 0, "n"].sum())
    window, words = (cut - first).days, f"The history is too short: the window up to {day(cut)}"
    if again < (asked := _asked(company, minimum_repeat_buyers)):
        return f"{words} has {again:,} repeat buyers; {asked} are asked for."
    gaps = customer_base.gaps(company)
    gaps = gaps[gaps["event"] == 1].groupby("duration")["n"].sum().cumsum()
    median = int((gaps >= gaps.iloc[-1] / 2).idxmax())
    if window < AT_LEAST_GAPS * median:
        return (
            f"{words} is {window} days long, less than twice the {median} days that half of all repeat purchases took."
        )
    actual = float(rows["purchases"].sum())
    if actual < asked:
        return f"only {actual:,.0f} purchases were made after {day(cut)}: too few to judge a forecast."
    resampling, weeks = resamples(company), (company.as_of - cut).days / 7
    fits = fit(rows, resampling)
    if not fits.models:
        return next(iter(fits.failed.values()))
    n, fold, expected, totals, off = fits.cells["n"].to_numpy(float), rows["fold"], {}, {}, {}
    made = resampling @ by_fold(fold, rows["purchases"], resampling)
    for name, model in fits.models.items():
        expected[name] = model.predict(weeks, *fits.past)[fits.cell]
        totals[name] = fits.spread(name, lambda p, m=model: np.array([m.predict(weeks, *fits.past, p) @ n]))[:, 0]
        sums = resampling @ by_fold(fold, expected[name] * rows["n"], resampling)
        with np.errstate(invalid="ignore", divide="ignore"):
            off[name] = sums / made * totals[name] / totals[name][0] - 1
    return Trial(cut, weeks, fits, expected, totals, off)


def by_fold(fold: np.ndarray, values: object, resampling: np.ndarray) -> np.ndarray:
    """Add up a number of each row by fold."""
    return np.bincount(fold, weights=np.asarray(values, dtype=float), minlength=resampling.shape[1])


# ---- money ------------------------------------------------------------------------------------------------------------


def spending(rows: pd.DataFrame) -> tuple[GammaGamma, pd.DataFrame]:
    """Fit spend per purchase to the buyers who came back and paid; also returns their rows.

    Where nobody did, the model is not converged and its message says so.
    """
    again = rows[(rows["frequency"] > 0) & (rows["spend"] > 0)]
    model = GammaGamma()
    if again.empty:
        model.message = "Nobody who came back paid anything."
        return model, again
    model.fit(again["frequency"], again["spend"], weights=again["n"])
    model.converged &= bool(model.params["q"] > 1)  # else the mean spend has no end; the message says so
    return model, again


def expected_spend(model: GammaGamma, rows: pd.DataFrame, params: np.ndarray | None = None) -> np.ndarray:
    """Return the spend per purchase expected of each row; of those who never came back, or never paid, that of all."""
    known = (rows["frequency"] > 0) & (rows["spend"] > 0)
    return model.predict(rows["frequency"].where(known, 0), rows["spend"].where(known, 0), params)


def ahead(
    company: Company, model: TimingModel, past: list[np.ndarray], params: np.ndarray | None = None, every: int = 1
) -> np.ndarray:
    """Return the purchases expected of each cell over the horizon, plain and discounted: 2 x cells.

    Discounted month by month, or ``every`` so many months at their mean factor, which is quicker.
    """
    factors = valuation.horizon_of(company)[1]
    discounted, so_far = np.zeros(len(past[0])), np.zeros(len(past[0]))
    for month in range(0, len(factors), every):
        stretch = factors[month : month + every]
        before, so_far = so_far, model.predict((month + len(stretch)) * DAYS_A_MONTH / 7, *past, params)
        discounted += stretch.mean() * (so_far - before)
    return np.array([so_far, discounted])


def headline(company: Company, until: str, minimum_repeat_buyers: int) -> tuple[str, Trial | str]:
    """Return the model of today's buyers that stands for all, as the trial has it, else BG/NBD; and the trial."""
    found, there = trial(company, until, minimum_repeat_buyers), today(company).models
    told = not isinstance(found, str) and found.chosen in there
    return found.chosen if told else next(iter(there)), found
