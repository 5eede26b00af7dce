"""Actions held for several steps: what the feasibility critic learns from where one step is too short to matter. Ours.

In a step of .02 s an action changes less than a critic errs by: Q of the best action hardly differs from Q of the
worst, and a policy that asks for the lowest follows the error (Tallec et al. 2019, arXiv 1901.09732, on Q-learning with
short steps). So every action is held for K steps in the dynamics model and judged by the danger on the way,

    Q(s,a) = (1 - gamma^K) h(way) + gamma^K max{h(way), V(s_K)},    above 0 where any of the K states is unsafe.

Whoever decides every K steps only can also decide at every step: what is feasible so is feasible. What moves by itself
goes on; where to, a recorded state does not show, so every margin is raised once for each step by what the chain rule
usually leaves of its change, and leaves of the next step's too (rates.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .danger import Danger
from .dynamics import Dynamics
from .feasibility import FeasibilityBatch

BLOCK = 2_000  # states at a time


@torch.no_grad()
def hold(
    dynamics: Dynamics, danger: Danger, starts: Tensor, actions: Tensor, steps: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Where actions (N, act_dim) lead that are held from observations (N, obs_dim) on, in every elite by itself.

    Returns the observations (N, obs_dim) at the end, each of one random elite, and the danger (N, steps) on the way,
    the largest of any elite, so that a state counts as unsafe where any says so.
    """
    ends, ways, left = [], [], dynamics.left_by_rule
    blocks = list(zip(starts.split(BLOCK), actions.split(BLOCK), strict=True))
    for start, action in tqdm(blocks, desc="Actions held", delay=5, leave=False):
        state = danger.state(start).expand(len(dynamics.elites), -1, -1)
        found = []
        for step in range(1, steps + 1):
            state = dynamics.follow(state, action)
            found.append(danger.imagined(state + step * left).amax(0))
        elite = torch.randint(len(dynamics.elites), (len(start),), generator=generator, device=start.device)
        ends.append(danger.observation(state[elite, torch.arange(len(start), device=start.device)]))
        ways.append(torch.stack(found, 1))
    return torch.cat(ends), torch.cat(ways)


def along(ways: Tensor) -> Tensor:
    """The danger (N,) of ways (N, steps): 1 to 2 where any step is unsafe, less the fewer and the shallower they are,
    which shows the way out of danger; else their mean, at most 0."""
    return torch.where((ways > 0).any(1), 1.0 + 0.5 * ways.clamp_min(0.0).mean(1), ways.mean(1))


def held_on(
    recorded: FeasibilityBatch, dynamics: Dynamics, danger: Danger, steps: int, generator: torch.Generator
) -> FeasibilityBatch:
    """Recorded steps (N, ...), after which their actions are held for `steps` - 1 more; ends of the task stay so."""
    ends, imagined = hold(dynamics, danger, recorded.next_observations, recorded.actions, steps - 1, generator)
    way = along(torch.cat([recorded.next_danger[:, None], imagined], 1))
    on = recorded.terminals == 0
    return recorded._replace(
        next_observations=torch.where(on[:, None], ends, recorded.next_observations),
        next_danger=torch.where(on, way, recorded.next_danger),
    )


@torch.no_grad()
def held_rollout(
    dynamics: Dynamics,
    danger: Danger,
    act: Callable[[Tensor], Tensor],
    starts: Tensor,
    *,
    length: int,
    steps: int,
    noise: float,
    max_action: float,
    generator: torch.Generator,
) -> tuple[FeasibilityBatch, dict[str, float]]:
    """Hold an action for `steps` from each start (N, obs_dim), then another where that ended in danger, `length` times.

    Every other action is the policy's plus N(0, noise²), clipped; the rest lie anywhere in the action space, many on
    its edge. Going on only from danger: there the data have nothing, and elsewhere an imagined start is worse than a
    recorded one.

    Returns the transitions (M, ...) and the figures `rollout/violating` (share of the first ways that meet a violation)
    and `rollout/lasting` (share of them that end in one).
    """
    parts: list[FeasibilityBatch] = []
    left: list[int] = []
    seen, own = starts, danger.recorded(starts)
    for _ in range(length):
        action = act(seen)
        drawn = torch.randn(action.shape, generator=generator, device=action.device)
        anything = 3.0 * torch.rand(action.shape, generator=generator, device=action.device) - 1.5
        every_other = (torch.arange(len(seen), device=seen.device) % 2 == 0)[:, None]
        action = torch.where(every_other, action + noise * max_action * drawn, max_action * anything)
        action = action.clamp(-max_action, max_action)
        ends, ways = hold(dynamics, danger, seen, action, steps, generator)
        parts.append(FeasibilityBatch(seen, action, ends, own, along(ways), torch.zeros_like(own)))
        lasting = ways[:, -1] > 0
        seen, own = ends[lasting], ways[lasting, -1]
        left.append(len(seen))
        if not len(seen):
            break
    violating = (parts[0].next_danger > 0).float().mean()
    figures = {"rollout/violating": float(violating), "rollout/lasting": left[0] / len(starts)}
    return FeasibilityBatch(*(torch.cat(column) for column in zip(*parts, strict=True))), figures
