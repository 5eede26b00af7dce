"""The folder of a run: config.yaml, metrics.csv, eval.csv, checkpoint/. Nothing is ever left half-written."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from ..core.errors import UserError, first_line
from ..evaluation.episodes import Episode
from .config import ProcoConfig

_TABLES = ("metrics.csv", "eval.csv", "heldout.csv")


class RunFolder:
    """Reads and writes one run's files under `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint" / "state.pt"
        self.dynamics = self.path / "checkpoint" / "dynamics.pt"

    def create(self, config: ProcoConfig) -> None:
        """Make the folder and write config.yaml. Raises UserError if a run is there already."""
        if self.checkpoint.exists():
            raise UserError(
                f"{self.path}: holds a run already; continue it with --resume {self.path}, or choose another --logdir"
            )
        try:
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--logdir {self.path}: {error.strerror}") from None
        for stale in _TABLES:
            (self.path / stale).unlink(missing_ok=True)
        _write(self.path / "config.yaml", yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))

    def read_config(self) -> dict[str, Any]:
        """The flags of the run as a dict. Raises UserError if this is no run folder."""
        file = self.path / "config.yaml"
        if not file.is_file():
            raise UserError(f"{self.path}: no run here (config.yaml is missing)")
        try:
            config = yaml.safe_load(file.read_text())
        except yaml.YAMLError:
            config = None
        if not isinstance(config, dict) or "algo" not in config:
            raise UserError(f"{file}: damaged; it must be the config.yaml that osrl-proco train wrote")
        return config

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint, whole or not at all; a full disk leaves the previous one as it was."""
        partial = self.checkpoint.with_suffix(".partial")
        try:
            torch.save(state, partial)
            partial.replace(self.checkpoint)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            raise UserError(
                f"{self.checkpoint}: could not write the checkpoint ({first_line(error)}); "
                "the previous one is kept: free some space and --resume"
            ) from None

    def load(self, algo: str, device: str) -> dict[str, Any]:
        """The checkpoint. Raises UserError if it is missing, damaged, or another algorithm's."""
        if not self.checkpoint.is_file():
            raise UserError(f"{self.checkpoint}: no such checkpoint; was the run stopped before its first one?")
        try:
            # weights_only=False: our own file, and NumPy's and Python's random states are not weights.
            state = torch.load(self.checkpoint, map_location=device, weights_only=False)
            found = state["algo"]
        except Exception as error:
            raise UserError(f"{self.checkpoint}: damaged checkpoint ({first_line(error)})") from None
        if found != algo:
            raise UserError(f"{self.checkpoint}: a checkpoint of {found!r}, not of {algo!r}")
        return state

    def append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows to `name` (a CSV); its header is that of the first row ever written."""
        file = self.path / name
        rows = list(rows)
        fresh = not file.exists()
        with file.open("a", newline="") as handle:
            writer = csv.DictWriter(handle, _header(file) or list(rows[0]), restval="", extrasaction="ignore")
            if fresh:
                writer.writeheader()
            writer.writerows(rows)

    def append_episodes(self, name: str, step: int, episodes: list[Episode]) -> None:
        """One row per episode."""
        self.append(name, [{"step": step, **dataclasses.asdict(e)} for e in episodes])

    def drop_after(self, step: int) -> None:
        """Forget the CSV rows of updates after `step`, which a resumed run will write again."""
        for name in _TABLES:
            file = self.path / name
            if file.exists():
                header, *rows = file.read_text().splitlines(keepends=True)
                kept = [row for row in rows if row.endswith("\n") and int(row.split(",", 1)[0]) <= step]
                _write(file, "".join([header, *kept]))


def _header(file: Path) -> list[str] | None:
    if not file.exists() or file.stat().st_size == 0:
        return None
    with file.open(newline="") as handle:
        return next(csv.reader(handle))


def _write(file: Path, text: str) -> None:
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_text(text)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{file}: {error.strerror}") from None
