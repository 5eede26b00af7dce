"""Films and pictures: they are there, they show what they should, and the numbers beside them are right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from osrl_proco.algorithms.agent import Stateless
from osrl_proco.core.errors import UserError
from osrl_proco.data.transitions import Transitions
from osrl_proco.envs import BrakeEnv, PointRobotEnv, camera
from osrl_proco.envs.make import make_env
from osrl_proco.evaluation import film
from osrl_proco.evaluation.before_violation import before_violation
from osrl_proco.evaluation.drawing import STRIP, caption, draw
from osrl_proco.evaluation.feasible_types import types
from osrl_proco.evaluation.horizon import errors
from osrl_proco.evaluation.teleport import position_map
from osrl_proco.proco.dynamics import Dynamics
from osrl_proco.proco.feasibility import FeasibilityCritic
from osrl_proco.tasks.task import load_task


def still():
    return Stateless(lambda observations: observations[:, :1] * 0)


def test_a_film_has_a_frame_for_every_step_and_the_last_state(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    critic = FeasibilityCritic(2, 1, [8])
    pictures = list(film.frames(still(), load_task("OfflineBrake"), 3, 20, critic=critic))
    assert len(pictures) == 21
    assert len({p.shape for p in pictures}) == 1
    assert film.save(iter(pictures), tmp_path / "new" / "film.mp4") == 21
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "new" / "film.mp4"))
    assert next(reader)["size"] == pictures[0].shape[1::-1]
    assert sum(1 for _ in reader) == 21
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["film.mp4"]


def test_a_long_episode_is_thinned(monkeypatch):
    monkeypatch.setattr(film, "FRAMES", 10)
    assert len(list(film.frames(still(), load_task("OfflineBrake"), 3, 100))) == 11


def test_a_film_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"must end in \.mp4"):
        film.save([], tmp_path / "film.gif")


def test_a_window_needs_a_screen(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match="no screen here"):
        film.show([])


def test_drawings_move_with_the_state_and_show_danger():
    brake, robot = BrakeEnv(), PointRobotEnv()
    red = np.array([0xC8, 0x40, 0x2F])
    for env, safe, unsafe in ((brake, [5.0, 1.0], [-0.2, 1.0]), (robot, [-1.2, 0.0, 0.3, 0.0], [0.0, 0.0, 0.3, 0.0])):
        states = [np.array(s, dtype=np.float32) for s in (safe, unsafe)]
        if env is robot:
            states = [env._states(s[:2].astype(float), s[2:].astype(float)) for s in states]
        first, second = (draw(env, s) for s in states)
        assert (first != second).any()
        assert not (first == red).all(-1).any()
        assert (second == red).all(-1).any()


def test_the_caption_makes_room_below_and_sizes_even():
    shown = caption(np.zeros((101, 201, 3), dtype=np.uint8), 3, 1.5, 2.0, 0.7)
    assert shown.shape == (100 + STRIP, 200, 3)
    assert (shown[:100] == 0).all()
    assert (shown[100:] != 255).any()


def test_missing_graphics_are_one_line(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setitem(__import__("sys").modules, "mujoco.osmesa", None)
    with pytest.raises(UserError, match=r"without a screen \(osmesa: .*libegl1"):
        camera._gl_context(8, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PointGoal1", "HalfCheetahVelocity", "BallCircle"])
def test_simulators_are_seen(name):
    task = load_task(name)
    env = make_env(task, **camera.render_options(task))
    env.reset(seed=1)
    try:
        take = camera.simulator_camera(task, env)
    except UserError as error:
        pytest.skip(str(error))
    pictures = [take()]
    for _ in range(10):
        env.step(env.action_space.high)
    pictures.append(take())
    env.reset(seed=2)  # Safety-Gymnasium builds another world
    pictures.append(take())
    assert all(p.dtype == np.uint8 and p.std() > 10 for p in pictures)
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[1] != pictures[2]).any()


@pytest.mark.slow
def test_the_map_observes_what_is_there():
    task = load_task("PointGoal1")
    env = make_env(task)
    seen = position_map(task, env, 0, cells=15)
    rest, moving = seen.states.values()
    entries = {e.name: slice(e.start, e.stop) for e in task.entries}
    hazards = np.array(env.unwrapped.task.hazards.pos)[:, :2]
    places = np.stack(np.meshgrid(seen.x, seen.y), -1)
    distance = np.linalg.norm(places[:, :, None] - hazards, axis=-1).min(-1)
    assert rest[..., entries["hazards_lidar"]].max(-1) == pytest.approx(np.clip(1 - distance / 3, 0, 1), abs=1e-6)
    assert (seen.unsafe == (distance <= 0.2)).all()
    assert np.linalg.norm(moving[..., entries["velocimeter"]], axis=-1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BallCircle", "CarCircle", "DroneCircle", "AntCircle"])
def test_the_map_of_a_circle_task(name):
    task = load_task(name)
    seen = position_map(task, make_env(task), 0, cells=9)
    assert (seen.unsafe == (np.abs(seen.x) > 6.0)[None]).all()


def test_a_map_is_not_for_every_task():
    with pytest.raises(UserError, match="navigation and Circle"):
        position_map(load_task("OfflineBrake"), None, 0)


def test_types_are_the_papers():
    lost = np.array([True, True, False, False, False])
    truly = np.array([True, False, True, False, False])
    found = types(lost, truly)
    assert (found.same, found.missed, found.false_alarm, found.states) == (0.6, 0.2, 0.2, 5)


class Gap(torch.nn.Module):
    """V = 1 - gap."""

    obs_mean = torch.zeros(2)

    def value(self, states):
        return 1.0 - states[..., 0]


def line(gaps, costs):
    """One episode whose states have these gaps."""
    states = np.stack([gaps, np.zeros(len(gaps))], 1).astype(np.float32)
    ends = np.zeros(len(gaps) - 1, dtype=np.float32)
    ends[-1] = 1.0
    return {
        "observations": states[:-1],
        "next_observations": states[1:],
        "actions": np.zeros((len(gaps) - 1, 1), dtype=np.float32),
        "rewards": np.zeros_like(ends),
        "costs": np.array(costs, dtype=np.float32),
        "terminals": np.zeros_like(ends),
        "timeouts": ends,
    }


def test_v_is_aligned_on_the_first_violation():
    parts = [line([5, 3, 2, 0.5, 0, 0], [0, 0, 0, 1, 1]), line([9, 8, 7], [0, 0]), line([2, 0], [1])]
    data = Transitions.from_arrays({k: np.concatenate([p[k] for p in parts]) for k in parts[0]})
    found = before_violation(Gap(), data, horizon=2)
    np.testing.assert_allclose(found.episodes, [[-1.0, 0.5, 1.0], [np.nan, np.nan, 1.0]])
    np.testing.assert_allclose(found.rest, [-7.0, -6.0])
    rows = {row["steps_to_violation"]: row for row in found.rows()}
    assert (rows[1]["episodes"], rows[0]["episodes"], rows[0]["called_lost"]) == (1, 2, 1.0)


def test_errors_over_the_horizon_against_standing_still():
    data = Transitions.from_arrays(BrakeEnv(episodes=20).get_dataset())
    model = Dynamics(2, 1, [8], members=3, elites=2)
    for parameter in model.parameters():
        parameter.data.zero_()  # predicts no change: the same as standing still
    rows = errors(model, data, 4)
    assert [row["steps"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row["model"] == pytest.approx(row["still"], rel=1e-5)
    assert rows[3]["still"] > 2 * rows[0]["still"]
    with pytest.raises(UserError, match="no recorded episode has so many steps"):
        errors(model, data, 101)
