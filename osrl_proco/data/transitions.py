"""Transitions as tensors on one device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

# DSRL's arrays, in DSRL's order and by DSRL's names.
KEYS = ("observations", "actions", "next_observations", "rewards", "costs", "terminals", "timeouts")
# Known to a file only where rows were taken out: the label of a row's own state, whose step before may be gone.
PREVIOUS = "previous_costs"


@dataclass(frozen=True)
class Transitions:
    """N transitions (s, a, s'), float32.

    `costs[t]` is what the simulator said after the step: the label of `next_observations[t]`. `previous_costs[t]` is
    that of `observations[t]`: the cost of the step before in the same episode, 0 at an episode's start. `terminals`
    (the task ended) and `timeouts` (time ran out) stay apart; `last` marks the rows that the next row does not
    continue, be it for a terminal, a timeout, or rows that a split took out.
    """

    observations: Tensor  # (N, obs_dim)
    actions: Tensor  # (N, act_dim)
    next_observations: Tensor  # (N, obs_dim)
    rewards: Tensor  # (N,)
    costs: Tensor  # (N,) in {0, 1}
    terminals: Tensor  # (N,) in {0, 1}
    timeouts: Tensor  # (N,) in {0, 1}
    previous_costs: Tensor  # (N,) in {0, 1}
    last: Tensor  # (N,) in {0, 1}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Transitions:
        """From DSRL's dict of arrays (`KEYS`), episode after episode; `previous_costs` holds where it is given."""
        columns = {k: torch.from_numpy(np.ascontiguousarray(arrays[k], dtype=np.float32)) for k in KEYS}
        last = ((columns["terminals"] + columns["timeouts"]) > 0).float()
        previous = torch.zeros_like(last)
        previous[1:] = columns["costs"][:-1] * (1.0 - last[:-1])
        if PREVIOUS in arrays:
            previous = torch.from_numpy(np.ascontiguousarray(arrays[PREVIOUS], dtype=np.float32))
        if len(last):
            last[-1] = 1.0
        return cls(**columns, previous_costs=previous, last=last)

    def arrays(self) -> dict[str, np.ndarray]:
        """DSRL's dict of arrays."""
        return {k: getattr(self, k).cpu().numpy() for k in KEYS}

    def __len__(self) -> int:
        return len(self.rewards)

    def to(self, device: torch.device | str) -> Transitions:
        return Transitions(*(getattr(self, f.name).to(device) for f in fields(self)))

    def index(self, rows: Tensor | slice) -> Transitions:
        """The given rows (indices, a mask, a slice), columns as they are: `last` speaks of the rows' old neighbours."""
        return Transitions(*(getattr(self, f.name)[rows] for f in fields(self)))

    def keep(self, mask: Tensor) -> Transitions:
        """The rows where `mask` (N,) is true, in order; a row whose successor goes out becomes the last of its run."""
        cut = torch.zeros_like(mask)
        cut[:-1] = mask[:-1] & ~mask[1:]
        kept = replace(self, last=torch.maximum(self.last, cut.float())).index(mask)
        if len(kept):
            kept.last[-1] = 1.0
        return kept

    def sample(self, count: int, generator: torch.Generator | None = None) -> Transitions:
        """`count` rows drawn with replacement, without leaving the device."""
        rows = torch.randint(len(self), (count,), generator=generator, device=self.rewards.device)
        return self.index(rows)
