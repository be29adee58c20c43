"""A Cox regression from counts at risk equals that from rows: coefficients, likelihood, clustered errors, draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from risk_sets import cox

from cxlib.stats import person_time


def made(seed, n=300, strata=2, length=40):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, length // 2, n)
    frame = pd.DataFrame(
        {
            "stratum": rng.choice([f"s{i}" for i in range(strata)], n),
            "band": rng.choice(["a", "b", "c"], n),
            "start": start,
            "stop": start + rng.integers(1, length // 2, n),
            "event": rng.integers(0, 2, n),
            "fold": rng.integers(0, 16, n),
        }
    )
    return frame.assign(a=(frame["band"] == "a").astype(float), b=(frame["band"] == "b").astype(float))


def counted(frame):
    cells = ["stratum", "band"]
    entered = frame.groupby([*cells, "start"]).size().rename("n").reset_index().rename(columns={"start": "day"})
    left = frame.groupby([*cells, "stop"])["event"].agg(n="size", events="sum").reset_index()
    return entered, left.rename(columns={"stop": "day"})


def adding_up(frame):
    """Do for rows in memory what the engine does for tables."""

    def add_up(ticks, steps, names):
        totals = np.zeros((16, len(names)))
        for side, sign in (("stop", 1), ("start", -1)):
            rows = frame[["stratum", "band", "fold", "event"]].assign(day=frame[side])
            rows = rows.merge(ticks, on=["stratum", "day"]).merge(steps, on=["stratum", "band", "tick"])
            for k, name in enumerate(names):
                own = rows[name] + (rows["event"] * rows[f"{name}_end"] if sign > 0 else 0)
                totals[:, k] += sign * np.bincount(rows["fold"], own, 16)
        return totals

    return add_up


def from_counts(frame):
    risk = person_time.at_risk(*counted(frame), ["band"])
    for band in ("a", "b"):
        risk.rows[band] = (risk.rows["band"] == band).astype(float)
    return person_time.fit(risk, ["a", "b"], adding_up(frame))


def from_rows(frame):
    return cox(frame, "event", ["a", "b"], start="start", stop="stop", strata="stratum")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([8, 40, 200]))
def test_counts_at_risk_give_the_fit_of_the_rows(seed, strata, length):
    frame = made(seed, strata=strata, length=length)
    ours, rows = from_counts(frame), from_rows(frame)
    assert ours.result.log_likelihood == pytest.approx(rows.log_likelihood, rel=1e-10)
    pulls = np.stack([np.bincount(frame["fold"], part, 16) for part in rows.dfbeta.T], axis=1)
    coef, se = rows.table["coef"].to_numpy(), np.sqrt((pulls**2).sum(axis=0))
    found = ours.result.table
    assert found["coef"].to_numpy() == pytest.approx(coef, rel=1e-7)
    assert found["se"].to_numpy() == pytest.approx(se, rel=1e-7)
    assert found["low"].to_numpy() == pytest.approx(np.exp(coef - 1.959964 * se), rel=1e-6)
    assert found["high"].to_numpy() == pytest.approx(np.exp(coef + 1.959964 * se), rel=1e-6)
    assert ours.pulls == pytest.approx(pulls, abs=1e-9)
    assert ours.result.n == len(frame)


def test_who_is_at_risk_entered_before_and_has_not_gone():
    frame = made(3)
    risk = person_time.at_risk(*counted(frame), ["band"])
    for r in risk.rows.sample(40, random_state=1).itertuples():
        mine = frame[(frame["stratum"] == r.stratum) & (frame["band"] == r.band)]
        assert r.at_risk == ((mine["start"] < r.day) & (mine["stop"] >= r.day)).sum()
        assert r.events == ((mine["stop"] == r.day) & (mine["event"] == 1)).sum()
    every = frame[frame["event"] == 1].groupby("stratum")["stop"].nunique()
    assert risk.rows.groupby("stratum")["tick"].max().to_dict() == every.to_dict()


def test_draws_move_the_coefficients_as_a_refit_would():
    frame = made(5, n=2000)
    ours = from_counts(frame)
    weights = np.ones((1, 16))
    weights[0, 3] = 2
    again = from_rows(pd.concat([frame, frame[frame["fold"] == 3]]))
    assert ours.draws(weights)[0] == pytest.approx(again.table["coef"].to_numpy(), abs=0.01)


def test_without_an_event_there_is_nothing_to_compare():
    frame = made(1).assign(event=0)
    with pytest.raises(ValueError, match="no event"):
        from_counts(frame)
