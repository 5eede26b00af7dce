"""The trajectories of a dataset: what an algorithm that looks beyond single transitions learns from.

A trajectory is a run of consecutive rows that ends at `last`. Where a split took rows out of an episode, each piece
that is left (a fragment) is a trajectory of its own, and all sums are over the piece alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .transitions import Transitions


@dataclass(frozen=True)
class Trajectories:
    """E trajectories of N rows, all columns on the data's device.

    `begins` says which of them begin an episode, as far as the kept rows tell: the first row of the data, and a row
    after a terminal or a timeout. Two cases cannot be told from what is left after a split: an episode whose first
    rows went out (its first fragment then counts as a beginning), and a beginning after an episode whose last rows
    went out (it does not count). `finished` says which end in a terminal or a timeout.
    """

    data: Transitions
    start: Tensor  # (E,) first row
    end: Tensor  # (E,) the row after the last
    returns: Tensor  # (E,) undiscounted sum of rewards, float64
    cost_returns: Tensor  # (E,) undiscounted sum of costs, float64
    begins: Tensor  # (E,) bool
    finished: Tensor  # (E,) bool

    @classmethod
    def of(cls, data: Transitions) -> Trajectories:
        """The trajectories of `data`, in order."""
        end = torch.nonzero(data.last > 0).squeeze(1) + 1
        start = torch.cat([end.new_zeros(1), end[:-1]])[: len(end)]
        flagged = (data.terminals[end - 1] + data.timeouts[end - 1]) > 0
        begins = torch.cat([flagged.new_ones(1), flagged[:-1]])[: len(end)]
        returns, costs = (sums[end] - sums[start] for sums in map(prefix_sums, (data.rewards, data.costs)))
        return cls(data, start, end, returns, costs, begins, flagged)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def lengths(self) -> Tensor:
        """Steps of each trajectory (E,)."""
        return self.end - self.start

    def of_rows(self, values: Tensor) -> Tensor:
        """A value of each trajectory (E,) given to all its rows (N,)."""
        return values.repeat_interleave(self.lengths)

    def to_go(self, values: Tensor) -> Tensor:
        """Sum of `values` (N,) from each row to the end of its trajectory, that row included (N,), undiscounted."""
        sums = prefix_sums(values)
        return (self.of_rows(sums[self.end]) - sums[:-1]).float()

    def returns_to_go(self) -> Tensor:
        return self.to_go(self.data.rewards)

    def costs_to_go(self) -> Tensor:
        return self.to_go(self.data.costs)

    def budgets(self) -> tuple[Tensor, Tensor]:
        """Budget of each step, kappa_t = c_t + c_{t+1} + ..., and of the step after it, 0 at the end (each (N,)).

        CCAC (ICLR 2025) conditions actor and critics on it.
        """
        budget = self.costs_to_go()
        return budget, budget - self.data.costs

    def initial(self) -> Tensor:
        """Rows (N,) in {0, 1} that begin an episode, as far as the data tell (see `begins`)."""
        rows = torch.zeros_like(self.data.rewards)
        rows[self.start] = self.begins.float()
        return rows


def prefix_sums(values: Tensor) -> Tensor:
    """(N + 1,) float64: entry t is the sum of the first t values, so a stretch's sum is a difference of two entries."""
    sums = torch.zeros(len(values) + 1, dtype=torch.float64, device=values.device)
    torch.cumsum(values, 0, dtype=torch.float64, out=sums[1:])
    return sums


def pareto_front(costs: Tensor, returns: Tensor) -> Tensor:
    """Indices of the points that no other beats in one of (cost, return) without losing in the other; equals all stay.

    OSRL asks OApackage for it; a sort does: with costs rising, a point is on the front where its return is the best of
    its cost and above that of every smaller cost.
    """
    if not len(costs):
        return torch.zeros(0, dtype=torch.long, device=costs.device)
    levels, level = torch.unique(costs, return_inverse=True)  # sorted
    order = torch.argsort(returns)  # rising, so that the last written, the best, remains
    order = order[torch.sort(level[order], stable=True).indices]
    ends = torch.searchsorted(level[order], torch.arange(len(levels), device=costs.device), right=True) - 1
    best = returns[order[ends]]
    before = torch.cat([best.new_full((1,), -torch.inf), best.cummax(0).values[:-1]])
    return torch.nonzero((returns == best[level]) & (best > before)[level]).squeeze(1)
