"""`--critic` sets the feasibility critic's form over family and preset, and the command line goes over it."""

from __future__ import annotations

import pytest
import torch
from tiny import rows, train

from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.core.tensors import load_tensors
from osrl_proco.proco.recovery import Recovering
from osrl_proco.run import settings
from osrl_proco.run.callbacks import EVAL_SEED
from osrl_proco.run.folder import RunFolder
from osrl_proco.run.policy import critic_of, load_policy

FORM = ("graded", "label", "reads", "h_of", "of_two", "h_max", "feasibility_tau")
GRADED = ("all", "margin", "margins", "reached", "mean", 1.0, 0.02)


def form(*flags):
    config = settings.parse(["--task", "OfflineBrake", "--preset", "laptop", *flags])
    return tuple(getattr(config, name) for name in FORM)


@pytest.mark.parametrize(
    ("algo", "h_max"), [("fisor", 25.0), ("lspc", 25.0), ("bcql", 1.0), ("trac", 1.0), ("cdt", 1.0), ("bc", 1.0)]
)
def test_the_papers_form_is_the_default_on_embedded_tasks(algo, h_max):
    assert form("--algo", algo) == ("none", "observation", "observation", "left", "larger", h_max, 0.005)
    assert form("--algo", algo, "--critic", "paper") == form("--algo", algo)


@pytest.mark.parametrize(("algo", "h_max"), [("fisor", 1.0), ("lspc", 1.0), ("bcql", 1.0), ("trac", 1.0)])
def test_ours_reads_margins(algo, h_max):
    assert form("--algo", algo, "--critic", "ours") == (
        "inside",
        "margin",
        "margins",
        "reached",
        "larger",
        h_max,
        0.005,
    )


@pytest.mark.parametrize(("algo", "temperature"), [("fisor", 5.0), ("lspc", 2.0), ("caps", 3.0)])
def test_ours_standardises_and_the_temperature_follows_h_max(algo, temperature):
    def scales(*flags):
        config = settings.parse(["--algo", algo, *flags])
        return config.standardise, config.h_max, config.cost_temperature

    assert scales("--task", "HopperVelocity") == (True, 1.0, 13.0 * temperature)
    assert scales("--task", "PointGoal1") == ((True, 1.0, 39.0) if algo == "caps" else (True, 3.0, temperature))
    assert scales("--task", "PointGoal1", "--standardise", "false")[0] is False
    assert scales("--task", "HopperVelocity", "--critic", "paper") == (False, 25.0, temperature)
    assert scales("--task", "PointGoal1", "--critic", "paper") == (False, 25.0, temperature)
    assert scales("--task", "PointGoal1", "--proco", "false")[0] is False


@pytest.mark.parametrize(("algo", "h_max"), [("fisor", 3.0), ("caps", 1.0), ("bcql", 1.0)])
def test_ours_holds_actions_on_navigation_tasks_only(algo, h_max):
    def held(task, *flags):
        config = settings.parse(["--algo", algo, "--task", task, "--critic", "ours", *flags])
        return config.hold, config.feasibility_gamma, config.h_max, config.label

    assert held("PointGoal1") == held("PointGoal1", "--preset", "laptop") == (15, 0.8, h_max, "margin")
    assert held("PointGoal1", "--hold", "1")[0] == 1
    assert held("HopperVelocity")[0] == 1
    assert settings.parse(["--algo", algo, "--task", "PointGoal1", "--critic", "paper"]).hold == 1


@pytest.mark.parametrize("algo", ["fisor", "bc", "cpq"])
def test_ours_asks_a_model_by_the_chain_rule_on_navigation_tasks_only(algo):
    def asked(task, *flags):
        config = settings.parse(["--algo", algo, "--task", task, *flags])
        return config.dynamics_loss, config.dynamics_margins, config.recover_by

    assert asked("PointGoal1") == asked("CarButton2", "--preset", "laptop") == ("robust", "slopes", "model")
    assert asked("HopperVelocity") == asked("PointGoal1", "--critic", "paper") == ("plain", "networks", "critic")
    assert asked("PointGoal1", "--dynamics_margins", "networks") == ("robust", "networks", "model")


@pytest.mark.parametrize("flags", ["--recover null", "--hold 1 --model_share 0"])
def test_without_a_way_back_or_a_model_ours_asks_none_unless_told_to(flags):
    words = ["--algo", "fisor", "--task", "PointGoal1", "--critic", "ours", *flags.split()]
    assert settings.parse(words).recover_by == "critic"
    with pytest.raises(UserError, match="--recover_by model"):
        settings.parse([*words, "--recover_by", "model"])


@pytest.mark.parametrize("algo", ["fisor", "bcql", "bc"])
def test_ours_is_the_default_in_simulators(algo):
    def config(*flags):
        return settings.parse(["--algo", algo, *flags])

    for flags in ((), ("--critic", "auto"), ("--preset", "laptop")):
        for task in ("PointGoal1", "HopperVelocity", "BallCircle"):
            assert config("--task", task, *flags).critic == "ours"
            assert config("--task", task, *flags) == config("--task", task, *flags, "--critic", "ours")
        assert config("--task", "OfflineBrake", *flags).critic == "paper"
    assert config("--task", "PointGoal1", "--proco", "yes").critic == "ours"
    assert config("--task", "PointGoal1", "--model_share", "0.00").critic == "paper"


@pytest.mark.parametrize(
    "flags",
    [
        "--proco false",
        "--model_share 0",
        "--conservative_backup max",
        "--ablation without_model",
        "--ablation full_model",
    ],
)
def test_what_excludes_actions_held_has_the_papers_critic(flags):
    config = settings.parse(["--algo", "fisor", "--task", "PointGoal1", *flags.split()])
    assert (config.critic, config.hold, config.recover, config.select) == ("paper", 1, None, "minqc")


def test_a_clones_action_gives_way_only_where_v_warns_on_navigation_tasks_and_that_of_caps_everywhere():
    def where(algo, task, *flags):
        return settings.parse(["--algo", algo, "--task", task, "--critic", "ours", *flags]).recover_where

    assert [where(algo, "PointGoal1") for algo in ("bc", "caps", "fisor", "lspc")] == [
        "lost",
        "lost",
        "action",
        "action",
    ]
    assert [where(algo, "BallCircle") for algo in ("bc", "caps", "fisor")] == ["action", "lost", "action"]
    assert where("caps", "PointGoal1", "--recover_where", "action") == "action"


@pytest.mark.parametrize("algo", ["fisor", "bcql", "bc"])
def test_ours_has_a_way_back(algo):
    def recover(*flags):
        return settings.parse(["--algo", algo, *flags]).recover

    ours = ("--task", "PointGoal1", "--critic", "ours")
    assert recover(*ours) == -0.3
    assert recover(*ours, "--recover", "null") is None
    assert recover("--task", "PointGoal1", "--critic", "paper") is None
    assert recover("--task", "HopperVelocity", "--critic", "ours") == 0.0


@pytest.mark.parametrize(
    ("task", "where"), [("PointGoal1", "lost"), ("DroneRun", "action"), ("HopperVelocity", "action")]
)
def test_the_twin_of_a_clone_clones_lost_states_too(task, where):
    def config(*flags):
        return settings.parse(["--algo", "bc", "--task", task, *flags])

    assert (config().lost_alpha, config().recover_where) == (3.0, where)
    assert config("--lost_alpha", "null").lost_alpha is None
    assert config("--critic", "paper").lost_alpha is None


@pytest.mark.parametrize("value", ["-1", "3"])
def test_a_threshold_that_no_q_can_pass_or_all_do_is_refused(value):
    with pytest.raises(UserError, match=r"--recover.*-1"):
        settings.parse(["--algo", "fisor", "--task", "PointGoal1", "--critic", "ours", "--recover", value])


@pytest.mark.parametrize("algo", ["fisor", "lspc", "bcql", "trac"])
def test_graded(algo):
    assert form("--algo", algo, "--critic", "graded") == GRADED


def test_a_flag_goes_over_the_form():
    changed = form("--algo", "fisor", "--h_max", "3", "--graded", "inside")
    assert changed == ("inside", "observation", "observation", "left", "larger", 3.0, 0.005)


@pytest.mark.parametrize("algo", ["bcql", "lspc"])
def test_a_critic_that_reads_margins_comes_back_from_a_checkpoint(tmp_path, algo):
    flags = ("--task", "OfflineBrake-v0", "--label", "margin", "--reads", "margins")
    train(tmp_path / "whole", *flags, steps=40, algo=algo)
    train(tmp_path / "cut", *flags, steps=25, algo=algo)
    assert main(["train", "--resume", str(tmp_path / "cut"), "--update_steps", "40"]) == 0
    whole, cut = (critic_of(load_policy(RunFolder(tmp_path / name), "cpu").agent) for name in ("whole", "cut"))
    assert whole.reads.width == 3
    assert all(map(torch.equal, whole.state_dict().values(), cut.state_dict().values()))
    states = torch.rand(10, 2)
    assert torch.equal(whole.value(states), cut.value(states))
    assert len(whole.obs_mean) == 5


@pytest.mark.parametrize("algo", ["bcql", "lspc"])
def test_a_run_finds_its_way_back_in_its_own_evaluation_and_in_eval(tmp_path, algo):
    """A fresh critic calls everything about -1: with a threshold of -.9999 it mostly objects."""
    brake = ("--task", "OfflineBrake-v0", "--eval_every", "0")

    def costs(name, *flags):
        train(tmp_path / name, *brake, *flags, steps=10, algo=algo)
        assert main(["eval", str(tmp_path / name), "--eval_episodes", "2", "--seed", str(EVAL_SEED)]) == 0
        found = [
            [float(row["cost"]) for row in rows(tmp_path / name / file)]
            for file in ("eval.csv", f"evaluation-seed{EVAL_SEED}.csv")
        ]
        assert found[0] == pytest.approx(found[1])
        return found[0]

    assert costs("without") != pytest.approx(costs("with", "--recover", "-0.9999"))
    states = [load_tensors(tmp_path / name / "checkpoint" / "state.pt")["agent"] for name in ("without", "with")]
    torch.testing.assert_close(*states, rtol=0, atol=0)  # it is a matter of acting alone


def test_stock_has_no_way_back(tmp_path):
    train(tmp_path, "--task", "OfflineBrake-v0", "--proco", "false", "--recover", "-0.9999", steps=10)
    assert not isinstance(load_policy(RunFolder(tmp_path), "cpu").policy(), Recovering)
