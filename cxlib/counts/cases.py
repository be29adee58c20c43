"""Support cases as small count tables: waiting times, customers who come back, and the case before an answer.

Clock: elapsed time, nights and weekends included. Lengths of cases are in minutes, rounded up so that a table stays
small at any scale: to the minute up to 1 hour, to 5 minutes up to 10 hours, to the hour up to 10 days, to 6 hours up to
100 days, to the day beyond. An event after the end of the as-of day has not been observed (cause "", event 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce
from operator import or_

import ibis
import pandas as pd
from ibis import _

from cxlib.counts import answers
from cxlib.counts.people import NONE, added, days, everyone
from cxlib.intake.company import Company

RESPONSE, RESOLUTION = "first response", "resolution"
ANSWERED, UNANSWERED, CLOSED, BY_CLOCK, OPEN = "answered", "closed without a reply", "closed", "closed by the clock", ""
NEEDS = {RESPONSE: "first_response_at", RESOLUTION: "resolved_at"}
# Definitions of coming back, from narrow to wide; each includes those before it.
REOPENED, SAME_TOPIC, ANY = "reopened", "reopened, or a new contact on the same topic", "reopened, or any new contact"
RETURNED, CONTACTS = "return", "contacts"  # what can precede an answer, besides RESPONSE and RESOLUTION
MINUTE, HOUR, DAY = 60, 3600, 86_400  # seconds
BEHIND_DAYS, RECENT_DAYS = 60, 90  # maximum age of the case before an answer; span of recent contacts
_STEPS = ((60, 1), (600, 5), (14_400, 60), (144_000, 360))  # (up to so many minutes, rounded up to a multiple of)

Clock = Sequence[tuple[float, float]]  # ages in hours (from, below) at which the system closes cases by itself


def _seconds(later: ibis.Value, earlier: ibis.Value) -> ibis.Value:
    """Return the seconds from one moment to another, at least 0 (a day without a time can seem earlier)."""
    length = (later.epoch_seconds() - earlier.epoch_seconds()).cast("float64")
    return (length < 0).ifelse(0.0, length)  # greatest(length, 0) is 0 on some engines where a moment is missing


def _end(company: Company) -> ibis.Value:
    """Return the end of the as-of day."""
    return ibis.literal(company.as_of + timedelta(days=1)).cast("timestamp")


def _rounded(seconds: ibis.Value) -> ibis.Value:
    """Return minutes, at least one, rounded up as described at the top of this file."""
    minutes = ibis.greatest(seconds / MINUTE, 1.0)
    cases = [(minutes <= most, (minutes / step).ceil() * step) for most, step in _STEPS]
    return ibis.cases(*cases, else_=(minutes / 1440).ceil() * 1440).cast("int64")


def _cases(company: Company, by: Sequence[str] = (), since: date | None = None) -> ibis.Table:
    """Return the cases opened after the day ``since``; columns ``by`` (of the case or its customer) as text."""
    rows = company.contacts
    if since is not None:
        rows = rows.filter(_.opened_at.cast("date") > ibis.literal(since))
    theirs = [c for c in by if not company.has("contacts", c) or c in company.settings.segments]
    if theirs:
        rows = rows.drop(*(c for c in theirs if c in rows.columns))
        rows = rows.inner_join(company.customers.select("customer_id", *theirs), "customer_id")
    return rows.mutate(**{k: ibis.coalesce(rows[k].cast("string"), NONE) for k in by})


def _closed_by(rows: ibis.Table, clock: Clock) -> ibis.Value:
    """Tell whether a case was closed at an age at which the system closes cases."""
    age = _seconds(rows.resolved_at, rows.opened_at)
    found = ibis.literal(False)
    for low, high in clock:
        found = found | ((age >= low * HOUR) & (age < high * HOUR))
    return found.fill_null(False)


def _counted(rows: ibis.Table, keys: Sequence[str]) -> pd.DataFrame:
    return rows.group_by(list(keys)).agg(n=_.count()).order_by(list(keys)).execute()


def waits(
    company: Company, what: str, by: Sequence[str] = (), since: date | None = None, clock: Clock = ()
) -> pd.DataFrame:
    """Count cases by (``by``, minutes, cause, fold): the minutes from opening to the end of the wait, and why it ended.

    ``what``: RESPONSE (cause ANSWERED, or UNANSWERED if the case was closed without a reply) or RESOLUTION (CLOSED, or
    BY_CLOCK if it was closed at an age in ``clock``). Cause OPEN: censored at the end of the as-of day.

    Example: ``waits(company, RESPONSE, ["channel"])``.
    """
    rows = _cases(company, by, since)
    if what == RESPONSE:
        ended = ibis.coalesce(rows.first_response_at, rows.resolved_at)
        causes = [(rows.first_response_at.notnull(), ANSWERED), (rows.resolved_at.notnull(), UNANSWERED)]
    else:
        ended = rows.resolved_at
        causes = [(rows.resolved_at.isnull(), OPEN), (_closed_by(rows, clock), BY_CLOCK)]
    rows = rows.mutate(
        cause=ibis.cases(*causes, else_=OPEN if what == RESPONSE else CLOSED),
        minutes=_rounded(_seconds(ibis.coalesce(ended, _end(company)), rows.opened_at)),
    )
    return _counted(rows, [*by, "minutes", "cause", "fold"])


def closing_ages(company: Company) -> pd.DataFrame:
    """Count closed cases by age at closing, in whole hours: n, and unanswered (closed without a reply)."""
    rows = company.contacts.filter(_.resolved_at.notnull())
    rows = rows.mutate(hours=(_seconds(rows.resolved_at, rows.opened_at) / HOUR + 0.5).floor().cast("int64"))
    unanswered = rows.first_response_at.isnull().cast("int64").sum()
    return rows.group_by("hours").agg(n=rows.count(), unanswered=unanswered).order_by("hours").execute()


def closed(company: Company, clock: Clock) -> pd.DataFrame:
    """Count closed cases by fold: closed, by_clock, and unanswered (closed by the clock without a reply)."""
    rows = company.contacts.filter(_.resolved_at.notnull())
    rows = rows.mutate(on_time=_closed_by(rows, clock))
    unanswered = (rows.on_time & rows.first_response_at.isnull()).cast("int64").sum()
    sums = {"closed": rows.count(), "by_clock": rows.on_time.cast("int64").sum(), "unanswered": unanswered}
    return rows.group_by("fold").agg(**sums).order_by("fold").execute()


def customers(company: Company, by: Sequence[str] = (), since: date | None = None) -> pd.DataFrame:
    """Count cases, customers and inconsistent dates by ``by``.

    Columns: cases, customers, reopened_early (reopened before the exported closing, which then is not the first
    closing) and backwards (a reply or closing dated before the opening).
    """
    rows = _cases(company, by, since)
    early = (rows.reopened_at < rows.resolved_at).fill_null(False)
    backwards = (rows.first_response_at < rows.opened_at).fill_null(False)
    backwards = backwards | (rows.resolved_at < rows.opened_at).fill_null(False)
    sums = {
        "cases": rows.count(),
        "customers": rows.customer_id.nunique(),
        "reopened_early": early.cast("int64").sum(),
        "backwards": backwards.cast("int64").sum(),
    }
    found = (rows.group_by(list(by)) if by else rows).agg(**sums).execute()
    return found.sort_values(list(by), ignore_index=True) if by else found


def returns(
    company: Company, after: str, definition: str = ANY, longest: int = 30, by: Sequence[str] = (), clock: Clock = ()
) -> pd.DataFrame:
    """Count cases by (``by``, duration, event, fold): days until the customer came back (event 1), cut at ``longest``.

    ``after``: "closed" (from the closing of closed cases) or "opened" (from the opening of every case to the next one).
    A day is 24 hours; day 1 is the first. Follow-up ends on the as-of date or the day the customer left. Cases that end
    after that are left out.

    From closing, two kinds of case return on day 1. One was closed without a reply at an age in ``clock``: nobody
    solved it. The other was reopened before the exported closing, which is not its first.
    """
    rows = _cases(company, by).inner_join(everyone(company).select("customer_id", "left_on"), "customer_id")
    if after == "opened":
        ordered = ibis.window(group_by="customer_id", order_by=["opened_at", "contact_id"])
        rows = rows.mutate(origin=rows.opened_at, back=rows.opened_at.lead().over(ordered), at_once=ibis.literal(False))
    else:
        rows = rows.filter(_.resolved_at.notnull())
        early = (rows.reopened_at < rows.resolved_at).fill_null(False)
        rows = rows.mutate(
            origin=rows.resolved_at,
            back=rows.reopened_at,
            at_once=early | (_closed_by(rows, clock) & rows.first_response_at.isnull()),
        )
        if definition != REOPENED:
            rows = rows.left_join(_following(company, definition == SAME_TOPIC), "contact_id").drop("contact_id_right")
            rows = rows.mutate(back=ibis.coalesce(ibis.least(rows.back, rows.following), rows.back, rows.following))
    gone = ibis.coalesce(rows.left_on.cast("date"), ibis.literal(company.as_of))
    rows = rows.mutate(last=ibis.least(gone.cast("timestamp") + ibis.interval(days=1), _end(company)))
    rows = rows.filter(_.last > _.origin)
    seen = rows.at_once | (rows.back <= rows.last).fill_null(False)
    length = (_seconds(seen.ifelse(rows.back, rows.last), rows.origin) / DAY).ceil()
    length = rows.at_once.ifelse(1, ibis.greatest(length, 1)).cast("int64")
    rows = rows.mutate(duration=ibis.least(length, longest), event=(seen & (length <= longest)).cast("int64"))
    return _counted(rows, [*by, "duration", "event", "fold"])


def _pairs(company: Company, same_topic: bool = False) -> ibis.Table:
    """Return closed cases (contact_id, resolved_at) with each later case of the customer: ``again``, ``began``."""
    mine = company.contacts.filter(_.resolved_at.notnull()).select("contact_id", "customer_id", "topic", "resolved_at")
    other = company.contacts.select(again="contact_id", who="customer_id", about="topic", began="opened_at")
    match = [_.customer_id == other.who, other.began > _.resolved_at, other.again != _.contact_id]
    return mine.inner_join(other, match + ([_.topic == other.about] if same_topic else []))


def _following(company: Company, same_topic: bool = False) -> ibis.Table:
    """Return contact_id and ``following``: when the customer next opened a case after the closing."""
    return _pairs(company, same_topic).group_by("contact_id").agg(following=_.began.min())


def contact_rates(company: Company, since: date, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count by (``by``, fold), after the day ``since``: customers, their days as customers, and their contacts.

    ``outside``: contacts in that time from customers who had not joined yet or had already left.
    """
    who = everyone(company).filter(_.started.notnull()).select("customer_id", "started", "last_day", "fold", *by)
    who = who.mutate(**{k: ibis.coalesce(who[k].cast("string"), NONE) for k in by})
    first = ibis.greatest(who.started.cast("date"), ibis.literal(since + timedelta(days=1)))
    who = who.mutate(days=ibis.greatest(days(who.last_day, first) + 1, 0))
    opened = company.contacts.filter(_.opened_at.cast("date") > ibis.literal(since)).select("customer_id", "opened_at")
    both = opened.inner_join(who.select("customer_id", "started", "last_day"), "customer_id")
    inside = (days(both.opened_at, both.started) >= 0) & (days(both.last_day, both.opened_at) >= 0)
    each = both.mutate(inside=inside.cast("int64")).group_by("customer_id")
    each = each.agg(contacts=_.inside.sum(), outside=(1 - _.inside).sum())
    all_ = who.left_join(each, "customer_id").drop("customer_id_right")
    sums = all_.group_by([*by, "fold"]).agg(
        customers=(_.days > 0).cast("int64").sum(),
        days=_.days.sum(),
        contacts=ibis.coalesce(_.contacts, 0).sum(),
        outside=ibis.coalesce(_.outside, 0).sum(),
    )
    return sums.order_by([*by, "fold"]).execute()


def first_opened(company: Company) -> date | None:
    """Return the day of the first case, None if there is none."""
    first = company.contacts.opened_at.min().execute()
    return None if pd.isna(first) else pd.Timestamp(first).date()


def behind_answers(company: Company, metric: str, reopen_days: int = 7) -> pd.DataFrame:
    """Count answers of a metric by (measure, level, known, score, fold), with n and weight: what preceded the question.

    The case before an answer is the one it names (contact_id), else the latest one of the customer, opened at most
    BEHIND_DAYS before the question. A question dated by the day counts as asked at the end of that day. Nothing later
    than the question is used.

    Measures: RESPONSE and RESOLUTION (level: minutes of that case, cut at the question; known 1 if it had happened by
    then). RETURNED (level 1 if by then that case was reopened, or the customer opened another within ``reopen_days`` of
    its closing, or the case itself was opened within ``reopen_days`` of the closing of another). CONTACTS (level: cases
    opened in the RECENT_DAYS before the question, 10 at most; all answers count).
    """
    rows = answers.questions(company, metric).filter(_.answered)
    asked = ibis.coalesce(rows.asked_at, rows.answered_at).cast("timestamp")
    midnight = asked == asked.cast("date").cast("timestamp")
    rows = rows.filter(asked.notnull()).mutate(asked=midnight.ifelse(asked + ibis.interval(days=1), asked))
    rows = rows.select("response_id", "customer_id", "asked", "score", "weight", "fold", named="contact_id")
    theirs = company.contacts.select("customer_id", "contact_id", "opened_at", *NEEDS.values(), "reopened_at")
    near = rows.inner_join(theirs, "customer_id")
    near = near.filter(near.opened_at <= near.asked)
    age = _seconds(near.asked, near.opened_at) / DAY
    recent = near.filter(age <= RECENT_DAYS).group_by("response_id").agg(recent=_.count())
    own = near.filter((near.named == near.contact_id).fill_null(age <= BEHIND_DAYS))
    order = [ibis.desc("opened_at"), ibis.desc("contact_id")]
    own = own.mutate(rank=ibis.row_number().over(ibis.window(group_by="response_id", order_by=order)))
    own = own.filter(_.rank == 0)
    levels = {CONTACTS: _so_many(rows.left_join(recent, "response_id")), RETURNED: _returned(company, own, reopen_days)}
    for what, column in NEEDS.items():
        if company.has("contacts", column):
            known = (own[column] <= own.asked).fill_null(False)
            length = _rounded(_seconds(known.ifelse(own[column], own.asked), own.opened_at))
            levels[what] = own.mutate(level=length, known=known.cast("int64"))
    keys = ["measure", "level", "known", "score", "fold"]
    parts = [t.select("level", "known", "score", "fold", "weight", measure=ibis.literal(m)) for m, t in levels.items()]
    return ibis.union(*parts).group_by(keys).agg(n=_.count(), weight=added(_.weight)).order_by(keys).execute()


def _so_many(rows: ibis.Table) -> ibis.Table:
    """Add to answers the number of recent cases as level."""
    return rows.mutate(
        level=ibis.least(ibis.coalesce(rows.recent, 0), 10).cast("int64"), known=ibis.literal(1, "int64")
    )


def _returned(company: Company, own: ibis.Table, reopen_days: int) -> ibis.Table:
    """Add level 1 if, by the question, the customer came back after the case or the case itself was a return."""
    before = _pairs(company).group_by("again").agg(earlier=_.resolved_at.max())
    rows = own.left_join(before, own.contact_id == before.again).left_join(_following(company), "contact_id")
    back = (rows.following <= rows.asked) & (_seconds(rows.following, rows.resolved_at) <= reopen_days * DAY)
    ways = (rows.reopened_at <= rows.asked, back, _seconds(rows.opened_at, rows.earlier) <= reopen_days * DAY)
    return rows.mutate(
        level=reduce(or_, [w.fill_null(False) for w in ways]).cast("int64"), known=ibis.literal(1, "int64")
    )
