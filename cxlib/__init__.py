"""Customer-experience scores to churn, customer value and return on investment, with honest intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxlib.intake.company import open_company

__version__ = "0.1.0"
__all__ = ["__version__", "open_company"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the engine and pandas take a second, which `import cxlib` alone need not.
    if name == "open_company":
        from cxlib.intake.company import open_company

        return open_company
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
