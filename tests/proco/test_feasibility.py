"""The feasibility critic against the equations worked by hand and against dynamic programming."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.proco.danger import signed
from osrl_proco.proco.feasibility import (
    FeasibilityBatch,
    FeasibilityCritic,
    FeasibilityLearner,
    ProcoSettings,
    backup,
    out_of_range,
    violation,
)
from osrl_proco.proco.losses import advantage_weight, expectile_loss, polyak


def batch(unsafe, next_unsafe, terminals, next_observations=None):
    n = len(unsafe)
    if next_observations is None:
        next_observations = torch.zeros(n, 2)
    now, after, ended = (torch.tensor(c, dtype=torch.float32) for c in (unsafe, next_unsafe, terminals))
    return FeasibilityBatch(torch.zeros(n, 2), torch.zeros(n, 1), next_observations, signed(now), signed(after), ended)


def test_violation_is_h_max_or_minus_one():
    assert violation(signed(torch.tensor([0.0, 1.0])), 25.0).tolist() == [-1.0, 25.0]


def test_inside_danger_the_action_that_leads_towards_the_way_out_is_the_better_one():
    """Depth 1.4, an action goes to 1.3 or 1.5, from where a way out or none passes no deeper: by hand."""
    batch = FeasibilityBatch(
        torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(2, 1), torch.tensor([1.4, 1.4]), torch.tensor([1.3, 1.5]),
        torch.zeros(2),
    )  # fmt: skip
    values = torch.tensor([-1.0, 20.0])
    assert backup(batch, values, 0.9, 25.0, "reached").tolist() == pytest.approx([32.5, 37.5])
    assert backup(batch, values, 0.9, 25.0, "left").tolist() == pytest.approx([35.0, 37.5])


def test_graded_violation_stretches_the_unsafe_half():
    assert violation(torch.tensor([-0.5, 0.0, 0.5]), 4.0).tolist() == [-0.5, 0.0, 2.0]


def test_backup_by_hand():
    # gamma 0.9, h_max 25. Safe step towards V = 4: 0.1 * -1 + 0.9 * max(-1, 4) = 3.5; towards V = -1: -1;
    # into a violation: 25 alone; into a true end: -1 alone, whatever V says; out of an unsafe state: 25.
    b = batch([0, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0])
    values = torch.tensor([4.0, -1.0, -1.0, 7.0, -1.0])
    assert torch.allclose(backup(b, values, 0.9, 25.0), torch.tensor([3.5, -1.0, 25.0, -1.0, 25.0]))


def test_backup_takes_the_worst_of_the_models():
    b = batch([0, 0], [0, 0], [0, 0])
    values = torch.tensor([[-1.0, 2.0], [3.0, -1.0], [-1.0, -1.0]])
    assert torch.allclose(backup(b, values, 0.5, 25.0), torch.tensor([0.5 * -1 + 0.5 * 3, 0.5 * -1 + 0.5 * 2]))


def test_expectile_loss_by_hand():
    # tau 0.9: Q above V weighs 0.1, Q below V weighs 0.9.
    assert expectile_loss(torch.tensor([2.0, -1.0]), 0.9, reverse=True).item() == pytest.approx((0.1 * 4 + 0.9 * 1) / 2)


@given(st.lists(st.floats(-1, 25), min_size=2, max_size=12), st.floats(0.55, 0.95))
@settings(deadline=None, max_examples=50)
def test_the_minimiser_of_the_expectile_loss_leans_to_the_low_end(values, tau):
    q = torch.tensor(values, dtype=torch.float64)
    v, one = q.mean(), torch.ones((), dtype=torch.float64)
    for _ in range(500):  # fixed point: the weighted mean whose weights depend on itself
        weight = torch.where(q > v, one - tau, one * tau)
        v = (weight * q).sum() / weight.sum()
    assert q.min() - 1e-6 <= v <= q.mean() + 1e-6
    at, below, above = (expectile_loss(q - v + d, tau, reverse=True) for d in (0.0, 0.01, -0.01))
    assert at <= min(below, above) + 1e-9


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), st.floats(0.01, 1), st.floats(0.55, 0.95))
@settings(deadline=None, max_examples=100)
def test_an_imagined_violation_never_makes_an_infeasible_state_feasible(recorded, imagined, tau):
    """Theorem 4.8 at one state: adding a positive Q to the sample keeps a positive expectile positive."""

    def expectile(q):
        v, one = q.mean(), torch.ones((), dtype=torch.float64)
        for _ in range(500):
            weight = torch.where(q > v, one - tau, one * tau)
            v = (weight * q).sum() / weight.sum()
        return v

    q = torch.tensor(recorded, dtype=torch.float64)
    without, with_it = expectile(q), expectile(torch.cat([q, torch.tensor([imagined], dtype=torch.float64)]))
    if without > 1e-9:
        assert with_it > 0
    if imagined >= without:
        assert with_it >= without - 1e-9


def test_backup_of_the_state_reached_by_hand():
    """FISOR's form, gamma 0.99, (h, V', m) -> target: (-1,-1,1) -> -1; (-1,3,1) -> 2.96; (25,-.5,1) -> 25;
    (-1,3,0) -> -1."""
    b = batch([0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1])
    values = torch.tensor([-1.0, 3.0, -0.5, 3.0])
    assert torch.allclose(backup(b, values, 0.99, 25.0, "reached"), torch.tensor([-1.0, 2.96, 25.0, -1.0]))


def test_the_step_out_of_danger_is_rewarded_only_where_the_state_reached_counts():
    out = batch([1], [0], [0])
    safe = torch.tensor([-1.0])
    assert backup(out, safe, 0.9, 1.0, "left").item() == 1.0
    assert backup(out, safe, 0.9, 1.0, "reached").item() == -1.0


def test_an_advantage_weight_is_clipped_and_finite_and_has_no_gradient():
    advantage = torch.tensor([0.2, -1.0, 1e30], requires_grad=True)
    weight = advantage_weight(advantage, 3.0, 100.0)
    assert weight.tolist() == pytest.approx([1.822119, 0.049787, 100.0], rel=1e-5)
    assert not weight.requires_grad


def test_polyak_by_hand():
    target, source = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        target.weight.fill_(1.0)
        source.weight.fill_(3.0)
    polyak(target, source, 0.25)
    assert target.weight.item() == pytest.approx(1.5)


def critic():
    return FeasibilityCritic(2, 1, [16, 16])


def test_the_larger_of_the_two_counts():
    c = critic()
    observations, actions = torch.randn(9, 2), torch.randn(9, 1)
    assert torch.equal(c.q(observations, actions), c.q_values(observations, actions).max(0).values)


def test_excess_is_what_an_action_loses_beyond_what_is_lost_anyway():
    c = critic()
    observations, actions = torch.randn(50, 2), torch.randn(50, 1)
    q, v = c.q(observations, actions), c.value(observations)
    excess = c.excess(observations, actions)
    assert torch.allclose(excess, torch.relu(q - torch.relu(v)))
    assert (excess[q <= 0] == 0).all()


def test_a_fresh_critic_calls_nothing_lost():
    observations = torch.randn(200, 2)
    assert (critic().value(observations) < 0).float().mean() > 0.99


def test_every_parameter_learns_and_the_target_follows():
    learner = FeasibilityLearner(critic(), ProcoSettings(feasibility_gamma=0.9))
    before = [p.clone() for p in (*learner.critic.parameters(), *learner.target.parameters())]
    b = batch([0, 1, 0], [1, 0, 0], [0, 0, 1])._replace(observations=torch.randn(3, 2), actions=torch.randn(3, 1))
    for _ in range(2):
        learner.update(b)
    now = (*learner.critic.parameters(), *learner.target.parameters())
    named = [n for n, _ in (*learner.critic.named_parameters(), *learner.target.named_parameters())]
    assert [n for n, p, q in zip(named, now, before, strict=True) if torch.equal(p, q)] == []


def test_learning_without_a_target_of_its_own_leaves_the_target_alone():
    target = critic()
    before = [p.clone() for p in target.parameters()]
    learner = FeasibilityLearner(critic(), ProcoSettings(polyak=0.0), target=target)
    learner.update(batch([0, 0], [1, 0], [0, 0]))
    assert all(torch.equal(p, q) for p, q in zip(target.parameters(), before, strict=True))


@pytest.mark.parametrize("gamma", [0.9, 0.95])
def test_a_corridor_against_dynamic_programming(gamma):
    """Cells 0..9, a pit at 9; from cell 6 on the wind carries you in. The critic must find 6, 7, 8 lost."""
    actions = np.array([-1, 1])
    rows = [(s, a, s + 1 if s >= 6 else int(np.clip(s + a, 0, 9))) for s in range(9) for a in actions]
    h = np.where(np.arange(10) == 9, 1.0, -1.0)
    exact = h.copy()
    for _ in range(300):
        new = h.copy()
        for s in range(9):
            reached = [t for (x, _, t) in rows if x == s]
            new[s] = min(h[t] if t == 9 else (1 - gamma) * h[s] + gamma * max(h[s], exact[t]) for t in reached)
        exact = new
    assert (exact > 0).tolist() == [False] * 6 + [True] * 4

    def one_hot(cells):
        return torch.nn.functional.one_hot(torch.tensor(cells), 10).float()

    s, a, t = zip(*rows, strict=True)
    columns = FeasibilityBatch(
        one_hot(s), torch.tensor(a).float()[:, None], one_hot(t), -torch.ones(18), signed(torch.tensor(t) == 9),
        torch.zeros(18),
    )  # fmt: skip
    c = FeasibilityCritic(10, 1, [64, 64])
    learner = FeasibilityLearner(c, ProcoSettings(1.0, 0.95, (64, 64), gamma, polyak=0.05), lr=3e-3)
    for _ in range(1200):
        learner.update(columns)
    with torch.no_grad():
        value = c.value(one_hot(list(range(9)))).numpy()
    assert ((value > 0) == (exact[:9] > 0)).all()
    np.testing.assert_allclose(value[6:], exact[6:9], atol=0.2)


@pytest.mark.parametrize("farthest", [10.0, math.inf])
def test_what_hardly_varies_in_the_data_does_not_blow_the_critic_up(farthest):
    """A |y| that stays far below its limit is, cut, all but constant; what the model imagines leaves it far behind."""
    torch.manual_seed(1)
    form = ProcoSettings(1.0, 0.9, (32, 32), 0.99, farthest=farthest)
    learner = FeasibilityLearner.create(2, 1, form, "cpu", lr=1e-3)
    states = torch.stack([torch.randn(400), -1.0 + 5e-4 * torch.randn(400)], 1)
    learner.standardise(states)
    reached, actions = states.clone(), torch.rand(400, 1)
    reached[::4, 1] = torch.linspace(-1.0, 1.0, 100)  # up to 4,000 deviations away
    unsafe = signed(reached[:, 1] > 0.5)
    batch = FeasibilityBatch(states, actions, reached, -torch.ones(400), unsafe, torch.zeros(400))
    for _ in range(300):
        figures = {name: value.item() for name, value in learner.update(batch).items()}
    assert out_of_range(figures, 1.0) == (farthest != 10)
    largest = learner.critic.q_values(states, actions).abs().max()
    assert largest < 2 if farthest == 10 else largest > 100  # Q lies between -1 and 1
