"""Constraints-penalised Q-learning (OSRL's), and with PROCO."""

from __future__ import annotations

from typing import Any

from osrl.algorithms import CPQ, CPQTrainer
from torch import Tensor

from .agent import Problem
from .osrl import OsrlAgent, ProcoMixin


class ProcoCPQ(ProcoMixin, CPQ):
    """OSRL's CPQ; with PROCO reward is backed up, and the policy improved, only where Q_c <= 0.

    CPQ asks of each state and action whether it is allowed, so it is answered with the value, not the excess.
    """

    constraint_on_excess = False

    def policy(self, observations: Tensor) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim): the Gaussian's mean."""
        return self._actor_forward(observations, True, True)[0]


def create(config: Any, problem: Problem) -> OsrlAgent:
    """A fresh agent of OSRL's CPQ, with PROCO where `config.proco` says so."""
    return OsrlAgent(ProcoCPQ, CPQTrainer, config, problem, changing=("log_alpha",))
