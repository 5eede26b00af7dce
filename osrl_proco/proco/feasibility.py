"""The feasibility critic: which states are safe now but already lost (PROCO section 4, eqs. 6, 8, 12).

h(s)   = h_max where s is unsafe, -1 where it is safe; or in between, as far as its margin says (danger.py)
Q(s,a) = (1 - gamma) h(s) + gamma max{h(s), V(s')}          feasible Bellman operator, eqs. 6 and 8
V(s)   = a low expectile of Q(s, a) over the data's actions   reverse expectile, eq. 12
V <= 0: feasible.  V > 0: every recorded or imagined way on leads to a violation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .danger import LOOKED_AT
from .losses import expectile_loss, polyak
from .optim import adam
from .reads import Reads
from .scale import FARTHEST, deviation, standardised


class FeasibilityBatch(NamedTuple):
    """Transitions with the danger, in [-1, 2] and above 0 where unsafe, of the state they leave and the one they reach.

    `next_observations` is (N, obs_dim), or (K, N, obs_dim) where K models disagree on what comes next.
    """

    observations: Tensor  # (N, obs_dim)
    actions: Tensor  # (N, act_dim)
    next_observations: Tensor
    danger: Tensor  # (N,) of the state left; 1 or -1 where only its label is known
    next_danger: Tensor  # (N,) of the state reached
    terminals: Tensor  # (N,) in {0, 1}: the task ended there (not: ran out of time)


@dataclass(frozen=True)
class ProcoSettings:
    """What the feasibility learner needs beside the sizes.

    h_max: h of a state of danger 1; that of one of danger -1 is -1.
    expectile: tau of eq. 12, in (0.5, 1).
    hidden: width of each hidden layer.
    feasibility_gamma: discount.
    h_of: whether a step is judged by the state it leaves ("left", the paper's eq. 6) or by the one it arrives in
        ("reached", FISOR's published code), in which case the step that leads out of danger is already rewarded.
    of_two: which of the two Q counts, the "larger" (the paper's) or their "mean". The larger of two errs upwards by
        their disagreement, at every step of the backup, and calls feasible states lost.
    reads: what the critic reads beside the observation; None: nothing.
    hold: steps that a transition takes (held.py); the discount is that of so many.
    farthest: deviations from the data's mean at which an input is cut. Imagined states can lie hundreds away where an
        entry hardly varies in the data, and from there Q grows from update to update.
    """

    h_max: float = 1.0
    expectile: float = 0.9
    hidden: Sequence[int] = (256, 256)
    feasibility_gamma: float = 0.99
    h_of: str = "left"
    of_two: str = "larger"
    polyak: float = 0.005
    reads: Reads | None = None
    hold: int = 1
    farthest: float = FARTHEST

    @classmethod
    def of(cls, config: Any, reads: Reads | None = None) -> ProcoSettings:
        """Those of a run; the critics of a twin have the widths of the algorithm's own critics."""
        return cls(
            config.h_max,
            config.expectile,
            config.c_hidden_sizes,
            config.feasibility_gamma,
            config.h_of,
            config.of_two,
            config.feasibility_tau,
            reads,
            1 if config.ablation == "without_model" else config.hold,
        )


def violation(danger: Tensor, h_max: float) -> Tensor:
    """h: danger (danger.py), its unsafe part times `h_max`."""
    return torch.where(danger > 0, h_max * danger, danger)


def backup(batch: FeasibilityBatch, next_values: Tensor, gamma: float, h_max: float, h_of: str = "left") -> Tensor:
    """The target of Q (N,): eq. 6, or eq. 8 where `next_values` is (K, N), one row for each model's next state.

    A transition that ends in a violation, or in a true terminal state, backs up h alone. With `h_of="reached"` that is
    m [(1 - gamma) h(s') + gamma max{h(s'), V(s')}] + (1 - m) h(s') with m = 1 - terminal, as in FISOR's code.
    """
    here, there = violation(batch.danger, h_max), violation(batch.next_danger, h_max)
    worst = next_values.amax(0) if next_values.dim() == 2 else next_values
    if h_of == "reached":
        future = (1.0 - gamma) * there + gamma * torch.maximum(there, worst)
        return torch.where(batch.terminals > 0, there, future)
    future = (1.0 - gamma) * here + gamma * torch.maximum(here, worst)
    ended = (batch.terminals > 0) | (batch.next_danger > 0)
    return torch.where(ended, torch.maximum(here, there), future)


def out_of_range(figures: Mapping[str, float], h_max: float) -> bool:
    """Whether figures of `FeasibilityLearner.update` can't be those of values that h allows, from -1 to 2 h_max.

    True where the loss of the two Q is greater than if each missed its target by that whole range, or where the mean
    of Q or V lies outside by more than the range. Such a critic grows from backup to backup; its signs mean nothing.
    """
    low, high = -1.0, 2.0 * h_max
    width = high - low
    means = [figures[name] for name in ("feasibility/q", "feasibility/v")]
    return figures["loss/feasibility_q"] > 2 * width**2 or min(means) < low - width or max(means) > high + width


def _network(n_in: int, hidden: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip([n_in, *hidden[:-1]], hidden, strict=True):
        layers += [nn.Linear(a, b), nn.ReLU()]
    head = nn.Linear(hidden[-1], 1)
    # -1 is the value of a state that is safe for ever: start there, and let violations raise it.
    nn.init.constant_(head.bias, -1.0)
    return nn.Sequential(*layers, head)


class FeasibilityCritic(nn.Module):
    """Twin Q and one V over standardised inputs.

    Args:
        obs_dim, act_dim: sizes of observation and action.
        hidden: width of each hidden layer.
        network: makes a network of one output from its input size and `hidden`.
        of_two: which of the two Q counts, see ProcoSettings.
        reads: what it reads beside the observation.
        farthest: where its inputs are cut, see ProcoSettings.
    """

    obs_mean: Tensor
    obs_std: Tensor

    def __init__(
        self,
        obs_dim: int,
        act_dim: int,
        hidden: Sequence[int],
        network: Callable[[int, Sequence[int]], nn.Module] = _network,
        of_two: str = "larger",
        reads: Reads | None = None,
        farthest: float = FARTHEST,
    ) -> None:
        super().__init__()
        self.of_two, self.reads, self.farthest = of_two, reads, farthest
        width = obs_dim + (reads.width if reads else 0)
        self.q_nets = nn.ModuleList(network(width + act_dim, hidden) for _ in range(2))
        self.v_net = network(width, hidden)
        self.register_buffer("obs_mean", torch.zeros(width))
        self.register_buffer("obs_std", torch.ones(width))

    def standardise(self, observations: Tensor) -> None:
        """Take the inputs' mean and deviation from the data's observations (N, obs_dim)."""
        if self.reads is not None:
            some = observations[:: max(1, len(observations) // LOOKED_AT)]
            observations = torch.cat([some, self.reads(some)], -1)
        self.obs_mean.copy_(observations.mean(0))
        self.obs_std.copy_(deviation(observations))

    def q_values(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Both Q (2, N)."""
        x = torch.cat([self._inputs(observations), actions], -1)
        return torch.stack([q(x).squeeze(-1) for q in self.q_nets])

    def q(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Q (N,): the larger, the more careful, of the two, or their mean."""
        both = self.q_values(observations, actions)
        return both.mean(0) if self.of_two == "mean" else both.amax(0)

    def value(self, observations: Tensor) -> Tensor:
        """V (...,) for observations (..., obs_dim); at most 0 where feasible."""
        return self.v_net(self._inputs(observations)).squeeze(-1)

    def _inputs(self, observations: Tensor) -> Tensor:
        if self.reads is not None:
            observations = torch.cat([observations, self.reads(observations)], -1)
        return standardised(observations, self.obs_mean, self.obs_std, self.farthest)

    def excess(self, observations: Tensor, actions: Tensor) -> Tensor:
        """max{Q(s, a) - max{V(s), 0}, 0} (N,): 0 for an action that keeps a feasible state feasible, and for the
        best action of a lost one.

        A Lagrange multiplier on the mean of Q itself would let many safe states pay for a few fatal ones, and
        would grow for ever on states that no action can save; this mean is 0 exactly for a policy that loses
        nothing, state by state.
        """
        floor = self.value(observations).clamp_min(0.0).detach()
        return (self.q(observations, actions) - floor).clamp_min(0.0)


class FeasibilityLearner:
    """A feasibility critic with its target, its optimizer and its one `update` (eq. 12).

    Args:
        critic: what is learned.
        settings: h_max, expectile, discount and the like.
        lr: Adam's learning rate.
        target, optimizer: where they exist already (the mixin's); by default made here.
    """

    def __init__(
        self,
        critic: FeasibilityCritic,
        settings: ProcoSettings,
        *,
        lr: float = 3e-4,
        target: FeasibilityCritic | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.critic, self.settings = critic, settings
        self.target = target if target is not None else deepcopy(critic).requires_grad_(False)
        self.optimizer = optimizer or adam(critic.parameters(), lr)

    @classmethod
    def create(
        cls,
        obs_dim: int,
        act_dim: int,
        settings: ProcoSettings,
        device: str,
        lr: float = 3e-4,
        network: Callable[[int, Sequence[int]], nn.Module] = _network,
    ) -> FeasibilityLearner:
        """A fresh learner on `device`; `network` as in `FeasibilityCritic`."""
        own = settings.hidden, network, settings.of_two, settings.reads, settings.farthest
        critic = FeasibilityCritic(obs_dim, act_dim, *own).to(device)
        return cls(critic, settings, lr=lr)

    def standardise(self, observations: Tensor) -> None:
        """Fit the inputs' scale of critic and target to the data's observations (N, obs_dim)."""
        self.critic.standardise(observations)
        self.target.load_state_dict(self.critic.state_dict())

    @torch.no_grad()
    def judge(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Q of the target and V, each (N,): what a policy's loss weighs actions by."""
        return self.target.q(observations, actions), self.critic.value(observations)

    def update(self, batch: FeasibilityBatch) -> dict[str, Tensor]:
        """One step of V towards the target's Q, one of Q towards the new V's backup, one of the target; what to log."""
        s, critic = self.settings, self.critic
        with torch.no_grad():
            target_q = self.target.q(batch.observations, batch.actions)
        value = critic.value(batch.observations)
        loss_v = expectile_loss(target_q - value, s.expectile, reverse=True)
        self._step(loss_v)
        with torch.no_grad():
            discount = s.feasibility_gamma**s.hold
            goal = backup(batch, critic.value(batch.next_observations), discount, s.h_max, s.h_of)
        q = critic.q_values(batch.observations, batch.actions)
        loss_q = ((q - goal) ** 2).mean(1).sum()
        self._step(loss_q)
        polyak(self.target, critic, s.polyak)
        value, q = value.detach(), q.detach()
        return {
            "loss/feasibility_q": loss_q.detach(),
            "loss/feasibility_v": loss_v.detach(),
            "feasibility/q": q.mean(),
            "feasibility/v": value.mean(),
            "feasibility/infeasible": (value > 0).float().mean(),
        }

    def _step(self, loss: Tensor) -> None:
        # Parameters without a gradient are skipped by Adam, so one optimizer serves both steps.
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def parts(self) -> dict[str, Any]:
        """All that training changes, by name."""
        return {"critic": self.critic, "target": self.target, "optimizer": self.optimizer}
