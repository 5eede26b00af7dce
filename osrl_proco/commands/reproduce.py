"""`osrl-proco reproduce`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core.errors import UserError
from .compare import add_engine

EPISODES = 300  # that scripted drivers record where DSRL's data are not here


def main(argv: list[str]) -> int:
    """Run what a table of the paper needs, and print ours beside the paper's."""
    parser = argparse.ArgumentParser(
        prog="osrl-proco reproduce",
        description="Run what a table of the paper needs, and print our numbers beside the paper's, cell by cell, with "
        "what differs. DSRL's data where they are on this machine, else recordings of scripted drivers. Runs go on "
        "where they were stopped. Any other flag is one of osrl-proco train, and goes to every run.",
        allow_abbrev=False,
    )
    parser.add_argument("table", help="table1, table4, table5, table6, table7, table9, table10, fig2, fig4b or fig5")
    parser.add_argument("--tasks", metavar="A,B", help="tasks (default: the paper's)")
    parser.add_argument("--seeds", default="0,1,2", metavar="0,1", help="training seeds (default: 0,1,2)")
    parser.add_argument(
        "--preset", choices=("laptop", "paper"), default="laptop", help="sizes and steps (default: laptop)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder (default: runs/reproduce/TABLE)")
    parser.add_argument(
        "--collect", type=int, default=EPISODES, metavar="N", help="episodes to record per task (default: 300)"
    )
    parser.add_argument("--report", action="store_true", help="run nothing: only what --out has already")
    add_engine(parser)
    arguments, flags = parser.parse_known_args(argv)

    from ..comparison import beside as side
    from ..comparison.ask import default_flags, fitted, listed, seeds, spoken
    from ..comparison.execute import INTERRUPTED, engine_of, execute
    from ..comparison.experiments import experiment
    from ..comparison.feasible import against_oracle, markdown_types
    from ..comparison.grid import Grid
    from ..comparison.record import of_folder
    from ..core.files import write_text

    chosen = experiment(arguments.table)
    if arguments.collect < 1:
        raise UserError(f"--collect: {arguments.collect} must be 1 or more")
    out = arguments.out or Path("runs") / "reproduce" / chosen.name
    tasks = listed(arguments.tasks, "--tasks") if arguments.tasks else list(chosen.tasks)
    arms, said = fitted(chosen.arms, flags)
    common = ["--preset", arguments.preset, *default_flags(flags)]
    grid = Grid(arms, tasks, seeds(arguments.seeds), common, out, arguments.collect)
    grid.notices += said
    status = 0
    if not arguments.report:
        engine = engine_of(arguments.engine, arguments.jobs, arguments.gpus)
        status = execute(grid, engine, spoken(["reproduce", *argv]), f"{chosen.name}: {chosen.title}")
    record = of_folder(out)
    found = side.beside(chosen, record.rows, tasks)
    side.write_beside(found, out / "beside_the_paper.csv")
    differs = "\n".join(f"- {line}" for line in side.differences(chosen, record.rows, grid.datasets.sources))
    parts = [side.markdown_beside(chosen, found)]
    if chosen.critics:
        parts.append(markdown_types(chosen, against_oracle(grid)))
    text = "\n\n".join([*parts, "What differs from the paper:", differs]) + "\n"
    write_text(out / "beside_the_paper.md", text)
    print(text)
    if status == INTERRUPTED:
        print(f"Interrupted; go on with: {spoken(['reproduce', *argv])}")
    return status
