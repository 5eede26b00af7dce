"""BEAR-Lagrangian (OSRL's), and with PROCO."""

from __future__ import annotations

from typing import Any

from osrl.algorithms import BEARL, BEARLTrainer
from torch import Tensor

from .agent import Problem
from .osrl import MendedCostCritic, OsrlAgent, ProcoMixin


class ProcoBEARL(ProcoMixin, BEARL):
    """OSRL's BEARL; with PROCO its multiplier weighs the state-wise excess of the feasibility critic."""

    def policy(self, observations: Tensor) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim): the Gaussian's mean."""
        return self._actor_forward(observations, True, True)[0]


class MendedBEARL(MendedCostCritic, ProcoBEARL):
    """With the published faults of the cost critic mended."""


def create(config: Any, problem: Problem) -> OsrlAgent:
    """A fresh agent of OSRL's BEARL, with PROCO where `config.proco` says so."""
    changing = ("log_alpha", "n_train_steps", "controller.error_old", "controller.error_integral")
    model = MendedBEARL if config.compat == "fixed" else ProcoBEARL
    return OsrlAgent(model, BEARLTrainer, config, problem, changing=changing)
