"""What people type, and configs from strangers: read as meant, or answered in one line with exit status 2."""

from __future__ import annotations

import os
import time

import pytest
from tiny import TINY

from osrl_proco.algorithms import registry
from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.run import settings

MEANT = {
    "dashes": (["--update-steps", "5"], {"update_steps": 5}),
    "equals": (["--update-steps=5"], {"update_steps": 5}),
    "exponent": (["--update_steps", "1e5"], {"update_steps": 100_000}),
    "a float that is whole": (["--batch_size", "64.0"], {"batch_size": 64}),
    "a bare switch": (["--tensorboard", "--seed", "3"], {"tensorboard": True, "seed": 3}),
    "a bare switch at the end": (["--seed", "3", "--verbose"], {"verbose": True}),
    "case of a switch": (["--safe_only", "False"], {"safe_only": False}),
    "case of an algorithm": (["--algo", "BCQL"], {"algo": "bcql"}),
    "a short task name": (["--task", "PointGoal1"], {"task": "OfflinePointGoal1Gymnasium-v0"}),
    "the simulator's task name": (["--task", "SafetyPointGoal1-v0"], {"task": "OfflinePointGoal1Gymnasium-v0"}),
    "sizes without brackets": (["--a_hidden_sizes", "64,32"], {"a_hidden_sizes": [64, 32]}),
    "one size": (["--a_hidden_sizes", "64"], {"a_hidden_sizes": [64]}),
    "a name that looks like a number": (["--name", "1e5"], {"name": "1e5"}),
    "none": (["--logdir", "none"], {"logdir": "none"}),
    "a negative number": (["--epsilon", "-0.5"], {"epsilon": -0.5}),
}


@pytest.mark.parametrize("case", MEANT)
def test_what_people_type_is_read_as_they_mean_it(case):
    words, expected = MEANT[case]
    config = settings.parse(words)
    assert {name: getattr(config, name) for name in expected} == expected


WRONG = {
    "learning rate": ["--actor_lr", "-1"],
    "learning rate 0": ["--critic_lr", "0"],
    "gains": ["--PID", "[0.1]"],
    "negative gains": ["--PID", "[0.1,-1,0]"],
    "no width": ["--a_hidden_sizes", "[]"],
    "width 0": ["--a_hidden_sizes", "256,0"],
    "half a width": ["--a_hidden_sizes", "[1.5]"],
    "width in words": ["--a_hidden_sizes", "wide"],
    "no critic": ["--num_q", "0"],
    "large seed": ["--seed", "4294967296"],
    "huge seed": ["--seed", "9" * 5000],
    "negative seed": ["--seed", "-1"],
    "threads": ["--threads", "1000000"],
    "not a number": ["--gamma", "nan"],
    "infinity": ["--h_max", "inf"],
    "words": ["--batch_size", "many"],
    "half a step": ["--eval_every", "1.5"],
    "a batch of terabytes": ["--batch_size", "1e12"],
    "a layer of gigabytes": ["--a_hidden_sizes", "[1e9]"],
    "a buffer of terabytes": ["--rollout_buffer", "1e13"],
    "an ensemble of gigabytes": ["--members", "1e9", "--elites", "1"],
    "a switch in words": ["--proco", "maybe"],
    "gamma 1": ["--gamma", "1.0"],
    "tau": ["--tau", "0"],
    "share": ["--unsafe_share", "1.5"],
    "a choice": ["--compat", "mended"],
    "a preset": ["--preset", "desktop"],
    "an ablation": ["--ablation", "nothing"],
    "an ablation that needs a function": ["--ablation", "without_reflection"],
    "a kernel": ["--algo", "bearl", "--kernel", "cubic"],
    "a finding": ["--accept", "everything"],
    "another algorithm's flag": ["--algo", "bc", "--phi", "0.1"],
    "a word alone": ["bcql"],
    "nothing after a flag": ["--seed"],
    "no resume folder": ["--resume"],
    "a date": ["--batch_size", "2026-02-31"],
    "a tag": ["--batch_size", "!!int abc"],
    "a task with a colon": ["--task", "os:system"],
    "dates as a list": ["--PID", "[2026-02-31, 1, 2]"],
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_flag_is_one_line_and_makes_no_folder(tmp_path, capsys, case):
    words = WRONG[case]
    head = [] if "--resume" in words else ["--logdir", str(tmp_path / "run")]
    assert main(["train", *head, *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("osrl-proco: error: ")
    assert len(lines[0]) < 400
    assert not (tmp_path / "run").exists()


def test_an_algorithm_without_a_twin_is_stock_and_its_twin_one_line(monkeypatch):
    monkeypatch.setattr(registry, "_KNOWN", dict(registry._KNOWN))
    registry.register("alone", "osrl_proco.algorithms.bc", "osrl_proco.algorithms.configs:BCConfig", twin=False)
    assert settings.parse(["--algo", "alone"]).proco is False
    with pytest.raises(UserError, match="--proco true: alone has no PROCO twin"):
        settings.parse(["--algo", "alone", "--proco", "true"])


@pytest.mark.parametrize("algo", registry.algorithms())
def test_every_algorithm_of_the_package_is_trained_with_proco_unless_told_otherwise(algo):
    assert settings.parse(["--algo", algo]).proco is True
    assert settings.parse(["--algo", algo, "--proco", "false"]).proco is False


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{k}: &{k} [{', '.join(['*' + p] * 9)}]\n" for p, k in zip("abcdefgh", "bcdefghi", strict=True)
)
CONFIGS = {
    "aliases": BOMB.encode(),
    "UTF-16": "seed: 1\n".encode("utf-16"),
    "Latin-1": "name: café\n".encode("latin-1"),
    "no mapping": b"- 1\n- 2\n",
    "empty": b"",
    "a number": b"5",
    "an object": b"seed: !!python/object/apply:os.system [echo]\n",
    "a tag that is not meant": b"seed: !!int abc\n",
    "a date": b"name: 2026-02-31\n",
    "digits": b"seed: " + b"9" * 6000 + b"\n",
    "depth": b"seed: " + b"[" * 3000 + b"]" * 3000 + b"\n",
    "a key that is no text": b"1: 2\n",
    "a key that is a list": b"? [1, 2]\n: 3\n",
    "a key twice": b"seed: 1\nseed: 2\n",
    "an unknown key": b"sede: 1\n",
    "a list for a number": b"seed: [1]\n",
    "a mapping for a number": b"seed: {a: 1}\n",
    "a word for a switch": b"proco: perhaps\n",
    "a number for a text": b"name: 5\n",
    "control characters": b"seed: \x00\n",
    "not YAML": b"seed: [1\n",
    "large": b"#" * (5 * 2**20),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_from_a_stranger_is_one_line(tmp_path, capsys, case):
    file = tmp_path / "c.yaml"
    file.write_bytes(CONFIGS[case])
    began = time.perf_counter()
    status = main(["train", "--config", str(file), "--logdir", str(tmp_path / "run"), *TINY, "--update_steps", "1"])
    assert (status, case) == (2, case)
    assert time.perf_counter() - began < 10
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("osrl-proco: error: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["--config", "--cost_function", "--dataset", "--dynamics"])
@pytest.mark.parametrize("kind", ["a pipe", "a folder", "/dev/zero", "nothing"])
def test_what_is_no_file_is_never_waited_for(tmp_path, capsys, flag, kind):
    path = tmp_path / "thing"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "/dev/zero":
        path.symlink_to("/dev/zero")
    assert main(["train", flag, str(path), "--logdir", str(tmp_path / "run"), *TINY, "--update_steps", "1"]) == 2
    assert str(path) in capsys.readouterr().err


def test_a_resumed_run_takes_no_config(tmp_path):
    with pytest.raises(UserError, match="keeps its own settings"):
        settings.parse(["--config", "c.yaml"], base={"algo": "bcql"})
