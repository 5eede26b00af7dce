"""Episodes in the simulator: seeded resets, several environments in step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from ..algorithms.agent import Policy
from ..envs.make import checked_reset, checked_step, make_env
from ..tasks.task import Task


@dataclass(frozen=True)
class Episode:
    """One episode: its reset seed, undiscounted return, undiscounted cost (violating steps), length, DSRL scores."""

    seed: int
    ret: float
    cost: float
    length: int
    normalized_reward: float
    normalized_cost: float


def evaluate(
    policy: Policy,
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
        policy: acts for all environments at once, on `device`.
        cost_limit: episode cost that counts as a normalised cost of 1.
        episode_len: cut episodes after so many steps (default: the task's own limit).

    Raises UserError when the simulator is missing, or anything is not finite: what can't be measured is not safe.
    """
    envs = [make_env(task) for _ in range(min(parallel, episodes))]
    envs[0].unwrapped.set_target_cost(cost_limit)  # type: ignore[attr-defined]
    finished: list[Episode] = []
    bar = tqdm(total=episodes, desc="Evaluating", leave=False, disable=not progress)
    for start in range(0, episodes, len(envs)):
        seeds = [seed + i for i in range(start, min(start + len(envs), episodes))]
        rows = range(len(seeds))
        policy.reset(rows, seeds)
        names = [f"evaluation of {task.id}, episode with seed {s}" for s in seeds]
        observations = np.stack([checked_reset(envs[i], seeds[i], names[i]) for i in rows]).astype(np.float32)
        rewards, costs, returns, totals = np.zeros((4, len(seeds)))
        lengths, done = np.zeros(len(seeds), dtype=int), np.zeros(len(seeds), dtype=bool)
        while not done.all():
            actions = policy.act(torch.as_tensor(observations).to(device)).cpu().numpy()
            rewards[:], costs[:] = 0.0, 0.0
            for i in np.flatnonzero(~done).tolist():
                observation, rewards[i], costs[i], done[i] = checked_step(envs[i], actions[i], names[i])
                observations[i] = observation
                lengths[i] += 1
            returns += rewards
            totals += costs
            if episode_len is not None:
                done |= lengths >= episode_len
            policy.observe(*(torch.as_tensor(x, dtype=torch.float32, device=device) for x in (rewards, costs)))
        for i in rows:
            scores = envs[0].unwrapped.get_normalized_score(returns[i], totals[i])  # type: ignore[attr-defined]
            one = (seeds[i], float(returns[i]), float(totals[i]), int(lengths[i]), float(scores[0]), float(scores[1]))
            finished.append(Episode(*one))
            bar.update()
    bar.close()
    for env in envs:
        env.close()
    return finished


def summary(episodes: list[Episode]) -> dict[str, float]:
    """Means over the episodes: normalised reward and cost, return, cost, and the share of episodes without cost."""
    return {
        "normalized_reward": float(np.mean([e.normalized_reward for e in episodes])),
        "normalized_cost": float(np.mean([e.normalized_cost for e in episodes])),
        "return": float(np.mean([e.ret for e in episodes])),
        "cost": float(np.mean([e.cost for e in episodes])),
        "violation_free": float(np.mean([e.cost == 0 for e in episodes])),
    }
