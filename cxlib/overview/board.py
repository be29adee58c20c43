"""07_board: the findings a board should see, with their intervals and how each is known."""

from __future__ import annotations

import math

import pandas as pd
from pydantic import Field

from cxlib.churn import hazard_ratios, retention
from cxlib.intake.company import Company
from cxlib.overview import finance
from cxlib.page import parameters, words
from cxlib.page.findings import KNOWN, Figure, Finding
from cxlib.page.numbers import amount, count, number, percent, points
from cxlib.roi import returns
from cxlib.scores import current, trend
from cxlib.value import buyers, by_score, forecast


class Parameters(parameters.Parameters):
    """Parameters of 07_board."""

    metric: str = ""
    window_months: int = Field(12, ge=1, le=60)


def of_programmes(company: Company, window_months: int = 12) -> list[Finding]:
    """Return all initiatives on one screen, then the outcome statement and the return of each."""
    found = returns.results(company, window_months)
    shown = [finance.one_screen(company, found)]
    for r in found:
        shown.append(returns.statement(company, r))
        if r.identified:
            shown.append(returns.payback(company, r))
    return shown


def findings(company: Company, metric: str = "", window_months: int = 12) -> list[Finding]:
    """Return the headline findings: score, churn, value, return."""
    contractual = company.settings.relationship == "contractual"
    return [
        current.headline(company, window_months),
        trend.early_warning(company, metric),
        retention.left(company) if retention.snapshot(company) else retention.rates(company),
        hazard_ratios.ratios(company, metric),
        by_score.by_score(company, metric),
        forecast.base(company, metric) if contractual else buyers.base(company),
        *of_programmes(company, window_months),
    ]


def overview(company: Company, found: list[Finding]) -> pd.DataFrame:
    """Return the headline numbers of findings as the board page shows them, each once."""
    rows = {}
    for finding in found:
        for figure in finding.figures:
            known = KNOWN[figure.known or finding.known]
            cells = (
                figure.label,
                _value(figure, company.settings.currency),
                f"{count(figure.estimate.n)} {figure.base}",
                known,
            )
            rows[figure.name] = cells
    headings = [heading for heading, _ in words.columns_of(words.section_of(__file__, "overview")).values()]
    return pd.DataFrame(list(rows.values()), columns=headings)


def _value(figure: Figure, currency: str | None) -> str:
    """Return a number with its interval in its own unit, or with the reason why it has none."""
    e, unit = figure.estimate, figure.unit
    if unit == "share difference":
        text = points(e)
    elif unit.startswith("share"):
        text = percent(e)
    elif currency and unit.startswith(currency):
        text = amount(e, currency) + unit.removeprefix(currency)
    else:
        text = f"{number(e)} {unit}"
    return f"{text} ({figure.note})" if math.isnan(e.low) else text
