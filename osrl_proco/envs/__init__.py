"""Embedded tasks with a known feasible set, which `gymnasium.make` knows once osrl_proco is imported."""

from typing import TYPE_CHECKING

from ..core.lazy import lazily
from .registration import register_embedded

if TYPE_CHECKING:
    from .base import EmbeddedTask, Plane
    from .brake import BrakeEnv
    from .point_robot import PointRobotEnv

__all__ = ["BrakeEnv", "EmbeddedTask", "Plane", "PointRobotEnv", "register_embedded"]

__getattr__ = lazily(
    __name__, {"EmbeddedTask": "base", "Plane": "base", "BrakeEnv": "brake", "PointRobotEnv": "point_robot"}
)
