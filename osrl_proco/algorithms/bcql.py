"""BCQ-Lagrangian (OSRL's), and with PROCO."""

from __future__ import annotations

from typing import Any

import torch
from osrl.algorithms import BCQL, BCQLTrainer
from torch import Tensor

from .agent import Problem
from .osrl import MendedCostCritic, OsrlAgent, ProcoMixin

CANDIDATES = 32


class ProcoBCQL(ProcoMixin, BCQL):
    """OSRL's BCQL; with PROCO it chooses among several of the VAE's actions.

    OSRL's policy perturbs a single sample of the VAE by at most `phi`, which no critic can turn away from a wall.
    With PROCO, `CANDIDATES` samples of the VAE's prior are tried, the likeliest first, and the first that loses no
    safety (Q_c <= min{V, 0}) is taken, or where there is none the one of the lowest Q_c. V is a low expectile of Q, so
    in most states none qualifies and the choice is the lowest Q_c: careful, and paid for in reward. Against Q_c <= 0
    alone, which rides the boundary: on OfflineBrake-v0 every one of 50 episodes was free of violations instead of 21.
    OSRL clips latents to 0.5 in training, which keeps to the commonest action of the data; the rare one that brakes
    lies further out, so here the prior is sampled whole. BCQ itself takes the highest reward value, which is too rough
    to choose by early on: on PointGoal1 a reward of 0.16 instead of 0.69 after 5,000 updates.
    """

    latents: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.proco is not None:
            # Part of the checkpoint: the same candidates on every machine.
            latents = torch.randn(CANDIDATES, self.latent_dim, generator=torch.Generator().manual_seed(0))
            latents[0] = 0.0  # the VAE's mode
            self.register_buffer("latents", latents[latents.norm(dim=1).argsort()].to(self.device))

    def policy(self, observations: Tensor) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim), the same at every call."""
        count, device = len(observations), observations.device
        if self.proco is None:
            mode = torch.zeros(count, self.latent_dim, device=device)
            return self.actor(observations, self.vae.decode(observations, mode))
        repeated = observations.repeat_interleave(CANDIDATES, 0)
        candidates = self.actor(repeated, self.vae.decode(repeated, self.latents.repeat(count, 1)))
        unsafe = self.cost_critic.q(repeated, candidates).view(count, CANDIDATES)  # type: ignore[operator]
        no_worse = unsafe <= self.cost_critic.value(observations).clamp_max(0.0)[:, None]  # type: ignore[operator]
        chosen = torch.where(no_worse.any(1), no_worse.float().argmax(1), unsafe.argmin(1))
        return candidates.view(count, CANDIDATES, -1)[torch.arange(count, device=device), chosen]

    def imagine(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        """One of the candidates (N, act_dim), at random: the rollouts see all that the policy can choose among, at a
        thirtieth of the time (docs/speed.md)."""
        drawn = torch.randint(CANDIDATES, (len(observations),), generator=generator, device=observations.device)
        return self.actor(observations, self.vae.decode(observations, self.latents[drawn]))


class MendedBCQL(MendedCostCritic, ProcoBCQL):
    """With the published faults of the cost critic mended."""


def create(config: Any, problem: Problem) -> OsrlAgent:
    """A fresh agent of OSRL's BCQL, with PROCO where `config.proco` says so."""
    changing = ("controller.error_old", "controller.error_integral")
    model = MendedBCQL if config.compat == "fixed" else ProcoBCQL
    return OsrlAgent(model, BCQLTrainer, config, problem, changing=changing)
