"""Whole runs: the files they leave, interruption by a real kill, and that the command line always wins."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from tiny import TINY, rows, timeless, train, weights

from osrl_proco.cli import main
from osrl_proco.proco.dynamics import Dynamics
from osrl_proco.run import settings
from osrl_proco.run.folder import RunFolder
from osrl_proco.run.policy import load_policy


@pytest.mark.parametrize("algo", ["bcql", "bearl", "cpq"])
@pytest.mark.parametrize("proco", ["true", "false"])
def test_a_run_leaves_what_it_promises(tmp_path, capsys, algo, proco):
    train(tmp_path / "run", "--proco", proco, algo=algo)
    metrics, episodes = rows(tmp_path / "run" / "metrics.csv"), rows(tmp_path / "run" / "eval.csv")
    assert [r["step"] for r in metrics] == [str(s) for s in range(10, 101, 10)]
    assert {r["step"] for r in episodes} == {"50", "100"}
    assert {"seed", "ret", "cost", "normalized_reward", "normalized_cost"} <= episodes[0].keys()
    assert ("feasibility/infeasible" in metrics[0]) == (proco == "true")
    assert ("rollout/violating" in metrics[0]) == (proco == "true")
    assert main(["eval", "--path", str(tmp_path / "run"), "--eval_episodes", "2", "--seed", "7"]) == 0
    assert "normalised cost" in capsys.readouterr().out
    assert [r["episode_seed"] for r in rows(tmp_path / "run" / "evaluation-seed7.csv")] == ["7", "8"]


def test_the_same_seed_gives_the_same_run(tmp_path):
    for name in ("a", "b"):
        train(tmp_path / name)
    assert timeless(tmp_path / "a" / "metrics.csv") == timeless(tmp_path / "b" / "metrics.csv")
    assert all(torch.equal(v, weights(tmp_path / "b")[k]) for k, v in weights(tmp_path / "a").items())


def test_the_worst_elite_backup_runs(tmp_path):
    train(tmp_path / "run", "--conservative_backup", "max", steps=30)
    assert rows(tmp_path / "run" / "metrics.csv")


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGINT))],
)
def test_a_killed_run_resumes_to_the_very_same_end(tmp_path, number):
    """The uninterrupted run against one killed twice at whatever update it had reached."""
    train(tmp_path / "whole", steps=400)
    folder = tmp_path / "killed"
    start = ["train", "--algo", "bcql", "--logdir", str(folder), "--update_steps", "400", *TINY]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    words = start
    for kill in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "osrl_proco", *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.time() + 60
        passed = 75 * (kill + 1)
        while time.time() < deadline and process.poll() is None:
            # A run that is resumed without a checkpoint begins anew: the file may vanish again.
            with contextlib.suppress(FileNotFoundError):
                if f"\n{passed // 10 * 10}," in (folder / "metrics.csv").read_text():
                    break
            time.sleep(0.005)
        process.send_signal(number)
        status = process.wait(60)
        if status == 0:
            break  # it was quicker than we are
        assert status == (-number if number == signal.SIGKILL else 130)
        words = ["train", "--resume", str(folder)]
    assert main(["train", "--resume", str(folder)]) == 0
    for name in ("metrics.csv", "eval.csv"):
        assert timeless(folder / name) == timeless(tmp_path / "whole" / name)
    assert all(torch.equal(v, weights(folder)[k]) for k, v in weights(tmp_path / "whole").items())


def test_a_run_can_be_lengthened_but_not_turned_into_another(tmp_path, capsys):
    train(tmp_path / "run", steps=50)
    assert main(["train", "--resume", str(tmp_path / "run"), "--update_steps", "60"]) == 0
    assert rows(tmp_path / "run" / "metrics.csv")[-1]["step"] == "60"
    assert main(["train", "--resume", str(tmp_path / "run"), "--seed", "5"]) == 2
    assert "start a new run" in capsys.readouterr().err


def test_a_folder_with_a_run_is_not_overwritten(tmp_path, capsys):
    train(tmp_path / "run", steps=30)
    assert main(["train", "--logdir", str(tmp_path / "run"), *TINY]) == 2
    assert "--resume" in capsys.readouterr().err


def test_the_command_line_wins_over_the_file_and_the_family(tmp_path):
    (tmp_path / "c.yaml").write_text("expectile: 0.7\nh_max: 3.0\n")
    config = settings.parse(["--config", str(tmp_path / "c.yaml"), "--h_max", "25.0", "--batch_size", "512"])
    assert config.expectile == 0.7  # the file
    assert config.h_max == 25.0  # the command line, also where it equals the dataclass's default
    assert config.batch_size == 512  # not the embedded family's
    assert config.reward_scale == 1.0  # the family's


def test_the_config_written_is_the_config_read(tmp_path):
    train(tmp_path / "run", "--expectile", "0.8", steps=10)
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert vars(settings.parse([], base=written)) == vars(settings.parse([], base=written))
    assert written["expectile"] == 0.8


WRONG = {
    "unknown task": (["--task", "OfflineBrak-v0"], "OfflineBrake-v0"),
    "unknown algorithm": (["--algo", "bqcl"], "bcql"),
    "unknown flag": (["--updat_steps", "5"], "update_steps"),
    "no value": (["--seed"], "a value is missing"),
    "not a number": (["--seed", "one"], "--seed: 'one' is not a whole number"),
    "no sign": (["--update_steps", "-5"], "must be greater than 0"),
    "expectile": (["--expectile", "0.3"], "between 0.5 and 1"),
    "backup": (["--conservative_backup", "min"], "label or max"),
    "elites": (["--elites", "9"], "--members 7"),
    "device": (["--device", "cuda:7"], "--device cuda:7"),
    "no dataset": (["--dataset", "nowhere.hdf5"], "nowhere.hdf5: no such file"),
    "no config": (["--config", "nowhere.yaml"], "nowhere.yaml"),
    "no cost function": (["--cost_function", "nowhere.py"], "nowhere.py"),
    "no dynamics": (["--dynamics", "nowhere.pt"], "nowhere.pt: no such dynamics model"),
    "no run": (["--resume", "nowhere"], "no run here"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line_and_status_2(tmp_path, capsys, name):
    flags, message = WRONG[name]
    others = [] if "--resume" in flags else ["--logdir", str(tmp_path / "r"), *TINY]
    assert main(["train", *others, *flags]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("osrl-proco: error: ")
    assert message in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('def cost(obs):\n    return obs["gap"][..., 0] < 1e6', "--accept cost-everything"),
        ('def cost(obs):\n    return obs["gap"][..., 0] < -1e6', "--accept cost-nothing"),
        ("import os", "no imports"),
        ('def cost(obs):\n    return obs["lidar"]', "it has gap, velocity"),
    ],
)
def test_a_useless_cost_function_is_refused(tmp_path, capsys, text, message):
    (tmp_path / "c.py").write_text(text)
    assert main(["train", "--logdir", str(tmp_path / "r"), "--cost_function", str(tmp_path / "c.py"), *TINY]) == 2
    assert message in capsys.readouterr().err


def test_a_checkpoint_that_is_missing_damaged_or_of_another_algorithm(tmp_path, capsys):
    train(tmp_path / "run", steps=10)
    assert main(["eval", "--path", str(tmp_path / "run"), "--algo", "cpq"]) == 2
    assert "a checkpoint of 'bcql', not of 'cpq'" in capsys.readouterr().err
    state = tmp_path / "run" / "checkpoint" / "state.pt"
    state.write_bytes(state.read_bytes()[:300])
    assert main(["eval", "--path", str(tmp_path / "run")]) == 2
    assert "damaged checkpoint" in capsys.readouterr().err
    state.unlink()
    assert main(["eval", "--path", str(tmp_path / "run")]) == 2
    assert "no such checkpoint" in capsys.readouterr().err


def test_resuming_on_other_data_is_refused(tmp_path):
    train(tmp_path / "run", steps=30)
    words = ["data", "collect", "--task", "OfflineBrake-v0", "--episodes", "20", "--seed", "3", "--out", "d.hdf5"]
    assert main(words) == 0
    assert main(["train", "--resume", str(tmp_path / "run"), "--dataset", "d.hdf5", "--update_steps", "60"]) == 2


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch, capsys):
    train(tmp_path / "run", steps=50)
    before = (tmp_path / "run" / "checkpoint" / "state.pt").read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    real = os.replace
    monkeypatch.setattr(Path, "replace", lambda a, b: full() if Path(b).name == "state.pt" else real(a, b))
    assert main(["train", "--resume", str(tmp_path / "run"), "--update_steps", "80"]) == 2
    assert "the previous one is kept" in capsys.readouterr().err
    assert (tmp_path / "run" / "checkpoint" / "state.pt").read_bytes() == before


@pytest.mark.parametrize("command", ["train", "eval", "data", "dynamics", "doctor", "demo"])
def test_help_reads(capsys, command):
    with contextlib.suppress(SystemExit):  # argparse leaves by it
        assert main([command, "--help"]) == 0
    assert len(capsys.readouterr().out) > 100


def test_no_command_and_an_unknown_one(capsys):
    assert main([]) == 0
    assert "train" in capsys.readouterr().out
    assert main(["trian"]) == 2
    assert "train" in capsys.readouterr().err


def test_training_on_the_two_halves_of_a_split(tmp_path, capsys):
    assert main(["data", "split", "--task", "OfflineBrake-v0", "--out", "safe.hdf5", "--keep_unsafe", "7"]) == 0
    train(tmp_path / "run", "--dataset", "safe.hdf5", steps=10)
    assert "finds 100.0% of 7 unsafe transitions" in capsys.readouterr().out


def test_tensorboard_by_flag(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path / "run", "--tensorboard", "true", steps=50)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / "tb"))
    events.Reload()
    logged = events.Scalars("loss/feasibility_q")
    written = rows(tmp_path / "run" / "metrics.csv")
    assert [e.step for e in logged] == [10, 20, 30, 40, 50]
    assert [e.value for e in logged] == pytest.approx([float(r["loss/feasibility_q"]) for r in written], rel=1e-5)


def test_dsrls_pre_processing_is_refused_where_there_is_none(tmp_path, capsys):
    assert main(["train", "--logdir", str(tmp_path / "r"), "--density", "0.5", *TINY]) == 2
    assert "DSRL's tasks only" in capsys.readouterr().err


def test_a_dynamics_model_is_shared(tmp_path, capsys):
    out = str(tmp_path / "m.pt")
    words = [w for pair in zip(TINY[::2], TINY[1::2], strict=True) for w in pair]
    assert main(["dynamics", "fit", "--task", "OfflineBrake-v0", "--out", out, *words]) == 0
    assert "elite" in capsys.readouterr().out
    train(tmp_path / "run", "--dynamics", out, steps=10)
    words = ["train", "--task", "OfflinePointRobot-v0", "--dynamics", out, "--logdir", str(tmp_path / "x"), *TINY]
    assert main(words) == 2
    assert "a model of another task" in capsys.readouterr().err


@pytest.mark.parametrize("robust", [False, True])
def test_the_loss_of_the_dynamics_model_is_as_the_flag_says(tmp_path, robust):
    """A usual change is measured from 0, a deviation from the mean."""
    flags = ("--dynamics_loss", "robust") if robust else ()
    train(tmp_path, "--task", "OfflineBrake-v0", "--label", "margin", *flags, steps=1)
    model, _ = Dynamics.load(tmp_path / "checkpoint" / "dynamics.pt")
    assert (model.target_mean[:2] == 0.0).all().item() is robust
    assert model.target_mean[2] == 0.0


@pytest.mark.parametrize("label", ["margin", "observation"])
def test_the_chain_rule_is_used_where_there_are_margins(tmp_path, label):
    flags = ("--dynamics_margins", "slopes", "--label", label)
    train(tmp_path, "--task", "OfflinePointRobot-v0", *flags, steps=1)
    model, _ = Dynamics.load(tmp_path / "checkpoint" / "dynamics.pt")
    assert model.shape["chain"] is (label == "margin")
    assert (model.rates is not None) == (label == "margin")


def test_a_way_back_by_the_model_is_read_back_with_the_model(tmp_path, capsys):
    folder, model = tmp_path / "run", tmp_path / "m.pt"
    words = ["--task", "OfflineBrake-v0", "--critic", "ours", "--recover_by", "model", "--dynamics_margins", "slopes"]
    train(folder, *words, steps=5)
    assert load_policy(RunFolder(folder)).back is not None
    (folder / "checkpoint" / "dynamics.pt").rename(model)
    assert main(["eval", "--path", str(folder), "--eval_episodes", "1"]) == 2
    assert "--recover_by model" in capsys.readouterr().err
    assert main(["eval", "--path", str(folder), "--eval_episodes", "1", "--dynamics", str(model)]) == 0
    train(tmp_path / "given", *words, "--dynamics", str(model), steps=5)
    model.unlink()
    assert load_policy(RunFolder(tmp_path / "given")).back is not None  # it has a copy of its own
    assert main(["train", "--resume", str(tmp_path / "given"), "--update_steps", "10"]) == 0
    train(tmp_path / "off", *words[:-4], steps=5)
    assert load_policy(RunFolder(tmp_path / "off")).back is None
    again = ["--critic", "ours", "--recover_by", "model", "--hold", "1"]
    assert main(["train", "--logdir", str(tmp_path / "no"), "--model_share", "0", *again, *TINY]) == 2
    assert "--recover_by model: needs the dynamics model" in capsys.readouterr().err
    assert main(["train", "--logdir", str(tmp_path / "no"), "--critic", "paper", "--recover_by", "model", *TINY]) == 2
    assert "--recover_by model: there is no way back" in capsys.readouterr().err


def test_a_model_whose_margins_are_of_another_rule_is_refused(tmp_path, capsys):
    out, rule = str(tmp_path / "m.pt"), tmp_path / "rule.py"
    rule.write_text('def cost(obs):\n    return obs["gap"][..., 0] <= 0.2\n')
    words = ["--task", "OfflineBrake-v0", "--critic", "ours", *TINY]
    assert main(["dynamics", "fit", "--out", out, *words]) == 0
    again = ["train", "--dynamics", out, "--update_steps", "2", "--logdir", str(tmp_path / "r"), *words]
    assert main([*again, "--cost_function", str(rule)]) == 2
    assert "its margins are those of another --cost_function than rule.py" in capsys.readouterr().err
    assert main(again) == 0
