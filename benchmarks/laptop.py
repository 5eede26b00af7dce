"""How long whole runs of `--preset laptop` take on one core, evaluation included: CPU seconds of the process.

    osrl-proco data collect --task OfflineBallCircle-v0 --episodes 200 --out ball_circle.hdf5
    python benchmarks/laptop.py --task OfflineBallCircle-v0 --dataset ball_circle.hdf5 --arms fisor-proco bcql-stock

Rows are written as they come, into benchmarks/results/laptop.json; arms measured again replace theirs. `--table FILE`
prints them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from osrl_proco.algorithms import algorithms
from osrl_proco.comparison.grid import arms
from osrl_proco.run.folder import commit, versions

OUT = Path(__file__).resolve().parent / "results" / "laptop.json"


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def markdown(runs: list[dict[str, Any]]) -> str:
    """A line for each algorithm: CPU seconds of its stock run and of its twin's."""
    lines = ["| algorithm | task | stock, CPU s | with PROCO, CPU s |", "|---|---|---|---|"]
    for task in dict.fromkeys(row["task"] for row in runs):
        took = {row["arm"]: f"{row['cpu_seconds']:.0f}" if row["ended"] == "finished" else row["ended"] for row in runs}
        lines += [
            f"| {name} | {task} | {took.get(f'{name}-stock', '')} | {took.get(f'{name}-proco', '')} |"
            for name in algorithms()
        ]
    return "\n".join(lines)


def main() -> None:
    known = {arm.name: arm for arm in arms(list(algorithms()))}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="OfflineBallCircle-v0")
    parser.add_argument("--dataset", type=Path, default=Path("ball_circle.hdf5"))
    parser.add_argument("--arms", nargs="+", default=list(known), choices=list(known))
    parser.add_argument("--table", type=Path, help="measure nothing: print this file's rows as a table")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["runs"]))
        return
    for name in arguments.arms:
        arm = known[name]
        flags = ["--algo", arm.algo, "--proco", str(arm.proco).lower(), "--task", arguments.task, "--seed", "0"]
        if arm.algo == "cdt":  # as released it stops on data without costs, in one line (docs/algorithms/cdt.md)
            flags += ["--compat", "fixed"]
        with tempfile.TemporaryDirectory() as folder:
            words = [*flags, "--dataset", str(arguments.dataset), "--preset", "laptop", "--threads", "1"]
            words += ["--critic", "paper"] if arm.proco else []
            before, began = cpu_of_children(), time.perf_counter()
            command = [sys.executable, "-m", "osrl_proco", "train", *words, "--logdir", f"{folder}/run"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            row = {
                "arm": name,
                "task": arguments.task,
                "ended": "finished" if done.returncode == 0 else done.stderr.strip().splitlines()[-1],
                "cpu_seconds": round(cpu_of_children() - before, 1),
                "wall_seconds": round(time.perf_counter() - began, 1),
                "commit": commit(),
            }
        print(f"{name:<16} {row['cpu_seconds']:7.1f} s of CPU  {row['ended']}", flush=True)
        old = json.loads(OUT.read_text())["runs"] if OUT.exists() else []
        kept = [r for r in old if (r["arm"], r["task"]) != (name, arguments.task)]
        OUT.write_text(json.dumps({"machine": versions(), "runs": [*kept, row]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
