"""Small agents and data that the tests of algorithms share."""

from __future__ import annotations

import gc

import torch

from osrl_proco.algorithms import algorithm
from osrl_proco.algorithms.agent import Problem
from osrl_proco.core.random import drawing_from
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.danger import signed
from osrl_proco.proco.feasibility import FeasibilityBatch
from osrl_proco.run.config import config_class

OBS, ACT = 4, 2
SMALL = {
    "a_hidden_sizes": [16, 16],
    "c_hidden_sizes": [16, 16],
    "vae_hidden_sizes": 16,
    "batch_size": 32,
    "reward_scale": 1.0,
    "h_max": 1.0,
    "embedding_dim": 16,
    "num_heads": 2,
    "num_layers": 1,
    "update_steps": 5,  # so that five updates reach every stage,
    "critic_share": 0.5,  # and three
}


def config(name, proco=True, **changes):
    kind = config_class(name)
    made = kind(algo=name, proco=proco)
    for key, value in {**SMALL, **changes}.items():
        if hasattr(made, key):
            setattr(made, key, value)
        elif key in changes:
            raise AttributeError(f"{name} has no setting {key}")
    return made


def problem(seed=0, reference_returns=(0.0, 30.0), episode_len=30):
    return Problem(OBS, ACT, 1.0, episode_len, "cpu", torch.Generator().manual_seed(seed), reference_returns)


def agent(name, proco=True, seed=0, data=None, **changes):
    """A fresh agent, its first weights drawn from `seed`, that has looked at `data`."""
    data = data if data is not None else transitions()
    task = problem(seed, episode_len=60)
    if name == "cdt":  # as released it stops on data as small as these, in one line (test_cdt.py)
        changes = {"compat": "fixed", **changes}
    with drawing_from(torch.Generator().manual_seed(seed)):
        made = algorithm(name).create(config(name, proco, **changes), task)
    made.prepare(data)
    made.noise_of_the_test = task.noise
    return made


def transitions(episodes=10, length=30, seed=3, constant_reward=None, cost_rate=0.1):
    """Random walks with bounded actions; unsafe at random."""
    g = torch.Generator().manual_seed(seed)
    count = episodes * length
    states = torch.randn(episodes, length + 1, OBS, generator=g)
    rewards = torch.rand(count, generator=g)
    if constant_reward is not None:
        rewards = torch.full((count,), constant_reward)
    ends = torch.zeros(episodes, length)
    ends[:, -1] = 1.0
    arrays = {
        "observations": states[:, :-1].reshape(count, OBS),
        "actions": torch.rand(count, ACT, generator=g) * 1.9 - 0.95,
        "next_observations": states[:, 1:].reshape(count, OBS),
        "rewards": rewards,
        "costs": (torch.rand(count, generator=g) < cost_rate).float(),
        "terminals": torch.zeros(count),
        "timeouts": ends.reshape(count),
    }
    return Transitions.from_arrays({k: v.numpy() for k, v in arrays.items()})


def feasibility(data, rows=None):
    """What the feasibility learner sees of recorded data."""
    rows = slice(None) if rows is None else rows
    return FeasibilityBatch(
        data.observations[rows],
        data.actions[rows],
        data.next_observations[rows],
        signed(data.previous_costs[rows]),
        signed(data.costs[rows]),
        data.terminals[rows],
    )


def updates(made, data, count, seed=1):
    """`count` updates with the batches of `seed`; the last info."""
    sampler, generator = made.sampler(data), torch.Generator().manual_seed(seed)
    info = {}
    for _ in range(count):
        rows = torch.randint(len(data), (64,), generator=generator)
        info = made.update(sampler.sample(generator), feasibility(data, rows) if made.feasibility is not None else None)
    return info


def living():
    """Bytes of every tensor alive, by its place."""
    gc.collect()
    found = [t for t in gc.get_objects() if issubclass(type(t), torch.Tensor)]
    return {t.data_ptr(): t.numel() * t.element_size() for t in found}


def flat(state, prefix=""):
    """A nested state as {dotted name: value}."""
    found = {}
    for key, value in state.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
