"""The resamples of customers that every question of a company shares, so that its draws can be combined."""

from __future__ import annotations

import numpy as np

from cxlib.intake.company import Company
from cxlib.stats import draws


def resamples(company: Company) -> np.ndarray:
    """Return how often each fold counts: as observed (a row of ones), then in each draw; (1 + draws) x folds."""
    return draws.with_plain(draws.group_weights(company.settings.draws, company.settings.seed))
