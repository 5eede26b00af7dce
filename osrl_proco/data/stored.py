"""Arrays in a stranger's file, opened so that it cannot reach out of itself or claim more than it holds.

HDF5 can name other files (external links, external storage, virtual datasets), declare a billion rows in three
kilobytes, and need filters that are not here; a NumPy archive can unfold a thousandfold. All that is looked at before
a byte of an array is read, and only the arrays that are needed are.
"""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import UserError, first_line
from ..core.files import reason, require_regular

ROOM = 2**28  # bytes that the needed arrays may take, whatever the file's size
UNFOLD = 64  # times the file's size that they may take beyond it; DSRL's files unfold about 4 times
NAMES = 1000  # of a file are looked at
CHUNK_SURE = 2**19  # bytes of a gzip chunk, which unfold to half a gigabyte at most
HOPS = 16  # of soft links
HELD = (
    "another program has it open: close it there (a notebook, a viewer, a job that still writes), or copy the file "
    "and take the copy"
)


def room_for(path: Path) -> int:
    """Bytes that the arrays of a file may take in memory."""
    status = require_regular(path)
    stored = getattr(status, "st_blocks", 0) * 512 or status.st_size  # a file of holes declares what it does not hold
    return min(max(ROOM, UNFOLD * min(status.st_size, stored)), _free_memory())


def _free_memory() -> int:
    """Bytes that this machine can give, as far as it says."""
    free = 2**62
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        free = min(free, int(limit)) if limit.isdigit() else free
    except (OSError, ValueError, StopIteration, IndexError):
        pass
    return free


@contextmanager
def open_hdf5(path: Path) -> Iterator[tuple[h5py.File, bool]]:
    """The file, and whether another program holds it open: it is then read past that program's lock.

    Raises UserError for what is no regular file, no HDF5 file, or may not be read.
    """
    require_regular(path)
    held = False
    try:
        try:
            handle = h5py.File(path, "r")
        except OSError as error:
            if not _is_lock(error):
                raise
            held = True
            handle = h5py.File(path, "r", locking=False)
    except PermissionError:
        raise UserError(f"{path}: may not be read; change its permissions or --dataset") from None
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        if held or "already open for write" in str(error):
            raise UserError(f"{path}: {HELD}") from None
        raise UserError(f"{path}: {_no_hdf5(path, error)}") from None
    with handle:
        yield handle, held


def _is_lock(error: OSError) -> bool:
    return isinstance(error, BlockingIOError) or "unable to lock file" in str(error)


def _no_hdf5(path: Path, error: BaseException) -> str:
    """What a file is that HDF5 does not open."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as unreadable:
        return f"cannot be read ({reason(unreadable)})"
    if start[:4] == b"PK\x03\x04":
        return "a zip or NumPy archive; give it the ending .npz"
    if not start.startswith(b"\x89HDF"):
        return f"not an HDF5 file ({first_line(error)}); --dataset wants HDF5 or .npz"
    return f"not a whole HDF5 file ({first_line(error)}); fetch or make it again"


def hdf5_names(handle: h5py.File, wanted: Iterable[str]) -> list[str]:
    """The names at the root, and those in its groups `infos` and `episode_0` with a slash.

    Of many, the `wanted` ones that are there and `NAMES` others.
    """
    names = [n for n in wanted if "/" not in n and handle.get(n, getlink=True) is not None]
    for name in handle:
        if len(names) >= NAMES:
            break
        if name not in names:
            names.append(str(name))
        inside = name in ("infos", "episode_0") and handle.get(name, getclass=True, getlink=True) is h5py.HardLink
        if inside and isinstance(handle.get(name), h5py.Group):
            names += [f"{name}/{k}" for k, _ in zip(handle[name], range(NAMES), strict=False)]
    return names


def hdf5_array(handle: h5py.File, key: str, path: Path, room: int) -> np.ndarray:
    """The array `key`. Raises UserError for one that lies elsewhere, holds no numbers, or takes over `room`."""
    what = f"{path}: key {key!r}"
    dataset = _inside(handle, key, what)
    if not isinstance(dataset, h5py.Dataset):
        raise UserError(f"{what} is a group; it must be an array")
    plan = dataset.id.get_create_plist()
    if plan.get_external_count() or plan.get_layout() == h5py.h5d.VIRTUAL:
        raise UserError(f"{what} lies in another file; copy the values into this one")
    if dataset.dtype.kind not in "fiub" or dataset.dtype.subdtype is not None:
        raise UserError(f"{what} holds {_kind(dataset.dtype)}, not numbers; store it as float32")
    if dataset.shape is None:
        raise UserError(f"{what} is empty; it must have one row per transition")
    require_room(what, dataset.shape, dataset.dtype.itemsize, room)
    if plan.get_layout() == h5py.h5d.CHUNKED:
        require_room(f"{what}, one chunk,", plan.get_chunk(), dataset.dtype.itemsize, room)
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    for i in range(plan.get_nfilters()):
        number, _, _, name = plan.get_filter(i)
        if not h5py.h5z.filter_avail(number):
            label = name.decode("ascii", "replace").strip("\0 ") or "without a name"
            raise UserError(
                f"{what} is compressed with filter {number} ({label}), which is not here; store it with gzip"
            )
    if h5py.h5z.FILTER_DEFLATE in filters:
        _require_honest_chunks(dataset.id, math.prod(plan.get_chunk()) * dataset.dtype.itemsize, filters, what)
    return dataset[()] if dataset.shape == () else dataset[...]


def _require_honest_chunks(dataset: Any, declared: int, filters: list[int], what: str) -> None:
    """Raise UserError for a compressed chunk that unfolds to more than the `declared` bytes.

    HDF5 unfolds gzip to its end, whatever the chunk's size: a megabyte can become a gigabyte. Chunks too small for
    that, as h5py's own mostly are, are not looked at.
    """
    large: list[Any] = []
    if filters.count(h5py.h5z.FILTER_DEFLATE) > 1:
        raise UserError(f"{what} is compressed twice with gzip; store it with gzip once")
    if not hasattr(dataset, "chunk_iter"):  # before HDF5 1.14
        return
    dataset.chunk_iter(lambda chunk: large.append(chunk) if chunk.size > CHUNK_SURE else None)
    for chunk in large:
        _, raw = dataset.read_direct_chunk(chunk.chunk_offset)
        skipped = chunk.filter_mask >> filters.index(h5py.h5z.FILTER_DEFLATE) & 1
        unfolded = zlib.decompressobj()
        if not skipped and len(unfolded.decompress(raw, declared + 1024)) > declared + 512:
            raise UserError(f"{what} has a chunk that unfolds to more than its {declared} bytes; check the file")


def _kind(dtype: np.dtype) -> str:
    return "objects or references" if dtype.kind == "O" else str(dtype)[:60]


def _inside(handle: h5py.File, key: str, what: str) -> Any:
    """The object at `key`, reached by hard links, and by soft links that stay in the file."""
    parts, group, hops = key.split("/"), handle["/"], 0
    while parts:
        part = parts.pop(0)
        if part in ("", "."):
            continue
        link = group.get(part, getlink=True)
        if isinstance(link, h5py.SoftLink):
            hops += 1
            if hops > HOPS:
                raise UserError(f"{what} is a link that leads back to itself")
            parts = [*link.path.split("/"), *parts]
            group = handle["/"] if link.path.startswith("/") else group
        elif isinstance(link, h5py.HardLink):
            found = group[part]
            if not parts:
                return found
            if not isinstance(found, h5py.Group):
                break
            group = found
        elif link is None:
            break
        else:
            raise UserError(f"{what} is a link to another file; copy the values into this one")
    raise UserError(f"{what} is a link to nothing")


def require_room(what: str, shape: Iterable[int], itemsize: int, room: int) -> int:
    """Bytes of an array. Raises UserError where there are more than `room`."""
    needed = math.prod(int(n) for n in shape) * itemsize
    if needed > room:
        raise UserError(
            f"{what} declares {needed / 2**20:,.0f} MiB, more than its file can hold or than there is memory for "
            f"({room / 2**20:,.0f} MiB); check the file"
        )
    return needed


@contextmanager
def open_npz(path: Path) -> Iterator[Mapping[str, zipfile.ZipInfo]]:
    """The arrays in a NumPy archive by name, as members of its zip file. Raises UserError for what is none."""
    require_regular(path)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        raise UserError(f"{path}: not a whole NumPy archive ({first_line(error)}); make it again") from None
    with archive:
        members = archive.infolist()
        if len(members) > NAMES:
            raise UserError(f"{path}: {len(members)} members; no dataset has more than {NAMES}")
        found = _Members({m.filename.removesuffix(".npy"): m for m in members if m.filename.endswith(".npy")})
        found.archive = archive
        yield found


class _Members(dict[str, zipfile.ZipInfo]):
    archive: zipfile.ZipFile


def npz_array(members: Any, key: str, path: Path, room: int) -> np.ndarray:
    """The array `key` of an open archive. Raises UserError as `hdf5_array` does; nothing is unpickled."""
    what = f"{path}: key {key!r}"
    member = members[key]
    if member.file_size > room + 2**16:
        require_room(what, (member.file_size,), 1, room)
    try:
        with members.archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            if dtype.kind not in "fiub" or dtype.subdtype is not None:
                raise UserError(f"{what} holds {_kind(dtype)}, not numbers; store it as float32")
            needed = require_room(what, shape, dtype.itemsize, room)
            data = file.read(needed + 1)
    except UserError:
        raise
    except Exception as error:  # NumPy hands a header's text to Python's parser, which knows many ways to refuse it
        raise UserError(f"{what} is damaged ({first_line(error)}); make the file again") from None
    if len(data) != needed:
        raise UserError(f"{what} declares {needed} bytes and holds {'more' if len(data) > needed else len(data)}")
    array = np.frombuffer(data, dtype=dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def is_npz(path: str | os.PathLike[str]) -> bool:
    """Whether a dataset's name says that it is a NumPy archive."""
    return str(path).lower().endswith(".npz")
