"""CAPS on IQL: several policies from reward alone to cost alone, and a switch between them at every step.

Critics   Q, V of the reward and Q_c, V_c of the *negated* cost, all by IQL (iql.py): large is good
Heads     min (1/K) sum_k E_D [ w_k (-log N(a; mu_k(s), std)) ],  k = 0 .. K-1
          w_0 = e_r,  w_{K-1} = e_c,  w_k = e_r + k / ((K-1)/2) e_c between
          e_r = min(e^{b_r (Q - V)}, c_r),  e_c = min(e^{b_c (Q_c - V_c)}, c_c)
Acting    of the heads whose cost -Q_c(s, mu_k) is below b_t the one of the highest Q, else the one of the lowest cost;
          b_t = [k_t]_+ (1 - gamma^{T-t}) / (1 - gamma) / (T - t),  k_t: what is left of the limit

Source: Chemingui et al., "Constraint-Adaptive Policy Switching for Offline Safe Reinforcement Learning", AAAI 2025,
arXiv 2412.18946: shared trunk with heads, and the switching rule; PROCO eq. 13.

An update: V, V_c, Q, Q_c, actor, the weights from the values before it.

How the twin differs: Q_h and V_h take the place of Q_c and V_c, with e_c = min(e^{b_c (V_h - Q_h)}, c_c); at test the
allowed heads are those with Q_h(s, mu_k) <= 0, and where there is none, the one of the lowest Q_h acts. The limit and
b_t are gone.
How this differs from the published code: docs/algorithms/caps.md. `compat: fixed` learns the deviation (`learn_std`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import UserError
from ..core.state import Attributes, Parts
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch, FeasibilityLearner, ProcoSettings
from ..proco.losses import advantage_weight, feasible_weight
from ..proco.optim import adam, anneal, descend, rates_on_device
from .agent import Agent, Info, Policy, Problem, Stateless
from .iql import IQLCritic
from .networks import Heads
from .seen import Seen

LOG_STD = (-5.0, 2.0)  # bounds of a learned deviation: constant actions would drive it to 0


def allowance(left: Tensor, steps_left: Tensor, gamma: float) -> Tensor:
    """b_t (N,): the discounted cost-to-go that uses up what is `left` of the limit evenly over the steps left."""
    return left.clamp_min(0.0) * (1.0 - gamma**steps_left) / (1.0 - gamma) / steps_left


class CAPS(Agent):
    """CAPS, and with `config.proco` its twin."""

    capturable = True
    limit_at_test = True

    def __init__(self, config: Any, problem: Problem) -> None:
        if config.num_heads < 2:
            raise UserError(f"num_heads: at least 2, one for reward and one for cost, not {config.num_heads}")
        self.config, self.problem = config, problem
        self.batch_size = config.batch_size
        obs_dim, act_dim, device = problem.obs_dim, problem.act_dim, problem.device
        critic = {"gamma": config.gamma, "tau": config.tau, "lr": config.critic_lr, "device": device}
        sizes = (obs_dim, act_dim, config.c_hidden_sizes)
        self.reward = IQLCritic("reward", *sizes, expectile=config.reward_expectile, **critic)
        self.cost: IQLCritic | FeasibilityLearner
        if config.proco:
            self.cost = self.feasibility = FeasibilityLearner.create(
                obs_dim, act_dim, ProcoSettings.of(config, problem.reads), device, lr=config.critic_lr
            )
        else:
            self.cost = IQLCritic("cost", *sizes, expectile=config.cost_expectile, **critic)
        self.actor = Heads(obs_dim, act_dim, config.a_hidden_sizes, config.num_heads).to(device)
        learned = config.learn_std or config.compat == "fixed"
        self.log_std = nn.Parameter(torch.zeros(config.num_heads, 1, act_dim, device=device), requires_grad=learned)
        trained = [*self.actor.parameters(), *([self.log_std] if learned else [])]
        self.actor_optimizer = adam(trained, config.actor_lr)
        self.updates: int | Tensor = 0
        self.seen = Seen(obs_dim, standardise=config.standardise, device=device)

    def prepare(self, data: Transitions) -> None:
        super().prepare(data)
        self.seen.fit(data.observations)

    def weights(self, gain: Tensor, care: Tensor) -> Tensor:
        """w_k (K, N) from e_r and e_c (N,)."""
        heads = self.config.num_heads
        between = [gain + k / ((heads - 1) / 2.0) * care for k in range(1, heads - 1)]
        return torch.stack([gain, *between, care])

    def actor_loss(self, observations: Tensor, actions: Tensor, weights: Tensor) -> tuple[Tensor, Info]:
        """Mean over heads and batch of the weighted negative log-likelihood; weights (K, N)."""
        log_std = self.log_std.clamp(*LOG_STD)
        error = (actions / self.problem.max_action - self.actor(observations)) / log_std.exp()
        unlikely = (0.5 * error**2 + log_std + 0.5 * math.log(2.0 * math.pi)).sum(-1)
        loss = (weights * unlikely).mean()
        return loss, {"loss/actor": loss.detach(), "actor/std": log_std.detach().exp().mean()}

    def update(self, batch: Transitions, feasibility: FeasibilityBatch | None = None) -> Info:
        c, seen, actions = self.config, self.seen.batch(batch), batch.actions
        q, v, info = self.reward.update(seen, batch.rewards * c.reward_scale)
        gain = advantage_weight(q - v, c.reward_temperature, c.reward_clip)
        if isinstance(self.cost, IQLCritic):
            q_c, v_c, figures = self.cost.update(seen, -batch.costs * c.cost_scale)
            care = advantage_weight(q_c - v_c, c.cost_temperature, c.cost_clip)
        else:
            assert feasibility is not None, "the twin's critic needs its own batch"
            q_h, v_h = self.cost.judge(batch.observations, actions)
            care = advantage_weight(v_h - q_h, c.cost_temperature, c.cost_clip)
            if c.mask_reward_head:
                gain = feasible_weight(gain, torch.zeros_like(gain), q_h, v_h)
            figures = self.cost.update(feasibility)
            info["feasibility/h_max"] = self.cost.settings.h_max  # the temperature acts on differences up to h_max + 1
        info.update(figures, **{"weight/reward": gain.mean(), "weight/cost": care.mean()})

        loss, figures = self.actor_loss(seen.observations, actions, self.weights(gain, care))
        anneal(self.actor_optimizer, c.actor_lr, self.updates, c.lr_decay_steps)
        descend(self.actor_optimizer, loss)
        self.updates += 1
        info.update(figures)
        return info

    @torch.no_grad()
    def switch(self, observations: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Actions (N, act_dim) of the heads chosen; `allowed` (N,): b_t, for the stock algorithm alone."""
        seen = self.seen(observations)
        means = self.actor(seen) * self.problem.max_action
        every = (len(means), *observations.shape)
        if isinstance(self.cost, IQLCritic):
            assert allowed is not None
            cost = -self.cost.q(seen.expand(every), means)
            safe = cost < allowed
        else:
            cost = self.cost.critic.q(observations.expand(every), means)
            safe = cost <= 0.0
        best = self.reward.q(seen.expand(every), means).masked_fill(~safe, -math.inf).argmax(0)
        head = torch.where(safe.any(0), best, cost.argmin(0))
        return means[head, torch.arange(len(observations), device=head.device)]

    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        if self.feasibility is not None:
            return self.switch(observations)
        full = torch.full((len(observations),), float(self.config.cost_limit), device=observations.device)
        return self.switch(observations, self.allowed(full, torch.zeros_like(full)))

    def allowed(self, left: Tensor, step: Tensor) -> Tensor:
        """b_t (N,), in the critics' unit, for what is left of the limit and the step, each (N,)."""
        steps_left = (self.problem.episode_len - step).clamp_min(1.0)
        return self.config.cost_scale * allowance(left, steps_left, self.config.gamma)

    def policy(self) -> Policy:
        return Stateless(self.switch) if self.feasibility is not None else RemainingLimit(self)

    def count_on_device(self) -> None:
        self.updates = torch.as_tensor(self.updates, device=self.problem.device)
        rates_on_device(self.actor_optimizer)

    def parts(self) -> Parts:
        return {
            "reward": self.reward.parts(),
            "cost": self.cost.parts(),
            "actor": self.actor,
            "log_std": self.log_std,
            "actor_optimizer": self.actor_optimizer,
            "counters": Attributes(self, ["updates"]),
            **self.seen.parts(),
        }


class RemainingLimit:
    """The stock switch in episodes: it keeps what every row has left of `cost_limit`, and its step."""

    def __init__(self, agent: CAPS) -> None:
        self._agent = agent
        self._left = torch.zeros(0, device=agent.problem.device)
        self._step = torch.zeros(0, device=agent.problem.device)

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        missing = self._left.new_zeros(max(0, max(rows, default=-1) + 1 - len(self._left)))
        self._left, self._step = torch.cat([self._left, missing]), torch.cat([self._step, missing])
        self._left[list(rows)] = float(self._agent.config.cost_limit)
        self._step[list(rows)] = 0.0

    def act(self, observations: Tensor) -> Tensor:
        count = len(observations)
        return self._agent.switch(observations, self._agent.allowed(self._left[:count], self._step[:count]))

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        self._left[: len(costs)] -= costs.to(self._left.device)
        self._step[: len(costs)] += 1.0


def create(config: Any, problem: Problem) -> CAPS:
    """A fresh agent."""
    return CAPS(config, problem)
