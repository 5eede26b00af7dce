"""Algorithms behind one contract: see agent.py for it, registry.py for the list."""

from typing import TYPE_CHECKING

from ..core.lazy import lazily
from .registry import Algorithm, algorithm, algorithms, register

if TYPE_CHECKING:
    from .agent import Agent, Policy, Problem
    from .osrl import OsrlAgent, ProcoMixin, ProcoSettings

__all__ = [
    "Agent",
    "Algorithm",
    "OsrlAgent",
    "Policy",
    "Problem",
    "ProcoMixin",
    "ProcoSettings",
    "algorithm",
    "algorithms",
    "register",
]

__getattr__ = lazily(
    __name__,
    {
        "Agent": "agent",
        "OsrlAgent": "osrl",
        "Policy": "agent",
        "Problem": "agent",
        "ProcoMixin": "osrl",
        "ProcoSettings": "osrl",
    },
)
