"""The dynamics model's error over the rollout horizon, for the observation and for what the cost function compares,
against standing still: a model that is no better than that imagines nothing of use."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..core.errors import UserError
from ..costs import CostFunction
from ..costs.language.margins import comparisons
from ..data.transitions import Transitions
from ..proco.dynamics import Dynamics, floored

STARTS = 2_000


@torch.no_grad()
def errors(
    model: Dynamics, data: Transitions, horizon: int, cost: CostFunction | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows (steps, quantity, model, still): errors after 1 to `horizon` steps of the recorded actions.

    quantity: "observation": root mean square over the entries, in deviations of the data. Else a comparison of the cost
    function: mean distance of its margin (left less right side) from the recorded one, in its own unit. "model" is the
    mean over the elites, each of which follows its own predictions.

    Raises UserError where no episode is that long.
    """
    length = horizon
    starts = _starts(data, length)
    if not len(starts):
        raise UserError(f"--horizon {horizon}: no recorded episode has so many steps")
    order = torch.randperm(len(starts), generator=torch.Generator().manual_seed(seed))[:STARTS]
    starts = starts[order]
    scale = floored(data.observations.std(0))
    begin = data.observations[starts]
    members = [begin.clone() for _ in range(len(model.elites))]
    rows: list[dict[str, Any]] = []
    for step in range(length):
        actions = data.actions[starts + step]
        members = [model.predict(state, actions, noise=False)[0][e] for e, state in enumerate(members)]
        truth = data.next_observations[starts + step]
        ours = sum(float(_distance(state, truth, scale)) for state in members) / len(members)
        rows.append(_row(step, "observation", ours, float(_distance(begin, truth, scale))))
        if cost is None:
            continue
        real, still = _margins(cost, truth), _margins(cost, begin)
        guessed = [_margins(cost, state) for state in members]
        for name, margin in real.items():
            gaps = [float((g[name] - margin).abs().mean()) for g in guessed if name in g]
            rows.append(_row(step, name, sum(gaps) / max(1, len(gaps)), float((still[name] - margin).abs().mean())))
    return rows


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
