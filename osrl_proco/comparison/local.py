"""The local engine: a process for each job, a few at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

from .jobs import Job, Outcome, judged, pause

PATIENCE = 120.0  # seconds that a stopped run may take for its checkpoint


class LocalEngine:
    """Runs jobs as processes of this machine.

    Args:
        slots: how many at a time.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._running: dict[Job, subprocess.Popen[bytes]] = {}

    def start(self, job: Job) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads), "PYTHONUNBUFFERED": "1"}
        with job.log.open("ab") as log:
            log.write(job.header(os.getpid()).encode())
            log.flush()
            # A session of its own: a terminal's Ctrl-C reaches us alone, and each run is then asked once.
            self._running[job] = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "osrl_proco", *job.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=job.folder,
                start_new_session=True,
            )

    def finished(self) -> list[tuple[Job, Outcome]]:
        ended = self._ended()
        if not ended:
            pause()
            ended = self._ended()
        return ended

    def stop(self) -> list[tuple[Job, Outcome]]:
        ended: list[tuple[Job, Outcome]] = []
        for process in self._running.values():
            process.terminate()
        latest = time.monotonic() + PATIENCE
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C: no more patience
            while self._running and time.monotonic() < latest:
                ended += self.finished()
        for job, process in self._running.items():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            ended.append((job, Outcome("interrupted", "killed; goes on from its last checkpoint")))
        self._running.clear()
        return ended

    def _ended(self) -> list[tuple[Job, Outcome]]:
        codes = [(job, process.poll()) for job, process in self._running.items()]
        for job, code in codes:
            if code is not None:
                del self._running[job]
        return [(job, judged(job, code)) for job, code in codes if code is not None]
