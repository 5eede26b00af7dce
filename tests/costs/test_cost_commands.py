"""`osrl-proco cost check|show`, and the numbers behind feedback and pictures, worked by hand."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import torch

from osrl_proco.cli import main
from osrl_proco.costs import CostFunction
from osrl_proco.costs.language.margins import comparisons, entries_read
from osrl_proco.costs.writing.evidence import Assessment, Evidence, assess
from osrl_proco.costs.writing.profile import profiles
from osrl_proco.costs.writing.prompt import feedback, first_prompt
from osrl_proco.costs.writing.verdict import for_a_person
from osrl_proco.tasks.task import load_task, task_ids

BRAKE = load_task("OfflineBrake")
POINT = load_task("PointGoal1")


def cost(body, task=BRAKE):
    return CostFunction(f"def cost(obs):\n    {body}\n", task)


def write(path, body):
    path.write_text(f"# Mine.\ndef cost(obs):\n    {body}\n")


def run(line, capsys):
    status = main(["cost", *line.split()])
    return status, *capsys.readouterr()


@pytest.mark.parametrize(
    ("body", "status", "verdict"),
    [
        ('return obs["gap"][..., 0] <= 0.3', 0, "Accepted ("),
        ('return obs["gap"][..., 0] <= 0.05', 0, "Accepted; a small margin ("),
        ('return obs["gap"][..., 0] <= 5', 1, "Not accepted: too high"),
        ('return obs["gap"][..., 0] <= -0.1', 1, "Not accepted: misses"),
    ],
)
def test_check_answers_by_exit_status_and_in_words(tmp_path, capsys, body, status, verdict):
    write(tmp_path / "c.py", body)
    got, out, _ = run("check c.py --task OfflineBrake-v0", capsys)
    assert got == status
    assert verdict in out
    assert "Sandbox: " in out
    assert "c.py: finds " in out


def test_the_interval_is_the_users(tmp_path, capsys):
    write(tmp_path / "c.py", 'return obs["gap"][..., 0] <= 0.05')
    status, out, _ = run("check c.py --task OfflineBrake-v0 --p_low 0", capsys)
    assert status == 0
    assert "Accepted (" in out
    assert "a small margin" in run("check c.py --task OfflineBrake-v0 --p_low 0.04", capsys)[1]
    status, _, error = run("check c.py --task OfflineBrake-v0 --p_low 0.5", capsys)
    assert status == 2
    assert "need 0 <= p_low < p_high <= 1" in error


def test_a_function_that_may_not_run_is_one_line(tmp_path, capsys):
    write(tmp_path / "c.py", "return open('x')")
    status, _, error = run("check c.py --task OfflineBrake-v0", capsys)
    assert status == 2
    assert error.startswith("osrl-proco: error: c.py: line 3: ")
    assert "stopped by: " in error
    for missing in ("check no.py --task OfflineBrake-v0", "show no.py --task OfflineBrake-v0"):
        status, _, error = run(missing, capsys)
        assert status == 2
        assert "no.py: no such file" in error


def test_show_prints_the_function_its_scores_and_where_it_fires(tmp_path, capsys):
    status, out, _ = run("show --task OfflinePointRobot-v0 --plot p.png", capsys)
    assert status == 0
    assert 'obs["hazard_gaps"].amin(-1)' in out
    assert "100.00% of " in out
    assert "hazard_gaps, smallest" in out
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    status, _, error = run("show --task OfflineBrake-v0 --plot no/folder.png", capsys)
    assert status == 2
    assert "--plot no/folder.png: could not be written" in error


def test_an_assessment_counts_and_judges_in_the_papers_order():
    evidence = Evidence(torch.tensor([[0.5, 0.0], [1.5, 0.0], [2.5, 0.0], [3.5, 0.0]]), torch.tensor([[-1.0, 0.0]]))
    assert assess(cost('return obs["gap"][..., 0] <= 1'), evidence) == Assessment(1, 1, 4, 1)
    assert Assessment(1, 0, 4, 1).verdict() == "misses"
    assert Assessment(100, 100, 100, 2).verdict() == "too low"
    assert Assessment(100, 100, 100, 3).verdict() == "accepted"
    assert Assessment(100, 100, 100, 20).verdict() == "accepted"
    assert Assessment(100, 100, 100, 21).verdict() == "too high"
    assert Assessment(0, 0, 100, 10).verdict() == "accepted"  # no unsafe state at hand: nothing to miss


@pytest.mark.parametrize(
    ("counts", "inexact", "verdict"),
    [
        ((100, 100, 100, 3), False, "accepted"),
        ((100, 99, 100, 3), False, "misses"),
        ((100, 97, 100, 3), True, "accepted; misses 3 of 100"),
        ((100, 96, 100, 3), True, "misses"),
        ((100, 100, 100, 2), False, "accepted; a small margin"),
        ((100, 97, 100, 2), True, "accepted; misses 3 of 100; a small margin"),
        ((100, 97, 100, 21), True, "too high"),
        ((100, 100, 100, 21), False, "too high"),
        ((0, 0, 100, 2), True, "too low"),  # nothing to find: the margin is all there is to go by
        ((0, 0, 100, 3), False, "accepted"),
        ((1, 0, 100, 3), True, "misses"),
        ((0, 0, 0, 0), False, "too low"),
    ],
)
def test_a_persons_function_may_fall_short_where_that_is_said(counts, inexact, verdict):
    task = dataclasses.replace(BRAKE, inexact="The cart's brakes are not observed." if inexact else "")
    assert for_a_person(Assessment(*counts), task) == verdict


def test_what_was_generated_is_held_to_the_rule_it_was_asked_by(tmp_path, capsys):
    write(tmp_path / "c.py", 'return obs["gap"][..., 0] <= 0.05')
    assert run("check c.py --task OfflineBrake-v0", capsys)[0] == 0
    (tmp_path / "c.py").write_text("# Generated by a model on a day.\n" + (tmp_path / "c.py").read_text())
    status, out, _ = run("check c.py --task OfflineBrake-v0", capsys)
    assert status == 1
    assert "Not accepted: too low" in out


def test_show_says_what_the_sandbox_enforced(tmp_path, capsys):
    write(tmp_path / "c.py", 'return obs["gap"][..., 0] <= 0.3')
    status, out, _ = run("show c.py --task OfflineBrake-v0", capsys)
    assert status == 0
    assert out.startswith("Sandbox: enforced: separate process, ")
    assert run("show --task OfflineBrake-v0", capsys)[1].startswith("Sandbox: not used, the function is the library's")


@pytest.mark.parametrize("action", ["", "generate", "check", "show", "replay"])
def test_help_does_not_wait_for_pytorch(action):
    code = (
        "import sys\nfrom osrl_proco.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    words = [sys.executable, "-c", code, "cost", *([action] if action else []), "--help"]
    out = subprocess.run(words, capture_output=True, text=True, timeout=60).stdout
    assert "usage: osrl-proco cost" in out
    assert out.endswith("False False\n")


def test_both_sides_of_every_comparison_are_seen():
    states = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    body = 'near = obs["gap"][..., 0] < 2\n    return near & (obs["velocity"][..., 0] * 2 >= obs["gap"][..., 0])'
    first, second = comparisons(cost(body), states)
    assert (first.text, first.operator) == ("obs['gap'][..., 0]", "<")
    assert (first.left.tolist(), first.right.tolist()) == ([1, 3], [2, 2])
    assert (second.text, second.operator) == ("obs['velocity'][..., 0] * 2", ">=")
    assert (second.left.tolist(), second.right.tolist()) == ([4, 8], [1, 3])


def test_of_a_vector_the_decisive_component_is_shown():
    states = torch.zeros(2, 60)
    states[:, 28:44] = torch.linspace(0, 1, 16)
    (above,) = comparisons(cost('return (obs["hazards_lidar"] > 0.9).any(dim=-1)', POINT), states)
    assert above.left.tolist() == [1, 1]
    (below,) = comparisons(cost('return (obs["hazards_lidar"] < 0.9).any(dim=-1)', POINT), states)
    assert below.left.tolist() == [0, 0]


def test_a_condition_on_numbers_is_no_comparison_of_states():
    body = 'scale = 2 if 3 > 2 else 5\n    return obs["gap"][..., 0] * scale <= 1'
    assert [c.operator for c in comparisons(cost(body), torch.ones(2, 2))] == ["<="]


def test_the_entries_read_are_those_of_the_text():
    assert entries_read(cost('return obs["velocity"][..., 0] > obs["gap"][..., 0]')) == ["gap", "velocity"]


def test_feedback_says_which_were_missed_and_by_how_much():
    evidence = Evidence(torch.tensor([[float(i), 0.0] for i in range(1, 101)]), torch.tensor([[-1.0, 3.0], [-0.25, 2]]))
    function = cost('return obs["gap"][..., 0] <= -0.5')
    text = feedback(function, evidence, assess(function, evidence), 0.03, 0.2)
    assert "finds 1 of 2 states" in text
    assert "1. gap = -0.25" in text
    assert "obs['gap'][..., 0] <= -0.5: the left side is -0.25 (apart by 0.25)" in text
    assert "- obs['gap'][..., 0]: 50%: 50.5, 20%: 20.8, 10%: 10.9" in text  # the low end is the dangerous one


@pytest.mark.parametrize("task_id", task_ids())
def test_a_prompt_names_every_entry_the_rule_and_the_language(task_id):
    task = load_task(task_id)
    text = first_prompt(task)
    assert all(f'obs["{e.name}"]' in text for e in task.entries)
    assert task.rule in text
    assert task.inexact in text
    assert "def cost(obs):" in text
    example = text.split("```python\n")[1].split("```")[0]
    assert CostFunction(example, task)(torch.zeros(3, task.obs_dim)).shape == (3,)


def test_a_profile_counts_every_state_along_the_telling_quantity():
    torch.manual_seed(0)
    safe, unsafe = torch.rand(500, 60), torch.rand(40, 60)
    unsafe[:, 30] = 1.0
    function = cost('return obs["hazards_lidar"].amax(-1) >= 0.97', POINT)
    (p,) = profiles(function, Evidence(safe, unsafe))
    assert p.label == "hazards_lidar, largest"
    assert int(p.flagged.sum() + p.safe.sum()) == 500
    assert int(p.found.sum()) == 40
    assert int(p.missed.sum()) == 0
    assert int(p.flagged.sum()) == int((safe[:, 28:44].amax(1) >= 0.97).sum())
    assert str(p).count("|") == 2
    (single,) = profiles(cost('return obs["gap"][..., 0] <= 0'), Evidence(torch.ones(3, 2), torch.ones(0, 2)))
    assert single.label == "gap"
    assert int(single.safe.sum()) == 3
