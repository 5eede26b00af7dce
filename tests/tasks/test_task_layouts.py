"""The task files of the navigation tasks against the real simulator: where an entry lies, what it means, the rule."""

from __future__ import annotations

import re

import numpy as np
import pytest

from osrl_proco.envs.make import make_env
from osrl_proco.tasks.task import load_task, task_ids

pytest.importorskip("safety_gymnasium", reason="Safety-Gymnasium is not installed")

NAMES = [f"{r}{t}{level}" for r in ("Point", "Car") for t in ("Goal", "Button", "Push", "Circle") for level in (1, 2)]
SECTORS = 16


@pytest.fixture(scope="module", params=NAMES)
def drive(request):
    """A task, its simulator's own task object, and observations of some steps to and fro."""
    task = load_task(request.param)
    env = make_env(task)

    def steps(count):
        rng = np.random.default_rng(3)
        observation, _ = env.reset(seed=5)
        yield observation
        for i in range(count):
            action = 0.3 * rng.standard_normal(2) + (1 if i // 20 % 2 else -1) * np.array([1.0, 0.7])
            observation, *_ = env.step(np.clip(action, -1, 1).astype(np.float32))
            yield observation

    yield task, env.unwrapped.task, steps
    env.close()


def test_all_sixteen_tasks_are_there():
    assert {load_task(t).name for t in task_ids() if load_task(t).family == "navigation"} == set(NAMES)


def test_every_entry_lies_where_the_simulator_puts_it(drive):
    task, real, steps = drive
    for observation in steps(3):
        real.observation_flatten = False
        named = real.obs()  # the simulator's own dictionary, not its flattening
        real.observation_flatten = True
        assert list(named) == [e.name for e in task.entries]
        assert observation.shape == (task.obs_dim,)
        for entry in task.entries:
            part = observation[entry.start : entry.stop]
            assert part == pytest.approx(np.ravel(named[entry.name]), rel=1e-4, abs=1e-4), entry.name


def lidar(real, positions, reach):
    """What the task files say of a lidar: 1 - distance/reach by sector, and a share of it in the two beside it."""
    readings = np.zeros(SECTORS)
    for position in np.reshape(positions, (-1, 3)):
        offset = np.array([*position[:2], 0.0]) - real.agent.pos
        x, y, _ = real.agent.mat.T @ offset
        closeness = max(0.0, 1 - np.hypot(x, y) / reach)
        sector, share = divmod((np.arctan2(y, x) % (2 * np.pi)) / (2 * np.pi / SECTORS), 1)
        for where, part in ((0, 1.0), (1, share), (-1, 1 - share)):
            at = int(sector + where) % SECTORS
            readings[at] = max(readings[at], part * closeness)
    return readings


def test_every_lidar_and_the_magnetometer_mean_what_the_task_file_says(drive):
    task, real, steps = drive
    seen = 0
    for observation in steps(12):
        entries = {e.name: observation[e.start : e.stop] for e in task.entries}
        north = real.agent.mat[1]  # the world's y axis, in the robot's frame
        assert entries["magnetometer"] == pytest.approx(-0.5 * north, abs=1e-6)
        for name in (n for n in entries if n.endswith("_lidar")):
            positions = getattr(real, name.removesuffix("_lidar")).pos
            expected = lidar(real, positions, 6 if name == "circle_lidar" else 3)
            assert entries[name] == pytest.approx(expected, abs=1e-6), name
            seen += bool(expected.any())
    assert seen


def test_the_rule_has_the_simulators_numbers_and_forbids_what_costs(drive):
    task, real, _ = drive
    forbidding = {o.name: o for o in real._obstacles if o.is_constrained}
    for name, thing in forbidding.items():
        if name in ("hazards", "gremlins", "vases", "pillars"):
            assert re.search(rf"\b{thing.num} (round )?{name}", task.rule), name
        if name == "hazards":
            assert f"{thing.size} m" in task.rule
        if name == "sigwalls":
            assert f"|x| > {thing.locate_factor} m" in task.rule
            assert (f"|y| > {thing.locate_factor} m" in task.rule) == (thing.num == 4)
    assert ("buttons" in forbidding) == ("a button" in task.rule)
    for name in ("vase", "pillar"):
        if hasattr(real, f"{name}s") and f"{name}s" not in forbidding:
            assert f"The {name} is harmless" in task.rule
