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
from cxlib.stats import disclosure, draws, logistic, periods, scoring
from cxlib.stats.estimate import Estimate

DRAWS = 400  # of the model's parameters
SOON = 6  # months (182 days) within which leaving is called the risk
WINDOW = 24  # months of leaving the model is fitted to
MOST_MONTHS = 60  # in which differences between months are seen
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

    due: what a payment of 1 is worth that is made after 0, 1, 2 ... months by those still here. months: how far months
    differed. paid: these payments as
    expected over the horizon; stay: share still here at its end (both draws x cells, the first row as fitted). alive:
    that share after 0, 1, 2 ... months (months x cells, as fitted).
    """

    keys: tuple[str, ...]
    cells: pd.DataFrame
    due: np.ndarray
    months: periods.Periods
    paid: np.ndarray
    stay: np.ndarray
    alive: np.ndarray

    @property
    def risk(self) -> np.ndarray:
        """Return the share of each kind that leaves within SOON months."""
        return 1 - self.alive[SOON]

    def place(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the position among ``cells`` of each row of a count table of the same customers."""
        keys = list(self.keys)
        index = pd.MultiIndex.from_frame(self.cells[keys].astype(object))
        return index.get_indexer(pd.MultiIndex.from_frame(rows[keys].astype(object)))

    def come(
        self, due: np.ndarray, each: np.ndarray, squares: np.ndarray, drawn: np.ndarray, window: int
    ) -> list[Estimate]:
        """Return what will come of payments ``due``, with 95 % prediction intervals, by group of customers.

        ``each`` and ``squares`` (cells x groups): the sums of what customers pay, and of its squares; ``drawn`` (draws
        x groups): what is expected. The variance has three parts: the parameters; the luck of who leaves, each for
        themselves; and how far months differ from the mean of the ``window`` that the model is fitted to.
        """
        alive, n = self.alive[: len(due)], self.cells["n"].to_numpy(float)
        luck = (due * (2 * np.cumsum(due) - due)) @ alive - (due @ alive) ** 2  # var of the sum of dues until leaving
        later = np.cumsum((due[:, None] * alive)[:0:-1], axis=0)[::-1]
        reach = np.log(np.fmax(alive[1:], 1e-300) / np.fmax(alive[:-1], 1e-300)) * later  # of the log rate of a month
        sure = drawn[1:].var(axis=0, ddof=1) + luck @ squares
        differ = self.months.variances(min(window, self.months.seen), reach @ each)
        size = n @ (squares > 0)
        return [
            periods.interval(*row, low=0)
            for row in zip(drawn[0], sure, [self.months.weights] * len(sure), differ.T, size, strict=True)
        ]


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
    fits: Sequence[Model], cells: pd.DataFrame, months: int, weights_matrix: np.ndarray, season: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the share of each kind still here after 1, 2 ... months (draws x cells), under each resample of the models.

    Each month takes the fit whose distance is nearest; tenure advances, what else is known stays what it is today.
    ``season``: what the log odds of leaving are above their mean in the next twelve months.
    """
    drawn = [m.fitted.draws(weights_matrix) for m in fits]
    age = cells[AGE].to_numpy(float)
    alive = np.ones((len(weights_matrix), len(cells)))
    leaving, before, stage_before = np.empty_like(alive), (-1, 0.0), np.full(len(cells), "")
    for month in range(1, months + 1):
        # The middle of this month, against the middle of the quarter each fit tells of.
        at = int(np.argmin([abs(month - 0.5 - (m.lag + 1.5)) for m in fits]))
        stage = _stage(age, month - 0.5)
        turn = season[(month - 1) % len(season)]
        new = (stage != stage_before) | ((at, turn) != before)
        if new.any():
            leaving[:, new] = special.expit(drawn[at] @ fits[at].design(cells[new], stage[new]).T + turn)
        alive = alive * (1 - leaving)
        before, stage_before = (at, turn), stage
        yield alive


def outlook(
    fits: Sequence[Model],
    rows: pd.DataFrame,
    keys: Sequence[str],
    due: np.ndarray,
    months: periods.Periods,
    matrix: np.ndarray,
) -> Outlook:
    """Follow the customers of a count table; ``due`` and ``months`` as in Outlook."""
    keys = list(keys)
    cells = rows.groupby(keys, observed=True)[["n", "fee", "fee_squared"]].sum().reset_index()
    paid = np.full((len(matrix), len(cells)), due[0])
    last, stay, fitted = max(len(due) - 1, SOON), np.ones_like(paid), [np.ones(len(cells))]
    step = max(1, 4_000_000 // len(cells))
    for start in range(0, len(matrix), step):
        part = slice(start, start + step)
        for month, alive in enumerate(survival(fits, cells, last, matrix[part], months.season), 1):
            if month < len(due):
                paid[part] += due[month] * alive
                stay[part] = alive
            if start == 0:
                fitted.append(alive[0])
    return Outlook(tuple(keys), cells, due, months, paid, stay, np.array(fitted))


@lru_cache(maxsize=4)
def months_differ(company: Company, until: date, stratum: str) -> periods.Periods:
    """Return how far the months before a day differed in who left, at equal stage and level of ``stratum``."""
    first = max(filter(None, [customers.first_leaving(company), company.settings.leavers_since]), default=until)
    seen, by = min(MOST_MONTHS, max(int((until - first).days / DAYS_A_MONTH), 1)), [stratum] if stratum else []
    counted = contract_base.by_month(company, until, seen, by)
    alike = counted.groupby([STAGE, *by], observed=True)[["n", "left"]].transform("sum")
    month, expected = counted["month"].to_numpy(), counted["n"] * alike["left"] / alike["n"]
    return periods.fit(*(np.bincount(month, v, seen) for v in (counted["left"], expected)))


def _due(company: Company, factors: np.ndarray) -> np.ndarray:
    """Return what payments at the starts or the ends of months are worth, by months from now."""
    return np.r_[factors, 0.0] if money_of(company).first_flow == "now" else np.r_[0.0, factors]


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
    months = months_differ(company, company.as_of, fits[0].stratum)
    keys, due = [AGE, *contract_base.known(company, metrics)], _due(company, horizon_of(company)[1])
    return outlook(fits, rows, keys, due, months, resamples(company)[: 1 + DRAWS]), rows


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

    The customers are exactly today's. Intervals are 95 % prediction intervals of what will come: see ``Outlook.come``.
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
    size, squares = (n @ masks).tolist(), share_kept(company) ** 2 * cells["fee_squared"].to_numpy(float)
    paying, staying = (v[:, None] * masks for v in (pays, n))
    worth, stay = ahead.paid @ paying, ahead.stay @ staying
    come = ahead.come(ahead.due, paying, squares[:, None] * masks, worth, window_months)
    end = np.eye(len(ahead.due))[-1]
    (still, *_) = ahead.come(end, staying[:, :1], staying[:, :1], stay[:, :1], window_months)
    shown = [
        {"cut": cut, "level": level, "estimate": e, "per_customer": e.value / size[i], "stay": stay[0, i] / size[i]}
        for i, ((cut, level, __), e) in enumerate(zip(cuts, come, strict=True))
    ]
    total, one, here = come[0], part_of(come[0], size[0]), part_of(still, size[0])
    label = {k: words.say(__file__, "forecast", k, horizon=m.horizon_months) for k in ("value", "one", "still")}
    figures = (
        figure("forecast", label["value"], total, currency),
        figure("forecast-each", label["one"], one, f"{currency} per customer"),
        figure("forecast-stay", label["still"], here, "share of customers"),
    )
    return answer(
        "forecast", table(shown, ["cut", "level"]), figures,
        customers=size[0], value=total, each=one.value, whole=float(pays.sum() * ahead.due.sum()), stay=here,
        model=draws.estimate(worth[0, 0], worth[1:, 0], size[0], low=0), horizon=m.horizon_months,
        value_is=m.value_is, window=window_months, hidden=hidden, **differing(ahead.months),
        unpriced=int(rows["unpriced"].sum()), undated=customers.undated(company),
    )  # fmt: skip


def part_of(e: Estimate, n: float) -> Estimate:
    """Return a total per customer."""
    return Estimate(e.value / n, e.low / n, e.high / n, e.se / n, e.n)


def differing(months: periods.Periods) -> dict[str, object]:
    """Return how far months differ, in facts for the words."""
    return {"months_seen": months.seen, "differ": months.spread, "season": float(np.ptp(months.season))}


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
    matrix, differ = resamples(company)[: 1 + DRAWS], months_differ(company, then, fits[0].stratum)
    flows, by_start = _due(company, np.ones(months)), money_of(company).first_flow == "now"
    ahead = outlook(fits, rows, [AGE, *contract_base.known(company, metrics)], flows, differ, matrix)
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
    due, made = drawn(ahead.paid, "fee"), seen("paid_now" if by_start else "paid_end")
    still, stayed_on = drawn(ahead.stay, "n"), seen("stayed")
    paid, stay = off(due, made), off(still, stayed_on)
    pays, squares = (ahead.cells[[k]].to_numpy(float) for k in ("fee", "fee_squared"))
    (said,) = ahead.come(flows, pays, squares, ahead.paid @ pays, window_months)
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
        outside=outside, groups=len(tenths), inside=said.low <= made[0] <= said.high,
        said_low=share * said.low, said_high=share * said.high,
    )  # fmt: skip


def abs_of(e: Estimate) -> Estimate:
    """Return an error without its sign, as in "1.7% too low"."""
    return Estimate(-e.value, -e.high, -e.low, e.se, e.n) if e.value < 0 else e
