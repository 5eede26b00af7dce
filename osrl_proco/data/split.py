"""The safe-only split: PROCO's setting, data in which no violation was recorded."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import UserError
from .transitions import Transitions


@dataclass(frozen=True)
class Split:
    """The two halves of a safe-only split, and how many transitions there were."""

    safe: Transitions
    unsafe: Transitions
    total: int
    violating: int

    def report(self) -> str:
        """What went out, in one line."""
        out = self.total - len(self.safe)
        return (
            f"{self.total} transitions: {out} ({out / self.total:.2%}) touch an unsafe state and went out, "
            f"{len(self.safe)} stay; {len(self.unsafe)} of {self.violating} violations kept aside to check costs"
        )


def safe_only(data: Transitions, keep_unsafe: int = 100, seed: int = 0) -> Split:
    """Take out every transition whose own state or next state is unsafe; keep some of the violations aside (D_u).

    Args:
        keep_unsafe: violations (transitions that arrive in an unsafe state) to keep, at most; drawn by `seed`.

    Raises UserError when nothing safe is left.
    """
    mask = (data.costs == 0) & (data.previous_costs == 0)
    if not bool(mask.any()):
        raise UserError(f"the safe-only split is empty: all {len(data)} transitions touch an unsafe state")
    violating = torch.nonzero(data.costs > 0).squeeze(1)
    order = torch.randperm(len(violating), generator=torch.Generator().manual_seed(seed))
    aside = torch.zeros_like(mask)
    aside[violating[order[:keep_unsafe]]] = True
    return Split(data.keep(mask), data.keep(aside), len(data), len(violating))
