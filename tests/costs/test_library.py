"""The library against the simulators, and the documents against what was measured."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.core.resources import COST_LIBRARY
from osrl_proco.costs import CostFunction, load_cost_function
from osrl_proco.costs.writing.evidence import Assessment, Evidence, assess
from osrl_proco.costs.writing.verdict import for_a_person
from osrl_proco.data.load import load_file
from osrl_proco.data.split import safe_only
from osrl_proco.drivers.collect import drive_episode
from osrl_proco.drivers.controllers import CONTROLLERS
from osrl_proco.envs.make import make_env
from osrl_proco.tasks.task import load_task, task_ids

ROOT = Path(__file__).parents[2]
MEASURED = json.loads((ROOT / "benchmarks" / "results" / "cost_library.json").read_text())["tasks"]
SIMULATED = [i for i in task_ids() if load_task(i).simulator != "embedded"]
# The cost of these follows from the observation; the others' touches and mean velocities do not quite.
EXACT = ("Goal1", "Push1", "Circle1", "Circle2", "Run", "Circle")


def environment(task):
    try:
        return make_env(task)
    except UserError as error:
        pytest.skip(str(error))


def test_every_task_has_a_function_and_every_function_a_task():
    used = [load_task(i).cost_function for i in task_ids()]
    assert sorted(used) == sorted(p.name for p in COST_LIBRARY.glob("*.py"))
    assert len(used) == 31


def test_every_task_of_a_simulator_has_a_driver():
    assert set(SIMULATED) == set(CONTROLLERS)


@pytest.mark.parametrize("task_id", task_ids())
def test_a_function_names_the_task_file_that_it_was_written_against(task_id):
    task = load_task(task_id)
    cost = load_cost_function(task.cost_path, task)
    assert f"configs/tasks/{task.name}.yaml" in cost.provenance
    assert "Conservative: " in cost.provenance


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_in_circle_tasks_the_position_follows_from_lidar_and_magnetometer(robot, level):
    """With the limit put back to the rule's 1.125 m, the function is the simulator's cost, state by state."""
    task = load_task(f"{robot}Circle{level}")
    env = environment(task)
    source = task.cost_path.read_text()
    margin = source.split("x.abs() > ")[1].split(")")[0].split("\n")[0]
    exact = CostFunction(source.replace(f"> {margin}", "> 1.125"), task)
    truth, states = [], []
    for seed in range(60):
        states.append(env.reset(seed=seed)[0])
        inner = env.unwrapped.task
        place = inner.agent.pos[:2]
        truth.append(np.abs(place[: 1 if level == 1 else 2]).max())
        # The agent is placed within 0.8 m; the same observation from farther out is checked by driving, below.
    says = exact(torch.tensor(np.array(states), dtype=torch.float32))
    assert says.tolist() == [float(t > 1.125) for t in truth]


@pytest.mark.slow
@pytest.mark.parametrize("task_id", SIMULATED)
def test_on_an_episode_of_its_driver_the_function_finds_the_simulators_costs(task_id):
    task = load_task(task_id)
    environment(task).close()
    episode = drive_episode(task, seed=11, index=4)
    assert np.isfinite(episode["observations"]).all()
    assert np.abs(episode["actions"]).max() <= 1
    says = load_cost_function(task.cost_path, task)(torch.from_numpy(episode["next_observations"])).numpy() > 0
    unsafe = episode["costs"] > 0
    missed = (unsafe & ~says).sum()
    assert missed == 0 if task.name.endswith(EXACT) else missed <= 0.05 * max(unsafe.sum(), 40)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CarCircle1", "HalfCheetahVelocity", "SwimmerVelocity", "BallRun", "DroneCircle"])
def test_an_episode_is_determined_by_its_seed(name):
    task = load_task(name)
    environment(task).close()
    first, again, other = (drive_episode(task, 3, i) for i in (0, 0, 1))
    assert all(np.array_equal(first[k], again[k]) for k in first)
    assert not np.array_equal(first["actions"][:5], other["actions"][:5])


def test_what_was_measured_covers_every_task_and_is_what_the_documents_show():
    spec = importlib.util.spec_from_file_location("cost_library", ROOT / "benchmarks" / "cost_library.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    assert {r["task"] for r in MEASURED} == {load_task(i).name for i in task_ids()}
    assert benchmark.table(MEASURED) in (ROOT / "docs" / "datasets.md").read_text()


@pytest.mark.parametrize("row", MEASURED, ids=lambda r: r["task"])
def test_the_projects_own_check_accepts_the_projects_own_functions(row):
    """By the figures that were measured; what is short of the paper's rule is said."""
    task = load_task(row["task"])
    safe = row["transitions"] - row["unsafe_transitions"]
    result = Assessment(
        row["unsafe_transitions"],
        row["unsafe_transitions"] - row["missed"],
        safe,
        round(row["safe_called_unsafe"] * safe),
    )
    says = for_a_person(result, task)
    assert says.startswith("accepted")
    assert (says == "accepted") == (result.verdict() == "accepted")
    assert ("misses" in says) == (row["missed"] > 0)


def test_by_the_rule_for_language_models_eleven_would_not_be_accepted():
    short = [r["task"] for r in MEASURED if r["missed"] or not 0.03 <= r["safe_called_unsafe"] <= 0.2]
    assert len(short) == 11


@pytest.mark.parametrize("name", ["OfflineBrake", "OfflinePointRobot"])
def test_the_check_accepts_the_librarys_functions_on_the_embedded_data(name, capsys):
    assert main(["cost", "check", "--task", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Sandbox: enforced: ")
    assert f"{load_task(name).cost_function}: finds " in out
    assert "\nAccepted" in out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SwimmerVelocity", "BallRun"])
def test_the_check_says_the_truth_on_episodes_of_the_simulator(name, tmp_path, capsys):
    task = load_task(name)
    environment(task).close()
    assert main(["data", "collect", "--task", task.id, "--episodes", "12", "--seed", "5", "--out", "d.hdf5"]) == 0
    capsys.readouterr()
    status = main(["cost", "check", "--task", task.id, "--dataset", "d.hdf5"])
    out = capsys.readouterr().out
    parts = safe_only(load_file("d.hdf5", task), 10**9)
    evidence = Evidence.of(parts.safe, parts.unsafe)
    result = assess(load_cost_function(task.cost_path, task), evidence)
    assert result.unsafe > 0
    assert str(result) in out
    assert status == (0 if for_a_person(result, task).startswith("accepted") else 1)
    assert ("The task's file says: " in out) == (status == 0 and result.found < result.unsafe)


@pytest.mark.parametrize("row", MEASURED, ids=lambda r: r["task"])
def test_what_was_measured_is_good_enough(row):
    assert row["unsafe_transitions"] > 0
    if row["task"].endswith(EXACT) or row["simulator"] == "embedded":
        assert row["missed"] == 0
    assert row["found"] >= 0.95 or "Swimmer" in row["task"]
    assert row["safe_called_unsafe"] <= 0.25
    assert not math.isnan(row["lost_within_10"])
