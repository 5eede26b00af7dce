"""The embedded tasks: their truth against independent oracles, their interfaces, their data."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.core.errors import UserError
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


def depth_of_the_best_way(env, states, rng, seconds=2.4):
    """How deep (m) the best way found enters a hazard: an upper bound of V that knows nothing of the solver.
    Pairs of constant pushes, then the cross-entropy method from the best of them; each way ends in full braking."""
    length = int(seconds / env.dt)
    pushes = [np.array([i, j]) for i in (-1.0, 0.0, 1.0) for j in (-1.0, 0.0, 1.0)]
    plans = np.stack(
        [np.where(np.arange(length)[:, None] < h, a, b) for a in pushes for b in pushes for h in (3, 7, 13)]
    )

    def depth(plan):  # (states, plans, length, 2)
        shape = plan.shape[:2]
        state = np.broadcast_to(states[:, None], (*shape, states.shape[1])).reshape(-1, states.shape[1])
        worst = -state[:, 4:].min(1)
        for t in range(length + int(env.v_max / env.a_max / env.dt) + 2):
            brake = -state[:, 2:4] / (env.a_max * env.dt)
            action = plan[:, :, t].reshape(-1, 2) if t < length else brake
            state, _ = env.advance(state, np.clip(action, -1, 1))
            worst = np.maximum(worst, -state[:, 4:].min(1))
        return worst.reshape(shape)

    plan = np.broadcast_to(plans, (len(states), *plans.shape))
    best = np.full(len(states), np.inf)
    for _ in range(6):
        found = depth(plan)
        order = found.argsort(1)[:, :12]
        best = np.minimum(best, found.min(1))
        elite = np.take_along_axis(plan, order[:, :, None, None], 1)
        noise = rng.standard_normal((len(states), 96, length, 2)) * (elite.std(1) + 0.1)[:, None]
        plan = np.concatenate([elite[:, :1], np.clip(elite.mean(1)[:, None] + noise, -1, 1)], 1)
    return best


def states_near_the_boundary(env, centre, rng, count=300):
    positions = np.array(centre) + rng.uniform(-1.3, 1.3, (20_000, 2))
    states = env._states(positions, rng.uniform(-1, 1, (20_000, 2)) * env.v_max)
    return states[(np.abs(env.value(states)) < 0.15) & ~env.is_unsafe(states)][:count]


ROBOTS = [
    ({}, (0, 0)),
    pytest.param({"hazards": ((2.6, 0.0, 0.5),)}, (2.6, 0.0), marks=pytest.mark.slow),  # far from the origin
    pytest.param({"a_max": 2.0, "v_max": 1.5, "dt": 0.05}, (0, 0), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kwargs", "centre"), ROBOTS)
def test_the_robots_truth_against_a_search_over_action_sequences(robot, kwargs, centre):
    """From states called feasible a search finds a safe way; from states called lost by a margin it finds none."""
    env, rng = PointRobotEnv(**kwargs), np.random.default_rng(1)
    states = states_near_the_boundary(env, centre, rng)
    value, found = env.value(states), depth_of_the_best_way(env, states, rng)
    assert (value < -0.005).sum() > 100
    assert (value > 0.03).sum() > 15
    assert (found < 0)[value < -0.005].mean() > 0.99
    assert not (found < 0)[value > 0.03].any()
    assert np.median(np.abs(value - found)) < 0.005


@pytest.mark.slow
def test_a_hazard_far_from_the_origin_is_as_dangerous(robot):
    """The same states, moved with the hazard: the truth must not depend on where the hazard lies."""
    here, there = PointRobotEnv(hazards=((0.0, 0.0, 0.5),)), PointRobotEnv(hazards=((8.0, -6.0, 0.5),))
    rng = np.random.default_rng(2)
    positions, velocities = rng.uniform(-3, 3, (4000, 2)), rng.uniform(-1, 1, (4000, 2))
    first = here.is_feasible(here._states(positions, velocities))
    second = there.is_feasible(there._states(positions + np.array([8.0, -6.0]), velocities))
    assert (first == second).mean() > 0.999
    assert 0.02 < (~first).mean() < 0.2


def test_beyond_the_braking_distance_of_all_hazards_every_state_is_feasible(robot):
    angle = np.linspace(0, 2 * np.pi, 200)
    outwards = np.stack([np.cos(angle), np.sin(angle)], 1)
    for distance in (3.0, 50.0):
        assert robot.is_feasible(robot._states(outwards * distance, -outwards)).all()


def test_the_solution_is_computed_once(robot, monkeypatch):
    monkeypatch.setattr("osrl_proco.envs.point_robot.solve", lambda *a: pytest.fail("solved again"))
    assert PointRobotEnv().is_feasible(robot.get_dataset()["observations"][:5]).shape == (5,)


def test_a_damaged_cache_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cached("k", lambda: np.arange(3)).tolist() == [0, 1, 2]
    assert cached("k", lambda: np.zeros(1)).tolist() == [0, 1, 2]
    (file,) = (tmp_path / "osrl_proco").iterdir()
    whole = file.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    for damaged in (whole[:20], flipped, b"", b"PK\x03\x04 not an array"):
        file.write_bytes(damaged)
        assert cached("k", lambda: np.arange(4)).tolist() == [0, 1, 2, 3]
        assert cached("k", lambda: pytest.fail("not kept")).tolist() == [0, 1, 2, 3]


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def full_disk(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    assert cached("k", lambda: np.arange(3)).tolist() == [0, 1, 2]
    assert list((tmp_path / "osrl_proco").iterdir()) == []


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


@pytest.mark.parametrize(
    ("env_class", "kwargs", "named"),
    [
        (BrakeEnv, {"a_max": 0.0}, "a_max=0"),
        (BrakeEnv, {"wall": float("nan")}, "wall=nan"),
        (PointRobotEnv, {"dt": -0.1}, "dt=-0.1"),
        (PointRobotEnv, {"hazards": ()}, "hazards="),
        (PointRobotEnv, {"hazards": ((0, 0), (1, 1), (2, 2))}, "hazards="),  # as many numbers as two hazards
        (PointRobotEnv, {"hazards": ((0, 0, -1),)}, "radius=-1"),
        (PointRobotEnv, {"goal": (1, 2, 3)}, "goal="),
    ],
)
def test_a_wrong_parameter_is_named_in_one_line(env_class, kwargs, named):
    with pytest.raises(UserError) as error:
        env_class(**kwargs)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_starts_are_feasible_wherever_the_hazards_lie(robot):
    env = PointRobotEnv(hazards=((-1.3, 0.0, 0.3), (-0.8, 0.6, 0.2)))
    starts = env.initial_states(np.random.default_rng(0), 2000)
    assert env.is_feasible(starts).all()
    with pytest.raises(UserError, match="no room to start"):
        PointRobotEnv(hazards=((-1.3, 0.0, 2.0),)).reset(seed=0)


def test_cutting_through_the_hazards_pays_better_than_the_detour():
    env, count = PointRobotEnv(), 400

    def drive(reach):
        rng = np.random.default_rng(0)
        state = env.initial_states(rng, count)
        who = {"cruise": np.full(count, env.v_max), "reach": np.full(count, reach), "noise": np.zeros(count)}
        returns, unsafe = np.zeros(count), np.zeros(count, bool)
        for _ in range(env.episode_len):
            state, rewards = env.advance(state, np.clip(env.behave(state, who, rng), -1, 1))
            returns += rewards
            unsafe |= env.is_unsafe(state)
        return returns.mean(), unsafe.mean()

    reckless, careful = drive(1e-6), drive(0.7)
    assert careful[1] == 0.0
    assert reckless[1] > 0.9
    assert reckless[0] > 1.04 * careful[0]


def test_the_robots_safe_split_has_near_misses_and_no_violation(robot):
    split = safe_only(Transitions.from_arrays(robot.get_dataset()))
    states, reached = split.safe.observations.numpy(), split.safe.next_observations.numpy()
    assert not robot.is_unsafe(states).any()
    assert not robot.is_unsafe(reached).any()
    assert 0.01 < (~robot.is_feasible(states)).mean() < 0.1
    assert len(split.unsafe) == 100


@pytest.mark.parametrize("goal", [(1.5, 0.0), (0.0, 1.5), (-1.5, 2.0)])
def test_a_normalised_reward_of_one_means_the_way_to_the_goal(goal):
    env = PointRobotEnv(goal=goal)
    starts = env.initial_states(np.random.default_rng(0), 5000)
    way = np.linalg.norm(starts[:, :2] - np.array(goal), axis=1).mean()
    assert env.max_episode_reward == pytest.approx(way, rel=0.15)
