"""Before and after only: the change in those reached, beside the change expected without any programme.

Customers chosen for a low score recover without any help (regression to the mean: Barnett, van der Pols & Dobson 2005,
Int. J. Epidemiology 34). How much is seen in customers with the same scores at earlier dates.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
from ibis import _

from cxlib.counts import panels
from cxlib.counts.panels import Reach
from cxlib.intake.company import Company
from cxlib.page.resamples import resamples
from cxlib.roi.evidence import Evidence
from cxlib.roi.outcomes import with_money
from cxlib.stats import draws
from cxlib.stats.estimate import Estimate

MONTHS = 3  # before the start, compared with as many after it
DATES = 3  # earlier days with scores and without the programme


def describe(company: Company, found: Evidence, reach: Reach, metric: str) -> Evidence:
    """Add ``before``, one row per outcome.

    Columns: kind (score, contacts or earned), what, unit; value, low, high, n of the change; before, after; ``anyway``
    and ``beyond`` with their intervals.
    ``anyway`` is the change expected of the same scores without a programme, ``beyond`` the change minus that; both NaN
    where unknown.
    """
    rows = []
    if metric:
        rows += _score(company, found.programme.id, reach, metric)
    rows += _behaviour(company, found.programme.id, reach)
    return replace(found, before=pd.DataFrame(rows))


def _row(
    kind: str, what: str, unit: str, drawn: np.ndarray, n: float, before: float, anyway: np.ndarray | None = None
) -> dict[str, object]:
    estimate = lambda d: draws.estimate(d[0], d[1:], n)  # noqa: E731
    e = estimate(drawn)
    a = b = Estimate(np.nan, np.nan, np.nan)
    if anyway is not None:
        a, b = estimate(anyway), estimate(drawn - anyway)
    return {
        "kind": kind, "what": what, "unit": unit, "value": e.value, "low": e.low, "high": e.high, "n": n,
        "before": before, "after": before + e.value, "anyway": a.value, "anyway_low": a.low, "anyway_high": a.high,
        "beyond": b.value, "beyond_low": b.low, "beyond_high": b.high,
    }  # fmt: skip


def _score(company: Company, programme: str, reach: Reach, metric: str) -> list[dict]:
    """Return the change from the last answer before being reached to the first one after it."""
    least, weights = company.settings.privacy.minimum_base, resamples(company)
    mine = panels.around(company, metric, panels.reached_on(company, programme))
    if mine["again"].sum() < least:
        return []
    again, first, second = _sums(
        mine.assign(first=mine["first"] * mine["again"]), ["again", "first", "second"], weights
    )
    since, anyway = reach.first, None
    earlier = [since - timedelta(days=panels.WITHIN * (k + 1)) for k in range(DATES)]
    past = panels.around(company, metric, panels.everybody_on(company, earlier))
    past = past[past["again"] > 0]
    if past["again"].sum() >= least and past["first"].nunique() > 1:
        x, n = past["first"], past["again"]
        past = past.assign(x=x * n, xx=x * x * n, xy=x * past["second"])
        n, sx, sy, sxx, sxy = _sums(past, ["again", "x", "second", "xx", "xy"], weights)
        slope = (sxy - sx * sy / n) / (sxx - sx * sx / n)  # of the next score on the one before
        anyway = sy / n + slope * (first / again - sx / n) - first / again
    label, change = f"mean {metric.upper()} answer", (second - first) / again
    return [_row("score", label, "points of the scale", change, float(again[0]), float(first[0] / again[0]), anyway)]


def _sums(counted: pd.DataFrame, columns: list[str], weights: np.ndarray) -> np.ndarray:
    return np.moveaxis(draws.resample(counted, "fold", columns, [], weights)[1][:, 0], 1, 0)


def _behaviour(company: Company, programme: str, reach: Reach) -> list[dict]:
    """Return support contacts and money per customer who is still one, in the months before and after."""
    after = min(MONTHS, panels.months_seen(company, reach.months.index[-1].date()))
    before = min(MONTHS, panels.months_before(company, reach.months.index[0].date()))
    if after < 1 or before < 1:
        return []
    members = panels.assigned(company, programme).filter(_.arm == "treated")
    members = members.inner_join(company.customers.select("customer_id", "fold"), "customer_id")
    members = members.select("customer_id", "origin", "fold")
    grid = with_money(company, panels.by_month(company, members, before, after, ["fold"]))
    grid = grid.assign(time=np.where(grid["month"] < 0, "before", "after"))
    keys, sums = draws.resample(grid, "fold", ["here", "contacts", "earned"], ["time"], resamples(company))
    each = sums[:, :, 1:] / sums[:, :, :1]
    at = {t: i for i, t in enumerate(keys["time"])}
    n, found = float(grid.loc[grid["month"] == 0, "customers"].sum()), []
    kinds = (
        ("contacts", "contacts", "support contacts", "per customer and month"),
        ("orders", "earned", company.settings.money.value_is, f"{company.settings.currency} per customer and month"),
    )
    for j, (table, kind, what, unit) in enumerate(kinds):
        if company.has(table):
            change = each[:, at["after"], j] - each[:, at["before"], j]
            found.append(_row(kind, what, unit, change, n, float(each[0, at["before"], j])))
    return found
