"""The outcome statement of a programme: what was changed, by how much an outcome differed, and the target met or not.

"We changed X, which resulted in Y % less of Z over P, worth V" is said only where a comparison identifies the effect
and the effect is clear. The words are in ``returns.en.toml``; this module holds the numbers and the verdict.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from cxlib.page.findings import EFFECTS
from cxlib.page.numbers import VERBS
from cxlib.roi.evidence import DESIGNS, LESS_IS_BETTER, Evidence, Outcome
from cxlib.stats.estimate import UNKNOWN, Estimate

SUPPORTED, INCONCLUSIVE, NOT_SUPPORTED, CANNOT_TELL = "supported", "inconclusive", "not supported", "cannot tell"


@dataclass(frozen=True)
class Statement:
    """What may be said of one outcome of one programme.

    ``known``: randomised, comparison, adjusted or observed. ``months``: over which it was judged; ``so_far``: more were
    declared. ``customers``: reached (NaN if not known). ``level``: the outcome without the programme; ``change``: with
    it minus without it, in ``unit`` ("share": 0-1); ``relative``: change / level, NaN where the level may be 0 or
    below. ``sign``: -1 where less is better. ``smallest``: the target, the least improvement worth the effort, declared
    beforehand as ``smallest_is`` (relative or points), NaN without one. ``worth``: of all customers reached over
    ``paid`` months, before the cost of the programme; ``value_is``: margin or revenue. ``failed``: names of the checks
    that failed.
    """

    verdict: str
    known: str
    design: str
    initiative: str
    changed: str
    outcome: str
    label: str
    unit: str
    sign: int
    months: int
    so_far: bool
    customers: float
    level: Estimate
    change: Estimate
    relative: Estimate
    smallest: float
    smallest_is: str
    worth: Estimate | None
    value_is: str | None
    convention: str | None
    discount_rate: float | None
    currency: str | None
    why: str = ""
    remedy: str = ""
    failed: str = ""
    paid: int = 0

    @property
    def counted(self) -> bool:
        """Tell whether the outcome could be counted with and without the programme."""
        return not math.isnan(self.change.value)

    @property
    def clear(self) -> bool:
        """Tell whether the difference is beyond chance."""
        return self.change.excludes(0)

    @property
    def way(self) -> int:
        """Return the direction of the change: -1 for less, 1 for more."""
        return -1 if self.change.value < 0 or (self.change.value == 0 and self.sign < 0) else 1

    def record(self) -> dict[str, object]:
        """Return every field as plain JSON values, estimates as nested records; what is not known is None."""
        return _plain(asdict(self))


def verdict(change: Estimate, smallest: float, known: str, sign: int) -> str:
    """Return whether the improvement meets the target: supported, inconclusive, not supported or cannot tell.

    ``change``: with the programme minus without it, relative or in points as ``smallest`` is. ``smallest``: the target,
    0 or more (NaN: none declared, any improvement will do). ``sign``: -1 where less is better. Supported: the whole
    interval is at or above the target and above 0. Not supported: all of it is below the target. A link identifies no
    effect, so it says nothing of a target. ValueError for a way of knowing, target or sign that does not exist.
    """
    if known not in VERBS:
        raise ValueError(f"known {known!r} is none of {', '.join(VERBS)}")
    if sign not in (-1, 1):
        raise ValueError(f"sign must be 1, or -1 where less is better, not {sign!r}.")
    line = 0.0 if math.isnan(smallest) else float(smallest)
    if line < 0:
        raise ValueError(f"The smallest effect is an improvement, 0 or more, not {smallest}; sign gives the direction.")
    if known not in EFFECTS:
        return CANNOT_TELL
    better = towards(change, sign)
    if better.low >= line and better.low > 0:
        return SUPPORTED
    return NOT_SUPPORTED if better.high < line else INCONCLUSIVE


def state(
    evidence: Evidence,
    outcome: Outcome | None,
    worth: Estimate | None,
    *,
    value_is: str | None,
    currency: str | None,
    convention: str | None,
    discount_rate: float | None,
) -> Statement:
    """Return the outcome statement of one programme and one of its outcomes (None: there is none to report).

    ``worth``: the whole gain between both paths, the same for each outcome and never to be added up over them: of all
    customers reached, over the months of the evidence, before the cost of the programme, in ``currency``, as
    ``value_is`` ("margin" or "revenue"), discounted at ``discount_rate`` a year ("effective" or "nominal" by
    ``convention``). None where no money is known. The target is the smallest effect declared for this outcome.

    ValueError for a design that gives no effect but claims one, months below 1, and contradicting signs of level,
    change and relative change.
    """
    _check(evidence, outcome)
    programme, known, paths = evidence.programme, evidence.known, evidence.paths
    so_far = evidence.months < programme.effect_months
    about = dict(
        known=known, design=evidence.design, initiative=programme.id, changed=programme.changed, months=evidence.months,
        so_far=so_far, customers=float(paths.customers) if paths else math.nan, worth=worth, value_is=value_is,
        convention=convention, discount_rate=discount_rate, currency=currency, why=evidence.why, remedy=evidence.remedy,
        failed=", ".join(c.name for c in evidence.checks if c.passed is False), paid=paths.months if paths else 0,
    )  # fmt: skip
    if outcome is None or math.isnan(outcome.change.value):
        kind, label = (outcome.kind, outcome.label) if outcome else (programme.outcome, programme.outcome)
        return Statement(
            CANNOT_TELL, outcome=kind, label=label, unit="", sign=-1 if kind in LESS_IS_BETTER else 1, level=UNKNOWN,
            change=UNKNOWN, relative=UNKNOWN, smallest=programme.smallest_effect, smallest_is=programme.effect_is,
            **about,
        )  # fmt: skip
    declared = programme.outcome == outcome.kind and programme.smallest_effect > 0
    smallest, smallest_is = (programme.smallest_effect, programme.effect_is) if declared else (math.nan, "")
    relative = outcome.relative if _has_percentage(outcome) else UNKNOWN
    judged = verdict(relative if smallest_is == "relative" else outcome.change, smallest, known, outcome.sign)
    # Looking every month until an effect shows always finds one in the end. And the intervals of change and relative
    # change are drawn separately: at the edge one can include 0 and the other not, and then the wider one decides.
    if known in EFFECTS and (so_far or (judged == SUPPORTED and not outcome.change.excludes(0))):
        judged = INCONCLUSIVE
    return Statement(
        judged, outcome=outcome.kind, label=outcome.label, unit=outcome.unit, sign=outcome.sign, level=outcome.level,
        change=outcome.change, relative=relative, smallest=smallest, smallest_is=smallest_is, **about,
    )  # fmt: skip


def towards(e: Estimate, way: int) -> Estimate:
    """Return an estimate as it counts in one direction: itself, or its negative with the ends in order."""
    return e if way > 0 else Estimate(-e.value, -e.high, -e.low, e.se, e.n, e.p)


def _has_percentage(outcome: Outcome) -> bool:
    """Tell whether a relative change means anything: a level that may be 0 or below (NPS) has none."""
    return math.isfinite(outcome.relative.value) and outcome.level.value > 0 and not outcome.level.low <= 0


def _plain(value: object) -> object:
    """Return a value with JSON types alone: NaN and infinities become None, numpy scalars Python's."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check(evidence: Evidence, outcome: Outcome | None) -> None:
    """Refuse contradictions."""
    if evidence.known not in VERBS:
        raise ValueError(f"known {evidence.known!r} is none of {', '.join(VERBS)}")
    if evidence.known in EFFECTS and evidence.design in DESIGNS[-2:]:
        raise ValueError(f"{evidence.design!r} has no comparison, so it cannot be {evidence.known}; use observed.")
    if outcome is None or math.isnan(outcome.change.value):
        return
    declared = evidence.programme.outcome == outcome.kind and evidence.programme.smallest_effect > 0
    if declared and evidence.programme.effect_is not in ("relative", "points"):
        raise ValueError("A smallest effect is relative or in points; give the programme's effect_is.")
    if evidence.months < 1:
        raise ValueError(f"An outcome is judged over 1 month or more, not {evidence.months}.")
    if _has_percentage(outcome) and outcome.relative.value * outcome.change.value < 0:
        raise ValueError(
            f"{outcome.kind}: the change is {outcome.change.value}, the relative change {outcome.relative.value} of a "
            "level above 0; their signs must agree."
        )
