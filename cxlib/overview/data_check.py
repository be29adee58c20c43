"""00_data_check: what was read, what was excluded and why, and what these data can and cannot answer."""

from __future__ import annotations

import pandas as pd

from cxlib.intake import verdict
from cxlib.intake.company import Company
from cxlib.page import masking, parameters, words
from cxlib.page.findings import Answer, Figure, answer, finding
from cxlib.stats.estimate import Estimate

# The column of each table that says when a row happened.
CLOCKS = {
    "customers": "joined_on",
    "responses": "asked_at",
    "orders": "ordered_at",
    "contacts": "opened_at",
    "exposures": "exposed_on",
    "initiatives": "started_on",
}
NO_DATES = "no dates"


class Parameters(parameters.Parameters):
    """Parameters of 00_data_check."""


def _whole(value: float, n: float) -> Estimate:
    return Estimate(value, float("nan"), float("nan"), n=n)


@finding("rows")
def rows(company: Company) -> Answer:
    """Answer: were all rows used? Read, merged, set aside and used, per export."""
    record = company.record
    read, aside = float(record["rows_read"].sum()), float(record["set_aside"].sum())
    merged, used = float(record["merged"].sum()), float(record["used"].sum())
    whole = words.say(__file__, "rows", "whole")
    figures = [
        Figure("rows-used", "Rows used", _whole(used, read), "rows", "rows read", whole),
        Figure("rows-set-aside", "Rows set aside", _whole(aside, read), "rows", "rows read", whole),
    ]
    share = aside / read if read else 0.0
    return answer("count", record, figures, read=read, used=used, merged=merged, aside=aside, share=share)


@finding("set-aside")
def set_aside(company: Company) -> Answer:
    """Answer: which rows were set aside, how many, why, and what to do about it?"""
    found = masking.examples(company.set_aside)
    found = found.dropna(axis=1, how="all") if len(found) else found
    largest = found.loc[found["rows"].idxmax()] if len(found) else {"rows": 0, "reason": "", "table": ""}
    return answer("count", found, rows=largest["rows"], reason=largest["reason"], table=largest["table"])


@finding("notes")
def notes(company: Company) -> Answer:
    """Answer: what looks odd, though nothing had to be set aside for it?"""
    found = company.notes
    first = found.sort_values("check", key=lambda c: ~c.str.startswith("two definitions"), kind="stable")
    details = [str(d).rstrip(".") for d in first["detail"].head(3)] if len(found) else []
    return answer("count", found, several=len(found), details=details)


@finding("coverage")
def coverage(company: Company) -> Answer:
    """Answer: over which dates does each table reach?"""
    found = []
    for name, column in CLOCKS.items():
        if not company.has(name):
            continue
        table, dated = getattr(company, name), company.has(name, column)
        sums = {"rows": table.count()}
        if dated:
            sums |= {"first": table[column].min().cast("date"), "last": table[column].max().cast("date")}
        one = table.agg(**sums).execute().iloc[0]
        span = [str(one["first"])[:10], str(one["last"])[:10]] if dated and one["rows"] else [NO_DATES, NO_DATES]
        found.append({"table": name, "rows": int(one["rows"]), "first": span[0], "last": span[1]})
    missing = [n for n in CLOCKS if not company.has(n)]
    undated = [r["table"] for r in found if r["first"] == NO_DATES]
    return answer("count", pd.DataFrame(found), tables=[r["table"] for r in found], missing=missing, undated=undated)


@finding("questions")
def questions(company: Company) -> Answer:
    """Answer: which pages can these data answer, and what is missing for the others? As ``check`` says it."""
    found = verdict.pages(company.settings)
    can, partly = (int((found["answer"] == a).sum()) for a in ("yes", "partly"))
    return answer("count", found, can=can, partly=partly, several=len(found))
