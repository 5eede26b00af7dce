"""`osrl-proco data ...` as a user types it: what it prints, writes and refuses."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.data.hdf5 import read_hdf5
from osrl_proco.data.load import load_dataset

TASK = "OfflineBrake-v0"


def run(line, capsys):
    """Exit status, stdout and stderr of `osrl-proco data LINE`."""
    status = main(["data", *line.split()])
    return status, *capsys.readouterr()


def test_collect_split_and_info_of_each_file(tmp_path, capsys):
    status, out, _ = run(f"collect --task {TASK} --episodes 20 --seed 3 --out new/all.hdf5", capsys)
    assert status == 0
    assert "Written to new/all.hdf5" in out
    whole = read_hdf5(tmp_path / "new" / "all.hdf5", TASK)
    unsafe_before = np.concatenate([[0], whole["costs"][:-1] * (1 - whole["timeouts"][:-1])])
    safe = (whole["costs"] == 0) & (unsafe_before == 0)

    status, out, _ = run(f"split --task {TASK} --dataset new/all.hdf5 --keep_unsafe 5 --out safe.hdf5", capsys)
    assert status == 0
    assert f"2000 transitions: {2000 - safe.sum()} (" in out
    kept, aside = (read_hdf5(tmp_path / n, TASK) for n in ("safe.hdf5", "safe.unsafe.hdf5"))
    assert np.array_equal(kept["observations"], whole["observations"][safe])
    assert aside["costs"].tolist() == [1.0] * 5

    for name, expected in (("new/all.hdf5", 2000), ("safe.hdf5", safe.sum()), ("safe.unsafe.hdf5", 5)):
        status, out, _ = run(f"info --task {TASK} --dataset {name}", capsys)
        assert status == 0, name
        assert out.splitlines()[1].split()[:2] == ["transitions", str(expected)]
    assert "unsafe transitions      100.00%" in out


def test_collecting_into_another_dataset_is_refused(tmp_path, capsys):
    assert run(f"collect --task {TASK} --episodes 2 --out d.hdf5", capsys)[0] == 0
    before = (tmp_path / "d.hdf5").stat().st_mtime_ns
    assert run(f"collect --task {TASK} --episodes 2 --out d.hdf5", capsys)[0] == 0
    status, _, error = run(f"collect --task {TASK} --episodes 3 --out d.hdf5", capsys)
    assert status == 2
    assert "d.hdf5: is there already and holds something else" in error
    assert (tmp_path / "d.hdf5").stat().st_mtime_ns == before


@pytest.mark.parametrize("out", ["all.hdf5", "./all.hdf5", "all"])
def test_a_split_never_replaces_the_data_it_is_made_from(tmp_path, capsys, out):
    name = "all.unsafe.hdf5" if out == "all" else "all.hdf5"
    assert run(f"collect --task {TASK} --episodes 2 --out {name}", capsys)[0] == 0
    before = (tmp_path / name).read_bytes()
    status, _, error = run(f"split --task {TASK} --dataset {name} --out {out}", capsys)
    assert status == 2
    assert "would overwrite" in error
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("info --task OfflineBreak-v0", "unknown task 'OfflineBreak-v0'; did you mean OfflineBrake-v0"),
        (f"info --task {TASK} --dataset none.hdf5", "none.hdf5: no such file"),
        (f"info --task {TASK} --dataset .", ".: is a folder"),
        (f"split --task {TASK} --out s.hdf5 --keep_unsafe -1", "--keep_unsafe: -1"),
        (f"collect --task {TASK} --episodes 0 --out d.hdf5", "--episodes and --workers must be 1 or more"),
        (f"collect --task {TASK} --seed -1 --out d.hdf5", "--seed: -1"),
        (f"collect --task {TASK} --out .", "--out .: is a folder"),
        (f"split --task {TASK} --out ..", "--out ..: is a folder"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(capsys, line, message):
    status, _, error = run(line, capsys)
    assert status == 2
    assert message in error
    assert error.count("\n") == 1


def test_an_environment_without_a_dataset():
    env = SimpleNamespace(unwrapped=object())
    with pytest.raises(UserError, match="the environment has none; pass --dataset FILE"):
        load_dataset(env, "X-v0")
