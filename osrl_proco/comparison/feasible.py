"""What the critics of a comparison's runs call feasible, drawn and held against an oracle's: figures 2 and 4(b)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.files import make_folder
from .experiments import ORACLE, Experiment
from .grid import Grid, Run
from .rows import read_table, write_table
from .statistics import interval
from .tables import plus_minus

COLUMNS = ("task", "arm", "seed", "same", "missed", "false_alarm", "states", "picture")
_SHARES = ("same", "missed", "false_alarm")


def against_oracle(grid: Grid) -> list[dict[str, Any]]:
    """Draw every finished run whose oracle has finished too, into `pictures/`; the shares of the three types of each.

    Writes them into `types.csv` of the grid's folder. Raises UserError where a picture cannot be drawn.
    """
    from ..run import pictures  # loads torch

    folder = grid.out / "pictures"
    make_folder(folder, "--out")
    oracles = {(run.task, run.seed): run for run in grid.runs if run.arm.name == ORACLE.name and run.finished()}
    found: list[dict[str, Any]] = []
    for run in grid.runs:
        oracle = oracles.get((run.task, run.seed))
        if oracle is None or not run.finished():
            continue
        found.append(_one(run, oracle, pictures, folder))
    write_table(found, grid.out / "types.csv", COLUMNS)
    return found


def _one(run: Run, oracle: Run, pictures: Any, folder: Path) -> dict[str, Any]:
    out = folder / f"{run.task}-{run.folder.path.name}.png"
    try:
        pictures.feasibility(run.folder, out, oracle.folder)
    except UserError as error:
        raise UserError(f"{run.label}: {error}") from None
    (types,) = read_table(out.with_suffix(".types.csv"))
    head = {"task": run.task, "arm": run.arm.name, "seed": run.seed}
    return {**head, **{k: float(types[k]) for k in _SHARES}, "states": types["states"], "picture": out.name}


def markdown_types(experiment: Experiment, found: Sequence[dict[str, Any]]) -> str:
    """Of each task and method the mean shares over seeds, in percent."""
    lines = ["| task | method | type 1: same sign | type 2: missed | type 3: false alarm |", "|---|---|---|---|---|"]
    for task in dict.fromkeys(row["task"] for row in found):
        for column in experiment.columns:
            assert column.arm is not None
            own = [row for row in found if row["task"] == task and row["arm"] == column.arm.name]
            if not own or column.arm.name == ORACLE.name:
                continue
            shown = [plus_minus(*interval([100 * row[share] for row in own]), digits=1) for share in _SHARES]
            lines.append(f"| {task} | {column.method} | {' | '.join(f'{text} %' for text in shown)} |")
    return "\n".join(lines)
