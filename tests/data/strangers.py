"""What the tests of files from strangers share: bounds, a good file, and what an answer of one line is."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import h5py
import pytest
from carts import cart, task_file

from osrl_proco.cli import main

GOOD = cart(episodes=6)
N = len(GOOD["rewards"])
SECONDS, MEBIBYTES = 10, 1024


class Bomb:
    """Executed when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.fixture(autouse=True)
def bounded():
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
