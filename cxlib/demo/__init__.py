"""Two made-up companies with known truth: a subscription company and a web shop.

``python -m cxlib.demo`` writes their exports and the truth that the tests compare with.
"""

from cxlib.demo.exports import dirty, settings
from cxlib.demo.shop import shop
from cxlib.demo.subscription import subscription

__all__ = ["dirty", "settings", "shop", "subscription"]
