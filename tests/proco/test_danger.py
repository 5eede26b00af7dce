"""Danger: the label's sign, the margin's size, and what the dynamics model's states hold."""

from __future__ import annotations

import pytest
import torch

from osrl_proco.costs import CostFunction
from osrl_proco.proco.danger import EDGE, Danger, signed
from osrl_proco.proco.dynamics import Dynamics
from osrl_proco.tasks.task import load_task

TASK = load_task("OfflineBrake-v0")
DATA = torch.tensor([[4.0, 0.0], [8.0, 0.0]])  # gaps: deviation 2.828


def danger(body='obs["gap"][..., 0] <= 1', **how):
    how = {"graded": True, "margins": True, **how}
    return Danger.fitted(CostFunction(f"def cost(obs):\n    return {body}\n", TASK), DATA, **how)


def gaps(*values):
    return torch.tensor([[v, 0.0] for v in values])


def test_danger_is_the_margin_in_spreads_cut_at_one():
    spread = DATA[:, 0].std().item()
    got = danger().recorded(gaps(100.0, 1 + 0.5 * spread, 1 - 0.5 * spread, -100.0))
    assert got.tolist() == pytest.approx([-1.0, -0.5, 0.5, 1.0], abs=1e-5)


def test_on_the_boundary_the_label_decides():
    assert danger().recorded(gaps(1.0)).item() == pytest.approx(EDGE)
    assert danger('obs["gap"][..., 0] < 1').recorded(gaps(1.0)).item() == pytest.approx(-EDGE)


def test_without_grades_the_label_alone():
    one = danger(graded=False)
    assert one.recorded(gaps(0.5, 1.0, 1.5)).tolist() == [1.0, 1.0, -1.0]
    assert one.imagined(one.state(gaps(0.5, 1.5))).tolist() == [1.0, -1.0]


def test_the_models_states_hold_the_margins_and_are_labelled_by_them_alone():
    one = danger('(obs["gap"][..., 0] <= 1) | (obs["velocity"][..., 0] > 3)')
    states = one.state(gaps(0.5, 1.5))
    assert states.shape == (2, 2 + one.added)
    assert one.added == 2
    assert torch.equal(one.observation(states), gaps(0.5, 1.5))
    states[:, 2:] = torch.tensor([[-0.2, -0.1], [-0.9, 0.3]])
    assert one.imagined(states).tolist() == pytest.approx([-0.1, 0.3])


def test_labels_of_the_observation_where_the_states_hold_no_margins():
    one = danger(margins=False)
    assert (one.added, one.state(gaps(2.0)).shape[1]) == (0, 2)
    assert one.imagined(gaps(0.5, 2.0)).sign().tolist() == [1.0, -1.0]


def test_a_function_without_margins_falls_back_to_its_labels():
    one = danger('((obs["gap"][..., 0] < 1).float() + (obs["velocity"][..., 0] > 1).float()).clamp(max=1)')
    assert (one.graded, one.margins, one.added) == (False, False, 0)
    assert one.recorded(gaps(0.5, 2.0)).tolist() == [1.0, -1.0]


def test_labels_as_danger():
    assert signed(torch.tensor([0.0, 1.0])).tolist() == [-1.0, 1.0]
    assert signed(torch.tensor([False, True])).tolist() == [-1.0, 1.0]


def test_the_margins_weigh_as_much_in_the_fit_as_all_else():
    weights = Dynamics(12, 2, (8,), 2, 1, margins=2).output_weights
    assert weights[10:12].sum().item() == pytest.approx(weights[:10].sum().item() + weights[12].item())
    assert weights.mean().item() == pytest.approx(1.0)
