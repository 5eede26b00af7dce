"""CAPS's formulas by hand, what learns and what does not, the switch with and without PROCO, its faults."""

from __future__ import annotations

import math
from dataclasses import replace

import iql_hosts as hosts
import pytest
import torch

from osrl_proco.algorithms.caps import allowance
from osrl_proco.algorithms.iql import IQLCritic
from osrl_proco.core.errors import UserError

close = pytest.approx


def caps(the_problem=None, **changes):
    return hosts.agent("caps", the_problem, **changes)


def means_are(one, *means):
    """Make head k answer means[k] in every entry, everywhere."""
    last = one.actor.net[-1]
    torch.nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor([math.atanh(m) for m in means for _ in range(hosts.ACT)])


def linear(network, column, factor=1.0, offset=0.0):
    """Make an MLP answer offset + factor * x[column], for x[column] within (-5, 5)."""
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    first, second, last = network[0], network[2], network[4]
    first.weight.data[0, column], first.bias.data[0] = 1.0, 5.0  # shifted so that ReLU passes it
    second.weight.data[0, 0] = 1.0
    last.weight.data[0, 0], last.bias.data[0] = factor, offset - 5.0 * factor


ACTION = hosts.OBS  # the column of the action's first entry in Q's input


# ---- formulas


def test_actor_loss_by_hand(monkeypatch):
    one = caps()
    monkeypatch.setattr(one.actor, "forward", lambda s: torch.tensor([[[0.5]], [[-0.1]]]))
    one.log_std.data = torch.zeros(2, 1, 1)
    weights = one.weights(torch.tensor([math.exp(1.2)]), torch.tensor([math.exp(-0.3)]))
    assert weights.flatten().tolist() == close([3.320117, 0.740818], abs=1e-5)
    loss, _ = one.actor_loss(torch.zeros(1, hosts.OBS), torch.tensor([[0.2]]), weights)
    assert loss.item() == close(1.957246, abs=1e-5)
    for head in range(2):  # .963939 each
        alone = torch.zeros(2, 1)
        alone[head] = 2.0
        loss, _ = one.actor_loss(torch.zeros(1, hosts.OBS), torch.tensor([[0.2]]), alone)
        assert loss.item() == close(0.963939, abs=1e-5)


def test_the_likelihood_is_summed_over_dimensions():
    one = caps()
    means_are(one, 0.0, 0.0)
    loss, _ = one.actor_loss(torch.zeros(3, hosts.OBS), torch.zeros(3, hosts.ACT), torch.ones(2, 3))
    assert loss.item() == close(hosts.ACT * 0.5 * math.log(2 * math.pi), abs=1e-5)


def test_heads_between_reward_and_cost_weigh_both():
    gain, care = torch.tensor([2.0]), torch.tensor([3.0])
    four = caps(num_heads=4).weights(gain, care).flatten().tolist()
    assert four == close([2.0, 2.0 + 3.0 * 2 / 3, 2.0 + 3.0 * 4 / 3, 3.0])
    assert caps(num_heads=3).weights(gain, care).flatten().tolist() == close([2.0, 5.0, 3.0])
    assert caps().weights(gain, care).flatten().tolist() == [2.0, 3.0]


@pytest.mark.parametrize(("left", "t", "expected"), [(20.0, 0, 1.999914), (5.0, 990, 4.780896), (20.0, 900, 12.679353)])
def test_allowance(left, t, expected):
    assert allowance(torch.tensor([left]), torch.tensor([1000.0 - t]), 0.99).item() == close(expected, abs=2e-5)


def test_nothing_is_allowed_once_the_limit_is_spent():
    assert allowance(torch.tensor([-3.0, 0.0]), torch.tensor([10.0, 10.0]), 0.99).tolist() == [0.0, 0.0]


def test_the_cost_side_learns_the_negated_cost_with_the_same_critic_as_reward(monkeypatch):
    one, batch, seen = caps(cost_scale=2.0), hosts.data(64), {}
    for critic in (one.reward, one.cost):
        assert isinstance(critic, IQLCritic)
        assert (critic.larger, critic.fresh, critic.floor, critic.expectile, critic.gamma) == (
            False,
            False,
            None,
            0.7,
            0.99,
        )
        real = critic.update
        monkeypatch.setattr(
            critic, "update", lambda b, x, real=real, name=critic.name: (seen.update({name: x}), real(b, x))[1]
        )
    one.update(batch)
    assert torch.allclose(seen["reward"], 0.1 * batch.rewards)
    assert torch.allclose(seen["cost"], -2.0 * batch.costs)


def test_weights_come_from_the_values_before_the_update(monkeypatch):
    one, batch, seen = caps(critic_lr=0.1), hosts.data(64), []
    (q, v), (q_c, v_c) = (critic.judge(batch.observations, batch.actions) for critic in (one.reward, one.cost))
    real = one.actor_loss
    monkeypatch.setattr(one, "actor_loss", lambda s, a, w: (seen.append(w), real(s, a, w))[1])
    one.update(batch)
    expected = torch.stack([(3.0 * (q - v)).exp().clamp_max(100.0), (3.0 * (q_c - v_c)).exp().clamp_max(100.0)])
    assert torch.allclose(seen[0], expected, rtol=1e-4)
    assert not seen[0].requires_grad


# ---- what learns


def test_the_trunk_is_shared_and_no_gradient_reaches_the_critics():
    one, batch = caps(num_heads=3), hosts.data(64)
    assert one.actor(batch.observations).shape == (3, 64, hosts.ACT)
    assert [type(x).__name__ for x in one.actor.net] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    q, v = one.reward.judge(batch.observations, batch.actions)
    for head in range(3):
        weights = torch.zeros(3, 64)
        weights[head] = (q - v).exp()
        gradients = torch.autograd.grad(
            one.actor_loss(batch.observations, batch.actions, weights)[0], list(one.actor.parameters())
        )
        assert all(g.abs().sum() > 0 for g in gradients)  # every head moves the trunk
        rows = gradients[-2].view(3, hosts.ACT, -1).abs().sum((1, 2)) > 0
        assert rows.tolist() == [k == head for k in range(3)]  # and no other head
    one.actor_loss(batch.observations, batch.actions, torch.ones(3, 64))[0].backward()
    assert all(p.grad is None for critic in (one.reward, one.cost) for p in critic.q_nets.parameters())


def test_the_reward_head_goes_where_reward_is_and_the_cost_head_where_no_cost_is():
    one = caps(actor_lr=0.003, critic_lr=0.003, reward_scale=1.0, tau=0.05)
    right = torch.arange(400) % 2 == 0
    actions = torch.where(right, 0.6, -0.6)[:, None].expand(-1, hosts.ACT)
    base = replace(hosts.data(), actions=actions, rewards=right.float(), costs=right.float(), terminals=torch.ones(400))
    hosts.trained(one, 400, base)
    reward, cost = one.actor(base.observations).mean((1, 2)).tolist()
    assert reward > 0.25
    assert cost < -0.25


def test_the_rate_falls_with_the_updates_and_a_resumed_run_goes_on_there():
    one = caps(lr_decay_steps=100)
    hosts.trained(one, 50)
    again = caps(lr_decay_steps=100)
    again.load_state_dict(one.state_dict())
    hosts.trained(again, 1)
    assert again.updates == 51
    assert again.actor_optimizer.param_groups[0]["lr"] == close(1.5e-4)


# ---- faults


@pytest.mark.parametrize(("changes", "learns"), [({}, False), ({"learn_std": True}, True), ({"compat": "fixed"}, True)])
def test_the_deviation_stays_one_as_published_or_learns(changes, learns):
    one = caps(actor_lr=0.01, **changes)
    info = hosts.trained(one, 20)
    assert torch.equal(one.log_std.detach(), torch.zeros(2, 1, hosts.ACT)) is not learns
    assert (info["actor/std"].item() == 1.0) is not learns
    state = one.state_dict()
    again = caps(actor_lr=0.01, seed=4, **changes)
    again.load_state_dict(state)
    assert torch.equal(one.log_std, again.log_std)


def test_a_learned_deviation_does_not_run_away_on_constant_actions():
    one = caps(learn_std=True, actor_lr=0.1)
    dull = replace(hosts.data(), actions=torch.full((400, hosts.ACT), 0.5))
    info = hosts.trained(one, 200, dull)
    assert info["loss/actor"].isfinite()
    assert info["actor/std"].item() >= math.exp(-5.0) - 1e-6


# ---- the switch


def stock_switch(**changes):
    """Reward grows with the action; cost is 2 + 2 a. Heads at .6 (cost 3.2), .2 (2.4), -.5 (1.0)."""
    one = caps(num_heads=3, **changes)
    means_are(one, 0.6, 0.2, -0.5)
    for net in one.reward.q_nets.nets:
        linear(net, ACTION)
    for net, offset in zip(one.cost.q_nets.nets, (-2.0, -1.0), strict=True):
        linear(net, ACTION, -2.0, offset)  # the smaller of the negated costs is the larger cost
    return one


@pytest.mark.parametrize(
    ("allowed", "action"),
    [(9.0, 0.6), (3.0, 0.2), (2.0, -0.5), (0.5, -0.5)],  # none below .5: the lowest cost
)
def test_the_best_head_below_the_bound_or_the_cheapest(allowed, action):
    got = stock_switch().switch(torch.zeros(2, hosts.OBS), torch.full((2,), allowed))
    assert got.flatten().tolist() == close([action] * 4, abs=1e-5)


def test_the_bound_is_strict_so_that_at_limit_zero_the_cheapest_head_acts():
    one = stock_switch(cost_limit=0.0)
    for net in one.cost.q_nets.nets:
        hosts.constant(net, 0.0)  # every head costs exactly 0
    means_are(one, -0.5, 0.6, 0.2)
    got = one.act(torch.zeros(1, hosts.OBS), torch.Generator())
    assert got[0, 0].item() == close(-0.5, abs=1e-5)  # the first of equals, not the best in reward


def test_an_episode_spends_its_limit():
    one = stock_switch(cost_limit=20.0)
    # At t = 0 of 50 steps: 20 * (1 - .99^50) / .01 / 50 = 15.8; each costly step takes one away.
    policy, s = one.policy(), torch.zeros(2, hosts.OBS)
    policy.reset([0, 1], [0, 0])
    assert policy.act(s)[:, 0].tolist() == close([0.6, 0.6], abs=1e-5)
    for _ in range(17):
        policy.observe(torch.zeros(2), torch.tensor([1.0, 0.0]))
    left, steps = torch.tensor([3.0, 20.0]), torch.tensor([33.0, 33.0])
    bound = left * (1 - 0.99**steps) / 0.01 / steps
    assert one.allowed(left, 50.0 - steps).tolist() == close(bound.tolist(), rel=1e-4)
    assert bound[0].item() == close(2.56, abs=0.01)
    assert policy.act(s)[:, 0].tolist() == close([0.2, 0.6], abs=1e-5)
    policy.observe(torch.zeros(2), torch.tensor([3.0, 0.0]))
    assert policy.act(s)[:, 0].tolist() == close([-0.5, 0.6], abs=1e-5)
    policy.reset([0], [0])  # a new episode beside one that goes on
    assert policy.act(s)[:, 0].tolist() == close([0.6, 0.6], abs=1e-5)
    for _ in range(60):  # past the last step nothing breaks
        policy.observe(torch.zeros(2), torch.zeros(2))
    assert policy.act(s).isfinite().all()


def test_rows_may_come_one_after_the_other():
    policy = stock_switch().policy()
    for row in (0, 2, 1):
        policy.reset([row], [0])
    assert policy.act(torch.zeros(3, hosts.OBS)).shape == (3, hosts.ACT)
    assert policy.act(torch.zeros(1, hosts.OBS)).shape == (1, hosts.ACT)


def test_actions_are_in_the_environments_unit():
    one = caps(hosts.problem(max_action=2.0))
    means_are(one, 0.5, 0.5)
    assert one.act(torch.zeros(1, hosts.OBS), torch.Generator())[0].tolist() == close([1.0, 1.0], abs=1e-5)
    loss, _ = one.actor_loss(torch.zeros(1, hosts.OBS), torch.full((1, 2), 1.0), torch.ones(2, 1))
    assert loss.item() == close(math.log(2 * math.pi), abs=1e-5)  # the recorded 1.0 of 2.0 is the mean .5


# ---- the twin


@pytest.mark.parametrize(
    ("offset", "action"),
    [(-1.0, 0.6), (-0.4, 0.2), (-0.2, 0.2), (0.3, -0.5), (2.0, -0.5)],  # Q_h = offset + a
)
def test_the_twin_takes_the_best_head_that_is_feasible_or_the_least_lost(offset, action):
    one = caps(num_heads=3, proco=True)
    means_are(one, 0.6, 0.2, -0.5)
    for net in one.reward.q_nets.nets:
        linear(net, ACTION)
    for net, more in zip(one.cost.critic.q_nets, (0.5, -0.5), strict=True):
        linear(net, ACTION, 1.0, offset + more)  # their mean counts
    got = one.switch(torch.zeros(2, hosts.OBS))
    assert got.flatten().tolist() == close([action] * 4, abs=1e-5)
    assert torch.equal(got, one.act(torch.zeros(2, hosts.OBS), torch.Generator()))
    assert torch.equal(got, one.policy().act(torch.zeros(2, hosts.OBS)))


@pytest.mark.parametrize("mask", [False, True])
def test_the_twins_weights(mask, monkeypatch):
    one, batch, seen = caps(proco=True, mask_reward_head=mask), hosts.data(4), []
    q_h, v_h = torch.tensor([-0.7, 0.3, 1.5, 2.4]), torch.tensor([-0.5, -0.5, 2.0, 2.0])
    monkeypatch.setattr(one.cost, "judge", lambda s, a: (q_h, v_h))
    q, v = one.reward.judge(batch.observations, batch.actions)
    real = one.actor_loss
    monkeypatch.setattr(one, "actor_loss", lambda s, a, w: (seen.append(w), real(s, a, w))[1])
    one.update(batch, hosts.feasibility(batch))
    gain = (3.0 * (q - v)).exp() * (torch.tensor([1.0, 0.0, 0.0, 0.0]) if mask else 1.0)
    assert torch.allclose(seen[0][0], gain, rtol=1e-4)
    assert seen[0][1].tolist() == close([math.exp(0.6), math.exp(-2.4), math.exp(1.5), math.exp(-1.2)], rel=1e-4)


def test_defaults_are_the_published_ones():
    c = hosts.config_class("caps")()
    assert (c.update_steps, c.batch_size, c.reward_scale, c.gamma, c.tau) == (100_000, 512, 0.1, 0.99, 0.005)
    assert (c.actor_lr, c.critic_lr, c.lr_decay_steps, c.num_heads) == (3e-4, 3e-4, 1_000_000, 2)
    assert (c.reward_expectile, c.cost_expectile, c.reward_temperature, c.cost_temperature) == (0.7, 0.7, 3.0, 3.0)
    assert (c.reward_clip, c.cost_clip, c.learn_std, c.mask_reward_head) == (100.0, 100.0, False, False)
    assert (c.a_hidden_sizes, c.c_hidden_sizes) == ([512, 512], [512, 512])


def test_one_head_is_refused():
    with pytest.raises(UserError, match="num_heads"):
        caps(num_heads=1)
