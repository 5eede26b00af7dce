"""The twins: the stock algorithm bit for bit with PROCO off, its thresholds at 0 with PROCO on."""

from __future__ import annotations

import copy

import pytest
import torch
from osrl.algorithms import BCQL, BEARL, CPQ, BCQLTrainer, BEARLTrainer, CPQTrainer

from osrl_proco.algorithms import ALGORITHMS, ProcoMixin, ProcoSettings, algorithm, build_agent
from osrl_proco.algorithms.bcql import ProcoBCQL
from osrl_proco.algorithms.bearl import ProcoBEARL
from osrl_proco.algorithms.cpq import ProcoCPQ
from osrl_proco.core.errors import UserError
from osrl_proco.proco.feasibility import FeasibilityBatch, FeasibilityCritic

PAIRS = {
    "bcql": (BCQL, ProcoBCQL, BCQLTrainer),
    "bearl": (BEARL, ProcoBEARL, BEARLTrainer),
    "cpq": (CPQ, ProcoCPQ, CPQTrainer),
}
SIZES = {"state_dim": 4, "action_dim": 2, "max_action": 1.0, "a_hidden_sizes": [16, 16], "c_hidden_sizes": [16, 16]}


class Silent:
    def store(self, **figures):
        pass


def batches(count, seed=3):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        o, n = torch.randn(2, 32, 4, generator=generator)
        yield (
            o,
            n,
            torch.rand(32, 2, generator=generator) * 2 - 1,
            *torch.rand(2, 32, generator=generator),
            torch.zeros(32),
        )


def trained(model_class, trainer_class, updates=200, **extra):
    torch.manual_seed(11)
    model = model_class(**SIZES, vae_hidden_sizes=16, **extra)
    trainer = trainer_class(model, None, Silent())
    for batch in batches(updates):
        trainer.train_one_step(*batch)
    return model


@pytest.mark.parametrize("name", PAIRS)
def test_with_proco_off_the_twin_is_the_stock_algorithm_bit_for_bit(name):
    stock, twin, trainer = PAIRS[name]
    expected, got = trained(stock, trainer), trained(twin, trainer, proco=None)
    assert expected.state_dict().keys() == got.state_dict().keys()
    for key, value in expected.state_dict().items():
        assert torch.equal(value, got.state_dict()[key]), key
    if hasattr(expected, "log_alpha"):
        assert torch.equal(expected.log_alpha, got.log_alpha)
    if hasattr(expected, "controller"):
        assert vars(expected.controller) == vars(got.controller)


def unsafe_batch():
    generator = torch.Generator().manual_seed(5)
    o, n = torch.randn(2, 32, 4, generator=generator)
    label = (n[:, 0] > 1).float()
    return FeasibilityBatch(o, torch.rand(32, 2, generator=generator), n, torch.zeros(32), label, torch.zeros(32))


def proco_agent(name, **changes):
    spec = algorithm(name)
    config = spec.config(
        algo=name, a_hidden_sizes=[16, 16], c_hidden_sizes=[16, 16], vae_hidden_sizes=16, episode_len=50
    )
    for key, value in changes.items():
        setattr(config, key, value)
    agent = build_agent(config, 4, 2, 1.0, "cpu")
    if config.proco:
        agent.model.feasibility_batch = unsafe_batch
    return agent


def transitions():
    from osrl_proco.data.transitions import Transitions

    o, n, a, r, c, d = next(batches(1))
    return Transitions(o, a, n, r, c, d, d, d, d)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_with_proco_on_the_thresholds_are_zero_and_every_network_learns(name):
    agent = proco_agent(name)
    model = agent.model
    assert isinstance(model.cost_critic, FeasibilityCritic)
    for threshold in ("qc_thres", "q_thres"):
        assert getattr(model, threshold, 0.0) == 0.0
    assert getattr(getattr(model, "controller", None), "thres", 0.0) == 0.0
    before = copy.deepcopy(model.state_dict())
    for _ in range(3):
        info = agent.update(transitions())
    assert {"loss/feasibility_q", "loss/feasibility_v"} <= info.keys()
    still = [k for k, v in model.state_dict().items() if torch.equal(v, before[k])]
    assert all("obs_" in k or "log_std" in k or "v_net" in k for k in still), still
    assert not any("cost_critic.v_net" in k for k in still)


@pytest.mark.parametrize("proco", [True, False])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_saved_agent_goes_on_bit_for_bit(name, proco):
    first = proco_agent(name, proco=proco)
    for _ in range(5):
        first.update(transitions())
    second = proco_agent(name, proco=proco)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for agent in (first, second):
        torch.manual_seed(1)
        for _ in range(5):
            agent.update(transitions())
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key]), key
    a, b = first.state_dict(), second.state_dict()
    assert a["controllers"] == b["controllers"]
    assert all(torch.equal(torch.as_tensor(a["plain"][k]), torch.as_tensor(b["plain"][k])) for k in a["plain"])


@pytest.mark.parametrize("proco", [True, False])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_deterministic_policy_is_deterministic_and_in_bounds(name, proco):
    agent = proco_agent(name, proco=proco)
    observations = torch.randn(20, 4) * 3
    first = agent.act(observations)
    assert first.shape == (20, 2)
    assert torch.equal(first, agent.act(observations))
    assert first.abs().max() <= 1.0


def test_bcql_takes_the_likeliest_candidate_that_loses_no_safety():
    model = proco_agent("bcql").model
    observations = torch.randn(50, 4)

    class Danger(torch.nn.Module):
        """Q grows to the right; V allows what is left of `limit`."""

        def __init__(self, limit):
            super().__init__()
            self.limit = limit

        def q(self, observations, actions):
            return actions[:, 0]

        def value(self, observations):
            return torch.full((len(observations),), self.limit)

    model.cost_critic = Danger(1.0)  # capped at 0: to the left of the middle
    anywhere = model.policy(observations)[:, 0]
    model.cost_critic = Danger(-2.0)  # nothing is that safe: the leftmost
    leftmost = model.policy(observations)[:, 0]
    assert (leftmost <= anywhere).all()
    allowed = leftmost <= 0
    assert allowed.any()
    assert (anywhere[allowed] <= 0).all()
    assert torch.equal(anywhere[~allowed], leftmost[~allowed])


def test_a_twin_of_ones_own_takes_two_lines():
    class Mine(BCQL):
        pass

    class ProcoMine(ProcoMixin, Mine):
        pass

    model = ProcoMine(**SIZES, vae_hidden_sizes=16, proco=ProcoSettings())
    model.feasibility_batch = unsafe_batch
    trainer = BCQLTrainer(model, None, Silent())
    trainer.train_one_step(*next(batches(1)))
    assert isinstance(model.cost_critic, FeasibilityCritic)


def test_an_unknown_algorithm_names_the_nearest():
    with pytest.raises(UserError, match=r"'bcq'.*bcql"):
        algorithm("bcq")
