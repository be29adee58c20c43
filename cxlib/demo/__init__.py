"""Two demo companies, simulated from a seed: a subscription company and a web shop.

``python -m cxlib.demo`` writes their exports. The true effects are known; ``tests/demo_truth.py`` calculates them.
"""

from cxlib.demo.exports import dirty, settings
from cxlib.demo.shop import shop
from cxlib.demo.subscription import subscription

__all__ = ["dirty", "settings", "shop", "subscription"]
