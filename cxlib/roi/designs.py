"""Which comparison the data allow for a programme: the best one, or none, with the reason and what would have made one."""

from __future__ import annotations

from cxlib.counts import answers, panels
from cxlib.counts.panels import Reach
from cxlib.counts.programmes import Programme
from cxlib.intake.company import Company
from cxlib.page.findings import day, number
from cxlib.roi import before_after, rollout, two_groups
from cxlib.roi.evidence import BEFORE_AND_AFTER, NOT_IDENTIFIED, Evidence

ALL = 0.95  # of the customers of a day are everyone
A_RULE_DAYS, SPREAD_DAYS = 31, 90  # reached at one age (90 % within so many days of it) over more than so long
BY_LOT = "Next time start with a part of the customers, drawn by lot, and record the others as arm 'control'"


def evaluate(company: Company, p: Programme, window_months: int = 12) -> Evidence:
    """Return what is known of the effect of a programme that runs, by the best comparison there is.

    ``window_months``: over how many months at most, where the programme declares none (effect_months).
    """
    metric = p.outcome if p.outcome in company.settings.metrics else (answers.metrics(company) or [""])[0]
    wanted = p.effect_months or window_months
    refused = lambda why, remedy: Evidence(p, NOT_IDENTIFIED, "observed", f"not identified: {why}", f"{remedy}.")  # noqa: E731
    if company.exposures is None:
        return refused("nobody recorded whom it reached.", "Give the table exposures: who was reached, and when")
    reach = panels.reach(company, p.id)
    if not reach.treated:
        return refused("no customer is recorded as reached by it.", "Record in exposures who was reached, and when")
    if reach.control:
        if p.assignment == "randomised":
            return two_groups.drawn_by_lot(company, p, reach, wanted, metric)
        return two_groups.made_alike(company, p, reach, wanted, metric, held_back=True)
    if reach.days == 1 and reach.treated >= ALL * reach.here:
        return refused(
            f"everyone was reached on one day ({number(reach.treated, 0)} of {number(reach.here, 0)} customers on {day(reach.first)}), "
            "so its effect cannot be told from anything else that happened then.",
            f"{BY_LOT}, or start its branches or teams one after another",
        )
    if p.assignment != "chosen" and p.assigned_by and p.assigned_by in company.customers.columns:
        return rollout.rolled_out(company, p, reach, wanted, metric)
    if _rule_of_tenure(reach):
        return refused(
            f"customers were reached by a rule of tenure, {number(reach.early, 0)} to {number(reach.late, 0)} days after they came: who "
            "was reached had stayed until then, and everybody who stayed was reached.",
            f"{BY_LOT} when their day comes",
        )
    if p.assignment in ("rollout", "everyone"):
        return refused(
            "customers were reached at different times, but those who left before their turn are not recorded as waiting for it.",
            "Name the customers column it was rolled out by in assigned_by",
        )
    found = two_groups.made_alike(company, p, reach, wanted, metric, held_back=False)
    return before_after.describe(company, found, reach, metric) if found.design == BEFORE_AND_AFTER else found


def _rule_of_tenure(reach: Reach) -> bool:
    return reach.late - reach.early <= A_RULE_DAYS and (reach.last - reach.first).days > SPREAD_DAYS


def evaluate_all(company: Company, found: list[Programme], window_months: int) -> list[Evidence]:
    """Return what is known of the programmes that run, in their order."""
    return [evaluate(company, p, window_months) for p in found if not p.planned]
