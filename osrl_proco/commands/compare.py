"""`osrl-proco compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core.errors import UserError


def main(argv: list[str]) -> int:
    """Train algorithms x tasks x seeds, or reuse what is there; write one table, one page, all raw rows."""
    parser = argparse.ArgumentParser(
        prog="osrl-proco compare",
        description="Train every algorithm on every task with every seed, and write DIR/results.csv (a row for each "
        "evaluation episode), table.md, table.tex and report.html, which opens offline. Finished runs are reused and "
        "interrupted ones resumed: after Ctrl-C or a crash, give the same command again. Any other flag is one of "
        "osrl-proco train, and goes to every run; {task} in a value becomes the task "
        "(--dataset 'data/{task}.hdf5').",
        allow_abbrev=False,
    )
    parser.add_argument("--algos", required=True, metavar="A,B", help="algorithms (osrl-proco train --help lists them)")
    parser.add_argument("--tasks", required=True, metavar="A,B", help="task ids, short names or YAML files")
    parser.add_argument("--seeds", default="0,1,2", metavar="0,1", help="training seeds, also 0-4 (default: 0,1,2)")
    parser.add_argument(
        "--stock", default="both", metavar="both|only|no", help="stock algorithms beside, or instead of, PROCO's"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for all of it")
    add_engine(parser)
    parser.add_argument(
        "--collect",
        type=int,
        default=0,
        metavar="N",
        help="where DSRL's dataset of a task is not on this machine, record N episodes once into DIR/data instead of "
        "downloading it (default: 0, download)",
    )
    arguments, flags = parser.parse_known_args(argv)

    from ..comparison.ask import default_flags, fitted, listed, seeds, spoken
    from ..comparison.execute import engine_of, execute
    from ..comparison.grid import Grid, arms

    if arguments.collect < 0:
        raise UserError(f"--collect: {arguments.collect} must not be negative")
    common = default_flags(flags)
    chosen, said = fitted(arms(listed(arguments.algos, "--algos"), arguments.stock), flags)
    tasks = listed(arguments.tasks, "--tasks")
    grid = Grid(chosen, tasks, seeds(arguments.seeds), common, arguments.out, arguments.collect)
    grid.notices += said
    engine = engine_of(arguments.engine, arguments.jobs, arguments.gpus)
    return execute(grid, engine, spoken(["compare", *argv]), "osrl-proco compare")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """The flags that say where runs run."""
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default: one for each core)")
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local: processes of this machine (default). ray: a Ray cluster, all nodes of which see DIR under the "
        "same path; runs whose worker is lost go on from their checkpoints on another",
    )
    parser.add_argument("--gpus", type=float, default=0.0, metavar="G", help="with ray: GPUs of each run (default: 0)")
