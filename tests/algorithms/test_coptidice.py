"""COptiDICE: OSRL's updates bit for bit, the sheet's numbers, the two faults and their mends, and the twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from osrl.algorithms import COptiDICE, COptiDICETrainer
from osrl.algorithms.coptidice import get_f_div_fn
from osrl.common.dataset import TransitionDataset
from osrl_kit import (
    ACT,
    OBS,
    Silent,
    agent,
    assert_same,
    episodes,
    feasibility_batch,
    goes_on_bit_for_bit,
    problem,
    random_episodes,
    train,
    transitions,
)
from torch.nn import functional as F

from osrl_proco.data.samplers import Marked
from osrl_proco.proco.source import _Mixed


def constant(network, value):
    """Make a network answer `value` whatever it is asked."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for module in network.modules():
            if isinstance(module, torch.nn.Linear) and module.out_features in (1, ACT):
                module.bias.fill_(value)


def prepared(data, **changes):
    ours = agent("coptidice", **changes)
    ours.prepare(data)
    return ours


def test_what_osrl_asks_of_the_data_comes_in_prepare():
    arrays = random_episodes(finished=False)
    dataset = TransitionDataset({k: v.copy() for k, v in arrays.items()}, state_init=True)
    share, obs_std, act_std = dataset.get_dataset_states()
    data = transitions(arrays)
    ours = prepared(data)
    assert ours.model.init_state_propotion == float(share)
    np.testing.assert_array_equal(ours.model.observations_std.numpy(), obs_std)
    np.testing.assert_array_equal(ours.model.actions_std.numpy(), act_std)
    np.testing.assert_array_equal(ours.sampler(data).marks.numpy(), dataset.dataset["is_init"])


def test_the_updates_are_osrls_bit_for_bit():
    arrays = random_episodes()
    data = transitions(arrays)
    dataset = TransitionDataset({k: v.copy() for k, v in arrays.items()}, state_init=True)
    share, obs_std, act_std = dataset.get_dataset_states()
    torch.manual_seed(11)
    model = COptiDICE(OBS, ACT, 1.0, "softchi", share, obs_std, act_std, [16, 16], [16, 16], num_nu=2, num_chi=2,
                      episode_len=30)  # fmt: skip
    trainer = COptiDICETrainer(model, None, Silent(), actor_lr=1e-4, critic_lr=1e-4, scalar_lr=1e-4)
    ours = prepared(data)
    sampler, generator = ours.sampler(data), torch.Generator().manual_seed(3)
    batches = [sampler.sample(generator) for _ in range(150)]
    torch.manual_seed(5)  # what the problem's noise begins with
    for rows, init in batches:
        trainer.train_one_step(
            (
                rows.observations,
                rows.next_observations,
                rows.actions,
                rows.rewards * 0.1,
                rows.costs,
                rows.terminals,
                init,
            )
        )
    before = torch.get_rng_state()
    for batch in batches:
        ours.update(batch)
    assert torch.equal(before, torch.get_rng_state())  # nothing was drawn but from the problem's noise
    assert_same(dict(model.state_dict()), dict(ours.model.state_dict()))
    assert torch.equal(model.lmbda, ours.model.lmbda)
    assert torch.equal(model.tau, ours.model.tau)
    assert not torch.equal(model.lmbda, torch.ones(1))
    observations = torch.randn(5, OBS)
    expected = [model.act(o, True, True)[0] for o in observations.numpy()]
    np.testing.assert_allclose(ours.act(observations, generator), expected, atol=1e-6)


def test_the_divergence_and_its_weights():
    f, inverse = get_f_div_fn("softchi")
    alpha, e = 0.5, torch.tensor([-0.5, 0.2])
    w = F.relu(inverse(e / alpha))
    torch.testing.assert_close(w, torch.tensor([0.367879, 1.4]), atol=1e-6, rtol=0)
    torch.testing.assert_close(f(w), torch.tensor([0.264241, 0.08]), atol=1e-6, rtol=0)
    torch.testing.assert_close(w * e - alpha * f(w), torch.tensor([-0.316060, 0.24]), atol=1e-6, rtol=0)


def test_the_upper_bound_and_the_multiplier_on_the_sheets_numbers():
    data = transitions(episodes([[0.2, 0.8]], [np.zeros(2)]))
    ours = prepared(data, reward_scale=1.0)
    for network in (ours.model.nu_network, ours.model.chi_network):
        constant(network, 0.0)
    with torch.no_grad():
        ours.model.tau.fill_(math.log(math.e - 1))  # its softplus is 1
    multiplier = float(F.softplus(torch.ones(1)))
    assert multiplier == pytest.approx(1.313262, abs=1e-6)
    # e = r - lambda c = 0 gives w = 1, and with chi = 0 l is the cost: (0.2, 0.8).
    rows = data.index(torch.arange(2))
    object.__setattr__(rows, "rewards", multiplier * rows.costs)
    info = ours.update(Marked(rows, torch.tensor([1.0, 0.0])))
    assert float(info["loss/D_kl"]) == pytest.approx(0.043053, abs=1e-6)
    assert float(info["loss/chi_loss"]) == pytest.approx(0.587394, abs=1e-6)
    assert float(info["loss/lmbda"]) == pytest.approx(1.313262, abs=1e-6)
    bound = 0.587394  # of the cost: u w c, here the same mean
    assert float(info["loss/lmbda_loss"]) == pytest.approx(1.313262 * (ours.model.qc_thres - bound), abs=1e-5)
    assert float(info["loss/tau_loss"]) == pytest.approx(0.01 - 0.043053, abs=1e-6)
    u = torch.softmax(torch.tensor([0.2, 0.8]), 0) * 2
    torch.testing.assert_close(u, torch.tensor([0.708687, 1.291313]), atol=1e-6, rtol=0)


def test_the_threshold_is_a_hundred_times_too_loose_as_released(capsys):
    long = problem(episode_len=1000)
    released = agent("coptidice", task_problem=long).model.qc_thres
    assert "100 times too loose" in capsys.readouterr().err
    assert released == pytest.approx(0.99996, abs=1e-5)
    assert agent("coptidice", task_problem=long, compat="fixed").model.qc_thres == pytest.approx(0.0099996, abs=1e-7)
    assert capsys.readouterr().err == ""


def test_with_costs_in_half_of_all_steps_the_multiplier_falls_as_released_and_rises_when_mended():
    rng = np.random.default_rng(0)
    data = transitions(episodes([(rng.random(100) < 0.5).astype(float) for _ in range(20)]))

    def multipliers(compat):
        ours = agent("coptidice", compat=compat, task_problem=problem(episode_len=1000), scalar_lr=0.01)
        ours.prepare(data)
        train(ours, data, 100, torch.Generator().manual_seed(0))
        return float(F.softplus(ours.model.lmbda.detach()))

    assert multipliers("osrl") < 1.0 < 1.313262 < 1.7 < multipliers("fixed")


@pytest.mark.slow
def test_a_cloned_action_is_executed_as_its_tanh_as_released_and_as_itself_when_mended():
    ours = agent("coptidice")
    for value, executed in ((1.0, 0.7616), (0.5, 0.4621)):
        constant(ours.model.actor.mu_layer, value)
        acted = ours.act(torch.randn(3, OBS), torch.Generator())
        torch.testing.assert_close(acted, torch.full((3, ACT), executed), atol=1e-4, rtol=0)

    def trained(compat, limit):
        arrays = episodes([np.zeros(50)])
        arrays["actions"][:] = 0.9 * limit
        data = transitions(arrays)
        ours = agent("coptidice", compat=compat, actor_lr=0.01, task_problem=problem(max_action=limit))
        ours.prepare(data)
        train(ours, data, 300, torch.Generator().manual_seed(0))
        return ours.act(data.observations, torch.Generator()).mean()

    # The last step's noise, which differs from processor to processor, is a third of that; tanh(0.9) is .716.
    assert trained("osrl", 1.0) == pytest.approx(math.tanh(0.9), abs=0.06)
    assert trained("fixed", 1.0) == pytest.approx(0.9, abs=0.06)
    assert trained("fixed", 2.0) == pytest.approx(1.8, abs=0.12)


def test_actions_on_the_bound_are_finitely_far_out():
    arrays = episodes([np.zeros(20)])
    arrays["actions"][:] = 1.0
    data = transitions(arrays)
    ours = prepared(data, compat="fixed")
    info = train(ours, data, 5, torch.Generator().manual_seed(0))
    assert all(np.isfinite(float(v)) for v in info.values())


def test_the_twins_cost_is_the_share_that_the_action_loses():
    data = transitions(random_episodes())
    ours = agent("coptidice", proco=True, h_max=4.0)
    ours.prepare(data)
    assert ours.model.qc_thres == ours._config.cost_slack == 0.01
    batch = ours.sampler(data).sample(torch.Generator().manual_seed(0))
    critic = ours.feasibility.critic
    seen = []
    ours.trainer.train_one_step = lambda given: seen.append(given[4])
    for v, q, expected in ((-1.0, 1.0, 0.25), (3.0, 4.0, 0.25), (-1.0, -0.5, 0.0), (-1.0, 9.0, 1.0)):
        ours.feasibility.update = lambda batch, v=v, q=q: (constant(critic.v_net, v), constant(critic.q_nets, q), {})[2]
        ours.update(batch, feasibility_batch())
        torch.testing.assert_close(seen[-1], torch.full((16,), expected))


def test_the_twin_learns_its_critic_from_its_own_batch_and_the_rest_from_the_data():
    data = transitions(random_episodes())
    ours = agent("coptidice", proco=True)
    ours.prepare(data)
    before = {k: v.clone() for k, v in ours.feasibility.critic.state_dict().items()}
    train(ours, data, 3, torch.Generator().manual_seed(0))
    still = [k for k, v in ours.feasibility.critic.state_dict().items() if torch.equal(v, before[k])]
    assert all("obs_" in k for k in still)
    mean = data.observations.mean(0)
    torch.testing.assert_close(ours.feasibility.critic.obs_mean, mean)
    torch.testing.assert_close(ours.feasibility.target.obs_mean, mean)


def test_imagined_rows_of_the_full_model_ablation_begin_no_episode():
    data = transitions(random_episodes())
    ours = prepared(data)

    class Source:
        def beside(self, batch, generator):
            return data.index(torch.arange(len(batch) + 4))

    batch = _Mixed(ours.sampler(data), Source()).sample(torch.Generator().manual_seed(0))
    plain = ours.sampler(data).sample(torch.Generator().manual_seed(0))
    assert torch.equal(batch.mark, torch.cat([plain.mark, torch.zeros(4)]))
    assert len(batch.rows) == 20
    ours.update(batch)


@pytest.mark.parametrize(("proco", "compat"), [(False, "osrl"), (True, "osrl"), (True, "fixed")])
def test_save_load_continue(proco, compat):
    data = transitions(random_episodes())
    goes_on_bit_for_bit(lambda **seeds: agent("coptidice", proco=proco, compat=compat, **seeds), data)


def test_the_scalars_are_restored_in_place_where_their_optimizers_hold_them():
    data = transitions(random_episodes())
    ours = prepared(data)
    held = ours.model.lmbda_optim.param_groups[0]["params"][0]
    train(ours, data, 3, torch.Generator().manual_seed(0))
    state = ours.state_dict()
    fresh = agent("coptidice")
    held = fresh.model.lmbda_optim.param_groups[0]["params"][0]
    fresh.load_state_dict(state)
    assert fresh.model.lmbda is held
    assert torch.equal(held, ours.model.lmbda)
    assert fresh.model.init_state_propotion == ours.model.init_state_propotion


def test_a_setting_is_not_state():
    data = transitions(random_episodes())
    ours = prepared(data)
    train(ours, data, 2, torch.Generator().manual_seed(0))
    other = agent("coptidice", actor_lr=0.5, alpha=0.1, cost_limit=3.0)
    other.load_state_dict(ours.state_dict())
    assert other.model.actor_optim.param_groups[0]["lr"] == 0.5
    assert other.model.alpha == 0.1
    assert other.model.qc_thres != ours.model.qc_thres
