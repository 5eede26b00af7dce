"""Evaluates a parsed cost function on a batch of observations (see operations.py for what can occur)."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...core.errors import first_line
from ...tasks.task import Task
from .operations import (
    BINARY,
    COMPARE,
    CONSTANTS,
    FUNCTIONS,
    MAX_AXES,
    MAX_NUMBERS,
    MAX_STEPS,
    METHODS_ONLY,
    SCALARS,
    UNARY,
    LanguageError,
    is_number,
)


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Module:
    """The names `torch` and `math`: something to put a dot after, and nothing else."""


_TORCH, _LINALG = _Module(), _Module()
_WORD = 4  # bytes of a float32; the budget of numbers counts these, so that it is one of memory, too


class Evaluation:
    """One call of a cost function: local names, a budget of steps and of numbers, the observations (N, obs_dim).

    A number that is not finite can hide later, in a comparison for example, so every result is looked at. `unsound`
    gathers what was seen, without waiting for the device: NaN where a number was not finite, else 0. It holds one
    value for every state (N,) where `by_state`; else one in all, which costs a twentieth, and which is NaN too where
    the sum of finite numbers is not finite, so that NaN means no more than: look again, state by state.
    """

    def __init__(self, task: Task, observations: Tensor, by_state: bool = False) -> None:
        self.task, self.observations, self.by_state = task, observations, by_state
        self.names: dict[str, Any] = {"torch": _TORCH, "math": _TORCH}
        self.steps, self.numbers = 0, 0
        self.unsound = observations.new_zeros(observations.shape[:1] if by_state else ())
        self._look_at(observations)

    def run(self, function: ast.FunctionDef) -> Any:
        """What the function returns. Raises LanguageError where it does what the language does not allow."""
        try:
            self._block(function.body)
        except _Return as result:
            return result.value
        raise LanguageError(function, "the function ends without return")

    # ---- budgets ------------------------------------------------------------------------------------------------

    def _spend(self, node: ast.AST) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise LanguageError(node, f"more than {MAX_STEPS} steps: shorten the loop")

    def _meet(self, node: ast.AST, values: list[Any]) -> int:
        """Before tensors are combined: they have as many axes, and what comes of them is not too large.

        Returns how many numbers per state they are together, after broadcasting.
        """
        tensors = [v for v in values if isinstance(v, Tensor) and v.dim()]
        if len({t.dim() for t in tensors}) > 1:
            raise LanguageError(
                node,
                f"tensors of shapes {', '.join(str(('...', *t.shape[1:])) for t in tensors)}: give them as many axes, "
                "with x[..., None] or keepdim=True",
            )
        width = math.prod(max(sizes) for sizes in zip(*(t.shape[1:] for t in tensors), strict=True))
        self._charge(node, width * _words(tensors))
        return width

    def _charge(self, node: ast.AST, numbers: int) -> None:
        self.numbers += numbers
        if self.numbers > MAX_NUMBERS:
            raise LanguageError(node, f"more than {MAX_NUMBERS} numbers computed per state")

    def _guarded(self, node: ast.AST, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Call an operation of the language; whatever it raises becomes a LanguageError with the line."""
        values = [*arguments, *keywords.values()]
        before = self.numbers
        width = self._meet(node, values)
        try:
            value = function(*arguments, **keywords)
        except LanguageError as error:
            raise LanguageError(node, str(error)) from None
        except Exception as error:
            raise LanguageError(node, first_line(error)) from None
        if isinstance(value, Tensor):
            # What was charged beforehand was the largest that could come of it; whole numbers stay charged in full.
            self.numbers = before + width + math.prod(value.shape[1:]) * (max(_WORD, value.element_size()) // _WORD - 1)
            self._look_at(value)
        elif not is_number(value):
            raise LanguageError(node, f"the result is not a number up to 1e12 but {value!r}")
        return value

    def _look_at(self, value: Tensor) -> None:
        """Take down where `value` is not finite: 0 times a number is 0, times NaN or an infinity it is NaN."""
        if not value.is_floating_point():
            return
        if not self.by_state:
            self.unsound.add_(value.sum(), alpha=0)
        elif value.dim() < 2:
            self.unsound.add_(value, alpha=0)
        else:
            self.unsound.add_((value * 0).flatten(1).sum(1))

    # ---- statements ---------------------------------------------------------------------------------------------

    def _block(self, block: list[ast.stmt]) -> None:
        for statement in block:
            self._spend(statement)
            if isinstance(statement, ast.Return):
                raise _Return(None if statement.value is None else self.value(statement.value))
            if isinstance(statement, ast.Assign):
                self.names[statement.targets[0].id] = self.value(statement.value)  # type: ignore[attr-defined]
            elif isinstance(statement, ast.AugAssign):
                name = statement.target.id  # type: ignore[union-attr]
                before = self._lookup(statement, name)
                self.names[name] = self._binary(statement, statement.op, before, self.value(statement.value))
            elif isinstance(statement, ast.If):
                self._block(statement.body if self._condition(statement.test) else statement.orelse)
            elif isinstance(statement, ast.For):
                for i in self._range(statement):
                    self.names[statement.target.id] = i  # type: ignore[attr-defined]
                    self._block(statement.body)

    def _range(self, statement: ast.For) -> range:
        bounds = [self.value(a) for a in statement.iter.args]  # type: ignore[attr-defined]
        whole = all(isinstance(b, int) and abs(b) <= MAX_STEPS for b in bounds)
        if not whole or not 1 <= len(bounds) <= 3 or bounds[2:] == [0]:
            raise LanguageError(statement, f"range takes whole numbers up to {MAX_STEPS}, and a step that is not 0")
        return range(*bounds)

    def _condition(self, node: ast.expr) -> bool:
        return bool(self._plain(node, self.value(node)))

    def _plain(self, node: ast.expr, value: Any) -> Any:
        if isinstance(value, Tensor):
            raise LanguageError(node, "a tensor is not one condition but many: use torch.where, &, | and ~")
        return value

    # ---- expressions --------------------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        self._spend(node)
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._lookup(node, node.id)
        if isinstance(node, ast.BinOp):
            return self._binary(node, node.op, self.value(node.left), self.value(node.right))
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return not self._condition(node.operand)
            return self._guarded(node, UNARY[type(node.op)], self._operand(node, self.value(node.operand)))
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.BoolOp):
            return self._and_or(node)
        if isinstance(node, ast.IfExp):
            return self.value(node.body if self._condition(node.test) else node.orelse)
        if isinstance(node, ast.Tuple):
            return tuple(self._index_part(e) for e in node.elts)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        raise LanguageError(node, f"{type(node).__name__} cannot stand here")

    def _lookup(self, node: ast.AST, name: str) -> Any:
        if name not in self.names:
            if name == "obs":
                raise LanguageError(node, 'use a named entry of it: obs["' + self.task.entries[0].name + '"]')
            raise LanguageError(node, f"name {name!r} is not defined")
        return self.names[name]

    def _operand(self, node: ast.AST, value: Any) -> Any:
        if isinstance(value, Tensor) or is_number(value):
            return value
        raise LanguageError(node, f"expected a tensor or a number up to 1e12, not {type(value).__name__}")

    def _binary(self, node: ast.AST, operator: ast.operator, left: Any, right: Any) -> Any:
        return self._guarded(node, BINARY[type(operator)], self._operand(node, left), self._operand(node, right))

    def _compare(self, node: ast.Compare) -> Any:
        left, right = self.value(node.left), self.value(node.comparators[0])
        self.compared(node, left, right)
        return self._guarded(node, COMPARE[type(node.ops[0])], self._operand(node, left), self._operand(node, right))

    def compared(self, node: ast.Compare, left: Any, right: Any) -> None:
        """Called before every comparison, with both sides; does nothing here."""

    def _and_or(self, node: ast.BoolOp) -> Any:
        """As in Python, the operand that decided."""
        value: Any = None
        for part in node.values:
            value = self._plain(part, self.value(part))
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value

    def _subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id == "obs":
            name = node.slice.value if isinstance(node.slice, ast.Constant) else None
            for entry in self.task.entries:
                if entry.name == name:
                    return self.observations[..., entry.start : entry.stop]
            names = ", ".join(e.name for e in self.task.entries)
            raise LanguageError(node, f"obs has no entry {name!r}; it has {names}")
        tensor = self.value(node.value)
        if not isinstance(tensor, Tensor):
            raise LanguageError(node, "only tensors can be indexed")
        elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        parts = tuple(self._index_part(e) for e in elements)
        if not parts or parts[0] is not Ellipsis or Ellipsis in parts[1:]:
            raise LanguageError(node, "index the last axis only, as in x[..., 0]: the others are the batch")
        if sum(p is not None for p in parts[1:]) >= max(tensor.dim(), 1):
            raise LanguageError(node, "more indices than the tensor has axes of its own: the others are the batch")
        if tensor.dim() + parts.count(None) > MAX_AXES:
            raise LanguageError(node, f"a tensor with more than {MAX_AXES} axes")
        try:
            return self._indexed(tensor, parts)
        except (IndexError, TypeError, ValueError, RuntimeError) as error:
            raise LanguageError(node, first_line(error)) from None

    def _indexed(self, tensor: Tensor, parts: tuple[Any, ...]) -> Tensor:
        return tensor[parts]

    def _index_part(self, node: ast.expr) -> Any:
        """A whole number, a slice, None or ...: nothing that picks or repeats states."""
        if isinstance(node, ast.Slice):
            bounds = [None if p is None else self.value(p) for p in (node.lower, node.upper, node.step)]
            if not all(b is None or _is_whole(b) for b in bounds):
                raise LanguageError(node, "slices take whole numbers")
            return slice(*bounds)
        value = self.value(node)
        if value is None or value is Ellipsis or _is_whole(value):
            return value
        raise LanguageError(node, "only whole numbers, slices, None and ... can stand here, side by side")

    def _attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if owner is _TORCH and node.attr in CONSTANTS:
            return CONSTANTS[node.attr]
        if owner is _TORCH and node.attr == "linalg":
            return _LINALG
        if node.attr == "values" and _called(node.value) in ("min", "max") and isinstance(owner, Tensor):
            return owner  # torch gives values and indices along a dim; here there are only the values
        raise LanguageError(node, f"{node.attr!r} must be called here")

    def _call(self, node: ast.Call) -> Any:
        arguments = [self.value(a) for a in node.args]
        keywords = {"dim" if k.arg == "axis" else str(k.arg): self.value(k.value) for k in node.keywords}
        if isinstance(node.func, ast.Name):
            function = SCALARS[node.func.id]
            if any(isinstance(a, Tensor) for a in arguments):
                raise LanguageError(node, f"use torch.{node.func.id} or the method for tensors")
            if not arguments or keywords or not all(is_number(a) for a in arguments):
                raise LanguageError(node, f"{node.func.id} takes numbers")
            return self._guarded(node, function, *arguments)
        assert isinstance(node.func, ast.Attribute)
        owner, name = self.value(node.func.value), node.func.attr
        if isinstance(owner, Tensor):
            operation = METHODS_ONLY.get(name) or FUNCTIONS.get(name)
            arguments.insert(0, owner)
        else:
            on_module = owner is _TORCH or (owner is _LINALG and name == "norm")
            operation = FUNCTIONS.get(name) if on_module else None
        if operation is None:
            raise LanguageError(node, f"{name!r} is not an operation on this")
        if arguments and is_number(arguments[0]) and name not in ("where", "pow"):
            # torch.sqrt(2.0) and the like: a number becomes a tensor without axes.
            arguments[0] = torch.full((), float(arguments[0]), device=self.observations.device)
        return self._guarded(node, operation, *arguments, **keywords)


def _words(tensors: list[Tensor]) -> int:
    """Words of memory that one number may take which is computed from `tensors`; truths may become whole numbers."""
    sizes = [t.element_size() for t in tensors]
    whole = [2 * _WORD] if tensors and not any(t.is_floating_point() for t in tensors) else []
    return max(_WORD, *sizes, *whole) // _WORD if tensors else 1


def _called(node: ast.expr) -> str | None:
    """The name of the operation, where `node` calls one."""
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
