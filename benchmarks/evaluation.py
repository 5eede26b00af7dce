"""Speed of evaluation against pure stepping of the simulator, whole episodes, every number of workers in turn.

    python benchmarks/evaluation.py --tasks PointGoal1 HalfCheetahVelocity --out benchmarks/results/evaluation.json

Pure stepping: `env.reset` and `env.step` with the actions that the policy took in the same episode, no policy, no
checks: in one process, and in as many at once as there are cores, which is all that this machine can do. The policy is
a network of 2 x 256 for half of the environments at a time. Rounds are interleaved, and the best of each counts, so
that other programs disturb all alike.
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

import numpy as np
import torch

from osrl_proco.algorithms.agent import Stateless
from osrl_proco.envs.make import make_env
from osrl_proco.envs.vector import VectorEnv
from osrl_proco.evaluation.episodes import row_count, run_episodes
from osrl_proco.run.folder import commit, versions
from osrl_proco.tasks.task import Task, load_task

PASSES = 3  # of an episode that is only stepped


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


def pure(task: Task, length: int) -> float:
    """Steps per second of one environment alone, over an episode of at most `length` steps."""
    env = make_env(task)
    act = network(task, int(np.prod(env.action_space.shape)))
    actions: list[np.ndarray] = []
    observation, _ = env.reset(seed=100)
    for _ in range(length):
        actions.append(act(torch.as_tensor(observation, dtype=torch.float32)[None]).numpy()[0])
        observation, _, terminated, truncated, _ = env.step(actions[-1])
        if terminated or truncated:
            break
    began = time.perf_counter()
    for _ in range(PASSES):
        env.reset(seed=100)
        for action in actions:
            env.step(action)
    return PASSES * len(actions) / (time.perf_counter() - began)


def pure_at_once(task: Task, length: int, processes: int) -> float:
    """Steps per second of so many processes together."""
    words = [sys.executable, "-W", "ignore", __file__, "--pure", task.id, "--length", str(length)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(float(p.communicate()[0].split()[-1]) for p in running)


def evaluation(task: Task, episodes: int, length: int, workers: int) -> float:
    """Steps per second of an evaluation, resets included, the start of the workers not."""
    act = network(task, int(np.prod(make_env(task).action_space.shape)))
    with VectorEnv(task, row_count(episodes), workers) as envs:
        run_episodes(lambda: Stateless(act), envs, episodes, 0, 5, progress=False)  # first resets load models
        began = time.perf_counter()
        runs = run_episodes(lambda: Stateless(act), envs, episodes, 100, length, progress=False)
        return sum(run.length for run in runs) / (time.perf_counter() - began)


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
        print(pure(load_task(arguments.pure), arguments.length))
        return
    cores = len(os.sched_getaffinity(0))
    kinds = ("pure, 1 process", f"pure, {cores} processes", "evaluation, 0 workers", f"evaluation, {cores} workers")
    results = {}
    for name in arguments.tasks:
        task = load_task(name)
        best = dict.fromkeys(kinds, 0.0)
        for _ in range(arguments.rounds):
            found = (
                pure(task, arguments.length),
                pure_at_once(task, arguments.length, cores),
                evaluation(task, arguments.episodes, arguments.length, 0),
                evaluation(task, arguments.episodes, arguments.length, cores),
            )
            best = {kind: max(best[kind], value) for kind, value in zip(kinds, found, strict=True)}
            print(name, {kind: round(value) for kind, value in zip(kinds, found, strict=True)}, flush=True)
        speed = best[kinds[3]]
        results[name] = {
            "steps_per_second": {kind: round(value, 1) for kind, value in best.items()},
            "of_cores_x_pure": round(speed / (cores * best[kinds[0]]), 3),
            "of_pure_at_once": round(speed / best[kinds[1]], 3),
            "speedup_over_0_workers": round(speed / best[kinds[2]], 3),
        }
        print(name, results[name])
    report = {"cores": cores, "versions": versions(), "commit": commit(), "settings": vars(arguments), "tasks": results}
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
