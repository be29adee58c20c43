"""07_board: the findings a board should hear, with their intervals and how well each is known."""

from __future__ import annotations

import pandas as pd
from pydantic import Field

from cxlib.churn import hazard_ratios, retention
from cxlib.intake.company import Company
from cxlib.overview import finance
from cxlib.page import parameters
from cxlib.page.findings import GRADES, Finding, number
from cxlib.roi import returns
from cxlib.scores import current, trend
from cxlib.value import buyers, by_score, forecast


class Parameters(parameters.Parameters):
    """Parameters of 07_board."""

    metric: str = ""
    window_months: int = Field(12, ge=1, le=60)


def of_programmes(company: Company, window_months: int = 12) -> list[Finding]:
    """Return the outcome statement of every initiative and, first, the return on all that can be told."""
    found = returns.results(company, window_months)
    each = [
        f
        for r in found
        for f in (
            (returns.statement(company, r), returns.finding(company, r))
            if r.known
            else (returns.statement(company, r),)
        )
    ]
    return [finance.one_screen(company, found), *each]


def findings(company: Company, metric: str = "", window_months: int = 12) -> list[Finding]:
    """Return the headline findings along the chain: score, leaving, value, return."""
    contractual = company.settings.relationship == "contractual"
    return [
        current.headline(company, window_months),
        trend.early_warning(company, metric),
        retention.rates(company),
        hazard_ratios.ratios(company, metric),
        by_score.by_score(company, metric),
        forecast.base(company, metric) if contractual else buyers.base(company),
        *of_programmes(company, window_months),
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
