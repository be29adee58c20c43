"""01_scores: did the score change? By period, split into mix and rates, against control limits, and by segment."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, norm

from cxlib.counts import answers, customer_base, people, purchases
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.numbers import day
from cxlib.page.resamples import resamples
from cxlib.scores import Period, estimates
from cxlib.scores.estimates import UNITS, change, drawn_from, estimate, hidden, kind_of, since
from cxlib.stats import control as charting
from cxlib.stats import draws, intervals
from cxlib.stats.estimate import UNKNOWN, Estimate

STEP = {"week": "7D", "month": "MS", "quarter": "QS", "year": "YS"}
A_YEAR = {"week": 52, "month": 12, "quarter": 4, "year": 1}
FEWEST = 10  # answers of a cell in each of two years, for the cell to be compared
A_START = 2  # months at the start of a year that say too little about it
BASELINES = {"quarter": 8, "month": 12}  # fewest periods before the window of the control chart, best step first
METHOD = ("channel", "version", "scale", "source", "tool", "wave")  # columns of answers that say how they were asked
ABRUPT = 0.3  # share of the answers that changes its level from one period to the next
BEYOND_CHANCE = 0.001  # highest p value of such a change
FOLLOWED = {True: "yes", False: "no", None: "not known yet"}
SMOOTHING = 0.2  # weight of the latest period in the moving average
FIXED, RAW = "at a fixed mix of {}", "as answered"


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


def _series(
    company: Company, metric: str, step: str, by: str
) -> tuple[list, list[Estimate], list[Estimate] | None, list[str]]:
    """Return periods, the score of each as answered and (or None) at the mix of all of them, and what is held."""
    cells = estimates.alike(company, metric, by)
    counted = answers.score_counts(company, metric, by=cells, period=step, latest_only=True)
    periods = _periods(company, metric, counted, step)
    of_period = {p: part for p, part in counted.groupby("period", observed=True)}
    raw = [estimate(company, metric, of_period[p], kind_of(metric), one_each=True) for p in periods]
    ordered = counted[counted["period"].isin(periods)].assign(period=lambda f: f["period"].map(periods.index))
    fixed = estimates.at_one_mix(company, metric, ordered, kind_of(metric), cells) if cells else None
    return periods, raw, fixed, cells


def _breaks(company: Company, metric: str, step: str, periods: Sequence) -> dict[object, str]:
    """Return the periods in which the way of asking changed abruptly, and what changed, such as "channel in Q2 2025".

    A break moves ABRUPT of the answers to another level of a column of METHOD, beyond chance. A column that changes in
    most periods only names them (a wave).
    """
    found: dict[object, str] = {}
    for column in (c for c in METHOD if company.has("responses", c)):
        counted = answers.score_counts(company, metric, by=[column], period=step, latest_only=True)
        sizes = counted.groupby(["period", column], observed=True)["n"].sum().unstack(fill_value=0)
        sizes = sizes.loc[[p for p in periods if p in sizes.index]]
        moved = sizes.div(sizes.sum(axis=1), axis=0).diff().abs().sum(axis=1) / 2
        abrupt = []
        for two in itertools.pairwise(sizes.index):
            both = sizes.loc[[*two]]
            if moved[two[1]] >= ABRUPT and chi2_contingency(both.loc[:, both.any()]).pvalue < BEYOND_CHANCE:
                abrupt.append(two[1])
        for p in abrupt if len(abrupt) <= len(sizes) / 3 else []:
            found[p] = f"{found[p]} and {column}" if p in found else column
    return {p: f"{what} in {_named(p, step)}" for p, what in found.items()}


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

    A second line holds the mix of ``by`` (default: the first declared segment) and stage of tenure fixed. The last
    whole period is compared with the one before it.
    """
    metric = answers.choose(company, metric)
    require(company, metric, period)
    periods, raw, fixed, held = _series(company, metric, period, by or (people.segments(company) or [""])[0])
    lines = {RAW: raw} | ({FIXED.format(" and ".join(held)): fixed} if fixed else {})
    breaks = _breaks(company, metric, period, periods)
    rows = [
        {"period": p, "line": line, "estimate": e, "break": p in breaks}
        for line, found in lines.items()
        for p, e in zip(periods, found, strict=True)
    ]
    whole = _whole(company, periods, period)
    if len(whole) < 2:
        raise Unanswered("few-periods", period=period)
    counted = answers.score_counts(company, metric, period=period, latest_only=True)
    last, before = (counted[counted["period"] == p] for p in (whole[-1], whole[-2]))
    moved = change(company, metric, last, before, kind_of(metric), one_each=True)
    now, then = (periods.index(p) for p in (whole[-1], whole[-2]))
    label = f"{metric.upper()}: change on the {period} before"
    return answer(
        "count", table(rows, ["period", "line"]),
        [Figure(f"{metric}-change", label, moved, UNITS[kind_of(metric)], "answers")], counted,
        metric=metric.upper(), period=period, last=_named(whole[-1], period), score=raw[now], change=moved,
        detected=moved.excludes(0), held=held if fixed else [], breaks=[*breaks.values()],
        by_mix=bool(fixed) and (fixed[now].value - fixed[then].value) * moved.value < 0,
    )  # fmt: skip


@finding("mix")
def mix(company: Company, metric: str = "", by: str = "") -> Answer:
    """Answer: did the score change, or who responded? This year against the same part of the year before.

    Kitagawa's decomposition (1955) with average weights: mix = change of shares x average score, rates = change of
    scores x average share; the two add up to the whole change. Cells are a level of ``by`` and a stage of tenure; those
    with few answers in either year are left out, never pooled. Intervals from the fold draws.
    """
    metric = answers.choose(company, metric)
    answers.require_dates(company, metric)
    by = by or (people.segments(company) or [""])[0]
    held, kind = estimates.alike(company, metric, by), kind_of(metric)
    if not held:
        raise Unanswered("no-segment")
    end = pd.Timestamp(company.as_of)
    if end.month <= A_START:  # too little of this year is over: the year before it
        end = pd.Timestamp(end.year - 1, 12, 31)
    parts = []
    for back in (1, 0):
        until = end - pd.DateOffset(years=back)
        since_ = pd.Timestamp(until.year, 1, 1) - pd.Timedelta(days=1)
        part = answers.score_counts(company, metric, by=held, latest_only=True, since=since_.date(), until=until.date())
        parts.append(part.assign(year=back))
    if min(p["customers"].sum() for p in parts) < company.settings.privacy.minimum_base:
        raise Unanswered("few-years")
    counted = pd.concat(parts, ignore_index=True)
    sizes = counted.groupby([*held, "year"], observed=True)["n"].sum().unstack(fill_value=0)
    kept = sizes.index[(sizes >= FEWEST).all(axis=1)]
    if len(kept) < 2:
        raise Unanswered("few-levels", by=" and ".join(held), fewest=FEWEST)
    asked, cell = float(counted["n"].sum()), counted.set_index(held).index
    counted = counted.assign(cell=kept.get_indexer(cell))[cell.isin(kept)]
    use = counted["weight" if answers.weighted(company) else "n"].to_numpy(float)
    at, shape = (counted["year"], counted["cell"]), (2, len(kept))
    answered, total = (
        draws.summed(resamples(company), counted["fold"], value, at, shape)
        for value in (use, use * estimates.contributions(company, metric, kind, counted["score"]))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        share, score = answered / answered.sum(-1, keepdims=True), total / answered
    mixed = ((share[:, 0] - share[:, 1]) * score.mean(1)).sum(-1)
    rates = ((score[:, 0] - score[:, 1]) * share.mean(1)).sum(-1)
    n, what = float(counted["n"].sum()), " and ".join(held)
    values = {"whole change": mixed + rates, f"change in the mix of {what}": mixed, f"within each {what}": rates}
    rows = [{"part": k, "estimate": draws.estimate(v[0], v[1:], n)} for k, v in values.items()]
    whole, of_mix, of_rates = (r["estimate"] for r in rows)
    figures = [
        Figure(f"{metric}-yearly-{key}", f"{metric.upper()}, {end.year - 1} to {end.year}: {r['part']}", r["estimate"],
               UNITS[kind], "answers")
        for key, r in zip(("change", "mix", "rates"), rows, strict=True)
    ]  # fmt: skip
    opposed = of_mix.excludes(0) and of_rates.excludes(0) and of_mix.value * of_rates.value < 0
    quarters = pd.date_range(pd.Timestamp(end.year - 1, 1, 1), end, freq="QS")
    return answer(
        "count", table(rows, ["part"]), figures,
        metric=metric.upper(), held=held, first=end.year - 1, last=end.year, whole=whole, of_mix=of_mix,
        of_rates=of_rates, within=of_rates.excludes(0), detected=of_mix.excludes(0) or of_rates.excludes(0),
        partial=(end.month, end.day) != (12, 31), until=f"{end.day} {end:%B}", outside=1 - n / asked, opposed=opposed,
        paradox=opposed and whole.value * of_rates.value < 0,
        breaks=[*_breaks(company, metric, "quarter", quarters).values()],
    )  # fmt: skip


@finding("control")
def control(company: Company, metric: str = "", window_months: int = 12, false_alarms: float = 0.05) -> Answer:
    """Answer: is the score under control? EWMA chart of the quarters (else months) against those before the window.

    At a fixed mix of the first declared segment and stage of tenure, so that a change in who responds is no alarm, and
    against the same season of the years before where the periods are quarters. ``false_alarms``: chance that a stable
    score triggers any alarm in the whole window.
    """
    metric = answers.choose(company, metric)
    require(company, metric, "month")
    start = pd.Timestamp(since(company, window_months))
    for step, fewest in BASELINES.items():
        periods, raw, fixed, held = _series(company, metric, step, (people.segments(company) or [""])[0])
        whole = _without_gap(_whole(company, periods, step), step)
        before = sum(p <= start for p in whole)
        if fewest <= before < len(whole):
            break
    else:
        raise Unanswered("short-baseline", months=BASELINES["month"], quarters=BASELINES["quarter"])
    every = dict(zip(periods, fixed or raw, strict=True))
    found, seasonal = [every[p] for p in whole], step == "quarter"
    chart = charting.ewma_chart(
        [e.value for e in found], [e.se for e in found], before, SMOOTHING, false_alarms, company.settings.seed,
        [p.quarter if seasonal else 0 for p in whole],
    )  # fmt: skip
    rows = chart.table.assign(period=whole, n=[e.n for e in found])
    alarms = rows[rows["alarm"]]
    one = None if alarms.empty else alarms.iloc[0]
    first = ["period", "value", "n"]
    return answer(
        "count", rows[[*first, *(c for c in rows if c not in first)]],
        metric=metric.upper(), held=held if fixed else [], step=step, before=before, watched=len(rows) - before,
        alarm="" if one is None else _named(one["period"], step), below=one is not None and one["ewma"] < one["low"],
        false_alarms=chart.false_alarms, centre=chart.centre, smoothing=SMOOTHING, seasonal=seasonal,
        overdispersion=chart.overdispersion, breaks=[*_breaks(company, metric, step, whole).values()],
    )  # fmt: skip


def _shown(company: Company, counted: pd.DataFrame | None, cut: str) -> set[str]:
    """Return the levels of a cut whose scores may be shown from these answers."""
    if counted is None or counted.empty:
        return set()
    sizes = counted.groupby(cut, observed=True)["customers"].sum()
    return set(sizes.index[~hidden(company, sizes.to_numpy())])


def _in_time(company: Company, metric: str, period: str, found: pd.DataFrame) -> list:
    """Return the periods of a table in the order of time."""
    seen = set(found["period"])
    return [w for w in answers.waves(company, metric) if w in seen] if period == "wave" else sorted(seen)


def _a_year_before(now: object, period: str) -> object:
    """Return the same season of the year before; None for a wave, whose season nobody knows."""
    if period == "wave":
        return None
    return now - (pd.Timedelta(weeks=52) if period == "week" else pd.DateOffset(years=1))


def watch(
    company: Company, metric: str, period: Period = "quarter", false_alarms: float = 0.05, cuts: Sequence[str] = ()
) -> pd.DataFrame:
    """Compare each whole period of the last two years, segment by segment, with the same season of the year before.

    The year before as a whole is taken where too few customers of a level answered in that season. Columns: period,
    segment, level, value (the change less that of all others), low, high, n, customers, now, before, p, falling, looks.
    Limits allow for how much more than sampling error the levels of a segment moved in earlier periods. p, one-sided,
    is the larger of two: the score itself fell, and it fell by more than the others. Within each period
    Benjamini-Hochberg decides at ``false_alarms`` divided by the reports of a year.

    Example: ``watch(company, "nps").query("falling")``.
    """
    kind, rows = kind_of(metric), []
    falls = -1 if company.settings.metrics[metric].good == "high" else 1
    for cut in cuts or [c for c in answers.cuts(company, metric) if c != people.STAGE]:
        counted = answers.score_counts(company, metric, by=[cut], period=period, latest_only=True)
        of_period = {p: part for p, part in counted.groupby("period", observed=True)}
        order = answers.waves(company, metric) if period == "wave" else sorted(of_period)
        order = [p for p in _whole(company, order, period) if p in of_period]
        looks = A_YEAR.get(period) or max(1, len(order) // 2)
        scatter: list[float] = []  # squares of earlier changes in standard errors
        for place, now in [*enumerate(order)][1:][-3 * looks :]:
            season = of_period.get(_a_year_before(now, period))
            year = pd.concat([of_period[p] for p in order[max(place - looks, 0) : place]])
            same, squares = _shown(company, season, cut), []
            stretch = max(1.0, math.sqrt(np.mean(scatter or [1.0])))
            for level in sorted(_shown(company, of_period[now], cut) & (same | _shown(company, year, cut))):
                two = of_period[now], season if level in same else year
                which = [part[cut].to_numpy() == level for part in two]
                mine, rest = ([p[w == own] for p, w in zip(two, which, strict=True)] for own in (True, False))
                own = change(company, metric, *mine, kind)
                net = intervals.difference(own, change(company, metric, *rest, kind))
                if math.isnan(net.p):
                    continue
                squares.append(norm.isf(max(net.p, 1e-12) / 2) ** 2)
                net = Estimate(
                    net.value, *(net.value + stretch * (e - net.value) for e in (net.low, net.high)), n=own.n
                )
                p = [intervals.p_against(e) / 2 for e in (own, net)]
                worse = max(half if e.value * falls > 0 else 1 - half for e, half in zip((own, net), p, strict=True))
                row = {"period": now, "segment": cut, "level": level, "estimate": net, "looks": looks, "p": worse}
                scores = (estimate(company, metric, part, kind).value for part in mine)
                row |= dict(zip(("now", "before"), scores, strict=True))
                rows.append(row | {"customers": float(mine[0]["customers"].sum())})
            scatter += squares
    found = table(rows, ["period", "segment", "level"])
    if len(found):
        found["falling"] = (
            found.groupby("period", observed=True)["p"]
            .transform(lambda p: intervals.benjamini_hochberg(p, false_alarms / found["looks"].iloc[0]))
            .astype(bool)
        )
        two_years = _in_time(company, metric, period, found)[-2 * looks :]
        found = found[found["period"].isin(two_years)].reset_index(drop=True)
    return found


@lru_cache(maxsize=1)  # the warning and what became of earlier ones start from the same table
def _watched(
    company: Company, metric: str, period: Period, false_alarms: float, cuts: tuple[str, ...]
) -> tuple[pd.DataFrame, list]:
    """Return what ``watch`` finds and its periods in the order of time; Unanswered if there is nothing to watch."""
    require(company, metric, period)
    found = watch(company, metric, period, false_alarms, cuts)
    if found.empty:
        raise Unanswered("no-segment-to-watch", period=period)
    return found, _in_time(company, metric, period, found)


@finding("early-warning")
def early_warning(
    company: Company,
    metric: str = "",
    period: Period = "quarter",
    false_alarms: float = 0.05,
    cuts: Sequence[str] = (),
) -> Answer:
    """Answer: which segment's score fell by more than chance, and by more than the others'? See ``watch``.

    The last whole period against the same season of the year before. The rate is divided by the reports of a year: in a
    stable year, the chance that any report flags any segment is at most ``false_alarms``; of the segments flagged at
    most that share is expected to be false. Adds each segment's customers of today and what they pay.
    """
    metric = answers.choose(company, metric)
    found, order = _watched(company, metric, period, false_alarms, tuple(cuts))
    looks = int(found["looks"].iloc[0])
    last = order[-1]
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
    flagged = found[found["falling"] & found["period"].isin(order[-looks:-1])]
    earlier = [
        {"segment": cut, "level": level, "periods": [_named(p, period) for p in part["period"]],
         "now": now.get((cut, level))}
        for (cut, level), part in flagged.groupby(["segment", "level"], observed=True, sort=False)
    ]  # fmt: skip
    back = _a_year_before(last, period)
    breaks = _breaks(company, metric, period, [p for p in order if back is None or p >= back])
    return answer(
        "count", shown, metric=metric.upper(), period=period, last=_named(last, period), watched=len(shown),
        falling=falling, earlier=earlier, looks=looks, false_alarms=false_alarms, breaks=[*breaks.values()],
    )  # fmt: skip


@finding("earlier-alarms")
def followed_up(
    company: Company,
    metric: str = "",
    period: Period = "quarter",
    false_alarms: float = 0.05,
    cuts: Sequence[str] = (),
) -> Answer:
    """Answer: what became of earlier alarms? Those that ``watch`` would have given over the last two years.

    The score stayed down if it was worse than in the year before in both of the two periods after. Leaving by choice
    rose if the share who left in these two periods is clearly above that of a year before (Newcombe 1998).
    """
    metric = answers.choose(company, metric)
    found, order = _watched(company, metric, period, false_alarms, tuple(cuts))
    falls = -1 if company.settings.metrics[metric].good == "high" else 1
    rows = []
    for alarm in found[found["falling"]].to_dict("records"):
        now = alarm["period"]
        place = order.index(now)
        same = found[(found["segment"] == alarm["segment"]) & (found["level"] == alarm["level"])]
        same = same[same["period"].isin(order[place + 1 : place + 3])]
        worse = bool(((same["now"] - same["before"]) * falls > 0).all()) if len(same) == 2 else None
        left = _left_after(company, alarm["segment"], alarm["level"], now, period) or UNKNOWN
        fall = Estimate(alarm["value"], alarm["low"], alarm["high"], n=alarm["n"])
        rose = None if math.isnan(left.value) else left.low > 0
        row = {"period": _named(now, period), "segment": alarm["segment"], "level": alarm["level"], "estimate": fall}
        row |= {"stayed": FOLLOWED[worse], "left": left.value, "left_low": left.low, "left_high": left.high}
        rows.append(row | {"rose": FOLLOWED[rose]})
    shown = table(rows, ["period", "segment", "level"])
    return answer(
        "count", shown, metric=metric.upper(), period=period, periods=len(order), alarms=len(rows),
        stayed=[r["stayed"] for r in rows], rose=[r["rose"] for r in rows],
    )  # fmt: skip


def _left_after(company: Company, cut: str, level: str, now: object, period: str) -> Estimate | None:
    """Return by how much the share who left by choice in the two periods after one exceeds that of a year before."""
    if period == "wave" or cut not in people.segments(company) or not customer_base.seen_to_leave(company):
        return None
    size = pd.tseries.frequencies.to_offset(STEP[period])
    first, last = now + size, now + 3 * size
    if last > pd.Timestamp(company.as_of) + pd.Timedelta(days=1):
        return None
    starts = [_a_year_before(first, period), _a_year_before(last, period), first, last]
    counted = customer_base.by_period(company, [s.date() for s in starts], [cut])
    sums = counted[counted[cut] == level].groupby("period")[["chosen", "here"]].sum().reindex([first, starts[0]])
    return None if sums["here"].fillna(0).min() == 0 else intervals.share_difference(*sums.to_numpy(float).ravel())


def _behind(company: Company, cut: str) -> dict[str, tuple[float, float]]:
    """Return customers of today and their monthly revenue by level, for a cut of customers."""
    if cut not in people.segments(company):
        return {}
    base = purchases.paying_base(company, by=[cut]).groupby(cut, observed=True)[["n", "revenue"]].sum(min_count=1)
    return {level: (float(r["n"]), float(r["revenue"])) for level, r in base.iterrows()}
