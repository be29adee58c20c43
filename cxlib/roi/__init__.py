"""06_roi: what came back for what was spent."""

from __future__ import annotations

from pydantic import Field

from cxlib.page import parameters


class Parameters(parameters.Parameters):
    """Parameters of 06_roi."""

    window_months: int = Field(12, ge=1, le=60)
    budget: float = Field(0.0, ge=0, allow_inf_nan=False)
