"""Run one simulation for many seeds in parallel, and say how precise the shares of such runs are."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable, Mapping

import pandas as pd

from benchmarks import compiling
from cxlib.intake.company import Company


def simulate(one: Callable[[int], dict], companies: int, first_seed: int = 1000, workers: int = 2) -> pd.DataFrame:
    """Run ``one(seed)`` for ``companies`` consecutive seeds; return a row per seed."""
    seeds = range(first_seed, first_seed + companies)
    if workers == 1:
        return pd.DataFrame([one(s) for s in seeds], index=list(seeds))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return pd.DataFrame(pool.map(one, seeds, chunksize=5), index=list(seeds))


def margin_of_error(companies: int) -> float:
    """Return the margin of error, in points, of a share of 95 % among so many companies."""
    return 100 * 1.96 * (0.95 * 0.05 / companies) ** 0.5


def claims(page: str, found: Mapping[str, float], companies: int) -> str:
    """Return as comments of a part how often a page claims an effect, by the world in which there is none.

    ``calibrate`` puts those of all parts into one table.
    """
    return "\n".join(
        f"<!-- claimed | {page} | {world} | {share:.3f} | {companies} -->" for world, share in found.items()
    )


def refilled(company: Company, frames: Mapping[str, pd.DataFrame]) -> Company:
    """Return a copy of a company whose engine holds other rows.

    ``frames``: clean rows by table, with the same columns and customer ids as before. The intake takes most of the
    time for a small company and finds no fault in simulated rows, so it runs only once.
    """
    engine, folds = company.engine, company.customers.select("customer_id", "fold").to_pandas()
    for name, frame in frames.items():
        rows = frame.assign(_source=0, _row=range(len(frame)), _stop=0, _flags=0, _notes=0)
        if "customer_id" in rows:
            rows = rows.merge(folds, on="customer_id")
            assert len(rows) == len(frame), f"{name} has customers that the company does not have"
        engine.con.register("_rows", rows)
        engine.raw_sql(f"DELETE FROM _checked_{name}")
        engine.raw_sql(f"INSERT INTO _checked_{name} BY NAME SELECT * FROM _rows")
        engine.con.unregister("_rows")
    compiling.once()
    again = copy.copy(company)  # a new object, because answers are cached by company
    again.put_by = lambda name, rows: engine.create_table(f"put_by_{name}", rows, overwrite=True)
    return again
