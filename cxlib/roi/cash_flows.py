"""Two cash-flow paths of the same customers, with and without a programme, and the difference between them.

Every array is (1 + draws) x months, row 0 as observed. Everything is calculated draw by draw from the same resamples,
so parts add up to their total in each of them. Set-up cost is paid at time 0; benefits and running cost fall at the end
of each month.

Sources: Gupta & Lehmann (2003), Customers as assets (a customer's value as survival x margin); Brealey, Myers & Allen,
Principles of Corporate Finance (net present value, payback); HM Treasury, The Green Book (cashable and other savings,
switching values, sensitivity).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from cxlib.stats import draws, finance
from cxlib.stats.estimate import Estimate

STAYED, SPENT = "stayed longer", "paid more while here"
SAVED_CASH, SAVED_TIME = "support saved in cash", "support saved, time only"
LEVEL_MONTHS = 3  # revenue and cost to serve of the last months seen are carried forward
SCALE = 0.1  # an input without a declared range is moved by this much, to compare inputs


@dataclass(frozen=True, eq=False)
class Side:
    """One path per customer of the programme, (1 + draws) x months, row 0 as observed; leavers pay nothing.

    ``here``: share still here at the end of the month; ``earned``: margin (or revenue, where that is the value);
    ``service``: cost to serve; ``paying``: share who paid in the month (None: those here at its end).
    """

    here: np.ndarray
    earned: np.ndarray
    service: np.ndarray
    paying: np.ndarray | None = None

    @property
    def payers(self) -> np.ndarray:
        """Return the share who paid in each month."""
        return self.here if self.paying is None else self.paying

    def cut(self, part: tuple[slice, slice]) -> Side:
        """Return some draws and months of it."""
        return Side(self.here[part], self.earned[part], self.service[part], self.payers[part])


@dataclass(frozen=True, eq=False)
class Paths:
    """Both paths. ``customers``: reached; ``base``: customers behind the numbers; ``groups``: independent groups."""

    with_it: Side
    without: Side
    customers: float
    base: float
    groups: float

    @property
    def months(self) -> int:
        """Return how many months the paths last."""
        return self.with_it.here.shape[1]


@dataclass(frozen=True)
class Terms:
    """What a programme costs and how its money is counted.

    ``running``: months of it that are paid; up to the length of the paths they are paid from the first month on, more
    are spread evenly over the paths. ``monthly_rate``: discount rate. ``share`` (0-1): part of the effect credited.
    ``include_time_only``: count all support saved, else only the part ``cashable`` (0-1; None: nothing is declared as
    cash).
    """

    cost_upfront: float
    cost_per_month: float
    running: float
    monthly_rate: float
    share: float = 1.0
    include_time_only: bool = True
    cashable: float | None = None


@dataclass(frozen=True, eq=False)
class Money:
    """Benefit and cost of a programme over the months of its paths, for all customers reached.

    ``benefit``: not discounted; ``cost``: all of it; ``net_present_value``: both discounted; ``roi``: (benefit - cost)
    / cost. ``payback``, ``discounted_payback``: months until the cost is recovered, inf where that takes longer than
    the paths. ``loss_probability``: of a net present value below 0. ``cumulated``: month (0: the start), value, low,
    high, n of benefit minus cost to date, not discounted.
    """

    benefit: Estimate
    cost: float
    net_present_value: Estimate
    roi: Estimate
    payback: Estimate
    discounted_payback: Estimate
    loss_probability: float
    cumulated: pd.DataFrame


def gain(paths: Paths) -> np.ndarray:
    """Return the extra money per customer with the programme, net of the cost to serve; (1 + draws) x months."""
    return _counted(paths, 1.0)


def channels(paths: Paths, cashable: float | None) -> dict[str, np.ndarray]:
    """Split ``gain`` into four channels, each (1 + draws) x months per customer; they add up in every draw and month.

    "stayed longer": more customers pay, each what a payer pays *without* the programme, net of serving those here more.
    Who leaves within a month may have paid it. "paid more while here": the rest of what was earned. Then the fall in
    the cost to serve: ``cashable`` (0-1) of it is "support saved in cash", the rest "support saved, time only" (all of
    it where ``cashable`` is None). In a month in which nobody would pay without the programme, the whole gain counts as
    stayed longer.
    """
    stayed, spent, saved = _split(paths)
    cash = _cash_share(cashable)
    return {STAYED: stayed, SPENT: spent, SAVED_CASH: cash * saved, SAVED_TIME: (1 - cash) * saved}


def _split(paths: Paths) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gains from staying, spend and support, each (1 + draws) x months per customer."""
    w, o = paths.with_it, paths.without
    earned, served = w.earned - o.earned, w.service - o.service
    kept_earn = np.where(o.payers > 0, (w.payers - o.payers) * _per_customer_here(o.earned, o.payers), earned)
    kept_cost = np.where(o.here > 0, (w.here - o.here) * _per_customer_here(o.service, o.here), served)
    return kept_earn - kept_cost, earned - kept_earn, kept_cost - served


def parts(paths: Paths, cashable: float | None, share: float = 1.0) -> pd.DataFrame:
    """Return channel, value, low, high, n: money over all months from all customers reached, not discounted.

    The last row, "in all", is the sum of the others. ``share`` (0-1) is the part of the effect credited.
    """
    _check_share(share, "The share credited")
    totals = {name: share * paths.customers * part.sum(1) for name, part in channels(paths, cashable).items()}
    totals["in all"] = share * paths.customers * gain(paths).sum(1)
    served, cash = bool(paths.with_it.service.any() or paths.without.service.any()), _cash_share(cashable)
    # 0 by what is declared or recorded, and so not uncertain
    none = {SAVED_CASH: not served or cash == 0, SAVED_TIME: not served or cash == 1}
    certain = [share == 0 or none.get(name, False) for name in totals]
    return _frame(paths, pd.DataFrame({"channel": list(totals)}), np.column_stack(list(totals.values())), certain)


def extended(paths: Paths, months: int, kept_a_year: float) -> Paths:
    """Extend the paths to ``months`` in all (or cut them); what lies beyond those given is a projection.

    Without the programme customers leave at their mean monthly rate (leavers by customers here, from the end of the
    first month on), and earn and cost what they did on average in the last three months. With it, j months on, each of
    the three is the value without plus kept_a_year^(j / 12) of the difference seen. ``kept_a_year`` (0-1) is the part
    of the effect on behaviour left after a year: at 0 it ends at once, but customers kept remain customers; at 1 it
    lasts. ValueError for a bad length or share.
    """
    if months != int(months) or months < 1:
        raise ValueError(f"Paths cannot last {months} months; give a whole number, 1 or more.")
    _check_share(kept_a_year, "The effect kept a year")
    months, seen = int(months), paths.months
    more = months - seen
    if more <= 0:
        return _changed(paths, lambda s: s.cut((slice(None), slice(months))))
    if not seen:
        raise ValueError("Paths of 0 months cannot be extended; at least one month must have been observed.")
    left = kept_a_year ** (np.arange(1, more + 1) / 12)
    plain, changed = _levels(paths.without), _levels(paths.with_it)
    fading = [p + (c - p) * left for p, c in zip(plain, changed, strict=True)]
    lasting = [np.repeat(p, more, axis=1) for p in plain]
    return replace(paths, with_it=_carried(paths.with_it, *fading), without=_carried(paths.without, *lasting))


def present_value(
    paths: Paths, monthly_rate: float, cashable: float | None = None, include_time_only: bool = True
) -> np.ndarray:
    """Return the present value of the gain per customer, (1 + draws), before the programme's cost."""
    counted = _counted(paths, _service_weight(cashable, include_time_only))
    return counted @ finance.discount_factors(monthly_rate, paths.months, "end")


def worth_of(paths: Paths, terms: Terms) -> Money:
    """Compare the benefit from the customers reached with the programme's cost.

    The probability of a loss is the tail of the t distribution behind the interval of the net present value: a share of
    draws is coarse and would turn 0 of 1,000 into certainty. For the same reason it stays 1 / draws away from 0 and 1.
    With a share of 0 nothing is estimated, and the cost is a certain loss. ValueError, with the remedy, where there is
    no cost, no customer, no month, or a share outside 0-1.
    """
    cost, share = _paid(paths, terms), terms.share
    weight = _service_weight(terms.cashable, terms.include_time_only)
    flows = np.zeros((len(paths.with_it.here), paths.months + 1))
    flows[:, 1:] = share * paths.customers * _counted(paths, weight)
    benefit, total = flows.sum(1), float(cost.sum())
    flows -= cost
    discounted = flows * finance.discount_factors(terms.monthly_rate, paths.months + 1, "now")
    certain = share == 0
    value = _estimate(paths, discounted.sum(1), certain)
    months = pd.DataFrame({"month": range(paths.months + 1)})
    return Money(
        benefit=_estimate(paths, benefit, certain),
        cost=total,
        net_present_value=value,
        roi=_estimate(paths, (benefit - total) / total, certain),
        payback=_quantiles(paths, paybacks(flows)),
        discounted_payback=_quantiles(paths, paybacks(discounted)),
        loss_probability=_below_zero(value, paths, len(flows) - 1),
        cumulated=_frame(paths, months, flows.cumsum(1), [certain or k == 0 for k in months["month"]]),
    )


def paybacks(flows: np.ndarray) -> np.ndarray:
    """Return ``stats.finance.payback`` of each row of ``flows`` (the first flow now); NaN where a flow is NaN."""
    total = np.cumsum(flows, axis=1)
    total[np.abs(total) < 1e-12 * np.abs(flows).sum(1, keepdims=True)] = 0
    turns = (total[:, :-1] < 0) & (total[:, 1:] >= 0)
    before, rows = turns.argmax(1), np.arange(len(flows))
    turned = turns[rows, before]
    step = np.where(turned, flows[rows, before + 1], 1.0)
    months = np.where(turned, before - total[rows, before] / step, math.inf)
    months = np.where((total >= 0).all(1), 0.0, months)
    return np.where(np.isfinite(flows).all(1), months, math.nan)


def break_even(paths: Paths, terms: Terms, started: float = 1.0) -> pd.DataFrame:
    """Return how large each effect alone must be for a net present value of 0, all else as without the programme.

    Returns lever, unit, value, low, high, n, with value inf where even the largest possible effect would not pay (no
    churn at all, support for nothing). "leaving falls by": relative r, the share here becoming started x (here /
    started)^(1 - r) in every month (a monthly hazard 1 - r times as high), and the extra share here at the end;
    customers kept earn and cost what others here do. "earned per customer here rises by": relative, and money a month.
    "support cost falls by": relative. ``started``: share here when the months begin, below 1 where customers are
    counted from earlier on. Errors: those of ``worth_of``.
    """
    cost, share = _paid(paths, terms), terms.share
    _check_share(started, "The share here at the start")
    weight, o = _service_weight(terms.cashable, terms.include_time_only), paths.without
    factors = finance.discount_factors(terms.monthly_rate, paths.months, "end")
    spent = float(cost @ finance.discount_factors(terms.monthly_rate, paths.months + 1, "now"))
    needed = spent / (share * paths.customers) if share else math.inf
    net = _per_customer_here(o.earned - o.service, o.here) * factors
    fall, more = _fall_needed(np.clip(o.here, 0, started), net, needed, started)
    support = _ratio(needed, weight * (o.service @ factors))
    levers = {
        ("leaving falls by", "relative"): fall,
        ("leaving falls by", "share here at the end"): more,
        ("earned per customer here rises by", "relative"): _ratio(needed, o.earned @ factors),
        ("earned per customer here rises by", "money a month"): _ratio(needed, o.here @ factors),
        ("support cost falls by", "relative"): np.where(support > 1, math.inf, support),
    }
    rows = []
    for (lever, unit), row in levers.items():
        e = _quantiles(paths, row)
        rows.append({"lever": lever, "unit": unit, "value": e.value, "low": e.low, "high": e.high, "n": e.n})
    return pd.DataFrame(rows)


def tornado(
    paths: Paths, terms: Terms, horizon: int = 0, kept_a_year: tuple[float, float] | None = None
) -> pd.DataFrame:
    """Return which input moves the net present value most: each alone at both ends of its range, the others unchanged.

    Returns input, unit, low_input, high_input, low and high (the net present value there), middle (all inputs
    unchanged), swing and range_is, the largest swing first. range_is: "interval" (95 % interval of that channel, its
    present value as input), "declared", or "for scale: ..." where no range is declared. Given ``horizon`` beyond the
    months of the paths and the declared range ``kept_a_year``, everything is over the horizon (``extended``), the
    effect fading by the middle of the range. A channel without an interval has no row. Errors: those of ``worth_of``,
    and for a bad range.
    """
    if kept_a_year and not 0 <= kept_a_year[0] <= kept_a_year[1] <= 1:
        raise ValueError(f"The effect kept a year is {kept_a_year}; give two shares from 0 to 1, the lower first.")
    seen, fades, rate = paths, bool(kept_a_year) and horizon > paths.months, terms.monthly_rate
    if fades:
        paths = extended(seen, horizon, (kept_a_year[0] + kept_a_year[1]) / 2)
    middle, rows = _value(paths, terms), []

    def add(name: str, unit: str, ends: tuple[float, float], values: tuple[float, float], why: str) -> None:
        rows.append(dict(input=name, unit=unit, low_input=ends[0], high_input=ends[1], low=values[0], high=values[1],
                         middle=middle, swing=abs(values[1] - values[0]), range_is=why))  # fmt: skip

    def moved(name: str, unit: str, ends: tuple[float, float], why: str, how: Callable[[float], tuple]) -> None:
        first, second = (_value(*how(k)) for k in ends)
        add(name, unit, ends, (first, second), why)

    found = channels(paths, terms.cashable)
    support = found[SAVED_CASH] + (found[SAVED_TIME] if terms.include_time_only else 0.0)
    factors = finance.discount_factors(rate, paths.months, "end")
    for name, part in (("staying", found[STAYED]), ("spend", found[SPENT]), ("support", support)):
        e = _estimate(paths, terms.share * paths.customers * (part @ factors))
        if not math.isnan(e.low):
            rest = middle - e.value
            add(f"effect on {name}", "present value", (e.low, e.high), (rest + e.low, rest + e.high), "interval")
    ends, scale = (1 - SCALE, 1 + SCALE), f"for scale: {100 * SCALE:.0f}%"
    moved("margin", "times", ends, scale, lambda k: (_earning(paths, k), terms))
    moved("programme cost", "times", ends, scale, lambda k: (paths, _costing(terms, k)))
    if rate > 0:
        both = (rate / 2, 2 * rate)
        moved("discount rate", "a month", both, "for scale: half to double",
              lambda k: (paths, replace(terms, monthly_rate=k)))  # fmt: skip
    if terms.share < 1:
        moved("share credited", "share", (terms.share, 1.0), "declared", lambda k: (paths, replace(terms, share=k)))
    if fades and kept_a_year[0] < kept_a_year[1]:
        moved("effect kept a year", "share", kept_a_year, "declared", lambda k: (extended(seen, horizon, k), terms))
    return pd.DataFrame(rows).sort_values("swing", ascending=False, kind="stable", ignore_index=True)


def _earning(paths: Paths, times: float) -> Paths:
    return _changed(paths, lambda s: replace(s, earned=times * s.earned))


def _costing(terms: Terms, times: float) -> Terms:
    return replace(terms, cost_upfront=times * terms.cost_upfront, cost_per_month=times * terms.cost_per_month)


def _value(paths: Paths, terms: Terms) -> float:
    """Return the net present value as observed."""
    cost, rate = _paid(paths, terms), terms.monthly_rate
    observed = _changed(paths, lambda s: s.cut((slice(1), slice(None))))
    each = present_value(observed, rate, terms.cashable, terms.include_time_only)[0]
    return float(terms.share * paths.customers * each - cost @ finance.discount_factors(rate, len(cost), "now"))


def _changed(paths: Paths, how: Callable[[Side], Side]) -> Paths:
    """Return the paths with the same done to both sides."""
    return replace(paths, with_it=how(paths.with_it), without=how(paths.without))


def _counted(paths: Paths, weight: float) -> np.ndarray:
    """Return the gain per customer and month with ``weight`` of the support saved counted."""
    stayed, spent, saved = _split(paths)
    return stayed + spent + weight * saved


def _cash_share(cashable: float | None) -> float:
    if cashable is None:
        return 0.0
    _check_share(cashable, "The cash share of support savings")
    return float(cashable)


def _service_weight(cashable: float | None, include_time_only: bool) -> float:
    cash = _cash_share(cashable)
    return 1.0 if include_time_only else cash


def _per_customer_here(amount: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Return amount by customer here, 0 where nobody is."""
    return np.where(here > 0, amount / np.where(here > 0, here, 1.0), 0.0)


def _levels(side: Side) -> list[np.ndarray]:
    """Return the mean monthly churn rate, and recent revenue, cost to serve and payers by customer here: draws x 1."""
    here = side.here
    at_risk = here[:, :-1].sum(1) if here.shape[1] > 1 else np.ones(len(here))
    gone = here[:, 0] - here[:, -1] if here.shape[1] > 1 else 1 - here[:, 0]
    leaving = np.clip(_per_customer_here(gone, at_risk), 0, 1)
    last = slice(-LEVEL_MONTHS, None)
    rates = (
        _per_customer_here(a[:, last].sum(1), here[:, last].sum(1)) for a in (side.earned, side.service, side.payers)
    )
    return [row[:, None] for row in (leaving, *rates)]


def _carried(side: Side, leaving: np.ndarray, *rates: np.ndarray) -> Side:
    """Extend a path at a churn rate, and the other ``_levels`` for each month to come."""
    here = side.here[:, -1:] * np.cumprod(1 - leaving, axis=1)
    before, later = (side.here, side.earned, side.service, side.payers), (here, *(here * rate for rate in rates))
    return Side(*(np.hstack(pair) for pair in zip(before, later, strict=True)))


def _paid(paths: Paths, terms: Terms) -> np.ndarray:
    """Return the programme's cost at time 0 and at the end of each month; ValueError for terms that give no return."""
    if not paths.months:
        raise ValueError("The paths have no month, so nothing can have come back; give at least one whole month.")
    if not (math.isfinite(paths.customers) and paths.customers > 0):
        raise ValueError(f"{paths.customers:,.0f} customers were reached; record whom the programme reached.")
    upfront, monthly, running = terms.cost_upfront, terms.cost_per_month, terms.running
    for name, amount in (("cost upfront", upfront), ("cost a month", monthly), ("number of months paid", running)):
        if not (math.isfinite(amount) and amount >= 0):
            raise ValueError(f"The {name} is {amount}; give a number, 0 or more.")
    if not upfront + monthly * running > 0:
        raise ValueError("The programme costs nothing, so it has no return on cost; enter what it costs.")
    _check_share(terms.share, "The share credited")
    at_a_time = max(running / paths.months, 1.0)
    part = np.clip(running / at_a_time - np.arange(paths.months), 0, 1)
    return np.concatenate([[upfront], monthly * at_a_time * part])


def _check_share(share: float, name: str) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{name} is {share}; give a share from 0 to 1 (0.1 is 10 %).")


def _estimate(paths: Paths, row: np.ndarray, certain: bool = False) -> Estimate:
    """Return value and interval of (1 + draws); ``certain``: nothing in it was estimated, as with a cost."""
    if certain:
        return Estimate(float(row[0]), float(row[0]), float(row[0]), 0.0, paths.base)
    return draws.estimate(row[0], row[1:], paths.base, groups=paths.groups)


def _frame(paths: Paths, keys: pd.DataFrame, columns: np.ndarray, certain: Sequence[bool]) -> pd.DataFrame:
    """Return ``_estimate`` of every column of (1 + draws) x keys: value, low, high, n after the keys."""
    found = draws.estimate_frame(keys, columns[0], columns[1:], paths.base, groups=paths.groups)
    ends = {k: np.where(certain, found["value"], found[k]) for k in ("low", "high")}
    return found.assign(**ends).drop(columns="se")


def _quantiles(paths: Paths, row: np.ndarray) -> Estimate:
    """Return value and the middle 95 % of the draws, which may be inf; NaN ends where over 5 % of them are unknown."""
    known = row[1:][~np.isnan(row[1:])]
    if not known.size or known.size < 0.95 * (row.size - 1):
        return Estimate(float(row[0]), math.nan, math.nan, n=paths.base)
    low, high = np.quantile(known, [0.025, 0.975], method="inverted_cdf")  # never between a number and inf
    return Estimate(float(row[0]), float(low), float(high), n=paths.base)


def _below_zero(value: Estimate, paths: Paths, count: int) -> float:
    """Return the probability that an estimate is below 0, by the distribution of its interval."""
    if value.se == 0:
        return float(value.value < 0)
    independent = min(paths.groups, paths.base)
    error = value.se * math.sqrt(independent / (independent - 1)) if independent > 1 else math.nan
    chance = float(stats.t.cdf(-value.value / error, independent - 1))
    return float(np.clip(chance, 1 / count, 1 - 1 / count))


def _ratio(needed: float, available: np.ndarray) -> np.ndarray:
    """Return needed divided by available, inf where nothing is available."""
    ratio = np.where(available > 0, needed / np.where(available > 0, available, 1.0), math.inf)
    return np.where(np.isnan(available), math.nan, ratio)


def _fall_needed(here: np.ndarray, net: np.ndarray, needed: float, started: float) -> tuple[np.ndarray, np.ndarray]:
    """Return by draw the relative fall in churn that earns ``needed``, and the share of customers it adds at the end.

    ``net``: present value of one more customer here in each month. Bisection finds the fall.
    """
    part = here / started if started else here

    def kept(r: np.ndarray) -> np.ndarray:
        return started * part ** (1 - r[:, None]) - here

    low, high = np.zeros(len(here)), np.ones(len(here))
    possible = (kept(high) * net).sum(1) >= needed
    for _ in range(50):
        middle = (low + high) / 2
        enough = (kept(middle) * net).sum(1) >= needed
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    unknown = ~np.isfinite(here).all(1) | ~np.isfinite(net).all(1)
    ends = [np.where(possible, row, math.inf) for row in (high, kept(high)[:, -1])]
    return tuple(np.where(unknown, math.nan, row) for row in ends)
