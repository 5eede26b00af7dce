"""How dangerous actions are that are held in the dynamics model, whatever moves by itself. Ours.

The feasibility critic learns this from the model, and knows less: inside danger its Q of all actions are nearly the
same, and a policy that takes the lowest stays there. So where the critic lets no action pass the model itself is asked
(recovery.py), and by look-ahead whatever the policy does (lookahead.py).

What the chain rule leaves of a margin's change (rates.py) is mostly what moves by itself, and what does goes on: so
every margin is raised by what is usually left, once for each step of the way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .danger import Danger
from .dynamics import Dynamics
from .held import along


class Ways:
    """Danger of actions held for `steps` steps in every elite of `dynamics`."""

    def __init__(self, dynamics: Dynamics, danger: Danger, steps: int) -> None:
        self._dynamics, self._danger, self._steps = dynamics, danger, steps

    @torch.no_grad()
    def __call__(self, observations: Tensor, actions: Tensor) -> Tensor:
        """(N, C) for observations (N, obs_dim) and C actions (N, C, act_dim) of each: above 0 where any elite calls any
        step unsafe, see `held.along`."""
        return self.after(self._danger.state(observations).expand(len(self._dynamics.elites), -1, -1), actions)

    def after(self, state: Tensor, actions: Tensor) -> Tensor:
        """The same from each elite's own state (elites, N, its width)."""
        count, held = actions.shape[1], actions.flatten(0, 1)
        state = state.repeat_interleave(count, 1)
        found, left = [], self._dynamics.left_by_rule
        for step in range(1, self._steps + 1):
            state = self._dynamics.follow(state, held)
            found.append(self._danger.imagined(state + step * left).amax(0))
        return along(torch.stack(found, 1)).view(-1, count)
