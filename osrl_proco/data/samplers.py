"""What a batch is: samplers over recorded data. They store indices, never copies of the data."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from .transitions import Transitions


class Sampler(Protocol):
    """Draws the batches of one algorithm."""

    def sample(self, generator: torch.Generator) -> Any:
        """The next batch, drawn with `generator` (on the data's device)."""


class TransitionSampler:
    """Batches of `size` transitions, uniform with replacement."""

    def __init__(self, data: Transitions, size: int) -> None:
        self.data, self.size = data, size

    def sample(self, generator: torch.Generator) -> Transitions:
        return self.data.sample(self.size, generator)
