"""06_roi: one screen for a finance director. What came back, how sure that is, and how it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page.findings import EACH, Answer, answer, finding, table
from cxlib.roi.returns import Result, outlook, outlook_words, require, roi_figure, target_words
from cxlib.stats.estimate import Estimate

MOST_NAMED = 3  # initiatives that a headline can name


@finding("on-one-screen")
def one_screen(company: Company, found: Sequence[Result]) -> Answer:
    """Answer a finance director: return, range, chance of a loss and evidence of every initiative that has run."""
    require(company)
    if not found:
        raise Unanswered("no-initiative-run")
    nothing, rows = Estimate(math.nan, math.nan, math.nan), []
    for r in found:
        w = r.money
        net = w.net_present_value if w else nothing
        rows.append(
            {"initiative": r.initiative, "estimate": w.roi if w else nothing, "outlook": outlook_words(r),
             "cost": r.spent(company.as_of), "months": r.evidence.paths.months if w else math.nan,
             "known": r.money_known if w else "", "design": r.evidence.design, "target": target_words(r),
             "loss": w.loss_probability if w else math.nan, "npv": net.value, "npv_low": net.low, "npv_high": net.high}
        )  # fmt: skip
    by = [outlook(r) for r in found]
    judged = [{"initiative": r.initiative, "outlook": outlook_words(r)} for r in found]
    return answer(
        EACH, table(rows, ["initiative"]), [roi_figure(company, r) for r in found if r.identified],
        judged=judged, initiatives=len(found), named=len(found) <= MOST_NAMED,
        paid=by.count("gain") + by.count("likely-gain"),
        unmeasured=[
            {"initiative": r.initiative, "why": r.evidence.why, "remedy": r.evidence.remedy}
            for r in found
            if not r.identified
        ],
    )  # fmt: skip
