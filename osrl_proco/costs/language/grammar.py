"""From text to a checked syntax tree: what is not allowed here never reaches the interpreter."""

from __future__ import annotations

import ast
import re
import warnings

from ...core.errors import first_line
from .operations import (
    BINARY,
    COMPARE,
    CONSTANTS,
    FUNCTIONS,
    KEYWORDS,
    MAX_BLOCKS,
    MAX_DEPTH,
    MAX_NODES,
    MAX_SOURCE,
    METHODS_ONLY,
    SCALARS,
    LanguageError,
)

_ATTRIBUTES = {*FUNCTIONS, *METHODS_ONLY, *CONSTANTS, "linalg", "values"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all but tab and newline
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
    if _CONTROL.search(source.replace("\r\n", "\n")):
        # Some of them end a line for an editor and not for Python, or the other way round.
        raise LanguageError(None, "no control characters but tab and newline")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
    _check_block(function.body, 0, 0)
    return function


def _type_parameters(function: ast.FunctionDef) -> bool:
    return bool(getattr(function, "type_params", None))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _advice(node: ast.AST) -> str:
    return _ADVICE.get(type(node), f"{type(node).__name__} is not in the language of cost functions")


def _check_block(block: list[ast.stmt], depth: int, loops: int) -> None:
    if depth > MAX_BLOCKS:
        raise LanguageError(block[0], "nested too deeply")
    for statement in block:
        if _is_text(statement):
            continue
        if not isinstance(statement, _STATEMENTS):
            raise LanguageError(statement, _advice(statement))
        if isinstance(statement, ast.Assign):
            _check_target(statement, statement.targets[0] if len(statement.targets) == 1 else None)
        elif isinstance(statement, ast.AugAssign):
            _check_target(statement, statement.target)
            if type(statement.op) not in BINARY:
                raise LanguageError(statement, f"operator {type(statement.op).__name__} is not in the language")
        elif isinstance(statement, ast.For):
            _check_for(statement, loops)
            _check_block(statement.body, depth + 1, loops + 1)
            for bound in statement.iter.args:  # type: ignore[attr-defined]
                _check_expression(bound, 0)
            continue
        elif isinstance(statement, ast.If):
            _check_block(statement.body, depth + 1, loops)
            _check_block(statement.orelse, depth + 1, loops)
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.expr):
                _check_expression(child, 0)


def _check_for(statement: ast.For, loops: int) -> None:
    call = statement.iter
    plain = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
    if loops > 2 or statement.orelse or not plain or call.keywords:  # type: ignore[attr-defined]
        raise LanguageError(statement, "loops must be: for NAME in range(NUMBER), at most three deep")
    _check_target(statement, statement.target)


def _check_target(statement: ast.stmt, target: ast.expr | None) -> None:
    if not isinstance(target, ast.Name):
        raise LanguageError(statement, "assign to one plain name; nothing is changed in place")
    _check_name(target, target.id)
    if target.id in ("torch", "math", "obs", "cost", "range", *SCALARS):
        raise LanguageError(target, f"{target.id!r} cannot be assigned")


def _check_name(node: ast.AST, name: str) -> None:
    if "_" in (name[:1], name[-1:]) or "__" in name:
        raise LanguageError(node, f"name {name!r}: no leading, trailing or double underscores")


def _check_expression(node: ast.expr, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise LanguageError(node, "nested too deeply")
    if not isinstance(node, _EXPRESSIONS):
        raise LanguageError(node, _advice(node))
    if isinstance(node, ast.Name):
        _check_name(node, node.id)
    elif isinstance(node, ast.Attribute) and node.attr not in _ATTRIBUTES:
        known = ", ".join(sorted(_ATTRIBUTES))
        raise LanguageError(node, f"{node.attr[:40]!r} is not one of the operations: {known}")
    elif isinstance(node, ast.Constant):
        _check_constant(node)
    elif isinstance(node, ast.BinOp) and type(node.op) not in BINARY:
        raise LanguageError(node, f"operator {type(node.op).__name__} is not in the language")
    elif isinstance(node, ast.Compare):
        if any(type(op) not in COMPARE for op in node.ops):
            raise LanguageError(node, "compare with < <= > >= == != only")
        if len(node.ops) > 1:
            raise LanguageError(node, "compare two values at a time and join the results with &")
    elif isinstance(node, ast.Call):
        _check_call(node)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.keyword):
            child = child.value
        if isinstance(child, ast.expr):
            _check_expression(child, depth + 1)


def _check_call(node: ast.Call) -> None:
    if isinstance(node.func, ast.Name) and node.func.id not in SCALARS:
        raise LanguageError(node, f"{node.func.id!r} is not a function of the language; use torch functions")
    if not isinstance(node.func, (ast.Attribute, ast.Name)):
        raise LanguageError(node, "call torch functions and tensor methods by their names")
    for keyword in node.keywords:
        if keyword.arg not in KEYWORDS:
            name = "**" if keyword.arg is None else repr(keyword.arg)
            raise LanguageError(node, f"argument {name} is not in the language")


def _check_constant(node: ast.Constant) -> None:
    value = node.value
    if isinstance(value, (bool, str)) or value is None or value is Ellipsis:
        return
    if not isinstance(value, (int, float)):
        raise LanguageError(node, f"a constant of kind {type(value).__name__} is not in the language")
    if abs(value) > 1e9:
        raise LanguageError(node, "a number beyond 1e9")
