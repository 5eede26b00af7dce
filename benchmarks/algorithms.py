"""Every algorithm, stock and with PROCO, on the embedded tasks: `docs/algorithms/results.md`.

    python benchmarks/algorithms.py --out runs/algorithms --jobs 2

Safe-only data, the last checkpoint, 50 episodes on evaluation seeds that no choice was made on. Goes on where it was
stopped; `--report` makes table and document again from the raw rows in benchmarks/results/algorithms_*.csv.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rawrows import RawRows

from osrl_proco.algorithms import algorithms
from osrl_proco.comparison.grid import Arm, Grid, arms
from osrl_proco.comparison.rows import Row, rows_of
from osrl_proco.comparison.tables import markdown

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "algorithms" / "results.md"
TASKS = ("OfflineBrake-v0", "OfflinePointRobot-v0")
RAW = RawRows("algorithms", TASKS)
LONG = ("bcql", "cpq", "bearl")
FLAGS = ("--preset", "laptop", "--update_steps", "3000", "--eval_every", "0", "--eval_episodes", "50")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/algorithms"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--only", nargs="+", choices=sorted(algorithms()), help="these; others keep their rows")
    parser.add_argument("--report", action="store_true", help="train nothing: table and document from the raw rows")
    arguments = parser.parse_args()
    if not arguments.report:
        wanted = set(arguments.only or algorithms())
        grids = [
            Grid([arm for arm in group if arm.algo in wanted], TASKS, arguments.seeds, FLAGS, arguments.out)
            for group in chosen()
        ]
        for grid in grids:
            print("\n".join(grid.train(arguments.jobs)))
            RAW.merge(row for run in grid.runs if run.finished() for row in rows_of(run))
    rows = RAW.read()
    DOCUMENT.write_text(document(rows))
    print(markdown(rows))


def chosen() -> list[list[Arm]]:
    """Every algorithm's arms, BC also in its mode `safe`; those that take longest apart, last."""
    # As released CDT stops on data without costs, in one line (docs/algorithms/cdt.md).
    cdt = [replace(arm, flags=("--compat", "fixed", "--update_steps", "1500")) for arm in arms(["cdt"])]
    safe = [Arm(f"{arm.name}-safe", "bc", arm.proco, ("--bc_mode", "safe")) for arm in arms(["bc"])]
    ccac = [replace(arm, flags=("--update_steps", "6000")) for arm in arms(["ccac"])]  # half of them its critic alone
    quick = [name for name in algorithms() if name not in ("ccac", "cdt", *LONG)]
    return [[*arms(quick), *ccac, *safe, *cdt], arms(LONG)]


def document(rows: list[Row]) -> str:
    """The results page."""
    first = rows[0]
    there = {row["arm"] for row in rows}
    absent = [arm.name for arms in chosen() for arm in arms if arm.name not in there]
    note = f"\nNot run to the end yet, so not in the table: {', '.join(absent)}.\n" if absent else ""
    seeds = sorted({row["seed"] for row in rows})
    steps = " or ".join(f"{s:,}" for s in sorted({row["step"] for row in rows}))
    return f"""# Results on the embedded tasks

Written by `python benchmarks/algorithms.py`; the raw rows, one for each episode, are in
`benchmarks/results/algorithms_<task>.csv`. Machine: 2 cores, CPU;
{first["versions"]}. Data: the tasks' own recordings, every transition that touches an unsafe state taken out.
Settings: `--preset laptop` ({steps} updates), seeds {", ".join(map(str, seeds))}, the last
checkpoint, 50 episodes with the evaluation's own seeds. Reward and cost are normalised (cost over 10); ± is half of the
95 % interval over seeds (Student's t); bold: safe (a cost of 1 or less); clean: share of episodes without a violation.

{RAW.table()}
{note}"""


if __name__ == "__main__":
    main()
