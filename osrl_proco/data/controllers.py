"""Scripted drivers: they see the simulator's own positions, and each has a character drawn from the episode's seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError, nearest


@dataclass(frozen=True)
class Character:
    """How a driver behaves for a whole episode.

    reach: distance from a hazard's centre at which it starts to push away (m).
    push: strength of the push; 0 drives straight through.
    throttle: share of full force. noise: deviation of the noise on both actions.
    """

    reach: float
    push: float
    throttle: float
    noise: float


def draw_character(rng: np.random.Generator) -> Character:
    """From reckless to timid, slow to fast, exact to noisy."""
    return Character(
        reach=rng.uniform(0.25, 0.7),
        push=0.0 if rng.random() < 0.15 else rng.uniform(0.2, 3.0),
        throttle=rng.uniform(0.25, 1.0),
        noise=rng.uniform(0.05, 0.6),
    )


def point_goal(env: Any, who: Character, rng: np.random.Generator) -> np.ndarray:
    """Point, Goal tasks: steer to the goal and slide round the hazards; actions are force ahead and turn rate."""
    task = env.unwrapped.task
    here = task.agent.pos[:2]
    ahead = task.agent.mat[:2, 0]
    wanted = task.goal.pos[:2] - here
    wanted = wanted / max(float(np.linalg.norm(wanted)), 1e-6)
    direction = wanted.copy()
    for centre in task.hazards.pos:
        away = here - centre[:2]
        distance = max(float(np.linalg.norm(away)), 1e-6)
        if distance < who.reach:
            away = away / distance
            side = np.array([-away[1], away[0]])  # round it on the side the goal is
            side *= np.sign(side @ wanted) or 1.0
            direction += who.push * (who.reach - distance) / who.reach * (1.5 * away + side)
    error = np.arctan2(ahead[0] * direction[1] - ahead[1] * direction[0], ahead @ direction)
    action = np.array([who.throttle * max(np.cos(error), -0.2), 2.0 * error])
    return np.clip(action + who.noise * rng.standard_normal(2), -1.0, 1.0).astype(np.float32)


Controller = Callable[[Any, Character, np.random.Generator], np.ndarray]

CONTROLLERS: dict[str, Controller] = {
    "OfflinePointGoal1Gymnasium-v0": point_goal,
}


def controller(task_id: str) -> Controller:
    """The scripted driver of a task. Raises UserError where there is none."""
    if task_id not in CONTROLLERS:
        raise UserError(
            f"no scripted driver for {task_id!r} (there are: {', '.join(CONTROLLERS)}){nearest(task_id, CONTROLLERS)}"
        )
    return CONTROLLERS[task_id]
