"""Bounds that differ by entry, or are not symmetric: learned in [-1, 1], acted in the robot's units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY

from osrl_proco import load_policy
from osrl_proco.algorithms.bounds import ActionScale
from osrl_proco.cli import main
from osrl_proco.data import write_hdf5
from osrl_proco.envs import BrakeEnv


def test_there_and_back_by_hand():
    scale = ActionScale.needed([0.0, -2.0], [10.0, 4.0])
    actions = torch.tensor([[0.0, -2.0], [5.0, 1.0], [10.0, 4.0]])
    unit = torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]])
    assert torch.equal(scale.to_unit(actions), unit)
    assert torch.equal(scale.from_unit(unit), actions)
    assert torch.equal(scale.from_unit(torch.tensor([[1.5, -9.0]])), torch.tensor([[10.0, -2.0]]))


@pytest.mark.parametrize("bound", [1.0, 0.4, 20.0])
def test_one_symmetric_bound_needs_no_scale(bound):
    assert ActionScale.needed([-bound] * 3, [bound] * 3) is None
    assert ActionScale.needed([-bound, -bound], [bound, 2 * bound]) is not None


def test_a_throttle_from_0_to_100_trains_and_acts_in_its_own_unit(tmp_path):
    arrays = BrakeEnv(episodes=40).get_dataset()
    arrays["actions"] = 50.0 * (arrays["actions"] + 1.0)
    write_hdf5(tmp_path / "d.hdf5", arrays)
    text = Path(__file__).parents[2].joinpath("configs", "tasks", "OfflineBrake.yaml").read_text()
    text = text.replace("simulator: embedded", "simulator: none").replace("id: OfflineBrake-v0", "id: MyCart")
    (tmp_path / "cart.yaml").write_text(text + "min_action: 0.0\nmax_action: 100.0\n")
    words = ["--task", str(tmp_path / "cart.yaml"), "--dataset", str(tmp_path / "d.hdf5"), "--update_steps", "60"]
    words += ["--cost_function", str(tmp_path / "c.py"), "--logdir", str(tmp_path / "run")]
    (tmp_path / "c.py").write_text('def cost(obs):\n    return obs["gap"][..., 0] < 0.5\n')
    assert main(["train", "--algo", "cpq", *TINY, *words]) == 0
    policy = load_policy(tmp_path / "run", device="cpu")
    actions = policy.act(np.array([[8.0, 1.0], [1.0, 4.0], [0.2, 5.0]], dtype=np.float32))
    assert actions.min() >= 0.0
    assert actions.max() <= 100.0
    assert abs(actions.mean() - 50.0) < 50.0
    assert actions.max() > 1.5  # no unit action slipped through
