"""What is recorded of a customer-experience programme: one row of the table initiatives, and whom it reached."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import pandas as pd

from cxlib.intake.company import Company


@dataclass(frozen=True)
class Programme:
    """One initiative. What was not given is NaN, "" or 0.

    ``outcome``: what it is meant to move (churn, contacts, order_value, upsell or a metric). ``smallest_effect``: the least
    improvement worth having, declared beforehand, above 0; ``expected_effect``: of a planned one. Both are ``effect_is``
    "relative" (0.1: a tenth of the level without it) or "points" (of a share, 0.02; contacts a customer; money an order; points
    of a score). ``effect_months``: the months after the start over which it is to be judged. ``attribution_share``: the part of
    the effect claimed for it.
    """

    id: str
    name: str
    changed: str
    started_on: date
    cost_upfront: float
    cost_per_month: float
    attribution_share: float = 1.0
    planned: bool = False
    assignment: str = ""
    assigned_by: str = ""
    outcome: str = ""
    smallest_effect: float = math.nan
    effect_is: str = ""
    expected_effect: float = math.nan
    effect_months: int = 0
    planned_customers: int = 0

    def cost(self, months: float) -> float:
        """Return what it costs to run for so many months, the set-up included."""
        return self.cost_upfront + self.cost_per_month * months


def programmes(company: Company) -> list[Programme]:
    """Return the initiatives of a company, by the date they started (none without the table)."""
    if company.initiatives is None:
        return []
    rows = company.frame("initiatives").sort_values(["started_on", "initiative_id"], kind="stable")
    return [_programme(row) for row in rows.to_dict("records")]


def _programme(row: dict) -> Programme:
    text = lambda k: row[k].strip() if isinstance(row.get(k), str) else ""  # noqa: E731
    amount = lambda k, empty: float(row[k]) if pd.notna(row.get(k)) else empty  # noqa: E731
    return Programme(
        id=str(row["initiative_id"]),
        name=row["name"].strip(),
        changed=text("changed").rstrip(".") or f"something ({row['name'].strip()})",
        started_on=pd.Timestamp(row["started_on"]).date(),
        cost_upfront=amount("cost_upfront", 0.0),
        cost_per_month=amount("cost_per_month", 0.0),
        attribution_share=amount("attribution_share", 1.0),
        planned=text("status") == "planned",
        assignment=text("assignment"),
        assigned_by=text("assigned_by"),
        outcome=text("outcome"),
        smallest_effect=amount("smallest_effect", math.nan),
        effect_is=text("effect_is"),
        expected_effect=amount("expected_effect", math.nan),
        effect_months=int(amount("effect_months", 0)),
        planned_customers=int(amount("planned_customers", 0)),
    )
