"""Drivers of the velocity tasks and of Bullet's Ant: small linear policies, from
benchmarks/train_behaviours.py, and a gait."""

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
    x = np.clip((observation - policy["mean"]) / policy["deviation"], -10.0, 10.0)
    layers = sum(key.startswith("weights") for key in policy)
    for i in range(layers):
        x = policy[f"weights{i}"] @ x + policy[f"biases{i}"]
        x = np.tanh(x) if i + 1 < layers else x
    return np.clip(x, -1.0, 1.0).astype(np.float32)


def _follow(name: str, env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """The next action: one of the task's policies, chosen by the character's throttle, with half its noise."""
    known = policies(name)
    which = min(len(known) - 1, int(len(known) * (who.throttle - 0.25) / 0.75))
    action = act(known[which], observation)
    noise = 0.5 * who.noise * rng.standard_normal(action.shape)
    return np.clip(action + noise, -1.0, 1.0).astype(np.float32)


def _swim(env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """The careful ones follow a policy; the others swim a gait: a wave that runs down the joints.

    Random search found no swimmer that fast: it sees no clock, and a gait wants one.
    """
    if who.reach > 0.45:
        return _follow("SwimmerVelocity", env, observation, who, rng)
    phase = 2.0 * np.pi * 0.6 * env.unwrapped.data.time
    wave = np.array([np.sin(phase), np.sin(phase - 0.9)])
    action = who.throttle * wave + 0.15 * observation[0] + 0.5 * who.noise * rng.standard_normal(2)
    return np.clip(action, -1.0, 1.0).astype(np.float32)


def policy(name: str) -> Controller:
    """The driver that follows the trained policies of a task."""
    return partial(_follow, name)


BEHAVIOURS: dict[str, Controller] = {
    **{
        f"Offline{robot}VelocityGymnasium-v1": policy(f"{robot}Velocity")
        for robot in ("Ant", "HalfCheetah", "Hopper", "Walker2d")
    },
    "OfflineSwimmerVelocityGymnasium-v1": _swim,
}
