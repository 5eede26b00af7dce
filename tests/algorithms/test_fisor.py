"""FISOR's formulas by hand, what learns and what does not, its acting, its faults and its twin."""

from __future__ import annotations

import math
from dataclasses import replace

import iql_hosts as hosts
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from osrl_proco.algorithms.fisor import noise_schedule
from osrl_proco.algorithms.mish import mish
from osrl_proco.algorithms.networks import ScoreNetwork
from osrl_proco.core.errors import UserError
from osrl_proco.proco.danger import signed
from osrl_proco.proco.feasibility import FeasibilityBatch, ProcoSettings, backup
from osrl_proco.proco.losses import expectile_loss

close = pytest.approx


def fisor(the_problem=None, **changes):
    return hosts.agent("fisor", the_problem, **changes)


# ---- formulas


def test_noise_schedule():
    alphas, products = noise_schedule(5)
    assert alphas.tolist() == close([0.804125, 0.541182, 0.364219, 0.245122, 0.164969], abs=1e-6)
    assert products.tolist() == close([0.804125, 0.435178, 0.158500, 0.038852, 0.006409], abs=1e-6)


@pytest.mark.parametrize(
    ("v_h", "q_h", "advantage", "weight"),
    [
        (-0.5, -0.7, 0.2, 1.822119),
        (-0.5, 0.3, 0.2, 0.0),
        (2.0, 1.5, 9.0, 12.182494),
        (2.0, 2.4, 9.0, 0.135335),
        (20.0, 10.0, 9.0, 150.0),
        (-0.5, -0.7, 2.0, 100.0),
    ],
)
def test_weight(v_h, q_h, advantage, weight):
    q, v, q_h, v_h = (torch.tensor([x]) for x in (1.0 + advantage, 1.0, q_h, v_h))
    assert fisor().weight(q, v, q_h, v_h).item() == close(weight, rel=1e-5, abs=1e-6)


def test_the_branch_for_metadrive_never_weighs_a_lost_action_below_one():
    q_h, v_h, zero = torch.tensor([2.4, 0.3]), torch.tensor([2.0, -0.5]), torch.zeros(2)
    assert fisor().weight(zero, zero, q_h, v_h).tolist() == close([0.135335, 0.0], abs=1e-6)
    assert fisor(cost_floor=1.0).weight(zero, zero, q_h, v_h).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("next_unsafe", "next_value", "terminal", "target"),
    [(0.0, -1.0, 0.0, -1.0), (0.0, 3.0, 0.0, 2.96), (1.0, -0.5, 0.0, 25.0), (0.0, 3.0, 1.0, -1.0)],
)
def test_target_of_the_stock_feasibility_critic(next_unsafe, next_value, terminal, target):
    settings = fisor().cost.settings
    assert (settings.h_max, settings.feasibility_gamma, settings.h_of) == (25.0, 0.99, "reached")
    empty = torch.zeros(1, 1)
    # The state left is unsafe: h of the state reached does not look at it.
    reached, ended = signed(torch.tensor([next_unsafe])), torch.tensor([terminal])
    batch = FeasibilityBatch(empty, empty, empty, torch.ones(1), reached, ended)
    got = backup(batch, torch.tensor([next_value]), settings.feasibility_gamma, settings.h_max, settings.h_of)
    assert got.item() == close(target, abs=1e-5)


def test_expectiles_lean_high_for_reward_and_low_for_feasibility():
    one = fisor()
    hosts.constant(one.reward.v_net, 0.0)
    loss, _ = one.reward.value_loss(torch.tensor([2.0, -1.0, 0.5]), torch.zeros(3, hosts.OBS))
    assert loss.item() == close(1.308333, abs=1e-5)
    assert one.cost.settings.expectile == 0.9
    assert expectile_loss(torch.tensor([2.0, -1.0, 0.5]), 0.9, reverse=True).item() == close(0.441667, abs=1e-5)


def test_mish():
    assert mish(torch.tensor(1.0)).item() == close(0.865098, abs=1e-6)


def test_mish_and_its_slope_are_those_of_pytorch():
    x = torch.cat([torch.linspace(-100.0, 100.0, 4001), torch.linspace(-3.0, 3.0, 601)]).requires_grad_()
    pulled = torch.linspace(-2.0, 2.0, len(x))
    (ours,) = torch.autograd.grad(mish(x), x, pulled)
    (theirs,) = torch.autograd.grad(F.mish(x), x, pulled)
    assert torch.allclose(mish(x), F.mish(x), rtol=1e-5, atol=1e-6)
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_noised_action():
    noised = fisor().noised(torch.tensor([[0.5, -1.0]]), torch.tensor([1]), torch.tensor([[0.2, 0.0]]))
    kept = 0.435178
    expected = [math.sqrt(kept) * 0.5 + math.sqrt(1 - kept) * 0.2, -math.sqrt(kept)]
    assert noised[0].tolist() == close(expected, abs=1e-5)


@pytest.mark.parametrize(("level", "noise", "expected"), [(1, 0.3, 0.716904), (1, 0.0, 0.513695), (0, None, 0.458872)])
def test_one_step_of_the_reverse_process(level, noise, expected):
    noise = None if noise is None else torch.tensor([[noise]])
    assert fisor().denoise(torch.tensor([[0.5]]), torch.tensor([[0.2]]), level, noise).item() == close(
        expected, abs=1e-5
    )


def test_samples_are_clipped_after_every_step():
    one = fisor()
    assert one.denoise(torch.tensor([[5.0]]), torch.tensor([[0.0]]), 3, torch.tensor([[9.0]])).item() == 1.0
    seen = []
    handle = one.actor_average.register_forward_pre_hook(lambda _, args: seen.append((args[1], args[2])))
    one.sample(torch.zeros(3, hosts.OBS), 4.0 * torch.randn(3, 5, hosts.ACT))
    handle.remove()
    assert [steps.unique().tolist() for _, steps in seen] == [[4], [3], [2], [1], [0]]
    assert seen[0][0].abs().max() > 1.0  # the first noise is not clipped
    assert all(x.abs().max() <= 1.0 for x, _ in seen[1:])


def test_actor_loss_by_hand():
    one = fisor()
    for parameter in one.actor.last.parameters():
        nn.init.zeros_(parameter)  # predicts 0, so the error is the noise itself
    noise, weight = torch.tensor([[0.3, -0.4], [1.0, 0.0]]), torch.tensor([1.822119, 12.182494])
    loss, _ = one.actor_loss(torch.zeros(2, hosts.OBS), torch.zeros(2, hosts.ACT), weight, torch.tensor([0, 4]), noise)
    assert loss.item() == close(6.319012, abs=1e-5)


# ---- the score network


def test_score_network_by_hand():
    torch.manual_seed(0)
    net = ScoreNetwork(3, 2, steps=5, width=8, blocks=2)
    s, a, t = torch.randn(6, 3), torch.randn(6, 2), torch.tensor([0, 1, 2, 3, 4, 2])
    angles = 2 * math.pi * t[:, None].float() * net.frequencies
    assert angles.shape == (6, 32)
    c = net.time[2](F.mish(net.time[0](torch.cat([angles.cos(), angles.sin()], 1))))
    assert c.shape == (6, 128)
    x = net.first(torch.cat([a, s, c], 1))
    for block in net.blocks:
        assert (block.wide.out_features, block.norm.eps) == (32, 1e-6)
        x = x + block.narrow(F.mish(block.wide(block.norm(x))))
    assert torch.allclose(net(s, a, t), net.last(F.mish(x)), atol=1e-5)


def test_score_network_of_published_size():
    torch.manual_seed(0)
    net = ScoreNetwork(60, 2, steps=5, width=256, blocks=3)
    assert net.frequencies.std().item() == close(0.2, rel=0.4)
    assert (net.first.in_features, net.first.out_features) == (60 + 2 + 128, 256)
    assert net.blocks[0].wide.weight.std().item() == close(1 / 16, rel=0.03)
    assert net.blocks[0].narrow.weight.std().item() == close(1 / 32, rel=0.03)
    assert net.last.weight.abs().max() <= math.sqrt(6 / 258)


def test_dropout_is_there_only_with_a_generator_and_drops_a_tenth():
    net = ScoreNetwork(3, 2, steps=5, width=8, blocks=2)
    s, a, t = torch.randn(4, 3), torch.randn(4, 2), torch.zeros(4, dtype=torch.long)
    assert torch.equal(net.train()(s, a, t), net.eval()(s, a, t))
    draws = [net(s, a, t, torch.Generator().manual_seed(k)) for k in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    block, seen = net.blocks[0], []
    block.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    block(torch.ones(5000, 8), torch.Generator().manual_seed(0))
    assert seen[0].unique().tolist() == close([0.0, 1 / 0.9])
    assert (seen[0] == 0).float().mean().item() == close(0.1, abs=0.01)


# ---- the update


def test_first_weights_are_xavier_in_both_stock_critics():
    one = fisor(c_hidden_sizes=[32, 32])
    for net in (*one.reward.q_nets.nets, one.reward.v_net, *one.cost.critic.q_nets, one.cost.critic.v_net):
        for layer in (m for m in net if isinstance(m, nn.Linear)):
            assert layer.weight.abs().max() <= math.sqrt(6 / (layer.in_features + layer.out_features))
            assert layer.bias.abs().max() == 0


def test_critics_see_the_first_rows_only_and_the_actor_all():
    batch = hosts.data(64)
    other = replace(batch, rewards=batch.rewards.clone(), costs=batch.costs.clone(), actions=batch.actions.clone())
    other.rewards[16:], other.costs[16:], other.actions[16:] = 5.0, 1.0, 0.0
    first, second = fisor(), fisor()
    first.update(batch), second.update(other)
    for part in ("reward", "cost"):
        assert hosts.same(first.state_dict()[part], second.state_dict()[part])
    assert not hosts.same(first.state_dict()["actor"], second.state_dict()["actor"])


def test_an_update_is_two_actor_steps_on_the_halves_then_the_critics(monkeypatch):
    one, batch, calls = fisor(critic_lr=0.1), hosts.data(64), []
    expected = one.weight(
        *one.reward.judge(batch.observations, batch.actions), *one.cost.judge(batch.observations, batch.actions)
    )
    real_loss, real_update = one.actor_loss, one.reward.update

    def actor_loss(observations, actions, weight, steps, noise, dropout=None):
        calls.append((observations, weight))
        return real_loss(observations, actions, weight, steps, noise, dropout)

    monkeypatch.setattr(one, "actor_loss", actor_loss)
    monkeypatch.setattr(one.reward, "update", lambda *a: (calls.append("critics"), real_update(*a))[1])
    one.update(batch)
    assert calls[2:] == ["critics"]
    assert torch.equal(calls[0][0], batch.observations[:32])
    assert torch.equal(calls[1][0], batch.observations[32:])
    assert one.actor_steps == 2
    assert torch.allclose(torch.cat([calls[0][1], calls[1][1]]), expected, rtol=1e-4)
    assert not any(weight.requires_grad for _, weight in calls[:2])


def test_the_average_follows_every_actor_step(monkeypatch):
    one = fisor(ema_tau=0.25, actor_lr=0.01)
    expected, seen = one.actor.last.weight.detach().clone(), []
    step = one.actor_optimizer.step
    monkeypatch.setattr(
        one.actor_optimizer, "step", lambda: (step(), seen.append(one.actor.last.weight.detach().clone()))
    )
    one.update(hosts.data(64))
    for weights in seen:
        expected = 0.75 * expected + 0.25 * weights
    assert len(seen) == 2
    assert torch.allclose(one.actor_average.last.weight, expected, atol=1e-6)


def test_no_gradient_reaches_the_critics_or_the_average_from_the_actor():
    one, batch = fisor(), hosts.data(64)
    q, v = one.reward.judge(batch.observations, batch.actions)
    weight = one.weight(q, v, *one.cost.judge(batch.observations, batch.actions))
    steps = torch.zeros(64, dtype=torch.long)
    loss, info = one.actor_loss(batch.observations, batch.actions, weight + 1.0, steps, torch.randn(64, hosts.ACT))
    loss.backward()
    assert not info["loss/actor"].requires_grad
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for n, p in one.actor.named_parameters() if n != "frequencies"
    )
    for module in (one.reward.q_nets, one.reward.v_net, one.cost.critic, one.actor_average):
        assert all(p.grad is None for p in module.parameters())


def test_recorded_actions_are_kept_just_inside_the_bounds():
    the_problem = hosts.problem(max_action=2.0)
    one, seen = fisor(the_problem), []
    batch = replace(hosts.data(64), actions=torch.full((64, hosts.ACT), 2.0))
    real = one.actor_loss
    one.actor_loss = lambda o, a, *rest, **more: (seen.append(a), real(o, a, *rest, **more))[1]
    one.update(batch)
    assert seen[0].max().item() == close(1 - 1e-5, abs=1e-7)


def test_the_rate_falls_by_the_number_of_actor_steps_and_a_resumed_run_goes_on_there():
    one = fisor(lr_decay_steps=100)
    hosts.trained(one, 25)
    assert one.actor_steps == 50
    assert one.actor_optimizer.param_groups[0]["lr"] == close(3e-4 * 0.5 * (1 + math.cos(math.pi * 0.49)))
    again = fisor(lr_decay_steps=100)
    again.load_state_dict(one.state_dict())
    hosts.trained(again, 1)
    assert again.actor_optimizer.param_groups[0]["lr"] == close(3e-4 * 0.5 * (1 + math.cos(math.pi * 0.51)))


# ---- acting


@pytest.mark.parametrize("select", ["minqc", "maxq"])
def test_the_choice_is_the_lowest_feasibility_q_or_the_highest_reward_q(select):
    one, observations = fisor(select=select), torch.randn(3, hosts.OBS)
    noise = torch.randn(3, 4, 5, hosts.ACT)
    chosen = one.choose(observations, noise)
    for row in range(3):
        candidates = one.sample(observations[row].repeat(4, 1), noise[row])
        if select == "minqc":
            best = one.cost.target.q(observations[row].repeat(4, 1), candidates).argmin()
        else:
            best = one.reward.target_q(observations[row].repeat(4, 1), candidates).argmax()
        assert torch.allclose(chosen[row], candidates[best], atol=1e-6)


@pytest.mark.parametrize("recover", [None, -0.02])
def test_first_takes_the_policys_first_sample_that_the_critic_lets_pass_else_the_safest(recover):
    one, observations = fisor(select="first", proco=True, recover=recover), torch.randn(40, hosts.OBS)
    nn.init.normal_(one.cost.target.q_nets[0][-1].weight)
    nn.init.constant_(one.cost.target.q_nets[0][-1].bias, 0.0)  # so that Q is about 0
    noise = torch.randn(40, 4, 5, hosts.ACT)
    chosen, taken = one.choose(observations, noise), []
    for row in range(40):
        repeated = observations[row].repeat(4, 1)
        candidates = one.sample(repeated, noise[row])
        q = one.cost.target.q(repeated, candidates).tolist()
        passing = [i for i, value in enumerate(q) if value <= (recover or 0.0)]
        best = passing[0] if passing else q.index(min(q))
        taken.append((bool(passing), best))
        assert torch.allclose(chosen[row], candidates[best], atol=1e-6)
    assert {passed for passed, _ in taken} == {True, False}  # both happened, and not always the first sample
    assert len({best for _, best in taken}) > 1


def test_stock_has_no_first():
    observations, noise = torch.randn(3, hosts.OBS), torch.randn(3, 4, 5, hosts.ACT)
    assert torch.equal(fisor(select="first").choose(observations, noise), fisor().choose(observations, noise))


def test_the_average_acts_and_other_seeds_act_otherwise():
    one, observations = fisor(), torch.randn(4, hosts.OBS)
    first = one.act(observations, torch.Generator().manual_seed(1))
    nn.init.normal_(one.actor.last.weight)
    assert torch.equal(first, one.act(observations, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, one.act(observations, torch.Generator().manual_seed(2)))


@pytest.mark.slow
def test_the_policy_fits_a_weighted_target():
    """Half of the actions are .6, half -.6, the former with the reward: the policy ends near .6."""
    one = fisor(hosts.problem(reference_returns=(0.0, 50.0)), actor_lr=0.003, critic_lr=0.003, ema_tau=0.05, tau=0.05)
    base = hosts.data(400, unsafe=0.0)
    sign = torch.where(torch.arange(400) % 2 == 0, 1.0, -1.0)
    steady = replace(base, actions=0.6 * sign[:, None].expand(-1, 2), rewards=sign, terminals=torch.ones(400))
    hosts.trained(one, 400, steady)
    assert one.act(base.observations, torch.Generator().manual_seed(0)).mean().item() > 0.4


# ---- the known failure, and the twin


def test_on_safe_data_every_state_is_feasible_and_the_weight_is_the_rewards_alone():
    one, safe = fisor(), hosts.data(unsafe=0.0)
    for net in (*one.cost.critic.q_nets, *one.cost.target.q_nets, one.cost.critic.v_net):
        hosts.constant(net, -1.0)
    info = hosts.trained(one, 1, safe)  # -1 everywhere is the solution
    assert info["loss/feasibility_q"].item() == close(0.0, abs=1e-9)
    assert info["loss/feasibility_v"].item() == close(0.0, abs=1e-9)
    q_h, v_h = one.cost.judge(safe.observations, safe.actions)
    q, v = one.reward.judge(safe.observations, safe.actions)
    assert torch.allclose(one.weight(q, v, q_h, v_h), (3.0 * (q - v)).exp().clamp_max(100.0), rtol=1e-4)


def test_the_twin_takes_procos_settings_and_the_stock_its_own():
    changes = {"stock_h_max": 3.0, "h_max": 3.0, "feasibility_gamma": 0.8, "expectile": 0.7}
    stock, twin = fisor(**changes), fisor(proco=True, **changes)
    assert twin.feasibility is twin.cost
    assert stock.feasibility is None
    assert twin.cost.settings == ProcoSettings(3.0, 0.7, [16, 16], 0.8, "reached", "mean", 0.02)
    assert stock.cost.settings == ProcoSettings(3.0, 0.7, [16, 16], 0.99, "reached", farthest=math.inf)
    data = hosts.data()
    stock.prepare(data), twin.prepare(data)
    assert stock.cost.critic.obs_std.tolist() == [1.0] * hosts.OBS
    assert torch.allclose(twin.cost.critic.obs_std, data.observations.std(0))
    assert (twin.batch_size, twin.feasibility_batch_size) == (64, 16)


def test_defaults_are_the_published_ones():
    c = hosts.config_class("fisor")()
    assert (c.batch_size, c.critic_batch_size, c.actor_lr, c.critic_lr) == (2048, 256, 3e-4, 3e-4)
    assert (c.gamma, c.tau, c.ema_tau, c.reward_expectile, c.expectile, c.stock_h_max) == (
        0.99,
        0.005,
        0.001,
        0.9,
        0.9,
        25.0,
    )
    assert (c.reward_temperature, c.reward_clip, c.cost_temperature, c.cost_clip) == (3.0, 100.0, 5.0, 150.0)
    assert (c.a_hidden_sizes, c.c_hidden_sizes, c.num_samples) == ([256] * 3, [256] * 2, 16)


@pytest.mark.parametrize(
    ("changes", "word"), [({"select": "best"}, "minqc"), ({"a_hidden_sizes": [8, 16]}, "one width")]
)
def test_settings_that_mean_nothing_are_refused(changes, word):
    with pytest.raises(UserError, match=word):
        fisor(**changes)
