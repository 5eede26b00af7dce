"""The twins: the stock algorithm bit for bit with PROCO off, its thresholds at 0 with PROCO on."""

from __future__ import annotations

import pytest
import torch
from build import agent, feasibility, problem, transitions, updates
from osrl.algorithms import BCQL, BEARL, CPQ, BCQLTrainer, BEARLTrainer, CPQTrainer

from osrl_proco.algorithms import ProcoMixin, ProcoSettings, algorithm, register
from osrl_proco.algorithms.bcql import ProcoBCQL
from osrl_proco.algorithms.bearl import ProcoBEARL
from osrl_proco.algorithms.cpq import ProcoCPQ
from osrl_proco.algorithms.osrl import OsrlAgent
from osrl_proco.core.errors import UserError
from osrl_proco.proco.feasibility import FeasibilityCritic

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


@pytest.mark.parametrize("name", PAIRS)
def test_with_proco_on_the_thresholds_are_zero(name):
    model = agent(name).model
    assert isinstance(model.cost_critic, FeasibilityCritic)
    for threshold in ("qc_thres", "q_thres"):
        assert getattr(model, threshold, 0.0) == 0.0
    assert getattr(getattr(model, "controller", None), "thres", 0.0) == 0.0


@pytest.mark.parametrize("name", PAIRS)
def test_the_critic_answers_as_osrls_do(name):
    critic = agent(name).model.cost_critic
    observations, actions = torch.randn(7, 4), torch.randn(7, 2)
    answer = critic.predict(observations, actions)
    assert len(answer) == (2 if name == "cpq" else 4)
    q, v = critic.q(observations, actions), critic.value(observations)
    assert torch.allclose(answer[0], q if name == "cpq" else torch.relu(q - torch.relu(v)))


def test_bcqls_candidates_are_part_of_the_checkpoint():
    made = agent("bcql")
    assert "latents" in made.state_dict()["model"]
    assert "latents" not in agent("bcql", proco=False).state_dict()["model"]


def test_bcql_takes_the_likeliest_candidate_that_loses_no_safety():
    model = agent("bcql").model
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


class Mine(BCQL):
    pass


class ProcoMine(ProcoMixin, Mine):
    def policy(self, observations):
        return self.actor(observations, self.vae.decode(observations))


def test_a_twin_of_ones_own_takes_two_lines():
    model = ProcoMine(**SIZES, vae_hidden_sizes=16, proco=ProcoSettings())
    model.feasibility_batch = lambda: feasibility(transitions(), slice(0, 32))
    trainer = BCQLTrainer(model, None, Silent())
    trainer.train_one_step(*next(batches(1)))
    assert isinstance(model.cost_critic, FeasibilityCritic)


def test_an_optimizer_that_is_not_declared_is_named():
    from build import config

    with pytest.raises(TypeError, match="vae_optim"):
        OsrlAgent(ProcoBCQL, BCQLTrainer, config("bcql"), problem(), optimizers=("actor_optim",))


def test_learning_rates_come_from_the_settings_and_not_from_the_checkpoint():
    old = agent("bcql")
    updates(old, transitions(), 2)
    new = agent("bcql", actor_lr=0.5)
    new.load_state_dict(old.state_dict())
    assert new.model.actor_optim.param_groups[0]["lr"] == 0.5
    assert new.model.actor_optim.state_dict()["state"]


def test_an_unknown_algorithm_names_the_nearest():
    with pytest.raises(UserError, match=r"'bcq'.*bcql"):
        algorithm("bcq")


def test_a_name_in_any_case_is_the_same_algorithm():
    assert algorithm("BCQL") is algorithm("bcql")


def test_a_name_that_is_taken_is_not_taken_over():
    with pytest.raises(UserError, match="is there already"):
        register("bcql", "my.module")
