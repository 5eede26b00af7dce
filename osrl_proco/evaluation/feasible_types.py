"""A critic held against the truth, or against an oracle trained on all data (the paper's figure 4(b)).

Type 1: the same sign. Type 2: the critic says safe, the other unsafe: what a safety critic must not do. Type 3: the
critic says unsafe, the other safe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TYPES = ("type 1: same", "type 2: missed", "type 3: false alarm")


@dataclass(frozen=True)
class Types:
    """Shares of the states, which sum to 1."""

    same: float
    missed: float
    false_alarm: float
    states: int

    @property
    def shares(self) -> tuple[float, float, float]:
        return self.same, self.missed, self.false_alarm

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {share:.1%}" for name, share in zip(TYPES, self.shares, strict=True))
        return f"{shown} (of {self.states} states)"


def types(lost: np.ndarray, truly_lost: np.ndarray) -> Types:
    """The three types for states (N,) that the critic calls lost and that are, or that the oracle calls, lost."""
    return Types(
        float((lost == truly_lost).mean()),
        float((~lost & truly_lost).mean()),
        float((lost & ~truly_lost).mean()),
        len(lost),
    )
