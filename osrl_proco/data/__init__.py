"""Recorded data: load, check, split, collect, and bring your own."""

from typing import TYPE_CHECKING

from ..core.lazy import lazily

if TYPE_CHECKING:
    from .hdf5 import write_hdf5
    from .load import from_arrays, load_dataset
    from .load import load_file as from_hdf5
    from .minari import from_minari, to_minari
    from .split import safe_only
    from .transitions import Transitions

__all__ = [
    "Transitions",
    "from_arrays",
    "from_hdf5",
    "from_minari",
    "load_dataset",
    "safe_only",
    "to_minari",
    "write_hdf5",
]

__getattr__ = lazily(
    __name__,
    {
        "Transitions": "transitions",
        "from_arrays": "load",
        "from_hdf5": "load:load_file",
        "from_minari": "minari",
        "load_dataset": "load",
        "safe_only": "split",
        "to_minari": "minari",
        "write_hdf5": "hdf5",
    },
)
