"""Files from strangers: each is answered by one line and exit status 2, or loads; none is executed, hangs, or is large.

Made here by code, never stored: HDF5 that reaches out of itself or claims what it has not, NumPy archives that carry
code, Minari folders that are broken.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
import signal
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from carts import KEYS, cart, put, task_file

from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.data import from_hdf5, from_minari
from osrl_proco.tasks import load_task

GOOD = cart(episodes=6)
N = len(GOOD["rewards"])
SECONDS, MEBIBYTES = 10, 1024


class Bomb:
    """Executed when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.fixture(autouse=True)
def _bounded():
    """Ten seconds, one gigabyte, nothing executed."""

    def stop(*_):
        raise AssertionError("hangs")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEBIBYTES * 1024
    assert not Path("executed").exists()


def without(key):
    return {k: v for k, v in GOOD.items() if k != key}


# ---- HDF5: what one array can be ------------------------------------------------------------------------------------


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


def refused(path, capsys, *words):
    status = main([*(words or ("data", "check")), "--task", task_file(), "--dataset", str(path)])
    out, err = capsys.readouterr()
    assert status in (1, 2), (out, err)
    lines = (err if status == 2 else out).splitlines()
    assert lines
    assert len(err.splitlines()) == (status == 2), err
    assert str(path) in lines[0]
    assert all(len(line) < 600 + 2 * len(str(path)) for line in lines)
    return lines[0]


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


# ---- HDF5: what a file can be ---------------------------------------------------------------------------------------


def hdf5(change=None, name="d.hdf5", **options):
    with h5py.File(name, "w", **options) as handle:
        for key, value in GOOD.items():
            handle[key] = value
        if change is not None:
            change(handle)
    return name


def content(data):
    Path("d.hdf5").write_bytes(data)
    return "d.hdf5"


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


# ---- NumPy archives -------------------------------------------------------------------------------------------------


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


# ---- Minari's folders -----------------------------------------------------------------------------------------------


@pytest.fixture
def minari_folder(tmp_path, monkeypatch):
    pytest.importorskip("minari")
    from osrl_proco.data import from_arrays, to_minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    task = load_task(task_file())
    to_minari(from_arrays(GOOD, task), "cart/stranger-v0", task, description="a cart")
    return tmp_path / "minari" / "cart" / "stranger-v0" / "data"


def edit(folder, change):
    with h5py.File(folder / "main_data.hdf5", "a") as handle:
        change(handle["episode_0"])


def replace(key, values):
    def change(episode):
        del episode[key]
        if values is not None:
            episode[key] = values

    return lambda folder: edit(folder, change)


BROKEN = {
    "no data": lambda f: (f / "main_data.hdf5").unlink(),
    "empty data": lambda f: (f / "main_data.hdf5").write_bytes(b""),
    "cut data": lambda f: (f / "main_data.hdf5").write_bytes((f / "main_data.hdf5").read_bytes()[:3000]),
    "no metadata": lambda f: (f / "metadata.json").unlink(),
    "metadata of words": lambda f: (f / "metadata.json").write_text("hello"),
    "metadata without fields": lambda f: (f / "metadata.json").write_text("{}"),
    "another number of episodes": lambda f: (f / "metadata.json").write_text(
        (f / "metadata.json").read_text().replace('"total_episodes": 6', '"total_episodes": 60')
    ),
    "no rewards": replace("rewards", None),
    "rewards of words": replace("rewards", [b"x"] * 40),
    "rewards one short": replace("rewards", np.zeros(3)),
    "no observations": replace("observations", None),
    "observations one short": replace("observations", np.zeros((4, 2))),
    "actions one short": replace("actions", np.zeros((4, 1))),
    "no infos": replace("infos", None),
    "terminations of words": replace("terminations", [b"x"] * 40),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_minari_folder_is_one_line(case, minari_folder):
    BROKEN[case](minari_folder)
    with pytest.raises(UserError) as raised:
        from_minari("cart/stranger-v0", load_task(task_file()))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("cart/stranger-v0: ")
