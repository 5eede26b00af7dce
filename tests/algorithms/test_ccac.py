"""CCAC's formulas by hand, its stages, what its policy keeps in an episode, its faults and its twin."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from build import ACT, OBS, agent, feasibility, transitions, updates
from iql_hosts import constant
from torch import nn

from osrl_proco.algorithms.ccac import LOG_MULTIPLIER, Critic, Critics, bounded, mean_where
from osrl_proco.data.samplers import Marked
from osrl_proco.data.trajectories import Trajectories
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.losses import divergence
from osrl_proco.run.config import config_class

close = pytest.approx
ROOT_E = math.exp(0.5)


def ccac(proco=False, **changes):
    return agent("ccac", proco, **changes)


def batch_of(one, data=None, seed=2):
    return one.sampler(data or transitions()).sample(torch.Generator().manual_seed(seed))


def answers(one, *, q=0.0, q_c=0.0, multiplier=0.5):
    """Every net of a critic answers one value (before no softplus), log-multipliers another."""
    for critic, value in ((one.reward, q), (one.cost, q_c)):
        critic.nets.positive = False
        for net in critic.nets.nets:
            constant(net, value)
    for net in (one.actor_multiplier.net, one.cost_multiplier.net):
        constant(net, multiplier)


def without_decay(monkeypatch, *multipliers):
    for multiplier in multipliers:
        monkeypatch.setattr(multiplier, "decay", lambda: torch.zeros(()))


def losses(monkeypatch):
    """Every loss that is descended, in order, with its optimizer."""
    seen = []
    monkeypatch.setattr("osrl_proco.algorithms.ccac.descend", lambda o, loss: seen.append((o, loss.item())))
    return seen


# ---- formulas


def test_budgets_are_what_the_rest_of_the_trajectory_cost():
    zeros = torch.zeros(4)
    rows = Transitions.from_arrays(
        {
            "observations": torch.zeros(4, 1),
            "actions": torch.zeros(4, 1),
            "next_observations": torch.zeros(4, 1),
            "rewards": zeros,
            "costs": torch.tensor([0.0, 1.0, 0.0, 1.0]),
            "terminals": zeros,
            "timeouts": torch.tensor([0.0, 0.0, 0.0, 1.0]),
        }
    )
    budget, later = Trajectories.of(rows).budgets()
    assert (budget.tolist(), later.tolist()) == ([2, 2, 1, 1], [2, 1, 1, 0])
    batch = ccac().sampler(rows).sample(torch.Generator().manual_seed(0))
    assert torch.equal(batch.mark - batch.rows.costs >= 0, torch.ones(32, dtype=torch.bool))


def test_divergence_of_the_latents():
    mean, std = torch.tensor([[0.5, 0.0]]), torch.tensor([[1.0, 0.5]])
    assert divergence(mean, std.log(), 1.0).item() == close(0.221574, abs=1e-6)


def test_the_cvaes_loss_is_a_mean_over_entries(monkeypatch):
    one, pairs = ccac(latent_dim=2), torch.zeros(3, OBS + ACT)
    head = one.vae.encoder
    nn.init.zeros_(head.net[-1].weight)
    head.net[-1].bias.data = torch.tensor([0.5, 0.0, 0.0, math.log(0.5)])
    off = torch.tensor([0.6, 0.0, 0.0, 0.0, 0.0, 0.3])
    monkeypatch.setattr(one.vae, "decode", lambda z, k: pairs + off)
    loss, copies, info = one.vae_loss(pairs, torch.zeros(3))
    assert loss.item() == close((0.36 + 0.09) / 6 + 0.5 * 0.221574, abs=1e-6)
    assert info["vae/kl"].item() == close(0.110787, abs=1e-6)
    assert not copies.requires_grad


def test_the_classifier_learns_who_exceeds_the_first_rows_budget(monkeypatch):
    one, seen = ccac(), {}
    monkeypatch.setattr(one, "logits", lambda pairs, k: seen.update(pairs=pairs, told=k) or torch.zeros(6))
    pairs, copies = torch.zeros(3, 6), torch.ones(3, 6)
    loss = one.classifier_loss(pairs, copies, torch.tensor([1.0, 2.0, 0.0]))
    assert loss.item() == close(math.log(2))
    assert seen["told"].squeeze().tolist() == [1.0] * 6
    assert torch.equal(seen["pairs"], torch.cat([pairs, copies]))
    monkeypatch.setattr(one, "logits", lambda pairs, k: torch.tensor([-20.0, 20.0, -20.0] * 2))
    assert one.classifier_loss(pairs, copies, torch.tensor([1.0, 2.0, 0.0])).item() < 1e-6


def test_the_cost_critic_is_pushed_up_where_a_generated_pair_exceeds(monkeypatch):
    one = ccac()
    answers(one, q_c=0.8)
    without_decay(monkeypatch, one.cost_multiplier)
    made = torch.zeros(3, OBS + 1 + ACT)
    monkeypatch.setattr(one, "generated", lambda k: (made, torch.tensor([1.0, 1.0, 0.0])))
    monkeypatch.setattr(one.cost, "loss", lambda *given: torch.zeros(()))
    seen = losses(monkeypatch)
    one.cost_step(made, transitions().index(slice(0, 3)), torch.tensor([2.0, 2.0, 9.0]), made)
    assert [o for o, _ in seen] == [one.cost.optimizer, one.cost_multiplier.optimizer]
    assert [v for _, v in seen] == close([1.978466, -1.978466], abs=1e-5)


def test_a_batch_without_such_pairs_leaves_the_multiplier_alone(monkeypatch):
    one = ccac()
    before = copy.deepcopy(one.cost_multiplier.net.state_dict())
    monkeypatch.setattr(one, "generated", lambda k: (torch.zeros(32, OBS + 1 + ACT), torch.zeros(32)))
    updates(one, transitions(), 5)
    assert all(torch.equal(before[k], v) for k, v in one.cost_multiplier.net.state_dict().items())
    monkeypatch.setattr(one, "generated", lambda k: (torch.zeros(32, OBS + 1 + ACT), torch.ones(32)))
    updates(one, transitions(), 1)
    assert not any(torch.equal(before[k], v) for k, v in one.cost_multiplier.net.state_dict().items())


def test_the_actors_loss_and_its_multipliers(monkeypatch):
    one = ccac()
    answers(one, q=3.0, q_c=2.5)
    without_decay(monkeypatch, one.actor_multiplier)
    seen = losses(monkeypatch)
    one.actor_step(torch.zeros(4, OBS), torch.full((4,), 2.0))
    assert [o for o, _ in seen] == [one.actor_optimizer, one.actor_multiplier.optimizer]
    assert [v for _, v in seen] == close([-2.175639, -0.824361], abs=1e-5)


def test_multipliers_decay_and_are_bounded_by_value_only():
    one = ccac()
    net = one.actor_multiplier.net
    for p in net.parameters():
        nn.init.constant_(p, 0.5)
    assert one.actor_multiplier.decay().item() == close(0.01 * 0.25 * sum(p.numel() for p in net.parameters()))
    constant(net, 90.0)
    value = one.actor_multiplier(torch.zeros(1))
    assert value.item() == close(math.exp(LOG_MULTIPLIER[1]))
    value.backward()
    assert net[-1].bias.grad.item() == close(math.exp(5.0))


def test_bounds_pass_the_gradient():
    x = torch.tensor([-3.0, 0.2, 3.0], requires_grad=True)
    y = bounded(x, torch.full((3,), -1.0), torch.tensor([1.0, 1.0, 2.0]))
    assert y.tolist() == close([-1.0, 0.2, 2.0])
    y.sum().backward()
    assert x.grad.tolist() == [1.0] * 3


def test_of_several_critics_the_smallest_counts_and_ends_stop_the_sum():
    critic = Critic(Critics(3, [4], 3, positive=False), 1e-3, 0.9)
    for net, target, value in zip(critic.nets.nets, critic.target.nets, (2.0, 5.0, 1.0), strict=True):
        constant(net, value), constant(target, value + 1)
    x = torch.zeros(2, 3)
    assert critic.value(x).tolist() == [1.0, 1.0]
    # goals: 1 + .9 · 2 = 2.8 where it goes on, 1 at the end; each net's errors are averaged, the nets' summed.
    by_hand = sum(((q - 2.8) ** 2 + (q - 1.0) ** 2) / 2 for q in (2.0, 5.0, 1.0))
    loss = critic.loss(x, torch.ones(2), torch.tensor([0.0, 1.0]), x)
    assert loss.item() == close(by_hand, rel=1e-5)


def test_mean_where():
    assert mean_where(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([1.0, 1.0, 0.0])).item() == 2.0
    assert mean_where(torch.ones(3), torch.zeros(3)).item() == 0.0


def test_generated_pairs_lie_within_the_data():
    data, one = transitions(), ccac()
    for p in one.vae.decoder.parameters():
        nn.init.constant_(p, 3.0)
    made, _ = one.generated(torch.ones(5))
    assert made.shape == (5, OBS + 1 + ACT)
    assert torch.allclose(made[:, :OBS], data.observations.amax(0).expand(5, OBS))
    assert (made[:, OBS] == 1).all()
    assert torch.allclose(made[:, OBS + 1 :], torch.ones(5, ACT))


# ---- stages


@pytest.mark.parametrize("proco", [False, True])
def test_the_first_stage_learns_what_knows_danger_alone(proco):
    one = ccac(proco, update_steps=6, pretrain_share=0.5)
    acting = {n: copy.deepcopy(m.state_dict()) for n, m in {"a": one.actor, "q": one.reward.nets}.items()}

    def still():
        now = {"a": one.actor.state_dict(), "q": one.reward.nets.state_dict()}
        return all(torch.equal(acting[n][k], now[n][k]) for n in now for k in now[n])

    danger = one.feasibility.critic.v_net if proco else one.classifier
    before = copy.deepcopy(danger.state_dict())
    info = updates(one, transitions(), 3)
    assert still()
    assert "loss/actor" not in info
    assert any(not torch.equal(before[k], v) for k, v in danger.state_dict().items())
    info = updates(one, transitions(), 1)
    assert not still()
    assert {"loss/actor", "loss/reward_q"} <= info.keys()


def test_a_saved_first_stage_goes_on_as_the_first():
    first, second = (ccac(update_steps=8, pretrain_share=0.5, seed=s) for s in (0, 5))
    updates(first, transitions(), 2)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    actor = copy.deepcopy(second.actor.state_dict())
    updates(second, transitions(), 2)
    assert all(torch.equal(actor[k], v) for k, v in second.actor.state_dict().items())
    updates(second, transitions(), 1)
    assert not all(torch.equal(actor[k], v) for k, v in second.actor.state_dict().items())


# ---- acting


def test_the_policy_keeps_what_is_left_of_each_rows_limit(monkeypatch):
    one, seen = ccac(cost_limit=3.0), []
    monkeypatch.setattr(one, "act_within", lambda s, left: seen.append(left.tolist()))
    policy, states = one.policy(), torch.zeros(2, OBS)
    policy.reset([0, 1], [5, 6])
    policy.act(states)
    policy.observe(torch.zeros(2), torch.tensor([1.0, 0.0]))
    policy.act(states)
    policy.observe(torch.zeros(2), torch.tensor([9.0, 1.0]))
    policy.act(states)
    policy.reset([0], [7])
    policy.act(states)
    assert seen == [[3, 3], [2, 3], [0, 2], [3, 2]]


def test_the_limit_changes_what_is_done():
    one = ccac()
    states = torch.randn(20, OBS)
    assert not torch.allclose(one.act_within(states, torch.zeros(20)), one.act_within(states, torch.full((20,), 9.0)))
    assert one.limit_at_test


def bandit(count=600):
    """Steps that end at once: the reward is the first entry of the action, which costs above .3."""
    data = transitions(episodes=count, length=1)
    first = data.actions[:, 0]
    return dataclasses.replace(data, rewards=1.0 + first, costs=(first > 0.3).float(), terminals=torch.ones(count))


@pytest.mark.slow
def test_a_budget_lets_the_policy_do_what_costs():
    """Stock: with budget 1 the rewarded action, with budget 0 one that hardly costs."""
    data = bandit()
    quick = {"actor_lr": 0.003, "critic_lr": 0.003, "num_q": 2, "num_qc": 2, "pretrain_share": 0.1}
    one = ccac(data=data, update_steps=1500, batch_size=64, **quick)
    updates(one, data, 1500)
    generous, none = (one.act_within(data.observations, torch.full((600,), k))[:, 0].mean().item() for k in (1.0, 0.0))
    assert generous > 0.6
    assert none < generous - 0.2


@pytest.mark.slow
def test_the_twin_stops_where_safety_would_be_lost():
    """The bandit again, of which the data's own costs are gone, but not the labels of the critic's batch."""
    data = bandit()
    safe = dataclasses.replace(data, costs=torch.zeros(600))
    quick = {"actor_lr": 0.003, "critic_lr": 0.003, "num_q": 2, "pretrain_share": 0.3}
    one = ccac(True, data=safe, update_steps=600, **quick)
    sampler, generator = one.sampler(safe), torch.Generator().manual_seed(1)
    for _ in range(600):
        rows = torch.randint(600, (64,), generator=generator)
        one.update(sampler.sample(generator), feasibility(data, rows))
    first = one.act(data.observations, torch.Generator())[:, 0]
    assert 0.0 < first.mean().item() < 0.4


# ---- faults


def test_the_softplus_of_the_reward_critics_and_how_it_is_mended():
    x = torch.zeros(1, OBS + 1 + ACT)
    published = math.log1p(math.exp(-4.0))
    for one, value in ((ccac(), published), (ccac(reward_softplus=False), -4.0), (ccac(compat="fixed"), -4.0)):
        for net in one.reward.nets.nets:
            constant(net, -4.0)
        assert one.reward.value(x).item() == close(value)
    assert ccac(compat="fixed").cost.nets.positive
    assert (ccac().cost.larger, ccac(compat="fixed").cost.larger) == (False, True)


def test_on_data_without_costs_no_pair_ever_exceeds():
    """What the stock algorithm cannot learn from safe data: the classifier's labels are all 0."""
    one, data = ccac(), transitions(cost_rate=0.0)
    batch = batch_of(one, data)
    assert (batch.mark == 0).all()
    certain = torch.full((64,), -30.0)
    one.logits = lambda pairs, k: certain  # "never": a loss of 0 says that this is what is taught
    assert one.classifier_loss(torch.zeros(32, 6), torch.zeros(32, 6), batch.mark).item() < 1e-6


# ---- the twin


def test_the_twins_actor_pays_for_what_an_action_loses(monkeypatch):
    one = ccac(True)
    for net in one.reward.nets.nets:
        constant(net, 3.0)
    one.reward.nets.positive = False
    constant(one.actor_multiplier.net, 0.5)
    monkeypatch.setattr(one.feasibility.critic, "q", lambda s, a: torch.full((4,), 0.8))
    monkeypatch.setattr(one.feasibility.critic, "value", lambda s: torch.tensor([-1.0, 0.3, 0.8, 0.9]))
    without_decay(monkeypatch, one.actor_multiplier)
    seen = losses(monkeypatch)
    one.actor_step(torch.zeros(4, OBS), torch.full((4,), 2.0))
    mean = (0.8 + 0.5) / 4
    assert [v for _, v in seen] == close([-3 + ROOT_E * mean, -ROOT_E * mean], abs=1e-5)


def test_the_twin_has_no_generator_and_acts_with_budget_0(monkeypatch):
    one = ccac(True)
    assert not {"vae", "classifier", "cost", "cost_multiplier"} & one.parts().keys()
    assert not one.limit_at_test
    states = torch.randn(5, OBS)
    at_zero = one.act_within(states, torch.zeros(5))
    assert torch.equal(one.policy().act(states), at_zero)
    assert torch.equal(one.act(states, torch.Generator()), at_zero)


def test_imagined_rows_without_a_budget_do_no_harm():
    """The ablation "full model" marks them 0, though they may cost."""
    one, data = ccac(True), transitions(cost_rate=1.0)
    rows = data.index(slice(0, 32))
    for _ in range(4):
        info = one.update(Marked(rows, torch.zeros(32)), feasibility(data, slice(0, 32)))
    assert all(torch.isfinite(torch.as_tensor(v)) for v in info.values())


def test_published_settings():
    c = config_class("ccac")()
    assert (c.update_steps, c.pretrain_share, c.batch_size, c.reward_scale) == (400_000, 0.5, 512, 0.1)
    assert (c.actor_lr, c.critic_lr, c.vae_lr, c.gamma, c.tau, c.beta) == (1e-4, 1e-3, 1e-3, 0.99, 0.005, 0.5)
    assert (c.a_hidden_sizes, c.c_hidden_sizes, c.vae_hidden_sizes) == ([256, 256], [256, 256], 512)
    assert (c.latent_dim, c.num_q, c.num_qc, c.reward_softplus) == (64, 4, 4, True)
