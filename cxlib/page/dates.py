"""What a reader must know of the dates of customers: who is missing from the exports, or seems to be."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np
from scipy import stats

from cxlib.counts import customer_base
from cxlib.intake.company import Company
from cxlib.page import words
from cxlib.stats import survival

SURPRISING = 0.01  # a chance below which it is no accident that nobody left


@lru_cache(maxsize=8)  # shown by several findings of a page
def about_dates(company: Company) -> tuple[str, ...]:
    """Return sentences on who is missing from the exports: undated customers, early leavers."""
    seen, since = customer_base.seen_to_leave(company), company.settings.leavers_since
    said, undated = [], customer_base.undated(company) if seen else 0
    if undated:
        said.append(words.say(__file__, "dates", "undated", customers=undated))
    if since:
        said.append(words.say(__file__, "dates", "leavers_since", since=since))
    elif seen and (first := customer_base.first_leaving(company)):
        expected = _expected_before(company, first)
        if stats.poisson.pmf(0, expected) < SURPRISING:
            said.append(words.say(__file__, "dates", "early_leavers_missing", first=first, expected=expected))
    return tuple(said)


def _expected_before(company: Company, first: date) -> float:
    """Return how many would have left before the first seen leaving, at the rates by tenure seen since.

    Cumulative hazard (Nelson-Aalen) with entry on that day; ages with fewer than the minimum base at risk add nothing.
    """
    rows = customer_base.tenures(company, since=first)
    curve = survival.kaplan_meier(rows["duration"], rows["cause"] != "", rows["n"], rows["entry"])
    enough = curve["at_risk"] >= company.settings.privacy.minimum_base
    hazard = np.where(enough, curve["events"] / curve["at_risk"].clip(lower=1), 0.0).cumsum()
    at = np.searchsorted(curve["time"], rows["entry"], side="right") - 1
    return float(rows["n"] @ hazard[at])
