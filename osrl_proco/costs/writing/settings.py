"""How to ask for a cost function, and what is wanted of one. Needs no PyTorch, so that help is quick."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.errors import UserError

P_LOW, P_HIGH = 0.03, 0.20
SHORTEST_REPLY = 256  # tokens: with less left, another query is not worth its price


@dataclass(frozen=True)
class Settings:
    """How to ask: the interval for the share of safe states called unsafe, the budget, the paper's ablations."""

    p_low: float = P_LOW
    p_high: float = P_HIGH
    max_queries: int = 10
    max_tokens: int = 200_000  # read and written, over all queries
    conservative: bool = True  # "W/o Consv." where false
    reflect: bool = True  # "W/o Refl." where false: one query, no check on the data
    role: bool = True  # "W/o Role" where false

    def __post_init__(self) -> None:
        if not 0 <= self.p_low < self.p_high <= 1:
            raise UserError(f"--p_low {self.p_low} and --p_high {self.p_high}: need 0 <= p_low < p_high <= 1")
        if self.max_queries < 1 or self.max_tokens < SHORTEST_REPLY:
            raise UserError(f"--max_queries must be 1 or more, --max_tokens {SHORTEST_REPLY} or more")

    @property
    def wanted(self) -> str:
        """The interval in words."""
        return f"wanted: all unsafe ones found, {self.p_low:.0%} to {self.p_high:.0%} of the safe ones called unsafe"
