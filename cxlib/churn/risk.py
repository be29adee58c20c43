"""03_churn: who is at risk, and does a score predict churn beyond what is known anyway?

A snapshot is all customers here on a date with everything known by then; the outcome is leaving by choice within the
horizon. A model is fitted to early snapshots and tested on a later one, whose outcome it has not seen (van Houwelingen
2007; Steyerberg 2019; see ``cxlib.page.prediction``). Involuntary leavers (a competing exit) count as staying.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import pandas as pd
from scipy import special

from cxlib.counts import answers, customer_base, snapshots
from cxlib.counts.snapshots import CONTACTS, PRICE
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import prediction, words
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.numbers import percent
from cxlib.page.prediction import Fitted, Trial
from cxlib.page.resamples import resamples
from cxlib.stats import disclosure, intervals, logistic, scoring
from cxlib.stats.estimate import Estimate

RISKS = (0.05, 0.1, 0.2)  # ends of bands of probability, where enough customers are in each
A_BAND = 5  # times the minimum base
HALVES = ("lower half", "upper half")
ALL = "all"
MEASURES = {
    scoring.CONCORDANCE: "concordance",
    scoring.LIFT: "lift of the top tenth",
    scoring.LOG_SCORE: "mean log score",
}
COLUMN, FIELD = "column of customers", "field of a snapshot"
LEVEL, LATE = "level without contrast", "recorded after leaving"


def _gain(one: pd.DataFrame, other: pd.DataFrame, measure: str, n: float) -> Estimate:
    return scoring.estimate((other[measure] - one[measure]).to_numpy(), n)


def _how(trial: Trial, horizon: int) -> list[str]:
    """Say what the models of a trial were fitted to and tested on, and what was left out."""
    facts = {
        "first": trial.fitted.days[-1], "last": trial.fitted.days[0], "tested": trial.test_day, "horizon": horizon,
        "otherwise": int(trial.test["other"].sum()), "priced": PRICE in trial.base, "leaks": list(trial.fitted.leaks),
    }  # fmt: skip
    said = (words.say(__file__, "how", part, **facts) for part in ("fitted", "competing", "price", "excluded"))
    return [s for s in said if s]


@finding("beyond")
def beyond(company: Company, metric: str = "", horizon_days: int = 182) -> Answer:
    """Answer: does the score predict churn beyond what is known anyway? With and without it, on later customers.

    In sample: likelihood ratio, and a Wald test with errors by fold. Out of time: difference of the mean log score, the
    concordance and the lift of the top tenth, all under the same fold draws.
    """
    metric = answers.choose(company, metric)
    customer_base.require_leavers(company)
    answers.require_dates(company, metric)
    trial = prediction.trial_of(company, horizon_days)
    prediction.require_score(company, trial, metric)
    score, n = snapshots.answer(metric), float(trial.test["n"].sum())
    (plain, without), (full, with_it) = trial.judge(trial.base), trial.judge([*trial.base, score])
    rows = []
    for measure, said in MEASURES.items():
        for model, found in (("without the score", without), ("with the score", with_it)):
            rows.append({"measure": said, "model": model, "estimate": scoring.estimate(found[measure].to_numpy(), n)})
        rows.append({"measure": said, "model": "gain", "estimate": _gain(without, with_it, measure, n)})
    gain, log = (_gain(without, with_it, m, n) for m in (scoring.CONCORDANCE, scoring.LOG_SCORE))
    _f, df, p = full.wald(score)
    label = {k: words.say(__file__, "beyond", k, metric=metric.upper()) for k in ("gain_label", "concordance_label")}
    figures = [
        Figure(f"{metric}-gain", label["gain_label"], gain, "concordance"),
        Figure(f"{metric}-concordance", label["concordance_label"], rows[1]["estimate"], "concordance"),
    ]
    return answer(
        "adjusted", table(rows, ["measure", "model"]), figures,
        metric=metric.upper(), without=rows[0]["estimate"].value, with_it=rows[1]["estimate"].value, gain=gain,
        found=log.low > 0, linked=p < 0.05 and not log.high < 0, p=p, base=trial.base,
        ratio=2 * (full.log_likelihood - plain.log_likelihood), df=df, how=_how(trial, horizon_days),
    )  # fmt: skip


@finding("signals")
def signals(company: Company, horizon_days: int = 182) -> Answer:
    """Answer: which signal predicts churn best? Each score and the support contacts alone, and together.

    Each is added to one baseline, for customers with an answer to every score compared; scores that too few have beside
    the others are left out, the rarest first. Gains in concordance on later customers, Benjamini-Hochberg over all.
    """
    customer_base.require_leavers(company)
    answers.require_dates(company, answers.choose(company, ""))
    trial = prediction.trial_of(company, horizon_days)
    shared, dropped = list(trial.answers), []
    while shared and not _enough(trial, shared):
        rarest = min(shared, key=lambda k: prediction.having(trial.test, [k])["n"].sum())
        shared.remove(rarest)
        dropped.append(rarest)
    several = [*shared, *([CONTACTS] if CONTACTS in trial.base else [])]
    if not shared or len(several) < 2:
        raise Unanswered("few-signals", needed=prediction.LEAST_TESTED)
    base = [k for k in trial.base if k != CONTACTS]
    n = float(prediction.having(trial.test, shared)["n"].sum())
    _m, without = trial.judge(base, shared)
    families = {k: [*base, k] for k in several} | {"all together": [*base, *several]}
    rows = []
    for signal, fields in families.items():
        _m, found = trial.judge(fields, shared)
        e = _gain(without, found, scoring.CONCORDANCE, n)
        concordance = float(found[scoring.CONCORDANCE].iloc[0])
        rows.append({"signal": signal, "estimate": e, "concordance": concordance, "p": intervals.p_against(e)})
    tested = [r for r in rows if not math.isnan(r["p"])]
    for r, real in zip(tested, intervals.benjamini_hochberg([r["p"] for r in tested]), strict=True):
        r["found"] = bool(real) and r["estimate"].value > 0
    rows = [{"found": False} | r for r in rows]
    best, together = max(rows[:-1], key=lambda r: r["estimate"].value), rows[-1]
    figures = [
        Figure(f"signal-{r['signal'].split()[0].lower()}", words.say(__file__, "signals", "label", signal=r["signal"]),
               r["estimate"], "concordance")
        for r in tested
    ]  # fmt: skip
    return answer(
        "adjusted", table(rows, ["signal"]), figures,
        customers=n, shared=shared, base=base, clear=[r["signal"] for r in rows[:-1] if r["found"]],
        together_found=together["found"], best=best["signal"], best_gain=best["estimate"],
        together=together["estimate"], dropped=dropped, tests=len(tested),
    )  # fmt: skip


def _enough(trial: Trial, among: list[str]) -> bool:
    train, test = (prediction.having(c, among)["left"].sum() for c in (trial.fitted.cells, trial.test))
    return train >= prediction.LEAST_LEFT and test >= prediction.LEAST_TESTED


@finding("calibration")
def calibration(company: Company, horizon_days: int = 182) -> Answer:
    """Answer: are the probabilities right? Predicted against observed churn, in ten groups of later customers."""
    trial = prediction.trial_of(company, horizon_days)
    model, found = trial.judge(trial.fitted.fields)
    test = trial.test
    p, n = model.probability(test), float(test["n"].sum())
    two = pd.concat(
        [test.assign(p=p, y=1.0, size=test["left"]), test.assign(p=p, y=0.0, size=test["n"] - test["left"])]
    )
    groups = max(2, min(10, int(n // company.settings.privacy.minimum_base)))
    rows = scoring.calibration_table(two["p"], two["y"], two["size"], groups)
    line = scoring.calibration_line(two["p"], two["y"], two["size"], two["fold"])
    brier, order = (scoring.estimate(found[m].to_numpy(), n, 0, 1) for m in (scoring.BRIER, scoring.CONCORDANCE))
    left = float(test["left"].sum())
    share = left / n
    label = {
        k: words.say(__file__, "calibration", k)
        for k in ("slope_label", "intercept_label", "brier_label", "order_label")
    }
    figures = [
        Figure("calibration-slope", label["slope_label"], line.slope, "log-odds per log-odds"),
        Figure("calibration-intercept", label["intercept_label"], line.intercept, "log-odds"),
        Figure("brier", label["brier_label"], brier, "squared distance"),
        Figure("risk-concordance", label["order_label"], order, "concordance"),
    ]
    return answer(
        "forecast", rows, figures,
        customers=n, tested=trial.test_day, horizon=horizon_days, expected=float(p @ test["n"]), left=left,
        off=prediction.miscalibrated(line), slope=line.slope, intercept=line.intercept, brier=brier, share=share,
        same_for_all=share * (1 - share), order=order, how=_how(trial, horizon_days),
    )  # fmt: skip


# ---- fields that leak the outcome ------------------------------------------------------------------------------------


@finding("leakage")
def leakage(company: Company, horizon_days: int = 182) -> Answer:
    """Answer: does a field leak the outcome? Fields that split leavers perfectly, records made after leaving.

    None gets an odds ratio, and none is in a model. Source: Kaufman et al. 2012, ACM Trans. Knowledge Discovery 6.
    """
    customer_base.require_leavers(company)
    columns = prediction.leaking_columns(company)
    fields: dict[str, str] = {}
    levels: list[dict[str, object]] = []
    with suppress(Unanswered):  # too few leavers for a model: columns and records can still be checked
        fitted = prediction.fitted_by(company, company.as_of, horizon_days)
        fields = {k: v for k, v in fitted.leaks.items() if k not in columns}
        levels = _without_contrast(fitted, company.settings.privacy.minimum_base)
    late = [r for r in snapshots.after_leaving(company).to_dict("records") if r["n"]]
    rows = [
        {"what": k, "kind": kind, "reason": f"{k} {v}"}
        for kind, found in ((COLUMN, columns), (FIELD, fields)) for k, v in found.items()
    ]  # fmt: skip
    for kind, part, found in ((LEVEL, "level", levels), (LATE, "late_record", late)):
        rows += [
            {"what": r["source"], "kind": kind, "reason": words.say(__file__, "leakage", part, **r)} for r in found
        ]
    return answer(
        "count", pd.DataFrame(rows), fields=[*columns, *fields], levels=[r["source"] for r in levels], late=late
    )


def _without_contrast(fitted: Fitted, least: int) -> list[dict[str, object]]:
    """Return the levels of at least ``least`` customers of which all or nobody left: source, n, events."""
    if not fitted.fields:
        return []
    sums = fitted.fit(fitted.fields).table
    pure = sums[(sums["n"] >= least) & ((sums["events"] == 0) | (sums["events"] == sums["n"]))]
    return [
        {"source": f"{r['predictor']}: {r['level']}", "n": float(r["n"]), "events": float(r["events"])}
        for r in pure.to_dict("records")
    ]


# ---- who is at risk now ----------------------------------------------------------------------------------------------


def _worth(company: Company) -> float:
    """Return the value of a unit of monthly revenue over the horizon of the money block; NaN without one."""
    m = company.settings.money
    return math.nan if m is None else (1.0 if m.value_is == "revenue" else m.gross_margin) * m.horizon_months


def _today(company: Company, horizon: int) -> tuple[logistic.Logistic, pd.DataFrame, pd.DataFrame]:
    """Return the model, the cells of the customers here today, and these in the levels of the model."""
    customer_base.require_leavers(company)
    fitted = prediction.fitted_by(company, company.as_of, horizon)
    today = snapshots.patterns(company, company.as_of, horizon, prediction.metrics_of(company))
    return fitted.fit(fitted.fields), today, fitted.known(today)


def at_risk(company: Company, horizon_days: int = 182, most: int = 1000) -> pd.DataFrame:
    """List customers for follow-up, the most valuable risk first: an association, not who would stay after a call.

    Columns: customer_id; probability (0-1, of leaving by choice within the horizon); value_at_risk (probability x
    monthly revenue x margin x months of the money block, undiscounted; NaN without money); reasons (up to three fields
    that raise the odds most against the average customer, and by how much); the band of the last answer to each metric.
    At most ``most`` rows.

    Raises InputError unless privacy.at_risk_list is true in company.yaml, Unanswered where no model can be fitted.
    """
    snapshots.check_list(company)
    model, today, known = _today(company, horizon_days)
    metrics = prediction.metrics_of(company)
    keys = [*snapshots.predictors(company), *(snapshots.answer(m) for m in metrics)]
    today = today.assign(probability=model.probability(known), reasons=_reasons(model, today, known))
    kinds = today.drop_duplicates(keys)[[*keys, "probability", "reasons"]]
    return snapshots.listed(company, kinds, horizon_days, metrics, _worth(company), most)


def _reasons(model: logistic.Logistic, today: pd.DataFrame, known: pd.DataFrame) -> list[str]:
    """Return for each cell the fields that raise its odds most against the average: "NPS answer: detractor (x 1.9)"."""
    terms = model.terms(known)
    above = (terms - np.average(terms, axis=0, weights=today["n"])).to_numpy()
    names, found = list(terms.columns), []
    for row, (__, cell) in zip(above, today.iterrows(), strict=True):
        top = [i for i in np.argsort(-row, kind="stable")[:3] if row[i] > 0.1]
        said = "; ".join(f"{names[i]}: {cell[names[i]]} (x {math.exp(row[i]):.1f})" for i in top)
        found.append(said or "no field in particular")
    return found


@finding("at-risk")
def summary(company: Company, horizon_days: int = 182) -> Answer:
    """Answer: how many customers are at risk now, and how much money? Risk by price, without anybody's id.

    Intervals: the model under resamples of the folds it was fitted to, the customers of today held fixed.
    """
    model, today, known = _today(company, horizon_days)
    n, p = today["n"].to_numpy(float), model.probability(known)
    least = company.settings.privacy.minimum_base
    ends = _ends(n, p, A_BAND * least)
    risk = np.array([_band(r, ends) for r in np.searchsorted(ends, p, side="right")])
    price = today[PRICE].map(_half).to_numpy() if PRICE in today else np.full(len(today), ALL)
    names, groups, hidden = _groups(risk, price, n, [_band(r, ends) for r in range(len(ends), -1, -1)], least)
    matrix, worth = resamples(company), today["a_month"].fillna(0.0).to_numpy(float) * _worth(company)
    leaving, lost = (_expected(model, known, matrix, groups * size) for size in (n, worth))
    rows = []
    for i, (band, value) in enumerate(names):
        size, of = float(groups[i] @ n), {"risk": band, "price": value}
        if hidden[i]:
            rows.append(of | {"estimate": Estimate(math.nan, math.nan, math.nan), "value_at_risk": math.nan})
        elif size:
            rows.append(of | {"estimate": scoring.estimate(leaving[:, i], size, 0, size), "value_at_risk": lost[0, i]})
    everybody, money = rows[-1]["estimate"], company.settings.money
    if not everybody.n > 0:
        raise Unanswered("few-customers-today")
    stake = scoring.estimate(lost[:, -1], float(n.sum()))
    facts = {"horizon": horizon_days, "value_is": money.value_is if money else ""}
    figures = [
        Figure("expected-leavers", words.say(__file__, "at-risk", "leavers_label", **facts), everybody, "customers")
    ]
    if money:
        label = words.say(__file__, "at-risk", "stake_label", **facts)
        figures.append(Figure("value-at-risk", label, stake, company.settings.currency))
    return answer(
        "forecast", table(rows, ["risk", "price"]), figures,
        customers=float(n.sum()), leavers=everybody, end=ends[-1] if ends else 0,
        above=n[p >= ends[-1]].sum() if ends else 0,
        stake=stake, months=money.horizon_months if money else 0, earlier=_earlier(company, horizon_days),
        hidden=int(hidden.sum()), **facts,
    )  # fmt: skip


def _groups(
    risk: np.ndarray, price: np.ndarray, n: np.ndarray, bands: list[str], least: int
) -> tuple[list[tuple[str, str]], np.ndarray, np.ndarray]:
    """Return the rows of the grid of risk by price: their names, the cells in each (rows x cells), which are hidden.

    ``risk`` and ``price`` are of each cell, ``n`` its customers. Sums by risk, by price and of all follow the grid;
    with a single price only the sums are left. Each name occurs once.
    """
    risks = [r for r in bands if (risk == r).any()]
    prices = [v for v in (*HALVES[::-1], snapshots.NOT_KNOWN, ALL) if (price == v).any()]
    grid = [(r, v) for r in risks for v in prices]
    mask = np.array([(risk == r) & (price == v) for r, v in grid])
    totals = [(r, ALL) for r in risks] + ([(ALL, v) for v in prices] if len(prices) > 1 else []) + [(ALL, ALL)]
    sums = np.array([[r in (a, ALL) and v in (b, ALL) for a, b in grid] for r, v in totals])
    hide = disclosure.hide_small(mask @ n, sums, least)
    names, inside, hidden = totals, sums.astype(float) @ mask > 0, hide.totals
    if len(prices) > 1:
        names, inside, hidden = grid + totals, np.vstack([mask, inside]), np.r_[hide.cells, hide.totals]
    last = list({name: i for i, name in enumerate(names)}.values())
    unseen = {name for name, unseen in zip(names, hidden, strict=True) if unseen}
    return [names[i] for i in last], inside[last], np.array([names[i] in unseen for i in last])


def _earlier(company: Company, horizon: int) -> Mapping[str, float] | None:
    """Return how many leavers the same fields would have predicted one horizon ago, and how many left, if known."""
    with suppress(Unanswered):
        trial = prediction.trial_of(company, horizon)
        predicted = trial.fitted.fit(trial.fitted.fields).probability(trial.test) @ trial.test["n"]
        return {"expected": float(predicted), "left": float(trial.test["left"].sum())}
    return None


def _half(price: str) -> str:
    """Return the half of prices that a quarter belongs to: grids of more cells would have to hide most of them."""
    known = snapshots.PRICES
    return HALVES[known.index(price) // 2] if price in known else price


def _ends(n: np.ndarray, p: np.ndarray, least: float) -> list[float]:
    """Return the ends of bands of probability, each band holding ``least`` customers or more."""
    found: list[float] = []
    for end in RISKS:
        below = (p < end) & (p >= (found[-1] if found else 0))
        if n[below].sum() >= least and n[p >= end].sum() >= least:
            found.append(end)
    return found


def _band(r: int, ends: list[float]) -> str:
    said = [percent(v, 0) for v in ends]
    if not said:
        return ALL
    return f"below {said[0]}" if r == 0 else f"{said[-1]} or more" if r == len(said) else f"{said[r - 1]} to {said[r]}"


def _expected(model: logistic.Logistic, known: pd.DataFrame, matrix: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Add up probabilities over groups (groups x cells) under each resample of the model: draws x groups."""
    design, moved = model.design(known), model.draws(matrix)
    step = max(1, 4_000_000 // len(design))
    parts = [special.expit(moved[i : i + step] @ design.T) @ sizes.T for i in range(0, len(moved), step)]
    return np.vstack(parts)
