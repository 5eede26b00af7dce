"""The registry: an algorithm is a config class, a twin class and OSRL's trainer."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import Any

from ..core.errors import UserError, nearest
from ..run.config import BCQLConfig, BEARLConfig, CPQConfig, ProcoConfig
from .agent import Agent
from .proco import ProcoMixin, ProcoSettings

__all__ = ["ALGORITHMS", "Agent", "Algorithm", "ProcoMixin", "ProcoSettings", "algorithm", "build_agent"]


@dataclass(frozen=True)
class Algorithm:
    """Where an algorithm's parts are. The module is imported when it is built, so that `--help` needs no OSRL."""

    module: str
    twin: str
    config: type[ProcoConfig]


ALGORITHMS = {
    "bcql": Algorithm("bcql", "ProcoBCQL", BCQLConfig),
    "bearl": Algorithm("bearl", "ProcoBEARL", BEARLConfig),
    "cpq": Algorithm("cpq", "ProcoCPQ", CPQConfig),
}


def algorithm(name: str) -> Algorithm:
    """The algorithm called `name`. Raises UserError with the nearest names."""
    if name not in ALGORITHMS:
        raise UserError(f"unknown algorithm {name!r} (known: {', '.join(ALGORITHMS)}){nearest(name, ALGORITHMS)}")
    return ALGORITHMS[name]


def build_agent(config: ProcoConfig, obs_dim: int, act_dim: int, max_action: float, device: str) -> Agent:
    """A fresh agent: OSRL's constructors, called with the flags that carry their argument names."""
    spec = algorithm(config.algo)
    module = importlib.import_module(f"{__name__}.{spec.module}")
    twin, trainer = getattr(module, spec.twin), module.Trainer
    given = {**vars(config), "state_dim": obs_dim, "action_dim": act_dim, "max_action": max_action, "device": device}
    settings = None
    if config.proco:
        settings = ProcoSettings(config.h_max, config.expectile, given["c_hidden_sizes"], config.feasibility_gamma)
    model = twin(**_accepted(twin.__mro__[2], given), proco=settings)
    rates = {k: v for k, v in _accepted(trainer, given).items() if k not in ("reward_scale", "cost_scale")}
    return Agent(model, trainer, config.reward_scale, config.cost_scale, **rates)


def _accepted(stock: type, given: dict[str, Any]) -> dict[str, Any]:
    """Those of the given values that the stock class's constructor names."""
    return {k: v for k, v in given.items() if k in inspect.signature(stock.__init__).parameters}  # type: ignore[misc]
