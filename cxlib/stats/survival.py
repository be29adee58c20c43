"""Time to an event that is censored for many: survival curves, means, tests and competing causes.

Conventions are those of R's survival package: a row is at risk at time t if entry < t <= duration, so at equal times
events come before censoring. Intervals of curves are on the log-log scale (R's ``conf.type = "log-log"``), which keeps
them within 0 and 1 and is more accurate in the tails than R's default. Weights are counts of equal rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from cxlib.stats.checks import column, follow_up, refuse, z_value
from cxlib.stats.draws import summed
from cxlib.stats.estimate import Estimate

Z = z_value(0.95)  # of all intervals here


@dataclass(frozen=True, eq=False)
class TimeCounts:
    """Counts by group and time, all that a curve needs.

    ``times`` (T) has 0 and each distinct time at which a row ends, sorted. ``events`` and ``exits`` (groups x T) count
    the rows that end there with the event and in total, ``entries`` (groups x T, None if all are at risk from 0) those
    at risk from that time on. ``groups`` has the sorted group labels.
    """

    times: np.ndarray
    events: np.ndarray
    exits: np.ndarray
    entries: np.ndarray | None
    groups: pd.Index


def counts_by_time(
    duration: ArrayLike,
    event: ArrayLike,
    weights: ArrayLike | None = None,
    entry: ArrayLike | None = None,
    group: ArrayLike | None = None,
) -> TimeCounts:
    """Count rows by the time they end (and enter), for each group; one group if none are given.

    ``duration`` is the time at which each row ends, 0 or more; ``event`` is 1 if it ended with the event and 0 if it
    was censored; ``entry`` is the start of its follow-up (late entry). ValueError for columns of different length,
    missing or negative values, entry not before duration, and weights that are not counts.
    """
    duration, event, weights, entry = follow_up(duration, event, weights, entry)
    if entry is not None:
        refuse(entry < 0, "entry is negative", "Time starts at 0: use 0 for those already present.")
    labels = pd.Series(0 if group is None else group, index=range(duration.size) if group is None else None)
    if len(labels) != duration.size:
        raise ValueError(f"group has {len(labels)} rows, but {duration.size} are expected: give one for each row.")
    used = weights > 0
    code, groups = pd.factorize(labels[used], sort=True)
    refuse(labels.isna().to_numpy(), "group is missing", "Exclude such rows or give them a group of their own.")
    times = np.unique(np.append(duration[used], 0.0))
    shape = (len(groups), times.size)

    def count(position: np.ndarray, weight: np.ndarray) -> np.ndarray:
        cells = np.bincount(code * times.size + position, weight, shape[0] * shape[1])
        return cells.reshape(shape)

    end = np.searchsorted(times, duration[used])
    entries = None
    if entry is not None:
        entries = count(np.where(entry > 0, np.searchsorted(times, entry, side="right"), 0)[used], weights[used])
    return TimeCounts(times, count(end, (weights * event)[used]), count(end, weights[used]), entries, pd.Index(groups))


def _at_risk(exits: np.ndarray, entries: np.ndarray | None) -> np.ndarray:
    def from_here_on(counts: np.ndarray) -> np.ndarray:
        return np.flip(np.cumsum(np.flip(counts, -1), -1), -1)

    ahead = from_here_on(exits)
    return ahead if entries is None else ahead - from_here_on(entries) + entries


def survival_matrix(events: ArrayLike, exits: ArrayLike, entries: ArrayLike | None = None) -> np.ndarray:
    """Return the product-limit survival just after each time, for one or many sets of counts.

    ``events``, ``exits`` and ``entries`` are as in TimeCounts, arrays (..., T) such as (draws, T). Returns (..., T), 1
    while nobody is at risk. Kaplan & Meier 1958 (JASA 53:457).
    """
    events, exits = np.asarray(events, dtype=float), np.asarray(exits, dtype=float)
    entries = None if entries is None else np.asarray(entries, dtype=float)
    at_risk = _at_risk(exits, entries)
    hazard = np.divide(events, at_risk, out=np.zeros_like(at_risk), where=at_risk > 0)
    return np.cumprod(1 - np.minimum(hazard, 1), axis=-1)


def survival_draws(counts: pd.DataFrame, length: int, weights_matrix: np.ndarray) -> np.ndarray:
    """Return the Kaplan-Meier survival at times 1 .. ``length`` under each resample of the folds (draws x length).

    ``counts`` has columns duration (whole numbers, 1 .. ``length``), fold, n (all last seen then) and events (those of
    them with the event). ``weights_matrix`` is draws x folds; a row of ones gives the observed curve.
    """
    at = (counts["duration"] - 1,)
    return survival_matrix(*(summed(weights_matrix, counts["fold"], counts[c], at, (length,)) for c in ("events", "n")))


def _greenwood(at_risk: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Return the terms of Greenwood's sum; 0 where nobody is left, because the curve is then 0 for any sum."""
    left = at_risk - events
    return np.divide(events, at_risk * left, out=np.zeros_like(left), where=left > 0)


def kaplan_meier(
    duration: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None, entry: ArrayLike | None = None
) -> pd.DataFrame:
    """Estimate the share without the event by time (Kaplan & Meier 1958), with late entry if ``entry`` is given.

    Arguments as in ``counts_by_time``. Returns a row for time 0 and each distinct duration: time, at_risk (just
    before), events, survival (just after), se (Greenwood 1926), low and high (log-log: Kalbfleisch & Prentice 1980).
    Where survival is 1 the interval is 1 to 1; where it is 0 the se is NaN and the interval starts at 0.

    Example: ``kaplan_meier([3, 3, 5, 6], [1, 0, 1, 1])``.
    """
    counts = counts_by_time(duration, event, weights, entry)
    events = counts.events[0]
    at_risk = _at_risk(counts.exits, counts.entries)[0]
    survival = survival_matrix(counts.events, counts.exits, counts.entries)[0]
    log_se = np.sqrt(np.cumsum(_greenwood(at_risk, events)))
    se = np.where(survival > 0, survival * log_se, np.nan)
    low, high = _log_log_bounds(survival, log_se)
    columns = (counts.times, at_risk, events, survival, se, low, high)
    return pd.DataFrame(dict(zip(("time", "at_risk", "events", "survival", "se", "low", "high"), columns, strict=True)))


def _log_log_bounds(survival: np.ndarray, log_se: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-log interval of falling curves from the standard error of their logs."""
    low, high = survival.copy(), survival.copy()
    inside = (survival > 0) & (survival < 1)
    power = np.exp(Z * log_se[inside] / -np.log(survival[inside]))
    low[inside], high[inside] = survival[inside] ** power, survival[inside] ** (1 / power)
    high[survival == 0] = np.append(1.0, high[survival > 0])[-1]
    return low, high


def survival_at(curve: pd.DataFrame, times: ArrayLike) -> pd.DataFrame:
    """Read a Kaplan-Meier curve at given times: time, value, low, high, se, n (at risk just before).

    Beyond the end of a curve that has not reached 0, all but n are NaN.
    """
    times = column(np.atleast_1d(times), "times")
    known = curve["time"].to_numpy()
    row = curve.iloc[np.searchsorted(known, times, side="right") - 1]
    ahead = np.searchsorted(known, times)
    at_risk = np.append(curve["at_risk"].to_numpy(), 0.0)[ahead]
    names = {"survival": "value", "low": "low", "high": "high", "se": "se"}
    out = row[list(names)].rename(columns=names).reset_index(drop=True)
    out[(times > known[-1]) & (out["value"].to_numpy() > 0)] = np.nan
    out.insert(0, "time", times)
    return out.assign(n=at_risk)


def median_survival(curve: pd.DataFrame, survival: float = 0.5) -> Estimate:
    """Estimate the time at which a Kaplan-Meier curve falls to ``survival`` (median: 0.5), infinite if not reached.

    If the curve lies exactly on that share, it is the middle of the step (as in R). The interval ends where the curve's
    own bounds reach the share (Brookmeyer & Crowley 1982, Biometrics 38:29). ``n`` is the largest number at risk; there
    is no standard error.
    """
    time = curve["time"].to_numpy()

    def reached(heights: pd.Series) -> float:
        heights = heights.to_numpy()
        at = np.flatnonzero(heights <= survival + 1e-8)
        if not at.size:
            return np.inf
        below = np.flatnonzero(heights < survival - 1e-8)
        on_it = heights[at[0]] >= survival - 1e-8
        return float((time[at[0]] + time[below[0]]) / 2 if on_it and below.size else time[at[0]])

    low, value, high = (reached(curve[name]) for name in ("low", "survival", "high"))
    return Estimate(value, low, high, n=float(curve["at_risk"].max()))


def restricted_mean(
    duration: ArrayLike,
    event: ArrayLike,
    horizon: float,
    weights: ArrayLike | None = None,
    entry: ArrayLike | None = None,
) -> Estimate:
    """Estimate the mean time to the event within ``horizon``, the area under the Kaplan-Meier curve up to it.

    The standard error is Greenwood's for that area (Klein & Moeschberger 2003, section 4.5), not the spread of the
    times; the interval is normal, within 0 and the horizon. ValueError if the horizon is beyond the last duration and
    the curve has not reached 0.

    Example: ``restricted_mean(days, left, horizon=365).value`` in days.
    """
    counts = counts_by_time(duration, event, weights, entry)
    at_risk = _at_risk(counts.exits, counts.entries)[0]
    survival = survival_matrix(counts.events, counts.exits, counts.entries)[0]
    if not 0 < horizon < np.inf:
        raise ValueError(f"horizon is {horizon}: give a time above 0.")
    if horizon > counts.times[-1] and survival[-1] > 0:
        raise ValueError(f"horizon {horizon:g} is beyond the last follow-up time: use at most {counts.times[-1]:g}.")
    widths = np.diff(np.minimum(np.append(counts.times, np.inf), horizon))
    ahead = np.cumsum((survival * widths)[::-1])[::-1]
    se = float(np.sqrt(np.sum(ahead**2 * _greenwood(at_risk, counts.events[0]))))
    value = float(survival @ widths)
    return Estimate(value, max(value - Z * se, 0), min(value + Z * se, horizon), se, float(counts.exits.sum()))


@dataclass(frozen=True, eq=False)
class LogRank:
    """A log-rank test: chi-squared ``statistic`` on ``df`` degrees of freedom, ``p``, and ``table`` by group.

    ``table`` has group, n, observed and expected events. Statistic and p are NaN unless at least two groups were at
    risk when events happened.
    """

    statistic: float
    df: int
    p: float
    table: pd.DataFrame = field(repr=False)


def log_rank(
    duration: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    weights: ArrayLike | None = None,
    entry: ArrayLike | None = None,
) -> LogRank:
    """Test whether two or more groups have the same event rate at all times (Mantel 1966; Peto & Peto 1972).

    ``group`` has a label for each row; the rest is as in ``counts_by_time``. The variance is hypergeometric, exact for
    ties. ValueError for fewer than two groups.
    """
    counts = counts_by_time(duration, event, weights, entry, group)
    if len(counts.groups) < 2:
        raise ValueError("group has one value only: a comparison needs at least two groups.")
    by_group = _at_risk(counts.exits, counts.entries)
    at_risk, events = by_group.sum(axis=0), counts.events.sum(axis=0)
    busy = events > 0
    by_group, at_risk, events = by_group[:, busy], at_risk[busy], events[busy]
    share = by_group / at_risk
    observed, expected = counts.events.sum(axis=1), share @ events
    spread = np.divide(events * (at_risk - events), at_risk - 1, out=np.zeros_like(events), where=at_risk > 1)
    variance = np.diag(share @ spread) - (share * spread) @ share.T
    compared = np.flatnonzero(expected > 0)
    df = max(len(compared) - 1, 0)
    statistic = np.nan
    if df and spread.any():
        some = compared[:-1]  # the last one follows from the others
        gap = (observed - expected)[some]
        statistic = float(gap @ np.linalg.pinv(variance[np.ix_(some, some)]) @ gap)
    columns = {"group": counts.groups, "n": counts.exits.sum(axis=1), "observed": observed, "expected": expected}
    return LogRank(statistic, df, float(stats.chi2.sf(statistic, df)) if df else np.nan, pd.DataFrame(columns))


def cumulative_incidence(
    duration: ArrayLike, cause: ArrayLike, weights: ArrayLike | None = None, entry: ArrayLike | None = None
) -> pd.DataFrame:
    """Estimate the share of customers who left for each cause by time, with competing causes.

    ``cause`` is the reason each row ended: a number or a text, with 0, "0" or "" for censored. Ties are exact: causes
    at one time share one risk set. Returns time, cause, value, se, low, high with a row for each cause at time 0 and
    each distinct duration, sorted by cause and time; empty without events. Over causes the values add up to one minus
    the Kaplan-Meier curve of any event.

    The standard error is Greenwood's for the Aalen-Johansen estimator, equal to the infinitesimal jackknife of R's
    survfit, NaN where everyone has left for one cause. The interval is log-log on one minus the value.

    Example: ``cumulative_incidence([1, 1, 2, 2, 3], ["price", "service", "price", "", ""])``.
    Aalen & Johansen 1978 (Scand J Stat 5:141); Gaynor et al. 1993 (JASA 88:400).
    """
    causes = pd.Series(cause).astype(object)
    refuse(causes.isna().to_numpy(), "cause is missing", 'Give 0 or "" for censored rows.')
    gone = ~causes.isin([0, "", "0"]).to_numpy()
    code, names = pd.factorize(causes.where(gone), sort=True)
    if len(causes) != np.size(duration):
        raise ValueError(f"cause has {len(causes)} rows, but duration has {np.size(duration)}: give one for each.")
    counts = counts_by_time(duration, gone, weights, entry, code)
    exits, events = counts.exits.sum(axis=0), counts.events.sum(axis=0)
    entries = None if counts.entries is None else counts.entries.sum(axis=0)
    n = np.where(events > 0, _at_risk(exits, entries), 1.0)
    before = np.append(1.0, survival_matrix(events, exits, entries)[:-1])
    drop = _greenwood(n, events)

    frames = []
    for group, own in zip(counts.groups, counts.events, strict=True):
        if group < 0:
            continue
        value = np.cumsum(before * own / n)
        # Var F(t) = sum over s <= t of S(s-)^2 h(1 - h)/n - 2 S(s-) G h/n + G^2 drop, with h = own / n and
        # G = F(t) - F(s), expanded so that each part is a running sum
        single = np.cumsum(before**2 * own * (n - own) / n**3)
        pair, pair_value = np.cumsum(before * own / n**2), np.cumsum(before * own / n**2 * value)
        flat, flat_value, flat_square = (np.cumsum(drop * value**power) for power in range(3))
        variance = single - 2 * (value * pair - pair_value) + value**2 * flat - 2 * value * flat_value + flat_square
        left = np.maximum(1 - value, 0)
        left[left < 1e-12] = 0
        se = np.where(left > 0, np.sqrt(np.maximum(variance, 0)), np.nan)
        low, high = _log_log_bounds(left, np.divide(se, left, out=np.zeros_like(se), where=left > 0))
        columns = {"time": counts.times, "cause": names[group], "value": value}
        frames.append(pd.DataFrame({**columns, "se": se, "low": 1 - high, "high": 1 - low}))
    if not frames:
        return pd.DataFrame(columns=["time", "cause", "value", "se", "low", "high"])
    return pd.concat(frames, ignore_index=True)
