"""What customers did month by month with and without a programme, by whatever comparison: cash flows and outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxlib.intake.company import Company
from cxlib.roi.cash_flows import Paths, Side
from cxlib.roi.evidence import Outcome
from cxlib.stats import draws
from cxlib.stats.estimate import Estimate

LABELS = {
    "churn": ("churn", "share"),
    "contacts": ("support contacts", "contacts per customer and month"),
    "orders": ("orders", "orders per customer and month"),
    "order_value": ("order value", "{currency} per order"),
    "upsell": ("upsells", "upsells per customer"),
}
RATIOS = {
    "contacts": ("contacts", "here"),
    "orders": ("orders", "here"),
    "order_value": ("revenue", "orders"),
    "upsell": ("upsells", "customers"),
    "score": ("points", "answers"),
}
SURE = 4  # a relative change is given only if the level is at least so many times its standard error


def with_money(company: Company, grid: pd.DataFrame) -> pd.DataFrame:
    """Add ``earned`` (margin, or revenue if that is the value) and ``net`` (minus the cost of serving) to counts."""
    m = company.settings.money
    if m.value_is == "revenue":
        earned = grid["revenue"]
    else:
        earned = grid["margin"] if company.has("orders", "margin") else grid["revenue"] * m.gross_margin
    return grid.assign(earned=earned, net=earned - grid["service"])


@dataclass(frozen=True, eq=False)
class Measured:
    """Panel columns per customer reached, (1 + draws) x months each, with the programme and without it.

    ``customers``: reached; ``base``: customers behind the numbers, of both sides; ``groups``: independent groups drawn.
    """

    with_it: Mapping[str, np.ndarray]
    without: Mapping[str, np.ndarray]
    customers: float
    base: float
    groups: float

    @property
    def paths(self) -> Paths:
        """Return the two cash-flow paths."""
        sides = (Side(s["here"], s["earned"], s["service"], s["paying"]) for s in (self.with_it, self.without))
        return Paths(*sides, self.customers, self.base, self.groups)

    def estimate(self, drawn: np.ndarray, low: float | None = None, high: float | None = None) -> Estimate:
        """Estimate a number from its draws, the first of which is as observed."""
        return draws.estimate(drawn[0], drawn[1:], self.base, low, high, groups=int(self.groups))

    @property
    def effect(self) -> Estimate:
        """Return money per customer over all months, with it minus without it."""
        return self.estimate(self.net.sum(axis=1))

    @property
    def net(self) -> np.ndarray:
        """Return money per customer and month with it minus without it."""
        return self.with_it["earned"] - self.with_it["service"] - self.without["earned"] + self.without["service"]

    def outcomes(self, company: Company, metric: str) -> dict[str, Outcome]:
        """Return the outcomes of a programme that the data hold, by kind; ``metric`` is the score used."""
        found, contractual = {}, company.settings.relationship == "contractual"
        if contractual and company.has("customers", "left_on"):
            gone = (1 - s["here"][:, -1] for s in (self.with_it, self.without))
            found["churn"] = self._outcome(company, "churn", *gone)
        there = {
            "contacts": company.has("contacts"), "orders": not contractual, "order_value": company.has("orders"),
            "upsell": company.has("orders", "kind"), "score": bool(metric),
        }  # fmt: skip
        for kind, (above, below) in RATIOS.items():
            if not there[kind] or self.without[above][0].sum() == 0:
                continue
            with np.errstate(invalid="ignore", divide="ignore"):
                both = [_total(s, above) / _total(s, below) for s in (self.with_it, self.without)]
            if np.isfinite([b[0] for b in both]).all():
                found[metric if kind == "score" else kind] = self._outcome(company, kind, *both, metric)
        return found

    def _outcome(
        self, company: Company, kind: str, with_it: np.ndarray, without: np.ndarray, metric: str = ""
    ) -> Outcome:
        label, unit = LABELS.get(kind, (metric.upper(), "points of the score"))
        if kind == "score" and metric == "nps":
            unit = "points"
        level = self.estimate(without)
        # A score has no natural zero, and a change relative to a level near zero means nothing.
        telling = kind != "score" and level.value > SURE * level.se
        relative = (with_it - without) / without if telling else np.full(len(without), np.nan)
        return Outcome(
            metric if kind == "score" else kind, label, unit.format(currency=company.settings.currency),
            level, self.estimate(with_it - without), self.estimate(relative),
        )  # fmt: skip


def _total(side: Mapping[str, np.ndarray], column: str) -> np.ndarray:
    return np.ones(len(side["here"])) if column == "customers" else side[column].sum(axis=1)
