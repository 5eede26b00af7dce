"""Cost functions: honest ones mean what they say, all others are refused, and a broken state is never safe."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.core.errors import UserError
from osrl_proco.costs import CostFunction, LanguageError, load_cost_function
from osrl_proco.envs import BrakeEnv, PointRobotEnv
from osrl_proco.tasks.task import load_task, task_ids

POINT = load_task("PointGoal1")
HEAD = "def cost(obs):\n    "


def cost(body, task=POINT):
    return CostFunction(HEAD + body.replace("\n", "\n    "), task)


HONEST = {
    'return obs["hazards_lidar"].amax(-1) >= 0.9': lambda o: o["hazards_lidar"].amax(-1) >= 0.9,
    'return torch.norm(obs["velocimeter"][..., :2], dim=-1) > 1.5': lambda o: (
        o["velocimeter"][..., :2].norm(dim=-1) > 1.5
    ),
    'near = obs["hazards_lidar"] > 0.8\nfast = obs["velocimeter"][..., 0] > 0.5\nreturn near.any(dim=-1) & fast': (
        lambda o: (o["hazards_lidar"] > 0.8).any(-1) & (o["velocimeter"][..., 0] > 0.5)
    ),
    'total = 0.0\nfor i in range(3):\n    total += obs["gyro"][..., i] ** 2\nreturn total > 1': (
        lambda o: (o["gyro"] ** 2).sum(-1) > 1
    ),
    'd = 3 * (1 - obs["hazards_lidar"].max(dim=-1))\nreturn torch.where(d < 0.3, 1.0, 0.0)': (
        lambda o: 3 * (1 - o["hazards_lidar"].amax(-1)) < 0.3
    ),
    'scale = 2 if 3 > 2 else 5\nreturn ~(obs["gyro"][..., 2].abs() * scale < 1)': lambda o: (
        ~(o["gyro"][..., 2].abs() * 2 < 1)
    ),
}


def entries(observations, task=POINT):
    return {e.name: observations[..., e.start : e.stop] for e in task.entries}


@pytest.mark.parametrize("text", HONEST)
def test_an_honest_function_is_its_plain_python(text):
    observations = torch.randn(500, 60)
    observations[:, 28:44] = torch.rand(500, 16)
    function = cost(text)
    expected = HONEST[text](entries(observations)).float()
    assert 0 < expected.mean() < 1
    assert torch.equal(function(observations), expected)
    assert torch.equal(function(observations.reshape(5, 100, 60)), expected.reshape(5, 100))
    assert function(observations[3]) == expected[3]
    assert function(observations[:0]).shape == (0,)


@given(
    st.recursive(
        st.one_of(st.floats(-2, 2).map(lambda x: f"{x:.3f}"), st.sampled_from(["a", "b"])),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
            inner.map(lambda x: f"(-{x})"),
            inner.map(lambda x: f"torch.tanh(0.0 * a + {x})"),
            st.tuples(inner, inner).map(lambda t: f"torch.minimum(0.0 * a + {t[0]}, 0.0 * b + {t[1]})"),
            st.tuples(inner, inner).map(lambda t: f"torch.where({t[0]} + a > {t[1]}, 0.0 * a + 1.0, b)"),
        ),
        max_leaves=12,
    )
)
@settings(deadline=None, max_examples=150)
def test_generated_honest_functions_are_bitwise_plain_python(expression):
    a_b = 'a = obs["gap"][..., 0]\nb = obs["velocity"][..., 0]\n'
    body = a_b + f"return ({expression}) + 0.0 * a > 0.1"
    observations = torch.randn(64, 2)
    names = {"torch": torch, "a": observations[..., 0], "b": observations[..., 1]}
    expected = eval(f"({expression}) + 0.0 * a > 0.1", names)  # our own generated text
    assert torch.equal(cost(body, load_task("OfflineBrake"))(observations), expected.float())


WRONG_RESULTS = {
    "return 1": "one value per state",
    'return obs["gyro"]': "returned shape",
    'return obs["gyro"].sum(dim=-1, keepdim=True) > 0': "returned shape",
    'return obs["gyro"].sum() > 0': "needs a dim",
    'return obs["gyro"].mean(dim=0) > 0': "count dim from the end",
    'return obs["gyro"][0] > 0': "last axis only",
    'return obs["nothing"]': "has no entry 'nothing'",
    'if obs["gyro"][..., 0] > 1:\n    x = 1\nreturn x': "torch.where",
    'return 0 < obs["gyro"][..., 0] < 1': "two values at a time",
    'x = obs["gyro"][..., 0] > 1': "ends without return",
    "return torch.ones_like(3.0)": "shape",
}


@pytest.mark.parametrize("body", WRONG_RESULTS)
def test_a_result_that_is_not_one_label_per_state_is_refused(body):
    with pytest.raises(LanguageError, match=WRONG_RESULTS[body]):
        cost(body)(torch.randn(4, 60))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_state_that_is_not_finite_is_unsafe(bad):
    observations = torch.zeros(3, 60)
    observations[1, 5] = bad
    assert cost('return obs["hazards_lidar"].amax(-1) >= 0.9')(observations).tolist() == [0, 1, 0]


def test_a_label_that_is_neither_zero_nor_one_is_unsafe():
    function = cost('x = obs["gyro"][..., 0]\nreturn x / x')
    observations = torch.zeros(2, 60)
    observations[1, 6] = 3.0
    assert function(observations).tolist() == [1, 1]  # 0/0 and 1
    assert cost('return obs["gyro"][..., 0] * 0 - 5')(observations).tolist() == [1, 1]


def test_the_observation_is_not_changed_and_gradients_do_not_flow():
    observations = torch.randn(5, 60, requires_grad=True)
    before = observations.detach().clone()
    label = cost('return obs["gyro"].sum(dim=-1) > 0')(observations)
    assert not label.requires_grad
    assert torch.equal(observations, before)


def test_the_result_of_a_state_does_not_depend_on_the_others():
    function = load_cost_function(POINT.cost_path, POINT)
    observations = torch.rand(64, 60)
    order = torch.randperm(64)
    assert torch.equal(function(observations[order]), function(observations)[order])
    assert torch.equal(torch.stack([function(o) for o in observations]), function(observations))


@pytest.mark.parametrize("task_id", task_ids())
def test_every_task_with_a_cost_function_has_one_that_loads_and_says_where_it_comes_from(task_id):
    task = load_task(task_id)
    function = load_cost_function(task.cost_path, task)
    assert "written by hand" in function.provenance.lower() or "generated" in function.provenance.lower()
    assert function(torch.zeros(2, task.obs_dim)).shape == (2,)


@pytest.mark.parametrize(("name", "env"), [("OfflineBrake", BrakeEnv()), ("OfflinePointRobot", PointRobotEnv())])
def test_the_embedded_tasks_functions_find_every_violation_and_little_else(name, env):
    task = load_task(name)
    states = env.get_dataset()["next_observations"]
    says = load_cost_function(task.cost_path, task)(torch.as_tensor(states)).numpy() > 0
    truth = env.is_unsafe(states)
    assert says[truth].all()
    assert says[~truth].mean() < 0.05


@pytest.mark.parametrize("text", ["", "not python at all (", "def cost(obs):\n    return obs['gap']"])
def test_a_bad_file_is_one_line(tmp_path, text):
    (tmp_path / "c.py").write_text(text)
    with pytest.raises(UserError, match=r"c\.py: ") as raised:
        load_cost_function(tmp_path / "c.py", load_task("OfflineBrake"))
    assert "\n" not in str(raised.value)
