"""Looking ahead changes the action only where the model says that the policy's own leads into danger."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from osrl_proco.proco.danger import Danger
from osrl_proco.proco.lookahead import LookAhead
from osrl_proco.proco.ways import Ways


class Always:
    """A policy of one action."""

    def __init__(self, action):
        self.action = action

    def reset(self, rows, seeds):
        pass

    def act(self, observations):
        return torch.full((len(observations), 1), self.action)


def ahead(action, steps=3, left=0.0):
    """Positions that move by the action; unsafe above 1."""
    line = SimpleNamespace(
        elites=[0, 1], follow=lambda state, actions: state + actions, left_by_rule=torch.tensor([left]), rates=None
    )
    danger = Danger(lambda s: (s[..., 0] > 1.0).float(), 1)
    policy = LookAhead(Always(action), line, danger, Ways(line, danger, steps), max_action=1.0)
    policy.reset(range(2), [5, 6])
    return policy


def test_a_safe_action_of_the_policy_stands():
    assert ahead(0.3).act(torch.tensor([[0.0], [-2.0]])).flatten().tolist() == pytest.approx([0.3, 0.3])


def test_an_action_stands_while_there_is_a_way_back_after_it():
    assert ahead(0.6, steps=5).act(torch.tensor([[0.3], [-2.0]])).flatten().tolist() == pytest.approx([0.6, 0.6])


def test_an_action_after_which_danger_cannot_be_left_gives_way_to_one_that_stays_out():
    got = ahead(0.6, steps=5).act(torch.tensor([[0.5], [0.0]])).flatten()
    assert 0.5 + 5 * got[0] <= 1.0
    assert got[1].item() == pytest.approx(0.6)


def test_danger_that_comes_by_itself_counts_too():
    """After .9 standing still will do where nothing comes; where more comes than can be fled from, it is too late."""
    states = torch.tensor([[0.0], [-2.0]])
    assert ahead(0.9).act(states).flatten().tolist() == pytest.approx([0.9, 0.9])
    got = ahead(0.9, left=1.05).act(states).flatten()
    assert 3 * (got[0] + 1.05) <= 1.0
    assert got[1].item() == pytest.approx(0.9)


class Coasting:
    """A cart of position and speed that brakes by at most 0.1 a step; unsafe above 1."""

    elites = (0, 1)
    left_by_rule = torch.zeros(2)
    rates = None

    def follow(self, state, actions):
        speed = state[..., 1:] + 0.1 * actions
        return torch.cat([state[..., :1] + speed, speed], -1)


@pytest.mark.parametrize(("steps", "hits"), [(20, False), (2, True)])
def test_k_must_reach_as_far_as_it_takes_to_stop(steps, hits):
    """Full throttle for ever, from 0.2 a step: looking 20 steps ahead never reaches the wall, looking 2 does."""
    danger = Danger(lambda s: (s[..., 0] > 1.0).float(), 2)
    policy = LookAhead(Always(1.0), Coasting(), danger, Ways(Coasting(), danger, steps), max_action=1.0)
    policy.reset(range(4), [1, 2, 3, 4])
    state = torch.tensor([[-3.0, 0.2]]).repeat(4, 1)
    farthest = state[:, 0]
    for _ in range(60):
        state = Coasting().follow(state, policy.act(state))
        farthest = torch.maximum(farthest, state[:, 0])
    assert bool((farthest > 1.0).any()) is hits
    assert (farthest > -1.0).all()  # and it did go there


def test_in_danger_the_action_that_leaves_it_soonest_acts():
    got = ahead(0.0, steps=5).act(torch.tensor([[2.5], [2.5]])).flatten()
    assert (got < 0).all()


def test_in_danger_the_policys_own_action_stands_where_none_is_less_dangerous():
    assert ahead(-0.9, steps=1).act(torch.tensor([[9.0]])).item() == pytest.approx(-0.9)


def test_the_same_seeds_look_at_the_same_candidates():
    states = torch.tensor([[0.9], [0.2]])
    assert torch.equal(ahead(0.9).act(states), ahead(0.9).act(states))
