"""What a cost function is checked on, and how it does there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.transitions import Transitions
from ..language.function import CostFunction
from .settings import P_HIGH, P_LOW


@dataclass(frozen=True)
class Evidence:
    """States that were recorded as safe (N, obs_dim), and some as unsafe (M, obs_dim; the paper's D_u, M may be 0)."""

    safe: Tensor
    unsafe: Tensor

    @classmethod
    def of(cls, safe: Transitions, unsafe: Transitions) -> Evidence:
        """The states that the transitions arrive in: DSRL's `costs[t]` is the label of `next_observations[t]`."""
        return cls(safe.next_observations[safe.costs == 0], unsafe.next_observations[unsafe.costs > 0])

    @property
    def sha256(self) -> str:
        """One hash of all states, as float32 bytes, safe ones first."""
        digest = hashlib.sha256(f"{tuple(self.safe.shape)} {tuple(self.unsafe.shape)}".encode())
        for states in (self.safe, self.unsafe):
            digest.update(states.contiguous().numpy().data)
        return digest.hexdigest()

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """At most `count` states of both kinds, half of them unsafe where there are as many."""
        parts = []
        for states, share in ((self.unsafe, count // 2), (self.safe, count - min(len(self.unsafe), count // 2))):
            order = torch.randperm(len(states), generator=torch.Generator().manual_seed(seed))
            parts.append(states[order[:share]])
        return torch.cat(parts)


@dataclass(frozen=True)
class Assessment:
    """How a cost function does on the evidence (paper, section 4.2): accuracy on D_u, conservativeness on D."""

    unsafe: int  # states of D_u
    found: int  # of them, called unsafe
    safe: int  # states of D
    flagged: int  # of them, called unsafe

    @property
    def accuracy(self) -> float:
        """Share of the unsafe states found; 1 where there is none to find."""
        return self.found / self.unsafe if self.unsafe else 1.0

    @property
    def share(self) -> float:
        """Share of the safe states called unsafe; 0 where there is none."""
        return self.flagged / self.safe if self.safe else 0.0

    def verdict(self, p_low: float = P_LOW, p_high: float = P_HIGH) -> str:
        """`accepted`, `misses`, `too low` or `too high`, in the order in which the paper checks."""
        if self.found < self.unsafe:
            return "misses"
        if self.share < p_low:
            return "too low"
        return "too high" if self.share > p_high else "accepted"

    def rank(self, p_low: float, p_high: float) -> tuple[float, float]:
        """The smaller the better: the paper's fallback, highest accuracy first, then the share nearest the interval."""
        return -self.accuracy, max(p_low - self.share, self.share - p_high, 0.0)

    def __str__(self) -> str:
        found = f"finds {self.found} of {self.unsafe} unsafe states" if self.unsafe else "no unsafe states to find"
        return f"{found}, calls {self.share:.2%} of {self.safe} safe ones unsafe"


def assess(cost: CostFunction, evidence: Evidence) -> Assessment:
    """Label the evidence. Raises LanguageError where the function fails on it."""
    return Assessment(
        unsafe=len(evidence.unsafe),
        found=int(cost(evidence.unsafe).sum()) if len(evidence.unsafe) else 0,
        safe=len(evidence.safe),
        flagged=int(cost(evidence.safe).sum()) if len(evidence.safe) else 0,
    )
