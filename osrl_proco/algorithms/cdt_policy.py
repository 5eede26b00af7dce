"""How CDT acts: what it remembers of an episode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .agent import Problem


class CDTPolicy:
    """Several episodes in step: each row keeps its last K steps, and what is left of its target and of its limit.

    A row whose history is shorter than K is padded behind it, where the causal mask keeps it unseen.

    Args:
        predict: the action after each prefix of histories (CDTAgent.predict).
        length: K.
        targets: return and cost to go when an episode begins, scaled.
        scales: factors on what a step brings of both, before it is taken off.
    """

    def __init__(
        self,
        predict: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor],
        problem: Problem,
        length: int,
        targets: tuple[float, float],
        scales: tuple[float, float],
    ) -> None:
        self._predict, self._device = predict, problem.device
        self._targets, self._scales = targets, scales
        self._length, self._most = length, problem.episode_len + length - 1
        self._sizes = (problem.obs_dim, problem.act_dim)
        self._step = torch.zeros(0, dtype=torch.long, device=self._device)
        self._left = torch.zeros(0, 2, device=self._device)  # (rows, 2): return and cost still to go, scaled
        # (rows, K, obs_dim + act_dim + 2): states, actions, what was left at each step
        self._history = torch.zeros(0, self._length, sum(self._sizes) + 2, device=self._device)

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        new = max(rows) + 1 - len(self._step)
        if new > 0:
            self._step = torch.cat([self._step, self._step.new_zeros(new)])
            self._left = torch.cat([self._left, self._left.new_zeros(new, 2)])
            self._history = torch.cat([self._history, self._history.new_zeros(new, *self._history.shape[1:])])
        at = torch.as_tensor(list(rows), device=self._device)
        self._step[at] = 0
        self._history[at] = 0.0
        self._left[at] = torch.tensor(self._targets, device=self._device)

    def act(self, observations: Tensor) -> Tensor:
        count = len(observations)
        obs_dim, act_dim = self._sizes
        rows = torch.arange(count, device=self._device)
        history, step = self._history[:count], self._step[:count]
        full = (step >= self._length)[:, None, None]
        history = torch.where(full, history.roll(-1, 1), history)
        at = step.clamp_max(self._length - 1)
        nothing = history.new_zeros(count, act_dim)  # the action is what is asked for
        history[rows, at] = torch.cat([observations.to(history), nothing, self._left[:count]], 1)
        first = (step - self._length + 1).clamp_min(0)
        times = (first[:, None] + torch.arange(self._length, device=self._device)).clamp_max(self._most)
        states, actions, left = history.split([obs_dim, act_dim, 2], 2)
        chosen = self._predict(states, actions, left[..., 0], left[..., 1], times)[rows, at]
        history[rows, at, obs_dim : obs_dim + act_dim] = chosen
        self._history[:count] = history
        self._step[:count] += 1
        return chosen

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        count = len(rewards)
        brought = torch.stack([rewards * self._scales[0], costs * self._scales[1]], 1)
        self._left[:count] -= brought.to(self._left)
