"""Run one simulation for many seeds, side by side."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

import pandas as pd


def simulate(one: Callable[[int], dict], companies: int, first_seed: int = 1000, workers: int = 2) -> pd.DataFrame:
    """Run ``one(seed)`` for that many seeds, a row each."""
    seeds = range(first_seed, first_seed + companies)
    if workers == 1:
        return pd.DataFrame([one(s) for s in seeds], index=list(seeds))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return pd.DataFrame(pool.map(one, seeds, chunksize=5), index=list(seeds))
