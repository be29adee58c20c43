"""Effects of a change from groups it reached and groups it did not (yet) reach, and the drift without any change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from cxlib.stats.estimate import Estimate

_FEW_CLUSTERS = 20  # below it cluster-robust intervals are too narrow: Cameron & Miller 2015
_FEW_ON_A_SIDE = 5  # few treated clusters are worse than few clusters: MacKinnon & Webb 2017
_LONE_SHARE = 0.05  # an average may take this share of its weight from cells whose own spread cannot be seen


@dataclass(frozen=True)
class Effect(Estimate):
    """An Estimate of an effect; ``clusters`` behind its error (NaN if not clustered), ``caution`` a text or ""."""

    clusters: float = math.nan
    caution: str = ""


def difference_in_differences(
    frame: pd.DataFrame,
    outcome: str,
    treated: str,
    after: str,
    cluster: str | None,
    covariates: Sequence[str] = (),
    weights: str | None = None,
    confidence: float = 0.95,
) -> Effect:
    """Estimate how much more ``outcome`` changed among the treated than among the others, in its own unit.

    ``frame`` has a row per observation; ``treated`` and ``after`` are columns of 0 and 1, ``weights`` one of
    frequency counts. Least squares on treated, after, their product and ``covariates``. Standard errors are
    clustered by the column ``cluster`` (Liang & Zeger 1986 with the usual small-sample factor; t with clusters
    - 1 degrees of freedom: Cameron & Miller 2015), or classical when it is None. With a single cluster in a
    cell they cannot be known and are NaN; ``caution`` warns of few. ``n`` is the number of observations.
    Raises ValueError for missing values, an empty cell of the two-by-two table, or columns that repeat others.
    """
    frame, w = _complete(frame, [outcome, treated, after, *covariates], cluster, weights)
    numbers = {name: _numbers(frame, name) for name in (outcome, treated, after, *covariates)}
    y, is_treated, is_after = numbers[outcome], numbers[treated], numbers[after]
    for name in (treated, after):
        if not np.isin(numbers[name], (0, 1)).all():
            raise ValueError(f"Column {name} must hold only 0 and 1: recode it.")
    corners = {(side, time): (is_treated == side) & (is_after == time) for side in (0, 1) for time in (0, 1)}
    for (side, time), rows in corners.items():
        if not rows.any():
            raise ValueError(
                f"not identified: no row has {treated} = {side} and {after} = {time}. "
                "Treated and comparison rows are both needed before and after."
            )
    # covariates from their mean, in spreads: the effect is the same and large numbers cost no precision
    extra = [numbers[name] - np.average(numbers[name], weights=w) for name in covariates]
    extra = [column / (np.abs(column).max() or 1.0) for column in extra]
    design = np.column_stack([np.ones(len(y)), is_treated, is_after, is_treated * is_after, *extra])
    gram = design.T @ (w[:, None] * design)
    if np.linalg.matrix_rank(np.sqrt(w)[:, None] * design) < design.shape[1]:
        raise ValueError(f"Of the columns {', '.join(covariates)} one repeats what the others say: leave it out.")
    residuals = y - design @ np.linalg.solve(gram, design.T @ (w * y))
    inverse_row = np.linalg.solve(gram, np.eye(len(gram))[3])
    influence = w * (design @ inverse_row)  # of each row's outcome on the effect
    value, n = float(influence @ y), float(w.sum())
    free = n - design.shape[1]
    if cluster is None:
        se = math.sqrt(float(w @ residuals**2) / free * inverse_row[3]) if free > 0 else math.nan
        return _effect(value, se, n, free, confidence)
    codes, names = pd.factorize(frame[cluster])
    fewest = min(len(np.unique(codes[rows])) for rows in corners.values())
    se, clusters = math.nan, len(names)
    if fewest > 1 and free > 0:
        squares = float((np.bincount(codes, influence * residuals) ** 2).sum())
        se = math.sqrt(squares * clusters / (clusters - 1) * (n - 1) / free)
    return _effect(value, se, n, clusters - 1, confidence, clusters, _few_clusters(clusters, fewest))


def group_time_effects(
    frame: pd.DataFrame,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    weights: str | None = None,
    cluster: str | None = None,
    control: str = "not-yet",
    confidence: float = 0.95,
) -> GroupTimeEffects:
    """Estimate the effect on each group of units first treated together, in each period (staggered roll-out).

    Callaway & Sant'Anna 2021 without covariates. ``frame`` has a row per unit and period, every unit in every
    period. ``period`` holds whole numbers; ``first_treated`` the period a unit was first treated in, for good
    (missing, 0 or a period after the last: never). For group g in period t the effect is the mean change of
    ``outcome`` since the last period before g, minus that of units not yet treated by t (``control`` "not-yet")
    or never treated in the data ("never"). Periods before g are placebos: the change since the period before
    (varying base), so each is one step, not the distance from a common base.

    ``weights`` counts how many units a unit stands for. Errors come from influence functions, summed by the
    column ``cluster`` (default: the unit), with t quantiles. Units treated from the first period on have nothing
    to be compared with and are set aside, with a word in ``.caution``. Raises ValueError "not identified: ..."
    where no comparison is left, and for gaps in the panel.
    """
    if control not in ("not-yet", "never"):
        raise ValueError(f"control must be 'not-yet' or 'never', not {control!r}.")
    panel, set_aside = _panel(frame, outcome, unit, period, first_treated, weights, cluster)
    periods, first, w = panel.periods, panel.first, panel.weights
    groups = np.unique(first[first <= periods[-1]])
    cells, influence = [], []
    for group in groups:
        treated = first == group
        before = int(np.searchsorted(periods, group)) - 1
        for now in range(1, len(periods)):
            compared = ~treated & (first > (periods[now] if control == "not-yet" else periods[-1]))
            if not compared.any():
                continue
            change = panel.outcome[:, now] - panel.outcome[:, before if periods[now] >= group else now - 1]
            value, own = 0.0, np.zeros(len(w))
            for sign, side in ((1, treated), (-1, compared)):
                n = w[side].sum()
                level = float(w[side] @ change[side] / n)
                value += sign * level
                own[side] = sign * (change[side] - level) / n
            lone = min(panel.clusters(treated), panel.clusters(compared)) < 2
            cells.append((int(group), int(periods[now]), value, float(w[treated].sum()), lone))
            influence.append(own)
    if not any(now >= group for group, now, *_ in cells):
        raise ValueError(_not_identified(groups, control))
    columns = (np.array(column) for column in zip(*cells, strict=True))
    result = _Cells(*columns, np.column_stack(influence), panel, confidence)
    few = _few_clusters(panel.clusters(), panel.clusters(np.isin(first, groups)))
    caution = " ".join(filter(None, [set_aside, few, _gaps(result)]))
    return GroupTimeEffects(result.table(), caution, result)


@dataclass(frozen=True)
class GroupTimeEffects:
    """Effects by group and period, and their averages; see ``group_time_effects``.

    ``table``: group, period, value, se, low, high, n, a row per group and period that has a comparison; periods
    before the group are placebos. ``n`` is everywhere the number of treated units behind the value. ``caution``
    says in words what to be careful with, "" if nothing.
    """

    table: pd.DataFrame
    caution: str
    _cells: _Cells = field(repr=False)

    def simple(self) -> Effect:
        """Mean of all effects after treatment, each group by its size."""
        return self._mean_of(np.flatnonzero(self._cells.event_times >= 0))

    def by_event_time(self) -> pd.DataFrame:
        """Mean effect by periods since treatment (0 is the first), groups by size; below 0 the placebos.

        Columns event_time, value, se, low, high, n. Later event times rest on fewer, earlier groups.
        """
        times = np.unique(self._cells.event_times)
        effects = [self._mean_of(np.flatnonzero(self._cells.event_times == time)) for time in times]
        return _estimate_table(pd.DataFrame({"event_time": times}), effects)

    def cumulative(self, horizon: int) -> Effect:
        """Effect summed over the first ``horizon`` periods of treatment, with the joint standard error.

        Only groups seen, and compared, through the whole horizon count, so that its parts add up. Raises
        ValueError if there is none.
        """
        if horizon != int(horizon) or horizon < 1:
            raise ValueError(f"horizon must be a whole number of periods, 1 or more, not {horizon}.")
        times, groups = self._cells.event_times, self._cells.group
        inside = (times >= 0) & (times < horizon)
        names, counts = np.unique(groups[inside], return_counts=True)
        if horizon not in counts:
            raise ValueError(
                f"No group is observed with a comparison for {horizon} periods; the longest is {counts.max()}."
            )
        whole = np.isin(groups, names[counts == horizon])
        return self._mean_of(np.flatnonzero(inside & whole), times=horizon)

    def _mean_of(self, chosen: np.ndarray, times: int = 1) -> Effect:
        return self._cells.average(chosen, times, self.caution)


@dataclass(frozen=True)
class _Panel:
    """A balanced panel: ``outcome`` is units by periods; ``first`` is infinite for never; ``codes`` of clusters."""

    outcome: np.ndarray
    periods: np.ndarray
    first: np.ndarray
    weights: np.ndarray
    codes: np.ndarray | None

    def clusters(self, units: np.ndarray | slice = slice(None)) -> float:
        """Number of clusters among the chosen units (default all); without clusters, of units."""
        return float(self.weights[units].sum()) if self.codes is None else len(np.unique(self.codes[units]))

    def sum_of_squares(self, influence: np.ndarray) -> float:
        """Squared influence summed over clusters; a unit of weight 3 is three alike, each its own cluster."""
        if self.codes is None:
            return float(self.weights @ influence**2)
        return float((np.bincount(self.codes, self.weights * influence) ** 2).sum())


@dataclass(frozen=True)
class _Cells:
    """Group-period effects with the influence of each unit (rows) on each of them (columns)."""

    group: np.ndarray
    period: np.ndarray
    value: np.ndarray
    size: np.ndarray  # treated units
    lone: np.ndarray  # a side has a single cluster
    influence: np.ndarray
    panel: _Panel
    confidence: float

    @property
    def event_times(self) -> np.ndarray:
        """Periods since treatment of each cell."""
        return self.period - self.group

    def table(self) -> pd.DataFrame:
        """All cells with their intervals."""
        effects = [self.average(np.array([cell])) for cell in range(len(self.value))]
        return _estimate_table(pd.DataFrame({"group": self.group, "period": self.period}), effects)

    def average(self, chosen: np.ndarray, times: int = 1, caution: str = "") -> Effect:
        """``times`` the mean of the chosen cells by group size; the error includes that of the sizes."""
        values, groups, total = self.value[chosen], self.group[chosen], self.size[chosen].sum()
        share = self.size[chosen] / total
        value = float(share @ values)
        influence = self.influence[:, chosen] @ share
        names, firsts = np.unique(groups, return_index=True)
        for group in names:
            influence[self.panel.first == group] += (values[groups == group] - value).sum() / total
        clusters, se = self.panel.clusters(), math.nan
        if share[self.lone[chosen]].sum() <= _LONE_SHARE:
            se = times * math.sqrt(self.panel.sum_of_squares(influence) * clusters / (clusters - 1))
        n = float(self.size[chosen][firsts].sum())
        return _effect(times * value, se, n, clusters - 1, self.confidence, clusters, caution)


def regression_to_the_mean(correlation: float, sd: float, mean: float, cutoff: float) -> float:
    """Expected rise, without any action, of those whose first reading lay below ``cutoff``.

    ``correlation`` is that between two readings of one unit (0-1); ``sd`` and ``mean`` are those of all first
    readings, normally distributed. The result is in the unit of ``sd``, above or equal to 0: (1 - correlation) x
    sd x C(z), z = (mean - cutoff) / sd (Barnett, van der Pols & Dobson 2005, equation 1).
    """
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation must lie between 0 and 1, not {correlation}.")
    if not (math.isfinite(sd) and sd > 0 and math.isfinite(mean) and math.isfinite(cutoff)):
        raise ValueError(f"sd must be above 0, mean and cutoff finite, not {sd}, {mean}, {cutoff}.")
    z = (mean - cutoff) / sd
    return float((1 - correlation) * sd * math.exp(stats.norm.logpdf(z) - stats.norm.logsf(z)))


def _effect(
    value: float,
    se: float,
    n: float,
    degrees: float,
    confidence: float,
    clusters: float = math.nan,
    caution: str = "",
) -> Effect:
    """An Effect with its t interval and p value."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95, not {confidence}.")
    margin = float(stats.t.ppf((1 + confidence) / 2, degrees)) * se
    p = float(2 * stats.t.sf(abs(value) / se, degrees)) if se > 0 else math.nan
    return Effect(value, value - margin, value + margin, se, n, p, clusters, caution)


def _estimate_table(keys: pd.DataFrame, effects: list[Effect]) -> pd.DataFrame:
    """The keys with a row's value, se, low, high and n after them."""
    columns = ("value", "se", "low", "high", "n")
    return keys.assign(**{name: [getattr(effect, name) for effect in effects] for name in columns})


def _few_clusters(clusters: float, fewest: float) -> str:
    """A warning if the clusters are too few for their errors to be trusted, else an empty text."""
    if clusters >= _FEW_CLUSTERS and fewest >= _FEW_ON_A_SIDE:
        return ""
    return (
        f"Only {clusters:g} clusters ({fewest:g} on the smallest side): the interval is likely too narrow; "
        f"trust it from about {_FEW_CLUSTERS} on."
    )


def _complete(
    frame: pd.DataFrame, columns: Sequence[str], cluster: str | None, weights: str | None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with weight, and the weights; ValueError for a column that is not there or has missing values."""
    needed = [*columns, *(name for name in (cluster, weights) if name is not None)]
    absent = [name for name in needed if name not in frame]
    if absent:
        raise ValueError(f"The frame has no column {', '.join(absent)}; it has {', '.join(map(str, frame.columns))}.")
    missing = {name: int(frame[name].isna().sum()) for name in needed}
    if any(missing.values()):
        counts = ", ".join(f"{name} ({count})" for name, count in missing.items() if count)
        raise ValueError(f"Missing values in {counts} of {len(frame)} rows: fill them or leave those rows out first.")
    if weights is None:
        return frame, np.ones(len(frame))
    w = _numbers(frame, weights)
    if (w < 0).any():
        raise ValueError(f"Column {weights} must hold counts, 0 or more.")
    return frame[w > 0], w[w > 0]


def _numbers(frame: pd.DataFrame, column: str, whole: bool = False) -> np.ndarray:
    """A column as finite floating-point numbers; ``whole`` refuses fractions."""
    try:
        if frame[column].dtype.kind in "mM":  # numpy would turn dates into nanoseconds
            raise TypeError
        numbers = frame[column].to_numpy(dtype=float)
    except (TypeError, ValueError):
        kind = "whole numbers, such as months counted from the first" if whole else "numbers"
        raise ValueError(f"Column {column} must hold {kind}: recode it.") from None
    if not np.isfinite(numbers).all():
        raise ValueError(f"Column {column} holds an infinite number: correct it.")
    if whole and (numbers % 1 != 0).any():
        raise ValueError(f"Column {column} must hold whole numbers, not {numbers[numbers % 1 != 0][0]:g}.")
    return numbers


def _panel(
    frame: pd.DataFrame,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    weights: str | None,
    cluster: str | None,
) -> tuple[_Panel, str]:
    """The balanced panel without the units treated from the start, and a sentence about those."""
    if first_treated not in frame:
        raise ValueError(f"The frame has no column {first_treated}; it has {', '.join(map(str, frame.columns))}.")
    frame, w = _complete(frame, [outcome, unit, period], cluster, weights)
    if frame.empty:
        raise ValueError("The panel has no rows: check the selection.")
    y, time, first = _numbers(frame, outcome), _numbers(frame, period, whole=True), np.full(len(frame), math.inf)
    periods = np.unique(time)
    dated = frame[first_treated].notna().to_numpy() & ~frame[first_treated].isin([0, math.inf]).to_numpy()
    first[dated] = _numbers(frame[dated], first_treated, whole=True)
    if periods[0] < 0 and frame[first_treated].isin([0]).any():
        raise ValueError(f"In {first_treated} 0 means never, but 0 is also a period: count the periods from 1.")
    first[first > periods[-1]] = math.inf
    codes, units = pd.factorize(frame[unit])
    order = np.lexsort((time, codes))
    codes, time = codes[order], time[order]
    repeated = np.flatnonzero((np.diff(codes) == 0) & (np.diff(time) == 0))
    if repeated.size:
        row = repeated[0]
        raise ValueError(f"Unit {units[codes[row]]} has period {time[row]:g} more than once: keep one row of each.")
    short = np.flatnonzero(np.bincount(codes) < len(periods))
    if short.size:
        gap = np.setdiff1d(periods, time[codes == short[0]])[0]
        raise ValueError(
            f"Unit {units[short[0]]} has no row for period {gap:g} ({short.size} of {len(units)} units have gaps). "
            "Every unit is needed in every period: fill the gaps or leave those units out."
        )

    def per_unit(name: str, values: np.ndarray) -> np.ndarray:
        by_unit = values[order].reshape(len(units), len(periods))
        changing = np.flatnonzero((by_unit != by_unit[:, :1]).any(axis=1))
        if changing.size:
            raise ValueError(f"Unit {units[changing[0]]} has more than one {name}: it must be the same in each period.")
        return by_unit[:, 0]

    first, w = per_unit(first_treated, first), per_unit(weights or "weight", w)
    clusters = None if cluster is None else per_unit(cluster, pd.factorize(frame[cluster])[0])
    kept = first > periods[0]
    if clusters is not None:
        clusters = pd.factorize(clusters[kept])[0]
    panel = _Panel(y[order].reshape(len(units), -1)[kept], periods, first[kept], w[kept], clusters)
    if kept.all():
        return panel, ""
    return panel, (
        f"{(~kept).sum()} of {len(units)} units were treated from period {periods[0]:g} on or before and are set "
        "aside: nothing is known of them untreated."
    )


def _not_identified(groups: np.ndarray, control: str) -> str:
    """Why there is no effect to estimate."""
    if not groups.size:
        return "not identified: no unit is first treated after the first period, so there is no before and after."
    if control == "never":
        return "not identified: no unit is never treated. Use control='not-yet' if the start is staggered."
    return (
        f"not identified: from period {groups[0]:g} on every unit is treated, so nobody is left to compare with. "
        "Keep some units untreated, or stagger the start."
    )


def _gaps(cells: _Cells) -> str:
    """Sentences about effects that could not be compared and about errors that could not be seen."""
    sentences, periods = [], cells.panel.periods
    uncompared = periods[(periods >= cells.group.min()) & ~np.isin(periods, cells.period)]
    if uncompared.size:
        sentences.append(f"From period {uncompared[0]:g} on everybody is treated: no effects are given there.")
    lone = np.unique(cells.group[cells.lone])
    if lone.size:
        sentences.append(
            f"Group {', '.join(map(str, lone))} or its comparison is a single cluster: its error cannot be known."
        )
    return " ".join(sentences)
