"""CDT with PROCO: the relabelled costs and what follows from them by hand, its two stages, and how it acts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from osrl_kit import (
    OBS,
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

from osrl_proco.core.errors import UserError
from osrl_proco.run.settings import parse

COSTS = [[0, 1, 0, 0], [0, 0, 0]]
LOST = [2, 5]  # rows that arrive where the critic calls the state lost


def twin(**changes):
    """Its first stage is one update long; drawn uniformly, without copies."""
    given = {"proco": True, "update_steps": 2, "critic_share": 0.5, "augment_percent": 0.0, "cost_sample": False}
    return agent("cdt", **{**given, **changes})


def marked(costs=COSTS, lost=LOST, rewards=None):
    """Data whose next observations say in their first entry whether the critic calls them lost."""
    data = transitions(episodes([np.array(c, float) for c in costs], rewards))
    data.next_observations[:, 0] = -1.0
    data.next_observations[lost, 0] = 1.0
    return data


def at_stage_2(one, data, monkeypatch):
    """The agent's sampler, after the one update of stage 1; then the critic says what is marked."""
    one.prepare(data)
    sampler = one.sampler(data)
    batch = sampler.sample(torch.Generator().manual_seed(0))
    monkeypatch.setattr(one.feasibility, "update", lambda rows: {})
    monkeypatch.setattr(one.feasibility.critic, "value", lambda states: states[..., 0])
    one.update(batch, feasibility_batch())
    return sampler


def all_windows(sampler):
    """The window of every trajectory's first step."""
    entries = torch.arange(len(sampler.now._start))
    return sampler.now.windows(entries, torch.zeros_like(entries))


# ---- costs


def test_the_costs_by_hand(monkeypatch, capsys):
    data = marked()
    one = twin()
    before = all_windows(one.sampler(data))
    assert before.costs.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]  # by the cost function alone
    assert before.costs_return.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]
    sampler = at_stage_2(one, data, monkeypatch)
    window = all_windows(sampler)
    assert one.judged.tolist() == [False, True, True, False, False, True, False]
    assert window.costs.tolist() == [[0, 1, 1, 0], [0, 1, 0, 0]]
    assert window.costs_return.tolist() == [[2, 2, 1, 0], [1, 1, 0, 0]]
    assert window.episode_cost.tolist() == [2, 1]
    assert torch.equal(window.returns, before.returns)  # the reward tokens stay
    assert torch.equal(window.states, before.states)
    assert "3 of 7 steps are dangerous, 1 by the cost function, 2 by the critic" in capsys.readouterr().err
    assert data.costs.tolist() == [0, 1, 0, 0, 0, 0, 0]  # the data are as they were


def test_trajectories_are_drawn_by_these_costs_too(monkeypatch):
    # Costs 0 and 30 of 40 steps; with what the critic adds 35 and 30: 35 / (35 + 40) instead of 70 / (70 + 40).
    data = marked([np.zeros(40), np.r_[np.ones(30), np.zeros(10)]], list(range(35)))
    one = twin(cost_sample=True, task_problem=problem(episode_len=40))
    sampler = one.sampler(data)
    assert sampler.now._weights.tolist() == pytest.approx([70 / 110, 40 / 110])
    sampler = at_stage_2(one, data, monkeypatch)
    assert sampler.now._weights.tolist() == pytest.approx([35 / 75, 40 / 75])


def test_the_cost_head_learns_these_costs(monkeypatch):
    """Its loss is that of the sheet, mean over positions of mask · NLL, here with the class 1 at 3 of 8 positions."""
    data = marked()
    one = twin()
    sampler = at_stage_2(one, data, monkeypatch)
    head = one.model.cost_pred_head
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.9, 0.1]).log())
    info = one.update(all_windows(sampler), feasibility_batch())
    expected = (-4 * np.log(0.9) - 3 * np.log(0.1)) / 8
    assert float(info["train/cost_loss"]) == pytest.approx(expected, abs=1e-5)


# ---- data without violations


@pytest.mark.parametrize("compat", ["osrl", "fixed"])
def test_on_data_without_violations_it_runs_and_may_see_danger(compat, monkeypatch, capsys):
    data = marked([np.zeros(6)] * 4, [3, 9])
    one = twin(augment_percent=0.2, cost_sample=True, compat=compat)
    sampler = at_stage_2(one, data, monkeypatch)
    assert "cdt: no augmentation" in capsys.readouterr().err
    assert all_windows(sampler).costs_return.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [0] * 4, [0] * 4]
    with pytest.raises(UserError, match="--compat fixed"):  # the stock form, as released
        agent("cdt").sampler(data)


def test_where_every_trajectory_is_dangerous_all_are_drawn_alike(monkeypatch):
    data = marked([np.zeros(75)] * 2, list(range(150)))
    one = twin(cost_sample=True, task_problem=problem(episode_len=80))
    assert at_stage_2(one, data, monkeypatch).now._weights is None


# ---- acting


def test_the_cost_to_go_is_0_and_stays_so(monkeypatch):
    one = twin(target_return="12", cost_limit=25.0)
    one.prepare(marked())
    seen = []
    predict = one.predict

    def spy(states, actions, returns, costs, times):
        seen.append((returns.clone(), costs.clone()))
        return predict(states, actions, returns, costs, times)

    monkeypatch.setattr(one, "predict", spy)
    policy = one.policy()
    policy.reset([0], [0])
    for _ in range(3):
        policy.act(torch.zeros(1, OBS))
        policy.observe(torch.tensor([2.0]), torch.tensor([1.0]))
    returns, costs = seen[-1]
    assert returns[0, :3].tolist() == pytest.approx([1.2, 1.0, 0.8])  # a tenth of 12, 10, 8
    assert costs.tolist() == [[0, 0, 0, 0]]
    one.act(torch.zeros(1, OBS), torch.Generator())
    assert seen[-1][1].tolist() == [[0]]
    assert one.limit_at_test is False
    assert agent("cdt").limit_at_test is True


def test_the_target_is_that_of_the_smallest_limit():
    data = transitions(random_episodes())
    one = twin(task="OfflineCarCircle-v0", cost_limit=80.0)
    one.prepare(data)
    assert one.target_return == 450.0  # OSRL's for 10; the stock form takes 550 here


# ---- stages and state


def test_the_first_stage_is_cdt_on_the_cost_functions_costs():
    data = transitions(random_episodes())
    settings = {"augment_percent": 0.0, "cost_sample": False}
    stock, ours = agent("cdt", **settings), twin(update_steps=100)
    for one in (stock, ours):
        one.prepare(data)
        train(one, data, 5, torch.Generator().manual_seed(4))
    assert_same(dict(stock.model.state_dict()), dict(ours.model.state_dict()))


def test_a_resumed_run_does_not_ask_another_critic(monkeypatch):
    data = marked()
    first = twin()
    expected = all_windows(at_stage_2(first, data, monkeypatch))
    for sampler_first in (True, False):
        second = twin(weights_seed=3)
        sampler = second.sampler(data) if sampler_first else None
        second.load_state_dict(first.state_dict())
        got = all_windows(sampler or second.sampler(data))
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("updates", [2, 12])
def test_save_load_continue(updates):
    """Saved in the first stage, and in the second."""
    data = transitions(random_episodes())
    goes_on_bit_for_bit(lambda **seeds: twin(update_steps=16, lr_warmup_steps=20, **seeds), data, updates)


def test_settings_out_of_range_are_one_line():
    for flags in (["--critic_share", "-0.1"], ["--critic_batch_size", "0"], ["--ablation", "full_model"]):
        with pytest.raises(UserError, match=flags[0]):
            parse(["--algo", "cdt", *flags])
