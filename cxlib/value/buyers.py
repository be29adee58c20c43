"""04_value: what will buyers without a contract buy, and what is it worth? Models of repeat buying, tried before trusted.

The models are fitted to the purchases up to a cut (the first two thirds of the history unless told otherwise) and judged on
what the same buyers bought after it; what today's buyers will bring is told by models fitted to everything.

Sources: Schmittlein, Morrison & Colombo (1987), Management Science 33; Fader, Hardie & Lee (2005), Marketing Science 24(2) and
J. Marketing Research 42; Batislam, Denizel & Filiztekin (2007), Int. J. Research in Marketing 24.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from cxlib.counts import customer_base as customer_base
from cxlib.counts import people, purchases
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, day, interval, listing, money, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.page import valuation
from cxlib.stats import draws
from cxlib.stats.estimate import Estimate
from cxlib.stats.likelihood import LikelihoodModel
from cxlib.stats.repeat_buying import TimingModel, spend_frequency_correlation
from cxlib.value.purchase_models import (
    PAST,
    Fits,
    Trial,
    active,
    ahead,
    by_fold,
    expected_spend,
    headline,
    moves,
    spending,
    spread,
    today,
    trial,
    why_not,
)

ACTUAL = "bought"
MOST_REPEATS = 7  # buyers with so many repeat purchases or more are one group
TENTHS = 10
FAILS = 0.2  # a correlation of spend and frequency from here on is no small one

# What the tables of the page show, by the heading a reader sees.
MODELS = {
    "model": "Model",
    "value": "Forecast",
    "low": "Low",
    "high": "High",
    "actual": "Made",
    "error": "Off by",
    "active": "Still active",
    "log_likelihood": "Log-likelihood",
    "parameters": "Parameters (weeks)",
}
ACTIVE = {"history": "History", "model": "Model", "value": "Still active", "low": "Low", "high": "High"}
BASE = {"model": "Model", "what": "What", "value": "Expected", "low": "Low", "high": "High", "unit": "Unit"}

CONVERGED = "Converged."
NOT_KNOWN = "too few resamples have a fit"
WHAT = ("purchases", "value, undiscounted", "value, discounted", "value per buyer, discounted")


def _whole(v: float) -> str:
    return number(v, 0)


def _two(v: float) -> str:
    return number(v, 2)


def _failed(fits: Fits) -> list[str]:
    return [f"{name} is left out: {why}" for name, why in fits.failed.items()]


def _note(e: Estimate) -> str:
    return "" if math.isfinite(e.low) else NOT_KNOWN


def models(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: which model forecasts what buyers do next? Fitted up to ``until``, judged on what they bought after it."""
    name, title = "buying-models", "Models of repeat buying, judged on purchases they had not seen"
    found = trial(company, until, minimum_repeat_buyers)
    if isinstance(found, str):
        return unanswered(name, title, found)
    now, rows, shares = today(company), [], {}
    for model, fitted in found.fits.models.items():
        both = zip(fitted.params.items(), fitted.standard_errors, strict=True)
        shares[model] = active(now, model).value if model in now.models else math.nan
        rows.append({
            "model": model, "estimate": draws.estimate(found.totals[model][0], found.totals[model][1:], found.buyers, low=0),
            "actual": found.actual, "error": found.error(model).value, "active": shares[model],
            "log_likelihood": fitted.log_likelihood,
            "parameters": ", ".join(f"{k} {v:.4g} (se {se:.2g})" for (k, v), se in both),
        })  # fmt: skip
    text, others = f"{found.words()} by {found.buyers:,.0f} buyers", [k for k in found.off if k != found.chosen]
    known = [v for v in shares.values() if not math.isnan(v)]
    if others:
        near = found.closest
        text += (
            f", the closest of {listing(found.off)}"
            if near == found.chosen
            else f"; {near} was {percent(abs(found.off[near][0]))} off, not detectably closer"
        )
        ends = [total[0] for total in found.totals.values()]
        text += f". The forecasts agree within {percent(max(ends) / min(ends) - 1)}"
    if len(known) > 1:
        text += (
            f", while the share of today's buyers taken for still active ranges from {percent(min(known), 0)} to "
            f"{percent(max(known), 0)}: it is no churn rate"
        )
    e = found.error(found.chosen)
    figures = (
        Figure("forecast-error", f"{found.chosen}: forecast against purchases after {day(found.cut)}", e,
               "share of the purchases made", "buyers", _note(e)),
    )  # fmt: skip
    caveats = [
        f"All who bought by {day(found.cut)} count, also those who bought once. Purchases of one day are one, refunds are none. "
        "Parameters are in weeks.",
        "Nobody without a contract is seen to leave. A model's share of active buyers is its own idea of it; only forecasts of "
        "purchases can be checked.",
    ]
    loose = [f"{k}: {m.message}" for k, m in found.fits.models.items() if m.message != CONVERGED]
    caveats += [*loose, *_failed(found.fits)]
    return Finding(name, title, f"{text}.", "D", table(rows, ["model"]), figures, tuple(caveats))


def tracking(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: does the forecast keep up week by week? Repeat purchases so far, as made and as expected."""
    name, title = "buying-tracking", "Repeat purchases so far, week by week"
    found = trial(company, until, minimum_repeat_buyers)
    if isinstance(found, str):
        return unanswered(name, title, found)
    made = purchases.by_day(company, found.cut)
    start, length = made["day"].iloc[0], (pd.Timestamp(company.as_of) - made["day"].iloc[0]).days
    since = (made["day"] - start).dt.days.to_numpy()
    first, repeats = (np.bincount(since, weights=made[c], minlength=length + 1) for c in ("first", "repeats"))
    in_window = (pd.Timestamp(found.cut) - start).days
    ends = np.unique([*range(6, length + 1, 7), in_window, length])
    joined, done = np.cumsum(first)[ends], np.cumsum(repeats)[ends]
    shown = joined >= company.settings.privacy.minimum_base
    ends, joined, done = ends[shown], joined[shown], done[shown]
    newcomers = np.flatnonzero(first)

    def so_far(model: TimingModel, params: np.ndarray) -> np.ndarray:
        each = model.expected_purchases(np.arange(length + 1) / 7, params)
        return np.array([first[newcomers[newcomers <= e]] @ each[e - newcomers[newcomers <= e]] for e in ends])

    lines = {ACTUAL: done[None, :]}
    for model in sorted(found.fits.models, key=lambda k: k != found.chosen):
        lines[model] = found.fits.spread(model, lambda p, k=model: so_far(found.fits.models[k], p))
    rows = []
    for group, line in lines.items():
        for i, e in enumerate(ends):
            one = draws.estimate(line[0, i], line[1:, i], joined[i], low=0) if len(line) > 1 else None
            rows.append({
                "group": group, "week": start + pd.Timedelta(days=int(e)),
                "estimate": one or Estimate(line[0, i], math.nan, math.nan, n=joined[i]),
                "part": "fitted" if e <= in_window else "held out",
            })  # fmt: skip
    best, at = lines[found.chosen], int(np.flatnonzero(ends == in_window)[0])
    off = best[:, -1] / done[-1] - 1
    e = draws.estimate(off[0], off[1:], joined[-1], low=-1)
    text = (
        f"By {day(company.as_of)} buyers had made {_whole(done[-1])} repeat purchases and {found.chosen}, which knows nothing after "
        f"{day(found.cut)}, expects {_whole(best[0, -1])} ({percent(off[0])} off); on that day it was {_whole(best[0, at])} against "
        f"{_whole(done[at])}. The gap was never wider than {percent(_widest(best[0], done, at))} of the purchases made after it."
    )
    figures = (
        Figure("tracking-error", f"{found.chosen}: repeat purchases expected by the as-of date against those made", e,
               "share of the purchases made", "buyers", _note(e)),
    )  # fmt: skip
    caveats = (
        f"Buyers known by {day(found.cut)}. The line expected knows only on which day each first bought, not what they bought since; "
        "its band holds the uncertainty of the parameters. It knows no seasons and no campaigns: a bend in the other may be one.",
    )
    return Finding(name, title, text, "D", table(rows, ["group", "week"]), figures, caveats)


def _widest(expected: np.ndarray, made: np.ndarray, at: int) -> float:
    """Return the widest gap after the cut, as a share of what had been made."""
    return float(np.max(np.abs(expected[at + 1 :] / made[at + 1 :] - 1)))


def by_frequency(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: is the forecast right for rare and for frequent buyers? Later purchases per buyer by earlier ones."""
    name, title = "buying-by-frequency", "Later purchases per buyer, by repeat purchases before"
    found = trial(company, until, minimum_repeat_buyers)
    if isinstance(found, str):
        return unanswered(name, title, found)
    shown = _compared(company, found, _levels(company, found.fits.rows), list(found.expected))
    shown = shown.rename(columns={"level": "before"})
    seen, best = (shown[shown["group"] == g].set_index("before") for g in (ACTUAL, found.chosen))
    inside = int(((seen["low"] <= best["value"]) & (best["value"] <= seen["high"])).sum())
    reach = (seen["high"] - seen["low"]).where(lambda v: v > 0)
    far = ((best["value"] - seen["value"]).abs() / reach).fillna(0).idxmax()
    those = seen.loc[far]
    text = (
        f"{found.chosen} is within the interval of what was bought for {inside} of {len(seen)} kinds of buyers; it fits least those "
        f"with {far} repeat purchases before: {_two(best.loc[far, 'value'])} expected, "
        f"{interval(Estimate(those['value'], those['low'], those['high']), _two)} bought each."
    )
    caveats = (
        f"Purchases before and after {day(found.cut)}, each buyer followed {number(found.weeks, 0)} weeks.",
        *_failed(found.fits),
    )
    return Finding(name, title, text, "D", shown, caveats=caveats)


def _levels(company: Company, rows: pd.DataFrame) -> np.ndarray:
    """Return the level of each row by frequency, "0", "1" ... "7 or more"; where groups get small the last one starts sooner."""
    x, n, least = rows["frequency"].to_numpy(), rows["n"].to_numpy(), company.settings.privacy.minimum_base
    last = int(x.min())
    while last < MOST_REPEATS and min(n[x == last].sum(), n[x > last].sum()) >= least:
        last += 1
    return np.where(x < last, x.astype(str), f"{last} or more")


def _compared(company: Company, found: Trial, level: np.ndarray, models: list[str]) -> pd.DataFrame:
    """Estimate purchases per buyer by (group, level): as bought (fold draws), and as each model expected them."""
    rows = found.fits.rows.assign(level=level)
    for model in models:
        rows[model] = found.expected[model] * rows["n"]
    keys, sums = draws.resample(rows, "fold", ["n", "purchases", *models], ["level"], resamples(company))
    with np.errstate(invalid="ignore", divide="ignore"):
        each = sums[:, :, 1:] / sums[:, :, :1]
    out = []
    for i, k in enumerate(keys["level"]):
        n = sums[0, i, 0]
        out.append({"group": ACTUAL, "level": k, "estimate": draws.estimate(each[0, i, 0], each[1:, i, 0], n, low=0)})
        for j, model in enumerate(models, 1):
            out.append({"group": model, "level": k, "estimate": Estimate(each[0, i, j], math.nan, math.nan, n=n)})
    shown = table(out, ["group", "level"])
    return shown.sort_values("group", key=lambda g: g.map([ACTUAL, *models].index), kind="stable", ignore_index=True)


def lift(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: does the forecast tell who will buy? Later purchases by tenths of buyers, the likeliest first."""
    name, title = "buying-lift", "Later purchases per buyer, by tenths of the forecast"
    found = trial(company, until, minimum_repeat_buyers)
    if isinstance(found, str):
        return unanswered(name, title, found)
    n = found.fits.rows.groupby(found.expected[found.chosen])["n"].sum().sort_index(ascending=False)
    if n.sum() < TENTHS * company.settings.privacy.minimum_base:
        return unanswered(name, title, f"a tenth of {n.sum():,} buyers is too small a group.")
    tenth = np.minimum((TENTHS * (n.cumsum() - n / 2) / n.sum()).astype(int), TENTHS - 1) + 1
    level = tenth.loc[found.expected[found.chosen]].to_numpy()
    shown = _compared(company, found, level, [found.chosen]).rename(columns={"level": "tenth"})
    resampling, rows, fold = resamples(company), found.fits.rows, found.fits.rows["fold"].to_numpy()
    top = [
        resampling @ by_fold(fold, np.where(here, rows[c], 0), resampling)
        for here in (level == level.min(), np.ones(len(rows), dtype=bool))
        for c in ("n", "purchases")
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        share, times = top[1] / top[3], (top[1] / top[0]) / (top[3] / top[2])
    e, of_all = (draws.estimate(v[0], v[1:], top[2][0], low=0) for v in (times, share))
    text = (
        f"The tenth of buyers of whom {found.chosen} expects most made {interval(of_all, percent)} of all purchases after "
        f"{day(found.cut)}: {interval(e, number)} times as many each as the average buyer."
    )
    figures = (
        Figure("lift", f"Purchases of the top tenth of {found.chosen} against the average buyer", e, "times", "buyers"),
        Figure("top-tenth", "Share of purchases made by the top tenth of the forecast", of_all, "share", "buyers"),
    )
    caveats = (f"Each followed {number(found.weeks, 0)} weeks. Buyers of equal forecast stay in one tenth.",)
    return Finding(name, title, text, "D", shown, figures, caveats)


# ---- today -----------------------------------------------------------------------------------------------------------


def _quantile(values: np.ndarray, n: np.ndarray, share: float) -> float:
    order = np.argsort(values, kind="stable")
    return float(values[order][np.searchsorted(np.cumsum(n[order]), share * n.sum())])


def _histories(fits: Fits) -> dict[str, tuple[float, float, float]]:
    """Return typical pasts, from the quantiles of the data, by how a reader says them; weeks are whole."""
    (x, recency, age), n, found = fits.past, fits.cells["n"].to_numpy(float), {}
    for q in (0.1, 0.5, 0.9):
        weeks = round(_quantile(age[x == 0], n[x == 0], q)) if (x == 0).any() else 0
        found[f"bought once, {weeks} weeks ago"] = (0, 0, weeks)
    again = x > 0
    for many in (0.5, 0.9):
        times = _quantile(x[again], n[again], many)
        whole = max(round(_quantile(age[again], n[again], 0.5)), 2)
        for q in (0.1, 0.5, 0.9):
            since = min(round(whole * _quantile(1 - recency[again] / age[again], n[again], q)), whole - 1)
            found[f"{times + 1:.0f} purchases in {whole} weeks, the last {since} weeks ago"] = (
                times,
                whole - since,
                whole,
            )
    return found


def alive(company: Company, minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: who is still active? That depends on the model: probabilities for typical pasts, and for all of today."""
    name, title = "buying-active", "Probability of still being active, by model"
    if why := why_not(company, minimum_repeat_buyers):
        return unanswered(name, title, why)
    fits = today(company)
    if not fits.models:
        return unanswered(name, title, " ".join(_failed(fits)))
    pasts, n, rows, shares = _histories(fits), float(fits.cells["n"].sum()), [], {}
    everybody = "all buyers of today"
    x, recency, age = np.array(list(pasts.values())).T
    for model, fitted in fits.models.items():
        drawn = fits.spread(model, lambda p, m=fitted: m.probability_alive(x, recency, age, p))
        shares[model] = active(fits, model)
        rows.append({"history": everybody, "model": model, "estimate": shares[model]})
        for i, past in enumerate(pasts):
            e = draws.estimate(drawn[0, i], drawn[1:, i], n, low=0, high=1)
            rows.append({"history": past, "model": model, "estimate": e, "weeks since": age[i] - recency[i]})
    said = listing(f"{percent(e.value, 0)} by {model}" for model, e in shares.items())
    text = f"Of {n:,.0f} buyers {said} are still active on {day(company.as_of)}"
    text += ": the models do not agree, and nothing seen can tell them apart." if len(shares) > 1 else "."
    figures = tuple(
        Figure(f"active-{model.split('/')[0].lower()}", f"Share of buyers still active by {model}", e, "share", "buyers", _note(e))
        for model, e in shares.items()
    )  # fmt: skip
    caveats = [
        "This is no churn rate. Nobody is seen to leave; a model infers it from a silence that is long for that buyer.",
        *(
            [
                "BG/NBD takes everybody who bought once for active, however long ago: it lets nobody leave before a second purchase."
            ]
            if "BG/NBD" in fits.models
            else []
        ),
        *_failed(fits),
    ]
    rows.sort(key=lambda r: [everybody, *pasts].index(r["history"]))
    return Finding(name, title, text, "D", table(rows, ["history", "model"]), figures, tuple(caveats))


def spend(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: do frequent buyers spend more or less per purchase? And is what they spent later as forecast?"""
    name, title = "buying-spend", "Spend per repeat purchase, by number of repeat purchases"
    if why := why_not(company, minimum_repeat_buyers):
        return unanswered(name, title, why)
    model, again = spending(today(company).rows)
    if again["n"].sum() < company.settings.privacy.minimum_base:
        return unanswered(name, title, "too few of those who came back paid anything.")
    again = again.assign(level=_levels(company, again), money=again["n"] * again["spend"])
    together = spend_frequency_correlation(again["frequency"], again["spend"], weights=again["n"])
    keys, sums = draws.resample(again, "fold", ["n", "money"], ["level"], resamples(company))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[:, :, 1] / sums[:, :, 0]
    write = lambda v: money(v, company.settings.currency, 2)  # noqa: E731
    shown = table(
        [{"repeats": k, "estimate": draws.estimate(mean[0, i], mean[1:, i], sums[0, i, 0], low=0)}
         for i, k in enumerate(keys["level"])], ["repeats"])  # fmt: skip
    ends = f"{write(mean[0, 0])} with {keys['level'].iloc[0]} repeat purchase and {write(mean[0, -1])} with {keys['level'].iloc[-1]}"
    fails = together.excludes(0) and abs(together.value) >= FAILS
    verdict = "does not depend on" if not together.excludes(0) else "goes with" if fails else "hardly goes with"
    text = f"Spend per purchase {verdict} how often somebody buys: correlation {interval(together, _two)}, {ends}."
    figures = [Figure("spend-frequency", "Correlation of spend per purchase and repeat purchases", together, "correlation", "buyers",
                      "" if math.isfinite(together.low) else "spend or frequency never varies")]  # fmt: skip
    caveats = [f"{again['n'].sum():,} buyers who came back and paid; means per buyer of their repeat purchases."]
    if fails:
        caveats.append(
            "Gamma-Gamma takes spend and frequency for independent, which they are not here: money forecasts are off for rare or "
            "frequent buyers. Forecast each segment by itself, those that differ in spend above all."
        )
    found = trial(company, until, minimum_repeat_buyers)
    if isinstance(found, str):
        caveats.append(f"The forecast of spend could not be tried: {found}")
    elif (before := spending(found.fits.rows)[0]).message == CONVERGED:
        off, later, expected = _later_spend(company, found, before)
        side = "above" if off.value > 0 else "below"
        text += (
            f" For purchases after {day(found.cut)} Gamma-Gamma expected {write(expected)} each, {percent(abs(off.value))} {side} "
            f"the {interval(later, write)} spent."
        )
        figures.append(
            Figure(
                "spend-error", "Spend per purchase, forecast against what was spent", off, "share", "buyers", _note(off)
            )
        )
    else:
        caveats.append(f"The forecast of spend could not be tried: {before.message}")
    if model.message != CONVERGED:
        caveats.append(model.message)
    return Finding(name, title, text, "D", shown, tuple(figures), tuple(caveats))


def _later_spend(company: Company, found: Trial, model: LikelihoodModel) -> tuple[Estimate, Estimate, float]:
    """Return how far off the spend forecast of the purchases made after the cut was, their spend, and the forecast."""
    rows, resampling = found.fits.rows, resamples(company)
    columns = (rows["revenue"], rows["purchases"], rows["purchases"] * expected_spend(model, rows))
    spent, made, expected = (resampling @ by_fold(rows["fold"].to_numpy(), c, resampling) for c in columns)
    off, n = expected / spent - 1, float(rows.loc[rows["purchases"] > 0, "n"].sum())
    later = draws.estimate(spent[0] / made[0], spent[1:] / made[1:], n, low=0)
    return draws.estimate(off[0], off[1:], n, low=-1), later, float(expected[0] / made[0])


# ---- what today's buyers will bring ----------------------------------------------------------------------------------


def base(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Finding:
    """Answer: what will exactly today's buyers bring? Purchases and money over the horizon, by each model.

    The buyers are given, only the parameters are drawn: the interval is that of the total expected of them.
    """
    name = "value-of-the-base"
    if why := why_not(company, minimum_repeat_buyers, priced=True):
        return unanswered(name, "Value of today's buyers", why)
    m, currency, fits = company.settings.money, company.settings.currency, today(company)
    title = f"What today's buyers will bring in the next {m.horizon_months} months"
    spends, again = spending(fits.rows)
    if not fits.models or not spends.converged:
        return unanswered(name, title, spends.message if fits.models else " ".join(_failed(fits)))
    rows_n, n = fits.rows["n"].to_numpy(float), fits.cells["n"].to_numpy(float)
    share, customers = valuation.share_kept(company), float(n.sum())
    priced = share * fits.sums(rows_n * expected_spend(spends, fits.rows))
    spent, coarse = moves(spends, resamples(company), again, ["frequency", "spend"]), math.ceil(m.horizon_months / 4)
    units, rows, totals = ("purchases", currency, currency, f"{currency} per buyer"), [], {}
    for model, fitted in fits.models.items():
        bought = ahead(company, fitted, fits.past)

        def sums(both: np.ndarray) -> np.ndarray:
            return np.array([both[0] @ n, *(both @ priced)])

        def by_spend(p: np.ndarray, bought: np.ndarray = bought) -> np.ndarray:
            return share * (bought[:, fits.cell] * rows_n) @ expected_spend(spends, fits.rows, p)

        drawn = fits.spread(model, lambda p, f=fitted: sums(ahead(company, f, fits.past, p, coarse)))
        drawn *= sums(bought) / drawn[0]  # the slopes are those of coarse discounting, the values are not
        drawn[:, 1:] *= (by := spread(spends, spent, by_spend)) / by[0]
        told = (*drawn.T, drawn[:, 2] / customers)
        totals[model] = [draws.estimate(v[0], v[1:], customers, low=0) for v in told]
        each_one = zip(WHAT, totals[model], units, strict=True)
        rows += [{"model": model, "what": w, "estimate": e, "unit": u} for w, e, u in each_one]
    best, found = headline(company, until, minimum_repeat_buyers)
    made, plain, now, per_buyer = totals[best]
    write = lambda v: money(v, currency)  # noqa: E731
    months = f"the next {m.horizon_months} months"
    text = (
        f"Today's {customers:,.0f} buyers are expected to make {interval(made, _whole)} purchases in {months} ({best}), a "
        f"{m.value_is} of {interval(now, write)} discounted to today, {money(per_buyer.value, currency, 2)} each; undiscounted "
        f"{write(plain.value)}."
    )
    figures = (
        Figure("base-value", f"Value of today's buyers, {months}, discounted", now, currency, "buyers", _note(now)),
        Figure("base-purchases", f"Purchases of today's buyers, {months}", made, "purchases", "buyers", _note(made)),
    )
    caveats = [
        valuation.meaning(company),
        "The interval is that of the total expected of exactly these buyers. That some years are better than others, and that buying "
        "may change, is not in it.",
        f"Not tried on later purchases: {found}"
        if isinstance(found, str)
        else f"How far to trust it: {found.words()}. BG/NBD is told unless another model came detectably closer.",
    ]
    ends = [e[2].value for e in totals.values()]
    if len(ends) > 1:
        caveats.append(f"By model the discounted value ranges from {write(min(ends))} to {write(max(ends))}.")
    if refunds := customer_base.first_orders(company)[1]:
        caveats.append(f"{refunds:,} refunds are not taken off what will be bought.")
    caveats += [x.message for x in (*fits.models.values(), spends) if x.message != CONVERGED]
    return Finding(name, title, text, "D", table(rows, ["model", "what"]), figures, tuple([*caveats, *_failed(fits)]))


def each(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> pd.DataFrame:
    """Return today's buyers by (declared segments as text, x, recency, age, fold), for other questions; weeks.

    n: buyers; value: money expected of one of them over the horizon, discounted; active: probability of still being active by
    BG/NBD, which is 1 for all who bought once; last_days: days since the last purchase. The values add up to ``base``.
    Errors: InputError with the reason, where it cannot be told (``why_not`` tells it before, for most).
    """
    by, why = people.segments(company), why_not(company, minimum_repeat_buyers, priced=True)
    if not why:
        fits, rows = today(company), purchases.purchases(company, by=by)
        spends = spending(rows)[0]
        why = " ".join(_failed(fits)) if not fits.models else None if spends.converged else spends.message
    if why:
        raise InputError(f"What each buyer will bring cannot be told: {why}", remedy="Ask why_not first.")
    best = fits.models[headline(company, until, minimum_repeat_buyers)[0]]
    active_now = fits.models.get("BG/NBD", best).probability_alive(*fits.past)
    cells = fits.cells[PAST].assign(ahead=ahead(company, best, fits.past)[1], active=active_now)
    rows = rows.merge(cells, on=PAST)
    rows["value"] = rows["n"] * rows["ahead"] * valuation.share_kept(company) * expected_spend(spends, rows)
    sums = {"n": ("n", "sum"), "value": ("value", "sum"), "active": ("active", "first")}
    found = rows.groupby([*by, *PAST, "fold"], observed=True, as_index=False).agg(**sums)
    last = (7 * (found["age"] - found["recency"])).round().astype(int)
    return found.assign(value=found["value"] / found["n"], last_days=last).rename(columns={"frequency": "x"})
