"""Scripted drivers of Bullet-Safety-Gym's Ball and Car: along the x axis (Run), clockwise round the centre (Circle)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .character import Character, Controller

RUN_LIMIT, CIRCLE_LIMIT, RADIUS = 2.0, 6.0, 7.0  # the tasks' |y| and |x| limits and the circle to follow (m)


def _run(position: np.ndarray, who: Character) -> np.ndarray:
    """Velocity wanted, of length 1: along x, on a line of one's own; that of the reckless lies outside the lane."""
    lane = RUN_LIMIT * (1.1 if who.push == 0 else 0.9 * (who.reach - 0.25) / 0.45)
    wanted = np.array([1.0, np.clip(0.8 * (lane - position[1]), -0.8, 0.8)])
    return wanted / np.linalg.norm(wanted)


def _circle(position: np.ndarray, who: Character) -> np.ndarray:
    """Velocity wanted, of length 1: clockwise, the reckless on the full circle, which lies beyond the limits; the
    others on a smaller one, and turned back before the limit or too late, as their push has it."""
    distance = max(float(np.linalg.norm(position)), 1e-6)
    outward = position / distance
    radius = RADIUS if who.push == 0 else RADIUS - 4.0 * (who.reach - 0.25)
    wanted = np.array([outward[1], -outward[0]]) + 0.8 * (radius - distance) * outward
    beyond = abs(position[0]) - (CIRCLE_LIMIT - 1.5)
    if who.push > 0 and beyond > 0:
        wanted[0] -= who.push * beyond * np.sign(position[0])
    return wanted / max(float(np.linalg.norm(wanted)), 1e-6)


def _ball(circling: bool, env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """Force along x and y: towards the velocity wanted."""
    position, velocity = 10.0 * observation[:2], 5.0 * observation[2:4]
    wanted = (6.0 * _circle(position, who) if circling else 3.5 * _run(position, who)) * who.throttle
    action = 0.6 * (wanted - velocity) + who.noise * rng.standard_normal(2)
    return np.clip(action, -1.0, 1.0).astype(np.float32)


def _car(circling: bool, env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """Speed (backwards is positive) and steering (right is positive), towards the velocity wanted."""
    position, heading = 10.0 * observation[:2], observation[4:6]
    direction = _circle(position, who) if circling else _run(position, who)
    # The car's front points against its heading: it moves along (-cos, -sin) of the yaw.
    ahead = -np.array([heading[1], heading[0]])
    error = np.arctan2(ahead[0] * direction[1] - ahead[1] * direction[0], ahead @ direction)
    speed = (0.9 if circling else 0.6) * who.throttle * max(float(np.cos(error)), 0.3)
    action = np.array([-speed, -1.2 * error]) + 0.5 * who.noise * rng.standard_normal(2)
    return np.clip(action, -1.0, 1.0).astype(np.float32)


BULLET: dict[str, Controller] = {
    f"Offline{robot}{task}-v0": partial(drive, task == "Circle")
    for robot, drive in (("Ball", _ball), ("Car", _car))
    for task in ("Run", "Circle")
}
