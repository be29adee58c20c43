"""00_data_check: what was read, what was set aside and why, and what these data can and cannot answer."""

from __future__ import annotations

import pandas as pd

from cxlib.counts import answers, people
from cxlib.intake.company import Company
from cxlib.page import parameters
from cxlib.page.findings import Figure, Finding, day, listing, number, percent
from cxlib.stats.estimate import Estimate

WHOLE = "a count of all rows, not a sample"


class Parameters(parameters.Parameters):
    """Parameters of 00_data_check."""


def _whole(value: float, n: float) -> Estimate:
    return Estimate(value, float("nan"), float("nan"), n=n)


def rows(company: Company) -> Finding:
    """Answer: were all rows used? Read, merged, set aside and used, per export."""
    record = company.record
    read, aside = float(record["rows_read"].sum()), float(record["set_aside"].sum())
    merged, used = float(record["merged"].sum()), float(record["used"].sum())
    text = f"Of {number(read, 0)} rows read, {number(used, 0)} are used"
    text += f", {number(merged, 0)} were folded into another or filtered out by the settings" if merged else ""
    text += (
        f" and {number(aside, 0)} ({percent(aside / read, 2)}) set aside because they cannot be true or are repeated."
        if aside
        else " and none had to be set aside."
    )
    figures = (
        Figure("rows-used", "Rows used", _whole(used, read), "rows", "rows read", WHOLE),
        Figure("rows-set-aside", "Rows set aside", _whole(aside, read), "rows", "rows read", WHOLE),
    )
    return Finding("rows", "Rows read, used and set aside", text, "D", record, figures)


def set_aside(company: Company) -> Finding:
    """Answer: which rows were set aside, how many, why, and what to do about it?"""
    found = company.set_aside
    if not len(found):
        return Finding("set-aside", "Rows set aside", "No row is impossible or repeated; all are used.", "D")
    largest = found.loc[found["rows"].idxmax()]
    text = f"The most frequent reason is {largest['reason']} ({largest['table']}: {number(largest['rows'], 0)} rows)."
    return Finding("set-aside", "Rows set aside, by reason", text, "D", found)


def notes(company: Company) -> Finding:
    """Answer: what looks odd, though nothing had to be set aside for it?"""
    found = company.notes
    if not len(found):
        return Finding("notes", "Worth knowing", "Nothing else looks odd.", "D")
    first = found.sort_values("check", key=lambda c: ~c.str.startswith("two definitions"), kind="stable")
    text = " ".join(str(d).rstrip(".") + "." for d in first["detail"].head(3))
    return Finding("notes", "Worth knowing", text, "D", found)


def coverage(company: Company) -> Finding:
    """Answer: over which dates does each table reach?"""
    clocks = {
        "customers": "joined_on", "responses": "asked_at", "orders": "ordered_at", "contacts": "opened_at",
        "exposures": "exposed_on", "initiatives": "started_on",
    }  # fmt: skip
    found = []
    for name, column in clocks.items():
        if not company.has(name):
            continue
        table_ = getattr(company, name)
        dated = company.has(name, column)
        sums = {"rows": table_.count()}
        if dated:
            sums |= {"first": table_[column].min().cast("date"), "last": table_[column].max().cast("date")}
        one = table_.agg(**sums).execute().iloc[0]
        span = [str(one["first"])[:10], str(one["last"])[:10]] if dated and one["rows"] else ["no dates", "no dates"]
        found.append({"table": name, "rows": int(one["rows"]), "first": span[0], "last": span[1]})
    missing = [n for n in clocks if not company.has(n)]
    text = f"As of {day(company.as_of)}: " + "; ".join(
        f"{r['rows']:,} {r['table']}"
        + (f" from {r['first']} to {r['last']}" if r["first"] != "no dates" else " without dates")
        for r in found
    )
    text += f". Not given: {listing(missing)}." if missing else "."
    return Finding("coverage", "What the tables cover", text, "D", pd.DataFrame(found))


def questions(company: Company) -> Finding:
    """Answer: which questions can these data answer, and what is missing for the others?"""
    dated = answers.dated(company)
    undated = "the answers carry no dates"
    contractual = company.settings.relationship == "contractual"
    outcome = (
        people.require(company, "customers", "joined_on", "left_on")
        if contractual
        else people.require(company, "orders")
    )
    worth = (
        people.require(company, "customers", "monthly_revenue") if contractual else people.require(company, "orders")
    )
    no_money = None if company.settings.money else "company.yaml has no money block"
    unasked = people.require(company, "responses")
    asked = [
        ("01_scores", "where do the scores stand", unasked),
        ("01_scores", "did they move", unasked or (None if dated else undated)),
        ("01_scores", "how long do customers wait", people.require(company, "contacts")),
        ("03_churn", "who leaves, or buys again, after which score", unasked or (None if dated else undated) or outcome),
        ("04_value", "what is a customer worth, by score", unasked or (None if dated else undated) or worth or no_money),
        ("06_roi", "what did each initiative bring", people.require(company, "initiatives") or people.require(company, "orders")
         or no_money),
    ]  # fmt: skip
    found = pd.DataFrame(
        [{"page": p, "question": q, "answer": "yes" if why is None else f"no: {why}"} for p, q, why in asked]
    )
    can = int((found["answer"] == "yes").sum())
    return Finding(
        "questions",
        "What can be answered",
        f"{can} of {len(found)} questions can be answered from these data.",
        "D",
        found,
    )
