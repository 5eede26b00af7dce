"""What every algorithm keeps to, stock and twin: it learns, resumes, acts and stays finite."""

from __future__ import annotations

import copy

import pytest
import torch
from build import ACT, OBS, agent, feasibility, flat, transitions, updates

from osrl_proco.algorithms import algorithms
from osrl_proco.proco.feasibility import FeasibilityCritic

EVERY = [(n, p) for n, spec in algorithms().items() for p in ((False, True) if spec.twin else (False,))]
TWINS = [n for n, spec in algorithms().items() if spec.twin]
every = pytest.mark.parametrize(("name", "proco"), EVERY, ids=[f"{n}-{'proco' if p else 'stock'}" for n, p in EVERY])

# Parameters that no loss of the published algorithm reaches; each is said in the algorithm's page.
UNREACHED = {
    "cdt": ("cost_pred_head", "state_pred_head"),
    "ccac": ("cost_multiplier",),  # only by generated pairs that exceed a budget, so not yet here (test_ccac.py)
}


def modules(parts, prefix=""):
    for key, part in parts.items():
        if isinstance(part, torch.nn.Module):
            yield f"{prefix}{key}", part
        elif isinstance(part, dict):
            yield from modules(part, f"{prefix}{key}.")


@every
def test_every_parameter_that_should_learn_does_and_no_other(name, proco):
    data = transitions()
    made = agent(name, proco)
    before = {n: copy.deepcopy(m.state_dict()) for n, m in modules(made.parts())}
    updates(made, data, 5)
    for n, module in modules(made.parts()):
        for p, parameter in module.named_parameters():
            still = torch.equal(parameter, before[n][p])
            if parameter.requires_grad and not any(u in f"{n}.{p}" for u in UNREACHED.get(name, ())):
                assert not still, f"{n}.{p} does not learn"
        for b, buffer in module.named_buffers():
            if b in before[n]:
                assert torch.equal(buffer, before[n][b]), f"{n}.{b} is no parameter, but changed"


@every
def test_a_saved_agent_goes_on_bit_for_bit(name, proco):
    data = transitions()
    first = agent(name, proco)
    updates(first, data, 5)
    second = agent(name, proco, seed=9)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for made in (first, second):
        made.noise_of_the_test.manual_seed(4)
        updates(made, data, 5, seed=8)
    a, b = flat(first.state_dict()), flat(second.state_dict())
    assert a.keys() == b.keys()
    different = [k for k in a if not torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k]))]
    assert different == []


@every
def test_the_state_holds_tensors_and_plain_values_only(name, proco):
    made = agent(name, proco)
    updates(made, transitions(), 2)
    kinds = {type(v) for v in flat(made.state_dict()).values()}
    assert kinds <= {torch.Tensor, int, float, bool, str, list, tuple, type(None)}


@every
def test_hyperparameters_are_no_state(name, proco):
    made = agent(name, proco)
    updates(made, transitions(), 2)
    assert not any(word in key for key in flat(made.state_dict()) for word in ("param_groups", "gamma", ".lr", "thres"))


@every
def test_updates_repeat_and_leave_the_global_generator_alone(name, proco):
    data = transitions()
    states = []
    for junk in (1, 2):
        torch.manual_seed(junk)
        made = agent(name, proco)
        before = torch.get_rng_state()
        updates(made, data, 3)
        assert torch.equal(before, torch.get_rng_state())
        states.append(flat(made.state_dict()))
    first, second = states
    different = [
        k for k, v in first.items() if v is not second[k] and not torch.equal(*map(torch.as_tensor, (v, second[k])))
    ]
    assert different == []


@every
def test_actions_are_batched_bounded_and_repeat(name, proco):
    made = agent(name, proco)
    made.train(False)
    observations = torch.randn(20, OBS) * 3
    first, second = (made.act(observations, torch.Generator().manual_seed(7)) for _ in range(2))
    assert first.shape == (20, ACT)
    assert torch.equal(first, second)
    assert first.abs().max() <= 1.0
    assert not first.requires_grad


@every
def test_an_episode_depends_on_its_seed_and_not_on_its_neighbours(name, proco):
    """Row 0 of three episodes against the same episode alone."""
    made = agent(name, proco)
    updates(made, transitions(), 3)
    made.train(False)
    paths = []
    for rows in (1, 3):
        policy = made.policy()
        policy.reset(range(rows), [11, 12, 13][:rows])
        walk = torch.Generator().manual_seed(5)
        path = []
        for _ in range(6):
            observations = torch.randn(3, OBS, generator=walk)[:rows]
            actions = policy.act(observations)
            assert actions.shape == (rows, ACT)
            assert actions.abs().max() <= 1.0
            path.append(actions[0])
            policy.observe(torch.ones(rows), torch.zeros(rows))
        paths.append(torch.stack(path))
    assert torch.allclose(*paths, atol=1e-5)


@every
def test_a_row_that_is_reset_forgets_its_episode(name, proco):
    made = agent(name, proco)
    made.train(False)
    policy = made.policy()
    observations = torch.randn(2, OBS)
    policy.reset([0, 1], [3, 4])
    first = policy.act(observations)
    policy.observe(torch.ones(2), torch.ones(2))
    policy.act(observations)
    policy.observe(torch.ones(2), torch.ones(2))
    policy.reset([0, 1], [3, 4])
    assert torch.equal(first, policy.act(observations))


ODD = {
    "constant rewards": {"constant_reward": 0.5},
    "zero rewards": {"constant_reward": 0.0},
    "zero costs": {"cost_rate": 0.0},
    "all costs": {"cost_rate": 1.0},
    "a single episode": {"episodes": 1, "length": 60},
    "one fragment of few steps": {"episodes": 1, "length": 12, "cost_rate": 0.0},
}


@pytest.mark.parametrize("odd", ODD)
@every
def test_odd_data_stay_finite(name, proco, odd):
    data = transitions(**ODD[odd])
    made = agent(name, proco, data=data)
    info = updates(made, data, 4)
    assert all(torch.isfinite(torch.as_tensor(v)).all() for v in info.values())
    bad = [k for k, v in flat(made.state_dict()).items() if not torch.isfinite(torch.as_tensor(v).float()).all()]
    assert bad == []


@pytest.mark.parametrize("name", TWINS)
def test_the_twin_has_the_feasibility_learner_and_it_learns_from_its_own_batch(name):
    data = transitions()
    made = agent(name)
    assert made.feasibility is not None
    assert isinstance(made.feasibility.critic, FeasibilityCritic)
    other = agent(name)
    other.update(made.sampler(data).sample(torch.Generator().manual_seed(1)), feasibility(data, slice(0, 64)))
    info = made.update(made.sampler(data).sample(torch.Generator().manual_seed(1)), feasibility(data, slice(64, 128)))
    assert {"loss/feasibility_q", "loss/feasibility_v", "feasibility/infeasible"} <= info.keys()
    pairs = zip(made.feasibility.critic.parameters(), other.feasibility.critic.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    assert agent(name, proco=False).feasibility is None


@pytest.mark.parametrize("name", TWINS)
def test_stock_and_twin_begin_with_the_same_policy(name):
    """So that they differ by what they learn from, not by luck."""
    stock, twin = (dict(modules(agent(name, proco).parts())) for proco in (False, True))
    same = [n for n in stock if n in twin and not n.startswith(("feasibility", "cost"))]
    assert same
    for n in same:
        a, b = stock[n].state_dict(), twin[n].state_dict()
        shared = [k for k in a if k in b and a[k].shape == b[k].shape and not k.startswith("cost_critic")]
        assert shared
        assert all(torch.equal(a[k], b[k]) for k in shared)
