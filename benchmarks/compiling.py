"""Companies of the same columns ask the same queries: compile each to SQL once."""

from __future__ import annotations

from functools import cache, lru_cache

from ibis.backends.sql import SQLBackend


@cache
def once() -> None:
    """Let Ibis keep the SQL of the latest queries; a query met again, in this engine or a like one, is found there."""
    compiled = SQLBackend.compile

    @lru_cache(maxsize=120)  # a query holds on to its engine
    def kept(engine: SQLBackend, query: object, *how: tuple) -> str:
        return compiled(engine, query.to_expr(), **dict(how))

    SQLBackend.compile = lambda engine, query, /, params=None, **how: (
        compiled(engine, query, params=params, **how) if params else kept(engine, query.op(), *sorted(how.items()))
    )
