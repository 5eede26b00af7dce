"""How dangerous a state is: what the feasibility critic is told of it, and what the dynamics model reads beside it.

The label says unsafe or safe; the margin of the cost function (costs/language/robustness.py) says by how much. In
units of its own spread over the data and cut at one of them, it is the *danger* of a state: in [-1, 1], above 0 exactly
where the label is 1. With the label alone (the paper's form) it is 1 or -1; graded `inside`, -1 where safe and between
1 and 2 where unsafe, so that it shows the way out and its sign weighs as much as the label's. Uncut, the margins of a
rule that turns on which of two things is nearer jump all the time far from any danger, and these jumps are most of what
there is to learn.

A dynamics model of many entries is a poor judge of the few that the cost reads: on PointGoal1 one step of it errs more
in the distance to the nearest hazard than standing still. So the margins can stand beside the observation as entries
that the model predicts; a state of the model is then (observation, margins), and its label their sign. The model also
reads how the margins change with the observation's entries, its slopes: a network hardly learns by itself which of a
lidar's bins is the largest, and without that not whether the robot drives at what it shows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..costs import CostFunction
from ..costs.language.robustness import robustness, slopes
from .dynamics import Dynamics
from .rates import owner
from .scale import deviation

CostLabel = Callable[[Tensor], Tensor]

WIDEST = 10.0  # spreads at which what a critic reads of a margin is cut
NEARLY_CUT, FAR_BEYOND = 0.97, 1.5  # spreads; see `slopes_of_the_cut`
EDGE = 1e-3  # the least danger of an unsafe state: at a margin of 0 the label still counts
LOOKED_AT = 10_000  # states, at most, that say which slopes change


class Danger:
    """Reads states of a task: observations (..., obs_dim), or with `margins` (..., obs_dim + M).

    Args:
        cost: the cost function, or with neither grades nor margins anything that labels observations.
        spread: the unit of each of its margins (M,).
        graded: where danger is the margin instead of the label alone: "none", "inside" danger, or "all".
        margins: whether the dynamics model's states hold margins and are labelled by them.
        changing: which of the M obs_dim slopes the model reads: those that change from state to state.
        caution: what is added to every graded danger, in spreads: a state counts as unsafe from so far before the
            boundary on. Where V <= 0, the policy can then keep that distance for ever.
    """

    def __init__(
        self,
        cost: CostLabel,
        obs_dim: int,
        *,
        spread: Tensor | None = None,
        graded: str = "none",
        margins: bool = False,
        caution: float = 0.0,
        changing: Tensor | None = None,
    ) -> None:
        self.cost, self.obs_dim, self.spread = cost, obs_dim, spread
        self.graded, self.margins, self.caution, self.changing = graded, margins, caution, changing

    @classmethod
    def fitted(
        cls, cost: CostFunction, observations: Tensor, *, graded: str, margins: bool, caution: float = 0.0
    ) -> Danger:
        """With the margins' spread over recorded observations (N, obs_dim).

        Where the cost function has no margins (see `robustness`), neither grades nor margins, whatever was asked.
        """
        width = observations.shape[-1]
        found = robustness(cost, observations) if graded != "none" or margins else None
        if found is None:
            return cls(cost, width)
        spread = deviation(found)
        made = cls(cost, width, spread=spread, graded=graded, margins=margins, caution=caution)
        if margins:
            some = observations[:: max(1, len(observations) // LOOKED_AT)]
            made.changing = torch.arange(len(spread) * width, device=some.device)
            made.changing = torch.nonzero(made.slopes(some).std(0) > 1e-4).squeeze(1)
        return made

    @classmethod
    def of_model(cls, cost: CostFunction, dynamics: Dynamics) -> Danger:
        """As a fitted model's states ask for it, graded where they hold margins; what the model reads is this."""
        margins = dynamics.shape["margins"]
        obs_dim = dynamics.obs_dim - margins
        if not margins:
            return cls(cost, obs_dim)
        made = cls(cost, obs_dim, spread=dynamics.spread, graded="all", margins=True)
        made.serve(dynamics)
        return made

    def serve(self, dynamics: Dynamics) -> None:
        """Let the model read the slopes that it was fitted with."""
        if dynamics.shape["slopes"]:
            self.changing = dynamics.changing
            dynamics.reads = self.slopes_of_the_cut if dynamics.shape["chain"] else self.slopes

    @property
    def added(self) -> int:
        """M: how many entries a state of the model holds beside the observation."""
        return len(self.spread) if self.margins and self.spread is not None else 0

    def state(self, observations: Tensor) -> Tensor:
        """The model's states (..., obs_dim + M) of recorded observations (..., obs_dim)."""
        return torch.cat([observations, self._margins(observations)], -1) if self.margins else observations

    def observation(self, states: Tensor) -> Tensor:
        """The observations of the model's states."""
        return states[..., : self.obs_dim]

    def recorded(self, observations: Tensor) -> Tensor:
        """Danger (...,) of recorded observations (..., obs_dim); without caution, its sign is the cost function's."""
        unsafe = self.cost(observations) > 0
        if self.graded == "none":
            return signed(unsafe)
        danger = (self._margins(observations).amax(-1) + self.caution).clamp(-1.0, 1.0)
        if not self.caution:
            danger = torch.where(unsafe, danger.clamp_min(EDGE), danger.clamp_max(-EDGE))
        return self._grade(danger)

    def imagined(self, states: Tensor) -> Tensor:
        """Danger (...,) of the model's states (..., obs_dim + M)."""
        if not self.margins:
            return self.recorded(states)
        largest = states[..., self.obs_dim :].amax(-1)
        return signed(largest) if self.graded == "none" else self._grade((largest + self.caution).clamp(-1.0, 1.0))

    def _grade(self, danger: Tensor) -> Tensor:
        return danger if self.graded == "all" else torch.where(danger > 0, 1.0 + danger, -1.0)

    def slopes(self, states: Tensor) -> Tensor:
        """The changing slopes (..., S) of the model's states, in spreads of their margin."""
        return self.margins_and_slopes(self.observation(states))[1]

    def slopes_of_the_cut(self, states: Tensor) -> Tensor:
        """The same of the margins cut at one spread, as the model's states hold them: 0 where one is at the cut, or by
        the observation far beyond. Else the least error of a margin at the cut would set it in motion."""
        margins, found = self.margins_and_slopes(self.observation(states))
        moves = (states[..., self.obs_dim :].abs() < NEARLY_CUT) & (margins.abs() < FAR_BEYOND)
        assert self.changing is not None
        return found * moves[..., owner(self.changing, self.obs_dim)]

    def margins_and_slopes(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Margins (..., M), hardly cut, and changing slopes (..., S) of observations (..., obs_dim), in spreads."""
        assert isinstance(self.cost, CostFunction)
        assert self.spread is not None
        assert self.changing is not None
        margins, found = slopes(self.cost, observations)
        changing = (found / self.spread[:, None]).flatten(-2)[..., self.changing]
        return (margins / self.spread).clamp(-WIDEST, WIDEST), changing

    def _margins(self, observations: Tensor) -> Tensor:
        """In units of their spread and cut at one (..., M)."""
        assert isinstance(self.cost, CostFunction)
        found = robustness(self.cost, observations)
        assert found is not None
        assert self.spread is not None
        return (found / self.spread).clamp(-1.0, 1.0)


def signed(unsafe: Tensor) -> Tensor:
    """The danger of labels (...,), 1 or true for unsafe: 1 or -1."""
    return 2.0 * (unsafe > 0).float() - 1.0
