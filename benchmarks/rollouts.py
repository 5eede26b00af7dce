"""What share of a twin's training time its rollouts are, at the published sizes, one thread, CPU seconds.

    python benchmarks/rollouts.py --out benchmarks/results/rollouts.json

Random data of PointGoal1's sizes and its cost function; dynamics model and policy have random weights, on which the
time does not depend. Updates and rollouts take turns; one of `rollout_repeats` repetitions is timed in each. The share
is the median over rounds. Before that: how near a step of the model comes to its matrix products alone.
`--table FILE` prints a file's rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from updates import ACT, OBS, Ours, recorded

from osrl_proco.algorithms import algorithm, algorithms
from osrl_proco.core.products import linear, pays, speed_up
from osrl_proco.costs import load_cost_function
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.danger import Danger
from osrl_proco.proco.dynamics import Dynamics
from osrl_proco.proco.source import FeasibilityData, SourceSettings
from osrl_proco.run.config import config_class
from osrl_proco.run.folder import commit, versions
from osrl_proco.tasks.task import load_task


def source_of(config: Any, data: Transitions) -> FeasibilityData:
    """Rollouts of one repetition with an unfitted model."""
    task = load_task("PointGoal1")
    cost = load_cost_function(task.cost_path, task)
    danger = Danger.fitted(cost, data.observations, graded=config.graded, margins=config.label == "margin")
    shape = (config.dynamics_hidden, config.members, config.elites, danger.added)
    dynamics = Dynamics(OBS + danger.added, ACT, *shape)
    dynamics.standardise(replace(data, observations=danger.state(data.observations),
                                 next_observations=danger.state(data.next_observations)))  # fmt: skip
    dynamics = dynamics.to(data.rewards.device)
    speed_up([dynamics])
    return FeasibilityData(data, danger, dynamics, replace(SourceSettings.of(config), rollout_repeats=1), 1.0)


def measured(name: str, data: Transitions, rounds: int, seconds: float) -> dict[str, Any]:
    """The row of one algorithm's twin."""
    config = config_class(name)(algo=name, proco=True)
    arm, source = Ours(name, data, proco=True, fast=True), source_of(config, data)
    generator = arm.streams["imagination"]
    refreshes = []
    for _ in range(rounds + 1):
        arm.run(seconds)
        began = time.process_time()
        arm.agent.train(False)
        source.refresh(lambda states: arm.agent.imagine(states, generator), generator)
        arm.agent.train(True)
        refreshes.append(config.rollout_repeats * (time.process_time() - began))
    training = [config.rollout_every / rate for rate in arm.rates[1:]]
    shares = [r / (r + t) for r, t in zip(refreshes[1:], training, strict=True)]
    return {
        "arm": f"{name}-proco",
        "rollout_every": config.rollout_every,
        "updates_s": round(statistics.median(training), 1),
        "rollouts_s": round(statistics.median(refreshes[1:]), 1),
        "share": round(statistics.median(shares), 3),
    }


def model_rate(data: Transitions, rounds: int, rows: int = 10_000, block: int = 1_000) -> dict[str, Any]:
    """GFLOP/s of one step of the published model, and of its matrix products alone, on rows that the caches hold."""
    config = config_class("bc")(algo="bc", proco=True)
    model = source_of(config, data)._dynamics
    assert model is not None
    shapes = [(layer.weight.shape[1], layer.weight.shape[2]) for layer in model.layers]
    shapes[-1] = (shapes[-1][0], model.obs_dim + 1)  # rollouts follow the means
    flop = 2.0 * rows * len(model.elites) * sum(n_in * n_out for n_in, n_out in shapes)
    states, actions = torch.rand(rows, model.obs_dim), torch.rand(rows, ACT)
    inputs = [(torch.rand(block, n_in), torch.rand(n_out, n_in)) for n_in, n_out in shapes]
    product = linear if pays() else torch.nn.functional.linear

    def products() -> None:
        for x, weight in inputs * (rows // block * len(model.elites)):
            product(x, weight)

    took: dict[str, list[float]] = {"model": [], "products": []}
    with torch.no_grad():
        for _ in range(5 * rounds):
            for name, call in (("model", lambda: model.predict(states, actions, noise=False)), ("products", products)):
                began = time.process_time()
                call()
                took[name].append(time.process_time() - began)
    rates = {name: flop / statistics.median(times) / 1e9 for name, times in took.items()}
    share = statistics.median(b / a for a, b in zip(took["model"], took["products"], strict=True))
    return {**{f"{name}_gflops": round(rate, 1) for name, rate in rates.items()}, "share": round(share, 2)}


def markdown(rows: list[dict[str, Any]]) -> str:
    """A line for each twin."""
    lines = ["| twin | E, updates | s for E updates | s for the rollouts | share |", "|---|---|---|---|---|"]
    keys = ("arm", "rollout_every", "updates_s", "rollouts_s")
    lines += [f"| {' | '.join(str(row[key]) for key in keys)} | {row['share']:.0%} |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    twins = [name for name in algorithms() if algorithm(name).twin]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", default=twins, choices=twins)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of updates in each round")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="measure nothing: print this file's rows as a table")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["results"]))
        return
    torch.set_num_threads(1)
    data = replace(recorded(), observations=torch.rand(100_000, OBS), next_observations=torch.rand(100_000, OBS))
    rate = model_rate(data, arguments.rounds)
    print(rate, flush=True)
    rows = []
    for name in arguments.algos:
        rows.append(measured(name, data, arguments.rounds, arguments.seconds))
        print(rows[-1], flush=True)
    if arguments.out:
        about = {
            "command": f"python benchmarks/rollouts.py {' '.join(sys.argv[1:])}",
            "commit": commit(),
            "model": rate,
        }
        arguments.out.write_text(json.dumps({"machine": versions(), **about, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
