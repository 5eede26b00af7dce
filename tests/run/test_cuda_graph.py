"""`--cuda_graph`: whole runs with what stands for a graph on a CPU, and what it says where there can be none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tiny import TINY, timeless

from osrl_proco.cli import main
from osrl_proco.core.tensors import load_tensors

sys.path.append(str(Path(__file__).parents[1] / "algorithms"))
from tape import Tape


def train(folder, *flags, algo, steps=60):
    tiny = [*TINY]
    if algo == "fisor":
        at = tiny.index("--vae_hidden_sizes")
        del tiny[at : at + 2]
    words = ["train", "--algo", algo, "--logdir", str(folder), "--update_steps", str(steps), *tiny, *flags]
    return main(words)


def state(folder):
    return load_tensors(folder / "checkpoint" / "state.pt")


def same(one, other, where=""):
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif not isinstance(one, float):
        assert one == other, where


@pytest.fixture
def tapes(monkeypatch):
    made = []

    def recording(device, generators, optimizers):
        assert optimizers
        made.append(Tape())
        return made[-1]

    monkeypatch.setattr("osrl_proco.run.train.CudaGraph", recording)
    return made


def test_a_run_with_captured_updates_is_the_plain_run(tmp_path, tapes):
    assert train(tmp_path / "plain", algo="lspc") == 0
    assert not tapes
    assert train(tmp_path / "captured", "--cuda_graph", "true", algo="lspc") == 0
    assert tapes[0].replays > 40
    one, other = state(tmp_path / "plain"), state(tmp_path / "captured")
    for part in ("step", "agent", "streams"):
        same(one[part], other[part], part)
    for name in ("metrics.csv", "eval.csv"):
        assert timeless(tmp_path / "captured" / name) == timeless(tmp_path / "plain" / name)


@pytest.mark.slow
def test_a_run_of_captured_updates_goes_on_where_it_stopped_captured_or_not(tmp_path, tapes):
    assert train(tmp_path / "whole", "--cuda_graph", "true", algo="fisor") == 0
    assert train(tmp_path / "halves", "--cuda_graph", "true", algo="fisor", steps=30) == 0
    resume = ["train", "--resume", str(tmp_path / "halves")]
    assert main([*resume, "--update_steps", "60"]) == 0
    assert len(tapes) == 3
    one, other = state(tmp_path / "whole"), state(tmp_path / "halves")
    assert one["agent"]["counters"] == {"actor_steps": 120}
    for part in ("step", "agent", "streams"):
        same(one[part], other[part], part)
    assert main([*resume, "--update_steps", "61", "--cuda_graph", "false"]) == 0
    assert len(tapes) == 3
    assert state(tmp_path / "halves")["agent"]["counters"] == {"actor_steps": 122}


@pytest.mark.parametrize(
    ("algo", "says"),
    [("fisor", "--cuda_graph: needs a CUDA device, not cpu"), ("bcql", "--cuda_graph: bcql's update cannot")],
)
def test_where_there_can_be_none_it_says_so_and_leaves_no_folder(tmp_path, capsys, algo, says):
    assert train(tmp_path / "run", "--cuda_graph", "true", algo=algo) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert says in error
    assert not (tmp_path / "run").exists()
