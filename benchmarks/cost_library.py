"""The cost functions of the library against the simulators' own costs, and the datasets that the drivers make.

    python benchmarks/cost_library.py --out benchmarks/results/cost_library.json --plot docs/datasets.png

Collects `--episodes` episodes of every task (kept in `--data`, so that a second run goes on where the first stopped)
and holds each function of osrl_proco/costs/library against what the simulator reported after every step: share of the
unsafe transitions found, share of the safe ones called unsafe. Beside it what the dataset is like: spread of episode
return and cost, the best returns of the careful and of the reckless, and the share of states that are safe now while a
violation follows within 10 steps. `--tasks` writes only those tasks' rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from osrl_proco.costs import load_cost_function
from osrl_proco.costs.writing.evidence import Assessment
from osrl_proco.costs.writing.verdict import for_a_person
from osrl_proco.data.hdf5 import write_hdf5
from osrl_proco.data.load import load_file
from osrl_proco.data.statistics import episodes as sums
from osrl_proco.data.statistics import lost
from osrl_proco.drivers.collect import collect, is_there
from osrl_proco.envs.make import make_env
from osrl_proco.tasks.task import Task, load_task, task_ids

LIMIT = 10  # episode cost up to which a driver was careful: the usual limit


def one(task: Task, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of one task."""
    file = arguments.data / f"{task.name}.hdf5"
    if task.simulator == "embedded":
        settings = {"task": task.id, "seed": arguments.seed, "episodes": arguments.episodes}
        env: Any = make_env(task, episodes=arguments.episodes, dataset_seed=arguments.seed)
        if not is_there(file, settings):
            write_hdf5(file, env.unwrapped.get_dataset(), **settings)
    else:
        env = make_env(task)
        collect(task, arguments.episodes, arguments.seed, file, arguments.workers, progress=False)
    base = env.unwrapped
    data = load_file(file, task)
    says = load_cost_function(task.cost_path, task)(data.next_observations) > 0
    unsafe = data.costs > 0
    returns, costs, _ = sums(data)
    return {
        "task": task.name,
        "simulator": task.simulator,
        "transitions": len(data),
        "unsafe": float(unsafe.float().mean()),
        "unsafe_transitions": int(unsafe.sum()),
        "missed": int((unsafe & ~says).sum()),
        "found": float(says[unsafe].float().mean()) if bool(unsafe.any()) else math.nan,
        "safe_called_unsafe": float(says[~unsafe].float().mean()),
        "lost_within_10": float(lost(data).float().mean()),
        "without_cost": float((costs == 0).mean()),
        "returns": [round(float(r), 1) if abs(r) >= 100 else round(float(r), 2) for r in returns],
        "costs": [int(c) for c in costs],
        "reference_return": [float(base.min_episode_reward), float(base.max_episode_reward)],
        "reference_cost": [float(base.min_episode_cost), float(base.max_episode_cost)],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The figures in Markdown."""
    lines = [
        "| task | transitions | unsafe | of them found | safe called unsafe | lost within 10 steps | "
        "cost: mean (range) | return: mean | best of the careful | best of the reckless | reference | `cost check` |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        returns, costs = np.array(r["returns"]), np.array(r["costs"])
        lines.append(
            f"| {r['task']} | {r['transitions']} | {r['unsafe']:.1%} | {_percent(r['found'])} | "
            f"{r['safe_called_unsafe']:.1%} | {r['lost_within_10']:.1%} | {costs.mean():.0f} ({costs.min()} to "
            f"{costs.max()}) | {returns.mean():.4g} | {_best(returns[costs <= LIMIT])} | "
            f"{_best(returns[costs > LIMIT])} | {r['reference_return'][1]:.4g} | {check(r)} |"
        )
    return "\n".join(lines)


def counted(row: dict[str, Any]) -> Assessment:
    """A row's figures as `cost check` counts them."""
    safe = row["transitions"] - row["unsafe_transitions"]
    found = row["unsafe_transitions"] - row["missed"]
    return Assessment(row["unsafe_transitions"], found, safe, round(row["safe_called_unsafe"] * safe))


def check(row: dict[str, Any]) -> str:
    """What `osrl-proco cost check` says of the function by these figures."""
    return for_a_person(counted(row), load_task(row["task"]))


def _best(returns: np.ndarray) -> str:
    """Mean of the best tenth, and of how many episodes."""
    best = np.sort(returns)[-max(1, len(returns) // 10) :]
    return f"{best.mean():.4g} (of {len(returns)})" if len(returns) else "none"


def _percent(share: float) -> str:
    """Three digits, but never 100 % for a share below 1."""
    return "100%" if share == 1 else f"{math.floor(share * 1e4) / 100:.2f}%"


def sheet(rows: list[dict[str, Any]], path: Path) -> None:
    """Every dataset's episodes, return against cost, as DSRL's authors show theirs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = 6
    figure, axes = plt.subplots(
        -(-len(rows) // columns), columns, figsize=(15, 2.3 * -(-len(rows) // columns)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis in axes.flat[len(rows) :]:
        axis.set_visible(False)
    for axis, r in zip(axes.flat, rows, strict=False):
        axis.scatter(r["costs"], r["returns"], s=6, color="#3060a0", alpha=0.4, linewidths=0)
        axis.axvline(LIMIT, color="#b03a2e", linewidth=0.8)
        axis.axhline(r["reference_return"][1], color="#888888", linewidth=0.8, linestyle=":")
        axis.set_title(r["task"], fontsize=9)
        axis.tick_params(labelsize=7)
    figure.supxlabel("episode cost (red: the usual limit of 10)", fontsize=9)
    figure.supylabel("episode return (dotted: DSRL's largest)", fontsize=9)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=task_ids(), metavar="ID")
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, default=Path("runs/cost_library"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.data.mkdir(parents=True, exist_ok=True)
    rows = [one(load_task(t), arguments) for t in tqdm(arguments.tasks, desc="Tasks")]
    print(table(rows))
    if arguments.plot:
        sheet(rows, arguments.plot)
    if arguments.out:
        command = f"python benchmarks/cost_library.py --episodes {arguments.episodes} --seed {arguments.seed}"
        machine = f"{platform.machine()}, torch {torch.__version__}, Python {platform.python_version()}"
        lines = ",\n".join(json.dumps(row) for row in rows)
        arguments.out.write_text(
            f'{{"command": {json.dumps(command)},\n"machine": {json.dumps(machine)},\n"tasks": [\n{lines}\n]}}\n'
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
