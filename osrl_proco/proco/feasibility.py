"""The feasibility critic: which states are safe now but already lost (PROCO section 4, eqs. 6, 8, 12).

h(s)   = h_max where s is unsafe, -1 where it is safe
Q(s,a) = (1 - gamma) h(s) + gamma max{h(s), V(s')}          feasible Bellman operator, eqs. 6 and 8
V(s)   = a low expectile of Q(s, a) over the data's actions   reverse expectile, eq. 12
V <= 0: feasible.  V > 0: every recorded or imagined way on leads to a violation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class FeasibilityBatch(NamedTuple):
    """Transitions with a label for the state they leave and the state they reach.

    `next_observations` is (N, obs_dim), or (K, N, obs_dim) where K models disagree on what comes next.
    """

    observations: Tensor  # (N, obs_dim)
    actions: Tensor  # (N, act_dim)
    next_observations: Tensor
    unsafe: Tensor  # (N,) in {0, 1}: the state left
    next_unsafe: Tensor  # (N,) in {0, 1}: the state reached
    terminals: Tensor  # (N,) in {0, 1}: the task ended there (not: ran out of time)


def violation(unsafe: Tensor, h_max: float) -> Tensor:
    """h: `h_max` where unsafe, -1 elsewhere."""
    return unsafe * (h_max + 1.0) - 1.0


def backup(batch: FeasibilityBatch, next_values: Tensor, gamma: float, h_max: float) -> Tensor:
    """The target of Q (N,): eq. 6, or eq. 8 where `next_values` is (K, N), one row for each model's next state.

    A transition that ends in a violation, or in a true terminal state, backs up h alone.
    """
    here, there = violation(batch.unsafe, h_max), violation(batch.next_unsafe, h_max)
    worst = next_values.amax(0) if next_values.dim() == 2 else next_values
    future = (1.0 - gamma) * here + gamma * torch.maximum(here, worst)
    ended = (batch.terminals + batch.next_unsafe) > 0
    return torch.where(ended, torch.maximum(here, there), future)


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """Reverse expectile of eq. 12 for u = Q - V: mean of |tau - 1(u > 0)| u², leaning V to the low end of Q."""
    weight = torch.where(difference > 0, 1.0 - expectile, expectile)
    return (weight * difference**2).mean()


def _network(n_in: int, hidden: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip([n_in, *hidden[:-1]], hidden, strict=True):
        layers += [nn.Linear(a, b), nn.ReLU()]
    head = nn.Linear(hidden[-1], 1)
    # -1 is the value of a state that is safe for ever: start there, and let violations raise it.
    nn.init.constant_(head.bias, -1.0)
    return nn.Sequential(*layers, head)


class FeasibilityCritic(nn.Module):
    """Twin Q and one V over standardised inputs. It answers OSRL's cost-critic calls with the threshold at 0.

    Args:
        obs_dim, act_dim: sizes of observation and action.
        hidden: width of each hidden layer.
        gamma: discount.
        h_max: h of an unsafe state; that of a safe one is -1.
        expectile: tau of eq. 12, in (0.5, 1).
        twin: whether `predict` answers as OSRL's EnsembleDoubleQCritic (four values) or EnsembleQCritic (two).
        excess: whether `predict` answers Q, or by how much Q exceeds what can still be reached (see `excess`).
    """

    obs_mean: Tensor
    obs_std: Tensor

    def __init__(
        self,
        obs_dim: int,
        act_dim: int,
        hidden: Sequence[int],
        *,
        gamma: float,
        h_max: float,
        expectile: float,
        twin: bool,
        excess: bool,
    ) -> None:
        super().__init__()
        self._arguments = (obs_dim, act_dim, tuple(hidden))
        self.gamma, self.h_max, self.expectile = gamma, h_max, expectile
        self.twin, self.as_excess = twin, excess
        self.q_nets = nn.ModuleList(_network(obs_dim + act_dim, hidden) for _ in range(2))
        self.v_net = _network(obs_dim, hidden)
        self.register_buffer("obs_mean", torch.zeros(obs_dim))
        self.register_buffer("obs_std", torch.ones(obs_dim))

    def standardise(self, observations: Tensor) -> None:
        """Take the inputs' mean and deviation from the data's observations (N, obs_dim)."""
        std = observations.std(0)
        self.obs_mean.copy_(observations.mean(0))
        self.obs_std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def like(self) -> FeasibilityCritic:
        """A fresh critic of the same shape and settings."""
        fresh = FeasibilityCritic(
            *self._arguments,
            gamma=self.gamma,
            h_max=self.h_max,
            expectile=self.expectile,
            twin=self.twin,
            excess=self.as_excess,
        )
        return fresh.to(self.obs_mean.device)

    def q_values(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Both Q (2, N)."""
        x = torch.cat([(observations - self.obs_mean) / self.obs_std, actions], -1)
        return torch.stack([q(x).squeeze(-1) for q in self.q_nets])

    def q(self, observations: Tensor, actions: Tensor) -> Tensor:
        """The larger, the more careful, of the two Q (N,)."""
        return self.q_values(observations, actions).amax(0)

    def value(self, observations: Tensor) -> Tensor:
        """V (...,) for observations (..., obs_dim); at most 0 where feasible."""
        return self.v_net((observations - self.obs_mean) / self.obs_std).squeeze(-1)

    def excess(self, observations: Tensor, actions: Tensor) -> Tensor:
        """max{Q(s, a) - max{V(s), 0}, 0} (N,): 0 for an action that keeps a feasible state feasible, and for the
        best action of a lost one.

        A Lagrange multiplier on the mean of Q itself would let many safe states pay for a few fatal ones, and
        would grow for ever on states that no action can save; this mean is 0 exactly for a policy that loses
        nothing, state by state.
        """
        floor = self.value(observations).clamp_min(0.0).detach()
        return (self.q(observations, actions) - floor).clamp_min(0.0)

    def predict(self, observations: Tensor, actions: Tensor) -> tuple[Any, ...]:
        """OSRL's cost-critic call; the constraint holds where the answer is at most 0."""
        answer = self.excess(observations, actions) if self.as_excess else self.q(observations, actions)
        if self.twin:
            return answer, answer, [answer], [answer]
        return answer, [answer]

    def loss(self, batch: FeasibilityBatch, target: FeasibilityCritic) -> tuple[Tensor, dict[str, Tensor]]:
        """L_Q + L_V of eq. 12 and what to log of them; V learns from `target`'s Q, Q from our own V."""
        with torch.no_grad():
            goal = backup(batch, self.value(batch.next_observations), self.gamma, self.h_max)
            target_q = target.q(batch.observations, batch.actions)
        q = self.q_values(batch.observations, batch.actions)
        value = self.value(batch.observations)
        loss_q = ((q - goal) ** 2).mean(1).sum()
        loss_v = expectile_loss(target_q - value, self.expectile)
        info = {
            "loss/feasibility_q": loss_q.detach(),
            "loss/feasibility_v": loss_v.detach(),
            "feasibility/q": q.detach().mean(),
            "feasibility/v": value.detach().mean(),
            "feasibility/infeasible": (value.detach() > 0).float().mean(),
        }
        return loss_q + loss_v, info
