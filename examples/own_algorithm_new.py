"""An own algorithm from nothing, in one file: `Config`, an `Agent`, `create`. Then it has every command and flag.

    python examples/own_algorithm_new.py

Objective: imitate the data's actions, those more that keep a feasible state feasible:
    min_pi  E[ w(s, a) |pi(s) - a|^2 ],   w = exp(-(Q_h(s, a) - V_h(s)))  clipped at 10.
Stock (`proco=False`): plain imitation, w = 1.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from quick_start import SMALL
from torch import nn

from osrl_proco import evaluate, register, train
from osrl_proco.algorithms.agent import Agent
from osrl_proco.proco.feasibility import FeasibilityLearner, ProcoSettings


@dataclass
class Config:
    """Careful imitation."""

    # Transitions per update
    batch_size: int = 256
    # Learning rate
    actor_lr: float = 1e-3
    # Width of the actor's hidden layers
    a_hidden_sizes: list[int] = field(default_factory=lambda: [64, 64])
    # Width of the feasibility critic's hidden layers
    c_hidden_sizes: list[int] = field(default_factory=lambda: [64, 64])


class Careful(Agent):
    def __init__(self, config, problem):
        self.batch_size, self.max_action = config.batch_size, problem.max_action
        sizes = [problem.obs_dim, *config.a_hidden_sizes]
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
        self.actor = nn.Sequential(*layers, nn.Linear(sizes[-1], problem.act_dim), nn.Tanh()).to(problem.device)
        self.optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr)
        if config.proco:
            self.feasibility = FeasibilityLearner.create(
                problem.obs_dim, problem.act_dim, ProcoSettings.of(config), problem.device
            )

    def update(self, batch, feasibility=None):
        info, weight = {}, torch.ones_like(batch.rewards)
        if self.feasibility is not None:
            info = self.feasibility.update(feasibility)  # recorded and imagined transitions
            critic = self.feasibility.critic
            with torch.no_grad():
                worse = critic.q(batch.observations, batch.actions) - critic.value(batch.observations)
            weight = (-worse).exp().clamp_max(10.0)
        error = ((self.max_action * self.actor(batch.observations) - batch.actions) ** 2).mean(1)
        loss = (weight * error).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {**info, "loss/actor_loss": loss.detach()}

    @torch.no_grad()
    def act(self, observations, generator):
        return self.max_action * self.actor(observations)

    def parts(self):
        """All that training changes: what a checkpoint holds."""
        learner = {} if self.feasibility is None else {"feasibility": self.feasibility.parts()}
        return {"actor": self.actor, "optimizer": self.optimizer, **learner}


def create(config, problem):
    return Careful(config, problem)


def main() -> None:
    register("careful", __name__)
    small = {name: value for name, value in SMALL.items() if name != "vae_hidden_sizes"}  # it has none
    run = train(algo="careful", task="OfflineBrake-v0", logdir="runs/careful", **small)
    print(evaluate(run, episodes=3).rows[["algorithm", "mode", "normalized_reward", "cost"]].to_string(index=False))


if __name__ == "__main__":
    main()
