"""BC with PROCO: weights by hand, its two stages, relabelled costs, and the true feasible set of the brake."""

from __future__ import annotations

import pytest
import torch
from build import feasibility
from osrl_kit import agent, episodes, feasibility_batch, goes_on_bit_for_bit, problem, train, transitions
from torch import nn

from osrl_proco.algorithms.bc import BCTwin, feasible_weights, mode_of
from osrl_proco.core.errors import UserError
from osrl_proco.data.samplers import Marked
from osrl_proco.data.split import safe_only
from osrl_proco.data.trajectories import Trajectories
from osrl_proco.data.transitions import Transitions
from osrl_proco.envs import BrakeEnv
from osrl_proco.proco.source import relabelled
from osrl_proco.run.config import config_class
from osrl_proco.run.settings import parse

ONE = [[0.0] * 6]  # an episode of six steps without cost


def twin(**changes):
    """Its first stage is one update long."""
    return agent("bc", **{"proco": True, "update_steps": 2, "critic_share": 0.5, **changes})


def says(one, monkeypatch, q, v):
    """Make the critic of `one` answer so (each (N,)) when it is asked of the data."""
    monkeypatch.setattr(one.feasibility, "judge", lambda s, a: (torch.tensor(q), torch.tensor(v)))


def on(one, data):
    """The agent's sampler, after one update."""
    sampler = one.sampler(data)
    one.update(sampler.sample(torch.Generator().manual_seed(0)), feasibility_batch())
    return sampler


# ---- weights


def test_weights_by_hand():
    #        kept  loses  on the border  just lost        lost, a good way out  lost, far beyond the clip
    q = torch.tensor([-0.1, 0.1, 0.0, 0.8, 0.4, -60.0])
    v = torch.tensor([-0.2, -0.2, 0.0, 0.5, 0.9, 0.5])
    assert feasible_weights(q, v, None).tolist() == [1, 0, 1, 0, 0, 0]
    # e^{2 (.5 - .8)} = e^{-.6}, e^{2 (.9 - .4)} = e
    expected = [1, 0, 1, 0.548812, 2.718282, 100]
    assert feasible_weights(q, v, 2.0).tolist() == pytest.approx(expected, abs=1e-5)


def test_the_weighted_loss_by_hand():
    one = twin()
    nn.init.zeros_(one.model.actor.pi[-2].weight)
    nn.init.zeros_(one.model.actor.pi[-2].bias)  # pi = tanh 0
    rows = transitions(episodes([[0.0, 0.0]])).index(torch.arange(2))
    rows.actions[:] = torch.tensor([[0.3, -0.1], [0.6, 0.0]])
    one.sampler(transitions(episodes(ONE)))
    info = one.update(Marked(rows, torch.tensor([2.0, 0.5])), feasibility_batch())
    # Means over the entries: (.09 + .01) / 2 = .05 and .36 / 2 = .18; (2 · .05 + .5 · .18) / 2
    assert float(info["loss/actor_loss"]) == pytest.approx(0.095, abs=1e-6)
    assert float(info["bc/weight"]) == 1.25


# ---- stages


def test_first_all_then_what_the_critic_keeps(monkeypatch, capsys):
    one = twin()
    says(one, monkeypatch, [-1.0, 0.5, -1.0, -1.0, -1.0, 0.5], [-1.0, -1.0, 0.5, -1.0, -1.0, 0.5])
    sampler = one.sampler(transitions(episodes(ONE)))
    assert sampler.rows is None
    assert sampler.marks.tolist() == [1.0] * 6
    sampler = on(one, transitions(episodes(ONE)))
    assert sampler.rows.tolist() == [0, 3, 4]
    assert "3 of 6 transitions are cloned" in capsys.readouterr().err
    drawn = sampler.draw(torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {0, 3, 4}


def test_with_lost_alpha_lost_states_are_cloned_by_their_weight(monkeypatch):
    one = twin(lost_alpha=2.0)
    says(one, monkeypatch, [-1.0, 0.5, 0.8, -1.0, -1.0, 0.4], [-1.0, -1.0, 0.5, -1.0, -1.0, 0.9])
    sampler = on(one, transitions(episodes(ONE)))
    assert sampler.rows.tolist() == [0, 2, 3, 4, 5]
    assert sampler.marks[sampler.rows].tolist() == pytest.approx([1, 0.548812, 1, 1, 2.718282], abs=1e-5)


def test_where_everything_is_lost_the_clone_of_everything_stays(monkeypatch, capsys):
    one = twin()
    says(one, monkeypatch, [0.5] * 6, [0.5] * 6)
    sampler = on(one, transitions(episodes(ONE)))
    assert sampler.rows is None
    assert sampler.marks.tolist() == [1.0] * 6
    assert "0 of 6 transitions are cloned from here on, as the critic says; with none" in capsys.readouterr().err


def test_the_first_stage_clones_as_the_stock_form_does():
    data = transitions(episodes([[0.0] * 20] * 3))
    stock, ours = agent("bc"), twin(update_steps=100)
    for one in (stock, ours):
        train(one, data, 10, torch.Generator().manual_seed(4))
    for a, b in zip(stock.model.parameters(), ours.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_a_resumed_run_does_not_ask_another_critic(monkeypatch):
    data = transitions(episodes(ONE))
    first = twin(lost_alpha=2.0)
    says(first, monkeypatch, [-1.0, 0.5, 0.8, -1.0, -1.0, 0.4], [-1.0, -1.0, 0.5, -1.0, -1.0, 0.9])
    kept = on(first, data)
    for sampler_first in (True, False):
        second = twin(lost_alpha=2.0, weights_seed=3)
        sampler = second.sampler(data) if sampler_first else None
        second.load_state_dict(first.state_dict())
        sampler = sampler or second.sampler(data)
        assert torch.equal(sampler.rows, kept.rows)
        assert torch.equal(sampler.marks, kept.marks)


@pytest.mark.parametrize("mode", ["feasible", "safe", "multi-task"])
def test_save_load_continue(mode):
    data = transitions(episodes([[0.0] * 10] * 4))
    settings = {"bc_mode": mode, "update_steps": 20}
    goes_on_bit_for_bit(lambda **seeds: twin(**settings, **seeds), data)


# ---- modes


def test_auto_is_feasible_with_proco_and_all_without():
    kind = config_class("bc")
    assert mode_of(kind(algo="bc", proco=True)) == "feasible"
    assert mode_of(kind(algo="bc", proco=False)) == "all"
    assert mode_of(kind(algo="bc", proco=True, bc_mode="safe")) == "safe"
    assert type(agent("bc")) is not BCTwin


def test_the_modes_by_trajectory_see_the_cost_functions_costs():
    data = transitions(episodes([[0.0] * 3, [0.0] * 4]))  # no cost recorded
    data.next_observations[:, 0] = torch.tensor([0.0, 0, 0, 0, 2, 2, 0])
    ours = relabelled(data, lambda states: (states[..., 0] > 1).float())
    assert Trajectories.of(ours).cost_returns.tolist() == [0, 2]
    assert twin(bc_mode="safe", cost_limit=1.0).sampler(ours).rows.tolist() == [0, 1, 2]
    assert twin(bc_mode="safe", cost_limit=2.0).sampler(ours).rows is None
    assert twin(bc_mode="safe", cost_limit=1.0).sampler(data).rows is None


def test_in_a_mode_by_trajectory_the_critic_learns_and_is_not_asked(monkeypatch):
    one = twin(bc_mode="safe")
    monkeypatch.setattr(one, "judge", lambda batches: pytest.fail("asked"))
    data = transitions(episodes(ONE))
    info = train(one, data, 3, torch.Generator().manual_seed(0))
    assert {"loss/feasibility_q", "loss/actor_loss"} <= info.keys()


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="--bc_mode feasible: asks PROCO's critic"):
        agent("bc", bc_mode="feasible")
    with pytest.raises(UserError, match=r"'feasable'.*feasible"):
        twin(bc_mode="feasable")
    for flags in (["--critic_share", "1.5"], ["--lost_alpha", "0"], ["--ablation", "full_model"]):
        with pytest.raises(UserError, match=flags[0]):
            parse(["--algo", "bc", *flags])


# ---- the truth


def test_with_the_true_feasible_set_of_the_brake_every_step_that_loses_safety_is_dropped(monkeypatch):
    env = BrakeEnv(episodes=40)
    data = safe_only(Transitions.from_arrays(env.get_dataset()), 0, 0).safe

    def feasible(states):
        return torch.as_tensor(env.is_feasible(states.numpy()))

    def sign(good):
        return torch.where(good, -1.0, 1.0)

    one = twin(task_problem=problem(obs_dim=2, act_dim=1))

    def judge(states, actions):
        after = torch.from_numpy(env.advance(states.numpy(), actions.numpy())[0])
        return sign(feasible(after)), sign(feasible(states))

    monkeypatch.setattr(one.feasibility, "judge", judge)
    sampler = one.sampler(data)
    one.labelled(sampler, one.judge(sampler))
    here, there = feasible(data.observations), feasible(data.next_observations)
    kept = torch.zeros(len(data), dtype=torch.bool)
    kept[sampler.rows] = True
    assert torch.equal(kept, here & there)
    assert 0 < (here & ~there).sum() < (~here).sum() < 0.2 * len(data)  # safe-only data hold both kinds


@pytest.mark.slow
def test_what_it_learned_on_the_brake_is_mostly_right():
    """A critic of 1,500 updates on recorded steps, violations among them, without a model."""
    env = BrakeEnv(episodes=100)
    data = safe_only(Transitions.from_arrays(env.get_dataset()), 0, 0, 1.0).safe
    one = agent("bc", proco=True, task_problem=problem(obs_dim=2, act_dim=1), update_steps=10**6,
                c_hidden_sizes=[64, 64], critic_lr=1e-3, h_max=1.0, feasibility_tau=0.02)  # fmt: skip
    one.prepare(data)
    generator = torch.Generator().manual_seed(0)
    for _ in range(1500):
        one.feasibility.update(feasibility(data, torch.randint(len(data), (256,), generator=generator)))
    kept = one.judge(one.sampler(data)) > 0
    here, there = (torch.as_tensor(env.is_feasible(s.numpy())) for s in (data.observations, data.next_observations))
    assert kept[here & there].float().mean() > 0.9
    assert kept[~here].float().mean() < 0.1
