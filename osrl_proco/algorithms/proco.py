"""The mixin that gives an OSRL algorithm PROCO's feasibility critic in place of its cost critic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..proco.feasibility import FeasibilityBatch, FeasibilityCritic


@dataclass(frozen=True)
class ProcoSettings:
    """What the mixin needs beside the stock algorithm's own arguments (see FeasibilityCritic)."""

    h_max: float = 1.0
    expectile: float = 0.9
    hidden: Sequence[int] = (256, 256)
    feasibility_gamma: float = 0.99


class ProcoMixin:
    """`class ProcoBCQL(ProcoMixin, BCQL)`: the stock class, its cost critic replaced (PROCO eqs. 12 and 13).

    The stock class must keep its cost critic in `cost_critic`, a target copy in `cost_critic_old` that
    `sync_weight` averages towards it, an optimizer `cost_critic_optim`, a method `cost_critic_loss`, and
    thresholds in any of `qc_thres`, `q_thres`, `controller.thres`: OSRL's own conventions. Reward critic and
    policy go on learning from the batches they are given; only the feasibility critic draws from
    `feasibility_batch`, a callable that returns a batch of recorded and imagined transitions.

    With `proco=None` nothing is replaced: bit for bit the stock algorithm.
    """

    # Whether the stock policy loss wants the state-wise excess (Lagrangian losses) or the value itself.
    constraint_on_excess = True

    feasibility_batch: Callable[[], FeasibilityBatch]
    cost_critic: nn.Module

    def __init__(self, *args: Any, proco: ProcoSettings | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.proco = proco
        if proco is None:
            return
        self.cost_critic = FeasibilityCritic(
            self.state_dim,  # type: ignore[attr-defined]
            self.action_dim,  # type: ignore[attr-defined]
            proco.hidden,
            gamma=proco.feasibility_gamma,
            h_max=proco.h_max,
            expectile=proco.expectile,
            twin=hasattr(self.cost_critic, "q1_nets"),
            excess=self.constraint_on_excess,
        ).to(self.device)  # type: ignore[attr-defined]
        self.cost_critic_old = deepcopy(self.cost_critic).requires_grad_(False).eval()
        for name in ("qc_thres", "q_thres"):
            if hasattr(self, name):
                setattr(self, name, 0.0)
        if hasattr(self, "controller"):
            self.controller.thres = 0.0

    def standardise(self, observations: Tensor) -> None:
        """Fit the feasibility critic's input scale to the data's observations (N, obs_dim)."""
        if isinstance(self.cost_critic, FeasibilityCritic):
            self.cost_critic.standardise(observations)
            self.cost_critic_old.load_state_dict(self.cost_critic.state_dict())

    def cost_critic_loss(self, *batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of the feasibility critic on `feasibility_batch()`; the stock step when PROCO is off."""
        if self.proco is None:
            return super().cost_critic_loss(*batch)  # type: ignore[misc]
        loss, info = self.cost_critic.loss(self.feasibility_batch(), self.cost_critic_old)  # type: ignore[operator]
        self.cost_critic_optim.zero_grad()  # type: ignore[attr-defined]
        loss.backward()
        self.cost_critic_optim.step()  # type: ignore[attr-defined]
        return loss, info
