"""Statistics of a dataset's columns in blocks of rows, so that a check takes no second copy of the data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 16  # rows
SAMPLE = 1 << 16  # rows that order statistics are taken of


def as_rows(array: np.ndarray) -> np.ndarray:
    """(N,) or (N, d) as (N, d), without a copy."""
    return array.reshape(len(array), -1)


def blocks(count: int, overlap: int = 0) -> Iterator[slice]:
    """Slices of up to BLOCK rows that cover `count` rows, each with `overlap` rows of the next one."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK + overlap, count))


def wide(array: np.ndarray) -> NDArray[np.float64]:
    """Float64, whatever it was: booleans cannot be subtracted, and unsigned numbers wrap around."""
    return np.asarray(array, dtype=np.float64)


def extremes(array: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest value of each column (d,)."""
    rows = as_rows(array)
    low = np.min([wide(rows[b].min(0)) for b in blocks(len(rows))], axis=0)
    high = np.max([wide(rows[b].max(0)) for b in blocks(len(rows))], axis=0)
    return low, high


def sample(array: np.ndarray) -> NDArray[np.float64]:
    """At most SAMPLE evenly spaced rows (M, d), in order, as float64."""
    rows = as_rows(array)
    return wide(rows[:: max(1, -(-len(rows) // SAMPLE))])


def listed(indices: np.ndarray, most: int = 8) -> str:
    """Indices in words: `0, 3, 7`, and how many there are beyond `most`."""
    more = f" and {len(indices) - most} more" if len(indices) > most else ""
    return ", ".join(map(str, indices[:most].tolist())) + more
