"""How far from its boundary a cost function is: margins by hand, and their sign against the function's own answer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.costs import CostFunction, load_cost_function
from osrl_proco.costs.language.robustness import robustness, slopes
from osrl_proco.tasks.task import load_task, task_ids

TASK = load_task("OfflineBrake-v0")  # entries: gap, velocity
STATES = torch.tensor([[3.0, 1.0], [-1.0, 2.0], [0.5, -4.0]])


def function(expression, *lines):
    body = "".join(f"    {line}\n" for line in lines)
    head = '    g = obs["gap"][..., 0]\n    v = obs["velocity"][..., 0]\n    s = torch.where(g > 0, 1.0, 0.0)\n'
    return CostFunction(f"def cost(obs):\n{head}{body}    return {expression}\n", TASK)


@pytest.mark.parametrize(
    ("expression", "margins"),
    [
        ("g <= 1", [[-2], [2], [0.5]]),
        ("g >= 1", [[2], [-2], [-0.5]]),
        ("(g <= 1) | (v > 1.5)", [[-2, -0.5], [2, 0.5], [0.5, -5.5]]),  # kept apart
        ("(g <= 1) & (v > 1.5)", [[-2], [0.5], [-5.5]]),
        ("~(g <= 1)", [[2], [-2], [-0.5]]),
        ("~((g <= 1) | (v > 1.5))", [[0.5], [-2], [-0.5]]),
        ("1 - (g <= 1).float()", [[2], [-2], [-0.5]]),
        ("(g <= 1).float() * (v > 1.5).float()", [[-2], [0.5], [-5.5]]),
        ("torch.maximum((g <= 1).float(), (v > 1.5).float())", [[-2, -0.5], [2, 0.5], [0.5, -5.5]]),
        ("torch.logical_xor(g <= 1, v > 1.5)", [[-0.5], [-0.5], [0.5]]),
        ("torch.where(g <= 1, v > 1.5, v > 0)", [[1], [0.5], [-4]]),
        ("torch.where(g <= 1, 1.0, 0.0)", [[-2], [2], [0.5]]),
        ("torch.where(g <= 1, 1.0, 0.0) > 0.5", [[-2], [2], [0.5]]),
        ("torch.where(g <= 1, 1.0, 0.0) < 0.5", [[2], [-2], [-0.5]]),
        ("(g - v).abs() > 2", [[0], [1], [2.5]]),
    ],
)
def test_margins_by_hand(expression, margins):
    assert torch.allclose(robustness(function(expression), STATES), torch.tensor(margins, dtype=torch.float32))


def test_any_and_all_over_an_entry():
    task = load_task("OfflinePointGoal1Gymnasium-v0")
    (lidar,) = [e for e in task.entries if e.name == "hazards_lidar"]
    states = torch.zeros(2, task.obs_dim)
    states[0, lidar.start : lidar.stop] = torch.linspace(0.1, 0.85, lidar.stop - lidar.start)
    states[1, lidar.start : lidar.stop] = 0.95
    for reduced, expected in (("any", [-0.05, 0.05]), ("all", [-0.8, 0.05])):
        cost = CostFunction(f'def cost(obs):\n    return (obs["hazards_lidar"] >= 0.9).{reduced}(-1)\n', task)
        assert robustness(cost, states)[:, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_shape_of_the_batch_is_kept():
    margins = robustness(function("(g <= 1) | (v > 1.5)"), STATES.expand(4, 3, 2))
    assert margins.shape == (4, 3, 2)


def test_a_sum_of_truths_has_no_margin():
    assert robustness(function("(s + (v > 0).float()).clamp(max=1)"), STATES) is None


def test_many_alternatives_become_one():
    margins = robustness(function(" | ".join(f"(v > {i})" for i in range(17))), STATES)
    assert margins.tolist() == [[1.0], [2.0], [-4.0]]
    assert robustness(function(" | ".join(f"(v > {i})" for i in range(16))), STATES).shape == (3, 16)


@pytest.mark.parametrize("task_id", task_ids())
def test_the_library_has_margins_whose_sign_is_the_label(task_id):
    task = load_task(task_id)
    cost = load_cost_function(task.cost_path, task)
    draw = torch.Generator().manual_seed(0)
    states = torch.cat(
        [torch.rand(1000, task.obs_dim, generator=draw), 2 * torch.randn(1000, task.obs_dim, generator=draw)]
    )
    assert torch.equal((robustness(cost, states) > 0).any(-1), cost(states) > 0)


@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_hazards_gremlins_and_buttons_stay_apart(robot):
    """One margin of all that jumps from one to another is one that no model can follow."""
    task = load_task(f"{robot}Button1")
    assert robustness(load_cost_function(task.cost_path, task), torch.rand(2, task.obs_dim)).shape[-1] > 1


LEAVES = st.sampled_from(["(g <= 1)", "(v > 0.5)", "(g + v >= 2)", "(v.abs() < 3)", "(g != 1)"])
FORMULAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("&|^"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda f: f"(~{f})"),
        inner.map(lambda f: f"((1 - {f}.float()) > 0)"),
        st.tuples(inner, inner, inner).map(lambda t: f"torch.where({t[0]}, {t[1]}, {t[2]})"),
    ),
    max_leaves=8,
)


@given(FORMULAS, st.integers(0, 10_000))
@settings(deadline=None, max_examples=150)
def test_any_formula_is_unsafe_where_its_margin_is_above_0(formula, seed):
    cost = function(formula)
    states = 3 * torch.randn(200, 2, generator=torch.Generator().manual_seed(seed))
    margins = robustness(cost, states)
    assert margins is not None
    assert torch.equal((margins > 0).any(-1), cost(states) > 0)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("g <= 1", [[[-1, 0]]] * 3),
        ("(g <= 1) | (2 * v > 1.5)", [[[-1, 0], [0, 2]]] * 3),
        ("(g <= 1) & (v > 1.5)", [[[-1, 0]], [[0, 1]], [[0, 1]]]),  # of the smaller margin
        ("(g * g + v * v).sqrt() > 1", [[[3 / 10**0.5, 1 / 10**0.5]], [[-1 / 5**0.5, 2 / 5**0.5]], [[0.124, -0.992]]]),
    ],
)
def test_slopes_by_hand(expression, expected):
    margins, got = slopes(function(expression), STATES)
    assert torch.equal(margins, robustness(function(expression), STATES))
    assert torch.allclose(got, torch.tensor(expected, dtype=torch.float32), atol=1e-3)


def test_a_slope_that_is_not_finite_is_none():
    assert slopes(function("(g * g + v * v).sqrt() > 1"), torch.zeros(1, 2))[1].tolist() == [[[0.0, 0.0]]]


@pytest.mark.parametrize("name", task_ids())
def test_slopes_of_the_library_are_what_small_changes_make(name):
    task = load_task(name)
    cost = load_cost_function(task.cost_path, task)
    states = torch.rand(20, task.obs_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
    _, found = slopes(cost, states)
    entry = int(found.abs().amax((0, 1)).argmax())
    step = torch.zeros(task.obs_dim)
    step[entry] = 1e-3
    change = (robustness(cost, states + step) - robustness(cost, states - step)) / 2e-3
    near = (change - found[..., entry]).abs() <= 0.05 * (1 + change.abs())
    assert near.float().mean() > 0.9  # a kink may lie in between
