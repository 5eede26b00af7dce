"""What FISOR's twin earns and costs by how its critic is told of danger, beside `--critic ours`: docs/critic.md.

    python benchmarks/frontier.py --out runs/frontier --jobs 2

Safe-only data, the last checkpoint, 20 episodes; a training seed and evaluation seeds that docs/proof.md does not
report. Goes on where it was stopped.
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
OURS = ("--critic", "ours")
LABEL = (*OURS, "--graded", "none", "--h_of", "left")
STUDY = Unwatched(
    arms=[
        Arm("label", "fisor", True, LABEL),
        Arm("reached", "fisor", True, (*LABEL, "--h_of", "reached")),
        Arm("expectile-.7", "fisor", True, (*LABEL, "--expectile", "0.7")),
        Arm("tau-.02", "fisor", True, (*LABEL, "--feasibility_tau", "0.02")),
        Arm("all", "fisor", True, (*OURS, "--graded", "all")),
        Arm("ours", "fisor", True, OURS),
        # FISOR's temperature of 5 is for an h between -1 and 25: the same weights for another range.
        Arm("ours-100", "fisor", True, (*OURS, "--h_max", "100", "--cost_temperature", "1.29")),
        Arm("ours-.7", "fisor", True, (*OURS, "--expectile", "0.7")),
        Arm("caution-.3", "fisor", True, (*OURS, "--caution", "0.3")),
        Arm("caution-.6", "fisor", True, (*OURS, "--caution", "0.6")),
    ],
    looking=[],
    model="ours",
    flags=("--preset", "laptop", "--update_steps", "3000", "--eval_every", "0", "--eval_episodes", "1"),
    first_seed=40_000,
    recorded=100,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/frontier"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    parser.add_argument("--tasks", nargs="+", default=list(IDS), choices=list(IDS))
    parser.add_argument("--arms", nargs="+", default=STUDY.names(), choices=STUDY.names(), help="default: all")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that evaluate
    for seed in arguments.seeds:
        for name in arguments.tasks:
            if missing := STUDY.missing(ROWS.read(), IDS[name], seed) & set(arguments.arms):
                ROWS.merge(STUDY.rows(IDS[name], seed, arguments.out, arguments.jobs, missing))
    print(markdown(ROWS.read()))


if __name__ == "__main__":
    main()
