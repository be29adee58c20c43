"""03_churn: who leaves, when, and whether scores predict it."""

from __future__ import annotations

from pydantic import Field

from cxlib.page import parameters


class Parameters(parameters.Parameters):
    """Parameters of 03_churn."""

    metric: str = ""
    horizon_days: int = Field(365, ge=30, le=3650)
    minimum_events: int = Field(100, ge=1)
    risk_days: int = Field(182, ge=30, le=1825)
