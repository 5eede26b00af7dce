"""A robot without a simulator: the documented way from a CSV to a policy, and held-out measures by hand."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from osrl_proco.cli import main
from osrl_proco.data import Transitions, from_arrays
from osrl_proco.envs import BrakeEnv
from osrl_proco.envs.make import make_env
from osrl_proco.evaluation.heldout import HeldOut, hold_out, measure
from osrl_proco.proco.feasibility import FeasibilityCritic
from osrl_proco.run.folder import RunFolder
from osrl_proco.tasks.task import load_task

GUIDE = (Path(__file__).parents[2] / "docs" / "your_own_data.md").read_text()
SMALL = (
    "--update_steps 20 --eval_every 10 --dynamics_epochs 1 --rollout_batch 50 --rollout_repeats 1 --members 2 "
    "--elites 1 --dynamics_hidden [16] --a_hidden_sizes [16] --c_hidden_sizes [16] --vae_hidden_sizes 16"
)


def recorded_csv():
    data = BrakeEnv(episodes=40).get_dataset()
    with open("recorded.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["episode", "gap", "speed", "throttle", "reward", "unsafe"])
        unsafe = BrakeEnv().is_unsafe(data["observations"])
        episode = np.cumsum(data["timeouts"] + data["terminals"]) - data["timeouts"] - data["terminals"]
        for i in range(len(unsafe)):
            writer.writerow(
                [episode[i], *data["observations"][i], *data["actions"][i], data["rewards"][i], int(unsafe[i])]
            )


def test_the_guide_works_as_it_is_written(capsys):
    blocks = re.findall(r"```(\w+)\n(.*?)```", GUIDE, re.DOTALL)
    recorded_csv()
    trained = False
    for kind, text in blocks:
        if kind == "yaml":
            Path("my_cart.yaml").write_text(text)
        elif kind == "python" and text.startswith("# Written by hand"):
            Path("my_cost.py").write_text(text)
        elif kind == "python":
            exec(text, names := {})
        elif "train" in text:
            words = text.split()[1:] + SMALL.split()
            assert main(words) == 0
            trained = True
        else:
            assert main(text.split()[1:]) in (0, 1)
    out = capsys.readouterr().out
    assert trained
    assert "3960 transitions" in out
    assert "no simulator (its task file says simulator: none)" in out
    assert "heldout.csv, metrics.csv, checkpoint/ (no episodes were run)" in out
    assert names["action"].shape == (1, 1)
    rows = list(csv.DictReader(Path("runs/my_cart/heldout.csv").read_text().splitlines()))
    assert [r["step"] for r in rows] == ["10", "20"]
    assert set(rows[0]) == {"step", "action_error", "infeasible", "policy_infeasible", "violations_foreseen"}
    named = set(re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE))
    assert named == set(rows[0]) - {"step"}
    assert main(["eval", "--path", "runs/my_cart"]) == 2
    assert "so no episode can be run" in capsys.readouterr().err


def test_a_missing_simulator_does_not_stop_training_on_a_file(monkeypatch, capsys):
    assert main(["data", "collect", "--task", "OfflineBrake-v0", "--episodes", "30", "--out", "d.hdf5"]) == 0
    make_env(load_task("OfflineBrake")).close()
    monkeypatch.setattr("gymnasium.make", _missing)
    line = f"train --task OfflineBrake-v0 --logdir r {SMALL}"
    assert main(line.split()) == 2
    assert "or train on a dataset file, without episodes: --dataset FILE" in capsys.readouterr().err
    assert main([*line.split(), "--dataset", "d.hdf5"]) == 0
    assert RunFolder(Path("r")).load("bcql", "cpu")["step"] == 20
    assert Path("r/heldout.csv").is_file()
    assert not Path("r/eval.csv").exists()
    capsys.readouterr()
    assert main(["data", "info", "--task", "OfflineBrake-v0", "--dataset", "d.hdf5"]) == 0
    assert "episode return" in capsys.readouterr().out


def _missing(*_, **__):
    raise ImportError("no such simulator")


@pytest.mark.parametrize("runs", [1, 10, 40])
def test_what_is_held_out_is_whole_runs_and_none_of_it_is_trained_on(runs):
    arrays = BrakeEnv(episodes=runs).get_dataset()
    arrays["rewards"] = np.arange(len(arrays["rewards"]))
    data = from_arrays(arrays, load_task("OfflineBrake"))
    kept, held = hold_out(data, data, seed=0)
    assert sorted([*kept.rewards.tolist(), *held.data.rewards.tolist()]) == list(range(len(data)))
    assert len(held.data) == (200 if runs == 40 else len(data) // 20)
    if runs == 40:
        assert len({int(r) // 100 for r in held.data.rewards}) == 2
    assert kept.last[-1] == held.data.last[-1] == 1


def test_the_measures_by_hand():
    column = torch.tensor([0.0, 0.0, 1.0, 1.0])
    states = torch.stack([column, torch.zeros(4)], 1)
    zero = torch.zeros(4)
    data = Transitions(states, torch.ones(4, 1), states, zero, zero, zero, zero, zero, zero)

    class Critic(FeasibilityCritic):
        def value(self, observations):
            return observations[..., 0] - 0.5  # lost where the first entry is 1

        def q(self, observations, actions):
            return actions[..., 0] - 0.5  # lost by any action above 0.5

    learner = SimpleNamespace(critic=Critic(2, 1, [2]))
    agent = SimpleNamespace(feasibility=learner, act=lambda o, generator: o[:, :1] + 0.5 * (o[:, 1:] + 1))
    figures = measure(agent, HeldOut(data, data))
    assert figures["action_error"] == pytest.approx((0.25 + 0.25 + 0.25 + 0.25) / 4)
    assert figures["infeasible"] == 0.5
    assert figures["policy_infeasible"] == 0.0  # 0.5 is not above 0.5
    assert figures["violations_foreseen"] == 1.0  # the recorded action 1 is
    stock = SimpleNamespace(feasibility=None, act=agent.act)
    assert measure(stock, HeldOut(data, data)).keys() == {"action_error"}
