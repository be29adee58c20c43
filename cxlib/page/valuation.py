"""What "value" means: revenue or margin, the months that count and their discounting (money in company.yaml)."""

from __future__ import annotations

import numpy as np

from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.intake.settings import Money
from cxlib.page import words
from cxlib.stats import finance


def money_of(company: Company) -> Money:
    """Return the money block of company.yaml; Unanswered where there is none."""
    if company.settings.money is None:
        raise Unanswered("no-money")
    return company.settings.money


def meaning(company: Company) -> str:
    """Say in a few sentences what "value" means on a page."""
    return words.say(__file__, "meaning", "text", money=company.settings.money, currency=company.settings.currency)


def share_kept(company: Company) -> float:
    """Return the part of revenue that counts as value: all of it, or the gross margin."""
    m = money_of(company)
    return 1.0 if m.value_is == "revenue" else m.gross_margin


def period_rate(company: Company, months: int = 1) -> float:
    """Return the discount rate of so many months."""
    m = money_of(company)
    return finance.per_period_rate(m.discount_rate, 12 / months, m.discount_convention)


def horizon_of(company: Company, months: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the days after which the monthly payments fall due, and what 1 paid then is worth today.

    ``months``: how many payments; 0 takes the horizon of the money block.
    """
    m = money_of(company)
    months = months or m.horizon_months
    first = 0 if m.first_flow == "now" else 1
    days = np.array([max(round((k + first) * DAYS_A_MONTH), 0) for k in range(months)])
    return days, finance.discount_factors(period_rate(company), months, m.first_flow)
