"""Constraints-penalised Q-learning with PROCO."""

from __future__ import annotations

from osrl.algorithms import CPQ, CPQTrainer
from torch import Tensor

from .proco import ProcoMixin

Trainer = CPQTrainer


class ProcoCPQ(ProcoMixin, CPQ):
    """OSRL's CPQ; with PROCO reward is backed up, and the policy improved, only where Q_c <= 0.

    CPQ asks of each state and action whether it is allowed, so it is answered with the value, not the excess.
    """

    constraint_on_excess = False

    def policy(self, observations: Tensor, deterministic: bool = True) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim)."""
        return self._actor_forward(observations, deterministic, True)[0]
