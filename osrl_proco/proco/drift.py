"""What moves by itself goes on as it was seen to. Ours.

One observation does not show where a gremlin goes. But what the dynamics model did not expect of the margins' last step
under the action that was taken is mostly that, and of it the share `lasting` (rates.py) is left of the next step, too:

    d_j = lasting_j (m_j(s_t) - E[m_j(s_t) | s_{t-1}, a_{t-1}]),

the estimate of a disturbance observer. A way in the model (ways.py) that raises every margin by it in each step is not
afraid of what leaves, and knows which side the rest comes from. Where nothing was seen, as in an episode's first step,
or a jump, as when another gremlin becomes the nearest, a margin is raised by what is usual.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .danger import NEARLY_CUT, Danger
from .dynamics import Dynamics
from .rates import JUMP


class Drift:
    """Of the episodes that one policy acts in, a row each. Zero for a model without the chain rule."""

    def __init__(self, dynamics: Dynamics, danger: Danger) -> None:
        self._dynamics, self._danger = dynamics, danger
        self._now: Tensor | None = None  # states (N, width) that `seen` was asked of
        self._before: tuple[Tensor, Tensor] | None = None  # the states and actions (N, act_dim) of the last step
        self._known = torch.zeros(0, dtype=torch.bool)  # (rows,): whether their episode has a last step

    def reset(self, rows: Sequence[int]) -> None:
        """Episodes begin in these rows."""
        for row in rows:
            self._known[row : row + 1] = False

    @torch.no_grad()
    def seen(self, observations: Tensor) -> Tensor:
        """What each further step adds to the model's states from observations (N, obs_dim) of rows 0 to N - 1 on
        (N, its width): 0 but for margins."""
        self._now = now = self._danger.state(observations)
        usual = self._dynamics.left_by_rule.expand_as(now)
        if self._before is None or self._dynamics.rates is None:
            return usual
        count = min(len(now), len(self._known))
        before, actions = (one[:count] for one in self._before)
        expected = self._dynamics.follow(before.expand(len(self._dynamics.elites), -1, -1), actions).mean(0)
        unexpected = now[:count] - expected
        smooth = (unexpected.abs() < JUMP * self._dynamics.target_std[:-1]) & self._known[:count, None].to(now.device)
        smooth &= (before.abs() < NEARLY_CUT) & (now[:count].abs() < NEARLY_CUT)
        found = torch.where(smooth, unexpected * self._dynamics.lasting, usual[:count])
        return torch.cat([found, usual[count:]])

    def acted(self, actions: Tensor) -> None:
        """The actions (N, act_dim) that were taken where `seen` was asked last."""
        assert self._now is not None
        self._before, self._known = (self._now, actions), torch.ones(len(actions), dtype=torch.bool)
