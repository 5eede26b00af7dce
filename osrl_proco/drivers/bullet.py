"""Scripted drivers of Bullet-Safety-Gym's Ball, Car and Drone: the velocity they want, and how each robot gets it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .character import Character, Controller

LANE, LINE, RADIUS = 2.0, 6.0, 7.0  # the limits on |y| (Run) and |x| (Circle), and the circle that pays most (m)

# robot, character -> velocity along x and y (m/s)
Wanted = Callable[[Any, Character], np.ndarray]


def _caution(who: Character) -> float:
    """0: knows no limit; 1: stays well away from it."""
    return who.push / 3.0


def _run(top: float, agent: Any, who: Character) -> np.ndarray:
    """Along x: the reckless as fast as `top` times the speed limit, the others near it, swaying across the lane."""
    limit = agent.velocity_constraint
    x, y, _ = agent.get_position()
    if who.push == 0:
        speed, sway = limit * (0.6 + (top - 0.6) * who.throttle), 0.0
    else:
        speed = limit * min(0.5 + who.throttle, 1.1 - 0.3 * _caution(who))
        sway = LANE * (0.7 - who.reach) / 0.45 * (1.2 - 0.7 * _caution(who))
    aside = np.clip(sway * np.sin(x) - y, -0.6, 0.6)
    return speed * np.array([np.sqrt(1.0 - aside**2), aside])


def _circle(top: float, pull: float, ahead: float, agent: Any, who: Character) -> np.ndarray:
    """Clockwise at `top` m/s at most. The reckless take the whole circle; the others slide along the lines.

    `pull` is how strongly they return to the circle (1/m); they act on where they will be in `ahead` seconds.
    """
    here = agent.get_position()[:2] + ahead * agent.get_linear_velocity()[:2]
    radius = max(float(np.hypot(*here)), 1e-6)
    outward = here / radius
    aim = RADIUS + 0.3 if who.push == 0 else RADIUS - 0.3
    wanted = np.array([outward[1], -outward[0]]) + pull * (aim - radius) * outward
    speed = top * (0.4 + 0.6 * who.throttle)
    wanted *= speed / max(float(np.linalg.norm(wanted)), 1e-6)
    if who.push > 0:
        side, room = np.sign(here[0]) or 1.0, LINE + 0.2 - 1.2 * _caution(who) - abs(here[0])
        wanted[0] = np.clip(side * min(side * wanted[0], room / (0.2 + who.reach)), -speed, speed)
        wanted[1] = np.copysign(np.sqrt(speed**2 - wanted[0] ** 2), wanted[1])
    return wanted


def _ball(wanted: Wanted, env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """Force along x and y."""
    agent = env.unwrapped.agent
    return _noisy(wanted(agent, who) - agent.get_linear_velocity()[:2], who.noise, rng)


def _car(wanted: Wanted, env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """Speed of the wheels (below 0 is forward: the front points against the heading) and steering (right: above 0)."""
    agent = env.unwrapped.agent
    goal = wanted(agent, who)
    yaw = agent.get_orientation()[2]
    front = -np.array([np.cos(yaw), np.sin(yaw)])
    error = np.arctan2(front[0] * goal[1] - front[1] * goal[0], front @ goal)
    speed = float(np.linalg.norm(goal)) * max(np.cos(error), 0.4)
    forward = 0.25 * speed + (speed - float(front @ agent.get_linear_velocity()[:2]))
    return _noisy(np.array([-forward, -1.5 * error]), who.noise, rng)


def _drone(wanted: Wanted, env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """Four rotors (front, right, back, left): tilt towards the velocity that is missing, hold 1 m of height."""
    agent = env.unwrapped.agent
    velocity, spin = agent.get_linear_velocity(), agent.get_angular_velocity()
    roll, pitch, yaw = agent.get_orientation()
    tilt = 0.15 * (wanted(agent, who) - velocity[:2])
    tilt *= min(1.0, 0.35 / max(float(np.linalg.norm(tilt)), 1e-6))  # rad
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    (forward, left), (roll_rate, pitch_rate) = turn @ tilt, turn @ spin[:2]
    p = 1.2 * (forward - pitch) - 0.8 * pitch_rate
    r = 1.2 * (-left - roll) - 0.8 * roll_rate
    y = -0.3 * spin[2]
    lift = np.clip(0.8 * (1.0 - agent.get_position()[2]) - velocity[2], -0.5, 0.5)
    return _noisy(lift + np.array([-p - y, -r + y, p - y, r + y]), who.noise, rng)


def _noisy(action: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(action + noise * rng.standard_normal(len(action)), -1.0, 1.0).astype(np.float32)


BULLET: dict[str, Controller] = {
    "OfflineBallRun-v0": partial(_ball, partial(_run, 4.0)),
    "OfflineBallCircle-v0": partial(_ball, partial(_circle, 8.0, 1.0, 0.0)),
    "OfflineCarRun-v0": partial(_car, partial(_run, 2.5)),
    "OfflineCarCircle-v0": partial(_car, partial(_circle, 3.2, 0.5, 0.4)),
    "OfflineDroneRun-v0": partial(_drone, partial(_run, 3.0)),
    "OfflineDroneCircle-v0": partial(_drone, partial(_circle, 5.0, 0.5, 0.8)),
}
