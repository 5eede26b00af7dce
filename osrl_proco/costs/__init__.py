"""Cost functions: text that says which states are unsafe, evaluated without ever being executed by Python."""

from .language.function import CostFunction, load_cost_function
from .language.operations import LanguageError

__all__ = ["CostFunction", "LanguageError", "load_cost_function"]
