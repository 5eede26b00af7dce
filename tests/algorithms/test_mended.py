"""BCQL, BEARL and CPQ: the published faults in OSRL's own code, and `--compat fixed`."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from osrl.algorithms import BCQL, BEARL, CPQ, BCQLTrainer, BEARLTrainer, CPQTrainer
from osrl.common.dataset import TransitionDataset
from osrl_kit import (
    ACT,
    OBS,
    Silent,
    agent,
    assert_same,
    config,
    goes_on_bit_for_bit,
    random_episodes,
    train,
    transitions,
)

from osrl_proco.algorithms.osrl import accepted

STOCK = {"bcql": (BCQL, BCQLTrainer), "bearl": (BEARL, BEARLTrainer), "cpq": (CPQ, CPQTrainer)}


def stock(name):
    """OSRL's own class and trainer, with the settings of ours."""
    sizes = {"state_dim": OBS, "action_dim": ACT, "max_action": 1.0, "episode_len": 30, "device": "cpu"}
    given = {**vars(config(name)), **sizes}
    model_class, trainer_class = STOCK[name]
    torch.manual_seed(11)
    model = model_class(**accepted(model_class, given))
    return model, trainer_class(model, None, Silent(), **accepted(trainer_class, given))


def models(name):
    """OSRL's model, ours as released, ours mended: of the same first weights."""
    return stock(name)[0], agent(name).model, agent(name, compat="fixed").model


def batch(done=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    o, n = torch.randn(2, 32, OBS, generator=generator)
    actions = torch.rand(32, ACT, generator=generator) * 2 - 1
    return o, n, actions, torch.rand(32, generator=generator), torch.full((32,), done)


def critic_after(model, *given):
    """The cost critic's weights after one step of its loss, from the same noise; the model stays as it is."""
    model = copy.deepcopy(model)
    torch.manual_seed(1)
    model.cost_critic_loss(*given)
    return torch.cat([p.detach().flatten() for p in model.cost_critic.parameters()])


@pytest.mark.parametrize("name", STOCK)
def test_as_released_the_updates_are_osrls_bit_for_bit(name):
    data = transitions(random_episodes())
    model, trainer = stock(name)
    ours = agent(name)
    generator = torch.Generator().manual_seed(3)
    batches = [ours.sampler(data).sample(generator) for _ in range(100)]
    torch.manual_seed(5)
    for b in batches:
        trainer.train_one_step(b.observations, b.next_observations, b.actions, b.rewards * 0.1, b.costs, b.terminals)
    for b in batches:
        ours.update(b)
    assert_same(dict(model.state_dict()), dict(ours.model.state_dict()))


@pytest.mark.parametrize("name", STOCK)
def test_the_cost_critic_bootstraps_past_the_end_as_released_and_stops_there_when_mended(name):
    ends = batch(done=1.0)
    elsewhere = (ends[0], ends[1] + 5.0, *ends[2:])  # another next state, after the end
    *released, mended = models(name)
    for model in released:
        assert not torch.equal(critic_after(model, *ends), critic_after(model, *elsewhere))
    assert torch.equal(critic_after(mended, *ends), critic_after(mended, *elsewhere))
    goes_on = batch(done=0.0)
    assert not torch.equal(
        critic_after(mended, *goes_on), critic_after(mended, goes_on[0], goes_on[1] + 5, *goes_on[2:])
    )
    assert mended.gamma == 0.99


@pytest.mark.parametrize("name", ["bcql", "bearl"])
def test_the_actor_believes_the_smaller_cost_as_released_and_the_larger_when_mended(name):
    *released, mended = models(name)
    believed = []
    for model in (*released, mended):
        control = model.controller.control

        def spy(cost, control=control):
            believed.append(cost)
            return control(cost)

        model.controller.control = spy
        torch.manual_seed(1)
        model.actor_loss(batch()[0])
        assert "predict" not in vars(model.cost_critic)
    assert torch.equal(believed[0], believed[1])
    assert (believed[2] >= believed[0]).all()
    assert (believed[2] > believed[0]).any()


def test_cpqs_penalty_moves_no_weight_as_released_and_does_when_mended():
    *released, mended = models("cpq")
    for model, moves in ((released[0], False), (released[1], False), (mended, True)):
        after = []
        for weight in (0.0, 3.0):
            model.log_alpha = torch.tensor(weight)
            after.append(critic_after(model, *batch()))
        assert torch.equal(*after) is not moves


def test_cpqs_unlike_actions_leave_the_action_space_as_released_and_not_when_mended():
    *released, mended = models("cpq")
    for model, leaves in ((released[1], True), (mended, False)):
        seen = []
        model.vae.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[1]))
        torch.manual_seed(1)
        model.cost_critic_loss(*batch())
        assert bool(seen[0].abs().max() > 1.0) is leaves


def test_cpqs_mended_penalty_raises_the_cost_of_unlike_actions():
    mended = agent("cpq", compat="fixed").model
    mended.log_alpha = torch.tensor(4.0)
    mended.alpha_lr = 0.0
    given = batch()
    torch.manual_seed(1)
    before = mended.cost_critic.predict(given[0], mended._actor_forward(given[0], False, True)[0])[0].mean()
    for _ in range(20):
        mended.cost_critic_loss(*given)
    torch.manual_seed(1)
    after = mended.cost_critic.predict(given[0], mended._actor_forward(given[0], False, True)[0])[0].mean()
    assert after > before + 0.1


@pytest.mark.parametrize("name", STOCK)
def test_time_limits_end_the_task_in_osrls_data_and_not_here(name):
    arrays = random_episodes()
    dataset = TransitionDataset({k: v.copy() for k, v in arrays.items()})
    np.testing.assert_array_equal(dataset.dataset["done"], arrays["timeouts"])
    data = transitions(arrays)
    ours = agent(name)
    seen = []
    ours.trainer.train_one_step = lambda *given: seen.append(given[-1])
    ours.update(data)  # --stop_at_timeouts marks the data themselves
    assert torch.equal(seen[0], data.terminals)
    assert not torch.equal(seen[0], data.timeouts)


@pytest.mark.parametrize("proco", [True, False])
@pytest.mark.parametrize("name", STOCK)
def test_mended_agents_save_load_and_continue(name, proco):
    data = transitions(random_episodes())
    goes_on_bit_for_bit(lambda **seeds: agent(name, compat="fixed", proco=proco, **seeds), data)


@pytest.mark.parametrize("name", STOCK)
def test_mending_changes_nothing_of_procos_critic(name):
    data = transitions(random_episodes())
    critics = []
    for compat in ("osrl", "fixed"):
        ours = agent(name, compat=compat, proco=True)
        ours.prepare(data)
        train(ours, data, 5, torch.Generator().manual_seed(0))
        critics.append(dict(ours.model.cost_critic.state_dict()))
    assert_same(*critics)
