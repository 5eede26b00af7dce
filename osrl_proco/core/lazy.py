"""Names of a package that are imported when they are asked for, so that flags are read before PyTorch loads."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def lazily(package: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """A module's `__getattr__`: `names` says in which module of `package` each name is (`name` or `module:other`)."""

    def find(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, original = names[name].partition(":")
        return getattr(importlib.import_module(f"{package}.{module}"), original or name)

    return find
