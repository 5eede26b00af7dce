"""Cost functions: text that says which states are unsafe, evaluated without ever being executed by Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .language.function import CostFunction
    from .language.operations import LanguageError
    from .sandbox.checked import load_cost_function

__all__ = ["CostFunction", "LanguageError", "load_cost_function"]


def __getattr__(name: str) -> Any:
    """What is asked for, imported then: the commands' help must not wait for PyTorch."""
    if name == "load_cost_function":
        from .sandbox.checked import load_cost_function

        return load_cost_function
    if name in __all__:
        from .language import function, operations

        return getattr(function if name == "CostFunction" else operations, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
