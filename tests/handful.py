"""Four customers, small enough to count by hand and to follow each of them."""

from __future__ import annotations

import pandas as pd

SETTINGS = {
    "name": "Handful",
    "as_of": "2024-12-31",
    "relationship": "contractual",
    "involuntary_reasons": ["payment failed"],
    "currency": "GBP",
    "metrics": {"nps": {"scale": [0, 10]}},
    "segments": ["plan"],
}


def stamps(*days):
    return pd.to_datetime(pd.Series(days))


def frames():
    """Return customers, answers and support cases; the last case is from before its customer joined."""
    customers = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d"],
            "joined_on": stamps("2024-01-01", "2024-01-01", "2024-03-01", "2024-06-01"),
            "left_on": stamps(None, "2024-08-31", "2024-05-31", None),
            "left_reason": [None, "price", "payment failed", None],
            "monthly_revenue": [10.0, 20.0, 30.0, None],
            "plan": ["x", "x", "y", None],
        }
    )
    responses = pd.DataFrame(
        {
            "response_id": ["1", "2", "3", "4", "5"],
            "customer_id": ["a", "a", "b", "c", "d"],
            "metric": "nps",
            "asked_at": stamps("2024-02-01", "2024-08-01", "2024-02-01", "2024-04-01", "2024-07-01"),
            "answered_at": stamps("2024-02-03", "2024-08-01", "2024-02-01", None, "2024-07-05"),
            "score": [9.0, 3.0, 6.0, None, 7.0],
        }
    )
    contacts = pd.DataFrame(
        {
            "contact_id": ["t1", "t2", "t3", "t4"],
            "customer_id": ["a", "a", "a", "b"],
            "opened_at": stamps("2024-07-01", "2024-07-31", "2024-08-01", "2023-10-01"),
        }
    )
    return {"customers": customers, "responses": responses, "contacts": contacts}
