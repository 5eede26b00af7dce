"""Every algorithm, stock and with PROCO, on four simulator tasks: `docs/algorithms/simulators.md`.

    python benchmarks/simulators.py --out runs/simulators --jobs 2

One task of Bullet, one Circle, one velocity, one navigation; recordings of the scripted drivers, safe-only and, for
the algorithms that learn from segments or from limits, also whole. The last checkpoint, 20 episodes on evaluation seeds
that no choice was made on. Goes on where it was stopped, also from the rows alone: runs whose rows are there are not
made again without `--again`. `--report` trains nothing and takes the finished runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rawrows import RawRows

from osrl_proco.algorithms import algorithms
from osrl_proco.comparison.grid import Arm, Grid, arms
from osrl_proco.comparison.rows import Row, rows_of

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "algorithms" / "simulators.md"
TASKS = (
    "OfflineBallRun-v0",
    "OfflineCarCircle-v0",
    "OfflinePointGoal1Gymnasium-v0",
    "OfflineSwimmerVelocityGymnasium-v1",
)
SAFE, WHOLE = RawRows("simulators", TASKS), RawRows("simulators-full", TASKS)
EPISODES = 100
LOSSES = """## Where PROCO loses here, and what it comes from

What a run prints before it trains, and its metrics, say most of it (seed 0; the lines are in each run's log):

- **The updates are few**, a hundredth of the published ones. CCAC earns next to nothing in either form, and where
  one of three seeds runs away the interval is as wide as the table. With 3,000 updates instead of 6,000 its twin
  violated on most tasks of another choice of tasks, with 9,000 on fewer ([CCAC](ccac.md)).
- **PointGoal1: the dynamics model is worse than standing still** at what the cost reads, the nearest hazard (a
  warning says so; danger within three steps is called with a precision of 0.04). Most labels made by it are false
  alarms.
- **TraC and PreSa label whole segments.** With the library's conservative cost functions most long segments hold a
  dangerous step somewhere: on CarCircle all 598 of TraC's, 17,104 of PreSa's 20,000. A quarter counts as safe at
  least (`--least_safe`); for TraC that made its contrast possible at all.
- **PreSa is asked for what it cannot reach**: a utility of 0.9 on three quarters of segments called unsafe is had
  only by actions far from the data's, and its multiplier goes to its cap. The policy leaves the data, on CarCircle
  also over the line. A larger `--alpha` was no better on BallCircle, CarRun and CarGoal1.
- **Swimmer**: the function calls 14 % of the safe states unsafe, the stock policies are safe as they are, and what
  the twins do to be safer costs.
"""
FLAGS = (
    "--preset", "laptop", "--update_steps", "3000", "--eval_every", "0", "--eval_episodes", "20", "--critic", "paper",
)  # fmt: skip
OWN = {  # above FLAGS
    "bc": ("--update_steps", "6000"),
    "ccac": ("--update_steps", "6000"),
    "cdt": ("--compat", "fixed", "--update_steps", "1500"),
}
BOTH = ("ccac", "trac", "presa")  # on safe-only and on whole data
FULL = "-full"  # ending of an arm's name on whole data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/simulators"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--only", nargs="+", choices=sorted(algorithms()), help="these; others keep their rows")
    parser.add_argument("--again", action="store_true", help="also runs whose rows are there")
    parser.add_argument("--report", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    wanted = [arm for arm in chosen() if not arguments.only or arm.algo in arguments.only]
    grid = Grid(wanted, TASKS, arguments.seeds, FLAGS, arguments.out, collect=EPISODES)
    there = set() if arguments.again else {(row["task"], row["arm"], row["seed"]) for row in made()}
    grid.runs = [run for run in grid.runs if (run.task, run.arm.name, run.seed) not in there]
    try:
        if not arguments.report:
            print("\n".join(grid.train(arguments.jobs)))
    finally:
        keep(row for run in grid.runs if run.finished() for row in rows_of(run))
        DOCUMENT.write_text(document())


def made() -> list[Row]:
    """All raw rows, arms as in `chosen`."""
    return [*SAFE.read(), *({**row, "arm": row["arm"] + FULL} for row in WHOLE.read())]


def keep(rows: Iterable[Row]) -> None:
    """Put runs' rows among the raw ones of their kind of data."""
    new = list(rows)
    SAFE.merge(row for row in new if not row["arm"].endswith(FULL))
    WHOLE.merge({**row, "arm": row["arm"].removesuffix(FULL)} for row in new if row["arm"].endswith(FULL))


def chosen() -> list[Arm]:
    """The arms on safe-only data, then those on whole data."""
    safe = [replace(arm, flags=OWN.get(arm.algo, ())) for arm in arms(list(algorithms()))]
    flags = {algo: (*OWN.get(algo, ()), "--safe_only", "false") for algo in BOTH}
    whole = [Arm(arm.name + FULL, arm.algo, arm.proco, flags[arm.algo]) for arm in arms(BOTH)]
    return [*safe, *whole]


def document() -> str:
    """The results page."""
    rows = made()
    first, seeds = rows[0], sorted({row["seed"] for row in rows})
    there = {(row["task"], row["arm"], row["seed"]) for row in rows}
    absent = "; ".join(gaps(there, seeds))
    note = f"\nNot run to the end yet, so not in the tables: {absent}.\n" if absent else ""
    return f"""# Results on four simulator tasks

Written by `python benchmarks/simulators.py`; the raw rows, one for each episode, are in
`benchmarks/results/simulators_<task>.csv` and `simulators-full_<task>.csv`. Machine: 2 cores, CPU; {first["versions"]}.
Data: {EPISODES} episodes of the scripted drivers for each task (`data collect`, seed 0), not DSRL's. Settings:
`--preset laptop` with fewer updates (3,000; CDT 1,500, BC and CCAC 6,000), seeds {", ".join(map(str, seeds))}, the last
checkpoint, 20 episodes with the evaluation's own seeds. Reward is in DSRL's scale, cost over 10; ± is half of the 95 %
interval over seeds (Student's t; none for one seed); bold: safe (a cost of 1 or less); clean: share of episodes without
a violation.

## Safe-only data

Every transition that touches an unsafe state is taken out.

{SAFE.table()}

## Whole data

The same recordings with their violations.

{WHOLE.table()}
{note}
{LOSSES}"""


def gaps(there: Container[tuple[str, str, int]], seeds: Sequence[int]) -> list[str]:
    """What has no rows, a phrase for each set of arms that lack the same."""
    lacking: dict[str, list[str]] = {}
    for arm in chosen():
        missing = [(task, seed) for task in TASKS for seed in seeds if (task, arm.name, seed) not in there]
        by_seed = {seed: [task for task, s in missing if s == seed] for seed in seeds}
        if len(missing) == len(TASKS) * len(seeds):
            phrase = "all"
        else:
            parts = [
                f"seed {seed} on {'all tasks' if len(tasks) == len(TASKS) else ', '.join(tasks)}"
                for seed, tasks in by_seed.items()
                if tasks
            ]
            phrase = ", ".join(parts)
        if phrase:
            lacking.setdefault(phrase, []).append(arm.name)
    return [f"{', '.join(names)} ({phrase})" for phrase, names in lacking.items()]


if __name__ == "__main__":
    main()
