"""Danger: the label's sign, the margin's size, and what the dynamics model's states hold."""

from __future__ import annotations

import pytest
import torch

from osrl_proco.costs import CostFunction
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.danger import EDGE, Danger, signed
from osrl_proco.proco.dynamics import Dynamics, fit
from osrl_proco.tasks.task import load_task

TASK = load_task("OfflineBrake-v0")
POINT = load_task("OfflinePointGoal1Gymnasium-v0")
(LIDAR,) = (slice(e.start, e.stop) for e in POINT.entries if e.name == "hazards_lidar")
NEAREST = CostFunction('def cost(obs):\n    return obs["hazards_lidar"].amax(-1) >= 0.9\n', POINT)
DATA = torch.tensor([[4.0, 0.0], [8.0, 0.0]])  # gaps: deviation 2.828


def danger(body='obs["gap"][..., 0] <= 1', **how):
    how = {"graded": "all", "margins": True, **how}
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
    one = danger(graded="none")
    assert one.recorded(gaps(0.5, 1.0, 1.5)).tolist() == [1.0, 1.0, -1.0]
    assert one.imagined(one.state(gaps(0.5, 1.5))).tolist() == [1.0, -1.0]


def test_graded_inside_danger_the_label_outside():
    spread = DATA[:, 0].std().item()
    one, states = danger(graded="inside"), gaps(1 - 0.5 * spread, 1 - 0.1 * spread, 1.0, 1.1, 100.0)
    expected = pytest.approx([1.5, 1.1, 1 + EDGE, -1.0, -1.0], abs=1e-5)
    assert one.recorded(states).tolist() == expected
    states[2] -= 1e-3 * spread  # the model's states have margins alone
    assert one.imagined(one.state(states)).tolist() == expected


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
    assert (one.graded, one.margins, one.added) == ("none", False, 0)
    assert one.recorded(gaps(0.5, 2.0)).tolist() == [1.0, -1.0]


def test_labels_as_danger():
    assert signed(torch.tensor([0.0, 1.0])).tolist() == [-1.0, 1.0]
    assert signed(torch.tensor([False, True])).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(("robust", "share"), [(False, 1.0), (True, 0.2)])
def test_the_margins_weigh_as_much_in_the_fit_as_all_else_or_a_fifth_of_it(robust, share):
    model = Dynamics(12, 2, (8,), 2, 1, margins=2)
    zeros = torch.zeros(50)
    states = torch.randn(50, 12)
    model.standardise(Transitions(states, torch.rand(50, 2), states.roll(1, 0), *[zeros] * 6), robust=robust)
    weights = model.output_weights
    assert weights[10:12].sum().item() == pytest.approx(share * (weights[:10].sum() + weights[12]).item())
    assert weights.mean().item() == pytest.approx(1.0)


def bumped(count=2000, seed=0):
    """The first entry changes by .05 of the action, and by far more in 3 collisions of 100; the last, a margin, jumps
    in every second step."""
    draw = torch.Generator().manual_seed(seed)
    states = torch.randn(count, 3, generator=draw)
    actions = 2.0 * torch.rand(count, 1, generator=draw) - 1.0
    change = torch.zeros(count, 3)
    hit, jump = (torch.rand(count, generator=draw) < share for share in (0.03, 0.5))
    change[:, 0] = 0.05 * actions[:, 0] + hit * torch.randn(count, generator=draw)
    change[:, 2] = 0.3 * jump * torch.randn(count, generator=draw)
    last = torch.zeros(count)
    last[49::50] = 1.0
    zeros = torch.zeros(count)
    return Transitions(states, actions, states + change, zeros, zeros, zeros, last, zeros, last)


def test_a_robust_fit_learns_what_an_action_does_among_collisions():
    wrong = {}
    for robust in (False, True):
        torch.manual_seed(0)
        model = Dynamics(3, 1, (32, 32), 3, 2, margins=1)
        fit(model, bumped(), epochs=10, progress=False, robust=robust)
        states, one = bumped(200, seed=1).observations, torch.ones(200, 1)
        reached = [model.predict(states, action, noise=False)[0][..., 0] for action in (one, -one)]
        wrong[robust] = float(((reached[0] - reached[1]) / 2 - 0.05).abs().mean())
    assert wrong[True] < 0.75 * wrong[False]


def lidars(count, seed=0):
    """States of which nothing but the hazards' lidar is there."""
    states = torch.zeros(count, POINT.obs_dim)
    states[:, LIDAR] = torch.rand(count, 16, generator=torch.Generator().manual_seed(seed))
    return states


def test_the_model_reads_which_bin_is_the_largest_and_no_slope_that_never_changes():
    assert len(danger().changing) == 0
    one = Danger.fitted(NEAREST, lidars(500), graded="all", margins=True)
    assert one.changing.tolist() == list(range(LIDAR.start, LIDAR.stop))
    states = lidars(7, seed=1)
    read = one.slopes(one.state(states)) * one.spread
    assert torch.allclose(read, torch.nn.functional.one_hot(states[:, LIDAR].argmax(1), 16).float())


def test_a_model_that_reads_slopes_foresees_what_hangs_on_the_largest_bin(tmp_path):
    """Here only the largest bin changes, by 0.02 up or down as the parity of its place says."""
    rule = CostFunction('def cost(obs):\n    return obs["hazards_lidar"].amax(-1) >= 0.94\n', POINT)
    states = lidars(4000)
    place = states[:, LIDAR].argmax(1)
    after = states.clone()
    after[torch.arange(4000), LIDAR.start + place] += 0.02 - 0.04 * (place % 2)
    zeros = torch.zeros(4000)
    errors = {}
    for reads in (False, True):
        one = Danger.fitted(rule, states, graded="all", margins=True)
        torch.manual_seed(0)
        model = Dynamics(POINT.obs_dim + 1, 2, (32,), 2, 1, margins=1, slopes=16 * reads)
        if reads:
            model.changing.copy_(one.changing)
        model.spread.copy_(one.spread)
        one.serve(model)
        columns = {
            "observations": one.state(states),
            "next_observations": one.state(after),
            "actions": zeros[:, None].repeat(1, 2),
        }
        columns |= {"rewards": zeros, "costs": zeros, "terminals": zeros, "timeouts": zeros}
        data = Transitions.from_arrays({name: column.numpy() for name, column in columns.items()})
        fit(model, data, epochs=12, progress=False)
        model.save(tmp_path / "model.pt")
        model, _ = Dynamics.load(tmp_path / "model.pt")
        again = Danger.of_model(rule, model)
        seen = model.follow(again.state(states[:500]).expand(1, -1, -1), torch.zeros(500, 2))[0]
        errors[reads] = float((seen[:, -1] - again.state(after[:500])[:, -1]).abs().mean())
    assert errors[True] < 0.5 * errors[False]
