"""The language of cost functions: a small part of Python's grammar, evaluated by our own interpreter.

A cost function is text from outside, so it is parsed but never compiled or executed by Python. Every value is a
tensor of its own (operations never work in place), a number, a string that names an entry, or a tuple of numbers.
What is not in the tables below does not exist in the language.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import first_line

MAX_SOURCE = 20_000  # characters
MAX_NODES = 2_000
MAX_DEPTH = 60
MAX_STEPS = 20_000  # evaluated nodes per call, loops included
MAX_POWER = 8


class LanguageError(ValueError):
    """The text is not in the language. The message names the line and what to write instead."""

    def __init__(self, node: ast.AST | None, message: str) -> None:
        line = getattr(node, "lineno", None)
        super().__init__(f"line {line}: {message}" if line else message)


def _dims(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, tuple)):
        raise LanguageError(None, "dim must be a whole number or a tuple of them")
    return value


def _reduce(name: str) -> Callable[..., Any]:
    """A reduction over named dims. Without a dim it would mix the states of a batch, so a dim is required."""
    function = getattr(torch, name)

    def call(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
        if dim is None:
            raise LanguageError(None, f"{name} needs a dim, for example dim=-1: without one it mixes different states")
        for d in (dim,) if isinstance(dim, int) else _dims(dim):
            if d >= 0:
                raise LanguageError(None, f"{name}: count dim from the end (-1 is the entry's own axis)")
        result = function(x, dim=dim, keepdim=bool(keepdim))
        return result if isinstance(result, Tensor) else result[0]  # min, max: values without indices

    return call


def _minmax(name: str) -> Callable[..., Any]:
    """min/max of one tensor along a dim, or elementwise of two."""
    pair, along = getattr(torch, f"{name}imum"), _reduce(f"a{name}")

    def call(x: Tensor, other: Any = None, dim: Any = None, keepdim: bool = False) -> Tensor:
        if isinstance(other, Tensor):
            return pair(x, other)
        return along(x, other if dim is None else dim, keepdim)

    return call


def _pair(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function of two tensors that also takes a number as one of them."""

    def call(x: Any, y: Any) -> Tensor:
        like = x if isinstance(x, Tensor) else y
        if not isinstance(like, Tensor):
            raise LanguageError(None, "one of the two must be a tensor")
        return function(_as_tensor(x, like), _as_tensor(y, like))

    return call


def _as_tensor(value: Any, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.full((), float(value), dtype=like.dtype, device=like.device)


def _where(condition: Tensor, yes: Any, no: Any) -> Tensor:
    like = next((v for v in (yes, no) if isinstance(v, Tensor)), None)
    if like is None:
        like = torch.zeros((), dtype=torch.float32, device=condition.device)
    return torch.where(condition, _as_tensor(yes, like), _as_tensor(no, like))


def _clamp(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    return torch.clamp(x, min=min, max=max)


def _norm(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    return _reduce("sum")(x * x, dim, keepdim).sqrt()


def _power(x: Any, exponent: Any) -> Any:
    if isinstance(exponent, Tensor) or not 0 <= exponent <= MAX_POWER:
        raise LanguageError(None, f"an exponent must be a number from 0 to {MAX_POWER}")
    if not isinstance(x, Tensor) and abs(x) > 1e6:
        raise LanguageError(None, "the base of a power is too large")
    return x**exponent


def _unary(name: str) -> Callable[[Tensor], Tensor]:
    return getattr(torch, name)


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
    **{n: _pair(getattr(torch, n)) for n in ("minimum", "maximum", "atan2", "hypot")},
    **{n: _pair(getattr(torch, n)) for n in ("logical_and", "logical_or", "logical_xor")},
}
METHODS_ONLY: dict[str, Callable[[Tensor], Tensor]] = {
    "float": lambda x: x.float(),
    "bool": lambda x: x != 0,
    "long": lambda x: x.float().trunc(),
    "int": lambda x: x.float().trunc(),
}
SCALARS: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max, "float": float}
CONSTANTS = {"pi": math.pi}

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Mod: lambda a, b: a % b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Pow: _power,
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
    ast.BitXor: lambda a, b: a ^ b,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: lambda a: -a,
    ast.UAdd: lambda a: a,
    ast.Invert: lambda a: ~a,
}
_STATEMENTS = (ast.Assign, ast.AugAssign, ast.Return, ast.For, ast.If, ast.Pass)
_EXPRESSIONS = (
    ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Attribute, ast.Subscript, ast.Tuple,
    ast.Slice, ast.IfExp, ast.BoolOp,
)  # fmt: skip
_ADVICE = {
    ast.Import: "no imports; torch is there already",
    ast.ImportFrom: "no imports; torch is there already",
    ast.While: "no while; use: for i in range(NUMBER)",
    ast.Lambda: "no lambda; write the expression out",
    ast.ListComp: "no comprehensions; use tensor operations along dim=-1",
    ast.GeneratorExp: "no comprehensions; use tensor operations along dim=-1",
    ast.JoinedStr: "no string formatting",
    ast.FunctionDef: "one function only: def cost(obs)",
    ast.NamedExpr: "no :=; assign on a line of its own",
}


def parse(source: str) -> ast.FunctionDef:
    """The function `cost` of a source text. Raises LanguageError if the text is not in the language."""
    if len(source) > MAX_SOURCE:
        raise LanguageError(None, f"longer than {MAX_SOURCE} characters")
    if not source.isascii():
        # Python normalises look-alike letters into plain ones when it parses, so they are refused before that.
        raise LanguageError(None, "use plain ASCII characters only")
    if max((len(line) - len(line.lstrip("([{- ~")) for line in source.splitlines()), default=0) > 2 * MAX_DEPTH:
        raise LanguageError(None, "nested too deeply")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise LanguageError(None, f"not valid Python: {first_line(error)}") from None
    nodes = sum(1 for _ in ast.walk(tree))
    if nodes > MAX_NODES:
        raise LanguageError(None, f"too long: {nodes} syntax nodes, at most {MAX_NODES}")
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) and not _is_text(node):
            raise LanguageError(node, _advice(node))
    if len(functions) != 1 or functions[0].name != "cost":
        raise LanguageError(functions[0] if functions else None, "define exactly one function: def cost(obs)")
    function = functions[0]
    arguments = function.args
    extra = (arguments.posonlyargs, arguments.kwonlyargs, arguments.defaults, arguments.kw_defaults)
    if [a.arg for a in arguments.args] != ["obs"] or any(extra) or arguments.vararg or arguments.kwarg:
        raise LanguageError(function, "the signature must be: def cost(obs)")
    if function.decorator_list or function.returns or arguments.args[0].annotation or _type_parameters(function):
        raise LanguageError(function, "no decorators and no annotations; the signature must be: def cost(obs)")
    _check_block(function.body, 0)
    return function


def _type_parameters(function: ast.FunctionDef) -> bool:
    return bool(getattr(function, "type_params", None))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _advice(node: ast.AST) -> str:
    return _ADVICE.get(type(node), f"{type(node).__name__} is not in the language of cost functions")


def _check_block(block: list[ast.stmt], depth: int) -> None:
    for statement in block:
        if _is_text(statement):
            continue
        if not isinstance(statement, _STATEMENTS):
            raise LanguageError(statement, _advice(statement))
        if isinstance(statement, ast.Assign):
            if len(statement.targets) != 1 or not isinstance(statement.targets[0], ast.Name):
                raise LanguageError(statement, "assign to one plain name; nothing is changed in place")
            _check_name(statement.targets[0], statement.targets[0].id, binding=True)
        elif isinstance(statement, ast.AugAssign):
            if not isinstance(statement.target, ast.Name):
                raise LanguageError(statement, "assign to one plain name; nothing is changed in place")
            _check_name(statement.target, statement.target.id, binding=True)
            if type(statement.op) not in _BINARY:
                raise LanguageError(statement, f"operator {type(statement.op).__name__} is not in the language")
        elif isinstance(statement, ast.For):
            _check_for(statement, depth)
        elif isinstance(statement, ast.If):
            _check_block(statement.body, depth + 1)
            _check_block(statement.orelse, depth + 1)
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.expr):
                _check_expression(child, 0)


def _check_for(statement: ast.For, depth: int) -> None:
    call = statement.iter
    plain = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
    if depth > 2 or statement.orelse or not isinstance(statement.target, ast.Name) or not plain:
        raise LanguageError(statement, "loops must be: for NAME in range(NUMBER), at most three deep")
    _check_name(statement.target, statement.target.id, binding=True)
    _check_block(statement.body, depth + 1)


def _check_name(node: ast.AST, name: str, binding: bool = False) -> None:
    if "_" in (name[:1], name[-1:]) or "__" in name:
        raise LanguageError(node, f"name {name!r}: no leading, trailing or double underscores")
    if binding and name in ("torch", "obs", "range", "math"):
        raise LanguageError(node, f"{name!r} cannot be assigned")


def _check_expression(node: ast.expr, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise LanguageError(node, "nested too deeply")
    if not isinstance(node, _EXPRESSIONS):
        raise LanguageError(node, _advice(node))
    if isinstance(node, ast.Name):
        _check_name(node, node.id)
    elif isinstance(node, ast.Attribute):
        _check_attribute(node)
    elif isinstance(node, ast.Constant):
        _check_constant(node)
    elif isinstance(node, ast.BinOp) and type(node.op) not in _BINARY:
        raise LanguageError(node, f"operator {type(node.op).__name__} is not in the language")
    elif isinstance(node, ast.Compare) and any(type(op) not in _COMPARE for op in node.ops):
        raise LanguageError(node, "compare with < <= > >= == != only")
    elif isinstance(node, ast.Call):
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            raise LanguageError(node, "no * or ** in calls")
        if not isinstance(node.func, (ast.Attribute, ast.Name)):
            raise LanguageError(node, "call torch functions and tensor methods by their names")
        for keyword in node.keywords:
            if keyword.arg not in ("dim", "keepdim", "min", "max", "axis"):
                raise LanguageError(node, f"argument {keyword.arg!r} is not in the language")
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.keyword):
            child = child.value
        if isinstance(child, ast.expr):
            _check_expression(child, depth + 1)


def _check_attribute(node: ast.Attribute) -> None:
    known = {*FUNCTIONS, *METHODS_ONLY, *CONSTANTS, "linalg", "inf"}
    if node.attr not in known:
        raise LanguageError(node, f"{node.attr!r} is not one of the operations: {', '.join(sorted(known))}")


def _check_constant(node: ast.Constant) -> None:
    value = node.value
    if isinstance(value, (bool, str)) or value is None or value is Ellipsis:
        return
    if not isinstance(value, (int, float)):
        raise LanguageError(node, f"a constant of kind {type(value).__name__} is not in the language")
    if abs(value) > 1e9:
        raise LanguageError(node, "a number beyond 1e9")
