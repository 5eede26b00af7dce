"""How dangerous actions are that are held in the dynamics model, whatever moves by itself. Ours.

The feasibility critic learns this from the model, and knows less: inside danger its Q of all actions are nearly the
same, and a policy that takes the lowest stays there. So where the critic lets no action pass the model itself is asked
(recovery.py), and by look-ahead whatever the policy does (lookahead.py).

What costs is every step in danger, not how deep it is: through a hazard in five steps is better than to lean against a
button for a hundred. So ways are told apart by how many of their steps are unsafe, and by depth only beside that.

What the chain rule leaves of a margin's change (rates.py) and leaves of the next step's too is what moves by itself,
and what does goes on: so every margin is raised by that once for each step of the way (held.py does the same).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .danger import Danger
from .dynamics import Dynamics

DEPTH = 0.5  # what a depth of one spread counts beside a step


class Ways:
    """Danger of actions held for `steps` steps in every elite of `dynamics`."""

    def __init__(self, dynamics: Dynamics, danger: Danger, steps: int) -> None:
        self._dynamics, self._danger, self.steps = dynamics, danger, steps

    @torch.no_grad()
    def __call__(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(N, C) for observations (N, obs_dim) and C actions (N, C, act_dim) of each: where any elite calls any step
        unsafe, 1 and the share of the steps that are, and half their mean depth; else the mean danger, at most 0."""
        return self.after(self._danger.state(observations).expand(len(self._dynamics.elites), -1, -1), actions)

    def after(self, state: Tensor, actions: Tensor) -> Tensor:
        """The same from each elite's own state (elites, N, its width)."""
        count, held = actions.shape[1], actions.flatten(0, 1)
        state = state.repeat_interleave(count, 1)
        found, left = [], self._dynamics.left_by_rule
        for step in range(1, self.steps + 1):
            state = self._dynamics.follow(state, held)
            found.append(self._danger.imagined(state + step * left).amax(0))
        way = torch.stack(found, 1)
        unsafe = way > 0
        inside = 1.0 + unsafe.float().mean(1) + DEPTH * way.clamp_min(0.0).mean(1)
        return torch.where(unsafe.any(1), inside, way.mean(1)).view(-1, count)
