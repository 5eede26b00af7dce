"""Two stages: an agent that learns for a while before it asks its critic, once, what of the data is dangerous.

Stage 1 lasts a share of the updates: the policy learns from all the data, the feasibility critic beside it from the
data and from what the model imagines of that policy. Then the data are judged, and stage 2 goes by the answer. The
answer is part of the state, so a resumed run does not ask another critic again.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..core.state import Attributes, Parts
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityLearner
from .agent import Agent

CHUNK = 65_536  # rows that the critic is asked of at once
S = TypeVar("S")


class Staged(Agent):
    """Counts the updates and asks once. A subclass says what is asked (`judge`) and what follows (`labelled`)."""

    def __init__(self, share: float, update_steps: int) -> None:
        self.first_stage = max(1, round(share * update_steps))  # updates of stage 1; once it is over, as it was
        self.updates = 0
        self.judged: Tensor | None = None  # None in stage 1
        self.batches: Any = None  # the sampler of the agent's batches

    @abstractmethod
    def judge(self, batches: Any) -> Tensor:
        """What is to be known of each of the things that `batches` draws from, or is made of."""

    @abstractmethod
    def labelled(self, batches: Any, judged: Tensor) -> None:
        """Stage 2 begins, or goes on in a resumed run: draw by the answer."""

    def begin(self) -> None:
        """What else stage 2 begins with."""

    def drawn_from(self, batches: S) -> S:
        """Keep the agent's sampler; where stage 2 is on already, it draws by the answer."""
        self.batches = batches
        if self.judged is not None:
            self.labelled(batches, self.judged)
        return batches

    def count(self) -> None:
        """An update was made; the last one of stage 1 ends with the question."""
        self.updates += 1
        if self.judged is not None or self.updates < self.first_stage:
            return
        assert self.batches is not None, "updates are made with batches of this agent's own sampler"
        self.begin()
        self.first_stage = self.updates
        self.judged = self.judge(self.batches)
        self.labelled(self.batches, self.judged)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self.judged is not None and self.batches is not None:
            self.labelled(self.batches, self.judged)

    def staged(self) -> Parts:
        """The stages' and the critic's share of `parts`."""
        parts: dict[str, Any] = {"stages": Attributes(self, ["updates", "first_stage", "judged"])}
        return parts if self.feasibility is None else {**parts, "feasibility": self.feasibility.parts()}


def say(line: str) -> None:
    """A line on stderr, above the progress bar that may be there."""
    tqdm.write(line, file=sys.stderr)


@torch.no_grad()
def dangerous_steps(learner: FeasibilityLearner, data: Transitions) -> Tensor:
    """Which steps (N,) end where the cost function is 1 or V_h(s') > 0."""
    value = learner.critic.value
    lost = torch.cat([value(states) > 0 for states in data.next_observations.split(CHUNK)])
    return lost | (data.costs > 0)


def judged_pairs(learner: FeasibilityLearner, data: Transitions) -> tuple[Tensor, Tensor]:
    """Q_h(s, a) and V_h(s), each (N,), of all the data."""
    pairs = zip(data.observations.split(CHUNK), data.actions.split(CHUNK), strict=True)
    q, v = zip(*(learner.judge(*pair) for pair in pairs), strict=True)
    return torch.cat(q), torch.cat(v)
