"""Settings of all tests: examples made by hypothesis are the same in every run, so that a result can be repeated."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# With two processes the slow files go first, so that none is left alone at the end (make test keeps this order).
SLOW_FIRST = (
    "test_run",
    "test_by_hand",
    "test_questions",
    "test_young_companies",
    "test_html",
    "test_risk",
    "test_retention",
)


def pytest_collection_modifyitems(items: list) -> None:
    """Put the slow files first; within a file nothing moves."""
    place = {name: i for i, name in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
