"""Arrays in HDF5 from strangers: each is answered by one line; none is executed, hangs, or is large."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from carts import KEYS, put, task_file
from strangers import GOOD, N, bounded, refused, without  # noqa: F401

from osrl_proco.core.errors import UserError
from osrl_proco.data import from_hdf5
from osrl_proco.tasks import load_task


def external_link(handle, key):
    put(GOOD, "other.hdf5")
    handle[key] = h5py.ExternalLink("other.hdf5", key)


def external_link_to_a_device(handle, key):
    handle[key] = h5py.ExternalLink("/dev/zero", key)


def external_storage(handle, key):
    Path("secret.bin").write_bytes(bytes(8 * GOOD[key].size))
    handle.create_dataset(key, shape=GOOD[key].shape, dtype="f4", external=[("secret.bin", 0, h5py.h5f.UNLIMITED)])


def external_device(handle, key):
    handle.create_dataset(key, shape=GOOD[key].shape, dtype="f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])


def external_pipe(handle, key):
    os.mkfifo("pipe")
    handle.create_dataset(key, shape=GOOD[key].shape, dtype="f4", external=[("pipe", 0, h5py.h5f.UNLIMITED)])


def virtual(handle, key):
    put(GOOD, "other.hdf5")
    layout = h5py.VirtualLayout(shape=GOOD[key].shape, dtype="f4")
    layout[...] = h5py.VirtualSource("other.hdf5", key, shape=GOOD[key].shape)
    handle.create_virtual_dataset(key, layout)


def soft_link_out(handle, key):
    put(GOOD, "other.hdf5")
    handle["way"] = h5py.ExternalLink("other.hdf5", "/")
    handle[key] = h5py.SoftLink(f"/way/{key}")


def soft_link_to_itself(handle, key):
    handle[key] = h5py.SoftLink(f"/{key}")


def soft_link_to_nothing(handle, key):
    handle[key] = h5py.SoftLink("/nowhere/at/all")


def a_group(handle, key):
    handle.create_group(key)


def a_named_type(handle, key):
    handle[key] = np.dtype("f4")


def texts(handle, key):
    handle[key] = np.array([b"0.5"] * N)


def long_texts(handle, key):
    handle.create_dataset(key, shape=(N,), dtype="S1000000", chunks=(1,))


def texts_of_any_length(handle, key):
    handle.create_dataset(key, data=["x"] * N, dtype=h5py.string_dtype())


def arrays_of_any_length(handle, key):
    handle.create_dataset(key, shape=(N,), dtype=h5py.vlen_dtype("f4"))


def compound(handle, key):
    handle.create_dataset(key, shape=(N,), dtype=[("a", "f4"), ("b", "i4")])


def nested_arrays(handle, key):
    kind = h5py.h5t.array_create(h5py.h5t.NATIVE_FLOAT, (2,))
    h5py.h5d.create(handle.id, key.encode(), kind, h5py.h5s.create_simple((N,)))


def references(handle, key):
    handle.create_dataset(key, shape=(N,), dtype=h5py.ref_dtype)


def regions(handle, key):
    handle.create_dataset(key, shape=(N,), dtype=h5py.regionref_dtype)


def opaque(handle, key):
    handle.create_dataset(key, data=np.zeros(N, dtype="V8"))


def complex_numbers(handle, key):
    handle[key] = GOOD[key] + 1j


def nothing(handle, key):
    handle.create_dataset(key, dtype="f4", data=h5py.Empty("f4"))


def a_billion_rows(handle, key):
    handle.create_dataset(key, shape=(10**9, *GOOD[key].shape[1:]), dtype="f4", chunks=(2**20, *GOOD[key].shape[1:]))


def more_rows_than_a_machine_counts(handle, key):
    handle.create_dataset(key, shape=(2**62,), dtype="f8", chunks=(2**20,))


def a_wide_row(handle, key):
    handle.create_dataset(key, shape=(N, 10**8), dtype="f4", chunks=(1, 2**20))


def one_huge_chunk(handle, key):
    shape = GOOD[key].shape
    handle.create_dataset(key, shape=shape, maxshape=(None, *shape[1:]), chunks=(2**28, *shape[1:]), dtype="f4")


def many_dimensions(handle, key):
    handle.create_dataset(key, shape=(N, *[1] * 30), dtype="f4")


def unknown_filter(handle, key):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk(GOOD[key].shape)
    plan.set_filter(32999, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple(GOOD[key].shape)
    h5py.h5d.create(handle.id, key.encode(), h5py.h5t.NATIVE_FLOAT, space, dcpl=plan)


def a_chunk_that_unfolds(handle, key):
    """Some 800 kB that gzip unfolds to 800 MB, in a chunk that says a megabyte."""
    packer = zlib.compressobj(9)
    data = b"".join([*(packer.compress(bytes(2**20)) for _ in range(800)), packer.flush()])
    dataset = handle.create_dataset(key, shape=(2**18,), dtype="f4", chunks=(2**18,), compression="gzip")
    dataset.id.write_direct_chunk((0,), data)


def gzip_twice(handle, key):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk(GOOD[key].shape)
    plan.set_deflate(9)
    plan.set_deflate(9)
    space = h5py.h5s.create_simple(GOOD[key].shape)
    h5py.h5d.create(handle.id, key.encode(), h5py.h5t.NATIVE_FLOAT, space, dcpl=plan)


ARRAYS = [
    external_link, external_link_to_a_device, external_storage, external_device, external_pipe, virtual, soft_link_out,
    soft_link_to_itself, soft_link_to_nothing, a_group, a_named_type, texts, long_texts, texts_of_any_length,
    arrays_of_any_length, compound, nested_arrays, references, regions, opaque, complex_numbers, nothing,
    a_billion_rows, more_rows_than_a_machine_counts, a_wide_row, one_huge_chunk, many_dimensions, unknown_filter,
    gzip_twice,
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("made", ARRAYS)
def test_an_array_that_is_none_is_one_line(made, key, capsys):
    path = put(without(key))
    with h5py.File(path, "a") as handle:
        made(handle, key)
    line = refused(path, capsys)
    assert f"'{key}'" in line
    with pytest.raises(UserError):
        from_hdf5(path, load_task(task_file()))


@pytest.mark.slow
@pytest.mark.parametrize("key", ["rewards", "costs"])
def test_a_chunk_that_unfolds_is_one_line(key, capsys):
    test_an_array_that_is_none_is_one_line(a_chunk_that_unfolds, key, capsys)
