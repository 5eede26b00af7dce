"""From a command line to a config: family and preset, then --config, then the flags, which always win. No torch."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import textwrap
import typing
from typing import Any

import pyrallis
import yaml

from ..algorithms.registry import algorithm, algorithms
from ..core.errors import UserError, nearest
from ..core.files import read_mapping
from ..core.resources import CONFIGS
from ..tasks.task import load_task
from .config import ProcoConfig, RunConfig, config_class, field_names
from .ranges import check

PRESETS = ("paper", "laptop")
SIMULATED = ("navigation", "velocity", "bullet")  # families on which --critic auto is ours
_FILE_ENDINGS = (".yaml", ".yml")


def parse(argv: list[str], base: dict[str, Any] | None = None) -> ProcoConfig:
    """The config that `--algo`, `--task`, `--preset`, `--config FILE` and the other flags of `argv` amount to.

    Args:
        argv: flags as `--name value` or `--name=value`; a bare switch is true, dashes in a name are underscores.
        base: settings below the command line that stand in for family, preset and `--config` (a resumed run's).

    Raises UserError for unknown flags (with the nearest), unreadable values and values out of range.
    """
    flags: dict[str, Any] = _flags(argv)
    if "config" in flags and base is not None:
        raise UserError("--config: a resumed run keeps its own settings; give single flags instead")
    file = flags.pop("config", None)
    given = read_mapping(file, "--config") if file is not None else {}
    chosen = {**(base or {}), **given, **flags}
    spec = algorithm(str(chosen.get("algo", RunConfig.algo)))
    kind = config_class(spec.name)
    known = field_names(kind)
    for name, where in [(n, f"--config {file}") for n in given] + [(n, f"--{n}") for n in flags]:
        if name not in known:
            raise UserError(f"{where}: unknown setting {name!r} for {spec.name}{nearest(name, known)}")
    if base is None:
        base = {k: v for k, v in _below(chosen, spec.name).items() if k in known}
    else:
        missing = [n for n in known if n not in base]
        if missing:
            raise UserError(
                f"the run's config.yaml lacks {', '.join(missing[:5])}; it is damaged or of another release"
            )
        base = {k: v for k, v in base.items() if k in known}
    values = {**base, **given, **flags, "algo": spec.name}
    if values.get("critic") == "auto":
        values["critic"] = base["critic"]
    if not spec.twin:
        if str({**given, **flags}.get("proco", False)).lower() == "true":
            raise UserError(f"--proco true: {spec.name} has no PROCO twin; --proco false, or leave it out")
        values["proco"] = False
    types = typing.get_type_hints(kind)
    config = kind(**{name: _value(name, value, types[name]) for name, value in values.items()})
    if not config.task.endswith(_FILE_ENDINGS):
        config.task = load_task(config.task).id  # one id, and so one folder, for every way to write it
    if "recover_by" not in given | flags and (config.recover is None or config.model_share == 0):
        config.recover_by = "critic"  # what `ours` sets asks for both
    check(config)
    return config


def _below(chosen: dict[str, Any], algo: str) -> dict[str, Any]:
    """The settings of the task's family, and those of the preset over them."""
    family = load_task(str(chosen.get("task", RunConfig.task))).family
    preset = str(chosen.get("preset", RunConfig.preset))
    if preset not in PRESETS:
        raise UserError(f"--preset: {preset!r} is not one of {', '.join(PRESETS)}")
    settings: dict[str, Any] = {}
    critic = _critic(chosen, family)
    layers = [
        ("families.yaml", ["any", family]),
        (f"presets/{preset}.yaml", ["any", family]),
        ("critics.yaml", ["any", critic, f"{critic}-{family}"]),
    ]
    for file, names in layers:
        blocks = read_mapping(CONFIGS / file)
        for block in (blocks.get(name) or {} for name in names):
            settings |= {**(block.get("all") or {}), **(block.get(algo) or {})}
    return {**settings, "critic": critic}


def _critic(chosen: dict[str, Any], family: str) -> str:
    """The form of the critic, `auto` replaced: ours was made for twins with a model, and proved in simulators."""
    critic = str(chosen.get("critic", ProcoConfig.critic))
    if critic != "auto":
        return critic
    fits = (
        family in SIMULATED
        and _value("proco", chosen.get("proco", True), bool)
        and _value("model_share", chosen.get("model_share", 1.0), float) > 0
        and chosen.get("ablation", "none") == "none"
        and chosen.get("conservative_backup", "label") == "label"
    )
    return "ours" if fits else "paper"


def take(argv: list[str], flag: str) -> tuple[list[str], str | None]:
    """`argv` without `flag VALUE`, and the value."""
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            return argv[:i] + argv[i + 2 :], argv[i + 1]
        if word.startswith(flag + "="):
            return argv[:i] + argv[i + 1 :], word.split("=", 1)[1]
    return argv, None


def _flags(argv: list[str]) -> dict[str, str]:
    """Names and values as text."""
    switches = {f.name for f in dataclasses.fields(ProcoConfig) if f.type is bool}
    flags: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise UserError(f"unexpected word {word!r}; flags are --name value")
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if not equals:
            if name in switches and (not words or words[0].startswith("--")):
                value = "true"
            elif not words:
                raise UserError(f"--{name}: a value is missing")
            else:
                value = words.pop(0)
        flags[name] = value
    return flags


_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _value(name: str, value: Any, kind: Any) -> Any:
    """`value`, text from a flag or what a YAML file holds, as the field's type. Raises UserError where it is not."""
    inner = next(t for t in typing.get_args(kind) if t is not type(None)) if _optional(kind) else kind
    if _optional(kind) and value in (None, "null", "None"):
        return None
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(
        inner, "a list of numbers"
    )
    wrong = UserError(f"--{name}: {_short(value)} is not {wanted}")
    if inner is str:
        if not isinstance(value, str):
            raise wrong
        return value
    try:
        plain = value
        if isinstance(value, str):
            plain = yaml.safe_load(f"[{value}]" if typing.get_origin(inner) is list and "[" not in value else value)
            if isinstance(plain, str):  # YAML wants 1.0e+5 where people write 1e5
                plain = float(plain)
        if isinstance(plain, bool) != (inner is bool):
            raise wrong
        if inner is int and isinstance(plain, float) and plain.is_integer():
            plain = int(plain)
        if (inner is int and not isinstance(plain, int)) or (inner is float and not math.isfinite(plain)):
            raise wrong
        if typing.get_args(inner) == (int,) and not all(isinstance(n, int) for n in _as_list(plain)):
            raise wrong
        return pyrallis.decode(inner, _as_list(plain) if typing.get_origin(inner) is list else plain)
    except UserError:
        raise
    except Exception:  # pyrallis raises several kinds; what was given, and what is wanted, say it all
        raise wrong from None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _optional(kind: Any) -> bool:
    return type(None) in typing.get_args(kind)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def help_text(algo: str) -> str:
    """The flags of an algorithm, one line each with default and meaning, its own first."""
    kind = config_class(algo)
    defaults = kind()
    lines = [f"algorithms: {', '.join(algorithms())}", "", f"{(kind.__doc__ or algo).strip()} (--algo {algo}):"]
    seen: set[str] = set()
    for owner, title in ((kind.__mro__[1], ""), (RunConfig, "\nEvery run:"), (ProcoConfig, "\nPROCO:")):
        lines += [title] if title else []
        comments = _comments(owner)
        for field in (f.name for f in dataclasses.fields(owner) if f.name not in seen):
            if owner is ProcoConfig and field in field_names(RunConfig):
                continue
            seen.add(field)
            text = f"{comments.get(field, '')} (default: {_shown(getattr(defaults, field))})"
            head = f"  --{field}"
            lines += textwrap.wrap(
                f"{head:<26}{text}", 116, subsequent_indent=" " * 26, break_on_hyphens=False, drop_whitespace=True
            )
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return "true" if value is True else "false" if value is False else "none" if value is None else str(value)


def _comments(owner: type) -> dict[str, str]:
    """The comment lines above each field of a dataclass, as written in its source."""
    try:
        source = textwrap.dedent(inspect.getsource(owner))
    except OSError:
        return {}
    lines = source.splitlines()
    found: dict[str, str] = {}
    (body,) = (n.body for n in ast.parse(source).body if isinstance(n, ast.ClassDef))
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            above: list[str] = []
            row = node.lineno - 2
            while row >= 0 and lines[row].strip().startswith("#"):
                above.insert(0, lines[row].strip("# ").strip())
                row -= 1
            found[node.target.id] = " ".join(above)
    return found
