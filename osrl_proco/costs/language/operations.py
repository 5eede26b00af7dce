"""The language of cost functions: its operations and its limits (grammar.py reads a text, interpreter.py runs it).

A cost function is text from outside, so it is parsed but never compiled or executed by Python. Every value is a
tensor of its own (operations never work in place), a number, a string that names an entry, or a tuple of numbers.
What is not in the tables below does not exist in the language.

The first axis of every tensor is the batch. No operation reaches it: reductions and indices count from the end, and
two tensors only meet if they have as many axes. So the label of a state cannot depend on the others.

A state for which any intermediate result is NaN or infinite is unsafe, whatever the text makes of that result: what
was not calculated cannot show that a state is safe. So `torch.where(x > 0, torch.sqrt(x), 0.0)` calls every state with
x < 0 unsafe; clamp first, and where something is absent use a large number (1e6) for its distance, not torch.inf.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MAX_SOURCE = 20_000  # characters
MAX_NODES = 2_000
MAX_DEPTH = 60  # expressions within expressions
MAX_BLOCKS = 20  # statements within statements; an elif is one deeper than its if
MAX_STEPS = 20_000  # evaluated nodes per call, loops included
MAX_NUMBERS = 8_192  # numbers of 4 bytes computed per state (whole numbers are two); bounds time and memory
MAX_AXES = 4  # of a tensor, the batch included
MAX_POWER = 8
MAX_NUMBER = 1e12
MAX_MESSAGE = 600  # characters; a message may quote the text


class LanguageError(ValueError):
    """The text is not in the language. The message names the line and what to write instead."""

    def __init__(self, node: ast.AST | None, message: str) -> None:
        line = getattr(node, "lineno", None)
        super().__init__((f"line {line}: {message}" if line else message)[:MAX_MESSAGE])

    def __reduce__(self) -> tuple[type[LanguageError], tuple[None, str]]:
        return LanguageError, (None, str(self))  # an exception's own way would call it with the message alone


def own_axes(x: Tensor, dim: Any) -> tuple[int, ...]:
    """`dim` as a tuple of axes, each counted from the end, none of them the batch."""
    dims = dim if isinstance(dim, tuple) else (dim,)
    if not dims or not all(isinstance(d, int) and not isinstance(d, bool) for d in dims):
        raise LanguageError(None, "dim must be a whole number or a tuple of them")
    if any(d >= 0 for d in dims):
        raise LanguageError(None, "count dim from the end (-1 is the entry's own axis)")
    if any(-d >= x.dim() for d in dims):
        raise LanguageError(None, f"dim={dim} of a tensor with {x.dim() - 1} axes of its own mixes different states")
    return dims


def is_number(value: Any) -> bool:
    """A number that the language calculates with: not too large, not NaN; infinity is one."""
    return isinstance(value, (bool, int, float)) and (abs(value) <= MAX_NUMBER or value in (math.inf, -math.inf))


def as_tensor(value: Any, like: Tensor) -> Tensor:
    """A number as a tensor without axes, of the kind that Python's operators would give it beside `like`."""
    if isinstance(value, Tensor):
        return value
    if not is_number(value):
        raise LanguageError(None, "expected a tensor or a number")
    return torch.full((), value, dtype=torch.result_type(like, value), device=like.device)


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise LanguageError(None, "expected a tensor")
    return value


def _flag(keepdim: Any) -> bool:
    if not isinstance(keepdim, bool):
        raise LanguageError(None, "keepdim must be True or False")
    return keepdim


def _unary(name: str) -> Callable[[Tensor], Tensor]:
    function = getattr(torch, name)
    return lambda x: function(_tensor(x))


def _reduce(name: str) -> Callable[..., Tensor]:
    """A reduction over named dims. Without a dim it would mix the states of a batch, so a dim is required."""
    function = getattr(torch, name)

    def call(x: Tensor, dim: Any = None, keepdim: Any = False) -> Tensor:
        if dim is None:
            raise LanguageError(None, f"{name} needs a dim, for example dim=-1: without one it mixes different states")
        dims = own_axes(_tensor(x), dim)
        return function(x, dim=dims if len(dims) > 1 else dims[0], keepdim=_flag(keepdim))

    return call


def _minmax(name: str) -> Callable[..., Tensor]:
    """min/max of one tensor along a dim (the values without the indices), or elementwise of two."""
    pair, along = getattr(torch, f"{name}imum"), _reduce(f"a{name}")

    def call(x: Tensor, other: Any = None, dim: Any = None, keepdim: Any = False) -> Tensor:
        if isinstance(other, Tensor):
            return pair(_tensor(x), other)
        return along(x, other if dim is None else dim, keepdim)

    return call


def _pair(name: str) -> Callable[[Any, Any], Tensor]:
    """A function of two tensors that also takes a number as one of them."""
    function = getattr(torch, name)

    def call(x: Any, y: Any) -> Tensor:
        like = x if isinstance(x, Tensor) else _tensor(y)
        return function(as_tensor(x, like), as_tensor(y, like))

    return call


def _where(condition: Tensor, yes: Any, no: Any) -> Tensor:
    tensors = [v for v in (yes, no) if isinstance(v, Tensor)]
    if not tensors and is_number(yes):
        tensors = [torch.full((), yes, device=_tensor(condition).device)]
    like = tensors[0] if tensors else _tensor(yes)
    return torch.where(_tensor(condition), as_tensor(yes, like), as_tensor(no, like))


def _clamp(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    return torch.clamp(_tensor(x), min=min, max=max)


def _norm(x: Tensor, p: Any = 2, dim: Any = None, keepdim: Any = False) -> Tensor:
    """The Euclidean norm along `dim`; the second argument is torch's order of the norm, which must be 2."""
    if isinstance(p, bool) or p != 2:
        raise LanguageError(None, "norm: the Euclidean one only, written torch.norm(x, dim=-1)")
    if dim is None:
        raise LanguageError(None, "norm needs a dim, for example dim=-1: without one it mixes different states")
    return torch.linalg.vector_norm(x, 2, own_axes(_tensor(x), dim), _flag(keepdim))


def _power(x: Any, exponent: Any) -> Any:
    if not is_number(exponent) or not 0 <= exponent <= MAX_POWER:
        raise LanguageError(None, f"an exponent must be a number from 0 to {MAX_POWER}")
    if not isinstance(x, Tensor) and not (is_number(x) and abs(x) <= 1e6):
        raise LanguageError(None, "the base of a power must be a tensor or a number up to 1e6")
    return x**exponent


def _real(x: Any) -> Any:
    """Whole numbers in a tensor as float32: dividing the smallest int64 by -1 kills a process with torch 1.13."""
    return x.float() if isinstance(x, Tensor) and not x.is_floating_point() else x


# Everything that can be called: as torch.NAME(x, ...), and as x.NAME(...).
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{n: _unary(n) for n in ("abs", "sqrt", "square", "exp", "sin", "cos", "tan", "tanh", "sigmoid", "sign")},
    **{n: _unary(n) for n in ("floor", "ceil", "round", "relu", "logical_not", "zeros_like", "ones_like", "isfinite")},
    **{n: _reduce(n) for n in ("sum", "mean", "any", "all", "amin", "amax", "prod")},
    "min": _minmax("min"),
    "max": _minmax("max"),
    "norm": _norm,
    "clamp": _clamp,
    "clip": _clamp,
    "where": _where,
    "pow": _power,
    **{n: _pair(n) for n in ("minimum", "maximum", "atan2", "hypot", "logical_and", "logical_or", "logical_xor")},
}
METHODS_ONLY: dict[str, Callable[..., Tensor]] = {
    "float": lambda x: x.float(),
    "bool": lambda x: x != 0,
    "long": lambda x: x.float().trunc(),
    "int": lambda x: x.float().trunc(),
    "where": lambda x, condition, other: _where(condition, x, other),
}
SCALARS: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max, "float": float}
CONSTANTS = {"pi": math.pi, "inf": math.inf}
KEYWORDS = ("dim", "axis", "keepdim", "min", "max", "p")

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Mod: lambda a, b: _real(a) % _real(b),
    ast.FloorDiv: lambda a, b: _real(a) // _real(b),
    ast.Pow: _power,
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
    ast.BitXor: lambda a, b: a ^ b,
}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: lambda a: -a,
    ast.UAdd: lambda a: a,
    ast.Invert: lambda a: ~a,
}
