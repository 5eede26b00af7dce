"""The one progress display of a comparison: a bar over all runs, moved by every run's own table of metrics."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from .jobs import Job, Outcome

if TYPE_CHECKING:
    from .grid import Run


class Display:
    """A bar that counts runs, those under way by the share of their updates; what runs stands beside it."""

    def __init__(self, runs: Sequence[Run], jobs: Sequence[Job]) -> None:
        self._runs = {run.label: run for run in runs}
        self._todo = [job.label for job in jobs if job.label in self._runs]
        self._told: set[str] = set()
        self._next = 0.0
        self._every = 1.0 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            total=float(len(runs)),
            initial=len(runs) - len(self._todo),
            desc="Runs",
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.0f} [{elapsed}<{remaining}{postfix}]",
            mininterval=self._every,
        )

    def show(self, ended: dict[str, Outcome], running: list[Job]) -> None:
        """Say what has failed since, and move the bar."""
        for label, outcome in ended.items():
            if label not in self._told:
                self._told.add(label)
                self._next = 0.0
                if outcome.status == "failed":
                    self._bar.write(f"failed: {label}: {outcome.reason}")
        if time.monotonic() < self._next and running:
            return
        self._next = time.monotonic() + self._every
        shares = {job.label: share_done(self._runs[job.label]) for job in running if job.label in self._runs}
        done = sum(ended[label].status == "done" for label in self._todo if label in ended)
        now = len(self._runs) - len(self._todo) + done + sum(shares.values())
        self._bar.set_postfix_str(
            "; ".join(f"{job.label} {shares[job.label]:.0%}" if job.label in shares else job.label for job in running),
            refresh=False,
        )
        self._bar.update(now - self._bar.n)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def share_done(run: Run) -> float:
    """The share of its updates that a run has logged, from the last line of metrics.csv."""
    step = last_step(run.folder.path / "metrics.csv")
    return min(1.0, step / max(1, int(run.settings["update_steps"])))


def last_step(file: Path) -> int:
    """The first number of the last whole line of a table; 0 where there is none."""
    try:
        with file.open("rb") as handle:
            handle.seek(max(0, file.stat().st_size - 16 * 1024))
            lines = handle.read().split(b"\n")[:-1]
        return int(lines[-1].split(b",")[0])
    except (OSError, ValueError, IndexError):
        return 0
