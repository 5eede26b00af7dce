"""Scripted drivers of Safety-Gymnasium's navigation tasks: Point and Car x Goal, Button, Push, Circle x 1, 2."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .character import Character, Controller

HAZARD = 0.2  # radius (m) for which a character's `reach` is meant; it grows with the obstacle
SOLID = 1.0  # least push of what nobody can drive through


class Obstacle(NamedTuple):
    """What to go round. Solid: even the reckless do, since they would be stuck at it for the rest of the episode."""

    centre: np.ndarray
    radius: float
    solid: bool = False


# task, character -> direction (length 1: at full speed), obstacles
Wanted = Callable[[Any, Character], tuple[np.ndarray, list[Obstacle]]]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _goal(task: Any, who: Character) -> tuple[np.ndarray, list[Obstacle]]:
    around = [Obstacle(c, HAZARD) for c in task.hazards.pos]
    if task.vases.is_constrained:
        around += [Obstacle(c, HAZARD) for c in task.vases.pos]
    return _unit(task.goal.pos[:2] - task.agent.pos[:2]), around


def _button(task: Any, who: Character) -> tuple[np.ndarray, list[Obstacle]]:
    car = task.agent.__class__.__name__ == "Car"
    wide = 1.3 if car else 1.0  # a car's body reaches farther, and does not slip past what it runs into
    around = [Obstacle(c, HAZARD) for c in task.hazards.pos]
    around += [Obstacle(c, 0.35 * wide) for c in task.gremlins.pos]
    around += [
        Obstacle(c, 0.3 * wide, solid=car) for i, c in enumerate(task.buttons.pos) if i != task.buttons.goal_button
    ]
    return _unit(task.goal.pos[:2] - task.agent.pos[:2]), around


def _push(task: Any, who: Character) -> tuple[np.ndarray, list[Obstacle]]:
    """Go round the box to the side away from the goal, then push it there."""
    box = task.push_box.pos[:2]
    offset = task.agent.pos[:2] - box
    distance = max(float(np.linalg.norm(offset)), 1e-6)
    outward = offset / distance
    to_goal = _unit(task.goal.pos[:2] - box)
    side = np.array([-to_goal[1], to_goal[0]])
    aside = float(offset @ side)
    behind = -float(outward @ to_goal)  # 1: right behind the box, as seen from the goal
    around = [Obstacle(c, 0.3) for c in task.hazards.pos] + [Obstacle(c, 0.3, solid=True) for c in task.pillars.pos]
    if behind > 0.8 and abs(aside) < 0.15 and distance < 0.7:
        # Pressed off its middle, the box slips away: what drifts aside counts for more than getting on.
        drift = float(task.agent.vel[:2] @ side)
        return 3.0 * to_goal - (8.0 * aside + 3.0 * drift) * side, around
    if behind < 0.8 and distance < 0.8:
        tangent = min(1.0, 0.3 + 1.5 * (1.0 - behind)) * _unit(-to_goal - behind * outward)
        return tangent + 3.0 * (0.55 - distance) * outward, around
    start = -0.5 * to_goal - offset
    return 2.0 * _unit(start) * min(0.5, float(np.linalg.norm(start))), around


def _circle(task: Any, who: Character) -> tuple[np.ndarray, list[Obstacle]]:
    """Round the circle, at a radius of one's own: reckless drivers take the full one, which lies beyond the walls."""
    x, y = here = task.agent.pos[:2]
    radius = max(float(np.hypot(x, y)), 1e-6)
    outward = here / radius
    tangent = np.array([-outward[1], outward[0]])
    # A character's reach of 0.25 to 0.7 becomes a radius of 1.5 down to 0.6 m; without a push it is the full circle.
    wanted = 1.5 if who.push == 0 else 1.5 - 2.0 * (who.reach - 0.25)
    direction = _unit(tangent + 3.0 * (wanted - radius) * outward)
    limit, axes = task.sigwalls.locate_factor, 1 if task.sigwalls.num == 2 else 2
    for axis in range(axes):
        beyond = abs(here[axis]) - (limit - 0.4)
        if who.push > 0 and beyond > 0:
            direction[axis] -= 2.0 * who.push * beyond / 0.4 * np.sign(here[axis])
    return direction, []


def _point(agent: Any, direction: np.ndarray, throttle: float) -> np.ndarray:
    """Force ahead, turn rate."""
    ahead = agent.mat[:2, 0]
    error = np.arctan2(ahead[0] * direction[1] - ahead[1] * direction[0], ahead @ direction)
    return np.array([throttle * max(np.cos(error), -0.2), 2.0 * error])


def _car(agent: Any, direction: np.ndarray, throttle: float) -> np.ndarray:
    """Left and right wheel; the car's front is its body's -y."""
    ahead = -agent.mat[:2, 1]
    error = np.arctan2(ahead[0] * direction[1] - ahead[1] * direction[0], ahead @ direction)
    forward, turn = throttle * max(np.cos(error), -0.2), 0.8 * error
    return np.array([forward + turn, forward - turn])


def _drive(
    wanted: Wanted,
    wheels: Callable[[Any, np.ndarray, float], np.ndarray],
    damping: float,
    foresight: float,
    env: Any,
    observation: np.ndarray,
    who: Character,
    rng: np.random.Generator,
) -> np.ndarray:
    """The next action (2,): towards what is wanted, sliding round what is in the way, with the character's noise."""
    task = env.unwrapped.task
    goal, around = wanted(task, who)
    here, velocity = task.agent.pos[:2], task.agent.vel[:2]
    direction = _round_obstacles(here, foresight * who.push * velocity, goal, around, who)
    direction = direction - damping * velocity
    action = wheels(task.agent, direction, who.throttle)
    return np.clip(action + who.noise * rng.standard_normal(2), -1.0, 1.0).astype(np.float32)


def _round_obstacles(
    here: np.ndarray, drift: np.ndarray, wanted: np.ndarray, around: Iterable[Obstacle], who: Character
) -> np.ndarray:
    """The wanted direction, turned aside by what is near, now or after the expected drift (m)."""
    direction = wanted.copy()
    for centre, radius, solid in around:
        reach = who.reach * (radius / HAZARD)
        away = here - centre[:2]
        distance = max(float(np.linalg.norm(away)), 1e-6)
        nearest = min(distance, float(np.linalg.norm(away + drift)))
        if nearest < reach:
            away = away / distance
            side = np.array([-away[1], away[0]])  # round it on the side the goal is
            side *= np.sign(side @ wanted) or 1.0
            push = max(who.push, SOLID) if solid else who.push
            direction += push * (reach - nearest) / reach * (1.5 * away + side)
    return direction


# What a driver wants, how much it minds its own momentum (a robot drifts on for half a metre), and how far ahead it
# looks for obstacles, in seconds per unit of the character's push.
_TASKS: dict[str, tuple[Wanted, float, float]] = {
    "Goal": (_goal, 0.5, 0.2),
    "Button": (_button, 0.5, 0.2),
    "Push": (_push, 0.8, 0.0),
    "Circle": (_circle, 0.0, 0.0),
}

NAVIGATION: dict[str, Controller] = {
    f"Offline{robot}{name}{level}Gymnasium-v0": partial(_drive, wanted, wheels, damping, foresight)
    for robot, wheels in (("Point", _point), ("Car", _car))
    for name, (wanted, damping, foresight) in _TASKS.items()
    for level in (1, 2)
}
