"""What a network reads of a state beside its observation: the cost function's margins, and how they hang on it.

Whether the robot drives at the nearest hazard is in a lidar of 16 bins, but hard to learn there: of 100 layouts a
network learns by heart which were dangerous. The margin says how near the hazard is, its slopes which bin shows it.
Each margin is read at several widths: a wide one to see danger coming, narrow ones for rules that jump far from it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..costs import CostFunction
from .danger import Danger

CUTS = 1.0, 0.3  # spreads at which a margin is cut, beside the whole of it
KEPT = 3  # batches: of the policy, and the states that the critic's own leave and reach


class Reads:
    """Observations (..., obs_dim) -> margins, whole and cut, and their changing slopes (..., width), in spreads."""

    def __init__(self, danger: Danger) -> None:
        assert danger.changing is not None
        self._danger = danger
        self._last: list[tuple[Tensor, int, Tensor]] = []
        self.width = (1 + len(CUTS)) * danger.added + len(danger.changing)

    @classmethod
    def fitted(cls, cost: CostFunction, observations: Tensor) -> Reads | None:
        """With the spread over recorded observations (N, obs_dim); None where the cost function has no margins."""
        danger = Danger.fitted(cost, observations, graded="all", margins=True)
        return cls(danger) if danger.margins else None

    @classmethod
    def of(cls, cost: CostFunction, obs_dim: int, state: dict[str, Any]) -> Reads:
        """As `state_dict` had it."""
        return cls(Danger(cost, obs_dim, graded="all", margins=True, **state))

    def state_dict(self) -> dict[str, Any]:
        return {"spread": self._danger.spread, "changing": self._danger.changing}

    def __call__(self, observations: Tensor) -> Tensor:
        # Critic, target and value ask for those of one batch one after the other.
        for known, version, read in self._last:
            if known is observations and version == observations._version:
                return read
        margins, slopes = self._danger.margins_and_slopes(observations)
        read = torch.cat([margins, *(margins.clamp(-cut, cut) for cut in CUTS), slopes], -1)
        self._last = [*self._last[-(KEPT - 1) :], (observations, observations._version, read)]
        return read

    def __deepcopy__(self, memo: Any) -> Reads:
        return self  # nothing in it is learned
