"""Observations as actor and reward critic see them: as they are, or in deviations of the data."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..core.state import Parts
from ..data.transitions import Transitions
from ..proco.scale import deviation, standardised


class Seen:
    """A function of observations (..., obs_dim); one that standardises must be fitted, or restored, first.

    Inputs are cut where the feasibility critic's are.
    """

    def __init__(self, obs_dim: int, *, standardise: bool, device: torch.device | str) -> None:
        self.scale = torch.ones(2, obs_dim, device=device) if standardise else None  # mean and deviation

    def fit(self, observations: Tensor) -> None:
        """Take mean and deviation of the data's observations (N, obs_dim)."""
        if self.scale is not None:
            self.scale[0], self.scale[1] = observations.mean(0), deviation(observations)

    def __call__(self, observations: Tensor) -> Tensor:
        return observations if self.scale is None else standardised(observations, *self.scale)

    def batch(self, batch: Transitions) -> Transitions:
        """The same transitions, between seen observations."""
        if self.scale is None:
            return batch
        return replace(batch, observations=self(batch.observations), next_observations=self(batch.next_observations))

    def parts(self) -> Parts:
        """Without a scale there is nothing to keep."""
        return {} if self.scale is None else {"obs_scale": self.scale}
