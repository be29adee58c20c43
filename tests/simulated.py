"""Simulated companies at little cost: several share one engine, and tables that no question asks for are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from benchmarks.simulation import refilled
from cxlib.intake.company import Company


def in_turn(settings: Mapping[str, object], worlds: Iterable[Mapping[str, pd.DataFrame]]) -> Iterator[Company]:
    """Yield a company for each world, a dictionary of clean frames; all have the same columns and customer ids.

    They share one engine: ask each company before taking the next.
    """
    company = None
    for frames in worlds:
        company = refilled(company, frames) if company else Company.from_frames(settings, frames)
        yield company


def no_programmes(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Leave out the tables that only the page on returns looks at."""
    return {table: rows for table, rows in frames.items() if table not in ("initiatives", "exposures")}
