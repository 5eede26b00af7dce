"""PROCO's promise, fewer violations from data that have none, on every simulator task: `docs/proof.md`.

    python benchmarks/proof.py --out runs/proof --jobs 2 --seeds 0

Behaviour cloning, FISOR and others with their twins on the safe-only part of recordings of the scripted drivers; the
clone and two twins also with look-ahead, which is ours. The last checkpoint, 20 episodes. One task and seed after the
other, the paper's 17 tasks first; rows are written after each, and those that are there are not made again, so it may
be stopped at any time and goes on from the rows. At the end the tables of docs/proof.md and README are written anew;
with `--report` nothing is trained.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from rawrows import RawRows
from unwatched import Unwatched

from osrl_proco.comparison.experiments import TASKS as PAPER
from osrl_proco.comparison.grid import Arm
from osrl_proco.tasks.task import load_task

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (ROOT / "docs" / "proof.md", ROOT / "README.md")
OTHERS = (
    "BallRun", "CarRun", "DroneRun", "AntRun", "BallCircle", "CarCircle", "DroneCircle", "AntCircle", "PointCircle1",
    "PointCircle2", "CarCircle1", "CarCircle2",
)  # fmt: skip
IDS = {name: load_task(name).id for name in (*PAPER, *OTHERS)}
OF_PAPER = RawRows("proof", sorted(IDS[name] for name in PAPER))
OF_OTHERS = RawRows("proof-others", sorted(IDS[name] for name in OTHERS))
TWIN = "fisor-proco"
AHEAD = 15  # steps of the look-ahead
APART = 10_000  # each training seed is judged on evaluation seeds of its own
STUDY = Unwatched(
    arms=[
        Arm("bc-stock", "bc", False, ("--update_steps", "6000")),
        Arm("fisor-stock", "fisor", False),
        Arm("fisor-scaled-stock", "fisor", False, ("--standardise", "true")),
        Arm(TWIN, "fisor", True, ("--critic", "ours")),
        Arm("fisor-oracle", "fisor", False, ("--safe_only", "false")),
        Arm("bcql-stock", "bcql", False),
        Arm("bcql-proco", "bcql", True, ("--critic", "ours")),
        Arm("bc-proco", "bc", True, ("--critic", "ours", "--update_steps", "6000")),
        # What critic and policy make of the same data with their violations.
        Arm("bc-oracle", "bc", True, ("--critic", "ours", "--update_steps", "6000", "--safe_only", "false")),
        Arm("caps-stock", "caps", False),
        Arm("caps-proco", "caps", True, ("--critic", "ours")),
        Arm("caps-oracle", "caps", True, ("--critic", "ours", "--safe_only", "false")),
        # What is usual where violations were recorded: no cost function, no model.
        Arm("caps-stock-oracle", "caps", False, ("--safe_only", "false")),
        Arm("lspc-stock", "lspc", False),
        Arm("lspc-proco", "lspc", True, ("--critic", "ours")),
        Arm("cpq-stock", "cpq", False),
        Arm("cpq-proco", "cpq", True, ("--critic", "ours")),
    ],
    looking=[("bc-stock", AHEAD), (TWIN, AHEAD), ("bc-proco", AHEAD)],
    model="bc-proco",  # for the clone; that of all twins
    flags=("--preset", "laptop", "--update_steps", "3000", "--eval_every", "0", "--eval_episodes", "1"),
    first_seed=50_000,
    recorded=100,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/proof"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", default=list(IDS), choices=list(IDS), help="default: all 29")
    parser.add_argument("--arms", nargs="+", default=STUDY.names(), choices=STUDY.names(), help="default: all")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--report", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that evaluate
    for seed in () if arguments.report else arguments.seeds:
        study = replace(STUDY, first_seed=STUDY.first_seed + APART * seed)
        for name in arguments.tasks:
            kept = OF_PAPER if name in PAPER else OF_OTHERS
            if missing := study.missing(kept.read(), IDS[name], seed) & set(arguments.arms):
                kept.merge(study.rows(IDS[name], seed, arguments.out, arguments.jobs, missing))
    report()


def report() -> None:
    """Write the tables of both documents from the rows."""
    for document in DOCUMENTS:
        for rows in (OF_PAPER, OF_OTHERS):
            rows.write_into(document)


if __name__ == "__main__":
    main()
