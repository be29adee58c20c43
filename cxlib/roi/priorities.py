"""06_roi: which programme next, and what does a known failure cost?

A customer whom several programmes reached brings what the best of them brings, once: their effects are known one at a time
only, and adding them up would count the same customer's money several times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations

import numpy as np
import pandas as pd

from cxlib.churn import retention
from cxlib.churn.retention import slug
from cxlib.counts import customer_base, people, planned_reach
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, interval, listing, money, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.stats import draws
from cxlib.stats.estimate import Estimate
from cxlib.page.valuation import share_kept

MOST = 12  # candidates of which every set is tried
MEASURED, SCENARIO = "measured", "scenario"
SPREAD_SEED = 1  # of the draws made for an estimate that comes without any

# What the tables of the page show, by the heading a reader sees.
RANKED = {"initiative": "Initiative", "known": "Known from", "grade": "Grade", "cost": "Cost", "n": "Customers",
          "value": "Net present value", "low": "Low", "high": "High", "per_cost": "Per unit of cost", "chosen": "In the budget",
          "once": "Counted once"}  # fmt: skip
FAILURES = {"topic": "Contact about", "lost": "Left", "expected": "Would have left anyway", "nothing": "If none is due to it",
            "value": "What exceeds like customers", "low": "Low", "high": "High", "everything": "If all is due to it"}  # fmt: skip


# ---- which one next --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Candidate:
    """A programme that money could go to. ``cost``: all of it, in today's money.

    ``gain``: benefit per customer in today's money, before the cost: draws (1 + draws, row 0 as observed) or an Estimate, then
    spread independently of the others. ``scenario``: a planned one, known from no comparison; ``groups``: drawn independently.
    """

    name: str
    initiative_id: str
    cost: float
    gain: np.ndarray | Estimate
    customers: float
    grade: str
    scenario: bool = False
    groups: float = 256


def ranked(company: Company, candidates: list[Candidate], budget: float = 0.0) -> Finding:
    """Answer: which programmes first? By net present value per unit of cost, under a budget (0: none), customers counted once.

    Measured programmes come first: of every set of them within the budget (above MOST candidates: one after the other, the best
    first) the one is taken whose customers bring most, each once. Planned ones are ranked below and take what is left of the
    budget, as their worth is a scenario and whom they would reach is not known.

    value, low, high: net present value alone; shared: its customers reached by one above it in the table; once: what it adds to
    those in the budget above it (to all of them, if it is not in it itself). InputError for a bad cost, budget or number of
    customers.
    """
    name, title = "priorities", "Which programme first: net present value for each unit of cost"
    if company.settings.money is None:
        return unanswered(name, title, NO_MONEY)
    _check(candidates, budget)
    if not candidates:
        return unanswered(
            name, title, "no programme has an effect that is known, and none is planned with one expected."
        )
    rows = company.settings.draws + 1
    benefit = {c.name: c.customers * _drawn(c, rows, i) for i, c in enumerate(candidates)}
    net = {c.name: benefit[c.name][0] - c.cost for c in candidates}
    first = sorted(candidates, key=lambda c: (c.scenario, -net[c.name] / c.cost))
    measured, planned = [c for c in first if not c.scenario], [c for c in first if c.scenario]
    where, sizes, unrecorded = _reached(company, measured)
    each = np.array([benefit[c.name] / max(n, 1) for c, n in zip(measured, where.T @ sizes, strict=True)])
    worth = _Once(where, sizes, each.reshape(len(measured), rows), np.array([c.cost for c in measured]))
    chosen = [measured[i] for i in worth.best(budget or math.inf)]
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
            {"rank": i + 1, "initiative": c.name, "known": SCENARIO if c.scenario else MEASURED, "grade": c.grade, "cost": c.cost,
             "estimate": e, "shared": math.nan if c.scenario else shared[i], "per_cost": e.value / c.cost,
             "chosen": "yes" if c.name in inside else "no", "once": once[c.name]}
        )  # fmt: skip
    total = worth.of([i for i, c in enumerate(measured) if c.name in inside])
    taken = [c for c in measured if c.name in inside]
    fewest = min((c.groups for c in taken), default=256)
    e = draws.estimate(total[0], total[1:], float(sum(c.customers for c in taken)) or math.nan, groups=fewest)
    text, figures = _said(company, first, chosen, budget, e, net), []
    if math.isfinite(e.low):
        label = "Net present value of the measured programmes in the budget, customers counted once"
        figures.append(Figure("priorities-npv", label, e, company.settings.currency or ""))
    caveats = _caveats(measured, planned, unrecorded, hidden, worth, net)
    grade = max((c.grade for c in chosen or first), default="D")
    keys = ["rank", "initiative", "known", "grade", "cost"]
    return Finding(name, title, text, grade, table(shown, keys), tuple(figures), tuple(caveats))


def _check(candidates: list[Candidate], budget: float) -> None:
    """Refuse what cannot be ranked."""
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
    """Return the net present value of a candidate alone; an Estimate keeps the interval it came with."""
    if isinstance(c.gain, Estimate):
        ends = (c.customers * v - c.cost for v in (c.gain.value, c.gain.low, c.gain.high))
        return Estimate(*ends, n=c.customers)
    return draws.estimate(benefit[0] - c.cost, benefit[1:] - c.cost, c.customers, groups=c.groups)


def _reached(company: Company, measured: list[Candidate]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the sets in which customers were reached (sets x candidates, true or false), their sizes, and who has no rows.

    A programme without rows of exposures has a set of its own, of its customers.
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
    """What sets of programmes bring when each customer counts once: ``each`` is the gain per customer reached (programmes x draws)."""

    where: np.ndarray
    sizes: np.ndarray
    each: np.ndarray
    cost: np.ndarray

    def of(self, chosen: list[int]) -> np.ndarray:
        """Return the net present value of a set of programmes in every draw."""
        total = np.zeros(self.each.shape[1])
        if not chosen:
            return total
        # A customer brings what the best of the programmes that reached it brings; "best" as observed, so that chance does not
        # pick another winner in every draw.
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
        """Return the set within the budget that brings most, none if none brings anything."""
        every = range(len(self.cost))
        if len(self.cost) > MOST:
            return self._greedy(budget)
        sets = [list(s) for k in range(len(self.cost) + 1) for s in combinations(every, k)]
        affordable = [s for s in sets if self.cost[s].sum() <= budget]
        return max(affordable, key=self.observed)

    def _greedy(self, budget: float) -> list[int]:
        """Take one after the other the programme that adds most for its cost, as long as one adds anything."""
        chosen: list[int] = []
        while True:
            before, spent = self.observed(chosen), self.cost[chosen].sum()
            able = [i for i in range(len(self.cost)) if i not in chosen and spent + self.cost[i] <= budget]
            adds = {i: self.observed([*chosen, i]) - before for i in able}
            best = max(adds, key=lambda i: adds[i] / self.cost[i], default=None)
            if best is None or adds[best] <= 0:
                return sorted(chosen)
            chosen.append(best)


def _added(worth: _Once, measured: list[Candidate], inside: set[str]) -> dict[str, float]:
    """Return what each programme adds to those in the budget above it, or to all of them if it is not among them."""
    all_of = [i for i, c in enumerate(measured) if c.name in inside]
    found = {}
    for i, c in enumerate(measured):
        above = [k for k in all_of if k < i] if c.name in inside else all_of
        found[c.name] = worth.observed(sorted([*above, i])) - worth.observed(above)
    return found


def _shared(company: Company, where: np.ndarray, sizes: np.ndarray) -> tuple[list[float], int]:
    """Return how many customers of each programme one above it reached too, and how many such numbers are too small to show."""
    found, hidden, least = [], 0, company.settings.privacy.minimum_base
    for i in range(where.shape[1]):
        both = float(sizes[where[:, i] & where[:, :i].any(1)].sum())
        small = 0 < both < least
        hidden += small
        found.append(math.nan if small else both)
    return found, hidden


def _said(
    company: Company,
    first: list[Candidate],
    chosen: list[Candidate],
    budget: float,
    total: Estimate,
    net: dict[str, float],
) -> str:
    write = lambda v: money(v, company.settings.currency or "")  # noqa: E731
    limit = f"Within a budget of {write(budget)}" if budget else "Without a limit on the budget"
    measured, planned = ([c for c in chosen if c.scenario is s] for s in (False, True))
    if not chosen:
        best = first[0]
        return (
            f"{limit} no programme should come next: none that fits brings more than it costs (first in the table: {best.name}, "
            f"{write(net[best.name])})."
        )
    text = ""
    if measured:
        text = (
            f"{limit} {listing(c.name for c in measured)} should come first: together {interval(total, write)} net of a cost of "
            f"{write(sum(c.cost for c in measured))}, in today's money, each customer counted once."
        )
    if planned:
        text += (
            f"{' ' if text else f'{limit} no measured programme brings more than it costs. '}Scenario, not a result: "
        )
        text += listing(f"{c.name} would bring {write(net[c.name])}" for c in planned) + "."
    return text


def _caveats(
    measured: list[Candidate],
    planned: list[Candidate],
    unrecorded: list[str],
    hidden: int,
    worth: _Once,
    net: dict[str, float],
) -> list[str]:
    said = ["A customer reached by several brings what the best of them brings, once: that they add up is not known."]
    plain = sum(net[c.name] for c in measured)
    together = worth.observed(list(range(len(measured))))
    if measured and abs(plain - together) > 0.005 * max(abs(plain), abs(together)):
        said.append(
            f"Added up, the measured programmes would show {number(plain, 0)}; each customer counted once it is {number(together, 0)}."
        )
    if len(measured) > MOST:
        said.append(
            f"With more than {MOST} programmes not every set is tried: they are taken one after the other, the best first."
        )
    if planned:
        said.append(
            "Planned programmes are scenarios and ranked below: whom they would reach is not known, so neither is how many of these "
            "customers others reach already."
        )
    if unrecorded:
        said.append(
            f"Whom {listing(unrecorded)} reached is not recorded; its customers are taken to be reached by no other."
        )
    if hidden:
        said.append(f"{hidden} overlaps of few customers are not shown.")
    if any(c.grade in "CD" for c in measured):
        said.append("Programmes of grade C or D stand in the same list, but their worth is no effect told from chance.")
    said.append(
        "What a programme brought is taken to come again at the same cost; the next customers may differ from the first."
    )
    return said


# ---- the cost of a known failure -------------------------------------------------------------------------------------


def cost_of_failure(company: Company, window_months: int = 12, within_days: int = 90) -> Finding:
    """Answer: what do customers who left after a contact cost, by what the contact was about?

    Lost customers x what each paid in a year x the share put down to the failure: none, what exceeds like customers, all. What
    exceeds: those who left by choice on days 1 to ``within_days`` after a contact on the topic, less those who would have at
    the rate of the other days of customers of the same first segment and stage, in the last ``window_months``; 0 at least.
    Without topics by left_reason, where only none and all can be told. value, low, high: what exceeds (a year's margin or
    revenue); lost, expected: customers; nothing, everything: the same money at shares 0 and 1.
    """
    name, title = "cost-of-failure", "A year's value of the customers who left after a contact"
    if company.settings.money is None:
        return unanswered(name, title, NO_MONEY)
    if why := retention.why_not(company):
        return unanswered(name, title, why)
    if not (company.has("customers", "monthly_revenue") or company.has("orders")):
        return unanswered(
            name, title, "customers has no monthly_revenue and there is no orders table, so nobody has a value."
        )
    since = (pd.Timestamp(company.as_of) - pd.DateOffset(months=window_months)).date()
    by_reason, found, why = company.has("customers", "left_reason"), None, "There are no contacts with a topic"
    if company.has("contacts", "topic"):
        found = _by_topic(company, since, window_months, within_days, name, title)
        least = company.settings.privacy.minimum_base
        why = f"After contacts about no topic did {least} customers leave"
    if found and (found.answered or not by_reason):
        return found
    if by_reason:
        return _by_reason(company, since, window_months, name, why)
    return unanswered(name, title, "contacts has no topic and customers no left_reason, so no failure is known.")


def _kept(company: Company) -> float:
    """Return the part of what was paid that is value; the margin of orders is that already."""
    by_orders = not company.has("customers", "monthly_revenue") and company.has("orders", "margin")
    return 1.0 if by_orders and company.settings.money.value_is == "margin" else share_kept(company)


def _by_topic(company: Company, since: date, window_months: int, within_days: int, name: str, title: str) -> Finding:
    weights, least, keys = resamples(company), company.settings.privacy.minimum_base, ["stratum", people.STAGE]
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
        # A cell in which nobody is left to compare with has no rate: its leavers stand as expected.
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
        return unanswered(
            name, title, f"after no topic did {least} customers leave by choice within {within_days} days."
        )
    shown.sort(key=lambda r: (-r["estimate"].value, -r["everything"]))
    write, top = (lambda v: money(v, company.settings.currency or "")), shown[0]
    text = (
        f"In the last {window_months} months {top['lost']:,.0f} customers left by choice within {within_days} days of a contact about "
        f"{top['topic']}; they brought {write(top['everything'])} a year. "
    )
    told = top["estimate"]
    if told.low > 0:
        text += (
            f"Of it {interval(told, write)} goes with such a contact: so much more was lost than at the rate of like customers without one "
            f"({number(top['expected'])} would have left). It is the most of {_topics(len(shown))}."
        )
    else:
        text += f"Lost beyond the rate of like customers without one: {interval(told, write)}, which may be chance. "
        text += f"It is the most of {_topics(len(shown))}."
    label = lambda r: f"A year's value lost after contacts about {r['topic']}, beyond like customers"  # noqa: E731
    figures = tuple(
        Figure(slug("failure", r["topic"]), label(r), r["estimate"], f"{company.settings.currency} a year", "customers lost",
               note="" if math.isfinite(r["estimate"].low) else "the resamples do not differ") for r in shown
    )  # fmt: skip
    alike = listing([*people.segments(company)[:1], "stage of being a customer"])
    caveats = [
        f"Share put down to the failure: none (0), what exceeds customers of the same {alike} on days without such a contact, or all. The "
        "middle one goes with the contact and need not be its doing: who is about to leave may call more often.",
        "The day of the contact itself does not count. Somebody who called about several topics stands under each, so topics are not "
        "added up.",
        _valued(company),
    ]  # fmt: skip
    if small:
        caveats.append(f"Not shown: {_topics(small)} after which fewer than {least} customers left.")
    if undated := customer_base.undated(company):
        caveats.append(f"{undated:,} customers of whom it is not known when they joined are left out.")
    return Finding(name, title, text, "C", table(shown, ["topic"]), figures, tuple(caveats))


def _topics(n: int) -> str:
    return "1 topic" if n == 1 else f"{n} topics"


def _valued(company: Company) -> str:
    paid = "12 monthly fees" if company.has("customers", "monthly_revenue") else "the orders of the year before leaving"
    what = "revenue" if company.settings.money.value_is == "revenue" else "margin"
    return f"A year's value is the {what} of {paid}, before any cost of serving and not discounted; nobody stays for certain."


def _by_reason(company: Company, since: date, window_months: int, name: str, why: str) -> Finding:
    title, least = "A year's value of the customers who left, by their reason", company.settings.privacy.minimum_base
    counted = planned_reach.reasons(company, since)
    total = counted.groupby("reason", observed=True)["lost"].sum()
    enough = [r for r in total.index if total[r] >= least and r != people.NONE]
    if not enough:
        return unanswered(name, title, f"no reason was given by {least} customers who left by choice.")
    shown = []
    for reason in enough:
        __, sums = draws.resample(
            counted[counted["reason"] == reason], "fold", ["lost", "paid"], [], resamples(company)
        )
        worth, n = _kept(company) * sums[:, 0, 1], float(sums[0, 0, 0])
        shown.append({"topic": str(reason), "estimate": draws.estimate(worth[0], worth[1:], n, low=0), "lost": n,
                      "expected": math.nan, "nothing": 0.0, "everything": float(worth[0])})  # fmt: skip
    shown.sort(key=lambda r: -r["everything"])
    write, top = (lambda v: money(v, company.settings.currency or "")), shown[0]
    text = (
        f"In the last {window_months} months {top['lost']:,.0f} customers left by choice and gave {top['topic']} as the reason; they "
        f"brought {interval(top['estimate'], write)} a year. Between none of it and all of it is due to that reason: how much cannot be "
        "told from what people say."
    )
    figures = tuple(
        Figure(slug("failure", r["topic"]), f"A year's value of those who left for: {r['topic']}", r["estimate"],
               f"{company.settings.currency} a year", "customers lost",
               note="" if math.isfinite(r["estimate"].low) else "the resamples do not differ") for r in shown
    )  # fmt: skip
    caveats = [
        f"{why}, so reasons given on leaving stand in for failures, and value, low and high are all that was lost: there are no like "
        "customers without the reason to compare with.",
        _valued(company),
    ]
    few = int((total[[r for r in total.index if r not in enough and r != people.NONE]] > 0).sum())
    silent = int(total.get(people.NONE, 0))
    if few:
        caveats.append(f"Not shown: {few} reasons of fewer than {least} customers.")
    if silent >= least:
        caveats.append(f"{silent:,} gave no reason ({percent(silent / total.sum(), 0)}).")
    return Finding(name, title, text, "D", table(shown, ["topic"]), figures, tuple(caveats))
