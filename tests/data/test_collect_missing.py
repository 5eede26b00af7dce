"""Collecting: what a simulator does not report, or reports as NaN, is never recorded as safe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import osrl_proco.data.download as fetching
from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.costs import load_cost_function
from osrl_proco.data.hdf5 import read_hdf5
from osrl_proco.data.labels import label_findings
from osrl_proco.data.transitions import Transitions
from osrl_proco.data.validate import findings
from osrl_proco.drivers import collect as module
from osrl_proco.drivers.controllers import CONTROLLERS
from osrl_proco.tasks import load_task

TASK = load_task("OfflineBrake-v0")


class Broken(gym.Wrapper):
    """A simulator whose step number 3 is spoiled."""

    def __init__(self, env, spoil):
        super().__init__(env)
        self.spoil, self.steps = spoil, 0

    def step(self, action):
        self.steps += 1
        result = list(self.env.step(action))
        return tuple(self.spoil(result) if self.steps == 4 else result)


def put(place, value):
    def spoil(result):
        result[place] = value
        return result

    return spoil


def cost(value):
    return put(4, {} if value is None else {"cost": value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cost(None), "reports no 'cost'"),
        (cost(np.nan), "the cost is NaN or infinite"),
        (cost(np.inf), "the cost is NaN or infinite"),
        (cost("safe"), "the cost is 'safe', no number"),
        (cost({"a": 1}), "no number"),
        (put(0, np.array([np.nan, 1], dtype=np.float32)), "the observation is NaN or infinite"),
        (put(1, np.nan), "the reward is NaN or infinite"),
        (put(1, None), "the reward is .*no number|the reward is NaN"),
    ],
)
def test_what_is_missing_or_nan_stops_the_collection(spoil, message, monkeypatch, tmp_path):
    monkeypatch.setitem(CONTROLLERS, TASK.id, lambda *_: np.zeros(1, np.float32))
    made = module.make_env
    monkeypatch.setattr(module, "make_env", lambda task: Broken(made(task), spoil))
    with pytest.raises(UserError, match=message) as raised:
        module.collect(TASK, 2, 0, tmp_path / "d.hdf5", progress=False)
    assert str(raised.value).startswith("OfflineBrake-v0: episode 0, step 3: ")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "d.hdf5").exists()


def test_a_drivers_nan_is_not_recorded(monkeypatch, tmp_path):
    monkeypatch.setitem(CONTROLLERS, TASK.id, lambda *_: np.full(1, np.nan, np.float32))
    with pytest.raises(UserError, match="the action is NaN or infinite"):
        module.collect(TASK, 1, 0, tmp_path / "d.hdf5", progress=False)


def test_a_damaged_shard_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(CONTROLLERS, TASK.id, lambda *_: np.zeros(1, np.float32))
    monkeypatch.setattr(module, "write_hdf5", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        module.collect(TASK, 1, 0, tmp_path / "d.hdf5", progress=False)
    shard = next((tmp_path / "d.hdf5.parts").glob("*.npz"))
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(UserError, match=r"episode-000000\.npz: damaged .*; remove it"):
        module.collect(TASK, 1, 0, tmp_path / "d.hdf5", progress=False)


@pytest.mark.parametrize("folder", ["file/x", "/proc/none/x"])
@pytest.mark.parametrize("words", ["info", "download"])
def test_a_folder_of_dsrl_that_cannot_be_used_is_one_line(folder, words):
    pytest.importorskip("dsrl")
    Path("file").write_text("")
    code = f"import sys; from osrl_proco.cli import main; sys.exit(main(['data', '{words}', '--task', 'PointGoal1']))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "DSRL_DATASET_DIR": folder},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"osrl-proco: error: DSRL_DATASET_DIR {folder}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("mirror", ["ftp://x", "file:///etc", "bad://", "http://", "http://[::1", "http://a b/", "/x"])
def test_a_mirror_that_is_no_address_is_one_line(mirror, monkeypatch, capsys, tmp_path):
    pytest.importorskip("dsrl")
    monkeypatch.setattr(fetching, "HOST", "http://127.0.0.1:9/none")
    monkeypatch.setattr(fetching, "BACK_OFF", 0.0)
    monkeypatch.setattr("dsrl.offline_env.DATASET_PATH", str(tmp_path / "datasets"))
    assert main(["data", "download", "--task", "PointGoal1", "--mirror", mirror]) == 2
    error = capsys.readouterr().err
    assert f"{mirror}: no address" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "flags", ["--seed 99999999999999999999", "--seed -1", "--episodes 0", "--workers 0", "--out d.npz"]
)
def test_numbers_out_of_range_are_one_line(flags, capsys):
    assert main(["data", "collect", "--task", "brake", "--out", "d.hdf5", *flags.split()]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PointGoal1", "HopperVelocity", "SwimmerVelocity", "BallRun", "CarRun"])
def test_collected_datasets_have_no_wrong_finding_nor_have_their_functions(name, tmp_path):
    task = load_task(name)
    try:
        env = module.make_env(task)
    except UserError as error:
        pytest.skip(str(error))
    module.collect(task, 4, 3, tmp_path / "d.hdf5", progress=False)
    arrays = read_hdf5(tmp_path / "d.hdf5")
    found = findings(arrays, "d.hdf5", task.id, env.observation_space, env.action_space)
    data, cost = Transitions.from_arrays(arrays), load_cost_function(task.cost_path, task)
    found += label_findings(cost(data.next_observations), data.costs, name, last=data.last)
    assert [f.text for f in found if f.level == "wrong"] == []
