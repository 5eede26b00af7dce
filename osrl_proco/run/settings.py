"""From a command line to a config: family settings, then --config, then the flags, which always win."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import tempfile
from pathlib import Path
from typing import Any

import pyrallis
import yaml

from ..algorithms import algorithm
from ..core.errors import UserError, first_line, nearest
from ..core.resources import CONFIGS
from ..tasks.task import load_task
from .config import ProcoConfig, field_names


def parse(argv: list[str], base: dict[str, Any] | None = None) -> ProcoConfig:
    """The config that `--algo`, `--task`, `--config FILE` and the other flags of `argv` amount to.

    Args:
        argv: flags as `--name value` or `--name=value`.
        base: settings below the command line that stand in for family settings and `--config` (a resumed run's).

    Raises UserError for unknown flags (with the nearest), unreadable values and values out of range.
    """
    flags = _flags(argv)
    if "config" in flags and base is not None:
        raise UserError("--config: a resumed run keeps its own settings; give single flags instead")
    given = _read_yaml(Path(flags.pop("config"))) if "config" in flags else {}
    chosen = {**(base or {}), **given, **flags}
    spec = algorithm(str(chosen.get("algo", ProcoConfig.algo)))
    known = field_names(spec.config)
    for name, where in [(n, "--config") for n in given] + [(n, f"--{n}") for n in flags]:
        if name not in known:
            raise UserError(f"{where}: unknown setting {name!r} for {chosen.get('algo', 'bcql')}{nearest(name, known)}")
    if base is None:
        family = load_task(str(chosen.get("task", ProcoConfig.task))).family
        settings = yaml.safe_load((CONFIGS / "families.yaml").read_text()).get(family, {})
        base = {**settings.get("all", {}), **settings.get(spec.config.algo, {}), **settings.get(spec.module, {})}
        base = {k: v for k, v in base.items() if k in known}
    config = _decode(spec.config, {**base, **given}, flags)
    _check(config)
    return config


def help_text(algo: str) -> str:
    """The flags of an algorithm, one line each with its default."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        pyrallis.parse(config_class=algorithm(algo).config, args=["--help"])
    text = out.getvalue()
    return text[text.index(algorithm(algo).config.__name__) :]


def take(argv: list[str], flag: str) -> tuple[list[str], str | None]:
    """`argv` without `flag VALUE`, and the value."""
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            return argv[:i] + argv[i + 2 :], argv[i + 1]
        if word.startswith(flag + "="):
            return argv[:i] + argv[i + 1 :], word.split("=", 1)[1]
    return argv, None


_SWITCHES = ("proco", "safe_only", "relabel", "tensorboard", "wandb", "verbose")


def _flags(argv: list[str]) -> dict[str, str]:
    flags: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        if not word.startswith("--"):
            raise UserError(f"unexpected word {word!r}; flags are --name value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            try:
                value = next(words)
            except StopIteration:
                raise UserError(f"--{name}: a value is missing") from None
        if name in _SWITCHES and value.lower() not in ("true", "false"):
            raise UserError(f"--{name}: {value!r} must be true or false")
        flags[name] = value
    return flags


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"--config {path}: not valid YAML ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise UserError(f"--config {path}: expected a mapping of flag names to values")
    return content


def _decode(config_class: type[ProcoConfig], below: dict[str, Any], flags: dict[str, str]) -> ProcoConfig:
    """pyrallis merges a YAML file with the command line, the command line winning."""
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "below.yaml"
        file.write_text(yaml.safe_dump(below))
        errors = io.StringIO()
        try:
            with contextlib.redirect_stderr(errors):
                return pyrallis.parse(config_class=config_class, config_path=str(file), args=words)
        except SystemExit:
            raise UserError(errors.getvalue().strip().splitlines()[-1].split("error: ")[-1]) from None
        except Exception as error:  # pyrallis raises several kinds; each names value and field in its first line
            raise UserError(_shorten(str(error))) from None


_MESSAGE = re.compile(r"value=(.+?) into field .*?\.(\w+)\" of type <class '(\w+)'>", re.DOTALL)


def _shorten(message: str) -> str:
    """pyrallis's words, or where it says which value of which flag is of which kind: those three."""
    match = _MESSAGE.search(message)
    return f"--{match[2]}: {match[1]} is not of type {match[3]}" if match else " ".join(message.split())


_POSITIVE = (
    "update_steps", "batch_size", "eval_episodes", "checkpoint_every", "log_every", "threads", "members", "elites",
    "dynamics_epochs", "dynamics_batch", "dynamics_patience", "rollout_every", "rollout_batch", "rollout_length",
    "rollout_repeats", "rollout_buffer", "sample_action_num", "vae_hidden_sizes", "h_max", "dynamics_lr",
)  # fmt: skip


def _check(config: ProcoConfig) -> None:
    values = dataclasses.asdict(config)
    for name in _POSITIVE:
        if name in values and not values[name] > 0:
            raise UserError(f"--{name}: {values[name]} must be greater than 0")
    for name in ("keep_unsafe", "eval_every", "model_share", "rollout_noise", "cost_limit", "seed"):
        if values[name] < 0:
            raise UserError(f"--{name}: {values[name]} must not be negative")
    if not 0 <= config.unsafe_share <= 1:
        raise UserError(f"--unsafe_share: {config.unsafe_share} must lie between 0 and 1")
    if not 0.5 < config.expectile < 1:
        raise UserError(f"--expectile: {config.expectile} must lie between 0.5 and 1 (eq. 12)")
    for name in ("gamma", "feasibility_gamma"):
        if not 0 < values[name] < 1:
            raise UserError(f"--{name}: {values[name]} must lie between 0 and 1")
    if config.conservative_backup not in ("label", "max"):
        raise UserError(f"--conservative_backup: {config.conservative_backup!r} must be label or max")
    if config.elites > config.members:
        raise UserError(f"--elites: {config.elites} is more than --members {config.members}")
    if config.conservative_backup == "max" and config.model_share == 0:
        raise UserError("--conservative_backup max: needs the dynamics model; give --model_share above 0")
