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
def policies(name: str) -> dict[str, np.ndarray]:
    """The policies of a task: `weights` (P, act_dim, obs_dim), `mean` and `deviation` (P, obs_dim), and whence."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def _follow(name: str, env: Any, observation: np.ndarray, who: Character, rng: np.random.Generator) -> np.ndarray:
    """The next action: one of the task's policies, chosen by the character's throttle, with half its noise."""
    known = policies(name)
    count = len(known["weights"])
    which = min(count - 1, int(count * (who.throttle - 0.25) / 0.75))
    action = known["weights"][which] @ ((observation - known["mean"][which]) / known["deviation"][which])
    noise = 0.5 * who.noise * rng.standard_normal(action.shape)
    return np.clip(np.clip(action, -1.0, 1.0) + noise, -1.0, 1.0).astype(np.float32)


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


BEHAVIOURS: dict[str, Controller] = {
    **{
        f"Offline{robot}VelocityGymnasium-v1": partial(_follow, f"{robot}Velocity")
        for robot in ("Ant", "HalfCheetah", "Hopper", "Walker2d")
    },
    "OfflineSwimmerVelocityGymnasium-v1": _swim,
    **{f"OfflineAnt{task}-v0": partial(_follow, f"Ant{task}") for task in ("Run", "Circle")},
}
