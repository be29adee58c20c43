"""How the effect of a programme is known: the comparison behind it, the checks made, and the outcomes it moved."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pandas as pd

from cxlib.counts.programmes import Programme
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.roi.cash_flows import Paths
from cxlib.stats.estimate import Estimate

RANDOMISED, STAGGERED, HOLDOUT, MATCHED = "randomised", "staggered rollout", "holdout", "matched"
BEFORE_AND_AFTER, NOT_IDENTIFIED = "before/after", "not identified"
# Best design first; the last two give no effect.
DESIGNS = (RANDOMISED, STAGGERED, HOLDOUT, MATCHED, BEFORE_AND_AFTER, NOT_IDENTIFIED)
LESS_IS_BETTER = ("churn", "contacts")
DETECTED = 2.8  # standard errors: a violation of so many is found with a chance of 80 % at the usual 5 %


@dataclass(frozen=True)
class Check:
    """A check that could have spoken against an effect. ``passed`` is None where it was not made.

    ``said``: what was seen, a sentence or two; ``should``: what had to hold. ``estimate`` and ``p`` are of what should
    show nothing, ``facts`` are the numbers and names behind the words.
    """

    name: str
    passed: bool | None
    said: str
    should: str = ""
    estimate: Estimate | None = None
    p: float = math.nan
    facts: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def smallest(self) -> float:
        """Return the smallest violation that would have been found with a chance of 80 %."""
        return math.nan if self.estimate is None else DETECTED * self.estimate.se

    @property
    def verdict(self) -> str:
        """Return the result in a word or two."""
        return {True: "passed", False: "failed", None: "not made"}[self.passed]


@dataclass(frozen=True)
class Outcome:
    """An outcome of a programme. ``level``: without it; ``change``: with it minus without it, in ``unit``.

    ``relative``: change / level. ``kind`` is churn, contacts, orders, order_value, upsell or a metric.
    """

    kind: str
    label: str
    unit: str
    level: Estimate
    change: Estimate
    relative: Estimate

    @property
    def sign(self) -> int:
        """Return -1 where less is better, else 1."""
        return -1 if self.kind in LESS_IS_BETTER else 1


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of the effect of one programme over ``months``; without ``paths``, nothing.

    ``known``: randomised, comparison, adjusted or observed. ``why``: the comparison made, or why there is none; it
    starts with a small letter and has no final full stop. ``remedy``: what would have made the effect known, as
    sentences. ``facts``: the numbers and names in ``why``.
    ``effect``: money per customer reached, over ``months`` since being reached. ``paths``: cash flows by month since
    the programme began, as long as it is paid; for a staggered rollout longer than ``months``, until the last step has
    had its months. ``events``: event_time, value, low, high, n of the difference in money per customer and month;
    months before the start are placebos. ``before``: the change in those reached, where nobody can be compared.
    ``both``: customers listed in both arms, who are left out. ``money_known``: how the effect on money is known, where
    that differs ("": as the outcome).
    """

    programme: Programme
    design: str
    known: str
    why: str
    remedy: str = ""
    months: int = 0
    effect: Estimate | None = None
    paths: Paths | None = None
    outcomes: Mapping[str, Outcome] = field(default_factory=lambda: MappingProxyType({}))
    events: pd.DataFrame = field(default_factory=pd.DataFrame)
    checks: tuple[Check, ...] = ()
    before: pd.DataFrame = field(default_factory=pd.DataFrame)
    both: int = 0
    money_known: str = ""
    facts: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def measured(self) -> bool:
        """Tell whether treated customers were compared with others at all, so that there is a difference to report."""
        return self.paths is not None


def check(
    company: Company,
    name: str,
    passed: bool | None,
    estimate: Estimate | None = None,
    p: float = math.nan,
    **facts: object,
) -> Check:
    """Return a check in words; ``facts`` are what its section of ``evidence.en.toml`` asks for."""
    told = facts | {"passed": passed, "estimate": estimate, "p": p, "currency": company.settings.currency or ""}
    told["smallest"] = math.nan if estimate is None else DETECTED * estimate.se
    said, should = (words.say(__file__, name, part, **told) for part in ("seen", "should"))
    return Check(name, passed, said, should, estimate, p, MappingProxyType(facts))


def earned(checks: Iterable[Check], best: str, needed: Collection[str], less: str) -> str:
    """Return how an effect is known: ``best`` only where no check failed and one of those ``needed`` was passed.

    Observed where one failed; ``less`` where none of those needed was made: no check made is no check passed.
    """
    if any(c.passed is False for c in checks):
        return "observed"
    return best if any(c.passed and c.name in needed for c in checks) else less


def reasons(name: str, **facts: object) -> dict[str, object]:
    """Return why, remedy and facts of an ``Evidence``: of a design, or of a reason that there is none."""
    why, remedy = (words.say(__file__, name, part, **facts) for part in ("why", "remedy"))
    return {"why": why, "remedy": remedy, "facts": MappingProxyType(facts)}


def refused(p: Programme, design: str, reason: str, **facts: object) -> Evidence:
    """Return that nothing is known of the effect of a programme, and why."""
    return Evidence(p, design, "observed", **reasons(reason, **facts))
