"""Updates per second of every algorithm at its published sizes, stock and with PROCO (without rollouts).

    python benchmarks/updates.py --algos fisor lspc caps --threads 1 2 --out benchmarks/results/updates.json

Random data of PointGoal1's sizes (60 observations, 2 actions). Sampling is part of the time; the twin's feasibility
batches hold half as many imagined transitions beside the recorded ones. Arms take turns, so that a busy machine slows
all of them; the median over rounds is what to compare.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from osrl_proco.algorithms import Problem, algorithm, algorithms
from osrl_proco.core.random import Streams, drawing_from
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.danger import signed
from osrl_proco.proco.feasibility import FeasibilityBatch
from osrl_proco.run.config import config_class
from osrl_proco.run.folder import commit, versions

OBS, ACT, ROWS = 60, 2, 100_000


def recorded() -> Transitions:
    """Random transitions in episodes of 1,000 steps."""
    draw = torch.Generator().manual_seed(0)
    flags = torch.zeros(ROWS)
    ends = flags.clone()
    ends[999::1000] = 1.0
    return Transitions(
        torch.randn(ROWS, OBS, generator=draw),
        torch.rand(ROWS, ACT, generator=draw) * 2 - 1,
        torch.randn(ROWS, OBS, generator=draw),
        torch.rand(ROWS, generator=draw),
        (torch.rand(ROWS, generator=draw) < 0.05).float(),
        flags,
        ends,
        flags,
        ends,
    )


class Arm:
    """One algorithm, stock or with PROCO, ready to update."""

    def __init__(self, name: str, proco: bool, data: Transitions) -> None:
        self.label = f"{name}{' + PROCO' if proco else ''}"
        self.data, self.streams = data, Streams(0)
        problem = Problem(OBS, ACT, 1.0, 1000, "cpu", self.streams["noise"], (0.0, 30.0))
        with drawing_from(self.streams["networks"]):
            self.agent = algorithm(name).create(config_class(name)(algo=name, proco=proco), problem)
        self.agent.speed_up()
        self.agent.prepare(data)
        self.sampler = self.agent.sampler(data)
        self.proco, self.rates = proco, list[float]()

    def imagined(self) -> FeasibilityBatch | None:
        if not self.proco:
            return None
        d, size = self.data, int(1.5 * (self.agent.feasibility_batch_size or self.agent.batch_size))
        rows = torch.randint(ROWS, (size,), generator=self.streams["imagination"])
        columns = (
            d.observations,
            d.actions,
            d.next_observations,
            signed(d.previous_costs),
            signed(d.costs),
            d.terminals,
        )
        return FeasibilityBatch(*(column[rows] for column in columns))

    def run(self, seconds: float) -> None:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            self.agent.update(self.sampler.sample(self.streams["batches"]), self.imagined())
            count += 1
        self.rates.append(count / (time.perf_counter() - began))


def main() -> None:
    twins = [name for name, spec in algorithms().items() if spec.twin]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", default=twins, choices=twins)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each arm in each round")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    data, results = recorded(), []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        arms = [Arm(name, proco, data) for name in arguments.algos for proco in (False, True)]
        for arm in arms:
            arm.run(1.0)
            arm.rates.clear()
        for _ in range(arguments.rounds):
            for arm in arms:
                arm.run(arguments.seconds)
        for arm in arms:
            row = {"arm": arm.label, "threads": threads, "median": statistics.median(arm.rates), "rates": arm.rates}
            results.append(row)
            print(f"{arm.label:<20} {threads} threads  {row['median']:8.2f} updates/s", flush=True)
    if arguments.out:
        about = {"command": f"python benchmarks/updates.py {' '.join(sys.argv[1:])}", "machine": versions()}
        arguments.out.write_text(json.dumps({**about, "commit": commit(), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
