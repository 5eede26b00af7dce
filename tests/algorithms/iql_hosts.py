"""Small agents, data and batches for the tests of FISOR, LSPC and CAPS."""

from __future__ import annotations

import copy

import torch

from osrl_proco.algorithms.agent import Problem
from osrl_proco.algorithms.registry import algorithm
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.danger import signed
from osrl_proco.proco.feasibility import FeasibilityBatch
from osrl_proco.run.config import config_class

OBS, ACT, EPISODE = 5, 2, 50
SMALL = {
    "fisor": {"a_hidden_sizes": [16, 16], "batch_size": 64, "critic_batch_size": 16, "num_samples": 4},
    "lspc": {"a_hidden_sizes": [16, 16], "vae_hidden_sizes": 16, "latent_dim": 4, "batch_size": 64},
    "caps": {"a_hidden_sizes": [16, 16], "batch_size": 64},
}


def problem(max_action=1.0, reference_returns=(-10.0, 90.0)):
    noise = torch.Generator().manual_seed(7)
    return Problem(OBS, ACT, max_action, EPISODE, "cpu", noise, reference_returns)


def settings(name, **changes):
    config = config_class(name)()
    for key, value in {"c_hidden_sizes": [16, 16], **SMALL[name], "proco": False, **changes}.items():
        assert hasattr(config, key), key
        setattr(config, key, value)
    return config


def agent(name, the_problem=None, seed=1, **changes):
    torch.manual_seed(seed)
    return algorithm(name).create(settings(name, **changes), the_problem or problem())


def data(count=400, seed=3, unsafe=0.2, max_action=1.0, reward=None):
    """Episodes of `EPISODE` steps; constant rewards where `reward` is given."""
    g = torch.Generator().manual_seed(seed)
    observations = torch.randn(count, OBS, generator=g)
    costs = (torch.rand(count, generator=g) < unsafe).float()
    timeouts = torch.zeros(count)
    timeouts[EPISODE - 1 :: EPISODE] = 1.0
    rewards = torch.randn(count, generator=g)
    return Transitions.from_arrays(
        {
            "observations": observations,
            "actions": (torch.rand(count, ACT, generator=g) * 2 - 1) * max_action,
            "next_observations": observations + 0.1 * torch.randn(count, OBS, generator=g),
            "rewards": rewards if reward is None else torch.full((count,), reward),
            "costs": costs,
            "terminals": (torch.rand(count, generator=g) < 0.02).float(),
            "timeouts": timeouts,
        }
    )


def feasibility(batch):
    return FeasibilityBatch(
        batch.observations,
        batch.actions,
        batch.next_observations,
        signed(batch.previous_costs),
        signed(batch.costs),
        batch.terminals,
    )


def trained(one, updates, the_data=None, seed=5):
    """`one` after some updates on batches drawn from `seed`; the last figures."""
    the_data = the_data or data()
    sampler, g, info = one.sampler(the_data), torch.Generator().manual_seed(seed), {}
    for _ in range(updates):
        batch = sampler.sample(g)
        info = one.update(batch, feasibility(batch) if one.feasibility is not None else None)
    return info


def tensors(state, prefix=""):
    """All tensors of a nested state, by path, copied."""
    if isinstance(state, torch.Tensor):
        return {prefix: state.detach().clone()}
    if isinstance(state, dict):
        return {k: v for name, part in state.items() for k, v in tensors(part, f"{prefix}/{name}").items()}
    return {prefix: copy.deepcopy(state)}


def same(a, b):
    a, b = tensors(a), tensors(b)
    return a.keys() == b.keys() and all(
        torch.equal(a[k], b[k]) if isinstance(a[k], torch.Tensor) else a[k] == b[k] for k in a
    )


def constant(network, value):
    """Make the last layer of an MLP of one output answer `value` everywhere."""
    torch.nn.init.zeros_(network[-1].weight)
    torch.nn.init.constant_(network[-1].bias, value)
