"""Raw rows: one for every evaluation episode of a run's last checkpoint, with all that is needed to judge it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.files import read_text, write_text
from ..run.folder import RunFolder
from .configuration import configuration
from .grid import Run

# return, cost: undiscounted sums over the episode. configuration: a hash of every setting but the seed. data: of the
# transitions trained on. step: updates made.
COLUMNS = (
    "task", "arm", "algorithm", "mode", "seed", "step", "episode_seed", "return", "cost", "normalized_reward",
    "normalized_cost", "length", "compat", "preset", "configuration", "data", "commit", "versions",
)  # fmt: skip
_NUMBERS = ("return", "cost", "normalized_reward", "normalized_cost")
_WHOLE = ("seed", "step", "episode_seed", "length")
Row = dict[str, Any]


def rows_of(run: Run) -> list[Row]:
    """The episodes of a finished run's last evaluation."""
    return folder_rows(run.folder, run.arm.name)


def folder_rows(folder: RunFolder, arm: str | None = None) -> list[Row]:
    """The same of any run's folder; `arm`: what tables call it (default: algorithm and mode)."""
    facts, config = folder.facts(), folder.read_config()
    last = str(config["update_steps"])
    try:
        mode = "proco" if facts["proco"] else "stock"
        head = {
            "task": facts["task"]["id"],
            "arm": arm or f"{facts['algorithm']}-{mode}",
            "algorithm": facts["algorithm"],
            "mode": mode,
            "seed": int(config["seed"]),
            "step": int(last),
        }
        tail = {
            "compat": facts["compat"],
            "preset": facts["preset"],
            "configuration": configuration(config),
            "data": facts["data"]["sha256"][:16],
            "commit": facts["commit"][:12],
            "versions": "; ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        }
        return [
            {
                **head,
                "episode_seed": int(row["seed"]),
                "return": float(row["ret"]),
                "cost": float(row["cost"]),
                "normalized_reward": float(row["normalized_reward"]),
                "normalized_cost": float(row["normalized_cost"]),
                "length": int(row["length"]),
                **tail,
            }
            for row in folder.table("eval.csv")
            if row["step"] == last
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder.path}: run.json or eval.csv is damaged ({error}); they must be what osrl-proco train wrote"
        ) from None


def write_rows(rows: Iterable[Row], file: Path) -> None:
    """Write raw rows as a CSV, whole or not at all."""
    write_table(rows, file, COLUMNS)


def write_table(rows: Iterable[Mapping[str, Any]], file: Path, columns: Sequence[str]) -> None:
    """Write any rows as a CSV, whole or not at all."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(file, out.getvalue())


def read_rows(file: Path) -> list[Row]:
    """Raw rows from a CSV, numbers as numbers. Raises UserError for a file that is not such a CSV."""
    rows = read_table(file)
    lacking = [c for c in COLUMNS if rows and c not in rows[0]]
    if lacking:
        raise UserError(f"{file}: no column {', '.join(lacking)}; raw rows are what osrl-proco compare writes")
    return [_typed(row, file, number) for number, row in enumerate(rows, start=2)]


def read_table(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV as text."""
    try:
        return list(csv.DictReader(io.StringIO(read_text(file, limit=2**31), newline="")))
    except csv.Error as error:
        raise UserError(f"{file}: not a CSV ({error})") from None


def _typed(row: dict[str, str], file: Path, line: int) -> Row:
    try:
        numbers = {k: float(row[k]) for k in _NUMBERS}
        if any(v != v or v in (float("inf"), float("-inf")) for v in numbers.values()):
            raise ValueError("a score is not finite")
        return {**row, **numbers, **{k: int(row[k]) for k in _WHOLE}}
    except (TypeError, ValueError) as error:
        raise UserError(f"{file}, line {line}: {error}; raw rows are what osrl-proco compare writes") from None
