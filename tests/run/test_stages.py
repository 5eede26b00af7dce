"""Runs of algorithms in stages, stopped on either side of the border between them."""

from __future__ import annotations

import pytest
import torch
from tiny import TINY, train

from osrl_proco.algorithms.bc import BCTwin
from osrl_proco.algorithms.ccac import CCAC
from osrl_proco.algorithms.cdt import CDTTwin
from osrl_proco.algorithms.segments import SegmentAgent
from osrl_proco.cli import main
from osrl_proco.core.tensors import load_tensors
from osrl_proco.run.config import config_class, field_names

STEPS = 40
TWIN = {"ccac": CCAC, "trac": SegmentAgent, "presa": SegmentAgent, "bc": BCTwin, "cdt": CDTTwin}
SMALL = {"cdt": ["--embedding_dim", "8", "--num_heads", "2", "--num_layers", "1"]}


def flags(algo):
    """Those of TINY that the algorithm has, and sizes of its own."""
    known = field_names(config_class(algo))
    pairs = zip(TINY[::2], TINY[1::2], strict=True)
    has = [word for flag, value in pairs if flag[2:] in known for word in (flag, value)]
    return [*has, *SMALL.get(algo, []), "--batch_size", "8", "--checkpoint_every", "10", "--rollout_every", "20",
            "--eval_every", "0", "--update_steps", str(STEPS)]  # fmt: skip


def state(folder):
    return load_tensors(folder / "checkpoint" / "state.pt")["agent"]


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("stopped", [11, 30])
@pytest.mark.parametrize("algo", TWIN)
def test_a_run_that_was_cut_off_ends_as_the_whole_one(tmp_path, monkeypatch, algo, stopped):
    assert main(["train", "--algo", algo, "--logdir", str(tmp_path / "whole"), *flags(algo)]) == 0
    update = TWIN[algo].update
    count = [0]

    def until(self, *given):
        count[0] += 1
        if count[0] > stopped:
            raise KeyboardInterrupt
        return update(self, *given)

    monkeypatch.setattr(TWIN[algo], "update", until)
    assert main(["train", "--algo", algo, "--logdir", str(tmp_path / "cut"), *flags(algo)]) == 130
    monkeypatch.setattr(TWIN[algo], "update", update)
    assert main(["train", "--resume", str(tmp_path / "cut")]) == 0
    assert same(state(tmp_path / "whole"), state(tmp_path / "cut"))


def test_the_twins_learn_from_the_cost_functions_labels(tmp_path, monkeypatch):
    """The data's own costs are 0 here, all of them; what the agent is given is not."""
    seen = {}
    sampler = CCAC.sampler

    def spy(self, data):
        seen["costs"], seen["kept"] = data.costs, data.observations
        return sampler(self, data)

    monkeypatch.setattr(CCAC, "sampler", spy)
    for proco in ("true", "false"):
        train(tmp_path / proco, "--proco", proco, "--eval_every", "0", steps=2, algo="ccac")
        assert bool(seen["costs"].any()) is (proco == "true")
    train(tmp_path / "recorded", "--relabel", "false", "--eval_every", "0", steps=2, algo="ccac")
    assert not seen["costs"].any()
