"""Statistics of a dataset's columns in blocks of rows, so that a check takes no second copy of the data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 22  # numbers at once
SAMPLE = 1 << 22  # numbers that order statistics are taken of


def as_rows(array: np.ndarray) -> np.ndarray:
    """(N,) or (N, d) as (N, d), without a copy."""
    return array.reshape(len(array), -1)


def blocks(array: np.ndarray) -> Iterator[slice]:
    """Slices of rows of at most BLOCK numbers, in order, that cover the array."""
    count, size = len(array), max(1, BLOCK // max(1, array[:1].size))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def wide(array: np.ndarray) -> NDArray[np.float64]:
    """Float64, whatever it was: booleans cannot be subtracted, and unsigned numbers wrap around."""
    return np.asarray(array, dtype=np.float64)


def extremes(array: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest value of each column (d,)."""
    rows = as_rows(array)
    low = np.min([wide(rows[b].min(0)) for b in blocks(rows)], axis=0)
    high = np.max([wide(rows[b].max(0)) for b in blocks(rows)], axis=0)
    return low, high


def sample(array: np.ndarray) -> NDArray[np.float64]:
    """Evenly spaced rows (M, d), in order, as float64: at most 65,536, and SAMPLE numbers."""
    rows = as_rows(array)
    most = min(1 << 16, max(1, SAMPLE // max(1, rows.shape[1])))
    return wide(rows[:: max(1, -(-len(rows) // most))])


def listed(indices: np.ndarray, most: int = 8) -> str:
    """Indices in words: `0, 3, 7`, and how many there are beyond `most`."""
    more = f" and {len(indices) - most} more" if len(indices) > most else ""
    return ", ".join(map(str, indices[:most].tolist())) + more
