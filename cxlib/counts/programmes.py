"""Customer-experience programmes as recorded: one object per row of the table initiatives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import pandas as pd

from cxlib.intake.company import Company


@dataclass(frozen=True)
class Programme:
    """One initiative. What was not given is NaN, "" or 0.

    ``outcome``: what it should improve (churn, contacts, order_value, upsell or a metric). ``smallest_effect``: the
    smallest improvement that matters, declared beforehand, above 0. ``expected_effect``: that of a planned one.
    ``effect_is`` says what both are: "relative" (0.1: a tenth of the level without it) or "points" (of a share, 0.02;
    contacts per customer; money per order; points of a score). ``effect_months``: the months after the start over which
    it is judged. ``attribution_share``: the part of the effect claimed for it. ``treated_share``: the part of customers
    that was to be drawn into the treated arm.
    """

    id: str
    name: str
    changed: str
    started_on: date
    cost_upfront: float
    cost_per_month: float
    attribution_share: float = 1.0
    treated_share: float = math.nan
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
        """Return the cost of running it for so many months, set-up included."""
        return self.cost_upfront + self.cost_per_month * months


def programmes(company: Company) -> list[Programme]:
    """Return the initiatives of a company in order of their start; none without the table."""
    if company.initiatives is None:
        return []
    rows = company.frame("initiatives").sort_values(["started_on", "initiative_id"], kind="stable")
    return [_programme(row) for row in rows.to_dict("records")]


def _programme(row: dict) -> Programme:
    """Return a row of initiatives as a Programme."""

    def text(column: str) -> str:
        return row[column].strip() if isinstance(row.get(column), str) else ""

    def amount(column: str, empty: float) -> float:
        return float(row[column]) if pd.notna(row.get(column)) else empty

    return Programme(
        id=str(row["initiative_id"]),
        name=row["name"].strip(),
        changed=text("changed").rstrip(".") or f"something ({row['name'].strip()})",
        started_on=pd.Timestamp(row["started_on"]).date(),
        cost_upfront=amount("cost_upfront", 0.0),
        cost_per_month=amount("cost_per_month", 0.0),
        attribution_share=amount("attribution_share", 1.0),
        treated_share=amount("treated_share", math.nan),
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
