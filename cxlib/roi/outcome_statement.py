"""The outcome statement of a programme: what was changed, what came of it, how that is known and what it is worth.

"We changed X, which resulted in a Y % reduction in Z over P, worth V" is written only where a comparison identifies the
effect (grades A and B) and the effect can be told from chance. Everything else is worded as what it is: it went with it,
it did not, it cannot be told. Two bare numbers ("15 % less churn", "5,000 a year") are no statement: see ``claim``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from numbers import Real

from cxlib.errors import InputError
from cxlib.page.findings import GRADES, interval, leads_to, listing, money, number, percent
from cxlib.roi.evidence import DESIGNS, LESS_IS_BETTER, Evidence, Outcome
from cxlib.stats import finance
from cxlib.stats.estimate import Estimate

SUPPORTED, INCONCLUSIVE, NOT_SUPPORTED, CANNOT_TELL = "supported", "inconclusive", "not supported", "cannot tell"
UNKNOWN = Estimate(math.nan, math.nan, math.nan)
NO_PRICE = " No price is put on it."

# Less of it, more of it, and what it is; a score takes its own label.
_WORDS = {
    "churn": ("fewer", "more", "customers leaving"),
    "contacts": ("fewer", "more", "contacts"),
    "order_value": ("lower", "higher", "order value"),
    "upsell": ("fewer", "more", "upsells"),
}


@dataclass(frozen=True)
class Statement:
    """What may be said of one outcome of one programme, in words and as fields.

    ``months``: over which it was judged; ``so_far``: the months declared are more. ``customers``: reached (NaN if not
    known). ``level``: the outcome without the programme; ``change``: with it less without it, in ``unit`` ("share": 0-1); ``relative``: the
    same as a part of the level, NaN where the level may be 0 or below. ``sign``: -1 where less is better. ``smallest``: least
    improvement worth having, declared beforehand as ``smallest_is`` (relative or points), NaN without one. ``worth``: of all
    customers reached over ``paid`` months, before the cost of the programme; ``value_is``: margin or revenue.
    """

    sentence: str
    verdict: str
    grade: str
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
    paid: int = 0

    def record(self) -> dict[str, object]:
        """Return every field as plain JSON values, estimates as nested records; what is not known is None."""
        return _plain(asdict(self))


def verdict(change: Estimate, smallest: float, grade: str, sign: int) -> str:
    """Return whether the improvement is as large as it had to be: supported, inconclusive, not supported or cannot tell.

    ``change`` is with the programme less without it, relative or in points as ``smallest`` is; ``smallest``, 0 or more, is
    the least improvement worth having (NaN: none declared, the line is 0); ``sign`` is -1 where less is better. Supported:
    the whole interval is at or above the line and above 0. Not supported: the whole interval is below the line. Grades C and
    D identify no effect, so nothing can be told.
    """
    if grade not in GRADES:
        raise ValueError(f"grade {grade!r} is none of {', '.join(GRADES)}")
    if sign not in (-1, 1):
        raise ValueError(f"sign must be 1, or -1 where less is better, not {sign!r}.")
    line = 0.0 if math.isnan(smallest) else float(smallest)
    if line < 0:
        raise ValueError(
            f"The smallest effect worth having is an improvement, 0 or more, not {smallest}; sign says which way."
        )
    if grade in ("C", "D"):
        return CANNOT_TELL
    better = _towards(change, sign)
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
    """Return the outcome statement of one programme and one of the things it moved.

    ``outcome`` is None where there is none to speak of. ``worth``: the whole gain between
    both paths, so the same for each outcome and never to be added up over them: of all customers reached, over the months
    of the evidence, before the cost of the programme, in ``currency``, as ``value_is`` ("margin" or "revenue"), discounted
    at ``discount_rate`` a year ("effective" or "nominal" by ``convention``); None where no money is known. The smallest
    effect worth having is the one declared for this outcome; without one the line is 0.

    ValueError for a design that gives no effect but a grade that claims one, months below 1, a level, change and relative
    change of contradicting signs, or a worth whose meaning is not told.
    """
    _check(evidence, outcome)
    if worth is not None:
        _check_money(value_is, currency, convention, discount_rate)
    programme, grade = evidence.programme, evidence.grade
    paths = evidence.paths
    about = dict(
        grade=grade, design=evidence.design, initiative=programme.id, changed=programme.changed, months=evidence.months,
        so_far=evidence.months < programme.effect_months, customers=float(paths.customers) if paths else math.nan, worth=worth,
        value_is=value_is, convention=convention, discount_rate=discount_rate, currency=currency, why=_because(evidence),
        remedy=evidence.remedy, paid=paths.months if paths else 0,
    )  # fmt: skip
    if outcome is None or math.isnan(outcome.change.value):
        kind = outcome.kind if outcome else programme.outcome
        if grade != "D":
            about["why"] = f"{_noun(kind, kind) or 'an outcome'} could not be counted with and without it"
        said = Statement(
            "", CANNOT_TELL, outcome=kind, label=_noun(kind, kind), unit="", sign=-1 if kind in LESS_IS_BETTER else 1, level=UNKNOWN,
            change=UNKNOWN, relative=UNKNOWN, smallest=programme.smallest_effect, smallest_is=programme.effect_is, **about,
        )  # fmt: skip
        return replace(said, sentence=f"{_not_told(said)}{NO_PRICE} {_known(said)}")
    declared = programme.outcome == outcome.kind and programme.smallest_effect > 0
    smallest, smallest_is = (programme.smallest_effect, programme.effect_is) if declared else (math.nan, "")
    relative = outcome.relative if _has_per_cent(outcome) else UNKNOWN
    judged = verdict(relative if smallest_is == "relative" else outcome.change, smallest, grade, outcome.sign)
    # Whoever looks every month until it holds finds something in the end. And the two intervals are drawn apart: at the edge one
    # can hold 0 and the other not, and the wider one counts.
    if grade in ("A", "B") and (about["so_far"] or (judged == SUPPORTED and not outcome.change.excludes(0))):
        judged = INCONCLUSIVE
    said = Statement(
        "", judged, outcome=outcome.kind, label=outcome.label, unit=outcome.unit, sign=outcome.sign, level=outcome.level,
        change=outcome.change, relative=relative, smallest=smallest, smallest_is=smallest_is, **about,
    )  # fmt: skip
    return replace(said, sentence=_sentence(said, paths.base if paths else outcome.change.n))


# ---- words -----------------------------------------------------------------------------------------------------------


def _sentence(s: Statement, base: float) -> str:
    """Return the statement in words: what happened, what it is worth, how it was judged, how it is known."""
    start, noun, told = f"We changed {s.changed}", _noun(s.outcome, s.label), s.change.excludes(0)
    seen = f"{_seen(s)}, {_among(s.customers, base)}"
    if s.grade == "D":
        text = f"{_not_told(s)} Seen: {seen}; it may have come anyway.{NO_PRICE}"
    elif s.grade == "C":
        if told:
            text = f"{start}, which {leads_to('C', past=True)} {seen}. Nothing shows that the one made the other.{_if_all(s)}"
        else:
            text = f"{start}. No link with {noun} can be told from chance: {seen}.{NO_PRICE}"
    elif s.so_far:
        text = f"{start}. So far: {seen}; the months declared beforehand are not over, so nothing is claimed yet.{_in_money(s)}"
    elif told:
        text = f"{start}, which {leads_to(s.grade, past=True)} {seen}{_worth(s)}"
    elif s.verdict == NOT_SUPPORTED:
        text = f"{start}, which did not bring what would have been worth having: {seen}.{_in_money(s)}"
    else:
        text = f"{start}. An effect on {noun} cannot be told from chance: {seen}.{_in_money(s)}"
    judged = f" {_judged(s)}" if s.grade in ("A", "B") else ""
    return f"{text}{judged} {_known(s)}"


def _not_told(s: Statement) -> str:
    return f"We changed {s.changed}. What came of it cannot be told. {s.why[:1].upper()}{s.why[1:]}."


def _known(s: Statement) -> str:
    return f"Grade {s.grade} ({s.design}): {GRADES[s.grade]}."


def _seen(s: Statement) -> str:
    """Return both changes in the direction of the value: "12 % (3 to 21 %) fewer customers leaving over 12 months: ..."."""
    way = -1 if s.change.value < 0 or (s.change.value == 0 and s.sign < 0) else 1
    less, more, noun = _WORDS.get(s.outcome, ("lower", "higher", s.label))
    what = f"{less if way < 0 else more} {noun} over {'the first ' if s.so_far else ''}{_months(s.months)}"
    without = f"against {_level(s)} without it"
    change = _towards(s.change, way)
    if math.isnan(s.relative.value):
        return f"{_points(s, change)} {what}, {without} (a level of which no per cent can be told)"
    relative = _towards(s.relative, way)
    first = interval(relative, partial(percent, digits=_digits(relative, 1, 100)))
    return f"{first} {what}: {_points(s, change, short=True)}, {without}"


def _points(s: Statement, change: Estimate, short: bool = False) -> str:
    """Return a change in points of its unit: percentage points of a share, money of an order, points of a score."""
    if s.unit == "share":
        in_points = Estimate(*(100 * v for v in (change.value, change.low, change.high)))
        return f"{interval(in_points, _writes(in_points, 1), short)} percentage points"
    if s.outcome == "order_value" and s.currency:
        return f"{interval(change, partial(money, currency=s.currency, digits=_digits(change, 2)), short)} per order"
    return f"{interval(change, _writes(change, _decimals(s)), short)} {s.unit}"


def _level(s: Statement) -> str:
    value = s.level.value
    if s.unit == "share":
        return percent(value, _digits(s.level, 1, 100))
    if s.outcome == "order_value" and s.currency:
        return money(value, s.currency, 2)
    return number(value, _decimals(s))


def _decimals(s: Statement) -> int:
    return {"points": 1}.get(s.unit, 3 if s.outcome == "contacts" else 2)  # contacts a month are few


def _judged(s: Statement) -> str:
    """Return the verdict and the line it was held against."""
    least = f"the smallest effect worth having, declared beforehand: {_least(s)}"
    none = "no smallest effect worth having was declared beforehand, so the line is 0"
    declared = not math.isnan(s.smallest)
    compared = _towards(s.relative if s.smallest_is == "relative" else s.change, s.sign)
    if s.so_far:
        return f"Inconclusive so far; {least if declared else none}."
    if s.verdict == SUPPORTED:
        held = f"is at or above {least}" if declared else f"is for the better; {none}"
        return f"Supported: the whole interval {held}."
    if s.verdict == NOT_SUPPORTED:
        worse = "is for the worse" if compared.high < 0 else ""
        below = f"{' and ' if worse else ''}is below {least}" if declared else f"; {none}"
        return f"Not supported: the whole interval {worse}{below}."
    if math.isnan(compared.value):
        return f"Inconclusive: without a per cent it cannot be held against {least}."
    if math.isnan(compared.low):
        return f"Inconclusive: the interval is not known; {least if declared else none}."
    if declared and compared.low < s.smallest:
        return f"Inconclusive: the interval reaches to both sides of {least}."
    return f"Inconclusive: the interval holds no effect at all; {least if declared else none}."


def _least(s: Statement) -> str:
    less, more, noun = _WORDS.get(s.outcome, ("lower", "higher", s.label))
    exact = Estimate(s.smallest, math.nan, math.nan)
    if s.smallest_is == "relative":
        size = percent(s.smallest, _digits(exact, 1, 100))
    else:
        size = _points(s, exact).replace(" (interval not known)", "")
    return f"{less if s.sign < 0 else more} {noun} by {size}"


def _worth(s: Statement) -> str:
    """Return what an effect told from chance is worth, to follow it in the sentence; a worth that may be 0 is not claimed."""
    if s.worth is None or not s.worth.excludes(0):
        return f".{_in_money(s)}"
    loss = ", a loss even before that" if s.worth.value < 0 else ""
    return f", worth {_amount(s)}{loss}."


def _in_money(s: Statement) -> str:
    """Return the money beside an effect for which no worth can be claimed."""
    if s.worth is None:
        return " It has no price: the money behind it is not known."
    if s.worth.excludes(0):
        return f" In money: {_amount(s)}, which cannot be put down to {_noun(s.outcome, s.label)}."
    why = "its interval is not known" if math.isnan(s.worth.low) else "that may be nothing or a loss"
    return f" In money: {_amount(s)}; {why}, so no worth is claimed."


def _if_all(s: Statement) -> str:
    """Return the money behind an association, as the condition that it is."""
    return _in_money(s) if s.worth is None else f" If all of it were an effect, it would come to {_amount(s)}."


def _amount(s: Statement) -> str:
    write = partial(money, currency=s.currency, digits=_digits(s.worth, 0))
    longer = f" in its first {_months(s.paid)}" if s.paid > s.months else ""
    return (
        f"{interval(s.worth, write)} of {s.value_is}{longer} (staying, spending and support together) before the cost of the programme, "
        f"{_discounted(s.convention, s.discount_rate)}"
    )


def _discounted(convention: str, rate: float) -> str:
    return f"discounted at {percent(rate)} a year ({convention})"


def _among(customers: float, base: float) -> str:
    if math.isnan(customers):
        return f"among {number(base, 0)} customers"
    return f"among {number(customers, 0)} customers reached" + (
        "" if math.isnan(base) else f" ({number(base, 0)} compared)"
    )


def _because(evidence: Evidence) -> str:
    """Return why an effect is not known, as a clause: the checks that failed, else the reason given."""
    failed = [c.name for c in evidence.checks if c.passed is False]
    if failed and evidence.grade == "D":
        return f"{'this check' if len(failed) == 1 else 'these checks'} failed: {listing(failed)}"
    return evidence.why.strip().rstrip(".") or evidence.design


def _noun(kind: str, label: str) -> str:
    return _WORDS[kind][2] if kind in _WORDS else label


def _months(months: int) -> str:
    return f"{months} month{'' if months == 1 else 's'}"


# ---- numbers ---------------------------------------------------------------------------------------------------------


def _towards(e: Estimate, way: int) -> Estimate:
    """Return an estimate as it counts in one direction: itself, or its negative with the ends in order."""
    return e if way > 0 else Estimate(-e.value, -e.high, -e.low, e.se, e.n, e.p)


def _digits(e: Estimate, least: int, scale: float = 1.0) -> int:
    """Return the decimals at which no number of an estimate is rounded to 0, losing its sign (``least`` plus 4 at most)."""
    ends = [abs(v) * scale for v in (e.value, e.low, e.high) if v and math.isfinite(v)]
    needed = math.ceil(-math.log10(min(ends))) if ends else least
    return min(max(needed, least), least + 4)


def _writes(e: Estimate, least: int) -> Callable[[float], str]:
    return partial(number, digits=_digits(e, least))


def _has_per_cent(outcome: Outcome) -> bool:
    """Tell whether a relative change means anything: of a level that may be 0 or below (NPS) it has no size and no sign."""
    return math.isfinite(outcome.relative.value) and outcome.level.value > 0 and not outcome.level.low <= 0


def _plain(value: object) -> object:
    """Return a value with JSON types alone: NaN and infinities become None, numpy scalars Python's."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check(evidence: Evidence, outcome: Outcome | None) -> None:
    """Refuse what contradicts itself."""
    if evidence.grade not in GRADES:
        raise ValueError(f"grade {evidence.grade!r} is none of {', '.join(GRADES)}")
    if evidence.grade in ("A", "B") and evidence.design in DESIGNS[-2:]:
        raise ValueError(f"{evidence.design!r} compares with nobody, so its grade is not {evidence.grade}; use D.")
    if outcome is None or math.isnan(outcome.change.value):
        return
    declared = evidence.programme.outcome == outcome.kind and evidence.programme.smallest_effect > 0
    if declared and evidence.programme.effect_is not in ("relative", "points"):
        raise ValueError("A smallest effect worth having is relative or in points; give the programme's effect_is.")
    if evidence.months < 1:
        raise ValueError(f"An outcome is stated over 1 month or more, not {evidence.months}; give the months judged.")
    if _has_per_cent(outcome) and outcome.relative.value * outcome.change.value < 0:
        raise ValueError(
            f"{outcome.kind}: the change is {outcome.change.value} and the relative change {outcome.relative.value} of a level above 0; "
            "their signs must agree."
        )


def _check_money(value_is: object, currency: object, convention: object, discount_rate: object) -> None:
    """Refuse a worth of which it is not told what it means."""
    unclear = [
        text
        for text, fine in (
            ("value_is ('margin' or 'revenue')", value_is in ("margin", "revenue")),
            ("currency", isinstance(currency, str) and bool(currency.strip())),
            ("convention ('effective' or 'nominal')", convention in ("effective", "nominal")),
            ("discount_rate (a year, 0.08 is 8 %)", _is_number(discount_rate) and discount_rate > -1),
        )
        if not fine
    ]
    if unclear:
        raise ValueError(f"A worth needs its meaning; give {listing(unclear)}.")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


# ---- a claim from bare numbers ---------------------------------------------------------------------------------------

_NEEDED = {
    "change": "by how much did it get better? 0.15 is 15 %, below 0 is worse",
    "change_is": "15 % of what? 'relative' (of the customers who would have left) or 'points' (of all customers)",
    "outcome": "what fell? Only 'churn', customers leaving, can be turned into customers kept",
    "months": "over how many months? 15 % in a month and in a year are different things",
    "customers": "of how many customers? 15 % fewer of 40 who leave is 6, of 4,000 it is 600",
    "level": "from which level? The share of customers who leave in those months without it: a fall of 15 % from 4 % keeps few",
    "compared_with": "compared with whom? A fall without a comparison may have come anyway",
    "value_per_customer": "what does one customer kept bring in a year?",
    "value_is": "is that 'revenue' or 'margin'? Revenue is not what is left after it is earned",
    "convention": "discounted how? 'effective' or 'nominal', with discount_rate, or 'none'",
    "currency": "in which currency is that",
}


def claim(
    *,
    change: float | None = None,
    change_is: str | None = None,
    outcome: str | None = None,
    months: int | None = None,
    customers: float | None = None,
    level: float | None = None,
    compared_with: str | None = None,
    value_per_customer: float | None = None,
    value_is: str | None = None,
    convention: str | None = None,
    currency: str | None = None,
    discount_rate: float | None = None,
) -> Statement:
    """Return what a claim like "churn fell by 15 %, a contract is worth 5,000 a year" would come to, were it true.

    Retained value is customers x level x relative fall (or customers x fall in points) x value of the months. ``change``:
    how much better (0.15: a fall of 15 % or 15 points as ``change_is``; below 0: worse); ``level``: share leaving over
    ``months`` without it (0-1); ``value_per_customer``: a year, paid at the end of each month; ``discount_rate``: a year,
    needed unless ``convention`` is "none"; ``compared_with``: in words. It is a claim and no finding: grade D, no interval.

    One InputError lists everything that is missing and why it matters, or everything that is impossible.
    """
    given = {
        "change": change, "change_is": change_is, "outcome": outcome, "months": months, "customers": customers, "level": level,
        "compared_with": compared_with, "value_per_customer": value_per_customer, "value_is": value_is, "convention": convention,
        "currency": currency,
    }  # fmt: skip
    missing = [f"{k} - {why}" for k, why in _NEEDED.items() if given[k] is None or given[k] == ""]
    if convention in ("effective", "nominal") and discount_rate is None:
        missing.append("discount_rate - at which rate a year? 0.08 is 8 %")
    if missing:
        raise InputError(
            "These numbers are not enough to say what was retained; missing: " + "; ".join(missing),
            remedy="Give them all, or let the page compare customers reached with others, which gives an interval too.",
        )
    if wrong := _impossible(given, discount_rate):
        raise InputError(
            f"This claim is impossible: {'; '.join(wrong)}", remedy="Correct it; shares are 0-1, 0.15 is 15 %."
        )
    points = change * level if change_is == "relative" else change
    kept, exact = customers * points, lambda v: Estimate(float(v), math.nan, math.nan)
    if convention == "none":
        how, paid = "not discounted", float(months)
    else:
        how = _discounted(convention, discount_rate)
        paid = finance.discount_factors(finance.per_period_rate(discount_rate, 12, convention), months, "end").sum()
    worth = exact(kept * value_per_customer / 12 * paid)
    said = Statement(
        "", CANNOT_TELL, "D", "claim", "", "", outcome, _noun(outcome, ""), "share", -1, months, False, float(customers), exact(level),
        exact(-points), exact(-points / level), math.nan, "", worth, value_is, convention, discount_rate, currency,
        why="a claim, not a finding: nothing was compared here",
    )  # fmt: skip
    better = "kept" if kept >= 0 else "lost"
    sentence = (
        f"A claim, not a finding: {_seen(said)}, among {number(customers, 0)} customers, compared with {compared_with.strip()}, would be "
        f"{number(abs(kept))} customers {better} and {money(worth.value, currency)} of {value_is} if each pays for all of "
        f"{_months(months)} ({how}), cost not taken off. Nothing was compared here and no interval is known, so whether it is so cannot "
        f"be told. Grade D (claim): {GRADES['D']}."
    ).replace(" (interval not known)", "")
    return replace(said, sentence=sentence)


def _impossible(given: dict, discount_rate: float | None) -> list[str]:
    """Return what cannot be true of a claim that is complete, in words."""
    names = ("change", "months", "customers", "level", "value_per_customer")
    no_number = [k for k in names if not _is_number(given[k])]
    if no_number:
        return [f"{k} {given[k]!r} is no number" for k in no_number]
    change, level, relative = given["change"], given["level"], given["change_is"] == "relative"
    points = change * level if relative else change
    rules = (
        ("change_is", given["change_is"] in ("relative", "points"), "is neither 'relative' nor 'points'"),
        ("outcome", given["outcome"] == "churn", "is not 'churn', and nothing else can be turned into customers kept"),
        ("months", given["months"] == int(given["months"]) and 1 <= given["months"] <= 1200, "is no whole number from 1 to 1,200"),
        ("customers", given["customers"] > 0, "is not above 0"),
        ("level", 0 < level <= 1, "is no share above 0 and up to 1"),
        ("change", points <= level, "is more than all who leave"),
        ("change", level - points <= 1, "has more customers leave than there are"),
        ("value_per_customer", given["value_per_customer"] > 0, "is not above 0"),
        ("value_is", given["value_is"] in ("revenue", "margin"), "is neither 'revenue' nor 'margin'"),
        ("convention", given["convention"] in ("effective", "nominal", "none"), "is none of 'effective', 'nominal' and 'none'"),
    )  # fmt: skip
    wrong = [f"{key} {given[key]!r} {what}" for key, fine, what in rules if not fine]
    if discount_rate is not None and not (_is_number(discount_rate) and discount_rate > -1):
        wrong.append(f"discount_rate {discount_rate!r} is no rate above -1")
    return wrong
