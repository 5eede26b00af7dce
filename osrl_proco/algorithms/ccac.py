"""CCAC: actor and critics that are told the budget k of a step, what the rest of its trajectory cost in the data.

CVAE        (s, a) given k: mean square error over (s, a) + beta KL
Classifier  h(s, a, k) = P(the pair lies on a trajectory that exceeds k): of pairs of the data and of the CVAE's copies
            of them, with k* the budget of the batch's first row, label 1(k_i > k*)
Critics     Q <- r + gamma (1 - d) min Q'(s', a', k'),  Q_c <- c + gamma (1 - d) min Q_c'(s', a', k'),  a' ~ pi(s', k')
            and for pairs (s~, a~) that the CVAE makes of noise, where h(s~, a~, k) > 1/2:
            Q_c   min  -L_c(k) (Q_c(s~, a~, k) - k)
            L_c   min   L_c(k) (Q_c(s~, a~, k) - k) + .01 |parameters|²
Actor       min  -Q(s, a, k) + L_p(k) (Q_c(s, a, k) - k),  a ~ pi(s, k)
            L_p   min  -L_p(k) (Q_c(s, a, k) - k) + .01 |parameters|²

Two stages: CVAE and classifier alone, then everything. An update: CVAE, classifier, Q, Q_c, L_c, actor, L_p, targets.
Acting: tanh of the mean at (s, k), k from `cost_limit` down by every cost, never below 0.

Source: "Constraint-Conditioned Actor-Critic for Offline Safe Reinforcement Learning", ICLR 2025; PROCO eq. 13.

How the twin differs: the feasibility critic stands in for Q_c, with budget 0: the actor minimises
-Q + L_p(k) [Q_h(s, a) - max(V_h(s), 0)]_+. It knows danger from imagined violations, so CVAE, classifier and L_c are
gone, and the first stage learns Q_h and V_h alone. k stays an input, from relabelled costs, and is 0 at test.
How this differs from the published code: docs/algorithms/ccac.md. `compat: fixed` takes the softplus from Q and
believes the largest of the Q_c.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from ..core.random import normal
from ..core.state import Attributes, Parts
from ..data.samplers import Marked, MarkedSampler
from ..data.trajectories import Trajectories
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch, FeasibilityLearner, ProcoSettings
from ..proco.losses import divergence, polyak
from ..proco.optim import adam, descend
from .agent import Agent, Info, Policy, Problem
from .networks import GaussianHead, mlp, reparameterised

LOG_MULTIPLIER = (-20.0, 5.0)
DECAY = 0.01  # weight of the multipliers' squared parameters


def bounded(values: Tensor, low: Any, high: Any) -> Tensor:
    """The values within bounds (numbers or tensors), their gradient as if there were none."""
    return values.detach().clamp(low, high) + (values - values.detach())


class Critics(nn.Module):
    """`count` MLPs of (s, k, a); of none negative where `positive`."""

    def __init__(self, inputs: int, hidden: Sequence[int], count: int, positive: bool) -> None:
        super().__init__()
        self.nets = nn.ModuleList(mlp([inputs, *hidden, 1]) for _ in range(count))
        self.positive = positive

    def forward(self, x: Tensor) -> Tensor:
        """All values (count, N) for inputs (N, inputs)."""
        values = torch.stack([net(x).squeeze(-1) for net in self.nets])
        return softplus(values) if self.positive else values


class Critic:
    """Several Q, their target and their optimizer; the smallest counts, or the largest."""

    def __init__(self, nets: Critics, lr: float, gamma: float, *, larger: bool = False) -> None:
        self.nets, self.gamma, self.larger = nets, gamma, larger
        self.target = deepcopy(nets).requires_grad_(False)
        self.optimizer = adam(nets.parameters(), lr)

    def value(self, x: Tensor) -> Tensor:
        """The Q that counts (N,)."""
        return self._counts(self.nets(x))

    def loss(self, x: Tensor, signal: Tensor, terminals: Tensor, following: Tensor) -> Tensor:
        """Sum over the nets of their mean square error, towards the target's value at `following`."""
        with torch.no_grad():
            later = self._counts(self.target(following))
            goal = signal + self.gamma * torch.where(terminals > 0, torch.zeros_like(later), later)
        return ((self.nets(x) - goal) ** 2).mean(1).sum()

    def parts(self) -> Parts:
        return {"nets": self.nets, "target": self.target, "optimizer": self.optimizer}

    def _counts(self, values: Tensor) -> Tensor:
        return values.amax(0) if self.larger else values.amin(0)


class Multiplier:
    """L(k) >= 0, a network of the budget, with its optimizer."""

    def __init__(self, width: int, lr: float, device: str) -> None:
        self.net = mlp([1, width, width, 1]).to(device)
        self.optimizer = adam(self.net.parameters(), lr)

    def __call__(self, budgets: Tensor) -> Tensor:
        """L (N,) for budgets (N,)."""
        return bounded(self.net(budgets[:, None]).squeeze(-1), *LOG_MULTIPLIER).exp()

    def decay(self) -> Tensor:
        """What keeps it from growing for ever."""
        return DECAY * torch.stack([(p**2).sum() for p in self.net.parameters()]).sum()

    def parts(self) -> Parts:
        return {"net": self.net, "optimizer": self.optimizer}


class Generator(nn.Module):
    """The CVAE of (s, a) given k. `low` and `high` (obs_dim + act_dim,) bound what it makes."""

    low: Tensor
    high: Tensor

    def __init__(self, obs_dim: int, act_dim: int, latent_dim: int, width: int, max_action: float) -> None:
        super().__init__()
        pair = obs_dim + act_dim
        self.encoder = GaussianHead([pair + 1, width, width, latent_dim], (-4.0, 15.0))
        self.decoder = mlp([latent_dim + 1, width, width, pair])
        self.latent_dim = latent_dim
        self.register_buffer("low", torch.full((pair,), -max_action))
        self.register_buffer("high", torch.full((pair,), max_action))

    def fit_bounds(self, observations: Tensor) -> None:
        """Bound the states by those of the data (N, obs_dim)."""
        self.low[: observations.shape[1]] = observations.amin(0)
        self.high[: observations.shape[1]] = observations.amax(0)

    def encode(self, pairs: Tensor, budgets: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-deviation of the latent, each (N, latent_dim)."""
        return self.encoder(torch.cat([pairs, budgets[:, None]], 1))

    def decode(self, latents: Tensor, budgets: Tensor) -> Tensor:
        """Pairs (N, obs_dim + act_dim)."""
        return bounded(self.decoder(torch.cat([latents, budgets[:, None]], 1)), self.low, self.high)


class CCAC(Agent):
    """CCAC, and with `config.proco` its twin."""

    def __init__(self, config: Any, problem: Problem) -> None:
        self.config, self.problem = config, problem
        self.batch_size = config.batch_size
        self.limit_at_test = not config.proco
        obs_dim, act_dim, device = problem.obs_dim, problem.act_dim, problem.device
        width, fixed = config.vae_hidden_sizes, config.compat == "fixed"

        def critic(count: int, positive: bool, larger: bool) -> Critic:
            nets = Critics(obs_dim + 1 + act_dim, config.c_hidden_sizes, count, positive).to(device)
            return Critic(nets, config.critic_lr, config.gamma, larger=larger)

        self.actor = GaussianHead([obs_dim + 1, *config.a_hidden_sizes, act_dim], (-20.0, 2.0)).to(device)
        self.actor_optimizer = adam(self.actor.parameters(), config.actor_lr)
        self.reward = critic(config.num_q, config.reward_softplus and not fixed, larger=False)
        self.actor_multiplier = Multiplier(width, config.actor_lr, device)
        if config.proco:
            self.feasibility = FeasibilityLearner.create(
                obs_dim, act_dim, ProcoSettings.of(config, problem.reads), device, lr=config.critic_lr
            )
        else:
            self.cost = critic(config.num_qc, True, larger=fixed)
            self.cost_multiplier = Multiplier(width, config.actor_lr, device)
            self.vae = Generator(obs_dim, act_dim, config.latent_dim, width, problem.max_action).to(device)
            self.vae_optimizer = adam(self.vae.parameters(), config.vae_lr)
            self.classifier = mlp([obs_dim + act_dim + 1, width, width, 1]).to(device)
            self.classifier_optimizer = adam(self.classifier.parameters(), config.vae_lr)
        # Part of the state, so that a run that is lengthened does not fall back into its first stage.
        self.alone = round(config.pretrain_share * config.update_steps)
        self.updates = 0

    def prepare(self, data: Transitions) -> None:
        super().prepare(data)
        if self.feasibility is None:
            self.vae.fit_bounds(data.observations)

    def sampler(self, data: Transitions) -> MarkedSampler:
        return MarkedSampler(data, self.batch_size, Trajectories.of(data).budgets()[0])

    # ---- losses

    def vae_loss(self, pairs: Tensor, budgets: Tensor) -> tuple[Tensor, Tensor, Info]:
        """Error of the copies and divergence, the copies (N, obs_dim + act_dim), and what to log."""
        mean, log_std = self.vae.encode(pairs, budgets)
        copies = self.vae.decode(reparameterised(mean, log_std, self.problem.noise), budgets)
        kl = divergence(mean, log_std, self.config.beta).mean()
        loss = ((copies - pairs) ** 2).mean() + kl
        return loss, copies.detach(), {"loss/vae": loss.detach(), "vae/kl": kl.detach()}

    def classifier_loss(self, pairs: Tensor, copies: Tensor, budgets: Tensor) -> Tensor:
        """Cross-entropy of "exceeds the first row's budget", over pairs and copies."""
        told = budgets[:1].expand(2 * len(budgets), 1)
        exceeds = (budgets > budgets[0]).float().repeat(2)
        return binary_cross_entropy_with_logits(self.logits(torch.cat([pairs, copies]), told), exceeds)

    def logits(self, pairs: Tensor, budgets: Tensor) -> Tensor:
        """log h / (1 - h) (N,) for pairs (N, obs_dim + act_dim) and budgets (N, 1)."""
        return self.classifier(torch.cat([pairs, budgets], 1)).squeeze(-1)

    @torch.no_grad()
    def generated(self, budgets: Tensor) -> tuple[Tensor, Tensor]:
        """The critics' inputs for pairs made of noise, and which of them exceed their budgets (N,) in {0, 1}."""
        noise = normal((len(budgets), self.vae.latent_dim), self.problem.noise, budgets.device).clamp(-1.0, 1.0)
        pairs = self.vae.decode(noise, budgets)
        observations, actions = pairs.split([self.problem.obs_dim, self.problem.act_dim], 1)
        exceeds = (self.logits(pairs, budgets[:, None]) > 0.0).float()
        return inputs(observations, budgets, actions), exceeds

    def sample(self, observations: Tensor, budgets: Tensor) -> Tensor:
        """Actions (N, act_dim) drawn from the policy, with gradient."""
        mean, log_std = self.actor(inputs(observations, budgets))
        return self.problem.max_action * torch.tanh(reparameterised(mean, log_std, self.problem.noise))

    # ---- steps

    def danger_step(self, pairs: Tensor, budgets: Tensor) -> Info:
        """CVAE and classifier."""
        loss, copies, info = self.vae_loss(pairs, budgets)
        descend(self.vae_optimizer, loss)
        loss = self.classifier_loss(pairs, copies, budgets)
        descend(self.classifier_optimizer, loss)
        return {**info, "loss/classifier": loss.detach()}

    def cost_step(self, x: Tensor, rows: Transitions, budgets: Tensor, following: Tensor) -> Info:
        """Q_c and its multiplier."""
        loss = self.cost.loss(x, rows.costs * self.config.cost_scale, rows.terminals, following)
        made, exceeds = self.generated(budgets)
        q = self.cost.value(made)
        multiplier = self.cost_multiplier(budgets)
        # A batch without such pairs leaves Q_c to the data and the multiplier where it is.
        descend(self.cost.optimizer, loss - mean_where(multiplier.detach() * (q - budgets), exceeds))
        there = exceeds.amax()
        rises = mean_where(multiplier * (q.detach() - budgets), exceeds) + there * self.cost_multiplier.decay()
        descend(self.cost_multiplier.optimizer, rises)
        return {
            "loss/cost_q": loss.detach(),
            "cost/generated_q": mean_where(q.detach(), exceeds),
            "cost/generated_exceeds": exceeds.mean(),
            "multiplier/cost": multiplier.detach().mean(),
        }

    def constraint(self, observations: Tensor, actions: Tensor, budgets: Tensor) -> Tensor:
        """What the actor's multiplier weighs (N,): by how much the budget is exceeded, or what the action loses."""
        if self.feasibility is not None:
            return self.feasibility.critic.excess(observations, actions)
        return self.cost.value(inputs(observations, budgets, actions)) - budgets

    def actor_step(self, observations: Tensor, budgets: Tensor) -> Info:
        """The actor and its multiplier."""
        actions = self.sample(observations, budgets)
        q = self.reward.value(inputs(observations, budgets, actions))
        constraint = self.constraint(observations, actions, budgets)
        multiplier = self.actor_multiplier(budgets)
        loss = (multiplier.detach() * constraint - q).mean()
        descend(self.actor_optimizer, loss)
        rises = self.actor_multiplier.decay() - (multiplier * constraint.detach()).mean()
        descend(self.actor_multiplier.optimizer, rises)
        return {
            "loss/actor": loss.detach(),
            "reward/q": q.detach().mean(),
            "actor/constraint": constraint.detach().mean(),
            "multiplier/actor": multiplier.detach().mean(),
        }

    def update(self, batch: Marked, feasibility: FeasibilityBatch | None = None) -> Info:
        c, rows, budgets = self.config, batch.rows, batch.mark * self.config.cost_scale
        if self.feasibility is not None:
            assert feasibility is not None, "the twin's critic needs its own batch"
            info: Info = dict(self.feasibility.update(feasibility))
        else:
            info = self.danger_step(torch.cat([rows.observations, rows.actions], 1), budgets)
        self.updates += 1
        if self.updates <= self.alone:
            return info

        x = inputs(rows.observations, budgets, rows.actions)
        later = (budgets - rows.costs * c.cost_scale).clamp_min(0.0)
        with torch.no_grad():
            following = inputs(rows.next_observations, later, self.sample(rows.next_observations, later))
        loss = self.reward.loss(x, rows.rewards * c.reward_scale, rows.terminals, following)
        descend(self.reward.optimizer, loss)
        info["loss/reward_q"] = loss.detach()
        if self.feasibility is None:
            with torch.no_grad():  # as published, with actions of its own
                following = inputs(rows.next_observations, later, self.sample(rows.next_observations, later))
            info.update(self.cost_step(x, rows, budgets, following))
        info.update(self.actor_step(rows.observations, budgets))
        polyak(self.reward.target, self.reward.nets, c.tau)
        if self.feasibility is None:
            polyak(self.cost.target, self.cost.nets, c.tau)
        return info

    # ---- acting

    @torch.no_grad()
    def act_within(self, observations: Tensor, left: Tensor) -> Tensor:
        """Actions (N, act_dim) where `left` (N,) of the limit remains."""
        mean, _ = self.actor(inputs(observations, left * self.config.cost_scale))
        return self.problem.max_action * torch.tanh(mean)

    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        limit = 0.0 if self.feasibility is not None else float(self.config.cost_limit)
        return self.act_within(observations, observations.new_full((len(observations),), limit))

    def policy(self) -> Policy:
        return super().policy() if self.feasibility is not None else Budgeted(self)

    def parts(self) -> Parts:
        parts = {
            "actor": self.actor,
            "actor_optimizer": self.actor_optimizer,
            "reward": self.reward.parts(),
            "actor_multiplier": self.actor_multiplier.parts(),
            "counters": Attributes(self, ["updates", "alone"]),
        }
        if self.feasibility is not None:
            return {**parts, "feasibility": self.feasibility.parts()}
        return {
            **parts,
            "cost": self.cost.parts(),
            "cost_multiplier": self.cost_multiplier.parts(),
            "vae": self.vae,
            "vae_optimizer": self.vae_optimizer,
            "classifier": self.classifier,
            "classifier_optimizer": self.classifier_optimizer,
        }


class Budgeted:
    """The stock policy in episodes: it keeps what every row has left of `cost_limit`."""

    def __init__(self, agent: CCAC) -> None:
        self._agent = agent
        self._left = torch.zeros(0, device=agent.problem.device)

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        missing = self._left.new_zeros(max(0, max(rows) + 1 - len(self._left)))
        self._left = torch.cat([self._left, missing])
        self._left[list(rows)] = float(self._agent.config.cost_limit)

    def act(self, observations: Tensor) -> Tensor:
        return self._agent.act_within(observations, self._left[: len(observations)])

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        count = len(costs)
        self._left[:count] = (self._left[:count] - costs.to(self._left)).clamp_min(0.0)


def inputs(observations: Tensor, budgets: Tensor, *actions: Tensor) -> Tensor:
    """(s, k) or (s, k, a) as rows."""
    return torch.cat([observations, budgets[:, None], *actions], 1)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values (N,) where mask (N,) is 1; 0 where it never is."""
    return (values * mask).sum() / mask.sum().clamp_min(1.0)


def create(config: Any, problem: Problem) -> CCAC:
    """A fresh agent."""
    return CCAC(config, problem)
