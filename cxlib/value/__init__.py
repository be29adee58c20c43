"""04_value: what a customer is worth, and whether value differs by score."""

from __future__ import annotations

from pydantic import Field, field_validator

from cxlib.page import parameters


class Parameters(parameters.Parameters):
    """Parameters of 04_value."""

    metric: str = ""
    window_days: int = Field(182, ge=28, le=1825)
    term_months: int = Field(1, ge=1, le=60)
    until: str = ""
    minimum_repeat_buyers: int = Field(100, ge=1)

    _date = field_validator("until")(parameters.Parameters._is_a_date.__func__)
