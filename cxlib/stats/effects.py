"""Effects of a change, from comparing groups that it reached with groups that it did not (yet) reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import special, stats
from statsmodels.regression.linear_model import WLS

from cxlib.stats import rates
from cxlib.stats.checks import column
from cxlib.stats.estimate import Estimate, NotEstimable
from cxlib.stats.panel import Panel, balanced_panel, weighted_rows

_FEW_CLUSTERS = 20  # with fewer, cluster-robust intervals are too narrow: Cameron & Miller 2015
_FEW_ON_A_SIDE = 5  # few treated clusters are worse than few clusters: MacKinnon & Webb 2017
_LONE_SHARE = 0.05  # the largest share of an average's weight from cells whose spread is unknown


@dataclass(frozen=True)
class Effect(Estimate):
    """An Estimate of an effect: ``clusters`` behind its error (NaN if not clustered), ``caution`` a text or ""."""

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
) -> Effect:
    """Estimate how much more ``outcome`` changed among the treated than among the others, in its own unit.

    ``frame`` has a row per observation; ``treated`` and ``after`` are columns of 0 and 1, ``weights`` one of frequency
    counts. Least squares on treated, after, their product and ``covariates``. Standard errors are clustered by the
    column ``cluster`` (Liang & Zeger 1986 with the usual small-sample factor; t with clusters - 1 degrees of freedom:
    Cameron & Miller 2015), or classical if it is None. They are NaN if a cell has a single cluster, and ``caution``
    warns of few clusters. ``n`` is the number of observations.

    ValueError for missing values, an empty cell of the two-by-two table, or columns that repeat others.

    Example: ``difference_in_differences(stores, "jobs", "jersey", "after", cluster="store").value``.
    """
    frame, w = weighted_rows(frame, [outcome, treated, after, *covariates], cluster, weights)
    numbers = {name: column(frame[name], name) for name in (outcome, treated, after, *covariates)}
    y, is_treated, is_after = numbers[outcome], numbers[treated], numbers[after]
    for name in (treated, after):
        if not np.isin(numbers[name], (0, 1)).all():
            raise ValueError(f"Column {name} must hold only 0 and 1: recode it.")
    corners = {(side, time): (is_treated == side) & (is_after == time) for side in (0, 1) for time in (0, 1)}
    for (side, time), rows in corners.items():
        if not rows.any():
            raise ValueError(
                f"not identified: no row has {treated} = {side} and {after} = {time}. "
                "Both treated and comparison rows are needed before and after."
            )
    # centred and scaled covariates leave the effect as it is, and large numbers lose no precision
    extra = [numbers[name] - np.average(numbers[name], weights=w) for name in covariates]
    extra = [values / (np.abs(values).max() or 1.0) for values in extra]
    design = np.column_stack([np.ones(len(y)), is_treated, is_after, is_treated * is_after, *extra])
    model, n = WLS(y, design, weights=w), float(w.sum())
    if np.linalg.matrix_rank(model.wexog) < design.shape[1]:
        raise ValueError(f"One of the columns {', '.join(covariates)} repeats what the others say: exclude it.")
    free = n - design.shape[1]  # of statsmodels only the rows count, here the observations
    if cluster is None:
        found = model.fit()
        se = found.bse[3] * math.sqrt(found.df_resid / free) if free > 0 else math.nan
        return _effect(float(found.params[3]), se, n, free)
    codes, names = pd.factorize(frame[cluster])
    found = model.fit(cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False})
    fewest = min(len(np.unique(codes[rows])) for rows in corners.values())
    se, clusters = math.nan, len(names)
    if fewest > 1 and free > 0:
        se = found.bse[3] * math.sqrt(clusters / (clusters - 1) * (n - 1) / free)
    return _effect(float(found.params[3]), se, n, clusters - 1, clusters, _few_clusters(clusters, fewest))


def group_time_effects(
    frame: pd.DataFrame,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    weights: str | None = None,
    cluster: str | None = None,
    control: str = "not-yet",
) -> GroupTimeEffects:
    """Estimate the effect on each group of units first treated together, in each period (staggered roll-out).

    ``frame`` has a row per unit and period, every unit in every period. ``period`` holds whole numbers.
    ``first_treated`` is the period in which a unit was first treated, permanently (never: missing, 0 or after the last
    period). The effect on group g in period t is the mean change of ``outcome`` since the last period before g. The
    same change of units not yet treated by t (``control`` "not-yet") or never treated ("never") is subtracted. Periods
    before g are placebos: the change since the previous period (varying base).

    ``weights`` counts the units that a row represents. Errors come from influence functions, summed by the column
    ``cluster`` (default: the unit), with t quantiles. Units treated from the first period on have no comparison and are
    excluded; ``.caution`` says so. NotEstimable where no comparison is left, ValueError for gaps in the panel.

    Example: ``group_time_effects(panel, "revenue", "branch", "month", "start").by_event_time()``.
    Callaway & Sant'Anna 2021, Difference-in-differences with multiple time periods, J. Econometrics 225; no covariates.
    """
    if control not in ("not-yet", "never"):
        raise ValueError(f"control must be 'not-yet' or 'never', not {control!r}.")
    panel, set_aside = balanced_panel(frame, outcome, unit, period, first_treated, weights, cluster)
    found = _compare(panel, control)
    few = _few_clusters(panel.clusters(), panel.clusters(panel.first <= panel.periods[-1]))
    return replace(found, caution=" ".join(filter(None, [set_aside, few, _gaps(found)])))


def _compare(panel: Panel, control: str) -> GroupTimeEffects:
    """Compare each group with its comparison units in each period; NotEstimable where no comparison is left."""
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
        raise _not_identified(groups, control)
    columns = (np.array(values) for values in zip(*cells, strict=True))
    return GroupTimeEffects(*columns, np.column_stack(influence), panel, control)


@dataclass(frozen=True, eq=False, repr=False)
class GroupTimeEffects:
    """Effects by group and period, and their averages; see ``group_time_effects``.

    A cell is a group and a period with a comparison: ``value`` is its effect, ``size`` its treated units, ``lone``
    whether a side has a single cluster, ``influence`` (units x cells) how much each unit moves it. Draws weight the
    clusters (or units) in the order of ``panel.names``. ``caution`` lists limitations in words, "" if there are none.
    """

    group: np.ndarray
    period: np.ndarray
    value: np.ndarray
    size: np.ndarray
    lone: np.ndarray
    influence: np.ndarray
    panel: Panel
    control: str
    caution: str = ""

    @cached_property
    def table(self) -> pd.DataFrame:
        """Return group, period, value, se, low, high and n, the treated units; periods before a group are placebos."""
        effects = [self._average(np.array([cell])) for cell in range(len(self.value))]
        return _estimate_table({"group": self.group, "period": self.period}, effects)

    def simple(self) -> Effect:
        """Return the mean of all effects after treatment, groups weighted by size."""
        return self._average(np.flatnonzero(self._event_times >= 0))

    def by_event_time(self) -> pd.DataFrame:
        """Return the mean effect by periods since treatment (0 is the first, below 0 placebos), weighted by size.

        Columns event_time, value, se, low, high, n. Later event times rest on fewer groups, those that started earlier.
        """
        times = np.unique(self._event_times)
        effects = [self._average(np.flatnonzero(self._event_times == time)) for time in times]
        return _estimate_table({"event_time": times}, effects)

    def at(self, event_time: int) -> Effect:
        """Return the mean effect that many periods since treatment; NotEstimable where no group is seen so long."""
        chosen = np.flatnonzero(self._event_times == event_time)
        if not chosen.size:
            raise NotEstimable("none-so-long")
        return self._average(chosen)

    def before(self) -> tuple[Effect | None, float]:
        """Return the trend before treatment and the p value that no step before it differs from 0, tested together.

        The steps (placebos by event time) add up to a course before treatment, and the trend is the slope of its least
        squares line, per period. The joint test is Hotelling's, over clusters. Adjacent steps share a period, so their
        covariance counts. None and NaN where there are too few steps or clusters.
        """
        steps = self._steps()
        if steps is None:
            return None, math.nan
        values, influence = steps
        clusters, k = self.panel.clusters(), len(values)
        own = self.panel.weights[:, None] * influence
        covariance = influence.T @ own
        if self.panel.codes is not None:
            of = np.zeros((int(clusters), k))
            np.add.at(of, self.panel.codes, own)
            covariance = of.T @ of
        covariance *= clusters / (clusters - 1)
        return self._trend(values, influence), hotelling_p(values, covariance, clusters)

    def net_of_trend(self, horizon: int) -> Effect | None:
        """Return ``cumulative`` less the trend before treatment carried on, with the error of both; None without one.

        After Rambachan & Roth 2023, A more credible approach to parallel trends (RES 90), for a drift that goes on as a
        straight line: by period e of treatment it has grown to e times the trend.
        """
        steps = self._steps()
        if steps is None:
            return None
        value, influence = self._mean(self._through(horizon))
        drift, own = (part @ _slope(len(steps[0])) for part in steps)
        grown = horizon * (horizon + 1) / 2
        return self._from(horizon * value - grown * drift, horizon * influence - grown * own)

    def cumulative(self, horizon: int) -> Effect:
        """Return the effect summed over the first ``horizon`` periods of treatment, with the joint standard error.

        Only groups compared through the whole horizon count, so that its parts add up. ValueError if there is none.
        """
        return self._average(self._through(horizon), times=horizon)

    def paths(self, horizon: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draw the mean outcome of the treated at event times 0 to ``horizon`` - 1, and the effect contained in it.

        Over the groups that ``cumulative`` counts. ``weights`` (draws x clusters, in the order of ``panel.names``) says
        how often each cluster counts in each draw. Returns two arrays, draws x horizon, linear in the influence of each
        cluster: their difference is the path without treatment. The effect in a row of ones sums to ``cumulative``;
        over resamples of g clusters it has its standard error, apart from the factor sqrt(g / (g - 1)). A group that is
        a single cluster (see ``caution``) varies too little. ValueError as in ``cumulative``.
        """
        panel, chosen = self.panel, self._through(horizon)
        times = self._event_times[chosen]
        values, influence = zip(*(self._mean(chosen[times == time]) for time in range(int(horizon))), strict=True)
        units = np.flatnonzero(np.isin(panel.first, self.group[chosen]))
        starts = np.searchsorted(panel.periods, panel.first[units])
        seen = panel.outcome[units[:, None], starts[:, None] + np.arange(int(horizon))]
        effects = panel.drawn(np.array(values), np.column_stack(influence), weights)
        return panel.drawn_mean(units, seen, weights), effects

    def calendar_paths(self, last: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draw the mean outcome of all units ever reached, from the first start to ``last``, and the effect in it.

        A unit has no effect until its start, so the effect summed over periods is the total by calendar time. Weights
        and results are those of ``paths``, with a column for each period. ValueError if a group reached by then lacks a
        comparison in a period since its start.
        """
        panel, first = self.panel, self.panel.first
        inside = (panel.periods >= self.group.min()) & (panel.periods <= last)
        reached = np.isfinite(first)
        total = panel.weights[reached].sum()
        values, influence = np.zeros(inside.sum()), np.zeros((len(first), inside.sum()))
        for k, now in enumerate(panel.periods[inside]):
            chosen = np.flatnonzero((self.period == now) & (self.group <= now))
            missing = set(first[first <= now]) - set(self.group[chosen])
            if missing:
                raise ValueError(f"Group {min(missing):g} has no comparison in period {now:g}: choose an earlier one.")
            share = self.size[chosen] / total
            values[k] = share @ self.value[chosen]
            influence[:, k] = self.influence[:, chosen] @ share
            influence[reached, k] -= values[k] / total
            for group, value in zip(self.group[chosen], self.value[chosen], strict=True):
                influence[first == group, k] += value / total
        seen = panel.drawn_mean(np.flatnonzero(reached), panel.outcome[reached][:, inside], weights)
        return seen, panel.drawn(values, influence, weights)

    def leave_one_out(self, horizon: int) -> pd.DataFrame:
        """Return ``cumulative`` with one group at a time excluded from both the treated and the comparison.

        Columns group, value, low, high, n; no rows if fewer than three groups count. A comparison always remains,
        because the group that starts last, or never, is not excluded.
        """
        groups = np.unique(self.group[self._through(horizon)])
        others = [_compare(self.panel.part(self.panel.first != g), self.control) for g in groups if len(groups) > 2]
        effects = [other.cumulative(horizon) for other in others]
        table = pd.DataFrame([(e.value, e.low, e.high, e.n) for e in effects], columns=["value", "low", "high", "n"])
        table.insert(0, "group", groups[: len(effects)])
        return table

    @property
    def _event_times(self) -> np.ndarray:
        return self.period - self.group

    def _through(self, horizon: int) -> np.ndarray:
        """Return the cells of the first ``horizon`` periods of treatment, of groups compared in all of them."""
        if horizon != int(horizon) or horizon < 1:
            raise ValueError(f"horizon must be a whole number of periods, 1 or more, not {horizon}.")
        inside = (self._event_times >= 0) & (self._event_times < horizon)
        names, counts = np.unique(self.group[inside], return_counts=True)
        if horizon not in counts:
            longest = counts.max(initial=0)
            raise ValueError(f"No group is observed with a comparison for {horizon} periods; the longest is {longest}.")
        return np.flatnonzero(inside & np.isin(self.group, names[counts == horizon]))

    def _steps(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the steps before treatment and the influence of each unit on them; None without two of known error."""
        times = [t for t in np.unique(self._event_times) if t < 0 and not self.lone[self._event_times == t].any()]
        if len(times) < 2:
            return None
        values, influence = zip(*(self._mean(np.flatnonzero(self._event_times == t)) for t in times), strict=True)
        return np.array(values), np.column_stack(influence)

    def _trend(self, values: np.ndarray, influence: np.ndarray) -> Effect:
        weights = _slope(len(values))
        return self._from(float(values @ weights), influence @ weights)

    def _from(self, value: float, influence: np.ndarray) -> Effect:
        """Return an effect of known influence of each unit."""
        clusters = self.panel.clusters()
        se = math.sqrt(self.panel.sum_of_squares(influence) * clusters / (clusters - 1))
        n = float(self.panel.weights[np.isfinite(self.panel.first)].sum())
        return _effect(float(value), se, n, clusters - 1, clusters, self.caution)

    def _mean(self, chosen: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the mean of the chosen cells by group size, and the influence of each unit on it."""
        values, groups, total = self.value[chosen], self.group[chosen], self.size[chosen].sum()
        share = self.size[chosen] / total
        value = float(share @ values)
        influence = self.influence[:, chosen] @ share
        for group in np.unique(groups):
            influence[self.panel.first == group] += (values[groups == group] - value).sum() / total
        return value, influence

    def _average(self, chosen: np.ndarray, times: int = 1) -> Effect:
        """Return ``times`` the mean of the chosen cells by group size, with its error."""
        value, influence = self._mean(chosen)
        clusters, se = self.panel.clusters(), math.nan
        if self.size[chosen][self.lone[chosen]].sum() <= _LONE_SHARE * self.size[chosen].sum():
            se = times * math.sqrt(self.panel.sum_of_squares(influence) * clusters / (clusters - 1))
        n = float(self.size[chosen][np.unique(self.group[chosen], return_index=True)[1]].sum())
        return _effect(times * value, se, n, clusters - 1, clusters, self.caution)


def rate_net_of_drift(
    counts: pd.DataFrame, unit: str, period: str, first_treated: str, events: str, exposure: str, settling: int = 3
) -> tuple[Estimate, float]:
    """Return the relative change of a rate among treated units, net of a drift of their own, and the p of that drift.

    ``counts`` has a row per unit and period with ``events`` and ``exposure``; ``first_treated`` as in
    ``group_time_effects``. A Poisson regression within periods: each group first treated together has a level and a
    linear trend of its log rate; the first ``settling`` periods of treatment have a change of their own, and the
    change of the later ones is the effect. So an effect that grows is not taken for a drift. Errors are clustered by
    unit. Periods without an untreated unit compare nothing and are excluded.

    Returns the Estimate (-0.1: a rate a tenth lower) with p, and the p value that no group has a drift.
    ValueError where it cannot be fitted, for example without a period before the start.

    Example: ``rate_net_of_drift(months, "branch", "month", "start", "left", "at_risk")``.
    Interrupted time series with a comparison: Wagner, Soumerai, Zhang & Ross-Degnan 2002, J. Clin. Pharm. Ther. 27.
    """
    start = counts[first_treated].fillna(math.inf)
    counts = counts[(start > counts[period].min()) & (counts[period] < start.max())]
    since = counts[period] - counts[first_treated].fillna(math.inf)
    groups = sorted(counts[first_treated].dropna().unique())
    groups = groups if counts[first_treated].isna().any() else groups[:-1]
    time = counts[period] - counts[period].mean()
    own = {g: (counts[first_treated] == g).astype(float) for g in groups}
    design = {f"level {g}": v for g, v in own.items()} | {f"drift {g}": v * time for g, v in own.items()}
    design |= {"settling": (since >= 0) & (since < settling), "effect": since >= settling}
    found = rates.fit(counts, pd.DataFrame(design).astype(float), [period], events, exposure, unit)
    drift = np.eye(len(found.coefficients))[len(groups) : 2 * len(groups)]
    row = found.table.loc["effect"]
    n = float(counts[exposure].sum())
    return Estimate(*(row[["value", "low", "high"]] - 1), float(row["se"]), n, float(row["p"])), found.wald(drift)


def hotelling_p(values: np.ndarray, covariance: np.ndarray, groups: float) -> float:
    """Return the p value that all ``values`` are 0, their covariance estimated from so many groups; NaN with too few.

    Hotelling 1931, The generalization of Student's ratio, Annals of Mathematical Statistics 2.

    Example: ``hotelling_p(steps, covariance, groups=48)``.
    """
    k = len(values)
    if groups <= k + 1 or np.linalg.matrix_rank(covariance) < k:
        return math.nan
    statistic = float(values @ np.linalg.solve(covariance, values))
    return float(stats.f.sf(statistic * (groups - k) / (k * (groups - 1)), k, groups - k))


def _slope(steps: int) -> np.ndarray:
    """Return the weights of steps in the least squares slope of the course that they add up to."""
    x = np.arange(steps + 1) - steps / 2
    return x[::-1].cumsum()[::-1][1:] / (x @ x)


def _effect(value: float, se: float, n: float, degrees: float, clusters: float = math.nan, caution: str = "") -> Effect:
    """Return an Effect with its t interval and p value."""
    margin = float(special.stdtrit(degrees, 0.975)) * se  # far quicker than scipy.stats.t
    p = float(2 * special.stdtr(degrees, -abs(value) / se)) if se > 0 else math.nan
    return Effect(value, value - margin, value + margin, se, n, p, clusters, caution)


def _estimate_table(keys: dict[str, np.ndarray], effects: list[Effect]) -> pd.DataFrame:
    """Return the keys with value, se, low, high and n."""
    columns = ("value", "se", "low", "high", "n")
    return pd.DataFrame(keys | {name: [getattr(effect, name) for effect in effects] for name in columns})


def _few_clusters(clusters: float, fewest: float) -> str:
    """Return a warning if there are too few clusters to trust their errors, else an empty text."""
    if clusters >= _FEW_CLUSTERS and fewest >= _FEW_ON_A_SIDE:
        return ""
    return (
        f"Only {clusters:g} clusters ({fewest:g} on the smallest side): the interval is probably too narrow. "
        f"About {_FEW_CLUSTERS} are needed."
    )


def _not_identified(groups: np.ndarray, control: str) -> NotEstimable:
    """Return the reason why there is no effect to estimate."""
    if not groups.size:  # without a unit first treated after the first period there is no before and after
        return NotEstimable("none-treated-after-the-first-period")
    if control == "never":
        return NotEstimable("none-never-treated")
    return NotEstimable("all-treated", since=int(groups[0]))


def _gaps(cells: GroupTimeEffects) -> str:
    """Return sentences about periods without a comparison and about unknown errors."""
    sentences, periods = [], cells.panel.periods
    uncompared = periods[(periods >= cells.group.min()) & ~np.isin(periods, cells.period)]
    if uncompared.size:
        sentences.append(f"From period {uncompared[0]:g} on all units are treated, so no effects are given there.")
    lone = np.unique(cells.group[cells.lone])
    if lone.size:
        sentences.append(
            f"Group {', '.join(map(str, lone))} or its comparison is a single cluster, so its error is unknown."
        )
    return " ".join(sentences)
