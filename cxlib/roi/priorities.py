"""06_roi: which programme next, and the cost of a known failure.

A customer reached by several programmes counts once, with the gain of the best of them: effects are known one at a time
only, and their sum would count the same customer's money several times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations

import numpy as np
import pandas as pd

from cxlib.counts import customer_base, people, planned_reach
from cxlib.errors import InputError, Unanswered
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.page.findings import EACH, EFFECTS, KNOWN, Answer, Figure, Finding, answer, finding, slug, table
from cxlib.page.resamples import resamples
from cxlib.page.valuation import money_of, share_kept
from cxlib.stats import draws
from cxlib.stats.estimate import Estimate

MOST = 12  # candidates of which every set is tried: the best ones, each taken alone
SPREAD_SEED = 1  # of the draws made for an estimate that comes without any


# ---- which one next --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Candidate:
    """A programme that money could go to. ``cost``: all of it, present value.

    ``gain``: present value of the benefit per customer, before the cost: draws (1 + draws, row 0 as observed) or an
    Estimate, then spread independently of the others. ``known``: how the gain is known; ``scenario``: planned, with no
    comparison; ``groups``: independent groups behind the draws.
    """

    name: str
    initiative_id: str
    cost: float
    gain: np.ndarray | Estimate
    customers: float
    known: str
    scenario: bool = False
    groups: float = 256


@finding("priorities")
def ranked(company: Company, candidates: list[Candidate], budget: float = 0.0) -> Answer:
    """Answer: which programmes first? By net present value per unit of cost, under a budget (0: none).

    Measured programmes come first: of all sets within the budget (of the MOST that return most) the one with the
    highest net present value, each customer counted once, chosen on one half of what is known and valued on the other.
    Planned ones are ranked below and take what is left of the budget, as their value is a scenario and whom they would
    reach is not known.

    value, low, high: net present value alone; shared: customers also reached by a programme above it in the table;
    once: what it adds to the programmes in the budget above it (to all of them, if it is not in the budget itself).
    InputError for a bad cost, budget or number of customers.
    """
    if not candidates:
        people.require(company, "initiatives")
    money_of(company)
    _check(candidates, budget)
    if not candidates:
        raise Unanswered("no-candidates")
    rows = company.settings.draws + 1
    benefit = {c.name: c.customers * _drawn(c, rows, i) for i, c in enumerate(candidates)}
    net = {c.name: benefit[c.name][0] - c.cost for c in candidates}
    first = sorted(candidates, key=lambda c: (c.scenario, -net[c.name] / c.cost))
    measured, planned = [c for c in first if not c.scenario], [c for c in first if c.scenario]
    where, sizes, unrecorded = _reached(company, measured)
    each = np.array([benefit[c.name] / max(n, 1) for c, n in zip(measured, where.T @ sizes, strict=True)])
    worth = _Once(where, sizes, each.reshape(len(measured), rows), np.array([c.cost for c in measured]))
    first_half, second_half = worth.halves()
    chosen = [measured[i] for i in first_half.best(budget or math.inf)]
    left = (budget or math.inf) - sum(c.cost for c in chosen)
    for c in planned:
        if net[c.name] > 0 and c.cost <= left:
            chosen.append(c)
            left -= c.cost
    inside = {c.name for c in chosen}
    once = _added(worth, measured, inside) | {c.name: net[c.name] for c in planned}
    shared, hidden = _shared(company, where, sizes)
    shown = []
    for i, c in enumerate(first):
        e = _net(c, benefit[c.name])
        shown.append(
            {"rank": i + 1, "initiative": c.name, "known": c.known, "cost": c.cost, "estimate": e,
             "shared": math.nan if c.scenario else shared[i], "per_cost": e.value / c.cost,
             "chosen": "yes" if c.name in inside else "no", "once": once[c.name]}
        )  # fmt: skip
    taken = [c for c in measured if c.name in inside]
    total = second_half.of([i for i, c in enumerate(measured) if c.name in inside])
    fewest = min((c.groups for c in taken), default=256)
    e = draws.estimate(total[0], total[1:], float(sum(c.customers for c in taken)) or math.nan, groups=fewest)
    figures = []
    if math.isfinite(e.low):
        label, weakest = words.say(__file__, "priorities", "npv"), max(taken, key=lambda c: list(KNOWN).index(c.known))
        figures.append(Figure("priorities-npv", label, e, company.settings.currency or "", known=weakest.known))
    added_up, together = sum(net[c.name] for c in measured), worth.observed(list(range(len(measured))))
    overlap = bool(measured) and abs(added_up - together) > 0.005 * max(abs(added_up), abs(together))
    return answer(
        EACH, table(shown, ["rank", "initiative", "known", "cost"]), figures,
        budget=budget, taken=[c.name for c in taken], total=e, cost=sum(c.cost for c in taken), loss=not e.low > 0,
        scenarios={c.name: net[c.name] for c in planned if c.name in inside}, any_planned=bool(planned),
        best=first[0].name, best_net=net[first[0].name], overlap=overlap, added_up=added_up, together=together,
        several=len(measured) > MOST, most=MOST, unrecorded=unrecorded, hidden=hidden,
        links=any(c.known not in EFFECTS for c in measured),
    )  # fmt: skip


def _check(candidates: list[Candidate], budget: float) -> None:
    """Raise InputError for candidates or a budget that cannot be ranked."""
    if not (math.isfinite(budget) and budget >= 0):
        raise InputError("the budget is no amount of money", value=str(budget), remedy="Give 0 (no limit) or more.")
    if len({c.name for c in candidates}) < len(candidates):
        raise InputError("two programmes have the same name", remedy="Give each initiative a name of its own.")
    for c in candidates:
        if not (math.isfinite(c.cost) and c.cost > 0):
            raise InputError(f"{c.name} has no cost", value=str(c.cost), remedy="Give cost_upfront or cost_per_month.")
        if not (math.isfinite(c.customers) and c.customers > 0):
            raise InputError(
                f"{c.name} reaches nobody", value=str(c.customers), remedy="Give the customers it reaches."
            )


def _drawn(c: Candidate, rows: int, place: int) -> np.ndarray:
    """Return the gain per customer in every draw; an Estimate is spread normally around its value."""
    if not isinstance(c.gain, Estimate):
        if np.shape(c.gain) != (rows,):
            raise InputError(
                f"{c.name} has {np.size(c.gain)} draws", remedy=f"Give {rows}: as observed, then one for each resample."
            )
        return np.asarray(c.gain, dtype=float)
    se = c.gain.se if math.isfinite(c.gain.se) else (c.gain.high - c.gain.low) / 3.92
    spread = np.random.default_rng([SPREAD_SEED, place]).standard_normal(rows)
    return c.gain.value + np.r_[0.0, spread[1:]] * (se if math.isfinite(se) else 0.0)


def _net(c: Candidate, benefit: np.ndarray) -> Estimate:
    """Return the net present value of a candidate alone; an Estimate keeps its own interval."""
    if isinstance(c.gain, Estimate):
        ends = (c.customers * v - c.cost for v in (c.gain.value, c.gain.low, c.gain.high))
        return Estimate(*ends, n=c.customers)
    return draws.estimate(benefit[0] - c.cost, benefit[1:] - c.cost, c.customers, groups=c.groups)


def _reached(company: Company, measured: list[Candidate]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the sets in which customers were reached (sets x candidates, booleans), their sizes, and who has no rows.

    A programme without rows of exposures has a set of its own.
    """
    counted = planned_reach.patterns(company)
    ids = [c.initiative_id for c in measured]
    inside = np.array([[k in found for k in ids] for found in counted[planned_reach.REACHED]], dtype=bool)
    inside = inside.reshape(len(counted), len(ids))
    sizes, some = counted[planned_reach.CUSTOMERS].to_numpy(float), inside.any(1)
    inside, sizes = inside[some], sizes[some]
    unseen = [i for i in range(len(ids)) if not inside[:, i].any()]
    alone = np.eye(len(ids), dtype=bool)[unseen]
    sizes = np.r_[sizes, [measured[i].customers for i in unseen]]
    return np.vstack([inside, alone]), sizes, [measured[i].name for i in unseen]


@dataclass(frozen=True, eq=False)
class _Once:
    """Value of sets of programmes, each customer counted once; ``each``: gain per customer reached (programmes x
    draws)."""

    where: np.ndarray
    sizes: np.ndarray
    each: np.ndarray
    cost: np.ndarray

    def halves(self) -> tuple[_Once, _Once]:
        """Return two independent versions, each as precise as half of the customers: to choose by, and to value by.

        What was chosen because it looked best is overrated by the numbers it was chosen by. The deviation of one
        resample of the folds is added in one half and subtracted in the other, so that the errors of both are unrelated
        (Rasines & Young 2023, Splitting strategies for post-selection inference, Biometrika 110).
        """
        value, apart = self.each[:, :1], self.each[:, 1:2] - self.each[:, :1]
        spread = math.sqrt(2) * (self.each - value)
        return tuple(replace(self, each=value + sign * apart + spread) for sign in (1, -1))

    def of(self, chosen: list[int]) -> np.ndarray:
        """Return the net present value of a set of programmes in every draw."""
        total = np.zeros(self.each.shape[1])
        if not chosen:
            return total
        # A customer brings the gain of the best programme that reached it. "Best" is as observed: chance
        # must not pick another winner in every draw.
        order = sorted(chosen, key=lambda i: -self.each[i, 0])
        open_ = np.ones(len(self.sizes), dtype=bool)
        for i in order:
            mine = open_ & self.where[:, i]
            total += self.sizes[mine].sum() * self.each[i]
            open_ &= ~mine
        return total - self.cost[chosen].sum()

    def observed(self, chosen: list[int]) -> float:
        """Return the net present value of a set as observed."""
        return float(replace(self, each=self.each[:, :1]).of(chosen)[0])

    def best(self, budget: float) -> list[int]:
        """Return the set within the budget of the highest value, of the MOST best ones; empty if none has any."""
        best_first = sorted(range(len(self.cost)), key=lambda i: -self.observed([i]))[:MOST]
        sets = [sorted(s) for k in range(len(best_first) + 1) for s in combinations(best_first, k)]
        return max((s for s in sets if self.cost[s].sum() <= budget), key=self.observed)


def _added(worth: _Once, measured: list[Candidate], inside: set[str]) -> dict[str, float]:
    """Return what each programme adds to those in the budget above it, or to all of them if it is not in the budget."""
    all_of = [i for i, c in enumerate(measured) if c.name in inside]
    found = {}
    for i, c in enumerate(measured):
        above = [k for k in all_of if k < i] if c.name in inside else all_of
        found[c.name] = worth.observed(sorted([*above, i])) - worth.observed(above)
    return found


def _shared(company: Company, where: np.ndarray, sizes: np.ndarray) -> tuple[list[float], int]:
    """Return how many customers of each programme one above it also reached, and how many overlaps are too small to
    show."""
    found, hidden, least = [], 0, company.settings.privacy.minimum_base
    for i in range(where.shape[1]):
        both = float(sizes[where[:, i] & where[:, :i].any(1)].sum())
        small = 0 < both < least
        hidden += small
        found.append(math.nan if small else both)
    return found, hidden


# ---- the cost of a known failure -------------------------------------------------------------------------------------


def cost_of_failure(company: Company, window_months: int = 12, within_days: int = 90) -> Finding:
    """Answer: what do customers who left after a contact cost, by the topic of the contact?

    Customers lost x what each paid in a year x the share due to the failure: none, the excess over similar customers,
    all. Excess: those who left by choice on days 1 to ``within_days`` after a contact on the topic, minus those
    expected at the rate of the other days of customers of the same first segment and stage, in the last
    ``window_months``; 0 at least. Without topics (or with too few leavers after each) by left_reason, where only none
    and all are known. value, low, high: the excess (a year's margin or revenue); lost, expected: customers; nothing,
    everything: the same money at shares 0 and 1.
    """
    found = _by_topic(company, window_months, within_days)
    if found.answered or not company.has("customers", "left_reason"):
        return found
    return _by_reason(company, window_months)


def _name(*_: object, **__: object) -> str:
    return "cost-of-failure"


def _require(company: Company) -> None:
    """Raise Unanswered where leaving is not seen or has no price."""
    customer_base.require_leavers(company)
    if not (company.has("customers", "monthly_revenue") or company.has("orders")):
        raise Unanswered("no-value")
    money_of(company)


def _since(company: Company, months: int) -> date:
    return (pd.Timestamp(company.as_of) - pd.DateOffset(months=months)).date()


def _kept(company: Company) -> float:
    """Return the part of what was paid that is value; the margin of orders is that already."""
    by_orders = not company.has("customers", "monthly_revenue") and company.has("orders", "margin")
    return 1.0 if by_orders and company.settings.money.value_is == "margin" else share_kept(company)


@finding("failure-by-topic", named=_name)
def _by_topic(company: Company, window_months: int, within_days: int) -> Answer:
    """Work out the excess of leavers after contacts on each topic, in a year's value."""
    customer_base.require_leavers(company)
    if not company.has("contacts", "topic"):
        raise Unanswered("no-topics")
    _require(company)
    since, weights, least = _since(company, window_months), resamples(company), company.settings.privacy.minimum_base
    keys = ["stratum", people.STAGE]
    after = planned_reach.after_contact(company, since, within_days)
    after = after[after["topic"] != people.NONE]
    cells, all_of = draws.resample(planned_reach.at_risk(company, since), "fold", ["days", "lost"], keys, weights)
    place = pd.MultiIndex.from_frame(cells)
    shown, small = [], 0
    for topic, part in after.groupby("topic", observed=True):
        if part["lost"].sum() < least:
            small += 1
            continue
        mine, sums = draws.resample(part, "fold", ["days", "lost", "paid"], keys, weights)
        days, lost, paid = np.moveaxis(sums, 2, 0)
        others = all_of[:, place.get_indexer(pd.MultiIndex.from_frame(mine))] - sums[:, :, :2]
        # A cell in which nobody is left to compare with has no rate: its leavers count as expected.
        there = others[:, :, 0] > 0
        rate = np.divide(others[:, :, 1], others[:, :, 0], out=np.zeros_like(lost), where=there)
        expected = np.where(there, rate * days, lost).sum(1)
        gone, worth = lost.sum(1), _kept(company) * paid.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold none of them
            share = 1 - expected / gone
        excess = draws.estimate(share[0] * worth[0], (share * worth)[1:], float(gone[0]))
        floored = Estimate(*(max(v, 0.0) for v in (excess.value, excess.low, excess.high)), excess.se, excess.n)
        shown.append({"topic": str(topic), "estimate": floored, "lost": float(gone[0]), "expected": float(expected[0]),
                      "nothing": 0.0, "everything": float(worth[0])})  # fmt: skip
    if not shown:
        raise Unanswered("few-after-topics", within=within_days)
    shown.sort(key=lambda r: (-r["estimate"].value, -r["everything"]))
    top = shown[0]
    return answer(
        "adjusted", table(shown, ["topic"]), _figures(company, "failure-by-topic", shown),
        topic=top["topic"], excess=top["estimate"], lost=top["lost"], expected=top["expected"],
        everything=top["everything"], detected=top["estimate"].low > 0, topics=len(shown), window=window_months,
        within=within_days, alike=people.segments(company)[:1], small=small, undated=customer_base.undated(company),
        **_valued(company),
    )  # fmt: skip


def _figures(company: Company, section: str, shown: list[dict]) -> list[Figure]:
    """Return a figure for each topic or reason."""
    unit = f"{company.settings.currency} a year"
    figures = []
    for r in shown:
        note = "" if math.isfinite(r["estimate"].low) else words.say(__file__, section, "alike_note")
        label = words.say(__file__, section, "figure", topic=r["topic"])
        figures.append(Figure(slug("failure", r["topic"]), label, r["estimate"], unit, "customers lost", note=note))
    return figures


def _valued(company: Company) -> dict[str, bool]:
    """Return the facts that say what a year's value is."""
    by_fees = company.has("customers", "monthly_revenue")
    return {"revenue": company.settings.money.value_is == "revenue", "by_fees": by_fees}


@finding("failure-by-reason", named=_name)
def _by_reason(company: Company, window_months: int) -> Answer:
    """Add up a year's value of those who left by choice, by the reason they gave."""
    _require(company)
    least = company.settings.privacy.minimum_base
    counted = planned_reach.reasons(company, _since(company, window_months))
    total = counted.groupby("reason", observed=True)["lost"].sum()
    enough = [r for r in total.index if total[r] >= least and r != people.NONE]
    if not enough:
        raise Unanswered("few-reasons")
    shown = []
    for reason in enough:
        mine = counted[counted["reason"] == reason]
        __, sums = draws.resample(mine, "fold", ["lost", "paid"], [], resamples(company))
        worth, n = _kept(company) * sums[:, 0, 1], float(sums[0, 0, 0])
        shown.append({"topic": str(reason), "estimate": draws.estimate(worth[0], worth[1:], n, low=0), "lost": n,
                      "expected": math.nan, "nothing": 0.0, "everything": float(worth[0])})  # fmt: skip
    shown.sort(key=lambda r: -r["everything"])
    top, silent = shown[0], int(total.get(people.NONE, 0))
    few = int((total[[r for r in total.index if r not in enough and r != people.NONE]] > 0).sum())
    return answer(
        "count", table(shown, ["topic"]), _figures(company, "failure-by-reason", shown),
        reason=top["topic"], value=top["estimate"], lost=top["lost"], window=window_months,
        topics=company.has("contacts", "topic"), few=few, silent=silent if silent >= least else 0,
        silent_share=silent / total.sum(), **_valued(company),
    )  # fmt: skip
