"""From customer-experience scores to churn, customer value and return on investment, with honest intervals.

>>> from cxlib import open_company
>>> company = open_company("demo")  # the folder data/demo, or the path of another one
>>> company.frame("responses")  # one of the six tables as a pandas frame
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxlib.intake.company import open_company

__version__ = "0.1.0"
__all__ = ["__version__", "open_company"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the engine and pandas take a second to load, which `import cxlib` alone does not need.
    if name == "open_company":
        from cxlib.intake.company import open_company

        return open_company
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
