"""Counts of the customer base: who is here, joins, leaves, renews and buys again. The clock is that of ``people``.

Every function is one or two expressions in the engine and returns counts, however many customers there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from cxlib.counts import people
from cxlib.counts.people import PERIODS, as_text, days, everyone, segments
from cxlib.counts.purchases import bought
from cxlib.errors import InputError, Unanswered
from cxlib.intake.company import Company

STARTS = {"week": "W-MON", "month": "MS", "quarter": "QS", "year": "YS"}  # pandas' names of their first days
NO_REASON = "no reason given"


def seen_to_leave(company: Company) -> bool:
    """Tell whether joining and leaving carry dates."""
    return company.has("customers", "joined_on") and company.has("customers", "left_on")


def snapshot(company: Company) -> bool:
    """Tell whether the data give only the tenure of each customer, and whether the customer has left."""
    return not seen_to_leave(company) and company.has("customers", "tenure")


def require_leavers(company: Company, tenures_will_do: bool = False) -> None:
    """Raise Unanswered if the data do not show who leaves.

    ``tenures_will_do``: the length of each stay is enough, without dates.
    """
    if company.settings.relationship != "contractual":
        raise Unanswered("no-contracts")
    if snapshot(company):
        if not tenures_will_do:
            raise Unanswered("tenures-only")
        return
    people.require(company, "customers", "joined_on", "left_on")


def undated(company: Company) -> int:
    """Count customers without a known start."""
    return int(everyone(company).filter(_.started.isnull()).count().execute())


def whole_periods(company: Company, period: str, periods: int) -> list[date]:
    """Return the first days of the last whole periods, oldest first, and then the day after the last period.

    A period is whole if the as-of date is its last day or later. Errors: InputError for a period other than week,
    month, quarter, year.

    >>> whole_periods(company, "quarter", 2)  # as of 30 December 2025
    [date(2025, 4, 1), date(2025, 7, 1), date(2025, 10, 1)]
    """
    known(period)
    following = pd.Timestamp(company.as_of) + pd.Timedelta(days=1)
    return [d.date() for d in pd.date_range(end=following, periods=periods + 1, freq=STARTS[period])]


def known(period: str) -> None:
    """Raise InputError for a period other than week, month, quarter, year."""
    if period not in STARTS:
        raise InputError("unknown period", value=period, remedy=f"Write one of {', '.join(STARTS)}.")


def level_of(company: Company, by: str) -> str:
    """Return the column to cut by: the one asked for, else the first declared segment, else "".

    Errors: InputError for a column that customers do not have.
    """
    if by and by not in company.customers.columns:
        raise InputError(f"customers has no column {by!r}", remedy=f"Set by to one of: {', '.join(segments(company))}.")
    return by or next(iter(segments(company)), "")


def _sum(condition: ir.BooleanValue) -> ir.Value:
    """Count the rows for which a condition holds."""
    return condition.fill_null(False).cast("int64").sum()


# ---- periods and cohorts ---------------------------------------------------------------------------------------------


def by_period(company: Company, starts: Sequence[date], by: Sequence[str] = ()) -> pd.DataFrame:
    """Count joiners and leavers by (``by``, period, fold), for each period from one date to the next.

    ``starts``: the first days of the periods, and then the end of the last one. Columns: here (at the start), lost (of
    these, left in the period), chosen (of the lost, by choice), joined, gone (all who left, new customers included).
    Somebody who leaves on the first day of a period was here at its start. Somebody who joins on that day was not.

    If monthly_revenue is mapped, also fee_here, fee_lost, fee_gained (joined and still here at the end) and unpriced
    (here without a fee).

    Example: ``by_period(company, whole_periods(company, "month", 12), ["plan"])``.
    """
    who, priced = (
        as_text(everyone(company).filter(_.started.notnull()), by),
        company.has("customers", "monthly_revenue"),
    )
    into, out = (sum((day >= ibis.literal(s)).cast("int64") for s in starts) for day in (who.started, who.left_on))
    who = who.mutate(into=into, out=ibis.coalesce(out, len(starts)))  # how many of the starts lie before that day
    fee = people.added(who.monthly_revenue)
    keys = [*by, "fold", "into", "out", "chosen"]
    fees = {"fee": fee, "unpriced": _sum(who.monthly_revenue.isnull())} if priced else {}
    cells = who.group_by(keys).agg(n=_.count(), **fees).order_by(keys).execute()
    parts = []
    for i, first in enumerate(starts[:-1]):
        here, leaving, joining = (
            (cells["into"] <= i) & (cells["out"] > i),
            cells["out"] == i + 1,
            cells["into"] == i + 1,
        )
        which = {
            "here": here,
            "lost": here & leaving,
            "chosen": here & leaving & cells["chosen"],
            "joined": joining,
            "gone": leaving,
        }
        part = cells[[*by, "fold"]].assign(
            period=pd.Timestamp(first), **{k: cells["n"].where(v, 0) for k, v in which.items()}
        )
        if priced:
            paying = {"here": here, "lost": here & leaving, "gained": joining & ~leaving}
            part = part.assign(**{f"fee_{k}": cells["fee"].where(v, 0.0) for k, v in paying.items()})
            part["unpriced"] = cells["unpriced"].where(here, 0)
        parts.append(part.groupby([*by, "period", "fold"], observed=True, as_index=False).sum())
    return pd.concat(parts, ignore_index=True)


def cohorts(company: Company, every: str, ages: Sequence[int], by: str = "") -> pd.DataFrame:
    """Count by (cohort, days, level, fold): joined, and stayed (longer than so many days), with equal follow-up.

    ``ages``: the days. A cohort is everybody who joined in one week, month, quarter or year. An age is included only if
    customers who joined on the last day of that period were followed for so long. ``by``: the column whose values are
    the levels; "" for one level, "all".
    """
    known(every)
    who = as_text(everyone(company).filter(_.started.notnull()), [by] if by else [])
    length = days(who.last_day, who.started) + 1
    kept = {f"stayed_{age}": _sum(who.left_on.isnull() | (length > age)) for age in ages}
    keys = {"cohort": who.started.truncate(PERIODS[every]), "level": who[by] if by else ibis.literal("all")}
    wide = who.group_by(**keys, fold=who.fold).agg(joined=who.count(), **kept)
    wide = wide.order_by("cohort", "level", "fold").execute()
    wide["cohort"] = pd.to_datetime(wide["cohort"])
    cells = wide[["cohort", "level", "fold", "joined"]]
    tidy = pd.concat([cells.assign(days=age, stayed=wide[f"stayed_{age}"]) for age in ages], ignore_index=True)
    last_day = tidy["cohort"].map({d: _last_day(d, every) for d in tidy["cohort"].unique()})
    followed = (pd.Timestamp(company.as_of) - last_day).dt.days + 1
    return tidy[followed >= tidy["days"]].sort_values(["cohort", "days"], ignore_index=True, kind="stable")


def _last_day(first: pd.Timestamp, every: str) -> pd.Timestamp:
    """Return the last day of the period that begins on a day."""
    return (first + pd.tseries.frequencies.to_offset(STARTS[every])) - pd.Timedelta(days=1)


# ---- from joining ----------------------------------------------------------------------------------------------------


def tenures(company: Company, by: Sequence[str] = (), reasons: bool = False, since: date | None = None) -> pd.DataFrame:
    """Count customers by (``by``, duration, cause, entry): n.

    duration: days from joining to the last day, both counted. cause: "" for censored (still here), else "left", or with
    ``reasons`` the left_reason. For a snapshot the duration is the tenure, in its own unit. ``since``: observation
    starts on that day. A customer who joined earlier enters late, at an age of ``entry`` days; one who left earlier is
    not counted.

    Entries and ends are counted separately and matched in order. The matching does not change how many are at risk at
    any age. It needs as many rows as there are days instead of their square.

    Example: ``tenures(company, ["plan"], since=date(2024, 1, 1))``.
    """
    who = everyone(company)
    if seen_to_leave(company):
        who = who.filter(who.started.notnull())
        left, length = who.left_on.notnull(), days(who.last_day, who.started) + 1
        entry = ibis.greatest(days(ibis.literal(since), who.started), 0) if since else ibis.literal(0)
        seen = who.last_day >= ibis.literal(since) if since else ibis.literal(True)
    else:
        left = who.left if company.has("customers", "left") else who.left_on.notnull()
        length, entry, seen = who.tenure, ibis.literal(0), who.tenure.notnull()
    cause = ibis.coalesce(who.left_reason, NO_REASON) if reasons else ibis.literal("left")
    who = who.mutate(duration=length, entry=entry.cast("int64"), cause=left.ifelse(cause, "")).filter(seen)
    who = as_text(who, by)
    ends = who.group_by([*by, "duration", "cause"]).agg(n=_.count()).order_by([*by, "duration", "cause"]).execute()
    if since is None:
        return ends.assign(entry=0)
    entries = who.group_by([*by, "entry"]).agg(n=_.count()).order_by([*by, "entry"]).execute()
    if not by:
        return _in_order(entries, ends)
    own = dict(list(entries.groupby(list(by), observed=True)))
    parts = [_in_order(own[level], part) for level, part in ends.groupby(list(by), observed=True)]
    return pd.concat(parts, ignore_index=True)


def _in_order(entries: pd.DataFrame, ends: pd.DataFrame) -> pd.DataFrame:
    """Match entries to ends, earliest first; entry < duration holds if any matching can satisfy it."""
    into, out = entries["n"].cumsum().to_numpy(), ends["n"].cumsum().to_numpy()
    cuts = np.union1d(into, out)
    rows = ends.iloc[np.searchsorted(out, cuts)].reset_index(drop=True)
    return rows.assign(entry=entries["entry"].to_numpy()[np.searchsorted(into, cuts)], n=np.diff(cuts, prepend=0))


def first_leaving(company: Company) -> date | None:
    """Return the earliest left_on, None if nobody left."""
    found = company.customers.left_on.min().execute()
    return None if pd.isna(found) else pd.Timestamp(found).date()


# ---- renewals --------------------------------------------------------------------------------------------------------


def contract_ends(company: Company, first: date, last: date, within_days: int, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count by ``by`` the customers whose contract ended from ``first`` to ``last``.

    due: here on the day before the end. kept: of these, did not leave within ``within_days`` after the end. before:
    left in the ``within_days`` before the end, and so not due.
    """
    who = everyone(company)
    who = as_text(who.filter(who.contract_ends_on.between(ibis.literal(first), ibis.literal(last))), by)
    here = ibis.coalesce(who.started < who.contract_ends_on, True)
    late = days(who.left_on, who.contract_ends_on)
    due = here & (who.left_on.isnull() | (late >= 0))
    sums = {"due": _sum(due), "kept": _sum(due & (who.left_on.isnull() | (late > within_days)))}
    sums |= {"before": _sum(here & (late < 0) & (late >= -within_days))}
    return (who.group_by(list(by)) if by else who).agg(**sums).execute()


def gone_by_rule(company: Company, rules: Sequence[int], since: date) -> pd.DataFrame:
    """Count by (rule, fold) who is gone if leaving means no purchase (or payment) for so many days.

    ``rules``: the days. n: bought within the rule's days up to ``since``; gone: of these, who did not within its days
    up to the as-of date. With contracts also rule 0, the day of leaving: n here on ``since``, gone by the as-of date.
    """
    rows, parts = bought(company).select("customer_id", "fold", "day"), {}
    for rule in rules:
        ends = {"was": since, "is_": company.as_of}
        days_of = {k: [ibis.literal(d - timedelta(days=rule - 1)), ibis.literal(d)] for k, d in ends.items()}
        who = rows.group_by("customer_id", "fold").agg(**{k: rows.day.between(*d).any() for k, d in days_of.items()})
        parts[rule] = who.group_by("fold").agg(n=_sum(who.was), gone=_sum(who.was & ~who.is_))
    if seen_to_leave(company):
        who = everyone(company)
        who = who.filter(people.here(who, ibis.literal(since)))
        parts[0] = who.group_by("fold").agg(n=_.count(), gone=_sum(who.left_on.notnull()))
    found = ibis.union(*(t.mutate(rule=ibis.literal(r, "int64")) for r, t in parts.items()))
    return found.order_by("rule", "fold").execute()[["rule", "fold", "n", "gone"]]


def contract_dates(company: Company) -> pd.Series:
    """Count the customers here by the end of their contract: past (up to the as-of date) and ahead."""
    who = people.here_today(company).filter(_.contract_ends_on.notnull())
    past = who.contract_ends_on <= ibis.literal(company.as_of)
    return who.agg(past=_sum(past), ahead=_sum(~past)).execute().iloc[0].fillna(0).astype(int)


def _payments(company: Company) -> ir.Table:
    """Return the days on which a customer paid for a term, with ``gap``: the days to the next renewal."""
    orders = company.orders.filter(_.kind.isin(["new", "renewal"])).mutate(day=_.ordered_at.cast("date"))
    rows = orders.group_by(["customer_id", "fold", "day"]).agg(renewal=(_.kind == "renewal").any())
    in_turn = ibis.window(group_by="customer_id", order_by="day")
    rows = rows.mutate(next_day=_.day.lead().over(in_turn), again=_.renewal.lead().over(in_turn))
    return rows.mutate(gap=rows.again.fill_null(False).ifelse(days(rows.next_day, rows.day), ibis.null("int64")))


def payment_gaps(company: Company) -> pd.DataFrame:
    """Count renewals in orders by the days since the previous payment: gap, n."""
    rows = _payments(company).filter(_.gap.notnull())
    return rows.group_by("gap").agg(n=_.count()).order_by("gap").execute()


def usual(gaps: pd.Series) -> int:
    """Return the median of days from their counts (index: days, in order)."""
    return int((gaps.cumsum() >= gaps.sum() / 2).idxmax())


def payments_due(
    company: Company, first: date, last: date, term: int, grace: int, by: Sequence[str] = ()
) -> pd.DataFrame:
    """Count by (``by``, fold) the payments whose ``term`` (days) ended from ``first`` to ``last``.

    due: all of them; kept: those followed by a renewal at most ``grace`` days after the term.
    """
    rows = _payments(company)
    paid = [ibis.literal(d - timedelta(days=term)) for d in (first, last)]
    rows = rows.filter(rows.day.between(*paid))
    if by:
        rows = rows.inner_join(as_text(company.customers.select("customer_id", *by), by), "customer_id")
    keys = [*by, "fold"]
    return rows.group_by(keys).agg(due=_.count(), kept=_sum(rows.gap <= term + grace)).order_by(keys).execute()


# ---- buying again ----------------------------------------------------------------------------------------------------


def _purchase_days(company: Company) -> ir.Table:
    """Return one row per customer and day of buying, with the next day of buying."""
    rows = bought(company).select("customer_id", "fold", "day")
    in_turn = ibis.window(group_by="customer_id", order_by="day")
    rows = rows.mutate(following=rows.day.lead().over(in_turn), turn=ibis.row_number().over(in_turn))
    until = ibis.coalesce(rows.following, ibis.literal(company.as_of))
    return rows.mutate(duration=days(until, rows.day), event=rows.following.notnull().cast("int64"))


def first_orders(company: Company) -> tuple[date, int]:
    """Return the day of the first purchase, and how many orders are none: refunds, and orders of 0.00."""
    orders, paid = company.orders, company.orders.revenue > 0
    found = orders.agg(first=orders.ordered_at.min(where=paid).cast("date"), others=_sum(~paid)).execute().iloc[0]
    return pd.Timestamp(found["first"]).date(), int(found["others"])


def second_purchases(company: Company, every: str) -> pd.DataFrame:
    """Count buyers by (cohort of the first purchase, duration, event): days to the second purchase or the as-of date.

    Columns n and followed: the days for which all buyers of the cohort were followed.
    """
    known(every)
    rows = _purchase_days(company).filter(_.turn == 0)
    keys = ["cohort", "duration", "event"]
    found = (
        rows.mutate(cohort=rows.day.truncate(PERIODS[every])).group_by(keys).agg(n=_.count()).order_by(keys).execute()
    )
    found["cohort"] = pd.to_datetime(found["cohort"])
    last_day = found["cohort"].map(lambda d: _last_day(d, every))
    return found.assign(followed=(pd.Timestamp(company.as_of) - last_day).dt.days)


def gaps(company: Company) -> pd.DataFrame:
    """Count the intervals between days of buying by (duration, event, fold); event 0: open on the as-of date."""
    keys = ["duration", "event", "fold"]
    return _purchase_days(company).group_by(keys).agg(n=_.count()).order_by(keys).execute()
