"""Which settings of FISOR's twin, and how far to look ahead: `docs/choice.md`.

    python benchmarks/choice.py --out runs/choice --jobs 2

On a training seed and on evaluation seeds that docs/proof.md does not report, one task of each kind. Otherwise as
benchmarks/proof.py: safe-only recordings, the last checkpoint, resumable from the rows.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rawrows import RawRows
from unwatched import Unwatched

from osrl_proco.comparison.grid import Arm
from osrl_proco.tasks.task import load_task

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "choice.md"
IDS = {name: load_task(name).id for name in ("BallCircle", "PointCircle1", "CarGoal1", "HopperVelocity")}
ROWS = RawRows("choice", tuple(IDS.values()))
OURS = ("--critic", "ours", "--cost_temperature", "65")
STUDY = Unwatched(
    arms=[
        Arm("bc-stock", "bc", False, ("--update_steps", "6000")),
        Arm("paper", "fisor", True),
        Arm("ours", "fisor", True, OURS),
        Arm("ours-allowed", "fisor", True, (*OURS, "--caution", "0.1", "--select", "allowed")),
    ],
    looking=[
        ("bc-stock", 5), ("bc-stock", 15), ("paper", 5), ("paper", 15),
        ("ours", 5), ("ours", 15), ("ours-allowed", 5), ("ours-allowed", 15),
    ],
    model="ours",
    flags=("--preset", "laptop", "--update_steps", "3000", "--eval_every", "0", "--eval_episodes", "1"),
    first_seed=40_000,
    recorded=100,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/choice"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    parser.add_argument("--tasks", nargs="+", default=list(IDS), choices=list(IDS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that evaluate
    for seed in arguments.seeds:
        for name in arguments.tasks:
            if not STUDY.done(ROWS.read(), IDS[name], seed):
                ROWS.merge(STUDY.rows(IDS[name], seed, arguments.out, arguments.jobs))
                print(ROWS.table(), flush=True)


if __name__ == "__main__":
    main()
