"""04_value: what will buyers without a contract buy, and what is it worth? Models of repeat buying, checked before use.

The models are fitted to the purchases up to a cut (by default the first two thirds of the history) and checked on what
the same buyers bought after it. What today's buyers will bring comes from models fitted to the whole history.

Sources: Schmittlein, Morrison & Colombo (1987), Management Science 33; Fader, Hardie & Lee (2005), Marketing Science
24(2) and J. Marketing Research 42; Batislam, Denizel & Filiztekin (2007), Int. J. Research in Marketing 24.
"""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pandas as pd

from cxlib.counts import people, purchases
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import valuation, words
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.resamples import resamples
from cxlib.stats import draws, periods
from cxlib.stats.estimate import Estimate
from cxlib.stats.likelihood import LikelihoodModel
from cxlib.stats.repeat_buying import TimingModel, spend_frequency_correlation
from cxlib.value.purchase_models import (
    PAST,
    Fits,
    Trial,
    active,
    ahead,
    by_month,
    expected_spend,
    in_season,
    kept_shares,
    loose,
    luck,
    months_differ,
    moves,
    picks,
    require,
    require_spend,
    spending,
    spread,
    today,
    trial,
    unrefunded,
)

ACTUAL = "bought"
TOP, MUCH, LARGE = 0.01, 0.2, 0.05  # this share of buyers, of the forecast and, in one order, of revenue is named
MOST_REPEATS = 7  # buyers with this many repeat purchases or more are one group
TENTHS = 10
FAILS = 0.2  # from this size on, a correlation of spend and frequency is not negligible
NOT_KNOWN = "too few resamples have a fit"
WHAT = ("purchases", "value, undiscounted", "value, discounted", "value per buyer, discounted")


def _alike(shares: list[float]) -> bool:
    """Tell whether shares are the same as a reader sees them, in whole per cent."""
    return len({round(100 * s) for s in shares}) < 2


def _note(e: Estimate) -> str:
    return "" if math.isfinite(e.low) else NOT_KNOWN


def _label(section: str, part: str, **facts: object) -> str:
    return words.say(__file__, section, part, **facts)


@finding("buying-models")
def models(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Answer:
    """Answer: which model forecasts what buyers do next? Fitted up to ``until`` and checked on what came after."""
    found = trial(company, until, minimum_repeat_buyers)
    now, rows = today(company), []
    for model, fitted in found.fits.models.items():
        both = zip(fitted.params.items(), fitted.standard_errors, strict=True)
        total = found.totals[model]
        rows.append({
            "model": model, "estimate": draws.estimate(total[0], total[1:], found.buyers, low=0),
            "actual": found.actual, "error": found.error(model).value,
            "active": active(now, model).value if model in now.models else math.nan,
            "log_likelihood": fitted.log_likelihood,
            "parameters": ", ".join(f"{k} {v:.4g} (se {se:.2g})" for (k, v), se in both),
        })  # fmt: skip
    error = found.error(found.chosen)
    ends = [total[0] for total in found.totals.values()]
    shares = [r["active"] for r in rows if not math.isnan(r["active"])]
    label = _label("buying-models", "error", chosen=found.chosen, cut=found.cut)
    figures = [Figure("forecast-error", label, error, "share of the purchases made", "buyers", _note(error))]
    return answer(
        "forecast", table(rows, ["model"]), figures,
        chosen=found.chosen, models=list(found.off), expected=found.totals[found.chosen][0],
        actual=found.actual, buyers=found.buyers, cut=found.cut, weeks=found.weeks, error=error, off=abs(error.value),
        high=error.value > 0, apart=max(ends) / min(ends) - 1,
        active=[] if _alike(shares) else [min(shares), max(shares)], loose=found.fits.loose, **found.fits.excluded,
    )  # fmt: skip


@finding("buying-tracking")
def tracking(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Answer:
    """Answer: does the forecast keep up week by week? Repeat purchases so far, actual and expected."""
    found = trial(company, until, minimum_repeat_buyers)
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
    error = draws.estimate(off[0], off[1:], joined[-1], low=-1)
    label = _label("buying-tracking", "error", chosen=found.chosen)
    figures = [Figure("tracking-error", label, error, "share of the purchases made", "buyers", _note(error))]
    return answer(
        "forecast", table(rows, ["group", "week"]), figures,
        chosen=found.chosen, cut=found.cut, made=done[-1], expected=best[0, -1], error=error, made_by_cut=done[at],
        expected_by_cut=best[0, at], widest=_widest(best[0], done, at),
    )  # fmt: skip


def _widest(expected: np.ndarray, made: np.ndarray, at: int) -> float:
    """Return the widest gap after the cut, as a share of the purchases made so far."""
    return float(np.max(np.abs(expected[at + 1 :] / made[at + 1 :] - 1)))


@finding("buying-by-frequency")
def by_frequency(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Answer:
    """Answer: is the forecast right for rare and for frequent buyers? Later purchases per buyer by earlier ones."""
    found = trial(company, until, minimum_repeat_buyers)
    shown = _compared(company, found, _levels(company, found.fits.rows), list(found.expected))
    shown = shown.rename(columns={"level": "before"})
    seen, best = (shown[shown["group"] == g].set_index("before") for g in (ACTUAL, found.chosen))
    reach = (seen["high"] - seen["low"]).where(lambda v: v > 0)
    far = ((best["value"] - seen["value"]).abs() / reach).fillna(0).idxmax()
    return answer(
        "forecast", shown,
        chosen=found.chosen, cut=found.cut, weeks=found.weeks, groups=len(seen), far=far,
        inside=int(((seen["low"] <= best["value"]) & (best["value"] <= seen["high"])).sum()),
        expected=best.loc[far, "value"], bought=Estimate(*seen.loc[far, ["value", "low", "high"]]),
        **found.fits.excluded,
    )  # fmt: skip


def _levels(company: Company, rows: pd.DataFrame) -> np.ndarray:
    """Return the level of each row by frequency: "0", "1" ... "7 or more", or fewer levels if groups would be small."""
    x, n, least = rows["frequency"].to_numpy(), rows["n"].to_numpy(), company.settings.privacy.minimum_base
    last = int(x.min())
    while last < MOST_REPEATS and min(n[x == last].sum(), n[x > last].sum()) >= least:
        last += 1
    return np.where(x < last, x.astype(str), f"{last} or more")


def _compared(company: Company, found: Trial, level: np.ndarray, models: list[str]) -> pd.DataFrame:
    """Estimate purchases per buyer by (group, level): actual (fold draws), and as each model expected them."""
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


@finding("buying-lift")
def lift(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Answer:
    """Answer: does the forecast find who will buy? Later purchases by tenths of buyers, highest forecasts first."""
    found = trial(company, until, minimum_repeat_buyers)
    n = found.fits.rows.groupby(found.expected[found.chosen])["n"].sum().sort_index(ascending=False)
    if n.sum() < TENTHS * company.settings.privacy.minimum_base:
        raise Unanswered("few-buyers-for-tenths", buyers=n.sum())
    tenth = np.minimum((TENTHS * (n.cumsum() - n / 2) / n.sum()).astype(int), TENTHS - 1) + 1
    level = tenth.loc[found.expected[found.chosen]].to_numpy()
    shown = _compared(company, found, level, [found.chosen]).rename(columns={"level": "tenth"})
    resampling, rows, fold = resamples(company), found.fits.rows, found.fits.rows["fold"].to_numpy()
    top = [
        draws.summed(resampling, fold, np.where(here, rows[c], 0))
        for here in (level == level.min(), np.ones(len(rows), dtype=bool))
        for c in ("n", "purchases")
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        share, times = top[1] / top[3], (top[1] / top[0]) / (top[3] / top[2])
    times, share = (draws.estimate(v[0], v[1:], top[2][0], low=0) for v in (times, share))
    figures = [
        Figure("lift", _label("buying-lift", "times", chosen=found.chosen), times, "times", "buyers"),
        Figure("top-tenth", _label("buying-lift", "share"), share, "share", "buyers"),
    ]
    facts = {"chosen": found.chosen, "cut": found.cut, "weeks": found.weeks}
    return answer("forecast", shown, figures, times_average=times, share_of_all=share, **facts)


# ---- today -----------------------------------------------------------------------------------------------------------


def _quantile(values: np.ndarray, n: np.ndarray, share: float) -> float:
    order = np.argsort(values, kind="stable")
    return float(values[order][np.searchsorted(np.cumsum(n[order]), share * n.sum())])


def _histories(fits: Fits) -> dict[str, tuple[float, float, float]]:
    """Return typical pasts (frequency, recency, age) by their labels, from quantiles of the data, in whole weeks."""
    (x, recency, age), n, found = fits.past, fits.cells["n"].to_numpy(float), {}
    for q in (0.1, 0.5, 0.9):
        weeks = round(_quantile(age[x == 0], n[x == 0], q)) if (x == 0).any() else 0
        found[_label("buying-active", "once", weeks=weeks)] = (0, 0, weeks)
    again = x > 0
    for many in (0.5, 0.9):
        times = _quantile(x[again], n[again], many)
        whole = max(round(_quantile(age[again], n[again], 0.5)), 2)
        for q in (0.1, 0.5, 0.9):
            since = min(round(whole * _quantile(1 - recency[again] / age[again], n[again], q)), whole - 1)
            facts = {"purchases": times + 1, "weeks": whole, "since": since}
            found[_label("buying-active", "again", **facts)] = (times, whole - since, whole)
    return found


@finding("buying-active")
def alive(company: Company, minimum_repeat_buyers: int = 100) -> Answer:
    """Answer: who is still active? That depends on the model: probabilities for typical pasts, and for all buyers."""
    require(company, minimum_repeat_buyers)
    fits = today(company)
    fits.require_models()
    pasts, n, rows, shares = _histories(fits), float(fits.cells["n"].sum()), [], {}
    everybody = _label("buying-active", "everybody")
    x, recency, age = np.array(list(pasts.values())).T
    for model, fitted in fits.models.items():
        drawn = fits.spread(model, lambda p, m=fitted: m.probability_alive(x, recency, age, p))
        shares[model] = active(fits, model)
        rows.append({"history": everybody, "model": model, "estimate": shares[model]})
        for i, past in enumerate(pasts):
            e = draws.estimate(drawn[0, i], drawn[1:, i], n, low=0, high=1)
            rows.append({"history": past, "model": model, "estimate": e, "weeks since": age[i] - recency[i]})
    rows.sort(key=lambda r: [everybody, *pasts].index(r["history"]))
    figures = [
        Figure(f"active-{model.split('/')[0].lower()}", _label("buying-active", "share", model=model), e, "share",
               "buyers", _note(e))
        for model, e in shares.items()
    ]  # fmt: skip
    values = [e.value for e in shares.values()]
    return answer(
        "forecast", table(rows, ["history", "model"]), figures,
        buyers=n, models=list(shares), least_active=min(values), most_active=max(values), alike=_alike(values),
        everyone_once_active="BG/NBD" in shares, **fits.excluded,
    )  # fmt: skip


@finding("buying-spend")
def spend(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Answer:
    """Answer: do frequent buyers spend more or less per purchase? And did later spend match the forecast?"""
    require(company, minimum_repeat_buyers)
    model, again = spending(today(company).rows)
    if again["n"].sum() < company.settings.privacy.minimum_base:
        raise Unanswered("few-paid-again")
    again = again.assign(level=_levels(company, again), money=again["n"] * again["spend"])
    together = spend_frequency_correlation(again["kept"], again["spend"], weights=again["n"])
    rows = [
        {"repeats": k, "estimate": draws.mean(part["money"], part["n"], part["fold"], resamples(company))}
        for k, part in again.groupby("level")
    ]
    varies, linked = math.isfinite(together.low), together.excludes(0)
    label, note = _label("buying-spend", "correlation"), "" if varies else "spend or frequency never varies"
    figures = [Figure("spend-frequency", label, together, "correlation", "buyers", note)]
    checked, found = {"cut": None, "off": None, "later": None, "expected": None}, None
    with suppress(Unanswered):
        found = trial(company, until, minimum_repeat_buyers)
    before = spending(found.fits.rows)[0] if found else None
    if before and before.converged and not loose(before):
        off, later, expected = _later_spend(company, found, before)
        checked = {"cut": found.cut, "off": off, "later": later, "expected": expected}
        label = _label("buying-spend", "error")
        figures.append(Figure("spend-error", label, off, "share", "buyers", _note(off), known="forecast"))
    return answer(
        "observed", table(rows, ["repeats"]), figures,
        buyers=again["n"].sum(), correlation=together, varies=varies, linked=linked,
        strong=linked and abs(together.value) >= FAILS, more=together.value > 0,
        first=rows[0]["repeats"], first_spend=rows[0]["estimate"].value,
        last=rows[-1]["repeats"], last_spend=rows[-1]["estimate"].value, **checked,
        modelled=model.converged, loose=loose(model) if model.converged else [],
    )  # fmt: skip


def _later_spend(company: Company, found: Trial, model: LikelihoodModel) -> tuple[Estimate, Estimate, float]:
    """Return the error of the spend forecast for purchases after the cut, the actual spend, and the forecast."""
    rows, resampling = found.fits.rows, resamples(company)
    kind, kept = kept_shares(rows, np.ones_like(resampling[:1]))
    columns = (rows["revenue"], rows["purchases"], rows["purchases"] * expected_spend(model, rows) * kept[0, kind])
    spent, made, expected = (draws.summed(resampling, rows["fold"].to_numpy(), c) for c in columns)
    off, n = expected / spent - 1, float(rows.loc[rows["purchases"] > 0, "n"].sum())
    later = draws.estimate(spent[0] / made[0], spent[1:] / made[1:], n, low=0)
    return draws.estimate(off[0], off[1:], n, low=-1), later, float(expected[0] / made[0])


# ---- what today's buyers will bring ----------------------------------------------------------------------------------


@finding("value-of-the-base")
def base(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> Answer:
    """Answer: what will exactly today's buyers bring? Purchases and money over the horizon, by each model and together.

    Intervals of what will come cover the choice of model, its parameters, the luck of who buys and what, and how far
    months differ. Those by model cover its parameters alone.
    """
    require(company, minimum_repeat_buyers, priced=True)
    m, currency, fits = valuation.money_of(company), company.settings.currency, today(company)
    fits.require_models()
    spends, again = spending(fits.rows)
    require_spend(spends)
    chosen = picks(company, until, minimum_repeat_buyers)
    weights, found, best = chosen.weights, chosen.trial, next(iter(chosen.weights))
    rows_n, n = fits.rows["n"].to_numpy(float), fits.cells["n"].to_numpy(float)
    left, customers, (kind, kept) = unrefunded(company), float(n.sum()), kept_shares(fits.rows, resamples(company))
    share = valuation.share_kept(company) * left[0] * kept[0, kind]
    pays = share * rows_n * expected_spend(spends, fits.rows)
    priced, factors = fits.sums(pays), valuation.horizon_of(company)[1]
    spent, coarse = moves(spends, resamples(company), again, ["kept", "spend"]), math.ceil(m.horizon_months / 4)
    units, rows, totals, lucky = ("purchases", currency, currency, f"{currency} per buyer"), [], {}, 0.0
    for model, fitted in fits.models.items():
        bought = ahead(company, fits, fitted)

        def sums(both: np.ndarray) -> np.ndarray:
            return np.array([both[0] @ n, *(both @ priced)])

        def by_spend(p: np.ndarray, bought: np.ndarray = bought) -> np.ndarray:
            return (bought[:, fits.cell] * rows_n * share) @ expected_spend(spends, fits.rows, p)

        drawn = fits.spread(model, lambda p, f=fitted: sums(ahead(company, fits, f, p, coarse)))
        drawn *= sums(bought) / drawn[0]  # the slopes are those of coarse discounting, the values are not
        drawn[:, 1:] *= (by := spread(spends, spent, by_spend)) / by[0] * (left / left[0])[:, None]
        by_kind = np.array([np.bincount(kind, pays * b[fits.cell], kept.shape[1]) for b in bought])
        drawn[:, 1:] *= (by := np.divide(kept, kept[0], np.zeros_like(kept), where=kept[0] > 0) @ by_kind.T) / by[0]
        totals[model] = drawn
        every = (*drawn.T, drawn[:, 2] / customers)
        rows += [
            {"model": model, "weight": weights.get(model, 0.0), "what": w, "unit": u,
             "estimate": draws.estimate(v[0], v[1:], customers, low=0)}
            for w, v, u in zip(WHAT, every, units, strict=True)
        ]  # fmt: skip
        if model in weights:
            made, money = luck(fits, fitted, spends, m.horizon_months, kept[0, kind], company.settings.seed)
            money *= (valuation.share_kept(company) * left[0]) ** 2
            lucky += weights[model] * np.array([made, money, money * (drawn[0, 2] / drawn[0, 1]) ** 2])
    mixed, months = chosen.mixed(totals), months_differ(company)
    each_month = by_month(fits, fits.models[best], m.horizon_months)
    reach = np.stack([each_month @ n, each_month @ priced, factors * (each_month @ priced)], axis=1)
    variances = months.variances(months.seen, reach)
    made, plain, worth = (
        periods.interval(v[0], v[1:].var(ddof=1) + lucky[i], months.weights, variances[:, i], customers, low=0)
        for i, v in enumerate(mixed.T)
    )
    expected = pays * sum(w * ahead(company, fits, fits.models[k])[1] for k, w in weights.items())[fits.cell]
    ends, error, horizon = (
        [t[0, 2] for t in totals.values()],
        found.error(best).value if found else math.nan,
        m.horizon_months,
    )
    unpaid, top = _unpaid(company), float(held(rows_n, expected, np.array([TOP]))[0])
    figures = [
        Figure("base-value", _label("value-of-the-base", "value", horizon=horizon), worth, currency, "buyers",
               _note(worth)),
        Figure("base-purchases", _label("value-of-the-base", "made", horizon=horizon), made, "purchases", "buyers",
               _note(made)),
    ]  # fmt: skip
    return answer(
        "forecast", table(rows, ["model", "what"]), figures,
        buyers=customers, horizon=horizon, value_is=m.value_is, worth=worth, each=worth.value / customers,
        purchases=made, undiscounted=plain.value, chosen=best, weights=weights, checked=found is not None,
        cut=found.cut if found else None, weeks=found.weeks if found else 0, off=abs(error), high=error > 0,
        by_model=[min(ends), max(ends)], several=len(ends) > 1,
        model=draws.estimate(mixed[0, 2], mixed[1:, 2], customers, low=0),
        months_seen=months.seen, differ=months.spread, season=float(np.ptp(months.season)),
        loose=fits.loose | ({"Gamma-Gamma": loose(spends)} if loose(spends) else {}),
        **unpaid, top=top, top_is=TOP, uneven=top >= MUCH or unpaid["largest_share"] >= LARGE, **fits.excluded,
    )  # fmt: skip


def _unpaid(company: Company) -> dict[str, object]:
    """Return what was free, what was refunded, and the share of revenue in the largest order: facts for the words."""
    found, weights = purchases.money(company), resamples(company)
    paid, refunded = (draws.summed(weights, found["fold"], found[c]) for c in ("paid", "refunded"))
    sums = found.drop(columns=["fold", "largest"]).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        share = refunded / paid
    return {k: float(sums[k]) for k in ("free", "never", "returned", "refunded", "unlinked")} | {
        "refunded_share": draws.estimate(share[0], share[1:], sums["buyers"], low=0),
        "largest_share": float(found["largest"].max() / sums["paid"]),
    }


def held(n: np.ndarray, value: np.ndarray, tops: np.ndarray) -> np.ndarray:
    """Return the share of the value held by the top shares of customers, and, last, the Gini coefficient."""
    there = n > 0
    n, value = n[there], value[there]
    order = np.argsort(-value / n, kind="stable")
    customers, held = (np.r_[0, np.cumsum(x[order])] / x.sum() for x in (n, value))
    return np.r_[np.interp(tops, customers, held), 2 * np.trapezoid(held, customers) - 1]


def each(company: Company, until: str = "", minimum_repeat_buyers: int = 100) -> pd.DataFrame:
    """Return today's buyers by (declared segments as text, x, recency, age, fold), for other questions; in weeks.

    n: buyers; value: money expected of one of them over the horizon, discounted; active: probability of still being
    active by BG/NBD, which is 1 for all who bought once; last_days: days since the last purchase. The values add up to
    ``base``. Unanswered where ``base`` is.
    """
    by = people.segments(company)
    require(company, minimum_repeat_buyers, priced=True)
    fits, rows = today(company), purchases.purchases(company, by=by)
    fits.require_models()
    spends = spending(rows)[0]
    require_spend(spends)
    weights = picks(company, until, minimum_repeat_buyers).weights
    active_now = fits.models.get("BG/NBD", fits.models[next(iter(weights))]).probability_alive(*fits.past)
    expected = sum(w * ahead(company, fits, fits.models[k])[1] for k, w in weights.items())
    rows["last_days"] = (7 * (rows["age"] - rows["recency"])).round().astype(int)
    rows = in_season(fits, rows).merge(fits.cells[PAST].assign(ahead=expected, active=active_now), on=PAST)
    (kind, kept), left = kept_shares(rows, resamples(company)[:1]), unrefunded(company)[0]
    share = valuation.share_kept(company) * left * kept[0, kind]
    rows["value"] = rows["n"] * rows["ahead"] * share * expected_spend(spends, rows)
    sums = {
        "n": ("n", "sum"),
        "value": ("value", "sum"),
        "active": ("active", "first"),
        "last_days": ("last_days", "first"),
    }
    found = rows.groupby([*by, *PAST, "fold"], observed=True, as_index=False).agg(**sums)
    return found.assign(value=found["value"] / found["n"]).rename(columns={"frequency": "x"})
