"""The safe-only split: PROCO's setting, data in which no violation was recorded, or only some of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import UserError
from .transitions import Transitions


@dataclass(frozen=True)
class Split:
    """The two parts of a split, and how many transitions there were."""

    safe: Transitions
    unsafe: Transitions
    total: int
    touching: int  # transitions whose own state or next state is unsafe
    violating: int  # of them, those that arrive in an unsafe state

    def report(self) -> str:
        """What went out, in one line."""
        out = self.total - len(self.safe)
        stay = f", {self.touching - out} of {self.touching} unsafe ones" if out < self.touching else ""
        return (
            f"{self.total} transitions: {out} ({out / self.total:.2%}) touch an unsafe state and went out, "
            f"{len(self.safe)} stay{stay}; {len(self.unsafe)} of {self.violating} violations kept aside to check costs"
        )


def safe_only(data: Transitions, keep_unsafe: int = 100, seed: int = 0, unsafe_share: float = 0.0) -> Split:
    """Take out the transitions whose own state or next state is unsafe; keep some of the violations aside (D_u).

    Args:
        keep_unsafe: violations (transitions that arrive in an unsafe state) to keep aside, at most; drawn by `seed`.
        unsafe_share: share of the transitions that touch an unsafe state to leave in the data all the same, drawn by
            `seed` (the paper's section 5.5: 0.1, 0.2, 0.5, 1). A larger share contains the smaller ones, and D_u is
            the same for all.

    Raises UserError when nothing is left.
    """
    mask = (data.costs == 0) & (data.previous_costs == 0)
    touching = torch.nonzero(~mask).squeeze(1)
    mask[_some(touching, round(unsafe_share * len(touching)), seed + 1)] = True
    if not bool(mask.any()):
        raise UserError(f"the safe-only split is empty: all {len(data)} transitions touch an unsafe state")
    violating = torch.nonzero(data.costs > 0).squeeze(1)
    aside = torch.zeros_like(mask)
    aside[_some(violating, keep_unsafe, seed)] = True
    return Split(data.keep(mask), data.keep(aside), len(data), len(touching), len(violating))


def runs_apart(last: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A mask (N,) of about `share` of the rows, in whole runs of consecutive transitions drawn by `generator`.

    Neighbours are nearly the same transition: a held-out row between two of its run would measure little. Of fewer
    than 20 runs, single rows.
    """
    last = last.bool()
    run = (torch.cumsum(last, 0) - last.long()).long()
    count = int(run[-1]) + 1 if len(run) else 0
    if count < 20:
        chosen = torch.zeros_like(last)
        chosen[torch.randperm(len(last), generator=generator, device=last.device)[: int(share * len(last))]] = True
        return chosen
    order = torch.randperm(count, generator=generator, device=last.device)
    sizes = torch.bincount(run, minlength=count)[order].cumsum(0)
    taken = order[sizes <= share * len(last)]
    return torch.isin(run, taken)


def _some(rows: Tensor, count: int, seed: int) -> Tensor:
    """The first `count` of the rows in an order drawn by `seed`."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:count]]
