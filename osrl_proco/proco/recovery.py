"""The way back at test time: an action that the feasibility critic warns of gives way to another. Ours.

A policy chooses among what the data's drivers do, and they brake late or know only one way to turn. The critic has
learned of actions all over the action space, in imagination, and so can choose among those too:

    a(s) = the policy's if Q_h(s, a) <= c; else of 16 fixed actions the one most like it with Q_h <= c; else the one of
           the lowest Q_h,

the last of which is kept to while its Q_h stays within .1 of the lowest: inside danger many are nearly as good, and
whoever takes another in every step goes nowhere. Or, in place of the last, the one that is the least dangerous in the
dynamics model (ways.py), kept to likewise for as many steps as it was judged for.

With --hold an action is judged as if it went on for K steps, but acts for one. So a policy of few actions is sent back
from danger that it would have passed by, and then stands before it. `where="lost"` lets any action stand where also
V_h(s) <= c, that is while some action still leads away. (The least restrictive controller of reachability: Bansal et
al. 2017, arXiv 1709.07523.)

(Recovery RL, Thananjeyan et al. 2021, arXiv 2010.15920, eq. 2: a second policy takes over above a threshold of Q; here
it is the critic's own choice.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from .feasibility import FeasibilityLearner
from .ways import Ways

if TYPE_CHECKING:
    from ..algorithms.agent import Policy

FAR = 16  # actions tried beside the policy's
WITHIN = 0.1  # of the lowest Q: as good
AS_SAFE = 0.2  # of the least danger in the model, three steps in danger of 15: as good


@cache
def all_over(count: int, act_dim: int, max_action: float, device: torch.device | str = "cpu") -> Tensor:
    """Actions (count, act_dim) all over the action space, many on its edge, the first 0; always the same, so that a way
    back that was there a step ago is there now."""
    points = torch.quasirandom.SobolEngine(act_dim).draw(count + 1)[1:]  # the first is a corner
    return (2.0 * max_action * (2.0 * points - 1.0)).clamp(-max_action, max_action).to(device)


class Recovering:
    """A policy (see algorithms/agent.py) around a policy.

    Args:
        policy: what acts where its action's Q is at most `above`.
        learner: of the feasibility critic.
        where: "action": its action gives way wherever its Q is above `above`; "lost": only where V is, too.
        ways: where no action passes, says which is the safest; None: their Q does.
    """

    def __init__(
        self,
        policy: Policy,
        learner: FeasibilityLearner,
        above: float,
        max_action: float,
        where: str = "action",
        ways: Ways | None = None,
    ) -> None:
        self._policy, self._learner, self._lost, self._ways = policy, learner, where == "lost", ways
        self._above, self._max_action = above, max_action
        self._kept = torch.zeros(0, dtype=torch.long)  # (rows,): the action tried that each keeps to; 0, its own: none
        self._since = torch.zeros(0, dtype=torch.long)  # (rows,): steps in which it was taken since none passes

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        self._policy.reset(rows, seeds)
        if self._ways is not None:
            self._ways.drift.reset(rows)
        for row in rows:
            self._kept[row : row + 1] = self._since[row : row + 1] = 0

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        self._policy.observe(rewards, costs)

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim)."""
        own = self._policy.act(observations)
        count, act_dim = own.shape
        far = all_over(FAR, act_dim, self._max_action, own.device)
        tried = torch.cat([own[:, None], far.expand(count, -1, -1)], 1)
        repeated = observations.repeat_interleave(FAR + 1, 0)
        q = self._learner.target.q(repeated, tried.flatten(0, 1)).view(count, FAR + 1)
        more = (0, max(0, count - len(self._kept)))
        self._kept, self._since = (pad(one.to(own.device), more) for one in (self._kept, self._since))
        kept, row = self._kept[:count], torch.arange(count, device=own.device)
        passing = q <= self._above
        if self._lost:
            passing[:, 0] |= self._learner.critic.value(observations) <= self._above
        distance = (tried - own[:, None]).square().sum(-1).masked_fill(~passing, torch.inf)  # 0 from itself
        danger, as_good, again = q, WITHIN, torch.zeros_like(kept, dtype=torch.bool)
        none = torch.nonzero(~passing.any(1)).squeeze(1)
        if self._ways is not None:
            drift = self._ways.drift.seen(observations)  # in every step, for the next
            if len(none):
                danger = q.index_put((none,), self._ways(observations[none], tried[none], drift[none]))
                as_good, again = AS_SAFE, self._since[:count] >= self._ways.steps
        least, safest = danger.min(1)
        still = (kept > 0) & (danger[row, kept] <= least + as_good) & ~again
        chosen = torch.where(passing.any(1), distance.argmin(1), torch.where(still, kept, safest))
        since = torch.where(still, self._since[:count] + 1, 1)
        self._since[:count] = torch.where(passing.any(1), 0, since)
        self._kept[:count] = chosen
        acts = tried[row, chosen]
        if self._ways is not None:
            self._ways.drift.acted(acts)
        return acts


def recovering(
    policy: Policy,
    learner: FeasibilityLearner | None,
    config: Any,
    max_action: float,
    ways: Ways | None = None,
) -> Policy:
    """`policy` with a way back; unchanged where there is no critic, or no threshold in `config.recover`.

    config: also has `recover_where`, see `Recovering`.
    """
    above = config.recover
    if learner is None or above is None:
        return policy
    return Recovering(policy, learner, above, max_action, config.recover_where, ways)
