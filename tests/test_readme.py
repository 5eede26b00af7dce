"""The README's Python runs, its YAML and cost function are real, and its commands exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from osrl_proco import register, train
from osrl_proco.algorithms import registry
from osrl_proco.cli import _COMMANDS
from osrl_proco.costs import CostFunction
from osrl_proco.tasks.task import load_task

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [code for kind, code in BLOCKS if kind == "python"]
SMALL = {"update_steps": 30, "dynamics_epochs": 1, "rollout_batch": 50, "rollout_repeats": 1, "eval_episodes": 1}


def test_the_cost_function_is_in_the_language():
    (text,) = [code for code in PYTHON if code.startswith("#")]
    CostFunction(text, load_task("PointGoal1"))


@pytest.mark.parametrize("proco", [True, False])
@pytest.mark.parametrize("which", [0, 1], ids=["an OSRL class", "a new one"])
def test_both_algorithms_of_ones_own_train(tmp_path, monkeypatch, which, proco):
    code = [code for code in PYTHON if "def create" in code][which]
    name = f"readme_{which}_{proco}".lower()
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_KNOWN", dict(registry._KNOWN))
    register(name, name)
    run = train(algo=name, task="OfflineBrake-v0", proco=proco, logdir=str(tmp_path / "run"), **SMALL)
    assert list(run.evaluations["step"]) == [30]
    assert ("feasibility/infeasible" in run.metrics) == (proco and which == 0)
    sys.modules.pop(name)


def test_commands():
    named = set(re.findall(r"^osrl-proco (\w+)", README, re.MULTILINE))
    assert named
    assert named <= _COMMANDS.keys()


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(((?!http|#)[^)]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
