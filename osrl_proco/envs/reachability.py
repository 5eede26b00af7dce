"""Numerical Hamilton-Jacobi reachability for one or two double integrators, axis by axis.

    V(s) = max{ h(s), min_a V(f(s, a)) },   h > 0 where unsafe

on a grid, with multilinear interpolation. Position and velocity of an axis move by that axis's action alone, so the
interpolation of the next state is one sparse matrix per axis and action, and a sweep over a four-dimensional grid
takes a dozen sparse products.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import trange

from ..core.errors import UserError
from ..core.files import make_folder, read_bytes, write_bytes

SOLVER = 2  # of the cached solutions
CACHE_LIMIT = 2**28  # bytes of one


@dataclass(frozen=True)
class Axis:
    """The grid of one axis: positions (P,) and velocities (W,), evenly spaced."""

    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]

    @property
    def size(self) -> int:
        return len(self.positions) * len(self.velocities)

    def mesh(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Position and velocity of each grid point (P * W,), velocity fastest."""
        position, velocity = np.meshgrid(self.positions, self.velocities, indexing="ij")
        return position.ravel(), velocity.ravel()

    def interpolation(self, position: NDArray, velocity: NDArray) -> tuple[NDArray, NDArray]:
        """Grid points (N, 4) around each state and their weights (N, 4); beyond the grid its edge counts."""
        at, share = [], []
        for values, grid in ((position, self.positions), (velocity, self.velocities)):
            cell = np.clip((values - grid[0]) / (grid[1] - grid[0]), 0, len(grid) - 1)
            low = np.minimum(cell.astype(int), len(grid) - 2)
            at.append(np.stack([low, low + 1], 1))
            share.append(np.stack([1 - (cell - low), cell - low], 1))
        points = at[0][:, :, None] * len(self.velocities) + at[1][:, None, :]
        weights = share[0][:, :, None] * share[1][:, None, :]
        return points.reshape(len(position), 4), weights.reshape(len(position), 4)


Step = Callable[[NDArray, NDArray, float], tuple[NDArray, NDArray]]


def transition_matrices(axis: Axis, step: Step, actions: tuple[float, ...] = (-1.0, 0.0, 1.0)) -> list[Tensor]:
    """For each action the sparse matrix (size, size) that interpolates a value at every grid point's next state."""
    matrices = []
    for action in actions:
        points, weights = axis.interpolation(*step(*axis.mesh(), action))
        rows = np.repeat(np.arange(axis.size), 4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch calls its CSR tensors beta
            where = torch.as_tensor(np.stack([rows, points.ravel()]))
            share = torch.as_tensor(weights.ravel(), dtype=torch.float32)
            matrix = torch.sparse_coo_tensor(where, share, (axis.size, axis.size)).coalesce().to_sparse_csr()
        matrices.append(matrix)
    return matrices


def solve(h: Tensor, first: list[Tensor], second: list[Tensor], sweeps: int = 300, progress: bool = True) -> Tensor:
    """V on the grid: h (first axis, second axis) and the axes' transition matrices.

    Stops when a sweep changes nothing by more than 1e-5.
    """
    value = h.clone()
    bar = trange(sweeps, desc="Hamilton-Jacobi", disable=not progress, leave=False)
    for _ in bar:
        best = torch.full_like(value, torch.inf)
        for a in first:
            moved = (a @ value).T.contiguous()
            for b in second:
                best = torch.minimum(best, (b @ moved).T)
        updated = torch.maximum(h, best)
        change = float((updated - value).abs().max())
        value = updated
        if change < 1e-5:
            break
    return value


def cached(key: str, compute: Callable[[], NDArray]) -> NDArray:
    """`compute()`, kept in the user's cache folder under a digest of `key`; a damaged file is made again.

    The file is a checksum and the array: flipped bits are found as surely as a missing end.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(f"{SOLVER}/{key}".encode()).hexdigest()[:16]
    file = base / "osrl_proco" / f"reachability-{digest}"
    try:
        kept = read_bytes(file, limit=CACHE_LIMIT)
    except UserError:
        kept = b""
    if hashlib.sha256(kept[32:]).digest() == kept[:32]:
        return np.load(io.BytesIO(kept[32:]))
    value = compute()
    array = io.BytesIO()
    np.save(array, value)
    with contextlib.suppress(UserError):  # no cache folder to write to: it is computed again next time
        make_folder(file.parent, "cache folder")
        write_bytes(file, hashlib.sha256(array.getvalue()).digest() + array.getvalue())
    return value
