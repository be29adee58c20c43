"""08_finance: one screen for a finance director. What came back, how sure that is, and how it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from cxlib.intake.company import Company
from cxlib.page import parameters
from cxlib.page.findings import Figure, Finding, interval, listing, money, number, percent, table, unanswered
from cxlib.roi.returns import Result, slug, why_not
from cxlib.stats.estimate import Estimate

# What the table of the page shows, by the heading a reader sees.
SHOWN = {"initiative": "Initiative", "back": "Return per unit spent (95 %)", "loss": "Chance of a loss",
         "present_value": "Net present value (95 %)", "evidence": "Evidence", "verdict": "Effect wanted"}  # fmt: skip


class Parameters(parameters.Parameters):
    """Parameters of 08_finance."""

    window_months: int = Field(12, ge=1, le=60)


def one_screen(company: Company, found: Sequence[Result]) -> Finding:
    """Answer a finance director on one screen: return, range, chance of a loss and grade of every initiative."""
    name, title = "on-one-screen", "What each initiative brought back per unit of money spent, cost taken off"
    if why := why_not(company):
        return unanswered(name, title, why)
    if not found:
        return unanswered(name, title, "no initiative has run.")
    rows, nothing = [], Estimate(math.nan, math.nan, math.nan)
    write = lambda v: money(v, company.settings.currency)  # noqa: E731
    for r in found:
        worth = r.money
        rows.append(
            {"initiative": r.initiative, "estimate": worth.roi if worth else nothing,
             "back": interval(worth.roi, lambda v: number(v, 2), short=True) if worth else "cannot be told",
             "loss": percent(worth.loss_probability, 0) if worth else "cannot be told",
             "present_value": interval(worth.net_present_value, write, short=True) if worth else "cannot be told",
             "cost": worth.cost if worth else math.nan, "months": r.evidence.paths.months if worth else math.nan,
             "evidence": f"{r.grade} ({r.evidence.design})", "verdict": r.statement.verdict,
             "comparison": r.why}
        )  # fmt: skip
    known = [r for r in found if r.known]
    currency = company.settings.currency
    paid = [r for r in known if r.grade in "AB" and r.money.net_present_value.low > 0]
    lost = [r for r in known if r.grade in "AB" and r.money.net_present_value.high < 0]
    open_ = [r for r in known if r not in paid and r not in lost]
    parts = [
        f"{listing(r.initiative for r in some)} {words}"
        for some, words in (
            (paid, "paid for itself" if len(paid) == 1 else "paid for themselves"),
            (lost, "lost money" if len(lost) else ""),
            (open_, "cannot yet be said to have paid or not"),
            ([r for r in found if not r.known], "cannot be judged at all"),
        )
        if some
    ]
    text = f"{'; '.join(parts)[0].upper()}{'; '.join(parts)[1:]}."
    figures = tuple(
        Figure(
            f"{slug(r)}-roi",
            f"{r.initiative}: (benefit - cost) / cost",
            r.money.roi,
            f"{currency} per {currency} spent",
        )
        for r in known
    )
    caveats = tuple(f"{r.initiative}: {r.why}" for r in found if not r.known)
    caveats += (
        "Return: (benefit - cost) / cost. Loss: the money is not back within the months counted. Effect wanted: whether what it was meant "
        "to move has moved by as much as was declared beforehand.",
    )
    return Finding(
        name, title, text, max([r.grade for r in known] or ["D"]), table(rows, ["initiative"]), figures, caveats
    )
