"""TraC: a policy that tells desirable from undesirable segments of the data, by how much likelier it makes them.

Labels   y = 1 for the safe segments of the highest returns, y = 0 for those of the lowest and for all unsafe ones
Weights  w = .7 + .3 (R - Rmin) / (Rmax - Rmin) if y = 1;  with 1 - (...) for the safe ones with y = 0;  1 if unsafe
Loss     min  -E[ y w log sigmoid(S) + (1 - y) w eta (n_1 / n_0) log sigmoid(-S) ],  n_y: of the batch

S is the score of a segment against the cloned policy, and cloning the first stage: segments.py. R is undiscounted, Rmin
and Rmax are over the safe segments.

Source: Gong et al., "Offline Safe Reinforcement Learning Using Trajectory Classification", AAAI 2025, arXiv 2412.15429:
the labels and weights of section 4.1, the classifier of section 4.2.

How the twin differs: which segments are unsafe (segments.py), so the cost limit is gone; nothing else.
How this differs from the published code: docs/algorithms/trac.md. `compat` changes nothing here.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..data.samplers import SegmentSampler, segment_length, segment_starts
from ..data.trajectories import Trajectories
from ..data.transitions import Transitions
from .agent import Info, Problem
from .segments import SegmentAgent
from .stages import say

LOWEST_WEIGHT = 0.7
MOST_SEGMENTS = 1_000_000
SMALLEST = 1e-6  # probability of the published clamp


class TraC(SegmentAgent):
    """TraC, and with `config.proco` its twin."""

    desirable: Tensor  # (M,) in {0, 1}
    weights: Tensor  # (M,)

    def choose(self, data: Transitions, generator: torch.Generator) -> SegmentSampler:
        trajectories = Trajectories.of(data)
        length = segment_length(trajectories, int(self.config.segment_ratio * self.problem.episode_len))
        enough = trajectories.lengths >= length
        each = max(1, (int(trajectories.lengths.max()) - length) // 6)
        count = min(max(1, each * int(enough.sum())), MOST_SEGMENTS)
        return SegmentSampler(data, segment_starts(trajectories, count, length, generator), length, self.batch_size)

    def labelled(self, segments: SegmentSampler, unsafe: Tensor) -> None:
        returns = segments.sums(segments.data.rewards)
        self.desirable, self.weights = labels(returns, unsafe, self.config.safe_top, self.config.safe_bottom)
        segments.among = torch.nonzero(self.weights > 0).squeeze(1)
        good, bad = int(self.desirable.sum()), int(unsafe.sum())
        say(
            f"trac: {len(unsafe)} segments of {segments.length} steps: {good} desirable, "
            f"{len(segments.among) - good - bad} of low return, {bad} unsafe"
            + ("" if good else "; with nothing to prefer the policy stays the clone")
        )

    def loss(self, scores: Tensor, which: Tensor) -> tuple[Tensor, Info]:
        y, w = self.desirable[which], self.weights[which]
        good = y.sum()
        balance = self.config.eta * good / (len(y) - good).clamp_min(1.0)
        loss = -(w * torch.where(y > 0, self._log(scores), balance * self._log(-scores))).mean()
        right = ((scores > 0) == (y > 0)).float().mean()
        return loss, {"trac/accuracy": right, "trac/desirable": good / len(y), "trac/score": scores.detach().mean()}

    def _log(self, scores: Tensor) -> Tensor:
        """log sigmoid, as published or with a gradient everywhere."""
        if self.config.clamp_score:
            return torch.sigmoid(scores).clamp_min(SMALLEST).log()
        return logsigmoid(scores)


def labels(returns: Tensor, unsafe: Tensor, top: float, bottom: float) -> tuple[Tensor, Tensor]:
    """y in {0, 1} and w of each segment (M,); w = 0 for those that are left out.

    Args:
        returns, unsafe: of the segments (M,).
        top, bottom: shares of the safe ones, rounded up; a segment in both is undesirable.
    """
    order = torch.nonzero(~unsafe).squeeze(1)
    order = order[returns[order].argsort(stable=True)]
    desirable, weights = torch.zeros_like(returns, dtype=torch.float32), unsafe.float()
    if not len(order):
        return desirable, weights
    lowest, highest = returns[order[0]], returns[order[-1]]
    share = torch.where(highest > lowest, (returns - lowest) / (highest - lowest), torch.ones_like(returns)).float()
    best, worst = order[len(order) - math.ceil(len(order) * top) :], order[: math.ceil(len(order) * bottom)]
    desirable[best], desirable[worst] = 1.0, 0.0
    weights[best] = LOWEST_WEIGHT + (1.0 - LOWEST_WEIGHT) * share[best]
    weights[worst] = LOWEST_WEIGHT + (1.0 - LOWEST_WEIGHT) * (1.0 - share[worst])
    return desirable, weights


def create(config: Any, problem: Problem) -> TraC:
    """A fresh agent."""
    return TraC(config, problem)
