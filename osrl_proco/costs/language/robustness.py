"""By how much a cost function says what it says: its comparisons' margins, carried through its logic.

A comparison's margin is the difference of its sides, above 0 where it holds. `|` and `any` take the largest, `&` and
`all` the smallest, `~` turns the sign: the quantitative semantics of temporal logic (Donzé and Maler 2010, "Robust
Satisfaction of Temporal Logic over Real-Valued Signals", without time). The result is above 0 where the function says
unsafe, below where it says safe, and changes as gradually as the entries that the function reads.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .function import BLOCK, CostFunction
from .interpreter import Evaluation
from .operations import BINARY, COMPARE, FUNCTIONS, METHODS_ONLY, UNARY, is_number

PARTS = 16  # alternatives kept apart, at most
FAR = 1e6  # stands for a margin that is infinite: a branch that can never be taken

Parts = tuple[Tensor, ...]  # the margin is the largest of them: alternatives that `|` joined


@torch.no_grad()
def robustness(cost: CostFunction, states: Tensor) -> Tensor | None:
    """Margins (..., M) of `states` (..., obs_dim), in the units of the comparisons: unsafe where any is above 0.

    M is the number of alternatives that the function's text joins by `|` (those of more than 16 as one). None where the
    text counts, or calculates with truths in some other way that has no margin.
    """
    blocks = []
    for block in states.reshape(-1, states.shape[-1]).split(BLOCK):
        columns = _columns(cost, block)
        if columns is None:
            return None
        blocks.append(torch.stack(columns, 1))
    return torch.cat(blocks).reshape(*states.shape[:-1], -1)


def slopes(cost: CostFunction, states: Tensor) -> tuple[Tensor, Tensor]:
    """The margins (..., M) of `states` (..., obs_dim), and how each changes with each entry of the observation
    (..., M, obs_dim): of a lidar's largest bin that says which bin it is, of a speed its direction. 0 where that is not
    finite. Raises ValueError where the text has no margins.
    """
    blocks = []
    for block in states.reshape(-1, states.shape[-1]).split(BLOCK):
        with torch.enable_grad():
            entries = block.detach().requires_grad_()
            columns = _columns(cost, entries)
            if columns is None:
                raise ValueError("a cost function without margins has no slopes")
            # One after the other, not of the stack: through it each would go back through all of them.
            rows = [_gradient(column, entries) for column in columns]
        changes = torch.nan_to_num(torch.stack(rows, 1), nan=0.0, posinf=0.0, neginf=0.0)
        blocks.append((torch.stack(columns, 1).detach(), changes))
    margins, found = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    shape = states.shape[:-1]
    return margins.reshape(*shape, -1), found.reshape(*shape, -1, states.shape[-1])


def _gradient(column: Tensor, entries: Tensor) -> Tensor:
    if not column.requires_grad:  # a branch that no entry decides
        return torch.zeros_like(entries)
    (found,) = torch.autograd.grad(column.sum(), entries, retain_graph=True, allow_unused=True)
    return torch.zeros_like(entries) if found is None else found


def _columns(cost: CostFunction, block: Tensor) -> list[Tensor] | None:
    """Margins, each (N,), of states (N, obs_dim)."""
    carrying = _Carrying(cost.task, block)
    parts = carrying.parts_of(carrying.run(cost.tree))
    if parts is None:
        return None
    if len(parts) > PARTS:
        parts = (_largest(parts),)
    return [
        torch.nan_to_num(part.expand(len(block)), nan=FAR, posinf=FAR, neginf=-FAR).clamp(-FAR, FAR) for part in parts
    ]


class _Carrying(Evaluation):
    """An evaluation in which every truth has a margin beside it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # By identity; the truths are kept too, so that no identity is used twice.
        self._margins: dict[int, tuple[Tensor, Parts]] = {}

    def parts_of(self, value: Any) -> Parts | None:
        """The margin of a truth; that of a constant is infinite; None of anything else."""
        if isinstance(value, Tensor):
            found = self._margins.get(id(value))
            return found[1] if found else None
        if is_number(value) and value in (0, 1):
            return (torch.tensor(math.inf if value else -math.inf, device=self.observations.device),)
        return None

    def _guarded(self, node: ast.AST, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        value = super()._guarded(node, function, *arguments, **keywords)
        rule = RULES.get(function)
        if rule is not None and isinstance(value, Tensor):
            self._keep(value, rule(self, function, arguments, keywords))
        return value

    def _indexed(self, tensor: Tensor, parts: tuple[Any, ...]) -> Tensor:
        value = super()._indexed(tensor, parts)
        margin = self.parts_of(tensor)
        self._keep(value, None if margin is None else tuple(p.expand(tensor.shape)[parts] for p in margin))
        return value

    def _keep(self, value: Tensor, margin: Parts | None) -> None:
        if margin is not None:
            self._margins[id(value)] = value, margin


Rule = Callable[[_Carrying, Callable[..., Any], tuple[Any, ...], dict[str, Any]], "Parts | None"]


def _largest(parts: Parts) -> Tensor:
    whole = parts[0]
    for part in parts[1:]:
        whole = torch.maximum(whole, part)
    return whole


def _difference(left: Any, right: Any) -> Tensor:
    return (left.float() if isinstance(left, Tensor) else left) - (
        right.float() if isinstance(right, Tensor) else right
    )


def _compared(sign: int) -> Rule:
    """left > right (sign 1) or left < right (-1), whether or not equality counts."""

    def rule(carrying: _Carrying, function: Any, arguments: tuple[Any, ...], keywords: Any) -> Parts | None:
        left, right = arguments
        truth, number = (left, right) if isinstance(left, Tensor) else (right, left)
        margin = carrying.parts_of(truth)
        if margin is None:
            return (sign * _difference(left, right),)
        # A truth as a number against a number between its two values.
        at_one, at_zero = (bool(function(*_put(arguments, truth, x))) for x in (1, 0)) if is_number(number) else (0, 0)
        if at_one == at_zero:
            return None
        return margin if at_one else (-_largest(margin),)

    return rule


def _put(arguments: tuple[Any, ...], truth: Tensor, number: int) -> tuple[Any, ...]:
    return tuple(number if a is truth else a for a in arguments)


def _equal(carrying: _Carrying, function: Any, arguments: tuple[Any, ...], keywords: Any) -> Parts | None:
    if any(isinstance(a, Tensor) and carrying.parts_of(a) is not None for a in arguments):
        return _compared(1)(carrying, function, arguments, keywords)
    gap = _difference(*arguments).abs()
    return (gap if function is COMPARE[ast.NotEq] else -gap,)


def _logical(combine: Callable[..., Parts]) -> Rule:
    """Of two truths, or of one."""

    def rule(carrying: _Carrying, function: Any, arguments: tuple[Any, ...], keywords: Any) -> Parts | None:
        margins = [carrying.parts_of(a) for a in arguments]
        if any(m is None for m in margins):
            return None
        return combine(*margins)

    return rule


def _either(a: Parts, b: Parts) -> Parts:
    return (*a, *b)


def _both(a: Parts, b: Parts) -> Parts:
    return (torch.minimum(_largest(a), _largest(b)),)


def _one(a: Parts, b: Parts) -> Parts:
    x, y = _largest(a), _largest(b)
    return (torch.maximum(torch.minimum(x, -y), torch.minimum(-x, y)),)


def _not(a: Parts) -> Parts:
    return (-_largest(a),)


def _same(a: Parts) -> Parts:
    return a


def _chosen(condition: Parts, yes: Parts, no: Parts) -> Parts:
    c = _largest(condition)
    return (torch.maximum(torch.minimum(c, _largest(yes)), torch.minimum(-c, _largest(no))),)


def _reduced(name: str) -> Rule:
    """any, amax: the largest along a dim of each alternative; all, amin: the smallest of all."""

    def rule(carrying: _Carrying, function: Any, arguments: tuple[Any, ...], keywords: Any) -> Parts | None:
        margin = carrying.parts_of(arguments[0])
        if margin is None:
            return None
        if len(arguments) > 1 and isinstance(arguments[1], Tensor):  # max(a, b)
            return _logical(_either if name == "amax" else _both)(carrying, function, arguments, keywords)
        if name == "amin":
            margin = (_largest(margin),)
        shape = arguments[0].shape
        return tuple(FUNCTIONS[name](p.expand(shape), *arguments[1:], **keywords) for p in margin)

    return rule


def _from_one(carrying: _Carrying, function: Any, arguments: tuple[Any, ...], keywords: Any) -> Parts | None:
    """1 - truth."""
    margin = carrying.parts_of(arguments[1])
    return _not(margin) if margin is not None and not isinstance(arguments[0], Tensor) and arguments[0] == 1 else None


RULES: dict[Callable[..., Any], Rule] = {
    **{COMPARE[kind]: _compared(1) for kind in (ast.Gt, ast.GtE)},
    **{COMPARE[kind]: _compared(-1) for kind in (ast.Lt, ast.LtE)},
    **{COMPARE[kind]: _equal for kind in (ast.Eq, ast.NotEq)},
    **{f: _logical(_either) for f in (BINARY[ast.BitOr], FUNCTIONS["logical_or"], FUNCTIONS["maximum"])},
    **{
        f: _logical(_both)
        for f in (BINARY[ast.BitAnd], FUNCTIONS["logical_and"], FUNCTIONS["minimum"], BINARY[ast.Mult])
    },
    **{f: _logical(_one) for f in (BINARY[ast.BitXor], FUNCTIONS["logical_xor"])},
    **{f: _logical(_not) for f in (UNARY[ast.Invert], FUNCTIONS["logical_not"])},
    **{METHODS_ONLY[name]: _logical(_same) for name in ("float", "bool", "long", "int")},
    **{FUNCTIONS[name]: _reduced("amax") for name in ("any", "amax", "max")},
    **{FUNCTIONS[name]: _reduced("amin") for name in ("all", "amin", "min", "prod")},
    FUNCTIONS["where"]: _logical(_chosen),
    BINARY[ast.Sub]: _from_one,
}
