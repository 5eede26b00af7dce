"""Time per update against the number of transitions, at the published sizes, one thread, CPU time.

    python benchmarks/growth.py --out benchmarks/results/growth.json

Random data of PointGoal1's sizes. The sizes of an algorithm take turns; the ratio is the median over rounds of the time
per update within one, against the smallest size. The quickest algorithms, in which drawing a batch weighs most.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from updates import Ours, recorded

from osrl_proco.run.folder import commit, versions


def markdown(rows: list[dict[str, Any]]) -> str:
    """A line for each arm: milliseconds of CPU time per update at each size, and how many times the smallest's."""
    sizes = list(dict.fromkeys(row["transitions"] for row in rows))
    lines = ["| | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|---" * (1 + len(sizes)) + "|"]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        lines.append(f"| {arm} | " + " | ".join(f"{row['ms']:.1f} ({row['ratio']:.2f})" for row in own) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", default=["bc", "ccac", "cpq"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[100_000, 1_000_000, 4_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each size in each round")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="measure nothing: print this file's rows as a table")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["results"]))
        return
    torch.set_num_threads(1)
    datasets = [recorded(size) for size in arguments.sizes]
    rows = []
    for name in arguments.algos:
        arms = [Ours(name, data, proco=True, fast=True) for data in datasets]
        for arm in arms:
            arm.run(1.0)
            arm.rates.clear()
        for _ in range(arguments.rounds):
            for arm in arms:
                arm.run(arguments.seconds)
        for size, arm in zip(arguments.sizes, arms, strict=True):
            ratio = statistics.median(a / b for a, b in zip(arms[0].rates, arm.rates, strict=True))
            ms = 1000 / statistics.median(arm.rates)
            rows.append({"arm": f"{name}-proco", "transitions": size, "ms": ms, "ratio": ratio, "rates": arm.rates})
            print(f"{name}-proco  {size:>10,} transitions  {ms:7.2f} ms an update  {ratio:.2f}", flush=True)
    if arguments.out:
        about = {"command": f"python benchmarks/growth.py {' '.join(sys.argv[1:])}", "commit": commit()}
        arguments.out.write_text(json.dumps({"machine": versions(), **about, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
