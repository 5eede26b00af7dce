"""Observations over a grid of robot positions in one layout: the robot is put there in the simulator.

For Safety-Gymnasium's navigation tasks and Bullet's Circle tasks. The heading is the one after the reset; each position
is observed at rest and at `SPEED` along x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from ..core.errors import UserError
from ..tasks.task import Task

SPEED = {"safety_gymnasium": 1.0, "bullet_safety_gym": 2.0}  # m/s


@dataclass(frozen=True)
class Map:
    """What the robot would observe.

    x (W,), y (H,): positions (m). states: title -> observations (H, W, obs_dim). unsafe (H, W): where the simulator
    reports a cost.
    """

    x: np.ndarray
    y: np.ndarray
    states: dict[str, np.ndarray]
    unsafe: np.ndarray


def has_map(task: Task) -> bool:
    """Whether a map of positions can be made for the task."""
    return task.family == "navigation" or (task.family == "bullet" and "Circle" in task.name)


def position_map(task: Task, env: gym.Env, seed: int, cells: int = 61) -> Map:
    """Observations over `cells` x `cells` positions of the layout that `env` gets from `seed`.

    Raises UserError for a task of another kind.
    """
    if not has_map(task):
        raise UserError(f"task {task.id}: a map of positions is for navigation and Circle tasks")
    env.reset(seed=seed)
    base: Any = env.unwrapped
    move = _mujoco(base) if task.simulator == "safety_gymnasium" else _bullet(base)
    reach = _reach(task, base)
    x = y = np.linspace(-reach, reach, cells)
    if task.family == "bullet":
        x = np.linspace(-1.3 * base.task.x_lim, 1.3 * base.task.x_lim, cells)
    speed = SPEED[task.simulator]
    states = {"at rest": [], f"at {speed:g} m/s along x": []}  # type: dict[str, list[np.ndarray]]
    unsafe: list[bool] = []
    for py in y:
        for px in x:
            for kept, velocity in zip(states.values(), (0.0, speed), strict=True):
                observation, cost = move(px, py, velocity)
                kept.append(observation)
            unsafe.append(cost > 0)
    shape = (len(y), len(x))
    grids = {title: np.asarray(rows, dtype=np.float32).reshape(*shape, -1) for title, rows in states.items()}
    return Map(x, y, grids, np.asarray(unsafe).reshape(shape))


def _reach(task: Task, base: Any) -> float:
    """Half the width (m) of the square that is shown."""
    if task.family == "bullet":
        return 1.25 * float(base.task.circle.radius)
    low = np.asarray(base.task.placements_conf.extents, dtype=float)
    return float(np.abs(low).max()) + 0.3


def _mujoco(base: Any) -> Callable[[float, float, float], tuple[np.ndarray, float]]:
    """Put the robot somewhere: its first two coordinates may be turned against the world's, which two nudges tell."""
    import mujoco

    task = base.task
    home, still = task.data.qpos.copy(), np.zeros_like(task.data.qvel)

    def place(qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        task.data.qpos[:], task.data.qvel[:] = qpos, qvel
        mujoco.mj_forward(task.model, task.data)
        return np.array(task.agent.pos[:2])

    start = place(home, still)
    nudges = np.zeros((2, len(home)))
    nudges[[0, 1], [0, 1]] = 0.1
    turn = np.linalg.inv(np.stack([place(home + nudge, still) - start for nudge in nudges], axis=1) / 0.1)

    def move(x: float, y: float, speed: float) -> tuple[np.ndarray, float]:
        qpos, qvel = home.copy(), still.copy()
        qpos[:2] += turn @ (np.array([x, y]) - start)
        qvel[:2] = turn @ np.array([speed, 0.0])
        place(qpos, qvel)
        return np.asarray(task.obs(), dtype=np.float32), float(base._cost().get("cost_sum", 0.0))

    return move


def _bullet(base: Any) -> Callable[[float, float, float], tuple[np.ndarray, float]]:
    base.step(np.zeros(base.action_space.shape))  # the Ant remembers its last action
    height = float(base.agent.get_position()[2])

    def move(x: float, y: float, speed: float) -> tuple[np.ndarray, float]:
        base.agent.set_position((x, y, height))
        base.agent.set_velocity((speed, 0.0, 0.0), (0.0, 0.0, 0.0))
        base.agent.collect_information_after_step()
        observation = np.asarray(base.get_observation(), dtype=np.float32)
        return observation, float(base.task.calculate_cost().get("cost", 0.0))

    return move
