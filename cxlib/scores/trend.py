"""01_scores: did the score change? By period, split into mix and rates, against control limits, and by segment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.counts import answers, people, purchases
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.numbers import day
from cxlib.page.resamples import resamples
from cxlib.scores import Period
from cxlib.scores.estimates import UNITS, change, contributions, drawn_from, estimate, hidden, kind_of, since
from cxlib.stats import control as charting
from cxlib.stats import draws, intervals
from cxlib.stats.estimate import Estimate

STEP = {"week": "7D", "month": "MS", "quarter": "QS", "year": "YS"}
A_YEAR = {"week": 52, "month": 12, "quarter": 4, "year": 1}
FEWEST = 10  # answers of a level in each period, for the level to be compared by itself
BASELINES = {"month": 12, "quarter": 8}  # fewest periods before the window of the control chart, finest step first
SMOOTHING = 0.2  # weight of the latest period in the moving average
FIXED, RAW, OTHERS = "at a fixed mix of {}", "as answered", "others"


@dataclass(frozen=True)
class _Series:
    """A score by period: raw estimates and, where a segment allows it, estimates at the mix of all periods together.

    ``pooled``: levels of the segment with few answers in some period, taken together as one level.
    """

    periods: list
    raw: list[Estimate]
    fixed: list[Estimate] | None
    pooled: list[str]


def _named(period: object, step: str) -> str:
    """Return a period as a reader writes it: "Q2 2026", "week of 1 April 2026"."""
    if step == "wave":
        return f"wave {period}"
    first = pd.Timestamp(period)
    names = {"week": f"week of {day(first)}", "month": f"{first:%B %Y}", "year": f"{first:%Y}"}
    return names.get(step, f"Q{first.quarter} {first:%Y}")


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
    """Return the latest periods without a gap, over which a moving average must not run."""
    size = pd.tseries.frequencies.to_offset(STEP[step])
    starts = [i for i, p in enumerate(periods) if not i or periods[i - 1] + size != p]
    return periods[starts[-1] :] if periods else []


def _levels(counted: pd.DataFrame, by: str) -> pd.Series:
    """Return the level each row is compared within: levels with few answers in any of the periods are pooled."""
    sizes = counted.groupby([by, "period"], observed=True)["n"].sum().unstack(fill_value=0)
    sizes = sizes.loc[sizes.sum(axis=1).sort_values().index]
    small = sizes.min(axis=1) < FEWEST
    together, apart = list(sizes.index[small]), list(sizes.index[~small])
    while together and apart and sizes.loc[together].sum().min() < FEWEST:
        together.append(apart.pop(0))
    return counted[by].where(~counted[by].isin(together), OTHERS)


def _series(company: Company, metric: str, step: str, by: str | None) -> _Series:
    counted = answers.score_counts(company, metric, by=[by] if by else [], period=step, latest_only=True)
    periods = _periods(company, metric, counted, step)
    counted = counted[counted["period"].isin(periods)]
    kind = kind_of(metric)

    def each(part: pd.DataFrame) -> Estimate:
        return estimate(company, metric, part, kind, one_each=True)

    raw = [each(counted[counted["period"] == p]) for p in periods]
    if not by or len(periods) < 2:
        return _Series(periods, raw, None, [])
    counted = counted.assign(level=_levels(counted, by))
    use = "weight" if answers.weighted(company) else "n"
    shares = counted.groupby("level", observed=True)[use].sum() / counted[use].sum()
    if len(shares) < 2:
        return _Series(periods, raw, None, [])
    pooled = people.in_order(by, counted.loc[counted["level"] == OTHERS, by].unique())
    cells = {key: each(part) for key, part in counted.groupby(["period", "level"], observed=True)}
    fixed = [intervals.weighted_sum([cells[p, k] for k in shares.index], shares.to_list()) for p in periods]
    return _Series(periods, raw, fixed, pooled if len(pooled) > 1 else [])


def require(company: Company, metric: str, period: str) -> None:
    """Raise Unanswered where scores cannot be split by period."""
    answers.require_answers(company, metric)
    if period == "wave":
        people.require(company, "responses", "wave")
    else:
        answers.require_dates(company, metric)


@finding("trend")
def trend(company: Company, metric: str = "", period: Period = "quarter", by: str = "") -> Answer:
    """Answer: did the score change? Each customer's latest answer per period; the change with its own interval.

    A second line holds the mix of ``by`` (default: the first declared segment) fixed: each level's own score, weighted
    by its share of all answers shown. The last whole period is compared with the one before it.
    """
    metric = answers.choose(company, metric)
    require(company, metric, period)
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
        raise Unanswered("few-periods", period=period)
    counted = answers.score_counts(company, metric, period=period, latest_only=True)
    last, before = (counted[counted["period"] == p] for p in (whole[-1], whole[-2]))
    moved = change(company, metric, last, before, kind_of(metric), one_each=True)
    label = f"{metric.upper()}: change on the {period} before"
    return answer(
        "count", table(rows, ["period", "line"]),
        [Figure(f"{metric}-change", label, moved, UNITS[kind_of(metric)], "answers")],
        metric=metric.upper(), period=period, last=_named(whole[-1], period),
        score=series.raw[series.periods.index(whole[-1])], change=moved, detected=moved.excludes(0),
        mixed_by=by if series.fixed else "", pooled=series.pooled,
    )  # fmt: skip


@finding("mix")
def mix(company: Company, metric: str = "", by: str = "") -> Answer:
    """Answer: did the score change, or who responded? First whole year against the last, split into mix and rates.

    Kitagawa's decomposition (1955) with average weights: mix = change of shares x average score, rates = change of
    scores x average share; the two add up to the whole change. Intervals from the fold draws.
    """
    metric = answers.choose(company, metric)
    answers.require_dates(company, metric)
    by = by or (people.segments(company) or [""])[0]
    if not by:
        raise Unanswered("no-segment")
    kind = kind_of(metric)
    counted = answers.score_counts(company, metric, by=[by], period="year", latest_only=True)
    years = _periods(company, metric, counted, "year")
    if len(years) < 2:
        raise Unanswered("few-years")
    # The year in which the surveys began is rarely a whole one.
    first, last = years[1] if len(years) > 2 else years[0], years[-1]
    counted = counted[counted["period"].isin([first, last])]
    counted = counted.assign(level=_levels(counted, by))
    levels = sorted(counted["level"].unique())
    if len(levels) < 2:
        raise Unanswered("few-levels", by=by, fewest=FEWEST)
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
    parts = {"whole change": mixed + rates, f"change in the mix of {by}": mixed, f"within each {by}": rates}
    rows = [{"part": k, "estimate": draws.estimate(v[0], v[1:], n)} for k, v in parts.items()]
    whole, of_mix, of_rates = (r["estimate"] for r in rows)
    figures = [
        Figure(f"{metric}-yearly-{key}", f"{metric.upper()}, {first:%Y} to {last:%Y}: {r['part']}", r["estimate"],
               UNITS[kind], "answers")
        for key, r in zip(("change", "mix", "rates"), rows, strict=True)
    ]  # fmt: skip
    opposed = of_mix.excludes(0) and of_rates.excludes(0) and of_mix.value * of_rates.value < 0
    return answer(
        "count", table(rows, ["part"]), figures,
        metric=metric.upper(), by=by, first=first.year, last=last.year, whole=whole, of_mix=of_mix, of_rates=of_rates,
        detected=of_mix.excludes(0) or of_rates.excludes(0), partial=last not in _whole(company, years, "year"),
        opposed=opposed, paradox=opposed and whole.value * of_rates.value < 0,
    )  # fmt: skip


@finding("control")
def control(company: Company, metric: str = "", window_months: int = 12, false_alarms: float = 0.05) -> Answer:
    """Answer: is the score under control? EWMA chart of the months (else quarters) against those before the window.

    At a fixed mix of the first declared segment where there is one, so that a change in who responds is no alarm.
    ``false_alarms``: chance that a stable score triggers any alarm in the whole window.
    """
    metric = answers.choose(company, metric)
    require(company, metric, "month")
    start = pd.Timestamp(since(company, window_months))
    by = (people.segments(company) or [None])[0]
    for step, fewest in BASELINES.items():
        series = _series(company, metric, step, by)
        whole = _without_gap(_whole(company, series.periods, step), step)
        before = sum(p <= start for p in whole)
        if fewest <= before < len(whole):
            break
    else:
        raise Unanswered("short-baseline", months=BASELINES["month"], quarters=BASELINES["quarter"])
    every = dict(zip(series.periods, series.fixed or series.raw, strict=True))
    found = [every[p] for p in whole]
    chart = charting.ewma_chart(
        [e.value for e in found], [e.se for e in found], before, SMOOTHING, false_alarms, company.settings.seed
    )
    rows = chart.table.assign(period=whole, n=[e.n for e in found])
    alarms = rows[rows["alarm"]]
    one = None if alarms.empty else alarms.iloc[0]
    first = ["period", "value", "n"]
    return answer(
        "count", rows[[*first, *(c for c in rows if c not in first)]],
        metric=metric.upper(), mixed_by=by if series.fixed else "", pooled=series.pooled, step=step, before=before,
        watched=len(rows) - before, alarm="" if one is None else _named(one["period"], step),
        below=one is not None and one["ewma"] < one["low"], false_alarms=chart.false_alarms, centre=chart.centre,
        smoothing=SMOOTHING, overdispersion=chart.overdispersion,
    )  # fmt: skip


def watch(
    company: Company, metric: str, period: Period = "quarter", false_alarms: float = 0.05, cuts: Sequence[str] = ()
) -> pd.DataFrame:
    """Compare each whole period of the last year, segment by segment, with the periods of the year before it.

    Columns: period, segment, level, value (the change), low, high, n, customers, now, before, p (one-sided: worse),
    falling. Within each period Benjamini-Hochberg decides at ``false_alarms`` divided by the reports of a year.
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


@finding("early-warning")
def early_warning(
    company: Company,
    metric: str = "",
    period: Period = "quarter",
    false_alarms: float = 0.05,
    cuts: Sequence[str] = (),
) -> Answer:
    """Answer: which segment's score fell by more than chance? The last whole period against the year before it.

    One-sided tests, Benjamini-Hochberg over all segments. The rate is divided by the reports of a year: in a stable
    year, the chance that any report flags any segment is at most ``false_alarms``; of the segments flagged at most that
    share is expected to be false. Adds each segment's customers of today and what they pay.
    """
    metric = answers.choose(company, metric)
    require(company, metric, period)
    found = watch(company, metric, period, false_alarms, cuts)
    if found.empty:
        raise Unanswered("no-segment-to-watch", period=period)
    seen = set(found["period"])
    last = [w for w in answers.waves(company, metric) if w in seen][-1] if period == "wave" else max(seen)
    looks = int(found["looks"].iloc[0])
    shown = found[found["period"] == last].sort_values("p", ignore_index=True)
    survey = drawn_from(company, "responses")
    behind = {} if survey else {cut: _behind(company, cut) for cut in shown["segment"].unique()}
    pairs = list(zip(shown["segment"], shown["level"], shown["customers"], strict=True))
    shown["customers"] = [behind.get(c, {}).get(level, (n, math.nan))[0] for c, level, n in pairs]
    shown["monthly_revenue"] = [behind.get(c, {}).get(level, (n, math.nan))[1] for c, level, n in pairs]
    known = shown
    shown = shown.drop(columns=["period", "looks", *(["customers", "monthly_revenue"] if survey else [])])
    falling = [
        {"segment": r["segment"], "level": r["level"], "change": Estimate(r["value"], r["low"], r["high"]),
         "customers": None if survey else r["customers"],
         "revenue": None if math.isnan(r["monthly_revenue"]) else r["monthly_revenue"]}
        for r in known[known["falling"]].to_dict("records")
    ]  # fmt: skip
    now = shown.set_index(["segment", "level"])["now"].to_dict()
    flagged = found[found["falling"] & (found["period"] != last)]
    earlier = [
        {"segment": cut, "level": level, "periods": [_named(p, period) for p in part["period"]],
         "now": now.get((cut, level))}
        for (cut, level), part in flagged.groupby(["segment", "level"], observed=True, sort=False)
    ]  # fmt: skip
    return answer(
        "count", shown, metric=metric.upper(), period=period, last=_named(last, period), watched=len(shown),
        falling=falling, earlier=earlier, looks=looks, false_alarms=false_alarms,
    )  # fmt: skip


def _behind(company: Company, cut: str) -> dict[str, tuple[float, float]]:
    """Return customers of today and their monthly revenue by level, for a cut of customers."""
    if cut not in people.segments(company):
        return {}
    base = purchases.paying_base(company, by=[cut]).groupby(cut, observed=True)[["n", "revenue"]].sum(min_count=1)
    return {level: (float(r["n"]), float(r["revenue"])) for level, r in base.iterrows()}
