"""The feasibility critic against the closed form, on OfflineBrake-v0 and two other parameter settings of it.

    python benchmarks/feasible_set.py --seeds 0 1 2 --out benchmarks/results/feasible_set.json

Per setting and seed: PROCO BCQL is trained on the safe-only data, and its critic asked about states that the same
drivers visit in a dataset of another seed. Beside it the same critic, trained without PROCO: recorded transitions and
the simulator's own labels.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from osrl_proco.algorithms import build_agent
from osrl_proco.data.split import safe_only
from osrl_proco.data.transitions import Transitions
from osrl_proco.envs import BrakeEnv
from osrl_proco.evaluation.feasible_set import agreement, fit_critic
from osrl_proco.run import settings
from osrl_proco.run.fit import Loop
from osrl_proco.run.folder import RunFolder
from osrl_proco.run.prepare import proco_source, recorded_only, seed_everything
from osrl_proco.tasks.task import load_task

SETTINGS = {
    "default": {},
    "heavy, fast": {"wall": 20.0, "a_max": 4.0, "v_max": 8.0},
    "weak brake": {"a_max": 1.0, "v_max": 3.5, "dt": 0.15},
}


def one(kwargs: dict[str, float], seed: int, flags: list[str]) -> dict[str, dict[str, float]]:
    """Both critics of one setting and seed."""
    config = settings.parse(["--task", "OfflineBrake-v0", "--algo", "bcql", "--seed", str(seed), *flags])
    config.episode_len = BrakeEnv.episode_len
    task, env = load_task(config.task), BrakeEnv(**kwargs, dataset_seed=seed)
    seed_everything(seed)
    torch.set_num_threads(config.threads)
    split = safe_only(Transitions.from_arrays(env.get_dataset()), config.keep_unsafe, seed)
    agent = build_agent(config, 2, 1, 1.0, "cpu")
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch) / "run")
        folder.create(config)
        source = proco_source(config, task, split.safe, split.unsafe, 1.0, folder)
        agent.model.feasibility_batch = source.batch
        agent.model.standardise(split.safe.observations)
        Loop(config, folder, task, agent, split.safe, source, "cpu", evaluating=False).run()
    without = agent.model.cost_critic.like()
    fit_critic(recorded_only(config, split.safe), without, split.safe.observations, 3000)
    fresh = seed + 1_000_000
    critics = {"proco": agent.model.cost_critic, "without": without}
    return {name: dataclasses.asdict(agreement(critic, env, fresh)) for name, critic in critics.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--out", type=Path)
    arguments, flags = parser.parse_known_args()
    runs = []
    for name in arguments.settings:
        for seed in arguments.seeds:
            result = one(SETTINGS[name], seed, ["--update_steps", "5000", *flags])
            runs.append({"setting": name, "kwargs": SETTINGS[name], "seed": seed, **result})
            print(name, seed, json.dumps(result), flush=True)
    print(f"\n{'setting':<14}{'critic':<10}{'agrees':>9}{'missed':>9}{'false alarms':>14}   worst seed: agrees, missed")
    for name in arguments.settings:
        for critic in ("proco", "without"):
            mine = [r[critic] for r in runs if r["setting"] == name]
            mean = {k: np.mean([r[k] for r in mine]) for k in ("agree", "missed", "false_alarms")}
            worst = f"{min(r['agree'] for r in mine):.1%}, {max(r['missed'] for r in mine):.1%}"
            shares = f"{mean['agree']:>9.1%}{mean['missed']:>9.1%}{mean['false_alarms']:>14.1%}"
            print(f"{name:<14}{critic:<10}{shares}   {worst}")
    if arguments.out:
        machine = {"platform": platform.platform(), "python": platform.python_version(), "torch": torch.__version__}
        command = f"python benchmarks/feasible_set.py {' '.join(sys.argv[1:])}"
        arguments.out.write_text(json.dumps({"command": command, "machine": machine, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
