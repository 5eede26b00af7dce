"""NumPy archives from strangers: each is answered by one line, or loads; none is executed, hangs, or is large."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from carts import KEYS, task_file
from strangers import GOOD, Bomb, N, bounded, hdf5, refused  # noqa: F401

from osrl_proco.data import from_hdf5
from osrl_proco.tasks import load_task


def npy(header, data=b"", version=1):
    text = header.encode() if isinstance(header, str) else header
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def archive(members, name="d.npz", how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(name, "w", how) as file:
        for key, data in members.items():
            file.writestr(key, data)
    return name


def member(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def with_member(key, data):
    return archive({**{f"{k}.npy": member(v) for k, v in GOOD.items()}, f"{key}.npy": data})


def header(shape, kind="'<f4'"):
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n"


def locked():
    """A member marked as encrypted."""
    data = bytearray(Path(with_member("rewards", member(GOOD["rewards"]))).read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        where = -1
        while (where := data.find(mark, where + 1)) >= 0:
            data[where + at] |= 1
    Path("d.npz").write_bytes(data)
    return "d.npz"


MEMBERS = {
    "pickled objects": member(np.array([Bomb()] * 3, dtype=object)),
    "a billion rows": npy(header("(1000000000,)")),
    "2 to the 62 rows": npy(header(f"({2**62},)")),
    "a negative shape": npy(header("(-5,)")),
    "a shape of words": npy(header("('a',)")),
    "a shape of fractions": npy(header("(1.5,)")),
    "no shape": npy("{'descr': '<f4', 'fortran_order': False}\n"),
    "code in the header": npy("__import__('os').mkdir('executed')\n"),
    "a deep header": npy("(" * 5000 + "\n"),
    "a long header": npy(b" " * 2**24, version=2),
    "an unknown type": npy(header("(3,)", "'<q9'")),
    "a type of types": npy(header("(3,)", "[('a', '<f4'), ('b', '|O')]")),
    "more than it declares": npy(header("(3,)"), bytes(100)),
    "less than it declares": npy(header("(300,)"), bytes(100)),
    "version 9": b"\x93NUMPY\x09\x00" + bytes(50),
    "no array": b"hello",
    "empty": b"",
    "words": member(np.array(["a"] * N)),
    "dates": member(np.zeros(N, dtype="M8[s]")),
    "complex": member(np.zeros(N, dtype=complex)),
    "one number": member(np.float32(1)),
    "zeros of 300 MB": npy(header("(75000000,)"), bytes(300_000_000)),
}


@pytest.mark.parametrize("key", ["observations", "costs"])
@pytest.mark.parametrize("case", MEMBERS)
def test_a_member_that_is_no_array_is_one_line(case, key, capsys):
    assert f"'{key}'" in refused(with_member(key, MEMBERS[case]), capsys)


ARCHIVES = {
    "nothing in it": lambda: archive({}),
    "five thousand members": lambda: archive({f"a{i}.npy": b"" for i in range(5000)}),
    "names that climb": lambda: archive({"../../observations.npy": b"x"}),
    "encrypted": locked,
    "a lone pickle": lambda: (Path("d.npz").write_bytes(pickle.dumps(Bomb())), "d.npz")[1],
    "a lone array": lambda: (Path("d.npz").write_bytes(member(np.zeros(3))), "d.npz")[1],
    "HDF5": lambda: hdf5(name="d.npz"),
    **{
        f"cut at {share:.0%}": lambda share=share: (
            Path("d.npz").write_bytes(
                Path(with_member("rewards", member(GOOD["rewards"]))).read_bytes()[
                    : int(share * Path("d.npz").stat().st_size)
                ]
            ),
            "d.npz",
        )[1]
        for share in (0.0, 0.2, 0.5, 0.8, 0.99)
    },
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_that_is_none_is_one_line(case, capsys):
    refused(ARCHIVES[case](), capsys)


def test_a_good_archive_loads():
    path = archive({
        **{f"{k}.npy": member(np.asfortranarray(v)) for k, v in GOOD.items()},
        "camera.npy": npy(header("(1000000000,)")), "notes.txt": b"x",
    })  # fmt: skip
    data = from_hdf5(path, load_task(task_file()))
    assert all(np.array_equal(getattr(data, k).numpy(), GOOD[k]) for k in KEYS)
