"""The embedded tasks in Gymnasium's registry, without loading Gymnasium for those who do not use it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

# id -> where the class is, steps of an episode (what the class has as `episode_len`; a test holds them together)
EMBEDDED = {
    "OfflineBrake-v0": ("osrl_proco.envs.brake:BrakeEnv", 100),
    "OfflinePointRobot-v0": ("osrl_proco.envs.point_robot:PointRobotEnv", 52),
}


def register_embedded() -> None:
    """Make `gymnasium.make` know the embedded tasks. Calling it twice does no harm."""
    from gymnasium.envs.registration import register, registry

    for id_, (entry_point, steps) in EMBEDDED.items():
        if id_ not in registry:
            register(id=id_, entry_point=entry_point, max_episode_steps=steps)


def register_with_gymnasium() -> None:
    """Register the embedded tasks now, where Gymnasium is loaded, else as soon as it is."""
    if hasattr(sys.modules.get("gymnasium"), "make"):
        _welcome()
    elif not any(isinstance(finder, _Gymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Gymnasium())


def _welcome() -> None:
    register_embedded()
    if not sys.stderr.isatty():
        plain_warnings()


def plain_warnings() -> None:
    """Let Gymnasium's warnings come without colour codes, which a file or a pipe cannot show."""
    import gymnasium.logger

    if hasattr(gymnasium.logger, "colorize"):
        gymnasium.logger.colorize = lambda string, *_, **__: string


class _Gymnasium(MetaPathFinder):
    """Waits for the import of Gymnasium, once, and greets it when it is whole."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _then(spec.loader.exec_module, _welcome)  # type: ignore[method-assign]
        return spec


def _then(first: Callable[..., None], second: Callable[[], None]) -> Callable[..., None]:
    def both(module: Any) -> None:
        first(module)
        second()

    return both
