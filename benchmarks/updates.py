"""Updates per second of every algorithm at its published sizes: OSRL's own class, ours stock, with PROCO.

Ours with `--fast true`, the default (core/products.py), and, called plain, with `--fast false`.

    python benchmarks/updates.py --algos bcql bearl cpq --threads 1 --out benchmarks/results/updates.json

Random data of PointGoal1's sizes (60 observations, 2 actions). Sampling is part of the time, OSRL's by its own loader;
the twin's feasibility batches hold half as many imagined transitions beside the recorded ones. Arms take turns, so that
a busy machine slows all of them, and with one thread seconds are those of the process's CPU time. The rate is the
median over rounds; the ratio to OSRL's class the median over rounds of the ratio within one. Arms measured again
replace their rows in the file. `--released PYTHON` lets OSRL's classes in another environment take turns too, such as
OSRL's stack as released: Python 3.10 with torch 1.13.1, the upstream packages and osrl-proco installed there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from released import NAMES, update_of

from osrl_proco.algorithms import Problem, algorithm, algorithms
from osrl_proco.core.random import Streams, drawing_from
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.danger import signed
from osrl_proco.proco.feasibility import FeasibilityBatch
from osrl_proco.run.config import config_class
from osrl_proco.run.folder import commit, versions

OBS, ACT, ROWS = 60, 2, 100_000


def recorded(rows: int = ROWS) -> Transitions:
    """Random transitions in episodes of 1,000 steps."""
    draw = torch.Generator().manual_seed(0)
    flags = torch.zeros(rows)
    ends = flags.clone()
    ends[999::1000] = 1.0
    return Transitions(
        torch.randn(rows, OBS, generator=draw),
        torch.rand(rows, ACT, generator=draw) * 2 - 1,
        torch.randn(rows, OBS, generator=draw),
        torch.rand(rows, generator=draw),
        (torch.rand(rows, generator=draw) < 0.05).float(),
        flags,
        ends,
        flags,
        ends,
    )


class Arm(ABC):
    """Something that updates."""

    def __init__(self, label: str) -> None:
        self.label, self.rates = label, list[float]()

    @abstractmethod
    def run(self, seconds: float) -> None:
        """Update for so long, at least once, and note the rate."""


class Here(Arm):
    """One that updates in this process."""

    @abstractmethod
    def update(self) -> None: ...

    def run(self, seconds: float) -> None:
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        began, count = clock(), 0
        while count == 0 or clock() - began < seconds:
            self.update()
            count += 1
        self.rates.append(count / (clock() - began))


class Released(Here):
    """OSRL's own class, trainer and loader."""

    def __init__(self, name: str, data: Transitions) -> None:
        super().__init__(f"OSRL {name}")
        self._update = update_of(name, data)

    def update(self) -> None:
        self._update()


class Elsewhere(Arm):
    """OSRL's own class in another Python's environment: a process that updates for so long when it is told to."""

    def __init__(self, name: str, python: Path) -> None:
        command = [str(python), str(Path(__file__).resolve()), "--serve", name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        super().__init__(f"OSRL {name}, {self._answer()}")

    def run(self, seconds: float) -> None:
        assert self._process.stdin is not None
        print(seconds, file=self._process.stdin, flush=True)
        self.rates.append(float(self._answer()))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise SystemExit("--released: that environment failed, see above; it needs osrl-lib and osrl-proco")
        return line


def serve(name: str) -> None:
    """What `Elsewhere` talks to: its stack, then a rate for every number of seconds."""
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(sys.stderr):  # OSRL prints
        arm = Released(name, recorded())
    print(f"Python {sys.version_info.major}.{sys.version_info.minor}, torch {torch.__version__}", flush=True)
    for line in sys.stdin:
        arm.run(float(line))
        print(arm.rates[-1], flush=True)


class Ours(Here):
    """One of our algorithms, stock or with PROCO, on the data's device."""

    def __init__(self, name: str, data: Transitions, *, proco: bool, fast: bool) -> None:
        super().__init__(f"{name}{' + PROCO' if proco else ''}{'' if fast else ', plain'}")
        device = str(data.rewards.device)
        self.data, self.streams = data, Streams(0, device)
        problem = Problem(OBS, ACT, 1.0, 1000, device, self.streams["noise"], (0.0, 30.0))
        settings = {"algo": name, "proco": proco, **({"augment_percent": 0.0} if name == "cdt" else {})}
        self.config = config_class(name)(**settings)
        with drawing_from(self.streams["networks"]):
            self.agent = algorithm(name).create(self.config, problem)
        if fast:
            self.agent.speed_up()
        self.agent.prepare(data)
        self.sampler = self.agent.sampler(data)

    def imagined(self) -> FeasibilityBatch | None:
        if self.agent.feasibility is None:
            return None
        d, size = self.data, int(1.5 * (self.agent.feasibility_batch_size or self.agent.batch_size))
        rows = torch.randint(len(d), (size,), generator=self.streams["imagination"], device=d.rewards.device)
        danger, reached = signed(d.previous_costs[rows]), signed(d.costs[rows])
        states, actions, following = d.observations[rows], d.actions[rows], d.next_observations[rows]
        return FeasibilityBatch(states, actions, following, danger, reached, d.terminals[rows])

    def update(self) -> None:
        self.agent.update(self.sampler.sample(self.streams["batches"]), self.imagined())


def arms_of(name: str, data: Transitions, released: Path | None = None) -> list[Arm]:
    """OSRL's class first, where OSRL has one."""
    arms: list[Arm] = [Released(name, data)] if name in NAMES else []
    if released is not None and name in NAMES:
        arms.append(Elsewhere(name, released))
    modes = (False, True) if algorithm(name).twin else (False,)
    return [*arms, *(Ours(name, data, proco=proco, fast=fast) for proco in modes for fast in (True, False))]


def measured(name: str, arms: list[Arm], threads: int) -> list[dict[str, Any]]:
    """A row for each arm."""
    rows, base = [], arms[0].rates
    for arm in arms:
        row: dict[str, Any] = {"arm": arm.label, "threads": threads, "median": statistics.median(arm.rates)}
        if name in NAMES:
            row["to_osrl"] = statistics.median(a / b for a, b in zip(arm.rates, base, strict=True))
        rows.append({**row, "rates": arm.rates})
        ratio = f"{row['to_osrl']:.2f} x OSRL" if "to_osrl" in row else ""
        print(f"{arm.label:<20} {threads} threads  {ratio}  {row['median']:8.2f} updates/s", flush=True)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """A line for each algorithm and number of threads: updates per second, and how many times OSRL's rate that is."""
    kinds = ["OSRL {}, elsewhere", "OSRL {}", "{}, plain", "{}", "{} + PROCO, plain", "{} + PROCO"]
    by = {(_kind(row["arm"]), row["threads"]): row for row in rows}
    lines = [
        "| algorithm | threads | old stack | OSRL | stock, `--fast false` | stock | PROCO, `--fast false` | PROCO |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in algorithms():
        for threads in sorted({threads for _, threads in by}):
            found = [by.get((kind.format(name), threads)) for kind in kinds]
            if any(found):
                lines.append(f"| {name} | {threads} | " + " | ".join(map(_cell, found)) + " |")
    return "\n".join(lines)


def _kind(arm: str) -> str:
    """An arm without what stack it ran in."""
    return arm.partition(",")[0] + ", elsewhere" if arm.startswith("OSRL") and "," in arm else arm


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    ratio = f" ({row['to_osrl']:.2f})" if row.get("to_osrl", 1.0) != 1.0 else ""
    return f"{row['median']:.2f}{ratio}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", default=list(algorithms()), choices=list(algorithms()))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each arm in each round")
    parser.add_argument("--released", type=Path, metavar="PYTHON", help="also OSRL in this Python's environment")
    parser.add_argument("--serve", choices=list(NAMES), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="measure nothing: print this file's rows as a table")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["results"]))
        return
    data, results = recorded(), []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name in arguments.algos:
            arms = arms_of(name, data, arguments.released if threads == 1 else None)
            for arm in arms:
                arm.run(min(1.0, arguments.seconds))
                arm.rates.clear()
            for _ in range(arguments.rounds):
                for arm in arms:
                    arm.run(arguments.seconds)
            results += measured(name, arms, threads)
    if arguments.out:
        words = " ".join(sys.argv[1:]).replace(str(arguments.released), "PYTHON")  # no path of this machine
        about = {"command": f"python benchmarks/updates.py {words}", "commit": commit()}
        again = {(row["arm"], row["threads"]) for row in results}
        old = json.loads(arguments.out.read_text())["results"] if arguments.out.exists() else []
        kept = [row for row in old if (row["arm"], row["threads"]) not in again]
        document = {"machine": versions(), "results": [*kept, *({**row, **about} for row in results)]}
        arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
