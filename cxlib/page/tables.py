"""A table as a page shows it: numbers rounded for a reader, an interval in the cell of its value, text escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import pandas as pd

from cxlib.page.numbers import FILTERS, amount, number
from cxlib.stats.estimate import Estimate


def written(frame: pd.DataFrame, columns: Mapping[str, tuple[str, str]], currency: str | None) -> pd.DataFrame:
    """Return the cells as text; ``columns`` as in ``Page.frame`` (empty: all, under their own names)."""
    named = {c: said for c, said in columns.items() if c in frame}  # a table leaves out empty columns
    wanted = named or {c: (c, "") for c in frame if not _is_end(c, frame)}
    cells = {heading: _cells(frame, c, how, currency) for c, (heading, how) in wanted.items()}
    return pd.DataFrame(cells, index=frame.index)


def _cells(frame: pd.DataFrame, column: str, how: str, currency: str | None) -> list[str]:
    """Return the cells of one column as text; an interval beside it (low, high) is written with it."""
    values, ends = frame[column], _ends(column, frame)
    if not how and not (ends and pd.api.types.is_float_dtype(values)):
        return _column(values)
    if ends:
        values = [Estimate(*row) for row in zip(values, *(frame[e] for e in ends), strict=True)]
    write = partial(amount, currency=currency) if how == "money" else FILTERS[how or "number"]
    return [v if isinstance(v, str) else write(v) for v in values]  # text such as "not reached" stays as it is


def _digits(size: float) -> int:
    """Return the decimals that suit numbers up to this size."""
    return 0 if math.isnan(size) or size >= 1000 else 1 if size >= 20 else 2 if size > 1 else 3


def _ends(column: str, frame: pd.DataFrame) -> tuple[str, str] | None:
    """Return the columns with the ends of a column's interval: low and high of value, x_low and x_high of x."""
    low, high = ("low", "high") if column == "value" else (f"{column}_low", f"{column}_high")
    return (low, high) if low in frame and high in frame else None


def _is_end(column: str, frame: pd.DataFrame) -> bool:
    """Tell whether a column is an end of the interval of another."""
    return any(column in (_ends(c, frame) or ()) for c in frame)


def _column(values: pd.Series) -> list[str]:
    """Return the cells of one column as text for a reader."""
    if pd.api.types.is_bool_dtype(values):
        return ["yes" if v else "no" for v in values]
    if pd.api.types.is_datetime64_any_dtype(values):
        return list(values.dt.strftime("%Y-%m-%d"))
    if pd.api.types.is_float_dtype(values):
        whole = (values.dropna() % 1 == 0).all()
        return [number(v, 0 if whole else _digits(values.abs().max())) for v in values]
    if pd.api.types.is_integer_dtype(values):
        return [number(v, 0) for v in values]
    return ["–" if v is None or v != v else str(v) for v in values]
