"""Evaluates a parsed cost function on a batch of observations (see language.py for what can occur)."""

from __future__ import annotations

import ast
import math
from typing import Any

import torch
from torch import Tensor

from ..errors import first_line
from ..tasks import Task
from .language import _BINARY, _COMPARE, _UNARY, CONSTANTS, FUNCTIONS, MAX_STEPS, METHODS_ONLY, SCALARS, LanguageError


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Module:
    """The names `torch` and `math`: something to put a dot after, and nothing else."""


_TORCH, _LINALG = _Module(), _Module()


class Evaluation:
    """One call of a cost function: local names, a budget of steps, the observations."""

    def __init__(self, task: Task, observations: Tensor) -> None:
        self.task, self.observations = task, observations
        self.names: dict[str, Any] = {"torch": _TORCH, "math": _TORCH}
        self.steps = 0

    def run(self, function: ast.FunctionDef) -> Any:
        """What the function returns. Raises LanguageError where it does what the language does not allow."""
        try:
            self._block(function.body)
        except _Return as result:
            return result.value
        raise LanguageError(function, "the function ends without return")

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
                bounds = [self.value(a) for a in statement.iter.args]  # type: ignore[attr-defined]
                if not all(isinstance(b, int) and abs(b) <= MAX_STEPS for b in bounds) or not 1 <= len(bounds) <= 3:
                    raise LanguageError(statement, f"range takes whole numbers up to {MAX_STEPS}")
                for i in range(*bounds):
                    self.names[statement.target.id] = i  # type: ignore[attr-defined]
                    self._block(statement.body)

    def _spend(self, node: ast.AST) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise LanguageError(node, f"more than {MAX_STEPS} steps: shorten the loop")

    def _condition(self, node: ast.expr) -> bool:
        value = self.value(node)
        if isinstance(value, Tensor):
            raise LanguageError(node, "a tensor is not one condition but many: use torch.where, &, | and ~")
        return bool(value)

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
            return _UNARY[type(node.op)](self._number(node, self.value(node.operand)))
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.BoolOp):
            parts = (self._condition(v) for v in node.values)
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        if isinstance(node, ast.IfExp):
            return self.value(node.body if self._condition(node.test) else node.orelse)
        if isinstance(node, ast.Tuple):
            return tuple(self._index(e) for e in node.elts)
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

    def _number(self, node: ast.AST, value: Any) -> Any:
        if isinstance(value, Tensor) or (isinstance(value, (int, float)) and abs(value) < 1e12):
            return value
        raise LanguageError(node, f"expected a tensor or a number, not {type(value).__name__}")

    def _binary(self, node: ast.AST, operator: ast.operator, left: Any, right: Any) -> Any:
        left, right = self._number(node, left), self._number(node, right)
        try:
            return self._number(node, _BINARY[type(operator)](left, right))
        except (TypeError, RuntimeError, ZeroDivisionError, OverflowError) as error:
            raise LanguageError(node, first_line(error)) from None

    def _compare(self, node: ast.Compare) -> Any:
        if len(node.ops) > 1:
            raise LanguageError(node, "compare two values at a time and join the results with &")
        left, right = self.value(node.left), self.value(node.comparators[0])
        self.compared(node, left, right)
        try:
            return _COMPARE[type(node.ops[0])](self._number(node, left), self._number(node, right))
        except (TypeError, RuntimeError) as error:
            raise LanguageError(node, first_line(error)) from None

    def compared(self, node: ast.Compare, left: Any, right: Any) -> None:
        """Called before every comparison, with both sides; does nothing here."""

    def _subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id == "obs":
            name = node.slice.value if isinstance(node.slice, ast.Constant) else None
            for entry in self.task.entries:
                if entry.name == name:
                    return self.observations[..., entry.start : entry.stop]
            names = ", ".join(e.name for e in self.task.entries)
            raise LanguageError(node, f"obs has no entry {name!r}; it has {names}")
        tensor, index = self.value(node.value), self._index(node.slice)
        if not isinstance(tensor, Tensor):
            raise LanguageError(node, "only tensors can be indexed")
        parts = index if isinstance(index, tuple) else (index,)
        if not parts or parts[0] is not Ellipsis:
            raise LanguageError(node, "index the last axis only, as in x[..., 0]: the others are the batch")
        try:
            return tensor[index]
        except (IndexError, TypeError, ValueError, RuntimeError) as error:
            raise LanguageError(node, first_line(error)) from None

    def _index(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            parts = [None if p is None else self.value(p) for p in (node.lower, node.upper, node.step)]
            if not all(p is None or isinstance(p, int) for p in parts):
                raise LanguageError(node, "slices take whole numbers")
            return slice(*parts)
        value = self.value(node)
        if isinstance(value, (Tensor, str, float)):
            raise LanguageError(node, "an index must be a whole number, a slice or ...")
        return value

    def _attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if owner is _TORCH and node.attr in CONSTANTS:
            return CONSTANTS[node.attr]
        if owner is _TORCH and node.attr == "inf":
            return math.inf
        if owner is _TORCH and node.attr == "linalg":
            return _LINALG
        raise LanguageError(node, f"{node.attr!r} must be called here")

    def _call(self, node: ast.Call) -> Any:
        arguments = [self.value(a) for a in node.args]
        keywords = {"dim" if k.arg == "axis" else str(k.arg): self.value(k.value) for k in node.keywords}
        if isinstance(node.func, ast.Name):
            function = SCALARS.get(node.func.id)
            if function is None:
                raise LanguageError(node, f"{node.func.id!r} is not a function of the language; use torch functions")
            if any(isinstance(a, Tensor) for a in arguments):
                raise LanguageError(node, f"use torch.{node.func.id} or the method for tensors")
        else:
            assert isinstance(node.func, ast.Attribute)
            owner, name = self.value(node.func.value), node.func.attr
            if isinstance(owner, Tensor):
                function = METHODS_ONLY.get(name) or FUNCTIONS.get(name)
                arguments.insert(0, owner)
            else:
                on_module = owner is _TORCH or (owner is _LINALG and name == "norm")
                function = FUNCTIONS.get(name) if on_module else None
            if function is None:
                raise LanguageError(node, f"{name!r} is not an operation on this")
            if not isinstance(arguments[0] if arguments else None, Tensor) and name not in ("where", "pow"):
                arguments = self._numbers_to_tensor(node, arguments)
        try:
            return self._value_of_call(node, function(*arguments, **keywords))
        except LanguageError as error:
            raise LanguageError(node, str(error)) from None
        except (TypeError, RuntimeError, ValueError, IndexError, OverflowError) as error:
            raise LanguageError(node, first_line(error)) from None

    def _numbers_to_tensor(self, node: ast.AST, arguments: list[Any]) -> list[Any]:
        """torch.sqrt(2.0) and the like: a number becomes a tensor without dims."""
        if not arguments or not isinstance(arguments[0], (int, float)):
            raise LanguageError(node, "expected a tensor first")
        first = torch.full((), float(arguments[0]), device=self.observations.device)
        return [first, *arguments[1:]]

    def _value_of_call(self, node: ast.AST, value: Any) -> Any:
        if isinstance(value, Tensor) and value.numel() > 4 * max(self.observations.numel(), 1) + 64:
            raise LanguageError(node, "a tensor larger than four times the observations")
        return value


def _first(error: BaseException) -> str:
    return first_line(error) if str(error) else type(error).__name__
