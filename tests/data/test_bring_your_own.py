"""Data from elsewhere: arrays, HDF5, Minari; a report a person can act on; shares of the unsafe data."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.data import from_arrays, from_hdf5, from_minari, to_minari, write_hdf5
from osrl_proco.data.split import safe_only
from osrl_proco.data.transitions import KEYS, Transitions
from osrl_proco.envs import BrakeEnv
from osrl_proco.tasks.task import load_task

TASK = load_task("OfflineBrake")


def good(episodes=4):
    return BrakeEnv(episodes=episodes).get_dataset()


def check(capsys, name="d.hdf5"):
    status = main(["data", "check", "--task", TASK.id, "--dataset", name])
    return status, *capsys.readouterr()


# ---- shares of the unsafe data (paper, section 5.5) ---------------------------------------------------------------


@given(st.integers(0, 5))
@settings(max_examples=6, deadline=None)
def test_larger_shares_contain_the_smaller_ones_and_the_states_kept_aside_stay_the_same(seed):
    data = Transitions.from_arrays(good(60))
    touching = int(((data.costs + data.previous_costs) > 0).sum())
    assert touching > 50
    before: set[bytes] = set()
    aside = None
    for share in (0.0, 0.1, 0.2, 0.5, 1.0):
        split = safe_only(data, 20, seed, share)
        assert len(split.safe) == len(data) - touching + round(share * touching)
        rows = {row.numpy().tobytes() for row in torch.cat([split.safe.observations, split.safe.actions], 1)}
        assert before <= rows
        before = rows
        assert aside is None or torch.equal(aside, split.unsafe.observations)
        aside = split.unsafe.observations
    assert split.safe.rewards.equal(data.rewards)
    assert torch.equal(split.safe.last, data.last)


def test_what_goes_out_leaves_a_cut(capsys):
    assert main(["data", "split", "--task", TASK.id, "--unsafe_share", "0.5", "--out", "s.hdf5"]) == 0
    report = capsys.readouterr().out
    assert "of 3764 unsafe ones" in report
    kept = from_hdf5("s.hdf5", TASK)
    goes_on = kept.last[:-1] == 0
    assert torch.equal(kept.next_observations[:-1][goes_on], kept.observations[1:][goes_on])
    assert 0 < float(kept.costs.mean()) < 0.1
    assert main(["data", "split", "--task", TASK.id, "--unsafe_share", "2", "--out", "t.hdf5"]) == 2
    assert "--unsafe_share: 2.0 must lie between 0 and 1" in capsys.readouterr().err


# ---- arrays, HDF5, Minari -------------------------------------------------------------------------------------------


def test_arrays_become_transitions_or_one_line():
    data = from_arrays(good(), TASK)
    assert torch.equal(data.actions, torch.from_numpy(good()["actions"]))
    with pytest.raises(UserError, match=r"^my robot: key 'costs' is missing"):
        from_arrays({k: v for k, v in good().items() if k != "costs"}, TASK, "my robot")


def test_minari_and_back_is_the_same_data(tmp_path, monkeypatch):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    data = from_arrays(good(), TASK)
    dataset = to_minari(data, "brake/scripted-v0", TASK, description="a cart")
    assert dataset.total_episodes == 4
    for source in (dataset, "brake/scripted-v0"):
        again = from_minari(source, TASK)
        for key in (*KEYS, "previous_costs", "last"):
            assert torch.equal(getattr(again, key), getattr(data, key)), key
    with pytest.raises(UserError, match=r"no key 'danger' \(there are: cost\); pass cost=KEY"):
        from_minari(dataset, TASK, cost="danger")
    with pytest.raises(UserError, match="no such Minari dataset here"):
        from_minari("none/none-v0", TASK)
    with pytest.raises(UserError, match="Minari refuses it"):
        to_minari(data, "brake/scripted-v0", TASK)


def test_a_cut_of_a_split_is_an_episode_of_its_own_in_minari(tmp_path, monkeypatch):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    safe = safe_only(from_arrays(good(40), TASK)).safe
    dataset = to_minari(safe, "brake/safe-v0", TASK)
    assert dataset.total_episodes == int(safe.last.sum())
    assert torch.equal(from_minari(dataset, TASK).last, safe.last)


# ---- the report -----------------------------------------------------------------------------------------------------


def test_a_good_file_has_nothing_wrong(tmp_path, capsys):
    write_hdf5(tmp_path / "d.hdf5", good())
    status, out, _ = check(capsys)
    assert status == 0
    assert out == "d.hdf5: 400 rows, 0 things wrong, 0 odd\n"


def test_everything_wrong_is_listed_at_once(tmp_path, capsys):
    data = good()
    data["rewards"] = data["rewards"][:-1]
    data["costs"][7] = 3
    data["observations"][5, 1] = np.nan
    data["actions"] = data["actions"].astype("S4")
    data["timeouts"][:] = 0
    data["nexts"] = data.pop("next_observations")
    with h5py.File(tmp_path / "d.hdf5", "w") as handle:
        handle.update(data)
    status, out, _ = check(capsys)
    assert status == 1
    assert [line.split("d.hdf5: ")[1].split(";")[0] for line in out.splitlines() if line.startswith("wrong: ")] == [
        "key 'actions' holds |S4, not numbers",
        "key 'next_observations' is missing (needed: observations, actions, next_observations, rewards, costs, "
        "terminals, timeouts)",
        "key 'observations' has NaN or infinity in 1 rows, the first is row 5",
        "key 'rewards' has 399 rows, 'observations' has 400",
        "no episode ends: 'terminals' and 'timeouts' are 0 everywhere",
        "key 'costs' must hold 0 or 1",
    ]


def test_everything_odd_is_listed_with_its_first_row(tmp_path, capsys):
    data = good()
    data["next_observations"][41] += 1
    data["rewards"][:] = 2
    data["actions"][9] = 1.5
    write_hdf5(tmp_path / "d.hdf5", data)
    status, out, _ = check(capsys)
    assert status == 0
    assert "'next_observations' is not what the next row observes in 1 rows, the first is row 41" in out
    assert "'rewards' is 2 everywhere" in out
    assert "'actions' leaves the action space (-1 to 1) in 1 rows (0.25% of the actions), the first is row 9" in out
    assert "0 things wrong, 3 odd" in out


def test_an_entry_that_never_changes_is_odd(tmp_path, capsys):
    data = good()
    data["observations"][:, 1] = data["next_observations"][:, 1] = 0
    write_hdf5(tmp_path / "d.hdf5", data)
    assert "'observations' never changes in entries 1" in check(capsys)[1]


def test_values_that_changed_since_they_were_written_are_refused(tmp_path, capsys):
    write_hdf5(tmp_path / "d.hdf5", good())
    with h5py.File(tmp_path / "d.hdf5", "r+") as handle:
        handle["rewards"][3] += 1
    status, _, error = check(capsys)
    assert status == 2
    assert "its values are not those that were written" in error
    with h5py.File(tmp_path / "d.hdf5", "r+") as handle:
        del handle.attrs["sha256"]
    assert check(capsys)[0] == 0
