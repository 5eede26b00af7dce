"""PreSa's losses, constraint and multiplier by hand, what its labels come from, and its twin."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from build import ACT, agent, living, transitions, updates
from torch import nn

from osrl_proco.algorithms.presa import prefer, preference_loss
from osrl_proco.core.errors import UserError
from osrl_proco.data.feedback import Feedback, data_key
from osrl_proco.run.config import config_class

close = pytest.approx
LENGTH = 12  # a fifth of the 60 steps of `build.agent`


def presa(proco=False, **changes):
    return agent("presa", proco, **{"num_pairs": 50, **changes})


def contrasting(proco=False, data=None, **changes):
    data = data if data is not None else transitions()
    one = presa(proco, data=data, **changes)
    updates(one, data, 2)
    assert one.judged is not None
    return one


def written(path, kind, items, data, length=LENGTH):
    Feedback(kind, data_key(data), length, tuple(items)).write(path)
    return str(path)


# ---- losses


def test_preference_loss_by_hand():
    first, second = torch.tensor([0.5]), torch.tensor([0.2])
    one = torch.ones(1)
    assert preference_loss(first, second, one, 0.5).item() == close(0.513015, abs=1e-6)
    assert preference_loss(first, second, one, 1.0).item() == close(0.554355, abs=1e-6)
    assert preference_loss(second, first, 0 * one, 0.5).item() == close(0.513015, abs=1e-6)
    tie = preference_loss(first, second, 0.5 * one, 1.0).item()
    assert tie == close((0.554355 + 0.854355) / 2, abs=1e-6)


def test_preferences_follow_returns():
    assert prefer(torch.tensor([1.0, 2.0, 5.0, 4.0, 3.0, 3.0])).tolist() == [0.0, 1.0, 0.5]


def test_utility_by_hand_and_where_a_kind_is_missing():
    one, scores = presa(), torch.tensor([0.3, 0.3])
    assert one.utility(scores, torch.ones(2))[0].item() == close(0.574443, abs=1e-6)
    assert one.utility(scores, torch.zeros(2))[0].item() == close(0.425557, abs=1e-6)
    assert one.utility(scores, torch.tensor([1.0, 0.0]))[0].item() == close(0.5)
    rare = one.utility(torch.tensor([0.3, 0.3, 0.3, 0.3, -2.0]), torch.tensor([1.0, 1, 1, 1, 0]))
    assert rare[0].item() == close(0.5 * 0.574443 + 0.5 * torch.sigmoid(torch.tensor(2.0)).item(), abs=1e-6)


def test_ktos_reference_is_the_mean_score_but_not_below_0():
    one, labels = presa(kto_reference=True), torch.tensor([1.0, 0.0])
    up, down = torch.tensor([0.6, 0.2]), torch.tensor([-0.6, -0.2])
    assert one.utility(up, labels)[0].item() == close(torch.sigmoid(torch.tensor(0.2)).item())
    assert one.utility(down, labels)[0].item() == presa().utility(down, labels)[0].item()


def test_the_lagrangian_and_its_multiplier(monkeypatch):
    one = presa(min_utility=0.9)
    assert one.multiplier.item() == close(1.0)
    one.first_preferred, one.is_safe = torch.tensor([1.0]), torch.tensor([1.0, 0.0])
    scores = torch.tensor([0.5, 0.2])
    utility = 0.5 * (torch.sigmoid(torch.tensor(0.5)) + torch.sigmoid(torch.tensor(-0.2))).item()
    preference = math.log1p(math.exp(-(0.5 - 0.75 * 0.2)))
    loss, info = one.loss(scores, torch.tensor([0, 1]))
    assert loss.item() == close(preference + 1.0 * (0.9 - utility), abs=1e-6)
    assert info["presa/accuracy"].item() == 1.0
    assert one.multiplier.item() > 1.0  # stepped after the loss, up, for .9 is not reached
    one.config.min_utility = 0.1
    before = one.multiplier.item()
    for _ in range(30):
        one.loss(scores, torch.tensor([0, 1]))
    assert one.multiplier.item() < before


def test_a_capped_multiplier_comes_down_again():
    one = presa(multiplier_max=2.0, multiplier_lr=1.0)
    for _ in range(20):
        one._step_multiplier(torch.tensor(0.0))
    assert one.multiplier.item() == close(2.0)
    for _ in range(60):  # the optimizer's momentum has to turn first
        one._step_multiplier(torch.tensor(1.0))
    assert one.multiplier.item() < 2.0


# ---- where pairs and labels come from


def test_pairs_and_labels_of_the_data():
    data = transitions(cost_rate=0.3)
    one = contrasting(data=data, cost_limit=12.0)
    starts = one.segments.starts.tolist()
    assert (len(starts), one.segments.length) == (100, LENGTH)
    returns = [data.rewards[s : s + LENGTH].sum().item() for s in starts]
    assert one.first_preferred.tolist() == [float(a > b) for a, b in zip(returns[::2], returns[1::2], strict=True)]
    costs = [data.costs[s : s + LENGTH].sum().item() for s in starts]
    assert one.is_safe.tolist() == [float(c <= 12.0 * LENGTH / 60) for c in costs]
    assert torch.equal(presa(data=data, seed=5).sampler(data).starts, one.segments.starts)


def test_segments_are_at_most_a_fifth_of_an_episode():
    long = transitions(episodes=2, length=400)
    one = presa(data=long)
    one.problem = dataclasses.replace(one.problem, episode_len=1000)
    assert one.sampler(long).length == 64


def test_a_persons_preferences_take_the_place_of_returns(tmp_path):
    data = transitions(cost_rate=0.3)
    pairs = [(0, 30, "first"), (60, 5, "second"), (7, 100, "same")]
    one = contrasting(data=data, preferences=written(tmp_path / "p.json", "preferences", pairs, data, 9))
    assert one.segments.starts.tolist() == [0, 30, 60, 5, 7, 100]
    assert one.segments.length == 9
    assert one.first_preferred.tolist() == [1.0, 0.0, 0.5]


def test_a_persons_safety_labels_take_the_place_of_costs(tmp_path):
    data = transitions(cost_rate=0.3)
    labels = [(0, "safe"), (40, "unsafe"), (61, "safe")]
    file = written(tmp_path / "s.json", "safety labels", labels, data)
    one = contrasting(data=data, safety_labels=file)
    assert set(one.segments.starts.tolist()) == {0, 40, 61}
    assert one.is_safe.tolist() == [float(s != 40) for s in one.segments.starts.tolist()]
    twin = contrasting(True, data, safety_labels=file)
    nn.init.constant_(twin.feasibility.critic.v_net[-1].bias, 9.0)
    assert twin.judge(twin.segments).all()  # lost by the critic, beside what the person said


def test_both_files_must_speak_of_the_same_segments(tmp_path):
    data = transitions()
    pairs = written(tmp_path / "p.json", "preferences", [(0, 30, "first")], data)
    for labels, length, said in (
        ([(0, "safe"), (30, "unsafe")], LENGTH, None),
        ([(0, "safe")], LENGTH, "row 30 of --preferences has no label"),
        ([(0, "safe"), (30, "unsafe")], 9, "segments of 9 steps, those of --preferences have 12"),
    ):
        file = written(tmp_path / "s.json", "safety labels", labels, data, length)
        one = presa(data=data, preferences=pairs, safety_labels=file)
        if said is None:
            one.sampler(data)
            assert one.called_unsafe.tolist() == [False, True]
        else:
            with pytest.raises(UserError, match=said):
                one.sampler(data)


def test_a_run_goes_on_with_the_files_it_began_with_and_no_others(tmp_path):
    data = transitions()
    files = [
        written(tmp_path / f"{word}.json", "preferences", [(0, 30, word), (60, 5, word)], data)
        for word in ("first", "second")
    ]
    state = copy.deepcopy(contrasting(data=data, preferences=files[0]).state_dict())
    for file, same in zip(files, (True, False), strict=True):
        one = presa(data=data, preferences=file)
        one.sampler(data)
        if same:
            one.load_state_dict(state)
            continue
        with pytest.raises(UserError, match="not the files that the run began with"):
            one.load_state_dict(state)
    presa(data=data, preferences="gone.json").load_state_dict(state)  # to act, no file is needed


# ---- learning


def test_it_leans_to_what_is_preferred_and_safe():
    """Episodes that do .8 return more and cost; those that do -.8 return less, those that do 0 most."""
    data = transitions(episodes=21, cost_rate=0.0)
    kind = torch.arange(630) // 30 % 3
    data = dataclasses.replace(
        data,
        actions=torch.tensor([0.8, -0.8, 0.0])[kind][:, None].expand(-1, ACT).clone(),
        rewards=torch.tensor([1.0, 0.0, 2.0])[kind],
        costs=(kind == 0).float(),
    )
    one = presa(
        data=data, update_steps=400, bc_share=0.5, actor_lr=0.01, lr_warmup_steps=1, contrast_lr_factor=0.3,
        cost_limit=1.0,
    )  # fmt: skip
    updates(one, data, 400)
    info = updates(one, data, 1)
    assert info["presa/utility"] > 0.6
    assert info["presa/accuracy"] > 0.6
    assert one.act(data.observations, torch.Generator()).mean().item() < 0.0


def test_on_data_without_costs_the_stock_form_knows_no_danger_and_the_twin_may():
    data = transitions(cost_rate=0.0)
    assert contrasting(data=data, cost_limit=0.0).is_safe.all()
    twin = contrasting(True, data)
    nn.init.constant_(twin.feasibility.critic.v_net[-1].bias, 9.0)
    assert twin.judge(twin.segments).all()


def test_segments_are_starts_and_not_copies():
    """Tensors held, all of them: data, agent and sampler, after updates of both stages; the published 10,000 pairs."""
    before = living()
    data = transitions(episodes=200, length=1000)
    one = agent("presa", True, data=data, batch_size=2)
    one.problem = dataclasses.replace(one.problem, episode_len=1000)
    updates(one, data, 4)
    assert (len(one.segments.starts), one.segments.length) == (20_000, 64)
    size = sum(getattr(data, f.name).numel() * 4 for f in dataclasses.fields(data))
    assert size < sum(n for at, n in living().items() if at not in before) < 2.2 * size


def test_settings():
    c = config_class("presa")()
    assert (c.update_steps, c.bc_share, c.batch_size, c.num_pairs, c.segment_steps) == (100_000, 0.3, 96, 10_000, 64)
    assert (c.alpha, c.score_discount, c.loser_bias, c.min_utility) == (0.2, 1.0, 0.75, 0.9)
    assert (c.multiplier_lr, c.multiplier_max, c.kto_reference) == (0.01, 10.0, False)
