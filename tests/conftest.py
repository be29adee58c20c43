"""Settings of all tests: examples made by hypothesis are the same in every run, so that a result can be repeated."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
