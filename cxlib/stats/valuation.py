"""What "value" means: revenue or margin, the months that count, how they are discounted (the money block of company.yaml)."""

from __future__ import annotations

import numpy as np

from cxlib.counts.people import DAYS_A_MONTH
from cxlib.intake.company import Company
from cxlib.page.findings import percent
from cxlib.stats import finance

NO_MONEY = "company.yaml has no money block (margin, discount rate, horizon)."


def meaning(company: Company) -> str:
    """Say in one sentence what "value" means on this page."""
    m = company.settings.money
    if m is None:
        return f"{NO_MONEY[:-1]}, so nothing is valued here."
    what = "revenue" if m.value_is == "revenue" else f"revenue times the gross margin of {percent(m.gross_margin, 0)}"
    return (
        f"Value here is {what} over {m.horizon_months} months in {company.settings.currency}, discounted at "
        f"{percent(m.discount_rate)} a year ({m.discount_convention}), the first payment "
        f"{'at once' if m.first_flow == 'now' else 'after a month'}; acquisition cost is not in it."
    )


def share_kept(company: Company) -> float:
    """Return the part of revenue that counts as value: all of it, or the gross margin."""
    m = company.settings.money
    return 1.0 if m.value_is == "revenue" else m.gross_margin


def period_rate(company: Company, months: int = 1) -> float:
    """Return the discount rate of so many months."""
    m = company.settings.money
    return finance.per_period_rate(m.discount_rate, 12 / months, m.discount_convention)


def horizon_of(company: Company, months: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the days after which the monthly payments fall due, and what 1 paid then is worth today.

    ``months``: how many payments; 0 takes the horizon of the money block.
    """
    m = company.settings.money
    months = months or m.horizon_months
    first = 0 if m.first_flow == "now" else 1
    days = np.array([max(round((k + first) * DAYS_A_MONTH), 0) for k in range(months)])
    return days, finance.discount_factors(period_rate(company), months, m.first_flow)
