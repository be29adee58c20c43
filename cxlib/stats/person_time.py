"""Cox regression from counts at risk: the fit needs only how many people of each kind were at risk at each event.

Counted by stratum, kind and day, people give the number at risk at every time with an event. A fit to these numbers
equals the fit to the people. Clustered errors need the people once more, but only in sums: a person's influence on a
coefficient is a step function of time, read at the person's start and stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxlib.stats.cox import CoxResult, cox, wald_table

STRATUM = "stratum"


@dataclass(frozen=True, eq=False)
class AtRisk:
    """Who is at risk at each time with an event in the stratum.

    ``rows`` has stratum, ``keys``, day, tick (1, 2 ... within the stratum), at_risk and events, where anybody is at
    risk; covariates of a fit are added as further columns. ``last_day`` is the last day of follow-up and ``n`` the
    number of episodes.
    """

    rows: pd.DataFrame
    keys: tuple[str, ...]
    last_day: int
    n: float


def at_risk(entered: pd.DataFrame, left: pd.DataFrame, keys: Sequence[str]) -> AtRisk:
    """Count the people at risk and the events at each time with an event in the stratum.

    ``entered`` has stratum, ``keys``, day and n (at risk after that day). ``left`` has the same columns (n last seen on
    that day) and events, those of them with the event. Days are whole numbers, 0 or more.
    """
    keys, parts = list(keys), []
    for stratum, out in left.groupby(STRATUM, observed=True):
        ticks = np.unique(out.loc[out["events"] > 0, "day"])
        into = entered[entered[STRATUM] == stratum]
        both = pd.concat([into[keys], out[keys]], ignore_index=True)
        code = both.groupby(keys, observed=True, sort=True).ngroup().to_numpy()
        kinds = both.iloc[np.unique(code, return_index=True)[1]].reset_index(drop=True)
        shape = (len(kinds), ticks.size + 1)
        # At risk at a tick: day of entry < tick <= last day.
        came = _cells(code[: len(into)], np.searchsorted(ticks, into["day"], side="right"), into["n"], shape)
        went = _cells(code[len(into) :], np.searchsorted(ticks, out["day"], side="right"), out["n"], shape)
        events = _cells(code[len(into) :], np.searchsorted(ticks, out["day"]), out["events"], shape)[:, :-1]
        risk = (came.cumsum(axis=1) - went.cumsum(axis=1))[:, :-1]
        kind, tick = np.nonzero(risk > 0)
        found = kinds.iloc[kind].reset_index(drop=True)
        found.insert(0, STRATUM, stratum)
        parts.append(found.assign(day=ticks[tick], tick=tick + 1, at_risk=risk[kind, tick], events=events[kind, tick]))
    nobody = pd.DataFrame(columns=[STRATUM, *keys, "day", "tick", "at_risk", "events"])
    rows = pd.concat(parts, ignore_index=True) if parts else nobody
    return AtRisk(rows, tuple(keys), int(left["day"].max()) if len(left) else 0, float(entered["n"].sum()))


def _cells(kind: np.ndarray, position: np.ndarray, weight: pd.Series, shape: tuple[int, int]) -> np.ndarray:
    return np.bincount(kind * shape[1] + position, weight.to_numpy(float), shape[0] * shape[1]).reshape(shape)


@dataclass(frozen=True, eq=False)
class Fit:
    """A Cox regression on counts at risk: ``result`` with errors clustered by fold, ``pulls`` (folds x covariates)."""

    result: CoxResult
    pulls: np.ndarray

    def draws(self, weights_matrix: np.ndarray) -> np.ndarray:
        """Return the coefficients under each resample of the folds (draws x covariates), to first order."""
        return self.result.table["coef"].to_numpy() + (weights_matrix - 1.0) @ self.pulls


def fit(
    risk: AtRisk, covariates: Sequence[str], add_up: Callable[[pd.DataFrame, pd.DataFrame, Sequence[str]], np.ndarray]
) -> Fit:
    """Fit a Cox regression to counts at risk, whose rows have the ``covariates``; errors clustered by fold.

    ``add_up(ticks, steps, names)`` sums over people, per fold, the influence of each between start and stop: ``ticks``
    has stratum, day (0, 1, 2 ...) and tick; ``steps`` has stratum, ``keys``, tick, and for each name the sum up to that
    tick and ``name_end``, the addition of an event there. Ties by Efron's method. ValueError as in ``cox.cox``.

    Example: ``fit(at_risk(entered, left, ["band"]), ["detractor"], add_up).result.table``.
    Sandwich: Lin & Wei 1989 (JASA 84:1074), with its residuals written as steps of time.
    """
    names = list(covariates)
    if risk.rows.empty:
        raise ValueError("There is no event, so there is nothing to compare: check the filter that made the counts.")
    alive = risk.rows.assign(n=risk.rows["at_risk"] - risk.rows["events"], event=0)
    dead = risk.rows.assign(n=risk.rows["events"], event=1)
    rows = pd.concat([alive, dead], ignore_index=True)
    rows = rows[rows["n"] > 0].reset_index(drop=True)
    result = cox(rows, "event", names, [STRATUM, "tick"], weights="n")
    one = pd.DataFrame(result.dfbeta / rows[["n"]].to_numpy(), columns=names)  # the influence of one person
    pulls = add_up(*_steps(risk, rows, one), names)
    covariance, coef = pulls.T @ pulls, result.table["coef"].to_numpy()
    table = wald_table(names, coef, covariance, risk.n)
    return Fit(replace(result, table=table, covariance=covariance, n=risk.n), pulls)


def _steps(risk: AtRisk, rows: pd.DataFrame, one: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the ticks of each stratum by day, and for each kind the running sums of influence over all ticks."""
    cells, names = [STRATUM, *risk.keys], list(one.columns)
    kinds = risk.rows[cells].drop_duplicates(ignore_index=True)
    repeats = kinds[STRATUM].map(risk.rows.groupby(STRATUM, observed=True)["tick"].max()).to_numpy(int) + 1
    code = np.repeat(np.arange(len(kinds)), repeats)
    grid = kinds.iloc[code].reset_index(drop=True)
    grid["tick"] = np.arange(code.size) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    own = rows[[*cells, "tick", "event"]].join(one)
    stay, end = (grid.merge(own[own["event"] == e], "left", [*cells, "tick"])[names] for e in (0, 1))
    stay = stay.fillna(0.0)
    # A person with the event at a tick has another influence there than a survivor.
    jump = (end - stay).fillna(0.0).add_suffix("_end")
    clock = []
    for stratum, part in risk.rows.groupby(STRATUM, observed=True):
        day, times = np.arange(risk.last_day + 1), np.unique(part["day"])
        clock.append(pd.DataFrame({STRATUM: stratum, "day": day, "tick": np.searchsorted(times, day, side="right")}))
    return pd.concat(clock, ignore_index=True), pd.concat([grid, stay.groupby(code).cumsum(), jump], axis=1)
