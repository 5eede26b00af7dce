"""Where no episode can be run: measures of a policy and its critic on recorded data that were held out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..algorithms.agent import Agent
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityCritic

SHARE = 0.05
CHUNK = 4_096  # states a policy acts on at a time: some try dozens of actions for each


@dataclass(frozen=True)
class HeldOut:
    """Transitions that no update sees, and the violations kept aside (D_u)."""

    data: Transitions
    unsafe: Transitions

    def to(self, device: str) -> HeldOut:
        return HeldOut(self.data.to(device), self.unsafe.to(device))


def hold_out(data: Transitions, unsafe: Transitions, seed: int) -> tuple[Transitions, HeldOut]:
    """Take `SHARE` of the runs out of `data`, drawn by `seed`; of fewer than 20 runs, the last rows instead."""
    run = torch.cumsum(torch.cat([torch.zeros(1), data.last[:-1]]), 0).long()
    count = int(run[-1]) + 1
    if count * SHARE >= 1:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        out = torch.isin(run, order[: int(count * SHARE)])
    else:
        out = torch.arange(len(data)) >= len(data) - max(1, int(len(data) * SHARE))
    return data.keep(~out), HeldOut(data.keep(out), unsafe)


@torch.no_grad()
def measure(agent: Agent, held: HeldOut) -> dict[str, float]:
    """What can be said without a simulator. Shares; the critic's only where PROCO's is there.

    action_error: mean squared distance of the policy's action from the recorded one, per entry.
    infeasible: held-out states with V > 0.
    policy_infeasible: of the others, those where the policy's action has Q > 0, so that safety would be lost.
    violations_foreseen: of the states one step before a kept violation, those with V > 0 or Q > 0.
    """
    data, generator = held.data, torch.Generator(held.data.observations.device).manual_seed(0)
    actions = torch.cat([agent.act(states, generator) for states in data.observations.split(CHUNK)])
    figures = {"action_error": float(((actions - data.actions) ** 2).mean())}
    if agent.feasibility is None:
        return figures
    critic = agent.feasibility.critic
    feasible = _value(critic, data.observations) <= 0
    loses = _q(critic, data.observations, actions) > 0
    figures["infeasible"] = float((~feasible).float().mean())
    figures["policy_infeasible"] = float(loses[feasible].float().mean()) if bool(feasible.any()) else float("nan")
    if len(held.unsafe):
        before = held.unsafe.observations
        foreseen = (_value(critic, before) > 0) | (_q(critic, before, held.unsafe.actions) > 0)
        figures["violations_foreseen"] = float(foreseen.float().mean())
    return figures


def _value(critic: FeasibilityCritic, states: Tensor) -> Tensor:
    return torch.cat([critic.value(part) for part in states.split(CHUNK)])


def _q(critic: FeasibilityCritic, states: Tensor, actions: Tensor) -> Tensor:
    parts = zip(states.split(CHUNK), actions.split(CHUNK), strict=True)
    return torch.cat([critic.q(s, a) for s, a in parts])
