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
    weight = weights[min(len(weights) - 1, int(len(weights) * who.push / 3.0))]
    stages = [p for p in known if p["cost_weight"] == weight]
    action = act(stages[min(len(stages) - 1, int(len(stages) * (who.throttle - 0.25) / 0.75))], observation)
    noise = 0.5 * who.noise * rng.standard_normal(action.shape)
    return np.clip(action + noise, -1.0, 1.0).astype(np.float32)


BEHAVIOURS: dict[str, Controller] = {
    **{
        f"Offline{robot}VelocityGymnasium-v1": partial(_follow, f"{robot}Velocity")
        for robot in ("Ant", "HalfCheetah", "Hopper", "Swimmer", "Walker2d")
    },
    **{f"OfflineAnt{task}-v0": partial(_follow, f"Ant{task}") for task in ("Run", "Circle")},
}
