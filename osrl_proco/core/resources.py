"""Where the files that are not Python live: `patches/` and `configs/`.

In a wheel they lie inside the package; in a checkout (or an editable install) beside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _folder(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


PATCHES = _folder("patches")
CONFIGS = _folder("configs")
COST_LIBRARY = _PACKAGE / "costs" / "library"
