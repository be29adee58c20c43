"""Ids on pages that are shared: an example shows enough to be recognised by who has the export, and no more."""

from __future__ import annotations

import pandas as pd

SHORTEST = 6  # characters; of a shorter id only the first is shown


def masked(value: str) -> str:
    """Return an id or address with its middle left out: "C0…12".

    >>> masked("C004712"), masked("C12")
    ('C0…12', 'C…')
    """
    return f"{value[:2]}…{value[-2:]}" if len(value) >= SHORTEST else f"{value[:1]}…"


def examples(aside: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``company.set_aside`` with ids and addresses masked: ``check`` alone shows them whole."""
    value = aside["value"].astype(object)
    hide = aside["column"].fillna("").str.endswith("_id") | value.fillna("").astype(str).str.contains("@")
    return aside.assign(value=value.where(~hide, value.map(masked, na_action="ignore")))
