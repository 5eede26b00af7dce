"""What a dataset holds, as DSRL's authors judge theirs: the spread of return against cost, and the near misses."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from .trajectories import Trajectories
from .transitions import Transitions

LOST_WITHIN = 10


def episodes(data: Transitions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, cost and length of each episode (each (E,)); a cut run counts as one."""
    found = Trajectories.of(data)
    return found.returns.numpy(), found.cost_returns.numpy(), found.lengths.numpy()


def lost(data: Transitions, within: int = LOST_WITHIN) -> Tensor:
    """Rows (N,) whose own state is safe while a violation follows within `within` steps of the same episode."""
    following = torch.zeros_like(data.costs)
    ahead = data.costs.clone()
    same = torch.ones_like(data.costs)
    for _ in range(within):
        following = torch.maximum(following, ahead * same)
        same[:-1] = (1.0 - data.last[:-1]) * same[1:]
        same[-1] = 0.0
        ahead = torch.cat([ahead[1:], ahead.new_zeros(1)])
    return (following > 0) & (data.previous_costs == 0)


def _range(values: Tensor) -> str:
    return f"{float(values.min()):.2f} to {float(values.max()):.2f}"


def describe(data: Transitions, env: gym.Env | None) -> str:
    """A table in words: sizes, spread of return and cost, shares of unsafe and of lost states.

    With the task's environment also the returns on DSRL's scale.
    """
    returns, costs, lengths = episodes(data)
    quantiles = (0.0, 0.25, 0.5, 0.75, 1.0)

    def spread(values: np.ndarray) -> str:
        return "  ".join(f"{q:9.2f}" for q in np.quantile(values, quantiles))

    base: Any = getattr(env, "unwrapped", None)
    lines = [
        f"  transitions           {len(data):9d}   episodes {len(returns)}, "
        f"terminals {int(data.terminals.sum())}, timeouts {int(data.timeouts.sum())}",
        f"  sizes of both         {data.observations.shape[1]:9d}  {data.actions.shape[1]:9d}",
        f"  observations, actions {_range(data.observations)}, {_range(data.actions)}",
        f"  quantiles             {'  '.join(f'{q:9.0%}' for q in quantiles)}",
        f"  episode return        {spread(returns)}",
        f"  episode cost          {spread(costs)}",
        f"  episode length        {spread(lengths.astype(float))}",
        f"  unsafe transitions    {float(data.costs.mean()):9.2%}",
        f"  lost, not yet unsafe  {float(lost(data).float().mean()):9.2%}   (a violation within {LOST_WITHIN} steps)",
        f"  episodes without cost {float((costs == 0).mean()):9.2%}",
    ]
    if getattr(base, "max_episode_reward", None) is not None:
        low, high = base.min_episode_reward, base.max_episode_reward
        scores = (returns - low) / (high - low)
        lines.append(f"  normalised return     {spread(scores)}")
    return "\n".join(lines)
