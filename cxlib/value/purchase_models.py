"""Models of repeat buying fitted to a company's purchases: as of today, and up to a cut with a check on later ones.

Everybody who bought counts, including those who bought once. Times are weeks. The questions are in ``buyers``; what a
new buyer is worth is in ``acquisition``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import customer_base, people, purchases
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import InputError, Unanswered
from cxlib.intake.company import Company
from cxlib.page import valuation
from cxlib.page.resamples import resamples
from cxlib.stats import draws, periods
from cxlib.stats.estimate import Estimate
from cxlib.stats.likelihood import LikelihoodModel
from cxlib.stats.periods import YEAR
from cxlib.stats.repeat_buying import BetaGeoNBD, GammaGamma, ModifiedBetaGeoNBD, ParetoNBD, TimingModel
from cxlib.stats.shrinkage import shrunken_shares

MODELS = {"BG/NBD": BetaGeoNBD, "MBG/NBD": ModifiedBetaGeoNBD, "Pareto/NBD": ParetoNBD}
PAST = ["frequency", "recency", "age"]
HISTORY_SHARE = 2 / 3  # of the history that models are fitted to by default
SURE = 0.05  # p value from which on the data do not show that buyers leave
LUCK = 64  # simulated futures of each history
MOST_MONTHS = 60  # in which differences between months are seen
AT_LEAST_GAPS = 2  # the window must be this many median times between purchases long


def require(company: Company, minimum_repeat_buyers: int = 100, priced: bool = False) -> None:
    """Raise Unanswered where repeat buying cannot be modelled; ``priced``: the question also needs the money block."""
    if company.settings.relationship == "contractual":
        raise Unanswered("payments-under-contract")
    people.require(company, "orders")
    if priced:
        valuation.money_of(company)
    (several, on_days), needed = purchases.repeat_buyers(company), _needed(company, minimum_repeat_buyers)
    if on_days < needed:
        everybody = company.orders.customer_id.nunique().execute()
        raise Unanswered("few-repeat-buyers", on_days=on_days, several=several, customers=int(everybody), needed=needed)


def _needed(company: Company, minimum_repeat_buyers: int) -> int:
    return max(minimum_repeat_buyers, company.settings.privacy.minimum_base)


# ---- fits and what they expect ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fits:
    """Models fitted to the purchases of one window, and how far the logs of their parameters move in each draw.

    Left out of ``models`` are those ``failed``, without a maximum of the likelihood, and those ``undecided``, which fit
    no better than if nobody ever left.
    """

    rows: pd.DataFrame  # as counted: PAST, kept, spend, fold, n and what else was counted
    cells: pd.DataFrame  # buyers by PAST: n
    cell: np.ndarray  # of each row
    models: dict[str, TimingModel]
    moves: dict[str, np.ndarray]  # draws x parameters
    failed: tuple[str, ...]
    undecided: tuple[str, ...] = ()
    season: np.ndarray = field(default_factory=lambda: np.zeros(YEAR))  # logs of the next twelve months

    @property
    def past(self) -> list[np.ndarray]:
        """Frequency, recency and age of each cell."""
        return [self.cells[c].to_numpy(float) for c in PAST]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Add up a number of each row by cell."""
        return np.bincount(self.cell, weights=values, minlength=len(self.cells))

    def spread(self, name: str, what: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return ``what(params)`` of a model as fitted and in each draw: see ``spread`` below."""
        return spread(self.models[name], self.moves[name], what)

    @property
    def loose(self) -> dict[str, list[str]]:
        """By model, the parameters that the data hardly determine."""
        return {name: found for name, model in self.models.items() if (found := loose(model))}

    def clock(self, weeks: np.ndarray | float) -> np.ndarray:
        """Return weeks from the end of the window (before it: below 0) as weeks of an average month.

        Buyers buy at the same rate by this clock in every month. Without a season it is the calendar.
        """
        months = np.arange(-100 * YEAR, 100 * YEAR)
        rate = np.exp(self.season) / np.exp(self.season).mean()
        so_far = np.r_[0, np.cumsum(rate[months % YEAR])]
        ends = np.r_[months, 100 * YEAR] * DAYS_A_MONTH / 7
        return np.interp(weeks, ends, (so_far - so_far[100 * YEAR]) * DAYS_A_MONTH / 7)

    def require_models(self) -> None:
        """Raise Unanswered where no model could be fitted."""
        if not self.models and self.undecided:
            raise Unanswered("leaving-not-seen", models=list(self.undecided), failed=list(self.failed))
        if not self.models:
            raise Unanswered("no-buying-model", models=list(self.failed))

    @property
    def excluded(self) -> dict[str, list[str]]:
        """Return the models that are left out, by reason: facts for the words."""
        return {"failed": list(self.failed), "undecided": list(self.undecided)}


def loose(model: LikelihoodModel) -> list[str]:
    """Return the parameters of a fitted model whose standard error exceeds their value."""
    return [name for name in model.names if model.standard_errors[name] > model.params[name]]


def fit(rows: pd.DataFrame, resampling: np.ndarray) -> Fits:
    """Fit every model to rows of PAST, fold and n; ``resampling`` is (1 + draws) x folds."""
    code = rows.groupby(PAST, sort=True).ngroup().to_numpy()
    cells = rows.groupby(PAST, sort=True, as_index=False)["n"].sum()
    models, moved, failed, undecided = {}, {}, [], []
    for name, kind in MODELS.items():
        counted = {"weights": cells["n"]} | {c: cells[c] for c in PAST}
        model = kind().fit(**counted)
        if model.p_all_stay(**counted) >= SURE:
            undecided.append(name)
        elif model.converged:
            models[name], moved[name] = model, moves(model, resampling, rows, PAST)
        else:
            failed.append(name)
    return Fits(rows, cells, code, models, moved, tuple(failed), tuple(undecided))


def moves(
    model: TimingModel | GammaGamma, resampling: np.ndarray, rows: pd.DataFrame, columns: list[str]
) -> np.ndarray:
    """Return how far the logs of a model's parameters move in each draw (draws x parameters), to first order.

    ``rows`` are those of the fit. A parameter that the data hardly determine could diverge if each draw were fitted
    anew. Forecasts hardly depend on it, and first-order moves are enough for them.
    """
    counted = (rows[c].to_numpy(float) for c in ("n", "fold"))
    return (resampling[1:] - 1) @ model.moves(resampling.shape[1], rows[columns].to_numpy(float), *counted)


def spread(model: LikelihoodModel, moved: np.ndarray, what: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return ``what(params)`` (k numbers, none negative) as fitted and in each draw, (1 + draws) x k.

    Its log is extrapolated along its slopes in the logs of the parameters, so that it is calculated only a few times.
    """
    params, step = model.params.to_numpy(), 1e-4
    here, theta = np.asarray(what(params), dtype=float), np.log(params)
    sides = [what(np.exp(theta + one)) - what(np.exp(theta - one)) for one in np.eye(len(theta)) * step]
    with np.errstate(invalid="ignore", divide="ignore"):
        slopes = np.where(here > 0, np.array(sides) / (2 * step * here), 0.0)
    return np.vstack([here, here * np.exp(moved @ slopes)])


@lru_cache(maxsize=2)  # several questions of a page need it
def today(company: Company) -> Fits:
    """Return the models fitted to all purchases up to the as-of date, in the clock of ``Fits`` where there is a season.

    Then recency and age of its rows are in that clock too.
    """
    fits, season = _by_calendar(company), months_differ(company).season
    if not season.any():
        return fits
    clock = replace(fits, season=season)
    return replace(fit(in_season(clock, fits.rows), resamples(company)), season=season)


@lru_cache(maxsize=2)
def _by_calendar(company: Company) -> Fits:
    return fit(purchases.purchases(company), resamples(company))


def in_season(fits: Fits, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as counted with recency and age in the clock of ``fits``."""
    if not fits.season.any():
        return rows
    first = fits.clock(-rows["age"].to_numpy())
    last = fits.clock((rows["recency"] - rows["age"]).to_numpy())
    return rows.assign(recency=last - first, age=-first)


@lru_cache(maxsize=2)
def months_differ(company: Company) -> periods.Periods:
    """Return how far the months so far differed in repeat purchases, against those that a model expects in all."""
    fits = _by_calendar(company)
    fits.require_models()
    model = max(fits.models.values(), key=lambda m: m.log_likelihood)
    made = purchases.by_day(company, company.as_of)
    ago = (pd.Timestamp(company.as_of) - made["day"]).dt.days.to_numpy()
    seen = min(MOST_MONTHS, math.ceil(ago.max() / DAYS_A_MONTH))
    ends = np.arange(seen, -1, -1) * DAYS_A_MONTH
    new = made["first"].to_numpy() > 0
    since = np.fmax(ago[new] - ends[:, None], 0) / 7
    each, code = np.unique(since, return_inverse=True)
    expected = np.diff(model.expected_purchases(each)[code.reshape(since.shape)] @ made["first"].to_numpy()[new])
    month = seen - 1 - np.floor(ago / DAYS_A_MONTH).astype(int)
    repeats = np.bincount(month[month >= 0], made["repeats"].to_numpy()[month >= 0], seen)
    return periods.fit(repeats, expected)


def active(fits: Fits, name: str) -> Estimate:
    """Estimate the share of buyers still active at the end of the window, according to a model."""
    n, model = fits.cells["n"].to_numpy(float), fits.models[name]
    share = fits.spread(name, lambda p: np.array([model.probability_alive(*fits.past, p) @ n / n.sum()]))[:, 0]
    return draws.estimate(share[0], share[1:], float(n.sum()), low=0, high=1)


# ---- the trial: fitted up to a cut, checked after it -----------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """Models fitted up to ``cut`` and the purchases they expected in the ``weeks`` after it, by row and in total."""

    cut: date
    weeks: float
    fits: Fits
    expected: dict[str, np.ndarray]  # purchases of one buyer of each row
    totals: dict[str, np.ndarray]  # of all buyers, (1 + draws): only the parameters are drawn
    off: dict[str, np.ndarray]  # forecast / actual purchases - 1, (1 + draws): both drawn
    scores: dict[str, np.ndarray]  # log density of the purchases after the cut, given those before, (1 + draws)

    @property
    def buyers(self) -> float:
        """Buyers known by the cut."""
        return float(self.fits.cells["n"].sum())

    @property
    def actual(self) -> int:
        """Purchases after the cut."""
        return int(self.fits.rows["purchases"].sum())

    def error(self, name: str) -> Estimate:
        """Return the error of a forecast as a share of the actual purchases."""
        return draws.estimate(self.off[name][0], self.off[name][1:], self.buyers, low=-1)

    @property
    def chosen(self) -> str:
        """The model with the best log score on the purchases after the cut."""
        return max(self.scores, key=lambda k: self.scores[k][0])


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
            "until is not a day between the first order and the as-of date",
            value=until,
            remedy=f"Set until to a date between {first} and {end}, such as {_cut(company, '')}, or leave it empty.",
        )
    return cut


@lru_cache(maxsize=2)  # several questions of a page need it
def trial(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Trial:
    """Fit up to ``until`` and compare with later purchases.

    Errors: Unanswered where the history is too short for that; InputError for a day outside the history.
    """
    require(company, minimum_repeat_buyers)
    cut, needed = _cut(company, until), _needed(company, minimum_repeat_buyers)
    rows = _known_by(company, cut)
    again = int(rows.loc[rows["frequency"] > 0, "n"].sum())
    if again < needed:
        raise Unanswered("few-repeat-buyers-by-cut", again=again, cut=cut, needed=needed)
    window, median = (cut - customer_base.first_orders(company)[0]).days, _median_gap(company)
    if window < AT_LEAST_GAPS * median:
        raise Unanswered("short-history", window=window, cut=cut, median=median)
    actual = float(rows["purchases"].sum())
    if actual < needed:
        raise Unanswered("few-later-purchases", actual=actual, cut=cut)
    resampling, weeks = resamples(company), (company.as_of - cut).days / 7
    fits = fit(rows, resampling)
    fits.require_models()
    n, fold, expected, totals, off = fits.cells["n"].to_numpy(float), rows["fold"], {}, {}, {}
    later, scores = _by_calendar(company).rows, {}
    later = later[later["age"] >= (round(weeks) if rows["age"].eq(rows["age"].round()).all() else weeks) - 1e-9]
    made = draws.summed(resampling, fold, rows["purchases"])
    for name, model in fits.models.items():
        expected[name] = model.predict(weeks, *fits.past)[fits.cell]
        totals[name] = fits.spread(name, lambda p, m=model: np.array([m.predict(weeks, *fits.past, p) @ n]))[:, 0]
        sums = draws.summed(resampling, fold, expected[name] * rows["n"])
        with np.errstate(invalid="ignore", divide="ignore"):
            off[name] = sums / made * totals[name] / totals[name][0] - 1
        known, all_of = (
            draws.summed(resampling, r["fold"], r["n"] * model.log_density(*(r[c] for c in PAST)))
            for r in (rows, later)
        )
        scores[name] = all_of - known
    return Trial(cut, weeks, fits, expected, totals, off, scores)


@lru_cache(maxsize=2)
def _known_by(company: Company, cut: date) -> pd.DataFrame:
    return purchases.held_out(company, cut)


@lru_cache(maxsize=2)
def _median_gap(company: Company) -> int:
    """Return the days within which half of all repeat purchases followed the one before."""
    gaps = customer_base.gaps(company)
    so_far = gaps[gaps["event"] == 1].groupby("duration")["n"].sum().cumsum()
    return int((so_far >= so_far.iloc[-1] / 2).idxmax())


# ---- money -----------------------------------------------------------------------------------------------------------


def spending(rows: pd.DataFrame) -> tuple[GammaGamma, pd.DataFrame]:
    """Fit the money that a purchase leaves to the buyers who came back and kept something; also returns their rows.

    The model is not converged where nobody did, or where no mean spend exists: see ``require_spend``.
    """
    again = rows[rows["kept"] > 0]
    model = GammaGamma()
    if again.empty:
        return model, again
    model.fit(again["kept"], again["spend"], weights=again["n"])
    model.converged &= bool(model.params["q"] > 1)  # else the mean spend is infinite
    return model, again


def require_spend(model: GammaGamma) -> None:
    """Raise Unanswered where a model of ``spending`` gives no spend per purchase."""
    if not model.converged:
        raise Unanswered("no-spend-model")


def kept_shares(rows: pd.DataFrame, resampling: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of purchases expected to leave money after refunds: the kind of each row, draws x kinds."""
    groups = rows.groupby(["frequency", "kept"], sort=True)
    code, kinds = groups.ngroup().to_numpy(), pd.DataFrame(list(groups.groups), columns=["frequency", "kept"])
    counts = draws.summed(resampling, rows["fold"], rows["n"], (code,), (len(kinds),))
    return code, shrunken_shares(kinds["kept"], kinds["frequency"], counts)


def expected_spend(model: GammaGamma, rows: pd.DataFrame, params: np.ndarray | None = None) -> np.ndarray:
    """Return the expected money of a purchase that leaves some; the overall mean for those who kept nothing later."""
    return model.predict(rows["kept"], rows["spend"].where(rows["kept"] > 0, 0), params)


def unrefunded(company: Company) -> np.ndarray:
    """Return what is left of money (1 + draws) after refunds that follow no purchase on record, in proportion."""
    paid = purchases.money(company)
    weights, loose = resamples(company), paid["unlinked"]
    sums = (draws.summed(weights, paid["fold"], v) for v in (loose, paid["paid"] - paid["refunded"] + loose))
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - np.clip(np.divide(*sums), 0, 1)


def by_month(
    fits: Fits, model: TimingModel, months: int, params: np.ndarray | None = None, every: int = 1
) -> np.ndarray:
    """Return the purchases expected of each cell in the next months, or in ``every`` so many: stretches x cells."""
    ends = np.fmin(np.arange(0, months + every, every), months)
    so_far = [model.predict(t, *fits.past, params) for t in fits.clock(ends[1:] * DAYS_A_MONTH / 7)]
    return np.diff(so_far, axis=0, prepend=0)


def ahead(
    company: Company, fits: Fits, model: TimingModel, params: np.ndarray | None = None, every: int = 1
) -> np.ndarray:
    """Return the purchases expected of each cell over the horizon, undiscounted and discounted: 2 x cells.

    Discounted month by month, or ``every`` so many months at their mean factor, which is quicker.
    """
    factors = valuation.horizon_of(company)[1]
    bought = by_month(fits, model, len(factors), params, every)
    mean = [factors[k : k + every].mean() for k in range(0, len(factors), every)]
    return np.array([bought.sum(axis=0), mean @ bought])


def luck(
    fits: Fits, model: TimingModel, spends: GammaGamma, months: int, kept: np.ndarray, seed: int
) -> tuple[float, float]:
    """Return the variance of what all buyers will buy over the months, and pay, by luck alone.

    ``kept``: the share of purchases of each row that leave money.
    """
    rows, n = fits.rows, fits.rows["n"].to_numpy(float)
    t = float(fits.clock(months * DAYS_A_MONTH / 7))
    made = model.simulate(np.random.default_rng(seed), LUCK, t, *fits.past)
    mean, pairs = made.mean(axis=0), (made * (made - 1.0)).mean(axis=0)
    variance = pairs + mean - mean**2
    squares, of_means = spends.square(rows["kept"], rows["spend"].where(rows["kept"] > 0, 0))
    m, p = mean[fits.cell] * kept, pairs[fits.cell] * kept**2
    money = m * squares + p * of_means - (m * expected_spend(spends, rows)) ** 2
    return float(fits.cells["n"] @ variance), float(n @ money)


@dataclass(frozen=True)
class Picks:
    """The models that a forecast is drawn from: ``drawn`` names one for each draw, ``trial`` is what they come from."""

    drawn: np.ndarray
    trial: Trial | None

    @property
    def weights(self) -> dict[str, float]:
        """Return the share of draws of each model, the largest first."""
        names, many = np.unique(self.drawn, return_counts=True)
        return {str(names[i]): float(many[i] / many.sum()) for i in np.argsort(-many, kind="stable")}

    def mixed(self, by_model: dict[str, np.ndarray]) -> np.ndarray:
        """Return the mean by weight as row 0, and in each draw the result of its model: (1 + draws) x k."""
        rows = [by_model[name][1 + i] for i, name in enumerate(self.drawn)]
        return np.vstack([sum(w * by_model[k][0] for k, w in self.weights.items()), *rows])


def picks(company: Company, until: str, minimum_repeat_buyers: int) -> Picks:
    """Return which model each draw takes: that with the best log score in it on the purchases after the cut.

    Where there is no trial: the best fit so far. Not taken are models whose parameters the data hardly determine, if
    another is there. Unanswered where no model could be fitted. Source: Yao, Vehtari, Simpson & Gelman 2018, Using
    stacking to average Bayesian predictive distributions, Bayesian Analysis 13 (pseudo-BMA with the bootstrap).
    """
    fits, found = today(company), None
    fits.require_models()
    with suppress(Unanswered):
        found = trial(company, until, minimum_repeat_buyers)
    firm = [k for k in fits.models if k not in fits.loose] or list(fits.models)
    both = [k for k in firm if found and k in found.scores]
    if both:
        scores = [found.scores[k] for k in both]
    else:
        found, both, rows = None, firm, fits.rows
        each = (rows["n"] * fits.models[k].log_density(*(rows[c] for c in PAST)) for k in both)
        scores = [draws.summed(resamples(company), rows["fold"], v) for v in each]
    return Picks(np.array(both)[np.argmax(scores, axis=0)[1:]], found)
