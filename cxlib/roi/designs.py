"""Which comparison the data allow for a programme: the best one, or none, with the reason and the remedy."""

from __future__ import annotations

from cxlib.counts import answers, panels
from cxlib.counts.panels import Reach
from cxlib.counts.programmes import Programme
from cxlib.intake.company import Company
from cxlib.roi import before_after, rollout, two_groups
from cxlib.roi.evidence import BEFORE_AND_AFTER, NOT_IDENTIFIED, Evidence, refused

ALL = 0.95  # this share of the customers of a day counts as everyone
A_RULE_DAYS, SPREAD_DAYS = 31, 90  # reached at one tenure (90 % within so many days) over a period longer than so many


def evaluate(company: Company, p: Programme, window_months: int = 12) -> Evidence:
    """Return what is known of the effect of a programme that runs, by the best comparison the data allow.

    ``window_months``: over how many months at most, where the programme declares none (effect_months).
    """
    metric = p.outcome if p.outcome in company.settings.metrics else (answers.metrics(company) or [""])[0]
    wanted = p.effect_months or window_months
    if company.exposures is None:
        return refused(p, NOT_IDENTIFIED, "no-exposures")
    reach = panels.reach(company, p.id)
    if not reach.treated:
        return refused(p, NOT_IDENTIFIED, "nobody-reached")
    if reach.control:
        if p.assignment == "randomised":
            return two_groups.randomised(company, p, reach, wanted, metric)
        return two_groups.weighted(company, p, reach, wanted, metric, held_out=True)
    if reach.days == 1 and reach.treated >= ALL * reach.here:
        facts = {"first": reach.first, "treated": reach.treated, "here": reach.here}
        return refused(p, NOT_IDENTIFIED, "everyone-at-once", **facts)
    if p.assignment != "chosen" and p.assigned_by and p.assigned_by in company.customers.columns:
        return rollout.rolled_out(company, p, reach, wanted, metric)
    if _rule_of_tenure(reach):
        return refused(p, NOT_IDENTIFIED, "tenure-rule", early=reach.early, late=reach.late)
    if p.assignment in ("rollout", "everyone"):
        return refused(p, NOT_IDENTIFIED, "no-waiting-list")
    found = two_groups.weighted(company, p, reach, wanted, metric, held_out=False)
    return before_after.describe(company, found, reach, metric) if found.design == BEFORE_AND_AFTER else found


def _rule_of_tenure(reach: Reach) -> bool:
    return reach.late - reach.early <= A_RULE_DAYS and (reach.last - reach.first).days > SPREAD_DAYS


def evaluate_all(company: Company, found: list[Programme], window_months: int) -> list[Evidence]:
    """Return what is known of each programme that has begun, in their order."""
    return [evaluate(company, p, window_months) for p in found if not p.planned]
