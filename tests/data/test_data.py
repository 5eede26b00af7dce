"""Loading, checking and splitting: what stays, what goes out, and one line for every bad file."""

from __future__ import annotations

import gymnasium as gym
import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.core.errors import UserError
from osrl_proco.data.hdf5 import read_hdf5, write_hdf5, write_transitions
from osrl_proco.data.load import load_dataset
from osrl_proco.data.split import safe_only
from osrl_proco.data.statistics import describe, episodes, lost
from osrl_proco.data.stored import open_npz
from osrl_proco.data.transitions import KEYS, Transitions
from osrl_proco.envs import register_embedded

register_embedded()
TASK = "OfflineBrake-v0"


def arrays(costs, ends, terminal=False):
    n = len(costs)
    steps = np.arange(n, dtype=np.float32)
    return {
        "observations": np.stack([steps, steps], 1), "next_observations": np.stack([steps + 1, steps], 1),
        "actions": np.zeros((n, 1)), "rewards": steps, "costs": np.array(costs, dtype=np.float32),
        "terminals": np.array(ends, dtype=np.float32) * terminal,
        "timeouts": np.array(ends, dtype=np.float32) * (not terminal),
    }  # fmt: skip


def test_the_label_of_a_state_is_the_cost_of_the_step_before_in_its_episode():
    data = Transitions.from_arrays(arrays([0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1]))
    assert data.previous_costs.tolist() == [0, 0, 1, 1, 0, 0]


def test_the_safe_split_by_hand():
    # Rows:      0  1  2  3  4 | 5  6
    # costs:     0  0  1  1  0 | 0  0   -> 2 and 3 arrive in danger, 3 and 4 leave from it.
    split = safe_only(Transitions.from_arrays(arrays([0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0, 1])), keep_unsafe=1)
    assert split.safe.rewards.tolist() == [0, 1, 5, 6]
    assert split.safe.last.tolist() == [0, 1, 0, 1]
    assert split.safe.timeouts.tolist() == [0, 0, 0, 1]  # a cut is no time-out
    assert split.safe.terminals.tolist() == [0, 0, 0, 0]
    assert split.unsafe.rewards.tolist() in ([2], [3])
    assert "7 transitions: 3 (42.86%)" in split.report()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60), st.integers(0, 5))
@settings(deadline=None, max_examples=200)
def test_invariants_of_the_split(rows, keep):
    costs, ends = zip(*rows, strict=True)
    data = Transitions.from_arrays(arrays(costs, (*ends[:-1], True)))
    try:
        split = safe_only(data, keep, seed=1)
    except UserError:
        assert ((data.costs + data.previous_costs) > 0).all()
        return
    safe = split.safe
    assert (safe.costs == 0).all()
    assert (safe.previous_costs == 0).all()
    assert len(split.unsafe) == min(keep, sum(costs))
    assert (split.unsafe.costs == 1).all()
    inner = safe.last[:-1] == 0  # a row that is not the last of its run is followed by its successor
    assert torch.equal(safe.rewards[1:][inner], safe.rewards[:-1][inner] + 1)


def test_terminals_and_timeouts_stay_apart():
    data = Transitions.from_arrays(arrays([0, 0], [1, 1], terminal=True))
    assert data.terminals.tolist() == [1, 1]
    assert data.timeouts.tolist() == [0, 0]


def test_lost_rows_by_hand():
    data = Transitions.from_arrays(arrays([0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 1]))
    assert lost(data, within=2).tolist() == [False, False, True, True, False, False]
    assert episodes(data)[1].tolist() == [1.0, 0.0]


def test_sampling_is_seeded():
    data = Transitions.from_arrays(arrays([0] * 50, [0] * 49 + [1]))
    draw = [data.sample(20, torch.Generator().manual_seed(4)).rewards for _ in range(2)]
    assert torch.equal(*draw)


def good():
    return gym.make(TASK, episodes=3).unwrapped.get_dataset()


def load(path):
    return load_dataset(gym.make(TASK), TASK, path)


def test_a_file_comes_back_as_it_was_written(tmp_path):
    write_hdf5(tmp_path / "d.hdf5", good(), task=TASK)
    loaded = load(tmp_path / "d.hdf5")
    assert all(np.array_equal(loaded.arrays()[k], good()[k]) for k in KEYS)
    assert "transitions                 300" in describe(loaded, gym.make(TASK))


def spoil(key, change):
    def apply(data):
        data[key] = change(data[key].copy())

    return apply


def put(row, value):
    def change(array):
        array[row] = value
        return array

    return change


BAD = {
    "missing key": (lambda d: d.pop("costs"), "key 'costs' is missing"),
    "wrong width": (spoil("observations", lambda a: np.repeat(a, 2, 1)), r"rows of shape \(4,\)"),
    "renamed key": (lambda d: d.update(costly=d.pop("costs")), "key 'costs' is missing.*did you mean costly"),
    "size of another task": (
        spoil("observations", lambda a: np.repeat(a[:, :1], 7, 1)),
        r"that is the size of .*OfflinePointRobot-v0",
    ),
    "wrong rank": (spoil("rewards", lambda a: a[:, None, None]), "'rewards' has rows of shape"),
    "a single value": (spoil("rewards", np.mean), "'rewards' is a single value"),
    "words": (spoil("rewards", lambda a: a.astype("S8")), "'rewards' holds .*, not numbers"),
    "too large for float32": (spoil("rewards", lambda a: a.astype(float) + 1e60), "'rewards' has NaN or infinity"),
    "lengths": (spoil("actions", lambda a: a[:-1]), "'actions' has 299 rows"),
    "nan": (
        spoil("observations", put((7, 0), np.nan)),
        "'observations' has NaN or infinity in 1 rows, the first is row 7",
    ),
    "infinity": (spoil("rewards", put(9, np.inf)), "'rewards' has NaN or infinity"),
    "cost of 2": (spoil("costs", put(5, 2)), "'costs' must hold 0 or 1; row 5"),
    "no end": (spoil("timeouts", np.zeros_like), "no episode ends"),
    "wild action": (
        spoil("actions", put((3, 0), 700)),
        r"far outside the action space \(-1 to 1\) in 1 rows, the first is row 3",
    ),
    "empty": (lambda d: d.update({k: v[:0] for k, v in d.items()}), "holds no transition"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_that_names_file_and_key(tmp_path, name):
    change, message = BAD[name]
    data = good()
    change(data)
    path = tmp_path / "bad.hdf5"
    with h5py.File(path, "w") as handle:
        for key, value in data.items():
            handle[key] = value
    with pytest.raises(UserError, match=message) as raised:
        load(path)
    assert "bad.hdf5" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_actions_outside_the_space_are_clipped_as_the_simulator_does_and_told(tmp_path, capsys):
    data = good()
    data["actions"][:3] = 1.5
    write_hdf5(tmp_path / "d.hdf5", data)
    loaded = load(tmp_path / "d.hdf5")
    assert loaded.actions[:3].tolist() == [[1.0]] * 3
    assert torch.equal(loaded.actions[3:], torch.from_numpy(data["actions"][3:]))
    assert "1.00% of the actions" in capsys.readouterr().err


def test_columns_of_width_one_pass_as_in_dsrls_reader(tmp_path):
    data = good()
    write_hdf5(tmp_path / "d.hdf5", {k: v[:, None] if v.ndim == 1 else v for k, v in data.items()})
    assert np.array_equal(load(tmp_path / "d.hdf5").arrays()["rewards"], data["rewards"])


@pytest.mark.parametrize("size", [0, 10, 500, 4000, -1])
def test_a_cut_file_is_named(tmp_path, size):
    write_hdf5(tmp_path / "d.hdf5", good())
    whole = (tmp_path / "d.hdf5").read_bytes()
    (tmp_path / "d.hdf5").write_bytes(whole[:size])
    with pytest.raises(UserError, match=r"d\.hdf5"):
        load(tmp_path / "d.hdf5")


def test_no_file_and_another_tasks_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "none.hdf5")
    write_hdf5(tmp_path / "d.hdf5", good(), task="OfflinePointGoal1Gymnasium-v0")
    with pytest.raises(UserError, match="a dataset of OfflinePointGoal1Gymnasium-v0, not of OfflineBrake-v0"):
        read_hdf5(tmp_path / "d.hdf5", TASK)


def test_dsrls_own_file_names_say_the_task(tmp_path):
    path = tmp_path / "SafetyPointGoal2Gymnasium-v0-200-3442.hdf5"
    write_hdf5(path, good())
    with pytest.raises(UserError, match="a dataset of OfflinePointGoal2Gymnasium-v0, not of OfflineBrake-v0"):
        read_hdf5(path, TASK)
    assert read_hdf5(path, "OfflinePointGoal2Gymnasium-v0")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
@settings(deadline=None, max_examples=30)
def test_both_halves_of_a_split_come_back_from_their_files(tmp_path_factory, rows):
    costs, ends = zip(*rows, strict=True)
    data = Transitions.from_arrays(arrays(costs, (*ends[:-1], True)))
    try:
        split = safe_only(data, 5)
    except UserError:
        return
    folder = tmp_path_factory.mktemp("halves")
    for half in (split.safe, split.unsafe):
        write_transitions(folder / "half.hdf5", half)
        again = Transitions.from_arrays(read_hdf5(folder / "half.hdf5"))
        for column in ("observations", "rewards", "costs", "previous_costs", "terminals", "last"):
            assert torch.equal(getattr(again, column), getattr(half, column)), column


def test_stock_sequence_algorithms_see_where_a_split_has_cut(tmp_path):
    """OSRL's own CDT loader makes one trajectory of every run of safe rows: none leaps over what went out."""
    process = pytest.importorskip("osrl.common.dataset").process_sequence_dataset
    data = Transitions.from_arrays(arrays([0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0, 1]))
    write_transitions(tmp_path / "safe.hdf5", safe_only(data, 1).safe)
    trajectories, _ = process(read_hdf5(tmp_path / "safe.hdf5"))
    assert [t["observations"][:, 0].tolist() for t in trajectories] == [[0, 1], [5], [6, 7]]


def test_an_empty_safe_split_is_one_line():
    with pytest.raises(UserError, match="safe-only split is empty"):
        safe_only(Transitions.from_arrays(arrays([1, 1, 1], [0, 0, 1])))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_hdf5(tmp_path / "d.hdf5", good())
    before = (tmp_path / "d.hdf5").read_bytes()
    with pytest.raises((UserError, KeyError)):
        write_hdf5(tmp_path / "d.hdf5", {"observations": np.zeros(3)})
    assert (tmp_path / "d.hdf5").read_bytes() == before
    with pytest.raises(UserError, match=r"could not be written .*[Ii]s a directory"):
        write_hdf5(tmp_path, good())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        write_hdf5(tmp_path / "file" / "d.hdf5", good())
    assert not list(tmp_path.glob("*.partial"))


def test_a_fault_of_the_reader_is_not_put_on_the_file(tmp_path):
    np.savez(tmp_path / "d.npz", a=np.zeros(3))
    with pytest.raises(RuntimeError, match="the reader's"), open_npz(tmp_path / "d.npz"):
        raise RuntimeError("the reader's")
