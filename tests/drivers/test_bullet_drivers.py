"""Bullet's scripted drivers do what their character says: the careful stay safe and get on, the reckless do not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from osrl_proco.drivers.bullet import BULLET
from osrl_proco.drivers.character import Character
from osrl_proco.envs.make import make_env
from osrl_proco.tasks.task import load_task

warnings.simplefilter("ignore")
CAREFUL = Character(reach=0.6, push=2.8, throttle=0.8, noise=0.05)
RECKLESS = Character(reach=0.3, push=0.0, throttle=0.95, noise=0.05)


def drive(task_id: str, who: Character) -> tuple[float, float, np.ndarray]:
    """Return, cost and actions of one episode."""
    pytest.importorskip("bullet_safety_gym", reason="bullet_safety_gym is not installed")
    env, rng = make_env(load_task(task_id)), np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    total = cost = 0.0
    ended, actions = False, []
    while not ended:
        actions.append(BULLET[task_id](env, observation, who, rng))
        observation, reward, terminated, truncated, info = env.step(actions[-1])
        total, cost, ended = total + float(reward), cost + float(info.get("cost", 0) > 0), terminated or truncated
    env.close()
    return total, cost, np.array(actions)


@pytest.mark.parametrize("task_id", BULLET)
def test_a_careful_driver_is_safe_and_a_reckless_one_is_paid_more(task_id):
    careful, careful_cost, actions = drive(task_id, CAREFUL)
    reckless, reckless_cost, _ = drive(task_id, RECKLESS)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1
    assert careful_cost <= 10 < reckless_cost
    assert reckless > careful > 0.25 * make_env(load_task(task_id)).unwrapped.max_episode_reward
