from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Transitions:
    observations: Tensor
    actions: Tensor
    next_observations: Tensor
    rewards: Tensor
    costs: Tensor
    terminals: Tensor
    timeouts: Tensor
    previous_costs: Tensor

    def __len__(self):
        return len(self.rewards)

    def to(self, d):
        return Transitions(*(getattr(self, f.name).to(d) for f in fields(self)))

    def index(self, i):
        return Transitions(*(getattr(self, f.name)[i] for f in fields(self)))

    def sample(self, n, g):
        return self.index(torch.randint(len(self), (n,), generator=g, device=self.rewards.device))
