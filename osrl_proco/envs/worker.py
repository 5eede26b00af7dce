"""Environments that keep stepping: those of some rows of a vector, in this process or at the other end of a pipe.

`python -c "from osrl_proco.envs.worker import main; main()" FD` is a worker: a plain child process, so that nothing of
the parent's main module is run again (a notebook and a script without a guard work), and no fork copies a simulator.
"""

from __future__ import annotations

import pickle
import signal
import sys
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..core.errors import UserError, first_line
from ..tasks.task import Task
from .make import checked_reset, checked_step, make_env

Reply = tuple[np.ndarray, np.ndarray, np.ndarray]  # observations (n, obs_dim), rewards and costs (n, 2), done (n,)


class Rows:
    """The environments of some rows, each made once and reset for every episode that it runs."""

    def __init__(self, task: Task, rows: Sequence[int]) -> None:
        self.task = task
        self._envs = {row: make_env(task) for row in rows}
        self._seeds: dict[int, int] = {}

    def _where(self, row: int) -> str:
        return f"evaluation of {self.task.id}, episode with seed {self._seeds[row]}"

    def reset(self, rows: Sequence[int], seeds: Sequence[int] | np.ndarray) -> Reply:
        """Begin an episode in each of `rows`; its first observation. Raises UserError as `step` does."""
        self._seeds |= {row: int(seed) for row, seed in zip(rows, seeds, strict=True)}
        first = [self._guarded(row, checked_reset, self._seeds[row], self._where(row)) for row in rows]
        nothing = np.zeros((len(rows), 2))
        return np.asarray(first, dtype=np.float32), nothing, np.zeros(len(rows), dtype=bool)

    def step(self, rows: Sequence[int], actions: np.ndarray) -> Reply:
        """One step of each of `rows` with its action (n, act_dim).

        Raises UserError, one line with the episode's seed, for what is not finite and for a simulator that fails.
        """
        results = [
            self._guarded(row, checked_step, action, self._where(row))
            for row, action in zip(rows, actions, strict=True)
        ]
        observations, rewards, costs, done = zip(*results, strict=True)
        return np.asarray(observations, dtype=np.float32), np.array([rewards, costs]).T, np.array(done)

    def _guarded(self, row: int, call: Any, *arguments: Any) -> Any:
        try:
            return call(self._envs[row], *arguments)
        except UserError:
            raise
        except Exception as error:  # a simulator can fail in any way; which episode it was is what helps
            raise UserError(
                f"{self._where(row)}: the simulator failed ({type(error).__name__}: {first_line(error)})"
            ) from error

    def scores(self, limit: float, totals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """DSRL's normalised reward and cost for returns and costs of episodes, where `limit` is a cost of 1."""
        base: Any = next(iter(self._envs.values())).unwrapped
        base.set_target_cost(limit)
        pairs = (base.get_normalized_score(*pair) for pair in totals)
        return [(float(reward), float(cost)) for reward, cost in pairs]

    def close(self) -> None:
        for env in self._envs.values():
            env.close()


def pack(message: Any) -> bytes:
    return pickle.dumps(message, protocol=5)


def unpack(message: bytes) -> Any:
    return pickle.loads(message)


def serve(pipe: Connection) -> None:
    """Do what the parent asks until it closes the pipe, which its death does too."""
    rows: Rows | None = None
    message: dict[str, Any]
    while True:
        try:
            name, arguments = unpack(pipe.recv_bytes())
        except (EOFError, OSError):
            break
        try:
            if name == "make":
                rows, answer = Rows(*arguments), None
            else:
                answer = getattr(rows, name)(*arguments)
            message = {"answer": answer}
        except UserError as error:
            message = {"error": str(error)}
        except Exception as error:
            message = {"error": f"a worker failed ({type(error).__name__}: {first_line(error)})"}
        try:
            pipe.send_bytes(pack(message))
        except OSError:
            break
    if rows is not None:
        rows.close()


def main() -> None:
    """A worker process; its argument is the number of an inherited socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    warnings.simplefilter("ignore")  # the simulators' deprecation notices, which the parent's process would show too
    serve(Connection(int(sys.argv[1])))
