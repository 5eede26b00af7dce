"""Against the real simulators: layouts, the scripted collector, evaluation. Left out where they are not installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("safety_gymnasium")

from osrl_proco.algorithms.agent import Stateless
from osrl_proco.core.errors import UserError
from osrl_proco.costs import load_cost_function
from osrl_proco.data.load import load_dataset
from osrl_proco.data.statistics import episodes, lost
from osrl_proco.drivers.collect import collect
from osrl_proco.envs.make import make_env
from osrl_proco.evaluation.episodes import evaluate
from osrl_proco.tasks.task import load_task, task_ids

POINT = "OfflinePointGoal1Gymnasium-v0"


@pytest.mark.parametrize("task_id", [t for t in task_ids() if load_task(t).family == "navigation"])
def test_the_layout_is_the_simulators(task_id):
    task, env = load_task(task_id), make_env(load_task(task_id))
    spaces = env.unwrapped.task.obs_info.obs_space_dict.spaces
    assert [(e.name, e.size) for e in task.entries] == [(k, int(np.prod(s.shape))) for k, s in spaces.items()]
    observation, _ = env.reset(seed=3)
    parts = env.unwrapped.task.obs_info.obs_space_dict  # the flat observation is its entries in this order
    assert observation.shape == (task.obs_dim,) == (sum(int(np.prod(s.shape)) for s in parts.spaces.values()),)


@pytest.mark.slow
def test_collected_data_are_worth_learning_from_and_the_cost_function_finds_every_violation(tmp_path):
    task = load_task(POINT)
    collect(task, 3, 4, tmp_path / "d.hdf5", workers=1, progress=False)
    data = load_dataset(make_env(task), POINT, tmp_path / "d.hdf5")
    returns, costs, lengths = episodes(data)
    assert (lengths == 1000).all()
    assert returns.mean() > 5
    assert costs.max() > 5
    assert 0 < lost(data).float().mean() < 0.3
    label = load_cost_function(task.cost_path, task)(data.next_observations)
    assert (label[data.costs > 0] == 1).all()  # every violation the simulator reported
    assert label[data.costs == 0].mean() < 0.2


@pytest.mark.slow
def test_evaluation_is_seeded():
    task = load_task(POINT)

    def forward(observations):
        return torch.tensor([[0.5, 0.1]]).expand(len(observations), 2)

    settings = {"episodes": 2, "cost_limit": 10, "episode_len": 60, "progress": False}
    first, again = (evaluate(lambda: Stateless(forward), task, seed=4, **settings) for _ in range(2))
    assert first == again
    assert [e.seed for e in first] == [4, 5]
    assert first[0].ret != first[1].ret


def test_a_missing_simulator_is_one_line(monkeypatch):
    import dsrl

    monkeypatch.setattr(dsrl, "UNAVAILABLE", {"safety_gymnasium": "ModuleNotFoundError: No module named 'mujoco'"})
    with pytest.raises(UserError, match=r"mujoco.*pip install"):
        make_env(load_task(POINT))
