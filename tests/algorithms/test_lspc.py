"""LSPC's formulas by hand, what learns and what does not, its two ways to act, its faults and its twin."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import iql_hosts as hosts
import pytest
import torch
from torch import nn

from osrl_proco.algorithms.lspc import divergence, published_z_max
from osrl_proco.algorithms.networks import GaussianHead
from osrl_proco.core.errors import UserError

close = pytest.approx


def lspc(the_problem=None, **changes):
    return hosts.agent("lspc", the_problem, **changes)


def still(head, mean, std):
    """Make a Gaussian head answer one mean and deviation everywhere, entry by entry."""
    nn.init.zeros_(head.net[-1].weight)
    head.net[-1].bias.data = torch.tensor([*mean, *(math.log(s) for s in std)])


# ---- formulas


def test_divergence_is_a_mean_over_latents_times_beta():
    mean, std = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.5]])
    assert divergence(mean, std.log(), 0.5).item() == close(0.204537, abs=1e-6)
    assert divergence(mean, std.log(), 1.0).item() == close(0.409074, abs=1e-6)


def test_vae_loss_by_hand(monkeypatch):
    one = lspc(latent_dim=2)
    still(one.vae.encoder, [1.0, 0.0], [1.0, 0.5])
    actions = torch.tensor([[0.5, 0.5]])
    monkeypatch.setattr(one.vae, "decode", lambda s, z: actions + torch.tensor([[0.1, -0.2]]))
    weight = one.cost_weight(torch.tensor([0.1]), torch.tensor([0.3]))
    assert weight.item() == close(1.491825, abs=1e-5)
    loss, info = one.vae_loss(torch.zeros(1, hosts.OBS), actions, weight)
    assert loss.item() == close(0.379724, abs=1e-5)
    assert info["vae/kl"].item() == close(0.204537, abs=1e-5)


def test_actor_loss_by_hand(monkeypatch):
    one, actions = lspc(), torch.tensor([[0.2, 0.2]])
    weight = one.reward_weight(torch.tensor([1.5]), torch.tensor([0.0]))
    assert weight.item() == close(20.085537, rel=1e-5)
    monkeypatch.setattr(one.vae, "decode", lambda s, z: actions + torch.tensor([[0.3, 0.1]]))
    loss, _ = one.actor_loss(torch.zeros(1, hosts.OBS), actions, weight)
    assert loss.item() == close(2.008554, abs=1e-5)


def test_latents_are_bounded_by_z_max():
    assert lspc().bounded(torch.tensor(1.0)).item() == close(0.190399, abs=1e-6)
    assert lspc(z_max=0.6).bounded(torch.tensor(100.0)).item() == close(0.6)


def test_weights_are_clipped():
    one = lspc()
    assert one.cost_weight(torch.tensor([0.0]), torch.tensor([9.0])).item() == close(200.0, rel=1e-5)
    assert one.reward_weight(torch.tensor([9.0]), torch.tensor([0.0])).item() == close(200.0, rel=1e-5)


def test_the_cost_critic_is_the_larger_leans_low_and_never_goes_below_zero():
    one = lspc()
    cost = one.cost
    hosts.constant(cost.v_net, 0.3)
    for q, expected in ((0.1, 0.028), (0.5, 0.012)):
        assert cost.value_loss(torch.tensor([q]), torch.zeros(1, hosts.OBS))[0].item() == close(expected, abs=1e-6)
    for net, value in zip(cost.q_target.nets, (-2.0, 0.4), strict=True):
        hosts.constant(net, value)
    hosts.constant(cost.v_net, -3.0)
    q, v = cost.judge(torch.zeros(1, hosts.OBS), torch.zeros(1, hosts.ACT))
    assert (q.item(), v.item()) == close((0.4, 0.0))
    hosts.constant(cost.q_target.nets[1], -0.4)
    assert cost.target_q(torch.zeros(1, hosts.OBS), torch.zeros(1, hosts.ACT)).item() == 0.0
    assert one.reward.floor is None
    assert not one.reward.larger


def test_the_mask_of_metadrive_leaves_out_what_costs():
    q, v = torch.tensor([0.01, 0.03, 0.01, 0.03]), torch.tensor([0.01, 0.01, 0.03, 0.03])
    assert (lspc().cost_weight(q, v) > 0).all()
    assert (lspc(cost_threshold=0.02).cost_weight(q, v) > 0).tolist() == [True, False, False, False]


def test_deviations_are_clamped():
    head = GaussianHead([3, 4, 2], (-10.0, 2.0))
    nn.init.constant_(head.net[-1].bias, 50.0)
    assert (head(torch.zeros(1, 3))[1] == 2.0).all()
    assert lspc().actor.bounds == (-10.0, 2.0)
    assert lspc().vae.encoder.bounds == (-4.0, 15.0)


def test_published_bounds_of_the_latents():
    for name in ("CarCircle", "DroneRun", "DroneCircle", "CarRun", "AntCircle", "BallRun", "BallCircle"):
        assert published_z_max(f"Offline{name}-v0") == 0.6
    for task in ("OfflineAntRun-v0", "OfflineCarCircle1Gymnasium-v0", "OfflinePointGoal1Gymnasium-v0"):
        assert published_z_max(task) == 0.25
    assert lspc(task="OfflineBallRun-v0").z_max == 0.6
    assert lspc(task="OfflineBallRun-v0", z_max=0.1).z_max == 0.1


# ---- what learns


def test_the_latent_policys_gradient_passes_through_a_decoder_that_it_does_not_step():
    one, batch = lspc(), hosts.data(64)
    loss, _ = one.actor_loss(batch.observations, batch.actions, torch.ones(64))
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in one.actor.parameters())
    mine = {id(p) for p in one.actor.parameters()}
    assert {id(p) for p in one.actor_optimizer.param_groups[0]["params"]} == mine
    assert {id(p) for p in one.vae_optimizer.param_groups[0]["params"]} == {id(p) for p in one.vae.parameters()}

    frozen = lspc(vae_lr=0.0)
    before = copy.deepcopy(frozen.vae.state_dict())
    hosts.trained(frozen, 3)
    assert hosts.same(before, frozen.vae.state_dict())


def test_no_gradient_reaches_the_critics_from_the_policies():
    one, batch = lspc(), hosts.data(64)
    q, v = one.cost.judge(batch.observations, batch.actions)
    loss, info = one.vae_loss(batch.observations, batch.actions, one.cost_weight(q, v))
    (loss + one.actor_loss(batch.observations, batch.actions, one.reward_weight(q, v))[0]).backward()
    assert not info["loss/vae"].requires_grad
    for critic in (one.reward, one.cost):
        assert all(p.grad is None for net in (critic.q_nets, critic.v_net) for p in net.parameters())


@pytest.mark.parametrize("twin", [False, True])
def test_weights_come_from_the_values_before_the_update(twin, monkeypatch):
    one, batch = lspc(proco=twin, critic_lr=0.1), hosts.data(64)
    expected_c, expected_r = (
        one.cost.judge(batch.observations, batch.actions),
        one.reward.judge(batch.observations, batch.actions),
    )
    seen, vae_loss, actor_loss = {}, one.vae_loss, one.actor_loss
    monkeypatch.setattr(one, "vae_loss", lambda s, a, w: (seen.update(vae=w), vae_loss(s, a, w))[1])
    monkeypatch.setattr(one, "actor_loss", lambda s, a, w: (seen.update(actor=w), actor_loss(s, a, w))[1])
    one.update(batch, hosts.feasibility(batch) if twin else None)
    assert torch.allclose(seen["vae"], one.cost_weight(*expected_c), rtol=1e-4)
    assert torch.allclose(seen["actor"], one.reward_weight(*expected_r), rtol=1e-4)


@pytest.mark.slow
def test_the_policy_finds_the_rewarded_action_among_the_careful_ones():
    """Actions .6 and -.6 without cost, the former with reward; .0 with cost. O goes to .6."""
    one = lspc(
        hosts.problem(), latent_dim=2, z_max=2.0, beta=0.05, critic_lr=0.003, vae_lr=0.003, actor_lr=0.003, tau=0.05
    )
    kind = torch.arange(400) % 4
    actions = torch.tensor([0.6, -0.6, 0.0, 0.6])[kind][:, None].expand(-1, hosts.ACT)
    base = replace(
        hosts.data(),
        actions=actions,
        rewards=(kind % 3 == 0).float(),
        costs=(kind == 2).float(),
        terminals=torch.ones(400),
    )
    hosts.trained(one, 500, base)
    assert one.act(base.observations, torch.Generator().manual_seed(0)).mean().item() > 0.3


# ---- faults


def test_terminals_and_timeouts_together_do_not_count_twice():
    goal = lspc().reward.goal(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([10.0]))
    assert goal.item() == 1.0  # not 1 - .99 * 10


@pytest.mark.parametrize(("compat", "stuck"), [("osrl", True), ("fixed", False)])
def test_a_cost_value_below_zero_is_stuck_as_published_and_free_when_mended(compat, stuck):
    one = lspc(compat=compat, critic_lr=0.01)
    hosts.constant(one.cost.v_net, -0.05)
    for net in (*one.cost.q_nets.nets, *one.cost.q_target.nets):
        hosts.constant(net, 1.0)
    loss, _ = one.cost.value_loss(torch.ones(1), torch.zeros(1, hosts.OBS))
    if stuck:
        assert loss.item() == close(0.3)
    before = copy.deepcopy(one.cost.v_net.state_dict())
    hosts.trained(one, 3, hosts.data(unsafe=1.0))
    assert hosts.same(before, one.cost.v_net.state_dict()) is stuck


def test_the_cost_value_and_its_optimizer_are_saved_and_loaded():
    one, again = lspc(), lspc(seed=5)
    hosts.trained(one, 2)
    state = one.state_dict()
    again.load_state_dict(state)
    assert hosts.same(one.cost.v_net.state_dict(), again.cost.v_net.state_dict())
    assert state["cost"]["v_optimizer"]


# ---- acting


def test_o_samples_the_latent_policy_and_s_the_clipped_prior():
    one = lspc(latent_dim=2)
    still(one.actor, [1.0, -1.0], [0.5, 0.5])
    s, noise = torch.zeros(1, hosts.OBS), torch.tensor([[2.0, 0.1]])
    expected = [0.25 * math.tanh(2.0), 0.25 * math.tanh(-0.95)]
    assert one.latent(s, noise, "O")[0].tolist() == close(expected, abs=1e-6)
    assert one.latent(s, None, "O")[0].tolist() == close([0.190399, -0.190399], abs=1e-6)
    assert one.latent(s, noise, "S")[0].tolist() == close([0.25, 0.1])
    assert one.latent(s, None, "S")[0].tolist() == [0.0, 0.0]


def test_with_the_published_bound_four_of_five_entries_of_the_prior_lie_on_it():
    noise = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    z = lspc().latent(torch.zeros(4000, hosts.OBS), noise, "S")
    assert (z.abs() == 0.25).float().mean().item() == close(0.8, abs=0.02)


@pytest.mark.parametrize("mode", ["O", "S"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_policies(mode, deterministic):
    one, s = lspc(policy_mode=mode, deterministic=deterministic), torch.randn(3, hosts.OBS)
    policy = one.policy()
    policy.reset([0, 1, 2], [1, 2, 3])
    first, second = policy.act(s), policy.act(s)
    assert torch.equal(first, second) is deterministic
    policy.reset([0, 1, 2], [1, 2, 3])
    assert torch.equal(first, policy.act(s))
    if deterministic:
        assert torch.equal(first, one.vae.decode(s, one.latent(s, None, mode)))


def test_rollouts_follow_o_whatever_acts_at_evaluation():
    o, s, states = lspc(), lspc(policy_mode="S", deterministic=True), torch.randn(3, hosts.OBS)
    assert torch.equal(*(x.act(states, torch.Generator().manual_seed(1)) for x in (o, s)))


# ---- the twin


@pytest.mark.parametrize(("lost_states", "lost"), [("feasible", [math.exp(1.0), math.exp(-0.8)]), ("drop", [0.0, 0.0])])
def test_the_twins_rule_for_lost_states(lost_states, lost):
    one = lspc(proco=True, lost_states=lost_states)
    q_h, v_h = torch.tensor([-0.7, 0.3, 1.5, 2.4, 0.0]), torch.tensor([-0.5, -0.5, 2.0, 2.0, 0.0])
    expected = [math.exp(0.4), 0.0, *lost, 1.0]
    assert one.cost_weight(q_h, v_h).tolist() == close(expected, rel=1e-5)


def test_the_twins_values_are_not_bounded_at_zero():
    one, batch = lspc(proco=True), hosts.data(64)
    assert one.feasibility is one.cost
    q, v = one.cost.judge(batch.observations, batch.actions)
    assert q.max().item() < 0.5
    assert v.max().item() < 0.5
    assert q.min() < 0
    assert v.min() < 0
    assert lspc().feasibility is None


def test_defaults_are_the_published_ones():
    c = hosts.config_class("lspc")()
    assert (c.update_steps, c.batch_size, c.reward_scale, c.gamma, c.tau) == (1_000_000, 1024, 1.0, 0.99, 0.005)
    assert (c.actor_lr, c.critic_lr, c.vae_lr, c.latent_dim, c.beta) == (3e-4, 3e-4, 3e-4, 32, 0.5)
    assert (c.reward_expectile, c.cost_expectile, c.reward_temperature, c.cost_temperature) == (0.7, 0.7, 2.0, 2.0)
    assert (c.reward_clip, c.cost_clip, c.cost_threshold, c.policy_mode) == (200.0, 200.0, 999.0, "O")
    assert (c.a_hidden_sizes, c.c_hidden_sizes, c.vae_hidden_sizes) == ([256, 256], [256, 256], 256)


@pytest.mark.parametrize("changes", [{"policy_mode": "X"}, {"lost_states": "keep"}])
def test_settings_that_mean_nothing_are_refused(changes):
    with pytest.raises(UserError, match=next(iter(changes))):
        lspc(**changes)
