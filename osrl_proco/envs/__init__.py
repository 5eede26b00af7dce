"""Embedded tasks with a known feasible set, which `gymnasium.make` knows once osrl_proco is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .registration import register_embedded

if TYPE_CHECKING:
    from .base import EmbeddedTask, Plane
    from .brake import BrakeEnv
    from .point_robot import PointRobotEnv

__all__ = ["BrakeEnv", "EmbeddedTask", "Plane", "PointRobotEnv", "register_embedded"]

_HOMES = {"EmbeddedTask": "base", "Plane": "base", "BrakeEnv": "brake", "PointRobotEnv": "point_robot"}


def __getattr__(name: str) -> Any:
    """The classes, loaded when they are asked for: their physics need torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
