"""FISOR with the feasibility critics of `--critic`, on the embedded tasks and in simulators: docs/critic.md.

    python benchmarks/critics.py --out runs/critics --jobs 2
    python benchmarks/critics.py --out runs/critics --jobs 2 --simulators

Safe-only data, the last checkpoint; seeds that no other table reports, in simulators also of the evaluation. Goes on
where it was stopped, also from the rows alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from algorithms import FLAGS, TASKS
from rawrows import RawRows
from unwatched import Unwatched

from osrl_proco.comparison.grid import Arm, Grid
from osrl_proco.comparison.rows import rows_of
from osrl_proco.comparison.tables import markdown
from osrl_proco.tasks.task import load_task

RAW = RawRows("critics", TASKS)
# 5 x 26 / 2: FISOR's published temperature is for an h between -1 and 25, a graded one lies between -1 and 1.
GRADED = ("--critic", "graded", "--cost_temperature", "65")
ARMS = [
    Arm("paper", "fisor", True, ("--critic", "paper")),
    Arm("ours", "fisor", True, ("--critic", "ours")),
    Arm("graded", "fisor", True, GRADED),
    Arm("graded-allowed", "fisor", True, (*GRADED, "--caution", "0.1", "--select", "allowed")),
]
SIMULATORS = Unwatched(
    arms=ARMS,
    looking=[],
    model="ours",
    flags=("--preset", "laptop", "--update_steps", "3000", "--eval_every", "0", "--eval_episodes", "1"),
    first_seed=40_000,
    recorded=100,
)
SIMULATED = RawRows("critics-simulators", tuple(load_task(name).id for name in ("BallCircle", "PointCircle1")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/critics"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 7 8 9; in simulators 7")
    parser.add_argument("--simulators", action="store_true", help="BallCircle and PointCircle1")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    if arguments.simulators:
        for seed in arguments.seeds or [7]:
            for task in SIMULATED.tasks:
                if missing := SIMULATORS.missing(SIMULATED.read(), task, seed):
                    SIMULATED.merge(SIMULATORS.rows(task, seed, arguments.out, arguments.jobs, missing))
        print(markdown(SIMULATED.read()))
        return
    for seed in arguments.seeds or [7, 8, 9]:
        for task in RAW.tasks:
            there = {row["arm"] for row in RAW.read() if (row["task"], row["seed"]) == (task, seed)}
            grid = Grid([arm for arm in ARMS if arm.name not in there], [task], [seed], FLAGS, arguments.out)
            print("\n".join(grid.train(arguments.jobs)))
            RAW.merge(row for run in grid.runs if run.finished() for row in rows_of(run))
    print(markdown(RAW.read()))


if __name__ == "__main__":
    main()
