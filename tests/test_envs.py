"""The embedded tasks: their truth against independent oracles, their interfaces, their data."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.data.split import safe_only
from osrl_proco.data.transitions import Transitions
from osrl_proco.envs import BrakeEnv, PointRobotEnv, register_embedded
from osrl_proco.envs.reachability import Axis, cached, solve, transition_matrices

register_embedded()
SETTINGS = [{}, {"wall": 20.0, "a_max": 4.0}, {"a_max": 1.0, "dt": 0.05, "v_max": 3.0}]


@pytest.mark.parametrize("kwargs", SETTINGS)
def test_the_closed_form_is_what_full_braking_does(kwargs):
    env = BrakeEnv(**kwargs)
    rng = np.random.default_rng(0)
    states = np.stack([rng.uniform(0, env.wall, 20_000), rng.uniform(-1, 1, 20_000) * env.v_max], 1).astype(np.float32)
    expected = states[:, 0] > 0
    state = states
    for _ in range(int(env.v_max / env.a_max / env.dt) + 2):
        state, _ = env.advance(state, -np.ones((len(state), 1), np.float32))
        expected &= state[:, 0] > 0
    assert (env.is_feasible(states) == expected).mean() > 0.9999  # float32 on the very boundary


@given(st.floats(0, 10), st.floats(-5, 5), st.floats(0, 3), st.floats(0, 3))
@settings(max_examples=200, deadline=None)
def test_more_room_and_less_speed_never_make_it_lost(gap, velocity, room, slower):
    env = BrakeEnv()
    states = np.array([[gap, velocity], [gap + room, velocity], [gap, velocity - slower]])
    here, further, calmer = env.is_feasible(states)
    assert not here or (further and calmer)


@given(st.floats(0.01, 10), st.floats(-5, 5))
@settings(max_examples=200, deadline=None)
def test_a_feasible_state_has_a_feasible_successor(gap, velocity):
    env = BrakeEnv()
    state = np.array([[gap, velocity]], dtype=np.float32)
    if env.is_feasible(state - np.array([[1e-4, 0]], dtype=np.float32))[0]:
        assert env.is_feasible(env.advance(state, np.array([[-1.0]]))[0])[0]


def test_the_solver_agrees_with_the_closed_form():
    env = BrakeEnv()
    axis = Axis(np.linspace(-4.0, 10.0, 281), np.linspace(-5.0, 5.0, 101))

    def step(gap, velocity, action):
        states, _ = env.advance(np.stack([gap, velocity], 1), np.full((len(gap), 1), action))
        return states[:, 0].astype(np.float64), states[:, 1].astype(np.float64)

    gap, velocity = axis.mesh()
    one = torch.eye(1)
    value = solve(
        torch.as_tensor(-gap, dtype=torch.float32)[:, None], transition_matrices(axis, step), [one], progress=False
    )
    inside = (gap > 0) & (gap < 9.5)
    says, truth = value[:, 0].numpy() < 0, env.is_feasible(np.stack([gap, velocity], 1))
    wrong = np.abs(gap[inside & (says != truth)] - np.maximum(velocity, 0)[inside & (says != truth)] ** 2 / 4)
    assert (says == truth)[inside].mean() > 0.985
    assert wrong.max() < 0.2  # only next to the boundary


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    env = PointRobotEnv()
    env.is_feasible(env.initial_states(np.random.default_rng(0), 1))
    yield env
    patch.undo()


@pytest.mark.slow
def test_the_robots_truth_against_a_search_over_action_sequences(robot):
    """From states called feasible a search finds a safe way; from states called lost by a margin it finds none."""
    rng = np.random.default_rng(1)
    positions, velocities = rng.uniform(-1.2, 1.2, (6000, 2)), rng.uniform(-1, 1, (6000, 2))
    states = robot._states(positions, velocities)
    value = robot.value(states)
    near = np.abs(value) < 0.3
    kinds = {"feasible": near & (value < -0.02), "lost": near & (value > 0.06) & ~robot.is_unsafe(states)}
    for kind, chosen in kinds.items():
        start = states[chosen][:250]
        assert len(start) > 30
        safe = np.zeros(len(start), bool)
        for angle in np.linspace(0, 2 * np.pi, 32, endpoint=False):  # push one way, then brake
            for hold in (0, 2, 4, 8, 16):
                state, alive = start, np.ones(len(start), bool)
                for t in range(45):
                    push = np.array([np.cos(angle), np.sin(angle)]) * np.sqrt(2)
                    brake = -state[:, 2:4] / (robot.a_max * robot.dt)
                    state, _ = robot.advance(
                        state, np.clip(push if t < hold else brake, -1, 1) + np.zeros((len(state), 2))
                    )
                    alive &= ~robot.is_unsafe(state)
                safe |= alive
        assert safe.mean() > 0.97 if kind == "feasible" else safe.mean() < 0.01, (kind, safe.mean())


@pytest.mark.slow
def test_the_solution_is_computed_once(robot, monkeypatch):
    monkeypatch.setattr("osrl_proco.envs.point_robot.solve", lambda *a: pytest.fail("solved again"))
    assert PointRobotEnv().is_feasible(robot.get_dataset()["observations"][:5]).shape == (5,)


def test_a_damaged_cache_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cached("k", lambda: np.arange(3)).tolist() == [0, 1, 2]
    assert cached("k", lambda: np.zeros(1)).tolist() == [0, 1, 2]
    (file,) = (tmp_path / "osrl_proco").iterdir()
    file.write_bytes(file.read_bytes()[:20])
    assert cached("k", lambda: np.arange(4)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("task", ["OfflineBrake-v0", "OfflinePointRobot-v0"])
def test_gymnasium_and_dsrl_find_what_they_expect(task):
    env = gym.make(task)
    check_env(env.unwrapped, skip_render_check=True)
    first, _ = env.reset(seed=3)
    again, _ = env.reset(seed=3)
    assert np.array_equal(first, again)
    for _ in range(env.spec.max_episode_steps):
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
    assert truncated
    assert not terminated
    assert info["cost"] in (0.0, 1.0)
    env.unwrapped.set_target_cost(10)
    base = env.unwrapped
    assert base.get_normalized_score(base.max_episode_reward, 5.0) == (1.0, 0.5)


@pytest.mark.parametrize("env_class", [BrakeEnv, PointRobotEnv])
def test_the_dataset_comes_from_its_seed_and_chains(env_class):
    data, again, other = (env_class(dataset_seed=s).get_dataset() for s in (1, 1, 2))
    assert all(np.array_equal(data[k], again[k]) for k in data)
    assert not np.array_equal(data["actions"], other["actions"])
    inner = data["timeouts"][:-1] == 0
    assert np.array_equal(data["next_observations"][:-1][inner], data["observations"][1:][inner])


@pytest.mark.parametrize("kwargs", SETTINGS)
def test_the_safe_split_has_near_misses_and_no_violation(kwargs):
    env = BrakeEnv(**kwargs)
    split = safe_only(Transitions.from_arrays(env.get_dataset()))
    states, reached = split.safe.observations.numpy(), split.safe.next_observations.numpy()
    assert not env.is_unsafe(states).any()
    assert not env.is_unsafe(reached).any()
    assert 0.01 < (~env.is_feasible(states)).mean() < 0.2
    assert len(split.unsafe) == 100
    assert env.is_unsafe(split.unsafe.next_observations.numpy()).all()


def test_parameters_are_keyword_arguments():
    assert gym.make("OfflineBrake-v0", wall=20.0, a_max=3.0).unwrapped.wall == 20.0
    assert gym.make("OfflinePointRobot-v0", hazards=((0.0, 0.0, 0.2),)).observation_space.shape == (5,)
