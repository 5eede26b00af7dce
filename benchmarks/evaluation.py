"""Speed of evaluation against pure stepping of the simulator, whole episodes, every number of workers in turn.

    python benchmarks/evaluation.py --tasks PointGoal1 HalfCheetahVelocity --out benchmarks/results/evaluation.json

Pure stepping: `env.reset` and `env.step` with the actions that the policy took in the same episode, no policy, no
checks: in one process, and in as many at once as there are cores, which is all that this machine can do. The policy is
a network of 2 x 256 for half of the environments at a time. Rounds are interleaved, and the best of each counts, so
that other programs disturb all alike. Where they take cores away, what counts is `cpu_efficiency`: CPU time of a pure
step over that of an evaluation's step, workers and parent together, which is what idle cores would come to.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from osrl_proco.algorithms.agent import Stateless
from osrl_proco.envs.make import make_env
from osrl_proco.envs.vector import VectorEnv
from osrl_proco.evaluation.episodes import row_count, run_episodes
from osrl_proco.run.folder import commit, versions
from osrl_proco.tasks.task import Task, load_task

PASSES = 3  # of an episode that is only stepped


class Speed(NamedTuple):
    """Steps per second, and CPU seconds per step of all processes together."""

    steps_per_second: float
    cpu: float


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of this process and of others (Linux)."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return time.process_time() + sum(int(f[11]) + int(f[12]) for f in fields) / ticks


def network(task: Task, act_dim: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """A policy of random weights."""
    generator = torch.Generator().manual_seed(0)
    sizes = (task.obs_dim, 256, 256, act_dim)
    layers = [torch.randn(a, b, generator=generator) / a**0.5 for a, b in pairwise(sizes)]

    def act(observations: torch.Tensor) -> torch.Tensor:
        for layer in layers[:-1]:
            observations = torch.relu(observations @ layer)
        return torch.tanh(observations @ layers[-1])

    return act


def pure(task: Task, length: int) -> Speed:
    """Speed of one environment alone, over an episode of at most `length` steps."""
    env = make_env(task)
    act = network(task, int(np.prod(env.action_space.shape)))
    actions: list[np.ndarray] = []
    observation, _ = env.reset(seed=100)
    for _ in range(length):
        actions.append(act(torch.as_tensor(observation, dtype=torch.float32)[None]).numpy()[0])
        observation, _, terminated, truncated, _ = env.step(actions[-1])
        if terminated or truncated:
            break
    began, used = time.perf_counter(), time.process_time()
    for _ in range(PASSES):
        env.reset(seed=100)
        for action in actions:
            env.step(action)
    steps = PASSES * len(actions)
    return Speed(steps / (time.perf_counter() - began), (time.process_time() - used) / steps)


def pure_at_once(task: Task, length: int, processes: int) -> Speed:
    """Steps per second of so many processes together."""
    words = [sys.executable, "-W", "ignore", __file__, "--pure", task.id, "--length", str(length)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    found = [Speed(*map(float, p.communicate()[0].split()[-2:])) for p in running]
    return Speed(sum(s.steps_per_second for s in found), sum(s.cpu for s in found) / processes)


def evaluation(task: Task, episodes: int, length: int, workers: int) -> Speed:
    """Steps per second of an evaluation, resets included, the start of the workers not."""
    act = network(task, int(np.prod(make_env(task).action_space.shape)))
    with VectorEnv(task, row_count(episodes), workers) as envs:
        run_episodes(lambda: Stateless(act), envs, episodes, 0, 5, progress=False)  # first resets load models
        pids = [process.pid for process in envs._processes]
        began, used = time.perf_counter(), cpu_seconds(pids)
        runs = run_episodes(lambda: Stateless(act), envs, episodes, 100, length, progress=False)
        steps = sum(run.length for run in runs)
        return Speed(steps / (time.perf_counter() - began), (cpu_seconds(pids) - used) / steps)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", nargs="+", default=["PointGoal1", "HalfCheetahVelocity"])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.pure:
        print(*pure(load_task(arguments.pure), arguments.length))
        return
    cores = len(os.sched_getaffinity(0))
    kinds = ("pure, 1 process", f"pure, {cores} processes", "evaluation, 0 workers", f"evaluation, {cores} workers")
    results = {}
    for name in arguments.tasks:
        task = load_task(name)
        rounds: list[tuple[Speed, ...]] = []
        for _ in range(arguments.rounds):
            rounds.append(
                (
                    pure(task, arguments.length),
                    pure_at_once(task, arguments.length, cores),
                    evaluation(task, arguments.episodes, arguments.length, 0),
                    evaluation(task, arguments.episodes, arguments.length, cores),
                )
            )
            print(name, [f"{s.steps_per_second:.0f}/s {1e6 * s.cpu:.0f} us" for s in rounds[-1]], flush=True)
        speeds = [max(s.steps_per_second for s in column) for column in zip(*rounds, strict=True)]
        cpu = [min(s.cpu for s in column) for column in zip(*rounds, strict=True)]
        results[name] = {
            "steps_per_second": {kind: round(value, 1) for kind, value in zip(kinds, speeds, strict=True)},
            "cpu_us_per_step": {kind: round(1e6 * value, 1) for kind, value in zip(kinds, cpu, strict=True)},
            "of_cores_x_pure": round(speeds[3] / (cores * speeds[0]), 3),
            "of_pure_at_once": round(speeds[3] / speeds[1], 3),
            "speedup_over_0_workers": round(speeds[3] / speeds[2], 3),
            "cpu_efficiency": round(cpu[0] / cpu[3], 3),
        }
        print(name, results[name])
    report = {"cores": cores, "versions": versions(), "commit": commit(), "settings": vars(arguments), "tasks": results}
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
