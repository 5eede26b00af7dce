"""What a comparison leaves beside its raw rows: how each run ended, what it was, its curves.

results.csv   raw rows (rows.py)
failed.csv    every run that is not in results.csv, with the reason
curves.csv    task, arm, seed, step, metric, value: metrics.csv and the evaluations, thinned
runs.json     the command, and for each run: settings, command, end of the log, warnings

Together they are all that a report is made from; the runs' own folders are not needed any more.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.files import read_json, write_text
from ..run.folder import RunFolder
from .configuration import configuration
from .grid import Grid, Run, log_name
from .jobs import Outcome, log_lines
from .rows import Row, folder_rows, read_rows, read_table, rows_of, write_rows, write_table

FAILED = ("task", "arm", "seed", "status", "reason", "log")
CURVES = ("task", "arm", "seed", "step", "metric", "value")
_RUN = (*FAILED, "folder", "command", "configuration", "settings", "tail", "warnings")
POINTS = 100  # per curve, at most
LINES = 30  # of a log
_WARNING = re.compile(
    r"warn|clipped|changed since|has changed|is gone|not finite|another kind of device|\berror\b", re.IGNORECASE
)


@dataclass
class Record:
    """All that a report shows. runs: one dict for each run, as runs.json has them."""

    rows: list[Row] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    command: str = ""
    notices: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The runs without rows."""
        return [run for run in self.runs if run["status"] != "finished"]

    def write(self, out: Path) -> None:
        """Write the four files into `out`."""
        write_rows(self.rows, out / "results.csv")
        write_table([{k: run[k] for k in FAILED} for run in self.failed], out / "failed.csv", FAILED)
        write_table(self.curves, out / "curves.csv", CURVES)
        about = {
            "command": self.command,
            "notices": self.notices,
            "runs": [{k: run.get(k, "") for k in _RUN} for run in self.runs],
        }
        write_text(out / "runs.json", json.dumps(about, indent=1) + "\n")


def of_grid(grid: Grid, command: str) -> Record:
    """The record of a grid as it stands."""
    record = Record(command=command, notices=list(grid.notices))
    for run in grid.runs:
        rows = rows_of(run) if run.finished() else []
        record.rows += rows
        record.runs.append(_described(grid, run, bool(rows)))
        record.curves += curves_of(run.folder, run.task, run.arm.name, run.seed)
    return record


def of_folder(folder: Path) -> Record:
    """The record that lies in `folder`; where there is none, that of the runs' folders below it.

    Raises UserError where there is neither.
    """
    if (folder / "results.csv").is_file():
        about = read_json(folder / "runs.json", limit=2**31) if (folder / "runs.json").is_file() else {}
        if not isinstance(about, dict) or not isinstance(about.get("runs", []), list):
            raise UserError(f"{folder / 'runs.json'}: damaged; it must be what osrl-proco compare wrote")
        curves = read_table(folder / "curves.csv") if (folder / "curves.csv").is_file() else []
        return Record(
            read_rows(folder / "results.csv"),
            [{**dict.fromkeys(_RUN, ""), **run} for run in about.get("runs", [])],
            [_point(c, folder) for c in curves],
            str(about.get("command", "")),
            [str(n) for n in about.get("notices", [])],
        )
    record = Record()
    for file in sorted(folder.rglob("config.yaml")):
        run = RunFolder(file.parent)
        config = run.read_config()
        rows = folder_rows(run) if (run.path / "run.json").is_file() else []
        arm = f"{config['algo']}-{'proco' if config['proco'] else 'stock'}"
        task = rows[0]["task"] if rows else str(config["task"])
        seed = int(config["seed"])
        record.rows += rows
        record.curves += curves_of(run, task, arm, seed)
        status = "finished" if rows else "unfinished"
        reason = "" if rows else "no evaluation of the last update in eval.csv"
        about = {"task": task, "arm": arm, "seed": seed, "status": status, "reason": reason}
        about |= {"folder": str(run.path.relative_to(folder)), "configuration": configuration(config)}
        record.runs.append({**dict.fromkeys(_RUN, ""), **about, "settings": config, "tail": [], "warnings": []})
    if not record.runs:
        raise UserError(f"{folder}: neither results.csv nor a run's folder is there")
    return record


def _described(grid: Grid, run: Run, has_rows: bool) -> dict[str, Any]:
    outcome = grid.outcomes.get(run.label)
    log = grid.out / "logs" / f"{log_name(run)}.log"
    lines = [line.replace(f"{grid.out}/", "") for line in log_lines(log)]
    command = " ".join(run.words).replace(f"{grid.out}/", "")
    return {
        "task": run.task,
        "arm": run.arm.name,
        "seed": run.seed,
        **_ended(run, outcome, has_rows),
        "log": grid.relative(log) if log.exists() else "",
        "folder": grid.relative(run.folder.path),
        "command": f"osrl-proco train {command}",
        "configuration": configuration(run.settings),
        "settings": _portable(run.settings, f"{grid.out}/"),
        "tail": lines[-LINES:],
        "warnings": list(dict.fromkeys(line for line in lines if _WARNING.search(line) and not line.startswith("$ "))),
    }


def _ended(run: Run, outcome: Outcome | None, has_rows: bool) -> dict[str, str]:
    if has_rows:
        return {"status": "finished", "reason": ""}
    if run.finished():
        return {"status": "no episodes", "reason": "no simulator; held-out figures are in its folder's heldout.csv"}
    if outcome is None or outcome.status == "done":
        return {"status": "unfinished", "reason": "its last update has no evaluation"}
    return {"status": outcome.status, "reason": outcome.reason}


def _portable(settings: dict[str, Any], out: str) -> dict[str, Any]:
    return {k: v.replace(out, "") if isinstance(v, str) else v for k, v in settings.items()}


def _point(point: dict[str, str], folder: Path) -> dict[str, Any]:
    try:
        return {**point, "seed": int(point["seed"]), "step": int(point["step"]), "value": float(point["value"])}
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{folder / 'curves.csv'}: damaged; it must be what osrl-proco compare wrote") from None


def curves_of(folder: RunFolder, task: str, arm: str, seed: int) -> list[dict[str, Any]]:
    """Every column of metrics.csv, and the means of every evaluation, at `POINTS` steps at most."""
    head = {"task": task, "arm": arm, "seed": seed}
    metrics = folder.table("metrics.csv")
    found = [
        {**head, "step": int(row["step"]), "metric": name, "value": value}
        for row in _thinned(metrics)
        for name, text in row.items()
        if name not in ("step", "updates_per_second") and (value := _number(text)) is not None
    ]
    evaluations: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in folder.table("eval.csv"):
        evaluations[int(row["step"])].append(row)
    for step in _thinned(sorted(evaluations)):
        for name in ("normalized_reward", "normalized_cost"):
            values = [float(row[name]) for row in evaluations[step]]
            value = sum(values) / len(values)
            found.append({**head, "step": step, "metric": f"evaluation/{name}", "value": value})
    return found


def _thinned(values: Sequence[Any]) -> list[Any]:
    """`POINTS` of the values at most, evenly spread, the last one among them."""
    if len(values) <= POINTS:
        return list(values)
    return [values[round((i + 1) * len(values) / POINTS) - 1] for i in range(POINTS)]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return float(f"{value:.6g}") if math.isfinite(value) else None
