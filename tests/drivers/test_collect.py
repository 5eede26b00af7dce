"""Collecting: the same file whatever happens on the way, and drivers that do what their character says."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

from osrl_proco.core.errors import UserError
from osrl_proco.data.hdf5 import read_hdf5
from osrl_proco.data.transitions import KEYS
from osrl_proco.drivers import collect as module
from osrl_proco.drivers.character import Character, draw_character
from osrl_proco.drivers.collect import collect
from osrl_proco.drivers.controllers import CONTROLLERS, controller
from osrl_proco.tasks.task import load_task

BRAKE = load_task("OfflineBrake-v0")
LENGTH = 100


def forwards(env, observation, who, rng):
    return np.clip(who.throttle + who.noise * rng.standard_normal(1), -1, 1).astype(np.float32)


@pytest.fixture(autouse=True)
def driver(monkeypatch):
    monkeypatch.setitem(CONTROLLERS, BRAKE.id, forwards)


def gather(out, episodes=4, seed=0):
    collect(BRAKE, episodes, seed, out, progress=False)
    return read_hdf5(out, BRAKE.id)


def same(a, b):
    return all(np.array_equal(a[k], b[k]) for k in KEYS)


def test_episodes_chain_and_costs_label_the_state_they_arrive_in(tmp_path):
    data = gather(tmp_path / "d.hdf5")
    inner = np.arange(4 * LENGTH - 1) % LENGTH != LENGTH - 1
    assert np.array_equal(data["observations"][1:][inner], data["next_observations"][:-1][inner])
    assert np.array_equal(np.flatnonzero(data["timeouts"]), np.arange(1, 5) * LENGTH - 1)
    assert not data["terminals"].any()
    unsafe = gym.make(BRAKE.id).unwrapped.is_unsafe(data["next_observations"])
    assert np.array_equal(data["costs"] == 1, unsafe)
    assert 0 < unsafe.mean() < 1


def test_seeds_give_their_own_data_and_more_episodes_begin_with_the_same_ones(tmp_path):
    first, again, other = (gather(tmp_path / f"{n}.hdf5", seed=s) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    assert same(first, again)
    assert not np.array_equal(first["actions"], other["actions"])
    longer = gather(tmp_path / "d.hdf5", episodes=5)
    assert same(first, {k: v[: 4 * LENGTH] for k, v in longer.items()})


def test_an_interrupted_collection_goes_on_where_it_stopped(tmp_path, monkeypatch):
    whole = gather(tmp_path / "whole.hdf5")
    steps = itertools.count()

    def interrupted(env, observation, who, rng):
        if next(steps) == 2 * LENGTH + 50:
            raise KeyboardInterrupt
        return forwards(env, observation, who, rng)

    monkeypatch.setitem(CONTROLLERS, BRAKE.id, interrupted)
    with pytest.raises(KeyboardInterrupt):
        gather(tmp_path / "cut.hdf5")
    assert not (tmp_path / "cut.hdf5").exists()
    assert same(gather(tmp_path / "cut.hdf5"), whole)
    assert next(steps) == 4 * LENGTH + 51  # two episodes kept, the third driven again from its start
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.hdf5", "whole.hdf5"]


@pytest.mark.parametrize("limit", [0, 3000, 9000], ids=["no byte", "part of an episode", "no room for the dataset"])
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(tmp_path, limit):
    whole = gather(tmp_path / "whole.hdf5")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(UserError, match="File too large") as raised:
            gather(tmp_path / "full.hdf5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "full.hdf5").exists()
    assert same(gather(tmp_path / "full.hdf5"), whole)


def test_what_is_there_already_is_kept(tmp_path, monkeypatch):
    out = tmp_path / "d.hdf5"
    gather(out)
    before = out.stat().st_mtime_ns
    monkeypatch.setattr(module, "drive_episode", None)  # nothing is driven for a dataset that is there
    gather(out)
    assert out.stat().st_mtime_ns == before
    for change in ({"seed": 1}, {"episodes": 3}):
        with pytest.raises(UserError, match=r"d\.hdf5: is there already and holds something else"):
            gather(out, **change)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt: is there already"):
        gather(tmp_path / "notes.txt")
    assert out.stat().st_mtime_ns == before
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_episodes_of_another_collection_are_not_mixed_in(tmp_path, monkeypatch):
    def stop(env, observation, who, rng):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(CONTROLLERS, BRAKE.id, stop)
        with pytest.raises(KeyboardInterrupt):
            gather(tmp_path / "d.hdf5")
    with pytest.raises(UserError, match="holds episodes of another collection"):
        gather(tmp_path / "d.hdf5", seed=1)


def test_no_driver_and_no_place(tmp_path):
    with pytest.raises(UserError, match="no scripted driver for 'OfflinePointRobot-v0'"):
        collect(load_task("OfflinePointRobot-v0"), 1, 0, tmp_path / "d.hdf5")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        gather(tmp_path / "file" / "d.hdf5")


# ---- the driver of Point in Goal tasks -----------------------------------------------------------------------------


def scene(goal, hazards=(), heading=0.0):
    """A robot at the origin, heading `heading` radians from the x axis."""
    c, s = np.cos(heading), np.sin(heading)
    agent = SimpleNamespace(pos=np.zeros(3), vel=np.zeros(3), mat=np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
    task = SimpleNamespace(
        agent=agent,
        goal=SimpleNamespace(pos=np.array([*goal, 0.0])),
        hazards=SimpleNamespace(pos=[np.array([*h, 0.0]) for h in hazards]),
        vases=SimpleNamespace(is_constrained=False),
    )
    return SimpleNamespace(unwrapped=SimpleNamespace(task=task))


def steer(push=2.0, **where):
    who = Character(reach=0.6, push=push, throttle=0.5, noise=0.0)
    drive = controller("OfflinePointGoal1Gymnasium-v0")
    return drive(scene(**where), np.zeros(60), who, np.random.default_rng(0))


@pytest.mark.parametrize("heading", [0.0, 1.0, -2.0])
def test_the_driver_goes_ahead_to_a_goal_ahead_and_turns_to_one_aside(heading):
    def at(angle):
        return 2 * np.cos(heading + angle), 2 * np.sin(heading + angle)

    assert steer(goal=at(0.0), heading=heading) == pytest.approx([0.5, 0.0], abs=1e-6)
    assert steer(goal=at(0.3), heading=heading) == pytest.approx([0.5 * np.cos(0.3), 0.6], abs=1e-6)
    assert steer(goal=at(-0.3), heading=heading) == pytest.approx([0.5 * np.cos(0.3), -0.6], abs=1e-6)


def test_a_hazard_in_reach_is_avoided_by_a_timid_driver_only():
    left_ahead = {"goal": (2.0, 0.0), "hazards": [(0.4, 0.05)]}
    assert steer(**left_ahead)[1] < -0.1
    assert steer(**left_ahead, push=0.0) == pytest.approx(steer(goal=(2.0, 0.0)))
    assert steer(goal=(2.0, 0.0), hazards=[(0.7, 0.05)]) == pytest.approx(steer(goal=(2.0, 0.0)))  # out of reach


def test_characters_run_from_reckless_to_timid():
    drawn = [draw_character(np.random.default_rng(i)) for i in range(400)]
    assert 0.1 < np.mean([c.push == 0 for c in drawn]) < 0.2
    assert np.quantile([c.push for c in drawn], 0.9) > 2
    assert np.ptp([c.throttle for c in drawn]) > 0.6
    assert np.ptp([c.noise for c in drawn]) > 0.4


def test_workers_are_deaf_to_ctrl_c_from_their_start():
    words = [sys.executable, "-c", "import signal as s; print(s.SIGINT in s.pthread_sigmask(s.SIG_BLOCK, []))"]
    with module._deaf_to_interrupts():
        started = subprocess.run(words, capture_output=True, text=True, check=True)
    after = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (started.stdout, after.stdout) == ("True\n", "False\n")


# ---- the real simulator, in processes ------------------------------------------------------------------------------


def command(out, workers):
    words = ["data", "collect", "--task", "PointGoal1", "--episodes", "4", "--workers", str(workers), "--out", out]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "osrl_proco", *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def group_is_empty(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_killed_with_two_workers_resumed_with_one_gives_the_file_of_an_uninterrupted_run(tmp_path, blow):
    pytest.importorskip("safety_gymnasium")
    run = command(tmp_path / "cut.hdf5", workers=2)
    deadline = time.monotonic() + 120
    while not list(Path(tmp_path).glob("cut.hdf5.parts/*.npz")):
        assert time.monotonic() < deadline, run.communicate(timeout=5)
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    if blow == signal.SIGINT:
        os.killpg(run.pid, blow)  # what a terminal does
    else:
        run.kill()
    output, _ = run.communicate(timeout=60)
    if blow == signal.SIGINT:
        assert run.returncode == 130
        assert "Traceback" not in output
    while not group_is_empty(run.pid):  # no worker outlives the command
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (tmp_path / "cut.hdf5").exists()
    for name, workers in (("cut.hdf5", 1), ("whole.hdf5", 2)):
        run = command(tmp_path / name, workers)
        output, _ = run.communicate(timeout=240)
        assert run.returncode == 0, output
    task = load_task("PointGoal1")
    cut, whole = (read_hdf5(tmp_path / name, task.id) for name in ("cut.hdf5", "whole.hdf5"))
    assert same(cut, whole)
    assert len(whole["costs"]) == 4000
    assert multiprocessing.active_children() == []
