"""Companies made of survey answers only, for tests that know what each number should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from simulated import in_turn

from cxlib.intake.company import Company

CSAT = {"csat": {"scale": [1, 5], "good": "high"}}
NPS = {"nps": {"scale": [0, 10]}}


def survey(*args, **how) -> Company:
    """Make the company of ``rows_of``, which takes the same arguments."""
    return Company.from_frames(*rows_of(*args, **how))


def rows_of(
    scores: Sequence[float],
    customers: Sequence[str] | None = None,
    metrics: Mapping[str, object] = CSAT,
    of_customers: Mapping[str, Sequence[object]] | None = None,
    **columns: Sequence[object],
) -> tuple[dict, dict[str, pd.DataFrame]]:
    """Return settings and frames of one answer (or question, if the score is NaN) per row.

    The metric is the first unless there is a column ``metric``.
    ``customers``: whose answer it is (default: one each); ``of_customers``: their columns, text ones being segments,
    in the order of their sorted ids; ``columns``: further columns of the answers. Questions are dated over 2024.
    """
    n = len(scores)
    ids = [f"c{i:05d}" for i in range(n)] if customers is None else list(customers)
    asked = columns.pop("asked_at", pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) % 300, unit="D"))
    given = np.asarray(scores, dtype=float)
    frame = pd.DataFrame({"response_id": [f"r{i}" for i in range(n)], "customer_id": ids, "asked_at": asked})
    frame["answered_at"] = frame["asked_at"].where(~np.isnan(given))
    frame["metric"], frame["score"] = columns.pop("metric", next(iter(metrics))), given
    people = pd.DataFrame({"customer_id": sorted(set(ids))} | dict(of_customers or {}))
    settings = {
        "name": "T", "as_of": "2024-12-31", "relationship": "noncontractual",
        "inactive_after_days": 90, "currency": "EUR",
        "metrics": metrics, "draws": 200,
        "segments": [c for c in people if people[c].dtype == object and c != "customer_id"],
    }  # fmt: skip
    return settings, {"customers": people, "responses": frame.assign(**columns)}


def surveys(made: Sequence[tuple[dict, dict[str, pd.DataFrame]]]) -> Iterator[Company]:
    """Yield the company of each of several ``rows_of`` the same customers and columns, one after the other."""
    return in_turn(made[0][0], (frames for _, frames in made))


def figures(finding):
    return {f.name: f.estimate for f in finding.figures}
