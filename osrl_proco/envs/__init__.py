"""Embedded tasks with a known feasible set, registered with Gymnasium when osrl_proco is imported."""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

from .base import EmbeddedTask, Plane
from .brake import BrakeEnv
from .point_robot import PointRobotEnv

__all__ = ["BrakeEnv", "EmbeddedTask", "Plane", "PointRobotEnv", "register_embedded"]


def register_embedded() -> None:
    """Make `gymnasium.make` know the embedded tasks. Calling it twice does no harm."""
    for id_, env in (("OfflineBrake-v0", BrakeEnv), ("OfflinePointRobot-v0", PointRobotEnv)):
        if id_ not in registry:
            register(id=id_, entry_point=f"{env.__module__}:{env.__name__}", max_episode_steps=env.episode_len)
