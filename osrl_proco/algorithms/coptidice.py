"""COptiDICE (OSRL's; Lee et al., ICLR 2022), and with PROCO.

Objective: the stationary distribution of highest reward among those whose cost is at most a threshold, minus alpha
times its f-divergence from the data's; the policy is cloned with that distribution's weights w(s, a). nu(s) stands for
the reward's value, chi(s) and the temperature tau for an upper bound on the cost, lambda for the multiplier.

With PROCO the cost c becomes c~(s, a) = min(1, [Q_h(s, a) - max(V_h(s), 0)]_+ / h_max), by how much the action loses of
what can still be kept, and the threshold `cost_slack`. All of nu, chi, lambda and the policy learn from the data alone.
The paper gives scores for this pair (table 7) but no recipe: this one is ours.

Faults of the release that `compat: fixed` mends:
- the threshold kappa (1 - gamma^T) / (1 - gamma) / T is a discounted sum, but is compared with a mean per step, 1 /
  (1 - gamma) times smaller: the constraint never binds. Mended: kappa (1 - gamma^T) / T.
- the likelihood is that of the Gaussian before the tanh at the raw action, but the policy acts with the tanh: a cloned
  0.9 is executed as 0.72. Mended: the likelihood is taken at atanh(a), and the action is scaled by the largest one.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from osrl.algorithms import COptiDICE, COptiDICETrainer
from torch import Tensor

from ..core.random import drawing_from
from ..core.state import Attributes
from ..data.samplers import Marked, MarkedSampler
from ..data.trajectories import Trajectories
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch, FeasibilityLearner, ProcoSettings
from .agent import Agent, Info, Problem
from .osrl import Recorder, accepted

OPTIMIZERS = ("actor_optim", "nu_optim", "chi_optim", "lmbda_optim", "tau_optim")
LARGEST = 0.999  # of an action's share of the largest action, before its atanh: 1 would be infinitely far out


class COptiDICEAgent(Agent):
    """OSRL's COptiDICE and its trainer; what its constructor wants to know of the data comes in `prepare`."""

    def __init__(self, config: Any, problem: Problem) -> None:
        self._config, self._limit, self._noise = config, problem.max_action, problem.noise
        self.batch_size = config.batch_size
        self._fixed = config.compat == "fixed"
        given = {
            **vars(config),
            "state_dim": problem.obs_dim,
            "action_dim": problem.act_dim,
            "max_action": problem.max_action,
            "episode_len": problem.episode_len,
            "device": problem.device,
            # Of the data, so unknown yet: `prepare` sets them, and they are part of the state.
            "init_state_propotion": 1.0,
            "observations_std": np.ones((1, problem.obs_dim), np.float32),
            "actions_std": np.ones((1, problem.act_dim), np.float32),
        }
        self.model = COptiDICE(**accepted(COptiDICE, given))
        self._recorder = Recorder()
        self.trainer = COptiDICETrainer(self.model, None, self._recorder, **accepted(COptiDICETrainer, given))
        if config.proco:
            settings = ProcoSettings(
                config.h_max,
                config.expectile,
                config.c_hidden_sizes,
                config.feasibility_gamma,
                config.h_of,
                reads=problem.reads,
            )
            self.feasibility = FeasibilityLearner.create(problem.obs_dim, problem.act_dim, settings, problem.device)
            self.model.qc_thres = config.cost_slack
        elif self._fixed:
            self.model.qc_thres *= 1.0 - config.gamma
        else:
            print(
                f"coptidice: the release's cost threshold {self.model.qc_thres:.3g} is {1 / (1 - config.gamma):.0f} "
                "times too loose, so the constraint hardly binds; --compat fixed mends it",
                file=sys.stderr,
            )

    def prepare(self, data: Transitions) -> None:
        super().prepare(data)
        # By numpy, on the CPU, to the last bit as OSRL's TransitionDataset computes them.
        self.model.init_state_propotion = float(Trajectories.of(data).initial().cpu().numpy().mean())
        for std, column in (
            (self.model.observations_std, data.observations),
            (self.model.actions_std, self._cloned(data.actions)),
        ):
            std.copy_(torch.from_numpy(column.cpu().numpy().std(0, keepdims=True)))

    def sampler(self, data: Transitions) -> MarkedSampler:
        return MarkedSampler(data, self.batch_size, Trajectories.of(data).initial())

    def _cloned(self, actions: Tensor) -> Tensor:
        """The actions (N, act_dim) as the Gaussian before the tanh shall give them."""
        if not self._fixed:
            return actions
        return (actions / self._limit).clamp(-LARGEST, LARGEST).atanh()

    def update(self, batch: Marked, feasibility: FeasibilityBatch | None = None) -> Info:
        config, rows = self._config, batch.rows
        learned: Info = {}
        costs = rows.costs * config.cost_scale
        if self.feasibility is not None:
            assert feasibility is not None
            learned = self.feasibility.update(feasibility)
            with torch.no_grad():
                excess = self.feasibility.critic.excess(rows.observations, rows.actions)
            costs = (excess / config.h_max).clamp_max(1.0)
            learned["feasibility/excess"] = costs.mean()
        with drawing_from(self._noise):
            self.trainer.train_one_step(
                (
                    rows.observations,
                    rows.next_observations,
                    self._cloned(rows.actions),
                    rows.rewards * config.reward_scale,
                    costs,
                    rows.terminals,
                    batch.mark,
                )
            )
        return {**self._recorder.info, **learned}

    @torch.no_grad()
    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        actions = self.model.actor(observations, deterministic=True, with_logprob=False)[0]
        limit = self._limit
        return actions * limit if self._fixed else actions.clamp(-limit, limit)

    def parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "model": self.model,
            "optimizers": {name: getattr(self.model, name) for name in OPTIMIZERS},
            # OSRL keeps them as plain tensors, which `state_dict` of a module leaves out.
            "scalars": {"lmbda": self.model.lmbda, "tau": self.model.tau},
            "data": Attributes(self.model, ("init_state_propotion", "observations_std", "actions_std")),
        }
        if self.feasibility is not None:
            parts["feasibility"] = self.feasibility.parts()
        return parts


def create(config: Any, problem: Problem) -> COptiDICEAgent:
    """A fresh agent of OSRL's COptiDICE, with PROCO where `config.proco` says so."""
    return COptiDICEAgent(config, problem)
