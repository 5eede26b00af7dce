"""Train a grid, write its report, and say in the end what was done; also after Ctrl-C."""

from __future__ import annotations

import os

from ..core.errors import UserError
from .grid import Grid
from .jobs import Engine
from .record import of_grid
from .report import write_report

INTERRUPTED = 130


def engine_of(name: str, jobs: int | None, gpus: float = 0.0) -> Engine:
    """The engine called `local` or `ray`; `jobs` at a time (default: one for each core, or as many as Ray has)."""
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs: {jobs} must be 1 or more")
    if name == "ray":
        from .on_ray import RayEngine

        return RayEngine(jobs or 10_000, gpus)
    from .local import LocalEngine

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return LocalEngine(jobs or cores)


def execute(grid: Grid, engine: Engine, command: str, title: str) -> int:
    """Do what is missing, write everything into the grid's folder; the exit status.

    0: every run has finished. 1: some failed (they are listed). 130: interrupted, with checkpoints.
    """
    missing = grid.missing()
    resumed = sum(run.started() for run in missing)
    print(
        f"{len(grid.runs)} runs: {len(grid.runs) - len(missing)} finished before and reused, {resumed} to resume, "
        f"{len(missing) - resumed} to train"
    )
    for line in grid.notices:
        print(line)
    for task, source in grid.datasets.sources.items():
        print(f"Data of {task}: {source}")
    interrupted = False
    failed: list[str] = []
    try:
        failed = grid.train(engine=engine)
    except KeyboardInterrupt:
        interrupted = True
    record = of_grid(grid, command)
    said = write_report(record, grid.out, title)
    for line in (*failed, *said):
        print(line)
    print(f"{len(grid.runs) - len(record.failed)} of {len(grid.runs)} runs are in {grid.out / 'results.csv'}")
    if interrupted:
        print(f"Stopped; the runs have checkpoints. Go on with: {command}")
        return INTERRUPTED
    if record.failed:
        print(f"The others, and why: {grid.out / 'failed.csv'}. Try them again with the same command.")
    if (grid.out / "report.html").exists():
        print(f"Open {grid.out / 'report.html'}")
    return 1 if record.failed else 0
