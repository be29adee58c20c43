"""Customers a programme reached and customers it did not, and what both did month by month: counts from the engine.

A customer stays in its panel after leaving, so that a programme is not judged only by the customers it kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _

from cxlib.counts import answers, customer_base, people
from cxlib.counts.follow_up import PAYMENTS
from cxlib.counts.people import as_text, days
from cxlib.intake.company import Company

BEFORE = 6  # months before the start that are compared
# Summed by month: still here at its end, left not by choice, paid, money, cases, orders, upsells, answers.
STAYING, COUNTED = ("here", "unchosen"), ("paying", "contacts", "orders", "upsells", "points", "answers")
COLUMNS = (*STAYING, "revenue", "margin", "service", *COUNTED)
WITHIN = 182  # days before and after a date, within which two answers are compared
# Days as a customer, finer than the stages of a page: new customers leave soonest and are reached soonest.
TENURE, TENURES = "time as a customer", (91, 182, 365, 547, 730, 1095, 1826)
CASES, PAID, SCORE = "support cases in 3 months", "paid in 3 months", "last score"
LATELY = 91
REGULAR = 0.8  # share of the gaps between orders within a tenth of the usual one
QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")


@dataclass(frozen=True)
class Reach:
    """Customers a programme reached: how many, in which arms, when, and after how many days as a customer.

    ``here``: customers of the company at the end of the first day. ``early`` and ``late``: the 5 % and 95 % points of
    tenure when reached. ``days``: number of different dates. ``months``: customers reached per month (index: its first
    day).
    """

    treated: int
    control: int
    here: int
    first: date | None
    last: date | None
    days: int
    early: float
    late: float
    months: pd.Series


def reach(company: Company, programme: str) -> Reach:
    """Count the customers a programme reached: see Reach; all zero if there are none."""
    nobody = Reach(0, 0, 0, None, None, 0, 0.0, 0.0, pd.Series(dtype=int))
    if company.exposures is None:
        return nobody
    who = assigned(company, programme).inner_join(
        people.everyone(company).select("customer_id", "started"), "customer_id"
    )
    reached = who.arm == "treated"
    age = days(who.exposed_on, who.started)
    sums = {"treated": _number(reached), "control": _number(~reached)}
    sums |= {"first": who.exposed_on.min(), "last": who.exposed_on.max(), "days": who.exposed_on.nunique()}
    sums |= {"early": age.quantile(0.05), "late": age.quantile(0.95)}
    found = who.agg(**sums).execute().iloc[0]
    if (not found["treated"] and not found["control"]) or pd.isna(found["first"]):
        return nobody
    first, last = (pd.Timestamp(found[k]).date() for k in ("first", "last"))
    customers = people.everyone(company)
    months = who.filter(reached).group_by(origin=_.origin).agg(n=_.count()).order_by("origin").execute()
    return Reach(
        treated=int(found["treated"]),
        control=int(found["control"]),
        here=int(customers.filter(people.here(customers, ibis.literal(first))).count().execute()),
        first=first,
        last=last,
        days=int(found["days"]),
        early=float(found["early"]),
        late=float(found["late"]),
        months=pd.Series(months["n"].to_numpy(), pd.to_datetime(months["origin"])),
    )


def _number(condition: ir.BooleanValue) -> ir.Value:
    """Count the rows for which a condition holds."""
    return condition.cast("int64").sum()


def assigned(company: Company, programme: str, months: int = 0) -> ir.Table:
    """Return one row per customer in the exposures of a programme: arm, exposed_on and origin.

    origin: the first day of that month. A customer with several exposures counts from the first one, in its arm.
    ``months``: how many are compared; who is listed in the other arm as well before these are over is left out.
    """
    return _listed(company, programme, months).filter(~_.both).drop("both")


def in_both(company: Company, programme: str, months: int) -> int:
    """Count the customers whom ``assigned`` leaves out, as they are listed in both arms."""
    return int(_listed(company, programme, months).filter(_.both).count().execute())


def _listed(company: Company, programme: str, months: int) -> ir.Table:
    """Return the first exposure of each customer, and whether the other arm lists it within so many months (both)."""
    rows = company.exposures.filter(_.initiative_id == programme).mutate(origin=_.exposed_on.truncate("M"))
    rows = rows.mutate(arm=ibis.coalesce(rows.arm, "treated"))
    first = ibis.cumulative_window(group_by="customer_id", order_by=["exposed_on", "arm"])
    rows = rows.mutate(rank=ibis.row_number().over(first), own=rows.arm.first().over(first))
    switched = rows.exposed_on.min(where=rows.arm != rows.own).over(ibis.window(group_by="customer_id"))
    both = (switched < rows.origin + ibis.interval(months=months)).fill_null(False)
    rows = rows.mutate(both=both if months else ibis.literal(False)).filter(_.rank == 0)
    return rows.select("customer_id", "arm", "exposed_on", "origin", "both")


def months_seen(company: Company, origin: date) -> int:
    """Count the whole calendar months from the month of ``origin`` to the as-of date."""
    end = pd.Timestamp(company.as_of) + pd.Timedelta(days=1)
    return max(months_between(origin, end), 0)


def months_between(first: date, until: date) -> int:
    """Count the calendar months from that of one day to that of another."""
    return (until.year - first.year) * 12 + until.month - first.month


def leaving_since(company: Company) -> date | None:
    """Return from when on leaving is on record, as declared or the first left_on; None if nobody is seen to leave."""
    if not company.has("customers", "left_on"):
        return None
    return company.settings.leavers_since or customer_base.first_leaving(company)


def leaving(company: Company, unit: str, since: date, closed: bool = False) -> pd.DataFrame:
    """Count who could leave and who left, by unit (a column of customers) and month: unit, period, at_risk, left.

    ``since`` is the first day of the first month, ``period`` the count of calendar months (year x 12 + month), up to
    the last whole month. At risk are the customers who joined in an earlier month; ``closed``: before ``since``.

    Example: ``leaving(company, "branch", date(2024, 1, 1))``.
    """
    rows = people.everyone(company).mutate(unit=_[unit].cast("string"), origin=ibis.literal(since))
    rows = rows.filter(_.unit.notnull() & _.started.notnull())
    rows = rows.filter(people.stayed(rows, ibis.literal(since - timedelta(days=1))))
    rows = rows.mutate(joined=ibis.greatest(_month(rows, rows.started), -1), gone=_month(rows, rows.left_on))
    rows = rows.filter(_.started < ibis.literal(since)) if closed else rows
    found = rows.group_by(["unit", "joined", "gone"]).agg(n=_.count()).execute()
    found = found[~(found["gone"] <= found["joined"])]
    months = range(months_seen(company, since))
    counted = []
    for name, column, by in (("joined", "joined", 1), ("gone", "gone", 0)):
        wide = found.pivot_table("n", "unit", column, "sum", fill_value=0).rename(columns=lambda m, by=by: int(m) + by)
        counted.append(wide.reindex(columns=months, fill_value=0).stack().rename(name))
    grid = pd.concat(counted, axis=1).fillna(0.0).rename_axis(["unit", "period"]).sort_index()
    still = grid.groupby("unit").cumsum()
    left = grid["gone"]
    at_risk = still["joined"] - still["gone"] + left
    grid = pd.DataFrame({"at_risk": at_risk, "left": left}).reset_index()
    return grid.assign(period=grid["period"] + since.year * 12 + since.month)


def months_before(company: Company, origin: date) -> int:
    """Count the whole months of payments (else cases) on record before a day, BEFORE at most."""
    firsts = []
    for table, column in (("orders", "ordered_at"), ("contacts", "opened_at")):
        if company.has(table):
            firsts.append(getattr(company, table)[column].min().cast("date").execute())
    firsts = [pd.Timestamp(f) for f in firsts if not pd.isna(f)]
    if not firsts:
        return 0
    first = firsts[0]
    whole = months_between(first, origin) - (first.day > 1)
    return int(min(max(whole, 0), BEFORE))


def by_month(
    company: Company, members: ir.Table, before: int, months: int, keys: Sequence[str], metric: str = ""
) -> pd.DataFrame:
    """Sum what the members of a panel did by (``keys``, month): customers (of the panel) and COLUMNS.

    ``members``: customer_id, origin (first day of month 0) and ``keys``. Months are calendar months from ``-before`` to
    ``months`` - 1. margin: that of orders. upsells: orders of kind upsell or cross_sell. points, of the answers to
    ``metric``: 100, 0 or -100 for a promoter, passive or detractor; for other metrics the score. paying: customers with
    an invoice of the month, where orders are ``invoices``; else those here, on average of the month.

    Example: ``by_month(company, members, 6, 12, ["arm", "fold"], "nps")``.
    """
    keys = list(keys)
    who = members.inner_join(_ends(company), "customer_id")
    size = who.group_by(keys).agg(customers=_.count()).execute()
    gone = who.filter(_.left_on.notnull())
    gone = gone.mutate(month=ibis.greatest(_month(gone, gone.left_on), -before))
    parts = [_sums(gone, keys, months, gone=_.count(), gone_unchosen=_number(~gone.chosen))]
    invoiced = invoices(company)
    if company.orders is not None:
        rows = company.orders.select("customer_id", "ordered_at", "revenue", "margin", "kind")
        rows = rows.inner_join(members, "customer_id")
        rows = rows.mutate(month=_month(rows, rows.ordered_at)).filter(_.month >= -before)
        sums = {
            "revenue": people.added(_.revenue),
            "margin": people.added(_.margin),
            "orders": _number(rows.revenue > 0),
        }
        if invoiced:  # who leaves within a month has paid what was due by then
            due = (rows.revenue > 0) & ibis.coalesce(rows.kind.isin(PAYMENTS), True)
            sums["paying"] = rows.customer_id.nunique(where=due)
        parts.append(_sums(rows, keys, months, **sums, upsells=_number(rows.kind.isin(("upsell", "cross_sell")))))
    if company.contacts is not None:
        rows = company.contacts.select("customer_id", "opened_at", "cost").inner_join(members, "customer_id")
        rows = rows.mutate(month=_month(rows, rows.opened_at)).filter(_.month >= -before)
        parts.append(_sums(rows, keys, months, service=people.added(_.cost), contacts=_.count()))
    if metric:
        rows = (
            answers.questions(company, metric)
            .filter(_.answered & _.when.notnull())
            .select("customer_id", "when", "score")
        )
        points = 100.0 * ((rows.score >= 9).cast("int64") - (rows.score <= 6).cast("int64"))
        rows = rows.mutate(point=points if metric == "nps" else rows.score).inner_join(members, "customer_id")
        rows = rows.mutate(month=_month(rows, rows.when)).filter(_.month >= -before)
        parts.append(_sums(rows, keys, months, points=_.point.sum(), answers=_.count()))
    grid = size.merge(pd.DataFrame({"month": range(-before, months)}), how="cross")
    for part in parts:
        grid = grid.merge(part, on=[*keys, "month"], how="left")
    for column in ("gone", "gone_unchosen", *COLUMNS[len(STAYING) :]):
        grid[column] = grid[column].astype(float).fillna(0.0) if column in grid else 0.0
    grid = grid.sort_values([*keys, "month"], ignore_index=True)
    each = grid.groupby(keys, observed=True)
    grid["here"] = grid["customers"] - each["gone"].cumsum()
    grid["unchosen"] = each["gone_unchosen"].cumsum()
    if not invoiced:
        grid["paying"] = grid["here"] + grid["gone"] / 2
    return grid.drop(columns=["gone", "gone_unchosen"])


@lru_cache(maxsize=4)
def invoices(company: Company) -> bool:
    """Tell whether orders are invoices of a contract: customers have a monthly fee, or most orders keep one rhythm."""
    if company.settings.relationship != "contractual" or company.orders is None:
        return False
    if company.has("customers", "monthly_revenue"):
        return True
    gaps = customer_base.gaps(company).query("event == 1").groupby("duration")["n"].sum()
    if gaps.sum() < company.settings.privacy.minimum_base:
        return False
    usual = customer_base.usual(gaps)
    return bool(gaps[(gaps.index >= 0.9 * usual) & (gaps.index <= 1.1 * usual)].sum() >= REGULAR * gaps.sum())


def _month(rows: ir.Table, day: ir.DateValue) -> ir.Value:
    """Return the calendar months from that of ``origin`` to that of a day."""
    return (day.year() - rows.origin.year()) * 12 + day.month() - rows.origin.month()


def _ends(company: Company) -> ir.Table:
    """Return when customers left, and whether by choice."""
    rows, reasons = company.customers, list(company.settings.involuntary_reasons or [])
    involuntary = rows.left_reason.isin(reasons) if reasons else ibis.literal(False)
    return rows.select("customer_id", "left_on", chosen=~involuntary.fill_null(False))


def _sums(rows: ir.Table, keys: list[str], months: int, **sums: object) -> pd.DataFrame:
    """Sum by (keys, month) before the last month."""
    return rows.filter(_.month < months).group_by([*keys, "month"]).agg(**sums).execute()


def candidates(company: Company, programme: str, origin: date, metric: str = "") -> tuple[ir.Table, list[str]]:
    """Return the customers a programme could have reached in a month, and the names of what was known of them before.

    Candidates are here at the end of the day before ``origin`` (the first day of the month) and in no earlier exposure.
    Their arm is "treated" if reached in that month and not held back, else "control". A customer without exposures
    gets, by fold, a day on which others were reached, and must still be here on it. Whoever left earlier could not have
    been reached.

    Columns: customer_id, fold, origin, arm, later (reached in a later month: 0 or 1), and as text what was known.
    """
    known_on = origin - timedelta(days=1)
    scored = bool(metric) and answers.dated(company)
    kept = [TENURE, *people.segments(company)]
    rows, known = people.everyone(company), ibis.literal(known_on)
    rows = rows.filter(people.here(rows, known))
    age = days(known, rows.started)
    stage = ibis.cases(*[(age <= d, f"up to {d} days") for d in TENURES], else_=f"over {TENURES[-1]} days")
    rows = as_text(rows.mutate(**{TENURE: stage}), kept).select("customer_id", "fold", "left_on", *kept)
    for wanted, add, name in (
        (company.contacts is not None, _with_cases, CASES),
        (company.orders is not None, _with_paid, PAID),
        (scored, _with_score, SCORE),
    ):
        if wanted:
            rows, kept = add(company, rows, known_on, metric), [*kept, name]
    mine = assigned(company, programme)
    rows = rows.left_join(mine.select("customer_id", "arm", "exposed_on", first="origin"), "customer_id")
    rows = rows.drop(*[c for c in rows.columns if c == "customer_id_right"])
    start = ibis.literal(origin)
    rows = rows.filter(rows["first"].isnull() | (rows["first"] >= start))
    now = (rows["first"] == start).fill_null(False)
    arm = ibis.ifelse(now & (rows.arm == "treated"), "treated", "control")
    later = (rows["first"].notnull() & ~now & (rows.arm == "treated")).cast("int64")
    rows = rows.mutate(arm=arm, later=later, origin=start)
    on = mine.filter((_.origin == start) & (_.arm == "treated")).agg(
        **{f"q{i}": _.exposed_on.cast("timestamp").epoch_seconds().quantile((i + 0.5) / 8) for i in range(8)}
    )
    drawn = [pd.Timestamp(v, unit="s").date() for v in on.execute().iloc[0]]
    index = ibis.cases(
        *[(rows.fold % 8 == i, ibis.literal(d)) for i, d in enumerate(drawn)], else_=ibis.literal(drawn[0])
    )
    rows = rows.filter(now | people.stayed(rows, index - ibis.interval(days=1)))
    return rows.select("customer_id", "fold", "origin", "arm", "later", *kept), kept


def _with_cases(company: Company, rows: ir.Table, on: date, metric: str) -> ir.Table:
    """Add the number of support cases the customer opened in the three months up to a day."""
    n = _lately(company.contacts, "opened_at", on, LATELY).group_by("customer_id").agg(_n=_.count())
    rows = rows.left_join(n, "customer_id").drop("customer_id_right")
    level = ibis.cases((rows._n.isnull(), "none"), (rows._n == 1, "one"), (rows._n == 2, "two"), else_="more")
    return rows.mutate(**{CASES: level}).drop("_n")


def _with_paid(company: Company, rows: ir.Table, on: date, metric: str) -> ir.Table:
    """Add the quarter in which the payments of the three months up to a day lie, or "nothing"."""
    past = _lately(company.orders, "ordered_at", on, LATELY).group_by("customer_id").agg(_paid=people.added(_.revenue))
    ends = past.agg([_._paid.quantile(q).name(f"q{q}") for q in (0.25, 0.5, 0.75)]).execute().iloc[0]
    low, middle, high = (float(v) if pd.notna(v) else 0.0 for v in ends)
    rows = rows.left_join(past, "customer_id").drop("customer_id_right")
    level = ibis.cases(
        (rows._paid.isnull(), "nothing"),
        (rows._paid <= low, QUARTERS[0]),
        (rows._paid <= middle, QUARTERS[1]),
        (rows._paid <= high, QUARTERS[2]),
        else_=QUARTERS[3],
    )
    return rows.mutate(**{PAID: level}).drop("_paid")


def _lately(rows: ir.Table, column: str, on: date, span: int) -> ir.Table:
    """Return rows of the ``span`` days that end with a day."""
    day_ = rows[column].cast("date")
    return rows.filter((day_ <= ibis.literal(on)) & (day_ > ibis.literal(on - timedelta(days=span))))


def _with_score(company: Company, rows: ir.Table, on: date, metric: str) -> ir.Table:
    """Add the last score of the year up to a day, as text, or NO_ANSWER."""
    known = _lately(answers.questions(company, metric).filter(_.answered), "when", on, 365)
    order = [ibis.desc("when"), ibis.desc("response_id")]
    known = known.mutate(rank=ibis.row_number().over(ibis.window(group_by="customer_id", order_by=order)))
    known = known.filter(_.rank == 0).select("customer_id", _score="score")
    rows = rows.left_join(known, "customer_id").drop("customer_id_right")
    whole = rows._score.round().cast("int64").cast("string")
    return rows.mutate(**{SCORE: ibis.coalesce(whole, answers.NO_ANSWER)}).drop("_score")


def reached_on(company: Company, programme: str) -> ir.Table:
    """Return the customers reached, with the day: customer_id, on."""
    return assigned(company, programme).filter(_.arm == "treated").select("customer_id", on="exposed_on")


def everybody_on(company: Company, days_: Sequence[date]) -> ir.Table:
    """Return every customer once for each of several days: customer_id, on."""
    each = [company.customers.select("customer_id", on=ibis.literal(d)) for d in days_]
    return ibis.union(*each) if len(each) > 1 else each[0]


def around(company: Company, metric: str, index: ir.Table) -> pd.DataFrame:
    """Count customers by (last score before their day, fold): n, again and second.

    ``index``: customer_id and a day ``on``. Only answers less than WITHIN days before or after that day count.
    ``again`` counts customers with an answer on that day or later. ``second`` is the sum of the first such scores.
    """
    rows = answers.questions(company, metric).filter(_.answered & _.when.notnull())
    rows = rows.select("customer_id", "fold", "when", "response_id", "score").inner_join(index, "customer_id")
    apart = days(rows.when, rows.on)
    rows = rows.mutate(before=apart < 0, apart=apart.abs()).filter(_.apart < WITHIN)
    nearest = ibis.window(group_by=["customer_id", "on", "before"], order_by=[_.apart, ibis.desc("response_id")])
    rows = rows.mutate(rank=ibis.row_number().over(nearest)).filter(_.rank == 0)
    last = rows.filter(rows.before).select("customer_id", "fold", "on", first="score")
    after = rows.filter(~rows.before).select("customer_id", "on", second="score")
    pairs = last.left_join(after, ["customer_id", "on"])
    keys = ["first", "fold"]
    found = pairs.group_by(keys).agg(n=_.count(), again=_.second.count(), second=_.second.sum().fill_null(0.0))
    return found.order_by(keys).execute()
