"""Datasets in DSRL's format: from DSRL's own environments, or from an HDF5 file; checked before anything trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
from gymnasium import spaces

from ..errors import UserError, first_line
from .transitions import KEYS, Transitions


def load_dataset(env: gym.Env, task_id: str, file: str | Path | None = None) -> Transitions:
    """The dataset of a task, on the CPU: `file` where given, the environment's own (generated or downloaded) if not.

    Raises UserError, in one line that names file, key and fix, for a missing or damaged file, a missing key, wrong
    sizes, values that are not finite or out of range, and a file that says it is of another task.
    """
    if file is not None:
        arrays, name = read_hdf5(Path(file), task_id), str(file)
    else:
        name = f"dataset of {task_id}"
        try:
            arrays = env.unwrapped.get_dataset()  # type: ignore[attr-defined]
        except OSError as error:
            raise UserError(f"{name}: could not be downloaded or read ({error}); pass --dataset FILE") from None
        except AttributeError:
            raise UserError(f"{name}: the environment has none; pass --dataset FILE") from None
    check(arrays, name, task_id, env.observation_space, env.action_space)
    return Transitions.from_arrays(arrays)


def read_hdf5(path: Path, task_id: str | None = None) -> dict[str, np.ndarray]:
    """DSRL's arrays in an HDF5 file. Raises UserError if it cannot be read whole, or is marked as another task's."""
    if not path.is_file():
        raise UserError(f"{path}: no such file (--dataset)")
    try:
        with h5py.File(path, "r") as handle:
            marked = handle.attrs.get("task")
            if marked is not None and task_id is not None and marked != task_id:
                raise UserError(f"{path}: a dataset of {marked}, not of {task_id}; change --task or --dataset")
            missing = [k for k in KEYS if k not in handle]
            if missing:
                raise UserError(f"{path}: key {missing[0]!r} is missing (needed: {', '.join(KEYS)})")
            return {k: handle[k][...] for k in KEYS}
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a whole HDF5 file ({first_line(error)}); fetch or make it again") from None


def check(
    arrays: Mapping[str, Any], name: str, task_id: str, observation_space: spaces.Space, action_space: spaces.Space
) -> None:
    """Raise UserError for the first thing in `arrays` that does not fit DSRL's format or the task's spaces."""
    missing = [k for k in KEYS if k not in arrays]
    if missing:
        raise UserError(f"{name}: key {missing[0]!r} is missing (needed: {', '.join(KEYS)})")
    assert observation_space.shape is not None
    assert action_space.shape is not None
    count = len(arrays["observations"])
    if count == 0:
        raise UserError(f"{name}: holds no transition")
    sizes = {"observations": observation_space.shape, "next_observations": observation_space.shape}
    sizes["actions"] = action_space.shape
    for key in KEYS:
        array = np.asarray(arrays[key])
        row: tuple[int, ...] = sizes.get(key, ())
        if array.dtype.kind not in "fiub":
            raise UserError(f"{name}: key {key!r} holds {array.dtype}, not numbers")
        if array.shape[1:] != row:
            raise UserError(f"{name}: key {key!r} has rows of shape {array.shape[1:]}; {task_id} has {row}")
        if len(array) != count:
            raise UserError(f"{name}: key {key!r} has {len(array)} rows, 'observations' has {count}")
        finite = np.isfinite(array).reshape(count, -1).all(1)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            raise UserError(f"{name}: key {key!r} has NaN or infinity in {len(bad)} rows, the first is row {bad[0]}")
    for key in ("costs", "terminals", "timeouts"):
        odd = np.flatnonzero(~np.isin(arrays[key], (0, 1)))
        if len(odd):
            raise UserError(f"{name}: key {key!r} must hold 0 or 1; row {odd[0]} holds {arrays[key][odd[0]]}")
    if not (np.asarray(arrays["terminals"]) + np.asarray(arrays["timeouts"])).any():
        raise UserError(f"{name}: no episode ends: 'terminals' and 'timeouts' are 0 everywhere")
    if isinstance(action_space, spaces.Box):
        outside = np.abs(arrays["actions"]) > np.maximum(np.abs(action_space.high), np.abs(action_space.low)) + 1e-4
        if outside.any():
            first = int(np.flatnonzero(outside.any(1))[0])
            raise UserError(f"{name}: key 'actions' leaves the action space in row {first}; clip or rescale it")


def write_hdf5(path: Path, arrays: Mapping[str, np.ndarray], **attributes: Any) -> None:
    """Write DSRL's arrays to `path`, whole or not at all. Raises UserError if that fails (no folder, disk full)."""
    partial = path.with_name(path.name + ".partial")
    try:
        with h5py.File(partial, "w") as handle:
            for key in KEYS:
                handle.create_dataset(key, data=np.asarray(arrays[key], dtype=np.float32), compression="gzip")
            handle.attrs.update(attributes)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{path}: could not be written ({first_line(error)})") from None
