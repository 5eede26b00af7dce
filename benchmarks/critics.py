"""FISOR with the paper's feasibility critic and with ours, on the embedded tasks: docs/critic.md.

    python benchmarks/critics.py --out runs/critics --jobs 2

Safe-only data, the last checkpoint, 50 episodes; seeds that no other table reports. Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from algorithms import FLAGS, TASKS
from rawrows import RESULTS, short

from osrl_proco.comparison.grid import Arm, Grid
from osrl_proco.comparison.rows import rows_of, write_rows
from osrl_proco.comparison.tables import markdown

RAW = RESULTS / "critics.csv"
# 5 x 26 / 2: FISOR's published temperature is for an h between -1 and 25, ours lies between -1 and 1.
OURS = ("--critic", "ours", "--cost_temperature", "65")
ARMS = [
    Arm("paper", "fisor", True, ("--critic", "paper")),
    Arm("ours", "fisor", True, OURS),
    Arm("ours-allowed", "fisor", True, (*OURS, "--caution", "0.1", "--select", "allowed")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/critics"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    grid = Grid(ARMS, TASKS, arguments.seeds, FLAGS, arguments.out)
    print("\n".join(grid.train(arguments.jobs)))
    rows = [short(row) for run in grid.runs if run.finished() for row in rows_of(run)]
    write_rows(rows, RAW)
    print(markdown(rows))


if __name__ == "__main__":
    main()
