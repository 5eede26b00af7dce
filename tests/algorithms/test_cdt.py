"""CDT: OSRL's windows, augmentation, updates and acting; the sheet's numbers, the faults and their mends."""

from __future__ import annotations

import math
import random
import sys

import numpy as np
import pytest
import torch
from osrl.algorithms import CDT, CDTTrainer
from osrl.common.dataset import SequenceDataset, augmentation, process_sequence_dataset
from osrl_kit import (
    ACT,
    OBS,
    Silent,
    agent,
    assert_same,
    config,
    episodes,
    goes_on_bit_for_bit,
    oapackage,
    problem,
    random_episodes,
    train,
    transitions,
)

from osrl_proco.algorithms.cdt import cost_weights, published
from osrl_proco.core.errors import UserError
from osrl_proco.data.augmentation import AugmentationSettings, augment
from osrl_proco.data.samplers import Windows


@pytest.fixture
def _oapackage(monkeypatch):
    monkeypatch.setitem(sys.modules, "oapackage", oapackage())


def plain(**changes):
    """CDT on data of any kind: without what depends on the data's costs."""
    return agent("cdt", **{"augment_percent": 0.0, "cost_sample": False, **changes})


def spread(count=300, seed=0):
    """Episodes dense enough in the plane of cost and return for the grid to keep some."""
    rng = np.random.default_rng(seed)
    costs = [np.r_[np.ones(k), np.zeros(8 - k)] for k in rng.integers(0, 8, count)]
    rewards = [np.full(8, (c.sum() + rng.integers(0, 12)) / 8) for c in costs]
    return episodes(costs, rewards)


def test_windows_are_osrls_to_the_last_bit_and_kind():
    arrays = random_episodes(count=6, length=12)
    dataset = SequenceDataset(arrays, seq_len=4, reward_scale=0.1, cost_scale=1)
    ours = plain().sampler(transitions(arrays))
    for which, trajectory in enumerate(dataset.dataset):
        for first in range(len(trajectory["rewards"])):
            expected = dataset._SequenceDataset__prepare_sample(which, first)
            got = ours.windows(torch.tensor([which]), torch.tensor([first]))
            for name, theirs, mine in zip(Windows._fields, expected, got, strict=True):
                mine, theirs = mine[0].numpy(), np.asarray(theirs)
                assert name == "episode_cost" or mine.dtype == theirs.dtype, name
                if name == "returns":  # float32 sums in another order
                    np.testing.assert_allclose(mine, theirs, atol=1e-6)
                else:
                    np.testing.assert_array_equal(mine, theirs, name)


def test_the_updates_are_osrls_bit_for_bit():
    data = transitions(random_episodes())
    ours = plain()
    ours.prepare(data)
    names = ("seq_len", "embedding_dim", "num_layers", "num_heads", "attention_dropout", "residual_dropout",
             "embedding_dropout", "use_rew", "use_cost", "cost_transform", "stochastic")  # fmt: skip
    settings = {k: getattr(config("cdt"), k) for k in names}
    torch.manual_seed(11)
    model = CDT(OBS, ACT, 1.0, episode_len=30, target_entropy=-ACT, **settings)
    trainer = CDTTrainer(model, None, Silent(), 1e-4, 1e-4, (0.9, 0.999), 0.25, 500, 0.1, 1, 0.02, 0)
    sampler, generator = ours.sampler(data), torch.Generator().manual_seed(3)
    batches = [sampler.sample(generator) for _ in range(110)]
    torch.manual_seed(5)
    for batch in batches:
        trainer.train_one_step(*batch)
    before = torch.get_rng_state()
    for batch in batches:
        ours.update(batch)
    assert torch.equal(before, torch.get_rng_state())
    assert_same(dict(model.state_dict()), dict(ours.model.state_dict()))
    assert torch.equal(model.log_temperature, ours.model.log_temperature)
    assert float(ours.model.log_temperature.detach()) != math.log(0.1)


@pytest.mark.usefixtures("_oapackage")
@pytest.mark.parametrize("deg", [0, 1, 4])
def test_the_augmentation_is_osrls(deg, monkeypatch):
    arrays = spread()
    state, theirs = np.random.RandomState(3), np.random.RandomState(3)
    monkeypatch.setattr(np.random, "uniform", lambda low, high, size: low + (high - low) * theirs.random_sample(size))
    monkeypatch.setattr(np.random, "choice", theirs.choice)
    # A cell of more than ten is thinned by a draw of OSRL's that cannot be repeated: the same one for both.
    monkeypatch.setattr(random, "sample", lambda members, count: members[:count])
    original, _ = process_sequence_dataset(arrays)
    returns = np.array([t["returns"][0] for t in original], np.float64)
    costs = np.array([t["cost_returns"][0] for t in original], np.float64)
    _, copies, _, kept = augmentation(original, deg, 2.0, 1.0, 0.2, 25.0, 1.0)

    class Draws:
        def random(self, count):
            return state.random_sample(count)

        def choice(self, options, size, p=None, replace=True):
            return state.choice(options, size, p=p) if replace else options[:size]

    ours = augment(costs, returns, AugmentationSettings(0.2, deg, 25.0, 1.0, 2.0, 1.0), Draws())
    assert len(ours.source) == len(copies) == int(0.2 * len(kept)) > 15
    for source, cost, ret, copied in zip(*ours, copies, strict=True):
        np.testing.assert_array_equal(copied["observations"], original[source]["observations"])
        np.testing.assert_array_equal(copied["costs"], original[source]["costs"])
        np.testing.assert_allclose(copied["cost_returns"], original[source]["cost_returns"] + cost - costs[source],
                                   atol=1e-4)  # fmt: skip
        np.testing.assert_allclose(copied["returns"], original[source]["returns"] + ret - returns[source], atol=1e-4)


def test_copies_begin_at_their_targets_and_share_the_datas_rows():
    data = transitions(spread())
    ours = agent("cdt", deg=1, max_reward=25.0, max_rew_decrease=2.0, compat="fixed")
    sampler = ours.sampler(data)
    added = len(sampler._start) - 300
    assert added > 15
    last = torch.arange(300, 300 + added)
    window = sampler.windows(last, torch.zeros_like(last))
    torch.testing.assert_close(window.costs_return[:, 0], window.episode_cost)
    assert (window.returns[:, 0] <= 2.5 + 1e-6).all()
    assert (sampler._cost_shift >= 0).all()  # none is told to cost less than it did
    steps = window.costs_return[:, :-1] - window.costs_return[:, 1:]
    torch.testing.assert_close(steps, window.costs[:, :-1])  # costs per step stay
    again = agent("cdt", deg=1, max_reward=25.0, max_rew_decrease=2.0, compat="fixed").sampler(data)
    assert torch.equal(again._return_shift, sampler._return_shift)  # the same for the same seed


def test_trajectories_are_drawn_by_cost():
    np.testing.assert_allclose(cost_weights(np.array([0.0, 30, 80]), linear=True), [0.6364, 0.3636, 0], atol=1e-4)
    np.testing.assert_allclose(cost_weights(np.array([0.0, 30]), linear=False), [0.8, 0.2])


def test_the_loss_on_the_sheets_numbers():
    data = transitions(episodes([[0.0, 0.0]]))
    one = problem(act_dim=1)
    ours = plain(task_problem=one, seq_len=2)
    ours.prepare(data)
    with torch.no_grad():
        for head, bias in (
            (ours.model.action_head.mu, [0.2]),
            (ours.model.action_head.log_std, [math.log(0.5)]),
            (ours.model.cost_pred_head, [math.log(0.9), math.log(0.1)]),
        ):
            head.weight.zero_()
            head.bias.copy_(torch.tensor(bias))
    zero = torch.zeros(1, 2)  # the same step twice: the means are those of one
    window = Windows(
        torch.zeros(1, 2, OBS), torch.full((1, 2, 1), 0.3), zero, zero, zero.long(), zero + 1, zero[:, 0], zero
    )
    info = ours.update(window)
    expected = {"nll": 0.245791, "ent": 0.725791, "ent_reg": 0.1, "act_loss": 0.173212, "all_loss": 0.175319}
    for name, value in expected.items():
        assert float(info[f"train/{name}"]) == pytest.approx(value, abs=2e-6), name
    assert info["train/train_lr"] == pytest.approx(1e-4 * 2 / 500)


class Replayed:
    """An environment for OSRL's rollout: observations, rewards and costs as recorded, actions kept."""

    def __init__(self, observations, rewards, costs):
        self.observations, self.rewards, self.costs, self.actions = observations, rewards, costs, []

    def reset(self):
        return self.observations[0], {}

    def step(self, action):
        self.actions.append(action.copy())
        t = len(self.actions)
        return self.observations[t], self.rewards[t - 1] * 0.1, False, t == 20, {"cost": self.costs[t - 1]}


def test_the_policy_acts_as_osrls_rollout_with_rows_out_of_step():
    data = transitions(random_episodes())
    ours = plain(cost_limit=6.0, target_return="12")
    ours.prepare(data)
    train(ours, data, 20, torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    worlds = [
        Replayed(rng.normal(size=(21, OBS)).astype(np.float32), rng.normal(size=20).astype(np.float32),
                 rng.integers(0, 2, 20).astype(np.float32)) for _ in range(3)
    ]  # fmt: skip
    ours.train(False)
    for world in worlds:
        ours.trainer.rollout(ours.model, world, 12 * 0.1, 6.0)
    ours.train()
    policy = ours.policy()
    policy.reset([0], [0])
    clocks, got = [0, None, None], [[], [], []]
    for tick in range(30):
        for row, begin in ((1, 3), (2, 7)):
            if tick == begin:
                policy.reset([row], [0])
                clocks[row] = 0
        if tick == 20:
            policy.reset([0], [1])  # the first row begins again, with another episode's data
            clocks[0] = None
        active = [r for r in range(3) if clocks[r] is not None and clocks[r] < 20]
        count = 1 + max(r for r in range(3) if tick >= (0, 3, 7)[r])
        observations = torch.zeros(count, OBS)
        rewards, costs = torch.zeros(2, count)
        for r in active:
            observations[r] = torch.from_numpy(worlds[r].observations[clocks[r]])
            rewards[r], costs[r] = float(worlds[r].rewards[clocks[r]]), float(worlds[r].costs[clocks[r]])
        actions = policy.act(observations)
        assert actions.shape == (count, ACT)
        policy.observe(rewards, costs)
        for r in active:
            got[r].append(actions[r].numpy())
            clocks[r] += 1
    for world, mine in zip(worlds, got, strict=True):
        np.testing.assert_allclose(np.stack(mine), np.stack(world.actions), atol=1e-5)


def test_acting_without_a_history_is_the_first_step_of_an_episode():
    data = transitions(random_episodes())
    ours = plain()
    ours.prepare(data)
    observations = torch.randn(6, OBS)
    policy = ours.policy()
    policy.reset(range(6), range(6))
    first = ours.act(observations, torch.Generator())
    torch.testing.assert_close(first, policy.act(observations), atol=1e-6, rtol=0)
    assert ours.model.training  # left as it was
    assert first.abs().max() <= 1.0


@pytest.mark.usefixtures("_oapackage")
def test_the_augmentation_of_safe_only_data_crashes_as_released_and_is_skipped_when_mended(capsys):
    arrays = random_episodes(count=200)
    arrays["costs"][:] = 0.0
    with pytest.raises(TypeError), np.errstate(all="ignore"):
        SequenceDataset(arrays, augment_percent=0.2)
    data = transitions(arrays)
    with pytest.raises(UserError, match=r"all cost returns are alike.*--compat fixed"):
        agent("cdt").sampler(data)
    sampler = agent("cdt", compat="fixed").sampler(data)
    assert "no augmentation (all cost returns are alike)" in capsys.readouterr().err
    assert len(sampler._start) == 200
    window = sampler.sample(torch.Generator().manual_seed(0))
    assert (window.costs_return == 0).all()  # so CDT's input is the constant 50


def test_where_every_trajectory_is_costly_none_is_drawn_as_released_and_all_alike_when_mended():
    arrays = episodes([np.ones(75), np.ones(80)])
    dataset = SequenceDataset(arrays, cost_sample=True, cost_transform=lambda x: 70 - x)
    with pytest.raises(ValueError, match=r"NaN|non-negative"), np.errstate(all="ignore"):
        next(iter(dataset))
    data, long = transitions(arrays), problem(episode_len=80)
    with pytest.raises(UserError, match=r"70 or more.*--compat fixed"):
        agent("cdt", augment_percent=0.0, task_problem=long).sampler(data)
    sampler = agent("cdt", augment_percent=0.0, compat="fixed", task_problem=long).sampler(data)
    drawn = sampler.sample(torch.Generator().manual_seed(0)).episode_cost
    assert set(drawn.tolist()) == {75.0, 80.0}


def test_an_unfinished_trajectory_is_dropped_as_released_and_kept_when_mended():
    arrays = episodes([np.zeros(6), np.zeros(7)], finished=False)
    assert len(process_sequence_dataset(arrays)[0]) == 1
    data = transitions(arrays)
    assert len(plain().sampler(data)._start) == 1
    assert len(plain(compat="fixed").sampler(data)._start) == 2
    alone = transitions(episodes([np.zeros(6)], finished=False))
    with pytest.raises(UserError, match="--compat fixed"):
        plain().sampler(alone)


def test_a_trajectory_longer_than_the_embeddings_is_one_line():
    data = transitions(episodes([np.zeros(31)]))
    with pytest.raises(UserError, match=r"--episode_len 30: .*31 steps"):
        plain().sampler(data)


@pytest.mark.parametrize(
    ("task", "limit", "given", "expected"),
    [
        ("OfflineCarCircle-v0", 0.0, "auto", 450.0),
        ("OfflineCarCircle-v0", 10.0, "auto", 450.0),
        ("OfflineCarCircle-v0", 20.0, "auto", 500.0),
        ("OfflineCarCircle-v0", 80.0, "auto", 550.0),
        ("OfflinePointCircle1Gymnasium-v0", 10.0, "auto", 50.0),
        ("PointCircle1", 40.0, "auto", 52.5),
        ("OfflineCarCircle-v0", 0.0, "33.5", 33.5),
        ("OfflineBrake-v0", 0.0, "auto", 9.0),
    ],
)
def test_the_target_return(task, limit, given, expected, capsys):
    data = transitions(episodes([np.zeros(2)] * 11, [[float(r), 0.0] for r in range(11)]))
    ours = plain(task=task, cost_limit=limit, target_return=given)
    ours.prepare(data)
    assert ours.target_return == pytest.approx(expected)
    assert f"target return {expected:g}" in capsys.readouterr().err
    fresh = plain(task=task)
    fresh.load_state_dict(ours.state_dict())
    assert fresh.target_return == ours.target_return
    window = ours.sampler(data).sample(torch.Generator().manual_seed(0))
    assert ours.update(window)["cdt/target_return"] == ours.target_return


def test_a_history_of_one_step_is_no_number_as_released_and_one_line_here():
    loss = torch.nn.functional.mse_loss(torch.zeros(1, 0, OBS), torch.zeros(1, 0, OBS), reduction="none").mean()
    assert math.isnan(0.0 * float(loss))  # CDTTrainer's loss on the next state, weighted with 0
    with pytest.raises(UserError, match="--seq_len 1"):
        plain(seq_len=1)


def test_a_target_that_is_no_number_is_one_line():
    with pytest.raises(UserError, match="--target_return: 'high'"):
        plain(target_return="high")


def test_the_table_has_every_task_of_dsrl():
    assert published("PointButton2") == {
        "target_returns": {20: 40, 40: 40, 80: 40}, "deg": 0, "max_reward": 50, "max_rew_decrease": 10
    }  # fmt: skip
    assert published("OfflineBrake-v0") == {}


@pytest.mark.parametrize("stochastic", [True, False])
def test_save_load_continue(stochastic):
    data = transitions(random_episodes())
    goes_on_bit_for_bit(lambda **seeds: plain(stochastic=stochastic, lr_warmup_steps=20, **seeds), data)


def test_the_learning_rate_warms_up_and_goes_on_where_it_stood():
    data = transitions(random_episodes())
    ours = plain(lr_warmup_steps=10)
    ours.prepare(data)
    generator = torch.Generator().manual_seed(0)
    for n in range(12):
        assert ours.trainer.optim.param_groups[0]["lr"] == pytest.approx(1e-4 * min((n + 1) / 10, 1))
        if n == 6:
            fresh = plain(lr_warmup_steps=20, learning_rate=1e-3)  # settings are no state
            fresh.load_state_dict(ours.state_dict())
            assert fresh.trainer.optim.param_groups[0]["lr"] == pytest.approx(1e-3 * 7 / 20)
            assert fresh.trainer.optim.param_groups[0]["weight_decay"] == 1e-4
        train(ours, data, 1, generator)


def test_the_temperature_decays_towards_a_target_that_no_entropy_per_entry_reaches():
    data = transitions(random_episodes())
    ours = plain()
    ours.prepare(data)
    generator = torch.Generator().manual_seed(0)
    assert ours.model.target_entropy == -ACT
    for n in range(1, 4):  # Adam at 1e-4, whose steps are that long while the gradient keeps its sign
        train(ours, data, 1, generator)
        assert float(ours.model.log_temperature.detach()) == pytest.approx(math.log(0.1) - n * 1e-4, abs=1e-5)
