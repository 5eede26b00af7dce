"""Policies for tests: a fixed network, one that draws, one with a history."""

from __future__ import annotations

import torch

from osrl_proco.algorithms.agent import Seeded, Stateless


def network(obs_dim, act_dim):
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(obs_dim, 64, generator=generator) * 0.2
    second = torch.randn(64, act_dim, generator=generator) * 0.2
    return lambda observations: torch.tanh(torch.relu(observations @ first) @ second)


def fixed(obs_dim, act_dim):
    return lambda: Stateless(network(obs_dim, act_dim))


def drawing(obs_dim, act_dim):
    act = network(obs_dim, act_dim)
    return lambda: Seeded(lambda s, noise: (act(s) + 0.3 * noise).clamp(-1, 1), (act_dim,))


class Remembering:
    """Acts by the sum of what it was given in the episode, its own seed and the costs so far."""

    def __init__(self, obs_dim, act_dim):
        self.act_now = network(obs_dim, act_dim)
        self.sums = torch.zeros(64, obs_dim)
        self.costs = torch.zeros(64)

    def reset(self, rows, seeds):
        for row, seed in zip(rows, seeds, strict=True):
            self.sums[row] = 0.01 * seed
            self.costs[row] = 0.0

    def act(self, observations):
        count = len(observations)
        self.sums[:count] += observations
        return self.act_now(0.1 * self.sums[:count] + 0.1 * self.costs[:count, None])

    def observe(self, rewards, costs):
        self.costs[: len(costs)] += costs


def remembering(obs_dim, act_dim):
    return lambda: Remembering(obs_dim, act_dim)
