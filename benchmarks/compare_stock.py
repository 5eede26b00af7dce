"""Stock OSRL against its PROCO twin on the same data: every seed, the last checkpoint, honest intervals.

    python benchmarks/compare_stock.py --task OfflineBrake-v0 --algos bcql cpq --seeds 0 1 2 --out results.json
    python benchmarks/compare_stock.py --task OfflinePointGoal1Gymnasium-v0 --dataset FILE --out results.json \\
        -- --update_steps 10000 --batch_size 256

What follows `--` goes to every `osrl-proco train`. Runs are independent processes, `--jobs` at a time; finished ones
are not repeated, so an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

import osrl_proco


def run(name: str, folder: Path, flags: list[str]) -> None:
    """Train once, unless the folder says it is done; resume an interrupted run."""
    if (folder / "done").exists():
        return
    flags = (
        ["--resume", str(folder)]
        if (folder / "checkpoint" / "state.pt").exists()
        else [*flags, "--logdir", str(folder)]
    )
    began = time.time()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".log").open("a") as log:
        status = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "osrl_proco", "train", *flags], stdout=log, stderr=log
        )
    if status.returncode:
        raise SystemExit(f"{name}: failed, see {folder.with_suffix('.log')}")
    (folder / "done").write_text(f"{time.time() - began:.0f} s\n")
    print(f"{name}: {(folder / 'done').read_text().strip()}", flush=True)


def last_scores(folder: Path) -> dict[str, float]:
    """Means over the episodes of the last evaluation."""
    with (folder / "eval.csv").open() as file:
        rows = list(csv.DictReader(file))
    final = [r for r in rows if r["step"] == rows[-1]["step"]]
    keys = ("normalized_reward", "normalized_cost", "ret", "cost")
    means = {k: float(np.mean([float(r[k]) for r in final])) for k in keys}
    return {
        **means,
        "violation_free": float(np.mean([float(r["cost"]) == 0 for r in final])),
        "step": int(final[0]["step"]),
    }


def interval(values: list[float]) -> str:
    """Mean and half the width of its 95 % interval (Student's t over seeds)."""
    if len(values) < 2:
        return f"{np.mean(values):.3f}"
    t = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}.get(len(values), 2.262)
    return f"{np.mean(values):.3f} ± {t * np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True)
    parser.add_argument("--dataset")
    parser.add_argument("--algos", nargs="+", default=["bcql"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/compare"))
    parser.add_argument("--out", type=Path, required=True)
    own, _, rest = " ".join(sys.argv[1:]).partition(" -- ")
    arguments, flags = parser.parse_args(own.split()), rest.split()
    data = ["--dataset", arguments.dataset] if arguments.dataset else []
    common = ["--task", arguments.task, *data, "--threads", "1", "--eval_every", "0", "--eval_episodes", "20", *flags]
    jobs = [
        (f"{algo}-{kind}-{seed}", algo, kind, seed)
        for seed in arguments.seeds
        for algo in arguments.algos
        for kind in ("stock", "proco")
    ]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(
            pool.map(
                lambda j: run(
                    j[0],
                    arguments.folder / j[0],
                    ["--algo", j[1], "--proco", str(j[2] == "proco").lower(), "--seed", str(j[3]), *common],
                ),
                jobs,
            )
        )
    results = [{"algo": a, "kind": k, "seed": s, **last_scores(arguments.folder / n)} for n, a, k, s in jobs]
    machine = {"platform": platform.platform(), "python": platform.python_version(), "torch": torch.__version__}
    words = [Path(w).name if "/" in w else w for w in sys.argv[1:]]  # the folders are this machine's own
    command = f"python benchmarks/compare_stock.py {' '.join(words)}"
    about = {"command": command, "osrl_proco": osrl_proco.__version__, "machine": machine, "runs": results}
    arguments.out.write_text(json.dumps(about, indent=1) + "\n")
    print(f"\n{arguments.task}: {len(arguments.seeds)} seeds, 20 episodes each, last checkpoint")
    print("mean ± half of the 95 % interval over seeds")
    print(f"{'':14}{'normalised reward':>22}{'normalised cost':>22}{'episodes without cost':>24}")
    for algo in arguments.algos:
        for kind in ("stock", "proco"):
            mine = [r for r in results if (r["algo"], r["kind"]) == (algo, kind)]
            cells = [interval([r[k] for r in mine]) for k in ("normalized_reward", "normalized_cost", "violation_free")]
            print(f"{algo + ' ' + kind:14}{cells[0]:>22}{cells[1]:>22}{cells[2]:>24}")


if __name__ == "__main__":
    main()
