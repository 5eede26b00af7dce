"""Branched rollouts: the violations that the data lack (PROCO section 4.3 and appendix C.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .danger import Danger
from .dynamics import Dynamics
from .feasibility import FeasibilityBatch

ActFor = Callable[[Tensor], Tensor]  # states (N, obs_dim) -> actions (N, act_dim)


@torch.no_grad()
def branched_rollout(
    dynamics: Dynamics,
    danger: Danger,
    act: ActFor,
    starts: Tensor,
    *,
    horizon: int,
    noise: float,
    max_action: float,
    generator: torch.Generator,
    keep_all: bool = False,
) -> tuple[FeasibilityBatch, Tensor, dict[str, float]]:
    """Imagine `horizon` steps from each start (N, obs_dim); keep the branches that reach a violation, cut after it.

    Each step takes the policy's action plus N(0, noise²), clipped; one random elite says what comes next; the state's
    danger is the largest that any elite's output has, so that it counts as unsafe where any is. With `keep_all` (the
    paper's ablation "full model") branches without a violation are kept too.

    Returns the kept transitions (M, ...), the model's rewards of them (M,) and the figures `rollout/violating` (share
    of branches that reach a violation) and `rollout/steps_to_violation` (mean over them).
    """
    count, elites = len(starts), len(dynamics.elites)
    rows = torch.arange(count, device=starts.device)
    state = danger.state(starts)
    own = danger.recorded(starts)
    steps: list[FeasibilityBatch] = []
    rewards: list[Tensor] = []
    first = torch.full((count,), horizon, device=starts.device)  # step of the first violation; horizon: none
    for step in range(horizon):
        seen = danger.observation(state)
        action = act(seen)
        action = (
            action + noise * max_action * torch.randn(action.shape, generator=generator, device=action.device)
        ).clamp(-max_action, max_action)
        # Means, not samples: the elites' disagreement is the doubt that matters. Sampled noise in 16 lidar bins of 5
        # elites nearly always finds one bin that cries wolf (PointGoal1: 14 % of safe next states, means 5 %).
        outputs, expected_rewards = dynamics.predict(state, action, noise=False)
        elite = torch.randint(elites, (count,), generator=generator, device=starts.device)
        reached = outputs[elite, rows]
        rewards.append(expected_rewards[elite, rows])
        worst = danger.imagined(outputs).amax(0)
        after = danger.observation(reached)
        steps.append(FeasibilityBatch(seen, action, after, own, worst, torch.zeros_like(worst)))
        first = torch.where((worst > 0) & (first == horizon), step, first)
        state, own = reached, worst
    whole = FeasibilityBatch(*(torch.stack(column) for column in zip(*steps, strict=True)))  # (horizon, N, ...)
    violating = first < horizon
    kept = (violating | keep_all) & (torch.arange(horizon, device=starts.device)[:, None] <= first)
    branches = int(violating.sum())
    figures = {
        "rollout/violating": branches / count,
        "rollout/steps_to_violation": float((first[violating] + 1).float().mean()) if branches else float("nan"),
    }
    return FeasibilityBatch(*(column[kept] for column in whole)), torch.stack(rewards)[kept], figures


class ImaginedBuffer:
    """D_model: the newest `capacity` imagined transitions with rewards, oldest overwritten first, on the device."""

    def __init__(self, capacity: int, obs_dim: int, act_dim: int, device: torch.device | str) -> None:
        self.capacity, self.size, self._next = capacity, 0, 0
        widths = (obs_dim, act_dim, obs_dim, None, None, None, None)
        self._columns = [torch.zeros((capacity,) if w is None else (capacity, w), device=device) for w in widths]

    def add(self, batch: FeasibilityBatch, rewards: Tensor) -> None:
        """Store a batch; of one larger than the capacity, the last `capacity` rows."""
        count = min(len(rewards), self.capacity)
        if count == 0:
            return
        where = (self._next + torch.arange(count, device=rewards.device)) % self.capacity
        for column, new in zip(self._columns, (*batch, rewards), strict=True):
            column[where] = new[-count:]
        self._next = (self._next + count) % self.capacity
        self.size = min(self.size + count, self.capacity)

    def sample(self, count: int, generator: torch.Generator) -> tuple[FeasibilityBatch, Tensor]:
        """`count` rows drawn with replacement, and their rewards (count,); the buffer must not be empty."""
        rows = torch.randint(self.size, (count,), generator=generator, device=self._columns[-1].device)
        *columns, rewards = (column[rows] for column in self._columns)
        return FeasibilityBatch(*columns), rewards

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on after a restart; only the filled rows."""
        columns = [c[: self.size].clone() for c in self._columns]
        return {"columns": columns, "size": self.size, "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError for a buffer of another capacity or other sizes."""
        self.size, self._next = int(state["size"]), int(state["next"])
        if not (0 <= self.size <= self.capacity and 0 <= self._next < self.capacity):
            raise ValueError(f"{self.size} imagined rows do not fit into a buffer of {self.capacity}")
        for column, saved in zip(self._columns, state["columns"], strict=True):
            column[: self.size] = saved
