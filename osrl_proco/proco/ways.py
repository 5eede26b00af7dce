"""How dangerous actions are that are held in the dynamics model, whatever moves by itself. Ours.

The feasibility critic learns this from the model, and knows less: inside danger its Q of all actions are nearly the
same, and a policy that takes the lowest stays there. So where the critic lets no action pass the model itself is asked
(recovery.py), and by look-ahead whatever the policy does (lookahead.py).

What costs is every step in danger, not how deep it is: through a hazard in five steps is better than to lean against a
button for a hundred. So ways are told apart by how many of their steps are unsafe, and by depth only beside that.

What moves by itself goes on: every margin is raised by its drift (drift.py) once for each step of the way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .danger import Danger
from .drift import Drift
from .dynamics import Dynamics

DEPTH = 0.5  # what a depth of one spread counts beside a step


class Ways:
    """Danger of actions held for `steps` steps in every elite of `dynamics`, in the episodes of one policy. What looks
    further in the same episodes has their `drift`, too."""

    def __init__(self, dynamics: Dynamics, danger: Danger, steps: int, drift: Drift | None = None) -> None:
        self._dynamics, self._danger, self.steps = dynamics, danger, steps
        self.drift = drift or Drift(dynamics, danger)

    @torch.no_grad()
    def __call__(self, observations: Tensor, actions: Tensor, drift: Tensor) -> Tensor:
        """(N, C) for observations (N, obs_dim), C actions (N, C, act_dim) of each and what drifts in each step (N, the
        width of the model's states): where any elite calls any step unsafe, 1 and the share of the steps that are, and
        half their mean depth; else the mean danger, at most 0."""
        state = self._danger.state(observations).expand(len(self._dynamics.elites), -1, -1)
        return self.after(state, actions, drift, torch.zeros_like(drift))

    def after(self, state: Tensor, actions: Tensor, drift: Tensor, drifted: Tensor) -> Tensor:
        """The same from each elite's own state (elites, N, its width), beside which there has been some drift."""
        count, held = actions.shape[1], actions.flatten(0, 1)
        state = state.repeat_interleave(count, 1)
        drift, drifted = (one.repeat_interleave(count, 0) for one in (drift, drifted))
        found = []
        for _ in range(self.steps):
            state, drifted = self._dynamics.follow(state, held), drifted + drift
            found.append(self._danger.imagined(state + drifted).amax(0))
        way = torch.stack(found, 1)
        unsafe = way > 0
        inside = 1.0 + unsafe.float().mean(1) + DEPTH * way.clamp_min(0.0).mean(1)
        return torch.where(unsafe.any(1), inside, way.mean(1)).view(-1, count)
