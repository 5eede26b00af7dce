"""Episodes in the simulator: seeded resets, the deterministic policy, several environments in step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..core.errors import UserError, first_line
from ..tasks.task import Task

Act = Callable[[Tensor], Tensor]

_INSTALL = {
    "safety_gymnasium": "pip install --no-deps safety-gymnasium==0.4.0 && pip install mujoco xmltodict imageio",
    "bullet_safety_gym": "pip install --no-deps bullet-safety-gym==1.4.0 && pip install pybullet",
}


@dataclass(frozen=True)
class Episode:
    """One episode: its reset seed, undiscounted return, undiscounted cost (violating steps), length, DSRL scores."""

    seed: int
    ret: float
    cost: float
    length: int
    normalized_reward: float
    normalized_cost: float


def make_env(task: Task, **kwargs: Any) -> gym.Env:
    """The task's environment. Raises UserError when its simulator is missing, with the command that installs it."""
    if task.simulator == "none":
        raise UserError(f"task {task.id}: no simulator (its task file says simulator: none), so no episode can be run")
    if task.simulator == "embedded":
        from ..envs import register_embedded

        register_embedded()
    else:
        try:
            import dsrl  # registers DSRL's tasks with Gymnasium
        except ImportError as error:
            raise UserError(f"task {task.id} needs dsrl ({error}); pip install --no-deps dsrl==0.1.0") from None
        missing = getattr(dsrl, "UNAVAILABLE", {}).get(task.simulator)
        if missing:
            raise UserError(f"task {task.id}: no simulator ({missing}); {_INSTALL[task.simulator]}")
    try:
        return gym.make(task.id, **kwargs)
    except (gym.error.Error, ImportError) as error:
        fix = _INSTALL.get(task.simulator, "osrl-proco doctor says what is missing")
        raise UserError(f"task {task.id}: no simulator ({first_line(error)}); {fix}") from None


def evaluate(
    act: Act,
    task: Task,
    *,
    episodes: int,
    seed: int,
    cost_limit: float,
    episode_len: int | None = None,
    device: str | torch.device = "cpu",
    parallel: int = 10,
    progress: bool = True,
) -> list[Episode]:
    """Run `episodes` episodes, the i-th reset with `seed + i`, `parallel` environments stepped together.

    Args:
        act: observations (N, obs_dim) on `device` -> actions (N, act_dim).
        cost_limit: episode cost that counts as a normalised cost of 1.
        episode_len: cut episodes after so many steps (default: the task's own limit).

    Raises UserError when the simulator is missing.
    """
    envs = [make_env(task) for _ in range(min(parallel, episodes))]
    envs[0].unwrapped.set_target_cost(cost_limit)  # type: ignore[attr-defined]
    finished: list[Episode] = []
    bar = tqdm(total=episodes, desc="Evaluating", leave=False, disable=not progress)
    for start in range(0, episodes, len(envs)):
        group = list(zip(range(start, min(start + len(envs), episodes)), envs, strict=False))
        runs = [_Running(env, seed + i) for i, env in group]
        while active := [r for r in runs if not r.done]:
            observations = torch.as_tensor(np.stack([r.observation for r in active]), dtype=torch.float32)
            actions = act(observations.to(device)).cpu().numpy()
            for run, action in zip(active, actions, strict=True):
                run.step(action)
                if episode_len is not None and run.length >= episode_len:
                    run.done = True
        for run in runs:
            scores = envs[0].unwrapped.get_normalized_score(run.ret, run.cost)  # type: ignore[attr-defined]
            finished.append(Episode(run.seed, run.ret, run.cost, run.length, float(scores[0]), float(scores[1])))
            bar.update()
    bar.close()
    for env in envs:
        env.close()
    return finished


class _Running:
    """An episode under way."""

    def __init__(self, env: gym.Env, seed: int) -> None:
        self.env, self.seed = env, seed
        self.observation, _ = env.reset(seed=seed)
        self.ret = self.cost = 0.0
        self.length, self.done = 0, False

    def step(self, action: np.ndarray) -> None:
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.ret += float(reward)
        self.cost += float(info.get("cost", 0.0))
        self.length += 1
        self.done = terminated or truncated


def summary(episodes: list[Episode]) -> dict[str, float]:
    """Means over the episodes: normalised reward and cost, return, cost, and the share of episodes without cost."""
    return {
        "normalized_reward": float(np.mean([e.normalized_reward for e in episodes])),
        "normalized_cost": float(np.mean([e.normalized_cost for e in episodes])),
        "return": float(np.mean([e.ret for e in episodes])),
        "cost": float(np.mean([e.cost for e in episodes])),
        "violation_free": float(np.mean([e.cost == 0 for e in episodes])),
    }
