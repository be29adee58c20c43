"""Spikes: found whatever the unit, and not in slopes, noise or the first values."""

from __future__ import annotations

import numpy as np
import pytest

from cxlib.stats.spikes import spikes


def found(values, counts):
    return spikes(values, counts)["value"].tolist()


def test_a_spike_is_found_whatever_the_unit_and_a_slope_is_none():
    hours = np.arange(1, 200)
    smooth = np.round(3000 * np.exp(-hours / 15)) + 2
    assert found(hours, smooth) == []
    assert found(hours, smooth + 60 * (hours == 120)) == [120]
    assert found(24 * hours, smooth + 60 * (hours == 120)) == [24 * 120]
    order = np.random.default_rng(1).permutation(hours.size)
    assert found(hours[order], (smooth + 60 * (hours == 120))[order]) == [120]


def test_two_spikes_close_by_do_not_hide_each_other():
    hours = np.arange(1, 100)
    counts = 4 + 90 * np.isin(hours, [48, 50])
    assert found(hours, counts) == [48, 50]
    assert spikes(hours, counts)["expected"].tolist() == [4, 4]


def test_the_last_value_can_be_a_spike_and_the_first_ones_never():
    assert found(range(1, 11), [3] * 9 + [80]) == [10]
    assert found(range(1, 11), [80] + [3] * 9) == []
    assert found([1, 2, 3], [1, 1, 90]) == []
    assert found([], []) == []


def test_noise_makes_no_spikes():
    rng = np.random.default_rng(7)
    assert not any(found(range(500), rng.poisson(1.5, 500)) for _ in range(200))


def test_spikes_refuse_a_value_given_twice():
    with pytest.raises(ValueError, match="twice"):
        spikes([1, 1], [2, 3])
