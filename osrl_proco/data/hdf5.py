"""DSRL's arrays in an HDF5 file: read whole or refused, written whole or not at all."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import UserError, first_line, nearest
from .transitions import KEYS, PREVIOUS, Transitions

DSRL_FILE = re.compile(r"Safety(\w+-v\d+)-\d+-\d+\.hdf5")  # what DSRL calls the dataset of Offline\1


def read_hdf5(path: Path, task_id: str | None = None) -> dict[str, np.ndarray]:
    """DSRL's arrays in an HDF5 file, as they lie there.

    Raises UserError for a file that is missing, damaged or lacks a key, and, where `task_id` is given, for one whose
    mark (attribute `task`) or, failing that, whose name (DSRL's own) says that it is another task's.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; --dataset wants an HDF5 file")
    if not path.is_file():
        raise UserError(f"{path}: no such file (--dataset)")
    try:
        with h5py.File(path, "r") as handle:
            task = _task_of(handle, path)
            if task_id is not None and task not in (None, task_id):
                raise UserError(f"{path}: a dataset of {task}, not of {task_id}; change --task or --dataset")
            for key in KEYS:
                if key not in handle:
                    hint = nearest(key, handle)
                    raise UserError(f"{path}: key {key!r} is missing (needed: {', '.join(KEYS)}){hint}")
                if not isinstance(handle[key], h5py.Dataset):
                    raise UserError(f"{path}: key {key!r} is a group; it must be an array")
            return {k: handle[k][...] for k in (*KEYS, PREVIOUS) if k in handle}
    except PermissionError:
        raise UserError(f"{path}: may not be read; change its permissions or --dataset") from None
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, MemoryError) as error:
        raise UserError(f"{path}: not a whole HDF5 file ({first_line(error)}); fetch or make it again") from None


def _task_of(handle: h5py.File, path: Path) -> str | None:
    mark = handle.attrs.get("task")
    if mark is not None:
        return mark.decode() if isinstance(mark, bytes) else str(mark)
    name = DSRL_FILE.fullmatch(path.name)
    return f"Offline{name[1]}" if name else None


def write_hdf5(path: Path, arrays: Mapping[str, np.ndarray], **attributes: Any) -> None:
    """Write DSRL's arrays to `path`, whole or not at all. Raises UserError if that fails (a folder, disk full)."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Built in memory: the HDF5 library that meets a full disk takes the process down with it.
        with h5py.File(partial.name, "w", driver="core", backing_store=False, block_size=2**24) as handle:
            for key in KEYS if PREVIOUS not in arrays else (*KEYS, PREVIOUS):
                handle.create_dataset(key, data=np.asarray(arrays[key], dtype=np.float32), compression="gzip")
            handle.attrs.update(attributes)
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
