"""Support in 01_scores: how long do customers wait, is it solved at once, do they come back, does the score tell?

Times are hours on the elapsed clock, nights and weekends included. A case that is still open counts for as long as it
has been; one that ends some other way (closed without a reply, closed by the system) is another end, never left out.
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
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, interval, listing, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.scores import estimates
from cxlib.stats import draws, intervals, survival
from cxlib.stats.association import rank_correlation
from cxlib.stats.competing import Course, follow, share
from cxlib.stats.estimate import Estimate
from cxlib.stats.spikes import spikes

PERCENTILES = {"median": 0.5, "75th percentile": 0.75, "90th percentile": 0.9}
WITHIN = {RESPONSE: (4, 24), RESOLUTION: (24, 72)}  # hours
GOAL = {RESPONSE: cases.ANSWERED, RESOLUTION: cases.CLOSED}
WAITING = {RESPONSE: "waiting for first reply", RESOLUTION: "waiting for resolution"}
REOPEN_DAYS = (1, 3, 7, 14, 30)  # windows beside the declared one
CLOCK_FROM, CLOCK_SHARE = 24, 0.005  # a spike counts from this age in hours and this share of closings on
MEASURES = {  # more of it, and its name
    RESPONSE: ("a longer ", "wait for the first reply"),
    RESOLUTION: ("a longer ", "time to resolution"),
    cases.RETURNED: ("a ", "return or reopening"),
    cases.CONTACTS: ("a larger ", "number of contacts in the 90 days before"),
}


# ---- times -----------------------------------------------------------------------------------------------


def _course(counted: pd.DataFrame, goal: str, weights: np.ndarray) -> Course:
    """Follow cases of a table of ``cases.waits``, in hours, to the end named ``goal``, others forestalling it."""
    ended = np.where(counted["cause"] == goal, 1, np.where(counted["cause"] == cases.OPEN, 0, 2))
    return follow(counted["minutes"] / 60, ended, counted["fold"], counted["n"], weights)


def _since(company: Company, months: int) -> date:
    return (pd.Timestamp(company.as_of) - pd.DateOffset(months=months)).date()


def _measures(company: Company) -> list[str]:
    return [what for what, needed in cases.NEEDS.items() if company.has("contacts", needed)]


def _why_not(company: Company, *needed: str, by: str | None = None, since: date | None = None) -> str | None:
    """Return why a question on cases cannot be answered, None if it can."""
    if why := people.require(company, "contacts", *needed):
        return f"{why}."
    if not _measures(company):
        return "contacts has neither first_response_at nor resolved_at."
    if by and not (company.has("contacts", by) or by in company.settings.segments):
        return f"contacts has no {by}, and it is no segment."
    least = company.settings.privacy.minimum_base
    few = cases.customers(company, since=since)["customers"].iloc[0] < least
    return f"fewer than {least} customers opened a case{' in that time' if since else ''}." if few else None


def _shown(company: Company, by: str, since: date | None = None) -> list[str]:
    """Return the levels of ``by`` with enough customers, none of which gives a small one away."""
    found = cases.customers(company, [by], since)
    return list(found.loc[~estimates.hidden(company, found["customers"].to_numpy()), by])


def _hours(value: float) -> str:
    digits = 2 if value < 1 else 1 if value < 100 else 0
    return number(value, digits) + ("\N{NO-BREAK SPACE}h" if math.isfinite(value) else "")


def _figure(name: str, label: str, e: Estimate, unit: str, base: str = "cases") -> Figure:
    note = "" if math.isfinite(e.high) else "not reached within the time seen"
    return Figure(name.replace(" ", "-"), label, e, unit, base, note)


def _count(n: float, noun: str, done: str) -> str:
    """Return "1 case was closed", "3 cases were closed"."""
    return f"{n:,.0f} {noun} was {done}" if n == 1 else f"{n:,.0f} {noun}s were {done}"


def times(company: Company, window_months: int = 12, by: str | None = None) -> Finding:
    """Answer: how long until the first reply, and until a case is closed? Over the cases opened in the last months.

    Open cases are censored at the end of the as-of day. Being closed without a reply forestalls the first reply, being
    closed by the system forestalls the resolution (Aalen-Johansen). ``by`` adds rows for each level of a column of the
    cases or segment of the customers.
    """
    name, title, since = "support-times", "How long customers wait for support", _since(company, window_months)
    if why := _why_not(company, by=by, since=since):
        return unanswered(name, title, why)
    weights, keys = resamples(company), [by] if by else []
    levels, clock = _shown(company, by, since) if by else [], _clock(company)
    rows, figures, said, ends, caveats = [], [], [], [], []
    for what in _measures(company):
        counted = cases.waits(company, what, keys, since, _ages(clock))
        for level in [None, *levels]:
            course = _course(counted if level is None else counted[counted[by] == level], GOAL[what], weights)
            found = {k: (course.quantile(p), "hours") for k, p in PERCENTILES.items()}
            found |= {f"within {h} h": (course.within(h), "share") for h in WITHIN[what]}
            key = {"measure": what} | dict.fromkeys(keys, "all" if level is None else level)
            rows += [{"statistic": k, **key, "estimate": e, "unit": unit} for k, (e, unit) in found.items()]
            if level is None:
                median = found["median"][0]
                known = {k: e for k, e in found.items() if not math.isnan(e[0].value)}
                figures += [_figure(f"{what} {k}", f"{what}, {k}", *e) for k, e in known.items()]
        did = "had a first reply" if what == RESPONSE else "were closed by a person" if len(clock) else "were closed"
        reached = f" within {interval(median, _hours)}" if math.isfinite(median.value) else ""
        said.append(f"{'half' if reached else 'fewer than half'} {did}{reached}")
        sizes = counted.groupby("cause")["n"].sum()
        ends += [_count(sizes[end], "case", end) for end in (cases.UNANSWERED, cases.BY_CLOCK) if end in sizes]
        caveats += _naive(what, counted, median)
    still = int(sizes.get(cases.OPEN, 0))
    ends += [_count(still, "case", "still open and counted for as long as seen")] if still else []
    text = f"Of {figures[0].estimate.n:,.0f} cases opened in the last {window_months} months {listing(said)}, on the elapsed "
    text += "clock" + (f" ({'; '.join(ends)})." if ends else ".")
    early, backwards = cases.customers(company, since=since).iloc[0][["reopened_early", "backwards"]]
    notes = {
        "No case is open: if the export leaves open cases out, slow ones are missing among the recent.": not still,
        f"{_count(backwards, 'case', 'answered or closed before the opening')}: taken as at once.": backwards,
        f"{_count(early, 'case', 'reopened before the closing')} the export gives, which is the last one: the time to it holds "
        "the earlier closings.": early,
    }
    caveats += [note for note, applies in notes.items() if applies]
    caveats += [f"contacts has no {needed}." for what, needed in cases.NEEDS.items() if what not in _measures(company)]
    return Finding(name, title, text, "D", table(rows, ["measure", "statistic", *keys]), tuple(figures), tuple(caveats))


def _naive(what: str, counted: pd.DataFrame, median: Estimate) -> list[str]:
    """Return what cases that have ended would say alone, where that is something else."""
    ended = counted[counted["cause"].isin([GOAL[what], cases.BY_CLOCK])].groupby("minutes")["n"].sum()
    if ended.empty:
        return []
    hours = ended.index.to_numpy() / 60
    middle = hours[np.searchsorted(ended.cumsum(), ended.sum() / 2)]
    mean = float(hours @ ended / ended.sum())
    if _hours(middle) == _hours(median.value) and median.low <= mean <= median.high:
        return []
    did = "answered" if what == RESPONSE else "closed"
    return [f"Cases {did} so far, alone, would give a median of {_hours(middle)} and a mean of {_hours(mean)}."]


def curve(company: Company, what: str = "both", window_months: int = 12, hours: int = 120) -> Finding:
    """Answer: how many of the cases are still waiting after so many hours? The table is that of ``charts.curves``.

    ``what``: "first response", "resolution" or "both". Columns group, hours, value (share still waiting: neither
    replied to nor closed; not closed), low, high, n, at_risk (cases followed so far); one row an hour.
    """
    name, title, since = "support-curve", "Share of cases still waiting", _since(company, window_months)
    asked = [m for m in cases.NEEDS if what in ("both", m)]
    if why := _why_not(company, *([] if what == "both" else [cases.NEEDS[what]]), since=since):
        return unanswered(name, title, why)
    parts, said, weights = [], [], resamples(company)
    for measure in [m for m in asked if m in _measures(company)]:
        course = _course(cases.waits(company, measure, since=since), GOAL[measure], weights)
        low, high = course.bounds(course.waiting)
        last = hours if course.waiting[0, -1] < 1e-9 else min(hours, math.floor(course.times[-1]))
        x = np.arange(last + 1.0)
        at = np.searchsorted(course.times, x, side="right")
        values = {k: np.r_[1, v][at] for k, v in {"value": course.waiting[0], "low": low, "high": high}.items()}
        more = {"n": course.n, "at_risk": np.r_[course.at_risk, 0][at]}
        parts.append(pd.DataFrame({"group": WAITING[measure], "hours": x} | values | more))
        said += [f"{percent(values['value'][24])} were still {WAITING[measure]}"] if last >= 24 else []
    text = f"24 hours after they were opened {listing(said)}." if said else "No case has been followed for 24 hours."
    return Finding(name, title, text, "D", pd.concat(parts, ignore_index=True))


def by_team(company: Company, by: str = "agent", window_months: int = 12) -> Finding:
    """Answer: how do the times differ between agents, topics or channels? Medians with intervals, in alphabetical order."""
    name, title, since = f"support-by-{by}", f"Median times by {by}", _since(company, window_months)
    if why := _why_not(company, by=by, since=since):
        return unanswered(name, title, why)
    levels, weights, rows, said = _shown(company, by, since), resamples(company), [], []
    if len(levels) < 2:
        return unanswered(name, title, f"fewer than two levels of {by} have enough customers.")
    for what in _measures(company):
        counted = cases.waits(company, what, [by], since, _ages(_clock(company)))
        parts = counted[counted[by].isin(levels)].groupby(by, observed=True)
        medians = {level: _course(part, GOAL[what], weights).quantile(0.5) for level, part in parts}
        rows += [{"measure": what, by: level, "estimate": e} for level, e in medians.items()]
        low, high = (_hours(f(e.value for e in medians.values())) for f in (min, max))
        said.append(f"the median time to {what} lies between {low} and {high}")
    unseen = len(cases.customers(company, [by], since)) - len(levels)
    caveats = ["Lowest and highest are partly chance, and cases are not dealt out alike: look at the intervals."]
    caveats += [f"{_count(unseen, 'level', 'left out')} for few customers."] if unseen else []
    text = f"Over {len(levels)} levels of {by} {listing(said)}."
    return Finding(name, title, text, "D", table(rows, ["measure", by]), caveats=tuple(caveats))


# ---- closed by the clock ---------------------------------------------------------------------------------


def _clock(company: Company) -> pd.DataFrame:
    """Return the ages at which the system closes cases: spikes of closings from one day on.

    Looked for by the hour, then, for a job that runs once a day, by the day where no hour stands out. Columns: low, high
    (hours, from and below), words, n, unanswered (without a reply), expected.
    """
    found, ages = [], cases.closing_ages(company)
    for width in (1, 24):
        counted = ages.groupby(ages["hours"] // width)["n"].sum()
        for spike in spikes(counted.index, counted).itertuples():
            first = int(spike.value) * width
            inside = ages["hours"].between(first, first + width - 1)
            known = any(first - 1 < s["low"] < first + width for s in found)
            if first >= CLOCK_FROM and not known and spike.n >= CLOCK_SHARE * ages["n"].sum():
                words = f"{number(first / 24)} days" if width == 1 else f"{first // 24} to {first // 24 + 1} days"
                found.append({"low": first - 0.5, "high": first + width - 0.5, "words": words, "n": spike.n,
                              "unanswered": ages.loc[inside, "unanswered"].sum(), "expected": spike.expected})  # fmt: skip
    return pd.DataFrame(found, columns=["low", "high", "words", "n", "unanswered", "expected"])


def _ages(clock: pd.DataFrame) -> list[tuple[float, float]]:
    return list(zip(clock["low"], clock["high"], strict=True))


def closed_by_clock(company: Company) -> Finding:
    """Answer: does the system close cases by itself, and what does that do to the time to resolution?

    A spike is an age, by the hour or the day, with at least 5 times the closings of the ages beside it, beyond chance,
    from one day on and with at least 0.5 % of all closings.
    """
    name, title = "closed-by-clock", "Time to resolution with and without cases closed by the clock"
    if why := _why_not(company, "resolved_at"):
        return unanswered(name, title, why)
    clock, weights = _clock(company), resamples(company)
    counted = cases.closed(company, _ages(clock))
    n, hits, silent = (float(counted[c].sum()) for c in ("closed", "by_clock", "unanswered"))
    if clock.empty:
        return Finding(name, title, f"No age stands out among {n:,.0f} closings: none looks closed by the clock.")
    _, drawn = draws.resample(counted, "fold", ["closed", "by_clock"], [], weights)
    of_all = share(drawn[:, 0, 1] / drawn[:, 0, 0], n)
    waits = cases.waits(company, RESOLUTION, clock=_ages(clock))
    plain = waits.assign(cause=waits["cause"].replace(cases.BY_CLOCK, cases.CLOSED))
    rows = []
    for kind, part in {"all closings": plain, "closed by a person": waits}.items():
        course = _course(part, cases.CLOSED, weights)
        rows += [{"cases": kind, "statistic": k, "estimate": course.quantile(p)} for k, p in PERCENTILES.items()]
    with_it, without = (_hours(rows[i]["estimate"].value) for i in (len(PERCENTILES) - 1, -1))
    text = f"{interval(of_all, percent)} of {n:,.0f} closed cases were closed at an age of {listing(clock['words'])}, at least "
    text += f"{(clock['n'] / clock['expected']).min():,.0f} times as many as at the ages beside it: it looks like the system's "
    text += f"doing. {silent:,.0f} of these {hits:,.0f} had no reply. " if RESPONSE in _measures(company) else "doing. "
    text += f"The 90th percentile of the time to resolution is {with_it} if they count as resolved, {without} if not."
    figures = (_figure("closed-by-clock", "Closed cases that the clock closed", of_all, "share", "closed cases"),)
    return Finding(name, title, text, "D", table(rows, ["cases", "statistic"]), figures)


# ---- solved at once, and coming back ---------------------------------------------------------------------


def _stayed_away(counted: pd.DataFrame, days: Sequence[int], least: int, weights: np.ndarray) -> dict[int, Estimate]:
    """Return the share not back within each number of days (Kaplan-Meier), where enough cases were followed so long."""
    events = counted.assign(events=counted["n"] * counted["event"])
    drawn, n = survival.survival_draws(events, max(days), weights), float(counted["n"].sum())
    long_enough = [d for d in days if counted.loc[counted["duration"] >= d, "n"].sum() >= least]
    return {d: share(drawn[:, d - 1], n) for d in long_enough}


def first_contact(company: Company, reopen_days: int = 7) -> Finding:
    """Answer: how many cases were solved at first contact: closed, and the customer not back within ``reopen_days``?

    Back: the case reopened, or the customer opened another one. Kaplan-Meier from the closing, so that recent closings
    count for as long as they were seen; the as-of date and leaving end the follow-up.
    """
    name, title = "first-contact", "Share of closed cases solved at first contact, by definition"
    if why := _why_not(company, "resolved_at"):
        return unanswered(name, title, why)
    clock, weights, least = _ages(_clock(company)), resamples(company), company.settings.privacy.minimum_base
    needs = {cases.REOPENED: "reopened_at", cases.SAME_TOPIC: "topic", cases.ANY: "contact_id"}
    days, rows = sorted({*REOPEN_DAYS, reopen_days}), []
    for definition in [d for d, needed in needs.items() if company.has("contacts", needed)]:
        counted = cases.returns(company, "closed", definition, max(days), clock=clock)
        found = _stayed_away(counted, days, least, weights)
        rows += [{"definition": definition, "days": d, "estimate": e} for d, e in found.items()]
    declared = [r["estimate"] for r in rows if (r["definition"], r["days"]) == (cases.ANY, reopen_days)]
    if not declared:
        return unanswered(name, title, f"fewer than {least} closed cases were followed for {reopen_days} days.")
    e, values = declared[0], sorted(r["estimate"].value for r in rows)
    text = f"{interval(e, percent)} of {e.n:,.0f} closed cases were solved at first contact: not reopened, and no other case "
    text += f"of the customer opened within {reopen_days} days. Other definitions and windows give "
    text += f"{percent(values[0])} to {percent(values[-1])}."
    total, early = cases.closed(company, clock).sum(), cases.customers(company)["reopened_early"].iloc[0]
    silent, unseen = total["unanswered"], int(total["closed"] - e.n)
    notes = {
        f"{_count(silent, 'case', 'closed by the clock')} without a reply: not solved.": silent,
        f"{_count(unseen, 'case', 'closed')} only after the customer had left: not followed.": unseen,
        f"{_count(early, 'case', 'reopened')} before the closing the export gives: not solved at first.": early,
        "contacts has no reopened_at: coming back is opening another case.": not company.has("contacts", "reopened_at"),
    }
    caveats = tuple(note for note, applies in notes.items() if applies)
    figures = (_figure("first-contact", f"Solved at first contact, {reopen_days} days", e, "share", "closed cases"),)
    return Finding(name, title, text, "D", table(rows, ["definition", "days"]), figures, caveats)


def repeat_contacts(company: Company, within_days: int = 30) -> Finding:
    """Answer: how often do customers come back with another case, and how many cases does a customer open a year?

    Value: share of cases followed by another one of the same customer within ``within_days`` of opening (Kaplan-Meier,
    the as-of date and leaving end the follow-up). Further columns: ``rate`` with its interval, cases per customer and
    year over the last twelve months (from the first case on, if later), and the ``customer_years`` behind it.
    """
    name, title = "repeat-contacts", f"Share of cases followed by another within {within_days} days"
    if why := _why_not(company):
        return unanswered(name, title, why)
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
            if away is not None:
                rates.append(_rate(seen, least, weights))
                rows.append({"segment": segment or "all", "level": level}
                            | {"estimate": Estimate(1 - away.value, 1 - away.high, 1 - away.low, away.se, away.n)}
                            | {"rate": rates[-1].value, "rate_low": rates[-1].low, "rate_high": rates[-1].high}
                            | {"customer_years": seen["days"].sum() / 365.25})  # fmt: skip
    if not rows or rows[0]["segment"] != "all":
        return unanswered(name, title, f"fewer than {least} cases were followed for {within_days} days.")
    e, rate, outside = rows[0]["estimate"], rates[0], int(visits["outside"].sum())
    text = f"{interval(e, percent)} of cases were followed by another of the same customer within {within_days} days."
    figures = (_figure("repeat-contacts", f"Followed by another case within {within_days} days", e, "share"),)
    if not math.isnan(rate.value):
        text += f" A customer opens {interval(rate, lambda v: number(v, 2))} cases a year."
        figures += (_figure("contact-rate", "Cases per customer and year", rate, "a year", "customers"),)
    caveats = [f"{_count(outside, 'case', 'opened')} outside the customer's own time, and not in the rate."]
    shown = table(rows, ["segment", "level"])
    return Finding(name, title, text, "D", shown, figures, tuple(caveats if outside else []))


def _rate(visits: pd.DataFrame, least: int, weights: np.ndarray) -> Estimate:
    """Return contacts per customer and year; NaN for few customers."""
    people = float(visits["customers"].sum())
    if people < least:
        return Estimate(math.nan, math.nan, math.nan, n=people)
    _, drawn = draws.resample(visits, "fold", ["contacts", "days"], [], weights)
    rates = drawn[:, 0, 0] / (drawn[:, 0, 1] / 365.25)
    return draws.estimate(rates[0], rates[1:], people, low=0)


# ---- against the scores ----------------------------------------------------------------------------------


def _levels(counted: pd.DataFrame, measure: str, least: int) -> pd.Series:
    """Return the level each answer is shown under: quarters of the times and what was not yet; yes or no; how many."""
    if measure == cases.RETURNED:
        return counted["level"].map({0: "no", 1: "yes"})
    if measure == cases.CONTACTS:
        most = 2 if counted.loc[counted["level"] >= 2, "n"].sum() >= least else 1
        return counted["level"].clip(upper=most).map({0: "0", 1: "1", most: f"{most} or more"})
    yet = counted["known"] == 0
    yet &= counted.loc[yet, "n"].sum() >= least  # a few go with the quarter of their time so far
    sizes = counted[~yet].groupby("level")["n"].sum()
    quarter = np.floor(4 * (sizes.cumsum() - sizes / 2) / sizes.sum()).astype(int)
    ends = pd.Series(sizes.index / 60, sizes.index).groupby(quarter).max()
    names = {q: f"{'up to' if i == 0 else 'then to'} {_hours(h)}" for i, (q, h) in enumerate(ends.items())}
    return counted["level"].map(quarter.map(names)).mask(yet, "not by then")


@lru_cache(maxsize=1)  # the sections of a page ask for the same links
def _links(company: Company, reopen_days: int) -> dict[tuple[str, str], tuple[pd.DataFrame, Estimate, bool]]:
    """Return for each score of an experience and measure the answers to show by level, the correlation and if it is a link.

    A measure with fewer than two levels to show is left out.
    """
    found, resampling, least = {}, resamples(company)[1:], company.settings.privacy.minimum_base
    answers = {m: cases.behind_answers(company, m, reopen_days) for m in _metrics(company)}
    for metric, what in itertools.product(answers, MEASURES):
        t = answers[metric][answers[metric]["measure"] == what]
        t = t.assign(shown=_levels(t, what, least)).sort_values(["known", "level"], ascending=[False, True])
        sizes = t.groupby("shown", sort=False)["n"].sum()
        levels = sizes.index[~estimates.hidden(company, sizes.to_numpy())] if len(sizes) else []
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


def against(company: Company, metric: str, reopen_days: int = 7) -> Finding:
    """Answer: do scores go with how long a case took, with coming back, with many contacts? Association, not effect.

    Mean score by level, and Spearman's rank correlation of each measure with its draws. A link is said where its
    interval leaves 0 out and Benjamini-Hochberg over all measures and metrics agrees. Nothing later than the question is
    used; see ``cases.behind_answers`` for the case behind an answer and for what a return is.
    """
    name, title = f"support-against-{metric}", f"{metric.upper()} by how the case went"
    why = people.require(company, "contacts") or people.require(company, "responses")
    if why or metric not in _metrics(company):
        why = why or f"no {metric.upper()} question on an experience was answered"
        return unanswered(name, title, f"{why}.")
    if not answers.dated(company):
        return unanswered(name, title, "the answers carry no dates, so the case before them is not known.")
    links = _links(company, reopen_days)
    mine = {what: link for (m, what), link in links.items() if m == metric}
    if not mine:
        return unanswered(name, title, f"too few {metric.upper()} answers have a case behind them, or they are alike.")
    full = f"{metric.upper()} ({answers.direction(company, metric)})"
    rows, said, none, figures = [], [], [], []
    for what, (rated, e, linked) in mine.items():
        more, measure = MEASURES[what]
        for level, part in rated.groupby("shown", sort=False):
            mean = estimates.estimate(company, metric, part, "mean")
            rows.append({"measure": measure, "level": level, "estimate": mean})
        shown = f"rank correlation {interval(e, lambda v: number(v, 2))}"
        way = "lower" if e.value < 0 else "higher"
        said += [f"{(more + measure).capitalize()} goes with {way} {full}: {shown}."] if linked else []
        none += [] if linked else [f"{measure}, {shown}"]
        label = f"{metric.upper()} and {measure}"
        figures.append(_figure(f"{metric} {what} correlation", label, e, "rank correlation", "answers"))
    said += [f"No detectable link of {full} with {'; '.join(none)}."] if none else []
    how = "the one the answer names, else the" if company.has("responses", "contact_id") else "the"
    asked, answered = invitations.response_counts(company, invitations.Asked(metric))[["asked", "answered"]].sum()
    seeable = number(2.8 * max(e.se for _, e, _ in mine.values()), 2)
    caveats = [
        f"The case behind an answer is {how} customer's latest, opened at most {cases.BEHIND_DAYS} days before the question; "
        "what happened after the question is not used.",
        f"An association as observed, one of {len(links)} looked at, not the effect of being faster. A rank correlation of "
        f"{seeable} or more would be found four times in five.",
    ]
    if answered < asked:
        caveats.append(f"{percent(1 - answered / asked, 0)} of {asked:,.0f} {metric.upper()} questions have no answer; what the "
                       "silent would have said is not known.")  # fmt: skip
    return Finding(name, title, " ".join(said), "D", table(rows, ["measure", "level"]), tuple(figures), tuple(caveats))
