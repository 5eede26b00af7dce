"""What a cost function compares, and by how much: the numbers that feedback and pictures are made of."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .function import CostFunction
from .interpreter import Evaluation

GREATER = (ast.Gt, ast.GtE)


@dataclass(frozen=True)
class Comparison:
    """One `left < right` of the text, evaluated on N states.

    `left` (N,) and `right` (N,) are those of the state's decisive component where one side has several: the largest
    left side for > and >=, the smallest for the others.
    """

    text: str  # as it is written, without the operator's right side
    operator: str
    left: Tensor
    right: Tensor


@torch.no_grad()
def comparisons(cost: CostFunction, states: Tensor) -> list[Comparison]:
    """Every comparison that `cost` makes on `states` (N, obs_dim), N > 0, in the order in which it makes them."""
    tracing = _Tracing(cost.task, states)
    tracing.run(cost.tree)
    return [c for seen in tracing.seen for c in _per_state(*seen, len(states))]


class _Tracing(Evaluation):
    """An evaluation that remembers both sides of every comparison."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[tuple[ast.Compare, Any, Any]] = []

    def compared(self, node: ast.Compare, left: Any, right: Any) -> None:
        self.seen.append((node, left, right))


def _per_state(node: ast.Compare, left: Any, right: Any, count: int) -> list[Comparison]:
    sides = [x.float() if isinstance(x, Tensor) else torch.tensor(float(x)) for x in (left, right)]
    if not any(s.dim() for s in sides):
        return []  # a condition on numbers, the same for all states
    sides = list(torch.broadcast_tensors(*sides))
    if sides[0].shape[0] != count:
        return []
    gap = (sides[0] - sides[1]).reshape(count, -1)
    decisive = gap.argmax(1) if isinstance(node.ops[0], GREATER) else gap.argmin(1)
    at = [s.reshape(count, -1).gather(1, decisive[:, None])[:, 0] for s in sides]
    symbol = ast.unparse(node)[len(ast.unparse(node.left)) :].strip().split(" ")[0]
    return [Comparison(ast.unparse(node.left), symbol, *at)]


def entries_read(cost: CostFunction) -> list[str]:
    """The names of the entries that the text reads, in the order of the observation."""
    names = {
        node.slice.value
        for node in ast.walk(cost.tree)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    }
    return [e.name for e in cost.task.entries if e.name in names]
