"""BEAR-Lagrangian with PROCO."""

from __future__ import annotations

from osrl.algorithms import BEARL, BEARLTrainer
from torch import Tensor

from .proco import ProcoMixin

Trainer = BEARLTrainer


class ProcoBEARL(ProcoMixin, BEARL):
    """OSRL's BEARL; with PROCO its multiplier weighs the state-wise excess of the feasibility critic."""

    def policy(self, observations: Tensor, deterministic: bool = True) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim)."""
        return self._actor_forward(observations, deterministic, True)[0]
