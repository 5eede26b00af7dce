"""Safety-Gymnasium's patched simulator against the release, bit for bit.

The release runs with the diffs 0001 to 0004, without which Python ≥ 3.11, NumPy 2 and MuJoCo 4 run no task of it. The
scripted drivers act, so that goals are reached, buttons pressed and boxes pushed. Each arm is a process of its own.
"""

import importlib.metadata
import shutil
from pathlib import Path

import pytest
from releases import needs, run
from test_patches import SAFETY_GYMNASIUM

from osrl_proco.core.resources import PATCHES

# Prints a line for each task: what happened, and digests of observations, rewards, flags, infos and random states.
ROLL = """
import hashlib, pathlib, sys, warnings
warnings.simplefilter("ignore")
import osrl_proco
from osrl_proco.upstream import compat
compat.PATCHES = pathlib.Path({patches!r})
import numpy as np
import safety_gymnasium.bases.underlying as underlying
assert hasattr(underlying, "FORWARD_IS_IDEMPOTENT") == {patched}, "the wrong arm"
from osrl_proco.drivers.character import Character
from osrl_proco.drivers.controllers import controller
from osrl_proco.envs.make import make_env
from osrl_proco.tasks.task import load_task
for name in {tasks}:
    env, drive, rng = make_env(load_task(name)), controller(name), np.random.default_rng(0)
    digests = [hashlib.sha256() for _ in range(5)]
    cost, goals, steps, ends = 0.0, 0, {steps}, 0
    def see(observation, *others):
        digests[0].update(repr((observation.dtype, observation.shape)).encode() + observation.tobytes())
        for digest, what in zip(digests[1:], others):
            digest.update(repr(what).encode())  # with the type: np.float64(0.0), 0.0 and 0 are told apart
    for seed in (0, 1):
        who = Character(reach=0.3, push=0.5 * seed, throttle=1.0, noise=0.3)
        observation, info = env.reset(seed=seed)
        see(observation, 0, 0, info)
        for _ in range(steps):
            action = drive(env, observation, who, rng)
            observation, reward, terminated, truncated, info = env.step(action)
            see(observation, reward, (terminated, truncated), list(info.items()))
            cost, goals = cost + info["cost"], goals + info.get("goal_met", False)
            if terminated or truncated:
                ends += 1
                observation, _ = env.reset()
        task = getattr(env.unwrapped, "task", None)
        draws = task.random_generator.random_generator if task else env.unwrapped.np_random.bit_generator
        digests[4].update(repr(draws.get_state() if task else draws.state).encode())
    print(name, cost, goals, ends, *(digest.hexdigest()[:16] for digest in digests))
"""


def release(folder: Path, last: int) -> Path:
    """A folder of patches with those of Safety-Gymnasium's up to number `last`."""
    shutil.copytree(PATCHES, folder)
    for diff in (folder / "safety-gymnasium-0.4.0").glob("*.diff"):
        if int(diff.name[:4]) > last:
            diff.unlink()
    return folder


def compare(tasks: list[str], steps: int, stock: Path) -> list[str]:
    """Run both arms and hold them together; the lines that they printed."""
    needs("dsrl")
    needs("safety-gymnasium")
    pytest.importorskip("mujoco")
    if importlib.metadata.version("gymnasium") != "0.28.1":
        pytest.skip("safety-gymnasium 0.4.0 runs with gymnasium 0.28.1 only")
    arms = [
        run(ROLL.format(patches=str(patches), patched=patched, tasks=tasks, steps=steps))
        for patches, patched in ((PATCHES, True), (stock, False))
    ]
    assert [arm.returncode for arm in arms] == [0, 0], arms[0].stderr + arms[1].stderr
    seen, expected = (arm.stdout.splitlines() for arm in arms)
    assert seen == expected
    assert len(seen) == len(tasks)
    return seen


@pytest.mark.slow
def test_three_tasks_are_the_same_bit_for_bit(tmp_path):
    tasks = ["OfflinePointGoal2Gymnasium-v0", "OfflineCarButton2Gymnasium-v0", "OfflinePointPush2Gymnasium-v0"]
    lines = compare(tasks, 100, release(tmp_path / "patches", 5))  # with 0005, as decoding the sky takes seconds
    print(*lines, sep="\n")
    assert any(float(line.split()[1]) > 0 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("task", SAFETY_GYMNASIUM)
def test_every_task_is_the_same_bit_for_bit(task, tmp_path):
    print(*compare([task], 600, release(tmp_path / "patches", 4)))
