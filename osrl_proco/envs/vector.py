"""Many environments at once, in worker processes that stay, or in this one.

The parent sends a request for some rows and takes the answers later, in the order of the requests: while workers step
one half of the rows, the policy can act for the other half.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import UserError
from ..tasks.task import Task
from .worker import Reply, Rows, pack, unpack

_PROGRAM = "import osrl_proco; from osrl_proco.envs.worker import main; main()"


def default_workers(task: Task) -> int:
    """As many workers as there are cores for this process, for navigation tasks, whose steps take half a millisecond.

    The others' episodes are over before workers would have started.
    """
    if task.family != "navigation" or not hasattr(socket, "AF_UNIX"):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if cores > 1 else 0


class _Plan(NamedTuple):
    """How a request is shared out: (worker, its rows, their places in the request), and the way back to its order."""

    parts: list[tuple[int, tuple[int, ...], np.ndarray]]
    back: np.ndarray


class VectorEnv:
    """`rows` environments of a task. A context manager: its workers end with the block.

    Args:
        workers: processes, of which each has every `workers`-th row; 0 or 1: everything happens in this process.

    Raises UserError where the simulator is missing; in `receive`, for an error in an episode (with its seed) and for
    a worker that died.
    """

    def __init__(self, task: Task, rows: int, workers: int = 0) -> None:
        self.task, self.workers = task, min(workers, rows) if workers > 1 else 0
        self._local: Rows | None = None
        self._pipes: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        # What was asked for and is not received yet, or in this process the answers that wait.
        self._asked: deque[_Plan] = deque()
        self._answers: deque[Reply] = deque()
        self._plans: dict[tuple[int, ...], _Plan] = {}
        self._seeds: dict[int, int] = {}
        if not self.workers:
            self._local = Rows(task, range(rows))
            return
        try:
            for _ in range(self.workers):
                self._start()
            for i in range(self.workers):
                self._tell(i, "make", task, range(i, rows, self.workers))
            for i in range(self.workers):
                self._hear(i)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> VectorEnv:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        """Ask for the first observations of new episodes."""
        self._seeds |= dict(zip(rows, seeds, strict=True))
        self._ask("reset", rows, np.asarray(seeds, dtype=np.int64))

    def step(self, rows: Sequence[int], actions: np.ndarray) -> None:
        """Ask for one step of each of `rows` with its action (n, act_dim)."""
        self._ask("step", rows, actions)

    def _ask(self, name: str, rows: Sequence[int], values: np.ndarray) -> None:
        if self._local is not None:
            self._answers.append(getattr(self._local, name)(rows, values))
            return
        plan = self._plan(tuple(rows))
        self._asked.append(plan)
        for worker, own, at in plan.parts:
            self._tell(worker, name, own, values[at])

    def _plan(self, rows: tuple[int, ...]) -> _Plan:
        """Who has which of `rows`; mostly they are those of the step before."""
        plan = self._plans.get(rows)
        if plan is None:
            parts: list[tuple[int, tuple[int, ...], np.ndarray]] = []
            for worker in range(self.workers):
                at = [k for k, row in enumerate(rows) if row % self.workers == worker]
                if at:
                    parts.append((worker, tuple(rows[k] for k in at), np.array(at)))
            plan = self._plans[rows] = _Plan(parts, np.argsort(np.concatenate([at for _, _, at in parts])))
        return plan

    def receive(self) -> Reply:
        """The answer to the oldest request: observations (n, obs_dim), rewards and costs (n, 2), done (n,)."""
        if self._local is not None:
            return self._answers.popleft()
        plan = self._asked.popleft()
        parts: list[Reply] = [self._hear(worker) for worker, _, _ in plan.parts]
        if len(parts) == 1:
            return parts[0]
        observations, gains, done = (np.concatenate(column)[plan.back] for column in zip(*parts, strict=True))
        return observations, gains, done

    def scores(self, limit: float, totals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """DSRL's normalised reward and cost for returns and costs of episodes, where `limit` is a cost of 1."""
        if self._local is not None:
            return self._local.scores(limit, totals)
        self._tell(0, "scores", limit, totals)
        return self._hear(0)

    # ---- the workers -------------------------------------------------------------------------------------------

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._pipes.append(Connection(ours.detach()))
        path = os.pathsep.join(p or os.getcwd() for p in sys.path)
        with theirs:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                    env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # simulators print there
                    start_new_session=True,  # Ctrl-C at a terminal is for the parent, which then closes the pipe
                )
            )

    def _tell(self, worker: int, name: str, *arguments: Any) -> None:
        try:
            self._pipes[worker].send_bytes(pack((name, arguments)))
        except OSError:
            raise self._died(worker) from None

    def _hear(self, worker: int) -> Any:
        try:
            message = unpack(self._pipes[worker].recv_bytes())
        except (EOFError, OSError):
            raise self._died(worker) from None
        if "error" in message:
            raise UserError(message["error"])
        return message["answer"]

    def _died(self, worker: int) -> UserError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._processes[worker].wait(5)
        seeds = sorted(seed for row, seed in self._seeds.items() if row % self.workers == worker)
        episodes = f", episodes with seeds {', '.join(map(str, seeds))}" if seeds else ""
        return UserError(
            f"evaluation of {self.task.id}{episodes}: a worker process ended (status "
            f"{self._processes[worker].returncode}), perhaps for want of memory; try fewer --workers"
        )

    def close(self) -> None:
        """End the workers; they leave when their pipe is closed, and are killed where they do not."""
        if self._local is not None:
            self._local.close()
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._pipes, self._processes = [], []
