"""Drivers of the velocity tasks and of Bullet's Ant: small policies, from benchmarks/train_behaviours.py."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from .character import Character, Controller

FOLDER = Path(__file__).with_name("weights")


@cache
def policies(name: str) -> list[dict[str, np.ndarray]]:
    """The policies of a task, see `act`, and whence each is."""
    with np.load(FOLDER / f"{name}.npz") as file:
        columns = {key: file[key] for key in file.files}
    return [{key: column[i] for key, column in columns.items()} for i in range(len(columns["mean"]))]


def act(policy: dict[str, np.ndarray], observation: np.ndarray) -> np.ndarray:
    """The action (act_dim,) of a policy: layers `weights<i>` (out, in), `biases<i>` (out,), tanh between them.

    `mean` and `deviation` (obs_dim,) scale the observation.
    """
    x = (observation - policy["mean"]) / policy["deviation"]
    layers = sum(key.startswith("weights") for key in policy)
    for i in range(layers):
        x = policy[f"weights{i}"] @ x + policy[f"biases{i}"]
        x = np.tanh(x) if i + 1 < layers else x
    return np.clip(x, -1.0, 1.0).astype(np.float32)


def _follow(name: str, env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """The next action of one of the task's policies, with half the character's noise.

    The more a character minds hazards, the more its policy was to mind the cost in training; its throttle chooses
    among the stages of that training.
    """
    known = policies(name)
    weights = sorted({float(p["cost_weight"]) for p in known})
    weight = _one(weights, who.push / 3.0)
    policy = _one([p for p in known if p["cost_weight"] == weight], (who.throttle - 0.25) / 0.75)
    return np.clip(_noisy(policy, observation, who, rng), -1.0, 1.0).astype(np.float32)


def _swim(env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """As `_follow`; but the careful weaken the strokes of a fast swimmer as their velocity nears a limit of their own.

    Trained with a weight on the cost of 0.1 or 0.5, a swimmer hardly swam, and still swayed beyond the limit.
    """
    if who.push < 1.0:
        return _follow("SwimmerVelocity", env, observation, who, rng)
    care = (who.push - 1.0) / 2.0
    policy = _one(policies("SwimmerVelocity")[-2:], (who.throttle - 0.25) / 0.75)
    limit = 0.2 - 0.15 * care  # m/s; the rule's is 0.2282
    slack = np.clip((limit - observation[3]) / 0.1, 0.0, 1.0)
    action = slack * (0.8 - 0.5 * care) * _noisy(policy, observation, who, rng)
    return np.clip(action, -1.0, 1.0).astype(np.float32)


def _noisy(policy: dict[str, np.ndarray], observation: np.ndarray, who: Character, rng: np.random.Generator) -> Any:
    action = act(policy, observation)
    return action + 0.5 * who.noise * rng.standard_normal(action.shape)


def _one(choices: list[Any], share: float) -> Any:
    """The first for a share of 0, the last for 1."""
    return choices[min(len(choices) - 1, int(len(choices) * share))]


BEHAVIOURS: dict[str, Controller] = {
    **{
        f"Offline{robot}VelocityGymnasium-v1": partial(_follow, f"{robot}Velocity")
        for robot in ("Ant", "HalfCheetah", "Hopper", "Walker2d")
    },
    "OfflineSwimmerVelocityGymnasium-v1": _swim,
    **{f"OfflineAnt{task}-v0": partial(_follow, f"Ant{task}") for task in ("Run", "Circle")},
}
