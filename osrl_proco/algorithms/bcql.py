"""BCQ-Lagrangian with PROCO."""

from __future__ import annotations

import torch
from osrl.algorithms import BCQL, BCQLTrainer
from torch import Tensor

from .proco import ProcoMixin

Trainer = BCQLTrainer


class ProcoBCQL(ProcoMixin, BCQL):
    """OSRL's BCQL; with PROCO it picks, as BCQ does, among `sample_action_num` of the VAE's actions.

    OSRL's policy perturbs a single sample of the VAE by at most `phi`, which no critic can turn away from a wall.
    With PROCO the feasible candidate (Q_c <= 0) of the highest reward value is taken, or where none is feasible
    the one of the lowest Q_c. Deterministic: the latents are fixed, the first of them the VAE's mode.
    """

    def policy(self, observations: Tensor, deterministic: bool = True) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim)."""
        count = len(observations)
        if self.proco is None:
            latent = torch.zeros(count, self.latent_dim, device=observations.device) if deterministic else None
            return self.actor(observations, self.vae.decode(observations, latent))
        many = self.sample_action_num
        repeated = observations.repeat_interleave(many, 0)
        latents = self._latents(observations.device).repeat(count, 1) if deterministic else None
        candidates = self.actor(repeated, self.vae.decode(repeated, latents))
        reward, other, *_ = self.critic.predict(repeated, candidates)
        unsafe = self.cost_critic.q(repeated, candidates).view(count, many)  # type: ignore[operator]
        reward = torch.minimum(reward, other).view(count, many)
        best_feasible = torch.where(unsafe <= 0, reward, -torch.inf).argmax(1)
        chosen = torch.where((unsafe <= 0).any(1), best_feasible, unsafe.argmin(1))
        return candidates.view(count, many, -1)[torch.arange(count, device=chosen.device), chosen]

    def _latents(self, device: torch.device) -> Tensor:
        """The same `sample_action_num` latents at every call, within BCQ's bounds of 0.5."""
        generator = torch.Generator().manual_seed(0)
        latents = torch.randn(self.sample_action_num, self.latent_dim, generator=generator).clamp(-0.5, 0.5)
        latents[0] = 0.0
        return latents.to(device)
