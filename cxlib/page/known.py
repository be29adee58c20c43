"""How a thing is known: the label at each finding and figure, and what it means for a reader."""

from __future__ import annotations

# The first four are of effects and links, a count is of one's own records, a forecast is of the future.
KNOWN = {
    "randomised": "randomised trial",
    "comparison": "comparison group, no check failed",
    "adjusted": "link, adjusted",
    "observed": "link, as observed",
    "count": "count of own records",
    "forecast": "model forecast",
}
MEANING = {
    "randomised": "Customers were assigned at random, so the difference is the effect.",
    "comparison": "Compared with customers who were not reached; no check of the comparison failed.",
    "adjusted": "Two things occur together, after allowing for what else is known. Not an effect.",
    "observed": "Two things occur together, with nothing adjusted. Not an effect.",
    "count": "What the records or the answers say. No link is claimed.",
    "forecast": "What a model expects. The finding says what its range covers; the future may differ from the past.",
}
EFFECTS = ("randomised", "comparison")  # only these may say "resulted in"
EACH = "each"  # several rows, each known in its own way: column "known"
