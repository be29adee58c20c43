"""04_value: where is the money? Who holds the value expected of today's customers, and how much of it is at risk.

Value is what each customer is expected to bring over the horizon of the money block: by ``forecast`` under contracts,
by ``buyers`` without. At risk is the difference between that and what would come if nobody left (without contracts: if
all were still active).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import sparse

from cxlib.counts import answers, contract_base, people
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import Answer, answer, finding, slug, table
from cxlib.page.resamples import resamples
from cxlib.page.valuation import money_of, share_kept
from cxlib.stats import disclosure, draws
from cxlib.stats.estimate import Estimate
from cxlib.value import buyers, forecast

THIRDS = ("lowest third", "middle third", "highest third")
TOPS = (0.01, 0.05, 0.1, 0.2, 0.5)
LINE = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
STEPS = 1000  # groups of customers alike in value, of which the curve is made
ALL = "all"


@dataclass(frozen=True, eq=False)
class Holdings:
    """Today's customers in groups of equals: segments (text), n, each (value of one), risk, and what sums are made of.

    Added up by ``place`` and multiplied by ``ahead`` (draws x places), ``stake`` is the value; by ``plain``, ``whole``
    is the value if nobody left, and n the customers.
    """

    rows: pd.DataFrame
    place: np.ndarray
    ahead: np.ndarray
    plain: np.ndarray
    contractual: bool

    def sums(self, group: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Add up groups of rows (codes; -1 for none): customers, value and value at risk, draws x groups."""
        return _sums(self, self.rows, self.place, group, groups)

    @property
    def about(self) -> str:
        """Return what a reader must know of value, risk and intervals, in words."""
        return _say("about", "contracts" if self.contractual else "buyers", soon=forecast.SOON)


def _say(section: str, part: str, **facts: object) -> str:
    return words.say(__file__, section, part, **facts)


def _sums(
    of: Holdings, rows: pd.DataFrame, place: np.ndarray, group: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    taken, shape = group >= 0, (of.ahead.shape[1], groups)

    def added(column: str) -> sparse.csr_array:
        amounts = rows[column].to_numpy(float)[taken]
        return sparse.csr_array((amounts, (place[taken], group[taken])), shape=shape)

    value = of.ahead @ added("stake")
    return of.plain @ added("n"), value, of.plain @ added("whole") - value


def holdings(company: Company, metric: str = "") -> Holdings:
    """Return what today's customers hold; Unanswered if that cannot be forecast."""
    return _holdings(company, metric)


@lru_cache(maxsize=2)  # asked for by every question here
def _holdings(company: Company, metric: str) -> Holdings:
    found = _contracts(company, metric) if company.settings.relationship == "contractual" else _buyers(company)
    n = int(found.rows["n"].sum())
    if n < company.settings.privacy.minimum_base:
        raise Unanswered("few-customers", customers=n)
    if not found.rows["whole"].sum() > 0:
        raise Unanswered("nothing-expected")
    return found


def _contracts(company: Company, metric: str) -> Holdings:
    ahead, __ = forecast.today(company, metric)
    rows, place = _priced(company, ahead, contract_base.by_fee(company, forecast.metrics_of(company, metric)))
    each = rows["stake"] * ahead.paid[0, place] / rows["n"]
    rows = rows.assign(each=each, risk=ahead.risk[place])
    return Holdings(rows, place, ahead.paid, np.ones_like(ahead.paid), True)


def _priced(company: Company, ahead: forecast.Outlook, rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a count table with what its customers have at stake, and their places in the forecast."""
    stake = share_kept(company) * rows["fee"]
    return rows.assign(stake=stake, whole=stake * ahead.due.sum()), ahead.place(rows)


def _buyers(company: Company) -> Holdings:
    rows = buyers.each(company)
    stake = rows["value"] * rows["n"]
    active = rows["active"].clip(lower=1e-9)
    rows = rows.assign(each=rows["value"], stake=stake, whole=stake / active, risk=1 - rows["active"])
    weights = resamples(company)
    return Holdings(rows, rows["fold"].to_numpy(int), weights, weights, False)


def _hidden(sizes: np.ndarray, least: int) -> np.ndarray:
    """Return which parts of a published total must not be shown."""
    return disclosure.hide_small(sizes, np.ones((1, len(sizes)), dtype=bool), least).cells


def _estimate(drawn: np.ndarray, n: float) -> Estimate:
    return draws.estimate(drawn[0], drawn[1:], float(n), low=0)


# ---- value by risk ---------------------------------------------------------------------------------------------------


def _thirds(values: pd.Series, n: np.ndarray) -> np.ndarray:
    """Return the third of customers each row belongs to, by its value; ties stay together."""
    code = np.unique(values.to_numpy(np.float32), return_inverse=True)[1]  # differences of rounding are none
    size = np.bincount(code, n)
    middle = (np.cumsum(size) - size / 2) / size.sum()
    return np.minimum((3 * middle).astype(int), 2)[code]


@finding("money-grid")
def grid(company: Company, metric: str = "") -> Answer:
    """Answer: where is the money, and how much of it is at risk? Thirds of customers by value, by thirds by risk.

    value, low, high: money at risk; expected: money expected; share: of all money at risk. The last row is the total.
    """
    of, currency = holdings(company, metric), company.settings.currency or ""
    n, least = of.rows["n"].to_numpy(float), company.settings.privacy.minimum_base
    worth, risk = _thirds(of.rows["each"], n), _thirds(of.rows["risk"], n)
    size, value, lost = of.sums(3 * worth + risk, 9)
    everybody = lost.sum(axis=1)
    hide, shown = _hidden(size[0], least), []
    for cell in range(8, -1, -1):
        if size[0, cell] and not hide[cell]:
            e, (by_worth, by_risk) = _estimate(lost[:, cell], size[0, cell]), divmod(cell, 3)
            row = {"worth": THIRDS[by_worth], "risk": THIRDS[by_risk], "estimate": e}
            shown.append(row | {"expected": value[0, cell], "share": lost[0, cell] / everybody[0]})
    total, expected = _estimate(everybody, size[0].sum()), _estimate(value.sum(axis=1), size[0].sum())
    shown.append({"worth": ALL, "risk": ALL, "estimate": total, "expected": expected.value, "share": 1.0})
    part = _estimate(everybody / (everybody + value.sum(axis=1)), total.n)
    horizon = money_of(company).horizon_months
    most = max(shown[:-1], key=lambda r: r["estimate"].value, default=None)
    if most:
        most = {k: most[k] for k in ("worth", "risk", "share")} | {"n": most["estimate"].n}
    label = {k: _say("money-grid", k, horizon=horizon, contractual=of.contractual) for k in ("risk", "part", "value")}
    figures = (
        forecast.figure("money-at-risk", label["risk"], total, currency),
        forecast.figure("money-at-risk-share", label["part"], part, "share of value"),
        forecast.figure("money-expected", label["value"], expected, currency),
    )
    return answer(
        "forecast", table(shown, ["worth", "risk"]), figures,
        customers=total.n, whole=expected.value + total.value, total=total, part=part.value, horizon=horizon,
        most=most, contractual=of.contractual, about=of.about, hidden=int((hide & (size[0] > 0)).sum()),
    )  # fmt: skip


# ---- how unequal -----------------------------------------------------------------------------------------------------


@finding("money-curve")
def curve(company: Company, metric: str = "") -> Answer:
    """Answer: how much of the value do the most valuable customers hold? Shares of the top 1, 5, 10 ... %, and Gini.

    Concentration curve: customers in order of expected value, the highest first (Lorenz 1905; Gini 1912). ``top``:
    share of customers; value, low, high: the share of the value they hold; even: the same if all were worth the same.
    """
    of = holdings(company, metric)
    n, least = of.rows["n"].to_numpy(float), company.settings.privacy.minimum_base
    size, value, __ = of.sums(*_alike(of.rows["each"], n))
    tops = [t for t in LINE if t * n.sum() >= least]
    held = np.array([buyers.held(s, v, np.array(tops)) for s, v in zip(size, value, strict=True)])
    shown = [
        {"top": top, "estimate": draws.estimate(held[0, i], held[1:, i], n.sum(), low=0, high=1), "even": top}
        for i, top in enumerate(tops)
    ]
    gini = draws.estimate(held[0, -1], held[1:, -1], n.sum(), low=0, high=1)
    by_top = {r["top"]: r["estimate"] for r in shown if r["top"] in TOPS}
    figures = [
        forecast.figure(f"top-{100 * t:g}", _say("money-curve", "top", top=t), e, "share of value")
        for t, e in by_top.items()
        if not np.isnan(e.low)
    ]
    figures.append(forecast.figure("gini", _say("money-curve", "even"), gini, "0 even, 1 all with one"))
    first = 0.2 if 0.2 in by_top else next(iter(by_top), None)
    return answer(
        "forecast", table(shown, ["top"]), figures,
        top=first, held=by_top.get(first), gini=gini, about=of.about, all_shown=len(tops) == len(LINE),
    )  # fmt: skip


def _alike(each: pd.Series, n: np.ndarray) -> tuple[np.ndarray, int]:
    """Return codes that group rows of nearly the same value, and the number of groups (STEPS at most)."""
    code = np.unique(each.to_numpy(np.float32), return_inverse=True)[1]
    size = np.bincount(code, n)
    if len(size) > STEPS:
        middle = (np.cumsum(size) - size / 2) / size.sum()
        code = np.unique((STEPS * middle).astype(int)[code], return_inverse=True)[1]
    return code, int(code.max()) + 1


@finding("money-spread")
def spread(company: Company, metric: str = "") -> Answer:
    """Answer: how far do customers differ in value? Mean and quantiles of the value expected of each, by first segment.

    p5, p25, p50, p75, p95: this share of customers is worth less; empty where fewer than the minimum base are beyond.
    """
    of = holdings(company, metric)
    rows, least = of.rows, company.settings.privacy.minimum_base
    first = people.segments(company)[:1]
    names = sorted(rows[first[0]].astype(str).unique()) if first else []
    level = pd.Categorical(rows[first[0]].astype(str), names).codes if first else np.full(len(rows), -1)
    cuts = [(ALL, np.zeros(len(rows), dtype=int))] + [(k, np.where(level == i, 0, -1)) for i, k in enumerate(names)]
    n = rows["n"].to_numpy(float)
    hide = _hidden(np.bincount(level, n, len(names)), least) if names else np.zeros(0, dtype=bool)
    shown, blank = [], 0
    for (label, group), no in zip(cuts, [False, *hide], strict=True):
        if no:
            continue
        size, value, __ = of.sums(group, 1)
        many = float(size[0, 0])
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold nobody of a small level
            e = _estimate((value / size)[:, 0], many)
        told = {k: q for k, q in QUANTILES.items() if min(q, 1 - q) * many >= least}
        blank += len(told) < len(QUANTILES)
        found = _quantiles(rows["each"].to_numpy()[group == 0], n[group == 0], list(told.values()))
        shown.append(
            {"level": label, "estimate": e} | dict.fromkeys(QUANTILES, np.nan) | dict(zip(told, found, strict=True))
        )
    currency, horizon, whole = company.settings.currency or "", money_of(company).horizon_months, shown[0]
    mean = whole["estimate"]
    figure = forecast.figure("value-each", _say("money-spread", "mean"), mean, f"{currency} per customer")
    known = {k: None if np.isnan(whole[k]) else float(whole[k]) for k in ("p5", "p50", "p95")}
    return answer(
        "forecast", table(shown, ["level"]), [figure],
        mean=mean, horizon=horizon, about=of.about, hidden=int(hide.sum()), blank=blank, **known,
    )  # fmt: skip


def _quantiles(values: np.ndarray, n: np.ndarray, shares: list[float]) -> np.ndarray:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(n[order]) / n.sum()
    return values[order][np.minimum(np.searchsorted(reached, np.array(shares) - 1e-12), len(order) - 1)]


# ---- whose value is at risk ------------------------------------------------------------------------------------------


@finding("value-at-risk")
def at_risk(company: Company, metric: str = "") -> Answer:
    """Answer: with whom is the value at risk? By level of each declared segment, and by touchpoint last answered badly.

    value, low, high: money at risk; expected: money expected; each: at risk per customer; share: of all money at risk.
    At a touchpoint (contracts only): customers whose last answer there, within a year, was in the worst band; one
    customer may count at several.
    """
    of = holdings(company, metric)
    rows, least = of.rows, company.settings.privacy.minimum_base
    size, value, lost = of.sums(np.zeros(len(rows), dtype=int), 1)
    total = lost[:, 0]
    shown = [_row(ALL, ALL, size[:, 0], value[:, 0], total, total)]
    hidden = 0
    for cut in people.segments(company):
        names = sorted(rows[cut].astype(str).unique())
        size, value, lost = of.sums(pd.Categorical(rows[cut].astype(str), names).codes.astype(int), len(names))
        hide = _hidden(size[0], least)
        hidden += int(hide.sum())
        found = [_row(cut, k, size[:, i], value[:, i], lost[:, i], total) for i, k in enumerate(names) if not hide[i]]
        shown += sorted(found, key=lambda r: -r["estimate"].value)
    bad, few = _bad_answers(company, of, metric, total, least) if of.contractual else ([], 0)
    total_row, horizon = shown[0]["estimate"], money_of(company).horizon_months
    most = [next(r for r in shown if r["cut"] == cut) for cut in dict.fromkeys(r["cut"] for r in shown[1:])]
    worst = max(bad, key=lambda r: r[0]["estimate"].value, default=None)
    bad_rows = [row for row, __ in bad]
    figures = [
        forecast.figure(
            slug("at-risk", r["level"]), _say("value-at-risk", "risk", level=r["level"]), r["estimate"],
            company.settings.currency or "",
        )
        for r in (*shown[:1], *bad_rows)
    ]  # fmt: skip
    return answer(
        "forecast", table([*shown, *bad_rows], ["cut", "level"]), figures,
        total=total_row, horizon=horizon, most=[{k: r[k] for k in ("cut", "level", "share")} for r in most],
        worst=worst[1] | {"n": worst[0]["estimate"].n, "risk": worst[0]["estimate"].value} if worst else None,
        about=of.about, hidden=hidden, few=few,
    )  # fmt: skip


def _row(cut: str, level: str, n: np.ndarray, value: np.ndarray, lost: np.ndarray, total: np.ndarray) -> dict:
    e = _estimate(lost, n[0])
    share = e.value / total[0] if total[0] else np.nan
    return {"cut": cut, "level": level, "estimate": e, "expected": value[0], "each": e.value / e.n, "share": share}


def _bad_answers(
    company: Company, of: Holdings, metric: str, total: np.ndarray, least: int
) -> tuple[list[tuple[dict, dict[str, str]]], int]:
    """Return a row for each touchpoint and metric with what it is about, and how many are too small to be shown."""
    if not (company.has("responses", "touchpoint") and answers.dated(company)):
        return [], 0
    ahead, __ = forecast.today(company, metric)
    found, few = [], 0
    for asked in answers.metrics(company):
        worst = answers.bands(company, asked)[0].name
        rows = contract_base.at_touchpoints(company, forecast.metrics_of(company, metric), asked, worst)
        for touchpoint, part in rows.groupby("touchpoint", observed=True):
            part, place = _priced(company, ahead, part)
            if part["n"].sum() < least:
                few += 1
                continue
            n, value, lost = _sums(of, part, place, np.zeros(len(part), dtype=int), 1)
            level = f"{asked.upper()} {worst} at {touchpoint}"
            row = _row("last answer", level, n[:, 0], value[:, 0], lost[:, 0], total)
            found.append((row, {"metric": asked.upper(), "band": worst, "touchpoint": str(touchpoint)}))
    return sorted(found, key=lambda r: -r[0]["estimate"].value), few
