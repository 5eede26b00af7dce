"""Ours beside the paper's, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..tasks.task import load_task, task_file
from .experiments import Experiment, paper_numbers
from .rows import write_table
from .statistics import Cell, cells
from .tables import plus_minus

COLUMNS = (
    "table", "task", "method", "metric", "ours", "ours_interval", "seeds", "paper", "paper_std", "difference", "note",
)  # fmt: skip
_METRICS = ("reward", "cost")


def beside(experiment: Experiment, rows: Sequence[dict[str, Any]], tasks: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each task, method and metric; an empty cell for what we have not run, or the paper has not.

    Args:
        tasks: as given: ids, short names or files.
    """
    paper = paper_numbers(experiment.table)
    found: list[dict[str, Any]] = []
    for task in tasks:
        short, known = task_file(task).stem, load_task(task).id
        for column in experiment.columns:
            cell = _ours(column.arm.name if column.arm else None, column.seed, known, rows)
            note = column.why if column.arm is None else "" if cell else "no finished run"
            for metric in _METRICS:
                theirs = paper.get((short, column.method, metric))
                mine = _values(cell, metric)
                found.append(
                    {
                        "table": experiment.name,
                        "task": short,
                        "method": column.method,
                        "metric": metric,
                        **mine,
                        "paper": "" if theirs is None else theirs[0],
                        "paper_std": "" if theirs is None or theirs[1] is None else theirs[1],
                        "difference": round(mine["ours"] - theirs[0], 4) if theirs and cell else "",
                        "note": note,
                    }
                )
    return found


def _ours(arm: str | None, seed: int | None, task: str, rows: Sequence[dict[str, Any]]) -> Cell | None:
    own = [r for r in rows if r["task"] == task and r["arm"] == arm]
    if seed is not None:
        seeds = list(dict.fromkeys(r["seed"] for r in own))
        own = [r for r in own if seed < len(seeds) and r["seed"] == seeds[seed]]
    return cells(own)[(task, str(arm))] if own else None


def _values(cell: Cell | None, metric: str) -> dict[str, Any]:
    if cell is None:
        return {"ours": "", "ours_interval": "", "seeds": ""}
    mean, half = (cell.reward, cell.reward_interval) if metric == "reward" else (cell.cost, cell.cost_interval)
    return {"ours": round(mean, 4), "ours_interval": "" if half != half else round(half, 4), "seeds": cell.seeds}


def write_beside(found: Iterable[Mapping[str, Any]], file: Path) -> None:
    """Write the rows of `beside` as a CSV."""
    write_table(found, file, COLUMNS)


def markdown_beside(experiment: Experiment, found: Sequence[dict[str, Any]]) -> str:
    """A table for each task: every method's reward and cost, ours and the paper's (± its deviation over seeds)."""
    lines = [f"## {experiment.name}: {experiment.title}", ""]
    lines += ["| task | method | reward: ours | paper | cost: ours | paper | |", "|---|---|---|---|---|---|---|"]
    for reward, cost in zip(found[::2], found[1::2], strict=True):
        parts = [reward["task"], reward["method"]]
        for row in (reward, cost):
            parts += [_shown(row["ours"], row["ours_interval"]), _shown(row["paper"], row["paper_std"])]
        lines.append("| " + " | ".join([*parts, reward["note"]]) + " |")
    return "\n".join(lines)


def _shown(mean: Any, half: Any) -> str:
    if mean == "":
        return ""
    return plus_minus(mean, float("nan") if half == "" else half)


def differences(experiment: Experiment, rows: Sequence[dict[str, Any]], sources: Mapping[str, str]) -> list[str]:
    """Plain sentences: what is not as in the paper."""
    steps = sorted({r["step"] for r in rows})
    presets = sorted({r["preset"] for r in rows})
    versions = sorted({r["versions"] for r in rows})
    said = [f"data of {task}: {source}" for task, source in sources.items()]
    if rows:
        said.append(f"updates: {', '.join(f'{s:,}' for s in steps)} (preset {', '.join(presets)}; paper: full length)")
        said.append(f"simulator and libraries: {' | '.join(versions)}")
        seeds = len({r["seed"] for r in rows})
        said.append(f"seeds: {seeds} (paper: 3); ± is half of our 95 % interval, and the paper's standard deviation")
    said.append("cost functions: the library's, written by hand (paper: written by a language model)")
    return [*said, *experiment.differs]
