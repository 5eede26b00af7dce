"""Constraints-penalised Q-learning (OSRL's), and with PROCO."""

from __future__ import annotations

from typing import Any

import torch
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


class MendedCPQ(ProcoCPQ):
    """With the published faults of the cost critic mended; without effect on PROCO's.

    In the release the penalty on actions unlike the data is computed without gradient and by the target critic, so it
    moves nothing but its own weight; its actions are those before the tanh, far outside the action space; and the cost
    critic bootstraps past terminal states.
    """

    def cost_critic_loss(self, *batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error to c + gamma (1 - d) Q_c(s', a') - alpha (mean Q_c of unlike actions - threshold).

        CPQ (arXiv 2107.09003): the actions are drawn from the policy, and the quarter of them with the largest KL
        divergence of the VAE's latent counts as unlike the data.
        """
        if self.proco is not None:
            return super().cost_critic_loss(*batch)
        observations, next_observations, actions, costs, done = batch
        critic: Any = self.cost_critic
        _, estimates = critic.predict(observations, actions)
        repeated = observations.repeat(self.sample_action_num, 1)
        with torch.no_grad():
            next_actions, _ = self._actor_forward(next_observations, False, True)
            following, _ = self.cost_critic_old.predict(next_observations, next_actions)
            goal = costs + self.gamma * (1.0 - done) * following
            tried, _ = self._actor_forward(repeated, False, True)
            _, mean, std = self.vae(repeated, tried)
            divergence = -0.5 * (1 + torch.log(std.pow(2)) - mean.pow(2) - std.pow(2)).mean(1)
            unlike = divergence >= torch.quantile(divergence, 0.75)
        unlike_cost = (unlike * critic.predict(repeated, tried)[0]).mean()
        loss = critic.loss(goal, estimates) - self.log_alpha.exp() * (unlike_cost - self.qc_thres)
        self.cost_critic_optim.zero_grad()
        loss.backward()
        self.cost_critic_optim.step()
        self.log_alpha += self.alpha_lr * self.log_alpha.exp() * (self.qc_thres - unlike_cost).detach()
        self.log_alpha.data.clamp_(min=-5.0, max=5.0)
        return loss, {"loss/cost_critic_loss": loss.detach(), "loss/alpha_value": self.log_alpha.exp().detach()}


def create(config: Any, problem: Problem) -> OsrlAgent:
    """A fresh agent of OSRL's CPQ, with PROCO where `config.proco` says so."""
    model = MendedCPQ if config.compat == "fixed" else ProcoCPQ
    return OsrlAgent(model, CPQTrainer, config, problem, changing=("log_alpha",))
