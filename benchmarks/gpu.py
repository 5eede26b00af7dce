"""What one GPU makes of updates, rollouts and the dynamics model, at the published sizes: wall-clock, one process.

    python benchmarks/gpu.py --device cuda --jobs 1 2 4 --out gpu.json

Random data of PointGoal1's sizes, all on the device. For each algorithm, stock and with PROCO: updates per second,
plain and, where it can be captured, as one CUDA graph (`--cuda_graph true`), in turns; by how much 100 updates of each
leave the weights apart; the most memory; seconds of one refresh of the rollouts and what share of the training they
are. An epoch of the dynamics model. Updates per second of several processes on the device at once, all together
(`--jobs`). Whatever cannot run says why and leaves the rest alone. `--device cpu` runs all but the graphs: how the
script is tested.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rollouts import source_of
from updates import ACT, OBS, Ours, recorded

from osrl_proco.algorithms import algorithm, algorithms
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.dynamics import Dynamics, fit
from osrl_proco.run.folder import commit, versions
from osrl_proco.run.train import captured

AGREE = 100  # updates after which plain and captured weights are compared
JOB = "fisor"  # what several processes at once train, with PROCO


class Timed:
    """An algorithm whose updates are timed by the clock, the device's work included."""

    def __init__(self, name: str, data: Transitions, *, proco: bool, graph: bool) -> None:
        self.arm, self.device, self.rates = Ours(name, data, proco=proco, fast=True), data.rewards.device, list[float]()
        self._update: Callable[..., Any] = self.arm.agent.update
        if graph:
            self._update = captured(self.arm.agent, self.arm.streams, str(self.device), name)

    def update(self) -> None:
        self._update(self.arm.sampler.sample(self.arm.streams["batches"]), self.arm.imagined())

    def run(self, seconds: float) -> float:
        """Updates per second over about so long."""
        began, count = clock(self.device), 0
        while count == 0 or time.perf_counter() - began < seconds:
            for _ in range(10):
                self.update()
            count += 10
            clock(self.device)
        return count / (clock(self.device) - began)

    def weights(self) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in _parameters(self.arm.agent.parts())])


def _parameters(parts: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            found += list(part.parameters())
        elif isinstance(part, dict):
            found += _parameters(part)
    return found


def clock(device: torch.device) -> float:
    """Seconds, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measured(name: str, data: Transitions, *, proco: bool, rounds: int, seconds: float) -> dict[str, Any]:
    """The row of one algorithm."""
    cuda = data.rewards.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    row: dict[str, Any] = {"arm": f"{name}{'-proco' if proco else ''}"}
    plain = Timed(name, data, proco=proco, graph=False)
    arms = {"plain": plain}
    if cuda and plain.arm.agent.capturable:
        arms["graph"] = Timed(name, data, proco=proco, graph=True)
        for _ in range(AGREE):
            for arm in arms.values():
                arm.update()
        ours, theirs = (arm.weights() for arm in arms.values())
        row["apart"] = float((ours - theirs).abs().max() / ours.abs().max())
    for number in range(rounds + 1):
        for arm in arms.values():
            rate = arm.run(seconds)
            if number:
                arm.rates.append(rate)
    row.update({kind: statistics.median(arm.rates) for kind, arm in arms.items()})
    if "graph" in arms:
        row["times"] = statistics.median(g / p for g, p in zip(arms["graph"].rates, plain.rates, strict=True))
    if proco:
        row.update(refreshed(plain, row.get("graph", row["plain"]), data))
    if cuda:
        row["memory_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return row


def refreshed(timed: Timed, rate: float, data: Transitions) -> dict[str, Any]:
    """Seconds of one refresh of the rollouts, and what share of the training they are at `rate` updates a second."""
    agent, config, generator = timed.arm.agent, timed.arm.config, timed.arm.streams["imagination"]
    source, took = source_of(config, data), list[float]()
    agent.train(False)
    for _ in range(3):
        began = clock(timed.device)
        source.refresh(lambda states: agent.imagine(states, generator), generator)
        took.append(config.rollout_repeats * (clock(timed.device) - began))
    seconds = statistics.median(took)
    return {"rollouts_s": seconds, "share": seconds / (seconds + config.rollout_every / rate)}


def epoch(data: Transitions) -> dict[str, Any]:
    """Seconds of an epoch of the published dynamics model, the second of two."""
    model, took = Dynamics(OBS, ACT, [200] * 4, 7, 5).to(data.rewards.device), list[float]()
    for _ in range(2):
        model.requires_grad_(True)
        began = clock(data.rewards.device)
        fit(model, data, epochs=1, patience=1, batch_size=256, progress=False)
        took.append(clock(data.rewards.device) - began)
    return {"arm": "dynamics", "rows": len(data), "epoch_s": took[-1]}


def together(jobs: int, device: str, rows: int, seconds: float, graph: bool) -> dict[str, Any]:
    """Updates per second of so many processes at once, all together."""
    words = [sys.executable, str(Path(__file__).resolve()), "--serve", "--device", device, "--rows", str(rows)]
    words += ["--seconds", str(seconds), *(["--graph"] if graph else [])]
    running = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(jobs)]
    pipes = [(process.stdin, process.stdout) for process in running]
    try:
        if any(out is None or out.readline().strip() != "ready" for _, out in pipes):
            raise RuntimeError("a process did not start, see above")
        for into, _ in pipes:
            if into is not None:
                print("go", file=into, flush=True)
        rates = [float(out.readline()) for _, out in pipes if out is not None]
    finally:
        for process in running:
            process.kill()
            process.wait()
    return {"arm": f"{JOB}-proco", "jobs": jobs, "graph": graph, "total": sum(rates), "rates": rates}


def serve(data: Transitions, seconds: float, graph: bool) -> None:
    """One process of `together`."""
    arm = Timed(JOB, data, proco=True, graph=graph)
    arm.run(1.0)
    print("ready", flush=True)
    sys.stdin.readline()
    print(arm.run(seconds), flush=True)


def attempt(what: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The row, or why there is none."""
    try:
        row = measure()
    except Exception as error:  # one failure must not cost the time on a borrowed device
        row = {"arm": what, "failed": f"{type(error).__name__}: {error}"[:500]}
    print(row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", default=list(algorithms()), choices=list(algorithms()))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rows", type=int, default=1_000_000, help="transitions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each arm in each round")
    parser.add_argument("--jobs", nargs="*", type=int, default=[1, 2, 4], help="processes at once")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--graph", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cuda = torch.device(arguments.device).type == "cuda"
    if cuda and not torch.cuda.is_available():
        raise SystemExit(f"--device {arguments.device}: not here; --device cpu tries the script out")
    data = recorded(arguments.rows)
    data = replace(
        data, observations=torch.rand(arguments.rows, OBS), next_observations=torch.rand(arguments.rows, OBS)
    )
    data = data.to(arguments.device)
    if arguments.serve:
        serve(data, arguments.seconds, arguments.graph)
        return
    name = torch.cuda.get_device_name(arguments.device) if cuda else "CPU"
    about = {"command": f"python benchmarks/gpu.py {' '.join(sys.argv[1:])}", "commit": commit(), "device": name}
    results: list[dict[str, Any]] = []

    def note(row: dict[str, Any]) -> None:
        results.append(row)
        if arguments.out:
            document = {"machine": versions(), **about, "results": results}
            arguments.out.write_text(json.dumps(document, indent=1) + "\n")

    limits = {"rounds": arguments.rounds, "seconds": arguments.seconds}
    for algo in arguments.algos:
        for proco in (False, True) if algorithm(algo).twin else (False,):
            note(attempt(algo, lambda algo=algo, proco=proco: measured(algo, data, proco=proco, **limits)))
    note(attempt("dynamics", lambda: epoch(data.index(slice(0, min(arguments.rows, 100_000))))))
    for graph in (False, True) if cuda else (False,):
        for jobs in arguments.jobs:
            one = (jobs, arguments.device, arguments.rows, arguments.seconds, graph)
            note(attempt(f"{jobs} jobs", lambda one=one: together(*one)))


if __name__ == "__main__":
    main()
