"""Implicit Q-learning's critic (Kostrikov et al., arXiv 2110.06169, eqs. 5 and 6): values without unseen actions.

V(s)   <- expectile tau of Q'(s, a) over the data's actions      Q': target, the smaller of two (or the larger)
Q(s,a) <- x + gamma (1 - d) V(s')                                x: reward, cost or negated cost; d: the task ended

An update steps V, then both Q, then the target. FISOR, LSPC and CAPS learn reward by it, LSPC and CAPS cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from ..data.transitions import Transitions
from ..proco.losses import expectile_loss, polyak
from ..proco.optim import adam, descend
from .networks import TwinQ, mlp


class IQLCritic:
    """Twin Q, its target, V, and their optimizers.

    Args:
        name: in what is logged, "reward" or "cost".
        expectile: tau, in (0.5, 1).
        larger: for a cost: the larger Q counts, and V leans to the low end of Q (reverse expectile).
        fresh: Q's target takes V(s') after V's step instead of before.
        floor: values are never below it, wherever they are used.
        stuck: the floor holds within V's own loss too: where the network is below it, it gets no gradient.
        init: first weights, see `mlp`.
    """

    def __init__(
        self,
        name: str,
        obs_dim: int,
        act_dim: int,
        hidden: Sequence[int],
        *,
        expectile: float,
        gamma: float,
        tau: float,
        lr: float,
        device: torch.device | str,
        larger: bool = False,
        fresh: bool = False,
        floor: float | None = None,
        stuck: bool = False,
        init: str = "torch",
    ) -> None:
        self.name, self.expectile, self.gamma, self.tau = name, expectile, gamma, tau
        self.larger, self.fresh, self.floor, self.stuck = larger, fresh, floor, stuck
        self.q_nets = TwinQ(obs_dim, act_dim, hidden, init).to(device)
        self.q_target = deepcopy(self.q_nets).requires_grad_(False)
        self.v_net = mlp([obs_dim, *hidden, 1], init).to(device)
        self.q_optimizer, self.v_optimizer = adam(self.q_nets.parameters(), lr), adam(self.v_net.parameters(), lr)

    def q(self, observations: Tensor, actions: Tensor) -> Tensor:
        """The careful one of the two Q (...,)."""
        return self._careful(self.q_nets(observations, actions))

    @torch.no_grad()
    def target_q(self, observations: Tensor, actions: Tensor) -> Tensor:
        """The careful one of the target's two Q (N,), without gradient."""
        return self._above(self._careful(self.q_target(observations, actions)))

    @torch.no_grad()
    def judge(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Q of the target and V, each (N,): what a policy's loss weighs actions by."""
        return self.target_q(observations, actions), self.value(observations)

    def value(self, observations: Tensor) -> Tensor:
        """V (N,)."""
        return self._above(self.v_net(observations).squeeze(-1))

    def value_loss(self, q: Tensor, observations: Tensor) -> tuple[Tensor, Tensor]:
        """V's loss towards the target's q (N,), and V as it was."""
        raw = self.v_net(observations).squeeze(-1)
        value = self._above(raw)
        loss = expectile_loss(q - (value if self.stuck else raw), self.expectile, reverse=self.larger)
        return loss, value.detach()

    def goal(self, signal: Tensor, terminals: Tensor, next_values: Tensor) -> Tensor:
        """Q's target (N,). Any terminal above 0 ends the sum, also one that counts double."""
        return signal + self.gamma * torch.where(terminals > 0, torch.zeros_like(next_values), next_values)

    def q_loss(self, observations: Tensor, actions: Tensor, goal: Tensor) -> Tensor:
        """Mean square of both Q's distance from the goal (N,)."""
        return ((self.q_nets(observations, actions) - goal) ** 2).mean()

    def update(self, batch: Transitions, signal: Tensor) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """One step of V, Q and target. Target's Q and V, each (N,), as they were before it, and what to log.

        signal: x (N,), as scaled for training.
        """
        q = self.target_q(batch.observations, batch.actions)
        with torch.no_grad():
            following = None if self.fresh else self.value(batch.next_observations)
        loss_v, value = self.value_loss(q, batch.observations)
        descend(self.v_optimizer, loss_v)
        if following is None:
            with torch.no_grad():
                following = self.value(batch.next_observations)
        loss_q = self.q_loss(batch.observations, batch.actions, self.goal(signal, batch.terminals, following))
        descend(self.q_optimizer, loss_q)
        polyak(self.q_target, self.q_nets, self.tau)
        return q, value, self._info(loss_q, loss_v, q, value)

    def parts(self) -> dict[str, Any]:
        """All that training changes, by name."""
        return {
            "q": self.q_nets,
            "q_target": self.q_target,
            "v": self.v_net,
            "q_optimizer": self.q_optimizer,
            "v_optimizer": self.v_optimizer,
        }

    def _careful(self, both: Tensor) -> Tensor:
        return both.amax(0) if self.larger else both.amin(0)

    def _above(self, values: Tensor) -> Tensor:
        return values if self.floor is None else values.clamp_min(self.floor)

    def _info(self, loss_q: Tensor, loss_v: Tensor, q: Tensor, value: Tensor) -> dict[str, Any]:
        return {
            f"loss/{self.name}_q": loss_q.detach(),
            f"loss/{self.name}_v": loss_v.detach(),
            f"{self.name}/q": q.mean(),
            f"{self.name}/v": value.mean(),
        }
