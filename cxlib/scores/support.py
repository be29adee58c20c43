"""01_scores: how long do customers wait for support, is it solved at once, do they return, and is it linked to scores?

Times are calendar hours, nights and weekends included. An open case is censored at its age. A case that ends in another
way (closed without a reply, closed automatically) has a competing end; it is never left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import answers, cases, invitations, people
from cxlib.counts.cases import RESOLUTION, RESPONSE
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import Answer, Figure, answer, finding, slug, table
from cxlib.page.numbers import number, percent
from cxlib.page.resamples import resamples
from cxlib.scores.estimates import agents, drawn_from, estimate, hidden
from cxlib.stats import draws, intervals, survival
from cxlib.stats.association import rank_correlation
from cxlib.stats.competing import Course, follow, share
from cxlib.stats.estimate import Estimate

PERCENTILES = {"median": 0.5, "75th percentile": 0.75, "90th percentile": 0.9}
WITHIN = {RESPONSE: (4, 24), RESOLUTION: (24, 72)}  # hours
GOAL = {RESPONSE: cases.ANSWERED, RESOLUTION: cases.CLOSED}
WAITING = {RESPONSE: "waiting for first reply", RESOLUTION: "waiting for resolution"}
REOPEN_DAYS = (1, 3, 7, 14, 30)  # windows beside the declared one
CLOCK_FROM, CLOCK_SHARE = 24, 0.005  # a spike counts from this age in hours and this share of closings
SPIKE, FEWEST = 5, 20  # times the closings of the ages next to it, and closings, that make a spike
MEASURES = (RESPONSE, RESOLUTION, cases.RETURNED, cases.CONTACTS)  # what may precede an answer
POWER = 2.8  # standard errors of a link that is detected four times in five


# ---- times -----------------------------------------------------------------------------------------------


def _course(counted: pd.DataFrame, goal: str, weights: np.ndarray) -> Course:
    """Follow cases of a table of ``cases.waits``, in hours, to the end named ``goal``; other ends compete."""
    ended = np.where(counted["cause"] == goal, 1, np.where(counted["cause"] == cases.OPEN, 0, 2))
    return follow(counted["minutes"] / 60, ended, counted["fold"], counted["n"], weights)


def _since(company: Company, months: int) -> date:
    return (pd.Timestamp(company.as_of) - pd.DateOffset(months=months)).date()


def _measures(company: Company) -> list[str]:
    return [what for what, needed in cases.NEEDS.items() if company.has("contacts", needed)]


def require(company: Company, *needed: str, by: str | None = None, since: date | None = None) -> None:
    """Raise Unanswered where columns of the cases are missing, or too few customers have a case.

    ``by``: a column of the cases, or a segment of the customers. ``since``: cases opened after that day.
    """
    people.require(company, "contacts", *needed)
    if not _measures(company):
        raise Unanswered("no-times-of-cases")
    if by and by not in company.settings.segments:
        people.require(company, "contacts", by)
    if cases.customers(company, since=since)["customers"].iloc[0] < company.settings.privacy.minimum_base:
        raise Unanswered("few-cases", recent=since is not None)


def _shown(company: Company, by: str, since: date | None = None) -> list[str]:
    """Return the levels of ``by`` with enough customers, none of which reveals a small one."""
    found = cases.customers(company, [by], since)
    return list(found.loc[~hidden(company, found["customers"].to_numpy()), by])


def _figure(name: str, label: str, e: Estimate, unit: str, base: str = "cases") -> Figure:
    note = "" if math.isfinite(e.high) else "not reached within the time seen"
    return Figure(slug(name), label, e, unit, base, note)


@finding("support-times")
def times(company: Company, window_months: int = 12) -> Answer:
    """Answer: how long until the first reply, and until a case is closed? Over the cases opened in the last months.

    Open cases are censored at the end of the as-of day. Being closed without a reply competes with the first reply,
    being closed automatically with the resolution (Aalen-Johansen). Values in hours, or shares.
    """
    since = _since(company, window_months)
    require(company, since=since)
    weights, clock = resamples(company), _clock(company)
    rows, figures, reached, usual, ends = [], [], [], [], {}
    for what in _measures(company):
        counted = cases.waits(company, what, since=since, clock=_ages(clock))
        course = _course(counted, GOAL[what], weights)
        found = {k: (course.quantile(p), "hours") for k, p in PERCENTILES.items()}
        found |= {f"within {h} h": (course.within(h), "share") for h in WITHIN[what]}
        for statistic, (e, unit) in found.items():
            shown = percent(e) if unit == "share" else number(e)
            rows.append({"measure": what, "statistic": statistic, "estimate": e, "unit": unit, "shown": shown})
            if not math.isnan(e.value):
                figures.append(_figure(f"{what} {statistic}", f"{what}, {statistic}", e, unit))
        median = found["median"][0]
        reached.append({"replied": what == RESPONSE, "median": median if math.isfinite(median.value) else None})
        ends |= counted.groupby("cause")["n"].sum().to_dict()  # open: of the last measure
        usual += _usual(what, counted, median)
    odd = cases.customers(company, since=since).iloc[0]
    return answer(
        "count", table(rows, ["measure", "statistic"]), figures,
        opened=figures[0].estimate.n, window_months=window_months, reached=reached, by_person=len(clock) > 0,
        unanswered=ends.get(cases.UNANSWERED, 0), by_clock=ends.get(cases.BY_CLOCK, 0),
        still_open=ends.get(cases.OPEN, 0),
        usual=usual, early=odd["reopened_early"], backwards=odd["backwards"],
        missing=[needed for what, needed in cases.NEEDS.items() if what not in _measures(company)],
    )  # fmt: skip


def _usual(what: str, counted: pd.DataFrame, median: Estimate) -> list[dict[str, object]]:
    """Return what the cases that have ended would say alone (median and mean in hours), where that differs."""
    ended = counted[counted["cause"].isin([GOAL[what], cases.BY_CLOCK])].groupby("minutes")["n"].sum()
    if ended.empty:
        return []
    hours = ended.index.to_numpy() / 60
    middle = float(hours[np.searchsorted(ended.cumsum(), ended.sum() / 2)])
    mean = float(hours @ ended / ended.sum())
    if round(middle, 1) == round(median.value, 1) and median.low <= mean <= median.high:
        return []
    return [{"replied": what == RESPONSE, "median": middle, "mean": mean}]


@finding("support-curve")
def curve(company: Company, what: str = "both", window_months: int = 12, hours: int = 120) -> Answer:
    """Answer: how many of the cases are still waiting after so many hours? The table is that of ``charts.curves``.

    ``what``: "first response", "resolution" or "both". Columns group, hours, value (share still waiting: neither
    replied to nor closed; not closed), low, high, n, at_risk (cases followed so far); one row an hour.
    """
    since = _since(company, window_months)
    require(company, *([] if what == "both" else [cases.NEEDS[what]]), since=since)
    parts, waiting, weights = [], [], resamples(company)
    for measure in [m for m in _measures(company) if what in ("both", m)]:
        course = _course(cases.waits(company, measure, since=since), GOAL[measure], weights)
        low, high = course.bounds(course.waiting)
        last = hours if course.waiting[0, -1] < 1e-9 else min(hours, math.floor(course.times[-1]))
        x = np.arange(last + 1.0)
        at = np.searchsorted(course.times, x, side="right")
        values = {k: np.r_[1, v][at] for k, v in {"value": course.waiting[0], "low": low, "high": high}.items()}
        more = {"n": course.n, "at_risk": np.r_[course.at_risk, 0][at]}
        parts.append(pd.DataFrame({"group": WAITING[measure], "hours": x} | values | more))
        if last >= 24:
            waiting.append({"replied": measure == RESPONSE, "share": float(values["value"][24])})
    return answer("count", pd.concat(parts, ignore_index=True), waiting=waiting)


@finding("support-by", named=lambda company, by="agent", *_, **__: f"support-by-{by}")
def by_team(company: Company, by: str = "agent", window_months: int = 12) -> Answer:
    """Answer: how do times differ between agents, topics or channels? Medians in hours.

    ``by``: a column of the cases, or a segment of the customers.
    """
    since = _since(company, window_months)
    require(company, by=by, since=since)
    levels, weights, rows, medians = _shown(company, by, since), resamples(company), [], []
    if len(levels) < 2:
        raise Unanswered("few-levels-of-cases", by=by)
    for what in _measures(company):
        counted = cases.waits(company, what, [by], since, _ages(_clock(company)))
        parts = counted[counted[by].isin(levels)].groupby(by, observed=True)
        mine = {level: _course(part, GOAL[what], weights).quantile(0.5) for level, part in parts}
        called = agents(company) if by == "agent" else {level: level for level in mine}
        rows += [{"measure": what, "level": c, "estimate": mine[level]} for level, c in called.items() if level in mine]
        ends = [e.value for e in mine.values()]
        medians.append({"replied": what == RESPONSE, "shortest": min(ends), "longest": max(ends)})
    unseen = len(cases.customers(company, [by], since)) - len(levels)
    return answer("observed", table(rows, ["measure", "level"]), by=by, medians=medians, unseen=unseen)


# ---- closed automatically --------------------------------------------------------------------------------


def _clock(company: Company) -> pd.DataFrame:
    """Return the ages at which the system closes cases: spikes of closings from one day on.

    First by the hour; then by the day, for a job that runs once a day, where no hour stands out. Columns: low, high
    (hours, from and below), words, n, unanswered (without a reply), expected.
    """
    found, ages = [], cases.closing_ages(company)
    for width in (1, 24):
        for spike in _spikes(ages.groupby(ages["hours"] // width)["n"].sum()).itertuples():
            first = int(spike.Index) * width
            inside = ages["hours"].between(first, first + width - 1)
            known = any(first - 1 < s["low"] < first + width for s in found)
            if first >= CLOCK_FROM and not known and spike.n >= CLOCK_SHARE * ages["n"].sum():
                age = f"{first / 24:.3g} days" if width == 1 else f"{first // 24} to {first // 24 + 1} days"
                silent = ages.loc[inside, "unanswered"].sum()
                found.append(
                    {"low": first - 0.5, "high": first + width - 0.5, "words": age, "n": spike.n, "unanswered": silent,
                     "expected": spike.expected}
                )  # fmt: skip
    return pd.DataFrame(found, columns=["low", "high", "words", "n", "unanswered", "expected"])


def _spikes(counted: pd.Series) -> pd.DataFrame:
    """Return the ages with many more closings than the five ages before and those after: n, expected (the medians).

    Of the two medians the higher counts, so neither a steep slope nor a second spike nearby misleads.
    """
    before = counted.rolling(5).median().shift()
    after = counted[::-1].rolling(5, min_periods=1).median().shift(fill_value=0)[::-1]
    usual = pd.DataFrame({"n": counted, "expected": np.maximum(before, after)})
    return usual[usual["n"] >= np.maximum(SPIKE * usual["expected"], FEWEST)]


def _ages(clock: pd.DataFrame) -> list[tuple[float, float]]:
    return list(zip(clock["low"], clock["high"], strict=True))


@finding("closed-by-clock")
def closed_by_clock(company: Company) -> Answer:
    """Answer: does the system close cases automatically, and what does that do to the time to resolution?

    A spike is an age, by the hour or the day, with at least 5 times the closings of the ages next to it and 20 closings
    in all, from one day on and with at least 0.5 % of all closings.
    """
    require(company, "resolved_at")
    clock, weights = _clock(company), resamples(company)
    counted = cases.closed(company, _ages(clock))
    n, hits, silent = (float(counted[c].sum()) for c in ("closed", "by_clock", "unanswered"))
    facts = {"closed": n, "hits": hits, "ages": list(clock["words"])}
    if clock.empty:
        nothing = dict.fromkeys(("of_all", "times", "silent", "counted_as_solved", "not_counted"))
        return answer("count", None, (), **facts, **nothing)
    _, drawn = draws.resample(counted, "fold", ["closed", "by_clock"], [], weights)
    of_all = share(drawn[:, 0, 1] / drawn[:, 0, 0], n)
    waits = cases.waits(company, RESOLUTION, clock=_ages(clock))
    plain = waits.assign(cause=waits["cause"].replace(cases.BY_CLOCK, cases.CLOSED))
    rows = []
    for kind, part in {"all closings": plain, "closed by a person": waits}.items():
        course = _course(part, cases.CLOSED, weights)
        rows += [{"cases": kind, "statistic": k, "estimate": course.quantile(p)} for k, p in PERCENTILES.items()]
    with_it, without = (rows[i]["estimate"].value for i in (len(PERCENTILES) - 1, -1))
    figures = [_figure("closed-by-clock", "Closed cases closed automatically", of_all, "share", "closed cases")]
    return answer(
        "count", table(rows, ["cases", "statistic"]), figures, **facts,
        of_all=of_all, times=float((clock["n"] / clock["expected"]).min()),
        silent=silent if RESPONSE in _measures(company) else None, counted_as_solved=with_it, not_counted=without,
    )  # fmt: skip


# ---- solved at once, and returning -----------------------------------------------------------------------


def _stayed_away(counted: pd.DataFrame, days: Sequence[int], least: int, weights: np.ndarray) -> dict[int, Estimate]:
    """Return the share not back within each number of days (Kaplan-Meier), where enough cases were followed so long."""
    events = counted.assign(events=counted["n"] * counted["event"])
    drawn, n = survival.survival_draws(events, max(days), weights), float(counted["n"].sum())
    long_enough = [d for d in days if counted.loc[counted["duration"] >= d, "n"].sum() >= least]
    return {d: share(drawn[:, d - 1], n) for d in long_enough}


@finding("first-contact")
def first_contact(company: Company, reopen_days: int = 7) -> Answer:
    """Answer: how many cases were solved at first contact: closed, and the customer not back within ``reopen_days``?

    Back: the case was reopened, or the customer opened another one. Kaplan-Meier from the closing, so that recent
    closings count for as long as they were seen; the as-of date and leaving end the follow-up.
    """
    require(company, "resolved_at")
    reopening = company.has("contacts", "reopened_at")
    several = company.contacts.count() - company.contacts.customer_id.nunique()
    if not (reopening or several.execute()):
        raise Unanswered("no-second-case")
    clock, weights, least = _ages(_clock(company)), resamples(company), company.settings.privacy.minimum_base
    needs = {cases.REOPENED: "reopened_at", cases.SAME_TOPIC: "topic", cases.ANY: "contact_id"}
    days, rows = sorted({*REOPEN_DAYS, reopen_days}), []
    for definition in [d for d, needed in needs.items() if company.has("contacts", needed)]:
        counted = cases.returns(company, "closed", definition, max(days), clock=clock)
        found = _stayed_away(counted, days, least, weights)
        rows += [{"definition": definition, "days": d, "estimate": e} for d, e in found.items()]
    declared = [r["estimate"] for r in rows if (r["definition"], r["days"]) == (cases.ANY, reopen_days)]
    if not declared:
        raise Unanswered("few-followed", days=reopen_days)
    e, values = declared[0], [r["estimate"].value for r in rows]
    total = cases.closed(company, clock).sum()
    label = words.say(__file__, "first-contact", "label", reopening_known=reopening, reopen_days=reopen_days)
    figures = [_figure("first-contact", label, e, "share", "closed cases")]
    return answer(
        "count", table(rows, ["definition", "days"]), figures,
        solved=e, reopen_days=reopen_days, lowest=min(values), highest=max(values), silent=total["unanswered"],
        unseen=int(total["closed"] - e.n), early=cases.customers(company)["reopened_early"].iloc[0],
        reopening_known=reopening,
    )  # fmt: skip


@finding("repeat-contacts")
def repeat_contacts(company: Company, within_days: int = 30) -> Answer:
    """Answer: how often do customers return with another case, and how many cases does a customer open a year?

    Value: share of cases followed by another one of the same customer within ``within_days`` of opening (Kaplan-Meier;
    the as-of date and leaving end the follow-up). Further columns: ``rate`` with its interval, cases per customer and
    year over the last twelve months (from the first case on, if later), and the ``customer_years`` behind it.
    """
    require(company)
    weights, least = resamples(company), company.settings.privacy.minimum_base
    since = max(_since(company, 12), cases.first_opened(company) - timedelta(days=1))
    rows, rates = [], []
    for segment in [None, *people.segments(company)]:
        by = [segment] if segment else []
        followed = cases.returns(company, "opened", longest=within_days, by=by)
        visits = cases.contact_rates(company, since, by)
        for level in _shown(company, segment) if segment else ["all"]:
            one, seen = (t if segment is None else t[t[segment] == level] for t in (followed, visits))
            away = _stayed_away(one, [within_days], least, weights).get(within_days) if len(one) else None
            if away is None:
                continue
            back = Estimate(1 - away.value, 1 - away.high, 1 - away.low, away.se, away.n)
            rates.append(_rate(seen, least, weights))
            rows.append(
                {"segment": segment or "all", "level": level, "estimate": back, "rate": rates[-1].value,
                 "rate_low": rates[-1].low, "rate_high": rates[-1].high, "customer_years": seen["days"].sum() / 365.25}
            )  # fmt: skip
    if not rows or rows[0]["segment"] != "all":
        raise Unanswered("few-followed", days=within_days)
    e, rate = rows[0]["estimate"], rates[0]
    figures = [_figure("repeat-contacts", f"Followed by another case within {within_days} days", e, "share")]
    known = not (math.isnan(rate.value) or drawn_from(company, "contacts"))
    if known:
        figures.append(_figure("contact-rate", "Cases per customer and year", rate, "a year", "customers"))
    rest = [] if known else ["rate", "rate_low", "rate_high", "customer_years"]
    return answer(
        "count", table(rows, ["segment", "level"]).drop(columns=rest), figures,
        repeated=e, within_days=within_days, rate=rate if known else None, outside=int(visits["outside"].sum()),
    )  # fmt: skip


def _rate(visits: pd.DataFrame, least: int, weights: np.ndarray) -> Estimate:
    """Return contacts per customer and year; NaN for few customers."""
    customers = float(visits["customers"].sum())
    if customers < least:
        return Estimate(math.nan, math.nan, math.nan, n=customers)
    _, drawn = draws.resample(visits, "fold", ["contacts", "days"], [], weights)
    rates = drawn[:, 0, 0] / (drawn[:, 0, 1] / 365.25)
    return draws.estimate(rates[0], rates[1:], customers, low=0)


# ---- links to the scores ---------------------------------------------------------------------------------


def _levels(counted: pd.DataFrame, measure: str, least: int) -> pd.Series:
    """Return the level each answer is shown under: quarters of the times and not yet; yes or no; how many."""
    if measure == cases.RETURNED:
        return counted["level"].map({0: "no", 1: "yes"})
    if measure == cases.CONTACTS:
        most = 2 if counted.loc[counted["level"] >= 2, "n"].sum() >= least else 1
        return counted["level"].clip(upper=most).map({0: "0", 1: "1", most: f"{most} or more"})
    yet = counted["known"] == 0
    yet &= counted.loc[yet, "n"].sum() >= least  # a few are put in the quarter of their time so far
    sizes = counted[~yet].groupby("level")["n"].sum()
    quarter = np.floor(4 * (sizes.cumsum() - sizes / 2) / sizes.sum()).astype(int)
    ends = pd.Series(sizes.index / 60, sizes.index).groupby(quarter).max()
    hours = [number(h) for h in ends]
    named = [f"up to {hours[0]} hours"] if hours else []
    named += [f"{a} to {b} hours" for a, b in itertools.pairwise(hours)]
    names = dict(zip(ends.index, named, strict=True))
    return counted["level"].map(quarter.map(names)).mask(yet, "not yet")


@lru_cache(maxsize=1)  # the sections of a page ask for the same links
def _links(company: Company, reopen_days: int) -> dict[tuple[str, str], tuple[pd.DataFrame, Estimate, bool]]:
    """Return by score of an experience and measure: the answers to show by level, the correlation, if it is a link.

    A measure with fewer than two levels to show is left out.
    """
    found, resampling, least = {}, resamples(company)[1:], company.settings.privacy.minimum_base
    behind = {m: cases.behind_answers(company, m, reopen_days) for m in _metrics(company)}
    for metric, what in itertools.product(behind, MEASURES):
        t = behind[metric][behind[metric]["measure"] == what]
        t = t.assign(shown=_levels(t, what, least)).sort_values(["known", "level"], ascending=[False, True])
        sizes = t.groupby("shown", sort=False)["n"].sum()
        levels = sizes.index[~hidden(company, sizes.to_numpy())] if len(sizes) else []
        if len(levels) > 1:
            value, drawn = rank_correlation(t["level"], t["score"], t["fold"], t["weight"], resampling)
            e = draws.estimate(value, drawn, float(t["n"].sum()), low=-1, high=1)
            found[metric, what] = t[t["shown"].isin(levels)], e, intervals.p_against(e)
    found = {key: link for key, link in found.items() if not math.isnan(link[2])}
    real = intervals.benjamini_hochberg([p for _, _, p in found.values()])
    both = zip(found.items(), real, strict=True)
    return {key: (shown, e, bool(yes) and e.excludes(0)) for (key, (shown, e, _)), yes in both}


def _metrics(company: Company) -> list[str]:
    return [m for m in answers.metrics(company) if m != "nps"]  # which asks about the relationship, not about a case


@finding("support-against", named=lambda company, metric, *_, **__: f"support-against-{metric}")
def against(company: Company, metric: str, reopen_days: int = 7) -> Answer:
    """Answer: is a score linked to how long a case took, to returning, to many contacts? Association, not effect.

    Mean score by level, and Spearman's rank correlation of each measure with its draws. A link is one whose interval
    excludes 0, confirmed by Benjamini-Hochberg over all measures and metrics. Nothing later than the question is used;
    ``cases.behind_answers`` defines the case behind an answer and a return.
    """
    people.require(company, "contacts")
    people.require(company, "responses")
    if metric not in _metrics(company):
        raise Unanswered("no-question-on-a-case", metric=metric.upper())
    answers.require_dates(company, metric)
    links = _links(company, reopen_days)
    mine = {what: link for (m, what), link in links.items() if m == metric}
    if not mine:
        raise Unanswered("few-answers-with-a-case", metric=metric.upper())
    rows, found, figures = [], [], []
    for what, (rated, e, linked) in mine.items():
        measure, more = (words.say(__file__, part, what) for part in ("measures", "more"))
        for level, part in rated.groupby("shown", sort=False):
            rows.append({"measure": measure, "level": level, "estimate": estimate(company, metric, part, "mean")})
        found.append(
            {"measure": measure, "more": more, "correlation": e, "lower": e.value < 0, "linked": linked,
             "unconfirmed": e.excludes(0) and not linked}
        )  # fmt: skip
        label = f"{metric.upper()} and {measure}"
        figures.append(_figure(f"{metric} {what} correlation", label, e, "rank correlation", "answers"))
    found.sort(key=lambda one: (not one["linked"], -abs(one["correlation"].value)))
    asked, answered = invitations.response_counts(company, invitations.Asked(metric))[["asked", "answered"]].sum()
    return answer(
        "observed", table(rows, ["measure", "level"]), figures,
        metric=metric.upper(), direction=answers.direction(company, metric), found=found, compared=len(links),
        named=company.has("responses", "contact_id"), behind_days=cases.BEHIND_DAYS,
        detectable=POWER * max(e.se for _, e, _ in mine.values()), asked=asked, missing=1 - answered / asked,
    )  # fmt: skip
