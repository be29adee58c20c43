"""01_scores: the level of the scores, their trend, differences between segments, and non-response."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cxlib.page import parameters

Period = Literal["week", "month", "quarter", "year", "wave"]


class Parameters(parameters.Parameters):
    """Parameters of 01_scores."""

    metric: str = ""
    period: Period = "quarter"
    window_months: int = Field(12, ge=1, le=120)
    false_alarms: float = Field(0.05, gt=0, lt=0.5)
    leaving_days: int = Field(90, ge=7, le=730)
    reopen_days: int = Field(7, ge=1, le=90)
