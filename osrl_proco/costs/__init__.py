"""Cost functions: text that says which states are unsafe, evaluated without ever being executed by Python."""

from typing import TYPE_CHECKING

from ..core.lazy import lazily

if TYPE_CHECKING:
    from .language.function import CostFunction
    from .language.operations import LanguageError
    from .sandbox.checked import load_cost_function

__all__ = ["CostFunction", "LanguageError", "load_cost_function"]

__getattr__ = lazily(
    __name__,
    {
        "CostFunction": "language.function",
        "LanguageError": "language.operations",
        "load_cost_function": "sandbox.checked",
    },
)
