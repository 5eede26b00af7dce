"""Episodes: the same rows whatever the number of workers, every kind of policy, and errors of one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import gymnasium as gym
import pytest
import torch
from policies import drawing, fixed, remembering

from osrl_proco.algorithms.agent import Stateless
from osrl_proco.core.errors import UserError
from osrl_proco.envs.brake import BrakeEnv
from osrl_proco.envs.vector import VectorEnv, default_workers
from osrl_proco.evaluation.episodes import evaluate, row_count, run_episodes
from osrl_proco.tasks.task import load_task

BRAKE = load_task("OfflineBrake")


def episodes(policy, workers, task=BRAKE, count=11, **settings):
    return evaluate(policy, task, episodes=count, seed=3, cost_limit=10.0, workers=workers, progress=False, **settings)


@pytest.mark.parametrize(("kind", "workers"), [(drawing, (1, 2)), (remembering, (4,))])
def test_rows_do_not_depend_on_the_workers(kind, workers):
    policy = kind(2, 1)
    alone = episodes(policy, 0)
    assert [e.seed for e in alone] == list(range(3, 14))
    assert len({e.ret for e in alone}) == 11
    for count in workers:
        assert episodes(policy, count) == alone


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sizes"), [("PointGoal1", (60, 2)), ("AntRun", (33, 8))])
def test_rows_of_a_simulator_do_not_depend_on_the_workers(name, sizes):
    task, policy = load_task(name), drawing(*sizes)
    alone = episodes(policy, 0, task, 6, episode_len=120)
    assert alone == episodes(policy, 2, task, 6, episode_len=120) == episodes(policy, 4, task, 6, episode_len=120)


def test_an_episode_is_the_one_that_a_plain_loop_gives():
    env, policy = gym.make("OfflineBrake-v0"), fixed(2, 1)()
    observation, _ = env.reset(seed=5)
    ret = cost = 0.0
    for _ in range(100):
        action = policy.act(torch.as_tensor(observation)[None]).numpy()[0]
        observation, reward, *_, info = env.step(action)
        ret, cost = ret + reward, cost + info["cost"]
    one = next(e for e in episodes(fixed(2, 1), 0) if e.seed == 5)
    assert (one.ret, one.cost, one.length) == (pytest.approx(ret, rel=1e-5), cost, 100)
    assert one.normalized_cost == pytest.approx(cost / 10.0)


def test_rows_go_on_with_the_next_episode_and_noise_is_of_the_seed(monkeypatch):
    """Episodes of different lengths on few rows: each is what it is alone."""
    ends = {}
    reset, step = BrakeEnv.reset, BrakeEnv.step

    def short_reset(self, *, seed=None, options=None):
        ends[id(self)] = 10 + 7 * (seed % 5)
        return reset(self, seed=seed, options=options)

    def short_step(self, action):
        observation, reward, _, truncated, info = step(self, action)
        ends[id(self)] -= 1
        return observation, reward, ends[id(self)] <= 0, truncated, info

    monkeypatch.setattr(BrakeEnv, "reset", short_reset)
    monkeypatch.setattr(BrakeEnv, "step", short_step)
    monkeypatch.setattr("osrl_proco.evaluation.episodes.ROWS", 6)
    many = episodes(drawing(2, 1), 0, count=23)
    assert [e.length for e in many] == [10 + 7 * (s % 5) for s in range(3, 26)]
    alone = [evaluate(drawing(2, 1), BRAKE, episodes=1, seed=e.seed, cost_limit=10.0, progress=False)[0] for e in many]
    assert [e.ret for e in alone] == pytest.approx([e.ret for e in many], rel=1e-4)


def test_no_round_leaves_most_rows_idle():
    assert [row_count(n) for n in (1, 20, 32, 33, 64, 100)] == [1, 20, 32, 17, 32, 25]


def test_a_simulator_that_fails_is_one_line_with_the_seed(monkeypatch):
    def fail(self, action):
        raise RuntimeError("the ground\nis gone")

    monkeypatch.setattr(BrakeEnv, "step", fail)
    with pytest.raises(UserError, match=r"episode with seed 3: the simulator failed \(RuntimeError: the ground\)"):
        episodes(fixed(2, 1), 0)


def test_an_error_in_a_worker_is_the_same_line():
    bad = SimpleNamespace(
        reset=lambda *_: None, act=lambda o: torch.full((len(o), 1), float("nan")), observe=lambda *_: None
    )
    for workers in (0, 2):
        with pytest.raises(UserError, match="episode with seed 3: the policy's action is not finite"):
            episodes(lambda: bad, workers)


def test_a_killed_worker_is_one_line_with_its_seeds():
    with VectorEnv(BRAKE, row_count(4), 2) as envs:
        killed = envs._processes[1]
        os.kill(killed.pid, signal.SIGKILL)
        with pytest.raises(UserError, match=r"seeds? 5(, 6)?: a worker process ended \(status -9\).*--workers"):
            run_episodes(lambda: Stateless(lambda o: o[:, :1] * 0), envs, 4, 3, progress=False)
        others = list(envs._processes)
    assert all(process.poll() is not None for process in others)


def test_workers_die_with_their_parent(tmp_path):
    program = (
        "from osrl_proco.envs.vector import VectorEnv\nfrom osrl_proco.tasks.task import load_task\nimport time\n"
        "envs = VectorEnv(load_task('OfflineBrake'), 2, 2)\n"
        "print(*[p.pid for p in envs._processes], flush=True)\ntime.sleep(60)"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    deadline = time.time() + 10
    while time.time() < deadline and any(map(_runs, workers)):
        time.sleep(0.05)
    assert not any(map(_runs, workers))


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_only_slow_simulators_get_workers_by_themselves(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    names = ("OfflineBrake", "HalfCheetahVelocity", "BallCircle", "PointGoal1")
    assert [default_workers(load_task(name)) for name in names] == [0, 0, 0, 8]
