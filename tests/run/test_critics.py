"""`--critic` sets the feasibility critic's form over family and preset, and the command line goes over it."""

from __future__ import annotations

import pytest
import torch
from tiny import train

from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.run import settings
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
def test_the_papers_form_is_the_default(algo, h_max):
    assert form("--algo", algo) == ("none", "observation", "observation", "left", "larger", h_max, 0.005)
    assert form("--algo", algo, "--critic", "paper") == form("--algo", algo)


@pytest.mark.parametrize(("algo", "h_max"), [("fisor", 25.0), ("lspc", 25.0), ("bcql", 1.0), ("trac", 1.0)])
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


@pytest.mark.parametrize(("algo", "h_max"), [("fisor", 3.0), ("caps", 3.0), ("bcql", 1.0)])
def test_ours_holds_actions_on_navigation_tasks_only(algo, h_max):
    def held(task, *flags):
        config = settings.parse(["--algo", algo, "--task", task, "--critic", "ours", *flags])
        return config.hold, config.feasibility_gamma, config.h_max, config.label

    assert held("PointGoal1") == held("PointGoal1", "--preset", "laptop") == (15, 0.8, h_max, "margin")
    assert held("PointGoal1", "--hold", "1")[0] == 1
    assert held("HopperVelocity")[0] == 1
    assert settings.parse(["--algo", algo, "--task", "PointGoal1"]).hold == 1


@pytest.mark.parametrize("algo", ["fisor", "bcql", "bc"])
def test_ours_has_a_way_back_on_navigation_tasks(algo):
    def recover(*flags):
        return settings.parse(["--algo", algo, *flags]).recover

    ours = ("--task", "PointGoal1", "--critic", "ours")
    assert recover(*ours) == -0.3
    assert recover(*ours, "--recover", "null") is None
    assert recover("--task", "PointGoal1") is recover("--task", "HopperVelocity", "--critic", "ours") is None


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
