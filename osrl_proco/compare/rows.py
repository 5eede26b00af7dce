"""Raw rows: one for every evaluation episode of a run's last checkpoint, with all that is needed to judge it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core.files import write_text
from .grid import Run

COLUMNS = (
    "task", "arm", "algorithm", "proco", "compat", "preset", "seed", "step", "episode_seed", "return", "cost", "length",
    "normalized_reward", "normalized_cost", "settings_sha256", "commit", "torch",
)  # fmt: skip


def rows_of(run: Run) -> list[dict[str, Any]]:
    """The episodes of a finished run's last evaluation."""
    facts, config = run.folder.facts(), run.folder.read_config()
    last = str(config["update_steps"])
    return [
        {
            "task": run.task,
            "arm": run.arm.name,
            "algorithm": facts["algorithm"],
            "proco": facts["proco"],
            "compat": facts["compat"],
            "preset": facts["preset"],
            "seed": run.seed,
            "step": int(last),
            "episode_seed": int(row["seed"]),
            "return": float(row["ret"]),
            "cost": float(row["cost"]),
            "length": int(row["length"]),
            "normalized_reward": float(row["normalized_reward"]),
            "normalized_cost": float(row["normalized_cost"]),
            "settings_sha256": facts["settings_sha256"],
            "commit": facts["commit"],
            "torch": facts["versions"].get("torch", ""),
        }
        for row in run.folder.table("eval.csv")
        if row["step"] == last
    ]


def write_rows(rows: Iterable[dict[str, Any]], file: Path) -> None:
    """Write raw rows as a CSV, whole or not at all."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(file, out.getvalue())


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Raw rows from a CSV, numbers as numbers."""
    numbers = {"return", "cost", "normalized_reward", "normalized_cost"}
    whole = {"seed", "step", "episode_seed", "length"}
    with file.open(newline="") as handle:
        return [
            {k: float(v) if k in numbers else int(v) if k in whole else v for k, v in row.items()}
            for row in csv.DictReader(handle)
        ]
