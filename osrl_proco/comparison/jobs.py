"""Jobs that need each other, and the loop that has an engine do them. An engine runs `osrl-proco` command lines."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

TAIL = 64 * 1024  # bytes of a log that are looked at


@dataclass(frozen=True)
class Job:
    """One command line of osrl-proco.

    words: the command; `again` where `checkpoint` is there already (a run that was interrupted, or whose worker was
    lost). log: its output is appended there. folder: where relative paths start. threads: cores it takes.
    needs: labels of the jobs that must be done before.
    """

    label: str
    words: tuple[str, ...]
    log: Path
    folder: Path
    checkpoint: Path | None = None
    again: tuple[str, ...] = ()
    threads: int = 1
    needs: tuple[str, ...] = field(default=())

    def command(self) -> list[str]:
        """What to run now."""
        return list(self.again if self.checkpoint is not None and self.checkpoint.exists() else self.words)

    def header(self, process: int) -> str:
        """The line that each attempt begins its log with; a lost one may have left half a line before it."""
        return f"\n$ osrl-proco {' '.join(self.command())}  # process {process} on {socket.gethostname()}\n"


@dataclass(frozen=True)
class Outcome:
    """How a job ended. status: done, failed, interrupted, or not run (Ctrl-C came first)."""

    status: str
    reason: str = ""


class Engine(Protocol):
    """Something that runs jobs beside each other. `slots`: how many at a time."""

    slots: int

    def start(self, job: Job) -> None: ...

    def finished(self) -> list[tuple[Job, Outcome]]:
        """The jobs that ended since the last call; waits a moment where none did."""
        ...

    def stop(self) -> list[tuple[Job, Outcome]]:
        """Have all running jobs checkpoint and end, and wait for them."""
        ...


def work(jobs: Sequence[Job], engine: Engine, show: Callable[[dict[str, Outcome], list[Job]], None]) -> dict[str, Any]:
    """Do all jobs; label -> Outcome. A job's failure stops only those that need it.

    Args:
        show: is told what has ended and what runs, now and then.

    On Ctrl-C or SIGTERM the running jobs are asked to checkpoint; KeyboardInterrupt then has the outcomes as argument.
    """
    ended: dict[str, Outcome] = {}
    waiting, running = list(jobs), list[Job]()
    with _sigterm_interrupts():
        try:
            while waiting or running:
                for job in list(waiting):
                    lost = [n for n in job.needs if n in ended and ended[n].status != "done"]
                    if lost:
                        ended[job.label] = Outcome("failed", f"{lost[0]} failed: {ended[lost[0]].reason}")
                        waiting.remove(job)
                    elif len(running) < engine.slots and all(n in ended for n in job.needs):
                        engine.start(job)
                        running.append(job)
                        waiting.remove(job)
                show(ended, running)
                for job, outcome in engine.finished() if running else []:
                    running.remove(job)
                    ended[job.label] = outcome
            show(ended, running)
        except KeyboardInterrupt:
            ended |= {job.label: outcome for job, outcome in engine.stop()}
            ended |= {job.label: Outcome("not run", "interrupted before its turn") for job in waiting}
            raise KeyboardInterrupt(ended) from None
    return ended


def judged(job: Job, status: int) -> Outcome:
    """The outcome of an exit status; a failure's reason is the last line of the log."""
    if status == 0:
        return Outcome("done")
    if status in (130, -signal.SIGTERM, -signal.SIGINT):
        return Outcome("interrupted", "stopped; goes on where it was")
    lines = log_lines(job.log)
    what = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    return Outcome("failed", f"{what}: {lines[-1] if lines else 'no output'}")


def log_lines(file: Path) -> list[str]:
    """The last lines of a log as a terminal would show them: progress bars count by their last state."""
    try:
        with file.open("rb") as handle:
            handle.seek(max(0, file.stat().st_size - TAIL))
            text = handle.read().decode(errors="replace")
    except OSError:
        return []
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line.rstrip("\r").split("\r")[-1].rstrip() for line in text.split("\n")]
    return [line for line in lines if line.strip()]


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def pause(seconds: float = 0.2) -> None:
    """Wait a moment, as engines do between two looks."""
    time.sleep(seconds)
