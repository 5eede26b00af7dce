"""Looking ahead changes the action only where the model says that the policy's own leads into danger."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from osrl_proco.proco.danger import Danger
from osrl_proco.proco.lookahead import LookAhead


class Always:
    """A policy of one action."""

    def __init__(self, action):
        self.action = action

    def reset(self, rows, seeds):
        pass

    def act(self, observations):
        return torch.full((len(observations), 1), self.action)


def ahead(action, steps=3):
    """Positions that move by the action; unsafe above 1."""
    line = SimpleNamespace(elites=[0, 1], follow=lambda state, actions: state + actions)
    danger = Danger(lambda s: (s[..., 0] > 1.0).float(), 1)
    policy = LookAhead(Always(action), line, danger, steps=steps, max_action=1.0)
    policy.reset(range(2), [5, 6])
    return policy


def test_a_safe_action_of_the_policy_stands():
    assert ahead(0.3).act(torch.tensor([[0.0], [-2.0]])).flatten().tolist() == pytest.approx([0.3, 0.3])


def test_an_action_that_leads_into_danger_within_k_steps_gives_way_where_it_does():
    got = ahead(0.6).act(torch.tensor([[0.0], [-2.0]])).flatten()
    assert 3 * got[0] <= 1.0
    assert got[1].item() == pytest.approx(0.6)


def test_one_step_does_not_see_what_comes_after_it():
    assert ahead(0.6, steps=1).act(torch.tensor([[0.0], [0.0]])).flatten().tolist() == pytest.approx([0.6, 0.6])


def test_in_danger_the_action_that_leaves_it_soonest_acts():
    got = ahead(0.0, steps=5).act(torch.tensor([[2.5], [2.5]])).flatten()
    assert (got < 0).all()


def test_the_same_seeds_look_at_the_same_candidates():
    states = torch.tensor([[0.9], [0.2]])
    assert torch.equal(ahead(0.9).act(states), ahead(0.9).act(states))
