"""The folder of a run. Nothing in it is ever left half-written, and nothing in it is ever executed.

config.yaml             the settings, all of them
run.json                what it was made from: hashes of data, task and cost function; versions; commit
task.yaml, cost.py      copies of the task file and the cost function
metrics.csv, eval.csv   tables (heldout.csv where no episode can be run)
checkpoint/             state.pt and the dynamics model
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..core.errors import UserError
from ..core.files import make_folder, read_json, read_mapping, read_text, reason, write_text
from ..core.processor import processor
from .config import ProcoConfig

TABLES = ("metrics.csv", "eval.csv", "heldout.csv")
# What runs did by settings that came later, of every algorithm and of one.
BEFORE: dict[str, dict[str, Any]] = {
    "any": {
        "hold": 1,
        "recover": None,
        "recover_where": "action",
        "recover_by": "critic",
        "cuda_graph": False,
        "dynamics_loss": "plain",
        "dynamics_margins": "networks",
    },
    **{algo: {"standardise": False} for algo in ("fisor", "lspc", "caps")},
}


class RunFolder:
    """Reads and writes one run's files under `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint" / "state.pt"
        self.dynamics = self.path / "checkpoint" / "dynamics.pt"
        self.task = self.path / "task.yaml"
        self.cost = self.path / "cost.py"

    # ---- the run itself ----------------------------------------------------------------------------------------

    def refuse_a_run(self) -> None:
        """Raise UserError if a run is there already."""
        if self.checkpoint.exists():
            raise UserError(
                f"{self.path}: holds a run already; continue it with --resume {self.path}, or choose another --logdir"
            )

    def create(self, config: ProcoConfig, facts: Mapping[str, Any], task: str, cost: str | None) -> None:
        """Make the folder (and drop what a run that never reached a checkpoint left), and write what the run is.

        Args:
            facts: run.json.
            task, cost: texts of the task file and of the cost function (None: stock, which has none).
        """
        self.refuse_a_run()
        make_folder(self.checkpoint.parent, "--logdir")
        for stale in (*TABLES, "cost.py"):
            (self.path / stale).unlink(missing_ok=True)
        write_text(self.task, task)
        if cost is not None:
            write_text(self.cost, cost)
        write_text(self.path / "run.json", json.dumps(facts, indent=1) + "\n")
        self.write_config(config)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for the block; a crash releases it. Raises UserError while another process holds it."""
        make_folder(self.path, "--logdir")
        try:
            handle = (self.path / ".lock").open("a")
        except OSError as error:
            raise UserError(f"{self.path}: {reason(error)}; a run must be able to write its folder") from None
        with handle:
            try:
                import fcntl
            except ImportError:  # Windows: no lock
                yield
                return
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(
                    f"{self.path}: another process trains in this folder; choose another --logdir"
                ) from None
            yield

    def write_config(self, config: ProcoConfig) -> None:
        write_text(self.path / "config.yaml", yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))

    def read_config(self) -> dict[str, Any]:
        """The flags of the run as a dict. Raises UserError if this is no run folder."""
        file = self.path / "config.yaml"
        if not file.is_file():
            raise UserError(f"{self.path}: no run here (config.yaml is missing)")
        config = read_mapping(file)
        if "algo" not in config or "task" not in config:
            raise UserError(f"{file}: damaged; it must be the config.yaml that osrl-proco train wrote")
        if isinstance(config.get("graded"), bool):  # as runs before 0dd5d06 wrote it
            config["graded"] = "all" if config["graded"] else "none"
        return {**BEFORE["any"], **BEFORE.get(str(config["algo"]), {}), **config}

    def facts(self) -> dict[str, Any]:
        """run.json. Raises UserError if it is missing or damaged."""
        facts = read_json(self.path / "run.json")
        if not isinstance(facts, dict):
            raise UserError(f"{self.path / 'run.json'}: damaged; it must be what osrl-proco train wrote")
        return facts

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint, whole or not at all; a full disk leaves the previous one as it was."""
        from ..core.tensors import save_tensors

        try:
            save_tensors(self.checkpoint, state)
        except UserError as error:
            raise UserError(f"{error}; the previous one is kept: free some space and --resume {self.path}") from None

    def load(self, algo: str, device: str) -> dict[str, Any]:
        """The checkpoint. Raises UserError if it is missing, damaged, or another algorithm's."""
        if not self.checkpoint.is_file():
            raise UserError(f"{self.checkpoint}: no such checkpoint; was the run stopped before its first one?")
        from ..core.tensors import load_tensors

        state = load_tensors(self.checkpoint, device, "checkpoint")
        if state.get("algo") != algo:
            raise UserError(f"{self.checkpoint}: a checkpoint of {state.get('algo')!r}, not of {algo!r}")
        return state

    # ---- tables ------------------------------------------------------------------------------------------------

    def append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows to `name` (a CSV). A column that was not there before is added to all of it."""
        rows = list(rows)
        file = self.path / name
        header = self._header(file)
        columns = list(dict.fromkeys([*header, *(k for row in rows for k in row)]))
        if header and columns != header:
            rows = [*self.table(name), *rows]
            header = []
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
        if not header:
            writer.writeheader()
        writer.writerows(rows)
        if not header:
            write_text(file, out.getvalue())
            return
        try:
            with file.open("a", newline="") as handle:
                handle.write(out.getvalue())
        except OSError as error:
            raise UserError(f"{file}: could not be written ({reason(error)}); --resume {self.path}") from None

    def table(self, name: str) -> list[dict[str, str]]:
        """The whole rows of a table; none where it is not there. A row that a crash cut off does not count."""
        file = self.path / name
        if not file.exists():
            return []
        lines = read_text(file, limit=2**31).splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        return list(csv.DictReader(whole))

    def _header(self, file: Path) -> list[str]:
        if not file.exists():
            return []
        with file.open(newline="") as handle:
            line = handle.readline()
        return next(csv.reader([line])) if line.endswith("\n") else []

    def drop_after(self, step: int) -> None:
        """Forget the rows of updates after `step`, which a resumed run will write again."""
        for name in TABLES:
            if not (self.path / name).exists():
                continue
            rows = self.table(name)
            try:
                kept = [row for row in rows if int(row["step"]) <= step]
            except (KeyError, TypeError, ValueError):
                raise UserError(f"{self.path / name}: damaged (a row without a step); remove it and --resume") from None
            (self.path / name).unlink()
            if kept:
                self.append(name, kept)


def commit() -> str:
    """The commit of the checkout that this package runs from; "" for an installed wheel."""
    git = Path(__file__).resolve().parents[2] / ".git"
    with contextlib.suppress(OSError):
        if git.is_file():  # a worktree: the file names its own folder
            git = Path(git.read_text().removeprefix("gitdir: ").strip())
        text = (git / "HEAD").read_text().strip()
        if not text.startswith("ref: "):
            return text
        common = git / "commondir"
        shared = git / common.read_text().strip() if common.is_file() else git
        if (shared / text[5:]).exists():
            return (shared / text[5:]).read_text().strip()
        for line in (shared / "packed-refs").read_text().splitlines():
            if line.endswith(text[5:]):
                return line.split()[0]
    return ""


def versions() -> dict[str, str]:
    """Python's, ours and the upstream packages' versions."""
    import importlib.metadata
    import platform

    machine = f"{platform.machine()}, {os.cpu_count()} cores, {' family '.join(map(str, processor()))}"
    found = {"python": platform.python_version(), "machine": machine}
    for name in ("osrl-proco", "torch", "numpy", "osrl-lib", "dsrl", "safety-gymnasium", "bullet-safety-gym", "mujoco"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
