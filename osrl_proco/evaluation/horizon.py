"""The dynamics model's error over the rollout horizon, for the observation and for what the cost function compares,
against standing still: a model that is no better than that imagines nothing of use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core.errors import UserError
from ..costs import CostFunction
from ..costs.language.margins import comparisons
from ..data.transitions import Transitions
from ..proco.danger import Danger
from ..proco.dynamics import Dynamics, floored

STARTS = 20_000


@torch.no_grad()
def errors(
    model: Dynamics, data: Transitions, horizon: int, danger: Danger | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows (steps, quantity, model, still): errors after 1 to `horizon` steps of the recorded actions.

    quantity: "observation": root mean square over the entries, in deviations of the data. A comparison of the cost
    function: mean distance of its margin (left less right side) from the recorded one, in its own unit, where it is
    read from the predicted observation. "margin 1" and on, where the model's states hold margins: mean distance of the
    predicted one, in its own unit. "model" is the mean over the elites, each of which follows its own predictions.

    Args:
        danger: what reads the model's states; without it, the observation's error alone.

    Raises UserError where no episode is that long.
    """
    reader = danger or Danger(lambda states: states[..., 0], data.observations.shape[1])
    starts = _drawn(data, horizon, seed)
    scale = floored(data.observations.std(0))
    begin = data.observations[starts]
    states = reader.state(begin).expand(len(model.elites), -1, -1)
    rows: list[dict[str, Any]] = []
    for step in range(horizon):
        states = model.follow(states, data.actions[starts + step])
        truth = data.next_observations[starts + step]
        seen = reader.observation(states)
        ours = sum(float(_distance(one, truth, scale)) for one in seen) / len(seen)
        rows.append(_row(step, "observation", ours, float(_distance(begin, truth, scale))))
        if danger is None:
            continue
        if isinstance(danger.cost, CostFunction):
            cost = danger.cost
            real, still = _margins(cost, truth), _margins(cost, begin)
            guessed = [_margins(cost, one) for one in seen]
            for name, margin in real.items():
                gaps = [float((g[name] - margin).abs().mean()) for g in guessed if name in g]
                rows.append(_row(step, name, sum(gaps) / max(1, len(gaps)), float((still[name] - margin).abs().mean())))
        if danger.spread is not None:
            at, now = (danger.state(x)[..., danger.obs_dim :] * danger.spread for x in (truth, begin))
            for part, predicted in enumerate((states[..., danger.obs_dim :] * danger.spread).unbind(-1)):
                ours, stood = ((x - at[:, part]).abs().mean().item() for x in (predicted, now[:, part]))
                rows.append(_row(step, f"margin {part + 1}", ours, stood))
    return rows


@dataclass(frozen=True)
class Foresight:
    """What the model says of starts that are not in danger yet: do they get into it within so many recorded steps?

    recall: share of those that do of which it says so. precision: share of those it says so of that do.
    false_alarms: share of those that do not of which it says so. entering: share that do.
    """

    steps: int
    recall: float
    precision: float
    false_alarms: float
    entering: float

    def __str__(self) -> str:
        return (
            f"within {self.steps} step{'s' if self.steps > 1 else ''} {self.entering:.2%} get into danger: recall "
            f"{self.recall:.2f}, precision {self.precision:.2f}, false alarms {self.false_alarms:.2%}"
        )


@torch.no_grad()
def foresight(model: Dynamics, data: Transitions, danger: Danger, steps: int, seed: int = 0) -> Foresight:
    """Whether any elite, following its own predictions under the recorded actions, gets into danger within `steps`.

    Raises UserError where no episode is that long.
    """
    starts = _drawn(data, steps, seed)
    starts = starts[danger.recorded(data.observations[starts]) <= 0]
    states = danger.state(data.observations[starts]).expand(len(model.elites), -1, -1)
    does = torch.zeros(len(starts), dtype=torch.bool, device=states.device)
    says = does.clone()
    for step in range(steps):
        states = model.follow(states, data.actions[starts + step])
        says |= (danger.imagined(states) > 0).any(0)
        does |= danger.recorded(data.next_observations[starts + step]) > 0

    def share(part: Tensor, whole: Tensor) -> float:
        return float(part.sum() / whole.sum()) if whole.any() else float("nan")

    return Foresight(
        steps,
        share(says & does, does),
        share(says & does, says),
        share(says & ~does, ~does),
        float(does.float().mean()),
    )


def _drawn(data: Transitions, length: int, seed: int) -> Tensor:
    """At most `STARTS` rows from which an episode goes on for `length` steps."""
    starts = _starts(data, length)
    if not len(starts):
        raise UserError(f"--horizon {length}: no recorded episode has so many steps")
    order = torch.randperm(len(starts), generator=torch.Generator().manual_seed(seed))[:STARTS]
    return starts[order].to(data.observations.device)


def _row(step: int, quantity: str, model: float, still: float) -> dict[str, Any]:
    return {"steps": step + 1, "quantity": quantity, "model": model, "still": still}


def _starts(data: Transitions, length: int) -> Tensor:
    """Rows from which an episode goes on for `length` steps."""
    last = data.last.cpu()
    ends = torch.cumsum(last, 0)
    ends = torch.cat([torch.zeros(1), ends])  # episodes that ended before row i
    count = len(data) - length + 1
    if count < 1:
        return torch.zeros(0, dtype=torch.long)
    rows = torch.arange(count)
    return rows[ends[rows + length - 1] == ends[rows]]


def _distance(guess: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
    return (((guess - truth) / scale) ** 2).mean().sqrt()


def _margins(cost: CostFunction, states: Tensor) -> dict[str, Tensor]:
    """Left less right side of every comparison, by its text; a text that comes twice counts once."""
    return {f"{c.text} {c.operator}": c.left - c.right for c in comparisons(cost, states)}
