"""The way back: a policy's action stands where the critic has no objection, else the safest of many acts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from osrl_proco.proco.recovery import FAR, Recovering, all_over, recovering


class Always:
    """A policy of one action; remembers what it is told."""

    def __init__(self, *action):
        self.action, self.told = torch.tensor(action), []

    def reset(self, rows, seeds):
        self.told.append(("reset", list(rows), list(seeds)))

    def act(self, observations):
        return self.action.repeat(len(observations), 1)

    def observe(self, rewards, costs):
        self.told.append(("observe", rewards, costs))


def learner(q, value=None):
    return SimpleNamespace(target=SimpleNamespace(q=q), critic=SimpleNamespace(value=value))


def toward(observations, actions):
    """Q: a wall at 1 that every action of 1 comes nearer to by 1."""
    return observations[:, 0] + actions[:, 0] - 1.0


def test_an_action_that_the_critic_lets_pass_stands():
    policy = Recovering(Always(0.5, 0.5), learner(toward), 0.0, 1.0)
    assert policy.act(torch.tensor([[0.0], [0.5]])).tolist() == [[0.5, 0.5]] * 2  # Q is -.5 and 0


def test_any_other_gives_way_to_the_most_similar_that_passes_or_else_to_the_safest():
    policy = Recovering(Always(0.5), learner(toward), 0.0, 1.0)
    got = policy.act(torch.tensor([[0.6], [1.0], [7.0]]))[:, 0].tolist()
    far = all_over(FAR, 1, 1.0)[:, 0].tolist()
    assert got == [max(a for a in far if a <= 0.4), max(a for a in far if a <= 0.0), -1.0]


def test_only_in_lost_states_where_that_is_asked_for():
    critic = learner(toward, value=lambda observations: observations[:, 0] - 1.0)
    got = Recovering(Always(0.5), critic, -0.5, 1.0, "lost").act(torch.tensor([[0.25], [0.5], [0.51]]))[:, 0].tolist()
    assert got[:2] == [0.5, 0.5]  # Q is -.25 and 0, V -.75 and -.5
    assert got[2] <= -0.01


def test_the_threshold_is_that_of_q():
    at = torch.tensor([[0.0], [0.4]])  # Q is -.5 and -.1
    assert Recovering(Always(0.5), learner(toward), -0.3, 1.0).act(at)[0, 0] == 0.5
    assert Recovering(Always(0.5), learner(toward), -0.3, 1.0).act(at)[1, 0] <= 0.3
    assert Recovering(Always(0.5), learner(toward), -0.6, 1.0).act(at)[0, 0] <= 0.4


def test_the_policys_own_action_acts_where_none_is_safer():
    policy = Recovering(Always(0.123), learner(lambda s, a: (a[:, 0] - 0.123).abs() + 1.0), 0.0, 1.0)
    assert policy.act(torch.zeros(2, 1))[:, 0].tolist() == pytest.approx([0.123, 0.123])


def ridge(observations, actions):
    """Danger with a way down on both sides; the observation says which is a little lower."""
    return 2.0 - actions[:, 0].abs() + observations[:, 0] * actions[:, 0]


def act(policy, *tilts):
    return policy.act(torch.tensor(tilts)[:, None]).flatten().tolist()


def test_inside_danger_it_keeps_to_one_way_out_until_another_is_clearly_better():
    policy = Recovering(Always(0.0), learner(ridge), 0.0, 1.0)
    policy.reset([0], [1])
    taken = [act(policy, tilt) for tilt in (0.04, -0.04, 0.04, -0.2, -0.04, 0.04)]
    assert taken == [[-1.0], [-1.0], [-1.0], [1.0], [1.0], [1.0]]
    policy.reset([0], [2])  # a new episode keeps to nothing
    assert act(policy, 0.04) == [-1.0]


def test_rows_keep_to_their_own_and_new_rows_to_nothing():
    policy = Recovering(Always(0.0), learner(ridge), 0.0, 1.0)
    policy.reset([0, 1, 2], [1, 2, 3])
    assert act(policy, 0.04, -0.04, 0.04) == [-1.0, 1.0, -1.0]
    assert act(policy, -0.04, 0.04) == [-1.0, 1.0]
    policy.reset([1, 3], [4, 5])
    assert act(policy, -0.04, 0.04, -0.04, -0.04) == [-1.0, -1.0, -1.0, 1.0]


@given(st.integers(1, 9), st.integers(1, 8), st.floats(0.1, 5.0), st.floats(-1.0, 1.0), st.integers(0, 99))
def test_what_acts_is_within_bounds_and_passes_or_is_no_worse_than_any_that_was_tried(n, act_dim, bound, above, seed):
    generator = torch.Generator().manual_seed(seed)
    slope = torch.randn(act_dim, generator=generator)

    def q(observations, actions):
        return observations[:, 0] + torch.sin(3.0 * actions @ slope)

    own, at = (torch.rand(act_dim, generator=generator) * 2 - 1) * bound, torch.randn(n, 1, generator=generator)
    got = Recovering(Always(*own.tolist()), learner(q), above, bound).act(at)
    assert got.shape == (n, act_dim)
    assert got.abs().max() <= bound
    for row in range(n):
        mine = q(at[row : row + 1], got[row : row + 1])
        tried = torch.cat([own[None], all_over(FAR, act_dim, bound)])
        least = q(at[row].expand(FAR + 1, -1), tried).min()
        assert mine <= above + 1e-5 or mine <= least + 1e-5


def test_the_actions_are_all_over_the_space_and_the_first_is_none():
    far = all_over(FAR, 2, 2.0)
    assert far[0].tolist() == [0.0, 0.0]
    assert torch.equal(far, all_over(FAR, 2, 2.0))
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        assert ((far * torch.tensor(signs) > 0).all(1)).any()
    assert (far.abs() == 2.0).any(1).sum() >= FAR // 2


def test_the_policy_inside_is_told_everything():
    inside = Always(0.0)
    policy = Recovering(inside, learner(toward), 0.0, 1.0)
    policy.reset([0, 1], [5, 6])
    policy.observe(torch.ones(2), torch.zeros(2))
    assert [word for word, *_ in inside.told] == ["reset", "observe"]
    assert inside.told[0][1:] == ([0, 1], [5, 6])


def test_without_a_critic_or_a_threshold_a_policy_is_left_alone():
    def config(above):
        return SimpleNamespace(recover=above, recover_where="action")

    policy = Always(0.0)
    assert recovering(policy, None, config(0.0), 1.0) is policy
    assert recovering(policy, learner(toward), config(None), 1.0) is policy
    assert isinstance(recovering(policy, learner(toward), config(0.0), 1.0), Recovering)
