"""What reward FISOR's twin pays for what cost, by how bad a violation is to its critic (h_max): docs/critic.md.

    python benchmarks/frontier.py --out runs/frontier --jobs 2

Safe-only data, the last checkpoint, 20 episodes; a training seed and evaluation seeds that no other table reports, so
that the choice of h_max is not made on what docs/proof.md shows. Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rawrows import RawRows
from unwatched import Unwatched

from osrl_proco.comparison.grid import Arm
from osrl_proco.comparison.tables import markdown
from osrl_proco.tasks.task import load_task

IDS = {name: load_task(name).id for name in ("PointGoal1", "CarGoal1", "PointCircle1", "CarCircle1")}
ROWS = RawRows("frontier", tuple(IDS.values()))
READS = ("--label", "margin", "--reads", "margins")


def _twin(h_max: int) -> Arm:
    """FISOR's temperature of 5 is for an h between -1 and 25: the same weights for another range."""
    return Arm(f"h_max {h_max}", "fisor", True,
               (*READS, "--h_max", str(h_max), "--cost_temperature", f"{5 * 26 / (h_max + 1):g}"))  # fmt: skip


STUDY = Unwatched(
    arms=[_twin(h_max) for h_max in (1, 4, 10, 25)],
    looking=[],
    model="h_max 25",
    flags=("--preset", "laptop", "--update_steps", "3000", "--eval_every", "0", "--eval_episodes", "1"),
    first_seed=40_000,
    recorded=100,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/frontier"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    parser.add_argument("--tasks", nargs="+", default=list(IDS), choices=list(IDS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that evaluate
    for seed in arguments.seeds:
        for name in arguments.tasks:
            if missing := STUDY.missing(ROWS.read(), IDS[name], seed):
                ROWS.merge(STUDY.rows(IDS[name], seed, arguments.out, arguments.jobs, missing))
    print(markdown(ROWS.read()))


if __name__ == "__main__":
    main()
