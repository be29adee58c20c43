"""Did the score move? Change by period, of the mix or of the rates, under control or not, and who falls (01_scores)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.counts import answers, people, purchases
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, day, listing, money, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.scores import Period
from cxlib.scores.estimates import UNITS, change, contributions, estimate, hidden, kind_of, since, write
from cxlib.stats import control as charting
from cxlib.stats import draws, intervals
from cxlib.stats.estimate import Estimate

STEP = {"week": "7D", "month": "MS", "quarter": "QS", "year": "YS"}
A_YEAR = {"week": 52, "month": 12, "quarter": 4, "year": 1}
FEWEST = 10  # answers of a level in each period, for the level to be compared by itself
WARNINGS = {  # what of the early warnings is shown as a table, under which heading
    "segment": "segment",
    "level": "level",
    "now": "score",
    "before": "year before",
    "value": "change",
    "low": "low",
    "high": "high",
    "n": "answers",
    "p": "p, worse",
    "falling": "falling",
    "customers": "customers behind",
    "monthly revenue": "their monthly revenue",
}
FIXED, RAW = "at a fixed mix of {}", "as answered"


@dataclass(frozen=True)
class _Series:
    """A score by period: one estimate each, raw and (where a segment allows it) at the mix of all periods together."""

    periods: list
    raw: list[Estimate]
    fixed: list[Estimate] | None


def _named(period: object, step: str) -> str:
    if step == "wave":
        return f"wave {period}"
    first = pd.Timestamp(period)
    names = {"week": f"the week from {day(first)}", "month": f"{first:%B %Y}", "year": f"{first:%Y}"}
    return names.get(step, f"the quarter from {day(first)}")


def _periods(company: Company, metric: str, counted: pd.DataFrame, step: str) -> list:
    """Return the periods whose scores may be shown, in order."""
    sizes = counted.groupby("period", observed=True)["customers"].sum()
    sizes = sizes.reindex(answers.waves(company, metric)).dropna() if step == "wave" else sizes.sort_index()
    return list(sizes.index[~hidden(company, sizes.to_numpy())]) if len(sizes) else []


def _whole(company: Company, periods: list, step: str) -> list:
    """Return the periods that are over by the as-of date."""
    if step == "wave":
        return periods
    end = pd.Timestamp(company.as_of) + pd.Timedelta(days=1)
    return [p for p in periods if p + pd.tseries.frequencies.to_offset(STEP[step]) <= end]


def _without_gap(periods: list, step: str) -> list:
    """Return the latest periods that follow one another: a moving average must not run over a gap."""
    size = pd.tseries.frequencies.to_offset(STEP[step])
    starts = [i for i, p in enumerate(periods) if not i or periods[i - 1] + size != p]
    return periods[starts[-1] :] if periods else []


def _levels(counted: pd.DataFrame, by: str) -> pd.Series:
    """Return the level each row is compared within: those with few answers in any of the periods are taken together."""
    sizes = counted.groupby([by, "period"], observed=True)["n"].sum().unstack(fill_value=0)
    sizes = sizes.loc[sizes.sum(axis=1).sort_values().index]
    small = sizes.min(axis=1) < FEWEST
    together, others = list(sizes.index[small]), list(sizes.index[~small])
    while together and others and sizes.loc[together].sum().min() < FEWEST:
        together.append(others.pop(0))
    return counted[by].where(~counted[by].isin(together), "others")


def _series(company: Company, metric: str, step: str, by: str | None) -> _Series:
    counted = answers.score_counts(company, metric, by=[by] if by else [], period=step, latest_only=True)
    periods = _periods(company, metric, counted, step)
    counted = counted[counted["period"].isin(periods)]
    kind = kind_of(metric)

    def each(part: pd.DataFrame) -> Estimate:
        return estimate(company, metric, part, kind, one_each=True)

    raw = [each(counted[counted["period"] == p]) for p in periods]
    if not by or len(periods) < 2:
        return _Series(periods, raw, None)
    counted = counted.assign(level=_levels(counted, by))
    use = "weight" if answers.weighted(company) else "n"
    shares = counted.groupby("level", observed=True)[use].sum() / counted[use].sum()
    if len(shares) < 2:
        return _Series(periods, raw, None)
    cells = {key: each(part) for key, part in counted.groupby(["period", "level"], observed=True)}
    fixed = [intervals.weighted_sum([cells[p, k] for k in shares.index], shares.to_list()) for p in periods]
    return _Series(periods, raw, fixed)


def trend(company: Company, metric: str = "", period: Period = "quarter", by: str = "") -> Finding:
    """Answer: did the score move? Each customer's latest answer per period; the change with its own interval.

    Beside the score as answered stands the score at a fixed mix of ``by`` (default: the first declared segment): each
    level's own score, weighted by its share of all answers shown.
    """
    name, title = "trend", f"Score by {period}"
    metric = answers.choose(company, metric)
    why = _cannot(company, metric, period)
    if why:
        return unanswered(name, title, why)
    by = by or (people.segments(company) or [""])[0]
    series = _series(company, metric, period, by or None)
    lines = {RAW: series.raw} | ({FIXED.format(by): series.fixed} if series.fixed else {})
    rows = [
        {"period": p, "line": line, "estimate": e}
        for line, found in lines.items()
        for p, e in zip(series.periods, found, strict=True)
    ]
    whole = _whole(company, series.periods, period)
    if len(whole) < 2:
        return unanswered(name, title, f"fewer than two whole {period}s have enough answers.")
    # The as-of date may fall inside a period; the last whole one is compared with the one before it.
    counted = answers.score_counts(company, metric, period=period, latest_only=True)
    last, before = (counted[counted["period"] == p] for p in (whole[-1], whole[-2]))
    moved = change(company, metric, last, before, kind_of(metric), one_each=True)
    now = series.raw[series.periods.index(whole[-1])]
    verdict = "more than sampling noise" if moved.excludes(0) else "no more than sampling noise would give"
    text = (
        f"{metric.upper()} in {_named(whole[-1], period)} was {write(metric, now)}, a change of {write(metric, moved)} on "
        f"the {period} before: {verdict}."
    )
    figures = (
        Figure(
            f"{metric}-change",
            f"{metric.upper()}: change on the {period} before",
            moved,
            UNITS[kind_of(metric)],
            "answers",
        ),
    )
    return Finding(name, f"{metric.upper()} by {period}, with 95 % intervals", text, "D",
                   table(rows, ["period", "line"]), figures)  # fmt: skip


def _cannot(company: Company, metric: str, period: str) -> str:
    """Return why scores cannot be told by period, or nothing."""
    if not metric:
        return "no question was answered."
    if period == "wave":
        return "" if company.has("responses", "wave") else "the answers name no wave."
    return "" if answers.dated(company) else "the answers carry no dates."


def mix(company: Company, metric: str = "", by: str = "") -> Finding:
    """Answer: did the score change, or who was answering? First whole year against the last, split into mix and rates.

    Kitagawa's decomposition (1955) with average weights: mix = change of shares x average score, rates = change of
    scores x average share; the two add up to the whole change. Intervals from the fold draws.
    """
    name, title = "mix", "Change of the score: of the customers or of the mix?"
    metric = answers.choose(company, metric)
    by = by or (people.segments(company) or [""])[0]
    if not metric or not by or since(company, 1) is None:
        return unanswered(name, title, "it needs dated answers and a segment.")
    kind = kind_of(metric)
    counted = answers.score_counts(company, metric, by=[by], period="year", latest_only=True)
    years = _periods(company, metric, counted, "year")
    if len(years) < 2:
        return unanswered(name, title, "the answers span less than two years.")
    # The year in which the questions began is seldom a whole one.
    first, last = years[1] if len(years) > 2 else years[0], years[-1]
    counted = counted[counted["period"].isin([first, last])]
    counted = counted.assign(level=_levels(counted, by))
    levels = sorted(counted["level"].unique())
    if len(levels) < 2:
        return unanswered(name, title, f"no two levels of {by} have {FEWEST} answers in both years.")
    counted["use"] = counted["weight" if answers.weighted(company) else "n"].astype(float)
    counted["total"] = contributions(company, metric, kind, counted["score"]) * counted["use"]
    resampling = resamples(company)
    cube = {}
    for year in (first, last):
        part = counted[counted["period"] == year]
        keys, sums = draws.resample(part, "fold", ["use", "total"], ["level"], resampling)
        assert list(keys["level"]) == levels
        cube[year] = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        share = {y: c[..., 0] / c[..., 0].sum(-1, keepdims=True) for y, c in cube.items()}
        score = {y: c[..., 1] / c[..., 0] for y, c in cube.items()}
    mixed = ((share[last] - share[first]) * (score[last] + score[first]) / 2).sum(-1)
    rates = ((score[last] - score[first]) * (share[last] + share[first]) / 2).sum(-1)
    n = float(counted["n"].sum())
    parts = {"whole change": mixed + rates, f"because the mix of {by} changed": mixed, f"within each {by}": rates}
    rows = [{"part": k, "estimate": draws.estimate(v[0], v[1:], n)} for k, v in parts.items()]
    whole, of_mix, of_rates = (r["estimate"] for r in rows)
    text = (
        f"From {first:%Y} to {last:%Y} {metric.upper()} changed by {write(metric, whole)}: {write(metric, of_mix)} because "
        f"the mix of {by} among those answering changed, {write(metric, of_rates)} within each {by}."
    )
    caveats = ()
    if of_mix.excludes(0) and of_rates.excludes(0) and of_mix.value * of_rates.value < 0:
        paradox = " (Simpson's paradox)" if whole.value * of_rates.value < 0 else ""
        caveats = (
            f"The mix pulled the score one way while customers of the same {by} moved the other{paradox}: the trend of the "
            "whole says who answered more than how customers feel.",
        )
    figures = tuple(
        Figure(f"{metric}-yearly-{key}", f"{metric.upper()}, {first:%Y} to {last:%Y}: {r['part']}", r["estimate"],
               UNITS[kind], "answers")
        for key, r in zip(("change", "mix", "rates"), rows, strict=True)
    )  # fmt: skip
    return Finding(name, title, text, "D", table(rows, ["part"]), figures, caveats)


def control(company: Company, metric: str = "", window_months: int = 12, false_alarms: float = 0.05) -> Finding:
    """Answer: is the score under control? EWMA chart of the months (else quarters) against those before the window.

    At a fixed mix of the first declared segment where there is one, so that a change of who answers is no alarm.
    ``false_alarms`` is the chance that a quiet score alarms at least once in the whole window.
    """
    name, title = "control", "Control chart"
    metric = answers.choose(company, metric)
    why = _cannot(company, metric, "month")
    if why:
        return unanswered(name, title, why)
    start = pd.Timestamp(since(company, window_months))
    by = (people.segments(company) or [None])[0]
    for step, fewest in (("month", 12), ("quarter", 8)):
        series = _series(company, metric, step, by)
        whole = _without_gap(_whole(company, series.periods, step), step)
        before = sum(p <= start for p in whole)
        if fewest <= before < len(whole):
            break
    else:
        return unanswered(
            name, title, "it needs twelve months or eight quarters with enough answers before the window."
        )
    every = dict(zip(series.periods, series.fixed or series.raw, strict=True))
    found = [every[p] for p in whole]
    chart = charting.ewma_chart(
        [e.value for e in found], [e.se for e in found], before, false_alarms=false_alarms, seed=company.settings.seed
    )
    rows = chart.table.assign(period=whole, n=[e.n for e in found])
    mixed = f" {FIXED.format(by)}" if series.fixed else ""
    said = f"{metric.upper()}{mixed}"
    alarms = rows[rows["alarm"]]
    quiet = f"a quiet score would do so in {percent(chart.false_alarms, 0)} of such windows"
    if len(alarms):
        one = alarms.iloc[0]
        side = "below" if one["ewma"] < one["low"] else "above"
        text = f"{said} ran {side} its control limits first in {_named(one['period'], step)}; {quiet}."
    else:
        text = f"{said} stayed within its control limits in all {len(rows) - before} {step}s watched; {quiet}."
    caveats = [
        f"Limits from the {before} {step}s before the window, centre {number(chart.centre)}; the average gives the latest "
        f"{step} a weight of {percent(0.2, 0)}. "
    ]
    if chart.overdispersion > 1:
        caveats[0] += (
            f"These varied {number(chart.overdispersion, 2)} times as much as sampling alone; the limits allow for it, but that "
            "factor is itself an estimate, so that a false alarm is somewhat more likely than stated."
        )
    first = ["period", "value", "n"]
    rows = rows[[*first, *(c for c in rows if c not in first)]]
    return Finding(name, f"Control chart of {said}", text, "D", rows, caveats=tuple(c.strip() for c in caveats))


def watch(
    company: Company, metric: str, period: Period = "quarter", false_alarms: float = 0.05, cuts: Sequence[str] = ()
) -> pd.DataFrame:
    """Return every look of the last year: each whole period of each segment against the periods of the year before it.

    Columns: period, segment, level, value (the change), low, high, n, customers, now, before, p (one-sided: worse), falling.
    Within each look Benjamini-Hochberg decides at ``false_alarms`` shared out over the looks of a year.
    """
    kind, rows = kind_of(metric), []
    falls = -1 if company.settings.metrics[metric].good == "high" else 1
    for cut in cuts or [c for c in answers.cuts(company, metric) if c != people.STAGE]:
        counted = answers.score_counts(company, metric, by=[cut], period=period, latest_only=True)
        order = answers.waves(company, metric) if period == "wave" else sorted(counted["period"].unique())
        order = _whole(company, order, period)
        looks = A_YEAR.get(period) or max(1, len(order) // 2)
        of_period = {p: part for p, part in counted.groupby("period", observed=True)}
        shown = {}
        for p, part in of_period.items():
            sizes = part.groupby(cut, observed=True)["customers"].sum()
            shown[p] = set(sizes.index[~hidden(company, sizes.to_numpy())])
        for now in [p for p in order[-looks:] if p in of_period and p != order[0]]:
            place = order.index(now)
            before = pd.concat([of_period[p] for p in order[max(place - looks, 0) : place] if p in of_period])
            whole = before.groupby(cut, observed=True)["customers"].sum()
            enough = set(whole.index[~hidden(company, whole.to_numpy())])
            for level in sorted(shown[now] & enough):
                parts = [part[part[cut] == level] for part in (of_period[now], before)]
                moved = change(company, metric, *parts, kind)
                worse = moved.value * falls > 0
                row = {"period": now, "segment": cut, "level": level, "estimate": moved, "looks": looks}
                row |= {"customers": float(parts[0]["customers"].sum()), "p": moved.p / 2 if worse else 1 - moved.p / 2}
                row |= {
                    k: estimate(company, metric, v, kind).value for k, v in zip(("now", "before"), parts, strict=True)
                }
                rows.append(row)
    found = table(rows, ["period", "segment", "level"])
    if len(found):
        of_look = found.groupby("period", observed=True)["p"]
        found["falling"] = of_look.transform(
            lambda p: intervals.benjamini_hochberg(p, false_alarms / found["looks"].iloc[0])
        ).astype(bool)
    return found


def early_warning(
    company: Company,
    metric: str = "",
    period: Period = "quarter",
    false_alarms: float = 0.05,
    cuts: Sequence[str] = (),
) -> Finding:
    """Answer: whose score fell beyond noise? The last whole period of each segment against the year before it.

    One-sided tests, Benjamini-Hochberg over all segments watched. The rate is shared out over the looks of a year, so that
    in a quiet year the chance that any segment is named in any of its reports is at most ``false_alarms``, and of those
    named at most that share is expected to be false. Behind each stand its customers of today and what they pay.
    """
    name, title = "early-warning", "Segments whose score fell beyond noise"
    metric = answers.choose(company, metric)
    why = _cannot(company, metric, period)
    if why:
        return unanswered(name, title, why)
    found = watch(company, metric, period, false_alarms, cuts)
    if found.empty:
        return unanswered(name, title, f"no segment has enough answers in two whole {period}s.")
    seen = set(found["period"])
    last = [w for w in answers.waves(company, metric) if w in seen][-1] if period == "wave" else max(seen)
    looks, now_named = int(found["looks"].iloc[0]), _named(last, period)
    shown = found[found["period"] == last].sort_values("p", ignore_index=True)
    behind = {cut: _behind(company, cut) for cut in shown["segment"].unique()}
    pairs = list(zip(shown["segment"], shown["level"], shown["customers"], strict=True))
    shown["customers"] = [behind[c].get(level, (n, math.nan))[0] for c, level, n in pairs]
    shown["monthly revenue"] = [behind[c].get(level, (n, math.nan))[1] for c, level, n in pairs]
    shown = shown.drop(columns=["period", "looks"])
    falling, label, watched = shown[shown["falling"]], metric.upper(), f"of {len(shown)} segments watched"
    if len(falling):
        said = [_alarm(company, metric, r) for r in falling.to_dict("records")]
        text = (
            f"Early warning: {label} fell beyond noise in {now_named} for {listing(said)} ({len(falling)} {watched})."
        )
    else:
        text = f"No early warning: {label} fell beyond noise in none {watched} in {now_named}."
    earlier = found[found["falling"] & (found["period"] != last)]
    named = [f"{r['segment']} {r['level']} in {_named(r['period'], period)}" for r in earlier.to_dict("records")]
    caveats = [f"Named earlier in the year: {listing(named)}."] if named else []
    caveats.append(
        f"Against the {period}s of the year before. Looked at {'once' if looks == 1 else f'{looks} times'} a year, a year in which "
        f"nothing changes brings a false alarm with a chance of at most {percent(false_alarms, 0)}. A fall may come of other "
        "customers answering: see the mix."
    )
    if shown["monthly revenue"].notna().any() and company.settings.currency:
        caveats[-1] += f" Revenue is in {company.settings.currency}, of the customers of today."
    return Finding(name, f"{title}: change of {label} in {now_named}", text, "D", shown, caveats=tuple(caveats))


def _alarm(company: Company, metric: str, r: dict) -> str:
    said = f"{r['segment']} {r['level']} ({write(metric, Estimate(r['value'], r['low'], r['high']))}"
    behind = f"; {r['customers']:,.0f} customers"
    if not math.isnan(r["monthly revenue"]):
        behind += f" paying {money(r['monthly revenue'], company.settings.currency or '')} a month"
    return said + behind + ")"


def _behind(company: Company, cut: str) -> dict[str, tuple[float, float]]:
    """Return customers of today and their monthly revenue by level, for a cut of customers."""
    if cut not in people.segments(company):
        return {}
    base = purchases.paying_base(company, by=[cut]).groupby(cut, observed=True)[["n", "revenue"]].sum(min_count=1)
    return {level: (float(r["n"]), float(r["revenue"])) for level, r in base.iterrows()}
