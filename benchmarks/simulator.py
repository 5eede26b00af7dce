"""Steps per second of Safety-Gymnasium's tasks: the release against the patched one, the same episodes in both.

    python benchmarks/simulator.py --out benchmarks/results/simulator.json

"Release" is safety-gymnasium 0.4.0 with the diffs 0001 to 0004 only, without which no task runs on Python >= 3.11,
NumPy 2 and MuJoCo 4; they leave the cost of a step as it is. Each arm is a process of its own, since diffs are applied
at import; they take turns, a reset and some steps with seeded random actions, and must agree on every observation,
reward and cost. Times are CPU times of the process that steps, as other programs may take cores away; what to compare
is the median over rounds of the ratio within a round. `episode_ratio` is that of a whole episode: one reset and DSRL's
number of steps. `physics` is the share of a patched step that passes inside MuJoCo's `mj_step` and `mj_forward`, and
`ceiling` the ratio that would be left if all else took no time: no diff that changes nothing can do more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import mujoco
import numpy as np

from osrl_proco.core.resources import PATCHES
from osrl_proco.envs.make import make_env
from osrl_proco.run.folder import commit, versions
from osrl_proco.tasks.task import load_task, task_ids
from osrl_proco.upstream import compat

SAFETY_GYMNASIUM = "safety-gymnasium-0.4.0"
NEEDED = 4  # number of the last diff without which no task runs


class Turn(NamedTuple):
    """CPU seconds of a reset and of a step, and a digest of what was seen."""

    reset: float
    step: float
    seen: str


def release(folder: Path) -> Path:
    """A folder of patches in which Safety-Gymnasium has only those that it needs to run."""
    shutil.copytree(PATCHES, folder)
    for diff in (folder / SAFETY_GYMNASIUM).glob("*.diff"):
        if int(diff.name[:4]) > NEEDED:
            diff.unlink()
    return folder


def serve(name: str, patches: Path, steps: int) -> None:
    """One arm: for each line of standard input, the number of a round, print its turn; for an empty one, `physics`."""
    warnings.simplefilter("ignore")
    compat.PATCHES = patches
    env = make_env(load_task(name))
    for line in sys.stdin:
        if not line.strip():
            print(physics(env, steps), flush=True)
            continue
        kept = []
        began = time.process_time()
        env.reset(seed=int(line))
        reset, stepping = time.process_time() - began, 0.0
        for action in actions(env, int(line), steps):
            began = time.process_time()
            observation, reward, terminated, truncated, info = env.step(action)
            stepping += time.process_time() - began
            kept.append((observation.tobytes(), float(reward), float(info["cost"])))
            if terminated or truncated:
                env.reset()
        print(*Turn(reset, stepping / steps, hashlib.sha256(repr(kept).encode()).hexdigest()), flush=True)


def actions(env: Any, seed: int, steps: int) -> np.ndarray:
    space = env.action_space
    return np.random.default_rng(seed).uniform(space.low, space.high, (steps, *space.shape)).astype(space.dtype)


def physics(env: Any, steps: int) -> float:
    """The share of a step that passes inside MuJoCo."""
    inside = total = 0.0

    def timed(call: Callable[..., None]) -> Callable[..., None]:
        def measured(*arguments: Any, **keywords: Any) -> None:
            nonlocal inside
            began = time.perf_counter()
            call(*arguments, **keywords)
            inside += time.perf_counter() - began

        return measured

    env.reset(seed=0)
    both = {name: timed(getattr(mujoco, name)) for name in ("mj_step", "mj_forward")}
    with mock.patch.multiple(mujoco, **both):
        for action in actions(env, 0, steps):
            began = time.perf_counter()
            *_, terminated, truncated, _ = env.step(action)
            total += time.perf_counter() - began
            if terminated or truncated:
                before = inside
                env.reset()
                inside = before
    return inside / total


def ask(arm: subprocess.Popen[str], line: str) -> str:
    assert arm.stdin is not None
    assert arm.stdout is not None
    arm.stdin.write(f"{line}\n")
    arm.stdin.flush()
    return arm.stdout.readline()


def take_turn(arm: subprocess.Popen[str], number: int) -> Turn:
    reset, step, seen = ask(arm, str(number)).split()
    return Turn(float(reset), float(step), seen)


def measure(name: str, folders: dict[str, Path], rounds: int, steps: int) -> dict[str, Any]:
    """One task's row. Raises SystemExit if the arms do not agree."""
    words = [sys.executable, __file__, "--steps", str(steps), "--serve", name]
    arms = {
        label: subprocess.Popen([*words, str(f)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for label, f in folders.items()
    }
    turns: dict[str, list[Turn]] = {label: [] for label in arms}
    try:
        for number in range(-1, rounds):
            for label, arm in arms.items():
                turns[label].append(take_turn(arm, number + 1))
        share = float(ask(arms["patched"], ""))
    finally:
        for arm in arms.values():
            arm.communicate()
    stock, patched = (column[1:] for column in turns.values())  # the first turn loads what later ones have
    if [t.seen for t in turns["release"]] != [t.seen for t in turns["patched"]]:
        raise SystemExit(f"{name}: the arms differ")
    length = make_env(load_task(name)).spec.max_episode_steps
    ratios = [a.step / b.step for a, b in zip(stock, patched, strict=True)]
    whole = [(a.reset + length * a.step) / (b.reset + length * b.step) for a, b in zip(stock, patched, strict=True)]
    return {
        "task": name,
        "steps_per_second": {k: round(1 / statistics.median(t.step for t in v[1:]), 1) for k, v in turns.items()},
        "reset_ms": {k: round(1e3 * statistics.median(t.reset for t in v[1:]), 1) for k, v in turns.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
        "episode_ratio": round(statistics.median(whole), 2),
        "physics": round(share, 3),
        "ceiling": round(statistics.median(ratios) / share, 2),
    }


def main() -> None:
    tasks = [load_task(id_).name for id_ in task_ids() if load_task(id_).simulator == "safety_gymnasium"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=tasks)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300, help="of each arm in each round")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", nargs=2, metavar=("TASK", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], Path(arguments.serve[1]), arguments.steps)
        return
    results = []
    with tempfile.TemporaryDirectory() as folder:
        folders = {"release": release(Path(folder) / "patches"), "patched": PATCHES}
        for name in arguments.tasks:
            row = measure(name, folders, arguments.rounds, arguments.steps)
            results.append(row)
            rates = " -> ".join(f"{rate:.0f}" for rate in row["steps_per_second"].values())
            ratios = f"x {row['ratio']:.2f} (at most {row['ceiling']:.2f}), episodes x {row['episode_ratio']:.1f}"
            print(f"{name:<20} {rates:>16} steps/s {ratios}", flush=True)
    summary = {}
    for family in ("navigation", "velocity"):
        rows = [row for row in results if load_task(row["task"]).family == family]
        if rows:
            keys = ("ratio", "episode_ratio")
            summary[family] = {k: round(statistics.geometric_mean(row[k] for row in rows), 2) for k in keys}
    print("geometric means", summary)
    if arguments.out:
        about = {"command": f"python benchmarks/simulator.py {' '.join(sys.argv[1:])}", "machine": versions()}
        report = {**about, "commit": commit(), "geometric_means": summary, "results": results}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
