"""Names and sentences of the demo companies, from words.toml."""

from __future__ import annotations

from cxlib.errors import words

_WORDS = words(__file__)
PLANS, BANDS, REGIONS, AGENTS = (tuple(_WORDS[name]) for name in ("plans", "bands", "regions", "agents"))
TOPICS, REASONS, REASON_SHARES = (tuple(_WORDS[name]) for name in ("topics", "reasons", "reason_shares"))
FAILED_PAYMENT, COMMENTS, THEME_SHARES = (_WORDS[name] for name in ("failed_payment", "comments", "theme_shares"))
BRANCHES = tuple(f"Branch {number:02d}" for number in range(1, 49))
THEMES = tuple(COMMENTS)
