"""IQL's critic and the shared losses by hand, and what FISOR, LSPC and CAPS have in common: the agent's contract."""

from __future__ import annotations

import copy
import math
from dataclasses import fields, replace
from pathlib import Path

import iql_hosts as hosts
import pytest
import torch
from torch import nn

from osrl_proco.algorithms.iql import IQLCritic
from osrl_proco.algorithms.networks import lecun, mlp, xavier
from osrl_proco.algorithms.registry import algorithm
from osrl_proco.proco.losses import advantage_weight, expectile_loss, feasible_weight, polyak, weighted_error
from osrl_proco.proco.optim import adam, anneal, descend

ALL = [(name, twin) for name in ("fisor", "lspc", "caps") for twin in (False, True)]
close = pytest.approx


def critic(**changes):
    given = {"expectile": 0.7, "gamma": 0.99, "tau": 0.005, "lr": 3e-4, "device": "cpu", **changes}
    return IQLCritic("reward", hosts.OBS, hosts.ACT, [8, 8], **given)


# ---- the losses


@pytest.mark.parametrize(
    ("tau", "reverse", "expected"), [(0.9, False, 1.308333), (0.9, True, 0.441667), (0.7, True, 0.658333)]
)
def test_expectile_loss_in_both_directions(tau, reverse, expected):
    assert expectile_loss(torch.tensor([2.0, -1.0, 0.5]), tau, reverse=reverse).item() == close(expected, abs=1e-5)


def test_advantage_weight_is_clipped_before_it_overflows_and_passes_no_gradient():
    advantage = torch.tensor([0.4, -0.1, 1e6, -1e6], requires_grad=True)
    weight = advantage_weight(advantage, 3.0, 100.0)
    assert weight.tolist() == close([3.320117, 0.740818, 100.0, 0.0], abs=1e-4)
    assert not weight.requires_grad


def test_weighted_error_is_the_mean_of_weighted_squares_summed_over_dimensions():
    errors, weights = torch.tensor([[0.3, -0.4], [1.0, 0.0]]), torch.tensor([1.822119, 12.182494])
    assert weighted_error(errors, weights).item() == close(6.319012, abs=1e-5)


def test_feasible_weight_tells_four_cases_apart():
    q_h, v_h = torch.tensor([-0.1, 0.1, -0.1, 0.1]), torch.tensor([0.0, 0.0, 0.1, 0.1])
    assert feasible_weight(torch.full((4,), 2.0), torch.full((4,), 3.0), q_h, v_h).tolist() == [2.0, 0.0, 3.0, 3.0]


def test_polyak_moves_the_target_by_the_rate():
    source, target = nn.Linear(2, 1), nn.Linear(2, 1)
    expected = 0.995 * target.weight.detach().clone() + 0.005 * source.weight.detach()
    polyak(target, source, 0.005)
    assert torch.allclose(target.weight, expected, atol=1e-7)


# ---- networks and steps


def test_first_weights():
    torch.manual_seed(0)
    layer = xavier(nn.Linear(300, 200))
    bound = math.sqrt(6.0 / 500)
    assert 0.95 * bound < layer.weight.abs().max().item() <= bound
    assert layer.bias.abs().max() == 0
    layer = lecun(nn.Linear(400, 200))
    assert layer.weight.std().item() == close(0.05, rel=0.03)
    assert layer.weight.abs().max().item() <= 2.0 * 0.05 / 0.87962566 + 1e-6
    assert layer.bias.abs().max() == 0


def test_an_mlp_has_relu_between_its_layers_and_a_linear_end():
    net = mlp([3, 256, 256, 1])
    assert [type(x).__name__ for x in net] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]


def test_descend_gives_gradients_to_the_optimizers_own_parameters_alone():
    mine, other = nn.Linear(2, 2), nn.Linear(2, 1)
    optimizer, before = adam(mine.parameters(), 0.1), mine.weight.detach().clone()
    descend(optimizer, other(mine(torch.ones(4, 2))).mean())
    assert not torch.equal(mine.weight, before)
    assert other.weight.grad is None
    with pytest.raises(RuntimeError):  # a parameter that nothing reaches is a fault, not a silence
        descend(adam([*mine.parameters(), *other.parameters()], 0.1), mine(torch.ones(1, 2)).mean())


def test_the_cosine_ends_where_the_published_runs_end():
    optimizer = adam(nn.Linear(1, 1).parameters(), 3e-4)

    def rate(step, period):
        anneal(optimizer, 3e-4, step, period)
        return optimizer.param_groups[0]["lr"]

    assert rate(0, 3_000_000) == close(3e-4)
    assert rate(2_000_002, 3_000_000) == close(7.5e-5, rel=1e-5)  # FISOR
    assert rate(100_000, 1_000_000) == close(2.9266e-4, rel=1e-4)  # CAPS
    assert rate(2_000_000, 1_000_000) == 0.0


# ---- the critic


def test_the_goal_stops_at_an_end_also_at_one_that_counts_double():
    goal = critic().goal(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 2.0]), torch.tensor([2.0, 2.0, 2.0]))
    assert goal.tolist() == close([2.98, 1.0, 1.0])


@pytest.mark.parametrize("larger", [False, True])
def test_the_careful_q_is_the_smaller_for_reward_and_the_larger_for_cost(larger):
    one = critic(larger=larger)
    for net, value in zip(one.q_target.nets, (0.4, 0.7), strict=True):
        hosts.constant(net, value)
    q, _ = one.judge(torch.zeros(1, hosts.OBS), torch.zeros(1, hosts.ACT))
    assert q.item() == close(0.7 if larger else 0.4)


def test_q_loss_is_the_mean_of_both_squares():
    one = critic()
    for net, value in zip(one.q_nets.nets, (1.0, 3.0), strict=True):
        hosts.constant(net, value)
    loss = one.q_loss(torch.zeros(2, hosts.OBS), torch.zeros(2, hosts.ACT), torch.tensor([0.0, 1.0]))
    assert loss.item() == close((1 + 0 + 9 + 4) / 4)


@pytest.mark.parametrize(("q", "expected"), [(0.1, 0.028), (0.5, 0.012)])
def test_the_cost_value_leans_low(q, expected):
    one = critic(larger=True, floor=0.0, stuck=True)
    hosts.constant(one.v_net, 0.3)
    loss, value = one.value_loss(torch.tensor([q]), torch.zeros(1, hosts.OBS))
    assert (loss.item(), value.item()) == close((expected, 0.3), abs=1e-6)


@pytest.mark.parametrize("stuck", [True, False])
def test_a_cost_value_below_its_floor_is_stuck_there_as_published_or_free(stuck):
    one = critic(larger=True, floor=0.0, stuck=stuck)
    hosts.constant(one.v_net, -0.5)
    loss, value = one.value_loss(torch.tensor([1.0]), torch.zeros(1, hosts.OBS))
    (gradient,) = torch.autograd.grad(loss, [one.v_net[-1].bias])
    assert value.item() == 0.0  # what others use of it is never below the floor
    assert loss.item() == close(0.3 if stuck else 0.3 * 1.5**2)
    assert gradient.item() == close(0.0 if stuck else -0.3 * 2 * 1.5)


@pytest.mark.parametrize("fresh", [False, True])
def test_the_order_of_an_update_is_value_then_q_then_target(fresh):
    one, batch = critic(fresh=fresh, lr=0.05, tau=0.1), hosts.data(32)
    by_hand, frozen = copy.deepcopy(one.v_net), copy.deepcopy(one)
    q = one.q_target(batch.observations, batch.actions).amin(0)
    before = by_hand(batch.observations).squeeze(-1)
    following = by_hand(batch.next_observations).squeeze(-1).detach()
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.05)
    loss = expectile_loss(q - before, 0.7)
    loss.backward()
    optimizer.step()
    if fresh:
        following = by_hand(batch.next_observations).squeeze(-1).detach()
    goal = batch.rewards + 0.99 * (1 - batch.terminals) * following

    got_q, got_v, info = one.update(batch, batch.rewards)

    assert torch.allclose(got_q, q)
    assert torch.allclose(got_v, before)
    assert info["loss/reward_v"].item() == close(loss.item(), abs=1e-6)
    loss_q = ((frozen.q_nets(batch.observations, batch.actions) - goal) ** 2).mean()
    assert info["loss/reward_q"].item() == close(loss_q.item(), abs=1e-5)
    new, old, target = (list(x.parameters()) for x in (one.q_nets, frozen.q_target, one.q_target))
    for a, b, c in zip(new, old, target, strict=True):
        assert torch.allclose(c, 0.1 * a + 0.9 * b, atol=1e-6)


def test_iql_finds_the_values_of_a_line_of_two_states():
    # s0 -(r=0)-> s1 -(r=1)-> end: V(s1) = 1, V(s0) = .99.
    one = critic(lr=3e-3, tau=0.05)
    states = torch.eye(hosts.OBS)[:3]
    batch = replace(
        hosts.data(2),
        observations=states[:2],
        actions=torch.zeros(2, hosts.ACT),
        next_observations=states[1:],
        rewards=torch.tensor([0.0, 1.0]),
        terminals=torch.tensor([0.0, 1.0]),
    )
    for _ in range(1500):
        one.update(batch, batch.rewards)
    assert one.value(states[:2]).tolist() == close([0.99, 1.0], abs=0.03)


# ---- what the three agents share


@pytest.mark.parametrize(("name", "twin"), ALL)
def test_an_update_changes_all_that_learns_and_nothing_else(name, twin):
    one = hosts.agent(name, proco=twin)
    one.prepare(hosts.data())
    before = hosts.tensors(one.state_dict())
    hosts.trained(one, 2)
    after = hosts.tensors(one.state_dict())
    fixed = ("obs_mean", "obs_std", "/log_std", "/return_scale")
    for key, value in before.items():
        changed = not torch.equal(value, after[key]) if isinstance(value, torch.Tensor) else value != after[key]
        assert changed != key.endswith(fixed), key


@pytest.mark.parametrize(("name", "twin"), ALL)
def test_saved_loaded_and_continued_is_bit_for_bit_the_run_that_went_on(name, twin):
    first_problem, second_problem = hosts.problem(reference_returns=None), hosts.problem(reference_returns=None)
    first = hosts.agent(name, first_problem, proco=twin)
    first.prepare(hosts.data())
    hosts.trained(first, 3)
    saved, noise = copy.deepcopy(first.state_dict()), first_problem.noise.get_state()
    second = hosts.agent(name, second_problem, proco=twin, seed=99, actor_lr=3e-4)
    second.load_state_dict(saved)
    second_problem.noise.set_state(noise)
    assert hosts.same(first.state_dict(), second.state_dict())
    hosts.trained(first, 3, seed=6)
    hosts.trained(second, 3, seed=6)
    assert hosts.same(first.state_dict(), second.state_dict())


@pytest.mark.parametrize(("name", "twin"), ALL)
def test_hyperparameters_are_no_state(name, twin):
    first, second = hosts.agent(name, proco=twin), hosts.agent(name, proco=twin, critic_lr=0.123, gamma=0.5)
    hosts.trained(first, 1)
    second.load_state_dict(first.state_dict())
    assert second.reward.q_optimizer.param_groups[0]["lr"] == 0.123
    assert second.reward.gamma == 0.5


@pytest.mark.parametrize(("name", "twin"), ALL)
def test_actions_are_bounded_and_an_episode_does_not_depend_on_those_beside_it(name, twin):
    one = hosts.agent(name, hosts.problem(max_action=0.5), proco=twin)
    hosts.trained(one, 2, hosts.data(max_action=0.5))
    observations = 3.0 * torch.randn(6, hosts.OBS)

    def run(rows):
        policy, actions = one.policy(), []
        policy.reset(range(len(rows)), [100 + r for r in rows])
        for _ in range(3):
            actions.append(policy.act(observations[rows]))
            policy.observe(torch.zeros(len(rows)), torch.ones(len(rows)))
        return torch.stack(actions)

    everyone = run([0, 1, 2, 3, 4, 5])
    assert everyone.shape == (3, 6, hosts.ACT)
    assert everyone.abs().max() <= 0.5
    assert not everyone.requires_grad
    assert torch.equal(everyone, run([0, 1, 2, 3, 4, 5]))
    assert torch.allclose(everyone[:, [4, 1]], run([4, 1]), atol=1e-5)
    rolled = one.act(observations, torch.Generator().manual_seed(1))
    assert rolled.shape == (6, hosts.ACT)
    assert rolled.abs().max() <= 0.5
    assert torch.equal(rolled, one.act(observations, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(("name", "twin"), ALL)
@pytest.mark.parametrize("count", [400, 50, 3])
def test_constant_rewards_without_cost_stay_finite(name, twin, count):
    one = hosts.agent(name, hosts.problem(reference_returns=None), proco=twin, compat="fixed")
    dull = hosts.data(count, unsafe=0.0, reward=1.0)
    one.prepare(dull)
    info = hosts.trained(one, 5, dull)
    for key, value in {**hosts.tensors(one.state_dict()), **info}.items():
        assert torch.as_tensor(value).float().isfinite().all(), key


@pytest.mark.parametrize(("name", "twin"), ALL)
def test_what_an_update_draws_comes_from_the_problems_generator_alone(name, twin):
    states = []
    for seed in (1, 2):
        one = hosts.agent(name, hosts.problem(), proco=twin)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        hosts.trained(one, 2)
        assert torch.equal(before, torch.get_rng_state())
        states.append(one.state_dict())
    assert hosts.same(*states)


@pytest.mark.parametrize("name", ["fisor", "lspc", "caps"])
def test_reward_critic_and_stock_and_twin_agree_on_the_reward(name):
    """Eq. 13: the reward critic sees D alone, so that from the same weights it is the same in stock and twin."""
    stock, twin = hosts.agent(name), hosts.agent(name, proco=True)
    twin.reward.q_nets.load_state_dict(stock.reward.q_nets.state_dict())
    twin.reward.q_target.load_state_dict(stock.reward.q_target.state_dict())
    twin.reward.v_net.load_state_dict(stock.reward.v_net.state_dict())
    hosts.trained(stock, 3)
    hosts.trained(twin, 3)
    assert hosts.same(stock.reward.q_nets.state_dict(), twin.reward.q_nets.state_dict())


@pytest.mark.parametrize("name", ["fisor", "lspc", "caps"])
def test_the_twins_critic_learns_from_the_batch_it_is_given(name):
    one, batch = hosts.agent(name, proco=True), hosts.data(64)
    twin_of_it = copy.deepcopy(one.feasibility)
    imagined = hosts.feasibility(hosts.data(96, seed=8))
    info = one.update(batch, imagined)
    twin_of_it.update(imagined)
    assert hosts.same(one.feasibility.critic.state_dict(), twin_of_it.critic.state_dict())
    assert info["feasibility/h_max"] == one.config.h_max


@pytest.mark.parametrize("name", ["fisor", "lspc", "caps"])
def test_the_page_lists_every_setting_with_its_default(name):
    page = (Path(__file__).parents[2] / "docs" / "algorithms" / f"{name}.md").read_text(encoding="utf-8")
    own = algorithm(name).config_class()
    for field in fields(own):
        assert f"| `{field.name}` | {getattr(own(), field.name)} |" in page, field.name
