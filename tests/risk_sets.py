"""Cox regression of people one by one: their rows written out as risk sets, without the counts of person_time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from cxlib.stats import cox as of_sets


def written_out(frame, event, stop, start=None, strata=None):
    """Return stratum and time of each risk set, the position of each row at risk in it, and whether it ends there."""
    layers = [strata] if isinstance(strata, str) else list(strata or [])
    stratum = frame.groupby(layers).ngroup().to_numpy() if layers else np.zeros(len(frame), dtype=int)
    end, happened = frame[stop].to_numpy(float), frame[event].to_numpy() == 1
    begin = frame[start].to_numpy(float) if start else np.full(len(frame), -np.inf)
    parts = []
    for layer in np.unique(stratum):
        own = np.flatnonzero(stratum == layer)
        times = np.unique(end[own][happened[own]])
        row, at = np.nonzero((begin[own, None] < times) & (end[own, None] >= times))
        parts.append(pd.DataFrame({"_stratum": layer, "_time": times[at], "_row": own[row]}))
    sets = pd.concat(parts, ignore_index=True)
    sets["_event"] = (happened[sets["_row"]] & (end[sets["_row"]] == sets["_time"])).astype(int)
    return sets


def cox(frame, event, covariates, stop, start=None, weights=None, strata=None, ties="efron"):
    """Fit a Cox regression to rows at risk after ``start`` until ``stop`` in their ``strata``, with ``weights``.

    As in cxlib.stats.cox, but ``dfbeta`` has a row for each row of the frame.
    """
    frame = frame.reset_index(drop=True)
    names = [covariates] if isinstance(covariates, str) else list(covariates)
    count = np.ones(len(frame)) if weights is None else frame[weights].to_numpy(float)
    sets = written_out(frame.assign(_dead=frame[event] * (count > 0)), "_dead", stop, start, strata)
    sets = sets.assign(_n=count[sets["_row"]]).join(frame[names], on="_row")
    sets = sets[sets["_n"] > 0]
    fit = of_sets.cox(sets, "_event", names, ["_stratum", "_time"], "_n", ties)
    dfbeta = np.zeros((len(frame), len(names)))
    np.add.at(dfbeta, sets["_row"].to_numpy(), fit.dfbeta)
    dfbeta[:, np.isnan(fit.dfbeta).all(axis=0)] = np.nan
    return replace(fit, dfbeta=dfbeta, n=float(count.sum()))
