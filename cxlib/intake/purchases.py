"""Count tables of orders and money, made in the engine like those of ``counts``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import ibis
import pandas as pd
from ibis import _

from cxlib.intake import counts
from cxlib.intake.company import Company


def repeat_buyers(company: Company) -> tuple[int, int]:
    """Count customers with several orders, and those who ordered on several days."""
    orders = company.orders.group_by("customer_id").agg(orders=_.count(), days=_.ordered_at.cast("date").nunique())
    sums = orders.agg(several=(orders.orders > 1).cast("int64").sum(), on_days=(orders.days > 1).cast("int64").sum())
    found = sums.execute().iloc[0]
    return int(found["several"] or 0), int(found["on_days"] or 0)


def paying_base(company: Company, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count customers here on the as-of date and add up their monthly_revenue, by (``by``, fold)."""
    who = counts.people(company).filter(_.left_on.isnull())
    who = who.mutate(**{k: ibis.coalesce(who[k].cast("string"), counts.NONE) for k in by})
    keys = [*by, "fold"]
    return who.group_by(keys).agg(n=_.count(), revenue=_.monthly_revenue.sum()).order_by(keys).execute()


def purchases(company: Company, until: date | None = None) -> pd.DataFrame:
    """Count buyers by (frequency, recency, age, fold): repeat-purchase days, weeks from first to last and to the end.

    Orders of one day are one purchase; ``spend`` adds up the mean revenue per repeat purchase of these buyers.
    Weeks are days / 7. ``until`` ends the window (default: the as-of date).
    """
    end = until or company.as_of
    orders = company.orders.mutate(day=_.ordered_at.cast("date")).filter(_.day <= ibis.literal(end))
    by_day = orders.group_by(["customer_id", "fold", "day"]).agg(revenue=_.revenue.sum())
    first = _.day.min().over(ibis.window(group_by="customer_id"))
    by_day = by_day.mutate(first_day=first)
    buyers = by_day.group_by(["customer_id", "fold"]).agg(
        frequency=_.count() - 1,
        recency=counts.days(by_day.day.max(), by_day.day.min()) / 7,
        age=counts.days(ibis.literal(end), by_day.day.min()) / 7,
        spend=_.revenue.mean(where=_.day > _.first_day),
    )
    keys = ["frequency", "recency", "age", "spend", "fold"]
    return buyers.group_by(keys).agg(n=_.count()).order_by(keys).execute()


def after_answer(company: Company, metric: str, window_days: int) -> pd.DataFrame:
    """Add up orders in the ``window_days`` after each answer, by (band, earlier purchase days, fold).

    Only answers whose whole window lies before the as-of date count, so that every band has the same time.
    ``earlier`` is none, one, two, three or more purchase days up to the answer: equals are compared with equals.
    """
    end = ibis.literal(company.as_of)
    rows = counts.answers(company, metric).filter(_.when.notnull()).mutate(day=_.when.cast("date"))
    rows = rows.filter(counts.days(end, rows.day) >= window_days).select(
        "response_id", "customer_id", "band", "day", "fold"
    )
    orders = company.orders.mutate(bought=_.ordered_at.cast("date"))
    orders = orders.group_by(["customer_id", "bought"]).agg(revenue=_.revenue.sum())
    both = rows.left_join(orders, "customer_id")
    gap = counts.days(both.bought, both.day)
    counted = both.group_by(["response_id", "band", "fold"]).agg(
        earlier=(gap <= 0).fill_null(False).cast("int64").sum(),
        bought=((gap > 0) & (gap <= window_days)).fill_null(False).cast("int64").sum(),
        revenue=ibis.coalesce(both.revenue.sum(where=(gap > 0) & (gap <= window_days)), 0.0),
    )
    counted = counted.mutate(earlier=ibis.least(counted.earlier, 3))
    keys = ["band", "earlier", "fold"]
    sums = counted.group_by(keys).agg(
        n=_.count(),
        buyers=(_.bought > 0).cast("int64").sum(),
        purchases=_.bought.sum(),
        revenue=_.revenue.sum(),
    )
    return sums.order_by(keys).execute()


def margin_by_month(
    company: Company, assigned: ibis.Table, first_month: date, months: int, keys: Sequence[str]
) -> pd.DataFrame:
    """Add up money by (``keys``, month) for a fixed set of customers, who stay in it after they have left.

    ``assigned`` is an Ibis table of customer_id and ``keys``; months are calendar months counted from
    ``first_month`` (month 0; earlier ones are negative) up to ``months`` - 1. Columns: customers (of the set),
    here (not yet gone at the month's end), revenue, margin (where orders carry one), service (contact cost).
    """
    keys = list(keys)
    index = lambda d: (d.year() - first_month.year) * 12 + d.month() - first_month.month  # noqa: E731
    size = assigned.group_by(keys).agg(customers=_.count()).execute()
    who = assigned.inner_join(counts.people(company).select("customer_id", "left_on", "started"), "customer_id")
    gone = who.filter(_.left_on.notnull())
    gone = gone.mutate(month=index(gone.left_on)).group_by([*keys, "month"]).agg(gone=_.count()).execute()
    parts = [gone]
    if company.orders is not None:
        rows = company.orders.select("customer_id", "ordered_at", "revenue", "margin").inner_join(
            assigned, "customer_id"
        )
        rows = rows.mutate(month=index(rows.ordered_at)).filter(_.month < months)
        parts.append(rows.group_by([*keys, "month"]).agg(revenue=_.revenue.sum(), margin=_.margin.sum()).execute())
    if company.contacts is not None:
        rows = company.contacts.select("customer_id", "opened_at", "cost").inner_join(assigned, "customer_id")
        rows = rows.mutate(month=index(rows.opened_at)).filter(_.month < months)
        parts.append(rows.group_by([*keys, "month"]).agg(service=_.cost.sum(), contacts=_.count()).execute())
    present = [int(p["month"].min()) for p in parts if len(p)]
    grid = size.merge(pd.DataFrame({"month": range(min([0, *present]), months)}), how="cross")
    for part in parts:
        grid = grid.merge(part, on=[*keys, "month"], how="left")
    for column in ("gone", "revenue", "margin", "service", "contacts"):
        grid[column] = grid[column].astype(float).fillna(0.0) if column in grid else 0.0
    grid = grid.sort_values([*keys, "month"], ignore_index=True)
    grid["here"] = grid["customers"] - grid.groupby(keys, observed=True)["gone"].cumsum()
    return grid
