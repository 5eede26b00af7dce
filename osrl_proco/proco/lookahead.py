"""Look before acting: a trained policy's actions tried in the dynamics model first. Ours, not the paper's.

The policy's action stands if, after it, there is still a way to stay out of danger: any of several actions, held for K
steps in every elite of the model (ways.py). Where there is none, it is too late for the policy's action, and of the
actions that stay out of danger from here on the one most like it acts; where none does, the one of least danger on the
way, which is the one that leaves it fastest, and the policy's own if it is as good.

So K must reach as far as it takes to stop. (Model predictive shielding, Bastani and Li 2021, with constant actions for
its backup policy.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.random import RowNoise
from .danger import Danger
from .dynamics import Dynamics
from .recovery import AS_SAFE, all_over
from .ways import Ways

NEAR, FAR = 5, 10  # actions near the policy's own, and all over the action space
CANDIDATES = 1 + NEAR + FAR


class LookAhead:
    """A policy (see algorithms/agent.py) around a policy.

    Args:
        policy: what is asked first, and again after every step.
        ways: of K steps in `dynamics`.
        max_action: bound of the action space.
    """

    def __init__(
        self,
        policy: object,
        dynamics: Dynamics,
        danger: Danger,
        ways: Ways,
        *,
        max_action: float,
        device: torch.device | str = "cpu",
    ) -> None:
        self._policy, self._dynamics, self._danger = policy, dynamics, danger
        self._ways, self._max_action = ways, max_action
        self._noise = RowNoise(device)
        self._breadth = torch.linspace(0.1, 0.5, NEAR, device=device)[:, None]

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        self._policy.reset(rows, seeds)  # type: ignore[attr-defined]
        self._noise.reset(rows, seeds)
        self._ways.drift.reset(rows)

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        self._policy.observe(rewards, costs)  # type: ignore[attr-defined]

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim)."""
        drift = self._ways.drift.seen(observations)  # before the policy is asked, which shares it and says how it acts
        own = self._policy.act(observations)  # type: ignore[attr-defined]
        count = len(observations)
        near = own[:, None] + self._noise.normal(count, NEAR, own.shape[1]) * self._breadth * self._max_action
        far = all_over(FAR, own.shape[1], self._max_action, own.device)
        held = torch.cat([own[:, None], far.expand(count, -1, -1), near], 1)
        held = held.clamp(-self._max_action, self._max_action)
        now = self._danger.state(observations).expand(len(self._dynamics.elites), -1, -1)
        after = self._dynamics.follow(now, own)
        harmless = self._danger.imagined(after + drift).amax(0) <= 0
        # Mostly the first two ways back are enough: the action itself, and none.
        stands = harmless & (self._ways.after(after, held[:, :2], drift, drift) <= 0).any(1)
        if not stands.all():
            open_ = torch.nonzero(~stands).squeeze(1)
            instead = self._instead(now[:, open_], after[:, open_], held[open_], drift[open_], harmless[open_])
            own = own.index_put((open_,), instead)
        self._ways.drift.acted(own)
        return own

    def _instead(self, now: Tensor, after: Tensor, held: Tensor, drift: Tensor, harmless: Tensor) -> Tensor:
        """What acts (N, act_dim) where neither holding on nor doing nothing is a way back from the first of `held`."""
        drifted = torch.cat([torch.zeros_like(drift), drift])
        both = self._ways.after(torch.cat([now, after], 1), held.repeat(2, 1, 1), drift.repeat(2, 1), drifted)
        danger, back = both.chunk(2)
        allowed = danger <= 0
        distance = (held - held[:, :1]).square().sum(-1).masked_fill(~allowed, torch.inf)
        least, safest = danger.min(1)
        safest = torch.where(danger[:, 0] <= least + AS_SAFE, 0, safest)
        chosen = torch.where(allowed.any(1), distance.argmin(1), safest)
        chosen = torch.where(harmless & (back <= 0).any(1), 0, chosen)
        return held[torch.arange(len(held), device=held.device), chosen]
