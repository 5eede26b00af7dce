"""Episodes in the simulator: seeded resets, many environments in step, in this process or in several.

What an episode brings depends on its seed, and not on how many workers there are: rows are filled from one queue in
lockstep, and their number, and so the batches that the policy sees, depends on the number of episodes alone.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from ..algorithms.agent import Policy
from ..envs.vector import VectorEnv
from ..tasks.task import Task

ROWS = 32  # environments at once, at most


@dataclass(frozen=True)
class Episode:
    """One episode: its reset seed, undiscounted return, undiscounted cost (violating steps), length, DSRL scores."""

    seed: int
    ret: float
    cost: float
    length: int
    normalized_reward: float
    normalized_cost: float


@dataclass(frozen=True)
class Totals:
    """What an episode brought, before it is held against reference returns and a cost limit."""

    seed: int
    ret: float
    cost: float
    length: int


def evaluate(
    policy: Callable[[], Policy],
    task: Task,
    *,
    episodes: int,
    seed: int,
    cost_limit: float,
    episode_len: int | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
    progress: bool = True,
) -> list[Episode]:
    """Run `episodes` episodes, the i-th reset with `seed + i`.

    Args:
        policy: makes what acts (`agent.policy`), once for each half of the environments, on `device`.
        cost_limit: episode cost that counts as a normalised cost of 1.
        episode_len: cut episodes after so many steps (default: the task's own limit).
        workers: processes that step the simulators; 0 or 1: this one.

    Raises UserError when the simulator is missing or fails, a worker dies, or anything is not finite: what can't be
    measured is not safe.
    """
    with VectorEnv(task, row_count(episodes), workers) as envs:
        runs = run_episodes(policy, envs, episodes, seed, episode_len, device, progress)
        return score(envs, runs, cost_limit)


def row_count(episodes: int) -> int:
    """Environments for so many episodes: at most `ROWS`, and no round that leaves most of them idle."""
    return math.ceil(episodes / math.ceil(episodes / ROWS))


def score(envs: VectorEnv, runs: list[Totals], cost_limit: float) -> list[Episode]:
    """The episodes with DSRL's normalised reward and cost."""
    pairs = envs.scores(cost_limit, [(run.ret, run.cost) for run in runs])
    return [Episode(r.seed, r.ret, r.cost, r.length, *pair) for r, pair in zip(runs, pairs, strict=True)]


def run_episodes(
    policy: Callable[[], Policy],
    envs: VectorEnv,
    episodes: int,
    seed: int,
    episode_len: int | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> list[Totals]:
    """Run the episodes in `envs`, which has `row_count(episodes)` rows; in the order of their seeds."""
    rows = row_count(episodes)
    halves = [range(rows)] if rows < 4 else [range(rows // 2), range(rows // 2, rows)]
    queues = [deque(range(seed + i, seed + episodes, len(halves))) for i in range(len(halves))]
    finished: list[Totals] = []
    with _one_thread(), tqdm(total=episodes, desc="Evaluating", leave=False, disable=not progress) as bar:
        groups = deque(
            _Group(policy(), envs, rows, queue, episode_len, device) for rows, queue in zip(halves, queues, strict=True)
        )
        while groups:  # each has one request under way, answered in the same order
            group = groups.popleft()
            ended = group.advance()
            finished += ended
            bar.update(len(ended))
            if group.running:
                groups.append(group)
    return sorted(finished, key=lambda run: run.seed)


class _Group:
    """Rows that step together, with a policy of their own."""

    def __init__(
        self,
        policy: Policy,
        envs: VectorEnv,
        rows: range,
        queue: deque[int],
        episode_len: int | None,
        device: str | torch.device,
    ) -> None:
        self._policy, self._envs, self._queue = policy, envs, queue
        self._episode_len, self._device = episode_len or math.inf, device
        count = min(len(rows), len(queue))
        self._first = rows.start
        self._seeds = np.array([queue.popleft() for _ in range(count)])
        self._gains = np.zeros((count, 2))  # the last step's reward and cost
        self._sums, self._lengths = np.zeros((count, 2)), np.zeros(count, dtype=int)
        self._busy = np.ones(count, dtype=bool)
        self._observations: np.ndarray | None = None  # (count, obs_dim)
        self._beginning = np.arange(count)  # rows whose first observation was asked for
        self._ask_for_beginning()

    @property
    def running(self) -> bool:
        return bool(self._busy.any())

    def _numbers(self, at: np.ndarray) -> list[int]:
        """The numbers that the environments have in the vector."""
        return (at + self._first).tolist()

    def advance(self) -> list[Totals]:
        """Take the answer that is due, and ask for what comes next, new episodes or a step; what ended."""
        ended: list[Totals] = []
        if len(self._beginning):
            first, at = self._envs.receive()[0], self._beginning
            if self._observations is None:
                self._observations = np.zeros((len(self._seeds), first.shape[1]), dtype=np.float32)
            self._observations[at] = first
            self._policy.reset(at.tolist(), self._seeds[at].tolist())
            self._beginning = at[:0]
        else:
            ended = self._stepped()
        if len(self._beginning):
            self._ask_for_beginning()
        elif self.running:
            actions = self._policy.act(torch.as_tensor(self._observations).to(self._device)).cpu().numpy()
            at = np.flatnonzero(self._busy)
            self._envs.step(self._numbers(at), actions[at])
        return ended

    def _totals(self, row: int) -> Totals:
        ret, cost = self._sums[row].tolist()
        return Totals(int(self._seeds[row]), ret, cost, int(self._lengths[row]))

    def _ask_for_beginning(self) -> None:
        self._envs.reset(self._numbers(self._beginning), self._seeds[self._beginning].tolist())

    def _stepped(self) -> list[Totals]:
        """Take in a step; rows whose episode ended get the next one, or rest where there is none."""
        at = np.flatnonzero(self._busy)
        assert self._observations is not None
        self._observations[at], self._gains[at], done = self._envs.receive()
        self._sums[at] += self._gains[at]
        self._lengths[at] += 1
        reward, cost = (torch.as_tensor(x, dtype=torch.float32, device=self._device) for x in self._gains.T.copy())
        self._policy.observe(reward, cost)
        over = at[done | (self._lengths[at] >= self._episode_len)]
        ended = [self._totals(i) for i in over.tolist()]
        self._beginning, rest = over[: len(self._queue)], over[len(self._queue) :]
        self._busy[rest], self._gains[rest] = False, 0.0
        self._seeds[self._beginning] = [self._queue.popleft() for _ in self._beginning]
        self._sums[self._beginning], self._lengths[self._beginning] = 0.0, 0
        return ended


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread: several would take the workers' cores, and sum in another order on another machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def summary(episodes: list[Episode]) -> dict[str, float]:
    """Means over the episodes: normalised reward and cost, return, cost, and the share of episodes without cost."""
    return {
        "normalized_reward": float(np.mean([e.normalized_reward for e in episodes])),
        "normalized_cost": float(np.mean([e.normalized_cost for e in episodes])),
        "return": float(np.mean([e.ret for e in episodes])),
        "cost": float(np.mean([e.cost for e in episodes])),
        "violation_free": float(np.mean([e.cost == 0 for e in episodes])),
    }
