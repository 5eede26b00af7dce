"""What must stop a run, and what a run's folder must not be fooled by."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from tiny import TINY, rows, timeless, train, weights

from osrl_proco.algorithms import cpq
from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.core.random import Streams
from osrl_proco.core.tensors import load_tensors, save_tensors
from osrl_proco.envs import BrakeEnv
from osrl_proco.evaluation.episodes import evaluate
from osrl_proco.run.folder import RunFolder
from osrl_proco.tasks import load_task


def one_error(capsys):
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("osrl-proco: error: ")
    return error


# ---- nothing that is not finite, or missing, reads as safe ---------------------------------------------------------


@pytest.mark.parametrize("algo", ["bcql", "cpq"])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, capsys, algo):
    folder = tmp_path / "run"
    train(folder, steps=50, algo=algo)
    good = (folder / "checkpoint" / "state.pt").read_bytes()
    capsys.readouterr()
    assert main(["train", "--resume", str(folder), "--update_steps", "200", "--critic_lr", "1e30"]) == 2
    assert "is not finite any more at update" in one_error(capsys)
    assert (folder / "checkpoint" / "state.pt").read_bytes() == good
    assert int(rows(folder / "metrics.csv")[-1]["step"]) < 200


class Broken:
    """A policy that answers NaN from its third step on."""

    def __init__(self):
        self.steps = 0

    def reset(self, rows, seeds):
        pass

    def act(self, observations):
        self.steps += 1
        return torch.full((len(observations), 1), float("nan") if self.steps > 2 else 0.0)

    def observe(self, rewards, costs):
        pass


def test_a_policy_that_answers_nan_is_not_called_safe():
    with pytest.raises(UserError, match=r"episode with seed 7: the policy's action is not finite"):
        evaluate(Broken, load_task("OfflineBrake"), episodes=2, seed=7, cost_limit=10.0, progress=False)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((np.zeros(2), 1.0, False, False, {}), "reports no cost"),
        ((np.zeros(2), 1.0, False, False, {"cost": float("nan")}), "must be finite"),
        ((np.zeros(2), 1.0, False, False, {"cost": None}), "not a number"),
        ((np.zeros(2), float("inf"), False, False, {"cost": 0.0}), "must be finite"),
        ((np.array([0.0, np.nan]), 1.0, False, False, {"cost": 0.0}), r"observation is not finite \(entry 1\)"),
    ],
)
def test_a_simulator_that_does_not_say_what_it_costs_is_not_called_safe(monkeypatch, answer, message):
    monkeypatch.setattr(BrakeEnv, "step", lambda self, action: answer)
    still = SimpleNamespace(reset=lambda *_: None, act=lambda o: torch.zeros(len(o), 1), observe=lambda *_: None)
    with pytest.raises(UserError, match=message):
        evaluate(lambda: still, load_task("OfflineBrake"), episodes=1, seed=0, cost_limit=10.0, progress=False)


def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch, capsys):
    real = cpq.ProcoCPQ.sync_weight

    def spoil(self):
        real(self)
        with torch.no_grad():
            next(self.vae.parameters()).view(-1)[0] = float("nan")

    monkeypatch.setattr(cpq.ProcoCPQ, "sync_weight", spoil)
    assert main(["train", "--algo", "cpq", "--logdir", str(tmp_path / "r"), *TINY, "--log_every", "1000"]) == 2
    assert "model.vae" in one_error(capsys)
    assert not (tmp_path / "r" / "checkpoint" / "state.pt").exists()


# ---- folders -------------------------------------------------------------------------------------------------------


def _hold(path, ready, done):
    with RunFolder(path).locked():
        ready.set()
        done.wait(60)


def test_two_runs_in_one_folder_are_refused_and_a_crash_frees_it(tmp_path, capsys):
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "run", ready, done))
    other.start()
    assert ready.wait(60)
    assert main(["train", "--logdir", str(tmp_path / "run"), "--update_steps", "10", *TINY]) == 2
    assert "another process trains in this folder" in one_error(capsys)
    other.kill()
    other.join()
    train(tmp_path / "run", steps=10)


def test_flags_on_resume_count_and_are_written_down(tmp_path, capsys):
    folder = tmp_path / "run"
    train(folder, steps=30)
    capsys.readouterr()
    assert main(["train", "--resume", str(folder), "--update_steps", "40", "--actor_lr", "0.5", "--gamma", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "update_steps 30 -> 40" in out
    assert "actor_lr 0.001 -> 0.5" in out
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert (written["update_steps"], written["actor_lr"], written["gamma"]) == (40, 0.5, 0.5)


@pytest.mark.parametrize("flags", [["--seed", "5"], ["--logdir", "elsewhere"], ["--algo", "cpq"], ["--proco", "false"]])
def test_what_makes_another_run_is_refused_on_resume(tmp_path, capsys, flags):
    folder = tmp_path / "run"
    train(folder, steps=10)
    assert main(["train", "--resume", str(folder), *flags]) == 2
    assert "start a new run" in one_error(capsys)


def test_fewer_updates_are_refused_and_a_finished_run_says_so(tmp_path, capsys):
    folder = tmp_path / "run"
    train(folder, steps=30)
    capsys.readouterr()
    assert main(["train", "--resume", str(folder), "--update_steps", "20"]) == 2
    assert "has made 30 updates already" in one_error(capsys)
    assert main(["train", "--resume", str(folder), "--update_steps", "30"]) == 0
    assert "all 30 updates are made" in capsys.readouterr().out


def test_a_dynamics_model_of_another_seed_is_not_taken_over(tmp_path):
    """A run that was killed before its first checkpoint leaves its model; a new run there fits its own."""
    left, own, fresh = tmp_path / "left", tmp_path / "own", tmp_path / "fresh"
    train(left, steps=10)
    model = left / "checkpoint" / "dynamics.pt"
    for name, seed in (("own", "0"), ("fresh", "1")):
        target = tmp_path / name / "checkpoint"
        target.mkdir(parents=True)
        shutil.copy(model, target / "dynamics.pt")
        train(tmp_path / name, "--seed", seed, steps=10)
    assert (own / "checkpoint" / "dynamics.pt").read_bytes() == model.read_bytes()
    assert (fresh / "checkpoint" / "dynamics.pt").read_bytes() != model.read_bytes()


@pytest.mark.slow
def test_a_run_killed_between_the_fit_and_the_first_checkpoint_ends_the_same(tmp_path):
    train(tmp_path / "whole", steps=60)
    folder = tmp_path / "killed"
    train(folder, steps=60)
    (folder / "checkpoint" / "state.pt").unlink()
    assert main(["train", "--resume", str(folder)]) == 0
    for name in ("metrics.csv", "eval.csv"):
        assert timeless(folder / name) == timeless(tmp_path / "whole" / name)
    assert all(torch.equal(v, weights(folder)[k]) for k, v in weights(tmp_path / "whole").items())


def test_a_run_that_was_moved_goes_on_with_its_own_copies(tmp_path, capsys):
    (tmp_path / "c.py").write_text('def cost(obs):\n    return obs["gap"][..., 0] < 1.0\n')
    train(tmp_path / "run", "--cost_function", str(tmp_path / "c.py"), steps=30)
    (tmp_path / "c.py").write_text('def cost(obs):\n    return obs["gap"][..., 0] < 2.0\n')
    shutil.move(tmp_path / "run", tmp_path / "moved")
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "moved"), "--update_steps", "40"]) == 0
    assert "has changed since; the run goes on with its own copy" in capsys.readouterr().out
    assert "< 1.0" in (tmp_path / "moved" / "cost.py").read_text()


def test_what_a_run_was_made_from_is_written_down(tmp_path):
    train(tmp_path / "run", steps=10)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["task"]["id"] == load_task(tmp_path / "run" / "task.yaml").id == "OfflineBrake-v0"
    assert len(facts["data"]["sha256"]) == len(facts["cost_function"]["sha256"]) == 64
    assert facts["versions"]["torch"] == torch.__version__ or facts["versions"]["torch"]


def test_a_metric_that_comes_later_gets_its_column(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append("metrics.csv", [{"step": 1, "a": 2}])
    folder.append("metrics.csv", [{"step": 2, "a": 3, "b": 4}])
    folder.append("metrics.csv", [{"step": 3, "a": 5}])
    assert rows(tmp_path / "metrics.csv") == [
        {"step": "1", "a": "2", "b": ""},
        {"step": "2", "a": "3", "b": "4"},
        {"step": "3", "a": "5", "b": ""},
    ]


@pytest.mark.parametrize("left", ["", "step,a", "step,a\n1,2\n3,", "step,a\n"])
def test_a_table_that_a_crash_cut_off_is_mended(tmp_path, left):
    (tmp_path / "metrics.csv").write_text(left)
    folder = RunFolder(tmp_path)
    folder.drop_after(5)
    folder.append("metrics.csv", [{"step": 4, "a": 7}])
    assert [r["step"] for r in rows(tmp_path / "metrics.csv")] == (["1", "4"] if "\n1,2\n" in left else ["4"])


def test_a_clock_that_stands_still_stops_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr("osrl_proco.run.callbacks.time.monotonic", lambda: 5.0)
    train(tmp_path / "run", steps=20)


# ---- files from strangers ------------------------------------------------------------------------------------------


class _Bomb:
    def __reduce__(self):
        return (open, ("executed.txt", "w"))


def test_a_checkpoint_executes_nothing(tmp_path, capsys):
    folder = tmp_path / "run"
    train(folder, steps=10)
    state = folder / "checkpoint" / "state.pt"
    for content in (pickle.dumps(_Bomb()), _zip_of(_Bomb())):
        for framed in (content, _framed(content)):
            state.write_bytes(framed)
            assert main(["eval", "--path", str(folder)]) == 2
            assert "checkpoint" in one_error(capsys)
            assert main(["train", "--resume", str(folder), "--update_steps", "20"]) == 2
    assert not list(tmp_path.rglob("executed.txt"))


def _zip_of(thing):
    import io

    buffer = io.BytesIO()
    torch.save({"algo": "bcql", "agent": thing}, buffer)
    return buffer.getvalue()


def _framed(payload):
    import hashlib

    return b"osrl-proco tensors 1 sha256=" + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def test_every_flipped_bit_is_seen(tmp_path):
    file = tmp_path / "t.pt"
    save_tensors(file, {"a": torch.arange(5.0), "n": 3})
    whole = file.read_bytes()
    assert load_tensors(file)["n"] == 3
    for at in range(0, len(whole), 7):
        broken = bytearray(whole)
        broken[at] ^= 1 << (at % 8)
        file.write_bytes(bytes(broken))
        with pytest.raises(UserError):
            load_tensors(file)
    for cut in range(0, len(whole), 50):
        file.write_bytes(whole[:cut])
        with pytest.raises(UserError):
            load_tensors(file)


def test_a_config_that_was_cut_off_is_refused(tmp_path, capsys):
    folder = tmp_path / "run"
    train(folder, steps=10)
    config = folder / "config.yaml"
    whole = config.read_text()
    for keep in (0.0, 0.1, 0.5, 0.9):
        config.write_text(whole[: int(len(whole) * keep)])
        assert main(["eval", "--path", str(folder)]) == 2
        assert main(["train", "--resume", str(folder)]) == 2
        assert "config.yaml" in one_error(capsys)


def test_sizes_that_the_checkpoint_does_not_have_are_one_line(tmp_path, capsys):
    folder = tmp_path / "run"
    train(folder, steps=10)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("vae_hidden_sizes: 16", "vae_hidden_sizes: 24"))
    assert main(["eval", "--path", str(folder)]) == 2
    assert "does not fit the settings in config.yaml" in one_error(capsys)


@pytest.mark.parametrize("graded", ["true", "false"])
def test_runs_that_say_graded_true_or_false_and_nothing_of_hold_are_still_read(tmp_path, graded):
    folder = tmp_path / "run"
    train(folder, steps=10)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("graded: none", f"graded: {graded}").replace("hold: 1\n", ""))
    config.write_text(config.read_text().replace("recover: null\n", "").replace("dynamics_loss: plain\n", ""))
    config.write_text(config.read_text().replace("dynamics_margins: networks\n", ""))
    config.write_text(config.read_text().replace("recover_by: critic\n", ""))
    assert not {"hold", "recover", "recover_by", "dynamics_loss", "dynamics_margins"} & set(
        yaml.safe_load(config.read_text())
    )
    read = RunFolder(folder).read_config()
    assert read["graded"] == {"true": "all", "false": "none"}[graded]
    assert (read["hold"], read["recover"]) == (1, None)  # though --critic ours sets others on navigation tasks
    assert main(["eval", "--path", str(folder), "--eval_episodes", "1"]) == 0


@pytest.mark.parametrize("algo", ["fisor", "lspc", "caps"])
def test_runs_that_know_nothing_of_standardise_are_still_read(tmp_path, algo):
    folder = tmp_path / "run"
    at = TINY.index("--vae_hidden_sizes")
    words = TINY if algo == "lspc" else [*TINY[:at], *TINY[at + 2 :]]
    words = [*words, "--critic", "ours", "--standardise", "false", "--update_steps", "10"]
    assert main(["train", "--algo", algo, "--logdir", str(folder), *words]) == 0
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("standardise: false\n", ""))
    assert "standardise" not in yaml.safe_load(config.read_text())
    assert RunFolder(folder).read_config()["standardise"] is False  # though --critic ours sets it
    assert main(["eval", "--path", str(folder), "--eval_episodes", "1"]) == 0


# ---- random streams ------------------------------------------------------------------------------------------------


def test_stock_and_proco_see_the_same_batches():
    a, b = Streams(3), Streams(3)
    torch.rand(5, generator=a["imagination"])
    torch.rand(5, generator=a["noise"])
    assert torch.equal(torch.rand(4, generator=a["batches"]), torch.rand(4, generator=b["batches"]))
    assert not torch.equal(
        torch.rand(4, generator=Streams(3)["batches"]), torch.rand(4, generator=Streams(4)["batches"])
    )


def test_streams_of_another_kind_of_device_go_on_from_seed_and_update():
    streams, twin = Streams(3), Streams(3)
    saved = {**streams.state_dict(), "batches": torch.zeros(16, dtype=torch.uint8)}  # what a GPU's generator has
    assert streams.load_state_dict(saved, step=40) is False
    assert twin.load_state_dict(saved, step=40) is False
    assert torch.equal(torch.rand(4, generator=streams["batches"]), torch.rand(4, generator=twin["batches"]))
    assert streams.load_state_dict(twin.state_dict(), step=40) is True


def test_a_run_leaves_the_global_generators_alone(tmp_path):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train(tmp_path / "run", steps=20)
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()  # noqa: NPY002


def test_evaluation_reaches_tensorboard_at_its_own_update_and_the_last_too(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path / "run", "--tensorboard", steps=75)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / "tb"))
    events.Reload()
    assert [e.step for e in events.Scalars("eval/Reward")] == [50, 75]


def test_a_resumed_run_goes_on_in_the_same_wandb_run(tmp_path, monkeypatch):
    begun = []

    def init(**arguments):
        begun.append(arguments["id"])
        return SimpleNamespace(log=lambda *_, **__: None, config=SimpleNamespace(update=lambda *_, **__: None))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, run=None))
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    train(tmp_path / "a", "--wandb", steps=20)
    assert main(["train", "--resume", str(tmp_path / "a"), "--update_steps", "30"]) == 0
    train(tmp_path / "b", "--wandb", "--seed", "1", steps=20)
    assert begun[0] == begun[1] != begun[2]
    assert "WANDB_RUN_ID" not in os.environ
