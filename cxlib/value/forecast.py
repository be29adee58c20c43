"""04_value: what will today's contracts bring? Survival by tenure and by what is known today, times what customers pay.

The chance of leaving within a month is a logistic regression on counted customer-months, a baseline of its own for each
level of the first segment and stage of tenure (Allison 1982, Sociological Methodology 13:61). What moves (an answer, cases)
tells less the older it is, so there is a fit for each distance between knowing and leaving, and no forecast has to pretend
that today's answer stays: direct forecasts at several distances (van Houwelingen 2007, Scand. J. Statist. 34:70).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import special

from cxlib.counts import answers, contract_base, people, snapshots
from cxlib.counts import customer_base as customers
from cxlib.counts.contract_base import AGE, QUARTER
from cxlib.counts.people import DAYS_A_MONTH, STAGE
from cxlib.intake.company import Company
from cxlib.page import prediction
from cxlib.page.findings import Figure, Finding, day, interval, listing, money, number, percent, table, unanswered
from cxlib.page.prediction import FEWEST, LEAST_LEFT, OTHERS
from cxlib.page.resamples import resamples
from cxlib.stats import disclosure, draws, logistic, scoring
from cxlib.stats.estimate import Estimate
from cxlib.page.valuation import horizon_of, share_kept

DRAWS = 400  # of the model's parameters
SOON = 6  # months (182 days) within which leaving is called the risk
WINDOW = 24  # months of leaving the model is fitted to
BASELINE, ALL = "baseline", "all"

# What the tables of the page show, by the heading a reader sees.
BASE = {
    "cut": "By",
    "level": "Level",
    "n": "Customers",
    "value": "Value",
    "low": "Low",
    "high": "High",
    "per_customer": "Each",
    "stay": "Still here at the end",
}


@dataclass(frozen=True, eq=False)
class Model:
    """Chances of leaving within a month, from what was known ``lag`` months before the quarter of that month."""

    lag: int
    fitted: logistic.Logistic
    stratum: str

    def design(self, cells: pd.DataFrame, stage: np.ndarray) -> np.ndarray:
        """Give the columns of the regression for customers in these stages; an unknown level stands with the others, or most."""
        cells = cells.assign(**{BASELINE: _baseline(cells, self.stratum, stage)})
        for name, levels in self.fitted.levels.items():
            stand_in = OTHERS if OTHERS in levels else levels[0]
            cells[name] = cells[name].astype(object).where(cells[name].isin(levels), stand_in)
        return self.fitted.design(cells)


@dataclass(frozen=True, eq=False)
class Outlook:
    """What is expected of kinds of customers: ``cells``, a row per kind (AGE and what is known of them), n and fee.

    paid: payments of 1 a month, in today's money, expected over the horizon; stay: still here at its end (both draws x cells,
    the first row as fitted). whole: what they would pay if they stayed. risk: leaving within SOON months (cells).
    """

    keys: tuple[str, ...]
    cells: pd.DataFrame
    paid: np.ndarray
    stay: np.ndarray
    risk: np.ndarray
    whole: float

    def place(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the position among ``cells`` of each row of a count table of the same customers."""
        keys = list(self.keys)
        index = pd.MultiIndex.from_frame(self.cells[keys].astype(object))
        return index.get_indexer(pd.MultiIndex.from_frame(rows[keys].astype(object)))


def why_not(company: Company) -> str | None:
    """Return why a contract base cannot be forecast, None if it can."""
    if company.settings.relationship != "contractual":
        return "without contracts nobody is seen to leave; see what today's customers are expected to buy."
    if company.settings.money is None:
        return NO_MONEY
    missing = people.require(company, "customers", "joined_on", "left_on", "monthly_revenue")
    return f"{missing}." if missing else None


def figure(name: str, label: str, estimate: Estimate, unit: str) -> Figure:
    """Return a headline number; where the resamples do not differ, it says so in place of an interval."""
    return Figure(name, label, estimate, unit, note="" if np.isfinite(estimate.low) else "the resamples do not differ")


def metrics_of(company: Company, metric: str = "") -> tuple[str, ...]:
    """Return the one metric whose last answer is known of a customer; none without dates."""
    return tuple(filter(None, [answers.choose(company, metric)])) if answers.dated(company) else ()


# ---- the model -------------------------------------------------------------------------------------------------------


def _stage(age: np.ndarray, months: float) -> np.ndarray:
    """Return the stage of customers so many months on, from whole quarters of tenure today."""
    then = (age + 0.5) * QUARTER + months * DAYS_A_MONTH
    ends = [until for until, __ in people.STAGES]
    return np.array([name for __, name in people.STAGES] + [people.LAST_STAGE])[np.searchsorted(ends, then, "right")]


def _baseline(cells: pd.DataFrame, stratum: str, stage: np.ndarray) -> np.ndarray:
    level = cells[stratum].astype(str).to_numpy() if stratum else np.full(len(cells), ALL)
    return level.astype(object) + " | " + np.asarray(stage, dtype=object)


@lru_cache(maxsize=4)
def models(company: Company, until: date, months: int, metrics: tuple[str, ...]) -> tuple[Model, ...] | str:
    """Fit the months before a day, by what was known at each distance; or say why nothing can be fitted."""
    counted = contract_base.at_risk(company, until, months, metrics)
    leaks = prediction.leaking_columns(company)
    names = [
        k
        for k in contract_base.known(company, metrics)
        if (k if k != snapshots.PRICE else "monthly_revenue") not in leaks
    ]
    stratum = next((s for s in people.segments(company)[:1] if s in names), "")
    found = []
    for lag, cells in counted.groupby("lag"):
        left = cells["left"].sum()
        if left < LEAST_LEFT:
            if lag == 0:
                return f"only {left:,} customers left in the {months} months before {day(until)}; {LEAST_LEFT} are needed to fit a model."
            break
        cells = cells.assign(**{BASELINE: _baseline(cells, stratum, cells[STAGE].astype(str))})
        for name in set(people.segments(company)) & set(names) - {stratum}:
            seen = cells.groupby(name, observed=True)["left"].sum()
            large = cells[name].isin(seen.index[seen >= FEWEST])
            cells[name] = cells[name].astype(object).where(large, OTHERS)
        fields = [BASELINE, *(k for k in names if k != stratum and cells[k].nunique() > 1)]
        found.append(Model(int(lag), logistic.fit(cells, "n", "left", fields, "fold"), stratum))
    return tuple(found) or f"nobody is known to have been here in the {months} months before {day(until)}."


def survival(
    fits: Sequence[Model], cells: pd.DataFrame, months: int, weights_matrix: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the share of each kind still here after 1, 2 ... months (draws x cells), under each resample of the models.

    Each month takes the fit whose distance is nearest; tenure advances, what else is known stays what it is today.
    """
    drawn = [m.fitted.draws(weights_matrix) for m in fits]
    age = cells[AGE].to_numpy(float)
    alive = np.ones((len(weights_matrix), len(cells)))
    leaving, before, stage_before = np.empty_like(alive), -1, np.full(len(cells), "")
    for month in range(1, months + 1):
        # The middle of this month, against the middle of the quarter each fit tells of.
        at = int(np.argmin([abs(month - 0.5 - (m.lag + 1.5)) for m in fits]))
        stage = _stage(age, month - 0.5)
        new = (stage != stage_before) | (at != before)
        if new.any():
            leaving[:, new] = special.expit(drawn[at] @ fits[at].design(cells[new], stage[new]).T)
        alive = alive * (1 - leaving)
        before, stage_before = at, stage
        yield alive


def outlook(
    fits: Sequence[Model], rows: pd.DataFrame, keys: Sequence[str], factors: np.ndarray, first: int, matrix: np.ndarray
) -> Outlook:
    """Follow the customers of a count table: ``factors`` is what each payment of 1 is worth, the first after ``first`` months."""
    keys = list(keys)
    cells = rows.groupby(keys, observed=True)[["n", "fee"]].sum().reset_index()
    shape = (len(matrix), len(cells))
    paid, stay, risk = np.zeros(shape), np.ones(shape), np.zeros(len(cells))
    step = max(1, 4_000_000 // len(cells))
    for start in range(0, len(matrix), step):
        part = slice(start, start + step)
        paid[part] += factors[0] * (first == 0)
        last = len(factors) - 1 + first
        for month, alive in enumerate(survival(fits, cells, max(last, len(factors), SOON), matrix[part]), 1):
            if 0 <= month - first < len(factors):
                paid[part] += factors[month - first] * alive
            if month == len(factors):
                stay[part] = alive
            if month == SOON and start == 0:
                risk = 1 - alive[0]
    return Outlook(tuple(keys), cells, paid, stay, risk, float(factors.sum()))


def _first(company: Company) -> int:
    return 0 if company.settings.money.first_flow == "now" else 1


def today(company: Company, metric: str = "", window_months: int = WINDOW) -> tuple[Outlook, pd.DataFrame] | str:
    """Return what is expected of today's customers, and their counts by kind and fold; or why that cannot be told."""
    return _today(company, metric, window_months)


@lru_cache(maxsize=2)  # asked for by several questions of a page
def _today(company: Company, metric: str, window_months: int) -> tuple[Outlook, pd.DataFrame] | str:
    if why := why_not(company):
        return why
    metrics = metrics_of(company, metric)
    rows = contract_base.here(company, company.as_of, metrics)
    if rows["n"].sum() < company.settings.privacy.minimum_base:
        return f"{rows['n'].sum():,} customers are fewer than the minimum base."
    fits = models(company, company.as_of, window_months, metrics)
    if isinstance(fits, str):
        return fits
    factors = horizon_of(company)[1]
    keys = [AGE, *contract_base.known(company, metrics)]
    return outlook(fits, rows, keys, factors, _first(company), resamples(company)[: 1 + DRAWS]), rows


# ---- today's base ----------------------------------------------------------------------------------------------------


def each(company: Company, metric: str = "", window_months: int = WINDOW) -> pd.DataFrame | str:
    """Return today's customers by kind and fold, with what is expected of each; or why that cannot be told.

    Columns: declared segments and STAGE (text), fold, n, fee (a month, added up), value (expected over the horizon of the
    money block, discounted, per customer), risk (of leaving within SOON months, for whatever reason).
    """
    found = today(company, metric, window_months)
    if isinstance(found, str):
        return found
    ahead, rows = found
    at = ahead.place(rows)
    shown = rows[[*people.segments(company), "fold", "n", "fee"]].assign(
        **{STAGE: _stage(rows[AGE].to_numpy(float), 0)},
        value=share_kept(company) * rows["fee"] / rows["n"] * ahead.paid[0, at],
        risk=ahead.risk[at],
    )
    return shown.astype({k: str for k in people.segments(company)})


def _caveats(company: Company, window_months: int, unpriced: int) -> list[str]:
    said = [
        f"Leaving as in the last {window_months} months, for whatever reason, by what is known of a customer today; the older an answer "
        "or a case, the less it tells. Beyond 10 months what is known is taken to tell as much as it does after a year.",
        "The fee is that of today: no price rises, no upgrades, no new customers. The interval holds the uncertainty of the model, not "
        "that the future differs from the past.",
    ]
    if unpriced:
        said.append(f"{unpriced:,} customers without a monthly_revenue count with 0.")
    if undated := customers.undated(company):
        said.append(f"{undated:,} customers of whom it is not known when they joined are left out.")
    return said


def base(company: Company, metric: str = "", window_months: int = WINDOW) -> Finding:
    """Answer: what will today's contracts bring over the horizon? In all, by the first segment, and by stage of tenure.

    The customers are exactly those of today; intervals are those of the model, under resamples of the folds it was fitted to.
    ``metric``: whose last answer is known of a customer (the first with answers); ``window_months``: of leaving, to fit to.
    """
    name, title = "forecast", "What today's contracts will bring"
    found = today(company, metric, window_months)
    if isinstance(found, str):
        return unanswered(name, title, found)
    ahead, rows = found
    m, least, currency = company.settings.money, company.settings.privacy.minimum_base, company.settings.currency or ""
    title = f"What today's contracts will bring in {m.horizon_months} months"
    cells = ahead.cells.assign(**{STAGE: _stage(ahead.cells[AGE].to_numpy(float), 0)})
    n, pays = cells["n"].to_numpy(float), share_kept(company) * cells["fee"].to_numpy(float)
    cuts = [(ALL, ALL, np.ones(len(cells), dtype=bool))]
    hidden = 0
    for cut in [*people.segments(company)[:1], STAGE]:
        levels = people.in_order(cut, cells[cut].astype(str).unique())
        masks = np.array([(cells[cut] == level).to_numpy() for level in levels])
        hide = disclosure.hide_small(masks @ n, np.ones((1, len(levels)), dtype=bool), least).cells
        hidden += int(hide.sum())
        cuts += [(cut, level, mask) for level, mask, no in zip(levels, masks, hide, strict=True) if not no]
    masks = np.array([mask for __, __, mask in cuts], dtype=float).T
    worth, stay, size = ahead.paid @ (pays[:, None] * masks), ahead.stay @ (n[:, None] * masks), (n @ masks).tolist()
    shown = []
    for i, (cut, level, __) in enumerate(cuts):
        e = draws.estimate(worth[0, i], worth[1:, i], size[i], low=0)
        shown.append(
            {"cut": cut, "level": level, "estimate": e, "per_customer": e.value / size[i], "stay": stay[0, i] / size[i]}
        )
    total, write = shown[0]["estimate"], lambda v: money(v, currency)
    one = draws.estimate(worth[0, 0] / size[0], worth[1:, 0] / size[0], size[0], low=0)
    here = draws.estimate(stay[0, 0] / size[0], stay[1:, 0] / size[0], size[0], low=0, high=1)
    whole = float(pays.sum()) * ahead.whole
    text = (
        f"Today's {size[0]:,.0f} customers are expected to bring {interval(total, write)} of {m.value_is} in {m.horizon_months} months, "
        f"{money(one.value, currency)} each. If nobody left it would be {write(whole)}; {interval(here, percent)} are expected to be "
        "still here at the end."
    )
    figures = (
        figure("forecast", f"Value of today's customers, next {m.horizon_months} months, discounted", total, currency),
        figure("forecast-each", "Value per customer", one, f"{currency} per customer"),
        figure("forecast-stay", f"Still here after {m.horizon_months} months", here, "share of customers"),
    )
    caveats = _caveats(company, window_months, int(rows["unpriced"].sum()))
    if hidden:
        caveats.append(f"{hidden} levels are not shown, as they are small or would give a small one away.")
    return Finding(name, title, text, "D", table(shown, ["cut", "level"]), figures, tuple(caveats))


# ---- was it right before? --------------------------------------------------------------------------------------------


def _months_back(company: Company) -> int:
    """Return how many months back the trial begins: 12, or half of those in which leaving is seen."""
    first = max(filter(None, [customers.first_leaving(company), company.settings.leavers_since]), default=company.as_of)
    return min(12, int((company.as_of - first).days / DAYS_A_MONTH / 2))


def holdout(company: Company, metric: str = "", window_months: int = WINDOW) -> Finding:
    """Answer: would the forecast have been right? The same model as of a year ago (or half the history) against what came.

    Payments expected of the customers of then against those made, at the fees known today; and, by tenth of the predicted share,
    who was still here. Errors by fold draws, of the model and of who left.
    """
    name, title = "forecast-holdout", "The forecast of a year ago against what came"
    if why := why_not(company):
        return unanswered(name, title, why)
    months, least = _months_back(company), company.settings.privacy.minimum_base
    if months < 3:
        return unanswered(name, title, "leaving is seen for less than half a year, too short to hold part of it back.")
    then, metrics = contract_base.back(company.as_of, months), metrics_of(company, metric)
    title = f"The forecast of {day(then)} against the {months} months since"
    rows = contract_base.here(company, then, metrics, months)
    if rows["n"].sum() < least:
        return unanswered(name, title, f"fewer than {least} customers were here on {day(then)}.")
    if not (rows["paid_now"].sum() > 0 and rows["stayed"].sum() > 0):
        return unanswered(
            name, title, f"nothing was paid, or nobody was left, in the {months} months after {day(then)}."
        )
    fits = models(company, then, window_months, metrics)
    if isinstance(fits, str):
        return unanswered(name, title, fits)
    matrix, first = resamples(company)[: 1 + DRAWS], _first(company)
    ahead = outlook(fits, rows, [AGE, *contract_base.known(company, metrics)], np.ones(months), first, matrix)
    at, fold, share = ahead.place(rows), rows["fold"].to_numpy(), share_kept(company)

    def drawn(expected: np.ndarray, column: str) -> np.ndarray:
        size = np.zeros((len(ahead.cells), matrix.shape[1]))
        np.add.at(size, (at, fold), rows[column].to_numpy(float))
        return (expected @ size * matrix).sum(axis=1)

    def seen(column: str) -> np.ndarray:
        return matrix @ np.bincount(fold, rows[column].to_numpy(float), matrix.shape[1])

    n, currency = float(rows["n"].sum()), company.settings.currency or ""
    shown, errors = [], {}
    made = seen("paid_now" if first == 0 else "paid_end")
    for what, expected, came, scale in (
        ("payments", drawn(ahead.paid, "fee"), made, share),
        ("still here", drawn(ahead.stay, "n"), seen("stayed"), 1.0),
    ):
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold nobody who stayed
            off = expected / came - 1
        errors[what] = draws.estimate(off[0], off[1:], n)
        shown.append({"expected": scale * expected[0], "came": scale * came[0]})
    paid, stay = errors["payments"], errors["still here"]
    p = ahead.stay[0, at]
    n_of, stayed = rows["n"].to_numpy(float), rows["stayed"].to_numpy(float)
    tenths = scoring.calibration_table(
        np.tile(p, 2), np.repeat([1.0, 0.0], len(p)), np.r_[stayed, n_of - stayed], max(2, min(10, int(n // least)))
    )
    pay, people = shown
    verdict = "no detectable error" if not paid.excludes(0) else f"too {'high' if paid.value > 0 else 'low'}"
    text = (
        f"On {day(then)} the same model would have expected {money(pay['expected'], currency)} of {company.settings.money.value_is} "
        f"in {months} months from the {n:,.0f} customers of then; {money(pay['came'], currency)} came: {verdict}, "
        f"{interval(paid, percent)}. It expected {number(people['expected'], 0)} to be still here, and {number(people['came'], 0)} "
        f"were ({interval(stay, percent)})."
    )
    figures = (
        figure("holdout-payments", "Error of the payments forecast", paid, "share of those made"),
        figure("holdout-stay", "Error of the customers forecast to be still here", stay, "share of those here"),
    )
    off = [int(r["group"]) for r in tenths.to_dict("records") if not r["low"] <= r["predicted"] <= r["high"]]
    caveats = [
        f"Fitted to what was known on {day(then)}, but for fees and segments, that are as exported today. Payments are the fee times the "
        "months each was here, undiscounted.",
        "In every group of predicted survival what came lies within what luck allows."
        if not off
        else f"Outside what luck allows: group {listing(off)} of {len(tenths)}, from the lowest predicted survival.",
    ]
    return Finding(name, title, text, "D", tenths, figures, tuple(caveats))
