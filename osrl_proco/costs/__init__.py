"""Cost functions: text that says which states are unsafe, evaluated without ever being executed by Python."""

from .function import CostFunction, load_cost_function
from .language import LanguageError

__all__ = ["CostFunction", "LanguageError", "load_cost_function"]
