"""HDF5 files from strangers, and what is none: each is answered by one line, or loads; none hangs, or is large."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from carts import KEYS, task_file
from strangers import GOOD, Bomb, bounded, content, hdf5, refused, without  # noqa: F401

from osrl_proco.data import from_hdf5
from osrl_proco.tasks import load_task


def cut(share):
    return content(Path(hdf5()).read_bytes()[: int(share * Path("d.hdf5").stat().st_size)])


def pipe(name="d.hdf5"):
    os.mkfifo(name)
    return name


def link(target, name="d.hdf5"):
    os.symlink(target, name)
    return name


def folder():
    os.mkdir("d.hdf5")
    return "d.hdf5"


def holes():
    """A contiguous array of 8 GB in a file of holes."""
    with h5py.File("d.hdf5", "w") as handle:
        for key, value in without("rewards").items():
            handle[key] = value
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        h5py.h5d.create(handle.id, b"rewards", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((2**31,)), dcpl=plan)
    return "d.hdf5"


def many_names():
    def fill(handle):
        for i in range(3000):
            handle.create_group(f"a{i:05d}")

    return hdf5(fill, libver="latest")


FILES = {
    "empty": lambda: content(b""),
    "text": lambda: content(b"observations,actions\n1,2\n"),
    "zeros": lambda: content(bytes(10_000)),
    "only a signature": lambda: content(b"\x89HDF\r\n\x1a\n"),
    "signatures": lambda: content(b"\x89HDF\r\n\x1a\n" * 500),
    "a picture": lambda: content(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "a pickle": lambda: content(pickle.dumps(Bomb())),
    "an archive": lambda: content(b"PK\x03\x04" + bytes(200)),
    **{f"cut at {share:.0%}": lambda share=share: cut(share) for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)},
    "a pipe": pipe,
    "a pipe for an archive": lambda: pipe("d.npz"),
    "a device": lambda: "/dev/zero",
    "an endless archive": lambda: link("/dev/zero", "d.npz"),
    "a link to a device": lambda: link("/dev/urandom"),
    "a link to itself": lambda: link("d.hdf5"),
    "a link to nothing": lambda: link("nowhere"),
    "a folder": folder,
    "holes": holes,
    "another task's": lambda: hdf5(lambda h: h.attrs.update(task="OfflineBrake-v0")),
    "another hash": lambda: hdf5(lambda h: h.attrs.update(sha256="0" * 64)),
    "a name of a thousand letters": lambda: "x" * 1000 + ".hdf5",
    "a file of a family": lambda: (hdf5(name="f%d.hdf5", driver="family", memb_size=2**12), "f1.hdf5")[1],
    "many names and none needed": lambda: content(Path(many_names()).read_bytes()[:5000]),
}


@pytest.mark.parametrize("command", [("data", "check"), ("data", "info")], ids=" ".join)
@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_none_is_one_line(case, command, capsys):
    refused(FILES[case](), capsys, *command)


def unlimited(handle):
    handle.create_dataset("camera", shape=(10**9, 480, 640, 3), dtype="u1", chunks=(1, 480, 640, 3))


def reaching_out(handle):
    handle["infos/secret"] = h5py.ExternalLink("/etc/passwd", "/")
    handle["log"] = h5py.ExternalLink("/dev/zero", "/")
    handle.create_dataset("raw", shape=(5,), dtype="f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])


def turning_in_circles(handle):
    handle.create_group("a")["b"] = handle["/"]
    handle["infos"] = handle["/"]


def linked_inside(handle):
    handle["group/rewards"] = GOOD["rewards"]
    del handle["rewards"]
    handle["rewards"] = h5py.SoftLink("/group/rewards")


def stored(**options):
    def change(handle):
        for key in KEYS:
            del handle[key]
            handle.create_dataset(key, data=GOOD[key], **options)

    return change


HARMLESS = {
    "a camera of gigabytes": lambda: hdf5(unlimited),
    "other arrays reach out": lambda: hdf5(reaching_out),
    "groups in circles": lambda: hdf5(turning_in_circles),
    "a link inside": lambda: hdf5(linked_inside),
    "thousands of groups after it": lambda: hdf5(lambda h: [h.create_group(f"z{i}") for i in range(2500)]),
    "thousands of groups before it": lambda: hdf5(lambda h: [h.create_group(f"A{i}") for i in range(2500)]),
    "the newest format": lambda: hdf5(libver="latest"),
    "a block before it": lambda: hdf5(userblock_size=512),
    "gzip": lambda: hdf5(stored(compression="gzip", shuffle=True, fletcher32=True)),
    "lzf": lambda: hdf5(stored(compression="lzf")),
    "big-endian": lambda: hdf5(stored(dtype=">f4")),
    "a mark of numbers": lambda: hdf5(lambda h: h.attrs.update(task=np.arange(3), sha256=np.arange(3))),
    "an empty mark": lambda: hdf5(lambda h: h.attrs.update(task=h5py.Empty("S1"))),
    "a mark of the right name": lambda: hdf5(lambda h: h.attrs.update(task=b"MyCart")),
    "a link to it": lambda: (hdf5(), link("d.hdf5", "e.hdf5"))[1],
}


@pytest.mark.parametrize("case", HARMLESS)
def test_a_file_whose_oddities_do_no_harm_loads(case):
    data = from_hdf5(HARMLESS[case](), load_task(task_file()))
    assert all(np.array_equal(getattr(data, k).numpy(), GOOD[k]) for k in KEYS)
