"""Which settings make two runs the same: what is compared before a run is reused, and the hash that rows carry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Where a run is written, what it prints, and how often it saves: none of it changes a result.
BESIDE = frozenset(
    (
        "logdir", "threads", "verbose", "tensorboard", "wandb", "project", "group", "name", "prefix", "suffix",
        "num_workers", "checkpoint_every", "log_every", "dynamics",
    )
)  # fmt: skip
# What a dynamics model is made from, beside every setting that begins with `dynamics_`.
_DYNAMICS = (
    "task", "dataset", "safe_only", "keep_unsafe", "unsafe_share", "accept", "seed", "outliers_percent", "noise_scale",
    "inpaint_ranges", "epsilon", "density", "members", "elites", "cost_function", "label", "stop_at_timeouts",
)  # fmt: skip


def differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """`name there, asked` for every setting that matters and is not the same."""
    names = [n for n in dict.fromkeys([*asked, *there]) if n not in BESIDE]
    plain = json.loads(json.dumps(dict(asked)))  # tuples as lists, as a file has them
    return [
        f"{name} {there.get(name, 'missing')}, asked {plain.get(name, 'nothing')}"
        for name in names
        if there.get(name, ...) != plain.get(name, ...)
    ]


def configuration(config: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that the runs of one arm and task share: every setting that matters, but for the seed."""
    return _digest({k: v for k, v in config.items() if k not in BESIDE and k != "seed"})[:16]


def asked(config: Mapping[str, Any]) -> str:
    """8 hexadecimal digits of what was asked of one run, its seed included."""
    return _digest({k: v for k, v in config.items() if k not in BESIDE})[:8]


def dynamics_key(config: Mapping[str, Any]) -> str:
    """8 hexadecimal digits that the runs share which can share a dynamics model."""
    return _digest({k: v for k, v in config.items() if k in _DYNAMICS or k.startswith("dynamics_")})[:8]


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True, default=str).encode()).hexdigest()
