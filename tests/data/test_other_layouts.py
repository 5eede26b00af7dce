"""D4RL's, OmniSafe's and NumPy's files, files that are open elsewhere, and files that must not be overwritten."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from carts import KEYS, cart, put, task_file
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.data import from_arrays, from_hdf5
from osrl_proco.data.layouts import choose, derive
from osrl_proco.tasks import load_task

GOOD = cart()
N = len(GOOD["rewards"])
DONE = GOOD["terminals"] + GOOD["timeouts"]
OMNISAFE = {
    "obs": GOOD["observations"], "action": GOOD["actions"], "next_obs": GOOD["next_observations"],
    "reward": GOOD["rewards"], "cost": GOOD["costs"], "done": DONE,
}  # fmt: skip


def task():
    return load_task(task_file())


def without(*keys):
    return {k: v for k, v in GOOD.items() if k not in keys}


def same(data, expected=GOOD, keys=KEYS):
    return all(np.array_equal(getattr(data, k).numpy(), expected[k]) for k in keys)


@pytest.mark.parametrize(
    "names",
    [
        {"observations": "obs", "actions": "act", "next_observations": "next_obs", "rewards": "rew", "costs": "cost"},
        {"terminals": "terminated", "timeouts": "truncated"},
        {k: k[:-1] for k in KEYS},
        {k: k.upper() for k in KEYS},
        {"costs": "infos/cost"},
    ],
)
def test_other_names_give_the_same_transitions(names, capsys):
    path = put({names.get(k, k): v for k, v in GOOD.items()})
    assert same(from_hdf5(path, task()))
    assert capsys.readouterr().err == ""


def test_dsrls_own_name_comes_first():
    assert choose(["cost", "costs", "OBS", "obs"]) == {"observations": "obs", "costs": "costs"}


def test_groups_and_extra_arrays_stay_unread():
    path = put(GOOD)
    with h5py.File(path, "a") as handle:
        handle["infos/qpos"] = np.zeros((N, 3))
        handle["metadata/algorithm"] = "SAC"
        handle["policy"] = np.array([b"sac"] * N)
        handle.create_dataset("camera", shape=(10**6, 640, 480, 3), dtype="u1", chunks=(1, 64, 64, 3))
    assert same(from_hdf5(path, task()))


@pytest.mark.parametrize("name", ["d.hdf5", "d.npz", "d.NPZ"])
def test_omnisafes_files_load_and_done_is_said_to_be_ambiguous(name, capsys):
    if name.endswith("hdf5"):
        put(OMNISAFE, name)
    else:
        with open(name, "wb") as file:
            np.savez_compressed(file, **OMNISAFE)
    data = from_hdf5(name, task())
    assert same(data, keys=KEYS[:5])
    assert np.array_equal(data.timeouts.numpy(), DONE)
    assert not data.terminals.any()
    assert capsys.readouterr().err.count("'done' does not say why an episode ended") == 1


@pytest.mark.parametrize("given_key", ["terminals", "timeouts"])
def test_done_and_one_reason_give_the_other(given_key, capsys):
    other = {"terminals": "timeouts", "timeouts": "terminals"}[given_key]
    assert same(from_arrays({**without(other), "done": DONE}, task()))
    assert capsys.readouterr().err == ""


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
@settings(deadline=None)
def test_derived_next_observations_are_the_next_rows(lengths):
    """Every row that has a successor stays, in order, and ends and labels are those of the rows that stay."""
    count = sum(lengths)
    ends = np.zeros(count)
    ends[np.cumsum(lengths) - 1] = 1
    rows = {
        "observations": np.arange(count)[:, None], "actions": np.zeros((count, 1)), "rewards": np.arange(count),
        "costs": np.arange(count) % 2, "terminals": np.zeros(count), "timeouts": ends,
    }  # fmt: skip
    if max(lengths) == 1:
        with pytest.raises(UserError, match="every row is an episode of its own"):
            derive(rows, "d")
        return
    full, said = derive(rows, "d")
    kept = np.flatnonzero(ends == 0)
    assert full["rewards"].tolist() == kept.tolist()
    assert full["next_observations"][:, 0].tolist() == (kept + 1).tolist()
    assert full["costs"].tolist() == (kept % 2).tolist()
    assert full["timeouts"].tolist() == [float(ends[k + 1]) for k in kept]
    assert [f.name for f in said] == ["next-observations-derived"]


def test_d4rls_file_without_next_observations_loads(capsys):
    data = from_hdf5(put(without("next_observations")), task())
    going_on = data.last[:-1] == 0
    assert torch.equal(data.next_observations[:-1][going_on], data.observations[1:][going_on])
    assert len(data) == N - int(DONE.sum())
    assert f"the last step of each of {int(DONE.sum())} episodes ({int(GOOD['costs'].sum())} violations" in (
        capsys.readouterr().err
    )
    with pytest.raises(UserError, match="no episode end is marked"):
        from_arrays({**without("next_observations"), "timeouts": 0 * DONE, "terminals": 0 * DONE}, task())
    with pytest.raises(UserError, match=r"key 'timeouts' is missing .*; add it: 1 on each last step"):
        from_arrays(without("timeouts"), task())


# ---- a file that is open elsewhere ----------------------------------------------------------------------------------

HOLD = "import h5py, sys\nh = h5py.File('d.hdf5', 'a')\nprint('open', flush=True)\nsys.stdin.read()"


def test_a_file_that_another_program_holds_is_read_past_its_lock(capsys):
    put(GOOD)
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"open\n"
        assert same(from_hdf5("d.hdf5", task()))
        assert "another program has it open" in capsys.readouterr().err
        assert main(["data", "check", "--task", task_file(), "--dataset", "d.hdf5"]) == 0
    finally:
        holder.communicate()


def test_a_file_that_is_half_written_names_who_may_hold_it(capsys):
    with h5py.File("d.hdf5", "w", libver="latest") as handle:
        handle["observations"] = np.zeros((3, 2))
        handle.flush()
        os.system("cp d.hdf5 half.hdf5")
    assert main(["data", "info", "--task", task_file(), "--dataset", "half.hdf5"]) == 2
    error = capsys.readouterr().err
    assert "close it there (a notebook, a viewer, a job that still writes)" in error
    assert error.count("\n") == 1


# ---- splitting into a file that is there ----------------------------------------------------------------------------


def test_a_split_never_replaces_what_it_did_not_make(capsys):
    words = ["data", "split", "--task", task_file(), "--dataset", put(GOOD), "--out", "s.hdf5"]
    Path("s.hdf5").write_text("my notes")
    assert main(words) == 2
    assert "s.hdf5: is there already and holds something else" in capsys.readouterr().err
    assert Path("s.hdf5").read_text() == "my notes"
    assert not Path("s.unsafe.hdf5").exists()
    Path("s.hdf5").unlink()
    put(GOOD, "s.unsafe.hdf5")
    before = Path("s.unsafe.hdf5").read_bytes()
    assert main(words) == 2
    assert (Path("s.unsafe.hdf5").read_bytes(), Path("s.hdf5").exists()) == (before, False)
    assert main([*words, "--overwrite"]) == 0
    written = Path("s.hdf5").stat().st_mtime_ns
    assert main(words) == 0  # the same content: nothing to do
    assert Path("s.hdf5").stat().st_mtime_ns == written
    assert main([*words, "--seed", "1", "--keep_unsafe", "5"]) == 2
    assert main([*words, "--seed", "1", "--keep_unsafe", "5", "--overwrite"]) == 0
