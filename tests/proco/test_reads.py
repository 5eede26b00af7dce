"""What the feasibility critic reads beside the observation: margins and slopes, the same after saving."""

from __future__ import annotations

import copy

import pytest
import torch
from test_danger import LIDAR, NEAREST, POINT, lidars

from osrl_proco.costs import CostFunction
from osrl_proco.proco.feasibility import FeasibilityBatch, FeasibilityLearner, ProcoSettings
from osrl_proco.proco.reads import Reads


def reads():
    found = Reads.fitted(NEAREST, lidars(500))
    assert found is not None
    return found


def test_margin_and_slopes_of_the_nearest_hazard():
    one, states = reads(), lidars(5, seed=1)
    got = one(states) * one.state_dict()["spread"]
    nearest = states[:, LIDAR]
    assert one.width == 19
    spread, margin = one.state_dict()["spread"].item(), nearest.amax(1) - 0.9
    for column, cut in enumerate((10, 1, 0.3)):
        assert torch.allclose(got[:, column], margin.clamp(-cut * spread, cut * spread))
    assert torch.allclose(got[:, 3:], torch.nn.functional.one_hot(nearest.argmax(1), 16).float())
    assert torch.equal(one(states[:, None].expand(-1, 3, -1))[:, 2], one(states))


def test_none_where_the_cost_function_has_no_margins():
    near = '(obs["hazards_lidar"].amax(-1) > 0.9).float()'
    counting = CostFunction(f"def cost(obs):\n    return ({near} + {near}).clamp(max=1)\n", POINT)
    assert Reads.fitted(counting, lidars(50)) is None


def test_the_same_after_saving():
    one, states = reads(), lidars(5, seed=1)
    again = Reads.of(NEAREST, POINT.obs_dim, one.state_dict())
    assert again.width == one.width
    assert torch.equal(again(states), one(states))


def test_states_changed_in_place_are_read_again():
    one, states = reads(), lidars(5, seed=1)
    before = one(states)
    assert one(states) is before
    states[:, LIDAR] = 0.9
    assert not one(states)[:, 0].any()


@pytest.mark.parametrize("with_reads", [False, True])
def test_a_critic_that_reads_them_knows_danger_by_the_place_of_the_largest_bin(with_reads):
    """Lost where the largest bin is an even one: what 30 updates make of it on states that they did not see."""
    settings = ProcoSettings(hidden=(32, 32), feasibility_gamma=0.0, reads=reads() if with_reads else None)
    torch.manual_seed(0)
    learner = FeasibilityLearner.create(POINT.obs_dim, 2, settings, "cpu", lr=3e-3)
    learner.standardise(lidars(500))
    assert copy.deepcopy(learner.critic).reads is learner.critic.reads
    for seed in range(300):
        states = lidars(256, seed=seed)
        danger = 1.0 - 2.0 * (states[:, LIDAR].argmax(1) % 2)
        learner.update(FeasibilityBatch(states, torch.zeros(256, 2), states, danger, -torch.ones(256), torch.ones(256)))
    fresh = lidars(1000, seed=999)
    lost = fresh[:, LIDAR].argmax(1) % 2 == 0
    agreement = ((learner.critic.value(fresh) > 0) == lost).float().mean().item()
    assert (agreement > 0.97) is with_reads
