"""Recorded data: load, check, split, collect, and bring your own."""

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
