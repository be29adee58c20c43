"""Draws of the path of an effect against its error, against fits of more of a cluster, and their coverage."""

import math

import numpy as np
import pytest
from test_effects import fit, panel

from cxlib.stats import draws


def stepped(seed=0, periods=8):
    """36 units of unequal weight in 12 regions, reached in steps by an effect of their own."""
    frame = panel([0, 3, 4] * 8 + [0, 3, 6] * 4, periods, noise=1, seed=seed)
    frame["count"] = np.random.default_rng(seed).integers(1, 9, 36)[frame["unit"]]
    return frame.assign(region=frame["unit"] % 12)


@pytest.mark.parametrize(
    "options",
    [{}, {"cluster": "region"}, {"weights": "count", "cluster": "unit"}, {"weights": "count", "cluster": "region"}],
)
@pytest.mark.parametrize("horizon", [1, 3])
def test_draws_add_up_to_the_cumulative_effect_and_its_error(options, horizon):
    result = fit(stepped(), **options)
    whole, groups = result.cumulative(horizon), len(result.panel.names)
    lean = result.paths(horizon, np.vstack([np.ones(groups), 1 + np.eye(groups)]))[1].sum(axis=1)  # on each in turn
    assert lean[0] == pytest.approx(whole.value)
    assert ((lean[1:] - lean[0]) ** 2).sum() * groups / (groups - 1) == pytest.approx(whole.se**2)
    _, paths = result.paths(horizon, draws.group_weights(8_000, 3, groups))
    assert paths.shape == (8_000, horizon)
    assert paths.sum(axis=1).std() * math.sqrt(groups / (groups - 1)) == pytest.approx(whole.se, rel=0.03)


@pytest.mark.parametrize("name", ["paths", "calendar_paths"])
def test_draws_lean_on_a_cluster_as_a_fit_of_more_of_it_does(name):
    frame = stepped()
    result, step = fit(frame, weights="count", cluster="region"), 1e-6
    ones = np.ones((1, 12))
    for region, lean in zip(result.panel.names, step * np.eye(12), strict=True):
        more = frame.assign(count=frame["count"] * (1 + step * (frame["region"] == region)))
        refit, moved, whole = (
            np.hstack(getattr(each, name)(3, w))
            for each, w in ((fit(more, weights="count", cluster="region"), ones), (result, ones + lean), (result, ones))
        )
        assert moved - whole == pytest.approx(refit - whole, rel=1e-3, abs=1e-11)


def test_the_path_of_those_reached_less_the_effect_is_the_path_without():
    frame = panel([0] * 6 + [3] * 6 + [5] * 6, 7, noise=0)  # no noise: without treatment everything is known
    result = fit(frame)
    ones = np.ones((1, 18))
    reached = frame[frame["start"].isin([3, 5])].assign(since=lambda f: f["period"] - f["start"])
    observed = reached[reached["since"].between(0, 2)].groupby("since")["y"].mean()
    seen, effect = result.paths(3, ones)
    assert seen[0] == pytest.approx(observed.to_numpy())
    assert (seen - effect)[0] == pytest.approx(observed - [1, 2, 3])
    only_early = reached[(reached["start"] == 3) & reached["since"].between(0, 4)].groupby("since")["y"].mean()
    assert result.paths(5, ones)[0][0] == pytest.approx(only_early.to_numpy())


def test_intervals_from_draws_of_48_clusters_cover_the_known_truth():
    """Units follow walks of their own, so that their periods are alike; the effect grows: 1 + 2 + 3."""
    matrix, covered = draws.with_plain(draws.group_weights(400, 5, 48)), 0
    for seed in range(400):
        frame = panel([0] * 16 + [3] * 16 + [4] * 16, 6, seed=seed)
        walk = np.random.default_rng(seed).normal(size=(48, 6)).cumsum(axis=1)
        sums = fit(frame.assign(y=frame["y"] + walk.ravel())).paths(3, matrix)[1].sum(axis=1)
        e = draws.estimate(sums[0], sums[1:], 48, groups=48)
        covered += e.low <= 6 <= e.high
    assert 0.93 <= covered / 400 <= 0.97


def test_clusters_are_named_in_the_order_of_the_draws():
    frame = stepped()
    assert fit(frame).panel.names == list(range(36))
    named = frame.assign(region="r" + frame["region"].astype(str))
    result = fit(named, cluster="region")
    assert result.panel.names == [f"r{i}" for i in range(12)]
    early = named.assign(start=named["start"].where(named["region"] != "r4", 1))  # set aside, with all its units
    assert fit(early, cluster="region").panel.names == [f"r{i}" for i in range(12) if i != 4]


def test_paths_longer_than_any_group_is_followed_are_refused():
    with pytest.raises(ValueError, match="for 9 periods; the longest is 6"):
        fit(stepped(), cluster="region").paths(9, np.ones((1, 12)))


def test_leaving_one_group_out_is_the_fit_without_its_units():
    frame = panel([0] * 5 + [3] * 6 + [4] * 7 + [6] * 8, 8, noise=1)
    left = fit(frame).leave_one_out(2).set_index("group")
    assert left.index.tolist() == [3, 4, 6]
    for group in left.index:
        e = fit(frame[frame["start"] != group]).cumulative(2)
        assert left.loc[group].tolist() == pytest.approx([e.value, e.low, e.high, e.n])
    assert fit(frame).leave_one_out(5).empty  # only groups 3 and 4 are seen for so long
    everyone = panel([3] * 6 + [4] * 6 + [5] * 6 + [6] * 6, 8, noise=1)  # 6 is the only comparison of 5
    assert fit(everyone).leave_one_out(1)["group"].tolist() == [3, 4, 5]
    assert fit(everyone).leave_one_out(1)["value"].notna().all()
