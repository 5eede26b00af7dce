"""The Ray engine: each job is a task on an existing Ray cluster.

Every node has the same osrl-proco installed and sees the same files under the same paths (a shared file system). A task
whose worker or node is lost is started again elsewhere, and goes on from the run's last checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import UserError, first_line
from .jobs import Job, Outcome, judged, pause

RETRIES = 5  # how often a job may lose its worker
PATIENCE = 120.0


def perform(job: Job) -> int:
    """Run a job in this process (a Ray worker's), its output in the job's log; the exit status."""
    os.chdir(job.folder)
    with _output_to(job.log):
        print(job.header(os.getpid()), end="", flush=True)
        import warnings

        from ..cli import main

        warnings.simplefilter("ignore")
        try:
            return main(job.command())
        except SystemExit as stop:
            return int(stop.code or 0) if isinstance(stop.code, int | None) else 1
        except Exception:
            import traceback

            traceback.print_exc()
            return 1


@contextlib.contextmanager
def _output_to(file: Path) -> Iterator[None]:
    """Standard output and error of this process, those of C libraries too, go to the end of `file`."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    streams = sys.stdout, sys.stderr
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout = sys.stderr = os.fdopen(os.dup(log), "w", buffering=1)
        yield
    finally:
        sys.stdout.flush()
        sys.stdout.close()
        sys.stdout, sys.stderr = streams
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for number in (*kept, log):
            os.close(number)


class RayEngine:
    """Runs jobs on the Ray cluster that RAY_ADDRESS names, or that runs on this machine.

    Args:
        slots: how many at a time; the cluster's cores decide where it is larger.
        gpus: GPUs (or a part of one) that each run takes.

    Raises UserError where Ray is not installed or no cluster answers.
    """

    def __init__(self, slots: int = 10_000, gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError:
            raise UserError("--engine ray: Ray is not installed; pip install 'osrl-proco[ray]'") from None
        self._ray: Any = ray
        self.slots, self._gpus = slots, gpus
        try:
            if not ray.is_initialized():
                address = os.environ.get("RAY_ADDRESS", "auto")
                _knock(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"--engine ray: no Ray cluster answers ({first_line(error)}); start one with `ray start --head`, or "
                "set RAY_ADDRESS"
            ) from None
        self._running: dict[Any, Job] = {}

    def start(self, job: Job) -> None:
        # max_calls=1: every job has a fresh process, so that nothing of one run is left for the next
        task = self._ray.remote(num_cpus=job.threads, num_gpus=self._gpus, max_retries=RETRIES, max_calls=1)(perform)
        self._running[task.remote(job)] = job

    def finished(self) -> list[tuple[Job, Outcome]]:
        if not self._running:
            pause()
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=0.2)
        return [(job, self._outcome(reference, job)) for reference in ready if (job := self._running.pop(reference))]

    def stop(self) -> list[tuple[Job, Outcome]]:
        ended: list[tuple[Job, Outcome]] = []
        for reference in self._running:
            self._ray.cancel(reference)  # as Ctrl-C in the worker
        latest = time.monotonic() + PATIENCE
        with contextlib.suppress(KeyboardInterrupt):
            while self._running and time.monotonic() < latest:
                ended += self.finished()
        for reference, job in self._running.items():
            self._ray.cancel(reference, force=True)
            ended.append((job, Outcome("interrupted", "killed; goes on from its last checkpoint")))
        self._running.clear()
        return ended

    def _outcome(self, reference: Any, job: Job) -> Outcome:
        errors = self._ray.exceptions
        try:
            return judged(job, self._ray.get(reference))
        except (errors.TaskCancelledError, KeyboardInterrupt):
            return Outcome("interrupted", "stopped; goes on where it was")
        except errors.RayError as error:
            return Outcome("failed", f"its worker was lost {RETRIES + 1} times: {first_line(error)}")


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at a `host:port`, which Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
