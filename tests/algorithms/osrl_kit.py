"""What the tests of OSRL's algorithms share: recorded episodes, a problem, and small networks."""

from __future__ import annotations

import types

import numpy as np
import torch

from osrl_proco.algorithms.agent import Problem
from osrl_proco.algorithms.registry import algorithm
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.danger import signed
from osrl_proco.proco.feasibility import FeasibilityBatch
from osrl_proco.run.config import config_class

OBS, ACT = 4, 2


def episodes(costs, rewards=None, *, finished=True, seed=0):
    """DSRL's arrays of one episode for each list of costs; the last one without an end flag unless `finished`."""
    rng = np.random.default_rng(seed)
    lengths = [len(c) for c in costs]
    count = sum(lengths)
    timeouts = np.zeros(count, np.float32)
    timeouts[np.cumsum(lengths) - 1] = 1.0
    if not finished:
        timeouts[-1] = 0.0
    return {
        "observations": rng.normal(size=(count, OBS)).astype(np.float32),
        "next_observations": rng.normal(size=(count, OBS)).astype(np.float32),
        "actions": rng.uniform(-1, 1, size=(count, ACT)).astype(np.float32),
        "rewards": np.concatenate(rewards).astype(np.float32)
        if rewards is not None
        else rng.normal(size=count).astype(np.float32),
        "costs": np.concatenate(costs).astype(np.float32),
        "terminals": np.zeros(count, np.float32),
        "timeouts": timeouts,
    }


def random_episodes(count=40, length=30, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    costs = [(rng.random(int(rng.integers(5, length + 1))) < rng.random() * 0.8).astype(float) for _ in range(count)]
    return episodes(costs, seed=seed, **kwargs)


def transitions(arrays):
    return Transitions.from_arrays(arrays)


def problem(noise_seed=5, **changes):
    generator = torch.Generator().manual_seed(noise_seed)
    given = {"obs_dim": OBS, "act_dim": ACT, "max_action": 1.0, "episode_len": 30, "device": "cpu", "noise": generator}
    return Problem(**{**given, **changes})


def config(name, **changes):
    small = {"a_hidden_sizes": [16, 16], "c_hidden_sizes": [16, 16], "batch_size": 16, "vae_hidden_sizes": 16,
             "proco": False, "algo": name}  # fmt: skip
    if name == "cdt":
        small.update(embedding_dim=16, num_layers=2, num_heads=2, seq_len=4)
    known = vars(config_class(name)())
    small = {k: v for k, v in small.items() if k in known}
    assert changes.keys() <= known.keys()
    return config_class(name)(**{**small, **changes})


def agent(name, noise_seed=5, weights_seed=11, task_problem=None, **changes):
    torch.manual_seed(weights_seed)
    return algorithm(name).create(config(name, **changes), task_problem or problem(noise_seed))


def feasibility_batch(seed=5):
    generator = torch.Generator().manual_seed(seed)
    o, n = torch.randn(2, 32, OBS, generator=generator)
    label = (n[:, 0] > 1).float()
    return FeasibilityBatch(
        o, torch.rand(32, ACT, generator=generator), n, -torch.ones(32), signed(label), torch.zeros(32)
    )


def train(an_agent, data, updates, generator):
    """`updates` updates with the batches of the agent's own sampler."""
    sampler = an_agent.sampler(data)
    for _ in range(updates):
        twin = feasibility_batch() if an_agent.feasibility is not None else None
        info = an_agent.update(sampler.sample(generator), twin)
    return info


def flat(state, prefix=""):
    """All leaves of a nested state by their path."""
    if isinstance(state, dict):
        return {k: v for name, part in state.items() for k, v in flat(part, f"{prefix}/{name}").items()}
    return {prefix: state}


def assert_same(first, second):
    first, second = flat(first), flat(second)
    assert first.keys() == second.keys()
    for key, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[key]), key
        else:
            assert value == second[key], key


def goes_on_bit_for_bit(make, data, updates=12):
    """Save after `updates`, load into a fresh agent of other first weights, and go on with both."""
    first = make(weights_seed=11)
    first.prepare(data)
    batches = torch.Generator().manual_seed(1)
    train(first, data, updates, batches)
    second = make(weights_seed=12, noise_seed=99)
    torch.save(first.state_dict(), "state.pt")
    second.load_state_dict(torch.load("state.pt", weights_only=True))
    again = torch.Generator()
    again.set_state(batches.get_state())
    if hasattr(first, "_noise"):
        second._noise.set_state(first._noise.get_state())
    for an_agent, generator in ((first, batches), (second, again)):
        train(an_agent, data, updates, generator)
    assert_same(first.state_dict(), second.state_dict())
    observations = torch.randn(7, OBS)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(first.act(observations, generator), second.act(observations, generator))


class Silent:
    """A logger for OSRL's trainers."""

    def store(self, **figures):
        pass


class Pareto:
    """As much of OApackage as OSRL uses."""

    def __init__(self):
        self.points = []

    def addvalue(self, point, index):
        self.points.append((*point, index))

    def show(self, verbose):
        pass

    def allindices(self):
        def beaten(p):
            return any(q[0] >= p[0] and q[1] >= p[1] and q[:2] != p[:2] for q in self.points)

        return [p[2] for p in self.points if not beaten(p)]


def oapackage():
    """A stand-in for the module, which nothing of ours needs."""
    return types.SimpleNamespace(ParetoDoubleLong=Pareto, doubleVector=lambda point: point)
