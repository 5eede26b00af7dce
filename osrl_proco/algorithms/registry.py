"""Which algorithms there are: a name, the module that makes its agent, the class of its settings. No torch here.

A package of one's own adds an algorithm by an entry point in the group `osrl_proco.algorithms` (`mine = "my.module"`),
a script by `register("mine", "my.module")`. The module has `Config` and `create(config, problem) -> Agent`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from typing import Any

from ..core.errors import UserError, nearest

GROUP = "osrl_proco.algorithms"


@dataclass(frozen=True)
class Algorithm:
    """One entry.

    module: has `create(config, problem)`; imported only when an agent is built.
    config: `module:class` of its settings, a dataclass with a default for every field.
    twin: whether it has a PROCO twin.
    """

    name: str
    module: str
    config: str
    twin: bool = True

    def config_class(self) -> type:
        """The class of the settings. Raises UserError where the module cannot be imported."""
        module, _, name = self.config.partition(":")
        return getattr(self._import(module), name)

    def create(self, config: Any, problem: Any) -> Any:
        """A fresh agent."""
        return self._import(self.module).create(config, problem)

    def _import(self, module: str) -> Any:
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise UserError(f"algorithm {self.name}: {module} cannot be imported ({error})") from None


_HERE = __package__
_KNOWN = {
    name: Algorithm(name, f"{_HERE}.{name}", f"{_HERE}.{config}")
    for name, config in (
        ("bcql", "configs:BCQLConfig"),
        ("bearl", "configs:BEARLConfig"),
        ("cpq", "configs:CPQConfig"),
        ("fisor", "iql_configs:FISORConfig"),
        ("lspc", "iql_configs:LSPCConfig"),
        ("caps", "iql_configs:CAPSConfig"),
        ("coptidice", "configs:COptiDICEConfig"),
        ("ccac", "trajectory_configs:CCACConfig"),
        ("trac", "trajectory_configs:TraCConfig"),
        ("presa", "trajectory_configs:PreSaConfig"),
        ("cdt", "configs:CDTConfig"),
        ("bc", "configs:BCConfig"),
    )
}


def register(name: str, module: str, config: str | None = None, twin: bool = True) -> None:
    """Make `--algo name` known in this process: `module` has `create`, and `Config` unless `config` says where.

    Raises UserError where the name is taken by another module.
    """
    name = name.lower()
    known = _KNOWN.get(name)
    if known is not None and known.module != module:
        raise UserError(f"algorithm {name!r} is there already ({known.module}); choose another name")
    _KNOWN[name] = Algorithm(name, module, config or f"{module}:Config", twin)


def algorithms() -> dict[str, Algorithm]:
    """All algorithms by name: our own, the registered, and those of installed packages."""
    found = {e.name.lower(): e.value for e in importlib.metadata.entry_points(group=GROUP)}
    return {**{n: Algorithm(n, module, f"{module}:Config") for n, module in found.items()}, **_KNOWN}


def algorithm(name: str) -> Algorithm:
    """The algorithm called `name`, in any case. Raises UserError with the nearest names."""
    known = _KNOWN.get(name.lower()) or algorithms().get(name.lower())
    if known is None:
        names = list(algorithms())
        raise UserError(f"unknown algorithm {name!r} (known: {', '.join(names)}){nearest(name, names)}")
    return known
