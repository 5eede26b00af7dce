"""Behaviour cloning: OSRL's selection and updates bit for bit, the sheet's numbers, the faults and their mends."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from osrl.algorithms import BC, BCTrainer
from osrl.common.dataset import process_bc_dataset
from osrl_kit import (
    ACT,
    OBS,
    Silent,
    agent,
    assert_same,
    episodes,
    goes_on_bit_for_bit,
    oapackage,
    problem,
    random_episodes,
    train,
    transitions,
)

from osrl_proco.algorithms.bc import MODES, frontier, picks
from osrl_proco.core.errors import UserError
from osrl_proco.data.trajectories import Trajectories, pareto_front


@pytest.fixture
def _oapackage(monkeypatch):
    monkeypatch.setitem(sys.modules, "oapackage", oapackage())


def chosen_by_osrl(arrays, mode, limit):
    arrays = copy.deepcopy(arrays)
    arrays["row"] = np.arange(len(arrays["rewards"]))
    process_bc_dataset(arrays, limit, 1.0, mode)
    return arrays["row"], arrays["cost_returns"]


def rows(sampler):
    return np.arange(len(sampler.data)) if sampler.rows is None else sampler.rows.numpy()


@pytest.mark.usefixtures("_oapackage")
@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_as_released_the_mode_picks_osrls_rows(mode, finished):
    arrays = random_episodes(finished=finished)
    expected, cost_returns = chosen_by_osrl(arrays, mode, 6)
    sampler = agent("bc", bc_mode=mode, cost_limit=6.0).sampler(transitions(arrays))
    np.testing.assert_array_equal(rows(sampler), expected)
    np.testing.assert_array_equal(sampler.marks.numpy()[expected], cost_returns)


@pytest.mark.parametrize("mode", ["all", "safe", "multi-task"])
def test_the_updates_are_osrls_bit_for_bit(mode):
    told = mode == "multi-task"
    torch.manual_seed(11)
    model = BC(OBS + told, ACT, 1.0, [16, 16], 30)
    trainer = BCTrainer(model, None, Silent(), actor_lr=0.001, bc_mode=mode, cost_limit=10)
    ours = agent("bc", bc_mode=mode)
    data = transitions(random_episodes())
    sampler = ours.sampler(data)
    generator = torch.Generator().manual_seed(3)
    for _ in range(150):
        batch = sampler.sample(generator)
        observations = torch.cat([batch.rows.observations, batch.mark[:, None]], 1) if told else batch.rows.observations
        trainer.train_one_step(observations, batch.rows.actions)
        ours.update(batch)
    assert_same(dict(model.state_dict()), dict(ours.model.state_dict()))
    observations = torch.randn(5, OBS)
    expected = [model.act(np.append(o, 10.0) if told else o) for o in observations.numpy()]
    np.testing.assert_allclose(ours.act(observations, generator), expected, atol=1e-6)


def test_the_sheets_frontier():
    costs, returns = torch.tensor([0.0, 5, 10, 10, 3]).double(), torch.tensor([1.0, 3, 4, 1, 0.5]).double()
    assert pareto_front(costs, returns).tolist() == [0, 1, 2]
    polynomial = frontier(costs, returns, constant=False)
    np.testing.assert_allclose(polynomial.coeffs, [0.3, 1.166667], atol=1e-6)
    x, y = costs[:3].numpy(), returns[:3].numpy()
    explained = 1 - np.sum((y - polynomial(x)) ** 2) / np.sum((y - y.mean()) ** 2)
    assert explained == pytest.approx(0.964286, abs=1e-6)
    flat = np.poly1d(np.polyfit(x, y, 0))
    assert 1 - np.sum((y - flat(x)) ** 2) / np.sum((y - y.mean()) ** 2) == pytest.approx(0.0)
    # The band is a fifth of the returns' range, 0.7: the first three stay.
    lists = [np.r_[np.ones(int(c)), np.zeros(10 - int(c))] for c in costs]
    rewards = [np.r_[r, np.zeros(9)] for r in returns.numpy()]
    trajectories = Trajectories.of(transitions(episodes(lists, rewards)))
    assert float(trajectories.returns.max() - trajectories.returns.min()) / 5 == pytest.approx(0.7)
    assert picks(trajectories, "frontier", 10, fixed=False).tolist() == [True, True, True, False, False]


def test_an_unfinished_trajectory_passes_safe_as_released_and_is_judged_by_its_own_sums_when_mended():
    arrays = episodes([np.zeros(5), np.full(5, 5.0)], finished=False)  # the second costs 25
    assert chosen_by_osrl(arrays, "safe", 10)[0].tolist() == list(range(10))
    data = transitions(arrays)
    assert rows(agent("bc", bc_mode="safe").sampler(data)).tolist() == list(range(10))
    assert rows(agent("bc", bc_mode="safe", compat="fixed").sampler(data)).tolist() == list(range(5))


@pytest.mark.usefixtures("_oapackage")
def test_the_frontier_of_safe_only_data_crashes_as_released_and_is_constant_when_mended():
    rewards = [np.full(4, r) for r in (1.0, 2.0, 2.2, 2.4, 0.1)]
    arrays = episodes([np.zeros(4)] * 5, rewards)
    with pytest.raises(np.linalg.LinAlgError):
        chosen_by_osrl(arrays, "frontier", 10)
    data = transitions(arrays)
    with pytest.raises(UserError, match="--compat fixed"):
        agent("bc", bc_mode="frontier").sampler(data)
    mended = agent("bc", bc_mode="frontier", compat="fixed").sampler(data)
    # Returns 4, 8, 8.8, 9.6, 0.4; band 1.84 around 9.6.
    assert rows(mended).tolist() == list(range(4, 16))


def test_fragments_of_a_split_are_judged_one_by_one():
    data = transitions(episodes([[0, 0, 1, 0, 0, 0]]))
    data = data.keep(torch.tensor([True, True, False, True, True, True]))
    trajectories = Trajectories.of(data)
    assert trajectories.lengths.tolist() == [2, 3]
    assert picks(trajectories, "safe", 0.0, fixed=True).tolist() == [True, True]


def test_no_trajectory_and_an_unknown_mode_are_one_line():
    data = transitions(episodes([np.zeros(5)]))
    with pytest.raises(UserError, match=r"--bc_mode risky: none of 1 .*cost_limit 10"):
        agent("bc", bc_mode="risky").sampler(data)
    with pytest.raises(UserError, match=r"'save'.*safe"):
        agent("bc", bc_mode="save")


@pytest.mark.parametrize("mode", MODES[:1] + MODES[-1:])
def test_save_load_continue(mode):
    data = transitions(random_episodes())
    goes_on_bit_for_bit(lambda **seeds: agent("bc", bc_mode=mode, **seeds), data)


def test_actions_are_within_the_bounds():
    ours = agent("bc", task_problem=problem(max_action=0.5))
    train(ours, transitions(random_episodes()), 3, torch.Generator().manual_seed(0))
    actions = ours.act(torch.randn(50, OBS) * 10, torch.Generator())
    assert actions.shape == (50, ACT)
    assert actions.abs().max() <= 0.5
