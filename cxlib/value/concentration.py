"""04_value: where is the money? Who holds the value expected of today's customers, and how much of it is at risk.

Value is what each customer is expected to bring over the horizon of the money block: by ``forecast`` under contracts, by
``buying`` without. At risk is what would come if nobody left (without contracts: if all were active) less what is expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import sparse

from cxlib.churn.retention import slug
from cxlib.counts import answers, contract_base, people
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.page.findings import Finding, interval, money, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.stats import disclosure, draws
from cxlib.stats.estimate import Estimate
from cxlib.page.valuation import share_kept
from cxlib.value import buyers, forecast

THIRDS = ("lowest third", "middle third", "highest third")
TOPS = (0.01, 0.05, 0.1, 0.2, 0.5)
LINE = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
STEPS = 1000  # groups of customers alike in value, of which the curve is made
ALL = "all"

# What the tables of the page show, by the heading a reader sees.
_AT_RISK = {
    "n": "Customers",
    "expected": "Expected",
    "value": "At risk",
    "low": "Low",
    "high": "High",
    "share": "Share of all at risk",
}
GRID = {"worth": "Value each", "risk": "Risk", **_AT_RISK}
LEVELS = {"cut": "By", "level": "Level", **_AT_RISK, "each": "At risk each"}
SPREAD = {"level": "Level", "n": "Customers", "value": "Mean", "low": "Low", "high": "High",
          "p5": "5 %", "p25": "25 %", "p50": "Half", "p75": "75 %", "p95": "95 %"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Holdings:
    """Today's customers in rows alike: segments (text), n, each (value of one), risk, and what sums are made of.

    Added up by ``place`` and multiplied by ``ahead`` (draws x places), ``stake`` is the value; by ``plain``, ``whole`` is the
    value if nobody left, and n the customers. ``whose``: what the intervals hold.
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
    def left(self) -> str:
        """Return the words for what would make the value certain."""
        return "if nobody left" if self.contractual else "if all were still active"


def _sums(
    of: Holdings, rows: pd.DataFrame, place: np.ndarray, group: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    taken, shape = group >= 0, (of.ahead.shape[1], groups)

    def added(column: str) -> sparse.csr_array:
        amounts = rows[column].to_numpy(float)[taken]
        return sparse.csr_array((amounts, (place[taken], group[taken])), shape=shape)

    value = of.ahead @ added("stake")
    return of.plain @ added("n"), value, of.plain @ added("whole") - value


def holdings(company: Company, metric: str = "") -> Holdings | str:
    """Return what today's customers hold, or why that cannot be told."""
    return _holdings(company, metric)


@lru_cache(maxsize=2)  # asked for by every question here
def _holdings(company: Company, metric: str) -> Holdings | str:
    found = _contracts(company, metric) if company.settings.relationship == "contractual" else _buyers(company)
    if isinstance(found, str):
        return found
    n, least = found.rows["n"].sum(), company.settings.privacy.minimum_base
    if n < least:
        return f"{n:,} customers are fewer than the minimum base."
    return found if found.rows["whole"].sum() > 0 else "nothing is expected of today's customers."


def _contracts(company: Company, metric: str) -> Holdings | str:
    found = forecast.today(company, metric)
    if isinstance(found, str):
        return found
    ahead, __ = found
    rows, place = _priced(company, ahead, contract_base.by_fee(company, forecast.metrics_of(company, metric)))
    each = rows["stake"] * ahead.paid[0, place] / rows["n"]
    rows = rows.assign(each=each, risk=ahead.risk[place])
    return Holdings(rows, place, ahead.paid, np.ones_like(ahead.paid), True)


def _priced(company: Company, ahead: forecast.Outlook, rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Add what customers of a count table have at stake; and where they stand in the forecast."""
    stake = share_kept(company) * rows["fee"]
    return rows.assign(stake=stake, whole=stake * ahead.whole), ahead.place(rows)


def _buyers(company: Company) -> Holdings | str:
    if why := buyers.why_not(company, priced=True):
        return why
    try:
        rows = buyers.each(company)
    except InputError as error:
        return error.problem
    stake = rows["value"] * rows["n"]
    active = rows["active"].clip(lower=1e-9)
    rows = rows.assign(each=rows["value"], stake=stake, whole=stake / active, risk=1 - rows["active"])
    weights = resamples(company)
    return Holdings(rows, rows["fold"].to_numpy(int), weights, weights, False)


def _caveats(of: Holdings) -> list[str]:
    if of.contractual:
        return [
            "Value and risk are those of the forecast of today's contracts: fees of today, leaving for whatever reason as in the last two "
            f"years; risk is that of leaving within {forecast.SOON} months. Intervals are those of its model.",
        ]
    return [
        "Value is what each buyer is expected to bring. Nobody sees a buyer leave: the chance of being active is a model's, in which who "
        "bought once counts as active, so that risk is only told of those who bought again.",
        "Intervals hold which buyers happen to be in the base, not the uncertainty of the model.",
    ]


def _hidden(sizes: np.ndarray, least: int) -> np.ndarray:
    """Return which of the parts of a published total must not be shown."""
    return disclosure.hide_small(sizes, np.ones((1, len(sizes)), dtype=bool), least).cells


def _not_shown(hidden: int, what: str) -> list[str]:
    return [f"{hidden} {what} are not shown, as they are small or would give a small one away."] if hidden else []


def _estimate(drawn: np.ndarray, n: float) -> Estimate:
    return draws.estimate(drawn[0], drawn[1:], float(n), low=0)


# ---- value by risk ---------------------------------------------------------------------------------------------------


def _thirds(values: pd.Series, n: np.ndarray) -> np.ndarray:
    """Return the third of customers each row belongs to, by its value; rows alike stay together."""
    code = np.unique(values.to_numpy(np.float32), return_inverse=True)[1]  # what differs by rounding is alike
    size = np.bincount(code, n)
    middle = (np.cumsum(size) - size / 2) / size.sum()
    return np.minimum((3 * middle).astype(int), 2)[code]


def grid(company: Company, metric: str = "") -> Finding:
    """Answer: where is the money, and how much of it is at risk? Thirds of customers by value, by thirds by risk.

    value, low, high: money at risk; expected: money expected; share: of all money at risk. The last row is all of it.
    """
    name, title = "money-grid", "Where the money is, and what of it is at risk"
    of = holdings(company, metric)
    if isinstance(of, str):
        return unanswered(name, title, of)
    n, least, currency = (
        of.rows["n"].to_numpy(float),
        company.settings.privacy.minimum_base,
        company.settings.currency or "",
    )
    worth, risk = _thirds(of.rows["each"], n), _thirds(of.rows["risk"], n)
    size, value, lost = of.sums(3 * worth + risk, 9)
    everybody = lost.sum(axis=1)
    hide, shown = _hidden(size[0], least), []
    for cell in range(8, -1, -1):
        if size[0, cell] and not hide[cell]:
            shown.append({"worth": THIRDS[cell // 3], "risk": THIRDS[cell % 3], "estimate": _estimate(lost[:, cell], size[0, cell]),
                          "expected": value[0, cell], "share": lost[0, cell] / everybody[0]})  # fmt: skip
    total, expected = _estimate(everybody, size[0].sum()), _estimate(value.sum(axis=1), size[0].sum())
    shown.append({"worth": ALL, "risk": ALL, "estimate": total, "expected": expected.value, "share": 1.0})
    part = _estimate(everybody / (everybody + value.sum(axis=1)), total.n)
    write, months = (lambda v: money(v, currency)), company.settings.money.horizon_months
    text = (
        f"Of {write(expected.value + total.value)} that today's {total.n:,.0f} customers would bring in {months} months {of.left}, "
        f"{interval(total, write)} is at risk, {percent(part.value)}."
    )
    most = max(shown[:-1], key=lambda r: r["estimate"].value, default=None)
    if most:
        text += (
            f" Most of it, {percent(most['share'])}, is with the {most['estimate'].n:,.0f} customers in the {most['worth']} by value and "
            f"the {most['risk']} by risk."
        )
    figures = (
        forecast.figure("money-at-risk", f"Value at risk in {months} months", total, currency),
        forecast.figure("money-at-risk-share", f"Share at risk of what would come {of.left}", part, "share of value"),
        forecast.figure("money-expected", f"Value expected in {months} months", expected, currency),
    )
    alike = "Customers alike stay together, so that thirds need not be equal."
    caveats = (*_caveats(of), alike, *_not_shown(int((hide & (size[0] > 0)).sum()), "cells"))
    return Finding(name, title, text, "D", table(shown, ["worth", "risk"]), figures, caveats)


# ---- how unequal -----------------------------------------------------------------------------------------------------


def curve(company: Company, metric: str = "") -> Finding:
    """Answer: how much of the value do the most valuable customers hold? Shares of the top 1, 5, 10 ... %, and Gini.

    Concentration curve: customers in order of expected value, the highest first (Lorenz 1905; Gini 1912). ``top``: share of
    customers; value, low, high: the share of the value they hold; even: what it would be if all were worth the same.
    """
    name, title = "money-curve", "Share of the value held by the most valuable customers"
    of = holdings(company, metric)
    if isinstance(of, str):
        return unanswered(name, title, of)
    n, least = of.rows["n"].to_numpy(float), company.settings.privacy.minimum_base
    size, value, __ = of.sums(*_alike(of.rows["each"], n))
    tops = [t for t in LINE if t * n.sum() >= least]
    held = np.array([_held(s, v, np.array(tops)) for s, v in zip(size, value, strict=True)])
    shown = [
        {"top": top, "estimate": draws.estimate(held[0, i], held[1:, i], n.sum(), low=0, high=1), "even": top}
        for i, top in enumerate(tops)
    ]
    gini = draws.estimate(held[0, -1], held[1:, -1], n.sum(), low=0, high=1)
    by_top = {r["top"]: r["estimate"] for r in shown if r["top"] in TOPS}
    figures = [
        forecast.figure(f"top-{100 * t:g}", f"Value held by the top {100 * t:g} % of customers", e, "share of value")
        for t, e in by_top.items()
        if not np.isnan(e.low)
    ]
    figures.append(forecast.figure("gini", "Gini coefficient of value", gini, "0 even, 1 all with one"))
    text = "There are too few customers to tell what the most valuable of them hold."
    if by_top:
        first = 0.2 if 0.2 in by_top else next(iter(by_top))
        rest = [f"the top {percent(t, 0)} {percent(e.value)}" for t, e in by_top.items() if t != first]
        text = f"The most valuable {percent(first, 0)} of customers hold {interval(by_top[first], percent)} of the value expected"
        text += f"; {', '.join(rest)}." if rest else "."
    text += f" Gini coefficient {interval(gini, lambda v: number(v, 2))}."
    caveats = [*_caveats(of), "Expected values are less unequal than what customers will bring: luck comes on top."]
    if len(tops) < len(LINE):
        caveats.append(f"Not shown: the top {percent(LINE[0], 0)} and others of fewer than {least} customers.")
    return Finding(name, title, text, "D", table(shown, ["top"]), tuple(figures), tuple(caveats))


def _alike(each: pd.Series, n: np.ndarray) -> tuple[np.ndarray, int]:
    """Group rows of nearly the same value: their codes, and how many groups there are (STEPS at most)."""
    code = np.unique(each.to_numpy(np.float32), return_inverse=True)[1]
    size = np.bincount(code, n)
    if len(size) > STEPS:
        middle = (np.cumsum(size) - size / 2) / size.sum()
        code = np.unique((STEPS * middle).astype(int)[code], return_inverse=True)[1]
    return code, int(code.max()) + 1


def _held(n: np.ndarray, value: np.ndarray, tops: np.ndarray) -> np.ndarray:
    """Return the share of the value held by the top shares of customers, and, last, the Gini coefficient."""
    there = n > 0
    n, value = n[there], value[there]
    order = np.argsort(-value / n, kind="stable")
    people, held = (np.r_[0, np.cumsum(x[order])] / x.sum() for x in (n, value))
    return np.r_[np.interp(tops, people, held), 2 * np.trapezoid(held, people) - 1]


def spread(company: Company, metric: str = "") -> Finding:
    """Answer: how far do customers differ in value? Mean and quantiles of the value expected of each, by the first segment.

    p5, p25, p50, p75, p95: so many of the customers are worth less; not shown where fewer than the minimum base are beyond.
    """
    name, title = "money-spread", "Value expected of each customer"
    of = holdings(company, metric)
    if isinstance(of, str):
        return unanswered(name, title, of)
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
    currency, months, whole = company.settings.currency or "", company.settings.money.horizon_months, shown[0]
    write = lambda v: money(v, currency)  # noqa: E731
    text = f"A customer is expected to bring {interval(whole['estimate'], write)} on average in {months} months"
    if not np.isnan(whole["p50"]):
        text += f"; half of them bring less than {write(whole['p50'])}"
    if not np.isnan(whole["p5"]):
        text += f", one in twenty less than {write(whole['p5'])} and one in twenty more than {write(whole['p95'])}"
    mean = forecast.figure(
        "value-each", "Value expected of a customer, mean", whole["estimate"], f"{currency} per customer"
    )
    caveats = [*_caveats(of), *_not_shown(int(hide.sum()), "levels")]
    if blank:
        caveats.append(f"Quantiles with fewer than {least} customers beyond them are not shown ({blank} rows).")
    return Finding(name, title, f"{text}.", "D", table(shown, ["level"]), (mean,), tuple(caveats))


def _quantiles(values: np.ndarray, n: np.ndarray, shares: list[float]) -> np.ndarray:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(n[order]) / n.sum()
    return values[order][np.minimum(np.searchsorted(reached, np.array(shares) - 1e-12), len(order) - 1)]


# ---- whose value is at risk ------------------------------------------------------------------------------------------


def at_risk(company: Company, metric: str = "") -> Finding:
    """Answer: with whom is the value at risk? By level of each declared segment, and by touchpoint last answered badly.

    value, low, high: money at risk; expected: money expected; each: at risk per customer; share: of all money at risk. At a
    touchpoint (contracts only): customers whose last answer there, within a year, was in the worst band; they may be at several.
    """
    name, title = "value-at-risk", "With whom the value at risk is"
    of = holdings(company, metric)
    if isinstance(of, str):
        return unanswered(name, title, of)
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
    write, everybody = (lambda v: money(v, company.settings.currency or "")), shown[0]["estimate"]
    text = f"{interval(everybody, write)} is at risk in {company.settings.money.horizon_months} months"
    if len(shown) > 1:
        most = [next(r for r in shown if r["cut"] == cut) for cut in dict.fromkeys(r["cut"] for r in shown[1:])]
        text += "; most of it " + ", ".join(f"by {r['cut']} with {r['level']} ({percent(r['share'])})" for r in most)
    text += "."
    if bad:
        worst = max(bad, key=lambda r: r["estimate"].value)
        with_them, said = worst["estimate"], worst["level"]
        text += f" The last answer of {with_them.n:,.0f} customers was {said}, and {write(with_them.value)} is at risk with them."
    figures = tuple(
        forecast.figure(
            slug("at-risk", r["level"]), f"Value at risk: {r['level']}", r["estimate"], company.settings.currency or ""
        )
        for r in (*shown[:1], *bad)
    )
    caveats = [*_caveats(of), *_not_shown(hidden, "levels")]
    if bad or few:
        caveats.append(
            "Bad answers are listed with the value at risk of those who gave them: a bad answer goes with it, and need not be why."
        )
    if few:
        caveats.append(f"Not shown: {few} touchpoints with fewer than {least} such customers.")
    return Finding(name, title, text, "D", table([*shown, *bad], ["cut", "level"]), figures, tuple(caveats))


def _row(cut: str, level: str, n: np.ndarray, value: np.ndarray, lost: np.ndarray, total: np.ndarray) -> dict:
    e = _estimate(lost, n[0])
    share = e.value / total[0] if total[0] else np.nan
    return {"cut": cut, "level": level, "estimate": e, "expected": value[0], "each": e.value / e.n, "share": share}


def _bad_answers(company: Company, of: Holdings, metric: str, total: np.ndarray, least: int) -> tuple[list[dict], int]:
    """Return a row for each touchpoint and metric, and how many are too small to be shown."""
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
            found.append(_row("last answer", level, n[:, 0], value[:, 0], lost[:, 0], total))
    return sorted(found, key=lambda r: -r["estimate"].value), few
