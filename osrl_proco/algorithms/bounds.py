"""Action bounds that differ by entry, or are not symmetric: algorithms see [-1, 1], the robot its own units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .agent import Policy


@dataclass(frozen=True)
class ActionScale:
    """Between actions in the task's units, each entry within its `low` and `high`, and actions in [-1, 1]."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def needed(cls, low: Sequence[float], high: Sequence[float]) -> ActionScale | None:
        """The scale of these bounds; None where all entries share one symmetric bound, which needs none."""
        if all(-a == b == high[0] for a, b in zip(low, high, strict=True)):
            return None
        return cls(tuple(map(float, low)), tuple(map(float, high)))

    def to_unit(self, actions: Tensor) -> Tensor:
        """Actions (N, act_dim) in [-1, 1] for actions in the task's units."""
        centre, half = self._centre_and_half(actions)
        return (actions - centre) / half

    def from_unit(self, actions: Tensor) -> Tensor:
        """Actions (N, act_dim) in the task's units, never outside the bounds, for actions in [-1, 1]."""
        centre, half = self._centre_and_half(actions)
        return torch.minimum(torch.maximum(centre + half * actions, centre - half), centre + half)

    def _centre_and_half(self, like: Tensor) -> tuple[Tensor, Tensor]:
        low, high = like.new_tensor(self.low), like.new_tensor(self.high)
        return (low + high) / 2, (high - low) / 2

    def policy(self, make: Callable[[], Policy]) -> Callable[[], Policy]:
        """Makes the policy that `make` makes, acting in the task's units."""
        return lambda: _Scaled(make(), self)


class _Scaled:
    def __init__(self, policy: Policy, scale: ActionScale) -> None:
        self._policy, self._scale = policy, scale
        self.reset, self.observe = policy.reset, policy.observe

    def act(self, observations: Tensor) -> Tensor:
        return self._scale.from_unit(self._policy.act(observations))
