"""LSPC on IQL: a CVAE of careful actions, and a policy that looks for reward among its latents.

Critics   Q, V and Q_c, V_c by IQL (iql.py), the cost values never below 0
CVAE      min E_D [ w_c ( |dec(s, z) - a|^2 + KL ) ],  z ~ enc(s, a)
          w_c = min(e^{b_c (V_c - Q_c)}, c_c) 1(V_c < theta) 1(Q_c < theta)
          KL = -(beta / 2) mean over latents of (1 + log v - m^2 - v),  m, v: the latent's mean and variance
Latent    min E_D [ w_r |dec(s, z_max tanh(z)) - a|^2 ],  z ~ pi(s),  w_r = min(e^{b_r (Q - V)}, c_r),  decoder fixed
Acting    LSPC-O: dec(s, z_max tanh(z)), z ~ pi(s).  LSPC-S: dec(s, z), z ~ N(0, 1) clipped to +-z_max

Source: Koirala et al., "Latent Safety-Constrained Policy Approach for Safe Offline Reinforcement Learning", ICLR 2025,
arXiv 2412.08794: latent safety constraint and latent policy; PROCO eq. 13.

An update: V, Q, V_c, Q_c, CVAE, latent policy, the weights from the values before it.
Where paper and published code differ this is the code: one joint loop instead of two stages.

How the twin differs: Q_h and V_h take the place of Q_c and V_c, without the bound at 0, and FISOR's rule says which
actions enter the CVAE: 1(V_h <= 0) 1(Q_h <= 0) w_c + 1(V_h > 0) w_c (`lost_states: drop` leaves the second term out).
How this differs from the published code: docs/algorithms/lspc.md. `compat: fixed` frees a V_c that is stuck below 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.random import normal
from ..core.state import Parts
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch, FeasibilityLearner, ProcoSettings
from ..proco.losses import advantage_weight, divergence, feasible_weight, weighted_error
from ..proco.optim import adam, descend
from .agent import Agent, Info, Policy, Problem, Seeded, Stateless
from .iql import IQLCritic
from .networks import ConditionalVAE, GaussianHead, reparameterised
from .seen import Seen

# Bullet's tasks with z_max .6 in the published settings (AntRun is not among them); .25 elsewhere.
WIDE_LATENTS = ("CarCircle", "DroneRun", "DroneCircle", "CarRun", "AntCircle", "BallRun", "BallCircle")


def published_z_max(task: str) -> float:
    """The latents' bound that the authors use for a DSRL task id, such as OfflineCarCircle-v0."""
    return 0.6 if task in {f"Offline{name}-v0" for name in WIDE_LATENTS} else 0.25


class LSPC(Agent):
    """LSPC, and with `config.proco` its twin."""

    capturable = True

    def __init__(self, config: Any, problem: Problem) -> None:
        if config.policy_mode not in ("O", "S"):
            raise UserError(f"policy_mode: O or S, not {config.policy_mode!r}")
        if config.lost_states not in ("feasible", "drop"):
            raise UserError(f"lost_states: feasible or drop, not {config.lost_states!r}")
        self.config, self.problem = config, problem
        self.batch_size = config.batch_size
        self.z_max = published_z_max(config.task) if config.z_max is None else config.z_max
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
            self.cost = IQLCritic(
                "cost",
                *sizes,
                expectile=config.cost_expectile,
                larger=True,
                floor=0.0,
                stuck=config.compat == "osrl",
                **critic,
            )
        hidden = [config.vae_hidden_sizes] * 2
        self.vae = ConditionalVAE(obs_dim, act_dim, config.latent_dim, hidden, problem.max_action).to(device)
        self.actor = GaussianHead([obs_dim, *config.a_hidden_sizes, config.latent_dim], (-10.0, 2.0)).to(device)
        self.vae_optimizer = adam(self.vae.parameters(), config.vae_lr)
        self.actor_optimizer = adam(self.actor.parameters(), config.actor_lr)
        self.seen = Seen(obs_dim, standardise=config.standardise, device=device)

    def prepare(self, data: Transitions) -> None:
        super().prepare(data)
        self.seen.fit(data.observations)

    def cost_weight(self, q: Tensor, v: Tensor) -> Tensor:
        """What an action weighs in the CVAE (N,), without gradient; q, v (N,): the cost's or the feasibility's."""
        c = self.config
        weight = advantage_weight(v - q, c.cost_temperature, c.cost_clip)
        if self.feasibility is None:
            return weight * ((v < c.cost_threshold) & (q < c.cost_threshold))
        lost = weight if c.lost_states == "feasible" else torch.zeros_like(weight)
        return feasible_weight(weight, lost, q, v)

    def reward_weight(self, q: Tensor, v: Tensor) -> Tensor:
        """What an action weighs in the latent policy's loss (N,), without gradient."""
        return advantage_weight(q - v, self.config.reward_temperature, self.config.reward_clip)

    def vae_loss(self, observations: Tensor, actions: Tensor, weight: Tensor) -> tuple[Tensor, Info]:
        """The weighted reconstruction and divergence; the weight (N,) multiplies both."""
        mean, log_std = self.vae.encode(observations, actions)
        decoded = self.vae.decode(observations, reparameterised(mean, log_std, self.problem.noise))
        kl = divergence(mean, log_std, self.config.beta)
        loss = weighted_error(decoded - actions, weight) + (weight * kl).mean()
        return loss, {"loss/vae": loss.detach(), "vae/kl": kl.detach().mean()}

    def actor_loss(self, observations: Tensor, actions: Tensor, weight: Tensor) -> tuple[Tensor, Info]:
        """The weighted error of the decoded latents; the gradient passes through the decoder."""
        mean, log_std = self.actor(observations)
        latents = self.bounded(reparameterised(mean, log_std, self.problem.noise))
        loss = weighted_error(self.vae.decode(observations, latents) - actions, weight)
        return loss, {"loss/actor": loss.detach()}

    def bounded(self, latents: Tensor) -> Tensor:
        """z_max tanh(z)."""
        return self.z_max * torch.tanh(latents)

    def update(self, batch: Transitions, feasibility: FeasibilityBatch | None = None) -> Info:
        seen, actions = self.seen.batch(batch), batch.actions
        q, v, info = self.reward.update(seen, batch.rewards * self.config.reward_scale)
        if isinstance(self.cost, IQLCritic):
            q_c, v_c, figures = self.cost.update(seen, batch.costs * self.config.cost_scale)
        else:
            assert feasibility is not None, "the twin's critic needs its own batch"
            q_c, v_c = self.cost.judge(batch.observations, actions)
            figures = self.cost.update(feasibility)
            info["feasibility/h_max"] = self.cost.settings.h_max  # the temperature acts on differences up to h_max + 1
        info.update(figures)

        weight = self.cost_weight(q_c, v_c)
        loss, figures = self.vae_loss(seen.observations, actions, weight)
        descend(self.vae_optimizer, loss)
        info.update(figures, **{"weight/mean": weight.mean(), "weight/none": (weight == 0).float().mean()})

        loss, figures = self.actor_loss(seen.observations, actions, self.reward_weight(q, v))
        descend(self.actor_optimizer, loss)
        info.update(figures)
        return info

    @torch.no_grad()
    def latent(self, observations: Tensor, noise: Tensor | None, mode: str) -> Tensor:
        """Latents (N, latent_dim) of seen observations, from normal noise of that shape, or their middle without it."""
        if mode == "S":
            zeros = torch.zeros(len(observations), self.config.latent_dim, device=observations.device)
            return zeros if noise is None else noise.clamp(-self.z_max, self.z_max)
        mean, log_std = self.actor(observations)
        return self.bounded(mean if noise is None else mean + log_std.exp() * noise)

    @torch.no_grad()
    def decoded(self, observations: Tensor, noise: Tensor | None, mode: str) -> Tensor:
        """Actions (N, act_dim) of the latents."""
        seen = self.seen(observations)
        return self.vae.decode(seen, self.latent(seen, noise, mode))

    @torch.no_grad()
    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        noise = normal((len(observations), self.config.latent_dim), generator, observations.device)
        return self.decoded(observations, noise, "O")

    def policy(self) -> Policy:
        mode = self.config.policy_mode
        if self.config.deterministic:
            return Stateless(lambda observations: self.decoded(observations, None, mode))
        return Seeded(
            lambda observations, noise: self.decoded(observations, noise, mode),
            (self.config.latent_dim,),
            self.problem.device,
        )

    def parts(self) -> Parts:
        return {
            "reward": self.reward.parts(),
            "cost": self.cost.parts(),
            "vae": self.vae,
            "actor": self.actor,
            "vae_optimizer": self.vae_optimizer,
            "actor_optimizer": self.actor_optimizer,
            **self.seen.parts(),
        }


def create(config: Any, problem: Problem) -> LSPC:
    """A fresh agent."""
    return LSPC(config, problem)
