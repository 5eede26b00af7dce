"""The trained drivers: the shipped weights fit their tasks, and are as careful as their training made them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from osrl_proco.core.errors import UserError
from osrl_proco.drivers.behaviours import BEHAVIOURS, FOLDER, act, policies
from osrl_proco.drivers.character import Character
from osrl_proco.envs.make import make_env
from osrl_proco.tasks.task import load_task

NAMES = sorted(load_task(t).name for t in BEHAVIOURS)


def test_a_policy_acts_as_the_network_it_was():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    mean, deviation, observation = np.arange(5.0), np.full(5, 2.0), np.linspace(-4, 9, 5)
    arrays = {f"{kind}{i}": getattr(net[2 * i], name).detach().numpy() for i in (0, 1) for kind, name in
              (("weights", "weight"), ("biases", "bias"))}  # fmt: skip
    says = act({"mean": mean, "deviation": deviation, **arrays}, observation)
    expected = net(torch.from_numpy((observation - mean) / deviation)).clamp(-1, 1).detach().numpy()
    assert says.dtype == np.float32
    np.testing.assert_allclose(says, expected, rtol=1e-6)


def test_every_task_has_weights_and_every_file_a_task():
    assert sorted(p.stem for p in FOLDER.glob("*.npz")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_weights_fit_their_task_and_say_whence_they_are(name):
    task = load_task(name)
    for policy in policies(name):
        assert act(policy, np.zeros(task.obs_dim)).shape[0] == len(policy[max(k for k in policy if "biases" in k)])
        assert policy["mean"].shape == (task.obs_dim,)
        assert np.isfinite(policy["episode_return"])
        assert policy["steps"] > 0
    if name != "SwimmerVelocity":  # its careful driver holds the fast policy back
        assert len({float(p["cost_weight"]) for p in policies(name)}) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_careful_driver_breaks_the_rule_less_often(name):
    task = load_task(name)
    try:
        env = make_env(task)
    except UserError as error:
        pytest.skip(str(error))
    costs = {}
    for push in (0.0, 3.0):
        who, rng = Character(reach=0.5, push=push, throttle=1.0, noise=0.05), np.random.default_rng(0)
        observation, _ = env.reset(seed=0)
        costs[push], ended = 0.0, False
        while not ended:
            observation, _, terminated, truncated, info = env.step(BEHAVIOURS[task.id](env, observation, who, rng))
            costs[push], ended = costs[push] + float(info.get("cost", 0) > 0), terminated or truncated
    assert costs[3.0] < 0.5 * costs[0.0]
