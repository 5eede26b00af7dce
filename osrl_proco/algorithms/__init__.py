"""Algorithms behind one contract: see agent.py for it, registry.py for the list."""

from .registry import Algorithm, algorithm, algorithms, register

__all__ = ["Agent", "Algorithm", "Policy", "ProcoMixin", "ProcoSettings", "algorithm", "algorithms", "register"]

_LAZY = {
    "Agent": ("agent", "Agent"),
    "Policy": ("agent", "Policy"),
    "ProcoMixin": ("osrl", "ProcoMixin"),
    "ProcoSettings": ("osrl", "ProcoSettings"),
}


def __getattr__(name: str) -> object:
    # What needs torch is imported when it is asked for, so that flags are read before torch loads.
    if name not in _LAZY:
        raise AttributeError(name)
    import importlib

    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
