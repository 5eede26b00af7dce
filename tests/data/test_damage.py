"""Damaged dataset files: every one is answered by one line that names the file, or loads exactly what was written."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.data import from_hdf5, write_hdf5
from osrl_proco.data.transitions import KEYS
from osrl_proco.envs import BrakeEnv
from osrl_proco.tasks.task import load_task

TASK = load_task("OfflineBrake")
GOOD = BrakeEnv(episodes=3).get_dataset()
COLUMNS = ("rewards", "costs", "terminals", "timeouts")


def written(path, arrays=None, hashed=True):
    """A whole file; without a hash, as another program would write it."""
    if hashed:
        write_hdf5(path, GOOD if arrays is None else arrays, task=TASK.id)
    else:
        with h5py.File(path, "w") as handle:
            for key, value in (GOOD if arrays is None else arrays).items():
                handle.create_dataset(key, data=value)
    return path


def changed(**new):
    return {**GOOD, **new}


def without(key):
    return {k: v for k, v in GOOD.items() if k != key}


def put(key, where, value):
    array = GOOD[key].astype(float)
    array[where] = value
    return changed(**{key: array})


CONTENTS = {
    **{f"no {k}": (without(k), f"key '{k}' is missing") for k in KEYS if k != "next_observations"},
    **{
        f"{k} renamed": ({**without(k), f"my_{k}": GOOD[k]}, f"key '{k}' is missing.*did you mean my_{k}")
        for k in KEYS
        if k != "next_observations"
    },
    **{f"{k} short": (changed(**{k: GOOD[k][:-1]}), f"key '{k}' has 299 rows|has 300 rows") for k in KEYS},
    **{f"{k} empty": (changed(**{k: GOOD[k][:0]}), "has 0 rows|holds no transition") for k in KEYS},
    **{f"{k} as words": (changed(**{k: GOOD[k].astype("S6")}), f"key '{k}' holds .*, not numbers") for k in KEYS},
    **{f"{k} complex": (changed(**{k: GOOD[k] + 1j}), f"key '{k}' holds complex64, not numbers") for k in KEYS},
    **{f"{k} a number": (changed(**{k: np.float32(1)}), f"key '{k}' is a single value") for k in KEYS},
    **{f"{k} of rank 3": (changed(**{k: np.zeros((300, 2, 2))}), f"key '{k}' has rows of shape") for k in KEYS},
    **{
        f"NaN in {k}": (put(k, 11, np.nan), f"key '{k}' has NaN or infinity in 1 rows, the first is row 11")
        for k in KEYS
    },
    **{f"infinity in {k}": (put(k, 12, np.inf), f"key '{k}' has NaN or infinity") for k in KEYS},
    **{f"{k} beyond float32": (put(k, 13, 1e300), f"key '{k}' has NaN or infinity") for k in KEYS},
    **{f"{k} of 2": (put(k, 14, 2), f"key '{k}' must hold 0 or 1; row 14 holds 2") for k in COLUMNS[1:]},
    **{f"{k} of one half": (put(k, 15, 0.5), f"key '{k}' must hold 0 or 1; row 15 holds 0.5") for k in COLUMNS[1:]},
    **{f"{k} negative": (put(k, 16, -1), f"key '{k}' must hold 0 or 1") for k in COLUMNS[1:]},
    **{f"{k} two wide": (changed(**{k: np.stack([GOOD[k]] * 2, 1)}), f"key '{k}' has rows of shape") for k in COLUMNS},
    "no episode ends": (changed(timeouts=0 * GOOD["timeouts"]), "no episode ends"),
    "wild actions": (
        put("actions", 17, 1e4),
        r"'actions' is far outside the action space \(-1 to 1\) in 1 rows, the first is row 17",
    ),
    "another task's width": (
        changed(observations=np.zeros((300, 60)), next_observations=np.zeros((300, 60))),
        "rows of shape .*that is the size of Offline",
    ),
    "actions too wide": (changed(actions=np.zeros((300, 2))), "'actions' has rows of shape"),
    "nothing at all": ({}, "key 'observations' is missing"),
}


def answer(path, capsys):
    """Exit status and the one line of `data info` on a damaged file, having looked that it is one."""
    status = main(["data", "info", "--task", TASK.id, "--dataset", str(path)])
    error = capsys.readouterr().err
    if status:
        assert status == 2
        assert error.count("\n") == 1, error
        assert error.startswith(f"osrl-proco: error: {path.name}: "), error
    return status, error


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_with_wrong_contents_is_one_line_that_names_file_and_key(name, capsys):
    arrays, message = CONTENTS[name]
    path = written(Path("d.hdf5"), arrays, hashed=False)
    status, error = answer(path, capsys)
    assert status == 2
    assert re.search(message, error)
    assert ";" in error or "(needed: " in error or " rows" in error  # what to do, or what it is held against
    if name not in ("wild actions", "actions too wide"):  # what only the simulator knows
        with pytest.raises(UserError, match=message):
            from_hdf5(path, TASK)


def test_a_file_cut_anywhere_is_refused(capsys):
    path = written(Path("d.hdf5"))
    whole = path.read_bytes()
    for size in [*range(0, 100, 20), *np.linspace(100, len(whole) - 1, 40).astype(int)]:
        path.write_bytes(whole[:size])
        assert answer(path, capsys)[0] == 2, size


@pytest.mark.parametrize("part", ["start", "everywhere"])
def test_a_flipped_bit_is_refused_or_changes_nothing(part, capsys):
    path = written(Path("d.hdf5"))
    whole = path.read_bytes()
    rng = np.random.default_rng(0 if part == "start" else 1)
    refused = 0
    for _ in range(100):
        spoiled = bytearray(whole)
        spoiled[rng.integers(2048 if part == "start" else len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(spoiled)
        if answer(path, capsys)[0] == 0:
            loaded = from_hdf5(path, TASK).arrays()
            assert all(np.array_equal(loaded[k], GOOD[k]) for k in KEYS)
        else:
            refused += 1
    assert refused > 20


def test_blocks_of_zeros_or_noise_are_refused_or_change_nothing(capsys):
    path = written(Path("d.hdf5"))
    whole = path.read_bytes()
    rng = np.random.default_rng(2)
    for i in range(80):
        spoiled = bytearray(whole)
        at, length = int(rng.integers(len(whole) - 600)), int(rng.integers(8, 600))
        spoiled[at : at + length] = bytes(length) if i % 2 else rng.bytes(length)
        path.write_bytes(spoiled)
        if answer(path, capsys)[0] == 0:
            loaded = from_hdf5(path, TASK).arrays()
            assert all(np.array_equal(loaded[k], GOOD[k]) for k in KEYS)


@pytest.mark.parametrize("contents", [b"", b"\x00" * 5000, b"\x89HDF\r\n\x1a\n" * 50, b"PK\x03\x04" + b"x" * 500])
def test_what_is_no_hdf5_file_is_refused(contents, capsys):
    Path("d.hdf5").write_bytes(contents)
    assert answer(Path("d.hdf5"), capsys)[0] == 2


def test_groups_and_links_in_the_place_of_arrays_are_refused(capsys):
    for key in KEYS:
        path = written(Path("d.hdf5"), without(key), hashed=False)
        with h5py.File(path, "r+") as handle:
            handle.create_group(key)
        assert f"key '{key}' is a group" in answer(path, capsys)[1]
        path = written(Path("d.hdf5"), without(key), hashed=False)
        with h5py.File(path, "r+") as handle:
            handle[key] = h5py.ExternalLink("elsewhere.hdf5", key)
        assert answer(path, capsys)[0] == 2


@pytest.mark.parametrize("name", ["no costs", "NaN in observations", "costs short", "another task's width"])
def test_no_damaged_file_trains(name, capsys):
    path = written(Path("d.hdf5"), CONTENTS[name][0], hashed=False)
    status = main(["train", "--task", TASK.id, "--dataset", str(path), "--update_steps", "5", "--logdir", "r"])
    assert status == 2
    assert capsys.readouterr().err.startswith("osrl-proco: error: d.hdf5: ")
    assert not list(Path("r").rglob("*.pt"))
    for words in (["data", "split", "--out", "s.hdf5"], ["dynamics", "fit", "--out", "m.pt"]):
        assert main([*words, "--task", TASK.id, "--dataset", str(path)]) == 2
    assert not Path("s.hdf5").exists()
    assert not Path("m.pt").exists()
