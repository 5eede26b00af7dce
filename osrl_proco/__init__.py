"""PROCO for OSRL: offline safe reinforcement learning from data without violations.

Importing this package patches OSRL, DSRL, FSRL and the simulators in memory where they are imported after it, and
makes Gymnasium know the embedded tasks (`gymnasium.make("OfflineBrake-v0")`).

From Python, everything that the command line does (docs/python_api.md):

    from osrl_proco import compare, evaluate, load_policy, load_task, train

Each is loaded, and PyTorch with it, when it is first asked for.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .envs.registration import register_with_gymnasium
from .upstream import compat

if TYPE_CHECKING:
    from .algorithms.registry import register
    from .api import Run, evaluate, load_policy, train
    from .core.errors import UserError
    from .tasks.task import load_task

__version__ = "0.1.0"
__all__ = ["Run", "UserError", "compare", "evaluate", "load_policy", "load_task", "register", "train"]

_HOMES = {
    "Run": "api",
    "UserError": "core.errors",
    "evaluate": "api",
    "load_policy": "api",
    "load_task": "tasks.task",
    "register": "algorithms.registry",
    "train": "api",
}

compat.install()
register_with_gymnasium()


def __getattr__(name: str) -> Any:
    if name == "compare":
        return importlib.import_module(".compare", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Compare(ModuleType):
    """The room `osrl_proco.compare`, which is also what `compare(...)` calls."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return importlib.import_module(".api", self.__name__).compare(*args, **kwargs)


class _Package(ModuleType):
    """Sees its room `compare` come in, however it is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "compare" and isinstance(value, ModuleType):
            value.__class__ = _Compare
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
