"""03_churn: who goes on: contracts and payment terms renewed, and, without contracts, buying again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from cxlib.churn.tenure import read
from cxlib.counts import customer_base, people
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.dates import about_dates
from cxlib.page.findings import Answer, Figure, answer, finding, slug, table
from cxlib.page.resamples import resamples
from cxlib.stats import competing, draws, intervals, survival
from cxlib.stats.estimate import Estimate

REGULAR = 0.75  # share of renewals that must come at about the usual distance for payments to have a term
QUARTERS = {0.25: "a quarter", 0.5: "half", 0.75: "three quarters"}


@dataclass(frozen=True)
class _Source:
    """What one source says of renewals: ``rows`` by level (the first being all) and facts for the words."""

    name: str
    rows: list[dict]
    facts: Mapping[str, object]


@finding("renewals")
def renewals(company: Company, days: int = 30, months: int = 12, by: str = "") -> Answer:
    """Answer: how many renew? Of contracts (or, from orders, payment terms) that ended, the share continued.

    From customers: contract_ends_on in the last ``months``, here on the day before, still here ``days`` after it
    (Wilson). From orders: a payment of kind new or renewal, followed by a renewal at most ``days`` (half the term, if
    that is shorter) after its term; the term is the usual time between payments, if there is one (fold draws).
    ``by``: a column of customers, by default the first segment; InputError where customers do not have it.
    """
    by = customer_base.level_of(company, by)
    if company.settings.relationship != "contractual":
        raise Unanswered("no-contracts")
    sources, failed = {}, []
    for key, ask in {"contracts": _contracts, "payments": _payments}.items():
        try:
            sources[key] = ask(company, days, months, by)
        except Unanswered as error:  # the other source may know
            failed.append(error)
    if not sources:
        raise next((e for e in failed if e.reason != "no-terms"), failed[0])
    figures = []
    for s in sources.values():
        label, e = words.say(__file__, "renewals", "renewed", source=s.name), s.rows[0]["estimate"]
        figures.append(Figure(slug("renewal", s.name), label, e, "share of those due", s.name))
    first = next(iter(sources.values()))
    shown = table([{"source": s.name, **r} for s in sources.values() for r in s.rows], ["source", "level"])
    return answer(
        "count", shown, figures,
        share=first.rows[0]["estimate"], last=first.facts["last"], by=by, days=days,
        contracts=sources["contracts"].facts if "contracts" in sources else None,
        payments=sources["payments"].facts if "payments" in sources else None,
        failed=[e.reason for e in failed], dates=about_dates(company),
    )  # fmt: skip


def _contracts(company: Company, days: int, months: int, by: str) -> _Source:
    """Count who was still here ``days`` after a contract ended; Unanswered where customers do not say."""
    if not company.has("customers", "contract_ends_on"):
        raise Unanswered("no-terms")
    people.require(company, "customers", "left_on")
    least, where = company.settings.privacy.minimum_base, customer_base.contract_dates(company)
    if where["past"] < least <= where["ahead"]:
        raise Unanswered("contracts-move-on", ahead=int(where["ahead"]), past=int(where["past"]))
    last = company.as_of - timedelta(days=days)
    first = last - timedelta(days=int(months * DAYS_A_MONTH) - 1)
    first = max(first, company.settings.leavers_since or first)
    due, kept, before = (int(v) for v in customer_base.contract_ends(company, first, last, days).fillna(0).iloc[0])
    if due < least:
        raise Unanswered("few-contracts", first=first, last=last)
    rows = [{"level": "all", "estimate": intervals.share(kept, due)}]
    cut = customer_base.contract_ends(company, first, last, days, [by]).sort_values(by) if by else pd.DataFrame()
    rows += [
        {"level": r[by], "estimate": intervals.share(r["kept"], r["due"])}
        for r in cut.to_dict("records")
        if r["due"] >= least
    ]
    facts = {"due": due, "first": first, "last": last, "before": before, "ahead": int(where["ahead"])}
    return _Source("contract ends", rows, facts | {"hidden": len(cut) - len(rows) + 1})


def _payments(company: Company, days: int, months: int, by: str) -> _Source:
    """Count the payments followed by a renewal at the end of their term; Unanswered where orders do not say."""
    least, since = company.settings.privacy.minimum_base, company.settings.leavers_since
    if not company.has("orders", "kind"):
        raise Unanswered("no-terms")
    found = customer_base.payment_gaps(company)
    total = found["n"].sum()
    if total < least:
        raise Unanswered("few-renewal-orders")
    term = customer_base.usual(found.set_index("gap")["n"])
    regular = float(found.loc[found["gap"].between(0.85 * term, 1.15 * term), "n"].sum() / total)
    if regular < REGULAR:
        raise Unanswered("no-usual-term", regular=regular, term=term)
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
        raise Unanswered("few-terms", first=first, last=last)
    e = rows[0]["estimate"]
    facts = {"share": e, "due": e.n, "first": first, "last": last, "term": term, "grace": grace, "regular": regular}
    return _Source("payment terms", rows, facts | {"hidden": hidden})


# ---- buying again ----------------------------------------------------------------------------------------------------


def _require_purchases(company: Company) -> None:
    if company.settings.relationship == "contractual":
        raise Unanswered("payments-under-contract")
    people.require(company, "orders")


def _about_orders(company: Company) -> str:
    first, others = customer_base.first_orders(company)
    return words.say(__file__, "orders", "about", first=first, others=others)


@finding("repurchase")
def repurchase(company: Company, months: int = 12, every: str = "quarter") -> Answer:
    """Answer: how many first-time buyers buy again within ``months``? Kaplan-Meier, including those followed for less.

    And by cohort of the first purchase, where the whole cohort was followed that long (Wilson). Errors: InputError for
    an unknown period.
    """
    customer_base.known(every)
    _require_purchases(company)
    counted, least = customer_base.second_purchases(company, every), company.settings.privacy.minimum_base
    if counted.empty:
        raise Unanswered("few-first-buyers")
    ages = sorted({m for m in (1, 3, 6, 9, 12, 18, 24) if m < months} | {months})
    curve = survival.kaplan_meier(counted["duration"], counted["event"], counted["n"])
    n = float(counted["n"].sum())
    at = read(curve, np.array([0, *(int(a * DAYS_A_MONTH) for a in ages)]))[1:]
    rows = [
        {"cohort": "all", "months": age, "estimate": Estimate(1 - e.value, 1 - e.high, 1 - e.low, e.se, n)}
        | {"at_risk": at_risk}
        for age, (e, at_risk) in zip(ages, at, strict=True)
        if at_risk >= least
    ]
    if not rows:
        raise Unanswered("few-first-buyers")
    again, age, small = rows[-1]["estimate"], rows[-1]["months"], 0
    for cohort, part in counted.groupby("cohort"):
        size = int(part["n"].sum())
        small += size < least
        for a in ages if size >= least else []:
            until = int(a * DAYS_A_MONTH)
            if part["followed"].iloc[0] >= until:
                soon = int(part.loc[(part["event"] == 1) & (part["duration"] <= until), "n"].sum())
                e = intervals.share(soon, size)
                rows.append({"cohort": cohort, "months": a, "estimate": e, "at_risk": size})
    label = words.say(__file__, "repurchase", "again", age=age)
    figures, change = [Figure("repurchase", label, again, "share of first-time buyers", "buyers")], None
    whole = [r for r in rows if r["months"] == age and r["cohort"] != "all"]
    if len(whole) > 1:
        old, new = whole[0], whole[-1]
        gap = intervals.difference(new["estimate"], old["estimate"])
        change = {"newest": new["cohort"], "share": new["estimate"].value, "gap": gap, "clear_gap": gap.excludes(0)}
        change |= {"oldest": old["cohort"], "before": old["estimate"].value}
        label = words.say(__file__, "repurchase", "gap", age=age)
        figures.append(Figure("repurchase-change", label, gap, "share", "buyers"))
    return answer(
        "count", table(rows, ["cohort", "months"]), figures,
        again=again, buyers=n, age=age, months=months, every=every, change=change, small=small,
        orders=_about_orders(company),
    )  # fmt: skip


@finding("between-purchases")
def between_purchases(company: Company) -> Answer:
    """Answer: how long from one purchase to the next? Kaplan-Meier with the waits still open; fold draws.

    To drop open waits keeps the short ones only; that curve is shown too, as a warning.
    """
    _require_purchases(company)
    counted, least = customer_base.gaps(company), company.settings.privacy.minimum_base
    closed = counted[counted["event"] == 1]
    seen, n = int(closed["n"].sum()), int(counted["n"].sum())
    if seen < least:
        raise Unanswered("few-second-purchases", seen=seen)
    course = competing.follow(counted["duration"], counted["event"], counted["fold"], counted["n"], resamples(company))
    short = competing.follow(closed["duration"], closed["event"], closed["fold"], closed["n"], resamples(company))
    end = int(course.times[course.at_risk >= least][-1])
    rows = []
    for group, c in (("open waits included", course), ("completed waits only", short)):
        low, high = c.bounds(c.done)
        for d in [*range(0, end, 7), end]:
            i = int(np.searchsorted(c.times, d, side="right")) - 1
            shares = (c.done[0, i], low[i], high[i]) if i >= 0 else (0.0, 0.0, 0.0)
            e = Estimate(*(abs(v) for v in shares), n=c.n)  # no minus zero
            ahead = int(np.searchsorted(c.times, d))
            at_risk = c.at_risk[ahead] if ahead < len(c.times) else 0
            rows.append({"group": group, "days": d, "estimate": e, "at_risk": at_risk})
    quartiles = {name: course.quantile(q) for q, name in QUARTERS.items()}
    figures = [
        Figure(
            slug("days-between", k), words.say(__file__, "between-purchases", "days", share=k), e, "days", "purchases"
        )
        for k, e in quartiles.items()
        if math.isfinite(e.high)  # else the follow-up is too short
    ]
    reached = {k: e for k, e in quartiles.items() if math.isfinite(e.value)}
    return answer(
        "count", table(rows, ["group", "days"]), figures,
        reached=reached, all_reached=len(reached) == len(QUARTERS), end=end, by_end=course.within(end),
        waits=n, open_waits=n - seen, too_short=float(short.quantile(0.5).value), orders=_about_orders(company),
    )  # fmt: skip
