"""Two demo companies, made up from a seed: a subscription company and a web shop.

``python -m cxlib.demo`` writes their exports. The effects in them are known; the tests work them out
(``tests/demo_truth.py``).
"""

from cxlib.demo.exports import dirty, settings
from cxlib.demo.shop import shop
from cxlib.demo.subscription import subscription

__all__ = ["dirty", "settings", "shop", "subscription"]
