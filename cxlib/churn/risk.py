"""Who is at risk, and does a score tell beyond what was known anyway? (03_churn)

A snapshot is all customers here on a date with everything known by then; the outcome is leaving by choice within the horizon.
A model is fitted to early snapshots and judged on a later one, whose outcome it has not seen (van Houwelingen 2007; Steyerberg
2019). Who leaves otherwise within the horizon (a competing end) counts as not having left by choice.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import special

from cxlib.counts import answers, snapshots
from cxlib.counts.snapshots import CONTACTS, PRICE, answer
from cxlib.intake.company import Company
from cxlib.page import prediction
from cxlib.page.findings import (
    Figure,
    Finding,
    day,
    interval,
    listing,
    money,
    number,
    p_value,
    percent,
    table,
    unanswered,
)
from cxlib.page.prediction import Fitted, Trial
from cxlib.page.resamples import resamples
from cxlib.stats import disclosure, intervals, logistic, scoring
from cxlib.stats.estimate import Estimate

RISKS = (0.05, 0.1, 0.2)  # ends of bands of probability, where enough customers are in each
A_BAND = 5  # times the minimum base
HALVES = ("lower half", "upper half")
ALL = "all"

# What the tables of the page show, by the heading a reader sees.
BEYOND = {"measure": "Measure", "model": "Model", "value": "Value", "low": "Low", "high": "High"}
LEAKAGE = {"what": "What", "kind": "Kind", "reason": "Why it is left out"}
GRID = {
    "risk": "Probability",
    "price": "Monthly price",
    "n": "Customers",
    "value": "Expected to leave",
    "low": "Low",
    "high": "High",
    "value_at_risk": "Value at risk",
}


def _gain(one: pd.DataFrame, other: pd.DataFrame, measure: str, n: float) -> Estimate:
    return scoring.estimate((other[measure] - one[measure]).to_numpy(), n)


def _caveats(company: Company, trial: Trial, horizon: int) -> list[str]:
    first, last = trial.fitted.days[-1], trial.fitted.days[0]
    said = [
        f"Fitted to customers here between {day(first)} and {day(last)} and judged on those of {day(trial.test_day)}, each by who "
        f"left by choice in the {horizon} days after; only answers given by then, and not older than a year, are known."
    ]
    if other := int(trial.test["other"].sum()):
        said.append(f"{other:,} who left in that time without choosing to count as not having left by choice.")
    if PRICE in trial.base:
        said.append("The monthly price is the one exported; it may have been another on the day.")
    if trial.fitted.leaks:
        said.append(f"Left out, as they tell the outcome itself: {listing(trial.fitted.leaks)}.")
    return said


def _share(v: float) -> str:
    return number(v, 3)


def beyond(company: Company, metric: str = "", horizon_days: int = 182) -> Finding:
    """Answer: does the score tell who leaves beyond what was known anyway? With and without it, on later customers.

    In sample: likelihood ratio, and a Wald test with errors by fold. Out of time: difference of the mean log score, the
    concordance and the lift of the top tenth, all under the same fold draws.
    """
    name, title = "beyond", "What the score adds to what was known anyway"
    metric = answers.choose(company, metric)
    trial = prediction.trial_of(company, horizon_days)
    if isinstance(trial, str):
        return unanswered(name, title, trial)
    if why := prediction.no_score(company, trial, metric):
        return unanswered(name, title, why)
    score, n = answer(metric), float(trial.test["n"].sum())
    (plain, without), (full, with_it) = trial.judge(trial.base), trial.judge([*trial.base, score])
    rows = []
    for measure, words in _MEASURES.items():
        for model, found in (("without the score", without), ("with the score", with_it)):
            rows.append({"measure": words, "model": model, "estimate": scoring.estimate(found[measure].to_numpy(), n)})
        rows.append({"measure": words, "model": "gain", "estimate": _gain(without, with_it, measure, n)})
    order, log = (_gain(without, with_it, m, n) for m in (scoring.CONCORDANCE, scoring.LOG_SCORE))
    ratio = 2 * (full.log_likelihood - plain.log_likelihood)
    _f, df, p = full.wald(score)
    over, label = listing(trial.base) or "the average", metric.upper()
    ends = [float(d[scoring.CONCORDANCE].iloc[0]) for d in (without, with_it)]
    moved = f"the concordance goes from {_share(ends[0])} to {_share(ends[1])}, a gain of {interval(order, _share)}"
    if log.low > 0:
        text = f"{label} tells who leaves beyond {over}: on customers the model had not seen {moved}."
    elif p < 0.05 and not log.high < 0:
        text = f"In the snapshots fitted {label} goes with leaving beyond {over} ({p_value(p)}), but on later customers no gain is "
        text += f"certain: {moved}."
    else:
        text = f"The score adds nothing detectable over {over}: {moved}; in the snapshots fitted, {p_value(p)}."
    caveats = [
        *_caveats(company, trial, horizon_days),
        f"Likelihood ratio in the snapshots fitted: {number(ratio)} on {df} degrees of freedom, overlapping windows and all; its test "
        f"by customers: {p_value(p)}. Out of time the mean log score changes by {interval(log, lambda v: number(v, 5))}; above 0 is "
        "better. A score may go with leaving and yet add little to the order of all customers.",
    ]
    figures = (
        Figure(f"{metric}-gain", f"Gain in concordance by {label}", order, "concordance"),
        Figure(f"{metric}-concordance", f"Concordance with {label}", rows[1]["estimate"], "concordance"),
    )
    return Finding(name, title, text, "C", table(rows, ["measure", "model"]), figures, tuple(caveats))


_MEASURES = {
    scoring.CONCORDANCE: "concordance",
    scoring.LIFT: "lift of the top tenth",
    scoring.LOG_SCORE: "mean log score",
}


def signals(company: Company, horizon_days: int = 182) -> Finding:
    """Answer: which signal tells most? Each score and the support contacts alone, and together, over the same baseline.

    Only customers with an answer to every score compared; scores too few have beside the others are left out, the rarest
    first. Gains in concordance on later customers, Benjamini-Hochberg over all of them.
    """
    name, title = "signals", "Which signal tells who leaves, and do they together?"
    trial = prediction.trial_of(company, horizon_days)
    if isinstance(trial, str):
        return unanswered(name, title, trial)
    shared, dropped = list(trial.answers), []
    while shared and not _enough(trial, shared):
        rarest = min(shared, key=lambda k: prediction.having(trial.test, [k])["n"].sum())
        shared.remove(rarest)
        dropped.append(rarest)
    several = [*shared, *([CONTACTS] if CONTACTS in trial.base else [])]
    if not shared or len(several) < 2:
        return unanswered(
            name,
            title,
            f"too few customers with two signals left: {prediction.LEAST_TESTED} leavers are needed to judge by.",
        )
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
    best = max(rows[:-1], key=lambda r: r["estimate"].value)
    clear, together = [r["signal"] for r in rows[:-1] if r["found"]], rows[-1]
    start = f"Among the {n:,.0f} customers with {listing(shared)}, "
    if clear or together["found"]:
        alone = (
            f"{listing(clear)} tell{'s' * (len(clear) == 1)} more than {listing(base)} alone"
            if clear
            else "no signal alone is certain"
        )
        text = f"{start}{alone}; most by itself does {best['signal']}, a gain in concordance of {interval(best['estimate'], _share)}. "
        text += f"All together: {interval(together['estimate'], _share)}."
    else:
        text = f"{start}no signal, nor all together, adds anything detectable to {listing(base)}: at most {best['signal']}, "
        text += f"{interval(best['estimate'], _share)}."
    caveats = _caveats(company, trial, horizon_days)
    caveats += [f"Not compared, as too few have it beside the others: {listing(dropped)}."] if dropped else []
    caveats.append(
        f"{len(tested)} comparisons, called found by Benjamini-Hochberg at 5 %. Who has answered all of these is not everybody."
    )
    figures = tuple(
        Figure(
            f"signal-{r['signal'].split()[0].lower()}",
            f"Gain in concordance: {r['signal']}",
            r["estimate"],
            "concordance",
        )
        for r in rows
        if not math.isnan(r["p"])
    )
    return Finding(name, title, text, "C", table(rows, ["signal"]), figures, tuple(caveats))


def _enough(trial: Trial, among: list[str]) -> bool:
    train, test = (prediction.having(c, among)["left"].sum() for c in (trial.fitted.cells, trial.test))
    return train >= prediction.LEAST_LEFT and test >= prediction.LEAST_TESTED


def calibration(company: Company, horizon_days: int = 182) -> Finding:
    """Answer: can the probabilities be read as they stand? Predicted against what came, in ten groups of later customers."""
    name, title = "calibration", "Leavers predicted and leavers seen"
    trial = prediction.trial_of(company, horizon_days)
    if isinstance(trial, str):
        return unanswered(name, title, trial)
    model, found = trial.judge(trial.fitted.fields)
    test = trial.test
    p, n = model.probability(test), float(test["n"].sum())
    two = pd.concat(
        [test.assign(p=p, y=1.0, size=test["left"]), test.assign(p=p, y=0.0, size=test["n"] - test["left"])]
    )
    groups = max(2, min(10, int(n // company.settings.privacy.minimum_base)))
    rows = scoring.calibration_table(two["p"], two["y"], two["size"], groups)
    line = scoring.calibration_line(two["p"], two["y"], two["size"], two["fold"])
    expected, seen = float(p @ test["n"]), float(test["left"].sum())
    brier, ordered = (scoring.estimate(found[m].to_numpy(), n, 0, 1) for m in (scoring.BRIER, scoring.CONCORDANCE))
    share = seen / n
    text = f"Of {n:,.0f} customers here on {day(trial.test_day)}, {expected:,.0f} were predicted to leave by choice within {horizon_days} "
    text += f"days and {seen:,.0f} did. "
    off = []
    if line.intercept.excludes(0):
        off.append("too low" if line.intercept.value > 0 else "too high")
    if line.slope.excludes(1):
        off.append("too extreme" if line.slope.value < 1 else "too timid")
    if off:
        text += f"The probabilities cannot be read as they stand: they are {listing(off)}"
        text += (
            "; use them to put customers in order."
            if ordered.low > 0.5
            else ", and their order is not detectably better than luck."
        )
    else:
        text += "As far as can be seen the probabilities can be read as they stand."
    text += f" Slope {interval(line.slope, lambda v: number(v, 2))}, 1 being right."
    caveats = (
        *_caveats(company, trial, horizon_days),
        f"Brier score {interval(brier, _share)}; saying {percent(share)} to everybody scores {_share(share * (1 - share))}. Order: "
        f"concordance {interval(ordered, _share)}. Intercept {interval(line.intercept, lambda v: number(v, 2))}, 0 being right.",
        "The list of today comes from the same fields, fitted again with the latest outcomes.",
    )
    figures = (
        Figure("calibration-slope", "Slope of leavers seen on leavers predicted", line.slope, "log-odds per log-odds"),
        Figure("calibration-intercept", "Log-odds of leaving not predicted", line.intercept, "log-odds"),
        Figure("brier", "Brier score on later customers", brier, "squared distance"),
        Figure("risk-concordance", "Concordance on later customers", ordered, "concordance"),
    )
    return Finding(name, title, text, "C", rows, figures, caveats)


# ---- what knows too much ------------------------------------------------------------------------------------------------


def leakage(company: Company, horizon_days: int = 182) -> Finding:
    """Answer: does a field know the outcome? Fields and columns that split leavers perfectly, records made after leaving.

    None of them gets a ratio, and none is in a model. Source: Kaufman et al. 2012, ACM Trans. Knowledge Discovery 6.
    """
    name, title = "leakage", "Fields that know the outcome"
    if why := prediction.why_not(company):
        return unanswered(name, title, why)
    rows = [
        {"what": k, "kind": "column of customers", "reason": f"{k} {v}"}
        for k, v in prediction.leaking_columns(company).items()
    ]
    fitted = prediction.fitted_by(company, company.as_of, horizon_days)
    if not isinstance(fitted, str):
        rows += [{"what": k, "kind": "field of a snapshot", "reason": f"{k} {v}"} for k, v in fitted.leaks.items()
                 if k not in prediction.leaking_columns(company)]  # fmt: skip
        sums = fitted.fit(fitted.fields).table if fitted.fields else pd.DataFrame(columns=["n", "events"])
        least = company.settings.privacy.minimum_base
        for r in sums[(sums["n"] >= least) & ((sums["events"] == 0) | (sums["events"] == sums["n"]))].to_dict(
            "records"
        ):
            who = "nobody" if r["events"] == 0 else "everybody"
            reason = f"{who} of {r['n']:,.0f} (counted once a snapshot) left by choice: no ratio can be given"
            rows.append({"what": f"{r['predictor']}: {r['level']}", "kind": "level without contrast", "reason": reason})
    for r in snapshots.after_leaving(company).to_dict("records"):
        if r["n"]:
            reason = (
                f"{r['n']:,} of {r['all']:,} are dated on or after the day the customer left; no snapshot knows them"
            )
            rows.append({"what": r["source"], "kind": "recorded after leaving", "reason": reason})
    caveats = ("A field that tells the outcome only nearly is not found this way: ask of each when it was written.",)
    if not rows:
        text = "No field, column or record was found that knows who has left."
        return Finding(name, title, text, "D", caveats=caveats)
    out = [r["what"] for r in rows if r["kind"] in ("column of customers", "field of a snapshot")]
    text = (
        f"{listing(out)} know{'s' * (len(out) == 1)} the outcome and get{'s' * (len(out) == 1)} no ratio. "
        if out
        else ""
    )
    rest = [f"{r['what']}: {r['reason']}" for r in rows if r["what"] not in out]
    text += f"{'; '.join(rest)}." if rest else ""
    return Finding(name, title, text.strip(), "D", pd.DataFrame(rows), caveats=caveats)


# ---- who is at risk now ------------------------------------------------------------------------------------------------


def _worth(company: Company) -> float:
    """Return what a unit of monthly revenue is worth over the horizon of the money block; NaN without one."""
    m = company.settings.money
    return math.nan if m is None else (1.0 if m.value_is == "revenue" else m.gross_margin) * m.horizon_months


def _today(company: Company, horizon: int) -> tuple[Fitted, logistic.Logistic, pd.DataFrame, pd.DataFrame] | str:
    """Return the snapshots fitted, the model, the cells of customers here today, and these in the levels of the model."""
    if why := prediction.why_not(company):
        return why
    fitted = prediction.fitted_by(company, company.as_of, horizon)
    if isinstance(fitted, str):
        return fitted
    today = snapshots.patterns(company, company.as_of, horizon, prediction.metrics_of(company))
    return fitted, fitted.fit(fitted.fields), today, fitted.known(today)


def at_risk(company: Company, horizon_days: int = 182, most: int = 1000) -> pd.DataFrame:
    """List customers for follow-up, the most valuable risk first: an association, not who would be saved by a call.

    Columns: customer_id; probability (0-1, of leaving by choice within the horizon); value_at_risk (probability x monthly
    revenue x margin x months of the money block, undiscounted; NaN without money); reasons (up to three fields that raise the
    odds most against the average customer, and by how much); the band of the last answer to each metric. At most ``most`` rows.

    Raises InputError unless privacy.at_risk_list is true in company.yaml, and where no model can be fitted.
    """
    snapshots.check_list(company)
    found = _today(company, horizon_days)
    if isinstance(found, str):
        snapshots.check_list(company, found)
    __, model, today, known = found
    metrics = prediction.metrics_of(company)
    keys = [*snapshots.predictors(company), *(answer(m) for m in metrics)]
    today = today.assign(probability=model.probability(known), reasons=_reasons(model, today, known))
    kinds = today.drop_duplicates(keys)[[*keys, "probability", "reasons"]]
    return snapshots.listed(company, kinds, horizon_days, metrics, _worth(company), most)


def _reasons(model: logistic.Logistic, today: pd.DataFrame, known: pd.DataFrame) -> list[str]:
    """Say for each cell which fields raise its odds most against the average customer: "NPS answer: detractor (x 1.9)"."""
    terms = model.terms(known)
    above = (terms - np.average(terms, axis=0, weights=today["n"])).to_numpy()
    names, found = list(terms.columns), []
    for row, (__, cell) in zip(above, today.iterrows(), strict=True):
        top = [i for i in np.argsort(-row, kind="stable")[:3] if row[i] > 0.1]
        found.append(
            "; ".join(f"{names[i]}: {cell[names[i]]} (x {math.exp(row[i]):.1f})" for i in top) or "no field stands out"
        )
    return found


def summary(company: Company, horizon_days: int = 182) -> Finding:
    """Answer: how many are at risk now, and what is at stake? Risk by value, without anybody's id.

    Intervals: the model under resamples of the folds it was fitted to, the customers of today held fixed.
    """
    name, title = "at-risk", "Customers of today by risk and price"
    found = _today(company, horizon_days)
    if isinstance(found, str):
        return unanswered(name, title, found)
    __, model, today, known = found
    n, p = today["n"].to_numpy(float), model.probability(known)
    ends = _ends(n, p, A_BAND * company.settings.privacy.minimum_base)
    risk = np.searchsorted(ends, p, side="right")
    price = today[PRICE].map(_half).to_numpy() if PRICE in today else np.full(len(today), ALL)
    stake = today["a_month"].fillna(0.0).to_numpy(float) * _worth(company)
    risks = [r for r in range(len(ends), -1, -1) if (risk == r).any()]
    prices = [v for v in (*HALVES[::-1], snapshots.NOT_KNOWN, ALL) if (price == v).any()]
    cells = [(r, v) for r in risks for v in prices]
    mask = np.array([(risk == r) & (price == v) for r, v in cells])
    sums = np.vstack([[a == r for a, __ in cells] for r in risks] + [[b == v for __, b in cells] for v in prices if len(prices) > 1]
                     + [[True] * len(cells)])  # fmt: skip
    hide = disclosure.hide_small(mask @ n, sums, company.settings.privacy.minimum_base)
    names = [(_band(r, ends), v) for r, v in cells] if len(prices) > 1 else []
    names += (
        [(_band(r, ends), ALL) for r in risks] + ([(ALL, v) for v in prices] if len(prices) > 1 else []) + [(ALL, ALL)]
    )
    groups = np.vstack([*([mask] if len(prices) > 1 else []), sums.astype(float) @ mask > 0])
    hidden = np.r_[hide.cells, hide.totals] if len(prices) > 1 else hide.totals
    matrix = resamples(company)
    leaving, lost = _expected(model, known, matrix, groups * n), _expected(model, known, matrix, groups * stake)
    unseen = {name for name, hide_it in zip(names, hidden, strict=True) if hide_it}
    rows = []
    for (band, value), i in {
        name: i for i, name in enumerate(names)
    }.items():  # with one band its row and the total are one
        size, of = float(groups[i] @ n), {"risk": band, "price": value}
        if (band, value) in unseen:
            rows.append(of | {"estimate": Estimate(math.nan, math.nan, math.nan), "value_at_risk": math.nan})
        elif size:
            e = scoring.estimate(leaving[:, i], size, 0, size)
            rows.append(of | {"estimate": e, "value_at_risk": lost[0, i]})
    everybody, total, currency = rows[-1]["estimate"], float(n.sum()), company.settings.currency or ""
    if not everybody.n > 0:
        return unanswered(name, title, f"there are fewer than {company.settings.privacy.minimum_base} customers.")
    within = f"by choice within {horizon_days} days"
    text = f"Of {total:,.0f} customers of today {interval(everybody, lambda v: number(v, 0))} would be expected to leave {within}"
    if ends:
        text += f"; {n[p >= ends[-1]].sum():,.0f} have a probability of {percent(ends[-1], 0)} or more"
    text += "."
    figures = [Figure("expected-leavers", f"Customers expected to leave {within}", everybody, "customers")]
    caveats = ["A list for follow-up: these are associations, and do not say who would be saved by a call."]
    margin = scoring.estimate(lost[:, -1], total)
    if math.isfinite(margin.value):
        text += f" At stake: {interval(margin, lambda v: money(v, currency))}."
        m = company.settings.money
        figures.append(
            Figure("value-at-risk", f"{m.value_is.capitalize()} of those expected to leave", margin, currency)
        )
        caveats.append(
            f"Value at risk is the probability times the {m.value_is} of the next {m.horizon_months} months, undiscounted."
        )
    caveats.append(
        "Intervals say how well the model is known; by luck, the number that leaves will vary about it as well."
    )
    trial = prediction.trial_of(company, horizon_days)
    if isinstance(trial, Trial):
        expected = float(trial.fitted.fit(trial.fitted.fields).probability(trial.test) @ trial.test["n"])
        caveats.append(
            f"Fitted {horizon_days} days ago, the same fields would have expected {expected:,.0f} leavers where "
            f"{trial.test['left'].sum():,.0f} left."
        )
    if unseen:
        caveats.append(f"{len(unseen)} groups are not shown, as they are small or would give a small one away.")
    return Finding(name, title, text, "C", table(rows, ["risk", "price"]), tuple(figures), tuple(caveats))


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
