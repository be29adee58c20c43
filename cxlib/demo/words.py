"""Names and sentences of the demo companies, from words.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PLANS, BANDS, REGIONS, AGENTS = (tuple(_WORDS[name]) for name in ("plans", "bands", "regions", "agents"))
TOPICS, REASONS, REASON_SHARES = (tuple(_WORDS[name]) for name in ("topics", "reasons", "reason_shares"))
FAILED_PAYMENT, COMMENTS, THEME_SHARES = (_WORDS[name] for name in ("failed_payment", "comments", "theme_shares"))
BRANCHES = tuple(f"Branch {number:02d}" for number in range(1, 49))
THEMES = tuple(COMMENTS)
