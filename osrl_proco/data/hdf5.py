"""Dataset files: DSRL's arrays in HDF5 or .npz, read whole or refused; in HDF5, written whole or not at all."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import UserError, first_line
from ..core.files import make_folder, replacing
from ..tasks.task import canonical_id
from .findings import settle
from .layouts import KNOWN, choose, derive, require_keys
from .stored import HELD, hdf5_array, hdf5_names, is_npz, npz_array, open_hdf5, open_npz, room_for
from .transitions import KEYS, PREVIOUS, Transitions

HASH = "sha256"  # attribute: hash of the arrays, written by us, unknown to DSRL's own files
ATTRIBUTE_LIMIT = 1 << 16  # bytes
DSRL_FILE = re.compile(r"Safety(\w+-v\d+)-\d+-\d+\.hdf5")  # what DSRL calls the dataset of Offline\1


def read_hdf5(path: Path, task_id: str | None = None) -> dict[str, np.ndarray]:
    """DSRL's arrays in a dataset file, as they lie there; other programs' names and what can be derived, as DSRL's.

    What had to be derived is said on stderr. Raises UserError for a file that is missing, damaged or lacks a key, and,
    where `task_id` is given, for one whose mark (attribute `task`) or, failing that, whose name (DSRL's own) says that
    it is another task's.
    """
    arrays, known = read_arrays(path, task_id)
    full, said = derive(arrays, str(path))
    require_keys(full, str(path), known)
    settle(said)
    return full


def read_arrays(
    path: Path, task_id: str | None = None, unreadable: dict[str, str] | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays that `layouts.choose` picks, by DSRL's names, and all names in the file.

    Args:
        unreadable: where given, takes what is wrong with an array that cannot be read (key -> text), and the others
            are read all the same.

    Raises UserError as `read_hdf5`, but for missing keys.
    """
    path = Path(path)
    try:
        if is_npz(path):
            return _from_npz(path, unreadable)
        return _from_hdf5(path, task_id, unreadable)
    except MemoryError:
        raise UserError(f"{path}: there is not memory enough for it") from None


def _from_npz(path: Path, unreadable: dict[str, str] | None) -> tuple[dict[str, np.ndarray], list[str]]:
    with open_npz(path) as members:
        arrays = _chosen(members, lambda key, room: npz_array(members, key, path, room), room_for(path), unreadable)
        return arrays, list(members)


def _chosen(
    names: Collection[str],
    read: Callable[[str, int], np.ndarray],
    room: int,
    unreadable: dict[str, str] | None,
) -> dict[str, np.ndarray]:
    """The needed arrays among `names`, by DSRL's names; together they take no more than `room` bytes."""
    arrays: dict[str, np.ndarray] = {}
    for key, stored in choose(names).items():
        try:
            arrays[key] = read(stored, room)
        except UserError as error:
            if unreadable is None:
                raise
            unreadable[key] = str(error)
        else:
            room -= arrays[key].nbytes
    return arrays


def _from_hdf5(
    path: Path, task_id: str | None, unreadable: dict[str, str] | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    room = room_for(path)
    with open_hdf5(path) as (handle, held):
        try:
            task = _task_of(handle, path)
            if task_id is not None and task is not None and canonical_id(task) != canonical_id(task_id):
                raise UserError(f"{path}: a dataset of {task}, not of {task_id}; change --task or --dataset")
            names = hdf5_names(handle, KNOWN)
            if any(n.startswith("episode_0/") for n in names):
                raise UserError(f"{path}: a file of Minari's; load it by its id with osrl_proco.data.from_minari")
            arrays = _chosen(names, lambda key, room: hdf5_array(handle, key, path, room), room, unreadable)
            stated = None if unreadable else _attribute(handle, HASH)
        except UserError as error:
            raise UserError(f"{error}; {HELD}") if held else error from None
        except Exception as error:  # HDF5 reports damage by whatever exception its layers happen to raise
            broken = HELD if held else f"not a whole HDF5 file ({first_line(error)}); fetch or make it again"
            raise UserError(f"{path}: {broken}") from None
    _hold_against(arrays, stated, path)
    if held:
        print(f"{path}: another program has it open (it is locked); read as it lies on the disk now", file=sys.stderr)
    return arrays, names


def content_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """One SHA-256 of all arrays as they are stored: name, shape and float32 bytes."""
    digest = hashlib.sha256()
    for key in (*KEYS, PREVIOUS):
        if key in arrays:
            digest.update(f"{key} {np.shape(arrays[key])} ".encode())
            digest.update(np.ascontiguousarray(arrays[key], dtype=np.float32).data)
    return digest.hexdigest()


def _hold_against(arrays: Mapping[str, np.ndarray], stated: str | None, path: Path) -> None:
    """HDF5 reads a damaged file without a word where the damage lies in what says which parts are filled."""
    if stated is not None and content_hash(arrays) != stated:
        raise UserError(
            f"{path}: its values are not those that were written; fetch or make it again (or, where you changed them "
            f"yourself, remove its attribute {HASH!r})"
        )


def _attribute(handle: h5py.File, name: str) -> str | None:
    """An attribute of the file as text, None where there is none, or one of another kind."""
    if name not in handle.attrs:
        return None
    stored = handle.attrs.get_id(name)
    if stored.shape is None or stored.get_storage_size() > ATTRIBUTE_LIMIT:
        return None
    value = handle.attrs[name]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _task_of(handle: h5py.File, path: Path) -> str | None:
    mark = _attribute(handle, "task")
    if mark is not None:
        return mark
    name = DSRL_FILE.fullmatch(path.name)
    return f"Offline{name[1]}" if name else None


def write_hdf5(path: str | Path, arrays: Mapping[str, np.ndarray], **attributes: Any) -> None:
    """Write DSRL's arrays to `path`, whole or not at all. Raises UserError if that fails (a folder, disk full)."""
    path = Path(path)
    make_folder(path.parent, f"{path}: could not be written:")
    # Built in memory: the HDF5 library that meets a full disk takes the process down with it.
    with (
        replacing(path) as partial,
        h5py.File(partial.name, "w", driver="core", backing_store=False, block_size=2**24) as handle,
    ):
        for key in KEYS if PREVIOUS not in arrays else (*KEYS, PREVIOUS):
            values = np.asarray(arrays[key], dtype=np.float32)
            # Level 1: noise hardly compresses, and higher levels read at half the speed.
            handle.create_dataset(key, data=values, compression="gzip", compression_opts=1)
        handle.attrs.update({**attributes, HASH: content_hash(arrays)})
        handle.flush()
        partial.write_bytes(handle.id.get_file_image())


def require_vacant(path: Path, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether `path` already holds just these arrays. Raises UserError where it holds anything else, to keep it."""
    if not path.exists():
        return False
    try:
        before, _ = read_arrays(path)
    except UserError:
        before = {}
    if content_hash(before) != content_hash(arrays):
        raise UserError(f"{path}: is there already and holds something else; name another file or --overwrite it")
    return True


def split_arrays(data: Transitions) -> dict[str, np.ndarray]:
    """Rows that a split has taken from their episodes, so that `Transitions.from_arrays` gives them back.

    DSRL's format has no word for a cut. It becomes a time-out, which is what it means to a learner: the task did not
    end here, but the next row is no successor.
    """
    arrays = data.arrays()
    arrays["timeouts"] = np.where(arrays["terminals"] > 0, arrays["timeouts"], data.last.cpu().numpy())
    return {**arrays, PREVIOUS: data.previous_costs.cpu().numpy()}


def write_transitions(path: Path, data: Transitions, **attributes: Any) -> None:
    """Write what `split_arrays` makes of rows that a split has taken from their episodes."""
    write_hdf5(path, split_arrays(data), **attributes)
