"""Look before acting: a trained policy's candidates rolled through the dynamics model. Ours, not the paper's.

Of several actions, the policy's own first, each is held for K steps in every elite of the model; the largest danger on
the way, over steps and elites, judges it. The first that stays out of danger acts; where none does, the one that is in
danger least on the way, which is the one that leaves it fastest. A held action is a cautious reading of what a policy
would do next: what can only be braked for later counts as dangerous now.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.random import RowNoise
from .danger import Danger
from .dynamics import Dynamics

CANDIDATES = 16


class LookAhead:
    """A policy (see algorithms/agent.py) around a policy.

    Args:
        policy: what is asked first, and again after every step.
        steps: K.
        max_action: bound of the action space.
    """

    def __init__(
        self,
        policy: object,
        dynamics: Dynamics,
        danger: Danger,
        *,
        steps: int,
        max_action: float,
        device: torch.device | str = "cpu",
    ) -> None:
        self._policy, self._dynamics, self._danger = policy, dynamics, danger
        self._steps, self._max_action = steps, max_action
        self._noise = RowNoise(device)
        # From small changes of the policy's own action to actions of any kind.
        self._breadth = torch.linspace(0.1, 1.0, CANDIDATES - 1, device=device)[:, None]

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        self._policy.reset(rows, seeds)  # type: ignore[attr-defined]
        self._noise.reset(rows, seeds)

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        self._policy.observe(rewards, costs)  # type: ignore[attr-defined]

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim)."""
        own = self._policy.act(observations)  # type: ignore[attr-defined]
        count = len(observations)
        other = self._noise.normal(count, CANDIDATES - 1, own.shape[1]) * self._breadth * self._max_action
        candidates = torch.cat([own[:, None], (own[:, None] + other).clamp(-self._max_action, self._max_action)], 1)
        most, mean = self.judge(observations.repeat_interleave(CANDIDATES, 0), candidates.flatten(0, 1))
        allowed = most.view(count, -1) <= 0
        first = allowed.float().argmax(1)
        chosen = torch.where(allowed.any(1), first, mean.view(count, -1).argmin(1))
        return candidates[torch.arange(count, device=chosen.device), chosen]

    def judge(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The largest and the mean danger (N,) within K steps of actions (N, act_dim) held; each step counts with its
        most pessimistic elite."""
        state = self._danger.state(observations).expand(len(self._dynamics.elites), -1, -1)
        dangers = []
        for _ in range(self._steps):
            state = self._dynamics.follow(state, actions)
            dangers.append(self._danger.imagined(state).amax(0))
        path = torch.stack(dangers)
        return path.amax(0), path.mean(0)
