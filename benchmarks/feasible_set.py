"""The feasibility critic against the closed form, on OfflineBrake-v0 and two other parameter settings of it.

    python benchmarks/feasible_set.py --seeds 0 1 2 --out benchmarks/results/feasible_set.json

Per setting and seed: PROCO BCQL is trained on the safe-only data, and its critic asked about states that the same
drivers visit in a dataset of another seed. Beside it the same critic, trained without PROCO: recorded transitions and
the simulator's own labels. `--table FILE` prints a file's rows as Markdown, means over seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osrl_proco.core.random import drawing_from
from osrl_proco.data import write_hdf5
from osrl_proco.envs import BrakeEnv
from osrl_proco.evaluation.feasible_set import agreement, fit_critic
from osrl_proco.proco.feasibility import FeasibilityLearner
from osrl_proco.run import settings
from osrl_proco.run.folder import RunFolder
from osrl_proco.run.policy import load_policy
from osrl_proco.run.prepare import prepare, recorded_only
from osrl_proco.run.train import train
from osrl_proco.tasks.task import load_task

SETTINGS = {
    "default": {},
    "heavy, fast": {"wall": 20.0, "a_max": 4.0, "v_max": 8.0},
    "weak brake": {"a_max": 1.0, "v_max": 3.5, "dt": 0.15},
}
LABELS = {
    "default": "wall 10 m, 2 m/s², 5 m/s",
    "heavy, fast": "wall 20 m, 4 m/s², 8 m/s",
    "weak brake": "1 m/s², 3.5 m/s, steps of 0.15 s",
}


def one(kwargs: dict[str, float], seed: int, flags: list[str]) -> dict[str, dict[str, float]]:
    """Both critics of one setting and seed."""
    env = BrakeEnv(**kwargs, dataset_seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        file, folder = Path(scratch) / "data.hdf5", RunFolder(Path(scratch) / "run")
        write_hdf5(file, env.get_dataset())
        words = ["--task", "OfflineBrake-v0", "--algo", "bcql", "--seed", str(seed), "--dataset", str(file)]
        words += ["--logdir", str(folder.path), "--eval_every", "0", "--eval_episodes", "1", *flags]
        config = settings.parse(words)
        train(config, folder)
        agent = load_policy(folder, "cpu").agent
        data = prepare(config, load_task(config.task), "cpu").data
    learner = agent.feasibility
    assert learner is not None
    with drawing_from(torch.Generator().manual_seed(seed)):
        without = FeasibilityLearner.create(2, 1, learner.settings, "cpu", lr=1e-3)
    fit_critic(recorded_only(data), without, data.observations, 3000, agent.batch_size, seed)
    fresh = seed + 1_000_000
    critics = {"proco": learner.critic, "without": without.critic}
    return {name: dataclasses.asdict(agreement(critic, env, fresh)) for name, critic in critics.items()}


def markdown(runs: list[dict[str, Any]]) -> str:
    """Two lines for each setting: means over seeds."""
    lines = [
        "| setting of OfflineBrake-v0 | critic | agrees | lost states called feasible | feasible states called lost |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(run["setting"] for run in runs):
        for critic, label in (("proco", "with PROCO"), ("without", "without")):
            mine = [run[critic] for run in runs if run["setting"] == name]
            shares = [float(np.mean([r[k] for r in mine])) for k in ("agree", "missed", "false_alarms")]
            lines.append(f"| {LABELS[name]} | {label} | {' | '.join(f'{share:.1%}' for share in shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="measure nothing: print this file's runs as a table")
    arguments, flags = parser.parse_known_args()
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text())["runs"]))
        return
    runs = []
    for name in arguments.settings:
        for seed in arguments.seeds:
            result = one(SETTINGS[name], seed, ["--update_steps", "5000", *flags])
            runs.append({"setting": name, "kwargs": SETTINGS[name], "seed": seed, **result})
            print(name, seed, json.dumps(result), flush=True)
    print(markdown(runs))
    if arguments.out:
        machine = {"platform": platform.platform(), "python": platform.python_version(), "torch": torch.__version__}
        command = f"python benchmarks/feasible_set.py {' '.join(sys.argv[1:])}"
        arguments.out.write_text(json.dumps({"command": command, "machine": machine, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
