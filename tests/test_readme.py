"""The README's Python runs, its YAML and cost function are real, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from osrl_proco.cli import _COMMANDS
from osrl_proco.costs import CostFunction
from osrl_proco.tasks.task import load_task

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", [code for kind, code in BLOCKS if kind == "python"])
def test_python_blocks(code, capsys):
    if code.lstrip().startswith("#"):
        CostFunction(code, load_task("PointGoal1"))
        return
    exec(code, {})
    assert capsys.readouterr().out == "FeasibilityCritic 0.0\n"


def test_commands():
    named = set(re.findall(r"^osrl-proco (\w+)", README, re.MULTILINE))
    assert named
    assert named <= _COMMANDS.keys()


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(((?!http|#)[^)]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
