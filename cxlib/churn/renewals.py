"""03_churn: who goes on: contracts and payment terms renewed, and, without contracts, buying again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from cxlib.churn.retention import about_dates, points, slug
from cxlib.churn.tenure import read
from cxlib.counts import customer_base, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, day, interval, listing, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.stats import competing, draws, intervals, survival
from cxlib.stats.estimate import Estimate


@dataclass(frozen=True)
class _Told:
    """What one source tells of renewals: ``rows`` by level (the first being all), how to say it, caveats; or ``why`` not."""

    source: str
    rows: tuple[dict, ...] = ()
    said: str = ""
    caveats: tuple[str, ...] = ()
    why: str = ""


def renewals(company: Company, days: int = 30, months: int = 12, by: str = "") -> Finding:
    """Answer: how many renew? Of contracts (or, from orders, payment terms) that ended, the share gone on with.

    From customers: contract_ends_on in the last ``months``, here on the day before, still here ``days`` after it (Wilson).
    From orders: a payment of kind new or renewal, followed by a renewal at most ``days`` (half the term, if that is
    shorter) after its term; the term is the usual distance between payments, if there is one (fold draws).
    """
    name, title, by = "renewals", "Share that renews when its term ends", customer_base.level_of(company, by)
    if company.settings.relationship != "contractual":
        return unanswered(name, title, "without contracts nothing is renewed; see who buys again.")
    told = [_contracts(company, days, months, by), _payments(company, days, months, by)]
    known, why = [t for t in told if t.rows], [t.why for t in told if t.why]
    if not known:
        return unanswered(
            name, title, "; ".join(why or ["neither contract_ends_on nor orders of kind renewal are there"]) + "."
        )
    text, figures = "", []
    for t in known:
        e = t.rows[0]["estimate"]
        text += f" {interval(e, percent)} of {e.n:,.0f} {t.said}."
        figures.append(Figure(slug("renewal", t.source), f"Renewed, by {t.source}", e, "share of those due", t.source))
    caveats = [c for t in known for c in t.caveats] + [f"Not told: {w}." for w in why]
    if len(known) == 2:
        caveats.append("The two need not agree: one is a customer at a contract's end, the other a payment term.")
    shown = table([{"source": t.source, **r} for t in known for r in t.rows], ["source", "level"])
    return Finding(name, title, text.strip(), "D", shown, tuple(figures), (*caveats, *about_dates(company)))


def _contracts(company: Company, days: int, months: int, by: str) -> _Told:
    source, least = "contract ends", company.settings.privacy.minimum_base
    if not company.has("customers", "contract_ends_on"):
        return _Told(source)
    if missing := people.require(company, "customers", "left_on"):
        return _Told(source, why=missing)
    where = customer_base.contract_dates(company)
    if where["past"] < least <= where["ahead"]:
        why = (
            f"{where['ahead']:,} customers who are here have a contract_ends_on to come and only {where['past']:,} a past one, so it "
            "seems to move on with each renewal, and who did not renew keeps the old one: customers cannot tell the share"
        )
        return _Told(source, why=why)
    last = company.as_of - timedelta(days=days)
    first = last - timedelta(days=int(months * DAYS_A_MONTH) - 1)
    first = max(first, company.settings.leavers_since or first)
    due, kept, before = (int(v) for v in customer_base.contract_ends(company, first, last, days).fillna(0).iloc[0])
    if due < least:
        return _Told(source, why=f"fewer than {least} contracts ended from {day(first)} to {day(last)}")
    rows = [{"level": "all", "estimate": intervals.share(kept, due)}]
    cut = customer_base.contract_ends(company, first, last, days, [by]).sort_values(by) if by else pd.DataFrame()
    rows += [
        {"level": r[by], "estimate": intervals.share(r["kept"], r["due"])}
        for r in cut.to_dict("records")
        if r["due"] >= least
    ]
    caveats = [
        f"{before:,} customers had left in the {days} days before their contract's end and are not among those due."
    ]
    caveats += _levels_hidden(by, len(cut) - len(rows) + 1, least)
    if where["ahead"]:
        caveats.append(
            f"A customer has one contract_ends_on; {where['ahead']:,} of those who are here have it to come. Where it moved on with a "
            "renewal, the customer is missing among those due, and the share understated."
        )
    said = f"customers whose contract ended from {day(first)} to {day(last)} were still here {days} days later"
    return _Told(source, tuple(rows), said, tuple(caveats))


def _payments(company: Company, days: int, months: int, by: str) -> _Told:
    source, least, since = "payment terms", company.settings.privacy.minimum_base, company.settings.leavers_since
    if not company.has("orders", "kind"):
        return _Told(source)
    found = customer_base.payment_gaps(company)
    total = found["n"].sum()
    if total < least:
        return _Told(source, why=f"fewer than {least} orders are renewals")
    term = int(found["gap"].iloc[np.searchsorted(found["n"].cumsum(), total / 2)])
    regular = found.loc[found["gap"].between(0.85 * term, 1.15 * term), "n"].sum() / total
    if regular < 0.75:
        why = f"renewals in orders keep no term (only {percent(regular)} of them come about {term} days after the payment before)"
        return _Told(source, why=why)
    grace = max(min(days, term // 2), 1)
    last = company.as_of - timedelta(days=grace)
    first = last - timedelta(days=int(months * DAYS_A_MONTH) - 1)
    first = max(first, since + timedelta(days=term) if since else first)
    counted = customer_base.payments_due(company, first, last, term, grace, [by] if by else [])
    weights, rows, hidden = resamples(company), [], 0
    for level, part in [("all", counted), *(counted.groupby(by, observed=True) if by else [])]:
        if part["due"].sum() < least:
            hidden += 1
            continue
        __, drawn = draws.resample(part, "fold", ["due", "kept"], [], weights)
        with np.errstate(invalid="ignore"):
            rows.append({"level": level, "estimate": competing.share(drawn[:, 0, 1] / drawn[:, 0, 0], drawn[0, 0, 0])})
    if not rows:
        return _Told(source, why=f"fewer than {least} payment terms ended from {day(first)} to {day(last)}")
    said = f"payments whose term of {term} days ended from {day(first)} to {day(last)} were followed by a renewal within {grace} days"
    usual = f"A term of {term} days is the usual distance between payments ({percent(regular)} of renewals come at about it)."
    return _Told(source, tuple(rows), said, (usual, *_levels_hidden(by, hidden, least)))


def _levels_hidden(by: str, hidden: int, least: int) -> list[str]:
    return [f"Not shown: {hidden} levels of {by} with fewer than {least} due."] if hidden else []


# ---- buying again ----------------------------------------------------------------------------------------------------


def _no_purchases(company: Company) -> str | None:
    if company.settings.relationship == "contractual":
        return "orders under a contract are payments, not decisions to buy again; see renewals."
    missing = people.require(company, "orders")
    return f"{missing}." if missing else None


def _before_the_exports(company: Company) -> str:
    first, refunds = customer_base.first_orders(company)
    text = f"Orders begin on {day(first)}: who had bought before looks new. Orders of one day are one purchase"
    return text + (f"; {refunds:,} orders below 0 are refunds and left out." if refunds else ".")


def repurchase(company: Company, months: int = 12, every: str = "quarter") -> Finding:
    """Answer: how many first-time buyers buy again within ``months``? Kaplan-Meier, those not yet followed so long included.

    And by cohort of the first purchase, where the whole cohort was followed for so long (Wilson).
    """
    customer_base.known(every)
    name, title = "repurchase", "Share of first-time buyers who bought again, by time since the first purchase"
    if why := _no_purchases(company):
        return unanswered(name, title, why)
    counted, least = customer_base.second_purchases(company, every), company.settings.privacy.minimum_base
    ages = sorted({m for m in (1, 3, 6, 9, 12, 18, 24) if m < months} | {months})
    curve = survival.kaplan_meier(counted["duration"], counted["event"], counted["n"])
    n = float(counted["n"].sum())
    rows = []
    for age, (e, at_risk) in zip(
        ages, read(curve, np.array([0, *(int(a * DAYS_A_MONTH) for a in ages)]))[1:], strict=True
    ):
        if at_risk >= least:
            rows.append(
                {
                    "cohort": "all",
                    "months": age,
                    "estimate": Estimate(1 - e.value, 1 - e.high, 1 - e.low, e.se, n),
                    "at_risk": at_risk,
                }
            )
    if not rows:
        return unanswered(name, title, f"fewer than {least} first-time buyers have been followed for a month.")
    last, small = rows[-1], 0
    for cohort, part in counted.groupby("cohort"):
        size = int(part["n"].sum())
        small += size < least
        for age in ages if size >= least else []:
            until = int(age * DAYS_A_MONTH)
            if part["followed"].iloc[0] >= until:
                again = int(part.loc[(part["event"] == 1) & (part["duration"] <= until), "n"].sum())
                rows.append(
                    {"cohort": cohort, "months": age, "estimate": intervals.share(again, size), "at_risk": size}
                )
    e, age = last["estimate"], last["months"]
    text = f"Of {n:,.0f} first-time buyers {interval(e, percent)} bought again within {age} months."
    whole = [r for r in rows if r["months"] == age and r["cohort"] != "all"]
    figures = [Figure("repurchase", f"Bought again within {age} months", e, "share of first-time buyers", "buyers")]
    if len(whole) > 1:
        old, new = whole[0], whole[-1]
        gap = intervals.difference(new["estimate"], old["estimate"])
        change = f"{'' if gap.excludes(0) else 'no detectable difference, '}{points(gap)}"
        text += f" First purchase in the {every} from {new['cohort']:%B %Y}: {percent(new['estimate'].value)}, from "
        text += f"{old['cohort']:%B %Y}: {percent(old['estimate'].value)}; {change}."
        figures.append(
            Figure(
                "repurchase-change", f"The newest against the oldest cohort after {age} months", gap, "share", "buyers"
            )
        )
    caveats = [
        f"All: Kaplan-Meier, whoever has not been followed for {months} months counts as long as followed.",
        _before_the_exports(company),
    ]
    if age < months:
        caveats.append(
            f"Fewer than {least} have been followed for {months} months; {age} is the longest that can be said."
        )
    if small:
        caveats.append(f"Not shown: {small} cohorts of fewer than {least} buyers.")
    return Finding(name, title, text, "D", table(rows, ["cohort", "months"]), tuple(figures), tuple(caveats))


def between_purchases(company: Company) -> Finding:
    """Answer: how long from one purchase to the next? Kaplan-Meier with the stretches still open; fold draws.

    To drop open stretches keeps the short ones only; that curve stands beside it as a warning.
    """
    name, title = "between-purchases", "Share bought again, by days since a purchase"
    if why := _no_purchases(company):
        return unanswered(name, title, why)
    counted, least = customer_base.gaps(company), company.settings.privacy.minimum_base
    closed = counted[counted["event"] == 1]
    seen, n = int(closed["n"].sum()), int(counted["n"].sum())
    if seen < least:
        return unanswered(name, title, f"only {seen} purchases were followed by another on a later day.")
    course = competing.follow(counted["duration"], counted["event"], counted["fold"], counted["n"], resamples(company))
    short = competing.follow(closed["duration"], closed["event"], closed["fold"], closed["n"], resamples(company))
    end = int(course.times[course.at_risk >= least][-1])
    rows = []
    for group, c in (("with those still open", course), ("only those that ended", short)):
        low, high = c.bounds(c.done)
        for d in [*range(0, end, 7), end]:
            i = int(np.searchsorted(c.times, d, side="right")) - 1
            shares = (c.done[0, i], low[i], high[i]) if i >= 0 else (0.0, 0.0, 0.0)
            e = Estimate(*(abs(v) for v in shares), n=c.n)  # no minus zero
            ahead = int(np.searchsorted(c.times, d))
            rows.append(
                {"group": group, "days": d, "estimate": e, "at_risk": c.at_risk[ahead] if ahead < len(c.times) else 0}
            )
    quartiles = {q: course.quantile(q) for q in (0.25, 0.5, 0.75)}
    whole, wrong = (lambda v: number(v, 0)), short.quantile(0.5).value
    words = {0.25: "a quarter", 0.5: "half", 0.75: "three quarters"}
    said = [f"{words[q]} within {interval(e, whole)} days" for q, e in quartiles.items() if math.isfinite(e.value)]
    text = (
        f"Of all purchases {listing(said)} are followed by another" if said else "Few purchases are followed by another"
    )
    if len(said) < len(words):
        text += f"; after {end:,} days {interval(course.within(end), percent)} have been"
    text += "."
    figures = tuple(
        Figure(
            slug("days-between", words[q]),
            f"Days until {words[q]} of purchases are followed by another",
            e,
            "days",
            "purchases",
        )
        for q, e in quartiles.items()
        if math.isfinite(e.high)  # else the follow-up does not tell
    )
    caveats = (
        f"{n - seen:,} of {n:,} stretches are still open and count as long as followed; without them the median would seem to be "
        f"{number(wrong, 0)} days.",
        "Every stretch counts once, so those who buy often count more often. " + _before_the_exports(company),
    )
    return Finding(name, title, text, "D", table(rows, ["group", "days"]), figures, caveats)
