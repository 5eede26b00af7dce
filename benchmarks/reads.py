"""What margins and slopes are worth to a critic: violations soon, called by a network of its size, on held-out runs.

    osrl-proco data collect --task CarGoal1 --episodes 100 --out data/OfflineCarGoal1Gymnasium-v0.hdf5
    python benchmarks/reads.py --data data --tasks CarGoal1 --out benchmarks/results/reads.json

Supervised, so it bounds what a critic of these inputs can know: states that are safe by the task's cost function, told
whether one that is not comes within 5, 10 or 20 steps, and held-out episodes. `recall` is at a false-alarm rate of
5 %. `--table FILE` prints a file's rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from osrl_proco.costs import load_cost_function
from osrl_proco.data.load import load_file
from osrl_proco.data.split import runs_apart
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.reads import Reads
from osrl_proco.run.folder import commit, versions
from osrl_proco.tasks.task import load_task

HORIZONS = (5, 10, 20)
UPDATES, BATCH, WIDTH = 3000, 256, 128  # those of the laptop preset in docs/proof.md


def soon(unsafe: Tensor, last: Tensor, steps: int) -> Tensor:
    """Whether a later state within so many steps of the same episode is unsafe (N,)."""
    episode = last.cumsum(0) - last
    rows = torch.arange(len(unsafe))
    found = torch.zeros_like(unsafe)
    for step in range(1, steps + 1):
        later = (rows + step).clamp_max(len(rows) - 1)
        found |= (episode[later] == episode) & unsafe[later]
    return found


def judged(inputs: Tensor, truth: Tensor, train: Tensor, held: Tensor) -> dict[str, float]:
    """AUC and recall at 5 % false alarms on held-out rows, of a network trained on the others."""
    inputs = ((inputs - inputs[train].mean(0)) / inputs[train].std(0).clamp_min(1e-3)).clamp(-10.0, 10.0)
    torch.manual_seed(0)
    layers = [nn.Linear(inputs.shape[1], WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)]
    network = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters(), 3e-4)
    for _ in range(UPDATES):
        rows = train[torch.randint(len(train), (BATCH,))]
        loss = nn.functional.binary_cross_entropy_with_logits(network(inputs[rows])[:, 0], truth[rows].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        said, does = network(inputs[held])[:, 0], truth[held]
    ranks = torch.empty_like(said)
    ranks[said.argsort()] = torch.arange(len(said), dtype=said.dtype)
    auc = (ranks[does].mean() - (does.sum() - 1) / 2) / (~does).sum()
    return {
        "auc": round(float(auc), 3),
        "recall": round(float((said[does] > said[~does].quantile(0.95)).float().mean()), 3),
    }


def measured(name: str, data: Transitions) -> list[dict[str, Any]]:
    """The rows of a task."""
    task = load_task(name)
    cost = load_cost_function(task.cost_path, task)
    unsafe = cost(data.observations) > 0
    held_out = runs_apart(data.last, 0.2, torch.Generator().manual_seed(0))
    train, held = (torch.nonzero(rows & ~unsafe).squeeze(1) for rows in (~held_out, held_out))
    reads = Reads.fitted(cost, data.observations[train])
    assert reads is not None, f"{name}: its cost function has no margins"
    plain = torch.cat([data.observations, data.actions], 1)
    rows = []
    for steps in HORIZONS:
        truth = soon(unsafe, data.last.long(), steps)
        row: dict[str, Any] = {"task": task.name, "steps": steps, "share": round(float(truth[held].float().mean()), 4)}
        for arm, inputs in (("observation", plain), ("margins", torch.cat([plain, reads(data.observations)], 1))):
            row[arm] = judged(inputs, truth, train, held)
        rows.append(row)
        print(row, flush=True)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """A line for each task and horizon."""
    lines = [
        "| task | steps | share of the states | observation: AUC | recall | with margins and slopes: AUC | recall |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        plain, more = row["observation"], row["margins"]
        lines.append(
            f"| {row['task']} | {row['steps']} | {row['share']:.1%} | {plain['auc']:.3f} | {plain['recall']:.2f} "
            f"| {more['auc']:.3f} | {more['recall']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of TASK.hdf5 or TASK-100.hdf5")
    parser.add_argument("--tasks", nargs="+", default=["CarGoal1", "PointGoal1", "PointButton1", "CarPush1"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="measure nothing: print this file's rows as a table")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["results"]))
        return
    torch.set_num_threads(1)
    rows = []
    for name in arguments.tasks:
        task = load_task(name)
        file = next(file for end in ("", "-100") if (file := arguments.data / f"{task.id}{end}.hdf5").is_file())
        rows += measured(name, load_file(file, task))
    if arguments.out:
        words = ["DIR" if word == str(arguments.data) else word for word in sys.argv[1:]]
        about = {"command": f"python benchmarks/reads.py {' '.join(words)}", "commit": commit()}
        arguments.out.write_text(json.dumps({"machine": versions(), **about, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
