"""DSRL's arrays in an HDF5 file: read whole or refused, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import UserError, first_line, nearest
from .transitions import KEYS, PREVIOUS, Transitions

HASH = "sha256"  # attribute: hash of the arrays, written by us, unknown to DSRL's own files
DSRL_FILE = re.compile(r"Safety(\w+-v\d+)-\d+-\d+\.hdf5")  # what DSRL calls the dataset of Offline\1


def read_hdf5(path: Path, task_id: str | None = None) -> dict[str, np.ndarray]:
    """DSRL's arrays in an HDF5 file, as they lie there.

    Raises UserError for a file that is missing, damaged or lacks a key, and, where `task_id` is given, for one whose
    mark (attribute `task`) or, failing that, whose name (DSRL's own) says that it is another task's.
    """
    arrays = read_arrays(path, task_id)
    for key in KEYS:
        if key not in arrays:
            raise UserError(f"{path}: key {key!r} is missing (needed: {', '.join(KEYS)}){nearest(key, arrays)}")
    return {k: arrays[k] for k in (*KEYS, PREVIOUS) if k in arrays}


def read_arrays(path: Path, task_id: str | None = None) -> dict[str, np.ndarray]:
    """All arrays in an HDF5 file, whatever their names. Raises UserError as `read_hdf5`, but for missing keys."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder; --dataset wants an HDF5 file")
    if not path.is_file():
        raise UserError(f"{path}: no such file (--dataset)")
    try:
        with h5py.File(path, "r") as handle:
            task = _task_of(handle, path)
            if task_id is not None and task not in (None, task_id):
                raise UserError(f"{path}: a dataset of {task}, not of {task_id}; change --task or --dataset")
            for key in handle:
                if not isinstance(handle[key], h5py.Dataset):
                    raise UserError(f"{path}: key {key!r} is a group; it must be an array")
            arrays = {str(k): handle[k][...] for k in handle}
            _hold_against(arrays, handle.attrs.get(HASH), path)
            return arrays
    except PermissionError:
        raise UserError(f"{path}: may not be read; change its permissions or --dataset") from None
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, MemoryError) as error:
        raise UserError(f"{path}: not a whole HDF5 file ({first_line(error)}); fetch or make it again") from None


def content_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """One SHA-256 of all arrays as they are stored: name, shape and float32 bytes."""
    digest = hashlib.sha256()
    for key in (*KEYS, PREVIOUS):
        if key in arrays:
            digest.update(f"{key} {np.shape(arrays[key])} ".encode())
            digest.update(np.ascontiguousarray(arrays[key], dtype=np.float32).data)
    return digest.hexdigest()


def _hold_against(arrays: Mapping[str, np.ndarray], stated: Any, path: Path) -> None:
    """HDF5 reads a damaged file without a word where the damage lies in what says which parts are filled."""
    if stated is not None and content_hash(arrays) != str(stated):
        raise UserError(
            f"{path}: its values are not those that were written; fetch or make it again (or, where you changed them "
            f"yourself, remove its attribute {HASH!r})"
        )


def _task_of(handle: h5py.File, path: Path) -> str | None:
    mark = handle.attrs.get("task")
    if mark is not None:
        return mark.decode() if isinstance(mark, bytes) else str(mark)
    name = DSRL_FILE.fullmatch(path.name)
    return f"Offline{name[1]}" if name else None


def write_hdf5(path: str | Path, arrays: Mapping[str, np.ndarray], **attributes: Any) -> None:
    """Write DSRL's arrays to `path`, whole or not at all. Raises UserError if that fails (a folder, disk full)."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Built in memory: the HDF5 library that meets a full disk takes the process down with it.
        with h5py.File(partial.name, "w", driver="core", backing_store=False, block_size=2**24) as handle:
            for key in KEYS if PREVIOUS not in arrays else (*KEYS, PREVIOUS):
                values = np.asarray(arrays[key], dtype=np.float32)
                # Level 1: noise hardly compresses, and higher levels read at half the speed.
                handle.create_dataset(key, data=values, compression="gzip", compression_opts=1)
            handle.attrs.update({**attributes, HASH: content_hash(arrays)})
            handle.flush()
            partial.write_bytes(handle.id.get_file_image())
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: could not be written ({first_line(error)})") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_transitions(path: Path, data: Transitions, **attributes: Any) -> None:
    """Write rows that a split has taken from their episodes, so that `Transitions.from_arrays` gives them back.

    DSRL's format has no word for a cut. It becomes a time-out, which is what it means to a learner: the task did not
    end here, but the next row is no successor.
    """
    arrays = data.arrays()
    arrays["timeouts"] = np.where(arrays["terminals"] > 0, arrays["timeouts"], data.last.cpu().numpy())
    write_hdf5(path, {**arrays, PREVIOUS: data.previous_costs.cpu().numpy()}, **attributes)
