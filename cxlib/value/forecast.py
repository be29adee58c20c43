"""04_value: what will today's contracts bring? Survival by tenure and by what is known today, times what customers pay.

The chance of leaving within a month is a logistic regression on counted customer-months, with a baseline of its own for
each level of the first segment and stage of tenure (Allison 1982, Sociological Methodology 13:61). An answer or a case
says less the older it is. So there is a fit for each distance between knowing and leaving, and no forecast assumes that
today's answer stays: direct forecasts at several distances (van Houwelingen 2007, Scand. J. Statist. 34:70).
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
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import prediction, words
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.prediction import FEWEST, LEAST_LEFT, OTHERS
from cxlib.page.resamples import resamples
from cxlib.page.valuation import horizon_of, money_of, share_kept
from cxlib.stats import disclosure, draws, logistic, scoring
from cxlib.stats.estimate import Estimate

DRAWS = 400  # of the model's parameters
SOON = 6  # months (182 days) within which leaving is called the risk
WINDOW = 24  # months of leaving the model is fitted to
SHORTEST = 3  # months that a test of the forecast needs
BASELINE, ALL = "baseline", "all"


@dataclass(frozen=True, eq=False)
class Model:
    """Chances of leaving within a month, from what was known ``lag`` months before the quarter of that month."""

    lag: int
    fitted: logistic.Logistic
    stratum: str

    def design(self, cells: pd.DataFrame, stage: np.ndarray) -> np.ndarray:
        """Return the columns of the regression for customers in these stages; unknown levels count with the others."""
        cells = cells.assign(**{BASELINE: _baseline(cells, self.stratum, stage)})
        for name, levels in self.fitted.levels.items():
            stand_in = OTHERS if OTHERS in levels else levels[0]
            cells[name] = cells[name].astype(object).where(cells[name].isin(levels), stand_in)
        return self.fitted.design(cells)


@dataclass(frozen=True, eq=False)
class Outlook:
    """What is expected of kinds of customers: ``cells``, a row per kind (AGE and what is known of them), n and fee.

    paid: payments of 1 a month, in today's money, expected over the horizon; stay: share still here at its end (both
    draws x cells, the first row as fitted). whole: what one would pay who stays. risk: share leaving within SOON months
    (cells).
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


def require(company: Company) -> None:
    """Raise Unanswered where a contract base cannot be forecast."""
    if company.settings.relationship != "contractual":
        raise Unanswered("no-contracts")
    people.require(company, "customers", "joined_on", "left_on", "monthly_revenue")
    money_of(company)


def figure(name: str, label: str, estimate: Estimate, unit: str) -> Figure:
    """Return a headline number; where the resamples do not differ, it says so in place of an interval."""
    note = "" if np.isfinite(estimate.low) else words.say(__file__, "forecast", "no_interval")
    return Figure(name, label, estimate, unit, note=note)


def metrics_of(company: Company, metric: str = "") -> tuple[str, ...]:
    """Return the metric whose last answer the model may know, as a tuple; empty where answers have no dates."""
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
def models(company: Company, until: date, months: int, metrics: tuple[str, ...]) -> tuple[Model, ...]:
    """Fit the months before a day, by what was known at each distance; Unanswered if too few left in them."""
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
        if cells["left"].sum() < LEAST_LEFT:
            break
        cells = cells.assign(**{BASELINE: _baseline(cells, stratum, cells[STAGE].astype(str))})
        for name in set(people.segments(company)) & set(names) - {stratum}:
            seen = cells.groupby(name, observed=True)["left"].sum()
            large = cells[name].isin(seen.index[seen >= FEWEST])
            cells[name] = cells[name].astype(object).where(large, OTHERS)
        fields = [BASELINE, *(k for k in names if k != stratum and cells[k].nunique() > 1)]
        found.append(Model(int(lag), logistic.fit(cells, "n", "left", fields, "fold"), stratum))
    if not found:
        left = int(counted.loc[counted["lag"] == 0, "left"].sum())
        raise Unanswered("few-leavers", leavers=left, months=months, until=until, needed=LEAST_LEFT)
    return tuple(found)


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
    """Follow the customers of a count table; ``factors``: what each payment of 1 is worth, from month ``first`` on."""
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
    return 0 if money_of(company).first_flow == "now" else 1


def today(company: Company, metric: str = "", window_months: int = WINDOW) -> tuple[Outlook, pd.DataFrame]:
    """Return what is expected of today's customers, and their counts by kind and fold; Unanswered if nothing can be."""
    return _today(company, metric, window_months)


@lru_cache(maxsize=2)  # asked for by several questions of a page
def _today(company: Company, metric: str, window_months: int) -> tuple[Outlook, pd.DataFrame]:
    require(company)
    metrics = metrics_of(company, metric)
    rows = contract_base.here(company, company.as_of, metrics)
    if (n := int(rows["n"].sum())) < company.settings.privacy.minimum_base:
        raise Unanswered("few-customers", customers=n)
    fits = models(company, company.as_of, window_months, metrics)
    factors = horizon_of(company)[1]
    keys = [AGE, *contract_base.known(company, metrics)]
    return outlook(fits, rows, keys, factors, _first(company), resamples(company)[: 1 + DRAWS]), rows


# ---- today's base ----------------------------------------------------------------------------------------------------


def total(company: Company, metric: str = "") -> np.ndarray:
    """Return what today's customers are expected to bring in all, under each draw; Unanswered if nothing can be."""
    ahead, _ = today(company, metric)
    return ahead.paid @ (share_kept(company) * ahead.cells["fee"].to_numpy(float))


def each(company: Company, metric: str = "", window_months: int = WINDOW) -> pd.DataFrame:
    """Return today's customers by kind and fold, with what is expected of each; Unanswered if nothing can be.

    Columns: declared segments and STAGE (text), fold, n, fee (a month, added up), value (expected over the horizon of
    the money block, discounted, per customer), risk (of leaving within SOON months, for any reason).
    """
    ahead, rows = today(company, metric, window_months)
    at = ahead.place(rows)
    shown = rows[[*people.segments(company), "fold", "n", "fee"]].assign(
        **{STAGE: _stage(rows[AGE].to_numpy(float), 0)},
        value=share_kept(company) * rows["fee"] / rows["n"] * ahead.paid[0, at],
        risk=ahead.risk[at],
    )
    return shown.astype({k: str for k in people.segments(company)})


@finding("forecast")
def base(company: Company, metric: str = "", window_months: int = WINDOW) -> Answer:
    """Answer: what will today's contracts bring over the horizon? In all, by the first segment, and by stage of tenure.

    The customers are exactly today's; the intervals are those of the model, under resamples of the customers fitted to.
    ``metric``: whose last answer the model may use (the first with answers); ``window_months``: of leaving, to fit to.
    """
    ahead, rows = today(company, metric, window_months)
    m, least, currency = money_of(company), company.settings.privacy.minimum_base, company.settings.currency or ""
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
    total = shown[0]["estimate"]
    one = draws.estimate(worth[0, 0] / size[0], worth[1:, 0] / size[0], size[0], low=0)
    here = draws.estimate(stay[0, 0] / size[0], stay[1:, 0] / size[0], size[0], low=0, high=1)
    label = {k: words.say(__file__, "forecast", k, horizon=m.horizon_months) for k in ("value", "one", "still")}
    figures = (
        figure("forecast", label["value"], total, currency),
        figure("forecast-each", label["one"], one, f"{currency} per customer"),
        figure("forecast-stay", label["still"], here, "share of customers"),
    )
    return answer(
        "forecast", table(shown, ["cut", "level"]), figures,
        customers=size[0], value=total, each=one.value, whole=float(pays.sum()) * ahead.whole, stay=here,
        horizon=m.horizon_months, value_is=m.value_is, window=window_months, hidden=hidden,
        unpriced=int(rows["unpriced"].sum()), undated=customers.undated(company),
    )  # fmt: skip


# ---- was it right before? --------------------------------------------------------------------------------------------


def _months_back(company: Company) -> int:
    """Return how many months back the test begins: 12, or half of those in which leaving is seen."""
    first = max(filter(None, [customers.first_leaving(company), company.settings.leavers_since]), default=company.as_of)
    return min(12, int((company.as_of - first).days / DAYS_A_MONTH / 2))


@finding("forecast-holdout")
def holdout(company: Company, metric: str = "", window_months: int = WINDOW) -> Answer:
    """Answer: would the forecast have been right? The same model as of a year ago, or half the history, and what came.

    Payments expected from the customers of then against those made, at today's fees; and who was still here, by tenth
    of the predicted share. Errors by fold draws, of the model and of who left.
    """
    require(company)
    months, least = _months_back(company), company.settings.privacy.minimum_base
    if months < SHORTEST:
        raise Unanswered("short-leaving-history")
    then, metrics = contract_base.back(company.as_of, months), metrics_of(company, metric)
    rows = contract_base.here(company, then, metrics, months)
    if rows["n"].sum() < least:
        raise Unanswered("few-then", then=then)
    if not (rows["paid_now"].sum() > 0 and rows["stayed"].sum() > 0):
        raise Unanswered("nothing-paid", then=then, months=months)
    fits = models(company, then, window_months, metrics)
    matrix, first = resamples(company)[: 1 + DRAWS], _first(company)
    ahead = outlook(fits, rows, [AGE, *contract_base.known(company, metrics)], np.ones(months), first, matrix)
    at, fold, share = ahead.place(rows), rows["fold"].to_numpy(), share_kept(company)

    def drawn(expected: np.ndarray, column: str) -> np.ndarray:
        return (expected * draws.summed(matrix, fold, rows[column], (at,), (len(ahead.cells),))).sum(axis=1)

    def seen(column: str) -> np.ndarray:
        return draws.summed(matrix, fold, rows[column])

    def off(expected: np.ndarray, came: np.ndarray) -> Estimate:
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold nobody who stayed
            error = expected / came - 1
        return draws.estimate(error[0], error[1:], n)

    n = float(rows["n"].sum())
    due, made = drawn(ahead.paid, "fee"), seen("paid_now" if first == 0 else "paid_end")
    still, stayed_on = drawn(ahead.stay, "n"), seen("stayed")
    paid, stay = off(due, made), off(still, stayed_on)
    p = ahead.stay[0, at]
    n_of, stayed = rows["n"].to_numpy(float), rows["stayed"].to_numpy(float)
    tenths = scoring.calibration_table(
        np.tile(p, 2), np.repeat([1.0, 0.0], len(p)), np.r_[stayed, n_of - stayed], max(2, min(10, int(n // least)))
    )
    outside = [int(r["group"]) for r in tenths.to_dict("records") if not r["low"] <= r["predicted"] <= r["high"]]
    label = {k: words.say(__file__, "forecast-holdout", k) for k in ("payments", "still")}
    figures = (
        figure("holdout-payments", label["payments"], paid, "share of payments"),
        figure("holdout-stay", label["still"], stay, "share of customers"),
    )
    return answer(
        "count", tenths, figures,
        then=then, months=months, customers=n, off=abs_of(paid), low=paid.value < 0, detected=paid.excludes(0),
        expected=share * due[0], came=share * made[0], still=still[0], stayed=stayed_on[0], stay_off=stay,
        outside=outside, groups=len(tenths),
    )  # fmt: skip


def abs_of(e: Estimate) -> Estimate:
    """Return an error without its sign, as in "1.7% too low"."""
    return Estimate(-e.value, -e.high, -e.low, e.se, e.n) if e.value < 0 else e
