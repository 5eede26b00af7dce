"""A task's environment, and one step of it, both held against what a safety score needs."""

from __future__ import annotations

import math
import os
from typing import Any

import gymnasium as gym
import numpy as np

from ..core.errors import UserError, first_line
from ..core.files import reason
from ..tasks.task import Task

_INSTALL = {
    "safety_gymnasium": "pip install --no-deps safety-gymnasium==0.4.0 && pip install mujoco xmltodict imageio",
    "bullet_safety_gym": "pip install --no-deps bullet-safety-gym==1.4.0 && pip install pybullet",
}


def make_env(task: Task, **kwargs: Any) -> gym.Env:
    """The task's environment. Raises UserError when its simulator is missing, with the command that installs it."""
    if task.simulator == "none":
        raise UserError(f"task {task.id}: no simulator (its task file says simulator: none), so no episode can be run")
    if task.simulator == "embedded":
        from . import register_embedded

        register_embedded()
    else:
        try:
            import dsrl  # registers DSRL's tasks with Gymnasium
        except ImportError as error:
            raise UserError(f"task {task.id} needs dsrl ({error}); pip install --no-deps dsrl==0.1.0") from None
        except OSError as error:  # dsrl makes the folder of its datasets when it is imported
            folder = os.environ.get("DSRL_DATASET_DIR", "")
            raise UserError(f"DSRL_DATASET_DIR {folder}: {reason(error)}; name a folder that can be made") from None
        missing = getattr(dsrl, "UNAVAILABLE", {}).get(task.simulator)
        if missing:
            raise UserError(f"task {task.id}: no simulator ({missing}); {_INSTALL[task.simulator]}")
    try:
        return gym.make(task.id, **kwargs)
    except (gym.error.Error, ImportError) as error:
        fix = _INSTALL.get(task.simulator, "osrl-proco doctor says what is missing")
        raise UserError(f"task {task.id}: no simulator ({first_line(error)}); {fix}") from None


def checked_reset(env: gym.Env, seed: int, where: str) -> np.ndarray:
    """The first observation of an episode. Raises UserError that begins with `where` if it is not finite."""
    observation, _ = env.reset(seed=seed)
    return _finite(observation, where, "the first observation")


def checked_step(env: gym.Env, action: np.ndarray, where: str) -> tuple[np.ndarray, float, float, bool]:
    """One step: observation, reward, cost, whether the episode ended.

    What is missing or not finite must never read as safe: raises UserError, beginning with `where`, for an action,
    observation, reward or cost that is not finite, and for a simulator that reports no cost.
    """
    _finite(action, where, "the policy's action")
    observation, reward, terminated, truncated, info = env.step(action)
    if "cost" not in info:
        raise UserError(
            f"{where}: the simulator reports no cost, so that nothing can be called safe; info needs 'cost'"
        )
    try:
        cost, gained = float(info["cost"]), float(reward)
    except (TypeError, ValueError):
        raise UserError(f"{where}: the simulator's cost is {info['cost']!r}, not a number") from None
    if not math.isfinite(cost) or not math.isfinite(gained):
        raise UserError(f"{where}: the simulator's reward is {gained:g} and its cost {cost:g}; both must be finite")
    return _finite(observation, where, "the observation"), gained, cost, bool(terminated or truncated)


def _finite(values: Any, where: str, what: str) -> np.ndarray:
    array = np.asarray(values)
    if not np.isfinite(array).all():
        raise UserError(f"{where}: {what} is not finite (entry {int(np.flatnonzero(~np.isfinite(array))[0])})")
    return array
