"""How the effect of a programme is known: the comparison behind it, what was checked, and what it moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pandas as pd

from cxlib.counts.programmes import Programme
from cxlib.roi.cash_flows import Paths
from cxlib.stats.estimate import Estimate

NOT_IDENTIFIED, BEFORE_AND_AFTER = "not identified", "before and after"
# The best design the data allow, best first; the last two give no effect.
DESIGNS = ("randomised", "rolled out in steps", "held back", "matched", BEFORE_AND_AFTER, NOT_IDENTIFIED)
LESS_IS_BETTER = ("churn", "contacts")


@dataclass(frozen=True)
class Check:
    """Something that would have spoken against an effect. ``passed`` is None where it could not be done."""

    name: str
    passed: bool | None
    said: str

    @property
    def verdict(self) -> str:
        """Return the result in a word."""
        return {True: "passed", False: "failed", None: "not possible"}[self.passed]


@dataclass(frozen=True)
class Outcome:
    """What a programme moved. ``level``: the outcome without it; ``change``: with it less without it, in ``unit``.

    ``relative``: change / level. ``kind`` is churn, contacts, order_value, upsell or a metric.
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
    """What is known of the effect of one programme over ``months``; without ``paths`` nothing is, and ``why`` says so.

    ``remedy``: what would have made it known, or would next time. ``events``: event_time, value, low, high, n of the money
    per customer and month, months before the start being placebos. ``effect``: money per customer reached over
    ``months`` since being reached. ``paths``: by months since the programme began, as long as it is paid; of a roll-out in steps they
    are longer, until the last step has had its ``months``. ``before``: what changed in those reached, where nothing else is known.
    """

    programme: Programme
    design: str
    grade: str
    why: str
    remedy: str = ""
    months: int = 0
    effect: Estimate | None = None
    paths: Paths | None = None
    outcomes: Mapping[str, Outcome] = field(default_factory=lambda: MappingProxyType({}))
    events: pd.DataFrame = field(default_factory=pd.DataFrame)
    checks: tuple[Check, ...] = ()
    before: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def known(self) -> bool:
        """Tell whether there is an effect to speak of."""
        return self.paths is not None
