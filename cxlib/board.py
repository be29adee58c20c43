"""07_board: the findings a board should hear, with their intervals and how well each is known."""

from __future__ import annotations

import pandas as pd
from pydantic import Field

from cxlib import buying, finance, forecast, hazards, movement, parameters, retention, roi, scores, value
from cxlib.findings import GRADES, Finding, number
from cxlib.intake.company import Company


class Parameters(parameters.Parameters):
    """Parameters of 07_board."""

    metric: str = ""
    window_months: int = Field(12, ge=1, le=60)


def returns(company: Company, window_months: int = 12) -> list[Finding]:
    """Return the outcome statement of every initiative and, first, the return on all that can be told."""
    found = roi.results(company, window_months)
    each = [
        f
        for r in found
        for f in ((roi.statement(company, r), roi.finding(company, r)) if r.known else (roi.statement(company, r),))
    ]
    return [finance.one_screen(company, found), *each]


def findings(company: Company, metric: str = "", window_months: int = 12) -> list[Finding]:
    """Return the headline findings along the chain: score, leaving, value, return."""
    contractual = company.settings.relationship == "contractual"
    return [
        scores.headline(company, window_months),
        movement.early_warning(company, metric),
        retention.rates(company),
        hazards.ratios(company, metric),
        value.by_score(company, metric),
        forecast.base(company, metric) if contractual else buying.base(company),
        *returns(company, window_months),
    ]


def overview(found: list[Finding]) -> pd.DataFrame:
    """Return the headline numbers of findings in one table, as shown on the board page."""
    rows = []
    for finding in found:
        for figure in finding.figures:
            e = figure.estimate
            digits = 2 if abs(e.value) < 20 else 0
            shown = f"{number(e.low, digits)} to {number(e.high, digits)}" if e.low == e.low else figure.note
            rows.append(
                {
                    "what": figure.label,
                    "value": number(e.value, digits),
                    "95 % interval": shown,
                    "unit": figure.unit,
                    "base": f"{number(e.n, 0)} {figure.base}",
                    "evidence": f"{finding.grade}: {GRADES[finding.grade]}",
                }
            )
    return pd.DataFrame(rows)
